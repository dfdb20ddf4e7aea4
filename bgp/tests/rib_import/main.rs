//! What becomes of what peers send: kept, limited, refused, marked, chosen.

#![expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from nowhere else"
)]
#![expect(clippy::unwrap_used, reason = "values written here are well formed")]

mod aggregates;
mod kept;
mod limits;
#[path = "../listener/mod.rs"]
mod listener;
mod router;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::filter::Filter;
use bgp::rib::{
    Aggregate, AsOverride, Forwarding, Input, LimitAction, LimitEvent, LocalAs, LocalAsPrepend,
    MoreSpecifics, Multipath, MultipathAs, NexthopMode, NexthopState, Output, PeerOptions,
    PrefixLimit, PrivateAs, ReflectionRole, Rest, Rib, RibConfig, RibPeer, RouteHop, RouteTo,
    Selection, Standing, Step,
};
use bgp::wire::Dialect;
use bgp::{
    AsPath, Asn, Attrs, Community, ExtCommunity, Family, FamilySet, FirstAs, Leftover, PathId,
    PeerId, Prefix, Reflection, Retained, Retention, Role, RouteEvent, RouterId, SessionUp,
};
use listener::heard;
use router::*;

#[test]
fn paths_of_one_peer_are_told_apart_by_their_identifiers() {
    let mut router = Router::new();
    router.numbered(A, "10.0.0.0/24", 7, attrs(A, &[1, 9]));
    router.numbered(A, "10.0.0.0/24", 8, attrs(B, &[1]));
    assert_eq!(router.received(A), 2);
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1]));
    router.numbered(A, "10.0.0.0/24", 8, attrs(B, &[1, 8, 8]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 9]));
    let event = RouteEvent::Withdraw {
        prefixes: vec![net("10.0.0.0/24")],
        path_ids: vec![PathId(7)],
    };
    router.events(A, vec![event]);
    assert_eq!(router.received(A), 1);
    assert_eq!(
        router.rib.route(&net("10.0.0.0/24")).unwrap().paths[0].path_id,
        Some(PathId(8))
    );
}

#[test]
fn a_peer_cannot_pile_up_paths_for_one_prefix() {
    let mut router = Router::new();
    for number in 0..300 {
        router.numbered(A, "10.0.0.0/24", number, attrs(A, &[1]));
    }
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.discarded), (256, 44));
}

#[test]
fn own_as_in_a_path_is_a_loop_as_often_as_it_is_not_allowed() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 65010]));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 65010, 65010]));
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::AsLoop)]);
    let options = PeerOptions {
        own_as_allowed: 1,
        ..PeerOptions::default()
    };
    router.configure(A, options);
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::OnlyPath)]);
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::AsLoop)]);
}

#[test]
fn paths_of_internal_peers_are_reflected_where_one_is_a_client() {
    let mut router = Router::new();
    router.announce(I, &["10.0.0.0/24"], attrs(I, &[9]));
    assert_eq!(router.told(J), []);
    let options = PeerOptions {
        reflection: ReflectionRole::Client,
        ..PeerOptions::default()
    };
    router.configure(I, options);
    let told = router.told_attrs(J);
    assert_eq!(told.nexthop, Some(address(I)), "RFC 4456 §10");
    let reflection = Reflection {
        originator_id: Some([10, 255, 0, 11].into()),
        cluster_list: vec![[192, 0, 2, 1].into()],
    };
    assert_eq!(told.reflection.as_deref(), Some(&reflection));
    let outside = router.told_attrs(A);
    assert_eq!((outside.nexthop, outside.reflection), (None, None));
}

