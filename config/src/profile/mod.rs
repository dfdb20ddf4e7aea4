//! What a provider's service fixes, as data: one file a provider, one entry a service.
//!
//! Defaults for what the file leaves out, and what is refused because the service refuses it. Where a
//! provider's documentation says nothing, there is a cautious default and at most a warning.
//! `docs/providers.md` is made of these tables.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::{Family, IkeVersion, Knob, Selectors};

mod aws;
mod azure;
mod google;
mod oracle;

/// One provider service.
#[derive(Debug)]
pub struct Profile {
    /// As the file names it.
    pub name: &'static str,
    /// What it is, for people.
    pub service: &'static str,
    /// What may carry a link to it, as keys of the file; an `interface` of somebody else's always may.
    pub carriers: &'static [&'static str],
    /// Of the service's gateway, where it has IPsec.
    pub ipsec: Option<Ipsec>,
    /// Networks inside which no link may be, as prefixes.
    pub reserved_inside: &'static [&'static str],
    /// The only part of `169.254.0.0/16` that a link may be in, first and last address; `None`: all of it.
    pub link_local_inside: Option<(&'static str, &'static str)>,
    /// Of the service's BGP speaker.
    pub bgp: Bgp,
}

/// What the service says about IPsec.
#[derive(Debug)]
pub struct Ipsec {
    /// Versions that it speaks, the best first.
    pub versions: &'static [IkeVersion],
    /// Proposals for IKE, best first.
    pub ike: &'static [&'static str],
    /// Proposals for ESP, best first.
    pub esp: &'static [&'static str],
    /// Its lifetime of an IKE SA.
    pub ike_lifetime: Duration,
    /// Its lifetime of a CHILD_SA.
    pub esp_lifetime: Duration,
    /// When to ask whether it lives.
    pub dpd: Duration,
    /// How it lets us prove who we are.
    pub auth: Auth,
    /// What it lets pass; `None`: the family of the addresses inside.
    pub selectors: Option<Selectors>,
    /// The greatest MTU that it asks for; `None`: what the ciphers leave.
    pub mtu: Option<u32>,
}

/// How we may prove who we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Auth {
    /// By a pre-shared key only.
    Psk,
    /// By a pre-shared key or a certificate.
    PskOrCertificate,
}

/// What the service says about BGP.
#[derive(Clone, Debug)]
pub struct Bgp {
    /// Its AS.
    pub asn: ProviderAsn,
    /// AS numbers that we may not have.
    pub not_ours: &'static [RangeInclusive<u32>],
    /// Its hold timer.
    pub hold_time: HoldTime,
    /// How far away it is.
    pub reach: Reach,
    /// Who opens the connection.
    pub caller: Caller,
    /// How many sessions belong together: with how many of its addresses to peer.
    pub sessions: usize,
    /// TCP MD5 (RFC 2385).
    pub md5: Support,
    /// BFD (RFC 5880).
    pub bfd: Bfd,
    /// Graceful restart (RFC 4724).
    pub graceful_restart: Restart,
    /// What it carries.
    pub families: &'static [Family],
    /// How many prefixes it takes.
    pub accepts: Accepts,
    /// By what it chooses among our links, what we can rely on most first.
    pub honours: &'static [Knob],
}

/// The AS of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProviderAsn {
    /// Its owner chooses it.
    Chosen,
    /// This one unless its owner, or the region, has another.
    Usual(u32),
    /// Always this one.
    Fixed(u32),
}

impl ProviderAsn {
    /// What it is unless the file says otherwise.
    #[must_use]
    pub fn usual(self) -> Option<u32> {
        match self {
            Self::Chosen => None,
            Self::Usual(asn) | Self::Fixed(asn) => Some(asn),
        }
    }
}

/// The hold timer of a service (RFC 4271 §4.2). Keepalives are sent at a third of what is agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoldTime {
    /// Not documented.
    Unknown,
    /// The lower of both, as usual.
    Agreed {
        /// The service's own unless set otherwise, in seconds.
        usual: u16,
        /// The shortest that it takes, in seconds, where it says that; 0 is shorter.
        least: Option<u16>,
    },
    /// The service goes on as if we had said this, in seconds: a shorter one of ours runs out.
    Fixed(u16),
}

impl HoldTime {
    /// What we offer unless the file says otherwise, where the service has a wish.
    #[must_use]
    pub fn usual(self) -> Option<Duration> {
        match self {
            Self::Unknown => None,
            Self::Agreed { usual, .. } | Self::Fixed(usual) => {
                Some(Duration::from_secs(usual.into()))
            }
        }
    }
}

/// How far away a service's BGP speaker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// One hop.
    OneHop,
    /// One hop, by a TTL of exactly 1: neither multihop nor TTL security (RFC 5082) can work.
    TtlOfOne,
    /// One hop, but older documents ask for this TTL.
    UsuallyMultihop(u8),
    /// It needs more than one hop.
    Multihop {
        /// The least TTL.
        least: u8,
        /// The TTL unless the file says otherwise.
        usual: u8,
    },
    /// One hop where it has a link-local address, otherwise by this TTL.
    MultihopUnlessLinkLocal(u8),
}

/// Who opens the TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Either.
    Either,
    /// Only we do.
    We,
    /// Only we do where its address is link-local.
    WeIfLinkLocal,
}

/// Whether a service has a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// Its documents do not say.
    Unknown,
    /// It has not.
    No,
    /// It has, for those who want it.
    Optional,
    /// It insists.
    Required,
}

