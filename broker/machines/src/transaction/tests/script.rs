//! Scripts: commands to transactions, and their answers. Each is a file in `scripts/`.
//!
//! ```text
//!  # A comment.
//!  at 5000                                     milliseconds after the start
//!  init ID [timeout MS] [expects PID/EPOCH]
//!  add ID PID/EPOCH TOPIC/PARTITION,…
//!  verify ID PID/EPOCH TOPIC/PARTITION
//!  commit ID PID/EPOCH [v2]
//!  abort ID PID/EPOCH [v2]
//!  marked ID PID/EPOCH                         all partitions have their markers
//!  epoch ID N                                  as if it had begun that often; in the log, too
//!  restart                                     from the log, into a new process
//!  show ID
//!  ---
//!  the answers
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName,
    TopicPartition,
};

use super::super::record::TransactionRecord;
use super::super::*;
use crate::scripts;
use crate::{Command, LogRecord, Moment, Start, StateMachine, Tick};

struct Play {
    transactions: Transactions,
    now_ms: u64,
    log: Vec<LogRecord>,
    last_id: i64,
}

fn config() -> TransactionConfig {
    TransactionConfig {
        ids_max: 3,
        ..TransactionConfig::default()
    }
}

fn producer(text: &str) -> Producer {
    let (id, epoch) = text.split_once('/').unwrap();
    Producer {
        id: ProducerId(id.parse().unwrap()),
        epoch: ProducerEpoch(epoch.parse().unwrap()),
    }
}

fn partition(text: &str) -> TopicPartition {
    let (topic, partition) = text.split_once('/').unwrap();
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionId(partition.parse().unwrap()),
    }
}

fn shown(producer: Producer) -> String {
    format!("{}/{}", producer.id.0, producer.epoch.0)
}

fn listed(partitions: &BTreeSet<TopicPartition>) -> String {
    let listed = partitions
        .iter()
        .map(|p| format!(" {}/{}", p.topic, p.partition.0));
    listed.collect()
}

