//! The FIB as a machine: wanted routes and the standing of links go in, kernel steps come out.
//!
//! # What costs what
//!
//! - A link dies: one `SetGroup` for each group that it carries.
//! - Its session dies with it, and every route over it is asked for anew without that link. Such a
//!   route *parks*: it stays on the group that carries it, because that group leads to the same
//!   place already, and can lead to all others that the route may want. No kernel message.
//! - The interface of a link goes: where a group holds another way on standby, the kernel has taken that one before
//!   anybody hears of it. No message, and no route is lost.
//! - The link returns, its routes are learned again, and each asks for the list of ways that its
//!   group stands for: it unparks. No kernel message. When the last one has, or after [`SETTLE`],
//!   the group moves back: one `SetGroup`. Traffic returns only to a link whose routes are
//!   complete; routes that did not come back are moved off the group one by one first.
//!
//! # Belief
//!
//! The table believes that a step that was handed out has worked. A step that failed, and any
//! change behind our back, asks for an observation ([`Work::Observe`]), which replaces belief by
//! truth; all that differs from what is wanted becomes work again. Start-up is the same: routes
//! and groups of an earlier run are taken over as they stand, and those that nobody has asked for
//! are removed only after [`Table::sweep`].
//!
//! Reading a million routes takes the kernel a second. So they come piece by piece
//! ([`Table::observe_routes`]) while work goes on, and what has had a step meanwhile is believed
//! more than what is read.

mod discards;
mod emit;
mod observe;
mod queue;
mod routes;
mod steer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::rib::{RouteChanges, RouteHop, RouteTo};
use bgp::{Hop, PeerId, Prefix};
use smallvec::SmallVec;

use self::discards::{Discards, Wish};
use self::queue::Queue;
use self::routes::{IDS, Pass, Route, Routes, State};
use super::{
    FIRST_NEXTHOP_ID, Interfaces, Map, OtherChange, Others, Spread, Standby, Step, ViaDefault, Way,
};

/// How long a group waits for the routes of a link that came back.
const SETTLE: Duration = Duration::from_secs(3);
/// Between two full observations when nothing fails.
const RESYNC: Duration = Duration::from_secs(60);
/// How long to wait for more of the same before observing after a change.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// First and longest wait before an observation after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How many times longer than an observation takes it is until the next.
const REST: u32 = 200;
/// Steps handed out at once.
const BATCH: usize = 512;
/// Routes that are touched before they are looked at.
const AHEAD: usize = 64;

/// Hops to a destination, in the order of the decision without links.
pub(crate) type Members = SmallVec<[RouteHop; 2]>;

/// Where the link on an interface stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkStanding {
    Usable {
        /// Lower is better; links that are equally good have the same.
        rank: u32,
        /// Lower is taken where rank and MED tie.
        tiebreak: u32,
        /// 0: one link takes all traffic. From 1 on: links of the best rank share it in these parts.
        weight: u8,
    },
    /// Carries nothing if there is another way.
    Dead,
}

impl LinkStanding {
    /// Whether it has a part of what links share.
    fn shares(self) -> bool {
        match self {
            Self::Usable { weight, .. } => weight > 0,
            Self::Dead => false,
        }
    }
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// Once all steps are done, read the kernel's state and hand it to [`Table::observe`], then
    /// its routes to [`Table::observe_routes`], and then call [`Table::observed_all`].
    Observe,
    /// Apply these in order, and report failures to [`Table::failed`].
    Apply(Vec<Step>),
}

/// Counts for status and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Routes of ours in the kernel.
    pub(crate) routes: usize,
    /// Groups of ours in the kernel.
    pub(crate) groups: usize,
    /// Routes that are not as wanted.
    pub(crate) pending: usize,
}

/// How a route stands in the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Carried {
    /// It leads where it should.
    pub(crate) as_wanted: bool,
    /// It is to discard what it takes.
    pub(crate) discards: bool,
    /// Where it leads.
    pub(crate) ways: Vec<Way>,
    /// The way of each hop that was asked for and has one: a hop on no connected network leads to
    /// the next router toward it.
    pub(crate) resolved: BTreeMap<Hop, Way>,
}

/// The kernel identifier doubles as our name for a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct GroupKey(u32);

