//! The items of an intent as lists of fields, in the spelling of the file. Two values are the same
//! exactly when their texts are.

use std::fmt::Debug;
use std::time::Duration;

use crate::model::{
    Api, Bfd, BfdAuthKind, Endpoint, Fib, Group, Limit, Link, Log, Metrics, Multipath, Policy,
    ProbeAuth, Router, RttMargin, SecretSource, StrongSwan,
};
use crate::read::value::spell;

use super::{LinkPart, RouterField};

mod carrier;
mod peer;

pub(super) use peer::{peer, range};

/// One field of an item and the part of the item that it belongs to.
pub(super) struct Field<Part> {
    pub(super) part: Part,
    pub(super) name: &'static str,
    pub(super) value: String,
}

fn field<Part>(part: Part, name: &'static str, value: impl ToString) -> Field<Part> {
    Field {
        part,
        name,
        value: value.to_string(),
    }
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// The word of a variant, as the file has it.
fn word(value: impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

pub(super) fn router(router: &Router) -> Vec<Field<Option<RouterField>>> {
    let Router {
        name,
        asn,
        id,
        listen,
        cluster_id,
        multipath,
        always_compare_med,
    } = router;
    let Multipath {
        ebgp,
        ibgp,
        relax_as_path,
    } = multipath;
    let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
    vec![
        field(Some(RouterField::Name), "name", name),
        field(Some(RouterField::Asn), "asn", asn),
        field(Some(RouterField::Id), "id", id),
        field(None, "listen", format!("[{}]", listen.join(", "))),
        field(
            Some(RouterField::ClusterId),
            "cluster-id",
            or_none(*cluster_id),
        ),
        field(Some(RouterField::Decision), "multipath.ebgp", ebgp),
        field(Some(RouterField::Decision), "multipath.ibgp", ibgp),
        field(
            Some(RouterField::Decision),
            "multipath.relax-as-path",
            relax_as_path,
        ),
        field(
            Some(RouterField::Decision),
            "always-compare-med",
            always_compare_med,
        ),
    ]
}

pub(super) fn group(group: &Group) -> Vec<Field<()>> {
    let Group {
        policy,
        slo,
        hold_down,
    } = group;
    vec![
        field((), "policy", policy.name()),
        field((), "margin", margin(policy)),
        field((), "slo.rtt", or_none(slo.rtt.map(|it| exact(it.enter())))),
        field((), "slo.rtt-leave", leave(slo.rtt, exact)),
        field(
            (),
            "slo.loss",
            or_none(slo.loss.map(|it| percent(it.enter()))),
        ),
        field((), "slo.loss-leave", leave(slo.loss, percent)),
        field((), "slo.failover", or_none(slo.failover.map(exact))),
        field((), "hold-down", exact(*hold_down)),
    ]
}

/// In its own words only where the file has some.
fn leave<T>(limit: Option<Limit<T>>, words: fn(T) -> String) -> String
where
    T: Copy + PartialOrd,
    Limit<T>: From<T> + PartialEq,
{
    match limit {
        Some(limit) if limit != Limit::from(limit.enter()) => words(limit.leave()),
        Some(_) | None => "80%".to_owned(),
    }
}

fn percent(part: f64) -> String {
    format!("{}%", part * 100.0)
}

fn margin(policy: &Policy) -> String {
    match policy {
        Policy::Latency(RttMargin::Time(time)) => exact(*time),
        Policy::Latency(RttMargin::Part(part)) => percent(*part),
        Policy::Loss { margin } => percent(*margin),
        Policy::Priority | Policy::Cost | Policy::Balance => "none".to_owned(),
    }
}

pub(super) fn link(link: &Link) -> Vec<Field<LinkPart>> {
    let Link {
        group,
        priority,
        cost,
        weight,
        drain,
        interface,
        inside,
        carrier,
        profile,
        probe,
        bfd,
        way_back,
    } = link;
    let mut fields = vec![
        field(LinkPart::Group, "group", or_none(group.as_ref())),
        field(LinkPart::Group, "priority", priority),
        field(LinkPart::Group, "cost", or_none(*cost)),
        field(LinkPart::Group, "weight", weight),
        field(LinkPart::Group, "drain", drain),
        field(LinkPart::Group, "way-back", word(way_back)),
        field(LinkPart::Tunnel, "interface", interface),
        field(LinkPart::Inside, "inside.local", inside.local),
        field(LinkPart::Inside, "inside.remote", inside.remote),
        field(LinkPart::Probe, "probe.method", word(probe.method)),
        field(LinkPart::Probe, "probe.port", probe.port),
        field(LinkPart::Probe, "probe.interval", exact(probe.interval)),
        field(LinkPart::Probe, "probe.timeout", exact(probe.timeout)),
        field(LinkPart::Probe, "probe.window", exact(probe.window)),
        field(LinkPart::Probe, "probe.down-after", probe.down_after),
        field(LinkPart::Probe, "probe.up-after", probe.up_after),
        field(LinkPart::Probe, "probe.mtu", probe.mtu),
    ];
    fields.extend(probe_auth(probe.auth.as_ref()));
    fields.extend(watched_by(LinkPart::Bfd, bfd.as_ref()));
    fields.extend(carrier::fields(carrier, *profile));
    fields
}

fn probe_auth(auth: Option<&ProbeAuth>) -> [Field<LinkPart>; 2] {
    let part =
        |name, key: Option<&SecretSource>| field(LinkPart::Probe, name, or_none(key.map(source)));
    [
        part("probe.auth.key", auth.map(|auth| &auth.key)),
        part(
            "probe.auth.accept-key",
            auth.and_then(|auth| auth.accept_key.as_ref()),
        ),
    ]
}

fn watched_by<Part: Copy>(of: Part, bfd: Option<&Bfd>) -> Vec<Field<Part>> {
    let part = |name, value: Option<String>| field(of, name, or_none(value));
    let auth = bfd.and_then(|bfd| bfd.auth.as_ref());
    vec![
        part("bfd.interval", bfd.map(|bfd| exact(bfd.interval))),
        part("bfd.multiplier", bfd.map(|bfd| bfd.multiplier.to_string())),
        part("bfd.strict", bfd.map(|bfd| bfd.strict.to_string())),
        part("bfd.auth.type", auth.map(|auth| auth_kind(auth.kind))),
        part("bfd.auth.id", auth.map(|auth| auth.id.to_string())),
        part("bfd.auth.key", auth.map(|auth| source(&auth.key))),
    ]
}

fn auth_kind(kind: BfdAuthKind) -> String {
    match kind {
        BfdAuthKind::KeyedSha1 => "keyed-sha1".to_owned(),
        BfdAuthKind::MeticulousKeyedSha1 => "meticulous-keyed-sha1".to_owned(),
    }
}

pub(super) fn fib(fib: &Fib) -> Vec<Field<()>> {
    let Fib {
        install,
        table,
        metric,
        resolve_via_default,
    } = fib;
    vec![
        field((), "install", install),
        field((), "table", table),
        field((), "metric", metric),
        field((), "resolve-via-default", resolve_via_default),
    ]
}

pub(super) fn strongswan(strongswan: &StrongSwan) -> Vec<Field<()>> {
    vec![field((), "socket", strongswan.socket.display())]
}

pub(super) fn api(api: &Api) -> Vec<Field<()>> {
    vec![field((), "socket", api.socket.display())]
}

pub(super) fn metrics(metrics: &Metrics) -> Vec<Field<()>> {
    vec![field(
        (),
        "listen",
        metrics
            .listen
            .map_or_else(|| "off".to_owned(), |l| l.to_string()),
    )]
}

pub(super) fn log(log: &Log) -> Vec<Field<()>> {
    vec![
        field((), "level", &log.level),
        field((), "format", word(log.format)),
    ]
}

/// The file cannot say less than a microsecond, a caller that builds a model by hand can.
fn exact(duration: Duration) -> String {
    if duration.subsec_nanos().is_multiple_of(1000) {
        return spell(duration);
    }
    format!("{}ns", duration.as_nanos())
}

/// Where, never what.
fn source(secret: &SecretSource) -> String {
    match secret {
        SecretSource::File(path) => format!("file {}", path.display()),
        SecretSource::Env(name) => format!("env {name}"),
        SecretSource::Credential(name) => format!("credential {name}"),
        SecretSource::Command(words) => format!("command {words:?}"),
    }
}

fn endpoint(endpoint: &Endpoint) -> String {
    let Endpoint { host, port } = endpoint;
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn base64(key: &[u8; 32]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(key)
}
