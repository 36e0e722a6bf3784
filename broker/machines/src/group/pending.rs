//! Offsets that belong to a transaction (KIP-98, KIP-447).
//!
//! They are in the log and count for nobody until the marker of their transaction comes behind them:
//!
//! ```text
//!  … | g t/0 = 7, of producer 5 | g t/1 = 3, at once | g t/0 = 8, at once | commit of producer 5 | …
//!          pending                  counts               counts, and takes
//!                                                        the pending one's place
//! ```
//!
//! What counts takes the place of what was pending before it, so that the last record of the log counts,
//! which is also the one that compaction keeps.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::{Offset, Producer, ProducerId};

use super::answer::Told;
use super::classic::Group;
use super::command::{Answer, CommitInTransaction, Identity, Place};
use super::machine::Groups;
use super::offsets::{Entry, offset_record};
use super::record::CommittedOffset;
use crate::{Decision, LogRecord, Moment, Standing};

/// What a transaction will have committed, by group and partition; with where its record lies.
type Offsets = BTreeMap<(String, Place), (Offset, CommittedOffset)>;

/// Of each producer what it will have committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending(BTreeMap<ProducerId, Offsets>);

impl Pending {
    pub(super) fn insert(
        &mut self,
        id: ProducerId,
        at: (String, Place),
        (record, offset): (Offset, CommittedOffset),
    ) {
        self.0.entry(id).or_default().insert(at, (record, offset));
    }

    /// The record at `record` counts: what is pending before it never will.
    pub(super) fn forget_before(&mut self, record: Offset, at: &(String, Place)) {
        self.0.retain(|_, offsets| {
            if offsets
                .get(at)
                .is_some_and(|(pending, _)| *pending < record)
            {
                offsets.remove(at);
            }
            !offsets.is_empty()
        });
    }

    fn of(&self, id: ProducerId) -> bool {
        self.0.contains_key(&id)
    }

    fn places<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Place> {
        let all = self.0.values().flat_map(BTreeMap::keys);
        all.filter(move |(of, _)| of == group)
            .map(|(_, place)| place)
    }
}

impl Groups {
    /// Whether a transaction is open that will say how far a group has read a partition.
    pub fn is_pending(&self, group: &str, place: &Place) -> bool {
        self.pending.places(group).any(|pending| pending == place)
    }

    /// The partitions of which an open transaction will say how far a group has read.
    pub fn pending_places<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Place> {
        self.pending.places(group)
    }

    pub(super) fn has_pending(&self, group: &str) -> bool {
        self.pending.places(group).next().is_some()
    }

    pub(super) fn pending_tombstones(
        &self,
        group: &str,
        gone: impl Fn(&Place) -> bool,
    ) -> Vec<LogRecord> {
        let counted = |place: &Place| {
            let entry = self.by_id.get(group);
            entry.is_some_and(|entry| entry.offsets.contains_key(place))
        };
        let places = self
            .pending
            .places(group)
            .filter(|place| gone(place) && !counted(place));
        let places: BTreeSet<_> = places.collect();
        let places = places.into_iter();
        places
            .map(|place| offset_record(group, place.clone(), None))
            .collect()
    }

    pub(super) fn commit_in_transaction(
        &mut self,
        at: Moment,
        id: &str,
        identity: &Identity,
        commit: CommitInTransaction,
    ) -> Decision<Answer, Told> {
        if let Err(error) = self.check_commit(at, id, identity, true) {
            return Decision::read(Answer::Offsets(Err(error)));
        }
        let is_open = self.pending.of(commit.producer.id);
        if !is_open && commit.verified_at != Some(self.markers) {
            return Decision::read(Answer::Unverified(self.markers));
        }
        self.offsets_decided(at, id, commit.offsets, Standing::Inside(commit.producer))
    }

    pub(super) fn end_transaction(producer: Producer, committed: bool) -> Decision<Answer, Told> {
        Decision {
            records: vec![LogRecord::marker(producer, committed)],
            answer: Answer::None,
            effects: Vec::new(),
        }
    }

    /// The marker is in the log: what was pending counts, or is forgotten.
    pub(super) fn ended(&mut self, id: ProducerId, committed: bool) {
        self.markers += 1;
        let limits = self.limits();
        for (at, (record, offset)) in self.pending.0.remove(&id).unwrap_or_default() {
            if committed {
                self.pending.forget_before(record, &at);
                let (group, place) = at;
                let since = offset.committed_at;
                let new = || Entry::new(Group::new(limits, since));
                let entry = self.by_id.entry(group).or_insert_with(new);
                entry.offsets.insert(place, offset);
            }
        }
    }
}
