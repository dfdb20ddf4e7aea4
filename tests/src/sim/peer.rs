//! One peer of one router: its session on the streams of a cable, as the daemon's peer driver has it.

use std::net::IpAddr;
use std::time::Instant;

use bgp::rib;
use bgp::session::{Cease, Conn, DownReason, Input, Mode, Output, Session, SessionConfig};
use bgp::{Family, PeerId, Updates};
use bytes::{Buf as _, Bytes, BytesMut};

use super::channel::Channel;
use super::router::RibMessage;
use super::topology::{PeerSpec, RouterSpec, Timing};

/// Below so many octets that wait the peer takes another batch from the RIB: few, so that every
/// simulation gets there.
const PENDING: usize = 100;

/// What a peer task is told.
#[derive(Debug)]
pub(super) enum ToPeer {
    Start,
    Stop(Cease),
    /// The RIB spent a credit on it.
    Transmit(Updates),
    RequestRefresh(Family),
}

/// What a peer wants of the network.
#[derive(Debug)]
pub(super) enum Wish {
    Dial,
    /// Deliver this, then close.
    HangUp {
        stream: u64,
        last: BytesMut,
    },
    /// Close at once.
    Close {
        stream: u64,
    },
}

#[derive(Debug)]
struct Transport {
    stream: u64,
    /// Taken from the session and not written yet.
    out: Bytes,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) session: Session,
    pub(super) inbox: Channel<ToPeer>,
    local: IpAddr,
    transports: [Option<Transport>; 2],
    is_dialling: bool,
    /// Credits to give back to the RIB.
    owed: usize,
    is_up: bool,
    /// Reasons that two correct speakers never give each other.
    pub(super) complaints: Vec<String>,
}

impl Peer {
    pub(super) fn new(
        id: PeerId,
        router: &RouterSpec,
        spec: &PeerSpec,
        timing: &Timing,
        seed: u64,
        now: Instant,
    ) -> Self {
        let config = SessionConfig {
            hold_time_secs: timing.hold_time_secs,
            connect_retry: timing.connect_retry,
            connect_retry_max: timing.connect_retry_max,
            mode: Mode::Active,
            graceful_restart: router.graceful_restart,
            ..SessionConfig::new(router.asn, router.router_id, spec.asn)
        };
        Self {
            id,
            session: Session::new(config, seed, now),
            inbox: Channel::default(),
            local: spec.local,
            transports: [None, None],
            is_dialling: false,
            owed: 0,
            is_up: false,
            complaints: Vec::new(),
        }
    }

    pub(super) fn obey(&mut self, message: ToPeer, now: Instant) {
        match message {
            ToPeer::Start => self.session.handle(Input::Start, now),
            ToPeer::Stop(cease) => self.session.handle(Input::Stop(cease.into()), now),
            ToPeer::RequestRefresh(family) => {
                self.session.handle(Input::RequestRefresh(family), now);
            }
            ToPeer::Transmit(updates) => {
                self.owed += 1;
                self.session.handle(Input::Transmit(updates), now);
            }
        }
    }

    /// A connection is there. One of the same name is there already: it is not wanted.
    pub(super) fn on_connected(&mut self, conn: Conn, stream: u64, now: Instant) -> Option<Wish> {
        if conn == Conn::Outbound {
            self.is_dialling = false;
        }
        if self.transports[conn as usize].is_some() {
            return Some(Wish::Close { stream });
        }
        self.transports[conn as usize] = Some(Transport {
            stream,
            out: Bytes::new(),
        });
        let local = self.local;
        self.session.handle(Input::Connected { conn, local }, now);
        None
    }

    pub(super) fn on_dial_failed(&mut self, now: Instant) {
        self.is_dialling = false;
        self.session.handle(Input::DialFailed, now);
    }

    pub(super) fn on_bytes(&mut self, stream: u64, bytes: &[u8], now: Instant) {
        if let Some(conn) = self.conn_of(stream) {
            self.session.handle(Input::Bytes(conn, bytes), now);
        }
    }

