//! Nexthops that lie on no connected network, on the real kernel: the host's own routes lead there.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::lab::gateway::Bird;
use tests::lab::kernel::{self, Routes};
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);
const PREFIX: &str = "198.51.100.0/24";

const ROUTER: &str = "
[router]
name = \"nexthops\"
asn = 65010
id = \"10.1.1.1\"
listen = [\"0.0.0.0:179\"]

[peer.far]
address = \"192.0.2.1\"
asn = 65010
import = \"all\"

[[filter.all]]
action = \"accept\"
";

/// An internal peer on a loopback, which announces one prefix with that as its nexthop.
const FAR: &str = "log stderr all;
router id 192.0.2.1;
protocol device { scan time 10; }
protocol static cloud {
  ipv4;
  route 198.51.100.0/24 unreachable;
}
protocol bgp nva {
  local 192.0.2.1 as 65010;
  neighbor 10.1.1.1 as 65010;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 { import all; export where source = RTS_STATIC; };
}
";

/// The same peer, with an address of ours as nexthop: BIRD does not tell us the one that it talks to.
const CONFUSED: &str = "log stderr all;
router id 192.0.2.1;
protocol device { scan time 10; }
protocol static cloud {
  ipv4;
  route 198.51.100.0/24 unreachable;
}
protocol bgp nva {
  local 10.1.1.2 as 65010;
  neighbor 10.1.1.1 as 65010;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 {
    import all;
    export filter { if source = RTS_STATIC then { bgp_next_hop = 10.1.2.1; accept; } reject; };
  };
}
";

fn wait_for_route(namespace: &Namespace, interface: Option<&str>) -> Result<()> {
    let through = |name: &str| (PREFIX.to_owned(), BTreeSet::from([name.to_owned()]));
    let wanted: Routes = interface.map(through).into_iter().collect();
    wait_for(
        &format!("the route through {interface:?}"),
        PATIENCE,
        || {
            let found = kernel::routes(namespace, kernel::SKYBRIDGE)?;
            ensure!(found == wanted, "{found:?}, should be {wanted:?}");
            Ok(())
        },
    )
}

/// Two cables between the router and the far end, 10.1.1.0/24 and 10.1.2.0/24.
fn cables(near: &Namespace, far: &Namespace) -> Result<()> {
    for (name, number) in [("eth-a", 1), ("eth-b", 2)] {
        let local = format!("10.1.{number}.1/24");
        let remote = format!("10.1.{number}.2/24");
        cable(
            End {
                namespace: near,
                interface: name,
                address: &local,
            },
            End {
                namespace: far,
                interface: name,
                address: &remote,
            },
        )?;
    }
    Ok(())
}

#[test]
fn no_route_leads_to_an_address_of_this_host() -> Result<()> {
    let mut scratch = Scratch::new("n")?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    cables(&near, &far)?;
    let bird = Bird::launch(&far, &scratch.directory().join("bird"), CONFUSED)?;
    let mut nva = Nva::new(&near, &scratch.directory().join("nva"), &Binaries::find()?)?;
    nva.configure(&ROUTER.replace("192.0.2.1", "10.1.1.2"))?;
    nva.start()?;
    wait_for("the reason why it is not used", PATIENCE, || {
        let shown = nva.cli(&["show", "routes", PREFIX, "--json"])?;
        ensure!(shown.contains("\"nexthop-ours\""), "{shown}");
        Ok(())
    })?;
    wait_for_route(&near, None)?;
    let events = nva.cli(&["show", "peers", "far"])?;
    ensure!(bird.session_state()? == "Established", "{events}");

    // The address moves to the far end, and the reason goes with it.
    near.ip("addr del 10.1.2.1/24 dev eth-b")?;
    near.ip("addr add 10.1.2.3/24 dev eth-b")?;
    far.ip("addr add 10.1.2.1/24 dev eth-b")?;
    wait_for_route(&near, Some("eth-b"))
}

#[test]
fn a_route_to_a_loopback_follows_the_routes_of_others() -> Result<()> {
    let mut scratch = Scratch::new("n")?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    cables(&near, &far)?;
    far.ip("addr add 192.0.2.1/32 dev lo")?;
    near.ip("route add 192.0.2.1/32 via 10.1.1.2")?;
    let bird = Bird::launch(&far, &scratch.directory().join("bird"), FAR)?;
    let mut nva = Nva::new(&near, &scratch.directory().join("nva"), &Binaries::find()?)?;
    nva.configure(ROUTER)?;
    nva.start()?;
    wait_for_route(&near, Some("eth-a"))?;

    let shown = nva.cli(&["show", "routes", PREFIX])?;
    let is_active = shown.contains("via 192.0.2.1 dev eth-a") && !shown.contains("standby");
    ensure!(is_active, "{shown}");

    near.ip("route replace 192.0.2.1/32 via 10.1.2.2")?;
    wait_for_route(&near, Some("eth-b"))?;

    near.ip("nexthop add id 5 via 10.1.1.2 dev eth-a")?;
    near.ip("route replace 192.0.2.1/32 nhid 5")?;
    wait_for_route(&near, Some("eth-a"))?;
    near.ip("nexthop replace id 5 via 10.1.2.2 dev eth-b")?;
    wait_for_route(&near, Some("eth-b"))?;

    // A default route carries the session, and nothing else.
    near.ip("route add default via 10.1.1.2")?;
    near.ip("route del 192.0.2.1/32")?;
    wait_for_route(&near, None)?;
    near.ip("route add 192.0.2.1/32 via 10.1.2.2 metric 7")?;
    wait_for_route(&near, Some("eth-b"))?;

    // A route that leads out of an interface that is down leads nowhere.
    near.ip("route add 192.0.2.1/32 via 10.1.1.2 metric 9")?;
    near.ip("link set eth-b down")?;
    wait_for_route(&near, Some("eth-a"))?;
    ensure!(
        bird.session_state()? == "Established",
        "the session was lost"
    );
    Ok(())
}

#[test]
fn a_nexthop_that_others_drop_packets_to_is_not_reachable() -> Result<()> {
    let mut scratch = Scratch::new("n")?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    cables(&near, &far)?;
    far.ip("addr add 192.0.2.1/32 dev lo")?;
    near.ip("route add 192.0.2.0/24 via 10.1.1.2")?;
    let bird = Bird::launch(&far, &scratch.directory().join("bird"), FAR)?;
    let mut nva = Nva::new(&near, &scratch.directory().join("nva"), &Binaries::find()?)?;
    nva.configure(ROUTER)?;
    nva.start()?;
    wait_for_route(&near, Some("eth-a"))?;
    for kind in ["blackhole", "unreachable", "prohibit"] {
        near.ip(&format!("route add {kind} 192.0.2.1/32"))?;
        wait_for_route(&near, None)?;
        near.ip(&format!("route del {kind} 192.0.2.1/32"))?;
        wait_for_route(&near, Some("eth-a"))?;
    }
    near.ip("nexthop add id 5 via 10.1.2.2 dev eth-b")?;
    near.ip("route add 192.0.2.1/32 nhid 5")?;
    wait_for_route(&near, Some("eth-b"))?;
    near.ip("nexthop replace id 5 blackhole")?;
    wait_for_route(&near, None)?;
    near.ip("nexthop replace id 5 via 10.1.2.2 dev eth-b")?;
    wait_for_route(&near, Some("eth-b"))?;
    let state = bird.session_state()?;
    ensure!(state == "Established", "the session is {state}");
    Ok(())
}

/// The far end of the first cable; the second one has nobody behind it.
const UNNUMBERED: &str = "log stderr all;
router id 192.0.2.1;
protocol device { scan time 10; }
protocol static cloud { ipv6; route 2001:db8:1::/48 unreachable; }
protocol bgp nva {
  local fe80::2 as 64512;
  neighbor fe80::1%'eth-a' as 65010;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv6 { import all; export where source = RTS_STATIC; };
}
";

#[test]
fn a_link_local_nexthop_is_on_the_interface_of_its_peer() -> Result<()> {
    let mut scratch = Scratch::new("n")?;
    let (near, far) = (scratch.namespace("nva")?, scratch.namespace("far")?);
    cables(&near, &far)?;
    for interface in ["eth-a", "eth-b"] {
        near.ip(&format!("addr add fe80::1/64 dev {interface} nodad"))?;
    }
    far.ip("addr add fe80::2/64 dev eth-a nodad")?;
    let _bird = Bird::launch(&far, &scratch.directory().join("bird"), UNNUMBERED)?;
    let mut nva = Nva::new(&near, &scratch.directory().join("nva"), &Binaries::find()?)?;
    let peer = "address = \"fe80::2\"\ninterface = \"eth-a\"\nasn = 64512";
    let router = ROUTER.replace("0.0.0.0:179", "[::]:179");
    nva.configure(&router.replace("address = \"192.0.2.1\"\nasn = 65010", peer))?;
    nva.start()?;
    wait_for("the route over its interface", PATIENCE, || {
        let route = near.ip("-6 route get 2001:db8:1::1")?;
        ensure!(route.contains("dev eth-a"), "{route}");
        Ok(())
    })
}
