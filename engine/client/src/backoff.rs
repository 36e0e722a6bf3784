//! How long to wait before the next attempt: `retry.backoff.ms` (100) doubled at every attempt, up
//! to `retry.backoff.max.ms` (1000), as the Java client does it.
//!
//! Left out: the random fifth by which Kafka spreads its clients, so that runs are repeatable.

use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;

use crate::{Client, ClientError};

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(1);
/// While the transaction before is ending; the Java client's wait, too.
const ENDING: Duration = Duration::from_millis(20);

/// Attempts at a request before its error is returned to the caller; together they take about 4 s.
pub(crate) const ATTEMPTS_MAX: u32 = 8;

/// The wait after `failures` attempts in a row have failed.
pub(crate) fn after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST * (1 << doublings)).min(MAX)
}

/// The same, where `error` says how soon the next attempt may succeed: a transaction that is still
/// ending has ended within milliseconds.
pub(crate) fn after_error(error: &ClientError, failures: u32) -> Duration {
    match error {
        ClientError::Broker {
            code: ErrorCode::ConcurrentTransactions,
            ..
        } => ENDING,
        _ => after(failures),
    }
}

/// The attempts at one request that have failed so far, and the pauses between them.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failures: u32,
}

impl Attempts {
    /// After an attempt that failed with `error`: waits until it is time for the next one.
    ///
    /// # Errors
    /// `error`, if it does not pass by itself or this was the last attempt.
    pub(crate) async fn pause(
        &mut self,
        client: &Client,
        error: ClientError,
    ) -> Result<(), ClientError> {
        let passes = error.is_retriable();
        self.pause_if(passes, client, error).await
    }

    /// The same, where the caller knows whether the error `passes`.
    ///
    /// # Errors
    /// As [`Attempts::pause`].
    pub(crate) async fn pause_if(
        &mut self,
        passes: bool,
        client: &Client,
        error: ClientError,
    ) -> Result<(), ClientError> {
        self.failures += 1;
        if !passes || self.failures >= ATTEMPTS_MAX {
            return Err(error);
        }
        client.pause(after(self.failures)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_second() {
        let millis: Vec<_> = (0..6).map(|failures| after(failures).as_millis()).collect();
        assert_eq!(millis, [100, 100, 200, 400, 800, 1000]);
        assert_eq!(after(u32::MAX), MAX);
    }
}
