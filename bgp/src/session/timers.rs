//! The timers of a connection, the retry wait, and the randomness in both.

use std::time::{Duration, Instant};

/// The timers that run per connection (RFC 4271 §8.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    Hold,
    Keepalive,
    /// RFC 9687 §3.
    SendHold,
}

impl Timer {
    const COUNT: usize = Self::SendHold as usize + 1;
}

/// One optional deadline a timer.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::COUNT]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, deadline: Option<Instant>) {
        self.0[timer as usize] = deadline;
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    pub(super) fn is_due(&self, timer: Timer, now: Instant) -> bool {
        self.0[timer as usize].is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// As [`Timers::next`], of all others.
    pub(super) fn next_but(&self, timer: Timer) -> Option<Instant> {
        let others = self.0.iter().enumerate();
        let others = others.filter(|(place, _)| *place != timer as usize);
        others.filter_map(|(_, deadline)| *deadline).min()
    }
}

/// splitmix64: spreads timers of many sessions, guards nothing.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between `low` and 1 times `duration` (RFC 4271 §10).
    pub(super) fn scale(&mut self, duration: Duration, low: f64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let unit = f64::from((bits >> 32) as u32) / f64::from(u32::MAX);
        duration.mul_f64(low + (1.0 - low) * unit)
    }
}

/// The wait after so many failures in a row: `first`, doubled with each further one up to `most`.
pub(super) fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    // A wait of nothing would be a busy loop.
    first
        .max(Duration::from_millis(1))
        .saturating_mul(factor)
        .min(most.max(first))
        .max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let waits: Vec<u64> = [1, 2, 3, 4, 5, 31, 32, 33, 1000, u32::MAX]
            .map(|n| backoff(n, Duration::from_secs(5), Duration::from_secs(60)).as_secs())
            .to_vec();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60, 60, 60, 60]);
        assert!(backoff(1, Duration::ZERO, Duration::ZERO) > Duration::ZERO);
    }

    #[test]
    fn jitter_keeps_to_its_range_and_repeats_with_its_seed() {
        let draw = |seed| {
            let mut jitter = Jitter::new(seed);
            [(); 1000].map(|()| jitter.scale(Duration::from_secs(100), 0.75))
        };
        let range = Duration::from_secs(75)..=Duration::from_secs(100);
        assert!(draw(7).iter().all(|wait| range.contains(wait)));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
