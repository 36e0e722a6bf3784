//! What the request handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::controller::Controller;

/// The broker's settings that handlers obey; see [`crate::BrokerConfig`].
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `message.max.bytes`.
    pub message_max_bytes: usize,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `acks.all.sync`.
    pub acks_all_sync: bool,
    /// The host that clients are told to connect to.
    pub advertised_host: String,
    /// The port that clients are told to connect to; 0 when the broker listens nowhere.
    pub advertised_port: i32,
}

/// What the request handlers share.
#[derive(Clone, Debug)]
pub struct ApiContext {
    /// Topics, and the image of them.
    pub controller: Arc<Controller>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub settings: Arc<ApiSettings>,
    /// Turns true when the broker shuts down: waiting fetches are answered at once.
    pub shutdown: watch::Receiver<bool>,
    /// Whether the log has said that coordinators are not served.
    pub told_of_coordinators: Arc<AtomicBool>,
}

impl ApiContext {
    /// Ready once the broker shuts down, or is gone.
    pub async fn shut_down(&self) {
        let mut shutdown = self.shutdown.clone();
        drop(shutdown.wait_for(|stop| *stop).await);
    }
}
