//! An aggregate on the real kernel: packets for the part of it that nobody has are dropped, and not sent back.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rustix::process::Signal;
use tests::lab::gateway::Bird;
use tests::lab::kernel::{self, SKYBRIDGE};
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);

const AGGREGATES: [&str; 2] = ["203.0.112.0/22", "2001:db8:1::/48"];
/// In the aggregates, and in no part of them that is announced to us.
const NOBODYS: [&str; 2] = ["203.0.112.1", "2001:db8:1::1"];
const SOMEBODYS: [&str; 2] = ["203.0.113.1", "2001:db8:1:8000::1"];

const ROUTER: &str = "
[router]
name = \"aggregates\"
asn = 65010
id = \"10.1.1.1\"
listen = [\"0.0.0.0:179\", \"[::]:179\"]

[peer.far]
address = \"10.1.1.2\"
asn = 64512
import = \"all\"
export = \"all\"

[peer.far-6]
address = \"fd00:1::2\"
asn = 64512
import = \"all\"
export = \"all\"

[[aggregate]]
prefix = \"203.0.112.0/22\"

[[aggregate]]
prefix = \"2001:db8:1::/48\"

[[filter.all]]
action = \"accept\"
";

/// It has the parts, and follows the aggregates.
const FAR: &str = "log stderr all;
router id 10.1.1.2;
protocol device { scan time 10; }
protocol static cloud { ipv4; route 203.0.113.0/25 unreachable; }
protocol static cloud6 { ipv6; route 2001:db8:1:8000::/49 unreachable; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
template bgp near {
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
}
protocol bgp nva from near {
  local 10.1.1.2 as 64512;
  neighbor 10.1.1.1 as 65010;
  ipv4 { import all; export where source = RTS_STATIC; };
}
protocol bgp nva6 from near {
  local fd00:1::2 as 64512;
  neighbor fd00:1::1 as 65010;
  ipv6 { import all; export where source = RTS_STATIC; };
}
";

/// A router, a far end that announces parts of its aggregates and is its default route, and a user behind that.
struct Lab {
    near: Namespace,
    far: Namespace,
    user: Namespace,
    bird: Bird,
    nva: Nva,
    binaries: Binaries,
    /// Last: it ends what the others run in.
    _scratch: Scratch,
}

impl Lab {
    fn start(test: &str, router: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
        let user = scratch.namespace("user")?;
        join([&near, &far], "eth-a", 1)?;
        join([&user, &far], "eth-b", 2)?;
        for namespace in [&near, &far] {
            namespace.sysctl("net.ipv4.ip_forward", "1")?;
            namespace.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
            namespace.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        }
        for (namespace, number) in [(&near, 1), (&user, 2)] {
            namespace.ip(&format!("route add default via 10.1.{number}.2"))?;
            namespace.ip(&format!("-6 route add default via fd00:{number}::2"))?;
        }
        let bird = Bird::launch(&far, &scratch.directory().join("bird"), FAR)?;
        let binaries = Binaries::find()?;
        let nva = Nva::new(&near, &scratch.directory().join("nva"), &binaries)?;
        nva.configure(router)?;
        let mut lab = Self {
            near,
            far,
            user,
            bird,
            nva,
            binaries,
            _scratch: scratch,
        };
        lab.nva.start()?;
        Ok(lab)
    }

    /// The routes of ours that discard, of both families.
    fn discards(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for family in ["-4", "-6"] {
            let question =
                format!("{family} route show table all type blackhole proto {SKYBRIDGE}");
            let said = self.near.ip(&question)?;
            // blackhole 203.0.112.0/22 metric 4294967295
            let prefixes = said.lines().filter_map(|line| line.split(' ').nth(1));
            found.extend(prefixes.map(str::to_owned));
        }
        Ok(found)
    }

    fn wait_for_discards(&self, wanted: &[&str]) -> Result<()> {
        wait_for(&format!("{wanted:?} to discard"), PATIENCE, || {
            let found = self.discards()?;
            ensure!(found == wanted, "{found:?}");
            Ok(())
        })
    }

    /// What the far end is told and forwards by.
    fn wait_for_told(&self, prefixes: &[&str]) -> Result<()> {
        for prefix in prefixes {
            wait_for(&format!("{prefix} at the far end"), PATIENCE, || {
                let family = if prefix.contains(':') { "-6" } else { "-4" };
                let route = self.far.ip(&format!("{family} route show {prefix}"))?;
                ensure!(route.contains("eth-a"), "it has {route:?}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What the user hears of a packet to `address`.
    fn ping(&self, address: &str) -> Result<String> {
        let words = ["-n", "-c", "1", "-W", "1", address];
        let output = self.user.command("ping").args(words).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn reconfigure(&self, router: &str) -> Result<()> {
        self.nva.configure(router)?;
        self.nva.cli(&["reload"]).map(drop)
    }

    fn restart(&mut self, meanwhile: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let process = self.nva.process()?;
        process.signal(Signal::KILL)?;
        process.wait(PATIENCE)?;
        meanwhile(self)?;
        let before = self.sweeps()?;
        self.nva.start()?;
        wait_for("what is left to be removed", PATIENCE, || {
            ensure!(self.sweeps()? > before, "not yet");
            Ok(())
        })
    }

    /// How often, in all its lives, the daemon has begun to remove what nobody has asked for.
    fn sweeps(&self) -> Result<usize> {
        let log = std::fs::read_to_string(self.nva.log())?;
        Ok(log.matches("removing leftovers").count())
    }
}

/// A cable with both families: the first end is 1, the second 2.
fn join(ends: [&Namespace; 2], interface: &str, number: u8) -> Result<()> {
    let addresses = [1, 2].map(|end| format!("10.1.{number}.{end}/24"));
    let end = |place: usize| End {
        namespace: ends[place],
        interface,
        address: &addresses[place],
    };
    cable(end(0), end(1))?;
    for (namespace, end) in ends.into_iter().zip([1, 2]) {
        let address = format!("fd00:{number}::{end}/64");
        namespace.ip(&format!("addr add {address} dev {interface} nodad"))?;
    }
    Ok(())
}

fn untouched() -> String {
    ROUTER
        .replace("/22\"", "/22\"\ndiscard = false")
        .replace("/48\"", "/48\"\ndiscard = false")
}

#[test]
fn packets_that_an_aggregate_attracts_and_nothing_takes_do_not_loop() -> Result<()> {
    let lab = Lab::start("agl", &untouched())?;
    lab.wait_for_told(&AGGREGATES)?;
    for address in NOBODYS {
        let said = lab.ping(address)?;
        ensure!(said.contains("exceeded"), "no loop to prevent: {said}");
    }
    lab.reconfigure(ROUTER)?;
    lab.wait_for_discards(&AGGREGATES)?;
    for address in NOBODYS {
        let said = lab.ping(address)?;
        let is_dropped = said.contains("100% packet loss") && !said.contains("exceeded");
        ensure!(is_dropped, "{said}");
        let Err(route) = lab.near.ip(&format!("route get {address}")) else {
            bail!("there is a route to {address}");
        };
        ensure!(route.to_string().contains("Invalid argument"), "{route}");
    }
    for address in SOMEBODYS {
        let route = lab.near.ip(&format!("route get {address}"))?;
        ensure!(route.contains("dev eth-a"), "{route}");
    }
    lab.reconfigure(&untouched())?;
    lab.wait_for_discards(&[])
}

#[test]
fn a_route_that_discards_follows_its_aggregate_and_is_shown_and_counted() -> Result<()> {
    let lab = Lab::start(
        "agf",
        &ROUTER.replace("/22\"", "/22\"\nsummary-only = true"),
    )?;
    lab.wait_for_discards(&AGGREGATES)?;
    lab.wait_for_told(&AGGREGATES)?;

    let text = lab.nva.cli(&["show", "routes", AGGREGATES[0]])?;
    ensure!(
        text.contains("is discarded") && !text.contains("does not have"),
        "{text}"
    );
    let json = lab.nva.cli(&["show", "routes", AGGREGATES[0], "--json"])?;
    let is_said = json.contains("\"installed\":true") && json.contains("\"discards\":true");
    ensure!(is_said, "{json}");
    wait_for("all routes to be counted", PATIENCE, || {
        let metrics = lab.nva.metrics()?;
        for line in [
            "skybridge_fib_routes{} 4",
            "skybridge_fib_pending_routes{} 0",
        ] {
            ensure!(
                metrics.lines().any(|it| it == line),
                "no {line:?}: {metrics}"
            );
        }
        Ok(())
    })?;

    lab.bird.birdc("disable cloud")?;
    lab.wait_for_discards(&AGGREGATES[1..])?;
    lab.bird.birdc("enable cloud")?;
    lab.wait_for_discards(&AGGREGATES)?;
    lab.bird.birdc("disable cloud6")?;
    lab.wait_for_discards(&AGGREGATES[..1])
}

#[test]
fn what_others_do_to_routes_that_discard_is_put_right_and_theirs_come_first() -> Result<()> {
    let lab = Lab::start("ago", ROUTER)?;
    lab.wait_for_discards(&AGGREGATES)?;
    for aggregate in AGGREGATES {
        lab.near.ip(&format!(
            "route del blackhole {aggregate} proto {SKYBRIDGE}"
        ))?;
    }
    lab.wait_for_discards(&AGGREGATES)?;
    let gateways = ["10.1.1.2", "fd00:1::2"];
    for ((aggregate, gateway), nobodys) in AGGREGATES.iter().zip(gateways).zip(NOBODYS) {
        // As a network of the kernel's own has it, or a lease.
        lab.near
            .ip(&format!("route add {aggregate} via {gateway} metric 1024"))?;
        let route = lab.near.ip(&format!("route get {nobodys}"))?;
        ensure!(route.contains(&format!("via {gateway}")), "{route}");
        lab.near
            .ip(&format!("route del {aggregate} via {gateway} metric 1024"))?;
        lab.near
            .ip(&format!("route get {nobodys}"))
            .map_or(Ok(()), |route| bail!("it is not discarded: {route}"))?;
    }
    Ok(())
}

#[test]
fn routes_that_discard_outlive_the_daemon_and_go_with_what_nobody_wants() -> Result<()> {
    let mut lab = Lab::start("agr", ROUTER)?;
    lab.wait_for_discards(&AGGREGATES)?;
    let monitor = kernel::Monitor::start(&lab.near, &lab.nva.log().with_extension("monitor"))?;
    lab.restart(|lab| lab.wait_for_discards(&AGGREGATES))?;
    lab.wait_for_discards(&AGGREGATES)?;
    let messages = monitor.route_messages();
    ensure!(
        messages.is_empty(),
        "a restart changes nothing: {messages:?}"
    );

    lab.restart(|lab| {
        lab.bird.birdc("disable cloud")?;
        lab.wait_for_discards(&AGGREGATES)
    })?;
    lab.wait_for_discards(&AGGREGATES[1..])?;

    let process = lab.nva.process()?;
    process.signal(Signal::KILL)?;
    process.wait(PATIENCE)?;
    let daemon = lab.binaries.daemon.to_string_lossy();
    lab.near.run(&daemon, &["flush"])?;
    lab.wait_for_discards(&[])?;
    let left = kernel::routes(&lab.near, SKYBRIDGE)?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
