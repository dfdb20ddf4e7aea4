//! Links against each other: addresses, interfaces, ports; and each link within itself.

mod carrier;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Group, Inside, Knob, Policy, Probe, ProbeMethod, WayBack};
use crate::read::value::spell;
use crate::read::{BGP_PORT, Draft, Sketch};
use crate::report::{Sink, Wrong};

use super::{overlap, pairs};

/// Fewer probes than this in a window say little about loss.
const FEW_PROBES: u128 = 10;
/// A window is kept in memory, probe by probe.
const MOST_PROBES: u128 = 32_768;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, link) in &draft.sketches {
        if let Some(both) = link.inside {
            inside(name, both, sink);
        }
        probe(name, &link.probe, sink);
        if link.probe.method == ProbeMethod::Tcp
            && link.probe.port == BGP_PORT
            && draft.peers.contains_key(name)
        {
            let place = sink.place(&format!("link.{name}.probe.method"));
            let message = "a BGP speaker takes a connection beside its session for a restart of ours, \
                           and begins the session anew (RFC 4724 §5)";
            let fix = "say method = \"bgp\", or another `port`";
            sink.error(place, Wrong::new("probe.port", message, fix));
        }
        way_back(name, link, sink);
        if link.probe.method == ProbeMethod::Bgp && !draft.peers.contains_key(name) {
            let place = sink.place(&format!("link.{name}.probe.method"));
            let message = format!("link {name} has no BGP session that could be looked at");
            let fix = "add bgp = { … }, or measure it in another way";
            sink.error(place, Wrong::new("probe.method", message, fix));
        }
    }
    let nets: Vec<(&String, IpNet)> = draft
        .sketches
        .iter()
        .filter_map(|(name, link)| Some((name, link.inside?.local)))
        .collect();
    for ((_, (first, a)), (_, (second, b))) in pairs(&nets) {
        networks(first, *a, second, *b, sink);
    }
    interfaces(draft, sink);
    ports(draft, sink);
    carrier::check(draft, sink);
    groups(draft, sink);
}

fn inside(name: &str, inside: Inside, sink: &mut Sink<'_>) {
    let Inside { local, remote } = inside;
    if let Some((message, fix)) = remote_is_wrong(local, remote) {
        let place = sink.place(&format!("link.{name}.inside.remote"));
        sink.error(place, Wrong::new("inside.remote", message, fix));
    }
    if let Some(what) = not_a_host(local, local.addr()) {
        let message = format!("{} is the {what} of {}", local.addr(), local.trunc());
        let place = sink.place(&format!("link.{name}.inside.local"));
        sink.error(
            place,
            Wrong::new("inside.local", message, "use an address between the two"),
        );
    }
}

fn remote_is_wrong(local: IpNet, remote: IpAddr) -> Option<(String, String)> {
    let network = local.trunc();
    let other = other_end(local);
    let suggest = || match other {
        Some(other) => format!("the other end of {local} is \"{other}\""),
        None => format!("use another address of {network}"),
    };
    if local.addr().is_ipv4() != remote.is_ipv4() {
        return Some((
            format!("{remote} and {} are not of one family", local.addr()),
            suggest(),
        ));
    }
    if local.addr() == remote {
        return Some((format!("both ends are {remote}"), suggest()));
    }
    if local.prefix_len() == local.max_prefix_len() {
        let length = local.max_prefix_len() - 1;
        let message = format!("{local} is a network of one address: nothing else is in it");
        return Some((message, format!("use a network of two, a /{length}")));
    }
    if !network.contains(&remote) {
        return Some((format!("{remote} is not in {network}"), suggest()));
    }
    let what = not_a_host(local, remote)?;
    Some((format!("{remote} is the {what} of {network}"), suggest()))
}

/// The first and the last address of an IPv4 network are nobody's, but for the two of a /31
/// (RFC 3021). IPv6 has no broadcast, and routers do use `::` of a /127 (RFC 6164).
fn not_a_host(network: IpNet, address: IpAddr) -> Option<&'static str> {
    if !network.addr().is_ipv4() || network.prefix_len() >= 31 {
        return None;
    }
    if address == network.network() {
        return Some("network address");
    }
    (address == network.broadcast()).then_some("broadcast address")
}

/// The only other host, where there is one.
fn other_end(local: IpNet) -> Option<IpAddr> {
    let mut hosts = local.trunc().hosts().filter(|host| *host != local.addr());
    hosts.next().filter(|_| hosts.next().is_none())
}

fn probe(name: &str, probe: &Probe, sink: &mut Sink<'_>) {
    if probe.method == ProbeMethod::Off {
        return;
    }
    let place = sink.place(&format!("link.{name}.probe.window"));
    let count = probe.window.as_nanos() / probe.interval.as_nanos().max(1);
    let (window, interval) = (spell(probe.window), spell(probe.interval));
    if count > MOST_PROBES {
        let message = format!("a window of {window} holds {count} probes of {interval}");
        let wrong = Wrong::new(
            "probe.window",
            message,
            "shorten the window, or probe less often",
        );
        sink.error(place, wrong);
    } else if count < FEW_PROBES {
        let message = format!("only {count} probes fit into a window of {window}");
        let fix = format!("make `window` at least {}", spell(probe.interval * 10));
        sink.warning(place, Wrong::new("probe.window", message, fix));
    }
    if probe.timeout > probe.window {
        let message = format!(
            "a probe may take {}, longer than the window",
            spell(probe.timeout)
        );
        let fix = format!("make `timeout` at most {window}");
        let place = sink.place(&format!("link.{name}.probe.timeout"));
        sink.error(place, Wrong::new("probe.timeout", message, fix));
    }
}

