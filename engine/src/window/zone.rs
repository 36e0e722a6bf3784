//! Time zones: their names, and where their days begin.
//!
//! ```text
//! clocks show    … 23:58 23:59 00:00 00:01 …     begin: 00:00
//!                … 23:58 23:59 01:00 01:01 …            01:00, after the gap
//!                … 00:58 00:59 00:00 00:01 …            the first 00:00
//! ```
//!
//! A day begins at the first moment at which the zone's clocks show its midnight or a later time,
//! as in Java's `LocalDate.atStartOfDay(zone)`.
//!
//! The names and rules are those of the IANA database that is compiled in; the machine's own is
//! never asked, so that a program finds the same windows on every machine. Governments change their
//! clocks at short notice: a newer build may know other windows of the future and recent past.

use jiff::Timestamp as Moment;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::WindowError;

/// A time zone of the database. Clones share its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The time zone of this name, in upper or lower case.
    pub(super) fn by_name(name: &str) -> Result<Self, WindowError> {
        let zone = TimeZoneDatabase::bundled().get(name).ok();
        let zone = zone.filter(|zone| !zone.is_unknown());
        zone.map(Self).ok_or_else(|| WindowError::Zone {
            found: name.to_owned(),
            nearest: nearest(name),
        })
    }

    /// Its name, as the database writes it.
    pub(super) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// The date that the zone's clocks show, within jiff's calendar.
    pub(super) fn date(&self, time_ms: i64) -> Date {
        let moment = Moment::from_millisecond(time_ms).unwrap_or(Moment::MAX);
        self.0.to_datetime(moment).date()
    }

    /// Where the day begins, in milliseconds; none beyond jiff's calendar.
    pub(super) fn begin(&self, day: Date) -> Option<i64> {
        let midnight = day.to_datetime(Time::midnight());
        let midnight = self.0.to_ambiguous_timestamp(midnight);
        let is_skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let mut begin = midnight.earlier().ok()?;
        if is_skipped {
            // Of a time in a gap, the earlier reading lies before the gap.
            begin = self.0.following(begin).next()?.timestamp();
        }
        Some(begin.as_millisecond())
    }
}

/// The name that this one was probably meant to be: one of a few slips, or a city alone.
fn nearest(name: &str) -> Option<String> {
    // A name of any length may come from outside; beyond this length it resembles none.
    let name: String = name.chars().take(64).collect();
    let slips = |known: &str| {
        let city = known.rsplit('/').next().unwrap_or(known);
        edits(&name, known).min(edits(&name, city))
    };
    let database = TimeZoneDatabase::bundled();
    let known = database.available();
    let (slips, nearest) = known
        .map(|known| (slips(known.as_str()), known))
        .min_by_key(|(slips, _)| *slips)?;
    // Every abbreviation is near to another one.
    let length = name.chars().count();
    (length > 4 && slips * 3 <= length).then(|| nearest.as_str().to_owned())
}

/// How many letters must be inserted, removed or replaced to make one word of the other; upper and
/// lower case are the same, and so are a blank and the underscore of the database.
fn edits(from: &str, to: &str) -> usize {
    let letter = |c: char| match c.to_ascii_lowercase() {
        ' ' => '_',
        letter => letter,
    };
    let to: Vec<char> = to.chars().map(letter).collect();
    // The edits from what was read of the one word to each beginning of the other.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (read, from) in from.chars().map(letter).enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (at, to) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn message(of: &str) -> String {
        Zone::by_name(of).unwrap_err().to_string()
    }

    #[test]
    fn names_are_found_in_either_case_and_written_as_in_the_database() {
        assert_eq!(
            Zone::by_name("europe/BERLIN").unwrap().name(),
            "Europe/Berlin"
        );
        assert_eq!(Zone::by_name("utc").unwrap().name(), "UTC");
    }

    #[test]
    fn a_day_begins_after_a_gap_that_has_its_midnight_inside() {
        // No zone has done so since 1970; from 23:30 to 0:30 on the last Sunday in March.
        let zone = Zone(TimeZone::posix("XXX0YYY,M3.5.0/23:30,M10.5.0").unwrap());
        let monday = date(2026, 3, 30);
        let gap = zone.begin(monday).unwrap();
        let moment = Moment::from_millisecond(gap).unwrap();
        assert_eq!(moment.to_string(), "2026-03-29T23:30:00Z");
        assert_eq!(zone.date(gap - 1), date(2026, 3, 29));
        assert_eq!(zone.date(gap), monday);
    }

    #[test]
    fn an_unknown_name_leads_to_the_nearest() {
        assert_eq!(
            message("Europe/Brelin"),
            "expected a time zone of the IANA database, such as Europe/Berlin; \
             found \"Europe/Brelin\", the nearest is Europe/Berlin"
        );
        let nearest = |of, to: &str| assert!(message(of).ends_with(to), "{}", message(of));
        nearest("berlin", "the nearest is Europe/Berlin");
        nearest("new york", "the nearest is America/New_York");
        nearest("Lord Howe", "the nearest is Australia/Lord_Howe");
        // No slip leads from these to a name.
        nearest("CEST", "found \"CEST\"");
        nearest("", "found \"\"");
        nearest("+01:00", "found \"+01:00\"");
        nearest("Etc/Unknown", "found \"Etc/Unknown\"");
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("New York", "new_york"), 0);
        assert_eq!(edits("brelin", "berlin"), 2);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
