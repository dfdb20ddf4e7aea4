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
