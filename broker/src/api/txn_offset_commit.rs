//! TxnOffsetCommit (28), versions 0 to 5: how far a group has read, as part of a transaction (KIP-98).
//!
//! - The offsets count once the transaction is committed; until then, who asks for stable offsets is told
//!   to wait (KIP-447).
//! - From version 3 on a member says which generation it is of, and is fenced like one that commits at
//!   once; a producer that is no member speaks for itself.
//! - The group's partition has to be part of the transaction: added by AddOffsetsToTxn, or here and now
//!   (version 5, KIP-890).

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

use super::context::ApiContext;
use super::groups::{code_of, failed, identity, refused};
use super::offset_commit::{self, Outcomes};
use super::transactions::{offsets_place, or_abortable, producer, said};
use crate::coordinator::CoordinatorError;
use crate::driver::DriverError;

const KNOWS_ABORTABLE: i16 = 4;
const ADDS_IMPLICITLY: i16 = 5;

pub(super) async fn handle(
    ctx: &ApiContext,
    version: i16,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let image = ctx.controller.image();
    let (mut answers, mut offsets) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        answers.push(offset_commit::judge(&image, &as_plain(topic), &mut offsets));
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

/// Whether the group's partition is part of the transaction; what is not may become so.
async fn verify(
    ctx: &ApiContext,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<(), i16> {
    let group = request.group_id.as_str();
    let partition = ctx.groups.partition_of(group).await;
    let place = offsets_place(partition.map_err(|error| failed(group, &error))?);
    let id = request.transactional_id.as_str();
    let who = producer(request.producer_id, request.producer_epoch);
    let verified = if version >= ADDS_IMPLICITLY {
        ctx.transactions.add(id, who, [place].into()).await
    } else {
        ctx.transactions.verify(id, who, &place).await
    };
    let verified = said(id, verified, false);
    verified.map_err(|code| or_abortable(code, version >= KNOWS_ABORTABLE).code())
}

/// As if it were to be committed at once.
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
