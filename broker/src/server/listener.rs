//! Accepts connections, counts them, and ends them at shutdown.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::clock::Clock;
use brooklet_protocol::Monotonic;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Limits;
use super::admission::Admission;
use super::connection::{Connection, Shared};
use super::memory::RequestMemory;
use super::notices::Notices;
use crate::api::ApiContext;
use crate::counters::Limit;

/// How long running requests may take to end at shutdown.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// How long to wait after an accept that failed, for example because there are no more files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// No descriptors are left: to the process, to the system. The numbers are the same on Linux, macOS and
/// the BSDs.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// TCP asks a silent client whether it is there after so long, and then so often. Linux gives up after 9
/// probes, macOS after 8.
const PROBES_AFTER: Duration = Duration::from_secs(60);
const PROBES_EVERY: Duration = Duration::from_secs(10);

/// Binds `address`, as `HOST:PORT`; port 0 picks a free one.
///
/// `localhost` is 127.0.0.1: where it means ::1 first, clients that are told one address and try
/// the other would find nobody.
///
/// # Errors
/// The address is taken, is not ours, or is no address.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    match address.strip_prefix("localhost:") {
        Some(port) => TcpListener::bind(format!("{}:{port}", Ipv4Addr::LOCALHOST)).await,
        None => TcpListener::bind(address).await,
    }
}

/// A running listener.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `listener` until `ctx.shutdown` turns true. Needs a runtime.
    pub fn start(listener: TcpListener, ctx: ApiContext, limits: Limits) -> Self {
        let counters = || Arc::clone(&ctx.counters);
        let shared = Shared {
            limits,
            memory: RequestMemory::new(limits.queued_request_bytes_max, counters()),
            notices: Arc::new(Notices::default()),
        };
        let acceptor = Acceptor {
            listener,
            admission: Admission::new(limits, counters()),
            shared,
            spare: spare(),
            ctx: Arc::new(ctx),
            connections: JoinSet::new(),
        };
        Self {
            accepting: tokio::spawn(acceptor.run()),
        }
    }

    /// Waits until all connections have ended; `ctx.shutdown` must have turned true.
    pub async fn stopped(self) {
        if let Err(error) = self.accepting.await {
            tracing::error!("the listener ended by itself: {error}");
        }
    }

    /// The address that clients are told: the bound one, with 127.0.0.1 for "every interface".
    pub fn advertised(bound: SocketAddr) -> (IpAddr, u16) {
        let ip = match bound.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        (ip, bound.port())
    }
}

struct Acceptor {
    listener: TcpListener,
    ctx: Arc<ApiContext>,
    admission: Admission,
    shared: Shared,
    /// A descriptor to let go of when there are none left, so that a connection can be taken and
    /// closed.
    spare: Option<Socket>,
    connections: JoinSet<()>,
}

impl Acceptor {
    async fn run(mut self) {
        let ctx = Arc::clone(&self.ctx);
        loop {
            tokio::select! {
                biased;
                () = ctx.shut_down() => break,
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
        let place = match self.admission.admit(peer.ip()) {
            Ok(place) => place,
            Err((limit, max)) => {
                let name = limit.info().name;
                let text = format_args!("{peer}: connection refused, {name}={max} are open");
                self.warn(name, peer, text);
                return;
            }
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!("{peer}: {error}");
            return;
        }
        let place = Arc::new(place);
        let (stream, ctx) = ((stream, peer), &self.ctx);
        let connection = Connection::new(stream, Arc::clone(&place), ctx, &self.shared);
        place.taken_by(self.connections.spawn(connection.run()));
    }

    fn warn(&self, kind: &'static str, peer: SocketAddr, text: impl Display) {
        let now = self.ctx.clock.monotonic();
        self.shared.notices.warn(now, kind, peer.ip(), text);
    }

    /// Without descriptors, idle logs close theirs. If there are none, a connection is taken with the
    /// spare one and closed, so that its client learns of it at once and does not wait. Established connections go on meanwhile; without the
    /// pause this would be a busy loop.
    async fn back_off(&mut self, error: &io::Error) {
        let has_no_files = matches!(error.raw_os_error(), Some(EMFILE | ENFILE));
        if has_no_files && self.ctx.controller.image().rest_logs() > 0 {
            return;
        }
        if has_no_files && self.spare.take().is_some() {
            let shed = tokio::time::timeout(Duration::ZERO, self.listener.accept()).await;
            if let Ok(Ok((stream, peer))) = shed {
                drop(stream);
                self.spare = spare();
                self.ctx.counters.rejected(Limit::Connections);
                let text = format!(
                    "{peer}: connection refused, no file descriptors are left: {error}; raise the \
                     limit of open files (ulimit -n), or lower max.connections"
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
            () = sleep(&*self.ctx.clock, ACCEPT_BACKOFF) => {}
            () = self.ctx.shut_down() => {}
        }
    }

    /// Lets running requests end; what takes too long is cut off.
    async fn drain(mut self) {
        drop(self.listener);
        let mut time_is_up = sleep(&*self.ctx.clock, SHUTDOWN_MAX);
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
        tracing::warn!("{count} connections still busy at shutdown are closed");
        self.connections.shutdown().await;
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // An answer is written at once and in whole: waiting for more to send would only delay it.
    stream.set_nodelay(true)?;
    // A client whose machine is gone says nothing; without probes it keeps its place for 10 minutes,
    // and longer while a fetch of it waits.
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
    // One that made room was ended on purpose.
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection was closed by a bug: {error}");
    }
}
