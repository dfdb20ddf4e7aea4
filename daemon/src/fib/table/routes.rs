//! What the table knows of each prefix, packed: a full table of the internet is a million of these.

use std::hash::BuildHasher;

use bgp::Prefix;
use hashbrown::HashTable;
use ipnet::{Ipv4Net, Ipv6Net};

use super::super::FIRST_NEXTHOP_ID;
use super::{Carrier, GroupKey, Wanted};

/// How many groups and nexthops can be named: three octets, less the two values with a meaning of
/// their own.
pub(super) const IDS: u32 = (1 << 24) - 2;
const ELSE: u32 = (1 << 24) - 1;

/// How a route stands between what is wanted and what is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum State {
    /// As wanted.
    Right,
    /// Needs a step.
    Dirty,
    /// Stays on a group that is not the wanted one, but leads to the same place.
    Parked,
    /// None of its ways is there.
    Blocked,
}

/// Which observation has last looked at a route, or would have found it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    Even,
    Odd,
}

impl Pass {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// One prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Route {
    pub(super) wanted: Wanted,
    pub(super) carried: Carrier,
    pub(super) state: State,
    /// It stands in the queue, whether or not it still needs to.
    pub(super) is_queued: bool,
    pub(super) pass: Pass,
}

impl Route {
    /// What is known of a prefix that nobody has asked for and the kernel does not have.
    pub(super) fn absent(pass: Pass) -> Self {
        Self {
            wanted: Wanted::Nothing,
            carried: Carrier::None,
            state: State::Right,
            is_queued: false,
            pass,
        }
    }

    fn is_absent(&self) -> bool {
        self.wanted.group().is_none() && self.carried == Carrier::None
    }
}

