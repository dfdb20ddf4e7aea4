//! Links on what carries them, with two BGP sessions through one of them as AWS TGW Connect has it.
//!
//! Needs root and `cargo build --workspace --bins`; GRE and VLANs only where the kernel has them, which
//! `./dev vm` boots.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use api::v1::LinkState;
use api::v1::peer::State;
use tests::lab::gateway::Bird;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, KeyPair, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);

/// One of two speakers of a cloud at the far end of one link.
fn far_end(address: &str) -> String {
    format!(
        "log stderr all;
router id {address};
protocol device {{ scan time 10; }}
protocol bgp nva {{
  strict bind yes;
  local {address} as 64512;
  neighbor 169.254.6.1 as 65010;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 {{ import all; export none; }};
}}
"
    )
}

/// What the link is made of: the words of the file, and of `ip` at the far end.
struct Carrier {
    /// Further terms of BGP.
    multihop: &'static str,
    words: &'static str,
    /// The type as `ip` knows it; empty where nothing is made.
    kind: &'static str,
    far: &'static str,
    interface: &'static str,
}

const CABLE: Carrier = Carrier {
    multihop: "",
    words: "interface = \"wire\"",
    kind: "",
    far: "",
    interface: "wire",
};
const GRE: Carrier = Carrier {
    multihop: ", multihop = 2",
    words: "gre = { local = \"192.0.2.1\", remote = \"192.0.2.2\", key = 7 }",
    kind: "gre",
    far: "link add tgw type gre local 192.0.2.2 remote 192.0.2.1 key 7 ttl 64",
    interface: "tgw",
};
const GRE6: Carrier = Carrier {
    multihop: ", multihop = 2",
    words: "gre = { local = \"2001:db8::1\", remote = \"2001:db8::2\" }",
    kind: "ip6gre",
    far: "link add tgw type ip6gre local 2001:db8::2 remote 2001:db8::1 ttl 64 encaplimit none",
    interface: "tgw",
};
const VLAN: Carrier = Carrier {
    multihop: "",
    words: "vlan = { parent = \"wire\", id = 100 }",
    kind: "vlan",
    far: "link add tgw link wire type vlan id 100",
    interface: "tgw",
};

