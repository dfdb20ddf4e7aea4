//! The Debian package, installed, run and purged in a minimal Debian of its own.
//!
//! Needs root, network for the first run (debootstrap, kept in `.dev/`), and the package that
//! `./dev test` builds into the target directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tests::lab::kernel;
use tests::lab::netns::{Namespace, output};
use tests::lab::nva::Binaries;
use tests::lab::process::{Process, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);
/// The release that the package is for, with what the package depends on.
const RELEASE: &str = "bookworm";
const INCLUDE: &str = "--include=charon-systemd,iproute2,libstrongswan-standard-plugins,nftables,procps,strongswan-swanctl,systemd";
/// Another one whenever [`INCLUDE`] changes: what is kept is not looked into.
const EDITION: u32 = 2;
/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW: bits 10, 12, 13.
const CAPABILITIES: &str = "0000000000003400";

/// A scratch Debian in a scratch namespace. Both end with the test.
struct Machine {
    namespace: Namespace,
    root: PathBuf,
}

impl Machine {
    fn new() -> Result<Self> {
        let name = format!("sb{}deb", std::process::id());
        let machine = Self {
            namespace: Namespace::named(&name),
            root: std::env::temp_dir().join(&name),
        };
        Namespace::create(&name)?;
        output(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(debian()?)
                .arg(&machine.root),
        )?;
        Ok(machine)
    }

    /// A command inside. The mounts are private to it: `ip netns exec` makes a mount namespace.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.namespace.command("sh");
        command.arg("-ec").arg(
            "root=$1; shift
             mount -t proc proc \"$root/proc\"
             mount --bind /dev \"$root/dev\"
             exec chroot \"$root\" \"$@\"",
        );
        command.arg("sh").arg(&self.root).args(words).env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Every file except what package management, login and systemd keep about themselves.
    fn files(&self) -> Result<BTreeSet<String>> {
        let all = output(
            Command::new("find")
                .arg(&self.root)
                .args(["-xdev", "-printf", "/%P\n"]),
        )?;
        let own = [
            "/var/lib/dpkg/",
            "/var/log/",
            "/var/cache/",
            "/tmp/",
            "/run/systemd/",
            "/etc/.pwd.lock",
        ];
        let backup = |path: &str| path.starts_with("/etc/") && path.ends_with('-');
        let kept = all
            .lines()
            .filter(|path| !own.iter().any(|own| path.starts_with(own)) && !backup(path));
        Ok(kept.map(str::to_owned).collect())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.namespace
            .remove()
            .expect("the namespace can be removed");
        fs::remove_dir_all(&self.root).expect("nothing is mounted below, and it is ours");
    }
}

