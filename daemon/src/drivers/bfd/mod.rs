//! BFD: one thread for the sessions of all links.
//!
//! A thread of its own, because a neighbour waits for packets every few tens of milliseconds whatever
//! else there is to do: a table that comes in, a reload, a session that is started again. So BFD lives
//! from the first link to the end of the process. The task here follows the interfaces, and tells the
//! thread which sessions there should be; each link hears what its session says through a watch.

mod thread;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use links::BfdWord;
use links::bfd::{Config, Hops, Path, SessionId};
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::fib::Interfaces;
use thread::{Order, Running, Strictness};

/// Orders that the thread may have waiting.
const INBOX: usize = 64;

/// A session that a link wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) config: Config,
    /// The link waits for it.
    pub(crate) strict: bool,
}

/// All wanted sessions, by link.
pub(crate) type Sessions = BTreeMap<String, Wanted>;

/// The way to the BFD of this process.
#[derive(Clone)]
pub(crate) struct Bfd {
    wanted: watch::Sender<Sessions>,
    words: Words,
}

/// What the session of each link says.
#[derive(Clone, Default)]
struct Words(Arc<Mutex<BTreeMap<String, watch::Sender<BfdWord>>>>);

impl Words {
    fn of(&self, link: &str) -> watch::Sender<BfdWord> {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let word = words
            .entry(link.to_owned())
            .or_insert_with(|| watch::Sender::new(BfdWord::Silent));
        word.clone()
    }
}

impl Bfd {
    /// Starts the thread. What comes back beside it is the task that tells it what to do; when that
    /// ends, so does BFD.
    ///
    /// # Errors
    ///
    /// The kernel has no thread for us.
    pub(crate) fn start(
        interfaces: watch::Receiver<Arc<Interfaces>>,
        board: Arc<Board>,
    ) -> std::io::Result<(Self, impl Future<Output = ()>)> {
        let (wanted, wanted_seen) = watch::channel(Sessions::new());
        let words = Words::default();
        let (orders, running) = thread::start(INBOX, board)?;
        let follower = Follower {
            wanted: wanted_seen,
            interfaces,
            words: words.clone(),
            orders,
            running,
            known: BTreeMap::new(),
            next_id: 0,
        };
        Ok((Self { wanted, words }, follower.run()))
    }

    /// These sessions, and no others. A link that is to wait for its session does so from now on, whether
    /// there can be one yet or not.
    pub(crate) fn configure(&self, sessions: Sessions) {
        let before = self.wanted.borrow().clone();
        let waits = |sessions: &Sessions, link: &str| {
            sessions.get(link).is_some_and(|wanted| wanted.strict)
        };
        let fresh = sessions
            .keys()
            .filter(|link| waits(&sessions, link) && !waits(&before, link));
        for link in fresh {
            self.words.of(link).send_if_modified(|word| {
                let is_silent = *word == BfdWord::Silent;
                if is_silent {
                    *word = BfdWord::Awaited;
                }
                is_silent
            });
        }
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != sessions;
            *wanted = sessions;
            differs
        });
    }

    /// What the session of a link says, from now on; nothing, as long as there is none.
    pub(crate) fn word(&self, link: &str) -> watch::Receiver<BfdWord> {
        self.words.of(link).subscribe()
    }
}

/// A session that the thread was told to have.
struct Known {
    id: SessionId,
    wanted: Wanted,
    interface: u32,
}

struct Follower {
    wanted: watch::Receiver<Sessions>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    words: Words,
    orders: mpsc::Sender<Order>,
    running: Running,
    known: BTreeMap<String, Known>,
    next_id: u32,
}

impl Follower {
    async fn run(mut self) {
        loop {
            if self.follow().await.is_err() {
                return;
            }
            let changed = tokio::select! {
                changed = self.wanted.changed() => changed.is_ok(),
                changed = self.interfaces.changed() => changed.is_ok(),
                () = self.running.ended() => false,
            };
            if !changed {
                return;
            }
        }
    }

    /// Has the thread do what is wanted on the interfaces that there are.
    async fn follow(&mut self) -> Result<(), mpsc::error::SendError<Order>> {
        let wanted = self.wanted.borrow_and_update().clone();
        let interfaces = Arc::clone(&self.interfaces.borrow_and_update());
        let index = |wanted: &Wanted| {
            let interface = interfaces.named(&wanted.interface)?;
            let has_address = |net: &ipnet::IpNet| net.addr() == wanted.local;
            let is_ready = interface.up && interface.addresses.iter().any(has_address);
            is_ready.then_some(interface.index)
        };
        let possible: BTreeMap<&String, u32> = wanted
            .iter()
            .filter_map(|(link, wanted)| Some((link, index(wanted)?)))
            .collect();
        let gone: Vec<String> = self.known.keys().cloned().collect();
        for link in gone.iter().filter(|link| !possible.contains_key(link)) {
            if let Some(known) = self.known.remove(link) {
                let waits = wanted.get(link).is_some_and(|wanted| wanted.strict);
                let word = match waits {
                    true => BfdWord::Awaited,
                    false => BfdWord::Silent,
                };
                self.order(Order::Remove(known.id, word)).await?;
            }
        }
        for (link, wanted) in &wanted {
            if let Some(interface) = possible.get(link) {
                self.set(link, wanted, *interface).await?;
            }
        }
        Ok(())
    }

    async fn set(
        &mut self,
        link: &str,
        wanted: &Wanted,
        interface: u32,
    ) -> Result<(), mpsc::error::SendError<Order>> {
        let known = self.known.get(link);
        if known.is_some_and(|known| known.wanted == *wanted && known.interface == interface) {
            return Ok(());
        }
        let id = known.map_or_else(
            || {
                self.next_id = self.next_id.wrapping_add(1);
                SessionId(self.next_id)
            },
            |known| known.id,
        );
        let known = Known {
            id,
            wanted: wanted.clone(),
            interface,
        };
        self.known.insert(link.to_owned(), known);
        let order = thread::Set {
            id,
            link: link.to_owned(),
            interface: wanted.interface.clone(),
            path: Path {
                local: wanted.local,
                remote: wanted.remote,
                interface: match wanted.config.hops {
                    Hops::Single => Some(interface),
                    Hops::Multi { .. } => None,
                },
            },
            config: wanted.config.clone(),
            strictness: match wanted.strict {
                true => Strictness::Strict,
                false => Strictness::Lenient,
            },
            word: self.words.of(link),
        };
        self.order(Order::Set(Box::new(order))).await
    }

    async fn order(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        self.orders.send(order).await?;
        self.running.wake();
        Ok(())
    }
}
