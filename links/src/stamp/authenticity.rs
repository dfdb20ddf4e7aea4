//! Whether somebody with our key is at the far end, as far as the packets that come say so.
//!
//! One packet says nothing: anybody may forge one beside those of the far end. There is a doubt when some
//! come and none of them is authentic.

use std::time::{Duration, Instant};

use super::Unauthentic;

/// So long without an authentic packet among others. Longer than most intervals between probes.
const PATIENCE: Duration = Duration::from_secs(5);
/// When nothing has come for so long there is nobody to doubt. Twice the longest interval and more.
const MEMORY: Duration = Duration::from_secs(150);

/// What one of the two roles has heard, asking or answering. One packet says nothing about the far end, since anybody
/// may forge one beside its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Authenticity {
    /// When the last authentic packet came; before there was any, the first that was refused.
    since: Option<Instant>,
    /// The last that was refused.
    refused: Option<(Instant, Unauthentic)>,
}

impl Authenticity {
    /// A packet was authentic.
    pub(crate) fn accept(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// A packet was not.
    pub(crate) fn refuse(&mut self, why: Unauthentic, now: Instant) {
        self.since.get_or_insert(now);
        self.refused = Some((now, why));
    }

    /// What both roles have heard.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            since: self.since.max(other.since),
            refused: self.refused.max(other.refused),
        }
    }

    /// Why what comes is not taken for the far end's, if that is all that comes.
    pub fn doubt(self, now: Instant) -> Option<Unauthentic> {
        let (since, (at, why)) = self.since.zip(self.refused)?;
        let is_alone = at >= since && now.saturating_duration_since(since) >= PATIENCE;
        let is_recent = now.saturating_duration_since(at) <= MEMORY;
        (is_alone && is_recent).then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn packets_that_are_refused_beside_authentic_ones_raise_no_doubt() {
        let (mut heard, mut now) = (Authenticity::default(), start());
        for _ in 0..1000 {
            heard.refuse(Unauthentic::OtherKey, now);
            assert_eq!(heard.doubt(now), None);
            heard.accept(now + secs(1));
            now += secs(2);
        }
    }

    #[test]
    fn packets_that_are_all_refused_do_and_the_first_authentic_one_ends_it() {
        let (mut heard, now) = (Authenticity::default(), start());
        for at in 0..20 {
            heard.refuse(Unauthentic::Unsigned, now + secs(at));
            let expected = (at >= 5).then_some(Unauthentic::Unsigned);
            assert_eq!(heard.doubt(now + secs(at)), expected, "after {at} s");
        }
        heard.accept(now + secs(20));
        assert_eq!(heard.doubt(now + secs(20)), None);
    }

    #[test]
    fn silence_raises_none_and_ends_one() {
        let (mut heard, now) = (Authenticity::default(), start());
        assert_eq!(heard.doubt(now + secs(1000)), None);
        heard.refuse(Unauthentic::Signed, now);
        assert_eq!(heard.doubt(now + secs(150)), Some(Unauthentic::Signed));
        assert_eq!(heard.doubt(now + secs(151)), None);
        heard.refuse(Unauthentic::Signed, now + secs(151));
        heard.accept(now + secs(152));
        // The path is cut: what was refused before says nothing about that.
        assert_eq!(heard.doubt(now + secs(160)), None);
    }

    #[test]
    fn one_role_that_hears_authentic_packets_speaks_for_both() {
        let (mut asks, mut answers, now) =
            (Authenticity::default(), Authenticity::default(), start());
        answers.refuse(Unauthentic::Unsigned, now);
        for at in 0..20 {
            asks.accept(now + secs(at));
            assert_eq!(asks.and(answers).doubt(now + secs(at)), None);
            assert_eq!(answers.and(asks).doubt(now + secs(at)), None);
        }
        answers.refuse(Unauthentic::Unsigned, now + secs(30));
        let doubt = Some(Unauthentic::Unsigned);
        assert_eq!(asks.and(answers).doubt(now + secs(30)), doubt);
    }
}
