//! What became of the latest probes, as several sliding windows see it.
//!
//! One ring of samples, and for each window the place in it up to which it has forgotten. A sample enters
//! each window's sums once and leaves them once, so that nothing is sorted or copied when they are read.
//! 24 octets a probe of the longest window, rounded up to a power of two, and 4 KiB a window: 112 KiB a link at
//! 10 probes/s, 800 KiB at most.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::quality::{Statistics, WINDOWS};

/// The most probes it remembers, whatever the configuration: five minutes at one probe in 10 ms.
const MAX_SAMPLES: usize = 32_768;

/// What is known about one probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// Answered.
    Answered { rtt: Duration, order: Order },
    /// A round-trip time that somebody else measured: it says nothing about losses.
    Heard { rtt: Duration },
    /// Not answered in time.
    Lost,
}

/// Whether an answer came in turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    InTurn,
    /// After the answer to a later probe.
    Late,
}

/// A [`Fact`] in little room.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Nanoseconds since the start.
    at: u64,
    /// Nanoseconds; [`NONE`] if it was lost.
    rtt: u64,
    /// Difference to the answer before, nanoseconds; [`NO_STEP`] if there is none to compare with.
    step: u32,
    /// 1 if it counts for the loss ratio.
    known: u8,
    /// 1 if it came after a later one.
    late: u8,
}

const NONE: u64 = u64::MAX;
const NO_STEP: u32 = u32::MAX;
const NEVER: u64 = u64::MAX;

/// One sliding window: sums over the samples from `next` on.
#[derive(Clone, Debug)]
struct Slide {
    window: Duration,
    /// Number of the oldest sample that it holds.
    next: u64,
    /// When that came, as the sample has it; [`NEVER`] if it holds none. Kept here, because the samples are out
    /// of the processor's reach where there are many links.
    since: u64,
    rtts: Histogram,
    known: usize,
    lost: usize,
    reordered: usize,
    steps: u64,
    step_sum: u64,
}

impl Slide {
    fn new(window: Duration) -> Self {
        Self {
            window,
            next: 0,
            since: NEVER,
            rtts: Histogram::default(),
            known: 0,
            lost: 0,
            reordered: 0,
            steps: 0,
            step_sum: 0,
        }
    }

    fn add(&mut self, sample: &Sample) {
        self.since = self.since.min(sample.at);
        self.known += usize::from(sample.known);
        self.reordered += usize::from(sample.late);
        match sample.rtt {
            NONE => self.lost += 1,
            rtt => self.rtts.add(rtt),
        }
        if sample.step != NO_STEP {
            self.steps += 1;
            self.step_sum += u64::from(sample.step);
        }
    }

    /// - `then`: the one after it
    fn remove(&mut self, sample: &Sample, then: Option<&Sample>) {
        self.next += 1;
        self.since = then.map_or(NEVER, |then| then.at);
        self.known -= usize::from(sample.known);
        self.reordered -= usize::from(sample.late);
        match sample.rtt {
            NONE => self.lost -= 1,
            rtt => self.rtts.remove(rtt),
        }
        if sample.step != NO_STEP {
            self.steps -= 1;
            self.step_sum -= u64::from(sample.step);
        }
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            window: self.window,
            known: self.known,
            lost: self.lost,
            rtt_median: self.rtts.percentile(50),
            rtt_p95: self.rtts.percentile(95),
            rtt_p99: self.rtts.percentile(99),
            jitter: self.jitter(),
            loss_out: None,
            loss_in: None,
            reordered: self.reordered,
        }
    }

    fn jitter(&self) -> Option<Duration> {
        let mean = self.step_sum.checked_div(self.steps)?;
        Some(Duration::from_nanos(mean))
    }
}

/// The windows: the one that links are judged by, then [`WINDOWS`].
#[derive(Clone, Debug)]
pub(super) struct History {
    start: Instant,
    samples: VecDeque<Sample>,
    /// Samples that came before the oldest one.
    forgotten: u64,
    /// Nanoseconds of the latest answer.
    last: Option<u64>,
    slides: [Slide; WINDOWS.len() + 1],
}

impl History {
    pub(super) fn new(judged: Duration, now: Instant) -> Self {
        let [short, middle, long] = WINDOWS;
        Self {
            start: now,
            samples: VecDeque::new(),
            forgotten: 0,
            last: None,
            slides: [judged, short, middle, long].map(Slide::new),
        }
    }

