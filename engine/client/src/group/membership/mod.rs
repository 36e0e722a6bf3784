//! A member of a group, as a state machine: it does no I/O, and time is passed in.
//!
//! ```text
//!                 ┌─────────────── must rejoin, nothing to be given up ───────────────┐
//!                 ▼                                                                   │
//!  start ──▶ Joining ──leader──▶ Looking ──counts, assignor──▶ Syncing ──────▶ Stable ┘
//!             ▲   └──follower──────────────────────────────────▲  │              │ a heartbeat
//!             │                                                   │              │ every 3 s
//!             ├── unknown member, illegal generation: lost ◀──────┴──────────────┤
//!             └── polled again ── Stalled ◀── left ◀── not polled for 5 minutes ─┘
//!
//!  anything ── close ──▶ Leaving ──▶ Out ◀── fenced, refused ── anything
//! ```
//!
//! There are two protocols, and the member's assignors decide which one it follows (KIP-429).
//! *Eager*: it gives up all it has and joins. *Cooperative*: it joins with what it has, gives up
//! what it is asked to, and joins again. As in Kafka, a member is cooperative only if all its
//! assignors are.
//!
//! The caller asks [`Membership::next`] what to do, does it, and says what came of it
//! ([`Membership::done`]). What the program has to know comes as a [`GroupEvent`], one at a time,
//! until it is acknowledged.
//!
//! Invariants:
//! - at most one thing is under way;
//! - nobody joins while an event is unacknowledged: so what was to be given up is given up;
//! - nobody joins between [`Membership::hold`] and the next poll: so a transaction's offsets are of
//!   the generation that they say;
//! - heartbeats go on while the program takes its time, up to `max.poll.interval.ms`.

mod requests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};
use brooklet_protocol::{TopicName, TopicPartition};

use super::assignor::{Assignments, Assignor, Member, PartitionCounts};
use super::protocol::{Partitions, Subscription, decode_assignment};
use crate::{ClientError, backoff};

/// What a member is and wants.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) group: String,
    pub(super) instance_id: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) topics: BTreeSet<TopicName>,
    pub(super) assignors: Vec<Assignor>,
    pub(super) session_timeout: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) poll_interval_max: Duration,
    pub(super) metadata_age_max: Duration,
}

/// What happens to a consumer's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These came.
    Assigned(BTreeSet<TopicPartition>),
    /// These go to others; until the event is acknowledged, offsets can be committed.
    Revoked(BTreeSet<TopicPartition>),
    /// These are gone already, and others may read them: the group has given the member up.
    Lost(BTreeSet<TopicPartition>),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Task {
    Join(JoinGroupRequest),
    /// Look up how many partitions these have.
    Look(BTreeSet<TopicName>),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    /// Nothing until then, or until something happens.
    Wait(Option<Duration>),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Joined(JoinGroupResponse),
    Looked(PartitionCounts),
    Synced(SyncGroupResponse),
    /// The error code of the answer.
    Heard(i16),
    Left,
    Failed(ClientError),
}

/// In the name of which a member commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
}

#[derive(Debug)]
enum Phase {
    Joining,
    Looking(Vec<Member>),
    Syncing(Assignments),
    Stable,
    Stalled,
    Leaving { is_for_good: bool },
    Out,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Membership {
    terms: Terms,
    phase: Phase,
    is_under_way: bool,
    /// After a failure: nothing is done before.
    not_before: Duration,
    failures: u32,
    /// Why the last attempt failed, if it did.
    trouble: Option<ClientError>,
    heartbeat_at: Duration,
    polled_at: Duration,
    /// Empty until the coordinator has given one.
    member_id: String,
    /// -1 outside of any.
    generation: i32,
    assignor: Option<Assignor>,
    /// The partitions that a join reports as ours.
    owned: Partitions,
    /// The last assignment and its generation, which `sticky` remembers.
    previous: (Partitions, i32),
    must_rejoin: bool,
    /// The program commits in the name of this generation: nobody joins before the next poll.
    is_held: bool,
    /// If it leads: what it assigned, to be compared when it looks again.
    counts: Option<PartitionCounts>,
    look_at: Duration,
    events: VecDeque<GroupEvent>,
    failure: Option<ClientError>,
}

impl Membership {
    pub(super) fn new(terms: Terms, now: Duration) -> Self {
        Self {
            terms,
            phase: Phase::Joining,
            is_under_way: false,
            not_before: Duration::ZERO,
            failures: 0,
            trouble: None,
            heartbeat_at: now,
            polled_at: now,
            member_id: String::new(),
            generation: -1,
            assignor: None,
            owned: Partitions::new(),
            previous: (Partitions::new(), -1),
            must_rejoin: false,
            is_held: false,
            counts: None,
            look_at: now,
            events: VecDeque::new(),
            failure: None,
        }
    }

