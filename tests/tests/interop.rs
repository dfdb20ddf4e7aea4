//! The real daemon with FRR, BIRD and GoBGP: what one announces is what the other holds, with every
//! attribute, and no packet between them is malformed.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use api::v1::Peer;
use api::v1::peer::State;
use rustix::process::Signal;
use tests::lab::pair::{Announced, FILTERS, Family, Held, Over, Pair, Program, Table, Terms};
use tests::lab::process::wait_for;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

tests::with_every_program! {
    attributes_mean_the_same_on_both_sides
    internal_peers_carry_local_pref
    an_ipv6_session_carries_ipv6
    numbers_above_16_bits_survive
    what_is_withdrawn_is_gone_on_the_other_side
    a_silent_peer_is_given_up_and_comes_back
    a_silent_router_is_given_up_and_comes_back
    killed_programs_find_each_other_again
    both_dialling_at_once_leaves_one_connection
    a_farewell_says_why
    our_farewell_says_why
    an_ipv4_session_brings_ipv6_routes
}

mod askers {
    //! GoBGP never asks for a refresh.
    use tests::lab::pair::Program;

    #[test]
    fn bird_is_told_everything_again() -> anyhow::Result<()> {
        super::a_refresh_brings_everything_again(Program::Bird)
    }

    #[test]
    fn frr_is_told_everything_again() -> anyhow::Result<()> {
        super::a_refresh_brings_everything_again(Program::Frr)
    }
}

/// What the router originates, and with which attributes it leaves.
const OURS: &str = r#"
[originate]
prefixes = ["10.1.0.0/16", "10.2.0.0/24"]

[[filter.export]]
prefix = ["10.1.0.0/16"]
action = "accept"
set    = { med = 77, add-community = ["65010:1", "65010:2"], add-large-community = ["65010:3:4"] }
[[filter.export]]
prefix = ["10.2.0.0/24"]
action = "accept"
set    = { prepend = 2 }

[[filter.import]]
action = "accept"
"#;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn table(rows: &[(&str, &Held)]) -> Table {
    rows.iter()
        .map(|(prefix, held)| ((*prefix).to_owned(), (*held).clone()))
        .collect()
}

/// What a route without further attributes is held as.
fn plain(nexthop: &str, as_path: &str) -> Held {
    Held {
        nexthop: nexthop.into(),
        as_path: as_path.into(),
        origin: "igp".into(),
        ..Held::default()
    }
}

/// As they announce it.
fn dressed() -> Announced {
    Announced {
        med: Some(55),
        communities: vec![(65020, 1), (0, 65535)],
        large_communities: vec![(4_200_000_020, 1, 2)],
        ..Announced::plain("10.20.0.0/16")
    }
}

fn attributes_mean_the_same_on_both_sides(program: Program) -> Result<()> {
    let announced = vec![dressed(), Announced::plain("10.20.1.128/25")];
    let mut pair = Pair::build(
        program,
        "attr",
        Terms {
            announced,
            ..Terms::external()
        },
    )?;
    pair.configure("", OURS)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_ours(
        Family::V4,
        &table(&[
            (
                "10.20.0.0/16",
                &Held {
                    med: Some(55),
                    communities: set(&["65020:1", "0:65535"]),
                    large_communities: set(&["4200000020:1:2"]),
                    ..plain("192.0.2.2", "65020")
                },
            ),
            ("10.20.1.128/25", &plain("192.0.2.2", "65020")),
        ]),
    )?;
    pair.wait_for_theirs(
        Family::V4,
        &table(&[
            (
                "10.1.0.0/16",
                &Held {
                    med: Some(77),
                    communities: set(&["65010:1", "65010:2"]),
                    large_communities: set(&["65010:3:4"]),
                    ..plain("192.0.2.1", "65010")
                },
            ),
            ("10.2.0.0/24", &plain("192.0.2.1", "65010 65010 65010")),
        ]),
    )?;
    pair.packets().map(drop)
}

fn internal_peers_carry_local_pref(program: Program) -> Result<()> {
    let announced = vec![Announced {
        local_pref: Some(250),
        ..Announced::plain("10.20.0.0/16")
    }];
    let mut pair = Pair::established(
        program,
        "int",
        Terms {
            announced,
            ..Terms::internal()
        },
    )?;
    pair.wait_for_ours(
        Family::V4,
        &table(&[(
            "10.20.0.0/16",
            &Held {
                local_pref: Some(250),
                ..plain("192.0.2.2", "")
            },
        )]),
    )?;
    pair.packets().map(drop)
}

