//! What peers and the FIB are told, seen from outside the RIB.

#![expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from nowhere else"
)]
#![expect(clippy::unwrap_used, reason = "values written here are well formed")]

mod limits;
#[path = "../listener/mod.rs"]
mod listener;
mod preference;
mod router;
mod several;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::{
    Action, Filter, Match, MedChange, Nexthop, Number, PrefixPattern, Prepend, Rule, Set,
};
use bgp::rib::{
    ExportBounds, Input, LimitEvent, NexthopState, Output, PeerOptions, Preference, Rib, RibConfig,
    RibPeer, Standing, Step, WayBack,
};
use bgp::wire::Dialect;
use bgp::{
    AsPath, Asn, Attrs, Community, Family, FamilySet, PathId, PeerId, Prefix, RawAttr, Retention,
    RouteEvent, RouterId, SessionUp, Updates,
};
use listener::heard;
use router::*;

#[test]
fn an_external_peer_gets_our_as_in_front_and_none_of_our_preferences() {
    let mut router = Router::new();
    let unknown = Some(Box::new(vec![RawAttr {
        code: 99,
        flags: 0xe0,
        value: Box::new([1, 2]),
    }]));
    let received = Attrs {
        med: Some(5),
        local_pref: Some(300),
        unknown: unknown.clone(),
        ..attrs_of(A, &[1, 7])
    };
    router.announce(A, vec![nth(0)], received);
    let sent = Attrs {
        as_path: AsPath::sequence(&[US, Asn(1), Asn(7)]),
        nexthop: Some(OUR_NEXTHOP),
        unknown,
        ..Attrs::originated()
    };
    assert_eq!(router.told(B), [(nth(0), Some(Arc::new(sent)))]);
    assert_eq!(router.told(A), [], "not back to where it came from");
}

#[test]
fn an_internal_peer_gets_the_path_as_it_is_with_a_local_pref() {
    let mut router = Router::new();
    let prepending = Filter::compile(vec![Rule {
        matches: Match::default(),
        action: Action::Accept,
        set: Set {
            prepend: Some(Prepend::own(3)),
            ..Set::default()
        },
    }]);
    router.configure(C, US, Filter::accept_all(), prepending);
    router.up(C);
    let received = Attrs {
        med: Some(5),
        ..attrs_of(A, &[1, 7])
    };
    router.announce(A, vec![nth(0)], received.clone());
    let sent = Attrs {
        nexthop: Some(OUR_NEXTHOP),
        local_pref: Some(100),
        ..received
    };
    assert_eq!(router.told(C)[0].1.as_deref(), Some(&sent));
}

#[test]
fn what_the_export_filter_sets_is_told_instead_of_our_own() {
    let told = |set: Set| {
        let mut router = Router::new();
        let setting = Filter::compile(vec![Rule {
            matches: Match::default(),
            action: Action::Accept,
            set,
        }]);
        router.configure(B, Asn(2), Filter::accept_all(), setting);
        let received = Attrs {
            med: Some(5),
            ..attrs_of(A, &[1])
        };
        router.announce(A, vec![nth(0)], received);
        let told = router.told(B)[0].1.clone().unwrap();
        (told.nexthop, told.med)
    };
    let nexthop = |nexthop| Set {
        nexthop: Some(nexthop),
        ..Set::default()
    };
    let other = [192, 0, 2, 7].into();
    let ours = Some(OUR_NEXTHOP);
    assert_eq!(told(nexthop(Nexthop::Address(other))), (Some(other), None));
    let theirs = Some([10, 255, 0, 1].into());
    assert_eq!(told(nexthop(Nexthop::Unchanged)), (theirs, None));
    assert_eq!(told(nexthop(Nexthop::Ourselves)), (ours, None));
    let med = |med| Set {
        med: Some(med),
        ..Set::default()
    };
    assert_eq!(told(med(70.into())), (ours, Some(70)));
    let more = MedChange::Number(Number::Add(2));
    assert_eq!(told(med(more)), (ours, Some(7)), "more than it came with");
    assert_eq!(told(med(MedChange::Remove)), (ours, None));
}

