use super::*;

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const ACTIVE: Scene = Scene {
    state: State::Up,
    role: Role::Active,
    others: 1,
};
const IDLE: Scene = Scene {
    role: Role::Idle,
    ..ACTIVE
};
const GONE: Scene = Scene {
    state: State::Down,
    role: Role::Idle,
    others: 1,
};

/// A drill of ten seconds on a link, with its clock.
struct Bench {
    drill: Drill,
    start: Instant,
}

impl Bench {
    fn new(scene: Scene) -> Self {
        Self::promised(scene, None)
    }

    fn promised(scene: Scene, objective: Option<Duration>) -> Self {
        let config = DrillConfig {
            fault: Fault::Silence,
            lasts: ms(10_000),
            objective,
        };
        let mut bench = Self {
            drill: Drill::new(config, scene).expect("it is allowed"),
            start: start(),
        };
        assert_eq!(
            bench.drill.poll_output(),
            Some(DrillOutput::Impose(Fault::Silence))
        );
        bench
    }

    /// With the fault in place at 0 ms.
    fn faulty(scene: Scene) -> Self {
        let mut bench = Self::new(scene);
        bench.at(0, DrillInput::Imposed);
        assert_eq!(bench.next(), Some(DrillOutput::Progress(Progress::Begun)));
        bench
    }

    fn at(&mut self, at: u64, input: DrillInput) {
        self.drill.handle(input, self.start + ms(at));
    }

    fn next(&mut self) -> Option<DrillOutput> {
        self.drill.poll_output()
    }

    fn all(&mut self) -> Vec<DrillOutput> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn report(&mut self) -> DrillReport {
        match self.all().pop() {
            Some(DrillOutput::Done(report)) => report,
            other => panic!("no report, but {other:?}"),
        }
    }
}

const LOST: Packets = Packets {
    transmit: 300,
    receive: 2,
};

#[test]
fn a_failover_is_timed_from_fault_to_return() {
    let mut bench = Bench::faulty(ACTIVE);
    bench.at(312, DrillInput::Scene(GONE));
    bench.at(313, DrillInput::Switched);
    bench.at(10_000, DrillInput::Timeout);
    let progress = [
        DrillOutput::Progress(Progress::Detected(State::Down)),
        DrillOutput::Progress(Progress::Switched),
        DrillOutput::Lift,
    ];
    assert_eq!(bench.all(), progress);
    bench.at(10_010, DrillInput::Lifted(LOST));
    bench.at(11_000, DrillInput::Scene(IDLE));
    assert_eq!(bench.drill.phase, Phase::Returning);
    bench.at(16_010, DrillInput::Scene(ACTIVE));
    let expected = DrillReport {
        end: DrillEnd::Elapsed,
        lasted: ms(10_000),
        role: Role::Active,
        detected: Some(ms(312)),
        switched: Some(ms(313)),
        returned: Some(ms(6_000)),
        lost: LOST,
        objective: None,
    };
    assert_eq!(bench.report(), expected);
    assert_eq!(bench.drill.poll_timeout(), None);
}

#[test]
fn a_drill_that_would_be_an_outage_is_refused() {
    let config = DrillConfig {
        fault: Fault::Silence,
        lasts: ms(1),
        objective: None,
    };
    let refused = |scene| Drill::new(config, scene).map(|_| ()).unwrap_err();
    let alone = Scene {
        others: 0,
        ..ACTIVE
    };
    assert_eq!(refused(alone), DrillRefusal::NothingElse);
    assert_eq!(refused(GONE), DrillRefusal::Down);
}

#[test]
fn a_drill_that_becomes_an_outage_ends_at_once() {
    let mut bench = Bench::faulty(ACTIVE);
    bench.at(312, DrillInput::Scene(GONE));
    let alone = Scene { others: 0, ..GONE };
    bench.at(2_000, DrillInput::Scene(alone));
    assert!(bench.all().contains(&DrillOutput::Lift));
    bench.at(2_001, DrillInput::Lifted(LOST));
    bench.at(3_000, DrillInput::Scene(ACTIVE));
    let report = bench.report();
    assert_eq!(
        (report.end, report.lasted),
        (DrillEnd::LeftAlone, ms(2_000))
    );
}

