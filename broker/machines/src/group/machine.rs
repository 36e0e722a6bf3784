//! All groups of one partition of `__consumer_offsets`, as a [`StateMachine`].
//!
//! ```text
//!                     ┌───────────────────────── Groups ─────────────────────────┐
//!  JoinGroup, …       │  soft: members, timers, clients      hard: stored group, │
//!  Heartbeat, …     ─▶│        that wait            ◀─────── offsets, pending    │
//!  CommitOffsets, … ─▶│     │ decide             Change        ▲ replay          │
//!                     └─────┼──────────────────────────────────┼─────────────────┘
//!                           ▼                                  │
//!                        records ─────────▶ log ───────────────┘
//! ```
//!
//! The two halves of the state are two types. [`HardState`] is what the log says; replay rebuilds
//! it, and nothing else changes it. [`SoftState`] is what ends with the process; commands and the
//! clock change it, and it follows hard state by way of [`Change`](super::hard::Change). A test
//! compares the hard state of a live machine with that of a replayed one, as a whole.
//!
//! One rebalance, from the first join to the answers (the states of a group are drawn in
//! [`super::classic`]):
//!
//! ```text
//!  join A, join B      soft only: both wait
//!  all have joined     soft only: generation 5; both joins are completed
//!  sync B              soft only: B waits for the leader
//!  sync A (leader)     a record with the assignment is decided
//!    replay            hard: generation 5 is stored; soft: the group is Stable
//!    commit            the record is synced; then both syncs are completed
//! ```
//!
//! A crash before the record is synced loses generation 5, of which no member has an assignment
//! yet. After the restart the members find the stored generation before it, and join again.
//!
//! Invariants:
//! - hard state changes only in replay;
//! - a member never receives an assignment that a restart would forget;
//! - the generation of a group only grows;
//! - each waiter is completed exactly once, by an effect, at the latest when its timeout is over;
//! - a timer never fires later than its group's deadline.
//!
//! Duties of the caller, beside those of every machine: every [`Waiter`](super::Waiter) is a new
//! number; each group that a command names belongs to this partition; completions for waiters that
//! have left are dropped.
//!
//! Left out: the newer group protocols (KIP-848), which will be machines of their own beside
//! `classic`.

use std::error::Error;

use brooklet_protocol::{Monotonic, Offset, Timestamp, TopicPartition};

use super::answer::{Completion, GroupError};
use super::classic::{Group, GroupLimits};
use super::command::{GroupConfig, Heartbeat, JoinGroup, LeaveGroup, Outcomes, SyncGroup};
use super::describe::{DescribedGroup, ListedGroup};
use super::hard::{HardState, Offsets};
use super::record::GroupRecord;
use super::soft::SoftState;
use super::{offsets, validate};
use crate::{Command, Decision, LogRecord, Moment, StateMachine};

/// All groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Groups {
    pub(super) config: GroupConfig,
    pub(super) hard: HardState,
    pub(super) soft: SoftState,
}

impl Groups {
    /// A partition without any groups.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            hard: HardState::default(),
            soft: SoftState::default(),
        }
    }

    /// The committed offsets of a group; `None` if there is no such group.
    pub fn offsets(&self, group: &str) -> Option<&Offsets> {
        let is_there = self.soft.contains(group);
        is_there.then(|| self.hard.offsets(group))
    }

    /// Whether an open transaction has an offset of the partition.
    pub fn is_pending(&self, group: &str, partition: &TopicPartition) -> bool {
        self.pending_partitions(group)
            .any(|pending| pending == partition)
    }

    /// The partitions in which open transactions have offsets of the group.
    pub fn pending_partitions<'a>(
        &'a self,
        group: &'a str,
    ) -> impl Iterator<Item = &'a TopicPartition> {
        self.hard.pending().partitions(group)
    }

    /// A group in detail.
    pub fn describe(&self, group: &str) -> Option<DescribedGroup> {
        self.soft.get(group).map(DescribedGroup::of)
    }

    /// All groups.
    pub fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.soft
            .iter()
            .map(|(id, group)| ListedGroup::of(id, group))
    }

    fn limits(&self) -> GroupLimits {
        GroupLimits {
            members_max: self.config.members_max,
            member_bytes_max: self.config.member_bytes_max,
            group_bytes_max: self.config.group_bytes_max,
            initial_delay: self.config.initial_rebalance_delay,
        }
    }

    /// Whether there may be one group more.
    pub(super) fn check_room(&self) -> Result<(), GroupError> {
        if self.soft.len() < self.config.groups_max {
            Ok(())
        } else {
            Err(GroupError::TooManyGroups(self.config.groups_max))
        }
    }

    fn check_join(&self, join: &JoinGroup) -> Result<(), GroupError> {
        validate::join(join, &self.config)?;
        if self.soft.contains(&join.group) {
            return Ok(());
        }
        if !join.member_id.is_empty() {
            return Err(GroupError::UnknownMember);
        }
        self.check_room()
    }

    fn check_sync(&self, sync: &SyncGroup) -> Result<(), GroupError> {
        if !self.soft.contains(&sync.group) {
            return Err(validate::absent(&sync.group));
        }
        let (found, max) = (sync.assigned_bytes(), self.config.group_bytes_max);
        if found > max {
            return Err(GroupError::AssignmentsTooLarge { found, max });
        }
        Ok(())
    }

    /// Works on a group, which must be there. The decision has what the group wants logged and
    /// completed.
    fn with_group<T>(
        &mut self,
        id: &str,
        work: impl FnOnce(&mut Group) -> T,
    ) -> Decision<T, Completion> {
        let group = self.soft.get_mut(id).expect("the caller has looked");
        let answer = work(group);
        let (effects, to_store) = group.drain();
        if group.is_forgotten() && !self.hard.knows(id) {
            // Its only client was refused.
            self.soft.remove(id);
        }
        self.soft.arm(id);
        let record = |stored| {
            let (group, stored) = (id.to_owned(), Some(stored));
            GroupRecord::Group { group, stored }.encode()
        };
        Decision {
            records: to_store.map(record).into_iter().collect(),
            answer,
            effects,
        }
    }
}

