//! Prefix -> paths, per family.
//!
//! Nodes live in a vector and keep their place for life; a hash table of four-byte positions finds
//! them. That costs less than a hash table of fat values (which pays for its empty buckets), and
//! gives every prefix a small number: what a peer was sent is an array by that number, what it is
//! still to be told is a bit set, and a walk over the table can stop at any place and carry on.
//!
//! Per prefix: 32 bytes (IPv4) or 48 (IPv6) for the node and about 10 for the index, when there is one path.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use super::attrs::AttrsId;
use super::bitset::BitSet;
use super::changes::RouteTo;
use super::intern::Id;
use super::source::SourceId;
use crate::types::{Family, Prefix};

/// With so few places memory is never given back. Less in tests, so that random histories meet it.
const SMALL: usize = if cfg!(test) { 4 } else { 4096 };
/// How many prefixes are touched before they are looked at.
pub(super) const AHEAD: usize = 128;

/// One candidate for a prefix. Paid once per prefix and peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Path {
    /// Whose it is.
    pub(super) source: SourceId,
    /// As received: kept so that another import filter needs no help from the peer.
    pub(super) received: AttrsId,
    /// After the import filter; `None` where that refused.
    pub(super) accepted: Option<AttrsId>,
}

const _: () = assert!(size_of::<Path>() == 12);

/// The paths of a prefix: nearly always one.
#[derive(Debug, Default)]
pub(super) enum Paths {
    #[default]
    None,
    One(Path),
    Many(Box<SmallVec<[Path; 4]>>),
}

/// What is known about a prefix.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The chosen path is the first while `route` is `Some`; otherwise in no order.
    pub(super) paths: Paths,
    /// What was last given out; `None` when no path was eligible. An originated prefix has
    /// [`RouteTo::Nothing`] here.
    pub(super) route: Option<Id<RouteTo>>,
    /// How many groups were sent it, and members of groups have still to be told that it is gone.
    pub(super) told: u32,
}

const _: () = assert!(size_of::<Entry>() == 24);
const _: () = assert!(size_of::<Node<Ipv4Net>>() == 32);

/// The place of a prefix, its own for as long as it has paths or is announced to a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Slot {
    pub(super) family: Family,
    pub(super) index: usize,
}

impl Paths {
    pub(super) fn as_slice(&self) -> &[Path] {
        match self {
            Self::None => &[],
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Self::None => &mut [],
            Self::One(path) => std::slice::from_mut(path),
            Self::Many(paths) => paths,
        }
    }

    pub(super) fn push(&mut self, path: Path) {
        match self {
            Self::None => *self = Self::One(path),
            Self::One(first) => {
                *self = Self::Many(Box::new([*first, path].into_iter().collect()));
            }
            Self::Many(paths) => paths.push(path),
        }
    }

    /// Takes out the path at `index`, which is within [`Paths::as_slice`]. The first one stays
    /// where it is unless it is the one that goes.
    pub(super) fn remove(&mut self, index: usize) {
        match self {
            Self::None => {}
            Self::One(_) => *self = Self::None,
            Self::Many(paths) => {
                paths.remove(index);
                if let [last] = paths[..] {
                    *self = Self::One(last);
                }
            }
        }
    }
}

impl Entry {
    /// The path last chosen.
    pub(super) fn chosen(&self) -> Option<Path> {
        self.route.and(self.paths.as_slice().first().copied())
    }
}

#[derive(Debug)]
struct Node<K> {
    key: K,
    entry: Entry,
}

/// What a prefix is hashed by: one or two words cost less than a dozen octets.
trait Key: Copy + Eq {
    fn hash(&self, hasher: &FixedState) -> u64;
}

impl Key for Ipv4Net {
    fn hash(&self, hasher: &FixedState) -> u64 {
        hasher.hash_one(u64::from(self.addr().to_bits()) << 8 | u64::from(self.prefix_len()))
    }
}

impl Key for Ipv6Net {
    fn hash(&self, hasher: &FixedState) -> u64 {
        hasher.hash_one((self.addr().to_bits(), self.prefix_len()))
    }
}

/// One family. A free node is one with an empty [`Entry`]: a walk finds nothing to do there.
#[derive(Debug)]
struct Table<K> {
    nodes: Vec<Node<K>>,
    /// Places that nobody needs. The index finds the prefix that was there last until another takes
    /// the place, so that a table that goes and comes back costs the index nothing.
    free: BitSet,
    /// No place below is free.
    lowest_free: usize,
    index: HashTable<u32>,
    hasher: FixedState,
}

impl<K: Key> Table<K> {
    fn new(hasher: FixedState) -> Self {
        Self {
            nodes: Vec::new(),
            free: BitSet::default(),
            lowest_free: 0,
            index: HashTable::new(),
            hasher,
        }
    }

    /// The place of a prefix, whether or not it is free.
    fn place(&self, key: &K) -> Option<usize> {
        let is_it = |&position: &u32| self.nodes[position as usize].key == *key;
        let found = self.index.find(key.hash(&self.hasher), is_it);
        found.map(|&position| position as usize)
    }

