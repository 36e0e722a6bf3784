//! The laws of aligned windows, against a model that follows the rule word by word.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::aggregate::{Aggregate, Collect, Count, Sum};
use crate::window::{Cumulative, CumulativeWindows};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// The rule, word by word: a list of windows, no slices.
fn model(windows: TimeWindows, records: &[(u8, i64)]) -> (Vec<String>, usize) {
    let mut open: BTreeMap<(Window, u8), u64> = BTreeMap::new();
    let (mut finals, mut late_pairs, mut stream_time) = (Vec::new(), 0, Timestamp::MIN);
    let mut close = |open: &mut BTreeMap<(Window, u8), u64>, now| {
        let mut closed = open.clone();
        closed.retain(|(window, _), _| windows.is_closed(*window, now));
        open.retain(|(window, _), _| !windows.is_closed(*window, now));
        let line = |((window, key), count)| format!("{key}{}={count}", in_short(window));
        finals.extend(closed.into_iter().map(line));
    };
    for (key, time) in records {
        stream_time = stream_time.max(Timestamp(*time));
        close(&mut open, stream_time);
        for window in windows.assign(Timestamp(*time)) {
            if windows.is_closed(window, stream_time) {
                late_pairs += 1;
            } else {
                *open.entry((window, *key)).or_default() += 1;
            }
        }
    }
    close(&mut open, Timestamp::MAX);
    (finals, late_pairs)
}

fn script(records: &[(u8, i64)]) -> String {
    let records = records.iter().map(|(key, time)| format!("{key}@{time} "));
    records.collect()
}

fn any_records() -> impl Strategy<Value = Vec<(u8, i64)>> {
    proptest::collection::vec((0u8..3, 0i64..60), 0..40)
}

/// All values in a row. It retracts, and what is out of order or taken out twice shows.
#[derive(Clone)]
struct InARow;

impl Aggregate<String> for InARow {
    type Acc = String;
    type Out = String;

    fn lift(&self, value: &String, _: Timestamp) -> String {
        value.clone()
    }

    fn combine(&self, earlier: &mut String, later: &String) {
        earlier.push_str(later);
    }

    fn lower(&self, acc: &String) -> String {
        acc.clone()
    }

    fn retracts(&self) -> bool {
        true
    }

    fn retract(&self, acc: &mut String, earlier: &String) {
        assert!(acc.starts_with(earlier.as_str()), "{acc} {earlier}");
        acc.drain(..earlier.len());
    }

    fn name(&self) -> String {
        "in a row".into()
    }
}

/// Key, event time, and a value that no other record has.
type Record = (u8, i64, String);

/// Records that mostly follow each other, some of them behind; now and then time jumps.
fn any_stream() -> impl Strategy<Value = Vec<Record>> {
    let step = prop_oneof![12 => 0i64..4, 1 => 20i64..200];
    let behind = prop_oneof![2 => Just(0i64), 1 => 0i64..25];
    let records = proptest::collection::vec((0u8..3, step, behind), 0..80);
    records.prop_map(|records| {
        let mut now = 0;
        let with_time = records.into_iter().zip(0..);
        let with_time = with_time.map(|((key, step, behind), number)| {
            now += step;
            (key, (now - behind).max(0), format!("{number}."))
        });
        with_time.collect()
    })
}

/// Slice, event time and text of a record.
type Placed<'a> = (Timestamp, Timestamp, &'a str);

/// What each window holds: the records that were not late for it, slice by slice, and within a slice
/// as they came. No totals, no sharing.
fn plain(windows: &impl crate::window::Aligned, records: &[Record]) -> Vec<String> {
    let mut all: BTreeMap<(Window, u8), Vec<Placed<'_>>> = BTreeMap::new();
    let mut stream_time = Timestamp::MIN;
    for (key, time, value) in records {
        let time = Timestamp(*time);
        stream_time = stream_time.max(time);
        for window in windows.assign(time) {
            if !windows.is_closed(window, stream_time) {
                let slice = windows.slice(time).start;
                let of_window = all.entry((window, *key)).or_default();
                of_window.push((slice, time, value));
            }
        }
    }
    let mut lines: Vec<_> = all.into_iter().collect();
    lines.sort_by_key(|((window, key), _)| (window.end, *key));
    let line = |((window, key), mut held): ((Window, u8), Vec<(_, Timestamp, &str)>)| {
        let last = held.iter().map(|(_, time, _)| *time).max().unwrap();
        held.sort_by_key(|(slice, _, _)| *slice);
        let row: String = held.iter().map(|(_, _, value)| *value).collect();
        format!("{key}{}@{last} {row}", in_short(window))
    };
    lines.into_iter().map(line).collect()
}

/// Runs an aggregate under a schedule with crashes; its finals, one a line.
fn crashing<A>(
    windows: impl Windowing,
    aggregate: A,
    of: fn(A::Out) -> String,
    (records, seed): (&[Record], u64),
) -> Vec<String>
where
    A: Aggregate<String>,
{
    let app = App::new("vectors");
    let keyed = app.stream("in", text()).keyed_by_record_key::<String>();
    let finals = keyed.window(windows).aggregate("all", aggregate).finals();
    let line = move |found: Final<String, A::Out>| {
        let window = in_short(found.window);
        format!(
            "{}{window}@{} {}",
            found.key,
            found.timestamp,
            of(found.value)
        )
    };
    finals.map(line).to("finals", |_| None, text());
    let mut driver = TestDriver::new(app, 1).unwrap().scheduled(seed).crashing();
    for (key, time, value) in records {
        let key = key.to_string();
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        driver.pipe("in", 0, key, value, Timestamp(*time));
    }
    driver.end();
    driver.read_values("finals", text()).unwrap()
}

