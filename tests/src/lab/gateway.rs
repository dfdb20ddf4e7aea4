//! The clouds' own gateways, played by FRR and BIRD, each with private files and sockets.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::netns::{Namespace, output};
use super::process::{Process, wait_for};
use super::{GATEWAY_START, Site};

/// What a gateway is told: its own site and the router it peers with.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Where it stands.
    pub site: &'a Site,
    /// Its own address toward the router.
    pub local: Ipv4Addr,
    /// The router's address.
    pub peer: Ipv4Addr,
}

/// FRR's `zebra` and `bgpd`: the gateway of AWS.
#[derive(Debug)]
pub struct Frr {
    peer: IpAddr,
    directory: PathBuf,
    processes: Vec<Process>,
}

impl Frr {
    /// Starts both daemons in `namespace`, with everything they write under `directory`.
    ///
    /// # Errors
    ///
    /// When FRR is not installed or does not come up.
    pub fn start(namespace: &Namespace, directory: &Path, role: Role<'_>) -> Result<Self> {
        Self::launch(namespace, directory, role.peer.into(), &bgpd_conf(role))
    }

    /// As [`Frr::start`], with a configuration of `bgpd` and the address of its one peer.
    ///
    /// # Errors
    ///
    /// As [`Frr::start`].
    pub fn launch(
        namespace: &Namespace,
        directory: &Path,
        peer: IpAddr,
        bgpd: &str,
    ) -> Result<Self> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("zebra.conf"), "hostname gateway\n")?;
        fs::write(directory.join("bgpd.conf"), bgpd)?;
        own_by_frr(directory)?;
        let mut frr = Self {
            peer,
            directory: directory.to_owned(),
            processes: Vec::new(),
        };
        frr.spawn(namespace, "zebra")?;
        wait_for("zebra's socket", GATEWAY_START, || {
            frr.check_socket("zserv.api")
        })?;
        frr.spawn(namespace, "bgpd")?;
        wait_for("bgpd's socket", GATEWAY_START, || {
            frr.check_socket("bgpd.vty")
        })?;
        Ok(frr)
    }

    /// The state of its session with the router, as it says itself: "Established", "Active", ...
    ///
    /// # Errors
    ///
    /// When `bgpd` does not answer.
    pub fn session_state(&self) -> Result<String> {
        let said = self.vtysh(&[&format!("show bgp neighbors {} json", self.peer)])?;
        let told: Value = serde_json::from_str(&said)?;
        let state = &told[self.peer.to_string()]["bgpState"];
        Ok(state.as_str().context("FRR has no such peer")?.to_owned())
    }

    /// How a person asks it the same.
    pub fn question(&self) -> String {
        format!(
            "vtysh --vty_socket {} -c 'show bgp summary'",
            self.directory.display()
        )
    }

    /// Runs commands in one `vtysh` and returns what it prints.
    ///
    /// # Errors
    ///
    /// When `bgpd` does not answer or refuses one.
    pub fn vtysh(&self, commands: &[&str]) -> Result<String> {
        self.vtysh_of("bgpd", commands)
    }

    fn vtysh_of(&self, daemon: &str, commands: &[&str]) -> Result<String> {
        let mut vtysh = Command::new("vtysh");
        vtysh.arg("--vty_socket").arg(&self.directory);
        vtysh.args(["-d", daemon]);
        for command in commands {
            vtysh.args(["-c", command]);
        }
        output(&mut vtysh)
    }

    /// Starts `bfdd` beside them, with a configuration of its own.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn add_bfdd(&mut self, namespace: &Namespace, config: &str) -> Result<()> {
        fs::write(self.directory.join("bfdd.conf"), config)?;
        own_by_frr(&self.directory)?;
        self.spawn(namespace, "bfdd")?;
        wait_for("bfdd's socket", GATEWAY_START, || {
            self.check_socket("bfdd.vty")
        })
    }

    /// As [`Frr::vtysh`], to `bfdd`.
    ///
    /// # Errors
    ///
    /// When `bfdd` does not answer or refuses one.
    pub fn vtysh_bfdd(&self, commands: &[&str]) -> Result<String> {
        self.vtysh_of("bfdd", commands)
    }

    /// The process that speaks BGP, once started.
    pub fn bgpd(&self) -> Option<&Process> {
        self.processes.get(1)
    }

    /// `zebra`, then `bgpd`, then `bfdd` where there is one.
    pub fn processes(&mut self) -> &mut [Process] {
        &mut self.processes
    }

    /// The same, for who asks nothing of them.
    pub fn into_processes(self) -> Vec<Process> {
        self.processes
    }

    fn spawn(&mut self, namespace: &Namespace, daemon: &str) -> Result<()> {
        let file = |suffix: &str| self.directory.join(format!("{daemon}.{suffix}"));
        let mut command = namespace.command(Path::new("/usr/lib/frr").join(daemon));
        command
            .arg("-f")
            .arg(file("conf"))
            .arg("-i")
            .arg(file("pid"));
        command.arg("--vty_socket").arg(&self.directory);
        command.arg("-z").arg(self.directory.join("zserv.api"));
        command.args(["-A", "127.0.0.1", "-P", "0", "--log", "stdout"]);
        match daemon {
            // As Debian's package has it: the kernel tells more than the usual buffer holds.
            "zebra" => command.args(["-s", "90000000"]),
            "bfdd" => command.arg("--bfdctl").arg(file("ctl")),
            _ => &mut command,
        };
        let process = Process::spawn(&format!("FRR {daemon}"), &mut command, &file("log"))?;
        self.processes.push(process);
        Ok(())
    }

    fn check_socket(&mut self, name: &str) -> Result<()> {
        for process in &mut self.processes {
            process.check_alive()?;
        }
        if !self.directory.join(name).exists() {
            bail!("{name} is not there yet");
        }
        Ok(())
    }
}

