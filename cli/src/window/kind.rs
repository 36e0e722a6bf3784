//! The kinds of windows, of which a query names exactly one.
//!
//! ```text
//! --size 1h                  tumbling      ┐
//! --size 3h --hop 1h         hopping       │ by time alone: the same windows for every key
//! --size 1d --step 1h        cumulative    │
//! --every day@Europe/Berlin  calendar      ┘
//! --session 5m               session       ┐ by the rows of a key: windows begin or end with one
//! --sliding 10s              sliding       ┘
//! ```
//!
//! clap refuses a query that names no kind or several. The engine refuses numbers that make no
//! windows. The grace belongs to all kinds and is never implied.

use std::time::Duration;

use brooklet_engine::window::{
    CalendarWindows, CumulativeWindows, SessionWindows, SlidingWindows, TimeWindows, WindowError,
    WithoutGrace,
};
use brooklet_engine::{
    Calendar, Cumulative, Hopping, KeyedStream, Sessions, Sliding, Tumbling, Windowed,
};
use clap::ArgGroup;
use humantime::parse_duration;

use super::aggregate::Aggregates;
use super::change::Placed;
use super::row::Row;

const HEADING: &str = "Windows (exactly one of --size, --every, --session, --sliding)";

/// The windows of a query, as they are named on the command line.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("kind").required(true).multiple(false))]
pub(super) struct WindowArgs {
    /// Tumbling windows: one after the other, all of this size, for example 1h or 30s
    #[arg(
        long, value_name = "DURATION", help_heading = HEADING,
        value_parser = parse_duration, group = "kind"
    )]
    size: Option<Duration>,
    /// With --size, hopping windows: one starts at every multiple of this, so they overlap
    #[arg(
        long, value_name = "DURATION", help_heading = HEADING,
        value_parser = parse_duration, requires = "size",
        conflicts_with_all = ["step", "every", "session", "sliding"]
    )]
    hop: Option<Duration>,
    /// With --size, cumulative windows: they grow by this up to the size, then start again
    #[arg(
        long, value_name = "DURATION", help_heading = HEADING,
        value_parser = parse_duration, requires = "size",
        conflicts_with_all = ["every", "session", "sliding"]
    )]
    step: Option<Duration>,
    /// Calendar windows: each day, week, month or year of a time zone, such as day@Europe/Berlin
    #[arg(
        long, value_name = "UNIT@ZONE", help_heading = HEADING,
        value_parser = Calendar::parse, group = "kind"
    )]
    every: Option<WithoutGrace<CalendarWindows>>,
    /// Session windows: rows of a key, each at most this long after the one before
    #[arg(
        long, value_name = "GAP", help_heading = HEADING,
        value_parser = parse_duration, group = "kind"
    )]
    session: Option<Duration>,
    /// Sliding windows: before and after each row, the rows of its key at most this far apart
    #[arg(
        long, value_name = "DIFFERENCE", help_heading = HEADING,
        value_parser = parse_duration, group = "kind"
    )]
    sliding: Option<Duration>,
    /// How long a window waits for late records after its end
    #[arg(
        long, value_name = "DURATION", help_heading = HEADING,
        value_parser = parse_duration
    )]
    grace: Duration,
}

impl WindowArgs {
    /// The windows that they name.
    ///
    /// # Errors
    /// The numbers make no windows.
    pub(super) fn kind(&self) -> Result<Kind, WindowError> {
        let grace = self.grace;
        // Without any kind, which clap refuses, the size is zero, which the engine refuses.
        let size = self.size.unwrap_or_default();
        match self {
            Self {
                every: Some(every), ..
            } => every.clone().try_grace(grace).map(Kind::Calendar),
            Self {
                session: Some(gap), ..
            } => Sessions::gap(*gap).try_grace(grace).map(Kind::Session),
            Self {
                sliding: Some(difference),
                ..
            } => Sliding::of(*difference).try_grace(grace).map(Kind::Sliding),
            Self {
                step: Some(step), ..
            } => Cumulative::of(size)
                .step(*step)
                .try_grace(grace)
                .map(Kind::Cumulative),
            Self { hop: Some(hop), .. } => Hopping::of(size)
                .advance(*hop)
                .try_grace(grace)
                .map(Kind::Time),
            _ => Tumbling::of(size).try_grace(grace).map(Kind::Time),
        }
    }
}

