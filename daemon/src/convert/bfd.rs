//! BFD sessions of the intent, with their keys read from where they are kept.

use std::path::Path;

use config::Config;
use config::model;
use links::bfd::{self, Authentication, Hops, Kind};

use crate::drivers::bfd::{Sessions, Wanted, Watched};
use crate::secrets::{self, SecretError};

/// The sessions of an intent.
///
/// # Errors
///
/// One sentence for each key that cannot be had.
pub(crate) fn bfd(config: &Config, base: &Path) -> Result<Sessions, Vec<String>> {
    let links = config.links.iter().filter_map(|(name, link)| {
        let wanted = of_link(link, link.bfd.as_ref()?, base);
        Some((Watched::Link(name.clone()), wanted))
    });
    let peers = config.peers.iter().filter_map(|(name, peer)| {
        let wanted = of_peer(peer, peer.bfd.as_ref()?, base);
        Some((Watched::Peer(name.clone()), wanted))
    });
    let mut sessions = Sessions::new();
    let mut errors = Vec::new();
    for (watched, wanted) in links.chain(peers) {
        match wanted {
            Ok(wanted) => {
                sessions.insert(watched, wanted);
            }
            Err(error) => errors.push(format!("{watched}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(sessions)
    } else {
        Err(errors)
    }
}

fn of_link(link: &model::Link, bfd: &model::Bfd, base: &Path) -> Result<Wanted, SecretError> {
    Ok(Wanted {
        interface: Some(link.interface.clone()),
        local: Some(link.inside.local.addr()),
        remote: link.inside.remote,
        config: session(bfd, Hops::Single, base)?,
        strict: bfd.strict,
    })
}

fn of_peer(peer: &model::Peer, bfd: &model::PeerBfd, base: &Path) -> Result<Wanted, SecretError> {
    let hops = match bfd.hops {
        0 | 1 => Hops::Single,
        hops => Hops::Multi {
            // It leaves with 255, and each router on the way takes one.
            least_hop_limit: (u8::MAX - hops).saturating_add(1),
        },
    };
    Ok(Wanted {
        interface: peer.interface.clone(),
        local: peer.local_address,
        remote: peer.address,
        config: session(&bfd.bfd, hops, base)?,
        strict: bfd.bfd.strict,
    })
}

fn session(bfd: &model::Bfd, hops: Hops, base: &Path) -> Result<bfd::Config, SecretError> {
    let authentication = match &bfd.auth {
        Some(auth) => Some(Authentication {
            kind: match auth.kind {
                model::BfdAuthKind::KeyedSha1 => Kind::KeyedSha1,
                model::BfdAuthKind::MeticulousKeyedSha1 => Kind::MeticulousKeyedSha1,
            },
            key_id: auth.id,
            key: secrets::bfd_key(&auth.key, base)?,
        }),
        None => None,
    };
    Ok(bfd::Config {
        desired_min_tx: bfd.interval,
        required_min_rx: bfd.interval,
        multiplier: bfd.multiplier,
        hops,
        authentication,
    })
}
