//! Windows of the calendar: the days, weeks, months and years of a time zone.
//!
//! ```text
//! Europe/Berlin, 2026      28 March      29 March    30 March
//! clocks show              0h ──────▶24h 0h▶2 3──▶24 0h ──────▶24h
//! days                     [--- 24 h ---)[-- 23 h --)[--- 24 h ---)
//! UTC                      23h           23h         22h           22h
//! ```
//!
//! A day begins where `zone.rs` says: nearly always at midnight. A day that a zone skipped, as
//! Samoa did on 30 December 2011, has no window. Where clocks are set back over midnight, they
//! repeat the end of a day; the repetition belongs to the new day, since windows never overlap.
//!
//! A week begins with its Monday, as in ISO 8601; a month and a year with their first day. The
//! window that contains the epoch begins there, whatever the zone. Since jiff's calendar ends with
//! the year 9999, so do these windows: the one that contains 9999-12-30T00:00Z reaches to the end
//! of time. Left out: weeks from other days, and years that begin in other months.

use brooklet_protocol::Timestamp;
use jiff::SignedDuration;
use jiff::civil::{Date, Weekday};

use super::millis::in_words;
use super::zone::Zone;
use super::{Aligned, SetGrace, Window, WindowError, WithoutGrace};

/// 9999-12-30T00:00Z, the last midnight that jiff can represent.
const CALENDAR_END_MS: i64 = 253_402_128_000_000;

/// Windows of the calendar in a time zone of the IANA database; complete only with a grace.
#[derive(Clone, Copy, Debug)]
pub struct Calendar;

impl Calendar {
    /// From midnight to midnight: 24 hours, or 23 or 25 when daylight saving time begins or ends.
    pub fn days(zone: &str) -> WithoutGrace<CalendarWindows> {
        WithoutGrace::new(CalendarWindows::new(Unit::Day, zone))
    }

    /// From Monday to Sunday.
    pub fn weeks(zone: &str) -> WithoutGrace<CalendarWindows> {
        WithoutGrace::new(CalendarWindows::new(Unit::Week, zone))
    }

    /// From the first day to the last.
    pub fn months(zone: &str) -> WithoutGrace<CalendarWindows> {
        WithoutGrace::new(CalendarWindows::new(Unit::Month, zone))
    }

    /// From 1 January to 31 December.
    pub fn years(zone: &str) -> WithoutGrace<CalendarWindows> {
        WithoutGrace::new(CalendarWindows::new(Unit::Year, zone))
    }

    /// Reads `day@Europe/Berlin`; or `week`, `month`, `year`.
    ///
    /// # Errors
    /// The text names no such span, or no time zone.
    pub fn parse(text: &str) -> Result<WithoutGrace<CalendarWindows>, WindowError> {
        let none = || WindowError::Calendar {
            found: text.to_owned(),
        };
        let (unit, zone) = text.split_once('@').ok_or_else(none)?;
        let unit = Unit::ALL.into_iter().find(|known| known.name() == unit);
        let windows = CalendarWindows::new(unit.ok_or_else(none)?, zone)?;
        Ok(WithoutGrace::new(Ok(windows)))
    }
}

/// What of the calendar is one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The first day of the one that contains this day.
    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => {
                let since_monday = i64::from(day.weekday().to_monday_zero_offset());
                day.saturating_sub(SignedDuration::from_hours(24 * since_monday))
            }
            Self::Month => day.first_of_month(),
            Self::Year => day.first_of_year(),
        }
    }

    /// The first day of the one after the one that contains this day; none after the year 9999.
    fn first_day_after(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => day.tomorrow(),
            Self::Week => day.nth_weekday(1, Weekday::Monday),
            Self::Month => day.last_of_month().tomorrow(),
            Self::Year => day.last_of_year().tomorrow(),
        }
        .ok()
    }
}

/// A legal set of calendar windows. Clones share the rules of the time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarWindows {
    unit: Unit,
    zone: Zone,
    grace_ms: i64,
}

