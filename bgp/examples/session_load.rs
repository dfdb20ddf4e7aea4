//! Hands a full table to a session and lets another one read it: time of each part.
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
use bgp::{AsPath, Asn, Attrs, Community, Delta, Prefix, RouteEvent, RouterId};
use bytes::BytesMut;

/// Deltas handed over at once.
const BATCH: usize = 1024;

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
    let (mut sender, mut receiver) = established(start);
    let batches = deltas(prefixes, sets);
    let report = |what: &str, time: Duration| {
        let each = time.as_nanos() as f64 / prefixes as f64;
        println!(
            "{what:<9} {:>6.0} ms ({each:>4.0} ns each)",
            time.as_secs_f64() * 1e3
        );
    };

    let begin = Instant::now();
    for batch in batches {
        sender.handle(Input::Advertise(batch), start);
    }
    report("intake", begin.elapsed());
    assert_eq!(sender.pending(), prefixes);

    let begin = Instant::now();
    let mut wire = Vec::new();
    loop {
        let mut buf = BytesMut::new();
        if sender.poll_transmit(Conn::Outbound, &mut buf) == 0 {
            break;
        }
        wire.push(buf);
    }
    report("packing", begin.elapsed());

    let begin = Instant::now();
    let mut received = 0;
    for buf in &wire {
        receiver.handle(Input::Bytes(Conn::Inbound, buf), start);
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

/// Two sessions on one connection that the first dialled.
fn established(now: Instant) -> (Session, Session) {
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
        let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
        pair.0.poll_transmit(Conn::Outbound, &mut there);
        pair.1.poll_transmit(Conn::Inbound, &mut back);
        pair.0.handle(Input::Bytes(Conn::Outbound, &back), now);
        pair.1.handle(Input::Bytes(Conn::Inbound, &there), now);
    }
    drain(&mut pair.0);
    drain(&mut pair.1);
    pair
}

/// Runs of prefixes share attributes, as in a table learned from the Internet.
fn deltas(prefixes: usize, sets: usize) -> Vec<Vec<Delta>> {
    let sets: Vec<_> = (0..u32::try_from(sets.max(1)).unwrap())
        .map(attribute_set)
        .collect();
    let delta = |number: usize| Delta {
        prefix: prefix(number),
        attrs: Some(Arc::clone(&sets[number / 5 % sets.len()])),
    };
    (0..prefixes)
        .step_by(BATCH)
        .map(|first| (first..prefixes.min(first + BATCH)).map(delta).collect())
        .collect()
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
