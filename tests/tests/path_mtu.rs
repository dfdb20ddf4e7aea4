//! Paths that take less than the interface at their end, and say nothing: real routers, real packets.
//!
//! Needs root, iperf3, strongSwan and `cargo build --workspace --bins`; GRE and IPsec only where the kernel has
//! them, which `./dev vm` boots.
//!
//! ```text
//! near 10.8.1.1 ── 10.8.1.9 between 10.8.2.9 ── 10.8.2.1 far    between is narrow
//!    2001:db8:1::1 ── ::9             2001:db8:2::9 ── ::1
//! ```

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::v1::{Link, LinkState};
use tests::lab::clouds::{AWS, Between, CERTIFICATE, Clouds, PSK, Proof, SECRET};
use tests::lab::netns::{End, Namespace, cable, output};
use tests::lab::nva::{Binaries, KeyPair, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;
use tests::lab::strongswan::has_xfrm;

/// A hole that opens is looked for every 30 s, and emulated time is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Drops what routers say when a packet is too big, as many clouds do.
const SAY_NOTHING: &str = "table inet quiet {\n chain out {\n type filter hook output priority 0\n \
                           icmp type destination-unreachable drop\n icmpv6 type packet-too-big drop\n }\n}\n";
/// Drops fragments, as some clouds do. Before they are put together again.
const NO_FRAGMENTS: &str = "table ip whole {\n chain in {\n type filter hook prerouting priority -450\n \
                            iifname \"wan\" ip frag-off & 0x3fff != 0 drop\n }\n}\n";

/// The addresses of two sites: near, its gateway, far, its gateway.
struct Outside {
    addresses: [&'static str; 4],
    length: u8,
    forwarding: &'static str,
}

const V4: Outside = Outside {
    addresses: ["10.8.1.1", "10.8.1.9", "10.8.2.1", "10.8.2.9"],
    length: 24,
    forwarding: "net.ipv4.ip_forward",
};
const V6: Outside = Outside {
    addresses: [
        "2001:db8:1::1",
        "2001:db8:1::9",
        "2001:db8:2::1",
        "2001:db8:2::9",
    ],
    length: 64,
    forwarding: "net.ipv6.conf.all.forwarding",
};

/// Two sites and a router between them.
struct Sites {
    near: Namespace,
    between: Namespace,
    far: Namespace,
    scratch: Scratch,
}

impl Sites {
    fn build(name: &str, outside: &Outside) -> Result<Self> {
        let mut scratch = Scratch::new(name)?;
        let [near, between, far] = ["near", "mid", "far"].map(|node| scratch.namespace(node));
        let (near, between, far) = (near?, between?, far?);
        for namespace in [&near, &between, &far] {
            // Addresses that are looked for on the cable first cannot be used for a second.
            namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        }
        let Outside {
            addresses: [a, gateway_a, b, gateway_b],
            length,
            forwarding,
        } = outside;
        for (site, interface, ours, gateway) in
            [(&near, "left", a, gateway_a), (&far, "right", b, gateway_b)]
        {
            let end = |namespace, interface, address| End {
                namespace,
                interface,
                address,
            };
            let (ours, theirs) = (format!("{ours}/{length}"), format!("{gateway}/{length}"));
            cable(end(site, "wan", &ours), end(&between, interface, &theirs))?;
            site.ip(&format!("route add default via {gateway}"))?;
        }
        between.sysctl(forwarding, "1")?;
        between.run("nft", &[SAY_NOTHING])?;
        Ok(Self {
            near,
            between,
            far,
            scratch,
        })
    }

    /// What the way takes in both directions: a cable lets longer packets into the narrow end.
    fn narrow(&self, mtu: u32) -> Result<()> {
        for interface in ["left", "right"] {
            self.between
                .ip(&format!("link set {interface} mtu {mtu}"))?;
        }
        Ok(())
    }
}

fn link(nva: &Nva) -> Result<Link> {
    let links = nva.links()?;
    links.into_iter().next().context("no link")
}

/// Waits until a link's path is known to take so much, and its interface does no more.
fn wait_for_path(nva: &mut Nva, path: u32, interface: u32) -> Result<()> {
    let what = format!("{path} octets of {}", nva.namespace().name());
    wait_for(&what, PATIENCE, || {
        nva.check_alive()?;
        let link = link(nva)?;
        ensure!(
            (link.path_mtu, link.mtu) == (path, interface),
            "path {}, interface {}, {}",
            link.path_mtu,
            link.mtu,
            link.path_mtu_note
        );
        Ok(())
    })
}

/// Waits until TCP over IPv4 that is forwarded is told of no longer segments.
fn wait_for_clamp(near: &Namespace, segment: u32) -> Result<()> {
    wait_for("the clamp", PATIENCE, || {
        let rules = near.run("nft", &["list", "table", "inet", "skybridge"])?;
        let clamp = format!("maxseg size set {segment}");
        ensure!(rules.contains(&clamp), "{rules}");
        Ok(())
    })
}

/// Sends `octets` from a namespace to a server that waits in another, and back.
fn transfer(from: &Namespace, to: &Namespace, address: &str, octets: &str) -> Result<()> {
    for direction in ["--bytes", "--reverse"] {
        let mut server = to.command("timeout");
        server.args(["90", "iperf3", "-s", "-1", "-B", address]);
        let mut server = server.stdout(Stdio::null()).spawn()?;
        let mut client = from.command("timeout");
        client.args(["60", "iperf3", "-c", address, "-n", octets]);
        if direction == "--reverse" {
            client.arg("-R");
        }
        let give_up = Instant::now() + PATIENCE;
        let mut done = output(&mut client);
        // The server may not listen yet.
        while done
            .as_ref()
            .is_err_and(|error| error.to_string().contains("Connection refused"))
            && server.try_wait()?.is_none()
            && Instant::now() < give_up
        {
            thread::sleep(Duration::from_millis(200));
            done = output(&mut client);
        }
        let done = done.with_context(|| format!("{direction} of {octets}"));
        if done.is_err() {
            server.kill()?;
        }
        server.wait()?;
        done?;
    }
    Ok(())
}

/// One ping of a packet as long that may not be fragmented.
fn ping(from: &Namespace, to: &str, packet: u32) -> Result<()> {
    let data = (packet - 28).to_string();
    let args = [
        "-n", "-c", "3", "-i", "0.3", "-W", "3", "-M", "do", "-s", &data, to,
    ];
    from.run("ping", &args).map(drop)
}

fn router(name: &str, host: u8) -> String {
    format!(
        "[router]\nname = \"{name}\"\nasn = 65010\nid = \"10.8.0.{host}\"\n\
         listen = [\"127.0.0.1:179\"]\n"
    )
}

/// - `to`: the backend, and the address of the far end
fn wireguard(
    name: &str,
    inside: [&str; 2],
    ours: &KeyPair,
    theirs: &KeyPair,
    [backend, to]: [&str; 2],
) -> String {
    let [local, remote] = inside;
    format!(
        "[link.{name}]\ninside = {{ local = \"{local}/31\", remote = \"{remote}\" }}\n\
         [link.{name}.wireguard]\nbackend = \"{backend}\"\nlisten = 51820\n\
         private-key = {{ file = \"{}\" }}\n\
         peer = {{ public-key = \"{}\", endpoint = \"{to}:51820\" }}\n",
        ours.private.display(),
        theirs.public
    )
}

/// WireGuard takes 60 of 1400: 1340 are left, where 1420 were hoped for.
#[test]
fn a_wireguard_link_keeps_to_what_its_path_takes_and_takes_more_when_it_can() -> Result<()> {
    let sites = Sites::build("mw", &V4)?;
    sites.narrow(1400)?;
    for site in [&sites.near, &sites.far] {
        site.run("nft", &[NO_FRAGMENTS])?;
    }
    let directory = sites.scratch.directory();
    let key = |name: &str| KeyPair::generate(&directory.join(name));
    let (key_a, key_b) = (key("a")?, key("b")?);
    let binaries = Binaries::find()?;
    let node = |site, name| Nva::new(site, &directory.join(name), &binaries);
    let (mut near, mut far) = (node(&sites.near, "near")?, node(&sites.far, "far")?);
    let (to_far, to_near) = (["10.99.0.0", "10.99.0.1"], ["10.99.0.1", "10.99.0.0"]);
    let link_a = wireguard("far", to_far, &key_a, &key_b, ["userspace", "10.8.2.1"]);
    let link_b = wireguard("near", to_near, &key_b, &key_a, ["userspace", "10.8.1.1"]);
    near.configure(&(router("near", 1) + &link_a))?;
    far.configure(&(router("far", 2) + &link_b))?;
    near.start()?;
    far.start()?;
    for nva in [&mut near, &mut far] {
        wait_for_path(nva, 1340, 1340)?;
    }
    let shown = near.cli(&["show", "links"])?;
    ensure!(
        shown.contains("far: the path takes 1340 of 1420"),
        "{shown}"
    );
    wait_for("the tunnel's row", PATIENCE, || {
        let shown = near.cli(&["show", "tunnels"])?;
        ensure!(
            shown.contains("MTU 1340, the path takes 1340 of 1420"),
            "{shown}"
        );
        Ok(())
    })?;
    let history = near.cli(&["watch", "--history", "--no-follow"])?;
    ensure!(history.contains("path-mtu"), "{history}");
    let scrape = near.metrics()?;
    ensure!(
        scrape.contains("skybridge_link_path_mtu_bytes{link=\"far\"} 1340"),
        "{scrape}"
    );
    wait_for_clamp(&sites.near, 1300)?;
    ping(&sites.near, "10.99.0.1", 1340)?;
    ensure!(
        ping(&sites.near, "10.99.0.1", 1341).is_err(),
        "refused where its sender hears of it"
    );
    transfer(&sites.near, &sites.far, "10.99.0.1", "2M")?;

    // What was found outlives us, and a path that has grown is found at the next look.
    near.process()?.kill()?;
    near.start()?;
    wait_for_path(&mut near, 1340, 1340)?;
    // Who is killed while it begins another program leaves its ports to that for a moment.
    wait_for_clamp(&sites.near, 1300)?;
    near.process()?.kill()?;
    sites.narrow(1500)?;
    near.start()?;
    wait_for_path(&mut near, 1420, 1420)?;
    ping(&sites.near, "10.99.0.1", 1420)?;

    // Nobody looks any more: the file holds.
    sites.narrow(1400)?;
    let not_looking = link_a.replace(
        "[link.far.wireguard]",
        "probe = { mtu = false }\n[link.far.wireguard]",
    );
    near.configure(&(router("near", 1) + &not_looking))?;
    near.cli(&["reload"])?;
    wait_for_path(&mut near, 0, 1420)
}

/// What WireGuard, the kernel's where it has one, leaves of 1300 octets.
///
/// - `around`: an address as it stands before a port
fn wireguard_over_1300_octets(
    name: &str,
    outside: &Outside,
    around: fn(&str) -> String,
    left: u32,
) -> Result<()> {
    let sites = Sites::build(name, outside)?;
    sites.narrow(1300)?;
    for site in [&sites.near, &sites.far] {
        site.run("nft", &[NO_FRAGMENTS])?;
    }
    let directory = sites.scratch.directory();
    let key = |name: &str| KeyPair::generate(&directory.join(name));
    let (key_a, key_b) = (key("a")?, key("b")?);
    let binaries = Binaries::find()?;
    let node = |site, name| Nva::new(site, &directory.join(name), &binaries);
    let (mut near, mut far) = (node(&sites.near, "near")?, node(&sites.far, "far")?);
    let [a, _, b, _] = outside.addresses.map(around);
    let (to_far, to_near) = (["10.99.0.0", "10.99.0.1"], ["10.99.0.1", "10.99.0.0"]);
    let link_a = wireguard("far", to_far, &key_a, &key_b, ["auto", &b]);
    let link_b = wireguard("near", to_near, &key_b, &key_a, ["auto", &a]);
    near.configure(&(router("near", 1) + &link_a))?;
    far.configure(&(router("far", 2) + &link_b))?;
    near.start()?;
    far.start()?;
    // The kernel's fills packets up to a multiple of 16 where the interface takes as much.
    let left = match sites.near.ip("link add probe type wireguard") {
        Ok(_) => left - left % 16,
        Err(_) => left,
    };
    for nva in [&mut near, &mut far] {
        wait_for_path(nva, left, left)?;
    }
    ping(&sites.near, "10.99.0.1", left)?;
    transfer(&sites.near, &sites.far, "10.99.0.1", "200K")
}

/// Fragments, which routers make of its packets, are lost.
#[test]
fn a_wireguard_link_keeps_to_what_a_path_of_1300_octets_leaves() -> Result<()> {
    wireguard_over_1300_octets("m4", &V4, str::to_owned, 1240)
}

/// No router makes fragments.
#[test]
fn a_wireguard_link_over_ipv6_keeps_to_what_a_path_of_1300_octets_leaves() -> Result<()> {
    let around = |address: &str| format!("[{address}]");
    wireguard_over_1300_octets("m7", &V6, around, 1220)
}

/// A bridge drops what is too long for one of its ports, and cannot say so.
#[test]
fn an_interface_of_somebody_else_is_left_alone_and_tcp_is_clamped() -> Result<()> {
    let mut scratch = Scratch::new("mi")?;
    let [near, between, far, host] =
        ["near", "mid", "far", "host"].map(|node| scratch.namespace(node));
    let (near, between, far, host) = (near?, between?, far?, host?);
    let end = |namespace, interface, address| End {
        namespace,
        interface,
        address,
    };
    cable(
        end(&near, "wan", "10.9.0.1/24"),
        end(&between, "left", "192.0.2.1/32"),
    )?;
    cable(
        end(&far, "wan", "10.9.0.2/24"),
        end(&between, "right", "192.0.2.2/32"),
    )?;
    cable(
        end(&near, "lan", "10.1.0.1/24"),
        end(&host, "lan", "10.1.0.2/24"),
    )?;
    between.ip("link add switch type bridge")?;
    for port in ["left", "right"] {
        between.ip(&format!("link set {port} master switch"))?;
    }
    between.ip("link set switch up")?;
    between.ip("link set right mtu 1300")?;
    near.sysctl("net.ipv4.ip_forward", "1")?;
    host.ip("route add default via 10.1.0.1")?;
    far.ip("route add 10.1.0.0/24 via 10.9.0.1")?;
    // Segments leave one by one, so that the bridge sees how long they are.
    for (namespace, interface) in [
        (&host, "lan"),
        (&far, "wan"),
        (&near, "wan"),
        (&near, "lan"),
    ] {
        namespace.ip(&format!("link set {interface} gso_max_segs 1"))?;
    }

    let mut nva = Nva::new(&near, scratch.directory(), &Binaries::find()?)?;
    let link = "[link.far]\ninterface = \"wan\"\n\
                inside = { local = \"10.9.0.1/24\", remote = \"10.9.0.2\" }\n";
    nva.configure(&(router("near", 1) + link))?;
    nva.start()?;
    wait_for_path(&mut nva, 1300, 1500)?;
    let status = nva.cli(&["status"])?;
    ensure!(status.contains("set the MTU of wan to 1300"), "{status}");
    wait_for_clamp(&near, 1260)?;
    transfer(&host, &far, "10.9.0.2", "2M")?;

    // Its owner does as he is told: nothing is left to clamp.
    near.ip("link set wan mtu 1300")?;
    wait_for_path(&mut nva, 1300, 1300)?;
    wait_for("no clamp", PATIENCE, || {
        let tables = near.run("nft", &["list", "tables"])?;
        ensure!(!tables.contains("skybridge"), "{tables}");
        Ok(())
    })
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn print_untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
}

/// GRE takes 24 of 1300, and forbids that its packets are fragmented.
#[test]
fn a_gre_link_keeps_to_what_a_path_of_1300_octets_leaves() -> Result<()> {
    let sites = Sites::build("mg", &V4)?;
    sites.narrow(1300)?;
    let tunnel = "link add tgw type gre local 10.8.2.1 remote 10.8.1.1 ttl 64";
    if sites.far.ip(tunnel).is_err() {
        print_untested("GRE over a narrow path: this kernel has no GRE");
        return Ok(());
    }
    sites.far.ip("addr add 10.99.0.1/31 dev tgw")?;
    sites.far.ip("link set tgw up")?;
    let mut nva = Nva::new(&sites.near, sites.scratch.directory(), &Binaries::find()?)?;
    let link = "[link.far]\ninside = { local = \"10.99.0.0/31\", remote = \"10.99.0.1\" }\n\
                gre = { local = \"10.8.1.1\", remote = \"10.8.2.1\" }\n";
    nva.configure(&(router("near", 1) + link))?;
    nva.start()?;
    wait_for_path(&mut nva, 1276, 1276)?;
    wait_for_clamp(&sites.near, 1236)?;
    transfer(&sites.near, &sites.far, "10.99.0.1", "200K")
}

/// Of 1300 octets ESP takes some, and forbids that its packets are fragmented where those inside do, so that a router
/// which says nothing is a black hole. IKE has no longer packets than 1280.
fn ipsec_over_1300_octets(name: &str, between: Between, proof: Proof<'_>, left: u32) -> Result<()> {
    let mut clouds = Clouds::build(name, between)?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec over a narrow path: this kernel has no ESP or no XFRM interfaces");
        return Ok(());
    }
    clouds.narrow(1300)?;
    let (profile, ours) = match proof {
        Proof::Secret(_) => ("profile = \"aws-vpn-vgw\"", PSK),
        Proof::Certificates => {
            clouds.make_certificates()?;
            ("", CERTIFICATE)
        }
    };
    clouds.configure_gateway(AWS, proof)?;
    clouds.make_gateway_s_interfaces()?;
    clouds.configure_each(profile, [ours, ours])?;
    clouds.nva.start()?;
    clouds.wait_for_links("over a narrow path", LinkState::Up)?;
    if let Proof::Certificates = proof {
        let said = clouds.ours.log();
        ensure!(
            said.contains("splitting IKE message"),
            "in one piece: {said}"
        );
    }
    wait_for("what the path takes", PATIENCE, || {
        let links = clouds.nva.links()?;
        let found = |link: &Link| (link.path_mtu, link.mtu) == (left, left);
        ensure!(links.iter().all(found), "{links:?}");
        Ok(())
    })?;
    wait_for_clamp(&clouds.near, left - 40)?;
    ping(&clouds.near, "169.254.21.1", left)?;
    transfer(&clouds.near, &clouds.far, "169.254.21.1", "200K")
}

#[test]
fn an_ipsec_link_through_a_nat_keeps_to_what_a_path_of_1300_octets_leaves() -> Result<()> {
    ipsec_over_1300_octets("mn", Between::Nat, Proof::Secret(SECRET), 1238)
}

#[test]
fn an_ipsec_link_by_certificates_comes_up_over_a_path_of_1300_octets() -> Result<()> {
    ipsec_over_1300_octets("mc", Between::Nat, Proof::Certificates, 1238)
}

#[test]
fn an_ipsec_link_over_ipv6_keeps_to_what_a_path_of_1300_octets_leaves() -> Result<()> {
    ipsec_over_1300_octets("m6", Between::Ipv6, Proof::Secret(SECRET), 1226)
}
