//! Random members, joining, dying, committing, against the laws of a group.
//!
//! - Whoever waits is told once, and in the end everybody is.
//! - A generation has one leader, who alone learns of the members; all of them get what it assigned.
//! - What replaying the log makes is what the live machine holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::*;
use crate::{LogRecord, Moment, Standing, StateMachine};

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
    /// Of the leader: who is there.
    members: Vec<String>,
}

#[derive(Debug)]
struct World {
    groups: Groups,
    log: Vec<LogRecord>,
    now_ms: u64,
    clients: Vec<Client>,
    /// Who waits, and which client hears it; none, if its process is gone.
    waiting: HashMap<Waiter, Option<usize>>,
    waiters: u64,
    ids: u64,
    /// The leader of each generation since the broker's start.
    leaders: BTreeMap<i32, String>,
    /// What it has assigned, as far as it counts.
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
        world.ask(Command::Start);
        world
    }

    fn ask(&mut self, command: Command) -> Answer {
        let moment = Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        };
        let decision = self.groups.decide(moment, command);
        for record in decision.records {
            let offset = Offset(self.log.len() as i64);
            let told = self.groups.replay(offset, &record).unwrap();
            self.log.push(record);
            for told in told {
                self.hear(told);
            }
        }
        for told in decision.effects {
            self.hear(told);
        }
        decision.answer
    }

    fn hear(&mut self, told: Told) {
        let client = self.waiting.remove(&told.waiter);
        let Some(client) = client.expect("whoever waits is told once") else {
            return;
        };
        match told.answer {
            GroupAnswer::Joined(Ok(joined)) => self.joined(client, joined),
            GroupAnswer::Joined(Err(GroupError::MemberIdRequired(id))) => {
                self.clients[client].member_id = id;
            }
            GroupAnswer::Synced(Ok(synced)) => {
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
            GroupAnswer::Joined(Err(_)) | GroupAnswer::Synced(Err(_)) => {}
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
                self.ask(Command::Join(group(), join));
            }
            Act::Sync { client } => {
                let sync = self.sync(client);
                self.ask(Command::Sync(group(), sync));
            }
            Act::Heartbeat { client } => {
                self.ask(Command::Heartbeat(group(), self.identity(client)));
            }
            Act::Leave { client } => {
                let member = (self.clients[client].member_id.clone(), instance_id(client));
                self.ask(Command::Leave(group(), vec![member]));
            }
            Act::Commit { client, offset } => {
                let new = new_offset(client as i32, offset);
                self.ask(Command::Commit(group(), self.identity(client), vec![new]));
            }
            Act::CommitInTransaction { producer, offset } => {
                let mut commit = CommitInTransaction {
                    producer: Self::producer(producer),
                    verified_at: None,
                    // Two producers meet at one partition.
                    offsets: vec![new_offset(producer as i32 / 2, offset)],
                };
                let ask =
                    |commit| Command::CommitInTransaction(group(), Identity::default(), commit);
                if let Answer::Unverified(markers) = self.ask(ask(commit.clone())) {
                    commit.verified_at = Some(markers);
                    let answer = self.ask(ask(commit));
                    assert!(matches!(answer, Answer::Offsets(_)), "{answer:?}");
                }
            }
            Act::End {
                producer,
                committed,
            } => {
                let producer = Self::producer(producer);
                self.ask(Command::EndTransaction(producer, committed));
            }
        }
    }

    fn producer(id: i64) -> Producer {
        Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
        }
    }

    /// The log as compaction leaves it: of each key the last record that counts.
    fn compacted(&self) -> Groups {
        let mut aborted = BTreeSet::new();
        let mut last = HashMap::new();
        let mut kept = vec![true; self.log.len()];
        for (at, record) in self.log.iter().enumerate().rev() {
            let counts = match record.standing {
                Standing::Ends {
                    producer,
                    committed,
                } => {
                    aborted.remove(&producer.id);
                    if !committed {
                        aborted.insert(producer.id);
                    }
                    continue;
                }
                Standing::Inside(producer) => !aborted.contains(&producer.id),
                Standing::Outside => true,
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
            waiter: self.waiter(client),
            identity: self.identity(client),
            protocol_type: None,
            protocol: None,
            assignments: parts,
        }
    }

    fn go_to(&mut self, ms: u64) {
        while let Some((deadline, command)) = self.groups.deadline()
            && deadline.0 <= Duration::from_millis(ms)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            self.ask(command);
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
        // A generation that was under way is given again, to others.
        self.leaders.clear();
        self.assigned.clear();
        self.ask(Command::Start);
    }

    fn check(&self) {
        let (live, replayed) = (self.groups.hard_state(), self.replayed().hard_state());
        assert_eq!(live, replayed, "replay makes what the live machine holds");
        // Compaction stops below what is open.
        if !self.groups.has_pending("g") {
            let compacted = self.compacted().hard_state();
            assert_eq!(live, compacted, "compaction takes nothing away that counts");
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
        // A rebalance may wait for somebody who was given an id.
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
        prop_assert!(world.waiting.is_empty(), "somebody still waits");
        let group = world.groups.describe("g");
        prop_assert!(group.is_none_or(|group| group.members.is_empty()), "all are silent");
    }
}
