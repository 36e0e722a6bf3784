//! Committed offsets: who may commit and delete them, and when they expire.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::{Timestamp, TopicName};

use super::answer::{GroupError, Told};
use super::classic::Group;
use super::command::{Answer, Identity, NewOffset, Place};
use super::machine::{Groups, STRING_BYTES_MAX, check_group_id};
use super::member::subscribed_topics;
use super::record::{CommittedOffset, GroupRecord, StoredGroup};
use crate::{Decision, LogRecord, Moment, Standing};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// A group, and how far it has read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) group: Group,
    /// As the log has it.
    pub(super) stored: Option<StoredGroup>,
    pub(super) offsets: BTreeMap<Place, CommittedOffset>,
}

impl Groups {
    pub(super) fn commit(
        &mut self,
        at: Moment,
        id: String,
        identity: &Identity,
        offsets: Vec<NewOffset>,
    ) -> Decision<Answer, Told> {
        if let Err(error) = self.check_commit(at, &id, identity, false) {
            return Decision::read(Answer::Offsets(Err(error)));
        }
        self.offsets_decided(at, &id, offsets, Standing::Outside)
    }

    /// Whether somebody may commit offsets of a group.
    pub(super) fn check_commit(
        &mut self,
        at: Moment,
        id: &str,
        identity: &Identity,
        in_transaction: bool,
    ) -> Result<(), GroupError> {
        check_group_id(id)?;
        let speaker = identity.speaker();
        // A producer that is no member speaks for itself: its transaction says who it is.
        let is_member = identity.generation >= 0
            || !identity.member_id.is_empty()
            || identity.instance_id.is_some();
        match self.by_id.get_mut(id) {
            Some(_) if in_transaction && !is_member => Ok(()),
            Some(entry) => {
                let checked = entry.group.check_commit(at.monotonic, speaker);
                self.arm(id);
                checked
            }
            None if identity.generation >= 0 => {
                let (expected, found) = (-1, identity.generation);
                Err(GroupError::Generation { expected, found })
            }
            None => self.check_room(),
        }
    }

    /// Offsets that somebody may commit.
    pub(super) fn offsets_decided(
        &self,
        at: Moment,
        id: &str,
        offsets: Vec<NewOffset>,
        standing: Standing,
    ) -> Decision<Answer, Told> {
        let mut records = Vec::new();
        let mut results = Vec::new();
        for new in offsets {
            let fits = new.metadata.len() <= self.config.metadata_bytes_max.min(STRING_BYTES_MAX);
            if !fits {
                results.push(Err(GroupError::MetadataTooLong(new.offset)));
                continue;
            }
            let committed = CommittedOffset {
                offset: new.offset,
                leader_epoch: new.leader_epoch,
                metadata: new.metadata,
                committed_at: at.wall,
            };
            let record = offset_record(id, (new.topic, new.partition), Some(committed));
            records.push(LogRecord { standing, ..record });
            results.push(Ok(()));
        }
        Decision {
            records,
            answer: Answer::Offsets(Ok(results)),
            effects: Vec::new(),
        }
    }

    pub(super) fn delete_offsets(&self, id: &str, places: Vec<Place>) -> Decision<Answer, Told> {
        let Some(entry) = self.by_id.get(id) else {
            return Decision::read(Answer::Offsets(Err(GroupError::NoSuchGroup)));
        };
        let group = &entry.group;
        let is_consumers = group.protocol_type.as_deref() == Some(CONSUMER);
        if !group.is_empty() && !is_consumers {
            return Decision::read(Answer::Offsets(Err(GroupError::NotEmpty)));
        }
        let subscribed = if group.is_empty() {
            Some(BTreeSet::new())
        } else {
            subscriptions(group)
        };
        let mut records = Vec::new();
        let results = places.into_iter().map(|place| {
            let is_read = subscribed
                .as_ref()
                .is_none_or(|s| s.contains(place.0.as_str()));
            if is_read {
                return Err(GroupError::Subscribed);
            }
            if entry.offsets.contains_key(&place) || self.is_pending(id, &place) {
                records.push(offset_record(id, place, None));
            }
            Ok(())
        });
        let answer = Answer::Offsets(Ok(results.collect()));
        Decision {
            records,
            answer,
            effects: Vec::new(),
        }
    }

