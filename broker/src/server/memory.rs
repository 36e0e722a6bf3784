//! Memory for requests that are being read or answered: `queued.max.request.bytes`.
//!
//! ```text
//!  a connection's buffer:   64 KiB of its own, for reading ahead │ what has come: counted here
//!
//!  all is lent? ─▶ wait for what others give back: the request that can be whole first goes first
//!               └▶ or be the one that may exceed the limit, until its request is answered
//! ```
//!
//! A request is counted as its bytes arrive, never by the length that it claims: a client that
//! sends half of a large request holds half of it.
//!
//! Connections that each hold half of a request, and wait for memory to read the other half, would
//! deadlock. So one of them at a time may exceed the limit: it finishes, and returns what it holds.
//! The total never exceeds this limit plus one request plus 64 KiB for each connection.
//!
//! Clients that stop in the middle would hold up all others until `request.read.max.ms` is over. So
//! while another connection waits for memory, a request that cannot be whole in time at the pace of
//! its last second ([`Pace`](super::pace::Pace)) is cut off at once; what it held goes to those
//! that wait.
//!
//! Waiting connections are served in the order of the time when their requests could be whole if
//! each client sent [`FAIR_BYTES_PER_SECOND`] from its first byte on: small requests go before
//! large ones that began at the same time, and a large one does not wait forever.
//!
//! A buffer is kept for the next request while less than half of the memory is lent, so that a busy
//! producer does not ask the kernel for pages each time; a connection that is idle for a second
//! returns it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::counters::{Counters, Limit};

/// What each connection has without asking; it reads ahead that far.
pub(super) const OWN_BYTES: usize = 64 << 10;
/// A connection keeps at most this much for its next request.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// The pace that decides the order of those who wait.
const FAIR_BYTES_PER_SECOND: u64 = 4 << 20;

/// The memory of a listener.
#[derive(Clone, Debug)]
pub(super) struct RequestMemory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    ledger: Mutex<Ledger>,
    counters: Arc<Counters>,
}

/// What is lent, and who waits.
#[derive(Debug)]
struct Ledger {
    free: usize,
    /// Whether one connection exceeds the limit now.
    is_beyond: bool,
    waiting: BTreeMap<Turn, Waiter>,
    /// Makes turns differ.
    next_number: u64,
}

/// When a request could be whole, and a number that makes turns differ.
type Turn = (Duration, u64);

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Grant>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    Lent,
    Beyond,
}

/// A connection's share of the memory.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The size that its buffer may grow to.
    bytes: usize,
    lent: Option<Lent>,
}

/// Returned when it is dropped.
#[derive(Debug)]
struct Lent {
    bytes: usize,
    is_beyond: bool,
    shared: Arc<Shared>,
}

/// A request that needs memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// When its first byte came.
    pub(super) began: Monotonic,
    /// The length that it claims.
    pub(super) length: usize,
}

impl Need {
    fn due(self) -> Duration {
        let millis = self.length as u64 * 1000 / FAIR_BYTES_PER_SECOND;
        self.began.0.saturating_add(Duration::from_millis(millis))
    }
}

