//! The start of a broker, step by step.
//!
//! ```text
//!  lock the data directory ─▶ bind ─▶ open the data (`opening`) ─▶ coordinators, handlers
//!    ─▶ background tasks ─▶ listen
//! ```
//!
//! The address is bound early, so that "address in use" is reported before anything is opened, and
//! served last, so that no client sees half a broker. Whatever waits for the disk runs on blocking
//! threads.
//!
//! If a step fails, what the steps before it made is dropped; the lock of the data directory is
//! free when the error arrives, so that the caller may try again.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::background::Background;
use super::cleaner::Cleaner;
use super::config::{BrokerConfig, Storage};
use super::data_dir::{DataDir, remove_leftovers};
use super::descriptors::{self, ReliefVfs};
use super::environment::Environment;
use super::errors::StartError;
use super::opening::{Opened, open};
use super::{Broker, Inner, Running, limits, settings};
use crate::api::{ApiContext, ApiSettings, FetchSessions, ResponseMemory};
use crate::coordinator::{CoordinatorSetup, GroupCoordinator, TransactionCoordinator};
use crate::counters::Counters;
use crate::health::Health;
use crate::server::kafka::Kafka;
use crate::server::{self, Limits, Server};

pub(super) async fn assemble(
    mut environment: Environment,
    mut config: BrokerConfig,
) -> Result<Broker, StartError> {
    settings::warn_of_those_without_effect(&config);
    descriptors::fit(&mut config)?;
    let (vfs, counters) = ReliefVfs::put_into(&mut environment);
    let data = lock_data(&environment, &config.storage).await?;
    let (listener, kafka) = bind(config.kafka.as_deref()).await?.unzip();
    let opened = open_data(&environment, &config, &data, kafka).await?;
    vfs.relieved_by(&opened.controller);
    let (stop, shutdown) = watch::channel(false);
    let start = Start {
        environment,
        config,
        data,
        kafka,
        opened,
        shutdown,
    };
    let ctx = start.api_context(counters);
    tokio::spawn(resume(Arc::clone(&ctx.transactions)));
    let cleaner = Arc::new(start.cleaner());
    let running = Running {
        cleaner: tokio::spawn(Arc::clone(&cleaner).run()),
        server: listener.map(|listener| start.serve(listener, &ctx)),
        background: start.run_background(),
    };
    Ok(Broker {
        inner: Arc::new(Inner {
            started: ctx.clock.monotonic(),
            maxima: limits::maxima(&start.config),
            ctx,
            kafka,
            data: start.data,
            coordination: start.opened.coordination,
            cleaner,
            stop,
            running: Mutex::new(Some(running)),
        }),
    })
}

/// A broker whose data is open.
struct Start {
    environment: Environment,
    config: BrokerConfig,
    data: Arc<DataDir>,
    /// Where clients will connect.
    kafka: Option<SocketAddr>,
    opened: Opened,
    shutdown: watch::Receiver<bool>,
}

impl Start {
    /// What the request handlers share.
    fn api_context(&self, counters: Arc<Counters>) -> ApiContext {
        let (config, seed) = (&self.config, self.environment.seed);
        let (groups, transactions) = self.coordinators();
        let response_memory =
            ResponseMemory::new(config.queued_response_bytes_max, Arc::clone(&counters));
        // Each use of the seed has its own rotation, so that ids differ.
        let sessions = FetchSessions::new(config.fetch_session_slots, seed.rotate_left(96) as u64);
        ApiContext {
            controller: Arc::clone(&self.opened.controller),
            groups,
            transactions,
            fetch_sessions: Arc::new(sessions),
            response_memory: Arc::new(response_memory),
            peer: None,
            clock: Arc::clone(&self.environment.clock),
            settings: Arc::new(self.api_settings()),
            counters,
            health: Arc::new(Health::new(Arc::clone(&self.environment.clock))),
            shutdown: self.shutdown.clone(),
        }
    }

