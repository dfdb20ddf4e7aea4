//! Amazon Web Services.

use std::time::Duration;

use crate::model::Knob;

use super::{
    Accepts, BFD, Bfd, Bgp, Caller, Ceiling, Counted, FAMILIES, HoldTime, IPV4, Ipsec, PLAIN,
    Profile, ProviderAsn, Reach, Restart, Support, UNKNOWN,
};

/// AWS evaluates from its own lowest value, so weak algorithms are best left out on its side.
const IPSEC: Ipsec = Ipsec {
    selectors: None,
    ..PLAIN
};

const VPN_RESERVED: &[&str] = &[
    "169.254.0.0/30",
    "169.254.1.0/30",
    "169.254.2.0/30",
    "169.254.3.0/30",
    "169.254.4.0/30",
    "169.254.5.0/30",
    "169.254.169.252/30",
];

const CONNECT_RESERVED: &[&str] = &[
    "169.254.0.0/29",
    "169.254.1.0/29",
    "169.254.2.0/29",
    "169.254.3.0/29",
    "169.254.4.0/29",
    "169.254.5.0/29",
    "169.254.169.248/29",
];

/// What the gateways of AWS have in common. The default AS is that of gateways made today.
const GATEWAY: Bgp = Bgp {
    asn: ProviderAsn::Usual(64_512),
    not_ours: &[7224..=7224],
    hold_time: HoldTime::Agreed {
        usual: 30,
        least: None,
    },
    ..UNKNOWN
};

const VPN: Bgp = Bgp {
    accepts: Accepts {
        ipv4: Some(1000),
        ipv6: Some(1000),
        ceiling: Ceiling::Firm,
        counted: Counted::Once,
        beyond: "ends the session with Cease 6/1",
    },
    honours: &[Knob::Prepend, Knob::Med],
    ..GATEWAY
};

pub(super) static VPN_VGW: Profile = Profile {
    name: "aws-vpn-vgw",
    service: "AWS Site-to-Site VPN, virtual private gateway",
    carriers: &["ipsec"],
    ipsec: Some(IPSEC),
    reserved_inside: VPN_RESERVED,
    link_local_inside: None,
    bgp: Bgp {
        families: IPV4,
        accepts: Accepts {
            ipv4: Some(100),
            ipv6: None,
            ..VPN.accepts
        },
        ..VPN
    },
};

pub(super) static VPN_TGW: Profile = Profile {
    name: "aws-vpn-tgw",
    service: "AWS Site-to-Site VPN, transit gateway",
    carriers: &["ipsec"],
    ipsec: Some(IPSEC),
    reserved_inside: VPN_RESERVED,
    link_local_inside: None,
    bgp: VPN,
};

pub(super) static TGW_CONNECT: Profile = Profile {
    name: "aws-tgw-connect",
    service: "AWS Transit Gateway Connect",
    carriers: &["gre"],
    ipsec: None,
    reserved_inside: CONNECT_RESERVED,
    link_local_inside: None,
    bgp: Bgp {
        reach: Reach::Multihop { least: 2, usual: 2 },
        sessions: 2,
        bfd: Bfd {
            support: Support::No,
            ..BFD
        },
        graceful_restart: Restart::Yes,
        accepts: Accepts {
            ipv4: Some(1000),
            ipv6: Some(1000),
            ceiling: Ceiling::Raisable,
            counted: Counted::Once,
            beyond: "not documented",
        },
        ..GATEWAY
    },
};

pub(super) static DIRECT_CONNECT: Profile = Profile {
    name: "aws-dx",
    service: "AWS Direct Connect, private or transit virtual interface",
    carriers: &["vlan"],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        not_ours: &[],
        hold_time: HoldTime::Agreed {
            usual: 90,
            least: Some(3),
        },
        reach: Reach::TtlOfOne,
        md5: Support::Required,
        bfd: Bfd {
            support: Support::Optional,
            ..BFD
        },
        graceful_restart: Restart::UnlessBfd,
        accepts: Accepts {
            ipv4: Some(100),
            ipv6: Some(100),
            ceiling: Ceiling::Firm,
            counted: Counted::Once,
            beyond: "the session goes idle, and stays so",
        },
        // Its LOCAL_PREF high, medium and low, which it asks before the AS path. Prepending counts only among
        // interfaces of one Region.
        honours: &[
            Knob::Communities([(7224, 7300), (7224, 7200), (7224, 7100)]),
            Knob::Prepend,
        ],
        ..GATEWAY
    },
};

pub(super) static VPC_ROUTE_SERVER: Profile = Profile {
    name: "aws-vpc-route-server",
    service: "AWS VPC Route Server",
    carriers: &[],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        caller: Caller::We,
        bfd: Bfd {
            support: Support::Optional,
            interval: Duration::from_millis(300),
            multiplier: 3,
        },
        families: FAMILIES,
        ..UNKNOWN
    },
};
