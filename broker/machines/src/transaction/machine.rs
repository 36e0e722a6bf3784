//! All transactional ids of one partition of `__transaction_state`, as a [`StateMachine`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::time::Duration;

use brooklet_protocol::{
    Monotonic, Offset, Producer, ProducerEpoch, ProducerId, Timestamp, TopicPartition,
};

use super::command::{
    Answer, Begun, Command, End, Init, Marking, TransactionConfig, TransactionError,
};
use super::record::TransactionRecord;
use super::state::{Status, Transaction, after};
use crate::{Decision, LogRecord, Moment, StateMachine};

/// How often ids are looked at that may have expired
/// (`transaction.remove.expired.transaction.cleanup.interval.ms`).
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);
/// What fits into a record's string in all versions of it.
const ID_BYTES_MAX: usize = i16::MAX as usize;

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug)]
pub struct Transactions {
    config: TransactionConfig,
    by_id: BTreeMap<String, Transaction>,
    /// When transactions have been open for as long as they may.
    deadlines: BTreeSet<(Monotonic, String)>,
    deadline_of: HashMap<String, Monotonic>,
    /// Of producers that have begun anew: the epoch before. Who has not heard the answer asks again
    /// with it.
    epochs_before: HashMap<String, ProducerEpoch>,
    /// When ids may have expired; `None` until the log is replayed.
    next_expiry: Option<Monotonic>,
}

