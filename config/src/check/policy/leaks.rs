//! What goes out to another AS: everything is too much, and a default route is a promise.

use std::collections::BTreeSet;

use crate::model::{Action, Conditions, Family, Peer, PrefixPattern, Rule};
use crate::read::Draft;
use crate::report::{Sink, Wrong};

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    let Some(router) = &draft.router else { return };
    let external = |peer: &&Peer| peer.asn != router.asn;
    let exports = draft
        .peers
        .values()
        .filter(external)
        .filter_map(|peer| peer.export.as_deref());
    let exports: BTreeSet<&str> = exports.collect();
    // What a rule with conditions calls lets through what those let through.
    let free = freely_called(draft, &exports);
    for name in super::reached(draft, exports.iter().copied()) {
        let rules = draft.filters.get(name).into_iter().flatten().enumerate();
        for (i, rule) in rules.filter(|(_, rule)| rule.action == Action::Accept) {
            let path = format!("filter.{name}[{i}]");
            if accepts_everything(rule, draft) {
                if free.contains(name) {
                    sink.warning(sink.place(&path), transit(name));
                }
            } else if let Some(pattern) = patterns(&rule.conditions, draft).find(|p| is_default(p))
            {
                let key = if rule.conditions.prefix.is_empty() {
                    "prefix-list"
                } else {
                    "prefix"
                };
                sink.warning(
                    sink.place(&format!("{path}.{key}")),
                    default_route(name, pattern),
                );
            }
        }
    }
}

/// Those filters, and what they call without asking anything first.
fn freely_called<'d>(draft: &'d Draft, from: &BTreeSet<&'d str>) -> BTreeSet<&'d str> {
    let mut left: Vec<&str> = from.iter().copied().collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = left.pop() {
        if reached.insert(name) {
            let rules = draft.filters.get(name).into_iter().flatten();
            let free = rules.filter(|rule| accepts_everything(rule, draft));
            left.extend(free.filter_map(Rule::called));
        }
    }
    reached
}

/// The prefixes that a rule asks for, those of its lists included.
pub(super) fn patterns<'d>(
    conditions: &'d Conditions,
    draft: &'d Draft,
) -> impl Iterator<Item = &'d PrefixPattern> {
    let lists = conditions.prefix_list.iter();
    let listed = lists
        .filter_map(|name| draft.prefix_lists.get(name))
        .flatten();
    conditions.prefix.iter().chain(listed)
}

/// Nothing is asked but a prefix, and every prefix of a family has it.
pub(super) fn accepts_everything(rule: &Rule, draft: &Draft) -> bool {
    let Conditions {
        prefix,
        prefix_list,
        ..
    } = &rule.conditions;
    let rest = Conditions {
        prefix: Vec::new(),
        prefix_list: Vec::new(),
        ..rule.conditions.clone()
    };
    let any = |p: &PrefixPattern| is_default(p) && p.max == p.net.max_prefix_len();
    let listed = || {
        let lists = prefix_list
            .iter()
            .filter_map(|name| draft.prefix_lists.get(name));
        lists.flatten().any(any)
    };
    rest.is_empty()
        && rule.unless.is_none()
        && (prefix.is_empty() || prefix.iter().any(any))
        && (prefix_list.is_empty() || listed())
}

/// Whether no IPv6 prefix matches.
pub(super) fn is_ipv4_only(rule: &Rule, draft: &Draft) -> bool {
    let is_v4 = |pattern: &PrefixPattern| pattern.net.addr().is_ipv4();
    let Conditions {
        family,
        prefix,
        prefix_list,
        ..
    } = &rule.conditions;
    let mut listed = prefix_list
        .iter()
        .filter_map(|name| draft.prefix_lists.get(name))
        .flatten();
    *family == Some(Family::Ipv4)
        || (!prefix.is_empty() && prefix.iter().all(is_v4))
        || (!prefix_list.is_empty() && listed.all(is_v4))
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
