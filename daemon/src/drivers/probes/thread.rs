//! The thread: sockets of all links on one side of their machines, orders and findings on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use links::stamp::NtpTime;
use links::{Arrival, Input, Output, Probe, Reflector, Transmit, Via};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

use super::sockets::{self, Opened, Role, Said, Sockets};
use super::{Found, Key, Target};
use crate::board::Board;
use crate::drivers::bell::Bell;
use crate::drivers::{earlier, seed, wall};
use crate::sockets::{Message, receive};

/// For each link so much longer is a turn; see the [module](super).
const TURN: Duration = Duration::from_micros(20);
/// A far end that expects an answer within some time expects it within that and 20 ms; see [`Probe`]. This is
/// ours to spend.
const LONGEST_TURN: Duration = Duration::from_millis(10);
/// Between two tellings of how good a link is, and of answers that nobody waits for.
const PUBLISH: Duration = Duration::from_secs(1);
/// Who has so many answers in a row expects the next one.
const CALM: u32 = 32;
/// Between two attempts to open a socket, and two looks for who has gone without a word.
const REOPEN: Duration = Duration::from_secs(1);
/// Datagrams that are read from a socket before the others have their turn.
const BURST: usize = 64;
/// Sockets that are looked at in a turn; the others have theirs in the next.
const EVENTS: usize = 1024;
/// Longest datagram that is read; a longer one is no answer to us.
const DATAGRAM: usize = 2048;
/// A request that seems to have waited longer was stamped by another clock than is read.
const HELD: Duration = Duration::from_secs(1);
/// The token of the bell.
const BELL: u64 = u64::MAX;

/// What the thread is told.
pub(super) enum Order {
    Begin(Box<Begin>),
    Attach(Key),
    Detach(Key),
    Connected(Key, u32),
    End(Key),
}

/// A link to be measured.
pub(super) struct Begin {
    pub(super) key: Key,
    pub(super) target: Target,
    pub(super) found: mpsc::Sender<Found>,
}

pub(super) fn start(
    orders: mpsc::Receiver<Order>,
    bell: Arc<Bell>,
    board: Arc<Board>,
    end: oneshot::Sender<()>,
) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &*bell, EventData::new_u64(BELL), EventFlags::IN)?;
    let thread = Thread {
        orders,
        bell,
        epoll,
        board,
        links: BTreeMap::new(),
        due: BTreeSet::new(),
        look_at: Instant::now(),
    };
    std::thread::Builder::new()
        .name("probes".to_owned())
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _end = end;
            crate::priority::raise("measuring");
            thread.run();
        })?;
    Ok(())
}

struct Thread {
    orders: mpsc::Receiver<Order>,
    bell: Arc<Bell>,
    epoll: OwnedFd,
    board: Arc<Board>,
    links: BTreeMap<Key, Link>,
    /// When each link wants to be looked at.
    due: BTreeSet<(Instant, Key)>,
    /// When to look for links that nobody listens for.
    look_at: Instant,
}

enum Orders {
    GoOn,
    End,
}

impl Thread {
    fn run(mut self) {
        let mut buffer = [0; DATAGRAM];
        let mut ready = Vec::with_capacity(EVENTS);
        let mut touched = Vec::new();
        loop {
            let began = Instant::now();
            if let Orders::End = self.take_orders(&mut touched) {
                return;
            }
            for event in ready.drain(..) {
                touched.extend(self.read(event, &mut buffer));
            }
            let now = Instant::now();
            touched.extend(self.overdue(now));
            touched.sort_unstable();
            touched.dedup();
            for key in touched.drain(..) {
                self.guarded(key, |link, around| link.pass(key, now, around));
                self.schedule(key);
            }
            if now >= self.look_at {
                self.look_at = now + REOPEN;
                self.links.retain(|_, link| !link.found.is_closed());
            }
            self.wait(began, &mut ready);
        }
    }

    fn take_orders(&mut self, touched: &mut Vec<Key>) -> Orders {
        loop {
            match self.orders.try_recv() {
                Ok(order) => touched.extend(self.obey(order)),
                Err(mpsc::error::TryRecvError::Empty) => return Orders::GoOn,
                Err(mpsc::error::TryRecvError::Disconnected) => return Orders::End,
            }
        }
    }

    /// The link that it was about, if there is more to be done.
    fn obey(&mut self, order: Order) -> Option<Key> {
        let now = Instant::now();
        match order {
            Order::Begin(begin) => {
                let key = begin.key;
                let is_same = |link: &Link| link.target.name == begin.target.name;
                self.links.retain(|_, link| !is_same(link));
                self.links.insert(key, Link::new(*begin, now));
                Some(key)
            }
            Order::Attach(key) => {
                self.links.get_mut(&key)?.attach(now);
                Some(key)
            }
            Order::Detach(key) => {
                self.links.get_mut(&key)?.detach();
                Some(key)
            }
            Order::Connected(key, round) => {
                self.guarded(key, |link, _| link.input(Input::Connected { round }));
                Some(key)
            }
            Order::End(key) => {
                self.links.remove(&key);
                None
            }
        }
    }

