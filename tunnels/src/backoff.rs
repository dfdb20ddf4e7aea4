//! How long to wait before the next attempt.

use std::time::Duration;

/// After the first failure; doubles with each one.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// A failure that lasts is retried this often.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Thousandths, 0 to 249, from SplitMix64.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % 250).expect("a remainder of 250 fits in 32 bits")
    }
}

/// Up to a quarter longer than the doubled delay, so that many tunnels do not retry in step.
pub(crate) fn delay(failures: u32, jitter_thousandths: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let delay = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    delay + delay * jitter_thousandths / 1000
}