#[test]
fn a_drill_that_loses_its_last_alternative_before_it_begins_never_begins() {
    let mut bench = Bench::new(ACTIVE);
    let alone = Scene {
        others: 0,
        ..ACTIVE
    };
    bench.at(0, DrillInput::Scene(alone));
    bench.at(1, DrillInput::Imposed);
    assert_eq!(bench.all(), [DrillOutput::Lift]);
}

#[test]
fn a_stopped_drill_is_lifted_once() {
    let mut bench = Bench::faulty(ACTIVE);
    bench.at(500, DrillInput::Stop);
    bench.at(600, DrillInput::Stop);
    bench.at(10_000, DrillInput::Timeout);
    assert_eq!(bench.all(), [DrillOutput::Lift]);
    bench.at(10_001, DrillInput::Lifted(LOST));
    let report = bench.report();
    assert_eq!(
        (report.end, report.returned),
        (DrillEnd::Stopped, Some(ms(0)))
    );
}

#[test]
fn a_fault_that_cannot_be_imposed_is_lifted_and_reported() {
    let mut bench = Bench::new(ACTIVE);
    bench.at(0, DrillInput::Failed);
    assert_eq!(bench.next(), Some(DrillOutput::Lift));
    bench.at(1, DrillInput::Lifted(Packets::default()));
    let report = bench.report();
    assert_eq!((report.end, report.lasted), (DrillEnd::Failed, ms(0)));
}

#[test]
fn nothing_is_waited_for_when_an_idle_link_was_failed() {
    let mut bench = Bench::faulty(IDLE);
    bench.at(300, DrillInput::Scene(GONE));
    // A move of another group's.
    bench.at(400, DrillInput::Switched);
    bench.at(10_000, DrillInput::Timeout);
    bench.at(10_000, DrillInput::Lifted(Packets::default()));
    bench.at(10_900, DrillInput::Scene(IDLE));
    let report = bench.report();
    assert_eq!((report.detected, report.switched), (Some(ms(300)), None));
    assert_eq!(report.returned, Some(ms(900)));
    assert_eq!(report.verdict(), Verdict::Nothing);
}

#[test]
fn traffic_that_does_not_come_back_ends_the_drill_without_a_return() {
    let mut bench = Bench::faulty(ACTIVE);
    bench.at(300, DrillInput::Scene(GONE));
    bench.at(10_000, DrillInput::Timeout);
    bench.at(10_000, DrillInput::Lifted(LOST));
    bench.at(11_000, DrillInput::Scene(IDLE));
    let due = bench
        .drill
        .poll_timeout()
        .expect("it does not wait for ever");
    bench.drill.handle(DrillInput::Timeout, due);
    assert_eq!(bench.report().returned, None);
}

#[test]
fn the_objective_is_met_missed_or_says_nothing() {
    let verdict = |switched: Option<u64>, lasted: u64, role| {
        let scene = Scene { role, ..ACTIVE };
        let mut bench = Bench::promised(scene, Some(ms(500)));
        bench.at(0, DrillInput::Imposed);
        if let Some(switched) = switched {
            bench.at(switched, DrillInput::Switched);
        }
        bench.at(lasted, DrillInput::Stop);
        bench.at(lasted, DrillInput::Lifted(LOST));
        bench.report().verdict()
    };
    for (switched, lasted, role, expected) in [
        (Some(500), 9_000, Role::Active, Verdict::Met),
        (Some(501), 9_000, Role::Active, Verdict::Missed),
        (None, 9_000, Role::Active, Verdict::Missed),
        (None, 400, Role::Active, Verdict::Nothing),
        (None, 9_000, Role::Idle, Verdict::Nothing),
    ] {
        assert_eq!(
            verdict(switched, lasted, role),
            expected,
            "{switched:?} {lasted} {role:?}"
        );
    }
}

#[test]
fn what_is_done_and_for_how_long_is_told_without_digits_that_nobody_asked_for() {
    let config = |fault, lasts| DrillConfig {
        fault,
        lasts,
        objective: None,
    };
    let told = |fault, lasts| config(fault, lasts).to_string();
    assert_eq!(
        told(Fault::Delay(ms(80)), ms(60_000)),
        "what leaves by it takes 80.0 ms longer, for 60 s"
    );
    assert_eq!(
        told(Fault::Silence, Duration::from_nanos(1_500_203_000)),
        "everything on it is dropped, for 1.5 s"
    );
    assert_eq!(
        told(Fault::Loss(0.05), ms(10_000)),
        "5.00 % of it is dropped, for 10 s"
    );
}
