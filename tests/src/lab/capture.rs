//! Every packet of an interface, judged by a dissector that is not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::netns::{Namespace, output};
use super::process::{Process, wait_for};

const PATIENCE: Duration = Duration::from_secs(5);
/// What no correct speaker sends: bytes that do not dissect, or that the dissector calls an error.
/// It does not know RFC 8654: each message of more than 4096 octets, from whomever, is malformed to
/// it, so those are left to the other end.
const MALFORMED: &str =
    "(_ws.malformed || _ws.expert.severity == \"Error\") && !(bgp.length > 4096)";

/// `tcpdump`, running.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts it and waits until it listens. BGP only, whole packets.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(namespace: &Namespace, interface: &str, directory: &Path) -> Result<Self> {
        Self::of(namespace, interface, directory, &["tcp", "port", "179"])
    }

    /// The same of what a filter of `tcpdump` selects; without words, of everything.
    ///
    /// # Errors
    ///
    /// As [`Capture::start`].
    pub fn of(
        namespace: &Namespace,
        interface: &str,
        directory: &Path,
        filter: &[&str],
    ) -> Result<Self> {
        let (file, log) = (
            directory.join("packets.pcap"),
            directory.join("tcpdump.log"),
        );
        let mut command = namespace.command("tcpdump");
        // It would give up root, and then may not write where the test's files are. What the kernel
        // still holds when it is told to end would be lost, so the kernel holds nothing.
        command.args(["-Z", "root", "--immediate-mode", "-U", "-n", "-s", "0"]);
        command.args(["-i", interface, "-w"]);
        command.arg(&file).args(filter);
        let mut process = Process::spawn("tcpdump", &mut command, &log)?;
        wait_for("tcpdump", PATIENCE, || {
            process.check_alive()?;
            let log = process.log();
            ensure!(log.contains("listening on"), "it said {log}");
            Ok(())
        })?;
        Ok(Self { process, file })
    }

    /// What there is already.
    pub fn so_far(&self) -> Packets {
        let file = self.file.clone();
        Packets { file }
    }

    /// Ends the capture, and returns what can be asked about it.
    ///
    /// # Errors
    ///
    /// When `tcpdump` does not end.
    pub fn finish(mut self) -> Result<Packets> {
        self.process.signal(Signal::INT)?;
        self.process.wait(PATIENCE)?;
        Ok(Packets { file: self.file })
    }
}

/// What was captured.
#[derive(Debug)]
pub struct Packets {
    file: PathBuf,
}

impl Packets {
    /// Fails unless there are BGP messages and each is well formed.
    ///
    /// # Errors
    ///
    /// The packets that are not.
    pub fn ensure_well_formed(&self) -> Result<()> {
        ensure!(!self.matching("bgp")?.is_empty(), "no BGP was captured");
        let bad = self.matching(&format!("bgp && ({MALFORMED})"))?;
        ensure!(bad.is_empty(), "malformed: {}", bad.join("\n"));
        Ok(())
    }

    /// One line for each packet that a display filter of `tshark` selects.
    ///
    /// # Errors
    ///
    /// When `tshark` is missing or does not understand the filter.
    pub fn matching(&self, filter: &str) -> Result<Vec<String>> {
        let said = self.tshark(&["-Y", filter])?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// The numbers of those packets, counted from 1.
    ///
    /// # Errors
    ///
    /// As [`Packets::matching`].
    pub fn numbers(&self, filter: &str) -> Result<Vec<u64>> {
        let said = self.tshark(&["-Y", filter, "-T", "fields", "-e", "frame.number"])?;
        let numbers = said.lines().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    fn tshark(&self, args: &[&str]) -> Result<String> {
        let mut tshark = Command::new("tshark");
        output(tshark.arg("-r").arg(&self.file).args(args)).context("tshark")
    }
}
