//! Import and export policy: a function over a prefix and its [`Attrs`].
//!
//! A [`Filter`] is a list of rules. The first rule whose conditions all hold decides; where none
//! does, the path is rejected (RFC 8212: nothing crosses without policy).
//!
//! **Default routes are special.** `0.0.0.0/0` and `::/0` are accepted only by a rule that has a
//! pattern for exactly that `/0` (`min` 0 and `max` 0). An accepting rule without a prefix
//! condition, or one with `0.0.0.0/0 le 24`, does not match them: a default route that leaks draws
//! all traffic of the receiver. Rejecting rules match them like any other prefix.
//!
//! Compiled once, evaluated a million times: conditions are sorted for binary search, prefix
//! patterns are looked up by the lengths that occur (see `prefixes`), and a rule that sets nothing gives
//! back the same `Arc` without allocating.

mod prefixes;

use std::sync::Arc;

use crate::attrs::{Attrs, Community, LargeCommunity};
use crate::types::{Asn, Prefix};

pub use prefixes::PrefixPattern;

use prefixes::PrefixSet;

/// A compiled policy. Equal when compiled from the same rules, up to the order within a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    rules: Box<[CompiledRule]>,
}

/// One rule: all conditions of `matches` must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The conditions.
    pub matches: Match,
    /// What happens then.
    pub action: Action,
    /// What is changed on an accepted path.
    pub set: Set,
}

/// Conditions of a [`Rule`]. An empty list is not asked; otherwise one of its items must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// The prefix is in one of these.
    pub prefixes: Vec<PrefixPattern>,
    /// The path carries one of these.
    pub communities: Vec<Community>,
    /// The path carries one of these.
    pub large_communities: Vec<LargeCommunity>,
    /// The AS path names one of these.
    pub as_path_contains: Vec<Asn>,
}

/// What a [`Rule`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it through, with [`Set`] applied.
    Accept,
    /// Do not.
    Reject,
}

/// Changes to an accepted path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Our own AS is put in front so many times.
    pub prepend: u8,
    /// Added after the deletions.
    pub add_communities: Vec<Community>,
    /// Taken away.
    pub delete_communities: Vec<Community>,
    /// Added.
    pub add_large_communities: Vec<LargeCommunity>,
}

/// What a [`Filter`] says about a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does not pass.
    Reject,
    /// It passes with these attributes: the same `Arc` as given when nothing was set.
    Accept(Arc<Attrs>),
}

/// The rule of a filter that accepted a path. The result of applying it depends on the attributes
/// alone, so that it can be remembered for all prefixes that share them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RuleIndex(u32);

#[derive(Clone, PartialEq, Eq, Debug)]
struct CompiledRule {
    prefixes: PrefixSet,
    communities: Box<[Community]>,
    large_communities: Box<[LargeCommunity]>,
    asns: Box<[Asn]>,
    action: Action,
    set: Set,
}

impl Filter {
    /// Prepares `rules` for evaluation, in their order.
    #[must_use]
    pub fn compile(rules: Vec<Rule>) -> Self {
        Self {
            rules: rules.into_iter().map(CompiledRule::compile).collect(),
        }
    }

    /// Nothing passes.
    #[must_use]
    pub fn reject_all() -> Self {
        Self::compile(Vec::new())
    }

    /// Everything passes, unchanged, except a default route.
    #[must_use]
    pub fn accept_all() -> Self {
        Self::compile(vec![Rule {
            matches: Match::default(),
            action: Action::Accept,
            set: Set::default(),
        }])
    }

    /// Decides about one path.
    ///
    /// - `local_asn`: our own, for [`Set::prepend`]
    #[must_use]
    pub fn evaluate(&self, prefix: &Prefix, attrs: &Arc<Attrs>, local_asn: Asn) -> Verdict {
        match self.accepting_rule(prefix, attrs) {
            Some(rule) => Verdict::Accept(self.apply(rule, attrs, local_asn)),
            None => Verdict::Reject,
        }
    }

