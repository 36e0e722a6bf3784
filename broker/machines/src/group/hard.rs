//! What the log says of groups: the hard state, all that replay rebuilds.
//!
//! ```text
//!  record                        hard state                              change
//!  offset, value                 offsets[partition] = value              OffsetCommitted
//!  offset, tombstone             offsets without the partition           None
//!  offset, in a transaction      pending, until the marker               None
//!  group, value                  stored = value                          GroupStored
//!  group, tombstone              all of the group removed, but pending   GroupDeleted
//!  marker of a transaction       pending ─▶ offsets, or dropped          TransactionEnded
//! ```
//!
//! [`HardState::apply`] is the only function that changes it, and it sees nothing but the record:
//! no time, no members, no clients that wait. So two replays of one log are equal, and so are the
//! replays of a log before and after its compaction. The [`Change`] that it returns is what soft
//! state follows.

use std::collections::BTreeMap;

use brooklet_protocol::wire::fields::RecordError;
use brooklet_protocol::{Offset, ProducerId, Timestamp, TopicPartition};

use super::pending::{GroupPartition, Pending};
use super::record::{CommittedOffset, GroupRecord, StoredGroup};
use crate::{LogRecord, TxnMembership};

/// The committed offsets of a group.
pub type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

static NO_OFFSETS: Offsets = BTreeMap::new();

/// The groups of one partition of `__consumer_offsets`, as its log has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HardState {
    /// Only those that have a stored group or offsets.
    by_id: BTreeMap<String, LoggedGroup>,
    pending: Pending,
}

/// What the log says of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LoggedGroup {
    stored: Option<StoredGroup>,
    offsets: Offsets,
}

/// What a record has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that members could notice.
    None,
    /// A group has an offset, committed at this time.
    OffsetCommitted(String, Timestamp),
    /// A group was stored.
    GroupStored {
        group: String,
        stored: StoredGroup,
        /// The generation that was stored before.
        generation_before: Option<i32>,
    },
    /// A group was deleted, with its offsets.
    GroupDeleted(String),
    /// A transaction has ended; these groups have offsets of it now.
    TransactionEnded(Vec<(String, Timestamp)>),
}

impl HardState {
    /// Applies a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(super) fn apply(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Change, RecordError> {
        let transaction = match record.txn {
            TxnMembership::NonTransactional => None,
            TxnMembership::Transactional(producer) => Some(producer.id),
            TxnMembership::Marker {
                producer,
                committed,
            } => return Ok(self.end_transaction(producer.id, committed)),
        };
        Ok(match (GroupRecord::decode(record)?, transaction) {
            (
                Some(GroupRecord::Offset {
                    group,
                    topic,
                    partition,
                    committed,
                }),
                transaction,
            ) => {
                let at = (group, TopicPartition { topic, partition });
                self.offset(offset, at, committed, transaction)
            }
            (Some(GroupRecord::Group { group, stored }), None) => self.group(group, stored),
            (None | Some(GroupRecord::Group { .. }), _) => Change::None,
        })
    }

    fn offset(
        &mut self,
        record: Offset,
        at: GroupPartition,
        committed: Option<CommittedOffset>,
        transaction: Option<ProducerId>,
    ) -> Change {
        match (transaction, committed) {
            (Some(id), Some(committed)) => {
                self.pending.insert(id, at, (record, committed));
                Change::None
            }
            (Some(_), None) => Change::None,
            (None, Some(committed)) => {
                let since = committed.committed_at;
                let group = self.commit(record, at, committed);
                Change::OffsetCommitted(group, since)
            }
            (None, None) => {
                self.pending.forget_before(record, &at);
                let (group, partition) = at;
                if let Some(known) = self.by_id.get_mut(&group) {
                    known.offsets.remove(&partition);
                    if known.offsets.is_empty() && known.stored.is_none() {
                        self.by_id.remove(&group);
                    }
                }
                Change::None
            }
        }
    }

    fn commit(&mut self, record: Offset, at: GroupPartition, committed: CommittedOffset) -> String {
        self.pending.forget_before(record, &at);
        let (group, partition) = at;
        let known = self.by_id.entry(group.clone()).or_default();
        known.offsets.insert(partition, committed);
        group
    }

    fn group(&mut self, group: String, stored: Option<StoredGroup>) -> Change {
        let Some(stored) = stored else {
            self.by_id.remove(&group);
            return Change::GroupDeleted(group);
        };
        let known = self.by_id.entry(group.clone()).or_default();
        let before = known.stored.replace(stored.clone());
        Change::GroupStored {
            group,
            stored,
            generation_before: before.map(|before| before.generation),
        }
    }

    fn end_transaction(&mut self, id: ProducerId, committed: bool) -> Change {
        let mut groups = Vec::new();
        for (at, (record, offset)) in self.pending.take(id) {
            if committed {
                let since = offset.committed_at;
                groups.push((self.commit(record, at, offset), since));
            }
        }
        Change::TransactionEnded(groups)
    }

    /// Whether the log says anything of a group.
    pub(super) fn knows(&self, group: &str) -> bool {
        self.by_id.contains_key(group)
    }

    /// The committed offsets of a group.
    pub(super) fn offsets(&self, group: &str) -> &Offsets {
        self.by_id
            .get(group)
            .map_or(&NO_OFFSETS, |known| &known.offsets)
    }

    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }
}
