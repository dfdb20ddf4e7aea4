//! Which size to try next: one search, from a guess to an answer.
//!
//! A size that fails once only narrows the search. What counts is its end: two neighbours, the smaller of
//! which is answered while the larger is not, four times over. So a probe that is lost by chance costs a
//! few probes more, and nothing else.

use super::BASE;

/// Failures beside an answered control that settle a size (RFC 8899 §5.1.2, MAX_PROBES). One more than the
/// usual three: where every fifth round trip is lost, that is a tenth of the wrong verdicts.
const MAX_PROBES: u32 = 4;
/// Every sign that the link loses packets of any size asks for a failure more, up to this.
const MOST_PROBES: u32 = 2 * MAX_PROBES;

/// What a search is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// Whether what was found still holds.
    Confirm,
    /// That, and whether there is more now.
    Raise,
}

/// What a search has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// The largest size that passes.
    Passes(u32),
    /// Small packets pass, and none of so many octets, the least that may be believed.
    TooNarrow(u32),
}

/// The next step of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Try(u32),
    Done(Finding),
}

/// One search. Sizes are octets of whole IP packets.
#[derive(Clone, Debug)]
pub(super) struct Search {
    goal: Goal,
    /// Tried first.
    guess: u32,
    /// The largest that makes sense.
    most: u32,
    /// The largest that was answered.
    passed: Option<u32>,
    /// The smallest that failed, larger than `passed`, and how often.
    failed: Option<(u32, u32)>,
    /// Failures that settle a size.
    needed: u32,
}

impl Search {
    pub(super) fn new(goal: Goal, guess: u32, most: u32) -> Self {
        Self {
            goal,
            guess: guess.min(most),
            most,
            passed: None,
            failed: None,
            needed: MAX_PROBES,
        }
    }

    /// Answered.
    pub(super) fn pass(&mut self, size: u32) {
        self.passed = self.passed.max(Some(size));
        if self.failed.is_some_and(|(failed, _)| failed <= size) {
            self.failed = None;
            self.void();
        }
    }

    /// Not answered, although a control beside it was.
    pub(super) fn fail(&mut self, size: u32) {
        self.failed = match self.failed {
            Some((failed, times)) if failed == size => Some((size, times + 1)),
            Some((failed, _)) if failed < size => self.failed,
            Some(_) | None => Some((size, 1)),
        };
    }

    /// Not even the control was answered, or what had failed passes after all.
    pub(super) fn void(&mut self) {
        self.needed = (self.needed + 1).min(MOST_PROBES);
    }

    /// The largest that was answered.
    pub(super) fn passed(&self) -> Option<u32> {
        self.passed
    }

    /// - `floor`: the least that may be believed, at most [`BASE`]
    pub(super) fn next(&self, floor: u32) -> Next {
        match (self.passed, self.failed) {
            (None, None) => Next::Try(self.guess),
            (None, Some((failed, _))) if failed > BASE => Next::Try(BASE),
            (None, Some((failed, times))) if times < self.needed => Next::Try(failed),
            (None, Some((failed, _))) if failed > floor => Next::Try(floor),
            (None, Some(_)) => Next::Done(Finding::TooNarrow(floor)),
            (Some(passed), Some((failed, times))) if failed <= passed + 1 => {
                match times < self.needed {
                    true => Next::Try(failed),
                    false => Next::Done(Finding::Passes(passed)),
                }
            }
            (Some(passed), Some((failed, _))) => Next::Try(passed.midpoint(failed)),
            (Some(passed), None) => self.upward(passed),
        }
    }

    /// Nothing has failed above what passed.
    fn upward(&self, passed: u32) -> Next {
        if passed >= self.most || (self.goal == Goal::Confirm && passed == self.guess) {
            return Next::Done(Finding::Passes(passed));
        }
        // One octet more is the least that traffic may suffer from while the interface takes what the path
        // does not; only a path that has grown is tried in full.
        match passed == self.guess {
            true => Next::Try(passed + 1),
            false => Next::Try(self.most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FLOOR;
    use super::*;

    /// The finding, and the sizes that were tried, on a path that takes `path` octets.
    fn run(mut search: Search, path: u32, floor: u32) -> (Finding, Vec<u32>) {
        let mut tried = Vec::new();
        loop {
            match search.next(floor) {
                Next::Done(finding) => return (finding, tried),
                Next::Try(size) if size <= path => search.pass(size),
                Next::Try(size) => search.fail(size),
            }
            let Next::Try(size) = search.next(floor) else {
                continue;
            };
            tried.push(size);
            assert!(tried.len() < 64, "no end: {tried:?}");
        }
    }

    #[test]
    fn a_path_that_takes_the_most_costs_one_probe() {
        let (found, tried) = run(Search::new(Goal::Raise, 1420, 1420), 1500, FLOOR);
        assert_eq!((found, tried), (Finding::Passes(1420), vec![]));
    }

    #[test]
    fn every_path_is_found_to_the_octet() {
        for path in FLOOR..=1500 {
            for most in [1280, 1420, 1500] {
                let search = Search::new(Goal::Raise, most, most);
                let (found, tried) = run(search, path, FLOOR);
                assert_eq!(found, Finding::Passes(path.min(most)), "{path} of {most}");
                assert!(tried.len() <= 20, "{path} of {most}: {tried:?}");
            }
        }
    }

    #[test]
    fn a_path_that_has_not_grown_is_tried_with_one_octet_more_and_nothing_else() {
        let (found, tried) = run(Search::new(Goal::Raise, 1300, 1420), 1300, FLOOR);
        assert_eq!((found, tried), (Finding::Passes(1300), vec![1301; 4]));
    }

    #[test]
    fn a_path_that_has_grown_is_tried_in_full() {
        let (found, tried) = run(Search::new(Goal::Raise, 1300, 1420), 1420, FLOOR);
        assert_eq!((found, tried), (Finding::Passes(1420), vec![1301, 1420]));
    }

    #[test]
    fn a_confirmation_tries_nothing_larger() {
        let (found, tried) = run(Search::new(Goal::Confirm, 1300, 1420), 1420, FLOOR);
        assert_eq!((found, tried), (Finding::Passes(1300), vec![]));
        let (found, _) = run(Search::new(Goal::Confirm, 1300, 1420), 1290, FLOOR);
        assert_eq!(found, Finding::Passes(1290));
    }

    #[test]
    fn below_the_base_only_what_may_be_believed_is_tried() {
        let search = || Search::new(Goal::Raise, 1420, 1420);
        assert_eq!(run(search(), 1000, BASE).0, Finding::TooNarrow(BASE));
        assert_eq!(run(search(), 1000, 1100).0, Finding::TooNarrow(1100));
        assert_eq!(run(search(), 1200, 1100).0, Finding::Passes(1200));
        assert_eq!(run(search(), 1000, FLOOR).0, Finding::Passes(1000));
        assert_eq!(run(search(), 100, FLOOR).0, Finding::TooNarrow(FLOOR));
    }

    #[test]
    fn a_size_that_failed_by_chance_is_found_to_pass_in_the_end() {
        let mut search = Search::new(Goal::Raise, 1420, 1420);
        search.fail(1420);
        let (found, _) = run(search, 1420, FLOOR);
        assert_eq!(found, Finding::Passes(1420));
    }
}
