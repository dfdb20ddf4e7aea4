//! Graceful restart (RFC 4724, RFC 8538, RFC 9494) and how sessions part.

mod single;

use std::time::Duration;

use bgp::session::{
    Cease, Conn, DownReason, Farewell, GracefulRestart, Input, Output, SessionConfig, State,
};
use bgp::wire::{
    Capability, LongLivedFamily, Notification, RestartCapability, RestartFamily, encode_keepalive,
};
use bgp::{Family, FamilySet, Leftover, Retained, Retention};
use bytes::BytesMut;
use single::{Single, config, notification};

const GRACEFUL: GracefulRestart = GracefulRestart {
    restart_secs: 120,
    long_lived_secs: 0,
    restarting: false,
    preserved: FamilySet::EMPTY,
};

fn with(restart: GracefulRestart) -> SessionConfig {
    SessionConfig {
        graceful_restart: Some(restart),
        ..config()
    }
}

fn family(afi: u16, forwarding: bool) -> RestartFamily {
    RestartFamily {
        afi,
        safi: 1,
        forwarding,
    }
}

/// A peer that keeps IPv4 for 60 s, and knows that a NOTIFICATION is not the end, or does not.
fn theirs(notification: bool) -> Capability {
    Capability::GracefulRestart(RestartCapability {
        restarting: false,
        notification,
        secs: 60,
        families: vec![family(1, false)],
    })
}

/// What is kept of it, and of a session before.
fn kept(notification: bool) -> Retention {
    let retained = Retained {
        family: Family::Ipv4Unicast,
        restart: Duration::from_secs(60),
        long_lived: Duration::ZERO,
        leftover: leftover(notification),
    };
    [retained].into_iter().collect()
}

/// RFC 4724 §4.2, and RFC 8538 §4.1 where both said N.
fn leftover(notification: bool) -> Leftover {
    match notification {
        true => Leftover::Stays,
        false => Leftover::Goes,
    }
}

fn lost() -> Retention {
    Retention::new()
}

fn graceful(notification: bool) -> Single {
    Single::established(with(GRACEFUL), &[theirs(notification)])
}

#[test]
fn routes_outlive_a_session_only_where_an_rfc_says_so() {
    let cease = |cease| notification(&Notification::cease(cease));
    let hard = notification(&Notification::cease(Cease::AdministrativeReset).into_hard_reset());
    type Act<'a> = Box<dyn Fn(&mut Single) + 'a>;
    let hears =
        |bytes: BytesMut| -> Act<'_> { Box::new(move |single| single.hear(Conn::Inbound, &bytes)) };
    let stops = |farewell: Farewell| -> Act<'_> {
        Box::new(move |single| single.input(Input::Stop(farewell.clone())))
    };
    let mut garbage = BytesMut::new();
    encode_keepalive(&mut garbage);
    garbage[3] = 0;
    // What happens, and whether routes are kept: with the N bit of both, and without the peer's.
    let rows: Vec<(&str, Act<'_>, bool, bool)> = vec![
        (
            "RFC 4724 §4.2: TCP fails",
            Box::new(|single| single.input(Input::Closed(Conn::Inbound))),
            true,
            true,
        ),
        (
            "RFC 8538 §4: the hold timer expires",
            Box::new(|single| single.wait(Duration::from_secs(90))),
            true,
            false,
        ),
        (
            "RFC 8538 §4: a Cease",
            hears(cease(Cease::AdministrativeReset)),
            true,
            false,
        ),
        ("RFC 8538 §4: a hard reset", hears(hard), false, false),
        (
            "RFC 8538 §4: an error that we find",
            hears(garbage),
            true,
            false,
        ),
        (
            "we reset it",
            stops(Cease::AdministrativeReset.into()),
            true,
            false,
        ),
        (
            "we reset it hard",
            stops(Farewell::from(Cease::AdministrativeReset).hard()),
            false,
            false,
        ),
        (
            "we shut it down",
            stops(Cease::AdministrativeShutdown.into()),
            false,
            false,
        ),
        (
            "it is not configured any more",
            stops(Cease::PeerDeconfigured.into()),
            false,
            false,
        ),
        (
            "RFC 9384: its link is dead",
            stops(Cease::BfdDown.into()),
            false,
            false,
        ),
        (
            "it sent too many prefixes",
            stops(Farewell::maximum_prefixes(Family::Ipv4Unicast, 7)),
            false,
            false,
        ),
        ("we restart", stops(Farewell::restart()), false, false),
    ];
    for (what, act, with_notification, without) in rows {
        for (agreed, keeps) in [(true, with_notification), (false, without)] {
            let mut single = graceful(agreed);
            act(&mut single);
            let (_, retention) = single.down().expect("it ended");
            let want = if keeps { kept(agreed) } else { lost() };
            assert_eq!(retention, want, "{what}, N {agreed}");
        }
        for (ours, peer) in [(config(), vec![theirs(true)]), (with(GRACEFUL), vec![])] {
            let mut single = Single::established(ours, &peer);
            act(&mut single);
            let (_, retention) = single.down().expect("it ended");
            assert_eq!(retention, lost(), "{what}, not agreed on");
        }
    }
}

