use super::*;
use crate::probe::Statistics;

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn measured(rtt: u64, lost: usize) -> Quality {
    Quality {
        judged: Statistics {
            known: 100,
            lost,
            rtt_median: Some(ms(rtt)),
            ..Statistics::default()
        },
        ..Quality::default()
    }
}

/// A health with its clock; each answer or loss takes 100 ms.
struct Bench {
    health: Health,
    now: Instant,
}

impl Bench {
    fn new(config: HealthConfig) -> Self {
        let now = start();
        Self {
            health: Health::new(config, now),
            now,
        }
    }

    fn up(config: HealthConfig) -> Self {
        let mut bench = Self::new(config);
        bench.answers(5);
        assert_eq!(bench.health.poll_output().unwrap().state, State::Up);
        bench
    }

    fn give(&mut self, input: HealthInput<'_>) -> Option<HealthChange> {
        self.health.handle(input, self.now);
        self.health.poll_output()
    }

    fn answers(&mut self, count: u32) {
        for _ in 0..count {
            self.now += ms(100);
            self.health.handle(HealthInput::Answered, self.now);
        }
    }

    fn losses(&mut self, count: u32) {
        for _ in 0..count {
            self.now += ms(100);
            self.health.handle(HealthInput::Lost, self.now);
        }
    }

    /// Goes down, then answers until up; how long that took.
    fn flap(&mut self) -> Duration {
        self.losses(3);
        assert_eq!(self.health.state(), State::Down);
        let down_at = self.now;
        while self.health.state() == State::Down {
            self.answers(1);
        }
        self.now - down_at
    }
}

#[test]
fn what_an_earlier_measurement_has_found_is_believed_until_enough_was_lost() {
    let config = HealthConfig {
        disbelieve_after: 7,
        ..HealthConfig::default()
    };
    let mut bench = Bench::new(config.clone());
    bench.health = Health::taking_over(config.clone(), bench.now);
    bench.losses(6);
    assert_eq!(bench.health.poll_output(), None);
    bench.losses(1);
    let expected = HealthChange {
        state: State::Down,
        reason: Reason::Unanswered(7),
    };
    assert_eq!(bench.health.poll_output(), Some(expected));
    bench.losses(100);
    assert_eq!(bench.health.poll_output(), None, "it is said once");
    bench.answers(4);
    assert_eq!(bench.health.state(), State::Down, "as after any fall");
    bench.answers(1);
    assert_eq!(bench.health.state(), State::Up);

    let mut bench = Bench::new(config.clone());
    bench.health = Health::taking_over(config, bench.now);
    bench.losses(6);
    bench.answers(1);
    assert_eq!(
        bench.health.state(),
        State::Up,
        "the first answer bears it out"
    );
    bench.losses(3);
    assert_eq!(bench.health.state(), State::Down, "from then on as ever");
}

#[test]
fn what_is_taken_over_as_up_goes_down_with_its_interface_and_by_bfd() {
    let inputs = [
        (HealthInput::InterfaceDown, Reason::InterfaceDown),
        (HealthInput::TunnelDown, Reason::TunnelDown),
        (
            HealthInput::Bfd(BfdWord::Down(Diagnostic::DetectionTimeExpired)),
            Reason::Bfd(Diagnostic::DetectionTimeExpired),
        ),
    ];
    for (input, reason) in inputs {
        let mut bench = Bench::new(HealthConfig::default());
        bench.health = Health::taking_over(HealthConfig::default(), bench.now);
        bench.health.handle(input, bench.now);
        let expected = HealthChange {
            state: State::Down,
            reason,
        };
        assert_eq!(bench.health.poll_output(), Some(expected));
        let mut fresh = Bench::new(HealthConfig::default());
        fresh.health.handle(input, fresh.now);
        assert_eq!(fresh.health.poll_output(), None, "it was never up");
    }
}

#[test]
fn starts_down_and_not_measured() {
    let mut bench = Bench::new(HealthConfig::default());
    assert_eq!(
        (bench.health.state(), bench.health.reason()),
        (State::Down, Reason::NotMeasured)
    );
    assert_eq!(bench.health.poll_output(), None);
    bench.losses(10);
    assert_eq!(
        bench.health.poll_output(),
        None,
        "what was never up does not go down"
    );
}

