//! Microsoft Azure.

use std::time::Duration;

use super::{
    Accepts, BFD, Bfd, Bgp, Caller, Ceiling, Counted, HoldTime, IPV4, Ipsec, PLAIN, Profile,
    ProviderAsn, Reach, Support, UNKNOWN,
};

pub(super) static VPN: Profile = Profile {
    name: "azure-vpn",
    service: "Azure VPN Gateway",
    carriers: &["ipsec"],
    ipsec: Some(Ipsec {
        // Which of its defaults go together is not said.
        ike: &["aes256-sha256-modp1024"],
        esp: &["aes256gcm16", "aes256gcm16-modp2048"],
        esp_lifetime: Duration::from_secs(27_000),
        dpd: Duration::from_secs(30),
        selectors: None,
        mtu: Some(1400),
        ..PLAIN
    }),
    reserved_inside: &[],
    link_local_inside: Some(("169.254.21.0", "169.254.22.255")),
    bgp: Bgp {
        asn: ProviderAsn::Usual(65_515),
        not_ours: &[
            8074..=8075,
            12_076..=12_076,
            23_456..=23_456,
            64_496..=64_511,
            65_515..=65_515,
            65_517..=65_520,
            65_535..=65_551,
        ],
        // It sends a keepalive each minute, whatever we say.
        hold_time: HoldTime::Fixed(180),
        // The documents ask for multihop without a number: the greatest hinders nothing.
        reach: Reach::MultihopUnlessLinkLocal(255),
        caller: Caller::WeIfLinkLocal,
        bfd: Bfd {
            support: Support::No,
            ..BFD
        },
        accepts: Accepts {
            ipv4: Some(4000),
            ipv6: Some(4000),
            ceiling: Ceiling::Firm,
            counted: Counted::Once,
            beyond: "drops the session",
        },
        ..UNKNOWN
    },
};

pub(super) static ROUTE_SERVER: Profile = Profile {
    name: "azure-route-server",
    service: "Azure Route Server",
    carriers: &[],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        asn: ProviderAsn::Fixed(65_515),
        // It knows 16 bits, and takes no path with its own AS.
        not_ours: &[65_515..=65_515, 65_536..=u32::MAX],
        hold_time: HoldTime::Agreed {
            usual: 180,
            least: None,
        },
        // As for the VPN gateway.
        reach: Reach::Multihop {
            least: 2,
            usual: 255,
        },
        sessions: 2,
        families: IPV4,
        accepts: Accepts {
            ipv4: Some(4000),
            ipv6: None,
            ceiling: Ceiling::Firm,
            counted: Counted::Again,
            beyond: "drops the session",
        },
        ..UNKNOWN
    },
};

pub(super) static EXPRESS_ROUTE: Profile = Profile {
    name: "azure-er-private",
    service: "Azure ExpressRoute, private peering",
    carriers: &["vlan"],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        asn: ProviderAsn::Usual(12_076),
        not_ours: &[65_515..=65_520],
        hold_time: HoldTime::Agreed {
            usual: 180,
            least: Some(10),
        },
        md5: Support::Optional,
        bfd: Bfd {
            support: Support::Optional,
            ..BFD
        },
        accepts: Accepts {
            ipv4: Some(4000),
            ipv6: Some(100),
            // 10,000 with the premium add-on.
            ceiling: Ceiling::Raisable,
            counted: Counted::Once,
            beyond: "drops the session",
        },
        ..UNKNOWN
    },
};
