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
use hashbrown::hash_table::Entry as TableEntry;
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use super::Hops;
use super::attrs::AttrsId;
use super::intern::Id;
use super::source::SourceId;
use crate::types::{Family, Prefix};

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
    /// The hops last given out; `None` when no path was eligible. An originated prefix has
    /// the empty list here.
    pub(super) route: Option<Id<Hops>>,
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
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
}

impl<K: Key> Table<K> {
    fn new(hasher: FixedState) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher,
        }
    }

    fn find(&self, key: &K) -> Option<usize> {
        self.index
            .find(key.hash(&self.hasher), |&position| {
                self.nodes[position as usize].key == *key
            })
            .map(|&position| position as usize)
    }

    fn find_or_insert(&mut self, key: K) -> usize {
        let (nodes, hasher) = (&mut self.nodes, &self.hasher);
        let entry = self.index.entry(
            key.hash(hasher),
            |&position| nodes[position as usize].key == key,
            |&other| nodes[other as usize].key.hash(hasher),
        );
        let vacant = match entry {
            TableEntry::Occupied(entry) => return *entry.get() as usize,
            TableEntry::Vacant(vacant) => vacant,
        };
        let node = Node {
            key,
            entry: Entry::default(),
        };
        let position = match self.free.pop() {
            Some(position) => {
                nodes[position as usize] = node;
                position
            }
            None => {
                nodes.push(node);
                u32::try_from(nodes.len() - 1).expect("2^32 prefixes do not fit in memory")
            }
        };
        vacant.insert(position);
        position as usize
    }

    fn free(&mut self, index: usize) {
        let hash = self.nodes[index].key.hash(&self.hasher);
        let found = self
            .index
            .find_entry(hash, |&position| position as usize == index);
        if let Ok(found) = found {
            let (position, _) = found.remove();
            self.nodes[index].entry = Entry::default();
            self.free.push(position);
        }
    }
}

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

    /// Touches the places and paths of these prefixes. Memory brings many at once in the time of one, so what
    /// then looks them up one after the other does not wait for each.
    pub(super) fn touch(&self, prefixes: &[Prefix]) {
        let places = prefixes.iter().filter_map(|prefix| self.find(prefix));
        let paths = places.map(|slot| self.entry(slot).paths.as_slice().len());
        std::hint::black_box(paths.sum::<usize>());
    }

    /// Gives the place of a prefix back.
    pub(super) fn free(&mut self, slot: Slot) {
        match slot.family {
            Family::Ipv4Unicast => self.v4.free(slot.index),
            Family::Ipv6Unicast => self.v6.free(slot.index),
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

    /// One more than the highest place in use so far.
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

    /// Every place of a family, the free ones too.
    pub(super) fn slots(&self, family: Family) -> impl Iterator<Item = Slot> + use<> {
        (0..self.end(family)).map(move |index| Slot { family, index })
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
    fn same_digits_in_another_length_are_another_prefix() {
        let mut tables = Tables::new(FixedState::with_seed(7));
        let a = tables.find_or_insert(&"10.0.0.0/8".parse().unwrap());
        let b = tables.find_or_insert(&"10.0.0.0/16".parse().unwrap());
        assert_ne!(a, b);
        assert_eq!(tables.prefix(b), "10.0.0.0/16".parse::<Prefix>().unwrap());
    }
}
