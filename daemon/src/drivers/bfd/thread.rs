//! The thread: sockets on one side of the machine, orders and words on the other.

use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use links::BfdWord;
use links::bfd::{
    Bfd, Change, Config, Hops, Input, LEEWAY, Output, Path, Received, SessionId, Transmit,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::Watched;
use crate::board::Board;
use crate::drivers::bell::Bell;
use crate::drivers::seed;
use crate::journal::Severity;
use crate::sockets::bfd::{self as sockets, Door};

/// Between two refreshes of what the API shows.
const PUBLISH: Duration = Duration::from_millis(500);
/// Between two attempts to open a socket.
const REOPEN: Duration = Duration::from_secs(1);
/// From one turn to the next at least. To wake, and to wake a neighbour, costs ten times what a packet does, so
/// what comes or is due meanwhile shares a turn.
const TURN: Duration = LEEWAY;
/// Datagrams that are read from a socket before the others have their turn.
const BURST: usize = 256;
/// Longer than any control packet: what is longer is cut, and refused for its length.
const DATAGRAM: usize = 128;

/// What the thread is told.
pub(super) enum Order {
    Set(Box<Set>),
    /// And this is what whoever was watched hears from then on.
    Remove(SessionId, BfdWord),
}

/// A session that there should be.
pub(super) struct Set {
    pub(super) id: SessionId,
    pub(super) watched: Watched,
    pub(super) interface: Option<String>,
    pub(super) path: Path,
    pub(super) config: Config,
    pub(super) strictness: Strictness,
    pub(super) word: watch::Sender<BfdWord>,
}

/// Whether somebody waits for the session to come up for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strictness {
    Lenient,
    Strict,
}

impl Strictness {
    /// What is said before a session has been up.
    fn unheard(self) -> BfdWord {
        match self {
            Self::Lenient => BfdWord::Silent,
            Self::Strict => BfdWord::Awaited,
        }
    }
}

/// The thread from outside.
pub(super) struct Running {
    bell: Arc<Bell>,
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Has it look at its orders.
    pub(super) fn wake(&self) {
        self.bell.ring();
    }

    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Running {
    /// Its orders have ended as well by now.
    fn drop(&mut self) {
        self.wake();
    }
}

pub(super) fn start(inbox: usize, board: Arc<Board>) -> io::Result<(mpsc::Sender<Order>, Running)> {
    let bell = Arc::new(Bell::new()?);
    let (orders, ordered) = mpsc::channel(inbox);
    let (end, ended) = oneshot::channel();
    let thread = Thread {
        bfd: Bfd::new(seed()),
        orders: ordered,
        bell: Arc::clone(&bell),
        doors: Vec::new(),
        own: BTreeMap::new(),
        board,
        open_at: None,
        publish_at: Instant::now(),
    };
    std::thread::Builder::new()
        .name("bfd".to_owned())
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _end: oneshot::Sender<()> = end;
            crate::priority::raise("BFD");
            thread.run();
        })?;
    Ok((orders, Running { bell, ended }))
}

/// What the thread has for a session beside the machine's.
struct Own {
    watched: Watched,
    interface: Option<String>,
    path: Path,
    hops: Hops,
    word: watch::Sender<BfdWord>,
    /// `None` while it cannot be opened.
    socket: Option<UdpSocket>,
    /// What keeps it from being opened was said.
    complained: bool,
}

struct Thread {
    bfd: Bfd,
    orders: mpsc::Receiver<Order>,
    bell: Arc<Bell>,
    doors: Vec<(Door, UdpSocket)>,
    own: BTreeMap<SessionId, Own>,
    board: Arc<Board>,
    /// When to try again to open what could not be.
    open_at: Option<Instant>,
    publish_at: Instant,
}

enum Orders {
    GoOn,
    End,
}

impl Thread {
    fn run(mut self) {
        loop {
            let began = Instant::now();
            let orders = self.take_orders();
            self.read();
            let now = Instant::now();
            if self.bfd.poll_timeout().is_some_and(|at| at <= now) {
                self.bfd.handle(Input::Timeout, now);
            }
            if self.open_at.is_some_and(|at| at <= now) {
                self.open();
            }
            self.drain(now);
            if now >= self.publish_at {
                self.publish(now);
            }
            match orders {
                Orders::GoOn => self.wait(began),
                Orders::End => return self.leave(),
            }
        }
    }

