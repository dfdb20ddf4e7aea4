use super::*;
use crate::random::Random;

mod measured;
mod random;

const HOLD_DOWN: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn config(policy: Policy) -> GroupConfig {
    GroupConfig {
        policy,
        hold_down: HOLD_DOWN,
    }
}

fn by_priority() -> GroupConfig {
    config(Policy::Priority)
}

/// Links 1 to `count`, each a little less preferred.
fn members(count: u32) -> Vec<Member> {
    let member = |id| Member {
        priority: id * 10,
        ..Member::new(LinkId(id))
    };
    (1..=count).map(member).collect()
}

/// Links 1 to `count` of the same priority.
fn equals(count: u32) -> Vec<Member> {
    (1..=count).map(|id| Member::new(LinkId(id))).collect()
}

fn change(state: State) -> HealthChange {
    let reason = match state {
        State::Up => Reason::Answers,
        State::Degraded => Reason::Loss {
            ratio: 0.1,
            limit: 0.01,
        },
        State::Draining => Reason::Drained,
        State::Down => Reason::Unanswered(3),
    };
    HealthChange { state, reason }
}

struct Bench {
    group: Group,
    now: Instant,
}

impl Bench {
    fn new(config: GroupConfig, members: Vec<Member>) -> Self {
        let now = start();
        let mut group = Group::new(config, members, 7, now);
        while group.poll_output().is_some() {}
        Self { group, now }
    }

    /// With the links up for a minute.
    fn up(config: GroupConfig, members: Vec<Member>) -> Self {
        let links: Vec<u32> = members.iter().map(|member| member.link.0).collect();
        let mut bench = Self::new(config, members);
        for link in links {
            bench.link(link, State::Up);
        }
        bench.wait(Duration::from_secs(60));
        bench
    }

    fn link(&mut self, id: u32, state: State) -> Vec<GroupOutput> {
        self.give(GroupInput::Link {
            link: LinkId(id),
            change: change(state),
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

    fn active(&self) -> Vec<u32> {
        self.group.active().iter().map(|link| link.0).collect()
    }

    /// By id.
    fn ranks(&self) -> Vec<Rank> {
        let mut ranking = self.group.ranking().to_vec();
        ranking.sort_by_key(|standing| standing.link);
        ranking.iter().map(|standing| standing.rank).collect()
    }

    fn why(&self, id: u32) -> String {
        let views = self.group.views(self.now);
        let view = views.iter().find(|view| view.link == LinkId(id)).unwrap();
        view.why.to_string()
    }
}

/// Where from, where to, by which label and in which words.
type Move = (Vec<u32>, Vec<u32>, &'static str, String);

fn moves(outputs: &[GroupOutput]) -> Vec<Move> {
    let numbers = |links: &[LinkId]| links.iter().map(|link| link.0).collect();
    let moves = outputs.iter().filter_map(|output| match output {
        GroupOutput::Ranks(_) => None,
        GroupOutput::Moved { from, to, reason } => Some((
            numbers(from),
            numbers(to),
            reason.label(),
            reason.to_string(),
        )),
    });
    moves.collect()
}

#[track_caller]
fn assert_moved(outputs: &[GroupOutput], from: &[u32], to: &[u32], label: &str, words: &str) {
    let moves = moves(outputs);
    assert_eq!(moves.len(), 1, "{outputs:?}");
    let (was, is, said, text) = &moves[0];
    assert_eq!(
        (&was[..], &is[..], *said, &text[..]),
        (from, to, label, words)
    );
}

#[test]
fn starts_with_nothing_usable_and_says_so() {
    let mut group = Group::new(by_priority(), members(2), 7, start());
    let Some(GroupOutput::Ranks(ranks)) = group.poll_output() else {
        panic!("no ranks");
    };
    assert!(ranks.iter().all(|standing| standing.rank.is_none()));
    assert_eq!(group.poll_output(), None);
    assert!(group.active().is_empty());
    assert_eq!(group.poll_timeout(), None);
}

#[test]
fn first_usable_link_carries_at_once() {
    let mut bench = Bench::new(by_priority(), members(2));
    let outputs = bench.link(2, State::Degraded);
    assert_moved(
        &outputs,
        &[],
        &[2],
        "first_usable",
        "the first that is usable",
    );
    assert_eq!(bench.ranks(), [None, Some(0)]);
    assert!(
        matches!(outputs[0], GroupOutput::Ranks(_)),
        "ranks come before the move"
    );
}

#[test]
fn dead_link_is_left_at_once_and_returned_to_after_the_hold_down() {
    let mut bench = Bench::up(by_priority(), members(2));
    let outputs = bench.link(1, State::Down);
    let words = "down: 3 probes in a row unanswered";
    assert_moved(&outputs, &[1], &[2], "down", words);
    assert_eq!(bench.ranks(), [None, Some(0)]);

    bench.link(1, State::Up);
    assert_eq!(
        (bench.active(), bench.ranks()),
        (vec![2], vec![Some(1), Some(0)])
    );
    assert_eq!(bench.group.poll_timeout(), Some(bench.now + HOLD_DOWN));
    assert_eq!(bench.wait(HOLD_DOWN - Duration::from_millis(1)), []);
    assert_eq!(bench.why(1), "well for 5.0 s of 5 s");
    let outputs = bench.wait(Duration::from_millis(1));
    assert_moved(
        &outputs,
        &[2],
        &[1],
        "priority",
        "priority 10 against 20 for 5 s",
    );
    assert_eq!(bench.group.poll_timeout(), None);
}

#[test]
fn relapse_starts_the_hold_down_again() {
    let mut bench = Bench::up(by_priority(), members(2));
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN / 2);
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN - Duration::from_millis(1));
    assert_eq!(bench.active(), [2]);
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.active(), [1]);
}

#[test]
fn each_fall_doubles_the_hold_down_and_time_halves_it_again() {
    let mut bench = Bench::up(by_priority(), members(2));
    let mut fall = |quiet: Duration| {
        bench.wait(quiet);
        bench.link(1, State::Degraded);
        assert_eq!(bench.active(), [2]);
        let since = bench.now;
        bench.link(1, State::Up);
        while let Some(at) = bench.group.poll_timeout() {
            bench.now = at;
            bench.give(GroupInput::Timeout);
        }
        assert_eq!(bench.active(), [1]);
        (bench.now - since).as_secs()
    };
    let second = Duration::from_secs(1);
    let waits: Vec<u64> = (0..8).map(|_| fall(second)).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600]);
    assert_eq!(fall(second), 80, "the wait itself was quiet");
    assert_eq!(fall(FORGET * 4), 5, "long ago");
}

