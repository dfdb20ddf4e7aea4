//! Policies whose figures are measured.

use super::*;

fn by_latency() -> GroupConfig {
    GroupConfig {
        hold_down: Duration::from_secs(30),
        ..config(Policy::Latency(RttMargin::default()))
    }
}

fn by_loss() -> GroupConfig {
    GroupConfig {
        hold_down: Duration::from_secs(30),
        ..config(Policy::Loss(0.005))
    }
}

impl Bench {
    /// Every link measured once a second for so long, in milliseconds.
    fn rtts(&mut self, seconds: u64, rtts: &[u64]) -> Vec<GroupOutput> {
        let figures = rtts.iter().map(|rtt| Figures {
            rtt: Some(Duration::from_millis(*rtt)),
            loss: Some(0.0),
            ..Figures::default()
        });
        self.measured(seconds, &figures.collect::<Vec<_>>())
    }

    fn losses(&mut self, seconds: u64, losses: &[f64]) -> Vec<GroupOutput> {
        let figures = losses.iter().map(|loss| Figures {
            rtt: Some(Duration::from_millis(20)),
            loss: Some(*loss),
            ..Figures::default()
        });
        self.measured(seconds, &figures.collect::<Vec<_>>())
    }

    fn measured(&mut self, seconds: u64, figures: &[Figures]) -> Vec<GroupOutput> {
        let mut outputs = Vec::new();
        for _ in 0..seconds {
            outputs.extend(self.wait(Duration::from_secs(1)));
            for (id, figures) in (1..).zip(figures) {
                outputs.extend(self.give(GroupInput::Figures {
                    link: LinkId(id),
                    figures: *figures,
                }));
            }
        }
        outputs
    }
}

#[test]
fn link_with_a_clearly_shorter_rtt_takes_over_when_it_has_been_so_for_long_enough() {
    let mut bench = Bench::up(by_latency(), equals(2));
    let before = bench.rtts(30, &[52, 38]);
    assert_eq!(moves(&before), []);
    assert_eq!(bench.why(2), "rtt 38.0 ms against 52.0 ms for 29 s of 30 s");
    let outputs = bench.rtts(1, &[52, 38]);
    assert_moved(
        &outputs,
        &[1],
        &[2],
        "latency",
        "rtt 38.0 ms against 52.0 ms for 30 s",
    );
    assert_eq!(bench.ranks(), [Some(1), Some(0)]);
    assert_eq!(bench.why(1), "rtt 52.0 ms against 38.0 ms");
}

#[test]
fn within_the_margin_ranks_are_equal_and_nothing_moves() {
    let mut bench = Bench::up(by_latency(), equals(2));
    let outputs = bench.rtts(600, &[52, 48]);
    assert_eq!(moves(&outputs), [], "10 % of 52 ms");
    assert_eq!(bench.ranks(), [Some(0), Some(0)]);
    let outputs = bench.rtts(600, &[5, 4]);
    assert_eq!(moves(&outputs), [], "2 ms");
}

#[test]
fn rtts_that_cross_every_five_seconds_move_nothing() {
    for (a, b) in [(50, 47), (50, 10)] {
        let mut bench = Bench::up(by_latency(), equals(2));
        for _ in 0..60 {
            assert_eq!(moves(&bench.rtts(5, &[a, b])), []);
            assert_eq!(moves(&bench.rtts(5, &[b, a])), []);
        }
        assert_eq!(bench.ranks(), [Some(0), Some(0)]);
    }
}

#[test]
fn rtts_that_take_turns_for_longer_move_traffic_less_and_less() {
    let mut bench = Bench::up(by_latency(), equals(2));
    let mut count = 0;
    for _ in 0..9 {
        count += moves(&bench.rtts(33, &[50, 20])).len();
        count += moves(&bench.rtts(33, &[20, 50])).len();
    }
    assert!(count <= 3, "{count} moves in ten minutes");
}

#[test]
fn lead_that_shrinks_below_the_margin_stays_until_it_is_gone() {
    let mut bench = Bench::up(by_latency(), equals(2));
    bench.rtts(31, &[52, 38]);
    bench.rtts(100, &[40, 38]);
    assert_eq!(bench.ranks(), [Some(1), Some(0)]);
    bench.rtts(1, &[38, 38]);
    assert_eq!(bench.ranks(), [Some(0), Some(0)]);
    assert_eq!(bench.active(), [2]);
}

