//! What idle tunnels weigh: the daemons of one end, and the kernel.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Kind;
use super::pair::{Pair, Side};
use crate::interrupt;

/// What came up has come to rest.
const REST: Duration = Duration::from_secs(5);
/// Between two looks at whether the kernel is at rest, and how many there are at most.
const MOMENT: Duration = Duration::from_secs(2);
const PATIENCE: usize = 30;
/// Memory that may come and go meanwhile, KiB.
const STEADY: u64 = 256;
/// Of the kernel's own memory, in `/proc/meminfo`. Page tables and stacks are those of processes.
const KERNEL: [&str; 3] = ["Slab:", "Percpu:", "VmallocUsed:"];

/// Memory of one end, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    /// `skybridged`, resident.
    pub router: u64,
    /// What the processes that keep TUNs share with nobody.
    pub keepers: u64,
    /// strongSwan, resident.
    pub strongswan: u64,
    /// Half of what the kernel has taken for both ends.
    pub kernel: u64,
}

/// Weighs one end with so many tunnels of a kind, all up.
///
/// # Errors
///
/// When a tunnel does not come up.
pub fn weigh(kind: Kind, tunnels: u16) -> Result<Weight> {
    let before = kernel_at_rest()?;
    let mut pair = Pair::build(kind, tunnels)?;
    pair.start(tunnels)?;
    pair.wait_until_up(Side::Near, tunnels)?;
    interrupt::sleep(REST)?;
    let router = pair.router(Side::Near).process()?.pid();
    let mut weight = Weight {
        router: resident(router)?,
        kernel: kernel()?.saturating_sub(before) / 2,
        ..Weight::default()
    };
    for pid in pair.namespace(Side::Near).pids()? {
        let pid = u32::try_from(pid)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        match name.trim() {
            "charon" => weight.strongswan += resident(pid)?,
            "skybridge-keep" => weight.keepers += private(pid).unwrap_or(0),
            _ => {}
        }
    }
    Ok(weight)
}

/// What each of so many tunnels adds to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Of which kind.
    pub kind: Kind,
    /// How many.
    pub tunnels: u16,
    /// With no tunnel.
    pub empty: Weight,
    /// With all of them.
    pub full: Weight,
}

/// The line above rows.
pub const HEADER: &str =
    "KiB a tunnel             tunnels   skybridged    keepers  strongSwan     kernel";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |part: fn(&Weight) -> u64| {
            let more = part(&self.full).saturating_sub(part(&self.empty));
            more / u64::from(self.tunnels.max(1))
        };
        write!(
            f,
            "{:<24} {:>7} {:>12} {:>10} {:>11} {:>10}   skybridged {} KiB in all, {} without any",
            self.kind,
            self.tunnels,
            each(|weight| weight.router),
            each(|weight| weight.keepers),
            each(|weight| weight.strongswan),
            each(|weight| weight.kernel),
            self.full.router,
            self.empty.router,
        )
    }
}

/// Resident memory of a process.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    number(&status, "VmRSS:").context("no VmRSS")
}

/// Memory of a process that no other has.
fn private(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(number(&rollup, "Private_Clean:")? + number(&rollup, "Private_Dirty:")?)
}

fn kernel() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    Ok(KERNEL.iter().filter_map(|word| number(&text, word)).sum())
}

/// The kernel's memory, once what was there before is gone: it takes interfaces down after the namespace is gone.
fn kernel_at_rest() -> Result<u64> {
    let mut before = kernel()?;
    for _ in 0..PATIENCE {
        interrupt::sleep(MOMENT)?;
        let now = kernel()?;
        if now + STEADY >= before {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
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
    fn a_row_has_what_each_tunnel_adds() {
        let with = |router| Weight {
            router,
            ..Weight::default()
        };
        let row = Row {
            kind: Kind::Gre,
            tunnels: 10,
            empty: with(1_000),
            full: with(1_250),
        };
        let words = row.to_string();
        let columns: Vec<&str> = words.split_whitespace().take(3).collect();
        assert_eq!(columns, ["gre", "10", "25"], "{words}");
    }
}