/// Totals, with an aggregate that retracts, and slices or prefixes, with one that does not.
fn assert_combined_in_order(
    windows: impl crate::window::Aligned,
    records: &[Record],
    seed: u64,
) -> Result<(), TestCaseError> {
    let expected = plain(&windows, records);
    let in_a_row = crashing(windows.clone(), InARow, |row| row, (records, seed));
    prop_assert_eq!(&in_a_row, &expected);
    let collect = Collect::of(usize::MAX, String::clone);
    let collected = crashing(
        windows.clone(),
        collect,
        |found| found.items.concat(),
        (records, seed),
    );
    prop_assert_eq!(&collected, &expected);
    let numbers = (Count, Sum::of(|value: &String| value.len() as i64));
    let found = crashing(
        windows,
        numbers,
        |(count, sum)| format!("{count} {sum}"),
        (records, seed),
    );
    let count = |line: &String| {
        let (of, row) = line.split_once(' ').unwrap();
        format!("{of} {} {}", row.matches('.').count(), row.len())
    };
    prop_assert_eq!(found, expected.iter().map(count).collect::<Vec<_>>());
    Ok(())
}

fn cumulative(size: u64, step: u64, grace: u64) -> CumulativeWindows {
    let windows = Cumulative::of(millis(size)).step(millis(step));
    windows.grace(millis(grace))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hopping_windows_are_combined_in_order_whatever_crashes(
        records in any_stream(), seed: u64, size in 1u64..30, advance in 1u64..10, grace in 0u64..20
    ) {
        let windows = hopping(size, advance.min(size), grace);
        assert_combined_in_order(windows, &records, seed)?;
    }

    #[test]
    fn cumulative_windows_are_combined_in_order_whatever_crashes(
        records in any_stream(), seed: u64, steps in 1u64..10, step in 1u64..8, grace in 0u64..20
    ) {
        assert_combined_in_order(cumulative(steps * step, step, grace), &records, seed)?;
    }

    #[test]
    fn slices_give_what_the_rule_says(
        records in any_records(), size in 1u64..20, advance in 1u64..20, grace in 0u64..20
    ) {
        let windows = hopping(size, advance.min(size), grace);
        let played = play(windows, &script(&records));
        let (finals, late_pairs) = model(windows, &records);
        prop_assert_eq!(&played.finals, &finals);
        prop_assert_eq!(played.late.len(), late_pairs);
        let counts = played.driver.report().windows["count"].counts;
        prop_assert_eq!(counts.late_pairs as usize, late_pairs);
        prop_assert_eq!(counts.finals as usize, finals.len());
    }

    #[test]
    fn the_last_update_is_the_final(records in any_records(), size in 1u64..20, advance in 1u64..20) {
        let played = play(hopping(size, advance.min(size), 5), &script(&records));
        let key = |line: &String| line.split('=').next().map(str::to_owned);
        let last: BTreeMap<_, _> = played.updates.iter().map(|line| (key(line), line)).collect();
        let finals: BTreeMap<_, _> = played.finals.iter().map(|line| (key(line), line)).collect();
        prop_assert_eq!(last, finals);
    }

    #[test]
    fn within_the_grace_disorder_changes_nothing(
        mut records in any_records(), seed: u64, size in 1u64..20
    ) {
        // No record can be late if the grace covers all of time.
        let windows = hopping(size, size.div_ceil(3), 60);
        let sorted = play(windows, &script(&records)).finals;
        let mut state = seed | 1;
        records.sort_by_cached_key(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        });
        let mut shuffled = play(windows, &script(&records)).finals;
        let mut expected = sorted;
        expected.sort();
        shuffled.sort();
        prop_assert_eq!(shuffled, expected);
    }

    #[test]
    fn open_windows_are_counted_as_they_come_and_go(
        times in proptest::collection::vec(0i64..60, 1..40), size in 1u64..20, advance in 1u64..20
    ) {
        let windows = hopping(size, advance.min(size), 3);
        let app = App::new("vectors");
        let keyed = app.stream("in", text()).keyed_by_record_key::<String>();
        keyed.window(windows).count("count").finals().for_each(|_| ());
        let mut driver = TestDriver::new(app, 1).unwrap();
        let (mut with_data, mut stream_time) = (BTreeSet::new(), Timestamp::MIN);
        for time in times.into_iter().map(Timestamp) {
            driver.pipe("in", 0, Some(b"k"), Some(b""), time);
            stream_time = stream_time.max(time);
            with_data.extend(windows.assign(time));
            with_data.retain(|window| !windows.is_closed(*window, stream_time));
            let report = driver.report().windows["count"];
            prop_assert_eq!(report.open_windows, with_data.len() as u64);
        }
        driver.end();
        prop_assert_eq!(driver.report().windows["count"].open_windows, 0);
    }

    #[test]
    fn the_end_of_time_is_no_special_place(
        times in proptest::collection::vec(i64::MAX - 40..=i64::MAX, 1..20),
        size in 1u64..30, advance in 1u64..30,
    ) {
        let windows = hopping(size, advance.min(size), 3);
        let script: Vec<_> = times.iter().map(|time| format!("k@{time}")).collect();
        let played = play(windows, &script.join(" "));
        let accepted = times.iter().filter(|time| **time < i64::MAX).count() as u64;
        let counts = played.driver.report().windows["count"].counts;
        prop_assert_eq!(counts.records, accepted);
        prop_assert_eq!(counts.finals as usize, played.finals.len());
    }

    #[test]
    fn tumbling_is_hopping_by_its_own_size(records in any_records(), size in 1u64..20) {
        let script = script(&records);
        let (tumble, hop) = (tumbling(size, 3), hopping(size, size, 3));
        prop_assert_eq!(play(tumble, &script).finals, play(hop, &script).finals);
    }
}
