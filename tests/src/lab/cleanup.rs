//! Removing labs: one's own, those of dead makers, and proof that nothing is left.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use super::{NODES, RUN, namespace, stands};

/// Removes a lab by name, whoever made it: its processes, namespaces and files.
///
/// # Errors
///
/// When a process does not die or the kernel refuses; the rest is removed nevertheless.
pub fn remove(name: &str) -> Result<()> {
    // A signal and a destructor may both want it; the second finds nothing left to do.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = Ok(());
    for node in NODES {
        first = first.and(namespace(name, node).remove());
    }
    let directory = Path::new(RUN).join(name);
    if directory.exists() {
        first = first.and(fs::remove_dir_all(directory).context("removing the lab's files"));
    }
    // Fails while another lab stands, which is right.
    let _ = fs::remove_dir(RUN);
    first
}

/// Fails unless a lab of that name left nothing behind.
///
/// # Errors
///
/// What is left.
pub fn ensure_gone(name: &str) -> Result<()> {
    let left = remains(name)?;
    if !left.is_empty() {
        bail!("left behind: {left:?}");
    }
    Ok(())
}

/// Every namespace and process that a lab of that name still has, for people to read.
///
/// # Errors
///
/// When a namespace cannot be asked.
pub fn remains(name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for node in NODES {
        let namespace = namespace(name, node);
        if namespace.exists() {
            found.push(format!(
                "{}: processes {:?}",
                namespace.name(),
                namespace.pids()?
            ));
        }
    }
    if stands(name) {
        found.push(format!("{RUN}/{name}"));
    }
    found.extend(processes_with(&format!("{RUN}/{name}/")));
    Ok(found)
}

/// Processes that have a word on their command line, such as one that left its namespace.
fn processes_with(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Some(format!("process {}: {line}", entry.file_name().display()))
    });
    lines.filter(|line| line.contains(word)).collect()
}

/// Ends the lab when the last owner is gone, also when building it failed half way.
#[derive(Debug)]
pub(super) struct Cleanup {
    pub(super) name: String,
    pub(super) armed: bool,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        if self.armed
            && let Err(error) = remove(&self.name)
        {
            report_leftover(&self.name, &error);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a destructor has no other way to be heard"
)]
fn report_leftover(name: &str, error: &anyhow::Error) {
    eprintln!("lab {name} is not fully removed: {error:#}");
}

/// A lab whose maker was killed could not remove itself; one that is kept has no maker to ask.
pub(super) fn remove_orphans() -> Result<()> {
    let Ok(labs) = fs::read_dir(RUN) else {
        return Ok(());
    };
    for lab in labs {
        let lab = lab?;
        let maker = fs::read_to_string(lab.path().join("maker")).unwrap_or_default();
        let alive = !maker.is_empty() && Path::new("/proc").join(&maker).exists();
        if !alive && !lab.path().join("kept").exists() {
            let name = lab.file_name();
            remove(name.to_str().context("a lab's name is ASCII")?)?;
        }
    }
    Ok(())
}
