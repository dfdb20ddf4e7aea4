//! Packs a full table into UPDATEs and lets a session read them: time of each part.
//!
//! `cargo run --release -p bgp --example session_load -- [PREFIXES] [ATTRIBUTE SETS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::session::{Conn, Input, Output, Session, SessionConfig};
use bgp::wire::{Dialect, UpdateWriter};
use bgp::{AsPath, Asn, Attrs, Community, Family, Prefix, RouteEvent, RouterId};
use bytes::BytesMut;

/// What one read of a socket gives.
const CHUNK: usize = 64 * 1024;
/// Prefixes that share attributes, and so an UPDATE.
const RUN: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let (prefixes, sets) = (number(1_000_000), number(2_000));
    println!("{prefixes} prefixes, {sets} attribute sets");
    let start = Instant::now();
    let mut receiver = established(start);
    let report = |what: &str, time: Duration| {
        let each = time.as_nanos() as f64 / prefixes as f64;
        println!(
            "{what:<9} {:>6.0} ms ({each:>4.0} ns each)",
            time.as_secs_f64() * 1e3
        );
    };

    let begin = Instant::now();
    let wire = table(prefixes, sets);
    report("packing", begin.elapsed());

    let begin = Instant::now();
    let mut received = 0;
    for chunk in wire.chunks(CHUNK) {
        receiver.handle(Input::Bytes(Conn::Inbound, chunk), start);
        received += drain(&mut receiver);
    }
    report("reading", begin.elapsed());
    assert_eq!(received, prefixes);
}

fn drain(session: &mut Session) -> usize {
    let mut received = 0;
    while let Some(output) = session.poll_output() {
        if let Output::Routes(events) = output {
            for event in events {
                if let RouteEvent::Announce { prefixes, .. } = event {
                    received += prefixes.len();
                }
            }
        }
    }
    received
}

fn config(local: u32, peer: u32) -> SessionConfig {
    SessionConfig {
        connect_retry_max: Duration::from_secs(60),
        ..SessionConfig::new(
            Asn(local),
            RouterId::new(Ipv4Addr::from(local)).unwrap(),
            Asn(peer),
        )
    }
}

/// The second of two sessions on one connection that the first dialled.
fn established(now: Instant) -> Session {
    let mut pair = (
        Session::new(config(65001, 65002), 1, now),
        Session::new(config(65002, 65001), 2, now),
    );
    let local = IpAddr::from([192, 0, 2, 1]);
    for (session, conn) in [(&mut pair.0, Conn::Outbound), (&mut pair.1, Conn::Inbound)] {
        session.handle(Input::Start, now);
        session.handle(Input::Connected { conn, local }, now);
    }
    for _ in 0..3 {
        let there = pair.0.poll_transmit(Conn::Outbound).unwrap_or_default();
        let back = pair.1.poll_transmit(Conn::Inbound).unwrap_or_default();
        pair.0.handle(Input::Bytes(Conn::Outbound, &back), now);
        pair.1.handle(Input::Bytes(Conn::Inbound, &there), now);
    }
    drain(&mut pair.1);
    pair.1
}

/// Runs of prefixes share attributes, as in a table learned from the Internet.
fn table(prefixes: usize, sets: usize) -> BytesMut {
    let sets: Vec<_> = (0..u32::try_from(sets.max(1)).unwrap())
        .map(attribute_set)
        .collect();
    let dialect = Dialect::new(Asn(65001), Asn(65002));
    let mut out = BytesMut::new();
    let mut writer = UpdateWriter::default();
    for first in (0..prefixes).step_by(RUN) {
        let run: Vec<_> = (first..prefixes.min(first + RUN)).map(prefix).collect();
        let attrs = &sets[first / RUN % sets.len()];
        let nexthop = IpAddr::from([192, 0, 2, 1]);
        writer
            .load(attrs, nexthop, Family::Ipv4Unicast, &dialect)
            .unwrap();
        writer.write(&run, &[], &mut out);
    }
    out
}

fn prefix(number: usize) -> Prefix {
    let address = (u32::try_from(number).unwrap() << 8) + (1 << 24);
    Prefix::new(IpAddr::from(Ipv4Addr::from(address)), 24).unwrap()
}

fn attribute_set(number: u32) -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[Asn(65001), Asn(3356), Asn(100_000 + number), Asn(7)]),
        communities: [Community(number)].into_iter().collect(),
        ..Attrs::originated()
    })
}
