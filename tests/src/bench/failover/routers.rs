//! The routers that are measured, and the peers beside them. Nothing is tuned but the timers that all share.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bgp::{Family, Prefix};

use super::topology::{ASN, Side, Topology, length};
use crate::bench::daemon::Kind;
use crate::bench::measure::cpu_time;
use crate::lab::gateway::{Bird, Frr};
use crate::lab::nva::{Binaries, Nva};
use crate::lab::process::Process;

/// Between two BFD packets, ms, of everybody.
pub const INTERVAL: u32 = 100;
/// So many missing in a row are too many.
pub const MULTIPLIER: u32 = 3;

/// The silence that means "down".
pub const DETECTION: Duration = Duration::from_millis((INTERVAL * MULTIPLIER) as u64);

const SIDES: [Side; 2] = [Side::A, Side::B];

/// A router under test that runs.
#[derive(Debug)]
pub enum Router {
    /// `skybridged`.
    Skybridge(Nva),
    /// FRR's zebra, bgpd and bfdd.
    Frr(Frr),
    /// BIRD.
    Bird(Bird),
}

impl Router {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not come up.
    pub fn start(kind: Kind, topology: &Topology, family: Family) -> Result<Self> {
        let directory = topology.directory().join("router");
        let namespace = &topology.router;
        match kind {
            Kind::Skybridge => {
                let mut nva = Nva::new(namespace, &directory, &Binaries::find()?)?;
                nva.configure(&skybridge(family))?;
                nva.start()?;
                Ok(Self::Skybridge(nva))
            }
            Kind::Frr => {
                let peer = Side::A.theirs(family);
                let mut frr = Frr::launch(namespace, &directory, peer, &frr(family))?;
                frr.add_bfdd(namespace, "hostname router\n")?;
                Ok(Self::Frr(frr))
            }
            Kind::Bird => Ok(Self::Bird(Bird::launch(
                namespace,
                &directory,
                &bird(family),
            )?)),
            Kind::Gobgp | Kind::Kernel => bail!("{kind} is no router by itself"),
        }
    }

    /// Fails, with the end of its log, unless all of it runs.
    ///
    /// # Errors
    ///
    /// As said.
    pub fn check_alive(&mut self) -> Result<()> {
        self.processes()?
            .iter_mut()
            .try_for_each(Process::check_alive)
    }

    /// The end of the log of each process.
    pub fn last_words(&mut self) -> String {
        let processes = self.processes().unwrap_or_default();
        let tails = processes.iter().map(|process| process.log_tail(8));
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Processor time so far.
    ///
    /// # Errors
    ///
    /// When a process has ended.
    pub fn cpu(&mut self) -> Result<Duration> {
        self.processes()?
            .iter()
            .map(|one| cpu_time(one.pid()))
            .sum()
    }

    fn processes(&mut self) -> Result<&mut [Process]> {
        Ok(match self {
            Self::Skybridge(nva) => std::slice::from_mut(nva.process()?),
            Self::Frr(frr) => frr.processes(),
            Self::Bird(bird) => bird.processes(),
        })
    }
}

/// A peer that announces the prefixes.
#[derive(Debug)]
pub struct Peer {
    bird: Bird,
    routes: usize,
}

impl Peer {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When BIRD is not installed or does not come up.
    pub fn start(
        side: Side,
        topology: &Topology,
        family: Family,
        prefixes: &[Prefix],
    ) -> Result<Self> {
        let (name, namespace) = match side {
            Side::A => ("peer-a", &topology.peers[0]),
            Side::B => ("peer-b", &topology.peers[1]),
        };
        let directory = topology.directory().join(name);
        fs::create_dir_all(&directory)?;
        let mut routes = String::with_capacity(prefixes.len() * 36);
        for prefix in prefixes {
            writeln!(routes, "route {prefix} unreachable;")?;
        }
        fs::write(directory.join("routes.conf"), routes)?;
        let bird = Bird::launch(namespace, &directory, &peer(side, family, &directory))?;
        Ok(Self {
            bird,
            routes: prefixes.len(),
        })
    }