    fn coordinators(&self) -> (Arc<GroupCoordinator>, Arc<TransactionCoordinator>) {
        let config = &self.config;
        let setup = |partition_count| CoordinatorSetup {
            controller: Arc::clone(&self.opened.controller),
            clock: Arc::clone(&self.environment.clock),
            sync: !self.data.is_ephemeral,
            partition_count,
            shutdown: self.shutdown.clone(),
        };
        let groups = Arc::new(GroupCoordinator::new(
            setup(config.offsets_partition_count),
            config.groups,
            self.environment.seed.rotate_left(64),
        ));
        let transactions = TransactionCoordinator::new(
            setup(config.transactions_partition_count),
            config.transactions,
            Arc::clone(&groups),
        );
        (groups, transactions)
    }

    fn api_settings(&self) -> ApiSettings {
        let config = &self.config;
        let (host, port) = match self.kafka {
            Some(bound) => config.advertised_address(bound),
            None => ("127.0.0.1".to_owned(), 0),
        };
        ApiSettings {
            num_partitions: config.num_partitions,
            auto_create_topics: config.auto_create_topics,
            fetch_max_bytes: config.fetch_max_bytes,
            acks_all_sync: config.acks_all_sync,
            described: settings::described(&BrokerConfig {
                storage: Storage::Directory(self.data.path.clone()),
                kafka: self.kafka.map(|bound| bound.to_string()),
                node_id: Some(self.opened.controller.image().broker_id),
                ..config.clone()
            }),
            log_dir: self.data.path.display().to_string(),
            http_address: config.http_address,
            advertised_host: host,
            advertised_port: i32::from(port),
        }
    }

    fn cleaner(&self) -> Cleaner {
        Cleaner {
            controller: Arc::clone(&self.opened.controller),
            data: Arc::clone(&self.data),
            clock: Arc::clone(&self.environment.clock),
            config: self.config.cleaner,
            shutdown: self.shutdown.clone(),
            uncleanable: parking_lot::Mutex::default(),
        }
    }

    fn serve(&self, listener: TcpListener, ctx: &ApiContext) -> Server {
        let kafka = Kafka::new(ctx.clone());
        let context = kafka.server_context();
        Server::start(listener, kafka, context, server_limits(&self.config))
    }

    fn run_background(&self) -> JoinHandle<()> {
        if self.data.is_ephemeral {
            // It syncs nothing and has nothing to write down.
            return tokio::spawn(async {});
        }
        let background = Background {
            controller: Arc::clone(&self.opened.controller),
            coordination: Arc::clone(&self.opened.coordination),
            data: Arc::clone(&self.data),
            dirty: Arc::clone(&self.opened.dirty),
            clock: Arc::clone(&self.environment.clock),
            flush_interval: self.config.log.flush_age_max,
            producer_age_max: self.config.producer_id_expiration,
            shutdown: self.shutdown.clone(),
        };
        tokio::spawn(background.run())
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
        // Not awaited: these are the remains of other brokers.
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

/// Opens the data, and beside that makes the directory's own name outlast a crash: syncs that run
/// together share the file system's journal.
async fn open_data(
    environment: &Environment,
    config: &BrokerConfig,
    data: &Arc<DataDir>,
    kafka: Option<SocketAddr>,
) -> Result<Opened, StartError> {
    let naming = Arc::clone(data);
    let named = spawn_blocking(move || naming.sync_name());
    let opened = open(environment, config, Arc::clone(data), kafka).await;
    // Before any error is returned: a broker that failed to start no longer holds the lock.
    let named = named.await;
    let opened = opened?;
    named??;
    Ok(opened)
}

/// Ends transactions that the previous run left open; the start does not wait for it.
async fn resume(transactions: Arc<TransactionCoordinator>) {
    if let Err(error) = transactions.resume().await {
        tracing::error!("cannot finish transactions left open by the previous run: {error}");
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
