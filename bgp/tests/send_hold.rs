//! The send hold timer (RFC 9687).

mod single;

use std::time::Duration;

use bgp::session::{Conn, DownReason, Input, SessionConfig, State};
use bgp::wire::{Notification, encode_end_of_rib};
use bgp::{Family, Updates};
use bytes::BytesMut;
use single::{Single, config, keepalive};

/// Lets time pass with a peer that talks, but takes nothing until told to.
fn stuck(single: &mut Single, time: Duration) -> Duration {
    let start = single.now;
    while single.now - start < time && single.state() == State::Established {
        let next = single.session.poll_timeout().expect("timers run");
        single.now = next.max(single.now);
        single.input(Input::Timeout);
        single.hear(Conn::Inbound, &keepalive());
    }
    single.now - start
}

#[test]
fn a_peer_that_talks_and_takes_nothing_is_given_up() {
    for (configured, hold_secs, expected) in [
        (None, 90, 480),
        (None, 600, 1200),
        (Some(Duration::from_secs(60)), 90, 60),
    ] {
        let mut single = Single::new(SessionConfig {
            send_hold_time: configured,
            hold_time_secs: hold_secs,
            ..config()
        });
        single.connect(Conn::Inbound);
        let mut open = single::open(&[]);
        open[22..24].copy_from_slice(&hold_secs.to_be_bytes());
        single.hear(Conn::Inbound, &open);
        single.hear(Conn::Inbound, &keepalive());
        single.sent(Conn::Inbound);
        let expected = Duration::from_secs(expected);
        assert_eq!(single.session.status().send_hold_time, Some(expected));
        let lasted = stuck(&mut single, Duration::from_secs(10_000));
        // It begins with the first KEEPALIVE that waits.
        let first = Duration::from_secs(u64::from(hold_secs) / 3);
        assert!(
            (expected..=expected + first).contains(&lasted),
            "{lasted:?}"
        );
        let expired = DownReason::Sent(Notification::SEND_HOLD_TIMER_EXPIRED);
        assert_eq!(single.down().map(|(reason, _)| reason), Some(expired));
        let told = single.notification(Conn::Inbound);
        assert_eq!(told, Some(Notification::SEND_HOLD_TIMER_EXPIRED));
    }
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_kept() {
    let mut single = Single::established(config(), &[]);
    for _ in 0..20 {
        stuck(&mut single, Duration::from_secs(400));
        assert_eq!(single.state(), State::Established);
        assert!(single.session.status().send_blocked_since.is_some());
        assert!(!single.sent(Conn::Inbound).is_empty());
        assert_eq!(single.session.status().send_blocked_since, None);
    }
}

#[test]
fn routes_that_wait_count_even_without_keepalives() {
    let mut single = Single::new(SessionConfig {
        hold_time_secs: 0,
        ..config()
    });
    single.establish();
    assert_eq!(single.session.poll_timeout(), None);
    let mut end_of_rib = BytesMut::new();
    encode_end_of_rib(Family::Ipv4Unicast, &mut end_of_rib);
    single.input(Input::Transmit(Updates {
        bytes: [end_of_rib.freeze()].into_iter().collect(),
        count: 1,
    }));
    let deadline = single.session.poll_timeout().expect("something waits");
    assert_eq!(deadline - single.now, Duration::from_secs(480));
    single.sent(Conn::Inbound);
    assert_eq!(single.session.poll_timeout(), None);
}
