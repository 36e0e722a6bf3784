//! From an error to an exit code and to words with a next step.
//!
//! Verbs return `anyhow` errors; the typed error inside says what kind they are. The codes are part
//! of the interface: scripts branch on them.

use std::fmt::Write as _;
use std::io;

use anyhow::Error;
use brooklet_broker::StartError;
use brooklet_client::ClientError;
use brooklet_client::transport::TransportError;
use brooklet_log::LogError;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::BatchError;
use thiserror::Error;

use crate::http::HttpError;
use crate::output::{OutputError, say_error};
use crate::refused::remedy;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Ok,
    /// It failed, for a reason without a code of its own.
    Failed,
    /// The command line is wrong. Clap uses the same code.
    Usage,
    /// No broker could be reached, or none answered in time.
    CannotConnect,
    /// No such topic or partition.
    NotFound,
    /// Stored bytes are not what was written.
    Corruption,
    /// A check failed, or a measurement is not valid.
    CheckFailed,
    /// Ctrl-C (128 + SIGINT).
    Interrupted,
    /// SIGTERM (128 + SIGTERM).
    Terminated,
}

impl Exit {
    /// The number for the operating system.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::CannotConnect => 3,
            Self::NotFound => 4,
            Self::Corruption => 5,
            Self::CheckFailed => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Errors that the command line finds itself.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line is wrong, for a reason that clap cannot see.
    #[error("{0}")]
    Usage(String),
    /// A topic or partition does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A part was done, and a part is missing; the source says why.
    #[error("{what}")]
    Incomplete {
        /// What is missing.
        what: String,
        /// How to do the missing part.
        go_on: String,
        /// Why it is missing.
        source: ClientError,
    },
}

/// Prints an error to stderr and says how the process should end. A closed stdout is not an error.
pub(crate) fn report(error: &Error) -> Exit {
    if let Some(OutputError::Closed) = error.downcast_ref() {
        return Exit::Ok;
    }
    say_error(&describe(error));
    exit_of(error)
}

/// The exit code of an error.
pub(crate) fn exit_of(error: &Error) -> Exit {
    error
        .chain()
        .find_map(exit_of_cause)
        .unwrap_or(Exit::Failed)
}

fn exit_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return exit_of_client(error);
    }
    if let Some(error) = cause.downcast_ref::<CliError>() {
        return Some(match error {
            CliError::Usage(_) => Exit::Usage,
            CliError::NotFound(_) => Exit::NotFound,
            CliError::Incomplete { source, .. } => exit_of_client(source).unwrap_or(Exit::Failed),
        });
    }
    let corrupt = matches!(cause.downcast_ref(), Some(LogError::Corrupt { .. }));
    (corrupt || cause.is::<BatchError>()).then_some(Exit::Corruption)
}

fn exit_of_client(error: &ClientError) -> Option<Exit> {
    match error {
        ClientError::Transport(TransportError::Connect { source, .. })
            if source.kind() == io::ErrorKind::InvalidInput =>
        {
            Some(Exit::Usage)
        }
        ClientError::Transport(
            TransportError::Connect { .. }
            | TransportError::Broken { .. }
            | TransportError::TimedOut { .. },
        )
        | ClientError::DeliveryTimedOut { .. } => Some(Exit::CannotConnect),
        ClientError::UnknownTopic(_)
        | ClientError::UnknownGroup(_)
        | ClientError::UnknownTransactionalId(_) => Some(Exit::NotFound),
        ClientError::Broker { code, .. } => match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => Some(Exit::NotFound),
            ErrorCode::RequestTimedOut => Some(Exit::CannotConnect),
            ErrorCode::CorruptMessage => Some(Exit::Corruption),
            _ => None,
        },
        _ => None,
    }
}

/// What went wrong, and the next step where one is known.
fn describe(error: &Error) -> String {
    let mut text = words(error);
    if let Some(step) = error.chain().find_map(next_step) {
        write!(text, ". {step}").expect("a String takes all");
    }
    text
}

