//! Where packets go and how much a peer is told, with FRR, BIRD and GoBGP at the other end: several
//! gateways for a prefix, maintenance, aggregates, limits.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tests::lab::netns::Namespace;
use tests::lab::pair::{Announced, FILTERS, Family, Held, Pair, Program, Table, Terms};
use tests::lab::process::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);
/// So many addresses of 10.20.0.0/16 get one packet each.
const PACKETS: u32 = 2000;

fn table(rows: &[(&str, &Held)]) -> Table {
    let rows = rows.iter();
    rows.map(|(prefix, held)| ((*prefix).to_owned(), (*held).clone()))
        .collect()
}

fn plain(nexthop: &str, as_path: &str) -> Held {
    Held {
        nexthop: nexthop.into(),
        as_path: as_path.into(),
        origin: "igp".into(),
        ..Held::default()
    }
}

/// The file with keys of the router, and a second peer behind the third cable.
fn file(router: &str, asn: [u32; 3], keys: &str, sections: &str) -> String {
    let peer = |name: &str, address: &str, asn: u32, keys: &str| {
        format!(
            "[peer.{name}]\naddress = \"{address}\"\nasn = {asn}\nhold-time = \"9s\"\n\
             connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n\
             graceful-restart = false\n{keys}\n"
        )
    };
    let [own, other, third] = asn;
    format!(
        "[router]\nname = \"under-test\"\nasn = {own}\nid = \"192.0.2.1\"\n{router}\n{}{}{sections}",
        peer("other", "192.0.2.2", other, keys),
        peer("third", "198.51.100.2", third, "")
    )
}

// ---- several gateways for a prefix --------------------------------------------------------------

/// One packet to each of many addresses.
fn send_packets(from: &Namespace) -> Result<()> {
    let send = || -> Result<()> {
        from.enter()?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        for number in 0..PACKETS {
            let [.., high, low] = number.to_be_bytes();
            socket.send_to(b"one of many", (Ipv4Addr::new(10, 20, high, low), 9))?;
            // No queue of a veth is asked for more than it holds.
            if number % 100 == 99 {
                thread::yield_now();
            }
        }
        Ok(())
    };
    // The thread that enters a namespace stays there.
    thread::scope(|scope| scope.spawn(send).join()).map_err(|_| anyhow!("the sender panicked"))?
}

fn packets_received(namespace: &Namespace) -> Result<u64> {
    let said = namespace.ip("-s -j link show dev wire")?;
    let told: Value = serde_json::from_str(&said)?;
    let count = told[0]["stats64"]["rx"]["packets"].as_u64();
    count.context("`ip` counts no packets")
}

/// The part of `PACKETS` that each of two namespaces gets, in per cent. BGP's own are few.
fn shares(from: &Namespace, to: [&Namespace; 2]) -> Result<[u64; 2]> {
    let count = || -> Result<[u64; 2]> { Ok([packets_received(to[0])?, packets_received(to[1])?]) };
    let before = count()?;
    send_packets(from)?;
    let after = count()?;
    let share = |i: usize| (after[i] - before[i]) * 100 / u64::from(PACKETS);
    Ok([share(0), share(1)])
}

/// Members of the group that carries the prefix, with their weights.
fn members(namespace: &Namespace) -> Result<Vec<u64>> {
    let said = namespace.ip("-j nexthop show proto 77")?;
    let nexthops: Vec<Value> = serde_json::from_str(&said)?;
    let said = namespace.ip("-j route show 10.20.0.0/16")?;
    let routes: Value = serde_json::from_str(&said)?;
    let group = nexthops
        .iter()
        .find(|nexthop| nexthop["id"] == routes[0]["nhid"])
        .context("the route has no group")?;
    let members = group["group"].as_array().into_iter().flatten();
    Ok(members
        .map(|member| member["weight"].as_u64().unwrap_or(1))
        .collect())
}

