//! Rules that are never asked, because one before them decides about everything.

use crate::model::{Action, PrefixPattern, Rule};
use crate::read::Draft;
use crate::report::{Sink, Wrong};

use super::leaks::patterns;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, rules) in &draft.filters {
        let decides = |rule: &Rule| {
            let asks_nothing = rule.conditions.is_empty() && rule.unless.is_none();
            asks_nothing && matches!(rule.action, Action::Accept | Action::Reject)
        };
        let Some(last) = rules.iter().position(decides) else {
            continue;
        };
        let accepts = rules
            .get(last)
            .is_some_and(|rule| rule.action == Action::Accept);
        for (i, rule) in rules.iter().enumerate().skip(last + 1) {
            // A default route is not accepted by a rule that does not name it.
            if accepts && may_decide_default(rule, draft) {
                continue;
            }
            let message = format!(
                "this rule is never asked: rule {} of `{name}` decides about everything",
                last + 1
            );
            let wrong = Wrong::new("filter.shadowed", message, "move it up, or remove it");
            sink.warning(sink.place(&format!("filter.{name}[{i}]")), wrong);
        }
    }
}

fn may_decide_default(rule: &Rule, draft: &Draft) -> bool {
    let conditions = &rule.conditions;
    let longest = match rule.action {
        Action::Accept => 0,
        Action::Call(_) | Action::Next | Action::Reject => u8::MAX,
    };
    let holds = |p: &PrefixPattern| p.net.prefix_len() == 0 && p.min == 0 && p.max <= longest;
    let asks_prefix = !conditions.prefix.is_empty() || !conditions.prefix_list.is_empty();
    match (asks_prefix, &rule.action) {
        (false, Action::Accept) => false,
        (false, _) => true,
        (true, _) => patterns(conditions, draft).any(holds),
    }
}
