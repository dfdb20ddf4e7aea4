//! The attribute sets in use, each stored once, what the decision asks of them, and the nexthops
//! they name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::interface::RibConfig;
use super::intern::{Holder, Id, Interner};
use super::select::DEFAULT_LOCAL_PREF;
use crate::attrs::{Attrs, Community, Origin, RawAttr, Segment};
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
    /// Length of CLUSTER_LIST; beyond 255 all are as long.
    pub(super) clusters: u8,
    /// How often our own AS is in the path.
    pub(super) own_asns: u8,
    /// Octets that it takes beyond what is usual, in [`EXTRA`].
    pub(super) extra: u16,
    pub(super) origin: Origin,
    /// We, or another reflector of our cluster, have passed it on before (RFC 4456 §8).
    pub(super) has_been_here: bool,
    /// LLGR_STALE.
    pub(super) is_stale: bool,
    /// NO_LLGR.
    pub(super) is_short_lived: bool,
    pub(super) nexthop: Leads,
}

/// Where a nexthop leads, as far as attributes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leads {
    /// There is none.
    Nowhere,
    /// It is an address of this host.
    ToUs,
    Elsewhere,
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
            clusters: u8::try_from(clusters.len()).unwrap_or(u8::MAX),
            own_asns: u8::try_from(own_asns).unwrap_or(u8::MAX),
            extra: extra(attrs),
            origin: attrs.origin,
            has_been_here: originator_id == Some(us.router_id) || clusters.contains(&us.cluster_id),
            is_stale: has(Community::LLGR_STALE),
            is_short_lived: has(Community::NO_LLGR),
            nexthop: us.leads(attrs.nexthop),
        }
    }
}

/// Attributes that take no more octets of memory than so many, besides what every set takes, are
/// usual; what they take beyond is counted in as many.
pub(super) const EXTRA: usize = 256;

/// What a set takes beyond what is usual, rounded up.
fn extra(attrs: &Attrs) -> u16 {
    let asns = |segment: &Segment| size_of_val(&segment.asns[..]);
    let raw = |raw: &RawAttr| size_of_val(raw) + raw.value.len();
    let reflection = attrs.reflection.as_deref();
    let unknown = attrs.unknown.iter().flat_map(|unknown| unknown.iter());
    let octets = size_of_val(&attrs.as_path.segments[..])
        + attrs.as_path.segments.iter().map(asns).sum::<usize>()
        + size_of_val(&attrs.communities[..])
        + size_of_val(&attrs.large_communities[..])
        + size_of_val(&attrs.ext_communities[..])
        + reflection.map_or(0, |reflection| size_of_val(&reflection.cluster_list[..]))
        + unknown.map(raw).sum::<usize>();
    u16::try_from(octets.saturating_sub(1) / EXTRA).unwrap_or(u16::MAX)
}

/// By what we know ourselves in attributes.
#[derive(Clone, Debug)]
struct Us {
    asn: Asn,
    router_id: Ipv4Addr,
    cluster_id: Ipv4Addr,
    addresses: BTreeSet<IpAddr>,
}

impl Us {
    fn leads(&self, nexthop: Option<IpAddr>) -> Leads {
        match nexthop {
            None => Leads::Nowhere,
            Some(nexthop) if self.addresses.contains(&nexthop) => Leads::ToUs,
            Some(_) => Leads::Elsewhere,
        }
    }
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
                addresses: BTreeSet::new(),
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

    /// Replaces the addresses of this host. Returns whether a nexthop in use became one of them, or
    /// is one no more: hardly ever, so that sets are looked at only then.
    pub(super) fn set_own_addresses(&mut self, addresses: BTreeSet<IpAddr>) -> bool {
        let old = std::mem::replace(&mut self.us.addresses, addresses);
        let mut changed = old.symmetric_difference(&self.us.addresses);
        let is_used = changed.any(|address| self.nexthops.contains_key(address));
        if is_used {
            for (index, attrs) in self.sets.iter() {
                self.facts[index].nexthop = self.us.leads(attrs.nexthop);
            }
        }
        is_used
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
