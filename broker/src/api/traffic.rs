//! Counts what producers bring and consumers take, for the broker and for each partition.
//!
//! As in Kafka, a batch that is sent again counts again, and a request for something that is not an
//! open partition of this broker counts nowhere. The handlers pass the partitions that they have
//! found, so that a request is counted by the image that it was answered from.

use std::sync::Arc;

use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use brooklet_protocol::records::BatchHeader;
use bytes::Bytes;

use super::context::ApiContext;
use crate::partition::Partition;

/// What a produce request brought for one partition.
pub(super) struct Produced {
    partition: Arc<Partition>,
    messages: u64,
    bytes: u64,
}

impl Produced {
    /// The records as they were sent. How many there are is what the batch's header says, which is
    /// checked before they are appended.
    pub(super) fn new(partition: &Arc<Partition>, records: Option<&Bytes>) -> Self {
        let header = records.and_then(|records| BatchHeader::parse(records).ok());
        let messages = header.map_or(0, |header| header.record_count);
        Self {
            partition: Arc::clone(partition),
            messages: u64::try_from(messages).expect("a header's count is checked"),
            bytes: records.map_or(0, |records| records.len() as u64),
        }
    }

    /// Counts them, now that it is known whether they were appended.
    pub(super) fn count(&self, ctx: &ApiContext, is_appended: bool) {
        for traffic in [&ctx.counters.traffic, self.partition.traffic()] {
            if is_appended {
                traffic.produced(self.messages, self.bytes);
            } else {
                traffic.produce_failed();
            }
        }
    }
}

/// Counts what a fetch is answered with for one partition.
pub(super) fn count_fetched(ctx: &ApiContext, partition: &Partition, answer: &PartitionData) {
    let bytes = answer.records.as_ref().map_or(0, Bytes::len);
    for traffic in [&ctx.counters.traffic, partition.traffic()] {
        if answer.error_code == 0 {
            traffic.fetched(bytes as u64);
        } else {
            traffic.fetch_failed();
        }
    }
}
