//! What a run counts, readable while it runs.
//!
//! Tasks count in plain fields and publish once per batch; a reader sees numbers that are at most a
//! batch old. Two things that are easily confused have two counters: a record is *late* for a
//! window that is closed (and is left out of it), and merely *out of order* when its event time
//! lies behind stream time but all is well, because some window still takes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use brooklet_protocol::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

/// Declares a set of counters and its snapshot.
macro_rules! counters {
    ($(#[$doc:meta])* $live:ident => $report:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $live { $(pub(crate) $field: AtomicU64),* }

        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $report { $($(#[$field_doc])* pub $field: u64),* }

        impl $live {
            /// Adds a batch's counts.
            pub(crate) fn add(&self, counts: &$report) {
                $(self.$field.fetch_add(counts.$field, Relaxed);)*
            }
            fn read(&self) -> $report {
                $report { $($field: self.$field.load(Relaxed)),* }
            }
        }
    };
}

counters! {
    /// What came in by one `stream(…)`.
    SourceCounters => SourceCounts {
        /// Records read.
        records,
        /// Values that the records held: one each, unless the codec reads several from a record.
        items,
        /// Values that did not decode: skipped.
        malformed,
        /// Records without a value: skipped.
        null_values,
        /// Values with an impossible event time (negative, or the very end of time), or with none:
        /// skipped.
        impossible_times,
        /// Values whose event time is further ahead than the maximum jump: in their windows, but
        /// stream time does not follow them alone.
        future,
        /// Records that were to be keyed by their own key and had none: skipped.
        null_keys,
        /// Records that were to be keyed by their own key, and it did not decode: skipped.
        malformed_keys,
    }
}

counters! {
    /// What came through one repartition topic.
    RepartitionCounters => RepartitionCounts {
        /// Records, without markers.
        records,
        /// Records that are not ours, or did not decode: skipped.
        malformed,
    }
}

counters! {
    /// What one window operator did.
    WindowCounters => WindowCounts {
        /// Records processed.
        records,
        /// Records left out of every window they belong to.
        late_records,
        /// Pairs of a record and a window that was closed to it; with tumbling windows equal to
        /// `late_records`.
        late_pairs,
        /// Records behind stream time that some window still took.
        out_of_order,
        /// Final results emitted.
        finals,
    }
}

/// Where one task of a window operator stands.
#[derive(Debug)]
pub(crate) struct WindowGauge {
    pub(crate) stream_time: AtomicI64,
    pub(crate) closed_to: AtomicI64,
    pub(crate) open_windows: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct WindowMetrics {
    pub(crate) counters: WindowCounters,
    gauges: Mutex<Vec<Arc<WindowGauge>>>,
}

impl WindowMetrics {
    /// Registers one more task.
    pub(crate) fn gauge(&self) -> Arc<WindowGauge> {
        let gauge = Arc::new(WindowGauge {
            stream_time: AtomicI64::new(Timestamp::MIN.0),
            closed_to: AtomicI64::new(Timestamp::MIN.0),
            open_windows: AtomicU64::new(0),
        });
        self.gauges.lock().push(Arc::clone(&gauge));
        gauge
    }

    fn read(&self) -> WindowReport {
        let gauges = self.gauges.lock();
        let lowest = |of: fn(&WindowGauge) -> &AtomicI64| {
            let lowest = gauges.iter().map(|gauge| of(gauge).load(Relaxed)).min();
            Timestamp(lowest.unwrap_or(Timestamp::MIN.0))
        };
        WindowReport {
            counts: self.counters.read(),
            stream_time: lowest(|gauge| &gauge.stream_time),
            closed_to: lowest(|gauge| &gauge.closed_to),
            open_windows: gauges.iter().map(|g| g.open_windows.load(Relaxed)).sum(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RepartitionMetrics {
    pub(crate) counters: RepartitionCounters,
    waiting: Mutex<Vec<Arc<AtomicU64>>>,
}

impl RepartitionMetrics {
    /// Registers one more task.
    pub(crate) fn gauge(&self) -> Arc<AtomicU64> {
        let gauge = Arc::new(AtomicU64::new(0));
        self.waiting.lock().push(Arc::clone(&gauge));
        gauge
    }

    fn read(&self) -> RepartitionReport {
        let waiting = self.waiting.lock();
        RepartitionReport {
            counts: self.counters.read(),
            waiting: waiting.iter().map(|gauge| gauge.load(Relaxed)).sum(),
        }
    }
}

/// Counters and standing of one repartition topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepartitionReport {
    /// The counters.
    #[serde(flatten)]
    pub counts: RepartitionCounts,
    /// Records and markers held back until something comes from a silent sender.
    pub waiting: u64,
}

/// Counters and standing of one window operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// The counters.
    #[serde(flatten)]
    pub counts: WindowCounts,
    /// The lowest stream time of its tasks; [`Timestamp::MIN`] before the first record,
    /// [`Timestamp::MAX`] after the end of a bounded input.
    #[serde(with = "crate::time::as_millis")]
    pub stream_time: Timestamp,
    /// Windows that end at or before this are closed in every task; a session counts as ended a gap
    /// after its last record.
    #[serde(with = "crate::time::as_millis")]
    pub closed_to: Timestamp,
    /// Windows that hold data and are open, summed over tasks.
    pub open_windows: u64,
}

/// What a run has counted, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// By topic; the second `stream(…)` of a topic is `TOPIC#2`, and so on.
    pub sources: BTreeMap<String, SourceCounts>,
    /// By topic.
    pub repartitions: BTreeMap<String, RepartitionReport>,
    /// By the operator's name.
    pub windows: BTreeMap<String, WindowReport>,
    /// Items for a topic that their codec could not encode: lost, with an error in the log for
    /// each.
    pub unencodable: u64,
}

impl RunReport {
    /// Records read from all sources.
    pub fn records_in(&self) -> u64 {
        self.sources.values().map(|source| source.records).sum()
    }

    /// Records skipped because they did not decode, keys and repartition topics included.
    pub fn malformed(&self) -> u64 {
        let of_source = |source: &SourceCounts| source.malformed + source.malformed_keys;
        let sources: u64 = self.sources.values().map(of_source).sum();
        let repartitions = self.repartitions.values();
        sources + repartitions.map(|r| r.counts.malformed).sum::<u64>()
    }
}

#[derive(Debug, Default)]
struct Registered {
    sources: BTreeMap<String, Arc<SourceCounters>>,
    repartitions: BTreeMap<String, Arc<RepartitionMetrics>>,
    windows: BTreeMap<String, Arc<WindowMetrics>>,
    unencodable: Arc<AtomicU64>,
}

/// A handle on a program's counters. Cheap to clone; good before, during and after the run.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Registered>>);

impl Metrics {
    /// All numbers now.
    pub fn snapshot(&self) -> RunReport {
        let registered = self.0.lock();
        let named = |name: &String| name.clone();
        RunReport {
            sources: registered
                .sources
                .iter()
                .map(|(n, m)| (named(n), m.read()))
                .collect(),
            repartitions: registered
                .repartitions
                .iter()
                .map(|(n, m)| (named(n), m.read()))
                .collect(),
            windows: registered
                .windows
                .iter()
                .map(|(n, m)| (named(n), m.read()))
                .collect(),
            unencodable: registered.unencodable.load(Relaxed),
        }
    }

    pub(crate) fn unencodable(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.lock().unencodable)
    }

    pub(crate) fn source(&self, topic: &str) -> Arc<SourceCounters> {
        let sources = &mut self.0.lock().sources;
        let mut name = topic.to_owned();
        let mut number = 1;
        while sources.contains_key(&name) {
            number += 1;
            name = format!("{topic}#{number}");
        }
        Arc::clone(sources.entry(name).or_default())
    }

    pub(crate) fn repartition(&self, topic: &str) -> Arc<RepartitionMetrics> {
        Arc::clone(
            self.0
                .lock()
                .repartitions
                .entry(topic.to_owned())
                .or_default(),
        )
    }

    pub(crate) fn window(&self, name: &str) -> Arc<WindowMetrics> {
        Arc::clone(self.0.lock().windows.entry(name.to_owned()).or_default())
    }
}
