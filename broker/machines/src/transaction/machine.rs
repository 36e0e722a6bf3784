//! All transactional ids of one partition of `__transaction_state`, as a [`StateMachine`].
//!
//! For each id the machine keeps one [`Transaction`], the last record of that id. A command looks
//! at it, decides on the next one ([`super::state`] computes it), and logs that; replay puts it
//! into the table.
//!
//! ```text
//!  command            allowed in                                    next
//!  InitProducer       no id yet, Empty, CompleteCommit/Abort        Empty, with a higher epoch
//!                     Ongoing                                       PrepareAbort; answered Ending
//!  AddPartitions      Empty, Ongoing, CompleteCommit/Abort          Ongoing
//!  EndTransaction     Ongoing                                       PrepareCommit or PrepareAbort
//!                     an abort of version 2 (KIP-890): any state    PrepareAbort, with a higher epoch
//!                     in which none is ending
//!  Marked             PrepareCommit, PrepareAbort                   CompleteCommit or CompleteAbort
//!  Tick               Ongoing, beyond its timeout                   PrepareAbort, with a higher epoch
//!                     idle beyond transactional.id.expiration.ms    a tombstone: the id is forgotten
//! ```
//!
//! A command that is refused, and one whose answer was lost and which is sent again, log nothing.
//! Replaying a `Prepare…` record returns a [`MarkerJob`] as an effect; [`Start`](crate::Start)
//! returns those that an earlier process may have left unfinished.
//!
//! Invariants:
//! - `HardState` changes only in replay; `SoftState` may be lost at any time: `Start` rebuilds the
//!   deadlines, and a producer that repeats InitProducerId across a restart is fenced;
//! - at most one transaction of an id is open or ends at a time;
//! - once an end is prepared, its outcome never changes;
//! - the epoch of a producer id only grows, and an id whose epochs are used up gets another
//!   producer id;
//! - a decision is one record, except in `Tick`, where each id has one of its own.
//!
//! Duties of the caller, beside those of every machine:
//! - a [`MarkerJob`] is carried out until every partition has its marker or is gone, then
//!   [`Marked`] is sent; a job that comes twice does no harm;
//! - where the answer is [`Begun::NeedsId`], the command is sent again with an unused producer id;
//! - a client that is answered [`TransactionError::Ending`] is sent back to try again, or waits
//!   with the caller.
//!
//! Left out: two-phase commit by others (KIP-939), where a prepared transaction stays open.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::time::Duration;

use brooklet_protocol::{Monotonic, Offset, Producer, ProducerEpoch, Timestamp, TopicPartition};

use super::command::{
    AddPartitions, Begun, EndTransaction, InitProducer, Marked, MarkerJob, TransactionConfig,
    TransactionError,
};
use super::end::{self, EndAction};
use super::init::{self, Next};
use super::record::TransactionRecord;
use super::state::{Status, Transaction};
use crate::{Command, Decision, LogRecord, Moment, StateMachine};

/// How often the machine looks for ids that have expired
/// (`transaction.remove.expired.transaction.cleanup.interval.ms`).
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);
/// The longest string that fits into a record in all versions of it.
const ID_BYTES_MAX: usize = i16::MAX as usize;

type Result<T> = std::result::Result<T, TransactionError>;

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug)]
pub struct Transactions {
    config: TransactionConfig,
    pub(super) hard: HardState,
    soft: SoftState,
}

/// What the log says, and replay rebuilds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HardState {
    by_id: BTreeMap<String, Transaction>,
}

/// What ends with the process.
#[derive(Clone, Debug, Default)]
struct SoftState {
    /// When the timeouts of open transactions are over.
    deadlines: BTreeSet<(Monotonic, String)>,
    deadline_of: HashMap<String, Monotonic>,
    /// The epochs before the last InitProducerId: a producer that has not received the answer asks
    /// again with that one.
    epochs_before: HashMap<String, ProducerEpoch>,
    /// When ids may have expired; `None` until the log is replayed.
    next_expiry: Option<Monotonic>,
}

