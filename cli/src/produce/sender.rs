//! Sends records, in transactions if need be, and remembers what is under way.

use std::collections::VecDeque;

use brooklet_engine::Client;
use brooklet_engine::client::{
    ClientError, Delivery, NewRecord, Producer, ProducerConfig, TransactionalProducer,
};
use brooklet_protocol::TopicName;
use bytes::Bytes;

/// Records sent and not yet looked at again.
const DELIVERIES_MAX: usize = 16 * 1024;

/// What became of the records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) bytes_stored: u64,
    pub(super) failed: u64,
    pub(super) first_error: Option<ClientError>,
    /// Records that are stored and do not count, as their transaction was aborted.
    pub(super) aborted: u64,
}

impl Tally {
    pub(super) fn count(&mut self, bytes: u64, result: Result<(), ClientError>) {
        match result {
            Ok(()) => {
                self.stored += 1;
                self.bytes_stored += bytes;
            }
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

#[derive(Debug)]
enum Way {
    Plain(Producer),
    InTransactions {
        producer: Box<TransactionalProducer>,
        /// Records of a transaction; `None`: all are in one.
        every: Option<u64>,
        /// Records of the open one.
        open: u64,
    },
}

/// Sends records and remembers what is under way.
#[derive(Debug)]
pub(super) struct Sender {
    way: Way,
    topic: TopicName,
    /// Deliveries with the size of their record, oldest first.
    under_way: VecDeque<(u64, Delivery)>,
    tally: Tally,
}

impl Sender {
    /// `every`: how many records are committed at a time, if the settings have a transactional id.
    pub(super) async fn new(
        client: Client,
        topic: TopicName,
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
            }
        } else {
            Way::Plain(Producer::new(client, config).await?)
        };
        Ok(Self {
            way,
            topic,
            under_way: VecDeque::new(),
            tally: Tally::default(),
        })
    }

    /// Queues a record. When too many are under way, waits for the oldest; when a transaction is full, for
    /// its end.
    pub(super) async fn send(&mut self, record: NewRecord) -> Result<(), ClientError> {
        let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len) as u64;
        let size = bytes(&record.key) + bytes(&record.value);
        let delivery = match &mut self.way {
            Way::Plain(producer) => producer.send(&self.topic, record).await?,
            Way::InTransactions { producer, open, .. } => {
                *open += 1;
                producer.send(&self.topic, record).await?
            }
        };
        self.under_way.push_back((size, delivery));
        if self.under_way.len() >= DELIVERIES_MAX {
            self.settle_oldest().await;
        }
        if let Way::InTransactions {
            producer,
            every,
            open,
        } = &mut self.way
            && Some(*open) == *every
        {
            producer.commit().await?;
            producer.begin()?;
            *open = 0;
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) {
        if let Some((bytes, delivery)) = self.under_way.pop_front() {
            self.tally.count(bytes, delivery.wait().await.map(drop));
        }
    }

    /// Waits for all that is under way, and ends the open transaction: commits it if the input was
    /// `whole` and all of it is stored, and aborts it otherwise.
    pub(super) async fn finish(mut self, whole: bool) -> Tally {
        let ended = match &mut self.way {
            Way::Plain(producer) => {
                if let Err(error) = producer.flush().await {
                    tracing::debug!(%error, "the flush failed; the deliveries say of which records");
                }
                Ok(0)
            }
            Way::InTransactions { producer, open, .. } => end(producer, whole, *open).await,
        };
        while !self.under_way.is_empty() {
            self.settle_oldest().await;
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

/// Tells how many records do not count.
async fn end(
    producer: &mut TransactionalProducer,
    whole: bool,
    open: u64,
) -> Result<u64, ClientError> {
    if whole {
        match producer.commit().await {
            Ok(()) => return Ok(0),
            Err(error) => {
                // Whatever it was, the broker aborts it in the end.
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