/// The minimal Debian that every run starts from.
fn debian() -> Result<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.dev");
    let root = cache.join(format!("debian-{RELEASE}-{EDITION}"));
    if !root.exists() {
        let partial = cache.join(format!("debian-{RELEASE}-{EDITION}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&cache)?;
        output(
            Command::new("debootstrap")
                .args(["--variant=minbase", INCLUDE, RELEASE])
                .arg(&partial),
        )?;
        fs::rename(&partial, &root)?;
    }
    Ok(root)
}

fn package() -> Result<PathBuf> {
    let built = Binaries::find()?.daemon.with_file_name("skybridge.deb");
    ensure!(
        built.exists(),
        "{} is not there: `./dev test` builds it",
        built.display()
    );
    Ok(built)
}

#[test]
fn package_installs_runs_unprivileged_and_purges_without_trace() -> Result<()> {
    let machine = Machine::new()?;
    let before = machine.files()?;
    fs::copy(package()?, machine.path("tmp/skybridge.deb"))?;
    machine.run(&["dpkg", "--install", "/tmp/skybridge.deb"])?;
    check_installation(&machine)?;
    run_daemon(&machine)?;
    purge(&machine, &before)
}

fn check_installation(machine: &Machine) -> Result<()> {
    // Warnings go to standard error with exit code 0, so both must be silent.
    let verified = machine
        .command(&[
            "systemd-analyze",
            "verify",
            "/usr/lib/systemd/system/skybridged.service",
        ])
        .output()?;
    let said = String::from_utf8_lossy(&verified.stderr);
    ensure!(
        verified.status.success() && !said.contains("skybridged.service"),
        "systemd-analyze: {said}"
    );
    ensure!(
        !machine.path("etc/skybridge/skybridge.toml").exists(),
        "a configuration was installed"
    );
    let mode = fs::metadata(machine.path("etc/skybridge"))?
        .permissions()
        .mode()
        & 0o7777;
    ensure!(mode == 0o750, "/etc/skybridge has mode {mode:o}");
    let protocols = machine.run(&["ip", "route", "show", "proto", "skybridge"])?;
    ensure!(
        protocols.is_empty(),
        "routes before the first start: {protocols}"
    );
    machine.run(&["skybridge", "--help"]).map(drop)
}

/// The example's own `[router]`: what it shows must start.
fn derived_config(machine: &Machine) -> Result<String> {
    let example = fs::read_to_string(machine.path("etc/skybridge/skybridge.toml.example"))?;
    let section = example
        .split_once("[router]")
        .context("the example has no [router]")?
        .1;
    let section = section.split("\n[").next().unwrap_or_default();
    Ok(format!("[router]{section}\n"))
}

/// As the unit starts it: the package's user, the unit's capabilities and directories.
fn run_daemon(machine: &Machine) -> Result<()> {
    fs::write(
        machine.path("etc/skybridge/skybridge.toml"),
        derived_config(machine)?,
    )?;
    for (directory, mode) in [("/run/skybridge", "0750"), ("/var/lib/skybridge", "0700")] {
        machine.run(&[
            "install",
            "-d",
            "-o",
            "skybridge",
            "-g",
            "skybridge",
            "-m",
            mode,
            directory,
        ])?;
    }
    let capabilities = "-all,+net_admin,+net_raw,+net_bind_service";
    let mut command = machine.command(&[
        "setpriv",
        "--reuid",
        "skybridge",
        "--regid",
        "skybridge",
        "--init-groups",
        "--no-new-privs",
        "--inh-caps",
        capabilities,
        "--ambient-caps",
        capabilities,
        "--bounding-set",
        capabilities,
        "skybridged",
        "--config",
        "/etc/skybridge/skybridge.toml",
    ]);
    let mut daemon = Process::spawn(
        "the packaged skybridged",
        &mut command,
        &machine.path("tmp/log"),
    )?;
    wait_for("an answer over the socket", PATIENCE, || {
        daemon.check_alive()?;
        as_nobody(machine, "skybridge")
    })?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    ensure!(
        effective == Some(CAPABILITIES),
        "it runs with capabilities {effective:?}"
    );
    ensure!(
        as_nobody(machine, "nogroup").is_err(),
        "somebody outside the group got an answer"
    );
    daemon.signal(Signal::TERM)?;
    let status = daemon.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "it ended with {status}\n{}",
        daemon.log_tail(12)
    );
    Ok(())
}

fn as_nobody(machine: &Machine, group: &str) -> Result<()> {
    let words = [
        "setpriv",
        "--reuid",
        "nobody",
        "--regid",
        "nogroup",
        "--groups",
        group,
        "skybridge",
        "status",
    ];
    machine.run(&words).map(drop)
}

fn purge(machine: &Machine, before: &BTreeSet<String>) -> Result<()> {
    for words in [
        "link add cloud type veth peer name far",
        "link set far up",
        "link set cloud up",
        "addr add 198.51.100.1/30 dev cloud",
        "nexthop add id 1526726700 via 198.51.100.2 dev cloud proto 77",
        "nexthop add id 1526726701 group 1526726700 proto 77",
        "route add 192.0.2.0/25 nhid 1526726701 proto 77",
        "route add 192.0.2.128/25 via 198.51.100.2 proto static",
    ] {
        machine.namespace.ip(words)?;
    }
    machine.run(&["dpkg", "--purge", "skybridge"])?;
    let left = kernel::routes(&machine.namespace, kernel::SKYBRIDGE)?;
    ensure!(left.is_empty(), "routes of ours are left: {left:?}");
    let left = kernel::nexthops(&machine.namespace)?;
    ensure!(left.is_empty(), "nexthops of ours are left: {left:?}");
    ensure!(
        kernel::routes(&machine.namespace, "static")?.len() == 1,
        "a route that is not ours is gone"
    );
    let after = machine.files()?;
    let left: Vec<_> = after.difference(before).collect();
    ensure!(left.is_empty(), "files are left: {left:?}");
    let lost: Vec<_> = before.difference(&after).collect();
    ensure!(
        lost.is_empty(),
        "files that are not ours are gone: {lost:?}"
    );
    for file in ["etc/passwd", "etc/group", "etc/shadow"] {
        ensure!(
            !fs::read_to_string(machine.path(file))?.contains("skybridge"),
            "{file} has our user"
        );
    }
    Ok(())
}
