//! The receiving side of a repartition: the task that merges its senders and feeds the keyed
//! operators.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_protocol::{Offset, Timestamp};

use super::merge::{Merge, Sent};
use super::origin::{Kind, Origin};
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;
use crate::codec::Codec;
use crate::key::Key;
use crate::metrics::{RepartitionCounts, RepartitionMetrics};
use crate::operator::Operators;
use crate::task::event_time::is_possible;
use crate::task::{InputRecord, Task};

/// A record that waits for its turn.
struct Waiting<V> {
    event_time: Timestamp,
    key: Box<[u8]>,
    value: V,
}

/// The receiving side: merges the senders and feeds the keyed operators.
pub(crate) struct Receiver<K, V, C> {
    codec: C,
    senders: i32,
    merge: Merge<Waiting<V>>,
    operators: Operators<V>,
    at: At,
    /// Whether the operators know that there is no input for now.
    is_idle: bool,
    metrics: Arc<RepartitionMetrics>,
    waiting: Arc<AtomicU64>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key, V: Send, C: Codec<V>> Receiver<K, V, C> {
    pub(crate) fn new(
        codec: C,
        senders: i32,
        operators: Operators<V>,
        metrics: Arc<RepartitionMetrics>,
    ) -> Self {
        Self {
            codec,
            senders,
            merge: Merge::new(senders),
            operators,
            at: At::START,
            is_idle: false,
            waiting: metrics.gauge(),
            metrics,
            key: PhantomData,
        }
    }

    /// Queues one record; `false` if it is malformed. Its sender's progress counts all the same.
    fn receive(&mut self, record: &InputRecord<'_>, counts: &mut RepartitionCounts) -> bool {
        let is_replay = self.merge.is_replay(record.offset);
        let origin = record
            .origin
            .map(|bytes| Origin::decode(bytes, self.senders));
        let Some(Ok(origin)) = origin else {
            return false;
        };
        let decoded = match origin.kind {
            Kind::End => {
                self.merge.end(origin.sender, record.offset);
                return true;
            }
            Kind::Idle => {
                self.merge.idle(origin.sender, record.offset);
                return true;
            }
            Kind::Marker => Ok(None),
            Kind::Record => self.decode(&origin, record).map(Some).ok_or(()),
        };
        counts.records += u64::from(origin.kind == Kind::Record && !is_replay);
        let is_well_formed = decoded.is_ok();
        let sent = Sent {
            offset: record.offset,
            arrival: origin.arrival,
            stream_time: origin.stream_time,
            record: decoded.unwrap_or(None),
        };
        self.merge.push(origin.sender, sent);
        is_well_formed
    }

    fn decode(&self, origin: &Origin, record: &InputRecord<'_>) -> Option<Waiting<V>> {
        let event_time = origin.event_time;
        is_possible(event_time).then_some(())?;
        Some(Waiting {
            event_time,
            key: valid_key::<K>(record.key?)?,
            value: self.codec.decode(record.value?).ok()?,
        })
    }

    /// Hands on everything whose turn it is. This happens after each record received, not after
    /// each batch: where batches are cut must not decide the place of what an idle sender sends
    /// late.
    fn hand_on(&mut self, out: &mut Outbox) {
        while let Some(released) = self.merge.release() {
            self.at.arrival = released.arrival;
            self.forward(released.stream_time, released.record);
        }
        if self.merge.stream_time() > self.at.stream_time {
            self.forward(self.merge.stream_time(), None);
        }
        let was_idle = std::mem::replace(&mut self.is_idle, self.merge.is_idle());
        if self.is_idle && !was_idle {
            self.operators.idle(&self.at, out);
        }
    }

    fn forward(&mut self, stream_time: Timestamp, waiting: Option<Waiting<V>>) {
        self.at.step += 1;
        self.at.stream_time = stream_time;
        if let Some(waiting) = waiting {
            self.at.offset = self.at.offset.plus(1);
            self.at.event_time = waiting.event_time;
            let inputs = self.operators.inputs();
            inputs.push(self.at, &waiting.key, waiting.value);
        } else {
            self.operators.inputs().push_time(self.at);
        }
    }
}

impl<K: Key, V: Send, C: Codec<V>> Task for Receiver<K, V, C> {
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox) {
        let mut counts = RepartitionCounts::default();
        self.at.step = 0;
        for record in batch {
            let is_replay = self.merge.is_replay(record.offset);
            if !self.receive(record, &mut counts) {
                counts.malformed += 1;
                tracing::warn!(offset = %record.offset, "record skipped: malformed in the repartition topic");
            }
            if !is_replay {
                self.hand_on(out);
            }
        }
        self.operators.run(out);
        self.metrics.counters.add(&counts);
        self.waiting.store(self.merge.waiting() as u64, Relaxed);
    }

    fn end(&mut self, out: &mut Outbox) {
        self.operators.end(&self.at.end(), out);
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut self.at);
        walk.standing(&mut self.merge);
        self.operators.walk(walk);
    }

    fn reads_from(&self) -> Option<Offset> {
        self.merge.waits_from()
    }

    fn is_ended(&self) -> bool {
        self.merge.is_finished()
    }
}

fn valid_key<K: Key>(bytes: &[u8]) -> Option<Box<[u8]>> {
    K::validate(bytes).is_ok().then(|| bytes.into())
}
