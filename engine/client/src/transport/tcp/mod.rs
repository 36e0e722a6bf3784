//! Brokers over TCP: Brooklet or Apache Kafka.
//!
//! Kafka answers the requests of one connection in their order. A fetch that waits for data would
//! hold up everything behind it, so requests the broker may hold back travel apart:
//!
//! ```text
//!  per node ── one shared connection, pipelined        Produce, Metadata, ListOffsets …
//!          └── a connection for each request held back Fetch, JoinGroup, SyncGroup
//! ```
//!
//! A connection of the second kind is used again once its answer has come. If its caller has
//! stopped waiting, it is closed instead: the next request on it would have to wait for the late
//! answer.
//!
//! Connections are made when first needed, and again when needed after one broke. Nothing is sent
//! twice from here: only the caller knows whether a repetition is safe.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::kafka::ProduceResponse;
use brooklet_protocol::messages::{Request, Response, ResponseKind, StrBytes};
use parking_lot::Mutex;

use super::connection::Connection;
use super::versions::held_ms_max;
use super::{BoxFuture, Node, Transport, TransportError, address, is_unanswered};
use crate::clock::{Clock, SystemClock};

/// How a TCP transport works; the Java client's names and defaults.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// `client.id`, stamped on requests that have none.
    pub client_id: String,
    /// `request.timeout.ms` (30000). What the broker was asked to wait comes on top.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms` (10000).
    pub connect_timeout: Duration,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            client_id: "brooklet".into(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// A connection that all may use; the lock is held while it is being made, so that it is made once.
type SharedConnection = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

/// Brokers reached over TCP.
#[derive(Debug)]
pub struct Tcp {
    bootstrap: Vec<String>,
    client_id: StrBytes,
    config: TcpConfig,
    clock: Arc<dyn Clock>,
    addresses: Mutex<HashMap<BrokerId, String>>,
    shared: Mutex<HashMap<Node, SharedConnection>>,
    held: Mutex<HashMap<Node, Vec<Connection>>>,
}

impl Tcp {
    /// A transport to the cluster that `bootstrap`, `HOST:PORT[,HOST:PORT…]`, belongs to. Nothing
    /// is sent yet.
    pub fn new(bootstrap: &str, config: TcpConfig) -> Self {
        Self::with_clock(bootstrap, config, Arc::new(SystemClock::new()))
    }

    /// The same, with the clock that its timeouts go by.
    pub fn with_clock(bootstrap: &str, config: TcpConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            bootstrap: address::split_list(bootstrap),
            client_id: StrBytes::from_string(config.client_id.clone()),
            config,
            clock,
            addresses: Mutex::default(),
            shared: Mutex::default(),
            held: Mutex::default(),
        }
    }

    async fn route(&self, node: Node, mut request: Request) -> Result<Response, TransportError> {
        if request.client_id.is_none() {
            request.client_id = Some(self.client_id.clone());
        }
        if held_ms_max(&request.body).is_some() {
            let connection = self.held_connection(node).await?;
            let answer = self.send(&connection, request).await;
            if answer.is_ok() {
                self.held.lock().entry(node).or_default().push(connection);
            }
            return answer;
        }
        let connection = self.shared_connection(node).await?;
        self.send(&connection, request).await
    }

    async fn send(
        &self,
        connection: &Connection,
        mut request: Request,
    ) -> Result<Response, TransportError> {
        let api = request.api();
        request.version = connection.negotiate(api, request.version)?;
        let limit = self.config.request_timeout
            + Duration::from_millis(held_ms_max(&request.body).unwrap_or(0));
        if is_unanswered(&request.body) {
            connection.send(&request, limit).await?;
            return Ok(ResponseKind::Produce(ProduceResponse::default()));
        }
        connection.ask(api, &request, limit).await
    }

    async fn shared_connection(&self, node: Node) -> Result<Arc<Connection>, TransportError> {
        let slot = Arc::clone(self.shared.lock().entry(node).or_default());
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_broken()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(self.connect(node).await?);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn held_connection(&self, node: Node) -> Result<Connection, TransportError> {
        loop {
            let idle = self.held.lock().get_mut(&node).and_then(Vec::pop);
            match idle {
                Some(connection) if connection.is_broken() => {}
                Some(connection) => return Ok(connection),
                None => return self.connect(node).await,
            }
        }
    }

    /// Tries the addresses of a node in turn; fails with the last one's error.
    async fn connect(&self, node: Node) -> Result<Connection, TransportError> {
        let mut failure = nowhere(node);
        for address in self.addresses_of(node) {
            let clock = Arc::clone(&self.clock);
            match Connection::open(&address, self.config.connect_timeout, clock).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn addresses_of(&self, node: Node) -> Vec<String> {
        let known = self.addresses.lock();
        match node {
            Node::Id(id) => known.get(&id).cloned().into_iter().collect(),
            // Bootstrap servers may be gone by now, while the cluster has moved on.
            Node::Any => {
                let mut all = self.bootstrap.clone();
                all.extend(
                    known
                        .values()
                        .filter(|&a| !self.bootstrap.contains(a))
                        .cloned(),
                );
                all
            }
        }
    }
}

impl Transport for Tcp {
    fn call(
        &self,
        node: Node,
        request: Request,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.route(node, request))
    }

    fn learn(&self, brokers: &[(BrokerId, String)]) {
        let mut known = self.addresses.lock();
        for (id, address) in brokers {
            let former = known.insert(*id, address.clone());
            if former.is_some_and(|former| former != *address) {
                // The broker has moved: what is connected to its old address is not it.
                self.shared.lock().remove(&Node::Id(*id));
                self.held.lock().remove(&Node::Id(*id));
            }
        }
    }
}

fn nowhere(node: Node) -> TransportError {
    let (address, words) = match node {
        Node::Any => ("''".to_owned(), "expected HOST:PORT[,HOST:PORT…]"),
        Node::Id(id) => (format!("broker {id}"), "its address is unknown"),
    };
    TransportError::Connect {
        address,
        source: io::Error::new(io::ErrorKind::NotFound, words),
    }
}

#[cfg(test)]
mod tests;
