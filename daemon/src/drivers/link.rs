//! One link: its probe on sockets bound to its interface, its reflector, and its health.

mod connects;
mod mtu;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use links::stamp::{self, NtpTime};
use links::{
    Arrival, BfdWord, Figures, Health, HealthChange, HealthConfig, HealthInput, Input, Order,
    Others, Output, Probe, ProbeConfig, Reflector, Transmit, Via,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, debug, error, info, warn};

use connects::Connects;

use super::messages::{Alone, Bounds, Drained, GroupsMessage, PathMtus, Severed};
use super::{earlier, until, wall};
use crate::board::Board;
use crate::fib::{Interface, Interfaces};
use crate::journal::Severity;
use crate::sockets::{self, Endpoint, Message};

/// Between two looks at the quality of the link, and refreshes of what the API shows.
const PUBLISH: Duration = Duration::from_millis(250);
/// Between two tellings of the group what is measured.
const REPORT: Duration = Duration::from_secs(1);
/// Between two attempts to open a socket.
const REOPEN: Duration = Duration::from_secs(1);
/// After a fault of the program.
const RESTART: Duration = Duration::from_secs(1);
/// A request that seems to have waited longer was stamped by another clock than is read.
const HELD: Duration = Duration::from_secs(1);
/// Longest datagram that is read; a longer one is no answer to us.
const DATAGRAM: usize = 2048;

/// What a link is by the intent. Another one needs another task.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct LinkConfig {
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// `None`: not probed.
    pub(crate) probe: Option<ProbeConfig>,
    /// Where a probe by TCP connects to.
    pub(crate) connect: Option<Endpoint>,
    pub(crate) health: HealthConfig,
    pub(crate) owner: Owner,
    /// `None`: what the path takes is not looked for.
    pub(crate) path: Option<links::mtu::Config>,
}

/// Whose the interface of a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A tunnel's: its MTU is ours to set.
    Ours,
    Another,
}

/// What a link task is made from.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) config: LinkConfig,
    pub(crate) groups: mpsc::Sender<GroupsMessage>,
    pub(crate) interfaces: watch::Receiver<Arc<Interfaces>>,
    pub(crate) severed: watch::Receiver<Severed>,
    pub(crate) drained: watch::Receiver<Drained>,
    pub(crate) alone: watch::Receiver<Alone>,
    /// What its BFD session says.
    pub(crate) bfd: watch::Receiver<BfdWord>,
    /// What interfaces of ours may take at the most.
    pub(crate) bounds: watch::Receiver<Bounds>,
    /// Where it says what its path takes.
    pub(crate) paths: watch::Sender<PathMtus>,
    pub(crate) board: Arc<Board>,
}

/// Runs until it is aborted. A fault of the program starts it again: a link that nobody measures would
/// stay as it was last seen for ever.
pub(crate) async fn run(link: Link) {
    let span = tracing::info_span!("link", link = %link.name);
    while AssertUnwindSafe(drive(link.clone()).instrument(span.clone()))
        .catch_unwind()
        .await
        .is_err()
    {
        error!(
            link = link.name,
            "a fault in the program ended the measurement; starting it again"
        );
        link.board.counters.restart();
        tokio::time::sleep(RESTART).await;
    }
}

async fn drive(link: Link) {
    let now = Instant::now();
    link.board.counters.link_starts(&link.name);
    let driver = Driver {
        probe: link
            .config
            .probe
            .clone()
            .map(|config| Probe::new(config, super::seed(), now)),
        health: Health::new(link.config.health.clone(), now),
        sockets: Sockets::default(),
        connects: Connects::default(),
        attached: None,
        incomplete: None,
        reflector: Reflector::new(link.config.remote),
        published: now,
        path: mtu::Prober::start(&link),
        reported: now,
        figures: None,
        link,
    };
    driver.run().await;
}

