//! SIGINT and SIGTERM: the first asks, the second insists.
//!
//! ```text
//!  running ──first signal──▶ finishing (flush, sync, answer) ──▶ exit
//!                               └──second signal──▶ exit 130, at once
//! ```

use anyhow::Context;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::exit::Exit;

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The exit code of a verb that the signal cut short.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
        }
    }
}

/// Both signals, caught from now on: they no longer kill the process by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Catches the signals.
    ///
    /// # Errors
    /// The system allows no handler.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let stream = |kind| signal(kind).context("cannot catch signals");
        Ok(Self {
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// From now on a signal ends the process at once, whatever it is busy with.
    pub(crate) fn insist(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(Exit::Interrupted.code());
        });
    }
}
