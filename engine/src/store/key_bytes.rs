//! A key's bytes: in place if there are few of them.
//!
//! Most keys are short: a number, a code, a name. In place, a look-up in a map compares them where
//! the map has found them, without a visit to the heap, and the first record of a key in its slice
//! allocates nothing.
//!
//! ```text
//! 24 bytes   Short │ length u8 │ bytes [u8; 22]      up to 22 bytes
//!            Long  │ Box<[u8]>                       more
//! ```
//!
//! Invariant: it hashes and compares as its bytes do, so bytes find it in a map.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The most bytes that are kept in place.
const SHORT_MAX: usize = 22;

/// See the module.
#[derive(Clone)]
pub(crate) enum KeyBytes {
    Short { length: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

impl From<&[u8]> for KeyBytes {
    fn from(key: &[u8]) -> Self {
        if key.len() > SHORT_MAX {
            return Self::Long(key.into());
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..key.len()].copy_from_slice(key);
        let length = key.len() as u8;
        Self::Short { length, bytes }
    }
}

impl Deref for KeyBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for KeyBytes {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Hash for KeyBytes {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialEq for KeyBytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for KeyBytes {}

impl std::fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyMap;
    use super::*;

    #[test]
    fn keys_of_any_length_are_found_by_their_bytes() {
        assert_eq!(size_of::<KeyBytes>(), 24);
        // One is the beginning of the next, and all bytes are zero as the unused ones are.
        let keys: Vec<Vec<u8>> = (0..60).map(|length| vec![0; length]).collect();
        let mut map = KeyMap::default();
        for key in &keys {
            assert_eq!(map.insert(KeyBytes::from(&**key), key.len()), None);
        }
        for key in &keys {
            assert_eq!(map.get(&**key), Some(&key.len()));
        }
        let is_in_place = |key: &Vec<u8>| matches!(KeyBytes::from(&**key), KeyBytes::Short { .. });
        assert_eq!(
            keys.iter().filter(|key| is_in_place(key)).count(),
            SHORT_MAX + 1
        );
    }
}
