use super::*;
use crate::random::Random;

const HOLD_DOWN: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn config() -> GroupConfig {
    GroupConfig {
        policy: Policy::Priority,
        hold_down: HOLD_DOWN,
    }
}

/// Links 1 to `count`, each a little less preferred.
fn members(count: u32) -> Vec<Member> {
    (1..=count)
        .map(|id| Member {
            link: LinkId(id),
            priority: id * 10,
        })
        .collect()
}

struct Bench {
    group: Group,
    now: Instant,
}

impl Bench {
    fn new(members: Vec<Member>) -> Self {
        let now = start();
        let mut group = Group::new(config(), members, now);
        while group.poll_output().is_some() {}
        Self { group, now }
    }

    fn link(&mut self, id: u32, state: State) -> Vec<GroupOutput> {
        self.give(GroupInput::Link {
            link: LinkId(id),
            state,
        })
    }

    fn give(&mut self, input: GroupInput) -> Vec<GroupOutput> {
        self.group.handle(input, self.now);
        std::iter::from_fn(|| self.group.poll_output()).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<GroupOutput> {
        self.now += time;
        self.give(GroupInput::Timeout)
    }

    fn active(&self) -> Option<u32> {
        self.group.active().map(|link| link.0)
    }
}

fn ranks(expected: &[(u32, Rank)]) -> GroupOutput {
    GroupOutput::Ranks(
        expected
            .iter()
            .map(|(id, rank)| (LinkId(*id), *rank))
            .collect(),
    )
}

fn moved(from: Option<u32>, to: Option<u32>, reason: MoveReason) -> GroupOutput {
    GroupOutput::Moved {
        from: from.map(LinkId),
        to: to.map(LinkId),
        reason,
    }
}

#[test]
fn starts_with_nothing_usable_and_says_so() {
    let mut group = Group::new(config(), members(2), start());
    assert_eq!(group.poll_output(), Some(ranks(&[(1, None), (2, None)])));
    assert_eq!(
        (group.poll_output(), group.active(), group.poll_timeout()),
        (None, None, None)
    );
}

#[test]
fn first_usable_link_carries_at_once() {
    let mut bench = Bench::new(members(2));
    let outputs = bench.link(2, State::Degraded);
    let to_2 = moved(None, Some(2), MoveReason::FirstUsable);
    assert_eq!(outputs, [ranks(&[(2, Some(0)), (1, None)]), to_2]);
}

#[test]
fn dead_link_is_left_at_once_and_returned_to_after_the_hold_down() {
    let mut bench = Bench::new(members(2));
    bench.link(1, State::Up);
    bench.link(2, State::Up);
    let outputs = bench.link(1, State::Down);
    let to_2 = moved(Some(1), Some(2), MoveReason::Down);
    assert_eq!(outputs, [ranks(&[(2, Some(0)), (1, None)]), to_2]);

    assert_eq!(
        bench.link(1, State::Up),
        [ranks(&[(2, Some(0)), (1, Some(1))])]
    );
    assert_eq!(bench.group.poll_timeout(), Some(bench.now + HOLD_DOWN));
    assert_eq!(bench.wait(HOLD_DOWN - Duration::from_millis(1)), []);
    let outputs = bench.wait(Duration::from_millis(1));
    let to_1 = moved(Some(2), Some(1), MoveReason::Better);
    assert_eq!(outputs, [ranks(&[(1, Some(0)), (2, Some(1))]), to_1]);
    assert_eq!(bench.group.poll_timeout(), None);
}

#[test]
fn relapse_starts_the_hold_down_again() {
    let mut bench = Bench::new(members(2));
    bench.link(2, State::Up);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN / 2);
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN - Duration::from_millis(1));
    assert_eq!(bench.active(), Some(2));
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.active(), Some(1));
}

#[test]
fn degraded_link_is_left_at_once_for_one_that_has_been_up_for_long() {
    let mut bench = Bench::new(members(2));
    bench.link(1, State::Up);
    bench.link(2, State::Up);
    bench.wait(HOLD_DOWN);
    let outputs = bench.link(1, State::Degraded);
    assert_eq!(
        outputs.last(),
        Some(&moved(Some(1), Some(2), MoveReason::Degraded))
    );
}

#[test]
fn degraded_link_is_kept_while_the_other_one_is_fresh_or_no_better() {
    let mut bench = Bench::new(members(2));
    bench.link(1, State::Degraded);
    bench.link(2, State::Degraded);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(
        (bench.active(), bench.group.poll_timeout()),
        (Some(1), None)
    );
    bench.link(2, State::Up);
    assert_eq!(bench.active(), Some(1));
    bench.wait(HOLD_DOWN);
    assert_eq!(bench.active(), Some(2));
}

#[test]
fn equally_good_link_is_no_reason_to_move() {
    let same = [2, 1].map(|id| Member {
        link: LinkId(id),
        priority: 100,
    });
    let mut bench = Bench::new(same.to_vec());
    bench.link(2, State::Up);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(
        (bench.active(), bench.group.poll_timeout()),
        (Some(2), None)
    );
}

