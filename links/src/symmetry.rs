//! Does traffic come back by the link that it leaves by?
//!
//! Asked of the byte counters of a group's interfaces, a window at a time. A group is asymmetric when most of
//! what leaves goes by one link and most of what comes by another, above a rate at which that matters, in
//! so many windows in a row; one window that is otherwise ends it. What is symmetric says nothing: counters of a
//! quiet group, or of one that shares its traffic, have no "most".

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::group::LinkId;

/// So many windows in a row: longer than a failover and what follows it takes.
const WINDOWS: u32 = 3;
/// More than this part of all bytes of a direction is most of them, in percent.
const MOST: u64 = 60;
/// Bytes a second in each direction, below which nothing is said: 100 kbit/s, well above probes and BGP.
const LEAST_RATE: u64 = 12_500;

/// Bytes on an interface since it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// That came in.
    pub received: u64,
    /// That went out.
    pub sent: u64,
}

/// What part of a group's bytes a link had in the last window, in percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Which link.
    pub link: LinkId,
    /// Of what came in.
    pub received: u8,
    /// Of what went out.
    pub sent: u8,
}

/// The only way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SymmetryInput {
    /// The counters of every link of the group. What a window is made of when one is due; before that it is
    /// ignored.
    Counters(BTreeMap<LinkId, Traffic>),
    /// They cannot be had now: the window becomes a longer one.
    NoCounters,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymmetryOutput {
    /// Most leaves by one link and comes by another.
    Asymmetric {
        /// By which most leaves.
        sent: Share,
        /// By which most comes.
        received: Share,
    },
    /// It was, and is no more.
    Symmetric,
}

/// The way there and the way back of one group.
///
/// The driver: `handle` with counters when [`Symmetry::poll_timeout`] says so, then `poll_output` until it
/// gives `None`.
#[derive(Debug)]
pub struct Symmetry {
    last: BTreeMap<LinkId, Traffic>,
    due: Instant,
    began: Instant,
    shares: Vec<Share>,
    /// Windows in a row, with the links that had most of what left and of what came.
    run: Option<((LinkId, LinkId), u32)>,
    verdict: Verdict,
    outputs: VecDeque<SymmetryOutput>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Symmetric,
    Asymmetric(LinkId, LinkId),
}

