//! BFD with FRR's `bfdd` and with BIRD, over a cable.
//!
//! Needs root, FRR, BIRD, tcpdump, tshark and `cargo build --workspace --bins`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use api::v1::{BfdSession, BfdState, LinkState, peer};
use rustix::process::Signal;
use tests::lab::bfd::{Over, Program, Role, Terms, Watched};

const FAST: &str = "interval = \"50ms\"";

fn ensure_link(watched: &Watched, state: LinkState) -> Result<()> {
    let link = watched.link()?;
    ensure!(link.state() == state, "{:?}: {}", link.state(), link.reason);
    Ok(())
}

/// Up at the pace that both agreed on, down when the neighbour falls silent, and up again.
fn follows_the_neighbour(program: Program, test: &str, terms: Terms) -> Result<()> {
    let mut watched = Watched::up(program, test, terms, FAST)?;
    watched.wait_for("the pace", |watched| {
        let session = watched.session()?;
        let times = [session.transmit_interval, session.detection_time];
        let millis = times.map(|time| time.map_or(0, |time| time.nanos / 1_000_000));
        ensure!(millis == [50, 150], "{session:?}");
        Ok(())
    })?;
    watched.wait_for("the link", |watched| ensure_link(watched, LinkState::Up))?;
    watched.freeze()?;
    let found = watched.wait_for("the link down", |watched| {
        ensure_link(watched, LinkState::Down)?;
        watched.link()
    });
    watched.resume()?;
    let reason = found?.reason;
    ensure!(
        reason == "BFD down: control detection time expired",
        "{reason}"
    );
    watched.wait_for_both("up")?;
    watched.wait_for("the link again", |watched| {
        ensure_link(watched, LinkState::Up)
    })?;
    let packets = watched.packets()?;
    let ours = packets.matching("bfd && ip.ttl != 255 || bfd && ipv6.hlim != 255")?;
    ensure!(ours.is_empty(), "{ours:?}");
    Ok(())
}

#[test]
fn a_link_follows_the_bfd_of_frr() -> Result<()> {
    follows_the_neighbour(Program::Frr, "bfd-f", Terms::every(50))
}

#[test]
fn a_link_follows_the_bfd_of_bird() -> Result<()> {
    follows_the_neighbour(Program::Bird, "bfd-b", Terms::every(50))
}

#[test]
fn a_link_follows_bfd_over_ipv6() -> Result<()> {
    let terms = Terms {
        over: Over::V6,
        ..Terms::every(50)
    };
    follows_the_neighbour(Program::Frr, "bfd-6", terms)
}

#[test]
fn intervals_change_at_either_end_and_the_session_stays_up() -> Result<()> {
    let mut watched = Watched::up(Program::Frr, "bfd-i", Terms::every(50), FAST)?;
    let before = watched.session()?;
    watched.configure("interval = \"200ms\", multiplier = 5")?;
    watched.router.cli(&["reload"])?;
    watched.wait_for("our interval at FRR", |watched| {
        let told = watched.frr_says()?;
        let found = (
            &told["remote-transmit-interval"],
            &told["remote-detect-multiplier"],
        );
        ensure!(*found.0 == 200 && *found.1 == 5, "{told:#}");
        Ok(())
    })?;
    watched.frr_change("transmit-interval 300")?;
    watched.wait_for("FRR's interval at ours", |watched| {
        let session = watched.session()?;
        let detection = session.detection_time.map(|time| time.nanos);
        ensure!(detection == Some(900_000_000), "{session:?}");
        Ok(())
    })?;
    let after = watched.session()?;
    ensure!(after.state() == BfdState::Up, "{after:?}");
    let log = fs::read_to_string(watched.router.log())?;
    ensure!(!log.contains("BFD down"), "it was down in between:\n{log}");
    ensure!(after.remote_discriminator == before.remote_discriminator);
    watched.packets()?;
    Ok(())
}

#[test]
fn an_operator_of_the_neighbour_takes_bfd_down_and_the_link_stays() -> Result<()> {
    let mut watched = Watched::up(Program::Frr, "bfd-a", Terms::every(50), FAST)?;
    watched.wait_for("the link", |watched| ensure_link(watched, LinkState::Up))?;
    watched.frr_change("shutdown")?;
    watched.wait_for("the neighbour's word", |watched| {
        let session = watched.session()?;
        let remote = session.remote_state();
        ensure!(remote == BfdState::AdminDown, "{session:?}");
        Ok(())
    })?;
    ensure_link(&watched, LinkState::Up)?;
    watched.frr_change("no shutdown")?;
    watched.wait_for_both("up")
}

