//! Who is measured, and how each is started.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use rustix::process::{Pid, Signal};

use crate::lab::netns::Namespace;
use crate::lab::nva::KeyPair;
use crate::lab::process::{beside, wait_for};

/// Every tunnel's; WireGuard over IPv4 or IPv6 on Ethernet.
pub const MTU: u32 = 1420;
const PORT: u16 = 51_820;
const START: Duration = Duration::from_secs(10);

/// A userspace WireGuard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// Ours, driven by the example `wg` of the crate `tunnels`.
    Skybridge,
    /// Cloudflare's, whose protocol machine ours uses.
    BoringtunCli,
    /// Debian's package of the Go implementation.
    WireguardGo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skybridge => "skybridge",
            Self::BoringtunCli => "boringtun-cli",
            Self::WireguardGo => "wireguard-go",
        })
    }
}

/// One end of a tunnel: where it is, what it is called, and who is at the other end.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// Where it runs.
    pub namespace: &'a Namespace,
    /// Unique on the machine: control sockets of all namespaces lie in one directory.
    pub interface: &'a str,
    /// Address and prefix length inside.
    pub address: &'a str,
    /// Ours.
    pub key: &'a KeyPair,
    /// The other's public key.
    pub peer: &'a str,
    /// The other's address outside; it listens where we do.
    pub remote: &'a str,
}

impl Kind {
    /// All of them, ours first.
    pub const ALL: [Self; 3] = [Self::Skybridge, Self::BoringtunCli, Self::WireguardGo];

    /// What to run.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::Skybridge => beside("examples/wg"),
            Self::BoringtunCli | Self::WireguardGo => on_path(&self.to_string()),
        }
    }

    /// Starts one end and configures it.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start(self, end: &End<'_>) -> Result<Running> {
        let mut command = end.namespace.command(self.program()?);
        match self {
            Self::Skybridge => command.args(words(end)?),
            Self::WireguardGo => command.args(["-f", end.interface]),
            Self::BoringtunCli => command.args(["-f", end.interface, "--disable-drop-privileges"]),
        };
        // Ours ends with its standard input.
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let running = Running(child);
        if self != Self::Skybridge {
            configure(end)?;
        }
        Ok(running)
    }
}

/// An end that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not KILL, unless it does not obey: some remove their control socket.
        let asked = rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM);
        let give_up = Instant::now() + Duration::from_secs(2);
        let mut ended = self.0.try_wait();
        while matches!(ended, Ok(None)) && asked.is_ok() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(20));
            ended = self.0.try_wait();
        }
        if !matches!(ended, Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What the example takes on its command line.
fn words(end: &End<'_>) -> Result<Vec<String>> {
    let private = fs::read_to_string(&end.key.private)?;
    let endpoint = format!("{}:{PORT}", end.remote);
    let (mtu, port) = (MTU.to_string(), PORT.to_string());
    let words = [
        "bench",
        end.interface,
        end.address,
        &mtu,
        private.trim(),
        &port,
        "userspace",
        end.peer,
        &endpoint,
        "-",
        "-",
    ];
    Ok(words.map(str::to_owned).into())
}

fn configure(end: &End<'_>) -> Result<()> {
    let End {
        namespace,
        interface,
        ..
    } = end;
    wait_for("its control socket", START, || {
        namespace.run("wg", &["show", interface])
    })?;
    let private = path(&end.key.private)?;
    let (port, endpoint) = (PORT.to_string(), format!("{}:{PORT}", end.remote));
    let mut set = vec!["set", interface, "private-key", private];
    set.extend(["listen-port", &port, "peer", end.peer]);
    set.extend(["endpoint", &endpoint, "allowed-ips", "0.0.0.0/0"]);
    namespace.run("wg", &set)?;
    namespace.ip(&format!("addr add {} dev {interface}", end.address))?;
    namespace.ip(&format!("link set {interface} mtu {MTU} up"))?;
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.exists())
        .with_context(|| format!("no {program} on the path"))
}
