//! One peer: its [`Session`] on TCP.

mod conns;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::rib::{self, LimitEvent};
use bgp::session::{Conn, DownReason, Input, Output, Reading, Session, SessionConfig};
use bgp::{Family, PeerId, Retention};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{Instrument, debug, error, info, warn};

use super::messages::{RibMessage, ToPeer};
use super::permit::{self, Order, Permit};
use super::{earlier, until};
use crate::board::{Board, PeerRow};
use crate::journal::Severity;
use crate::sockets::{self, Endpoint, Gauge, Signing};
use conns::{Conns, Event, Transport, last_words};

/// A peer that does not answer a SYN for so long is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a closing connection may take to deliver its last words.
const LINGER: Duration = Duration::from_secs(2);
/// Below so many octets of UPDATEs that wait the peer takes another batch from the RIB.
const PENDING: usize = 32 * 1024;
/// Between two refreshes of what the API shows, unless the state changes.
const PUBLISH: Duration = Duration::from_millis(250);

/// What a peer task is made from.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) session: SessionConfig,
    pub(crate) rib: mpsc::Sender<RibMessage>,
    pub(crate) board: Arc<Board>,
}

/// Runs until told to end.
pub(crate) async fn run(peer: Peer, inbox: mpsc::Receiver<ToPeer>) {
    let span = tracing::info_span!("peer", peer = %peer.name, asn = %peer.session.peer_asn);
    let session = Session::new(peer.session.clone(), super::seed(), Instant::now());
    let mut driver = Driver {
        session,
        permit: Permit::default(),
        peer,
        ends: None,
        inbox,
        conns: Conns::default(),
        backlog: VecDeque::new(),
        owed: 0,
        life: 0,
        reading: Reading::GoesOn,
        is_up: false,
        is_ending: false,
        published: None,
        publish_at: None,
        quiet: false,
        failed_dials: 0,
    };
    span.in_scope(|| driver.try_signing());
    driver.run().instrument(span).await;
}

struct Driver {
    session: Session,
    permit: Permit,
    peer: Peer,
    /// Both ends of the latest connection, ours first.
    ends: Option<(SocketAddr, SocketAddr)>,
    inbox: mpsc::Receiver<ToPeer>,
    conns: Conns,
    /// For the RIB, which may be busy. While it is not empty nothing is read from the peer.
    backlog: VecDeque<RibMessage>,
    /// Credits to give back to the RIB.
    owed: usize,
    /// Sessions so far.
    life: u64,
    reading: Reading,
    is_up: bool,
    is_ending: bool,
    published: Option<Instant>,
    /// When to show what changed since.
    publish_at: Option<Instant>,
    /// The last attempt failed like the one before: said once, then only at debug.
    quiet: bool,
    /// One after the other.
    failed_dials: usize,
}

enum Wake {
    Conn(Event),
    Message(Option<ToPeer>),
    Timeout,
    Sent,
}

