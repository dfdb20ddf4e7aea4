//! Peers that take several paths for a prefix (RFC 7911).

use super::*;

/// What C is told of paths by prefix and identifier.
fn several(router: &mut Router) -> BTreeMap<(Prefix, PathId), AsPath> {
    let mut held = BTreeMap::new();
    collect(router, &mut held);
    held
}

fn collect(router: &mut Router, held: &mut BTreeMap<(Prefix, PathId), AsPath>) {
    while let Some(updates) = router.rib.poll_export(C) {
        for event in heard(&updates, &router.dialects[&C]) {
            match event {
                RouteEvent::Announce {
                    attrs,
                    prefixes,
                    path_ids,
                } => {
                    assert_eq!(prefixes.len(), path_ids.len());
                    for path in prefixes.into_iter().zip(path_ids) {
                        held.insert(path, attrs.as_path.clone());
                    }
                }
                RouteEvent::Withdraw { prefixes, path_ids } => {
                    assert_eq!(prefixes.len(), path_ids.len());
                    for path in prefixes.into_iter().zip(path_ids) {
                        assert!(held.remove(&path).is_some(), "{path:?} was not told");
                    }
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }
    router.drain();
}

/// C takes so many paths for a prefix.
fn taking_several(limit: u8) -> Router {
    let mut router = Router::new();
    let dialect = Dialect {
        add_path_send: FamilySet::ALL,
        ..Dialect::new(US, Asn(3))
    };
    router.dialects.insert(C, dialect);
    router.handle(Input::Configure(RibPeer {
        id: C,
        asn: Asn(3),
        address: [10, 255, 0, 3].into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(Filter::accept_all()),
        options: PeerOptions {
            add_path_limit: limit,
            ..PeerOptions::default()
        },
    }));
    router.up(C);
    router
}

#[test]
fn a_peer_that_takes_several_paths_is_told_each_under_its_own_identifier() {
    let mut router = taking_several(0);
    let sent = |asns: &[u32]| {
        let asns: Vec<Asn> = asns.iter().copied().map(Asn).collect();
        AsPath::sequence(&asns)
    };
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    router.announce(C, vec![nth(0)], attrs_of(C, &[3]));
    let mut held = several(&mut router);
    let paths: Vec<AsPath> = held.values().cloned().collect();
    assert_eq!(paths, [sent(&[US.0, 1, 7]), sent(&[US.0, 2])]);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 8, 9]));
    collect(&mut router, &mut held);
    let paths: Vec<AsPath> = held.values().cloned().collect();
    assert_eq!(
        paths,
        [sent(&[US.0, 1, 8, 9]), sent(&[US.0, 2])],
        "one that is not the best changed"
    );
    router.handle(Input::Refresh(C, Family::Ipv4Unicast));
    let again = several(&mut router);
    assert_eq!(again, held);
    router.withdraw(B, vec![nth(0)]);
    router.handle(Input::Down(A, Retention::new()));
    router.settle();
    collect(&mut router, &mut held);
    assert!(held.is_empty());
    let counts = router.rib.counts(C, Family::Ipv4Unicast);
    assert_eq!(counts.advertised, 0);
    router.handle(Input::Remove(C));
    router.handle(Input::Remove(B));
    router.settle();
    assert_eq!(router.rib.attrs_count(), 1, "only that of our own prefixes");
}

#[test]
fn a_limit_on_paths_leaves_the_best() {
    let mut router = taking_several(1);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    let held = several(&mut router);
    let paths: Vec<&AsPath> = held.values().collect();
    assert_eq!(paths, [&AsPath::sequence(&[US, Asn(2)])]);
}