impl Transactions {
    /// None yet.
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            by_id: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            epochs_before: HashMap::new(),
            next_expiry: None,
        }
    }

    /// All that is known of an id.
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// All ids, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, known)| (id.as_str(), known))
    }

    /// Whether a partition is part of a producer's open transaction.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        let known = self.checked(id, producer)?;
        match known.status {
            _ if known.status.is_ending() => Err(TransactionError::Ending),
            Status::Ongoing if known.partitions.contains(partition) => Ok(()),
            _ => Err(TransactionError::NotPart(partition.clone())),
        }
    }

    fn checked(&self, id: &str, producer: Producer) -> Result<&Transaction, TransactionError> {
        check_id(id)?;
        let wrong = TransactionError::WrongProducer(producer.id);
        let known = self.by_id.get(id).ok_or(wrong)?;
        known.check(producer)?;
        Ok(known)
    }

    fn init(
        &mut self,
        now: Timestamp,
        id: String,
        init: Init,
        fresh: Option<ProducerId>,
    ) -> Decision<Answer, Marking> {
        if let Err(error) = self.check_init(&id, init) {
            return begun(Err(error));
        }
        let Some(known) = self.by_id.get(&id) else {
            let Some(fresh) = fresh else {
                return begun(Ok(Begun::NeedsId));
            };
            let new = Transaction::new(fresh, init.timeout, now);
            return decided(&id, &new, Answer::Begun(Ok(Begun::Producer(new.producer))));
        };
        let before = self.epochs_before.get(&id).copied();
        match next_incarnation(known, init, before) {
            Err(error) => begun(Err(error)),
            Ok(Next::Same) => begun(Ok(Begun::Producer(known.producer))),
            // Whoever began it will not go on with it. The caller asks again once it is aborted.
            Ok(Next::Abort) => {
                let aborted = known.ending(false, now).raised();
                self.epochs_before.remove(&id);
                decided(&id, &aborted, Answer::Begun(Err(TransactionError::Ending)))
            }
            Ok(Next::Raised | Next::Replaced) if known.is_used_up() && fresh.is_none() => {
                begun(Ok(Begun::NeedsId))
            }
            Ok(next) => {
                let producer = match fresh {
                    Some(id) if next == Next::Replaced => Producer {
                        id,
                        epoch: ProducerEpoch(0),
                    },
                    _ => Producer {
                        epoch: after(known.producer.epoch),
                        ..known.producer
                    },
                };
                let new = known.begun(producer, init, now);
                let epoch = known.producer.epoch;
                match init.expected {
                    Some(_) => self.epochs_before.insert(id.clone(), epoch),
                    None => self.epochs_before.remove(&id),
                };
                decided(&id, &new, Answer::Begun(Ok(Begun::Producer(new.producer))))
            }
        }
    }

    fn check_init(&self, id: &str, init: Init) -> Result<(), TransactionError> {
        check_id(id)?;
        if init.timeout.is_zero() || init.timeout > self.config.timeout_max {
            return Err(TransactionError::Timeout {
                found_ms: init.timeout.as_millis(),
                max_ms: self.config.timeout_max.as_millis(),
            });
        }
        if !self.by_id.contains_key(id) && self.by_id.len() >= self.config.ids_max {
            return Err(TransactionError::TooManyIds(self.config.ids_max));
        }
        Ok(())
    }

    fn add(
        &mut self,
        at: Moment,
        id: String,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
    ) -> Decision<Answer, Marking> {
        let known = match self.checked(&id, producer) {
            Ok(known) if known.status.is_ending() => {
                return Decision::read(Answer::Added(Err(TransactionError::Ending)));
            }
            Ok(known) => known,
            Err(error) => return Decision::read(Answer::Added(Err(error))),
        };
        let Some(next) = known.with(partitions, at.wall) else {
            return Decision::read(Answer::Added(Ok(())));
        };
        if known.status != Status::Ongoing {
            self.arm(&id, Monotonic(at.monotonic.0 + next.timeout));
        }
        decided(&id, &next, Answer::Added(Ok(())))
    }

    fn end(
        &self,
        now: Timestamp,
        id: &str,
        end: End,
        fresh: Option<ProducerId>,
    ) -> Decision<Answer, Marking> {
        let judged = self.judge_end(id, end);
        let known = match judged {
            Err(error) => return begun(Err(error)),
            Ok((known, Ending::Done)) => return begun(Ok(Begun::Producer(known.producer))),
            Ok((known, Ending::Prepare)) => known,
        };
        let mut next = known.ending(end.committed, now);
        if end.raises_epoch {
            if known.is_used_up() {
                let Some(fresh) = fresh else {
                    return begun(Ok(Begun::NeedsId));
                };
                next.next_id = Some(fresh);
            }
            next = next.raised();
        }
        next.client_version = if end.raises_epoch { 2 } else { 0 };
        let answer = Answer::Begun(Ok(Begun::Producer(next.successor())));
        decided(id, &next, answer)
    }

    fn judge_end(&self, id: &str, end: End) -> Result<(&Transaction, Ending), TransactionError> {
        check_id(id)?;
        let wrong = TransactionError::WrongProducer(end.producer.id);
        let known = self.by_id.get(id).ok_or(wrong)?;
        let has_succeeded = end.raises_epoch && known.has_succeeded(end.producer);
        if !has_succeeded {
            known.check(end.producer)?;
        }
        let is_same = match known.status {
            Status::PrepareCommit => end.committed,
            Status::PrepareAbort => !end.committed,
            status => status.outcome() == Some(end.committed),
        };
        match known.status {
            Status::Ongoing | Status::Empty if has_succeeded => Err(known.fences(end.producer)),
            // It was aborted by somebody else, and not as its producer had it.
            _ if has_succeeded && !is_same => Err(known.fences(end.producer)),
            Status::Ongoing => Ok((known, Ending::Prepare)),
            Status::PrepareCommit | Status::PrepareAbort if is_same => {
                Err(TransactionError::Ending)
            }
            // The answer got lost on its way.
            Status::CompleteCommit | Status::CompleteAbort
                if is_same && (has_succeeded || !end.raises_epoch) =>
            {
                Ok((known, Ending::Done))
            }
            // What the producer has sent may be on its way, and nobody knows of it yet: the epoch fences
            // it.
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort
                if end.raises_epoch && !end.committed && !has_succeeded =>
            {
                Ok((known, Ending::Prepare))
            }
            _ => Err(known.refuses()),
        }
    }

    fn marked(&self, now: Timestamp, id: &str, producer: Producer) -> Decision<Answer, Marking> {
        match self.by_id.get(id) {
            Some(known) if known.status.is_ending() && known.producer == producer => {
                decided(id, &known.complete(now), Answer::None)
            }
            _ => Decision::read(Answer::None),
        }
    }

    fn start(&mut self, at: Moment) -> Decision<Answer, Marking> {
        self.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
        let mut decision = Decision::read(Answer::None);
        let mut open = Vec::new();
        for (id, known) in &self.by_id {
            if known.status == Status::Ongoing {
                let age = u64::try_from(at.wall.0.saturating_sub(known.started.0)).unwrap_or(0);
                let left = known.timeout.saturating_sub(Duration::from_millis(age));
                open.push((id.clone(), Monotonic(at.monotonic.0 + left)));
            }
            decision.effects.extend(marking(id, known));
        }
        for (id, deadline) in open {
            self.arm(&id, deadline);
        }
        decision
    }

    fn tick(&mut self, at: Moment) -> Decision<Answer, Marking> {
        let mut decision = Decision::read(Answer::None);
        while let Some((deadline, _)) = self.deadlines.first()
            && *deadline <= at.monotonic
        {
            let (_, id) = self.deadlines.pop_first().expect("there is a first");
            self.deadline_of.remove(&id);
            if let Some(known) = self.by_id.get(&id)
                && known.status == Status::Ongoing
            {
                let aborted = known.ending(false, at.wall).raised();
                decision.records.push(record(&id, Some(&aborted)));
            }
        }
        if self.next_expiry.is_some_and(|next| next <= at.monotonic) {
            self.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
            let expired = self
                .by_id
                .iter()
                .filter(|(_, known)| self.is_expired(at.wall, known));
            let records = expired.map(|(id, _)| record(id, None));
            decision.records.extend(records);
        }
        decision
    }

    /// The id's transaction has begun, and may be open until then.
    fn arm(&mut self, id: &str, deadline: Monotonic) {
        if let Some(before) = self.deadline_of.insert(id.to_owned(), deadline) {
            self.deadlines.remove(&(before, id.to_owned()));
        }
        self.deadlines.insert((deadline, id.to_owned()));
    }

    fn is_expired(&self, now: Timestamp, known: &Transaction) -> bool {
        let age_max = i64::try_from(self.config.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let is_idle = known.status == Status::Empty || known.status.outcome().is_some();
        is_idle && now.0.saturating_sub(known.updated.0) >= age_max
    }
}

