//! Random producers and crashes against the laws of transactions.
//!
//! - What a partition holds of a transaction counts there as it counts everywhere: all or nothing.
//! - A client that was answered "committed" has all of it; one that was answered "aborted" has
//!   none.
//! - Only the newest incarnation of an id gets anything in.
//! - A partition gets its marker before the transaction is complete, and no transaction stays open
//!   that nobody will end.
//! - What replaying the log makes is what the live machine holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, PartitionId, Producer, ProducerId, Timestamp, TopicName, TopicPartition,
};
use proptest::prelude::*;

use super::super::*;
use crate::{Command, LogRecord, Moment, Start, StateMachine, Tick};

const CLIENTS: usize = 3;
const PARTITIONS: i32 = 3;
const ID: &str = "id";

#[derive(Clone, Debug)]
enum Act {
    /// The client begins, or begins again with what it knows of itself.
    Init {
        client: usize,
        knows: bool,
    },
    Write {
        client: usize,
        partition: i32,
    },
    End {
        client: usize,
        committed: bool,
    },
    /// One of the jobs that are due is carried out, for this number of partitions.
    Mark {
        which: usize,
        partitions: usize,
    },
    Wait {
        ms: u64,
    },
    RestartBroker,
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS;
    prop_oneof![
        2 => (client.clone(), any::<bool>()).prop_map(|(client, knows)| Act::Init { client, knows }),
        6 => (client.clone(), 0..PARTITIONS).prop_map(|(client, partition)| Act::Write { client, partition }),
        4 => (client, any::<bool>()).prop_map(|(client, committed)| Act::End { client, committed }),
        6 => (0..4_usize, 0..5_usize).prop_map(|(which, partitions)| Act::Mark { which, partitions }),
        1 => (0_u64..70_000).prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::RestartBroker),
    ]
}

/// A write, by the number that its client gave it; the client counts its transactions, too.
type Write = (usize, u64);

#[derive(Clone, Debug, Default)]
struct Client {
    producer: Option<Producer>,
    /// Counts its transactions.
    transaction: u64,
    has_written: bool,
}

/// What a partition's log knows of the id's producers, as in `log/producer_state`.
#[derive(Clone, Debug, Default)]
struct Store {
    newest: Option<Producer>,
    open: Vec<Write>,
    committed: BTreeSet<Write>,
    aborted: BTreeSet<Write>,
}

#[derive(Debug)]
struct World {
    version_2: bool,
    transactions: Transactions,
    log: Vec<LogRecord>,
    now_ms: u64,
    last_id: i64,
    clients: Vec<Client>,
    stores: BTreeMap<i32, Store>,
    /// Jobs that are not carried out, with the number of partitions that have their marker.
    due: Vec<(MarkerJob, usize)>,
    /// Transactions whose client was answered how they end.
    answered: BTreeMap<Write, bool>,
    /// Where each transaction has written.
    written: BTreeMap<Write, BTreeSet<i32>>,
}

fn partition_of(number: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(number),
    }
}

impl World {
    fn new(version_2: bool) -> Self {
        let mut world = Self {
            version_2,
            transactions: Transactions::new(TransactionConfig::default()),
            log: Vec::new(),
            now_ms: 0,
            last_id: 0,
            clients: vec![Client::default(); CLIENTS],
            stores: (0..PARTITIONS).map(|n| (n, Store::default())).collect(),
            due: Vec::new(),
            answered: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        world.ask(Start);
        world
    }

    fn ask<C: Command<Transactions>>(&mut self, command: C) -> C::Answer {
        let moment = Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        };
        let decision = command.decide(&mut self.transactions, moment);
        let mut effects = decision.effects;
        for record in decision.records {
            let offset = Offset(self.log.len() as i64);
            effects.extend(self.transactions.replay(offset, &record).unwrap());
            self.log.push(record);
        }
        self.due.extend(effects.into_iter().map(|job| (job, 0)));
        decision.answer
    }

    fn fresh(&mut self) -> ProducerId {
        self.last_id += 1;
        ProducerId(self.last_id)
    }

