//! The sliding window: what became of the latest probes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most probes it remembers, whatever the configuration: 80 s at one probe in 10 ms.
const MAX_SAMPLES: usize = 8192;

/// One probe whose fate is known.
#[derive(Clone, Copy, Debug)]
struct Sample {
    known_at: Instant,
    /// `None`: lost.
    rtt: Option<Duration>,
}

/// Probes whose fate became known within the last `span`, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Duration,
    samples: VecDeque<Sample>,
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span,
            samples: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, rtt: Option<Duration>, now: Instant) {
        self.expire(now);
        if self.samples.len() >= MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { known_at: now, rtt });
    }

    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.samples.front()
            && now.saturating_duration_since(oldest.known_at) > self.span
        {
            self.samples.pop_front();
        }
    }

    /// What the window says at `now`, without those that have aged out meanwhile.
    pub(super) fn summary(&self, now: Instant) -> Summary {
        let fresh = self
            .samples
            .iter()
            .filter(|sample| now.saturating_duration_since(sample.known_at) <= self.span);
        let (mut known, mut rtts) = (0, Vec::with_capacity(self.samples.len()));
        for sample in fresh {
            known += 1;
            rtts.extend(sample.rtt);
        }
        let lost = known - rtts.len();
        let jitter = mean_deviation(&rtts);
        let last = rtts.last().copied();
        rtts.sort_unstable();
        Summary {
            known,
            lost,
            last,
            median: percentile(&rtts, 50),
            p95: percentile(&rtts, 95),
            jitter,
        }
    }
}

/// What a [`Window`] says. The times are `None` without an answer in the window, the jitter without
/// two.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Summary {
    pub(super) known: usize,
    pub(super) lost: usize,
    pub(super) last: Option<Duration>,
    pub(super) median: Option<Duration>,
    pub(super) p95: Option<Duration>,
    pub(super) jitter: Option<Duration>,
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Mean of |difference| between consecutive values: D(i-1,i) of RFC 3550 §6.4.1, averaged over the
/// window instead of smoothed by 1/16, so that it forgets when the window does.
fn mean_deviation(rtts: &[Duration]) -> Option<Duration> {
    let steps = u32::try_from(rtts.len())
        .ok()?
        .checked_sub(1)
        .filter(|steps| *steps > 0)?;
    let sum: Duration = rtts.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
    Some(sum / steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn empty_window_knows_nothing() {
        let summary = Window::new(ms(100)).summary(start());
        assert_eq!((summary.known, summary.lost), (0, 0));
        assert_eq!(
            (summary.median, summary.p95, summary.jitter),
            (None, None, None)
        );
    }

    #[test]
    fn median_p95_and_jitter_of_known_values() {
        let now = start();
        let mut window = Window::new(ms(1000));
        for rtt in 1..=20 {
            window.push(Some(ms(rtt)), now);
        }
        window.push(None, now);
        let summary = window.summary(now);
        assert_eq!((summary.known, summary.lost), (21, 1));
        assert_eq!((summary.median, summary.p95), (Some(ms(10)), Some(ms(19))));
        assert_eq!((summary.last, summary.jitter), (Some(ms(20)), Some(ms(1))));
    }

    #[test]
    fn samples_age_out_even_when_nothing_arrives() {
        let now = start();
        let mut window = Window::new(ms(100));
        window.push(None, now);
        window.push(Some(ms(5)), now + ms(60));
        assert_eq!(window.summary(now + ms(100)).lost, 1);
        assert_eq!(window.summary(now + ms(101)).lost, 0);
        assert_eq!(window.summary(now + ms(161)).known, 0);
    }

    #[test]
    fn window_is_bounded_however_long_its_span() {
        let now = start();
        let mut window = Window::new(Duration::MAX);
        for _ in 0..MAX_SAMPLES + 10 {
            window.push(None, now);
        }
        assert_eq!(window.summary(now).known, MAX_SAMPLES);
    }
}
