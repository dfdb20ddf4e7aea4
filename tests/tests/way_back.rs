//! Two clouds' gateways, FRR and BIRD, send by the link that the router sends by.
//!
//! Needs root, FRR, BIRD and `cargo build --workspace --bins`.

use std::collections::BTreeMap;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::lab::cables::{Cables, Priorities};
use tests::lab::nva::Nva;
use tests::lab::process::wait_for;
use tests::lab::ways::{Way, Ways, Wish};

/// Pings that take part, at about a hundred bytes each way and hop.
const PINGS: u32 = 500;
const LEAST: u64 = 84 * PINGS as u64;

/// Sends pings, and sees each of them on this link of each cloud, in both directions.
fn ensure_both_ways(ways: &Ways, way: Way) -> Result<()> {
    let before = ways.bytes()?;
    ways.ping(PINGS)?;
    let after = ways.bytes()?;
    let grown = |link: &str| -> Result<[u64; 2]> {
        let of = |bytes: &BTreeMap<String, [u64; 2]>| bytes.get(link).copied();
        let ([a, b], [c, d]) = of(&before).zip(of(&after)).context("no such link")?;
        Ok([c - a, d - b])
    };
    for cloud in ["aws", "oci"] {
        let used = grown(&way.link(cloud))?;
        ensure!(
            used.iter().all(|bytes| *bytes >= LEAST),
            "{cloud} {way:?}: {used:?}"
        );
        let idle = grown(&way.other().link(cloud))?;
        // Probes and keepalives go on.
        ensure!(
            idle.iter().all(|bytes| *bytes < LEAST / 2),
            "{cloud} other: {idle:?}"
        );
    }
    Ok(())
}

fn told(ways: &Ways, peer: &str) -> Result<String> {
    let peers = ways.router.peers()?;
    let found = peers.into_iter().find(|known| known.name == peer);
    Ok(found.context("no such peer")?.way_back)
}

#[test]
fn gateways_send_by_the_link_that_we_send_by() -> Result<()> {
    // Neither would choose the second by itself.
    let mut ways = Ways::start("back-p", Way::Second)?;
    ways.wait_for(Way::Second)?;
    ensure_both_ways(&ways, Way::Second)?;
    ensure!(told(&ways, "aws-1")? == "secondary (prepends 2)");
    ensure!(told(&ways, "aws-2")? == "primary");
    ensure!(told(&ways, "oci-1")? == "secondary (MED 100)");
    ensure!(told(&ways, "oci-2")? == "primary (MED 0)");

    // Another order in the file: no session ends, and both directions move.
    let sessions = established(&ways)?;
    ways.prefer(Way::First)?;
    ways.router.cli(&["reload"])?;
    ways.wait_for(Way::First)?;
    ensure_both_ways(&ways, Way::First)?;

    // Links that are to be emptied: the same, in stronger words.
    ways.configure(Wish {
        drained: Some(Way::First),
        ..Wish::first(Way::First)
    })?;
    ways.router.cli(&["reload"])?;
    ways.wait_for(Way::Second)?;
    ensure_both_ways(&ways, Way::Second)?;
    ensure!(told(&ways, "aws-1")? == "draining (prepends 6)");
    let oci = told(&ways, "oci-1")?;
    ensure!(oci == "draining (MED 65535, GRACEFUL_SHUTDOWN)", "{oci}");
    ensure!(established(&ways)? == sessions, "a session was lost");
    let events = ways.router.cli(&["watch", "--history", "--no-follow"])?;
    let line = events
        .lines()
        .find(|line| line.contains("way-back") && line.contains("aws-2"));
    ensure!(line.is_some(), "{events}");
    Ok(())
}

