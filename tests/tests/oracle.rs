//! A second implementation beside ours: what both accept means the same, and what we write the
//! other one accepts.
//!
//! The other one is `netgauze-bgp-pkt`. Where it is stricter than RFC 7606 it refuses what we
//! soften, so a message counts only if neither finds a fault.

mod breaking;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use bgp::wire::{
    Dialect, Frames, MAX_MESSAGE_LEN, MessageKind, UpdateWriter, decode_update, encode_withdraw,
};
use bgp::{Asn, FirstAs, Prefix, RouteEvent, SegmentKind};
use breaking::mutant;
use bytes::BytesMut;
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::path_attribute::{
    Aggregator, AsPath, AsPathSegmentType, MpReach, MpUnreach, PathAttributeValue,
};
use netgauze_bgp_pkt::update::BgpUpdateMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput as _;

const MESSAGES: u64 = 200_000;

/// IPv6 extended communities, AIGP, BGP-LS, prefix SID.
const READ_BY_OTHER: [u8; 4] = [25, 26, 29, 40];

/// What an UPDATE says, in the words of neither.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Meaning {
    announced: BTreeSet<(Prefix, IpAddr)>,
    withdrawn: BTreeSet<Prefix>,
    /// Only where something is announced.
    path: Path,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Path {
    origin: u8,
    /// Whether it is a set, and its numbers; sequences that follow each other as one.
    segments: Vec<(bool, Vec<u32>)>,
    med: Option<u32>,
    local_pref: Option<u32>,
    atomic_aggregate: bool,
    aggregator: Option<(u32, Ipv4Addr)>,
    communities: BTreeSet<u32>,
    large_communities: BTreeSet<(u32, u32, u32)>,
    originator_id: Option<Ipv4Addr>,
    cluster_list: Vec<Ipv4Addr>,
    only_to_customer: Option<u32>,
}

/// An internal peer, so that every attribute means something.
fn dialect() -> Dialect {
    let mut dialect = Dialect::new(Asn(65001), Asn(65001));
    dialect.first_as = FirstAs::Free;
    dialect
}

#[test]
fn what_both_accept_means_the_same() {
    let mut compared = 0;
    for number in 0..MESSAGES {
        let bytes = mutant(number);
        let (Some(ours), Some(theirs)) = (ours(&bytes), theirs(&bytes)) else {
            continue;
        };
        assert_eq!(ours, theirs, "mutant {number}: {bytes:02x?}");
        compared += 1;
    }
    assert!(compared > MESSAGES / 50, "only {compared} compared");
}

#[test]
fn what_we_write_the_other_one_reads() {
    let mut written = 0;
    for number in 0..MESSAGES {
        let bytes = mutant(number);
        for event in events(&bytes).unwrap_or_default() {
            let Some(again) = write(&event) else { continue };
            let theirs = theirs(&again)
                .unwrap_or_else(|| unreachable!("mutant {number}: {event:?} as {again:02x?}"));
            assert_eq!(meaning([event]), theirs, "mutant {number}: {again:02x?}");
            written += 1;
        }
    }
    assert!(written > MESSAGES / 50, "only {written} written");
}

/// The events of a message without any fault that is an UPDATE, and names no multicast prefix: those
/// the other one refuses.
fn events(mut bytes: &[u8]) -> Option<Vec<RouteEvent>> {
    let mut frames = Frames::default();
    let body = match frames.next(&mut bytes)? {
        Ok(frame) if frame.kind == MessageKind::Update => frame.body,
        _ => return None,
    };
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    decode_update(body, &dialect(), &mut events, &mut faults).ok()?;
    let multicast = events.iter().any(|event| match event {
        RouteEvent::Announce { prefixes, .. } | RouteEvent::Withdraw { prefixes, .. } => prefixes
            .iter()
            .any(|prefix| prefix.network().is_multicast()),
        RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => {
            false
        }
    });
    (faults.is_empty() && !multicast).then_some(events)
}

fn ours(bytes: &[u8]) -> Option<Meaning> {
    Some(meaning(events(bytes)?))
}

fn meaning(events: impl IntoIterator<Item = RouteEvent>) -> Meaning {
    let mut meaning = Meaning::default();
    for event in events {
        match event {
            RouteEvent::Announce {
                attrs, prefixes, ..
            } => {
                let nexthop = attrs.nexthop.expect("received paths have one");
                let prefixes = prefixes.into_iter().map(|prefix| (prefix, nexthop));
                meaning.announced.extend(prefixes);
                meaning.path = path(&attrs);
            }
            RouteEvent::Withdraw { prefixes, .. } => meaning.withdrawn.extend(prefixes),
            RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => {
            }
        }
    }
    meaning
}

fn path(attrs: &bgp::Attrs) -> Path {
    let segments = attrs.as_path.segments.iter();
    let large = attrs.large_communities.iter();
    let reflection = attrs.reflection.as_deref();
    Path {
        origin: attrs.origin as u8,
        segments: segments
            .map(|segment| {
                let asns = segment.asns.iter().map(|asn| asn.0).collect();
                (segment.kind == SegmentKind::Set, asns)
            })
            .collect(),
        med: attrs.med,
        local_pref: attrs.local_pref,
        atomic_aggregate: attrs.atomic_aggregate,
        aggregator: attrs.aggregator.map(|by| (by.asn.0, by.router_id)),
        communities: attrs
            .communities
            .iter()
            .map(|community| community.0)
            .collect(),
        large_communities: large.map(|large| (large.0, large.1, large.2)).collect(),
        originator_id: reflection.and_then(|reflection| reflection.originator_id),
        cluster_list: reflection
            .map(|reflection| reflection.cluster_list.clone())
            .unwrap_or_default(),
        only_to_customer: attrs.only_to_customer.map(|asn| asn.0),
    }
}

