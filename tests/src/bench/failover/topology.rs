//! Namespaces, cables and addresses, and the prefixes that are announced.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use bgp::{Asn, Family, Prefix};
use clap::ValueEnum;

use super::super::rtnetlink::{Power, Rtnetlink};
use crate::bench::table::Table;
use crate::lab::netns::{Namespace, output};
use crate::lab::scratch::Scratch;
use crate::sim::random::Random;

/// The AS of the router under test.
pub const ASN: Asn = Asn(64_900);

/// How the link dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Death {
    /// In the middle: nothing but silence tells of it.
    Silent,
    /// At the near end: the interface loses its carrier.
    Carrier,
}

/// One of the two links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The better one.
    A,
    /// The other.
    B,
}

impl Side {
    /// The interface of the router under test.
    pub fn interface(self) -> &'static str {
        match self {
            Self::A => "to-a",
            Self::B => "to-b",
        }
    }

    /// The AS of its peer.
    pub fn asn(self) -> Asn {
        match self {
            Self::A => Asn(64_601),
            Self::B => Asn(64_602),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// The router's address on it.
    pub fn ours(self, family: Family) -> IpAddr {
        address(family, self.number(), 1)
    }

    /// The peer's.
    pub fn theirs(self, family: Family) -> IpAddr {
        address(family, self.number(), 2)
    }
}

const SOURCE: u8 = 3;
const BEHIND: u8 = 10;

fn address(family: Family, network: u8, host: u8) -> IpAddr {
    match family {
        Family::Ipv4Unicast => IpAddr::from([10, 78, network, host]),
        Family::Ipv6Unicast => {
            Ipv6Addr::new(0xfd78, network.into(), 0, 0, 0, 0, 0, host.into()).into()
        }
    }
}

/// Length of the networks between routers.
pub fn length(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => 24,
        Family::Ipv6Unicast => 64,
    }
}

/// All of it, but for the programs. Dropping it removes it.
#[derive(Debug)]
pub struct Topology {
    /// The router under test.
    pub router: Namespace,
    /// The peers.
    pub peers: [Namespace; 2],
    /// Where the stream begins.
    pub source: Namespace,
    /// Where it ends.
    pub sink: Namespace,
    /// Indices of the router's interfaces, as of `peers`.
    pub interfaces: [u32; 2],
    plug: Plug,
    scratch: Scratch,
}

#[derive(Debug)]
struct Plug {
    control: Rtnetlink,
    near: u32,
    bridge: u32,
}

impl Topology {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// Without root, or when the kernel refuses.
    pub fn build(family: Family) -> Result<Self> {
        let mut scratch = Scratch::new("failover")?;
        let mut make = |name: &str| {
            let namespace = scratch.namespace(name)?;
            for key in [
                "net.ipv4.ip_forward=1",
                "net.ipv6.conf.all.forwarding=1",
                "net.ipv6.conf.default.accept_dad=0",
                "net.ipv6.conf.all.accept_dad=0",
            ] {
                namespace.run("sysctl", &["-q", "-w", key])?;
            }
            anyhow::Ok(namespace)
        };
        let router = make("router")?;
        let peers = [make("a")?, make("b")?];
        let (source, sink, middle) = (make("source")?, make("sink")?, make("middle")?);
        cable((&router, "to-a"), (&middle, "near"))?;
        cable((&middle, "far"), (&peers[0], "wire"))?;
        cable((&router, "to-b"), (&peers[1], "wire"))?;
        cable((&router, "source"), (&source, "wire"))?;
        middle.ip("link add bridge type bridge")?;
        middle.ip("link set bridge up")?;
        for port in ["near", "far"] {
            middle.ip(&format!("link set {port} master bridge"))?;
        }
        for (side, peer) in [Side::A, Side::B].into_iter().zip(&peers) {
            let behind = BEHIND + side.number();
            give(&router, side.interface(), family, side.ours(family))?;
            give(peer, "wire", family, side.theirs(family))?;
            cable((peer, "sink"), (&sink, side.interface()))?;
            give(peer, "sink", family, address(family, behind, 1))?;
            give(&sink, side.interface(), family, address(family, behind, 2))?;
            default_route(peer, family, address(family, behind, 2))?;
        }
        give(&router, "source", family, address(family, SOURCE, 1))?;
        give(&source, "wire", family, address(family, SOURCE, 2))?;
        default_route(&source, family, address(family, SOURCE, 1))?;
        // To it every source is an address of its own, too.
        sink.sysctl("net.ipv4.conf.all.accept_local", "1")?;
        sink.ip(&format!(
            "{} route add local {} dev lo",
            flag(family),
            all(family)
        ))?;
        Ok(Self {
            interfaces: [index(&router, "to-a")?, index(&router, "to-b")?],
            plug: Plug {
                control: Rtnetlink::open(&middle)?,
                near: index(&middle, "near")?,
                bridge: index(&middle, "bridge")?,
            },
            router,
            peers,
            source,
            sink,
            scratch,
        })
    }

