//! What moves a member of an update group with a full table costs: the longest single call into the
//! RIB while it goes on, and all calls together.
//!
//! `cargo run --release -p bgp --example rib_groups -- [PREFIXES] [ATTRIBUTE SETS] [MEMBERS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]

mod common;

use std::time::{Duration, Instant};

use bgp::filter::{Action, Filter, Match, Rule, Set};
use bgp::rib::{Input, Rib};
use bgp::{Community, PeerId, Retention};

use common::{drain, numbers, peer, router, updates};

const SENDER: PeerId = PeerId(1);
/// The member that something happens to.
const CHANGED: PeerId = PeerId(2);

/// The time of calls.
#[derive(Default)]
struct Calls {
    longest: Duration,
    longest_was: &'static str,
    all: Duration,
    updates: u64,
}

impl Calls {
    fn time<T>(&mut self, what: &'static str, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        let time = start.elapsed();
        self.all += time;
        if time > self.longest {
            (self.longest, self.longest_was) = (time, what);
        }
        result
    }

    fn handle(&mut self, rib: &mut Rib, input: Input, now: Instant) {
        self.time("handle", || rib.handle(input, now));
        drain(rib);
    }

    /// All that is left of the work in bites.
    fn finish(&mut self, rib: &mut Rib, now: Instant) {
        while rib.poll_timeout().is_some_and(|at| at <= now) {
            self.handle(rib, Input::Timeout, now);
        }
    }

    /// Has these peers read until nobody has anything left.
    fn export(&mut self, rib: &mut Rib, readers: impl Iterator<Item = u32> + Clone) {
        loop {
            let mut read = 0;
            for id in readers.clone() {
                if let Some(updates) = self.time("poll_export", || rib.poll_export(PeerId(id))) {
                    read += 1;
                    self.updates += updates.count;
                }
            }
            drain(rib);
            if read == 0 {
                return;
            }
        }
    }

    fn report(&self, what: &str) {
        println!(
            "{what:<38} longest {:>7.2} ms ({}), all {:>6.0} ms, {} UPDATEs",
            self.longest.as_secs_f64() * 1e3,
            self.longest_was,
            self.all.as_secs_f64() * 1e3,
            self.updates
        );
    }
}

fn main() {
    let mut number = numbers();
    let (prefixes, sets, members) = (number(1_000_000), number(2_000), number(20) as u32);
    println!("{prefixes} prefixes, {sets} attribute sets, {members} members of one group");
    let last = CHANGED.0 + members - 1;
    let everybody = SENDER.0..=last;
    let others = CHANGED.0 + 1..=last;
    let mut rib = router(last);
    let now = Instant::now();

    let mut calls = Calls::default();
    for input in updates(SENDER, prefixes, sets) {
        calls.handle(&mut rib, input, now);
    }
    calls.finish(&mut rib, now);
    calls.export(&mut rib, everybody.clone());
    calls.report("all members are told everything");

    let mut configure = |what, filter| {
        let mut calls = Calls::default();
        let input = Input::Configure(peer(CHANGED, filter));
        calls.handle(&mut rib, input, now);
        calls.report(&format!("{what}: at once"));
        calls.finish(&mut rib, now);
        calls.export(&mut rib, everybody.clone());
        calls.finish(&mut rib, now);
        calls.report(&format!("{what}: in all"));
    };
    configure("one gets a filter of its own", tagging());
    configure("it gets that of the others again", Filter::accept_all());

    let slow = [
        ("half change, one does not read", others, sets / 2),
        ("half change, one alone reads", last..=last, sets / 4),
    ];
    for (what, readers, sets) in slow {
        let mut calls = Calls::default();
        for input in updates(SENDER, prefixes, sets) {
            calls.handle(&mut rib, input, now);
            calls.export(&mut rib, readers.clone());
        }
        calls.report(what);
        let mut calls = Calls::default();
        calls.export(&mut rib, everybody.clone());
        calls.report("the rest catches up");
    }

    let mut calls = Calls::default();
    let input = Input::Down(CHANGED, Retention::new());
    calls.handle(&mut rib, input, now);
    calls.finish(&mut rib, now);
    calls.report("one leaves");
    let mut calls = Calls::default();
    calls.handle(&mut rib, Input::Up(CHANGED, common::up(CHANGED)), now);
    calls.finish(&mut rib, now);
    calls.export(&mut rib, everybody);
    calls.report("it joins again");
}

/// Lets everything pass, with a mark on it.
fn tagging() -> Filter {
    Filter::compile(vec![Rule {
        matches: Match::default(),
        action: Action::Accept,
        set: Set {
            add_communities: vec![Community(7)],
            ..Set::default()
        },
    }])
}
