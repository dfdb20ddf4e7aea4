//! Which of several links carries the traffic, without flapping.
//!
//! Links are ordered by state (up, degraded, down), then priority, then id; the link in use comes
//! first among the usable ones whatever the order says, until one of these happens:
//!
//! - it is down or no longer a member: the best usable link takes over at once;
//! - it is degraded, and another link has been up, and not been left, for `hold_down`: that one takes
//!   over at once;
//! - another link is better by state or priority and has been so, without a break, for `hold_down`.
//!
//! So a link that is left for another one is not returned to within `hold_down`, unless nothing else
//! is alive. A mere difference of ids is no reason to move.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::health::State;

/// A link, by the number its owner gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// A link's place in the order of preference, 0 first; `None`: not usable.
pub type Rank = Option<u32>;

/// How a group chooses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// By what.
    pub policy: Policy,
    /// How long a link that has been degraded, dead or left must have been better before traffic moves to it from
    /// a usable one.
    pub hold_down: Duration,
}

/// By what links are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// By [`Member::priority`].
    Priority,
}

/// A link of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Which.
    pub link: LinkId,
    /// Lower is preferred.
    pub priority: u32,
}

/// The only way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupInput {
    /// The state of a link; one that is no member is ignored.
    Link {
        /// Which.
        link: LinkId,
        /// As its health says.
        state: State,
    },
    /// Another configuration. Members that stay keep their state; added ones are down until told.
    Reconfigure(GroupConfig, Vec<Member>),
    /// A deadline may have passed.
    Timeout,
}

/// What the group decided, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupOutput {
    /// The ranks of all members, best first. Given whenever they change, and once at the start.
    Ranks(Vec<(LinkId, Rank)>),
    /// Traffic moves. Follows the ranks that make it so.
    Moved {
        /// The link left; `None` if there was none.
        from: Option<LinkId>,
        /// The link taken; `None` if none is usable.
        to: Option<LinkId>,
        /// Why.
        reason: MoveReason,
    },
}

/// Why traffic moved. Displayed in words fit for a metric label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MoveReason {
    /// There was no usable link, and then there was.
    FirstUsable,
    /// The link in use is down.
    Down,
    /// The link in use is degraded.
    Degraded,
    /// Another link has been better for long enough.
    Better,
    /// The link in use is no longer a member.
    Removed,
}

impl fmt::Display for MoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstUsable => "first_usable",
            Self::Down => "down",
            Self::Degraded => "degraded",
            Self::Better => "better",
            Self::Removed => "removed",
        })
    }
}

#[derive(Clone, Debug)]
struct Link {
    id: LinkId,
    priority: u32,
    state: State,
    state_since: Instant,
    /// Since when it has been better than the active link, without a break.
    better_since: Option<Instant>,
    /// When traffic last moved away from it.
    left_at: Option<Instant>,
    record: Record,
}

/// Whether a link has ever given cause to leave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Record {
    /// Up, and nothing else, since it first was usable.
    Clean,
    /// It has been degraded, or dead after having been usable, or traffic was moved away from it.
    Blemished,
}

impl Link {
    /// Less is better. Two links that differ only in id are equally good.
    fn merit(&self) -> (State, u32) {
        (self.state, self.priority)
    }

    fn is_usable(&self) -> bool {
        self.state != State::Down
    }
}

/// The links to one remote site.
///
/// The driver: `handle`, then `poll_output` until it gives `None`, then wait for the next input or
/// [`Group::poll_timeout`].
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    /// In order of id.
    links: Vec<Link>,
    active: Option<LinkId>,
    ranking: Vec<(LinkId, Rank)>,
    outputs: VecDeque<GroupOutput>,
}

impl Group {
    /// All members are down until told. Of members with the same link the first counts.
    pub fn new(config: GroupConfig, members: Vec<Member>, now: Instant) -> Self {
        let mut group = Self {
            config,
            links: Vec::new(),
            active: None,
            ranking: Vec::new(),
            outputs: VecDeque::new(),
        };
        group.adopt(members, now);
        group.rank();
        group
    }

    /// The only way in.
    pub fn handle(&mut self, input: GroupInput, now: Instant) {
        match input {
            GroupInput::Link { link, state } => self.on_link(link, state, now),
            GroupInput::Reconfigure(config, members) => {
                self.config = config;
                self.adopt(members, now);
            }
            GroupInput::Timeout => {}
        }
        self.compare(now);
        let moved = self.choose(now);
        self.rank();
        self.outputs.extend(moved);
    }

    /// What was decided since the last call.
    pub fn poll_output(&mut self) -> Option<GroupOutput> {
        self.outputs.pop_front()
    }

