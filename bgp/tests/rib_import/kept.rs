//! What is kept of a session that ended or is sent again.

use super::*;

#[test]
fn a_peer_that_restarts_and_sends_the_same_changes_nothing() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.told(B);
    let changes = router.changes;
    router.handle(Input::Down(A, retention(120, 0)));
    assert!(router.rib.route(&net("10.0.0.0/24")).unwrap().paths[0].stale);
    router.pass(Duration::from_secs(119));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    assert_eq!((router.changes, router.told(B).len()), (changes, 0));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (2, 0, 2));
}

#[test]
fn what_is_not_sent_again_before_end_of_rib_goes() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    assert_eq!(router.fib[&net("10.0.1.0/24")].len(), 1);
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    assert!(router.fib[&net("10.0.1.0/24")].is_empty());
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
}

#[test]
fn a_peer_that_does_not_come_back_loses_what_was_kept() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    let deadline = router.rib.poll_timeout();
    assert_eq!(deadline, Some(router.now + Duration::from_secs(120)));
    router.pass(Duration::from_secs(120));
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
    assert_eq!(router.rib.poll_timeout(), None);
}

#[test]
fn a_peer_that_never_ends_its_table_loses_the_rest_after_six_minutes() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.pass(Duration::from_secs(359));
    assert_eq!(router.received(A), 1);
    router.pass(Duration::from_secs(1));
    assert_eq!(router.received(A), 0);
}

#[test]
fn what_the_peer_did_not_preserve_goes_when_it_is_back() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.up(A);
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn a_second_restart_before_end_of_rib_takes_what_the_first_left() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    assert_eq!(router.steps("10.0.0.0/24"), []);
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::OnlyPath)]);
}

#[test]
fn where_a_notification_is_not_the_end_restarts_add_up_until_end_of_rib() {
    let mut router = Router::new();
    let lost = || {
        let mut retention = retention(120, 0);
        for retained in &mut retention {
            retained.leftover = Leftover::Stays;
        }
        Input::Down(A, retention)
    };
    let all = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"];
    router.announce(A, &all, attrs(A, &[1]));
    for again in [1, 2] {
        router.handle(lost());
        router.handle(Input::Up(A, preserving(A)));
        router.announce(A, &all[..again], attrs(A, &[1, 7]));
    }
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (3, 1, 3));
    assert_eq!(router.best(all[1]).unwrap().as_path, path(&[1, 7]));
    assert_eq!(router.best(all[2]).unwrap().as_path, path(&[1]));
    router.withdraw(A, all[2]);
    assert_eq!(router.steps(all[2]), []);
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (2, 0, 2));
}

#[test]
fn a_session_that_ends_within_a_refresh_keeps_the_newest_known_of_each() {
    let mut router = Router::new();
    let all = ["10.0.0.0/24", "10.0.1.0/24"];
    router.announce(A, &all, attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.handle(Input::Down(A, retention(120, 0)));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (2, 2, 2));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
    assert_eq!(router.best("10.0.1.0/24").unwrap().as_path, path(&[1]));

    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 8]));
    router.withdraw(A, "10.0.0.0/24");
    assert_eq!(router.steps("10.0.0.0/24"), []);
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (1, 0, 1));
}

#[test]
fn what_a_refresh_had_not_brought_goes_when_the_peer_stays_away() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.pass(Duration::from_secs(120));
    assert_eq!(router.received(A), 0);
    assert!(router.fib.values().all(Vec::is_empty));

    router.up(A);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.handle(Input::Down(A, Retention::new()));
    assert_eq!(
        router.received(A),
        0,
        "without graceful restart nothing stays"
    );
}

#[test]
fn a_stale_path_over_a_dead_link_is_not_used() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Standing(A, Standing::Unusable));
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::LinkUnusable)]);
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn long_lived_stale_paths_are_the_last_resort_and_told_to_those_who_know() {
    let mut router = Router::new();
    let knowing = SessionUp {
        long_lived: FamilySet::ALL,
        ..session(C)
    };
    router.handle(Input::Up(C, knowing));
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.announce(B, &["10.0.1.0/24"], attrs(B, &[2, 3, 4, 5]));
    router.told(B);
    router.told(C);
    router.handle(Input::Down(A, retention(120, 1000)));
    router.pass(Duration::from_secs(120));
    let lost = [(B, Step::LongLivedStale), (A, Step::LongLivedStale)];
    assert_eq!(router.steps("10.0.1.0/24"), lost);
    let withdrawn = router.told(B);
    assert!(withdrawn.iter().all(|(_, attrs)| attrs.is_none()));
    let told = router.told(C);
    let alone = told
        .iter()
        .find(|(prefix, _)| *prefix == net("10.0.0.0/24"));
    let attrs = alone.unwrap().1.as_ref().unwrap();
    assert_eq!(attrs.communities[..], [Community::LLGR_STALE]);
    router.pass(Duration::from_secs(1000));
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn a_path_that_says_no_llgr_is_not_kept_for_long() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], communities(&[Community::NO_LLGR]));
    router.handle(Input::Down(A, retention(120, 1000)));
    assert_eq!(router.received(A), 1);
    router.pass(Duration::from_secs(120));
    assert_eq!(router.received(A), 0);
}

#[test]
fn a_refresh_removes_what_it_did_not_bring_again() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let changes = router.changes;
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert_eq!(router.changes, changes);
    router.events(A, vec![RouteEvent::RefreshEnds(V4)]);
    assert_eq!(router.changes, changes + 1);
    assert!(router.fib[&net("10.0.1.0/24")].is_empty());
}
