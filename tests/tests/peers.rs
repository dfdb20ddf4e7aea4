//! Terms of a peer that only a kernel or another program can prove: keys and hop limits of TCP,
//! listen ranges, limits, farewells.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::Peer;
use api::v1::peer::State;
use tests::lab::pair::{Announced, FILTERS, Family, Over, Pair, Program, Terms};
use tests::lab::process::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);
/// Several attempts of both ends.
const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(4);

/// Writes a key where only its owner can read it.
fn keep(pair: &Pair, name: &str, key: &str) -> Result<PathBuf> {
    let config = pair.router.config();
    let directory = config.parent().context("the file is in a directory")?;
    let path = directory.join(name);
    fs::write(&path, format!("{key}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

fn md5(path: &Path) -> String {
    format!("md5 = {{ file = \"{}\" }}", path.display())
}

fn metric(pair: &Pair, series: &str) -> Result<f64> {
    let scrape = pair.router.metrics()?;
    let line = scrape.lines().find(|line| line.starts_with(series));
    let value = line.and_then(|line| line.rsplit(' ').next());
    Ok(value.with_context(|| format!("no {series}"))?.parse()?)
}

/// Fails if the session comes up although several attempts are waited for: the one thing that a
/// wait on a condition cannot show.
fn ensure_apart(pair: &Pair) -> Result<()> {
    thread::sleep(SEVERAL_ATTEMPTS);
    let peer = pair.peer()?;
    ensure!(peer.state() != State::Established, "{peer:?}");
    Ok(())
}

fn signed(program: Program, over: Over) -> Result<()> {
    let key = "hunter2 and a half";
    let words = match program {
        Program::Frr => format!("neighbor {} password hunter2-and-a-half", over.ours()),
        Program::Bird | Program::GoBgp => format!("password \"{key}\";"),
    };
    let key = if program == Program::Frr {
        "hunter2-and-a-half"
    } else {
        key
    };
    let terms = Terms {
        over,
        session_words: words,
        ..Terms::external()
    };
    let name = match over {
        Over::V4 => "md4",
        Over::V6 | Over::LinkLocal => "md6",
    };
    let mut pair = Pair::build(program, name, terms)?;
    let wrong = keep(&pair, "wrong.key", "another")?;
    pair.configure(&md5(&wrong), FILTERS)?;
    pair.router.start()?;
    ensure_apart(&pair)?;
    let right = keep(&pair, "right.key", key)?;
    pair.reconfigure(&md5(&right), FILTERS)?;
    pair.wait_for_session()?;
    // Called by the other, the listening socket's key is the one that counts.
    pair.reconfigure(&format!("{}\npassive = true", md5(&right)), FILTERS)?;
    pair.router.cli(&["reset", "other"])?;
    pair.wait_for_peer("a session that the other opened", |peer| {
        peer.state() == State::Established && peer.established_count == 2
    })?;
    // The file that is named stays, what is in it changes.
    keep(&pair, "right.key", "yet another")?;
    pair.router.cli(&["reload"])?;
    pair.wait_for_peer("the session to end", |peer| {
        peer.state() != State::Established
    })?;
    ensure_apart(&pair)?;
    for text in [
        pair.router.cli(&["show", "bgp", "neighbors", "other"])?,
        pair.router.cli(&["--json", "show", "peers"])?,
        fs::read_to_string(pair.router.log())?,
    ] {
        ensure!(!text.contains("hunter2"), "a key is shown: {text}");
    }
    pair.packets().map(drop)
}

#[test]
fn a_session_is_signed_with_frr() -> Result<()> {
    signed(Program::Frr, Over::V4)
}

#[test]
fn a_session_is_signed_with_bird_over_ipv6() -> Result<()> {
    signed(Program::Bird, Over::V6)
}

/// - `words`: by which the other sends with a TTL of 255, and takes nothing less
fn secured(program: Program, over: Over, words: &str) -> Result<()> {
    let terms = Terms {
        over,
        session_words: words.to_owned(),
        ..Terms::external()
    };
    let name = match over {
        Over::V4 => "tt4",
        Over::V6 | Over::LinkLocal => "tt6",
    };
    let mut pair = Pair::build(program, name, terms)?;
    pair.configure("ttl-security = true", FILTERS)?;
    pair.router.start()?;
    let up = |peer: &Peer| peer.state() == State::Established;
    let before = pair
        .wait_for_peer("a secured session", up)?
        .established_count;
    // And the other way round: called, by a peer that is where it should be. GoBGP takes half a
    // minute to call again.
    if program != Program::GoBgp {
        pair.reconfigure("ttl-security = true\npassive = true", FILTERS)?;
        pair.router.cli(&["reset", "other"])?;
        pair.wait_for_peer("a session that the other opened", |peer| {
            up(peer) && peer.established_count > before
        })?;
    }
    let packets = pair.packets()?;
    let near = packets.matching("bgp.type == 1 && (ip.ttl == 255 || ipv6.hlim == 255)")?;
    let far = packets.matching("bgp && !(ip.ttl == 255 || ipv6.hlim == 255)")?;
    ensure!(near.len() >= 2 && far.is_empty(), "{near:?} {far:?}");
    Ok(())
}

#[test]
fn a_secured_session_comes_up_with_frr() -> Result<()> {
    secured(
        Program::Frr,
        Over::V4,
        "neighbor 192.0.2.1 ttl-security hops 1",
    )
}

#[test]
fn a_secured_session_comes_up_with_frr_over_ipv6() -> Result<()> {
    secured(
        Program::Frr,
        Over::V6,
        "neighbor 2001:db8:1::1 ttl-security hops 1",
    )
}

#[test]
fn a_secured_session_comes_up_with_bird() -> Result<()> {
    secured(Program::Bird, Over::V4, "ttl security on;")
}

#[test]
fn a_secured_session_comes_up_with_gobgp() -> Result<()> {
    let words = "[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n";
    secured(Program::GoBgp, Over::V4, words)
}

#[test]
fn a_peer_that_is_too_far_away_is_not_heard() -> Result<()> {
    // FRR sends to another AS with a TTL of 1.
    let mut pair = Pair::build(Program::Frr, "far", Terms::external())?;
    pair.configure("ttl-security = true", FILTERS)?;
    pair.router.start()?;
    ensure_apart(&pair)?;
    pair.reconfigure("", FILTERS)?;
    pair.wait_for_session()?;
    let packets = pair.packets()?;
    let far = packets.matching("bgp && ip.src == 192.0.2.1 && ip.ttl != 1")?;
    let last = packets.matching("bgp.type == 2 && ip.src == 192.0.2.1 && ip.ttl == 1")?;
    ensure!(!last.is_empty(), "no UPDATE left with a TTL of 1");
    // What left with 255 belongs to the time when that was asked for, before the session.
    ensure!(far.iter().all(|line| !line.contains("UPDATE")), "{far:?}");
    Ok(())
}

fn with_range(pair: &Pair, range: &str) -> Result<()> {
    pair.router.configure(&format!(
        "[router]\nname = \"under-test\"\nasn = 65010\nid = \"192.0.2.1\"\n\
         [listen.lan]\n{range}\nimport = \"import\"\nexport = \"export\"\n{FILTERS}"
    ))
}

fn caller(pair: &Pair) -> Result<Option<Peer>> {
    let peers = pair.router.peers()?;
    Ok(peers.into_iter().find(|peer| peer.name == "lan-192.0.2.2"))
}

#[test]
fn a_caller_from_a_range_is_a_peer_for_as_long_as_it_is_there() -> Result<()> {
    let words = "neighbor 192.0.2.1 password for-the-lan";
    let terms = Terms {
        session_words: words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, "rng", terms)?;
    let key = keep(&pair, "lan.key", "for-the-lan")?;
    let range =
        "range = \"192.0.2.0/24\"\nasn = 65020\nhold-time = \"9s\"\ngraceful-restart = false\n";
    with_range(&pair, &format!("{range}{}", md5(&key)))?;
    pair.router.start()?;
    let up = |pair: &Pair| {
        wait_for("the caller as a peer", PATIENCE, || {
            let peer = caller(pair)?.context("it is none yet")?;
            ensure!(peer.state() == State::Established, "{peer:?}");
            ensure!(peer.range == "lan", "{peer:?}");
            Ok(())
        })
        .map_err(|error| pair.diagnose(error))
    };
    up(&pair)?;
    let series = "skybridge_bgp_session_up{peer=\"lan-192.0.2.2\"}";
    ensure!(metric(&pair, series)? > 0.5);
    // A reload keeps it, and its terms are those of the range.
    with_range(
        &pair,
        &format!("{range}description = \"desk\"\n{}", md5(&key)),
    )?;
    let said = pair.router.cli(&["reload"])?;
    ensure!(
        said.contains("listen lan: description none -> desk"),
        "{said}"
    );
    let peer = caller(&pair)?.context("it is one still")?;
    ensure!(peer.established_count == 1, "{peer:?}");
    // One that stays away is forgotten, with all its series.
    pair.other.kill()?;
    wait_for("the caller forgotten", Duration::from_secs(60), || {
        ensure!(caller(&pair)?.is_none(), "it is one still");
        ensure!(metric(&pair, series).is_err(), "its series is there still");
        Ok(())
    })?;
    pair.other.restart()?;
    up(&pair)?;
    // A range that is gone takes its peers along.
    pair.router.configure(&format!(
        "[router]\nname = \"under-test\"\nasn = 65010\nid = \"192.0.2.1\"\n{FILTERS}"
    ))?;
    pair.router.cli(&["reload"])?;
    ensure!(caller(&pair)?.is_none(), "a peer outlived its range");
    let stranger = "skybridge_bgp_connections_refused_total{reason=\"stranger\"}";
    wait_for("a stranger refused", PATIENCE, || {
        // Its packets are signed, and nobody asks for that any more.
        ensure!(metric(&pair, stranger)? >= 0.0);
        Ok(())
    })?;
    pair.packets().map(drop)
}

#[test]
fn a_stranger_is_refused_and_counted() -> Result<()> {
    let mut pair = Pair::build(Program::Bird, "str", Terms::external())?;
    with_range(&pair, "range = \"192.0.2.128/25\"\nasn = 65020")?;
    pair.router.start()?;
    wait_for("a stranger refused", PATIENCE, || {
        let series = "skybridge_bgp_connections_refused_total{reason=\"stranger\"}";
        ensure!(metric(&pair, series)? > 0.5, "not yet");
        Ok(())
    })?;
    ensure!(pair.router.peers()?.is_empty());
    let packets = pair.packets()?;
    let said = packets.matching("bgp && ip.src == 192.0.2.1")?;
    ensure!(said.is_empty(), "a stranger was talked to: {said:?}");
    Ok(())
}

/// As many prefixes of theirs.
fn announced(count: u8) -> Vec<Announced> {
    let prefix = |n| Announced::plain(&format!("10.20.{n}.0/24"));
    (0..count).map(prefix).collect()
}

#[test]
fn a_peer_that_sends_too_much_is_told_how_much_and_tried_again() -> Result<()> {
    let terms = Terms {
        announced: announced(4),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, "lim", terms)?;
    let limit =
        |action: &str| format!("graceful-restart = false\nprefix-limit = {{ ipv4 = 5, {action} }}");
    pair.configure(&limit("restart-after = \"2s\""), FILTERS)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_peer("four prefixes", |peer| {
        peer.families.iter().any(|family| family.received == 4)
    })?;
    let near = pair.router.cli(&["status"])?;
    ensure!(near.contains("it sends 4 ipv4 prefixes of 5"), "{near}");
    pair.other.announce(&announced(8))?;
    pair.wait_for_peer("the session held", |peer| {
        peer.held.contains("more than 5 ipv4")
    })?;
    pair.other.announce(&announced(3))?;
    pair.wait_for_session()?;
    // Until somebody looks after it.
    pair.reconfigure(&limit("action = \"shutdown\""), FILTERS)?;
    pair.other.announce(&announced(8))?;
    pair.wait_for_peer("the session held", |peer| {
        peer.held.contains("tried again on skybridge reset")
    })?;
    pair.other.announce(&announced(3))?;
    pair.router.cli(&["reset", "other"])?;
    pair.wait_for_session()?;
    // What is over the limit is not there, and the session is.
    pair.reconfigure(&limit("action = \"discard\""), FILTERS)?;
    pair.other.announce(&announced(8))?;
    let peer = pair.wait_for_peer("three discarded", |peer| {
        peer.families.iter().any(|family| family.discarded == 3)
    })?;
    ensure!(peer.state() == State::Established, "{peer:?}");
    ensure!(
        peer.families.iter().any(|family| family.received == 5),
        "{peer:?}"
    );
    let series = "skybridge_bgp_prefix_limit{peer=\"other\",family=\"ipv4\",direction=\"receive\"}";
    ensure!((metric(&pair, series)? - 5.0).abs() < 0.1);
    let events = pair.router.cli(&["watch", "--history", "--no-follow"])?;
    for said in [
        "prefix-limit-near",
        "more than 5 ipv4 prefixes",
        "peer-reset",
    ] {
        ensure!(events.contains(said), "{said} is not in {events}");
    }
    let packets = pair.packets()?;
    // Cease 6/1 with AFI 1, SAFI 1 and the limit (RFC 4486 §4).
    let told = packets.matching(
        "bgp.notify.major_error == 6 && bgp.notify.minor_error_cease == 1 && ip.src == 192.0.2.1",
    )?;
    let hard = packets.matching("bgp.notify.major_error == 6 && ip.src == 192.0.2.1")?;
    ensure!(!told.is_empty(), "it was told {hard:?}");
    Ok(())
}

#[test]
fn their_limit_is_shown_in_words() -> Result<()> {
    let mut pair = Pair::build(
        Program::Frr,
        "lth",
        Terms {
            family_words: "neighbor 192.0.2.1 maximum-prefix 2".to_owned(),
            ..Terms::external()
        },
    )?;
    pair.router.start()?;
    pair.wait_for_session()?;
    for count in [3, 6] {
        let prefixes: Vec<String> = (0..count).map(|n| format!("\"10.1.{n}.0/24\"")).collect();
        let originate = format!("[originate]\nprefixes = [{}]\n", prefixes.join(", "));
        pair.reconfigure("", &format!("{originate}{FILTERS}"))?;
    }
    pair.wait_for_peer("the other's limit", |peer| {
        peer.last_session_end.contains("limit of 2 ipv4 prefixes")
    })?;
    let said = pair.router.cli(&["show", "peers", "other"])?;
    ensure!(said.contains("limit of 2 ipv4 prefixes"), "{said}");
    pair.packets().map(drop)
}

#[test]
fn a_peer_that_is_shut_down_is_told_why_and_left_alone() -> Result<()> {
    let mut pair = Pair::established(Program::Frr, "shu", Terms::external())?;
    pair.reconfigure("shutdown = \"moved to rack 7\"", FILTERS)?;
    pair.wait_for_peer("the session ended", |peer| {
        peer.held == "shut down in the file: moved to rack 7"
    })?;
    let frr = pair.other.frr().context("it is FRR")?;
    let said = frr.vtysh(&["show bgp neighbors 192.0.2.1 json"])?;
    ensure!(said.contains("moved to rack 7"), "{said}");
    let done = pair.router.cli(&["reset", "other"])?;
    ensure!(done.contains("shut down in the file"), "{done}");
    ensure_apart(&pair)?;
    pair.reconfigure("", FILTERS)?;
    pair.wait_for_session()?;
    pair.router
        .cli(&["reset", "192.0.2.2", "--message", "back at four"])?;
    pair.wait_for_session()?;
    pair.packets().map(drop)
}

#[test]
fn a_soft_reset_exchanges_routes_and_keeps_the_session() -> Result<()> {
    let terms = Terms {
        announced: announced(2),
        ..Terms::external()
    };
    let mut pair = Pair::established(Program::Bird, "sft", terms)?;
    let count = |peer: &Peer| {
        let updates = |counts: &Option<api::v1::MessageCounts>| counts.map_or(0, |c| c.update);
        (updates(&peer.received), updates(&peer.sent))
    };
    let before = count(&pair.peer()?);
    let said = pair.router.cli(&["reset", "other", "--soft", "in"])?;
    ensure!(said.contains("asked for all its routes"), "{said}");
    pair.wait_for_peer("their routes again", |peer| count(peer).0 > before.0)?;
    let said = pair.router.cli(&["reset", "other", "--soft", "out"])?;
    ensure!(said.contains("sent again"), "{said}");
    let peer = pair.wait_for_peer("ours again", |peer| count(peer).1 > before.1)?;
    ensure!(peer.established_count == 1, "{peer:?}");
    pair.packets().map(drop)
}

/// Prefixes of what `skybridge` prints as JSON, with their attributes as operators read them.
fn routes(pair: &Pair, words: &[&str]) -> Result<Vec<(String, String)>> {
    let words: Vec<&str> = ["--json"].iter().chain(words).copied().collect();
    let said = pair.router.cli(&words)?;
    let read = |line: &str| -> Result<(String, String)> {
        let route: serde_json::Value = serde_json::from_str(line)?;
        let path = &route["paths"][0];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let communities = path["communities"].to_string();
        Ok((
            text(&route["prefix"]),
            format!("{} {communities}", text(&path["as_path"])),
        ))
    };
    said.lines().map(read).collect()
}

#[test]
fn what_a_peer_sent_what_was_accepted_and_what_it_was_told_are_three_views() -> Result<()> {
    let terms = Terms {
        announced: announced(2),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Bird, "vws", terms)?;
    let sections = "
[originate]
prefixes = [\"10.1.0.0/24\", \"10.1.1.0/24\", \"10.2.0.0/24\"]
[[aggregate]]
prefix = \"10.1.0.0/16\"
summary-only = true
[[aggregate]]
prefix = \"10.3.0.0/16\"
[[filter.import]]
prefix = [\"10.20.0.0/24\"]
action = \"accept\"
set    = { add-community = [\"65010:7\"] }
[[filter.export]]
prefix = [\"10.0.0.0/8 le 24\"]
action = \"accept\"
set    = { prepend = 1 }
";
    pair.configure("", sections)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    pair.wait_for_peer("both ways", |peer| {
        let is_all = |family: &api::v1::PeerFamily| (family.received, family.advertised) == (2, 2);
        peer.families.iter().any(is_all)
    })?;
    let row = |prefix: &str, attributes: &str| (prefix.to_owned(), attributes.to_owned());
    let views = [
        (
            "received-routes",
            vec![
                row("10.20.0.0/24", "65020 []"),
                row("10.20.1.0/24", "65020 []"),
            ],
        ),
        ("routes", vec![row("10.20.0.0/24", "65020 [\"65010:7\"]")]),
        (
            "advertised-routes",
            // The aggregate stands for what is within it; one with nothing within it is not there.
            vec![
                row("10.1.0.0/16", "65010 65010 []"),
                row("10.2.0.0/24", "65010 65010 []"),
            ],
        ),
    ];
    for (view, expected) in views {
        let found = routes(&pair, &["show", "bgp", "neighbors", "other", view])?;
        ensure!(
            found == expected,
            "{view}: {found:?}, should be {expected:?}"
        );
    }
    let one = routes(
        &pair,
        &[
            "show",
            "routes",
            "10.20.0.9",
            "--peer",
            "192.0.2.2",
            "--received",
        ],
    )?;
    ensure!(one == [row("10.20.0.0/24", "65020 []")], "{one:?}");
    let first = routes(
        &pair,
        &["show", "routes", "--limit", "1", "10.0.0.0/8", "--longer"],
    )?;
    ensure!(first.len() == 1, "{first:?}");
    // Without them the more specific ones are told again.
    pair.reconfigure(
        "",
        &sections.replace("summary-only = true", "summary-only = false"),
    )?;
    pair.wait_for_peer("all of them told", |peer| {
        peer.families.iter().any(|family| family.advertised == 4)
    })?;
    pair.packets().map(drop)
}

#[test]
fn what_was_agreed_on_is_shown_and_a_second_as_of_ours_is_what_the_peer_sees() -> Result<()> {
    let terms = Terms {
        session_words:
            "neighbor 192.0.2.1 remote-as 64600\n neighbor 192.0.2.1 local-role provider".to_owned(),
        family_words: "neighbor 192.0.2.1 addpath-tx-all-paths".to_owned(),
        announced: announced(1),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Frr, "agr", terms)?;
    let keys = "local-as = 64600\nrole = \"customer\"\nadd-path = \"both\"\n";
    let originate = format!("[originate]\nprefixes = [\"10.1.0.0/24\"]\n{FILTERS}");
    pair.configure(keys, &originate)?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let peer = pair.peer()?;
    let capabilities = peer.capabilities.context("both have said what they can")?;
    for agreed in [
        "family ipv4",
        "add-path ipv4 receive",
        "add-path ipv4 send",
        "route refresh",
        "messages of 65535 octets",
    ] {
        let is_there = capabilities.agreed.iter().any(|said| said == agreed);
        ensure!(is_there, "{agreed} is not in {:?}", capabilities.agreed);
    }
    ensure!(
        (peer.role.as_str(), peer.peer_role.as_str()) == ("customer", "provider"),
        "{} {}",
        peer.role,
        peer.peer_role
    );
    ensure!(peer.local_asn == 64600);
    wait_for("our prefix behind both ASes", PATIENCE, || {
        let table = pair.other.received(Family::V4)?;
        let held = table.get("10.1.0.0/24").context("it is not there yet")?;
        ensure!(held.as_path == "64600 65010", "{}", held.as_path);
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))?;
    pair.reconfigure(
        "local-as = { asn = 64600, replace-as = true, no-prepend = true }\n",
        &originate,
    )?;
    wait_for("our prefix behind one AS", PATIENCE, || {
        let table = pair.other.received(Family::V4)?;
        let held = table.get("10.1.0.0/24").context("it is not there yet")?;
        ensure!(held.as_path == "64600", "{}", held.as_path);
        Ok(())
    })
    .map_err(|error| pair.diagnose(error))?;
    pair.packets().map(drop)
}

#[test]
fn a_peer_is_never_sent_more_than_it_takes() -> Result<()> {
    let mut pair = Pair::build(Program::Bird, "out", Terms::external())?;
    let sections = |count: u8| {
        let prefixes: Vec<String> = (0..count).map(|n| format!("\"10.1.{n}.0/24\"")).collect();
        format!(
            "[originate]\nprefixes = [{}]\n{FILTERS}",
            prefixes.join(", ")
        )
    };
    let keys = "prefix-limit-out = { ipv4 = 2 }";
    pair.configure(keys, &sections(5))?;
    pair.router.start()?;
    pair.wait_for_session()?;
    let counted = |advertised, held_back| {
        move |peer: &Peer| {
            let is =
                |f: &api::v1::PeerFamily| (f.advertised, f.held_back) == (advertised, held_back);
            peer.families.iter().any(is)
        }
    };
    pair.wait_for_peer("two sent, three held back", counted(2, 3))?;
    let status = pair.router.cli(&["status"])?;
    ensure!(status.contains("3 ipv4 prefixes are held back"), "{status}");
    let told = pair.other.received(Family::V4)?;
    ensure!(told.len() == 2, "{told:?}");
    pair.reconfigure("prefix-limit-out = { ipv4 = 4 }", &sections(5))?;
    pair.wait_for_peer("two more", counted(4, 1))?;
    pair.reconfigure("", &sections(5))?;
    pair.wait_for_peer("all of them", counted(5, 0))?;
    let peer = pair.peer()?;
    ensure!(peer.established_count == 1, "{peer:?}");
    pair.packets().map(drop)
}
