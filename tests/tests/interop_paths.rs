//! What becomes of a path on its way through the router, as FRR, BIRD and GoBGP hold it: its AS path,
//! its nexthop, who reflected it, and several paths side by side.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::lab::pair::{
    Announced, FILTERS, Family, Held, Other, Pair, Paths, Program, Table, Terms,
};
use tests::lab::process::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

tests::with_every_program! {
    the_as_of_a_peer_and_private_ones_are_taken_out_for_it
    our_own_as_may_be_in_a_path_where_that_is_allowed
    another_as_of_ours_is_in_both_directions
    a_nexthop_is_ours_or_that_of_a_neighbour_on_the_segment
    several_paths_are_told
    a_client_is_reflected_with_where_it_came_from
}

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

/// External, with one route.
fn announcing(asn: u32, route: Announced) -> Terms {
    Terms {
        their_asn: asn,
        announced: vec![route],
        ..Terms::external()
    }
}

/// The section of a second peer, wherever it stands.
fn third_peer(address: &str, asn: u32, keys: &str) -> String {
    format!(
        "[peer.third]\naddress = \"{address}\"\nasn = {asn}\nhold-time = \"9s\"\n\
         connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n{keys}\n"
    )
}

fn wait_for_paths(pair: &Pair, who: &Other, wanted: &Paths) -> Result<()> {
    wait_for("all paths", PATIENCE, || {
        let found = who.received_paths(Family::V4)?;
        ensure!(found == *wanted, "{found:#?}\nshould be {wanted:#?}");
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))
}

// ---- AS paths -----------------------------------------------------------------------------------

/// A route of the AS of the peer, behind a public and a private one.
fn the_as_of_a_peer_and_private_ones_are_taken_out_for_it(program: Program) -> Result<()> {
    let mut pair = Pair::build(
        program,
        "ovr",
        announcing(3000, Announced::plain("10.30.0.0/16")),
    )?;
    let route = Announced {
        as_path: vec![4000, 64600, 3000],
        ..Announced::plain("10.20.0.0/16")
    };
    let _third = pair.third(Program::Bird, announcing(2000, route))?;
    let sections = format!("{}{FILTERS}", third_peer("198.51.100.2", 2000, ""));
    pair.configure("", &sections)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    for (keys, as_path) in [
        ("as-override = true", "65010 2000 4000 64600 65010"),
        (
            "as-override = true\nremove-private = true",
            "65010 2000 4000 65010",
        ),
        (
            "as-override = true\nremove-private = \"replace\"",
            "65010 2000 4000 65010 65010",
        ),
    ] {
        pair.reconfigure(keys, &sections)?;
        let theirs = table(&[("10.20.0.0/16", &plain("192.0.2.1", as_path))]);
        wait_for("the path rewritten", PATIENCE, || {
            let mut held = pair.other.received(Family::V4)?;
            // BIRD and GoBGP are told of their own route too, and it is no longer a loop to them.
            held.remove("10.30.0.0/16");
            ensure!(held == theirs, "{held:?}, should be {theirs:?}");
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))?;
    }
    ensure!(pair.peer()?.established_count == 1, "{:?}", pair.peer()?);
    pair.packets().map(drop)
}

/// RFC 4271 §9.1.2, and the exception for sites that share an AS.
fn our_own_as_may_be_in_a_path_where_that_is_allowed(program: Program) -> Result<()> {
    let route = Announced {
        as_path: vec![65010, 4000],
        ..Announced::plain("10.20.0.0/16")
    };
    let mut pair = Pair::build(program, "own", announcing(65020, route))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_peer("the route refused", |peer| {
        let counts = |family: &api::v1::PeerFamily| (family.received, family.accepted);
        peer.families.iter().any(|family| counts(family) == (1, 0))
    })?;
    let shown = pair.router.cli(&["show", "routes", "10.20.0.0/16"])?;
    ensure!(shown.contains("our own AS is in its path"), "{shown}");
    pair.reconfigure("allowas-in = 1", FILTERS)?;
    let ours = plain("192.0.2.2", "65020 65010 4000");
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    wait_for("the route in the kernel", PATIENCE, || {
        let route = pair.namespaces()[0].ip("route get 10.20.0.1")?;
        ensure!(route.contains("192.0.2.2"), "{route}");
        Ok(())
    })?;
    ensure!(pair.peer()?.established_count == 1, "{:?}", pair.peer()?);
    pair.packets().map(drop)
}

