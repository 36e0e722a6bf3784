//! Whether a run says something about the broker. Pure.
//!
//! | seen | verdict |
//! |---|---|
//! | records failed, or never came | not valid |
//! | open loop: fewer done than due | not valid: nobody kept the schedule |
//! | open loop: half of the p99 is the generator's own lateness | not valid |
//! | the client used nearly all processors | valid, with a note: the client may be the limit |

use serde::Serialize;

/// Of what was due in the rounds, so much has to be done in them.
const DONE_MIN: f64 = 0.99;
/// The part of the p99 that may be the generator's own.
const LATENESS_MAX: f64 = 0.5;
/// Of all processors, from here on the client may be what limits.
const SATURATED: f64 = 0.85;

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// Records a second that were due; `None` in a closed loop.
    pub(super) due_per_second: Option<f64>,
    /// Records a second that were done, in the median round.
    pub(super) done_per_second: f64,
    /// The p99 of the latency, and of the generator's lateness, in milliseconds.
    pub(super) latency_p99: f64,
    pub(super) lateness_p99: f64,
    /// The part of the time for which the generator waited for the producer's buffer.
    pub(super) blocked: f64,
    /// Records that failed, and the first reason.
    pub(super) failed: u64,
    pub(super) first_error: Option<String>,
    /// Records that were stored and never came.
    pub(super) lost: u64,
    /// Processors used by this process, of so many.
    pub(super) cpu: f64,
    pub(super) cpus: f64,
    /// Whether the broker runs in this process, and its work is in `cpu`.
    pub(super) is_embedded: bool,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) valid: bool,
    /// Why it is not valid.
    pub(super) reasons: Vec<String>,
    /// What to bear in mind.
    pub(super) notes: Vec<String>,
}

/// Judges a run.
pub(super) fn judge(seen: &Observed) -> Verdict {
    let mut reasons = Vec::new();
    if seen.failed > 0 {
        let why = seen.first_error.as_deref().unwrap_or("nobody knows why");
        reasons.push(format!("{} records were not stored: {why}", seen.failed));
    }
    if seen.lost > 0 {
        reasons.push(format!("{} records were stored and not seen", seen.lost));
    }
    if let Some(due) = seen.due_per_second {
        if seen.done_per_second < due * DONE_MIN {
            let who = if seen.blocked > 0.1 {
                "the broker took no more"
            } else {
                "the generator fell behind"
            };
            let done = seen.done_per_second;
            reasons.push(format!("{who}: {done:.0} records/s of {due:.0}"));
        } else if seen.lateness_p99 > seen.latency_p99 * LATENESS_MAX {
            reasons.push(format!(
                "the generator fell behind: of a p99 of {:.3} ms, {:.3} ms are its own",
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
            "{who} used {:.2} of {:.0} processors: this may be what limits",
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
        let verdict = judge(&good());
        assert!(verdict.valid && verdict.notes.is_empty(), "{verdict:?}");
        let spoil = |spoil: Change| {
            let mut seen = good();
            spoil(&mut seen);
            judge(&seen)
        };
        let cases: [(Change, &str); 5] = [
            (|seen| seen.failed = 2, "2 records were not stored"),
            (|seen| seen.lost = 3, "3 records were stored"),
            (|seen| seen.done_per_second = 900.0, "generator fell behind"),
            (|seen| seen.lateness_p99 = 1.1, "1.100 ms are its own"),
            (
                |seen| (seen.done_per_second, seen.blocked) = (900.0, 0.8),
                "the broker took no more: 900 records/s of 1000",
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
        assert!(judge(&seen).valid);
    }
}
