//! Random numbers that depend on a seed and a number, and on nothing else.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014): a counter that advances by a fixed odd number, and a
//! function that scrambles it. Every event has a counter of its own, which begins at a scramble of
//! the seed and the event's number; so events can be made in any order. Only integers are drawn:
//! what a floating-point function of some library yields would depend on the machine.

/// The odd number: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Letters that fit into one draw: 26^13 is just below 2^62.
const LETTERS_PER_DRAW: usize = 13;

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    counter: u64,
}

impl Random {
    /// The sequence of one number under a seed.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let start = scramble(seed.wrapping_add(STEP)) ^ number;
        Self {
            counter: scramble(start),
        }
    }

    /// Any number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(STEP);
        scramble(self.counter)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product: all numbers are equally likely, up to one part in 2^64 / end.
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }

    /// True with a probability of 1 - 1/`ratio`, as hot items are chosen.
    pub(crate) fn is_hot(&mut self, ratio: u32) -> bool {
        self.below(ratio.into()) > 0
    }

    /// One of several.
    pub(crate) fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64) as usize;
        choices.get(index).copied().unwrap_or_default()
    }

    /// This many lower-case letters.
    pub(crate) fn letters(&mut self, count: usize) -> String {
        let mut text = String::with_capacity(count);
        let mut draw = 0;
        for index in 0..count {
            if index % LETTERS_PER_DRAW == 0 {
                draw = self.draw() >> 2;
            }
            text.push(char::from(b'a' + (draw % 26) as u8));
            draw /= 26;
        }
        text
    }

    /// Between 3 and `end` letters, `end` excluded; one in 13 is `gap` instead, except the first.
    pub(crate) fn words(&mut self, end: u64, gap: char) -> String {
        let count = 3 + self.below(end.saturating_sub(3));
        let mut text = self.letters(1);
        for _ in 1..count {
            let letter = char::from(b'a' + self.below(26) as u8);
            text.push(if self.below(13) == 0 { gap } else { letter });
        }
        text
    }
}

/// Every bit of the result depends on every bit of the argument.
fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' own code, with the seed 1234567.
    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut random = Random { counter: 1_234_567 };
        let drawn = [random.draw(), random.draw(), random.draw()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn seeds_and_numbers_have_sequences_of_their_own() {
        let first = |seed, number| Random::of(seed, number).draw();
        assert_eq!(first(7, 9), first(7, 9));
        assert_ne!(first(7, 9), first(9, 7));
        assert_ne!(first(7, 9), first(7, 10));
        assert_ne!(first(0, 0), 0);
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_all_below_it() {
        let mut random = Random::of(1, 1);
        let mut seen = [0; 7];
        (0..7000).for_each(|_| seen[random.below(7) as usize] += 1);
        assert!(
            seen.iter().all(|count| (800..1200).contains(count)),
            "{seen:?}"
        );
        assert_eq!(random.below(0), 0);
        let hot = (0..4000).filter(|_| random.is_hot(4)).count();
        assert!((2900..3100).contains(&hot), "{hot}");
    }

    #[test]
    fn texts_have_the_asked_length() {
        let mut random = Random::of(2, 2);
        for count in [0, 1, 13, 14, 100] {
            let text = random.letters(count);
            assert_eq!(text.len(), count);
            assert!(text.bytes().all(|b| b.is_ascii_lowercase()), "{text}");
        }
        let lengths: Vec<_> = (0..500).map(|_| random.words(20, '_').len()).collect();
        assert_eq!(lengths.iter().min(), Some(&3));
        assert_eq!(lengths.iter().max(), Some(&19));
    }
}
