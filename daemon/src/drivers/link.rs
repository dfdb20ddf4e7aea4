//! One link: its probe on sockets bound to its interface, its reflector, and its health.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use links::stamp::{self, NtpTime};
use links::{
    Health, HealthChange, HealthConfig, HealthInput, Input, Output, Probe, ProbeConfig, Via,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, debug, info, warn};

use super::groups::GroupsMessage;
use super::{earlier, until, wall};
use crate::board::Board;
use crate::fib::{Interface, Interfaces};
use crate::journal::Severity;
use crate::sockets;

/// Between two looks at the quality of the link, and refreshes of what the API shows.
const PUBLISH: Duration = Duration::from_millis(250);
/// Longest datagram that is read; a longer one is no answer to us.
const DATAGRAM: usize = 2048;

/// What a link task is made from.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// `None`: not probed.
    pub(crate) probe: Option<ProbeConfig>,
    pub(crate) health: HealthConfig,
    pub(crate) groups: mpsc::Sender<GroupsMessage>,
    pub(crate) interfaces: watch::Receiver<Arc<Interfaces>>,
    pub(crate) board: Arc<Board>,
}

/// Runs until it is aborted.
pub(crate) async fn run(link: Link) {
    let span = tracing::info_span!("link", link = %link.name);
    let now = Instant::now();
    let driver = Driver {
        probe: link
            .probe
            .clone()
            .map(|config| Probe::new(config, super::seed(), now)),
        health: Health::new(link.health.clone(), now),
        sockets: Sockets::default(),
        attached: None,
        reflected: 0,
        published: now,
        link,
    };
    driver.run().instrument(span).await;
}

struct Driver {
    link: Link,
    probe: Option<Probe>,
    health: Health,
    sockets: Sockets,
    /// Index of the interface that the sockets are bound to.
    attached: Option<u32>,
    /// Sequence number of our reflector (RFC 8762 §4.3.1).
    reflected: u32,
    published: Instant,
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
    Answer(Via, io::Result<usize>),
    Request(io::Result<(usize, SocketAddr, u8)>),
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
        self.follow_interface();
        loop {
            self.drain().await;
            match self.wait(&mut buffers).await {
                Wake::Answer(via, Ok(length)) => {
                    let bytes = match via {
                        Via::Stamp => &buffers.stamp[..length],
                        Via::Icmp => &buffers.icmp[..length],
                    };
                    self.probe_input(Input::Received { via, bytes });
                }
                Wake::Answer(via, Err(error)) => self.on_socket_error(via, &error),
                Wake::Request(Ok((length, from, ttl))) => {
                    self.reflect(&buffers.request[..length], from, ttl);
                }
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
            Some(self.published + PUBLISH),
        );
        tokio::select! {
            biased;
            read = receive(self.sockets.stamp.as_ref(), &mut buffers.stamp) => {
                Wake::Answer(Via::Stamp, read)
            }
            read = receive(self.sockets.icmp.as_ref(), &mut buffers.icmp) => {
                Wake::Answer(Via::Icmp, read)
            }
            read = request(self.sockets.reflector.as_ref(), &mut buffers.request) => {
                Wake::Request(read)
            }
            changed = self.link.interfaces.changed() => match changed {
                Ok(()) => Wake::Interfaces,
                Err(_) => Wake::Ended,
            },
            () = until(deadline) => Wake::Timeout,
        }
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
        if now >= self.published + PUBLISH {
            self.published = now;
            if let Some(probe) = &self.probe {
                let quality = probe.quality(now);
                self.health.handle(HealthInput::Quality(&quality), now);
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
    }

    fn transmit(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        while let Some(transmit) = probe.poll_transmit(wall(), Instant::now()) {
            let socket = match transmit.via {
                Via::Stamp => self.sockets.stamp.as_ref(),
                Via::Icmp => self.sockets.icmp.as_ref(),
            };
            // A probe that does not leave is a probe that is not answered.
            match socket.map(|socket| socket.try_send(&transmit.bytes)) {
                Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    probe.handle(Input::Refused(transmit.via), Instant::now());
                }
                Some(Err(error)) => debug!(via = ?transmit.via, %error, "probe not sent"),
                Some(Ok(_)) | None => {}
            }
        }
    }

    async fn report(&mut self, change: HealthChange) {
        let HealthChange { state, reason } = change;
        let found_out = Instant::now();
        let report = GroupsMessage::Link {
            name: self.link.name.clone(),
            state,
            found_out,
        };
        // First move the traffic, then tell people.
        let _ = self.link.groups.send(report).await;
        let severity = match state {
            links::State::Up => {
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
        let interface = interfaces.named(&self.link.interface);
        self.link.board.set_interface(&self.link.name, interface);
        let index = interface
            .filter(|interface| self.is_ready(interface))
            .map(|i| i.index);
        let now = Instant::now();
        match index {
            Some(index) if self.attached != Some(index) => {
                self.open_sockets();
                self.attached = Some(index);
                self.health.handle(HealthInput::InterfaceUp, now);
            }
            Some(_) => {}
            None => {
                self.sockets = Sockets::default();
                self.attached = None;
                self.health.handle(HealthInput::InterfaceDown, now);
            }
        }
    }

    fn is_ready(&self, interface: &Interface) -> bool {
        interface.up
            && interface
                .addresses
                .iter()
                .any(|net| net.addr() == self.link.local)
    }

    fn open_sockets(&mut self) {
        let Link {
            interface,
            local,
            remote,
            probe,
            ..
        } = &self.link;
        let stamp_port = SocketAddr::new(*remote, stamp::PORT);
        let said = |what: &str, socket: io::Result<UdpSocket>| match socket {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(%error, "cannot open the {what} socket");
                None
            }
        };
        let wants = |method| {
            probe
                .as_ref()
                .is_some_and(|probe| probe.method == links::Method::Auto || probe.method == method)
        };
        self.sockets = Sockets {
            stamp: wants(links::Method::Stamp)
                .then(|| sockets::probe(interface, *local, stamp_port))
                .and_then(|socket| said("STAMP", socket)),
            icmp: wants(links::Method::Icmp)
                .then(|| sockets::echo(interface, *local, *remote))
                .and_then(|socket| said("ICMP", socket)),
            reflector: said(
                "reflector",
                sockets::reflector(interface, *local, stamp::PORT),
            ),
        };
    }

    /// Answers the far end's probes, and nobody else's.
    fn reflect(&mut self, request: &[u8], from: SocketAddr, ttl: u8) {
        let received: NtpTime = wall();
        if from.ip().to_canonical() != self.link.remote {
            return;
        }
        let sequence = Some(self.reflected);
        let Some(reply) = stamp::reflect(request, ttl, received, wall(), sequence) else {
            return;
        };
        self.reflected = self.reflected.wrapping_add(1);
        if let Some(reflector) = &self.sockets.reflector {
            // A reply that does not leave is a loss, which the far end counts.
            let _ = reflector.try_send_to(&reply, from);
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<usize> {
    match socket {
        Some(socket) => socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}

async fn request(
    socket: Option<&UdpSocket>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, u8)> {
    match socket {
        Some(socket) => sockets::receive_with_ttl(socket, buffer).await,
        None => std::future::pending().await,
    }
}
