//! The FIB as a machine: wanted routes and the standing of links go in, kernel steps come out.
//!
//! # What costs what
//!
//! - A link dies: one `SetGroup` for each group that it carries.
//! - Its session dies with it, and every route over it is asked for anew without that link. Such a
//!   route *parks*: it stays on the group that carries it, because that group leads to the same
//!   place already. No kernel message.
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

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bgp::rib::RouteHop;
use bgp::{Hop, PeerId, Prefix};
use smallvec::SmallVec;

use super::{FIRST_NEXTHOP_ID, Interfaces, Map, Observed, Step, Way};

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

struct Route {
    wanted: Option<GroupKey>,
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
        let wanted = (!members.is_empty()).then(|| self.group_for(prefix, members));
        let route = self.routes.entry(prefix).or_insert(Route {
            wanted: None,
            carried: Carrier::None,
        });
        let before = std::mem::replace(&mut route.wanted, wanted);
        if before != wanted {
            self.count_wanted(before, -1);
            self.count_wanted(wanted, 1);
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

    /// From here on, routes that nobody wants are removed.
    pub(crate) fn sweep(&mut self) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        let unwanted = self
            .routes
            .iter()
            .filter(|(_, route)| route.wanted.is_none());
        self.dirty_routes
            .extend(unwanted.map(|(prefix, _)| *prefix));
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

    /// Replaces belief by truth.
    pub(crate) fn observe(&mut self, observed: Observed, now: Instant) {
        self.interfaces = observed.interfaces;
        self.resolve_hops();
        self.nexthops = observed
            .nexthops
            .iter()
            .map(|(id, way)| (*way, *id))
            .collect();
        self.observe_groups(&observed.groups, &observed.nexthops);
        for (prefix, route) in &mut self.routes {
            if !observed.routes.contains_key(prefix) {
                route.carried = Carrier::None;
            }
        }
        self.installed = observed.routes.len();
        for (prefix, nexthop) in observed.routes {
            let carried = match nexthop {
                Some(id) if self.groups.contains_key(&id) => Carrier::Group(GroupKey(id)),
                _ => Carrier::Other,
            };
            self.routes
                .entry(prefix)
                .and_modify(|route| route.carried = carried)
                .or_insert(Route {
                    wanted: None,
                    carried,
                });
        }
        self.recount();
        self.steer_all();
        if self.dirty_routes.is_empty() {
            self.retry = RETRY.0;
        }
        self.observe_at.get_or_insert(now + RESYNC);
    }

    /// Finds the ways of all hops again, after interfaces or peers changed.
    fn resolve(&mut self) {
        self.resolve_hops();
        for prefix in std::mem::take(&mut self.blocked) {
            self.place(prefix);
        }
        self.steer_all();
    }

    fn resolve_hops(&mut self) {
        let hops: BTreeSet<Hop> = self
            .groups
            .values()
            .flat_map(|group| group.members.iter().map(|member| member.hop))
            .collect();
        self.ways = hops
            .into_iter()
            .filter_map(|hop| Some((hop, self.way(&hop)?)))
            .collect();
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

    fn standing(&self, way: &Way) -> Option<LinkStanding> {
        let interface = self
            .interfaces
            .0
            .iter()
            .find(|known| known.index == way.interface)?;
        self.links.get(&interface.name).copied()
    }

    fn observe_groups(&mut self, groups: &BTreeMap<u32, Vec<u32>>, nexthops: &BTreeMap<u32, Way>) {
        for (id, group) in &mut self.groups {
            if !groups.contains_key(id) {
                group.carries = None;
            }
        }
        for (id, members) in groups {
            let way = members
                .first()
                .and_then(|member| nexthops.get(member))
                .copied();
            let group = self.groups.entry(*id).or_insert_with(Group::unclaimed);
            group.carries = way;
        }
        let highest = groups.keys().chain(nexthops.keys()).max();
        self.next_id = self
            .next_id
            .max(highest.map_or(0, |id| id.saturating_add(1)));
    }

    /// Counts uses anew, and finds what is not as wanted.
    fn recount(&mut self) {
        self.dirty_routes.clear();
        self.blocked.clear();
        self.dirty_groups = self.groups.keys().copied().collect();
        for group in self.groups.values_mut() {
            group.carried_by = 0;
            group.parked.clear();
        }
        let prefixes: Vec<Prefix> = self.routes.keys().copied().collect();
        for prefix in &prefixes {
            if let Some(Route {
                carried: Carrier::Group(key),
                ..
            }) = self.routes.get(prefix)
                && let Some(group) = self.groups.get_mut(&key.0)
            {
                group.carried_by += 1;
            }
        }
        for prefix in prefixes {
            self.place(prefix);
        }
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
            (None, Carrier::None) => {
                self.routes.remove(&prefix);
            }
            (None, Carrier::Group(_) | Carrier::Other) => dirty = self.swept,
            (Some(wanted), Carrier::Group(carrier)) if wanted == carrier => {}
            (Some(wanted), Carrier::Group(carrier)) => {
                let target = self.target(wanted);
                let carrier = self.groups.get(&carrier.0).filter(|group| !group.closing);
                parked = target.is_some() && target == carrier.and_then(|group| group.carries);
                dirty = !parked;
            }
            (Some(_), Carrier::None | Carrier::Other) => dirty = true,
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

    /// Groups that waited long enough: what is still parked moves on its own, then the group does.
    fn release_waiting(&mut self, now: Instant) {
        let due: Vec<u32> = self
            .groups
            .iter()
            .filter(|(_, group)| group.move_at.is_some_and(|at| at <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some(group) = self.groups.get_mut(&key) {
                group.move_at = None;
                group.closing = true;
                let parked = std::mem::take(&mut group.parked);
                self.dirty_routes.extend(parked);
            }
            self.dirty_groups.insert(key);
        }
    }

    fn emit_groups(&mut self, steps: &mut Vec<Step>, now: Instant) {
        for key in std::mem::take(&mut self.dirty_groups) {
            let Some(target) = self.target(GroupKey(key)) else {
                continue;
            };
            let Some(group) = self.groups.get(&key).filter(|group| group.carried_by > 0) else {
                continue;
            };
            if group.carries != Some(target) {
                let leaves_a_live_way = group.carries.is_some_and(|way| self.is_usable(&way));
                // Routes about to leave the group would be moved along with it.
                let leavers = !group.parked.is_empty() || !self.dirty_routes.is_empty();
                if leaves_a_live_way && leavers {
                    self.dirty_groups.insert(key);
                    if let Some(group) = self.groups.get_mut(&key) {
                        group.move_at.get_or_insert(now + SETTLE);
                    }
                    continue;
                }
                self.emit_group(key, target, steps);
            }
            self.emit_standby(key, steps);
        }
        if steps.is_empty() {
            return;
        }
        // Nexthops before the groups that name them.
        steps.sort_by_key(|step| !matches!(step, Step::SetNexthop { .. }));
    }

    fn emit_group(&mut self, key: u32, target: Way, steps: &mut Vec<Step>) {
        let nexthop = self.emit_nexthop(target, steps);
        steps.push(Step::SetGroup {
            id: key,
            members: vec![nexthop],
        });
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        group.carries = Some(target);
        group.move_at = None;
        group.closing = false;
        for prefix in group.parked.clone() {
            // What it waited for on this group may not be where the group leads from here on.
            self.place(prefix);
        }
    }

    /// Has the nexthops of the other members ready, so that a failover is one message.
    fn emit_standby(&mut self, key: u32, steps: &mut Vec<Step>) {
        let Some(group) = self.groups.get(&key) else {
            return;
        };
        let hops = group.members.iter().map(|member| member.hop);
        let ways: SmallVec<[Way; 8]> = hops
            .filter_map(|hop| self.ways.get(&hop).copied())
            .collect();
        for way in ways {
            self.emit_nexthop(way, steps);
        }
    }

    fn emit_nexthop(&mut self, way: Way, steps: &mut Vec<Step>) -> u32 {
        if let Some(id) = self.nexthops.get(&way) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.nexthops.insert(way, id);
        steps.push(Step::SetNexthop { id, way });
        id
    }

    fn emit_routes(&mut self, steps: &mut Vec<Step>) {
        let batch: Vec<Prefix> = self.dirty_routes.iter().take(BATCH).copied().collect();
        for prefix in batch {
            self.dirty_routes.remove(&prefix);
            let Some(route) = self.routes.get(&prefix) else {
                continue;
            };
            match route.wanted {
                Some(key) => {
                    if !self.emit_route(prefix, key, steps) {
                        self.block(prefix, steps);
                    }
                }
                None => {
                    steps.push(Step::RemoveRoute { prefix });
                    self.carry(prefix, Carrier::None);
                    self.routes.remove(&prefix);
                }
            }
        }
    }

    fn emit_route(&mut self, prefix: Prefix, key: GroupKey, steps: &mut Vec<Step>) -> bool {
        let in_kernel = self
            .groups
            .get(&key.0)
            .is_some_and(|group| group.carries.is_some());
        if !in_kernel {
            let Some(target) = self.target(key) else {
                return false;
            };
            self.emit_group(key.0, target, steps);
            self.emit_standby(key.0, steps);
        }
        steps.push(Step::SetRoute {
            prefix,
            nexthop: key.0,
        });
        self.carry(prefix, Carrier::Group(key));
        true
    }

    /// None of the wanted ways is there: what the kernel has for the prefix leads elsewhere.
    fn block(&mut self, prefix: Prefix, steps: &mut Vec<Step>) {
        let carried = self.routes.get(&prefix).map(|route| route.carried);
        if carried.is_some_and(|carried| carried != Carrier::None) {
            steps.push(Step::RemoveRoute { prefix });
            self.carry(prefix, Carrier::None);
        }
        self.blocked.insert(prefix);
    }

    /// Notes what carries a route.
    fn carry(&mut self, prefix: Prefix, carrier: Carrier) {
        let Some(route) = self.routes.get_mut(&prefix) else {
            return;
        };
        let before = std::mem::replace(&mut route.carried, carrier);
        self.installed += usize::from(carrier != Carrier::None);
        self.installed -= usize::from(before != Carrier::None).min(self.installed);
        if let Carrier::Group(key) = before
            && let Some(group) = self.groups.get_mut(&key.0)
        {
            group.carried_by = group.carried_by.saturating_sub(1);
            group.parked.remove(&prefix);
            self.dirty_groups.insert(key.0);
        }
        if let Carrier::Group(key) = carrier
            && let Some(group) = self.groups.get_mut(&key.0)
        {
            group.carried_by += 1;
        }
    }

    /// Removes objects that nothing uses. Only when no route step is outstanding, so that an object
    /// in use is never removed: the kernel would take its routes along.
    fn emit_garbage(&mut self, steps: &mut Vec<Step>) {
        if !self.swept {
            return;
        }
        let unused: Vec<u32> = self
            .groups
            .iter()
            .filter(|(_, group)| group.carried_by == 0)
            .map(|(key, _)| *key)
            .collect();
        for key in unused {
            let Some(group) = self.groups.get_mut(&key) else {
                continue;
            };
            if group.carries.take().is_some() {
                steps.push(Step::RemoveNexthop { id: key });
            }
            if group.wanted_by == 0 {
                self.by_members.remove(&group.members);
                self.groups.remove(&key);
            }
        }
        let in_use: BTreeSet<Way> = self
            .groups
            .values()
            .filter(|group| group.carries.is_some())
            .flat_map(|group| {
                let hops = group.members.iter().map(|member| member.hop);
                hops.filter_map(|hop| self.ways.get(&hop).copied())
                    .chain(group.carries)
            })
            .collect();
        let idle: Vec<(Way, u32)> = self
            .nexthops
            .iter()
            .filter(|(way, _)| !in_use.contains(way))
            .map(|(way, id)| (*way, *id))
            .collect();
        for (way, id) in idle {
            self.nexthops.remove(&way);
            steps.push(Step::RemoveNexthop { id });
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

#[cfg(test)]
mod tests {
    use super::super::Interface;
    use super::*;

    /// A kernel that does as it is told, refuses what a real one would, and counts.
    #[derive(Default)]
    struct Kernel {
        observed: Observed,
        messages: usize,
    }

    impl Kernel {
        fn with_interfaces(up: [bool; 2]) -> Self {
            let mut kernel = Self::default();
            for (index, up) in (1..).zip(up) {
                kernel.observed.interfaces.0.push(Interface {
                    index,
                    name: format!("wg{index}"),
                    up,
                    mtu: 1420,
                    addresses: vec![format!("10.99.{index}.0/31").parse().unwrap()],
                });
            }
            kernel
        }

        fn apply(&mut self, step: Step) {
            self.messages += 1;
            let known = |id: &u32, observed: &Observed| {
                observed.nexthops.contains_key(id) || observed.groups.contains_key(id)
            };
            match step {
                Step::SetNexthop { id, way } => {
                    let interfaces = &self.observed.interfaces.0;
                    assert!(
                        interfaces
                            .iter()
                            .any(|known| known.index == way.interface && known.up)
                    );
                    self.observed.nexthops.insert(id, way);
                }
                Step::SetGroup { id, members } => {
                    assert!(!members.is_empty());
                    assert!(
                        members
                            .iter()
                            .all(|id| self.observed.nexthops.contains_key(id))
                    );
                    self.observed.groups.insert(id, members);
                }
                Step::SetRoute { prefix, nexthop } => {
                    assert!(known(&nexthop, &self.observed), "route through nothing");
                    self.observed.routes.insert(prefix, Some(nexthop));
                }
                Step::RemoveRoute { prefix } => {
                    self.observed.routes.remove(&prefix);
                }
                Step::RemoveNexthop { id } => {
                    let used = self.observed.routes.values().any(|used| *used == Some(id));
                    assert!(!used, "removing {id} would take its routes along");
                    let member = self
                        .observed
                        .groups
                        .values()
                        .any(|group| group.contains(&id));
                    assert!(!member, "removing {id} would empty a group");
                    self.observed.nexthops.remove(&id);
                    self.observed.groups.remove(&id);
                }
            }
        }

        /// As the kernel does when an interface loses its carrier.
        fn drop_interface(&mut self, index: u32) {
            self.observed
                .interfaces
                .0
                .iter_mut()
                .find(|i| i.index == index)
                .unwrap()
                .up = false;
            self.observed
                .nexthops
                .retain(|_, way| way.interface != index);
            let nexthops = &self.observed.nexthops;
            for members in self.observed.groups.values_mut() {
                members.retain(|member| nexthops.contains_key(member));
            }
            self.observed
                .groups
                .retain(|_, members| !members.is_empty());
            let groups = &self.observed.groups;
            self.observed
                .routes
                .retain(|_, id| id.is_some_and(|id| groups.contains_key(&id)));
        }

        fn interface_of(&self, prefix: &Prefix) -> Option<u32> {
            let group = self.observed.routes.get(prefix)?.as_ref()?;
            let nexthop = self.observed.groups.get(group)?.first()?;
            Some(self.observed.nexthops.get(nexthop)?.interface)
        }
    }

    fn run(table: &mut Table, kernel: &mut Kernel, now: Instant) -> usize {
        let before = kernel.messages;
        while let Some(work) = table.poll_work(now) {
            match work {
                Work::Observe => table.observe(kernel.observed.clone(), now),
                Work::Apply(steps) => steps.into_iter().for_each(|step| kernel.apply(step)),
            }
        }
        kernel.messages - before
    }

    fn hops(links: &[u32]) -> Members {
        links
            .iter()
            .map(|link| RouteHop {
                hop: Hop {
                    peer: PeerId(*link),
                    address: format!("10.99.{link}.1").parse().unwrap(),
                },
                tier: 0,
            })
            .collect()
    }

    fn standing(ranks: [Option<u32>; 2]) -> BTreeMap<String, LinkStanding> {
        (1..)
            .zip(ranks)
            .map(|(index, rank): (u32, _)| {
                let standing =
                    rank.map_or(LinkStanding::Dead, |rank| LinkStanding::Usable { rank });
                (format!("wg{index}"), standing)
            })
            .collect()
    }

    fn prefixes(count: u32) -> Vec<Prefix> {
        (0..count)
            .map(|i| {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 + (i << 8));
                Prefix::new(address.into(), 24).unwrap()
            })
            .collect()
    }

    fn table(now: Instant) -> Table {
        let mut table = Table::new(now);
        table.set_peers([1, 2].map(|i| (PeerId(i), format!("wg{i}"))).into());
        table.set_links(standing([Some(0), Some(1)]));
        table
    }

    #[test]
    fn a_dead_link_costs_one_message_and_so_does_its_return() {
        let now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let prefixes = prefixes(1000);
        prefixes
            .iter()
            .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
        run(&mut table, &mut kernel, now);
        table.sweep();
        run(&mut table, &mut kernel, now);
        assert!(
            prefixes
                .iter()
                .all(|prefix| kernel.interface_of(prefix) == Some(1))
        );

        table.set_links(standing([None, Some(0)]));
        assert_eq!(run(&mut table, &mut kernel, now), 1);
        prefixes
            .iter()
            .for_each(|prefix| table.set(*prefix, &hops(&[2])));
        assert_eq!(run(&mut table, &mut kernel, now), 0, "routes park");
        assert!(
            prefixes
                .iter()
                .all(|prefix| kernel.interface_of(prefix) == Some(2))
        );

        table.set_links(standing([Some(0), Some(1)]));
        assert_eq!(
            run(&mut table, &mut kernel, now),
            0,
            "the link has no routes yet"
        );
        for prefix in &prefixes[1..] {
            table.set(*prefix, &hops(&[1, 2]));
        }
        assert_eq!(run(&mut table, &mut kernel, now), 0, "one route is missing");
        table.set(prefixes[0], &hops(&[1, 2]));
        assert_eq!(run(&mut table, &mut kernel, now), 1);
        assert!(
            prefixes
                .iter()
                .all(|prefix| kernel.interface_of(prefix) == Some(1))
        );
        assert_eq!(
            table.counts(),
            Counts {
                routes: 1000,
                groups: 1,
                pending: 0
            }
        );
    }

    #[test]
    fn a_route_that_does_not_come_back_leaves_its_group_before_the_group_moves() {
        let now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let prefixes = prefixes(2);
        prefixes
            .iter()
            .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
        table.set_links(standing([None, Some(0)]));
        run(&mut table, &mut kernel, now);
        prefixes
            .iter()
            .for_each(|prefix| table.set(*prefix, &hops(&[2])));
        table.set_links(standing([Some(0), Some(1)]));
        table.set(prefixes[0], &hops(&[1, 2]));
        run(&mut table, &mut kernel, now);
        assert_eq!(kernel.interface_of(&prefixes[0]), Some(2), "still waiting");
        let later = table.poll_timeout().unwrap();
        assert!(later <= now + SETTLE);
        run(&mut table, &mut kernel, now + SETTLE);
        assert_eq!(kernel.interface_of(&prefixes[0]), Some(1));
        assert_eq!(kernel.interface_of(&prefixes[1]), Some(2));
    }

    #[test]
    fn a_rank_that_changes_moves_the_group_and_no_route() {
        let now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        prefixes(100)
            .iter()
            .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
        run(&mut table, &mut kernel, now);
        table.set_links(standing([Some(1), Some(0)]));
        assert_eq!(run(&mut table, &mut kernel, now), 1);
        assert_eq!(kernel.interface_of(&prefixes(1)[0]), Some(2));
    }

    #[test]
    fn a_tier_outweighs_a_rank_and_death_outweighs_a_tier() {
        let now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let mut members = hops(&[2, 1]);
        members[1].tier = 1;
        let prefix = prefixes(1)[0];
        table.set(prefix, &members);
        run(&mut table, &mut kernel, now);
        assert_eq!(kernel.interface_of(&prefix), Some(2));
        table.set_links(standing([Some(0), None]));
        run(&mut table, &mut kernel, now);
        assert_eq!(kernel.interface_of(&prefix), Some(1));
    }

    #[test]
    fn the_next_run_takes_everything_over_without_a_message() {
        let now = Instant::now();
        let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let prefixes = prefixes(50);
        prefixes
            .iter()
            .for_each(|prefix| first.set(*prefix, &hops(&[1, 2])));
        run(&mut first, &mut kernel, now);
        let leftover = kernel.observed.clone();

        let mut second = table(now);
        assert_eq!(run(&mut second, &mut kernel, now), 0);
        prefixes
            .iter()
            .for_each(|prefix| second.set(*prefix, &hops(&[1, 2])));
        assert_eq!(run(&mut second, &mut kernel, now), 0);
        second.sweep();
        assert_eq!(run(&mut second, &mut kernel, now), 0);
        assert_eq!(kernel.observed, leftover);
    }

    #[test]
    fn what_nobody_wants_goes_only_after_the_sweep() {
        let now = Instant::now();
        let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let prefixes = prefixes(5);
        prefixes
            .iter()
            .for_each(|prefix| first.set(*prefix, &hops(&[1, 2])));
        run(&mut first, &mut kernel, now);

        let mut second = table(now);
        second.set(prefixes[0], &hops(&[2]));
        run(&mut second, &mut kernel, now);
        assert_eq!(kernel.observed.routes.len(), 5);
        assert_eq!(kernel.interface_of(&prefixes[0]), Some(2));
        second.sweep();
        run(&mut second, &mut kernel, now);
        assert_eq!(kernel.observed.routes.len(), 1);
        assert_eq!(kernel.observed.groups.len(), 1);
        assert_eq!(kernel.observed.nexthops.len(), 1);
    }

    #[test]
    fn an_interface_that_dies_and_returns_gets_its_routes_again() {
        let now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, false]));
        let prefix = prefixes(1)[0];
        table.set(prefix, &hops(&[1, 2]));
        run(&mut table, &mut kernel, now);
        assert_eq!(kernel.interface_of(&prefix), Some(1));
        kernel.drop_interface(1);
        table.set_interfaces(kernel.observed.interfaces.clone(), now);
        run(&mut table, &mut kernel, now + DEBOUNCE);
        assert_eq!(kernel.interface_of(&prefix), None);
        assert_eq!(table.counts().pending, 1);
        kernel.observed.interfaces.0[1].up = true;
        table.set_interfaces(kernel.observed.interfaces.clone(), now);
        run(&mut table, &mut kernel, now + DEBOUNCE);
        assert_eq!(kernel.interface_of(&prefix), Some(2));
        assert_eq!(table.counts().pending, 0);
    }

    #[test]
    fn whatever_happens_the_kernel_ends_as_wanted() {
        for seed in 1..300u64 {
            random_run(seed);
        }
    }

    fn random_run(seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut now = Instant::now();
        let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
        let prefixes = prefixes(6);
        let lists: [&[u32]; 5] = [&[], &[1], &[2], &[1, 2], &[2, 1]];
        let mut wanted = BTreeMap::new();
        let mut links = [Some(0), Some(1)];
        for _ in 0..120 {
            now += Duration::from_millis(draw(400));
            match draw(10) {
                0..=5 => {
                    let prefix = prefixes[draw(6) as usize];
                    let list = lists[draw(5) as usize];
                    wanted.insert(prefix, list);
                    table.set(prefix, &hops(list));
                }
                6 => {
                    let link = draw(2) as usize;
                    links[link] = if links[link].is_some() {
                        None
                    } else {
                        Some(draw(3) as u32)
                    };
                    table.set_links(standing(links));
                }
                7 => {
                    let link = draw(2) as usize;
                    if kernel.observed.interfaces.0[link].up {
                        kernel.drop_interface(link as u32 + 1);
                    } else {
                        kernel.observed.interfaces.0[link].up = true;
                    }
                    table.set_interfaces(kernel.observed.interfaces.clone(), now);
                }
                8 => {
                    kernel.observed.routes.remove(&prefixes[draw(6) as usize]);
                    table.disturbed(now);
                }
                _ => table.sweep(),
            }
            // A step that meets an interface gone since fails in a real kernel; here everything
            // is told at once, so that no step may fail.
            table.set_interfaces(kernel.observed.interfaces.clone(), now);
            now += DEBOUNCE;
            run(&mut table, &mut kernel, now);
        }
        table.sweep();
        for _ in 0..4 {
            now += RESYNC;
            run(&mut table, &mut kernel, now);
        }
        for (prefix, list) in &wanted {
            let up = |link: &&u32| kernel.observed.interfaces.0[**link as usize - 1].up;
            let best = list.iter().filter(up).min_by_key(|link| {
                let rank = links[**link as usize - 1];
                (rank.is_none(), rank)
            });
            let state = format!("{list:?} over {links:?}, {:?}", kernel.observed.interfaces);
            assert_eq!(
                kernel.interface_of(prefix),
                best.copied(),
                "seed {seed}: {prefix} {state}"
            );
        }
        let used = kernel
            .observed
            .routes
            .values()
            .flatten()
            .collect::<BTreeSet<_>>()
            .len();
        assert_eq!(
            kernel.observed.groups.len(),
            used,
            "seed {seed}: idle groups remain"
        );
    }
}
