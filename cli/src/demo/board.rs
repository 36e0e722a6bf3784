//! What the demo knows while it runs: the figures behind the table.
//!
//! A plain value: the queries write their results into it, [`super::screen`] and in the end
//! [`super::lesson`] read it. It knows no clock and no terminal, so that every picture can be
//! tested.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::Timestamp;

/// One hour, the size of the windows, in milliseconds.
pub(super) const WINDOW_MS: i64 = 3_600_000;

/// The airports, in the order in which they are shown.
pub(super) const ORIGINS: [&str; 3] = ["EWR", "JFK", "LGA"];

/// Count and sum of delays of one window of one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) count: i64,
    pub(super) delay_min_sum: i64,
    /// Whether this is the final result, which never changes again.
    pub(super) closed: bool,
}

impl Cell {
    /// Minutes.
    pub(super) fn mean(&self) -> f64 {
        self.delay_min_sum as f64 / self.count.max(1) as f64
    }
}

/// What one query has found so far.
#[derive(Clone, Debug)]
pub(super) struct QueryBoard {
    pub(super) name: &'static str,
    /// How long its windows wait for stragglers.
    pub(super) grace: Duration,
    /// By window start (ms) and origin.
    pub(super) cells: BTreeMap<(i64, String), Cell>,
    pub(super) late: u64,
}

impl QueryBoard {
    pub(super) fn new(name: &'static str, grace: Duration) -> Self {
        Self {
            name,
            grace,
            cells: BTreeMap::new(),
            late: 0,
        }
    }

    /// Notes a window's result, final or so far. Finals and updates come by two branches of the
    /// program, so an update may arrive after the final that it preceded; it is ignored.
    pub(super) fn note(&mut self, window_start_ms: i64, origin: String, cell: Cell) {
        let noted = self.cells.entry((window_start_ms, origin)).or_default();
        if cell.closed || !noted.closed {
            *noted = cell;
        }
    }

    /// Count and mean delay over all windows.
    pub(super) fn total(&self) -> (i64, f64) {
        let sum = self.cells.values().fold(Cell::default(), |sum, cell| Cell {
            count: sum.count + cell.count,
            delay_min_sum: sum.delay_min_sum + cell.delay_min_sum,
            closed: false,
        });
        (sum.count, sum.mean())
    }

    /// The time up to which windows are closed, given the stream time.
    pub(super) fn closed_up_to(&self, stream_time: Timestamp) -> Option<Timestamp> {
        let grace_ms = i64::try_from(self.grace.as_millis()).ok()?;
        let horizon = stream_time.0.checked_sub(grace_ms)?;
        Some(Timestamp(horizon.div_euclid(WINDOW_MS) * WINDOW_MS))
    }
}

/// Everything the table shows.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) queries: Vec<QueryBoard>,
    /// Records that the queries have read so far.
    pub(super) records_in: u64,
    pub(super) records_total: u64,
    /// Records that could not be read.
    pub(super) malformed: u64,
    /// Stream time: the lowest of the partitions' highest event times.
    pub(super) stream_time: Option<Timestamp>,
}

impl Board {
    /// The starts (ms) of the hours to show: that of stream time and the `count - 1` hours before
    /// it.
    pub(super) fn hours(&self, count: i64) -> impl Iterator<Item = i64> + use<> {
        let current = self
            .stream_time
            .map(|t| t.0.div_euclid(WINDOW_MS) * WINDOW_MS);
        (0..count)
            .rev()
            .filter_map(move |back| current.map(|c| c - back * WINDOW_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_closed_up_to_the_last_full_hour_it_no_longer_waits_for() {
        let fast = QueryBoard::new("fast", Duration::from_secs(45 * 60));
        let hour = |h: i64| h * WINDOW_MS;
        let minutes = |m: i64| m * 60_000;
        // The window [4:00, 5:00) is closed once stream time reaches 5:45.
        let closed = |at| fast.closed_up_to(Timestamp(at)).map(|t| t.0);
        assert_eq!(closed(hour(5) + minutes(44)), Some(hour(4)));
        assert_eq!(closed(hour(5) + minutes(45)), Some(hour(5)));
    }

    #[test]
    fn a_final_stays_even_if_an_update_is_heard_after_it() {
        let mut query = QueryBoard::new("fast", Duration::ZERO);
        let last = Cell {
            count: 2,
            delay_min_sum: 9,
            closed: true,
        };
        query.note(0, "EWR".into(), last);
        query.note(
            0,
            "EWR".into(),
            Cell {
                count: 1,
                delay_min_sum: 4,
                closed: false,
            },
        );
        assert_eq!(query.cells[&(0, "EWR".into())], last);
    }

    #[test]
    fn the_mean_is_over_records_not_over_windows() {
        let mut query = QueryBoard::new("fast", Duration::ZERO);
        query.note(
            0,
            "EWR".into(),
            Cell {
                count: 1,
                delay_min_sum: 40,
                closed: true,
            },
        );
        query.note(
            0,
            "JFK".into(),
            Cell {
                count: 3,
                delay_min_sum: 0,
                closed: false,
            },
        );
        assert_eq!(query.total(), (4, 10.0));
    }
}