#[test]
fn degraded_link_is_left_at_once_for_one_that_is_up() {
    let mut bench = Bench::up(by_priority(), members(2));
    let outputs = bench.link(1, State::Degraded);
    let words = "degraded: loss 10.0 % over 1.0 %";
    assert_moved(&outputs, &[1], &[2], "degraded", words);
    assert_eq!(bench.why(1), "degraded");
}

#[test]
fn degraded_link_is_kept_while_the_other_one_is_fresh_or_no_better() {
    let mut bench = Bench::up(by_priority(), members(2));
    bench.link(2, State::Degraded);
    bench.link(1, State::Degraded);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(
        (bench.active(), bench.group.poll_timeout()),
        (vec![1], None)
    );
    bench.link(2, State::Up);
    assert_eq!(bench.active(), [1]);
    bench.wait(HOLD_DOWN);
    assert_eq!(bench.active(), [2]);
}

#[test]
fn the_group_goes_after_traffic_that_the_far_side_has_drawn_away() {
    let mut bench = Bench::up(by_priority(), equals(3));
    assert_eq!(bench.active(), [1]);
    bench.give(GroupInput::Drawn(Some(LinkId(2))));
    assert_eq!(bench.active(), [1], "the far side may not mean it");
    let waits = bench.group.poll_timeout().expect("a deadline") - bench.now;
    let bounds = Duration::from_secs(1)..Duration::from_secs(10);
    assert!(bounds.contains(&waits), "{waits:?}");
    let why = bench.why(2);
    assert!(
        why.starts_with("most routes lead over it: in use in "),
        "{why}"
    );
    let outputs = bench.wait(waits);
    assert_moved(
        &outputs,
        &[1],
        &[2],
        "routes",
        "most routes lead over it already",
    );
    assert_eq!(
        bench.group.poll_timeout(),
        None,
        "it is where the traffic is"
    );
    bench.give(GroupInput::Drawn(None));
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [2], "where MED ties, the link in use stays");
}

#[test]
fn what_the_far_side_draws_to_counts_only_among_links_of_the_best_rank() {
    let mut bench = Bench::up(by_priority(), members(2));
    bench.give(GroupInput::Drawn(Some(LinkId(2))));
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [1], "the first is preferred");
    let mut bench = Bench::up(by_priority(), equals(2));
    bench.give(GroupInput::Drawn(Some(LinkId(2))));
    bench.link(2, State::Degraded);
    assert_eq!(bench.group.poll_timeout(), None);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [1]);
    let mut bench = Bench::up(config(Policy::Balance), equals(2));
    bench.give(GroupInput::Drawn(Some(LinkId(2))));
    assert_eq!(bench.group.poll_timeout(), None, "all share");
    assert_eq!(bench.active(), [1, 2]);
}