fn an_ipv6_session_carries_ipv6(program: Program) -> Result<()> {
    let announced = vec![Announced::plain("2001:db8:20::/48")];
    let terms = Terms {
        over: Over::V6,
        announced,
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "v6", terms)?;
    pair.configure("", &originating(&["2001:db8:10::/48"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = plain("2001:db8:1::1", "65010");
    pair.wait_for_theirs(Family::V6, &table(&[("2001:db8:10::/48", &theirs)]))?;
    pair.wait_for_ours(
        Family::V6,
        &table(&[("2001:db8:20::/48", &plain("2001:db8:1::2", "65020"))]),
    )?;
    ensure!(pair.received(Family::V4)?.is_empty());
    pair.packets().map(drop)
}

fn an_ipv4_session_brings_ipv6_routes(program: Program) -> Result<()> {
    let announced = vec![
        Announced::plain("2001:db8:20::/48"),
        Announced::plain("10.20.0.0/16"),
    ];
    let mut pair = Pair::established(
        program,
        "64",
        Terms {
            announced,
            ..Terms::external()
        },
    )?;
    let (v6, v4) = (plain("2001:db8:1::2", "65020"), plain("192.0.2.2", "65020"));
    pair.wait_for_ours(Family::V6, &table(&[("2001:db8:20::/48", &v6)]))?;
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &v4)]))?;
    pair.packets().map(drop)
}

fn numbers_above_16_bits_survive(program: Program) -> Result<()> {
    let announced = vec![Announced::plain("10.20.0.0/16")];
    let terms = Terms {
        our_asn: 4_200_000_010,
        their_asn: 4_200_000_020,
        announced,
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "as4", terms)?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let ours = plain("192.0.2.2", "4200000020");
    let theirs = plain("192.0.2.1", "4200000010");
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &theirs)]))?;
    pair.packets().map(drop)
}

