//! The kinds of interface that we make, in the kernel's attributes, and back.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    GreIOFlags, InfoData, InfoGre, InfoGre6, InfoKind, InfoVlan, InfoXfrm, LinkAttribute, LinkInfo,
    LinkMessage,
};

use crate::{
    plan::Device,
    spec::{GreSpec, VlanSpec},
};

/// `IFLA_GRE_FLAGS` of `ip6gre`.
const GRE6_FLAGS: u16 = 13;
/// `IP6_TNL_F_IGN_ENCAP_LIMIT`: without RFC 2473's option, which costs eight octets a packet.
const IGNORE_ENCAPSULATION_LIMIT: u32 = 1;

/// `wireguard`, without keys.
pub(super) fn wireguard() -> Vec<LinkInfo> {
    vec![LinkInfo::Kind(InfoKind::Wireguard)]
}

/// `gre`, or `ip6gre` between IPv6 addresses.
pub(super) fn gre(spec: &GreSpec) -> Vec<LinkInfo> {
    let flags = match spec.key {
        Some(_) => GreIOFlags::Key,
        None => GreIOFlags::empty(),
    };
    let key = spec.key.unwrap_or(0);
    match (spec.local, spec.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => vec![
            LinkInfo::Kind(InfoKind::GreTun),
            LinkInfo::Data(InfoData::GreTun(vec![
                InfoGre::IFlags(flags),
                InfoGre::OFlags(flags),
                InfoGre::IKey(key),
                InfoGre::OKey(key),
                InfoGre::Local(local),
                InfoGre::Remote(remote),
                InfoGre::Ttl(spec.ttl),
                InfoGre::PathMTUDiscovery(true),
            ])),
        ],
        (local, remote) => vec![
            LinkInfo::Kind(InfoKind::GreTun6),
            LinkInfo::Data(InfoData::GreTun6(vec![
                InfoGre6::IFlags(flags),
                InfoGre6::OFlags(flags),
                InfoGre6::IKey(key),
                InfoGre6::OKey(key),
                InfoGre6::Local(v6(local)),
                InfoGre6::Remote(v6(remote)),
                InfoGre6::Ttl(spec.ttl),
                InfoGre6::Other(DefaultNla::new(
                    GRE6_FLAGS,
                    IGNORE_ENCAPSULATION_LIMIT.to_ne_bytes().to_vec(),
                )),
            ])),
        ],
    }
}

/// `vlan`; which interface its parent is stands beside it in the message.
pub(super) fn vlan(spec: &VlanSpec) -> Vec<LinkInfo> {
    vec![
        LinkInfo::Kind(InfoKind::Vlan),
        LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(spec.id)])),
    ]
}

/// `xfrm`, on no other interface: routing decides where its packets leave.
pub(super) fn xfrm(if_id: NonZeroU32) -> Vec<LinkInfo> {
    vec![
        LinkInfo::Kind(InfoKind::Xfrm),
        LinkInfo::Data(InfoData::Xfrm(vec![InfoXfrm::IfId(if_id.get())])),
    ]
}

fn v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// What an interface is, if it is of a kind that we make.
///
/// - `names`: of all interfaces, by their indices
pub(super) fn of(link: &LinkMessage, names: &BTreeMap<u32, String>) -> Option<Device> {
    let infos = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::LinkInfo(infos) = attribute {
            Some(infos)
        } else {
            None
        }
    })?;
    if infos.contains(&LinkInfo::Kind(InfoKind::Wireguard)) {
        return Some(Device::WireGuard);
    }
    if infos.contains(&LinkInfo::Kind(InfoKind::Tun)) {
        return Some(Device::Tun);
    }
    infos.iter().find_map(|info| {
        if let LinkInfo::Data(InfoData::GreTun(attributes)) = info {
            gre4_of(attributes)
        } else if let LinkInfo::Data(InfoData::GreTun6(attributes)) = info {
            gre6_of(attributes)
        } else if let LinkInfo::Data(InfoData::Vlan(attributes)) = info {
            vlan_of(attributes, parent_of(link, names)?)
        } else if let LinkInfo::Data(InfoData::Xfrm(attributes)) = info {
            xfrm_of(attributes)
        } else {
            None
        }
    })
}

/// Attributes of GRE as they are collected; the two address families have the same ones.
#[derive(Default)]
struct Gre {
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    flags: Option<GreIOFlags>,
    key: u32,
    ttl: u8,
}

impl Gre {
    fn finish(self) -> Option<Device> {
        Some(Device::Gre(GreSpec {
            local: self.local?,
            remote: self.remote?,
            key: self
                .flags
                .is_some_and(|flags| flags.contains(GreIOFlags::Key))
                .then_some(self.key),
            ttl: self.ttl,
        }))
    }
}

fn gre4_of(attributes: &[InfoGre]) -> Option<Device> {
    let mut gre = Gre::default();
    for attribute in attributes {
        if let InfoGre::Local(local) = attribute {
            gre.local = Some(IpAddr::V4(*local));
        } else if let InfoGre::Remote(remote) = attribute {
            gre.remote = Some(IpAddr::V4(*remote));
        } else if let InfoGre::IFlags(flags) = attribute {
            gre.flags = Some(*flags);
        } else if let InfoGre::IKey(key) = attribute {
            gre.key = *key;
        } else if let InfoGre::Ttl(ttl) = attribute {
            gre.ttl = *ttl;
        }
    }
    gre.finish()
}