    /// Reads a socket that something has come to; the link that it is of.
    fn read(&mut self, event: epoll::Event, buffer: &mut [u8]) -> Option<Key> {
        if event.data.u64() == BELL {
            self.bell.silence();
            return None;
        }
        let (key, role) = sockets::whose(event.data)?;
        self.guarded(key, |link, around| link.hear(role, buffer, around.board));
        Some(key)
    }

    /// Does something with a link. A fault of the program there ends its measurement, which its task hears.
    fn guarded(&mut self, key: Key, work: impl FnOnce(&mut Link, &Around<'_>)) {
        let Some(link) = self.links.get_mut(&key) else {
            return;
        };
        let around = Around {
            epoll: &self.epoll,
            board: &self.board,
        };
        let work = AssertUnwindSafe(|| work(link, &around));
        if std::panic::catch_unwind(work).is_err() {
            error!(link = link.target.name, "a fault in the program");
            self.links.remove(&key);
        }
    }

    /// Those whose time has come.
    fn overdue(&mut self, now: Instant) -> Vec<Key> {
        let later = self.due.split_off(&(now, Key(u64::MAX)));
        let overdue = std::mem::replace(&mut self.due, later);
        overdue.into_iter().map(|(_, key)| key).collect()
    }

    fn schedule(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(&key) else {
            return;
        };
        let next = link.poll_timeout();
        if let Some(before) = std::mem::replace(&mut link.due, next) {
            self.due.remove(&(before, key));
        }
        self.due.extend(next.map(|at| (at, key)));
    }

    /// Until something comes or is due, and no less than a turn.
    fn wait(&self, began: Instant, ready: &mut Vec<epoll::Event>) {
        let links = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let turn = TURN.saturating_mul(links).min(LONGEST_TURN);
        std::thread::sleep(turn.saturating_sub(began.elapsed()));
        let next = self.due.first().map(|(at, _)| *at);
        let next = earlier(next, (!self.links.is_empty()).then_some(self.look_at));
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let room = rustix::buffer::spare_capacity(ready);
        if let Err(error) = epoll::wait(&self.epoll, room, timeout.as_ref())
            && error != rustix::io::Errno::INTR
        {
            warn!(%error, "cannot wait for answers");
            std::thread::sleep(LONGEST_TURN);
        }
    }
}

/// Whether the task of a link waits for what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum News {
    /// To wake a task for each answer costs more than the answer.
    Expected,
    Urgent,
}

/// What a link needs of the thread.
struct Around<'a> {
    epoll: &'a OwnedFd,
    board: &'a Board,
}

struct Link {
    target: Target,
    probe: Option<Probe>,
    reflector: Reflector,
    sockets: Sockets,
    /// When to open what is not open.
    open_at: Option<Instant>,
    said: Said,
    published: Instant,
    /// What its task has not been told yet.
    held: Found,
    /// Answers in a row, with those that are held.
    answers: u32,
    /// When it is to be looked at, as the thread has it.
    due: Option<Instant>,
    found: mpsc::Sender<Found>,
}

impl Link {
    fn new(begin: Begin, now: Instant) -> Self {
        let Begin { target, found, .. } = begin;
        let config = target.probe.clone();
        Self {
            probe: config.map(|config| Probe::new(config, seed(), now)),
            reflector: Reflector::new(target.reflector.clone()),
            sockets: Sockets::default(),
            open_at: None,
            said: Said::NotYet,
            published: now,
            held: Found::default(),
            answers: 0,
            due: None,
            target,
            found,
        }
    }

    fn attach(&mut self, now: Instant) {
        self.detach();
        self.open_at = Some(now);
    }

    fn detach(&mut self) {
        self.sockets = Sockets::default();
        self.open_at = None;
        self.said = Said::NotYet;
        self.held = Found::default();
        self.answers = 0;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let probe = self.probe.as_ref();
        let publish = probe.map(|_| self.published + PUBLISH);
        let measure = earlier(probe.and_then(Probe::poll_timeout), publish);
        earlier(self.open_at, measure)
    }

    fn input(&mut self, input: Input<'_>) {
        if let Some(probe) = &mut self.probe {
            probe.handle(input, Instant::now());
        }
    }

