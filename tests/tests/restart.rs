//! A router that restarts, between real programs: packets go on both ways.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tests::lab::flow::Flow;
use tests::lab::gateway::{Bird, Frr};
use tests::lab::kernel;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);
/// What a loaded machine adds to nothing at all.
const STILL: Duration = Duration::from_millis(250);
const PER_SECOND: u32 = 500;
/// Behind the router, and behind the gateway: each reaches the other by BGP alone.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

const ROUTER: &str = "
[router]
name = \"restart\"
asn = 65010
id = \"10.1.1.1\"
listen = [\"0.0.0.0:179\"]

[originate]
prefixes = [\"10.10.0.0/16\"]

[peer.gateway]
address = \"10.1.1.2\"
asn = 64512
import = \"all\"
export = \"all\"

[[filter.all]]
action = \"accept\"
";

const BIRD: &str = "log stderr all;
router id 10.1.1.2;
protocol device { scan time 10; }
protocol static cloud {
  ipv4;
  route 198.51.100.0/24 unreachable;
}
protocol kernel {
  ipv4 { import none; export where source = RTS_BGP; };
}
protocol bgp nva {
  local 10.1.1.2 as 64512;
  neighbor 10.1.1.1 as 65010;
  graceful restart on;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 { import all; export where source = RTS_STATIC; };
}
";

const FRR: &str = "hostname gateway
router bgp 64512
 bgp router-id 10.1.1.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 neighbor 10.1.1.1 remote-as 65010
 neighbor 10.1.1.1 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.0/24
 exit-address-family
";

/// Which program the gateway is.
#[derive(Clone, Copy)]
enum Program {
    Bird,
    Frr,
}

/// Kept for as long as it is to run.
enum Gateway {
    Bird(Bird),
    Frr(Frr),
}

impl Gateway {
    fn session_state(&self) -> Result<String> {
        match self {
            Self::Bird(bird) => bird.session_state(),
            Self::Frr(frr) => frr.session_state(),
        }
    }
}

/// A router and a gateway with routes to each other.
struct Pair {
    near: Namespace,
    far: Namespace,
    gateway: Gateway,
    nva: Nva,
    /// Last: it ends what the others run in.
    _scratch: Scratch,
}

impl Pair {
    fn start(test: &str, program: Program) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
        let end = |namespace, address| End {
            namespace,
            interface: "eth-a",
            address,
        };
        cable(end(&near, "10.1.1.1/24"), end(&far, "10.1.1.2/24"))?;
        near.ip(&format!("addr add {NEAR}/32 dev lo"))?;
        far.ip(&format!("addr add {FAR}/32 dev lo"))?;
        let directory = scratch.directory().join("gateway");
        let gateway = match program {
            Program::Bird => Gateway::Bird(Bird::launch(&far, &directory, BIRD)?),
            Program::Frr => {
                let peer = [10, 1, 1, 1].into();
                Gateway::Frr(Frr::launch(&far, &directory, peer, FRR)?)
            }
        };
        let directory = scratch.directory().join("nva");
        let nva = Nva::new(&near, &directory, &Binaries::find()?)?;
        nva.configure(ROUTER)?;
        let mut pair = Self {
            near,
            far,
            gateway,
            nva,
            _scratch: scratch,
        };
        pair.nva.start()?;
        pair.wait_for_routes()?;
        Ok(pair)
    }

    fn wait_for_routes(&self) -> Result<()> {
        wait_for("routes both ways", PATIENCE, || {
            let state = self.gateway.session_state()?;
            ensure!(state == "Established", "the session is {state}");
            let ours = kernel::routes(&self.near, kernel::SKYBRIDGE)?;
            ensure!(ours.contains_key("198.51.100.0/24"), "ours: {ours:?}");
            let theirs = self.far.ip("route show 10.10.0.0/16")?;
            ensure!(!theirs.trim().is_empty(), "the gateway has no route");
            Ok(())
        })
    }

    /// Restarts the router while packets flow, and says what became of them.
    fn restart(&mut self, signal: Signal) -> Result<String> {
        let flows = [
            Flow::start(&self.near, &self.far, FAR, PER_SECOND)?,
            Flow::start(&self.far, &self.near, NEAR, PER_SECOND)?,
        ];
        let process = self.nva.process()?;
        process.signal(signal)?;
        process.wait(PATIENCE)?;
        self.nva.start()?;
        let since = Instant::now();
        wait_for("a new session", PATIENCE, || {
            let peers = self.nva.peers()?;
            let up = peers.iter().all(|peer| peer.established_count == 1);
            ensure!(up, "{peers:?}");
            Ok(())
        })?;
        self.wait_for_routes()?;
        // What was kept for the restart goes once all has been told.
        wait_for("an End-of-RIB both ways", PATIENCE, || {
            let log = self.nva.process()?.log();
            let swept = log.contains("removing leftovers");
            swept.then_some(()).context("leftovers are still there")
        })?;
        let mut said = format!("all is told after {:?}", since.elapsed());
        for (flow, way) in flows.into_iter().zip(["out", "in"]) {
            let report = flow.finish()?;
            let (lost, sent, gap) = (report.lost(), report.sent(), report.longest_gap());
            said += &format!("; {way}: lost {lost} of {sent}, still for {gap:?}");
            ensure!(gap < STILL, "{way}: traffic stood still for {gap:?}");
        }
        self.wait_for_routes()?;
        Ok(said)
    }
}

#[test]
fn packets_go_on_while_the_peer_of_a_bird_is_killed_and_started() -> Result<()> {
    let said = Pair::start("rbk", Program::Bird)?.restart(Signal::KILL)?;
    println!("{said}");
    Ok(())
}

#[test]
fn packets_go_on_while_the_peer_of_a_bird_is_told_to_end_and_started() -> Result<()> {
    let said = Pair::start("rbt", Program::Bird)?.restart(Signal::TERM)?;
    println!("{said}");
    Ok(())
}

#[test]
fn packets_go_on_while_the_peer_of_an_frr_is_killed_and_started() -> Result<()> {
    let said = Pair::start("rfk", Program::Frr)?.restart(Signal::KILL)?;
    println!("{said}");
    Ok(())
}

#[test]
fn packets_go_on_while_the_peer_of_an_frr_is_told_to_end_and_started() -> Result<()> {
    let said = Pair::start("rft", Program::Frr)?.restart(Signal::TERM)?;
    println!("{said}");
    Ok(())
}
