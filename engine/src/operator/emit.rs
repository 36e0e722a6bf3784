//! The emitter of a window operator: what leaves, and which time it carries.
//!
//! Results travel on to other stages, so they need a place in time that is the same in every run.
//! A final or an update has the highest event time that contributed to it. The stream time that
//! travels with it is the *floor*: no result to come has a lower event time, because every window
//! that could hold one has closed. So no result can be late in the next stage because this one
//! waited. The floor moves only after all results of a step are out: to the next stage they belong
//! to one moment, however many tasks made them.
//!
//! Late records leave in order of arrival; the stream time of their port is the highest event time
//! among them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use brooklet_protocol::Timestamp;

use super::results::{Final, Late, Update};
use super::rule::Rule;
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::port::Port;
use crate::branch::progress::{Progress, Standing, Walk};
use crate::codec::DecodeError;
use crate::key::Key;
use crate::metrics::{WindowCounts, WindowGauge, WindowMetrics};
use crate::store::Slot;
use crate::window::Window;

/// The three outputs of a window operator.
pub(crate) struct Ports<K, V, T> {
    pub(crate) finals: Port<Final<K, T>>,
    pub(crate) updates: Port<Update<K, T>>,
    pub(crate) late: Port<Late<K, V>>,
}

/// See the module.
pub(crate) struct Emitter<K, V, T> {
    ports: Ports<K, V, T>,
    /// No result to come has a lower event time.
    floor: Timestamp,
    /// The highest event time among the late records.
    late_time: Timestamp,
    pub(crate) counts: WindowCounts,
    metrics: Arc<WindowMetrics>,
    gauge: Arc<WindowGauge>,
}

impl<K: Key, V: Clone, T: Clone> Emitter<K, V, T> {
    pub(crate) fn new(ports: Ports<K, V, T>, metrics: Arc<WindowMetrics>) -> Self {
        Self {
            ports,
            floor: Timestamp(0),
            late_time: Timestamp::MIN,
            counts: WindowCounts::default(),
            gauge: metrics.gauge(),
            metrics,
        }
    }

    /// Whether any branch wants updates; if not, they need not be computed.
    pub(crate) fn wants_updates(&self) -> bool {
        self.ports.updates.is_wanted()
    }

    /// The result of a window that has just closed.
    pub(crate) fn emit_final<A>(
        &mut self,
        at: &At,
        (key, window): (&[u8], Window),
        slot: &Slot<A>,
        lower: impl FnOnce(&A) -> T,
    ) {
        self.counts.finals += 1;
        if !self.ports.finals.is_wanted() {
            return;
        }
        let Some(key) = known_key(key) else { return };
        let result = Final {
            key,
            window,
            value: lower(&slot.acc),
            timestamp: slot.timestamp,
            stream_time: at.stream_time,
        };
        let at = self.outgoing(at, slot.timestamp);
        self.ports.finals.emit(at, result);
    }

    /// The result so far of an open window; `None` for one that was merged into another.
    pub(crate) fn emit_update(
        &mut self,
        at: &At,
        (key, window): (&[u8], Window),
        value: Option<T>,
        timestamp: Timestamp,
    ) {
        let Some(key) = known_key(key) else { return };
        let update = Update {
            key,
            window,
            value,
            timestamp,
            stream_time: at.stream_time,
        };
        let at = self.outgoing(at, timestamp);
        self.ports.updates.emit(at, update);
    }

    /// A record that came too late for a window.
    pub(crate) fn emit_late(
        &mut self,
        at: &At,
        (key, value): (&[u8], &V),
        window: Window,
        close_at: Timestamp,
    ) {
        self.late_time = self.late_time.max(at.event_time);
        self.counts.late_pairs += 1;
        if !self.ports.late.is_wanted() {
            return;
        }
        let Some(key) = known_key(key) else { return };
        let late = Late {
            key,
            value: value.clone(),
            timestamp: at.event_time,
            window,
            close_at,
            stream_time: at.stream_time,
        };
        let stream_time = self.late_time;
        self.ports.late.emit(At { stream_time, ..*at }, late);
    }

    /// All results of this step are out, and none to come has an event time below `floor`.
    pub(crate) fn raise(&mut self, at: &At, floor: Timestamp) {
        if floor > self.floor {
            self.floor = floor;
            let at = self.outgoing(at, at.event_time);
            self.ports.finals.advance(at);
            self.ports.updates.advance(at);
        }
    }

    /// The place of a result in the input of the next stage.
    fn outgoing(&self, at: &At, event_time: Timestamp) -> At {
        let stream_time = match at.stream_time {
            Timestamp::MAX => Timestamp::MAX,
            _ => self.floor,
        };
        At {
            event_time,
            stream_time,
            ..*at
        }
    }

    fn late_at(&self, at: &At) -> At {
        let stream_time = self.late_time;
        At { stream_time, ..*at }
    }

    /// A batch is done: hands what was collected to the branches.
    pub(crate) fn flush(&mut self, at: &At, rule: &Rule, open_windows: u64, out: &mut Outbox) {
        let outgoing = self.outgoing(at, at.event_time);
        self.ports.finals.flush(&outgoing, out);
        self.ports.updates.flush(&outgoing, out);
        let late = self.late_at(at);
        self.ports.late.flush(&late, out);
        self.metrics.counters.add(&std::mem::take(&mut self.counts));
        self.gauge.stream_time.store(rule.stream_time().0, Relaxed);
        self.gauge.closed_to.store(rule.closed_to().0, Relaxed);
        self.gauge.open_windows.store(open_windows, Relaxed);
    }

    /// There is no input for now.
    pub(crate) fn idle(&mut self, at: &At, out: &mut Outbox) {
        let outgoing = self.outgoing(at, at.event_time);
        self.ports.finals.idle(&outgoing, out);
        self.ports.updates.idle(&outgoing, out);
        let late = self.late_at(at);
        self.ports.late.idle(&late, out);
    }

    /// The input has ended.
    pub(crate) fn end(&mut self, at: &At, out: &mut Outbox) {
        self.ports.finals.end(at, out);
        self.ports.updates.end(at, out);
        self.ports.late.end(at, out);
    }

    pub(crate) fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut Times {
            floor: &mut self.floor,
            late_time: &mut self.late_time,
        });
        self.ports.finals.walk(walk);
        self.ports.updates.walk(walk);
        self.ports.late.walk(walk);
    }
}

/// The key that has these bytes. They were validated when they came in.
fn known_key<K: Key>(bytes: &[u8]) -> Option<K> {
    let key = K::from_bytes(bytes);
    debug_assert!(
        key.is_ok(),
        "keys are validated before an operator sees them"
    );
    key.ok()
}

struct Times<'a> {
    floor: &'a mut Timestamp,
    late_time: &'a mut Timestamp,
}

impl Standing for Times<'_> {
    fn save(&self, to: &mut Progress) {
        to.put_time(*self.floor);
        to.put_time(*self.late_time);
    }

    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError> {
        *self.floor = from.time()?;
        *self.late_time = from.time()?;
        Ok(())
    }
}
