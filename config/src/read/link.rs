//! `[link.NAME]` and `[group.NAME]`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::model::{
    Backend, Carrier, Endpoint, Group, Inside, Limit, Link, Policy, Probe, ProbeAuth, ProbeMethod,
    RttMargin, SecretSource, Slo, WayBack, WireGuard,
};
use crate::profile::{PROFILES, Profile};
use crate::report::{Sink, Wrong};

use super::peer::{Usual, Watch};
use super::section::Section;
use super::{
    BGP_PORT, Draft, Sketch, bad_name, bfd, carrier, check_name, ipsec, is_name, peer, secret,
    value,
};

const CARRIERS: &str = "a link is carried by exactly one of `wireguard = { … }`, `gre = { … }`, \
                        `vlan = { … }`, `ipsec = { … }` and `interface = \"eth1\"`";
/// The keys that say what carries a link.
const CARRIER_KEYS: [&str; 5] = ["wireguard", "gre", "vlan", "ipsec", "interface"];
const AUTH: &str = "auth = { key = { file = \"secrets/a.key\" } }";
/// The kernel's IFNAMSIZ without the NUL.
const INTERFACE_LENGTH: usize = 15;

/// Every link and the peers at their far ends, into the draft.
pub(crate) fn links(root: &mut Section<'_>, sink: &mut Sink<'_>, draft: &mut Draft) {
    for (name, section) in root.named(sink, "link") {
        check_name(&name, section.span(), sink);
        link(&name, section, sink, draft);
    }
}

fn link(name: &str, mut section: Section<'_>, sink: &mut Sink<'_>, draft: &mut Draft) {
    let group = section.optional(sink, "group", group_name);
    draft.used_groups.extend(group.clone());
    let priority = section.or(sink, "priority", 100, value::any_u32);
    let cost = section.optional(sink, "cost", value::dollars);
    let weight = section.or(sink, "weight", 1, |v| value::integer(v, 1..=u8::MAX));
    let drain = section.or(sink, "drain", false, value::boolean);
    let inside = inside(&mut section, sink);
    let profile = section.optional(sink, "profile", profile);
    let carried = carried(name, &mut section, (profile, inside), sink);
    let probe = probe(&mut section, sink);
    let bfd = bfd::of_link(&mut section, sink, profile);
    let watch = bfd.as_ref().map_or(Watch::NoBfd, |_| Watch::Bfd);
    let way_back = section.or(sink, "way-back", WayBack::Auto, way_back);
    let far_end = inside.map(|inside| inside.remote);
    let usual = Usual::of_link(profile, far_end, watch, way_back);
    let terms = section
        .table(sink, "bgp", "bgp = { asn = 64512 }")
        .map(|mut table| {
            let terms = peer::terms(&mut table, sink, draft, &usual);
            table.finish(sink);
            terms
        });
    section.finish(sink);
    let peer = terms
        .flatten()
        .zip(inside)
        .map(|(terms, inside)| peer::of_link(terms, name, inside));
    draft.peers.extend(peer.map(|peer| (name.to_owned(), peer)));
    let Carried {
        interface,
        port,
        carrier,
    } = carried;
    let sketch = Sketch {
        group: group.clone(),
        has_cost: cost.is_some(),
        inside,
        interface: interface.clone(),
        port,
        carrier: carrier.clone(),
        profile,
        way_back,
        probe: probe.clone(),
    };
    draft.sketches.insert(name.to_owned(), sketch);
    if let (Some(inside), Some(interface), Some(carrier)) = (inside, interface, carrier) {
        let link = Link {
            group,
            priority,
            cost,
            weight,
            drain,
            interface,
            inside,
            carrier,
            profile: profile.map(|profile| profile.name),
            probe,
            bfd,
            way_back,
        };
        draft.links.insert(name.to_owned(), link);
    }
}

