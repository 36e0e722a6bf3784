//! One group of the classic protocol: its members agree, by way of a leader among them, on which of
//! them reads what.
//!
//! ```text
//!             join                      all have joined,            the leader's sync
//!  Empty ──────────▶ PreparingRebalance ─────or it is time────▶ CompletingRebalance ─────▶ Stable
//!    ▲                  ▲      │                                       │                     │
//!    └─ no members left ┼──────┘                                       │                     │
//!                       └── a join, a leave, a member that is silent ──┴─────────────────────┘
//! ```
//!
//! Each pass through the circle is a *generation*. In PreparingRebalance the members are asked (by
//! the errors of their heartbeats) to join again; each join is answered only when all have joined,
//! or when the longest rebalance timeout is over. Members that have not joined by then are removed,
//! except static ones (KIP-345), which stay until their session ends. The leader's answer lists all
//! members; it makes the assignment and sends it with its sync; the other syncs wait for that.
//!
//! All of this is soft state. What a crash must not lose is the assignment: it is a record
//! ([`StoredGroup`]), which belongs to hard state, and only [`Group::assignment_is_stored`], called
//! when the record is replayed, makes the group Stable. After a restart the members are those of
//! the record, and their sessions start over.
//!
//! Invariants: the generation only grows; a group that is Empty has no members; the leader, if there
//! is one, is a member; `instances` has one entry for each static member.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::{Monotonic, Timestamp};
use bytes::Bytes;

use super::answer::{Completion, GroupError, JoinResult, Joined, SyncResult, Synced, Waiter};
use super::command::{Identity, SyncGroup};
use super::member::{Member, Protocols};
use super::record::{StoredGroup, StoredMember};

mod join;
mod time;

/// The state of a group, on its way to an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It has no members; it may have offsets.
    Empty,
    /// The members have to join.
    PreparingRebalance,
    /// All members have joined, and wait for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The limits of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupLimits {
    /// `group.max.size`: members.
    pub(super) members_max: usize,
    pub(super) member_bytes_max: usize,
    pub(super) group_bytes_max: usize,
    /// `group.initial.rebalance.delay.ms`: how long the first member of an empty group waits for
    /// others.
    pub(super) initial_delay: Duration,
}

/// A rebalance that waits for members to join.
#[derive(Clone, Copy, Debug)]
struct Rebalance {
    until: Monotonic,
    /// In the first rebalance of an empty group: how much longer it may wait, and whether a member
    /// has joined since.
    initial: Option<(Duration, bool)>,
}

/// What a piece of work on a group has decided, until the machine takes it.
#[derive(Clone, Debug, Default)]
struct Outbox {
    /// Answers to clients that waited.
    completions: Vec<Completion>,
    /// The group to be logged.
    to_store: Option<StoredGroup>,
}

/// The soft state of one group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    limits: GroupLimits,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    instances: BTreeMap<String, String>,
    /// Ids that were given to clients which have to join again with them, and until when.
    pending: BTreeMap<String, Monotonic>,
    rebalance: Option<Rebalance>,
    /// When all members must have asked for their assignment.
    sync_until: Option<Monotonic>,
    pub(super) since: Timestamp,
    /// What the work at hand has decided so far.
    outbox: Outbox,
}

impl Group {
    pub(super) fn new(limits: GroupLimits, since: Timestamp) -> Self {
        Self {
            limits,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            rebalance: None,
            sync_until: None,
            since,
            outbox: Outbox::default(),
        }
    }

    /// The group that a record describes, after a restart.
    pub(super) fn loaded(limits: GroupLimits, stored: StoredGroup) -> Self {
        let mut group = Self::new(limits, stored.since);
        group.generation = stored.generation;
        group.protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
        group.leader = stored.leader;
        for member in stored.members {
            let member = Member::loaded(member, stored.protocol.as_deref());
            group.add(member);
        }
        group.protocol = stored.protocol;
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group
    }

