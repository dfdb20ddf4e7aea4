//! Which of several links carries the traffic, without flapping.
//!
//! # Ranks
//!
//! Links are ordered by *credit*, which is their state as far as it is believed (up, degraded, draining),
//! and within it by the figure of the [`Policy`]. Links that are equally good have equal ranks:
//! between them the far side's MED decides, and where that ties, the link in use stays. So the active
//! link is left only for one of a better rank, or to go after the traffic where the far side's wishes
//! have taken most of it to a link of the same rank.
//!
//! # What moves traffic
//!
//! - A link that gets worse is believed at once. One that is down, degraded or draining is left for the
//!   best of those whose credit is better.
//! - A link that gets better is believed after `hold_down` without a break; one that has never fallen,
//!   at once. Each further fall doubles the wait, up to [`LONGEST`]; each [`FORGET`] without one
//!   halves it again.
//! - A measured figure (RTT, loss) has to be better than another by the policy's margin, for
//!   `hold_down` without a break. The link that was left for a better one counts that as a fall.
//!   In the first [`START`] with a usable link the figures count at once: after a start, the best link
//!   need not be the first to answer.
//!
//! A link on its way back to credit is used all the same when there is nothing else.

mod drawn;
mod falls;
mod leads;
mod policy;
mod reason;
mod view;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::health::{HealthChange, Reason, State};
use drawn::Drawn;
use falls::Falls;
use leads::{Lead, Leads};

pub use policy::{Figure, Figures, Member, Policy, RttMargin};
pub use reason::{MoveReason, Why};
pub use view::View;

/// The longest that a link with many falls has to wait, where `hold_down` is not longer.
pub const LONGEST: Duration = Duration::from_secs(600);
/// In this time half of a link's falls are forgotten.
pub const FORGET: Duration = Duration::from_secs(600);
/// After the first link became usable, measured figures count at once for so long.
pub const START: Duration = Duration::from_secs(5);
/// Falls beyond this many make the wait no longer.
const MAX_FALLS: u32 = 16;

/// A link, by the number its owner gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// A link's place in the order of preference, 0 first, the same for links that are equally good;
/// `None`: not usable.
pub type Rank = Option<u32>;

/// How a group chooses.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupConfig {
    /// By what.
    pub policy: Policy,
    /// How long a link must have been better before traffic moves to it from a usable one.
    pub hold_down: Duration,
}

/// The only way in.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupInput {
    /// The state of a link; one that is no member is ignored.
    Link {
        /// Which.
        link: LinkId,
        /// As its health says.
        change: HealthChange,
    },
    /// What is measured of a link, once a second or so.
    Figures {
        /// Which.
        link: LinkId,
        /// Replaces what was said before.
        figures: Figures,
    },
    /// Over which of several equally good links most of the routes lead that they have in common;
    /// `None` if no link has so many, or there is no such choice. Replaces what was said before.
    Drawn(Option<LinkId>),
    /// Another configuration. Members that stay keep their state; added ones are down until told.
    Reconfigure(GroupConfig, Vec<Member>),
    /// A deadline may have passed.
    Timeout,
}

/// What the group decided, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupOutput {
    /// All members, best first. Given whenever something of it changes, and once at the start.
    Ranks(Vec<Standing>),
    /// Traffic moves. Follows the ranks that make it so.
    Moved {
        /// The links that carried it; empty if there were none.
        from: Vec<LinkId>,
        /// The links that carry it; empty if none is usable.
        to: Vec<LinkId>,
        /// Why.
        reason: MoveReason,
    },
}

/// Where a link stands in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which link.
    pub link: LinkId,
    /// Among the others.
    pub rank: Rank,
    /// Lower is taken where ranks tie and nothing else decides; no two members have the same.
    pub tiebreak: u32,
    /// Its part of the traffic that is shared among links of the lowest rank; 0: nothing is shared.
    pub weight: u8,
}

