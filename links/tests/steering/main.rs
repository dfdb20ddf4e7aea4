//! Weeks of latency, loss and flaps, on probes, healths and a group that do not know that it is a play.
//! `SIM_SEED=17` repeats one week, `SIM_WEEKS=500` has so many.
#![expect(clippy::print_stdout, reason = "a seed has to be told")]

mod world;

use std::time::Duration;

use links::{GroupConfig, HealthConfig, Limit, LinkId, Member, Policy, RttMargin, State};
use world::{Moved, Random, Script, Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Between two probes, where the test does not ask for more.
const INTERVAL: Duration = Duration::from_secs(1);
/// Where every second counts: five probes a second.
const OFTEN: Duration = Duration::from_millis(200);

fn config(policy: Policy) -> GroupConfig {
    let hold_down = match policy {
        Policy::Priority | Policy::Cost | Policy::Balance => 5,
        Policy::Latency(_) | Policy::Loss(_) => 30,
    };
    GroupConfig {
        policy,
        hold_down: SECOND * hold_down,
    }
}

fn slo() -> HealthConfig {
    HealthConfig {
        degraded_rtt: Some(Limit::new(
            Duration::from_millis(80),
            Duration::from_millis(64),
        )),
        degraded_loss: Some(Limit::new(0.02, 0.016)),
        ..HealthConfig::default()
    }
}

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

/// Links over ways with these RTTs, each a little less preferred and a little dearer.
fn members(rtts: &[u64]) -> Vec<(Member, u64)> {
    let member = |(id, rtt): (u32, &u64)| {
        let member = Member {
            priority: 10 * (id + 1),
            cost: Some(0.02 * f64::from(id + 1)),
            ..Member::new(LinkId(id))
        };
        (member, *rtt)
    };
    (0..).zip(rtts).map(member).collect()
}

fn world(policy: Policy, rtts: &[u64], interval: Duration, seed: u64) -> World {
    let mut world = World::new(config(policy), &members(rtts), interval, &slo(), seed);
    world.run(MINUTE);
    world
}

/// A way that is there and gone in turns.
fn flaps(way: usize, rtt: u64, half: Duration, times: u32) -> Script {
    let turn = |number: u32| {
        let weather = match number % 2 {
            0 => Weather::CUT,
            _ => Weather::fair(rtt),
        };
        (half * number, way, weather)
    };
    (0..times * 2).map(turn).collect()
}

#[test]
fn a_link_that_flaps_every_two_seconds_for_ten_minutes_costs_at_most_six_moves() {
    for policy in POLICIES {
        for half in [SECOND, 2 * SECOND] {
            let mut world = world(policy, &[20, 30, 40], OFTEN, 1);
            world.moves.clear();
            let times = u32::try_from(600 / (2 * half.as_secs())).unwrap();
            world.follow(flaps(0, 20, half, times));
            world.run(10 * MINUTE);
            let count = world.moves.len();
            assert!(count <= 6, "{policy:?}: {count} moves: {:#?}", world.moves);
            world.run(15 * MINUTE);
            let active: Vec<u32> = world.group.active().iter().map(|link| link.0).collect();
            let expected: &[u32] = match policy {
                Policy::Balance => &[0, 1, 2],
                // None is better than what traffic was moved to.
                Policy::Loss(_) => &[1],
                Policy::Priority | Policy::Latency(_) | Policy::Cost => &[0],
            };
            assert_eq!(
                active, expected,
                "{policy:?}: where it should be in the end"
            );
        }
    }
}

#[test]
fn a_link_that_has_flapped_is_used_when_the_others_fail() {
    for policy in POLICIES {
        let mut world = world(policy, &[20, 30], OFTEN, 6);
        world.follow(flaps(0, 20, 2 * SECOND, 30));
        world.run(2 * MINUTE);
        assert_eq!(world.state(0), State::Down, "{policy:?}: held down");
        world.set(1, Weather::CUT);
        world.run(3 * SECOND);
        assert_eq!(world.group.active(), [LinkId(0)], "{policy:?}");
        world.set(1, Weather::fair(30));
        world.run(30 * SECOND);
        assert_ne!(world.state(0), State::Down, "{policy:?}");
    }
}

#[test]
fn rtts_that_cross_every_five_seconds_move_nothing() {
    let latency = Policy::Latency(RttMargin::default());
    for (low, high) in [(48, 51), (30, 60)] {
        let mut world = world(latency, &[low, high], OFTEN, 2);
        world.moves.clear();
        let turn = |number: u32| {
            let (a, b) = match number % 2 {
                0 => (high, low),
                _ => (low, high),
            };
            let at = 5 * SECOND * number;
            [(at, 0, Weather::fair(a)), (at, 1, Weather::fair(b))]
        };
        world.follow((0..120).flat_map(turn).collect());
        world.run(10 * MINUTE);
        assert_eq!(world.moves, [], "{low} ms and {high} ms");
    }
}

#[test]
fn nothing_moves_while_nothing_is_better() {
    for policy in POLICIES {
        let links = [(Member::new(LinkId(0)), 20), (Member::new(LinkId(1)), 21)];
        let mut world = World::new(config(policy), &links, INTERVAL, &slo(), 3);
        world.run(MINUTE);
        world.moves.clear();
        for _ in 0..10 {
            let lost = world.random.within(0, 3);
            for way in 0..2 {
                world.set(
                    way,
                    Weather {
                        spread: 2,
                        lost,
                        ..Weather::fair(20)
                    },
                );
            }
            world.run(5 * MINUTE);
        }
        assert_eq!(world.moves, [], "{policy:?}");
    }
}

#[test]
fn a_silent_cut_is_left_in_time_and_returned_to_when_it_has_proved_itself() {
    let mut world = world(Policy::Priority, &[20, 30], Duration::from_millis(100), 4);
    world.moves.clear();
    let cut_at = world.now;
    world.set(0, Weather::CUT);
    world.run(30 * SECOND);
    let [left] = &world.moves[..] else {
        panic!("{:#?}", world.moves);
    };
    let took = left.at - cut_at;
    assert!(took < Duration::from_millis(450), "found after {took:?}");
    assert_eq!(left.reason.label(), "down");
    world.set(0, Weather::fair(20));
    world.run(30 * SECOND);
    assert_eq!(
        world.moves[1].reason.to_string(),
        "priority 10 against 20 for 5 s"
    );
}

#[test]
fn a_link_that_gets_slow_is_left_on_evidence_in_numbers() {
    let latency = Policy::Latency(RttMargin::default());
    let mut world = world(latency, &[38, 45], OFTEN, 5);
    assert_eq!(world.group.active(), [LinkId(0)]);
    world.moves.clear();
    world.set(0, Weather::fair(60));
    world.run(MINUTE);
    let [left] = &world.moves[..] else {
        panic!("{:#?}", world.moves);
    };
    let words = left.reason.to_string();
    assert!(words.starts_with("rtt 45."), "{words}");
    assert!(words.ends_with("ms for 30 s"), "{words}");
}

/// What goes wrong in a week.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Incident {
    Cut,
    Flap,
    Slow,
    Waves,
    Lossy,
    AllCut,
}

