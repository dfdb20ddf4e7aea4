//! Intervals: what is agreed on, and when a packet leaves (RFC 5880 §6.8.2 to §6.8.4, §6.8.7).

use std::time::Duration;

use crate::random::Random;

/// While a session is not up, it sends no more often than this (RFC 5880 §6.8.3).
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// So late a packet may leave, so that a driver need not wake for each. It is taken out of the jitter: with it no
/// packet is later than its interval.
pub const LEEWAY: Duration = Duration::from_millis(2);

/// As on the wire: microseconds, at most 71 minutes.
pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// From the wire.
pub(super) fn from_micros(micros: u32) -> Duration {
    Duration::from_micros(micros.into())
}

/// `interval`, less up to a quarter of it, so that many sessions do not send at once; with a multiplier
/// of 1 at least a tenth less, or a packet would come too late for the detection time
/// (RFC 5880 §6.8.7). What is left holds for a driver that is as late as it may be.
pub(super) fn jittered(interval: Duration, multiplier: u8, random: &mut Random) -> Duration {
    let least = interval * 3 / 4;
    let most = if multiplier == 1 {
        interval * 9 / 10
    } else {
        interval
    };
    let span = most.saturating_sub(LEEWAY).saturating_sub(least);
    least + random.below(span)
}
