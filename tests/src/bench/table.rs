//! The table that senders announce: synthetic, like a public one in shape, the same for a seed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use bgp::wire::{Dialect, UpdateWriter, encode_end_of_rib, encode_withdraw};
use bgp::{AsPath, Asn, Attrs, Community, Family, Prefix};
use bytes::BytesMut;

use crate::sim::random::Random;

/// The AS of the first sender; the others follow it.
const FIRST_SENDER: u32 = 64_600;
/// As many senders can there be.
pub const MAX_SENDERS: usize = 16;
/// How many prefixes share attributes: 8 in the mean, few of them many.
const SET_SIZES: [usize; 10] = [1, 1, 2, 2, 3, 4, 6, 9, 16, 36];
/// Percent of prefixes by length, much as in the Internet's table of IPv4.
const LENGTHS: [(usize, u8); 10] = [
    (60, 24),
    (10, 23),
    (11, 22),
    (5, 21),
    (5, 20),
    (3, 19),
    (2, 18),
    (1, 17),
    (2, 16),
    (1, 15),
];

/// Prefixes, each in one attribute set.
#[derive(Debug)]
pub struct Table {
    seed: u64,
    prefixes: Vec<Prefix>,
    sets: Vec<Set>,
    /// Where each prefix is in `prefixes`, and its set.
    places: HashMap<Prefix, Place>,
}

/// Where a prefix is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Among the prefixes.
    pub index: usize,
    /// Which attribute set it has.
    pub set: usize,
}

/// What is the same for some prefixes, whoever sends them.
#[derive(Debug)]
struct Set {
    /// Index of its first prefix; the others follow up to the first of the next set.
    first: usize,
    attrs: Attrs,
}

/// How the paths of several senders for one prefix compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ranking {
    /// The path of each sender is longer by one than that of the sender before.
    InOrder,
    /// As in order, beginning at another sender from set to set: each of so many is best for the
    /// same share of the sets.
    Rotating(usize),
}

impl Ranking {
    /// How often the sender puts itself in front, beyond the once that is usual.
    fn extra(self, set: usize, sender: usize) -> usize {
        match self {
            Self::InOrder => sender,
            Self::Rotating(senders) => (sender + senders - set % senders) % senders,
        }
    }

    /// Who has the shortest path for a set while all are there.
    pub fn best(self, set: usize) -> usize {
        match self {
            Self::InOrder => 0,
            Self::Rotating(senders) => set % senders,
        }
    }
}

impl Table {
    /// One of `count` prefixes.
    pub fn generate(count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut table = Self {
            seed,
            prefixes: Vec::with_capacity(count),
            sets: Vec::new(),
            places: HashMap::with_capacity(count),
        };
        while table.prefixes.len() < count {
            let first = table.prefixes.len();
            let size = random.choose(&SET_SIZES).min(count - first);
            let set = table.sets.len();
            while table.prefixes.len() < first + size {
                let index = table.prefixes.len();
                let prefix = random_prefix(&mut random);
                if let Entry::Vacant(free) = table.places.entry(prefix) {
                    free.insert(Place { index, set });
                    table.prefixes.push(prefix);
                }
            }
            let attrs = random_attrs(&mut random);
            table.sets.push(Set { first, attrs });
        }
        table
    }

    /// What it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// In the order in which they are sent.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// How many attribute sets they have.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Where a prefix is, if it is in the table.
    pub fn place(&self, prefix: &Prefix) -> Option<Place> {
        self.places.get(prefix).copied()
    }

    /// What one sender says of a set. The path begins with its AS.
    ///
    /// # Panics
    ///
    /// For a set that is not in the table.
    pub fn attrs(&self, set: usize, sender: usize, ranking: Ranking) -> Attrs {
        let mut attrs = self.sets[set].attrs.clone();
        let times = 1 + ranking.extra(set, sender);
        attrs.as_path = attrs.as_path.prepended(sender_asn(sender), times);
        attrs
    }

    /// All of it as the UPDATEs of one sender, one or more for each set, and End-of-RIB.
    ///
    /// # Panics
    ///
    /// Never: every attribute set fits into a message.
    pub fn announced(&self, sender: usize, nexthop: IpAddr, ranking: Ranking) -> BytesMut {
        let dialect = Dialect::new(sender_asn(sender), Asn(0));
        let (mut out, mut writer) = (BytesMut::new(), UpdateWriter::default());
        for set in 0..self.sets.len() {
            let attrs = self.attrs(set, sender, ranking);
            let loaded = writer.load(&attrs, nexthop, Family::Ipv4Unicast, &dialect);
            loaded.expect("a few numbers and communities fit into a message");
            let mut rest = self.of_set(set);
            while !rest.is_empty() {
                let written = writer.write(rest, &[], &mut out);
                rest = &rest[written..];
            }
        }
        encode_end_of_rib(Family::Ipv4Unicast, &mut out);
        out
    }

