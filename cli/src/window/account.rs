//! The account of a query: what happened to every record that was read.
//!
//! ```text
//! records read = records with rows + records without a value
//! rows         = counted + too late + malformed + header lines + with an impossible time
//! ```
//!
//! A JSON record is one row, and so is a line of CSV; if every record is one row, both sums are
//! printed as one. A row is *counted* if any window accepted it, and *too late* if none did. With
//! sliding windows a row is counted, too, if its own window has closed and it was kept for windows
//! of other rows; the account says how often a row came after its window had closed. If a run is
//! stopped early, some rows are still on their way to the windows; they are reported, too.
//!
//! Results are windows that have closed. Updates and retractions are counted beside them, and sums
//! that were too large only in the results, so that none counts twice.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_engine::RunReport;

use super::change::{Change, Mark};
use super::number::Number;

/// Counts of what was read and printed, in addition to the engine's.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Lines that repeat the column names; the engine counts them as malformed.
    pub(super) headers: AtomicU64,
    /// Sums that did not fit and were rounded or became infinite.
    overflows: AtomicU64,
    /// Results so far that were printed.
    updates: AtomicU64,
    /// Results so far that were taken back.
    retractions: AtomicU64,
    /// Rows without a number, for each field.
    absent: Vec<(String, AtomicU64)>,
}

impl Tally {
    /// For rows with these numbers.
    pub(super) fn new(numbers: &[String]) -> Self {
        let absent = numbers.iter().map(|name| (name.clone(), AtomicU64::new(0)));
        Self {
            absent: absent.collect(),
            ..Self::default()
        }
    }

