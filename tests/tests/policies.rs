//! Each policy of a group on the real kernel: traffic moves for its reason, and no packet is lost by it.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::lab::nva::Nva;
use tests::lab::process::wait_for;
use tests::lab::{self, AWS, Lab, OCI, Way, WireGuard, kernel};

const PATIENCE: Duration = Duration::from_secs(60);
/// Packets a second across: what two userspace tunnels carry on a busy machine.
const RATE: u32 = 1_000;
const FASTER: &str = "delay 2ms";
const SLOWER: &str = "delay 25ms";

/// A lab with everything up and traffic on internet A, in which both routers choose by `group`: the
/// keys of their group.
fn running(test: &str, group: &str) -> Result<(String, Lab)> {
    let name = format!("sb{}{test}", std::process::id());
    let mut lab = Lab::build(&name, WireGuard::default())?;
    lab.internet(Way::A).tell(FASTER)?;
    lab.internet(Way::B).tell(SLOWER)?;
    for nva in [&lab.aws, &lab.oci] {
        change(nva, |file| with_group(file, group))?;
    }
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    for site in [&AWS, &OCI] {
        wait_for("ping across", PATIENCE, || lab.ping(site))?;
    }
    Ok((name, lab))
}

fn finish(name: &str, lab: Lab) -> Result<()> {
    drop(lab);
    lab::ensure_gone(name)
}

fn change(nva: &Nva, change: impl FnOnce(&str) -> String) -> Result<()> {
    let file = fs::read_to_string(nva.config())?;
    Ok(fs::write(nva.config(), change(&file))?)
}

fn with_group(file: &str, keys: &str) -> String {
    let (before, rest) = file.split_once("policy = ").expect("the file has a policy");
    let (_, after) = rest.split_once("\n\n").expect("the group ends");
    format!("{before}{keys}\n\n{after}")
}

/// Adds keys to a link of both ways.
fn with_links(file: &str, keys: [&str; 2]) -> String {
    Way::ALL
        .iter()
        .zip(keys)
        .fold(file.to_owned(), |file, (way, keys)| {
            let head = format!("[link.{}]\n", way.link());
            file.replacen(&head, &format!("{head}{keys}\n"), 1)
        })
}

/// Changes the files of both routers, and has them read.
fn reload(lab: &mut Lab, how: impl Fn(&str) -> String) -> Result<()> {
    for nva in [&mut lab.aws, &mut lab.oci] {
        change(nva, &how)?;
        nva.process()?.signal(Signal::HUP)?;
    }
    Ok(())
}

/// How often the left router's traffic has moved for a reason.
fn moves(lab: &Lab, reason: &str) -> Result<u64> {
    let metrics = lab.aws.metrics()?;
    let label = format!("reason=\"{reason}\"");
    let mut lines = metrics.lines().filter(|line| {
        line.starts_with("skybridge_group_failovers_total{") && line.contains(&label)
    });
    let Some(line) = lines.next() else {
        return Ok(0);
    };
    let count = line.rsplit(' ').next().context("no value")?;
    Ok(count.parse::<f64>()? as u64)
}

/// Traffic goes to `way` once `cause` has happened, for that reason and without a loss.
fn moves_to(
    lab: &mut Lab,
    way: Way,
    reason: &str,
    cause: impl FnOnce(&mut Lab) -> Result<()>,
) -> Result<()> {
    let before = moves(lab, reason)?;
    let flow = lab.flow(RATE)?;
    thread::sleep(Duration::from_millis(300));
    cause(lab)?;
    lab.wait_for_active(way, PATIENCE)?;
    thread::sleep(Duration::from_millis(300));
    let report = flow.finish()?;
    let said = lab.aws.cli(&["show", "groups"])?;
    ensure!(
        moves(lab, reason)? == before + 1,
        "not for {reason}: {said}"
    );
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );
    lab.wait_for_routes(way, PATIENCE)
}

#[test]
fn the_shorter_rtt_takes_the_traffic_when_it_has_been_shorter_for_long_enough() -> Result<()> {
    let group = "policy = \"latency\"\nmargin = \"5ms\"\nhold-down = \"2s\"";
    let (name, mut lab) = running("l", group)?;
    moves_to(&mut lab, Way::B, "latency", |lab| {
        lab.internet(Way::A).tell("delay 60ms").map(drop)
    })?;
    let events = lab.aws.cli(&["watch", "--history", "--no-follow"])?;
    let mut told = events.lines().filter(|line| line.contains("traffic moved"));
    let in_numbers = |line: &str| line.contains("(rtt ") && line.contains(" ms against ");
    ensure!(told.any(in_numbers), "{events}");
    finish(&name, lab)
}

#[test]
fn a_link_that_is_to_be_emptied_is_empty_without_a_loss_and_comes_back() -> Result<()> {
    let (name, mut lab) = running("d", "policy = \"priority\"\nhold-down = \"2s\"")?;
    moves_to(&mut lab, Way::B, "draining", |lab| {
        reload(lab, |file| with_links(file, ["drain = true", ""]))
    })?;
    lab.wait_for_sessions(PATIENCE)?;
    let groups = lab.aws.cli(&["show", "groups"])?;
    ensure!(groups.contains("draining"), "{groups}");
    moves_to(&mut lab, Way::A, "priority", |lab| {
        reload(lab, |file| file.replace("drain = true\n", ""))
    })?;
    finish(&name, lab)
}

