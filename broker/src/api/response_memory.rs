//! The memory for responses to fetches: `queued.max.response.bytes`.
//!
//! The records of a response stay in memory from when they are read until the client has taken
//! them, and a client may ask for 50 MiB and take its time. So the bytes reserved for all responses
//! are counted. Once they reach the limit, a response has one batch, which every fetch gets
//! (KIP-74): nobody waits for another client, and no client can make the broker hold more than one
//! batch per connection beyond the limit.
//!
//! Responses within this process are not counted: nothing waits for a socket there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::counters::{Counters, Limit};

/// Fewer bytes of records are not worth counting.
const COUNTED_BYTES_MIN: usize = 16 << 10;

/// The memory for responses.
#[derive(Debug)]
pub struct ResponseMemory {
    reserved: AtomicUsize,
    total: usize,
    counters: Arc<Counters>,
}

/// Bytes that are reserved until the last response that uses them is sent.
#[derive(Debug)]
pub(super) struct Reservation {
    bytes: usize,
    is_short: bool,
    memory: Arc<ResponseMemory>,
}

/// Records, and the reservation that they are part of.
struct Reserved {
    records: Bytes,
    _reservation: Arc<Reservation>,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.records
    }
}

impl ResponseMemory {
    /// A limit of `total` bytes.
    pub fn new(total: usize, counters: Arc<Counters>) -> Self {
        let reserved = AtomicUsize::new(0);
        Self {
            reserved,
            total,
            counters,
        }
    }

    /// How many bytes are reserved.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Reserves `wanted` bytes, or as many of them as are free.
    pub(super) fn reserve(self: &Arc<Self>, wanted: usize) -> Reservation {
        let free = |reserved: usize| wanted.min(self.total.saturating_sub(reserved));
        let before = self
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                Some(reserved + free(reserved))
            });
        let bytes = before.map_or(0, free);
        Reservation {
            bytes,
            is_short: bytes < wanted,
            memory: Arc::clone(self),
        }
    }
}

impl Reservation {
    /// How many bytes are reserved.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adapts the reservation to what was read. It ends when the last of these records is dropped.
    pub(super) fn bind(mut self, records: Vec<&mut Bytes>) {
        let read: usize = records.iter().map(|records| records.len()).sum();
        if self.is_short && read >= self.bytes && read > 0 {
            let counters = &self.memory.counters;
            counters.rejected(Limit::QueuedResponseBytes);
        }
        if read < COUNTED_BYTES_MIN {
            return;
        }
        // A single batch may be larger than what was free.
        self.memory.reserved.fetch_add(read, Ordering::Relaxed);
        self.memory
            .reserved
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = read;
        let reservation = Arc::new(self);
        for records in records.into_iter().filter(|records| !records.is_empty()) {
            let reserved = Reserved {
                records: std::mem::take(records),
                _reservation: Arc::clone(&reservation),
            };
            *records = Bytes::from_owner(reserved);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory
            .reserved
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(total: usize) -> Arc<ResponseMemory> {
        Arc::new(ResponseMemory::new(total, Arc::default()))
    }

    #[test]
    fn what_is_free_is_reserved_and_comes_back_with_the_last_record() {
        let memory = memory(100_000);
        let reservation = memory.reserve(60_000);
        assert_eq!(
            (reservation.bytes(), memory.reserved_bytes()),
            (60_000, 60_000)
        );
        assert_eq!(memory.reserve(60_000).bytes(), 40_000);
        let (mut first, mut second) = (Bytes::from(vec![1; 20_000]), Bytes::from(vec![2; 10_000]));
        reservation.bind(vec![&mut first, &mut second]);
        assert_eq!(memory.reserved_bytes(), 30_000);
        assert_eq!((first.len(), second.len()), (20_000, 10_000));
        drop(first);
        let part = second.slice(..5);
        drop(second);
        assert_eq!(memory.reserved_bytes(), 30_000);
        assert_eq!(part, [2; 5][..]);
        drop(part);
        assert_eq!(memory.reserved_bytes(), 0);
    }

    #[test]
    fn the_one_batch_that_everybody_gets_is_counted_beyond_what_there_is() {
        let memory = memory(20_000);
        let all = memory.reserve(50_000);
        let reservation = memory.reserve(1);
        assert_eq!(reservation.bytes(), 0);
        let mut batch = Bytes::from(vec![0; 30_000]);
        reservation.bind(vec![&mut batch]);
        assert_eq!(memory.reserved_bytes(), 50_000);
        let shortages = memory.counters.rejections(Limit::QueuedResponseBytes);
        assert_eq!(shortages, 1);
        assert_eq!(memory.reserve(1).bytes(), 0);
        drop((all, batch));
        assert_eq!(memory.reserve(1).bytes(), 1);
    }

    #[test]
    fn little_is_not_counted() {
        let memory = memory(50_000);
        let mut few = Bytes::from(vec![0; COUNTED_BYTES_MIN - 1]);
        memory.reserve(50_000).bind(vec![&mut few]);
        assert_eq!(memory.reserved_bytes(), 0);
    }
}
