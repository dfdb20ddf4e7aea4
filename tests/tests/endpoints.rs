//! A far end that is configured by name, found by the host's own resolver while the name changes.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::lab::netns::{End, cable};
use tests::lab::nva::{Binaries, KeyPair, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

/// Unanswered handshakes are noticed within 10 s, and another 10 s may pass until the next lookup.
const PATIENCE: Duration = Duration::from_secs(60);

/// `/etc/hosts` of one namespace, which `ip netns exec` puts in place.
struct Hosts(PathBuf);

impl Hosts {
    fn new(namespace: &str) -> Result<Self> {
        let directory = Path::new("/etc/netns").join(namespace);
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// In place: what is mounted is this file, not its name.
    fn say(&self, line: &str) -> Result<()> {
        Ok(fs::write(self.0.join("hosts"), format!("{line}\n"))?)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn router(name: &str, host: u8) -> String {
    format!(
        "[router]\nname = \"{name}\"\nasn = 65010\nid = \"10.8.0.{host}\"\n\
         listen = [\"10.8.0.{host}:179\"]\n"
    )
}

fn link(name: &str, port: u16, inside: [&str; 2], key: &KeyPair, peer: &str) -> String {
    format!(
        "\n[link.{name}]\ninside = {{ local = \"{}/31\", remote = \"{}\" }}\n\
         probe = {{ method = \"off\" }}\n\
         [link.{name}.wireguard]\nbackend = \"userspace\"\nlisten = {port}\n\
         private-key = {{ file = \"{}\" }}\npeer = {{ {peer} }}\n",
        inside[0],
        inside[1],
        key.private.display(),
    )
}

#[test]
fn a_far_end_is_found_when_its_name_gets_another_address() -> Result<()> {
    let mut scratch = Scratch::new("e")?;
    let (a, b) = (scratch.namespace("near")?, scratch.namespace("far")?);
    let end = |namespace, address| End {
        namespace,
        interface: "cable",
        address,
    };
    cable(end(&a, "10.8.0.1/24"), end(&b, "10.8.0.2/24"))?;
    let key = |name: &str| KeyPair::generate(&scratch.directory().join(name));
    let (key_a, key_b) = (key("a")?, key("b")?);
    let binaries = Binaries::find()?;
    let node = |namespace, name| Nva::new(namespace, &scratch.directory().join(name), &binaries);
    let (mut near, mut far) = (node(&a, "near")?, node(&b, "far")?);

    let hosts = Hosts::new(a.name())?;
    hosts.say("10.8.0.9 far.skybridge.invalid")?;
    let peer = |key: &KeyPair, rest: &str| format!("public-key = \"{}\"{rest}", key.public);
    let by_name = peer(&key_b, ", endpoint = \"far.skybridge.invalid:51820\"");
    let lost = peer(&key_b, ", endpoint = \"lost.skybridge.invalid:51821\"");
    let away = peer(&key_b, ", endpoint = \"198.51.100.7:51822\"");
    near.configure(
        &[
            router("near", 1),
            link("far", 51820, ["10.9.0.0", "10.9.0.1"], &key_a, &by_name),
            // A name that nobody knows shall not hold up the other.
            link("lost", 51821, ["10.9.0.2", "10.9.0.3"], &key_a, &lost),
            link("away", 51822, ["10.9.0.4", "10.9.0.5"], &key_a, &away),
        ]
        .concat(),
    )?;
    let waiting = peer(&key_a, "");
    far.configure(
        &[
            router("far", 2),
            link("near", 51820, ["10.9.0.1", "10.9.0.0"], &key_b, &waiting),
        ]
        .concat(),
    )?;
    far.start()?;
    near.start()?;
    let is_up = |near: &Nva| -> Result<bool> {
        let scrape = near.metrics()?;
        let line = scrape
            .lines()
            .find(|line| line.starts_with("skybridge_tunnel_up{tunnel=\"far\""));
        ensure!(line.is_some(), "no series");
        Ok(line.is_some_and(|line| line.ends_with(" 1")))
    };
    wait_for("the tunnel to be made", PATIENCE, || {
        ensure!(!is_up(&near)?, "somebody answers at an address of nobody");
        Ok(())
    })?;
    wait_for("the reasons", PATIENCE, || {
        let shown = near.cli(&["show", "tunnels"])?;
        let lost = "no address of lost.skybridge.invalid is found; is the name right";
        let away = "cannot send to 198.51.100.7:51822: Network is unreachable";
        ensure!(shown.contains(lost) && shown.contains(away), "{shown}");
        Ok(())
    })?;

    hosts.say("10.8.0.2 far.skybridge.invalid")?;
    wait_for("a handshake with the far end", PATIENCE, || {
        near.check_alive()?;
        ensure!(is_up(&near)?, "the tunnel is not up");
        Ok(())
    })
}
