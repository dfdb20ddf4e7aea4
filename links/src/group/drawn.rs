//! Going after the traffic, where the far side has drawn it to another link that is as good.
//!
//! Between equal ranks MED decides, and before any rank the AS path does, route by route, without the
//! group's doing. What the group says of its links, and what it asks for the way back, has to be true all
//! the same.
//!
//! Two routers that follow each other at once swap places, and would for ever. So each waits for a time
//! that the other cannot know, and who is first ends it. The time doubles with each such move, so that a
//! far side that changes its mind all the time moves little.

use std::time::{Duration, Instant};

use super::falls::Falls;
use super::{LinkId, longer};
use crate::random::Random;

/// The shortest wait.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait is the shortest so many times over, and doubles with it.
const SPREAD: u32 = 10;

#[derive(Debug)]
pub(super) struct Drawn {
    /// Over which of several equally good links most routes lead.
    by: Option<LinkId>,
    /// The group goes after it then.
    follows: Option<(LinkId, Instant)>,
    /// How often it has.
    followed: Falls,
    random: Random,
}

impl Drawn {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self {
            by: None,
            follows: None,
            followed: Falls::none(now),
            random: Random::new(seed),
        }
    }

    pub(super) fn hear(&mut self, by: Option<LinkId>) {
        self.by = by;
    }

    /// The link to go after now.
    ///
    /// - `best`: the links of the best rank
    /// - `used`: the one of them that is in use; `None` if none is, or all are
    pub(super) fn due(
        &mut self,
        best: &[LinkId],
        used: Option<LinkId>,
        now: Instant,
    ) -> Option<LinkId> {
        let by = self.by.filter(|by| best.contains(by));
        let Some(by) = by.filter(|by| used.is_some_and(|used| used != *by)) else {
            self.follows = None;
            return None;
        };
        let at = match self.follows {
            Some((link, at)) if link == by => at,
            Some(_) | None => now + self.wait(now),
        };
        self.follows = Some((by, at)).filter(|_| now < at);
        if self.follows.is_some() {
            return None;
        }
        self.followed.add(now);
        Some(by)
    }

    /// When [`Drawn::due`] may have another answer.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.follows.map(|(_, at)| at)
    }

    /// When the group goes after this link; `None` if it is not about to.
    pub(super) fn follows_at(&self, link: LinkId) -> Option<Instant> {
        let (_, at) = self.follows.filter(|(by, _)| *by == link)?;
        Some(at)
    }

    fn wait(&mut self, now: Instant) -> Duration {
        let shortest = longer(SHORTEST, self.followed.at(now));
        shortest + self.random.below(shortest * (SPREAD - 1))
    }
}
