//! Random histories: whatever happens, the invariants hold after each step.

use super::*;

const POLICIES: [Policy; 5] = [
    Policy::Priority,
    Policy::Latency(RttMargin {
        part: 0.1,
        least: Duration::from_millis(2),
    }),
    Policy::Loss(0.005),
    Policy::Cost,
    Policy::Balance,
];

struct History {
    bench: Bench,
    random: Random,
    states: Vec<State>,
    context: String,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + (random.next() % 5) as u32;
        let policy = POLICIES[(random.next() % 5) as usize];
        let links = members(count).into_iter().map(|member| Member {
            priority: 10 * (random.next() % 3) as u32,
            cost: [None, Some(0.02), Some(0.09)][(random.next() % 3) as usize],
            ..member
        });
        let links: Vec<Member> = links.collect();
        Self {
            bench: Bench::new(config(policy), links),
            random,
            states: vec![State::Down; count as usize],
            context: format!("seed {seed} {policy:?}"),
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random.next() % below
    }

    fn step(&mut self) -> Vec<GroupOutput> {
        let at = self.draw(self.states.len() as u64) as usize;
        let link = LinkId(at as u32 + 1);
        match self.draw(5) {
            4 => {
                let drawn = (self.draw(4) > 0).then_some(link);
                self.bench.give(GroupInput::Drawn(drawn))
            }
            0 => {
                let time = Duration::from_millis(self.draw(7000));
                self.bench.wait(time)
            }
            1 | 2 => {
                let passes = Duration::from_millis(self.draw(300));
                self.bench.now += passes;
                let rtt = Some(Duration::from_millis(self.draw(60)));
                let loss = Some(self.draw(100) as f64 / 1000.0);
                let figures = Figures {
                    rtt,
                    loss,
                    loss_error: 0.0,
                };
                self.bench.give(GroupInput::Figures { link, figures })
            }
            _ => {
                let passes = Duration::from_millis(self.draw(300));
                self.bench.now += passes;
                let state = State::ALL[self.draw(4) as usize];
                self.states[at] = state;
                self.bench.link(link.0, state)
            }
        }
    }

    fn check(&self, before: &[u32], outputs: &[GroupOutput]) {
        let (bench, context) = (&self.bench, &self.context);
        let active = bench.active();
        let is_alive = |id: &u32| self.states[*id as usize - 1] != State::Down;
        let alive = self.states.iter().any(|state| *state != State::Down);
        assert_eq!(!active.is_empty(), alive, "{context}: a live link is used");
        assert!(active.iter().all(is_alive), "{context}: never a dead link");
        let ranking = bench.group.ranking();
        assert_eq!(ranking.len(), self.states.len(), "{context}: complete");
        let ties: std::collections::BTreeSet<u32> = ranking.iter().map(|it| it.tiebreak).collect();
        assert_eq!(ties.len(), ranking.len(), "{context}: no tie is left");
        if let Some(first) = active.first() {
            let best = ranking[0];
            assert_eq!((best.link.0, best.rank), (*first, Some(0)), "{context}");
        }
        for standing in ranking {
            let is_up = is_alive(&standing.link.0);
            assert_eq!(standing.rank.is_some(), is_up, "{context}: {standing:?}");
        }
        let sorted = |links: &[u32]| {
            let mut links = links.to_vec();
            links.sort_unstable();
            links
        };
        let has_moved = sorted(&active) != sorted(before);
        let told = moves(outputs).len();
        assert_eq!(
            told,
            usize::from(has_moved),
            "{context}: every move is told"
        );
        let timeout = bench.group.poll_timeout();
        assert!(
            timeout.is_none_or(|at| at > bench.now),
            "{context}: no spin"
        );
    }
}

#[test]
fn random_histories_never_use_a_dead_link_and_tell_every_move() {
    for seed in 0..500 {
        let mut history = History::new(seed);
        for _ in 0..400 {
            let before = history.bench.active();
            let outputs = history.step();
            history.check(&before, &outputs);
        }
    }
}

/// A link that is left without having failed is left for one that is better in numbers.
#[test]
fn random_histories_never_move_for_nothing() {
    for seed in 0..300 {
        let mut history = History::new(seed);
        for _ in 0..400 {
            let outputs = history.step();
            for output in &outputs {
                if let GroupOutput::Moved { from, reason, .. } = output {
                    let ranking = history.bench.group.ranking();
                    let left = ranking.iter().find(|it| from.contains(&it.link));
                    assert_better(reason, left, &history.context);
                }
            }
        }
    }
}

/// - `left`: how the link that is left stands now
fn assert_better(reason: &MoveReason, left: Option<&Standing>, context: &str) {
    match *reason {
        MoveReason::Better {
            figure, against, ..
        } => {
            let is_less = POLICIES
                .iter()
                .any(|policy| policy.is_less(figure, against));
            assert!(is_less, "{context}: {reason}");
        }
        MoveReason::Recovered { state, against, .. } => {
            assert!(state < against, "{context}: {reason}");
        }
        MoveReason::Drawn => {
            let rank = left.and_then(|left| left.rank);
            assert_eq!(rank, Some(0), "{context}: {reason}");
        }
        MoveReason::Removed | MoveReason::Reconfigured => panic!("{context}: {reason}"),
        MoveReason::FirstUsable
        | MoveReason::Down(_)
        | MoveReason::Degraded(_)
        | MoveReason::Draining
        | MoveReason::Joined { .. } => {}
    }
}
