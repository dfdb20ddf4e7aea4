//! What a peer may bring.

use super::*;

fn limited(action: LimitAction) -> (Router, PrefixLimit) {
    let limit = PrefixLimit {
        max: 3,
        warn_at: 2,
        action,
    };
    let mut router = Router::new();
    let options = PeerOptions {
        receive_limit: [Some(limit), None],
        ..PeerOptions::default()
    };
    router.configure(A, options);
    let prefixes = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"];
    for prefix in prefixes {
        router.announce(A, &[prefix], attrs(A, &[1]));
    }
    (router, limit)
}

#[test]
fn a_limit_that_only_warns_warns_once_each_way() {
    let (mut router, limit) = limited(LimitAction::Warn);
    router.announce(A, &["10.0.4.0/24"], attrs(A, &[1]));
    let said = [
        (A, LimitEvent::Near(limit)),
        (A, LimitEvent::Exceeded(limit)),
    ];
    assert_eq!(router.limits, said);
    assert_eq!(router.received(A), 5);
    for third in 1..5 {
        router.withdraw(A, &format!("10.0.{third}.0/24"));
    }
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1]));
    assert_eq!(router.limits[2..], [(A, LimitEvent::Near(limit))]);
}

#[test]
fn a_peer_that_goes_up_and_down_around_its_limit_is_warned_of_once_at_a_time() {
    let (mut router, limit) = limited(LimitAction::Warn);
    router.limits.clear();
    let prefixes = || {
        (1..4)
            .map(|third| net(&format!("10.0.{third}.0/24")))
            .collect()
    };
    let both = || {
        let announced = RouteEvent::announce(Arc::new(attrs(A, &[1])), prefixes());
        [RouteEvent::withdraw(prefixes()), announced]
    };
    router.events(A, (0..100).flat_map(|_| both()).collect());
    let said = [
        (A, LimitEvent::Near(limit)),
        (A, LimitEvent::Exceeded(limit)),
    ];
    assert_eq!(router.limits, said);
}

#[test]
fn what_is_over_the_limit_is_discarded_and_what_is_known_still_changes() {
    let (mut router, _) = limited(LimitAction::Discard);
    router.announce(A, &["10.0.4.0/24", "10.0.0.0/24"], attrs(A, &[1, 7]));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.discarded), (3, 2));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
    assert_eq!(router.best("10.0.4.0/24"), None);
    router.withdraw(A, "10.0.0.0/24");
    router.announce(A, &["10.0.4.0/24"], attrs(A, &[1]));
    assert!(router.best("10.0.4.0/24").is_some());
}

/// Attributes of so many octets more than usual, about.
fn long(id: PeerId, octets: u32) -> Attrs {
    let communities = 0..64 + octets.div_ceil(4);
    Attrs {
        communities: communities.map(Community).collect(),
        ..attrs(id, &[1])
    }
}

#[test]
fn a_peer_cannot_fill_the_memory_with_long_attributes() {
    let mut router = Router::new();
    let nets = |from: u32, count: u32| -> Vec<Prefix> {
        let nets = (from..from + count).map(|net| Ipv4Addr::from(net << 8));
        nets.map(|net| Prefix::new(net.into(), 24).unwrap())
            .collect()
    };
    let send = |router: &mut Router, attrs: &Attrs, prefixes: Vec<Prefix>| {
        let event = RouteEvent::announce(Arc::new(attrs.clone()), prefixes);
        router.events(A, vec![event]);
    };
    let (usual, four) = (attrs(A, &[1]), long(A, 4096));
    let room = 256 << 10 >> 2;
    send(&mut router, &four, nets(0, room + 5_000));
    let bulky = LimitEvent::Bulky { octets: 256 << 20 };
    assert_eq!(router.limits, [(A, bulky)], "said once");
    let counts = router.rib.counts(A, V4);
    assert!(
        (60_000..=room as usize).contains(&counts.received),
        "{counts:?}"
    );
    assert!(counts.discarded >= 5_000, "{counts:?}");
    let full = counts.received;

    // Usual ones are taken all the same, and do not become long ones behind our back.
    send(&mut router, &usual, nets(1 << 20, 1));
    assert_eq!(router.received(A), full + 1);
    let last = nets(1 << 20, 1);
    send(&mut router, &four, last.clone());
    assert_eq!(router.received(A), full);
    assert!(
        router.fib[&last[0]].is_empty(),
        "what it said before is over"
    );

    // What goes makes room; what grows needs some.
    router.events(A, vec![RouteEvent::withdraw(nets(0, 2))]);
    send(&mut router, &four, last.clone());
    assert_eq!(router.received(A), full - 1);
    send(&mut router, &long(A, 8 << 10), last.clone());
    assert_eq!(router.received(A), full - 1);
    send(&mut router, &long(A, 16 << 10), last);
    assert_eq!(router.received(A), full - 2);
    assert_eq!(router.limits.len(), 1);
}

#[test]
fn a_session_that_is_to_end_for_its_limit_brings_nothing_more() {
    let (mut router, limit) = limited(LimitAction::Shutdown);
    assert_eq!(router.limits[1..], [(A, LimitEvent::Exceeded(limit))]);
    router.announce(A, &["10.0.0.0/24", "2001:db8::/48"], attrs(A, &[1, 7]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1]));
    assert_eq!(router.best("2001:db8::/48"), None);
    router.handle(Input::Down(A, Retention::new()));
    router.up(A);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    assert_eq!(router.received(A), 1);
}

#[test]
fn a_limit_lowered_below_what_is_there_is_passed_at_once() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let limit = PrefixLimit {
        max: 1,
        warn_at: 1,
        action: LimitAction::Restart(Duration::from_secs(60)),
    };
    let options = PeerOptions {
        receive_limit: [Some(limit), None],
        ..PeerOptions::default()
    };
    router.configure(A, options);
    assert_eq!(router.limits, [(A, LimitEvent::Exceeded(limit))]);
}
