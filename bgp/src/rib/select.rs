//! From the paths of a prefix to its route: which are eligible, which is best, and who has to know.

use smallvec::SmallVec;

use super::aggregate::Presence;
use super::attrs::{AttrsId, Facts, Leads};
use super::changes::{RouteChanges, RouteTo};
use super::decision::{self, Candidate, Class, LinkPlace, Places, Staleness, Tiered};
use super::interface::{Forwarding, MedPlace, NexthopState, Output, RouteHop, Standing, Step};
use super::multipath;
use super::source::{Kind, Life};
use super::table::{Path, Slot};
use super::{CHANGES, Peer, Rib};
use crate::types::Hop;

/// How many hops a route has at most.
pub(super) const MAX_HOPS: usize = 8;

/// Where there is no LOCAL_PREF. Every implementation uses it; no RFC names it.
pub(super) const DEFAULT_LOCAL_PREF: u32 = crate::Attrs::DEFAULT_LOCAL_PREF;

/// A path on its way to becoming a hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ranked {
    /// In its entry.
    place: usize,
    tier: u8,
    med: MedPlace,
    weight: u8,
}

impl Ranked {
    /// One that takes all traffic, or none.
    fn active(place: usize, tier: u8, med: MedPlace) -> Self {
        Self {
            place,
            tier,
            med,
            weight: 0,
        }
    }
}

/// The eligible paths of a prefix.
struct Ranking {
    /// The place of the best one.
    best: Option<usize>,
    /// In the order of hops; none where nobody asks for them.
    hops: SmallVec<[Ranked; 8]>,
}

impl Rib {
    /// Chooses the route of a prefix again after its paths, or what they depend on, changed.
    ///
    /// - `before`: the path chosen before the change
    pub(super) fn choose(&mut self, slot: Slot, before: Option<Path>) {
        let ranking = self.rank_paths(slot);
        self.store_route(slot, &ranking);
        let entry = self.tables.entry_mut(slot);
        if let Some(best) = ranking.best {
            entry.paths.as_mut_slice().swap(0, best);
        }
        let after = entry.chosen();
        let identity = |path: Path| (path.source, path.accepted);
        if before.map(identity) != after.map(identity) {
            self.count_best(before, after);
            self.note_presence(slot, before, after);
            self.owe(slot, after);
        } else {
            self.owe_paths(slot);
        }
        self.free_if_unused(slot);
    }

    fn rank_paths(&self, slot: Slot) -> Ranking {
        let paths = self.tables.entry(slot).paths.as_slice();
        if let [path] = paths {
            let alone = self
                .is_eligible(path)
                .then(|| Ranked::active(0, 0, MedPlace::default()));
            return Ranking {
                best: alone.map(|alone| alone.place),
                hops: alone.filter(|_| self.forwards()).into_iter().collect(),
            };
        }
        let mut places = Places::new();
        let mut candidates: SmallVec<[Candidate; 16]> = SmallVec::new();
        for (place, path) in paths.iter().enumerate() {
            if self.is_eligible(path) {
                places.push(place);
                candidates.push(self.candidate(path));
            }
        }
        let med = self.config.med;
        if !self.forwards() {
            let ranked = decision::rank(&candidates, 1, med);
            return Ranking {
                best: ranked.first().map(|&index| places[index]),
                hops: SmallVec::new(),
            };
        }
        let ranked = decision::rank(&candidates, MAX_HOPS, med);
        let shared = multipath::shared(&candidates, &self.config);
        let hops = if shared.is_empty() {
            decision::tiers(&candidates, &ranked, med)
                .into_iter()
                .map(|Tiered { index, tier, med }| Ranked::active(places[index], tier, med))
                .collect()
        } else {
            let accepted = shared
                .iter()
                .filter_map(|&index| paths[places[index]].accepted);
            let weights = multipath::weights(accepted.map(|id| self.attrs.value(id)));
            let mut rest = ranked.clone();
            rest.retain(|index| !shared.contains(index));
            rest.truncate(MAX_HOPS - shared.len());
            let sharing = shared.iter().zip(weights).map(|(&index, weight)| Ranked {
                weight,
                ..Ranked::active(places[index], 0, MedPlace::default())
            });
            let others = decision::tiers(&candidates, &rest, med).into_iter().map(
                |Tiered { index, tier, med }| {
                    Ranked::active(places[index], tier.saturating_add(1), med)
                },
            );
            sharing.chain(others).collect()
        };
        Ranking {
            best: ranked.first().map(|&index| places[index]),
            hops,
        }
    }

