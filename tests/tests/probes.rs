//! What probes measure is what the way does, and what they find is what there is.
//!
//! Needs root, FRR, nft and `cargo build --workspace --bins`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::peer::State;
use api::v1::{Link, LinkQuality, LinkState};
use tests::lab::gateway::Frr;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;
use tests::lab::{self, Lab, OCI, Way, WireGuard};

const PATIENCE: Duration = Duration::from_secs(60);

/// A lab with sessions between its routers, probed at 50/s; losses alone take no link down.
fn running(test: &str) -> Result<(String, Lab)> {
    let name = format!("sb{}{test}", std::process::id());
    let mut lab = Lab::build(&name, WireGuard::Userspace)?;
    for nva in [&lab.aws, &lab.oci] {
        let file = std::fs::read_to_string(nva.config())?;
        let probe = "probe = { interval = \"20ms\", down-after = 1000 }\ninside = ";
        std::fs::write(nva.config(), file.replace("inside = ", probe))?;
    }
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    Ok((name, lab))
}

fn link(nva: &Nva, name: &str) -> Result<Link> {
    let mut links = nva.links()?.into_iter();
    links
        .find(|link| link.name == name)
        .with_context(|| format!("no link {name}"))
}

fn quality(nva: &Nva) -> Result<LinkQuality> {
    let quality = link(nva, Way::A.link())?.quality;
    quality.context("not measured")
}

fn millis(time: Option<prost_types::Duration>) -> Result<f64> {
    let time = time.context("not measured")?;
    Ok(time.seconds as f64 * 1e3 + f64::from(time.nanos) / 1e6)
}

fn ensure_within(what: &str, found: f64, expected: std::ops::Range<f64>) -> Result<()> {
    ensure!(
        expected.contains(&found),
        "{what} is {found}, not in {expected:?}"
    );
    Ok(())
}

#[test]
fn delay_jitter_and_the_loss_of_each_way_are_those_of_the_way() -> Result<()> {
    let (name, lab) = running("pq")?;
    let internet = lab.internet(Way::A);
    // A virtual machine that gets its processors late adds to every time. A quiet one adds next to nothing.
    std::thread::sleep(Duration::from_secs(3));
    let late = 2.0 * millis(quality(&lab.aws)?.jitter)?;
    internet.tell("delay 20ms")?;
    internet.tell("jitter 8ms")?;
    internet.tell("loss 15% left-to-right")?;
    internet.tell("loss 4% right-to-left")?;
    // AWS is left. Five standard deviations of 500 probes, and a machine that has other things to do.
    let out = [
        (&lab.aws, 0.07..0.23, 0.005..0.10),
        (&lab.oci, 0.005..0.10, 0.07..0.23),
    ];
    for (nva, out, back) in out {
        wait_for("what the way does", PATIENCE, || {
            let quality = quality(nva)?;
            ensure!(quality.method == "stamp", "{}", quality.method);
            ensure_within("RTT", millis(quality.rtt_median)?, 43.0..60.0 + late)?;
            // Between two sums of two times from 0 to 8 ms: 7/15 of 8 ms.
            ensure_within("jitter", millis(quality.jitter)?, 2.0..6.0 + late)?;
            ensure_within(
                "loss out",
                quality.loss_out.context("unknown")?,
                out.clone(),
            )?;
            ensure_within("loss in", quality.loss_in.context("unknown")?, back.clone())?;
            ensure_within("loss", quality.loss_ratio, 0.10..0.30)
        })?;
        let scrape = nva.metrics()?;
        for direction in ["both", "out", "in"] {
            let series =
                format!("skybridge_link_loss_ratio{{link=\"wg-a\",direction=\"{direction}\"}}");
            ensure!(scrape.contains(&series), "no {series}");
        }
        let shown = nva.cli(&["show", "links", "wg-a"])?;
        for window in ["10s", "1m00s", "5m00s"] {
            ensure!(shown.contains(&format!("\n{window}")), "{shown}");
        }
    }
    drop(lab);
    lab::ensure_gone(&name)
}

#[test]
fn zombie_link_whose_session_still_passes_is_found_and_its_session_ended() -> Result<()> {
    let name = format!("sb{}pz", std::process::id());
    let mut lab = Lab::build(&name, WireGuard::Userspace)?;
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    // Everything but BGP is lost in the tunnel: probes, and what it forwards.
    nft(
        lab.oci.namespace(),
        &[
            "add table inet zombie",
            "add chain inet zombie in { type filter hook prerouting priority -300 ; }",
            "add rule inet zombie in iifname sb-wg-a tcp sport 179 accept",
            "add rule inet zombie in iifname sb-wg-a tcp dport 179 accept",
            "add rule inet zombie in iifname sb-wg-a drop",
        ],
    )?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    wait_for("the end of the session", PATIENCE, || {
        let link = link(&lab.aws, Way::A.link())?;
        ensure!(link.state() == LinkState::Down, "{:?}", link.state());
        ensure!(link.reason.contains("probes in a row"), "{}", link.reason);
        let peers = lab.aws.peers()?;
        let peer = peers.iter().find(|peer| peer.name == Way::A.link());
        let peer = peer.context("no peer")?;
        ensure!(
            peer.state() != State::Established,
            "the session is still up"
        );
        Ok(())
    })?;
    nft(lab.oci.namespace(), &["delete table inet zombie"])?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    wait_for("ping across", PATIENCE, || lab.ping(&OCI))?;
    drop(lab);
    lab::ensure_gone(&name)
}

