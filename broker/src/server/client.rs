//! One client: its socket, what it has sent, and how long it may take.
//!
//! ```text
//!  socket ──read──▶ input: │ request that is coming │ read ahead │     answers ──write──▶ socket
//!                           counted by `memory`       ≤ 64 KiB
//!
//!  deadline of a request   idle_max until its first byte, then request_read_max from there;
//!                          the time that it waited for memory is added
//!  pace of a request       looked at each second; while others wait for memory, one that cannot be
//!                          whole in time at the pace of its last second is cut off
//!  deadline of an answer   response_stall_max for each piece of progress, idle_max in all
//! ```
//!
//! Memory grows with the bytes that have come, not with the length that was claimed: the buffer of
//! a request doubles, and what the connection needs beyond its own 64 KiB is asked for first.
//!
//! Invariants:
//! - no wait is without an end: each one is beside a deadline or beside the broker's shutdown;
//! - a deadline that runs out is counted under the limit that it belongs to;
//! - a client that waits for memory is not blamed for the time.
//!
//! What is read while an answer waits ([`Client::while_connected`]) fits in the connection's own
//! memory, so that it never has to be asked for.

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use bytes::{BufMut, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Limits;
use super::memory::{Need, OWN_BYTES, RequestMemory, Room};
use super::notices::Notices;
use super::output::Output;
use super::pace::Pace;
use super::serve::{Close, ServerContext};
use crate::counters::Limit;

/// Bytes to make room for before reading.
const READ_BYTES: usize = 8 << 10;

/// What the connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: ServerContext,
    pub(super) limits: Limits,
    pub(super) memory: RequestMemory,
    pub(super) notices: Notices,
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    input: BytesMut,
    /// The memory of the input.
    room: Room,
    shared: Arc<Shared>,
}

/// A request that is on its way.
#[derive(Debug)]
pub(super) struct Reading {
    /// When its first byte came; before that, when the wait for it began.
    began: Monotonic,
    /// The limit that is exceeded if it does not come.
    limit: Limit,
    deadline: Monotonic,
    pace: Pace,
}

impl Reading {
    /// The wait for a request begins.
    pub(super) fn begin(client: &Client) -> Self {
        let now = client.now();
        Self {
            began: now,
            limit: Limit::IdleTime,
            deadline: client.in_time(client.shared.limits.idle_max),
            pace: Pace::from(now),
        }
    }

    /// The first byte has come.
    fn start(&mut self, client: &Client) {
        self.limit = Limit::RequestReadTime;
        self.deadline = client.in_time(client.shared.limits.request_read_max);
        self.began = client.now();
        self.pace = Pace::from(self.began);
    }

    /// The client was kept waiting, which is not its fault.
    fn excuse(&mut self, waited: Duration, now: Monotonic) {
        self.deadline = Monotonic(self.deadline.0.saturating_add(waited));
        self.pace = Pace::from(now);
    }
}

