//! Work that touches many prefixes, in bites.
//!
//! One walk over the whole table serves all that asks for one. What comes up during a walk gets the
//! next one, so a steady stream of events makes walk follow walk and never restarts one that
//! then would not end. Finding the prefixes of one peer by looking at all costs tens of
//! nanoseconds for each that is not its own; an index per peer would cost memory for every path.

use super::Rib;
use super::bitset::BitSet;
use super::export::Retired;
use super::source::{Life, SourceId};
use super::table::{Path, Slot};
use crate::types::{Family, Prefix};

/// Where a walk is, and what it looks for.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    at: Option<Slot>,
    current: Errand,
    next: Errand,
}

/// What a walk looks for.
#[derive(Debug, Default)]
struct Errand {
    /// Sources whose paths may have become eligible or not.
    sources: BitSet,
    /// Sources whose import filter changed.
    filtered: BitSet,
    /// Look at every path.
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Scope {
    /// Prefixes with a path of one of the sources.
    #[default]
    Sources,
    /// Every prefix.
    Everything,
}

/// There is work left for another bite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unfinished;

impl Errand {
    fn is_empty(&self) -> bool {
        self.scope == Scope::Sources && self.sources.is_empty()
    }

    fn concerns(&self, session: SourceId) -> bool {
        self.scope == Scope::Everything || self.sources.contains(session.index())
    }
}

impl Sweep {
    pub(super) fn recheck(&mut self, source: SourceId) {
        self.next.sources.insert(source.index());
    }

    pub(super) fn refilter(&mut self, source: SourceId) {
        self.recheck(source);
        self.next.filtered.insert(source.index());
    }

    pub(super) fn recheck_everything(&mut self) {
        self.next.scope = Scope::Everything;
    }

    /// Whether some prefix may not have been brought up to date yet.
    pub(super) fn is_pending(&self) -> bool {
        self.at.is_some() || !self.next.is_empty()
    }

    /// - `session`: the source of the session that brought the path
    fn concerns(&self, session: SourceId) -> bool {
        self.current.concerns(session) || self.next.concerns(session)
    }

    fn refilters(&self, session: SourceId) -> bool {
        let index = session.index();
        self.current.filtered.contains(index) || self.next.filtered.contains(index)
    }
}

impl Rib {
    /// Does at most `budget` prefixes' worth of what is left.
    pub(super) fn work(&mut self, budget: usize) -> Option<Unfinished> {
        let mut budget = budget;
        self.work_on_aggregates(&mut budget);
        self.work_on_originated(&mut budget);
        self.work_on_retired(&mut budget);
        self.work_on_sweep(&mut budget);
        if self.can_shrink() {
            self.tables.shrink(&mut budget);
            if !self.tables.is_sparse() {
                self.groups.shrink(&self.tables);
            }
        }
        let done = self.counting.is_none()
            && self.originate_pending.is_empty()
            && self.retired.is_empty()
            && !self.sweep.is_pending()
            && !self.can_shrink();
        (!done).then_some(Unfinished)
    }

    /// Whether the table can give memory back: much of it is free, and nobody has such a place in mind.
    pub(super) fn can_shrink(&self) -> bool {
        self.tables.is_sparse()
            && self.counting.is_none()
            && self.retired.is_empty()
            && !self.sweep.is_pending()
            && self.groups.are_quiet()
    }

    fn work_on_originated(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(prefix) = self.originate_pending.pop_first()
        {
            *budget -= 1;
            let attrs = if self.originated.contains(&prefix) {
                self.attrs.retain(self.originated_attrs);
                self.originated_attrs
            } else if self.aggregates.is_active(&prefix) {
                self.attrs.acquire(&self.aggregated_attrs)
            } else {
                if let Some(slot) = self.tables.find(&prefix) {
                    self.remove_path(slot, SourceId::OURSELVES);
                }
                continue;
            };
            self.attrs.retain(attrs);
            let path = Path {
                source: SourceId::OURSELVES,
                received: attrs,
                accepted: Some(attrs),
            };
            self.set_path(&prefix, path, &[]);
            self.choose_again(&prefix);
        }
    }

    /// For what is no part of a path of our own: whether it discards.
    fn choose_again(&mut self, prefix: &Prefix) {
        if let Some(slot) = self.tables.find(prefix) {
            let before = self.tables.entry(slot).chosen();
            self.choose(slot, before);
        }
    }

    fn work_on_retired(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(retired) = self.retired.last_mut()
        {
            *budget -= 1;
            let (slot, attrs) = match retired {
                Retired::Sent(family, sent) => {
                    let Some(last) = sent.pop() else {
                        self.retired.pop();
                        continue;
                    };
                    let family = *family;
                    let index = sent.len();
                    let Some(last) = last else { continue };
                    (Slot { family, index }, Some(last.attrs()))
                }
                Retired::Paths(family, next, places) => {
                    if places.is_empty() {
                        self.retired.pop();
                        continue;
                    }
                    let index = *next;
                    *next += 1;
                    let Some(paths) = places.remove(&index) else {
                        continue;
                    };
                    for (_, attrs) in paths {
                        self.attrs.release(attrs);
                    }
                    let family = *family;
                    (Slot { family, index }, None)
                }
                Retired::Kept(family, places) => {
                    let Some(index) = places.next_from(0) else {
                        self.retired.pop();
                        continue;
                    };
                    places.remove(index);
                    let family = *family;
                    (Slot { family, index }, None)
                }
            };
            if let Some(attrs) = attrs {
                self.attrs.release(attrs);
            }
            self.untell(slot);
        }
    }

    fn work_on_sweep(&mut self, budget: &mut usize) {
        while *budget > 0 {
            let Some(slot) = self.next_slot() else {
                return;
            };
            *budget -= 1;
            self.review(slot);
        }
    }

