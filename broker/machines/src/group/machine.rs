//! All groups of one partition of `__consumer_offsets`, as a [`StateMachine`].

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use brooklet_protocol::{Monotonic, Offset, Timestamp};

use super::answer::{GroupAnswer, GroupError, Told};
use super::classic::{Group, GroupLimits, JoinGroup};
use super::command::{Answer, Command, GroupConfig, Place, SyncGroup};
use super::describe::{DescribedGroup, ListedGroup};
use super::offsets::Entry;
use super::pending::Pending;
#[cfg(test)]
use super::record::StoredGroup;
use super::record::{CommittedOffset, GroupRecord};
use super::timers::Timers;
use crate::{Decision, LogRecord, Moment, Standing, StateMachine};

/// How often offsets are looked at that may have expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);
/// What fits into a record's string.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// How far a group has read.
type Offsets = BTreeMap<Place, CommittedOffset>;

/// All groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Groups {
    pub(super) config: GroupConfig,
    pub(super) by_id: BTreeMap<String, Entry>,
    /// What open transactions will have committed.
    pub(super) pending: Pending,
    /// Markers in the log since the start of this process.
    pub(super) markers: u64,
    timers: Timers,
    /// When offsets may have expired; `None` until the log is replayed.
    next_expiry: Option<Monotonic>,
}

