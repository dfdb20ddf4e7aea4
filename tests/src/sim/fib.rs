//! A FIB that believes what it is told.

use std::collections::BTreeMap;

use bgp::rib::{RouteChange, RouteHop};
use bgp::{PeerId, Prefix};

/// Routes as the RIB gives them, and where the links stand that they lead over.
#[derive(Debug, Default)]
pub(super) struct Fib {
    routes: BTreeMap<Prefix, Vec<RouteHop>>,
    links: BTreeMap<PeerId, Standing>,
}

/// Where the link to a peer stands. Declared in order of preference: a dead link is the last resort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Standing {
    Usable { rank: u32 },
    Dead,
}

impl Fib {
    pub(super) fn apply(&mut self, changes: Vec<RouteChange>) {
        for RouteChange { prefix, hops } in changes {
            if hops.is_empty() {
                self.routes.remove(&prefix);
            } else {
                self.routes.insert(prefix, hops.to_vec());
            }
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

    /// The first of the hops that are best by liveness, tier and rank, in this order.
    fn best(&self, hops: &[RouteHop]) -> Option<PeerId> {
        let order = |hop: &&RouteHop| match self.links.get(&hop.hop.peer) {
            Some(Standing::Dead) => (Standing::Dead, hop.tier, 0),
            Some(Standing::Usable { rank }) => (Standing::Usable { rank: 0 }, hop.tier, *rank),
            None => (Standing::Usable { rank: 0 }, hop.tier, 0),
        };
        hops.iter().min_by_key(order).map(|hop| hop.hop.peer)
    }
}