#[test]
fn a_far_side_that_changes_its_mind_all_the_time_is_followed_less_and_less() {
    let mut bench = Bench::up(by_priority(), equals(2));
    let mut moved = 0;
    for second in 0..600 {
        let wished = LinkId(2 - u32::from(bench.active() == [2]));
        bench.give(GroupInput::Drawn(Some(wished)));
        moved += moves(&bench.wait(Duration::from_secs(1))).len();
        assert!(second > 20 || moved > 0 || second < 10, "never followed");
    }
    assert!((3..=9).contains(&moved), "{moved}");
}

/// Two routers, each of which tells the other to use the link that it uses itself.
#[test]
fn two_routers_that_follow_each_other_agree_on_one_link() {
    let mut swaps = 0;
    for seed in 0..200 {
        let mut benches = [2 * seed, 2 * seed + 1].map(|seed| {
            let mut bench = Bench::up(by_priority(), equals(2));
            bench.group.drawn = Drawn::new(seed, bench.now);
            bench
        });
        benches[1].link(1, State::Degraded);
        benches[1].link(1, State::Up);
        benches[1].wait(HOLD_DOWN);
        assert_ne!(benches[0].active(), benches[1].active());
        // What one says reaches the other after this long.
        let step = Duration::from_millis(200);
        let mut steps = 0;
        while benches[0].active() != benches[1].active() {
            let said = [1, 0].map(|other| LinkId(benches[other].active()[0]));
            for (bench, said) in benches.iter_mut().zip(said) {
                bench.give(GroupInput::Drawn(Some(said)));
            }
            let moved = benches
                .each_mut()
                .map(|bench| moves(&bench.wait(step)).len());
            swaps += usize::from(moved == [1, 1]);
            steps += 1;
            assert!(
                steps < 5 * 120,
                "seed {seed}: no agreement within 2 minutes"
            );
        }
    }
    assert!((1..40).contains(&swaps), "{swaps}");
}

#[test]
fn draining_link_is_left_for_any_other_and_returned_to_at_once() {
    for other in [State::Up, State::Degraded] {
        let mut bench = Bench::up(by_priority(), members(2));
        bench.link(2, other);
        let outputs = bench.link(1, State::Draining);
        assert_moved(&outputs, &[1], &[2], "draining", "draining");
        assert_eq!(bench.ranks(), [Some(1), Some(0)]);
        bench.link(1, State::Up);
        assert_eq!(bench.active(), [1], "it has not failed");
    }
}

#[test]
fn draining_link_carries_on_while_there_is_nothing_else() {
    let mut bench = Bench::up(by_priority(), members(2));
    bench.link(2, State::Down);
    assert_eq!(bench.link(1, State::Draining).len(), 0);
    assert_eq!(bench.active(), [1]);
    bench.link(2, State::Up);
    assert_eq!(bench.active(), [1], "the other has to prove itself");
    let outputs = bench.wait(HOLD_DOWN);
    assert_moved(&outputs, &[1], &[2], "draining", "draining");
    bench.link(2, State::Down);
    assert_eq!(bench.active(), [1], "better than nothing");
    let outputs = bench.link(1, State::Down);
    assert_eq!(moves(&outputs)[0].2, "down", "one that dies is down");
    assert!(bench.active().is_empty());
}

#[test]
fn equally_good_links_have_equal_ranks_and_the_one_in_use_stays() {
    let mut bench = Bench::new(by_priority(), equals(3));
    bench.link(2, State::Up);
    bench.link(1, State::Up);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [2]);
    assert_eq!(bench.ranks(), [Some(0), Some(0), None]);
    let first = bench.group.ranking()[0];
    assert_eq!((first.link, first.tiebreak), (LinkId(2), 0));
    assert_eq!(bench.why(1), "as good as the link in use");
    bench.link(2, State::Down);
    bench.link(2, State::Up);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [1], "nothing is better");
}

