//! A probe and a reflector that share a key, and those that do not.

use std::time::Duration;

use links::stamp::{AUTHENTICATED_LEN, Key, Keys, Mode, Unauthentic};
use links::{Method, Output, Probe, ProbeConfig, Refusal, State, Via};

use super::far::{Far, Reflects};
use super::sim::{Sim, config, ms, reflector};

fn signed(octet: u8) -> Mode {
    let key = Key::new(&[octet; 32]).expect("long enough");
    Mode::Authenticated(Keys { key, accept: None })
}

fn with(mode: Mode) -> ProbeConfig {
    ProbeConfig {
        mode,
        ..config(Method::Stamp)
    }
}

fn silent() -> Far {
    Far {
        reflects: Reflects::Silent,
        ..Far::at(5)
    }
}

#[test]
fn ends_that_share_a_key_measure_as_those_without_one() {
    for seed in 0..20 {
        let far = Far {
            lose_out: Some(20),
            lose_back: Some(10),
            ..Far::at(5)
        };
        let mut sim = Sim::new(with(signed(1)), seed, far);
        sim.run(ms(60_000));
        let quality = sim.quality();
        assert_eq!(quality.rtt_last, Some(ms(5)), "seed {seed}");
        let windows = quality.windows[1];
        let out = windows.loss_out.unwrap();
        let back = windows.loss_in.unwrap();
        assert!((out - 0.05).abs() < 0.03, "seed {seed}: {out}");
        assert!((back - 0.1).abs() < 0.03, "seed {seed}: {back}");
        assert_eq!(quality.refused, 0, "seed {seed}");
        assert_eq!(sim.probe.authenticity().doubt(sim.now), None);
        let lengths = sim.sent.iter().map(|(_, _, bytes)| bytes.len());
        assert!(
            lengths
                .into_iter()
                .all(|length| length == AUTHENTICATED_LEN)
        );
    }
}

#[test]
fn another_key_or_none_at_one_end_is_silence_with_its_reason() {
    let open = Mode::Unauthenticated;
    for (near, far, why) in [
        (signed(1), signed(2), Unauthentic::OtherKey),
        (open.clone(), signed(1), Unauthentic::Unsigned),
        (signed(1), open, Unauthentic::Signed),
    ] {
        let mut sim = Sim::new(with(near), 1, Far::at(5));
        sim.reflector = reflector(far);
        sim.run(ms(20_000));
        assert_eq!(sim.quality().received, 0, "{why:?}");
        assert_eq!(sim.health.state(), State::Down, "{why:?}");
        let doubt = sim.reflector.authenticity().doubt(sim.now);
        assert_eq!(doubt, Some(why));
    }
}

#[test]
fn a_reply_that_was_changed_or_played_again_is_no_answer() {
    let mut sim = Sim::new(with(signed(1)), 5, silent());
    sim.run(ms(150));
    let (_, _, request) = sim.sent[0].clone();
    let right = sim.reflect(&request).unwrap();
    for octet in 0..AUTHENTICATED_LEN {
        let mut forged = right.clone();
        forged[octet] ^= 0x10;
        sim.receive(Via::Stamp, &forged);
        assert_eq!(sim.probe.poll_output(), None, "octet {octet}");
    }
    let refused = AUTHENTICATED_LEN as u64;
    assert_eq!(sim.quality().refused, refused);
    // What is signed but no reply to us: our own request sent back, and a reply cut short.
    sim.receive(Via::Stamp, &request);
    sim.receive(Via::Stamp, &right[..AUTHENTICATED_LEN - 1]);
    assert_eq!(sim.probe.poll_output(), None);
    sim.receive(Via::Stamp, &right);
    let answered = sim.probe.poll_output();
    assert!(matches!(answered, Some(Output::Answered { .. })));
    sim.receive(Via::Stamp, &right);
    assert_eq!(sim.probe.poll_output(), None, "played again");
    assert_eq!(sim.quality().received, 1);
    assert_eq!(sim.quality().refused, refused + 1);
}

#[test]
fn a_reflector_that_does_not_sign_is_not_believed_and_named() {
    let mut sim = Sim::new(with(signed(1)), 5, silent());
    let mut open = Sim::new(with(Mode::Unauthenticated), 5, silent());
    for _ in 0..100 {
        sim.run(ms(100));
        open.run(ms(100));
        // The same sequence and, by the same seed, the same timestamp.
        let (_, _, request) = open.sent.last().unwrap().clone();
        let reply = open.reflect(&request).unwrap_or_default();
        sim.receive(Via::Stamp, &reply);
    }
    assert_eq!(sim.quality().received, 0);
    let doubt = sim.probe.authenticity().doubt(sim.now);
    assert_eq!(doubt, Some(Unauthentic::Unsigned));
}

#[test]
fn a_clock_that_is_set_back_loses_nothing_to_the_reflectors_memory() {
    for back in [1, 3600, 86_400 * 365] {
        let mut sim = Sim::new(with(signed(1)), 9, Far::at(5));
        sim.run(ms(5000));
        sim.wall -= Duration::from_secs(back);
        sim.run(ms(20_000));
        assert_eq!((sim.lost(), sim.quality().lost()), (0, 0), "{back} s");
    }
}

#[test]
fn a_probe_that_starts_again_is_answered_at_once() {
    let mut sim = Sim::new(with(signed(1)), 9, Far::at(5));
    sim.run(ms(20_000));
    sim.probe = Probe::new(with(signed(1)), 10, sim.now);
    sim.run(ms(20_000));
    assert_eq!((sim.lost(), sim.quality().lost()), (0, 0));
}

#[test]
fn requests_that_were_recorded_do_not_disturb_the_measurement() {
    let mut sim = Sim::new(with(signed(1)), 9, Far::at(5));
    for _ in 0..200 {
        sim.run(ms(100));
        let recorded: Vec<_> = sim.sent.iter().map(|(_, _, bytes)| bytes.clone()).collect();
        for request in recorded.iter().rev().take(50) {
            assert_eq!(sim.reflect(request), Err(Refusal::Replayed));
        }
    }
    let judged = sim.quality().judged;
    let ways = (judged.loss_out, judged.loss_in);
    assert_eq!((judged.lost, ways), (0, (Some(0.0), Some(0.0))));
}

#[test]
fn random_bytes_never_answer_an_authenticated_probe() {
    let seed = 1_u64;
    println!("seed {seed}");
    let mut sim = Sim::new(with(signed(1)), seed, silent());
    sim.run(ms(1000));
    let mut state = seed;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bytes: Vec<u8> = (0..state >> 56)
            .map(|at| (state >> (at % 56)) as u8)
            .collect();
        sim.receive(Via::Stamp, &bytes);
        assert!(sim.reflect(&bytes).is_err(), "{bytes:02x?}");
    }
    assert_eq!(sim.quality().received, 0);
}
