//! What carries the links of an intent, with the secrets that it needs.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;

use config::Config;
use config::model::{self, Carrier};
use tunnels::spec::{
    Auth, BackendChoice, GreSpec, IkeVersion, Initiator, IpsecSpec, Kind, NatTraversal, Selectors,
    TunnelSpec, VlanSpec, WireGuardPeer, WireGuardSpec,
};

use crate::drivers::messages::{Bound, Discovery, Wanted};
use crate::secrets::{self, SecretError};

/// The tunnels of an intent, with their keys read from where they are kept.
///
/// # Errors
///
/// One sentence for each secret that cannot be had.
pub(crate) fn tunnels(config: &Config, base: &Path) -> Result<Vec<Wanted>, Vec<String>> {
    let mut wanted = Vec::new();
    let mut errors = Vec::new();
    for (name, link) in &config.links {
        match carried(link, base) {
            Ok(Some(carried)) => wanted.push(carried.of_link(name, link)),
            Ok(None) => {}
            Err(error) => errors.push(format!("link {name}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(wanted)
    } else {
        Err(errors)
    }
}

/// What is peculiar to a way of carrying a link.
struct Carried {
    kind: Kind,
    bound: Bound,
    endpoint: Option<model::Endpoint>,
}

impl Carried {
    fn of_link(self, name: &str, link: &model::Link) -> Wanted {
        Wanted {
            spec: TunnelSpec {
                name: name.to_owned(),
                interface: link.interface.clone(),
                mtu: match self.bound {
                    Bound::Fixed(mtu) => mtu,
                    Bound::ByCipher(mtu) => mtu.offered(),
                },
                address: link.inside.local,
                kind: self.kind,
            },
            endpoint: self.endpoint,
            bound: self.bound,
            discovery: match super::path(link).is_some() {
                true => Discovery::On,
                false => Discovery::Off,
            },
        }
    }
}

/// `None` for an interface that is somebody else's.
fn carried(link: &model::Link, base: &Path) -> Result<Option<Carried>, SecretError> {
    let (kind, bound) = match &link.carrier {
        Carrier::Interface => return Ok(None),
        Carrier::WireGuard(wireguard) => return self::wireguard(wireguard, base).map(Some),
        Carrier::Gre(gre) => {
            let spec = GreSpec {
                local: gre.local,
                remote: gre.remote,
                key: gre.key,
                ttl: gre.ttl,
            };
            (Kind::Gre(spec), Bound::Fixed(gre.mtu))
        }
        Carrier::Vlan(vlan) => {
            let spec = VlanSpec {
                parent: vlan.parent.clone(),
                id: vlan.id,
            };
            (Kind::Vlan(spec), Bound::Fixed(vlan.mtu))
        }
        Carrier::Ipsec(ipsec) => (
            Kind::Ipsec(Box::new(self::ipsec(ipsec, base)?)),
            Bound::ByCipher(ipsec.mtu),
        ),
    };
    Ok(Some(Carried {
        kind,
        bound,
        endpoint: None,
    }))
}

fn wireguard(wireguard: &model::WireGuard, base: &Path) -> Result<Carried, SecretError> {
    let preshared_key = match &wireguard.preshared_key {
        Some(source) => Some(secrets::key(source, base)?),
        None => None,
    };
    let address = wireguard.endpoint.as_ref().and_then(|endpoint| {
        Some(SocketAddr::new(
            endpoint.host.parse::<IpAddr>().ok()?,
            endpoint.port,
        ))
    });
    let spec = WireGuardSpec {
        private_key: secrets::key(&wireguard.private_key, base)?,
        listen_port: wireguard.listen,
        backend: match wireguard.backend {
            model::Backend::Auto => BackendChoice::Auto,
            model::Backend::Kernel => BackendChoice::Kernel,
            model::Backend::Userspace => BackendChoice::Userspace,
        },
        peer: WireGuardPeer {
            public_key: wireguard.peer_public_key,
            preshared_key,
            endpoint: address,
            keepalive_secs: wireguard
                .keepalive
                .and_then(|keepalive| u16::try_from(keepalive.as_secs()).ok()),
        },
    };
    Ok(Carried {
        kind: Kind::WireGuard(spec),
        bound: Bound::Fixed(wireguard.mtu),
        endpoint: wireguard.endpoint.clone().filter(|_| address.is_none()),
    })
}

fn ipsec(ipsec: &model::Ipsec, base: &Path) -> Result<IpsecSpec, SecretError> {
    let auth = match &ipsec.auth {
        model::IpsecAuth::Psk(psk) => Auth::Psk(secrets::line(psk, base)?),
        model::IpsecAuth::Certificate {
            certificate,
            private_key,
            ca,
        } => Auth::Certificate {
            certificate: secrets::public(certificate, base)?,
            key: secrets::whole(private_key, base)?,
            ca: secrets::public(ca, base)?,
        },
    };
    Ok(IpsecSpec {
        // The config allows no 0.
        if_id: NonZeroU32::new(ipsec.if_id).unwrap_or(NonZeroU32::MAX),
        local: ipsec.local,
        remote: ipsec.remote,
        local_id: ipsec.local_id.clone(),
        remote_id: ipsec.remote_id.clone(),
        auth,
        version: match ipsec.version {
            model::IkeVersion::V1 => IkeVersion::V1,
            model::IkeVersion::V2 => IkeVersion::V2,
        },
        ike: ipsec.ike.clone(),
        esp: ipsec.esp.clone(),
        ike_lifetime: ipsec.ike_lifetime,
        esp_lifetime: ipsec.esp_lifetime,
        dpd: ipsec.dpd,
        initiator: match ipsec.initiate {
            true => Initiator::Us,
            false => Initiator::Them,
        },
        nat_traversal: match ipsec.nat_traversal {
            model::NatTraversal::Auto => NatTraversal::Auto,
            model::NatTraversal::Force => NatTraversal::Forced,
        },
        selectors: match ipsec.selectors {
            model::Selectors::Ipv4 => Selectors::V4,
            model::Selectors::Ipv6 => Selectors::V6,
            model::Selectors::Both => Selectors::Both,
        },
    })
}