    /// Reads a socket.
    fn hear(&mut self, role: Role, buffer: &mut [u8], board: &Board) {
        for _ in 0..BURST {
            let Some(socket) = self.sockets.of(role) else {
                return;
            };
            match (receive(socket, buffer), role.via()) {
                (Ok(Some(message)), Some(via)) => {
                    self.input(Input::Received {
                        via,
                        bytes: buffer.get(..message.length).unwrap_or_default(),
                        waited: message.waited(),
                    });
                    // What else there may be is not for us, and can wait for the next turn.
                    if !self.probe.as_ref().is_some_and(Probe::is_waiting) {
                        return;
                    }
                }
                (Ok(Some(message)), None) => {
                    let bytes = buffer.get(..message.length).unwrap_or_default();
                    self.reflect(bytes, &message, board);
                }
                (Ok(None), _) => return,
                (Err(error), via) => {
                    self.on_error(via, &error);
                    return;
                }
            }
        }
    }

    fn on_error(&mut self, via: Option<Via>, error: &io::Error) {
        match via {
            Some(via) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.input(Input::Refused(via));
            }
            Some(_) | None => debug!(link = self.target.name, ?via, %error, "probe"),
        }
    }

    /// Answers the far end's probes, and nobody else's.
    fn reflect(&mut self, bytes: &[u8], message: &Message, board: &Board) {
        let from = message.from;
        // While it lay in the socket it was here: the far end takes that off its round-trip time.
        let stamped = message.arrived.filter(|_| message.waited() < HELD);
        let arrival = Arrival {
            bytes,
            from,
            ttl: message.hop_limit,
            at: stamped.map_or_else(wall, NtpTime::from_unix),
        };
        match self.reflector.reflect(arrival, wall(), Instant::now()) {
            Ok(reply) => {
                if let Some(socket) = self.sockets.of(Role::Reflector) {
                    // A reply that does not leave is a loss, which the far end counts.
                    let _ = socket.send_to(&reply, from);
                }
            }
            Err(refusal) => board.counters.probe_refused(&self.target.name, refusal),
        }
    }

    /// Does what is due, sends what the machine wants sent, and tells what it has found.
    fn pass(&mut self, key: Key, now: Instant, around: &Around<'_>) {
        if self.open_at.is_some_and(|at| at <= now) {
            let opened = self
                .sockets
                .open(key, &self.target, around.epoll, self.said);
            self.open_at = (opened == Opened::NotAll).then(|| now + REOPEN);
            self.said = Said::Already;
        }
        self.input(Input::Timeout);
        self.transmit(around.board);
        let mut is_time = self.hear_out() == News::Urgent;
        if let Some(probe) = &mut self.probe
            && now.saturating_duration_since(self.published) >= PUBLISH
        {
            self.published = now;
            self.held.quality = Some(Box::new(probe.quality(now)));
            let heard = probe.authenticity().and(self.reflector.authenticity());
            self.held.doubt = heard.doubt(now);
            is_time = true;
        }
        if is_time {
            // A task that does not keep up hears the rest; one that is gone is looked for.
            let _ = self.found.try_send(std::mem::take(&mut self.held));
        }
    }

    /// Takes what the machine has found.
    fn hear_out(&mut self) -> News {
        let mut news = match self.held.connects.is_empty() {
            true => News::Expected,
            false => News::Urgent,
        };
        while let Some(output) = self.probe.as_mut().and_then(Probe::poll_output) {
            self.answers = match output {
                Output::Answered { .. } => self.answers.saturating_add(1),
                Output::Lost => 0,
            };
            if self.answers < CALM {
                news = News::Urgent;
            }
            self.held.outputs.push(output);
        }
        news
    }

    fn transmit(&mut self, board: &Board) {
        let Some(probe) = &mut self.probe else { return };
        while let Some(transmit) = probe.poll_transmit(wall(), Instant::now()) {
            match transmit {
                Transmit::Datagram { via, bytes } => {
                    let role = match via {
                        Via::Icmp => Role::Icmp,
                        Via::Stamp | Via::Tcp | Via::Bgp => Role::Stamp,
                    };
                    let sent = self.sockets.of(role).map(|socket| socket.send(&bytes));
                    // A probe that does not leave is a probe that is not answered.
                    match sent {
                        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                            probe.handle(Input::Refused(via), Instant::now());
                        }
                        Some(Err(error)) => {
                            debug!(link = self.target.name, ?via, %error, "probe not sent");
                        }
                        Some(Ok(_)) | None => {}
                    }
                }
                Transmit::Connect { round } => self.held.connects.push(round),
                Transmit::Look => {
                    // The peer of a link has its name.
                    let seen = board.session_tcp(&self.target.name);
                    probe.handle(Input::Session(seen), Instant::now());
                }
            }
        }
    }
}
