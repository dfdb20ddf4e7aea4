//! Aggregates and their contributors.

use super::*;

fn aggregating(more_specifics: MoreSpecifics) -> Router {
    let mut router = Router::new();
    let aggregate = Aggregate {
        more_specifics,
        ..aggregate("10.0.0.0/8")
    };
    router.handle(Input::Aggregate(vec![aggregate]));
    router
}

fn aggregate(prefix: &str) -> Aggregate {
    Aggregate {
        prefix: net(prefix),
        more_specifics: MoreSpecifics::Told,
        rest: Rest::Discarded,
    }
}

#[test]
fn an_aggregate_comes_with_its_first_contributor_and_goes_with_its_last() {
    let mut router = aggregating(MoreSpecifics::Told);
    assert_eq!(router.best("10.0.0.0/8"), None);
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let told = router.told(B);
    let prefixes: Vec<Prefix> = told.iter().map(|(prefix, _)| *prefix).collect();
    assert_eq!(prefixes.len(), 3, "{prefixes:?}");
    let aggregate = router.best("10.0.0.0/8").unwrap();
    assert!(aggregate.atomic_aggregate);
    assert_eq!(aggregate.aggregator.unwrap().asn, US);
    router.withdraw(A, "10.0.0.0/24");
    assert!(router.best("10.0.0.0/8").is_some());
    router.withdraw(A, "10.0.1.0/24");
    assert_eq!(router.best("10.0.0.0/8"), None);
}

#[test]
fn suppressed_prefixes_are_told_to_nobody_while_their_aggregate_is() {
    let mut router = aggregating(MoreSpecifics::Suppressed);
    router.announce(A, &["10.0.0.0/24", "11.0.0.0/24"], attrs(A, &[1]));
    let told: Vec<Prefix> = router.told(B).iter().map(|(prefix, _)| *prefix).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(!told.contains(&net("10.0.0.0/24")));
    router.handle(Input::Aggregate(Vec::new()));
    let mut told = router.told(B);
    told.sort_by_key(|(prefix, _)| *prefix);
    let told: Vec<_> = told
        .iter()
        .map(|(prefix, attrs)| (*prefix, attrs.is_some()))
        .collect();
    assert_eq!(
        told,
        [(net("10.0.0.0/8"), false), (net("10.0.0.0/24"), true)]
    );
}

#[test]
fn an_aggregate_counts_what_was_there_before_it_was_configured() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Aggregate(vec![aggregate("10.0.0.0/8")]));
    assert!(router.best("10.0.0.0/8").is_some());
}

/// All prefixes that are selected, in order, collected two places at a time.
#[test]
fn aggregates_are_counted_in_bites_and_those_before_stay_in_force_meanwhile() {
    let mut router = aggregating(MoreSpecifics::Suppressed);
    let nets: Vec<Prefix> = (0..20_000_u32)
        .map(|net| Prefix::new(Ipv4Addr::from((10 << 24) | (net << 8)).into(), 24).unwrap())
        .filter(|net| net.addr() < Ipv4Addr::new(10, 70, 0, 0))
        .collect();
    let event = RouteEvent::announce(Arc::new(attrs(A, &[1])), nets.clone());
    router.events(A, vec![event]);
    router.told(B);
    let other = Aggregate {
        more_specifics: MoreSpecifics::Suppressed,
        ..aggregate("10.0.0.0/9")
    };
    let now = router.now;
    router.rib.handle(Input::Aggregate(vec![other]), now);
    assert_eq!(
        router.rib.poll_timeout(),
        Some(now),
        "one bite is not enough"
    );
    assert_eq!(router.told(B), [], "nothing leaks");
    // What changes meanwhile counts once, before and behind the place that has been reached.
    for net in [nets[0], nets[nets.len() - 1]] {
        let gone = vec![RouteEvent::withdraw(vec![net])];
        router.rib.handle(Input::Routes(A, gone), now);
        let back = RouteEvent::announce(Arc::new(attrs(A, &[1])), vec![net]);
        router.rib.handle(Input::Routes(A, vec![back]), now);
    }
    router.handle(Input::Timeout);
    let told = router.told(B);
    let announced = told.iter().filter(|(_, attrs)| attrs.is_some());
    let announced: Vec<Prefix> = announced.map(|(prefix, _)| *prefix).collect();
    assert_eq!(announced, [net("10.0.0.0/9")]);
    router.events(A, vec![RouteEvent::withdraw(nets)]);
    assert_eq!(router.told(B), [(net("10.0.0.0/9"), None)]);
}

