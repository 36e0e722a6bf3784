//! What a machine writes: keys and values, as they stand in its log.

use brooklet_protocol::Producer;
use bytes::Bytes;

/// How a record of a machine's log stands to transactions (KIP-98).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It counts at once.
    #[default]
    Outside,
    /// It counts once its producer's transaction is committed.
    Inside(Producer),
    /// It is the marker that ends its producer's transaction; it has neither key nor value here.
    Ends {
        /// Whose transaction.
        producer: Producer,
        /// Whether its records count.
        committed: bool,
    },
}

/// One record of a machine's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// Null, or what the record is about.
    pub key: Option<Bytes>,
    /// Null (a tombstone), or what it says.
    pub value: Option<Bytes>,
    /// How it stands to transactions; the same for all records of one decision.
    pub standing: Standing,
}

impl LogRecord {
    /// The marker that ends a producer's transaction.
    pub fn marker(producer: Producer, committed: bool) -> Self {
        Self {
            standing: Standing::Ends {
                producer,
                committed,
            },
            ..Self::default()
        }
    }
}
