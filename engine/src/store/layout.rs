//! The bytes of rows: how state is written to a changelog.
//!
//! Keys have the layout that Kafka Streams writes to the changelogs of its window and session
//! stores, so that its tools and serdes read ours. All numbers are big-endian.
//!
//! ```text
//! slice, window   key … │ start i64 │ sequence i32, always 0 │
//! session         key … │ last i64  │ first i64              │
//! keyed           key … │
//!
//! value           timestamp i64 │ state, by bincode … │
//! ```
//!
//! The value begins with a timestamp, as in Kafka Streams' timestamped stores: for windows the
//! highest event time that contributed. (In a changelog, Kafka Streams makes it the timestamp of
//! the record; brokers refuse one that is far from their clock, and event times may be.) The state
//! behind it is ours: serde's data model in bincode's standard configuration (little-endian,
//! variable-length integers).
//!
//! Invariant: decoding any bytes returns; bytes behind the state are an error.

use brooklet_protocol::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::DecodeError;

/// Bytes behind the key of a slice or a window.
const WINDOW_SUFFIX_BYTES: usize = 12;
/// Bytes behind the key of a session.
const SESSION_SUFFIX_BYTES: usize = 16;
/// Bytes before the state.
const TIMESTAMP_BYTES: usize = 8;

/// Writes the key of a slice or a window.
pub(crate) fn window_key(key: &[u8], start: Timestamp, to: &mut Vec<u8>) {
    to.extend_from_slice(key);
    to.extend_from_slice(&start.0.to_be_bytes());
    to.extend_from_slice(&0i32.to_be_bytes());
}

/// Reads the key of a slice or a window.
pub(crate) fn read_window_key(row: &[u8]) -> Result<(&[u8], Timestamp), DecodeError> {
    let (key, suffix) = split::<WINDOW_SUFFIX_BYTES>(row)?;
    Ok((key, Timestamp(int64(suffix, 0))))
}

/// Writes the key of a session; both its moments are inside.
pub(crate) fn session_key(key: &[u8], first: Timestamp, last: Timestamp, to: &mut Vec<u8>) {
    to.extend_from_slice(key);
    to.extend_from_slice(&last.0.to_be_bytes());
    to.extend_from_slice(&first.0.to_be_bytes());
}

/// Reads the key of a session: the key, its first and its last moment.
pub(crate) fn read_session_key(row: &[u8]) -> Result<(&[u8], Timestamp, Timestamp), DecodeError> {
    let (key, suffix) = split::<SESSION_SUFFIX_BYTES>(row)?;
    let (last, first) = (Timestamp(int64(suffix, 0)), Timestamp(int64(suffix, 8)));
    if first > last {
        let words =
            format!("expected a session's first moment before its last, {last}, found {first}");
        return Err(DecodeError(words));
    }
    Ok((key, first, last))
}

/// Writes a value.
pub(crate) fn value<S: Serialize>(timestamp: Timestamp, state: &S, to: &mut Vec<u8>) {
    to.extend_from_slice(&timestamp.0.to_be_bytes());
    let written = bincode::serde::encode_into_std_write(state, to, bincode::config::standard());
    // Only a `Serialize` that refuses its own value can fail; a state without bytes would be lost.
    written.expect("the state of an operator can be serialized");
}

/// Reads a value.
pub(crate) fn read_value<S: DeserializeOwned>(bytes: &[u8]) -> Result<(Timestamp, S), DecodeError> {
    let Some((timestamp, state)) = bytes.split_first_chunk::<TIMESTAMP_BYTES>() else {
        let found = bytes.len();
        return Err(DecodeError(format!(
            "expected at least 8 bytes, found {found}"
        )));
    };
    let config = bincode::config::standard();
    let (value, read) = bincode::serde::decode_from_slice(state, config)
        .map_err(|error| DecodeError(error.to_string()))?;
    match state.len() - read {
        0 => Ok((Timestamp(i64::from_be_bytes(*timestamp)), value)),
        left => Err(DecodeError(format!(
            "{left} bytes are left behind the state"
        ))),
    }
}

fn split<const N: usize>(row: &[u8]) -> Result<(&[u8], &[u8; N]), DecodeError> {
    let found = row.len();
    let split = row.split_last_chunk::<N>();
    split.ok_or_else(|| DecodeError(format!("expected at least {N} bytes, found {found}")))
}

fn int64<const N: usize>(bytes: &[u8; N], at: usize) -> i64 {
    i64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_these() {
        let mut row = Vec::new();
        window_key(b"k", Timestamp(258), &mut row);
        assert_eq!(row, [b'k', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]);
        row.clear();
        session_key(b"k", Timestamp(1), Timestamp(2), &mut row);
        assert_eq!(row, [b'k', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        row.clear();
        value(Timestamp(3), &(300u64, "ab"), &mut row);
        assert_eq!(row, [0, 0, 0, 0, 0, 0, 0, 3, 251, 44, 1, 2, b'a', b'b']);
    }

    #[test]
    fn what_is_too_much_or_too_little_is_refused() {
        let words = |error: DecodeError| error.to_string();
        assert_eq!(
            words(read_window_key(b"short").unwrap_err()),
            "expected at least 12 bytes, found 5"
        );
        let mut row = Vec::new();
        value(Timestamp(3), &7u8, &mut row);
        row.push(0);
        let error = read_value::<u8>(&row).unwrap_err();
        assert_eq!(words(error), "1 bytes are left behind the state");
        let mut backwards = vec![0; 15];
        backwards.push(9);
        assert!(read_session_key(&backwards).is_err());
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(key: Vec<u8>, start: i64, length in 0i64..99, state: (u64, String, Option<i128>)) {
            let (first, last) = (Timestamp(start), Timestamp(start.saturating_add(length)));
            let mut row = Vec::new();
            window_key(&key, first, &mut row);
            prop_assert_eq!(read_window_key(&row).unwrap(), (&key[..], first));
            row.clear();
            session_key(&key, first, last, &mut row);
            prop_assert_eq!(read_session_key(&row).unwrap(), (&key[..], first, last));
            row.clear();
            value(last, &state, &mut row);
            prop_assert_eq!(read_value(&row).unwrap(), (last, state));
        }

        #[test]
        fn any_bytes_decode_safely(bytes: Vec<u8>) {
            if let Ok((key, start)) = read_window_key(&bytes) {
                prop_assert_eq!(key.len() + WINDOW_SUFFIX_BYTES, bytes.len());
                prop_assert!(bytes.windows(8).any(|eight| eight == start.0.to_be_bytes()));
            }
            if let Ok((_, first, last)) = read_session_key(&bytes) {
                prop_assert!(first <= last);
            }
            if let Ok((_, state)) = read_value::<Vec<u64>>(&bytes) {
                prop_assert!(state.len() <= bytes.len());
            }
        }
    }
}
