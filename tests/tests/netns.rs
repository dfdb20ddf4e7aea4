//! The real binaries on the real kernel, between FRR and BIRD, in namespaces.
//!
//! Needs root and `cargo build --workspace --bins`. `SKYBRIDGE_LAB_WIREGUARD=kernel` runs it all
//! over the kernel's WireGuard.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::v1::{Link, LinkState};
use rustix::process::Signal;
use tests::lab::kernel::{self, Monitor};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;
use tests::lab::{self, AWS, Lab, OCI, Way, WireGuard};

const PATIENCE: Duration = Duration::from_secs(30);
/// Three lost probes at 100 ms, plus what a loaded machine adds.
const FAILOVER: Duration = Duration::from_millis(1500);
/// Tunnel, session and routes from nothing, plus what a loaded machine adds.
const RESUMPTION: Duration = Duration::from_secs(5);

/// What the internets are like: enough to tell them apart, little enough not to slow the tests.
const INTERNETS: [(Way, &str); 2] = [(Way::A, "delay 1ms"), (Way::B, "delay 2ms")];

fn backend() -> WireGuard {
    match std::env::var("SKYBRIDGE_LAB_WIREGUARD").as_deref() {
        Ok("kernel") => WireGuard::Kernel,
        _ => WireGuard::Userspace,
    }
}

/// Packets a second: what an emulated machine carries without losing probes, where that is the one
/// with WireGuard.
fn rate() -> u32 {
    match backend() {
        WireGuard::Kernel => 100,
        WireGuard::Userspace => 1_000,
    }
}

/// A lab with everything up and traffic on internet A.
fn running(test: &str) -> Result<(String, Lab)> {
    let name = format!("sb{}{test}", std::process::id());
    let mut lab = Lab::build(&name, backend())?;
    for (way, line) in INTERNETS {
        lab.internet(way).tell(line)?;
    }
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    for site in [&AWS, &OCI] {
        wait_for("ping across", PATIENCE, || lab.ping(site))?;
    }
    Ok((name, lab))
}

fn finish(name: &str, lab: Lab) -> Result<()> {
    drop(lab);
    lab::ensure_gone(name)
}

#[test]
fn traffic_moves_to_the_other_internet_and_back() -> Result<()> {
    let (name, mut lab) = running("m")?;
    let monitor = Monitor::start(lab.aws.namespace(), &lab.directory().join("monitor.log"))?;
    let flow = lab.flow(rate())?;
    thread::sleep(Duration::from_millis(300));
    lab.internet(Way::A).cut()?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    thread::sleep(Duration::from_millis(300));
    let report = flow.finish()?;
    println!(
        "cut: still for {:?}, lost {} of {}",
        report.longest_gap(),
        report.lost(),
        report.sent()
    );
    ensure!(
        report.longest_gap() < FAILOVER,
        "traffic stood still for {:?}",
        report.longest_gap()
    );
    lab.wait_for_routes(Way::B, PATIENCE)?;

    // One group holds both links, whatever the number of routes on it.
    let (routes, nexthops) = (monitor.route_messages(), monitor.nexthop_messages());
    ensure!(
        routes.is_empty(),
        "a dead link touched routes: {routes:?}, nexthops: {nexthops:?}"
    );
    ensure!(
        (1..=2).contains(&nexthops.len()),
        "a dead link is one message per group: {nexthops:?}"
    );

    let flow = lab.flow(rate())?;
    lab.internet(Way::A).restore()?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    thread::sleep(Duration::from_millis(300));
    let report = flow.finish()?;
    ensure!(
        report.lost() == 0,
        "moving back lost {} of {}",
        report.lost(),
        report.sent()
    );
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    finish(&name, lab)
}

