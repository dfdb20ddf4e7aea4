//! A FIB that believes what it is told.

use std::collections::BTreeMap;

use bgp::rib::{RouteChanges, RouteHop, RouteTo};
use bgp::{PeerId, Prefix};

/// Routes as the RIB gives them, and where the links stand that they lead over.
#[derive(Debug, Default)]
pub(super) struct Fib {
    routes: BTreeMap<Prefix, Vec<RouteHop>>,
    links: BTreeMap<PeerId, Standing>,
}

/// Where the link to a peer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Usable { rank: u32, tiebreak: u32 },
    Dead,
}

impl Fib {
    pub(super) fn apply(&mut self, changes: &RouteChanges) {
        for (prefix, to) in changes.iter() {
            match to {
                RouteTo::Hops(hops) => self.routes.insert(prefix, hops.to_vec()),
                RouteTo::Nothing | RouteTo::Discard => self.routes.remove(&prefix),
            };
        }
    }

    /// Replaces what was said before. A peer that is not named is on no link.
    pub(super) fn set_links(&mut self, links: BTreeMap<PeerId, Standing>) {
        self.links = links;
    }

    /// The peer that packets to each destination go to.
    pub(super) fn effective(&self) -> BTreeMap<Prefix, PeerId> {
        let routes = self.routes.iter();
        routes
            .filter_map(|(prefix, hops)| Some((*prefix, self.best(hops)?)))
            .collect()
    }

    /// The first of the hops that are best by liveness, tier and rank, then MED, then the link in use, in
    /// this order.
    fn best(&self, hops: &[RouteHop]) -> Option<PeerId> {
        let standing = |hop: &RouteHop| match self.links.get(&hop.hop.peer) {
            Some(Standing::Dead) => (true, 0, 0),
            Some(Standing::Usable { rank, tiebreak }) => (false, *rank, *tiebreak),
            None => (false, 0, 0),
        };
        let class = |hop: &RouteHop| {
            let (is_dead, rank, _) = standing(hop);
            (is_dead, hop.tier, rank)
        };
        let first = hops.iter().map(class).min()?;
        let best: Vec<&RouteHop> = hops.iter().filter(|hop| class(hop) == first).collect();
        let wished = best.iter().filter(|hop| {
            let mut rivals = best.iter();
            !rivals.any(|other| hop.med.loses_to(other.med))
        });
        let first = wished.min_by_key(|hop| standing(hop).2);
        first.map(|hop| hop.hop.peer)
    }
}
