//! A log in memory that fails on demand, for tests of machines and of the driver.

use std::error::Error;
use std::sync::Arc;

use brooklet_log::LogError;
use brooklet_machines::LogRecord;
use brooklet_protocol::{Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{RecordLog, ReplayError, ReplayRecord};
use crate::partition::Durability;

/// A log in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<LogRecord>,
    fail_appends: bool,
    fail_commits: bool,
    /// Commits wait while it is set.
    hold_commits: bool,
    committed: Vec<(Offset, Durability)>,
}

impl MemoryLog {
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.state.lock().records.clone()
    }

    pub(crate) fn committed(&self) -> Vec<(Offset, Durability)> {
        self.state.lock().committed.clone()
    }

    pub(crate) fn fail_appends(&self, fail: bool) {
        self.state.lock().fail_appends = fail;
    }

    pub(crate) fn fail_commits(&self, fail: bool) {
        self.state.lock().fail_commits = fail;
    }

    pub(crate) fn hold_commits(&self, hold: bool) {
        self.state.lock().hold_commits = hold;
        self.released.notify_waiters();
    }

    fn offline() -> LogError {
        LogError::Offline {
            path: "memory".into(),
        }
    }
}

impl RecordLog for MemoryLog {
    fn append(&self, records: &[LogRecord], _: Timestamp) -> Result<Offset, LogError> {
        let mut state = self.state.lock();
        if state.fail_appends {
            return Err(Self::offline());
        }
        let base = Offset(state.records.len() as i64);
        state.records.extend_from_slice(records);
        Ok(base)
    }

    async fn commit(&self, offset: Offset, durability: Durability) -> Result<(), LogError> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.state.lock().hold_commits {
                break;
            }
            released.await;
        }
        let mut state = self.state.lock();
        state.committed.push((offset, durability));
        if state.fail_commits {
            return Err(Self::offline());
        }
        Ok(())
    }

    fn replay(&self, each: ReplayRecord<'_>) -> Result<(), ReplayError> {
        let refused = |offset, source: Box<dyn Error + Send + Sync>| ReplayError::Record {
            log: "memory".into(),
            offset,
            source,
        };
        for (offset, record) in (0..).map(Offset).zip(self.records()) {
            each(offset, &record).map_err(|source| refused(offset, source))?;
        }
        Ok(())
    }

    fn end_offset(&self) -> Offset {
        Offset(self.state.lock().records.len() as i64)
    }
}