/// What went wrong, from the outermost words inwards.
pub(crate) fn words(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = words_of(cause);
        // Do not repeat a source that its own message already ends with.
        if text.ends_with(&words) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        write!(text, "{separator}{words}").expect("a String takes all");
        if is_complete(cause) {
            break;
        }
    }
    text
}

/// Whether an error's own words already hold those of its sources.
fn is_complete(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<ClientError>()
        || cause.is::<StartError>()
        || cause.is::<LogError>()
        || cause.is::<HttpError>()
}

fn words_of(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<ClientError>() {
        Some(ClientError::Transport(TransportError::Connect { address, source })) => {
            format!("cannot connect to {address}: {}", io_words(source))
        }
        _ => cause.to_string(),
    }
}

/// An I/O error in plain words: where the system's text only adds a number to the kind, the kind.
pub(crate) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory => error.kind().to_string(),
        _ => error.to_string(),
    }
}

fn next_step(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(CliError::Incomplete { go_on, .. }) = cause.downcast_ref() {
        return Some(go_on.clone());
    }
    let error = cause.downcast_ref::<ClientError>()?;
    remedy(error).or_else(|| next_step_of(error).map(str::to_owned))
}

fn next_step_of(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Transport(TransportError::Connect { source, .. })
            if source.kind() != io::ErrorKind::InvalidInput =>
        {
            Some("Is a broker running? Start one with: brooklet serve")
        }
        ClientError::UnknownTopic(_) => Some("List the topics with: brooklet topic list"),
        ClientError::UnknownGroup(_) => Some("List the groups with: brooklet group list"),
        ClientError::UnknownTransactionalId(_) => {
            Some("List the transactional ids with: brooklet txn list")
        }
        ClientError::Broker { code, .. } => match code {
            ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId => {
                Some("The group has members; stop them first")
            }
            ErrorCode::TopicAlreadyExists => {
                Some("To accept an existing topic, add --if-not-exists")
            }
            ErrorCode::UnknownTopicOrPartition => Some("List the topics with: brooklet topic list"),
            ErrorCode::LeaderNotAvailable | ErrorCode::KafkaStorageError => {
                Some("The partition may be offline: the broker's log says why")
            }
            ErrorCode::CorruptMessage => Some("The broker's log names the file and the position"),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        ClientError::Transport(TransportError::Connect {
            address: "127.0.0.1:9092".into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        })
        .into()
    }

    #[test]
    fn a_refused_connection_names_the_address_and_the_next_step() {
        assert_eq!(
            describe(&refused()),
            "cannot connect to 127.0.0.1:9092: connection refused. \
             Is a broker running? Start one with: brooklet serve"
        );
        assert_eq!(exit_of(&refused()), Exit::CannotConnect);
    }

    #[test]
    fn context_comes_first_and_keeps_the_exit_code() {
        let error = refused().context("3 of 5 records were not stored");
        assert!(describe(&error).starts_with("3 of 5 records were not stored: cannot connect"));
        assert_eq!(exit_of(&error), Exit::CannotConnect);
    }

    #[test]
    fn exit_codes_follow_the_kind_of_error() {
        let broker = |code| ClientError::Broker {
            what: "produce".into(),
            code,
            message: None,
        };
        let cases: [(Error, Exit); 8] = [
            (ClientError::UnknownTopic("t".into()).into(), Exit::NotFound),
            (
                broker(ErrorCode::UnknownTopicOrPartition).into(),
                Exit::NotFound,
            ),
            (
                broker(ErrorCode::RequestTimedOut).into(),
                Exit::CannotConnect,
            ),
            (broker(ErrorCode::CorruptMessage).into(), Exit::Corruption),
            (broker(ErrorCode::TopicAlreadyExists).into(), Exit::Failed),
            (BatchError::Magic(1).into(), Exit::Corruption),
            (CliError::Usage("no".into()).into(), Exit::Usage),
            (anyhow::anyhow!("anything else"), Exit::Failed),
        ];
        for (error, exit) in cases {
            assert_eq!(exit_of(&error), exit, "{error}");
        }
    }

    #[test]
    fn a_closed_stdout_is_success() {
        assert_eq!(report(&OutputError::Closed.into()), Exit::Ok);
    }
}
