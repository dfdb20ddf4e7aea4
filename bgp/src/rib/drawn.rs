//! Where attributes have taken the routes that links of a group could carry equally well.

use std::collections::{BTreeMap, BTreeSet};

use super::interface::{RouteHop, Standing};
use super::{Peer, Rib};
use crate::types::PeerId;

/// What a hop is chosen by among links of one group (see [`super::decision`]).
#[derive(Clone, Copy)]
struct Place<'a> {
    hop: &'a RouteHop,
    group: u32,
    rank: u32,
    tiebreak: u32,
}

impl Rib {
    /// For each group of links whether most of the routes that several of its links of the same rank
    /// have lead over one of them: its peer, the first where there are several. That is the link in
    /// use, unless a MED or what the decision looks at before ranks says otherwise.
    ///
    /// The cost is that of the distinct sets of hops, not of the routes.
    #[must_use]
    pub fn drawn(&self) -> BTreeSet<PeerId> {
        let is_ranked = |peer: &Peer| matches!(peer.standing, Standing::Ranked { .. });
        if !self.peers.values().any(is_ranked) {
            return BTreeSet::new();
        }
        let mut routes: BTreeMap<u32, BTreeMap<u32, (PeerId, u64)>> = BTreeMap::new();
        for (to, holders) in self.routes.held() {
            if let Some(Place {
                hop,
                group,
                tiebreak,
                ..
            }) = self.contested(to.hops())
            {
                let links = routes.entry(group).or_default();
                let (peer, count) = links.entry(tiebreak).or_insert((hop.hop.peer, 0));
                *peer = hop.hop.peer.min(*peer);
                *count += u64::from(holders);
            }
        }
        let most = |links: BTreeMap<u32, (PeerId, u64)>| {
            let all: u64 = links.values().map(|(_, count)| count).sum();
            let mut links = links.into_values();
            links.find(|(_, count)| *count > all / 2)
        };
        let most = routes.into_values().filter_map(most);
        most.map(|(peer, _)| peer).collect()
    }

