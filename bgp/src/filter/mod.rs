//! Import and export policy: a function over a prefix and its [`Attrs`].
//!
//! A [`Filter`] is a list of rules, asked in order. A rule whose conditions all hold accepts, rejects,
//! goes on with the next rule, or calls another filter. Where no rule decides, the path is rejected (RFC 8212:
//! nothing crosses without policy).
//!
//! **What a rule sees.** Conditions look at the path as it came to the filter. What rules set is kept
//! aside and applied, in the order of the rules, once one accepts. So a condition never sees what an
//! earlier rule set, and an accepted path is worked out from its attributes and the list of the rules that
//! set something, which can be remembered.
//!
//! **Calls.** A called filter decides as if its rules stood in place of the call: where one of them
//! accepts or rejects, that is the answer; where none does, the rule after the call is asked, and
//! what the called filter's rules set before they went on stays. Calls are written out when a filter is compiled,
//! so a filter cannot call itself and none is followed at run time.
//!
//! **Default routes are special.** `0.0.0.0/0` and `::/0` are accepted only by a rule that has a
//! pattern for exactly that `/0` (`min` 0 and `max` 0). An accepting rule without a prefix
//! condition, or one with `0.0.0.0/0 le 24`, does not match them: a default route that leaks draws
//! all traffic of the receiver. That holds for the rule that accepts, whatever went on or called before it.
//! All other rules match them like any other prefix.
//!
//! **Cost.** Conditions are sorted for binary search, prefix patterns are looked up by the lengths that
//! occur (see `prefixes`), AS-path expressions are tables (see [`aspath`]), and a path that nothing is
//! set on keeps the same `Arc`. Each rule is a part for the attributes and a part for the prefix:
//! `Filter::prepare` asks the first once for all prefixes of an UPDATE.

mod community;
mod condition;
mod prefixes;
#[cfg(test)]
mod reference;
mod set;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::attrs::Attrs;
use crate::types::{Asn, Prefix};

pub use community::{
    CommunityPattern, ExtAdmin, ExtCommunityPattern, ExtGiver, ExtKind, LargeCommunityPattern,
    Span, ext_community,
};
pub use condition::{Condition, Match, MedMatch};
pub use prefixes::{PrefixList, PrefixPattern};
pub use set::{MedChange, Nexthop, Number, Prepend, Prepended, Set};

use condition::{Conditions, DefaultRoute, OfAttrs};

/// A compiled policy. Equal when compiled from the same rules, up to the order within a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    steps: Box<[Step]>,
    /// The steps that set something and go on, in order: the bits of [`Outcome::went_on`].
    setting: Box<[u32]>,
}

/// One rule: all conditions of `matches` must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The conditions.
    pub matches: Match,
    /// What happens then.
    pub action: Action,
    /// What is changed, if the path is accepted by this rule or a later one.
    pub set: Set,
}

/// What a [`Rule`] does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it through, with [`Set`] applied.
    Accept,
    /// Ask the rules of this filter, then go on.
    Call(Arc<Filter>),
    /// Go on with the next rule.
    Next,
    /// Do not let it through.
    Reject,
}

/// What a [`Filter`] says about a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does not pass.
    Reject,
    /// It passes with these attributes: the same `Arc` as given when nothing was set.
    Accept(Arc<Attrs>),
}

/// A rule that was asked about a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Which: the rules of a filter count from 0, those of a called filter after the rule that
    /// calls it.
    pub step: usize,
    /// The condition that did not hold, if one did not.
    pub failed: Option<Condition>,
}

/// Which rules of a filter an accepted path met: the one that accepted, and those before it that set
/// something. The result of applying them depends on the attributes alone, so that it can be
/// remembered for all prefixes that share them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Outcome {
    went_on: u128,
    accepted: u32,
}

/// What a filter has left to ask of a prefix, once it knows the attributes.
#[derive(Debug)]
pub(crate) struct Prepared(SmallVec<[(u32, OfAttrs); 4]>);

/// A rule in its place. Those of a called filter follow the rule that calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Step {
    conditions: Conditions,
    then: Then,
    /// The step to go on with where the conditions do not hold: a later one.
    otherwise: u32,
    /// `None` for nothing.
    set: Option<Arc<Set>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Accept,
    /// Go on with the following step. With the bit of what it sets, if that is anything.
    GoOn(Option<u8>),
    Reject,
}

