//! Chance that repeats: one seed decides everything in a simulated network.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number, fit to seed something else.
    pub fn seed(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 up to `limit`, which is not reached; 0 for 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let drawn = self.seed().checked_rem(limit).unwrap_or(0);
        usize::try_from(drawn).expect("less than a usize")
    }

    /// From nothing up to `limit`, which is not reached.
    pub fn wait(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.seed().checked_rem(limit).unwrap_or(0))
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// Happens so many times in a thousand.
    pub fn happens(&mut self, per_thousand: usize) -> bool {
        self.below(1000) < per_thousand
    }
}

/// Says at the end which seed it was, if a panic is what ends it.
struct Announced(u64);

impl Drop for Announced {
    #[expect(clippy::print_stderr, reason = "a failed test is told how to repeat")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run again with SIM_SEED={}", self.0);
        }
    }
}

/// Tells `story` once per seed: 0 up to `count`, or the one in the environment as `SIM_SEED`.
///
/// # Errors
///
/// That of the first story that fails, with its seed.
pub fn each_seed(count: u64, mut story: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let wanted = match std::env::var("SIM_SEED") {
        Ok(text) => Some(text.parse::<u64>().context("SIM_SEED is no number")?),
        Err(_) => None,
    };
    let seeds = wanted.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        let _announced = Announced(seed);
        story(seed).with_context(|| format!("run again with SIM_SEED={seed}"))?;
    }
    Ok(())
}