#[test]
fn what_we_or_our_cluster_reflected_before_is_refused() {
    let mut router = Router::new();
    let reflected = |originator: [u8; 4], cluster: [u8; 4]| Attrs {
        reflection: Some(Box::new(Reflection {
            originator_id: Some(originator.into()),
            cluster_list: vec![cluster.into()],
        })),
        ..attrs(I, &[9])
    };
    let us = [192, 0, 2, 1];
    router.announce(I, &["10.0.0.0/24"], reflected(us, [1, 1, 1, 1]));
    router.announce(I, &["10.0.1.0/24"], reflected([1, 1, 1, 1], us));
    router.announce(I, &["10.0.2.0/24"], reflected([1, 1, 1, 1], [1, 1, 1, 1]));
    assert_eq!(router.steps("10.0.0.0/24"), [(I, Step::ReflectionLoop)]);
    assert_eq!(router.steps("10.0.1.0/24"), [(I, Step::ReflectionLoop)]);
    assert_eq!(router.steps("10.0.2.0/24"), [(I, Step::OnlyPath)]);
}

#[test]
fn a_path_that_is_about_to_go_is_preferred_least() {
    let mut router = Router::new();
    let going = communities(&[Community::GRACEFUL_SHUTDOWN]);
    router.announce(A, &["10.0.0.0/24"], going);
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 3, 4, 5]));
    let lost = [(B, Step::LocalPref), (A, Step::LocalPref)];
    assert_eq!(router.steps("10.0.0.0/24"), lost);
}

#[test]
fn a_path_to_ourselves_is_not_used_while_the_address_is_ours_and_said_once() {
    let mut router = Router::new();
    let ours: IpAddr = [192, 0, 2, 7].into();
    let to_us = Attrs {
        nexthop: Some(ours),
        ..attrs(A, &[1])
    };
    router.announce(B, &["10.0.0.0/16"], attrs(B, &[2, 9]));
    router.announce(A, &["10.0.0.0/16"], to_us.clone());
    assert_eq!(router.hops("10.0.0.0/16")[0].hop.peer, A);
    router.handle(Input::OwnAddresses([ours].into()));
    assert_eq!(
        router.steps("10.0.0.0/16"),
        [(B, Step::OnlyPath), (A, Step::NexthopOurs)]
    );
    assert_eq!(router.hops("10.0.0.0/16").len(), 1, "{:?}", router.fib);
    router.announce(A, &["10.1.0.0/16"], to_us.clone());
    router.announce(A, &["10.2.0.0/16"], to_us);
    assert_eq!(router.hops("10.1.0.0/16"), [], "not even for a moment");
    assert_eq!(router.ours, [(A, ours)]);
    router.handle(Input::OwnAddresses([[192, 0, 2, 8].into()].into()));
    assert_eq!(router.hops("10.1.0.0/16").len(), 1, "it has moved away");
}

fn role(role: Role) -> PeerOptions {
    PeerOptions {
        role: Some(role),
        ..PeerOptions::default()
    }
}

/// RFC 9234 §5, ingress: what we are to A, the OTC that it sends, and what becomes of it.
#[test]
fn leaks_are_refused_and_paths_from_above_marked() {
    let table = [
        (Role::Provider, None, Ok(None)),
        (Role::Provider, Some(Asn(1)), Err(Step::RouteLeak)),
        (Role::RouteServer, Some(Asn(1)), Err(Step::RouteLeak)),
        (Role::Peer, Some(Asn(1)), Ok(Some(Asn(1)))),
        (Role::Peer, Some(Asn(9)), Err(Step::RouteLeak)),
        (Role::Peer, None, Ok(Some(Asn(1)))),
        (Role::Customer, None, Ok(Some(Asn(1)))),
        (Role::Customer, Some(Asn(9)), Ok(Some(Asn(9)))),
        (Role::RouteServerClient, None, Ok(Some(Asn(1)))),
    ];
    for (ours, only_to_customer, expected) in table {
        let mut router = Router::new();
        router.configure(A, role(ours));
        let attrs = Attrs {
            only_to_customer,
            ..attrs(A, &[1])
        };
        router.announce(A, &["10.0.0.0/24"], attrs);
        let got = match router.best("10.0.0.0/24") {
            Some(best) => Ok(best.only_to_customer),
            None => Err(router.steps("10.0.0.0/24")[0].1),
        };
        assert_eq!(got, expected, "{ours:?} {only_to_customer:?}");
    }
}

