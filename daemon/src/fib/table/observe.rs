//! Truth: what the kernel and its interfaces say replaces what the table believed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bgp::{Hop, Prefix};

use super::super::{Observed, Way};
use super::{Carrier, Group, GroupKey, RESYNC, RETRY, Route, Table, Wanted};

impl Table {
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
        let unasked = if self.swept {
            Wanted::Nothing
        } else {
            Wanted::Unasked
        };
        for (prefix, nexthop) in observed.routes {
            let carried = match nexthop {
                Some(id) if self.groups.contains_key(&id) => Carrier::Group(GroupKey(id)),
                _ => Carrier::Other,
            };
            self.routes
                .entry(prefix)
                .and_modify(|route| route.carried = carried)
                .or_insert(Route {
                    wanted: unasked,
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

    /// Finds the ways of all hops again, after interfaces or peers changed.
    pub(super) fn resolve(&mut self) {
        self.resolve_hops();
        for prefix in std::mem::take(&mut self.blocked) {
            self.place(prefix);
        }
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
