//! One connection: frames in, answers out, in order.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use brooklet_protocol::frame::{FrameError, split_frame};
use brooklet_protocol::messages::{
    ApiKey, MessageError, Request, RequestKind, Response, decode_request, encode_response_in_pieces,
};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Limits;
use super::memory::{RequestMemory, Room};
use crate::api::{self, ApiContext};
use crate::clock::Monotonic;
use crate::counters::Limit;

/// An answer's buffer is kept for the next one unless it has grown beyond this.
const OUTPUT_BYTES_KEPT: usize = 64 << 10;
/// Slices in one system call; Linux takes 1024.
const PIECES_AT_ONCE: usize = 64;
/// Bytes to make room for before reading.
const READ_BYTES: usize = 8 << 10;
/// While a fetch waits, so many bytes of further requests are read ahead, to notice the end.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    ctx: ApiContext,
    limits: Limits,
    memory: RequestMemory,
    input: BytesMut,
    /// The memory of the input.
    room: Room,
    /// Where answers are encoded.
    encoding: BytesMut,
    /// The answer that is being sent, in pieces: records are lent from the log.
    output: VecDeque<Bytes>,
}

/// Why a connection ends; logged at level debug, because clients come and go.
struct Close(String);

impl<E: Display> From<E> for Close {
    fn from(reason: E) -> Self {
        Self(reason.to_string())
    }
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        ctx: &ApiContext,
        (limits, memory): (Limits, RequestMemory),
    ) -> Self {
        Self {
            stream,
            peer,
            ctx: ApiContext {
                peer: Some(peer.ip()),
                ..ctx.clone()
            },
            limits,
            memory,
            input: BytesMut::new(),
            room: Room::default(),
            encoding: BytesMut::new(),
            output: VecDeque::new(),
        }
    }

    /// Serves until the client hangs up, misbehaves, or the broker shuts down.
    pub(super) async fn run(mut self) {
        let peer = self.peer;
        let Err(Close(reason)) = self.serve().await;
        tracing::debug!("{peer}: connection closed: {reason}");
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Close> {
        loop {
            let frame = self.read_frame().await?;
            self.answer(frame).await?;
            self.settle();
            self.write_output().await?;
        }
    }

    /// The next request, as bytes.
    async fn read_frame(&mut self) -> Result<Bytes, Close> {
        let mut limit = Limit::IdleTime;
        let mut deadline = self.in_time(self.limits.idle_max);
        loop {
            if *self.ctx.shutdown.borrow() {
                return Err(Close::from("the broker shuts down"));
            }
            match split_frame(&mut self.input, self.limits.request_bytes_max) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error @ FrameError::TooLarge { .. }) => {
                    return Err(self.over(Limit::RequestBytes, &error.to_string()));
                }
                Err(error) => {
                    self.ctx.counters.malformed_requests.add(1);
                    return Err(error.into());
                }
            }
            if limit == Limit::IdleTime && !self.input.is_empty() {
                limit = Limit::RequestReadTime;
                deadline = self.in_time(self.limits.request_read_max);
            }
            // It is not the client's fault that it waits.
            deadline = Monotonic(deadline.0.saturating_add(self.make_room().await?));
            self.read_more(limit, deadline).await?;
        }
    }

    /// Makes room for more input; gives the time that this took.
    ///
    /// Room grows with the bytes that came, not with the length that was claimed.
    async fn make_room(&mut self) -> Result<Duration, Close> {
        let claimed = self.input.first_chunk().map(|l| u32::from_be_bytes(*l));
        let wanted = claimed.map_or(0, |length| 4 + length as usize - self.input.len());
        let more = wanted.min(self.input.len()).max(READ_BYTES);
        let bytes = self.input.len() + more;
        let began = self.ctx.clock.monotonic();
        tokio::select! {
            biased;
            () = self.memory.grow(&mut self.room, bytes) => {}
            () = self.ctx.shut_down() => return Err(Close::from("the broker shuts down")),
        }
        self.input.reserve(more);
        Ok(self.ctx.clock.monotonic().0.saturating_sub(began.0))
    }

    async fn read_more(&mut self, limit: Limit, deadline: Monotonic) -> Result<(), Close> {
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => match read? {
                0 => Err(Close::from("the client hung up")),
                count => {
                    self.ctx.counters.received_bytes.add(count as u64);
                    Ok(())
                }
            },
            () = self.ctx.shut_down() => Err(Close::from("the broker shuts down")),
            () = self.ctx.clock.sleep_until(deadline) => Err(self.over(limit, "no request in time")),
        }
    }

    /// Gives memory back, now that the request that took it is gone.
    fn settle(&mut self) {
        if self.memory.wants_back(&self.room) {
            self.input = BytesMut::from(&self.input[..]);
            self.room = Room::default();
        }
    }

    /// A client that does not read its answers is cut off: when it has read nothing for a while, and
    /// when it takes longer for one answer than it might be silent.
    async fn write_output(&mut self) -> Result<(), Close> {
        let in_all = self.in_time(self.limits.idle_max);
        while !self.output.is_empty() {
            let stall = (
                self.in_time(self.limits.response_stall_max),
                Limit::ResponseStallTime,
            );
            let (deadline, limit) = stall.min((in_all, Limit::IdleTime));
            let written = tokio::select! {
                biased;
                written = write_pieces(&mut self.stream, &mut self.output) => written?,
                () = self.ctx.clock.sleep_until(deadline) => {
                    return Err(self.over(limit, "an answer is not read"));
                }
            };
            self.ctx.counters.sent_bytes.add(written as u64);
        }
        // The pieces are gone, and the memory that they were cut from is free again.
        if self.encoding.try_reclaim(OUTPUT_BYTES_KEPT + 1) {
            self.encoding = BytesMut::new();
        }
        Ok(())
    }

    /// The client ran into a limit that costs it the connection.
    fn over(&self, limit: Limit, reason: &str) -> Close {
        self.ctx.counters.rejected(limit);
        Close(format!("{}: {reason}", limit.info().name))
    }

    fn in_time(&self, patience: Duration) -> Monotonic {
        Monotonic(self.ctx.clock.monotonic().0.saturating_add(patience))
    }

    /// Puts the answer to `frame` into the output; nothing, where the client expects nothing.
    async fn answer(&mut self, frame: Bytes) -> Result<(), Close> {
        let (correlation_id, request) = match decode_request(frame) {
            Ok(decoded) => decoded,
            // The one request whose unknown versions are answered (KIP-511).
            Err(MessageError::UnknownVersion {
                api: ApiKey::ApiVersions,
                correlation_id,
                ..
            }) => {
                return self.put(correlation_id, 0, api::unsupported_version());
            }
            Err(error) => {
                self.ctx.counters.malformed_requests.add(1);
                return Err(error.into());
            }
        };
        let version = request.version;
        let is_silent = api::expects_no_response(&request);
        let response = self.dispatch(request).await?;
        if !is_silent {
            return self.put(correlation_id, version, response);
        }
        if api::has_error(&response) {
            return Err(Close::from("a batch sent with acks=0 was refused"));
        }
        Ok(())
    }

    fn put(&mut self, correlation_id: i32, version: i16, response: Response) -> Result<(), Close> {
        let encoding = &mut self.encoding;
        let pieces = encode_response_in_pieces(encoding, correlation_id, version, response)?;
        self.output.extend(pieces);
        Ok(())
    }

    /// A fetch may wait long, and ends early when its client is gone. Everything else runs to its
    /// end: a topic is not left half created because somebody hung up.
    async fn dispatch(&mut self, request: Request) -> Result<Response, Close> {
        let is_fetch = matches!(request.body, RequestKind::Fetch(_));
        let dispatched = api::dispatch(&self.ctx, request);
        if !is_fetch {
            return Ok(dispatched.await?);
        }
        tokio::pin!(dispatched);
        loop {
            tokio::select! {
                biased;
                response = &mut dispatched => return Ok(response?),
                read = self.stream.read_buf(&mut self.input),
                    if self.input.len() < READ_AHEAD_BYTES_MAX =>
                {
                    let count = read?;
                    if count == 0 {
                        return Err(Close::from("the client hung up while its fetch waited"));
                    }
                    self.ctx.counters.received_bytes.add(count as u64);
                }
            }
        }
    }
}

/// Sends of the pieces what the socket takes, many with one system call; gives the number of bytes.
async fn write_pieces(stream: &mut TcpStream, pieces: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let slices: Vec<_> = (pieces.iter().take(PIECES_AT_ONCE))
        .map(|piece| IoSlice::new(piece))
        .collect();
    let written = stream.write_vectored(&slices).await?;
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut rest = written;
    while let Some(piece) = pieces.front_mut() {
        if rest < piece.len() {
            piece.advance(rest);
            break;
        }
        rest -= piece.len();
        pieces.pop_front();
    }
    Ok(written)
}