pub(super) fn profile(value: &DeValue<'_>) -> Result<&'static Profile, Wrong> {
    let known: Vec<(&str, &'static Profile)> = PROFILES
        .iter()
        .map(|profile| (profile.name, *profile))
        .collect();
    value::word(value, &known)
}

fn way_back(value: &DeValue<'_>) -> Result<WayBack, Wrong> {
    let words = [
        ("auto", WayBack::Auto),
        ("off", WayBack::Off),
        ("med", WayBack::Med),
        ("prepend", WayBack::Prepend),
        ("communities", WayBack::Communities),
    ];
    value::word(value, &words)
}

fn group_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::text(value)?;
    if is_name(&name) {
        Ok(name)
    } else {
        Err(bad_name(&name))
    }
}

fn inside(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Inside> {
    let example = "inside = { local = \"169.254.21.2/30\", remote = \"169.254.21.1\" }";
    let mut table = section.required_table(sink, "inside", example)?;
    let local = table.required(
        sink,
        "local",
        "local = \"169.254.21.2/30\"",
        value::network_address,
    );
    let remote = table.required(sink, "remote", "remote = \"169.254.21.1\"", value::address);
    table.finish(sink);
    Some(Inside {
        local: local?,
        remote: remote?,
    })
}

/// What carries a link, as far as it could be read.
#[derive(Default)]
struct Carried {
    interface: Option<String>,
    port: Option<u16>,
    carrier: Option<Carrier>,
}

fn carried(
    name: &str,
    section: &mut Section<'_>,
    (profile, inside): (Option<&'static Profile>, Option<Inside>),
    sink: &mut Sink<'_>,
) -> Carried {
    let given = section.optional(sink, "interface", interface_name);
    let example = "wireguard = { private-key = …, listen = 51820, peer = { … } }";
    let (port, wireguard) = section
        .table(sink, "wireguard", example)
        .map(|table| wireguard(table, sink))
        .unzip();
    let example = "gre = { local = \"10.0.0.4\", remote = \"10.0.1.9\" }";
    let gre = section
        .table(sink, "gre", example)
        .and_then(|table| carrier::gre(table, sink));
    let vlan = section
        .table(sink, "vlan", "vlan = { parent = \"eth0\", id = 100 }")
        .and_then(|table| carrier::vlan(table, sink));
    let example = "ipsec = { remote = \"198.51.100.1\", psk = { file = \"secrets/a.psk\" } }";
    let ipsec = section
        .table(sink, "ipsec", example)
        .and_then(|table| ipsec::ipsec(name, table, profile, inside, sink));
    let keys: Vec<&str> = CARRIER_KEYS
        .into_iter()
        .filter(|key| section.has(key))
        .collect();
    let carrier = match keys.as_slice() {
        ["interface"] => {
            return Carried {
                interface: given,
                port: None,
                carrier: Some(Carrier::Interface),
            };
        }
        ["wireguard"] => wireguard.flatten().map(Carrier::WireGuard),
        ["gre"] => gre.map(Carrier::Gre),
        ["vlan"] => vlan.map(Carrier::Vlan),
        ["ipsec"] => ipsec.map(Box::new).map(Carrier::Ipsec),
        [] => {
            let wrong = Wrong::new("link.carrier", "nothing carries this link", CARRIERS);
            sink.error(section.span(), wrong);
            return Carried::default();
        }
        [_, .., last] => {
            let wrong = Wrong::new("link.carrier", "this link is carried twice", CARRIERS);
            sink.error(section.key_span(last), wrong);
            return Carried::default();
        }
        [_] => None,
    };
    Carried {
        interface: Some(default_interface(name)),
        port: port.flatten(),
        carrier,
    }
}

/// `sb-` and the link's name, cut to what the kernel takes.
fn default_interface(link: &str) -> String {
    format!("sb-{link}")
        .chars()
        .take(INTERFACE_LENGTH)
        .collect()
}

/// The kernel's rules (`dev_valid_name`), and no characters that a terminal would not show.
pub(super) fn interface_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::text(value)?;
    let fix = "write the name of an interface, such as \"eth1\"";
    let message = match () {
        () if name.len() > INTERFACE_LENGTH => {
            format!(
                "an interface name has at most {INTERFACE_LENGTH} bytes, this one {}",
                name.len()
            )
        }
        () if name == "." || name == ".." => format!("\"{name}\" cannot be an interface"),
        () => match name
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '%'))
        {
            Some(bad) => format!("an interface name has no {bad:?}"),
            None => return Ok(name),
        },
    };
    Err(Wrong::new("interface.name", message, fix))
}

/// The port by itself, and all of it if all of it could be read.
fn wireguard(mut table: Section<'_>, sink: &mut Sink<'_>) -> (Option<u16>, Option<WireGuard>) {
    let backends = [
        ("auto", Backend::Auto),
        ("kernel", Backend::Kernel),
        ("userspace", Backend::Userspace),
    ];
    if !table.has("private-key") {
        let example = "private-key = { file = \"secrets/wg.key\" }";
        table.required(sink, "private-key", example, |_| Ok(()));
    }
    let private_key = secret::source(&mut table, sink, "private-key");
    let listen = table.required(sink, "listen", "listen = 51820", |v| {
        value::integer(v, 1..=u16::MAX)
    });
    let backend = table.or(sink, "backend", Backend::Auto, |v| {
        value::word(v, &backends)
    });
    let mtu = table.or(sink, "mtu", 1420, mtu);
    let example = "peer = { public-key = \"…\", endpoint = \"host:port\" }";
    let peer = table
        .required_table(sink, "peer", example)
        .and_then(|peer| far_end(peer, sink));
    table.finish(sink);
    let whole = private_key.zip(listen).zip(peer);
    let wireguard = whole.map(|((private_key, listen), peer)| WireGuard {
        private_key,
        listen,
        backend,
        mtu,
        peer_public_key: peer.public_key,
        preshared_key: peer.preshared_key,
        endpoint: peer.endpoint,
        keepalive: peer.keepalive,
    });
    (listen, wireguard)
}

