//! The laws of aligned windows, checked for every kind: one suite, and a strategy for each kind.
//!
//! The laws speak about one moment, since all windows and slices around it can be reached from it.

use std::iter::successors;

use brooklet_protocol::Timestamp;
use jiff::Timestamp as Moment;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;

use super::{
    Aligned, Calendar, CalendarWindows, Cumulative, CumulativeWindows, Hopping, PER_RECORD_MAX,
    TimeWindows, Window, WithoutGrace,
};
use crate::time::millis;

/// All laws, around a moment at or after the epoch.
fn hold(windows: &impl Aligned, time: i64, now: i64) -> TestCaseResult {
    let time = Timestamp(time);
    let of_time: Vec<_> = windows.assign(time).collect();
    windows_contain_the_moment(windows, &of_time, time)?;
    windows_are_one_sequence(windows, &of_time)?;
    no_other_window_contains_the_moment(windows, &of_time, time)?;
    no_edge_cuts_the_slice(windows, time)?;
    slices_cover_time(windows, time)?;
    closed_windows_come_first(windows, &of_time, Timestamp(now))?;
    nothing_is_before_the_epoch(windows)
}

fn windows_contain_the_moment(
    windows: &impl Aligned,
    of_time: &[Window],
    time: Timestamp,
) -> TestCaseResult {
    prop_assert_eq!(of_time.first(), Some(&windows.first(time)));
    prop_assert_eq!(of_time.last(), Some(&windows.last(time)));
    prop_assert!(of_time.len() as i64 <= PER_RECORD_MAX);
    prop_assert!(of_time.len() == 1 || windows.overlap());
    for window in of_time {
        prop_assert!(0 <= window.start.0 && window.start < window.end);
        // The end of time is no event time, and counts to the last window.
        prop_assert!(window.contains(time) || time == Timestamp::MAX);
    }
    Ok(())
}

fn windows_are_one_sequence(windows: &impl Aligned, of_time: &[Window]) -> TestCaseResult {
    for window in of_time {
        let next = windows.next(*window);
        if window.end == Timestamp::MAX {
            prop_assert_eq!(next, *window);
        } else {
            prop_assert!(next.end > window.end && next.start >= window.start);
        }
    }
    for pair in of_time.windows(2) {
        prop_assert_eq!(windows.next(pair[0]), pair[1]);
    }
    Ok(())
}

fn no_other_window_contains_the_moment(
    windows: &impl Aligned,
    of_time: &[Window],
    time: Timestamp,
) -> TestCaseResult {
    let (first, last) = (of_time[0], of_time[of_time.len() - 1]);
    if last.end < Timestamp::MAX {
        let after = windows.next(last);
        prop_assert!(after.start > time && after.contains(last.end));
    }
    // The one before, in the latest slice with a window that has ended by then.
    let slices = successors(Some(windows.slice(time)), |slice| {
        (slice.start.0 > 0).then(|| windows.slice(Timestamp(slice.start.0 - 1)))
    });
    let ended = |slice: Window| {
        let of_slice = windows.assign(slice.start);
        of_slice.take_while(|window| window.end <= time).last()
    };
    let before = slices.map(ended).find(Option::is_some).flatten();
    let after_it = before.map_or_else(
        || windows.first(Timestamp(0)),
        |before| windows.next(before),
    );
    prop_assert_eq!(after_it, first);
    Ok(())
}

fn no_edge_cuts_the_slice(windows: &impl Aligned, time: Timestamp) -> TestCaseResult {
    let slice = windows.slice(time);
    prop_assert!(slice.contains(time) || time == Timestamp::MAX && slice.end == time);
    let last_moment = Timestamp(slice.end.0 - 1);
    // A window that contains the one end of the slice and not the other would be cut by it.
    prop_assert_eq!(windows.first(slice.start), windows.first(last_moment));
    prop_assert_eq!(windows.last(slice.start), windows.last(last_moment));
    Ok(())
}

fn slices_cover_time(windows: &impl Aligned, time: Timestamp) -> TestCaseResult {
    let slice = windows.slice(time);
    prop_assert_eq!(windows.slice(slice.start), slice);
    prop_assert_eq!(windows.slice(Timestamp(slice.end.0 - 1)), slice);
    if slice.start.0 > 0 {
        let before = windows.slice(Timestamp(slice.start.0 - 1));
        prop_assert_eq!(before.end, slice.start);
    }
    if slice.end < Timestamp::MAX {
        prop_assert_eq!(windows.slice(slice.end).start, slice.end);
    }
    Ok(())
}

fn closed_windows_come_first(
    windows: &impl Aligned,
    of_time: &[Window],
    now: Timestamp,
) -> TestCaseResult {
    let closed = |window: &Window| windows.is_closed(*window, now);
    prop_assert!(of_time.is_sorted_by_key(|window| !closed(window)));
    for window in of_time {
        let close_at = i128::from(window.end.0) + i128::from(windows.grace_ms());
        let by_definition = i128::from(now.0) >= close_at || now == Timestamp::MAX;
        prop_assert_eq!(closed(window), by_definition);
    }
    Ok(())
}

