//! What can be agreed on with a peer, with FRR, BIRD and GoBGP: restarts that nobody notices, roles,
//! long messages, IPv4 over IPv6, reflection, several paths for a prefix, limits.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow, ensure};
use api::v1::Peer;
use api::v1::peer::State;
use rustix::process::Signal;
use tests::lab::kernel::Monitor;
use tests::lab::pair::{Announced, FILTERS, Family, Held, Over, Pair, Program, Table, Terms};
use tests::lab::process::wait_for;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

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

fn originating(prefixes: &[&str]) -> String {
    format!("[originate]\nprefixes = {prefixes:?}\n{FILTERS}")
}

fn is_up(peer: &Peer) -> bool {
    peer.state() == State::Established
}

// ---- graceful restart ---------------------------------------------------------------------------

/// - `long_lived`: seconds, after a restart time of 1 s; `None`: a restart time of 30 s alone
fn restarts(program: Program, long_lived: Option<u32>) -> Terms {
    let time = if long_lived.is_some() { 1 } else { 30 };
    let session_words = match (program, long_lived) {
        (Program::Frr, _) => {
            let stale = long_lived.map_or(String::new(), |secs| {
                format!("\n bgp long-lived-graceful-restart stale-time {secs}")
            });
            format!(
                "bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n \
                 bgp graceful-restart restart-time {time}{stale}"
            )
        }
        (Program::Bird, None) => format!("graceful restart on; graceful restart time {time};"),
        (Program::Bird, Some(secs)) => format!(
            "graceful restart on; graceful restart time {time};
             long lived graceful restart on; long lived stale time {secs};"
        ),
        (Program::GoBgp, _) => {
            let long = long_lived.map_or("", |_| "long-lived-enabled = true\n");
            format!(
                "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = {time}\n{long}"
            )
        }
    };
    let family_words = match program {
        Program::GoBgp => {
            let long = long_lived.map_or(String::new(), |secs| {
                format!(
                    "[neighbors.afi-safis.long-lived-graceful-restart.config]\n\
                     enabled = true\nrestart-time = {secs}\n"
                )
            });
            format!("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n{long}")
        }
        Program::Frr | Program::Bird => String::new(),
    };
    Terms {
        session_words,
        family_words,
        ..Terms::external()
    }
}

/// RFC 4724 §4.2: what the other announced stays while it is away, and goes if it comes back
/// without.
fn routes_outlive_a_restart_of_the_other(program: Program) -> Result<()> {
    let both = [
        Announced::plain("10.20.0.0/16"),
        Announced::plain("10.21.0.0/16"),
    ];
    let terms = Terms {
        announced: both.to_vec(),
        ..restarts(program, None)
    };
    let mut pair = Pair::established(program, "grh", terms)?;
    let ours = plain("192.0.2.2", "65020");
    let all = table(&[("10.20.0.0/16", &ours), ("10.21.0.0/16", &ours)]);
    pair.wait_for_ours(Family::V4, &all)?;
    let log = pair.router.config().with_file_name("monitor.log");
    let monitor = Monitor::start(&pair.namespaces()[0], &log)?;
    pair.other.kill()?;
    pair.wait_for_peer("the end of the session", |peer| !is_up(peer))?;
    ensure!(
        pair.received(Family::V4)? == all,
        "{:?}",
        pair.received(Family::V4)?
    );
    pair.other.start_again(&both[..1])?;
    pair.wait_for_session()?;
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    if program == Program::Bird {
        // It says that it forwarded all the time, so the kernel was never told otherwise. FRR ends
        // its table before it has begun to send it.
        let messages = monitor.route_messages();
        let untouched = messages.iter().all(|line| !line.contains("10.20.0.0"));
        ensure!(untouched, pair.diagnose(anyhow!("{messages:?}")));
    }
    pair.packets().map(drop)
}

#[test]
fn routes_of_frr_outlive_its_restart() -> Result<()> {
    routes_outlive_a_restart_of_the_other(Program::Frr)
}

#[test]
fn routes_of_bird_outlive_its_restart() -> Result<()> {
    routes_outlive_a_restart_of_the_other(Program::Bird)
}

#[test]
fn routes_of_gobgp_outlive_its_restart() -> Result<()> {
    routes_outlive_a_restart_of_the_other(Program::GoBgp)
}