impl Driver {
    async fn run(mut self) {
        loop {
            while let Some(order) = self.permit.poll_output() {
                let input = match order {
                    Order::Start => Input::Start,
                    Order::Stop(farewell) => Input::Stop(farewell),
                };
                self.session.handle(input, Instant::now());
            }
            while let Some(output) = self.session.poll_output() {
                self.perform(output);
            }
            self.conns.fill(&mut self.session);
            self.return_credits();
            self.say_reading();
            self.publish();
            if self.is_ending && self.backlog.is_empty() {
                return;
            }
            match self.wait().await {
                Wake::Conn(event) => self.deliver(event),
                Wake::Message(Some(message)) => self.obey(message),
                Wake::Message(None) => return,
                Wake::Timeout => {
                    let now = Instant::now();
                    self.permit.handle(permit::Input::Timeout, now);
                    self.session.handle(Input::Timeout, now);
                }
                Wake::Sent => {}
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = earlier(self.session.poll_timeout(), self.publish_at);
        let deadline = earlier(deadline, self.permit.poll_timeout());
        let may_read = self.backlog.is_empty();
        tokio::select! {
            permit = self.peer.rib.reserve(), if !may_read => {
                match (permit, self.backlog.pop_front()) {
                    (Ok(permit), Some(message)) => permit.send(message),
                    // Without a RIB the process is ending.
                    _ => self.backlog.clear(),
                }
                Wake::Sent
            }
            message = self.inbox.recv() => Wake::Message(message),
            event = self.conns.next(may_read) => Wake::Conn(event),
            () = until(deadline) => Wake::Timeout,
        }
    }

    fn obey(&mut self, message: ToPeer) {
        let now = Instant::now();
        match message {
            ToPeer::Start => self.permit.handle(permit::Input::Reachable, now),
            ToPeer::Stop(cease) => self.permit.handle(permit::Input::Unreachable(cease), now),
            ToPeer::ShutDown(text) => self.permit.handle(permit::Input::ShutDown(text), now),
            ToPeer::Reset(farewell) => self.permit.handle(permit::Input::Reset(farewell), now),
            ToPeer::Limit(family, event) => self.on_limit(family, event, now),
            ToPeer::NexthopOurs(nexthop) => {
                warn!(%nexthop, "the peer names an address of ours as nexthop");
                let text = format!("it names {nexthop} as nexthop, an address of this host");
                self.note(Severity::Warning, "nexthop-ours", text);
            }
            ToPeer::RequestRefresh => {
                for family in Family::ALL {
                    self.session.handle(Input::RequestRefresh(family), now);
                }
            }
            ToPeer::End(farewell) => {
                self.session.handle(Input::Stop(farewell), now);
                self.is_ending = true;
            }
            ToPeer::Reconfigure(config) => self.session.handle(Input::Reconfigure(config), now),
            ToPeer::Rekey(signing) => self.rekey(signing),
            ToPeer::Inbound(stream) => self.connected(Conn::Inbound, stream),
            ToPeer::Transmit { updates, life } => {
                self.owed += 1;
                if life == self.life {
                    self.session.handle(Input::Transmit(updates), now);
                }
            }
        }
    }

    fn deliver(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Bytes(conn) => {
                let bytes = self.conns.buffer.bytes();
                self.session.handle(Input::Bytes(conn, bytes), now);
            }
            Event::Closed(conn) => {
                self.conns.take(conn);
                self.session.handle(Input::Closed(conn), now);
            }
            Event::Dialled(Ok(stream)) => self.connected(Conn::Outbound, stream),
            Event::Dialled(Err(error)) => {
                debug!(%error, "dial failed");
                self.failed_dials = self.failed_dials.wrapping_add(1);
                self.session.handle(Input::DialFailed, now);
            }
            Event::Written => {}
        }
    }

    /// A peer whose keys the kernel cannot use is not tried, rather than tried without them.
    fn try_signing(&mut self) {
        let tried = sockets::try_signing(self.peer.endpoint.signing.as_ref()).err();
        if let Some(why) = &tried {
            warn!(why, "no session is tried");
            self.note(Severity::Critical, "signing", why.clone());
        }
        self.permit
            .handle(permit::Input::Unsigned(tried), Instant::now());
    }

    fn rekey(&mut self, signing: Option<Signing>) {
        if self.peer.endpoint.signing == signing {
            return;
        }
        self.peer.endpoint.signing = signing;
        self.try_signing();
        for conn in [Conn::Inbound, Conn::Outbound] {
            let Some(transport) = self.conns.slot(conn) else {
                continue;
            };
            match sockets::settle(&transport.stream, &self.peer.endpoint) {
                Ok(()) => info!(?conn, "its keys are in use"),
                Err(error) => {
                    error!(?conn, %error, "the kernel keeps the keys that were");
                    let text = format!("its keys were not changed: {error}");
                    self.note(Severity::Critical, "signing", text);
                }
            }
        }
    }

    fn connected(&mut self, conn: Conn, stream: TcpStream) {
        let now = Instant::now();
        let settled = sockets::settle(&stream, &self.peer.endpoint);
        let local = match settled.and_then(|()| stream.local_addr()) {
            Ok(address) => address.ip().to_canonical(),
            Err(error) => {
                debug!(%error, "connection lost at once");
                if conn == Conn::Outbound {
                    self.session.handle(Input::DialFailed, now);
                }
                return;
            }
        };
        if self.conns.slot(conn).is_some() && !self.session.is_replaced_by(conn, now) {
            // One connection each way is all that a session can hold (RFC 4271 §6.8).
            return;
        }
        if conn == Conn::Outbound {
            self.failed_dials = 0;
        }
        let remote = stream.peer_addr();
        self.ends = stream.local_addr().ok().zip(remote.ok());
        let gauge = self.gauge(&stream);
        *self.conns.slot(conn) = Some(Transport::new(stream, gauge));
        self.session.handle(Input::Connected { conn, local }, now);
    }

    /// Only a link has a use for it, and a peer on none should not cost a descriptor.
    fn gauge(&self, stream: &TcpStream) -> Option<Arc<Gauge>> {
        self.peer.endpoint.interface.as_ref()?;
        Gauge::of(stream).ok().map(Arc::new)
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Dial => {
                let endpoint = self.peer.endpoint.clone();
                let dial = dial(endpoint, self.failed_dials);
                self.conns.dial = Some(Box::pin(dial));
            }
            Output::Hangup(conn) => self.hang_up(conn),
            Output::Up(negotiated) => {
                info!(router_id = %negotiated.router_id, hold = ?negotiated.hold_time, "session up");
                self.is_up = true;
                self.life += 1;
                self.quiet = false;
                self.peer.board.peer_changed(&self.peer.name, "established");
                self.note(Severity::Info, "peer-up", "session established".to_owned());
                let up = rib::Input::Up(self.peer.id, negotiated.session_up());
                self.backlog.push_back(RibMessage::Input(up));
            }
            Output::Down(reason, retention) => self.on_down(&reason, retention),
            Output::Routes(events) => {
                let routes = rib::Input::Routes(self.peer.id, events);
                self.backlog.push_back(RibMessage::Input(routes));
            }
            Output::Refresh(family) => {
                let refresh = rib::Input::Refresh(self.peer.id, family);
                self.backlog.push_back(RibMessage::Input(refresh));
            }
        }
    }