    fn take_orders(&mut self) -> Orders {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Set(set)) => self.set(*set),
                Ok(Order::Remove(id, word)) => self.remove(id, word),
                Err(mpsc::error::TryRecvError::Empty) => return Orders::GoOn,
                Err(mpsc::error::TryRecvError::Disconnected) => return Orders::End,
            }
        }
    }

    fn set(&mut self, set: Set) {
        let now = Instant::now();
        let Set {
            id,
            watched,
            interface,
            path,
            config,
            strictness,
            word,
        } = set;
        let hops = config.hops;
        let before = self.bfd.status(id).map(|status| status.local_discriminator);
        self.bfd.handle(Input::Set { id, path, config }, now);
        let after = self.bfd.status(id).map(|status| status.local_discriminator);
        // What an earlier session said is not what this one says.
        if before != after {
            word.send_replace(strictness.unheard());
        }
        let same = |own: &Own| own.path == path && own.hops == hops && own.interface == interface;
        let socket = self.own.remove(&id).filter(same).and_then(|own| own.socket);
        let own = Own {
            watched,
            interface,
            path,
            hops,
            word,
            socket,
            complained: false,
        };
        self.own.insert(id, own);
        self.open();
    }

    fn remove(&mut self, id: SessionId, word: BfdWord) {
        let now = Instant::now();
        self.bfd.handle(Input::Remove(id), now);
        // Its last packet needs its socket.
        self.drain(now);
        if let Some(own) = self.own.remove(&id) {
            own.word.send_replace(word);
            self.board.set_bfd(&own.watched, None);
        }
        let own = &self.own;
        let is_used = |door: &Door| {
            own.values()
                .any(|own| Door::of(own.path, own.hops) == *door)
        };
        self.doors.retain(|(door, _)| is_used(door));
    }

    /// Opens what is missing. What cannot be opened is tried again: an address may not be there yet, a
    /// port may be another program's.
    fn open(&mut self) {
        let mut complete = true;
        for own in self.own.values_mut() {
            let door = Door::of(own.path, own.hops);
            let is_open = self.doors.iter().any(|(open, _)| *open == door);
            let opened = match is_open {
                true => Ok(()),
                false => door.open().map(|socket| self.doors.push((door, socket))),
            };
            let opened = opened.and_then(|()| {
                if own.socket.is_none() {
                    own.socket = Some(sockets::towards(
                        own.interface.as_deref(),
                        own.path,
                        own.hops,
                    )?);
                }
                Ok(())
            });
            match opened {
                Ok(()) => own.complained = false,
                Err(error) => {
                    complete = false;
                    if !own.complained {
                        warn!(watched = %own.watched, %error, "BFD cannot open its sockets, trying on");
                    }
                    own.complained = true;
                }
            }
        }
        self.open_at = (!complete).then(|| Instant::now() + REOPEN);
    }

    fn read(&mut self) {
        let mut buffer = [0; DATAGRAM];
        for (_, socket) in &self.doors {
            for _ in 0..BURST {
                let datagram = match sockets::receive(socket, &mut buffer) {
                    Ok(Some(datagram)) => datagram,
                    Ok(None) => break,
                    Err(error) => {
                        debug!(%error, "BFD");
                        break;
                    }
                };
                let received = Received {
                    path: datagram.path,
                    hop_limit: datagram.hop_limit,
                    bytes: buffer.get(..datagram.length).unwrap_or_default(),
                };
                self.bfd.handle(Input::Received(received), Instant::now());
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(Transmit { id, packet, .. }) = self.bfd.poll_transmit(now) {
            let socket = self.own.get(&id).and_then(|own| own.socket.as_ref());
            // One that does not leave is one that is not heard. That nobody listens at the far end is
            // heard here, too, and says no more than silence does.
            if let Some(Err(error)) = socket.map(|socket| socket.send(packet.as_ref()))
                && error.kind() != io::ErrorKind::ConnectionRefused
            {
                debug!(%error, "BFD packet not sent");
            }
        }
        while let Some(Output { id, change }) = self.bfd.poll_output() {
            self.tell(id, change);
        }
    }

    fn tell(&self, id: SessionId, change: Change) {
        let Some(own) = self.own.get(&id) else {
            return;
        };
        let (word, severity, text) = match change {
            Change::Up => (BfdWord::Up, Severity::Info, "up".to_owned()),
            Change::Down(diagnostic) => (
                BfdWord::Down(diagnostic),
                Severity::Warning,
                format!("down: {diagnostic}"),
            ),
            Change::NeighborAdminDown => (
                BfdWord::Silent,
                Severity::Warning,
                "stopped by an operator of the neighbour; traffic goes on without it".to_owned(),
            ),
        };
        // First whoever is watched, then people.
        own.word.send_replace(word);
        match severity {
            Severity::Info => info!(watched = %own.watched, "BFD {text}"),
            Severity::Warning | Severity::Critical => warn!(watched = %own.watched, "BFD {text}"),
        }
        self.board.set_bfd(&own.watched, self.bfd.status(id));
        self.board
            .journal
            .record(severity, "bfd-state", own.watched.name(), text);
    }

    fn publish(&mut self, now: Instant) {
        self.publish_at = now + PUBLISH;
        let all = self.own.iter();
        self.board
            .try_set_bfd(all.map(|(id, own)| (&own.watched, self.bfd.status(*id))));
    }

    /// Until something comes or is due, and no less than a turn.
    fn wait(&mut self, began: Instant) {
        std::thread::sleep(TURN.saturating_sub(began.elapsed()));
        let publish = (!self.own.is_empty()).then_some(self.publish_at);
        let next = [self.bfd.poll_timeout(), self.open_at, publish]
            .into_iter()
            .flatten()
            .min();
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let listening = self.doors.iter().map(|(_, socket)| socket.as_fd());
        let mut fds: Vec<_> = std::iter::once(self.bell.as_fd())
            .chain(listening)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if let Err(error) = rustix::event::poll(&mut fds, timeout.as_ref())
            && error != rustix::io::Errno::INTR
        {
            warn!(%error, "BFD cannot wait for packets");
            std::thread::sleep(TURN);
        }
        self.bell.silence();
    }

    /// Neighbours are told that the path is not to blame.
    fn leave(mut self) {
        let now = Instant::now();
        let ids: Vec<_> = self.own.keys().copied().collect();
        for id in ids {
            self.bfd.handle(Input::Remove(id), now);
        }
        self.drain(now);
    }
}
