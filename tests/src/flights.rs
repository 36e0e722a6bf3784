//! The week of flights, computed again without the engine.
//!
//! A few dozen lines that follow `cli/data/README.md` to the letter: what the demo must find, found
//! by somebody else. The only thing shared with the engine is murmur2, which decides the partition.

use std::collections::BTreeMap;
use std::io::Read;

use brooklet_protocol::murmur2::partition_for_key;
use serde_json::json;

const HOUR_MIN: i64 = 60;

/// One flight; times in minutes since the epoch.
#[derive(Clone, Debug)]
pub struct Flight {
    departed_min: i64,
    scheduled_min: i64,
    delay_min: i64,
    origin: String,
    partition: i32,
}

/// The flights in the order in which the engine merges them: by departure, then by partition.
/// Departures are whole minutes, so the file has its own order among equals.
pub fn flights_merged() -> Vec<Flight> {
    let mut flights = flights();
    flights.sort_by_key(|f| (f.departed_min, f.partition));
    flights
}

/// The flights in the order of the file.
///
/// # Panics
/// When the data is not what its README says.
pub fn flights() -> Vec<Flight> {
    let path = crate::repository().join("cli/data/departures-2013-03-04.csv.gz");
    let packed = std::fs::read(path).expect("the data is in the repository");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .expect("gzip of text");
    let flights: Vec<_> = csv::Reader::from_reader(text.as_bytes())
        .records()
        .map(|r| flight(&r.expect("CSV")))
        .collect();
    assert_eq!(flights.len(), 6027);
    flights
}

fn flight(row: &csv::StringRecord) -> Flight {
    Flight {
        departed_min: minutes(&row[0]),
        scheduled_min: minutes(&row[1]),
        delay_min: row[2].parse().expect("minutes"),
        origin: row[6].into(),
        partition: partition_for_key(row[5].as_bytes(), 3).0,
    }
}

/// `2013-03-DDTHH:MM:SSZ` in minutes since the epoch; 1 March 2013 was day 15765.
fn minutes(time: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<i64>().expect("digits");
    assert_eq!(&time[..8], "2013-03-");
    (15765 + number(8..10) - 1) * 24 * 60 + number(11..13) * 60 + number(14..16)
}

/// What one query must find.
#[derive(Debug, Default)]
pub struct Finals {
    /// Count and sum of delays by (window start in minutes, origin).
    pub windows: BTreeMap<(i64, String), (i64, i64)>,
    /// Records that were too late.
    pub late: i64,
}

impl Finals {
    /// The finals of one-hour windows that wait `wait_min` minutes.
    pub fn compute(flights: &[Flight], wait_min: i64) -> Self {
        let mut finals = Self::default();
        let mut highest = [i64::MIN; 3];
        for flight in flights {
            let own = &mut highest[flight.partition as usize];
            *own = flight.scheduled_min.max(*own);
            let stream_time = highest.iter().min().expect("three partitions");
            let start = flight.scheduled_min / HOUR_MIN * HOUR_MIN;
            if start + HOUR_MIN + wait_min <= *stream_time {
                finals.late += 1;
                continue;
            }
            let (count, sum) = finals
                .windows
                .entry((start, flight.origin.clone()))
                .or_default();
            *count += 1;
            *sum += flight.delay_min;
        }
        finals
    }

    /// Mean delay in minutes over all windows.
    pub fn mean(&self) -> f64 {
        let (count, sum) = self
            .windows
            .values()
            .fold((0, 0), |(c, s), (count, sum)| (c + count, s + sum));
        sum as f64 / count as f64
    }

    /// The lines that the demo's finals file has for this query.
    pub fn lines(&self, query: &str) -> Vec<serde_json::Value> {
        let line = |((start, origin), (count, sum)): (&(i64, String), &(i64, i64))| {
            json!({
                "query": query,
                "origin": origin,
                "window_start_ms": start * 60_000,
                "window_end_ms": (start + HOUR_MIN) * 60_000,
                "count": count,
                "delay_min_sum": sum,
            })
        };
        self.windows.iter().map(line).collect()
    }
}
