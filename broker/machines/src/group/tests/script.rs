//! Scripts: commands to groups, and their answers. Each is a file in `scripts/`.
//!
//! ```text
//!  # A comment.
//!  at 5000                                        milliseconds after the start
//!  join GROUP NAME [as ID] [static I] [type T] [protocols A,B] [knows-id] [skips] [session MS] [rebalance MS]
//!  sync GROUP NAME as ID gen N [static I] [gives ID=PART,…]
//!  heartbeat GROUP as ID gen N [static I]
//!  leave GROUP ID [static I]                      ID is "-" for none
//!  commit GROUP TOPIC/PARTITION=OFFSET [as ID gen N]
//!  commit GROUP TOPIC/PARTITION=OFFSET of PRODUCER [unverified] [as ID gen N]
//!  end PRODUCER commit|abort                      its transaction has ended
//!  delete-offsets GROUP TOPIC/PARTITION
//!  delete GROUP
//!  forget TOPIC
//!  restart                                        from the log, into a new process
//!  show GROUP
//!  ---
//!  the answers
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName,
    TopicPartition,
};
use bytes::Bytes;

use super::super::record::GroupRecord;
use super::super::*;
use crate::scripts;
use crate::{Command, LogRecord, Moment, Start, StateMachine, Tick, TxnMembership};

struct Play {
    groups: Groups,
    config: GroupConfig,
    now_ms: u64,
    log: Vec<LogRecord>,
    names: BTreeMap<Waiter, String>,
    ids: HashMap<String, u32>,
}

/// The words behind the command: pairs of a key and a value, and flags.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|word| *word == key)?;
        self.0.get(at + 1).copied()
    }

    fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }

    fn ms(&self, key: &str, default: u64) -> Duration {
        let ms = self.get(key).map_or(default, |text| text.parse().unwrap());
        Duration::from_millis(ms)
    }

    fn identity(&self) -> Identity {
        Identity {
            member_id: self.get("as").unwrap_or_default().to_owned(),
            instance_id: self.get("static").map(str::to_owned),
            generation: self.get("gen").map_or(-1, |text| text.parse().unwrap()),
        }
    }
}

fn partition(text: &str) -> TopicPartition {
    let (topic, partition) = text.split_once('/').unwrap();
    let topic = TopicName::new(topic).unwrap();
    TopicPartition::new(topic, PartitionId(partition.parse().unwrap()))
}

