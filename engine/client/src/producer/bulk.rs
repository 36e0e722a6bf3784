//! Many records of one partition at once, without a cost per record beside that of copying it.
//!
//! ```text
//!  send        a record:  metadata? size? space? lock, append, unlock; a Delivery to wait for
//!  send_all    a batch:   space? lock, append all of its records, unlock
//! ```
//!
//! Nobody can wait for a single record; what fails is reported by the next flush, and so by the
//! transaction. The caller has chosen the partition, as for a record that names it.

use brooklet_protocol::TopicPartition;
use brooklet_protocol::records::BATCH_HEADER_BYTES;

use super::accumulator::Limits;
use super::record::Destination;
use super::{ClientError, Producer, REQUEST_BYTES_MAX, RecordRef, Shared};

impl Producer {
    /// Queues records for one partition, in their order and after all that was queued for it
    /// before; waits only for buffer space and for the topic's metadata. Whether they are stored,
    /// the next [`Producer::flush`] says.
    ///
    /// If the future is dropped while it waits, the first of the records are queued.
    ///
    /// # Errors
    /// Unknown topic or partition, a record is too large: nothing is queued. Closed.
    pub async fn send_all(
        &self,
        partition: &TopicPartition,
        records: &[RecordRef<'_>],
    ) -> Result<(), ClientError> {
        let shared = &*self.handle.shared;
        let codec = shared.config.compression;
        let to = Destination {
            topic: &partition.topic,
            partition: Some(partition.partition),
            codec,
        };
        shared.learn(&to).await?;
        for record in records
            .iter()
            .filter(|record| shared.may_be_too_large(record))
        {
            shared.check_size(&to, record).await?;
        }
        let oldest = records.iter().filter_map(|record| record.timestamp).min();
        shared.warn_of_retention(to.topic, oldest).await;
        let mut rest = records;
        while !rest.is_empty() {
            let (count, share) = shared.limits.batchful(rest);
            let (some, later) = rest.split_at(count);
            let space = shared.reserve(share).await?;
            let at = shared.moment();
            let appended = shared
                .accumulator
                .lock()
                .append_all(partition, codec, some, at);
            let wake = appended.ok_or(ClientError::Closed)?;
            // The space is given back when the batch is done.
            space.forget();
            if wake {
                shared.wake.notify_one();
            }
            rest = later;
        }
        Ok(())
    }
}

impl Shared {
    /// Whether the exact size of a record matters.
    fn may_be_too_large(&self, record: &RecordRef<'_>) -> bool {
        let limit = self.config.request_bytes_max;
        let limit = limit.map_or(REQUEST_BYTES_MAX, |limit| limit.min(REQUEST_BYTES_MAX));
        BATCH_HEADER_BYTES + record.bytes_max() > limit
    }
}

impl Limits {
    /// How many of the first records make a batch, at least one, and their share of
    /// `buffer.memory`.
    fn batchful(&self, records: &[RecordRef<'_>]) -> (usize, usize) {
        let bytes_max = self.batch_bytes.min(self.buffer_bytes);
        let (mut count, mut bytes) = (0, 0);
        for record in records {
            let share = self.share_of_buffer(record.bytes_max());
            if count > 0 && bytes + share > bytes_max {
                break;
            }
            count += 1;
            bytes += share;
        }
        (count, bytes)
    }
}
