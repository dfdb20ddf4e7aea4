//! `RTM_NEWNEXTHOP` and its relatives, which netlink-packet-route does not have
//! (`struct nhmsg`, `linux/nexthop.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::request::{Attributes, Message, attribute};
use super::{PROTOCOL, Way};

const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
pub(super) const RTM_GETNEXTHOP: u16 = 106;
pub(super) const CHANGES: [u16; 2] = [RTM_NEWNEXTHOP, RTM_DELNEXTHOP];

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
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
    Group { id: u32, members: Vec<u32> },
}

fn header(family: u8, flags: u32) -> Vec<u8> {
    let mut body = vec![family, 0, PROTOCOL, 0];
    body.extend_from_slice(&flags.to_ne_bytes());
    body
}

pub(super) fn set(id: u32, way: Way) -> Message {
    let (family, gateway) = match way.gateway {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let mut body = header(family as u8, ONLINK);
    attribute(&mut body, NHA_ID, &id.to_ne_bytes());
    attribute(&mut body, NHA_OIF, &way.interface.to_ne_bytes());
    attribute(&mut body, NHA_GATEWAY, &gateway);
    Message {
        kind: RTM_NEWNEXTHOP,
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        body,
    }
}

pub(super) fn set_group(id: u32, members: &[u32]) -> Message {
    let mut body = header(libc::AF_UNSPEC as u8, 0);
    attribute(&mut body, NHA_ID, &id.to_ne_bytes());
    let mut group = Vec::with_capacity(members.len() * MEMBER);
    for member in members {
        group.extend_from_slice(&member.to_ne_bytes());
        group.extend_from_slice(&[0; 4]);
    }
    attribute(&mut body, NHA_GROUP, &group);
    Message {
        kind: RTM_NEWNEXTHOP,
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        body,
    }
}

pub(super) fn remove(id: u32) -> Message {
    let mut body = header(libc::AF_UNSPEC as u8, 0);
    // The kernel refuses a removal that names a protocol.
    body[2] = 0;
    attribute(&mut body, NHA_ID, &id.to_ne_bytes());
    Message {
        kind: RTM_DELNEXTHOP,
        flags: 0,
        body,
    }
}

pub(super) fn dump_request() -> Vec<u8> {
    let mut body = header(libc::AF_UNSPEC as u8, 0);
    body[2] = 0;
    body
}

/// One object of a dump, or `None` if it is not ours or not of a kind we make.
pub(super) fn decode(body: &[u8]) -> Option<Object> {
    if *body.get(2)? != PROTOCOL {
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
    let id = id?;
    Some(match members {
        Some(members) => Object::Group { id, members },
        None => Object::Nexthop {
            id,
            way: Way {
                gateway: gateway?,
                interface: interface?,
            },
        },
    })
}

/// The protocol number of a notification.
pub(super) fn protocol(body: &[u8]) -> Option<u8> {
    body.get(2).copied()
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*value.first_chunk()?))
}

fn address(value: &[u8]) -> Option<IpAddr> {
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
        for gateway in ["10.0.0.1", "fd00::1"] {
            let way = Way {
                gateway: gateway.parse().unwrap(),
                interface: 7,
            };
            assert_eq!(
                decode(&set(5, way).body),
                Some(Object::Nexthop { id: 5, way })
            );
        }
        let group = set_group(9, &[5, 6]);
        assert_eq!(
            decode(&group.body),
            Some(Object::Group {
                id: 9,
                members: vec![5, 6]
            })
        );
    }

    #[test]
    fn objects_of_others_and_cut_ones_are_nothing() {
        let mut body = set_group(9, &[5]).body;
        for cut in 0..body.len() {
            let _ = decode(&body[..cut]);
        }
        body[2] = 3;
        assert_eq!(decode(&body), None);
    }
}
