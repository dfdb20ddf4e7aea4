//! The threads that serve the data planes of all tunnels.
//!
//! There is one a processor, however many tunnels there are. A tunnel has two halves, each served
//! by a thread of its own: from the TUN to the far end, with the timers, and back. A thread gives
//! every half that is ready a turn of one batch, so that a flood on one tunnel leaves the others
//! their share. Memory is per thread, not per tunnel. A fault in a turn ends that tunnel only.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::event::{
    EventfdFlags, Timespec,
    epoll::{self, EventData, EventFlags},
};

use super::{
    rx::Rx,
    tunnel::Shared,
    tx::{Backlog, Turn, Tx},
};

/// How often the protocol's timers run.
const TICK: Duration = Duration::from_millis(100);
/// How soon a half whose socket was full tries again.
const RETRY: Duration = Duration::from_millis(1);
/// Halves that become ready at once; the others come next.
const EVENTS: usize = 64;
/// What the mailbox's event says.
const MAIL: u64 = u64::MAX;

/// All threads. Dropping it ends them.
pub(crate) struct Pool {
    threads: Vec<(Arc<Mailbox>, JoinHandle<()>)>,
    next: AtomicUsize,
}

struct Mailbox {
    wake: OwnedFd,
    /// `None` once its thread has ended: whoever waits for it must not wait for ever.
    orders: Mutex<Option<Vec<Order>>>,
}

enum Order {
    Serve(Arc<Shared>, Half),
    /// Whoever asks waits for the sender to be dropped.
    Release(Arc<Shared>, SyncSender<()>),
    Stop,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Half {
    /// From the TUN to the far end, and the timers.
    Tx,
    /// From the far end to the TUN.
    Rx,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let mut pool = Self {
            threads: Vec::with_capacity(count),
            next: AtomicUsize::new(0),
        };
        for number in 0..count {
            let mailbox = Arc::new(Mailbox::new()?);
            let worker = Worker::new(mailbox.clone())?;
            let thread = std::thread::Builder::new()
                .name(format!("wireguard-{number}"))
                .spawn(move || worker.run())?;
            pool.threads.push((mailbox, thread));
        }
        Ok(pool)
    }

    /// Every thread runs.
    pub(crate) fn is_running(&self) -> bool {
        self.threads.iter().all(|(_, thread)| !thread.is_finished())
    }

    /// Has a tunnel served, each half by another thread where there are two.
    pub(super) fn serve(&self, shared: &Arc<Shared>) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for (number, half) in [Half::Tx, Half::Rx].into_iter().enumerate() {
            let at = first.wrapping_add(number) % self.threads.len().max(1);
            if let Some((mailbox, _)) = self.threads.get(at) {
                mailbox.post(Order::Serve(shared.clone(), half));
            }
        }
    }

    /// Returns once nobody serves it any more, which takes a turn at most.
    pub(super) fn release(&self, shared: &Arc<Shared>) {
        let (done, released) = sync_channel(0);
        for (mailbox, _) in &self.threads {
            mailbox.post(Order::Release(shared.clone(), done.clone()));
        }
        drop(done);
        // Nothing is ever sent: it ends with the last sender.
        let _ = released.recv();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (mailbox, _) in &self.threads {
            mailbox.post(Order::Stop);
        }
        for (_, thread) in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the tunnels' data plane panicked");
            }
        }
    }
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        Ok(Self {
            wake: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            orders: Mutex::new(Some(Vec::new())),
        })
    }

    fn post(&self, order: Order) {
        if let Some(orders) = &mut *self.orders() {
            orders.push(order);
        }
        // An eventfd takes eight bytes; a second write changes nothing.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<Order> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        self.orders()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn close(&self) {
        *self.orders() = None;
    }

    fn orders(&self) -> MutexGuard<'_, Option<Vec<Order>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    epoll: OwnedFd,
    mailbox: Arc<Mailbox>,
    /// An event names its half by its place here.
    halves: Vec<Option<Served>>,
    tx: Tx,
    rx: Rx,
    next_tick: Instant,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

struct Served {
    shared: Arc<Shared>,
    half: Half,
    backlog: Option<Backlog>,
}

/// Whether a worker goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Goes,
    Ends,
}

