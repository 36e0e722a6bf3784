//! TxnOffsetCommit (28), versions 0 to 5: commits offsets of a group in a transaction (KIP-98).
//!
//! - The offsets become visible when the transaction is committed; until then, requests for stable
//!   offsets are answered with UNSTABLE_OFFSET_COMMIT (KIP-447).
//! - From version 3 on a member states its generation, and is fenced like one that commits without
//!   a transaction; a producer that is not a member has no generation.
//! - The group's partition has to be part of the transaction: it is added by AddOffsetsToTxn or,
//!   from version 5 on, here (KIP-890).

use brooklet_log::LogError;
use brooklet_machines::group::{CommitInTransaction, NewOffset, TxnCommitted};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use brooklet_protocol::messages::kafka::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use brooklet_protocol::messages::kafka::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{code_of, failed, identity, refused};
use super::offset_commit::{self, Outcomes};
use super::transactions::{offsets_partition, or_abortable, producer, value_or_code};
use crate::coordinator::CoordinatorError;
use crate::driver::DriverError;

const KNOWS_ABORTABLE: i16 = 4;
const ADDS_IMPLICITLY: i16 = 5;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<TxnOffsetCommitRequest>,
) -> TxnOffsetCommitResponse {
    let image = ctx.controller.image();
    let (mut answers, mut offsets) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        answers.push(offset_commit::check(&image, &as_plain(topic), &mut offsets));
    }
    let mut codes = commit(ctx, version, &request, offsets).await;
    let answers = answers.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(codes.for_partition(partition.error_code))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    TxnOffsetCommitResponse::default().with_topics(answers.collect())
}

async fn commit(
    ctx: &ApiContext,
    version: i16,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<NewOffset>,
) -> Outcomes {
    let group = request.group_id.as_str();
    let who = identity(
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id,
    );
    let mut commit = CommitInTransaction {
        group: group.to_owned(),
        identity: who,
        producer: producer(request.producer_id, request.producer_epoch),
        verified_at: None,
        offsets,
    };
    loop {
        match ctx.groups.ask(group, commit.clone()).await {
            Ok(TxnCommitted::Unverified(markers)) => {
                if let Err(code) = verify(ctx, version, request).await {
                    return Outcomes::All(code);
                }
                commit.verified_at = Some(markers);
            }
            Ok(TxnCommitted::Checked(Ok(outcomes))) => {
                return Outcomes::Each(
                    outcomes
                        .into_iter()
                        .map(|outcome| code_of(ctx, outcome))
                        .collect(),
                );
            }
            Ok(TxnCommitted::Checked(Err(error))) => return Outcomes::All(refused(ctx, &error)),
            // A newer incarnation has written there.
            Err(CoordinatorError::Driver(DriverError::Log(LogError::Producer(_)))) => {
                return Outcomes::All(ErrorCode::InvalidProducerEpoch.code());
            }
            Err(error) => return Outcomes::All(failed(group, &error)),
        }
    }
}

/// Verifies that the group's partition is part of the transaction; newer versions add it.
async fn verify(
    ctx: &ApiContext,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<(), i16> {
    let group = request.group_id.as_str();
    let partition = ctx.groups.partition_of(group).await;
    let partition = offsets_partition(partition.map_err(|error| failed(group, &error))?);
    let id = request.transactional_id.as_str();
    let who = producer(request.producer_id, request.producer_epoch);
    let verified = if version >= ADDS_IMPLICITLY {
        ctx.transactions.add(id, who, [partition].into()).await
    } else {
        ctx.transactions.verify(id, who, &partition).await
    };
    let verified = value_or_code(id, verified, false);
    verified.map_err(|code| or_abortable(code, version >= KNOWS_ABORTABLE).code())
}

/// The same offsets, as OffsetCommit has them.
fn as_plain(topic: &TxnOffsetCommitRequestTopic) -> OffsetCommitRequestTopic {
    let partitions = topic.partitions.iter().map(|partition| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_committed_metadata(partition.committed_metadata.clone())
    });
    OffsetCommitRequestTopic::default()
        .with_partitions(partitions.collect())
        .with_name(topic.name.clone())
}