/// - `asn`: of the router and the two
/// - `bandwidths`: of the links of the two, in Mbit/s, where they say so
/// - `share`: per cent of the packets that the first one gets while both are there
fn traffic_is_shared(
    name: &str,
    asn: [u32; 3],
    bandwidths: Option<[u32; 2]>,
    share: std::ops::Range<u64>,
) -> Result<()> {
    let terms = |i: usize| Terms {
        our_asn: asn[0],
        their_asn: asn[i + 1],
        announced: vec![Announced {
            bandwidth_mbit: bandwidths.map(|both| both[i]),
            ..Announced::plain("10.20.0.0/16")
        }],
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, name, terms(0))?;
    let mut third = pair.third(Program::Bird, terms(1))?;
    let router = "multipath = { ebgp = 4, ibgp = 4, relax-as-path = true }";
    pair.router.configure(&file(router, asn, "", FILTERS))?;
    pair.router.start()?;
    let namespace = pair.namespaces()[0].clone();
    let wait_for_members = |count: usize| {
        wait_for("the group", PATIENCE, || {
            let members = members(&namespace)?;
            ensure!(members.len() == count, "{members:?}");
            Ok(members)
        })
        .map_err(|error| pair.diagnose(error))
    };
    let weights = wait_for_members(2)?;
    let far = [pair.other.namespace(), third.namespace()];
    let [first, second] = shares(&namespace, far)?;
    ensure!(
        share.contains(&first) && first + second >= 99,
        "{first} % and {second} % with the weights {weights:?}"
    );
    let shown = pair.router.cli(&["show", "routes", "10.20.0.0/16"])?;
    ensure!(!shown.contains("standby"), "{shown}");
    for mbit in bandwidths.into_iter().flatten() {
        let words = format!("link-bandwidth:65010:{}Gbit", mbit / 1000);
        ensure!(shown.contains(&words), "{shown}");
    }
    third.kill()?;
    wait_for_members(1)?;
    let [first, second] = shares(&namespace, [pair.other.namespace(), third.namespace()])?;
    ensure!(first >= 99 && second < 2, "{first} % and {second} %");
    third.restart()?;
    wait_for_members(2)?;
    pair.packets().map(drop)
}

#[test]
fn two_gateways_of_two_ases_share_the_traffic() -> Result<()> {
    traffic_is_shared("eq", [65010, 65020, 65030], None, 40..60)
}

#[test]
fn two_gateways_of_our_as_share_the_traffic_by_bandwidth() -> Result<()> {
    traffic_is_shared("bw", [65010, 65010, 65010], Some([3000, 1000]), 65..85)
}

// ---- maintenance --------------------------------------------------------------------------------

/// RFC 8326: traffic leaves a gateway that says it is going, while its session is up.
fn a_gateway_that_is_going_is_left(program: Program) -> Result<()> {
    let route = Announced::plain("10.20.0.0/16");
    let far = Announced {
        as_path: vec![4000, 4000],
        ..route.clone()
    };
    let terms = |asn, route| Terms {
        their_asn: asn,
        announced: vec![route],
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "gsh", terms(65020, route.clone()))?;
    let _third = pair.third(Program::Bird, terms(65030, far))?;
    let asn = [65010, 65020, 65030];
    let export = |set: &str| {
        format!(
            "[originate]\nprefixes = [\"10.1.0.0/16\"]\n[[filter.import]]\naction = \"accept\"\n\
             [[filter.export]]\nprefix = [\"10.1.0.0/16\"]\naction = \"accept\"\n{set}\n"
        )
    };
    pair.router.configure(&file("", asn, "", &export("")))?;
    pair.router.start()?;
    let goes_through = |pair: &Pair, gateway: &str| {
        wait_for("the route in the kernel", PATIENCE, || {
            let route = pair.namespaces()[0].ip("route get 10.20.0.1")?;
            ensure!(route.contains(gateway), "{route}");
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))
    };
    pair.wait_for_session()?;
    goes_through(&pair, "192.0.2.2")?;
    wait_for("the session of the third", PATIENCE, || {
        let shown = pair.router.cli(&["show", "routes", "10.20.0.0/16"])?;
        ensure!(shown.contains("198.51.100.2"), "{shown}");
        Ok(())
    })?;
    let going = Announced {
        communities: vec![(65535, 0)],
        ..route.clone()
    };
    pair.other.announce(&[going])?;
    goes_through(&pair, "198.51.100.2")?;
    pair.other.announce(&[route])?;
    goes_through(&pair, "192.0.2.2")?;
    // And it is told when we are the ones that go.
    let set = "set = { add-community = [\"graceful-shutdown\"] }";
    pair.router.configure(&file("", asn, "", &export(set)))?;
    pair.router.cli(&["reload"])?;
    let theirs = Held {
        communities: ["65535:0".to_owned()].into(),
        ..plain("192.0.2.1", "65010")
    };
    wait_for("the mark on ours", PATIENCE, || {
        let mut held = pair.other.received(Family::V4)?;
        for path in held.values_mut() {
            // FRR has a name for it.
            let words = std::mem::take(&mut path.communities).into_iter();
            let number = |word: String| word.replace("gracefulShutdown", "65535:0");
            path.communities = words.map(number).collect();
        }
        let wanted = table(&[("10.1.0.0/16", &theirs)]);
        ensure!(held == wanted, "{held:?}");
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))?;
    ensure!(pair.peer()?.established_count == 1, "{:?}", pair.peer()?);
    pair.packets().map(drop)
}

