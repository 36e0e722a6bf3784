//! The task of a source: from the bytes of a record to items with an event time.
//!
//! ```text
//!                 ┌─▶ decode ─▶ event time ─▶ steps ─▶ terminal    branch
//!  batch ─────────┼─▶ …                                            branch
//!                 └─▶ …                                            branch
//! ```
//!
//! Each branch runs over the whole batch before the next one begins. It decodes for itself, since
//! branches may differ in codec and in event time. Stream time advances with every item that has an
//! event time, also with those that a later step filters out.

use std::marker::PhantomData;
use std::sync::Arc;

use brooklet_protocol::Timestamp;

use super::event_time::{EventTime, is_possible};
use super::malformed::{MalformedReason, Skipped};
use super::stream_time::StreamTime;
use super::{InputRecord, Task};
use crate::branch::At;
use crate::branch::ops::Ops;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;
use crate::branch::terminal::Terminal;
use crate::codec::{Codec, DecodeError};
use crate::metrics::{SourceCounters, SourceCounts};

/// One fused chain from a source to one terminal.
pub(crate) trait SourceBranch: Send {
    fn run(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox);
    fn idle(&mut self, out: &mut Outbox);
    fn end(&mut self, out: &mut Outbox);
    fn walk(&mut self, walk: &mut dyn Walk);
}

/// Feeds each branch of a source.
pub(crate) struct SourceTask {
    pub(crate) branches: Vec<Box<dyn SourceBranch>>,
    /// One for each `stream(…)` that reads the topic.
    pub(crate) counters: Vec<Arc<SourceCounters>>,
}

impl Task for SourceTask {
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.run(batch, out);
        }
        for counters in &self.counters {
            counters.add(&SourceCounts {
                records: batch.len() as u64,
                ..SourceCounts::default()
            });
        }
    }

    fn idle(&mut self, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.idle(out);
        }
    }

    fn end(&mut self, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.end(out);
        }
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        for branch in &mut self.branches {
            branch.walk(walk);
        }
    }
}

/// A branch from a source: decode, time, steps, terminal, in one loop.
pub(crate) struct FromSource<T, C, E, O, Z> {
    codec: C,
    chain: Chain<E, O, Z>,
    item: PhantomData<fn() -> T>,
}

impl<T, C, E, O, Z> FromSource<T, C, E, O, Z> {
    pub(crate) fn new(codec: C, chain: Chain<E, O, Z>) -> Self {
        Self {
            codec,
            chain,
            item: PhantomData,
        }
    }
}

/// What happens to a value once it is decoded.
pub(crate) struct Chain<E, O, Z> {
    pub(crate) event_time: E,
    pub(crate) ops: O,
    pub(crate) terminal: Z,
    /// Where the branch is in its input.
    pub(crate) at: At,
    pub(crate) stream_time: StreamTime,
    pub(crate) skipped: Skipped,
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
        if self.stream_time.advance(event_time, record.offset) {
            let stream_time = self.stream_time.now();
            self.skipped
                .see_future(record.offset, event_time, stream_time);
        }
        self.at.stream_time = self.stream_time.now();
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

impl<T, C, E, O, Z> SourceBranch for FromSource<T, C, E, O, Z>
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

    fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut self.chain.stream_time);
        self.chain.at.stream_time = self.chain.stream_time.now();
        walk.standing(&mut self.chain.at);
        self.chain.terminal.walk(walk);
    }
}