impl Worker {
    fn new(mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &mailbox.wake,
            EventData::new_u64(MAIL),
            EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            mailbox,
            halves: Vec::new(),
            tx: Tx::new(),
            rx: Rx::new(),
            next_tick: Instant::now(),
        })
    }

    fn run(mut self) {
        let mut events = [epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(MAIL),
        }; EVENTS];
        loop {
            let timeout = self
                .timeout()
                .and_then(|wait| Timespec::try_from(wait).ok());
            let ready = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
                Ok(ready) => ready,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "the tunnels' data plane cannot wait for packets");
                    return;
                }
            };
            let mut has_mail = false;
            for event in events.iter().take(ready) {
                match (event.data.u64(), event.flags) {
                    (MAIL, _) => has_mail = true,
                    (at, flags) => self.on_ready(at, flags),
                }
            }
            if has_mail && self.obey() == Life::Ends {
                return;
            }
            self.on_time();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let halves = self.halves.iter().flatten();
        let has_timers = halves.clone().any(|served| served.half == Half::Tx);
        let is_stalled = halves.clone().any(|served| served.backlog.is_some());
        let until_tick = self.next_tick.saturating_duration_since(Instant::now());
        match (has_timers, is_stalled) {
            (_, true) => Some(until_tick.min(RETRY)),
            (true, false) => Some(until_tick),
            (false, false) => None,
        }
    }

    fn on_ready(&mut self, at: u64, flags: EventFlags) {
        let Ok(at) = usize::try_from(at) else {
            return;
        };
        let half = self
            .halves
            .get(at)
            .and_then(|slot| Some(slot.as_ref()?.half));
        match half {
            // The interface was removed under us.
            Some(Half::Tx) if flags.contains(EventFlags::ERR) => self.end(at),
            Some(Half::Tx) => self.turn(at, Tx::serve),
            Some(Half::Rx) => self.turn_rx(at),
            None => {}
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        let is_tick = now >= self.next_tick;
        if is_tick {
            self.next_tick = now + TICK;
        }
        for at in 0..self.halves.len() {
            let Some(Some(served)) = self.halves.get_mut(at) else {
                continue;
            };
            if served.half != Half::Tx {
                continue;
            }
            if let Some(backlog) = served.backlog.take() {
                self.listen(at, EventFlags::IN);
                self.turn(at, |_, shared| backlog.send(shared));
            } else if is_tick {
                self.turn(at, |tx, shared| tx.tick(shared, now));
            }
        }
    }

    /// Gives a half from the TUN its turn.
    fn turn(&mut self, at: usize, work: impl FnOnce(&mut Tx, &Shared) -> Turn) {
        let Some(Some(served)) = self.halves.get_mut(at) else {
            return;
        };
        let (tx, shared) = (&mut self.tx, &served.shared);
        match catch_unwind(AssertUnwindSafe(|| work(tx, shared))) {
            Ok(Turn::Done) => {}
            Ok(Turn::Stalled(backlog)) => {
                served.backlog = Some(backlog);
                self.listen(at, EventFlags::empty());
            }
            Err(_) => {
                self.tx.clear();
                self.end(at);
            }
        }
    }

    fn turn_rx(&mut self, at: usize) {
        let Some(Some(served)) = self.halves.get(at) else {
            return;
        };
        let (rx, shared) = (&mut self.rx, &served.shared);
        if catch_unwind(AssertUnwindSafe(|| rx.serve(shared))).is_err() {
            self.rx.clear();
            self.end(at);
        }
    }

    /// Whether packets from its TUN wake us; not while the socket is full.
    fn listen(&self, at: usize, flags: EventFlags) {
        if let Some(Some(served)) = self.halves.get(at) {
            let data = EventData::new_u64(at as u64);
            let _ = epoll::modify(&self.epoll, &served.shared.queue, data, flags);
        }
    }

    fn end(&mut self, at: usize) {
        if let Some(served) = self.halves.get_mut(at).and_then(Option::take) {
            served.shared.end();
            self.forget(&served);
        }
    }

    fn forget(&self, served: &Served) {
        // It fails only for a descriptor that is gone from there already.
        let _ = match served.half {
            Half::Tx => epoll::delete(&self.epoll, &served.shared.queue),
            Half::Rx => epoll::delete(&self.epoll, &served.shared.udp),
        };
    }

    fn obey(&mut self) -> Life {
        for order in self.mailbox.take() {
            match order {
                Order::Serve(shared, half) => self.begin(shared, half),
                Order::Release(shared, done) => {
                    self.release(&shared);
                    // Who waits binds the port again: the last of this thread goes first.
                    drop(shared);
                    drop(done);
                }
                Order::Stop => return Life::Ends,
            }
        }
        Life::Goes
    }

    fn begin(&mut self, shared: Arc<Shared>, half: Half) {
        let free = self.halves.iter().position(Option::is_none);
        let at = free.unwrap_or(self.halves.len());
        let data = EventData::new_u64(at as u64);
        let fd = match half {
            Half::Tx => shared.queue.as_fd(),
            Half::Rx => shared.udp.as_fd(),
        };
        if let Err(error) = epoll::add(&self.epoll, fd, data, EventFlags::IN) {
            tracing::error!(%error, "cannot serve a tunnel");
            shared.end();
            return;
        }
        let served = Served {
            shared,
            half,
            backlog: None,
        };
        match self.halves.get_mut(at) {
            Some(slot) => *slot = Some(served),
            None => self.halves.push(Some(served)),
        }
    }

    fn release(&mut self, shared: &Arc<Shared>) {
        for at in 0..self.halves.len() {
            let slot = self.halves.get_mut(at);
            let served =
                slot.and_then(|slot| slot.take_if(|served| Arc::ptr_eq(&served.shared, shared)));
            if let Some(served) = served {
                self.forget(&served);
            }
        }
    }
}
