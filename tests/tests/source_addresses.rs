//! What a link sends leaves with the link's own address, where its interface, or that below its tunnel, has several.
//!
//! Needs root, tshark and `cargo build --workspace --bins`; GRE and IPsec only where the kernel has them, which
//! `./dev vm` boots.
//!
//! ```text
//! near .9, .1 ── wire ── .2, .3 far                    192.0.2.0/24, 2001:db8::/64
//! ```

use anyhow::{Context as _, Result, ensure};
use api::v1::LinkState;
use api::v1::peer::State;
use tests::lab::capture::{Capture, Packets};
use tests::lab::clouds::{AWS, Between, Clouds, PATIENCE, PSK, Proof, SECRET};
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, KeyPair, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;
use tests::lab::strongswan::has_xfrm;

/// The addresses of one family.
struct Family {
    /// As `tshark` calls it.
    name: &'static str,
    /// The first that the near interface got, by which packets leave that name none.
    first: &'static str,
    /// The link's.
    local: &'static str,
    remote: &'static str,
    /// Of one more speaker there.
    second: &'static str,
    length: u8,
    /// What the kernel sends of its own.
    housekeeping: &'static str,
}

const V4: Family = Family {
    name: "ip",
    first: "192.0.2.9",
    local: "192.0.2.1",
    remote: "192.0.2.2",
    second: "192.0.2.3",
    length: 24,
    housekeeping: "icmp.type == 3",
};
const V6: Family = Family {
    name: "ipv6",
    first: "2001:db8::9",
    local: "2001:db8::1",
    remote: "2001:db8::2",
    second: "2001:db8::3",
    length: 64,
    housekeeping: "icmpv6.type >= 130",
};

/// A cable between two namespaces.
struct Wire {
    near: Namespace,
    far: Namespace,
    scratch: Scratch,
}

impl Wire {
    fn build(test: &str, family: &Family) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let (near, far) = (scratch.namespace("near")?, scratch.namespace("far")?);
        for namespace in [&near, &far] {
            namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        }
        let with_length = |address: &str| format!("{address}/{}", family.length);
        let end = |namespace, address| End {
            namespace,
            interface: "wire",
            address,
        };
        let (first, remote) = (with_length(family.first), with_length(family.remote));
        cable(end(&near, &first), end(&far, &remote))?;
        for (namespace, address) in [(&near, family.local), (&far, family.second)] {
            namespace.ip(&format!("addr add {} dev wire", with_length(address)))?;
        }
        Ok(Self { near, far, scratch })
    }

    fn router(&self, name: &str, namespace: &Namespace) -> Result<Nva> {
        let directory = self.scratch.directory().join(name);
        Nva::new(namespace, &directory, &Binaries::find()?)
    }

    fn capture(&self, words: &[&str]) -> Result<Capture> {
        Capture::of(&self.far, "wire", self.scratch.directory(), words)
    }
}

fn router(name: &str) -> String {
    let asn = if name == "near" { 65010 } else { 65020 };
    let host = if name == "near" { 1 } else { 2 };
    format!("[router]\nname = \"{name}\"\nasn = {asn}\nid = \"10.1.1.{host}\"\n")
}

fn wait_for_link(nva: &mut Nva, method: &str) -> Result<()> {
    wait_for("the link", PATIENCE, || {
        nva.check_alive()?;
        let links = nva.links()?;
        let link = links.first().context("no link")?;
        ensure!(link.state() == LinkState::Up, "{}", link.reason);
        let quality = link.quality.as_ref().context("not measured")?;
        ensure!(quality.method == method, "by {}", quality.method);
        Ok(())
    })
}

