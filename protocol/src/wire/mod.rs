//! The primitives of all formats: numbers, strings and bytes, one after the other.
//!
//! | | numbers | lengths | used by |
//! |---|---|---|---|
//! | `varint` | groups of 7 bits, with or without zigzag | the same | record batches, messages |
//! | [`fields`] | big-endian | i16 and i32, or a varint in flexible versions | the records of coordinators |
//!
//! ZooKeeper's [`jute`](crate::jute) is a format of its own: all its lengths are an i32.

pub(crate) mod varint;

pub mod fields;