    pub(super) fn push(&mut self, fact: Fact, now: Instant) {
        self.expire(now);
        if self.samples.len() >= MAX_SAMPLES {
            self.forget_oldest();
        }
        let sample = self.sample(fact, now);
        for slide in &mut self.slides {
            slide.add(&sample);
        }
        self.samples.push_back(sample);
    }

    fn sample(&mut self, fact: Fact, now: Instant) -> Sample {
        let mut sample = Sample {
            at: nanos(now.saturating_duration_since(self.start)),
            rtt: NONE,
            step: NO_STEP,
            known: 1,
            late: 0,
        };
        match fact {
            Fact::Lost => {}
            Fact::Heard { rtt } => {
                sample.rtt = nanos(rtt).min(NONE - 1);
                sample.known = 0;
                self.last = None;
            }
            Fact::Answered { rtt, order } => {
                let rtt = nanos(rtt).min(NONE - 1);
                let step = self.last.replace(rtt).map(|last| last.abs_diff(rtt));
                sample.rtt = rtt;
                sample.step = step.map_or(NO_STEP, |step| {
                    u32::try_from(step).unwrap_or(NO_STEP - 1).min(NO_STEP - 1)
                });
                sample.late = u8::from(order == Order::Late);
            }
        }
        sample
    }

    /// Forgets what has aged out of each window at `now`.
    fn expire(&mut self, now: Instant) {
        let at = nanos(now.saturating_duration_since(self.start));
        for slide in &mut self.slides {
            let window = nanos(slide.window);
            while at.saturating_sub(slide.since) > window {
                let place = (slide.next - self.forgotten) as usize;
                let Some(oldest) = self.samples.get(place) else {
                    break;
                };
                slide.remove(oldest, self.samples.get(place + 1));
            }
        }
        let kept = self.slides.iter().map(|slide| slide.next).min();
        let aged = kept.unwrap_or(0).saturating_sub(self.forgotten);
        self.samples.drain(..aged as usize);
        self.forgotten += aged;
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.samples.pop_front() else {
            return;
        };
        for slide in &mut self.slides {
            if slide.next == self.forgotten {
                slide.remove(&oldest, self.samples.front());
            }
        }
        self.forgotten += 1;
    }

    /// What the window that links are judged by says at `now`, and what each of [`WINDOWS`] does.
    pub(super) fn statistics(&mut self, now: Instant) -> (Statistics, [Statistics; WINDOWS.len()]) {
        self.expire(now);
        let [judged, short, middle, long] = &self.slides;
        (
            judged.statistics(),
            [short, middle, long].map(Slide::statistics),
        )
    }

    /// The latest round-trip time in the window that links are judged by, its p95 and its jitter: what an
    /// answer is expected to take.
    pub(super) fn expectation(&mut self, now: Instant) -> Option<Expectation> {
        self.expire(now);
        let [judged, ..] = &self.slides;
        let held = (judged.next - self.forgotten) as usize;
        let latest = self.samples.range(held..).rev().find(|s| s.rtt != NONE)?;
        let latest = Duration::from_nanos(latest.rtt);
        let p95 = judged.rtts.percentile(95)?;
        Some(Expectation {
            rtt: latest.max(p95),
            jitter: judged.jitter().unwrap_or_default(),
        })
    }

    /// The latest round-trip time, however long ago.
    pub(super) fn last(&self) -> Option<Duration> {
        let latest = self.samples.iter().rev().find(|s| s.rtt != NONE)?;
        Some(Duration::from_nanos(latest.rtt))
    }
}

