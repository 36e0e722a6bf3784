//! The offsets that a group has committed: where its members go on.
//!
//! A committed offset is that of the next record to be read, and has a string with it, which only
//! the program reads (its metadata). It is set in one of three ways:
//!
//! ```text
//!  OffsetCommit      by a member           GroupConsumer::commit_sync        (group)
//!                    of a group without members    Client::commit_offsets    (this file)
//!  TxnOffsetCommit   with a transaction    TransactionalProducer::send_offsets  (producer)
//! ```
//!
//! While a transaction with offsets is open, the offsets before it are committed still, but not
//! *stable*: the next owner of a partition must not go on from them, because records that count
//! with the transaction have been read already (KIP-447).
//!
//! Left out: the leader epoch of an offset (KIP-320), and metadata of offsets that are committed
//! without a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::offset_fetch_request::OffsetFetchRequestTopic;
use brooklet_protocol::messages::kafka::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    TxnOffsetCommitResponse,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};

use super::coordinators::{Coordinator, Kind, check, text};
use super::group::membership::Identity;
use super::group::protocol::Partitions;
use super::groups::group_id;
use super::{Client, ClientError, wire_name};
use crate::transport::BoxFuture;

/// An offset that a group commits, and a string that the program keeps with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to be read.
    pub offset: Offset,
    /// Any string of at most `offset.metadata.max.bytes` (4096 by default); empty for none.
    pub metadata: String,
}

impl From<Offset> for OffsetAndMetadata {
    /// Without metadata.
    fn from(offset: Offset) -> Self {
        Self {
            offset,
            metadata: String::new(),
        }
    }
}

impl Client {
    /// The offsets that a group has committed; empty for a group that does not exist.
    ///
    /// # Errors
    /// No answer.
    pub fn committed_offsets<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move {
            let body = fetch_request(id, None, false);
            let read = |answer| read_offsets(id, answer);
            let found = self.call_coordinator(id, body, read).await?;
            Ok(without_metadata(found))
        })
    }

    /// The offsets that a group has committed in these partitions (`None`: in all), with their
    /// metadata, once no open transaction may move them (`require_stable`, KIP-447). Waits for that
    /// for at most `wait_max`. Partitions without a committed offset are absent.
    ///
    /// # Errors
    /// `Broker` with `UnstableOffsetCommit` if a transaction is open for longer; no answer.
    pub fn stable_offsets<'a>(
        &'a self,
        id: &'a str,
        partitions: Option<&'a BTreeSet<TopicPartition>>,
        wait_max: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, OffsetAndMetadata>, ClientError>> {
        Box::pin(async move {
            let body = fetch_request(id, partitions, true);
            let what = what_is_looked_up(id);
            let coordinator = Coordinator::new(self.clone(), Kind::Group, id);
            let read = |answer| read_offsets(id, answer);
            let coordinator = coordinator.retrying_for(wait_max);
            coordinator.call(&what, body, read).await
        })
    }

    /// Moves a group that has no members to these offsets.
    ///
    /// # Errors
    /// `Broker` with `UnknownMemberId` if it has members; no answer.
    pub fn commit_offsets<'a>(
        &'a self,
        id: &'a str,
        offsets: &'a BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let body = commit_request(id, None, offsets);
            self.call_coordinator(id, body, |answer| read_commit(id, &answer))
                .await
        })
    }
}

/// Commits in the name of a member, or of nobody for a group that has none.
pub(super) fn commit_request(
    id: &str,
    member: Option<&Identity>,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (tp, offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(tp.partition.0)
            .with_committed_offset(offset.0)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(&tp.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(wire_name(name))
            .with_partitions(partitions)
    });
    let body = OffsetCommitRequest::default()
        .with_group_id(group_id(id))
        .with_generation_id_or_member_epoch(member.map_or(-1, |member| member.generation))
        .with_topics(topics.collect());
    match member {
        Some(member) => body
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.as_deref().map(text)),
        None => body,
    }
}

/// The first partition's error is that of all.
pub(super) fn read_commit(id: &str, answer: &OffsetCommitResponse) -> Result<(), ClientError> {
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let what = format!("commit offsets of group '{id}'");
    partitions.try_for_each(|partition| check(&what, partition.error_code))
}