#[test]
fn an_attempt_that_fails_keeps_nothing_more() {
    let mut single = graceful(true);
    single.input(Input::Closed(Conn::Inbound));
    single.connect(Conn::Inbound);
    single.hear(Conn::Inbound, &single::open(&[theirs(true)]));
    single.outputs.clear();
    single.input(Input::Closed(Conn::Inbound));
    assert_eq!(single.down(), Some((DownReason::ConnectionLost, lost())));
}

#[test]
fn long_lived_restart_needs_both_ends_and_the_other_capability() {
    let long_lived = Capability::LongLivedRestart(vec![
        LongLivedFamily {
            family: family(1, false),
            secs: 3600,
        },
        LongLivedFamily {
            family: family(2, true),
            secs: 7200,
        },
    ]);
    let offered = GracefulRestart {
        long_lived_secs: 86400,
        ..GRACEFUL
    };
    let agreed = |ours, theirs: &[Capability]| {
        let negotiated = Single::established(with(ours), theirs).negotiated();
        negotiated.graceful_restart.map(|peer| peer.retention)
    };
    assert_eq!(agreed(offered, std::slice::from_ref(&long_lived)), None);
    let both = [theirs(true), long_lived];
    assert_eq!(agreed(GRACEFUL, &both), Some(kept(true)));
    let retained = |family, restart, long_lived| Retained {
        family,
        restart: Duration::from_secs(restart),
        long_lived: Duration::from_secs(long_lived),
        leftover: Leftover::Stays,
    };
    let all: Retention = [
        retained(Family::Ipv4Unicast, 60, 3600),
        retained(Family::Ipv6Unicast, 0, 7200),
    ]
    .into_iter()
    .collect();
    assert_eq!(agreed(offered, &both), Some(all));
}

/// RFC 9494 §4.2, against RFC 4724 §4.2.
#[test]
fn what_is_kept_for_long_outlives_a_second_restart_without_the_n_flag() {
    let long_lived = Capability::LongLivedRestart(vec![LongLivedFamily {
        family: family(1, true),
        secs: 3600,
    }]);
    let offered = GracefulRestart {
        long_lived_secs: 86400,
        ..GRACEFUL
    };
    let peer = Single::established(with(offered), &[theirs(false), long_lived]).negotiated();
    let peer = peer.graceful_restart.expect("agreed");
    let leftovers: Vec<_> = peer
        .retention
        .iter()
        .map(|retained| (retained.family, retained.leftover))
        .collect();
    assert_eq!(leftovers, [(Family::Ipv4Unicast, Leftover::Stays)]);
}

/// RFC 4724 §3.
#[test]
fn of_several_capabilities_the_last_counts() {
    let last = Capability::GracefulRestart(RestartCapability {
        restarting: true,
        notification: false,
        secs: 7,
        families: vec![family(1, true), family(2, false)],
    });
    let single = Single::established(with(GRACEFUL), &[theirs(true), last]);
    let peer = single.negotiated().graceful_restart.expect("agreed");
    assert!(peer.restarting && !peer.notification);
    assert_eq!(peer.retention.len(), 2);
    let v4: FamilySet = [Family::Ipv4Unicast].into_iter().collect();
    assert_eq!(peer.preserved, v4);
    assert_eq!(single.negotiated().session_up().preserved, v4);
}

