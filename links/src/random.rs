//! Seeded randomness: spreads send times and fills nonces. Not for keys.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): eight octets of state, equidistributed, good enough to be
/// unguessable for somebody who does not see the packets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Octets without end.
    pub(crate) fn octets(mut self) -> impl Iterator<Item = u8> {
        std::iter::repeat_with(move || self.next().to_be_bytes()).flatten()
    }

    /// Uniform in `0..max`; zero for zero.
    pub(crate) fn below(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next().checked_rem(max).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_numbers_and_another_seed_gives_others() {
        let take = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn below_stays_below_and_accepts_zero() {
        let mut random = Random::new(1);
        assert_eq!(random.below(Duration::ZERO), Duration::ZERO);
        for _ in 0..1000 {
            assert!(random.below(Duration::from_micros(3)) < Duration::from_micros(3));
        }
    }
}
