//! What a provider's VPN service fixes, as data: one entry a service.
//!
//! Defaults for what the file leaves out, and what is refused because the service refuses it. Where a
//! provider's documentation says nothing, there is a cautious default and no refusal. Only what IPsec needs
//! stands here yet; timers and limits of BGP belong here as well.

use std::time::Duration;

use crate::model::{IkeVersion, Selectors};

/// One provider service.
#[derive(Debug)]
pub struct Profile {
    /// As the file names it.
    pub name: &'static str,
    /// Of the service's gateway, at the far end.
    pub ipsec: Ipsec,
    /// Networks inside which no link may be, as prefixes.
    pub reserved_inside: &'static [&'static str],
    /// The only part of `169.254.0.0/16` that a link may be in, first and last address; `None`: all of it.
    pub link_local_inside: Option<(&'static str, &'static str)>,
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

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const BOTH: &[IkeVersion] = &[IkeVersion::V2, IkeVersion::V1];

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

/// AWS evaluates from its own lowest value, so weak algorithms are best left out on its side.
const AWS: Ipsec = Ipsec {
    selectors: None,
    ..PLAIN
};

const AWS_RESERVED: &[&str] = &[
    "169.254.0.0/30",
    "169.254.1.0/30",
    "169.254.2.0/30",
    "169.254.3.0/30",
    "169.254.4.0/30",
    "169.254.5.0/30",
    "169.254.169.252/30",
];

/// 169.254.10.0 to 19.255, 100.0 to 109.255 and 192.0 to 201.255.
const OCI_RESERVED: &[&str] = &[
    "169.254.10.0/23",
    "169.254.12.0/22",
    "169.254.16.0/22",
    "169.254.100.0/22",
    "169.254.104.0/22",
    "169.254.108.0/23",
    "169.254.192.0/21",
    "169.254.200.0/23",
];

/// Every service that is known.
pub static PROFILES: &[Profile] = &[
    Profile {
        name: "aws-vpn-vgw",
        ipsec: AWS,
        reserved_inside: AWS_RESERVED,
        link_local_inside: None,
    },
    Profile {
        name: "aws-vpn-tgw",
        ipsec: AWS,
        reserved_inside: AWS_RESERVED,
        link_local_inside: None,
    },
    Profile {
        name: "oci-vpn",
        ipsec: Ipsec {
            ike: &["aes256-sha384-ecp384"],
            // Group 5 is what it has unless told otherwise.
            esp: &["aes256gcm16-modp1536"],
            auth: Auth::Psk,
            selectors: None,
            mtu: Some(1420),
            ..PLAIN
        },
        reserved_inside: OCI_RESERVED,
        link_local_inside: None,
    },
    Profile {
        name: "azure-vpn",
        ipsec: Ipsec {
            // Which of its defaults go together is not said.
            ike: &["aes256-sha256-modp1024"],
            esp: &["aes256gcm16", "aes256gcm16-modp2048"],
            esp_lifetime: Duration::from_secs(27_000),
            dpd: Duration::from_secs(30),
            selectors: None,
            mtu: Some(1400),
            ..PLAIN
        },
        reserved_inside: &[],
        link_local_inside: Some(("169.254.21.0", "169.254.22.255")),
    },
    Profile {
        name: "gcp-ha-vpn",
        ipsec: Ipsec {
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
        },
        reserved_inside: &[],
        link_local_inside: None,
    },
];

/// The profile of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[test]
    fn every_profile_is_whole() {
        for profile in PROFILES {
            let ipsec = &profile.ipsec;
            assert!(!ipsec.versions.is_empty() && !ipsec.ike.is_empty() && !ipsec.esp.is_empty());
            assert!(ipsec.esp_lifetime < ipsec.ike_lifetime, "{}", profile.name);
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
            assert!(std::ptr::eq(
                named(profile.name).expect("it is known"),
                profile
            ));
        }
    }
}
