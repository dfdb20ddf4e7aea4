//! What a filter costs for each path it is asked about, in nanoseconds: the smallest one, one as it
//! stands in files of a cloud edge, one with an AS-path expression, and one with many prefixes.
//!
//! `cargo run --release -p bgp --example filter_cost`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement: it prints, reads the clock and stops at the first surprise"
)]
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::{Action, Filter, Match, PrefixPattern, Rule, Set, Span, Verdict};
use bgp::{AsPath, Asn, Attrs, Community, Prefix};

const PATHS: u32 = 1_000_000;
const SETS: u32 = 2_000;
const ROUNDS: u32 = 5;

fn main() {
    let attrs: Vec<_> = (0..SETS).map(attribute_set).collect();
    let prefixes: Vec<_> = (0..PATHS).map(prefix).collect();
    for (name, filter) in [
        ("accept all", Filter::accept_all()),
        ("four rules", edge()),
        ("an expression", matching("_(174|1299|3356)_")),
        ("1,000 prefixes", Filter::compile(vec![listed(1_000)])),
    ] {
        let paths = || {
            let (sets, count) = (&attrs, prefixes.len());
            let with_attrs = move |(i, prefix)| (prefix, &sets[i * sets.len() / count]);
            prefixes.iter().enumerate().map(with_attrs)
        };
        let accepted = paths()
            .filter(|(prefix, attrs)| passes(&filter, prefix, attrs))
            .count();
        let best = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                for (prefix, attrs) in paths() {
                    black_box(filter.evaluate(prefix, attrs, Asn(65010)));
                }
                start.elapsed()
            })
            .min()
            .unwrap();
        let each = best.as_nanos() as f64 / f64::from(PATHS);
        println!("{name:<16} {each:>6.1} ns a path, {accepted} of {PATHS} pass");
    }
}

fn passes(filter: &Filter, prefix: &Prefix, attrs: &Arc<Attrs>) -> bool {
    filter.evaluate(prefix, attrs, Asn(65010)) != Verdict::Reject
}

/// Refuses a community and some of its own, and takes the rest down to /24.
fn edge() -> Filter {
    let refuse = |matches| Rule {
        matches,
        action: Action::Reject,
        set: Set::default(),
    };
    Filter::compile(vec![
        refuse(Match {
            communities: vec![Community(0xffff_029a).into()],
            ..Match::default()
        }),
        refuse(Match {
            as_path_contains: vec![Span::exactly(64496), Span::exactly(64511)],
            ..Match::default()
        }),
        refuse(Match {
            prefixes: ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"]
                .map(|net| within(net, 32))
                .to_vec(),
            ..Match::default()
        }),
        Rule {
            matches: Match {
                prefixes: vec![within("0.0.0.0/0", 24)],
                ..Match::default()
            },
            action: Action::Accept,
            set: Set::default(),
        },
    ])
}

fn matching(expression: &str) -> Filter {
    Filter::compile(vec![Rule {
        matches: Match {
            as_path: vec![aspath::Regex::parse(expression).unwrap()],
            ..Match::default()
        },
        action: Action::Accept,
        set: Set::default(),
    }])
}

fn within(net: &str, max: u8) -> PrefixPattern {
    let net: Prefix = net.parse().unwrap();
    PrefixPattern {
        net,
        min: net.prefix_len(),
        max,
    }
}

fn listed(count: u32) -> Rule {
    Rule {
        matches: Match {
            prefixes: (0..count)
                .map(|i| PrefixPattern::exact(prefix(i * 997)))
                .collect(),
            ..Match::default()
        },
        action: Action::Accept,
        set: Set::default(),
    }
}

fn prefix(i: u32) -> Prefix {
    let address = Ipv4Addr::from((i << 8).wrapping_add(1 << 24));
    Prefix::new(IpAddr::from(address), 24).unwrap()
}

fn attribute_set(i: u32) -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[Asn(64512), Asn(3356), Asn(100_000 + i), Asn(7)]),
        nexthop: Some(Ipv4Addr::new(10, 255, 0, 1).into()),
        communities: (0..4).map(|k| Community(i * 4 + k)).collect(),
        ..Attrs::originated()
    })
}
