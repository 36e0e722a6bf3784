//! DescribeTransactions (65), version 0: the transactions of transactional ids (KIP-664).

use brooklet_machines::transaction::Transaction;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::describe_transactions_response::{
    TopicData, TransactionState,
};
use brooklet_protocol::messages::kafka::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName,
    TransactionalId,
};

use super::call::Call;
use super::context::ApiContext;
use super::groups::text;
use super::transactions::value_or_code;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DescribeTransactionsRequest>,
) -> DescribeTransactionsResponse {
    let mut states = Vec::with_capacity(request.transactional_ids.len());
    for id in request.transactional_ids {
        states.push(describe(ctx, id).await);
    }
    DescribeTransactionsResponse::default().with_transaction_states(states)
}

async fn describe(ctx: &ApiContext, id: TransactionalId) -> TransactionState {
    let name = id.as_str();
    let looked = ctx
        .transactions
        .look(name, |known| known.get(name).cloned())
        .await;
    let state = match value_or_code(name, looked.map(Ok), true) {
        Ok(Some(known)) => to_response(&known),
        Ok(None) => failed(ErrorCode::TransactionalIdNotFound),
        Err(code) => failed(code),
    };
    state.with_transactional_id(id)
}

fn failed(code: ErrorCode) -> TransactionState {
    TransactionState::default().with_error_code(code.code())
}

fn to_response(known: &Transaction) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in &known.partitions {
        let name = partition.topic.as_str();
        match topics.last_mut().filter(|last| last.topic.as_str() == name) {
            Some(last) => last.partitions.push(partition.partition.0),
            None => topics.push(
                TopicData::default()
                    .with_topic(TopicName(text(name)))
                    .with_partitions(vec![partition.partition.0]),
            ),
        }
    }
    let timeout_ms = known.timeout.as_millis();
    TransactionState::default()
        .with_transaction_state(text(known.status.name()))
        .with_transaction_timeout_ms(i32::try_from(timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(known.started.0)
        .with_producer_id(ProducerId(known.producer.id.0))
        .with_producer_epoch(known.producer.epoch.0)
        .with_topics(topics)
}
