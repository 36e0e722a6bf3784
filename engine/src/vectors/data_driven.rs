//! Vectors and laws of the windows that a key's data makes. Both ends of such a window lie inside,
//! and so they are written: `a[0,5]=2`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::test_driver::{Input, assert_replay_equal};
use crate::window::{SessionWindows, Sessions, Sliding, SlidingWindows};

fn closed(line: &str) -> String {
    let (key, rest) = line.split_once('[').unwrap();
    let (start, rest) = rest.split_once(',').unwrap();
    let (end, rest) = rest.split_once(')').unwrap();
    let last = end.parse::<i64>().unwrap() - 1;
    format!("{key}[{start},{last}]{rest}")
}

fn lines(of: &[String]) -> Vec<String> {
    of.iter().map(|line| closed(line)).collect()
}

fn sessions(gap: u64, grace: u64) -> SessionWindows {
    Sessions::gap(millis(gap)).grace(millis(grace))
}

fn sliding(difference: u64, grace: u64) -> SlidingWindows {
    Sliding::of(millis(difference)).grace(millis(grace))
}

#[test]
fn v8_sessions_grow_and_close() {
    let played = play(sessions(5, 0), "a@0 a@5 a@1 b@11 a@5 a@30");
    assert_eq!(
        lines(&played.updates),
        [
            "a[0,0]=1",
            "a[0,0] retracted",
            "a[0,5]=2",
            "a[0,5] retracted",
            "a[0,5]=3",
            "b[11,11]=1",
            "a[30,30]=1"
        ]
    );
    assert_eq!(lines(&played.late()), ["a@5[5,5]"]);
    let finals = ["a[0,5]=3", "b[11,11]=1", "a[30,30]=1"];
    assert_eq!(lines(&played.finals), finals);
    assert_eq!(played.finals_before_end, 2);
    assert_eq!(played.final_times, [5, 11, 30]);
}

#[test]
fn v9_a_session_that_closed_does_not_reopen() {
    let script = "A@10 A@12 A@20 A@16";
    let played = play(sessions(5, 3), script);
    assert_eq!(lines(&played.finals), ["A[10,20]=4"]);
    let played = play(sessions(5, 0), script);
    assert_eq!(lines(&played.finals), ["A[10,12]=2", "A[16,20]=2"]);
    assert_eq!(played.late, []);
}

#[test]
fn v10_a_session_waits_for_its_gap_and_its_grace() {
    let late = |grace, script| lines(&play(sessions(10, grace), script).late());
    assert_eq!(late(0, "d@0 o@0 d@11 x@0"), ["x@0[0,0]"]);
    assert_eq!(late(1, "d@0 o@0 d@11 x@0"), [""; 0]);
    assert_eq!(late(1, "d@0 o@0 d@11 x@0 d@12 y@0"), ["y@0[0,0]"]);
}

#[test]
fn v11_sliding_windows_end_with_a_record_or_begin_after_one() {
    let played = play(sliding(5000, 0), "A@8000 A@9200 A@12400");
    let finals = [
        "A[3000,8000]=1",
        "A[4200,9200]=2",
        "A[7400,12400]=3",
        "A[8001,13001]=2",
        "A[9201,14201]=1",
    ];
    assert_eq!(lines(&played.finals), finals);
}

#[test]
fn v12_sliding_windows_of_a_busy_key() {
    let played = play(sliding(10, 5), "A@10 A@10 A@14 A@15 A@20 A@22 A@30");
    let counts = [
        (0, 2),
        (4, 3),
        (5, 4),
        (10, 5),
        (11, 3),
        (12, 4),
        (15, 3),
        (16, 2),
        (20, 3),
        (21, 2),
        (23, 1),
    ];
    let expected: Vec<_> = counts
        .iter()
        .map(|(start, count)| format!("A[{start},{}]={count}", start + 10))
        .collect();
    assert_eq!(lines(&played.finals), expected);
    assert_eq!(played.finals_before_end, 6);
}

#[test]
fn v13_a_record_may_be_late_for_one_window_only() {
    let script = "k@10 k@11 k@10 k@13 k@10 k@24 k@5 k@7 k@90";
    let played = play(sliding(5, 15), script);
    let finals = [
        "k[5,10]=5",
        "k[6,11]=5",
        "k[8,13]=5",
        "k[11,16]=2",
        "k[12,17]=1",
        "k[19,24]=1",
        "k[85,90]=1",
    ];
    assert_eq!(lines(&played.finals), finals);
    assert_eq!(lines(&played.late()), ["k@5[0,5]", "k@7[2,7]"]);
    assert_eq!(played.finals_before_end, 6);
}

type Records = Vec<(u8, i64)>;

fn script(records: &[(u8, i64)]) -> String {
    let records = records.iter().map(|(key, time)| format!("{key}@{time} "));
    records.collect()
}

fn any_records() -> impl Strategy<Value = Records> {
    proptest::collection::vec((0u8..3, 0i64..60), 0..30)
}

