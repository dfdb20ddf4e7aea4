//! The attribute sets in use, each stored once, what the decision asks of them, and the nexthops
//! they name.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::interface::RibConfig;
use super::intern::{Holder, Id, Interner};
use super::select::DEFAULT_LOCAL_PREF;
use crate::attrs::{Attrs, Community, Origin};
use crate::types::Asn;

/// Names an interned set.
pub(super) type AttrsId = Id<Attrs>;

/// What is asked of a set for each of its paths, over and over: worked out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) local_pref: u32,
    pub(super) med: u32,
    pub(super) neighbour: Option<Asn>,
    /// ORIGINATOR_ID, in place of the identifier of the peer (RFC 4456 §9).
    pub(super) originator_id: Option<Ipv4Addr>,
    pub(super) as_path_length: u16,
    /// Length of CLUSTER_LIST.
    pub(super) clusters: u16,
    /// How often our own AS is in the path.
    pub(super) own_asns: u16,
    pub(super) origin: Origin,
    /// We, or another reflector of our cluster, have passed it on before (RFC 4456 §8).
    pub(super) has_been_here: bool,
    /// LLGR_STALE.
    pub(super) is_stale: bool,
    /// NO_LLGR.
    pub(super) is_short_lived: bool,
    pub(super) has_nexthop: bool,
}

const _: () = assert!(size_of::<Facts>() == 32);

impl Facts {
    fn of(attrs: &Attrs, us: &Us) -> Self {
        let has = |community| attrs.communities.binary_search(&community).is_ok();
        let reflection = attrs.reflection.as_deref();
        let originator_id = reflection.and_then(|reflection| reflection.originator_id);
        let clusters = reflection.map_or(&[][..], |reflection| &reflection.cluster_list);
        let own_asns = attrs.as_path.iter().filter(|asn| *asn == us.asn).count();
        Self {
            local_pref: attrs.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            med: attrs.med.unwrap_or(0),
            as_path_length: u16::try_from(attrs.as_path.length()).unwrap_or(u16::MAX),
            neighbour: attrs.as_path.first(),
            originator_id,
            clusters: u16::try_from(clusters.len()).unwrap_or(u16::MAX),
            own_asns: u16::try_from(own_asns).unwrap_or(u16::MAX),
            origin: attrs.origin,
            has_been_here: originator_id == Some(us.router_id) || clusters.contains(&us.cluster_id),
            is_stale: has(Community::LLGR_STALE),
            is_short_lived: has(Community::NO_LLGR),
            has_nexthop: attrs.nexthop.is_some(),
        }
    }
}

/// By what we know ourselves in attributes.
#[derive(Clone, Copy, Debug)]
struct Us {
    asn: Asn,
    router_id: Ipv4Addr,
    cluster_id: Ipv4Addr,
}

/// Every attribute set that a path, or something sent to a peer, has.
#[derive(Debug)]
pub(super) struct AttrsTable {
    sets: Interner<Attrs>,
    /// By place of the set.
    facts: Vec<Facts>,
    us: Us,
    /// How many sets name each.
    nexthops: BTreeMap<IpAddr, usize>,
    nexthops_revision: u64,
}

impl AttrsTable {
    pub(super) fn new(config: &RibConfig, hasher: FixedState) -> Self {
        Self {
            sets: Interner::new(hasher),
            facts: Vec::new(),
            us: Us {
                asn: config.local_asn,
                router_id: config.router_id.address(),
                cluster_id: config.cluster_id,
            },
            nexthops: BTreeMap::new(),
            nexthops_revision: 0,
        }
    }

    pub(super) fn acquire(&mut self, attrs: &Arc<Attrs>) -> AttrsId {
        let (id, holder) = self.sets.acquire(attrs);
        if holder == Holder::First {
            self.note(id, attrs);
        }
        id
    }

    fn note(&mut self, id: AttrsId, attrs: &Attrs) {
        let facts = Facts::of(attrs, &self.us);
        match self.facts.get_mut(id.index()) {
            Some(place) => *place = facts,
            // Places are given out in order.
            None => self.facts.push(facts),
        }
        if let Some(nexthop) = attrs.nexthop {
            let sets = self.nexthops.entry(nexthop).or_default();
            *sets += 1;
            self.nexthops_revision += u64::from(*sets == 1);
        }
    }

    #[cfg(test)]
    pub(super) fn facts_of(&self, attrs: &Attrs) -> Facts {
        Facts::of(attrs, &self.us)
    }

    pub(super) fn facts(&self, id: AttrsId) -> &Facts {
        &self.facts[id.index()]
    }

    /// Touches what is known of these sets: see [`Tables::touch`](super::table::Tables::touch).
    pub(super) fn touch(&self, ids: &[AttrsId]) {
        let known = ids
            .iter()
            .map(|id| self.facts(*id).local_pref ^ self.sets.holders(*id));
        std::hint::black_box(known.fold(0, std::ops::BitXor::bitxor));
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
