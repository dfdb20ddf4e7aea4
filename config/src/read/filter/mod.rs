//! `[[filter.NAME]]` and `[prefix-list.NAME]`.

pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use crate::model::{Action, Conditions, PrefixPattern, Prepend, Prepended, Rule, Set};
use crate::report::{Sink, Wrong};

use super::section::Section;
use super::value::{asn, integer, text, word};
use super::{check_name, is_name};

const EMPTY: &str = "filter.empty";
const PREFIXES: &str = "[\"10.1.0.0/16 le 24\"]";

/// Every filter, with its rules in the order and number of the file.
pub(super) fn filters(root: &mut Section<'_>, sink: &mut Sink<'_>) -> BTreeMap<String, Vec<Rule>> {
    let mut filters = BTreeMap::new();
    for (name, span, sections) in root.named_lists(sink, "filter") {
        check_name(&name, span, sink);
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        for section in sections {
            let span = section.key_span("name");
            let rule = rule(section, sink);
            if let Some(name) = &rule.name
                && !names.insert(name.clone())
            {
                sink.error(span, taken(name));
            }
            rules.push(rule);
        }
        filters.insert(name, rules);
    }
    filters
}

fn taken(name: &str) -> Wrong {
    Wrong::new(
        "filter.name",
        format!("another rule of this filter is named `{name}`"),
        "call one of them differently, or give it no name",
    )
}

/// Every prefix list.
pub(super) fn prefix_lists(
    root: &mut Section<'_>,
    sink: &mut Sink<'_>,
) -> BTreeMap<String, Vec<PrefixPattern>> {
    let mut lists = BTreeMap::new();
    for (name, mut section) in root.named(sink, "prefix-list") {
        check_name(&name, section.span(), sink);
        if !section.has("prefixes") {
            section.missing(sink, "prefixes", &format!("prefixes = {PREFIXES}"));
        }
        let prefixes = section.list(sink, "prefixes", PREFIXES, value::prefix_pattern);
        if section.is_empty_list("prefixes") {
            let wrong = Wrong::new(EMPTY, "an empty list matches nothing", "list a prefix");
            sink.error(section.key_span("prefixes"), wrong);
        }
        section.finish(sink);
        lists.insert(name, prefixes);
    }
    lists
}

fn rule(mut section: Section<'_>, sink: &mut Sink<'_>) -> Rule {
    let name = section.optional(sink, "name", rule_name);
    let conditions = conditions(&mut section, sink);
    let unless = unless(&mut section, sink);
    let action = action(&mut section, sink);
    let set = set(&mut section, sink);
    without_effect(&section, sink, action.as_ref(), &set);
    section.finish(sink);
    Rule {
        name,
        conditions,
        unless,
        // What could not be read is reported, and decides nothing in what is checked next.
        action: action.unwrap_or(Action::Next),
        set,
    }
}

fn rule_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = text(value)?;
    if is_name(&name) {
        return Ok(name);
    }
    Err(super::bad_name(&name))
}

