//! Several paths for a prefix to one peer (RFC 7911).
//!
//! Such a peer shares its group with nobody: what it is told follows from all paths, its own left
//! out, so hardly two would be told the same. A path is named by the number of its source, which is
//! its own for as long as it is there. What was sent is a list for each prefix.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::Rib;
use super::super::attrs::AttrsId;
use super::super::decision;
use super::super::table::{Path, Slot};
use super::batch::{Audience, Change};
use super::group::Group;
use crate::types::PathId;

/// The paths that a peer was sent for a prefix.
pub(in crate::rib) type SentPaths = SmallVec<[(PathId, AttrsId); 2]>;

/// By place in the table; those without any are not in it.
pub(super) type PathTable = HashMap<usize, SentPaths, FixedState>;

impl Rib {
    /// As [`Rib::look`], for a group that is told of several paths.
    pub(super) fn look_at_paths(&mut self, group: &mut Group, slot: Slot) {
        self.review(slot);
        group.table_mut(slot.family).dirty.remove(slot.index);
        let mut new = self.wanted_paths(group, slot);
        let old = group.table(slot.family).paths.get(&slot.index).cloned();
        let old = old.unwrap_or_default();
        let told = (!old.is_empty(), !new.is_empty());
        if group.holds_back(slot, told, &mut self.outputs) {
            for (_, attrs) in std::mem::take(&mut new) {
                self.attrs.release(attrs);
            }
        }
        group.table_mut(slot.family).paths.remove(&slot.index);
        if old != new {
            self.tell_paths(group, slot, &old, &new);
        }
        for (_, attrs) in old {
            self.attrs.release(attrs);
        }
        if !new.is_empty() {
            group.table_mut(slot.family).paths.insert(slot.index, new);
        }
    }

    fn tell_paths(&mut self, group: &Group, slot: Slot, old: &SentPaths, new: &SentPaths) {
        let prefix = self.tables.prefix(slot);
        let batch = &mut self.scratch.log;
        for (id, attrs) in new.iter().filter(|path| !old.contains(path)) {
            let path = (prefix, *id, *attrs);
            batch.announce(Audience::ALL, path, &self.attrs, &group.policy);
        }
        for (id, _) in old {
            if new.iter().all(|(known, _)| known != id) {
                batch.withdraw(Audience::ALL, prefix, *id);
            }
        }
        batch.changes.push(Change {
            family: slot.family,
            index: u32::try_from(slot.index).unwrap_or(u32::MAX),
            before: None,
        });
        if old.is_empty() {
            self.tables.entry_mut(slot).told += 1;
        } else if new.is_empty() {
            batch.withdrawn.push(slot);
        }
    }

    /// What the member is to know of a place, each held once for the caller.
    fn wanted_paths(&mut self, group: &mut Group, slot: Slot) -> SentPaths {
        let prefix = self.tables.prefix(slot);
        let mut wanted = SentPaths::new();
        if self.aggregates.suppresses(&prefix) {
            return wanted;
        }
        for path in self.paths_for(group, slot) {
            let sender = self.sources.source(path.source).sender();
            let exported = path.accepted.and_then(|accepted| {
                let policy = &mut group.policy;
                policy.export(accepted, sender, &prefix, &mut self.attrs)
            });
            wanted.extend(exported.map(|attrs| (path.source.path_id(), attrs)));
        }
        wanted
    }

    /// Paths that may be sent: all, or the best ones if there are more than the member takes.
    fn paths_for(&self, group: &Group, slot: Slot) -> SmallVec<[Path; 8]> {
        let key = group.policy.key();
        let paths = self.tables.entry(slot).paths.as_slice();
        let theirs = |path: &Path| self.sources.source(path.source).peer == key.alone();
        let eligible: SmallVec<[Path; 8]> = paths
            .iter()
            .filter(|path| self.is_eligible(path) && !theirs(path))
            .copied()
            .collect();
        let limit = key.path_limit();
        if limit == 0 || eligible.len() <= limit {
            return eligible;
        }
        let candidates: Vec<_> = eligible.iter().map(|path| self.candidate(path)).collect();
        let ranked = decision::rank(&candidates, limit, self.config.med);
        ranked.into_iter().map(|place| eligible[place]).collect()
    }

    /// As [`Rib::owe`], where the chosen path is still the same: those who are told of others have
    /// to look.
    pub(in crate::rib) fn owe_paths(&mut self, slot: Slot) {
        if !self.groups.has_several_paths() {
            return;
        }
        for group in self.groups.iter_mut() {
            if group.has_several_paths(slot.family) {
                group.owe(slot, None, &mut self.outputs);
            }
        }
    }
}