#[test]
fn cheapest_link_within_its_objective_wins() {
    let cost = |id, cost| Member {
        cost: Some(cost),
        ..Member::new(LinkId(id))
    };
    let links = vec![cost(1, 0.09), cost(2, 0.02), cost(3, 0.02)];
    let mut bench = Bench::up(config(Policy::Cost), links);
    assert_eq!(bench.active(), [2]);
    assert_eq!(bench.ranks(), [Some(1), Some(0), Some(0)]);
    assert_eq!(bench.why(1), "cost $0.09/GB against $0.02/GB");
    bench.link(2, State::Degraded);
    assert_eq!(bench.active(), [3]);
    bench.link(3, State::Degraded);
    assert_eq!(bench.active(), [1], "dear, but good");
    bench.link(2, State::Up);
    let outputs = bench.wait(HOLD_DOWN);
    let words = "cost $0.02/GB against $0.09/GB for 5 s";
    assert_moved(&outputs, &[1], &[2], "cost", words);
}

#[test]
fn balanced_links_share_and_a_worse_one_is_left_out() {
    let weight = |id, weight| Member {
        weight,
        ..Member::new(LinkId(id))
    };
    let links = vec![weight(1, 3), weight(2, 1), weight(3, 0)];
    let mut bench = Bench::up(config(Policy::Balance), links);
    assert_eq!(bench.active(), [1, 2, 3]);
    let weights: Vec<u8> = bench.group.ranking().iter().map(|it| it.weight).collect();
    assert_eq!(weights, [3, 1, 1]);
    let outputs = bench.link(2, State::Degraded);
    let words = "degraded: loss 10.0 % over 1.0 %";
    assert_moved(&outputs, &[1, 2, 3], &[1, 3], "degraded", words);
    assert_eq!(bench.ranks(), [Some(0), Some(1), Some(0)]);
    bench.link(2, State::Up);
    let outputs = bench.wait(HOLD_DOWN);
    assert_moved(&outputs, &[1, 3], &[1, 2, 3], "joined", "up for 5 s");
    for link in 1..=3 {
        bench.link(link, State::Degraded);
    }
    assert_eq!(bench.active(), [1, 2, 3], "none is better");
}

#[test]
fn last_link_down_leaves_none() {
    let mut bench = Bench::up(by_priority(), members(1));
    let outputs = bench.link(1, State::Down);
    let words = "down: 3 probes in a row unanswered";
    assert_moved(&outputs, &[1], &[], "down", words);
    assert_eq!(bench.link(1, State::Down), [], "told once");
}

#[test]
fn a_link_that_has_to_prove_itself_is_used_when_there_is_nothing_else() {
    let mut bench = Bench::up(by_priority(), members(2));
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    bench.link(2, State::Down);
    assert_eq!(bench.active(), [1]);
    bench.link(2, State::Up);
    bench.wait(HOLD_DOWN * 10);
    assert_eq!(bench.active(), [1]);
}

#[test]
fn removed_link_is_left_and_those_that_stay_keep_their_state() {
    let mut bench = Bench::new(by_priority(), members(3));
    bench.link(1, State::Up);
    bench.link(3, State::Up);
    let outputs = bench.give(GroupInput::Reconfigure(
        by_priority(),
        members(3)[1..].to_vec(),
    ));
    assert_moved(&outputs, &[1], &[3], "removed", "removed from the group");
    assert_eq!(bench.ranks(), [None, Some(0)]);
    assert_eq!(bench.link(1, State::Up), [], "no member");
}

#[test]
fn new_priorities_move_traffic_at_once() {
    let mut bench = Bench::up(by_priority(), members(2));
    let mut links = members(2);
    links[1].priority = 1;
    let outputs = bench.give(GroupInput::Reconfigure(by_priority(), links));
    assert_moved(
        &outputs,
        &[1],
        &[2],
        "reconfigured",
        "another configuration",
    );
}

#[test]
fn a_better_link_that_never_failed_takes_over_at_once() {
    let mut bench = Bench::new(by_priority(), members(2));
    bench.link(2, State::Up);
    assert_eq!(bench.active(), [2]);
    bench.link(1, State::Up);
    assert_eq!(
        bench.active(),
        [1],
        "at a start the best need not be the first"
    );
    bench.link(1, State::Down);
    bench.link(1, State::Up);
    assert_eq!(bench.active(), [2], "one that failed has to prove itself");
}

#[test]
fn member_named_twice_counts_once() {
    let twice = vec![Member::new(LinkId(1)); 2];
    let group = Group::new(by_priority(), twice, 7, start());
    assert_eq!(group.ranking().len(), 1);
}

#[test]
fn flapping_preferred_link_costs_at_most_one_move() {
    let mut bench = Bench::up(by_priority(), members(2));
    let mut count = 0;
    for flap in 0..1000 {
        let state = match flap % 2 {
            0 => State::Down,
            _ => State::Up,
        };
        bench.now += Duration::from_secs(2);
        count += moves(&bench.link(1, state)).len();
    }
    assert_eq!((count, bench.active()), (1, vec![2]));
}
