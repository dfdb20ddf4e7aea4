//! Which way probes are lost: what we sent against what the reflector counts against what comes back.
//!
//! A stateful reflector numbers its replies (RFC 8762 §4.3.1). Between two replies that arrived, its count
//! tells how many requests reached it; those of them whose reply is missing were lost on the way to us, and
//! the others on the way there:
//!
//! ```text
//!  our sequence   7   8   9  10        sent 3, arrived there 2, returned 1:
//!  its sequence   4   -   ?   6        8 was lost on the way out, the reply to 9 on the way in
//! ```
//!
//! Rounds come here in the order in which they were sent, each when its fate is known. What is lost waits
//! until a later reply tells where, so that the time of an outage says nothing here: whether it
//! was the way out or the way in cannot be told while nothing returns.
//!
//! A reflector that starts again counts anew, and one may be stateless and only copy our sequence. The first
//! costs a gap of which nothing is said. The second is told from a stateful one by a number that we never
//! send (see [`SKIPPED`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// This sequence number is left out by the sender, as if the packet had been lost before it left. From there
/// on the count of a stateful reflector, which starts from zero as we do, is another than ours.
pub(super) const SKIPPED: u32 = 1;
/// Replies may overtake each other by fewer than so many.
const REORDER: u32 = 64;
/// Most seconds that are remembered: an hour, the longest window there is.
const MAX_SECONDS: usize = 3600;

/// One second of what was found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Second {
    /// Since the start.
    number: u64,
    sent: u32,
    /// Reached the reflector.
    arrived: u32,
    /// Reached us.
    returned: u32,
}

/// Where the reflector's count stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Count {
    highest: u32,
    /// Bit n: the reply `highest - n` has arrived.
    seen: u64,
}

impl Count {
    /// What came before counts as seen: a lower number is a count that starts again.
    fn new(first: u32) -> Self {
        Self {
            highest: first,
            seen: u64::MAX,
        }
    }

    /// How many more requests have reached the reflector, given that it answers with this number and that
    /// `missing` requests before have no answer; `None` if that is no count that goes on.
    fn advance(&mut self, number: u32, missing: u32) -> Option<u32> {
        let ahead = number.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(number);
        if (1..=missing.saturating_add(REORDER)).contains(&ahead) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = number;
            return Some(ahead);
        }
        let bit = 1_u64.checked_shl(behind)?;
        if self.seen & bit != 0 {
            return None;
        }
        // It was counted when a later one was ahead.
        self.seen |= bit;
        Some(0)
    }
}

/// Losses of each way. 24 octets for each second of the longest window.
#[derive(Clone, Debug)]
pub(super) struct Directions {
    start: Instant,
    longest: Duration,
    count: Option<Count>,
    /// The reflector has a count of its own.
    is_stateful: bool,
    /// Sent after the last reply and not answered.
    missing: u32,
    seconds: VecDeque<Second>,
}

/// Parts that were lost, 0 to 1; `None` where nothing is known.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Loss {
    pub(super) out: Option<f64>,
    pub(super) back: Option<f64>,
}

