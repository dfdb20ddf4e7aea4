//! What a rule asks of a path: one part for the prefix, one for the attributes.

use std::sync::Arc;

use aspath::{Mark, Regex};

use super::community::{
    AnyOf, CommunityPattern, ExtCommunityPattern, LargeCommunityPattern, Span, fit_all, sorted,
};
use super::prefixes::{PrefixList, PrefixPattern};
use crate::attrs::{AsPath, Attrs, Community, ExtCommunity, LargeCommunity, Origin, SegmentKind};
use crate::types::{Asn, Family, Prefix};

/// Conditions of a [`Rule`](super::Rule). All that are given have to hold; of an empty list nothing is
/// asked, of another one item has to hold, except where the name says all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// The prefix is of this family.
    pub family: Option<Family>,
    /// The prefix is in one of these.
    pub prefixes: Vec<PrefixPattern>,
    /// The prefix is in one of these lists, which filters share.
    pub prefix_lists: Vec<Arc<PrefixList>>,
    /// The AS path matches.
    pub as_path: Vec<Regex>,
    /// The AS path names an AS from these.
    pub as_path_contains: Vec<Span>,
    /// The length of the AS path, a set counting as one.
    pub as_path_length: Option<Span>,
    /// The AS that the path began in; a path that ends in a set has none (RFC 6811 §2).
    pub origin_as: Vec<Span>,
    /// The AS that the path comes from.
    pub neighbor_as: Vec<Span>,
    /// The path carries one of these.
    pub communities: Vec<CommunityPattern>,
    /// The path carries all of these.
    pub communities_all: Vec<CommunityPattern>,
    /// The path carries one of these.
    pub ext_communities: Vec<ExtCommunityPattern>,
    /// The path carries all of these.
    pub ext_communities_all: Vec<ExtCommunityPattern>,
    /// The path carries one of these.
    pub large_communities: Vec<LargeCommunityPattern>,
    /// The path carries all of these.
    pub large_communities_all: Vec<LargeCommunityPattern>,
    /// The nexthop is in one of these networks.
    pub nexthop: Vec<Prefix>,
    /// ORIGIN.
    pub origin: Vec<Origin>,
    /// MULTI_EXIT_DISC.
    pub med: Option<MedMatch>,
    /// LOCAL_PREF, [`Attrs::DEFAULT_LOCAL_PREF`] where the path has none.
    pub local_pref: Option<Span>,
    /// These conditions do not all hold.
    pub unless: Option<Box<Self>>,
}

/// What is asked of the MED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MedMatch {
    /// There is none.
    Absent,
    /// There is one, and it is one of these.
    Within(Span),
}

/// What can fail to hold, named as operators write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Only a rule that names exactly `/0` accepts a default route.
    DefaultRoute,
    /// [`Match::family`].
    Family,
    /// [`Match::prefixes`].
    Prefix,
    /// [`Match::prefix_lists`].
    PrefixList,
    /// [`Match::as_path`].
    AsPath,
    /// [`Match::as_path_contains`].
    AsPathContains,
    /// [`Match::as_path_length`].
    AsPathLength,
    /// [`Match::origin_as`].
    OriginAs,
    /// [`Match::neighbor_as`].
    NeighborAs,
    /// [`Match::communities`].
    Community,
    /// [`Match::communities_all`].
    CommunityAll,
    /// [`Match::ext_communities`].
    ExtCommunity,
    /// [`Match::ext_communities_all`].
    ExtCommunityAll,
    /// [`Match::large_communities`].
    LargeCommunity,
    /// [`Match::large_communities_all`].
    LargeCommunityAll,
    /// [`Match::nexthop`].
    Nexthop,
    /// [`Match::origin`].
    Origin,
    /// [`Match::med`].
    Med,
    /// [`Match::local_pref`].
    LocalPref,
    /// [`Match::unless`].
    Unless,
}

/// A [`Match`], compiled: what depends on the prefix beside what depends on the attributes alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Conditions {
    pub(super) prefix: PrefixConditions,
    pub(super) attrs: Box<[AttrsCondition]>,
    pub(super) unless: Option<Box<Self>>,
}

