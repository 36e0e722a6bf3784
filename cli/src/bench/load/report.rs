//! A report, printed for people or for programs.

use std::io::Write;

use brooklet_load::{Figure, Report};

use crate::output::{Output, OutputFormat};
use crate::text::{Text, table};

pub(super) fn print<W: Write>(
    report: &Report,
    format: OutputFormat,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    match format {
        OutputFormat::Json | OutputFormat::Jsonl => output.json(report)?,
        OutputFormat::Table => output.text(&text(report))?,
    }
    Ok(())
}

fn text(report: &Report) -> Text {
    let rows: Vec<_> = report.figures.iter().map(cells).collect();
    let mut text = Text::line(format!("{}  broker {}", report.bench, report.broker))
        .and(Text::line(format!("load: {}", report.workload)))
        .and(Text::line(format!("durability: {}", report.durability)))
        .and(table(&["WHAT", "MEDIAN", "SPREAD"], &rows));
    for note in &report.verdict.notes {
        text = text.and(Text::line(format!("note: {note}")));
    }
    for reason in &report.verdict.reasons {
        text = text.and(Text::line(format!("NOT VALID: {reason}")));
    }
    text
}

fn cells(figure: &Figure) -> Vec<String> {
    let number = |number: f64| match number.abs() {
        100.0.. => format!("{number:.0}"),
        _ => format!("{number:.3}"),
    };
    vec![
        figure.name.to_owned(),
        format!("{} {}", number(figure.median), figure.unit),
        format!("{}-{}", number(figure.min), number(figure.max)),
    ]
}