    /// Counts the numbers that a row does not have.
    pub(super) fn note_absent(&self, numbers: &[Option<Number>]) {
        for ((_, count), number) in self.absent.iter().zip(numbers) {
            if number.is_none() {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// Counts a printed row.
    pub(super) fn note_printed(&self, change: &Change) {
        let overflows = || change.answers.iter().filter(|answer| answer.is_too_large());
        match change.mark {
            Mark::Update => self.updates.fetch_add(1, Relaxed),
            Mark::Retraction => self.retractions.fetch_add(1, Relaxed),
            Mark::Final => self
                .overflows
                .fetch_add(overflows().count() as u64, Relaxed),
        };
    }
}

/// What happened to the records, and to the rows in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) records: u64,
    pub(super) no_value: u64,
    pub(super) rows: u64,
    pub(super) counted: u64,
    pub(super) late: u64,
    /// Pairs of a row and a window that had closed before it.
    pub(super) late_pairs: u64,
    pub(super) malformed: u64,
    pub(super) headers: u64,
    pub(super) impossible_times: u64,
    pub(super) results: u64,
    pub(super) updates: u64,
    pub(super) retractions: u64,
    pub(super) overflows: u64,
    pub(super) absent: Vec<(String, u64)>,
}

impl Account {
    /// The account of a run with this report.
    pub(super) fn new(report: &RunReport, tally: &Tally) -> Self {
        let mut account = Self {
            headers: tally.headers.load(Relaxed),
            updates: tally.updates.load(Relaxed),
            retractions: tally.retractions.load(Relaxed),
            overflows: tally.overflows.load(Relaxed),
            ..Self::default()
        };
        for source in report.sources.values() {
            account.records += source.records;
            account.no_value += source.null_values;
            account.rows += source.items;
            account.malformed += source.malformed;
            account.impossible_times += source.impossible_times;
        }
        account.malformed = account.malformed.saturating_sub(account.headers);
        for window in report.windows.values() {
            account.counted += window.counts.records - window.counts.late_records;
            account.late += window.counts.late_records;
            account.late_pairs += window.counts.late_pairs;
            account.results += window.counts.finals;
        }
        let absent = tally.absent.iter();
        let absent = absent.map(|(name, count)| (name.clone(), count.load(Relaxed)));
        account.absent = absent.filter(|(_, count)| *count > 0).collect();
        account
    }

    /// Rows that no window has seen: none, at the end of a run.
    pub(super) fn under_way(&self) -> u64 {
        let seen = self.counted + self.late;
        let skipped = self.malformed + self.headers + self.impossible_times;
        self.rows.saturating_sub(seen + skipped)
    }

    /// The account on one line.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{} read", counted(self.records, "record"));
        // Every record with a value has at least one row.
        let is_row_each = self.rows == self.records - self.no_value;
        if !is_row_each {
            if self.no_value > 0 {
                write!(text, ", {} of them without a value", self.no_value).expect(ENOUGH);
            }
            write!(text, "; {}", counted(self.rows, "row")).expect(ENOUGH);
        }
        let (counted_rows, late, malformed) = (self.counted, self.late, self.malformed);
        write!(
            text,
            ": {counted_rows} counted, {late} too late, {malformed} malformed"
        )
        .expect(ENOUGH);
        let no_value = if is_row_each { self.no_value } else { 0 };
        for (count, what) in [
            (no_value, "without a value".to_owned()),
            (self.headers, plural(self.headers, "header line")),
            (self.impossible_times, "with an impossible time".to_owned()),
            (self.under_way(), "still on their way".to_owned()),
        ] {
            if count > 0 {
                write!(text, ", {count} {what}").expect(ENOUGH);
            }
        }
        write!(text, "; {}", counted(self.results, "result")).expect(ENOUGH);
        self.add_remarks(&mut text);
        text
    }

    fn add_remarks(&self, text: &mut String) {
        if self.updates > 0 {
            write!(text, "; {}", counted(self.updates, "update")).expect(ENOUGH);
        }
        if self.retractions > 0 {
            write!(text, " and {}", counted(self.retractions, "retraction")).expect(ENOUGH);
        }
        if self.late_pairs > self.late {
            let times = counted(self.late_pairs, "time");
            write!(text, "; {times} a row came after its window had closed").expect(ENOUGH);
        }
        for (field, count) in &self.absent {
            write!(text, "; {} without {field}", counted(*count, "row")).expect(ENOUGH);
        }
        if self.overflows > 0 {
            let sums = counted(self.overflows, "sum");
            write!(text, "; {sums} too large to be exact").expect(ENOUGH);
        }
    }
}

const ENOUGH: &str = "a String takes all";

fn counted(count: u64, what: &str) -> String {
    format!("{count} {}", plural(count, what))
}

fn plural(count: u64, what: &str) -> String {
    match count {
        1 => what.to_owned(),
        _ => format!("{what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_one_row_is_accounted_for_once() {
        let account = Account {
            records: 12,
            no_value: 1,
            rows: 11,
            counted: 6,
            late: 1,
            late_pairs: 1,
            malformed: 3,
            headers: 1,
            results: 6,
            ..Account::default()
        };
        assert_eq!(
            account.to_text(),
            "12 records read: 6 counted, 1 too late, 3 malformed, 1 without a value, \
             1 header line; 6 results"
        );
        let with_updates = Account {
            updates: 7,
            retractions: 1,
            ..account
        };
        let text = with_updates.to_text();
        assert!(
            text.ends_with("; 6 results; 7 updates and 1 retraction"),
            "{text}"
        );
        let empty = "0 records read: 0 counted, 0 too late, 0 malformed; 0 results";
        assert_eq!(Account::default().to_text(), empty);
    }

    #[test]
    fn rows_are_accounted_for_beside_the_records_that_hold_them() {
        let account = Account {
            records: 2,
            no_value: 1,
            rows: 9,
            counted: 5,
            late: 1,
            late_pairs: 4,
            impossible_times: 1,
            results: 1,
            overflows: 1,
            absent: vec![("price".into(), 2)],
            ..Account::default()
        };
        assert_eq!(
            account.to_text(),
            "2 records read, 1 of them without a value; 9 rows: 5 counted, 1 too late, \
             0 malformed, 1 with an impossible time, 2 still on their way; 1 result; \
             4 times a row came after its window had closed; 2 rows without price; \
             1 sum too large to be exact"
        );
    }
}