struct Group {
    /// Empty for one found in the kernel that no route has claimed yet.
    members: Members,
    /// The ways it leads to in the kernel; empty when it is not there.
    carries: Spread,
    /// The way that the kernel takes when the only one of these goes.
    standby: Option<Way>,
    /// What it is in the kernel, as long as it is there.
    kind: Kind,
    wanted_by: usize,
    carried_by: usize,
    /// Routes that stay on it although they want another.
    parked: usize,
    /// Routes with a step outstanding that takes them off it.
    leavers: usize,
    /// When to stop waiting for these before moving to a better way.
    move_at: Option<Instant>,
    /// It has waited long enough: no route parks until it has moved.
    closing: bool,
}

/// What a group is for; the kernel does not change one into the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Its ways share the traffic.
    Sharing,
    /// One way has it all, and another one may stand by.
    Alone,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Carrier {
    /// Not in the kernel.
    None,
    /// On a group of ours.
    Group(GroupKey),
    /// In the kernel through something else.
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Wanted {
    /// Found in the kernel, left by an earlier run; nobody has said anything about it yet.
    Unasked,
    /// No route.
    Nothing,
    /// To lead where this group leads.
    Group(GroupKey),
}

impl Wanted {
    fn group(self) -> Option<GroupKey> {
        match self {
            Self::Group(key) => Some(key),
            Self::Unasked | Self::Nothing => None,
        }
    }
}

/// How many routes are how.
#[derive(Clone, Copy, Default)]
struct Tally {
    installed: usize,
    dirty: usize,
    parked: usize,
    blocked: usize,
}

/// See the [module](self).
pub(crate) struct Table {
    routes: Routes,
    tally: Tally,
    discards: Discards,
    /// Routes that were dirty when they came here.
    queue: Queue,
    groups: BTreeMap<u32, Group>,
    by_members: Map<Members, GroupKey>,
    dirty_groups: BTreeSet<u32>,
    /// Nexthop objects in the kernel.
    nexthops: BTreeMap<Way, u32>,
    /// By name of interface.
    links: BTreeMap<String, LinkStanding>,
    /// Interfaces of the peers that are reached through a link.
    peers: BTreeMap<PeerId, String>,
    /// Interfaces of the other peers that have a link-local address.
    scopes: BTreeMap<PeerId, String>,
    /// Peers on no link whose hops carry nothing if there is another way.
    dead: BTreeSet<PeerId>,
    interfaces: Interfaces,
    others: Arc<Others>,
    /// As the ways of hops were last found with them.
    known_others: Arc<Others>,
    /// Those that an observation has found so far.
    found_others: Others,
    /// When to find the ways of hops with what has changed.
    resolve_at: Option<Instant>,
    /// The ways of all hops that have one: interface there and up.
    ways: BTreeMap<Hop, Way>,
    kept: Standby,
    next_id: u32,
    swept: bool,
    /// All has been observed at least once.
    is_observed: bool,
    /// Routes are being observed.
    in_pass: bool,
    pass: Pass,
    /// After a change or a failure.
    observe_at: Option<Instant>,
    /// All the same.
    resync_at: Option<Instant>,
    retry: Duration,
}

impl Table {
    /// An empty table, which asks for an observation first.
    pub(crate) fn new(via_default: ViaDefault, kept: Standby, now: Instant) -> Self {
        let others = Arc::new(Others::new(via_default));
        Self {
            routes: Routes::new(),
            tally: Tally::default(),
            discards: Discards::default(),
            queue: Queue::default(),
            groups: BTreeMap::new(),
            by_members: Map::default(),
            dirty_groups: BTreeSet::new(),
            nexthops: BTreeMap::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            scopes: BTreeMap::new(),
            dead: BTreeSet::new(),
            interfaces: Interfaces::default(),
            known_others: Arc::clone(&others),
            found_others: (*others).clone(),
            others,
            resolve_at: None,
            ways: BTreeMap::new(),
            kept,
            next_id: FIRST_NEXTHOP_ID,
            swept: false,
            is_observed: false,
            in_pass: false,
            pass: Pass::Even,
            observe_at: Some(now),
            resync_at: None,
            retry: RETRY.0,
        }
    }

    /// Whether more may be wanted: not while there is enough to do, and not before it is known what
    /// an earlier run has left, which is taken over by the first who asks for it.
    pub(crate) fn has_room(&self) -> bool {
        self.is_observed && self.queue.has_room()
    }

    /// What is wanted from here on for these prefixes.
    pub(crate) fn set_all(&mut self, changes: &RouteChanges) {
        for (prefixes, to) in changes.runs() {
            for some in prefixes.chunks(AHEAD) {
                self.routes.touch(some.iter().copied());
                self.set_to(some, to);
            }
        }
    }

    fn set_to(&mut self, prefixes: &[Prefix], to: &RouteTo) {
        let discard = match to {
            RouteTo::Discard => Wish::Yes,
            RouteTo::Nothing | RouteTo::Hops(_) => Wish::No,
        };
        for prefix in prefixes {
            self.discards.want(*prefix, discard, self.pass);
        }
        self.set(prefixes, to.hops());
    }

    /// For each prefix these ways, or no route when there are none.
    fn set(&mut self, prefixes: &[Prefix], members: &[RouteHop]) {
        let mut common = match members.is_empty() {
            true => Some(Wanted::Nothing),
            false => self.by_members.get(members).copied().map(Wanted::Group),
        };
        for prefix in prefixes {
            let before = self.known(prefix);
            let wanted = *common
                .get_or_insert_with(|| Wanted::Group(self.new_group(before.carried, members)));
            self.place(*prefix, before, Route { wanted, ..before });
        }
    }

    /// Where the links stand, by interface; replaces what was said before.
    pub(crate) fn set_links(&mut self, links: BTreeMap<String, LinkStanding>) {
        self.links = links;
        self.steer_all();
    }

    /// The interfaces of the peers that are reached through a link; replaces what was said before.
    pub(crate) fn set_peers(&mut self, peers: BTreeMap<PeerId, String>) {
        self.peers = peers;
        self.resolve();
    }

    /// The interfaces that link-local nexthops of peers on no link are on; replaces what was said before.
    pub(crate) fn set_scopes(&mut self, scopes: BTreeMap<PeerId, String>) {
        if self.scopes != scopes {
            self.scopes = scopes;
            self.resolve();
        }
    }

    /// The peers on no link that are dead; replaces what was said before.
    pub(crate) fn set_dead(&mut self, peers: BTreeSet<PeerId>) {
        if self.dead != peers {
            self.dead = peers;
            self.steer_all();
        }
    }

    /// The interfaces as they are.
    pub(crate) fn set_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        if self.interfaces != interfaces {
            self.interfaces = interfaces;
            self.resolve();
            // The kernel drops the nexthops of an interface that goes down.
            self.disturbed(now);
        }
    }

    /// A route or nexthop of another changed.
    pub(crate) fn other_changed(&mut self, change: OtherChange, now: Instant) {
        if self.in_pass {
            self.found_others.apply(change.clone());
        }
        Arc::make_mut(&mut self.others).apply(change);
        self.resolve_at.get_or_insert(now + DEBOUNCE);
    }

    /// What the ways of hops that are on no connected network were last found with.
    pub(crate) fn found_with(&self) -> &Arc<Others> {
        &self.known_others
    }

    /// The interfaces as last seen.
    pub(crate) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Something of ours changed behind our back.
    pub(crate) fn disturbed(&mut self, now: Instant) {
        let at = now + DEBOUNCE;
        self.observe_at = Some(self.observe_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// A step did not work, or an observation did not.
    pub(crate) fn failed(&mut self, now: Instant) {
        let at = now + self.retry;
        self.observe_at = Some(self.observe_at.map_or(at, |earlier| earlier.max(at)));
        self.retry = (self.retry * 2).min(RETRY.1);
    }

    /// From here on, routes that nobody has asked for are removed.
    pub(crate) fn sweep(&mut self) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        for (prefix, before) in self.collect(|route| route.wanted == Wanted::Unasked) {
            let wanted = Wanted::Nothing;
            self.place(prefix, before, Route { wanted, ..before });
        }
        self.discards.sweep();
    }

    /// Counts for status and metrics.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            routes: self.tally.installed + self.discards.installed(),
            groups: self
                .groups
                .values()
                .filter(|group| group.is_in_kernel())
                .count(),
            pending: self.tally.dirty + self.tally.blocked + self.discards.dirty().len(),
        }
    }

    /// How `prefix` stands in the kernel; `None` when nobody wants it and it is not there.
    pub(crate) fn route(&self, prefix: &Prefix) -> Option<Carried> {
        let discard = self.discards.get(prefix);
        let route = match self.routes.get(prefix) {
            None if discard.is_none() => return None,
            route => route.unwrap_or_else(|| Route::absent(self.pass)),
        };
        let ways: Vec<Way> = match route.carried {
            Carrier::Group(key) => self.groups.get(&key.0).map(Group::ways).unwrap_or_default(),
            Carrier::None | Carrier::Other => Vec::new(),
        };
        let is_right = matches!(route.state, State::Right | State::Parked);
        let discard = discard.filter(|discard| discard.wanted == Wish::Yes);
        let is_there = discard.map_or(!ways.is_empty(), |discard| discard.is_there);
        let wanted = route.wanted.group();
        let members = wanted.and_then(|key| self.groups.get(&key.0));
        let members = members.into_iter().flat_map(|group| &group.members);
        let resolved =
            members.filter_map(|member| Some((member.hop, *self.ways.get(&member.hop)?)));
        Some(Carried {
            as_wanted: is_right && is_there,
            discards: discard.is_some(),
            resolved: resolved.collect(),
            ways,
        })
    }

    /// When to call [`Table::poll_work`] again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let moves = self.groups.values().filter_map(|group| group.move_at);
        let observe = self.observe_at.into_iter().chain(self.resync_at);
        let reasons = moves.chain(observe.filter(|_| !self.in_pass));
        reasons.chain(self.resolve_at).min()
    }

    /// The next thing to do, if there is one. Groups come first: they move traffic.
    pub(crate) fn poll_work(&mut self, now: Instant) -> Option<Work> {
        let mut steps = Vec::new();
        if self.resolve_at.is_some_and(|at| at <= now) {
            self.resolve();
        }
        self.release_waiting(now);
        self.emit_groups(&mut steps, now);
        if steps.is_empty() {
            let mut reasons = self.observe_at.into_iter().chain(self.resync_at);
            if !self.in_pass && reasons.any(|at| at <= now) {
                (self.observe_at, self.resync_at) = (None, None);
                return Some(Work::Observe);
            }
            self.emit_discards(&mut steps);
            self.emit_routes(&mut steps);
            self.emit_discards_gone(&mut steps);
        }
        if steps.is_empty() {
            self.emit_garbage(&mut steps);
        }
        (!steps.is_empty()).then_some(Work::Apply(steps))
    }

    fn known(&self, prefix: &Prefix) -> Route {
        let known = self.routes.get(prefix);
        known.unwrap_or_else(|| Route::absent(self.pass))
    }

    /// A group for a list that has none: an unclaimed one that carries a route to these already, or a new one.
    fn new_group(&mut self, carried: Carrier, members: &[RouteHop]) -> GroupKey {
        let unclaimed = match carried {
            Carrier::Group(key) => Some(key).filter(|key| self.is_claimable(*key, members)),
            Carrier::None | Carrier::Other => None,
        };
        let key = unclaimed.unwrap_or_else(|| GroupKey(self.fresh_id()));
        for member in members {
            if let Some(way) = self.way(&member.hop) {
                self.ways.insert(member.hop, way);
            }
        }
        self.groups
            .entry(key.0)
            .or_insert_with(Group::unclaimed)
            .members = members.into();
        self.by_members.insert(members.into(), key);
        self.dirty_groups.insert(key.0);
        key
    }

    /// Whether a group of an earlier run, which nobody has claimed, leads where `members` do.
    fn is_claimable(&self, key: GroupKey, members: &[RouteHop]) -> bool {
        let ways = || members.iter().filter_map(|member| self.way(&member.hop));
        self.groups.get(&key.0).is_some_and(|group| {
            let mut carries = group.carries.iter();
            group.members.is_empty()
                && group.is_in_kernel()
                && (group.kind == Kind::Sharing || self.kind_for(members) == Kind::Alone)
                && carries.all(|(carried, _)| ways().any(|way| way == *carried))
        })
    }

    /// A number that none of our objects has.
    fn fresh_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            self.next_id = match id - FIRST_NEXTHOP_ID + 1 {
                IDS => FIRST_NEXTHOP_ID,
                next => FIRST_NEXTHOP_ID + next,
            };
            if !self.groups.contains_key(&id) && !self.nexthops.values().any(|used| *used == id) {
                return id;
            }
        }
    }

    /// Remembers a route, and decides whether it is right as it stands, parks, or needs a step.
    fn place(&mut self, prefix: Prefix, before: Route, mut after: Route) {
        after.state = self.state(after.wanted, after.carried);
        if after.state == State::Dirty && !after.is_queued {
            after.is_queued = true;
            self.queue.push(prefix);
        }
        self.remember(prefix, before, after);
    }

    fn state(&self, wanted: Wanted, carried: Carrier) -> State {
        match (wanted, carried) {
            (Wanted::Unasked, _) | (Wanted::Nothing, Carrier::None) => State::Right,
            (Wanted::Group(wanted), Carrier::Group(carrier)) => {
                if wanted == carrier {
                    State::Right
                } else if self.may_park(wanted, carrier) {
                    State::Parked
                } else {
                    State::Dirty
                }
            }
            (Wanted::Nothing, _) | (Wanted::Group(_), Carrier::None | Carrier::Other) => {
                State::Dirty
            }
        }
    }

    fn remember(&mut self, prefix: Prefix, before: Route, after: Route) {
        if before == after {
            return;
        }
        self.routes.put(&prefix, &after);
        let counted = |route: Route| (route.wanted, route.carried, route.state);
        if counted(before) != counted(after) {
            self.count(&after, 1);
            self.count(&before, -1);
        }
    }

    fn count(&mut self, route: &Route, by: isize) {
        let add = |count: &mut usize| *count = count.saturating_add_signed(by);
        match route.state {
            State::Right => {}
            State::Dirty => add(&mut self.tally.dirty),
            State::Parked => add(&mut self.tally.parked),
            State::Blocked => add(&mut self.tally.blocked),
        }
        if route.carried != Carrier::None {
            add(&mut self.tally.installed);
        }
        let wanted = route.wanted.group();
        if let Some(group) = wanted.and_then(|key| self.groups.get_mut(&key.0)) {
            add(&mut group.wanted_by);
        }
        if let Carrier::Group(key) = route.carried
            && let Some(group) = self.groups.get_mut(&key.0)
        {
            add(&mut group.carried_by);
            if route.state == State::Parked {
                add(&mut group.parked);
            } else if route.state == State::Dirty && wanted != Some(key) {
                add(&mut group.leavers);
            }
        }
    }

    /// Looks again at every route that is in `state`.
    fn review(&mut self, state: State, count: usize) {
        if count == 0 {
            return;
        }
        // Few pairs of groups, many routes.
        let mut verdicts: Map<(Wanted, Carrier), State> = Map::default();
        let changed = self.collect(|route| {
            route.state == state && {
                let pair = (route.wanted, route.carried);
                let verdict = verdicts.entry(pair);
                *verdict.or_insert_with(|| self.state(pair.0, pair.1)) != state
            }
        });
        for (prefix, route) in changed {
            self.place(prefix, route, route);
        }
    }

    /// The routes that `is_sought` says yes to, in the order of their prefixes.
    fn collect(&self, mut is_sought: impl FnMut(&Route) -> bool) -> Vec<(Prefix, Route)> {
        let all = self.routes.iter();
        let mut found: Vec<_> = all.filter(|(_, route)| is_sought(route)).collect();
        found.sort_unstable_by_key(|(prefix, _)| *prefix);
        found
    }
}

impl Group {
    fn unclaimed() -> Self {
        Self {
            members: Members::new(),
            carries: Spread::new(),
            standby: None,
            kind: Kind::Sharing,
            wanted_by: 0,
            carried_by: 0,
            parked: 0,
            leavers: 0,
            move_at: None,
            closing: false,
        }
    }

    fn is_in_kernel(&self) -> bool {
        !self.carries.is_empty()
    }

    fn ways(&self) -> Vec<Way> {
        self.carries.iter().map(|(way, _)| *way).collect()
    }
}
