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
    /// All settings of the broker that act, by name, as they are told to clients.
    pub told: BTreeMap<&'static str, ToldSetting>,
    /// The data directory.
    pub log_dir: String,
    /// Where this process answers HTTP; for those who look for it at the Kafka port.
    pub http_address: Option<SocketAddr>,
    /// The host that clients are told to connect to.
    pub advertised_host: String,
    /// The port that clients are told to connect to; 0 when the broker listens nowhere.
    pub advertised_port: i32,
}

/// A setting of the broker as it is told to clients.
#[derive(Clone, Debug)]
pub struct ToldSetting {
    /// What holds; `None` for a name that stands for another one and was not given.
    pub value: Option<String>,
    /// What holds where nobody says otherwise.
    pub default: Option<&'static str>,
    /// The name under which it was given, which may be a synonym, and what was given.
    pub given: Option<(&'static str, String)>,
    /// What it takes.
    pub kind: ConfigKind,
    /// What it means.
    pub doc: &'static str,
}

/// What the request handlers share.
#[derive(Clone, Debug)]
pub struct ApiContext {
    /// Topics, and the image of them.
    pub controller: Arc<Controller>,
    /// Groups and their offsets.
    pub groups: Arc<GroupCoordinator>,
    /// Transactions.
    pub transactions: Arc<TransactionCoordinator>,
    /// Incremental fetch sessions.
    pub fetch_sessions: Arc<FetchSessions>,
    /// The memory of answers to fetches.
    pub response_memory: Arc<ResponseMemory>,
    /// Where the client connects from; `None` for one in our own process.
    pub peer: Option<IpAddr>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub settings: Arc<ApiSettings>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What is wrong with the broker as a whole.
    pub health: Arc<Health>,
    /// Turns true when the broker shuts down: waiting fetches are answered at once.
    pub shutdown: watch::Receiver<bool>,
}

impl ApiContext {
    /// Ready once the broker shuts down, or is gone.
    pub async fn shut_down(&self) {
        let mut shutdown = self.shutdown.clone();
        drop(shutdown.wait_for(|stop| *stop).await);
    }
}