/// RFC 9234 §5, egress: what we are to B, the OTC of the path, and what B is told.
#[test]
fn marked_paths_only_go_down_and_get_their_mark_there() {
    let table = [
        (Role::Provider, None, Some(Some(US))),
        (Role::Provider, Some(Asn(9)), Some(Some(Asn(9)))),
        (Role::RouteServer, None, Some(Some(US))),
        (Role::Peer, None, Some(Some(US))),
        (Role::Peer, Some(Asn(9)), None),
        (Role::Customer, None, Some(None)),
        (Role::Customer, Some(Asn(9)), None),
        (Role::RouteServerClient, Some(Asn(9)), None),
    ];
    for (ours, only_to_customer, expected) in table {
        let mut router = Router::new();
        router.configure(B, role(ours));
        let attrs = Attrs {
            only_to_customer,
            ..attrs(A, &[1])
        };
        router.announce(A, &["10.0.0.0/24"], attrs);
        let told = router.told(B);
        let told = told
            .first()
            .map(|(_, attrs)| attrs.clone().unwrap().only_to_customer);
        assert_eq!(told, expected, "{ours:?} {only_to_customer:?}");
    }
}

/// What is special about B, the path that A sends, and the path that B is told.
#[test]
fn the_path_that_a_peer_is_told_follows_its_options() {
    let local_as = |on_export| {
        Some(LocalAs {
            asn: Asn(70),
            on_import: LocalAsPrepend::Hidden,
            on_export,
        })
    };
    let plain = PeerOptions::default;
    let table: [(PeerOptions, &[u32], &[u32]); 7] = [
        (plain(), &[1, 64512, 2], &[65010, 1, 64512, 2]),
        (
            PeerOptions {
                as_override: AsOverride::On,
                ..plain()
            },
            &[1, 2, 2, 3],
            &[65010, 1, 65010, 65010, 3],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Removed,
                ..plain()
            },
            &[1, 64512, 4_200_000_000, 65535, 2],
            &[65010, 1, 65535, 2],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Replaced,
                ..plain()
            },
            &[1, 64512, 2],
            &[65010, 1, 65010, 2],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Removed,
                ..plain()
            },
            &[64512],
            &[65010],
        ),
        (
            PeerOptions {
                local_as: local_as(LocalAsPrepend::Shown),
                ..plain()
            },
            &[1],
            &[70, 65010, 1],
        ),
        (
            PeerOptions {
                local_as: local_as(LocalAsPrepend::Hidden),
                ..plain()
            },
            &[1],
            &[70, 1],
        ),
    ];
    for (options, sent, told) in table {
        let mut router = Router::new();
        router.configure(B, options.clone());
        router.announce(A, &["10.0.0.0/24"], attrs(A, sent));
        let got = router.told_attrs(B).as_path;
        assert_eq!(got, path(told), "{options:?}");
    }
}

#[test]
fn another_local_as_is_put_in_front_and_looked_for_on_import() {
    let mut router = Router::new();
    let options = PeerOptions {
        local_as: Some(LocalAs {
            asn: Asn(70),
            on_import: LocalAsPrepend::Shown,
            on_export: LocalAsPrepend::Shown,
        }),
        ..PeerOptions::default()
    };
    router.configure(A, options);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 70]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[70, 1]));
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::AsLoop)]);
}

