//! What is known of one transactional id, and how it changes: pure functions from one value to the
//! next.
//!
//! ```text
//!              with(partitions)        ending(committed)             complete
//!     Empty ──────────────────▶ Ongoing ─────────▶ PrepareCommit ─────────▶ CompleteCommit
//!       ▲                        ▲    └──────────▶ PrepareAbort ──────────▶ CompleteAbort
//!       │                        └──────────────── with(partitions) ──────────────┤
//!       └───────────────────────────── begun(producer) ◀──────────────────────────┘
//! ```
//!
//! A [`Transaction`] is the value of a record, so each function here returns the next record; which
//! one is due is decided by the machine. `raised` goes with any of them: the epoch becomes one
//! higher.
//!
//! Epochs of one producer id, from first to last:
//!
//! ```text
//!  0, 1, 2 … 32765 │ 32766                       │ 32767
//!  incarnations    │ the last that a producer    │ only fences: an abort that the producer did not
//!                  │ gets; the id is used up     │ ask for, or the last end
//! ```
//!
//! Invariants:
//! - an epoch only grows, and no producer gets one above 32766;
//! - partitions are those of the open or ending transaction, and empty in all other states;
//! - `next_id` is set only from the end that uses up the epochs until that end is complete, and
//!   then it becomes the producer id, at epoch 0, and the old one `previous_id`.
//!
//! Left out: the checks whether a change is allowed (`machine`, `init`, `end`), and time, which is
//! passed in.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::{Producer, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::command::{Init, TransactionError};

/// The last epoch that a producer gets; the one after it only fences.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// The state of a transaction. The numbers are Kafka's.
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
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name of the state.
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

    /// Whether an end is decided and markers are still being written.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether it was committed, once it is complete.
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
    /// The current incarnation.
    pub producer: Producer,
    /// The previous producer id, whose epochs are used up.
    pub previous_id: Option<ProducerId>,
    /// The producer id that it gets once its transaction is complete.
    pub next_id: Option<ProducerId>,
    /// How long it may be open.
    pub timeout: Duration,
    /// The state.
    pub status: Status,
    /// The partitions that it has written to, or is about to.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the last transaction began; [`Timestamp::NONE`] if none ever did.
    pub started: Timestamp,
    /// When this record was written.
    pub updated: Timestamp,
    /// The version of transactions that the producer speaks (0 to 2).
    pub client_version: i16,
}

impl Transaction {
    /// A new id.
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

    /// The next incarnation begins.
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

    /// More partitions are added; `None` if it has all of them.
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

    /// The end is decided.
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
        let before = self.producer.epoch;
        self.producer.epoch = after(before);
        debug_assert!(before < self.producer.epoch, "an epoch only grows");
        self
    }

    /// All partitions have their markers.
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

    /// The producer once its transaction has ended.
    pub(super) fn successor(&self) -> Producer {
        self.next_id.map_or(self.producer, first_incarnation)
    }

    /// Refuses every producer except the current incarnation.
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

    /// Whether the last end turned `producer` into the current incarnation: it has not received the
    /// answer.
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

/// The epoch after this one.
///
/// # Panics
/// There is none: the producer id is replaced before its epochs are used up.
pub(super) fn after(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.checked_add(1).expect("a fencing epoch is the last"))
}
