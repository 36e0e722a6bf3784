//! Deleting records from the beginning of partitions: the log start offset moves.
//!
//! ```text
//!  before   0 1 2 3 4 5 6 7│ high watermark        delete below 5
//!  after              5 6 7│                       5 is the log start offset
//! ```
//!
//! The leader of each partition does it. To do it twice changes nothing, so what fails on the way
//! is sent again.

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use brooklet_protocol::messages::kafka::delete_records_response::{
    DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use brooklet_protocol::{Offset, TopicName, TopicPartition};

use super::leaders::Answered;
use super::{Client, ClientError, wire_name};
use crate::transport::BoxFuture;

/// How long replicas may take, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

impl Client {
    /// Deletes the records of these partitions below their offsets, where -1 stands for the high
    /// watermark: all records. Returns the log start offsets from then on; one that is beyond the
    /// offset already stays.
    ///
    /// # Errors
    /// `Broker` with the code of the first partition that is refused (`OffsetOutOfRange` above the
    /// high watermark, `PolicyViolation` for a topic that is only compacted): others may be done;
    /// `UnknownTopic`; no answer.
    pub fn delete_records<'a>(
        &'a self,
        offsets: &'a BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move {
            let partitions: Vec<_> = offsets.keys().cloned().collect();
            let request = |partitions: &[TopicPartition]| request(partitions, offsets);
            self.ask_leaders("delete records", &partitions, request, answers)
                .await
        })
    }
}