impl Symmetry {
    /// Over which counters are compared.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// A group of which nothing is known.
    pub fn new(now: Instant) -> Self {
        Self {
            last: BTreeMap::new(),
            due: now,
            began: now,
            shares: Vec::new(),
            run: None,
            verdict: Verdict::Symmetric,
            outputs: VecDeque::new(),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: SymmetryInput, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now.checked_add(Self::WINDOW).unwrap_or(now);
        let SymmetryInput::Counters(counters) = input else {
            return;
        };
        let grown: BTreeMap<LinkId, Traffic> = counters
            .iter()
            .map(|(link, now)| (*link, growth(self.last.get(link), *now)))
            .collect();
        let lasted = now.saturating_duration_since(self.began);
        (self.last, self.began) = (counters, now);
        self.judge(&grown, lasted);
    }

    /// What became of it since the last call.
    pub fn poll_output(&mut self) -> Option<SymmetryOutput> {
        self.outputs.pop_front()
    }

    /// When counters are wanted.
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// What part each link had in the last window; empty before there was one.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The links by which most leaves and comes, while these are two.
    pub fn asymmetric(&self) -> Option<(LinkId, LinkId)> {
        match self.verdict {
            Verdict::Symmetric => None,
            Verdict::Asymmetric(sent, received) => Some((sent, received)),
        }
    }

    fn judge(&mut self, grown: &BTreeMap<LinkId, Traffic>, lasted: Duration) {
        let total = grown
            .values()
            .fold(Traffic::default(), |sum, traffic| Traffic {
                received: sum.received.saturating_add(traffic.received),
                sent: sum.sent.saturating_add(traffic.sent),
            });
        let share = |(link, traffic): (&LinkId, &Traffic)| Share {
            link: *link,
            received: percent(traffic.received, total.received),
            sent: percent(traffic.sent, total.sent),
        };
        self.shares = grown.iter().map(share).collect();
        let least = LEAST_RATE.saturating_mul(lasted.as_secs());
        let matters = lasted >= Self::WINDOW && total.received >= least && total.sent >= least;
        let sent = self.most(|share| share.sent).filter(|_| matters);
        let received = self.most(|share| share.received).filter(|_| matters);
        let apart = sent.zip(received);
        self.note(apart.filter(|(sent, received)| sent.link != received.link));
    }

    fn most(&self, of: impl Fn(&Share) -> u8) -> Option<Share> {
        let mut shares = self.shares.iter();
        shares.find(|share| u64::from(of(share)) > MOST).copied()
    }

    fn note(&mut self, apart: Option<(Share, Share)>) {
        let Some((sent, received)) = apart else {
            self.run = None;
            if self.verdict != Verdict::Symmetric {
                self.verdict = Verdict::Symmetric;
                self.outputs.push_back(SymmetryOutput::Symmetric);
            }
            return;
        };
        let pair = (sent.link, received.link);
        let before = self.run.filter(|(known, _)| *known == pair);
        let windows = before.map_or(1, |(_, windows)| windows.saturating_add(1));
        self.run = Some((pair, windows));
        let verdict = Verdict::Asymmetric(pair.0, pair.1);
        if windows >= WINDOWS && self.verdict != verdict {
            self.verdict = verdict;
            let found = SymmetryOutput::Asymmetric { sent, received };
            self.outputs.push_back(found);
        }
    }
}

/// Of 64 bits none wraps in a lifetime. One that has fallen is of an interface that was made anew: what it has
/// counted since then is not compared with what others counted in a whole window.
fn growth(before: Option<&Traffic>, now: Traffic) -> Traffic {
    let grown =
        |of: fn(&Traffic) -> u64| before.and_then(|before| of(&now).checked_sub(of(before)));
    let both = grown(|it| it.received).zip(grown(|it| it.sent));
    both.map_or_else(Traffic::default, |(received, sent)| Traffic {
        received,
        sent,
    })
}

fn percent(part: u64, whole: u64) -> u8 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);
    /// Bytes in a window that matter.
    const MUCH: u64 = LEAST_RATE * 10;

    struct Bench {
        symmetry: Symmetry,
        counters: BTreeMap<LinkId, Traffic>,
        now: Instant,
    }

    impl Bench {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant can be had from nowhere else"
        )]
        fn new() -> Self {
            let now = Instant::now();
            let mut bench = Self {
                symmetry: Symmetry::new(now),
                counters: [(A, Traffic::default()), (B, Traffic::default())].into(),
                now,
            };
            bench.look();
            bench
        }

        fn look(&mut self) -> Option<SymmetryOutput> {
            let input = SymmetryInput::Counters(self.counters.clone());
            self.symmetry.handle(input, self.now);
            self.symmetry.poll_output()
        }

        /// A window in which so many bytes came and went by A and B.
        fn window(&mut self, a: [u64; 2], b: [u64; 2]) -> Option<SymmetryOutput> {
            self.now = self.symmetry.poll_timeout();
            for (link, [received, sent]) in [(A, a), (B, b)] {
                let traffic = self.counters.entry(link).or_default();
                traffic.received += received;
                traffic.sent += sent;
            }
            self.look()
        }
    }

    fn apart() -> Option<SymmetryOutput> {
        let share = |link, received, sent| Share {
            link,
            received,
            sent,
        };
        Some(SymmetryOutput::Asymmetric {
            sent: share(A, 0, 100),
            received: share(B, 100, 0),
        })
    }

    #[test]
    fn out_by_one_and_in_by_another_is_said_once_when_it_lasts() {
        let mut bench = Bench::new();
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), apart());
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.symmetry.asymmetric(), Some((A, B)));
        let back = bench.window([MUCH, MUCH], [0, 0]);
        assert_eq!(back, Some(SymmetryOutput::Symmetric));
        assert_eq!(bench.symmetry.asymmetric(), None);
        assert_eq!(bench.window([MUCH, MUCH], [0, 0]), None);
    }

    #[test]
    fn a_window_that_is_otherwise_begins_the_count_anew() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
            assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
            assert_eq!(bench.window([MUCH, MUCH], [0, 0]), None);
        }
    }

    #[test]
    fn a_trickle_and_traffic_that_is_shared_say_nothing() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            assert_eq!(
                bench.window([0, MUCH - 1], [MUCH, 0]),
                None,
                "too little leaves"
            );
        }
        for _ in 0..10 {
            let shared = bench.window([MUCH, MUCH], [MUCH, MUCH]);
            assert_eq!(shared, None, "neither has most");
        }
    }

    #[test]
    fn counters_of_an_interface_that_is_made_anew_count_from_there() {
        let mut bench = Bench::new();
        bench.window([0, 1 << 60], [1 << 60, 0]);
        bench.counters.insert(B, Traffic::default());
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        let shares = bench.symmetry.shares().to_vec();
        assert_eq!(shares[1].received, 0, "nothing is known of that window");
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), apart());
    }

    #[test]
    fn counters_that_come_too_soon_are_left_for_the_window() {
        let mut bench = Bench::new();
        bench.window([0, MUCH], [MUCH, 0]);
        for _ in 0..100 {
            assert_eq!(bench.look(), None);
        }
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), apart());
    }

    #[test]
    fn a_window_without_counters_makes_a_longer_one() {
        let mut bench = Bench::new();
        bench.now = bench.symmetry.poll_timeout();
        bench.symmetry.handle(SymmetryInput::NoCounters, bench.now);
        assert!(bench.symmetry.poll_timeout() > bench.now);
        assert_eq!(bench.window([0, 2 * MUCH], [2 * MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), None);
        assert_eq!(bench.window([0, MUCH], [MUCH, 0]), apart());
    }

    #[test]
    fn the_largest_counters_there_are_do_no_harm() {
        let mut bench = Bench::new();
        bench.window([u64::MAX, u64::MAX], [0, u64::MAX]);
        bench.now = bench.symmetry.poll_timeout();
        bench.counters = [(A, Traffic::default())].into();
        assert_eq!(bench.look(), None);
    }
}
