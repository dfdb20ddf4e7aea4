//! What idle tunnels weigh.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::implementation::MTU;
use super::measure::plug;
use crate::lab::netns::Namespace;
use crate::lab::nva::KeyPair;
use crate::lab::process::{beside, wait_for};
use crate::lab::scratch::Scratch;

/// A tunnel takes some milliseconds to make: an interface, an address, a process that keeps it.
const START: Duration = Duration::from_secs(120);
const FIRST_PORT: u16 = 20_000;

/// One end with its tunnels up. Memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    tunnels: u16,
    /// Of the process with the data planes.
    resident: u64,
    threads: u64,
    /// What the processes that keep the interfaces share with nobody, all together.
    keepers: u64,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |kib: u64| kib / u64::from(self.tunnels.max(1));
        write!(
            f,
            "{} idle tunnels: {} KiB resident ({} KiB a tunnel), {} threads; keepers {} KiB a tunnel",
            self.tunnels,
            self.resident,
            each(self.resident),
            self.threads,
            each(self.keepers)
        )
    }
}

/// Brings up so many tunnels between two processes and weighs one of these.
///
/// # Errors
///
/// When a tunnel does not come up.
pub fn idle(tunnels: u16) -> Result<Weight> {
    let mut scratch = Scratch::new("wgm")?;
    let (a, b) = (scratch.namespace("a")?, scratch.namespace("b")?);
    plug(&a, &b)?;
    let key = |name: &str| KeyPair::generate(&scratch.directory().join(name));
    let (key_a, key_b) = (key("a")?, key("b")?);
    let (log_a, log_b) = (
        scratch.directory().join("log-a"),
        scratch.directory().join("log-b"),
    );
    let _b = Example::start(&b, tunnels, (&key_b, &key_a, "172.31.0.1", 2), &log_b)?;
    let a = Example::start(&a, tunnels, (&key_a, &key_b, "172.31.0.2", 1), &log_a)?;
    wait_for("a handshake in every tunnel", START, || {
        a.check_fresh(tunnels)
    })?;
    a.weigh(tunnels)
}

/// The example driver with many tunnels.
struct Example<'a> {
    namespace: &'a Namespace,
    child: Child,
    log: &'a Path,
}

impl<'a> Example<'a> {
    fn start(
        namespace: &'a Namespace,
        tunnels: u16,
        (own, peer, remote, host): (&KeyPair, &KeyPair, &str, u8),
        log: &'a Path,
    ) -> Result<Self> {
        let private = fs::read_to_string(&own.private)?;
        let mut command = namespace.command(beside("examples/wg")?);
        for number in 0..tunnels {
            let [high, low] = number.to_be_bytes();
            let port = FIRST_PORT + number;
            let words = format!(
                "t{number} sb-{number} 10.{high}.{low}.{host}/24 {MTU} {} {port} userspace {} \
                 {remote}:{port} - 25",
                private.trim(),
                peer.public
            );
            command.args(words.split(' '));
        }
        // It ends with its standard input.
        let child = command
            .stdin(Stdio::piped())
            .stdout(fs::File::create(log)?)
            .spawn()?;
        Ok(Self {
            namespace,
            child,
            log,
        })
    }

    /// The latest report of every tunnel says that its session is fresh.
    fn check_fresh(&self, tunnels: u16) -> Result<()> {
        let log = fs::read_to_string(self.log)?;
        let lines = log.lines().rev().filter(|line| line.starts_with("status "));
        let fresh = lines
            .take(usize::from(tunnels))
            .filter(|line| line.contains("fresh=true"));
        let fresh = fresh.count();
        ensure!(fresh == usize::from(tunnels), "{fresh} of {tunnels}");
        Ok(())
    }

    fn weigh(&self, tunnels: u16) -> Result<Weight> {
        let own = i32::try_from(self.child.id())?;
        let mut keepers = 0;
        for pid in self.namespace.pids()? {
            if pid != own {
                keepers += private(pid).unwrap_or(0);
            }
        }
        let status = fs::read_to_string(format!("/proc/{own}/status"))?;
        Ok(Weight {
            tunnels,
            resident: number(&status, "VmRSS:").context("no VmRSS")?,
            threads: number(&status, "Threads:").context("no Threads")?,
            keepers,
        })
    }
}

impl Drop for Example<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of a process that no other has, in KiB.
fn private(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(number(&rollup, "Private_Clean:")? + number(&rollup, "Private_Dirty:")?)
}

/// The number after a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_the_kernel_says() {
        let text = "Name:\twg\nVmRSS:\t    1234 kB\nThreads:\t7\n";
        assert_eq!(number(text, "VmRSS:"), Some(1234));
        assert_eq!(number(text, "Threads:"), Some(7));
        assert_eq!(number(text, "Private_Clean:"), None);
    }
}
