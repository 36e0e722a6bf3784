//! The sending side of a repartition: the terminal that writes to its topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_protocol::murmur2::partition_for_key;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use super::origin::{Kind, Origin};
use crate::branch::outbox::{OutRecord, Outbox};
use crate::branch::terminal::{Terminal, TerminalSpec};
use crate::branch::{At, TaskInfo};
use crate::codec::Codec;
use crate::key::Key;

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
            sent: vec![Progress::default(); partitions.max(1) as usize],
        }
    }
}

/// The last that a partition has been sent: how far we had read, and our stream time.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Progress(Option<(Timestamp, Offset, Timestamp)>);

impl Progress {
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
    /// Our number among the senders, and their count.
    number: i32,
    count: i32,
    stream_time: Timestamp,
    /// Per partition.
    sent: Vec<Progress>,
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
        self.sent[partition] = Progress::of(at);
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

    /// Our stream time, unless the input's end has made it meaningless; `Kind::End` reports the
    /// end.
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
                tracing::error!(topic = %self.spec.topic, %error, "record skipped: cannot be encoded");
                return;
            }
        };
        let partition = partition_for_key(&key, self.sent.len() as i32);
        self.sent[partition.0 as usize] = Progress::of(&at);
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
        for partition in 0..self.sent.len() {
            if self.sent[partition].stream_time() < at.stream_time {
                self.mark(Kind::Marker, partition, &at, out);
            }
        }
    }

    fn batch_end(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.sent.len() {
            if self.sent[partition] != Progress::of(&at) {
                self.mark(Kind::Marker, partition, &at, out);
            }
        }
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.sent.len() {
            self.mark(Kind::Idle, partition, &at, out);
        }
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        let at = self.advance(at);
        for partition in 0..self.sent.len() {
            self.mark(Kind::End, partition, &at, out);
        }
    }
}
