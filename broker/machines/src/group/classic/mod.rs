//! One group of the classic protocol: members that agree, by way of a leader among them, who reads
//! what.
//!
//! ```text
//!             join                      all have joined,            the leader's sync
//!  Empty ──────────▶ PreparingRebalance ─────or it is time────▶ CompletingRebalance ─────▶ Stable
//!    ▲                  ▲      │                                       │                     │
//!    └── nobody is left ┼──────┘                                       │                     │
//!                       └── a join, a leave, a member that is silent ──┴─────────────────────┘
//! ```
//!
//! Each pass through the circle is a *generation*. In PreparingRebalance the members are asked (by the
//! errors of their heartbeats) to join again; each join is answered only when all have come, or when
//! the longest rebalance timeout is over: who has not come by then is out, but for static members
//! (KIP-345), who stay until their session ends. The leader's answer lists all members; it makes the
//! assignment and hands it in with its sync; the other syncs wait for that.
//!
//! What a crash must not lose is the assignment: it is a record ([`StoredGroup`]), and only
//! [`Group::take_in`], which replays it, makes the group Stable. Everything else here is soft: after a
//! restart the members are those of the record, and their sessions begin anew.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use brooklet_protocol::{Monotonic, Timestamp};
use bytes::Bytes;

use super::answer::{GroupAnswer, GroupError, Joined, Synced, Told, Waiter};
use super::member::{Member, Protocols};
use super::record::{StoredGroup, StoredMember};

mod join;
mod time;

pub use join::JoinGroup;

/// Where a group is on its way to an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Nobody is in it; it may have offsets.
    Empty,
    /// The members are to join.
    PreparingRebalance,
    /// All have joined, and wait for the leader's assignment.
    CompletingRebalance,
    /// Everyone knows what to read.
    Stable,
}

impl GroupState {
    /// As Kafka calls it.
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
    /// While it is the first one: how much longer it may wait, and whether somebody has come since.
    initial: Option<(Duration, bool)>,
}