impl Groups {
    /// None yet.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            by_id: BTreeMap::new(),
            pending: Pending::default(),
            markers: 0,
            timers: Timers::default(),
            next_expiry: None,
        }
    }

    /// How far a group has read; nothing of one that there is not.
    pub fn offsets(&self, group: &str) -> Option<&Offsets> {
        self.by_id.get(group).map(|entry| &entry.offsets)
    }

    /// A group, for whoever looks.
    pub fn describe(&self, group: &str) -> Option<DescribedGroup> {
        self.by_id
            .get(group)
            .map(|entry| DescribedGroup::of(&entry.group))
    }

    /// All groups.
    pub fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.by_id
            .iter()
            .map(|(id, entry)| ListedGroup::of(id, &entry.group))
    }

    /// What replaying the log has to give again.
    #[cfg(test)]
    pub(super) fn hard_state(&self) -> (BTreeMap<String, (Option<StoredGroup>, Offsets)>, Pending) {
        let entries = self.by_id.iter();
        let hard = entries.filter(|(_, entry)| entry.stored.is_some() || !entry.offsets.is_empty());
        let groups =
            hard.map(|(id, entry)| (id.clone(), (entry.stored.clone(), entry.offsets.clone())));
        (groups.collect(), self.pending.clone())
    }

    pub(super) fn limits(&self) -> GroupLimits {
        GroupLimits {
            members_max: self.config.members_max,
            member_bytes_max: self.config.member_bytes_max,
            group_bytes_max: self.config.group_bytes_max,
            initial_delay: self.config.initial_rebalance_delay,
        }
    }

    fn join(&mut self, at: Moment, id: String, join: JoinGroup) -> Decision<Answer, Told> {
        let waiter = join.waiter;
        if let Err(error) = self.check_join(&id, &join) {
            let answer = GroupAnswer::Joined(Err(error));
            return told(vec![Told { waiter, answer }]);
        }
        if !self.by_id.contains_key(&id) {
            let group = Group::new(self.limits(), at.wall);
            self.by_id.insert(id.clone(), Entry::new(group));
        }
        self.with_group(&id, |group| group.join(time(at), join)).1
    }

    fn check_join(&self, id: &str, join: &JoinGroup) -> Result<(), GroupError> {
        check_group_id(id)?;
        let texts = [
            ("the client id", &join.client_id),
            ("the client host", &join.client_host),
            ("the protocol type", &join.protocol_type),
            ("the member id", &join.new_member_id),
        ];
        let instance = join.instance_id.iter().map(|id| ("the instance id", id));
        let protocols = join
            .protocols
            .iter()
            .map(|(name, _)| ("a protocol's name", name));
        for (what, text) in texts.into_iter().chain(instance).chain(protocols) {
            if text.len() > STRING_BYTES_MAX {
                return Err(GroupError::TooLong(what));
            }
        }
        let (min, max) = (
            self.config.session_timeout_min,
            self.config.session_timeout_max,
        );
        if !(min..=max).contains(&join.session_timeout) {
            let (min_ms, max_ms) = (min.as_millis(), max.as_millis());
            return Err(GroupError::SessionTimeout { min_ms, max_ms });
        }
        if self.by_id.contains_key(id) {
            return Ok(());
        }
        if !join.member_id.is_empty() {
            return Err(GroupError::UnknownMember);
        }
        self.check_room()
    }

    pub(super) fn check_room(&self) -> Result<(), GroupError> {
        if self.by_id.len() < self.config.groups_max {
            Ok(())
        } else {
            Err(GroupError::TooManyGroups(self.config.groups_max))
        }
    }

    fn sync(&mut self, at: Moment, id: &str, sync: SyncGroup) -> Decision<Answer, Told> {
        let waiter = sync.waiter;
        if !self.by_id.contains_key(id) {
            let answer = GroupAnswer::Synced(Err(no_such(id)));
            return told(vec![Told { waiter, answer }]);
        }
        let (found, max) = (sync.assigned_bytes(), self.config.group_bytes_max);
        if found > max {
            let error = GroupError::AssignmentsTooLarge { found, max };
            let answer = GroupAnswer::Synced(Err(error));
            return told(vec![Told { waiter, answer }]);
        }
        let protocols = (sync.protocol_type.as_deref(), sync.protocol.as_deref());
        let decided = self.with_group(id, |group| {
            let who = (waiter, sync.identity.speaker());
            group.sync(time(at), who, protocols, sync.assignments);
        });
        decided.1
    }

    /// Works on a group that is there; gives what it says, and the decision.
    fn with_group<T>(
        &mut self,
        id: &str,
        work: impl FnOnce(&mut Group) -> T,
    ) -> (T, Decision<Answer, Told>) {
        let entry = self.by_id.get_mut(id).expect("it was looked for");
        let said = work(&mut entry.group);
        let (effects, to_store) = entry.group.drain();
        if entry.group.is_forgotten() && entry.stored.is_none() && entry.offsets.is_empty() {
            // Its only client was refused.
            self.by_id.remove(id);
        }
        self.arm(id);
        let record = |stored| GroupRecord::Group {
            group: id.to_owned(),
            stored: Some(stored),
        };
        let records = to_store
            .map(|stored| record(stored).encode())
            .into_iter()
            .collect();
        let answer = Answer::None;
        let decision = Decision {
            records,
            answer,
            effects,
        };
        (said, decision)
    }

    pub(super) fn arm(&mut self, id: &str) {
        if let Some(entry) = self.by_id.get(id)
            && let Some(deadline) = entry.group.deadline()
        {
            self.timers.arm(id, deadline);
        }
    }

    fn start(&mut self, at: Moment) -> Decision<Answer, Told> {
        self.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
        for (id, entry) in &mut self.by_id {
            for member in entry.group.members.values_mut() {
                member.touch(at.monotonic);
            }
            if let Some(deadline) = entry.group.deadline() {
                self.timers.arm(id, deadline);
            }
        }
        Decision::read(Answer::None)
    }

    fn tick(&mut self, at: Moment) -> Decision<Answer, Told> {
        let mut decision = Decision::read(Answer::None);
        for id in self.timers.due(at.monotonic) {
            if self.by_id.contains_key(&id) {
                let more = self.with_group(&id, |group| group.on_time(time(at))).1;
                decision.records.extend(more.records);
                decision.effects.extend(more.effects);
            }
        }
        if self.next_expiry.is_some_and(|next| next <= at.monotonic) {
            self.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
            let groups = self.by_id.iter();
            let expired = groups.flat_map(|(id, entry)| self.expired(at.wall, id, entry));
            let expired: Vec<_> = expired.collect();
            decision.records.extend(expired);
        }
        decision
    }
}

pub(super) fn check_group_id(id: &str) -> Result<(), GroupError> {
    if id.is_empty() || id.len() > STRING_BYTES_MAX {
        let shown = id.chars().take(100).collect();
        return Err(GroupError::InvalidGroupId(shown));
    }
    Ok(())
}

fn no_such(id: &str) -> GroupError {
    check_group_id(id)
        .err()
        .unwrap_or(GroupError::UnknownMember)
}

fn time(at: Moment) -> (Monotonic, Timestamp) {
    (at.monotonic, at.wall)
}