impl Play {
    fn new(config: GroupConfig) -> Self {
        let mut play = Self {
            groups: Groups::new(config),
            config,
            now_ms: 0,
            log: Vec::new(),
            names: BTreeMap::new(),
            ids: HashMap::new(),
        };
        play.ask(Start, &mut String::new(), |()| vec![]);
        play
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: Timestamp(self.now_ms as i64),
            monotonic: Monotonic(Duration::from_millis(self.now_ms)),
            offset: Offset(self.log.len() as i64),
        }
    }

    fn waiter(&mut self, name: &str) -> Waiter {
        let waiter = Waiter(self.names.len() as u64);
        self.names.insert(waiter, name.to_owned());
        waiter
    }

    /// Asks, and shows the answer, the records and the completions; `lines` are those of the
    /// answer.
    fn ask<C: Command<Groups>>(
        &mut self,
        command: C,
        out: &mut String,
        lines: impl Fn(C::Answer) -> Vec<String>,
    ) {
        let moment = self.moment();
        let decision = command.decide(&mut self.groups, moment);
        for line in lines(decision.answer) {
            writeln!(out, "{line}").unwrap();
        }
        for record in decision.records {
            let offset = Offset(self.log.len() as i64);
            writeln!(out, "log {}", shown(&record)).unwrap();
            let completions = self.groups.replay(offset, &record).unwrap();
            self.log.push(record);
            for completion in &completions {
                self.complete(completion, out);
            }
        }
        for completion in &decision.effects {
            self.complete(completion, out);
        }
    }

    fn complete(&self, completion: &Completion, out: &mut String) {
        let (Completion::Join(waiter, _) | Completion::Sync(waiter, _)) = completion;
        let name = &self.names[waiter];
        match completion {
            Completion::Join(_, Ok(joined)) => {
                let id = &joined.member_id;
                let (generation, protocol) = (joined.generation, joined.protocol.as_deref());
                let leader = &joined.leader;
                let protocol = protocol.unwrap_or("none");
                write!(out, "{name} has joined as {id}: generation {generation}, {protocol}, leader {leader}")
                    .unwrap();
                if !joined.members.is_empty() {
                    let members: Vec<_> = joined.members.iter().map(|m| &*m.id).collect();
                    write!(out, ", members {}", members.join(" ")).unwrap();
                }
                if joined.skip_assignment {
                    write!(out, ", no assignment to make").unwrap();
                }
                writeln!(out).unwrap();
            }
            Completion::Sync(_, Ok(synced)) => {
                let assignment = String::from_utf8_lossy(&synced.assignment);
                writeln!(out, "{name} reads {assignment:?}").unwrap();
            }
            Completion::Join(_, Err(error)) | Completion::Sync(_, Err(error)) => {
                writeln!(out, "{name} is refused: {error}").unwrap();
            }
        }
    }

    /// Lets time go on, step by step as the machine wants to be woken.
    fn go_to(&mut self, ms: u64, out: &mut String) {
        while let Some(deadline) = self.groups.deadline()
            && deadline.0 <= Duration::from_millis(ms)
        {
            self.now_ms = self.now_ms.max(deadline.0.as_millis() as u64);
            let mut said = String::new();
            self.ask(Tick, &mut said, |()| vec![]);
            for line in said.lines() {
                writeln!(out, "at {}: {line}", self.now_ms).unwrap();
            }
        }
        self.now_ms = ms;
    }

    fn line(&mut self, line: &str, out: &mut String) {
        let mut words = line.split_whitespace();
        let (verb, subject) = (words.next().unwrap(), words.next().unwrap_or_default());
        let words = Words(words.collect());
        let group = subject.to_owned();
        match verb {
            "at" => self.go_to(subject.parse().unwrap(), out),
            "join" => {
                let join = self.join(group, &words);
                self.ask(join, out, |()| vec![]);
            }
            "sync" => {
                let gives = words.get("gives").unwrap_or_default();
                let gives = gives.split(',').filter_map(|pair| pair.split_once('='));
                let assignments = gives
                    .map(|(id, part)| (id.to_owned(), Bytes::copy_from_slice(part.as_bytes())));
                let sync = SyncGroup {
                    group,
                    waiter: self.waiter(words.0[0]),
                    identity: words.identity(),
                    protocol_type: words.get("type").map(str::to_owned),
                    protocol: words.get("protocol").map(str::to_owned),
                    assignments: assignments.collect(),
                };
                self.ask(sync, out, |()| vec![]);
            }
            "heartbeat" => {
                let identity = words.identity();
                self.ask(Heartbeat { group, identity }, out, |r| vec![outcome(&r)]);
            }
            "leave" => {
                let id = words.0[0].trim_start_matches('-').to_owned();
                let member = (id, words.get("static").map(str::to_owned));
                let members = vec![member];
                self.ask(LeaveGroup { group, members }, out, outcomes);
            }
            "commit" => {
                let (at, offset) = words.0[0].split_once('=').unwrap();
                let TopicPartition { topic, partition } = partition(at);
                let new = NewOffset {
                    topic,
                    partition,
                    offset: Offset(offset.parse().unwrap()),
                    leader_epoch: -1,
                    metadata: words.get("metadata").unwrap_or_default().to_owned(),
                };
                let (identity, offsets) = (words.identity(), vec![new]);
                let Some(id) = words.get("of") else {
                    let commit = CommitOffsets {
                        group,
                        identity,
                        offsets,
                    };
                    return self.ask(commit, out, offset_results);
                };
                let commit = CommitInTransaction {
                    group,
                    identity,
                    producer: producer(id),
                    verified_at: (!words.has("unverified")).then(|| self.markers()),
                    offsets,
                };
                self.ask(commit, out, |answer| match answer {
                    TxnCommitted::Unverified(_) => vec!["the coordinator is to be asked".into()],
                    TxnCommitted::Checked(results) => offset_results(results),
                });
            }
            "end" => {
                let committed = words.has("commit");
                let producer = producer(subject);
                let end = EndTransaction {
                    producer,
                    committed,
                };
                self.ask(end, out, |()| vec![]);
            }
            "delete-offsets" => {
                let partitions = vec![partition(words.0[0])];
                self.ask(DeleteOffsets { group, partitions }, out, offset_results);
            }
            "delete" => self.ask(DeleteGroup { group }, out, |r| vec![outcome(&r)]),
            "forget" => {
                let topics = [TopicName::new(subject).unwrap()].into();
                self.ask(ForgetTopics { topics }, out, |()| vec![]);
            }
            "restart" => {
                self.groups = Groups::new(self.config);
                for (offset, record) in (0..).map(Offset).zip(&self.log) {
                    self.groups.replay(offset, record).unwrap();
                }
                self.ask(Start, out, |()| vec![]);
            }
            "show" => self.show(subject, out),
            verb => panic!("{verb}?"),
        }
    }

    fn join(&mut self, group: String, words: &Words<'_>) -> JoinGroup {
        let name = words.0[0];
        let number = self.ids.entry(name.to_owned()).or_default();
        *number += 1;
        let new_member_id = format!("{name}-{number}");
        let protocols = words.get("protocols").unwrap_or("range").split(',');
        let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t");
        JoinGroup {
            group,
            waiter: self.waiter(name),
            member_id: words.get("as").unwrap_or_default().to_owned(),
            new_member_id,
            instance_id: words.get("static").map(str::to_owned),
            client_id: name.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            protocol_type: words.get("type").unwrap_or("consumer").to_owned(),
            protocols: protocols
                .map(|p| (p.to_owned(), subscription.clone()))
                .collect(),
            rebalance_timeout: words.ms("rebalance", 60_000),
            session_timeout: words.ms("session", 10_000),
            must_know_id: words.has("knows-id"),
            may_skip_assignment: words.has("skips"),
        }
    }

    fn markers(&self) -> u64 {
        let is_marker = |r: &&LogRecord| matches!(r.txn, TxnMembership::Marker { .. });
        self.log.iter().filter(is_marker).count() as u64
    }

    fn show(&self, id: &str, out: &mut String) {
        let Some(group) = self.groups.describe(id) else {
            return writeln!(out, "{id}: no such group").unwrap();
        };
        write!(
            out,
            "{id}: {}, generation {}",
            group.state.name(),
            group.generation
        )
        .unwrap();
        for member in group.members {
            let part = String::from_utf8_lossy(&member.assignment);
            write!(out, ", {} reads {part:?}", member.id).unwrap();
        }
        for (at, committed) in self.groups.offsets(id).unwrap() {
            let (topic, number) = (&at.topic, at.partition.0);
            write!(out, ", {topic}/{number}={}", committed.offset).unwrap();
            if self.groups.is_pending(id, at) {
                write!(out, " and more pending").unwrap();
            }
        }
        writeln!(out).unwrap();
    }
}

