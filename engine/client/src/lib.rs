//! Producer, consumer and admin, written once over [`Transport`].
//!
//! A [`Client`] is a transport and what it has heard about the cluster. Requests for a partition go
//! to its leader, and who that is, only metadata says:
//!
//! ```text
//!            ┌─ Producer: records ─▶ batches ─▶ Produce    (producer)
//!  Client ◀──┼─ Consumer: positions ─▶ Fetch ─▶ batches    (consumer)
//!    │       ├─ GroupConsumer: the same, shared with others (group)
//!    │       └─ create, delete, look up offsets, groups and transactions (admin, offsets, groups, transactions)
//!    ▼
//!  cache of leaders (metadata) ─▶ Transport
//! ```
//!
//! Topics come into being by themselves only for producers, as with the Java client: to read or
//! describe a topic that does not exist is an error.
//!
//! Left out: the cache does not age (Kafka asks again every five minutes), so partitions added
//! later are seen only once a request fails or a client is rebuilt.

pub mod transport;

mod calls;
mod clock;
mod config;
mod error;

mod metadata;

mod backoff;
mod trouble;

mod coordinators;
mod leaders;

mod producer;

mod consumer;

mod group;

mod admin;
mod cluster;
mod committed;
mod delete_records;
mod groups;
mod offsets;
mod settings;
mod transactions;

use std::sync::Arc;

use brooklet_protocol::messages::kafka::MetadataRequest;
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::{ErrorCode, StrBytes, kafka};
use brooklet_protocol::{BrokerId, PartitionId, TopicName};
use parking_lot::RwLock;

pub use brooklet_protocol::Isolation;
pub use clock::{Clock, ManualClock, Sleep, SystemClock};
pub use cluster::{BrokerSetting, LogDir, ServedApi};
pub use committed::OffsetAndMetadata;
pub use config::{Acks, ConsumerConfig, GroupConfig, OffsetReset, ProducerConfig, StartAt};
pub use consumer::{Consumer, Fetched};
pub use error::{ClientError, RecordSize, SizeLimit};
pub use group::{Assignor, Commit, GroupConsumer, GroupEvent, Polled};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use metadata::{ClusterMetadata, PartitionMetadata, TopicMetadata};
pub use offsets::OffsetSpec;
pub use producer::{
    Delivery, GroupMetadata, NewRecord, Producer, RecordRef, TransactionalProducer,
};
pub use settings::ConfigChange;
pub use transactions::{
    ActiveProducer, TransactionDescription, TransactionFilter, TransactionListing,
};

use self::backoff::Attempts;
use self::metadata::{Cache, CachedTopic};
use crate::transport::BoxFuture;
use crate::transport::{Node, Tcp, TcpConfig, Transport};

/// A connection to a cluster: a transport and what metadata says. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    cache: Arc<RwLock<Cache>>,
}