/// RFC 4724 §4.1: what we announced stays with the other while we are away.
fn routes_outlive_a_restart_of_the_router(program: Program, end: Signal) -> Result<()> {
    let mut pair = Pair::build(program, "grr", restarts(program, None))?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = table(&[("10.1.0.0/16", &plain("192.0.2.1", "65010"))]);
    pair.wait_for_theirs(Family::V4, &theirs)?;
    pair.router.process()?.signal(end)?;
    pair.router.process()?.wait(PATIENCE)?;
    wait_for("the other to notice", PATIENCE, || {
        let state = pair.other.session_state()?;
        ensure!(state != "Established", "it says {state}");
        Ok(())
    })?;
    let held = pair.other.received(Family::V4)?;
    ensure!(held == theirs, "without us it holds {held:?}");
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_theirs(Family::V4, &theirs)?;
    pair.packets().map(drop)
}

#[test]
fn our_routes_outlive_a_kill_with_frr() -> Result<()> {
    routes_outlive_a_restart_of_the_router(Program::Frr, Signal::KILL)
}

#[test]
fn our_routes_outlive_a_kill_with_bird() -> Result<()> {
    routes_outlive_a_restart_of_the_router(Program::Bird, Signal::KILL)
}

#[test]
fn our_routes_outlive_a_kill_with_gobgp() -> Result<()> {
    routes_outlive_a_restart_of_the_router(Program::GoBgp, Signal::KILL)
}

#[test]
fn our_routes_outlive_a_restart_with_frr() -> Result<()> {
    routes_outlive_a_restart_of_the_router(Program::Frr, Signal::TERM)
}

#[test]
fn our_routes_outlive_a_restart_with_bird() -> Result<()> {
    routes_outlive_a_restart_of_the_router(Program::Bird, Signal::TERM)
}

/// RFC 9494 §4.2: after the restart time a path is one of last resort, and says so.
fn a_long_absence_leaves_paths_of_last_resort(program: Program) -> Result<()> {
    let announced = vec![Announced::plain("10.20.0.0/16")];
    let terms = Terms {
        announced: announced.clone(),
        ..restarts(program, Some(60))
    };
    let mut pair = Pair::build(program, "ll", terms)?;
    pair.configure(
        "graceful-restart = { time = \"30s\", long-lived = \"1h\" }",
        FILTERS,
    )?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let fresh = plain("192.0.2.2", "65020");
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &fresh)]))?;
    pair.other.kill()?;
    let stale = Held {
        communities: BTreeSet::from(["65535:6".to_owned()]),
        ..fresh.clone()
    };
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &stale)]))?;
    pair.other.start_again(&announced)?;
    pair.wait_for_session()?;
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &fresh)]))?;
    pair.packets().map(drop)
}

#[test]
fn a_long_absence_of_frr_leaves_paths_of_last_resort() -> Result<()> {
    a_long_absence_leaves_paths_of_last_resort(Program::Frr)
}

#[test]
fn a_long_absence_of_bird_leaves_paths_of_last_resort() -> Result<()> {
    a_long_absence_leaves_paths_of_last_resort(Program::Bird)
}

#[test]
fn a_long_absence_of_gobgp_leaves_paths_of_last_resort() -> Result<()> {
    a_long_absence_leaves_paths_of_last_resort(Program::GoBgp)
}

/// RFC 9494 §4.2 at the other end: what we announced is marked there once we are away for long.
fn our_long_absence_is_marked(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "llo", restarts(program, Some(60)))?;
    let keys = "graceful-restart = { time = \"1s\", long-lived = \"1h\" }";
    pair.configure(keys, &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let fresh = plain("192.0.2.1", "65010");
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &fresh)]))?;
    pair.router.process()?.kill()?;
    wait_for("the mark", PATIENCE, || {
        let held = pair.other.received(Family::V4)?;
        let held = held.get("10.1.0.0/16").context("it is gone")?;
        let is_marked = |word: &String| word == "65535:6" || word == "llgrStale";
        ensure!(held.communities.iter().any(is_marked), "{held:?}");
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &fresh)]))?;
    pair.packets().map(drop)
}

#[test]
fn our_long_absence_is_marked_by_frr() -> Result<()> {
    our_long_absence_is_marked(Program::Frr)
}

#[test]
fn our_long_absence_is_marked_by_bird() -> Result<()> {
    our_long_absence_is_marked(Program::Bird)
}