/// The other believes to talk to AS 64600, and what it sends is marked with that.
fn another_as_of_ours_is_in_both_directions(program: Program) -> Result<()> {
    let terms = Terms {
        our_asn: 64600,
        ..announcing(65020, Announced::plain("10.20.0.0/16"))
    };
    let mut pair = Pair::build(program, "las", terms)?;
    let text = |keys: &str| {
        format!(
            "[router]\nname = \"under-test\"\nasn = 65010\nid = \"192.0.2.1\"\n\
             [originate]\nprefixes = [\"10.1.0.0/16\"]\n\
             [peer.other]\naddress = \"192.0.2.2\"\nasn = 65020\nhold-time = \"9s\"\n\
             connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n{keys}\n{FILTERS}"
        )
    };
    pair.router.configure(&text("local-as = 64600"))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let ours = |path| table(&[("10.20.0.0/16", &plain("192.0.2.2", path))]);
    let theirs = |path| table(&[("10.1.0.0/16", &plain("192.0.2.1", path))]);
    pair.wait_for_ours(Family::V4, &ours("64600 65020"))?;
    pair.wait_for_theirs(Family::V4, &theirs("64600 65010"))?;
    let keys = "local-as = { asn = 64600, no-prepend = true, replace-as = true }";
    pair.router.configure(&text(keys))?;
    pair.router.cli(&["reload"])?;
    pair.wait_for_session()?;
    pair.wait_for_ours(Family::V4, &ours("65020"))?;
    pair.wait_for_theirs(Family::V4, &theirs("64600"))?;
    pair.packets().map(drop)
}

// ---- nexthops -----------------------------------------------------------------------------------

/// RFC 4271 §5.1.3: three ASes on one segment, and a fourth that is not on it.
fn a_nexthop_is_ours_or_that_of_a_neighbour_on_the_segment(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "seg", Terms::external())?;
    let route = Announced::plain("10.30.0.0/16");
    let third = pair.neighbour(Program::Bird, announcing(65030, route))?;
    let sections = format!(
        "[originate]\nprefixes = [\"10.1.0.0/16\"]\n{}{FILTERS}",
        third_peer("192.0.2.3", 65030, "")
    );
    pair.configure("", &sections)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    for (mode, nexthop) in [
        ("self", "192.0.2.1"),
        ("third-party", "192.0.2.3"),
        ("self", "192.0.2.1"),
        ("unchanged", "192.0.2.3"),
    ] {
        pair.reconfigure(&format!("nexthop = \"{mode}\""), &sections)?;
        let own = plain("192.0.2.1", "65010");
        let passed = plain(nexthop, "65010 65030");
        let wanted = table(&[("10.1.0.0/16", &own), ("10.30.0.0/16", &passed)]);
        pair.wait_for_theirs(Family::V4, &wanted)?;
    }
    pair.reconfigure("nexthop = \"third-party\"", &sections)?;
    let told_of = |nexthop: &str| {
        let own = plain("192.0.2.1", "65010");
        let passed = plain(nexthop, "65010 65030");
        let wanted = table(&[("10.1.0.0/16", &own), ("10.30.0.0/16", &passed)]);
        pair.wait_for_theirs(Family::V4, &wanted)
    };
    told_of("192.0.2.3")?;
    // Our address stays, and the network goes: a route leads to both.
    let router = &pair.namespaces()[0];
    let addresses = router.ip("-o -4 addr show to 192.0.2.1")?;
    let words: Vec<&str> = addresses.split_whitespace().collect();
    let [_, interface, _, address, ..] = words[..] else {
        anyhow::bail!("{addresses:?}");
    };
    router.ip(&format!("addr add 192.0.2.1/32 dev {interface}"))?;
    router.ip(&format!("addr del {address} dev {interface}"))?;
    router.ip(&format!("route add 192.0.2.0/24 dev {interface}"))?;
    told_of("192.0.2.1")?;
    router.ip(&format!("addr add {address} dev {interface}"))?;
    told_of("192.0.2.3")?;
    let peer = pair.peer()?;
    ensure!(peer.established_count == 1, "{peer:?}");
    let state = third.session_state()?;
    ensure!(state == "Established", "the third says {state}");
    pair.packets().map(drop)
}

