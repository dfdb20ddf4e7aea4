//! Which path is best, and why: by elimination, never pairwise.
//!
//! MED is compared only between paths of the same neighbouring AS, and link ranks only between
//! links of the same group. So "better than" is not transitive, and an answer folded from pairs
//! depends on the order in which they arrive. A pass that removes every path that loses to any
//! other that remains does not.
//!
//! The procedure of RFC 4271 §9.1.2.2, and what is ours:
//!
//! | # | Pass | Where from |
//! |---|---|---|
//! | 1 | our own prefix | ours: what this router originates is reached here |
//! | 2 | not long-lived stale | RFC 9494 §4.3: after all others |
//! | 3 | higher LOCAL_PREF; 100 where there is none | §9.1.1; the default as everybody has it |
//! | 4 | shorter AS_PATH, a set counts as one | §9.1.2.2 a |
//! | 5 | lower ORIGIN | §9.1.2.2 b |
//! | 6 | lower rank among links of the same group | ours: measured links, see below |
//! | 7 | lower MED from the same neighbouring AS (or from any, if so configured), 0 where there is none | §9.1.2.2 c |
//! | 8 | the link that its group uses, among those of equal rank | ours, see below |
//! | 9 | external over internal | §9.1.2.2 d |
//! | 10 | lower metric to the nexthop | §9.1.2.2 e |
//! | 11 | lower ORIGINATOR_ID, or BGP identifier where there is none | §9.1.2.2 f, RFC 4456 §9 |
//! | 12 | shorter CLUSTER_LIST | RFC 4456 §9 |
//! | 13 | lower peer address, then the peer configured under the lower number | §9.1.2.2 g |
//! | 14 | lower path identifier of the same peer | ours: RFC 7911 leaves it open |
//!
//! Link rank stands before MED because it is what we measured about a link, while MED is what the
//! far side wished for without knowing. It stands after the AS path because policy and topology of
//! other networks are not ours to override with a latency. Links that are equally good have equal
//! ranks, so that the far side's MED decides between them: that is how a cloud empties an endpoint
//! before it replaces it. Where MED ties as well, traffic stays on the link that it is on.
//!
//! **Cost.** Passes 1 to 5 compare single numbers, so they sort paths into classes. Within a class
//! elimination goes on only where ranks or MEDs differ; otherwise it is a sort.

use std::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

use super::interface::{MedComparison, MedPlace, Step};
use super::source::Kind;
use crate::attrs::Origin;
use crate::types::{Asn, PathId, PeerId};

/// All that the decision looks at, of one eligible path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) class: Class,
    pub(super) kind: Kind,
    /// `None`: on no ranked link.
    pub(super) link: Option<LinkPlace>,
    /// `None`: this AS (RFC 4271 §9.1.2.2 c, of an empty path).
    pub(super) neighbour: Option<Asn>,
    pub(super) med: u32,
    /// To the nexthop.
    pub(super) metric: u32,
    pub(super) router_id: Ipv4Addr,
    pub(super) clusters: u16,
    pub(super) address: IpAddr,
    pub(super) peer: Option<PeerId>,
    pub(super) path_id: Option<PathId>,
}

/// Where the link of a path stands in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LinkPlace {
    pub(super) group: u32,
    pub(super) rank: u32,
    pub(super) tiebreak: u32,
}

/// What passes 1 to 5 compare, each in bits of its own, the earlier the higher: lower is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Class(u64);

/// Places of candidates.
pub(super) type Places = SmallVec<[usize; 16]>;

/// The outcome for one set of candidates, by their index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Decision {
    /// The best one.
    pub(super) best: usize,
    /// For the best the pass that left it alone, for each other the pass that removed it.
    pub(super) steps: SmallVec<[Step; 4]>,
}

const PASSES: [Step; 14] = [
    Step::Originated,
    Step::LongLivedStale,
    Step::LocalPref,
    Step::AsPathLength,
    Step::Origin,
    Step::LinkRank,
    Step::Med,
    Step::LinkInUse,
    Step::ExternalOverInternal,
    Step::NexthopMetric,
    Step::RouterId,
    Step::ClusterList,
    Step::PeerAddress,
    Step::PathId,
];

