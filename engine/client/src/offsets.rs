//! Looking up offsets: where a partition begins and ends, and where a time of day is in it.
//!
//! Every leader is asked for its own partitions. Those that cannot be answered yet (the leader has
//! moved) are asked again after a new look at the metadata; the rest is kept.

use std::collections::{BTreeMap, HashMap};

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::list_offsets_response::ListOffsetsResponse;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};

use super::backoff::Attempts;
use super::{Client, ClientError, Isolation, MissingTopic, wire_name};
use crate::transport::{BoxFuture, Node};

/// Which offset to look up (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Log start offset (-2).
    Earliest,
    /// High watermark (-1).
    Latest,
    /// The first record at or after the time; the high watermark when there is none.
    At(Timestamp),
}

impl OffsetSpec {
    /// The timestamp that stands for it in the protocol.
    fn code(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            // Negative times have meanings of their own; every record is at or after them.
            Self::At(time) => time.0.max(0),
        }
    }
}

/// Offsets found, by partition.
type Found = BTreeMap<TopicPartition, Offset>;

/// What is looked for.
type Wanted = (OffsetSpec, Isolation);

impl Client {
    /// Looks up one offset per partition.
    ///
    /// # Errors
    /// No answer, unknown partition.
    pub fn list_offsets<'a>(
        &'a self,
        partitions: &'a [TopicPartition],
        spec: OffsetSpec,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move {
            self.list_offsets_in(partitions, spec, Isolation::ReadUncommitted)
                .await
        })
    }

    /// Looks up one offset per partition, as a reader with that isolation sees them: under
    /// `read_committed` the latest is the last stable offset.
    ///
    /// # Errors
    /// No answer, unknown partition.
    pub fn list_offsets_in<'a>(
        &'a self,
        partitions: &'a [TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move {
            let mut found = self
                .list_offsets_until_found(partitions, (spec, isolation))
                .await?;
            let after_the_last: Vec<_> = found
                .iter()
                .filter(|(_, o)| o.0 < 0)
                .map(|(p, _)| p.clone())
                .collect();
            if !after_the_last.is_empty() {
                let latest = (OffsetSpec::Latest, isolation);
                found.extend(
                    self.list_offsets_until_found(&after_the_last, latest)
                        .await?,
                );
            }
            Ok(found)
        })
    }

    async fn list_offsets_until_found(
        &self,
        partitions: &[TopicPartition],
        wanted: Wanted,
    ) -> Result<Found, ClientError> {
        let mut found = Found::new();
        let mut attempts = Attempts::default();
        loop {
            let missing = partitions.iter().filter(|p| !found.contains_key(*p));
            let missing: Vec<_> = missing.cloned().collect();
            if missing.is_empty() {
                return Ok(found);
            }
            let Err(error) = self.list_offsets_once(&missing, wanted, &mut found).await else {
                continue;
            };
            attempts.pause(self, error).await?;
            for partition in &missing {
                self.forget(&partition.topic);
            }
        }
    }

    async fn list_offsets_once(
        &self,
        partitions: &[TopicPartition],
        wanted: Wanted,
        found: &mut Found,
    ) -> Result<(), ClientError> {
        for (node, partitions) in self.by_leader(partitions).await? {
            let body = request(&partitions, wanted);
            note(&partitions, &self.call_again(node, body).await?, found)?;
        }
        Ok(())
    }

    pub(super) async fn by_leader(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<Node, Vec<TopicPartition>>, ClientError> {
        let mut by_leader = HashMap::<_, Vec<_>>::new();
        for partition in partitions {
            let topic = self.topic(&partition.topic, MissingTopic::Report).await?;
            let unknown = !(0..topic.partition_count()).contains(&partition.partition.0);
            let leader = topic.leader(partition.partition).ok_or_else(|| {
                let what = format!("look up the leader of {partition}");
                if unknown {
                    let words = format!("it has {} partitions", topic.partition_count());
                    let code = ErrorCode::InvalidPartitions;
                    ClientError::broker(what, code, Some(&words))
                } else {
                    ClientError::broker(what, ErrorCode::LeaderNotAvailable, None)
                }
            })?;
            by_leader.entry(leader).or_default().push(partition.clone());
        }
        Ok(by_leader)
    }
}

fn request(partitions: &[TopicPartition], (spec, isolation): Wanted) -> ListOffsetsRequest {
    let mut topics = BTreeMap::<&TopicName, Vec<_>>::new();
    for partition in partitions {
        let wanted = ListOffsetsPartition::default()
            .with_partition_index(partition.partition.0)
            .with_timestamp(spec.code());
        topics.entry(&partition.topic).or_default().push(wanted);
    }
    let topic = |(name, partitions)| {
        ListOffsetsTopic::default()
            .with_name(wire_name(name))
            .with_partitions(partitions)
    };
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation.level())
        .with_topics(topics.into_iter().map(topic).collect())
}

/// Notes what was found; fails with the first error that is in the answer, or with what is not.
fn note(
    asked: &[TopicPartition],
    answer: &ListOffsetsResponse,
    found: &mut Found,
) -> Result<(), ClientError> {
    let mut failure = None;
    for topic in &answer.topics {
        let Ok(name) = TopicName::new(&topic.name) else {
            continue;
        };
        for answered in &topic.partitions {
            let number = PartitionId(answered.partition_index);
            let partition = TopicPartition::new(name.clone(), number);
            match ErrorCode::try_from_code(answered.error_code) {
                None => {
                    found.insert(partition, Offset(answered.offset));
                }
                Some(code) => {
                    let what = format!("look up offsets of {partition}");
                    failure.get_or_insert(ClientError::broker(what, code, None));
                }
            }
        }
    }
    match (
        failure,
        asked
            .iter()
            .find(|partition| !found.contains_key(*partition)),
    ) {
        (Some(error), _) => Err(error),
        (None, Some(partition)) => Err(ClientError::Unexpected(format!(
            "the response to ListOffsets lacks {partition}"
        ))),
        (None, None) => Ok(()),
    }
}