const INCIDENTS: [Incident; 6] = [
    Incident::Cut,
    Incident::Flap,
    Incident::Slow,
    Incident::Waves,
    Incident::Lossy,
    Incident::AllCut,
];

/// An incident of so many seconds over ways with these RTTs, after which all is well.
fn incident(random: &mut Random, seconds: u64, rtts: &[u64]) -> Script {
    let ways = rtts.len() as u64;
    let way = random.within(0, ways) as usize;
    let rtt = rtts[way];
    let lasts = SECOND * u32::try_from(seconds).expect("minutes");
    let fair = |way: usize| (lasts, way, Weather::fair(rtts[way]));
    match INCIDENTS[random.within(0, INCIDENTS.len() as u64) as usize] {
        Incident::Cut => [(Duration::ZERO, way, Weather::CUT), fair(way)].into(),
        Incident::Flap => {
            let half = Duration::from_millis(random.within(500, 9000));
            let times = (lasts.as_millis() / (2 * half.as_millis())) as u32;
            let mut script = flaps(way, rtt, half, times);
            script.push_back(fair(way));
            script
        }
        Incident::Slow => {
            let rtt = rtt * random.within(110, 400) / 100;
            let spread = random.within(0, 10);
            let slow = Weather {
                rtt,
                spread,
                lost: 0,
            };
            [(Duration::ZERO, way, slow), fair(way)].into()
        }
        Incident::Waves => {
            let every = Duration::from_millis(random.within(2000, 80_000));
            let count = (lasts.as_millis() / every.as_millis()) as u32;
            let worse = Weather::fair(rtt * 2 + 10);
            let wave = |number: u32| match number % 2 {
                0 => (every * number, way, worse),
                _ => (every * number, way, Weather::fair(rtt)),
            };
            let mut script: Script = (0..count).map(wave).collect();
            script.push_back(fair(way));
            script
        }
        Incident::Lossy => {
            let lost = random.within(1, 400);
            let lossy = Weather {
                lost,
                ..Weather::fair(rtt)
            };
            [(Duration::ZERO, way, lossy), fair(way)].into()
        }
        Incident::AllCut => {
            let cuts = (0..rtts.len()).map(|way| (Duration::ZERO, way, Weather::CUT));
            cuts.chain((0..rtts.len()).map(fair)).collect()
        }
    }
}