/// Who speaks, and of which generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker<'a> {
    pub(super) member_id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    pub(super) generation: i32,
}

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
    /// Ids that were given to clients who have to join again with them, and until when.
    pending: BTreeMap<String, Monotonic>,
    rebalance: Option<Rebalance>,
    /// Until when all members have to ask for their assignment.
    sync_until: Option<Monotonic>,
    pub(super) since: Timestamp,
    /// Answers for those who wait.
    told: Vec<Told>,
    /// To be logged.
    to_store: Option<StoredGroup>,
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
            told: Vec::new(),
            to_store: None,
        }
    }

    /// As a record tells it, after a restart.
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

    /// What is to be told, and what is to be logged.
    pub(super) fn drain(&mut self) -> (Vec<Told>, Option<StoredGroup>) {
        (std::mem::take(&mut self.told), self.to_store.take())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Whether nothing is left of it but its name.
    pub(super) fn is_forgotten(&self) -> bool {
        self.is_empty() && self.pending.is_empty() && self.generation == 0
    }

    /// A record of it is in the log: the leader's assignment counts, and is told.
    pub(super) fn take_in(&mut self, stored: &StoredGroup, now_told: &mut Vec<Told>) {
        for StoredMember { id, assignment, .. } in &stored.members {
            if let Some(member) = self.members.get_mut(id) {
                member.assignment = assignment.clone();
            }
        }
        if self.state != GroupState::CompletingRebalance || self.generation != stored.generation {
            return;
        }
        self.state = GroupState::Stable;
        self.since = stored.since;
        let (protocol_type, protocol) = (&self.protocol_type, &self.protocol);
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                let synced = Synced {
                    protocol_type: protocol_type.clone(),
                    protocol: protocol.clone(),
                    assignment: member.assignment.clone(),
                };
                let answer = GroupAnswer::Synced(Ok(synced));
                now_told.push(Told { waiter, answer });
            }
        }
    }

    /// A member asks for its assignment; the leader brings all.
    pub(super) fn sync(
        &mut self,
        at: (Monotonic, Timestamp),
        (waiter, speaker): (Waiter, Speaker<'_>),
        (protocol_type, protocol): (Option<&str>, Option<&str>),
        mut assignments: HashMap<String, Bytes>,
    ) {
        let judged = self.judge_sync(speaker, protocol_type, protocol);
        if let Err(error) = judged {
            return self.tell(waiter, GroupAnswer::Synced(Err(error)));
        }
        let is_leader = self.leader.as_deref() == Some(speaker.member_id);
        let is_stable = self.state == GroupState::Stable;
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        let member = self.member(speaker.member_id);
        member.has_synced = true;
        member.touch(at.0);
        if is_stable {
            let synced = Synced {
                assignment: member.assignment.clone(),
                protocol_type,
                protocol,
            };
            self.tell(waiter, GroupAnswer::Synced(Ok(synced)));
        } else {
            let before = member.syncing.replace(waiter);
            if let Some(before) = before {
                self.tell(before, GroupAnswer::Synced(Err(GroupError::Rebalancing)));
            }
            if is_leader {
                self.store(at.1, |member| {
                    assignments.remove(&member.id).unwrap_or_default()
                });
            }
        }
        self.all_have_synced();
    }

    fn judge_sync(
        &self,
        speaker: Speaker<'_>,
        protocol_type: Option<&str>,
        protocol: Option<&str>,
    ) -> Result<(), GroupError> {
        self.check(speaker)?;
        let differs = |told: Option<&str>, known: &Option<String>| {
            told.is_some_and(|told| Some(told) != known.as_deref())
        };
        if differs(protocol_type, &self.protocol_type) || differs(protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::Rebalancing),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member says that it is alive, and learns whether it has to join again.
    pub(super) fn heartbeat(
        &mut self,
        now: Monotonic,
        speaker: Speaker<'_>,
    ) -> Result<(), GroupError> {
        self.check(speaker)?;
        self.member(speaker.member_id).touch(now);
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::Rebalancing),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Whether somebody may commit offsets: a member of this generation, or anyone while the group
    /// has no members and the committer claims no generation.
    pub(super) fn check_commit(
        &mut self,
        now: Monotonic,
        speaker: Speaker<'_>,
    ) -> Result<(), GroupError> {
        if speaker.generation < 0 && self.is_empty() {
            return Ok(());
        }
        self.check(speaker)?;
        self.member(speaker.member_id).touch(now);
        match self.state {
            // The assignment that it commits for is not made yet.
            GroupState::CompletingRebalance => Err(GroupError::Rebalancing),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member goes; an id that was given and not used is taken back. A static member may be
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

    /// Is it a member, and does it speak of this generation?
    fn check(&self, speaker: Speaker<'_>) -> Result<(), GroupError> {
        self.check_identity(speaker.member_id, speaker.instance_id)?;
        if speaker.generation != self.generation {
            return Err(GroupError::Generation {
                expected: self.generation,
                found: speaker.generation,
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

    fn tell(&mut self, waiter: Waiter, answer: GroupAnswer) {
        self.told.push(Told { waiter, answer });
    }

    fn add(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if let Some(instance_id) = &member.instance_id {
            (self.instances).insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out, and sees to it that the others share what it had.
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

    /// Answers what a member waits for.
    fn refuse(&mut self, member: &Member, error: &GroupError) {
        let joining = member
            .joining
            .map(|waiter| (waiter, GroupAnswer::Joined(Err(error.clone()))));
        let syncing = member
            .syncing
            .map(|waiter| (waiter, GroupAnswer::Synced(Err(error.clone()))));
        for (waiter, answer) in joining.into_iter().chain(syncing) {
            self.tell(waiter, answer);
        }
    }

    /// The group as it is to be logged, with these assignments.
    fn store(&mut self, now: Timestamp, mut assignment: impl FnMut(&Member) -> Bytes) {
        let protocol = self.protocol.as_deref();
        let members = self.members.values();
        let members = members.map(|member| member.to_stored(protocol, assignment(member)));
        self.to_store = Some(StoredGroup {
            members: members.collect(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: now,
        });
    }

    /// Nobody has to be waited for once each member has asked for its assignment.
    fn all_have_synced(&mut self) {
        if self.members.values().all(|member| member.has_synced) {
            self.sync_until = None;
        }
    }

    /// Whether members with these assignors can be in it.
    fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.all_know(name))
    }

    fn all_know(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.knows(protocol))
    }

    /// The assignor that most members like best, of those that all of them know.
    fn vote(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known = member.protocols.iter().map(|(name, _)| &**name);
            if let Some(choice) = known.into_iter().find(|name| self.all_know(name)) {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(name, _)| name.to_owned())
    }

    /// How a join of a member that is in the group is answered.
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
