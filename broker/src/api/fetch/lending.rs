//! Memory for answers to fetches: `queued.max.response.bytes`.
//!
//! The records of an answer are there from when they are read until the client has taken them, and a
//! client may ask for 50 MiB and take its time. So what is lent to all of them is counted. Once that is
//! as much as there may be, an answer has one batch, which every fetch gets (KIP-74): nobody waits for
//! another client, and none can make the broker hold more than a batch for each connection beyond this.
//!
//! Answers in our own process are not counted: nothing there waits for a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::counters::{Counters, Limit};

/// Records of fewer bytes are not worth counting.
const COUNTED_BYTES_MIN: usize = 16 << 10;

/// What is lent to clients.
#[derive(Debug)]
pub struct Lending {
    lent: AtomicUsize,
    total: usize,
    counters: Arc<Counters>,
}

/// Bytes that are lent until the last answer that has them is sent.
#[derive(Debug)]
pub(super) struct Loan {
    bytes: usize,
    is_short: bool,
    lending: Arc<Lending>,
}

/// Records, and the loan that they are of.
struct Lent {
    records: Bytes,
    _loan: Arc<Bound>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.records
    }
}

impl Lending {
    /// So many bytes.
    pub fn new(total: usize, counters: Arc<Counters>) -> Self {
        let lent = AtomicUsize::new(0);
        Self {
            lent,
            total,
            counters,
        }
    }

    /// A loan of what is free of `wanted` bytes.
    pub(super) fn lend(self: &Arc<Self>, wanted: usize) -> Loan {
        let free = |lent: usize| wanted.min(self.total.saturating_sub(lent));
        let before = self
            .lent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lent| {
                Some(lent + free(lent))
            });
        let bytes = before.map_or(0, free);
        Loan {
            bytes,
            is_short: bytes < wanted,
            lending: Arc::clone(self),
        }
    }

    fn change(&self, from: usize, to: usize) {
        if to > from {
            self.lent.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.lent.fetch_sub(from - to, Ordering::Relaxed);
        }
    }
}

impl Loan {
    /// How many bytes it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it a loan of what was read, which ends when the last of these records is gone.
    pub(super) fn bind(mut self, records: Vec<&mut Bytes>) {
        let read: usize = records.iter().map(|records| records.len()).sum();
        if self.is_short && read >= self.bytes && read > 0 {
            self.lending.counters.rejected(Limit::QueuedResponseBytes);
        }
        if read < COUNTED_BYTES_MIN {
            return;
        }
        self.lending.change(self.bytes, read);
        self.bytes = read;
        let gauge = &self.lending.counters.queued_response_bytes;
        gauge.add(read as u64);
        let loan = Arc::new(Bound(self));
        for records in records.into_iter().filter(|records| !records.is_empty()) {
            let lent = Lent {
                records: std::mem::take(records),
                _loan: Arc::clone(&loan),
            };
            *records = Bytes::from_owner(lent);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lending.change(self.bytes, 0);
    }
}

/// A loan that answers have.
#[derive(Debug)]
struct Bound(Loan);

impl Drop for Bound {
    fn drop(&mut self) {
        let gauge = &self.0.lending.counters.queued_response_bytes;
        gauge.sub(self.0.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lending(total: usize) -> Arc<Lending> {
        Arc::new(Lending::new(total, Arc::default()))
    }

    fn shown(lending: &Lending) -> u64 {
        lending.counters.queued_response_bytes.get()
    }

    fn lent(lending: &Lending) -> usize {
        lending.lent.load(Ordering::Relaxed)
    }

    #[test]
    fn what_is_free_is_lent_and_comes_back_with_the_last_record() {
        let lending = lending(100_000);
        let loan = lending.lend(60_000);
        assert_eq!((loan.bytes(), lent(&lending)), (60_000, 60_000));
        assert_eq!(lending.lend(60_000).bytes(), 40_000);
        let (mut first, mut second) = (Bytes::from(vec![1; 20_000]), Bytes::from(vec![2; 10_000]));
        loan.bind(vec![&mut first, &mut second]);
        assert_eq!((lent(&lending), shown(&lending)), (30_000, 30_000));
        assert_eq!((first.len(), second.len()), (20_000, 10_000));
        drop(first);
        let part = second.slice(..5);
        drop(second);
        assert_eq!(shown(&lending), 30_000);
        assert_eq!(part, [2; 5][..]);
        drop(part);
        assert_eq!((lent(&lending), shown(&lending)), (0, 0));
    }

    #[test]
    fn the_one_batch_that_everybody_gets_is_counted_beyond_what_there_is() {
        let lending = lending(20_000);
        let all = lending.lend(50_000);
        let loan = lending.lend(1);
        assert_eq!(loan.bytes(), 0);
        let mut batch = Bytes::from(vec![0; 30_000]);
        loan.bind(vec![&mut batch]);
        assert_eq!((lent(&lending), shown(&lending)), (50_000, 30_000));
        let shortages = lending.counters.rejections(Limit::QueuedResponseBytes);
        assert_eq!(shortages, 1);
        assert_eq!(lending.lend(1).bytes(), 0);
        drop((all, batch));
        assert_eq!(lending.lend(1).bytes(), 1);
    }

    #[test]
    fn little_is_not_counted() {
        let lending = lending(50_000);
        let mut few = Bytes::from(vec![0; COUNTED_BYTES_MIN - 1]);
        lending.lend(50_000).bind(vec![&mut few]);
        assert_eq!((lent(&lending), shown(&lending)), (0, 0));
    }
}