    /// Takes the answers to clients that waited, and the group to be logged.
    pub(super) fn drain(&mut self) -> (Vec<Completion>, Option<StoredGroup>) {
        let Outbox {
            completions,
            to_store,
        } = std::mem::take(&mut self.outbox);
        (completions, to_store)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Whether there is nothing in it: no member ever joined.
    pub(super) fn is_forgotten(&self) -> bool {
        self.is_empty() && self.pending.is_empty() && self.generation == 0
    }

    /// The leader's assignment is in the log, and counts: completes the syncs that wait for it.
    pub(super) fn assignment_is_stored(&mut self, stored: &StoredGroup) -> Vec<Completion> {
        debug_assert!(
            stored.generation <= self.generation,
            "only a generation that has begun is stored"
        );
        for StoredMember { id, assignment, .. } in &stored.members {
            if let Some(member) = self.members.get_mut(id) {
                member.assignment = assignment.clone();
            }
        }
        if self.state != GroupState::CompletingRebalance || self.generation != stored.generation {
            return Vec::new();
        }
        self.state = GroupState::Stable;
        self.since = stored.since;
        let (protocol_type, protocol) = (&self.protocol_type, &self.protocol);
        let synced = self.members.values_mut().filter_map(|member| {
            let waiter = member.syncing.take()?;
            let synced = Synced {
                protocol_type: protocol_type.clone(),
                protocol: protocol.clone(),
                assignment: member.assignment.clone(),
            };
            Some(Completion::Sync(waiter, Ok(synced)))
        });
        synced.collect()
    }

    /// Every member counts as heard of now.
    pub(super) fn touch_all(&mut self, now: Monotonic) {
        for member in self.members.values_mut() {
            member.touch(now);
        }
    }

    /// A member asks for its assignment; the leader brings all of them.
    pub(super) fn sync(&mut self, at: (Monotonic, Timestamp), sync: SyncGroup) {
        if let Err(error) = self.check_sync(&sync) {
            return self.complete_sync(sync.waiter, Err(error));
        }
        let SyncGroup {
            waiter,
            identity,
            mut assignments,
            ..
        } = sync;
        let is_leader = self.leader.as_ref() == Some(&identity.member_id);
        let is_stable = self.state == GroupState::Stable;
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        let member = self.member(&identity.member_id);
        member.has_synced = true;
        member.touch(at.0);
        if is_stable {
            let synced = Synced {
                assignment: member.assignment.clone(),
                protocol_type,
                protocol,
            };
            self.complete_sync(waiter, Ok(synced));
        } else {
            let before = member.syncing.replace(waiter);
            if let Some(before) = before {
                self.complete_sync(before, Err(GroupError::Rebalancing));
            }
            if is_leader {
                self.store(at.1, |member| {
                    assignments.remove(&member.id).unwrap_or_default()
                });
            }
        }
        self.stop_if_all_have_synced();
    }

    fn check_sync(&self, sync: &SyncGroup) -> Result<(), GroupError> {
        self.check(&sync.identity)?;
        let differs = |expected: &Option<String>, known: &Option<String>| {
            expected.is_some() && expected != known
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::Rebalancing),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member is alive, and learns whether it has to join again.
    pub(super) fn heartbeat(
        &mut self,
        now: Monotonic,
        identity: &Identity,
    ) -> Result<(), GroupError> {
        self.check(identity)?;
        self.member(&identity.member_id).touch(now);
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::Rebalancing),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Whether a client may commit offsets: a member of this generation, or anyone while the group
    /// has no members and the committer claims no generation.
    pub(super) fn check_commit(
        &mut self,
        now: Monotonic,
        identity: &Identity,
    ) -> Result<(), GroupError> {
        if identity.generation < 0 && self.is_empty() {
            return Ok(());
        }
        self.check(identity)?;
        self.member(&identity.member_id).touch(now);
        match self.state {
            // The assignment that it commits for is not made yet.
            GroupState::CompletingRebalance => Err(GroupError::Rebalancing),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member leaves; an id that was given and not used is withdrawn. A static member may be
    /// named by its instance id alone.
    pub(super) fn leave(
        &mut self,
        at: (Monotonic, Timestamp),
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if self.pending.remove(member_id).is_some() {
            self.complete_if_all_joined(at);
            return Ok(());
        }
        let id = match instance_id {
            Some(instance) if member_id.is_empty() => {
                (self.instances.get(instance).cloned()).ok_or(GroupError::UnknownMember)?
            }
            _ => {
                self.check_identity(member_id, instance_id)?;
                member_id.to_owned()
            }
        };
        self.remove(at, &id);
        Ok(())
    }

    /// Refuses everyone except a member of this generation.
    fn check(&self, identity: &Identity) -> Result<(), GroupError> {
        self.check_identity(&identity.member_id, identity.instance_id.as_deref())?;
        if identity.generation != self.generation {
            return Err(GroupError::Generation {
                expected: self.generation,
                found: identity.generation,
            });
        }
        Ok(())
    }

    fn check_identity(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            let current = self.instances.get(instance_id);
            let current = current.ok_or(GroupError::UnknownMember)?;
            if current != member_id {
                return Err(GroupError::FencedInstance);
            }
        }
        if !self.members.contains_key(member_id) {
            return Err(GroupError::UnknownMember);
        }
        Ok(())
    }

    fn member(&mut self, id: &str) -> &mut Member {
        self.members.get_mut(id).expect("it was checked")
    }

    fn complete_join(&mut self, waiter: Waiter, result: JoinResult) {
        let completion = Completion::Join(waiter, result);
        self.outbox.completions.push(completion);
    }

    fn complete_sync(&mut self, waiter: Waiter, result: SyncResult) {
        let completion = Completion::Sync(waiter, result);
        self.outbox.completions.push(completion);
    }

    fn add(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if let Some(instance_id) = &member.instance_id {
            (self.instances).insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member, and lets the others share what it had.
    fn remove(&mut self, at: (Monotonic, Timestamp), id: &str) {
        self.take_out(id);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(at),
            GroupState::PreparingRebalance => self.complete_if_all_joined(at),
            GroupState::Empty => {}
        }
    }

    fn take_out(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.refuse(&member, &GroupError::UnknownMember);
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Answers whatever a member waits for with an error.
    fn refuse(&mut self, member: &Member, error: &GroupError) {
        if let Some(waiter) = member.joining {
            self.complete_join(waiter, Err(error.clone()));
        }
        if let Some(waiter) = member.syncing {
            self.complete_sync(waiter, Err(error.clone()));
        }
    }

    /// Decides to log the group, with these assignments.
    fn store(&mut self, now: Timestamp, mut assignment: impl FnMut(&Member) -> Bytes) {
        let protocol = self.protocol.as_deref();
        let members = self.members.values();
        let members = members.map(|member| member.to_stored(protocol, assignment(member)));
        let stored = StoredGroup {
            members: members.collect(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: now,
        };
        self.outbox.to_store = Some(stored);
    }

    /// Stops the timer of syncs once each member has asked for its assignment.
    fn stop_if_all_have_synced(&mut self) {
        if self.members.values().all(|member| member.has_synced) {
            self.sync_until = None;
        }
    }

    /// Whether a member with these assignors can join.
    fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.all_support(name))
    }

    fn all_support(&self, protocol: &str) -> bool {
        self.members
            .values()
            .all(|member| member.supports(protocol))
    }

    /// The assignor that most members prefer, among those that all of them support.
    fn vote(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known = member.protocols.iter().map(|(name, _)| &**name);
            if let Some(choice) = known.into_iter().find(|name| self.all_support(name)) {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(name, _)| name.to_owned())
    }

    /// The answer to a join of a member that is in the group.
    fn joined(&self, member_id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == member_id {
            let all = self.members.values();
            all.map(|member| member.to_joined(self.protocol.as_deref()))
                .collect()
        } else {
            Vec::new()
        };
        Joined {
            member_id: member_id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            members,
            skip_assignment: false,
        }
    }
}