#[test]
fn last_link_down_leaves_none() {
    let mut bench = Bench::new(members(1));
    bench.link(1, State::Up);
    let outputs = bench.link(1, State::Down);
    assert_eq!(
        outputs,
        [ranks(&[(1, None)]), moved(Some(1), None, MoveReason::Down)]
    );
    assert_eq!(bench.link(1, State::Down), [], "told once");
}

#[test]
fn removed_link_is_left_and_those_that_stay_keep_their_state() {
    let mut bench = Bench::new(members(3));
    bench.link(1, State::Up);
    bench.link(3, State::Up);
    let outputs = bench.give(GroupInput::Reconfigure(config(), members(3)[1..].to_vec()));
    let to_3 = moved(Some(1), Some(3), MoveReason::Removed);
    assert_eq!(outputs, [ranks(&[(3, Some(0)), (2, None)]), to_3]);
    assert_eq!(bench.link(1, State::Up), [], "no member");
}

#[test]
fn a_better_link_that_never_failed_takes_over_at_once() {
    let mut bench = Bench::new(members(2));
    bench.link(2, State::Up);
    assert_eq!(bench.active(), Some(2));
    bench.link(1, State::Up);
    assert_eq!(
        bench.active(),
        Some(1),
        "at a start the best need not be the first"
    );
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    assert_eq!(
        bench.active(),
        Some(2),
        "one that failed has to prove itself"
    );
}

#[test]
fn member_named_twice_counts_once() {
    let twice = [10, 20].map(|priority| Member {
        link: LinkId(1),
        priority,
    });
    assert_eq!(
        Group::new(config(), twice.to_vec(), start())
            .ranking()
            .len(),
        1
    );
}

/// One random history: whatever happens, the invariants hold after each step.
fn random_history(seed: u64) {
    let mut random = Random::new(seed);
    let mut draw = |below: u64| random.next() % below;
    let count = 1 + draw(5) as u32;
    let mut bench = Bench::new(members(count));
    let mut states = vec![State::Down; count as usize];
    let mut left_at = vec![None; count as usize];
    for step in 0..400 {
        let at = draw(u64::from(count)) as usize;
        let state = [State::Up, State::Degraded, State::Down][draw(3) as usize];
        let before = bench.active();
        let outputs = if draw(2) == 0 {
            bench.wait(Duration::from_millis(draw(7000)))
        } else {
            bench.now += Duration::from_millis(draw(300));
            states[at] = state;
            bench.link(at as u32 + 1, state)
        };
        let context = format!("seed {seed} step {step}");
        let alive = states.iter().any(|state| *state != State::Down);
        let active = bench.active();
        assert_eq!(
            active.is_some(),
            alive,
            "{context}: a live link is used if there is one"
        );
        if let Some(id) = active {
            assert_ne!(
                states[id as usize - 1],
                State::Down,
                "{context}: never a dead link"
            );
            assert_eq!(bench.group.ranking()[0], (LinkId(id), Some(0)), "{context}");
        }
        assert_eq!(
            bench.group.ranking().len(),
            count as usize,
            "{context}: complete"
        );
        let moves = outputs
            .iter()
            .filter(|output| matches!(output, GroupOutput::Moved { .. }));
        assert_eq!(
            moves.count(),
            usize::from(active != before),
            "{context}: every move is told"
        );
        assert!(
            bench.group.poll_timeout().is_none_or(|at| at > bench.now),
            "{context}: no spin"
        );
        if active == before {
            continue;
        }
        let forced = before.is_none_or(|id| states[id as usize - 1] == State::Down);
        if let (false, Some(to)) = (forced, active) {
            let left: Option<Instant> = left_at[to as usize - 1];
            let rested = left.is_none_or(|left| bench.now - left >= HOLD_DOWN);
            assert!(rested, "{context}: returned to {to} within the hold-down");
        }
        if let Some(from) = before {
            left_at[from as usize - 1] = Some(bench.now);
        }
    }
}

#[test]
fn random_histories_never_use_a_dead_link_and_never_flap() {
    for seed in 0..300 {
        random_history(seed);
    }
}

#[test]
fn flapping_preferred_link_costs_at_most_one_move() {
    let mut bench = Bench::new(members(2));
    bench.link(1, State::Up);
    bench.link(2, State::Up);
    let mut moves = 0;
    for flap in 0..1000 {
        let state = if flap % 2 == 0 {
            State::Down
        } else {
            State::Up
        };
        bench.now += Duration::from_secs(2);
        let outputs = bench.link(1, state);
        moves += outputs
            .iter()
            .filter(|output| matches!(output, GroupOutput::Moved { .. }))
            .count();
    }
    assert_eq!((moves, bench.active()), (1, Some(2)));
}