fn gre6_of(attributes: &[InfoGre6]) -> Option<Device> {
    let mut gre = Gre::default();
    for attribute in attributes {
        if let InfoGre6::Local(local) = attribute {
            gre.local = Some(IpAddr::V6(*local));
        } else if let InfoGre6::Remote(remote) = attribute {
            gre.remote = Some(IpAddr::V6(*remote));
        } else if let InfoGre6::IFlags(flags) = attribute {
            gre.flags = Some(*flags);
        } else if let InfoGre6::IKey(key) = attribute {
            gre.key = *key;
        } else if let InfoGre6::Ttl(ttl) = attribute {
            gre.ttl = *ttl;
        }
    }
    gre.finish()
}

fn vlan_of(attributes: &[InfoVlan], parent: String) -> Option<Device> {
    let id = attributes.iter().find_map(|attribute| {
        if let InfoVlan::Id(id) = attribute {
            Some(*id)
        } else {
            None
        }
    })?;
    Some(Device::Vlan(VlanSpec { parent, id }))
}

fn xfrm_of(attributes: &[InfoXfrm]) -> Option<Device> {
    let if_id = attributes.iter().find_map(|attribute| {
        if let InfoXfrm::IfId(if_id) = attribute {
            NonZeroU32::new(*if_id)
        } else {
            None
        }
    })?;
    Some(Device::Xfrm(if_id))
}

fn parent_of(link: &LinkMessage, names: &BTreeMap<u32, String>) -> Option<String> {
    let index = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Link(index) = attribute {
            Some(*index)
        } else {
            None
        }
    })?;
    names.get(&index).cloned()
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn read_back(infos: Vec<LinkInfo>, parent: Option<u32>) -> Option<Device> {
        let mut link = LinkMessage::default();
        link.attributes.extend(parent.map(LinkAttribute::Link));
        link.attributes.push(LinkAttribute::LinkInfo(infos));
        of(&link, &BTreeMap::from([(3, "eth0".to_owned())]))
    }

    #[test]
    fn what_is_asked_of_the_kernel_reads_back_as_what_was_wanted() {
        for (local, remote) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            for key in [None, Some(0), Some(u32::MAX)] {
                let spec = GreSpec {
                    local: local.parse().expect("an address"),
                    remote: remote.parse().expect("an address"),
                    key,
                    ttl: 64,
                };
                assert_eq!(read_back(gre(&spec), None), Some(Device::Gre(spec)));
            }
        }
        let spec = VlanSpec {
            parent: "eth0".to_owned(),
            id: 4094,
        };
        assert_eq!(read_back(vlan(&spec), Some(3)), Some(Device::Vlan(spec)));
        assert_eq!(read_back(wireguard(), None), Some(Device::WireGuard));
        let if_id = NonZeroU32::MAX;
        assert_eq!(read_back(xfrm(if_id), None), Some(Device::Xfrm(if_id)));
    }

    /// Attributes as `ip link add` of iproute2 6.1 sends them, for kernels that this test does not run on.
    #[test]
    fn the_kernel_is_asked_in_the_octets_that_iproute2_uses() {
        let spec = |local: &str, remote: &str, key| GreSpec {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            key,
            ttl: 64,
        };
        let octets = |infos: Vec<LinkInfo>| {
            let mut octets = vec![0; infos.as_slice().buffer_len()];
            infos.as_slice().emit(&mut octets);
            octets
        };
        let v4 = octets(gre(&spec("192.0.2.1", "192.0.2.2", Some(7))));
        let v6 = octets(gre(&spec("2001:db8::1", "2001:db8::2", None)));
        let number = octets(xfrm(NonZeroU32::new(7).expect("not zero")));
        let cases: [(&[u8], &[u8]); 12] = [
            (&v4, b"\x08\0\x01\0gre\0"),
            (&v4, b"\x08\0\x04\0\0\0\0\x07"),
            (&v4, b"\x08\0\x05\0\0\0\0\x07"),
            (&v4, b"\x06\0\x02\0\x20\0\0\0"),
            (&v4, b"\x06\0\x03\0\x20\0\0\0"),
            (&v4, b"\x08\0\x06\0\xc0\0\x02\x01"),
            (&v4, b"\x08\0\x07\0\xc0\0\x02\x02"),
            (&v4, b"\x05\0\x0a\0\x01"),
            (&v4, b"\x05\0\x08\0\x40"),
            (
                &v6,
                b"\x14\0\x07\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02",
            ),
            (&v6, b"\x08\0\x0d\0\x01\0\0\0"),
            (&number, b"\x08\0\x02\0\x07\0\0\0"),
        ];
        for (octets, attribute) in cases {
            let found = octets
                .windows(attribute.len())
                .any(|window| window == attribute);
            assert!(found, "{attribute:x?} is not in {octets:x?}");
        }
    }

    #[test]
    fn a_vlan_whose_parent_is_not_here_is_nothing_that_we_know() {
        let spec = VlanSpec {
            parent: "eth0".to_owned(),
            id: 5,
        };
        assert_eq!(read_back(vlan(&spec), Some(4)), None);
        assert_eq!(read_back(vlan(&spec), None), None);
    }
}
