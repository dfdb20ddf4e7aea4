//! The intent in the words of the crates that carry it out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bgp::rib::{
    Aggregate, Forwarding, MedComparison, MoreSpecifics, Multipath, MultipathAs, RibConfig, RibPeer,
};
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
use crate::fib::ViaDefault;
use crate::secrets;

mod bfd;
mod peer;

pub(crate) use bfd::bfd;
pub(crate) use peer::{Keys, endpoint, keys, options, role, session};

/// Our identifier. The config allows no 0.0.0.0.
fn router_id(config: &Config) -> Option<RouterId> {
    RouterId::new(config.router.id)
}

pub(crate) fn rib(config: &Config, seed: u64) -> Option<RibConfig> {
    let router_id = router_id(config)?;
    let model::Router {
        asn,
        cluster_id,
        multipath,
        always_compare_med,
        ..
    } = &config.router;
    let usual = RibConfig::new(Asn(*asn), router_id, seed);
    Some(RibConfig {
        cluster_id: cluster_id.unwrap_or(usual.cluster_id),
        med: if *always_compare_med {
            MedComparison::Always
        } else {
            MedComparison::SameNeighbour
        },
        multipath: Multipath {
            external: multipath.ebgp,
            internal: multipath.ibgp,
            as_paths: if multipath.relax_as_path {
                MultipathAs::AnyNeighbour
            } else {
                MultipathAs::SameNeighbour
            },
        },
        forwarding: match config.fib.install {
            true => Forwarding::Here,
            false => Forwarding::Elsewhere,
        },
        ..usual
    })
}

pub(crate) fn aggregates(config: &Config) -> Vec<Aggregate> {
    let aggregate = |aggregate: &model::Aggregate| Aggregate {
        prefix: aggregate.prefix,
        more_specifics: if aggregate.summary_only {
            MoreSpecifics::Suppressed
        } else {
            MoreSpecifics::Told
        },
    };
    config.aggregates.iter().map(aggregate).collect()
}

/// A peer without a filter gets one that lets nothing through (RFC 8212).
pub(crate) fn rib_peer(filters: &Filters, peer: &model::Peer, id: PeerId) -> RibPeer {
    RibPeer {
        id,
        asn: Asn(peer.asn),
        address: peer.address,
        import: filters.get(peer.import.as_deref()),
        export: filters.get(peer.export.as_deref()),
        options: options(peer),
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
