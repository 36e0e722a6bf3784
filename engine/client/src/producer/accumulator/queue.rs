//! The batches of one partition, in the order in which they are sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::TopicPartition;
use brooklet_protocol::records::Compression;

use super::Limits;
use crate::ClientError;
use crate::producer::batch::{Batch, BatchState, Identity, Stamp};

/// The batches of one partition.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) partition: TopicPartition,
    pub(super) open: Option<Batch>,
    pub(super) ready: VecDeque<Batch>,
    /// Comes before `ready`.
    pub(super) retry: Option<Batch>,
    pub(super) in_flight: Option<Arc<BatchState>>,
    /// Nothing is sent before.
    pub(super) backoff_until: Duration,
    /// Why the last attempt failed, until one succeeds.
    pub(super) trouble: Option<ClientError>,
    /// What a batch may grow to: less than `batch.size` once the broker has refused one for its
    /// size.
    pub(super) batch_bytes: usize,
    pub(super) next_sequence: i32,
}

impl Queue {
    pub(super) fn new(partition: TopicPartition, batch_bytes: usize) -> Self {
        Self {
            partition,
            open: None,
            ready: VecDeque::new(),
            retry: None,
            in_flight: None,
            backoff_until: Duration::ZERO,
            trouble: None,
            batch_bytes,
            next_sequence: 0,
        }
    }

    /// Whether the open batch has room for a record of that size.
    pub(super) fn fits(&self, record_bytes: usize, codec: Compression) -> bool {
        self.open.as_ref().is_some_and(|batch| {
            batch.size() + record_bytes <= self.batch_bytes && batch.compression() == codec
        })
    }

    /// The open batch, if a record of that size fits into it; or else a new one, and the former is
    /// ready. Returns also whether the batch is new.
    pub(super) fn batch_for(
        &mut self,
        record_bytes: usize,
        codec: Compression,
        now: Duration,
    ) -> (&mut Batch, bool) {
        let begins = !self.fits(record_bytes, codec);
        if begins {
            self.ready.extend(self.open.take());
        }
        let begin = || Batch::new(self.partition.clone(), codec, now);
        (self.open.get_or_insert_with(begin), begins)
    }

    /// Ends the open batch if nothing fits into it any more; returns whether it did.
    pub(super) fn close_if_full(&mut self) -> bool {
        let is_full = |batch: &mut Batch| batch.size() >= self.batch_bytes;
        match self.open.take_if(is_full) {
            Some(full) => {
                self.ready.push_back(full);
                true
            }
            None => false,
        }
    }

    pub(super) fn is_sendable(&self, now: Duration, hurried: bool, linger: Duration) -> bool {
        let lingered = |batch: &Batch| hurried || batch.created + linger <= now;
        self.in_flight.is_none()
            && self.backoff_until <= now
            && (self.retry.is_some()
                || !self.ready.is_empty()
                || self.open.as_ref().is_some_and(lingered))
    }

    /// The first batch in line, stamped, in flight from now on.
    pub(super) fn take(
        &mut self,
        identity: Option<Identity>,
        in_transaction: bool,
    ) -> Option<Batch> {
        let waiting = self.retry.take().or_else(|| self.ready.pop_front());
        let mut batch = waiting.or_else(|| self.open.take())?;
        if let (None, Some(identity)) = (batch.stamp, identity) {
            batch.stamp = Some(Stamp {
                identity,
                base_sequence: self.next_sequence,
                in_transaction,
            });
            // Sequences are 31 bits and wrap.
            self.next_sequence = self.next_sequence.wrapping_add(batch.record_count) & i32::MAX;
        }
        self.in_flight = Some(Arc::clone(&batch.state));
        Some(batch)
    }

    /// The moments at which something of this queue comes due.
    pub(super) fn times(&self, limits: &Limits) -> impl Iterator<Item = Duration> {
        let oldest = self
            .retry
            .as_ref()
            .or(self.ready.front())
            .or(self.open.as_ref());
        let expires = oldest.map(|batch| batch.created.saturating_add(limits.delivery_timeout));
        let pauses = oldest.map(|_| self.backoff_until);
        let lingers = self
            .open
            .as_ref()
            .map(|batch| batch.created.saturating_add(limits.linger));
        let is_idle = self.in_flight.is_none();
        expires
            .into_iter()
            .chain(pauses.into_iter().chain(lingers).filter(move |_| is_idle))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_waiting() && self.in_flight.is_none()
    }

    /// Whether there are batches that are not on their way.
    pub(super) fn is_waiting(&self) -> bool {
        self.open.is_some() || !self.ready.is_empty() || self.retry.is_some()
    }
}
