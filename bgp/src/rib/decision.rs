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
//! | 2 | higher LOCAL_PREF; 100 where there is none | §9.1.1; the default as everybody has it |
//! | 3 | shorter AS_PATH, a set counts as one | §9.1.2.2 a |
//! | 4 | lower ORIGIN | §9.1.2.2 b |
//! | 5 | lower rank among links of the same group | ours: measured links, see below |
//! | 6 | lower MED from the same neighbouring AS, 0 where there is none | §9.1.2.2 c |
//! | 7 | external over internal | §9.1.2.2 d |
//! | 8 | lower BGP identifier | §9.1.2.2 f |
//! | 9 | lower peer address, then the peer configured under the lower number | §9.1.2.2 g |
//!
//! Link rank stands before MED because it is what we measured about a link, while MED is what the
//! far side wished for without knowing. It stands after the AS path because policy and topology of
//! other networks are not ours to override with a latency. The step for the interior cost to the
//! nexthop (§9.1.2.2 e) is left out: there is no interior routing protocol here.

use std::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

use super::interface::Step;
use super::source::Kind;
use crate::attrs::Origin;
use crate::types::{Asn, PeerId};

/// All that the decision looks at, of one eligible path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) local_pref: u32,
    pub(super) as_path_length: usize,
    pub(super) origin: Origin,
    /// Group and rank of its link.
    pub(super) link: Option<(u32, u32)>,
    /// `None`: this AS (RFC 4271 §9.1.2.2 c, of an empty path).
    pub(super) neighbour: Option<Asn>,
    pub(super) med: u32,
    pub(super) router_id: Ipv4Addr,
    pub(super) address: IpAddr,
    pub(super) peer: Option<PeerId>,
}

/// The outcome for one set of candidates, by their index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Decision {
    /// The best one.
    pub(super) best: usize,
    /// For the best the pass that left it alone, for each other the pass that removed it.
    pub(super) steps: SmallVec<[Step; 4]>,
}

const PASSES: [Step; 9] = [
    Step::Originated,
    Step::LocalPref,
    Step::AsPathLength,
    Step::Origin,
    Step::LinkRank,
    Step::Med,
    Step::ExternalOverInternal,
    Step::RouterId,
    Step::PeerAddress,
];

/// Chooses among `candidates`; `None` if there are none.
pub(super) fn decide(candidates: &[Candidate]) -> Option<Decision> {
    let all: SmallVec<[usize; 4]> = (0..candidates.len()).collect();
    decide_among(candidates, &all)
}

/// The first `limit` candidates in order: the best, then the best of the rest, and so on.
pub(super) fn rank(candidates: &[Candidate], limit: usize) -> SmallVec<[usize; 4]> {
    let mut rest: SmallVec<[usize; 4]> = (0..candidates.len()).collect();
    let mut ranked = SmallVec::new();
    while ranked.len() < limit
        && let Some(decision) = decide_among(candidates, &rest)
    {
        ranked.push(decision.best);
        rest.retain(|index| *index != decision.best);
    }
    ranked
}

/// The order of a route's hops, each with its tier: that of `ranked`, but with links that compete in
/// one group ordered as if they had no ranks. The ranks of links change often, and whoever forwards
/// knows them: within a tier the better link comes first.
pub(super) fn tiers(candidates: &[Candidate], ranked: &[usize]) -> SmallVec<[(usize, u8); 4]> {
    let mut order = SmallVec::new();
    let mut tier = 0u8;
    let mut rest = ranked;
    while let Some(&first) = rest.first() {
        let ties = |index: &&usize| candidates[first].ties_before_links(&candidates[**index]);
        let (tied, others) = rest.split_at(rest.iter().take_while(ties).count());
        if let Some(group) = candidates[first].link.map(|(group, _)| group)
            && tied
                .iter()
                .all(|&index| candidates[index].link.is_some_and(|(g, _)| g == group))
        {
            let unlinked: SmallVec<[Candidate; 4]> = tied
                .iter()
                .map(|&index| Candidate {
                    link: None,
                    ..candidates[index]
                })
                .collect();
            let places = rank(&unlinked, unlinked.len());
            order.extend(places.into_iter().map(|place| (tied[place], tier)));
        } else {
            for &index in tied {
                order.push((index, tier));
                tier = tier.saturating_add(1);
            }
        }
        tier = tier.saturating_add(1);
        rest = others;
    }
    order
}

impl Candidate {
    /// Whether no pass before [`Step::LinkRank`] tells the two apart.
    fn ties_before_links(&self, other: &Self) -> bool {
        let key = |candidate: &Self| {
            let ours = candidate.kind == Kind::Originated;
            (
                ours,
                candidate.local_pref,
                candidate.as_path_length,
                candidate.origin,
            )
        };
        key(self) == key(other)
    }
}