#[test]
fn the_cheaper_link_takes_the_traffic_and_what_it_sends_is_billed() -> Result<()> {
    let (name, mut lab) = running("c", "policy = \"priority\"\nhold-down = \"2s\"")?;
    moves_to(&mut lab, Way::B, "reconfigured", |lab| {
        reload(lab, |file| {
            let file = with_group(file, "policy = \"cost\"\nhold-down = \"2s\"");
            with_links(&file, ["cost = 90.0", "cost = 20"])
        })
    })?;
    let dollars = |lab: &Lab, way: Way| -> Result<f64> {
        let metrics = lab.aws.metrics()?;
        let name = format!(
            "skybridge_link_cost_dollars_total{{link=\"{}\"}} ",
            way.link()
        );
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(&name));
        Ok(lines.next().context("no series")?.parse()?)
    };
    let flow = lab.flow(RATE)?;
    wait_for("the traffic is billed", PATIENCE, || {
        let [dear, cheap] = [dollars(&lab, Way::A)?, dollars(&lab, Way::B)?];
        ensure!(cheap > dear, "${cheap} and ${dear}");
        Ok(())
    })?;
    flow.finish()?;
    println!("{}", lab.aws.cli(&["show", "groups"])?);
    finish(&name, lab)
}

#[test]
fn a_lossy_link_is_left_for_one_that_loses_less() -> Result<()> {
    let group = "policy = \"loss\"\nmargin = \"1%\"\nhold-down = \"2s\"";
    let (name, mut lab) = running("o", group)?;
    lab.internet(Way::A).tell("loss 10%")?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    // That it is degraded or down for a moment may come first on a busy machine.
    wait_for("a move because of loss", PATIENCE, || {
        let said = lab.aws.cli(&["show", "groups"])?;
        ensure!(moves(&lab, "loss")? > 0, "{said}");
        Ok(())
    })?;
    println!("{}", lab.aws.cli(&["show", "groups"])?);
    finish(&name, lab)
}

#[test]
fn balanced_links_share_flows_by_weight_and_a_dead_one_leaves_for_one_message() -> Result<()> {
    let (name, mut lab) = running("b", "policy = \"priority\"\nhold-down = \"2s\"")?;
    let namespace = lab.aws.namespace().clone();
    // Flows that differ in their ports alone.
    namespace.sysctl("net.ipv4.fib_multipath_hash_policy", "1")?;
    let flow = lab.flow(RATE)?;
    reload(&mut lab, |file| {
        let file = with_group(file, "policy = \"balance\"\nhold-down = \"2s\"");
        with_links(&file, ["weight = 3", "weight = 1"])
    })?;
    wait_for("a kernel group with both links", PATIENCE, || {
        let shares = shares(&lab)?;
        ensure!(shares == [3, 1], "{shares:?}");
        Ok(())
    })?;
    thread::sleep(Duration::from_millis(300));
    let report = flow.finish()?;
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );

    let before = sent(&lab)?;
    let to = OCI.host;
    let many = format!("for i in $(seq 2000); do echo x > /dev/udp/{to}/9; done");
    lab.host(&AWS).run("bash", &["-c", &many])?;
    thread::sleep(Duration::from_millis(500));
    let after = sent(&lab)?;
    let [a, b] = [after[0] - before[0], after[1] - before[1]];
    let share = a as f64 / (a + b) as f64;
    println!(
        "{a} packets over {}, {b} over {}: {share:.2}",
        Way::A.link(),
        Way::B.link()
    );
    ensure!(
        (0.65..0.85).contains(&share),
        "{share:.2} of the flows, not 0.75"
    );

    lab.internet(Way::A).cut()?;
    wait_for("only the live link in the kernel's group", PATIENCE, || {
        let shares = shares(&lab)?;
        ensure!(shares == [0, 1], "{shares:?}");
        Ok(())
    })?;
    lab.internet(Way::A).restore()?;
    wait_for("both again", PATIENCE, || {
        let shares = shares(&lab)?;
        ensure!(shares == [3, 1], "{shares:?}");
        Ok(())
    })?;
    finish(&name, lab)
}

/// Weights of both links in the group of the left router that leads to the other site; 0 for one that
/// is not in it.
fn shares(lab: &Lab) -> Result<[u64; 2]> {
    let namespace = lab.aws.namespace();
    let nexthops = kernel::nexthops(namespace)?;
    let device = |member: &Value| nexthops.get(&member["id"].as_u64()?)?["dev"].as_str();
    let groups = nexthops
        .values()
        .filter_map(|nexthop| nexthop["group"].as_array());
    let mut best = [0, 0];
    for members in groups {
        for (way, best) in Way::ALL.iter().zip(&mut best) {
            let is_its = |member: &&Value| device(member) == Some(&way.interface());
            if let Some(member) = members.iter().find(is_its) {
                // The kernel shows no weight where it is 1.
                *best = member["weight"].as_u64().unwrap_or(1);
            }
        }
    }
    Ok(best)
}

/// Packets that the left router has sent over each link.
fn sent(lab: &Lab) -> Result<[u64; 2]> {
    let read = |way: Way| -> Result<u64> {
        let words = format!("-s -j link show dev {}", way.interface());
        let said: Value = serde_json::from_str(&lab.aws.namespace().ip(&words)?)?;
        let packets = said[0]["stats64"]["tx"]["packets"].as_u64();
        packets.context("no counter")
    };
    Ok([read(Way::A)?, read(Way::B)?])
}
