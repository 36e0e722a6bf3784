//! Laws of a whole query, over values of all kinds: nothing vanishes, and all is in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_engine::TestDriver;
use brooklet_engine::dsl::Malformed;
use brooklet_engine::time::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::account::{Account, Tally};
use super::aggregate::Answer;
use super::change::{Change, Mark};
use super::fields::Fields;
use super::number::Number;
use super::printer::Columns;
use super::program::{Made, program};
use super::{Args, query};

/// One of each kind of windows.
const KINDS: [(&str, Rows); 6] = [
    ("--size 1m", Rows::Once),
    ("--size 1m --hop 20s", Rows::Often),
    ("--size 1m --step 20s", Rows::Often),
    ("--every day@Europe/Berlin", Rows::Once),
    ("--session 20s", Rows::Once),
    ("--sliding 20s", Rows::UnlessLate),
];

/// In how many results a row is that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    Once,
    /// At least one.
    Often,
    /// At least one, unless its own window had closed.
    UnlessLate,
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
    let piece = proptest::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec());
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

/// What a query printed and counted.
struct Ran {
    printed: Vec<Change>,
    skipped: u64,
    account: Account,
    late_written: usize,
}

/// Runs a query over values with their partitions and timestamps, cut into batches by a seed.
fn ran(line: &str, seed: u64, values: &[(i32, Option<Vec<u8>>, i64)]) -> Ran {
    let args = <Line as clap::Parser>::parse_from(line.split(' ')).args;
    let query = query(&args).unwrap();
    let tally = Arc::new(Tally::new(&query.numbers));
    let made = Made {
        numbers: query.numbers.clone(),
        fields: Fields::new(query, Arc::clone(&tally)).unwrap(),
        kind: args.windows.kind().unwrap(),
        columns: Columns {
            names: Vec::new(),
            has_marks: false,
            has_millis: false,
        },
        tally: Arc::clone(&tally),
    };
    let (printed, skipped) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicU64::new(0)));
    let (all, skip) = (Arc::clone(&printed), Arc::clone(&skipped));
    let print = move |change: Change| all.lock().push(change);
    let malformed = move |_: &Malformed<'_>| {
        skip.fetch_add(1, Relaxed);
    };
    let app = program("q", &args, made, print, malformed);
    let mut driver = TestDriver::new(app, 2).unwrap().scheduled(seed);
    for (partition, value, timestamp) in values {
        driver.pipe(
            "t",
            *partition,
            None,
            value.as_deref(),
            Timestamp(*timestamp),
        );
    }
    driver.end();
    let printed = std::mem::take(&mut *printed.lock());
    Ran {
        printed,
        skipped: skipped.load(Relaxed),
        account: Account::new(&driver.report(), &tally),
        late_written: driver.read("late").len(),
    }
}

/// How many rows all finals count. Checks their order: with updates, a final follows all updates of
/// its window and equals the last, and a retraction follows the update that it takes back.
fn rows_in_finals(printed: &[Change], has_updates: bool) -> Result<u64, TestCaseError> {
    let (mut rows, mut open) = (0, BTreeMap::new());
    for change in printed {
        let of = (change.key.clone(), change.window);
        match change.mark {
            Mark::Update => drop(open.insert(of, change.answers.clone())),
            Mark::Retraction => prop_assert!(open.remove(&of).is_some(), "{change:?}"),
            Mark::Final => {
                if has_updates {
                    prop_assert_eq!(open.remove(&of), Some(change.answers.clone()));
                }
                match change.answers[0] {
                    Answer::Number(Number::Whole(count)) => rows += count as u64,
                    other => panic!("{other:?} is no count"),
                }
            }
        }
    }
    prop_assert!(open.is_empty(), "still open: {open:?}");
    Ok(rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_vanishes(
        mut values in proptest::collection::vec((0..2, any_value(), -5i64..900_000), 0..30),
        has_quotes: bool,
        is_csv: bool,
        is_timed: bool,
        has_updates: bool,
        seed: u64,
        (windows, in_results) in proptest::sample::select(KINDS.to_vec()),
    ) {
        for (_, value, _) in &mut values {
            let value = value.iter_mut().filter(|_| !has_quotes);
            value.for_each(|value| value.retain(|byte| *byte != b'"'));
        }
        let mut line = format!(
            "window t {windows} --grace 10s --by /k --agg count --agg sum:/n --late-to late"
        );
        for (is_on, more) in [
            (is_csv, " --format csv --columns at,k,n"),
            (is_timed, " --time /at"),
            (has_updates, " --updates"),
        ] {
            line.extend(is_on.then_some(more));
        }
        let Ran { printed, skipped, account, late_written } = ran(&line, seed, &values);

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
        // results; all that the account says was printed was printed.
        prop_assert_eq!(skipped, skipped_rows + no_value);
        prop_assert_eq!(late_written as u64, account.late_pairs);
        let rows = rows_in_finals(&printed, has_updates)?;
        let missed_own = account.late_pairs - account.late;
        let is_whole = match in_results {
            Rows::Once => rows == account.counted,
            Rows::Often => rows >= account.counted,
            Rows::UnlessLate => rows >= account.counted - missed_own,
        };
        prop_assert!(is_whole, "{} of {}", rows, account.counted);
        for (mark, count) in [
            (Mark::Final, account.results),
            (Mark::Update, account.updates),
            (Mark::Retraction, account.retractions),
        ] {
            let marked = printed.iter().filter(|change| change.mark == mark);
            prop_assert_eq!(marked.count() as u64, count);
        }
        prop_assert!(!account.to_text().contains("on their way"));
    }
}
