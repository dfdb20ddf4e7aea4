//! Gateways that answer nothing but BGP: the session tells.

use std::time::Duration;

use links::{LastResort, Method, ProbeConfig, State, Via};

use super::far::{Far, Reflects, Session};
use super::sim::{Sim, config, ms};

/// A gateway that answers nothing but BGP.
fn taciturn() -> Far {
    Far {
        reflects: Reflects::Silent,
        echoes: false,
        listens: true,
        ..Far::at(5)
    }
}

fn with_session() -> ProbeConfig {
    ProbeConfig {
        last_resort: LastResort::Bgp,
        ..config(Method::Auto)
    }
}

/// From the start until the session is up, and ten seconds more.
fn over_bgp(seed: u64) -> Sim {
    let mut sim = Sim::new(with_session(), seed, taciturn());
    sim.run(ms(5000));
    assert_eq!(
        sim.health.state(),
        State::Up,
        "seed {seed}: a connection is proof"
    );
    assert_eq!(sim.quality().via, Some(Via::Tcp), "seed {seed}");
    sim.far.session = Session::Forming;
    let since = sim.elapsed();
    sim.run(ms(3000));
    sim.far.session = Session::Heard(sim.elapsed());
    sim.run(ms(10_000));
    // A connection beside it would be taken for a restart of ours.
    assert_eq!(sim.sent_via(Via::Tcp, since), 0, "seed {seed}");
    sim
}

#[test]
fn gateway_that_answers_only_bgp_is_up_by_a_connection_and_then_by_its_session() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.session = Session::Heard(sim.elapsed());
        sim.run(ms(200));
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        assert_eq!(sim.changes.len(), 1, "seed {seed}: {:?}", sim.changes);
        let quality = sim.quality();
        assert_eq!(quality.via, Some(Via::Bgp), "seed {seed}");
        assert_eq!(quality.judged.loss_ratio(), None, "seed {seed}: not known");
    }
}

#[test]
fn session_whose_data_stays_unacknowledged_takes_the_link_down() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.timeouts = 1;
        sim.run(ms(2000));
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: one may be late"
        );
        sim.far.timeouts = 2;
        sim.run(ms(400));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
        sim.far = Far {
            session: Session::Absent,
            ..taciturn()
        };
        sim.run(ms(7000));
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: connections again"
        );
    }
}

#[test]
fn idle_session_says_nothing() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        let told = sim.outputs.len();
        sim.run(ms(30_000));
        assert_eq!(sim.outputs.len(), told, "seed {seed}");
        sim.far.session = Session::Heard(sim.elapsed());
        sim.run(ms(200));
        assert_eq!(sim.outputs.len(), told + 1, "seed {seed}");
    }
}

#[test]
fn datagrams_take_over_from_the_session_for_good() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.echoes = true;
        sim.run(ms(12_000));
        assert_eq!(sim.quality().via, Some(Via::Icmp), "seed {seed}");
        sim.far.echoes = false;
        sim.run(ms(1000));
        assert_eq!(
            sim.health.state(),
            State::Down,
            "seed {seed}: a zombie is found"
        );
        sim.run(ms(10_000));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
    }
}

#[test]
fn without_a_session_to_fall_back_on_silence_is_down() {
    let mut sim = Sim::new(config(Method::Auto), 1, taciturn());
    sim.run(ms(20_000));
    assert_eq!(sim.health.state(), State::Down);
    assert_eq!(sim.sent_via(Via::Tcp, Duration::ZERO), 0);
}
