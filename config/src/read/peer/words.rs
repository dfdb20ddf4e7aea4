//! Keys of a peer that choose among a few forms.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::de::DeValue;

use crate::model::{
    AddPath, Distance, Family, GracefulRestart, LocalAs, NexthopMode, PrivateAs, Role,
};
use crate::read::section::Section;
use crate::read::value;
use crate::report::{Sink, Wrong};

const FAMILIES: [(&str, Family); 2] = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];

pub(super) fn families(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    usual: &[Family],
) -> BTreeSet<Family> {
    let key = "families";
    let given = section.has(key);
    let families = section.list(sink, key, "[\"ipv4\", \"ipv6\"]", |v| {
        value::word(v, &FAMILIES)
    });
    if !given {
        return usual.iter().copied().collect();
    }
    if section.is_empty_list(key) {
        let wrong = Wrong::new(
            "value.empty",
            "a session without a family carries no routes",
            "write [\"ipv4\"], [\"ipv6\"] or both, or leave the key out",
        );
        sink.error(sink.place(&format!("{}.{key}", section.path())), wrong);
    }
    families.into_iter().collect()
}

/// `multihop` or `ttl-security`, not both.
pub(super) fn distance(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    usual: Distance,
) -> Distance {
    let multihop = section.optional(sink, "multihop", multihop);
    let secured = section.optional(sink, "ttl-security", hops).flatten();
    if matches!(multihop, Some(Distance::Multihop(_))) && secured.is_some() {
        let wrong = Wrong::new(
            "peer.ttl",
            "`ttl-security` says how far away the peer is as well",
            "write `ttl-security = N` alone: at most N hops away",
        );
        sink.error(sink.place(&format!("{}.multihop", section.path())), wrong);
    }
    secured.map(Distance::Secured).or(multihop).unwrap_or(usual)
}

/// `false` is one hop, whatever is usual.
fn multihop(value: &DeValue<'_>) -> Result<Distance, Wrong> {
    if matches!(value, DeValue::Boolean(false)) {
        return Ok(Distance::Connected);
    }
    value::integer(value, 2..=u8::MAX).map(Distance::Multihop)
}

/// `true` is one hop: the peer is on our own network.
fn hops(value: &DeValue<'_>) -> Result<Option<u8>, Wrong> {
    if let DeValue::Boolean(is) = value {
        return Ok(is.then_some(1));
    }
    value::integer(value, 1..=254)
        .map(Some)
        .map_err(|mut wrong| {
            wrong.fix =
                "write `true` for a peer on our own network, or how many hops away it is".into();
            wrong
        })
}

pub(super) fn add_path(value: &DeValue<'_>) -> Result<AddPath, Wrong> {
    let words = [
        ("both", AddPath::Both),
        ("off", AddPath::Off),
        ("receive", AddPath::Receive),
        ("send", AddPath::Send),
    ];
    value::word(value, &words)
}

pub(super) fn role(value: &DeValue<'_>) -> Result<Role, Wrong> {
    let words = [
        ("customer", Role::Customer),
        ("peer", Role::Peer),
        ("provider", Role::Provider),
        ("route-server", Role::RouteServer),
        ("route-server-client", Role::RouteServerClient),
    ];
    value::word(value, &words)
}

pub(super) fn nexthop(value: &DeValue<'_>) -> Result<NexthopMode, Wrong> {
    let words = [
        ("self", NexthopMode::Ourselves),
        ("third-party", NexthopMode::ThirdParty),
        ("unchanged", NexthopMode::Unchanged),
    ];
    value::word(value, &words)
}

pub(super) fn private_as(value: &DeValue<'_>) -> Result<PrivateAs, Wrong> {
    match value {
        DeValue::Boolean(true) => Ok(PrivateAs::Remove),
        DeValue::Boolean(false) => Ok(PrivateAs::Keep),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => value::word(value, &[("replace", PrivateAs::Replace)]),
    }
}

/// `true`, `false`, or a table of its times.
pub(super) fn graceful_restart(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    unless_said: Option<GracefulRestart>,
) -> Option<GracefulRestart> {
    let key = "graceful-restart";
    let usual = GracefulRestart::default();
    if section.kind_of(key) != Some("a table") {
        let is_on = section.or(sink, key, unless_said.is_some(), value::boolean);
        return is_on.then_some(usual);
    }
    let example = "graceful-restart = { time = \"120s\" }";
    let mut table = section.table(sink, key, example)?;
    let time = table.or(sink, "time", usual.time, |v| whole_seconds(v, 4095));
    // 24 bits (RFC 9494 §3).
    let long_lived = table.or(sink, "long-lived", usual.long_lived, |v| {
        whole_seconds(v, 0x00ff_ffff)
    });
    table.finish(sink);
    Some(GracefulRestart { time, long_lived })
}

fn whole_seconds(value: &DeValue<'_>, most: u64) -> Result<Duration, Wrong> {
    let time = value::duration(value, Duration::ZERO..=Duration::from_secs(most))?;
    if time.subsec_nanos() == 0 {
        return Ok(time);
    }
    Err(Wrong::new(
        "value.duration",
        "this is not a whole number of seconds",
        "write whole seconds",
    ))
}

/// A number, or a table with it.
pub(super) fn local_as(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<LocalAs> {
    let key = "local-as";
    if section.kind_of(key) != Some("a table") {
        let asn = section.optional(sink, key, value::asn)?;
        return Some(LocalAs {
            asn,
            no_prepend: false,
            replace_as: false,
        });
    }
    let mut table = section.table(sink, key, "local-as = { asn = 64600 }")?;
    let asn = table.required(sink, "asn", "asn = 64600", value::asn);
    let no_prepend = table.or(sink, "no-prepend", false, value::boolean);
    let replace_as = table.or(sink, "replace-as", false, value::boolean);
    table.finish(sink);
    Some(LocalAs {
        asn: asn?,
        no_prepend,
        replace_as,
    })
}
