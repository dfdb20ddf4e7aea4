//! What changed for the FIB.

use crate::types::Prefix;

use super::Hops;
use super::interface::RouteHop;

/// Routes of some prefixes, each complete: what was there before no longer counts. In the order in which they
/// changed, so that of two for one prefix the later counts.
///
/// Routes come in long runs that share their hops: a run has them once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteChanges {
    prefixes: Vec<Prefix>,
    runs: Vec<Run>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    /// Behind its last prefix.
    end: usize,
    hops: Hops,
}

impl RouteChanges {
    pub(super) fn with_capacity(prefixes: usize) -> Self {
        Self {
            prefixes: Vec::with_capacity(prefixes),
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, prefix: Prefix, hops: &[RouteHop]) {
        self.prefixes.push(prefix);
        let end = self.prefixes.len();
        match self.runs.last_mut() {
            Some(run) if run.hops[..] == *hops => run.end = end,
            _ => self.runs.push(Run {
                end,
                hops: hops.into(),
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

    /// Each run: destinations, and the ways to all of them, without duplicates; none: no route. The ways are in
    /// the order of the decision as it would be without link ranks, so that a rank that changes does not
    /// change the list.
    pub fn runs(&self) -> impl Iterator<Item = (&[Prefix], &[RouteHop])> {
        let mut begin = 0;
        self.runs.iter().map(move |run| {
            let prefixes = &self.prefixes[begin..run.end];
            begin = run.end;
            (prefixes, &run.hops[..])
        })
    }

    /// Each destination with the ways to it, as in [`RouteChanges::runs`].
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &[RouteHop])> {
        self.runs()
            .flat_map(|(prefixes, hops)| prefixes.iter().map(move |prefix| (*prefix, hops)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rib::MedPlace;
    use crate::types::{Hop, PeerId};

    fn hops(peers: &[u32]) -> Hops {
        let hop = |peer: &u32| RouteHop {
            hop: Hop {
                peer: PeerId(*peer),
                address: [192, 0, 2, 1].into(),
            },
            tier: 0,
            med: MedPlace::default(),
            weight: 0,
        };
        peers.iter().map(hop).collect()
    }

    #[test]
    fn neighbours_with_the_same_hops_are_one_run_and_the_order_stays() {
        let prefixes: Vec<Prefix> = ["10.0.0.0/8", "10.1.0.0/16", "::/0", "10.2.0.0/16"]
            .map(|text| text.parse().unwrap())
            .into();
        let lists = [hops(&[1, 2]), hops(&[1, 2]), hops(&[]), hops(&[1, 2])];
        let mut changes = RouteChanges::default();
        assert!(changes.is_empty());
        for (prefix, hops) in prefixes.iter().zip(&lists) {
            changes.push(*prefix, hops);
        }
        let runs: Vec<usize> = changes.runs().map(|(prefixes, _)| prefixes.len()).collect();
        assert_eq!(runs, [2, 1, 1]);
        let expected = prefixes
            .iter()
            .copied()
            .zip(lists.iter().map(|list| &list[..]));
        assert!(changes.iter().eq(expected));
        assert_eq!(changes.len(), 4);
    }
}