/// Sessions by the rule, word by word: a list of sets of moments.
fn model_of_sessions(gap: i64, grace: i64, records: &[(u8, i64)]) -> (Vec<String>, usize) {
    let mut open: Vec<(u8, Vec<i64>)> = Vec::new();
    let (mut finals, mut late, mut stream_time) = (Vec::new(), 0, i64::MIN);
    let last_of = |moments: &Vec<i64>| *moments.iter().max().unwrap();
    let first_of = |moments: &Vec<i64>| *moments.iter().min().unwrap();
    let mut close = |open: &mut Vec<(u8, Vec<i64>)>, now: Option<i64>| {
        let is_closed =
            |moments: &Vec<i64>| now.is_none_or(|now| now >= last_of(moments) + gap + 1 + grace);
        let mut closed: Vec<_> = open.iter().filter(|(_, m)| is_closed(m)).cloned().collect();
        open.retain(|(_, moments)| !is_closed(moments));
        closed.sort_by_key(|(key, moments)| (last_of(moments), first_of(moments), *key));
        for (key, moments) in closed {
            let (first, last) = (first_of(&moments), last_of(&moments));
            finals.push(format!("{key}[{first},{last}]={}", moments.len()));
        }
    };
    for (key, time) in records {
        stream_time = stream_time.max(*time);
        close(&mut open, Some(stream_time));
        let is_near = |other: &(u8, Vec<i64>)| {
            let near = |moment: &i64| (moment - time).abs() <= gap;
            other.0 == *key && other.1.iter().any(near)
        };
        let mut session: Vec<i64> = open
            .iter()
            .filter(|s| is_near(s))
            .flat_map(|s| s.1.clone())
            .collect();
        session.push(*time);
        if stream_time >= last_of(&session) + gap + 1 + grace {
            late += 1;
            continue;
        }
        open.retain(|other| !is_near(other));
        open.push((*key, session));
    }
    close(&mut open, None);
    (finals, late)
}

/// Sliding windows by the rule, word by word: all moments of a key, and the windows they make.
fn model_of_sliding(difference: i64, grace: i64, records: &[(u8, i64)]) -> (Vec<String>, usize) {
    let mut accepted: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
    let (mut finals, mut late, mut stream_time) = (Vec::new(), 0, i64::MIN);
    let end = |start: i64| start + difference + 1;
    let mut close = |accepted: &BTreeMap<u8, Vec<i64>>, before: i64, now: Option<i64>| {
        let mut closed = Vec::new();
        for (key, moments) in accepted {
            let ended = moments.iter().map(|moment| (moment - difference).max(0));
            let mut starts: Vec<_> = ended
                .chain(moments.iter().map(|moment| moment + 1))
                .collect();
            starts.sort_unstable();
            starts.dedup();
            for start in starts {
                let is_inside = |moment: &&i64| (start..end(start)).contains(*moment);
                let count = moments.iter().filter(is_inside).count();
                let was_open = before < end(start) + grace;
                let is_closed = now.is_none_or(|now| now >= end(start) + grace);
                if count > 0 && was_open && is_closed {
                    closed.push((start, *key, count));
                }
            }
        }
        closed.sort_unstable();
        let line = |(start, key, count)| format!("{key}[{start},{}]={count}", end(start) - 1);
        finals.extend(closed.into_iter().map(line));
    };
    for (key, time) in records {
        let before = stream_time;
        stream_time = stream_time.max(*time);
        close(&accepted, before, Some(stream_time));
        if stream_time >= end((time - difference).max(0)) + grace {
            late += 1;
        }
        if stream_time < end(time + 1) + grace {
            accepted.entry(*key).or_default().push(*time);
        }
    }
    close(&accepted, stream_time, None);
    (finals, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sessions_are_what_the_rule_says(records in any_records(), gap in 1u64..8, grace in 0u64..8) {
        let played = play(sessions(gap, grace), &script(&records));
        let (finals, late) = model_of_sessions(gap as i64, grace as i64, &records);
        prop_assert_eq!(lines(&played.finals), finals);
        prop_assert_eq!(played.late.len(), late);
        let report = played.driver.report().windows["count"];
        prop_assert_eq!(report.open_windows, 0);
    }

    #[test]
    fn sliding_windows_are_what_the_rule_says(records in any_records(), difference in 0u64..9, grace in 0u64..8) {
        let played = play(sliding(difference, grace), &script(&records));
        let (finals, late) = model_of_sliding(difference as i64, grace as i64, &records);
        prop_assert_eq!(lines(&played.finals), finals);
        prop_assert_eq!(played.late.len(), late);
        let report = played.driver.report().windows["count"];
        prop_assert_eq!(report.open_windows, 0);
    }

    #[test]
    fn updates_end_in_the_finals(records in any_records(), gap in 1u64..8, is_sliding: bool) {
        let script = script(&records);
        let played = if is_sliding {
            play(sliding(gap, 9), &script)
        } else {
            play(sessions(gap, 9), &script)
        };
        // The last word on each window: a result, or that it is there no longer.
        let mut last = BTreeMap::new();
        for line in &played.updates {
            let of = line.split(['=', ' ']).next().unwrap();
            if line.ends_with("retracted") {
                last.remove(of);
            } else {
                last.insert(of, line);
            }
        }
        let mut finals: Vec<_> = played.finals.iter().collect();
        finals.sort();
        let mut last: Vec<_> = last.into_values().collect();
        last.sort();
        prop_assert_eq!(last, finals);
    }
}

proptest! {
    // Each case runs the program some thirty times.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_crash_changes_nothing(records in any_records(), gap in 1u64..8, grace in 0u64..8) {
        let program = || {
            let app = App::new("vectors");
            let keyed = app
                .stream("in", text())
                .key_by("by-key", |key: &String| key.clone(), text());
            let spans = keyed.window(sessions(gap, grace)).count("sessions");
            spans.finals().to("finals", |_| None, json());
            spans.late().to("late", |_| None, json());
            let moments = keyed.window(sliding(gap, grace)).count("sliding");
            moments.finals().to("finals", |_| None, json());
            app
        };
        let mut input = Input::new(1);
        for (key, time) in records.iter().take(12) {
            let key = key.to_string();
            input.pipe("in", 0, None, Some(key.as_bytes()), Timestamp(*time));
        }
        assert_replay_equal(program, &input, &[2]);
    }
}