#[test]
fn the_way_back_follows_a_failover_and_the_return() -> Result<()> {
    let mut ways = Ways::start("back-f", Way::Second)?;
    ways.wait_for(Way::Second)?;
    // The group of AWS moves; that of OCI has no reason to.
    ways.cut(Way::Second)?;
    ways.wait_for_each([Way::First, Way::Second])?;
    ways.ping(PINGS)?;
    ways.restore(Way::Second)?;
    ways.wait_for(Way::Second)?;
    ensure_both_ways(&ways, Way::Second)
}

#[test]
fn a_gateway_that_is_told_nothing_makes_the_group_asymmetric() -> Result<()> {
    let mut ways = Ways::start("back-a", Way::Second)?;
    ways.wait_for(Way::Second)?;
    ways.configure(Wish {
        to_oci: "way-back = \"off\"",
        ..Wish::first(Way::Second)
    })?;
    ways.router.cli(&["reload"])?;
    // BIRD goes by the address of the neighbour then.
    ways.wait_for_back([Way::Second, Way::First])?;
    let mut found = ensure_asymmetric(&ways, "oci", "1");
    for _ in 0..60 {
        if found.is_ok() {
            break;
        }
        ways.ping(PINGS)?;
        found = ensure_asymmetric(&ways, "oci", "1");
    }
    found?;
    ensure_asymmetric(&ways, "aws", "0")?;
    let shown = ways.router.cli(&["show", "groups"])?;
    let sentence = "oci is asymmetric: most leaves by oci-2, and comes by oci-1";
    ensure!(shown.contains(sentence), "{shown}");
    let events = ways.router.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(events.contains("  asymmetric  "), "{events}");
    Ok(())
}

fn ensure_asymmetric(ways: &Ways, group: &str, value: &str) -> Result<()> {
    let metrics = ways.router.metrics()?;
    let series = format!("skybridge_group_asymmetric{{group=\"{group}\"}} {value}");
    ensure!(metrics.contains(&series), "{series} is not there");
    Ok(())
}

fn established(ways: &Ways) -> Result<Vec<u64>> {
    let peers = ways.router.peers()?.into_iter();
    Ok(peers.map(|peer| peer.established_count).collect())
}

/// The link that the group of a router has in use.
fn in_use(router: &Nva) -> Result<String> {
    let shown: serde_json::Value =
        serde_json::from_str(&router.cli(&["--json", "show", "groups"])?)?;
    let active = shown.pointer("/groups/0/active/0");
    let active = active.and_then(serde_json::Value::as_str);
    Ok(active.with_context(|| shown.to_string())?.to_owned())
}

/// The link by which both routers send, and say that they do.
fn agreed(cables: &Cables) -> Result<String> {
    let link = in_use(&cables.near)?;
    let ends = [(&cables.near, "10.2.0.1"), (&cables.far, "10.1.0.1")];
    for (router, behind_the_other) in ends {
        let used = in_use(router)?;
        let route = router
            .namespace()
            .ip(&format!("route get {behind_the_other}"))?;
        ensure!(used == link, "{used} and {link} are in use");
        ensure!(route.contains(&format!("dev {link} ")), "{link}: {route}");
    }
    Ok(link)
}

#[test]
fn two_routers_to_which_both_links_are_as_good_agree_on_one() -> Result<()> {
    let probe = "method = \"stamp\", interval = \"100ms\"";
    let cables = Cables::start("agree", Priorities::Equal, "hold-down = \"1s\"", probe)?;
    let agree = |what: &str| wait_for(what, Duration::from_secs(60), || agreed(&cables));
    let left = agree("agreement at the start")?;
    // One has to leave the link, and the other goes with it. Neither has a reason to return.
    cables.near.cli(&["drain", &left])?;
    let taken = agree("agreement on the other link")?;
    ensure!(taken != left, "{taken} is used although it is drained");
    let events = cables.far.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(
        events.contains("(most routes lead over it already)"),
        "{events}"
    );
    cables.near.cli(&["undrain", &left])?;
    agree("agreement after the drain")?;
    Ok(())
}