/// `peer = { … }` of WireGuard.
struct FarEnd {
    public_key: [u8; 32],
    preshared_key: Option<SecretSource>,
    endpoint: Option<Endpoint>,
    keepalive: Option<Duration>,
}

fn far_end(mut peer: Section<'_>, sink: &mut Sink<'_>) -> Option<FarEnd> {
    let public_key = peer.required(sink, "public-key", "public-key = \"…\"", value::public_key);
    let endpoint = peer.optional(sink, "endpoint", value::endpoint);
    let keepalive = peer.optional(sink, "keepalive", keepalive);
    let preshared_key = secret::source(&mut peer, sink, "preshared-key");
    peer.finish(sink);
    Some(FarEnd {
        public_key: public_key?,
        preshared_key,
        endpoint,
        keepalive,
    })
}

/// IPv6 needs 1280 (RFC 8200 §5); 9000 is as jumbo as clouds go.
pub(super) fn mtu(value: &DeValue<'_>) -> Result<u32, Wrong> {
    value::integer(value, 1280..=9000)
}

fn keepalive(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let time = value::duration(value, Duration::from_secs(1)..=Duration::from_secs(65_535))?;
    if time.subsec_nanos() == 0 {
        return Ok(time);
    }
    Err(Wrong::new(
        "value.duration",
        "a keepalive is whole seconds",
        "\"25s\" is usual",
    ))
}

fn millis(range: RangeInclusive<u64>) -> RangeInclusive<Duration> {
    Duration::from_millis(*range.start())..=Duration::from_millis(*range.end())
}

fn count(value: &DeValue<'_>) -> Result<u32, Wrong> {
    value::integer(value, 1..=1000)
}

fn probe(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Probe {
    let mut probe = Probe {
        method: ProbeMethod::Auto,
        port: BGP_PORT,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(1),
        window: Duration::from_secs(10),
        down_after: 3,
        up_after: 5,
        mtu: true,
        auth: None,
    };
    let methods = [
        ("auto", ProbeMethod::Auto),
        ("stamp", ProbeMethod::Stamp),
        ("icmp", ProbeMethod::Icmp),
        ("tcp", ProbeMethod::Tcp),
        ("bgp", ProbeMethod::Bgp),
        ("off", ProbeMethod::Off),
    ];
    let Some(mut table) = section.table(sink, "probe", "probe = { interval = \"100ms\" }") else {
        return probe;
    };
    probe.method = table.or(sink, "method", probe.method, |v| value::word(v, &methods));
    if probe.method == ProbeMethod::Tcp {
        // Each probe is a connection that somebody accepts.
        probe.interval = Duration::from_secs(1);
    } else if table.has("port") {
        let message = "only probes by `tcp` go to a port";
        let fix = "say method = \"tcp\", or leave `port` out";
        let wrong = Wrong::new("probe.port", message, fix);
        sink.error(table.key_span("port"), wrong);
    }
    let port = |v: &DeValue<'_>| value::integer(v, 1..=u16::MAX);
    probe.port = table.or(sink, "port", probe.port, port);
    probe.interval = table.or(sink, "interval", probe.interval, |v| {
        value::duration(v, millis(10..=60_000))
    });
    probe.timeout = table.or(sink, "timeout", probe.timeout, |v| {
        value::duration(v, millis(10..=60_000))
    });
    probe.window = table.or(sink, "window", probe.window, |v| {
        value::duration(v, millis(100..=3_600_000))
    });
    probe.down_after = table.or(sink, "down-after", probe.down_after, count);
    probe.up_after = table.or(sink, "up-after", probe.up_after, count);
    probe.mtu = table.or(sink, "mtu", probe.mtu, value::boolean);
    if table.has("auth") && probe.method != ProbeMethod::Stamp {
        // What else is asked would be believed without a key.
        let message = "only probes by `stamp` are authenticated";
        let fix = "say method = \"stamp\", or leave `auth` out";
        let wrong = Wrong::new("probe.auth", message, fix);
        sink.error(table.key_span("auth"), wrong);
    }
    probe.auth = table
        .table(sink, "auth", AUTH)
        .and_then(|auth| probe_auth(auth, sink));
    table.finish(sink);
    probe
}

fn probe_auth(mut table: Section<'_>, sink: &mut Sink<'_>) -> Option<ProbeAuth> {
    if !table.has("key") {
        table.missing(sink, "key", "key = { file = \"secrets/a.key\" }");
    }
    let key = secret::source(&mut table, sink, "key");
    let accept_key = secret::source(&mut table, sink, "accept-key");
    table.finish(sink);
    Some(ProbeAuth {
        key: key?,
        accept_key,
    })
}

/// A group of which nothing is said.
pub(crate) fn default_group() -> Group {
    Group {
        policy: Policy::Priority,
        slo: Slo::default(),
        hold_down: hold_down(Policy::Priority),
    }
}

/// A measured figure wavers, so it is given longer.
fn hold_down(policy: Policy) -> Duration {
    match policy {
        Policy::Priority | Policy::Cost | Policy::Balance => Duration::from_secs(5),
        Policy::Latency(_) | Policy::Loss { .. } => Duration::from_secs(30),
    }
}

/// Every `[group.NAME]`.
pub(crate) fn groups(root: &mut Section<'_>, sink: &mut Sink<'_>) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for (name, mut section) in root.named(sink, "group") {
        check_name(&name, section.span(), sink);
        let policy = policy(&mut section, sink);
        let slo = slo(&mut section, sink);
        let hold_down = section.or(sink, "hold-down", hold_down(policy), |v| {
            value::duration(v, millis(0..=86_400_000))
        });
        section.finish(sink);
        let group = Group {
            policy,
            slo,
            hold_down,
        };
        groups.insert(name, group);
    }
    groups
}

