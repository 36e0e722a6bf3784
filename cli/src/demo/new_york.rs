//! New York's clock in the week of the demo.
//!
//! One rule is enough for one week: Eastern Standard Time (UTC-5) until Sunday 10 March 2013, 07:00
//! UTC, and Daylight Saving Time (UTC-4) afterwards. A time zone database would be larger than the
//! rest of the demo.

use std::fmt;

use brooklet_protocol::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// 2013-03-10T07:00:00Z, when the clocks went forward.
const DAYLIGHT_SAVING_BEGINS: Timestamp = Timestamp(1_362_898_800_000);

/// 2013-03-01T00:00:00Z.
const MARCH_BEGINS_MS: i64 = 1_362_096_000_000;

/// A moment of March 2013 in New York; displays as `Fri 8 Mar 19:40`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewYork {
    day: i64,
    minute_of_day: i64,
}

impl NewYork {
    pub(super) fn at(time: Timestamp) -> Self {
        let hours_behind = if time < DAYLIGHT_SAVING_BEGINS { 5 } else { 4 };
        let local_ms = time
            .0
            .saturating_sub(hours_behind * HOUR_MS + MARCH_BEGINS_MS);
        Self {
            day: local_ms.div_euclid(DAY_MS) + 1,
            minute_of_day: local_ms.rem_euclid(DAY_MS) / 60_000,
        }
    }

    /// `19:40`.
    pub(super) fn clock(self) -> String {
        format!(
            "{:02}:{:02}",
            self.minute_of_day / 60,
            self.minute_of_day % 60
        )
    }

    /// `Fri 8 Mar`.
    pub(super) fn date(self) -> String {
        // 1 March 2013 was a Friday.
        const WEEKDAYS: [&str; 7] = ["Fri", "Sat", "Sun", "Mon", "Tue", "Wed", "Thu"];
        let weekday = WEEKDAYS[(self.day - 1).rem_euclid(7) as usize];
        format!("{weekday} {} Mar", self.day)
    }
}

impl fmt::Display for NewYork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date(), self.clock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward_in_the_night_of_10_march() {
        let shown = |ms| NewYork::at(Timestamp(ms)).to_string();
        assert_eq!(shown(1_362_391_200_000), "Mon 4 Mar 05:00");
        assert_eq!(shown(1_362_789_600_000), "Fri 8 Mar 19:40");
        assert_eq!(shown(DAYLIGHT_SAVING_BEGINS.0 - 60_000), "Sun 10 Mar 01:59");
        assert_eq!(shown(DAYLIGHT_SAVING_BEGINS.0), "Sun 10 Mar 03:00");
    }
}
