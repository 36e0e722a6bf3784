//! One connection: frames in, answers out, in order.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use brooklet_protocol::frame::{FrameError, split_frame};
use brooklet_protocol::messages::{
    ApiKey, MessageError, Request, RequestKind, Response, decode_request, encode_response_in_pieces,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Limits;
use super::admission::Place;
use super::memory::{Need, OWN_BYTES, Pace, RequestMemory, Room};
use super::mistakes::{self, Mistake};
use super::notices::Notices;
use crate::api::{self, ApiContext, table};
use crate::counters::Limit;

/// An answer's buffer is kept for the next one unless it has grown beyond this.
const OUTPUT_BYTES_KEPT: usize = 64 << 10;
/// Slices in one system call; Linux takes 1024.
const PIECES_AT_ONCE: usize = 64;
/// Bytes to make room for before reading.
const READ_BYTES: usize = 8 << 10;
/// Bytes of what is no request that are shown to the owner of the client.
const STRANGE_BYTES_MAX: usize = 16;

/// What the connections of a listener share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) memory: RequestMemory,
    pub(super) notices: Arc<Notices>,
}

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    place: Arc<Place>,
    ctx: ApiContext,
    limits: Limits,
    memory: RequestMemory,
    notices: Arc<Notices>,
    /// Whether a complete frame has come.
    is_heard: bool,
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

/// A request that is on its way.
struct Reading {
    /// When its first byte came; before that, when it began to be waited for.
    began: Monotonic,
    /// What it runs into if it does not come.
    limit: Limit,
    deadline: Monotonic,
    pace: Pace,
}

impl<E: Display> From<E> for Close {
    fn from(reason: E) -> Self {
        Self(reason.to_string())
    }
}

impl Connection {
    pub(super) fn new(
        (stream, peer): (TcpStream, SocketAddr),
        place: Arc<Place>,
        ctx: &ApiContext,
        shared: &Shared,
    ) -> Self {
        Self {
            stream,
            peer,
            place,
            ctx: ApiContext {
                peer: Some(peer.ip()),
                ..ctx.clone()
            },
            limits: shared.limits,
            memory: shared.memory.clone(),
            notices: Arc::clone(&shared.notices),
            is_heard: false,
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
        let now = self.ctx.clock.monotonic();
        let mut reading = Reading {
            began: now,
            limit: Limit::IdleTime,
            deadline: self.in_time(self.limits.idle_max),
            pace: Pace::from(now),
        };
        loop {
            if *self.ctx.shutdown.borrow() {
                return Err(Close::from("the broker shuts down"));
            }
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            if reading.limit == Limit::IdleTime && !self.input.is_empty() {
                reading.limit = Limit::RequestReadTime;
                reading.deadline = self.in_time(self.limits.request_read_max);
                reading.began = self.ctx.clock.monotonic();
                reading.pace = Pace::from(reading.began);
            }
            let more = self.make_room(&mut reading).await?;
            self.read_more(more, &mut reading).await?;
        }
    }

    /// The frame that stands first in the input, once it is complete.
    fn take_frame(&mut self) -> Result<Option<Bytes>, Close> {
        if !self.is_heard
            && let Some(mistake) = mistakes::recognize(&self.input)
        {
            self.ctx.counters.malformed_requests.add(1);
            return Err(self.misled(&mistake, None));
        }
        match split_frame(&mut self.input, self.limits.request_bytes_max) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => {
                if !self.is_heard && !self.place.is_heard() {
                    return Err(Close::from("it made room for another connection"));
                }
                self.is_heard = true;
                Ok(Some(frame))
            }
            Err(error) => Err(self.no_frame(&error)),
        }
    }

    /// What is there cannot become a frame.
    fn no_frame(&self, error: &FrameError) -> Close {
        let strange = Mistake::Strange {
            bytes: self.input[..self.input.len().min(STRANGE_BYTES_MAX)].to_vec(),
        };
        match *error {
            FrameError::TooLarge { length, limit } => {
                let too_large = Mistake::TooLarge { length, limit };
                let mistake = if self.is_heard { too_large } else { strange };
                drop(self.misled(&mistake, None));
                self.over(Limit::RequestBytes, &error.to_string())
            }
            FrameError::Negative(_) => {
                self.ctx.counters.malformed_requests.add(1);
                self.misled(&strange, None)
            }
        }
    }

    /// Makes room for more input, and returns for how much.
    ///
    /// Room grows with the bytes that came, not with the length that was claimed: beyond what every
    /// connection has, it is what has come.
    async fn make_room(&mut self, reading: &mut Reading) -> Result<usize, Close> {
        let claimed = self.claimed_length();
        let wanted = claimed.saturating_sub(self.input.len());
        // What a kept buffer has room for anyway is read at once.
        let at_once = self.room.bytes_beyond(self.input.len()).max(OWN_BYTES);
        let more = wanted.clamp(READ_BYTES, at_once);
        let need = Need {
            began: reading.began,
            length: claimed,
        };
        let bytes = self.input.len() + more;
        let before = self.ctx.clock.monotonic();
        let has_waited = tokio::select! {
            biased;
            has_waited = self.memory.grow(&mut self.room, bytes, need) => has_waited,
            () = self.ctx.shut_down() => return Err(Close::from("the broker shuts down")),
        };
        if has_waited {
            // It is not the client's fault.
            let now = self.ctx.clock.monotonic();
            let waited = now.0.saturating_sub(before.0);
            reading.deadline = Monotonic(reading.deadline.0.saturating_add(waited));
            reading.pace = Pace::from(now);
        }
        self.input.reserve(more);
        Ok(more)
    }