fn nothing_is_before_the_epoch(windows: &impl Aligned) -> TestCaseResult {
    let (before, epoch) = ([Timestamp::MIN, Timestamp(-1)], Timestamp(0));
    for time in before {
        prop_assert_eq!(windows.assign(time).count(), 0);
        prop_assert_eq!(windows.first(time), windows.first(epoch));
        prop_assert_eq!(windows.last(time), windows.last(epoch));
        prop_assert_eq!(windows.slice(time), windows.slice(epoch));
    }
    Ok(())
}

/// Numbers of each length, up to the end of the type.
pub(super) fn any_length() -> impl Strategy<Value = u64> {
    (0u32..63, any::<u64>()).prop_map(|(bits, number)| (number >> 1) >> bits)
}

/// Moments at or after the epoch, of each length, and close to the end of time.
fn any_moment() -> impl Strategy<Value = i64> {
    let length = any_length().prop_map(|n| n as i64);
    let at_the_end = (0i64..100).prop_map(|n| i64::MAX - n);
    prop_oneof![6 => length, 1 => at_the_end]
}

/// Windows of every size, with as many per record as there may be.
pub(super) fn any_time_windows() -> impl Strategy<Value = TimeWindows> {
    let many = prop_oneof![1..20u64, 1..=PER_RECORD_MAX as u64];
    (any_length(), many, any_length()).prop_map(|(size, hops, grace)| {
        let size = size.max(1);
        let advance = size.div_ceil(hops);
        Hopping::of(millis(size))
            .advance(millis(advance))
            .grace(millis(grace))
    })
}

fn any_cumulative_windows() -> impl Strategy<Value = CumulativeWindows> {
    let many = prop_oneof![1..20u64, 1..=PER_RECORD_MAX as u64];
    (any_length(), many, any_length()).prop_map(|(size, steps, grace)| {
        let step = (size / steps).max(1);
        Cumulative::of(millis(steps * step))
            .step(millis(step))
            .grace(millis(grace))
    })
}

/// A span of the calendar in any time zone, and the name of the zone.
fn any_calendar() -> impl Strategy<Value = (CalendarWindows, String)> {
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<_> = database.available().map(|name| name.to_string()).collect();
    let units: Vec<fn(&str) -> WithoutGrace<CalendarWindows>> = vec![
        Calendar::days,
        Calendar::weeks,
        Calendar::months,
        Calendar::years,
    ];
    let (zone, unit) = (select(zones), select(units));
    (zone, unit, any_length())
        .prop_map(|(zone, unit, grace)| (unit(&zone).grace(millis(grace)), zone))
}

fn any_calendar_windows() -> impl Strategy<Value = CalendarWindows> {
    any_calendar().prop_map(|(windows, _)| windows)
}

/// Calendar windows, their time zone, and a moment close to a change of its clocks if there is one.
pub(super) fn near_a_change() -> impl Strategy<Value = (CalendarWindows, TimeZone, i64)> {
    const YEAR_2100_MS: i64 = 4_102_444_800_000;
    const DAYS_2_MS: i64 = 2 * 24 * 60 * 60 * 1000;
    let distance = prop_oneof![-2i64..=2, -DAYS_2_MS..=DAYS_2_MS];
    let near = |((windows, zone), time, distance): ((_, String), i64, i64)| {
        let zone = TimeZoneDatabase::bundled().get(&zone).unwrap();
        let moment = Moment::from_millisecond(time).unwrap();
        let change = zone.following(moment).next();
        let time = change.map_or(time, |change| change.timestamp().as_millisecond());
        (windows, zone, (time + distance).max(0))
    };
    (any_calendar(), 0..YEAR_2100_MS, distance).prop_map(near)
}

proptest! {
    #[test]
    fn of_tumbling_and_hopping_windows(
        windows in any_time_windows(), time in any_moment(), now: i64
    ) {
        hold(&windows, time, now)?;
    }

    #[test]
    fn of_small_tumbling_and_hopping_windows(
        size in 1u64..50, advance in 1u64..50, time in 0i64..500, now in 0i64..600
    ) {
        let hopping = Hopping::of(millis(size)).advance(millis(advance.min(size)));
        let windows = hopping.grace(millis(20));
        hold(&windows, time, now)?;
        hold(&windows, i64::MAX - time, i64::MAX - now)?;
    }

    #[test]
    fn of_cumulative_windows(windows in any_cumulative_windows(), time in any_moment(), now: i64) {
        hold(&windows, time, now)?;
    }

    #[test]
    fn of_small_cumulative_windows(
        steps in 1u64..20, step in 1u64..20, time in 0i64..500, now in 0i64..600
    ) {
        let windows = Cumulative::of(millis(steps * step)).step(millis(step)).grace(millis(20));
        hold(&windows, time, now)?;
        hold(&windows, i64::MAX - time, i64::MAX - now)?;
    }

    #[test]
    fn of_calendar_windows(windows in any_calendar_windows(), time in any_moment(), now: i64) {
        hold(&windows, time, now)?;
    }

    #[test]
    fn of_calendar_windows_where_clocks_change((windows, _, time) in near_a_change(), now: i64) {
        hold(&windows, time, now)?;
    }

    #[test]
    fn of_calendar_windows_where_the_calendar_ends(
        windows in any_calendar_windows(), time in 253_370_000_000_000i64..253_404_000_000_000
    ) {
        hold(&windows, time, time)?;
    }
}