#[test]
fn peers_of_a_group_share_the_bytes() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0), nth(1)], attrs_of(A, &[1]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!((to_b.bytes.len(), to_b.count), (1, 1));
    assert_eq!(to_b.bytes[0].as_ptr(), to_c.bytes[0].as_ptr());
    assert_eq!(to_b, to_c);
}

#[test]
fn well_known_communities_keep_a_path_here() {
    let mut router = Router::new();
    router.configure(C, US, Filter::accept_all(), Filter::accept_all());
    router.up(C);
    let table = [
        (Community::NO_ADVERTISE, 0, 0),
        (Community::NO_EXPORT, 0, 1),
        (Community::NO_EXPORT_SUBCONFED, 0, 1),
    ];
    for (i, (community, external, internal)) in (0..).zip(table) {
        let attrs = Attrs {
            communities: [community].into_iter().collect(),
            ..attrs_of(A, &[1])
        };
        router.announce(A, vec![nth(i)], attrs);
        assert_eq!(router.told(B).len(), external, "{community}");
        assert_eq!(router.told(C).len(), internal, "{community}");
    }
}

#[test]
fn our_own_prefix_is_announced_but_never_given_to_the_fib() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.handle(Input::Originate(vec![nth(0)]));
    assert_eq!(router.fib[&nth(0)], []);
    let told = router.told(A);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US]));
    router.handle(Input::Originate(Vec::new()));
    assert_eq!(router.fib[&nth(0)], [A]);
    assert_eq!(router.told(A)[0].1, None);
}

#[test]
fn what_was_never_sent_is_never_withdrawn() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    let sent = router.told_once(B).unwrap().changes;
    assert!(sent.len() < many().len(), "a batch is bounded");
    router.withdraw(A, many());
    let told = router.told(B);
    assert!(told.iter().all(|(_, attrs)| attrs.is_none()));
    let sorted = |changes: &[Change]| {
        let mut prefixes: Vec<_> = changes.iter().map(|(prefix, _)| *prefix).collect();
        prefixes.sort_unstable();
        prefixes
    };
    assert_eq!(sorted(&told), sorted(&sent));
}

#[test]
fn a_slow_peer_is_told_the_latest_state_once() {
    let mut router = Router::new();
    for hop in 0..50 {
        router.announce(A, vec![nth(0)], attrs_of(A, &[1, 100 + hop]));
    }
    let told = router.told(B);
    assert_eq!(told.len(), 1);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US, Asn(1), Asn(149)]));
}

#[test]
fn prefixes_that_come_and_go_leave_nothing_behind_for_a_peer_that_never_asks() {
    let mut router = Router::new();
    for round in 0..50 {
        let prefixes: Vec<_> = (0..100).map(|i| nth(round * 100 + i)).collect();
        router.announce(A, prefixes.clone(), attrs_of(A, &[1, round]));
        router.withdraw(A, prefixes);
    }
    assert_eq!(router.rib.attrs_count(), 1, "only that of our own prefixes");
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 0);
    assert_eq!(router.told(B), []);
}

#[test]
fn ready_is_said_once_until_drained() {
    let mut router = Router::new();
    router.ready.clear();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(A, vec![nth(1)], attrs_of(A, &[1]));
    assert_eq!(router.ready, [B, C]);
    router.told(B);
    router.announce(A, vec![nth(2)], attrs_of(A, &[1]));
    assert_eq!(router.ready, [B, C, B]);
}

#[test]
fn a_full_table_ends_with_end_of_rib_and_changes_during_it_are_not_lost() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.up(B);
    let mut held = BTreeMap::new();
    let mut ends = Vec::new();
    for round in 0.. {
        if round == 1 {
            router.withdraw(A, vec![nth(0), nth(MANY - 1)]);
            router.announce(A, vec![nth(MANY)], attrs_of(A, &[1]));
        }
        let Some(batch) = router.told_once(B) else {
            break;
        };
        ends.extend(batch.marks);
        for (prefix, attrs) in batch.changes {
            match attrs {
                Some(attrs) => held.insert(prefix, attrs),
                None => held.remove(&prefix),
            };
        }
    }
    assert_eq!(ends, Family::ALL.map(RouteEvent::EndOfRib));
    let held: Vec<_> = held.into_keys().collect();
    let expected: Vec<_> = (1..MANY - 1).chain([MANY]).map(nth).collect();
    assert_eq!(held, expected);
}