    /// The first matching rule, if it accepts.
    pub(crate) fn accepting_rule(&self, prefix: &Prefix, attrs: &Attrs) -> Option<RuleIndex> {
        let (index, rule) = self
            .rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.matches(prefix, attrs))?;
        match rule.action {
            Action::Accept => u32::try_from(index).ok().map(RuleIndex),
            Action::Reject => None,
        }
    }

    /// The attributes with what this rule sets.
    pub(crate) fn apply(&self, rule: RuleIndex, attrs: &Arc<Attrs>, local_asn: Asn) -> Arc<Attrs> {
        match self.set_of(rule) {
            Some(set) => set.apply(attrs, local_asn),
            None => Arc::clone(attrs),
        }
    }

    /// What this rule sets; `None` for a rule of another filter.
    pub(crate) fn set_of(&self, rule: RuleIndex) -> Option<&Set> {
        self.rules.get(rule.0 as usize).map(|rule| &rule.set)
    }
}

impl CompiledRule {
    fn compile(rule: Rule) -> Self {
        Self {
            prefixes: PrefixSet::compile(&rule.matches.prefixes),
            communities: sorted(rule.matches.communities),
            large_communities: sorted(rule.matches.large_communities),
            asns: sorted(rule.matches.as_path_contains),
            action: rule.action,
            set: rule.set,
        }
    }

    fn matches(&self, prefix: &Prefix, attrs: &Attrs) -> bool {
        self.matches_prefix(prefix)
            && any_of(&self.communities, attrs.communities.iter().copied())
            && any_of(
                &self.large_communities,
                attrs.large_communities.iter().copied(),
            )
            && any_of(&self.asns, attrs.as_path.iter())
    }

    fn matches_prefix(&self, prefix: &Prefix) -> bool {
        if prefix.prefix_len() == 0 && self.action == Action::Accept {
            return self.prefixes.names_default(prefix);
        }
        self.prefixes.is_empty() || self.prefixes.matches(prefix)
    }
}