fn decide_among(candidates: &[Candidate], among: &[usize]) -> Option<Decision> {
    let mut remaining: SmallVec<[usize; 4]> = among.into();
    let mut steps: SmallVec<[Step; 4]> = SmallVec::from_elem(Step::OnlyPath, candidates.len());
    for step in PASSES {
        if remaining.len() < 2 {
            break;
        }
        let kept: SmallVec<[usize; 4]> = remaining
            .iter()
            .copied()
            .filter(|&index| {
                !remaining
                    .iter()
                    .any(|&other| beats(step, &candidates[other], &candidates[index]))
            })
            .collect();
        for &index in remaining.iter().filter(|index| !kept.contains(index)) {
            steps[index] = step;
        }
        if kept.len() == 1 && remaining.len() > 1 {
            steps[kept[0]] = step;
        }
        remaining = kept;
    }
    remaining.first().map(|&best| Decision { best, steps })
}

/// Whether `a` removes `b` in this pass.
fn beats(step: Step, a: &Candidate, b: &Candidate) -> bool {
    match step {
        Step::Originated => a.kind == Kind::Originated && b.kind != Kind::Originated,
        Step::LocalPref => a.local_pref > b.local_pref,
        Step::AsPathLength => a.as_path_length < b.as_path_length,
        Step::Origin => a.origin < b.origin,
        Step::LinkRank => match (a.link, b.link) {
            (Some((group, rank)), Some((other, lost))) => group == other && rank < lost,
            _ => false,
        },
        Step::Med => a.neighbour == b.neighbour && a.med < b.med,
        Step::ExternalOverInternal => a.kind < b.kind,
        Step::RouterId => a.router_id < b.router_id,
        Step::PeerAddress => (a.address, a.peer) < (b.address, b.peer),
        Step::OnlyPath
        | Step::LinkUnusable
        | Step::NexthopUnreachable
        | Step::Filtered
        | Step::AsLoop => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u8) -> Candidate {
        Candidate {
            kind: Kind::External,
            local_pref: 100,
            as_path_length: 2,
            origin: Origin::Igp,
            link: None,
            neighbour: Some(Asn(number.into())),
            med: 0,
            router_id: Ipv4Addr::new(192, 0, 2, number),
            address: Ipv4Addr::new(10, 0, 0, number).into(),
            peer: Some(PeerId(number.into())),
        }
    }

    /// `better` is number 9, so that it loses every later pass.
    fn assert_wins(better: Candidate, worse: Candidate, step: Step) {
        for (pair, best) in [([better, worse], 0), ([worse, better], 1)] {
            let decision = decide(&pair).unwrap();
            assert_eq!(decision.best, best, "{step:?}");
            assert_eq!(decision.steps[..], [step, step]);
        }
    }

    #[test]
    fn one_path_is_best_for_want_of_others() {
        let decision = decide(&[candidate(1)]).unwrap();
        assert_eq!((decision.best, decision.steps[0]), (0, Step::OnlyPath));
        assert_eq!(decide(&[]), None);
    }

    #[test]
    fn each_pass_decides_when_those_before_it_tie() {
        let base = candidate(9);
        let other = candidate(1);
        let table = [
            (
                Candidate {
                    kind: Kind::Originated,
                    local_pref: 0,
                    ..base
                },
                other,
                Step::Originated,
            ),
            (
                Candidate {
                    local_pref: 101,
                    as_path_length: 9,
                    ..base
                },
                other,
                Step::LocalPref,
            ),
            (
                Candidate {
                    as_path_length: 1,
                    origin: Origin::Incomplete,
                    ..base
                },
                other,
                Step::AsPathLength,
            ),
            (
                Candidate {
                    link: Some((1, 2)),
                    ..base
                },
                Candidate {
                    origin: Origin::Egp,
                    link: Some((1, 1)),
                    ..other
                },
                Step::Origin,
            ),
            (
                Candidate {
                    link: Some((1, 1)),
                    neighbour: Some(Asn(1)),
                    med: 5,
                    ..base
                },
                Candidate {
                    link: Some((1, 2)),
                    ..other
                },
                Step::LinkRank,
            ),
            (
                Candidate {
                    neighbour: Some(Asn(1)),
                    kind: Kind::Internal,
                    ..base
                },
                Candidate { med: 1, ..other },
                Step::Med,
            ),
            (
                base,
                Candidate {
                    kind: Kind::Internal,
                    ..other
                },
                Step::ExternalOverInternal,
            ),
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
        ];
        for (better, worse, step) in table {
            assert_wins(better, worse, step);
        }
    }

    #[test]
    fn ranks_of_different_groups_are_not_compared() {
        let a = Candidate {
            link: Some((1, 9)),
            ..candidate(1)
        };
        let b = Candidate {
            link: Some((2, 1)),
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
            let decision = decide(&order).unwrap();
            assert_eq!(order[decision.best], b);
            let lost_at =
                |path| decision.steps[order.iter().position(|other| *other == path).unwrap()];
            assert_eq!(
                (lost_at(a), lost_at(b), lost_at(c)),
                (Step::Med, Step::RouterId, Step::RouterId)
            );
            let ranked: Vec<_> = rank(&order, 8).iter().map(|&index| order[index]).collect();
            assert_eq!(ranked, [b, c, a]);
        }
    }

    #[test]
    fn ranking_stops_at_its_limit() {
        let many: Vec<_> = (1..20).map(candidate).collect();
        assert_eq!(rank(&many, 3)[..], [0, 1, 2]);
    }
}