#[test]
fn refresh_sends_everything_again_and_says_where_it_ends() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), many().len());
    assert_eq!(router.told(B), []);
    router.handle(Input::Refresh(B, Family::Ipv4Unicast));
    let heard = router.listen(B);
    let mut prefixes: Vec<_> = heard
        .changes
        .into_iter()
        .map(|(prefix, _)| prefix)
        .collect();
    prefixes.sort_unstable();
    let end = RouteEvent::EndOfRib(Family::Ipv4Unicast);
    assert_eq!((prefixes, heard.marks), (many(), vec![end]));
}

#[test]
fn another_export_filter_withdraws_exactly_what_it_forbids() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    let export = Filter::compile(vec![Rule {
        matches: Match {
            prefixes: vec![PrefixPattern {
                net: net("10.0.0.0/14"),
                min: 24,
                max: 24,
            }],
            ..Match::default()
        },
        action: Action::Accept,
        set: Set::default(),
    }]);
    router.configure(B, Asn(2), Filter::accept_all(), export);
    let told = router.told(B);
    assert!(told.iter().all(|(_, attrs)| attrs.is_none()));
    assert_eq!(told.len(), MANY as usize - 1024);
    assert_eq!(router.rib.counts(B, Family::Ipv4Unicast).advertised, 1024);
    assert_eq!(
        router.told(C).len(),
        MANY as usize,
        "others are not concerned"
    );
}

#[test]
fn the_same_configuration_again_is_no_work() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    router.ready.clear();
    router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all());
    assert_eq!(router.rib.poll_timeout(), None);
    assert_eq!((router.ready.len(), router.told(B)), (0, vec![]));
}

#[test]
fn a_failover_that_changes_nothing_for_a_peer_is_not_sent() {
    let mut router = Router::new();
    router.configure(B, Asn(1), Filter::accept_all(), Filter::accept_all());
    router.up(B);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[1]));
    assert_eq!(router.told(C).len(), 1);
    router.handle(Input::Standing(A, Standing::Unusable));
    assert_eq!(router.fib[&nth(0)], [B]);
    assert_eq!(router.told(C), []);
}

#[test]
fn a_dead_peers_paths_are_not_announced_before_the_sweep_reaches_them() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.handle(Input::Down(A, Retention::new()));
    assert!(
        router.rib.poll_timeout().is_some(),
        "there is more than one bite"
    );
    assert_eq!(router.told(B), []);
    assert!(router.fib.values().all(Vec::is_empty));
}

#[test]
fn a_peer_that_returns_during_the_sweep_has_its_fresh_paths_only() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.handle(Input::Down(A, Retention::new()));
    router.up(A);
    let fresh = [nth(0), nth(MANY - 1)];
    router.announce(A, fresh.to_vec(), attrs_of(A, &[1, 9]));
    assert_eq!(router.rib.counts(A, Family::Ipv4Unicast).received, 2);
    assert_eq!(router.rib.route(&fresh[1]).unwrap().paths.len(), 1);
    router.settle();
    let reached = router.fib.iter().filter(|(_, hops)| !hops.is_empty());
    let reached: Vec<_> = reached.map(|(prefix, _)| *prefix).collect();
    assert_eq!(reached, fresh);
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 2);
}

#[test]
fn a_bite_is_bounded_and_the_rest_follows() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    let nexthop = [10, 255, 0, 1].into();
    assert_eq!(router.rib.nexthops().collect::<Vec<_>>(), [nexthop]);
    router.handle(Input::Nexthop(nexthop, NexthopState::Unreachable));
    let gone = |router: &Router| router.fib.values().filter(|hops| hops.is_empty()).count();
    assert_eq!(
        gone(&router),
        0,
        "others may be heard of in the same breath"
    );
    assert_eq!(router.rib.poll_timeout(), Some(router.now));
    router.handle(Input::Timeout);
    assert_eq!(gone(&router), 2_000);
    let view = router.rib.route(&nth(MANY - 1)).unwrap();
    assert_eq!(
        view.paths[0].step,
        Step::NexthopUnreachable,
        "reads are ahead of the sweep"
    );
    router.settle();
    assert_eq!(gone(&router), MANY as usize);
}

