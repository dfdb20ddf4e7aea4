//! What has been measured, in the words of those who ask.

use std::time::Duration;

use super::Via;

/// Over which [`Quality::windows`] look back.
pub const WINDOWS: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How good a link is.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Quality {
    /// What answered last; `None` before the first answer.
    pub via: Option<Via>,
    /// The latest round-trip time.
    pub rtt_last: Option<Duration>,
    /// Over [`ProbeConfig::window`](super::ProbeConfig::window): what links are judged by.
    pub judged: Statistics,
    /// Over each of [`WINDOWS`].
    pub windows: [Statistics; WINDOWS.len()],
    /// Rounds sent since the start.
    pub sent: u64,
    /// Rounds answered since the start.
    pub received: u64,
    /// STAMP packets since the start that were no answers because they were not authentic.
    pub refused: u64,
}

impl Quality {
    /// Half of the answers in the window that links are judged by took no longer.
    pub fn rtt_median(&self) -> Option<Duration> {
        self.judged.rtt_median
    }

    /// Lost by known in the window that links are judged by, 0 to 1; 0 when nothing is known.
    pub fn loss_ratio(&self) -> f64 {
        self.judged.loss_ratio().unwrap_or(0.0)
    }

    /// Rounds in the window that links are judged by that were not answered in time.
    pub fn lost(&self) -> usize {
        self.judged.lost
    }
}

/// What one window says. Times are within 1 % of what was measured, and `None` without an answer in the
/// window; the jitter is `None` without two.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Statistics {
    /// How far it looks back.
    pub window: Duration,
    /// Rounds whose fate is known.
    pub known: usize,
    /// Of these, not answered in time.
    pub lost: usize,
    /// Half of the answers took no longer.
    pub rtt_median: Option<Duration>,
    /// 95 % of the answers took no longer.
    pub rtt_p95: Option<Duration>,
    /// 99 % of the answers took no longer.
    pub rtt_p99: Option<Duration>,
    /// Mean difference between consecutive RTTs: D(i-1,i) of RFC 3550 §6.4.1, averaged over the window
    /// instead of smoothed by 1/16, so that it forgets when the window does.
    pub jitter: Option<Duration>,
    /// Part of what we sent that did not reach the far end, 0 to 1; `None` if it cannot be known: only a
    /// STAMP reflector that counts (RFC 8762 §4.3) tells.
    pub loss_out: Option<f64>,
    /// Part of what the far end sent that did not reach us, 0 to 1; as [`Statistics::loss_out`].
    pub loss_in: Option<f64>,
    /// Answers that came after the answer to a later round (RFC 4737 §3.3).
    pub reordered: usize,
}

impl Statistics {
    /// Lost by known, 0 to 1, whichever way they were lost.
    pub fn loss_ratio(&self) -> Option<f64> {
        (self.known > 0).then(|| self.lost as f64 / self.known as f64)
    }
}