impl CalendarWindows {
    fn new(unit: Unit, zone: &str) -> Result<Self, WindowError> {
        let (zone, grace_ms) = (Zone::by_name(zone)?, 0);
        Ok(Self {
            unit,
            zone,
            grace_ms,
        })
    }

    /// The one window that contains the moment.
    fn window(&self, time: Timestamp) -> Window {
        let time = time.0.clamp(0, CALENDAR_END_MS);
        let mut day = self.unit.first_day(self.zone.date(time));
        let mut start = self.zone.begin(day).unwrap_or(0);
        loop {
            let next = self.unit.first_day_after(day);
            let end = next.and_then(|next| Some((next, self.zone.begin(next)?)));
            match end.filter(|(_, end)| *end <= CALENDAR_END_MS) {
                // Clocks that were set back over midnight show the day before again.
                Some((next, end)) if end <= time => (day, start) = (next, end),
                Some((_, end)) => return Window::of_millis(start.max(0), end),
                None => return Window::of_millis(start.max(0), i64::MAX),
            }
        }
    }
}

impl SetGrace for CalendarWindows {
    fn with_grace_ms(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }
}

impl Aligned for CalendarWindows {
    fn first(&self, time: Timestamp) -> Window {
        self.window(time)
    }

    fn last(&self, time: Timestamp) -> Window {
        self.window(time)
    }

    fn slice(&self, time: Timestamp) -> Window {
        self.window(time)
    }

    fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    fn overlap(&self) -> bool {
        false
    }