#[test]
fn death_of_the_idle_link_disturbs_nobody() -> Result<()> {
    let (name, mut lab) = running("i")?;
    let flow = lab.flow(rate())?;
    lab.internet(Way::B).cut()?;
    wait_for("link wg-b down", PATIENCE, || {
        let metrics = lab.aws.metrics()?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("skybridge_link_up{") && line.contains("\"wg-b\""))
            .context("no skybridge_link_up for wg-b")?;
        ensure!(line.ends_with(" 0"), "{line}");
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
    lab.wait_for_routes(Way::A, PATIENCE)?;
    lab.internet(Way::B).restore()?;
    lab.wait_for_sessions(PATIENCE)?;
    finish(&name, lab)
}

#[test]
fn slow_internet_is_left_until_it_has_recovered() -> Result<()> {
    let (name, mut lab) = running("s")?;
    let flow = lab.flow(rate())?;
    let slowed = Instant::now();
    lab.internet(Way::A).tell("delay 75ms")?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    let left = slowed.elapsed();
    for nva in [&lab.aws, &lab.oci] {
        let links = nva.links()?;
        let state = |way: Way| {
            let link = links.iter().find(|link| link.name == way.link());
            link.map(Link::state)
        };
        ensure!(
            (state(Way::A), state(Way::B)) == (Some(LinkState::Degraded), Some(LinkState::Up)),
            "{links:?}"
        );
    }

    let recovered = Instant::now();
    lab.internet(Way::A).tell("delay 1ms")?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    let report = flow.finish()?;
    println!(
        "left {left:?} after it became slow, back {:?} after it recovered, lost {} of {}",
        recovered.elapsed(),
        report.lost(),
        report.sent()
    );
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );
    lab.wait_for_routes(Way::A, PATIENCE)?;
    finish(&name, lab)
}

#[test]
fn killed_daemon_leaves_the_kernel_alone_and_takes_over() -> Result<()> {
    let (name, mut lab) = running("k")?;
    let namespace = lab.aws.namespace().clone();
    let before = (
        kernel::routes(&namespace, kernel::SKYBRIDGE)?,
        kernel::nexthops(&namespace)?,
    );
    let monitor = Monitor::start(&namespace, &lab.directory().join("monitor.log"))?;
    let flow = lab.flow(rate())?;
    thread::sleep(Duration::from_millis(300));

    lab.aws.process()?.kill()?;
    let killed = Instant::now();
    thread::sleep(Duration::from_millis(500));
    let after = (
        kernel::routes(&namespace, kernel::SKYBRIDGE)?,
        kernel::nexthops(&namespace)?,
    );
    ensure!(
        after == before,
        "the kernel changed with the daemon's death: {after:?}, was {before:?}"
    );
    for way in Way::ALL {
        namespace
            .ip(&format!("link show {}", way.interface()))
            .context("the tunnel's interface is gone")?;
    }

    let restarted = Instant::now();
    lab.aws.start()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    let settled = restarted.elapsed();
    wait_for("ping across", PATIENCE, || lab.ping(&AWS))?;
    let report = flow.finish()?;
    let resumed = report
        .first_answer_after(restarted)
        .context("traffic did not come back")?;
    println!(
        "dead for {:?}; first packet across {resumed:?} after the start, all as before {settled:?} \
         after it; still for {:?} in all, lost {} of {}",
        restarted.duration_since(killed),
        report.longest_gap(),
        report.lost(),
        report.sent()
    );
    ensure!(resumed < RESUMPTION, "resumed only after {resumed:?}");
    let messages = monitor.route_messages();
    let deleted: Vec<_> = messages
        .iter()
        .filter(|line| line.starts_with("Deleted"))
        .collect();
    ensure!(
        deleted.is_empty(),
        "taking over removed routes: {deleted:?}"
    );
    finish(&name, lab)
}