impl RequestMemory {
    /// `total` bytes.
    pub(super) fn new(total: usize, counters: Arc<Counters>) -> Self {
        let ledger = Ledger {
            free: total,
            is_beyond: false,
            waiting: BTreeMap::new(),
            next_number: 0,
        };
        let shared = Shared {
            total,
            ledger: Mutex::new(ledger),
            counters,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes a room hold `bytes`, once that many are free; returns whether it had to wait. May be
    /// dropped while it waits.
    pub(super) async fn grow(&self, room: &mut Room, bytes: usize, need: Need) -> bool {
        let more = bytes.saturating_sub(room.bytes.max(OWN_BYTES));
        let mut has_waited = false;
        if more > 0 && !room.is_beyond() {
            let grant = match self.ask(more, need) {
                Ok(grant) => grant,
                Err(waiting) => {
                    self.shared.counters.rejected(Limit::QueuedRequestBytes);
                    has_waited = true;
                    waiting.granted().await
                }
            };
            self.hand_out(room, more, grant);
        }
        room.bytes = room.bytes.max(bytes);
        has_waited
    }

    /// Takes what is free, or waits for its turn.
    fn ask(&self, bytes: usize, need: Need) -> Result<Grant, Waiting> {
        let mut ledger = self.shared.ledger.lock();
        if bytes <= ledger.free {
            ledger.free -= bytes;
            return Ok(Grant::Lent);
        }
        let (granted, receiver) = oneshot::channel();
        let turn = (need.due(), ledger.next_number);
        ledger.next_number += 1;
        ledger.waiting.insert(turn, Waiter { bytes, granted });
        // Perhaps as the one that exceeds the limit.
        ledger.serve();
        Err(Waiting {
            turn,
            bytes,
            receiver: Some(receiver),
            shared: Arc::clone(&self.shared),
        })
    }

    fn hand_out(&self, room: &mut Room, bytes: usize, grant: Grant) {
        let lent = room.lent.get_or_insert_with(|| Lent {
            bytes: 0,
            is_beyond: false,
            shared: Arc::clone(&self.shared),
        });
        match grant {
            Grant::Lent => {
                lent.bytes += bytes;
                let gauge = &self.shared.counters.queued_request_bytes;
                gauge.add(bytes as u64);
            }
            Grant::Beyond => lent.is_beyond = true,
        }
    }

    /// Whether a connection waits.
    pub(super) fn is_short(&self) -> bool {
        !self.shared.ledger.lock().waiting.is_empty()
    }

    /// Whether the buffer of a room should not be kept, now that its request is answered.
    pub(super) fn wants_back(&self, room: &Room) -> bool {
        let is_scarce = || self.shared.ledger.lock().free < self.shared.total / 2;
        room.bytes > KEPT_BYTES_MAX || room.is_beyond() || (room.is_lent() && is_scarce())
    }
}

impl Room {
    /// Whether it has more than every connection has of its own.
    pub(super) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// By how much its buffer may exceed `bytes`.
    pub(super) fn bytes_beyond(&self, bytes: usize) -> usize {
        self.bytes.saturating_sub(bytes)
    }

    fn is_beyond(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.is_beyond)
    }
}

impl Ledger {
    /// Lends what is free to those who wait and for whom it is enough, in the order of their turns;
    /// lets the first of the rest exceed the limit, if no other connection does.
    fn serve(&mut self) {
        let free = &mut self.free;
        self.waiting.retain(|_, waiter| {
            if waiter.bytes > *free {
                return true;
            }
            if waiter.grant(Grant::Lent) {
                *free -= waiter.bytes;
            }
            false
        });
        while !self.is_beyond
            && let Some((_, mut waiter)) = self.waiting.pop_first()
        {
            self.is_beyond = waiter.grant(Grant::Beyond);
        }
    }
}

impl Waiter {
    /// False if it no longer waits.
    fn grant(&mut self, grant: Grant) -> bool {
        let (unused, _) = oneshot::channel();
        std::mem::replace(&mut self.granted, unused)
            .send(grant)
            .is_ok()
    }
}

/// A connection that waits for its turn. If it is dropped, what it was granted goes to others.
struct Waiting {
    turn: Turn,
    bytes: usize,
    receiver: Option<oneshot::Receiver<Grant>>,
    shared: Arc<Shared>,
}

impl Waiting {
    async fn granted(mut self) -> Grant {
        let receiver = self.receiver.as_mut().expect("it is taken below");
        let grant = receiver
            .await
            .expect("a waiter is granted or dropped by itself");
        self.receiver = None;
        grant
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        let mut ledger = self.shared.ledger.lock();
        ledger.waiting.remove(&self.turn);
        match receiver.try_recv() {
            Ok(Grant::Lent) => ledger.free += self.bytes,
            Ok(Grant::Beyond) => ledger.is_beyond = false,
            Err(_) => return,
        }
        ledger.serve();
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let gauge = &self.shared.counters.queued_request_bytes;
        gauge.sub(self.bytes as u64);
        let mut ledger = self.shared.ledger.lock();
        ledger.free += self.bytes;
        if self.is_beyond {
            ledger.is_beyond = false;
        }
        ledger.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(total: usize) -> RequestMemory {
        RequestMemory::new(total, Arc::default())
    }

    fn need(began_secs: u64, length: usize) -> Need {
        Need {
            began: Monotonic(Duration::from_secs(began_secs)),
            length,
        }
    }

    async fn room(memory: &RequestMemory, counted: usize) -> Room {
        let mut room = Room::default();
        let bytes = OWN_BYTES + counted;
        memory.grow(&mut room, bytes, need(0, bytes)).await;
        room
    }

    fn lent(memory: &RequestMemory) -> u64 {
        memory.shared.counters.queued_request_bytes.get()
    }

    fn waits(memory: &RequestMemory) -> u64 {
        memory.shared.counters.rejections(Limit::QueuedRequestBytes)
    }

    fn free(memory: &RequestMemory) -> usize {
        memory.shared.ledger.lock().free
    }

    /// A connection that asks for `counted` bytes, and has to wait.
    async fn asks(
        memory: &RequestMemory,
        counted: usize,
        need: Need,
    ) -> tokio::task::JoinHandle<Room> {
        let before = waits(memory);
        let asking = tokio::spawn({
            let memory = memory.clone();
            async move {
                let mut room = Room::default();
                memory.grow(&mut room, OWN_BYTES + counted, need).await;
                room
            }
        });
        while waits(memory) == before {
            tokio::task::yield_now().await;
        }
        asking
    }

    #[tokio::test]
    async fn small_requests_are_not_counted_and_large_ones_as_they_grow() {
        let memory = memory(1000);
        let mut room = room(&memory, 0).await;
        assert_eq!(lent(&memory), 0);
        for (bytes, expected) in [(OWN_BYTES + 10, 10), (5, 10), (OWN_BYTES + 600, 600)] {
            memory.grow(&mut room, bytes, need(0, bytes)).await;
            assert_eq!(lent(&memory), expected);
        }
        drop(room);
        assert_eq!((lent(&memory), waits(&memory)), (0, 0));
    }

    #[tokio::test]
    async fn one_goes_beyond_and_the_others_wait_for_what_is_given_back() {
        let memory = memory(1000);
        let mut first = room(&memory, 600).await;
        let second = room(&memory, 400).await;
        // The only one that has to wait is the one that may go on.
        memory
            .grow(&mut first, OWN_BYTES + 5000, need(0, 5000))
            .await;
        assert_eq!((lent(&memory), waits(&memory)), (1000, 1));
        assert!(!memory.is_short());
        let third = asks(&memory, 300, need(0, 300)).await;
        assert!(memory.is_short() && !third.is_finished());
        drop(second);
        let third = third.await.unwrap();
        assert_eq!(lent(&memory), 900);
        drop((first, third));
        assert_eq!(lent(&memory), 0);
        assert_eq!(free(&memory), 1000);
    }

    /// The rows of what is asked for while nothing is free: (bytes, began, length), and the order
    /// in which they are served when the one beyond ends.
    #[tokio::test]
    async fn small_requests_go_first_and_large_ones_do_not_wait_for_ever() {
        let memory = memory(1000);
        let all = room(&memory, 1000).await;
        let beyond = room(&memory, 1).await;
        let large = 100 << 20;
        let mut asking = Vec::new();
        for (name, need) in [
            ("large", need(10, large)),
            ("small, long after it", need(40, 1000)),
            ("small, soon after it", need(12, 1000)),
        ] {
            asking.push((name, asks(&memory, 500, need).await));
        }
        drop(beyond);
        let mut order = Vec::new();
        for _ in 0..3 {
            // Only one may go beyond, so that exactly one is done at a time.
            let done = loop {
                tokio::task::yield_now().await;
                if let Some(at) = asking.iter().position(|(_, task)| task.is_finished()) {
                    break at;
                }
            };
            let (name, task) = asking.remove(done);
            order.push(name);
            drop(task.await.unwrap());
        }
        let expected = ["small, soon after it", "large", "small, long after it"];
        assert_eq!(order, expected);
        drop(all);
        assert_eq!(free(&memory), 1000);
    }

    #[tokio::test]
    async fn a_large_need_does_not_hold_up_one_for_which_there_is_enough() {
        let memory = memory(1000);
        let mut holders = vec![room(&memory, 900).await, room(&memory, 200).await];
        let large = asks(&memory, 500, need(0, 1 << 20)).await;
        let small = room(&memory, 100).await;
        assert!(!large.is_finished());
        drop((small, holders.pop()));
        drop(large.await.unwrap());
        drop(holders);
        assert_eq!((free(&memory), lent(&memory)), (1000, 0));
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_takes_nothing_along() {
        let memory = memory(1000);
        let all = room(&memory, 1000).await;
        let beyond = room(&memory, 1).await;
        // Gone while it waits; and gone with a grant that it has not seen.
        asks(&memory, 500, need(0, 500)).await.abort();
        while memory.is_short() {
            tokio::task::yield_now().await;
        }
        let waiting = memory.ask(500, need(0, 500)).err().unwrap();
        drop(all);
        assert_eq!(free(&memory), 500, "it was granted");
        drop(waiting);
        assert_eq!(free(&memory), 1000);
        drop(beyond);
        let all = room(&memory, 1000).await;
        let waiting = memory.ask(500, need(0, 500)).err().unwrap();
        assert!(memory.shared.ledger.lock().is_beyond);
        drop(waiting);
        assert!(!memory.shared.ledger.lock().is_beyond);
        drop(all);
        assert_eq!(free(&memory), 1000);
    }

    #[tokio::test]
    async fn a_buffer_is_kept_while_most_of_the_memory_is_free() {
        let memory = memory(4 << 20);
        let mut some = room(&memory, 1 << 20).await;
        assert!(!memory.wants_back(&some));
        let more = room(&memory, (1 << 20) + 1).await;
        assert!(memory.wants_back(&some) && memory.wants_back(&more));
        assert!(
            !memory.wants_back(&room(&memory, 0).await),
            "it has nothing"
        );
        drop(more);
        let too_large = KEPT_BYTES_MAX + 1;
        memory.grow(&mut some, too_large, need(0, too_large)).await;
        assert!(memory.wants_back(&some), "too large to keep");
    }
}