impl Command<Groups> for JoinGroup {
    type Answer = ();

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<(), Completion> {
        if let Err(error) = groups.check_join(&self) {
            return completed(Completion::Join(self.waiter, Err(error)));
        }
        let (id, limits) = (self.group.clone(), groups.limits());
        groups.soft.get_or_new(id.clone(), limits, at.wall);
        groups.with_group(&id, |group| group.join(time(at), self))
    }
}

impl Command<Groups> for SyncGroup {
    type Answer = ();

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<(), Completion> {
        if let Err(error) = groups.check_sync(&self) {
            return completed(Completion::Sync(self.waiter, Err(error)));
        }
        let id = self.group.clone();
        groups.with_group(&id, |group| group.sync(time(at), self))
    }
}

impl Command<Groups> for Heartbeat {
    type Answer = Result<(), GroupError>;

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<Self::Answer, Completion> {
        let Self {
            group: id,
            identity,
        } = self;
        if !groups.soft.contains(&id) {
            return Decision::read(Err(validate::absent(&id)));
        }
        groups.with_group(&id, |group| group.heartbeat(at.monotonic, &identity))
    }
}

impl Command<Groups> for LeaveGroup {
    type Answer = Outcomes;

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<Self::Answer, Completion> {
        let Self { group: id, members } = self;
        if !groups.soft.contains(&id) {
            let left = members.iter().map(|_| Err(validate::absent(&id)));
            return Decision::read(left.collect());
        }
        groups.with_group(&id, |group| {
            let leave = |(member, instance): &(String, Option<String>)| {
                group.leave(time(at), member, instance.as_deref())
            };
            members.iter().map(leave).collect()
        })
    }
}

impl StateMachine for Groups {
    type Effect = Completion;

    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<Completion>, Box<dyn Error + Send + Sync>> {
        let change = self.hard.apply(offset, record)?;
        Ok(self.soft.follow(change, self.limits()))
    }

    fn start(&mut self, at: Moment) -> Decision<(), Completion> {
        self.soft.start(at.monotonic);
        Decision::read(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        self.soft.deadline()
    }

    fn tick(&mut self, at: Moment) -> Decision<(), Completion> {
        let mut decision = Decision::read(());
        for id in self.soft.due(at.monotonic) {
            let more = self.with_group(&id, |group| group.on_time(time(at)));
            decision.records.extend(more.records);
            decision.effects.extend(more.effects);
        }
        if self.soft.is_expiry_due(at.monotonic) {
            let retention = self.config.offsets_retention;
            for group in self.soft.iter().map(|(id, group)| (id.as_str(), group)) {
                let expired = offsets::expired(&self.hard, group, at.wall, retention);
                decision.records.extend(expired);
            }
        }
        decision
    }
}

fn time(at: Moment) -> (Monotonic, Timestamp) {
    (at.monotonic, at.wall)
}

fn completed(completion: Completion) -> Decision<(), Completion> {
    Decision {
        records: Vec::new(),
        answer: (),
        effects: vec![completion],
    }
}
