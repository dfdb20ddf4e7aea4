//! One running tunnel: its threads, and what the control plane may do to it.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use tun_rs::SyncDevice;

use super::{counters::Counters, noise::Noise, rx, tun, tx, udp::Udp};
use crate::spec::WireGuardSpec;

/// What both threads share.
pub(super) struct Shared {
    pub(super) device: SyncDevice,
    pub(super) udp: Udp,
    pub(super) counters: Arc<Counters>,
    noise: Mutex<Noise>,
    stop: OwnedFd,
}

impl Shared {
    /// The protocol state; hold it for one batch at most.
    pub(super) fn noise(&self) -> MutexGuard<'_, Noise> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `fd` is ready, the tunnel stops, or `timeout` has passed.
    pub(super) fn wait(
        &self,
        fd: std::os::fd::BorrowedFd<'_>,
        events: PollFlags,
        timeout: Duration,
    ) -> Wake {
        let timeout = Timespec::try_from(timeout).expect("a short time fits");
        let mut fds = [
            PollFd::from_borrowed_fd(fd, events),
            PollFd::new(&self.stop, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Wake::Timeout,
            Ok(_) if !fds[1].revents().is_empty() => Wake::Stop,
            // The interface was removed under us: nothing will ever come from it again.
            Ok(_)
                if fds[0]
                    .revents()
                    .intersects(PollFlags::ERR | PollFlags::NVAL) =>
            {
                Wake::Stop
            }
            Ok(_) => Wake::Ready,
            Err(_) => Wake::Stop,
        }
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Ready,
    Timeout,
    Stop,
}

/// A running data plane. Dropping it ends its threads; the interface stays.
pub(crate) struct Tunnel {
    shared: Arc<Shared>,
    spec: WireGuardSpec,
    threads: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Binds the port, attaches a queue and starts the threads.
    ///
    /// # Errors
    /// The kernel's; `EADDRINUSE` when somebody else has the port.
    pub(crate) fn start(interface: &str, spec: &WireGuardSpec) -> io::Result<Self> {
        let counters = Arc::new(Counters::default());
        let shared = Arc::new(Shared {
            udp: Udp::bind(spec.listen_port)?,
            device: tun::attach(interface)?,
            noise: Mutex::new(Noise::new(spec, counters.clone(), Instant::now())),
            counters,
            stop: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let mut tunnel = Self {
            shared,
            spec: spec.clone(),
            threads: Vec::with_capacity(2),
        };
        tunnel.spawn("tx", interface, tx::run)?;
        tunnel.spawn("rx", interface, rx::run)?;
        Ok(tunnel)
    }

    /// Whether [`Tunnel::adopt`] can take over this spec; another port needs another tunnel.
    pub(crate) fn can_adopt(&self, spec: &WireGuardSpec) -> bool {
        self.is_running() && self.spec.listen_port == spec.listen_port
    }

    /// Takes over a changed spec between two batches.
    ///
    /// A changed endpoint keeps the session; changed keys make another one.
    pub(crate) fn adopt(&mut self, spec: &WireGuardSpec) {
        let now = Instant::now();
        let mut moved = self.spec.clone();
        moved.peer.endpoint = spec.peer.endpoint;
        moved.backend = spec.backend;
        let mut noise = self.shared.noise();
        match spec.peer.endpoint {
            Some(endpoint) if moved == *spec => noise.set_endpoint(endpoint, now),
            Some(_) | None if moved == *spec => {}
            Some(_) | None => *noise = Noise::new(spec, self.shared.counters.clone(), now),
        }
        drop(noise);
        self.spec = spec.clone();
    }

    /// What it runs with.
    pub(crate) fn spec(&self) -> &WireGuardSpec {
        &self.spec
    }

    /// Both threads run; they end only when told to or when the interface is removed.
    pub(crate) fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// What the packet path tells.
    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn spawn(&mut self, role: &str, interface: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name(format!("{role} {interface}"))
            .spawn(move || run(&shared))?;
        self.threads.push(thread);
        Ok(())
    }

    fn stop(&mut self) {
        // An eventfd takes eight bytes; a second write changes nothing.
        let _ = rustix::io::write(&self.shared.stop, &1u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the tunnel's data plane panicked");
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop();
    }
}
