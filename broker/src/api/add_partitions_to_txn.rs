//! AddPartitionsToTxn (24), versions 0 to 5: adds partitions to a transaction (KIP-98), which
//! begins with the first one.
//!
//! - Clients send versions up to 3, with one transaction. If one partition does not exist, it is
//!   refused and none of the others is added (OPERATION_NOT_ATTEMPTED).
//! - Versions 4 and 5 are sent by brokers to each other: several transactions, whose partitions are
//!   added or only verified (KIP-890).
//! - PRODUCER_FENCED is answered from version 2 on, TRANSACTION_ABORTABLE in version 5.

use std::collections::BTreeSet;

use brooklet_protocol::TopicPartition;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use brooklet_protocol::messages::kafka::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use brooklet_protocol::messages::kafka::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::NONE;
use super::topics::{TopicRef, find_partition, find_topic};
use super::transactions::{or_abortable, producer, topic_partition, value_or_code};
use crate::controller::MetadataImage;

const SEVERAL: i16 = 4;
const KNOWS_FENCED: i16 = 2;
const KNOWS_ABORTABLE: i16 = 5;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<AddPartitionsToTxnRequest>,
) -> AddPartitionsToTxnResponse {
    let image = ctx.controller.image();
    if version < SEVERAL {
        let one = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let results = add(ctx, &image, version, &one).await;
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let topics = if transaction.verify_only {
            verify(ctx, &image, version, &transaction).await
        } else {
            add(ctx, &image, version, &transaction).await
        };
        results.push(
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id)
                .with_topic_results(topics),
        );
    }
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
}

/// A partition that exists, or the error of one that does not.
type Found = Result<TopicPartition, ErrorCode>;

fn find(image: &MetadataImage, asked: &AddPartitionsToTxnTopic, partition: i32) -> Found {
    let topic = find_topic(image, TopicRef::Name(&asked.name)).map_err(|error| error.code)?;
    find_partition(topic, partition).map_err(|error| error.code)?;
    Ok(topic_partition(topic.name.clone(), partition))
}

async fn add(
    ctx: &ApiContext,
    image: &MetadataImage,
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let all = transaction.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| find(image, topic, *partition))
    });
    let all: Result<BTreeSet<_>, _> = all.collect();
    let Ok(all) = all else {
        // Partitions with errors are named, and none of the others is added.
        return results(&transaction.topics, |topic, partition| {
            let found = find(image, topic, partition);
            found
                .err()
                .unwrap_or(ErrorCode::OperationNotAttempted)
                .code()
        });
    };
    let id = transaction.transactional_id.as_str();
    let who = producer(transaction.producer_id, transaction.producer_epoch);
    let added = ctx.transactions.add(id, who, all).await;
    let code = value_or_code(id, added, version >= KNOWS_FENCED)
        .err()
        .map_or(NONE, |code| code.code());
    results(&transaction.topics, |_, _| code)
}

async fn verify(
    ctx: &ApiContext,
    image: &MetadataImage,
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let id = transaction.transactional_id.as_str();
    let who = producer(transaction.producer_id, transaction.producer_epoch);
    let look = |transactions: &brooklet_machines::transaction::Transactions| {
        results(&transaction.topics, |topic, partition| {
            let verified = find(image, topic, partition).and_then(|found| {
                let verified = transactions.verify(id, who, &found);
                value_or_code(id, Ok(verified), version >= KNOWS_FENCED)
            });
            let code = verified.map_err(|code| or_abortable(code, version >= KNOWS_ABORTABLE));
            code.err().map_or(NONE, |code| code.code())
        })
    };
    match ctx.transactions.look(id, look).await {
        Ok(results) => results,
        Err(error) => {
            let code = super::error::coordinator_error_code(&error).code();
            results(&transaction.topics, |_, _| code)
        }
    }
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&AddPartitionsToTxnTopic, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(topic, *partition))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    results.collect()
}