fn nft(namespace: &Namespace, commands: &[&str]) -> Result<()> {
    for command in commands {
        namespace.run("nft", &[command])?;
    }
    Ok(())
}

/// A router, and FRR at the other end of a cable, which answers nothing but BGP.
struct Taciturn {
    router: Nva,
    frr: Frr,
    far: Namespace,
    _scratch: Scratch,
}

impl Taciturn {
    fn start(test: &str, probe: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let [near, far] = [scratch.namespace("router")?, scratch.namespace("other")?];
        let end = |namespace, address| End {
            namespace,
            interface: "wire",
            address,
        };
        cable(end(&near, "192.0.2.1/30"), end(&far, "192.0.2.2/30"))?;
        nft(
            &far,
            &[
                "add table inet taciturn",
                "add chain inet taciturn in { type filter hook input priority 0 ; }",
                "add rule inet taciturn in iifname wire meta l4proto { icmp, udp } drop",
            ],
        )?;
        let frr = frr(&far, &scratch.directory().join("frr"))?;
        let mut router = Nva::new(&near, scratch.directory(), &Binaries::find()?)?;
        router.configure(&format!(
            "[router]\nname = \"probes\"\nasn = 65010\nid = \"192.0.2.1\"\n
[link.wire]\ninterface = \"wire\"\ninside = {{ local = \"192.0.2.1/30\", remote = \"192.0.2.2\" }}
probe = {{ {probe} }}
bgp = {{ asn = 65020, connect-retry = \"1s\", hold-time = \"9s\", import = \"all\", export = \"all\" }}
[[filter.all]]\naction = \"accept\"\n"
        ))?;
        router.start()?;
        Ok(Self {
            router,
            frr,
            far,
            _scratch: scratch,
        })
    }

    fn wait_for_link(&mut self, state: LinkState, method: &str) -> Result<Link> {
        wait_for("the link", PATIENCE, || {
            self.router.check_alive()?;
            let link = link(&self.router, "wire")?;
            ensure!(link.state() == state, "{:?}: {}", link.state(), link.reason);
            let quality = link.quality.as_ref().context("not measured")?;
            ensure!(quality.method == method, "by {:?}", quality.method);
            Ok(link)
        })
    }
}

fn frr(namespace: &Namespace, directory: &Path) -> Result<Frr> {
    let bgpd = "hostname other
router bgp 65020
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 neighbor 192.0.2.1 remote-as 65010
 neighbor 192.0.2.1 timers connect 1
 neighbor 192.0.2.1 timers 3 9
";
    Frr::launch(namespace, directory, "192.0.2.1".parse()?, bgpd)
}

#[test]
fn gateway_that_answers_nothing_but_bgp_is_measured_by_its_session() -> Result<()> {
    for (test, probe) in [("pba", "method = \"auto\""), ("pbb", "method = \"bgp\"")] {
        let mut pair = Taciturn::start(test, probe)?;
        let link = pair.wait_for_link(LinkState::Up, "bgp")?;
        ensure!(pair.frr.session_state()? == "Established");
        let quality = link.quality.context("not measured")?;
        ensure!(millis(quality.rtt_median)? < 1000.0, "{quality:?}");
        nft(&pair.far, &["add rule inet taciturn in iifname wire drop"])?;
        wait_for("the link down", PATIENCE, || {
            let state = self::link(&pair.router, "wire")?.state();
            ensure!(state == LinkState::Down, "{state:?}");
            Ok(())
        })?;
        nft(&pair.far, &["delete table inet taciturn"])?;
        let found = wait_for("the link again", PATIENCE, || {
            let link = self::link(&pair.router, "wire")?;
            ensure!(link.state() == LinkState::Up, "{}", link.reason);
            Ok(link)
        })?;
        let method = found.quality.context("not measured")?.method;
        match test {
            "pba" => ensure!(
                ["tcp", "icmp", "bgp"].contains(&method.as_str()),
                "{method}"
            ),
            _ => ensure!(["tcp", "bgp"].contains(&method.as_str()), "{method}"),
        }
    }
    Ok(())
}

#[test]
fn tcp_connections_measure_a_port_that_refuses_and_one_that_is_dropped() -> Result<()> {
    // Nobody listens there: a reset is the answer.
    let mut pair = Taciturn::start("pt", "method = \"tcp\", port = 1790, interval = \"100ms\"")?;
    let link = pair.wait_for_link(LinkState::Up, "tcp")?;
    let quality = link.quality.context("not measured")?;
    ensure!(millis(quality.rtt_median)? < 1000.0, "{quality:?}");
    nft(
        &pair.far,
        &["add rule inet taciturn in iifname wire tcp dport 1790 drop"],
    )?;
    pair.wait_for_link(LinkState::Down, "tcp")?;
    Ok(())
}