fn told(effects: Vec<Told>) -> Decision<Answer, Told> {
    Decision {
        records: Vec::new(),
        answer: Answer::None,
        effects,
    }
}

impl StateMachine for Groups {
    type Command = Command;
    type Answer = Answer;
    type Effect = Told;

    fn decide(&mut self, at: Moment, command: Command) -> Decision<Answer, Told> {
        match command {
            Command::Start => self.start(at),
            Command::Join(id, join) => self.join(at, id, join),
            Command::Sync(id, sync) => self.sync(at, &id, sync),
            Command::Heartbeat(id, identity) => {
                if !self.by_id.contains_key(&id) {
                    return Decision::read(Answer::Done(Err(no_such(&id))));
                }
                let beat = |group: &mut Group| group.heartbeat(at.monotonic, identity.speaker());
                let (said, decision) = self.with_group(&id, beat);
                Decision {
                    answer: Answer::Done(said),
                    ..decision
                }
            }
            Command::Leave(id, members) => {
                if !self.by_id.contains_key(&id) {
                    let left = members.iter().map(|_| Err(no_such(&id))).collect();
                    return Decision::read(Answer::Left(left));
                }
                let (said, decision) = self.with_group(&id, |group| {
                    let leave = |(member, instance): &(String, Option<String>)| {
                        group.leave(time(at), member, instance.as_deref())
                    };
                    members.iter().map(leave).collect()
                });
                Decision {
                    answer: Answer::Left(said),
                    ..decision
                }
            }
            Command::Commit(id, identity, offsets) => self.commit(at, id, &identity, offsets),
            Command::CommitInTransaction(id, identity, commit) => {
                self.commit_in_transaction(at, &id, &identity, commit)
            }
            Command::EndTransaction(producer, committed) => {
                Self::end_transaction(producer, committed)
            }
            Command::DeleteOffsets(id, places) => self.delete_offsets(&id, places),
            Command::DeleteGroup(id) => self.delete_group(&id),
            Command::ForgetTopics(topics) => self.forget_topics(&topics),
            Command::Tick => self.tick(at),
        }
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<Told>, Box<dyn Error + Send + Sync>> {
        let mut told = Vec::new();
        let record = match record.standing {
            Standing::Outside => GroupRecord::decode(record)?,
            Standing::Inside(producer) => {
                if let Some(GroupRecord::Offset {
                    group,
                    topic,
                    partition,
                    committed: Some(committed),
                }) = GroupRecord::decode(record)?
                {
                    let at = (group, (topic, partition));
                    self.pending.insert(producer.id, at, (offset, committed));
                }
                return Ok(told);
            }
            Standing::Ends {
                producer,
                committed,
            } => {
                self.ended(producer.id, committed);
                return Ok(told);
            }
        };
        match record {
            None => {}
            Some(GroupRecord::Offset {
                group,
                topic,
                partition,
                committed,
            }) => {
                let at = (group, (topic, partition));
                self.pending.forget_before(offset, &at);
                let (group, place) = at;
                match committed {
                    Some(committed) => {
                        let limits = self.limits();
                        let since = committed.committed_at;
                        let new = || Entry::new(Group::new(limits, since));
                        let entry = self.by_id.entry(group).or_insert_with(new);
                        entry.offsets.insert(place, committed);
                    }
                    None => {
                        if let Some(entry) = self.by_id.get_mut(&group) {
                            entry.offsets.remove(&place);
                        }
                    }
                }
            }
            Some(GroupRecord::Group {
                group,
                stored: None,
            }) => {
                self.by_id.remove(&group);
            }
            Some(GroupRecord::Group {
                group,
                stored: Some(stored),
            }) => {
                let is_live = self.next_expiry.is_some();
                let limits = self.limits();
                let new = || Entry::new(Group::new(limits, stored.since));
                let entry = self.by_id.entry(group).or_insert_with(new);
                if is_live {
                    entry.group.take_in(&stored, &mut told);
                } else {
                    entry.group = Group::loaded(limits, stored.clone());
                }
                entry.stored = Some(stored);
            }
        }
        Ok(told)
    }

    fn deadline(&self) -> Option<(Monotonic, Command)> {
        let next = self.timers.next().into_iter().chain(self.next_expiry).min();
        next.map(|deadline| (deadline, Command::Tick))
    }
}