#[test]
fn another_import_filter_needs_nothing_from_the_peer() {
    let mut router = Router::new();
    router.configure(A, Asn(1), Filter::reject_all(), Filter::accept_all());
    router.announce(A, many(), attrs_of(A, &[1]));
    let counts = router.rib.counts(A, Family::Ipv4Unicast);
    assert_eq!((counts.received, counts.accepted), (MANY as usize, 0));
    router.configure(A, Asn(1), Filter::accept_all(), Filter::accept_all());
    router.settle();
    let counts = router.rib.counts(A, Family::Ipv4Unicast);
    assert_eq!(
        (counts.accepted, counts.best),
        (MANY as usize, MANY as usize)
    );
    assert_eq!(router.told(B).len(), MANY as usize);
}

#[test]
fn the_longest_match_is_the_one_that_packets_follow() {
    let mut router = Router::new();
    router.announce(A, vec![net("10.0.0.0/8")], attrs_of(A, &[1]));
    router.announce(A, vec![net("10.1.0.0/16")], attrs_of(A, &[1, US.0]));
    let found = |text: &str| {
        let view = router.rib.longest_match(text.parse().unwrap());
        view.map(|view| view.prefix)
    };
    assert_eq!(
        found("10.1.2.3"),
        Some(net("10.0.0.0/8")),
        "the /16 is looped"
    );
    assert_eq!((found("11.1.2.3"), found("::1")), (None, None));
}

#[test]
fn a_view_says_why_each_path_lost() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    router.announce(C, vec![nth(0)], attrs_of(C, &[3, US.0]));
    let view = router.rib.route(&nth(0)).unwrap();
    let paths = view.paths.iter();
    let told: Vec<_> = paths
        .map(|path| (path.peer, path.best, path.step))
        .collect();
    let expected = [
        (Some(B), true, Step::AsPathLength),
        (Some(A), false, Step::AsPathLength),
        (Some(C), false, Step::AsLoop),
    ];
    assert_eq!(told, expected);
    assert_eq!(router.fib[&nth(0)], [B, A]);
}

#[test]
fn routes_of_an_unknown_or_unestablished_peer_change_nothing() {
    let mut router = Router::new();
    router.handle(Input::Down(A, Retention::new()));
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(PeerId(99), vec![nth(0)], attrs_of(A, &[1]));
    router.handle(Input::Refresh(PeerId(99), Family::Ipv4Unicast));
    assert_eq!(router.rib.poll_export(PeerId(99)), None);
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 0);
}

#[test]
fn withdraw_of_unknown_prefix_changes_nothing() {
    let mut router = Router::new();
    router.ready.clear();
    router.withdraw(A, vec![nth(0)]);
    assert!(router.fib.is_empty() && router.ready.is_empty());
}

#[test]
fn who_falls_behind_is_told_by_prefix_and_ends_up_with_the_same() {
    let mut router = Router::with(ExportBounds {
        prefixes: 100,
        backlog: 2_000,
    });
    router.announce(A, many(), attrs_of(A, &[1]));
    let mut held: BTreeMap<Prefix, Arc<Attrs>> = BTreeMap::new();
    let first = router.told_once(C).unwrap();
    apply(&mut held, first.changes);
    let all: BTreeMap<Prefix, Arc<Attrs>> = {
        let mut all = BTreeMap::new();
        apply(&mut all, router.told(B));
        router.withdraw(A, (0..1_000).map(nth).collect());
        apply(&mut all, router.told(B));
        router.announce(A, (0..500).map(nth).collect(), attrs_of(A, &[1, 9]));
        apply(&mut all, router.told(B));
        all
    };
    let late = router.told(C);
    assert!(
        late.len() <= many().len(),
        "each prefix once: {}",
        late.len()
    );
    apply(&mut held, late);
    assert_eq!(held, all);
    let advertised = |peer| router.rib.counts(peer, Family::Ipv4Unicast).advertised;
    assert_eq!((advertised(B), advertised(C)), (4_500, 4_500));
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 10]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!(
        to_b.bytes[0].as_ptr(),
        to_c.bytes[0].as_ptr(),
        "it has caught up, and shares again"
    );
}

