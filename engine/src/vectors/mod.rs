//! Golden vectors of windowed counting: inputs in order of arrival, and everything that comes out.
//!
//! `k@5` is a record of key `k` with event time 5. Outputs are written `key[start,end)=count`.

mod data_driven;
mod laws;

use brooklet_protocol::Timestamp;

use crate::codec::{json, text};
use crate::dsl::Windowing;
use crate::operator::results::{Final, Late, Update};
use crate::time::millis;
use crate::window::{Aligned as _, Hopping, TimeWindows, Tumbling, Window};
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
    let of = format!("{}{}", result.key, in_short(result.window));
    result
        .value
        .map_or(format!("{of} retracted"), |value| format!("{of}={value}"))
}

/// Counts per key in one task; the input ends after the script.
fn play(windows: impl Windowing, script: &str) -> Played {
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

fn tumbling(size: u64, grace: u64) -> TimeWindows {
    Tumbling::of(millis(size)).grace(millis(grace))
}

fn hopping(size: u64, advance: u64, grace: u64) -> TimeWindows {
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
    assert_eq!(report.windows["hop"].closed_to, Timestamp(-60));
}
