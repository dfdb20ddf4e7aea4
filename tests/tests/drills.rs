//! Failover exercises and drains on the real kernel: what is reported, what is refused, and that nothing is left.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::lab::kernel;
use tests::lab::process::wait_for;
use tests::lab::{self, AWS, Lab, Way, WireGuard};

const PATIENCE: Duration = Duration::from_secs(30);
const RATE: u32 = 1_000;

/// A lab with everything up and traffic on internet A.
fn running(test: &str) -> Result<(String, Lab)> {
    let name = format!("sb{}{test}", std::process::id());
    let mut lab = Lab::build(&name, WireGuard::Userspace)?;
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    wait_for("ping across", PATIENCE, || lab.ping(&AWS))?;
    Ok((name, lab))
}

fn finish(name: &str, lab: Lab) -> Result<()> {
    drop(lab);
    lab::ensure_gone(name)
}

/// `skybridge drill`, running.
fn drill(lab: &Lab, words: &[&str]) -> Result<Child> {
    let question = lab.aws.question();
    let mut question = question.split(' ');
    let program = question.next().context("a program")?;
    Ok(Command::new(program)
        .args(question)
        .args(["--json", "drill"])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?)
}

/// Its report, when it has ended.
fn report(child: Child) -> Result<Value> {
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    let last = said
        .lines()
        .last()
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stderr)))?;
    let event: Value = serde_json::from_str(last)?;
    event
        .get("report")
        .cloned()
        .context("the last line is no report")
}

fn seconds(report: &Value, field: &str) -> Result<f64> {
    report[field]
        .as_f64()
        .with_context(|| format!("no {field} in {report}"))
}

/// Until the drilled router's kernel sends what goes across that way.
fn wait_for_routes(lab: &Lab, way: Way) -> Result<()> {
    let here = lab.aws.namespace().name();
    wait_for("routes", PATIENCE, || {
        for (namespace, protocol, wanted) in lab.intended_routes(way) {
            if namespace.name() == here {
                let found = kernel::routes(&namespace, protocol)?;
                ensure!(found == wanted, "{found:?}, should be {wanted:?}");
            }
        }
        Ok(())
    })
}

fn tables(lab: &Lab) -> Result<String> {
    lab.aws.namespace().run("nft", &["list", "tables"])
}

#[test]
fn a_failed_link_is_left_reported_and_taken_back() -> Result<()> {
    let (name, mut lab) = running("d")?;
    let flow = lab.flow(RATE)?;
    let child = drill(&lab, &["fail", "wg-a", "--for", "3s"])?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    let metrics = lab.aws.metrics()?;
    ensure!(
        metrics.contains("skybridge_link_drill{link=\"wg-a\"} 1"),
        "{metrics}"
    );
    let links = lab.aws.cli(&["show", "links"])?;
    ensure!(links.contains("wg-a is failed on purpose until"), "{links}");
    let report = report(child)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    let flow = flow.finish()?;
    ensure!(
        report["completed"] == true && report["was_active"] == true,
        "{report}"
    );
    let (detected, switched) = (
        seconds(&report, "detected_in")?,
        seconds(&report, "switched_in")?,
    );
    ensure!(detected <= switched && switched < 3.0, "{report}");
    ensure!(seconds(&report, "returned_in")? > 0.0, "{report}");
    // What the flow has missed, the drill has counted, but for what the far end's own drop of the link cost.
    let lost = report["lost_transmit_packets"]
        .as_u64()
        .context("a count")?;
    ensure!(
        lost > 0 && flow.lost() as u64 >= lost,
        "{} lost, {report}",
        flow.lost()
    );
    ensure!(
        !tables(&lab)?.contains("skybridge-drill"),
        "the rules are still there"
    );
    finish(&name, lab)
}

#[test]
fn a_withdrawal_moves_traffic_without_losing_any() -> Result<()> {
    let (name, lab) = running("w")?;
    let flow = lab.flow(RATE)?;
    let child = drill(&lab, &["withdraw", "wg-a", "--for", "2s"])?;
    wait_for_routes(&lab, Way::B)?;
    let report = report(child)?;
    wait_for_routes(&lab, Way::A)?;
    ensure!(report["completed"] == true, "{report}");
    let flow = flow.finish()?;
    ensure!(flow.lost() == 0, "{} of {} lost", flow.lost(), flow.sent());
    finish(&name, lab)
}

