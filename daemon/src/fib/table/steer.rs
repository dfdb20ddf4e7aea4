//! Where groups lead: links, tiers and weights decide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp::Hop;
use bgp::rib::{MedPlace, RouteHop};

use super::super::{Spread, Standby, Way};
use super::{Group, GroupKey, Kind, LinkStanding, Route, State, Table, Wanted};

/// A member that has a way.
#[derive(Clone, Copy)]
struct Candidate {
    way: Way,
    /// Carries only if there is nothing else.
    is_dead: bool,
    tier: u8,
    med: MedPlace,
    /// As the paths say it.
    weight: u8,
    link: Link,
}

/// What counts of a link that is not dead; all 0 for a way over none.
#[derive(Clone, Copy, Default)]
struct Link {
    rank: u32,
    tiebreak: u32,
    weight: u8,
}

impl Table {
    /// Whether a route that wants one group may stay on another.
    pub(super) fn may_park(&self, wanted: GroupKey, carrier: GroupKey) -> bool {
        let target = self.target(wanted);
        !target.is_empty() && target == self.leads_to(carrier) && self.covers(carrier, wanted)
    }

    /// Where a group leads once it has left what is dead, which it does before any route moves.
    fn leads_to(&self, key: GroupKey) -> Spread {
        match self.groups.get(&key.0) {
            Some(group) if group.closing => Spread::new(),
            Some(group) if self.is_alive(group) => group.carries.clone(),
            Some(_) | None => self.target(key),
        }
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

    /// The way of a hop: over the interface of its peer's link, or as the host would get there, who does not know
    /// on which interface a link-local address is.
    pub(super) fn way(&self, hop: &Hop) -> Option<Way> {
        let scope = || self.scopes.get(&hop.peer).filter(|_| is_scoped(hop));
        let Some(name) = self.peers.get(&hop.peer).or_else(scope) else {
            let found = self.others.toward(hop.address, &self.interfaces);
            return found.map(|(way, _)| way);
        };
        let interface = self.interfaces.named(name).filter(|it| it.up)?;
        Some(Way {
            gateway: hop.address,
            interface: interface.index,
        })
    }

    /// What a group is in the kernel, or will be.
    pub(super) fn kind(&self, key: GroupKey) -> Kind {
        match self.groups.get(&key.0) {
            Some(group) if group.is_in_kernel() => group.kind,
            Some(group) => self.kind_for(&group.members),
            None => Kind::Sharing,
        }
    }

    pub(super) fn kind_for(&self, members: &[RouteHop]) -> Kind {
        let shares = members.iter().any(|member| {
            let way = self.ways.get(&member.hop);
            let standing = way.and_then(|way| self.standing(way));
            member.weight > 0 || standing.is_some_and(LinkStanding::shares)
        });
        match (self.kept, shares) {
            (Standby::Possible, false) => Kind::Alone,
            (Standby::Possible, true) | (Standby::Impossible, _) => Kind::Sharing,
        }
    }

    /// The way that is to stand by the only one of `target`: on another interface if there is one, since all on
    /// one interface go with it; then as for the target. A dead one is better than no route at all.
    pub(super) fn standby(&self, key: GroupKey, target: &Spread) -> Option<Way> {
        let [(first, _)] = target[..] else {
            return None;
        };
        if self.kind(key) == Kind::Sharing {
            return None;
        }
        let others = self
            .candidates(key)
            .into_iter()
            .filter(|it| it.way != first);
        let best = others.min_by_key(|it| {
            let is_beside = it.way.interface == first.interface;
            let link = (it.link.rank, it.link.tiebreak);
            (is_beside, it.is_dead, it.tier, link)
        });
        best.map(|it| it.way)
    }

    fn candidates(&self, key: GroupKey) -> Vec<Candidate> {
        let Some(group) = self.groups.get(&key.0) else {
            return Vec::new();
        };
        let members = group.members.iter();
        let candidates = members.filter_map(|member| {
            let way = *self.ways.get(&member.hop)?;
            let standing = self.standing(&way);
            let (is_dead, link) = match standing {
                None => (false, Link::default()),
                Some(LinkStanding::Usable {
                    rank,
                    tiebreak,
                    weight,
                }) => (
                    false,
                    Link {
                        rank,
                        tiebreak,
                        weight,
                    },
                ),
                Some(LinkStanding::Dead) => (true, Link::default()),
            };
            Some(Candidate {
                way,
                is_dead: is_dead || self.dead.contains(&member.hop.peer),
                tier: member.tier,
                med: member.med,
                weight: member.weight,
                link,
            })
        });
        candidates.collect()
    }

    /// The ways that a group should lead to, over usable links if there are any. Of the lowest tier,
    /// all that are to share the traffic do; if none is, the best link has it all, or the best links
    /// share it.
    pub(super) fn target(&self, key: GroupKey) -> Spread {
        let mut candidates = self.candidates(key);
        let class = |it: &Candidate| (it.is_dead, it.tier);
        let Some(first) = candidates.iter().map(class).min() else {
            return Spread::new();
        };
        candidates.retain(|it| class(it) == first);
        let mut shares: BTreeMap<Way, u8> = BTreeMap::new();
        for it in candidates.iter().filter(|it| it.weight > 0) {
            let share = shares.entry(it.way).or_default();
            *share = share.saturating_add(it.weight);
        }
        if shares.len() > 1 {
            return shares.into_iter().collect();
        }
        // A weight means nothing to one that is alone.
        match shares.into_keys().next() {
            Some(alone) => [(alone, 1)].into_iter().collect(),
            None => by_link(candidates),
        }
    }

    fn standing(&self, way: &Way) -> Option<LinkStanding> {
        let interface = self.interfaces.indexed(way.interface)?;
        self.links.get(&interface.name).copied()
    }

    fn is_usable(&self, way: &Way) -> bool {
        let interface = self.interfaces.indexed(way.interface);
        interface.is_some_and(|interface| interface.up)
            && self.standing(way) != Some(LinkStanding::Dead)
    }

    /// Whether all of what a group carries is usable: it leaves at once otherwise.
    pub(super) fn is_alive(&self, group: &Group) -> bool {
        let mut carries = group.carries.iter().map(|(way, _)| way);
        group.is_in_kernel()
            && carries.all(|way| self.is_usable(way) && self.is_offered(group, way))
    }

    /// Unless all the peers that a group has a way from are dead. One that nobody offers any more is left
    /// when there is time.
    fn is_offered(&self, group: &Group, way: &Way) -> bool {
        let hops = group.members.iter().map(|member| &member.hop);
        let mut with_it = hops
            .filter(|hop| self.ways.get(hop) == Some(way))
            .peekable();
        with_it.peek().is_none() || with_it.any(|hop| !self.dead.contains(&hop.peer))
    }

    /// Looks at every group after links or interfaces changed.
    pub(super) fn steer_all(&mut self) {
        self.replace_outgrown();
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
        }
        // What a parked route wants may no longer be what carries it.
        self.review(State::Parked, self.tally.parked);
    }

