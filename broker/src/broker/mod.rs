//! The assembled broker.
//!
//! ```text
//!  lock the data directory ─▶ bind ─▶ meta.properties, clean-shutdown mark, recovery points
//!    ─▶ __coordination-0 ─▶ tree ─▶ controller: topics, partitions ─▶ background tasks ─▶ listen
//! ```
//!
//! The address is bound early, so that "in use" is said before anything is opened, and served last,
//! so that nobody sees half a broker. Whatever waits for the disk at start runs on blocking threads.
//!
//! Shutdown goes the other way: no new connections, running requests end, waiting fetches are
//! answered; partitions are synced and closed; the recovery points are written, then the mark that
//! all of this succeeded; the lock goes last.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use brooklet_log::LogError;
use brooklet_log::checkpoint::{Checkpoint, CheckpointError};
use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::BoxFuture;
use crate::api::{self, ApiContext, ApiSettings, DescribedSetting, FetchSessions, ResponseMemory};
use crate::controller::{Controller, joined};
use crate::coordinator::{CoordinatorSetup, GroupCoordinator, TransactionCoordinator};
use crate::counters::LIMITS;
use crate::health::Health;
use crate::partition::Partition;
use crate::server::kafka::Kafka;
use crate::server::{self, Limits, Server};

mod adoption;
mod background;
mod cleaner;
mod config;
mod data_dir;
pub mod descriptors;
mod limits;
mod meta;
mod opening;
pub mod settings;
mod snapshot;

#[cfg(test)]
mod tests;

use background::{Background, high_watermarks, recovery_points};
use cleaner::Cleaner;
pub use cleaner::CleanerConfig;
pub use config::{BrokerConfig, Environment, StartError, Storage};
use data_dir::{DataDir, remove_leftovers};
use descriptors::ReliefVfs;
use opening::open;
pub use settings::{Applied, SettingError};
pub use snapshot::{
    GroupSnapshot, LimitSnapshot, LogSnapshot, PartitionSnapshot, Snapshot, SocketsSnapshot,
    TopicSnapshot, Unready,
};

/// A running broker. Cheap to clone; in-process callers use [`Broker::call`].
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ctx: ApiContext,
    started: Monotonic,
    /// How high the limits are, in their order.
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
    /// A broker for a test: it keeps nothing, syncs nothing, and listens at a free port of the
    /// loopback address. Any number of them live beside each other in one process.
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

    /// Opens the data, recovers what a crash has left, and listens.
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
        Box::pin(Self::assemble(environment, config))
    }

    async fn assemble(
        mut environment: Environment,
        mut config: BrokerConfig,
    ) -> Result<Self, StartError> {
        settings::warn_of_those_without_effect(&config);
        descriptors::fit(&mut config)?;
        let (vfs, counters) = ReliefVfs::put_into(&mut environment);
        let health = Arc::new(Health::new(Arc::clone(&environment.clock)));
        let data = lock_data(&environment, &config.storage).await?;
        let (listener, kafka) = bind(config.kafka.as_deref()).await?.unzip();
        let named = spawn_blocking({
            // Beside the opening: syncs that run together share the file system's journal.
            let data = Arc::clone(&data);
            move || data.sync_name()
        });
        let opened = open(&environment, &config, Arc::clone(&data), kafka).await;
        // Before any error leaves: whoever has failed to start holds the lock no longer.
        let named = named.await;
        let opened = opened?;
        vfs.relieved_by(&opened.controller);
        named??;
        let (stop, shutdown) = watch::channel(false);
        let told = settings::told(&BrokerConfig {
            storage: Storage::Directory(data.path.clone()),
            kafka: kafka.map(|bound| bound.to_string()),
            node_id: Some(opened.controller.image().broker_id),
            ..config.clone()
        });
        let coordinators = |partition_count| CoordinatorSetup {
            controller: Arc::clone(&opened.controller),
            clock: Arc::clone(&environment.clock),
            sync: !data.is_ephemeral,
            partition_count,
            shutdown: shutdown.clone(),
        };
        let groups = Arc::new(GroupCoordinator::new(
            coordinators(config.offsets_partition_count),
            config.groups,
            // Neither the cluster's nor the topics' ids.
            environment.seed.rotate_left(64),
        ));
        let transactions = TransactionCoordinator::new(
            coordinators(config.transactions_partition_count),
            config.transactions,
            Arc::clone(&groups),
        );
        let response_memory =
            ResponseMemory::new(config.queued_response_bytes_max, Arc::clone(&counters));
        let ctx = ApiContext {
            controller: opened.controller,
            groups,
            transactions,
            fetch_sessions: Arc::new(FetchSessions::new(
                config.fetch_session_slots,
                environment.seed.rotate_left(96) as u64,
            )),
            response_memory: Arc::new(response_memory),
            peer: None,
            clock: environment.clock,
            settings: Arc::new(api_settings(&config, &data, kafka, told)),
            counters,
            health,
            shutdown,
        };
        tokio::spawn(resume(Arc::clone(&ctx.transactions)));
        let background = Background {
            controller: Arc::clone(&ctx.controller),
            coordination: Arc::clone(&opened.coordination),
            data: Arc::clone(&data),
            dirty: opened.dirty,
            clock: Arc::clone(&ctx.clock),
            flush_interval: config.log.flush_age_max,
            producer_age_max: config.producer_id_expiration,
            shutdown: ctx.shutdown.clone(),
        };
        let cleaner = Arc::new(Cleaner {
            controller: Arc::clone(&ctx.controller),
            data: Arc::clone(&data),
            clock: Arc::clone(&ctx.clock),
            config: config.cleaner,
            shutdown: ctx.shutdown.clone(),
            uncleanable: parking_lot::Mutex::default(),
        });
        let running = Running {
            cleaner: tokio::spawn(Arc::clone(&cleaner).run()),
            server: listener.map(|listener| serve_kafka(listener, &ctx, &config)),
            // An ephemeral broker syncs nothing and has nothing to write down.
            background: if data.is_ephemeral {
                tokio::spawn(async {})
            } else {
                tokio::spawn(background.run())
            },
        };
        Ok(Self {
            inner: Arc::new(Inner {
                started: ctx.clock.monotonic(),
                maxima: limits::maxima(&config),
                ctx,
                kafka,
                data,
                coordination: opened.coordination,
                cleaner,
                stop,
                running: Mutex::new(Some(running)),
            }),
        })
    }

    /// The one door: what a socket would bring, without the socket.
    ///
    /// An API or a version that is not served (see [`crate::api::table`]), on which a socket would
    /// be closed, is answered with an ApiVersions response that says UNSUPPORTED_VERSION.
    pub fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let answered = api::dispatch(&self.inner.ctx, request).await;
            answered.unwrap_or_else(|_not_served| api::unsupported_version())
        })
    }

    /// Where Kafka clients connect, with the port that was picked.
    pub fn kafka_address(&self) -> Option<SocketAddr> {
        self.inner.kafka
    }

    /// The controller, for whoever looks inside.
    pub fn controller(&self) -> &Arc<Controller> {
        &self.inner.ctx.controller
    }

    /// The incremental fetch sessions, for whoever counts them.
    pub fn fetch_sessions(&self) -> &FetchSessions {
        &self.inner.ctx.fetch_sessions
    }

    /// What is wrong with the broker as a whole; see [`Broker::unready`] for all that is not served.
    pub fn health(&self) -> &Arc<Health> {
        &self.inner.ctx.health
    }

    /// The directory of the data; gone after the shutdown of an ephemeral broker.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data.path
    }

    /// Does at once what the cleaner does from time to time: retention, then compaction of what is
    /// due, then removal of what was deleted long enough ago.
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

    /// Stops listening, lets running requests end, syncs, marks the shutdown as clean. A second
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
                tracing::error!("a background task ended by itself: {error}");
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
            tracing::warn!("not marked as cleanly shut down: some partitions are not served");
            return Ok(());
        }
        let marked = self.data.mark_clean();
        marked.map_err(|source| io_error("mark as cleanly shut down", &self.data.path, source))
    }
}

