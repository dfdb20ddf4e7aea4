//! `[[filter.NAME]]`.

use std::collections::BTreeMap;

use crate::model::{Action, Rule, Set};
use crate::report::{Sink, Wrong};

use super::section::Section;
use super::{check_name, value};

/// Every filter, with the rules that could be read.
pub(crate) fn filters(root: &mut Section<'_>, sink: &mut Sink<'_>) -> BTreeMap<String, Vec<Rule>> {
    let mut filters = BTreeMap::new();
    for (name, span, sections) in root.named_lists(sink, "filter") {
        check_name(&name, span, sink);
        let rules = sections
            .into_iter()
            .filter_map(|section| rule(section, sink))
            .collect();
        filters.insert(name, rules);
    }
    filters
}

fn rule(mut section: Section<'_>, sink: &mut Sink<'_>) -> Option<Rule> {
    let example = "[\"10.1.0.0/16 le 24\"]";
    let actions = [("accept", Action::Accept), ("reject", Action::Reject)];
    let prefix = section.list(sink, "prefix", example, value::prefix_pattern);
    let community = section.list(sink, "community", "[\"65010:100\"]", value::community);
    let large_community = section.list(
        sink,
        "large-community",
        "[\"65010:1:2\"]",
        value::large_community,
    );
    let as_path_contains = section.list(sink, "as-path-contains", "[64512]", value::any_u32);
    let action = section.required(sink, "action", "action = \"accept\" or \"reject\"", |v| {
        value::word(v, &actions)
    });
    let set = set(&mut section, sink);
    reject_empty_conditions(&section, sink);
    if action == Some(Action::Reject) && section.has("set") {
        sink.error(
            section.key_span("set"),
            Wrong::new(
                "filter.set",
                "a path that is rejected keeps no attributes",
                "remove `set`, or accept",
            ),
        );
    }
    section.finish(sink);
    Some(Rule {
        prefix,
        community,
        large_community,
        as_path_contains,
        action: action?,
        set,
    })
}

/// An empty list reads like "none" and would mean "any".
fn reject_empty_conditions(section: &Section<'_>, sink: &mut Sink<'_>) {
    for key in ["prefix", "community", "large-community", "as-path-contains"] {
        if section.is_empty_list(key) {
            let wrong = Wrong::new(
                "filter.empty",
                format!("an empty `{key}` matches everything"),
                "leave it out if that is meant, or list what shall match",
            );
            sink.error(section.key_span(key), wrong);
        }
    }
}

fn set(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Set {
    let Some(mut table) = section.table(sink, "set", "set = { local-pref = 200 }") else {
        return Set::default();
    };
    let set = Set {
        local_pref: table.optional(sink, "local-pref", value::any_u32),
        med: table.optional(sink, "med", value::any_u32),
        prepend: table.or(sink, "prepend", 0, |v| value::integer(v, 0..=16)),
        add_community: table.list(sink, "add-community", "[\"65010:100\"]", value::community),
        delete_community: table.list(
            sink,
            "delete-community",
            "[\"65010:100\"]",
            value::community,
        ),
        add_large_community: table.list(
            sink,
            "add-large-community",
            "[\"65010:1:2\"]",
            value::large_community,
        ),
    };
    table.finish(sink);
    set
}
