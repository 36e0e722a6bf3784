//! Random prices from 100 to 100 million, in cents, evenly distributed by their logarithm.
//!
//! A price is 100 times 10^(6u) with u between 0 and 1. The first bit of u stands for 10^3, the
//! next for 10^1.5, each for the square root of the one before; so the power is a product of those
//! whose bits are set. IEEE 754 defines products and square roots to the last bit on every machine,
//! which a general power function is not.

use crate::random::Random;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    factors: [f64; Self::BITS],
}

impl Prices {
    const BITS: usize = 24;

    /// Computes the powers.
    pub(super) fn new() -> Self {
        let mut factors = [1000.0; Self::BITS];
        for index in 1..Self::BITS {
            factors[index] = f64::sqrt(factors[index - 1]);
        }
        Self { factors }
    }

    /// Any price.
    pub(super) fn any(&self, random: &mut Random) -> u64 {
        let bits = random.draw();
        let mut price = 100.0;
        for (index, factor) in self.factors.iter().enumerate() {
            if bits >> index & 1 == 1 {
                price *= factor;
            }
        }
        f64::round(price) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_spread_evenly_over_the_powers_of_ten() {
        let (prices, mut random) = (Prices::new(), Random::of(5, 5));
        let mut counts = [0; 6];
        for _ in 0..60_000 {
            let price = prices.any(&mut random);
            counts[price.ilog10() as usize - 2] += 1;
        }
        let is_even = |count: &i32| (9_500..10_500).contains(count);
        assert!(counts.iter().all(is_even), "{counts:?}");
    }
}
