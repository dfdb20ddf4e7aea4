//! Several ways for one prefix.

use super::*;

#[test]
fn a_nearer_nexthop_wins_where_only_identifiers_would_decide() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2]));
    assert_eq!(router.steps("10.0.0.0/24")[0], (A, Step::RouterId));
    let far = NexthopState::Reachable { metric: 10 };
    router.handle(Input::Nexthop(address(A), far));
    assert_eq!(router.steps("10.0.0.0/24")[0], (B, Step::NexthopMetric));
    let near = NexthopState::Reachable { metric: 0 };
    router.handle(Input::Nexthop(address(A), near));
    assert_eq!(router.steps("10.0.0.0/24")[0], (A, Step::RouterId));
}

fn spreading(as_paths: MultipathAs) -> Router {
    Router::with(RibConfig {
        multipath: Multipath {
            external: 8,
            internal: 8,
            as_paths,
        },
        ..config()
    })
}

fn weights(router: &Router, prefix: &str) -> Vec<(PeerId, u8, u8)> {
    let hops = router.fib[&net(prefix)].iter();
    hops.map(|hop| (hop.hop.peer, hop.tier, hop.weight))
        .collect()
}

#[test]
fn equal_paths_share_traffic_and_others_wait_behind_them() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 7]));
    router.announce(C, &["10.0.0.0/24"], attrs(C, &[3, 7, 7]));
    let expected = [(A, 0, 1), (B, 0, 1), (C, 1, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn paths_of_different_neighbours_share_only_where_that_is_relaxed() {
    let mut router = spreading(MultipathAs::SameNeighbour);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 7]));
    let expected = [(A, 0, 0), (B, 1, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn links_that_a_group_ranks_do_not_share() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    let ranked = |rank, tiebreak| Standing::Ranked {
        group: 1,
        rank,
        tiebreak,
    };
    for (peer, rank) in [(A, 2), (B, 1)] {
        router.handle(Input::Standing(peer, ranked(rank, 0)));
        router.announce(peer, &["10.0.0.0/24"], attrs(peer, &[peer.0, 7]));
    }
    let expected = [(A, 0, 0), (B, 0, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
    router.handle(Input::Standing(A, ranked(1, 1)));
    assert_eq!(weights(&router, "10.0.0.0/24"), expected, "B is in use");
    router.handle(Input::Standing(A, ranked(1, 0)));
    let expected = [(A, 0, 1), (B, 0, 1)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn traffic_is_shared_by_the_bandwidth_of_links_where_all_say_it() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    let with = |peer: PeerId, rate: f32| Attrs {
        ext_communities: [ExtCommunity(0x4004 << 48 | u64::from(rate.to_bits()))]
            .into_iter()
            .collect(),
        ..attrs(peer, &[peer.0, 7])
    };
    router.announce(A, &["10.0.0.0/24"], with(A, 1e9));
    router.announce(B, &["10.0.0.0/24"], with(B, 5e8));
    let expected = [(A, 0, 255), (B, 0, 128)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
    router.announce(C, &["10.0.0.0/24"], with(C, f32::NAN));
    let expected = [(A, 0, 1), (B, 0, 1), (C, 0, 1)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

/// As AWS does it before it replaces the endpoint of a tunnel: the other one gets the lower MED.
#[test]
fn lower_med_moves_a_prefix_between_links_of_equal_rank_and_the_link_in_use_breaks_ties() {
    let mut router = Router::new();
    let ranked = |rank, tiebreak| Standing::Ranked {
        group: 1,
        rank,
        tiebreak,
    };
    let with = |peer: PeerId, med| Attrs {
        med: Some(med),
        ..attrs(peer, &[64512])
    };
    router.handle(Input::Standing(A, ranked(0, 2)));
    router.handle(Input::Standing(B, ranked(0, 0)));
    router.announce(A, &["10.0.0.0/24"], with(A, 100));
    router.announce(B, &["10.0.0.0/24"], with(B, 100));
    assert_eq!(router.steps("10.0.0.0/24")[0], (B, Step::LinkInUse));
    let wishes = |router: &Router| -> Vec<(PeerId, u8, u8)> {
        let hops = router.hops("10.0.0.0/24").into_iter();
        hops.map(|hop| (hop.hop.peer, hop.tier, hop.med.place))
            .collect()
    };
    assert_eq!(wishes(&router), [(A, 0, 0), (B, 0, 0)]);

    router.announce(B, &["10.0.0.0/24"], with(B, 200));
    assert_eq!(router.steps("10.0.0.0/24")[0], (A, Step::Med));
    assert_eq!(wishes(&router), [(A, 0, 0), (B, 0, 1)]);

    router.handle(Input::Standing(A, ranked(1, 2)));
    router.pass(Duration::from_secs(1));
    assert_eq!(router.steps("10.0.0.0/24")[0], (B, Step::LinkRank));
    assert_eq!(
        wishes(&router),
        [(A, 0, 0), (B, 0, 1)],
        "whatever the ranks"
    );
}
