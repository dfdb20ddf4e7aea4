//! The process that keeps a TUN interface's carrier up while the daemon is away.
//!
//! When the last queue of a TUN is closed its carrier drops, and the kernel then flushes every
//! nexthop object on it and every route that uses one. A queue in detached state is enough to
//! prevent that, so a process that does nothing but hold one lets routes survive the death of the
//! daemon. It is our own binary, run again as `keep-tun <interface>` with the queue as its
//! standard input; it gives up every capability and ends when the interface is gone.
//!
//! Under systemd the unit needs `KillMode=process`, or it is killed along with the daemon.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec};

/// The first argument that makes our binary a keeper; the second is the interface.
pub const ARGUMENT: &str = "keep-tun";

/// How often it looks although nothing woke it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps standard input, a detached TUN queue, open until its interface is gone. Then returns.
///
/// The program's `main` calls it first of all for `keep-tun <interface>`, before it starts any
/// thread or opens anything: capabilities are given up by the calling thread, and every
/// descriptor but the standard three is closed.
///
/// # Errors
/// Standard input is not a TUN queue.
pub fn run(interface: &str) -> io::Result<()> {
    let queue = io::stdin();
    close_the_rest();
    settle_down();
    tracing::debug!(interface, "keeping the queue of a TUN");
    loop {
        let mut fds = [PollFd::new(&queue, PollFlags::empty())];
        let timeout = Timespec::try_from(LOOK_EVERY).expect("a second fits");
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // The kernel reports an error, unasked, once the interface is unregistered.
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Closes whatever the daemon inherited itself without knowing: a pipe held here would keep its
/// reader waiting for as long as the interface exists.
#[expect(unsafe_code, reason = "closes descriptors by number")]
fn close_the_rest() {
    // SAFETY: `run` comes first of all in `main`, so nothing in this process owns a descriptor
    // above the standard three.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Leaves the daemon's session, asks the OOM killer for mercy, and gives up all privileges.
///
/// Each is tried and none is needed to keep the queue open.
fn settle_down() {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(c"skybridge-keep");
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    let _ = rustix::thread::set_capabilities(None, sets);
    let _ = rustix::thread::set_no_new_privs(true);
}

/// How to start a keeper.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    program: PathBuf,
}

impl Keeper {
    /// Our own binary, even when its file has been replaced by an upgrade.
    pub(crate) fn own_binary() -> Self {
        Self {
            program: "/proc/self/exe".into(),
        }
    }

    /// Starts one for `interface` that holds `queue`.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub(crate) fn start(&self, interface: &str, queue: OwnedFd) -> io::Result<Child> {
        Command::new(&self.program)
            .arg0("skybridged")
            .args([ARGUMENT, interface])
            .env_clear()
            .stdin(Stdio::from(queue))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}
