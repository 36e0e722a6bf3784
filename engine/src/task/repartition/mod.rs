//! Changing the key: through a topic, with time travelling along.
//!
//! Records of equal key must meet in one task, so `key_by` writes them to a topic partitioned by
//! the new key, and a second stage reads it. What must not happen on the way is that time becomes
//! a matter of luck: which sender was read first, how batches were cut. Hence the rule:
//!
//! - every record carries its event time, its sender's position and stream time ([`crate::origin`]);
//! - whenever a sender's stream time advances, the partitions that did not get the record get a
//!   *marker* at the same position, so that every receiver sees every step of every sender's time;
//! - at the end of each batch the partitions that have not heard of its last position get a marker,
//!   so that receivers never wait for a sender that has nothing for them;
//! - at the end of a bounded input each partition gets an *end*; if idleness was asked for, a sender
//!   that has had nothing to read for that long writes *idle* to each partition;
//! - the receiver releases records in the order of positions, and its stream time is the minimum
//!   over the senders ([`crate::merge`]).
//!
//! So the same records give the same result whatever the number of partitions and threads. (One
//! limit: when results of several tasks, given in one moment, are repartitioned again, they are
//! merged in the order of the tasks. The number of partitions of the first repartition then shows in
//! the order, though not in the time, of the second's input; sums of floats may differ in a last bit.)
//! (Kafka Streams takes the highest timestamp that happened to arrive: skew between its senders
//! becomes lateness, differently in each run.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_protocol::murmur2::partition_for_key;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use crate::codec::Codec;
use crate::key::Key;
use crate::merge::{Merge, Sent};
use crate::metrics::{RepartitionCounts, RepartitionMetrics};
use crate::operator::Operators;
use crate::origin::{Kind, Origin};
use crate::outbox::{OutRecord, Outbox};
use crate::port::{Terminal, TerminalSpec};
use crate::task::{At, InputRecord, Task, TaskInfo, is_possible};

/// Makes a [`Sender`] for each task of the stage before.
#[derive(Clone)]
pub(crate) struct KeyBy<F, C> {
    pub(crate) topic: TopicName,
    pub(crate) key: F,
    pub(crate) codec: C,
    pub(crate) unencodable: Arc<AtomicU64>,
}

impl<T, K, F, C> TerminalSpec<T> for KeyBy<F, C>
where
    K: Key,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    C: Codec<T>,
{
    const WANTS_TIME: bool = true;
    type Running = Sender<F, C>;
    fn open(&self, info: &TaskInfo) -> Sender<F, C> {
        let partitions = info.partitions.get(&self.topic).copied().unwrap_or(1);
        Sender {
            spec: self.clone(),
            number: info.partition.0,
            count: info.tasks,
            stream_time: Timestamp::MIN,
            told: vec![Told::default(); partitions.max(1) as usize],
        }
    }
}

/// What a partition has heard from us.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Told(Option<(Timestamp, Offset, Timestamp)>);

impl Told {
    /// Arrival, offset and stream time.
    fn of(at: &At) -> Self {
        Self(Some((at.arrival, at.offset, at.stream_time)))
    }
    fn stream_time(self) -> Timestamp {
        self.0.map_or(Timestamp::MIN, |(_, _, time)| time)
    }
}

/// The sending side, in one task.
pub(crate) struct Sender<F, C> {
    spec: KeyBy<F, C>,
    /// Which sender we are, of how many.
    number: i32,
    count: i32,
    stream_time: Timestamp,
    /// Per partition.
    told: Vec<Told>,
}

impl<F, C> Sender<F, C> {
    fn origin(&self, kind: Kind, at: &At) -> Bytes {
        let origin = Origin {
            kind,
            sender: self.number,
            senders: self.count,
            arrival: at.arrival,
            offset: at.offset,
            stream_time: self.stream_time,
            event_time: at.event_time,
        };
        Bytes::from(origin.encode())
    }

    fn mark(&mut self, kind: Kind, partition: usize, at: &At, out: &mut Outbox) {
        self.told[partition] = Told::of(at);
        let record = OutRecord {
            topic: self.spec.topic.clone(),
            partition: Some(PartitionId(partition as i32)),
            timestamp: at.event_time,
            key: None,
            value: None,
            origin: Some(self.origin(kind, at)),
        };
        out.push(at.step, record);
    }

    /// Our stream time, unless the input's end has made it meaningless; the end is told by `Kind::End`.
    fn advance(&mut self, at: &At) -> At {
        if at.stream_time != Timestamp::MAX {
            self.stream_time = self.stream_time.max(at.stream_time);
        }
        At {
            stream_time: self.stream_time,
            ..*at
        }
    }
}

