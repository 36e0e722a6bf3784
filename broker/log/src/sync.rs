//! The side of a log that makes appended records durable.
//!
//! ```text
//!  append ─▶ page cache ── sync ──▶ recovery point: the records survive a power cut
//!                       ── settle ─▶ settled point: and so do the indexes below it, so that this
//!                                    offset may be written to the checkpoint file
//! ```
//!
//! Any thread may call these, while others append and read; syncs of one log take turns.

use std::sync::Arc;

use brooklet_protocol::Offset;

use super::LogError;
use super::shared::Shared;

/// Syncs a log that is open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogSync {
    shared: Arc<Shared>,
}

impl LogSync {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes durable what is in the log now; returns the offset below which everything is. Blocks.
    /// After a failure the log is offline for good.
    ///
    /// # Errors
    /// The disk.
    pub fn sync(&self) -> Result<Offset, LogError> {
        self.shared.sync()
    }

    /// Makes the indexes durable, too, up to the recovery point that it returns: that one may be
    /// written down. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub fn settle(&self) -> Result<Offset, LogError> {
        self.shared.settle()
    }

    /// Forgets the ended transactions that only matter to watermarks below `watermark`. The caller
    /// promises to ask for no last stable offset at a lower watermark from now on.
    pub fn forget_ended_below(&self, watermark: Offset) {
        self.shared.unstable().forget_below(watermark);
    }
}
