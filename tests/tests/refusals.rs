//! What the real daemon says when it cannot do its work here: one sentence, with the remedy.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::Signal;
use tests::lab::netns::Namespace;
use tests::lab::nva::{Binaries, KeyPair, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(30);
const ROUTER: &str = r#"
[router]
name = "refusing"
asn = 65010
id = "10.0.0.1"
"#;

/// A daemon that is not started yet, alone in a namespace.
struct Bench {
    nva: Nva,
    scratch: Scratch,
}

impl Bench {
    fn new(test: &str, config: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let namespace = scratch.namespace("nva")?;
        let nva = Nva::new(&namespace, scratch.directory(), &Binaries::find()?)?;
        nva.configure(config)?;
        Ok(Self { nva, scratch })
    }

    /// One whose link takes its key from the file that is returned too.
    fn with_key(test: &str) -> Result<(Self, PathBuf)> {
        let bench = Self::new(test, "")?;
        let key = KeyPair::generate(&bench.scratch.directory().join("wg.key"))?;
        bench.nva.configure(&link(&key))?;
        Ok((bench, key.private))
    }

    /// Starts it, and expects that it ends at once with every one of `words` in a single sentence.
    fn expect_refusal(&mut self, wrapper: &[&str], words: &[&str]) -> Result<()> {
        self.nva.start_under(wrapper)?;
        let status = self.nva.process()?.wait(PATIENCE)?;
        let said = self.nva.process()?.log();
        ensure!(status.code() == Some(1), "exit {status}: {said}");
        ensure!(said.lines().count() == 1, "more than a sentence: {said}");
        for word in words {
            ensure!(said.contains(word), "nothing about {word}: {said}");
        }
        let interfaces = self.nva.namespace().ip("-o link show")?;
        ensure!(
            interfaces.lines().count() == 1,
            "more than loopback: {interfaces}"
        );
        Ok(())
    }
}

fn link(key: &KeyPair) -> String {
    format!(
        r#"{ROUTER}
[group.far]

[link.wg-a]
group = "far"
priority = 10
inside = {{ local = "10.99.0.0/31", remote = "10.99.0.1" }}
[link.wg-a.wireguard]
private-key = {{ file = "{private}" }}
listen = 51820
backend = "userspace"
peer = {{ public-key = "{public}", endpoint = "192.0.2.1:51820" }}
"#,
        private = key.private.display(),
        public = key.public,
    )
}

/// A listener in another namespace: sockets stay where they were made.
fn occupy(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Result<TcpListener> {
    let namespace = namespace.clone();
    let opened = thread::spawn(move || -> Result<TcpListener> {
        namespace.enter()?;
        Ok(TcpListener::bind((address, port))?)
    });
    opened
        .join()
        .map_err(|_panic| anyhow!("the thread opening a socket panicked"))?
}

#[test]
fn without_net_admin_it_names_the_capability_and_the_unit() -> Result<()> {
    let mut bench = Bench::new("cap", ROUTER)?;
    bench.expect_refusal(
        &["setpriv", "--bounding-set", "-net_admin"],
        &["CAP_NET_ADMIN", "run it as root", "systemd unit"],
    )
}

#[test]
fn taken_bgp_port_is_named_with_its_setting() -> Result<()> {
    let mut bench = Bench::new("bgp", ROUTER)?;
    let _other = occupy(bench.nva.namespace(), Ipv4Addr::UNSPECIFIED, 179)?;
    bench.expect_refusal(
        &[],
        &["0.0.0.0:179", "another BGP daemon", "[router] listen"],
    )
}

#[test]
fn taken_metrics_port_is_named_with_its_setting() -> Result<()> {
    let mut bench = Bench::new("met", ROUTER)?;
    let _other = occupy(bench.nva.namespace(), Ipv4Addr::LOCALHOST, 9179)?;
    bench.expect_refusal(&[], &["127.0.0.1:9179", "in use", "[metrics] listen"])
}

#[test]
fn answered_api_socket_is_left_to_its_owner() -> Result<()> {
    let mut bench = Bench::new("api", ROUTER)?;
    let socket = bench.nva.socket();
    let _other = UnixListener::bind(&socket)?;
    let path = socket.display().to_string();
    bench.expect_refusal(&[], &[&path, "another skybridged", "[api] socket"])?;
    ensure!(socket.exists(), "the other one's socket is gone");
    Ok(())
}

#[test]
fn unreadable_key_is_named_with_who_must_read_it() -> Result<()> {
    let (mut bench, key) = Bench::with_key("unr")?;
    chown(&key, Some(1), Some(1))?;
    let path = key.display().to_string();
    // Root reads everything, unless it lacks the right to.
    bench.expect_refusal(
        &[
            "setpriv",
            "--bounding-set",
            "-dac_override,-dac_read_search",
        ],
        &[&path, "Permission denied", "must be able to read it"],
    )
}

#[test]
fn key_that_everyone_can_read_is_refused_with_the_command_to_close_it() -> Result<()> {
    let (mut bench, key) = Bench::with_key("exp")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let command = format!("chmod 600 {}", key.display());
    bench.expect_refusal(&[], &["can be read by everyone", &command])
}

#[test]
fn five_mistakes_are_five_reports_with_their_lines() -> Result<()> {
    let mut bench = Bench::new(
        "five",
        r#"
[router]
name = "wrong"
asn = 0
id = "10.0.0.300"
colour = "blue"

[peer.cloud]
address = "10.0.0.2"
asn = 65001
import = "nowhere"
hold-time = "1s"
"#,
    )?;
    bench.nva.start()?;
    let status = bench.nva.process()?.wait(PATIENCE)?;
    let said = bench.nva.process()?.log();
    println!("{said}");
    ensure!(status.code() == Some(1), "exit {status}: {said}");
    let file = fs::read_to_string(bench.nva.config())?;
    for wrong in ["asn = 0", "10.0.0.300", "colour", "nowhere", "\"1s\""] {
        let line = file.lines().position(|line| line.contains(wrong));
        let line = line.context("the file has its mistakes")? + 1;
        ensure!(
            said.contains(&format!("skybridge.toml:{line}:")),
            "nothing about line {line}, {wrong}: {said}"
        );
    }
    Ok(())
}

#[test]
fn without_tun_it_runs_and_says_what_is_missing() -> Result<()> {
    let (mut bench, _key) = Bench::with_key("tun")?;
    // The mount is private to the daemon: `ip netns exec` makes a mount namespace. Whoever has
    // CAP_MKNOD can make the device; the packaged unit has not.
    bench.nva.start_under(&[
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /dev/net && exec setpriv --bounding-set -mknod \"$@\"",
        "sh",
    ])?;
    let nva = &mut bench.nva;
    wait_for("an alarm about the tunnel", PATIENCE, || {
        nva.check_alive()?;
        let alarms = nva.status()?.alarms;
        let about = alarms
            .iter()
            .find(|alarm| alarm.text.contains("/dev/net/tun"));
        let alarm = about.with_context(|| format!("alarms: {alarms:?}"))?;
        ensure!(alarm.text.contains("modprobe tun"), "{alarm:?}");
        Ok(())
    })?;
    let shown = nva.cli(&["show", "tunnels"])?;
    println!("{shown}");
    ensure!(
        shown.contains("there is no /dev/net/tun") && shown.contains("modprobe tun"),
        "{shown}"
    );
    nva.process()?.signal(Signal::TERM)?;
    let status = nva.process()?.wait(PATIENCE)?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