#[test]
fn far_links_rank_one_behind_the_other() {
    let mut bench = Bench::up(by_latency(), equals(4));
    bench.rtts(31, &[100, 10, 50, 11]);
    assert_eq!(bench.ranks(), [Some(2), Some(0), Some(1), Some(0)]);
}

#[test]
fn state_goes_before_rtt() {
    let mut bench = Bench::up(by_latency(), equals(2));
    bench.rtts(31, &[52, 38]);
    let outputs = bench.link(2, State::Degraded);
    assert_eq!(moves(&outputs)[0].2, "degraded");
    bench.rtts(600, &[52, 38]);
    assert_eq!(bench.active(), [1]);
}

#[test]
fn after_a_start_the_first_figures_count_at_once() {
    let mut bench = Bench::new(by_latency(), equals(2));
    bench.link(1, State::Up);
    bench.link(2, State::Up);
    let outputs = bench.rtts(1, &[52, 38]);
    assert_eq!(moves(&outputs)[0].2, "latency");
    assert_eq!(bench.active(), [2]);
}

#[test]
fn dead_link_has_no_lead_when_it_returns() {
    let mut bench = Bench::up(by_latency(), equals(2));
    bench.rtts(31, &[52, 38]);
    bench.link(2, State::Down);
    bench.link(2, State::Up);
    assert_eq!(bench.why(2), "well for 0 s of 30 s");
    let outputs = bench.rtts(120, &[52, 38]);
    assert_eq!(moves(&outputs).len(), 1);
    assert_eq!(bench.active(), [2]);
}

#[test]
fn link_that_is_not_measured_is_neither_taken_nor_left_for_its_rtt() {
    let mut bench = Bench::up(by_latency(), equals(2));
    for (id, rtt) in [(1, Some(Duration::from_millis(90))), (2, None)] {
        let figures = Figures {
            rtt,
            ..Figures::default()
        };
        let link = LinkId(id);
        bench.give(GroupInput::Figures { link, figures });
    }
    bench.wait(Duration::from_secs(600));
    assert_eq!(
        (bench.active(), bench.why(2)),
        (vec![1], "not known yet".to_owned())
    );
}

#[test]
fn link_with_clearly_less_loss_takes_over() {
    let mut bench = Bench::up(by_loss(), equals(2));
    assert_eq!(
        moves(&bench.losses(600, &[0.004, 0.0])),
        [],
        "within the margin"
    );
    let outputs = bench.losses(31, &[0.02, 0.001]);
    let words = "loss 0.1 % against 2.0 % for 30 s";
    assert_moved(&outputs, &[1], &[2], "loss", words);
}

#[test]
fn leads_stay_where_members_change() {
    let mut bench = Bench::up(by_latency(), equals(3));
    bench.rtts(31, &[90, 50, 10]);
    let left = equals(3)[1..].to_vec();
    bench.give(GroupInput::Reconfigure(by_latency(), left));
    assert_eq!(bench.ranks(), [Some(1), Some(0)]);
    bench.give(GroupInput::Reconfigure(by_latency(), equals(3)));
    assert_eq!(bench.ranks(), [None, Some(1), Some(0)]);
}

#[test]
fn a_new_hold_down_holds_for_a_lead_that_has_begun() {
    let hold_down = |seconds| GroupConfig {
        hold_down: Duration::from_secs(seconds),
        ..by_latency()
    };
    let mut bench = Bench::up(hold_down(600), equals(2));
    assert_eq!(moves(&bench.rtts(20, &[52, 38])), []);
    bench.give(GroupInput::Reconfigure(hold_down(25), equals(2)));
    assert_eq!(bench.why(2), "rtt 38.0 ms against 52.0 ms for 19 s of 25 s");
    bench.give(GroupInput::Reconfigure(hold_down(40), equals(2)));
    assert_eq!(moves(&bench.rtts(20, &[52, 38])), []);
    let outputs = bench.give(GroupInput::Reconfigure(hold_down(30), equals(2)));
    assert_eq!(moves(&outputs)[0].1, [2], "it has lasted for long enough");
}
