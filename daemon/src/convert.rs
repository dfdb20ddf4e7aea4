//! The intent in the words of the crates that carry it out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bgp::rib::{
    Aggregate, Forwarding, MedComparison, MoreSpecifics, Multipath, MultipathAs, Rest, RibConfig,
    RibPeer,
};
use bgp::{Asn, PeerId, RouterId};
use config::Config;
use config::model;
use links::stamp::Mode;
use links::{
    AddressFamily, GroupConfig, HealthConfig, LAST_RESORT_AFTER, LastResort, Limit, LinkId,
    Measurement, Member, Method, Policy, ProbeConfig, ReflectorConfig, RttMargin,
};
use policy::Filters;

use crate::drivers::link::{LinkConfig, Owner};
use crate::drivers::messages::Drained;
use crate::fib::ViaDefault;
use crate::sockets::Endpoint;

/// Of a probe by TCP: the far end may answer from behind a router of its own.
const TTL: u8 = 64;

mod bfd;
mod peer;
mod stamp;
mod tunnel;

pub(crate) use bfd::bfd;
pub(crate) use peer::{Keys, endpoint, keys, options, role, session};
pub(crate) use stamp::{Modes, modes};
pub(crate) use tunnel::tunnels;

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
        rest: if aggregate.discard {
            Rest::Discarded
        } else {
            Rest::Untouched
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

/// - `bgp`: where its BGP peer is reached, if it has one
pub(crate) fn link(
    config: &Config,
    link: &model::Link,
    id: LinkId,
    mode: &Mode,
    bgp: Option<Endpoint>,
) -> LinkConfig {
    let [measuring, searching] = stamp::identifiers(link, id);
    let last_resort = match bgp {
        Some(_) => LastResort::Bgp,
        None => LastResort::None,
    };
    LinkConfig {
        interface: link.interface.clone(),
        local: link.inside.local.addr(),
        remote: link.inside.remote,
        probe: probe(link, measuring, mode, last_resort),
        reflector: ReflectorConfig {
            remote: link.inside.remote,
            mode: mode.clone(),
            ours: [measuring, searching],
        },
        connect: match link.probe.method {
            model::ProbeMethod::Tcp => Some(Endpoint {
                remote: SocketAddr::new(link.inside.remote, link.probe.port),
                local: Some(link.inside.local.addr()),
                interface: Some(link.interface.clone()),
                ttl: TTL,
                min_ttl: None,
                signing: None,
            }),
            model::ProbeMethod::Auto | model::ProbeMethod::Bgp => bgp,
            model::ProbeMethod::Stamp | model::ProbeMethod::Icmp | model::ProbeMethod::Off => None,
        },
        health: health(config, link),
        owner: match link.carrier {
            model::Carrier::Interface => Owner::Another,
            model::Carrier::WireGuard(_)
            | model::Carrier::Gre(_)
            | model::Carrier::Vlan(_)
            | model::Carrier::Ipsec(_) => Owner::Ours,
        },
        path: path(link).map(|method| links::mtu::Config {
            method,
            family: family(link),
            identifier: searching,
            mode: mode.clone(),
        }),
    }
}

/// How a link looks for what its path takes; `None`: not at all.
fn path(link: &model::Link) -> Option<links::mtu::Method> {
    let method = match link.probe.method {
        // What answers TCP may answer these as well.
        model::ProbeMethod::Auto | model::ProbeMethod::Tcp | model::ProbeMethod::Bgp => {
            links::mtu::Method::Auto
        }
        model::ProbeMethod::Stamp => links::mtu::Method::Stamp,
        model::ProbeMethod::Icmp => links::mtu::Method::Icmp,
        model::ProbeMethod::Off => return None,
    };
    link.probe.mtu.then_some(method)
}

fn family(link: &model::Link) -> AddressFamily {
    match link.inside.remote {
        IpAddr::V4(_) => AddressFamily::V4,
        IpAddr::V6(_) => AddressFamily::V6,
    }
}

fn probe(
    link: &model::Link,
    identifier: u16,
    mode: &Mode,
    last_resort: LastResort,
) -> Option<ProbeConfig> {
    let method = match link.probe.method {
        model::ProbeMethod::Auto => Method::Auto,
        model::ProbeMethod::Stamp => Method::Stamp,
        model::ProbeMethod::Icmp => Method::Icmp,
        model::ProbeMethod::Tcp => Method::Tcp,
        model::ProbeMethod::Bgp => Method::Bgp,
        model::ProbeMethod::Off => return None,
    };
    Some(ProbeConfig {
        method,
        last_resort,
        interval: link.probe.interval,
        timeout: link.probe.timeout,
        window: link.probe.window,
        family: family(link),
        identifier,
        mode: mode.clone(),
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
            model::ProbeMethod::Auto
            | model::ProbeMethod::Stamp
            | model::ProbeMethod::Icmp
            | model::ProbeMethod::Tcp
            | model::ProbeMethod::Bgp => Measurement::Probe,
        },
        down_after: link.probe.down_after,
        disbelieve_after: link.probe.down_after
            + match link.probe.method {
                // What only BGP tells is told when nothing else has.
                model::ProbeMethod::Auto => LAST_RESORT_AFTER,
                model::ProbeMethod::Stamp
                | model::ProbeMethod::Icmp
                | model::ProbeMethod::Tcp
                | model::ProbeMethod::Bgp
                | model::ProbeMethod::Off => 0,
            },
        up_after: link.probe.up_after,
        degraded_rtt: slo.rtt.map(|it| Limit::new(it.enter(), it.leave())),
        degraded_loss: slo.loss.map(|it| Limit::new(it.enter(), it.leave())),
        ..HealthConfig::default()
    }
}

/// What its group chooses a link by.
pub(crate) fn member(link: &model::Link, id: LinkId) -> Member {
    Member {
        link: id,
        priority: link.priority,
        cost: link.cost,
        weight: link.weight,
    }
}

/// Links that the file says are to be emptied.
pub(crate) fn drained(config: &Config) -> Drained {
    let drained = config.links.iter().filter(|(_, link)| link.drain);
    drained.map(|(name, _)| name.clone()).collect()
}

pub(crate) fn groups(config: &Config) -> BTreeMap<String, GroupConfig> {
    let group = |group: &model::Group| GroupConfig {
        policy: match group.policy {
            model::Policy::Priority => Policy::Priority,
            model::Policy::Latency(margin) => Policy::Latency(rtt_margin(margin)),
            model::Policy::Loss { margin } => Policy::Loss(margin),
            model::Policy::Cost => Policy::Cost,
            model::Policy::Balance => Policy::Balance,
        },
        hold_down: group.hold_down,
    };
    config
        .groups
        .iter()
        .map(|(name, config)| (name.clone(), group(config)))
        .collect()
}

fn rtt_margin(margin: model::RttMargin) -> RttMargin {
    match margin {
        model::RttMargin::Time(least) => RttMargin { part: 0.0, least },
        model::RttMargin::Part(part) => RttMargin {
            part,
            ..RttMargin::default()
        },
    }
}

/// Whether a nexthop may be found through a default route.
pub(crate) fn via_default(fib: &model::Fib) -> ViaDefault {
    match fib.resolve_via_default {
        true => ViaDefault::Allowed,
        false => ViaDefault::Never,
    }
}