impl Transactions {
    /// A partition without any ids.
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            hard: HardState::default(),
            soft: SoftState::default(),
        }
    }

    /// What is known of an id.
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.hard.by_id.get(id)
    }

    /// All ids, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        let all = self.hard.by_id.iter();
        all.map(|(id, known)| (id.as_str(), known))
    }

    /// Checks that a partition is part of a producer's open transaction.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, id: &str, producer: Producer, partition: &TopicPartition) -> Result<()> {
        let known = self.checked(id, producer)?;
        match known.status {
            _ if known.status.is_ending() => Err(TransactionError::Ending),
            Status::Ongoing if known.partitions.contains(partition) => Ok(()),
            _ => Err(TransactionError::NotPart(partition.clone())),
        }
    }

    /// The transaction of an id, if `producer` is its current incarnation.
    fn checked(&self, id: &str, producer: Producer) -> Result<&Transaction> {
        let known = self.known(id, producer)?;
        known.check(producer)?;
        Ok(known)
    }

    fn known(&self, id: &str, producer: Producer) -> Result<&Transaction> {
        check_id(id)?;
        self.get(id)
            .ok_or(TransactionError::WrongProducer(producer.id))
    }

    fn check_init(&self, id: &str, timeout: Duration) -> Result<()> {
        check_id(id)?;
        if timeout.is_zero() || timeout > self.config.timeout_max {
            return Err(TransactionError::Timeout {
                found_ms: timeout.as_millis(),
                max_ms: self.config.timeout_max.as_millis(),
            });
        }
        if self.get(id).is_none() && self.hard.by_id.len() >= self.config.ids_max {
            return Err(TransactionError::TooManyIds(self.config.ids_max));
        }
        Ok(())
    }

    fn is_expired(&self, now: Timestamp, known: &Transaction) -> bool {
        let age_max = i64::try_from(self.config.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let is_idle = known.status == Status::Empty || known.status.outcome().is_some();
        is_idle && now.0.saturating_sub(known.updated.0) >= age_max
    }
}

impl Command<Transactions> for InitProducer {
    type Answer = Result<Begun>;

    fn decide(self, machine: &mut Transactions, at: Moment) -> Decision<Self::Answer, MarkerJob> {
        let Self { id, init, unused } = self;
        if let Err(error) = machine.check_init(&id, init.timeout) {
            return Decision::read(Err(error));
        }
        let Some(known) = machine.hard.by_id.get(&id) else {
            let Some(unused) = unused else {
                return Decision::read(Ok(Begun::NeedsId));
            };
            let new = Transaction::new(unused, init.timeout, at.wall);
            return logged(&id, &new, Ok(Begun::Producer(new.producer)));
        };
        let before = machine.soft.epochs_before.get(&id).copied();
        match init::next_incarnation(known, init, before) {
            Err(error) => Decision::read(Err(error)),
            Ok(Next::Same) => Decision::read(Ok(Begun::Producer(known.producer))),
            // The incarnation that began it is gone. The caller asks again once it is aborted.
            Ok(Next::Abort) => {
                let aborted = known.ending(false, at.wall).raised();
                machine.soft.epochs_before.remove(&id);
                logged(&id, &aborted, Err(TransactionError::Ending))
            }
            Ok(Next::Raised | Next::Replaced) if known.is_used_up() && unused.is_none() => {
                Decision::read(Ok(Begun::NeedsId))
            }
            Ok(next) => {
                let producer = init::successor(known, next, unused);
                let new = known.begun(producer, init, at.wall);
                let epoch = known.producer.epoch;
                match init.expected {
                    Some(_) => machine.soft.epochs_before.insert(id.clone(), epoch),
                    None => machine.soft.epochs_before.remove(&id),
                };
                logged(&id, &new, Ok(Begun::Producer(new.producer)))
            }
        }
    }
}

impl Command<Transactions> for AddPartitions {
    type Answer = Result<()>;

    fn decide(self, machine: &mut Transactions, at: Moment) -> Decision<Self::Answer, MarkerJob> {
        let Self {
            id,
            producer,
            partitions,
        } = self;
        let known = match machine.checked(&id, producer) {
            Ok(known) if known.status.is_ending() => {
                return Decision::read(Err(TransactionError::Ending));
            }
            Ok(known) => known,
            Err(error) => return Decision::read(Err(error)),
        };
        let Some(next) = known.with(partitions, at.wall) else {
            return Decision::read(Ok(()));
        };
        if known.status != Status::Ongoing {
            let deadline = Monotonic(at.monotonic.0 + next.timeout);
            machine.soft.arm(&id, deadline);
        }
        logged(&id, &next, Ok(()))
    }
}

impl Command<Transactions> for EndTransaction {
    type Answer = Result<Begun>;

    fn decide(self, machine: &mut Transactions, at: Moment) -> Decision<Self::Answer, MarkerJob> {
        let Self { id, end, unused } = self;
        let known = match machine.known(&id, end.producer) {
            Ok(known) => known,
            Err(error) => return Decision::read(Err(error)),
        };
        match end::check(known, end) {
            Err(error) => return Decision::read(Err(error)),
            Ok(EndAction::AlreadyDone) => {
                return Decision::read(Ok(Begun::Producer(known.producer)));
            }
            Ok(EndAction::Prepare) => {}
        }
        let mut next = known.ending(end.committed, at.wall);
        if end.raises_epoch {
            if known.is_used_up() {
                let Some(unused) = unused else {
                    return Decision::read(Ok(Begun::NeedsId));
                };
                next.next_id = Some(unused);
            }
            next = next.raised();
        }
        next.client_version = if end.raises_epoch { 2 } else { 0 };
        logged(&id, &next, Ok(Begun::Producer(next.successor())))
    }
}