/// All prefixes that somebody wants or the kernel has.
pub(super) struct Routes {
    v4: Shards<4>,
    v6: Shards<16>,
    /// Random: prefixes come from strangers.
    hasher: foldhash::fast::RandomState,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self {
            v4: Shards::new(),
            v6: Shards::new(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    pub(super) fn get(&self, prefix: &Prefix) -> Option<Route> {
        match prefix {
            Prefix::V4(net) => self.v4.get(v4(net), &self.hasher),
            Prefix::V6(net) => self.v6.get(v6(net), &self.hasher),
        }
    }

    /// Touches what is known of these prefixes. Memory brings many at once in the time of one, so what
    /// then looks them up one after the other does not wait for each.
    pub(super) fn touch(&self, prefixes: impl Iterator<Item = Prefix>) {
        let known = prefixes.filter(|prefix| self.get(prefix).is_some());
        std::hint::black_box(known.count());
    }

    /// Remembers a route; forgets one that is neither wanted nor there.
    pub(super) fn put(&mut self, prefix: &Prefix, route: &Route) {
        match prefix {
            Prefix::V4(net) => self.v4.put(v4(net), route, &self.hasher),
            Prefix::V6(net) => self.v6.put(v6(net), route, &self.hasher),
        }
    }

    /// Every prefix, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Prefix, Route)> {
        let v4 = self.v4.iter().filter_map(|entry| {
            let net = Ipv4Net::new(entry.key.address.into(), entry.key.length).ok()?;
            Some((Prefix::V4(net), entry.route()))
        });
        let v6 = self.v6.iter().filter_map(|entry| {
            let net = Ipv6Net::new(entry.key.address.into(), entry.key.length).ok()?;
            Some((Prefix::V6(net), entry.route()))
        });
        v4.chain(v6)
    }

    /// Says of every prefix that this pass has looked at it.
    pub(super) fn mark(&mut self, pass: Pass) {
        self.v4.mark(pass);
        self.v6.mark(pass);
    }
}

fn v4(net: &Ipv4Net) -> Key<4> {
    Key {
        address: net.addr().octets(),
        length: net.prefix_len(),
    }
}

fn v6(net: &Ipv6Net) -> Key<16> {
    Key {
        address: net.addr().octets(),
        length: net.prefix_len(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key<const N: usize> {
    address: [u8; N],
    length: u8,
}

/// Single octets, so that nothing is lost to alignment: 12 octets for IPv4, 24 for IPv6.
#[derive(Clone, Copy)]
struct Entry<const N: usize> {
    key: Key<N>,
    wanted: [u8; 3],
    carried: [u8; 3],
    marks: u8,
}

const _: () = assert!(size_of::<Entry<4>>() == 12);

const STATE: u8 = 0b0011;
const QUEUED: u8 = 0b0100;
const ODD: u8 = 0b1000;

impl<const N: usize> Entry<N> {
    fn new(key: Key<N>, route: &Route) -> Self {
        let wanted = match route.wanted {
            Wanted::Nothing => 0,
            Wanted::Unasked => ELSE,
            Wanted::Group(key) => number(key),
        };
        let carried = match route.carried {
            Carrier::None => 0,
            Carrier::Other => ELSE,
            Carrier::Group(key) => number(key),
        };
        let state = match route.state {
            State::Right => 0,
            State::Dirty => 1,
            State::Parked => 2,
            State::Blocked => 3,
        };
        let queued = if route.is_queued { QUEUED } else { 0 };
        Self {
            key,
            wanted: narrow(wanted),
            carried: narrow(carried),
            marks: state | queued | parity(route.pass),
        }
    }

    fn route(&self) -> Route {
        Route {
            wanted: match widen(self.wanted) {
                0 => Wanted::Nothing,
                ELSE => Wanted::Unasked,
                number => Wanted::Group(key(number)),
            },
            carried: match widen(self.carried) {
                0 => Carrier::None,
                ELSE => Carrier::Other,
                number => Carrier::Group(key(number)),
            },
            state: match self.marks & STATE {
                0 => State::Right,
                1 => State::Dirty,
                2 => State::Parked,
                _ => State::Blocked,
            },
            is_queued: self.marks & QUEUED != 0,
            pass: match self.marks & ODD {
                0 => Pass::Even,
                _ => Pass::Odd,
            },
        }
    }
}

fn parity(pass: Pass) -> u8 {
    match pass {
        Pass::Even => 0,
        Pass::Odd => ODD,
    }
}

fn number(key: GroupKey) -> u32 {
    key.0 - FIRST_NEXTHOP_ID + 1
}

fn key(number: u32) -> GroupKey {
    GroupKey(FIRST_NEXTHOP_ID + number - 1)
}

fn narrow(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

fn widen([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

const SHARDS: usize = 32;
/// Which shard takes the prefixes of a 256th of all hashes.
///
/// A hash table doubles when it is full, and is then half empty. Shards of sizes spread over one
/// doubling do so one after another: together they are always about two thirds full, and never is
/// the whole table there twice.
const SHARD: [u8; 256] = {
    /// The 32nd root of 2.
    const STEP: f64 = 1.021_897_148_654_116_6;
    let mut shards = [0; 256];
    let (mut cell, mut shard, mut bound) = (0, 0, STEP);
    while cell < 256 {
        while 1.0 + cell as f64 / 256.0 >= bound && shard < SHARDS - 1 {
            shard += 1;
            bound *= STEP;
        }
        shards[cell] = shard as u8;
        cell += 1;
    }
    shards
};

struct Shards<const N: usize>(Vec<HashTable<Entry<N>>>);

impl<const N: usize> Shards<N> {
    fn new() -> Self {
        Self((0..SHARDS).map(|_| HashTable::new()).collect())
    }

    /// From octets of the hash that the table itself does not look at first.
    fn shard(hash: u64) -> usize {
        usize::from(SHARD[usize::from((hash >> 40) as u8)])
    }

    fn get(&self, key: Key<N>, hasher: &impl BuildHasher) -> Option<Route> {
        let hash = hasher.hash_one(key);
        let found = self.0[Self::shard(hash)].find(hash, |entry| entry.key == key);
        found.map(Entry::route)
    }

    fn put(&mut self, key: Key<N>, route: &Route, hasher: &impl BuildHasher) {
        let hash = hasher.hash_one(key);
        let shard = &mut self.0[Self::shard(hash)];
        let is_same = |entry: &Entry<N>| entry.key == key;
        let again = |entry: &Entry<N>| hasher.hash_one(entry.key);
        if route.is_absent() {
            if let Ok(found) = shard.find_entry(hash, is_same) {
                found.remove();
            }
            if shard.len() * 8 < shard.capacity() {
                shard.shrink_to(shard.len() * 2, again);
            }
        } else {
            let entry = Entry::new(key, route);
            match shard.find_mut(hash, is_same) {
                Some(known) => *known = entry,
                None => {
                    shard.insert_unique(hash, entry, again);
                }
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Entry<N>> {
        self.0.iter().flatten()
    }

    fn mark(&mut self, pass: Pass) {
        for entry in self.0.iter_mut().flatten() {
            entry.marks = entry.marks & !ODD | parity(pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(number: u32) -> Route {
        Route {
            wanted: Wanted::Group(key(number)),
            carried: Carrier::Other,
            state: State::Parked,
            is_queued: true,
            pass: Pass::Odd,
        }
    }

    #[test]
    fn what_was_put_comes_back() {
        let mut routes = Routes::new();
        for text in ["10.0.0.0/8", "10.0.0.0/9", "::/0", "2001:db8::/32"] {
            let prefix: Prefix = text.parse().unwrap();
            for number in [1, 0x1234, IDS] {
                routes.put(&prefix, &route(number));
                assert_eq!(routes.get(&prefix), Some(route(number)));
            }
        }
        assert_eq!(routes.iter().count(), 4);
    }

    #[test]
    fn a_prefix_that_nobody_wants_and_nobody_has_takes_no_room() {
        let mut routes = Routes::new();
        let prefixes = |from: u32| {
            (from..from + 10_000).map(|i| Prefix::new((i << 8).to_be_bytes().into(), 24).unwrap())
        };
        for prefix in prefixes(0) {
            routes.put(&prefix, &route(1));
        }
        for prefix in prefixes(0) {
            routes.put(&prefix, &Route::absent(Pass::Even));
        }
        assert_eq!(routes.iter().count(), 0);
        let room: usize = routes.v4.0.iter().map(HashTable::capacity).sum();
        assert!(room < 1_000, "{room} entries are still kept");
    }

    #[test]
    fn shards_do_not_all_grow_at_once() {
        let mut routes = Routes::new();
        let mut most = 0f64;
        for i in 0..200_000u32 {
            let prefix = Prefix::new((i << 8).to_be_bytes().into(), 24).unwrap();
            routes.put(&prefix, &route(1));
            if i > 50_000 && i % 1_000 == 0 {
                let room: usize = routes.v4.0.iter().map(HashTable::capacity).sum();
                most = most.max(room as f64 / f64::from(i));
            }
        }
        assert!(most < 1.6, "room for {most} entries for each that is there");
    }
}
