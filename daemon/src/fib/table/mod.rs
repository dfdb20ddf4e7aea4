//! The FIB as a machine: wanted routes and the standing of links go in, kernel steps come out.
//!
//! # What costs what
//!
//! - A link dies: one `SetGroup` for each group that it carries.
//! - Its session dies with it, and every route over it is asked for anew without that link. Such a
//!   route *parks*: it stays on the group that carries it, because that group leads to the same
//!   place already, and can lead to all others that the route may want. No kernel message.
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

mod emit;
mod observe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bgp::rib::RouteHop;
use bgp::{Hop, PeerId, Prefix};
use smallvec::SmallVec;

use super::{FIRST_NEXTHOP_ID, Interfaces, Map, Step, Way};

/// How long a group waits for the routes of a link that came back.
const SETTLE: Duration = Duration::from_secs(3);
/// Between two full observations when nothing fails.
const RESYNC: Duration = Duration::from_secs(60);
/// How long to wait for more of the same before observing after a change.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// First and longest wait before an observation after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// Route steps handed out at once.
const BATCH: usize = 1024;

/// Hops to a destination, in the order of the decision without links.
pub(crate) type Members = SmallVec<[RouteHop; 2]>;

/// Where the link on an interface stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkStanding {
    /// Lower is better.
    Usable { rank: u32 },
    /// Carries nothing if there is another way.
    Dead,
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// Read the kernel's state and hand it to [`Table::observe`].
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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct GroupKey(u32);

/// The kernel identifier doubles as our name for a group.
struct Group {
    /// Empty for one found in the kernel that no route has claimed yet.
    members: Members,
    /// The way it leads to in the kernel; `None` when it is not there.
    carries: Option<Way>,
    wanted_by: usize,
    carried_by: usize,
    /// Routes that stay on it although they want another.
    parked: BTreeSet<Prefix>,
    /// When to stop waiting for parked routes before moving to a better way.
    move_at: Option<Instant>,
    /// It has waited long enough: no route parks until it has moved.
    closing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Carrier {
    /// Not in the kernel.
    None,
    /// On a group of ours.
    Group(GroupKey),
    /// In the kernel through something else.
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

struct Route {
    wanted: Wanted,
    carried: Carrier,
}

/// See the [module](self).
pub(crate) struct Table {
    routes: Map<Prefix, Route>,
    dirty_routes: BTreeSet<Prefix>,
    groups: BTreeMap<u32, Group>,
    by_members: Map<Members, GroupKey>,
    dirty_groups: BTreeSet<u32>,
    /// Nexthop objects in the kernel.
    nexthops: BTreeMap<Way, u32>,
    /// By name of interface.
    links: BTreeMap<String, LinkStanding>,
    /// Interfaces of the peers that are reached through a link.
    peers: BTreeMap<PeerId, String>,
    interfaces: Interfaces,
    /// The ways of all hops that have one: interface there and up.
    ways: BTreeMap<Hop, Way>,
    /// Routes that cannot be given to the kernel until an interface changes.
    blocked: BTreeSet<Prefix>,
    next_id: u32,
    installed: usize,
    swept: bool,
    observe_at: Option<Instant>,
    retry: Duration,
}

impl Table {
    /// An empty table, which asks for an observation first.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            routes: Map::default(),
            dirty_routes: BTreeSet::new(),
            groups: BTreeMap::new(),
            by_members: Map::default(),
            dirty_groups: BTreeSet::new(),
            nexthops: BTreeMap::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            interfaces: Interfaces::default(),
            ways: BTreeMap::new(),
            blocked: BTreeSet::new(),
            next_id: FIRST_NEXTHOP_ID,
            installed: 0,
            swept: false,
            observe_at: Some(now),
            retry: RETRY.0,
        }
    }

