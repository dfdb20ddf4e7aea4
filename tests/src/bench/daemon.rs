//! The daemons that can be measured: how each is started as a route server without policy.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bgp::Asn;
use clap::ValueEnum;

use super::peer::Identity;
use crate::lab::gateway::own_by_frr;
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
    /// FRR's `bgpd` alone, without zebra.
    Frr,
    /// GoBGP.
    Gobgp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skybridge => "skybridge",
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Gobgp => "gobgp",
        })
    }
}

impl Kind {
    /// All of them, ours first.
    pub const ALL: [Self; 4] = [Self::Skybridge, Self::Bird, Self::Frr, Self::Gobgp];

    /// What it says of its version.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn version(self) -> Result<String> {
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
        }
    }

    /// Starts it in `namespace` with these peers, which will dial it, and no routes to the kernel.
    /// All that it writes is in `directory`.
    ///
    /// # Errors
    ///
    /// When it is not installed or the file cannot be written.
    pub fn start(
        self,
        namespace: &Namespace,
        directory: &Path,
        peers: &[Identity],
    ) -> Result<Process> {
        let file = directory.join("daemon.conf");
        let text = match self {
            Self::Skybridge => skybridge(directory, peers),
            Self::Bird => bird(peers),
            Self::Frr => frr(peers),
            Self::Gobgp => gobgp(peers),
        };
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
fn skybridge(directory: &Path, peers: &[Identity]) -> String {
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
        .replace("@FIB@", "false")
        .replace("@DIR@", &directory.display().to_string())
}

fn bird(peers: &[Identity]) -> String {
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
        "log stderr all;\nrouter id {ADDRESS};\nprotocol device {{ }}\n{}",
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
            skybridge(Path::new("/run/x"), &peers),
            bird(&peers),
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
