//! When the router under test last heard the BFD of the link that dies: from there its protocol counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

use crate::lab::netns::Namespace;
use crate::lab::process::{Process, wait_for};

const PATIENCE: Duration = Duration::from_secs(5);
/// Of a capture file with microseconds, in the order of this machine.
const MAGIC: u32 = 0xa1b2_c3d4;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// `tcpdump`, noting each control packet that comes in.
#[derive(Debug)]
pub struct Heard {
    _process: Process,
    file: PathBuf,
}

impl Heard {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(namespace: &Namespace, interface: &str, directory: &Path) -> Result<Self> {
        let file = directory.join("bfd.pcap");
        let mut command = namespace.command("tcpdump");
        command.args(["-Z", "root", "--immediate-mode", "-U", "-n", "-s", "64"]);
        command.args(["-Q", "in", "-i", interface, "-w"]);
        command.arg(&file).args(["udp", "dst", "port", "3784"]);
        let mut process = Process::spawn("tcpdump", &mut command, &directory.join("tcpdump.log"))?;
        wait_for("tcpdump", PATIENCE, || {
            process.check_alive()?;
            ensure!(process.log().contains("listening on"), "not listening yet");
            Ok(())
        })?;
        Ok(Self {
            _process: process,
            file,
        })
    }

    /// When the last packet before `end` came in.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or there is none.
    pub fn last_before(&self, end: SystemTime) -> Result<SystemTime> {
        let bytes = fs::read(&self.file)?;
        let times = times(&bytes).context("not a capture file")?;
        let last = times.into_iter().rfind(|at| *at <= end);
        last.context("no BFD packet came in")
    }
}

fn times(bytes: &[u8]) -> Option<Vec<SystemTime>> {
    let word = |at: usize| {
        let octets = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(octets))
    };
    if word(0)? != MAGIC {
        return None;
    }
    let (mut at, mut times) = (FILE_HEADER, Vec::new());
    while let (Some(seconds), Some(micros), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        let since = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
        times.push(SystemTime::UNIX_EPOCH + since);
        at += RECORD_HEADER + usize::try_from(length).ok()?;
    }
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_file_tells_the_time_of_each_packet_and_nothing_else_does() {
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        for second in [5_u32, 6] {
            for field in [second, 250_000, 3, 3] {
                file.extend(field.to_ne_bytes());
            }
            file.extend([0; 3]);
        }
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(times(&file), Some(vec![at(5250), at(6250)]));
        assert_eq!(times(b"no capture"), None);
    }
}
