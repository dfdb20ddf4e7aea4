//! One daemon in a namespace, with its log.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

use crate::interrupt;

/// A process that a lab started. Dropping it kills it, unless it was let go.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    released: bool,
}

impl Process {
    /// Starts `command` with its output in `log` and in a process group of its own, so that
    /// Ctrl-C on the terminal does not reach it.
    ///
    /// # Errors
    ///
    /// When it cannot be started or the log cannot be written.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            released: false,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(self.rustix_pid()?, signal)
            .with_context(|| format!("signal to {}", self.name))
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When waiting fails.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {limit:?}", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Errors, with the end of its log, if it has ended.
    ///
    /// # Errors
    ///
    /// As said.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let (name, tail) = (&self.name, self.log_tail(12));
            return Err(Ended(format!("{name} has ended ({status})\n{tail}")).into());
        }
        Ok(())
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log, indented, under the log's name.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    /// Leaves it running when this is dropped.
    pub fn release(&mut self) {
        self.released = true;
    }

    fn rustix_pid(&self) -> Result<Pid> {
        let raw = i32::try_from(self.child.id()).context("pid out of range")?;
        Pid::from_raw(raw).context("pid 0")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.released {
            // Both fail only for a process that has been waited for already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A program of the same build as the one that runs.
///
/// # Errors
///
/// When it is not there: how to build it.
pub fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test runs from target/PROFILE/deps, the demo from target/PROFILE.
    let near = own.ancestors().skip(1).take(2).map(|near| near.join(name));
    near.into_iter()
        .find(|path| path.exists())
        .with_context(|| {
            format!(
                "no {name} near {}: cargo build --workspace --bins",
                own.display()
            )
        })
}

/// The last lines of a log, indented, under its name.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = all
        .get(all.len().saturating_sub(lines)..)
        .unwrap_or_default();
    let mut shown = format!("  {}:", log.display());
    for line in last {
        shown.push_str("\n    ");
        shown.push_str(line);
    }
    if last.is_empty() {
        shown.push_str(" empty");
    }
    shown
}

/// A process that should run has ended: nothing is left to wait for.
#[derive(Debug)]
struct Ended(String);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// Asks `attempt` every 20 ms until it yields something.
///
/// An error of `attempt` is a "not yet": the last one is reported if time runs out. Only one of
/// [`Process::check_alive`] ends the wait at once, and a signal where somebody [watches](interrupt::watch) for them.
///
/// # Errors
///
/// After `limit`: `what`, and why the last attempt did not do.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(last) if last.is::<Ended>() || interrupt::arrived() => return Err(last),
            Err(last) if Instant::now() > deadline => {
                return Err(last.context(format!("not within {limit:?}: {what}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