#[test]
fn what_we_offer_says_whether_we_have_restarted_and_what_forwards() {
    let v6: FamilySet = [Family::Ipv6Unicast].into_iter().collect();
    let ours = GracefulRestart {
        restart_secs: 300,
        long_lived_secs: 86400,
        restarting: true,
        preserved: v6,
    };
    let mut single = Single::new(with(ours));
    single.connect(Conn::Inbound);
    let offered = single.session.status().offered;
    let restart = Capability::GracefulRestart(RestartCapability {
        restarting: true,
        notification: true,
        secs: 300,
        families: vec![family(1, false), family(2, true)],
    });
    assert!(offered.contains(&restart));
    let long_lived = |afi, forwarding| LongLivedFamily {
        family: family(afi, forwarding),
        secs: 86400,
    };
    let long_lived = Capability::LongLivedRestart(vec![long_lived(1, false), long_lived(2, true)]);
    assert!(offered.contains(&long_lived));
}

#[test]
fn after_a_session_that_was_lost_everything_still_forwards() {
    let mut single = Single::established(with(GRACEFUL), &[theirs(true)]);
    let forwards = |single: &Single, forwarding| {
        let offered = single.session.status().offered;
        offered.iter().any(|capability| {
            matches!(capability, Capability::GracefulRestart(restart)
                if !restart.restarting && restart.families == [family(1, forwarding), family(2, forwarding)])
        })
    };
    assert!(forwards(&single, false), "the first of this run");
    single.input(Input::Closed(Conn::Inbound));
    single.connect(Conn::Inbound);
    assert!(forwards(&single, true));
}

#[test]
fn the_end_of_our_restart_is_no_reason_to_end_a_session() {
    let restarted = GracefulRestart {
        restarting: true,
        preserved: FamilySet::ALL,
        ..GRACEFUL
    };
    let mut single = Single::established(with(restarted), &[theirs(true)]);
    single.input(Input::Reconfigure(with(GRACEFUL)));
    assert_eq!(single.state(), State::Established);
    let longer = GracefulRestart {
        restart_secs: 121,
        ..GRACEFUL
    };
    single.input(Input::Reconfigure(with(longer)));
    assert_eq!(single.state(), State::Idle);
    let told = Notification::cease(Cease::OtherConfigurationChange);
    assert_eq!(single.notification(Conn::Inbound), Some(told));
    let (_, retention) = single.down().expect("it ended");
    assert_eq!(retention, kept(true), "the peer is still there");
}

/// RFC 4724 §4.2, and §5 for the state machine.
#[test]
fn a_peer_that_restarted_takes_the_place_of_its_old_connection() {
    let age = Duration::from_secs(10);
    for established in [Conn::Inbound, Conn::Outbound] {
        let mut single = Single::new(SessionConfig {
            mode: bgp::session::Mode::Active,
            ..with(GRACEFUL)
        });
        single.connect(established);
        single.finish(established, &[theirs(false)]);
        assert!(!single.session.is_replaced_by(Conn::Inbound, single.now));
        single.wait(age);
        single.sent(established);
        assert!(single.session.is_replaced_by(Conn::Inbound, single.now));
        assert!(!single.session.is_replaced_by(Conn::Outbound, single.now));
        single.connect(Conn::Inbound);
        assert_eq!(
            single.down(),
            Some((DownReason::ConnectionLost, kept(false)))
        );
        let hangups: Vec<&Output> = single
            .outputs
            .iter()
            .filter(|output| matches!(output, Output::Hangup(_)))
            .collect();
        match established {
            // The owner of the sockets has put the new one in its place.
            Conn::Inbound => assert!(hangups.is_empty()),
            Conn::Outbound => assert_eq!(hangups, [&Output::Hangup(Conn::Outbound)]),
        }
        assert_eq!(single.state(), State::OpenSent);
        single.finish(Conn::Inbound, &[theirs(false)]);
        let status = single.session.status();
        assert_eq!(status.established_count, 2);
        assert_eq!(status.last_down, Some(DownReason::ConnectionLost));
    }
}