/// Packets to the far end are there, of each of these kinds, and none has another source.
fn ensure_own_address(packets: &Packets, family: &Family, kinds: &[&str]) -> Result<()> {
    let Family {
        name,
        local,
        remote,
        ..
    } = family;
    for kind in kinds {
        let of_kind = format!("{name}.src == {local} && ({kind})");
        ensure!(!packets.matching(&of_kind)?.is_empty(), "no {kind}");
    }
    let (first, own) = (family.first, family.housekeeping);
    let wrong = format!("{name}.dst == {remote} && {name}.src != {local} && !({own})");
    let wrong = packets.matching(&wrong)?;
    ensure!(wrong.is_empty(), "not from {local}: {}", wrong.join("\n"));
    let wrong = packets.matching(&format!("{name}.src == {first} && tcp.flags.syn == 1"))?;
    ensure!(
        wrong.is_empty(),
        "called from {first}: {}",
        wrong.join("\n")
    );
    Ok(())
}

/// By all methods of probing, BGP and BFD.
fn probes_and_bgp(test: &str, family: &Family) -> Result<()> {
    let wire = Wire::build(test, family)?;
    let Family {
        local,
        remote,
        second,
        length,
        ..
    } = family;
    let mut far = wire.router("far", &wire.far)?;
    far.configure(&format!(
        "{}[link.near]\ninterface = \"wire\"\ninside = {{ local = \"{remote}/{length}\", remote = \"{local}\" }}\n\
         bgp = {{ asn = 65010, passive = true }}\nbfd = {{ interval = \"300ms\" }}\n",
        router("far")
    ))?;
    far.start()?;
    let capture = wire.capture(&[])?;
    let mut near = wire.router("near", &wire.near)?;
    let mut is_running = false;
    for (method, words) in [("stamp", ""), ("icmp", ""), ("tcp", ", port = 1790")] {
        near.configure(&format!(
            "{}[link.far]\ninterface = \"wire\"\ninside = {{ local = \"{local}/{length}\", remote = \"{remote}\" }}\n\
             bgp = {{ asn = 65020, connect-retry = \"1s\" }}\nbfd = {{ interval = \"300ms\" }}\n\
             probe = {{ method = \"{method}\"{words} }}\n\
             [peer.second]\nlink = \"far\"\naddress = \"{second}\"\nasn = 65020\nconnect-retry = \"1s\"\n",
            router("near")
        ))?;
        match is_running {
            true => drop(near.cli(&["reload"])?),
            false => near.start()?,
        }
        is_running = true;
        wait_for_link(&mut near, method)?;
    }
    wait_for("the session", PATIENCE, || {
        let peers = near.peers()?;
        let peer = peers
            .iter()
            .find(|peer| peer.name == "far")
            .context("no peer")?;
        ensure!(peer.state() == State::Established, "{:?}", peer.state());
        let called = format!("{}.dst == {second} && tcp.flags.syn == 1", family.name);
        ensure!(
            !capture.so_far().matching(&called)?.is_empty(),
            "{second} is not called"
        );
        Ok(())
    })?;
    let echo = if family.length == 24 {
        "icmp.type == 8"
    } else {
        "icmpv6.type == 128"
    };
    let kinds = [
        "udp.dstport == 862",
        echo,
        "tcp.dstport == 1790",
        "tcp.dstport == 179 && tcp.len > 0",
        "udp.dstport == 3784",
    ];
    ensure_own_address(&capture.finish()?, family, &kinds)?;

    // Who calls the other address would be answered from there.
    let call = format!(
        "exec 3<>/dev/tcp/{}/179 && read -t 5 -n 1 -u 3",
        family.first
    );
    let heard = wire.far.run("bash", &["-c", &call]);
    ensure!(heard.is_err(), "somebody speaks at {}", family.first);
    let scrape = near.metrics()?;
    let refused = "skybridge_bgp_connections_refused_total{reason=\"address\"} ";
    let refused = scrape.lines().find_map(|line| line.strip_prefix(refused));
    ensure!(refused.is_some_and(|count| count != "0"), "{scrape}");
    Ok(())
}

#[test]
fn probes_bgp_and_bfd_leave_with_the_link_s_own_address() -> Result<()> {
    probes_and_bgp("s4", &V4)
}

#[test]
fn probes_bgp_and_bfd_leave_with_the_link_s_own_address_over_ipv6() -> Result<()> {
    probes_and_bgp("s6", &V6)
}

