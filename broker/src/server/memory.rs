//! Memory for requests that are being read or answered: `queued.max.request.bytes`.
//!
//! ```text
//!  a connection's buffer:   64 KiB of its own │ beyond that: counted here, as the bytes arrive
//!
//!  all counted are lent? ─▶ wait for what others give back
//!                         └▶ or be the one that may go beyond, until its request is answered
//! ```
//!
//! Connections that each have half of a request, and wait for memory to read the other half, would wait
//! for one another for ever. So one of them at a time may take more than there is: it ends, and gives
//! back what it has. In all there are never more than this limit, one request, and 64 KiB for each
//! connection.
//!
//! A buffer is kept for the next request while less than half of the memory is lent, so that a busy
//! producer does not ask the kernel for pages each time, and idle connections cannot keep it all.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::counters::{Counters, Gauge, Limit};

/// What each connection has without asking.
const OWN_BYTES: usize = 64 << 10;
/// No connection keeps more for its next request.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// The memory of a listener.
#[derive(Clone, Debug)]
pub(super) struct RequestMemory {
    free: Arc<Semaphore>,
    total: usize,
    beyond: Arc<Mutex<()>>,
    counters: Arc<Counters>,
}

/// What a connection has of it.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: usize,
    lent: Option<Lent>,
    beyond: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug)]
struct Lent {
    permit: OwnedSemaphorePermit,
    counters: Arc<Counters>,
}

impl RequestMemory {
    /// So many bytes.
    pub(super) fn new(total: usize, counters: Arc<Counters>) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            beyond: Arc::default(),
            counters,
        }
    }

    /// Makes a room hold `bytes`, once there are so many.
    pub(super) async fn grow(&self, room: &mut Room, bytes: usize) {
        let more = bytes.saturating_sub(room.bytes.max(OWN_BYTES));
        if bytes <= room.bytes || more == 0 || room.beyond.is_some() {
            room.bytes = room.bytes.max(bytes);
            return;
        }
        // A request is smaller than 2 GiB.
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let free = || Arc::clone(&self.free);
        if let Ok(permit) = free().try_acquire_many_owned(more) {
            self.lend(room, permit);
        } else {
            self.counters.rejected(Limit::QueuedRequestBytes);
            tokio::select! {
                biased;
                Ok(permit) = free().acquire_many_owned(more) => self.lend(room, permit),
                guard = Arc::clone(&self.beyond).lock_owned() => room.beyond = Some(guard),
            }
        }
        room.bytes = bytes;
    }

    fn lend(&self, room: &mut Room, permit: OwnedSemaphorePermit) {
        self.gauge().add(permit.num_permits() as u64);
        if let Some(lent) = &mut room.lent {
            lent.permit.merge(permit);
        } else {
            let counters = Arc::clone(&self.counters);
            room.lent = Some(Lent { permit, counters });
        }
    }

    /// Whether the buffer of a room should not be kept, now that its request is answered.
    pub(super) fn wants_back(&self, room: &Room) -> bool {
        let is_scarce = self.free.available_permits() < self.total / 2;
        room.bytes > KEPT_BYTES_MAX || room.beyond.is_some() || (room.lent.is_some() && is_scarce)
    }

    fn gauge(&self) -> &Gauge {
        &self.counters.queued_request_bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = self.permit.num_permits() as u64;
        self.counters.queued_request_bytes.sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(total: usize) -> RequestMemory {
        RequestMemory::new(total, Arc::default())
    }

    async fn room(memory: &RequestMemory, counted: usize) -> Room {
        let mut room = Room::default();
        memory.grow(&mut room, OWN_BYTES + counted).await;
        room
    }

    fn lent(memory: &RequestMemory) -> u64 {
        memory.counters.queued_request_bytes.get()
    }

    fn waits(memory: &RequestMemory) -> u64 {
        memory.counters.rejections(Limit::QueuedRequestBytes)
    }

    #[tokio::test]
    async fn small_requests_are_not_counted_and_large_ones_as_they_grow() {
        let memory = memory(1000);
        let mut room = room(&memory, 0).await;
        assert_eq!(lent(&memory), 0);
        for (bytes, expected) in [(OWN_BYTES + 10, 10), (5, 10), (OWN_BYTES + 600, 600)] {
            memory.grow(&mut room, bytes).await;
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
        memory.grow(&mut first, OWN_BYTES + 5000).await;
        assert_eq!((lent(&memory), waits(&memory)), (1000, 1));
        let third = tokio::spawn({
            let memory = memory.clone();
            async move { room(&memory, 300).await }
        });
        while waits(&memory) < 2 {
            tokio::task::yield_now().await;
        }
        assert!(!third.is_finished());
        drop(second);
        let third = third.await.unwrap();
        assert_eq!(lent(&memory), 900);
        drop((first, third));
        assert_eq!(lent(&memory), 0);
        assert_eq!(memory.free.available_permits(), 1000);
    }

    #[tokio::test]
    async fn a_buffer_is_kept_while_most_of_the_memory_is_free() {
        let memory = memory(4 << 20);
        let mut some = room(&memory, 1 << 20).await;
        assert!(!memory.wants_back(&some));
        let more = room(&memory, (1 << 20) + 1).await;
        assert!(memory.wants_back(&some) && memory.wants_back(&more));
        assert!(!memory.wants_back(&room(&memory, 0).await), "nothing of it");
        drop(more);
        memory.grow(&mut some, KEPT_BYTES_MAX + 1).await;
        assert!(memory.wants_back(&some), "too large to keep");
    }
}