/// BIRD: the gateway of OCI.
#[derive(Debug)]
pub struct Bird {
    socket: PathBuf,
    process: Process,
}

impl Bird {
    /// Starts it in `namespace`, with everything it writes under `directory`.
    ///
    /// # Errors
    ///
    /// When BIRD is not installed or does not come up.
    pub fn start(namespace: &Namespace, directory: &Path, role: Role<'_>) -> Result<Self> {
        Self::launch(namespace, directory, &bird_conf(role))
    }

    /// As [`Bird::start`], with a configuration, whose session is called `nva`.
    ///
    /// # Errors
    ///
    /// As [`Bird::start`].
    pub fn launch(namespace: &Namespace, directory: &Path, config: &str) -> Result<Self> {
        Self::run(namespace, directory, config, &[])
    }

    /// As [`Bird::launch`], for one that restarts gracefully.
    ///
    /// # Errors
    ///
    /// As [`Bird::start`].
    pub fn recover(namespace: &Namespace, directory: &Path, config: &str) -> Result<Self> {
        Self::run(namespace, directory, config, &["-R"])
    }

    fn run(namespace: &Namespace, directory: &Path, config: &str, args: &[&str]) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let file = |name: &str| directory.join(name);
        fs::write(file("bird.conf"), config)?;
        let socket = file("bird.ctl");
        let mut command = namespace.command("bird");
        command.args(args);
        command.arg("-f").arg("-c").arg(file("bird.conf"));
        command
            .arg("-s")
            .arg(&socket)
            .arg("-P")
            .arg(file("bird.pid"));
        let process = Process::spawn("BIRD", &mut command, &file("bird.log"))?;
        let mut bird = Self { socket, process };
        wait_for("BIRD's control socket", GATEWAY_START, || {
            bird.process.check_alive()?;
            bird.session_state().map(drop)
        })?;
        Ok(bird)
    }

    /// The state of its session with the router, as it says itself: "Established", "Active", ...
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn session_state(&self) -> Result<String> {
        let said = self.birdc("show protocols nva")?;
        // nva        BGP        ---        up     10:22:46.127  Established
        let line = said
            .lines()
            .find(|line| line.starts_with("nva "))
            .context("no protocol `nva`")?;
        Ok(line.split_whitespace().nth(5).unwrap_or("Idle").to_owned())
    }

    /// How a person asks it the same.
    pub fn question(&self) -> String {
        format!("birdc -s {} show protocols", self.socket.display())
    }

    /// Runs one command of `birdc` and returns what it prints.
    ///
    /// # Errors
    ///
    /// When BIRD does not answer.
    pub fn birdc(&self, words: &str) -> Result<String> {
        let mut birdc = Command::new("birdc");
        birdc.arg("-s").arg(&self.socket);
        output(birdc.args(words.split_whitespace()))
    }

    /// Writes its file anew; `birdc configure` reads it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        Ok(fs::write(self.socket.with_file_name("bird.conf"), config)?)
    }

    /// The one process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// As [`Bird::process`], to be changed.
    pub fn processes(&mut self) -> &mut [Process] {
        std::slice::from_mut(&mut self.process)
    }
}

/// Both announce more than is agreed on: what is over must stop at the router's filters.
fn bgpd_conf(Role { site, local, peer }: Role<'_>) -> String {
    let networks: String = site
        .prefixes
        .iter()
        .chain(site.strays)
        .map(|prefix| format!("  network {prefix}\n"))
        .collect();
    format!(
        "hostname {name}
router bgp {asn}
 bgp router-id {local}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {peer} remote-as {router}
 neighbor {peer} timers 3 9
 neighbor {peer} timers connect 1
 address-family ipv4 unicast
{networks} exit-address-family
",
        name = site.gateway,
        asn = site.gateway_asn,
        router = site.router_asn,
    )
}

fn bird_conf(Role { site, local, peer }: Role<'_>) -> String {
    let routes: String = site
        .prefixes
        .iter()
        .chain(site.strays)
        .map(|prefix| format!("  route {prefix} unreachable;\n"))
        .collect();
    format!(
        "log stderr all;
router id {local};
protocol device {{ scan time 10; }}
protocol static cloud {{
  ipv4;
{routes}}}
protocol kernel {{
  ipv4 {{ import none; export where source = RTS_BGP; }};
}}
protocol bgp nva {{
  local {local} as {asn};
  neighbor {peer} as {router};
  hold time 9;
  keepalive time 3;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 {{ import all; export where source = RTS_STATIC; }};
}}
",
        asn = site.gateway_asn,
        router = site.router_asn,
    )
}

/// FRR drops to its own user, which must own what it writes.
pub(crate) fn own_by_frr(directory: &Path) -> Result<()> {
    let id = |flag: &str| -> Result<u32> {
        Ok(output(Command::new("id").args([flag, "frr"]))?
            .trim()
            .parse()?)
    };
    let (user, group) = (id("-u").context("FRR's user")?, id("-g")?);
    chown(directory, Some(user), Some(group))?;
    for entry in fs::read_dir(directory)? {
        chown(entry?.path(), Some(user), Some(group))?;
    }
    Ok(())
}
