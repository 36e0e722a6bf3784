//! ElectLeaders (43), versions 0 to 2: elects partition leaders (KIP-183, KIP-460).
//!
//! Each partition has one replica, which leads if it can: ELECTION_NOT_NEEDED. If it is offline,
//! there is nobody to elect: PREFERRED_LEADER_NOT_AVAILABLE or, in an unclean election,
//! ELIGIBLE_LEADERS_NOT_AVAILABLE. A request for all partitions is answered with those that have no
//! leader.
//!
//! Left out: the timeout, since nothing is left to wait for.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::elect_leaders_response::{
    PartitionResult, ReplicaElectionResult,
};
use brooklet_protocol::messages::kafka::{self, ElectLeadersRequest, ElectLeadersResponse};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::groups::text;
use super::topics::{TopicRef, find_state, find_topic};
use crate::controller::MetadataImage;
use crate::partition::PartitionState;

#[derive(Clone, Copy)]
enum Election {
    /// The first replica in the list is elected.
    Preferred,
    /// Any replica is elected.
    Unclean,
}

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<ElectLeadersRequest>,
) -> ElectLeadersResponse {
    let election = match request.election_type {
        _ if version == 0 => Election::Preferred,
        0 => Election::Preferred,
        1 => Election::Unclean,
        _ => {
            let code = ErrorCode::InvalidRequest.code();
            return ElectLeadersResponse::default().with_error_code(code);
        }
    };
    let image = ctx.controller.image();
    let results = match request.topic_partitions {
        None => of_all(&image, election),
        Some(topics) => {
            let topics = topics.into_iter().map(|topic| {
                let elected = topic.partitions.iter().map(|partition| {
                    let elected = elect(&image, election, (&topic.topic, *partition));
                    result(*partition, elected)
                });
                ReplicaElectionResult::default()
                    .with_partition_result(elected.collect())
                    .with_topic(topic.topic)
            });
            topics.collect()
        }
    };
    ElectLeadersResponse::default().with_replica_election_results(results)
}

/// All partitions without a leader.
fn of_all(image: &MetadataImage, election: Election) -> Vec<ReplicaElectionResult> {
    let topics = image.topics.values().map(|topic| {
        let offline = topic.partitions.iter().filter(|p| p.is_offline());
        let results = offline.map(|p| result(p.id().partition.0, outcome(election, p)));
        ReplicaElectionResult::default()
            .with_topic(kafka::TopicName(text(topic.name.as_str())))
            .with_partition_result(results.collect())
    });
    topics
        .filter(|topic| !topic.partition_result.is_empty())
        .collect()
}

fn elect(
    image: &MetadataImage,
    election: Election,
    (topic, partition): (&kafka::TopicName, i32),
) -> ApiError {
    let found = find_topic(image, TopicRef::Name(topic));
    match found.and_then(|topic| find_state(topic, partition)) {
        Ok(state) => outcome(election, state),
        Err(error) => error,
    }
}

/// The reason why nothing is elected; there always is one.
fn outcome(election: Election, partition: &PartitionState) -> ApiError {
    let id = partition.id();
    if !partition.is_offline() {
        let message = format!("{id} already has its only replica as leader");
        return ApiError::new(ErrorCode::ElectionNotNeeded, message);
    }
    let code = match election {
        Election::Preferred => ErrorCode::PreferredLeaderNotAvailable,
        Election::Unclean => ErrorCode::EligibleLeadersNotAvailable,
    };
    ApiError::new(code, format!("{id} is offline and has no other replica"))
}

fn result(partition: i32, error: ApiError) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(error.code.code())
        .with_error_message(error.message_bytes())
}
