//! Reads, for API and CLI. They decide afresh from what is stored, so they are right even for a
//! prefix that a sweep has yet to reach.

use std::net::IpAddr;
use std::sync::Arc;

use super::Rib;
use super::decision::{self, Candidate, Decision};
use super::interface::{PathView, PeerCounts, Place, PrefixPage, RouteView, Selection, Step};
use super::preference::{Asked, Preference, is_asked};
use super::select::Ineligible;
use super::source::{Life, SourceCounts, SourceId, index_of};
use super::stale::Kept;
use super::table::{Path, Slot};
use crate::attrs::Attrs;
use crate::types::{Family, PeerId, Prefix};

/// How many paths of a prefix are shown in order; further ones follow in none. To bring many in order
/// where ranks or MEDs differ costs their number squared, and nobody reads so far.
const RANKED: usize = 64;

impl Rib {
    /// Prefixes of a family in the order of the table, which is none: at most `limit` places are
    /// looked at. `from` is `None` at first, then what the page before said. Whoever wants them all
    /// in order collects and sorts them, and asks for [`views`](Self::views) page by page: so no
    /// reader holds up the table for long. A prefix that comes or goes meanwhile may be missing.
    #[must_use]
    pub fn prefixes(
        &self,
        family: Family,
        selection: Selection,
        from: Option<Place>,
        limit: usize,
    ) -> PrefixPage {
        let start = from.map_or(0, |place| place.0);
        let end = self.tables.end(family).min(start.saturating_add(limit));
        let slots = (start..end).map(|index| Slot { family, index });
        PrefixPage {
            prefixes: slots
                .filter(|slot| self.is_selected(*slot, selection))
                .map(|slot| self.tables.prefix(slot))
                .collect(),
            next: (end < self.tables.end(family)).then_some(Place(end)),
        }
    }

    /// These destinations, in the same order, without those that are gone.
    #[must_use]
    pub fn views(&self, prefixes: &[Prefix]) -> Vec<RouteView> {
        prefixes
            .iter()
            .filter_map(|prefix| self.route(prefix))
            .collect()
    }

    /// What a peer was last told of a prefix, as far as the RIB has handed over.
    #[must_use]
    pub fn advertised(&self, peer: PeerId, prefix: &Prefix) -> Option<Arc<Attrs>> {
        let sent = self.sent(peer, self.tables.find(prefix)?)?;
        Some(Arc::clone(self.attrs.value(sent)))
    }

    fn is_selected(&self, slot: Slot, selection: Selection) -> bool {
        match selection {
            Selection::All => self.has_path(slot),
            Selection::ReceivedFrom(peer) => {
                let mut paths = self.tables.entry(slot).paths.as_slice().iter();
                paths.any(|path| {
                    let source = self.sources.source(path.source);
                    source.peer == Some(peer) && source.life != Life::Ended
                })
            }
            Selection::AdvertisedTo(peer) => self.sent(peer, slot).is_some(),
            Selection::Within(prefix) => {
                prefix.contains(&self.tables.prefix(slot)) && self.has_path(slot)
            }
        }
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

    /// The address of a peer that is configured.
    #[must_use]
    pub fn peer_address(&self, id: PeerId) -> Option<IpAddr> {
        self.peers.get(&id).map(|peer| peer.config.address)
    }

    /// Every peer that is configured, with its address.
    pub fn peer_addresses(&self) -> impl Iterator<Item = (PeerId, IpAddr)> + '_ {
        let all = self.peers.iter();
        all.map(|(id, peer)| (*id, peer.config.address))
    }

    /// How much a peer is to like its link, and what it is asked with every path because of that; `None`:
    /// nothing is asked of it.
    #[must_use]
    pub fn asked(&self, id: PeerId) -> Option<(Preference, Asked)> {
        let peer = self.peers.get(&id)?;
        let is_said = peer.preference != Preference::Unsaid;
        (is_said && is_asked(&self.config, &peer.config)).then(|| {
            let asked = Asked::new(&self.config, &peer.config, peer.preference);
            (peer.preference, asked)
        })
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
        let kept = peer.kept[place].iter().flat_map(Kept::sources);
        let kept = kept.map(|source| count(Some(source)));
        let sum = |of: fn(&SourceCounts) -> usize| kept.clone().map(|counts| of(&counts)).sum();
        let stale: usize = sum(|counts| counts.received);
        PeerCounts {
            received: current.received + stale,
            accepted: current.accepted + sum(|counts| counts.accepted),
            best: current.best + sum(|counts| counts.best),
            stale,
            discarded: current.discarded,
            advertised: self.sent_count(id, family),
            unsendable: self.unsendable_count(id, family),
            held_back: self.held_back_count(id, family),
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
            let mut order = decision::rank(&candidates, RANKED, self.config.med);
            let ranked = order.clone();
            order.extend((0..candidates.len()).filter(|index| !ranked.contains(index)));
            for index in order {
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
            received: Arc::clone(self.attrs.value(path.received)),
            best,
            step,
        }
    }
}