#[test]
fn the_first_answer_of_all_is_enough() {
    let mut bench = Bench::new(HealthConfig::default());
    bench.answers(1);
    let change = bench.health.poll_output().unwrap();
    assert_eq!(
        change,
        HealthChange {
            state: State::Up,
            reason: Reason::Answers
        }
    );
    assert_eq!(bench.health.since(), bench.now);
}

#[test]
fn comes_up_again_after_enough_answers_in_a_row_and_not_before() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.losses(3);
    assert_eq!(bench.health.poll_output().unwrap().state, State::Down);
    bench.answers(4);
    bench.losses(1);
    bench.answers(4);
    assert_eq!(bench.health.poll_output(), None);
    bench.answers(1);
    let change = bench.health.poll_output().unwrap();
    assert_eq!(change.reason, Reason::AnswersAgain);
    assert_eq!(bench.health.since(), bench.now);
}

#[test]
fn goes_down_after_enough_losses_in_a_row_and_not_before() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.losses(2);
    bench.answers(1);
    bench.losses(2);
    assert_eq!(bench.health.poll_output(), None);
    bench.losses(1);
    let change = bench.health.poll_output().unwrap();
    assert_eq!(
        change,
        HealthChange {
            state: State::Down,
            reason: Reason::Unanswered(3)
        }
    );
    bench.answers(5);
    assert_eq!(
        bench.health.poll_output().unwrap().reason,
        Reason::AnswersAgain
    );
}

#[test]
fn interface_down_counts_at_once_and_answers_do_not_until_it_is_up() {
    let mut bench = Bench::up(HealthConfig::default());
    let change = bench.give(HealthInput::InterfaceDown).unwrap();
    assert_eq!(
        change,
        HealthChange {
            state: State::Down,
            reason: Reason::InterfaceDown
        }
    );
    bench.answers(20);
    assert_eq!(bench.health.state(), State::Down);
    assert_eq!(
        bench.give(HealthInput::InterfaceUp),
        None,
        "it has to answer first"
    );
    assert_eq!(bench.health.reason(), Reason::NotMeasured);
    bench.answers(5);
    assert_eq!(bench.health.state(), State::Up);
}

#[test]
fn a_tunnel_that_lost_its_far_end_takes_the_link_down_before_any_probe() {
    let mut bench = Bench::up(HealthConfig::default());
    let change = bench.give(HealthInput::TunnelDown).unwrap();
    assert_eq!(
        (change.state, change.reason),
        (State::Down, Reason::TunnelDown)
    );
    bench.give(HealthInput::InterfaceUp);
    bench.answers(5);
    assert_eq!(bench.health.state(), State::Up);
}

#[test]
fn link_without_probe_follows_its_interface_alone() {
    let config = HealthConfig {
        measurement: Measurement::Interface,
        ..HealthConfig::default()
    };
    let mut bench = Bench::new(config);
    bench.answers(10);
    assert_eq!(bench.health.state(), State::Down);
    assert_eq!(
        bench.give(HealthInput::InterfaceUp).unwrap().reason,
        Reason::InterfaceUp
    );
    bench.losses(10);
    assert_eq!(bench.health.state(), State::Up);
    assert_eq!(
        bench.give(HealthInput::InterfaceDown).unwrap().state,
        State::Down
    );
    assert_eq!(
        bench.give(HealthInput::InterfaceUp).unwrap().state,
        State::Up
    );
}

#[test]
fn hold_down_doubles_with_flapping_and_is_bounded() {
    let mut bench = Bench::up(HealthConfig::default());
    let outages: Vec<_> = (0..10).map(|_| bench.flap()).collect();
    assert_eq!(outages[0], ms(500), "the first fall is forgiven");
    for (fall, outage) in (0..).zip(&outages[1..]) {
        assert_eq!(
            *outage,
            (ms(1000) * (1 << fall)).min(ms(60_000)),
            "{outages:?}"
        );
    }
}

#[test]
fn nothing_holds_down_the_only_link_that_works() {
    let mut bench = Bench::up(HealthConfig::default());
    for _ in 0..8 {
        bench.flap();
    }
    bench.losses(3);
    bench.health.poll_output();
    bench.answers(5);
    assert!(bench.health.is_held_down(bench.now));
    assert_eq!(bench.give(HealthInput::Others(Others::Usable)), None);
    let rise = bench.give(HealthInput::Others(Others::None)).unwrap();
    assert_eq!((rise.state, rise.reason), (State::Up, Reason::AnswersAgain));
    // Another one that comes back is no reason to take this one down again.
    assert_eq!(bench.give(HealthInput::Others(Others::Usable)), None);
    assert_eq!(bench.health.state(), State::Up);
}

