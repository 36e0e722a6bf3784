//! The assembled broker.
//!
//! ```text
//!  start:     lock the data directory ─▶ bind ─▶ meta.properties, clean-shutdown mark, recovery points
//!             ─▶ __coordination-0 ─▶ tree ─▶ controller: topics, partitions ─▶ background tasks
//!             ─▶ listen
//!
//!  running:   sockets, embedded engine ─▶ Broker::call ─▶ api      background: sync, checkpoint
//!             /metrics, /readyz ─▶ Broker::metrics, unready         cleaner: retention, compaction
//!
//!  shutdown:  no new connections ─▶ running requests end, waiting fetches are answered
//!             ─▶ partitions are synced and closed ─▶ recovery points ─▶ clean-shutdown mark ─▶ unlock
//! ```
//!
//! This file has the broker as others use it, and its shutdown; `assembly` has the steps of a
//! start, `opening` what happens between a locked directory and open topics.
//!
//! Invariants:
//! - the clean-shutdown mark is written only if every log was closed in order, and is gone before
//!   the first log is opened;
//! - the recovery points are written after the syncs that they speak of;
//! - the lock of the data directory is held until nothing can be written any more.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use brooklet_log::LogError;
use brooklet_log::checkpoint::Checkpoint;
use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::{Request, Response};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::BoxFuture;
use crate::api::{self, ApiContext, FetchSessions};
use crate::controller::{Controller, joined};
use crate::counters::LIMITS;
use crate::health::Health;
use crate::partition::Partition;
use crate::server::Server;

mod config;
mod environment;
mod errors;

pub mod settings;

mod assembly;

mod opening;

mod data_dir;
mod meta;

mod adoption;

mod background;
mod cleaner;

pub mod descriptors;
mod limits;
mod metrics;

#[cfg(test)]
mod tests;

use background::{high_watermarks, recovery_points};
use cleaner::Cleaner;
pub use config::{BrokerConfig, CleanerConfig, Storage};
use data_dir::DataDir;
pub use environment::Environment;
pub use errors::StartError;
use errors::{checkpoint_error, io_error};
pub use metrics::{
    BrokerMetrics, GroupMetrics, LimitMetrics, LogMetrics, PartitionMetrics, SocketMetrics,
    TopicMetrics, Unready,
};
pub use settings::{Applied, SettingError};

/// A running broker. Cheap to clone; in-process callers use [`Broker::call`].
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ctx: ApiContext,
    started: Monotonic,
    /// The height of each limit, in the order of [`LIMITS`].
    maxima: [u64; LIMITS.len()],
    kafka: Option<SocketAddr>,
    data: Arc<DataDir>,
    coordination: Arc<Partition>,
    cleaner: Arc<Cleaner>,
    stop: watch::Sender<bool>,
    /// `None` once it was shut down.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    server: Option<Server>,
    background: JoinHandle<()>,
    cleaner: JoinHandle<()>,
}

impl Broker {
    /// A broker for a test: it keeps nothing, syncs nothing, and listens on a free port of the
    /// loopback address. Any number of them can run in one process.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let broker = brooklet_broker::Broker::ephemeral().await?;
    /// let address = broker.kafka_address().expect("it listens");
    /// println!("any Kafka client may connect to {address}");
    /// broker.shutdown().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn ephemeral() -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(async move {
            Self::start(BrokerConfig {
                storage: Storage::Ephemeral,
                kafka: Some("127.0.0.1:0".to_owned()),
                ..BrokerConfig::default()
            })
            .await
        })
    }

    /// Opens the data, recovers from a crash if there was one, and listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: BrokerConfig) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(async move { Self::start_in(Environment::default(), config).await })
    }

    /// Starts on another file system, clock and seed than the machine's own.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_in(
        environment: Environment,
        config: BrokerConfig,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(assembly::assemble(environment, config))
    }

    /// The one door: handles a request as if it came through a socket.
    ///
    /// A request whose API or version is not served (see [`crate::api::table`]) would close a
    /// socket; here it is answered with an ApiVersions response that says UNSUPPORTED_VERSION.
    pub fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let answered = api::dispatch(&self.inner.ctx, request).await;
            answered.unwrap_or_else(|_not_served| api::unsupported_version())
        })
    }

    /// Where Kafka clients connect, with the port that was chosen.
    pub fn kafka_address(&self) -> Option<SocketAddr> {
        self.inner.kafka
    }

    /// The controller, for tests and tools that look inside.
    pub fn controller(&self) -> &Arc<Controller> {
        &self.inner.ctx.controller
    }

    /// The incremental fetch sessions, to count them.
    pub fn fetch_sessions(&self) -> &FetchSessions {
        &self.inner.ctx.fetch_sessions
    }

    /// What is wrong with the broker as a whole; see [`Broker::unready`] for all that is not
    /// served.
    pub fn health(&self) -> &Arc<Health> {
        &self.inner.ctx.health
    }

    /// The directory of the data; gone after the shutdown of an ephemeral broker.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data.path
    }

    /// Does now what the cleaner does from time to time: retention, then compaction of logs that
    /// are due, then removal of files that were deleted long enough ago.
    pub fn clean(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let cleaner = Arc::clone(&self.inner.cleaner);
            let cleaning = spawn_blocking(move || {
                cleaner.retain_all();
                cleaner.clean_all(&false.into());
            });
            joined(cleaning.await);
        })
    }

    /// Stops listening, lets running requests end, syncs, and marks the shutdown as clean. A second
    /// call waits for the first and does nothing.
    ///
    /// # Errors
    /// What could not be synced or written; the next start then recovers as after a crash.
    pub fn shutdown(&self) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.close_all())
    }

    async fn close_all(&self) -> Result<(), LogError> {
        let mut running = self.inner.running.lock().await;
        let Some(running) = running.take() else {
            return Ok(());
        };
        self.inner.stop.send_replace(true);
        if let Some(server) = running.server {
            server.stopped().await;
        }
        for task in [running.background, running.cleaner] {
            if let Err(error) = task.await {
                tracing::error!("background task ended by a bug: {error}");
            }
        }
        let closed = self.inner.ctx.controller.shutdown().await;
        let inner = Arc::clone(&self.inner);
        let marked = spawn_blocking(move || inner.close(closed)).await;
        marked.unwrap_or_else(|bug| {
            Err(io_error(
                "close",
                &self.inner.data.path,
                io::Error::other(bug),
            ))
        })
    }
}

impl Inner {
    /// The last steps. Blocks.
    fn close(&self, topics: Result<Checkpoint, LogError>) -> Result<(), LogError> {
        let coordination = self.coordination.close();
        let topics = topics?;
        coordination?;
        if !self.data.is_ephemeral {
            let points = recovery_points(topics, &self.coordination);
            let watermarks = || high_watermarks(&self.ctx.controller, &self.coordination);
            let files = &self.data.checkpoints;
            files.make().map_err(checkpoint_error)?;
            (files.recovery_points.write(|| points)).map_err(checkpoint_error)?;
            (files.high_watermarks.write(watermarks)).map_err(checkpoint_error)?;
            self.mark_clean()?;
        }
        self.data.release();
        Ok(())
    }

    /// Leaves the mark of a clean shutdown, if it is true of every log. Blocks.
    fn mark_clean(&self) -> Result<(), LogError> {
        if !self.ctx.controller.is_all_open() {
            tracing::warn!(
                "shutdown not marked as clean, because some partitions are offline: the next start recovers as after a crash"
            );
            return Ok(());
        }
        let marked = self.data.mark_clean();
        marked.map_err(|source| io_error("mark as cleanly shut down", &self.data.path, source))
    }
}