#[test]
fn a_peer_that_takes_nothing_holds_up_nobody() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(B, vec![nth(1)], attrs_of(B, &[2]));
    // C never asks.
    assert_eq!(router.told(A).len(), 1);
    assert_eq!(router.told(B).len(), 1);
}

#[test]
fn the_peer_whose_path_is_chosen_now_is_told_that_the_other_one_is_gone() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    assert_eq!(router.told(B).len(), 1);
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    assert_eq!(router.told(B), [(nth(0), None)]);
    let told = router.told(A);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US, Asn(2)]));
}

#[test]
fn an_enhanced_refresh_is_marked_at_both_ends() {
    let mut router = Router::new();
    let up = SessionUp {
        nexthops: [Some(OUR_NEXTHOP), None],
        enhanced_refresh: true,
        ..SessionUp::new(
            RouterId::new([10, 255, 0, 2].into()).unwrap(),
            router.dialects[&B].clone(),
        )
    };
    router.handle(Input::Up(B, up));
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    router.handle(Input::Refresh(B, Family::Ipv4Unicast));
    let mut events = Vec::new();
    while let Some(updates) = router.rib.poll_export(B) {
        events.extend(heard(&updates, &router.dialects[&B]));
    }
    let family = Family::Ipv4Unicast;
    assert_eq!(events.first(), Some(&RouteEvent::RefreshBegins(family)));
    assert_eq!(events.last(), Some(&RouteEvent::RefreshEnds(family)));
    let announced = events.iter().map(|event| match event {
        RouteEvent::Announce { prefixes, .. } => prefixes.len(),
        RouteEvent::Withdraw { .. }
        | RouteEvent::EndOfRib(_)
        | RouteEvent::RefreshBegins(_)
        | RouteEvent::RefreshEnds(_) => 0,
    });
    assert_eq!(announced.sum::<usize>(), many().len());
}

#[test]
fn while_deferred_nobody_is_told_anything_and_then_everything() {
    let mut router = Router::new();
    router.handle(Input::Defer);
    router.up(B);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    assert!(router.rib.poll_export(B).is_none());
    router.ready.clear();
    router.handle(Input::Release);
    assert_eq!(router.ready, [A, B, C]);
    let heard = router.listen(B);
    assert_eq!(heard.changes.len(), 1);
    assert_eq!(heard.marks, Family::ALL.map(RouteEvent::EndOfRib));
}

#[test]
fn what_cannot_be_encoded_is_withdrawn_and_counted() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), 1);
    let long = Attrs {
        communities: (0..1_500).map(Community).collect(),
        ..attrs_of(A, &[1])
    };
    router.announce(A, vec![nth(0)], long);
    assert_eq!(router.told(B), [(nth(0), None)]);
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((counts.advertised, counts.unsendable), (0, 1));
}

#[test]
fn peers_that_change_to_the_same_filter_share_again() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    for peer in [B, C] {
        router.told(peer);
    }
    let prepending = || {
        Filter::compile(vec![Rule {
            matches: Match {
                prefixes: vec![PrefixPattern::exact(nth(7))],
                ..Match::default()
            },
            action: Action::Reject,
            set: Set::default(),
        }])
    };
    for peer in [B, C] {
        router.configure(peer, Asn(peer.0), Filter::accept_all(), prepending());
    }
    for peer in [B, C] {
        assert_eq!(router.told(peer).len(), many().len());
    }
    router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all());
    router.configure(C, Asn(3), Filter::accept_all(), Filter::accept_all());
    assert_eq!(router.told(B).len(), many().len());
    assert_eq!(router.told(C).len(), many().len());
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 10]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!(to_b.bytes[0].as_ptr(), to_c.bytes[0].as_ptr());
}
