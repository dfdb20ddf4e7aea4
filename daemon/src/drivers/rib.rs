//! The [`Rib`]: routes in from peers, routes out to the FIB, exports out to peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bgp::PeerId;
use bgp::rib::{Input, Output, Rib};
use tokio::sync::{mpsc, oneshot, watch};

use super::drawn::Drawing;
use super::messages::{FibMessage, RibMessage, ToPeer};
use super::nexthops::Reach;
use super::settle::{Decided, Settling};
use super::{earlier, until};
use crate::fib::{Interfaces, Others};

/// Batches of UPDATEs a peer may hold before it gives credit back.
const CREDITS: usize = 2;
/// Messages taken from the inbox before outputs are looked at.
const BURST: usize = 8;

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

/// When peers are told what there is after the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Telling {
    AtOnce,
    /// Once they have told what they have (RFC 4724 §4.1).
    WhenTold,
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
/// - `telling`: whether peers are told what there is before they have told what they have
/// - `settled`: told when they are
/// - `drawn`: told of [`Rib::drawn`]
pub(crate) async fn run(
    mut rib: Rib,
    inbox: mpsc::Receiver<RibMessage>,
    fib: mpsc::Sender<FibMessage>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    others: watch::Receiver<Arc<Others>>,
    awaited: BTreeSet<PeerId>,
    telling: Telling,
    settled: oneshot::Sender<()>,
    drawn: watch::Sender<BTreeSet<PeerId>>,
) {
    let now = Instant::now();
    let settling = match telling {
        Telling::AtOnce => Settling::new(awaited, now),
        Telling::WhenTold => {
            rib.handle(Input::Defer, now);
            Settling::deferring(awaited, now)
        }
    };
    let reach = Reach::new(interfaces, others);
    Driver {
        rib,
        inbox,
        fib,
        outlets: BTreeMap::new(),
        settling,
        settled: Some(settled),
        reach,
        drawing: Drawing::new(drawn),
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
    settled: Option<oneshot::Sender<()>>,
    reach: Reach,
    drawing: Drawing,
}

impl Driver {
    async fn run(mut self) {
        let mut burst = Vec::with_capacity(BURST);
        loop {
            self.drain().await;
            // Exporting may decide what the RIB had left for later.
            let exported = self.export();
            if exported {
                self.drain().await;
            }
            self.sweep_when_settled().await;
            self.reach.notice(&self.rib, Instant::now());
            let deadline = earlier(
                self.rib.poll_timeout(),
                earlier(self.settling.poll_timeout(), self.reach.poll_timeout()),
            );
            let deadline = earlier(deadline, self.drawing.poll_timeout());
            tokio::select! {
                taken = self.inbox.recv_many(&mut burst, BURST) => {
                    if taken == 0 {
                        return;
                    }
                }
                changed = self.reach.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.reach.look(&mut self.rib, Instant::now());
                }
                () = until(deadline) => self.on_timeout(),
                // There may be more to hand out. A walk that finds nothing for anybody holds up no one.
                () = std::future::ready(()), if exported => {}
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
                    self.drawing.note(Instant::now());
                    let _ = self.fib.send(FibMessage::Routes(changes)).await;
                }
                Output::ExportReady(peer) => {
                    if let Some(outlet) = self.outlets.get_mut(&peer) {
                        outlet.is_ready = true;
                    }
                }
                Output::NexthopOurs { peer, nexthop } => {
                    self.tell(peer, ToPeer::NexthopOurs(nexthop));
                }
                Output::Limit {
                    peer,
                    family,
                    event,
                } => {
                    self.tell(peer, ToPeer::Limit(family, event));
                }
            }
        }
    }

    /// There is room: connections leave some to others. What was promised for credits is never taken.
    fn tell(&self, peer: PeerId, message: ToPeer) {
        if let Some(outlet) = self.outlets.get(&peer)
            && outlet.sender.capacity() > CREDITS
        {
            let _ = outlet.sender.try_send(message);
        }
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        self.reach.on_timeout(&mut self.rib, now);
        self.drawing.on_timeout(&self.rib, now);
        self.rib.handle(Input::Timeout, now);
    }

    fn obey(&mut self, message: RibMessage) {
        match message {
            RibMessage::Input(mut input) => {
                let now = Instant::now();
                self.settling.hear(&input, now);
                if matches!(input, Input::Standing(..)) {
                    self.drawing.note(now);
                }
                if let Input::Remove(peer) = &input {
                    self.outlets.remove(peer);
                } else if let Input::Up(peer, up) = &mut input {
                    if let Some(outlet) = self.outlets.get_mut(peer) {
                        outlet.life += 1;
                    }
                    // The session knows both addresses, but not how long the prefix is.
                    let address = self.rib.peer_address(*peer);
                    up.connected = address.and_then(|address| self.reach.network(address));
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
            if !outlet.is_ready || outlet.credits == 0 {
                continue;
            }
            let Some(updates) = self.rib.poll_export(*peer) else {
                outlet.is_ready = false;
                continue;
            };
            exported = true;
            if updates.bytes.is_empty() {
                continue;
            }
            outlet.credits -= 1;
            // The credit guarantees room; a peer that is gone needs nothing.
            let life = outlet.life;
            let _ = outlet.sender.try_send(ToPeer::Transmit { updates, life });
        }
        exported
    }

    async fn sweep_when_settled(&mut self) {
        // A deadline ahead is no work left: it is for what is kept of sessions that ended.
        let decided = match self.rib.poll_timeout() {
            Some(at) if at <= Instant::now() => Decided::NotYet,
            Some(_) | None => Decided::All,
        };
        if self.settling.may_tell(decided, Instant::now()) {
            self.rib.handle(Input::Release, Instant::now());
            if let Some(settled) = self.settled.take() {
                // The router goes only with the process.
                let _ = settled.send(());
            }
        }
        if self.settling.is_over(decided, Instant::now()) {
            let _ = self.fib.send(FibMessage::Sweep).await;
        }
    }
}