/// What is to be done about an end.
enum Ending {
    /// It was done.
    Done,
    /// It can be decided.
    Prepare,
}

/// Who an id's producer is after an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The one that there is: it has not heard the answer.
    Same,
    /// The one behind it.
    Raised,
    /// One with another producer id.
    Replaced,
    /// Nobody, before the open transaction is aborted.
    Abort,
}

fn next_incarnation(
    known: &Transaction,
    init: Init,
    before: Option<ProducerEpoch>,
) -> Result<Next, TransactionError> {
    if known.status.is_ending() {
        return Err(TransactionError::Ending);
    }
    if let Some(expected) = init.expected {
        let is_replaced = Some(expected.id) == known.previous_id && known.has_succeeded(expected);
        if is_replaced || (expected.id == known.producer.id && Some(expected.epoch) == before) {
            // An open transaction was begun after the answer, so the answer was heard.
            let was_heard = known.status != Status::Empty;
            return if was_heard {
                Err(known.fences(expected))
            } else {
                Ok(Next::Same)
            };
        }
        if expected != known.producer {
            return Err(known.fences(expected));
        }
    }
    Ok(if known.status == Status::Ongoing {
        Next::Abort
    } else if known.is_used_up() {
        Next::Replaced
    } else {
        Next::Raised
    })
}

fn check_id(id: &str) -> Result<(), TransactionError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        let shown = id.chars().take(100).collect();
        return Err(TransactionError::InvalidId(shown));
    }
    Ok(())
}

fn marking(id: &str, known: &Transaction) -> Option<Marking> {
    known.status.is_ending().then(|| Marking {
        id: id.to_owned(),
        producer: known.producer,
        committed: known.status == Status::PrepareCommit,
        partitions: known.partitions.clone(),
    })
}

fn record(id: &str, known: Option<&Transaction>) -> LogRecord {
    TransactionRecord::encode(id, known)
}

fn decided(id: &str, next: &Transaction, answer: Answer) -> Decision<Answer, Marking> {
    Decision {
        records: vec![record(id, Some(next))],
        answer,
        effects: Vec::new(),
    }
}

fn begun(result: Result<Begun, TransactionError>) -> Decision<Answer, Marking> {
    Decision::read(Answer::Begun(result))
}

impl StateMachine for Transactions {
    type Command = Command;
    type Answer = Answer;
    type Effect = Marking;

    fn decide(&mut self, at: Moment, command: Command) -> Decision<Answer, Marking> {
        match command {
            Command::Start => self.start(at),
            Command::Init(id, init, fresh) => self.init(at.wall, id, init, fresh),
            Command::Add(id, producer, partitions) => self.add(at, id, producer, partitions),
            Command::End(id, end, fresh) => self.end(at.wall, &id, end, fresh),
            Command::Marked(id, producer) => self.marked(at.wall, &id, producer),
            Command::Tick => self.tick(at),
        }
    }

    fn replay(
        &mut self,
        _offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<Marking>, Box<dyn Error + Send + Sync>> {
        let Some(TransactionRecord { id, known }) = TransactionRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        let Some(known) = known else {
            self.by_id.remove(&id);
            self.epochs_before.remove(&id);
            return Ok(Vec::new());
        };
        let effects = marking(&id, &known).into_iter().collect();
        self.by_id.insert(id, known);
        Ok(effects)
    }

    fn deadline(&self) -> Option<(Monotonic, Command)> {
        let next = self.deadlines.first().map(|(deadline, _)| *deadline);
        let next = next.into_iter().chain(self.next_expiry).min();
        next.map(|deadline| (deadline, Command::Tick))
    }
}
