//! What a transactional producer asks its coordinator, and those of its groups.
//!
//! There are two protocols, and the brokers say which one is in effect (the feature
//! `transaction.version`):
//!
//! ```text
//!              1: adds before it writes (KIP-98)       2: brokers add by themselves (KIP-890)
//!  records     AddPartitionsToTxn, then Produce        Produce
//!  offsets     AddOffsetsToTxn, then TxnOffsetCommit   TxnOffsetCommit
//!  end         EndTxn                                  EndTxn: the answer has the next epoch
//! ```
//!
//! Records and offsets go at the same time; the end comes after both. So a transaction takes three
//! round trips, one after the other, with the first protocol, and two with the second.
//!
//! With the second, every transaction has an epoch of its own. What comes late, from a transaction
//! that has ended, is fenced by it, and an abort leaves no sequence in doubt.
//!
//! Every request here may be sent twice without harm. Which protocol is in effect is asked once:
//! brokers go on serving the first, and a producer that has begun with the second may stay with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::messages::kafka::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use brooklet_protocol::messages::kafka::{
    self, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    ApiVersionsResponse, EndTxnRequest, EndTxnResponse, GroupId, InitProducerIdRequest,
    TransactionalId, TxnOffsetCommitRequest,
};
use brooklet_protocol::messages::{ApiKey, ErrorCode};
use brooklet_protocol::{ProducerEpoch, ProducerId, TopicPartition};
use parking_lot::Mutex;

use super::batch::Identity;
use super::transaction::GroupMetadata;
use crate::cluster::api_versions_request;
use crate::coordinators::{self, Kind, check, text};
use crate::{Client, ClientError, OffsetAndMetadata, committed, wire_name};

/// The feature that says which protocol is in effect, and from which version on it is the second.
const FEATURE: &str = "transaction.version";
const ADDS_IMPLICITLY: i16 = 2;

/// How transactions are spoken of with the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Partitions and groups are added before they are written to. Every broker since Kafka 2.5
    /// knows it.
    AddsFirst,
    /// What is written to is added by the broker that it is written to.
    AddsImplicitly,
}

impl Protocol {
    /// What a broker's answer to ApiVersions allows.
    fn of(answer: &ApiVersionsResponse) -> Self {
        let features = &mut answer.finalized_features.iter();
        let is_in_effect = features.any(|feature| {
            feature.name.as_str() == FEATURE && feature.max_version_level >= ADDS_IMPLICITLY
        });
        let serves = |api: ApiKey, version: i16| {
            let mut served = answer.api_keys.iter();
            served.any(|range| range.api_key == api as i16 && range.max_version >= version)
        };
        let second = Self::AddsImplicitly;
        let all = serves(ApiKey::Produce, second.produce())
            && serves(ApiKey::TxnOffsetCommit, second.txn_offset_commit())
            && serves(ApiKey::EndTxn, second.end_txn());
        if is_in_effect && all {
            second
        } else {
            Self::AddsFirst
        }
    }

    /// The newest version of Produce in which a broker adds what the protocol wants it to.
    pub(super) fn produce(self) -> i16 {
        match self {
            Self::AddsFirst => 11,
            Self::AddsImplicitly => 12,
        }
    }

    fn txn_offset_commit(self) -> i16 {
        match self {
            Self::AddsFirst => 3,
            Self::AddsImplicitly => 5,
        }
    }

    fn end_txn(self) -> i16 {
        match self {
            Self::AddsFirst => 3,
            Self::AddsImplicitly => 5,
        }
    }
}

/// The coordinator of one transactional id, and those of the groups whose offsets it commits.
#[derive(Debug)]
pub(super) struct Coordinator {
    client: Client,
    own: coordinators::Coordinator,
    protocol: Protocol,
    groups: Mutex<HashMap<String, Arc<coordinators::Coordinator>>>,
}

