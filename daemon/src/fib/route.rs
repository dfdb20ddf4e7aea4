//! Routes as the kernel writes them: `struct rtmsg` and its attributes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::Prefix;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use smallvec::SmallVec;

use super::nexthop;
use super::request::{Attributes, Batch, dump_request};
use super::{Exit, OtherRoute, PROTOCOL};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;
/// `sizeof(struct rtmsg)`.
const RTMSG: usize = 12;
/// `sizeof(struct rtnexthop)`.
const RTNEXTHOP: usize = 8;
/// Where everybody's routes are.
pub(super) const MAIN: u32 = 254;
pub(super) const ANY_TABLE: u32 = 0;
/// `RTPROT_UNSPEC`: of any protocol.
pub(super) const UNSPECIFIED: u8 = 0;
const FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;

/// Metric of our routes that discard: any other route for the prefix comes before them. The file cannot
/// name it for our other routes.
const LAST: u32 = u32::MAX;

/// Where our routes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) table: u32,
    pub(super) metric: u32,
}

impl Place {
    /// Where those are that discard.
    pub(super) fn of_discards(self) -> Self {
        Self {
            metric: LAST,
            ..self
        }
    }
}

/// Appends the message that makes a route, or leads one elsewhere.
pub(super) fn set(batch: &mut Batch, prefix: &Prefix, nexthop: u32, place: Place) {
    begin(batch, Verb::Lead, prefix, place);
    batch.attribute(RTA_NH_ID, &nexthop.to_ne_bytes());
}

/// Appends the message that makes a route which discards. In silence: an ICMP error for each packet would cost
/// more than the packet, and whoever scans the prefix asks for as many as he likes. A nexthop object that discards is
/// refused while `lo` is down, so the route says it itself.
pub(super) fn set_discard(batch: &mut Batch, prefix: &Prefix, place: Place) {
    begin(batch, Verb::Discard, prefix, place);
}

/// Appends the message that removes a route, whatever its type.
pub(super) fn remove(batch: &mut Batch, prefix: &Prefix, place: Place) {
    begin(batch, Verb::Remove, prefix, place);
}

/// What a message does with a route.
#[derive(Clone, Copy)]
enum Verb {
    Lead,
    Discard,
    Remove,
}

fn begin(batch: &mut Batch, verb: Verb, prefix: &Prefix, place: Place) {
    let (message, flags, kind) = match verb {
        Verb::Lead => (RTM_NEWROUTE, FLAGS, libc::RTN_UNICAST),
        Verb::Discard => (RTM_NEWROUTE, FLAGS, libc::RTN_BLACKHOLE),
        Verb::Remove => (RTM_DELROUTE, 0, libc::RTN_UNSPEC),
    };
    let family = match prefix {
        Prefix::V4(_) => libc::AF_INET,
        Prefix::V6(_) => libc::AF_INET6,
    };
    let mut header = header(family, place.table, PROTOCOL);
    header[1] = prefix.prefix_len();
    header[7] = kind;
    batch.begin(message, flags, &header);
    match prefix.addr() {
        IpAddr::V4(address) => batch.attribute(RTA_DST, &address.octets()),
        IpAddr::V6(address) => batch.attribute(RTA_DST, &address.octets()),
    }
    batch.attribute(RTA_TABLE, &place.table.to_ne_bytes());
    batch.attribute(RTA_PRIORITY, &place.metric.to_ne_bytes());
}

/// A request for the routes of a protocol in a table.
pub(super) fn all(family: libc::c_int, table: u32, protocol: u8) -> Batch {
    let mut request = dump_request(RTM_GETROUTE, &header(family, table, protocol));
    if table != ANY_TABLE {
        request.attribute(RTA_TABLE, &table.to_ne_bytes());
    }
    request
}

/// `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type,
/// flags. A table above 255 stands in an attribute alone.
fn header(family: libc::c_int, table: u32, protocol: u8) -> [u8; RTMSG] {
    let mut header = [0; RTMSG];
    header[0] = family as u8;
    header[4] = u8::try_from(table).unwrap_or_default();
    header[5] = protocol;
    header
}

/// A route of ours in the kernel.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Route {
    pub(super) prefix: Prefix,
    pub(super) place: Place,
    pub(super) nexthop: Option<u32>,
    pub(super) is_discard: bool,
}