impl Set {
    fn apply(&self, attrs: &Arc<Attrs>, local_asn: Asn) -> Arc<Attrs> {
        if *self == Self::default() {
            return Arc::clone(attrs);
        }
        let mut changed = Attrs::clone(attrs);
        changed.local_pref = self.local_pref.or(changed.local_pref);
        changed.med = self.med.or(changed.med);
        if self.prepend > 0 {
            changed.as_path = changed.as_path.prepended(local_asn, self.prepend.into());
        }
        changed
            .communities
            .retain(|community| !self.delete_communities.contains(community));
        changed.communities.extend_from_slice(&self.add_communities);
        changed.communities.sort_unstable();
        changed.communities.dedup();
        changed
            .large_communities
            .extend_from_slice(&self.add_large_communities);
        changed.large_communities.sort_unstable();
        changed.large_communities.dedup();
        if changed == **attrs {
            return Arc::clone(attrs);
        }
        Arc::new(changed)
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Box<[T]> {
    items.sort_unstable();
    items.dedup();
    items.into_boxed_slice()
}

/// Whether one of `present` is wanted; nothing wanted holds always. `wanted` is sorted.
fn any_of<T: Ord>(wanted: &[T], mut present: impl Iterator<Item = T>) -> bool {
    wanted.is_empty() || present.any(|item| wanted.binary_search(&item).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attrs::AsPath;

    const US: Asn = Asn(65010);

    fn net(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn within(text: &str, min: u8, max: u8) -> Match {
        Match {
            prefixes: vec![PrefixPattern {
                net: net(text),
                min,
                max,
            }],
            ..Match::default()
        }
    }

    fn rule(matches: Match, action: Action, set: Set) -> Rule {
        Rule {
            matches,
            action,
            set,
        }
    }

    fn accept(matches: Match) -> Rule {
        rule(matches, Action::Accept, Set::default())
    }

    fn attrs() -> Arc<Attrs> {
        Arc::new(Attrs {
            as_path: AsPath::sequence(&[Asn(64512), Asn(7)]),
            communities: [Community(1), Community(5)].into_iter().collect(),
            large_communities: [LargeCommunity(1, 2, 3)].into_iter().collect(),
            ..Attrs::originated()
        })
    }

    fn passes(filter: &Filter, prefix: &str) -> bool {
        filter.evaluate(&net(prefix), &attrs(), US) != Verdict::Reject
    }

    #[test]
    fn without_a_matching_rule_nothing_passes() {
        assert!(!passes(&Filter::reject_all(), "10.0.0.0/8"));
        let filter = Filter::compile(vec![accept(within("10.0.0.0/8", 8, 8))]);
        assert!(!passes(&filter, "11.0.0.0/8"));
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let filter = Filter::compile(vec![
            rule(
                within("10.1.0.0/16", 16, 32),
                Action::Reject,
                Set::default(),
            ),
            accept(within("10.0.0.0/8", 8, 32)),
        ]);
        assert!(!passes(&filter, "10.1.2.0/24"));
        assert!(passes(&filter, "10.2.2.0/24"));
    }

    #[test]
    fn a_default_route_passes_only_where_it_is_named_exactly() {
        assert!(!passes(&Filter::accept_all(), "0.0.0.0/0"));
        assert!(!passes(&Filter::accept_all(), "::/0"));
        let le = Filter::compile(vec![accept(within("0.0.0.0/0", 0, 24))]);
        assert!(!passes(&le, "0.0.0.0/0"));
        assert!(passes(&le, "10.0.0.0/8"));
        let named = Filter::compile(vec![accept(within("0.0.0.0/0", 0, 0))]);
        assert!(passes(&named, "0.0.0.0/0"));
        assert!(!passes(&named, "::/0"));
        assert!(!passes(&named, "10.0.0.0/8"));
    }

    #[test]
    fn a_rejecting_rule_holds_for_a_default_route_too() {
        let filter = Filter::compile(vec![
            rule(
                Match {
                    communities: vec![Community(5)],
                    ..Match::default()
                },
                Action::Reject,
                Set::default(),
            ),
            accept(within("0.0.0.0/0", 0, 0)),
        ]);
        assert!(!passes(&filter, "0.0.0.0/0"));
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let matching = Match {
            prefixes: vec![PrefixPattern::exact(net("10.0.0.0/8"))],
            communities: vec![Community(9), Community(5)],
            large_communities: vec![LargeCommunity(1, 2, 3)],
            as_path_contains: vec![Asn(7)],
        };
        let passes_with =
            |matches: Match| passes(&Filter::compile(vec![accept(matches)]), "10.0.0.0/8");
        assert!(passes_with(matching.clone()));
        let refused = [
            Match {
                communities: vec![Community(9)],
                ..matching.clone()
            },
            Match {
                large_communities: vec![LargeCommunity(1, 2, 4)],
                ..matching.clone()
            },
            Match {
                as_path_contains: vec![Asn(8)],
                ..matching
            },
        ];
        for matches in refused {
            assert!(!passes_with(matches.clone()), "{matches:?}");
        }
    }

    #[test]
    fn accepted_without_changes_is_the_same_arc() {
        let attrs = attrs();
        let Verdict::Accept(same) = Filter::accept_all().evaluate(&net("10.0.0.0/8"), &attrs, US)
        else {
            panic!("rejected");
        };
        assert!(Arc::ptr_eq(&attrs, &same));
    }

    #[test]
    fn set_changes_what_it_names_and_nothing_else() {
        let filter = Filter::compile(vec![rule(
            Match::default(),
            Action::Accept,
            Set {
                local_pref: Some(200),
                med: Some(7),
                prepend: 2,
                add_communities: vec![Community(3), Community(1)],
                delete_communities: vec![Community(5)],
                add_large_communities: vec![LargeCommunity(0, 0, 1)],
            },
        )]);
        let before = attrs();
        let expected = Attrs {
            local_pref: Some(200),
            med: Some(7),
            as_path: AsPath::sequence(&[US, US, Asn(64512), Asn(7)]),
            communities: [Community(1), Community(3)].into_iter().collect(),
            large_communities: [LargeCommunity(0, 0, 1), LargeCommunity(1, 2, 3)]
                .into_iter()
                .collect(),
            ..Attrs::clone(&before)
        };
        let verdict = filter.evaluate(&net("10.0.0.0/8"), &before, US);
        assert_eq!(verdict, Verdict::Accept(Arc::new(expected)));
    }

    #[test]
    fn filters_of_the_same_rules_are_equal_in_any_order_of_patterns() {
        let patterns = |texts: [&str; 2]| Match {
            prefixes: texts.map(|text| PrefixPattern::exact(net(text))).to_vec(),
            ..Match::default()
        };
        let a = Filter::compile(vec![accept(patterns(["10.0.0.0/8", "11.0.0.0/8"]))]);
        let b = Filter::compile(vec![accept(patterns(["11.0.0.0/8", "10.0.0.0/8"]))]);
        assert_eq!(a, b);
        assert_ne!(a, Filter::accept_all());
    }
}
