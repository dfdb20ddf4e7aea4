//! The terms and tables of a pair in FRR's words.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::held::{hold_all, number, text, texts};
use super::{Announced, Family, Held, Paths, Terms};
use crate::lab::gateway::Frr;

pub(super) fn config(terms: &Terms) -> String {
    let (peer, asn) = (terms.ours(), terms.their_asn);
    let mut config = String::from("hostname other\n");
    for route in &terms.announced {
        config.push_str(&route_map(route).join("\n"));
        config.push('\n');
    }
    let session = [
        &format!("bgp router-id {}", terms.router_id()),
        "no bgp ebgp-requires-policy",
        "no bgp network import-check",
        "no bgp default ipv4-unicast",
        "coalesce-time 0",
        &format!("neighbor {peer} remote-as {}", terms.our_asn),
        &format!(
            "neighbor {peer} timers {} {}",
            terms.hold_secs / 3,
            terms.hold_secs
        ),
        &format!("neighbor {peer} timers connect 1"),
        &format!("neighbor {peer} advertisement-interval 0"),
        &terms.session_words,
    ]
    .join("\n ");
    let _ = writeln!(config, "router bgp {asn}\n {session}");
    for family in Family::ALL {
        let networks = terms
            .announced
            .iter()
            .filter(|route| Family::of(&route.prefix) == family);
        let networks: Vec<String> = networks.map(network).collect();
        let _ = writeln!(
            config,
            " address-family {family} unicast\n  neighbor {peer} activate\n  {}\n  {}\n exit-address-family",
            terms.family_words,
            networks.join("\n  "),
        );
    }
    config + &terms.program_words
}

/// Every route has a route map of its own, called as the prefix.
fn route_map(route: &Announced) -> Vec<String> {
    let mut lines = vec![format!("route-map {} permit 10", route.prefix)];
    lines.extend(route.med.map(|med| format!(" set metric {med}")));
    lines.extend(
        route
            .local_pref
            .map(|value| format!(" set local-preference {value}")),
    );
    if !route.communities.is_empty() {
        let list = route.communities.iter().map(|(a, b)| format!("{a}:{b}"));
        lines.push(format!(
            " set community {}",
            list.collect::<Vec<_>>().join(" ")
        ));
    }
    if !route.as_path.is_empty() {
        let list = route.as_path.iter().map(u32::to_string);
        lines.push(format!(
            " set as-path prepend {}",
            list.collect::<Vec<_>>().join(" ")
        ));
    }
    if let Some(mbit) = route.bandwidth_mbit {
        lines.push(format!(" set extcommunity bandwidth {mbit}"));
    }
    // No line of FRR is longer than 4096 octets, so many come in several steps.
    for (step, part) in route.large_communities.chunks(100).enumerate() {
        let list = part.iter().map(|(a, b, c)| format!("{a}:{b}:{c}"));
        lines.push(" on-match next".to_owned());
        lines.push("exit".to_owned());
        lines.push(format!("route-map {} permit {}", route.prefix, step + 11));
        lines.push(format!(
            " set large-community {} additive",
            list.collect::<Vec<_>>().join(" ")
        ));
    }
    lines.push("exit".to_owned());
    lines
}

fn network(route: &Announced) -> String {
    format!("network {0} route-map {0}", route.prefix)
}

fn in_family(route: &Announced, words: String) -> [String; 3] {
    let family = Family::of(&route.prefix);
    [
        format!("address-family {family} unicast"),
        words,
        "exit-address-family".to_owned(),
    ]
}

/// Brings what FRR announces from `old` to what the terms say.
pub(super) fn change(frr: &Frr, old: &[Announced], terms: &Terms) -> Result<()> {
    let mut lines = vec!["configure terminal".to_owned()];
    let router = format!("router bgp {}", terms.their_asn);
    let gone = || old.iter().filter(|it| !terms.announced.contains(it));
    let new = || terms.announced.iter().filter(|it| !old.contains(it));
    lines.push(router.clone());
    lines.extend(gone().flat_map(|it| in_family(it, format!("no {}", network(it)))));
    // After the network that uses it, or bgpd may end. One that is entered again keeps what it had.
    lines.extend(gone().map(|it| format!("no route-map {}", it.prefix)));
    lines.extend(new().flat_map(route_map));
    lines.push(router);
    lines.extend(new().flat_map(|it| in_family(it, network(it))));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    frr.vtysh(&lines).map(drop)
}

pub(super) fn received(frr: &Frr, family: Family, terms: &Terms) -> Result<Paths> {
    let said = frr.vtysh(&[&format!("show bgp {family} unicast json detail")])?;
    let told: Value = serde_json::from_str(&said).context("FRR's JSON")?;
    let routes = told["routes"].as_object().context("FRR's routes")?;
    let router = terms.ours().to_string();
    let mut table = Paths::new();
    for (prefix, route) in routes {
        // A list of paths, or an object with one, depending on the release.
        let paths = route.as_array().or(route["paths"].as_array());
        let paths = paths.into_iter().flatten();
        let paths = paths.filter(|path| text(&path["peer"]["peerId"]) == router);
        hold_all(&mut table, prefix, paths.map(held));
    }
    Ok(table)
}

fn held(path: &Value) -> Held {
    let mut nexthops = path["nexthops"].as_array().into_iter().flatten();
    let global = nexthops.find(|nexthop| nexthop["scope"] != "link-local");
    Held {
        nexthop: global
            .map(|nexthop| text(&nexthop["ip"]))
            .unwrap_or_default(),
        as_path: match text(&path["aspath"]["string"]).as_str() {
            "Local" => String::new(),
            path => path.to_owned(),
        },
        origin: text(&path["origin"]).to_lowercase(),
        med: number(&path["metric"]),
        local_pref: number(&path["locPrf"]),
        communities: texts(&path["community"]["list"]),
        large_communities: texts(&path["largeCommunity"]["list"]),
    }
}