/// The far end calls the second address of the near one, which knows it by its key alone.
#[test]
fn wireguard_answers_from_the_address_that_was_called() -> Result<()> {
    let wire = Wire::build("sw", &V4)?;
    let key = |name: &str| KeyPair::generate(&wire.scratch.directory().join(name));
    let (ours, theirs) = (key("ours")?, key("theirs")?);
    let link = |[local, remote]: [&str; 2], own: &KeyPair, peer: &KeyPair, endpoint: &str| {
        format!(
            "[link.t]\ninside = {{ local = \"{local}/30\", remote = \"{remote}\" }}\n\
             wireguard = {{ private-key = {{ file = \"{}\" }}, listen = 51820, peer = {{ public-key = \"{}\"{endpoint} }} }}\n",
            own.private.display(),
            peer.public
        )
    };
    let mut near = wire.router("near", &wire.near)?;
    let inside = ["10.99.0.1", "10.99.0.2"];
    near.configure(&(router("near") + &link(inside, &ours, &theirs, "")))?;
    near.start()?;
    let capture = wire.capture(&[])?;
    let mut far = wire.router("far", &wire.far)?;
    let endpoint = format!(", endpoint = \"{}:51820\"", V4.local);
    let inside = ["10.99.0.2", "10.99.0.1"];
    far.configure(&(router("far") + &link(inside, &theirs, &ours, &endpoint)))?;
    far.start()?;
    wait_for_link(&mut near, "stamp")?;
    wait_for_link(&mut far, "stamp")?;
    ensure_own_address(&capture.finish()?, &V4, &["udp.srcport == 51820"])
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn print_untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
}

#[test]
fn gre_leaves_with_the_address_that_the_file_names() -> Result<()> {
    let wire = Wire::build("sg", &V4)?;
    let Family { local, remote, .. } = V4;
    let tunnel = format!("link add tgw type gre local {remote} remote {local} ttl 64");
    if wire.far.ip(&tunnel).is_err() {
        print_untested("GRE from one of two addresses: this kernel has no GRE");
        return Ok(());
    }
    wire.far.ip("addr add 10.99.0.2/30 dev tgw")?;
    wire.far.ip("link set tgw up")?;
    let capture = wire.capture(&[])?;
    let mut near = wire.router("near", &wire.near)?;
    near.configure(&format!(
        "{}[link.t]\ninside = {{ local = \"10.99.0.1/30\", remote = \"10.99.0.2\" }}\n\
         gre = {{ local = \"{local}\", remote = \"{remote}\" }}\n",
        router("near")
    ))?;
    near.start()?;
    wait_for_link(&mut near, "icmp")?;
    ensure_own_address(&capture.finish()?, &V4, &["gre"])
}

#[test]
fn ike_and_esp_leave_with_the_address_that_the_file_names() -> Result<()> {
    let mut clouds = Clouds::build("si", Between::Cable)?;
    if !has_xfrm(&clouds.near) {
        print_untested(
            "IPsec from one of two addresses: this kernel has no ESP or no XFRM interfaces",
        );
        return Ok(());
    }
    for words in [
        "del 203.0.113.10/24",
        "add 203.0.113.9/24",
        "add 203.0.113.10/24",
    ] {
        clouds.near.ip(&format!("addr {words} dev wan"))?;
    }
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    clouds.make_gateway_s_interfaces()?;
    let capture = Capture::of(
        &clouds.far,
        "wan",
        clouds.directory(),
        &["esp or port 500 or port 4500"],
    )?;
    clouds.configure("aws-vpn-vgw", PSK)?;
    clouds.nva.start()?;
    clouds.wait_for_links("from the second address", LinkState::Up)?;
    clouds.nva.check_alive()?;
    let packets = capture.finish()?;
    for kind in ["isakmp", "esp"] {
        let ours = packets.matching(&format!("ip.src == 203.0.113.10 && {kind}"))?;
        ensure!(!ours.is_empty(), "no {kind}");
    }
    let wrong = packets.matching("ip.src == 203.0.113.9")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
