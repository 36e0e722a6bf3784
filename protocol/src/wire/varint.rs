//! Numbers of variable length, and a reader over borrowed bytes that never runs past their end.
//!
//! Zigzag folds the sign into the lowest bit (0, -1, 1, -2 … become 0, 1, 2, 3 …), then the value
//! goes out in groups of 7 bits, lowest first; the top bit of a byte says that another follows.
//! An `i32` takes at most 5 bytes and an `i64` 10. A number that goes on longer, or has bits its
//! type cannot hold, is refused; leading zero groups within that length are not, as in Kafka.
//! Lengths and counts in messages are unsigned and go without the zigzag.

use bytes::BufMut;

/// Why a read failed; the text names what was read.
pub(crate) type Reason = &'static str;

/// Bytes that an unsigned `u32` takes at most.
pub(crate) const U32_BYTES_MAX: usize = 5;

const CUT_OFF: Reason = "the bytes end too early";

/// Appends `value` in zigzag groups; an `i32` is the same bytes as its `i64`.
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends `value` in groups without zigzag, as lengths and counts of flexible versions are.
pub(crate) fn put_unsigned(out: &mut impl BufMut, value: u32) {
    let mut rest = value;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Bytes that [`put`] takes for `value`: 1 to 10.
pub(crate) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reads from the front of borrowed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

/// Undoes zigzag.
#[inline]
pub(crate) fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

impl<'a> Reader<'a> {
    /// A zigzag `i64`.
    pub(crate) fn varlong(&mut self) -> Result<i64, Reason> {
        let raw = self.groups(10, 1)?;
        Ok(unzigzag(raw))
    }

    /// A zigzag `i32`.
    pub(crate) fn varint(&mut self) -> Result<i32, Reason> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// An unsigned `u32`, without zigzag.
    pub(crate) fn uvarint(&mut self) -> Result<u32, Reason> {
        Ok(self.groups(U32_BYTES_MAX, 0x0f)? as u32)
    }

    /// Most numbers are small: one group and two are read without a loop.
    #[inline]
    fn groups(&mut self, count_max: usize, last_max: u8) -> Result<u64, Reason> {
        match *self.rest {
            [low @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low))
            }
            [low, high @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.many_groups(count_max, last_max),
        }
    }

    /// Groups of 7 bits, at most `count_max`; the last possible one holds at most `last_max`.
    fn many_groups(&mut self, count_max: usize, last_max: u8) -> Result<u64, Reason> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(count_max).enumerate() {
            if index + 1 == count_max && *byte > last_max {
                return Err("a varint is too long for its type");
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err("a varint is cut off")
    }

    /// The next `N` bytes, for `from_be_bytes`.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Reason> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or("a length goes beyond the bytes that are there")?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes after their length; a length of -1 is null.
    pub(crate) fn nullable(&mut self) -> Result<Option<&'a [u8]>, Reason> {
        match self.varint()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| "a length is below -1")?;
                self.take(length).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (Result<i32, Reason>, Result<i64, Reason>) {
        let reader = Reader { rest: bytes };
        let (mut narrow, mut wide) = (reader, reader);
        (narrow.varint(), wide.varlong())
    }

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        for (value, byte) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (63, 126), (-64, 127)] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, [byte]);
        }
    }

    #[test]
    fn the_ends_of_the_types_are_read_and_nothing_beyond_them() {
        let cut = "a varint is cut off";
        let long = "a varint is too long for its type";
        assert_eq!(read(&[]), (Err(cut), Err(cut)));
        assert_eq!(read(&[0xff; 4]), (Err(cut), Err(cut)));
        let narrowest = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(read(&narrowest).0, Ok(i32::MIN));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]).0, Err(long));
        assert_eq!(read(&[0xff; 5]).0, Err(long));
        let mut lowest = [0xff; 10];
        lowest[9] = 1;
        assert_eq!(read(&lowest), (Err(long), Ok(i64::MIN)));
        lowest[9] = 2;
        assert_eq!(read(&lowest).1, Err(long));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(value: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(size(value), out.len());
            let mut reader = Reader { rest: &out };
            prop_assert_eq!(reader.varlong(), Ok(value));
            prop_assert!(reader.rest.is_empty());
        }

        #[test]
        fn an_i32_is_the_bytes_of_its_i64(value: i32) {
            let mut out = Vec::new();
            put(&mut out, i64::from(value));
            prop_assert_eq!(Reader { rest: &out }.varint(), Ok(value));
        }
    }
}