impl Coordinator {
    /// Looks the coordinator up, and asks it which protocol is in effect.
    pub(super) async fn find(client: Client, id: &str) -> Result<Self, ClientError> {
        let own = coordinators::Coordinator::new(client.clone(), Kind::Transaction, id);
        let what = format!("ask the coordinator of '{id}' for its versions");
        let read = |answer: ApiVersionsResponse| {
            check(&what, answer.error_code)?;
            Ok(Protocol::of(&answer))
        };
        let protocol = own.call(&what, api_versions_request(), read).await?;
        Ok(Self {
            client,
            own,
            protocol,
            groups: Mutex::default(),
        })
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(self.id()))
    }

    fn id(&self) -> &str {
        self.own.key()
    }

    /// Takes the id over: its previous producer is fenced. `known` is the caller's own identity so
    /// far.
    pub(super) async fn init(
        &self,
        timeout: Duration,
        known: Option<Identity>,
    ) -> Result<Identity, ClientError> {
        let (id, epoch) = known.map_or((-1, -1), |known| (known.id.0, known.epoch.0));
        let body = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(millis(timeout))
            .with_producer_id(kafka::ProducerId(id))
            .with_producer_epoch(epoch);
        let what = format!("begin as '{}'", self.id());
        self.own
            .call(&what, body, |answer| {
                check(&what, answer.error_code)?;
                Ok(Identity {
                    id: ProducerId(answer.producer_id.0),
                    epoch: ProducerEpoch(answer.producer_epoch),
                })
            })
            .await
    }

    /// Makes partitions part of the transaction.
    pub(super) async fn add_partitions(
        &self,
        identity: Identity,
        partitions: &[TopicPartition],
    ) -> Result<(), ClientError> {
        let mut topics = BTreeMap::<_, Vec<i32>>::new();
        for tp in partitions {
            topics.entry(&tp.topic).or_default().push(tp.partition.0);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(wire_name(name))
                .with_partitions(partitions)
        });
        let body = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(kafka::ProducerId(identity.id.0))
            .with_v3_and_below_producer_epoch(identity.epoch.0)
            .with_v3_and_below_topics(topics.collect());
        let what = format!("add partitions to the transaction of '{}'", self.id());
        self.own
            .call(&what, body, |answer| {
                let results = answer.results_by_topic_v3_and_below.iter();
                let codes = results.flat_map(|topic| &topic.results_by_partition);
                let codes = codes.map(|result| result.partition_error_code);
                // Beside one that is refused the others were not attempted: its code counts.
                let not_attempted = ErrorCode::OperationNotAttempted.code();
                let worst = codes
                    .filter(|code| *code != 0)
                    .min_by_key(|code| *code == not_attempted);
                check(&what, worst.unwrap_or(0))
            })
            .await
    }

    /// Makes a group's offsets part of the transaction, and commits them with it.
    pub(super) async fn commit_offsets(
        &self,
        identity: Identity,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &GroupMetadata,
    ) -> Result<(), ClientError> {
        let (id, group_id) = (self.id(), &group.group_id);
        let what = format!("commit offsets of group '{group_id}' as '{id}'");
        if self.protocol == Protocol::AddsFirst {
            let body = AddOffsetsToTxnRequest::default()
                .with_transactional_id(self.transactional_id())
                .with_producer_id(kafka::ProducerId(identity.id.0))
                .with_producer_epoch(identity.epoch.0)
                .with_group_id(GroupId(text(group_id)));
            let read = |answer: AddOffsetsToTxnResponse| check(&what, answer.error_code);
            self.own.call(&what, body, read).await?;
        }
        let body = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(GroupId(text(group_id)))
            .with_producer_id(kafka::ProducerId(identity.id.0))
            .with_producer_epoch(identity.epoch.0)
            .with_generation_id(group.generation)
            .with_member_id(text(&group.member_id))
            .with_group_instance_id(group.instance_id.as_deref().map(text))
            .with_topics(committed::topics_of_transaction(offsets));
        let version = self.protocol.txn_offset_commit();
        let read = |answer| committed::read_commit_of_transaction(&what, offsets, &answer);
        let of_group = self.of_group(group_id);
        of_group.call_in(&what, version, body, read).await
    }

    /// The coordinator of a group, as far as known from earlier commits.
    fn of_group(&self, group: &str) -> Arc<coordinators::Coordinator> {
        let mut groups = self.groups.lock();
        let known = groups.entry(group.to_owned()).or_insert_with(|| {
            let client = self.client.clone();
            Arc::new(coordinators::Coordinator::new(client, Kind::Group, group))
        });
        Arc::clone(known)
    }

    /// Ends the transaction; returns the identity for the next one, if that is another.
    pub(super) async fn end(
        &self,
        identity: Identity,
        committed: bool,
    ) -> Result<Option<Identity>, ClientError> {
        let body = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(kafka::ProducerId(identity.id.0))
            .with_producer_epoch(identity.epoch.0)
            .with_committed(committed);
        let verb = if committed { "commit" } else { "abort" };
        let what = format!("{verb} the transaction of '{}'", self.id());
        let read = |answer: EndTxnResponse| {
            check(&what, answer.error_code)?;
            let next = Identity {
                id: ProducerId(answer.producer_id.0),
                epoch: ProducerEpoch(answer.producer_epoch),
            };
            // Versions below 5 do not have it.
            let is_there = self.protocol == Protocol::AddsImplicitly && next.id.0 >= 0;
            Ok(Some(next).filter(|next| is_there && *next != identity))
        };
        let version = self.protocol.end_txn();
        self.own.call_in(&what, version, body, read).await
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_protocol::messages::StrBytes;
    use brooklet_protocol::messages::kafka::api_versions_response::{
        ApiVersion, FinalizedFeatureKey,
    };

    fn answer(level: Option<i16>, served: [i16; 3]) -> ApiVersionsResponse {
        let apis = [ApiKey::Produce, ApiKey::TxnOffsetCommit, ApiKey::EndTxn];
        let range = |(api, max)| {
            ApiVersion::default()
                .with_api_key(api as i16)
                .with_max_version(max)
        };
        let feature = |level| {
            FinalizedFeatureKey::default()
                .with_name(StrBytes::from_static_str("transaction.version"))
                .with_max_version_level(level)
        };
        ApiVersionsResponse::default()
            .with_api_keys(apis.into_iter().zip(served).map(range).collect())
            .with_finalized_features(level.into_iter().map(feature).collect())
    }

    #[test]
    fn the_second_protocol_needs_the_feature_and_all_versions() {
        let (first, second) = (Protocol::AddsFirst, Protocol::AddsImplicitly);
        let rows = [
            (Some(2), [12, 5, 5], second),
            (Some(3), [13, 6, 6], second),
            (None, [12, 5, 5], first),
            (Some(1), [12, 5, 5], first),
            (Some(2), [11, 5, 5], first),
            (Some(2), [12, 4, 5], first),
            (Some(2), [12, 5, 4], first),
        ];
        for (level, served, expected) in rows {
            let found = Protocol::of(&answer(level, served));
            assert_eq!(found, expected, "level {level:?}, {served:?}");
        }
    }
}
