//! What changed for the FIB.

use smallvec::SmallVec;

use crate::types::Prefix;

use super::interface::RouteHop;

/// What becomes of packets to a destination, where no longer prefix says otherwise.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum RouteTo {
    /// The RIB has no route for them.
    Nothing,
    /// They are dropped: the destination is an aggregate, and nothing is known of this part of it (RFC 4632 §5.1).
    Discard,
    /// They go by these ways, of which there are some, without duplicates. In the order of the decision as it
    /// would be without link ranks, so that a rank that changes does not change the list.
    Hops(SmallVec<[RouteHop; 2]>),
}

impl RouteTo {
    /// The ways; none where there is no route, and for a route that discards.
    #[must_use]
    pub fn hops(&self) -> &[RouteHop] {
        match self {
            Self::Nothing | Self::Discard => &[],
            Self::Hops(hops) => hops,
        }
    }
}

/// Routes of some prefixes, each complete: what was there before no longer counts. In the order in which they
/// changed, so that of two for one prefix the later counts.
///
/// Routes come in long runs that lead the same way: a run says it once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteChanges {
    prefixes: Vec<Prefix>,
    runs: Vec<Run>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    /// Behind its last prefix.
    end: usize,
    to: RouteTo,
}

impl RouteChanges {
    pub(super) fn with_capacity(prefixes: usize) -> Self {
        Self {
            prefixes: Vec::with_capacity(prefixes),
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, prefix: Prefix, to: &RouteTo) {
        self.prefixes.push(prefix);
        let end = self.prefixes.len();
        match self.runs.last_mut() {
            Some(run) if run.to == *to => run.end = end,
            _ => self.runs.push(Run {
                end,
                to: to.clone(),
            }),
        }
    }

    /// How many routes these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Each run: destinations, and what becomes of packets to all of them.
    pub fn runs(&self) -> impl Iterator<Item = (&[Prefix], &RouteTo)> {
        let mut begin = 0;
        self.runs.iter().map(move |run| {
            let prefixes = &self.prefixes[begin..run.end];
            begin = run.end;
            (prefixes, &run.to)
        })
    }

    /// Each destination, as in [`RouteChanges::runs`].
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &RouteTo)> {
        self.runs()
            .flat_map(|(prefixes, to)| prefixes.iter().map(move |prefix| (*prefix, to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rib::MedPlace;
    use crate::types::{Hop, PeerId};

    fn hops(peers: &[u32]) -> RouteTo {
        let hop = |peer: &u32| RouteHop {
            hop: Hop {
                peer: PeerId(*peer),
                address: [192, 0, 2, 1].into(),
            },
            tier: 0,
            med: MedPlace::default(),
            weight: 0,
        };
        RouteTo::Hops(peers.iter().map(hop).collect())
    }

    #[test]
    fn neighbours_that_lead_the_same_way_are_one_run_and_the_order_stays() {
        let prefixes: Vec<Prefix> = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "::/0",
            "10.2.0.0/16",
            "10.3.0.0/16",
        ]
        .map(|text| text.parse().unwrap())
        .into();
        let two = hops(&[1, 2]);
        let routes = [
            two.clone(),
            two.clone(),
            RouteTo::Nothing,
            RouteTo::Discard,
            two,
        ];
        let mut changes = RouteChanges::default();
        assert!(changes.is_empty());
        for (prefix, to) in prefixes.iter().zip(&routes) {
            changes.push(*prefix, to);
        }
        let runs: Vec<usize> = changes.runs().map(|(prefixes, _)| prefixes.len()).collect();
        assert_eq!(runs, [2, 1, 1, 1]);
        let expected = prefixes.iter().copied().zip(&routes);
        assert!(changes.iter().eq(expected));
        assert_eq!(changes.len(), 5);
    }
}