/// How long an answer should take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expectation {
    /// The longer of the latest RTT and p95.
    pub(super) rtt: Duration,
    pub(super) jitter: Duration,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

    fn answered(rtt: u64) -> Fact {
        Fact::Answered {
            rtt: ms(rtt),
            order: Order::InTurn,
        }
    }

    #[track_caller]
    fn assert_about(value: Option<Duration>, expected: Duration) {
        let value = value.unwrap();
        assert!(value.abs_diff(expected) <= expected / 100, "{value:?}");
    }

    #[test]
    fn empty_history_knows_nothing() {
        let now = start();
        let mut history = History::new(ms(100), now);
        let (judged, _) = history.statistics(now);
        let nothing = Statistics {
            window: ms(100),
            ..Statistics::default()
        };
        assert_eq!(judged, nothing);
        assert_eq!((judged.loss_ratio(), history.last()), (None, None));
        assert_eq!(history.expectation(now), None);
    }

    #[test]
    fn percentiles_jitter_loss_and_order_of_known_values() {
        let now = start();
        let mut history = History::new(ms(1000), now);
        for rtt in 1..=100 {
            history.push(answered(rtt), now);
        }
        history.push(Fact::Lost, now);
        let late = Fact::Answered {
            rtt: ms(100),
            order: Order::Late,
        };
        history.push(late, now);
        let (judged, _) = history.statistics(now);
        assert_eq!((judged.known, judged.lost, judged.reordered), (102, 1, 1));
        assert_about(judged.rtt_median, ms(51));
        assert_about(judged.rtt_p95, ms(96));
        assert_about(judged.rtt_p99, ms(100));
        assert_eq!(judged.jitter, Some(ms(99) / 100));
        assert_eq!(history.last(), Some(ms(100)));
    }

    #[test]
    fn each_window_forgets_in_its_own_time_even_when_nothing_arrives() {
        let now = start();
        let mut history = History::new(ms(100), now);
        history.push(Fact::Lost, now);
        history.push(answered(5), now + ms(60));
        let counts = |history: &mut History, at| {
            let (judged, windows) = history.statistics(now + at);
            let [short, middle, long] = windows.map(|window| window.known);
            (judged.known, short, middle, long)
        };
        assert_eq!(counts(&mut history, ms(100)), (2, 2, 2, 2));
        assert_eq!(counts(&mut history, ms(101)), (1, 2, 2, 2));
        assert_eq!(counts(&mut history, ms(161)), (0, 2, 2, 2));
        assert_eq!(counts(&mut history, ms(10_001)), (0, 1, 2, 2));
        assert_eq!(counts(&mut history, ms(60_061)), (0, 0, 0, 2));
        assert_eq!(counts(&mut history, ms(300_061)), (0, 0, 0, 0));
        assert!(history.samples.is_empty());
    }

    #[test]
    fn what_was_measured_elsewhere_is_a_time_and_no_loss() {
        let now = start();
        let mut history = History::new(ms(1000), now);
        for _ in 0..10 {
            history.push(Fact::Heard { rtt: ms(7) }, now);
        }
        let (judged, _) = history.statistics(now);
        assert_eq!((judged.known, judged.loss_ratio()), (0, None));
        assert_eq!(judged.jitter, None, "smoothed times do not jitter");
        assert_about(judged.rtt_median, ms(7));
    }

    #[test]
    fn history_is_bounded_however_long_its_window() {
        let now = start();
        let mut history = History::new(Duration::MAX, now);
        for _ in 0..MAX_SAMPLES + 10 {
            history.push(answered(1), now);
        }
        let (judged, windows) = history.statistics(now);
        assert_eq!(history.samples.len(), MAX_SAMPLES);
        assert_eq!(judged.known, MAX_SAMPLES);
        assert_eq!(windows[2].known, MAX_SAMPLES);
    }

    #[test]
    fn sums_after_a_long_time_are_those_of_a_fresh_start() {
        let now = start();
        let mut long = History::new(ms(2000), now);
        let mut state = 7_u64;
        let mut facts = Vec::new();
        for count in 0..50_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let rtt = state >> 57;
            let fact = match rtt {
                0..4 => Fact::Lost,
                rtt => answered(rtt),
            };
            let at = now + ms(100) * count as u32;
            long.push(fact, at);
            facts.push((fact, at));
        }
        let end = facts.last().unwrap().1;
        let (judged, windows) = long.statistics(end);
        for statistics in windows.iter().chain([&judged]) {
            let mut fresh = History::new(Duration::MAX, now);
            let recent = facts
                .iter()
                .filter(|(_, at)| end - *at <= statistics.window);
            for (fact, at) in recent {
                fresh.push(*fact, *at);
            }
            let (expected, _) = fresh.statistics(end);
            assert_eq!(
                (
                    statistics.known,
                    statistics.lost,
                    statistics.rtt_median,
                    statistics.rtt_p99
                ),
                (
                    expected.known,
                    expected.lost,
                    expected.rtt_median,
                    expected.rtt_p99
                ),
                "{:?}",
                statistics.window
            );
        }
    }
}