    fn on_down(&mut self, reason: &DownReason, retention: Retention) {
        let was_up = std::mem::replace(&mut self.is_up, false);
        if was_up {
            warn!(%reason, "session down");
            self.peer.board.peer_changed(&self.peer.name, "down");
            self.note(
                Severity::Warning,
                "peer-down",
                format!("session down: {reason}"),
            );
            let down = rib::Input::Down(self.peer.id, retention);
            self.backlog.push_back(RibMessage::Input(down));
        } else if std::mem::replace(&mut self.quiet, true) {
            debug!(%reason, "attempt failed");
        } else {
            info!(%reason, "attempt failed, trying on");
        }
    }

    fn on_limit(&mut self, family: Family, event: LimitEvent, now: Instant) {
        let (severity, kind, text) = match event {
            LimitEvent::Near(limit) => {
                let text = format!("{} of {} {family} prefixes", limit.warn_at, limit.max);
                (Severity::Warning, "prefix-limit-near", text)
            }
            LimitEvent::Exceeded(limit) => {
                self.permit
                    .handle(permit::Input::TooMany(family, limit), now);
                let text = format!("more than {} {family} prefixes", limit.max);
                (Severity::Critical, "prefix-limit", text)
            }
            LimitEvent::Bulky { octets } => {
                let mebibytes = octets >> 20;
                let text = format!(
                    "attributes of its {family} paths take more than {mebibytes} MiB: \
                     further long ones are discarded"
                );
                (Severity::Critical, "attributes-limit", text)
            }
            LimitEvent::HeldBack { max } => {
                let text = format!("it takes {max} {family} prefixes: further ones are held back");
                (Severity::Warning, "prefix-limit-out", text)
            }
        };
        warn!(text, kind, "prefix limit");
        self.note(severity, kind, text);
    }

    fn note(&self, severity: Severity, kind: &'static str, text: String) {
        self.peer
            .board
            .journal
            .record(severity, kind, &self.peer.name, text);
    }

    fn hang_up(&mut self, conn: Conn) {
        let Some(mut transport) = self.conns.take(conn) else {
            if conn == Conn::Outbound {
                self.conns.dial = None;
            }
            return;
        };
        while let Some(bytes) = self.session.poll_transmit(conn) {
            transport.out.push_back(bytes);
        }
        tokio::spawn(async move {
            // A NOTIFICATION that its reader never sees explains nothing.
            let _ = timeout(LINGER, last_words(transport)).await;
        });
    }

    fn say_reading(&mut self) {
        let reading = match self.backlog.is_empty() {
            true => Reading::GoesOn,
            false => Reading::Pauses,
        };
        if std::mem::replace(&mut self.reading, reading) != reading {
            self.session.handle(Input::Reading(reading), Instant::now());
        }
    }

    fn return_credits(&mut self) {
        if self.owed > 0 && self.session.pending() < PENDING {
            let credits = std::mem::take(&mut self.owed);
            self.backlog
                .push_back(RibMessage::Credit(self.peer.id, credits));
        }
    }

    /// At once when the state changes; what else changes, soon.
    fn publish(&mut self) {
        let now = Instant::now();
        let status = self.session.status();
        let due = self.published.map_or(now, |at| at + PUBLISH);
        if due <= now || self.peer.board.peer_state(&self.peer.name) != Some(status.state) {
            self.published = Some(now);
            self.publish_at = None;
            let row = PeerRow {
                session: Some(status),
                held: self.permit.held(),
                ends: self.ends,
                ao: self.conns.latest().and_then(sockets::ao_status),
                gauge: self.conns.gauge(),
            };
            self.peer.board.set_peer(&self.peer.name, row);
        } else {
            self.publish_at = Some(due);
        }
    }
}

async fn dial(endpoint: Endpoint, attempt: usize) -> io::Result<TcpStream> {
    timeout(DIAL_TIMEOUT, sockets::dial(&endpoint, attempt)).await?
}
