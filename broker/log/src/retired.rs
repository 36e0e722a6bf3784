//! Segments that are gone from the log, and whose files wait to be removed.
//!
//! A reader may still hold such a segment and read on in the file that it has open, so the files
//! stay, renamed to `.deleted`, for `file.delete.delay.ms`.

use std::path::PathBuf;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;

/// The files of one segment that is gone.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) files: Vec<PathBuf>,
    pub(super) since: Monotonic,
}

/// All of a log's retired segments.
#[derive(Debug, Default)]
pub(super) struct RetiredSegments(Mutex<Vec<Retired>>);

impl RetiredSegments {
    /// Keeps the files of one more segment for later.
    pub(super) fn keep(&self, retired: Retired) {
        self.0.lock().push(retired);
    }

    /// Takes out those that have waited for `delay`.
    pub(super) fn take_due(&self, now: Monotonic, delay: Duration) -> Vec<Retired> {
        let is_due = |retired: &Retired| now.0 >= retired.since.0.saturating_add(delay);
        let mut retired = self.0.lock();
        let (due, kept) = std::mem::take(&mut *retired).into_iter().partition(is_due);
        *retired = kept;
        due
    }
}
