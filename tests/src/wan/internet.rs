//! A namespace that is "an internet" between two others: veths to both, a [`Wan`] between.
//!
//! ```text
//! left ns               namespace                             right ns
//! IFNAME ──veth── left ─ rule iif ─► l0 ══ WAN ══ r0 ─ rule iif ─► right ──veth── IFNAME
//! ```

use std::process;

use anyhow::{Context, Result, bail, ensure};
use ipnet::Ipv4Net;

use super::{Direction, Shape, Wan};

/// The WAN's TUN device on the left, inside the internet's namespace.
pub const LEFT_TUN: &str = "l0";
/// The WAN's TUN device on the right, inside the internet's namespace.
pub const RIGHT_TUN: &str = "r0";

/// One end of an internet.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// An existing namespace.
    pub netns: &'a str,
    /// The interface that is made in it.
    pub ifname: &'a str,
    /// Its address and prefix; the internet takes another host address of the same prefix.
    pub address: Ipv4Net,
}

impl Side<'_> {
    /// The internet's address toward this side: the first of the prefix that is free.
    pub fn gateway(&self) -> Result<std::net::Ipv4Addr> {
        let free = self
            .address
            .hosts()
            .find(|host| *host != self.address.addr());
        free.with_context(|| format!("no address left for a gateway in {}", self.address))
    }
}

/// Runs `ip` and gives back what it prints; what it complains about is the error.
pub fn ip(arguments: &[&str]) -> Result<String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = process::Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A network namespace that goes when this is dropped, with every interface in it.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes it, with loopback up.
    pub fn new(name: &str) -> Result<Self> {
        ip(&["netns", "add", name]).context("network namespaces need root (CAP_SYS_ADMIN)")?;
        let namespace = Self(name.to_owned());
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to tell; a leftover makes the next `Namespace::new` fail by name.
        let _ = ip(&["netns", "del", &self.0]);
    }
}

/// Wires the existing namespace `name` between two sides: veths, addresses, persistent TUN devices,
/// rules and routes. Each side gets a route to the other side's prefix. The [`Wan`] is still missing:
/// [`Wan::new`] with [`LEFT_TUN`] and [`RIGHT_TUN`], or the `wan` program.
pub fn join(name: &str, left: &Side<'_>, right: &Side<'_>) -> Result<()> {
    ensure!(
        left.address.trunc() != right.address.trunc(),
        "both sides have {}",
        left.address
    );
    for setting in [
        "ip_forward=1",
        "conf.all.rp_filter=0",
        "conf.default.rp_filter=0",
    ] {
        run(
            "ip",
            &[
                "netns",
                "exec",
                name,
                "sysctl",
                "-qw",
                &format!("net.ipv4.{setting}"),
            ],
        )?;
    }
    wire(name, "left", LEFT_TUN, "101", left)?;
    wire(name, "right", RIGHT_TUN, "102", right)?;
    for (side, other) in [(left, right), (right, left)] {
        let (to, via) = (
            other.address.trunc().to_string(),
            side.gateway()?.to_string(),
        );
        ip(&[
            "-n",
            side.netns,
            "route",
            "replace",
            &to,
            "via",
            &via,
            "dev",
            side.ifname,
        ])?;
    }
    Ok(())
}

/// One side: what arrives from it enters the TUN, what leaves the TUN goes to it.
fn wire(name: &str, veth: &str, tun: &str, table: &str, side: &Side<'_>) -> Result<()> {
    let prefix = side.address.trunc().to_string();
    let gateway = format!("{}/{}", side.gateway()?, side.address.prefix_len());
    let (address, host) = (side.address.to_string(), side.address.addr().to_string());
    let peer = ["peer", "name", side.ifname, "netns", side.netns];
    ip(&[
        &["-n", name, "link", "add", veth, "type", "veth"],
        &peer[..],
    ]
    .concat())?;
    ip(&[
        "-n",
        side.netns,
        "address",
        "add",
        &address,
        "dev",
        side.ifname,
    ])?;
    ip(&["-n", side.netns, "link", "set", side.ifname, "up"])?;
    ip(&["-n", name, "address", "add", &gateway, "dev", veth])?;
    ip(&["-n", name, "link", "set", veth, "up"])?;
    ip(&["-n", name, "tuntap", "add", "dev", tun, "mode", "tun"])?;
    ip(&["-n", name, "link", "set", tun, "up", "txqueuelen", "1000"])?;
    let enter = format!("1{table}");
    ip(&[
        "-n", name, "route", "add", "default", "dev", tun, "table", &enter,
    ])?;
    ip(&["-n", name, "rule", "add", "iif", veth, "lookup", &enter])?;
    ip(&[
        "-n", name, "route", "add", &prefix, "dev", veth, "table", table,
    ])?;
    ip(&[
        "-n", name, "route", "add", "default", "via", &host, "dev", veth, "table", table,
    ])?;
    ip(&["-n", name, "rule", "add", "iif", tun, "lookup", table])?;
    Ok(())
}

/// An internet that lives as long as this value: its namespace, and the WAN in it.
pub struct Internet {
    wan: Wan,
    _namespace: Namespace,
}

impl Internet {
    /// Makes the namespace `name`, joins the two sides and starts the WAN, which passes everything.
    pub fn new(name: &str, left: Side<'_>, right: Side<'_>, seed: u64) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        join(name, &left, &right)?;
        let wan = Wan::new(name, LEFT_TUN, RIGHT_TUN, seed)?;
        Ok(Self {
            wan,
            _namespace: namespace,
        })
    }

    /// Sets the whole shape.
    pub fn shape(&self, direction: Direction, shape: Shape) {
        self.wan.shape(direction, shape);
    }

    /// Drops everything, both ways, silently.
    pub fn cut(&self) {
        self.wan.cut(Direction::Both);
    }

    /// Undoes [`Internet::cut`].
    pub fn restore(&self) {
        self.wan.restore(Direction::Both);
    }

    /// The WAN, for what has no word here.
    pub fn wan(&self) -> &Wan {
        &self.wan
    }
}