    /// Whether a path that came in place of another leaves the chosen one where it is: both lose to
    /// that before the first pass in which a third path matters, and nobody asks for hops.
    pub(super) fn leaves_best(&self, best: Path, old: Option<Path>, new: Path) -> bool {
        let chosen = self.class(&best);
        let loses = |path: Path| !self.is_eligible(&path) || self.class(&path) > chosen;
        !self.forwards()
            && best.source != new.source
            && old.is_none_or(|old| old.source != best.source && loses(old))
            && loses(new)
    }

    fn class(&self, path: &Path) -> Class {
        let accepted = path.accepted.unwrap_or(path.received);
        let kind = self.sources.source(path.source).kind;
        class(kind, self.attrs.facts(accepted))
    }

    fn forwards(&self) -> bool {
        self.config.forwarding == Forwarding::Here
    }

    /// Whether a path can be chosen.
    pub(super) fn is_eligible(&self, path: &Path) -> bool {
        let source = self.sources.source(path.source);
        let Some(accepted) = path.accepted else {
            return false;
        };
        if source.kind == Kind::Originated {
            return true;
        }
        source.life != Life::Ended
            && source.standing != Standing::Unusable
            && self.metric(accepted).is_some()
    }

    /// Why a path can not be chosen, if it can not.
    pub(super) fn ineligible(&self, path: &Path) -> Option<Ineligible> {
        if self.is_eligible(path) {
            return None;
        }
        let source = self.sources.source(path.source);
        if source.life == Life::Ended {
            return Some(Ineligible::Ended);
        }
        let leads_to_us = |accepted| self.attrs.facts(accepted).nexthop == Leads::ToUs;
        let step = if path.accepted.is_none() {
            let peer = source.peer.and_then(|id| self.peers.get(&id));
            peer.and_then(|peer: &Peer| self.refusal(&peer.ingress, path.received))
                .unwrap_or(Step::Filtered)
        } else if source.standing == Standing::Unusable {
            Step::LinkUnusable
        } else if path.accepted.is_some_and(leads_to_us) {
            Step::NexthopOurs
        } else {
            Step::NexthopUnreachable
        };
        Some(Ineligible::At(step))
    }

    /// To the nexthop that these attributes name; `None` while it is unreachable, or our own.
    fn metric(&self, attrs: AttrsId) -> Option<u32> {
        if self.attrs.facts(attrs).nexthop != Leads::Elsewhere {
            return None;
        }
        if self.nexthops.is_empty() {
            return Some(0);
        }
        let nexthop = self.attrs.value(attrs).nexthop?;
        match self.nexthops.get(&nexthop) {
            Some(NexthopState::Reachable { metric }) => Some(*metric),
            Some(NexthopState::Unreachable) => None,
            None => Some(0),
        }
    }

    pub(super) fn candidate(&self, path: &Path) -> Candidate {
        let source = self.sources.source(path.source);
        let accepted = path.accepted.unwrap_or(path.received);
        let facts = self.attrs.facts(accepted);
        Candidate {
            class: class(source.kind, facts),
            kind: source.kind,
            link: match source.standing {
                Standing::Ranked {
                    group,
                    rank,
                    tiebreak,
                } => Some(LinkPlace {
                    group,
                    rank,
                    tiebreak,
                }),
                Standing::Unranked | Standing::Unusable => None,
            },
            // As received: an import filter that prepends does not move the path to another AS.
            neighbour: self.attrs.facts(path.received).neighbour,
            med: facts.med,
            metric: self.metric(accepted).unwrap_or(0),
            router_id: facts.originator_id.unwrap_or(source.router_id),
            clusters: facts.clusters.into(),
            address: source.address,
            peer: source.peer,
            path_id: self.sources.path_id(path.source),
        }
    }

