//! Measuring: one thread sends the probes of all links, hears their answers, and answers those of the far ends.
//!
//! A thread of its own, because to wake costs ten times what a packet does: where there are many links, what
//! comes or is due within some milliseconds shares a turn. That adds nothing to what is measured, since the
//! kernel stamps what comes. Each link's task hears what its probe has found through a channel, and makes of
//! it what it means for the link.

mod sockets;
mod thread;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use links::stamp::Unauthentic;
use links::{Output, ProbeConfig, Quality, ReflectorConfig};
use tokio::sync::{mpsc, oneshot};

use super::bell::Bell;
use crate::board::Board;
use thread::Order;

/// Orders that the thread may have waiting.
const INBOX: usize = 64;
/// What a link's task may have waiting. A task that is so far behind misses what is found meanwhile.
const FINDINGS: usize = 64;

/// What is measured.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Target {
    /// Of the link.
    pub(crate) name: String,
    /// The only interface that packets leave by and come in by.
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// `None`: the far end is answered, and not asked.
    pub(crate) probe: Option<ProbeConfig>,
    pub(crate) reflector: ReflectorConfig,
}

/// What was found since the last time: a loss at once, an answer after many others within a second.
#[derive(Default, Debug)]
pub(crate) struct Found {
    /// In their order.
    pub(crate) outputs: Vec<Output>,
    /// Rounds that ask for a TCP connection; see [`Measuring::connected`].
    pub(crate) connects: Vec<u32>,
    /// Once a second.
    pub(crate) quality: Option<Box<Quality>>,
    /// With that: why what comes by STAMP is not taken for the far end's, if nothing else does.
    pub(crate) doubt: Option<Unauthentic>,
}

/// Who is measured; never used again, so that an order that comes late is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key(u64);

/// The way to the thread.
#[derive(Clone)]
pub(crate) struct Probes {
    orders: mpsc::Sender<Order>,
    bell: Arc<Bell>,
    next: Arc<AtomicU64>,
}

impl Probes {
    /// Starts the thread. What comes back beside it resolves when that has ended, which it does when nobody
    /// can give it orders any more.
    ///
    /// # Errors
    ///
    /// The kernel has no thread or no descriptors for us.
    pub(crate) fn start(board: Arc<Board>) -> std::io::Result<(Self, impl Future<Output = ()>)> {
        let bell = Arc::new(Bell::new()?);
        let (orders, ordered) = mpsc::channel(INBOX);
        let (end, ended) = oneshot::channel();
        thread::start(ordered, Arc::clone(&bell), board, end)?;
        let probes = Self {
            orders,
            bell,
            next: Arc::default(),
        };
        Ok((probes, async {
            let _ = ended.await;
        }))
    }

    /// Measures a link, once it is [attached](Measuring::attach). Whoever measured one of that name stops.
    pub(crate) async fn measure(&self, target: Target) -> Measuring {
        let key = Key(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, found) = mpsc::channel(FINDINGS);
        let measuring = Measuring {
            key,
            orders: self.orders.clone(),
            bell: Arc::clone(&self.bell),
            found,
        };
        let order = thread::Begin {
            key,
            target,
            found: sender,
        };
        measuring.order(Order::Begin(Box::new(order))).await;
        measuring
    }
}

/// The measurement of one link. Dropped, it ends.
pub(crate) struct Measuring {
    key: Key,
    orders: mpsc::Sender<Order>,
    bell: Arc<Bell>,
    found: mpsc::Receiver<Found>,
}

impl Measuring {
    /// The interface is there, or there anew: sockets are opened on it.
    pub(crate) async fn attach(&self) {
        self.order(Order::Attach(self.key)).await;
    }

    /// The interface is gone.
    pub(crate) async fn detach(&self) {
        self.order(Order::Detach(self.key)).await;
    }

    /// The far end has answered the connection of this round.
    pub(crate) async fn connected(&self, round: u32) {
        self.order(Order::Connected(self.key, round)).await;
    }

    /// What was found next. `None`: nobody measures the link any more, by a fault of the program. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Found> {
        self.found.recv().await
    }

    async fn order(&self, order: Order) {
        // A thread that has ended takes the process along.
        let _ = self.orders.send(order).await;
        self.bell.ring();
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        // Where there is no room, the thread sees before long that nobody listens.
        let _ = self.orders.try_send(Order::End(self.key));
        self.bell.ring();
    }
}
