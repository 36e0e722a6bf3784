//! Same input, same output: programs with repartitions under many schedules.
//!
//! The law: whatever the interleaving of tasks, the cut of batches, and the number of partitions of
//! the repartition topic, the results are equal, byte by byte. And they are those of the rule: merge
//! the sources by (record timestamp, partition), let stream time be the minimum over the sources'
//! highest event times, and judge.

use std::collections::BTreeMap;

use brooklet_protocol::Timestamp;
use proptest::prelude::*;

use crate::codec::{json, raw};
use crate::dsl::Repartition;
use crate::outbox::OutRecord;
use crate::results::{Final, Late};
use crate::time::millis;
use crate::window::{Hopping, Windows};
use crate::{App, TestDriver};

/// A record of the source: partition, record timestamp, event time, key.
type Record = (i32, i64, i64, u8);
type Event = (u8, i64);

const SOURCES: i32 = 3;

fn windows(grace: u64) -> Windows {
    Hopping::of(millis(6))
        .advance(millis(3))
        .grace(millis(grace))
}

fn program(partitions: i32, grace: u64) -> App {
    let app = App::new("replay");
    let counts = app
        .stream("in", json::<Event>())
        .event_time(|event| Timestamp(event.1))
        .filter(|event| event.0 != 0)
        .key_by(
            Repartition::named("by-key").partitions(partitions),
            |event| u32::from(event.0),
            json(),
        )
        .window(windows(grace))
        .count("count");
    counts.finals().to("finals", |_| None, json());
    counts.late().to("late", |_| None, json());
    // A second repartition, of results: per window, how many of all keys.
    let totals = counts
        .finals()
        .key_by("by-window", |result| result.window.start.0, json())
        .window(windows(0))
        .sum("total", |result| result.value);
    totals.finals().to("totals", |_| None, json());
    app
}

/// Pipes the records in order of their timestamps; the schedule does the rest.
fn run(records: &[Record], partitions: i32, grace: u64, seed: Option<u64>) -> TestDriver {
    let mut driver = TestDriver::new(program(partitions, grace), SOURCES).unwrap();
    if let Some(seed) = seed {
        driver = driver.scheduled(seed);
    }
    for (partition, arrival, event_time, key) in records {
        let value = serde_json::to_vec(&(key, event_time)).unwrap();
        driver.pipe("in", *partition, None, Some(&value), Timestamp(*arrival));
    }
    driver.end();
    driver
}

/// All results in an order of their own: tasks that write to one topic interleave as they come.
fn results(driver: &mut TestDriver) -> Vec<Vec<u8>> {
    let bytes = |record: OutRecord| record.value.unwrap().to_vec();
    let mut all = Vec::new();
    for topic in ["finals", "late", "totals"] {
        let mut of_topic: Vec<_> = driver.read(topic).into_iter().map(bytes).collect();
        of_topic.sort();
        all.extend(of_topic);
    }
    all
}

type Counted = BTreeMap<(u32, i64), u64>;

