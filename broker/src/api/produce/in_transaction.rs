//! Transactional batches: the coordinator has to know of a partition before its first batch is
//! appended (see [`crate::partition::Unverified`]).
//!
//! Up to version 11 the producer has added the partition itself (AddPartitionsToTxn), and the
//! coordinator is asked to verify it; from version 12 on the partition is added here (KIP-890).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{Producer, Timestamp, TopicPartition};

use super::super::context::ApiContext;
use super::super::error::ApiError;
use super::super::transactions::{or_abortable, value_or_code};
use super::{Outcome, Produced};
use crate::partition::{Durability, Partition, Unverified};

const ADDS_IMPLICITLY: i16 = 12;
const KNOWS_ABORTABLE: i16 = 11;

/// A batch that waits for the coordinator.
pub(super) struct Held {
    pub(super) partition: Arc<Partition>,
    pub(super) batch: RecordBatch,
    pub(super) durability: Durability,
    pub(super) log_append_time: Option<Timestamp>,
    pub(super) unverified: Unverified,
}

/// The coordinator's answer for each partition of a request.
pub(super) type Verified = BTreeMap<TopicPartition, Outcome<()>>;

/// Asks the coordinator about all batches of a request that wait for it, once for each producer.
pub(super) async fn verify(
    ctx: &ApiContext,
    version: i16,
    id: &str,
    held: impl Iterator<Item = &Held>,
) -> Verified {
    let mut by_producer = BTreeMap::<Producer, BTreeSet<TopicPartition>>::new();
    for held in held {
        let partitions = by_producer
            .entry(held.batch.header().producer())
            .or_default();
        partitions.insert(held.partition.id().clone());
    }
    let mut verified = Verified::new();
    for (producer, partitions) in by_producer {
        if version >= ADDS_IMPLICITLY {
            let added = ctx.transactions.add(id, producer, partitions.clone()).await;
            let outcome = outcome(version, value_or_code(id, added, false));
            verified.extend(
                partitions
                    .into_iter()
                    .map(|partition| (partition, outcome.clone())),
            );
        } else {
            for partition in partitions {
                let looked = ctx.transactions.verify(id, producer, &partition).await;
                verified.insert(
                    partition,
                    outcome(version, value_or_code(id, looked, false)),
                );
            }
        }
    }
    verified
}

fn outcome(version: i16, verified: Result<(), ErrorCode>) -> Outcome<()> {
    verified.map_err(|code| {
        let code = match code {
            // These are codes for requests to coordinators; a producer retries on this one.
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                ErrorCode::NotEnoughReplicas
            }
            ErrorCode::ConcurrentTransactions if version < ADDS_IMPLICITLY => {
                ErrorCode::NotEnoughReplicas
            }
            code => or_abortable(code, version >= KNOWS_ABORTABLE),
        };
        ApiError::new(code, "the transaction coordinator refused the partition")
    })
}

/// The state of a partition's batch.
pub(super) enum Step<T> {
    /// In the log, or refused.
    Done(Produced<T>),
    /// Waiting for the coordinator.
    Held(Held),
}
