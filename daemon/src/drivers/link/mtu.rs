//! What the path of one link takes: the machine, on sockets of its own, whose packets are never fragmented.
//!
//! A task beside that of the link, which tells it whether the link can be used. What is found goes to the
//! tunnels, which keep interfaces and the clamp of TCP to it.

use std::io;
use std::net::{self, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use links::mtu::{Config, Input, Method, Output, PathMtu, Verdict, Via};
use links::{State, stamp};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument, debug, error, info, warn};

use super::super::messages::{self, PathMtus};
use super::super::{earlier, seed, until, wall};
use super::{Link, Owner, REOPEN, RESTART};
use crate::fib::Interfaces;
use crate::journal::Severity;
use crate::sockets;

/// An answer is as long as what it answers, with the IP header in front where the socket gives it.
const LONGEST: usize = links::mtu::CEILING as usize + 64;

/// The task. Dropping this ends it.
pub(super) struct Prober {
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Prober {
    /// Starts it, for a link whose path is looked at.
    pub(super) fn start(link: &Link) -> Option<Self> {
        let config = link.config.path.clone()?;
        let (state, seen) = watch::channel(State::Down);
        let span = tracing::info_span!("path", link = %link.name);
        let task = tokio::spawn(run(link.clone(), config, seen).instrument(span));
        Some(Self { state, task })
    }

    /// Tells it how the link is.
    pub(super) fn link_is(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A fault of the program starts it again, as with the link itself.
async fn run(link: Link, config: Config, state: watch::Receiver<State>) {
    loop {
        let driver = Driver {
            machine: PathMtu::new(config.clone(), seed()),
            method: config.method,
            sockets: Sockets::default(),
            attached: None,
            incomplete: None,
            buffer: Vec::new(),
            state: state.clone(),
            interfaces: link.interfaces.clone(),
            link: link.clone(),
        };
        if AssertUnwindSafe(driver.run()).catch_unwind().await.is_ok() {
            return;
        }
        error!("a fault in the program ended the search for the path MTU; starting it again");
        link.board.counters.restart();
        tokio::time::sleep(RESTART).await;
    }
}

struct Driver {
    link: Link,
    machine: PathMtu,
    method: Method,
    sockets: Sockets,
    /// Index of the interface that the sockets are bound to.
    attached: Option<u32>,
    /// When to try again to open the sockets that could not be.
    incomplete: Option<Instant>,
    /// As long as the longest answer that is due.
    buffer: Vec<u8>,
    state: watch::Receiver<State>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
}

#[derive(Default)]
struct Sockets {
    stamp: Option<UdpSocket>,
    icmp: Option<UdpSocket>,
}

impl Sockets {
    fn of(&self, via: Via) -> Option<&UdpSocket> {
        match via {
            Via::Stamp => self.stamp.as_ref(),
            Via::Icmp => self.icmp.as_ref(),
        }
    }
}

enum Wake {
    Readable(Via),
    State,
    Interface,
    Ended,
    Timeout,
}

impl Driver {
    async fn run(mut self) {
        self.hear_state();
        self.follow_interface();
        loop {
            self.drain();
            match self.wait().await {
                Wake::Readable(via) => self.read(via),
                Wake::State => self.hear_state(),
                Wake::Interface => self.follow_interface(),
                Wake::Ended => return,
                Wake::Timeout => self.on_timeout(),
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = earlier(self.machine.poll_timeout(), self.incomplete);
        tokio::select! {
            biased;
            () = readable(self.sockets.stamp.as_ref()) => Wake::Readable(Via::Stamp),
            () = readable(self.sockets.icmp.as_ref()) => Wake::Readable(Via::Icmp),
            changed = self.state.changed() => match changed {
                Ok(()) => Wake::State,
                Err(_) => Wake::Ended,
            },
            Ok(()) = self.interfaces.changed() => Wake::Interface,
            Ok(()) = self.link.bounds.changed() => Wake::Interface,
            () = until(deadline) => Wake::Timeout,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle(input, Instant::now());
    }

    /// All that is there: a raw socket hears other echoes of the far end too.
    fn read(&mut self, via: Via) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(socket) = self.sockets.of(via) {
            match socket.try_recv(&mut buffer) {
                Ok(length) => self.input(Input::Received {
                    via,
                    bytes: &buffer[..length],
                }),
                Err(error) => {
                    self.on_error(&error);
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    /// The kernel says here what ICMP has said to it.
    fn on_error(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(libc::EMSGSIZE) {
            self.input(Input::TooBig);
        }
    }

    fn hear_state(&mut self) {
        let state = *self.state.borrow_and_update();
        match state {
            State::Up | State::Degraded | State::Draining => self.input(Input::Up),
            State::Down => self.input(Input::Down),
        }
    }

    fn follow_interface(&mut self) {
        let interfaces = Arc::clone(&self.interfaces.borrow_and_update());
        let bounds = self.link.bounds.borrow_and_update().clone();
        let config = &self.link.config;
        let interface = interfaces
            .named(&config.interface)
            .filter(|interface| interface.up);
        let index = interface.map(|interface| interface.index);
        if self.attached != index {
            self.attached = index;
            self.sockets = Sockets::default();
            self.incomplete = index.map(|_| Instant::now());
            self.open_sockets();
        }
        let Some(interface) = interface else { return };
        let most = match self.link.config.owner {
            Owner::Ours => bounds.get(&self.link.name).copied(),
            Owner::Another => Some(interface.mtu),
        };
        if let Some(most) = most {
            self.buffer.resize(LONGEST.min(most as usize + 64), 0);
            self.input(Input::Room {
                now: interface.mtu,
                most,
            });
        }
    }

    fn on_timeout(&mut self) {
        self.open_sockets();
        self.input(Input::Timeout);
    }

    /// Opens those that are missing. Why one cannot be opened the link itself has said.
    fn open_sockets(&mut self) {
        let now = Instant::now();
        if self.incomplete.is_none_or(|at| now < at) {
            return;
        }
        let config = &self.link.config;
        let (interface, local, remote) = (&config.interface, config.local, config.remote);
        let mut complete = true;
        let mut fill = |slot: &mut Option<UdpSocket>, open: io::Result<net::UdpSocket>| match open
            .and_then(|socket| sockets::unfragmented(socket, local))
            .and_then(UdpSocket::from_std)
        {
            Ok(socket) => *slot = Some(socket),
            Err(error) => {
                complete = false;
                debug!(%error, "cannot open a socket");
            }
        };
        if self.sockets.stamp.is_none() && asks(self.method, Via::Stamp) {
            let far = SocketAddr::new(remote, stamp::PORT);
            let socket = sockets::probe(interface, local, far);
            fill(&mut self.sockets.stamp, socket);
        }
        if self.sockets.icmp.is_none() && asks(self.method, Via::Icmp) {
            let socket = sockets::echo(interface, local, remote);
            fill(&mut self.sockets.icmp, socket);
        }
        self.incomplete = (!complete).then(|| now + REOPEN);
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Room(room) => self.ask_for_room(room),
                Output::Found(verdict) => self.found(verdict),
            }
        }
        while let Some(transmit) = self.machine.poll_transmit(wall()) {
            let sent = self
                .sockets
                .of(transmit.via)
                .map(|socket| socket.try_send(&transmit.bytes));
            // A probe that does not leave is one that is not answered.
            if let Some(Err(error)) = sent {
                debug!(via = ?transmit.via, octets = transmit.bytes.len(), %error, "not sent");
            }
        }
    }

    fn ask_for_room(&self, room: u32) {
        if self.link.config.owner == Owner::Ours {
            debug!(room, "for the interface");
            self.tell(|path| path.room = Some(room));
        }
    }

    fn found(&self, verdict: Verdict) {
        let before = self.link.board.set_path(&self.link.name, verdict);
        self.tell(|path| path.takes = verdict.less());
        let was_narrow = before.is_some_and(is_narrow);
        let text = self.in_words(verdict);
        if !is_narrow(verdict) && !was_narrow {
            debug!("{text}");
            return;
        }
        let severity = match is_narrow(verdict) {
            true => Severity::Warning,
            false => Severity::Info,
        };
        match severity {
            Severity::Info => info!("{text}"),
            Severity::Warning | Severity::Critical => warn!("{text}"),
        }
        let journal = &self.link.board.journal;
        journal.record(severity, "path-mtu", &self.link.name, text);
    }

    /// The verdict, and what is done about it.
    fn in_words(&self, verdict: Verdict) -> String {
        let interface = &self.link.config.interface;
        match (verdict.less(), self.link.config.owner) {
            (Some(_), Owner::Ours) => {
                format!("{verdict}: {interface} and TCP through it are kept to that")
            }
            (Some(_), Owner::Another) => {
                format!("{verdict}: TCP is kept to that, the MTU of {interface} is not ours to set")
            }
            (None, _) => verdict.to_string(),
        }
    }

    fn tell(&self, change: impl FnOnce(&mut messages::PathMtu)) {
        let Link { name, config, .. } = &self.link;
        self.link.paths.send_if_modified(|paths: &mut PathMtus| {
            let path = paths
                .entry(name.clone())
                .or_insert_with(|| messages::PathMtu {
                    interface: config.interface.clone(),
                    room: None,
                    takes: None,
                });
            let before = path.clone();
            change(path);
            *path != before
        });
    }
}

impl Drop for Driver {
    /// Nobody vouches for it any more.
    fn drop(&mut self) {
        let Link {
            name, paths, board, ..
        } = &self.link;
        paths.send_if_modified(|paths| paths.remove(name).is_some());
        board.forget_path(name);
    }
}

fn asks(method: Method, via: Via) -> bool {
    match method {
        Method::Auto => true,
        Method::Stamp => via == Via::Stamp,
        Method::Icmp => via == Via::Icmp,
    }
}

fn is_narrow(verdict: Verdict) -> bool {
    verdict.less().is_some() || matches!(verdict, Verdict::TooNarrow { .. })
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        // What is wrong with it is told by reading.
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}