#[derive(Clone, Debug)]
struct Link {
    member: Member,
    state: State,
    reason: Reason,
    since: Instant,
    /// Its state as far as it is believed. [`State::Down`] of a usable link: on its way back.
    credit: State,
    figures: Figures,
    falls: Falls,
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
    /// By place in `links`; only with policies whose figures are measured.
    leads: Leads,
    drawn: Drawn,
    /// When a link was usable for the first time.
    started: Option<Instant>,
    /// In order of preference; several only with [`Policy::Balance`].
    active: Vec<LinkId>,
    ranking: Vec<Standing>,
    outputs: VecDeque<GroupOutput>,
}

impl Link {
    fn new(member: Member, now: Instant) -> Self {
        Self {
            member,
            state: State::Down,
            reason: Reason::NotMeasured,
            since: now,
            credit: State::Down,
            figures: Figures::default(),
            falls: Falls::none(now),
        }
    }

    fn is_usable(&self) -> bool {
        self.state != State::Down
    }

    /// Less is better, before any figure. A link without credit is good for a last resort only, the
    /// better its state the sooner.
    fn class(&self) -> (State, State) {
        let state = match self.credit {
            State::Down => self.state,
            State::Up | State::Degraded | State::Draining => self.credit,
        };
        (self.credit, state)
    }

    /// What breaks a tie that nothing else does.
    fn preference(&self) -> (u32, LinkId) {
        (self.member.priority, self.member.link)
    }

    /// How long a better state has to last.
    fn wait(&self, hold_down: Duration) -> Duration {
        match self.falls.at(self.since) {
            // However long ago: it has not been seen well since.
            0 if self.falls.has_any() => hold_down,
            0 => Duration::ZERO,
            falls => longer(hold_down, falls - 1),
        }
    }

    /// When its state is believed; `None` if it is.
    fn credited_at(&self, hold_down: Duration) -> Option<Instant> {
        let is_due = self.is_usable() && self.state < self.credit;
        is_due.then(|| self.since + self.wait(hold_down))
    }
}

/// `hold_down` doubled so many times.
fn longer(hold_down: Duration, doublings: u32) -> Duration {
    let doubled = hold_down.saturating_mul(1 << doublings.min(MAX_FALLS));
    doubled.min(LONGEST.max(hold_down))
}

impl Group {
    /// All members are down until told. Of members with the same link the first counts.
    ///
    /// - `seed`: another for each router and group, so that two routers do not follow each other in step
    pub fn new(config: GroupConfig, members: Vec<Member>, seed: u64, now: Instant) -> Self {
        let mut group = Self {
            config,
            links: Vec::new(),
            leads: Leads::default(),
            drawn: Drawn::new(seed, now),
            started: None,
            active: Vec::new(),
            ranking: Vec::new(),
            outputs: VecDeque::new(),
        };
        group.adopt(members, now);
        group.rank();
        group
    }

    /// The only way in.
    pub fn handle(&mut self, input: GroupInput, now: Instant) {
        let mut trigger = Trigger::Links;
        match input {
            GroupInput::Link { link, change } => self.on_link(link, change, now),
            GroupInput::Figures { link, figures } => self.on_figures(link, figures, now),
            GroupInput::Drawn(link) => self.drawn.hear(link),
            GroupInput::Reconfigure(config, members) => {
                trigger = Trigger::Configuration;
                self.reconfigure(config, members, now);
            }
            GroupInput::Timeout => {}
        }
        self.believe(now);
        let moved = self.choose(trigger, now);
        self.rank();
        self.outputs.extend(moved);
    }

    /// What was decided since the last call.
    pub fn poll_output(&mut self) -> Option<GroupOutput> {
        self.outputs.pop_front()
    }

