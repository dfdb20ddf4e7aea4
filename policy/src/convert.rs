//! The words of `config` in those of `bgp`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bgp::filter::{
    CommunityPattern, ExtAdmin, ExtCommunityPattern, ExtGiver, ExtKind, LargeCommunityPattern,
    Match, MedChange, MedMatch, Nexthop, Number, PrefixList, PrefixPattern, Prepend, Prepended,
    Set, Span, ext_community,
};
use bgp::{
    AsPath, Asn, Attrs, Community, ExtCommunity, Family, LargeCommunity, Origin, Segment,
    SegmentKind,
};
use config::model;

pub(crate) type Lists = BTreeMap<String, Arc<PrefixList>>;

pub(crate) fn prefix(pattern: &model::PrefixPattern) -> PrefixPattern {
    PrefixPattern {
        net: pattern.net,
        min: pattern.min,
        max: pattern.max,
    }
}

pub(crate) fn matches(rule: &model::Rule, lists: &Lists) -> Match {
    let unless = rule.unless.as_ref().map(|unless| conditions(unless, lists));
    Match {
        unless: unless.map(Box::new),
        ..conditions(&rule.conditions, lists)
    }
}

fn conditions(asked: &model::Conditions, lists: &Lists) -> Match {
    let named = asked.prefix_list.iter().filter_map(|name| lists.get(name));
    Match {
        family: asked.family.map(|family| match family {
            model::Family::Ipv4 => Family::Ipv4Unicast,
            model::Family::Ipv6 => Family::Ipv6Unicast,
        }),
        prefixes: all(&asked.prefix, prefix),
        prefix_lists: named.cloned().collect(),
        as_path: asked.as_path.clone(),
        as_path_contains: all(&asked.as_path_contains, span),
        as_path_length: asked.as_path_length.as_ref().map(span),
        origin_as: all(&asked.origin_as, span),
        neighbor_as: all(&asked.neighbor_as, span),
        communities: all(&asked.community, community),
        communities_all: all(&asked.community_all, community),
        ext_communities: all(&asked.ext_community, ext),
        ext_communities_all: all(&asked.ext_community_all, ext),
        large_communities: all(&asked.large_community, large),
        large_communities_all: all(&asked.large_community_all, large),
        nexthop: asked.nexthop.clone(),
        origin: all(&asked.origin, origin),
        med: asked.med.map(|med| match med {
            model::MedMatch::Absent => MedMatch::Absent,
            model::MedMatch::Within(numbers) => MedMatch::Within(span(&numbers)),
        }),
        local_pref: asked.local_pref.as_ref().map(span),
        unless: None,
    }
}

pub(crate) fn set(set: &model::Set) -> Set {
    let large = |(a, b, c): &(u32, u32, u32)| LargeCommunity(*a, *b, *c);
    // What replaces all takes all away first.
    let (delete_communities, add_communities) = match &set.community {
        Some(these) => (vec![CommunityPattern::ANY], these),
        None => (all(&set.delete_community, community), &set.add_community),
    };
    let (delete_ext_communities, add_ext_communities) = match &set.ext_community {
        Some(these) => (vec![ExtCommunityPattern::Any], these),
        None => (all(&set.delete_ext_community, ext), &set.add_ext_community),
    };
    let (delete_large_communities, add_large_communities) = match &set.large_community {
        Some(these) => (vec![LargeCommunityPattern::ANY], these),
        None => (
            all(&set.delete_large_community, self::large),
            &set.add_large_community,
        ),
    };
    Set {
        local_pref: set.local_pref.map(number),
        med: set.med.map(|med| match med {
            model::MedChange::Number(to) => MedChange::Number(number(to)),
            model::MedChange::Remove => MedChange::Remove,
        }),
        origin: set.origin.as_ref().map(origin),
        nexthop: set.nexthop.map(|nexthop| match nexthop {
            model::Nexthop::Address(address) => Nexthop::Address(address),
            model::Nexthop::Ourselves => Nexthop::Ourselves,
            model::Nexthop::Unchanged => Nexthop::Unchanged,
        }),
        prepend: set.prepend.map(prepend),
        add_communities: all(add_communities, |number| Community(*number)),
        delete_communities,
        add_ext_communities: add_ext_communities.iter().filter_map(ext_of).collect(),
        delete_ext_communities,
        add_large_communities: all(add_large_communities, large),
        delete_large_communities,
        bandwidth: set.bandwidth,
    }
}

