//! Same input, same output: programs with repartitions under many schedules.
//!
//! The law: whatever the interleaving of tasks, the cut of batches, and the number of partitions of
//! the repartition topic, the results are equal, byte by byte. And they are those of the rule:
//! merge the sources by (record timestamp, partition), let stream time be the minimum over the
//! sources' highest event times, and apply the rule of time.

use std::collections::BTreeMap;

use brooklet_protocol::{Offset, Timestamp};
use proptest::prelude::*;

use crate::branch::outbox::{OutRecord, Outbox};
use crate::codec::{json, raw};
use crate::dsl::Repartition;
use crate::operator::results::{Final, Late};
use crate::task::InputRecord;
use crate::task::repartition::origin::{Kind, Origin};
use crate::time::millis;
use crate::topology::StageId;
use crate::window::{Aligned as _, Hopping, TimeWindows};
use crate::{App, TestDriver};

/// A record of the source: partition, record timestamp, event time, key.
type Record = (i32, i64, i64, u8);
type Event = (u8, i64);

const SOURCES: i32 = 3;

fn windows(grace: u64) -> TimeWindows {
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
    feed(&mut driver, records);
    driver
}

fn feed(driver: &mut TestDriver, records: &[Record]) {
    for (partition, arrival, event_time, key) in records {
        let value = serde_json::to_vec(&(key, event_time)).unwrap();
        driver.pipe("in", *partition, None, Some(&value), Timestamp(*arrival));
    }
    driver.end();
}

/// All results in an order of their own: tasks that write to one topic interleave as they come.
fn results(driver: &mut TestDriver) -> Vec<String> {
    let bytes = |record: OutRecord| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
    let mut all = Vec::new();
    for topic in ["finals", "late", "totals"] {
        let mut of_topic: Vec<_> = driver.read(topic).into_iter().map(bytes).collect();
        of_topic.sort();
        all.extend(of_topic);
    }
    all
}

type Counted = BTreeMap<(u32, i64), u64>;

/// The rule, literally.
fn model(records: &[Record], grace: u64) -> (Counted, usize) {
    let windows = windows(grace);
    let mut merged = records.to_vec();
    merged.sort_by_key(|(partition, arrival, ..)| (*arrival, *partition));
    // A source without records has no time, and does not count.
    let mut highest = [i64::MAX; SOURCES as usize];
    for (partition, ..) in records {
        highest[*partition as usize] = i64::MIN;
    }
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

/// What a repartition topic may hold: sender, kind, and the steps by which its times go on.
type Said = (i32, u8, i64, i64);

/// Feeds what three senders said to a receiver, cut at these places, and takes what it writes
/// downstream.
fn receive(log: &[Said], cuts: &[usize]) -> Vec<OutRecord> {
    let app = program(1, 1);
    let registry = app.shared.lock();
    let parallelism = registry.parallelism(None, |_| SOURCES);
    let mut task = registry.task(StageId::Repartition(0), 0, &parallelism);
    let mut times = [(0, 0); SOURCES as usize];
    let mut stored = Vec::new();
    for (sender, kind, arrival, time) in log {
        let of_sender = &mut times[*sender as usize];
        let event_time = Timestamp((of_sender.1 + time - 2).max(0));
        *of_sender = (of_sender.0 + arrival, of_sender.1.max(event_time.0));
        let origin = Origin {
            kind: match kind {
                0 => Kind::Idle,
                1 => Kind::Marker,
                _ => Kind::Record,
            },
            sender: *sender,
            senders: SOURCES,
            arrival: Timestamp(of_sender.0),
            offset: Offset(0),
            stream_time: Timestamp(of_sender.1),
            event_time,
        };
        let value = serde_json::to_vec(&(1, event_time.0)).unwrap();
        stored.push((origin.encode(), value));
    }
    let mut inputs = Vec::new();
    for (offset, (origin, value)) in (0..).map(Offset).zip(&stored) {
        inputs.push(InputRecord {
            offset,
            timestamp: Timestamp(0),
            key: Some(&[0, 0, 0, 1]),
            value: Some(value),
            origin: Some(origin),
        });
    }
    let (mut out, mut written) = (Outbox::default(), Vec::new());
    let mut rest = &inputs[..];
    for cut in cuts {
        let (batch, after) = rest.split_at((*cut).min(rest.len()));
        task.process(batch, &mut out);
        written.extend(out.take());
        rest = after;
    }
    task.process(rest, &mut out);
    written.extend(out.take());
    written
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
    fn no_crash_changes_a_byte(records in any_records(), grace in 0u64..6, seed: u64) {
        let expected = results(&mut run(&records, 1, grace, None));
        for partitions in [1, 3] {
            let driver = TestDriver::new(program(partitions, grace), SOURCES).unwrap();
            let mut driver = driver.scheduled(seed).crashing();
            feed(&mut driver, &records);
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

    /// With idle senders the order within the topic decides: nothing else may.
    #[test]
    fn a_repartition_topic_with_idle_senders_reads_alike_however_it_is_cut(
        log in proptest::collection::vec((0..SOURCES, 0u8..5, 0i64..3, 0i64..6), 0..40),
        cuts in proptest::collection::vec(0usize..6, 0..20),
    ) {
        // Markers that only say where a batch ended are there or not, as it was cut.
        let is_result = |record: &OutRecord| record.value.is_some();
        let results = |cuts: &[usize]| -> Vec<_> {
            receive(&log, cuts).into_iter().filter(is_result).collect()
        };
        let found = results(&cuts);
        prop_assert_eq!(&found, &results(&[]));
        prop_assert_eq!(&found, &results(&vec![1; log.len()]));
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

fn pipe(driver: &mut TestDriver, partition: i32, time: i64) {
    let value = serde_json::to_vec(&(1, time)).unwrap();
    driver.pipe("in", partition, None, Some(&value), Timestamp(time));
}

#[test]
fn nobody_waits_for_an_idle_source_until_it_speaks() {
    let mut driver = TestDriver::new(program(2, 0), SOURCES).unwrap();
    for time in [1, 50, 99] {
        pipe(&mut driver, 0, time);
        pipe(&mut driver, 1, time);
    }
    driver.idle("in", 2);
    // 1 and 50 of both are through, and 99 of the first, which the second may not precede any more.
    assert_eq!(driver.read("finals").len(), 1, "[0, 6) closed at 50");
    // The first falls idle: stream time is 99, the second's.
    driver.idle("in", 0);
    assert_eq!(driver.read("finals").len(), 2, "two windows at 50");
    pipe(&mut driver, 2, 40);
    assert_eq!(
        driver.read("late").len(),
        2,
        "it comes late to its two windows"
    );
    // It is waited for again.
    pipe(&mut driver, 1, 120);
    assert_eq!(driver.read("finals").len(), 0);
    // The second repartition is told as well: its totals are out without an end.
    for partition in 0..SOURCES {
        driver.idle("in", partition);
    }
    assert_eq!(driver.read("finals").len(), 2, "two windows at 99");
    assert_eq!(
        driver.read("totals").len(),
        9,
        "of each but the first in two windows"
    );
}

#[test]
fn an_empty_partition_that_ends_does_not_hold_time_at_its_beginning() {
    let mut driver = TestDriver::new(program(2, 0), SOURCES).unwrap();
    driver.end_partition("in", 1);
    driver.end_partition("in", 2);
    for time in [1, 50, 2] {
        pipe(&mut driver, 0, time);
    }
    assert_eq!(driver.read("finals").len(), 1);
    assert_eq!(driver.read("late").len(), 1);
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
