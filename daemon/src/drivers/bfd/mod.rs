//! BFD: one thread for the sessions of all links, and of peers that are on none.
//!
//! A thread of its own, because a neighbour waits for packets every few tens of milliseconds whatever
//! else there is to do: a table that comes in, a reload, a session that is started again. So BFD lives
//! from the first link to the end of the process. The task here follows the interfaces, and tells the
//! thread which sessions there should be; who is watched hears what its session says through a watch.

mod place;
mod thread;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use links::BfdWord;
use links::bfd::{Config, Path, SessionId};
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::fib::Interfaces;
use place::Place;
use thread::{Order, Running, Strictness};

/// Orders that the thread may have waiting.
const INBOX: usize = 64;

/// Whom a session is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Watched {
    /// A link, by its name.
    Link(String),
    /// A peer on no link.
    Peer(String),
}

impl Watched {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Link(name) | Self::Peer(name) => name,
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "link {name}"),
            Self::Peer(name) => write!(f, "peer {name}"),
        }
    }
}

/// A session that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// The only interface that its packets leave by and come in by. `None`: that of the network which the
    /// neighbour is on, or several hops away any.
    pub(crate) interface: Option<String>,
    /// `None`: our address in that network. Several hops away it is known.
    pub(crate) local: Option<IpAddr>,
    pub(crate) remote: IpAddr,
    pub(crate) config: Config,
    /// Whoever is watched waits for it.
    pub(crate) strict: bool,
}

/// All wanted sessions.
pub(crate) type Sessions = BTreeMap<Watched, Wanted>;

/// The way to the BFD of this process.
#[derive(Clone)]
pub(crate) struct Bfd {
    wanted: watch::Sender<Sessions>,
    words: Words,
}

/// What each session says.
#[derive(Clone, Default)]
struct Words(Arc<Mutex<BTreeMap<Watched, watch::Sender<BfdWord>>>>);

impl Words {
    fn of(&self, watched: &Watched) -> watch::Sender<BfdWord> {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let word = words
            .entry(watched.clone())
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

    /// These sessions, and no others. Who is to wait for a session does so from now on, whether there can be
    /// one yet or not.
    pub(crate) fn configure(&self, sessions: Sessions) {
        let before = self.wanted.borrow().clone();
        let waits = |sessions: &Sessions, watched: &Watched| {
            sessions.get(watched).is_some_and(|wanted| wanted.strict)
        };
        let fresh = sessions
            .keys()
            .filter(|watched| waits(&sessions, watched) && !waits(&before, watched));
        for watched in fresh {
            self.words.of(watched).send_if_modified(|word| {
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

    /// What a session says, from now on; nothing, as long as there is none.
    pub(crate) fn word(&self, watched: &Watched) -> watch::Receiver<BfdWord> {
        self.words.of(watched).subscribe()
    }
}

/// A session that the thread was told to have.
struct Known {
    id: SessionId,
    wanted: Wanted,
    place: Place,
}

struct Follower {
    wanted: watch::Receiver<Sessions>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    words: Words,
    orders: mpsc::Sender<Order>,
    running: Running,
    known: BTreeMap<Watched, Known>,
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
        let possible: BTreeMap<&Watched, Place> = wanted
            .iter()
            .filter_map(|(watched, wanted)| Some((watched, place::find(wanted, &interfaces)?)))
            .collect();
        let gone: Vec<Watched> = self.known.keys().cloned().collect();
        for watched in gone.iter().filter(|it| !possible.contains_key(it)) {
            if let Some(known) = self.known.remove(watched) {
                let waits = wanted.get(watched).is_some_and(|wanted| wanted.strict);
                let word = match waits {
                    true => BfdWord::Awaited,
                    false => BfdWord::Silent,
                };
                self.order(Order::Remove(known.id, word)).await?;
            }
        }
        for (watched, place) in &possible {
            if let Some(wanted) = wanted.get(watched) {
                self.set(watched, wanted, place).await?;
            }
        }
        Ok(())
    }

    async fn set(
        &mut self,
        watched: &Watched,
        wanted: &Wanted,
        place: &Place,
    ) -> Result<(), mpsc::error::SendError<Order>> {
        let known = self.known.get(watched);
        if known.is_some_and(|known| known.wanted == *wanted && known.place == *place) {
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
            place: place.clone(),
        };
        self.known.insert(watched.clone(), known);
        let order = thread::Set {
            id,
            watched: watched.clone(),
            interface: place.interface.clone(),
            path: Path {
                local: place.local,
                remote: wanted.remote,
                interface: place.index,
            },
            config: wanted.config.clone(),
            strictness: match wanted.strict {
                true => Strictness::Strict,
                false => Strictness::Lenient,
            },
            word: self.words.of(watched),
        };
        self.order(Order::Set(Box::new(order))).await
    }

    async fn order(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        self.orders.send(order).await?;
        self.running.wake();
        Ok(())
    }
}
