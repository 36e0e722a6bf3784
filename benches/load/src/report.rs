//! What a run has found, as data.

use serde::Serialize;

use crate::run::Run;
use crate::tally::Figure;
use crate::verdict::{Observed, Verdict, assess};

/// The version of the JSON; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// What a bench has measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) bench: &'static str,
    /// The part of the load that only this bench knows.
    pub(crate) workload: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) observed: Observed,
}

/// What a run has found. Serialized, it is the JSON that `brooklet bench -o json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of the JSON.
    pub schema: u32,
    /// `produce`, `consume` or `e2e`.
    pub bench: &'static str,
    /// The broker's address, or that it runs in this process.
    pub broker: String,
    /// The load, in words.
    pub workload: String,
    /// When acknowledged records are on the disk, in words.
    pub durability: String,
    /// How many times it was measured.
    pub rounds: u32,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Whether the figures say anything about the broker.
    pub verdict: Verdict,
}

impl Report {
    pub(crate) fn new(run: &Run<'_>, durability: String, measured: Measured) -> Self {
        let is_embedded = run.target.is_embedded;
        let observed = Observed {
            is_embedded,
            ..measured.observed
        };
        let broker = if is_embedded {
            "in this process".to_owned()
        } else {
            run.target.address.clone()
        };
        Self {
            schema: SCHEMA,
            bench: measured.bench,
            broker,
            workload: format!("{}, {}", run.load.words(), measured.workload),
            durability,
            rounds: run.load.rounds,
            figures: measured.figures,
            verdict: assess(&observed),
        }
    }
}