/// What it takes for a default route to match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DefaultRoute {
    /// It has to be named exactly.
    Named,
    /// It is a prefix like any other.
    Ordinary,
}

impl Conditions {
    pub(super) fn compile(matches: Match) -> Self {
        let unless = matches.unless.map(|unless| Self::compile(*unless));
        let asks_prefix = matches.family.is_some()
            || !matches.prefixes.is_empty()
            || !matches.prefix_lists.is_empty();
        let prefix = PrefixConditions {
            asks: if asks_prefix {
                Asks::Something
            } else {
                Asks::Nothing
            },
            family: matches.family,
            patterns: (!matches.prefixes.is_empty())
                .then(|| Arc::new(PrefixList::new(&matches.prefixes))),
            lists: matches.prefix_lists.into_boxed_slice(),
        };
        let mut attrs = Vec::new();
        let mut ask = |condition: Option<AttrsCondition>| attrs.extend(condition);
        // The cheap ones first: the first that does not hold ends the question.
        ask(some(matches.origin, AttrsCondition::Origin));
        ask(matches.med.map(AttrsCondition::Med));
        ask(matches.local_pref.map(AttrsCondition::LocalPref));
        ask(asns(matches.neighbor_as, AttrsCondition::NeighborAs));
        ask(asns(matches.origin_as, AttrsCondition::OriginAs));
        ask(matches.as_path_length.map(AttrsCondition::AsPathLength));
        ask(some(matches.nexthop, |nets: Box<[_]>| {
            AttrsCondition::Nexthop(Arc::new(networks(&nets)))
        }));
        ask(some(matches.communities, |p: Box<[_]>| {
            AttrsCondition::Community(AnyOf::compile(&p))
        }));
        ask(some(matches.communities_all, AttrsCondition::CommunityAll));
        ask(some(matches.ext_communities, |p: Box<[_]>| {
            AttrsCondition::ExtCommunity(AnyOf::compile(&p))
        }));
        ask(some(
            matches.ext_communities_all,
            AttrsCondition::ExtCommunityAll,
        ));
        ask(some(matches.large_communities, |p: Box<[_]>| {
            AttrsCondition::LargeCommunity(AnyOf::compile(&p))
        }));
        ask(some(
            matches.large_communities_all,
            AttrsCondition::LargeCommunityAll,
        ));
        ask(asns(
            matches.as_path_contains,
            AttrsCondition::AsPathContains,
        ));
        ask(some(matches.as_path, AttrsCondition::AsPath));
        Self {
            prefix,
            attrs: attrs.into_boxed_slice(),
            unless: unless.map(Box::new),
        }
    }

    /// The first condition that does not hold.
    #[inline]
    pub(super) fn failed(
        &self,
        prefix: &Prefix,
        attrs: &Attrs,
        default: DefaultRoute,
    ) -> Option<Condition> {
        if let failed @ Some(_) = self.prefix.failed(prefix, default) {
            return failed;
        }
        if let Some(failed) = self.attrs.iter().find(|condition| !condition.holds(attrs)) {
            return Some(failed.name());
        }
        let unless = self.unless.as_ref()?;
        let excepted = unless
            .failed(prefix, attrs, DefaultRoute::Ordinary)
            .is_none();
        excepted.then_some(Condition::Unless)
    }

    /// What is left to ask of a prefix that comes with these attributes.
    pub(super) fn of_attrs(&self, attrs: &Attrs) -> OfAttrs {
        if !self.attrs.iter().all(|condition| condition.holds(attrs)) {
            return OfAttrs::Never;
        }
        match self.unless.as_ref().map(|unless| unless.of_attrs(attrs)) {
            None | Some(OfAttrs::Never) => OfAttrs::Prefix,
            Some(OfAttrs::Prefix | OfAttrs::PrefixAndUnless) => OfAttrs::PrefixAndUnless,
        }
    }
}

/// What the attributes leave to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OfAttrs {
    /// Nothing: the rule does not match.
    Never,
    /// The prefix of the rule decides.
    Prefix,
    /// The prefix of the rule and the whole of its exception.
    PrefixAndUnless,
}

