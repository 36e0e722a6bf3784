//! Looking up offsets: where a partition begins and ends, and where a time of day is in it.

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::list_offsets_response::{
    ListOffsetsResponse, ListOffsetsTopicResponse,
};
use brooklet_protocol::{Offset, Timestamp, TopicName, TopicPartition};

use super::leaders::{Answered, Found};
use super::{Client, ClientError, Isolation, wire_name};
use crate::transport::BoxFuture;

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
        let request = |partitions: &[TopicPartition]| request(partitions, wanted);
        self.ask_leaders("look up offsets", partitions, request, answers)
            .await
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

fn answers(answer: ListOffsetsResponse) -> Vec<Answered> {
    let of_topic = |topic: ListOffsetsTopicResponse| {
        let name = topic.name;
        let partitions = topic.partitions.into_iter();
        partitions.map(move |partition| Answered {
            topic: name.clone(),
            index: partition.partition_index,
            error_code: partition.error_code,
            offset: partition.offset,
        })
    };
    answer.topics.into_iter().flat_map(of_topic).collect()
}