fn request(
    partitions: &[TopicPartition],
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> DeleteRecordsRequest {
    let mut topics = BTreeMap::<&TopicName, Vec<_>>::new();
    for tp in partitions {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(tp.partition.0)
            .with_offset(offsets[tp].0);
        topics.entry(&tp.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| {
        DeleteRecordsTopic::default()
            .with_name(wire_name(name))
            .with_partitions(partitions)
    };
    DeleteRecordsRequest::default()
        .with_topics(topics.into_iter().map(topic).collect())
        .with_timeout_ms(TIMEOUT_MS)
}

fn answers(answer: DeleteRecordsResponse) -> Vec<Answered> {
    let of_topic = |topic: DeleteRecordsTopicResult| {
        let name = topic.name;
        let partitions = topic.partitions.into_iter();
        partitions.map(move |partition| Answered {
            topic: name.clone(),
            index: partition.partition_index,
            error_code: partition.error_code,
            offset: partition.low_watermark,
        })
    };
    answer.topics.into_iter().flat_map(of_topic).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brooklet_protocol::messages::kafka::MetadataResponse;
    use brooklet_protocol::messages::kafka::delete_records_response::DeleteRecordsPartitionResult;
    use brooklet_protocol::messages::kafka::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use brooklet_protocol::messages::{ErrorCode, Request, RequestKind, Response, StrBytes};
    use brooklet_protocol::{BrokerId, PartitionId};
    use parking_lot::Mutex;

    use super::*;
    use crate::testing::PausedClock;
    use crate::transport::{Node, Transport, TransportError};

    fn at(offsets: &[i64]) -> BTreeMap<TopicPartition, Offset> {
        let topic = TopicName::new("t").unwrap();
        let place = |number| TopicPartition::new(topic.clone(), PartitionId(number));
        let each = (0..).zip(offsets);
        each.map(|(number, offset)| (place(number), Offset(*offset)))
            .collect()
    }

    /// Two brokers; partitions of `t` alternate. What comes of a partition is played once, then all
    /// is well.
    #[derive(Debug, Default)]
    struct TwoBrokers {
        refusals: Mutex<BTreeMap<i32, ErrorCode>>,
        asked: Mutex<Vec<(i32, Vec<i32>)>>,
    }

    impl TwoBrokers {
        fn delete(&self, node: Node, asked: &DeleteRecordsRequest) -> DeleteRecordsResponse {
            let Node::Id(node) = node else {
                panic!("a leader is asked")
            };
            let asked = &asked.topics[0].partitions;
            let numbers = asked.iter().map(|p| p.partition_index).collect();
            self.asked.lock().push((node.0, numbers));
            let result = |asked: &DeleteRecordsPartition| {
                let refusal = self.refusals.lock().remove(&asked.partition_index);
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(asked.partition_index)
                    .with_low_watermark(asked.offset)
                    .with_error_code(refusal.map_or(0, |code| code.code()))
            };
            let topic = DeleteRecordsTopicResult::default()
                .with_name(StrBytes::from_static_str("t").into())
                .with_partitions(asked.iter().map(result).collect());
            DeleteRecordsResponse::default().with_topics(vec![topic])
        }
    }

    fn metadata() -> MetadataResponse {
        let partition = |index: i32| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id((index % 2).into())
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_partitions((0..4).map(partition).collect());
        let broker = |id: i32| MetadataResponseBroker::default().with_node_id(id.into());
        MetadataResponse::default()
            .with_brokers((0..2).map(broker).collect())
            .with_topics(vec![topic])
    }

    impl Transport for TwoBrokers {
        fn call(
            &self,
            node: Node,
            request: Request,
        ) -> BoxFuture<'_, Result<Response, TransportError>> {
            let answer = match request.body {
                RequestKind::Metadata(_) => metadata().into(),
                RequestKind::DeleteRecords(asked) => self.delete(node, &asked).into(),
                other => panic!("not played: {other:?}"),
            };
            Box::pin(std::future::ready(Ok(answer)))
        }

        fn learn(&self, _: &[(BrokerId, String)]) {}
    }

    #[tokio::test(start_paused = true)]
    async fn each_leader_deletes_its_own_and_what_has_moved_is_asked_for_again() {
        let brokers = Arc::new(TwoBrokers::default());
        let client = Client::with_clock(brokers.clone(), PausedClock::new());
        let moved = ErrorCode::NotLeaderOrFollower;
        brokers.refusals.lock().extend([(2, moved), (3, moved)]);
        let found = client.delete_records(&at(&[5, 6, 7, 8])).await.unwrap();
        assert_eq!(found, at(&[5, 6, 7, 8]));
        let asked = brokers.asked.lock().clone();
        let own = |(node, numbers): &(i32, Vec<i32>)| numbers.iter().all(|n| n % 2 == *node);
        assert!(asked.iter().all(own), "{asked:?}");
        let times = |number| asked.iter().filter(|(_, n)| n.contains(&number)).count();
        assert_eq!([0, 1, 2, 3].map(times), [1, 1, 2, 2], "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_has_its_code() {
        let brokers = Arc::new(TwoBrokers::default());
        let client = Client::with_clock(brokers.clone(), PausedClock::new());
        brokers
            .refusals
            .lock()
            .insert(1, ErrorCode::PolicyViolation);
        let refused = client.delete_records(&at(&[5, 6])).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "delete records of t-1: PolicyViolation"
        );
        let unknown = at(&[1, 1, 1, 1, 1]);
        let refused = client.delete_records(&unknown).await.unwrap_err();
        let words = "look up the leader of t-4: InvalidPartitions (it has 4 partitions)";
        assert_eq!(refused.to_string(), words);
        let nothing = client.delete_records(&BTreeMap::new()).await.unwrap();
        assert!(nothing.is_empty());
    }

    #[cfg(feature = "embedded")]
    #[tokio::test]
    async fn a_broker_moves_its_log_start_offsets() {
        use crate::{NewRecord, Producer, ProducerConfig};

        let broker = brooklet_broker::Broker::ephemeral().await.unwrap();
        let client = Client::embedded(broker.clone(), "test");
        let topic = TopicName::new("t").unwrap();
        let plain = BTreeMap::new();
        client.create_topic(&topic, Some(3), &plain).await.unwrap();
        let config = ProducerConfig::default();
        let producer = Producer::new(client.clone(), config).await.unwrap();
        for number in 0..9 {
            let record = NewRecord {
                partition: Some(PartitionId(number % 3)),
                ..NewRecord::default()
            };
            producer.send(&topic, record).await.unwrap();
        }
        producer.flush().await.unwrap();
        let found = client.delete_records(&at(&[2, -1, 0])).await.unwrap();
        assert_eq!(found, at(&[2, 3, 0]));
        let found = client.delete_records(&at(&[1])).await.unwrap();
        assert_eq!(found, at(&[2]), "it never goes back");
        let beyond = client.delete_records(&at(&[4])).await.unwrap_err();
        assert_eq!(
            beyond.to_string(),
            "delete records of t-0: OffsetOutOfRange"
        );

        let compact = TopicName::new("compact").unwrap();
        let settings = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
        client
            .create_topic(&compact, Some(1), &settings)
            .await
            .unwrap();
        let place = TopicPartition::new(compact, PartitionId(0));
        let refused = client.delete_records(&[(place, Offset(-1))].into()).await;
        let words = "delete records of compact-0: PolicyViolation";
        assert_eq!(refused.unwrap_err().to_string(), words);
        broker.shutdown().await.unwrap();
    }
}
