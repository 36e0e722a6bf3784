//! Looking at transactions, and ending those that nobody else ends (KIP-664).
//!
//! ```text
//!  the coordinator knows of it             init as its id: fenced, and its transaction aborted
//!  only a partition knows of it (hanging)  a marker, written to that partition
//! ```

use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::describe_producers_request::TopicRequest;
use brooklet_protocol::messages::kafka::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use brooklet_protocol::messages::kafka::{
    self, DescribeProducersRequest, DescribeTransactionsRequest, DescribeTransactionsResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, TransactionalId,
    WriteTxnMarkersRequest,
};
use brooklet_protocol::{
    BrokerId, Offset, PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName,
    TopicPartition,
};

use super::coordinators::{Coordinator, Kind, check, text};
use super::{Client, ClientError, MissingTopic, wire_name};
use crate::transport::{BoxFuture, Node};

/// Which transactional ids to list; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// In one of these states, as Kafka calls them; empty for any.
    pub states: Vec<String>,
    /// Only ids whose transaction has been open for longer than this.
    pub open_for: Option<Duration>,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// Its name.
    pub id: String,
    /// Its producer.
    pub producer_id: ProducerId,
    /// Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort.
    pub state: String,
}

/// What its coordinator knows of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Its name.
    pub id: String,
    /// As in [`TransactionListing`].
    pub state: String,
    /// Its producer, and which incarnation may go on.
    pub producer: Producer,
    /// How long a transaction may be open.
    pub timeout: Duration,
    /// When the last one began; [`Timestamp::NONE`] if none ever did.
    pub started: Timestamp,
    /// What it has written to.
    pub partitions: Vec<TopicPartition>,
}

/// A producer as a partition remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id and epoch.
    pub producer: Producer,
    /// The sequence of its last record; -1 for none.
    pub last_sequence: i32,
    /// When it was last heard of.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that ended its last transaction; -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub open_transaction: Option<Offset>,
}