#[test]
fn without_graceful_restart_or_right_after_the_first_a_second_connection_is_refused() {
    for (peer, age) in [(vec![], 10), (vec![theirs(true)], 1)] {
        let mut single = Single::new(with(GRACEFUL));
        single.connect(Conn::Outbound);
        single.finish(Conn::Outbound, &peer);
        single.wait(Duration::from_secs(age));
        single.connect(Conn::Inbound);
        assert_eq!(single.state(), State::Established);
        assert_eq!(single.refusal(Conn::Inbound), Some((6, 7)));
    }
}

#[test]
fn a_farewell_is_said_so_that_the_peer_does_what_is_meant() {
    let limit = Farewell::maximum_prefixes(Family::Ipv6Unicast, 100);
    let limit_data = Notification::maximum_prefixes(Family::Ipv6Unicast, 100);
    let shutdown = Farewell::from(Cease::AdministrativeShutdown).saying("back at 4");
    let shutdown_data = Notification::new(6, 2, b"\x09back at 4");
    let reset = Notification::cease(Cease::AdministrativeReset);
    // The farewell, and the NOTIFICATION without, with plain, and with full graceful restart.
    let rows = [
        (limit, limit_data, true),
        (shutdown, shutdown_data, true),
        (Cease::AdministrativeReset.into(), reset.clone(), false),
        (
            Farewell::from(Cease::AdministrativeReset).hard(),
            reset,
            true,
        ),
    ];
    for (farewell, told, is_hard) in rows {
        for peer in [vec![], vec![theirs(false)], vec![theirs(true)]] {
            let mut single = Single::established(with(GRACEFUL), &peer);
            single.input(Input::Stop(farewell.clone()));
            let want = if is_hard && peer == [theirs(true)] {
                told.clone().into_hard_reset()
            } else {
                told.clone()
            };
            assert_eq!(
                single.notification(Conn::Inbound),
                Some(want),
                "{farewell:?}"
            );
        }
    }
}

#[test]
fn before_a_restart_nothing_is_said_that_would_cost_our_routes() {
    let reset = Notification::cease(Cease::AdministrativeReset);
    for (peer, told) in [
        (vec![], Some(reset.clone())),
        (vec![theirs(false)], None),
        (vec![theirs(true)], Some(reset)),
    ] {
        let mut single = Single::established(with(GRACEFUL), &peer);
        single.input(Input::Stop(Farewell::restart()));
        assert!(single.outputs.contains(&Output::Hangup(Conn::Inbound)));
        assert_eq!(single.notification(Conn::Inbound), told);
        let stopped = DownReason::Stopped(Cease::AdministrativeReset);
        assert_eq!(single.down(), Some((stopped, lost())));
    }
}

#[test]
fn a_limit_of_the_peer_that_was_passed_is_shown_in_words() {
    let cease = Notification::maximum_prefixes(Family::Ipv4Unicast, 100);
    for told in [cease.clone(), cease.into_hard_reset()] {
        let mut single = graceful(true);
        single.hear(Conn::Inbound, &notification(&told));
        let (reason, _) = single.down().expect("it ended");
        let text = reason.to_string();
        let begin = "peer's limit of 100 ipv4 prefixes passed: Cease / ";
        assert!(text.starts_with(begin), "{text}");
    }
}

#[test]
fn a_failed_attempt_does_not_hide_why_the_session_ended() {
    let mut single = graceful(true);
    let cease = Notification::cease(Cease::PeerDeconfigured);
    single.hear(Conn::Inbound, &notification(&cease));
    single.connect(Conn::Inbound);
    single.input(Input::Closed(Conn::Inbound));
    let status = single.session.status();
    assert_eq!(status.last_down, Some(DownReason::Received(cease)));
    assert_eq!(status.last_attempt, Some(DownReason::ConnectionLost));
    single.establish();
    assert_eq!(single.session.status().last_attempt, None);
}