    /// What to do now. Anything but `Wait` is under way until its outcome is reported.
    pub(super) fn next(&mut self, now: Duration) -> Task {
        if self.is_under_way {
            return Task::Wait(None);
        }
        if now < self.not_before {
            return Task::Wait(Some(self.not_before));
        }
        if matches!(self.phase, Phase::Stable) {
            if now >= self.stalls_at() {
                self.stall();
            } else if self.must_rejoin && self.events.is_empty() && !self.is_held {
                self.phase = Phase::Joining;
            }
        }
        let task = match &self.phase {
            Phase::Joining if self.events.is_empty() => Task::Join(self.join_request()),
            Phase::Looking(members) => Task::Look(topics_of(members)),
            Phase::Syncing(assignments) => Task::Sync(self.sync_request(assignments)),
            Phase::Stable if now >= self.heartbeat_at => Task::Heartbeat(self.heartbeat_request()),
            Phase::Stable => match &self.counts {
                Some(counts) if now >= self.look_at => Task::Look(counts.keys().cloned().collect()),
                _ => return Task::Wait(Some(self.wakes_at())),
            },
            Phase::Leaving { .. } => Task::Leave(self.leave_request()),
            Phase::Joining | Phase::Stalled | Phase::Out => return Task::Wait(None),
        };
        self.is_under_way = true;
        task
    }

    /// What came of the last task.
    pub(super) fn done(&mut self, outcome: Outcome, now: Duration) {
        self.is_under_way = false;
        match outcome {
            Outcome::Left => self.left(now),
            Outcome::Failed(_) if matches!(self.phase, Phase::Leaving { .. }) => self.left(now),
            Outcome::Failed(error) if error.is_retriable() => self.pause(error, now),
            Outcome::Failed(error) => self.fail(error),
            Outcome::Joined(answer) => self.joined(answer, now),
            Outcome::Looked(counts) => self.looked(counts, now),
            Outcome::Synced(answer) => self.synced(answer, now),
            Outcome::Heard(code) => self.heard(code, now),
        }
    }

    /// The program is alive.
    pub(super) fn polled(&mut self, now: Duration) {
        self.polled_at = now;
        self.is_held = false;
        if matches!(self.phase, Phase::Stalled) {
            self.member_id.clear();
            self.lose();
        }
    }

    /// What the program has to know next.
    pub(super) fn event(&self) -> Option<&GroupEvent> {
        self.events.front()
    }

    /// The program knows; what was revoked is given up.
    pub(super) fn acknowledge(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// Why the member is out of the group, once.
    pub(super) fn take_failure(&mut self) -> Option<ClientError> {
        self.failure.take()
    }

    /// Why the last attempt failed, while it is tried again.
    pub(super) fn trouble(&self) -> Option<&ClientError> {
        self.trouble.as_ref()
    }

    /// `None` outside of any generation.
    pub(super) fn identity(&self) -> Option<Identity> {
        (self.generation >= 0).then(|| Identity {
            member_id: self.member_id.clone(),
            instance_id: self.terms.instance_id.clone(),
            generation: self.generation,
        })
    }

    /// The identity in whose name a transaction can commit offsets: it does not join again before
    /// it is polled. `None` outside of any generation, and while the next one is being agreed on.
    pub(super) fn hold(&mut self) -> Option<Identity> {
        if !matches!(self.phase, Phase::Stable) {
            return None;
        }
        self.is_held = true;
        self.identity()
    }

    /// Whether a partition is assigned.
    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        self.owned.contains(partition)
    }