/// What a peer would have to send for us to have this route.
pub(crate) fn attrs(route: &config::Route) -> Attrs {
    let segment = |segment: &config::Segment| {
        let (kind, asns) = match segment {
            config::Segment::Sequence(asns) => (SegmentKind::Sequence, asns),
            config::Segment::Set(asns) => (SegmentKind::Set, asns),
        };
        Segment {
            kind,
            asns: asns.iter().copied().map(Asn).collect(),
        }
    };
    let large = |(a, b, c): &(u32, u32, u32)| LargeCommunity(*a, *b, *c);
    Attrs {
        origin: origin(&route.origin),
        as_path: AsPath {
            segments: route.as_path.iter().map(segment).collect(),
        },
        nexthop: route.nexthop,
        med: route.med,
        local_pref: route.local_pref,
        communities: sorted(route.community.iter().copied().map(Community)),
        large_communities: sorted(route.large_community.iter().map(large)),
        ext_communities: sorted(route.ext_community.iter().filter_map(ext_of)),
        ..Attrs::originated()
    }
}

fn sorted<T: Ord, C: FromIterator<T>>(items: impl Iterator<Item = T>) -> C {
    let items: BTreeSet<T> = items.collect();
    items.into_iter().collect()
}

fn all<T, U>(items: &[T], convert: impl Fn(&T) -> U) -> Vec<U> {
    items.iter().map(convert).collect()
}

fn span(numbers: &model::Span) -> Span {
    Span {
        min: numbers.min,
        max: numbers.max,
    }
}

fn community(pattern: &model::CommunityPattern) -> CommunityPattern {
    CommunityPattern {
        high: span(&pattern.high),
        low: span(&pattern.low),
    }
}

fn large(pattern: &model::LargeCommunityPattern) -> LargeCommunityPattern {
    let [global, first, second] = pattern.parts.each_ref().map(span);
    LargeCommunityPattern {
        global,
        first,
        second,
    }
}

fn kind(kind: model::ExtKind) -> ExtKind {
    match kind {
        model::ExtKind::RouteOrigin => ExtKind::RouteOrigin,
        model::ExtKind::RouteTarget => ExtKind::RouteTarget,
    }
}

fn ext(pattern: &model::ExtCommunityPattern) -> ExtCommunityPattern {
    match pattern {
        model::ExtCommunityPattern::Any => ExtCommunityPattern::Any,
        model::ExtCommunityPattern::Exactly(raw) => {
            ExtCommunityPattern::Exactly(ExtCommunity(*raw))
        }
        model::ExtCommunityPattern::LinkBandwidth => ExtCommunityPattern::LinkBandwidth,
        model::ExtCommunityPattern::Of {
            kind: of,
            admin,
            local,
        } => ExtCommunityPattern::Of {
            kind: kind(*of),
            admin: match admin {
                model::ExtAdmin::Address(address) => ExtAdmin::Address(*address),
                model::ExtAdmin::As(asns) => ExtAdmin::As(span(asns)),
            },
            local: span(local),
        },
    }
}

/// Never `None` for what the file can hold.
fn ext_of(community: &model::ExtCommunity) -> Option<ExtCommunity> {
    match *community {
        model::ExtCommunity::OfAddress {
            kind: of,
            address,
            local,
        } => ext_community(kind(of), ExtGiver::Address(address), local.into()),
        model::ExtCommunity::OfAs {
            kind: of,
            asn,
            local,
        } => ext_community(kind(of), ExtGiver::As(Asn(asn)), local),
        model::ExtCommunity::Raw(raw) => Some(ExtCommunity(raw)),
    }
}

fn origin(origin: &model::Origin) -> Origin {
    match origin {
        model::Origin::Egp => Origin::Egp,
        model::Origin::Igp => Origin::Igp,
        model::Origin::Incomplete => Origin::Incomplete,
    }
}

fn number(number: model::Number) -> Number {
    match number {
        model::Number::Add(more) => Number::Add(more),
        model::Number::Subtract(less) => Number::Subtract(less),
        model::Number::To(value) => Number::To(value),
    }
}

fn prepend(prepend: model::Prepend) -> Prepend {
    Prepend {
        who: match prepend.who {
            model::Prepended::Asn(asn) => Prepended::Asn(Asn(asn)),
            model::Prepended::LastAs => Prepended::First,
            model::Prepended::Own => Prepended::Own,
        },
        times: prepend.times,
    }
}
