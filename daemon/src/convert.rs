//! The intent in the words of the crates that carry it out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bgp::rib::{PeerOptions, RibConfig, RibPeer};
use bgp::session::{Mode, SessionConfig};
use bgp::{Asn, PeerId, RouterId};
use config::Config;
use config::model::{self, Carrier};
use links::{
    AddressFamily, GroupConfig, HealthConfig, LinkId, Measurement, Method, Policy, ProbeConfig,
};
use policy::Filters;
use tunnels::spec::{BackendChoice, Kind, TunnelSpec, WireGuardPeer, WireGuardSpec};

use crate::drivers::link::LinkConfig;
use crate::drivers::messages::Wanted;
use crate::drivers::peer::Endpoint;
use crate::fib::ViaDefault;
use crate::secrets;

/// The longest wait between two attempts at a session.
const CONNECT_RETRY_MAX: Duration = Duration::from_secs(120);

/// Our identifier. The config allows no 0.0.0.0.
fn router_id(config: &Config) -> Option<RouterId> {
    RouterId::new(config.router.id)
}

pub(crate) fn rib(config: &Config, seed: u64) -> Option<RibConfig> {
    let router_id = router_id(config)?;
    Some(RibConfig::new(Asn(config.router.asn), router_id, seed))
}

pub(crate) fn session(config: &Config, peer: &model::Peer) -> Option<SessionConfig> {
    let link = peer.link.as_ref().and_then(|link| config.links.get(link));
    let local = peer
        .local_address
        .or(link.map(|link| link.inside.local.addr()));
    Some(SessionConfig {
        hold_time_secs: u16::try_from(peer.hold_time.as_secs()).unwrap_or(u16::MAX),
        connect_retry: peer.connect_retry,
        connect_retry_max: CONNECT_RETRY_MAX,
        mode: if peer.passive {
            Mode::Passive
        } else {
            Mode::Active
        },
        nexthop_v6: match local {
            Some(IpAddr::V6(address)) => Some(address),
            Some(IpAddr::V4(_)) | None => None,
        },
        nexthop_v4: match local {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        },
        ..SessionConfig::new(Asn(config.router.asn), router_id(config)?, Asn(peer.asn))
    })
}

pub(crate) fn endpoint(config: &Config, peer: &model::Peer) -> Endpoint {
    let link = peer.link.as_ref().and_then(|link| config.links.get(link));
    Endpoint {
        remote: SocketAddr::new(peer.address, peer.port),
        local: peer.local_address,
        interface: link.map(|link| link.interface.clone()),
    }
}

/// A peer without a filter gets one that lets nothing through (RFC 8212).
pub(crate) fn rib_peer(filters: &Filters, peer: &model::Peer, id: PeerId) -> RibPeer {
    RibPeer {
        id,
        asn: Asn(peer.asn),
        address: peer.address,
        import: filters.get(peer.import.as_deref()),
        export: filters.get(peer.export.as_deref()),
        options: PeerOptions::default(),
    }
}

pub(crate) fn link(config: &Config, link: &model::Link, id: LinkId) -> LinkConfig {
    LinkConfig {
        interface: link.interface.clone(),
        local: link.inside.local.addr(),
        remote: link.inside.remote,
        probe: probe(link, id),
        health: health(config, link),
    }
}

fn probe(link: &model::Link, id: LinkId) -> Option<ProbeConfig> {
    let method = match link.probe.method {
        model::ProbeMethod::Auto => Method::Auto,
        model::ProbeMethod::Stamp => Method::Stamp,
        model::ProbeMethod::Icmp => Method::Icmp,
        model::ProbeMethod::Off => return None,
    };
    Some(ProbeConfig {
        method,
        interval: link.probe.interval,
        timeout: link.probe.timeout,
        window: link.probe.window,
        family: match link.inside.remote {
            IpAddr::V4(_) => AddressFamily::V4,
            IpAddr::V6(_) => AddressFamily::V6,
        },
        // Unique among our links; probes of other programs differ in the nonce.
        identifier: (id.0 % u32::from(u16::MAX)) as u16 + 1,
    })
}

fn health(config: &Config, link: &model::Link) -> HealthConfig {
    let group = link
        .group
        .as_ref()
        .and_then(|group| config.groups.get(group));
    let slo = group.map(|group| group.slo).unwrap_or_default();
    HealthConfig {
        measurement: match link.probe.method {
            model::ProbeMethod::Off => Measurement::Interface,
            model::ProbeMethod::Auto | model::ProbeMethod::Stamp | model::ProbeMethod::Icmp => {
                Measurement::Probe
            }
        },
        down_after: link.probe.down_after,
        up_after: link.probe.up_after,
        degraded_rtt: slo.rtt,
        degraded_loss: slo.loss,
        ..HealthConfig::default()
    }
}

pub(crate) fn groups(config: &Config) -> BTreeMap<String, GroupConfig> {
    let group = |group: &model::Group| GroupConfig {
        policy: match group.policy {
            model::Policy::Priority => Policy::Priority,
        },
        hold_down: group.hold_down,
    };
    config
        .groups
        .iter()
        .map(|(name, config)| (name.clone(), group(config)))
        .collect()
}

/// The tunnels of an intent, with their keys read from where they are kept.
///
/// # Errors
///
/// One sentence for each secret that cannot be had.
pub(crate) fn tunnels(config: &Config, base: &Path) -> Result<Vec<Wanted>, Vec<String>> {
    let mut wanted = Vec::new();
    let mut errors = Vec::new();
    for (name, link) in &config.links {
        let Carrier::WireGuard(wireguard) = &link.carrier else {
            continue;
        };
        match tunnel(name, link, wireguard, base) {
            Ok(tunnel) => wanted.push(tunnel),
            Err(error) => errors.push(format!("link {name}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(wanted)
    } else {
        Err(errors)
    }
}

fn tunnel(
    name: &str,
    link: &model::Link,
    wireguard: &model::WireGuard,
    base: &Path,
) -> Result<Wanted, secrets::SecretError> {
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
    let spec = TunnelSpec {
        name: name.to_owned(),
        interface: link.interface.clone(),
        mtu: wireguard.mtu,
        address: link.inside.local,
        kind: Kind::WireGuard(WireGuardSpec {
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
        }),
    };
    let endpoint = wireguard.endpoint.clone().filter(|_| address.is_none());
    Ok(Wanted { spec, endpoint })
}

/// Whether a nexthop may be found through a default route.
pub(crate) fn via_default(fib: &model::Fib) -> ViaDefault {
    match fib.resolve_via_default {
        true => ViaDefault::Allowed,
        false => ViaDefault::Never,
    }
}