/// The rule, word by word.
fn model(records: &[Record], grace: u64) -> (Counted, usize) {
    let windows = windows(grace);
    let mut merged = records.to_vec();
    merged.sort_by_key(|(partition, arrival, ..)| (*arrival, *partition));
    let mut highest = [i64::MIN; SOURCES as usize];
    let (mut counted, mut late) = (BTreeMap::new(), 0);
    for (partition, _, event_time, key) in merged {
        let highest_here = &mut highest[partition as usize];
        *highest_here = (*highest_here).max(event_time);
        let stream_time = Timestamp(highest.into_iter().min().unwrap());
        if key == 0 {
            continue;
        }
        for window in windows.assign(Timestamp(event_time)) {
            if windows.is_closed(window, stream_time) {
                late += 1;
            } else {
                *counted.entry((u32::from(key), window.start.0)).or_default() += 1;
            }
        }
    }
    (counted, late)
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0..SOURCES, 0i64..3, 0i64..12, 0u8..5);
    proptest::collection::vec(record, 0..50).prop_map(|mut records| {
        let mut now = 0;
        for (_, arrival, event_time, _) in &mut records {
            now += *arrival;
            *arrival = now;
            *event_time = (now + 6 - *event_time).max(0);
        }
        records
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_schedule_and_no_partition_count_changes_a_byte(
        records in any_records(), grace in 0u64..6, seed: u64
    ) {
        let expected = results(&mut run(&records, 1, grace, None));
        for (partitions, seed) in [(1, seed), (2, seed), (3, !seed), (7, seed / 2)] {
            let mut driver = run(&records, partitions, grace, Some(seed));
            prop_assert_eq!(&results(&mut driver), &expected, "{} partitions", partitions);
        }
    }

    #[test]
    fn results_are_those_of_the_minimum_rule(
        records in any_records(), grace in 0u64..6, seed: u64
    ) {
        let (counted, late) = model(&records, grace);
        let mut driver = run(&records, 2, grace, Some(seed));
        let finals: Vec<Final<u32, u64>> = driver.read_values("finals", json()).unwrap();
        let finals: Counted = finals.into_iter().map(|f| ((f.key, f.window.start.0), f.value)).collect();
        prop_assert_eq!(finals, counted.clone());
        let found: Vec<Late<u32, Event>> = driver.read_values("late", json()).unwrap();
        prop_assert_eq!(found.len(), late);

        // Results never come too late for the windows that a second repartition makes of them.
        let report = driver.report();
        prop_assert_eq!(report.windows["total"].counts.late_pairs, 0);
        let total: u64 = counted.values().sum();
        let totals: Vec<Final<i64, u64>> = driver.read_values("totals", json()).unwrap();
        let by_start: BTreeMap<i64, u64> = totals.iter()
            .filter(|f| f.window.start.0 == f.key).map(|f| (f.key, f.value)).collect();
        prop_assert!(by_start.values().sum::<u64>() <= total);
        prop_assert_eq!(report.repartitions["replay-by-key-repartition"].waiting, 0);
    }

    #[test]
    fn one_task_gives_its_results_in_order(records in any_records(), seed: u64) {
        let mut driver = run(&records, 1, 2, Some(seed));
        let finals: Vec<Final<u32, u64>> = driver.read_values("finals", json()).unwrap();
        let places: Vec<_> = finals.iter().map(|f| (f.window.start, f.key)).collect();
        prop_assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn a_silent_source_holds_time_until_it_speaks_or_ends() {
    let mut driver = TestDriver::new(program(2, 0), SOURCES).unwrap();
    let pipe = |driver: &mut TestDriver, partition, time: i64| {
        let value = serde_json::to_vec(&(1, time)).unwrap();
        driver.pipe("in", partition, None, Some(&value), Timestamp(time));
    };
    for time in [1, 50, 99] {
        pipe(&mut driver, 0, time);
        pipe(&mut driver, 1, time);
    }
    assert_eq!(driver.read("finals"), [], "partition 2 has not spoken");
    pipe(&mut driver, 2, 40);
    // The merge releases up to 40. The others' stream time is still 1: their 50 waits, because
    // partition 2 may yet send 41.
    assert_eq!(driver.read("finals"), []);
    driver.end_partition("in", 2);
    assert_eq!(
        driver.read("finals").len(),
        1,
        "the stream time of who ended stays: 40"
    );
    driver.end();
    assert_eq!(
        driver.read("finals").len(),
        6,
        "two windows each at 40, 50, 99"
    );
}

#[test]
fn what_is_not_ours_in_a_repartition_topic_is_counted() {
    let app = App::new("app");
    let keyed = app.stream("in", raw()).key_by("k", |_| 1u32, raw());
    keyed
        .window(windows(0))
        .count("n")
        .finals()
        .to("out", |_| None, json());
    app.stream("other", raw())
        .to("app-k-repartition", |_| None, raw());
    let mut driver = TestDriver::new(app, 1).unwrap();
    driver.pipe("other", 0, None, Some(b"x"), Timestamp(1));
    driver.pipe("in", 0, None, Some(b"y"), Timestamp(2));
    driver.end();
    let report = driver.report();
    assert_eq!(report.repartitions["app-k-repartition"].counts.malformed, 1);
    assert_eq!(report.malformed(), 1);
    assert_eq!(driver.read("out").len(), 1);
}