const POLICIES: [(&str, Policy); 5] = [
    ("priority", Policy::Priority),
    ("latency", Policy::Latency(RttMargin::Part(0.1))),
    ("loss", Policy::Loss { margin: 0.005 }),
    ("cost", Policy::Cost),
    ("balance", Policy::Balance),
];

/// `policy`, and the `margin` that two of them have.
fn policy(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Policy {
    let policy = section.or(sink, "policy", Policy::Priority, |v| {
        value::word(v, &POLICIES)
    });
    match policy {
        Policy::Latency(margin) => Policy::Latency(section.or(sink, "margin", margin, rtt_margin)),
        Policy::Loss { margin } => Policy::Loss {
            margin: section.or(sink, "margin", margin, value::percent),
        },
        Policy::Priority | Policy::Cost | Policy::Balance => {
            let _: Option<()> = section.optional(sink, "margin", |_| {
                let message = format!("policy `{}` has no margin", policy.name());
                let fix = "remove it, or choose `policy = \"latency\"` or `\"loss\"`";
                Err(Wrong::new("group.margin", message, fix))
            });
            policy
        }
    }
}

/// `"5ms"` or `"10%"`.
fn rtt_margin(value: &DeValue<'_>) -> Result<RttMargin, Wrong> {
    if value
        .as_str()
        .is_some_and(|text| text.trim_end().ends_with('%'))
    {
        return value::percent(value).map(RttMargin::Part);
    }
    value::duration(value, millis(0..=60_000)).map(RttMargin::Time)
}

fn slo(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Slo {
    let Some(mut table) = section.table(sink, "slo", "slo = { rtt = \"40ms\", loss = \"0.5%\" }")
    else {
        return Slo::default();
    };
    let least = Duration::from_micros(1)..=Duration::from_secs(60);
    let time = |v: &DeValue<'_>| value::duration(v, least.clone());
    let rtt = table.optional(sink, "rtt", time);
    let rtt_leave = table.optional(sink, "rtt-leave", |v| leave("rtt", rtt, time(v)?));
    let loss = table.optional(sink, "loss", value::percent);
    let loss_leave = table.optional(sink, "loss-leave", |v| {
        leave("loss", loss, value::percent(v)?)
    });
    let slo = Slo {
        rtt: rtt_leave.or(rtt.map(Limit::from)),
        loss: loss_leave.or(loss.map(Limit::from)),
        failover: table.optional(sink, "failover", |v| {
            value::duration(v, millis(1..=600_000))
        }),
    };
    table.finish(sink);
    slo
}

/// What is over `enter` until it is no more than `below`.
fn leave<T: Copy + PartialOrd>(key: &str, enter: Option<T>, below: T) -> Result<Limit<T>, Wrong> {
    let wrong = |message, fix| Wrong::new("slo.leave", message, fix);
    let Some(enter) = enter else {
        let message = format!("`{key}-leave` is of no use without `{key}`");
        let fix = format!("add `{key}`: a link over it is degraded");
        return Err(wrong(message, fix));
    };
    Limit::new(enter, below).ok_or_else(|| {
        let message = format!("a link that is degraded over `{key}` cannot be up again at more");
        let fix = format!("write no more than `{key}`, or leave it out: 80 % of `{key}`");
        wrong(message, fix)
    })
}