    /// UPDATEs that withdraw all of it.
    pub fn withdrawn(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let mut rest = self.prefixes.as_slice();
        while !rest.is_empty() {
            let written = encode_withdraw(rest, &[], bgp::wire::MAX_MESSAGE_LEN, &mut out);
            rest = &rest[written..];
        }
        out
    }

    fn of_set(&self, set: usize) -> &[Prefix] {
        let next = self.sets.get(set + 1).map(|next| next.first);
        &self.prefixes[self.sets[set].first..next.unwrap_or(self.prefixes.len())]
    }
}

/// The AS of a sender, counted from 0.
pub fn sender_asn(sender: usize) -> Asn {
    Asn(FIRST_SENDER + u32::try_from(sender).expect("few senders"))
}

/// The sender with that AS, if it is one of ours.
pub fn sender_of(asn: Asn) -> Option<usize> {
    let sender = usize::try_from(asn.0.checked_sub(FIRST_SENDER)?).ok()?;
    (sender < MAX_SENDERS).then_some(sender)
}

fn random_prefix(random: &mut Random) -> Prefix {
    let mut share = random.below(100);
    let mut length = 24;
    for (percent, candidate) in LENGTHS {
        length = candidate;
        if share < percent {
            break;
        }
        share -= percent;
    }
    loop {
        let address = Ipv4Addr::from(u32::try_from(random.seed() >> 32).expect("32 bits"));
        if is_public(address) {
            let prefix = Prefix::new(IpAddr::V4(address), length).expect("at most 24");
            return prefix.trunc();
        }
    }
}

/// No speaker has a reason to refuse a prefix that this address is in.
fn is_public(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0])
        && !matches!(
            address.octets()[0],
            10 | 100 | 127 | 169 | 172 | 192 | 198 | 203
        )
}

/// A path of 1 to 5 numbers, so that it has 2 to 6 with the sender's, from transits to origins.
fn random_attrs(random: &mut Random) -> Attrs {
    let length = random.choose(&[1, 2, 2, 3, 3, 3, 4, 4, 5]);
    let mut path = vec![Asn(number(random, 1_000, 40))];
    while path.len() < length {
        let (first, count) =
            random.choose(&[(3_000, 20_000), (30_000, 30_000), (131_072, 200_000)]);
        path.push(Asn(number(random, first, count)));
    }
    let communities = random.choose(&[0, 0, 1, 2, 3, 6]);
    let mut communities: Vec<_> = (0..communities)
        .map(|_| Community(path[0].0 << 16 | number(random, 1, 5_000)))
        .collect();
    communities.sort_unstable();
    communities.dedup();
    Attrs {
        as_path: AsPath::sequence(&path),
        med: random.happens(300).then(|| number(random, 0, 200)),
        communities: communities.into_iter().collect(),
        ..Attrs::originated()
    }
}

fn number(random: &mut Random, first: u32, count: usize) -> u32 {
    first + u32::try_from(random.below(count)).expect("a small number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
        let nexthop = IpAddr::from([10, 77, 1, 1]);
        let bytes = |seed| Table::generate(500, seed).announced(0, nexthop, Ranking::InOrder);
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn every_prefix_is_there_once_and_in_its_own_set() {
        let table = Table::generate(5_000, 1);
        assert_eq!(table.prefixes().len(), 5_000);
        for (index, prefix) in table.prefixes().iter().enumerate() {
            let place = table.place(prefix).expect("in the table");
            assert_eq!(place.index, index);
            assert!(table.of_set(place.set).contains(prefix));
        }
    }

    #[test]
    fn about_eight_prefixes_share_a_set_and_paths_have_two_to_six_numbers() {
        let table = Table::generate(20_000, 1);
        let each = table.prefixes().len() / table.sets();
        assert!((7..=9).contains(&each), "{each}");
        for set in 0..table.sets() {
            let length = table.attrs(set, 0, Ranking::InOrder).as_path.length();
            assert!((2..=6).contains(&length), "set {set}: {length}");
        }
    }

    #[test]
    fn where_ranks_rotate_each_sender_alone_is_best_for_its_share() {
        let (table, ranking) = (Table::generate(2_000, 1), Ranking::Rotating(10));
        let mut best = [0_usize; 10];
        for set in 0..table.sets() {
            let length = |sender| table.attrs(set, sender, ranking).as_path.length();
            let shortest = ranking.best(set);
            best[shortest] += 1;
            let others = (0..10).filter(|sender| *sender != shortest);
            others.for_each(|other| assert!(length(other) > length(shortest)));
        }
        assert!(
            best.iter()
                .all(|count| count.abs_diff(table.sets() / 10) <= 1)
        );
    }
}
