//! The beginning of a stream: from a record's bytes to a value with an event time.
//!
//! What cannot be used is skipped and counted, with its offset in the log line and in the hook, and
//! the run goes on: a value that does not decode, no value at all, an impossible event time.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use brooklet_protocol::{Offset, PartitionId, Timestamp};

use super::ops::{Identity, Ops};
use super::stream::{Root, Stream};
use crate::codec::{Codec, DecodeError};
use crate::metrics::{SourceCounters, SourceCounts};
use crate::outbox::Outbox;
use crate::port::{Terminal, TerminalSpec};
use crate::task::{At, InputRecord, SourceBranch, is_possible};
use crate::topology::{Shared, StageId};

/// Why a record was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedReason {
    /// Its value did not decode.
    Value(DecodeError),
    /// It has no value.
    NoValue,
    /// Its event time is before the epoch, or the very end of time.
    EventTime(Timestamp),
    /// It has no event time, and the program says why ([`Stream::try_event_time`]).
    NoEventTime(String),
}

impl fmt::Display for MalformedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => write!(f, "its value does not decode: {error}"),
            Self::NoValue => f.write_str("it has no value"),
            Self::EventTime(time) => write!(f, "its event time {time} is impossible"),
            Self::NoEventTime(why) => f.write_str(why),
        }
    }
}

/// A record that was skipped, or one value of a record that holds several ([`Codec::decode_each`]).
#[derive(Clone, Debug)]
pub struct Malformed<'a> {
    /// The partition of the source topic.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// What is wrong.
    pub reason: MalformedReason,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

type MalformedHook = Arc<dyn Fn(&Malformed<'_>) + Send + Sync>;

/// Where a value's event time comes from.
pub trait EventTime<T>: Clone + Send + 'static {
    /// The value's event time, given its record's timestamp.
    ///
    /// # Errors
    /// It has none; why, in words.
    fn of(&mut self, value: &T, record: Timestamp) -> Result<Timestamp, String>;
}

/// Event time is the record's timestamp.
#[derive(Clone, Copy, Debug)]
pub struct ByRecord;

impl<T> EventTime<T> for ByRecord {
    fn of(&mut self, _: &T, record: Timestamp) -> Result<Timestamp, String> {
        Ok(record)
    }
}

/// Event time is in the value, and a closure takes it out.
#[derive(Clone, Copy)]
pub struct ByEvent<F>(F);

impl<F> fmt::Debug for ByEvent<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByEvent")
    }
}

impl<T, F: FnMut(&T) -> Timestamp + Clone + Send + 'static> EventTime<T> for ByEvent<F> {
    fn of(&mut self, value: &T, _: Timestamp) -> Result<Timestamp, String> {
        Ok((self.0)(value))
    }
}

/// Event time is what a closure makes of the value and its record's timestamp, if it makes any.
#[derive(Clone, Copy)]
pub struct ByBoth<F>(F);

impl<F> fmt::Debug for ByBoth<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByBoth")
    }
}

impl<T, F> EventTime<T> for ByBoth<F>
where
    F: FnMut(&T, Timestamp) -> Result<Timestamp, String> + Clone + Send + 'static,
{
    fn of(&mut self, value: &T, record: Timestamp) -> Result<Timestamp, String> {
        (self.0)(value, record)
    }
}

/// The root of a stream that reads a topic.
pub struct SourceRoot<T, C, E> {
    shared: Shared,
    /// `None` if the topic's name is illegal, which is reported when the program runs.
    index: Option<usize>,
    codec: C,
    event_time: E,
    counters: Arc<SourceCounters>,
    hook: Option<MalformedHook>,
    /// Whether a branch counts already: each record is counted once, however many branches.
    is_counted: Arc<AtomicBool>,
    item: PhantomData<fn() -> T>,
}

impl<T, C: Clone, E: Clone> Clone for SourceRoot<T, C, E> {
    fn clone(&self) -> Self {
        self.with_event_time(self.event_time.clone())
    }
}

