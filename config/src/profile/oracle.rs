//! Oracle Cloud Infrastructure.

use super::{
    Accepts, Auth, BFD, Bfd, Bgp, Ceiling, Counted, HoldTime, Ipsec, PLAIN, Profile, ProviderAsn,
    Support, UNKNOWN,
};

/// 169.254.10.0 to 19.255, 100.0 to 109.255 and 192.0 to 201.255.
const RESERVED: &[&str] = &[
    "169.254.10.0/23",
    "169.254.12.0/22",
    "169.254.16.0/22",
    "169.254.100.0/22",
    "169.254.104.0/22",
    "169.254.108.0/23",
    "169.254.192.0/21",
    "169.254.200.0/23",
];

/// A dynamic routing gateway. Serbia Central and the government realms have other AS numbers.
const GATEWAY: Bgp = Bgp {
    asn: ProviderAsn::Usual(31_898),
    not_ours: &[65_534..=65_534],
    ..UNKNOWN
};

pub(super) static VPN: Profile = Profile {
    name: "oci-vpn",
    service: "OCI Site-to-Site VPN",
    carriers: &["ipsec"],
    ipsec: Some(Ipsec {
        ike: &["aes256-sha384-ecp384"],
        // Group 5 is what it has unless told otherwise.
        esp: &["aes256gcm16-modp1536"],
        auth: Auth::Psk,
        selectors: None,
        mtu: Some(1420),
        ..PLAIN
    }),
    reserved_inside: RESERVED,
    link_local_inside: None,
    bgp: Bgp {
        // Not documented for the VPN; FastConnect's.
        hold_time: HoldTime::Agreed {
            usual: 30,
            least: None,
        },
        md5: Support::No,
        accepts: Accepts {
            ipv4: Some(2000),
            ipv6: Some(2000),
            ceiling: Ceiling::Firm,
            counted: Counted::Once,
            beyond: "no session comes up",
        },
        ..GATEWAY
    },
};

pub(super) static FAST_CONNECT: Profile = Profile {
    name: "oci-fastconnect",
    service: "OCI FastConnect, private virtual circuit",
    carriers: &["vlan"],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        hold_time: HoldTime::Agreed {
            usual: 30,
            least: Some(18),
        },
        md5: Support::Optional,
        bfd: Bfd {
            support: Support::Optional,
            ..BFD
        },
        accepts: Accepts {
            ipv4: Some(2000),
            ipv6: Some(500),
            ceiling: Ceiling::Firm,
            counted: Counted::Once,
            beyond: "no session comes up",
        },
        ..GATEWAY
    },
};