fn outcomes(results: Vec<Result<(), GroupError>>) -> Vec<String> {
    results.iter().map(outcome).collect()
}

fn offset_results(results: OffsetResults) -> Vec<String> {
    match results {
        Ok(results) => outcomes(results),
        Err(error) => vec![format!("refused: {error}")],
    }
}

fn outcome(result: &Result<(), GroupError>) -> String {
    result
        .as_ref()
        .map_or_else(|error| format!("refused: {error}"), |()| "ok".to_owned())
}

fn producer(id: &str) -> Producer {
    Producer {
        id: ProducerId(id.parse().unwrap()),
        epoch: ProducerEpoch(0),
    }
}

fn shown(record: &LogRecord) -> String {
    match record.txn {
        TxnMembership::NonTransactional => shown_plainly(record),
        TxnMembership::Transactional(producer) => {
            format!("{}, of producer {}", shown_plainly(record), producer.id.0)
        }
        TxnMembership::Marker {
            producer,
            committed,
        } => {
            let what = if committed { "commit" } else { "abort" };
            format!("{what} of producer {}", producer.id.0)
        }
    }
}

fn shown_plainly(record: &LogRecord) -> String {
    match GroupRecord::decode(record).unwrap().unwrap() {
        GroupRecord::Offset {
            group,
            topic,
            partition,
            committed,
        } => {
            let offset = committed.map_or("gone".to_owned(), |c| c.offset.to_string());
            format!("{group} {topic}/{} {offset}", partition.0)
        }
        GroupRecord::Group {
            group,
            stored: None,
        } => format!("{group} gone"),
        GroupRecord::Group {
            group,
            stored: Some(stored),
        } => {
            let mut line = format!("{group} generation {}", stored.generation);
            for member in stored.members {
                let part = String::from_utf8_lossy(&member.assignment);
                write!(line, ", {}={part}", member.id).unwrap();
            }
            line
        }
    }
}

/// Plays a script; returns it with the answers.
fn play(script: &str) -> String {
    let initial_ms = script
        .lines()
        .find_map(|line| line.strip_prefix("# initial delay "));
    let mut play = Play::new(GroupConfig {
        initial_rebalance_delay: Duration::from_millis(
            initial_ms.map_or(0, |ms| ms.parse().unwrap()),
        ),
        members_max: 3,
        session_timeout_min: Duration::from_secs(1),
        ..GroupConfig::default()
    });
    scripts::play(script, |line, out| play.line(line, out))
}

#[test]
fn every_script_plays_as_it_is_written() {
    scripts::check_all("group/scripts", play);
}