// ---- several paths ------------------------------------------------------------------------------

/// What the other says to take (`receive`) or to send several paths.
fn add_path(program: Program) -> Terms {
    let (session_words, family_words) = match program {
        Program::Frr => ("", "neighbor 192.0.2.1 addpath-tx-all-paths"),
        Program::Bird => ("", "add paths on;"),
        Program::GoBgp => (
            "",
            "[neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8\n",
        ),
    };
    Terms {
        session_words: session_words.to_owned(),
        family_words: family_words.to_owned(),
        ..Terms::external()
    }
}

/// RFC 7911: our own path and those of two peers, and as many of them as are asked for.
fn several_paths_are_told(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "apt", add_path(program))?;
    let routes = vec![
        Announced::plain("10.20.0.0/16"),
        Announced::plain("10.30.0.0/16"),
    ];
    let terms = Terms {
        their_asn: 65030,
        announced: routes.clone(),
        ..Terms::external()
    };
    let mut third = pair.third(Program::Bird, terms)?;
    let sections = format!(
        "[originate]\nprefixes = [\"10.20.0.0/16\"]\n{}{FILTERS}",
        third_peer("198.51.100.2", 65030, "")
    );
    let keys = "add-path = \"send\"\n";
    pair.configure(keys, &sections)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let (own, passed) = (
        plain("192.0.2.1", "65010"),
        plain("192.0.2.1", "65010 65030"),
    );
    let paths = |of_first: &[&Held], second: bool| -> Paths {
        let of_first = of_first.iter().map(|path| (*path).clone()).collect();
        let first = ("10.20.0.0/16".to_owned(), of_first);
        let second = second.then(|| ("10.30.0.0/16".to_owned(), vec![passed.clone()]));
        std::iter::once(first).chain(second).collect()
    };
    wait_for_paths(&pair, &pair.other, &paths(&[&own, &passed], true))?;
    pair.reconfigure(&format!("{keys}add-path-limit = 1"), &sections)?;
    wait_for_paths(&pair, &pair.other, &paths(&[&own], true))?;
    pair.reconfigure(keys, &sections)?;
    wait_for_paths(&pair, &pair.other, &paths(&[&own, &passed], true))?;
    // Of two paths one is withdrawn, and it is the right one.
    third.announce(&routes[..1])?;
    wait_for_paths(&pair, &pair.other, &paths(&[&own, &passed], false))?;
    third.announce(&[])?;
    wait_for_paths(&pair, &pair.other, &paths(&[&own], false))?;
    let peer = pair.peer()?;
    ensure!(peer.established_count == 1, "{peer:?}");
    let packets = pair.packets()?;
    let marked = packets.matching("ip.src == 192.0.2.1 && bgp.nlri_path_id")?;
    ensure!(!marked.is_empty(), "no path had an identifier");
    Ok(())
}

/// RFC 7911: 200 prefixes with ten paths each, held side by side; then fewer.
#[test]
fn many_paths_are_taken_from_bird() -> Result<()> {
    const PREFIXES: u32 = 200;
    let cloud = |number: u32| {
        let routes: String = (0..PREFIXES)
            .map(|n| format!("  route 10.40.{n}.0/24 unreachable {{ bgp_med = {number}; }};\n"))
            .collect();
        format!("protocol static cloud{number}0 {{\n  ipv4;\n{routes}}}\n")
    };
    let terms = Terms {
        program_words: (1..=10).map(cloud).collect(),
        ..add_path(Program::Bird)
    };
    let mut pair = Pair::build(Program::Bird, "apr", terms)?;
    pair.configure("add-path = \"receive\"", FILTERS)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let held = |meds: &[u32]| -> Paths {
        let path = |med| Held {
            med: Some(med),
            ..plain("192.0.2.2", "65020")
        };
        let paths: Vec<Held> = meds.iter().copied().map(path).collect();
        let prefix = |n| (format!("10.40.{n}.0/24"), paths.clone());
        (0..PREFIXES).map(prefix).collect()
    };
    let wait = |meds: &[u32]| {
        let wanted = held(meds);
        wait_for("ten paths for each", PATIENCE, || {
            let found = pair.received_paths(Family::V4)?;
            let counted = found.values().map(Vec::len).sum::<usize>();
            ensure!(found == wanted, "{} prefixes, {counted} paths", found.len());
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))
    };
    wait(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])?;
    for number in [1, 5, 10] {
        pair.other.birdc(&format!("disable cloud{number}0"))?;
    }
    wait(&[2, 3, 4, 6, 7, 8, 9])?;
    pair.packets().map(drop)
}

