//! The week of flights inside the binary.
//!
//! The table of departures, read into 6,027 [`Flight`]s in the order in which they left.

use anyhow::Context as _;
use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{departures, time};

/// One departure, as the table has it and, as JSON, as the topic has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flight {
    /// When it left, which is when its record arrives in the stream. RFC 3339, UTC.
    pub(super) departed_at: String,
    /// When it was scheduled to leave: its event time. RFC 3339, UTC.
    pub(super) scheduled_at: String,
    /// Minutes from schedule to departure; negative when early.
    pub(super) delay_min: i64,
    pub(super) carrier: String,
    #[serde(rename = "flight")]
    pub(super) number: u32,
    /// The aircraft; the key of the record.
    pub(super) tailnum: String,
    pub(super) origin: String,
    pub(super) dest: String,
    pub(super) distance_mi: u32,
}

impl Flight {
    /// The record timestamp.
    ///
    /// # Errors
    /// Not a time.
    pub(super) fn departed(&self) -> anyhow::Result<Timestamp> {
        parse_time(&self.departed_at)
    }

    /// The event time.
    ///
    /// # Errors
    /// Not a time.
    pub(super) fn scheduled(&self) -> anyhow::Result<Timestamp> {
        parse_time(&self.scheduled_at)
    }
}

/// All departures, in the order in which they really left.
///
/// # Errors
/// Only if the binary itself is damaged.
pub(super) fn flights() -> anyhow::Result<Vec<Flight>> {
    let text = departures::text()?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .context("the table of departures inside this program is damaged")
}

fn parse_time(text: &str) -> anyhow::Result<Timestamp> {
    time::parse_date(text).with_context(|| format!("{text:?} is not a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_is_whole_and_in_order() {
        let flights = flights().unwrap();
        assert_eq!(flights.len(), 6027);
        let times: Vec<_> = flights.iter().map(|f| f.departed().unwrap()).collect();
        assert!(times.is_sorted());
        for flight in &flights {
            let delay = flight.departed().unwrap().0 - flight.scheduled().unwrap().0;
            assert_eq!(delay, flight.delay_min * 60_000, "{flight:?}");
        }
    }
}