    /// Fails unless it has told the router all its routes.
    ///
    /// # Errors
    ///
    /// What it says of its session.
    pub fn check_told(&self) -> Result<()> {
        let said = self.bird.birdc("show protocols all nva")?;
        //     Routes:         0 imported, 1000 exported, 0 preferred
        let line = said.lines().find(|line| line.contains(" exported"));
        let line = line.context("no count of routes")?;
        let wanted = format!(" {} exported", self.routes);
        ensure!(line.contains(&wanted), "{}", line.trim());
        Ok(())
    }
}

fn skybridge(family: Family) -> String {
    let mut text = format!(
        "[router]\nname = \"failover\"\nasn = {ASN}\nid = \"10.78.1.1\"\n
[log]\nlevel = \"info\"\n
[[filter.all]]\naction = \"accept\"\n"
    );
    for side in SIDES {
        let _ = write!(
            text,
            "
[link.{interface}]
interface = \"{interface}\"
inside    = {{ local = \"{ours}/{length}\", remote = \"{theirs}\" }}
probe     = {{ method = \"off\" }}
bfd       = {{ interval = \"{INTERVAL}ms\", multiplier = {MULTIPLIER} }}
bgp       = {{ asn = {asn}, import = \"all\", connect-retry = \"1s\" }}
",
            interface = side.interface(),
            ours = side.ours(family),
            theirs = side.theirs(family),
            length = length(family),
            asn = side.asn(),
        );
    }
    text
}

fn frr(family: Family) -> String {
    let (name, list, any) = match family {
        Family::Ipv4Unicast => ("ipv4", "ip", "any"),
        Family::Ipv6Unicast => ("ipv6", "ipv6", "any"),
    };
    let mut text = format!(
        "hostname router\n{list} prefix-list nothing seq 5 deny {any}\nrouter bgp {ASN}
 bgp router-id 10.78.1.1\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n"
    );
    let mut in_family = String::new();
    for side in SIDES {
        let (peer, asn) = (side.theirs(family), side.asn());
        let _ = write!(
            text,
            " neighbor {peer} remote-as {asn}
 neighbor {peer} timers connect 1
 neighbor {peer} bfd {MULTIPLIER} {INTERVAL} {INTERVAL}
"
        );
        let _ = write!(
            in_family,
            "  neighbor {peer} activate\n  neighbor {peer} prefix-list nothing out\n"
        );
    }
    let _ = write!(
        text,
        " address-family {name} unicast\n{in_family} exit-address-family\n"
    );
    text
}

fn channel(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

fn bird(family: Family) -> String {
    let channel = channel(family);
    let mut text = format!(
        "log stderr all;
router id 10.78.1.1;
protocol device {{ }}
protocol kernel {{ {channel} {{ import none; export where source = RTS_BGP; }}; }}
protocol bfd {{ interface \"to-*\" {{ interval {INTERVAL} ms; multiplier {MULTIPLIER}; }}; }}
"
    );
    for (side, name) in SIDES.into_iter().zip(["nva", "b"]) {
        let _ = write!(
            text,
            "protocol bgp {name} {{
  local {} as {ASN};
  neighbor {} as {};
  bfd on;
  {RETRY}
  {channel} {{ import all; export none; }};
}}
",
            side.ours(family),
            side.theirs(family),
            side.asn(),
        );
    }
    text
}

const RETRY: &str = "connect retry time 1; connect delay time 1; error wait time 1, 2;";

fn peer(side: Side, family: Family, directory: &std::path::Path) -> String {
    let channel = channel(family);
    let (ours, theirs, asn) = (side.theirs(family), side.ours(family), side.asn());
    let longer = match side {
        Side::A => String::new(),
        Side::B => format!("bgp_path.prepend({asn}); bgp_path.prepend({asn});"),
    };
    format!(
        "log stderr all;
router id 10.78.{id}.2;
protocol device {{ }}
protocol bfd {{ interface \"wire\" {{ interval {INTERVAL} ms; multiplier {MULTIPLIER}; }}; }}
protocol static table_of_all {{
  {channel};
  include \"{routes}\";
}}
protocol bgp nva {{
  local {ours} as {asn};
  neighbor {theirs} as {ASN};
  bfd on;
  {RETRY}
  {channel} {{
    import none;
    next hop self;
    export filter {{ if source != RTS_STATIC then reject; {longer} accept; }};
  }};
}}
",
        id = match side {
            Side::A => 1,
            Side::B => 2,
        },
        routes = directory.join("routes.conf").display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_names_both_peers_of_its_family() {
        for family in Family::ALL {
            for text in [skybridge(family), frr(family), bird(family)] {
                for side in SIDES {
                    let peer = side.theirs(family).to_string();
                    assert!(text.contains(&peer), "{peer} is missing:\n{text}");
                    assert!(text.contains(&side.asn().to_string()), "{text}");
                }
            }
        }
    }
}