impl Client {
    /// A client over any transport, on the machine's clock.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self::with_clock(transport, Arc::new(SystemClock::new()))
    }

    /// A client over any transport, on any clock. [`SystemClock`] does not stand still where a test
    /// has paused tokio's time; such a test brings a clock that does.
    pub fn with_clock(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self {
            transport,
            clock,
            cache: Arc::default(),
        }
    }

    /// A client over TCP; `bootstrap` is `HOST:PORT[,HOST:PORT…]`. Fails if none answers.
    ///
    /// # Errors
    /// No broker answers.
    pub fn connect<'a>(
        bootstrap: &'a str,
        client_id: &'a str,
    ) -> BoxFuture<'a, Result<Self, ClientError>> {
        Box::pin(async move {
            let config = TcpConfig {
                client_id: client_id.to_owned(),
                ..TcpConfig::default()
            };
            let client = Self::new(Arc::new(Tcp::new(bootstrap, config)));
            client.metadata(Some(&[])).await?;
            Ok(client)
        })
    }

    /// A client inside the broker's process: requests are function calls.
    ///
    /// A test has a broker of its own in three lines; foreign clients connect to its port:
    ///
    /// ```
    /// # use brooklet_client::{NewRecord, Producer, ProducerConfig};
    /// # use brooklet_broker::Broker;
    /// # use brooklet_client::Client;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let broker = Broker::ephemeral().await?;
    /// let client = Client::embedded(broker.clone(), "my-test");
    /// let address = broker.kafka_address().expect("it listens");
    /// # assert!(address.port() > 0);
    ///
    /// let producer = Producer::new(client, ProducerConfig::default()).await?;
    /// let record = NewRecord { value: Some("hello".into()), ..NewRecord::default() };
    /// let topic = brooklet_protocol::TopicName::new("greetings")?;
    /// let (partition, offset) = producer.send(&topic, record).await?.wait().await?;
    /// assert_eq!((partition.to_string(), offset.0), ("greetings-0".to_owned(), 0));
    /// # broker.shutdown().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "embedded")]
    pub fn embedded(broker: brooklet_broker::Broker, client_id: &str) -> Self {
        Self::new(Arc::new(crate::transport::Embedded::new(broker, client_id)))
    }

    /// The transport, for requests of one's own.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// The clock that this client and what is made from it wait by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Describes the named topics (`None`: all), asking the broker.
    ///
    /// # Errors
    /// No answer.
    pub fn metadata<'a>(
        &'a self,
        topics: Option<&'a [&'a str]>,
    ) -> BoxFuture<'a, Result<ClusterMetadata, ClientError>> {
        Box::pin(async move { self.ask_metadata(topics, MissingTopic::Report).await })
    }

    /// How many partitions a topic has; cached.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub fn partition_count<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> BoxFuture<'a, Result<i32, ClientError>> {
        Box::pin(async move {
            let topic = self.topic(topic, MissingTopic::Report).await?;
            Ok(topic.partition_count())
        })
    }

    /// What is known of a topic; asks when nothing is.
    pub(crate) async fn topic(
        &self,
        name: &TopicName,
        missing: MissingTopic,
    ) -> Result<Arc<CachedTopic>, ClientError> {
        match self.cached_topic(name) {
            Some(topic) => Ok(topic),
            None => self.look_up(name, missing).await,
        }
    }

    /// What is known of a topic, without asking.
    pub(crate) fn cached_topic(&self, name: &TopicName) -> Option<Arc<CachedTopic>> {
        self.cache.read().topic(name)
    }

    /// The leader of a partition, as far as known without asking.
    pub(crate) fn cached_leader(&self, topic: &TopicName, partition: PartitionId) -> Option<Node> {
        self.cached_topic(topic)?.leader(partition)
    }

    /// Forgets a topic, so that it is looked up again.
    pub(crate) fn forget(&self, name: &TopicName) {
        self.cache.write().forget(name);
    }

    /// Asks for a topic until it is there and has no error that passes.
    pub(crate) async fn look_up(
        &self,
        name: &TopicName,
        missing: MissingTopic,
    ) -> Result<Arc<CachedTopic>, ClientError> {
        let mut attempts = Attempts::default();
        loop {
            let error = match self.look_up_once(name, missing).await {
                Ok(topic) => return Ok(topic),
                Err(error) => error,
            };
            // A topic that is being created is not there yet; that passes too.
            let passes = error.is_retriable()
                || (missing == MissingTopic::Create
                    && matches!(error, ClientError::UnknownTopic(_)));
            attempts.pause_if(passes, self, error).await?;
        }
    }

    async fn look_up_once(
        &self,
        name: &TopicName,
        missing: MissingTopic,
    ) -> Result<Arc<CachedTopic>, ClientError> {
        let cluster = self.ask_metadata(Some(&[name.as_str()]), missing).await?;
        let topic = cluster
            .topics
            .iter()
            .find(|topic| topic.name == name.as_str());
        match topic.map(|topic| topic.error) {
            None | Some(Some(ErrorCode::UnknownTopicOrPartition)) => {
                Err(ClientError::UnknownTopic(name.to_string()))
            }
            Some(Some(code)) => Err(ClientError::broker(
                format!("look up topic '{name}'"),
                code,
                None,
            )),
            Some(None) => self
                .cached_topic(name)
                .ok_or_else(|| ClientError::UnknownTopic(name.to_string())),
        }
    }

    async fn ask_metadata(
        &self,
        topics: Option<&[&str]>,
        missing: MissingTopic,
    ) -> Result<ClusterMetadata, ClientError> {
        let named = |name: &&str| {
            let name = kafka::TopicName(StrBytes::from_string((*name).to_owned()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        let body = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(missing == MissingTopic::Create);
        let cluster = ClusterMetadata::new(&self.call_again(Node::Any, body).await?);
        let at = |(id, address): &(i32, String)| (BrokerId(*id), address.clone());
        let brokers: Vec<_> = cluster.brokers.iter().map(at).collect();
        self.transport.learn(&brokers);
        self.cache.write().note(&cluster);
        Ok(cluster)
    }
}

/// What the broker is to do about a topic that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingTopic {
    /// Say so.
    Report,
    /// Create it, if it is configured to.
    Create,
}

/// A topic's name as the messages have it.
fn wire_name(topic: &TopicName) -> kafka::TopicName {
    kafka::TopicName(StrBytes::from_string(topic.as_str().to_owned()))
}

#[cfg(test)]
pub(crate) mod testing;