    /// When [`GroupInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.active()?;
        let active = self.links.iter().find(|link| link.id == active)?;
        self.links
            .iter()
            .filter_map(|link| self.may_take_over_at(link, active))
            .min()
    }

    /// All members with their ranks, best first.
    pub fn ranking(&self) -> &[(LinkId, Rank)] {
        &self.ranking
    }

    /// The link in use: the first of the ranking, if usable.
    pub fn active(&self) -> Option<LinkId> {
        self.active
    }

    fn on_link(&mut self, id: LinkId, state: State, now: Instant) {
        let changed = self
            .links
            .iter_mut()
            .find(|link| link.id == id && link.state != state);
        if let Some(link) = changed {
            if link.is_usable() || state == State::Degraded {
                link.record = Record::Blemished;
            }
            link.state = state;
            link.state_since = now;
        }
    }

    fn adopt(&mut self, members: Vec<Member>, now: Instant) {
        let mut links: Vec<Link> = Vec::with_capacity(members.len());
        for Member { link: id, priority } in members {
            let known = self.links.iter().find(|link| link.id == id).cloned();
            let unknown = Link {
                id,
                priority,
                state: State::Down,
                state_since: now,
                better_since: None,
                left_at: None,
                record: Record::Clean,
            };
            links.push(Link {
                priority,
                ..known.unwrap_or(unknown)
            });
        }
        links.sort_by_key(|link| link.id);
        links.dedup_by_key(|link| link.id);
        self.links = links;
    }

    fn active_link(&self) -> Option<&Link> {
        let active = self.active?;
        self.links.iter().find(|link| link.id == active)
    }

    /// Notes which links are better than the active one, and which of them no longer are.
    fn compare(&mut self, now: Instant) {
        let Some(merit) = self.active_link().map(Link::merit) else {
            return;
        };
        for link in &mut self.links {
            let better = link.is_usable() && link.merit() < merit;
            link.better_since = better.then(|| link.better_since.unwrap_or(now));
        }
    }

    /// When `link` may take over from a usable `active`; `None` if it is no better.
    fn may_take_over_at(&self, link: &Link, active: &Link) -> Option<Instant> {
        let better_since = link.better_since?;
        if link.record == Record::Clean {
            // Nothing speaks against it: at a start, the best link need not be the first to answer.
            return Some(better_since);
        }
        let since = match (active.state, link.state) {
            (State::Degraded, State::Up) => link.left_at.max(Some(link.state_since))?,
            _ => better_since,
        };
        since.checked_add(self.config.hold_down)
    }

    /// Moves if there is cause to.
    fn choose(&mut self, now: Instant) -> Option<GroupOutput> {
        let (to, reason) = match self.active_link() {
            Some(active) if active.is_usable() => {
                let due = |link: &&Link| {
                    self.may_take_over_at(link, active)
                        .is_some_and(|at| at <= now)
                };
                let next = self
                    .links
                    .iter()
                    .filter(due)
                    .min_by_key(|link| (link.merit(), link.id));
                let degraded = active.state == State::Degraded;
                let reason = if degraded {
                    MoveReason::Degraded
                } else {
                    MoveReason::Better
                };
                (Some(next?.id), reason)
            }
            Some(_) => (self.best(), MoveReason::Down),
            None if self.active.is_some() => (self.best(), MoveReason::Removed),
            None => (self.best(), MoveReason::FirstUsable),
        };
        let from = self.active;
        if from == to {
            return None;
        }
        self.active = to;
        for link in &mut self.links {
            link.better_since = None;
            if from == Some(link.id) {
                link.left_at = Some(now);
                link.record = Record::Blemished;
            }
        }
        self.compare(now);
        Some(GroupOutput::Moved { from, to, reason })
    }

    fn best(&self) -> Option<LinkId> {
        let usable = self.links.iter().filter(|link| link.is_usable());
        usable
            .min_by_key(|link| (link.merit(), link.id))
            .map(|link| link.id)
    }

    fn rank(&mut self) {
        let mut order: Vec<&Link> = self.links.iter().collect();
        order.sort_by_key(|link| {
            let first = self.active == Some(link.id) && link.is_usable();
            (!link.is_usable(), !first, link.merit(), link.id)
        });
        let ranking = (0..)
            .zip(order)
            .map(|(at, link)| (link.id, link.is_usable().then_some(at)));
        let ranking: Vec<_> = ranking.collect();
        if ranking != self.ranking {
            self.ranking.clone_from(&ranking);
            self.outputs.push_back(GroupOutput::Ranks(ranking));
        }
    }
}

#[cfg(test)]
mod tests;