#[test]
fn an_frr_that_is_going_is_left() -> Result<()> {
    a_gateway_that_is_going_is_left(Program::Frr)
}

#[test]
fn a_bird_that_is_going_is_left() -> Result<()> {
    a_gateway_that_is_going_is_left(Program::Bird)
}

#[test]
fn a_gobgp_that_is_going_is_left() -> Result<()> {
    a_gateway_that_is_going_is_left(Program::GoBgp)
}

// ---- how much a peer is told --------------------------------------------------------------------

/// The aggregate is there for as long as anything within it is, and stands for all of that.
fn an_aggregate_stands_for_what_is_within(program: Program) -> Result<()> {
    let prefixes = |count: u8| -> Vec<Announced> {
        let prefix = |n| Announced::plain(&format!("10.20.{n}.0/24"));
        (0..count).map(prefix).collect()
    };
    let terms = Terms {
        their_asn: 65030,
        announced: prefixes(40),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "agg", Terms::external())?;
    let mut third = pair.third(Program::Bird, terms)?;
    let aggregate = "[[aggregate]]\nprefix = \"10.20.0.0/16\"\nsummary-only = true\n";
    let text = file(
        "",
        [65010, 65020, 65030],
        "",
        &format!("{aggregate}{FILTERS}"),
    );
    pair.router.configure(&text)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let aggregate = Held {
        origin: "incomplete".to_owned(),
        ..plain("192.0.2.1", "65010")
    };
    let theirs = table(&[("10.20.0.0/16", &aggregate)]);
    pair.wait_for_theirs(Family::V4, &theirs)?;
    third.announce(&prefixes(1))?;
    wait_for("one left", PATIENCE, || {
        let shown = pair.router.cli(&["show", "routes"])?;
        ensure!(shown.matches("/24").count() == 1, "{shown}");
        Ok(())
    })?;
    pair.wait_for_theirs(Family::V4, &theirs)?;
    third.announce(&[])?;
    pair.wait_for_theirs(Family::V4, &Table::new())?;
    third.announce(&prefixes(2))?;
    pair.wait_for_theirs(Family::V4, &theirs)?;
    let without = file("", [65010, 65020, 65030], "", FILTERS);
    pair.router.configure(&without)?;
    pair.router.cli(&["reload"])?;
    let passed = plain("192.0.2.1", "65010 65030");
    let theirs = table(&[("10.20.0.0/24", &passed), ("10.20.1.0/24", &passed)]);
    pair.wait_for_theirs(Family::V4, &theirs)?;
    let packets = pair.packets()?;
    let told = "ip.src == 192.0.2.1 && bgp.update.path_attribute.type_code == 6 \
                && bgp.update.path_attribute.type_code == 7";
    ensure!(
        !packets.matching(told)?.is_empty(),
        "no ATOMIC_AGGREGATE and AGGREGATOR"
    );
    Ok(())
}

#[test]
fn an_aggregate_stands_for_what_is_within_at_frr() -> Result<()> {
    an_aggregate_stands_for_what_is_within(Program::Frr)
}

#[test]
fn an_aggregate_stands_for_what_is_within_at_bird() -> Result<()> {
    an_aggregate_stands_for_what_is_within(Program::Bird)
}

/// FRR ends the session at the third prefix, so our own limit holds at each moment, also while all
/// prefixes change.
#[test]
fn a_limit_of_frr_is_never_crossed() -> Result<()> {
    let terms = Terms {
        family_words: "neighbor 192.0.2.1 maximum-prefix 2".to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, "mlo", terms)?;
    let keys = "prefix-limit-out = { ipv4 = 2 }";
    let sections = |numbers: std::ops::Range<u8>| {
        let prefixes: Vec<String> = numbers.map(|n| format!("10.1.{n}.0/24")).collect();
        format!("[originate]\nprefixes = {prefixes:?}\n{FILTERS}")
    };
    pair.configure(keys, &sections(0..5))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    for numbers in [0..5, 10..15, 13..20, 0..1, 0..2, 20..25] {
        pair.reconfigure(keys, &sections(numbers.clone()))?;
        let wanted = numbers.len().min(2);
        wait_for("two of them", PATIENCE, || {
            let held = pair.other.received(Family::V4)?;
            let is_one =
                |prefix: &String| numbers.clone().any(|n| *prefix == format!("10.1.{n}.0/24"));
            let good = held.len() == wanted && held.keys().all(is_one);
            ensure!(good, "{:?} of {numbers:?}", held.keys());
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))?;
    }
    let peer = pair.peer()?;
    ensure!(peer.established_count == 1, "{peer:?}");
    pair.packets().map(drop)
}