struct Driver {
    link: Link,
    probe: Option<Probe>,
    health: Health,
    sockets: Sockets,
    connects: Connects,
    /// Index of the interface that the sockets are bound to.
    attached: Option<u32>,
    /// When to try again to open the sockets that could not be.
    incomplete: Option<Instant>,
    reflector: Reflector,
    published: Instant,
    /// Looks for what the path takes.
    path: Option<mtu::Prober>,
    /// When the group was last told what is measured, and what it is to be told.
    reported: Instant,
    figures: Option<Figures>,
}

#[derive(Default)]
struct Sockets {
    stamp: Option<UdpSocket>,
    icmp: Option<UdpSocket>,
    reflector: Option<UdpSocket>,
}

struct Buffers {
    stamp: [u8; DATAGRAM],
    icmp: [u8; DATAGRAM],
    request: [u8; DATAGRAM],
}

enum Wake {
    Answer(Via, io::Result<Message>),
    Connected(u32),
    Request(io::Result<Message>),
    Bfd,
    Orders,
    Others,
    Interfaces,
    Ended,
    Timeout,
}

impl Driver {
    async fn run(mut self) {
        let mut buffers = Buffers {
            stamp: [0; DATAGRAM],
            icmp: [0; DATAGRAM],
            request: [0; DATAGRAM],
        };
        self.hear_bfd();
        self.hear_orders();
        self.hear_others();
        self.follow_interface();
        loop {
            self.drain().await;
            match self.wait(&mut buffers).await {
                Wake::Answer(via, Ok(message)) => {
                    let buffer = match via {
                        Via::Icmp => &buffers.icmp,
                        Via::Stamp | Via::Tcp | Via::Bgp => &buffers.stamp,
                    };
                    self.probe_input(Input::Received {
                        via,
                        bytes: &buffer[..message.length],
                        waited: message.waited(),
                    });
                }
                Wake::Connected(round) => self.probe_input(Input::Connected { round }),
                Wake::Answer(via, Err(error)) => self.on_socket_error(via, &error),
                Wake::Request(Ok(message)) => {
                    self.reflect(&buffers.request[..message.length], &message);
                }
                Wake::Bfd => self.hear_bfd(),
                Wake::Orders => self.hear_orders(),
                Wake::Others => self.hear_others(),
                Wake::Request(Err(error)) => debug!(%error, "reflector"),
                Wake::Interfaces => self.follow_interface(),
                Wake::Ended => return,
                Wake::Timeout => self.on_timeout(),
            }
        }
    }

    async fn wait(&mut self, buffers: &mut Buffers) -> Wake {
        let probe = self.probe.as_ref().and_then(Probe::poll_timeout);
        let deadline = earlier(
            earlier(probe, self.health.poll_timeout()),
            earlier(self.incomplete, Some(self.published + PUBLISH)),
        );
        tokio::select! {
            biased;
            read = receive(self.sockets.stamp.as_ref(), &mut buffers.stamp) => {
                Wake::Answer(Via::Stamp, read)
            }
            read = receive(self.sockets.icmp.as_ref(), &mut buffers.icmp) => {
                Wake::Answer(Via::Icmp, read)
            }
            round = self.connects.answered() => Wake::Connected(round),
            read = receive(self.sockets.reflector.as_ref(), &mut buffers.request) => {
                Wake::Request(read)
            }
            Ok(()) = self.link.bfd.changed() => Wake::Bfd,
            Ok(()) = self.link.drained.changed() => Wake::Orders,
            Ok(()) = self.link.alone.changed() => Wake::Others,
            changed = self.link.interfaces.changed() => match changed {
                Ok(()) => Wake::Interfaces,
                Err(_) => Wake::Ended,
            },
            changed = self.link.severed.changed() => match changed {
                Ok(()) => Wake::Interfaces,
                Err(_) => Wake::Ended,
            },
            () = until(deadline) => Wake::Timeout,
        }
    }

    fn hear_bfd(&mut self) {
        let word = *self.link.bfd.borrow_and_update();
        self.health.handle(HealthInput::Bfd(word), Instant::now());
    }

    fn hear_orders(&mut self) {
        let order = match self
            .link
            .drained
            .borrow_and_update()
            .contains(&self.link.name)
        {
            true => Order::Drain,
            false => Order::Carry,
        };
        self.health
            .handle(HealthInput::Order(order), Instant::now());
    }