/// Legal windows of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tumbling and hopping windows.
    Time(TimeWindows),
    /// Windows that grow step by step.
    Cumulative(CumulativeWindows),
    /// Days, weeks, months and years.
    Calendar(CalendarWindows),
    /// Rows of a key that follow each other closely.
    Session(SessionWindows),
    /// Around each row of a key.
    Sliding(SlidingWindows),
}

impl Kind {
    /// Whether windows begin or end with a row, so that their times are as fine as those of rows.
    pub(super) fn is_made_by_rows(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Sliding(_))
    }

    /// Cuts the rows into windows and aggregates them.
    pub(super) fn aggregate(
        self,
        rows: &KeyedStream<String, Row>,
        name: &str,
        aggregates: Aggregates,
    ) -> Windowed<String, Row, Placed> {
        match self {
            Self::Time(windows) => rows.window(windows).aggregate(name, aggregates),
            Self::Cumulative(windows) => rows.window(windows).aggregate(name, aggregates),
            Self::Calendar(windows) => rows.window(windows).aggregate(name, aggregates),
            Self::Session(windows) => rows.window(windows).aggregate(name, aggregates),
            Self::Sliding(windows) => rows.window(windows).aggregate(name, aggregates),
        }
    }
}

#[cfg(test)]
mod tests {
    use brooklet_engine::window::Aligned as _;
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        windows: WindowArgs,
    }

    fn parsed(args: &str) -> Result<WindowArgs, String> {
        let line = ["window"].into_iter().chain(args.split(' '));
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        Ok(line.windows)
    }

    /// What the engine calls the windows of these arguments.
    fn name(args: &str) -> String {
        match parsed(args).unwrap().kind() {
            Ok(Kind::Time(windows)) => windows.name(),
            Ok(Kind::Cumulative(windows)) => windows.name(),
            Ok(Kind::Calendar(windows)) => windows.name(),
            Ok(Kind::Session(windows)) => windows.name(),
            Ok(Kind::Sliding(windows)) => windows.name(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_name_the_windows_that_the_engine_makes() {
        for (args, expected) in [
            ("--size 1h --grace 0s", "tumbling 1h, grace 0s"),
            (
                "--size 3h --hop 1h --grace 5m",
                "hopping 3h every 1h, grace 5m",
            ),
            (
                "--size 1d --step 1h --grace 5m",
                "cumulative 1d by 1h, grace 5m",
            ),
            (
                "--every week@europe/berlin --grace 1h",
                "weeks in Europe/Berlin, grace 1h",
            ),
            ("--session 5m --grace 1m", "sessions, gap 5m, grace 1m"),
            ("--sliding 0s --grace 1s", "sliding 0s, grace 1s"),
            (
                "--size 0s --grace 1s",
                "a window's size must be positive, found 0 ms",
            ),
            (
                "--size 1h --step 25m --grace 1s",
                "a cumulative window's step must divide its size of 1h, found 25m",
            ),
        ] {
            assert_eq!(name(args), expected, "{args}");
        }
    }

    #[test]
    fn anything_but_one_kind_is_refused() {
        let refused = |args: &str, words: &str| {
            let error = parsed(args).unwrap_err();
            assert!(error.contains(words), "{args}: {error}");
        };
        refused(
            "--grace 1s",
            "<--size <DURATION>|--every <UNIT@ZONE>|--session <GAP>|--sliding <DIFFERENCE>>",
        );
        refused("--size 1h", "--grace <DURATION>");
        for other in ["every day@UTC", "session 5m", "sliding 10s"] {
            let name = other.split(' ').next().unwrap();
            refused(
                &format!("--size 1h --{other} --grace 1s"),
                "'--size <DURATION>' cannot be used with",
            );
            for of_size in ["hop", "step"] {
                let words = format!("'--{of_size} <DURATION>' cannot be used with");
                let args = format!("--{of_size} 1h --{other} --grace 1s");
                refused(&args, &words);
                refused(&args, &format!("--{name} <"));
            }
        }
        refused("--hop 1h --grace 1s", "--size <DURATION>");
        refused("--step 1h --grace 1s", "--size <DURATION>");
        refused("--size 1h --hop 1h --step 1h --grace 1s", "cannot be used");
        refused(
            "--every day@Berlin --grace 1s",
            "found \"Berlin\", the nearest is Europe/Berlin",
        );
        refused("--every hour@UTC --grace 1s", "day, week, month or year");
    }
}
