//! Google Cloud.

use std::time::Duration;

use crate::model::Knob;

use super::{
    Accepts, Auth, BFD, Bfd, Bgp, Ceiling, Counted, HoldTime, Ipsec, PLAIN, Profile, Reach,
    Restart, Support, UNKNOWN, hours,
};

/// A Cloud Router. A hold time of ours below its own counts.
const CLOUD_ROUTER: Bgp = Bgp {
    hold_time: HoldTime::Agreed {
        usual: 60,
        least: None,
    },
    md5: Support::Optional,
    graceful_restart: Restart::Yes,
    honours: &[Knob::Med, Knob::Prepend],
    accepts: Accepts {
        ipv4: Some(5000),
        ipv6: Some(5000),
        ceiling: Ceiling::Firm,
        counted: Counted::Once,
        beyond: "resets the session",
    },
    ..UNKNOWN
};

pub(super) static HA_VPN: Profile = Profile {
    name: "gcp-ha-vpn",
    service: "Google Cloud HA VPN",
    carriers: &["ipsec"],
    ipsec: Some(Ipsec {
        // One cipher a role: more make its answers fragment. Which one is not said.
        ike: &["aes256-sha256-modp2048"],
        esp: &["aes256gcm16-modp2048"],
        ike_lifetime: hours(10),
        esp_lifetime: hours(3),
        auth: Auth::Psk,
        selectors: None,
        // Its networks have 1460, and NAT-T takes eight more.
        mtu: Some(1398),
        ..PLAIN
    }),
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        bfd: Bfd {
            support: Support::No,
            ..BFD
        },
        ..CLOUD_ROUTER
    },
};

pub(super) static INTERCONNECT: Profile = Profile {
    name: "gcp-interconnect",
    service: "Google Cloud Interconnect, VLAN attachment",
    carriers: &["vlan"],
    ipsec: None,
    reserved_inside: &[],
    link_local_inside: None,
    bgp: Bgp {
        reach: Reach::UsuallyMultihop(3),
        bfd: Bfd {
            support: Support::Optional,
            interval: Duration::from_secs(1),
            multiplier: 5,
        },
        ..CLOUD_ROUTER
    },
};