    /// Whether [`Group::poll_output`] has something.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// When [`GroupInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hold_down = self.config.hold_down;
        let credits = self.links.iter().filter_map(|it| it.credited_at(hold_down));
        let leads = self.leads.iter();
        let leads = leads.filter_map(|lead| lead.counts_at(hold_down));
        let drawn = self.drawn.poll_timeout();
        credits.chain(leads).chain(drawn).min()
    }

    /// All members, best first.
    pub fn ranking(&self) -> &[Standing] {
        &self.ranking
    }

    /// The links that carry traffic, in order of preference; several only with [`Policy::Balance`].
    /// Which of equal rank a single destination is reached over, its MED decides.
    pub fn active(&self) -> &[LinkId] {
        &self.active
    }

    /// How many links besides this one can carry traffic.
    pub fn others(&self, id: LinkId) -> usize {
        let others = self.links.iter().filter(|it| it.member.link != id);
        others.filter(|it| it.is_usable()).count()
    }

    /// Its place in `links`.
    fn place(&self, id: LinkId) -> Option<usize> {
        let places = &self.links;
        places.binary_search_by_key(&id, |it| it.member.link).ok()
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(self.place(id)?)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let place = self.place(id)?;
        self.links.get_mut(place)
    }

    fn on_link(&mut self, id: LinkId, change: HealthChange, now: Instant) {
        let Some(place) = self.place(id) else {
            return;
        };
        let link = &mut self.links[place];
        link.reason = change.reason;
        if link.state == change.state {
            return;
        }
        let was = std::mem::replace(&mut link.state, change.state);
        link.since = now;
        if was == State::Draining && link.is_usable() && link.credit == State::Draining {
            // It was usable all along.
            link.credit = link.state;
        }
        if link.state > link.credit {
            link.credit = link.state;
            if link.state != State::Draining {
                link.falls.add(now);
            }
        }
        if link.is_usable() {
            self.started.get_or_insert(now);
        } else {
            link.figures = Figures::default();
            self.leads.forget(place);
        }
    }

    fn on_figures(&mut self, id: LinkId, figures: Figures, now: Instant) {
        let Some(place) = self.place(id) else {
            return;
        };
        let link = &mut self.links[place];
        if !link.is_usable() {
            return;
        }
        link.figures = figures;
        if self.config.policy.is_measured() {
            for other in (0..self.links.len()).filter(|other| *other != place) {
                self.compare(place, other, now);
                self.compare(other, place, now);
            }
        }
    }

    /// Looks whether the link at place `a` is better than that at `b`.
    fn compare(&mut self, a: usize, b: usize, now: Instant) {
        let policy = self.config.policy;
        let known = self.leads.get(a, b);
        let counts = known.is_some_and(|lead| lead.counts);
        let figures = self.figure(&self.links[a]).zip(self.figure(&self.links[b]));
        let error = self.links[b].figures.loss_error;
        let is_better = match figures {
            Some((a, b)) if counts => policy.is_less(a, b),
            Some((a, b)) => policy.is_clearly_less(a, b, error),
            None => false,
        };
        if !is_better {
            self.leads.set(a, b, None);
        } else if known.is_none() {
            let lead = Lead {
                since: now,
                falls: self.links[a].falls.at(now),
                counts: self.started.is_some_and(|at| now < at + START),
            };
            self.leads.set(a, b, Some(lead));
        }
    }

    fn figure(&self, link: &Link) -> Option<Figure> {
        self.config.policy.figure(&link.member, &link.figures)
    }

    fn reconfigure(&mut self, config: GroupConfig, members: Vec<Member>, now: Instant) {
        if self.config.policy != config.policy {
            self.leads.clear();
        }
        self.config = config;
        self.adopt(members, now);
    }

    fn adopt(&mut self, members: Vec<Member>, now: Instant) {
        let mut links: Vec<Link> = Vec::with_capacity(members.len());
        for member in members {
            let known = self.link(member.link).cloned();
            let link = known.unwrap_or_else(|| Link::new(member, now));
            links.push(Link { member, ..link });
        }
        links.sort_by_key(|link| link.member.link);
        links.dedup_by_key(|link| link.member.link);
        let was = |link: &Link| self.place(link.member.link);
        self.leads = self.leads.moved(links.iter().map(was).collect());
        self.links = links;
    }

    /// Credits what has lasted for long enough.
    fn believe(&mut self, now: Instant) {
        let hold_down = self.config.hold_down;
        for link in &mut self.links {
            if link.credited_at(hold_down).is_some_and(|at| at <= now) {
                link.credit = link.state;
            }
        }
        for lead in self.leads.iter_mut() {
            lead.counts |= lead.counts_at(hold_down).is_none_or(|at| at <= now);
        }
    }

    /// Whether the policy prefers the link at place `a` to that at `b`, of two of one class.
    fn beats(&self, a: usize, b: usize) -> bool {
        let policy = self.config.policy;
        if policy.is_measured() {
            return self.leads.get(a, b).is_some_and(|lead| lead.counts);
        }
        let figures = self.figure(&self.links[a]).zip(self.figure(&self.links[b]));
        figures.is_some_and(|(a, b)| policy.is_less(a, b))
    }

    /// The places of usable links, the best first, each with the rank that it shares with those that
    /// are as good: of one class, those that none of the rest beats.
    fn ranked(&self) -> Vec<(u32, usize)> {
        let places = 0..self.links.len();
        let mut rest: Vec<usize> = places.filter(|at| self.links[*at].is_usable()).collect();
        rest.sort_by_key(|at| (self.links[*at].class(), self.links[*at].preference()));
        let mut ranked = Vec::with_capacity(rest.len());
        let mut rank = 0;
        while let Some(first) = rest.first() {
            let class = self.links[*first].class();
            let end = rest.partition_point(|at| self.links[*at].class() == class);
            let rivals = &rest[..end];
            let is_beaten = |at: &usize| rivals.iter().any(|other| self.beats(*other, *at));
            let mut best: Vec<usize> = rivals.iter().copied().filter(|at| !is_beaten(at)).collect();
            if best.is_empty() {
                // Leads that began at different times may go round in a circle.
                best = rivals.to_vec();
            }
            rest.retain(|at| !best.contains(at));
            ranked.extend(best.into_iter().map(|at| (rank, at)));
            rank += 1;
        }
        ranked
    }

    /// Moves if there is cause to.
    fn choose(&mut self, trigger: Trigger, now: Instant) -> Option<GroupOutput> {
        let ranked = self.ranked();
        let best = ranked.iter().filter(|(rank, _)| *rank == 0);
        let best: Vec<LinkId> = best.map(|(_, at)| self.links[*at].member.link).collect();
        let stays = best.iter().find(|id| self.active.contains(id)).copied();
        let shares = self.config.policy == Policy::Balance;
        let drawn = self.drawn.due(&best, stays.filter(|_| !shares), now);
        let to: Vec<LinkId> = if shares {
            best
        } else {
            let one = drawn.or(stays).or_else(|| self.nicest(&best).copied());
            one.into_iter().collect()
        };
        if to == self.active {
            return None;
        }
        let from = std::mem::replace(&mut self.active, to.clone());
        // What carries traffic for want of anything else has nothing to prove to the others.
        for id in &to {
            if let Some(link) = self.link_mut(*id)
                && link.credit == State::Down
            {
                link.credit = link.state;
            }
        }
        let is_same = |one: &[LinkId], other: &[LinkId]| {
            one.len() == other.len() && one.iter().all(|id| other.contains(id))
        };
        if is_same(&from, &to) {
            return None;
        }
        let reason = match drawn {
            Some(_) => MoveReason::Drawn,
            None => self.reason(&from, &to, trigger, now),
        };
        if let MoveReason::Better { .. } = reason
            && self.config.policy.is_measured()
        {
            for id in from.iter().filter(|id| !to.contains(id)) {
                if let Some(link) = self.link_mut(*id) {
                    link.falls.add(now);
                }
            }
        }
        Some(GroupOutput::Moved { from, to, reason })
    }

    /// The one with the best figure, margin or not, of some that are equally good.
    fn nicest<'a>(&self, of: &'a [LinkId]) -> Option<&'a LinkId> {
        let figure = |id: &LinkId| self.link(*id).and_then(|link| self.figure(link));
        of.iter()
            .reduce(|best, id| match (figure(id), figure(best)) {
                (Some(a), Some(b)) if self.config.policy.is_less(a, b) => id,
                (Some(_), None) => id,
                _ => best,
            })
    }

    fn reason(&self, from: &[LinkId], to: &[LinkId], trigger: Trigger, now: Instant) -> MoveReason {
        if from.is_empty() {
            return MoveReason::FirstUsable;
        }
        let taken = to.iter().find(|id| !from.contains(id));
        let taken = taken.and_then(|id| self.link(*id));
        let lasted = |link: &Link| now.saturating_duration_since(link.since);
        let Some(left) = from.iter().find(|id| !to.contains(id)) else {
            let lasted = taken.map(lasted).unwrap_or_default();
            return MoveReason::Joined { lasted };
        };
        let Some(left) = self.link(*left) else {
            return MoveReason::Removed;
        };
        let Some(taken) = taken.or_else(|| to.first().and_then(|id| self.link(*id))) else {
            return MoveReason::Down(left.reason);
        };
        match left.credit {
            State::Down => MoveReason::Down(left.reason),
            _ if trigger == Trigger::Configuration => MoveReason::Reconfigured,
            _ if taken.credit == left.credit => self.better(taken, left, now),
            State::Draining => MoveReason::Draining,
            State::Degraded => MoveReason::Degraded(left.reason),
            State::Up => MoveReason::Recovered {
                state: taken.credit,
                against: left.credit,
                lasted: lasted(taken),
            },
        }
    }

    fn better(&self, taken: &Link, left: &Link, now: Instant) -> MoveReason {
        let lead = self.lead(taken, left);
        let since = lead.map_or(taken.since, |lead| lead.since);
        let lasted = now.saturating_duration_since(since);
        match (self.figure(taken), self.figure(left)) {
            (Some(figure), Some(against)) => MoveReason::Better {
                figure,
                against,
                lasted,
            },
            _ => MoveReason::Recovered {
                state: taken.state,
                against: left.state,
                lasted,
            },
        }
    }

    /// The one of `a` over `b`.
    fn lead(&self, a: &Link, b: &Link) -> Option<Lead> {
        let (a, b) = (self.place(a.member.link)?, self.place(b.member.link)?);
        self.leads.get(a, b)
    }

    fn rank(&mut self) {
        let shares = self.config.policy == Policy::Balance;
        let standing = |rank: Rank, link: &Link, tiebreak| Standing {
            link: link.member.link,
            rank,
            tiebreak,
            weight: if shares { link.member.weight.max(1) } else { 0 },
        };
        let mut order: Vec<&Link> = self.links.iter().collect();
        order.sort_by_key(|link| link.preference());
        let tiebreak = |link: &Link| {
            // Only the link in use changes places, so that few hear of a move.
            let place = order
                .iter()
                .position(|it| it.member.link == link.member.link);
            let is_in_use = !shares && self.active.first() == Some(&link.member.link);
            match is_in_use {
                true => 0,
                false => u32::try_from(place.unwrap_or_default() + 1).unwrap_or(u32::MAX),
            }
        };
        let usable = self.ranked().into_iter();
        let usable = usable.map(|(rank, at)| {
            let link = &self.links[at];
            standing(Some(rank), link, tiebreak(link))
        });
        let down = order.iter().filter(|link| !link.is_usable());
        let down = down.map(|link| standing(None, link, tiebreak(link)));
        let mut ranking: Vec<Standing> = usable.chain(down).collect();
        ranking.sort_by_key(|it| (it.rank.is_none(), it.rank, it.tiebreak));
        if ranking != self.ranking {
            self.ranking.clone_from(&ranking);
            self.outputs.push_back(GroupOutput::Ranks(ranking));
        }
    }
}

/// What made the group look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    Links,
    Configuration,
}

#[cfg(test)]
mod tests;
