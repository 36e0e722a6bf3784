//! The engine finds what the batch computations find; and the same again under any schedule.

use brooklet_engine::codec::text;
use brooklet_engine::metrics::RunReport;
use brooklet_engine::test_driver::{Input, assert_replay_equal};
use brooklet_engine::time::Timestamp;
use brooklet_engine::{App, TestDriver};

use proptest::prelude::*;

use super::*;
use crate::batch::tests::{auction, bid, person};
use crate::binary::encode;
use crate::generator::{Arrival, Config, Generator};
use crate::model::Event;

const TOPICS: Topics<'static> = Topics {
    events: "events",
    rows: "rows",
};

/// How many events are replayed, fifty times.
const REPLAYED: u32 = 400;

/// Events over this many seconds, from half a minute before midnight, shuffled within a third of a
/// second.
fn arrivals(count: u32, seconds: u32) -> Vec<Arrival> {
    let events_per_second = count / seconds;
    let config = Config {
        seed: 42,
        base_time_ms: 1_704_067_200_000 - 30_000,
        events_per_second,
        out_of_order_group: events_per_second / 3,
        ..Config::default()
    };
    let generator = Generator::new(config).unwrap();
    generator.arrivals(count.into()).collect()
}

fn program(query: Query) -> App {
    let app = App::new("nexmark");
    query.declare(&app, TOPICS);
    app
}

fn bytes(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(event, &mut bytes).unwrap();
    bytes
}

/// The partition of an arrival: by turns; for query 18, whose ties arrival decides, by bidder.
fn partition(query: Query, (position, event): (usize, &Event), partitions: i32) -> i32 {
    let number = match event.bid() {
        Some(bid) if query == Query::Q18 => bid.bidder,
        _ => position as u64,
    };
    (number % u64::from(partitions.unsigned_abs())) as i32
}

/// The rows that the engine finds, sorted, and what it counted.
fn run(query: Query, arrivals: &[Arrival], partitions: i32) -> (Vec<String>, RunReport) {
    // Without a schedule the driver commits after each record.
    let driver = TestDriver::new(program(query), partitions).unwrap();
    let mut driver = driver.scheduled(partitions.unsigned_abs().into());
    for (position, arrival) in arrivals.iter().enumerate() {
        let partition = partition(query, (position, &arrival.event), partitions);
        let time = Timestamp(arrival.timestamp_ms);
        driver.pipe(
            "events",
            partition,
            None,
            Some(&bytes(&arrival.event)),
            time,
        );
    }
    driver.end();
    let mut rows = driver.read_values("rows", text()).unwrap();
    rows.sort_unstable();
    (rows, driver.report())
}

/// Nothing was left out, and windows had something out of order to wait for.
fn assert_complete(query: Query, report: &RunReport) {
    let source = report.sources["events"];
    let skipped = source.malformed + source.impossible_times + source.null_values;
    assert_eq!((skipped, report.unencodable), (0, 0), "{query:?}");
    for (name, window) in &report.windows {
        assert_eq!(window.counts.late_pairs, 0, "{name}");
    }
    let mut windows = report.windows.values();
    let waits = !matches!(
        query,
        Query::Q0 | Query::Q1 | Query::Q2 | Query::Q12 | Query::Q18
    );
    let waited = windows.any(|window| window.counts.out_of_order > 0);
    assert_eq!(waited, waits, "{query:?}");
}

fn check(query: Query, arrivals: &[Arrival], partitions: i32) -> RunReport {
    let mut expected = query.lines(arrivals);
    expected.sort_unstable();
    let (found, report) = run(query, arrivals, partitions);
    let differs = || expected.iter().zip(&found).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "{query:?}: expected {} rows, found {}; first difference: {:?}",
        expected.len(),
        found.len(),
        differs(),
    );
    report
}

/// Few ids, few prices and whole seconds, so that there are ties, and times on the edges of
/// windows; out of order by less than the grace.
fn any_arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let ids = (122..125_u64, 1..4_u64, 1..4_u64);
    let arrival = (0..8, 0..45_i64, 0..4_000_i64, ids).prop_map(|(kind, second, delay_ms, ids)| {
        let (id, who, price) = ids;
        let event_ms = second * 1_000;
        let arrival = match kind {
            0 => person(who, "name", event_ms),
            1 => auction(id, who, event_ms),
            _ => bid(id, who, price, event_ms),
        };
        let timestamp_ms = event_ms + delay_ms;
        Arrival {
            timestamp_ms,
            ..arrival
        }
    });
    prop::collection::vec(arrival, 0..60).prop_map(|mut arrivals| {
        arrivals.sort_by_key(|arrival| arrival.timestamp_ms);
        arrivals
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_arrivals_have_the_rows_of_the_batch(arrivals in any_arrivals(), partitions in 1..4) {
        for query in Query::ALL {
            check(query, &arrivals, partitions);
        }
    }
}

#[test]
fn the_engine_finds_the_rows_of_the_batch() {
    let arrivals = arrivals(20_000, 40);
    for query in Query::ALL {
        assert!(!query.lines(&arrivals).is_empty());
        assert_complete(query, &check(query, &arrivals, 1));
        assert_complete(query, &check(query, &arrivals, 3));
    }
}

/// Ten events share a millisecond, and most bids are for one auction by one bidder.
#[test]
fn q18_keeps_the_last_of_many_bids_of_the_same_time() {
    let arrivals = arrivals(20_000, 2);
    check(Query::Q18, &arrivals, 1);
    check(Query::Q18, &arrivals, 3);
}

/// The same rows from three partitions, whatever the number of tasks, the schedule and the crashes.
fn check_replay(query: Query) {
    let arrivals = arrivals(REPLAYED, 40);
    check(query, &arrivals, 3);
    let mut input = Input::new(3);
    for (position, arrival) in arrivals.iter().enumerate() {
        let partition = partition(query, (position, &arrival.event), 3);
        let time = Timestamp(arrival.timestamp_ms);
        input.pipe(
            "events",
            partition,
            None,
            Some(&bytes(&arrival.event)),
            time,
        );
    }
    assert_replay_equal(|| program(query), &input, &[1, 2, 8]);
}

#[test]
fn q5_is_the_same_in_every_replay() {
    check_replay(Query::Q5);
}

#[test]
fn q7_is_the_same_in_every_replay() {
    check_replay(Query::Q7);
}

#[test]
fn q8_is_the_same_in_every_replay() {
    check_replay(Query::Q8);
}

#[test]
fn q11_is_the_same_in_every_replay() {
    check_replay(Query::Q11);
}

#[test]
fn q12_is_the_same_in_every_replay() {
    check_replay(Query::Q12);
}

#[test]
fn q17_is_the_same_in_every_replay() {
    check_replay(Query::Q17);
}

#[test]
fn q18_is_the_same_in_every_replay() {
    check_replay(Query::Q18);
}
