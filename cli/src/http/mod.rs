//! HTTP: what a broker reports to the people and programs that monitor it.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | metrics, in Prometheus' text format 0.0.4 ([`metrics`]) |
//! | `/healthz` | 200 as long as the process answers at all |
//! | `/readyz` | 200 while everything is served; else 503 with the reasons, a line each |
//!
//! A reason says what is wrong, where, and since when if that is known. Reasons that concern the
//! whole broker, such as a full disk, come first; then come the partitions that are offline:
//!
//! ```text
//! the volume of /var/lib/brooklet is full; … (since 2026-11-30T12:00:00.000Z)
//! clicks-0 is offline: …
//! ```
//!
//! The metric `brooklet_unready` counts them by kind.
//!
//! It listens from before the broker starts, so that a long recovery shows as "starting", until the
//! process ends.
//!
//! Invariants:
//! - a request changes nothing: only GET and HEAD are answered;
//! - no foreign page can make a browser on this machine read the answers: the Host header must be
//!   one of ours ([`host`]), which a page that points its own name here (DNS rebinding) cannot
//!   send;
//! - each client gets little: one request per connection, 5 seconds to send it, 30 seconds in all;
//! - a new connection is always accepted: there are few seats, and the oldest connection that has
//!   sent no complete request makes room ([`seats`]);
//! - a client that came to the wrong port leaves a log line, with the address that it should use.
//!
//! Left out: TLS, passwords. Bound to more than loopback, it can be read by the whole network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use brooklet_broker::broker::descriptors::http_connections_max;
use brooklet_broker::server::Notices;
use brooklet_broker::{Broker, Unready};
use brooklet_protocol::Monotonic;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::process::{self, ProcessSnapshot};
use crate::time;
use host::Names;
use seats::{Seat, Seats};

mod host;

mod seats;

mod metrics;

mod exposition;

/// Where it listens by default.
pub(crate) const ADDRESS_DEFAULT: &str = "127.0.0.1:7092";
/// The default beside a broker that picks a free port: several such brokers must not collide here
/// either.
pub(crate) const ADDRESS_FREE: &str = "127.0.0.1:0";
/// The value of `--http` that turns it off.
pub(crate) const OFF: &str = "off";

/// How long a client may take to send a request with its headers.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long a connection may last.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// How long collecting the metrics may take; those of groups may have to wait for the disk.
const SNAPSHOT_MAX: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept, for example for want of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const STARTING: &str = "the broker is starting\n";
const PATHS: &str = "/metrics\n/healthz\n/readyz\n";

/// HTTP cannot be served.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// The address is in use, or not ours.
    #[error(
        "cannot bind {address} for HTTP (metrics, health): {}. Try --http 127.0.0.1:0 for a free \
         port, or --http off; a second broker also needs its own --kafka and --data-dir",
        bind_reason(.source)
    )]
    Bind {
        /// The address asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
}

fn bind_reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "address in use, perhaps by another brooklet serve".to_owned(),
        _ => source.to_string(),
    }
}

/// The listener, which ends with the process.
#[derive(Debug)]
pub(crate) struct Http {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    names: Names,
    process_started: Option<Duration>,
    began: Instant,
    notices: Notices,
    /// Empty until it serves.
    broker: OnceLock<Broker>,
}

