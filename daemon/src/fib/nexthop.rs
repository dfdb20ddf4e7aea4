//! `RTM_NEWNEXTHOP` and its relatives, which netlink-packet-route does not have
//! (`struct nhmsg`, `linux/nexthop.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use smallvec::smallvec;

use super::request::{Attributes, Batch, dump_request};
use super::{Exit, Lead, PROTOCOL, Way};

pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_RES_GROUP: u16 = 12;
const NHA_RES_GROUP_BUCKETS: u16 = 1;
const NHA_RES_GROUP_IDLE_TIMER: u16 = 2;
/// `NEXTHOP_GRP_TYPE_RES`: flows are kept in buckets, each of which has one nexthop.
const RESILIENT: u16 = 1;
/// So much more than a standby that the only bucket is never its.
const FIRST: u8 = 255;
/// `RTNH_F_ONLINK`: the gateway need not be on a connected network, as on a tunnel with a /32.
const ONLINK: u32 = 4;
/// `sizeof(struct nhmsg)`: family, scope, protocol, reserved, flags.
const NHMSG: usize = 8;
/// `sizeof(struct nexthop_grp)`: identifier, weight - 1, reserved.
const MEMBER: usize = 8;

/// What a dump says of one nexthop object.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Object {
    Nexthop { id: u32, way: Way },
    Group { id: u32, lead: Lead },
}

/// `struct nhmsg`.
fn header(family: libc::c_int, protocol: u8, flags: u32) -> [u8; NHMSG] {
    let [a, b, c, d] = flags.to_ne_bytes();
    [family as u8, 0, protocol, 0, a, b, c, d]
}