#[test]
fn our_long_absence_is_marked_by_gobgp() -> Result<()> {
    our_long_absence_is_marked(Program::GoBgp)
}

// ---- roles --------------------------------------------------------------------------------------

fn with_role(program: Program, role: &str) -> Terms {
    let session_words = match program {
        Program::Frr => format!("neighbor 192.0.2.1 local-role {role}"),
        Program::Bird | Program::GoBgp => format!("local role {role};"),
    };
    Terms {
        announced: vec![Announced::plain("10.20.0.0/16")],
        session_words,
        ..Terms::external()
    }
}

/// RFC 9234 §5: what goes down is marked, and what is marked does not come up again.
fn what_goes_to_a_customer_is_marked(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "otc", with_role(program, "customer"))?;
    pair.configure("role = \"provider\"", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let (ours, theirs) = (plain("192.0.2.2", "65020"), plain("192.0.2.1", "65010"));
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &theirs)]))?;
    let packets = pair.packets()?;
    let marked =
        packets.matching("ip.src == 192.0.2.1 && bgp.update.path_attribute.type_code == 35")?;
    ensure!(!marked.is_empty(), "no UPDATE with Only to Customer");
    Ok(())
}

#[test]
fn what_goes_to_frr_as_a_customer_is_marked() -> Result<()> {
    what_goes_to_a_customer_is_marked(Program::Frr)
}

#[test]
fn what_goes_to_bird_as_a_customer_is_marked() -> Result<()> {
    what_goes_to_a_customer_is_marked(Program::Bird)
}

/// RFC 9234 §4.2.
fn two_customers_do_not_talk(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "role", with_role(program, "customer"))?;
    pair.configure("role = \"customer\"", FILTERS)?;
    pair.router.start()?;
    pair.wait_for_peer("a refusal", |peer| {
        !is_up(peer) && peer.last_down.to_lowercase().contains("role")
    })?;
    pair.packets().map(drop)
}

#[test]
fn two_customers_do_not_talk_with_frr() -> Result<()> {
    two_customers_do_not_talk(Program::Frr)
}

#[test]
fn two_customers_do_not_talk_with_bird() -> Result<()> {
    two_customers_do_not_talk(Program::Bird)
}

// ---- messages -----------------------------------------------------------------------------------

/// RFC 8654: attributes that fit into no message of 4096 octets, both ways.
fn long_messages_pass_both_ways(program: Program, session_words: &str) -> Result<()> {
    let many: Vec<(u32, u32, u32)> = (1..=500).map(|n| (65020, 1, n)).collect();
    let dressed = Announced {
        large_communities: many.clone(),
        ..Announced::plain("10.20.0.0/16")
    };
    let terms = Terms {
        announced: vec![dressed],
        session_words: session_words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "long", terms)?;
    let words = |asn: u32| -> BTreeSet<String> {
        many.iter()
            .map(|(_, b, c)| format!("{asn}:{b}:{c}"))
            .collect()
    };
    pair.configure(
        "extended-messages = true",
        &format!(
            "[originate]\nprefixes = [\"10.1.0.0/16\"]\n[[filter.import]]\naction = \"accept\"\n\
         [[filter.export]]\naction = \"accept\"\nset = {{ add-large-community = {:?} }}\n",
            words(65010).iter().collect::<Vec<_>>()
        ),
    )?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let ours = Held {
        large_communities: words(65020),
        ..plain("192.0.2.2", "65020")
    };
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    // BIRD shows only the first few; how long the message was is seen in the capture.
    wait_for("our route", PATIENCE, || {
        let held = pair.other.received(Family::V4)?;
        let ours = held.get("10.1.0.0/16").context("it is not there")?;
        ensure!(!ours.large_communities.is_empty(), "{ours:?}");
        Ok(())
    })?;
    let packets = pair.packets()?;
    for source in ["192.0.2.1", "192.0.2.2"] {
        let long = packets.matching(&format!("ip.src == {source} && bgp.length > 4096"))?;
        ensure!(!long.is_empty(), "{source} sent no long message");
    }
    Ok(())
}

#[test]
fn long_messages_pass_both_ways_with_bird() -> Result<()> {
    long_messages_pass_both_ways(Program::Bird, "enable extended messages on;")
}

#[test]
fn long_messages_pass_both_ways_with_frr() -> Result<()> {
    long_messages_pass_both_ways(Program::Frr, "")
}

