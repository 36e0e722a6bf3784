//! The end of the demo: what each query found, and what that teaches.

use super::board::Board;
use super::screen::{thousands, waits};

/// The last screen, as lines: a table of the queries and the lesson in one sentence.
///
/// `truth` is count and mean delay (minutes) of all records, window or not.
pub(super) fn lines(board: &Board, truth: (i64, f64)) -> Vec<String> {
    let (total, truth_mean) = truth;
    let mut lines = vec![format!(
        " {:<9} {:<9} {:>16}  {:>10}",
        "query", "waits", "too late", "mean delay"
    )];
    for query in &board.queries {
        let (_, mean) = query.total();
        let late = format!(
            "{} ({:.1} %)",
            thousands(query.late),
            share(query.late, total)
        );
        let waits = waits(query);
        lines.push(format!(
            " {:<9} {waits:<9} {late:>16}  {mean:>6.2} min",
            query.name
        ));
    }
    let all = thousands(total.unsigned_abs());
    let truth = format!("over {all}");
    lines.push(format!(
        " {:<9} {:<9} {truth:>16}  {truth_mean:>6.2} min",
        "truth", "forever"
    ));
    if board.malformed > 0 {
        lines.push(format!(
            " {} records could not be read",
            thousands(board.malformed)
        ));
    }
    lines.push(String::new());
    lines.extend(board.queries.first().map(|impatient| {
        let (_, mean) = impatient.total();
        format!(
            " Waiting {}, the mean delay looks like {mean:.1} minutes; the truth is {truth_mean:.1}. \
             {} of {all} records ({:.1} %) came too late, and the late ones are the delayed ones.",
            waits_in_words(impatient.grace.as_secs() / 60),
            thousands(impatient.late),
            share(impatient.late, total),
        )
    }));
    lines
}

fn waits_in_words(minutes: u64) -> String {
    format!("{minutes} minutes")
}

/// Percent.
fn share(part: u64, whole: i64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::board::{Cell, QueryBoard};
    use super::*;

    #[test]
    fn the_lesson_says_the_measured_figures() {
        let mut fast = QueryBoard::new("fast", Duration::from_secs(45 * 60));
        fast.note(
            0,
            "EWR".into(),
            Cell {
                count: 100,
                delay_min_sum: 919,
                closed: true,
            },
        );
        fast.late = 493;
        let board = Board {
            queries: vec![fast],
            records_in: 6027,
            records_total: 6027,
            malformed: 0,
            stream_time: None,
        };
        let text = lines(&board, (6027, 21.381)).join("\n");
        assert!(
            text.contains(" fast      45 min         493 (8.2 %)    9.19 min"),
            "{text}"
        );
        assert!(
            text.contains(" truth     forever         over 6,027   21.38 min"),
            "{text}"
        );
        let lesson = "Waiting 45 minutes, the mean delay looks like 9.2 minutes; the truth is 21.4. \
                      493 of 6,027 records (8.2 %) came too late, and the late ones are the delayed ones.";
        assert!(text.contains(lesson), "{text}");
    }
}