impl Http {
    /// Listens at `address` (`HOST:PORT`) and answers from now on. `up` is how long the process has
    /// been running, `open_files_max` its limit of open files. Needs a runtime.
    ///
    /// # Errors
    /// The address is in use, is not ours, or is malformed.
    pub(crate) async fn start(
        address: &str,
        up: Duration,
        open_files_max: usize,
    ) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Bind {
            address: address.to_owned(),
            source,
        };
        // As the broker's own listener: one address, not whatever `localhost` means first.
        let bound = match address.strip_prefix("localhost:") {
            Some(port) => TcpListener::bind(format!("{}:{port}", Ipv4Addr::LOCALHOST)).await,
            None => TcpListener::bind(address).await,
        };
        let listener = bound.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            names: Names::of(address, bound.ip()),
            process_started: process::started(up),
            began: Instant::now(),
            notices: Notices::default(),
            broker: OnceLock::new(),
        });
        let seats = Seats::new(http_connections_max(open_files_max));
        tokio::spawn(accept(listener, Arc::clone(&shared), seats));
        Ok(Self {
            address: bound,
            shared,
        })
    }

    /// The address, with the port that was picked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Announces that the broker serves.
    pub(crate) fn serves(&self, broker: &Broker) {
        if self.shared.broker.set(broker.clone()).is_err() {
            unreachable!("a process starts one broker");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, seats: Seats) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let seat = seats.take();
                let serving = serve((stream, peer), Arc::clone(&shared), Arc::clone(&seat));
                seat.taken_by(tokio::spawn(serving).abort_handle());
            }
            Err(error) => {
                let here = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let text = format!("cannot accept an HTTP connection: {error}");
                shared.warn("accept", here, text);
                // Perhaps for want of a file descriptor.
                seats.free_one();
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn serve((stream, peer): (TcpStream, SocketAddr), shared: Arc<Shared>, seat: Arc<Seat>) {
    let serving = async {
        tokio::time::timeout(REQUEST_MAX, shared.notice_strangers(&stream, peer)).await?;
        let service = service_fn(|request| {
            seat.has_asked();
            let shared = Arc::clone(&shared);
            async move { Ok::<_, std::convert::Infallible>(answer(&shared, &request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_MAX);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::time::timeout(CONNECTION_MAX, connection).await
    };
    match serving.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("an HTTP connection broke: {error}"),
        Err(_) => tracing::debug!("an HTTP connection exceeded its time limit"),
    }
}

/// The protocol of a client that came to the wrong port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stranger {
    Kafka,
    Tls,
}

impl Stranger {
    /// Recognizes it by the first bytes: a Kafka request begins with its length, whose first byte
    /// is 0.
    fn of(first: &[u8]) -> Option<Self> {
        match first {
            [0, ..] => Some(Self::Kafka),
            [0x16, ..] => Some(Self::Tls),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Tls => "tls",
        }
    }

    /// The log line for it; `kafka` is the address of the Kafka port.
    fn line(self, kafka: Option<SocketAddr>) -> String {
        match (self, kafka) {
            (Self::Tls, _) => {
                "a TLS handshake arrived at the HTTP port, which does not support TLS: use \
                               http:// instead of https://"
                    .to_owned()
            }
            (Self::Kafka, Some(kafka)) => format!(
                "a Kafka request arrived at the HTTP port: set bootstrap.servers={kafka} in this \
                 client"
            ),
            (Self::Kafka, None) => {
                "a Kafka request arrived at the HTTP port: connect to the port of --kafka instead"
                    .to_owned()
            }
        }
    }
}

/// The page that an allowed request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Paths,
    Metrics,
    Health,
    Readiness,
}

/// A refused request: the status, and the text of the response.
type Refusal = (StatusCode, String);

/// Checks a request's Host header, method and path.
fn page(names: &Names, method: &Method, path: &str, host: Option<&str>) -> Result<Page, Refusal> {
    let Some(host) = host else {
        return Err((
            StatusCode::BAD_REQUEST,
            "expected a Host header, found none\n".to_owned(),
        ));
    };
    if !names.has(host) {
        let text = "unknown Host header; use the broker's own address\n";
        return Err((StatusCode::FORBIDDEN, text.to_owned()));
    }
    if method != Method::GET && method != Method::HEAD {
        let text = "expected GET or HEAD\n".to_owned();
        return Err((StatusCode::METHOD_NOT_ALLOWED, text));
    }
    match path {
        "/" => Ok(Page::Paths),
        "/metrics" => Ok(Page::Metrics),
        "/healthz" => Ok(Page::Health),
        "/readyz" => Ok(Page::Readiness),
        _ => Err((
            StatusCode::NOT_FOUND,
            format!("no such path; expected one of\n{PATHS}"),
        )),
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => Some(authority.as_str()),
        (None, Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let page = page(&shared.names, request.method(), request.uri().path(), host);
    let (status, kind, body) = match page {
        Ok(Page::Paths) => (StatusCode::OK, TEXT, PATHS.to_owned()),
        Ok(Page::Health) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        Ok(Page::Readiness) => {
            let (status, body) = readiness(shared.broker.get().map(Broker::unready));
            (status, TEXT, body)
        }
        Ok(Page::Metrics) => {
            let (status, body) = shared.numbers().await;
            (status, exposition::CONTENT_TYPE, body)
        }
        Err((status, text)) => (status, TEXT, text),
    };
    to_response(status, kind, body)
}

/// `reasons` are the broker's; `None` while it starts.
fn readiness(reasons: Option<Vec<Unready>>) -> (StatusCode, String) {
    let Some(reasons) = reasons else {
        return (StatusCode::SERVICE_UNAVAILABLE, STARTING.to_owned());
    };
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = reasons.iter().map(reason_line);
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

/// `TEXT (since TIME)`, always on one line.
fn reason_line(reason: &Unready) -> String {
    let text = reason.text.replace(char::is_control, " ");
    match reason.since {
        Some(since) => format!("{text} (since {})\n", time::to_text(since)),
        None => format!("{text}\n"),
    }
}

impl Shared {
    fn warn(&self, kind: &'static str, client: IpAddr, text: impl std::fmt::Display) {
        let now = Monotonic(self.began.elapsed());
        self.notices.warn(now, kind, client, text);
    }

    /// Peeks at the first bytes, and logs a line if they are not HTTP.
    async fn notice_strangers(&self, stream: &TcpStream, peer: SocketAddr) {
        let mut first = [0; 1];
        // An error here comes again when the request is read.
        let count = stream.peek(&mut first).await.unwrap_or(0);
        if let Some(stranger) = Stranger::of(&first[..count]) {
            let kafka = self.broker.get().and_then(Broker::kafka_address);
            let line = stranger.line(kafka);
            self.warn(stranger.kind(), peer.ip(), format_args!("{peer}: {line}"));
        }
    }

    async fn numbers(&self) -> (StatusCode, String) {
        let unavailable = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
        let Some(broker) = self.broker.get() else {
            return unavailable(STARTING);
        };
        let Ok(snapshot) = tokio::time::timeout(SNAPSHOT_MAX, broker.metrics()).await else {
            return unavailable(
                "the log of the consumer groups does not answer; the broker's log may say why\n",
            );
        };
        let process = ProcessSnapshot::take(self.process_started);
        let text = metrics::render(&snapshot, &broker.unready(), &process);
        (StatusCode::OK, text)
    }
}

fn to_response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'self'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests;
