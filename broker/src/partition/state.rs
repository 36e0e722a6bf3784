//! A partition as the rest of the broker sees it: open, or offline.
//!
//! ```text
//!            open ok                      a sync or a write fails
//!  start ─┬────────────▶ Open, serving ────────────────────────────▶ Open, but offline
//!         └────────────▶ Offline (damage, or the disk: named in the log)
//!            open fails
//!  both ways out lead through a restart
//! ```
//!
//! One damaged log must not keep a thousand good ones from being served, and must not be mended
//! by accident either. So the partition is listed without a leader, every request for it is
//! answered with a storage error, and its files stay as they were found: it is neither written,
//! nor synced, nor checkpointed beyond the recovery point that proves the damage.

use std::sync::Arc;

use brooklet_protocol::{LeaderEpoch, TopicPartition};

use super::Partition;

/// A partition of a topic, whether its log could be opened or not.
#[derive(Clone, Debug)]
pub enum PartitionState {
    /// The log is open. It may have gone offline since: see [`Partition::is_offline`].
    Open(Arc<Partition>),
    /// The log could not be opened.
    Offline(Arc<OfflinePartition>),
}

/// A partition whose log could not be opened when the broker started.
#[derive(Debug)]
pub struct OfflinePartition {
    /// The topic-partition.
    pub id: TopicPartition,
    /// Why it could not be opened: the file, the position and what is wrong there.
    pub reason: String,
}

impl PartitionState {
    /// The topic-partition.
    pub fn id(&self) -> &TopicPartition {
        match self {
            Self::Open(partition) => partition.id(),
            Self::Offline(partition) => &partition.id,
        }
    }

    /// The partition, if its log could be opened.
    pub fn open(&self) -> Option<&Arc<Partition>> {
        match self {
            Self::Open(partition) => Some(partition),
            Self::Offline(_) => None,
        }
    }

    /// The current leader epoch; the first one of a log that could not be opened.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.open()
            .map_or(LeaderEpoch(0), |partition| partition.leader_epoch())
    }

    /// Whether it serves nothing until the broker restarts.
    pub fn is_offline(&self) -> bool {
        self.open().is_none_or(|partition| partition.is_offline())
    }
}