#[test]
fn a_drill_that_would_be_an_outage_is_refused_and_one_that_becomes_it_ends() -> Result<()> {
    let (name, mut lab) = running("o")?;
    let child = drill(&lab, &["fail", "wg-a", "--for", "60s"])?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    let second = drill(&lab, &["fail", "wg-b", "--for", "2s"])?.wait_with_output()?;
    ensure!(second.status.code() == Some(1), "{second:?}");
    ensure!(
        String::from_utf8_lossy(&second.stderr).contains("another drill is under way"),
        "{second:?}"
    );
    lab.internet(Way::B).cut()?;
    let ended = report(child)?;
    ensure!(ended["completed"] == false, "{ended}");
    lab.wait_for_active(Way::A, PATIENCE)?;
    let alone = drill(&lab, &["fail", "wg-a", "--for", "2s"])?.wait_with_output()?;
    ensure!(
        String::from_utf8_lossy(&alone.stderr).contains("no other link of its group is usable"),
        "{alone:?}"
    );
    finish(&name, lab)
}

#[test]
fn a_drill_ends_with_whoever_asked_for_it_and_with_the_daemon() -> Result<()> {
    let (name, mut lab) = running("e")?;
    let mut child = drill(&lab, &["fail", "wg-a", "--for", "300s"])?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    child.kill()?;
    child.wait()?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    let mut child = drill(&lab, &["fail", "wg-a", "--for", "300s"])?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    lab.aws.process()?.signal(Signal::KILL)?;
    child.wait()?;
    // The kernel itself forgets the fault; what is left is the empty shell of the rules.
    wait_for("the end of the lease", PATIENCE, || {
        let set = lab
            .aws
            .namespace()
            .run("nft", &["list", "set", "inet", "skybridge-drill", "links"])?;
        ensure!(!set.contains("sb-wg-a"), "{set}");
        Ok(())
    })?;
    lab.aws.start()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    thread::sleep(Duration::from_millis(100));
    ensure!(
        !tables(&lab)?.contains("skybridge-drill"),
        "the rules are still there"
    );
    finish(&name, lab)
}

#[test]
fn a_drained_link_is_empty_without_a_packet_lost_and_comes_back_the_same_way() -> Result<()> {
    let (name, mut lab) = running("g")?;
    let flow = lab.flow(RATE)?;
    // The far side learns of it by what it is told; here both ends are asked, as an operator of both would.
    lab.oci.cli(&["drain", "wg-a", "--timeout", "0s"]).ok();
    let said = lab.aws.cli(&["drain", "wg-a"])?;
    ensure!(
        said.contains("empty: nothing passes over it any more"),
        "{said}"
    );
    lab.wait_for_active(Way::B, PATIENCE)?;
    let links = lab.aws.cli(&["show", "links"])?;
    ensure!(links.contains("draining"), "{links}");
    lab.wait_for_sessions(PATIENCE)?;
    let said = lab.oci.cli(&["undrain", "wg-a"])?;
    println!("{said}");
    let said = lab.aws.cli(&["undrain", "wg-a"])?;
    ensure!(said.contains("it carries traffic"), "{said}");
    lab.wait_for_active(Way::A, PATIENCE)?;
    let report = flow.finish()?;
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );
    ensure!(
        !tables(&lab)?.contains("skybridge-meter"),
        "the counters are still there"
    );
    finish(&name, lab)
}

#[test]
fn a_drain_says_what_it_waits_for() -> Result<()> {
    let (name, lab) = running("q")?;
    let flow = lab.flow(RATE)?;
    lab.internet(Way::B).cut()?;
    wait_for("wg-b down", PATIENCE, || {
        let links = lab.aws.links()?;
        let down =
            |link: &api::v1::Link| link.name == "wg-b" && link.state() == api::v1::LinkState::Down;
        ensure!(links.iter().any(down), "{links:?}");
        Ok(())
    })?;
    let said = drill_word(&lab, &["drain", "wg-a", "--timeout", "1s"])?;
    ensure!(
        said.contains("no other link of its group is usable: traffic stays on it"),
        "{said}"
    );
    drop(lab.aws.cli(&["undrain", "wg-a", "--timeout", "0s"]));
    let report = flow.finish()?;
    ensure!(
        report.lost() == 0,
        "{} of {} lost",
        report.lost(),
        report.sent()
    );
    finish(&name, lab)
}

/// What a command prints that is to answer no.
fn drill_word(lab: &Lab, words: &[&str]) -> Result<String> {
    let question = lab.aws.question();
    let mut question = question.split(' ');
    let program = question.next().context("a program")?;
    let output = Command::new(program).args(question).args(words).output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}