    fn begun<C: Command<Transactions, Answer = Result<Begun, TransactionError>>>(
        &mut self,
        ask: impl Fn(Option<ProducerId>) -> C,
    ) -> Result<Producer, TransactionError> {
        for fresh in [None, Some(self.fresh())] {
            if let Begun::Producer(producer) = self.ask(ask(fresh))? {
                return Ok(producer);
            }
        }
        panic!("it was given an id");
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Init { client, knows } => {
                let expected = self.clients[client].producer.filter(|_| knows);
                let init = Init {
                    timeout: Duration::from_secs(60),
                    expected,
                };
                if let Ok(producer) = self.begun(|unused| InitProducer {
                    id: ID.to_owned(),
                    init,
                    unused,
                }) {
                    let client = &mut self.clients[client];
                    client.producer = Some(producer);
                    client.transaction += 1;
                    client.has_written = false;
                }
            }
            Act::Write { client, partition } => self.write(client, partition),
            Act::End { client, committed } => self.end(client, committed),
            Act::Mark { which, partitions } => self.mark(which, partitions),
            Act::Wait { ms } => self.wait(ms),
            Act::RestartBroker => self.restart(),
        }
    }

    fn write(&mut self, client: usize, partition: i32) {
        let Some(producer) = self.clients[client].producer else {
            return;
        };
        let added = self.ask(AddPartitions {
            id: ID.to_owned(),
            producer,
            partitions: [partition_of(partition)].into(),
        });
        if added != Ok(()) {
            return;
        }
        let newest = self.clients.iter().filter_map(|c| c.producer).max();
        assert_eq!(
            Some(producer),
            newest,
            "an old incarnation got something in"
        );
        let write = (client, self.clients[client].transaction);
        let store = self.stores.get_mut(&partition).unwrap();
        if store
            .newest
            .is_some_and(|newest| newest.id == producer.id && newest.epoch > producer.epoch)
        {
            return;
        }
        store.newest = Some(producer);
        store.open.push(write);
        self.clients[client].has_written = true;
        self.written.entry(write).or_default().insert(partition);
    }

    fn end(&mut self, client: usize, committed: bool) {
        let Some(producer) = self.clients[client].producer else {
            return;
        };
        if !self.clients[client].has_written {
            return;
        }
        let end = End {
            producer,
            committed,
            raises_epoch: self.version_2,
        };
        if let Ok(next) = self.begun(|unused| EndTransaction {
            id: ID.to_owned(),
            end,
            unused,
        }) {
            let client_state = &mut self.clients[client];
            let write = (client, client_state.transaction);
            client_state.producer = Some(next);
            client_state.transaction += 1;
            client_state.has_written = false;
            self.answered.insert(write, committed);
        }
    }

    fn mark(&mut self, which: usize, partitions: usize) {
        if self.due.is_empty() {
            return;
        }
        let which = which % self.due.len();
        let (job, done) = self.due[which].clone();
        let upto = (done + partitions).min(job.partitions.len());
        for at in job.partitions.iter().skip(done).take(upto - done) {
            let store = self.stores.get_mut(&at.partition.0).unwrap();
            let is_fenced = store.newest.is_some_and(|newest| {
                newest.id == job.producer.id && newest.epoch > job.producer.epoch
            });
            assert!(
                !is_fenced,
                "the next transaction began before this one had its markers"
            );
            store.newest = Some(job.producer);
            let open = store.open.drain(..);
            if job.committed {
                store.committed.extend(open);
            } else {
                store.aborted.extend(open);
            }
        }
        if upto == job.partitions.len() {
            self.due.remove(which);
            let (id, producer) = (job.id, job.producer);
            self.ask(Marked { id, producer });
        } else {
            self.due[which].1 = upto;
        }
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(deadline) = self.transactions.deadline()
            && deadline.0 <= Duration::from_millis(until)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            self.ask(Tick);
        }
        self.now_ms = until;
    }

    fn restart(&mut self) {
        let mut again = Transactions::new(TransactionConfig::default());
        for (offset, record) in (0..).map(Offset).zip(&self.log) {
            again.replay(offset, record).unwrap();
        }
        assert_eq!(again.hard, self.transactions.hard);
        self.transactions = again;
        // The process that carried them out is gone.
        self.due.clear();
        self.ask(Start);
    }

    fn settle(&mut self) {
        self.wait(120_000);
        self.restart();
        while !self.due.is_empty() {
            self.mark(0, 9);
        }
        for (number, store) in &self.stores {
            assert_eq!(
                store.open,
                [],
                "partition {number} has a transaction that nobody ends"
            );
        }
        let known = self.transactions.get(ID);
        assert!(
            known.is_none_or(|known| known.status != Status::Ongoing && !known.status.is_ending())
        );
        for (write, partitions) in &self.written {
            let count = |of: fn(&Store) -> &BTreeSet<Write>| {
                let stores = partitions.iter().map(|n| &self.stores[n]);
                stores.filter(|store| of(store).contains(write)).count()
            };
            let (committed, aborted) = (count(|s| &s.committed), count(|s| &s.aborted));
            let all = partitions.len();
            assert!(
                matches!((committed, aborted), (0, n) | (n, 0) if n == all),
                "{write:?} in part"
            );
            if let Some(answered) = self.answered.get(write) {
                assert_eq!(committed == all, *answered, "{write:?} ended otherwise");
            }
        }
    }
}

proptest! {
    #[test]
    fn transactions_count_all_or_not_at_all(
        version_2 in any::<bool>(),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let mut world = World::new(version_2);
        for act in &acts {
            world.act(act);
        }
        world.settle();
    }
}
