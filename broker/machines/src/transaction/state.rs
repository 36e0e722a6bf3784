//! What is known of one transactional id, and how it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::{Producer, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::command::{Init, TransactionError};

/// The last epoch that a producer gets; the one behind it only fences.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// Where a transaction stands. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Status {
    /// The producer is new.
    Empty = 0,
    /// There are records, or there will be.
    Ongoing = 1,
    /// It will be committed.
    PrepareCommit = 2,
    /// It will be aborted.
    PrepareAbort = 3,
    /// It is committed.
    CompleteCommit = 4,
    /// It is aborted.
    CompleteAbort = 5,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// As Kafka writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether an end is decided and not yet everywhere.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// How it ended, if it did: committed or not.
    pub(super) fn outcome(self) -> Option<bool> {
        match self {
            Self::CompleteCommit => Some(true),
            Self::CompleteAbort => Some(false),
            Self::Empty | Self::Ongoing | Self::PrepareCommit | Self::PrepareAbort => None,
        }
    }
}

/// All that is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The incarnation that may go on.
    pub producer: Producer,
    /// The producer id before, whose epochs are used up.
    pub previous_id: Option<ProducerId>,
    /// The producer id that it gets once its transaction has ended.
    pub next_id: Option<ProducerId>,
    /// How long it may be open.
    pub timeout: Duration,
    /// Where it stands.
    pub status: Status,
    /// What it has written to, or will.
    pub partitions: BTreeSet<TopicPartition>,
    /// When it began; [`Timestamp::NONE`] if none ever did.
    pub started: Timestamp,
    /// When this was written.
    pub updated: Timestamp,
    /// Version of transactions that the producer speaks (0 to 2).
    pub client_version: i16,
}

impl Transaction {
    /// Of an id that nobody has used.
    pub(super) fn new(id: ProducerId, timeout: Duration, now: Timestamp) -> Self {
        Self {
            producer: first_incarnation(id),
            previous_id: None,
            next_id: None,
            timeout,
            status: Status::Empty,
            partitions: BTreeSet::new(),
            started: Timestamp::NONE,
            updated: now,
            client_version: 0,
        }
    }

    /// Whether no incarnation comes after this one with the same producer id.
    pub(super) fn is_used_up(&self) -> bool {
        self.producer.epoch.0 >= EPOCH_MAX
    }

    /// A new incarnation begins.
    pub(super) fn begun(&self, producer: Producer, init: Init, now: Timestamp) -> Self {
        let is_other = producer.id != self.producer.id;
        Self {
            producer,
            previous_id: is_other.then_some(self.producer.id),
            next_id: None,
            timeout: init.timeout,
            status: Status::Empty,
            partitions: BTreeSet::new(),
            started: Timestamp::NONE,
            updated: now,
            client_version: self.client_version,
        }
    }

    /// There are more partitions. `None` if it has them all.
    pub(super) fn with(&self, more: BTreeSet<TopicPartition>, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        if self.status != Status::Ongoing {
            next.partitions.clear();
            next.status = Status::Ongoing;
            next.started = now;
        } else if more.is_subset(&self.partitions) {
            return None;
        }
        next.partitions.extend(more);
        next.updated = now;
        Some(next)
    }

    /// Its end is decided.
    pub(super) fn ending(&self, committed: bool, now: Timestamp) -> Self {
        let (status, is_open) = if committed {
            (Status::PrepareCommit, true)
        } else {
            (Status::PrepareAbort, self.status == Status::Ongoing)
        };
        let mut next = self.clone();
        next.status = status;
        if !is_open {
            next.partitions.clear();
            next.started = now;
        }
        next.updated = now;
        next
    }

    /// The epoch is one higher: the incarnation is fenced, or goes on as the next one.
    pub(super) fn raised(mut self) -> Self {
        self.producer.epoch = after(self.producer.epoch);
        self
    }

    /// The markers are everywhere.
    pub(super) fn complete(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.status = if self.status == Status::PrepareCommit {
            Status::CompleteCommit
        } else {
            Status::CompleteAbort
        };
        next.partitions.clear();
        next.updated = now;
        if let Some(id) = next.next_id.take() {
            next.previous_id = Some(self.producer.id);
            next.producer = first_incarnation(id);
        }
        next
    }

    /// Who the producer will be once its transaction has ended.
    pub(super) fn successor(&self) -> Producer {
        self.next_id.map_or(self.producer, first_incarnation)
    }

    /// Whether this is the incarnation that may go on.
    pub(super) fn check(&self, producer: Producer) -> Result<(), TransactionError> {
        if producer.id != self.producer.id {
            return Err(TransactionError::WrongProducer(producer.id));
        }
        if producer.epoch != self.producer.epoch {
            return Err(self.fences(producer));
        }
        Ok(())
    }

    pub(super) fn fences(&self, producer: Producer) -> TransactionError {
        TransactionError::Fenced {
            current: self.producer.epoch.0,
            found: producer.epoch.0,
        }
    }

    pub(super) fn refuses(&self) -> TransactionError {
        TransactionError::State(self.status.name())
    }

    /// Whether the last end has made this incarnation the current one: it has not heard the answer.
    pub(super) fn has_succeeded(&self, producer: Producer) -> bool {
        let is_raised = producer.id == self.producer.id
            && producer.epoch.0.checked_add(1) == Some(self.producer.epoch.0);
        let is_replaced = Some(producer.id) == self.previous_id
            && producer.epoch.0 == EPOCH_MAX
            && self.producer.epoch == FIRST;
        is_raised || is_replaced
    }
}

const FIRST: ProducerEpoch = ProducerEpoch(0);

fn first_incarnation(id: ProducerId) -> Producer {
    Producer { id, epoch: FIRST }
}

/// # Panics
/// There is none: epochs are replaced before they end.
pub(super) fn after(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.checked_add(1).expect("a fencing epoch is the last"))
}