impl Client {
    pub(super) fn new(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            address,
            input: BytesMut::new(),
            room: Room::default(),
            shared,
        }
    }

    /// Where it connects from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has sent, from the first request that was not taken yet.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    /// The same, to take a request from.
    pub(crate) fn input_mut(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn context(&self) -> &ServerContext {
        &self.shared.context
    }

    /// Leaves a line in the log for the owner of this client, `kind` being what it has in common
    /// with others: a line like it is left out for a minute.
    pub(crate) fn warn(&self, kind: &'static str, text: impl Display) {
        let (address, now) = (self.address, self.now());
        let text = format_args!("{address}{text}");
        self.shared.notices.warn(now, kind, address.ip(), text);
    }

    /// The client has exceeded a limit, which costs it the connection.
    pub(crate) fn exceeded(&self, limit: Limit, reason: &str) -> Close {
        self.context().counters.rejected(limit);
        Close::from(format_args!("{}: {reason}", limit.info().name))
    }

    /// Waits for `work`, or until the client hangs up: then the work is dropped.
    ///
    /// Further requests are read ahead meanwhile: there is no other way to notice the end.
    pub(crate) async fn while_connected<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Close> {
        let mut work = pin!(work);
        loop {
            let room = OWN_BYTES.saturating_sub(self.input.len());
            let mut ahead = (&mut self.input).limit(room);
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                read = self.stream.read_buf(&mut ahead), if room > 0 => {
                    let count = read?;
                    if count == 0 {
                        return Err(Close::from("the client hung up while its request waited"));
                    }
                    self.context().counters.received_bytes.add(count as u64);
                }
            }
        }
    }

    /// Reads more of a request that claims to be `claimed` bytes long, or waits for it.
    pub(super) async fn read(
        &mut self,
        reading: &mut Reading,
        claimed: usize,
    ) -> Result<(), Close> {
        if reading.limit == Limit::IdleTime && !self.input.is_empty() {
            reading.start(self);
        }
        let more = self.make_room(reading, claimed).await?;
        self.read_some(more, reading, claimed).await
    }

    /// Makes room for more input, and returns for how much.
    ///
    /// Beyond what every connection has, the room is as large as what has come.
    async fn make_room(&mut self, reading: &mut Reading, claimed: usize) -> Result<usize, Close> {
        let wanted = claimed.saturating_sub(self.input.len());
        // What a kept buffer has room for anyway is read at once.
        let at_once = self.room.bytes_beyond(self.input.len()).max(OWN_BYTES);
        let more = wanted.clamp(READ_BYTES, at_once);
        let need = Need {
            began: reading.began,
            length: claimed,
        };
        let bytes = self.input.len() + more;
        let before = self.now();
        let has_waited = tokio::select! {
            biased;
            has_waited = self.shared.memory.grow(&mut self.room, bytes, need) => has_waited,
            () = self.shared.context.shut_down() => return Err(Close::shutdown()),
        };
        if has_waited {
            let now = self.now();
            reading.excuse(now.0.saturating_sub(before.0), now);
        }
        self.input.reserve(more);
        Ok(more)
    }

    async fn read_some(
        &mut self,
        more: usize,
        reading: &mut Reading,
        claimed: usize,
    ) -> Result<(), Close> {
        let pause = if self.room.is_lent() {
            reading.deadline.min(reading.pace.ends())
        } else {
            reading.deadline
        };
        let context = &self.shared.context;
        let mut room = (&mut self.input).limit(more);
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut room) => match read? {
                0 => Err(Close::from("the client hung up")),
                count => {
                    reading.pace.add(count);
                    context.counters.received_bytes.add(count as u64);
                    Ok(())
                }
            },
            () = context.shut_down() => Err(Close::shutdown()),
            () = context.clock.sleep_until(pause) => self.check_pace(reading, claimed),
        }
    }

    /// The client has been silent for a while: its time is up, or it holds memory that others wait
    /// for.
    fn check_pace(&mut self, reading: &mut Reading, claimed: usize) -> Result<(), Close> {
        let now = self.now();
        if now >= reading.deadline {
            return Err(self.exceeded(reading.limit, "no request in time"));
        }
        if now < reading.pace.ends() {
            return Ok(());
        }
        if self.input.is_empty() {
            self.shrink();
        } else if self.shared.memory.is_short() {
            let missing = claimed.saturating_sub(self.input.len());
            let left = reading.deadline.0.saturating_sub(now.0);
            if reading.pace.is_too_slow(now, missing, left) {
                let reason = "too slow to arrive in time while others wait for its memory";
                let text = format_args!(": cut off a request of {claimed} bytes: {reason}");
                self.warn("slow", text);
                return Err(self.exceeded(reading.limit, reason));
            }
        }
        reading.pace = Pace::from(now);
        Ok(())
    }

    /// Gives memory back if it is scarce, now that the request that took it is answered.
    pub(super) fn return_memory(&mut self) {
        if self.shared.memory.wants_back(&self.room) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.input = BytesMut::from(&self.input[..]);
        self.room = Room::default();
    }

    /// Writes all of an answer. A client that does not read is cut off: when it has read nothing
    /// for a while, and when one answer takes longer than it may be silent.
    pub(super) async fn write(&mut self, output: &mut Output) -> Result<(), Close> {
        let in_all = self.in_time(self.shared.limits.idle_max);
        while !output.is_empty() {
            let stall = (
                self.in_time(self.shared.limits.response_stall_max),
                Limit::ResponseStallTime,
            );
            let (deadline, limit) = stall.min((in_all, Limit::IdleTime));
            let written = tokio::select! {
                biased;
                written = output.write_to(&mut self.stream) => written?,
                () = self.shared.context.clock.sleep_until(deadline) => {
                    return Err(self.exceeded(limit, "the client does not read its answer"));
                }
            };
            self.context().counters.sent_bytes.add(written as u64);
        }
        output.reset();
        Ok(())
    }

    fn now(&self) -> Monotonic {
        self.shared.context.clock.monotonic()
    }

    fn in_time(&self, patience: Duration) -> Monotonic {
        Monotonic(self.now().0.saturating_add(patience))
    }
}
