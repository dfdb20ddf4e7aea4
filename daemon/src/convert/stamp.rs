//! STAMP of the intent: modes, with their keys read from where they are kept, and identifiers of sessions.

use std::collections::BTreeMap;
use std::path::Path;

use config::Config;
use config::model;
use links::LinkId;
use links::stamp::{Keys, Mode};

use crate::secrets::{self, SecretError};

/// Of the links whose probes are signed.
pub(crate) type Modes = BTreeMap<String, Mode>;

/// The modes of an intent.
///
/// # Errors
///
/// One sentence for each link whose keys cannot be had.
pub(crate) fn modes(config: &Config, base: &Path) -> Result<Modes, Vec<String>> {
    let links = config.links.iter();
    let signed = links.filter_map(|(name, link)| Some((name, link.probe.auth.as_ref()?)));
    let (mut modes, mut errors) = (Modes::new(), Vec::new());
    for (name, auth) in signed {
        match keys(auth, base) {
            Ok(keys) => {
                modes.insert(name.clone(), Mode::Authenticated(keys));
            }
            Err(error) => errors.push(format!("link {name}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(modes)
    } else {
        Err(errors)
    }
}

fn keys(auth: &model::ProbeAuth, base: &Path) -> Result<Keys, SecretError> {
    let read = |source| secrets::stamp_key(source, base);
    Ok(Keys {
        key: read(&auth.key)?,
        accept: auth.accept_key.as_ref().map(read).transpose()?,
    })
}

/// The identifiers of a link's two sessions, that of its probe and that of the search for its path's MTU. The two
/// ends of a link have the same key, so that nothing but these says whose a request is: the end with the lower
/// address has other ones than the end with the higher. In the upper half: people number theirs from one.
pub(super) fn identifiers(link: &model::Link, id: LinkId) -> [u16; 2] {
    let end = match link.inside.local.addr() < link.inside.remote {
        true => 0,
        false => 2,
    };
    let first = 0x8000 + (id.0 % 0x2000) as u16 * 4 + end;
    [first, first + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(local: &str, remote: &str) -> model::Link {
        let text = format!(
            "[router]\nname = \"t\"\nasn = 65010\nid = \"192.0.2.1\"\n[link.a]\ninterface = \"eth1\"\n\
             inside = {{ local = \"{local}\", remote = \"{remote}\" }}\n"
        );
        let mut config = config::load(&text, "t.toml").unwrap().config;
        config.links.remove("a").unwrap()
    }

    #[test]
    fn sessions_of_both_ends_of_a_link_have_identifiers_of_their_own() {
        let ends = [
            link("10.0.0.1/30", "10.0.0.2"),
            link("10.0.0.2/30", "10.0.0.1"),
        ];
        for id in [0, 1, 77, 0x1fff, 0x2000, u32::MAX] {
            let mut all: Vec<_> = ends
                .iter()
                .flat_map(|end| identifiers(end, LinkId(id)))
                .collect();
            assert!(all.iter().all(|identifier| *identifier >= 0x8000));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 4, "{id}: {all:?}");
        }
    }
}
