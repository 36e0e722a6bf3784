//! The transaction that is logged, in ZooKeeper's own shapes.
//!
//! ```text
//!  record value = header, body                     body by type
//!  ┌──────────┬───────┬──────┬──────┬──────┐        1 create   path, data, acl, ephemeral, creates
//!  │ clientId │ cxid  │ zxid │ time │ type │        2 delete   path
//!  │ long     │ int   │ long │ long │ int  │        5 setData  path, data, version after it
//!  └──────────┴───────┴──────┴──────┴──────┘       13 check    path, version after it
//!                                                  14 multi    vector of (type, body as a buffer)
//!  jute throughout; `creates` is how many          -1 error    code
//!  children the parent has had, this one included
//! ```
//!
//! Invariants: what is encoded decodes equal; any bytes decode or are refused; a multi holds no
//! multi, so the nesting is bounded.

use brooklet_protocol::Timestamp;
use brooklet_protocol::jute::{JuteError, Reader, Writer};
use bytes::Bytes;
use thiserror::Error;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const ERROR: i32 = -1;

/// All permissions, for everybody: the one access list there is.
const PERMISSIONS_ALL: i32 = 31;
const SCHEME_WORLD: &str = "world";
const ID_ANYONE: &str = "anyone";

/// The author, number and time of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session; 0 for the broker itself.
    pub client_id: i64,
    /// The number that the client gave its request; 0 for the broker itself.
    pub cxid: i32,
    /// The number of the change: the offset of its record.
    pub zxid: i64,
    /// When it was decided.
    pub time: Timestamp,
}

/// A change as it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn {
    /// A znode is created.
    Create {
        /// Its path, with the sequence number if it has one.
        path: String,
        /// Null or bytes.
        data: Option<Bytes>,
        /// Whether it is deleted when the session ends.
        ephemeral: bool,
        /// Children that the parent has had, this one included.
        creates: i32,
    },
    /// A znode is deleted.
    Delete {
        /// Its path.
        path: String,
    },
    /// A znode's data is replaced.
    SetData {
        /// Its path.
        path: String,
        /// Null or bytes.
        data: Option<Bytes>,
        /// The version that results.
        version: i32,
    },
    /// A condition of a multi that held.
    Check {
        /// The znode's path.
        path: String,
        /// The version after the one that was asked for, as ZooKeeper writes it.
        version: i32,
    },
    /// Several changes as one.
    Multi(Vec<Txn>),
    /// No change: the write failed with this code. In a multi that failed, each of its operations
    /// is one: 0 before the one at fault.
    Error(i32),
}

/// Why a record is not a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TxnError {
    /// The bytes are malformed.
    #[error("malformed transaction: {0}")]
    Jute(#[from] JuteError),
    /// A type this broker does not write.
    #[error("unknown transaction type {0}")]
    Type(i32),
    /// An access list other than the open one.
    #[error("a znode with an access list, expected one that is open to all")]
    Acl,
}

/// Writes header and transaction.
pub fn encode(header: &Header, txn: &Txn) -> Bytes {
    let mut out = Writer::new();
    out.long(header.client_id)
        .int(header.cxid)
        .long(header.zxid)
        .long(header.time.0)
        .int(txn.type_number());
    txn.write(&mut out);
    out.finish()
}

/// Reads what [`encode`] writes.
///
/// # Errors
/// The bytes are something else.
pub fn decode(record: Bytes) -> Result<(Header, Txn), TxnError> {
    let mut from = Reader::new(record);
    let header = Header {
        client_id: from.long()?,
        cxid: from.int()?,
        zxid: from.long()?,
        time: Timestamp(from.long()?),
    };
    let type_number = from.int()?;
    let txn = match type_number {
        MULTI => Txn::Multi(read_multi(&mut from)?),
        single => Txn::read_single(single, &mut from)?,
    };
    from.finish()?;
    Ok((header, txn))
}

impl Txn {
    fn type_number(&self) -> i32 {
        match self {
            Self::Create { .. } => CREATE,
            Self::Delete { .. } => DELETE,
            Self::SetData { .. } => SET_DATA,
            Self::Check { .. } => CHECK,
            Self::Multi(_) => MULTI,
            Self::Error(_) => ERROR,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Create {
                path,
                data,
                ephemeral,
                creates,
            } => {
                out.string(path).buffer(data.as_deref());
                out.vector(&[(SCHEME_WORLD, ID_ANYONE)], |out, (scheme, id)| {
                    out.int(PERMISSIONS_ALL).string(scheme).string(id);
                });
                out.boolean(*ephemeral).int(*creates)
            }
            Self::Delete { path } => out.string(path),
            Self::SetData {
                path,
                data,
                version,
            } => out.string(path).buffer(data.as_deref()).int(*version),
            Self::Check { path, version } => out.string(path).int(*version),
            Self::Multi(txns) => out.vector(txns, |out, txn| {
                let mut body = Writer::new();
                txn.write(&mut body);
                out.int(txn.type_number()).buffer(Some(&body.finish()));
            }),
            Self::Error(code) => out.int(*code),
        };
    }

