//! Filters: those that are missing, those that nobody uses, and those that cannot do what they say.

mod calls;
mod leaks;
mod reach;

use std::collections::BTreeSet;

use crate::model::{Nexthop, Rule};
use crate::nearest::nearest;
use crate::read::Draft;
use crate::report::{Sink, Wrong};

use super::peer::path;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    unknown(draft, sink);
    unused(draft, sink);
    missing(draft, sink);
    calls::check(draft, sink);
    leaks::check(draft, sink);
    reach::check(draft, sink);
    nexthops(draft, sink);
}

/// A rule and where it stands.
struct Placed<'d> {
    filter: &'d str,
    path: String,
    rule: &'d Rule,
}

/// Every rule of every filter.
fn rules(draft: &Draft) -> impl Iterator<Item = Placed<'_>> {
    draft.filters.iter().flat_map(|(filter, rules)| {
        rules.iter().enumerate().map(move |(i, rule)| Placed {
            filter,
            path: format!("filter.{filter}[{i}]"),
            rule,
        })
    })
}

fn unknown(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, place) in &draft.filter_uses {
        if !draft.filters.contains_key(name) {
            sink.error(place.clone(), unknown_filter(name, draft));
        }
    }
    for Placed { path, rule, .. } in rules(draft) {
        if let Some(name) = rule
            .called()
            .filter(|name| !draft.filters.contains_key(*name))
        {
            sink.error(
                sink.place(&format!("{path}.call")),
                unknown_filter(name, draft),
            );
        }
        let unless = rule.unless.as_ref().map(|unless| &unless.prefix_list);
        for (path, lists) in [
            (
                format!("{path}.prefix-list"),
                Some(&rule.conditions.prefix_list),
            ),
            (format!("{path}.unless.prefix-list"), unless),
        ] {
            for (i, name) in lists.into_iter().flatten().enumerate() {
                if !draft.prefix_lists.contains_key(name) {
                    let wrong = unknown_list(name, draft);
                    sink.error(sink.place(&format!("{path}[{i}]")), wrong);
                }
            }
        }
    }
}

fn unknown_filter(name: &str, draft: &Draft) -> Wrong {
    let fix = match nearest(name, draft.filters.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add its rules, each after [[filter.{name}]]"),
    };
    let message = format!("no filter is named `{name}`");
    Wrong::new("filter.unknown", message, fix)
}

fn unknown_list(name: &str, draft: &Draft) -> Wrong {
    let fix = match nearest(name, draft.prefix_lists.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add [prefix-list.{name}] with its prefixes"),
    };
    let message = format!("no prefix list is named `{name}`");
    Wrong::new("prefix-list.unknown", message, fix)
}

/// Those filters, and all that they call.
fn reached<'d>(draft: &'d Draft, from: impl IntoIterator<Item = &'d str>) -> BTreeSet<&'d str> {
    let mut left: Vec<&str> = from.into_iter().collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = left.pop() {
        if reached.insert(name) {
            let rules = draft.filters.get(name).into_iter().flatten();
            left.extend(rules.filter_map(Rule::called));
        }
    }
    reached
}

fn unused(draft: &Draft, sink: &mut Sink<'_>) {
    let used = reached(
        draft,
        draft.filter_uses.iter().map(|(name, _)| name.as_str()),
    );
    for name in draft
        .filters
        .keys()
        .filter(|name| !used.contains(name.as_str()))
    {
        let message = format!("no peer uses filter `{name}`");
        let fix = format!("name it in a peer (`import = \"{name}\"`), call it, or remove it");
        sink.warning(
            sink.place(&format!("filter.{name}")),
            Wrong::new("filter.unused", message, fix),
        );
    }
    let named: BTreeSet<&String> = rules(draft)
        .flat_map(|placed| placed.rule.prefix_lists())
        .collect();
    for name in draft
        .prefix_lists
        .keys()
        .filter(|name| !named.contains(name))
    {
        let message = format!("no filter names prefix list `{name}`");
        let fix = format!("name it in a rule (`prefix-list = \"{name}\"`), or remove it");
        sink.warning(
            sink.place(&format!("prefix-list.{name}")),
            Wrong::new("prefix-list.unused", message, fix),
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

/// A nexthop has to be one that the paths can have.
fn nexthops(draft: &Draft, sink: &mut Sink<'_>) {
    let imports = draft
        .peers
        .values()
        .filter_map(|peer| peer.import.as_deref());
    let imported = reached(draft, imports);
    for Placed { filter, path, rule } in rules(draft) {
        let wrong = match rule.set.nexthop {
            Some(Nexthop::Address(address))
                if address.is_ipv4() && !leaks::is_ipv4_only(rule, draft) =>
            {
                Wrong::new(
                    "filter.nexthop",
                    format!("an IPv6 prefix cannot have the nexthop {address}"),
                    "add family = \"ipv4\" to the rule",
                )
            }
            Some(Nexthop::Ourselves | Nexthop::Unchanged) if imported.contains(filter) => {
                Wrong::new(
                    "filter.nexthop",
                    format!(
                        "filter `{filter}` is used for import: the nexthop is what the peer says"
                    ),
                    "set an address, or use another filter for import",
                )
            }
            Some(_) | None => continue,
        };
        sink.error(sink.place(&format!("{path}.set.nexthop")), wrong);
    }
}