impl Class {
    /// Where the part of each pass begins; that of [`Step::Origin`] at 0.
    const LENGTH: u32 = 2;
    const LOCAL_PREF: u32 = Self::LENGTH + 28;
    const STALENESS: u32 = Self::LOCAL_PREF + 32;
    const ORIGINATED: u32 = Self::STALENESS + 1;

    pub(super) fn new(
        kind: Kind,
        staleness: Staleness,
        local_pref: u32,
        as_path_length: u32,
        origin: Origin,
    ) -> Self {
        let length = as_path_length.min((1 << (Self::LOCAL_PREF - Self::LENGTH)) - 1);
        Self(
            u64::from(kind != Kind::Originated) << Self::ORIGINATED
                | u64::from(staleness == Staleness::LongLived) << Self::STALENESS
                | u64::from(!local_pref) << Self::LOCAL_PREF
                | u64::from(length) << Self::LENGTH
                | origin as u64,
        )
    }

    /// Without the lowest bits: as far as the pass compares it for which they are left out.
    fn above(self, bits: u32) -> u64 {
        self.0 >> bits
    }
}

/// Whether a path is one of last resort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Staleness {
    No,
    LongLived,
}

impl Candidate {
    /// What decides when everything up to [`Step::LinkInUse`] ties. No two paths have the same.
    fn tail(&self) -> impl Ord + use<> {
        (
            (self.kind, self.metric),
            self.router_id,
            self.clusters,
            (self.address, self.peer),
            self.path_id,
        )
    }
}

/// Chooses among `candidates`, with reasons; `None` if there are none.
pub(super) fn decide(candidates: &[Candidate], med: MedComparison) -> Option<Decision> {
    let mut rest: Places = (0..candidates.len()).collect();
    let mut steps: SmallVec<[Step; 4]> = SmallVec::from_elem(Step::OnlyPath, candidates.len());
    for step in PASSES {
        if rest.len() < 2 {
            break;
        }
        let before = rest.clone();
        pass(step, candidates, &mut rest, med);
        let mut kept = rest.iter().peekable();
        for index in before {
            // Both are in the same order.
            if kept.next_if(|kept| **kept == index).is_none() || rest.len() == 1 {
                steps[index] = step;
            }
        }
    }
    rest.first().map(|&best| Decision { best, steps })
}

/// The first `limit` candidates in order: the best, then the best of the rest, and so on.
pub(super) fn rank(candidates: &[Candidate], limit: usize, med: MedComparison) -> Places {
    let mut order: Places = (0..candidates.len()).collect();
    order.sort_unstable_by_key(|&index| candidates[index].class);
    let mut start = 0;
    while start < order.len().min(limit) {
        let class = candidates[order[start]].class;
        let same = |index: &&usize| candidates[**index].class == class;
        let length = order[start..].iter().take_while(same).count();
        let end = start + length;
        order_class(candidates, &mut order[start..end], limit - start, med);
        start = end;
    }
    order.truncate(limit);
    order
}

/// Brings the first `limit` of one class in order.
fn order_class(candidates: &[Candidate], class: &mut [usize], limit: usize, med: MedComparison) {
    let [first, others @ ..] = &*class else {
        return;
    };
    let first = &candidates[*first];
    let is_plain = |&index: &usize| {
        let other = &candidates[index];
        other.link.is_none() && (other.med == first.med || med == MedComparison::Always)
    };
    if first.link.is_none() && others.iter().all(is_plain) {
        class.sort_unstable_by(|&a, &b| {
            let (a, b) = (&candidates[a], &candidates[b]);
            a.med.cmp(&b.med).then_with(|| a.tail().cmp(&b.tail()))
        });
        return;
    }
    for done in 0..limit.min(class.len()) {
        let rest = &mut class[done..];
        let mut equal = Places::from_slice(rest);
        pass(Step::LinkRank, candidates, &mut equal, med);
        pass(Step::Med, candidates, &mut equal, med);
        pass(Step::LinkInUse, candidates, &mut equal, med);
        let best = equal
            .into_iter()
            .min_by(|&a, &b| candidates[a].tail().cmp(&candidates[b].tail()));
        if let Some(place) = rest.iter().position(|index| Some(*index) == best) {
            rest.swap(0, place);
        }
    }
}

