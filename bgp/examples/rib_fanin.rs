//! The same table from many peers: CPU time of each path on its way in, and what it costs when one of
//! the peers goes.
//!
//! `cargo run --release -p bgp --example rib_fanin -- [SENDERS] [PREFIXES] [ATTRIBUTE SETS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]

mod common;

use std::time::Instant;

use bgp::rib::Input;
use bgp::{PeerId, Retention};

use common::{drain, numbers, router, updates};

fn main() {
    let mut number = numbers();
    let (senders, prefixes, sets) = (number(10) as u32, number(200_000), number(2_000));
    println!("{senders} senders of {prefixes} prefixes, {sets} attribute sets each");

    let mut rib = router(senders);
    let start = Instant::now();
    let mut inputs: Vec<Vec<Input>> = Vec::new();
    for id in 1..=senders {
        inputs.push(updates(PeerId(id), prefixes, sets).collect());
    }
    let mut importing = 0;
    for (number, inputs) in inputs.into_iter().enumerate() {
        let before = cpu_time();
        let mut changes = 0;
        for input in inputs {
            rib.handle(input, start);
            changes += drain(&mut rib);
        }
        let time = cpu_time() - before;
        importing += time;
        report(&format!("sender {}", number + 1), time, prefixes, changes);
    }
    report("all", importing, prefixes * senders as usize, 0);

    let before = cpu_time();
    let mut changes = 0;
    let mut input = Input::Down(PeerId(1), Retention::new());
    loop {
        rib.handle(input, start);
        changes += drain(&mut rib);
        if rib.poll_timeout().is_none() {
            break;
        }
        input = Input::Timeout;
    }
    report("down", cpu_time() - before, prefixes, changes);
}

/// Nanoseconds that the process has run: other work on the machine does not count.
fn cpu_time() -> u64 {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    statistics
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn report(what: &str, time: u64, paths: usize, changes: usize) {
    let each = time as f64 / paths as f64;
    println!(
        "{what:<10} {paths:>8} paths in {:>6.0} ms ({each:>4.0} ns each), {changes} changes of routes",
        time as f64 / 1e6
    );
}