    /// The next place of the walk; at the end of one, the first of the next if that has something
    /// to look for.
    fn next_slot(&mut self) -> Option<Slot> {
        if self.sweep.at.is_none() && !self.sweep.next.is_empty() {
            self.sweep.current = std::mem::take(&mut self.sweep.next);
            self.sweep.at = Some(Slot {
                family: Family::ALL[0],
                index: 0,
            });
        }
        let Some(at) = self.tables.at_or_after(self.sweep.at?) else {
            self.sweep.at = None;
            self.sweep.current = Errand::default();
            return None;
        };
        self.sweep.at = Some(Slot {
            index: at.index + 1,
            ..at
        });
        Some(at)
    }

    /// As [`Rib::review`]. The place of the prefix may be free afterwards.
    pub(super) fn review_prefix(&mut self, prefix: &Prefix) {
        if self.sweep.is_pending()
            && let Some(slot) = self.tables.find(prefix)
        {
            self.review(slot);
        }
    }

    /// Brings one prefix up to date with everything that a walk still has to bring to it.
    pub(super) fn review(&mut self, slot: Slot) {
        if !self.sweep.is_pending() {
            return;
        }
        let entry = self.tables.entry(slot);
        let concerned = entry
            .paths
            .as_slice()
            .iter()
            .any(|path| self.sweep.concerns(self.sources.session_of(path.source)));
        if !concerned {
            return;
        }
        let before = entry.chosen();
        let mut index = 0;
        while let Some(path) = self.tables.entry(slot).paths.as_slice().get(index).copied() {
            let session = self.sources.session_of(path.source);
            if self.is_over(session, &path) {
                self.take_path(slot, index);
                continue;
            }
            if self.sweep.refilters(session) {
                self.refilter_path(slot, index);
            }
            index += 1;
        }
        self.choose(slot, before);
    }

    /// Whether a path is no longer kept. One that says NO_LLGR is not kept for long (RFC 9494 §4.3).
    fn is_over(&self, session: SourceId, path: &Path) -> bool {
        match self.sources.source(session).life {
            Life::Ended => true,
            Life::LongLived => self.attrs.facts(path.received).is_short_lived,
            Life::Alive | Life::Stale => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::Arc;
    use std::time::Instant;

    use super::super::{Input, PeerOptions, RibConfig, RibPeer};
    use super::*;
    use crate::attrs::Attrs;
    use crate::filter::Filter;
    use crate::route::{RouteEvent, SessionUp};
    use crate::types::{Asn, PeerId, RouterId};
    use crate::wire::Dialect;

    const PEER: PeerId = PeerId(1);
    const FAMILY: Family = Family::Ipv6Unicast;

    /// A peer that is up, and attributes that it may send.
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be had from nowhere else"
    )]
    fn with_a_peer() -> (Rib, Arc<Attrs>, Instant) {
        let id = |last| RouterId::new([10, 0, 0, last].into()).unwrap();
        let now = Instant::now();
        let mut rib = Rib::new(RibConfig::new(Asn(1), id(1), 7));
        let peer = RibPeer {
            id: PEER,
            asn: Asn(2),
            address: id(2).address().into(),
            import: Arc::new(Filter::accept_all()),
            export: Arc::new(Filter::accept_all()),
            options: PeerOptions::default(),
        };
        rib.handle(Input::Configure(peer), now);
        let up = SessionUp::new(id(2), Dialect::new(Asn(1), Asn(2)));
        rib.handle(Input::Up(PEER, up), now);
        let attrs = Arc::new(Attrs {
            nexthop: Some(id(2).address().into()),
            ..Attrs::originated()
        });
        (rib, attrs, now)
    }

    #[test]
    fn the_places_of_a_table_that_is_withdrawn_are_given_back() {
        let (mut rib, attrs, now) = with_a_peer();
        let nets = (0..9_000u128).map(|i| Ipv6Addr::from(i << 64));
        let nets: Vec<_> = nets
            .map(|net| Prefix::new(net.into(), 64).unwrap())
            .collect();
        let came = RouteEvent::announce(attrs, nets.clone());
        rib.handle(Input::Routes(PEER, vec![came]), now);
        assert_eq!(rib.tables.end(FAMILY), nets.len());
        let went = RouteEvent::withdraw(nets[1..].to_vec());
        rib.handle(Input::Routes(PEER, vec![went]), now);
        while rib.poll_export(PEER).is_some() {}
        while rib.poll_timeout().is_some_and(|at| at <= now) {
            rib.handle(Input::Timeout, now);
        }
        assert!(rib.tables.end(FAMILY) < 10, "{}", rib.tables.end(FAMILY));
        assert!(rib.tables.find(&nets[0]).is_some());
    }

    #[test]
    fn a_peer_that_refreshes_with_other_prefixes_each_time_piles_up_nothing() {
        let (mut rib, attrs, now) = with_a_peer();
        let some = |from: u128| -> Vec<Prefix> {
            let nets = (from..from + 5_000).map(|i| Ipv6Addr::from(i << 64));
            nets.map(|net| Prefix::new(net.into(), 64).unwrap())
                .collect()
        };
        for round in 0..100 {
            let events = vec![
                RouteEvent::RefreshBegins(FAMILY),
                RouteEvent::announce(Arc::clone(&attrs), some(round * 5_000)),
                RouteEvent::RefreshEnds(FAMILY),
            ];
            rib.handle(Input::Routes(PEER, events), now);
            while rib.poll_output().is_some() {}
        }
        assert!(
            rib.tables.end(FAMILY) < 50_000,
            "{}",
            rib.tables.end(FAMILY)
        );
    }
}