#[test]
fn the_nexthop_that_a_peer_is_told_follows_its_options() {
    let third_party = PeerOptions {
        nexthop: NexthopMode::ThirdParty,
        ..PeerOptions::default()
    };
    let unchanged = PeerOptions {
        nexthop: NexthopMode::Unchanged,
        ..PeerOptions::default()
    };
    let shared = Some(net("10.255.0.0/24"));
    let table = [
        (PeerOptions::default(), shared, None),
        (unchanged, None, Some(address(A))),
        (third_party.clone(), shared, Some(address(A))),
        (third_party.clone(), Some(net("10.254.0.0/24")), None),
        (third_party, None, None),
    ];
    for (options, network, expected) in table {
        let mut router = Router::new();
        router.configure(B, options.clone());
        router.handle(Input::Network(B, network));
        router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
        assert_eq!(router.told_attrs(B).nexthop, expected, "{options:?}");
    }
}

#[test]
fn a_third_party_is_told_of_while_the_peer_shares_its_network() {
    let third_party = PeerOptions {
        nexthop: NexthopMode::ThirdParty,
        ..PeerOptions::default()
    };
    let mut router = Router::new();
    router.configure(B, third_party);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert_eq!(router.told_attrs(B).nexthop, None);
    let shared = Some(net("10.255.0.0/24"));
    router.handle(Input::Network(B, shared));
    assert_eq!(router.told_attrs(B).nexthop, Some(address(A)));
    router.handle(Input::Network(B, shared));
    assert_eq!(router.told(B), [], "it is told already");
    router.handle(Input::Network(B, None));
    assert_eq!(router.told_attrs(B).nexthop, None);
    router.handle(Input::Network(C, shared));
    assert_eq!(router.told(C).len(), 1, "its first table");
    router.handle(Input::Network(C, None));
    assert_eq!(router.told(C), [], "it is told of no third party");
}

#[test]
fn a_community_that_is_not_transitive_stays_in_the_as() {
    let mut router = Router::new();
    let bandwidth = ExtCommunity(0x4004 << 48);
    let target = ExtCommunity(0x0002 << 48);
    let attrs = Attrs {
        ext_communities: [target, bandwidth].into_iter().collect(),
        ..attrs(A, &[1])
    };
    router.announce(A, &["10.0.0.0/24"], attrs);
    assert_eq!(router.told_attrs(B).ext_communities[..], [target]);
    assert_eq!(
        router.told_attrs(I).ext_communities[..],
        [target, bandwidth]
    );
}

fn selected(router: &Router, selection: Selection) -> Vec<Prefix> {
    let (mut prefixes, mut from) = (Vec::new(), None);
    loop {
        let page = router.rib.prefixes(V4, selection, from, 2);
        prefixes.extend(page.prefixes);
        from = page.next;
        if from.is_none() {
            prefixes.sort();
            return prefixes;
        }
    }
}

#[test]
fn readers_find_what_was_received_and_what_was_told() {
    let mut router = Router::new();
    let of_a = ["10.0.0.0/24", "10.0.1.0/24", "11.0.0.0/24"];
    router.announce(A, &of_a, attrs(A, &[1]));
    router.announce(B, &["10.0.0.0/24"], communities(&[Community::NO_ADVERTISE]));
    router.told(C);
    let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect::<Vec<_>>();
    assert_eq!(selected(&router, Selection::All), nets(&of_a));
    assert_eq!(
        selected(&router, Selection::ReceivedFrom(B)),
        nets(&of_a[..1])
    );
    assert_eq!(selected(&router, Selection::AdvertisedTo(C)), nets(&of_a));
    assert_eq!(selected(&router, Selection::AdvertisedTo(A)), []);
    assert_eq!(
        selected(&router, Selection::Within(net("10.0.0.0/8"))),
        nets(&of_a[..2])
    );
    let told = router.rib.advertised(C, &net("11.0.0.0/24")).unwrap();
    assert_eq!(told.as_path, path(&[65010, 1]));
    let views = router.rib.views(&nets(&["11.0.0.0/24", "12.0.0.0/24"]));
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].paths[0].received.as_path, path(&[1]));
}
