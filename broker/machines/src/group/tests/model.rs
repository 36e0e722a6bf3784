//! Random members, joining, dying, committing, against the laws of a group.
//!
//! - Each waiter is completed once, and in the end all of them are.
//! - A generation has one leader, and only the leader sees the members; all of them get what it
//!   assigned.
//! - What replaying the log makes is what the live machine holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::*;
use crate::{Command, LogRecord, Moment, Start, StateMachine, Tick, TxnMembership};

const CLIENTS: usize = 4;

/// What a client does next.
#[derive(Clone, Debug)]
enum Act {
    Join {
        client: usize,
        knows_id: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        offset: i64,
    },
    CommitInTransaction {
        producer: i64,
        offset: i64,
    },
    End {
        producer: i64,
        committed: bool,
    },
    /// Its process ends, and another one takes its place; it is static if it is an odd one.
    Restart {
        client: usize,
    },
    Wait {
        ms: u64,
    },
    RestartBroker,
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), any::<bool>()).prop_map(|(client, knows_id)| Act::Join { client, knows_id }),
        6 => client.clone().prop_map(|client| Act::Sync { client }),
        3 => client.clone().prop_map(|client| Act::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Act::Leave { client }),
        2 => (client.clone(), 0_i64..100).prop_map(|(client, offset)| Act::Commit { client, offset }),
        2 => (0..3_i64, 0_i64..100).prop_map(|(producer, offset)| Act::CommitInTransaction { producer, offset }),
        1 => (0..3_i64, any::<bool>()).prop_map(|(producer, committed)| Act::End { producer, committed }),
        1 => client.prop_map(|client| Act::Restart { client }),
        3 => (0_u64..8000).prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::RestartBroker),
    ]
}

#[derive(Clone, Debug, Default)]
struct Client {
    member_id: String,
    generation: i32,
    /// For the leader: all members.
    members: Vec<String>,
}

#[derive(Debug)]
struct World {
    groups: Groups,
    log: Vec<LogRecord>,
    now_ms: u64,
    clients: Vec<Client>,
    /// The waiters, each with its client; `None` if the client's process is gone.
    waiting: HashMap<Waiter, Option<usize>>,
    waiters: u64,
    ids: u64,
    /// The leader of each generation since the broker's start.
    leaders: BTreeMap<i32, String>,
    /// What it has assigned, by generation.
    assigned: BTreeMap<i32, BTreeMap<String, Bytes>>,
}

fn new_offset(partition: i32, offset: i64) -> NewOffset {
    NewOffset {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(partition),
        offset: Offset(offset),
        leader_epoch: -1,
        metadata: String::new(),
    }
}

