//! Filters of the file become filters of the speaker. Pure.
//!
//! The daemon carries them out and the command line explains them, so this is the one place where
//! both get them from: what `skybridge filter test` says is what the daemon does.

mod convert;

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp::Attrs;
use bgp::filter::{Action, Filter, PrefixList, Rule};
use config::Config;
use config::model;

use convert::Lists;

/// Every filter of an intent, each compiled once. Prefix lists are shared.
#[derive(Debug)]
pub struct Filters {
    compiled: BTreeMap<String, Arc<Filter>>,
}

/// Which rule of the file a [`step`](bgp::filter::Visit::step) of a compiled filter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleAt<'c> {
    /// The filter that it stands in.
    pub filter: &'c str,
    /// Its place there, from 0.
    pub index: usize,
    /// How many calls lie around it.
    pub depth: usize,
    /// The rule.
    pub rule: &'c model::Rule,
}

impl Filters {
    /// Compiles the filters of an intent.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let list = |(name, patterns): (&String, &Vec<model::PrefixPattern>)| {
            let patterns: Vec<_> = patterns.iter().map(convert::prefix).collect();
            (name.clone(), Arc::new(PrefixList::new(&patterns)))
        };
        let lists: Lists = config.prefix_lists.iter().map(list).collect();
        let mut filters = Self {
            compiled: BTreeMap::new(),
        };
        for name in config.filters.keys() {
            filters.compile(name, config, &lists);
        }
        filters
    }

    /// The filter of this name. Without a name, or with one that is not known, nothing passes
    /// (RFC 8212).
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Arc<Filter> {
        let known = name.and_then(|name| self.compiled.get(name));
        known.map_or_else(|| Arc::new(Filter::reject_all()), Arc::clone)
    }

    /// The filters that it calls come first. As deep as an intent lays calls in each other, which
    /// [`model::MOST_CALLS`] bounds.
    fn compile(&mut self, name: &str, config: &Config, lists: &Lists) -> Arc<Filter> {
        if let Some(known) = self.compiled.get(name) {
            return Arc::clone(known);
        }
        let rules = config.filters.get(name).into_iter().flatten();
        let rules = rules
            .map(|rule| Rule {
                matches: convert::matches(rule, lists),
                action: match &rule.action {
                    model::Action::Accept => Action::Accept,
                    model::Action::Call(name) => Action::Call(self.compile(name, config, lists)),
                    model::Action::Next => Action::Next,
                    model::Action::Reject => Action::Reject,
                },
                set: convert::set(&rule.set),
            })
            .collect();
        let filter = Arc::new(Filter::compile(rules));
        self.compiled.insert(name.to_owned(), Arc::clone(&filter));
        filter
    }
}

/// The attributes of a route that was written down.
#[must_use]
pub fn attrs(route: &config::Route) -> Arc<Attrs> {
    Arc::new(convert::attrs(route))
}

/// The rules of a filter in the order of the steps of its compiled form.
#[must_use]
pub fn steps<'c>(config: &'c Config, filter: &'c str) -> Vec<RuleAt<'c>> {
    let mut steps = Vec::new();
    add_steps(config, filter, 0, &mut steps);
    steps
}

fn add_steps<'c>(config: &'c Config, filter: &'c str, depth: usize, steps: &mut Vec<RuleAt<'c>>) {
    let rules = config.filters.get(filter).into_iter().flatten();
    for (index, rule) in rules.enumerate() {
        steps.push(RuleAt {
            filter,
            index,
            depth,
            rule,
        });
        if let Some(called) = rule.called() {
            add_steps(config, called, depth + 1, steps);
        }
    }
}

// What the file allows is what can be compiled.
const _: () = assert!(model::MOST_RULES == Filter::MOST_RULES);
const _: () = assert!(model::MOST_SETTING == Filter::MOST_SETTING);

#[cfg(test)]
mod tests;