    /// The hop that a route takes, if it could as well take that of a link which is as good.
    fn contested<'a>(&self, hops: &'a [RouteHop]) -> Option<Place<'a>> {
        let tier = hops.first()?.tier;
        let places: Vec<Place<'a>> = hops.iter().filter_map(|hop| self.place(hop)).collect();
        let is_first = |it: &&Place<'_>| it.hop.tier == tier && it.hop.weight == 0;
        let group = places.iter().find(is_first)?.group;
        let first = || places.iter().filter(is_first);
        let rank = first().map(|it| it.rank).min()?;
        let best = || first().filter(|it| it.rank == rank);
        let loses = |it: &Place<'_>| best().any(|other| it.hop.med.loses_to(other.hop.med));
        let taken = best().filter(|it| !loses(it));
        let taken = taken.min_by_key(|it| it.tiebreak).copied()?;
        let is_as_good =
            |it: &Place<'_>| it.group == group && it.rank == rank && it.tiebreak != taken.tiebreak;
        places.iter().any(is_as_good).then_some(taken)
    }

    fn place<'a>(&self, hop: &'a RouteHop) -> Option<Place<'a>> {
        match self.peers.get(&hop.hop.peer)?.standing {
            Standing::Ranked {
                group,
                rank,
                tiebreak,
            } => Some(Place {
                hop,
                group,
                rank,
                tiebreak,
            }),
            Standing::Unranked | Standing::Unusable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::attrs::{AsPath, Attrs};
    use crate::filter::Filter;
    use crate::rib::{Input, PeerOptions, RibConfig, RibPeer};
    use crate::route::{Retention, RouteEvent, SessionUp};
    use crate::types::{Asn, Prefix, RouterId};
    use crate::wire::Dialect;

    struct Bench {
        rib: Rib,
        now: Instant,
    }

    fn id(last: u8) -> RouterId {
        RouterId::new([10, 0, 0, last].into()).unwrap()
    }

    impl Bench {
        /// Peers 1 to 3 of one AS, on links of one group that are equally good; the first is in use.
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant can be had from nowhere else"
        )]
        fn new() -> Self {
            let now = Instant::now();
            let rib = Rib::new(RibConfig::new(Asn(1), id(100), 7));
            let mut bench = Self { rib, now };
            for number in 1..=3 {
                let peer = RibPeer {
                    id: PeerId(number.into()),
                    asn: Asn(2),
                    address: id(number).address().into(),
                    import: Arc::new(Filter::accept_all()),
                    export: Arc::new(Filter::accept_all()),
                    options: PeerOptions::default(),
                };
                bench.give(Input::Configure(peer));
                let up = SessionUp::new(id(number), Dialect::new(Asn(1), Asn(2)));
                bench.give(Input::Up(PeerId(number.into()), up));
                bench.stand(number, 0, u32::from(number) - 1);
            }
            bench
        }

        fn give(&mut self, input: Input) {
            self.rib.handle(input, self.now);
        }

        fn stand(&mut self, peer: u8, rank: u32, tiebreak: u32) {
            let standing = Standing::Ranked {
                group: 0,
                rank,
                tiebreak,
            };
            self.give(Input::Standing(PeerId(peer.into()), standing));
        }

        fn announce(&mut self, peer: u8, med: u32, nets: std::ops::Range<u8>) {
            let attrs = Attrs {
                nexthop: Some(id(peer).address().into()),
                as_path: AsPath::sequence(&[Asn(2)]),
                med: Some(med),
                ..Attrs::originated()
            };
            let nets = nets.map(|net| Prefix::new([198, 51, net, 0].into(), 24).unwrap());
            let event = RouteEvent::announce(Arc::new(attrs), nets.collect());
            self.give(Input::Routes(PeerId(peer.into()), vec![event]));
        }

        fn drawn(&self) -> Vec<u32> {
            self.rib.drawn().into_iter().map(|peer| peer.0).collect()
        }
    }

    #[test]
    fn where_med_ties_the_link_in_use_has_the_routes() {
        let mut bench = Bench::new();
        assert_eq!(bench.drawn(), [] as [u32; 0]);
        bench.announce(2, 0, 0..10);
        assert_eq!(bench.drawn(), [] as [u32; 0], "there is no choice");
        bench.announce(1, 0, 0..10);
        assert_eq!(bench.drawn(), [1]);
        bench.stand(2, 0, 0);
        bench.stand(1, 0, 1);
        assert_eq!(bench.drawn(), [2]);
    }

    #[test]
    fn a_lower_med_draws_what_it_is_said_of() {
        let mut bench = Bench::new();
        bench.announce(1, 100, 0..10);
        bench.announce(2, 100, 0..10);
        bench.announce(2, 50, 0..5);
        assert_eq!(bench.drawn(), [] as [u32; 0], "half is not most");
        bench.announce(2, 50, 5..6);
        assert_eq!(bench.drawn(), [2]);
        bench.announce(3, 200, 0..10);
        assert_eq!(bench.drawn(), [2]);
    }

    #[test]
    fn what_comes_before_ranks_draws_as_well() {
        let mut bench = Bench::new();
        bench.announce(1, 0, 0..10);
        let prepended = Attrs {
            nexthop: Some(id(1).address().into()),
            as_path: AsPath::sequence(&[Asn(2); 3]),
            ..Attrs::originated()
        };
        let nets = (0..10).map(|net| Prefix::new([198, 51, net, 0].into(), 24).unwrap());
        let event = RouteEvent::announce(Arc::new(prepended), nets.collect());
        bench.give(Input::Routes(PeerId(1), vec![event]));
        bench.announce(2, 0, 0..10);
        assert_eq!(bench.drawn(), [2]);
    }

    #[test]
    fn routes_that_only_one_of_the_best_links_has_say_nothing() {
        let mut bench = Bench::new();
        bench.announce(1, 0, 0..1);
        bench.announce(2, 0, 0..200);
        assert_eq!(bench.drawn(), [1]);
        bench.stand(1, 1, 0);
        assert_eq!(bench.drawn(), [] as [u32; 0], "ranks decide");
        bench.give(Input::Standing(PeerId(1), Standing::Unranked));
        assert_eq!(bench.drawn(), [] as [u32; 0]);
    }

    #[test]
    fn of_routes_that_are_withdrawn_nothing_is_left() {
        let mut bench = Bench::new();
        bench.announce(1, 0, 0..10);
        bench.announce(2, 0, 0..10);
        bench.give(Input::Down(PeerId(1), Retention::default()));
        assert_eq!(bench.drawn(), [] as [u32; 0]);
    }
}