impl<T, C, E> fmt::Debug for SourceRoot<T, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRoot({:?})", self.index)
    }
}

impl<T, C> SourceRoot<T, C, ByRecord> {
    pub(super) fn new(
        shared: Shared,
        index: Option<usize>,
        codec: C,
        counters: Arc<SourceCounters>,
    ) -> Self {
        Self {
            shared,
            index,
            codec,
            event_time: ByRecord,
            counters,
            hook: None,
            is_counted: Arc::default(),
            item: PhantomData,
        }
    }
}

impl<T, C: Clone, E> SourceRoot<T, C, E> {
    fn with_event_time<F>(&self, event_time: F) -> SourceRoot<T, C, F> {
        SourceRoot {
            shared: Arc::clone(&self.shared),
            index: self.index,
            codec: self.codec.clone(),
            event_time,
            counters: Arc::clone(&self.counters),
            hook: self.hook.clone(),
            is_counted: Arc::clone(&self.is_counted),
            item: PhantomData,
        }
    }

    pub(super) fn counters(&self) -> &Arc<SourceCounters> {
        &self.counters
    }
}

impl<T: Send + 'static, C: Codec<T>> Stream<SourceRoot<T, C, ByRecord>, Identity> {
    /// Takes event time from the value. It is a property of the source, so that time advances with
    /// everything that is read, also with what later steps filter out.
    pub fn event_time<F>(self, event_time: F) -> Stream<SourceRoot<T, C, ByEvent<F>>, Identity>
    where
        F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
    {
        Stream::new(self.root.with_event_time(ByEvent(event_time)))
    }

    /// As [`Stream::event_time`], from the value and its record's timestamp. A value for which the
    /// closure has no time is skipped, and counted with those of impossible times.
    pub fn try_event_time<F>(self, event_time: F) -> Stream<SourceRoot<T, C, ByBoth<F>>, Identity>
    where
        F: FnMut(&T, Timestamp) -> Result<Timestamp, String> + Clone + Send + 'static,
    {
        Stream::new(self.root.with_event_time(ByBoth(event_time)))
    }
}

impl<T: Send + 'static, C: Codec<T>, E: EventTime<T>> Stream<SourceRoot<T, C, E>, Identity> {
    /// Looks at each record that is skipped.
    pub fn on_malformed(mut self, hook: impl Fn(&Malformed<'_>) + Send + Sync + 'static) -> Self {
        self.root.hook = Some(Arc::new(hook));
        self
    }
}

impl<T: Send + 'static, C: Codec<T>, E: EventTime<T>> Root for SourceRoot<T, C, E> {
    type Item = T;

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn stage(&self) -> StageId {
        StageId::Source(self.index.unwrap_or(usize::MAX))
    }

    fn attach<U, O: Ops<Self::Item, Out = U>, Z: TerminalSpec<U>>(self, ops: O, terminal: Z) {
        let Some(index) = self.index else {
            return;
        };
        let is_counting = !self.is_counted.swap(true, Relaxed);
        let (codec, event_time) = (self.codec, self.event_time);
        let (counters, hook) = (self.counters, self.hook);
        let branch: crate::topology::SourceFactory = Box::new(move |info| {
            Box::new(Branch {
                codec: codec.clone(),
                chain: Chain {
                    event_time: event_time.clone(),
                    ops: ops.clone(),
                    terminal: terminal.open(info),
                    at: At::START,
                    skipped: Skipped {
                        partition: info.partition,
                        counts: SourceCounts::default(),
                        counters: is_counting.then(|| Arc::clone(&counters)),
                        hook: hook.clone(),
                    },
                },
                item: PhantomData,
            })
        });
        self.shared.lock().sources[index].branches.push(branch);
    }
}