    pub(super) fn on_closed(&mut self, stream: u64, now: Instant) {
        if let Some(conn) = self.conn_of(stream) {
            self.transports[conn as usize] = None;
            self.session.handle(Input::Closed(conn), now);
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle(Input::Timeout, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.session.poll_timeout(), self.inbox.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Carries what the session wants where it belongs: to the network and to the RIB.
    pub(super) fn drain(&mut self, wishes: &mut Vec<Wish>, to_rib: &mut Vec<RibMessage>) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial => {
                    self.is_dialling = true;
                    wishes.push(Wish::Dial);
                }
                Output::Hangup(conn) => wishes.extend(self.hang_up(conn)),
                Output::Up(negotiated) => {
                    self.is_up = true;
                    to_rib.push(RibMessage::Input(rib::Input::Up(
                        self.id,
                        negotiated.session_up(),
                    )));
                }
                Output::Down(reason, retention) => {
                    self.judge(&reason);
                    if std::mem::replace(&mut self.is_up, false) {
                        to_rib.push(RibMessage::Input(rib::Input::Down(self.id, retention)));
                    }
                }
                Output::Routes(events) => {
                    to_rib.push(RibMessage::Input(rib::Input::Routes(self.id, events)));
                }
                Output::Refresh(family) => {
                    to_rib.push(RibMessage::Input(rib::Input::Refresh(self.id, family)));
                }
            }
        }
        if self.owed > 0 && self.session.pending() < PENDING {
            let credits = std::mem::take(&mut self.owed);
            to_rib.push(RibMessage::Credit(self.id, credits));
        }
    }

    /// The streams that are open, each with what is to be written to it.
    pub(super) fn fill(&mut self) -> Vec<(u64, &mut Bytes)> {
        let mut filled = Vec::new();
        let conns = [Conn::Inbound, Conn::Outbound];
        for (conn, transport) in conns.into_iter().zip(&mut self.transports) {
            let Some(transport) = transport else { continue };
            if transport.out.is_empty() {
                transport.out = self.session.poll_transmit(conn).unwrap_or_default();
            }
            if !transport.out.is_empty() {
                filled.push((transport.stream, &mut transport.out));
            }
        }
        filled
    }

    /// Whether something will happen that no deadline announces: the answer to a
    /// dial.
    pub(super) fn awaits_network(&self) -> bool {
        self.is_dialling
    }

    /// Whether everything that was for the session has reached it, and what it wanted was taken.
    pub(super) fn is_drained(&mut self) -> bool {
        let written = self.transports.iter().flatten();
        let written = written.map(|transport| transport.out.len()).sum::<usize>();
        let is_told = self.inbox.poll_timeout().is_none();
        is_told
            && self.session.poll_output().is_none()
            && written == 0
            && self.session.pending() == 0
    }

    fn conn_of(&self, stream: u64) -> Option<Conn> {
        let conns = [Conn::Inbound, Conn::Outbound].into_iter();
        let mut transports = conns.zip(&self.transports);
        let held = |transport: &Option<Transport>| {
            transport.as_ref().is_some_and(|held| held.stream == stream)
        };
        let found = transports.find(|(_, transport)| held(transport));
        found.map(|(conn, _)| conn)
    }

    fn hang_up(&mut self, conn: Conn) -> Option<Wish> {
        let Transport { stream, out } = self.transports[conn as usize].take()?;
        let mut last = BytesMut::from(&out[..]);
        while let Some(bytes) = self.session.poll_transmit(conn) {
            last.extend_from_slice(&bytes);
        }
        Some(Wish::HangUp { stream, last })
    }

    fn judge(&mut self, reason: &DownReason) {
        match reason {
            DownReason::Sent(sent) | DownReason::Received(sent)
                if matches!(sent.code, 1 | 2 | 3 | 5) =>
            {
                self.complaints.push(format!("{:?}: {reason}", self.id));
            }
            DownReason::Sent(_)
            | DownReason::Received(_)
            | DownReason::Stopped(_)
            | DownReason::ConnectionLost
            | DownReason::DialFailed => {}
        }
    }
}

/// Takes from `out` what was written.
pub(super) fn written(out: &mut Bytes, count: usize) {
    out.advance(count);
}