impl Route {
    /// `None` if it is not ours.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let header: [u8; RTMSG] = *body.first_chunk()?;
        let [family, length, _, _, table, protocol, _, kind, ..] = header;
        if protocol != PROTOCOL {
            return None;
        }
        let is_v4 = libc::c_int::from(family) == libc::AF_INET;
        let mut address: IpAddr = match is_v4 {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut place = Place {
            table: table.into(),
            metric: 0,
        };
        let mut nexthop = None;
        for (kind, value) in Attributes(&body[RTMSG..]) {
            let number = || value.first_chunk().map(|it| u32::from_ne_bytes(*it));
            match kind {
                RTA_DST if is_v4 => address = (*value.first_chunk::<4>()?).into(),
                RTA_DST => address = (*value.first_chunk::<16>()?).into(),
                RTA_TABLE => place.table = number()?,
                RTA_PRIORITY => place.metric = number()?,
                RTA_NH_ID => nexthop = number(),
                _ => {}
            }
        }
        Some(Self {
            prefix: Prefix::new(address, length).ok()?,
            place,
            nexthop,
            is_discard: kind == libc::RTN_BLACKHOLE,
        })
    }
}

/// A route of another in the main table; `None` if it is none that packets take: of ours, of
/// another table, to ourselves, for one TOS only.
pub(super) fn decode_other(body: &[u8]) -> Option<OtherRoute> {
    /// `RTM_F_CLONED`: an answer that is kept, and no route.
    const CLONED: u32 = 0x200;
    let header: [u8; RTMSG] = *body.first_chunk()?;
    let [
        family,
        length,
        source,
        tos,
        table,
        protocol,
        _,
        kind,
        flags @ ..,
    ] = header;
    let is_cloned = u32::from_ne_bytes(flags) & CLONED != 0;
    if protocol == PROTOCOL || u32::from(table) != MAIN || source != 0 || tos != 0 || is_cloned {
        return None;
    }
    let mut address: IpAddr = match libc::c_int::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let (mut metric, mut objects, mut ways) = (0, SmallVec::new(), SmallVec::new());
    for (kind, value) in Attributes(&body[RTMSG..]) {
        match kind {
            RTA_DST => address = nexthop::address(value)?,
            RTA_PRIORITY => metric = u32::from_ne_bytes(*value.first_chunk()?),
            RTA_NH_ID => objects.push(u32::from_ne_bytes(*value.first_chunk()?)),
            RTA_MULTIPATH => ways.extend(hops(value)),
            _ => {}
        }
    }
    if ways.is_empty() {
        ways.extend(hop(&body[RTMSG..]));
    }
    let exit = match kind {
        libc::RTN_UNICAST if !objects.is_empty() => Exit::Objects(objects),
        libc::RTN_UNICAST => Exit::Ways(ways),
        libc::RTN_BLACKHOLE | libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT => Exit::Nowhere,
        _ => return None,
    };
    Some(OtherRoute {
        prefix: Prefix::new(address, length).ok()?,
        metric,
        exit,
    })
}