    /// For files of whoever runs in it.
    pub fn directory(&self) -> &Path {
        self.scratch.directory()
    }

    /// Ends the better link; the moment on both clocks just before.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn cut(&mut self, death: Death) -> Result<(Instant, SystemTime)> {
        let at = (Instant::now(), SystemTime::now());
        let Plug { control, near, .. } = &mut self.plug;
        match death {
            Death::Silent => control.set_master(*near, 0)?,
            Death::Carrier => control.set_power(*near, Power::Off)?,
        }
        Ok(at)
    }

    /// Undoes [`Topology::cut`].
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn mend(&mut self, death: Death) -> Result<Instant> {
        let at = Instant::now();
        let Plug {
            control,
            near,
            bridge,
        } = &mut self.plug;
        match death {
            Death::Silent => control.set_master(*near, *bridge)?,
            Death::Carrier => control.set_power(*near, Power::On)?,
        }
        Ok(at)
    }
}

fn cable(a: (&Namespace, &str), b: (&Namespace, &str)) -> Result<()> {
    let mut command = std::process::Command::new("ip");
    command.args(["link", "add", a.1, "netns", a.0.name(), "type", "veth"]);
    output(command.args(["peer", "name", b.1, "netns", b.0.name()]))?;
    for (namespace, interface) in [a, b] {
        namespace.ip(&format!("link set {interface} up"))?;
    }
    Ok(())
}

fn give(namespace: &Namespace, interface: &str, family: Family, address: IpAddr) -> Result<()> {
    let length = length(family);
    let added = namespace.ip(&format!("addr add {address}/{length} dev {interface}"));
    added.map(drop)
}

fn default_route(namespace: &Namespace, family: Family, via: IpAddr) -> Result<()> {
    let added = namespace.ip(&format!("{} route add default via {via}", flag(family)));
    added.map(drop)
}

fn flag(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "-4",
        Family::Ipv6Unicast => "-6",
    }
}

fn all(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "0.0.0.0/0",
        Family::Ipv6Unicast => "::/0",
    }
}

/// The number of an interface.
pub(in crate::bench) fn index(namespace: &Namespace, interface: &str) -> Result<u32> {
    let file = format!("/sys/class/net/{interface}/ifindex");
    let read = namespace.run("cat", &[&file])?;
    read.trim().parse().context("an index is a number")
}

/// As many prefixes as wanted, the same for a seed.
///
/// # Errors
///
/// Never: what it makes are prefixes.
pub fn prefixes(family: Family, count: usize, seed: u64) -> Result<Vec<Prefix>> {
    match family {
        Family::Ipv4Unicast => Ok(Table::generate(count, seed).prefixes().to_vec()),
        Family::Ipv6Unicast => {
            let mut random = Random::new(seed);
            let mut made = std::collections::BTreeSet::new();
            while made.len() < count {
                // 36 bits of 2a00::/12, down to /48.
                let drawn = u128::from(random.seed() >> 28) << 80;
                let address = Ipv6Addr::from(0x2a00_u128 << 112 | drawn);
                made.insert(Prefix::new(address.into(), 48)?);
            }
            Ok(made.into_iter().collect())
        }
    }
}

/// A host in a prefix.
pub fn host(prefix: &Prefix) -> IpAddr {
    match prefix.network() {
        IpAddr::V4(network) => IpAddr::V4((u32::from(network) + 1).into()),
        IpAddr::V6(network) => IpAddr::V6((u128::from(network) + 1).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_prefixes_as_wanted_and_no_host_is_in_two_of_ipv6() {
        let made = prefixes(Family::Ipv6Unicast, 5_000, 1).expect("prefixes");
        assert_eq!(made.len(), 5_000);
        let within: Prefix = "2a00::/12".parse().expect("a prefix");
        assert!(made.iter().all(|prefix| within.contains(prefix)));
        assert_eq!(host(&made[0]), {
            let network = made[0].network();
            let IpAddr::V6(network) = network else {
                panic!("{network}");
            };
            IpAddr::V6((u128::from(network) + 1).into())
        });
    }
}
