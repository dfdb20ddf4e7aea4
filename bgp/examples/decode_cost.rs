//! Reads one typical UPDATE of a full table again and again: time of each.
//!
//! `cargo run --release -p bgp --example decode_cost -- [UPDATES]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bgp::wire::{Dialect, UpdateWriter, decode_update};
use bgp::{AsPath, Asn, Attrs, Community, Family, Prefix};
use bytes::BytesMut;

/// Prefixes in one UPDATE.
const PREFIXES: u32 = 8;

fn main() {
    let updates: u32 = std::env::args()
        .nth(1)
        .map_or(2_000_000, |text| text.parse().unwrap());
    let message = update();
    let dialect = Dialect::new(Asn(65002), Asn(65001));
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for _ in 0..updates {
        decode_update(&message[19..], &dialect, &mut events, &mut faults).unwrap();
        assert_eq!(events.len(), 1);
        events.clear();
    }
    let each = start.elapsed().as_nanos() / u128::from(updates.max(1));
    println!(
        "{PREFIXES} prefixes in {} octets: {each} ns; Attrs has {} octets",
        message.len(),
        size_of::<Attrs>()
    );
}

fn update() -> BytesMut {
    let attrs = Attrs {
        as_path: AsPath::sequence(&[Asn(65001), Asn(3356), Asn(174), Asn(64500)]),
        communities: [Community(1), Community(2)].into_iter().collect(),
        ..Attrs::originated()
    };
    let prefixes: Vec<Prefix> = (0..PREFIXES)
        .map(|number| {
            let address = Ipv4Addr::from(0x0a00_0000 | number << 8);
            Prefix::new(IpAddr::from(address), 24).unwrap()
        })
        .collect();
    let mut writer = UpdateWriter::default();
    let nexthop = IpAddr::from([192, 0, 2, 1]);
    let dialect = Dialect::new(Asn(65001), Asn(65002));
    writer
        .load(&attrs, nexthop, Family::Ipv4Unicast, &dialect)
        .unwrap();
    let mut message = BytesMut::new();
    assert_eq!(writer.write(&prefixes, &[], &mut message), prefixes.len());
    message
}
