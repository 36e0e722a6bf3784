//! One connection to one broker: requests go out while earlier ones are still unanswered.
//!
//! ```text
//!  call ──frame──▶ [bounded queue] ──▶ writer task ──▶ socket
//!   ▲                                                    │
//!   └── by correlation id ◀── waiting ◀── reader task ◀──┘
//! ```
//!
//! Every request carries a correlation id, and its answer repeats it. Kafka answers in order, so
//! the id is a check more than a need.
//!
//! Invariants:
//! - `waiting` is `None` exactly when the connection is broken; then every waiting call has failed;
//! - a request that nobody waits for any longer stays in `waiting` until its answer has come, so
//!   that a late answer is recognised and dropped;
//! - a broken connection never heals. The owner makes a new one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use brooklet_protocol::frame::split_frame;
use brooklet_protocol::messages::kafka::{ApiVersionsRequest, ApiVersionsResponse};
use brooklet_protocol::messages::{
    ApiKey, ApiRequest, ErrorCode, Request, RequestKind, Response, StrBytes, decode_response,
    encode_request,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::versions::VersionTable;
use super::{TransportError, address};
use crate::clock::{Clock, within};

/// The largest answer that is read.
const RESPONSE_BYTES_MAX: usize = 128 << 20;
/// Requests that may wait for the writer; more make `call` wait.
const QUEUE_REQUESTS_MAX: usize = 64;
/// Small frames are joined up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// Space in the read buffer below which it grows.
const READ_BYTES_MIN: usize = 16 << 10;
/// The version of ApiVersions that Kafka has answered since 2.4.
const API_VERSIONS_WISH: i16 = 3;

/// The calls that wait for an answer frame, by correlation id.
type Waiting = HashMap<i32, oneshot::Sender<Result<Bytes, String>>>;

/// What the two tasks and the callers share.
#[derive(Debug)]
struct Shared {
    address: String,
    waiting: Mutex<Option<Waiting>>,
}

/// A frame on its way out.
#[derive(Debug)]
struct Outgoing {
    frame: BytesMut,
    /// Completed when the frame has been handed to the socket.
    written: Option<oneshot::Sender<()>>,
}

/// A live connection. Dropping it closes the socket.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Outgoing>,
    correlation_id: AtomicI32,
    versions: VersionTable,
    clock: Arc<dyn Clock>,
    tasks: [JoinHandle<()>; 2],
}