    fn hear_others(&mut self) {
        let others = match self
            .link
            .alone
            .borrow_and_update()
            .contains(&self.link.name)
        {
            true => Others::None,
            false => Others::Usable,
        };
        self.health
            .handle(HealthInput::Others(others), Instant::now());
    }

    fn probe_input(&mut self, input: Input<'_>) {
        if let Some(probe) = &mut self.probe {
            probe.handle(input, Instant::now());
        }
    }

    fn on_socket_error(&mut self, via: Via, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.probe_input(Input::Refused(via));
        } else {
            debug!(?via, %error, "probe");
        }
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        self.probe_input(Input::Timeout);
        self.health.handle(HealthInput::Timeout, now);
        if self.incomplete.is_some_and(|at| at <= now) {
            self.open_sockets(now);
        }
        if now >= self.published + PUBLISH {
            self.published = now;
            if let Some(probe) = &mut self.probe {
                let quality = probe.quality(now);
                self.health.handle(HealthInput::Quality(&quality), now);
                if now >= self.reported + REPORT {
                    self.reported = now;
                    self.figures = Some(Figures::from(&quality));
                }
                self.link.board.set_quality(&self.link.name, quality);
            }
        }
    }

    /// Carries what the machines want where it belongs.
    async fn drain(&mut self) {
        self.transmit();
        while let Some(output) = self.probe.as_mut().and_then(Probe::poll_output) {
            let now = Instant::now();
            match output {
                Output::Answered { rtt, .. } => {
                    self.link.board.rtt(&self.link.name, rtt);
                    self.health.handle(HealthInput::Answered, now);
                }
                Output::Lost => self.health.handle(HealthInput::Lost, now),
            }
        }
        while let Some(change) = self.health.poll_output() {
            self.report(change).await;
        }
        if let Some(figures) = self.figures.take() {
            let name = self.link.name.clone();
            let message = GroupsMessage::Figures { name, figures };
            let _ = self.link.groups.send(message).await;
        }
    }

    fn transmit(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        while let Some(transmit) = probe.poll_transmit(wall(), Instant::now()) {
            let (via, bytes) = match transmit {
                Transmit::Datagram { via, bytes } => (via, bytes),
                Transmit::Connect { round } => {
                    let endpoint = self.link.config.connect.clone();
                    if let Some(endpoint) = endpoint.filter(|_| self.attached.is_some()) {
                        self.connects.begin(endpoint, round, probe.timeout());
                    }
                    continue;
                }
                Transmit::Look => {
                    // The peer of a link has its name.
                    let seen = self.link.board.session_tcp(&self.link.name);
                    probe.handle(Input::Session(seen), Instant::now());
                    continue;
                }
            };
            let socket = match via {
                Via::Stamp => self.sockets.stamp.as_ref(),
                Via::Icmp => self.sockets.icmp.as_ref(),
                Via::Tcp | Via::Bgp => None,
            };
            // A probe that does not leave is a probe that is not answered.
            match socket.map(|socket| socket.try_send(&bytes)) {
                Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    probe.handle(Input::Refused(via), Instant::now());
                }
                Some(Err(error)) => debug!(?via, %error, "probe not sent"),
                Some(Ok(_)) | None => {}
            }
        }
    }

    async fn report(&mut self, change: HealthChange) {
        let HealthChange { state, reason } = change;
        let found_out = Instant::now();
        let report = GroupsMessage::Link {
            name: self.link.name.clone(),
            change,
            found_out,
        };
        // First move the traffic, then tell people.
        let _ = self.link.groups.send(report).await;
        if let Some(path) = &self.path {
            path.link_is(state);
        }
        let severity = match state {
            links::State::Up | links::State::Draining => {
                info!(%state, %reason, "link");
                Severity::Info
            }
            links::State::Degraded | links::State::Down => {
                warn!(%state, %reason, "link");
                Severity::Warning
            }
        };
        self.link
            .board
            .set_link_state(&self.link.name, state, reason.to_string());
        let text = format!("{state}: {reason}");
        self.link
            .board
            .journal
            .record(severity, "link-state", &self.link.name, text);
    }

    /// Sockets are bound to an interface as it is; one that was made anew needs others.
    fn follow_interface(&mut self) {
        let interfaces = Arc::clone(&self.link.interfaces.borrow_and_update());
        let interface = interfaces.named(&self.link.config.interface);
        self.link.board.set_interface(&self.link.name, interface);
        let is_severed = self
            .link
            .severed
            .borrow_and_update()
            .contains(&self.link.name);
        let index = interface
            .filter(|interface| !is_severed && self.is_ready(interface))
            .map(|i| i.index);
        let now = Instant::now();
        match index {
            Some(index) if self.attached != Some(index) => {
                self.sockets = Sockets::default();
                self.open_sockets(now);
                self.attached = Some(index);
                self.health.handle(HealthInput::InterfaceUp, now);
            }
            Some(_) => {}
            None => {
                self.sockets = Sockets::default();
                self.connects.clear();
                self.incomplete = None;
                self.attached = None;
                let input = match is_severed {
                    true => HealthInput::TunnelDown,
                    false => HealthInput::InterfaceDown,
                };
                self.health.handle(input, now);
            }
        }
    }

    fn is_ready(&self, interface: &Interface) -> bool {
        interface.up
            && interface
                .addresses
                .iter()
                .any(|net| net.addr() == self.link.config.local)
    }

    /// Opens those that are missing. One that cannot be opened is tried again: an IPv6 address is on
    /// the interface before it can be bound to (RFC 4862 §5.4).
    fn open_sockets(&mut self, now: Instant) {
        let LinkConfig {
            interface,
            local,
            remote,
            probe,
            ..
        } = &self.link.config;
        let (local, remote) = (*local, *remote);
        let wants = |method| {
            probe
                .as_ref()
                .is_some_and(|probe| probe.method == links::Method::Auto || probe.method == method)
        };
        let again = self.incomplete.is_some();
        let mut complete = true;
        let mut fill =
            |what: &str, slot: &mut Option<UdpSocket>, open: io::Result<UdpSocket>| match open {
                Ok(socket) => *slot = Some(socket),
                Err(error) => {
                    complete = false;
                    if again {
                        debug!(%error, "cannot open the {what} socket");
                    } else {
                        warn!(%error, "cannot open the {what} socket, trying on");
                    }
                }
            };
        let Sockets {
            stamp,
            icmp,
            reflector,
        } = &mut self.sockets;
        if stamp.is_none() && wants(links::Method::Stamp) {
            let far = SocketAddr::new(remote, stamp::PORT);
            fill("STAMP", stamp, sockets::probe(interface, local, far));
        }
        if icmp.is_none() && wants(links::Method::Icmp) {
            fill("ICMP", icmp, sockets::echo(interface, local, remote));
        }
        if reflector.is_none() {
            let socket = sockets::reflector(interface, local, stamp::PORT);
            fill("reflector", reflector, socket);
        }
        self.incomplete = (!complete).then(|| now + REOPEN);
    }

    /// Answers the far end's probes, and nobody else's.
    fn reflect(&mut self, bytes: &[u8], message: &Message) {
        let from = message.from;
        // While it lay in the socket it was here: the far end takes that off its round-trip time.
        let stamped = message.arrived.filter(|_| message.waited() < HELD);
        let arrival = Arrival {
            bytes,
            from,
            ttl: message.hop_limit,
            at: stamped.map_or_else(wall, NtpTime::from_unix),
        };
        match self.reflector.reflect(arrival, wall()) {
            Ok(reply) => {
                if let Some(socket) = &self.sockets.reflector {
                    // A reply that does not leave is a loss, which the far end counts.
                    let _ = socket.try_send_to(&reply, from);
                }
            }
            Err(refusal) => {
                let counters = &self.link.board.counters;
                counters.probe_refused(&self.link.name, refusal);
            }
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<Message> {
    match socket {
        Some(socket) => sockets::receive(socket, buffer).await,
        None => std::future::pending().await,
    }
}
