//! Peers of the intent: how they are reached, what their sessions offer, what the RIB does for them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bgp::attrs::Community;
use bgp::rib::{
    AsOverride, DrainNotice, LimitAction, LocalAs, LocalAsPrepend, NexthopMode, PeerOptions,
    PrefixLimit, PrivateAs, ReflectionRole, WayBack,
};
use bgp::session::{GracefulRestart, Mode, SessionConfig, SessionRole};
use bgp::{Asn, Family, FamilySet, FirstAs, Role};
use config::Config;
use config::model;

use super::router_id;
use crate::secrets::{self, SecretError};
use crate::sockets::{Endpoint, Signing, ao};

/// The longest wait between two attempts at a session.
const CONNECT_RETRY_MAX: Duration = Duration::from_secs(120);

/// For a peer of which the file says nothing. Twice a full table of today: what is passed by none that
/// means well, and held by a host with the memory for full tables.
const MOST_PATHS: PrefixLimit = PrefixLimit {
    max: 2_000_000,
    warn_at: 1_600_000,
    action: LimitAction::Discard,
};

/// What signs the sessions of a peer or range, by its name.
pub(crate) type Keys = BTreeMap<String, Signing>;

/// The keys of an intent, read from where they are kept.
///
/// # Errors
///
/// One sentence for each that cannot be had.
pub(crate) fn keys(config: &Config, base: &Path) -> Result<Keys, Vec<String>> {
    let mut keys = Keys::new();
    let mut errors = Vec::new();
    let ranges = config
        .ranges
        .iter()
        .map(|(name, range)| (name, &range.peer));
    for (name, peer) in config.peers.iter().chain(ranges) {
        let Some(signing) = &peer.signing else {
            continue;
        };
        match read_signing(signing, base) {
            Ok(signing) => {
                keys.insert(name.clone(), signing);
            }
            Err(error) => errors.push(format!("{name}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(keys)
    } else {
        Err(errors)
    }
}

fn read_signing(signing: &model::Signing, base: &Path) -> Result<Signing, SecretError> {
    Ok(match signing {
        model::Signing::Md5(source) => Signing::Md5(Arc::new(secrets::tcp_key(source, base)?)),
        model::Signing::Ao(ao) => {
            let keys = ao.keys.iter().map(|key| ao_key(key, base));
            Signing::Ao(Arc::new(ao::Keys {
                keys: keys.collect::<Result<_, _>>()?,
                options: match ao.include_tcp_options {
                    true => ao::TcpOptions::Included,
                    false => ao::TcpOptions::Excluded,
                },
            }))
        }
    })
}

fn ao_key(key: &model::AoKey, base: &Path) -> Result<ao::Key, SecretError> {
    Ok(ao::Key {
        ids: ao::Ids {
            send: key.id,
            receive: key.receive_id,
        },
        algorithm: match key.algorithm {
            model::AoAlgorithm::HmacSha1 => ao::Algorithm::HmacSha1,
            model::AoAlgorithm::Aes128Cmac => ao::Algorithm::Aes128Cmac,
            model::AoAlgorithm::HmacSha256 => ao::Algorithm::HmacSha256,
        },
        secret: secrets::tcp_key(&key.secret, base)?,
    })
}

pub(crate) fn session(config: &Config, peer: &model::Peer) -> Option<SessionConfig> {
    let link = peer.link.as_ref().and_then(|link| config.links.get(link));
    let local = peer
        .local_address
        .or(link.map(|link| link.inside.local.addr()));
    let local_asn = peer.local_as.map_or(config.router.asn, |local| local.asn);
    let families = families(peer);
    let where_ = |wanted: &[model::AddPath]| {
        let is_wanted = wanted.contains(&peer.add_path);
        if is_wanted {
            families
        } else {
            FamilySet::EMPTY
        }
    };
    Some(SessionConfig {
        first_as: if peer.enforce_first_as {
            FirstAs::Enforced
        } else {
            FirstAs::Free
        },
        hold_time_secs: u16::try_from(peer.hold_time.as_secs()).unwrap_or(u16::MAX),
        connect_retry: peer.connect_retry,
        connect_retry_max: CONNECT_RETRY_MAX,
        mode: if peer.passive {
            Mode::Passive
        } else {
            Mode::Active
        },
        families,
        nexthop_v6: match local {
            Some(IpAddr::V6(address)) => Some(address),
            Some(IpAddr::V4(_)) | None => None,
        },
        nexthop_v4: match local {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        },
        add_path_receive: where_(&[model::AddPath::Both, model::AddPath::Receive]),
        add_path_send: where_(&[model::AddPath::Both, model::AddPath::Send]),
        // The other way round, IPv6 prefixes with an IPv4 nexthop, does not exist (RFC 8950 §3).
        extended_nexthop: if peer.extended_nexthop {
            families.intersection([Family::Ipv4Unicast].into_iter().collect())
        } else {
            FamilySet::EMPTY
        },
        extended_messages: peer.extended_messages,
        enhanced_refresh: peer.enhanced_refresh,
        role: peer.role.map(|ours| SessionRole {
            role: role(ours),
            strict: peer.role_strict,
        }),
        graceful_restart: peer.graceful_restart.as_ref().map(graceful_restart),
        send_hold_time: peer.send_hold_time,
        ..SessionConfig::new(Asn(local_asn), router_id(config)?, Asn(peer.asn))
    })
}

fn families(peer: &model::Peer) -> FamilySet {
    let family = |family: &model::Family| match family {
        model::Family::Ipv4 => Family::Ipv4Unicast,
        model::Family::Ipv6 => Family::Ipv6Unicast,
    };
    peer.families.iter().map(family).collect()
}

pub(crate) fn role(ours: model::Role) -> Role {
    match ours {
        model::Role::Customer => Role::Customer,
        model::Role::Peer => Role::Peer,
        model::Role::Provider => Role::Provider,
        model::Role::RouteServer => Role::RouteServer,
        model::Role::RouteServerClient => Role::RouteServerClient,
    }
}

fn graceful_restart(restart: &model::GracefulRestart) -> GracefulRestart {
    GracefulRestart {
        restart_secs: u16::try_from(restart.time.as_secs()).unwrap_or(u16::MAX),
        long_lived_secs: u32::try_from(restart.long_lived.as_secs()).unwrap_or(u32::MAX),
        restarting: false,
        preserved: FamilySet::EMPTY,
    }
}

pub(crate) fn endpoint(config: &Config, peer: &model::Peer, signing: Option<Signing>) -> Endpoint {
    let link = peer.link.as_ref().and_then(|link| config.links.get(link));
    // Whoever is on a link is spoken to from the link's own address, even where its interface has others.
    let inside = link.map(|link| link.inside.local.addr());
    let inside = inside.filter(|inside| inside.is_ipv4() == peer.address.is_ipv4());
    Endpoint {
        remote: SocketAddr::new(peer.address, peer.port),
        local: peer.local_address.or(inside),
        interface: link
            .map(|link| &link.interface)
            .or(peer.interface.as_ref())
            .cloned(),
        ttl: peer.distance.ttl(),
        min_ttl: peer.distance.min_ttl(),
        signing,
    }
}

pub(crate) fn options(peer: &model::Peer) -> PeerOptions {
    let limit = |limit: Option<&model::PrefixLimit>, max: Option<u32>| {
        max.zip(limit).map(|(max, limit)| prefix_limit(limit, max))
    };
    let (inward, outward) = (peer.prefix_limit.as_ref(), peer.prefix_limit_out);
    PeerOptions {
        own_as_allowed: peer.own_as_allowed,
        reflection: if peer.reflector_client {
            ReflectionRole::Client
        } else {
            ReflectionRole::NonClient
        },
        role: peer.role.map(role),
        nexthop: match peer.nexthop {
            model::NexthopMode::Ourselves => NexthopMode::Ourselves,
            model::NexthopMode::ThirdParty => NexthopMode::ThirdParty,
            model::NexthopMode::Unchanged => NexthopMode::Unchanged,
        },
        local_as: peer.local_as.map(local_as),
        as_override: if peer.as_override {
            AsOverride::On
        } else {
            AsOverride::Off
        },
        private_as: match peer.private_as {
            model::PrivateAs::Keep => PrivateAs::Kept,
            model::PrivateAs::Remove => PrivateAs::Removed,
            model::PrivateAs::Replace => PrivateAs::Replaced,
        },
        // In the order of `Family::ALL`.
        receive_limit: [
            limit(inward, inward.and_then(|limit| limit.max.ipv4)).or(Some(MOST_PATHS)),
            limit(inward, inward.and_then(|limit| limit.max.ipv6)).or(Some(MOST_PATHS)),
        ],
        send_limit: [outward.ipv4, outward.ipv6],
        add_path_limit: peer.add_path_limit,
        way_back: peer.way_back.map_or(WayBack::Off, way_back),
        // Other routers may know it; of clouds, none says that it does.
        drain_notice: match peer.profile {
            Some(_) => DrainNotice::None,
            None => DrainNotice::GracefulShutdown,
        },
    }
}

fn way_back(knob: model::Knob) -> WayBack {
    match knob {
        model::Knob::Med => WayBack::Med,
        model::Knob::Prepend => WayBack::Prepend,
        model::Knob::Communities(communities) => {
            let community =
                |(high, low): (u16, u16)| Community(u32::from(high) << 16 | u32::from(low));
            WayBack::Communities(communities.map(community))
        }
    }
}

fn local_as(local: model::LocalAs) -> LocalAs {
    let unless = |hidden| {
        if hidden {
            LocalAsPrepend::Hidden
        } else {
            LocalAsPrepend::Shown
        }
    };
    LocalAs {
        asn: Asn(local.asn),
        on_import: unless(local.no_prepend),
        on_export: unless(local.replace_as),
    }
}

fn prefix_limit(limit: &model::PrefixLimit, max: u32) -> PrefixLimit {
    let warn_at = u64::from(max) * u64::from(limit.warn_percent) / 100;
    PrefixLimit {
        max,
        warn_at: u32::try_from(warn_at).unwrap_or(max),
        action: match limit.action {
            model::LimitAction::Discard => LimitAction::Discard,
            model::LimitAction::Restart(after) => LimitAction::Restart(after),
            model::LimitAction::Shutdown => LimitAction::Shutdown,
            model::LimitAction::Warn => LimitAction::Warn,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(terms: &str) -> (Config, model::Peer) {
        let text = format!(
            "[router]\nname = \"a\"\nasn = 65010\nid = \"192.0.2.1\"\n\
             [peer.p]\naddress = \"10.0.0.2\"\n{terms}\n"
        );
        let config = config::load(&text, "test").unwrap().config;
        let peer = config.peers["p"].clone();
        (config, peer)
    }

    #[test]
    fn a_peer_with_nothing_said_gets_what_every_speaker_of_today_offers() {
        let (config, peer) = peer("asn = 64512");
        let session = session(&config, &peer).unwrap();
        assert_eq!(session.families, FamilySet::ALL);
        assert!(session.extended_messages && session.enhanced_refresh);
        let restart = session.graceful_restart.unwrap();
        assert_eq!((restart.restart_secs, restart.long_lived_secs), (120, 0));
        let usual = PeerOptions {
            receive_limit: [Some(MOST_PATHS); Family::ALL.len()],
            drain_notice: DrainNotice::GracefulShutdown,
            ..PeerOptions::default()
        };
        assert_eq!(options(&peer), usual);
    }

    #[test]
    fn the_warning_comes_at_its_share_of_the_limit() {
        for (max, warn, at) in [
            (1000, "80%", 800),
            (1, "80%", 0),
            (u32::MAX, "100%", u32::MAX),
        ] {
            let (_, peer) = peer(&format!(
                "asn = 64512\nprefix-limit = {{ ipv6 = {max}, warn = \"{warn}\" }}"
            ));
            let [v4, v6] = options(&peer).receive_limit;
            assert_eq!(v4, Some(MOST_PATHS), "nothing is said of it");
            assert_eq!(v6.map(|limit| (limit.max, limit.warn_at)), Some((max, at)));
        }
    }

    #[test]
    fn another_local_as_is_what_the_peer_hears() {
        let (config, peer) = peer("asn = 64512\nlocal-as = { asn = 64600, replace-as = true }");
        assert_eq!(session(&config, &peer).unwrap().local_asn, Asn(64600));
        let local = options(&peer).local_as.unwrap();
        assert_eq!(
            (local.on_import, local.on_export),
            (LocalAsPrepend::Shown, LocalAsPrepend::Hidden)
        );
    }

    #[test]
    fn paths_are_added_in_the_families_that_are_spoken() {
        let (config, peer) = peer(
            "asn = 64512\nfamilies = [\"ipv6\"]\nadd-path = \"send\"\nextended-nexthop = true",
        );
        let session = session(&config, &peer).unwrap();
        assert!(session.add_path_receive.is_empty() && session.extended_nexthop.is_empty());
        assert_eq!(
            session.add_path_send,
            [Family::Ipv6Unicast].into_iter().collect()
        );
    }
}