#[test]
fn the_only_link_comes_up_on_answers_and_not_before() {
    let mut bench = Bench::up(HealthConfig::default());
    for _ in 0..4 {
        bench.flap();
    }
    bench.losses(3);
    assert_eq!(bench.health.poll_output().unwrap().state, State::Down);
    assert_eq!(bench.give(HealthInput::Others(Others::None)), None);
    bench.answers(4);
    assert_eq!(bench.health.poll_output(), None);
    bench.answers(1);
    assert_eq!(bench.health.poll_output().unwrap().state, State::Up);
}

#[test]
fn hold_down_decays_in_quiet_times() {
    let mut bench = Bench::up(HealthConfig::default());
    for _ in 0..4 {
        bench.flap();
    }
    bench.now += Duration::from_secs(600);
    assert_eq!(bench.flap(), ms(500));
}

#[test]
fn hold_down_ends_by_its_own_deadline() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.flap();
    bench.losses(3);
    let down_at = bench.now;
    assert_eq!(
        bench.health.poll_timeout(),
        None,
        "nothing to wait for without answers"
    );
    bench.answers(5);
    assert_eq!(bench.health.poll_timeout(), Some(down_at + ms(1000)));
    bench.now = down_at + ms(1000);
    bench.health.poll_output();
    assert_eq!(bench.give(HealthInput::Timeout).unwrap().state, State::Up);
    assert_eq!(bench.health.poll_timeout(), None);
}

#[test]
fn degraded_is_left_only_well_below_the_limit_for_a_while() {
    let config = HealthConfig {
        degraded_rtt: Some(Limit::new(ms(40), ms(32))),
        ..HealthConfig::default()
    };
    let mut bench = Bench::up(config);
    assert_eq!(
        bench.give(HealthInput::Quality(&measured(40, 0))),
        None,
        "at the limit is within"
    );
    let change = bench.give(HealthInput::Quality(&measured(55, 0))).unwrap();
    assert_eq!(change.state, State::Degraded);
    assert_eq!(change.reason.to_string(), "RTT 55.0 ms over 40.0 ms");
    for rtt in [35, 31, 33, 31] {
        bench.now += ms(3000);
        assert_eq!(
            bench.give(HealthInput::Quality(&measured(rtt, 0))),
            None,
            "{rtt} ms"
        );
    }
    assert_eq!(bench.health.poll_timeout(), Some(bench.now + ms(5000)));
    bench.now += ms(5000);
    let change = bench.give(HealthInput::Timeout).unwrap();
    assert_eq!(
        change,
        HealthChange {
            state: State::Up,
            reason: Reason::WithinLimits
        }
    );
}

#[test]
fn loss_over_the_limit_degrades_but_a_single_lost_probe_does_not() {
    let config = HealthConfig {
        degraded_loss: Some(Limit::new(0.005, 0.004)),
        ..HealthConfig::default()
    };
    let mut bench = Bench::up(config);
    assert_eq!(bench.give(HealthInput::Quality(&measured(5, 1))), None);
    let change = bench.give(HealthInput::Quality(&measured(5, 4))).unwrap();
    assert_eq!(change.reason.to_string(), "loss 4.0 % over 0.5 %");
}

#[test]
fn degraded_is_left_at_a_threshold_of_its_own() {
    let config = HealthConfig {
        degraded_rtt: Some(Limit::new(ms(40), ms(20))),
        degraded_loss: Some(Limit::new(0.05, 0.5)),
        ..HealthConfig::default()
    };
    let settle = config.settle;
    let mut bench = Bench::up(config);
    let mut state_after = |rtt, lost| {
        bench.give(HealthInput::Quality(&measured(rtt, lost)));
        bench.now += settle;
        bench.give(HealthInput::Timeout);
        bench.health.state()
    };
    assert_eq!(state_after(41, 0), State::Degraded);
    assert_eq!(state_after(21, 0), State::Degraded);
    assert_eq!(state_after(20, 0), State::Up);
    // No threshold is left above the one that is entered.
    assert_eq!(state_after(5, 6), State::Degraded);
    assert_eq!(state_after(5, 5), State::Up);
}