    pub(super) fn delete_group(&self, id: &str) -> Decision<Answer, Told> {
        let done = |result| Decision::read(Answer::Done(result));
        let Some(entry) = self.by_id.get(id) else {
            return done(Err(GroupError::NoSuchGroup));
        };
        if !entry.group.is_empty() {
            return done(Err(GroupError::NotEmpty));
        }
        let mut records = self.pending_tombstones(id, |_| true);
        records.extend(entry.deletion(id, |_, _| true));
        Decision {
            records,
            answer: Answer::Done(Ok(())),
            effects: Vec::new(),
        }
    }

    pub(super) fn forget_topics(&self, topics: &BTreeSet<TopicName>) -> Decision<Answer, Told> {
        let gone = |place: &Place, _: &CommittedOffset| topics.contains(&place.0);
        let groups = self.by_id.iter();
        let tombstones = groups.flat_map(|(id, entry)| {
            let pending = self.pending_tombstones(id, |place| topics.contains(&place.0));
            pending.into_iter().chain(entry.tombstones(id, gone))
        });
        Decision {
            records: tombstones.collect(),
            answer: Answer::None,
            effects: Vec::new(),
        }
    }

    /// Takes back what was committed too long ago by a group that nobody is in, or of a topic
    /// that no member reads any more; the group goes with its last offset (KIP-211).
    pub(super) fn expired(&self, now: Timestamp, id: &str, entry: &Entry) -> Vec<LogRecord> {
        let retention =
            i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let is_old = |since: Timestamp| now.0.saturating_sub(since.0) >= retention;
        let group = &entry.group;
        if self.has_pending(id) {
            return Vec::new();
        }
        if group.is_empty() {
            let since_empty = group.protocol_type.is_some().then_some(group.since);
            return entry.deletion(id, |_, committed| {
                is_old(
                    since_empty
                        .unwrap_or(committed.committed_at)
                        .max(committed.committed_at),
                )
            });
        }
        match subscriptions(group) {
            Some(topics) => entry.tombstones(id, |place, committed| {
                is_old(committed.committed_at) && !topics.contains(place.0.as_str())
            }),
            None => Vec::new(),
        }
    }
}

impl Entry {
    pub(super) fn new(group: Group) -> Self {
        Self {
            group,
            stored: None,
            offsets: BTreeMap::new(),
        }
    }

    /// Takes back the offsets that `gone` picks.
    fn tombstones(
        &self,
        id: &str,
        gone: impl Fn(&Place, &CommittedOffset) -> bool,
    ) -> Vec<LogRecord> {
        let offsets = self
            .offsets
            .iter()
            .filter(|(place, offset)| gone(place, offset));
        offsets
            .map(|(place, _)| offset_record(id, place.clone(), None))
            .collect()
    }

    /// The same, of a group without members; and the group, if nothing is left of it.
    fn deletion(
        &self,
        id: &str,
        gone: impl Fn(&Place, &CommittedOffset) -> bool,
    ) -> Vec<LogRecord> {
        let mut records = self.tombstones(id, &gone);
        if records.len() == self.offsets.len() && self.group.is_empty() {
            let group = id.to_owned();
            records.push(
                GroupRecord::Group {
                    group,
                    stored: None,
                }
                .encode(),
            );
        }
        records
    }
}

/// The topics that the members of a group of consumers have subscribed to; `None` if that is not
/// known.
fn subscriptions(group: &Group) -> Option<BTreeSet<String>> {
    if group.protocol_type.as_deref() != Some(CONSUMER) {
        return None;
    }
    let protocol = group.protocol.as_deref();
    let mut all = BTreeSet::new();
    for member in group.members.values() {
        all.extend(subscribed_topics(&member.subscription(protocol))?);
    }
    Some(all)
}

pub(super) fn offset_record(
    id: &str,
    place: Place,
    committed: Option<CommittedOffset>,
) -> LogRecord {
    let record = GroupRecord::Offset {
        group: id.to_owned(),
        topic: place.0,
        partition: place.1,
        committed,
    };
    record.encode()
}
