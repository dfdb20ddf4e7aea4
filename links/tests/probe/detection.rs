//! When a link is called down, and when it is not.

use links::{Input, Method, State, Via};

use super::far::{Far, Reflects};
use super::sim::{Sim, config, each_seed, ms};

#[test]
fn silent_cut_of_a_short_link_is_declared_within_350_ms() {
    for method in [Method::Auto, Method::Stamp, Method::Icmp] {
        for offset in [0, 7, 33, 61, 99] {
            each_seed(method, &Far::at(5), |seed, mut sim| {
                assert_eq!(sim.health.state(), State::Up, "seed {seed}");
                sim.run(ms(offset));
                let cut_at = sim.elapsed();
                sim.far.cut();
                sim.run(ms(1000));
                let (down_at, state) = *sim.changes.last().unwrap();
                let took = down_at - cut_at;
                let context = format!("{method:?} seed {seed} offset {offset}: {took:?}");
                assert_eq!(state, State::Down, "{context}");
                assert!(took <= ms(350) && took >= ms(200), "{context}");
            });
        }
    }
}

#[test]
fn long_stable_link_never_raises_an_alarm_and_a_cut_of_it_is_declared_within_1400_ms() {
    for method in [Method::Auto, Method::Stamp, Method::Icmp] {
        each_seed(method, &Far::at(300), |seed, mut sim| {
            let context = format!("{method:?} seed {seed}");
            assert_eq!(sim.lost(), 0, "{context}");
            assert_eq!(sim.changes.len(), 1, "{context}");
            let cut_at = sim.elapsed();
            sim.far.cut();
            sim.run(ms(3000));
            let (down_at, state) = *sim.changes.last().unwrap();
            assert_eq!(state, State::Down, "{context}");
            let took = down_at - cut_at;
            // Up to 300 ms of answers were still under way at the cut.
            assert!(took <= ms(1400), "{context}: {took:?}");
        });
    }
}

#[test]
fn rtt_that_grows_step_by_step_is_followed_without_an_alarm() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        for delay in [20, 60, 120, 200, 300, 450] {
            sim.far.delay = ms(delay);
            sim.run(ms(3000));
        }
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        assert_eq!(sim.changes.len(), 1, "seed {seed}");
        assert_eq!(
            sim.quality().loss_ratio(),
            0.0,
            "seed {seed}: late is not lost"
        );
    });
}

#[test]
fn far_end_that_loses_its_reflector_but_echoes_stays_up() {
    for (reflects, delay) in [
        (Reflects::Silent, 5),
        (Reflects::Refuses, 5),
        (Reflects::Silent, 150),
        (Reflects::Refuses, 150),
        (Reflects::Silent, 300),
        (Reflects::Refuses, 300),
    ] {
        each_seed(Method::Auto, &Far::at(delay), |seed, mut sim| {
            sim.far.reflects = reflects;
            sim.run(ms(5000));
            assert_eq!(
                sim.changes.len(),
                1,
                "seed {seed} RTT {delay} ms: {:?}",
                sim.changes
            );
            assert_eq!(
                sim.quality().via,
                Some(Via::Icmp),
                "seed {seed} RTT {delay} ms"
            );
        });
    }
}

#[test]
fn overdue_answer_within_the_timeout_is_an_answer_and_no_loss() {
    let mut sim = Sim::new(config(Method::Icmp), 3, Far::at(5));
    sim.run(ms(5000));
    sim.far.delay = ms(180);
    sim.run(ms(100));
    sim.far.delay = ms(5);
    sim.run(ms(2000));
    assert_eq!(sim.lost(), 1);
    assert_eq!((sim.quality().lost(), sim.quality().loss_ratio()), (0, 0.0));
}

#[test]
fn answer_after_the_timeout_changes_nothing() {
    let mut sim = Sim::new(config(Method::Auto), 3, Far::at(1200));
    sim.run(ms(10_000));
    assert_eq!((sim.quality().received, sim.quality().via), (0, None));
    assert_eq!(sim.quality().loss_ratio(), 1.0);
}

#[test]
fn pause_of_this_process_makes_no_burst_and_no_false_loss() {
    for delay in [5, 300] {
        let mut sim = Sim::new(config(Method::Auto), 9, Far::at(delay));
        sim.run(ms(5000));
        let resumed_at = sim.elapsed() + ms(900);
        sim.now += ms(900);
        // Worst case: the timer is served before the sockets are read.
        sim.probe.handle(Input::Timeout, sim.now);
        sim.drain();
        sim.run(ms(99));
        assert_eq!(sim.lost(), 0, "RTT {delay} ms");
        assert!(sim.sent_via(Via::Stamp, resumed_at) <= 2, "RTT {delay} ms");
        sim.run(ms(3000));
        assert_eq!(sim.changes.len(), 1, "RTT {delay} ms: {:?}", sim.changes);
    }
}

#[test]
fn links_with_other_seeds_do_not_send_together() {
    let times = |seed| {
        let mut sim = Sim::new(config(Method::Icmp), seed, Far::at(5));
        sim.run(ms(2000));
        sim.sent.iter().map(|(at, ..)| *at).collect::<Vec<_>>()
    };
    let (one, other) = (times(1), times(2));
    assert!(one.iter().all(|at| !other.contains(at)));
    assert_eq!(one, times(1), "same seed, same times");
    for pair in one.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= ms(90) && gap <= ms(110), "{gap:?}");
    }
}
