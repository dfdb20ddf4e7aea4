//! Figures: round trips, losses of each way, order.

use std::time::Duration;

use links::stamp::Mode;
use links::{Method, State};

use super::far::{Far, Reflects};
use super::sim::{Sim, config, each_seed, ms, reflector};

#[test]
fn rtt_leaves_out_the_time_the_reflector_held_the_packet() {
    let far = Far {
        processing: ms(30),
        ..Far::at(5)
    };
    each_seed(Method::Stamp, &far, |seed, mut sim| {
        let rtt = sim.quality().rtt_last.unwrap();
        assert!(
            rtt.abs_diff(ms(5)) < Duration::from_micros(1),
            "seed {seed}: {rtt:?}"
        );
    });
}

#[test]
fn clock_steps_on_either_end_never_become_latency() {
    let far = Far {
        stepped_back: true,
        ..Far::at(5)
    };
    each_seed(Method::Stamp, &far, |seed, mut sim| {
        sim.wall -= Duration::from_secs(86_400);
        sim.run(ms(5000));
        let quality = sim.quality();
        assert_eq!(quality.rtt_last, Some(ms(5)), "seed {seed}");
        assert_eq!(
            (quality.judged.jitter, quality.lost()),
            (Some(ms(0)), 0),
            "seed {seed}"
        );
    });
}

#[test]
fn time_that_an_answer_lay_unread_is_no_latency_and_a_clock_step_neither() {
    let far = Far {
        unread: ms(3),
        ..Far::at(5)
    };
    each_seed(Method::Auto, &far, |seed, mut sim| {
        assert_eq!(sim.quality().rtt_last, Some(ms(2)), "seed {seed}");
        sim.far.unread = Duration::from_secs(3600);
        sim.run(ms(500));
        assert_eq!(sim.quality().rtt_last, Some(ms(5)), "seed {seed}");
    });
}

#[test]
fn duplicates_count_once() {
    let far = Far {
        duplicates: true,
        ..Far::at(5)
    };
    each_seed(Method::Auto, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert_eq!(quality.received, sim.outputs.len() as u64, "seed {seed}");
        assert!(quality.received <= quality.sent, "seed {seed}");
    });
}

#[test]
fn loss_ratio_counts_only_probes_whose_fate_is_known() {
    let far = Far {
        lose_every: Some(10),
        ..Far::at(5)
    };
    each_seed(Method::Icmp, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert!(
            (quality.loss_ratio() - 0.1).abs() < 0.02,
            "seed {seed}: {quality:?}"
        );
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: single losses are no outage"
        );
    });
    let mut sim = Sim::new(config(Method::Icmp), 1, Far::at(500));
    sim.run(ms(450));
    assert_eq!(
        (sim.quality().judged.known, sim.quality().loss_ratio()),
        (0, 0.0)
    );
}

#[test]
fn losses_of_each_way_are_told_apart_by_the_reflectors_count() {
    for (out, back) in [
        (None, None),
        (Some(10), None),
        (None, Some(5)),
        (Some(10), Some(5)),
    ] {
        let far = Far {
            lose_out: out,
            lose_back: back,
            echoes: false,
            ..Far::at(20)
        };
        each_seed(Method::Stamp, &far, |seed, mut sim| {
            sim.run(ms(300_000));
            let ratio = |every: Option<u64>| every.map_or(0.0, |every| 1.0 / every as f64);
            for statistics in sim.quality().windows {
                let context = format!("seed {seed} {out:?} {back:?}: {statistics:?}");
                let found = (statistics.loss_out.unwrap(), statistics.loss_in.unwrap());
                assert!((found.0 - ratio(out)).abs() < 0.03, "{context}");
                assert!((found.1 - ratio(back)).abs() < 0.03, "{context}");
            }
        });
    }
}

#[test]
fn reflector_that_starts_again_costs_its_outage_and_no_direction() {
    each_seed(Method::Stamp, &Far::at(5), |seed, mut sim| {
        sim.far.reflects = Reflects::Silent;
        sim.run(ms(2000));
        sim.reflector = reflector(Mode::Unauthenticated);
        sim.far.reflects = Reflects::Yes;
        sim.run(ms(5000));
        let judged = sim.quality().judged;
        assert!(judged.lost > 0, "seed {seed}");
        let ways = (judged.loss_out, judged.loss_in);
        assert_eq!(ways, (Some(0.0), Some(0.0)), "seed {seed}");
    });
}

#[test]
fn icmp_alone_tells_no_direction() {
    let far = Far {
        lose_every: Some(10),
        ..Far::at(5)
    };
    each_seed(Method::Icmp, &far, |seed, mut sim| {
        let judged = sim.quality().judged;
        assert_eq!(
            (judged.loss_out, judged.loss_in),
            (None, None),
            "seed {seed}"
        );
    });
}

#[test]
fn answers_that_overtake_each_other_are_counted() {
    let mut sim = Sim::new(config(Method::Icmp), 1, Far::at(5));
    for _ in 0..10 {
        sim.far.delay = ms(150);
        sim.run(ms(100));
        sim.far.delay = ms(5);
        sim.run(ms(900));
    }
    assert_eq!(sim.quality().judged.reordered, 10);
}