impl Connection {
    /// Connects and asks the broker which versions it serves.
    ///
    /// # Errors
    /// The address is malformed, nobody listens, or the listener is not a Kafka broker.
    pub(super) async fn open(
        address: &str,
        limit: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TransportError> {
        let stream = match within(&*clock, limit, dial(address)).await {
            Some(stream) => stream.map_err(|source| connect_error(address, source))?,
            None => return Err(timed_out(address, limit)),
        };
        let mut connection = Self::over(address, stream, clock);
        connection.versions = VersionTable::new(&connection.ask_versions(limit).await?);
        Ok(connection)
    }

    fn over(address: &str, stream: TcpStream, clock: Arc<dyn Clock>) -> Self {
        let (read, write) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            waiting: Mutex::new(Some(HashMap::new())),
        });
        let reader = tokio::spawn(read_answers(read, Arc::clone(&shared)));
        let writer = tokio::spawn(write_requests(write, queue, Arc::clone(&shared)));
        Self {
            shared,
            outgoing,
            correlation_id: AtomicI32::new(0),
            versions: VersionTable::default(),
            clock,
            tasks: [reader, writer],
        }
    }

    /// Whether no request can succeed on it.
    pub(super) fn is_broken(&self) -> bool {
        self.shared.waiting.lock().is_none()
    }

    /// The version to speak, see [`VersionTable::negotiate`].
    ///
    /// # Errors
    /// There is none.
    pub(super) fn negotiate(&self, api: ApiKey, wish: i16) -> Result<i16, TransportError> {
        self.versions
            .negotiate(api, wish)
            .ok_or_else(|| TransportError::Unsupported {
                address: self.shared.address.clone(),
                api: format!("{api:?} in a version up to {wish}"),
            })
    }

    /// Sends a request in exactly its version and waits for the answer.
    ///
    /// # Errors
    /// Cannot be encoded, connection broken, no answer within `limit`.
    pub(super) async fn ask(
        &self,
        api: ApiKey,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, TransportError> {
        let frame = self.exchange(request, limit).await?;
        self.decode(frame, api, request.version)
    }

    /// Sends a request that has no answer; returns when it is written.
    ///
    /// # Errors
    /// Cannot be encoded, connection broken, not written within `limit`.
    pub(super) async fn send(
        &self,
        request: &Request,
        limit: Duration,
    ) -> Result<(), TransportError> {
        if self.is_broken() {
            return Err(self.broken("it was closed by the broker"));
        }
        let (written, done) = oneshot::channel();
        let (_, frame) = self.encode(request)?;
        let send = async {
            self.enqueue(frame, Some(written)).await?;
            done.await
                .map_err(|_| self.broken("it was closed before the request was written"))
        };
        let outcome = within(&*self.clock, limit, send).await;
        outcome.unwrap_or_else(|| Err(self.give_up(limit)))
    }

    async fn exchange(&self, request: &Request, limit: Duration) -> Result<Bytes, TransportError> {
        let (correlation_id, frame) = self.encode(request)?;
        let (answered, answer) = oneshot::channel();
        match self.shared.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(correlation_id, answered),
            None => return Err(self.broken("it was closed by the broker")),
        };
        let exchange = async {
            self.enqueue(frame, None).await?;
            match answer.await {
                Ok(outcome) => outcome.map_err(|reason| self.broken(&reason)),
                Err(_) => Err(self.broken("it was closed")),
            }
        };
        let outcome = within(&*self.clock, limit, exchange).await;
        outcome.unwrap_or_else(|| Err(self.give_up(limit)))
    }

    fn encode(&self, request: &Request) -> Result<(i32, BytesMut), TransportError> {
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let mut frame = BytesMut::new();
        encode_request(&mut frame, correlation_id, request)
            .map_err(|error| TransportError::Unencodable(error.to_string()))?;
        Ok((correlation_id, frame))
    }

    fn decode(&self, frame: Bytes, api: ApiKey, version: i16) -> Result<Response, TransportError> {
        match decode_response(frame, api, version) {
            Ok((_, response)) => Ok(response),
            Err(error) => {
                let reason = format!("its response to {api:?} cannot be decoded: {error}");
                self.shared.fail_all(&reason);
                Err(self.broken(&reason))
            }
        }
    }

    async fn enqueue(
        &self,
        frame: BytesMut,
        written: Option<oneshot::Sender<()>>,
    ) -> Result<(), TransportError> {
        let queued = self.outgoing.send(Outgoing { frame, written }).await;
        queued.map_err(|_| self.broken("it was closed by the broker"))
    }

    /// Asks for versions. A broker that does not know our version of the question answers in
    /// version 0, with error 35 and (KIP-511) the range that it does know.
    async fn ask_versions(&self, limit: Duration) -> Result<ApiVersionsResponse, TransportError> {
        let mut version = API_VERSIONS_WISH;
        loop {
            let frame = self.exchange(&api_versions_request(version), limit).await?;
            let refused = error_code(&frame) == Some(ErrorCode::UnsupportedVersion.code());
            let spoken = if refused { 0 } else { version };
            let answer = self.decode(frame, ApiKey::ApiVersions, spoken)?;
            let answer = ApiVersionsRequest::from_kind(answer)
                .expect("the decoder makes what it is asked for");
            match ErrorCode::try_from_code(answer.error_code) {
                None => return Ok(answer),
                Some(ErrorCode::UnsupportedVersion) if version > 0 => {
                    let offered = VersionTable::new(&answer);
                    version = offered
                        .negotiate(ApiKey::ApiVersions, version - 1)
                        .unwrap_or(0);
                }
                Some(code) => return Err(self.broken(&format!("ApiVersions: {code:?}"))),
            }
        }
    }

    fn broken(&self, reason: &str) -> TransportError {
        TransportError::Broken {
            address: self.shared.address.clone(),
            reason: reason.to_owned(),
        }
    }

    /// Breaks the connection of a broker that does not answer: what comes later is of no use, and
    /// the requests behind it would wait for it.
    fn give_up(&self, limit: Duration) -> TransportError {
        self.shared
            .fail_all("an earlier request was not answered in time");
        timed_out(&self.shared.address, limit)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// Marks the connection as broken and fails the waiting calls.
    fn fail_all(&self, reason: &str) {
        let waiting = self.waiting.lock().take();
        for (_, answered) in waiting.into_iter().flatten() {
            // A call that was dropped needs no answer.
            answered.send(Err(reason.to_owned())).ok();
        }
    }

    /// Hands a frame to the call that waits for it.
    fn deliver(&self, frame: Bytes) -> Result<(), String> {
        let id = frame
            .first_chunk::<4>()
            .ok_or("it sent a response of less than 4 bytes")?;
        let id = i32::from_be_bytes(*id);
        let mut waiting = self.waiting.lock();
        let waiting = waiting.as_mut().ok_or("it was closed")?;
        let answered = waiting
            .remove(&id)
            .ok_or_else(|| format!("it sent a response to unknown correlation id {id}"))?;
        answered.send(Ok(frame)).ok();
        Ok(())
    }
}

