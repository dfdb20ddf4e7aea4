//! Filters that call each other: in no circle, and not too many.

use std::collections::BTreeMap;

use crate::model::{Action, MOST_CALLS, MOST_RULES, MOST_RULES_IN_ALL, MOST_SETTING, Rule};
use crate::read::Draft;
use crate::report::{Sink, Wrong};

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    let order = order(draft, sink);
    let mut sizes: BTreeMap<&str, Size> = BTreeMap::new();
    let mut in_all = 0usize;
    for name in order {
        let rules = draft.filters.get(name).map_or(&[][..], Vec::as_slice);
        let size = Size::of(rules, &sizes);
        // Whoever calls one that is too large is so as well: one finding is enough.
        let called_fit = rules
            .iter()
            .filter_map(|rule| sizes.get(rule.called()?))
            .all(|size| size.excess().is_none());
        let before = in_all;
        let is_counted = size.excess().is_none();
        in_all = in_all.saturating_add(if is_counted { size.rules } else { 0 });
        let excess = if called_fit { size.excess() } else { None };
        // Each filter is kept with its calls written out.
        let one_too_many = || {
            (before <= MOST_RULES_IN_ALL && in_all > MOST_RULES_IN_ALL).then(|| {
                format!("is one too many: with their calls, all filters have more than {MOST_RULES_IN_ALL} rules")
            })
        };
        if let Some(excess) = excess.or_else(one_too_many) {
            let wrong = Wrong::new(
                "filter.size",
                format!("filter `{name}` {excess}"),
                "join rules, or call a filter from fewer places",
            );
            sink.error(sink.place(&format!("filter.{name}")), wrong);
        }
        sizes.insert(name, size);
    }
}

#[derive(Clone, Copy)]
enum Mark {
    /// Its calls are being followed.
    Open,
    /// They have been.
    Done,
}

/// Every filter after those that it calls. A call that closes a circle is reported, and not followed.
/// Nothing here is as deep as a file may be long.
fn order<'d>(draft: &'d Draft, sink: &mut Sink<'_>) -> Vec<&'d str> {
    let mut marks: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut order = Vec::new();
    for start in draft.filters.keys() {
        let mut open: Vec<(&str, usize)> = Vec::new();
        if !marks.contains_key(start.as_str()) {
            marks.insert(start, Mark::Open);
            open.push((start, 0));
        }
        while let Some((name, next)) = open.last_mut() {
            let rules = draft.filters.get(*name).map_or(&[][..], Vec::as_slice);
            let Some(rule) = rules.get(*next) else {
                marks.insert(*name, Mark::Done);
                order.push(*name);
                open.pop();
                continue;
            };
            let place = format!("filter.{name}[{next}].call");
            *next += 1;
            let known = rule
                .called()
                .and_then(|called| draft.filters.get_key_value(called));
            let Some((called, _)) = known else {
                continue;
            };
            match marks.get(called.as_str()) {
                Some(Mark::Done) => {}
                Some(Mark::Open) => sink.error(sink.place(&place), circle(called, &open)),
                None => {
                    marks.insert(called, Mark::Open);
                    open.push((called, 0));
                }
            }
        }
    }
    order
}

fn circle(called: &str, open: &[(&str, usize)]) -> Wrong {
    let names = open.iter().map(|(name, _)| *name);
    let mut way: Vec<&str> = names.skip_while(|name| *name != called).collect();
    way.push(called);
    let message = format!("filter `{called}` calls itself: {}", shortened(&way));
    Wrong::new("filter.cycle", message, "take one of these calls out")
}

fn shortened(way: &[&str]) -> String {
    const SHOWN: usize = 6;
    match way {
        [first @ .., last] if way.len() > SHOWN => {
            format!("{} -> … -> {last}", first[..SHOWN - 1].join(" -> "))
        }
        _ => way.join(" -> "),
    }
}

/// What a filter amounts to when its calls are written out.
#[derive(Clone, Copy, Default)]
struct Size {
    rules: usize,
    setting: usize,
    calls: usize,
}

impl Size {
    /// - `sizes`: of the filters that it calls
    fn of(rules: &[Rule], sizes: &BTreeMap<&str, Self>) -> Self {
        let mut size = Self::default();
        for rule in rules {
            let goes_on = matches!(rule.action, Action::Call(_) | Action::Next);
            size.rules = size.rules.saturating_add(1);
            size.setting = size
                .setting
                .saturating_add(usize::from(goes_on && !rule.set.is_empty()));
            if let Some(called) = rule.called().and_then(|called| sizes.get(called)) {
                size.rules = size.rules.saturating_add(called.rules);
                size.setting = size.setting.saturating_add(called.setting);
                size.calls = size.calls.max(called.calls + 1);
            }
        }
        size
    }

    fn excess(self) -> Option<String> {
        if self.calls > MOST_CALLS {
            return Some(format!(
                "lays calls in each other {} deep, {MOST_CALLS} is the most",
                self.calls
            ));
        }
        if self.rules > MOST_RULES {
            return Some(format!(
                "has {} rules with those it calls, {MOST_RULES} is the most",
                self.rules
            ));
        }
        (self.setting > MOST_SETTING).then(|| {
            format!(
                "has {} rules that set something and go on, {MOST_SETTING} is the most",
                self.setting
            )
        })
    }
}
