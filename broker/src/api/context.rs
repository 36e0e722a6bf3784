//! What the request handlers share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use brooklet_log::clock::Clock;
use tokio::sync::watch;

use super::fetch_sessions::FetchSessions;
use super::response_memory::ResponseMemory;
use crate::controller::Controller;
use crate::controller::config_kind::ConfigKind;
use crate::coordinator::{GroupCoordinator, TransactionCoordinator};
use crate::counters::Counters;
use crate::health::Health;

/// The broker's settings that handlers obey; see [`crate::BrokerConfig`].
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `acks.all.sync`.
    pub acks_all_sync: bool,
    /// All broker settings that have an effect, by name, as DescribeConfigs lists them.
    pub described: BTreeMap<&'static str, DescribedSetting>,
    /// The data directory.
    pub log_dir: String,
    /// The address of HTTP, for log lines about HTTP requests to the Kafka port.
    pub http_address: Option<SocketAddr>,
    /// The host that is advertised to clients.
    pub advertised_host: String,
    /// The port that is advertised to clients; 0 if the broker does not listen.
    pub advertised_port: i32,
}

/// A broker setting as DescribeConfigs lists it.
#[derive(Clone, Debug)]
pub struct DescribedSetting {
    /// The value in effect; `None` for a name that stands for another one and was not set.
    pub value: Option<String>,
    /// The default value.
    pub default: Option<&'static str>,
    /// The name under which it was set, which may be a synonym, and the value.
    pub given: Option<(&'static str, String)>,
    /// The values that it accepts.
    pub kind: ConfigKind,
    /// Its documentation.
    pub doc: &'static str,
}

/// What the request handlers share.
#[derive(Clone, Debug)]
pub struct ApiContext {
    /// The topics, and their image.
    pub controller: Arc<Controller>,
    /// The groups and their offsets.
    pub groups: Arc<GroupCoordinator>,
    /// The transactions.
    pub transactions: Arc<TransactionCoordinator>,
    /// Incremental fetch sessions.
    pub fetch_sessions: Arc<FetchSessions>,
    /// The memory for responses to fetches.
    pub response_memory: Arc<ResponseMemory>,
    /// The client's address; `None` for a client within this process.
    pub peer: Option<IpAddr>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The settings.
    pub settings: Arc<ApiSettings>,
    /// The counters.
    pub counters: Arc<Counters>,
    /// The troubles of the broker as a whole.
    pub health: Arc<Health>,
    /// Turns true when the broker shuts down: waiting fetches are answered at once.
    pub shutdown: watch::Receiver<bool>,
}

impl ApiContext {
    /// Completes once the broker shuts down.
    pub async fn shut_down(&self) {
        let mut shutdown = self.shutdown.clone();
        drop(shutdown.wait_for(|stop| *stop).await);
    }
}