/// Words that nobody at the far end listens to.
fn way_back(name: &str, link: &Sketch, sink: &mut Sink<'_>) {
    let honoured = link.profile.map(|profile| profile.bgp.honours);
    let knows = |is: fn(&Knob) -> bool| honoured.is_none_or(|knobs| knobs.iter().any(is));
    let service = link
        .profile
        .map_or("a far end without `profile`", |profile| profile.name);
    let place = sink.place(&format!("link.{name}.way-back"));
    let is_heard = match link.way_back {
        WayBack::Auto | WayBack::Off => return,
        WayBack::Med => knows(|knob| *knob == Knob::Med),
        WayBack::Prepend => knows(|knob| *knob == Knob::Prepend),
        WayBack::Communities => {
            let is_communities = |knob: &Knob| matches!(knob, Knob::Communities(_));
            if !honoured.is_some_and(|knobs| knobs.iter().any(is_communities)) {
                let message = format!("{service} has no communities for this");
                let fix = "write \"auto\", or set communities in the export filter";
                sink.error(place, Wrong::new("way-back.communities", message, fix));
                return;
            }
            true
        }
    };
    let (message, fix) = if link.group.is_none() {
        let message = "a link without `group` is the only one: there is nothing to say".to_owned();
        (
            message,
            "leave it out, or name the group of links to this site",
        )
    } else if !is_heard {
        let message = format!("nothing says that {service} honours this");
        (message, "write \"auto\": it says what is honoured")
    } else {
        return;
    };
    sink.warning(place, Wrong::new("way-back.unheard", message, fix));
}

fn networks(first: &str, a: IpNet, second: &str, b: IpNet, sink: &mut Sink<'_>) {
    if is_link_local(a) || !overlap(&a, &b) {
        return;
    }
    let (a, b) = (a.trunc(), b.trunc());
    let message = match a == b {
        true => format!("link `{first}` is in {a} already"),
        false => format!("{b} overlaps with {a} of link `{first}`"),
    };
    let wrong = Wrong::new(
        "cidr.overlap",
        message,
        "give each link a network of its own",
    );
    sink.error(sink.place(&format!("link.{second}.inside.local")), wrong);
}

/// `fe80::/10` is everywhere: the interface tells them apart.
fn is_link_local(net: IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

fn interfaces(draft: &Draft, sink: &mut Sink<'_>) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, link) in &draft.sketches {
        let Some(interface) = &link.interface else {
            continue;
        };
        let Some(first) = taken.insert(interface, name) else {
            continue;
        };
        let message = format!("link `{first}` has the interface {interface} already");
        let given = format!("link.{name}.interface");
        let fix = if sink.knows(&given) {
            "give each link an interface of its own"
        } else {
            "an interface is named after the first 12 letters of its link: rename one"
        };
        sink.error(
            sink.place(&given),
            Wrong::new("interface.taken", message, fix),
        );
    }
}

fn ports(draft: &Draft, sink: &mut Sink<'_>) {
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (name, link) in &draft.sketches {
        let Some(port) = link.port else {
            continue;
        };
        if let Some(first) = taken.insert(port, name) {
            let message = format!("link `{first}` listens on UDP port {port} already");
            let wrong = Wrong::new("listen.taken", message, "give each link a port of its own");
            sink.error(sink.place(&format!("link.{name}.wireguard.listen")), wrong);
        }
    }
}

fn groups(draft: &Draft, sink: &mut Sink<'_>) {
    for name in draft
        .groups
        .keys()
        .filter(|name| !draft.used_groups.contains(*name))
    {
        let message = format!("no link is in group `{name}`");
        let fix = format!("add `group = \"{name}\"` to its links, or remove it");
        sink.warning(
            sink.place(&format!("group.{name}")),
            Wrong::new("group.unused", message, fix),
        );
    }
    for (name, link) in &draft.sketches {
        let group = link
            .group
            .as_ref()
            .and_then(|group| Some((group, draft.groups.get(group)?)));
        if let Some((group, intent)) = group {
            judged((name, link), (group, intent), sink);
        }
        let Some((group, rtt)) =
            group.and_then(|(name, group)| Some((name, group.slo.rtt?.enter())))
        else {
            continue;
        };
        if link.probe.method != ProbeMethod::Off && rtt >= link.probe.timeout {
            let message = format!(
                "link `{name}` calls an answer lost after {}: it can never exceed {}",
                spell(link.probe.timeout),
                spell(rtt)
            );
            let wrong = Wrong::new(
                "slo.rtt",
                message,
                "lower this, or raise the probe's `timeout`",
            );
            sink.warning(sink.place(&format!("group.{group}.slo.rtt")), wrong);
        }
    }
}

/// What the policy of its group asks of a link.
fn judged(
    (name, link): (&String, &Sketch),
    (group, intent): (&String, &Group),
    sink: &mut Sink<'_>,
) {
    let policy = intent.policy.name();
    match intent.policy {
        Policy::Cost if !link.has_cost => {
            let message = format!("group `{group}` chooses by cost, and `{name}` has none");
            let fix = "add what a gigabyte sent over it costs, in dollars: `cost = 0.02`";
            let wrong = Wrong::new("group.cost", message, fix);
            sink.error(sink.place(&format!("link.{name}")), wrong);
        }
        Policy::Latency(_) | Policy::Loss { .. } if link.probe.method == ProbeMethod::Off => {
            let message =
                format!("group `{group}` chooses by {policy}, and `{name}` is not measured");
            let fix = "let it be probed, or choose another policy";
            let wrong = Wrong::new("group.unmeasured", message, fix);
            sink.warning(sink.place(&format!("link.{name}.probe.method")), wrong);
        }
        Policy::Priority
        | Policy::Latency(_)
        | Policy::Loss { .. }
        | Policy::Cost
        | Policy::Balance => {}
    }
}