/// `make` of the items, if there are any.
fn some<T: Ord>(
    items: Vec<T>,
    make: impl FnOnce(Box<[T]>) -> AttrsCondition,
) -> Option<AttrsCondition> {
    (!items.is_empty()).then(|| make(sorted(items)))
}

fn networks(nets: &[Prefix]) -> PrefixList {
    let within = |net: &Prefix| PrefixPattern {
        net: *net,
        min: net.prefix_len(),
        max: net.max_prefix_len(),
    };
    PrefixList::new(&nets.iter().map(within).collect::<Vec<_>>())
}

/// Whether there is a condition at all: for most rules of most filters there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asks {
    Nothing,
    Something,
}

/// What is asked of a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PrefixConditions {
    asks: Asks,
    family: Option<Family>,
    patterns: Option<Arc<PrefixList>>,
    lists: Box<[Arc<PrefixList>]>,
}

impl PrefixConditions {
    #[inline]
    pub(super) fn failed(&self, prefix: &Prefix, default: DefaultRoute) -> Option<Condition> {
        match (self.asks, default) {
            (Asks::Nothing, DefaultRoute::Ordinary) => None,
            (Asks::Nothing, DefaultRoute::Named) => {
                (prefix.prefix_len() == 0).then_some(Condition::DefaultRoute)
            }
            (Asks::Something, _) => self.first_failed(prefix, default),
        }
    }

    fn first_failed(&self, prefix: &Prefix, default: DefaultRoute) -> Option<Condition> {
        if self
            .family
            .is_some_and(|family| family != Family::of(prefix))
        {
            return Some(Condition::Family);
        }
        if prefix.prefix_len() == 0 && default == DefaultRoute::Named {
            return (!self.names_default(prefix)).then_some(Condition::DefaultRoute);
        }
        if self
            .patterns
            .as_ref()
            .is_some_and(|list| !list.matches(prefix))
        {
            return Some(Condition::Prefix);
        }
        let listed = self.lists.is_empty() || self.lists.iter().any(|list| list.matches(prefix));
        (!listed).then_some(Condition::PrefixList)
    }

    fn names_default(&self, default: &Prefix) -> bool {
        let by_patterns = self
            .patterns
            .as_ref()
            .map(|list| list.names_default(default));
        let mut lists = self.lists.iter();
        let by_lists = (!self.lists.is_empty()).then(|| lists.any(|l| l.names_default(default)));
        match (by_patterns, by_lists) {
            (None, None) => false,
            (by_patterns, by_lists) => by_patterns.unwrap_or(true) && by_lists.unwrap_or(true),
        }
    }
}

/// One condition that depends on the attributes alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AttrsCondition {
    AsPath(Box<[Regex]>),
    AsPathContains(Box<[Span]>),
    AsPathLength(Span),
    Community(AnyOf<Community>),
    CommunityAll(Box<[CommunityPattern]>),
    ExtCommunity(AnyOf<ExtCommunity>),
    ExtCommunityAll(Box<[ExtCommunityPattern]>),
    LargeCommunity(AnyOf<LargeCommunity>),
    LargeCommunityAll(Box<[LargeCommunityPattern]>),
    LocalPref(Span),
    Med(MedMatch),
    NeighborAs(Box<[Span]>),
    Nexthop(Arc<PrefixList>),
    Origin(Box<[Origin]>),
    OriginAs(Box<[Span]>),
}