#[test]
fn a_router_that_stops_says_that_the_path_is_not_to_blame() -> Result<()> {
    let mut watched = Watched::up(Program::Frr, "bfd-s", Terms::every(50), FAST)?;
    watched.router.process()?.signal(Signal::TERM)?;
    watched
        .router
        .process()?
        .wait(std::time::Duration::from_secs(10))?;
    let told = watched.frr_says()?;
    ensure!(
        told["diagnostic"] == "neighbor signaled session down",
        "{told:#}"
    );
    watched.router.start()?;
    watched.wait_for_both("up")
}

#[test]
fn bgp_waits_for_bfd_where_it_is_strict_and_only_there() -> Result<()> {
    // The neighbour speaks BGP, but its BFD is kept down.
    let mut watched = Watched::build(
        Program::Frr,
        "bfd-w",
        Terms::every(50),
        "interval = \"50ms\", strict = true",
    )?;
    watched.frr_change("shutdown")?;
    watched.router.start()?;
    watched.wait_for("BFD unanswered", |watched| {
        let session = watched.session()?;
        ensure!(session.sent >= 3, "{session:?}");
        Ok(())
    })?;
    ensure_link(&watched, LinkState::Down)?;
    ensure!(watched.link()?.reason == "waiting for BFD");
    ensure!(watched.bgp()? != "Established");
    watched.frr_change("no shutdown")?;
    watched.wait_for_both("up")?;
    watched.wait_for("BGP", |watched| {
        ensure!(watched.bgp()? == "Established", "{}", watched.bgp()?);
        Ok(())
    })?;

    watched.frr_change("shutdown")?;
    watched.configure(FAST)?;
    watched.router.process()?.kill()?;
    watched.router.start()?;
    watched.wait_for("BGP without BFD", |watched| {
        ensure!(watched.bgp()? == "Established", "{}", watched.bgp()?);
        ensure!(watched.session()?.state() == BfdState::Down);
        Ok(())
    })
}

const KINDS: [(&str, &str); 2] = [
    (
        "keyed-sha1",
        "authentication keyed sha1; password \"s3cret\";",
    ),
    (
        "meticulous-keyed-sha1",
        "authentication meticulous keyed sha1; password \"s3cret\";",
    ),
];

#[test]
fn keys_are_the_same_as_birds_and_another_key_is_refused() -> Result<()> {
    for (test, (kind, bird_words)) in ["bfd-k", "bfd-m"].into_iter().zip(KINDS) {
        let terms = Terms {
            bird_words,
            ..Terms::every(50)
        };
        let mut watched = Watched::build(Program::Bird, test, terms, FAST)?;
        let key = watched.router.config().with_file_name("bfd.key");
        fs::write(&key, "s3cret\n")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let keys = format!(
            "{FAST}, auth = {{ type = \"{kind}\", id = 1, key = {{ file = \"bfd.key\" }} }}"
        );
        watched.configure(&keys)?;
        watched.router.start()?;
        watched.wait_for_both("up")?;
        fs::write(&key, "another\n")?;
        watched.router.cli(&["reload"])?;
        watched.wait_for("the refusal", |watched| {
            let session = watched.session()?;
            ensure!(session.state() == BfdState::Down, "{session:?}");
            ensure!(session.dropped > 3 && session.received == 0, "{session:?}");
            Ok(())
        })?;
        let shown = watched.router.cli(&["show", "bfd"])?;
        ensure!(shown.contains("has another key"), "{shown}");
        let metrics = watched.router.metrics()?;
        ensure!(metrics.contains("skybridge_bfd_session_up{link=\"wire\"} 0"));
        fs::write(&key, "s3cret\n")?;
        watched.router.cli(&["reload"])?;
        watched.wait_for_both("up")?;
        let metrics = watched.router.metrics()?;
        ensure!(metrics.contains("skybridge_bfd_session_up{link=\"wire\"} 1"));
    }
    Ok(())
}

fn ensure_bgp(watched: &Watched, state: peer::State) -> Result<()> {
    let peer = watched.peer()?;
    ensure!(
        peer.state() == state,
        "{:?}: {}",
        peer.state(),
        peer.last_down
    );
    Ok(())
}

/// A peer on no link: its session ends when its BFD does, and not before it is asked to.
fn ends_with_its_bfd(program: Program, test: &str, role: Role) -> Result<()> {
    let mut watched = Watched::up(program, test, Terms::as_a(role, 50), FAST)?;
    watched.wait_for("BGP", |watched| {
        ensure_bgp(watched, peer::State::Established)
    })?;
    let shown = watched.router.cli(&["show", "bfd"])?;
    ensure!(shown.contains("peer wire"), "{shown}");
    let metrics = watched.router.metrics()?;
    ensure!(
        metrics.contains("skybridge_bfd_session_up{peer=\"wire\"} 1"),
        "{metrics}"
    );
    watched.freeze()?;
    let found = watched.wait_for("the end of BGP", |watched| {
        let peer = watched.peer()?;
        ensure!(peer.state() != peer::State::Established);
        let why = &peer.last_session_end;
        ensure!(why == "its link or its BFD went down", "{why}");
        Ok(())
    });
    watched.resume()?;
    found?;
    watched.wait_for_both("up")?;
    watched.wait_for("BGP again", |watched| {
        ensure_bgp(watched, peer::State::Established)
    })?;
    watched.packets().map(drop)
}