    /// Reads any transaction except a multi.
    fn read_single(type_number: i32, from: &mut Reader) -> Result<Self, TxnError> {
        match type_number {
            CREATE => read_create(from),
            DELETE => Ok(Self::Delete {
                path: from.string()?,
            }),
            SET_DATA => Ok(Self::SetData {
                path: from.string()?,
                data: from.buffer()?,
                version: from.int()?,
            }),
            CHECK => Ok(Self::Check {
                path: from.string()?,
                version: from.int()?,
            }),
            ERROR => Ok(Self::Error(from.int()?)),
            other => Err(TxnError::Type(other)),
        }
    }
}

fn read_create(from: &mut Reader) -> Result<Txn, TxnError> {
    let path = from.string()?;
    let data = from.buffer()?;
    let acl = from.vector(|from| Ok((from.int()?, from.string()?, from.string()?)))?;
    let is_open = |(permissions, scheme, id): &(i32, String, String)| {
        *permissions == PERMISSIONS_ALL && scheme == SCHEME_WORLD && id == ID_ANYONE
    };
    match acl.as_slice() {
        [one] if is_open(one) => Ok(Txn::Create {
            path,
            data,
            ephemeral: from.boolean()?,
            creates: from.int()?,
        }),
        _ => Err(TxnError::Acl),
    }
}

fn read_multi(from: &mut Reader) -> Result<Vec<Txn>, TxnError> {
    let parts = from.vector(|from| {
        let type_number = from.int()?;
        Ok((type_number, from.buffer()?.ok_or(JuteError::Null)?))
    })?;
    let read = |(type_number, body)| {
        let mut from = Reader::new(body);
        let txn = Txn::read_single(type_number, &mut from)?;
        from.finish()?;
        Ok(txn)
    };
    parts.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn single() -> impl Strategy<Value = Txn> {
        let data = || any::<Option<Vec<u8>>>().prop_map(|data| data.map(Bytes::from));
        prop_oneof![
            (any::<String>(), data(), any::<bool>(), any::<i32>()).prop_map(
                |(path, data, ephemeral, creates)| Txn::Create {
                    path,
                    data,
                    ephemeral,
                    creates
                }
            ),
            any::<String>().prop_map(|path| Txn::Delete { path }),
            (any::<String>(), data(), any::<i32>()).prop_map(|(path, data, version)| {
                Txn::SetData {
                    path,
                    data,
                    version,
                }
            }),
            (any::<String>(), any::<i32>())
                .prop_map(|(path, version)| Txn::Check { path, version }),
            any::<i32>().prop_map(Txn::Error),
        ]
    }

    fn txn() -> impl Strategy<Value = Txn> {
        prop_oneof![
            single(),
            proptest::collection::vec(single(), 0..5).prop_map(Txn::Multi)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_transaction_reads_back(
            txn in txn(),
            (client_id, cxid, zxid, time) in any::<(i64, i32, i64, i64)>(),
        ) {
            let header = Header { client_id, cxid, zxid, time: Timestamp(time) };
            prop_assert_eq!(decode(encode(&header, &txn)), Ok((header, txn)));
        }

        #[test]
        fn damaged_bytes_are_read_or_refused(txn in txn(), at in any::<usize>(), with in any::<u8>()) {
            let header = Header { client_id: 0, cxid: 0, zxid: 0, time: Timestamp(0) };
            let mut bytes = encode(&header, &txn).to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            drop(decode(bytes.clone().into()));
            bytes.truncate(at);
            prop_assert!(decode(bytes.into()).is_err());
        }
    }

    #[test]
    fn the_bytes_are_zookeepers() {
        let header = Header {
            client_id: 1,
            cxid: 2,
            zxid: 3,
            time: Timestamp(4),
        };
        let txn = Txn::SetData {
            path: "/a".into(),
            data: None,
            version: 5,
        };
        let expected = [
            &[0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 4],
            &[0, 0, 0, 5],
            &[0, 0, 0, 2, b'/', b'a'],
            &[0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 5],
        ];
        assert_eq!(encode(&header, &txn), expected.concat());
    }

    #[test]
    fn a_multi_in_a_multi_is_refused() {
        let header = Header {
            client_id: 0,
            cxid: 0,
            zxid: 0,
            time: Timestamp(0),
        };
        let nested = Txn::Multi(vec![Txn::Multi(vec![])]);
        assert_eq!(decode(encode(&header, &nested)), Err(TxnError::Type(MULTI)));
    }
}