impl<T, K, F, C> Terminal<T> for Sender<F, C>
where
    K: Key,
    F: FnMut(&T) -> K + Send + 'static,
    C: Codec<T>,
{
    fn accept(&mut self, at: &At, _key: Option<&[u8]>, item: T, out: &mut Outbox) {
        let at = self.advance(at);
        let key = (self.spec.key)(&item).to_bytes();
        let value = match self.spec.codec.encode(&item) {
            Ok(value) => value,
            Err(error) => {
                self.spec.unencodable.fetch_add(1, Relaxed);
                tracing::error!(topic = %self.spec.topic, %error, "a record cannot be encoded");
                return;
            }
        };
        let partition = partition_for_key(&key, self.told.len() as i32);
        self.told[partition.0 as usize] = Told::of(&at);
        let record = OutRecord {
            topic: self.spec.topic.clone(),
            partition: Some(partition),
            timestamp: at.event_time,
            key: Some(key),
            value: Some(value),
            origin: Some(self.origin(Kind::Record, &at)),
        };
        out.push(at.step, record);
    }

    fn after(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.told.len() {
            if self.told[partition].stream_time() < at.stream_time {
                self.mark(Kind::Marker, partition, &at, out);
            }
        }
    }

    fn batch_end(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.told.len() {
            if self.told[partition] != Told::of(&at) {
                self.mark(Kind::Marker, partition, &at, out);
            }
        }
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.told.len() {
            self.mark(Kind::Idle, partition, &at, out);
        }
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.told.len() {
            self.mark(Kind::End, partition, &at, out);
        }
    }
}

/// A record that waits for its turn.
struct Waiting<K, V> {
    event_time: Timestamp,
    key: K,
    value: V,
}

/// The receiving side: merges the senders and feeds the keyed operators.
pub(crate) struct Receiver<K, V, C> {
    codec: C,
    senders: i32,
    merge: Merge<Waiting<K, V>>,
    operators: Operators<K, V>,
    at: At,
    /// Whether those behind us know that nothing is there for now.
    is_idle: bool,
    metrics: Arc<RepartitionMetrics>,
    waiting: Arc<AtomicU64>,
}

impl<K: Key, V: Send, C: Codec<V>> Receiver<K, V, C> {
    pub(crate) fn new(
        codec: C,
        senders: i32,
        operators: Operators<K, V>,
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
        }
    }

    /// Queues one record; `false` if it is malformed. Its sender's progress counts all the same.
    fn receive(&mut self, record: &InputRecord<'_>, counts: &mut RepartitionCounts) -> bool {
        let origin = record
            .origin
            .map(|bytes| Origin::decode(bytes, self.senders));
        let Some(Ok(origin)) = origin else {
            return false;
        };
        let decoded = match origin.kind {
            Kind::End => {
                self.merge.end(origin.sender);
                return true;
            }
            Kind::Idle => {
                self.merge.idle(origin.sender);
                return true;
            }
            Kind::Marker => Ok(None),
            Kind::Record => self.decode(&origin, record).map(Some).ok_or(()),
        };
        counts.records += u64::from(origin.kind == Kind::Record);
        let is_well_formed = decoded.is_ok();
        let sent = Sent {
            arrival: origin.arrival,
            stream_time: origin.stream_time,
            record: decoded.unwrap_or(None),
        };
        self.merge.push(origin.sender, sent);
        is_well_formed
    }

    fn decode(&self, origin: &Origin, record: &InputRecord<'_>) -> Option<Waiting<K, V>> {
        let event_time = origin.event_time;
        is_possible(event_time).then_some(())?;
        Some(Waiting {
            event_time,
            key: K::from_bytes(record.key?).ok()?,
            value: self.codec.decode(record.value?).ok()?,
        })
    }

    /// Hands on what has its turn now. This happens after each record received, not after each
    /// batch: what an idle sender sends late has its place by that, and batches are cut at random.
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

    fn forward(&mut self, stream_time: Timestamp, waiting: Option<Waiting<K, V>>) {
        self.at.step += 1;
        self.at.stream_time = stream_time;
        let record = waiting.map(|waiting| {
            self.at.offset = self.at.offset.plus(1);
            self.at.event_time = waiting.event_time;
            (waiting.key, waiting.value)
        });
        self.operators.push(self.at, record);
    }
}

impl<K: Key, V: Send, C: Codec<V>> Task for Receiver<K, V, C> {
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox) {
        let mut counts = RepartitionCounts::default();
        self.at.step = 0;
        for record in batch {
            if !self.receive(record, &mut counts) {
                counts.malformed += 1;
                tracing::warn!(offset = %record.offset, "a repartition record is malformed");
            }
            self.hand_on(out);
        }
        self.operators.run(out);
        self.metrics.counters.add(&counts);
        self.waiting.store(self.merge.waiting() as u64, Relaxed);
    }

    fn end(&mut self, out: &mut Outbox) {
        self.operators.end(&self.at.end(), out);
    }

    fn is_ended(&self) -> bool {
        self.merge.is_finished()
    }
}