/// BFD of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bfd {
    /// Whether it has BFD at all.
    pub support: Support,
    /// Its shortest interval.
    pub interval: Duration,
    /// Its multiplier.
    pub multiplier: u8,
}

/// Graceful restart of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Its documents do not say. It is offered, which costs nothing.
    Unknown,
    /// Supported.
    Yes,
    /// Supported, but not on a link with BFD.
    UnlessBfd,
}

/// How many prefixes a service takes from us, by family; `None`: as many as there are, or not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepts {
    /// Of IPv4.
    pub ipv4: Option<u32>,
    /// Of IPv6.
    pub ipv6: Option<u32>,
    /// Whether it can be told to take more.
    pub ceiling: Ceiling,
    /// What it counts.
    pub counted: Counted,
    /// What it does about more, for people.
    pub beyond: &'static str,
}

/// Whether a limit can be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ceiling {
    /// It can not.
    Firm,
    /// It can, by its owner.
    Raisable,
}

/// What a service counts against its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// What is announced to it.
    Once,
    /// The same, and what is announced again on top while that is read. So a refresh of all counts twice.
    Again,
}

impl Accepts {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        ipv4: None,
        ipv6: None,
        ceiling: Ceiling::Raisable,
        counted: Counted::Once,
        beyond: "not documented",
    };

    /// How many we send at most unless the file says otherwise: as many as may be sent again at any time.
    #[must_use]
    pub fn usual(&self) -> (Option<u32>, Option<u32>) {
        let share = match self.counted {
            Counted::Once => 1,
            Counted::Again => 2,
        };
        let usual = |accepted: Option<u32>| accepted.map(|accepted| accepted / share);
        (usual(self.ipv4), usual(self.ipv6))
    }
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const BOTH: &[IkeVersion] = &[IkeVersion::V2, IkeVersion::V1];
const IPV4: &[Family] = &[Family::Ipv4];
const FAMILIES: &[Family] = &[Family::Ipv4, Family::Ipv6];

/// Far ends of no known service: another Skybridge, a strongSwan, a firewall.
pub const PLAIN: Ipsec = Ipsec {
    versions: BOTH,
    ike: &["aes256gcm16-prfsha384-ecp384", "aes256-sha256-modp2048"],
    esp: &[
        "aes256gcm16-ecp384",
        "aes256gcm16-modp2048",
        "aes256-sha256-modp2048",
    ],
    ike_lifetime: hours(8),
    esp_lifetime: hours(1),
    dpd: Duration::from_secs(10),
    auth: Auth::PskOrCertificate,
    selectors: Some(Selectors::Both),
    mtu: None,
};

/// BFD as it is where nothing else is said.
pub const BFD: Bfd = Bfd {
    support: Support::Unknown,
    interval: Duration::from_millis(300),
    multiplier: 3,
};

/// A service about whose BGP nothing is documented.
const UNKNOWN: Bgp = Bgp {
    asn: ProviderAsn::Chosen,
    not_ours: &[],
    hold_time: HoldTime::Unknown,
    reach: Reach::OneHop,
    caller: Caller::Either,
    sessions: 1,
    md5: Support::Unknown,
    bfd: BFD,
    graceful_restart: Restart::Unknown,
    families: FAMILIES,
    accepts: Accepts::UNKNOWN,
    // Which speaker does not.
    honours: &[Knob::Prepend],
};

/// Every service that is known, by name.
pub static PROFILES: &[&Profile] = &[
    &aws::DIRECT_CONNECT,
    &aws::TGW_CONNECT,
    &aws::VPC_ROUTE_SERVER,
    &aws::VPN_TGW,
    &aws::VPN_VGW,
    &azure::EXPRESS_ROUTE,
    &azure::ROUTE_SERVER,
    &azure::VPN,
    &google::HA_VPN,
    &google::INTERCONNECT,
    &oracle::FAST_CONNECT,
    &oracle::VPN,
];

/// The profile of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES
        .iter()
        .find(|profile| profile.name == name)
        .copied()
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[test]
    fn every_profile_is_whole() {
        for profile in PROFILES {
            let name = profile.name;
            if let Some(ipsec) = &profile.ipsec {
                let lists = [ipsec.ike, ipsec.esp];
                assert!(lists.iter().all(|list| !list.is_empty()), "{name}");
                assert!(!ipsec.versions.is_empty(), "{name}");
                assert!(ipsec.esp_lifetime < ipsec.ike_lifetime, "{name}");
            }
            let carries_ipsec = profile.carriers.contains(&"ipsec");
            assert_eq!(carries_ipsec, profile.ipsec.is_some(), "{name}");
            for prefix in profile.reserved_inside {
                let net: IpNet = prefix.parse().expect("a prefix");
                assert_eq!(net, net.trunc(), "{prefix}");
            }
            let ends = profile
                .link_local_inside
                .into_iter()
                .flat_map(|(a, b)| [a, b]);
            for end in ends {
                assert!(end.parse::<std::net::Ipv4Addr>().is_ok(), "{end}");
            }
            let known = named(name).expect("it is known");
            assert!(std::ptr::eq(known, *profile));
        }
    }

    #[test]
    fn profiles_stand_in_the_order_of_their_names() {
        assert!(PROFILES.is_sorted_by_key(|profile| profile.name));
    }

    #[test]
    fn a_service_that_counts_twice_is_sent_half() {
        let accepts = &azure::ROUTE_SERVER.bgp.accepts;
        assert_eq!((accepts.ipv4, accepts.usual().0), (Some(4000), Some(2000)));
    }
}
