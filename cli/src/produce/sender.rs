//! Sends records, in transactions if asked to, and keeps track of those under way.
//!
//! ```text
//!  record ─▶ Producer::send ─▶ under way (bounded) ─▶ oldest delivery ─▶ stored: counted
//!               │ refused                                      │ refused
//!               └──────────────▶ named, its line noted ◀───────┘
//! ```
//!
//! **Plain.** A refused record is named and noted, and the others are sent. An error that is not
//! about one record ends the run.
//!
//! **In transactions.** Records count only once they are committed: every `every` records, or all
//! of them at the end of the input. The first refused record, an error or a signal aborts the open
//! transaction; its first line is then the first that is missing.
//!
//! Invariants:
//! - every line that was sent is either counted as stored or noted as missing;
//! - at most [`DELIVERIES_MAX`] deliveries are under way, and memory is bounded by them;
//! - deliveries are awaited in the order in which they were sent.

use std::collections::VecDeque;

use brooklet_client::{
    Client, ClientError, Delivery, NewRecord, Producer, ProducerConfig, RecordSize, SizeLimit,
    TransactionalProducer,
};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition};
use bytes::Bytes;

use crate::ranges::Ranges;
use crate::refused::{Refusals, is_of_record};

/// Records under way at most.
const DELIVERIES_MAX: usize = 16 * 1024;

/// The outcome of all records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) bytes_stored: u64,
    /// Records that were refused, or that may not be stored.
    pub(super) refused: u64,
    /// The lines of those records.
    pub(super) missing: Ranges,
    pub(super) first_error: Option<ClientError>,
    /// Records that are stored but do not count, because their transaction was aborted.
    pub(super) aborted: u64,
    /// The first line of a transaction that was not committed.
    pub(super) uncommitted_from: Option<u64>,
}

#[derive(Debug)]
enum Way {
    Plain(Producer),
    InTransactions {
        producer: Box<TransactionalProducer>,
        /// Records per transaction; `None`: one transaction for all.
        every: Option<u64>,
        /// Records in the open transaction.
        open: u64,
        /// The first line of the open transaction.
        from: Option<u64>,
    },
}

/// Sends records and keeps track of those under way.
#[derive(Debug)]
pub(super) struct Sender {
    way: Way,
    topic: TopicName,
    /// What a piece of the input is called: line or record.
    noun: &'static str,
    /// Records under way, oldest first.
    under_way: VecDeque<UnderWay>,
    tally: Tally,
    refusals: Refusals,
}

#[derive(Debug)]
struct UnderWay {
    bytes: u64,
    line: u64,
    delivery: Delivery,
}

impl Sender {
    /// `every`: records per transaction, if the settings have a transactional id.
    pub(super) async fn new(
        client: Client,
        (topic, noun): (TopicName, &'static str),
        config: ProducerConfig,
        every: Option<u64>,
    ) -> Result<Self, ClientError> {
        let way = if config.transactional_id.is_some() {
            let mut producer = TransactionalProducer::new(client, config).await?;
            producer.begin()?;
            Way::InTransactions {
                producer: Box::new(producer),
                every,
                open: 0,
                from: None,
            }
        } else {
            Way::Plain(Producer::new(client, config).await?)
        };
        Ok(Self {
            way,
            topic,
            noun,
            under_way: VecDeque::new(),
            tally: Tally::default(),
            refusals: Refusals::default(),
        })
    }

    /// Queues a record. If too many are under way, waits for the oldest; if the transaction is
    /// full, commits it. Fails if it is pointless to send more.
    pub(super) async fn send(&mut self, record: NewRecord, line: u64) -> Result<(), ClientError> {
        let size = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len) as u64;
        let bytes = size(&record.key) + size(&record.value);
        let sent = match &mut self.way {
            Way::Plain(producer) => producer.send(&self.topic, record).await,
            Way::InTransactions {
                producer,
                open,
                from,
                ..
            } => {
                *open += 1;
                from.get_or_insert(line);
                producer.send(&self.topic, record).await
            }
        };
        match sent {
            Ok(delivery) => self.under_way.push_back(UnderWay {
                bytes,
                line,
                delivery,
            }),
            Err(error) => return self.refuse(line, error),
        }
        if self.under_way.len() >= DELIVERIES_MAX {
            self.settle_oldest().await?;
        }
        self.commit_if_full().await
    }