impl Client {
    /// The transactional ids of all brokers, by their names.
    ///
    /// # Errors
    /// `Broker` with `InvalidRequest` for a state that there is not; no answer.
    pub fn list_transactions<'a>(
        &'a self,
        filter: &'a TransactionFilter,
    ) -> BoxFuture<'a, Result<Vec<TransactionListing>, ClientError>> {
        Box::pin(async move {
            let states = filter.states.iter().map(|state| text(state));
            let open_for = filter.open_for.map(|open| i64::try_from(open.as_millis()));
            let body = ListTransactionsRequest::default()
                .with_state_filters(states.collect())
                .with_duration_filter(open_for.map_or(-1, |ms| ms.unwrap_or(i64::MAX)));
            let mut found = Vec::new();
            for (broker, _) in self.metadata(Some(&[])).await?.brokers {
                let node = Node::Id(BrokerId(broker));
                let answer = self.call_again(node, body.clone()).await?;
                check("list transactions", answer.error_code)?;
                if let Some(unknown) = answer.unknown_state_filters.first() {
                    let words = format!("there is no state '{}'", unknown.as_str());
                    let code = ErrorCode::InvalidRequest;
                    return Err(ClientError::broker("list transactions", code, Some(&words)));
                }
                found.extend(
                    answer
                        .transaction_states
                        .iter()
                        .map(|state| TransactionListing {
                            id: state.transactional_id.to_string(),
                            producer_id: ProducerId(state.producer_id.0),
                            state: state.transaction_state.to_string(),
                        }),
                );
            }
            found.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(found)
        })
    }

    /// What its coordinator knows of a transactional id.
    ///
    /// # Errors
    /// `UnknownTransactionalId`, no answer.
    pub fn describe_transaction<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<TransactionDescription, ClientError>> {
        Box::pin(async move {
            let body = DescribeTransactionsRequest::default()
                .with_transactional_ids(vec![TransactionalId(text(id))]);
            let what = format!("describe transactional id '{id}'");
            let read = |mut answer: DescribeTransactionsResponse| {
                let state = answer.transaction_states.pop();
                let state = state.ok_or_else(|| {
                    ClientError::Unexpected("no transactional id in the response".into())
                })?;
                if state.error_code == ErrorCode::TransactionalIdNotFound.code() {
                    return Err(ClientError::UnknownTransactionalId(id.to_owned()));
                }
                check(&what, state.error_code)?;
                Ok(state)
            };
            let coordinator = Coordinator::new(self.clone(), Kind::Transaction, id);
            let state = coordinator.call(&what, body, read).await?;
            let mut partitions = Vec::new();
            for topic in state.topics {
                let name = TopicName::new(&topic.topic)
                    .map_err(|error| ClientError::Unexpected(error.to_string()))?;
                let numbers = topic.partitions.into_iter().map(PartitionId);
                partitions.extend(numbers.map(|number| TopicPartition::new(name.clone(), number)));
            }
            let timeout_ms = u64::try_from(state.transaction_timeout_ms).unwrap_or(0);
            Ok(TransactionDescription {
                id: id.to_owned(),
                state: state.transaction_state.to_string(),
                producer: Producer {
                    id: ProducerId(state.producer_id.0),
                    epoch: ProducerEpoch(state.producer_epoch),
                },
                timeout: Duration::from_millis(timeout_ms),
                started: Timestamp(state.transaction_start_time_ms),
                partitions,
            })
        })
    }

    /// Fences the producer that uses a transactional id, and aborts its open transaction.
    ///
    /// # Errors
    /// `UnknownTransactionalId`, no answer.
    pub fn fence_producer<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let known = self.describe_transaction(id).await?;
            let timeout_ms = i32::try_from(known.timeout.as_millis()).unwrap_or(i32::MAX);
            let body = InitProducerIdRequest::default()
                .with_transactional_id(Some(TransactionalId(text(id))))
                .with_transaction_timeout_ms(timeout_ms)
                .with_producer_id(kafka::ProducerId(-1))
                .with_producer_epoch(-1);
            let what = format!("fence '{id}'");
            let coordinator = Coordinator::new(self.clone(), Kind::Transaction, id);
            let read = |answer: InitProducerIdResponse| check(&what, answer.error_code);
            coordinator.call(&what, body, read).await
        })
    }

    /// The producers that a partition remembers, by their ids.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub fn describe_producers<'a>(
        &'a self,
        id: &'a TopicPartition,
    ) -> BoxFuture<'a, Result<Vec<ActiveProducer>, ClientError>> {
        Box::pin(async move {
            let topic = TopicRequest::default()
                .with_name(wire_name(&id.topic))
                .with_partition_indexes(vec![id.partition.0]);
            let body = DescribeProducersRequest::default().with_topics(vec![topic]);
            let node = self.leader(id).await?;
            let answer = self.call_again(node, body).await?;
            let mut partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
            let nothing = || ClientError::Unexpected("no partition in the response".into());
            let partition = partitions.next().ok_or_else(nothing)?;
            check(
                &format!("describe the producers of {id}"),
                partition.error_code,
            )?;
            let producers = partition
                .active_producers
                .into_iter()
                .map(|state| ActiveProducer {
                    producer: Producer {
                        id: ProducerId(state.producer_id.0),
                        epoch: ProducerEpoch(i16::try_from(state.producer_epoch).unwrap_or(-1)),
                    },
                    last_sequence: state.last_sequence,
                    last_timestamp: Timestamp(state.last_timestamp),
                    coordinator_epoch: state.coordinator_epoch,
                    open_transaction: (state.current_txn_start_offset >= 0)
                        .then_some(Offset(state.current_txn_start_offset)),
                });
            let mut producers: Vec<_> = producers.collect();
            producers.sort_by_key(|state| state.producer.id);
            Ok(producers)
        })
    }

    /// Aborts a transaction in one partition, whatever its coordinator says: for one that nobody
    /// ends.
    ///
    /// # Errors
    /// `Broker` with `InvalidProducerEpoch` if the producer has gone on; no answer.
    pub fn abort_hanging<'a>(
        &'a self,
        id: &'a TopicPartition,
        hanging: &'a ActiveProducer,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let topic = WritableTxnMarkerTopic::default()
                .with_name(wire_name(&id.topic))
                .with_partition_indexes(vec![id.partition.0]);
            let marker = WritableTxnMarker::default()
                .with_producer_id(kafka::ProducerId(hanging.producer.id.0))
                .with_producer_epoch(hanging.producer.epoch.0)
                .with_coordinator_epoch(hanging.coordinator_epoch.max(0))
                .with_topics(vec![topic]);
            let body = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
            let node = self.leader(id).await?;
            let answer = self.call(node, body).await?;
            let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
            let mut partitions = topics.flat_map(|topic| &topic.partitions);
            let what = format!("abort a transaction in {id}");
            partitions.try_for_each(|partition| check(&what, partition.error_code))
        })
    }

    async fn leader(&self, id: &TopicPartition) -> Result<Node, ClientError> {
        let topic = self.topic(&id.topic, MissingTopic::Report).await?;
        topic.leader(id.partition).ok_or_else(|| {
            let code = ErrorCode::UnknownTopicOrPartition;
            ClientError::broker(format!("look up {id}"), code, None)
        })
    }
}