#[test]
fn link_that_was_bad_before_it_fell_comes_back_degraded() {
    let config = HealthConfig {
        degraded_rtt: Some(Limit::new(ms(40), ms(32))),
        ..HealthConfig::default()
    };
    let mut bench = Bench::up(config);
    bench.give(HealthInput::Quality(&measured(55, 0)));
    bench.flap();
    assert_eq!(bench.health.state(), State::Degraded);
}

#[test]
fn reasons_read_as_sentences() {
    assert_eq!(
        Reason::Unanswered(3).to_string(),
        "3 probes in a row unanswered"
    );
    assert_eq!(Reason::InterfaceDown.to_string(), "interface down");
    assert_eq!(Reason::NotMeasured.to_string(), "not yet measured");
    assert_eq!(Reason::AnswersAgain.to_string(), "answers again");
}

#[test]
fn bfd_takes_a_link_down_at_once_and_keeps_it_down_whatever_probes_say() {
    let mut bench = Bench::up(HealthConfig::default());
    assert_eq!(bench.give(HealthInput::Bfd(BfdWord::Up)), None);
    let expired = Diagnostic::DetectionTimeExpired;
    let change = bench
        .give(HealthInput::Bfd(BfdWord::Down(expired)))
        .unwrap();
    assert_eq!(
        (change.state, change.reason),
        (State::Down, Reason::Bfd(expired))
    );
    bench.answers(50);
    assert_eq!(bench.health.poll_output(), None);
    let change = bench.give(HealthInput::Bfd(BfdWord::Up)).unwrap();
    assert_eq!(
        (change.state, change.reason),
        (State::Up, Reason::AnswersAgain)
    );
}

#[test]
fn bfd_that_is_up_keeps_no_link_up_whose_probes_are_lost() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.give(HealthInput::Bfd(BfdWord::Up));
    bench.losses(3);
    assert_eq!(
        bench.health.poll_output().unwrap().reason,
        Reason::Unanswered(3)
    );
}

#[test]
fn a_neighbour_whose_operator_stops_bfd_has_no_say() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.give(HealthInput::Bfd(BfdWord::Up));
    assert_eq!(bench.give(HealthInput::Bfd(BfdWord::Silent)), None);
    assert_eq!(bench.health.state(), State::Up);
}

#[test]
fn a_link_that_waits_for_bfd_says_so_and_comes_up_with_it() {
    let mut bench = Bench::new(HealthConfig::default());
    let change = bench.give(HealthInput::Bfd(BfdWord::Awaited)).unwrap();
    assert_eq!(
        (change.state, change.reason),
        (State::Down, Reason::BfdAwaited)
    );
    assert_eq!(
        bench.give(HealthInput::Bfd(BfdWord::Awaited)),
        None,
        "it is told once"
    );
    bench.answers(10);
    assert_eq!(bench.health.poll_output(), None);
    let change = bench.give(HealthInput::Bfd(BfdWord::Up)).unwrap();
    assert_eq!((change.state, change.reason), (State::Up, Reason::Answers));
}

#[test]
fn order_to_drain_is_shown_whatever_is_measured_and_ends_without_a_trace() {
    let config = HealthConfig {
        degraded_rtt: Some(Limit::new(ms(40), ms(32))),
        ..HealthConfig::default()
    };
    let mut bench = Bench::up(config);
    let drained = HealthChange {
        state: State::Draining,
        reason: Reason::Drained,
    };
    assert_eq!(bench.give(HealthInput::Order(Order::Drain)), Some(drained));
    assert_eq!(bench.give(HealthInput::Order(Order::Drain)), None);
    assert_eq!(bench.give(HealthInput::Quality(&measured(50, 0))), None);
    let change = bench.give(HealthInput::Order(Order::Carry)).unwrap();
    assert_eq!(change.state, State::Degraded, "measured meanwhile");
}

#[test]
fn draining_link_that_dies_is_down_and_drains_again_when_it_is_back() {
    let mut bench = Bench::up(HealthConfig::default());
    bench.give(HealthInput::Order(Order::Drain));
    bench.losses(3);
    assert_eq!(bench.health.state(), State::Down);
    bench.answers(5);
    assert_eq!(bench.health.state(), State::Draining);
}

#[test]
fn link_that_is_down_is_down_whatever_is_ordered() {
    let mut bench = Bench::new(HealthConfig::default());
    assert_eq!(bench.give(HealthInput::Order(Order::Drain)), None);
    assert_eq!(bench.health.state(), State::Down);
    bench.answers(1);
    assert_eq!(bench.health.poll_output().unwrap().state, State::Draining);
}
