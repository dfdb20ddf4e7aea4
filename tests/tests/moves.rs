//! No packet of 10,000 a second is lost when traffic moves though its link works: both ways, through the kernels of
//! the router and of FRR and BIRD.
//!
//! Needs root, FRR, BIRD, nft and `cargo build --workspace --bins`.
#![expect(clippy::print_stdout, reason = "what was lost is told for each move")]

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::lab::ways::{Way, Ways, Wish};

const RATE: u32 = 10_000;
/// Before and after a move.
const AROUND: Duration = Duration::from_millis(300);

/// Everything goes to `way`, both ways, once `cause` has happened.
fn moves_to(
    ways: &mut Ways,
    way: Way,
    what: &str,
    cause: impl FnOnce(&mut Ways) -> Result<()>,
) -> Result<()> {
    let flow = ways.flow(RATE)?;
    thread::sleep(AROUND);
    cause(ways)?;
    ways.wait_for(way)?;
    thread::sleep(AROUND);
    let report = flow.finish()?;
    let (lost, sent) = (report.lost(), report.sent());
    println!(
        "{what}: {lost} of {sent} lost, at most {} ms between two",
        report.longest_gap().as_millis()
    );
    ensure!(lost == 0, "{what}: {lost} of {sent} lost");
    Ok(())
}

fn reload(ways: &Ways) -> Result<()> {
    ways.router.cli(&["reload"]).map(drop)
}

fn for_both_clouds(ways: &Ways, words: &[&str], way: Way) -> Result<()> {
    for cloud in ["aws", "oci"] {
        let link = way.link(cloud);
        ways.router.cli(&[words, &[&link]].concat())?;
    }
    Ok(())
}

/// With `key = value` for the links of both clouds, and `policy` for their groups.
fn choose_by(ways: &Ways, policy: &str, keys: [&str; 2]) -> Result<()> {
    let file = std::fs::read_to_string(ways.router.config())?;
    let file = file.replace(
        "hold-down = \"1s\"\n",
        &format!("{policy}\nhold-down = \"1s\"\n"),
    );
    let file = [Way::First, Way::Second]
        .iter()
        .zip(keys)
        .flat_map(|(way, key)| ["aws", "oci"].map(|cloud| (way.link(cloud), key)))
        .fold(file, |file, (link, key)| {
            file.replacen(
                &format!("[link.{link}]\n"),
                &format!("[link.{link}]\n{key}\n"),
                1,
            )
        });
    std::fs::write(ways.router.config(), file)?;
    reload(ways)
}

fn drill(ways: &Ways, words: &[&str]) -> Result<Child> {
    let question = ways.router.question();
    let mut question = question.split(' ');
    let program = question.next().context("a program")?;
    Ok(Command::new(program)
        .args(question)
        .arg("drill")
        .args(words)
        .stdout(Stdio::null())
        .spawn()?)
}

#[test]
fn nothing_is_lost_by_another_order_by_drains_or_by_their_end() -> Result<()> {
    let mut ways = Ways::start("moves-o", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::Second, "another priority", |ways| {
        ways.prefer(Way::Second)?;
        reload(ways)
    })?;
    moves_to(&mut ways, Way::First, "drain", |ways| {
        for_both_clouds(ways, &["drain"], Way::Second)
    })?;
    moves_to(&mut ways, Way::Second, "undrain", |ways| {
        for_both_clouds(ways, &["undrain"], Way::Second)
    })?;
    moves_to(&mut ways, Way::First, "drain in the file", |ways| {
        ways.configure(Wish {
            drained: Some(Way::Second),
            ..Wish::first(Way::Second)
        })?;
        reload(ways)
    })?;
    moves_to(&mut ways, Way::Second, "and its end", |ways| {
        ways.prefer(Way::Second)?;
        reload(ways)
    })
}

#[test]
fn nothing_is_lost_by_moves_for_cost_and_for_loss() -> Result<()> {
    let mut ways = Ways::start("moves-p", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::Second, "cost", |ways| {
        choose_by(ways, "policy = \"cost\"", ["cost = 0.09", "cost = 0.02"])
    })?;
    ways.prefer(Way::First)?;
    choose_by(&ways, "policy = \"loss\"\nmargin = \"1%\"", ["", ""])?;
    moves_to(&mut ways, Way::First, "loss", |ways| {
        // Of probes alone: what users would lose is not what a move costs.
        for cloud in 0..2 {
            let link = Way::Second.link(["aws", "oci"][cloud]);
            let rule = format!(
                "table inet lossy {{ chain in {{ type filter hook input priority 0; \
                 iifname \"{link}\" icmp type echo-request numgen random mod 100 < 20 drop; }}; }}"
            );
            ways.cloud(cloud).run("nft", &[&rule])?;
        }
        Ok(())
    })
}

#[test]
fn nothing_is_lost_by_the_return_to_a_link_that_had_failed() -> Result<()> {
    let mut ways = Ways::start("moves-r", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.cut(Way::First)?;
    ways.wait_for_each([Way::Second, Way::First])?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::First, "the return", |ways| {
        ways.restore(Way::First)
    })?;
    // The other cloud's group has no reason to move.
    let mut child = drill(&ways, &["withdraw", "aws-1", "--for", "3s"])?;
    let flow = ways.flow(RATE)?;
    ways.wait_for_back([Way::First, Way::First])?;
    ensure!(child.wait()?.success(), "the drill");
    ways.wait_for(Way::First)?;
    thread::sleep(AROUND);
    let report = flow.finish()?;
    println!(
        "a drill that withdraws: {} of {} lost",
        report.lost(),
        report.sent()
    );
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );
    Ok(())
}