    /// What is wanted for a prefix: these ways, or no route when there are none.
    pub(crate) fn set(&mut self, prefix: Prefix, members: &Members) {
        let wanted = match members.is_empty() {
            true => Wanted::Nothing,
            false => Wanted::Group(self.group_for(prefix, members)),
        };
        let route = self.routes.entry(prefix).or_insert(Route {
            wanted: Wanted::Unasked,
            carried: Carrier::None,
        });
        let before = std::mem::replace(&mut route.wanted, wanted);
        if before != wanted {
            self.count_wanted(before.group(), -1);
            self.count_wanted(wanted.group(), 1);
        }
        self.place(prefix);
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

    /// The interfaces as they are.
    pub(crate) fn set_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        if self.interfaces != interfaces {
            self.interfaces = interfaces;
            self.resolve();
            // The kernel drops the nexthops of an interface that goes down.
            self.disturbed(now);
        }
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
        for (prefix, route) in &mut self.routes {
            if route.wanted == Wanted::Unasked {
                route.wanted = Wanted::Nothing;
                self.dirty_routes.insert(*prefix);
            }
        }
    }

    /// Counts for status and metrics.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            routes: self.installed,
            groups: self
                .groups
                .values()
                .filter(|group| group.carries.is_some())
                .count(),
            pending: self.dirty_routes.len() + self.blocked.len(),
        }
    }

    /// Whether the kernel has the route for `prefix` as wanted, and the way it takes.
    pub(crate) fn route(&self, prefix: &Prefix) -> Option<(bool, Option<Way>)> {
        let route = self.routes.get(prefix)?;
        let way = match route.carried {
            Carrier::Group(key) => self.groups.get(&key.0).and_then(|group| group.carries),
            Carrier::None | Carrier::Other => None,
        };
        let pending = self.dirty_routes.contains(prefix) || self.blocked.contains(prefix);
        Some((way.is_some() && !pending, way))
    }

    /// When to call [`Table::poll_work`] again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let moves = self.groups.values().filter_map(|group| group.move_at);
        moves.chain(self.observe_at).min()
    }

    /// The next thing to do, if there is one. Groups come first: they move traffic.
    pub(crate) fn poll_work(&mut self, now: Instant) -> Option<Work> {
        let mut steps = Vec::new();
        self.release_waiting(now);
        self.emit_groups(&mut steps, now);
        if steps.is_empty() {
            if self.observe_at.is_some_and(|at| at <= now) {
                self.observe_at = None;
                return Some(Work::Observe);
            }
            self.emit_routes(&mut steps);
        }
        if steps.is_empty() {
            self.emit_garbage(&mut steps);
        }
        (!steps.is_empty()).then_some(Work::Apply(steps))
    }

    /// The group for this list; for a list without one, an unclaimed group that carries the route
    /// already, or a new one.
    fn group_for(&mut self, prefix: Prefix, members: &Members) -> GroupKey {
        if let Some(key) = self.by_members.get(members) {
            return *key;
        }
        let carrying = match self.routes.get(&prefix).map(|route| route.carried) {
            Some(Carrier::Group(key)) => Some(key),
            _ => None,
        };
        let unclaimed = carrying.filter(|key| {
            self.groups.get(&key.0).is_some_and(|group| {
                group.members.is_empty()
                    && group.carries.is_some()
                    && members
                        .iter()
                        .any(|member| self.way(&member.hop) == group.carries)
            })
        });
        let key = unclaimed.unwrap_or_else(|| {
            let key = GroupKey(self.next_id);
            self.next_id += 1;
            key
        });
        for member in members {
            if let Some(way) = self.way(&member.hop) {
                self.ways.insert(member.hop, way);
            }
        }
        self.groups
            .entry(key.0)
            .or_insert_with(Group::unclaimed)
            .members = members.clone();
        self.by_members.insert(members.clone(), key);
        self.dirty_groups.insert(key.0);
        key
    }

    fn count_wanted(&mut self, key: Option<GroupKey>, by: isize) {
        if let Some(group) = key.and_then(|key| self.groups.get_mut(&key.0)) {
            group.wanted_by = group.wanted_by.saturating_add_signed(by);
        }
    }

    /// Decides whether the route of `prefix` is right as it stands, parks, or needs a step.
    fn place(&mut self, prefix: Prefix) {
        let Some(route) = self.routes.get(&prefix) else {
            return;
        };
        let (wanted, carried) = (route.wanted, route.carried);
        let mut dirty = false;
        let mut parked = false;
        match (wanted, carried) {
            (Wanted::Unasked | Wanted::Nothing, Carrier::None) => {
                self.routes.remove(&prefix);
            }
            (Wanted::Unasked, Carrier::Group(_) | Carrier::Other) => {}
            (Wanted::Nothing, Carrier::Group(_) | Carrier::Other) => dirty = true,
            (Wanted::Group(wanted), Carrier::Group(carrier)) if wanted == carrier => {}
            (Wanted::Group(wanted), Carrier::Group(carrier)) => {
                let target = self.target(wanted);
                parked = target.is_some()
                    && target == self.leads_to(carrier)
                    && self.covers(carrier, wanted);
                dirty = !parked;
            }
            (Wanted::Group(_), Carrier::None | Carrier::Other) => dirty = true,
        }
        self.blocked.remove(&prefix);
        if dirty {
            self.dirty_routes.insert(prefix);
        } else {
            self.dirty_routes.remove(&prefix);
        }
        if let Carrier::Group(carrier) = carried
            && let Some(group) = self.groups.get_mut(&carrier.0)
        {
            if parked {
                group.parked.insert(prefix);
            } else if group.parked.remove(&prefix) && group.parked.is_empty() {
                self.dirty_groups.insert(carrier.0);
            }
        }
    }

    /// Where a group leads once it has left a dead way, which it does before any route moves.
    fn leads_to(&self, key: GroupKey) -> Option<Way> {
        let group = self.groups.get(&key.0).filter(|group| !group.closing)?;
        let live = group.carries.filter(|way| self.is_usable(way));
        live.or_else(|| self.target(key))
    }

    /// Whether `carrier` can lead wherever the group `wanted` may: otherwise the death of a link
    /// would cost one message for each route that stays on it.
    fn covers(&self, carrier: GroupKey, wanted: GroupKey) -> bool {
        let groups = self.groups.get(&carrier.0).zip(self.groups.get(&wanted.0));
        groups.is_some_and(|(carrier, wanted)| {
            let mut members = wanted.members.iter();
            members.all(|member| carrier.members.iter().any(|known| known.hop == member.hop))
        })
    }

    /// The way of a hop: the interface of its peer's link, or the one whose network holds it.
    fn way(&self, hop: &Hop) -> Option<Way> {
        let interface = match self.peers.get(&hop.peer) {
            Some(name) => self.interfaces.named(name).filter(|interface| interface.up),
            None => self.interfaces.toward(hop.address),
        };
        Some(Way {
            gateway: hop.address,
            interface: interface?.index,
        })
    }

    /// The way that a group should lead to: the best over a usable link, else the best that is
    /// there at all; `None` if none is.
    fn target(&self, key: GroupKey) -> Option<Way> {
        let group = self.groups.get(&key.0)?;
        group
            .members
            .iter()
            .filter_map(|member| Some((member.tier, *self.ways.get(&member.hop)?)))
            .min_by_key(|(tier, way)| match self.standing(way) {
                None => (false, *tier, 0),
                Some(LinkStanding::Usable { rank }) => (false, *tier, rank),
                Some(LinkStanding::Dead) => (true, *tier, 0),
            })
            .map(|(_, way)| way)
    }

    fn standing(&self, way: &Way) -> Option<LinkStanding> {
        let interface = self
            .interfaces
            .0
            .iter()
            .find(|known| known.index == way.interface)?;
        self.links.get(&interface.name).copied()
    }

    fn is_usable(&self, way: &Way) -> bool {
        let mut up = self.interfaces.0.iter().filter(|interface| interface.up);
        up.any(|interface| interface.index == way.interface)
            && self.standing(way) != Some(LinkStanding::Dead)
    }

    /// Looks at every group after links or interfaces changed.
    fn steer_all(&mut self) {
        let keys: Vec<u32> = self.groups.keys().copied().collect();
        for key in keys {
            let target = self.target(GroupKey(key));
            let Some(group) = self.groups.get_mut(&key) else {
                continue;
            };
            if target == group.carries {
                group.move_at = None;
                group.closing = false;
            }
            self.dirty_groups.insert(key);
            // What a parked route wants may no longer be what carries it.
            for prefix in group.parked.clone() {
                self.place(prefix);
            }
        }
    }
}

impl Group {
    fn unclaimed() -> Self {
        Self {
            members: Members::new(),
            carries: None,
            wanted_by: 0,
            carried_by: 0,
            parked: BTreeSet::new(),
            move_at: None,
            closing: false,
        }
    }
}
