//! Drills that delay a link, on the real kernel: the delay is there, it moves traffic, and it ends by itself.
//!
//! Needs root and `cargo build --workspace --bins`. A kernel without `sch_netem` can only refuse; `./dev vm` has one
//! with it.
#![expect(clippy::print_stdout, reason = "a test says what it could not try")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::LinkState;
use rustix::process::Signal;
use serde_json::Value;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);
/// What the drills delay by, milliseconds.
const BY: f64 = 200.0;

/// Two routers with two cables between them, of which both take the first while it is fast.
struct Cables {
    near: Nva,
    far: Nva,
    _scratch: Scratch,
}

impl Cables {
    /// Both links are up, and the route to what is behind the far one goes by the first.
    fn start(test: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let ends = [scratch.namespace("near")?, scratch.namespace("far")?];
        for (link, interface) in ["first", "second"].iter().enumerate() {
            let address = |side: usize| format!("10.99.{link}.{}/30", side + 1);
            let (near, far) = (address(0), address(1));
            let end = |side: usize, address| End {
                namespace: &ends[side],
                interface,
                address,
            };
            cable(end(0, &near), end(1, &far))?;
        }
        ends[1].ip("addr add 10.2.0.1/16 dev lo")?;
        let binaries = Binaries::find()?;
        let start = |side: usize| -> Result<Nva> {
            let directory = scratch.directory().join(ends[side].name());
            let mut router = Nva::new(&ends[side], &directory, &binaries)?;
            router.configure(&intent(side))?;
            router.start()?;
            Ok(router)
        };
        let mut cables = Self {
            near: start(0)?,
            far: start(1)?,
            _scratch: scratch,
        };
        cables.wait_for("first")?;
        Ok(cables)
    }

    /// Until the kernel sends by this link, both of which are up.
    fn wait_for(&mut self, link: &str) -> Result<()> {
        wait_for(&format!("traffic over {link}"), PATIENCE, || {
            self.near.check_alive()?;
            self.far.check_alive()?;
            let links = self.near.links()?;
            let up = |it: &api::v1::Link| it.state() == LinkState::Up;
            ensure!(links.iter().all(up), "{links:?}");
            let route = self.near.namespace().ip("route get 10.2.0.1")?;
            ensure!(route.contains(&format!("dev {link} ")), "{route}");
            Ok(())
        })
    }

    fn queue(&self) -> Result<String> {
        let near = self.near.namespace();
        near.run("tc", &["qdisc", "show", "dev", "first"])
    }

    /// What a packet of somebody else needs over the first cable, milliseconds.
    fn ping(&self) -> Result<f64> {
        let near = self.near.namespace();
        let said = near.run("ping", &["-n", "-c", "1", "-W", "2", "10.99.0.2"])?;
        let (_, rest) = said.split_once("time=").context("no answer")?;
        let (time, _) = rest.split_once(' ').context("no unit")?;
        Ok(time.parse()?)
    }

    fn drill(&self, lasts: &str) -> Result<Command> {
        let question = self.near.question();
        let mut question = question.split(' ');
        let program = question.next().context("a program")?;
        let mut command = Command::new(program);
        command.args(question).args(["--json", "drill", "delay"]);
        command.args(["first", "--by", "200ms", "--for", lasts]);
        Ok(command)
    }
}

/// - `side`: 0 near, 1 far
fn intent(side: usize) -> String {
    let mut text = format!(
        "[router]\nname = \"r{side}\"\nasn = 6501{side}\nid = \"10.0.0.{}\"\n\
         [group.other]\nslo = {{ rtt = \"100ms\" }}\nhold-down = \"1s\"\n\
         [[filter.all]]\naction = \"accept\"\n",
        side + 1
    );
    if side == 1 {
        text.push_str("[originate]\nprefixes = [\"10.2.0.0/16\"]\n");
    }
    for (number, link) in ["first", "second"].iter().enumerate() {
        let address = |side: usize| format!("10.99.{number}.{}", side + 1);
        text.push_str(&format!(
            "[link.{link}]\ninterface = \"{link}\"\ngroup = \"other\"\npriority = {}\n\
             inside = {{ local = \"{}/30\", remote = \"{}\" }}\n\
             probe = {{ method = \"stamp\", interval = \"100ms\", window = \"2s\", down-after = 20 }}\n\
             bgp = {{ asn = 6501{}, connect-retry = \"1s\", import = \"all\", export = \"all\" }}\n",
            10 * (number + 1),
            address(side),
            address(1 - side),
            1 - side,
        ));
    }
    text
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
    let mut cables = Cables::start("dl")?;
    let before = cables.queue()?;
    let drill = cables.drill("20s")?.output();
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
    ensure!(cables.queue()? == before, "{}", cables.queue()?);
    let left = rules(cables.near.namespace())?;
    ensure!(!left.contains("skybridge-drill"), "{left}");
    Ok(())
}

#[test]
fn a_delay_ends_though_the_daemon_dies_and_the_next_start_clears_it_away() -> Result<()> {
    if !can_delay()? {
        return Ok(());
    }
    let mut cables = Cables::start("dk")?;
    let mut drill = cables.drill("300s")?.spawn()?;
    wait_for("the delay", PATIENCE, || {
        let took = cables.ping()?;
        ensure!(took >= BY, "{took} ms");
        Ok(())
    })?;
    ensure!(
        cables.queue()?.contains("netem 5b01:"),
        "{}",
        cables.queue()?
    );
    cables.near.process()?.signal(Signal::KILL)?;
    drill.wait()?;
    wait_for("the end of the lease", PATIENCE, || {
        let took = cables.ping()?;
        ensure!(took < BY, "{took} ms");
        Ok(())
    })?;
    // The queue is there, and holds nothing up.
    ensure!(
        cables.queue()?.contains("netem 5b01:"),
        "{}",
        cables.queue()?
    );
    cables.near.start()?;
    cables.wait_for("first")?;
    ensure!(!cables.queue()?.contains("5b00:"), "{}", cables.queue()?);
    Ok(())
}

#[test]
fn a_queue_of_somebody_else_is_left_alone() -> Result<()> {
    let cables = Cables::start("dq")?;
    let near = cables.near.namespace();
    near.run(
        "tc",
        &[
            "qdisc", "add", "dev", "first", "root", "handle", "7:", "pfifo",
        ],
    )?;
    let before = cables.queue()?;
    let output = cables.drill("2s")?.output()?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        why.contains("first has a queue that somebody has set up"),
        "{why}"
    );
    ensure!(cables.queue()? == before, "{}", cables.queue()?);
    let left = rules(near)?;
    ensure!(!left.contains("skybridge-drill"), "{left}");
    Ok(())
}

#[test]
fn a_kernel_that_cannot_delay_says_so_and_changes_nothing() -> Result<()> {
    if can_delay()? {
        return Ok(());
    }
    let cables = Cables::start("dn")?;
    let before = cables.queue()?;
    let output = cables.drill("2s")?.output()?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        why.contains("this kernel cannot delay packets: it has no sch_"),
        "{why}"
    );
    ensure!(cables.queue()? == before, "{}", cables.queue()?);
    let events = cables.near.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(!events.contains("drill"), "{events}");
    Ok(())
}