impl Filter {
    /// How many rules a filter may have, those of called filters counted at each call. A call that would
    /// need more rejects instead: what cannot be asked lets nothing through.
    pub const MOST_RULES: usize = 16_384;
    /// How many of them may set something and go on. One more rejects instead.
    pub const MOST_SETTING: usize = 128;

    /// Prepares `rules` for evaluation, in their order.
    #[must_use]
    pub fn compile(rules: Vec<Rule>) -> Self {
        let mut steps = Vec::with_capacity(rules.len());
        for rule in rules {
            let at = steps.len();
            let called = match &rule.action {
                Action::Call(called) => Some(&called.steps),
                Action::Accept | Action::Next | Action::Reject => None,
            };
            let length = 1 + called.map_or(0, |called| called.len());
            let fits = at + length <= Self::MOST_RULES;
            steps.push(Step {
                conditions: Conditions::compile(rule.matches),
                then: match rule.action {
                    Action::Accept => Then::Accept,
                    Action::Call(_) | Action::Next if fits => Then::GoOn(None),
                    Action::Call(_) | Action::Next | Action::Reject => Then::Reject,
                },
                otherwise: (at + if fits { length } else { 1 }) as u32,
                set: (rule.set != Set::default()).then(|| Arc::new(rule.set)),
            });
            let called = called.filter(|_| fits).into_iter().flatten().cloned();
            steps.extend(called.map(|step| step.moved_by(at as u32 + 1)));
        }
        let setting = number_setting(&mut steps);
        Self {
            steps: steps.into_boxed_slice(),
            setting,
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
    /// - `local_asn`: our own, for what is set
    #[must_use]
    pub fn evaluate(&self, prefix: &Prefix, attrs: &Arc<Attrs>, local_asn: Asn) -> Verdict {
        match self.accepting_rule(prefix, attrs) {
            Some(rule) => Verdict::Accept(self.apply(rule, attrs, local_asn)),
            None => Verdict::Reject,
        }
    }

    /// As [`Filter::evaluate`], with every rule that was asked on the way.
    #[must_use]
    pub fn explain(
        &self,
        prefix: &Prefix,
        attrs: &Arc<Attrs>,
        local_asn: Asn,
    ) -> (Vec<Visit>, Verdict) {
        let mut visits = Vec::new();
        let found = self.walk(self.every_step(), |at, step, ()| {
            let failed = step.failed(prefix, attrs);
            let step = at as usize;
            visits.push(Visit { step, failed });
            failed.is_none()
        });
        let verdict = found.map_or(Verdict::Reject, |rule| {
            Verdict::Accept(self.apply(rule, attrs, local_asn))
        });
        (visits, verdict)
    }

    /// What it takes for this path to be accepted; `None` if it is rejected.
    pub(crate) fn accepting_rule(&self, prefix: &Prefix, attrs: &Attrs) -> Option<Outcome> {
        self.walk(self.every_step(), |_, step, ()| {
            step.failed(prefix, attrs).is_none()
        })
    }

    /// Asks everything that does not depend on the prefix, for [`Filter::accepting_rule_of`].
    pub(crate) fn prepare(&self, attrs: &Attrs) -> Prepared {
        let mut left = SmallVec::new();
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            match step.conditions.of_attrs(attrs) {
                OfAttrs::Never => at = step.otherwise as usize,
                asked @ (OfAttrs::Prefix | OfAttrs::PrefixAndUnless) => {
                    left.push((at as u32, asked));
                    at += 1;
                }
            }
        }
        Prepared(left)
    }

    /// As [`Filter::accepting_rule`], for attributes that were prepared.
    pub(crate) fn accepting_rule_of(
        &self,
        prepared: &Prepared,
        prefix: &Prefix,
        attrs: &Attrs,
    ) -> Option<Outcome> {
        let left = prepared.0.iter().copied();
        self.walk(left, |_, step, asked| {
            step.prefix_holds(prefix, attrs, asked)
        })
    }

    /// Goes from step to step until one decides.
    ///
    /// - `steps`: those that may match, in order, with what `holds` wants to know of them
    fn walk<T>(
        &self,
        steps: impl Iterator<Item = (u32, T)>,
        mut holds: impl FnMut(u32, &Step, T) -> bool,
    ) -> Option<Outcome> {
        let mut went_on = 0;
        let mut next = 0;
        for (at, known) in steps {
            if at < next {
                continue;
            }
            let step = self.steps.get(at as usize)?;
            if !holds(at, step, known) {
                next = step.otherwise;
                continue;
            }
            match step.then {
                Then::Accept => {
                    return Some(Outcome {
                        went_on,
                        accepted: at,
                    });
                }
                Then::GoOn(bit) => went_on |= bit.map_or(0, |bit| 1 << bit),
                Then::Reject => return None,
            }
        }
        None
    }

    fn every_step(&self) -> impl Iterator<Item = (u32, ())> + use<> {
        (0..self.steps.len() as u32).map(|at| (at, ()))
    }

    /// The attributes with what these rules set.
    pub(crate) fn apply(&self, rule: Outcome, attrs: &Arc<Attrs>, local_asn: Asn) -> Arc<Attrs> {
        let mut sets = self.sets(rule).peekable();
        if sets.peek().is_none() {
            return Arc::clone(attrs);
        }
        let mut changed = Attrs::clone(attrs);
        for set in sets {
            set.change(&mut changed, local_asn);
        }
        if changed == **attrs {
            return Arc::clone(attrs);
        }
        Arc::new(changed)
    }

    /// Whether the MED of the result is what these rules say, and not what the path came with.
    pub(crate) fn sets_med(&self, rule: Outcome) -> bool {
        self.sets(rule).any(|set| set.med.is_some())
    }

    /// The nexthop that these rules ask for.
    pub(crate) fn sets_nexthop(&self, rule: Outcome) -> Option<Nexthop> {
        self.sets(rule).filter_map(|set| set.nexthop).last()
    }

    /// Whether some rule sets this nexthop.
    pub(crate) fn names_nexthop(&self, address: IpAddr) -> bool {
        let mut sets = self.steps.iter().filter_map(|step| step.set.as_deref());
        sets.any(|set| set.nexthop == Some(Nexthop::Address(address)))
    }

    /// What these rules set, in order.
    fn sets(&self, rule: Outcome) -> impl Iterator<Item = &Set> {
        let is_met = move |bit: &(usize, _)| rule.went_on & (1 << bit.0) != 0;
        let met = self.setting.iter().enumerate().filter(is_met);
        let steps = met.map(|(_, step)| *step).chain([rule.accepted]);
        steps.filter_map(|step| self.steps.get(step as usize)?.set.as_deref())
    }
}

/// Gives each step that sets something and goes on its bit.
fn number_setting(steps: &mut [Step]) -> Box<[u32]> {
    let mut setting = Vec::new();
    for (at, step) in steps.iter_mut().enumerate() {
        if matches!(step.then, Then::GoOn(_)) && step.set.is_some() {
            if setting.len() == Filter::MOST_SETTING {
                step.then = Then::Reject;
                continue;
            }
            step.then = Then::GoOn(Some(setting.len() as u8));
            setting.push(at as u32);
        }
    }
    setting.into_boxed_slice()
}

impl Step {
    fn moved_by(self, steps: u32) -> Self {
        Self {
            otherwise: self.otherwise + steps,
            ..self
        }
    }

    fn default_route(&self) -> DefaultRoute {
        match self.then {
            Then::Accept => DefaultRoute::Named,
            Then::GoOn(_) | Then::Reject => DefaultRoute::Ordinary,
        }
    }

    /// The first condition that does not hold.
    fn failed(&self, prefix: &Prefix, attrs: &Attrs) -> Option<Condition> {
        self.conditions.failed(prefix, attrs, self.default_route())
    }

    /// The same where the attributes were asked already.
    #[inline]
    fn prefix_holds(&self, prefix: &Prefix, attrs: &Attrs, asked: OfAttrs) -> bool {
        if self
            .conditions
            .prefix
            .failed(prefix, self.default_route())
            .is_some()
        {
            return false;
        }
        let unless = self.conditions.unless.as_ref();
        match unless.filter(|_| asked == OfAttrs::PrefixAndUnless) {
            Some(unless) => unless
                .failed(prefix, attrs, DefaultRoute::Ordinary)
                .is_some(),
            None => true,
        }
    }
}