    /// The bytes that the first frame in the input will have, as far as that is known.
    fn claimed_length(&self) -> usize {
        let length = self.input.first_chunk().map(|l| u32::from_be_bytes(*l));
        length.map_or(0, |length| 4 + length as usize)
    }

    async fn read_more(&mut self, more: usize, reading: &mut Reading) -> Result<(), Close> {
        let pause = if self.room.is_lent() {
            reading.deadline.min(reading.pace.ends())
        } else {
            reading.deadline
        };
        let mut room = (&mut self.input).limit(more);
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut room) => match read? {
                0 => Err(Close::from("the client hung up")),
                count => {
                    reading.pace.add(count);
                    self.ctx.counters.received_bytes.add(count as u64);
                    Ok(())
                }
            },
            () = self.ctx.shut_down() => Err(Close::from("the broker shuts down")),
            () = self.ctx.clock.sleep_until(pause) => self.look_at_pace(reading),
        }
    }

    /// The client has been silent for a while: its time is over, or it holds memory that others wait for.
    fn look_at_pace(&mut self, reading: &mut Reading) -> Result<(), Close> {
        let now = self.ctx.clock.monotonic();
        if now >= reading.deadline {
            return Err(self.over(reading.limit, "no request in time"));
        }
        if now < reading.pace.ends() {
            return Ok(());
        }
        if self.input.is_empty() {
            self.give_back();
        } else if self.memory.is_short() {
            let missing = self.claimed_length().saturating_sub(self.input.len());
            let left = reading.deadline.0.saturating_sub(now.0);
            if reading.pace.is_too_slow(now, missing, left) {
                let reason = "too slow to be there in time, and others wait for its memory";
                let (peer, length) = (self.peer, self.claimed_length());
                let text = format_args!("{peer}: a request of {length} bytes is cut off: {reason}");
                self.notices.warn(now, "slow", peer.ip(), text);
                return Err(self.over(reading.limit, reason));
            }
        }
        reading.pace = Pace::from(now);
        Ok(())
    }

    /// Gives memory back, now that the request that took it is gone.
    fn settle(&mut self) {
        if self.memory.wants_back(&self.room) {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.input = BytesMut::from(&self.input[..]);
        self.room = Room::default();
    }

    /// The client has to be set up in another way: its owner finds a line in the log.
    fn misled(&self, mistake: &Mistake, client_id: Option<String>) -> Close {
        let peer = self.peer;
        let line = mistake.line(self.ctx.settings.http_address);
        let named = client_id.map_or_else(String::new, |id| format!(" (client.id {id})"));
        let now = self.ctx.clock.monotonic();
        let text = format_args!("{peer}{named}: {line}");
        self.notices.warn(now, mistake.kind(), peer.ip(), text);
        Close(line)
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
        let (correlation_id, request) = match decode_request(frame.clone()) {
            Ok(decoded) => decoded,
            // The one request whose unknown versions are answered (KIP-511).
            Err(MessageError::UnknownVersion {
                api: ApiKey::ApiVersions,
                correlation_id,
                ..
            }) => {
                return self.put(correlation_id, 0, api::unsupported_version());
            }
            Err(error) => return Err(self.refused(error, &frame)),
        };
        let client_id = || mistakes::client_id(&frame);
        if let RequestKind::SaslHandshake(handshake) = &request.body {
            let mechanism = handshake.mechanism.to_string();
            drop(self.misled(&Mistake::Sasl { mechanism }, client_id()));
        }
        let (api, version) = (request.api(), request.version);
        if !table::is_served(api as i16, version) {
            let error = MessageError::UnknownVersion {
                api,
                version,
                correlation_id,
            };
            return Err(self.refused(error, &frame));
        }
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

    /// The frame is no request that is served.
    fn refused(&self, error: MessageError, frame: &[u8]) -> Close {
        self.ctx.counters.malformed_requests.add(1);
        if mistakes::is_zookeeper(frame) {
            return self.misled(&Mistake::ZooKeeper, None);
        }
        self.misled(&Mistake::Refused(error), mistakes::client_id(frame))
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
            // Further requests are read ahead, to notice the end.
            let room = OWN_BYTES.saturating_sub(self.input.len());
            let mut ahead = (&mut self.input).limit(room);
            tokio::select! {
                biased;
                response = &mut dispatched => return Ok(response?),
                read = self.stream.read_buf(&mut ahead), if room > 0 => {
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
