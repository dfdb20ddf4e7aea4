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
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::Filter;
use bgp::rib::{Input, Output, PeerOptions, Rib, RibConfig, RibPeer};
use bgp::wire::Dialect;
use bgp::{AsPath, Asn, Attrs, PeerId, Prefix, Retention, RouteEvent, RouterId, SessionUp};

const PER_UPDATE: usize = 500;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let (senders, prefixes, sets): (u32, usize, u32) =
        (number(10) as u32, number(200_000), number(2_000) as u32);
    println!("{senders} senders of {prefixes} prefixes, {sets} attribute sets each");

    let mut rib = Rib::new(RibConfig::new(Asn(65010), identifier(0), 7));
    let start = Instant::now();
    for id in 1..=senders {
        connect(&mut rib, PeerId(id), start);
    }
    drain(&mut rib);
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

fn identifier(number: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 255, 0, number + 1)).unwrap()
}

fn connect(rib: &mut Rib, id: PeerId, now: Instant) {
    let filter = Arc::new(Filter::accept_all());
    let asn = Asn(64512 + id.0);
    let peer = RibPeer {
        id,
        asn,
        address: identifier(id.0 as u8).address().into(),
        import: Arc::clone(&filter),
        export: filter,
        options: PeerOptions::default(),
    };
    rib.handle(Input::Configure(peer), now);
    let up = SessionUp::new(identifier(id.0 as u8), Dialect::new(Asn(65010), asn));
    rib.handle(Input::Up(id, up), now);
}

fn drain(rib: &mut Rib) -> usize {
    let mut changes = 0;
    while let Some(output) = rib.poll_output() {
        match output {
            Output::Routes(routes) => changes += routes.len(),
            Output::ExportReady(_) | Output::NexthopOurs { .. } | Output::Limit { .. } => {}
        }
    }
    changes
}

fn updates(id: PeerId, prefixes: usize, sets: u32) -> impl Iterator<Item = Input> {
    let per_update = PER_UPDATE
        .min(prefixes.div_ceil(sets.max(1) as usize))
        .max(1);
    let starts = (0..prefixes).step_by(per_update);
    starts.zip((0..sets).cycle()).map(move |(start, set)| {
        let end = prefixes.min(start + per_update);
        let attrs = Arc::new(Attrs {
            as_path: AsPath::sequence(&[Asn(64512 + id.0), Asn(3356), Asn(100_000 + set), Asn(7)]),
            nexthop: Some(identifier(id.0 as u8).address().into()),
            ..Attrs::originated()
        });
        let event = RouteEvent::announce(attrs, (start..end).map(prefix).collect());
        Input::Routes(id, vec![event])
    })
}

fn prefix(number: usize) -> Prefix {
    let address = Ipv4Addr::from(((number as u32) << 8) + (1 << 24));
    Prefix::new(address.into(), 24).unwrap()
}
