//! Which size to try next: one search, from a guess to an answer.
//!
//! A size that fails once only narrows the search. What counts is its end: two neighbours, the smaller of
//! which is answered while the larger is not, three times over. So a probe that is lost by chance costs a
//! few probes more, and nothing else.

use super::{BASE, FLOOR};

/// Failures beside an answered control that settle a size (RFC 8899 §5.1.2, MAX_PROBES).
const MAX_PROBES: u32 = 3;
/// Lost controls ask for as many failures more: the link loses packets of any size.
const MOST_PROBES: u32 = 2 * MAX_PROBES;

/// What a search is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// Whether what was found still holds.
    Confirm,
    /// That, and whether there is more now.
    Raise,
}

/// What is below [`BASE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Below {
    /// Sizes down to [`FLOOR`].
    Floor,
    /// Nothing that may be believed.
    Nothing,
}

/// What a search has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// The largest size that passes.
    Passes(u32),
    /// Small packets pass, and none of [`BASE`] octets.
    NotEvenBase,
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
        self.failed = self.failed.filter(|(failed, _)| *failed > size);
    }

    /// Not answered, although a control beside it was.
    pub(super) fn fail(&mut self, size: u32) {
        self.failed = match self.failed {
            Some((failed, times)) if failed == size => Some((size, times + 1)),
            Some((failed, _)) if failed < size => self.failed,
            Some(_) | None => Some((size, 1)),
        };
    }

    /// Not even the control was answered.
    pub(super) fn void(&mut self) {
        self.needed = (self.needed + 1).min(MOST_PROBES);
    }

    /// The largest that was answered.
    pub(super) fn passed(&self) -> Option<u32> {
        self.passed
    }

    /// - `below`: what may be tried when [`BASE`] fails
    pub(super) fn next(&self, below: Below) -> Next {
        match (self.passed, self.failed) {
            (None, None) => Next::Try(self.guess),
            (None, Some((failed, _))) if failed > BASE => Next::Try(BASE),
            (None, Some((failed, times))) if times < self.needed => Next::Try(failed),
            (None, Some((failed, _))) => match below {
                Below::Floor if failed > FLOOR => Next::Try(FLOOR),
                Below::Floor | Below::Nothing => Next::Done(Finding::NotEvenBase),
            },
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
    use super::*;

    /// The finding, and the sizes that were tried, on a path that takes `path` octets.
    fn run(mut search: Search, path: u32, below: Below) -> (Finding, Vec<u32>) {
        let mut tried = Vec::new();
        loop {
            match search.next(below) {
                Next::Done(finding) => return (finding, tried),
                Next::Try(size) if size <= path => search.pass(size),
                Next::Try(size) => search.fail(size),
            }
            let Next::Try(size) = search.next(below) else {
                continue;
            };
            tried.push(size);
            assert!(tried.len() < 64, "no end: {tried:?}");
        }
    }

    #[test]
    fn a_path_that_takes_the_most_costs_one_probe() {
        let (found, tried) = run(Search::new(Goal::Raise, 1420, 1420), 1500, Below::Floor);
        assert_eq!((found, tried), (Finding::Passes(1420), vec![]));
    }

    #[test]
    fn every_path_is_found_to_the_octet() {
        for path in FLOOR..=1500 {
            for most in [1280, 1420, 1500] {
                let search = Search::new(Goal::Raise, most, most);
                let (found, tried) = run(search, path, Below::Floor);
                assert_eq!(found, Finding::Passes(path.min(most)), "{path} of {most}");
                assert!(tried.len() <= 18, "{path} of {most}: {tried:?}");
            }
        }
    }

    #[test]
    fn a_path_that_has_not_grown_is_tried_with_one_octet_more_and_nothing_else() {
        let (found, tried) = run(Search::new(Goal::Raise, 1300, 1420), 1300, Below::Floor);
        assert_eq!(
            (found, tried),
            (Finding::Passes(1300), vec![1301, 1301, 1301])
        );
    }

    #[test]
    fn a_path_that_has_grown_is_tried_in_full() {
        let (found, tried) = run(Search::new(Goal::Raise, 1300, 1420), 1420, Below::Floor);
        assert_eq!((found, tried), (Finding::Passes(1420), vec![1301, 1420]));
    }

    #[test]
    fn a_confirmation_tries_nothing_larger() {
        let (found, tried) = run(Search::new(Goal::Confirm, 1300, 1420), 1420, Below::Floor);
        assert_eq!((found, tried), (Finding::Passes(1300), vec![]));
        let (found, _) = run(Search::new(Goal::Confirm, 1300, 1420), 1290, Below::Floor);
        assert_eq!(found, Finding::Passes(1290));
    }

    #[test]
    fn below_the_base_only_what_may_be_believed_is_tried() {
        let search = || Search::new(Goal::Raise, 1420, 1420);
        assert_eq!(run(search(), 1000, Below::Nothing).0, Finding::NotEvenBase);
        assert_eq!(run(search(), 1000, Below::Floor).0, Finding::Passes(1000));
        assert_eq!(run(search(), 100, Below::Floor).0, Finding::NotEvenBase);
    }

    #[test]
    fn a_size_that_failed_by_chance_is_found_to_pass_in_the_end() {
        let mut search = Search::new(Goal::Raise, 1420, 1420);
        search.fail(1420);
        let (found, _) = run(search, 1420, Below::Floor);
        assert_eq!(found, Finding::Passes(1420));
    }
}
