//! What is sent, and what it is measured by.

use std::time::Duration;

use links::icmp::Echo;
use links::stamp::{Head, Mode, NtpTime, Reply, Request};
use links::{AddressFamily, Method, Output, ProbeConfig, State, Via};

use super::far::{Far, Reflects};
use super::sim::{Sim, config, each_seed, ms};

#[test]
fn auto_sends_both_until_stamp_answers_and_then_stamp_alone() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        assert_eq!(sim.sent_via(Via::Icmp, Duration::ZERO), 1, "seed {seed}");
        assert!(
            sim.sent_via(Via::Stamp, Duration::ZERO) >= 198,
            "seed {seed}"
        );
        assert_eq!(sim.quality().via, Some(Via::Stamp), "seed {seed}");
    });
}

#[test]
fn auto_measures_by_icmp_where_nobody_reflects_and_then_tries_stamp_less_often() {
    for reflects in [Reflects::Silent, Reflects::Refuses] {
        let far = Far {
            reflects,
            ..Far::at(5)
        };
        each_seed(Method::Auto, &far, |seed, mut sim| {
            assert_eq!(sim.lost(), 0, "seed {seed}");
            assert_eq!(sim.health.state(), State::Up, "seed {seed}");
            assert_eq!(sim.quality().via, Some(Via::Icmp), "seed {seed}");
            let stamps = sim.sent_via(Via::Stamp, ms(10_000));
            assert!((9..=11).contains(&stamps), "seed {seed}: {stamps} in 10 s");
            sim.far.reflects = Reflects::Yes;
            sim.run(ms(2000));
            assert_eq!(
                sim.quality().via,
                Some(Via::Stamp),
                "seed {seed}: found when it comes"
            );
        });
    }
}

#[test]
fn refused_reflector_costs_no_loss_at_all() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        sim.far.reflects = Reflects::Refuses;
        sim.run(ms(5000));
        assert_eq!((sim.lost(), sim.quality().lost()), (0, 0), "seed {seed}");
    });
}

#[test]
fn tcp_connections_measure_whether_they_are_accepted_or_refused() {
    let far = Far {
        listens: true,
        ..Far::at(5)
    };
    each_seed(Method::Tcp, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert_eq!(quality.via, Some(Via::Tcp), "seed {seed}");
        assert_eq!(
            (quality.rtt_last, quality.lost()),
            (Some(ms(5)), 0),
            "seed {seed}"
        );
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        sim.far.listens = false;
        sim.run(ms(1000));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
    });
}

#[test]
fn ipv6_echo_is_sent_and_matched_without_header() {
    let config = ProbeConfig {
        family: AddressFamily::V6,
        ..config(Method::Icmp)
    };
    let mut sim = Sim::new(
        config,
        1,
        Far {
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(105));
    let mut reply = sim.sent[0].2.clone();
    assert_eq!(reply[0], 128);
    reply[0] = 129;
    assert!(Echo::decode_reply(&reply, AddressFamily::V6).is_some());
    sim.receive(Via::Icmp, &reply);
    assert!(matches!(
        sim.probe.poll_output(),
        Some(Output::Answered { via: Via::Icmp, .. })
    ));
}

#[test]
fn reflector_echoes_what_the_probe_needs_to_match() {
    let request = Request {
        sequence: u32::MAX,
        timestamp: NtpTime(1),
        session: 2,
    }
    .encode(&Mode::Unauthenticated);
    let head = Head::decode(&request, &Mode::Unauthenticated).unwrap();
    let reply = head.reflect(1, NtpTime(3), NtpTime(4), Some(0));
    let reply = Reply::decode(&reply, &Mode::Unauthenticated).unwrap();
    assert_eq!((reply.sender_sequence, reply.session), (u32::MAX, 2));
}