impl AttrsCondition {
    fn holds(&self, attrs: &Attrs) -> bool {
        let path = &attrs.as_path;
        match self {
            Self::AsPath(regexes) => regexes.iter().any(|regex| is_match(regex, path)),
            Self::AsPathContains(asns) => path.iter().any(|asn| is_in(asns, asn)),
            Self::AsPathLength(lengths) => lengths.contains(path.length() as u32),
            Self::Community(any) => any.fits_one(&attrs.communities),
            Self::CommunityAll(all) => fit_all(all, &attrs.communities),
            Self::ExtCommunity(any) => any.fits_one(&attrs.ext_communities),
            Self::ExtCommunityAll(all) => fit_all(all, &attrs.ext_communities),
            Self::LargeCommunity(any) => any.fits_one(&attrs.large_communities),
            Self::LargeCommunityAll(all) => fit_all(all, &attrs.large_communities),
            Self::LocalPref(numbers) => {
                numbers.contains(attrs.local_pref.unwrap_or(Attrs::DEFAULT_LOCAL_PREF))
            }
            Self::Med(MedMatch::Absent) => attrs.med.is_none(),
            Self::Med(MedMatch::Within(numbers)) => {
                attrs.med.is_some_and(|med| numbers.contains(med))
            }
            Self::NeighborAs(asns) => path.first().is_some_and(|asn| is_in(asns, asn)),
            Self::Nexthop(nets) => attrs
                .nexthop
                .is_some_and(|nexthop| nets.matches(&nexthop.into())),
            Self::Origin(origins) => origins.contains(&attrs.origin),
            Self::OriginAs(asns) => origin_as(path).is_some_and(|asn| is_in(asns, asn)),
        }
    }

    fn name(&self) -> Condition {
        match self {
            Self::AsPath(_) => Condition::AsPath,
            Self::AsPathContains(_) => Condition::AsPathContains,
            Self::AsPathLength(_) => Condition::AsPathLength,
            Self::Community(_) => Condition::Community,
            Self::CommunityAll(_) => Condition::CommunityAll,
            Self::ExtCommunity(_) => Condition::ExtCommunity,
            Self::ExtCommunityAll(_) => Condition::ExtCommunityAll,
            Self::LargeCommunity(_) => Condition::LargeCommunity,
            Self::LargeCommunityAll(_) => Condition::LargeCommunityAll,
            Self::LocalPref(_) => Condition::LocalPref,
            Self::Med(_) => Condition::Med,
            Self::NeighborAs(_) => Condition::NeighborAs,
            Self::Nexthop(_) => Condition::Nexthop,
            Self::Origin(_) => Condition::Origin,
            Self::OriginAs(_) => Condition::OriginAs,
        }
    }
}

/// `make` of the same numbers in spans that do not touch, so that they can be searched, if any are asked
/// for. Spans without a number leave an empty list, which never holds.
fn asns(
    mut spans: Vec<Span>,
    make: impl FnOnce(Box<[Span]>) -> AttrsCondition,
) -> Option<AttrsCondition> {
    if spans.is_empty() {
        return None;
    }
    spans.retain(|span| span.min <= span.max);
    spans.sort_unstable();
    spans.dedup_by(|next, span| {
        let touches = next.min <= span.max.saturating_add(1);
        if touches {
            span.max = span.max.max(next.max);
        }
        touches
    });
    Some(make(spans.into_boxed_slice()))
}

fn is_in(asns: &[Span], asn: Asn) -> bool {
    let after = asns.partition_point(|span| span.min <= asn.0);
    let span = after.checked_sub(1).and_then(|at| asns.get(at));
    span.is_some_and(|span| span.contains(asn.0))
}

fn origin_as(path: &AsPath) -> Option<Asn> {
    let last = path.segments.last()?;
    match last.kind {
        SegmentKind::Sequence => last.asns.last().copied(),
        SegmentKind::Set => None,
    }
}

/// Matches `1 2 {3,4}` without writing it down.
fn is_match(regex: &Regex, path: &AsPath) -> bool {
    let mut walk = regex.walk();
    for (i, segment) in path.segments.iter().enumerate() {
        if i > 0 {
            walk.mark(Mark::Space);
        }
        let between = match segment.kind {
            SegmentKind::Sequence => Mark::Space,
            SegmentKind::Set => {
                walk.mark(Mark::SetOpens);
                Mark::Comma
            }
        };
        for (j, asn) in segment.asns.iter().enumerate() {
            if walk.is_decided() {
                return true;
            }
            if j > 0 {
                walk.mark(between);
            }
            walk.number(asn.0);
        }
        if segment.kind == SegmentKind::Set {
            walk.mark(Mark::SetCloses);
        }
    }
    walk.matches_here()
}