    fn name(&self) -> String {
        let (unit, zone) = (self.unit.name(), self.zone.name());
        format!("{unit}s in {zone}, grace {}", in_words(self.grace_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::near_a_change;
    use super::*;
    use crate::time::{hours, millis};
    use jiff::Timestamp as Moment;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    const HOUR_MS: i64 = 3_600_000;

    fn complete(windows: WithoutGrace<CalendarWindows>) -> CalendarWindows {
        windows.grace(millis(0))
    }

    /// The window that contains a moment, and how many hours it has.
    fn shown(windows: &CalendarWindows, moment: &str) -> String {
        let moment: Moment = moment.parse().unwrap();
        let window = windows.window(Timestamp(moment.as_millisecond()));
        let text = |time: Timestamp| Moment::from_millisecond(time.0).unwrap().to_string();
        let (start, end) = (text(window.start), text(window.end));
        let short = |text: &str| text.replace(":00Z", "").replace(":00:00", "");
        let hours = (window.end.0 - window.start.0) as f64 / HOUR_MS as f64;
        format!("{} to {}, {hours} h", short(&start), short(&end))
    }

    /// As [`shown`], of days.
    fn day(zone: &str, moment: &str) -> String {
        shown(&complete(Calendar::days(zone)), moment)
    }

    #[test]
    fn days_have_23_or_25_hours_when_daylight_saving_time_begins_or_ends() {
        let berlin = |moment| day("Europe/Berlin", moment);
        let of_28_march = "2026-03-27T23:00 to 2026-03-28T23:00, 24 h";
        assert_eq!(berlin("2026-03-27T23:00Z"), of_28_march);
        assert_eq!(berlin("2026-03-28T22:59:59.999Z"), of_28_march);
        assert_eq!(
            berlin("2026-03-29T12:00Z"),
            "2026-03-28T23:00 to 2026-03-29T22:00, 23 h"
        );
        assert_eq!(
            berlin("2026-03-30T12:00Z"),
            "2026-03-29T22:00 to 2026-03-30T22:00, 24 h"
        );
        assert_eq!(
            berlin("2026-10-25T12:00Z"),
            "2026-10-24T22:00 to 2026-10-25T23:00, 25 h"
        );
        // Half an hour is enough on Lord Howe Island.
        assert_eq!(
            day("Australia/Lord_Howe", "2026-04-05T00:00Z"),
            "2026-04-04T13:00 to 2026-04-05T13:30, 24.5 h"
        );
        assert_eq!(
            day("Australia/Lord_Howe", "2026-10-04T00:00Z"),
            "2026-10-03T13:30 to 2026-10-04T13:00, 23.5 h"
        );
    }

    #[test]
    fn days_begin_where_clocks_are_set_at_midnight() {
        // Forward from 0 to 1, and back from 24 to 23.
        assert_eq!(
            day("America/Sao_Paulo", "2018-11-04T12:00Z"),
            "2018-11-04T03:00 to 2018-11-05T02:00, 23 h"
        );
        assert_eq!(
            day("America/Sao_Paulo", "2018-02-17T12:00Z"),
            "2018-02-17T02:00 to 2018-02-18T03:00, 25 h"
        );
        // Back from 1 to 0: the first midnight counts.
        assert_eq!(
            day("America/Havana", "2025-11-02T12:00Z"),
            "2025-11-02T04:00 to 2025-11-03T05:00, 25 h"
        );
        // Back from 0:01 to 23:01 of the day before, which ended already.
        let of_28_october = "1990-10-28T02:30 to 1990-10-29T03:30, 25 h";
        assert_eq!(day("America/St_Johns", "1990-10-28T02:30Z"), of_28_october);
        assert_eq!(day("America/St_Johns", "1990-10-28T02:31Z"), of_28_october);
        // Forward from 0:00 to 0:15, when Nepal changed its zone; and by 44 minutes and a half.
        assert_eq!(
            day("Asia/Kathmandu", "1986-01-01T12:00Z"),
            "1985-12-31T18:30 to 1986-01-01T18:15, 23.75 h"
        );
        assert!(
            day("Africa/Monrovia", "1972-01-07T12:00Z")
                .starts_with("1972-01-07T00:44:30Z to 1972-01-08T00:00,")
        );
    }

    #[test]
    fn a_day_that_was_skipped_has_no_window() {
        assert_eq!(
            day("Pacific/Apia", "2011-12-30T09:59Z"),
            "2011-12-29T10:00 to 2011-12-30T10:00, 24 h"
        );
        // The 31st.
        assert_eq!(
            day("Pacific/Apia", "2011-12-30T10:00Z"),
            "2011-12-30T10:00 to 2011-12-31T10:00, 24 h"
        );
        let weeks = complete(Calendar::weeks("Pacific/Apia"));
        assert_eq!(
            shown(&weeks, "2011-12-31T12:00Z"),
            "2011-12-26T10:00 to 2012-01-01T10:00, 144 h"
        );
        let years = complete(Calendar::years("Pacific/Kiritimati"));
        assert_eq!(
            shown(&years, "1994-12-10T12:00Z"),
            "1994-01-01T10:00 to 1994-12-31T10:00, 8736 h"
        );
    }

    #[test]
    fn weeks_begin_on_monday_over_the_ends_of_months_and_years() {
        let weeks = complete(Calendar::weeks("Europe/Berlin"));
        assert_eq!(
            shown(&weeks, "2026-12-31T12:00Z"),
            "2026-12-27T23:00 to 2027-01-03T23:00, 168 h"
        );
        assert_eq!(
            shown(&weeks, "2026-03-29T12:00Z"),
            "2026-03-22T23:00 to 2026-03-29T22:00, 167 h"
        );
    }

    #[test]
    fn months_and_years_have_the_days_of_the_calendar() {
        let months = complete(Calendar::months("Europe/Berlin"));
        assert_eq!(
            shown(&months, "2024-02-10T12:00Z"),
            "2024-01-31T23:00 to 2024-02-29T23:00, 696 h"
        );
        assert_eq!(
            shown(&months, "2026-03-10T12:00Z"),
            "2026-02-28T23:00 to 2026-03-31T22:00, 743 h"
        );
        let years = complete(Calendar::years("America/New_York"));
        assert_eq!(
            shown(&years, "2024-12-31T12:00Z"),
            "2024-01-01T05:00 to 2025-01-01T05:00, 8784 h"
        );
    }

    #[test]
    fn the_first_window_begins_with_the_epoch() {
        let first = |windows| shown(&complete(windows), "1970-01-01T00:00Z");
        let berlin = "1970-01-01T00:00 to 1970-01-01T23:00, 23 h";
        assert_eq!(first(Calendar::days("Europe/Berlin")), berlin);
        // A Thursday; in New York still Wednesday, and still 1969.
        let utc = "1970-01-01T00:00 to 1970-01-05T00:00, 96 h";
        assert_eq!(first(Calendar::weeks("UTC")), utc);
        let new_york = "1970-01-01T00:00 to 1970-01-01T05:00, 5 h";
        assert_eq!(first(Calendar::years("America/New_York")), new_york);
    }

    #[test]
    fn the_last_window_reaches_from_the_end_of_the_calendar_to_the_end_of_time() {
        let days = complete(Calendar::days("Europe/Berlin"));
        let last = days.window(Timestamp::MAX);
        let start = CALENDAR_END_MS - HOUR_MS;
        assert_eq!(last, Window::of_millis(start, i64::MAX));
        assert_eq!(days.next(last), last);
        let before = days.window(Timestamp(start - 1));
        assert_eq!(before, Window::of_millis(start - 24 * HOUR_MS, start));
        assert_eq!(days.next(before), last);
    }

    #[test]
    fn a_span_is_read_from_text() {
        for (text, name) in [
            ("day@Europe/Berlin", "days in Europe/Berlin, grace 1h"),
            ("week@utc", "weeks in UTC, grace 1h"),
            (
                "month@America/New_York",
                "months in America/New_York, grace 1h",
            ),
            ("year@Asia/Tokyo", "years in Asia/Tokyo, grace 1h"),
        ] {
            let windows = Calendar::parse(text).unwrap().grace(hours(1));
            assert_eq!(windows.name(), name);
        }
        for text in ["", "day", "fortnight@UTC", "Europe/Berlin@day", "@UTC"] {
            assert_eq!(
                Calendar::parse(text).unwrap_err().to_string(),
                format!(
                    "expected day, week, month or year, then @ and a time zone, such as \
                     day@Europe/Berlin; found {text:?}"
                )
            );
        }
        let error = Calendar::parse("day@Berlin").unwrap_err().to_string();
        assert!(error.ends_with("found \"Berlin\", the nearest is Europe/Berlin"));
    }

    /// The number of the day, week, month or year that the clocks show at the moment.
    fn number(unit: Unit, zone: &TimeZone, time: i64) -> (i16, i16) {
        let moment = Moment::from_millisecond(time).unwrap();
        let date = moment.to_zoned(zone.clone()).date();
        match unit {
            Unit::Day => (date.year(), date.day_of_year()),
            Unit::Week => {
                let week = date.iso_week_date();
                (week.year(), i16::from(week.week()))
            }
            Unit::Month => (date.year(), i16::from(date.month())),
            Unit::Year => (date.year(), 0),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_window_begins_when_the_clocks_first_show_it((windows, zone, time) in near_a_change()) {
            let Window { start: Timestamp(start), end: Timestamp(end) } =
                windows.window(Timestamp(time));
            let number = |time| number(windows.unit, &zone, time);
            let own = number(start);
            prop_assert!(start == 0 || number(start - 1) < own);
            prop_assert!(number(end) > own);
            // What the clocks show in between may be older, when they are set back, but not newer.
            let all = (start..end).step_by(((end - start) / 100) as usize);
            let before_end = (start.max(end - 48 * HOUR_MS)..end).step_by(HOUR_MS as usize / 4);
            for time in all.chain(before_end).chain([end - 1]) {
                prop_assert!(number(time) <= own);
            }
            for time in (0.max(start - 48 * HOUR_MS)..start).step_by(HOUR_MS as usize / 4) {
                prop_assert!(number(time) < own);
            }
        }
    }
}
