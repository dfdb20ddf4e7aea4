use super::*;

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn scene(state: State, role: Role, others: usize) -> DrainInput {
    DrainInput::Scene(Scene {
        state,
        role,
        others,
    })
}

fn passed(transmit: u64, receive: u64) -> DrainInput {
    DrainInput::Passed(Packets { transmit, receive })
}

/// An order of ten seconds at most, with its clock.
struct Bench {
    drain: Drain,
    start: Instant,
}

impl Bench {
    fn new(order: Order) -> Self {
        let start = start();
        Self {
            drain: Drain::new(order, ms(10_000), start),
            start,
        }
    }

    /// What is waited for then, or how it ended.
    fn at(&mut self, at: u64, input: DrainInput) -> Result<DrainEnd, Waiting> {
        self.drain.handle(input, self.start + ms(at));
        self.drain.end().ok_or(self.drain.waiting())
    }
}

#[test]
fn a_link_is_empty_when_both_directions_have_been_quiet() {
    let mut bench = Bench::new(Order::Drain);
    assert_eq!(
        bench.at(0, scene(State::Up, Role::Active, 1)),
        Err(Waiting::Order)
    );
    assert_eq!(
        bench.at(10, scene(State::Draining, Role::Active, 1)),
        Err(Waiting::Transmit)
    );
    assert_eq!(
        bench.at(20, scene(State::Draining, Role::Idle, 1)),
        Err(Waiting::Quiet)
    );
    assert_eq!(bench.at(250, passed(100, 100)), Err(Waiting::Quiet));
    assert_eq!(bench.at(500, passed(110, 150)), Err(Waiting::FarSide));
    assert_eq!(bench.at(1_000, passed(110, 200)), Err(Waiting::FarSide));
    assert_eq!(bench.at(1_900, passed(110, 200)), Err(Waiting::FarSide));
    assert_eq!(bench.at(2_000, passed(110, 200)), Ok(DrainEnd::Empty));
    assert_eq!(bench.drain.poll_timeout(), None);
}

#[test]
fn silence_before_the_first_count_proves_nothing() {
    let mut bench = Bench::new(Order::Drain);
    let idle = scene(State::Draining, Role::Idle, 1);
    assert_eq!(bench.at(5_000, idle), Err(Waiting::Quiet));
    assert_eq!(bench.at(5_001, passed(7, 7)), Ok(DrainEnd::Empty));
}

#[test]
fn traffic_without_an_alternative_stays_and_that_is_said() {
    let mut bench = Bench::new(Order::Drain);
    let alone = scene(State::Draining, Role::Active, 0);
    assert_eq!(bench.at(0, alone), Err(Waiting::Alternative));
    assert_eq!(
        bench.at(10_000, DrainInput::Timeout),
        Ok(DrainEnd::TimedOut(Waiting::Alternative))
    );
}

#[test]
fn a_link_that_dies_while_it_is_emptied_is_empty() {
    let mut bench = Bench::new(Order::Drain);
    let dead = scene(State::Down, Role::Idle, 1);
    assert_eq!(bench.at(0, dead), Ok(DrainEnd::Empty));
}

#[test]
fn a_far_side_that_never_follows_is_named_at_the_end() {
    let mut bench = Bench::new(Order::Drain);
    let _ = bench.at(0, scene(State::Draining, Role::Idle, 1));
    for at in 0..40 {
        let _ = bench.at(at * 250, passed(0, at));
    }
    assert_eq!(
        bench.at(10_000, DrainInput::Timeout),
        Ok(DrainEnd::TimedOut(Waiting::FarSide))
    );
}

#[test]
fn a_filled_link_carries_when_the_far_side_is_back() {
    let mut bench = Bench::new(Order::Carry);
    assert_eq!(
        bench.at(0, scene(State::Draining, Role::Idle, 1)),
        Err(Waiting::Order)
    );
    assert_eq!(
        bench.at(1, scene(State::Up, Role::Active, 1)),
        Err(Waiting::FarSide)
    );
    assert_eq!(bench.at(250, passed(0, 0)), Err(Waiting::FarSide));
    assert_eq!(bench.at(500, passed(10, 1)), Ok(DrainEnd::Carries));
}

#[test]
fn a_filled_link_that_nobody_sends_to_carries_after_a_moment() {
    let mut bench = Bench::new(Order::Carry);
    let _ = bench.at(0, scene(State::Up, Role::Active, 1));
    let due = bench
        .drain
        .poll_timeout()
        .expect("it does not wait for ever");
    bench.drain.handle(DrainInput::Timeout, due);
    assert_eq!(bench.drain.end(), Some(DrainEnd::Carries));
}

#[test]
fn a_filled_link_may_stand_by_or_be_down() {
    let mut bench = Bench::new(Order::Carry);
    assert_eq!(
        bench.at(0, scene(State::Down, Role::Idle, 1)),
        Err(Waiting::Usable)
    );
    assert_eq!(
        bench.at(900, scene(State::Up, Role::Idle, 1)),
        Ok(DrainEnd::StandsBy)
    );
}
