//! Keyed operators in the source's own task: for a topic that is partitioned by the key already.
//!
//! It is the terminal of a branch. Each task has the stream time of its own partition.

use std::marker::PhantomData;
use std::sync::Arc;

use brooklet_protocol::Timestamp;

use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;
use crate::branch::terminal::Terminal;
use crate::key::Key;
use crate::metrics::{SourceCounters, SourceCounts};
use crate::operator::Operators;

/// Keyed operators in the source's own task.
pub(crate) struct Direct<K, V> {
    operators: Operators<V>,
    counts: SourceCounts,
    counters: Arc<SourceCounters>,
    /// The stream time that the operators know of.
    stream_time: Timestamp,
    key: PhantomData<fn(K)>,
}

impl<K, V> Direct<K, V> {
    pub(crate) fn new(operators: Operators<V>, counters: Arc<SourceCounters>) -> Self {
        Self {
            operators,
            counts: SourceCounts::default(),
            counters,
            stream_time: At::START.stream_time,
            key: PhantomData,
        }
    }
}

impl<K: Key, V: Clone + Send + 'static> Terminal<V> for Direct<K, V> {
    fn accept(&mut self, at: &At, key: Option<&[u8]>, item: V, _out: &mut Outbox) {
        let Some(key) = key else {
            self.counts.null_keys += 1;
            return;
        };
        match K::validate(key) {
            Ok(()) => {
                self.stream_time = at.stream_time;
                self.operators.inputs().push(*at, key, item);
            }
            Err(error) => {
                self.counts.malformed_keys += 1;
                tracing::debug!(offset = %at.offset, %error, "record skipped: malformed key");
            }
        }
    }

    fn after(&mut self, at: &At, _out: &mut Outbox) {
        if at.stream_time > self.stream_time {
            self.stream_time = at.stream_time;
            self.operators.inputs().push_time(*at);
        }
    }

    fn batch_end(&mut self, _at: &At, out: &mut Outbox) {
        self.operators.run(out);
        self.counters.add(&std::mem::take(&mut self.counts));
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        self.operators.idle(at, out);
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        self.operators.end(at, out);
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        self.operators.walk(walk);
    }
}
