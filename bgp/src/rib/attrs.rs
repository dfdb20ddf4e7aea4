//! The attribute sets in use, each stored once, and the nexthops they name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::intern::{Holder, Id, Interner};
use crate::attrs::Attrs;

/// Names an interned set.
pub(super) type AttrsId = Id<Attrs>;

/// Every attribute set that a path, or something sent to a peer, has.
#[derive(Debug)]
pub(super) struct AttrsTable {
    sets: Interner<Attrs>,
    /// How many sets name each.
    nexthops: BTreeMap<IpAddr, usize>,
    nexthops_revision: u64,
}

impl AttrsTable {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            sets: Interner::new(hasher),
            nexthops: BTreeMap::new(),
            nexthops_revision: 0,
        }
    }

    pub(super) fn acquire(&mut self, attrs: &Arc<Attrs>) -> AttrsId {
        let (id, holder) = self.sets.acquire(attrs);
        if let (Holder::First, Some(nexthop)) = (holder, attrs.nexthop) {
            let sets = self.nexthops.entry(nexthop).or_default();
            *sets += 1;
            self.nexthops_revision += u64::from(*sets == 1);
        }
        id
    }

    pub(super) fn retain(&mut self, id: AttrsId) {
        self.sets.retain(id);
    }

    pub(super) fn release(&mut self, id: AttrsId) {
        let Some(nexthop) = self.sets.release(id).and_then(|attrs| attrs.nexthop) else {
            return;
        };
        if let Some(sets) = self.nexthops.get_mut(&nexthop) {
            *sets -= 1;
            if *sets == 0 {
                self.nexthops.remove(&nexthop);
                self.nexthops_revision += 1;
            }
        }
    }

    pub(super) fn value(&self, id: AttrsId) -> &Arc<Attrs> {
        self.sets.value(id)
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn nexthops(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.nexthops.keys().copied()
    }

    pub(super) fn nexthops_revision(&self) -> u64 {
        self.nexthops_revision
    }
}