fn what_is_withdrawn_is_gone_on_the_other_side(program: Program) -> Result<()> {
    let both = [
        Announced::plain("10.20.0.0/16"),
        Announced::plain("10.21.0.0/16"),
    ];
    let terms = Terms {
        announced: both.to_vec(),
        ..Terms::external()
    };
    let mut pair = Pair::build(program, "wd", terms)?;
    pair.configure("", &originating(&["10.1.0.0/16", "10.2.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let (ours, theirs) = (plain("192.0.2.2", "65020"), plain("192.0.2.1", "65010"));
    pair.wait_for_ours(
        Family::V4,
        &table(&[("10.20.0.0/16", &ours), ("10.21.0.0/16", &ours)]),
    )?;
    pair.wait_for_theirs(
        Family::V4,
        &table(&[("10.1.0.0/16", &theirs), ("10.2.0.0/16", &theirs)]),
    )?;
    pair.other.announce(&both[..1])?;
    pair.reconfigure("", &originating(&["10.2.0.0/16"]))?;
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.wait_for_theirs(Family::V4, &table(&[("10.2.0.0/16", &theirs)]))?;
    ensure!(pair.peer()?.established_count == 1, "{:?}", pair.peer()?);
    pair.packets().map(drop)
}

/// RFC 2918: after their request everything follows once more, with an End-of-RIB.
fn a_refresh_brings_everything_again(program: Program) -> Result<()> {
    let mut pair = Pair::build(program, "rr", Terms::external())?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = plain("192.0.2.1", "65010");
    pair.wait_for_theirs(Family::V4, &table(&[("10.1.0.0/16", &theirs)]))?;
    let sent = pair.peer()?.messages_sent;
    pair.other.ask_for_refresh()?;
    // The route and an End-of-RIB.
    pair.wait_for_peer("everything again", |peer| peer.messages_sent >= sent + 2)?;
    let packets = pair.packets()?;
    let asked = packets.numbers("ip.src == 192.0.2.2 && bgp.type == 5")?;
    let told = packets.numbers("ip.src == 192.0.2.1 && bgp.nlri_prefix == 10.1.0.0")?;
    let (first, last) = (
        asked.first().unwrap_or(&u64::MAX),
        told.last().unwrap_or(&0),
    );
    ensure!(first < last, "asked in packets {asked:?}, told in {told:?}");
    Ok(())
}

fn a_silent_peer_is_given_up_and_comes_back(program: Program) -> Result<()> {
    let announced = vec![Announced::plain("10.20.0.0/16")];
    let terms = Terms {
        announced,
        hold_secs: 3,
        ..Terms::external()
    };
    let mut pair = Pair::established(program, "hold", terms)?;
    let ours = plain("192.0.2.2", "65020");
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.other.signal(Signal::STOP)?;
    let peer = pair.wait_for_peer("the end of the session", |peer| !is_up(peer))?;
    ensure!(
        peer.last_down.contains("hold timer expired"),
        "{}",
        peer.last_down
    );
    pair.wait_for_ours(Family::V4, &Table::new())?;
    pair.other.signal(Signal::CONT)?;
    pair.wait_for_session()?;
    pair.wait_for_ours(Family::V4, &table(&[("10.20.0.0/16", &ours)]))?;
    pair.packets().map(drop)
}

fn a_silent_router_is_given_up_and_comes_back(program: Program) -> Result<()> {
    let mut pair = Pair::build(
        program,
        "held",
        Terms {
            hold_secs: 3,
            ..Terms::external()
        },
    )?;
    // Otherwise the other would keep what it has.
    pair.configure("graceful-restart = false", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let theirs = table(&[("10.1.0.0/16", &plain("192.0.2.1", "65010"))]);
    pair.wait_for_theirs(Family::V4, &theirs)?;
    pair.router.process()?.signal(Signal::STOP)?;
    pair.wait_for_theirs(Family::V4, &Table::new())?;
    pair.router.process()?.signal(Signal::CONT)?;
    let peer = pair.wait_for_peer("news of the end", |peer| !peer.last_down.is_empty())?;
    ensure!(
        peer.last_down.contains("hold timer expired"),
        "{}",
        peer.last_down
    );
    pair.wait_for_session()?;
    pair.wait_for_theirs(Family::V4, &theirs)?;
    pair.packets().map(drop)
}

fn killed_programs_find_each_other_again(program: Program) -> Result<()> {
    let announced = vec![Announced::plain("10.20.0.0/16")];
    let mut pair = Pair::build(
        program,
        "kill",
        Terms {
            announced,
            ..Terms::external()
        },
    )?;
    pair.configure("", &originating(&["10.1.0.0/16"]))?;
    pair.router.start()?;
    let ours = table(&[("10.20.0.0/16", &plain("192.0.2.2", "65020"))]);
    let theirs = table(&[("10.1.0.0/16", &plain("192.0.2.1", "65010"))]);
    for round in 0..3 {
        pair.wait_for_session()?;
        pair.wait_for_ours(Family::V4, &ours)?;
        pair.wait_for_theirs(Family::V4, &theirs)?;
        if round == 0 {
            pair.router.process()?.kill()?;
            pair.router.start()?;
        } else if round == 1 {
            pair.other.restart()?;
        }
    }
    pair.packets().map(drop)
}

/// RFC 4271 §6.8. Both SYNs are under way before either can be answered.
fn both_dialling_at_once_leaves_one_connection(program: Program) -> Result<()> {
    let mut pair = Pair::build(
        program,
        "both",
        Terms {
            hold_secs: 3,
            ..Terms::external()
        },
    )?;
    let [router, other] = pair.namespaces().clone();
    other.ip("link set wire down")?;
    pair.router.start()?;
    pair.wait_for_peer("a dial", |peer| peer.state() == State::Connect)?;
    router.ip("link set wire up")?;
    other.ip("link set wire up")?;
    pair.wait_for_session()?;
    let heard = pair.peer()?.messages_received;
    let peer = pair.wait_for_peer("KEEPALIVEs", |peer| peer.messages_received >= heard + 3)?;
    let once = is_up(&peer) && peer.established_count == 1;
    ensure!(once, pair.diagnose(anyhow::anyhow!("{peer:?}")));
    let open = router.run(
        "ss",
        &[
            "-Htn",
            "state",
            "established",
            "( sport = :179 or dport = :179 )",
        ],
    )?;
    ensure!(open.lines().count() == 1, "{open}");
    pair.packets().map(drop)
}

/// RFC 9003, and the end of the router without one.
fn a_farewell_says_why(program: Program) -> Result<()> {
    let mut pair = Pair::established(program, "bye", Terms::external())?;
    pair.other.shut_down("moved")?;
    let peer = pair.wait_for_peer("the end of the session", |peer| !is_up(peer))?;
    let wanted = "administrative shutdown: \"moved\"";
    ensure!(peer.last_down.contains(wanted), "{}", peer.last_down);
    pair.packets().map(drop)
}

/// RFC 9003, the other way.
fn our_farewell_says_why(program: Program) -> Result<()> {
    let mut pair = Pair::established(program, "adi", Terms::external())?;
    pair.reconfigure("shutdown = \"moved to rack 7\"", FILTERS)?;
    pair.wait_for_peer("the end of the session", |peer| !is_up(peer))?;
    wait_for("the other to notice", PATIENCE, || {
        let state = pair.other.session_state()?;
        ensure!(state != "Established", "it says {state}");
        Ok(())
    })?;
    let packets = pair.packets()?;
    let told = "ip.src == 192.0.2.1 && bgp.notify.major_error == 6 \
                && frame contains \"moved to rack 7\"";
    ensure!(!packets.matching(told)?.is_empty(), "nothing was said");
    Ok(())
}

/// Filters that let all pass, and what the router originates.
fn originating(prefixes: &[&str]) -> String {
    format!("[originate]\nprefixes = {prefixes:?}\n{FILTERS}")
}

fn is_up(peer: &Peer) -> bool {
    peer.state() == State::Established
}
