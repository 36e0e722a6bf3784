//! What `read_committed` passes over: the records of transactions that were aborted (KIP-98).
//!
//! The broker sends a transaction's records as they lie in the log, and beside them a list of what
//! was aborted in what it sends, by producer and first offset. A producer has one transaction at a
//! time, which a marker in the log ends:
//!
//! ```text
//!  log      7:a  7:b  9:x  7:ABORT  7:c  9:COMMIT        producer:record
//!  offset    0    1    2      3      4      5
//!  list     (producer 7, from 0)
//!  read                x             c
//! ```
//!
//! The list may come in any order. A batch without a transaction is never passed over.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use brooklet_protocol::records::{BatchError, EndTxnMarker, RecordBatch};

/// Which producers' records are passed over, as one goes through the batches in order.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// To come, by first offset: (offset, producer).
    starts: BinaryHeap<Reverse<(i64, i64)>>,
    /// In an aborted transaction now.
    producers: BTreeSet<i64>,
}

impl Aborted {
    /// What the broker says.
    pub(super) fn new(data: &PartitionData) -> Self {
        let listed = data.aborted_transactions.iter().flatten();
        let starts = listed.map(|aborted| Reverse((aborted.first_offset, aborted.producer_id.0)));
        Self {
            starts: starts.collect(),
            producers: BTreeSet::new(),
        }
    }

    /// Whether the next batch belongs to an aborted transaction.
    pub(super) fn covers(&mut self, batch: &RecordBatch) -> Result<bool, BatchError> {
        let (header, next) = (batch.header(), batch.header().next_offset().0);
        while let Some(Reverse((first, producer))) = self.starts.peek().copied() {
            if first >= next {
                break;
            }
            self.starts.pop();
            self.producers.insert(producer);
        }
        let producer = header.producer_id.0;
        if !header.is_transactional() || !self.producers.contains(&producer) {
            return Ok(false);
        }
        if header.is_control() && EndTxnMarker::read(batch)?.is_some_and(|end| !end.committed) {
            self.producers.remove(&producer);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at_offset;
    use brooklet_protocol::messages::kafka::fetch_response::AbortedTransaction;
    use brooklet_protocol::records::{BatchBuilder, Compression};
    use brooklet_protocol::{ProducerEpoch, ProducerId, Timestamp};

    /// A batch per word: `7a` is of a transaction, `-x` of none, `7ABORT` and `7COMMIT` are
    /// markers.
    fn log(words: &str) -> Vec<RecordBatch> {
        let batch = |(offset, word): (usize, &str)| {
            let (producer, value) = word.split_at(1);
            let id = ProducerId(producer.parse().unwrap_or(-1));
            let marker = |committed| EndTxnMarker {
                committed,
                coordinator_epoch: 0,
            };
            let batch = match value {
                "ABORT" => marker(false).to_batch((id, ProducerEpoch(0)), Timestamp(0)),
                "COMMIT" => marker(true).to_batch((id, ProducerEpoch(0)), Timestamp(0)),
                _ => {
                    let mut builder = BatchBuilder::new(Compression::None);
                    if id != ProducerId::NONE {
                        builder = builder
                            .with_producer(id, ProducerEpoch(0), 0)
                            .with_transaction();
                    }
                    builder.append(Timestamp(0), None, Some(value.as_bytes()), &[]);
                    builder.build()
                }
            };
            at_offset(&batch, offset as i64)
        };
        words.split_whitespace().enumerate().map(batch).collect()
    }

    fn read(words: &str, aborted: &[(i64, i64)]) -> String {
        let listed = aborted.iter().map(|(producer, first)| {
            AbortedTransaction::default()
                .with_producer_id((*producer).into())
                .with_first_offset(*first)
        });
        let data = PartitionData::default().with_aborted_transactions(Some(listed.collect()));
        let mut aborted = Aborted::new(&data);
        let mut log = log(words);
        log.retain(|batch| !aborted.covers(batch).unwrap() && !batch.header().is_control());
        let names = words.split_whitespace().collect::<Vec<_>>();
        let left = log
            .iter()
            .map(|batch| names[batch.header().base_offset.0 as usize]);
        left.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_was_aborted_is_passed_over_and_nothing_else() {
        let log = "7a 9x 7b -p 7ABORT 7c 9COMMIT 7COMMIT";
        assert_eq!(read(log, &[]), "7a 9x 7b -p 7c");
        assert_eq!(read(log, &[(7, 0)]), "9x -p 7c");
    }

    #[test]
    fn a_producer_may_abort_again_and_the_list_has_any_order() {
        let log = "7a 7ABORT 7b 7COMMIT 7c 9x 7ABORT 9ABORT";
        assert_eq!(read(log, &[(9, 5), (7, 4), (7, 0)]), "7b");
    }

    #[test]
    fn a_transaction_that_began_before_what_is_fetched_is_passed_over_too() {
        // Its first offset is below the first batch.
        assert_eq!(read("7a 7ABORT 7b", &[(7, -5)]), "7b");
    }
}
