//! Golden vectors of windowed counting: inputs in order of arrival, and everything that comes out.
//!
//! `k@5` is a record of key `k` with event time 5. Outputs are written `key[start,end)=count`.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::Timestamp;

use crate::codec::{json, text};
use crate::operator::results::{Final, Late, Update};
use crate::time::millis;
use crate::window::{Aligned, Hopping, Tumbling, Window, Windows};
use crate::{App, TestDriver};

/// What a script gave, each line in order.
struct Played {
    finals: Vec<String>,
    /// How many of the finals came before the end of the input.
    finals_before_end: usize,
    final_times: Vec<i64>,
    updates: Vec<String>,
    late: Vec<Late<String, String>>,
    driver: TestDriver,
}

impl Played {
    fn late(&self) -> Vec<String> {
        let line = |late: &Late<String, String>| {
            format!("{}@{}{}", late.key, late.timestamp, in_short(late.window))
        };
        self.late.iter().map(line).collect()
    }
}

fn in_short(window: Window) -> String {
    format!("[{},{})", window.start, window.end)
}

fn of_final(result: &Final<String, u64>) -> String {
    format!("{}{}={}", result.key, in_short(result.window), result.value)
}

fn of_update(result: &Update<String, u64>) -> String {
    format!("{}{}={}", result.key, in_short(result.window), result.value)
}

/// Counts per key in one task; the input ends after the script.
fn play(windows: Windows, script: &str) -> Played {
    let app = App::new("vectors");
    let counts = app
        .stream("in", text())
        .keyed_by_record_key::<String>()
        .window(windows)
        .count("count");
    counts.finals().to("finals", |_| None, json());
    counts.updates().to("updates", |_| None, json());
    counts.late().to("late", |_| None, json());
    let mut driver = TestDriver::new(app, 1).unwrap();
    for record in script.split_whitespace() {
        let (key, time) = record.split_once('@').unwrap();
        let time = Timestamp(time.parse().unwrap());
        driver.pipe("in", 0, Some(key.as_bytes()), Some(b""), time);
    }
    let mut finals: Vec<Final<String, u64>> = driver.read_values("finals", json()).unwrap();
    let finals_before_end = finals.len();
    driver.end();
    finals.extend(driver.read_values("finals", json()).unwrap());
    let updates: Vec<_> = driver.read_values("updates", json()).unwrap();
    Played {
        finals: finals.iter().map(of_final).collect(),
        finals_before_end,
        final_times: finals.iter().map(|result| result.timestamp.0).collect(),
        updates: updates.iter().map(of_update).collect(),
        late: driver.read_values("late", json()).unwrap(),
        driver,
    }
}

fn tumbling(size: u64, grace: u64) -> Windows {
    Tumbling::of(millis(size)).grace(millis(grace))
}

fn hopping(size: u64, advance: u64, grace: u64) -> Windows {
    Hopping::of(millis(size))
        .advance(millis(advance))
        .grace(millis(grace))
}

#[test]
fn v4_grace_admits_stragglers_until_it_does_not() {
    let played = play(tumbling(2, 1), "k@0 k@1 k@2 k@1 k@0 k@5 k@0");
    let updates = [
        "k[0,2)=1", "k[0,2)=2", "k[2,4)=1", "k[0,2)=3", "k[0,2)=4", "k[4,6)=1",
    ];
    assert_eq!(played.updates, updates);
    assert_eq!(played.finals, ["k[0,2)=4", "k[2,4)=1", "k[4,6)=1"]);
    assert_eq!(played.finals_before_end, 2);
    assert_eq!(played.final_times, [1, 2, 5]);
    assert_eq!(played.late(), ["k@0[0,2)"]);
    assert_eq!(
        played.late[0].reason(),
        "window [0, 2) closed at stream time 3; this record came at stream time 5, 2ms later"
    );
    let report = played.driver.report().windows["count"];
    assert_eq!((report.counts.records, report.counts.late_records), (7, 1));
    assert_eq!((report.counts.out_of_order, report.counts.finals), (2, 3));
    assert_eq!(report.open_windows, 0);
}

#[test]
fn v5_a_jump_in_time_loses_no_window() {
    let played = play(tumbling(2, 2), "k@0 k@1 k@2 k@0 k@3 k@0 k@4 k@0 k@30");
    assert_eq!(played.late(), ["k@0[0,2)"]);
    assert_eq!(
        played.finals,
        ["k[0,2)=4", "k[2,4)=2", "k[4,6)=1", "k[30,32)=1"]
    );
    assert_eq!(played.finals_before_end, 3);
}

#[test]
fn v6_a_record_is_late_for_one_window_and_not_for_the_next() {
    let script = "k@100 k@0 k@1 k@2 k@3 k@4 k@5 k@6 k@105 k@106";
    let played = play(hopping(10, 5, 90), script);
    let late: Vec<_> = (0..7).map(|time| format!("k@{time}[0,10)")).collect();
    assert_eq!(played.late(), late);
    let behind_max = played.late.iter().map(Late::behind).max();
    assert_eq!(behind_max, Some(millis(100)));
    let finals = ["k[5,15)=2", "k[95,105)=1", "k[100,110)=3", "k[105,115)=2"];
    assert_eq!(played.finals, finals);
    assert_eq!(played.finals_before_end, 1, "[5,15) closes at 105");
    let counts = played.driver.report().windows["count"].counts;
    assert_eq!((counts.late_pairs, counts.late_records), (7, 5));
}

#[test]
fn v7_what_is_closed_before_the_first_record_of_it_stays_empty() {
    let played = play(
        tumbling(10, 90),
        "k@200 k@100 k@101 k@102 k@103 k@104 k@105 k@6",
    );
    assert_eq!(played.late.len(), 7);
    assert_eq!(played.finals, ["k[200,210)=1"]);
}

#[test]
fn v23_time_is_the_tasks_and_not_the_keys() {
    let script = "A@100 B@101 C@105 B@10100 A@8000 A@10001";
    let played = play(tumbling(10_000, 0), script);
    assert_eq!(
        played.finals[..3],
        ["A[0,10000)=1", "B[0,10000)=1", "C[0,10000)=1"]
    );
    assert_eq!(played.finals_before_end, 3);
    assert_eq!(played.late(), ["A@8000[0,10000)"]);
}

#[test]
fn open_windows_are_counted_each_once() {
    let app = App::new("vectors");
    let keyed = app.stream("in", text()).keyed_by_record_key::<String>();
    keyed
        .window(hopping(10, 5, 100))
        .count("hop")
        .finals()
        .for_each(|_| ());
    keyed
        .window(hopping(10, 4, 100))
        .count("odd")
        .finals()
        .for_each(|_| ());
    let mut driver = TestDriver::new(app, 1).unwrap();
    for time in [3, 7, 12, 40] {
        driver.pipe("in", 0, Some(b"k"), Some(b""), Timestamp(time));
    }
    let report = driver.report();
    // Starts 0, 5, 10 and 35, 40; starts 0, 4, 8, 12 and 32, 36, 40.
    assert_eq!(report.windows["hop"].open_windows, 5);
    assert_eq!(report.windows["odd"].open_windows, 7);
    assert_eq!(report.windows["hop"].stream_time, Timestamp(40));
    assert_eq!(report.windows["hop"].open_from, Timestamp(0));
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    /// The rule, word by word: a list of windows, no slices.
    fn model(windows: Windows, records: &[(u8, i64)]) -> (Vec<String>, usize) {
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

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
}
