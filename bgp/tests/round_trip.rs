//! `decode(encode(x)) == x` for random announcements, in every dialect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgp::wire::{
    Dialect, Frames, Lengths, MAX_EXTENDED_LEN, MAX_MESSAGE_LEN, UpdateWriter, decode_update,
    encode_withdraw,
};
use bgp::{
    Aggregator, AsPath, Asn, Attrs, Community, ExtCommunity, Family, FamilySet, LargeCommunity,
    Origin, PathId, Prefix, RawAttr, Reflection, RouteEvent, Segment, SegmentKind,
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

/// Any prefix but multicast ones, which are not read.
fn prefix(random: &mut Random, family: Family) -> Prefix {
    match family {
        Family::Ipv4Unicast => {
            let any = random.word();
            let address = if any >> 28 == 0xe { any >> 1 } else { any };
            let length = random.below(33) as u8;
            Prefix::V4(
                Ipv4Net::new(Ipv4Addr::from(address), length)
                    .expect("legal")
                    .trunc(),
            )
        }
        Family::Ipv6Unicast => {
            let any = u128::from(random.next()) << 64 | u128::from(random.next());
            let address = if any >> 120 == 0xff { any >> 1 } else { any };
            let length = random.below(129) as u8;
            Prefix::V6(Ipv6Net::new(address.into(), length).expect("legal").trunc())
        }
    }
}

/// What two speakers may have agreed on, and the same as the other one sees it.
fn dialects(random: &mut Random) -> (Dialect, Dialect) {
    let local_asn = Asn(65001);
    let mut some = || {
        let families = Family::ALL.into_iter();
        families.filter(|_| random.below(2) == 0).collect()
    };
    let (add_path_send, extended_nexthop): (FamilySet, FamilySet) = (some(), some());
    let ours = Dialect {
        peer_asn: [local_asn, Asn(65002)][usize::from(random.below(2) == 0)],
        four_octet_asn: random.below(2) == 0,
        add_path_send,
        extended_nexthop,
        max_message_len: [MAX_MESSAGE_LEN, MAX_EXTENDED_LEN][usize::from(random.below(2) == 0)],
        ..Dialect::new(local_asn, Asn(65002))
    };
    let theirs = Dialect {
        local_asn: ours.peer_asn,
        peer_asn: ours.local_asn,
        add_path_send: FamilySet::EMPTY,
        add_path_receive: ours.add_path_send,
        ..ours.clone()
    };
    (ours, theirs)
}

fn nexthop(random: &mut Random, family: Family, dialect: &Dialect) -> IpAddr {
    let is_foreign = dialect.extended_nexthop.contains(family) && random.below(2) == 0;
    if family == Family::Ipv4Unicast && !is_foreign {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))
    }
}

/// One for each of `prefixes` where they are sent.
fn path_ids(random: &mut Random, prefixes: &[Prefix], family: Family, of: &Dialect) -> Vec<PathId> {
    if of.add_path_send.contains(family) {
        prefixes.iter().map(|_| PathId(random.word())).collect()
    } else {
        Vec::new()
    }
}

/// Writes message after message until nothing is left. `write` says how many prefixes it took.
fn write_all(
    prefixes: &[Prefix],
    path_ids: &[PathId],
    longest: usize,
    mut write: impl FnMut(&[Prefix], &[PathId], &mut BytesMut) -> usize,
) -> BytesMut {
    let mut out = BytesMut::new();
    let mut done = 0;
    while done < prefixes.len() {
        let before = out.len();
        let ids = path_ids.get(done..).unwrap_or_default();
        let count = write(&prefixes[done..], ids, &mut out);
        assert!(count > 0 && out.len() - before <= longest);
        done += count;
    }
    out
}

fn read(stream: &[u8], dialect: &Dialect) -> Vec<RouteEvent> {
    let (mut frames, mut events, mut faults) = (Frames::default(), vec![], vec![]);
    frames.set_lengths(Lengths {
        longest: dialect.max_message_len,
        ..Lengths::default()
    });
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
    let mut long = 0;
    for seed in 1..=4000_u64 {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (ours, theirs) = dialects(random);
        let family = Family::ALL[random.below(2) as usize];
        let nexthop = nexthop(random, family, &ours);
        let attrs = attrs(random, &ours, nexthop);
        let prefixes = random.list(2000, |random| prefix(random, family));
        let ids = path_ids(random, &prefixes, family, &ours);
        let mut writer = UpdateWriter::default();
        if writer.load(&attrs, nexthop, family, &ours).is_err() {
            continue;
        }
        let longest = ours.max_message_len;
        let out = write_all(&prefixes, &ids, longest, |prefixes, ids, out| {
            writer.write(prefixes, ids, out)
        });
        let events = read(&out, &theirs);
        long += usize::from(events.len() == 1 && out.len() > MAX_MESSAGE_LEN);
        let (mut back, mut back_ids) = (Vec::new(), Vec::new());
        for event in events {
            let RouteEvent::Announce {
                attrs: seen,
                prefixes,
                path_ids,
            } = event
            else {
                unreachable!("seed {seed}: {event:?}");
            };
            assert_eq!(seen, Arc::new(attrs.clone()), "seed {seed}");
            back.extend(prefixes);
            back_ids.extend(path_ids);
        }
        assert_eq!((back, back_ids), (prefixes, ids), "seed {seed}");
    }
    assert!(long > 0, "no message was an extended one");
}

#[test]
fn withdrawals_are_read_back_the_same() {
    for seed in 1..=1000_u64 {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (ours, theirs) = dialects(random);
        let longest = ours.max_message_len;
        for family in Family::ALL {
            let prefixes = random.list(1500, |random| prefix(random, family));
            let ids = path_ids(random, &prefixes, family, &ours);
            let out = write_all(&prefixes, &ids, longest, |prefixes, ids, out| {
                encode_withdraw(prefixes, ids, longest, out)
            });
            let (mut back, mut back_ids) = (Vec::new(), Vec::new());
            for event in read(&out, &theirs) {
                let RouteEvent::Withdraw { prefixes, path_ids } = event else {
                    unreachable!("seed {seed}: {event:?}");
                };
                back.extend(prefixes);
                back_ids.extend(path_ids);
            }
            assert_eq!((back, back_ids), (prefixes, ids), "seed {seed}");
        }
    }
}

/// RFC 7606 §5.1.
#[test]
fn mp_reach_nlri_is_the_first_attribute() {
    let nexthop: IpAddr = "2001:db8::1".parse().expect("valid");
    let mut attrs = Attrs::originated();
    attrs.as_path = AsPath::sequence(&[Asn(65001)]);
    let mut writer = UpdateWriter::default();
    let dialect = Dialect::new(Asn(65001), Asn(65002));
    let loaded = writer.load(&attrs, nexthop, Family::Ipv6Unicast, &dialect);
    loaded.expect("it fits");
    let mut out = BytesMut::new();
    writer.write(&["2001:db8::/32".parse().expect("valid")], &[], &mut out);
    // Behind the header, no withdrawn prefixes, and the length of the attributes: flags and code.
    assert_eq!(out[19 + 4..][..2], [0x90, 14]);
}