/// The candidates that no pass before [`Step::RouterId`] tells from the best, in order.
pub(super) fn equals(candidates: &[Candidate], med: MedComparison) -> Places {
    let mut equal: Places = (0..candidates.len()).collect();
    let before_router_id = PASSES.iter().take_while(|step| **step != Step::RouterId);
    for step in before_router_id {
        pass(*step, candidates, &mut equal, med);
    }
    equal.sort_unstable_by(|&a, &b| candidates[a].tail().cmp(&candidates[b].tail()));
    equal
}

/// A path among the hops of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tiered {
    /// Of its candidate.
    pub(super) index: usize,
    pub(super) tier: u8,
    pub(super) med: MedPlace,
}

/// The order of a route's hops, each with its tier: that of `ranked`, but with links that compete in
/// one group ordered as if they had no ranks. The ranks of links change often, and whoever forwards
/// knows them: within a tier the better link comes first, then the lower MED.
pub(super) fn tiers(
    candidates: &[Candidate],
    ranked: &[usize],
    med: MedComparison,
) -> SmallVec<[Tiered; 8]> {
    let mut order = SmallVec::new();
    let mut tier = 0u8;
    let mut rest = ranked;
    while let Some(&first) = rest.first() {
        let first = &candidates[first];
        let ties = |index: &&usize| candidates[**index].class == first.class;
        let (tied, others) = rest.split_at(rest.iter().take_while(ties).count());
        if let Some(LinkPlace { group, .. }) = first.link
            && tied
                .iter()
                .all(|&index| candidates[index].link.is_some_and(|it| it.group == group))
        {
            let unlinked: SmallVec<[Candidate; 4]> = tied
                .iter()
                .map(|&index| Candidate {
                    link: None,
                    ..candidates[index]
                })
                .collect();
            let places = rank(&unlinked, unlinked.len(), med);
            order.extend(places.into_iter().map(|place| Tiered {
                index: tied[place],
                tier,
                med: med_place(&unlinked, place, med),
            }));
        } else {
            for &index in tied {
                let med = MedPlace::default();
                order.push(Tiered { index, tier, med });
                tier = tier.saturating_add(1);
            }
        }
        tier = tier.saturating_add(1);
        rest = others;
    }
    order
}

/// Where the MED of a candidate stands among those that it is compared with. As small numbers, since
/// routes whose hops differ in nothing else share what leads there.
fn med_place(candidates: &[Candidate], of: usize, med: MedComparison) -> MedPlace {
    let own = &candidates[of];
    let neighbour = |it: &Candidate| it.neighbour.filter(|_| med == MedComparison::SameNeighbour);
    let count = |is_counted: &dyn Fn(&Candidate) -> bool| {
        let counted = candidates.iter().filter(|it| is_counted(it)).count();
        u8::try_from(counted).unwrap_or(u8::MAX)
    };
    MedPlace {
        neighbour: count(&|it| neighbour(it) < neighbour(own)),
        place: count(&|it| neighbour(it) == neighbour(own) && it.med < own.med),
    }
}

/// Removes from `rest` what loses in this pass. The order stays.
fn pass(step: Step, candidates: &[Candidate], rest: &mut Places, med: MedComparison) {
    let of = |index: usize| &candidates[index];
    match step {
        Step::Originated => keep_lowest(rest, |index| of(index).class.above(Class::ORIGINATED)),
        Step::LongLivedStale => keep_lowest(rest, |index| of(index).class.above(Class::STALENESS)),
        Step::LocalPref => keep_lowest(rest, |index| of(index).class.above(Class::LOCAL_PREF)),
        Step::AsPathLength => keep_lowest(rest, |index| of(index).class.above(Class::LENGTH)),
        Step::Origin => keep_lowest(rest, |index| of(index).class),
        Step::LinkRank => keep_lowest_within(rest, |index| {
            of(index).link.map(|link| (link.group, link.rank))
        }),
        Step::LinkInUse => keep_lowest_within(rest, |index| {
            of(index).link.map(|link| (link.group, link.tiebreak))
        }),
        Step::Med if med == MedComparison::Always => keep_lowest(rest, |index| of(index).med),
        Step::Med => {
            keep_lowest_within(rest, |index| Some((of(index).neighbour, of(index).med)));
        }
        Step::ExternalOverInternal => keep_lowest(rest, |index| of(index).kind),
        Step::NexthopMetric => keep_lowest(rest, |index| of(index).metric),
        Step::RouterId => keep_lowest(rest, |index| of(index).router_id),
        Step::ClusterList => keep_lowest(rest, |index| of(index).clusters),
        Step::PeerAddress => keep_lowest(rest, |index| (of(index).address, of(index).peer)),
        Step::PathId => keep_lowest(rest, |index| of(index).path_id),
        Step::OnlyPath
        | Step::LinkUnusable
        | Step::NexthopUnreachable
        | Step::NexthopOurs
        | Step::Filtered
        | Step::AsLoop
        | Step::ReflectionLoop
        | Step::RouteLeak => {}
    }
}

