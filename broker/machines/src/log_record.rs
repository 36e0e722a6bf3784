//! What a machine writes: keys and values, as they stand in its log.

use brooklet_protocol::Producer;
use bytes::Bytes;

/// Whether a record of a machine's log belongs to a transaction (KIP-98).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxnMembership {
    /// It belongs to none, and counts at once.
    #[default]
    NonTransactional,
    /// It counts once its producer's transaction is committed.
    Transactional(Producer),
    /// It is the marker that ends its producer's transaction; it has neither key nor value here.
    Marker {
        /// The producer whose transaction ends.
        producer: Producer,
        /// Whether the records of the transaction count.
        committed: bool,
    },
}

/// One record of a machine's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// The subject of the record, or null.
    pub key: Option<Bytes>,
    /// What the record says of it; null is a tombstone.
    pub value: Option<Bytes>,
    /// The same for all records of one decision.
    pub txn: TxnMembership,
}

impl LogRecord {
    /// The marker that ends a producer's transaction.
    pub fn marker(producer: Producer, committed: bool) -> Self {
        Self {
            txn: TxnMembership::Marker {
                producer,
                committed,
            },
            ..Self::default()
        }
    }
}
