//! BFD sessions of the intent, with their keys read from where they are kept.

use std::path::Path;

use config::Config;
use config::model;
use links::bfd::{self, Authentication, Hops, Kind};

use crate::drivers::bfd::{Sessions, Wanted};
use crate::secrets::{self, SecretError};

/// The sessions of an intent, by link.
///
/// # Errors
///
/// One sentence for each key that cannot be had.
pub(crate) fn bfd(config: &Config, base: &Path) -> Result<Sessions, Vec<String>> {
    let mut sessions = Sessions::new();
    let mut errors = Vec::new();
    for (name, link) in &config.links {
        let Some(bfd) = &link.bfd else { continue };
        match session(link, bfd, base) {
            Ok(wanted) => {
                sessions.insert(name.clone(), wanted);
            }
            Err(error) => errors.push(format!("link {name}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(sessions)
    } else {
        Err(errors)
    }
}

fn session(link: &model::Link, bfd: &model::Bfd, base: &Path) -> Result<Wanted, SecretError> {
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
    Ok(Wanted {
        interface: link.interface.clone(),
        local: link.inside.local.addr(),
        remote: link.inside.remote,
        config: bfd::Config {
            desired_min_tx: bfd.interval,
            required_min_rx: bfd.interval,
            multiplier: bfd.multiplier,
            hops: Hops::Single,
            authentication,
        },
        strict: bfd.strict,
    })
}