fn keep_lowest<K: Ord>(rest: &mut Places, key: impl Fn(usize) -> K) {
    if let Some(lowest) = rest.iter().map(|&index| key(index)).min() {
        rest.retain(|index| key(*index) == lowest);
    }
}

/// Keeps the lowest of each group, and what is in none.
fn keep_lowest_within<G: Ord, K: Ord>(rest: &mut Places, key: impl Fn(usize) -> Option<(G, K)>) {
    let mut keys: SmallVec<[(G, K); 16]> = rest.iter().filter_map(|&index| key(index)).collect();
    keys.sort_unstable();
    rest.retain(|index| {
        key(*index).is_none_or(|(group, own)| {
            let lowest = keys.partition_point(|(other, _)| *other < group);
            keys.get(lowest).is_none_or(|(_, lowest)| *lowest == own)
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: MedComparison = MedComparison::SameNeighbour;

    fn candidate(number: u8) -> Candidate {
        Candidate {
            class: class(Kind::External, 100, 2, Origin::Igp),
            kind: Kind::External,
            link: None,
            neighbour: Some(Asn(number.into())),
            med: 0,
            metric: 0,
            router_id: Ipv4Addr::new(192, 0, 2, number),
            clusters: 0,
            address: Ipv4Addr::new(10, 0, 0, number).into(),
            peer: Some(PeerId(number.into())),
            path_id: None,
        }
    }

    fn ranked(group: u32, rank: u32) -> Option<LinkPlace> {
        Some(LinkPlace {
            group,
            rank,
            tiebreak: 0,
        })
    }

    fn class(kind: Kind, local_pref: u32, as_path_length: u32, origin: Origin) -> Class {
        Class::new(kind, Staleness::No, local_pref, as_path_length, origin)
    }

    /// `better` is number 9, so that it loses every later pass.
    fn assert_wins(better: Candidate, worse: Candidate, step: Step) {
        for (pair, best) in [([better, worse], 0), ([worse, better], 1)] {
            let decision = decide(&pair, SAME).unwrap();
            assert_eq!(decision.best, best, "{step:?}");
            assert_eq!(decision.steps[..], [step, step]);
        }
    }

    #[test]
    fn one_path_is_best_for_want_of_others() {
        let decision = decide(&[candidate(1)], SAME).unwrap();
        assert_eq!((decision.best, decision.steps[0]), (0, Step::OnlyPath));
        assert_eq!(decide(&[], SAME), None);
    }

    #[test]
    fn each_pass_decides_when_those_before_it_tie() {
        let base = candidate(9);
        let other = candidate(1);
        let of = |class| Candidate { class, ..base };
        let stale = Class::new(Kind::External, Staleness::LongLived, 900, 0, Origin::Igp);
        let table = [
            (
                Candidate {
                    kind: Kind::Originated,
                    ..of(class(Kind::Originated, 0, 9, Origin::Incomplete))
                },
                other,
                Step::Originated,
            ),
            (
                of(class(Kind::External, 1, 9, Origin::Incomplete)),
                Candidate {
                    class: stale,
                    ..other
                },
                Step::LongLivedStale,
            ),
            (
                of(class(Kind::External, 101, 9, Origin::Incomplete)),
                other,
                Step::LocalPref,
            ),
            (
                of(class(Kind::External, 100, 1, Origin::Incomplete)),
                other,
                Step::AsPathLength,
            ),
            (
                Candidate {
                    link: ranked(1, 2),
                    ..base
                },
                Candidate {
                    class: class(Kind::External, 100, 2, Origin::Egp),
                    link: ranked(1, 1),
                    ..other
                },
                Step::Origin,
            ),
            (
                Candidate {
                    link: ranked(1, 1),
                    neighbour: Some(Asn(1)),
                    med: 5,
                    ..base
                },
                Candidate {
                    link: ranked(1, 2),
                    ..other
                },
                Step::LinkRank,
            ),
            (
                Candidate {
                    neighbour: Some(Asn(1)),
                    kind: Kind::Internal,
                    metric: 9,
                    ..base
                },
                Candidate { med: 1, ..other },
                Step::Med,
            ),
            (
                Candidate { metric: 1, ..base },
                Candidate {
                    kind: Kind::Internal,
                    ..other
                },
                Step::ExternalOverInternal,
            ),
            (
                Candidate {
                    link: ranked(1, 1),
                    metric: 9,
                    ..base
                },
                Candidate {
                    link: Some(LinkPlace {
                        group: 1,
                        rank: 1,
                        tiebreak: 1,
                    }),
                    ..other
                },
                Step::LinkInUse,
            ),
            (base, Candidate { metric: 1, ..other }, Step::NexthopMetric),
            (
                base,
                Candidate {
                    router_id: Ipv4Addr::new(192, 0, 2, 10),
                    ..other
                },
                Step::RouterId,
            ),
            (
                base,
                Candidate {
                    router_id: base.router_id,
                    clusters: 1,
                    ..other
                },
                Step::ClusterList,
            ),
            (
                base,
                Candidate {
                    router_id: base.router_id,
                    address: Ipv4Addr::new(10, 0, 0, 10).into(),
                    ..other
                },
                Step::PeerAddress,
            ),
            (
                base,
                Candidate {
                    router_id: base.router_id,
                    address: base.address,
                    peer: Some(PeerId(10)),
                    ..other
                },
                Step::PeerAddress,
            ),
            (
                Candidate {
                    path_id: Some(PathId(1)),
                    ..base
                },
                Candidate {
                    path_id: Some(PathId(2)),
                    ..base
                },
                Step::PathId,
            ),
        ];
        for (better, worse, step) in table {
            assert_wins(better, worse, step);
        }
    }

    #[test]
    fn ranks_of_different_groups_are_not_compared() {
        let a = Candidate {
            link: ranked(1, 9),
            ..candidate(1)
        };
        let b = Candidate {
            link: ranked(2, 1),
            ..candidate(2)
        };
        assert_wins(a, b, Step::RouterId);
        assert_wins(a, Candidate { link: None, ..b }, Step::RouterId);
    }

    #[test]
    fn meds_of_different_neighbours_are_not_compared() {
        assert_wins(
            Candidate {
                med: 9,
                ..candidate(1)
            },
            candidate(2),
            Step::RouterId,
        );
    }

    /// Folded pairwise, these three give three different winners in different orders.
    #[test]
    fn the_med_triangle_has_one_winner_in_every_order() {
        let a = Candidate {
            neighbour: Some(Asn(1)),
            med: 10,
            ..candidate(1)
        };
        let b = Candidate {
            neighbour: Some(Asn(2)),
            ..candidate(2)
        };
        let c = Candidate {
            neighbour: Some(Asn(1)),
            ..candidate(3)
        };
        for order in [
            [a, b, c],
            [a, c, b],
            [b, a, c],
            [b, c, a],
            [c, a, b],
            [c, b, a],
        ] {
            let decision = decide(&order, SAME).unwrap();
            assert_eq!(order[decision.best], b);
            let lost_at =
                |path| decision.steps[order.iter().position(|other| *other == path).unwrap()];
            assert_eq!(
                (lost_at(a), lost_at(b), lost_at(c)),
                (Step::Med, Step::RouterId, Step::RouterId)
            );
            let ranked: Vec<_> = rank(&order, 8, SAME)
                .iter()
                .map(|&index| order[index])
                .collect();
            assert_eq!(ranked, [b, c, a]);
        }
    }

    #[test]
    fn meds_of_all_neighbours_are_compared_where_that_is_configured() {
        let low = candidate(9);
        let high = Candidate {
            med: 1,
            ..candidate(1)
        };
        let always = MedComparison::Always;
        assert_eq!(decide(&[high, low], always).unwrap().best, 1);
        assert_eq!(rank(&[high, low], 8, always)[..], [1, 0]);
    }

    #[test]
    fn ranking_stops_at_its_limit() {
        let many: Vec<_> = (1..20).map(candidate).collect();
        assert_eq!(rank(&many, 3, SAME)[..], [0, 1, 2]);
    }
}