// ---- reflection ---------------------------------------------------------------------------------

/// RFC 4456 §8: between two clients, with its nexthop, ORIGINATOR_ID and CLUSTER_LIST.
fn a_client_is_reflected_with_where_it_came_from(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "rrc", Terms::internal())?;
    let terms = Terms {
        announced: vec![Announced::plain("10.30.0.0/16")],
        ..Terms::internal()
    };
    let _third = pair.third(Program::GoBgp, terms)?;
    let client = "route-reflector-client = true";
    let sections = format!("{}{FILTERS}", third_peer("198.51.100.2", 65010, client));
    pair.configure(client, &sections)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let reflected = Held {
        local_pref: Some(100),
        ..plain("198.51.100.2", "")
    };
    pair.wait_for_theirs(Family::V4, &table(&[("10.30.0.0/16", &reflected)]))?;
    let packets = pair.packets()?;
    let told = packets.matching(
        "ip.src == 192.0.2.1 && bgp.update.path_attribute.originator_id == 198.51.100.2 \
         && bgp.path_attribute.cluster_id == 192.0.2.1",
    );
    let shown = shown(&pair.other, program)?;
    for wanted in ["198.51.100.2", "192.0.2.1"] {
        ensure!(shown.contains(wanted), "no {wanted} in {shown}");
    }
    ensure!(!told?.is_empty(), "no UPDATE says where it came from");
    Ok(())
}

/// What the program says of where the reflected route has been.
fn shown(other: &Other, program: Program) -> Result<String> {
    let said = match program {
        Program::Frr => {
            let frr = other.frr().context("it is FRR")?;
            frr.vtysh(&["show bgp ipv4 unicast 10.30.0.0/16"])?
        }
        Program::Bird => other.birdc("show route 10.30.0.0/16 all")?,
        Program::GoBgp => other.gobgp(&["global", "rib", "10.30.0.0/16", "-j"])?,
    };
    let is_about = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("cluster") || line.contains("originator")
    };
    let lines: Vec<&str> = match program {
        Program::GoBgp => vec![&said],
        Program::Frr | Program::Bird => said.lines().filter(is_about).collect(),
    };
    Ok(lines.join("\n"))
}

/// RFC 4456 §8: what has been through our cluster is not taken again.
#[test]
fn what_bird_sends_back_through_our_cluster_is_refused() -> Result<()> {
    let words = |attribute: &str| {
        format!("export filter {{ if source != RTS_STATIC then reject; {attribute}; accept; }};")
    };
    for (name, attribute) in [
        ("clu", "bgp_cluster_list.add(192.0.2.1)"),
        ("ori", "bgp_originator_id = 192.0.2.1"),
    ] {
        let terms = Terms {
            announced: vec![Announced::plain("10.20.0.0/16")],
            family_words: words(attribute),
            ..Terms::internal()
        };
        let mut pair = Pair::established(Program::Bird, name, terms)?;
        pair.wait_for_peer("the route refused", |peer| {
            let counts = |family: &api::v1::PeerFamily| (family.received, family.accepted);
            peer.families.iter().any(|family| counts(family) == (1, 0))
        })?;
        let shown = pair.router.cli(&["show", "routes", "10.20.0.0/16"])?;
        let reasons: BTreeSet<&str> = shown.lines().map(str::trim).collect();
        ensure!(shown.contains("reflect"), "no reason is given: {reasons:?}");
        pair.packets().map(drop)?;
    }
    Ok(())
}
