//! SIGINT and SIGTERM: the first asks, the second insists.
//!
//! ```text
//!  running ──first signal──▶ finishing (flush, sync, answer) ──▶ exit
//!                               └──second signal──▶ exit 130, at once
//! ```
//!
//! A separate task waits for the signals, so that the second works whatever the verb is doing.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

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
    /// The exit code of a verb that this signal ended.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
        }
    }
}

/// Tells a verb to finish.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Signal>>);

impl Stop {
    /// Catches both signals from now on: the first no longer ends the process by itself.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn on_signal() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        let mut interrupt = catch(SignalKind::interrupt())?;
        let mut terminate = catch(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let first = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
            sender.send_replace(Some(first));
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(Exit::Interrupted.code());
        });
        Ok(Self(receiver))
    }

    /// For tests: no signal ever comes.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(watch::channel(None).1)
    }

    /// The signal, if one came.
    pub(crate) fn asked(&self) -> Option<Signal> {
        *self.0.borrow()
    }

    /// Waits for a signal. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Signal {
        if let Ok(signal) = self.0.wait_for(Option::is_some).await {
            return signal.expect("the signal was waited for");
        }
        std::future::pending().await
    }
}
