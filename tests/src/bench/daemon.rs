//! The daemons that can be measured: how each is started as a route server without policy.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use bgp::Asn;
use clap::ValueEnum;

use super::peer::Identity;
use crate::lab::gateway::{Frr, own_by_frr};
use crate::lab::netns::Namespace;
use crate::lab::process::{Process, beside};

/// The AS of every daemon under test.
pub const ASN: Asn = Asn(64_900);
/// Its address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

const FRR: &str = "/usr/lib/frr/bgpd";
/// Also for measuring with other harnesses, hence with placeholders.
const SKYBRIDGE_TEMPLATE: &str = include_str!("../../bench/skybridge.toml.in");

/// A daemon to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// The `skybridged` of this build.
    Skybridge,
    /// BIRD.
    Bird,
    /// FRR's `bgpd`, with zebra where routes go to the kernel.
    Frr,
    /// GoBGP.
    Gobgp,
    /// No daemon: the same routes straight into the kernel, which none can be faster than.
    Kernel,
}

/// Whether a daemon gives its routes to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Installing {
    /// It does.
    Yes,
    /// It only passes them on.
    No,
}

/// A daemon that runs, be it of several processes.
#[derive(Debug)]
pub struct Daemon(Vec<Process>);

impl Daemon {
    /// Fails, with the end of its log, unless all of it runs.
    ///
    /// # Errors
    ///
    /// As said.
    pub fn check_alive(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Process::check_alive)
    }

    /// The end of the log of each process.
    pub fn last_words(&self) -> String {
        let tails = self.0.iter().map(|process| process.log_tail(12));
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Its processes by number.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(Process::pid)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skybridge => "skybridge",
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Gobgp => "gobgp",
            Self::Kernel => "kernel",
        })
    }
}

impl Kind {
    /// All of them, ours first.
    pub const ALL: [Self; 5] = [
        Self::Skybridge,
        Self::Bird,
        Self::Frr,
        Self::Gobgp,
        Self::Kernel,
    ];

    /// Whether it can play that part.
    pub fn can(self, installing: Installing) -> bool {
        match (self, installing) {
            (Self::Skybridge | Self::Bird | Self::Frr, _) => true,
            // It has zebra do it.
            (Self::Gobgp, Installing::Yes) => false,
            (Self::Gobgp, Installing::No) => true,
            (Self::Kernel, installing) => installing == Installing::Yes,
        }
    }

    /// What it says of its version.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn version(self) -> Result<String> {
        if self == Self::Kernel {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
            return Ok(format!("Linux {}, no daemon", release.trim()));
        }
        let done = Command::new(self.program()?).arg("--version").output()?;
        // BIRD says it on standard error.
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().next().context("it says no version")?;
        Ok(line.trim().to_owned())
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Skybridge => beside("skybridged"),
            Self::Bird => on_path("bird"),
            Self::Gobgp => on_path("gobgpd"),
            Self::Frr => {
                ensure!(Path::new(FRR).exists(), "no {FRR}");
                Ok(FRR.into())
            }
            Self::Kernel => bail!("that is no daemon"),
        }
    }

    /// Starts it in `namespace` with these peers, which will dial it. All that it writes is in `directory`.
    ///
    /// # Errors
    ///
    /// When it is not installed or the file cannot be written.
    pub fn start(
        self,
        namespace: &Namespace,
        directory: &Path,
        peers: &[Identity],
        installing: Installing,
    ) -> Result<Daemon> {
        ensure!(self.can(installing), "{self} gives no routes to the kernel");
        let text = match self {
            Self::Skybridge => skybridge(directory, peers, installing),
            Self::Bird => bird(peers, installing),
            Self::Frr => frr(peers),
            Self::Gobgp => gobgp(peers),
            Self::Kernel => bail!("that is no daemon"),
        };
        if (self, installing) == (Self::Frr, Installing::Yes) {
            let peer = peers.first().context("no peers")?.address.into();
            let frr = Frr::launch(namespace, directory, peer, &text)?;
            return Ok(Daemon(frr.into_processes()));
        }
        let process = self.spawn(namespace, directory, &text)?;
        Ok(Daemon(vec![process]))
    }

    fn spawn(self, namespace: &Namespace, directory: &Path, text: &str) -> Result<Process> {
        let file = directory.join("daemon.conf");
        fs::write(&file, text)?;
        let mut command = namespace.command(self.program()?);
        let path = |name: &str| directory.join(name);
        match self {
            Self::Skybridge => command.arg("--config").arg(&file),
            Self::Bird => {
                command.args(["-f", "-c"]).arg(&file).arg("-s");
                command.arg(path("bird.ctl")).arg("-P").arg(path("pid"))
            }
            Self::Frr => {
                own_by_frr(directory)?;
                command.args(["-Z", "-n", "-A", "127.0.0.1", "-P", "0"]);
                command.args(["--log", "stdout", "--vty_socket"]);
                command.arg(directory).arg("-f").arg(&file);
                command.arg("-i").arg(path("pid"))
            }
            Self::Gobgp => {
                command.args(["--log-plain", "-l", "warn", "-t", "toml", "-f"]);
                command.arg(&file)
            }
            Self::Kernel => bail!("that is no daemon"),
        };
        Process::spawn(&self.to_string(), &mut command, &path("daemon.log"))
    }
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.exists())
        .with_context(|| format!("no {program} on the path"))
}

