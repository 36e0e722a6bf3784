//! The account of a query: what happened to every record that was read.
//!
//! ```text
//! records read = records with rows + records without a value
//! rows         = counted + too late + malformed + header lines + with an impossible time
//! ```
//!
//! A JSON record is one row, and so is a line of CSV; if every record is one row, both sums are
//! printed as one. A row is *counted* if any window accepted it, and *too late* if none did. If a
//! run is stopped early, some rows are still on their way to the windows; they are reported, too.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_engine::RunReport;

use super::number::Number;

/// Counts of the readers and aggregates, in addition to the engine's.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Lines that repeat the column names; the engine counts them as malformed.
    pub(super) headers: AtomicU64,
    /// Sums that did not fit and were rounded or became infinite.
    pub(super) overflows: AtomicU64,
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
}

/// What happened to the records, and to the rows in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    records: u64,
    no_value: u64,
    rows: u64,
    counted: u64,
    late: u64,
    /// Pairs of a row and a window that had closed before it.
    late_pairs: u64,
    malformed: u64,
    headers: u64,
    impossible_times: u64,
    results: u64,
    overflows: u64,
    absent: Vec<(String, u64)>,
}

impl Account {
    /// The account of a run with this report.
    pub(super) fn new(report: &RunReport, tally: &Tally) -> Self {
        let mut account = Self {
            headers: tally.headers.load(Relaxed),
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
    use std::sync::Arc;

    use brooklet_engine::dsl::Malformed;
    use brooklet_engine::time::Timestamp;
    use brooklet_engine::{Final, TestDriver};
    use proptest::prelude::*;

    use super::*;
    use crate::window::aggregate::Answer;
    use crate::window::fields::Fields;
    use crate::window::program::program;
    use crate::window::{Args, query, windows};

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

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Values of all kinds, and pieces of them.
    fn any_value() -> impl Strategy<Value = Option<Vec<u8>>> {
        let pieces = [
            "{\"at\":",
            "}",
            "1000",
            "-1",
            "99999999999999999",
            "\"2026-06-25T09:15:00+02:00\"",
            ",\"k\":",
            "\"a\"",
            "null",
            ",\"n\":",
            "7",
            "1e400",
            "NaN",
            ",",
            "\n",
            "\r\n",
            "\"",
            " ",
            "at,k,n",
            "\u{feff}",
            "5,a,1",
            "400000,b,",
            "x",
        ];
        let piece =
            proptest::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec());
        let bytes = proptest::collection::vec(any::<u8>(), 0..3);
        let json = (0i64..900_000, 0..3)
            .prop_map(|(at, n)| format!("{{\"at\":{at},\"k\":{n},\"n\":{n}}}").into_bytes());
        let csv = proptest::collection::vec((0i64..900_000, 0..3), 0..4).prop_map(|rows| {
            let rows = rows.iter().map(|(at, n)| format!("{at},{n},{n}\n"));
            rows.collect::<String>().into_bytes()
        });
        let mixed = proptest::collection::vec(prop_oneof![4 => piece, 1 => bytes], 0..8)
            .prop_map(|all| all.concat());
        proptest::option::weighted(0.9, prop_oneof![mixed, json, csv])
    }

    /// How many rows a text without quotes holds, at least one for what is no text or empty.
    fn lines_of(value: &[u8]) -> usize {
        let text = str::from_utf8(value).unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
        lines.count().max(1)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn nothing_vanishes(
            mut values in proptest::collection::vec((0..2, any_value(), -5i64..900_000), 0..30),
            has_quotes: bool,
            is_csv: bool,
            is_timed: bool,
            is_hopping: bool,
        ) {
            for (_, value, _) in &mut values {
                let value = value.iter_mut().filter(|_| !has_quotes);
                value.for_each(|value| value.retain(|byte| *byte != b'"'));
            }
            let mut line = vec!["window", "t", "--size", "1m", "--grace", "10s", "--by", "/k", "--agg", "count", "--agg", "sum:/n", "--late-to", "late"];
            if is_csv {
                line.extend(["--format", "csv", "--columns", "at,k,n"]);
            }
            if is_timed {
                line.extend(["--time", "/at"]);
            }
            if is_hopping {
                line.extend(["--hop", "20s"]);
            }
            let args = <Line as clap::Parser>::parse_from(line).args;
            let query = query(&args).unwrap();
            let tally = Arc::new(Tally::new(&query.numbers));
            let numbers = query.numbers.clone();
            let fields = Fields::new(query, Arc::clone(&tally)).unwrap();
            let (results, skipped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (count, skip) = (Arc::clone(&results), Arc::clone(&skipped));
            let print = move |result: Final<String, Vec<Answer>>| match result.value[0] {
                Answer::Number(Number::Whole(rows)) => {
                    count.fetch_add(rows as u64, Relaxed);
                }
                other => panic!("{other:?} is no count"),
            };
            let malformed = move |_: &Malformed<'_>| {
                skip.fetch_add(1, Relaxed);
            };
            let read = (fields, numbers, Arc::clone(&tally));
            let app = program("q", &args, read, windows(&args).unwrap(), print, malformed);
            let mut driver = TestDriver::new(app, 2).unwrap();
            for (partition, value, timestamp) in &values {
                driver.pipe("t", *partition, None, value.as_deref(), Timestamp(*timestamp));
            }
            driver.end();

            let account = Account::new(&driver.report(), &tally);
            let no_value = values.iter().filter(|(_, value, _)| value.is_none()).count() as u64;
            prop_assert_eq!((account.records, account.no_value), (values.len() as u64, no_value));
            let skipped_rows = account.malformed + account.headers + account.impossible_times;
            prop_assert_eq!(account.rows, account.counted + account.late + skipped_rows);
            prop_assert!(account.rows >= account.records - no_value);
            if is_csv && !has_quotes {
                let rows = values.iter().filter_map(|(_, value, _)| Some(lines_of(value.as_ref()?)));
                prop_assert_eq!(account.rows, rows.sum::<usize>() as u64);
            }
            prop_assert!(is_csv || account.rows == account.records - no_value);
            // What is skipped was shown, what is late was written, and what is counted is in the
            // results.
            prop_assert_eq!(skipped.load(Relaxed), skipped_rows + no_value);
            prop_assert_eq!(driver.read("late").len() as u64, account.late_pairs);
            let in_windows = results.load(Relaxed);
            let is_whole = in_windows == account.counted || (is_hopping && in_windows > account.counted);
            prop_assert!(is_whole, "{} of {}", in_windows, account.counted);
            prop_assert!(!account.to_text().contains("on their way"));
        }
    }
}