impl Directions {
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self {
            start: now,
            longest,
            count: None,
            is_stateful: false,
            missing: 0,
            seconds: VecDeque::new(),
        }
    }

    /// The next request was answered.
    pub(super) fn returned(&mut self, sequence: u32, reflected: u32, now: Instant) {
        self.is_stateful |= sequence != reflected;
        let missing = std::mem::take(&mut self.missing);
        let Some(count) = &mut self.count else {
            self.count = Some(Count::new(reflected));
            return;
        };
        match count.advance(reflected, missing) {
            Some(arrived) if self.is_stateful => self.note(missing + 1, arrived, now),
            Some(_) => {}
            None => {
                self.count = Some(Count::new(reflected));
                self.is_stateful = sequence != reflected;
            }
        }
    }

    /// The next request was not.
    pub(super) fn missed(&mut self) {
        self.missing = self.missing.saturating_add(1);
    }

    /// What is missing was no fault of the path: the reflector was away.
    pub(super) fn forgive(&mut self) {
        self.missing = 0;
        self.count = None;
    }

    fn note(&mut self, sent: u32, arrived: u32, now: Instant) {
        let number = now.saturating_duration_since(self.start).as_secs();
        let longest = (self.longest.as_secs() as usize).saturating_add(1);
        while let Some(oldest) = self.seconds.front()
            && (number - oldest.number) as usize > longest.min(MAX_SECONDS)
        {
            self.seconds.pop_front();
        }
        if self.seconds.back().is_none_or(|last| last.number != number) {
            let number = Second {
                number,
                ..Second::default()
            };
            self.seconds.push_back(number);
        }
        if let Some(last) = self.seconds.back_mut() {
            last.sent += sent;
            last.arrived += arrived;
            last.returned += 1;
        }
    }

    /// Over the last `window`, to the second.
    pub(super) fn loss(&self, window: Duration, now: Instant) -> Loss {
        let elapsed = now.saturating_duration_since(self.start);
        let since = elapsed.saturating_sub(window).as_secs();
        let recent = self.seconds.iter().rev();
        let recent = recent.take_while(|second| second.number >= since);
        let (mut sent, mut arrived, mut returned) = (0_u64, 0_u64, 0_u64);
        for second in recent {
            sent += u64::from(second.sent);
            arrived += u64::from(second.arrived);
            returned += u64::from(second.returned);
        }
        if arrived > sent + sent / 8 + u64::from(REORDER) {
            // It counts the packets of others with ours.
            return Loss::default();
        }
        // What is still out of order is no loss.
        let arrived = arrived.clamp(returned, sent.max(returned));
        let part = |lost: u64, of: u64| (of > 0).then(|| lost as f64 / of as f64);
        Loss {
            out: part(sent.saturating_sub(arrived), sent),
            back: part(arrived - returned, arrived),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path whose fate is decided round by round, to a reflector that counts.
    struct Path {
        directions: Directions,
        now: Instant,
        sequence: u32,
        reflected: u32,
    }

    #[derive(Clone, Copy)]
    enum Fate {
        Answered,
        LostOut,
        LostBack,
    }

    impl Path {
        #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
        fn new(sequence: u32, reflected: u32) -> Self {
            let now = Instant::now();
            Self {
                directions: Directions::new(Duration::from_secs(300), now),
                now,
                sequence,
                reflected,
            }
        }

        fn round(&mut self, fate: Fate) {
            let (sequence, reflected) = (self.sequence, self.reflected);
            self.sequence = sequence.wrapping_add(1);
            self.now += Duration::from_millis(100);
            match fate {
                Fate::LostOut => self.directions.missed(),
                Fate::LostBack => {
                    self.reflected = reflected.wrapping_add(1);
                    self.directions.missed();
                }
                Fate::Answered => {
                    self.reflected = reflected.wrapping_add(1);
                    self.directions.returned(sequence, reflected, self.now);
                }
            }
        }

        fn rounds(&mut self, count: u32, fate: impl Fn(u32) -> Fate) {
            for number in 0..count {
                self.round(fate(number));
            }
        }

        fn loss(&self) -> (Option<f64>, Option<f64>) {
            let Loss { out, back } = self.directions.loss(Duration::from_secs(60), self.now);
            (out, back)
        }

        #[track_caller]
        fn assert_loss(&self, out: f64, back: f64) {
            let (found_out, found_back) = self.loss();
            let near = |found: Option<f64>, told: f64| (found.unwrap() - told).abs() < 0.01;
            let both = (found_out, found_back);
            assert!(near(found_out, out) && near(found_back, back), "{both:?}");
        }
    }

    /// One in ten lost out, one in five of the rest lost back.
    fn lossy(number: u32) -> Fate {
        match number % 10 {
            3 => Fate::LostOut,
            5 | 8 => Fate::LostBack,
            _ => Fate::Answered,
        }
    }

    #[test]
    fn losses_of_each_way_are_told_apart() {
        let mut path = Path::new(2, 1);
        path.rounds(500, lossy);
        path.assert_loss(0.1, 2.0 / 9.0);
        let mut path = Path::new(2, 1);
        path.rounds(500, |_| Fate::Answered);
        assert_eq!(path.loss(), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn counters_that_wrap_are_no_loss() {
        let mut path = Path::new(u32::MAX - 50, u32::MAX - 70);
        path.rounds(200, |_| Fate::Answered);
        assert_eq!(path.loss(), (Some(0.0), Some(0.0)));
        let mut path = Path::new(u32::MAX - 50, u32::MAX - 70);
        path.rounds(500, lossy);
        path.assert_loss(0.1, 2.0 / 9.0);
    }

    #[test]
    fn reflector_that_starts_again_is_no_loss() {
        for after in [3, 100, 5000] {
            let mut path = Path::new(2, 1);
            path.rounds(after, |_| Fate::Answered);
            path.rounds(20, |_| Fate::LostOut);
            path.reflected = 0;
            path.rounds(300, |_| Fate::Answered);
            assert_eq!(path.loss(), (Some(0.0), Some(0.0)), "after {after}");
            path.rounds(600, lossy);
            path.assert_loss(0.1, 2.0 / 9.0);
        }
    }

    #[test]
    fn stateless_reflector_tells_no_direction() {
        let mut path = Path::new(2, 2);
        for number in 0..100 {
            path.reflected = path.sequence;
            path.round(lossy(number));
        }
        assert_eq!(path.loss(), (None, None));
    }

    #[test]
    fn reflector_that_counts_everybody_tells_no_direction() {
        let mut path = Path::new(2, 1);
        for _ in 0..500 {
            path.reflected = path.reflected.wrapping_add(3);
            path.round(Fate::Answered);
        }
        assert_eq!(path.loss(), (None, None));
    }

    #[test]
    fn requests_that_overtake_each_other_are_not_lost() {
        let mut path = Path::new(2, 1);
        for pair in 0..200 {
            let (first, second) = (2 + 2 * pair, 3 + 2 * pair);
            path.now += Duration::from_millis(100);
            path.directions.returned(first, 2 + 2 * pair, path.now);
            path.directions.returned(second, 1 + 2 * pair, path.now);
        }
        path.assert_loss(0.0, 0.0);
    }

    #[test]
    fn outage_says_nothing_until_it_is_over_and_then_where_it_was() {
        let mut path = Path::new(2, 1);
        path.rounds(100, |_| Fate::Answered);
        path.rounds(100, |_| Fate::LostBack);
        assert_eq!(path.loss(), (Some(0.0), Some(0.0)));
        path.round(Fate::Answered);
        path.assert_loss(0.0, 0.5);
    }

    #[test]
    fn reflector_that_was_away_is_forgiven() {
        let mut path = Path::new(2, 1);
        path.rounds(100, |_| Fate::Answered);
        path.rounds(50, |_| Fate::LostOut);
        path.directions.forgive();
        path.rounds(100, |_| Fate::Answered);
        assert_eq!(path.loss(), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut path = Path::new(2, 1);
        path.directions.longest = Duration::MAX;
        for _ in 0..10_000 {
            path.now += Duration::from_secs(1);
            path.round(Fate::Answered);
        }
        assert!(path.directions.seconds.len() <= MAX_SECONDS + 1);
    }
}
