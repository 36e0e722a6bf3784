//! Batches of transactions: the coordinator has to know of a partition before the first of them is
//! appended there (see [`crate::partition::Unverified`]).
//!
//! Up to version 11 the producer has added the partition before (AddPartitionsToTxn), and the coordinator
//! is asked whether it has; from version 12 on the partition is added here (KIP-890).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{Producer, Timestamp, TopicPartition};

use super::super::context::ApiContext;
use super::super::error::ApiError;
use super::super::transactions::{or_abortable, said};
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

/// What the coordinator says of each of a request's partitions.
pub(super) type Verified = BTreeMap<TopicPartition, Outcome<()>>;

/// Asks the coordinator about all of a request's batches that wait for it; each producer once.
pub(super) async fn verify(
    ctx: &ApiContext,
    version: i16,
    id: &str,
    held: impl Iterator<Item = &Held>,
) -> Verified {
    let mut by_producer = BTreeMap::<Producer, BTreeSet<TopicPartition>>::new();
    for held in held {
        let places = by_producer
            .entry(held.batch.header().producer())
            .or_default();
        places.insert(held.partition.id().clone());
    }
    let mut verified = Verified::new();
    for (producer, places) in by_producer {
        if version >= ADDS_IMPLICITLY {
            let added = ctx.transactions.add(id, producer, places.clone()).await;
            let outcome = outcome(version, said(id, added, false));
            verified.extend(places.into_iter().map(|place| (place, outcome.clone())));
        } else {
            for place in places {
                let looked = ctx.transactions.verify(id, producer, &place).await;
                verified.insert(place, outcome(version, said(id, looked, false)));
            }
        }
    }
    verified
}

fn outcome(version: i16, said: Result<(), ErrorCode>) -> Outcome<()> {
    said.map_err(|code| {
        let code = match code {
            // These are for coordinators' requests; a producer comes again after these.
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                ErrorCode::NotEnoughReplicas
            }
            ErrorCode::ConcurrentTransactions if version < ADDS_IMPLICITLY => {
                ErrorCode::NotEnoughReplicas
            }
            code => or_abortable(code, version >= KNOWS_ABORTABLE),
        };
        ApiError::new(code, "the transaction's coordinator does not let it in")
    })
}

/// Where a partition's batch stands.
pub(super) enum Step<T> {
    /// It is in the log, or refused.
    Done(Produced<T>),
    /// The coordinator has to be asked.
    Held(Held),
}
