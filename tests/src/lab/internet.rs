//! The network between the clouds: a namespace between two nodes that can be cut, slowed and made
//! lossy while it runs.
//!
//! ```text
//! left node                 namespace                             right node
//! eth0 ──veth── left ─ rule iif ─► l0 ══ WAN ══ r0 ─ rule iif ─► right ──veth── eth0
//! ```

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv4Net;

use super::netns::{End, Namespace, cable};
use super::process::{Process, beside, wait_for};
use crate::wan::{LEFT_TUN, RIGHT_TUN};

/// How long the WAN may take to come up, and to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// One way across, run by the `wan` program in a namespace. It passes everything at once until it is
/// told otherwise.
#[derive(Debug)]
pub struct Internet {
    control: PathBuf,
    program: Process,
}

impl Internet {
    /// Joins two nodes through `namespace` and starts its WAN, with all it owns under `directory`.
    ///
    /// # Errors
    ///
    /// See [`join`]; or when the program does not come up.
    pub fn start(
        namespace: &Namespace,
        directory: &Path,
        left: End<'_>,
        right: End<'_>,
    ) -> Result<Self> {
        join(namespace, left, right)?;
        fs::create_dir_all(directory)?;
        let control = control(directory);
        let mut command = namespace.command(beside("wan")?);
        command.args(["--netns", namespace.name(), "--control"]);
        command.arg(&control);
        let name = format!("wan in {}", namespace.name());
        let mut program = Process::spawn(&name, &mut command, &directory.join("wan.log"))?;
        wait_for("the WAN's control socket", ANSWER, || {
            program.check_alive()?;
            tell(&control, "stats").map(drop)
        })?;
        Ok(Self { control, program })
    }

    /// Loses every packet from here on, silently: no interface goes down, no ICMP error returns.
    ///
    /// # Errors
    ///
    /// When the WAN does not answer.
    pub fn cut(&self) -> Result<()> {
        self.tell("cut").map(drop)
    }

    /// Ends a cut.
    ///
    /// # Errors
    ///
    /// When the WAN does not answer.
    pub fn restore(&self) -> Result<()> {
        self.tell("restore").map(drop)
    }

    /// Changes it: `delay 80ms`, `loss 2% left-to-right`, ...; see [`crate::wan::Command`].
    ///
    /// # Errors
    ///
    /// When the WAN does not answer or does not understand: what it said.
    pub fn tell(&self, line: &str) -> Result<String> {
        tell(&self.control, line)
    }

    pub(super) fn program(&mut self) -> &mut Process {
        &mut self.program
    }
}

/// Where the internet that keeps its files in `directory` listens.
pub(super) fn control(directory: &Path) -> PathBuf {
    directory.join("wan.sock")
}

/// Says a line to the WAN behind a control socket and returns its answer.
///
/// # Errors
///
/// As [`Internet::tell`].
pub(super) fn tell(control: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(control).with_context(|| control.display().to_string())?;
    stream.set_read_timeout(Some(ANSWER))?;
    writeln!(stream, "{line}")?;
    let mut said = String::new();
    BufReader::new(stream).read_line(&mut said)?;
    let said = said.trim_end();
    ensure!(!said.is_empty(), "the WAN hung up");
    ensure!(!said.starts_with("error: "), "the WAN says {said}");
    Ok(said.to_owned())
}

/// Wires `namespace` between two nodes: cables, TUN devices that stay, rules and routes. Each node
/// gets a route to the other one's network. What carries packets between the TUN devices
/// [`LEFT_TUN`] and [`RIGHT_TUN`] is still missing: a [`Wan`](crate::wan::Wan).
///
/// # Errors
///
/// When the kernel refuses, or both nodes are in one network.
pub fn join(namespace: &Namespace, left: End<'_>, right: End<'_>) -> Result<()> {
    let (left_network, right_network) = (network(left)?, network(right)?);
    ensure!(
        left_network.trunc() != right_network.trunc(),
        "both sides have {left_network}"
    );
    namespace.sysctl("net.ipv4.ip_forward", "1")?;
    wire(namespace, "left", LEFT_TUN, 100, left)?;
    wire(namespace, "right", RIGHT_TUN, 200, right)?;
    for (end, own, far) in [
        (left, left_network, right_network),
        (right, right_network, left_network),
    ] {
        let (far, via, dev) = (far.trunc(), gateway(own)?, end.interface);
        end.namespace
            .ip(&format!("route add {far} via {via} dev {dev}"))?;
    }
    Ok(())
}

/// One side: what arrives from the node enters the TUN, what leaves the TUN goes to the node.
fn wire(namespace: &Namespace, veth: &str, tun: &str, table: u32, node: End<'_>) -> Result<()> {
    let network = network(node)?;
    let own = format!("{}/{}", gateway(network)?, network.prefix_len());
    let inside = End {
        namespace,
        interface: veth,
        address: &own,
    };
    cable(node, inside)?;
    let (in_table, out_table, host) = (table, table + 1, network.addr());
    for words in [
        format!("tuntap add dev {tun} mode tun"),
        format!("link set {tun} up txqueuelen 1000"),
        format!("route add default dev {tun} table {in_table}"),
        format!("rule add iif {veth} lookup {in_table}"),
        format!("route add {} dev {veth} table {out_table}", network.trunc()),
        format!("route add default via {host} dev {veth} table {out_table}"),
        format!("rule add iif {tun} lookup {out_table}"),
    ] {
        namespace.ip(&words)?;
    }
    Ok(())
}

fn network(end: End<'_>) -> Result<Ipv4Net> {
    let address = end.address;
    address
        .parse()
        .with_context(|| format!("address {address}"))
}

/// The internet's address toward a node: the first of the network that the node does not have.
fn gateway(network: Ipv4Net) -> Result<Ipv4Addr> {
    let free = network.hosts().find(|host| *host != network.addr());
    free.with_context(|| format!("no address left for a gateway in {network}"))
}
