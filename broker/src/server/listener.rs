//! Accepts connections, and ends them at shutdown.
//!
//! ```text
//!  accept ─▶ admission ─▶ Protocol::connected ─▶ task of a Connection ─▶ ended: a panic is logged
//!    │           └▶ refused: closed at once, with a line
//!    └▶ no descriptors: idle files are closed; or the connection is shed with the spare descriptor
//!
//!  shutdown: stop accepting ─▶ wait for the tasks, 5 seconds ─▶ abort those that are still busy
//! ```
//!
//! A failed accept pauses the listener for a moment: it would be a busy loop otherwise, because the
//! client is still in the queue of the system.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::clock::Clock;
use brooklet_protocol::Monotonic;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Limits;
use super::admission::Admission;
use super::client::{Client, Shared};
use super::connection::Connection;
use super::memory::RequestMemory;
use super::notices::Notices;
use super::serve::{Protocol, ServerContext};
use crate::counters::Limit;

/// How long running requests may take to end at shutdown.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// The pause after an accept that failed, for example because no file descriptors are left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// No file descriptors are left, in the process or in the system. The numbers are the same on
/// Linux, macOS and the BSDs.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// TCP keep-alive probes a silent client after this time. Linux gives up after 9 probes, macOS
/// after 8.
const PROBES_AFTER: Duration = Duration::from_secs(60);
/// The time between two probes.
const PROBES_EVERY: Duration = Duration::from_secs(10);

/// Binds `address`, as `HOST:PORT`; port 0 picks a free one.
///
/// `localhost` is 127.0.0.1: on systems where it means ::1 first, clients that use the other
/// address would find no listener.
///
/// # Errors
/// The address is in use, does not belong to this machine, or is malformed.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    match address.strip_prefix("localhost:") {
        Some(port) => TcpListener::bind(format!("{}:{port}", Ipv4Addr::LOCALHOST)).await,
        None => TcpListener::bind(address).await,
    }
}

/// Whether an operation failed because no file descriptors are left.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// A running listener.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `listener` until `context.shutdown` turns true. Needs a runtime.
    pub(crate) fn start<P: Protocol>(
        listener: TcpListener,
        protocol: P,
        context: ServerContext,
        limits: Limits,
    ) -> Self {
        let counters = || Arc::clone(&context.counters);
        let acceptor = Acceptor {
            listener,
            protocol,
            admission: Admission::new(limits, counters()),
            spare: spare(),
            connections: JoinSet::new(),
            shared: Arc::new(Shared {
                memory: RequestMemory::new(limits.queued_request_bytes_max, counters()),
                limits,
                notices: Notices::default(),
                context,
            }),
        };
        Self {
            accepting: tokio::spawn(acceptor.run()),
        }
    }

    /// Waits until all connections have ended; `ctx.shutdown` must have turned true.
    pub async fn stopped(self) {
        if let Err(error) = self.accepting.await {
            tracing::error!("listener stopped by a bug; no new connections are accepted: {error}");
        }
    }
}

struct Acceptor<P> {
    listener: TcpListener,
    protocol: P,
    admission: Admission,
    shared: Arc<Shared>,
    /// A descriptor to close when there are none left, so that a connection can be accepted and
    /// closed.
    spare: Option<Socket>,
    connections: JoinSet<()>,
}

impl<P: Protocol> Acceptor<P> {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.context.shut_down() => break,
                Some(ended) = self.connections.join_next() => report(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.serve(stream, peer),
                    Err(error) => self.back_off(&error).await,
                },
            }
        }
        self.drain().await;
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.admission.admit(peer.ip()) {
            Ok(permit) => Arc::new(permit),
            Err((limit, max)) => {
                let name = limit.info().name;
                let text = format_args!("{peer}: connection refused: {name}={max} is reached");
                self.warn(name, peer, text);
                return;
            }
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!("{peer}: {error}");
            return;
        }
        let client = Client::new(stream, peer, Arc::clone(&self.shared));
        let serve = self.protocol.connected(peer);
        let connection = Connection::new(client, serve, Arc::clone(&permit));
        permit.taken_by(self.connections.spawn(connection.run()));
    }

    fn warn(&self, kind: &'static str, peer: SocketAddr, text: impl Display) {
        let now = self.shared.context.clock.monotonic();
        self.shared.notices.warn(now, kind, peer.ip(), text);
    }

    /// Without descriptors, idle logs close theirs. If no log is idle, a connection is accepted
    /// with the spare descriptor and closed, so that its client learns of it at once. Established
    /// connections are not affected.
    async fn back_off(&mut self, error: &io::Error) {
        let has_no_files = is_out_of_files(error);
        if has_no_files && self.protocol.close_idle_files() > 0 {
            return;
        }
        if has_no_files && self.spare.take().is_some() {
            let shed = tokio::time::timeout(Duration::ZERO, self.listener.accept()).await;
            if let Ok(Ok((stream, peer))) = shed {
                drop(stream);
                self.spare = spare();
                self.shared.context.counters.rejected(Limit::Connections);
                let text = format!(
                    "{peer}: connection refused: no file descriptors left: {error}. Raise the limit of \
                     open files (ulimit -n), or lower max.connections"
                );
                self.warn("descriptors", peer, text);
                return;
            }
        }
        let text = format!("cannot accept a connection: {error}");
        let here = self.listener.local_addr();
        self.warn("accept", here.unwrap_or_else(|_| ([0; 4], 0).into()), text);
        self.spare = self.spare.take().or_else(spare);
        tokio::select! {
            () = sleep(&*self.shared.context.clock, ACCEPT_BACKOFF) => {}
            () = self.shared.context.shut_down() => {}
        }
    }

    /// Lets running requests end; aborts those that take too long.
    async fn drain(mut self) {
        drop(self.listener);
        let mut time_is_up = sleep(&*self.shared.context.clock, SHUTDOWN_MAX);
        loop {
            tokio::select! {
                biased;
                ended = self.connections.join_next() => match ended {
                    Some(ended) => report(ended),
                    None => return,
                },
                () = &mut time_is_up => break,
            }
        }
        let count = self.connections.len();
        tracing::warn!(
            "shutdown: closed {count} connections that were still busy after {SHUTDOWN_MAX:?}"
        );
        self.connections.shutdown().await;
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // An answer is written as a whole: waiting for more to send would only delay it.
    stream.set_nodelay(true)?;
    // A client whose machine is gone sends nothing; without probes it would keep its connection for
    // 10 minutes, or longer while its fetch waits.
    let probes = TcpKeepalive::new()
        .with_time(PROBES_AFTER)
        .with_interval(PROBES_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

fn sleep(clock: &dyn Clock, time: Duration) -> brooklet_log::clock::Sleep {
    clock.sleep_until(Monotonic(clock.monotonic().0.saturating_add(time)))
}

/// A socket that is not connected: a descriptor, and nothing else. `None` where none are left.
fn spare() -> Option<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, None).ok()
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    // A connection that made room was aborted on purpose.
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("connection closed by a bug: {error}");
    }
}