/// The same offsets, as TxnOffsetCommit has them.
pub(super) fn topics_of_transaction(
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut topics = BTreeMap::<&TopicName, Vec<_>>::new();
    for (tp, committed) in offsets {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(tp.partition.0)
            .with_committed_offset(committed.offset.0)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text(&committed.metadata)));
        topics.entry(&tp.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| {
        TxnOffsetCommitRequestTopic::default()
            .with_name(wire_name(name))
            .with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

/// The first partition's error is that of all; metadata that is too long is named.
pub(super) fn read_commit_of_transaction(
    what: &str,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    answer: &TxnOffsetCommitResponse,
) -> Result<(), ClientError> {
    let topics = answer.topics.iter();
    let mut partitions = topics.flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    partitions.try_for_each(|(topic, partition)| {
        let Some(code) = ErrorCode::try_from_code(partition.error_code) else {
            return Ok(());
        };
        let is_it = |(tp, _): &(&TopicPartition, &OffsetAndMetadata)| {
            tp.topic.as_str() == topic.name.as_str() && tp.partition.0 == partition.partition_index
        };
        let words = match offsets.iter().find(is_it) {
            Some((tp, committed)) if code == ErrorCode::OffsetMetadataTooLarge => {
                Some(too_large(tp, committed))
            }
            _ => None,
        };
        Err(ClientError::broker(what, code, words.as_deref()))
    })
}

fn too_large(tp: &TopicPartition, committed: &OffsetAndMetadata) -> String {
    let bytes = committed.metadata.len();
    format!(
        "the metadata of {tp} has {bytes} bytes, and the broker's offset.metadata.max.bytes \
         allows fewer"
    )
}

/// Asks for the offsets of these partitions, or of all; `is_stable`: not while a transaction may
/// still move them.
pub(super) fn fetch_request(
    id: &str,
    partitions: Option<&Partitions>,
    is_stable: bool,
) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        for tp in partitions {
            let partitions = topics.entry(&tp.topic).or_default();
            partitions.push(tp.partition.0);
        }
        let topic = |(name, partitions)| {
            OffsetFetchRequestTopic::default()
                .with_name(wire_name(name))
                .with_partition_indexes(partitions)
        };
        topics.into_iter().map(topic).collect()
    });
    OffsetFetchRequest::default()
        .with_group_id(group_id(id))
        .with_topics(topics)
        .with_require_stable(is_stable)
}

fn what_is_looked_up(id: &str) -> String {
    format!("look up the offsets of group '{id}'")
}