/// The ways of an `RTA_MULTIPATH`: each a `struct rtnexthop` (length, flags, hops, interface) with
/// attributes.
fn hops(mut value: &[u8]) -> Vec<(Option<IpAddr>, u32)> {
    let mut found = Vec::new();
    while let Some([l0, l1, _, _, interface @ ..]) = value.first_chunk::<RTNEXTHOP>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(attributes) = value.get(RTNEXTHOP..length) else {
            break;
        };
        found.push((gateway(attributes), u32::from_ne_bytes(*interface)));
        value = value.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn hop(attributes: &[u8]) -> Option<(Option<IpAddr>, u32)> {
    let (_, interface) = Attributes(attributes).find(|(kind, _)| *kind == RTA_OIF)?;
    let interface = u32::from_ne_bytes(*interface.first_chunk()?);
    Some((gateway(attributes), interface))
}

fn gateway(attributes: &[u8]) -> Option<IpAddr> {
    Attributes(attributes).find_map(|(kind, value)| match kind {
        RTA_GATEWAY => nexthop::address(value),
        // The family comes first.
        RTA_VIA => nexthop::address(value.get(2..)?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const PLACE: Place = Place {
        table: 1000,
        metric: 20,
    };

    #[test]
    fn routes_come_back_as_written() {
        let mut batch = Batch::default();
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            let prefix = text.parse().unwrap();
            let nexthop = 77;
            batch.clear();
            set(&mut batch, &prefix, nexthop, PLACE);
            let route = Route {
                prefix,
                place: PLACE,
                nexthop: Some(nexthop),
                is_discard: false,
            };
            assert_eq!(Route::decode(batch.body()), Some(route));
        }
    }

    #[test]
    fn a_route_that_discards_comes_back_as_written_and_behind_all_others() {
        let mut batch = Batch::default();
        for text in ["203.0.112.0/22", "2001:db8::/32"] {
            let prefix = text.parse().unwrap();
            batch.clear();
            set_discard(&mut batch, &prefix, PLACE.of_discards());
            let route = Route::decode(batch.body()).unwrap();
            assert_eq!((route.prefix, route.nexthop), (prefix, None));
            assert_eq!((route.place.table, route.place.metric), (1000, u32::MAX));
            assert!(route.is_discard);
        }
    }

    #[test]
    fn routes_of_others_and_cut_ones_are_nothing() {
        let mut batch = Batch::default();
        let prefix = "192.0.2.0/24".parse().unwrap();
        remove(&mut batch, &prefix, PLACE);
        let mut body = batch.body().to_vec();
        for cut in 0..body.len() {
            let _ = Route::decode(&body[..cut]);
        }
        body[5] = 3;
        assert_eq!(Route::decode(&body), None);
    }

    /// A route of OSPF's in the main table.
    fn ospf(batch: &mut Batch) {
        let mut header = header(libc::AF_INET, MAIN, 188);
        header[1] = 32;
        header[7] = libc::RTN_UNICAST;
        batch.begin(RTM_NEWROUTE, 0, &header);
        batch.attribute(RTA_DST, &[192, 0, 2, 1]);
        batch.attribute(RTA_PRIORITY, &20u32.to_ne_bytes());
    }

    fn exit(batch: &Batch) -> Exit {
        let route = decode_other(batch.body()).unwrap();
        assert_eq!(
            (route.prefix.to_string().as_str(), route.metric),
            ("192.0.2.1/32", 20)
        );
        route.exit
    }

    #[test]
    fn routes_of_others_that_drop_packets_lead_nowhere_and_ours_are_not_among_them() {
        let mut batch = Batch::default();
        for kind in [
            libc::RTN_BLACKHOLE,
            libc::RTN_UNREACHABLE,
            libc::RTN_PROHIBIT,
        ] {
            ospf(&mut batch);
            let mut body = batch.body().to_vec();
            body[7] = kind;
            let exit = decode_other(&body).map(|route| route.exit);
            assert_eq!(exit, Some(Exit::Nowhere));
        }
        let place = Place {
            table: MAIN,
            metric: 20,
        };
        let prefix = "192.0.2.0/24".parse().unwrap();
        set_discard(&mut batch, &prefix, place.of_discards());
        assert_eq!(decode_other(batch.body()), None);
    }

    #[test]
    fn routes_of_others_say_where_they_lead() {
        let gateway: IpAddr = [10, 0, 0, 2].into();
        let mut batch = Batch::default();
        ospf(&mut batch);
        batch.attribute(RTA_OIF, &3u32.to_ne_bytes());
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(None, 3)]));
        batch.attribute(RTA_GATEWAY, &[10, 0, 0, 2]);
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(Some(gateway), 3)]));
        batch.attribute(RTA_NH_ID, &9u32.to_ne_bytes());
        assert_eq!(exit(&batch), Exit::Objects(smallvec![9]));

        ospf(&mut batch);
        batch.attribute(RTA_OIF, &3u32.to_ne_bytes());
        let mut via = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        via.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        batch.attribute(RTA_VIA, &via);
        let over_ipv6 = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(over_ipv6, 3)]));

        ospf(&mut batch);
        let mut several = Vec::new();
        for interface in [3u32, 4] {
            several.extend_from_slice(&[16, 0, 0, 0]);
            several.extend_from_slice(&interface.to_ne_bytes());
            several.extend_from_slice(&[8, 0, RTA_GATEWAY as u8, 0, 10, 0, 0, 2]);
        }
        batch.attribute(RTA_MULTIPATH, &several);
        let ways = Exit::Ways(smallvec![(Some(gateway), 3), (Some(gateway), 4)]);
        assert_eq!(exit(&batch), ways);
        for cut in 0..batch.body().len() {
            let _ = decode_other(&batch.body()[..cut]);
        }
    }
}
