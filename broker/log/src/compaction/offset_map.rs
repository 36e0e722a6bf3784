//! From a key to the highest offset with it, in bounded memory.
//!
//! ```text
//!  slot   [ 128 bits of hash | offset i64 ]        24 bytes; empty: offset -1
//! ```
//!
//! An open-addressed table with linear probing that is never more than nine tenths full. It keeps
//! hashes and no keys (two keys with the same 128 bits would be taken for one, which nobody will
//! live to see), so a slot has the same size whatever the keys, and the memory is known before.

use std::hash::{DefaultHasher, Hash, Hasher};

use brooklet_protocol::Offset;

/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 24;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

const EMPTY: Slot = Slot {
    hash: [0; 2],
    offset: -1,
};

/// From a key to the highest offset with it.
#[derive(Debug)]
pub struct OffsetMap {
    slots: Vec<Slot>,
    count: usize,
}

impl OffsetMap {
    /// Room for `keys`, in at most `bytes_max` bytes.
    pub fn new(keys: usize, bytes_max: usize) -> Self {
        let slots = (keys + keys / 8 + 1).min(bytes_max / SLOT_BYTES).max(2);
        Self {
            slots: vec![EMPTY; slots],
            count: 0,
        }
    }

    /// How many more keys fit.
    pub fn room(&self) -> usize {
        (self.slots.len() * 9 / 10).max(1) - self.count
    }

    /// Remembers that `key` is at `offset`, unless it is known at a higher one.
    ///
    /// # Panics
    /// When there is no room.
    pub fn put(&mut self, key: &[u8], offset: Offset) {
        let hash = hash(key);
        let slot = self.find(hash);
        if self.slots[slot].offset < 0 {
            assert!(self.room() > 0, "the map is full");
            self.count += 1;
        }
        let offset = self.slots[slot].offset.max(offset.0);
        self.slots[slot] = Slot { hash, offset };
    }

    /// The highest offset with `key`.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let offset = self.slots[self.find(hash(key))].offset;
        (offset >= 0).then_some(Offset(offset))
    }

    /// The slot with this hash, or the empty one where it belongs.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut slot = (hash[0] % count as u64) as usize;
        while self.slots[slot].offset >= 0 && self.slots[slot].hash != hash {
            slot = (slot + 1) % count;
        }
        slot
    }
}

/// Two independent hashes of 64 bits.
fn hash(key: &[u8]) -> [u64; 2] {
    [0_u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        hasher.write(key);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_map_of_keys(
            puts in prop::collection::vec((0_u16..60, 0_i64..1000), 0..200),
        ) {
            let mut map = OffsetMap::new(60, 1 << 20);
            let mut model = HashMap::new();
            for (key, offset) in puts {
                map.put(&key.to_be_bytes(), Offset(offset));
                let highest = model.entry(key).or_insert(offset);
                *highest = offset.max(*highest);
            }
            for key in 0..61_u16 {
                let expected = model.get(&key).copied().map(Offset);
                prop_assert_eq!(map.get(&key.to_be_bytes()), expected);
            }
        }
    }

    #[test]
    fn its_room_is_bounded_by_the_memory() {
        let mut map = OffsetMap::new(1 << 40, 100 * SLOT_BYTES);
        assert_eq!(map.room(), 90);
        for key in 0..90_u8 {
            map.put(&[key], Offset(1));
        }
        assert_eq!(map.room(), 0);
        map.put(&[7], Offset(9));
        assert_eq!(map.get(&[7]), Some(Offset(9)));
        assert_eq!(map.get(b"other"), None);
        assert!(OffsetMap::new(0, 0).room() > 0);
    }
}
