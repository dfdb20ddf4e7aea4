//! From the paths of a prefix to its route: which are eligible, which is best, and who has to know.

use std::sync::Arc;

use smallvec::SmallVec;

use super::decision::{self, Candidate};
use super::interface::{Output, RouteChange, RouteHop, Standing, Step};
use super::source::{Kind, Life};
use super::table::{Path, Slot};
use super::{CHANGES, Hops, Rib};
use crate::types::Hop;

/// How many hops a route has at most.
const MAX_HOPS: usize = 8;

/// Where there is no LOCAL_PREF. Every implementation uses it; no RFC names it.
pub(super) const DEFAULT_LOCAL_PREF: u32 = 100;

/// The eligible paths of a prefix, as places in its entry.
struct Ranking {
    /// Best first.
    ranked: SmallVec<[usize; 4]>,
    /// In the order of hops, with tiers.
    tiers: SmallVec<[(usize, u8); 4]>,
}

impl Rib {
    /// Chooses the route of a prefix again after its paths, or what they depend on, changed.
    ///
    /// - `before`: the path chosen before the change
    pub(super) fn choose(&mut self, slot: Slot, before: Option<Path>) {
        let Ranking { ranked, tiers } = self.rank_paths(slot);
        self.store_route(slot, &tiers);
        let entry = self.tables.entry_mut(slot);
        if let Some(&best) = ranked.first() {
            entry.paths.as_mut_slice().swap(0, best);
        }
        let after = entry.chosen();
        let identity = |path: Path| (path.source, path.accepted);
        if before.map(identity) != after.map(identity) {
            self.count_best(slot, before, after);
            self.owe(slot, after);
        }
        self.free_if_unused(slot);
    }

    fn rank_paths(&self, slot: Slot) -> Ranking {
        let paths = self.tables.entry(slot).paths.as_slice();
        if let [path] = paths {
            let eligible = usize::from(self.ineligible(path).is_none());
            return Ranking {
                ranked: (0..eligible).collect(),
                tiers: (0..eligible).map(|place| (place, 0)).collect(),
            };
        }
        let mut places: SmallVec<[usize; 4]> = SmallVec::new();
        let mut candidates: SmallVec<[Candidate; 4]> = SmallVec::new();
        for (place, path) in paths.iter().enumerate() {
            if self.ineligible(path).is_none() {
                places.push(place);
                candidates.push(self.candidate(path));
            }
        }
        let ranked = decision::rank(&candidates, MAX_HOPS);
        let tiers = decision::tiers(&candidates, &ranked);
        Ranking {
            ranked: ranked.iter().map(|&index| places[index]).collect(),
            tiers: tiers
                .iter()
                .map(|&(index, tier)| (places[index], tier))
                .collect(),
        }
    }

    /// Why a path is out of the question, if it is.
    pub(super) fn ineligible(&self, path: &Path) -> Option<Ineligible> {
        let source = self.sources.source(path.source);
        if source.life == Life::Ended {
            return Some(Ineligible::Ended);
        }
        let Some(accepted) = path.accepted else {
            return Some(Ineligible::At(Step::Filtered));
        };
        if source.kind == Kind::Originated {
            return None;
        }
        if self.is_looped(path) {
            return Some(Ineligible::At(Step::AsLoop));
        }
        if source.standing == Standing::Unusable {
            return Some(Ineligible::At(Step::LinkUnusable));
        }
        match self.attrs.value(accepted).nexthop {
            Some(nexthop)
                if self.unreachable.is_empty() || !self.unreachable.contains(&nexthop) =>
            {
                None
            }
            _ => Some(Ineligible::At(Step::NexthopUnreachable)),
        }
    }

    pub(super) fn candidate(&self, path: &Path) -> Candidate {
        let source = self.sources.source(path.source);
        let attrs = self.attrs.value(path.accepted.unwrap_or(path.received));
        Candidate {
            kind: source.kind,
            local_pref: attrs.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            as_path_length: attrs.as_path.length(),
            origin: attrs.origin,
            link: match source.standing {
                Standing::Ranked { group, rank } => Some((group, rank)),
                Standing::Unranked | Standing::Unusable => None,
            },
            // As received: an import filter that prepends does not move the path to another AS.
            neighbour: self.attrs.value(path.received).as_path.first(),
            med: attrs.med.unwrap_or(0),
            router_id: source.router_id,
            address: source.address,
            peer: source.peer,
        }
    }

    fn hops_of(&self, slot: Slot, tiers: &[(usize, u8)]) -> Hops {
        let paths = self.tables.entry(slot).paths.as_slice();
        let hop = |path: &Path| {
            Some(Hop {
                peer: self.sources.source(path.source).peer?,
                address: self.attrs.value(path.received).nexthop?,
            })
        };
        let best_is_ours = tiers
            .first()
            .is_some_and(|&(best, _)| hop(&paths[best]).is_none());
        if best_is_ours {
            return Hops::new();
        }
        tiers
            .iter()
            .filter_map(|&(place, tier)| {
                let hop = hop(&paths[place])?;
                Some(RouteHop {
                    hop,
                    tier,
                    weight: 0,
                })
            })
            .collect()
    }

    /// Remembers the hops, and gives them out if they changed.
    fn store_route(&mut self, slot: Slot, tiers: &[(usize, u8)]) {
        let hops = self.hops_of(slot, tiers);
        let old = self.tables.entry(slot).route;
        let known = old.map(|id| &**self.hops.value(id));
        let changed = known.map_or(&[][..], |hops| hops) != &hops[..];
        if known.is_some() && !changed && !tiers.is_empty() {
            return;
        }
        if changed {
            let prefix = self.tables.prefix(slot);
            let hops = hops.clone();
            self.changes.push(RouteChange { prefix, hops });
            if self.changes.len() >= CHANGES {
                self.flush_changes();
            }
        }
        let route = (!tiers.is_empty()).then(|| self.hops.acquire(&Arc::new(hops)).0);
        self.tables.entry_mut(slot).route = route;
        if let Some(old) = old {
            self.hops.release(old);
        }
    }

    /// Gives out what has been collected.
    pub(super) fn flush_changes(&mut self) {
        if !self.changes.is_empty() {
            let changes = std::mem::take(&mut self.changes);
            self.outputs.push_back(Output::Routes(changes));
        }
    }

    fn count_best(&mut self, slot: Slot, before: Option<Path>, after: Option<Path>) {
        if let Some(after) = after {
            let counts = self
                .sources
                .source_mut(after.source)
                .counts_mut(slot.family);
            counts.best += 1;
        }
        if let Some(before) = before {
            let counts = self
                .sources
                .source_mut(before.source)
                .counts_mut(slot.family);
            counts.best -= 1;
            self.sources.free_if_gone(before.source);
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

/// Why a path can not be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ineligible {
    /// For a reason that a reader is told.
    At(Step),
    /// The session that brought it ended: it is as good as gone.
    Ended,
}
