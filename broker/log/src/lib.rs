//! The log of one partition: record batches, one after the other, in Kafka's own files.
//!
//! ```text
//!  topic-0/
//!    00000000000000000000.log   [ batch 0..9 | batch 10..10 | ... ]   sealed: never changes
//!    00000000000000000000.index      offset → position, a hint
//!    00000000000000000000.timeindex  time → offset, a hint
//!    00000000000000000000.txnindex   aborted transactions, if there are any
//!    00000000000000004096.snapshot   the producers' state before offset 4096
//!    leader-epoch-checkpoint          which leader epoch began where
//!    synced-offsets                   how far it is synced, written after each sync
//!    00000000000000004096.log   [ batch 4096..4100 | ... ]            active: the only one that grows
//! ```
//!
//! There is one writer, [`Log`], and any number of readers, [`LogReader`]. [`LogSync`] makes appended
//! records durable, and [`Maintenance`] deletes and compacts old ones, both beside the writer. A batch is stored as the
//! producer sent it, with base offset and leader epoch stamped in, and is read back as it is
//! stored.
//!
//! Invariants:
//! - offsets are dense: every batch starts where the one before it ends, also across segments,
//!   except where compaction has left gaps: there they ascend;
//! - bytes below a segment's published size never change;
//! - what is served was written by this process or has its checksum verified since the open;
//! - a failed sync is final: the log is offline, because what is on the disk is unknown;
//! - a failed append leaves the log as it was, and may be tried again;
//! - [`recovery`] cuts only what no sync has covered, and keeps what it cuts.

pub mod clock;
pub mod vfs;

mod config;
mod error;

mod writer;

mod active;
mod reader;
mod shared;
mod sync;

mod segment;

mod cursor;
mod files;

mod indexes;

mod entries;
mod offset_index;
mod time_index;
mod txn_index;

mod buffers;
mod read_files;
mod verified;

pub mod producer_state;
mod snapshots;
mod unstable;

mod findings;
pub mod recovery;

pub mod checkpoint;
pub mod epochs;
mod sync_points;

mod maintenance;

pub mod retention;
mod retired;

pub mod compaction;

pub mod inspect;

#[cfg(test)]
mod tests;

pub use buffers::trim_read_buffers;
pub use config::{CleanupPolicy, FOREVER, LogConfig, TimestampType};
pub use error::{Damage, LogError};
pub use maintenance::{Maintenance, TakenAway, TakenEarly};
pub use read_files::{OPEN_MAX as READ_FILES_MAX, close_read_files};
pub use reader::{LogReader, ReadBatches, SegmentInfo};
pub use recovery::{RecoveryReport, RecoveryStart};
pub use sync::LogSync;
pub use sync_points::forget as forget_synced;
pub use txn_index::AbortedTransaction;
pub use writer::{Appended, Log};