/// The offsets that there are.
pub(super) fn read_offsets(
    id: &str,
    answer: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, ClientError> {
    let what = what_is_looked_up(id);
    check(&what, answer.error_code)?;
    let mut found = BTreeMap::new();
    for topic in answer.topics {
        let name = TopicName::new(&topic.name)
            .map_err(|error| ClientError::Unexpected(error.to_string()))?;
        for partition in topic.partitions {
            check(&what, partition.error_code)?;
            let tp = TopicPartition::new(name.clone(), PartitionId(partition.partition_index));
            let metadata = partition.metadata.as_ref();
            let committed = OffsetAndMetadata {
                offset: Offset(partition.committed_offset),
                metadata: metadata.map(ToString::to_string).unwrap_or_default(),
            };
            // -1 stands for none.
            if partition.committed_offset >= 0 {
                found.insert(tp, committed);
            }
        }
    }
    Ok(found)
}

/// The offsets alone.
pub(super) fn without_metadata(
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> BTreeMap<TopicPartition, Offset> {
    let each = offsets.into_iter();
    each.map(|(tp, committed)| (tp, committed.offset)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brooklet_protocol::BrokerId;
    use brooklet_protocol::messages::kafka::FindCoordinatorResponse;
    use brooklet_protocol::messages::kafka::offset_fetch_response::{
        OffsetFetchResponsePartition, OffsetFetchResponseTopic,
    };
    use brooklet_protocol::messages::kafka::txn_offset_commit_response::{
        TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
    };
    use brooklet_protocol::messages::{Request, RequestKind, Response};
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;
    use crate::testing::PausedClock;
    use crate::transport::{Node, Transport, TransportError};

    fn place(number: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(number))
    }

    /// A coordinator with an open transaction that ends at its time.
    #[derive(Debug)]
    struct Unstable {
        until: Instant,
        asked: Mutex<Vec<&'static str>>,
    }

    impl Transport for Unstable {
        fn call(
            &self,
            _: Node,
            request: Request,
        ) -> BoxFuture<'_, Result<Response, TransportError>> {
            let answer = match request.body {
                RequestKind::FindCoordinator(_) => {
                    self.asked.lock().push("FindCoordinator");
                    FindCoordinatorResponse::default().into()
                }
                RequestKind::OffsetFetch(asked) => {
                    self.asked.lock().push("OffsetFetch");
                    assert!(asked.require_stable);
                    let is_open = Instant::now() < self.until;
                    let code = ErrorCode::UnstableOffsetCommit.code();
                    let partition = OffsetFetchResponsePartition::default()
                        .with_error_code(if is_open { code } else { 0 })
                        .with_committed_offset(if is_open { -1 } else { 5 })
                        .with_metadata(Some(StrBytes::from_static_str("so far")));
                    let topic = OffsetFetchResponseTopic::default()
                        .with_name(wire_name(&place(0).topic))
                        .with_partitions(vec![partition]);
                    OffsetFetchResponse::default()
                        .with_topics(vec![topic])
                        .into()
                }
                other => panic!("not played: {other:?}"),
            };
            Box::pin(std::future::ready(Ok(answer)))
        }

        fn learn(&self, _: &[(BrokerId, String)]) {}
    }

    #[tokio::test(start_paused = true)]
    async fn stable_offsets_are_waited_for_and_no_longer_than_allowed() {
        let (wait, seconds) = (Duration::from_millis(2500), Duration::from_secs);
        for (open, is_found) in [(seconds(0), true), (seconds(1), true), (seconds(3), false)] {
            let until = Instant::now() + open;
            let asked = Mutex::default();
            let broker = Arc::new(Unstable { until, asked });
            let client = Client::with_clock(broker.clone(), PausedClock::new());
            let began = Instant::now();
            let found = client.stable_offsets("g", None, wait).await;
            let waited = Instant::now() - began;
            match found {
                Ok(found) => {
                    assert!(is_found && waited >= open && waited < wait, "{waited:?}");
                    let committed = OffsetAndMetadata {
                        offset: Offset(5),
                        metadata: "so far".into(),
                    };
                    assert_eq!(found, [(place(0), committed)].into());
                }
                Err(ClientError::Broker { code, .. }) => {
                    assert!(!is_found && waited == wait, "{waited:?}");
                    assert_eq!(code, ErrorCode::UnstableOffsetCommit);
                }
                Err(error) => panic!("{error}"),
            }
            let asked = broker.asked.lock();
            let looks = asked.iter().filter(|api| **api == "FindCoordinator");
            assert_eq!(looks.count(), 1, "it is the coordinator: {asked:?}");
        }
    }

    #[test]
    fn metadata_that_is_too_long_is_named() {
        let answer = |codes: &[i16]| {
            let partitions = (0..).zip(codes).map(|(index, code)| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(*code)
            });
            let topic = TxnOffsetCommitResponseTopic::default()
                .with_name(wire_name(&place(0).topic))
                .with_partitions(partitions.collect());
            TxnOffsetCommitResponse::default().with_topics(vec![topic])
        };
        let long = OffsetAndMetadata {
            metadata: "x".repeat(5000),
            ..Offset(1).into()
        };
        let offsets = [(place(0), Offset(1).into()), (place(1), long)].into();
        let read = |codes: &[i16]| read_commit_of_transaction("commit", &offsets, &answer(codes));
        read(&[0, 0]).unwrap();
        let too_large = ErrorCode::OffsetMetadataTooLarge.code();
        let words = "commit: OffsetMetadataTooLarge (the metadata of t-1 has 5000 bytes, and the \
                     broker's offset.metadata.max.bytes allows fewer)";
        assert_eq!(read(&[0, too_large]).unwrap_err().to_string(), words);
        let error = read(&[ErrorCode::IllegalGeneration.code(), 0]).unwrap_err();
        assert_eq!(error.to_string(), "commit: IllegalGeneration");
    }
}