/// RFC 7313: a refresh has a beginning and an end.
fn a_refresh_is_marked(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "err", Terms::external())?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = table(&[("10.1.0.0/16", &plain("192.0.2.1", "65010"))]);
    pair.wait_for_theirs(Family::V4, &theirs)?;
    let sent = pair.peer()?.messages_sent;
    pair.other.ask_for_refresh()?;
    // Beginning, route, end.
    pair.wait_for_peer("everything again", |peer| peer.messages_sent >= sent + 3)?;
    pair.wait_for_theirs(Family::V4, &theirs)?;
    let packets = pair.packets()?;
    for subtype in [1, 2] {
        let filter = format!("ip.src == 192.0.2.1 && bgp.route_refresh.subtype == {subtype}");
        ensure!(
            !packets.matching(&filter)?.is_empty(),
            "no subtype {subtype}"
        );
    }
    Ok(())
}

#[test]
fn a_refresh_is_marked_for_frr() -> Result<()> {
    a_refresh_is_marked(Program::Frr)
}

#[test]
fn a_refresh_is_marked_for_bird() -> Result<()> {
    a_refresh_is_marked(Program::Bird)
}

// ---- nexthops and paths -------------------------------------------------------------------------

/// RFC 8950, over a session that has no IPv4 at all.
fn ipv4_routes_have_an_ipv6_nexthop(program: Program) -> Result<()> {
    let (session_words, family_words) = match program {
        Program::Frr => ("neighbor 2001:db8:1::1 capability extended-nexthop", ""),
        Program::Bird => ("", "extended next hop on;"),
        Program::GoBgp => ("", ""),
    };
    let terms = Terms {
        over: Over::V6,
        announced: vec![Announced::plain("10.20.0.0/16")],
        session_words: session_words.to_owned(),
        family_words: family_words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "8950", terms)?;
    pair.configure("extended-nexthop = true", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let (ours, theirs) = (
        plain("2001:db8:1::2", "65020"),
        plain("2001:db8:1::1", "65010"),
    );
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &theirs)]))?;
    wait_for("the route in the kernel", PATIENCE, || {
        let route = pair.namespaces()[0].ip("route get 10.20.0.1")?;
        ensure!(route.contains("2001:db8:1::2"), "{route}");
        Ok(())
    })?;
    pair.packets().map(drop)
}

#[test]
fn ipv4_routes_have_an_ipv6_nexthop_with_frr() -> Result<()> {
    ipv4_routes_have_an_ipv6_nexthop(Program::Frr)
}

#[test]
fn ipv4_routes_have_an_ipv6_nexthop_with_bird() -> Result<()> {
    ipv4_routes_have_an_ipv6_nexthop(Program::Bird)
}

/// The same over a session that has link-local addresses alone, so that these are the nexthops.
fn ipv4_routes_have_a_link_local_nexthop(program: Program) -> Result<()> {
    let (session_words, family_words) = match program {
        Program::Frr => (
            "neighbor fe80::1 interface wire\n neighbor fe80::1 capability extended-nexthop",
            "",
        ),
        Program::Bird => ("interface \"wire\";", "extended next hop on;"),
        Program::GoBgp => ("", ""),
    };
    let terms = Terms {
        over: Over::LinkLocal,
        announced: vec![
            Announced::plain("10.20.0.0/16"),
            Announced::plain("2001:db8:20::/48"),
        ],
        session_words: session_words.to_owned(),
        family_words: family_words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "ll8", terms)?;
    for (namespace, address) in pair
        .namespaces()
        .iter()
        .zip(["2001:db8:1::1", "2001:db8:1::2"])
    {
        // FRR would name a global address too.
        namespace.ip(&format!("addr del {address}/64 dev wire"))?;
    }
    pair.configure(
        "extended-nexthop = true\ninterface = \"wire\"",
        &originating(&["10.1.0.0/16", "2001:db8:10::/48"]),
    )?;
    pair.router.start()?;
    pair.wait_for_session()?;
    for (question, prefix) in [
        ("route get", "10.20.0.1"),
        ("-6 route get", "2001:db8:20::1"),
    ] {
        wait_for("the route in the kernel", PATIENCE, || {
            let route = pair.namespaces()[0].ip(&format!("{question} {prefix}"))?;
            ensure!(route.contains("fe80::2 dev wire"), "{route}");
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))?;
    }
    for (family, prefix) in [
        (Family::V4, "10.1.0.0/16"),
        (Family::V6, "2001:db8:10::/48"),
    ] {
        wait_for("our route", PATIENCE, || {
            let held = pair.other.received(family)?;
            let held = held.get(prefix).context("it is not there")?;
            ensure!(held.as_path == "65010", "{held:?}");
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))?;
    }
    pair.packets().map(drop)
}