/// Counts what is skipped, if this branch is the one that counts.
struct Skipped {
    partition: PartitionId,
    counts: SourceCounts,
    counters: Option<Arc<SourceCounters>>,
    hook: Option<MalformedHook>,
}

impl Skipped {
    fn skip(&mut self, record: &InputRecord<'_>, reason: MalformedReason) {
        if self.counters.is_none() {
            return;
        }
        match reason {
            MalformedReason::Value(_) => self.counts.malformed += 1,
            MalformedReason::NoValue => self.counts.null_values += 1,
            MalformedReason::EventTime(_) | MalformedReason::NoEventTime(_) => {
                self.counts.impossible_times += 1;
            }
        }
        tracing::debug!(partition = %self.partition, offset = %record.offset, %reason, "record skipped");
        if let Some(hook) = &self.hook {
            hook(&Malformed {
                partition: self.partition,
                offset: record.offset,
                reason,
                value: record.value,
            });
        }
    }
}

/// A branch from a source: decode, time, steps, terminal, in one loop.
struct Branch<T, C, E, O, Z> {
    codec: C,
    chain: Chain<E, O, Z>,
    item: PhantomData<fn() -> T>,
}

/// What happens to a value once it is decoded.
struct Chain<E, O, Z> {
    event_time: E,
    ops: O,
    terminal: Z,
    at: At,
    skipped: Skipped,
}

impl<E, O, Z> Chain<E, O, Z> {
    fn push<T>(
        &mut self,
        record: &InputRecord<'_>,
        decoded: Result<T, DecodeError>,
        out: &mut Outbox,
    ) where
        E: EventTime<T>,
        O: Ops<T>,
        Z: Terminal<O::Out>,
    {
        self.skipped.counts.items += 1;
        let (item, event_time) = match self.with_time(decoded, record.timestamp) {
            Ok(read) => read,
            Err(reason) => return self.skipped.skip(record, reason),
        };
        self.at.event_time = event_time;
        self.at.stream_time = self.at.stream_time.max(event_time);
        let (at, terminal) = (&self.at, &mut self.terminal);
        let mut accept = |item| terminal.accept(at, record.key, item, out);
        self.ops.push(item, &mut accept);
        self.terminal.after(&self.at, out);
    }

    fn with_time<T>(
        &mut self,
        decoded: Result<T, DecodeError>,
        timestamp: Timestamp,
    ) -> Result<(T, Timestamp), MalformedReason>
    where
        E: EventTime<T>,
    {
        let item = decoded.map_err(MalformedReason::Value)?;
        let event_time = self.event_time.of(&item, timestamp);
        let event_time = event_time.map_err(MalformedReason::NoEventTime)?;
        if is_possible(event_time) {
            Ok((item, event_time))
        } else {
            Err(MalformedReason::EventTime(event_time))
        }
    }
}

impl<T, C, E, O, Z> SourceBranch for Branch<T, C, E, O, Z>
where
    C: Codec<T>,
    E: EventTime<T>,
    O: Ops<T>,
    Z: Terminal<O::Out>,
{
    fn run(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox) {
        let Self { codec, chain, .. } = self;
        for (step, record) in batch.iter().enumerate() {
            chain.at.step = step;
            chain.at.arrival = chain.at.arrival.max(record.timestamp);
            chain.at.offset = record.offset;
            match record.value {
                Some(value) => codec.decode_each(value, |item| chain.push(record, item, out)),
                None => chain.skipped.skip(record, MalformedReason::NoValue),
            }
        }
        chain.terminal.batch_end(&chain.at, out);
        let counts = std::mem::take(&mut chain.skipped.counts);
        if let Some(counters) = &chain.skipped.counters {
            counters.add(&counts);
        }
    }

    fn idle(&mut self, out: &mut Outbox) {
        self.chain.terminal.idle(&self.chain.at, out);
    }

    fn end(&mut self, out: &mut Outbox) {
        self.chain.terminal.end(&self.chain.at.end(), out);
    }
}
