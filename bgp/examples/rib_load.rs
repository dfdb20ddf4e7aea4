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
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::Filter;
use bgp::rib::{Input, Output, PeerOptions, Rib, RibConfig, RibPeer};
use bgp::wire::Dialect;
use bgp::{AsPath, Asn, Attrs, Community, Family, PeerId, Prefix, RouteEvent, RouterId, SessionUp};

const PER_UPDATE: usize = 500;
const SENDER: PeerId = PeerId(1);
const RECEIVER: PeerId = PeerId(2);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let (prefixes, sets) = (number(1_000_000), number(2_000));
    println!("{prefixes} prefixes, {sets} attribute sets, one sender, one receiver");

    let mut rib = router();
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
    for event in updates(prefixes, sets) {
        rib.handle(Input::Routes(SENDER, vec![event]), start);
        changes += drain(&mut rib);
    }
    report("import", start, changes);

    let start = Instant::now();
    report("export", start, export(&mut rib));

    let start = Instant::now();
    let mut changes = 0;
    let mut slowest = std::time::Duration::ZERO;
    let mut input = Input::Down(SENDER, Default::default());
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

fn router() -> Rib {
    let now = Instant::now();
    let mut rib = Rib::new(RibConfig::new(
        Asn(65010),
        RouterId::new(Ipv4Addr::new(192, 0, 2, 1)).unwrap(),
        7,
    ));
    for (id, asn) in [(SENDER, 64512), (RECEIVER, 64513)] {
        let address = Ipv4Addr::new(10, 255, 0, id.0 as u8);
        let filter = Arc::new(Filter::accept_all());
        rib.handle(
            Input::Configure(RibPeer {
                id,
                asn: Asn(asn),
                address: address.into(),
                import: Arc::clone(&filter),
                export: filter,
                options: PeerOptions::default(),
            }),
            now,
        );
        rib.handle(
            Input::Up(
                id,
                SessionUp {
                    nexthops: [Some(Ipv4Addr::new(10, 255, 0, 3).into()), None],
                    ..SessionUp::new(
                        RouterId::new(address).unwrap(),
                        Dialect::new(Asn(65010), Asn(asn)),
                    )
                },
            ),
            now,
        );
    }
    drain(&mut rib);
    rib
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

/// As from the wire: each UPDATE comes with a set of its own, equal to others or not.
fn updates(prefixes: usize, sets: usize) -> impl Iterator<Item = RouteEvent> {
    let per_update = PER_UPDATE.min(prefixes.div_ceil(sets.max(1))).max(1);
    let starts = (0..prefixes).step_by(per_update);
    starts
        .zip((0..sets as u32).cycle())
        .map(move |(start, set)| {
            let end = prefixes.min(start + per_update);
            RouteEvent::announce(attribute_set(set), (start..end).map(prefix).collect())
        })
}

fn prefix(i: usize) -> Prefix {
    Prefix::new(
        IpAddr::from(Ipv4Addr::from(((i as u32) << 8) + (1 << 24))),
        24,
    )
    .unwrap()
}

fn attribute_set(i: u32) -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[Asn(64512), Asn(3356), Asn(100_000 + i), Asn(7)]),
        nexthop: Some(Ipv4Addr::new(10, 255, 0, 1).into()),
        communities: [Community(i)].into_iter().collect(),
        ..Attrs::originated()
    })
}