#[test]
fn ipv4_routes_have_a_link_local_nexthop_with_frr() -> Result<()> {
    ipv4_routes_have_a_link_local_nexthop(Program::Frr)
}

#[test]
fn ipv4_routes_have_a_link_local_nexthop_with_bird() -> Result<()> {
    ipv4_routes_have_a_link_local_nexthop(Program::Bird)
}

/// The section of a second peer, behind the third cable.
fn third_peer(asn: u32, keys: &str) -> String {
    format!(
        "[peer.third]\naddress = \"198.51.100.2\"\nasn = {asn}\nhold-time = \"9s\"\n\
         connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n{keys}\n"
    )
}

/// RFC 4456: what a client sent reaches another internal peer with its nexthop.
#[test]
fn a_client_is_reflected_between_bird_and_frr() -> Result<()> {
    let announced = vec![Announced::plain("10.20.0.0/16")];
    let mut pair = Pair::build(
        Program::Bird,
        "refl",
        Terms {
            announced,
            ..Terms::internal()
        },
    )?;
    let third = pair.third(Program::Frr, Terms::internal())?;
    let sections = format!("{}{FILTERS}", third_peer(65010, ""));
    pair.configure("route-reflector-client = true", &sections)?;
    pair.router.start()?;
    let reflected = table(&[(
        "10.20.0.0/16",
        &Held {
            local_pref: Some(100),
            ..plain("192.0.2.2", "")
        },
    )]);
    wait_for("the reflected route", PATIENCE, || {
        let held = third.received(Family::V4)?;
        ensure!(held == reflected, "{held:?}");
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))?;
    let frr = third.frr().context("the third is FRR")?;
    let shown = frr.vtysh(&["show bgp ipv4 unicast 10.20.0.0/16 json"])?;
    for wanted in ["\"originatorId\":\"192.0.2.2\"", "\"192.0.2.1\""] {
        let shown: String = shown.split_whitespace().collect();
        ensure!(shown.contains(wanted), "no {wanted} in {shown}");
    }
    pair.packets().map(drop)
}

/// RFC 7911: FRR marks every path, and several for a prefix are held side by side.
#[test]
fn several_paths_are_taken_from_frr() -> Result<()> {
    let terms = Terms {
        session_words: String::new(),
        family_words: "neighbor 192.0.2.1 addpath-tx-all-paths".to_owned(),
        announced: vec![Announced::plain("10.20.0.0/16")],
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, "addp", terms)?;
    pair.configure("add-path = \"receive\"", FILTERS)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let ours = plain("192.0.2.2", "65020");
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.other.announce(&[])?;
    pair.wait_for_ours(Family::V4, &Table::new())?;
    let packets = pair.packets()?;
    let marked = packets.matching("ip.src == 192.0.2.2 && bgp.nlri_path_id")?;
    ensure!(!marked.is_empty(), "no path had an identifier");
    Ok(())
}

// ---- limits -------------------------------------------------------------------------------------

/// RFC 4486 §4: the other takes one prefix, and says so when there are two.
fn a_limit_of_the_other_is_understood(program: Program, family_words: &str) -> Result<()> {
    let terms = Terms {
        family_words: family_words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "max", terms)?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = plain("192.0.2.1", "65010");
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &theirs)]))?;
    pair.reconfigure(
        "",
        &originating(&["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]),
    )?;
    let peer = pair.wait_for_peer("the end of the session", |peer| {
        peer.last_down.contains("maximum number of prefixes")
    })?;
    if program == Program::Frr {
        ensure!(
            peer.last_down.contains("limit of 1 ipv4"),
            "{}",
            peer.last_down
        );
    }
    pair.packets().map(drop)
}

#[test]
fn a_limit_of_frr_is_understood() -> Result<()> {
    a_limit_of_the_other_is_understood(Program::Frr, "neighbor 192.0.2.1 maximum-prefix 1")
}

#[test]
fn a_limit_of_bird_is_understood() -> Result<()> {
    a_limit_of_the_other_is_understood(Program::Bird, "import limit 1 action disable;")
}
