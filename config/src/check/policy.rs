//! Filters: those that are missing, those that nobody uses, and those that let too much out.

use std::collections::BTreeSet;

use crate::model::{Action, Peer, PrefixPattern, Rule};
use crate::nearest::nearest;
use crate::read::Draft;
use crate::report::{Sink, Wrong};

use super::peer::path;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    unknown(draft, sink);
    unused(draft, sink);
    missing(draft, sink);
    leaks(draft, sink);
}

fn unknown(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, place) in &draft.filter_uses {
        if !draft.filters.contains_key(name) {
            let fix = match nearest(name, draft.filters.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add its rules, each after [[filter.{name}]]"),
            };
            let message = format!("no filter is named `{name}`");
            sink.error(place.clone(), Wrong::new("filter.unknown", message, fix));
        }
    }
}

fn unused(draft: &Draft, sink: &mut Sink<'_>) {
    let used: BTreeSet<&str> = draft
        .filter_uses
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in draft
        .filters
        .keys()
        .filter(|name| !used.contains(name.as_str()))
    {
        let message = format!("no peer uses filter `{name}`");
        let fix = format!("name it in a peer (`import = \"{name}\"`), or remove it");
        sink.warning(
            sink.place(&format!("filter.{name}")),
            Wrong::new("filter.unused", message, fix),
        );
    }
}

fn missing(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, peer) in &draft.peers {
        let place = sink.place(&path(name, draft, sink));
        let lacks = |key: &str, filter: &Option<String>| {
            let nothing = if key == "import" {
                "accepted from"
            } else {
                "announced to"
            };
            filter.is_none().then(|| {
                let message =
                    format!("without `{key}` nothing is {nothing} peer `{name}` (RFC 8212)");
                Wrong::new(
                    "filter.missing",
                    message,
                    format!("name a filter: `{key} = \"…\"`"),
                )
            })
        };
        for wrong in [lacks("import", &peer.import), lacks("export", &peer.export)]
            .into_iter()
            .flatten()
        {
            sink.warning(place.clone(), wrong);
        }
    }
}

/// What goes out to another AS: everything is too much, and a default route is a promise.
fn leaks(draft: &Draft, sink: &mut Sink<'_>) {
    let Some(router) = &draft.router else { return };
    let external = |peer: &&Peer| peer.asn != router.asn;
    let exports: BTreeSet<&String> = draft
        .peers
        .values()
        .filter(external)
        .filter_map(|peer| peer.export.as_ref())
        .collect();
    for name in exports {
        let rules = draft.filters.get(name).into_iter().flatten().enumerate();
        for (i, rule) in rules.filter(|(_, rule)| rule.action == Action::Accept) {
            let path = format!("filter.{name}[{i}]");
            if accepts_everything(rule) {
                sink.warning(sink.place(&path), transit(name));
            } else if let Some(pattern) = rule.prefix.iter().find(|pattern| is_default(pattern)) {
                sink.warning(
                    sink.place(&format!("{path}.prefix")),
                    default_route(name, pattern),
                );
            }
        }
    }
}

fn accepts_everything(rule: &Rule) -> bool {
    let unconditional = rule.community.is_empty()
        && rule.large_community.is_empty()
        && rule.as_path_contains.is_empty();
    let any = |p: &PrefixPattern| is_default(p) && p.max == p.net.max_prefix_len();
    unconditional && (rule.prefix.is_empty() || rule.prefix.iter().any(any))
}

fn is_default(pattern: &PrefixPattern) -> bool {
    pattern.net.prefix_len() == 0 && pattern.min == 0
}

fn transit(name: &str) -> Wrong {
    Wrong::new(
        "leak.transit",
        format!(
            "filter `{name}` announces everything we know to another AS, its other peers' routes too"
        ),
        "list what may leave: prefix = [\"10.10.0.0/16\"]",
    )
}

fn default_route(name: &str, pattern: &PrefixPattern) -> Wrong {
    Wrong::new(
        "leak.default-route",
        format!(
            "filter `{name}` lets the default route {} out to another AS",
            pattern.net
        ),
        "list the prefixes themselves, unless this router is their way to the internet",
    )
}