fn action(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Action> {
    let actions = [
        ("accept", Accepted::Yes),
        ("reject", Accepted::No),
        ("next", Accepted::Later),
    ];
    if section.has("call") {
        let call = section.optional(sink, "call", text);
        if section
            .optional(sink, "action", |v| word(v, &actions))
            .is_some()
        {
            let wrong = Wrong::new(
                "filter.action",
                "a rule decides, or calls another filter",
                "keep `action` or `call`; two rules can do both",
            );
            sink.error(section.key_span("call"), wrong);
        }
        return call.map(Action::Call);
    }
    let example = "action = \"accept\", \"reject\" or \"next\", or call = \"NAME\"";
    let word = section.required(sink, "action", example, |v| word(v, &actions))?;
    Some(match word {
        Accepted::Later => Action::Next,
        Accepted::No => Action::Reject,
        Accepted::Yes => Action::Accept,
    })
}

#[derive(Clone, Copy)]
enum Accepted {
    Later,
    No,
    Yes,
}

/// A rule that says more than it does was meant to do something else.
fn without_effect(section: &Section<'_>, sink: &mut Sink<'_>, action: Option<&Action>, set: &Set) {
    match action {
        Some(Action::Reject) if section.has("set") => {
            let wrong = Wrong::new(
                "filter.set",
                "a path that is rejected keeps no attributes",
                "remove `set`, or accept",
            );
            sink.error(section.key_span("set"), wrong);
        }
        Some(Action::Next) if set.is_empty() && !section.has("set") => {
            let wrong = Wrong::new(
                "filter.set",
                "this rule goes on and sets nothing: it has no effect",
                "say what it sets, or remove it",
            );
            sink.warning(section.key_span("action"), wrong);
        }
        Some(Action::Accept | Action::Call(_) | Action::Next | Action::Reject) | None => {}
    }
}

fn unless(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Conditions> {
    let span = section.key_span("unless");
    let mut table = section.table(sink, "unless", "unless = { community = [\"no-export\"] }")?;
    let found = sink.count();
    let unless = conditions(&mut table, sink);
    table.finish(sink);
    if unless.is_empty() && sink.count() == found {
        let wrong = Wrong::new(
            EMPTY,
            "an empty `unless` holds always, so the rule never does",
            "leave it out, or say when the rule shall not match",
        );
        sink.error(span, wrong);
    }
    Some(unless)
}

fn conditions(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Conditions {
    let families = value::FAMILIES;
    let origins = value::ORIGINS;
    let conditions = Conditions {
        family: section.optional(sink, "family", |v| word(v, &families)),
        prefix: section.one_or_list(sink, "prefix", value::prefix_pattern),
        prefix_list: section.one_or_list(sink, "prefix-list", text),
        as_path: section.one_or_list(sink, "as-path", value::regex),
        as_path_contains: section.one_or_list(sink, "as-path-contains", value::asns),
        as_path_length: section.optional(sink, "as-path-length", value::comparison),
        origin_as: section.one_or_list(sink, "origin-as", value::asns),
        neighbor_as: section.one_or_list(sink, "neighbor-as", value::asns),
        community: section.one_or_list(sink, "community", value::community_pattern),
        community_all: section.one_or_list(sink, "community-all", value::community_pattern),
        ext_community: section.one_or_list(sink, "ext-community", value::ext_pattern),
        ext_community_all: section.one_or_list(sink, "ext-community-all", value::ext_pattern),
        large_community: section.one_or_list(sink, "large-community", value::large_pattern),
        large_community_all: section.one_or_list(sink, "large-community-all", value::large_pattern),
        nexthop: section.one_or_list(sink, "nexthop", super::value::prefix),
        origin: section.one_or_list(sink, "origin", |v| word(v, &origins)),
        med: section.optional(sink, "med", value::med_match),
        local_pref: section.optional(sink, "local-pref", value::comparison),
    };
    reject_empty_conditions(section, sink);
    conditions
}

/// An empty list reads like "none" and would mean "any".
fn reject_empty_conditions(section: &Section<'_>, sink: &mut Sink<'_>) {
    for key in section.empty_lists() {
        let wrong = Wrong::new(
            EMPTY,
            format!("an empty `{key}` matches everything"),
            "leave it out if that is meant, or list what shall match",
        );
        sink.error(section.key_span(key), wrong);
    }
}

fn set(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Set {
    let Some(mut table) = section.table(sink, "set", "set = { local-pref = 200 }") else {
        return Set::default();
    };
    let origins = value::ORIGINS;
    let set = Set {
        local_pref: table.optional(sink, "local-pref", value::number),
        med: table.optional(sink, "med", value::med_change),
        origin: table.optional(sink, "origin", |v| word(v, &origins)),
        nexthop: table.optional(sink, "nexthop", value::nexthop),
        prepend: prepend(&mut table, sink),
        community: replaced(&mut table, sink, "community", value::community),
        add_community: table.one_or_list(sink, "add-community", value::community),
        delete_community: table.one_or_list(sink, "delete-community", value::community_pattern),
        ext_community: replaced(&mut table, sink, "ext-community", value::ext_community),
        add_ext_community: table.one_or_list(sink, "add-ext-community", value::ext_community),
        delete_ext_community: table.one_or_list(sink, "delete-ext-community", value::ext_pattern),
        large_community: replaced(&mut table, sink, "large-community", value::large_community),
        add_large_community: table.one_or_list(sink, "add-large-community", value::large_community),
        delete_large_community: table.one_or_list(
            sink,
            "delete-large-community",
            value::large_pattern,
        ),
        bandwidth: table.optional(sink, "bandwidth", value::bandwidth),
    };
    for (kind, add, delete) in [
        ("community", "add-community", "delete-community"),
        ("ext-community", "add-ext-community", "delete-ext-community"),
        (
            "large-community",
            "add-large-community",
            "delete-large-community",
        ),
    ] {
        let other = [add, delete].into_iter().find(|key| table.has(key));
        if let Some(other) = other.filter(|_| table.has(kind)) {
            sink.error(table.key_span(other), replaced_already(kind, other));
        }
    }
    table.finish(sink);
    set
}

fn replaced_already(kind: &str, other: &str) -> Wrong {
    Wrong::new(
        "filter.set",
        format!("`{kind}` replaces all of them, so `{other}` has nothing to do"),
        format!("keep `{kind}` or `{other}`"),
    )
}

/// A list in place of what is there: an empty one takes all away.
fn replaced<T>(
    table: &mut Section<'_>,
    sink: &mut Sink<'_>,
    key: &'static str,
    read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    let list = table.one_or_list(sink, key, read);
    table.has(key).then_some(list)
}

/// `prepend = 2`, or a table.
fn prepend(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Prepend> {
    let times = |v: &DeValue<'_>| integer(v, 1..=16);
    if section.kind_of("prepend") != Some("a table") {
        let times = section.optional(sink, "prepend", times)?;
        let who = Prepended::Own;
        return Some(Prepend { who, times });
    }
    let example = "prepend = { as = \"last-as\", times = 2 }";
    let mut table = section.table(sink, "prepend", example)?;
    let who = table.required(
        sink,
        "as",
        "as = \"own\", \"last-as\" or a number",
        prepended,
    );
    let times = table.or(sink, "times", 1, times);
    table.finish(sink);
    Some(Prepend { who: who?, times })
}

fn prepended(value: &DeValue<'_>) -> Result<Prepended, Wrong> {
    match value {
        DeValue::String(_) => word(
            value,
            &[("last-as", Prepended::LastAs), ("own", Prepended::Own)],
        ),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => asn(value).map(Prepended::Asn),
    }
}
