//! What a run has found, for people and for programs.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::Run;
use super::tally::Figure;
use super::verdict::{Observed, Verdict, judge};
use crate::output::{Output, OutputFormat};
use crate::text::{Text, table};

/// The version of the JSON; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// What one of the benches has measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) bench: &'static str,
    /// What only this bench knows of its load.
    pub(super) workload: String,
    pub(super) figures: Vec<Figure>,
    pub(super) observed: Observed,
}

/// All there is to print.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    bench: &'static str,
    broker: String,
    workload: String,
    /// When what is acknowledged is on the disk.
    durability: String,
    rounds: u32,
    figures: Vec<Figure>,
    verdict: Verdict,
}

impl Report {
    pub(super) fn new(run: &Run<'_>, durability: String, measured: Measured) -> Self {
        let is_embedded = run.target.broker.is_some();
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
            verdict: judge(&observed),
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.verdict.valid
    }

    pub(super) fn print<W: Write>(
        &self,
        format: OutputFormat,
        output: &mut Output<W>,
    ) -> anyhow::Result<()> {
        match format {
            OutputFormat::Json | OutputFormat::Jsonl => output.json(self)?,
            OutputFormat::Table => output.text(&self.text())?,
        }
        Ok(())
    }

    fn text(&self) -> Text {
        let number = |number: f64| match number.abs() {
            100.0.. => format!("{number:.0}"),
            _ => format!("{number:.3}"),
        };
        let cells = |figure: &Figure| {
            vec![
                figure.name.to_owned(),
                format!("{} {}", number(figure.median), figure.unit),
                format!("{}-{}", number(figure.min), number(figure.max)),
            ]
        };
        let rows: Vec<_> = self.figures.iter().map(cells).collect();
        let mut text = Text::line(format!("{}  broker {}", self.bench, self.broker))
            .and(Text::line(format!("load: {}", self.workload)))
            .and(Text::line(format!("durability: {}", self.durability)))
            .and(table(&["WHAT", "MEDIAN", "SPREAD"], &rows));
        for note in &self.verdict.notes {
            text = text.and(Text::line(format!("note: {note}")));
        }
        for reason in &self.verdict.reasons {
            text = text.and(Text::line(format!("NOT VALID: {reason}")));
        }
        text
    }
}

impl super::Load {
    /// The load in words.
    fn words(&self) -> String {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        format!(
            "{} bytes of {}, codec {}, acks {}, {} partitions, {} producers, batches of {}",
            self.size,
            name(self.payload.to_possible_value()),
            self.codec,
            name(self.acks.to_possible_value()),
            self.partitions,
            self.producers,
            self.batch_size,
        )
    }
}