    /// - `ranked`: in the order of hops; none where nobody asks for routes
    fn route_to(&self, slot: Slot, ranked: &[Ranked]) -> RouteTo {
        let paths = self.tables.entry(slot).paths.as_slice();
        let hop = |path: &Path| {
            Some(Hop {
                peer: self.sources.source(path.source).peer?,
                address: self.attrs.value(path.accepted?).nexthop?,
            })
        };
        let Some(best) = ranked.first().map(|best| &paths[best.place]) else {
            return RouteTo::Nothing;
        };
        if self.discards(slot, best) {
            return RouteTo::Discard;
        }
        if hop(best).is_none() {
            return RouteTo::Nothing;
        }
        let mut hops = SmallVec::<[RouteHop; 2]>::new();
        for ranked in ranked {
            if let Some(hop) = hop(&paths[ranked.place])
                && hops.iter().all(|known| known.hop != hop)
            {
                hops.push(RouteHop {
                    hop,
                    tier: ranked.tier,
                    med: ranked.med,
                    weight: ranked.weight,
                });
            }
        }
        RouteTo::Hops(hops)
    }

    /// Remembers where a route leads, and gives it out if that changed.
    fn store_route(&mut self, slot: Slot, ranking: &Ranking) {
        let to = self.route_to(slot, &ranking.hops);
        let old = self.tables.entry(slot).route;
        let known = old.map(|id| &**self.routes.value(id));
        let changed = *known.unwrap_or(&RouteTo::Nothing) != to;
        if known.is_some() && !changed && ranking.best.is_some() {
            return;
        }
        if changed {
            self.changes.push(self.tables.prefix(slot), &to);
            if self.changes.len() >= CHANGES {
                self.flush_changes();
                // Where so many come, more will.
                self.changes = RouteChanges::with_capacity(CHANGES);
            }
        }
        let route = ranking.best.map(|_| self.routes.acquire_owned(to));
        self.tables.entry_mut(slot).route = route;
        if let Some(old) = old {
            self.routes.release(old);
        }
    }

    /// Gives out what has been collected.
    pub(super) fn flush_changes(&mut self) {
        if !self.changes.is_empty() {
            let changes = std::mem::take(&mut self.changes);
            self.outputs.push_back(Output::Routes(changes));
        }
    }

    fn note_presence(&mut self, slot: Slot, before: Option<Path>, after: Option<Path>) {
        let presence = match (before, after) {
            (None, Some(_)) => Presence::Comes,
            (Some(_), None) => Presence::Goes,
            (None, None) | (Some(_), Some(_)) => return,
        };
        self.count_contributor(slot, presence);
    }

    fn count_best(&mut self, before: Option<Path>, after: Option<Path>) {
        if let Some(after) = after {
            self.sources.count_best(after.source);
        }
        if let Some(before) = before {
            self.sources.uncount_best(before.source);
        }
    }

    /// Gives the place of a prefix back once nobody has a path to it and nobody was told of it.
    pub(super) fn free_if_unused(&mut self, slot: Slot) {
        let entry = self.tables.entry(slot);
        if entry.paths.as_slice().is_empty() && entry.told == 0 {
            self.tables.free(slot);
        }
    }
}

fn class(kind: Kind, facts: &Facts) -> Class {
    let staleness = if facts.is_stale {
        Staleness::LongLived
    } else {
        Staleness::No
    };
    let length = facts.as_path_length.into();
    Class::new(kind, staleness, facts.local_pref, length, facts.origin)
}

/// Why a path can not be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ineligible {
    /// For a reason that a reader is told.
    At(Step),
    /// The session that brought it ended: it is as good as gone.
    Ended,
}
