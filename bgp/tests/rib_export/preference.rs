//! Peers that are asked to prefer one link, and not another.

use super::*;

fn asked(id: PeerId, way_back: WayBack, export: Filter) -> Input {
    Input::Configure(RibPeer {
        id,
        asn: Asn(id.0),
        address: [10, 255, 0, id.0 as u8].into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(export),
        options: PeerOptions {
            way_back,
            ..PeerOptions::default()
        },
    })
}

fn community(high: u32, low: u32) -> Community {
    Community(high << 16 | low)
}

fn direct_connect() -> WayBack {
    WayBack::Communities([7300, 7200, 7100].map(|low| community(7224, low)))
}

/// Path and MED of the only prefix that `B` is told of.
fn path_and_med(router: &mut Router) -> (Vec<u32>, Option<u32>) {
    let told = router.told(B);
    let [(_, Some(attrs))] = told.as_slice() else {
        unreachable!("one prefix is told: {told:?}");
    };
    (attrs.as_path.iter().map(|asn| asn.0).collect(), attrs.med)
}

#[test]
fn a_change_of_preference_tells_everything_again_in_bites_and_no_change_tells_nothing() {
    let mut router = Router::new();
    router.handle(asked(B, WayBack::Prepend, Filter::accept_all()));
    router.announce(A, many(), attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), MANY as usize);
    router.handle(Input::Preference(B, Preference::Secondary));
    let mut batches = 0;
    let mut changes = Vec::new();
    while let Some(heard) = router.told_once(B) {
        assert!(heard.changes.len() <= 1_000, "a bite");
        batches += usize::from(!heard.changes.is_empty());
        changes.extend(heard.changes);
    }
    assert!(batches >= 5);
    assert_eq!(changes.len(), MANY as usize);
    let longer = AsPath::sequence(&[US, US, US, Asn(1)]);
    let is_longer = |(_, attrs): &Change| attrs.as_ref().is_some_and(|it| it.as_path == longer);
    assert!(changes.iter().all(is_longer));
    router.ready.clear();
    router.handle(Input::Preference(B, Preference::Secondary));
    assert_eq!((router.told(B), router.ready.len()), (Vec::new(), 0));
    router.handle(Input::Preference(C, Preference::Secondary));
    assert_eq!(router.told(C).len(), MANY as usize, "its first table");
    router.handle(Input::Preference(C, Preference::Further));
    assert_eq!(router.told(C), [], "nothing is asked of it");
}

#[test]
fn to_be_the_primary_is_no_news_where_only_others_are_marked() {
    let mut router = Router::new();
    router.handle(asked(B, WayBack::Prepend, Filter::accept_all()));
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), 1);
    router.handle(Input::Preference(B, Preference::Primary));
    assert_eq!(router.told(B), []);
    let (preference, words) = router.rib.asked(B).unwrap();
    assert_eq!(
        (preference, words.to_string()),
        (Preference::Primary, String::new())
    );
}

#[test]
fn each_step_is_worse_than_the_one_before_in_every_language() {
    let steps = [
        (Preference::Primary, 0, 0),
        (Preference::Secondary, 2, 100),
        (Preference::Further, 4, 200),
        (Preference::Draining, 6, 65_535),
    ];
    for (preference, prepends, med) in steps {
        for (way_back, path, told_med) in [
            (WayBack::Prepend, 1 + prepends, None),
            (WayBack::Med, 1, Some(med)),
        ] {
            let mut router = Router::new();
            router.handle(asked(B, way_back, Filter::accept_all()));
            router.handle(Input::Preference(B, preference));
            router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
            let ours = vec![US.0; path];
            let expected = (ours.into_iter().chain([1]).collect(), told_med);
            assert_eq!(path_and_med(&mut router), expected, "{preference}");
        }
    }
}

#[test]
fn what_the_export_filter_says_itself_stands() {
    let rule = |set| {
        let rule = Rule {
            matches: Match::default(),
            action: Action::Accept,
            set,
        };
        Filter::compile(vec![rule])
    };
    let told = |way_back, set| {
        let mut router = Router::new();
        router.handle(asked(B, way_back, rule(set)));
        router.handle(Input::Preference(B, Preference::Further));
        router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
        let attrs = router.told(B)[0].1.clone().unwrap();
        let path: Vec<u32> = attrs.as_path.iter().map(|asn| asn.0).collect();
        (path.len(), attrs.med, attrs.communities.to_vec())
    };
    let prepending = Set {
        prepend: Some(Prepend::own(1)),
        ..Set::default()
    };
    assert_eq!(
        told(WayBack::Prepend, prepending.clone()),
        (3, None, vec![])
    );
    assert_eq!(
        told(WayBack::Med, prepending),
        (3, Some(200), vec![]),
        "another word"
    );
    let with_med = Set {
        med: Some(7.into()),
        ..Set::default()
    };
    assert_eq!(told(WayBack::Med, with_med), (2, Some(7), vec![]));
    let high = Set {
        add_communities: vec![community(7224, 7300)],
        ..Set::default()
    };
    assert_eq!(
        told(direct_connect(), high),
        (2, None, vec![community(7224, 7300)])
    );
    let other = Set {
        add_communities: vec![community(65_010, 1)],
        ..Set::default()
    };
    let both = vec![community(7224, 7100), community(65_010, 1)];
    assert_eq!(told(direct_connect(), other), (2, None, both));
}

#[test]
fn peers_that_are_asked_the_same_share_their_messages_again() {
    let mut router = Router::new();
    for id in [B, C] {
        router.handle(asked(id, WayBack::Med, Filter::accept_all()));
        router.handle(Input::Preference(id, Preference::Primary));
    }
    router.announce(A, many(), attrs_of(A, &[1]));
    assert_eq!(router.told(B), router.told(C));
    router.handle(Input::Preference(C, Preference::Secondary));
    assert_eq!(router.told(B), [], "only the other one has moved");
    assert_eq!(router.told(C).len(), MANY as usize);
    router.handle(Input::Preference(B, Preference::Secondary));
    assert_eq!(router.told(B).len(), MANY as usize);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    let first = router.rib.poll_export(B).unwrap();
    let second = router.rib.poll_export(C).unwrap();
    assert_eq!(
        first.bytes[0].as_ptr(),
        second.bytes[0].as_ptr(),
        "the very same bytes"
    );
}
