//! Work: the steps that bring the kernel where it is wanted, in the order that keeps traffic whole.

use std::collections::BTreeSet;
use std::time::Instant;

use bgp::Prefix;
use smallvec::SmallVec;

use super::super::{Lead, Spread, Step, Way};
use super::discards::Wish;
use super::{BATCH, Carrier, GroupKey, Kind, Route, SETTLE, State, Table, Wanted};

impl Table {
    /// Groups that waited long enough: what is still parked moves on its own, then the group does.
    pub(super) fn release_waiting(&mut self, now: Instant) {
        let mut parked = 0;
        for (key, group) in &mut self.groups {
            if group.move_at.is_some_and(|at| at <= now) {
                group.move_at = None;
                group.closing = true;
                parked += group.parked;
                self.dirty_groups.insert(*key);
            }
        }
        self.review(State::Parked, parked);
    }

    pub(super) fn emit_groups(&mut self, steps: &mut Vec<Step>, now: Instant) {
        let mut parked = 0;
        for key in std::mem::take(&mut self.dirty_groups) {
            let target = self.target(GroupKey(key));
            let Some(group) = self.groups.get(&key) else {
                continue;
            };
            if target.is_empty() || group.carried_by == 0 {
                continue;
            }
            if group.carries != target {
                // Routes about to leave the group would be moved along with it.
                let has_leavers = group.parked > 0 || group.leavers > 0;
                if has_leavers && self.is_alive(group) {
                    self.dirty_groups.insert(key);
                    if let Some(group) = self.groups.get_mut(&key) {
                        group.move_at.get_or_insert(now + SETTLE);
                    }
                    continue;
                }
                parked += group.parked;
                self.emit_group(key, target, steps);
            } else if group.standby != self.standby(GroupKey(key), &target) {
                self.emit_group(key, target, steps);
            }
            self.emit_standby(key, steps);
        }
        // What they waited for may not be where their group leads from here on.
        self.review(State::Parked, parked);
        if !steps.is_empty() {
            // Nexthops before the groups that name them.
            steps.sort_by_key(|step| !matches!(step, Step::SetNexthop { .. }));
        }
    }

    fn emit_group(&mut self, key: u32, target: Spread, steps: &mut Vec<Step>) {
        let kind = self.kind(GroupKey(key));
        let standby = self.standby(GroupKey(key), &target);
        let lead = match (kind, &target[..]) {
            (Kind::Alone, [(way, _)]) => Lead::Alone {
                first: self.emit_nexthop(*way, steps),
                standby: standby.map(|way| self.emit_nexthop(way, steps)),
            },
            (Kind::Alone | Kind::Sharing, _) => Lead::Share(
                target
                    .iter()
                    .map(|(way, weight)| (self.emit_nexthop(*way, steps), *weight))
                    .collect(),
            ),
        };
        steps.push(Step::SetGroup { id: key, lead });
        if let Some(group) = self.groups.get_mut(&key) {
            group.kind = kind;
            group.carries = target;
            group.standby = standby;
            group.move_at = None;
            group.closing = false;
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
        let id = self.fresh_id();
        self.nexthops.insert(way, id);
        steps.push(Step::SetNexthop { id, way });
        id
    }

    /// New routes that discard: before what they take the place of goes.
    pub(super) fn emit_discards(&mut self, steps: &mut Vec<Step>) {
        for prefix in self.dirty_discards(|_, wanted| wanted == Wish::Yes) {
            steps.push(Step::SetDiscard { prefix });
            self.discards.done(prefix, self.pass);
        }
    }

    /// Those that go: behind the route that comes in their place, so that packets never take a shorter one between.
    pub(super) fn emit_discards_gone(&mut self, steps: &mut Vec<Step>) {
        let is_followed = |prefix: &Prefix| {
            let route = self.routes.get(prefix);
            route.is_some_and(|it| it.state == State::Dirty && it.wanted.group().is_some())
        };
        let gone = |prefix: &Prefix, wanted| wanted == Wish::No && !is_followed(prefix);
        for prefix in self.dirty_discards(gone) {
            steps.push(Step::RemoveDiscard { prefix });
            self.discards.done(prefix, self.pass);
        }
    }

    fn dirty_discards(&self, is_due: impl Fn(&Prefix, Wish) -> bool) -> Vec<Prefix> {
        let dirty = self.discards.dirty();
        let due = dirty.filter(|(prefix, wanted)| is_due(prefix, *wanted));
        due.take(BATCH).map(|(prefix, _)| prefix).collect()
    }

    pub(super) fn emit_routes(&mut self, steps: &mut Vec<Step>) {
        self.routes.touch(self.queue.upcoming().take(BATCH));
        while steps.len() < BATCH
            && let Some(prefix) = self.queue.pop()
        {
            let before = self.known(&prefix);
            let mut after = Route {
                is_queued: false,
                ..before
            };
            if before.state == State::Dirty {
                after.pass = self.pass;
                self.emit_route(prefix, &mut after, steps);
            }
            self.remember(prefix, before, after);
        }
    }

    fn emit_route(&mut self, prefix: Prefix, route: &mut Route, steps: &mut Vec<Step>) {
        route.state = State::Right;
        let carried = match route.wanted {
            Wanted::Group(key) if self.emit_carrier(key, steps) => {
                let nexthop = key.0;
                steps.push(Step::SetRoute { prefix, nexthop });
                route.carried = Carrier::Group(key);
                return;
            }
            // None of the wanted ways is there: what the kernel has for the prefix leads elsewhere.
            Wanted::Group(_) => {
                route.state = State::Blocked;
                std::mem::replace(&mut route.carried, Carrier::None)
            }
            Wanted::Nothing | Wanted::Unasked => {
                std::mem::replace(&mut route.carried, Carrier::None)
            }
        };
        if carried != Carrier::None {
            steps.push(Step::RemoveRoute { prefix });
        }
    }

    /// Has a group ready for its next route. `false`: none of its ways is there.
    fn emit_carrier(&mut self, key: GroupKey, steps: &mut Vec<Step>) -> bool {
        let group = self.groups.get(&key.0);
        if group.is_some_and(|group| group.is_in_kernel() && group.carried_by > 0) {
            return true;
        }
        let target = self.target(key);
        if target.is_empty() {
            return false;
        }
        if group.is_none_or(|group| group.carries != target) {
            self.emit_group(key.0, target, steps);
        }
        self.emit_standby(key.0, steps);
        true
    }

    /// Removes objects that nothing uses. Only when no route step is outstanding, so that an object
    /// in use is never removed: the kernel would take its routes along.
    pub(super) fn emit_garbage(&mut self, steps: &mut Vec<Step>) {
        if !self.swept || self.in_pass {
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
            group.standby = None;
            if !std::mem::take(&mut group.carries).is_empty() {
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
            .filter(|group| group.is_in_kernel())
            .flat_map(|group| {
                let hops = group.members.iter().map(|member| member.hop);
                hops.filter_map(|hop| self.ways.get(&hop).copied())
                    .chain(group.carries.iter().map(|(way, _)| *way))
                    .chain(group.standby)
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