fn file(carrier: &Carrier) -> String {
    format!(
        "
[router]
name = \"carriers\"
asn = 65010
id = \"10.1.1.1\"
[link.tgw]
inside = {{ local = \"169.254.6.1/29\", remote = \"169.254.6.2\" }}
bgp = {{ asn = 64512, import = \"all\"{} }}
{}
[peer.tgw-2]
link = \"tgw\"
address = \"169.254.6.3\"
asn = 64512
import = \"all\"
multihop = 2
[[filter.all]]
action = \"accept\"
",
        carrier.multihop, carrier.words
    )
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn eprint_untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
}

/// Whether this kernel has such interfaces. `sit0` and the like aside, only making one tells.
fn kernel_has(kind: &str, inside: &Namespace) -> bool {
    let words = match kind {
        "vlan" => "link add probe link wire type vlan id 1".to_owned(),
        "gre" => "link add probe type gre local 192.0.2.1 remote 192.0.2.9".to_owned(),
        _ => format!("link add probe type {kind} local 2001:db8::1 remote 2001:db8::9"),
    };
    inside.ip(&words).is_ok() && inside.ip("link del probe").is_ok()
}

fn states(nva: &Nva) -> Result<Vec<(String, State)>> {
    let peers = nva.peers()?.into_iter();
    Ok(peers
        .map(|peer| (peer.name.clone(), peer.state()))
        .collect())
}

fn wait_for_sessions(nva: &Nva, what: &str, wanted: impl Fn(State) -> bool) -> Result<()> {
    wait_for(what, PATIENCE, || {
        let found = states(nva)?;
        let all = found.len() == 2 && found.iter().all(|(_, state)| wanted(*state));
        ensure!(all, "{found:?}\n{}", nva.cli(&["show", "peers", "tgw-2"])?);
        Ok(())
    })
}

fn two_peers(name: &str, carrier: &Carrier) -> Result<()> {
    let mut scratch = Scratch::new(name)?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    let end = |namespace, address| End {
        namespace,
        interface: "wire",
        address,
    };
    cable(end(&near, "192.0.2.1/24"), end(&far, "192.0.2.2/24"))?;
    for (namespace, address) in [(&near, "2001:db8::1/64"), (&far, "2001:db8::2/64")] {
        namespace.ip(&format!("addr add {address} dev wire nodad"))?;
    }
    if !carrier.kind.is_empty() && !kernel_has(carrier.kind, &near) {
        let kind = carrier.kind;
        eprint_untested(&format!("a link on {kind}, which this kernel has not"));
        return Ok(());
    }
    if !carrier.far.is_empty() {
        far.ip(carrier.far)?;
    }
    for address in ["169.254.6.2/29", "169.254.6.3/29"] {
        far.ip(&format!("addr add {address} dev {}", carrier.interface))?;
    }
    far.ip(&format!("link set {} up", carrier.interface))?;
    if carrier.kind.is_empty() {
        near.ip("addr add 169.254.6.1/29 dev wire")?;
    }
    let mut speakers = Vec::new();
    for address in ["169.254.6.2", "169.254.6.3"] {
        let directory = scratch.directory().join(address);
        speakers.push(Bird::launch(&far, &directory, &far_end(address))?);
    }
    let mut nva = Nva::new(&near, scratch.directory(), &Binaries::find()?)?;
    nva.configure(&file(carrier))?;
    nva.start()?;
    wait_for_sessions(&nva, "both sessions", |state| state == State::Established)?;
    ensure!(
        nva.links()?
            .iter()
            .all(|link| link.state() == LinkState::Up)
    );

    // Both go with the link, and come back with it.
    far.ip(&format!("link set {} down", carrier.interface))?;
    wait_for_sessions(&nva, "no session", |state| state != State::Established)?;
    far.ip(&format!("link set {} up", carrier.interface))?;
    wait_for_sessions(&nva, "both sessions again", |state| {
        state == State::Established
    })?;
    if carrier.kind.is_empty() {
        return Ok(());
    }

    // The interface is ours, outlives us, and goes when the file no longer has it.
    let shown = nva.cli(&["show", "tunnels"])?;
    ensure!(shown.contains("tgw     up     "), "{shown}");
    let scrape = nva.metrics()?;
    ensure!(
        scrape.contains("skybridge_tunnel_up{tunnel=\"tgw\",kind="),
        "{scrape}"
    );
    let before = near.ip("-o link show sb-tgw")?;
    nva.process()?.kill()?;
    nva.start()?;
    wait_for_sessions(&nva, "both sessions after a restart", |state| {
        state == State::Established
    })?;
    let index = |shown: &str| shown.split(':').next().map(str::to_owned);
    ensure!(
        index(&near.ip("-o link show sb-tgw")?) == index(&before),
        "made anew"
    );
    nva.configure("[router]\nname = \"carriers\"\nasn = 65010\nid = \"10.1.1.1\"\n")?;
    nva.cli(&["reload"])?;
    ensure!(near.ip("link show sb-tgw").is_err(), "still there");
    Ok(())
}

#[test]
fn two_peers_of_one_link_come_and_go_with_it() -> Result<()> {
    two_peers("cc", &CABLE)
}

#[test]
fn two_peers_share_a_gre_tunnel() -> Result<()> {
    two_peers("cg", &GRE)
}

#[test]
fn two_peers_share_a_gre_tunnel_over_ipv6() -> Result<()> {
    two_peers("cs", &GRE6)
}

#[test]
fn two_peers_share_a_vlan() -> Result<()> {
    two_peers("cv", &VLAN)
}

#[test]
fn a_kernel_that_cannot_carry_a_link_is_said_at_that_link_and_hurts_no_other() -> Result<()> {
    let mut scratch = Scratch::new("cx")?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    let end = |namespace, address| End {
        namespace,
        interface: "wire",
        address,
    };
    cable(end(&near, "192.0.2.1/24"), end(&far, "192.0.2.2/24"))?;
    let expected = "there is no interface eth9 to carry VLAN 5";
    let mut nva = Nva::new(&near, scratch.directory(), &Binaries::find()?)?;
    nva.configure(
        "[router]\nname = \"r\"\nasn = 65010\nid = \"10.1.1.1\"\n\
         [link.good]\ninterface = \"wire\"\ninside = { local = \"192.0.2.1/24\", remote = \"192.0.2.2\" }\n\
         [link.tag]\nvlan = { parent = \"eth9\", id = 5 }\n\
         inside = { local = \"169.254.6.1/29\", remote = \"169.254.6.2\" }\n\
         [link.gre]\ngre = { local = \"192.0.2.1\", remote = \"192.0.2.2\" }\n\
         inside = { local = \"169.254.7.1/29\", remote = \"169.254.7.2\" }\n",
    )?;
    nva.start()?;
    wait_for("the reasons", PATIENCE, || {
        let shown = nva.cli(&["show", "tunnels"])?;
        ensure!(shown.contains(expected), "{shown}");
        if !kernel_has("gre", &near) {
            ensure!(
                shown.contains("load its module: modprobe ip_gre"),
                "{shown}"
            );
        }
        let links = nva.links()?;
        let good = links.iter().find(|link| link.name == "good");
        ensure!(
            good.is_some_and(|link| link.state() == LinkState::Up),
            "{links:?}"
        );
        Ok(())
    })
}

/// One end of a WireGuard tunnel: the words of the file.
fn wireguard(inside: [&str; 2], far: &str, own: &KeyPair, peer: &KeyPair) -> String {
    format!(
        "[link.t]\ninside = {{ local = \"{}/30\", remote = \"{}\" }}\n\
         wireguard = {{ private-key = {{ file = \"{}\" }}, listen = 51820, backend = \"userspace\", mtu = 1300, \
         peer = {{ public-key = \"{}\", endpoint = \"{far}:51820\" }} }}\n",
        inside[0],
        inside[1],
        own.private.display(),
        peer.public
    )
}

/// One host behind the router, and a tunnel whose far end knows nothing of where it calls: what goes into it
/// is seen all the same.
#[test]
fn tcp_through_a_tunnel_is_told_what_fits_and_the_rules_go_with_the_tunnel() -> Result<()> {
    let mut scratch = Scratch::new("cm")?;
    let (near, host) = (scratch.namespace("nva")?, scratch.namespace("host")?);
    let far = scratch.namespace("far")?;
    let end = |namespace, interface, address| End {
        namespace,
        interface,
        address,
    };
    cable(
        end(&near, "lan", "10.1.0.1/24"),
        end(&host, "lan", "10.1.0.2/24"),
    )?;
    cable(
        end(&near, "wan", "192.0.2.1/24"),
        end(&far, "wan", "192.0.2.2/24"),
    )?;
    host.ip("route add default via 10.1.0.1")?;
    near.sysctl("net.ipv4.ip_forward", "1")?;
    near.sysctl("net.ipv4.conf.default.rp_filter", "1")?;
    let key = |name: &str| KeyPair::generate(&scratch.directory().join(name));
    let (key_near, key_far) = (key("near")?, key("far")?);
    let router = "[router]\nname = \"r\"\nasn = 65010\nid = \"10.1.1.1\"\n";
    let binaries = Binaries::find()?;
    let mut other = Nva::new(&far, &scratch.directory().join("other"), &binaries)?;
    let inside = ["10.99.0.2", "10.99.0.1"];
    let link = wireguard(inside, "192.0.2.1", &key_far, &key_near);
    other.configure(&format!("{router}{link}"))?;
    other.start()?;
    let inside = ["10.99.0.1", "10.99.0.2"];
    let link = wireguard(inside, "192.0.2.2", &key_near, &key_far);
    let mut nva = Nva::new(&near, scratch.directory(), &binaries)?;
    nva.configure(&format!("{router}{link}"))?;
    nva.start()?;
    wait_for("the rules", PATIENCE, || {
        let rules = near.run("nft", &["list", "table", "inet", "skybridge"])?;
        ensure!(rules.contains("maxseg size set 1260"), "{rules}");
        near.ip("route replace 198.51.100.0/24 dev sb-t").map(drop)
    })?;
    for (name, value) in [("forwarding", "1\n"), ("rp_filter", "2\n")] {
        let path = format!("/proc/sys/net/ipv4/conf/sb-t/{name}");
        let found = near.run("cat", &[&path])?;
        ensure!(found == value, "{name}: {found}");
    }
    let said = std::fs::read_to_string(nva.log())?;
    let note = "forwarding on, rp_filter 2 (loose)";
    ensure!(said.contains(note), "not said: {said}");
    let mut capture = near.command("timeout");
    capture.args(["20", "tcpdump", "-n", "-l", "-c", "1", "-i", "sb-t", "tcp"]);
    let capture = capture
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut call = host.command("timeout");
    let call = call.args(["15", "bash", "-c", "exec 3<>/dev/tcp/198.51.100.9/80"]);
    let mut call = call.stderr(Stdio::null()).spawn()?;
    let seen = String::from_utf8(capture.wait_with_output()?.stdout)?;
    call.kill()?;
    call.wait()?;
    ensure!(seen.contains("mss 1260"), "{seen}");

    nva.configure(router)?;
    nva.cli(&["reload"])?;
    wait_for("no rules", PATIENCE, || {
        let tables = near.run("nft", &["list", "tables"])?;
        ensure!(tables.is_empty(), "{tables}");
        Ok(())
    })
}