fn config() -> GroupConfig {
    GroupConfig {
        members_max: 3,
        ..GroupConfig::default()
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            groups: Groups::new(config()),
            log: Vec::new(),
            now_ms: 0,
            clients: vec![Client::default(); CLIENTS],
            waiting: HashMap::new(),
            waiters: 0,
            ids: 0,
            leaders: BTreeMap::new(),
            assigned: BTreeMap::new(),
        };
        world.ask(Start);
        world
    }

    fn ask<C: Command<Groups>>(&mut self, command: C) -> C::Answer {
        let moment = Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        };
        let decision = command.decide(&mut self.groups, moment);
        for record in decision.records {
            let offset = Offset(self.log.len() as i64);
            let completions = self.groups.replay(offset, &record).unwrap();
            self.log.push(record);
            for completion in completions {
                self.hear(completion);
            }
        }
        for completion in decision.effects {
            self.hear(completion);
        }
        decision.answer
    }

    fn hear(&mut self, completion: Completion) {
        let (Completion::Join(waiter, _) | Completion::Sync(waiter, _)) = completion;
        let client = self.waiting.remove(&waiter);
        let Some(client) = client.expect("a waiter is completed once") else {
            return;
        };
        match completion {
            Completion::Join(_, Ok(joined)) => self.joined(client, joined),
            Completion::Join(_, Err(GroupError::MemberIdRequired(id))) => {
                self.clients[client].member_id = id;
            }
            Completion::Sync(_, Ok(synced)) => {
                let Client {
                    member_id,
                    generation,
                    ..
                } = &self.clients[client];
                if let Some(parts) = self.assigned.get(generation)
                    && let Some(part) = parts.get(member_id)
                {
                    assert_eq!(&synced.assignment, part, "{member_id} in {generation}");
                }
            }
            Completion::Join(_, Err(_)) | Completion::Sync(_, Err(_)) => {}
        }
    }

    fn joined(&mut self, client: usize, joined: Joined) {
        let known = self.leaders.entry(joined.generation);
        let is_static = client % 2 == 1;
        let leader = known.or_insert_with(|| joined.leader.clone());
        let is_leader = joined.leader == joined.member_id;
        // A static leader that is replaced has another id in the same generation.
        assert!(
            *leader == joined.leader || is_static || !is_leader,
            "one leader"
        );
        assert!(is_leader || joined.members.is_empty());
        let members: Vec<_> = joined.members.into_iter().map(|member| member.id).collect();
        assert!(!is_leader || joined.skip_assignment || members.contains(&joined.member_id));
        let members = if joined.skip_assignment {
            Vec::new()
        } else {
            members
        };
        self.clients[client] = Client {
            member_id: joined.member_id,
            generation: joined.generation,
            members,
        };
    }

    fn waiter(&mut self, client: usize) -> Waiter {
        self.waiters += 1;
        let waiter = Waiter(self.waiters);
        self.waiting.insert(waiter, Some(client));
        waiter
    }

    /// A client does one thing at a time.
    fn is_busy(&self, client: usize) -> bool {
        self.waiting
            .values()
            .any(|waiting| *waiting == Some(client))
    }

    fn identity(&self, client: usize) -> Identity {
        Identity {
            member_id: self.clients[client].member_id.clone(),
            instance_id: instance_id(client),
            generation: self.clients[client].generation,
        }
    }

    fn act(&mut self, act: Act) {
        let group = || "g".to_owned();
        match act {
            Act::Wait { ms } => self.go_to(self.now_ms + ms),
            Act::RestartBroker => self.restart(),
            Act::Restart { client } => {
                let waiting = self.waiting.values_mut();
                for waiting in waiting.filter(|waiting| **waiting == Some(client)) {
                    *waiting = None;
                }
                self.clients[client] = Client::default();
            }
            Act::Join { client, .. } | Act::Sync { client } if self.is_busy(client) => {}
            Act::Join { client, knows_id } => {
                let join = self.join(client, knows_id);
                self.ask(join);
            }
            Act::Sync { client } => {
                let sync = self.sync(client);
                self.ask(sync);
            }
            Act::Heartbeat { client } => {
                let (group, identity) = (group(), self.identity(client));
                drop(self.ask(Heartbeat { group, identity }));
            }
            Act::Leave { client } => {
                let member = (self.clients[client].member_id.clone(), instance_id(client));
                let (group, members) = (group(), vec![member]);
                assert_eq!(self.ask(LeaveGroup { group, members }).len(), 1);
            }
            Act::Commit { client, offset } => {
                let commit = CommitOffsets {
                    group: group(),
                    identity: self.identity(client),
                    offsets: vec![new_offset(client as i32, offset)],
                };
                if let Ok(results) = self.ask(commit) {
                    assert_eq!(results.len(), 1);
                }
            }
            Act::CommitInTransaction { producer, offset } => {
                let mut commit = CommitInTransaction {
                    group: group(),
                    identity: Identity::default(),
                    producer: Self::producer(producer),
                    verified_at: None,
                    // Two producers meet at one partition.
                    offsets: vec![new_offset(producer as i32 / 2, offset)],
                };
                if let TxnCommitted::Unverified(markers) = self.ask(commit.clone()) {
                    commit.verified_at = Some(markers);
                    let answer = self.ask(commit);
                    assert!(matches!(answer, TxnCommitted::Checked(_)), "{answer:?}");
                }
            }
            Act::End {
                producer,
                committed,
            } => {
                let producer = Self::producer(producer);
                self.ask(EndTransaction {
                    producer,
                    committed,
                });
            }
        }
    }

    fn producer(id: i64) -> Producer {
        Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
        }
    }

    /// The log as compaction leaves it: the last record of each key that counts.
    fn compacted(&self) -> Groups {
        let mut aborted = BTreeSet::new();
        let mut last = HashMap::new();
        let mut kept = vec![true; self.log.len()];
        for (at, record) in self.log.iter().enumerate().rev() {
            let counts = match record.txn {
                TxnMembership::Marker {
                    producer,
                    committed,
                } => {
                    aborted.remove(&producer.id);
                    if !committed {
                        aborted.insert(producer.id);
                    }
                    continue;
                }
                TxnMembership::Transactional(producer) => !aborted.contains(&producer.id),
                TxnMembership::NonTransactional => true,
            };
            kept[at] = counts && last.insert(record.key.clone(), at).is_none();
        }
        let mut groups = Groups::new(config());
        for (at, record) in self.log.iter().enumerate().filter(|(at, _)| kept[*at]) {
            groups.replay(Offset(at as i64), record).unwrap();
        }
        groups
    }

    fn join(&mut self, client: usize, knows_id: bool) -> JoinGroup {
        self.ids += 1;
        JoinGroup {
            group: "g".to_owned(),
            waiter: self.waiter(client),
            member_id: self.clients[client].member_id.clone(),
            new_member_id: format!("c{client}-{}", self.ids),
            instance_id: instance_id(client),
            client_id: String::new(),
            client_host: String::new(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::new())],
            rebalance_timeout: Duration::from_secs(9),
            session_timeout: Duration::from_secs(6),
            must_know_id: knows_id,
            may_skip_assignment: knows_id,
        }
    }

    fn sync(&mut self, client: usize) -> SyncGroup {
        let generation = self.clients[client].generation;
        let members = self.clients[client].members.clone();
        let part = |id: &String| (id.clone(), Bytes::from(format!("{generation}:{id}")));
        let parts: HashMap<_, _> = members.iter().map(part).collect();
        if !parts.is_empty() {
            let parts = parts.clone().into_iter().collect();
            self.assigned.entry(generation).or_insert(parts);
        }
        SyncGroup {
            group: "g".to_owned(),
            waiter: self.waiter(client),
            identity: self.identity(client),
            protocol_type: None,
            protocol: None,
            assignments: parts,
        }
    }

    fn go_to(&mut self, ms: u64) {
        while let Some(deadline) = self.groups.deadline()
            && deadline.0 <= Duration::from_millis(ms)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            self.ask(Tick);
        }
        self.now_ms = ms;
    }

    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(config());
        for (offset, record) in (0..).map(Offset).zip(&self.log) {
            groups.replay(offset, record).unwrap();
        }
        groups
    }

    fn restart(&mut self) {
        self.groups = self.replayed();
        self.waiting.clear();
        // The number of a generation that was under way is used again, for others.
        self.leaders.clear();
        self.assigned.clear();
        self.ask(Start);
    }

    fn check(&self) {
        let live = &self.groups.hard;
        assert_eq!(
            *live,
            self.replayed().hard,
            "replay makes what the live machine holds"
        );
        // Compaction stops below what is open.
        if live.pending().partitions("g").next().is_none() {
            let compacted = self.compacted().hard;
            assert_eq!(
                *live, compacted,
                "compaction takes nothing away that counts"
            );
        }
        let Some(group) = self.groups.describe("g") else {
            return;
        };
        // Static members that are away keep their place.
        let away = group
            .members
            .iter()
            .filter(|member| member.instance_id.is_some());
        let is_over = group.state != GroupState::PreparingRebalance;
        assert!(!is_over || group.members.len() <= 3 + away.count());
        let ids: BTreeSet<_> = group.members.iter().map(|member| &member.id).collect();
        assert_eq!(ids.len(), group.members.len());
        // A rebalance may wait for a client that was given an id.
        let may_be_empty = [GroupState::Empty, GroupState::PreparingRebalance];
        assert!(!group.members.is_empty() || may_be_empty.contains(&group.state));
        assert!(group.members.is_empty() || group.state != GroupState::Empty);
    }
}

fn instance_id(client: usize) -> Option<String> {
    (client % 2 == 1).then(|| format!("i{client}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_group_keeps_its_laws(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            world.check();
        }
        world.go_to(world.now_ms + 3_600_000);
        world.check();
        prop_assert!(world.waiting.is_empty(), "a waiter is left");
        let group = world.groups.describe("g");
        prop_assert!(group.is_none_or(|group| group.members.is_empty()), "all are silent");
    }
}