#[test]
fn bgp_with_a_peer_on_no_link_ends_with_its_bfd() -> Result<()> {
    ends_with_its_bfd(Program::Frr, "bfd-p", Role::Peer)
}

#[test]
fn bgp_with_a_peer_behind_a_router_ends_with_its_bfd_of_frr() -> Result<()> {
    ends_with_its_bfd(Program::Frr, "bfd-pf", Role::FarPeer)
}

#[test]
fn bgp_with_a_peer_behind_a_router_ends_with_its_bfd_of_bird() -> Result<()> {
    ends_with_its_bfd(Program::Bird, "bfd-pb", Role::FarPeer)
}

#[test]
fn packets_from_farther_away_than_agreed_on_are_refused() -> Result<()> {
    let terms = Terms::as_a(Role::FarPeer, 50);
    let keys = "interval = \"50ms\", hops = 2";
    let mut watched = Watched::up(Program::Bird, "bfd-h", terms, keys)?;
    // Two hops are one router. As if there were another one, from here on, BIRD's packets arrive with 253.
    let table = "table ip far { chain in { type filter hook prerouting priority mangle; \
                 udp dport 4784 ip ttl set 253; }; }";
    watched.router.namespace().run("nft", &[table])?;
    watched.wait_for("the refusal", |watched| {
        let session = watched.session()?;
        ensure!(session.state() == BfdState::Down, "{session:?}");
        ensure!(session.dropped > 3, "{session:?}");
        Ok(())
    })?;
    watched
        .router
        .namespace()
        .run("nft", &["delete table ip far"])?;
    watched.wait_for_both("up")
}

#[test]
fn bgp_with_a_peer_on_no_link_waits_for_bfd_where_it_is_strict() -> Result<()> {
    let keys = "interval = \"50ms\", strict = true";
    let mut watched = Watched::build(Program::Frr, "bfd-ps", Terms::as_a(Role::Peer, 50), keys)?;
    watched.frr_change("shutdown")?;
    watched.router.start()?;
    watched.wait_for("BFD unanswered", |watched| {
        let session = watched.session()?;
        ensure!(session.sent >= 3, "{session:?}");
        Ok(())
    })?;
    ensure!(watched.bgp()? != "Established");
    watched.frr_change("no shutdown")?;
    watched.wait_for_both("up")?;
    watched.wait_for("BGP", |watched| {
        ensure_bgp(watched, peer::State::Established)
    })
}

/// The session is the one that it was, and was never down.
fn ensure_same(watched: &Watched, before: &BfdSession) -> Result<()> {
    let after = watched.session()?;
    ensure!(after.state() == BfdState::Up, "{after:?}");
    ensure!(after.local_discriminator == before.local_discriminator);
    ensure!(after.remote_discriminator == before.remote_discriminator);
    let log = fs::read_to_string(watched.router.log())?;
    ensure!(!log.contains("BFD down"), "it was down in between:\n{log}");
    Ok(())
}

#[test]
fn whatever_begins_anew_in_bgp_bfd_does_not_notice() -> Result<()> {
    for (test, role) in [("bfd-rl", Role::Link), ("bfd-rp", Role::Peer)] {
        let mut watched = Watched::up(Program::Frr, test, Terms::as_a(role, 50), FAST)?;
        let established = |watched: &Watched, times: u64| {
            ensure_bgp(watched, peer::State::Established)?;
            let count = watched.peer()?.established_count;
            ensure!(count >= times, "established {count} times");
            Ok(())
        };
        watched.wait_for("BGP", |watched| established(watched, 1))?;
        let before = watched.session()?;
        watched.router.cli(&["reset", "wire"])?;
        watched.wait_for("BGP after a reset", |watched| established(watched, 2))?;
        ensure_same(&watched, &before)?;
        watched.router.cli(&["reset", "wire", "--hard"])?;
        watched.wait_for("BGP after a hard reset", |watched| established(watched, 3))?;
        ensure_same(&watched, &before)?;
        // Its task ends, and another one begins.
        watched.configure_with(FAST, ", description = \"another\", port = 1179")?;
        watched.router.cli(&["reload"])?;
        watched.configure(FAST)?;
        watched.router.cli(&["reload"])?;
        watched.wait_for("BGP of another task", |watched| established(watched, 1))?;
        ensure_same(&watched, &before)?;
    }
    Ok(())
}
