//! Replies that nobody sent, and values that nobody needs.

use std::time::Duration;

use links::stamp::{Head, Mode, NtpTime};
use links::{Method, Output, ProbeConfig, Via};

use super::far::{Far, Reflects, echo_reply};
use super::sim::{Sim, config, ms};

#[test]
fn forged_and_foreign_replies_change_nothing() {
    let mut sim = Sim::new(
        config(Method::Auto),
        5,
        Far {
            reflects: Reflects::Silent,
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(150));
    let (_, _, request) = sim
        .sent
        .iter()
        .find(|(_, via, _)| *via == Via::Stamp)
        .unwrap()
        .clone();
    let (_, _, echo) = sim
        .sent
        .iter()
        .find(|(_, via, _)| *via == Via::Icmp)
        .unwrap()
        .clone();
    let right = sim.reflect(&request).unwrap();
    let mut replies = vec![
        (Via::Stamp, request),
        (Via::Icmp, right.clone()),
        (Via::Stamp, vec![]),
    ];
    // Session, sequence and timestamp of the request each have to match.
    for octet in [14, 24, 27, 28, 35] {
        let mut forged = right.clone();
        forged[octet] ^= 1;
        replies.push((Via::Stamp, forged));
    }
    // And sequence and nonce of an echo.
    for octet in [6, 7, 8, 15] {
        let mut forged = echo.clone();
        forged[octet] ^= 0xff;
        replies.push((Via::Icmp, echo_reply(&forged)));
    }
    for (via, bytes) in &replies {
        sim.receive(*via, bytes);
        assert_eq!(sim.probe.poll_output(), None, "{via:?} {bytes:02x?}");
    }
    sim.receive(Via::Stamp, &right);
    assert!(matches!(
        sim.probe.poll_output(),
        Some(Output::Answered {
            via: Via::Stamp,
            ..
        })
    ));
    sim.receive(Via::Icmp, &echo_reply(&echo));
    assert_eq!(
        sim.probe.poll_output(),
        None,
        "the round is answered already"
    );
}

#[test]
fn random_bytes_never_answer_and_never_panic() {
    let mut sim = Sim::new(
        config(Method::Auto),
        1,
        Far {
            reflects: Reflects::Silent,
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(1000));
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bytes: Vec<u8> = (0..state >> 58)
            .map(|at| (state >> (at % 56)) as u8)
            .collect();
        let via = if state & 64 == 0 {
            Via::Stamp
        } else {
            Via::Icmp
        };
        sim.receive(via, &bytes);
        if let Ok(head) = Head::decode(&bytes, &Mode::Unauthenticated) {
            head.reflect(1, NtpTime(0), NtpTime(0), None);
        }
    }
    assert_eq!(sim.quality().received, 0);
}

#[test]
fn extreme_configuration_neither_panics_nor_spins() {
    for (interval, timeout) in [
        (Duration::ZERO, Duration::ZERO),
        (Duration::MAX, Duration::MAX),
    ] {
        let extreme = ProbeConfig {
            interval,
            timeout,
            window: Duration::MAX,
            ..config(Method::Auto)
        };
        let mut sim = Sim::new(extreme, 1, Far::at(5));
        sim.run(ms(500));
        assert!(sim.sent_via(Via::Icmp, Duration::ZERO) <= 501);
    }
}