    /// Groups whose links share their traffic from now on. The kernel does not make a group that shares of one
    /// that has a standby, so their routes get another.
    fn replace_outgrown(&mut self) {
        let is_outgrown = |group: &Group| {
            group.is_in_kernel()
                && group.kind == Kind::Alone
                && self.kind_for(&group.members) == Kind::Sharing
        };
        let groups = self.groups.iter();
        let outgrown: Vec<u32> = groups
            .filter(|(_, group)| is_outgrown(group))
            .map(|(key, _)| *key)
            .collect();
        for old in outgrown {
            self.replace(GroupKey(old));
        }
    }

    /// The old group leads where it does until its last route has left it.
    fn replace(&mut self, old: GroupKey) {
        let new = GroupKey(self.fresh_id());
        let Some(group) = self.groups.get_mut(&old.0) else {
            return;
        };
        let members = std::mem::take(&mut group.members);
        self.by_members.insert(members.clone(), new);
        let group = Group {
            members,
            ..Group::unclaimed()
        };
        self.groups.insert(new.0, group);
        self.dirty_groups.insert(new.0);
        for (prefix, before) in self.collect(|route| route.wanted == Wanted::Group(old)) {
            let after = Route {
                wanted: Wanted::Group(new),
                ..before
            };
            self.place(prefix, before, after);
        }
    }

    /// Finds the ways of all hops again, after something they rest on has changed.
    pub(super) fn resolve(&mut self) {
        self.resolve_at = None;
        self.known_others = Arc::clone(&self.others);
        self.resolve_hops();
        self.review(State::Blocked, self.tally.blocked);
        self.steer_all();
    }

    pub(super) fn resolve_hops(&mut self) {
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
}

fn is_scoped(hop: &Hop) -> bool {
    matches!(hop.address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Where candidates of one tier lead, of which the paths do not say that they share: as the decision
/// of the RIB has it, by rank, then MED, then the link that the group uses.
fn by_link(mut candidates: Vec<Candidate>) -> Spread {
    let lowest = candidates.iter().map(|it| it.link.rank).min();
    candidates.retain(|it| Some(it.link.rank) == lowest);
    let best = candidates.clone();
    candidates.retain(|it| !best.iter().any(|other| it.med.loses_to(other.med)));
    let Some(best) = candidates.iter().min_by_key(|it| it.link.tiebreak) else {
        return Spread::new();
    };
    if best.link.weight == 0 {
        return [(best.way, 1)].into_iter().collect();
    }
    // The first of each link: a second peer on it does not double its part.
    let mut shares: BTreeMap<u32, (Way, u8)> = BTreeMap::new();
    for it in candidates.iter().filter(|it| it.link.weight > 0) {
        let share = (it.way, it.link.weight);
        shares.entry(it.way.interface).or_insert(share);
    }
    match shares.len() {
        1 => [(best.way, 1)].into_iter().collect(),
        _ => {
            let mut shares: Spread = shares.into_values().collect();
            shares.sort_unstable();
            shares
        }
    }
}
