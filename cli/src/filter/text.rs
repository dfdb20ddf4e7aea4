//! A trial as people read it.

use bgp::filter::{Condition, Verdict};
use config::model::Action;
use policy::RuleAt;

use crate::show::{Screen, Tone};

use super::attrs::{Row, Value, rows};
use super::{Trial, key_of};

pub(super) fn trial(trial: &Trial<'_>, screen: &Screen) -> String {
    let mut text = format!("{}{}\n", trial.prefix, described(trial));
    let width = trial.asked.iter().map(|(rule, _)| label(rule).len()).max();
    for (rule, failed) in &trial.asked {
        let label = label(rule);
        let width = width.unwrap_or_default();
        text.push_str(&format!("  {label:width$}  {}\n", happened(rule, *failed)));
    }
    let by = match trial.decided_by() {
        Some(rule) => format!("by rule {} of {}", rule.index + 1, rule.filter),
        None => "because no rule decides".to_owned(),
    };
    match &trial.verdict {
        Verdict::Reject => {
            text.push_str(&format!("{} {by}\n", screen.paint(Tone::Bad, "rejected")))
        }
        Verdict::Accept(after) => {
            text.push_str(&format!("{} {by}\n", screen.paint(Tone::Good, "accepted")));
            let changes: Vec<_> = rows(&trial.before)
                .into_iter()
                .zip(rows(after))
                .filter_map(|(before, after)| change(&before, &after))
                .collect();
            if changes.is_empty() {
                text.push_str("  nothing is changed\n");
            }
            text.push_str(&changes.concat());
        }
    }
    text
}

/// What the route came with, in the order of the rows below it.
fn described(trial: &Trial<'_>) -> String {
    let shown = |row: Row| match row.value {
        Value::One(value) => value.map(|value| format!("  {} {value}", row.name)),
        Value::Set(items) if items.is_empty() => None,
        Value::Set(items) => Some(format!("  {} {}", row.name, items.join(" "))),
    };
    rows(&trial.before).into_iter().filter_map(shown).collect()
}

/// `from-aws 3 customers`, further in for each call around it.
fn label(rule: &RuleAt<'_>) -> String {
    let indent = "  ".repeat(rule.depth);
    let name = rule.rule.name.as_deref().map(|name| format!(" {name}"));
    let number = rule.index + 1;
    format!(
        "{indent}{} {number}{}",
        rule.filter,
        name.unwrap_or_default()
    )
}

fn happened(rule: &RuleAt<'_>, failed: Option<Condition>) -> String {
    match (failed, &rule.rule.action) {
        (Some(Condition::DefaultRoute), _) => {
            "no match: accepts a default route only where it is named exactly".to_owned()
        }
        (Some(Condition::Unless), _) => "no match: all of `unless` holds".to_owned(),
        (Some(failed), _) => format!("no match: {}", key_of(failed)),
        (None, Action::Accept) => "match, accepts".to_owned(),
        (None, Action::Call(name)) => format!("match, asks {name}"),
        (None, Action::Next) => "match, goes on".to_owned(),
        (None, Action::Reject) => "match, rejects".to_owned(),
    }
}

/// `  local-pref       none -> 200`, or what came and went.
fn change(before: &Row, after: &Row) -> Option<String> {
    let name = before.name;
    match (&before.value, &after.value) {
        (before, after) if before == after => None,
        (Value::One(before), Value::One(after)) => {
            let none = if name == "nexthop" { "self" } else { "none" };
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| none.to_owned());
            Some(format!(
                "  {name:15}  {} -> {}\n",
                shown(before),
                shown(after)
            ))
        }
        (Value::Set(before), Value::Set(after)) => {
            let gone = before.iter().filter(|item| !after.contains(item));
            let come = after.iter().filter(|item| !before.contains(item));
            let lines = gone.map(|item| format!("  {name:15}  - {item}\n"));
            Some(
                lines
                    .chain(come.map(|item| format!("  {name:15}  + {item}\n")))
                    .collect(),
            )
        }
        (Value::One(_), Value::Set(_)) | (Value::Set(_), Value::One(_)) => None,
    }
}