/// One message for the event; `None` if it needs more than one, or is no route.
fn write(event: &RouteEvent) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    let (count, prefixes) = match event {
        RouteEvent::Announce {
            attrs, prefixes, ..
        } => {
            let family = bgp::Family::of(prefixes.first()?);
            let mut writer = UpdateWriter::default();
            writer
                .load(attrs, attrs.nexthop?, family, &dialect())
                .ok()?;
            // What is missing is written as the default.
            attrs.local_pref?;
            // What we carry unread the other one may read, and find faults in.
            let mut unknown = attrs.unknown.iter().flat_map(|unknown| unknown.iter());
            if unknown.any(|raw| READ_BY_OTHER.contains(&raw.code)) {
                return None;
            }
            (writer.write(prefixes, &[], &mut out), prefixes)
        }
        RouteEvent::Withdraw { prefixes, .. } => (
            encode_withdraw(prefixes, &[], MAX_MESSAGE_LEN, &mut out),
            prefixes,
        ),
        RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => {
            return None;
        }
    };
    assert!(out.len() <= MAX_MESSAGE_LEN);
    (count == prefixes.len()).then_some(out)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the other one has and we do not is left out"
)]
fn theirs(bytes: &[u8]) -> Option<Meaning> {
    let mut context = BgpParsingContext::default();
    match BgpMessage::parse(&mut SliceReader::new(bytes), &mut context).ok()? {
        BgpMessage::Update(update) => their_meaning(&update),
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the other one has and we do not is left out"
)]
fn their_meaning(update: &BgpUpdateMessage) -> Option<Meaning> {
    let mut meaning = Meaning::default();
    let mut nexthop = None;
    let withdrawn = update.withdraw_routes().iter();
    meaning
        .withdrawn
        .extend(withdrawn.map(|route| Prefix::V4(route.network().address().trunc())));
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::NextHop(value) => nexthop = Some(IpAddr::V4(value.next_hop())),
            PathAttributeValue::MpReach(MpReach::Ipv4Unicast { next_hop, nlri, .. }) => {
                let routes = nlri
                    .iter()
                    .map(|route| Prefix::V4(route.network().address().trunc()));
                meaning
                    .announced
                    .extend(routes.map(|prefix| (prefix, *next_hop)));
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast {
                next_hop_global,
                nlri,
                ..
            }) => {
                let routes = nlri
                    .iter()
                    .map(|route| Prefix::V6(route.network().address().trunc()));
                meaning
                    .announced
                    .extend(routes.map(|prefix| (prefix, (*next_hop_global).into())));
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv4Unicast { nlri }) => {
                let routes = nlri
                    .iter()
                    .map(|route| Prefix::V4(route.network().address().trunc()));
                meaning.withdrawn.extend(routes);
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                let routes = nlri
                    .iter()
                    .map(|route| Prefix::V6(route.network().address().trunc()));
                meaning.withdrawn.extend(routes);
            }
            value => their_attribute(&mut meaning.path, value)?,
        }
    }
    let announced = update.nlri().iter();
    for route in announced {
        meaning
            .announced
            .insert((Prefix::V4(route.network().address().trunc()), nexthop?));
    }
    if meaning.announced.is_empty() {
        meaning.path = Path::default();
    }
    Some(meaning)
}

/// `None` for what we do not read, or not so.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the other one has and we do not is left out"
)]
fn their_attribute(path: &mut Path, value: &PathAttributeValue) -> Option<()> {
    match value {
        PathAttributeValue::Origin(origin) => path.origin = (*origin).into(),
        PathAttributeValue::AsPath(AsPath::As4PathSegments(segments)) => {
            for segment in segments {
                let is_set = segment.segment_type() == AsPathSegmentType::AsSet;
                match path.segments.last_mut() {
                    Some((false, asns)) if !is_set => asns.extend(segment.as_numbers()),
                    _ => path.segments.push((is_set, segment.as_numbers().to_vec())),
                }
            }
        }
        PathAttributeValue::MultiExitDiscriminator(med) => path.med = Some(med.metric()),
        PathAttributeValue::LocalPreference(value) => path.local_pref = Some(value.metric()),
        PathAttributeValue::AtomicAggregate(_) => path.atomic_aggregate = true,
        PathAttributeValue::Aggregator(Aggregator::As4Aggregator(by)) => {
            path.aggregator = Some((*by.asn(), by.origin()));
        }
        PathAttributeValue::Communities(list) => {
            path.communities = list
                .communities()
                .iter()
                .map(|value| value.value())
                .collect();
        }
        PathAttributeValue::LargeCommunities(list) => {
            let list = list.communities().iter();
            path.large_communities = list
                .map(|large| {
                    (
                        large.global_admin(),
                        large.local_data1(),
                        large.local_data2(),
                    )
                })
                .collect();
        }
        PathAttributeValue::Originator(id) => path.originator_id = Some(id.id()),
        PathAttributeValue::ClusterList(list) => {
            path.cluster_list = list
                .cluster_list()
                .iter()
                .map(|cluster| cluster.id())
                .collect();
        }
        PathAttributeValue::OnlyToCustomer(value) => path.only_to_customer = Some(value.asn()),
        PathAttributeValue::ExtendedCommunities(_) | PathAttributeValue::UnknownAttribute(_) => {}
        _ => return None,
    }
    Some(())
}