/// A week of incidents with calm between them. Nobody looks while nothing happens: minutes before and
/// after an incident are played, and the hours between pass at once.
fn week(seed: u64) {
    let mut random = Random::new(seed);
    let policy = POLICIES[random.within(0, 5) as usize];
    let rtts: Vec<u64> = (0..random.within(2, 5))
        .map(|_| random.within(5, 60))
        .collect();
    println!("week {seed}: {policy:?} over {rtts:?} ms");
    let mut world = world(policy, &rtts, INTERVAL, random.next());
    let end = world.start + WEEK;
    while world.now + Duration::from_secs(3600) < end {
        let seconds = match random.within(0, 10) {
            0 => random.within(300, 900),
            1..=4 => random.within(30, 300),
            _ => random.within(1, 30),
        };
        let script = incident(&mut random, seconds, &rtts);
        world.follow(script);
        world.run(SECOND * seconds as u32 + 90 * SECOND);
        for way in 0..rtts.len() {
            assert_ne!(world.state(way), State::Down, "week {seed}: well again");
        }
        let calm = match random.within(0, 4) {
            // One incident comes on the heels of the other.
            0 => random.within(0, 60),
            _ => random.within(1800, 6 * 3600),
        };
        world.pass(SECOND * calm as u32);
        world.run(15 * SECOND);
    }
    judge(seed, &world, rtts.len());
}

/// Never more moves than the bound: see the documentation of groups.
fn judge(seed: u64, world: &World, links: usize) {
    let free = world.most_within(10 * MINUTE, Moved::is_free);
    // Each link's falls double its wait: seven returns in ten minutes, and it is alone in that.
    assert!(
        free <= 7 * links,
        "week {seed}: {free} moves for the better in ten minutes"
    );
    for moved in &world.moves {
        let words = moved.reason.to_string();
        assert_ne!(moved.from, moved.to, "week {seed}: {words}");
        let is_known = !words.contains("up against up");
        assert!(is_known, "week {seed}: {words}");
    }
}

#[test]
fn in_weeks_of_weather_no_dead_link_is_used_and_no_move_is_one_too_many() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let weeks = number("SIM_WEEKS").unwrap_or(30);
    let seeds = number("SIM_SEED").map_or(0..weeks, |seed| seed..seed + 1);
    seeds.for_each(week);
}