/// Fills the template: the part between the marks once for each peer.
fn skybridge(directory: &Path, peers: &[Identity], installing: Installing) -> String {
    let (head, rest) = SKYBRIDGE_TEMPLATE
        .split_once("# @PEERS_BEGIN@")
        .expect("the template has the mark");
    let (peer, tail) = rest
        .split_once("# @PEERS_END@")
        .expect("the template has the mark");
    let peers = peers.iter().enumerate().map(|(number, identity)| {
        peer.replace("@PEER_NAME@", &format!("p{number}"))
            .replace("@PEER_IP@", &identity.address.to_string())
            .replace("@PEER_AS@", &identity.asn.to_string())
    });
    [head, &peers.collect::<String>(), tail]
        .concat()
        .replace("@LOCAL_AS@", &ASN.to_string())
        .replace("@LOCAL_IP@", &ADDRESS.to_string())
        .replace("@ROUTER_ID@", &ADDRESS.to_string())
        .replace("@FIB@", &(installing == Installing::Yes).to_string())
        .replace("@DIR@", &directory.display().to_string())
}

fn bird(peers: &[Identity], installing: Installing) -> String {
    let kernel = match installing {
        Installing::Yes => "protocol kernel { ipv4 { import none; export all; }; }\n",
        Installing::No => "",
    };
    let sessions = peers.iter().enumerate().map(|(number, peer)| {
        format!(
            "protocol bgp p{number} {{
  local {ADDRESS} as {ASN};
  neighbor {} as {};
  passive on;
  ipv4 {{ import all; export all; }};
}}
",
            peer.address, peer.asn
        )
    });
    format!(
        "log stderr all;\nrouter id {ADDRESS};\nprotocol device {{ }}\n{kernel}{}",
        sessions.collect::<String>()
    )
}

fn frr(peers: &[Identity]) -> String {
    let sessions = peers.iter().map(|peer| {
        let Identity { address, asn, .. } = peer;
        format!(" neighbor {address} remote-as {asn}\n neighbor {address} passive\n")
    });
    format!(
        "hostname daemon\nrouter bgp {ASN}\n bgp router-id {ADDRESS}\n no bgp ebgp-requires-policy\n{}",
        sessions.collect::<String>()
    )
}

fn gobgp(peers: &[Identity]) -> String {
    let sessions = peers.iter().map(|peer| {
        format!(
            "[[neighbors]]
[neighbors.config]
neighbor-address = \"{}\"
peer-as = {}
[neighbors.transport.config]
passive-mode = true
",
            peer.address, peer.asn
        )
    });
    format!(
        "[global.config]\nas = {ASN}\nrouter-id = \"{ADDRESS}\"\n{}",
        sessions.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_names_every_peer_and_leaves_no_placeholder() {
        let peers = [1, 2].map(|host| Identity {
            asn: Asn(64_600 + u32::from(host)),
            address: Ipv4Addr::new(10, 77, 1, host),
            daemon: ADDRESS,
        });
        let texts = [
            skybridge(Path::new("/run/x"), &peers, Installing::Yes),
            bird(&peers, Installing::No),
            frr(&peers),
            gobgp(&peers),
        ];
        for text in texts {
            for peer in peers {
                assert!(text.contains(&peer.address.to_string()), "{text}");
                assert!(text.contains(&peer.asn.to_string()), "{text}");
            }
            assert!(!text.contains('@'), "{text}");
        }
    }
}
