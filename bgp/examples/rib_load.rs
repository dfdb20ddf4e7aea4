//! Fills a RIB with a full table from one peer and hands it to another, then takes the first peer
//! down: time and memory of each part.
//!
//! `cargo run --release -p bgp --example rib_load -- [PREFIXES] [ATTRIBUTE SETS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]

mod common;

use std::time::Instant;

use bgp::rib::{Input, Rib};
use bgp::{Family, PeerId, Retention};

use common::{drain, numbers, router, updates};

const SENDER: PeerId = PeerId(1);
const RECEIVER: PeerId = PeerId(2);

fn main() {
    let mut number = numbers();
    let (prefixes, sets) = (number(1_000_000), number(2_000));
    println!("{prefixes} prefixes, {sets} attribute sets, one sender, one receiver");

    let mut rib = router(2);
    let empty = resident();
    let report = |what: &str, since: Instant, count: usize| {
        let time = since.elapsed();
        let bytes = resident().saturating_sub(empty);
        let each = time.as_nanos() as f64 / prefixes as f64;
        println!(
            "{what:<9} {count:>8} in {:>6.0} ms ({each:>4.0} ns each), {:>6.1} MiB held ({:.0} bytes a prefix)",
            time.as_secs_f64() * 1e3,
            bytes as f64 / f64::from(1 << 20),
            bytes as f64 / prefixes as f64,
        );
    };

    let start = Instant::now();
    let mut changes = 0;
    for input in updates(SENDER, prefixes, sets) {
        rib.handle(input, start);
        changes += drain(&mut rib);
    }
    report("import", start, changes);

    let start = Instant::now();
    report("export", start, export(&mut rib));

    let start = Instant::now();
    let mut changes = 0;
    let mut slowest = std::time::Duration::ZERO;
    let mut input = Input::Down(SENDER, Retention::new());
    loop {
        let bite = Instant::now();
        rib.handle(input, start);
        slowest = slowest.max(bite.elapsed());
        changes += drain(&mut rib);
        if rib.poll_timeout().is_none() {
            break;
        }
        input = Input::Timeout;
    }
    report("down", start, changes);
    println!("          slowest bite {} µs", slowest.as_micros());

    let start = Instant::now();
    report("withdraw", start, export(&mut rib));
    println!(
        "          {} prefixes left",
        rib.prefix_count(Family::Ipv4Unicast)
    );
}

/// UPDATEs for the receiver.
fn export(rib: &mut Rib) -> usize {
    let mut count = 0;
    while let Some(updates) = rib.poll_export(RECEIVER) {
        count += updates.count as usize;
    }
    count
}

/// Bytes of memory that the process holds, as the kernel counts them.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}
