//! Bytes that were right, made wrong: for tests that nothing stored or sent makes a program fall.

/// Chance that follows from a seed: splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 on, `end` excluded.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end.max(1) as u64) as usize
    }
}

/// Numbers that lengths and counts lie with.
const LIES: [u64; 8] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];

/// Changes `bytes` in one to four places: bits, whole fields, cuts, repetitions.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.next_u64() as u8,
            3 => {
                let lie = LIES[random.below(LIES.len())].to_be_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                for (place, byte) in bytes.iter_mut().skip(at).zip(&lie[8 - width..]) {
                    *place = *byte;
                }
            }
            4 => bytes.truncate(at),
            5 => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy.into_iter().take(64));
            }
            _ => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}