/// Beside the start, which does not wait for transactions that were left behind.
async fn resume(transactions: Arc<TransactionCoordinator>) {
    if let Err(error) = transactions.resume().await {
        tracing::error!("transactions that were left open do not end: {error}");
    }
}

async fn lock_data(
    environment: &Environment,
    storage: &Storage,
) -> Result<Arc<DataDir>, StartError> {
    let (vfs, storage, seed) = (
        Arc::clone(&environment.vfs),
        storage.clone(),
        environment.seed,
    );
    let data = spawn_blocking(move || DataDir::lock(vfs, storage, seed)).await??;
    if data.is_ephemeral {
        let vfs = Arc::clone(&data.vfs);
        // Nobody waits for it: it is other brokers' dust.
        drop(spawn_blocking(move || remove_leftovers(&*vfs)));
    }
    Ok(Arc::new(data))
}

async fn bind(address: Option<&str>) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let failed = |source| StartError::Bind {
        address: address.to_owned(),
        source,
    };
    let listener = server::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

fn api_settings(
    config: &BrokerConfig,
    data: &DataDir,
    kafka: Option<SocketAddr>,
    told: BTreeMap<&'static str, DescribedSetting>,
) -> ApiSettings {
    let (host, port) = match kafka {
        Some(bound) => advertised(config, bound),
        None => ("127.0.0.1".to_owned(), 0),
    };
    ApiSettings {
        num_partitions: config.num_partitions,
        auto_create_topics: config.auto_create_topics,
        fetch_max_bytes: config.fetch_max_bytes,
        acks_all_sync: config.acks_all_sync,
        described: told,
        log_dir: data.path.display().to_string(),
        http_address: config.http_address,
        advertised_host: host,
        advertised_port: i32::from(port),
    }
}

/// Host and port that clients are told to connect to.
fn advertised(config: &BrokerConfig, bound: SocketAddr) -> (String, u16) {
    let (ip, bound_port) = Server::advertised(bound);
    match &config.advertised {
        Some((host, 0)) => (host.clone(), bound_port),
        Some((host, port)) => (host.clone(), *port),
        None => (ip.to_string(), bound_port),
    }
}

fn server_limits(config: &BrokerConfig) -> Limits {
    Limits {
        request_bytes_max: config.socket_request_max_bytes,
        connections_max: config.max_connections,
        connections_per_address_max: config.max_connections_per_ip,
        idle_max: config.connections_max_idle,
        request_read_max: config.request_read_max,
        response_stall_max: config.response_stall_max,
        queued_request_bytes_max: config.queued_request_bytes_max,
    }
}

fn checkpoint_error(error: CheckpointError) -> LogError {
    match error {
        CheckpointError::Io {
            action,
            path,
            source,
        } => LogError::Io {
            action,
            path,
            source,
        },
        CheckpointError::Lost { path } | CheckpointError::Malformed { path, .. } => {
            io_error("write", &path, io::Error::other("malformed"))
        }
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> LogError {
    LogError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn serve_kafka(listener: TcpListener, ctx: &ApiContext, config: &BrokerConfig) -> Server {
    let kafka = Kafka::new(ctx.clone());
    let context = kafka.server_context();
    Server::start(listener, kafka, context, server_limits(config))
}