fn summary(known: &Transaction) -> String {
    let mut line = format!("{} {}", known.status.name(), shown(known.producer));
    line.push_str(&listed(&known.partitions));
    for (words, id) in [("before", known.previous_id), ("next", known.next_id)] {
        if let Some(id) = id {
            write!(line, ", {words} {}", id.0).unwrap();
        }
    }
    line
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            transactions: Transactions::new(config()),
            now_ms: 0,
            log: Vec::new(),
            last_id: 6,
        };
        play.ask(Start, &mut String::new());
        play
    }

    fn ask<C: Command<Transactions>>(&mut self, command: C, out: &mut String) -> C::Answer {
        self.ask_and_say(command, out, |_| String::new())
    }

    /// Asks; `say` says what is answered, before the records and effects are shown.
    fn ask_and_say<C: Command<Transactions>>(
        &mut self,
        command: C,
        out: &mut String,
        say: impl Fn(&C::Answer) -> String,
    ) -> C::Answer {
        let moment = Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        };
        let decision = command.decide(&mut self.transactions, moment);
        out.push_str(&say(&decision.answer));
        let mut effects = decision.effects;
        for record in decision.records {
            effects.extend(self.take(record, out));
        }
        for job in effects {
            let what = if job.committed { "commit" } else { "abort" };
            let partitions = listed(&job.partitions);
            let producer = shown(job.producer);
            writeln!(out, "mark {} {what} {producer}{partitions}", job.id).unwrap();
        }
        decision.answer
    }

    /// Asks, and asks again with an unused producer id if that is needed.
    fn begin<C: Command<Transactions, Answer = Result<Begun, TransactionError>>>(
        &mut self,
        command: impl Fn(Option<ProducerId>) -> C,
        out: &mut String,
    ) {
        let say = |answer: &C::Answer| match answer {
            Ok(Begun::NeedsId) => String::new(),
            Ok(Begun::Producer(producer)) => format!("producer {}\n", shown(*producer)),
            Err(error) => format!("refused: {error}\n"),
        };
        let length = self.log.len();
        if let Ok(Begun::NeedsId) = self.ask_and_say(command(None), out, say) {
            assert_eq!(self.log.len(), length, "nothing has happened");
            self.last_id += 1;
            let unused = Some(ProducerId(self.last_id));
            let again = self.ask_and_say(command(unused), out, say);
            assert_ne!(again, Ok(Begun::NeedsId));
        }
    }

    fn take(&mut self, record: LogRecord, out: &mut String) -> Vec<MarkerJob> {
        let TransactionRecord { id, known } = TransactionRecord::decode(&record).unwrap().unwrap();
        let known = known.as_ref().map_or("gone".to_owned(), summary);
        writeln!(out, "log {id}: {known}").unwrap();
        let offset = Offset(self.log.len() as i64);
        let effects = self.transactions.replay(offset, &record).unwrap();
        self.log.push(record);
        effects
    }

    /// Lets time go on, step by step as the machine wants to be woken.
    fn go_to(&mut self, ms: u64, out: &mut String) {
        while let Some(deadline) = self.transactions.deadline()
            && deadline.0 <= Duration::from_millis(ms)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            let mut said = String::new();
            self.ask(Tick, &mut said);
            for line in said.lines() {
                writeln!(out, "at {}: {line}", self.now_ms).unwrap();
            }
        }
        self.now_ms = ms;
    }

    fn line(&mut self, line: &str, out: &mut String) {
        let words: Vec<_> = line.split_whitespace().collect();
        let after = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1).copied()
        };
        let id = words.get(1).copied().unwrap_or_default().to_owned();
        let who = || producer(words[2]);
        match words[0] {
            "at" => self.go_to(id.parse().unwrap(), out),
            "init" => {
                let ms = after("timeout").map_or(60_000, |ms| ms.parse().unwrap());
                let init = Init {
                    timeout: Duration::from_millis(ms),
                    expected: after("expects").map(producer),
                };
                let command = |unused| InitProducer {
                    id: id.clone(),
                    init,
                    unused,
                };
                self.begin(command, out);
            }
            "add" => {
                let add = AddPartitions {
                    id,
                    producer: who(),
                    partitions: words[3].split(',').map(partition).collect(),
                };
                drop(self.ask_and_say(add, out, |added| result(added) + "\n"));
            }
            "verify" => {
                let verified = self.transactions.verify(&id, who(), &partition(words[3]));
                writeln!(out, "{}", result(&verified)).unwrap();
            }
            verb @ ("commit" | "abort") => {
                let end = End {
                    producer: who(),
                    committed: verb == "commit",
                    raises_epoch: words.contains(&"v2"),
                };
                let command = |unused| EndTransaction {
                    id: id.clone(),
                    end,
                    unused,
                };
                self.begin(command, out);
            }
            "marked" => {
                let producer = who();
                self.ask(Marked { id, producer }, out);
            }
            "epoch" => {
                let mut known = self.transactions.get(&id).unwrap().clone();
                known.producer.epoch = ProducerEpoch(words[2].parse().unwrap());
                let record = TransactionRecord::encode(&id, Some(&known));
                self.take(record, out);
            }
            "restart" => {
                self.transactions = Transactions::new(config());
                for (offset, record) in (0..).map(Offset).zip(&self.log) {
                    self.transactions.replay(offset, record).unwrap();
                }
                self.ask(Start, out);
            }
            "show" => {
                let known = self.transactions.get(&id);
                let known = known.map_or("not known".to_owned(), summary);
                writeln!(out, "{id}: {known}").unwrap();
            }
            verb => panic!("{verb}?"),
        }
    }
}

fn result(result: &Result<(), TransactionError>) -> String {
    let ok = || "ok".to_owned();
    result
        .as_ref()
        .map_or_else(|e| format!("refused: {e}"), |()| ok())
}

fn play(script: &str) -> String {
    let mut play = Play::new();
    scripts::play(script, |line, out| play.line(line, out))
}

#[test]
fn every_script_plays_as_it_is_written() {
    scripts::check_all("transaction/scripts", play);
}
