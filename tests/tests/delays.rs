//! Drills that delay a link, on the real kernel: the delay is there, it moves traffic, and it ends by itself.
//!
//! Needs root and `cargo build --workspace --bins`. A kernel without `sch_netem` can only refuse; `./dev vm` has one
//! with it.
#![expect(clippy::print_stdout, reason = "a test says what it could not try")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::lab::cables::{Cables, Priorities};
use tests::lab::netns::Namespace;
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);
/// What the drills delay by, milliseconds.
const BY: f64 = 200.0;

fn start(test: &str) -> Result<Cables> {
    let group = "slo = { rtt = \"100ms\" }\nhold-down = \"1s\"";
    let probe = "method = \"stamp\", interval = \"100ms\", window = \"2s\", down-after = 20";
    Cables::start(test, Priorities::InOrder, group, probe)
}

fn queue(cables: &Cables) -> Result<String> {
    let near = cables.near.namespace();
    near.run("tc", &["qdisc", "show", "dev", "first"])
}

/// What a packet of somebody else needs over the first cable, milliseconds.
fn ping(cables: &Cables) -> Result<f64> {
    let near = cables.near.namespace();
    let said = near.run("ping", &["-n", "-c", "1", "-W", "2", "10.99.0.2"])?;
    let (_, rest) = said.split_once("time=").context("no answer")?;
    let (time, _) = rest.split_once(' ').context("no unit")?;
    Ok(time.parse()?)
}

fn drill(cables: &Cables, lasts: &str) -> Result<Command> {
    let question = cables.near.question();
    let mut question = question.split(' ');
    let program = question.next().context("a program")?;
    let mut command = Command::new(program);
    command.args(question).args(["--json", "drill", "delay"]);
    command.args(["first", "--by", "200ms", "--for", lasts]);
    Ok(command)
}

/// Whether this kernel can delay, asked of a namespace of its own.
fn can_delay() -> Result<bool> {
    let mut scratch = Scratch::new("can")?;
    let namespace = scratch.namespace("here")?;
    let tried = |what: &[&str]| {
        let words = ["qdisc", "add", "dev", "lo", "root"];
        let done = namespace.run("tc", &[&words, what].concat());
        // What is not there cannot be removed.
        drop(namespace.run("tc", &["qdisc", "del", "dev", "lo", "root"]));
        done.is_ok()
    };
    let can = tried(&["prio"]) && tried(&["netem", "delay", "1ms"]);
    if !can {
        println!("not tried: this kernel has no sch_prio, or no sch_netem");
    }
    Ok(can)
}

fn rules(namespace: &Namespace) -> Result<String> {
    namespace.run("nft", &["list", "tables"])
}

#[test]
fn a_delayed_link_is_left_as_degraded_reported_and_taken_back() -> Result<()> {
    if !can_delay()? {
        return Ok(());
    }
    let mut cables = start("dl")?;
    let before = queue(&cables)?;
    let drill = drill(&cables, "20s")?.output();
    let output = drill.context("the drill")?;
    let said = String::from_utf8(output.stdout)?;
    let last = said.lines().last().context("no report")?;
    let event: Value = serde_json::from_str(last)?;
    let report = event.get("report").context(said.clone())?;
    ensure!(report["completed"] == true, "{report}");
    ensure!(report["was_active"] == true, "{report}");
    ensure!(report["detected_in"].is_f64(), "{report}");
    ensure!(report["switched_in"].is_f64(), "{report}");
    ensure!(report["returned_in"].is_f64(), "{report}");
    ensure!(report["lost_transmit_packets"] == 0, "{report}");
    cables.wait_for("first")?;
    let events = cables.near.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(
        events.contains("what leaves by it takes 200.0 ms longer, for 20 s"),
        "{events}"
    );
    ensure!(
        events.contains("from first to second (degraded: RTT "),
        "{events}"
    );
    ensure!(queue(&cables)? == before, "{}", queue(&cables)?);
    let left = rules(cables.near.namespace())?;
    ensure!(!left.contains("skybridge-drill"), "{left}");
    Ok(())
}

#[test]
fn a_delay_ends_though_the_daemon_dies_and_the_next_start_clears_it_away() -> Result<()> {
    if !can_delay()? {
        return Ok(());
    }
    let mut cables = start("dk")?;
    let mut drill = drill(&cables, "300s")?.spawn()?;
    wait_for("the delay", PATIENCE, || {
        let took = ping(&cables)?;
        ensure!(took >= BY, "{took} ms");
        Ok(())
    })?;
    ensure!(
        queue(&cables)?.contains("netem 5b01:"),
        "{}",
        queue(&cables)?
    );
    cables.near.process()?.signal(Signal::KILL)?;
    drill.wait()?;
    wait_for("the end of the lease", PATIENCE, || {
        let took = ping(&cables)?;
        ensure!(took < BY, "{took} ms");
        Ok(())
    })?;
    // The queue is there, and holds nothing up.
    ensure!(
        queue(&cables)?.contains("netem 5b01:"),
        "{}",
        queue(&cables)?
    );
    cables.near.start()?;
    cables.wait_for("first")?;
    ensure!(!queue(&cables)?.contains("5b00:"), "{}", queue(&cables)?);
    Ok(())
}

#[test]
fn a_queue_of_somebody_else_is_left_alone() -> Result<()> {
    let cables = start("dq")?;
    let near = cables.near.namespace();
    near.run(
        "tc",
        &[
            "qdisc", "add", "dev", "first", "root", "handle", "7:", "pfifo",
        ],
    )?;
    let before = queue(&cables)?;
    let output = drill(&cables, "2s")?.output()?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        why.contains("first has a queue that somebody has set up"),
        "{why}"
    );
    ensure!(queue(&cables)? == before, "{}", queue(&cables)?);
    let left = rules(near)?;
    ensure!(!left.contains("skybridge-drill"), "{left}");
    Ok(())
}

#[test]
fn a_kernel_that_cannot_delay_says_so_and_changes_nothing() -> Result<()> {
    if can_delay()? {
        return Ok(());
    }
    let cables = start("dn")?;
    let before = queue(&cables)?;
    let output = drill(&cables, "2s")?.output()?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        why.contains("this kernel cannot delay packets: it has no sch_"),
        "{why}"
    );
    ensure!(queue(&cables)? == before, "{}", queue(&cables)?);
    let events = cables.near.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(!events.contains("drill"), "{events}");
    Ok(())
}
