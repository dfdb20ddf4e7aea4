//! Truth: what the kernel and its interfaces say replaces what the table believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{FIRST_NEXTHOP_ID, FoundRoutes, Lead, Observed, Spread, Way};
use super::discards::Wish;
use super::{Carrier, Group, GroupKey, IDS, Kind, REST, RESYNC, RETRY, Route, Table, Wanted};

impl Table {
    /// Replaces what was believed of everything but routes, and begins to look at those.
    pub(crate) fn observe(&mut self, observed: Observed) {
        self.in_pass = true;
        self.pass = self.pass.next();
        self.interfaces = observed.interfaces;
        self.found_others = self.others.afresh(observed.others);
        self.resolve_hops();
        let nexthops = observed.nexthops.iter();
        self.nexthops = nexthops.map(|(id, way)| (*way, *id)).collect();
        self.observe_groups(&observed.groups, &observed.nexthops);
        self.steer_all();
    }

    /// Replaces what was believed of these routes, but for those that have had a step since
    /// [`Table::observe`].
    pub(crate) fn observe_routes(&mut self, found: FoundRoutes) {
        for route in found.others {
            self.found_others.add(route);
        }
        let unasked = if self.swept { Wish::No } else { Wish::Unasked };
        for prefix in found.discards {
            self.discards.found(prefix, unasked, self.pass);
        }
        self.routes
            .touch(found.ours.iter().map(|(prefix, _)| *prefix));
        for (prefix, nexthop) in found.ours {
            let known = self.routes.get(&prefix);
            if known.is_some_and(|route| route.pass == self.pass) {
                continue;
            }
            let before = known.unwrap_or_else(|| Route::absent(self.pass));
            let carried = match nexthop {
                Some(id) if self.groups.contains_key(&id) => Carrier::Group(GroupKey(id)),
                _ => Carrier::Other,
            };
            let wanted = match known {
                Some(route) => route.wanted,
                None if self.swept => Wanted::Nothing,
                None => Wanted::Unasked,
            };
            let pass = self.pass;
            self.place(
                prefix,
                before,
                Route {
                    wanted,
                    carried,
                    pass,
                    ..before
                },
            );
        }
    }

    /// The rest of the routes could not be read: what has been looked at does not count.
    pub(crate) fn broken_off(&mut self) {
        self.routes.mark(self.pass);
        self.discards.mark(self.pass);
        self.in_pass = false;
    }

    /// All routes have been handed over: what was not among them is not there.
    ///
    /// - `took`: how long it took to read them
    pub(crate) fn observed_all(&mut self, took: Duration, now: Instant) {
        let pass = self.pass;
        for (prefix, before) in
            self.collect(|route| route.pass != pass && route.carried != Carrier::None)
        {
            let carried = Carrier::None;
            self.place(
                prefix,
                before,
                Route {
                    carried,
                    pass,
                    ..before
                },
            );
        }
        self.routes.mark(pass);
        self.discards.found_all(pass);
        self.in_pass = false;
        self.is_observed = true;
        let found = std::mem::take(&mut self.found_others);
        if *self.others != found {
            self.others = Arc::new(found);
        }
        self.resolve();
        if self.tally.dirty == 0 && self.discards.dirty().len() == 0 {
            self.retry = RETRY.0;
        }
        self.resync_at = Some(now + RESYNC.max(took * REST));
    }

    fn observe_groups(&mut self, groups: &BTreeMap<u32, Lead>, nexthops: &BTreeMap<u32, Way>) {
        for (id, group) in &mut self.groups {
            if !groups.contains_key(id) {
                group.carries = Spread::new();
                group.standby = None;
            }
        }
        // One out of our range can carry nothing that we understand.
        let nameable = FIRST_NEXTHOP_ID..FIRST_NEXTHOP_ID + IDS;
        for (id, lead) in groups.iter().filter(|(id, _)| nameable.contains(id)) {
            let group = self.groups.entry(*id).or_insert_with(Group::unclaimed);
            match lead {
                Lead::Share(members) => {
                    let ways = members.iter();
                    group.carries = ways
                        .filter_map(|(member, weight)| Some((*nexthops.get(member)?, *weight)))
                        .collect();
                    group.carries.sort_unstable();
                    if let [(_, weight)] = &mut group.carries[..] {
                        *weight = 1;
                    }
                    group.standby = None;
                    group.kind = Kind::Sharing;
                }
                Lead::Alone { first, standby } => {
                    let first = nexthops.get(first).map(|way| (*way, 1));
                    group.carries = first.into_iter().collect();
                    group.standby = standby.and_then(|standby| nexthops.get(&standby).copied());
                    group.kind = Kind::Alone;
                }
            }
        }
    }
}
