//! One running tunnel: what its two halves share, and what the control plane may do to it.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::{counters::Counters, noise::Noise, pool::Pool, tun::Queue, udp::Udp};
use crate::{plan::Life, spec::WireGuardSpec};

/// What the halves of a tunnel share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) udp: Udp,
    pub(super) counters: Arc<Counters>,
    noise: Arc<Mutex<Noise>>,
    ended: AtomicBool,
}

impl Shared {
    /// The protocol state; hold it for one batch at most.
    pub(super) fn noise(&self) -> MutexGuard<'_, Noise> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing will ever come from it again.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A running data plane. Dropping it ends it; the interface stays.
pub(crate) struct Tunnel {
    interface: String,
    shared: Arc<Shared>,
    spec: WireGuardSpec,
    pool: Arc<Pool>,
}

impl Tunnel {
    /// Binds the port, attaches a queue and has both served by `pool`.
    ///
    /// - `life`: what to believe until there is a session, or none for too long
    /// - `stirred`: told when that changes
    ///
    /// # Errors
    /// The kernel's; `EADDRINUSE` when somebody else has the port.
    pub(crate) fn start(
        pool: &Arc<Pool>,
        interface: &str,
        spec: &WireGuardSpec,
        life: Life,
        stirred: Arc<Notify>,
    ) -> io::Result<Self> {
        let counters = Arc::new(Counters::new(life, stirred));
        let noise = Noise::new(spec, counters.clone(), Instant::now());
        let shared = Arc::new(Shared {
            udp: Udp::bind(spec.listen_port)?,
            queue: Queue::attach(interface)?,
            counters,
            noise: Arc::new(Mutex::new(noise)),
            ended: AtomicBool::new(false),
        });
        pool.serve(&shared);
        Ok(Self {
            interface: interface.to_owned(),
            shared,
            spec: spec.clone(),
            pool: pool.clone(),
        })
    }

    /// Takes over a changed spec between two batches. Traffic goes on in the session there is:
    /// until a handshake under changed keys is done, and from another port at once.
    ///
    /// # Errors
    /// The kernel's, for another port; then nothing has changed.
    pub(crate) fn adopt(&mut self, spec: &WireGuardSpec) -> io::Result<()> {
        if spec.listen_port != self.spec.listen_port {
            self.rebind(spec.listen_port)?;
        }
        self.shared.noise().change(spec, Instant::now());
        self.spec = spec.clone();
        Ok(())
    }

    /// The next socket and queue are served before the last ones are let go.
    fn rebind(&mut self, port: u16) -> io::Result<()> {
        let next = Arc::new(Shared {
            udp: Udp::bind(port)?,
            queue: Queue::attach(&self.interface)?,
            counters: self.shared.counters.clone(),
            noise: self.shared.noise.clone(),
            ended: AtomicBool::new(false),
        });
        self.pool.serve(&next);
        self.pool.release(&self.shared);
        self.shared = next;
        self.shared.noise().prove(Instant::now());
        Ok(())
    }

    /// What it runs with.
    pub(crate) fn spec(&self) -> &WireGuardSpec {
        &self.spec
    }

    /// It is served; that ends only when told to, when the interface is removed, or by a fault.
    pub(crate) fn is_running(&self) -> bool {
        !self.shared.ended.load(Ordering::Relaxed) && self.pool.is_running()
    }

    /// What the packet path tells.
    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.pool.release(&self.shared);
    }
}