impl Command<Transactions> for Marked {
    type Answer = ();

    fn decide(self, machine: &mut Transactions, at: Moment) -> Decision<(), MarkerJob> {
        match machine.get(&self.id) {
            Some(known) if known.status.is_ending() && known.producer == self.producer => {
                logged(&self.id, &known.complete(at.wall), ())
            }
            _ => Decision::read(()),
        }
    }
}

impl StateMachine for Transactions {
    type Effect = MarkerJob;

    fn replay(
        &mut self,
        _offset: Offset,
        record: &LogRecord,
    ) -> std::result::Result<Vec<MarkerJob>, Box<dyn Error + Send + Sync>> {
        let Some(TransactionRecord { id, known }) = TransactionRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        let Some(known) = known else {
            self.hard.by_id.remove(&id);
            self.soft.epochs_before.remove(&id);
            return Ok(Vec::new());
        };
        let jobs = marker_job(&id, &known).into_iter().collect();
        let (is_live, producer) = (self.soft.next_expiry.is_some(), known.producer);
        let before = self.hard.by_id.insert(id, known);
        let before = before.map(|before| before.producer);
        // Live only: the records of an adopted log are another program's decisions.
        debug_assert!(
            !is_live || before.is_none_or(|b| b.id != producer.id || b.epoch <= producer.epoch),
            "the epoch of a producer id only grows"
        );
        Ok(jobs)
    }

    fn start(&mut self, at: Moment) -> Decision<(), MarkerJob> {
        self.soft.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
        let mut decision = Decision::read(());
        for (id, known) in &self.hard.by_id {
            if known.status == Status::Ongoing {
                let age = u64::try_from(at.wall.0.saturating_sub(known.started.0)).unwrap_or(0);
                let left = known.timeout.saturating_sub(Duration::from_millis(age));
                self.soft.arm(id, Monotonic(at.monotonic.0 + left));
            }
            decision.effects.extend(marker_job(id, known));
        }
        decision
    }

    fn deadline(&self) -> Option<Monotonic> {
        let next = self.soft.deadlines.first().map(|(deadline, _)| *deadline);
        next.into_iter().chain(self.soft.next_expiry).min()
    }

    fn tick(&mut self, at: Moment) -> Decision<(), MarkerJob> {
        let mut records = Vec::new();
        for id in self.soft.due(at.monotonic) {
            if let Some(known) = self.get(&id)
                && known.status == Status::Ongoing
            {
                let aborted = known.ending(false, at.wall).raised();
                records.push(TransactionRecord::encode(&id, Some(&aborted)));
            }
        }
        if (self.soft.next_expiry).is_some_and(|next| next <= at.monotonic) {
            self.soft.next_expiry = Some(Monotonic(at.monotonic.0 + EXPIRY_INTERVAL));
            let all = self.hard.by_id.iter();
            let expired = all.filter(|(_, known)| self.is_expired(at.wall, known));
            records.extend(expired.map(|(id, _)| TransactionRecord::encode(id, None)));
        }
        Decision::write(records, ())
    }
}

impl SoftState {
    /// The id's transaction is open, and times out at `deadline`.
    fn arm(&mut self, id: &str, deadline: Monotonic) {
        if let Some(before) = self.deadline_of.insert(id.to_owned(), deadline) {
            self.deadlines.remove(&(before, id.to_owned()));
        }
        self.deadlines.insert((deadline, id.to_owned()));
    }

    /// Takes the ids whose deadline has come.
    fn due(&mut self, now: Monotonic) -> Vec<String> {
        let mut due = Vec::new();
        while let Some((deadline, _)) = self.deadlines.first()
            && *deadline <= now
        {
            let (_, id) = self.deadlines.pop_first().expect("there is a first");
            self.deadline_of.remove(&id);
            due.push(id);
        }
        due
    }
}

fn check_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        let shown = id.chars().take(100).collect();
        return Err(TransactionError::InvalidId(shown));
    }
    Ok(())
}

fn marker_job(id: &str, known: &Transaction) -> Option<MarkerJob> {
    known.status.is_ending().then(|| MarkerJob {
        id: id.to_owned(),
        producer: known.producer,
        committed: known.status == Status::PrepareCommit,
        partitions: known.partitions.clone(),
    })
}

/// The decision that `next` is what is known of the id from now on.
fn logged<A>(id: &str, next: &Transaction, answer: A) -> Decision<A, MarkerJob> {
    let record = TransactionRecord::encode(id, Some(next));
    Decision::write(vec![record], answer)
}