    async fn commit_if_full(&mut self) -> Result<(), ClientError> {
        if let Way::InTransactions {
            producer,
            every,
            open,
            from,
        } = &mut self.way
            && Some(*open) == *every
        {
            producer.commit().await?;
            producer.begin()?;
            (*open, *from) = (0, None);
        }
        Ok(())
    }

    /// Notes a line that is too long to keep.
    pub(super) fn refuse_long(&mut self, line: u64, bytes_max: usize) -> Result<(), ClientError> {
        if let Way::InTransactions { from, .. } = &mut self.way {
            from.get_or_insert(line);
        }
        let error = ClientError::RecordTooLarge {
            partition: TopicPartition::new(self.topic.clone(), PartitionId(-1)),
            size: RecordSize {
                record_bytes: bytes_max + 1,
                batch_bytes: bytes_max + 1,
                is_compressed: false,
            },
            limit: Some(Box::new(SizeLimit {
                setting: "a line's length",
                bytes: bytes_max,
                because: Some("check the delimiter (-D)".to_owned()),
            })),
        };
        self.refuse(line, error)
    }

    /// Notes a record that was not stored; returns the error if it is pointless to send more.
    fn refuse(&mut self, line: u64, error: ClientError) -> Result<(), ClientError> {
        self.tally.refused += 1;
        self.tally.missing.insert(line);
        if !is_of_record(&error) {
            return Err(error);
        }
        self.refusals.say(&format!("{} {line}", self.noun), &error);
        match self.way {
            Way::InTransactions { .. } => Err(error),
            Way::Plain(_) => {
                self.tally.first_error.get_or_insert(error);
                Ok(())
            }
        }
    }

    async fn settle_oldest(&mut self) -> Result<(), ClientError> {
        let Some(UnderWay {
            bytes,
            line,
            delivery,
        }) = self.under_way.pop_front()
        else {
            return Ok(());
        };
        match delivery.wait().await {
            Ok(_) => {
                self.tally.stored += 1;
                self.tally.bytes_stored += bytes;
                Ok(())
            }
            Err(error) => self.refuse(line, error),
        }
    }

    /// Waits for all records under way, and ends the open transaction: commits it if the input was
    /// `whole` and every record is stored, else aborts it.
    pub(super) async fn finish(mut self, whole: bool) -> Tally {
        let (ended, from) = match &mut self.way {
            Way::Plain(producer) => {
                if let Err(error) = producer.flush().await {
                    tracing::debug!(%error, "the flush failed; the deliveries say for which records");
                }
                (Ok(0), None)
            }
            Way::InTransactions {
                producer,
                open,
                from,
                ..
            } => (end(producer, whole, *open).await, *from),
        };
        while !self.under_way.is_empty() {
            if let Err(error) = self.settle_oldest().await {
                self.tally.first_error.get_or_insert(error);
            }
        }
        if !whole || ended.is_err() {
            self.tally.uncommitted_from = from;
        }
        match ended {
            Ok(aborted) => self.tally.aborted = aborted,
            Err(error) => {
                self.tally.first_error.get_or_insert(error);
            }
        }
        self.tally
    }
}

/// Ends the transaction; returns how many records do not count.
async fn end(
    producer: &mut TransactionalProducer,
    whole: bool,
    open: u64,
) -> Result<u64, ClientError> {
    if whole {
        match producer.commit().await {
            Ok(()) => return Ok(0),
            Err(error) => {
                // If this fails, too, the broker aborts it once it times out.
                if let Err(error) = producer.abort().await {
                    tracing::debug!(%error, "the abort failed, too");
                }
                return Err(error);
            }
        }
    }
    producer.abort().await?;
    Ok(open)
}
