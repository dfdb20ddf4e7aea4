//! Work: the steps that bring the kernel where it is wanted, in the order that keeps traffic whole.

use std::collections::BTreeSet;
use std::time::Instant;

use bgp::Prefix;
use smallvec::SmallVec;

use super::super::{Step, Way};
use super::{BATCH, Carrier, GroupKey, SETTLE, Table};

impl Table {
    /// Groups that waited long enough: what is still parked moves on its own, then the group does.
    pub(super) fn release_waiting(&mut self, now: Instant) {
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

    pub(super) fn emit_groups(&mut self, steps: &mut Vec<Step>, now: Instant) {
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
                if leaves_a_live_way && (!group.parked.is_empty() || self.has_leavers(key)) {
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

    /// Whether a step is outstanding that takes a route off this group. Routes that have nothing to
    /// do with it must not hold it up: in steady churn there is always one.
    fn has_leavers(&self, key: u32) -> bool {
        self.dirty_routes.iter().any(|prefix| {
            self.routes.get(prefix).is_some_and(|route| {
                route.carried == Carrier::Group(GroupKey(key))
                    && route.wanted.group() != Some(GroupKey(key))
            })
        })
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

    pub(super) fn emit_routes(&mut self, steps: &mut Vec<Step>) {
        let batch: Vec<Prefix> = self.dirty_routes.iter().take(BATCH).copied().collect();
        for prefix in batch {
            self.dirty_routes.remove(&prefix);
            let Some(route) = self.routes.get(&prefix) else {
                continue;
            };
            match route.wanted.group() {
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
    pub(super) fn emit_garbage(&mut self, steps: &mut Vec<Step>) {
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
