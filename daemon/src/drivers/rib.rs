//! The [`Rib`]: routes in from peers, routes out to the FIB, exports out to peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::PeerId;
use bgp::rib::{Input, NexthopState, Output, Rib};
use tokio::sync::{mpsc, oneshot, watch};

use super::messages::{FibMessage, RibMessage, ToPeer};
use super::settle::{Decided, Settling};
use super::{earlier, until};
use crate::fib::Interfaces;

/// Prefixes handed to a peer at once.
const EXPORT: usize = 1024;
/// Batches a peer may hold before it gives credit back.
const CREDITS: usize = 2;
/// Nexthops that routes brought are looked at after so long, all at once.
const LOOK: Duration = Duration::from_millis(50);
/// Messages taken from the inbox before outputs are looked at.
const BURST: usize = 16;

/// Looks at the tables, in the task that owns them. `read` must be short: page what is long.
///
/// `None` when the process is ending.
pub(crate) async fn read<T: Send + 'static>(
    rib: &mpsc::Sender<RibMessage>,
    read: impl FnOnce(&Rib) -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let look = Box::new(move |rib: &Rib| {
        // The one who asked may be gone.
        let _ = answer.send(read(rib));
    });
    rib.send(RibMessage::Read(look)).await.ok()?;
    answered.await.ok()
}

struct Outlet {
    sender: mpsc::Sender<ToPeer>,
    /// Sessions of the peer so far.
    life: u64,
    credits: usize,
    is_ready: bool,
}

/// Runs until every sender of the inbox is gone.
///
/// - `awaited`: peers whose routes are waited for before leftovers in the kernel are swept
pub(crate) async fn run(
    rib: Rib,
    inbox: mpsc::Receiver<RibMessage>,
    fib: mpsc::Sender<FibMessage>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    awaited: BTreeSet<PeerId>,
) {
    let settling = Settling::new(awaited, Instant::now());
    let reach = Reach {
        interfaces,
        revision: 0,
        known: BTreeMap::new(),
        look_at: None,
    };
    Driver {
        rib,
        inbox,
        fib,
        outlets: BTreeMap::new(),
        settling,
        reach,
    }
    .run()
    .await;
}

struct Driver {
    rib: Rib,
    inbox: mpsc::Receiver<RibMessage>,
    fib: mpsc::Sender<FibMessage>,
    outlets: BTreeMap<PeerId, Outlet>,
    settling: Settling,
    reach: Reach,
}

/// Which nexthops lie on a network that this host is connected to.
struct Reach {
    interfaces: watch::Receiver<Arc<Interfaces>>,
    /// Of the nexthops, when last looked at.
    revision: u64,
    known: BTreeMap<IpAddr, NexthopState>,
    look_at: Option<Instant>,
}