#[test]
fn reload_withdraws_exactly_what_the_filter_refuses() -> Result<()> {
    let (name, mut lab) = running("r")?;
    let (kept, refused) = (OCI.prefixes[0].to_owned(), OCI.prefixes[1]);
    let monitor = Monitor::start(lab.aws.namespace(), &lab.directory().join("monitor.log"))?;
    let mut intended = lab.intended_routes(Way::A);
    for (namespace, _, routes) in &mut intended {
        if namespace.name().ends_with("-aws") {
            routes
                .remove(refused)
                .context("the far prefix is on the AWS side before")?;
        }
    }
    lab.configure(&AWS, &[refused])?;
    lab.aws.process()?.signal(Signal::HUP)?;
    wait_for(
        "the refused prefix gone from the AWS side",
        PATIENCE,
        || {
            for (namespace, protocol, wanted) in &intended {
                let found = kernel::routes(namespace, protocol)?;
                ensure!(
                    found == *wanted,
                    "{}: {found:?}, should be {wanted:?}",
                    namespace.name()
                );
            }
            Ok(())
        },
    )?;
    let touched = monitor.route_messages();
    ensure!(
        touched.iter().all(|line| line.contains(refused)),
        "{kept} was touched: {touched:?}"
    );

    lab.configure(&AWS, &[])?;
    lab.aws.process()?.signal(Signal::HUP)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    ensure!(
        lab.aws
            .peers()?
            .iter()
            .all(|peer| peer.established_count == 1),
        "a filter reset a session"
    );
    finish(&name, lab)
}

#[test]
fn wrong_file_at_reload_changes_nothing() -> Result<()> {
    let (name, mut lab) = running("w")?;
    let revision = lab.aws.status()?.revision;
    let good = fs::read_to_string(lab.aws.config())?;
    fs::write(lab.aws.config(), good.replace("asn = 65010", "asn = 0"))?;
    lab.aws.process()?.signal(Signal::HUP)?;
    wait_for("an alarm about the file", PATIENCE, || {
        let alarms = lab.aws.status()?.alarms;
        ensure!(
            alarms.iter().any(|alarm| alarm.subject == "config"),
            "alarms: {alarms:?}"
        );
        Ok(())
    })?;
    ensure!(
        lab.aws.status()?.revision == revision,
        "a wrong file became a revision"
    );
    lab.wait_for_routes(Way::A, PATIENCE)?;
    ensure!(
        lab.aws
            .peers()?
            .iter()
            .all(|peer| peer.established_count == 1),
        "a wrong file reset a session"
    );

    fs::write(lab.aws.config(), good)?;
    lab.aws.process()?.signal(Signal::HUP)?;
    wait_for("no alarm about the file", PATIENCE, || {
        let alarms = lab.aws.status()?.alarms;
        ensure!(
            alarms.iter().all(|alarm| alarm.subject != "config"),
            "alarms: {alarms:?}"
        );
        Ok(())
    })?;
    finish(&name, lab)
}

#[test]
fn wrong_file_at_start_reports_every_error_and_leaves_nothing() -> Result<()> {
    let mut scratch = Scratch::new("s")?;
    let namespace = scratch.namespace("nva")?;
    let mut nva = Nva::new(&namespace, scratch.directory(), &Binaries::find()?)?;
    nva.configure(
        "[router]
name = \"wrong\"
asn = 0
id = \"10.0.0.1\"

[peer.nobody]
address = \"10.0.0.300\"
asn = 65001
",
    )?;
    nva.start()?;
    let status = nva.process()?.wait(Duration::from_secs(10))?;
    let said = nva.process()?.log();
    ensure!(status.code() == Some(1), "exit {status}: {said}");
    for (line, wrong) in [(9, "asn = 0"), (13, "10.0.0.300")] {
        ensure!(said.contains(wrong), "nothing about {wrong}: {said}");
        ensure!(
            said.contains(&format!("skybridge.toml:{line}:")),
            "no line {line}: {said}"
        );
    }
    ensure!(!nva.socket().exists(), "an API socket was made");
    let interfaces = namespace.ip("-o link show")?;
    ensure!(
        interfaces.lines().count() == 1,
        "more than loopback: {interfaces}"
    );
    ensure!(
        kernel::routes(&namespace, kernel::SKYBRIDGE)?.is_empty(),
        "routes were installed"
    );
    ensure!(namespace.pids()?.is_empty(), "processes are left");
    Ok(())
}