pub(super) fn set(batch: &mut Batch, id: u32, way: Way) {
    const FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;
    let family = match way.gateway {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    batch.begin(RTM_NEWNEXTHOP, FLAGS, &header(family, PROTOCOL, ONLINK));
    batch.attribute(NHA_ID, &id.to_ne_bytes());
    batch.attribute(NHA_OIF, &way.interface.to_ne_bytes());
    match way.gateway {
        IpAddr::V4(address) => batch.attribute(NHA_GATEWAY, &address.octets()),
        IpAddr::V6(address) => batch.attribute(NHA_GATEWAY, &address.octets()),
    }
}

/// A standby needs a resilient group of a single bucket. The kernel gives buckets by weight, so that the first
/// has it; when the first is removed, it gives the bucket to who is left. A bucket that may move at any time (no
/// idle timer) moves with the replacement of the group.
pub(super) fn set_group(batch: &mut Batch, id: u32, lead: &Lead) {
    match lead {
        Lead::Share(members) => begin_group(batch, id, members),
        Lead::Alone { first, standby } => {
            let standby = standby.map(|standby| (standby, 1));
            let members: Vec<_> = std::iter::once((*first, FIRST)).chain(standby).collect();
            begin_group(batch, id, &members);
            batch.attribute(NHA_GROUP_TYPE, &RESILIENT.to_ne_bytes());
            let (one, none) = (1_u16.to_ne_bytes(), 0_u32.to_ne_bytes());
            let parts: [(u16, &[u8]); 2] = [
                (NHA_RES_GROUP_BUCKETS, &one),
                (NHA_RES_GROUP_IDLE_TIMER, &none),
            ];
            batch.nested(NHA_RES_GROUP, &parts);
        }
    }
}

/// - `members`: nexthops with their weights, from 1
fn begin_group(batch: &mut Batch, id: u32, members: &[(u32, u8)]) {
    const FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;
    batch.begin(RTM_NEWNEXTHOP, FLAGS, &header(libc::AF_UNSPEC, PROTOCOL, 0));
    batch.attribute(NHA_ID, &id.to_ne_bytes());
    let mut group = Vec::with_capacity(members.len() * MEMBER);
    for (member, weight) in members {
        group.extend_from_slice(&member.to_ne_bytes());
        group.extend_from_slice(&[weight.saturating_sub(1), 0, 0, 0]);
    }
    batch.attribute(NHA_GROUP, &group);
}

pub(super) fn remove(batch: &mut Batch, id: u32) {
    // The kernel refuses a removal that names a protocol.
    batch.begin(RTM_DELNEXTHOP, 0, &header(libc::AF_UNSPEC, 0, 0));
    batch.attribute(NHA_ID, &id.to_ne_bytes());
}

pub(super) fn all() -> Batch {
    dump_request(RTM_GETNEXTHOP, &header(libc::AF_UNSPEC, 0, 0))
}

/// One object of a dump, or `None` if it is not ours or not of a kind we make.
pub(super) fn decode(body: &[u8]) -> Option<Object> {
    if *body.get(2)? != PROTOCOL {
        return None;
    }
    let (mut id, mut interface, mut gateway, mut members) = (None, None, None, None);
    let mut is_resilient = false;
    for (kind, value) in Attributes(body.get(NHMSG..)?) {
        match kind {
            NHA_ID => id = number(value),
            NHA_OIF => interface = number(value),
            NHA_GATEWAY => gateway = address(value),
            NHA_GROUP => members = Some(value.chunks_exact(MEMBER).filter_map(member).collect()),
            NHA_GROUP_TYPE => is_resilient = value == RESILIENT.to_ne_bytes(),
            _ => {}
        }
    }
    let id = id?;
    Some(match members {
        Some(members) if is_resilient => Object::Group {
            id,
            lead: alone(members)?,
        },
        Some(members) => Object::Group {
            id,
            lead: Lead::Share(members),
        },
        None => Object::Nexthop {
            id,
            way: Way {
                gateway: gateway?,
                interface: interface?,
            },
        },
    })
}

/// Who has the most weight has the bucket.
fn alone(mut members: Vec<(u32, u8)>) -> Option<Lead> {
    members.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let mut ids = members.into_iter().map(|(id, _)| id);
    Some(Lead::Alone {
        first: ids.next()?,
        standby: ids.next(),
    })
}

/// A nexthop object of another, with where it leads; `None` if it is ours.
pub(super) fn decode_other(body: &[u8]) -> Option<(u32, Exit)> {
    if *body.get(2)? == PROTOCOL {
        return None;
    }
    let (mut id, mut interface, mut gateway, mut members) = (None, None, None, None);
    for (kind, value) in Attributes(body.get(NHMSG..)?) {
        match kind {
            NHA_ID => id = number(value),
            NHA_OIF => interface = number(value),
            NHA_GATEWAY => gateway = address(value),
            NHA_GROUP => members = Some(value.chunks_exact(MEMBER).filter_map(number).collect()),
            _ => {}
        }
    }
    let exit = match (members, interface) {
        (Some(members), _) => Exit::Objects(members),
        (None, Some(interface)) => Exit::Ways(smallvec![(gateway, interface)]),
        (None, None) => Exit::Nowhere,
    };
    Some((id?, exit))
}

/// The protocol number of a notification.
pub(super) fn protocol(body: &[u8]) -> Option<u8> {
    body.get(2).copied()
}

fn member(value: &[u8]) -> Option<(u32, u8)> {
    Some((number(value)?, value.get(4)?.saturating_add(1)))
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*value.first_chunk()?))
}

pub(super) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk::<16>()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nexthops_and_groups_come_back_as_written() {
        let mut batch = Batch::default();
        for gateway in ["10.0.0.1", "fd00::1"] {
            let way = Way {
                gateway: gateway.parse().unwrap(),
                interface: 7,
            };
            set(&mut batch, 5, way);
            assert_eq!(decode(batch.body()), Some(Object::Nexthop { id: 5, way }));
        }
        for lead in [
            Lead::Share(vec![(5, 1), (6, 255)]),
            Lead::Alone {
                first: 6,
                standby: Some(5),
            },
            Lead::Alone {
                first: 5,
                standby: None,
            },
        ] {
            set_group(&mut batch, 9, &lead);
            assert_eq!(decode(batch.body()), Some(Object::Group { id: 9, lead }));
        }
    }

    #[test]
    fn objects_of_others_and_cut_ones_are_nothing() {
        let mut batch = Batch::default();
        set_group(&mut batch, 9, &Lead::Share(vec![(5, 1)]));
        let mut body = batch.body().to_vec();
        for cut in 0..body.len() {
            let _ = decode(&body[..cut]);
        }
        body[2] = 3;
        assert_eq!(decode(&body), None);
        assert_eq!(decode_other(&body), Some((9, Exit::Objects(smallvec![5]))));
    }
}