    fn find(&self, key: &K) -> Option<usize> {
        self.place(key).filter(|place| !self.free.contains(*place))
    }

    fn find_or_insert(&mut self, key: K) -> usize {
        if let Some(place) = self.place(&key) {
            self.free.remove(place);
            return place;
        }
        let place = self.vacate();
        let node = Node {
            key,
            entry: Entry::default(),
        };
        match self.nodes.get_mut(place) {
            Some(known) => *known = node,
            None => self.nodes.push(node),
        }
        let position = u32::try_from(place).expect("2^32 prefixes do not fit in memory");
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index
            .insert_unique(key.hash(hasher), position, |&other| {
                nodes[other as usize].key.hash(hasher)
            });
        place
    }

    /// A place for another prefix.
    fn vacate(&mut self) -> usize {
        let Some(place) = self.free.next_from(self.lowest_free) else {
            return self.nodes.len();
        };
        self.lowest_free = place + 1;
        self.free.remove(place);
        self.forget(place);
        place
    }

    /// The index finds what was at this place no longer.
    fn forget(&mut self, place: usize) {
        let hash = self.nodes[place].key.hash(&self.hasher);
        let is_it = |&position: &u32| position as usize == place;
        if let Ok(found) = self.index.find_entry(hash, is_it) {
            found.remove();
        }
    }

    fn free(&mut self, place: usize) {
        self.nodes[place].entry = Entry::default();
        self.free.insert(place);
        self.lowest_free = self.lowest_free.min(place);
    }

    /// Whether most of it is free, the end too. A small one stays as it is.
    fn is_sparse(&self) -> bool {
        let places = self.nodes.len();
        places > SMALL && self.free.len() > places / 4 * 3 && self.free.contains(places - 1)
    }

    /// Gives memory back, if it is sparse.
    fn shrink(&mut self, budget: &mut usize) {
        if self.is_sparse() && self.free.len() == self.nodes.len() {
            *self = Self::new(self.hasher.clone());
            return;
        }
        while *budget > 0 && self.is_sparse() {
            *budget -= 1;
            let last = self.nodes.len() - 1;
            self.forget(last);
            self.free.remove(last);
            self.nodes.pop();
        }
        if !self.is_sparse() {
            let (nodes, hasher) = (&mut self.nodes, &self.hasher);
            nodes.shrink_to_fit();
            let again = |&other: &u32| nodes[other as usize].key.hash(hasher);
            self.index.shrink_to_fit(again);
        }
    }

    /// The places where a prefix may be.
    fn candidates(&self, key: &K, found: &mut Places) {
        // The key is in the node, which is not looked at yet.
        let note = |&position: &u32| {
            found.push(position);
            false
        };
        self.index.find(key.hash(&self.hasher), note);
    }
}

/// Places of some prefixes.
type Places = SmallVec<[u32; AHEAD]>;

/// Attributes of paths that were touched.
pub(super) type Touched = SmallVec<[AttrsId; 2 * AHEAD]>;

/// Both families.
#[derive(Debug)]
pub(super) struct Tables {
    v4: Table<Ipv4Net>,
    v6: Table<Ipv6Net>,
}

