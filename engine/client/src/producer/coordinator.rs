//! What a transactional producer asks its coordinator, and its group's.
//!
//! Every request here may be sent twice without harm.
//!
//! Spoken is version 1 of transactions, which every broker since Kafka 2.5 knows: partitions are
//! added before they are written to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use brooklet_protocol::messages::kafka::{
    self, AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId,
    InitProducerIdRequest, TransactionalId, TxnOffsetCommitRequest,
};
use brooklet_protocol::{ProducerEpoch, ProducerId, TopicPartition};
use parking_lot::Mutex;

use super::batch::Identity;
use super::transaction::GroupMetadata;
use crate::coordinators::{self, Kind, check, text};
use crate::{Client, ClientError, OffsetAndMetadata, committed, wire_name};

/// The coordinator of one transactional id, and those of the groups whose offsets it commits.
#[derive(Debug)]
pub(super) struct Coordinator {
    client: Client,
    own: coordinators::Coordinator,
    groups: Mutex<HashMap<String, Arc<coordinators::Coordinator>>>,
}

impl Coordinator {
    pub(super) fn new(client: Client, id: &str) -> Self {
        let own = coordinators::Coordinator::new(client.clone(), Kind::Transaction, id);
        Self {
            client,
            own,
            groups: Mutex::default(),
        }
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
                // Beside one that is refused the others were not attempted; what is said of it counts.
                let not_attempted = ErrorCode::OperationNotAttempted.code();
                let worst = codes
                    .filter(|code| *code != 0)
                    .min_by_key(|code| *code == not_attempted);
                check(&what, worst.unwrap_or(0))
            })
            .await
    }

    /// Makes a group's offsets part of the transaction, and then commits them with it.
    pub(super) async fn commit_offsets(
        &self,
        identity: Identity,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &GroupMetadata,
    ) -> Result<(), ClientError> {
        let body = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(kafka::ProducerId(identity.id.0))
            .with_producer_epoch(identity.epoch.0)
            .with_group_id(GroupId(text(&group.group_id)));
        let what = format!(
            "commit offsets of group '{}' as '{}'",
            group.group_id,
            self.id()
        );
        self.own
            .call(&what, body, |answer| check(&what, answer.error_code))
            .await?;
        let body = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(GroupId(text(&group.group_id)))
            .with_producer_id(kafka::ProducerId(identity.id.0))
            .with_producer_epoch(identity.epoch.0)
            .with_generation_id(group.generation)
            .with_member_id(text(&group.member_id))
            .with_group_instance_id(group.instance_id.as_deref().map(text))
            .with_topics(committed::topics_of_transaction(offsets));
        let read = |answer| committed::read_commit_of_transaction(&what, offsets, &answer);
        let of_group = self.of_group(&group.group_id);
        of_group.call(&what, body, read).await
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

    /// Ends the transaction.
    pub(super) async fn end(&self, identity: Identity, committed: bool) -> Result<(), ClientError> {
        let body = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(kafka::ProducerId(identity.id.0))
            .with_producer_epoch(identity.epoch.0)
            .with_committed(committed);
        let verb = if committed { "commit" } else { "abort" };
        let what = format!("{verb} the transaction of '{}'", self.id());
        self.own
            .call(&what, body, |answer| check(&what, answer.error_code))
            .await
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