#[test]
fn an_aggregate_discards_while_it_is_there() {
    let mut router = aggregating(MoreSpecifics::Told);
    assert_eq!(router.discards, [].into());
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert_eq!(router.discards, [net("10.0.0.0/8")].into());
    assert_eq!(router.hops("10.0.0.0/24").len(), 1);
    router.withdraw(A, "10.0.0.0/24");
    assert_eq!(router.discards, [].into());
}

#[test]
fn aggregates_within_aggregates_all_discard() {
    let mut router = Router::new();
    let nested = ["10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "2001:db8::/32"];
    router.handle(Input::Aggregate(nested.map(aggregate).into()));
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    let expected = ["10.0.0.0/8", "10.0.0.0/16"].map(net);
    assert_eq!(router.discards, expected.into());
}

#[test]
fn a_path_for_the_very_prefix_of_an_aggregate_leads_nowhere_until_the_aggregate_goes() {
    let mut router = aggregating(MoreSpecifics::Told);
    router.announce(A, &["10.0.0.0/8"], attrs(A, &[1]));
    assert_eq!(router.discards, [].into(), "it contributes nothing");
    assert_eq!(router.hops("10.0.0.0/8").len(), 1);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert_eq!(router.discards, [net("10.0.0.0/8")].into());
    router.announce(B, &["10.0.0.0/8"], attrs(B, &[2]));
    assert_eq!(router.hops("10.0.0.0/8"), []);
    router.withdraw(A, "10.0.0.0/24");
    assert_eq!(router.discards, [].into());
    assert_eq!(router.hops("10.0.0.0/8").len(), 2);
}

#[test]
fn a_prefix_of_our_own_contributes_and_is_no_route() {
    let mut router = aggregating(MoreSpecifics::Told);
    router.handle(Input::Originate(vec![net("10.1.0.0/16")]));
    assert_eq!(router.discards, [net("10.0.0.0/8")].into());
    router.handle(Input::Originate(vec![
        net("10.1.0.0/16"),
        net("10.0.0.0/8"),
    ]));
    assert_eq!(
        router.discards,
        [].into(),
        "what we originate is reached here"
    );
    router.handle(Input::Originate(vec![net("10.1.0.0/16")]));
    assert_eq!(router.discards, [net("10.0.0.0/8")].into());
}

#[test]
fn whether_an_aggregate_discards_can_change_while_it_is_there() {
    let mut router = aggregating(MoreSpecifics::Told);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.told(B);
    let with = |rest| Aggregate {
        rest,
        ..aggregate("10.0.0.0/8")
    };
    router.handle(Input::Aggregate(vec![with(Rest::Untouched)]));
    assert_eq!(router.discards, [].into());
    assert!(router.best("10.0.0.0/8").is_some());
    router.handle(Input::Aggregate(vec![with(Rest::Discarded)]));
    assert_eq!(router.discards, [net("10.0.0.0/8")].into());
    assert_eq!(router.told(B), [], "nobody else has to know");
}

#[test]
fn where_packets_are_forwarded_elsewhere_nothing_is_discarded() {
    let mut router = Router::with(RibConfig {
        forwarding: Forwarding::Elsewhere,
        ..config()
    });
    router.handle(Input::Aggregate(vec![aggregate("10.0.0.0/8")]));
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert!(router.best("10.0.0.0/8").is_some());
    assert_eq!(router.changes, 0);
}