/// The error code that opens every ApiVersions answer, after the correlation id.
fn error_code(frame: &[u8]) -> Option<i16> {
    let code = frame.get(4..)?.first_chunk::<2>()?;
    Some(i16::from_be_bytes(*code))
}

fn api_versions_request(version: i16) -> Request {
    let mut body = ApiVersionsRequest::default();
    if version >= 3 {
        body = body
            .with_client_software_name(StrBytes::from_static_str("brooklet"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    }
    Request {
        version,
        client_id: None,
        body: RequestKind::ApiVersions(body),
    }
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let (host, port) = address::split(address)
        .map_err(|words| io::Error::new(io::ErrorKind::InvalidInput, words))?;
    let stream = TcpStream::connect((host, port)).await?;
    // A request is complete when it is written; waiting for more only costs time.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn write_requests(
    mut socket: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let mut buffer = BytesMut::new();
    let mut completed = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(Outgoing { frame, written }) = next {
            if buffer.is_empty() {
                buffer = frame;
            } else {
                buffer.extend_from_slice(&frame);
            }
            completed.extend(written);
            next = (buffer.len() < WRITE_BYTES)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        if let Err(error) = socket.write_all(&buffer).await {
            return shared.fail_all(&format!("cannot write: {}", in_words(&error)));
        }
        buffer.clear();
        for written in completed.drain(..) {
            written.send(()).ok();
        }
    }
}

async fn read_answers(mut socket: OwnedReadHalf, shared: Arc<Shared>) {
    let mut buffer = BytesMut::with_capacity(WRITE_BYTES);
    let reason = loop {
        match split_frame(&mut buffer, RESPONSE_BYTES_MAX) {
            Ok(Some(frame)) => match shared.deliver(frame) {
                Ok(()) => continue,
                Err(reason) => break reason,
            },
            Ok(None) => {}
            Err(error) => break error.to_string(),
        }
        // Doubles, so that a long answer is copied a bounded number of times; the length an answer
        // claims allocates nothing.
        if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
            buffer.reserve(buffer.len().max(WRITE_BYTES));
        }
        match socket.read_buf(&mut buffer).await {
            Ok(0) if buffer.is_empty() => break "it was closed by the broker".to_owned(),
            Ok(0) => break format!("it was closed {} bytes into a response", buffer.len()),
            Ok(_) => {}
            Err(error) => break format!("cannot read: {}", in_words(&error)),
        }
    };
    shared.fail_all(&reason);
}

/// An error of the system without its number, which says nothing to people.
fn in_words(error: &io::Error) -> String {
    use io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
        HostUnreachable, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    match error.kind() {
        kind @ (AddrNotAvailable | BrokenPipe | ConnectionAborted | ConnectionRefused
        | ConnectionReset | HostUnreachable | NetworkUnreachable | PermissionDenied
        | TimedOut) => kind.to_string(),
        _ => error.to_string(),
    }
}

fn connect_error(address: &str, source: io::Error) -> TransportError {
    TransportError::Connect {
        address: address.to_owned(),
        source: io::Error::new(source.kind(), in_words(&source)),
    }
}

fn timed_out(address: &str, limit: Duration) -> TransportError {
    TransportError::TimedOut {
        address: address.to_owned(),
        timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
    }
}
