//! `ipsec = { … }` of a link.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::esp;
use crate::model::{IkeVersion, Inside, Ipsec, IpsecAuth, IpsecMtu, NatTraversal, Selectors};
use crate::profile::{self, Auth, Profile};
use crate::report::{Sink, Wrong};

use super::link::mtu;
use super::section::Section;
use super::{secret, value};

/// - `link`: its name
/// - `inside`: its two ends, if they could be read
pub(super) fn ipsec(
    link: &str,
    mut table: Section<'_>,
    profile: Option<&'static Profile>,
    inside: Option<Inside>,
    sink: &mut Sink<'_>,
) -> Option<Ipsec> {
    let of_profile = profile.and_then(|profile| profile.ipsec.as_ref());
    let usual = of_profile.unwrap_or(&profile::PLAIN);
    let local = table.optional(sink, "local", value::address);
    let remote = table.required(sink, "remote", "remote = \"198.51.100.1\"", value::address);
    let local_id = table.optional(sink, "local-id", identity);
    let remote_id = table.optional(sink, "remote-id", identity);
    let auth = auth(&mut table, profile, sink);
    let version = table.or(sink, "version", usual.versions[0], version);
    let ike = proposals(&mut table, "ike", usual.ike, sink);
    let esp = proposals(&mut table, "esp", usual.esp, sink);
    let lifetime = |v: &DeValue<'_>| value::duration(v, seconds(300)..=seconds(86_400));
    let ike_lifetime = table.or(sink, "ike-lifetime", usual.ike_lifetime, lifetime);
    let esp_lifetime = table.or(sink, "esp-lifetime", usual.esp_lifetime, lifetime);
    let dpd = table.or(sink, "dpd", usual.dpd, |v| {
        value::duration(v, seconds(1)..=seconds(3600))
    });
    let initiate = table.or(sink, "initiate", true, value::boolean);
    let traversal = [("auto", NatTraversal::Auto), ("force", NatTraversal::Force)];
    let nat_traversal = table.or(sink, "nat-traversal", NatTraversal::Auto, |v| {
        value::word(v, &traversal)
    });
    let words = [
        ("ipv4", Selectors::Ipv4),
        ("ipv6", Selectors::Ipv6),
        ("both", Selectors::Both),
    ];
    let given = table.optional(sink, "selectors", |v| value::word(v, &words));
    let selectors = given.unwrap_or_else(|| usual_selectors(usual, version, inside));
    let if_id = table.or(sink, "if-id", if_id_of(link), |v| {
        value::integer(v, 1..=u32::MAX)
    });
    let given = table.optional(sink, "mtu", mtu);
    table.finish(sink);
    let (remote, auth) = (remote?, auth?);
    let mtu = match given {
        Some(mtu) => IpsecMtu::Given(mtu),
        None => IpsecMtu::Computed {
            offered: usual_mtu(&esp, remote, usual.mtu),
            most: usual.mtu,
        },
    };
    Some(Ipsec {
        local,
        remote,
        local_id,
        remote_id,
        auth,
        version,
        ike,
        esp,
        ike_lifetime,
        esp_lifetime,
        dpd,
        initiate,
        nat_traversal,
        selectors,
        if_id,
        mtu,
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn version(value: &DeValue<'_>) -> Result<IkeVersion, Wrong> {
    Ok(match value::integer(value, 1..=2u32)? {
        1 => IkeVersion::V1,
        _ => IkeVersion::V2,
    })
}

/// An address, a name, `user@host` or a distinguished name.
fn identity(value: &DeValue<'_>) -> Result<String, Wrong> {
    let identity = value::text(value)?;
    // strongSwan reads a % at the beginning as "any" or a type.
    if identity.starts_with('%') || identity.len() > 255 {
        let fix = "write an address, a name, or the subject of a certificate, up to 255 bytes";
        let message = format!("\"{identity}\" cannot be an identity");
        return Err(Wrong::new("ipsec.identity", message, fix));
    }
    Ok(identity)
}

/// A pre-shared key, or the three things of a certificate.
fn auth(
    table: &mut Section<'_>,
    profile: Option<&Profile>,
    sink: &mut Sink<'_>,
) -> Option<IpsecAuth> {
    let psk = secret::source(table, sink, "psk");
    let certificate = table.optional(sink, "certificate", value::text);
    let private_key = secret::source(table, sink, "private-key");
    let ca = table.optional(sink, "ca", value::text);
    let parts = ["certificate", "private-key", "ca"];
    let some = parts.iter().any(|key| table.has(key));
    match (table.has("psk"), some) {
        (true, false) => psk.map(IpsecAuth::Psk),
        (false, true) => {
            for key in parts.iter().filter(|key| !table.has(key)) {
                let example = format!("{key} = …, or use `psk`");
                table.missing(sink, key, &example);
            }
            let is_by_psk = |profile: &&Profile| {
                let ipsec = profile.ipsec.as_ref();
                ipsec.is_some_and(|ipsec| ipsec.auth == Auth::Psk)
            };
            if let Some(profile) = profile.filter(is_by_psk) {
                let message = format!("{} knows no certificates", profile.name);
                let place = table.key_span("certificate");
                sink.error(place, Wrong::new("profile.auth", message, "use `psk`"));
            }
            Some(IpsecAuth::Certificate {
                certificate: PathBuf::from(certificate?),
                private_key: private_key?,
                ca: PathBuf::from(ca?),
            })
        }
        (true, true) => {
            let message = "this names a pre-shared key and a certificate";
            let wrong = Wrong::new("ipsec.auth", message, "keep one of them");
            sink.error(table.key_span("psk"), wrong);
            None
        }
        (false, false) => {
            table.missing(sink, "psk", "psk = { file = \"secrets/aws-1.psk\" }");
            None
        }
    }
}

fn proposals(
    table: &mut Section<'_>,
    key: &'static str,
    usual: &[&str],
    sink: &mut Sink<'_>,
) -> Vec<String> {
    let given = table.one_or_list(sink, key, proposal);
    if given.is_empty() {
        return usual
            .iter()
            .map(|proposal| (*proposal).to_owned())
            .collect();
    }
    given
}

/// Words of strongSwan with hyphens between them. Which words there are it knows itself.
fn proposal(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    if text.len() <= 200 && text.split('-').all(is_word) {
        return Ok(text);
    }
    Err(Wrong::new(
        "ipsec.proposal",
        format!("\"{text}\" is not a proposal"),
        "write cipher, hash and group as strongSwan does: \"aes256-sha256-modp2048\", \"aes256gcm16-ecp384\"",
    ))
}

/// IKEv1 has one selector at each end.
fn usual_selectors(
    usual: &profile::Ipsec,
    version: IkeVersion,
    inside: Option<Inside>,
) -> Selectors {
    let is_v4 = inside.is_none_or(|inside| inside.local.addr().is_ipv4());
    let family = if is_v4 {
        Selectors::Ipv4
    } else {
        Selectors::Ipv6
    };
    match (version, usual.selectors) {
        (IkeVersion::V2, Some(selectors)) => selectors,
        (IkeVersion::V1, _) | (IkeVersion::V2, None) => family,
    }
}

/// What the proposal that takes most leaves, should there be a NAT.
fn usual_mtu(esp: &[String], remote: IpAddr, most: Option<u32>) -> u32 {
    let room = esp::room(remote);
    let left = esp.iter().map(|esp| esp::mtu(esp, room - esp::UDP)).min();
    let left = left.unwrap_or_else(|| esp::mtu("", room - esp::UDP));
    most.map_or(left, |most| most.min(left))
}

/// FNV-1a, so that a link has the same number after every restart without anybody keeping it.
fn if_id_of(link: &str) -> u32 {
    let hash = link.bytes().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}
