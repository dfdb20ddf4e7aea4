//! Reads, for API and CLI. They decide afresh from what is stored, so they are right even for a
//! prefix that a sweep has yet to reach.

use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Rib;
use super::decision::{self, Candidate, Decision};
use super::interface::{PathView, PeerCounts, RouteView, Step};
use super::select::Ineligible;
use super::source::{Life, SourceCounts, SourceId, index_of};
use super::table::{Path, Slot};
use crate::types::{Family, PeerId, Prefix};

impl Rib {
    /// At most `limit` destinations of a family in order of prefix, the first after `after`.
    ///
    /// Costs a look at every prefix: the table is not kept in order, whoever reads pays for it.
    #[must_use]
    pub fn routes(&self, family: Family, after: Option<Prefix>, limit: usize) -> Vec<RouteView> {
        // The `limit` lowest so far, the highest of them on top.
        let mut lowest: BinaryHeap<(Prefix, Slot)> = BinaryHeap::new();
        for slot in self.tables.slots(family) {
            let prefix = self.tables.prefix(slot);
            let beyond =
                lowest.len() >= limit && lowest.peek().is_none_or(|(top, _)| prefix > *top);
            if beyond || after.is_some_and(|after| prefix <= after) || !self.has_path(slot) {
                continue;
            }
            lowest.push((prefix, slot));
            if lowest.len() > limit {
                lowest.pop();
            }
        }
        lowest
            .into_sorted_vec()
            .into_iter()
            .filter_map(|(_, slot)| self.view(slot))
            .collect()
    }

    /// One destination.
    #[must_use]
    pub fn route(&self, prefix: &Prefix) -> Option<RouteView> {
        self.view(self.tables.find(prefix)?)
    }

    /// The destination that packets to this address follow: the longest prefix with an eligible
    /// path. Costs a lookup per prefix length.
    #[must_use]
    pub fn longest_match(&self, address: IpAddr) -> Option<RouteView> {
        let longest: u8 = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (0..=longest)
            .rev()
            .filter_map(|len| Prefix::new(address, len).ok())
            .filter_map(|prefix| self.route(&prefix.trunc()))
            .find(|view| view.paths.first().is_some_and(|path| path.best))
    }

    /// How many destinations of a family have a path, eligible or not.
    #[must_use]
    pub fn prefix_count(&self, family: Family) -> usize {
        self.occupied[index_of(family)]
    }

    /// Numbers of one peer, those of what is kept of it while it is not up. Maintained, not counted: costs nothing.
    #[must_use]
    pub fn counts(&self, id: PeerId, family: Family) -> PeerCounts {
        let Some(peer) = self.peers.get(&id) else {
            return PeerCounts::default();
        };
        let session = peer.session.as_ref();
        let count = |source: Option<SourceId>| {
            source.map_or_else(SourceCounts::default, |id| self.sources.source(id).counts)
        };
        let place = index_of(family);
        let current = count(session.and_then(|session| session.sources[place]));
        let kept = count(peer.kept[place].map(|kept| kept.source));
        PeerCounts {
            received: current.received + kept.received,
            accepted: current.accepted + kept.accepted,
            best: current.best + kept.best,
            stale: kept.received,
            discarded: current.discarded,
            advertised: self.sent_count(id, family),
            unsendable: self.unsendable_count(id, family),
        }
    }

    /// Every nexthop that a stored path names, in order, also of paths that are filtered. The
    /// owner finds out whether each can be used and says so with
    /// [`Input::Nexthop`](super::Input::Nexthop).
    pub fn nexthops(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.attrs.nexthops()
    }

    /// A number that is different after [`nexthops`](Self::nexthops) changed.
    #[must_use]
    pub fn nexthops_revision(&self) -> u64 {
        self.attrs.nexthops_revision()
    }

    /// How many different attribute sets are stored, received, accepted and sent.
    #[must_use]
    pub fn attrs_count(&self) -> usize {
        self.attrs.len()
    }

    fn has_path(&self, slot: Slot) -> bool {
        let mut paths = self.tables.entry(slot).paths.as_slice().iter();
        paths.any(|path| self.ineligible(path) != Some(Ineligible::Ended))
    }

    fn view(&self, slot: Slot) -> Option<RouteView> {
        let mut eligible: Vec<&Path> = Vec::new();
        let mut others: Vec<(Step, &Path)> = Vec::new();
        for path in self.tables.entry(slot).paths.as_slice() {
            match self.ineligible(path) {
                None => eligible.push(path),
                Some(Ineligible::At(step)) => others.push((step, path)),
                Some(Ineligible::Ended) => {}
            }
        }
        others.sort_by_key(|(step, path)| {
            let source = self.sources.source(path.source);
            (*step, source.peer, self.sources.path_id(path.source))
        });
        let candidates: Vec<Candidate> = eligible.iter().map(|path| self.candidate(path)).collect();
        let mut paths = Vec::with_capacity(eligible.len() + others.len());
        if let Some(Decision { best, steps }) = decision::decide(&candidates, self.config.med) {
            for index in decision::rank(&candidates, candidates.len(), self.config.med) {
                paths.push(self.path_view(eligible[index], index == best, steps[index]));
            }
        }
        paths.extend(
            others
                .into_iter()
                .map(|(step, path)| self.path_view(path, false, step)),
        );
        (!paths.is_empty()).then(|| RouteView {
            prefix: self.tables.prefix(slot),
            paths,
        })
    }

    fn path_view(&self, path: &Path, best: bool, step: Step) -> PathView {
        let source = self.sources.source(path.source);
        PathView {
            peer: source.peer,
            path_id: self.sources.path_id(path.source),
            stale: source.life != Life::Alive,
            attrs: Arc::clone(self.attrs.value(path.accepted.unwrap_or(path.received))),
            best,
            step,
        }
    }
}
