//! Scripts: what is asked of transactions, and what they say. Each is a file in `scripts/`.
//!
//! ```text
//!  # A comment.
//!  at 5000                                     it is so many ms after the start
//!  init ID [timeout MS] [expects PID/EPOCH]
//!  add ID PID/EPOCH TOPIC/PARTITION,…
//!  verify ID PID/EPOCH TOPIC/PARTITION
//!  commit ID PID/EPOCH [v2]
//!  abort ID PID/EPOCH [v2]
//!  marked ID PID/EPOCH                         the markers are everywhere
//!  epoch ID N                                  as if it had begun so often; in the log, too
//!  restart                                     from the log, into a new process
//!  show ID
//!  ---
//!  what is said
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
use crate::{LogRecord, Moment, StateMachine};

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

fn place(text: &str) -> TopicPartition {
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
    let places = partitions
        .iter()
        .map(|p| format!(" {}/{}", p.topic, p.partition.0));
    places.collect()
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
        play.ask(Command::Start, &mut String::new());
        play
    }

    fn ask(&mut self, command: Command, out: &mut String) {
        let moment = Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        };
        let again = command.clone();
        let decision = self.transactions.decide(moment, command);
        match decision.answer {
            Answer::None => {}
            Answer::Begun(Ok(Begun::NeedsId)) => {
                assert!(decision.records.is_empty());
                self.last_id += 1;
                let fresh = Some(ProducerId(self.last_id));
                let again = match again {
                    Command::Init(id, init, None) => Command::Init(id, init, fresh),
                    Command::End(id, end, None) => Command::End(id, end, fresh),
                    other => panic!("{other:?} needs no id"),
                };
                return self.ask(again, out);
            }
            Answer::Begun(Ok(Begun::Producer(producer))) => {
                writeln!(out, "producer {}", shown(producer)).unwrap();
            }
            Answer::Added(Ok(())) => writeln!(out, "ok").unwrap(),
            Answer::Begun(Err(error)) | Answer::Added(Err(error)) => {
                writeln!(out, "refused: {error}").unwrap();
            }
        }
        let mut effects = decision.effects;
        for record in decision.records {
            effects.extend(self.take(record, out));
        }
        for marking in effects {
            let what = if marking.committed { "commit" } else { "abort" };
            let places = listed(&marking.partitions);
            writeln!(
                out,
                "mark {} {what} {}{places}",
                marking.id,
                shown(marking.producer)
            )
            .unwrap();
        }
    }

    fn take(&mut self, record: LogRecord, out: &mut String) -> Vec<Marking> {
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
        while let Some((deadline, command)) = self.transactions.deadline()
            && deadline.0 <= Duration::from_millis(ms)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            let mut said = String::new();
            self.ask(command, &mut said);
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
        let command = match words[0] {
            "at" => return self.go_to(id.parse().unwrap(), out),
            "init" => {
                let ms = after("timeout").map_or(60_000, |ms| ms.parse().unwrap());
                let init = Init {
                    timeout: Duration::from_millis(ms),
                    expected: after("expects").map(producer),
                };
                Command::Init(id, init, None)
            }
            "add" => Command::Add(id, who(), words[3].split(',').map(place).collect()),
            "verify" => {
                let verified = self.transactions.verify(&id, who(), &place(words[3]));
                let said = verified.map_or_else(|e| format!("refused: {e}"), |()| "ok".to_owned());
                return writeln!(out, "{said}").unwrap();
            }
            verb @ ("commit" | "abort") => {
                let end = End {
                    producer: who(),
                    committed: verb == "commit",
                    raises_epoch: words.contains(&"v2"),
                };
                Command::End(id, end, None)
            }
            "marked" => Command::Marked(id, who()),
            "epoch" => {
                let mut known = self.transactions.get(&id).unwrap().clone();
                known.producer.epoch = ProducerEpoch(words[2].parse().unwrap());
                let record = TransactionRecord::encode(&id, Some(&known));
                self.take(record, out);
                return;
            }
            "restart" => {
                self.transactions = Transactions::new(config());
                for (offset, record) in (0..).map(Offset).zip(&self.log) {
                    self.transactions.replay(offset, record).unwrap();
                }
                Command::Start
            }
            "show" => {
                let known = self.transactions.get(&id);
                let known = known.map_or("not known".to_owned(), summary);
                return writeln!(out, "{id}: {known}").unwrap();
            }
            verb => panic!("{verb}?"),
        };
        self.ask(command, out);
    }
}

fn play(script: &str) -> String {
    let mut play = Play::new();
    scripts::play(script, |line, out| play.line(line, out))
}

#[test]
fn every_script_plays_as_it_is_written() {
    scripts::check_all("transaction/scripts", play);
}
