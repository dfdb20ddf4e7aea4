//! Network namespaces, the cables between them, and the processes inside.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that a lab made, by its name under `/run/netns`.
///
/// A handle only: dropping it leaves the namespace, [`Namespace::remove`] ends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with loopback up and reverse path filtering off.
    ///
    /// # Errors
    ///
    /// Without CAP_SYS_ADMIN, or when one of that name exists.
    pub fn create(name: &str) -> Result<Self> {
        output(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self::named(name);
        namespace.ip("link set lo up")?;
        namespace.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        namespace.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
        Ok(namespace)
    }

    /// A handle to one that exists, or that [`Namespace::remove`] shall look for.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Its name, as `ip netns list` prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with words separated by blanks, inside.
    ///
    /// # Errors
    ///
    /// When `ip` fails: what it said.
    pub fn ip(&self, words: &str) -> Result<String> {
        output(
            Command::new("ip")
                .args(["-n", &self.name])
                .args(words.split_whitespace()),
        )
    }

    /// Runs a program inside and returns its standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be started or fails: what it said on standard error.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        output(self.command(program).args(args))
    }

    /// A command that will run inside, under the pid that `spawn` reports.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(program.as_ref());
        command
    }

    /// Sets a sysctl of this namespace.
    ///
    /// # Errors
    ///
    /// When the kernel does not know it or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run("sysctl", &["-q", "-w", &format!("{key}={value}")])
            .map(drop)
    }

    /// Moves the calling thread inside, for good: sockets it opens from here on belong there.
    ///
    /// # Errors
    ///
    /// When the namespace is gone or the thread may not enter it.
    pub fn enter(&self) -> Result<()> {
        let file =
            fs::File::open(self.path()).with_context(|| format!("namespace {}", self.name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("entering namespace {}", self.name))
    }

    /// Does something here, on a thread that comes here for that purpose.
    ///
    /// # Errors
    ///
    /// Those of [`Namespace::enter`], and of what is done.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let here = scope.spawn(|| {
                self.enter()?;
                what()
            });
            let panicked = |_| anyhow!("a thread in {} panicked", self.name());
            here.join().map_err(panicked)?
        })
    }

    /// True while it is there.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Every process inside.
    ///
    /// # Errors
    ///
    /// When the namespace does not exist.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let listed = output(Command::new("ip").args(["netns", "pids", &self.name]))?;
        Ok(listed
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect())
    }

    /// Ends every process inside, then the namespace. One that is not there is fine.
    ///
    /// The processes go first: one that holds a TUN would keep the namespace alive unseen.
    ///
    /// # Errors
    ///
    /// When a process does not die within 5 s or the kernel refuses.
    pub fn remove(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                bail!("processes {pids:?} in namespace {} do not die", self.name);
            }
            pids.into_iter().for_each(kill);
            thread::sleep(Duration::from_millis(10));
        }
        output(Command::new("ip").args(["netns", "del", &self.name])).map(drop)
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

/// SIGKILL to one process. One that is gone already is fine.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // ESRCH is the only failure for root, and it is the aim.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// One end of a cable.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where it is plugged in.
    pub namespace: &'a Namespace,
    /// What its interface is called there; at most 15 bytes.
    pub interface: &'a str,
    /// Address with prefix length; a host route of that network comes with it.
    pub address: &'a str,
}

/// Connects two namespaces with a veth pair, addressed and up.
///
/// # Errors
///
/// When the kernel refuses, such as for an interface name that is taken.
pub fn cable(a: End<'_>, b: End<'_>) -> Result<()> {
    output(
        Command::new("ip")
            .args(["link", "add", a.interface, "netns", a.namespace.name()])
            .args([
                "type",
                "veth",
                "peer",
                "name",
                b.interface,
                "netns",
                b.namespace.name(),
            ]),
    )?;
    for end in [a, b] {
        end.namespace
            .ip(&format!("addr add {} dev {}", end.address, end.interface))?;
        end.namespace
            .ip(&format!("link set {} up", end.interface))?;
    }
    Ok(())
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
///
/// When it cannot be started or fails: the command and what it said on standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{}: {}: {}", words(command), done.status, said.trim());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{}: not UTF-8", words(command)))
}

fn words(command: &Command) -> String {
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    let program = command.get_program().to_string_lossy();
    std::iter::once(program)
        .chain(args)
        .collect::<Vec<_>>()
        .join(" ")
}
