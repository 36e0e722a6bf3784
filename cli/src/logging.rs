//! Log lines on stderr, one per event: time, level, module, message, fields.
//!
//! ```text
//! 2013-03-08T19:40:00.000Z  INFO brooklet_log::recovery: recovered flights-0 bytes_cut=812
//! ```
//!
//! By default these are warnings and errors, and what recovery did to a log, because that is of
//! interest after a crash; `-v`, `-vv`, `-vvv` or `BROOKLET_LOG` (off, error, warn, info, debug,
//! trace) show more or less. Left out: spans, filters per module, JSON.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use brooklet_log::clock::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::escape::printable;
use crate::exit::CliError;
use crate::time;

/// Sends log lines of the whole process to stderr.
///
/// # Errors
/// `BROOKLET_LOG` is not a level.
pub(crate) fn install(verbose: u8) -> anyhow::Result<()> {
    let log = StderrLog {
        filter: Filter::new(verbose, std::env::var("BROOKLET_LOG").ok().as_deref())?,
        clock: SystemClock::new(),
        spans: AtomicU64::new(1),
    };
    tracing::subscriber::set_global_default(log).context("cannot start logging")
}

/// Which events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filter {
    everywhere: LevelFilter,
    of_the_log: LevelFilter,
}

impl Filter {
    /// Reads the options; `-v` takes precedence over the environment.
    fn new(verbose: u8, environment: Option<&str>) -> Result<Self, CliError> {
        let level = match (verbose, environment) {
            (0, None | Some("")) => {
                return Ok(Self {
                    everywhere: LevelFilter::WARN,
                    of_the_log: LevelFilter::INFO,
                });
            }
            (0, Some(name)) => name.parse().map_err(|_| {
                let levels = "off, error, warn, info, debug or trace";
                CliError::Usage(format!("BROOKLET_LOG={name}: expected {levels}"))
            })?,
            (1, _) => LevelFilter::INFO,
            (2, _) => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        Ok(Self {
            everywhere: level,
            of_the_log: level,
        })
    }

    fn lets_through(self, level: Level, target: &str) -> bool {
        let of_the_log = target.starts_with("brooklet_log");
        let most = if of_the_log {
            self.of_the_log
        } else {
            self.everywhere
        };
        level <= most
    }
}

#[derive(Debug)]
struct StderrLog {
    filter: Filter,
    clock: SystemClock,
    spans: AtomicU64,
}

impl Subscriber for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter
            .lets_through(*metadata.level(), metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.everywhere.max(self.filter.of_the_log))
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let time = time::to_text(self.clock.wall());
        let (level, target) = (metadata.level(), metadata.target());
        let words = line.message + &line.fields;
        let text = format!("{time} {level:>5} {target}: {}\n", printable(&words));
        // One write per line, so that lines of two threads do not mix. If stderr is closed, nobody
        // is left to read them.
        drop(std::io::stderr().write_all(text.as_bytes()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The words of one event.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a String takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_the_log_informs() {
        let filter = Filter::new(0, None).unwrap();
        assert!(filter.lets_through(Level::WARN, "brooklet_broker::server"));
        assert!(!filter.lets_through(Level::INFO, "brooklet_broker::server"));
        assert!(filter.lets_through(Level::INFO, "brooklet_log::recovery"));
        assert!(!filter.lets_through(Level::DEBUG, "brooklet_log"));
    }

    #[test]
    fn options_go_before_the_environment() {
        let level = |verbose, env| Filter::new(verbose, env).unwrap().everywhere;
        assert_eq!(level(0, Some("off")), LevelFilter::OFF);
        assert_eq!(level(0, Some("DEBUG")), LevelFilter::DEBUG);
        assert_eq!(level(1, Some("off")), LevelFilter::INFO);
        assert_eq!(level(9, None), LevelFilter::TRACE);
        assert!(Filter::new(0, Some("loud")).is_err());
    }

    #[test]
    fn an_event_is_one_line_of_message_and_fields() {
        #[derive(Default)]
        struct Capture(parking_lot::Mutex<String>);
        impl Subscriber for Capture {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn event(&self, event: &Event<'_>) {
                let mut line = Line::default();
                event.record(&mut line);
                *self.0.lock() = line.message + &line.fields;
            }
            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }
            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }
        let capture = std::sync::Arc::new(Capture::default());
        tracing::subscriber::with_default(std::sync::Arc::clone(&capture), || {
            tracing::info!(bytes_cut = 812, topic = %"flights", "recovered {}", "flights-0");
        });
        assert_eq!(
            *capture.0.lock(),
            "recovered flights-0 bytes_cut=812 topic=flights"
        );
    }
}
