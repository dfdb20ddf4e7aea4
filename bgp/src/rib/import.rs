//! Adj-RIB-In: what arrives is filtered and stored, as received and as accepted.

use std::sync::Arc;

use super::Rib;
use super::attrs::AttrsId;
use super::source::{SourceId, index_of};
use super::table::{Path, Slot};
use crate::attrs::Attrs;
use crate::filter::{Filter, RuleIndex};
use crate::route::RouteEvent;
use crate::types::{Family, PeerId, Prefix};

/// What one UPDATE became under the rule that accepted its last prefix: prefixes of an UPDATE
/// usually share the rule as well.
type Applied = Option<(RuleIndex, AttrsId)>;

impl Rib {
    pub(super) fn on_routes(&mut self, peer: PeerId, events: Vec<RouteEvent>) {
        let Some(peer) = self.peers.get(&peer) else {
            return;
        };
        let Some(session) = &peer.session else {
            return;
        };
        let source = session.source;
        let families = session.up.dialect.families;
        let carried = |prefix: &Prefix| families.contains(Family::of(prefix));
        let import = Arc::clone(&peer.config.import);
        for event in events {
            match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => {
                    let prefixes = prefixes.iter().filter(|prefix| carried(prefix));
                    self.announce(source, &import, &attrs, prefixes);
                }
                RouteEvent::Withdraw { prefixes, .. } => {
                    for prefix in &prefixes {
                        self.withdraw(source, prefix);
                    }
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }

    fn announce<'a>(
        &mut self,
        source: SourceId,
        import: &Filter,
        attrs: &Arc<Attrs>,
        prefixes: impl Iterator<Item = &'a Prefix>,
    ) {
        let received = self.attrs.acquire(attrs);
        let mut applied = None;
        for prefix in prefixes {
            let accepted = self.import(import, prefix, received, &mut applied);
            self.attrs.retain(received);
            let path = Path {
                source,
                received,
                accepted,
            };
            self.set_path(prefix, path);
        }
        self.release_applied(applied);
        self.attrs.release(received);
    }

    /// The attributes after the import filter, held once for the caller.
    fn import(
        &mut self,
        import: &Filter,
        prefix: &Prefix,
        received: AttrsId,
        applied: &mut Applied,
    ) -> Option<AttrsId> {
        let rule = import.accepting_rule(prefix, self.attrs.value(received))?;
        if let Some((last, accepted)) = *applied
            && last == rule
        {
            self.attrs.retain(accepted);
            return Some(accepted);
        }
        let attrs = import.apply(rule, self.attrs.value(received), self.config.local_asn);
        let accepted = self.attrs.acquire(&attrs);
        self.attrs.retain(accepted);
        self.release_applied(applied.replace((rule, accepted)));
        Some(accepted)
    }

    fn release_applied(&mut self, applied: Applied) {
        if let Some((_, accepted)) = applied {
            self.attrs.release(accepted);
        }
    }

    fn withdraw(&mut self, source: SourceId, prefix: &Prefix) {
        if let Some(slot) = self.tables.find(prefix) {
            self.remove_path(slot, source);
        }
    }

    /// Stores a path in place of the one its source had, and chooses again.
    pub(super) fn set_path(&mut self, prefix: &Prefix, path: Path) {
        self.review_prefix(prefix);
        let slot = self.tables.find_or_insert(prefix);
        let entry = self.tables.entry_mut(slot);
        let before = entry.chosen();
        let paths = entry.paths.as_mut_slice();
        match paths.iter_mut().find(|known| known.source == path.source) {
            Some(known) => {
                let old = std::mem::replace(known, path);
                self.uncount_accepted(slot, &old);
                self.count_accepted(slot, &path);
                self.release_path(&old);
                if old == path {
                    return;
                }
            }
            None => {
                self.occupied[index_of(slot.family)] += usize::from(paths.is_empty());
                entry.paths.push(path);
                let counts = self.sources.source_mut(path.source).counts_mut(slot.family);
                counts.received += 1;
                self.count_accepted(slot, &path);
            }
        }
        self.choose(slot, before);
    }

    /// Removes the path of a source, if it has one, and chooses again.
    pub(super) fn remove_path(&mut self, slot: Slot, source: SourceId) {
        let entry = self.tables.entry(slot);
        let before = entry.chosen();
        let paths = entry.paths.as_slice();
        if let Some(index) = paths.iter().position(|path| path.source == source) {
            self.take_path(slot, index);
            self.choose(slot, before);
        }
    }

    /// Takes a path out of the table. The caller chooses again.
    pub(super) fn take_path(&mut self, slot: Slot, index: usize) {
        let paths = &mut self.tables.entry_mut(slot).paths;
        let Some(path) = paths.as_slice().get(index).copied() else {
            return;
        };
        paths.remove(index);
        self.occupied[index_of(slot.family)] -= usize::from(paths.as_slice().is_empty());
        self.uncount_accepted(slot, &path);
        let counts = self.sources.source_mut(path.source).counts_mut(slot.family);
        counts.received -= 1;
        self.sources.free_if_gone(path.source);
        self.release_path(&path);
    }

    /// Runs the path at `index` through the import filter again. The caller chooses again.
    pub(super) fn refilter_path(&mut self, slot: Slot, index: usize) {
        let Some(old) = self.tables.entry(slot).paths.as_slice().get(index).copied() else {
            return;
        };
        let peer = self.sources.source(old.source).peer;
        let Some(peer) = peer.and_then(|id| self.peers.get(&id)) else {
            return;
        };
        let import = Arc::clone(&peer.config.import);
        let prefix = self.tables.prefix(slot);
        let mut applied = None;
        let accepted = self.import(&import, &prefix, old.received, &mut applied);
        self.release_applied(applied);
        self.attrs.retain(old.received);
        let path = Path { accepted, ..old };
        self.uncount_accepted(slot, &old);
        self.count_accepted(slot, &path);
        if let Some(stored) = self
            .tables
            .entry_mut(slot)
            .paths
            .as_mut_slice()
            .get_mut(index)
        {
            *stored = path;
        }
        self.release_path(&old);
    }

    /// Whether our own AS is in the path as it was received (RFC 4271 §9.1.2): what an import
    /// filter puts in front does not count.
    pub(super) fn is_looped(&self, path: &Path) -> bool {
        let mut asns = self.attrs.value(path.received).as_path.iter();
        asns.any(|asn| asn == self.config.local_asn)
    }

    fn release_path(&mut self, path: &Path) {
        self.attrs.release(path.received);
        if let Some(accepted) = path.accepted {
            self.attrs.release(accepted);
        }
    }

    fn count_accepted(&mut self, slot: Slot, path: &Path) {
        let counted = self.counts_as_accepted(path);
        let counts = self.sources.source_mut(path.source).counts_mut(slot.family);
        counts.accepted += usize::from(counted);
    }

    fn uncount_accepted(&mut self, slot: Slot, path: &Path) {
        let counted = self.counts_as_accepted(path);
        let counts = self.sources.source_mut(path.source).counts_mut(slot.family);
        counts.accepted -= usize::from(counted);
    }

    fn counts_as_accepted(&self, path: &Path) -> bool {
        path.accepted.is_some() && !self.is_looped(path)
    }
}