    /// A commit in the name of `identity` was refused, which says something about the membership
    /// unless that has changed in the meantime.
    pub(super) fn commit_refused(&mut self, identity: &Identity, code: ErrorCode, now: Duration) {
        let is_current = self.identity().as_ref() == Some(identity);
        if is_current && matches!(self.phase, Phase::Stable) {
            match code {
                ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
                | ErrorCode::FencedInstanceId => self.refused("commit", code, now),
                _ => {}
            }
        }
    }

    /// Leaves; what is under way no longer matters. A static member sends nothing: it will
    /// be back before its session ends, or not.
    pub(super) fn leave(&mut self) {
        self.is_under_way = false;
        self.not_before = Duration::ZERO;
        let says_so = !self.member_id.is_empty() && self.terms.instance_id.is_none();
        self.phase = match self.phase {
            Phase::Out | Phase::Stalled => Phase::Out,
            _ if says_so => Phase::Leaving { is_for_good: true },
            _ => Phase::Out,
        };
    }

    /// Whether nothing more will happen.
    pub(super) fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Out)
    }

    fn is_cooperative(&self) -> bool {
        self.terms
            .assignors
            .iter()
            .all(|assignor| assignor.is_cooperative())
    }

    fn stalls_at(&self) -> Duration {
        self.polled_at.saturating_add(self.terms.poll_interval_max)
    }

    fn wakes_at(&self) -> Duration {
        let wakes = self.heartbeat_at.min(self.stalls_at());
        match self.counts {
            Some(_) => wakes.min(self.look_at),
            None => wakes,
        }
    }

    /// The program hangs, and others shall have its partitions.
    fn stall(&mut self) {
        self.phase = match self.terms.instance_id {
            Some(_) => Phase::Stalled,
            None => Phase::Leaving { is_for_good: false },
        };
    }

    fn left(&mut self, now: Duration) {
        let is_for_good = matches!(self.phase, Phase::Leaving { is_for_good: true });
        self.phase = if is_for_good {
            Phase::Out
        } else {
            Phase::Stalled
        };
        if !is_for_good && now < self.stalls_at() {
            // It has been polled while it left.
            self.polled(self.polled_at);
        }
    }

    fn joined(&mut self, answer: JoinGroupResponse, now: Duration) {
        match ErrorCode::try_from_code(answer.error_code) {
            None => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.member_id = answer.member_id.to_string();
                return;
            }
            Some(code) => return self.refused("join", code, now),
        }
        let name = answer.protocol_name.as_deref().unwrap_or_default();
        let known = self
            .terms
            .assignors
            .iter()
            .find(|known| known.name() == name);
        let Some(assignor) = known.copied() else {
            let words = format!(
                "group '{}' chose assignor '{name}', which this member did not offer",
                self.terms.group
            );
            return self.fail(ClientError::Unexpected(words));
        };
        self.succeeded();
        self.must_rejoin = false;
        self.counts = None;
        self.member_id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        self.assignor = Some(assignor);
        let is_leader = answer.leader == answer.member_id && !answer.skip_assignment;
        self.phase = if is_leader {
            Phase::Looking(
                answer
                    .members
                    .into_iter()
                    .filter_map(requests::member)
                    .collect(),
            )
        } else {
            Phase::Syncing(Assignments::new())
        };
    }

    fn looked(&mut self, counts: PartitionCounts, now: Duration) {
        self.succeeded();
        self.look_at = now + self.terms.metadata_age_max;
        if let (Phase::Looking(members), Some(assignor)) = (&self.phase, self.assignor) {
            let assignments = assignor.assign(&counts, members);
            // Topics that are not there yet are looked for again, too.
            let topics = topics_of(members).into_iter();
            let of_topic =
                |topic: TopicName| (topic.clone(), counts.get(&topic).copied().unwrap_or(0));
            self.counts = Some(topics.map(of_topic).collect());
            self.phase = Phase::Syncing(assignments);
        } else if let Some(known) = &self.counts {
            let differs = |(topic, count): (&TopicName, &i32)| {
                counts.get(topic).copied().unwrap_or(0) != *count
            };
            if known.iter().any(differs) {
                self.rejoin();
            }
        }
    }

    fn synced(&mut self, answer: SyncGroupResponse, now: Duration) {
        if let Some(code) = ErrorCode::try_from_code(answer.error_code) {
            return self.refused("sync", code, now);
        }
        let Some(assigned) = decode_assignment(answer.assignment) else {
            let words = format!(
                "the assignment in group '{}' is cut short",
                self.terms.group
            );
            return self.fail(ClientError::Unexpected(words));
        };
        self.succeeded();
        self.phase = Phase::Stable;
        self.heartbeat_at = now + self.terms.heartbeat_interval;
        self.previous = (assigned.clone(), self.generation);
        let former = std::mem::replace(&mut self.owned, assigned);
        let revoked: Partitions = former.difference(&self.owned).cloned().collect();
        let added: Partitions = self.owned.difference(&former).cloned().collect();
        if !revoked.is_empty() {
            // Others get it once we have joined without it.
            self.must_rejoin = true;
            self.events.push_back(GroupEvent::Revoked(revoked));
        }
        if !added.is_empty() {
            self.events.push_back(GroupEvent::Assigned(added));
        }
    }

    fn heard(&mut self, code: i16, now: Duration) {
        if let Some(code) = ErrorCode::try_from_code(code) {
            return self.refused("heartbeat", code, now);
        }
        self.succeeded();
        self.heartbeat_at = now + self.terms.heartbeat_interval;
    }

    /// An answer with an error code.
    fn refused(&mut self, what: &str, code: ErrorCode, now: Duration) {
        let what = format!("{what} in group '{}'", self.terms.group);
        let error = ClientError::broker(what, code, None);
        match code {
            ErrorCode::RebalanceInProgress if matches!(self.phase, Phase::Stable) => {
                self.heartbeat_at = now + self.terms.heartbeat_interval;
                self.rejoin();
            }
            ErrorCode::RebalanceInProgress => {
                self.phase = Phase::Joining;
            }
            ErrorCode::UnknownMemberId => {
                self.member_id.clear();
                self.lose();
                self.pause(error, now);
            }
            ErrorCode::IllegalGeneration => {
                self.lose();
                self.pause(error, now);
            }
            _ if code.is_retriable() => self.pause(error, now),
            _ => self.fail(error),
        }
    }

    fn rejoin(&mut self) {
        if !self.must_rejoin {
            self.must_rejoin = true;
            if !self.is_cooperative() {
                self.give_up(GroupEvent::Revoked);
            }
        }
    }

    fn lose(&mut self) {
        self.generation = -1;
        self.phase = Phase::Joining;
        self.must_rejoin = false;
        self.counts = None;
        for event in &mut self.events {
            if let GroupEvent::Revoked(gone) = event {
                // It is too late to give it up in good order.
                *event = GroupEvent::Lost(std::mem::take(gone));
            }
        }
        self.give_up(GroupEvent::Lost);
    }

    fn give_up(&mut self, event: impl Fn(Partitions) -> GroupEvent) {
        let owned = std::mem::take(&mut self.owned);
        if !owned.is_empty() {
            self.events.push_back(event(owned));
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.trouble = None;
    }

    fn pause(&mut self, error: ClientError, now: Duration) {
        self.trouble = Some(error);
        self.failures += 1;
        self.not_before = now + backoff::after(self.failures);
    }

    /// It stays refused whatever is tried.
    fn fail(&mut self, error: ClientError) {
        self.lose();
        self.phase = Phase::Out;
        self.failure = Some(error);
    }

    fn subscription(&self, assignor: Assignor) -> Subscription {
        let (previous, generation) = &self.previous;
        Subscription {
            topics: self.terms.topics.clone(),
            user_data: assignor.user_data(previous, *generation),
            owned: self.owned.clone(),
            generation: self.generation,
            rack: self.terms.rack.clone(),
        }
    }
}

fn topics_of(members: &[Member]) -> BTreeSet<TopicName> {
    let topics = members.iter().flat_map(|m| &m.subscription.topics);
    topics.cloned().collect()
}

#[cfg(test)]
mod tests;
