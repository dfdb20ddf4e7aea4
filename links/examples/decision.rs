//! What a decision of a group of 16 links takes: `cargo run --release -p links --example decision`.
//!
//! The worst there is: by latency, all RTTs far apart, so that every link beats or is beaten by every
//! other, and each input changes them.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::{Duration, Instant};

use links::{
    Figures, Group, GroupConfig, GroupInput, HealthChange, LinkId, Member, Policy, Reason,
    RttMargin, State,
};

const LINKS: u32 = 16;
const ROUNDS: u32 = 20_000;

fn main() {
    let policies = [
        ("priority", Policy::Priority),
        ("latency", Policy::Latency(RttMargin::default())),
        ("balance", Policy::Balance),
    ];
    for (name, policy) in policies {
        let [figures, states] = measure(policy);
        println!(
            "{name:>8}: {figures:>9.2?} after a measurement, {states:>9.2?} after a link died or came back"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure(policy: Policy) -> [Duration; 2] {
    let mut now = Instant::now();
    let mut group = group(policy, now);
    let mut took = [Duration::ZERO; 2];
    for round in 0..ROUNDS {
        now += Duration::from_millis(100);
        let link = LinkId(round % LINKS);
        let started = Instant::now();
        group.handle(measured(link, round), now);
        while group.poll_output().is_some() {}
        took[0] += started.elapsed();

        let change = match round / LINKS % 2 {
            0 => change(State::Down, Reason::Unanswered(3)),
            _ => change(State::Up, Reason::AnswersAgain),
        };
        let started = Instant::now();
        group.handle(GroupInput::Link { link, change }, now);
        while group.poll_output().is_some() {}
        took[1] += started.elapsed();
    }
    took.map(|sum| sum / ROUNDS)
}

fn group(policy: Policy, now: Instant) -> Group {
    let members = (0..LINKS).map(|id| Member {
        priority: id,
        ..Member::new(LinkId(id))
    });
    let config = GroupConfig {
        policy,
        hold_down: Duration::ZERO,
    };
    let mut group = Group::new(config, members.collect(), 7, now);
    for id in 0..LINKS {
        let (link, change) = (LinkId(id), change(State::Up, Reason::Answers));
        group.handle(GroupInput::Link { link, change }, now);
        group.handle(measured(link, id), now);
    }
    group
}

fn change(state: State, reason: Reason) -> HealthChange {
    HealthChange { state, reason }
}

/// Each RTT is 15 % longer than the one before, and they trade places from round to round.
fn measured(link: LinkId, round: u32) -> GroupInput {
    let place = (link.0 * 7 + round / LINKS) % LINKS;
    let rtt = Duration::from_millis(10).mul_f64(1.15f64.powi(place as i32));
    let figures = Figures {
        rtt: Some(rtt),
        ..Figures::default()
    };
    GroupInput::Figures { link, figures }
}
