//! `decode(encode(x)) == x` for random announcements, in every dialect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgp::wire::{Dialect, Frames, MAX_MESSAGE_LEN, UpdateWriter, decode_update, encode_withdraw};
use bgp::{
    Aggregator, AsPath, Asn, Attrs, Community, ExtCommunity, Family, LargeCommunity, Origin,
    Prefix, RawAttr, Reflection, RouteEvent, Segment, SegmentKind,
};
use bytes::BytesMut;
use ipnet::{Ipv4Net, Ipv6Net};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn word(&mut self) -> u32 {
        (self.next() >> 16) as u32
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn list<T>(&mut self, limit: u64, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(limit)).map(|_| make(self)).collect()
    }
}

fn asn(random: &mut Random) -> Asn {
    match random.below(2) {
        0 => Asn(random.word() >> 16 | 1),
        _ => Asn(random.word() | 0x0001_0000),
    }
}

fn as_path(random: &mut Random, dialect: &Dialect) -> AsPath {
    let mut path = AsPath::default();
    let length = [3, 300][usize::from(random.below(20) == 0)];
    let mut first = random.list(length, asn);
    first.insert(0, dialect.local_asn);
    path.segments.push(Segment {
        kind: SegmentKind::Sequence,
        asns: first.into(),
    });
    if random.below(4) == 0 {
        let mut asns = random.list(5, asn);
        asns.push(Asn(7));
        path.segments.push(Segment {
            kind: SegmentKind::Set,
            asns: asns.into(),
        });
    }
    path
}

fn attrs(random: &mut Random, dialect: &Dialect, nexthop: IpAddr) -> Attrs {
    let mut attrs = Attrs::originated();
    attrs.origin = [Origin::Igp, Origin::Egp, Origin::Incomplete][random.below(3) as usize];
    attrs.as_path = as_path(random, dialect);
    attrs.nexthop = Some(nexthop);
    attrs.med = random.maybe(Random::word);
    attrs.local_pref = (dialect.local_asn == dialect.peer_asn).then(|| random.word());
    attrs.atomic_aggregate = random.below(2) == 0;
    attrs.aggregator = random.maybe(|random| Aggregator {
        asn: asn(random),
        router_id: random.word().into(),
    });
    attrs.communities = random.list(90, |random| Community(random.word())).into();
    attrs.communities.sort_unstable();
    attrs.communities.dedup();
    attrs.large_communities = random
        .list(4, |random| {
            LargeCommunity(random.word(), random.word(), random.word())
        })
        .into();
    attrs.large_communities.sort_unstable();
    attrs.large_communities.dedup();
    attrs.ext_communities = random.list(4, |random| ExtCommunity(random.next())).into();
    attrs.ext_communities.sort_unstable();
    attrs.ext_communities.dedup();
    attrs.only_to_customer = random.maybe(asn);
    attrs.reflection = reflection(random).filter(|_| dialect.is_internal());
    let codes: Vec<u8> = [0, 11, 13, 19, 31, 33, 36, 128, 255]
        .into_iter()
        .filter(|_| random.below(8) == 0)
        .collect();
    let unknown: Vec<RawAttr> = codes
        .into_iter()
        .map(|code| RawAttr {
            code,
            flags: 0xe0,
            value: random.list(300, |random| random.word() as u8).into(),
        })
        .collect();
    attrs.unknown = (!unknown.is_empty()).then(|| Box::new(unknown));
    attrs
}

fn reflection(random: &mut Random) -> Option<Box<Reflection>> {
    let reflection = Reflection {
        originator_id: random.maybe(|random| random.word().into()),
        cluster_list: random.list(3, |random| random.word().into()),
    };
    let is_some = reflection.originator_id.is_some() || !reflection.cluster_list.is_empty();
    is_some.then(|| Box::new(reflection))
}

fn prefix(random: &mut Random, family: Family) -> Prefix {
    match family {
        Family::Ipv4Unicast => {
            let address = Ipv4Addr::from(random.word());
            let length = random.below(33) as u8;
            Prefix::V4(Ipv4Net::new(address, length).expect("legal").trunc())
        }
        Family::Ipv6Unicast => {
            let address = u128::from(random.next()) << 64 | u128::from(random.next());
            let length = random.below(129) as u8;
            Prefix::V6(Ipv6Net::new(address.into(), length).expect("legal").trunc())
        }
    }
}

fn read(stream: &[u8], dialect: &Dialect) -> Vec<RouteEvent> {
    let (mut frames, mut events, mut faults) = (Frames::default(), vec![], vec![]);
    let mut input = stream;
    while let Some(frame) = frames.next(&mut input) {
        let body = frame.expect("a valid header").body;
        decode_update(body, dialect, &mut events, &mut faults).expect("valid");
    }
    assert_eq!(faults, []);
    events
}

#[test]
fn what_is_written_is_read_back_the_same() {
    for seed in 1..=4000_u64 {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let local_asn = Asn(65001);
        let ours = Dialect {
            local_asn,
            peer_asn: if random.below(2) == 0 {
                local_asn
            } else {
                Asn(65002)
            },
            four_octet_asn: random.below(2) == 0,
            ..Dialect::new(local_asn, Asn(65002))
        };
        let theirs = Dialect {
            local_asn: ours.peer_asn,
            peer_asn: ours.local_asn,
            ..ours.clone()
        };
        let family = Family::ALL[random.below(2) as usize];
        let nexthop = match family {
            Family::Ipv4Unicast => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            Family::Ipv6Unicast => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        };
        let attrs = attrs(random, &ours, nexthop);
        let prefixes = random.list(2000, |random| prefix(random, family));
        let mut writer = UpdateWriter::default();
        if writer.load(&attrs, nexthop, family, &ours).is_err() {
            continue;
        }
        let mut rest = prefixes.as_slice();
        let mut out = BytesMut::new();
        while !rest.is_empty() {
            let before = out.len();
            let count = writer.write(rest, &[], &mut out);
            assert!(
                count > 0 && out.len() - before <= MAX_MESSAGE_LEN,
                "seed {seed}"
            );
            rest = &rest[count..];
        }
        let mut back = Vec::new();
        for event in read(&out, &theirs) {
            let RouteEvent::Announce {
                attrs: seen,
                prefixes,
                ..
            } = event
            else {
                unreachable!("seed {seed}: {event:?}");
            };
            assert_eq!(seen, Arc::new(attrs.clone()), "seed {seed}");
            back.extend(prefixes);
        }
        assert_eq!(back, prefixes, "seed {seed}");
    }
}

#[test]
fn withdrawals_are_read_back_the_same() {
    for seed in 1..=500_u64 {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let dialect = Dialect::new(Asn(1), Asn(2));
        let mut prefixes = random.list(1500, |random| prefix(random, Family::Ipv4Unicast));
        prefixes.extend(random.list(1500, |random| prefix(random, Family::Ipv6Unicast)));
        let mut rest = prefixes.as_slice();
        let mut out = BytesMut::new();
        while !rest.is_empty() {
            let count = encode_withdraw(rest, &[], MAX_MESSAGE_LEN, &mut out);
            assert!(count > 0, "seed {seed}");
            rest = &rest[count..];
        }
        let back: Vec<Prefix> = read(&out, &dialect)
            .into_iter()
            .flat_map(|event| match event {
                RouteEvent::Withdraw { prefixes, .. } => prefixes,
                RouteEvent::Announce { .. }
                | RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => Vec::new(),
            })
            .collect();
        assert_eq!(back, prefixes, "seed {seed}");
    }
}