impl Driver {
    async fn run(mut self) {
        let mut burst = Vec::with_capacity(BURST);
        loop {
            // Exporting may decide what the RIB had left for later.
            loop {
                self.drain().await;
                if !self.export() {
                    break;
                }
            }
            self.sweep_when_settled().await;
            if self.reach.look_at.is_none() && self.reach.revision != self.rib.nexthops_revision() {
                self.reach.look_at = Some(Instant::now() + LOOK);
            }
            let deadline = earlier(
                self.rib.poll_timeout(),
                earlier(self.settling.poll_timeout(), self.reach.look_at),
            );
            tokio::select! {
                taken = self.inbox.recv_many(&mut burst, BURST) => {
                    if taken == 0 {
                        return;
                    }
                }
                changed = self.reach.interfaces.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look_at_nexthops();
                }
                () = until(deadline) => self.on_timeout(),
            }
            for message in burst.drain(..) {
                self.obey(message);
            }
        }
    }

    async fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    let _ = self.fib.send(FibMessage::Routes(changes)).await;
                }
                Output::ExportReady(peer) => {
                    if let Some(outlet) = self.outlets.get_mut(&peer) {
                        outlet.is_ready = true;
                    }
                }
                Output::Limit {
                    peer,
                    family,
                    event,
                } => {
                    tracing::warn!(?peer, %family, ?event, "prefix limit");
                }
            }
        }
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        if self.reach.look_at.is_some_and(|at| at <= now) {
            self.look_at_nexthops();
        }
        self.rib.handle(Input::Timeout, now);
    }

    /// A nexthop on no connected network is an unreachable one, exactly like an unplugged cable.
    fn look_at_nexthops(&mut self) {
        self.reach.look_at = None;
        self.reach.revision = self.rib.nexthops_revision();
        let interfaces = Arc::clone(&self.reach.interfaces.borrow_and_update());
        if interfaces.0.is_empty() {
            return;
        }
        let state = |address| match interfaces.toward(address) {
            Some(_) => NexthopState::Reachable { metric: 0 },
            None => NexthopState::Unreachable,
        };
        let states: BTreeMap<_, _> = self
            .rib
            .nexthops()
            .map(|address| (address, state(address)))
            .collect();
        let now = Instant::now();
        for (address, state) in &states {
            let known = self.reach.known.get(address).copied();
            if known.unwrap_or(NexthopState::Reachable { metric: 0 }) != *state {
                self.rib.handle(Input::Nexthop(*address, *state), now);
            }
        }
        // One that nothing uses is forgotten, and usable when it returns.
        for (address, known) in &self.reach.known {
            if *known == NexthopState::Unreachable && !states.contains_key(address) {
                self.rib.handle(
                    Input::Nexthop(*address, NexthopState::Reachable { metric: 0 }),
                    now,
                );
            }
        }
        self.reach.known = states;
    }

    fn obey(&mut self, message: RibMessage) {
        match message {
            RibMessage::Input(input) => {
                let now = Instant::now();
                self.settling.hear(&input, now);
                if let Input::Remove(peer) = &input {
                    self.outlets.remove(peer);
                } else if let Input::Up(peer, _) = &input
                    && let Some(outlet) = self.outlets.get_mut(peer)
                {
                    outlet.life += 1;
                }
                self.rib.handle(input, now);
            }
            RibMessage::Attach(peer, sender) => {
                self.outlets.insert(
                    peer,
                    Outlet {
                        life: 0,
                        sender,
                        credits: CREDITS,
                        is_ready: true,
                    },
                );
            }
            RibMessage::Credit(peer, credits) => {
                if let Some(outlet) = self.outlets.get_mut(&peer) {
                    outlet.credits = (outlet.credits + credits).min(CREDITS);
                }
            }
            RibMessage::Read(look) => look(&self.rib),
        }
    }

    /// Hands a batch to every peer that has one waiting and room for it. Returns whether any had.
    fn export(&mut self) -> bool {
        let mut exported = false;
        for (peer, outlet) in &mut self.outlets {
            while outlet.is_ready && outlet.credits > 0 {
                let Some(batch) = self.rib.poll_export(*peer, EXPORT) else {
                    outlet.is_ready = false;
                    break;
                };
                exported = true;
                if batch.deltas.is_empty() && batch.end_of_rib.is_empty() {
                    continue;
                }
                outlet.credits -= 1;
                // The credit guarantees room; a peer that is gone needs nothing.
                let life = outlet.life;
                let _ = outlet.sender.try_send(ToPeer::Advertise { batch, life });
            }
        }
        exported
    }

    async fn sweep_when_settled(&mut self) {
        // A deadline ahead is no work left: it is for what is kept of sessions that ended.
        let decided = match self.rib.poll_timeout() {
            Some(at) if at <= Instant::now() => Decided::NotYet,
            Some(_) | None => Decided::All,
        };
        if self.settling.is_over(decided, Instant::now()) {
            let _ = self.fib.send(FibMessage::Sweep).await;
        }
    }
}
