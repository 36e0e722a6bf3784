//! Whether a run says something about the broker. Pure.
//!
//! | seen | verdict |
//! |---|---|
//! | records failed, or never arrived | not valid |
//! | open loop: fewer done than due | not valid: the schedule was not kept |
//! | open loop: half of the p99 is the generator's own lateness | not valid |
//! | the client used nearly all processors | valid, with a note: the client may be the bottleneck |

use serde::Serialize;

/// The share of the records due in the rounds that must be done in them.
const DONE_MIN: f64 = 0.99;
/// The share of the p99 that may be the generator's own lateness.
const LATENESS_MAX: f64 = 0.5;
/// The share of all processors from which on the client may be the bottleneck.
const SATURATED: f64 = 0.85;

/// What was observed in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Records per second that were due; `None` in a closed loop.
    pub(crate) due_per_second: Option<f64>,
    /// Records per second that were done, in the median round.
    pub(crate) done_per_second: f64,
    /// The p99 of the latency, and of the generator's lateness, in milliseconds.
    pub(crate) latency_p99: f64,
    pub(crate) lateness_p99: f64,
    /// The share of the time that the generator waited for the producer's buffer.
    pub(crate) blocked: f64,
    /// Records that failed, and the first reason.
    pub(crate) failed: u64,
    pub(crate) first_error: Option<String>,
    /// Records that were stored and never arrived.
    pub(crate) lost: u64,
    /// Processors used by this process, and how many there are.
    pub(crate) cpu: f64,
    pub(crate) cpus: f64,
    /// Whether the broker runs in this process, and its work is in `cpu`.
    pub(crate) is_embedded: bool,
}

/// Whether the figures of a run say anything about the broker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// They do.
    pub valid: bool,
    /// Why it is not valid.
    pub reasons: Vec<String>,
    /// What to keep in mind when reading the figures.
    pub notes: Vec<String>,
}

/// Says whether a run is valid, and why not.
pub(crate) fn assess(seen: &Observed) -> Verdict {
    let mut reasons = Vec::new();
    if seen.failed > 0 {
        let why = seen
            .first_error
            .as_deref()
            .unwrap_or("for an unknown reason");
        reasons.push(format!("{} records were not stored: {why}", seen.failed));
    }
    if seen.lost > 0 {
        reasons.push(format!("{} records were stored but never read", seen.lost));
    }
    if let Some(due) = seen.due_per_second {
        if seen.done_per_second < due * DONE_MIN {
            let who = if seen.blocked > 0.1 {
                "the broker could not keep up"
            } else {
                "the generator fell behind"
            };
            let done = seen.done_per_second;
            reasons.push(format!("{who}: {done:.0} records/s done, {due:.0} due"));
        } else if seen.lateness_p99 > seen.latency_p99 * LATENESS_MAX {
            reasons.push(format!(
                "the generator fell behind: {1:.3} ms of the p99 of {0:.3} ms are its own lateness",
                seen.latency_p99, seen.lateness_p99
            ));
        }
    }
    let mut notes = Vec::new();
    if seen.cpu > seen.cpus * SATURATED {
        let who = if seen.is_embedded {
            "client and broker"
        } else {
            "the client"
        };
        notes.push(format!(
            "{who} used {:.2} of {:.0} processors: this may be the bottleneck",
            seen.cpu, seen.cpus
        ));
    }
    if seen.is_embedded {
        notes.push("the broker runs in this process and shares its processors".to_owned());
    }
    Verdict {
        valid: reasons.is_empty(),
        reasons,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Observed);

    fn good() -> Observed {
        Observed {
            due_per_second: Some(1000.0),
            done_per_second: 999.0,
            latency_p99: 2.0,
            lateness_p99: 0.1,
            cpu: 0.5,
            cpus: 2.0,
            ..Observed::default()
        }
    }

    #[test]
    fn each_row_of_the_table() {
        let verdict = assess(&good());
        assert!(verdict.valid && verdict.notes.is_empty(), "{verdict:?}");
        let spoil = |spoil: Change| {
            let mut seen = good();
            spoil(&mut seen);
            assess(&seen)
        };
        let cases: [(Change, &str); 5] = [
            (|seen| seen.failed = 2, "2 records were not stored"),
            (|seen| seen.lost = 3, "3 records were stored but never read"),
            (|seen| seen.done_per_second = 900.0, "generator fell behind"),
            (
                |seen| seen.lateness_p99 = 1.1,
                "1.100 ms of the p99 of 2.000 ms are its own",
            ),
            (
                |seen| (seen.done_per_second, seen.blocked) = (900.0, 0.8),
                "the broker could not keep up: 900 records/s done, 1000 due",
            ),
        ];
        for (change, words) in cases {
            let verdict = spoil(change);
            assert!(!verdict.valid);
            assert!(verdict.reasons.concat().contains(words), "{verdict:?}");
        }
        let busy = spoil(|seen| seen.cpu = 1.9);
        assert!(
            busy.valid && busy.notes[0].contains("1.90 of 2"),
            "{busy:?}"
        );
    }

    #[test]
    fn a_closed_loop_has_no_schedule_to_fall_behind() {
        let seen = Observed {
            due_per_second: None,
            lateness_p99: 100.0,
            ..good()
        };
        assert!(assess(&seen).valid);
    }
}
