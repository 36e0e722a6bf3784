//! What ends with the process: the members of groups, and when they are due.
//!
//! Soft state follows the log (see [`SoftState::follow`]): a group appears with its first record,
//! or with its first member, and is there until its tombstone. Before [`Start`](crate::Start) the
//! members are those of the last stored group; after it they are those that are heard of.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::{Monotonic, Timestamp};

use super::answer::Completion;
use super::classic::{Group, GroupLimits};
use super::hard::Change;
use super::timers::Timers;

/// How often the machine looks for offsets that have expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default)]
pub(super) struct SoftState {
    by_id: BTreeMap<String, Group>,
    timers: Timers,
    /// When offsets may have expired; `None` until the log is replayed.
    next_expiry: Option<Monotonic>,
    /// Markers in the log since the start of this process.
    markers: u64,
}

impl SoftState {
    pub(super) fn get(&self, id: &str) -> Option<&Group> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.by_id.get_mut(id)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.by_id.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn markers(&self) -> u64 {
        self.markers
    }

    /// A group, which is new and empty if it is not there.
    pub(super) fn get_or_new(
        &mut self,
        id: String,
        limits: GroupLimits,
        since: Timestamp,
    ) -> &mut Group {
        let new = || Group::new(limits, since);
        self.by_id.entry(id).or_insert_with(new)
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Does what follows from a change of hard state; returns the answers to clients that waited
    /// for it.
    pub(super) fn follow(&mut self, change: Change, limits: GroupLimits) -> Vec<Completion> {
        match change {
            Change::None => {}
            Change::OffsetCommitted(group, since) => {
                self.get_or_new(group, limits, since);
            }
            Change::TransactionEnded(groups) => {
                self.markers += 1;
                for (group, since) in groups {
                    self.get_or_new(group, limits, since);
                }
            }
            Change::GroupDeleted(group) => self.remove(&group),
            Change::GroupStored { group, stored, .. } if self.next_expiry.is_none() => {
                self.by_id.insert(group, Group::loaded(limits, stored));
            }
            Change::GroupStored {
                group,
                stored,
                generation_before,
            } => {
                // Live only: the records of an adopted log are another program's decisions.
                debug_assert!(
                    generation_before.is_none_or(|before| before <= stored.generation),
                    "the generation of a group only grows"
                );
                let group = self.get_or_new(group, limits, stored.since);
                return group.assignment_is_stored(&stored);
            }
        }
        Vec::new()
    }

    /// The machine goes live: from now on each member has its session's time to be heard of.
    pub(super) fn start(&mut self, now: Monotonic) {
        self.next_expiry = Some(Monotonic(now.0 + EXPIRY_INTERVAL));
        for (id, group) in &mut self.by_id {
            group.touch_all(now);
            if let Some(deadline) = group.deadline() {
                self.timers.arm(id, deadline);
            }
        }
    }

    /// Sets the timer of a group.
    pub(super) fn arm(&mut self, id: &str) {
        if let Some(deadline) = self.by_id.get(id).and_then(Group::deadline) {
            self.timers.arm(id, deadline);
        }
    }

    /// Takes the groups whose time has come; they have to be armed again.
    pub(super) fn due(&mut self, now: Monotonic) -> Vec<String> {
        let due = self.timers.due(now).into_iter();
        due.filter(|id| self.by_id.contains_key(id)).collect()
    }

    /// Whether it is time to look for expired offsets; sets the next time.
    pub(super) fn is_expiry_due(&mut self, now: Monotonic) -> bool {
        let is_due = self.next_expiry.is_some_and(|next| next <= now);
        if is_due {
            self.next_expiry = Some(Monotonic(now.0 + EXPIRY_INTERVAL));
        }
        is_due
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.timers.next().into_iter().chain(self.next_expiry).min()
    }
}