impl Tables {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            v4: Table::new(hasher.clone()),
            v6: Table::new(hasher),
        }
    }

    pub(super) fn find(&self, prefix: &Prefix) -> Option<Slot> {
        let index = match prefix {
            Prefix::V4(net) => self.v4.find(net),
            Prefix::V6(net) => self.v6.find(net),
        }?;
        Some(Slot {
            family: Family::of(prefix),
            index,
        })
    }

    pub(super) fn find_or_insert(&mut self, prefix: &Prefix) -> Slot {
        Slot {
            family: Family::of(prefix),
            index: match prefix {
                Prefix::V4(net) => self.v4.find_or_insert(*net),
                Prefix::V6(net) => self.v6.find_or_insert(*net),
            },
        }
    }

    /// Touches the places and paths of these prefixes, [`AHEAD`] at most, and says what attributes the
    /// paths have. Memory brings many at once in the time of one, so what then looks them up one after
    /// the other does not wait for each. In steps, since each needs what the one before has brought.
    pub(super) fn touch<'a>(&self, prefixes: impl Iterator<Item = &'a Prefix>) -> Touched {
        let (mut v4, mut v6) = (Places::new(), Places::new());
        for prefix in prefixes {
            match prefix {
                Prefix::V4(net) => self.v4.candidates(net, &mut v4),
                Prefix::V6(net) => self.v6.candidates(net, &mut v6),
            }
        }
        let v4 = v4.iter().map(|place| &self.v4.nodes[*place as usize].entry);
        let v6 = v6.iter().map(|place| &self.v6.nodes[*place as usize].entry);
        let mut touched = Touched::new();
        for entry in v4.chain(v6) {
            let paths = entry.paths.as_slice().iter();
            touched.extend(paths.map(|path| path.accepted.unwrap_or(path.received)));
        }
        touched
    }

    /// Gives the place of a prefix back; its entry is empty afterwards.
    pub(super) fn free(&mut self, slot: Slot) {
        match slot.family {
            Family::Ipv4Unicast => self.v4.free(slot.index),
            Family::Ipv6Unicast => self.v6.free(slot.index),
        }
    }

    /// Whether [`Tables::shrink`] would find something.
    pub(super) fn is_sparse(&self) -> bool {
        self.v4.is_sparse() || self.v6.is_sparse()
    }

    /// Gives back places at the end that nobody needs, and the memory once enough of them are gone.
    /// Nobody may have such a place in mind.
    pub(super) fn shrink(&mut self, budget: &mut usize) {
        if self.v4.is_sparse() {
            self.v4.shrink(budget);
        }
        if self.v6.is_sparse() {
            self.v6.shrink(budget);
        }
    }

    pub(super) fn prefix(&self, slot: Slot) -> Prefix {
        match slot.family {
            Family::Ipv4Unicast => Prefix::V4(self.v4.nodes[slot.index].key),
            Family::Ipv6Unicast => Prefix::V6(self.v6.nodes[slot.index].key),
        }
    }

    pub(super) fn entry(&self, slot: Slot) -> &Entry {
        match slot.family {
            Family::Ipv4Unicast => &self.v4.nodes[slot.index].entry,
            Family::Ipv6Unicast => &self.v6.nodes[slot.index].entry,
        }
    }

    pub(super) fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        match slot.family {
            Family::Ipv4Unicast => &mut self.v4.nodes[slot.index].entry,
            Family::Ipv6Unicast => &mut self.v6.nodes[slot.index].entry,
        }
    }

    /// One more than the highest place that is known.
    pub(super) fn end(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.v4.nodes.len(),
            Family::Ipv6Unicast => self.v6.nodes.len(),
        }
    }

    /// This place, or the first of the next family that has any; `None` beyond the last.
    pub(super) fn at_or_after(&self, at: Slot) -> Option<Slot> {
        if at.index < self.end(at.family) {
            return Some(at);
        }
        let mut following = Family::ALL.into_iter().filter(|family| *family > at.family);
        let family = following.find(|family| self.end(*family) > 0)?;
        Some(Slot { family, index: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(i: u32) -> Prefix {
        Prefix::new(std::net::Ipv4Addr::from(i << 8).into(), 24).unwrap()
    }

    #[test]
    fn a_prefix_keeps_its_place_while_others_come_and_go() {
        let mut tables = Tables::new(FixedState::with_seed(7));
        let slots: Vec<_> = (0..1000).map(|i| tables.find_or_insert(&net(i))).collect();
        for slot in slots.iter().step_by(2) {
            tables.free(*slot);
        }
        for i in 1000..1500 {
            tables.find_or_insert(&net(i));
        }
        assert_eq!(tables.end(Family::Ipv4Unicast), 1000);
        for i in 0..1000u32 {
            let expected = (i % 2 == 1).then(|| slots[i as usize]);
            assert_eq!(tables.find(&net(i)), expected, "{i}");
        }
    }

    #[test]
    fn a_prefix_that_returns_has_its_place_again_unless_another_took_it() {
        let mut tables = Tables::new(FixedState::with_seed(7));
        let [one, two] = [1, 2].map(|i| tables.find_or_insert(&net(i)));
        for slot in [one, two] {
            tables.free(slot);
        }
        assert_eq!(tables.find(&net(2)), None, "it is gone all the same");
        assert_eq!(tables.find_or_insert(&net(2)), two);
        assert_eq!(tables.find_or_insert(&net(3)), one, "the lowest is free");
        assert_eq!(tables.find(&net(1)), None);
        assert_ne!(tables.find_or_insert(&net(1)), one);
        assert_eq!(tables.prefix(one), net(3));
    }

    #[test]
    fn a_table_that_has_become_sparse_gives_its_end_back_in_bites() {
        let many = 40_000;
        let mut tables = Tables::new(FixedState::with_seed(7));
        let slots: Vec<_> = (0..many).map(|i| tables.find_or_insert(&net(i))).collect();
        for slot in &slots[1..] {
            tables.free(*slot);
        }
        let mut bites = 0;
        while tables.is_sparse() {
            tables.shrink(&mut 1000);
            bites += 1;
        }
        assert!(bites > 30, "{bites}");
        assert!(tables.end(Family::Ipv4Unicast) <= SMALL);
        assert!(tables.v4.index.capacity() < 100);
        assert_eq!(tables.find(&net(0)), Some(slots[0]));
        for i in 1..many {
            assert_eq!(tables.find(&net(i)), None, "{i}");
            tables.find_or_insert(&net(i));
        }
        for slot in slots {
            tables.free(slot);
        }
        tables.shrink(&mut 1);
        assert_eq!(tables.end(Family::Ipv4Unicast), 0, "all is gone at once");
    }

    #[test]
    fn same_digits_in_another_length_are_another_prefix() {
        let mut tables = Tables::new(FixedState::with_seed(7));
        let a = tables.find_or_insert(&"10.0.0.0/8".parse().unwrap());
        let b = tables.find_or_insert(&"10.0.0.0/16".parse().unwrap());
        assert_ne!(a, b);
        assert_eq!(tables.prefix(b), "10.0.0.0/16".parse::<Prefix>().unwrap());
    }
}
