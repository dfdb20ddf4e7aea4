//! The session with one peer (RFC 4271 §8): both TCP connections, collision, timers, framing, and
//! the outbox.
//!
//! **Incoming.** Bytes of a connection are cut into messages, and each is judged by the state of
//! that connection: OpenSent waits for an OPEN, OpenConfirm for a KEEPALIVE, Established takes
//! everything else. UPDATEs become [`RouteEvent`]s at once; what RFC 7606 does with a fault is
//! counted.
//!
//! **Outgoing.** Changes handed over with [`Input::Advertise`] wait in the outbox, the latest per
//! prefix, and are packed into UPDATEs when [`Session::poll_transmit`] is called. Control messages
//! always leave before them.
//!
//! **Failure.** Whatever ends the last connection ends the attempt: [`Output::Down`], a wait with
//! backoff and jitter, and the next attempt. A session that was established is tried again sooner
//! once. While waiting, a connection that the peer opens is taken, unless the last one broke the
//! protocol: then it is refused until the wait is over.
//!
//! **Collision.** When both connections reach OpenConfirm, the one that the lower end dialled is
//! closed (RFC 4271 §6.8, RFC 6286). A connection that comes while the other is established is
//! refused, even if the peer has restarted and the established one is half open: the hold timer
//! ends that. There is one connection of each name at a time: the owner of the sockets refuses a
//! second inbound connection while it has one. Should it report one all the same, it has replaced
//! the older, which counts as lost.

mod collision;
mod conn;
mod interface;
mod negotiate;
mod outbox;
mod reason;
mod timers;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use bytes::BytesMut;

pub use interface::{
    Cease, Conn, DownReason, Input, MessageCounts, Messages, Mode, Negotiated, Output,
    SessionConfig, SessionStatus, State, UpdateErrors,
};

use crate::types::{Delta, Family, RouteEvent};
use crate::wire::{
    Fault, Frame, MessageKind, Notification, Open, RouteRefresh, Severity, decode_update,
};
use collision::End;
use conn::{Agreement, Connection, Due, Outgoing, Stage};
use outbox::{Outbox, Target};
use timers::{Jitter, Timer};

/// Everything we hold with one peer. A machine: it has no clock, no socket, and never fails.
///
/// **Mutate, drain, wait.** After [`handle`](Self::handle), call
/// [`poll_output`](Self::poll_output) until it gives `None`, then offer both connections a chance
/// to send, then sleep until bytes arrive, an input comes, or
/// [`poll_timeout`](Self::poll_timeout) passes:
///
/// ```no_run
/// # use std::time::Instant;
/// # use bgp::session::{Conn, Input, Output, Session};
/// # fn perform(_: Output) {}
/// # fn send(_: Conn, _: &mut bytes::BytesMut) {}
/// # fn wait(_: Option<Instant>) -> Input<'static> { Input::Timeout }
/// # fn run(mut session: Session) {
/// # let mut buf = bytes::BytesMut::new();
/// loop {
///     while let Some(output) = session.poll_output() {
///         perform(output); // dial, hang up, tell the RIB
///     }
///     for conn in [Conn::Inbound, Conn::Outbound] {
///         if session.poll_transmit(conn, &mut buf) > 0 {
///             send(conn, &mut buf); // only when what was taken before has left
///         }
///     }
///     let input = wait(session.poll_timeout());
///     session.handle(input, Instant::now());
/// }
/// # }
/// ```
///
/// `poll_transmit` may be called at any time, as often as there is room; it never changes what
/// `poll_output` or `poll_timeout` give. A timeout that comes early does nothing.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    phase: Phase,
    /// A dial was asked for and is not answered yet.
    dial: Due,
    connections: [Option<Connection>; 2],
    outgoing: [Outgoing; 2],
    outbox: Outbox,
    retry_at: Option<Instant>,
    /// Inbound connections are refused until then: the peer broke the protocol.
    refuse_until: Option<Instant>,
    /// Attempts that failed since a session was last stable.
    failures: u32,
    established_at: Option<Instant>,
    jitter: Jitter,
    outputs: VecDeque<Output>,
    routes: Vec<RouteEvent>,
    faults: Vec<Fault>,
    counters: Counters,
}

/// What the session is trying, as far as the connections do not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Stopped,
    /// Until `retry_at`.
    Waiting,
    Trying,
}

#[derive(Debug)]
struct Counters {
    state: State,
    since: Instant,
    last_down: Option<DownReason>,
    established: u64,
    messages: Messages,
    update_errors: UpdateErrors,
    last_fault: Option<Fault>,
    unsendable: u64,
}

/// [`Session::poll_transmit`] stops once the buffer holds this much.
const TRANSMIT_LIMIT: usize = 64 * 1024;

/// Events in one [`Output::Routes`], about; a message may add a few more.
const ROUTES_LIMIT: usize = 512;

impl Session {
    /// A session that is stopped. `seed` spreads its timers.
    #[must_use]
    pub fn new(config: SessionConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            phase: Phase::Stopped,
            dial: Due::No,
            connections: [None, None],
            outgoing: [Outgoing::default(), Outgoing::default()],
            outbox: Outbox::default(),
            retry_at: None,
            refuse_until: None,
            failures: 0,
            established_at: None,
            jitter: Jitter::new(seed),
            outputs: VecDeque::new(),
            routes: Vec::new(),
            faults: Vec::new(),
            counters: Counters {
                state: State::Idle,
                since: now,
                last_down: None,
                established: 0,
                messages: Messages::default(),
                update_errors: UpdateErrors::default(),
                last_fault: None,
                unsendable: 0,
            },
        }
    }

    /// The only way in. `now` must not go back.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Start => self.on_start(),
            Input::Stop(cease) => self.on_stop(cease, now),
            Input::Reconfigure(config) => self.on_reconfigure(config, now),
            Input::Connected { conn, local } => self.on_connected(conn, local, now),
            Input::DialFailed => self.on_dial_failed(now),
            Input::Bytes(conn, bytes) => self.on_bytes(conn, bytes, now),
            Input::Closed(conn) => self.on_closed(conn, now),
            Input::Advertise(deltas) => self.on_advertise(deltas),
            Input::EndOfRib(family) => self.on_end_of_rib(family),
            Input::RequestRefresh(family) => self.on_request_refresh(family),
            Input::Timeout => self.on_timeout(now),
        }
        self.flush_routes();
        let state = self.state();
        if state != self.counters.state {
            self.counters.state = state;
            self.counters.since = now;
        }
    }

    /// What is to be done next; `None` until the next [`handle`](Self::handle).
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Appends bytes to send on `conn` and tells how many; 0 when there is nothing. Stops once
    /// `buf` holds 64 KiB, so a peer that reads slowly leaves the rest in the outbox.
    pub fn poll_transmit(&mut self, conn: Conn, buf: &mut BytesMut) -> usize {
        let before = buf.len();
        let flushed = self.outgoing[conn as usize].flush(buf);
        self.counters.messages.sent.keepalive += flushed.keepalives;
        self.counters.messages.sent.route_refresh += flushed.refreshes;
        if let Some(Connection {
            stage: Stage::Established(agreement),
            local,
            ..
        }) = &self.connections[conn as usize]
        {
            let target = Target {
                dialect: &agreement.dialect,
                nexthops: own_nexthops(&self.config, *local),
            };
            let drained = self.outbox.drain(&target, buf, TRANSMIT_LIMIT);
            self.counters.messages.sent.update += drained.updates;
            self.counters.unsendable += drained.unsendable;
        }
        buf.len() - before
    }

    /// When to send [`Input::Timeout`]; `None` while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connections
            .iter()
            .flatten()
            .filter_map(|connection| connection.timers.next())
            .chain(self.retry_at)
            .min()
    }

    /// A snapshot for API and metrics.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        SessionStatus {
            state: self.counters.state,
            since: self.counters.since,
            negotiated: self
                .established()
                .map(|(_, agreement)| agreement.negotiated.clone()),
            last_down: self.counters.last_down.clone(),
            established_count: self.counters.established,
            messages: self.counters.messages,
            update_errors: self.counters.update_errors,
            last_fault: self.counters.last_fault,
            unsendable: self.counters.unsendable,
            pending: self.pending(),
        }
    }

    /// Prefixes in the outbox. Above a threshold of its own the owner stops taking more from the
    /// RIB.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    fn state(&self) -> State {
        let connected = self.connections.iter().flatten().map(Connection::state);
        connected.max().unwrap_or(match (self.phase, self.dial) {
            (Phase::Stopped | Phase::Waiting, _) => State::Idle,
            (Phase::Trying, Due::Yes) => State::Connect,
            (Phase::Trying, Due::No) => State::Active,
        })
    }

    fn established(&self) -> Option<(Conn, &Agreement)> {
        [Conn::Inbound, Conn::Outbound]
            .into_iter()
            .find_map(
                |conn| match &self.connections[conn as usize].as_ref()?.stage {
                    Stage::Established(agreement) => Some((conn, agreement)),
                    Stage::OpenSent | Stage::OpenConfirm(_) => None,
                },
            )
    }

    /// The established session's agreement, if `family` is part of it.
    fn established_with(&self, family: Family) -> Option<(Conn, &Agreement)> {
        self.established()
            .filter(|(_, agreement)| agreement.negotiated.families.contains(&family))
    }

    fn output(&mut self, output: Output) {
        self.flush_routes();
        self.outputs.push_back(output);
    }

    fn flush_routes(&mut self) {
        if !self.routes.is_empty() {
            let routes = std::mem::take(&mut self.routes);
            self.outputs.push_back(Output::Routes(routes));
        }
    }
}

// Intent.
impl Session {
    fn on_start(&mut self) {
        match self.phase {
            Phase::Stopped => self.failures = 0,
            Phase::Waiting => {}
            Phase::Trying => return,
        }
        self.refuse_until = None;
        self.attempt();
    }

    fn on_stop(&mut self, cease: Cease, now: Instant) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.end_attempt(cease, now);
        self.phase = Phase::Stopped;
        self.retry_at = None;
        self.refuse_until = None;
    }

    fn on_reconfigure(&mut self, config: SessionConfig, now: Instant) {
        let old = std::mem::replace(&mut self.config, config);
        let offer =
            |config: &SessionConfig| (negotiate::offer(config), config.peer_asn, config.mode);
        if self.phase == Phase::Stopped || offer(&old) == offer(&self.config) {
            return;
        }
        self.end_attempt(Cease::OtherConfigurationChange, now);
        self.failures = 0;
        self.refuse_until = None;
        let wait = self.jitter.scale(self.config.connect_retry, 0.0);
        self.wait_until(now + wait);
    }

    /// Sends a Cease on every connection and ends it, and the attempt if there is one.
    fn end_attempt(&mut self, cease: Cease, now: Instant) {
        for conn in [Conn::Inbound, Conn::Outbound] {
            if self.connections[conn as usize].is_some() {
                self.hang_up(conn, Some(&Notification::cease(cease)));
            }
        }
        if self.phase == Phase::Trying {
            self.down(DownReason::Stopped(cease), now);
        }
        self.established_at = None;
    }

    /// Dials, or waits for the peer to.
    fn attempt(&mut self) {
        self.phase = Phase::Trying;
        self.retry_at = None;
        if self.config.mode == Mode::Active && self.dial == Due::No {
            self.dial = Due::Yes;
            self.output(Output::Dial);
        }
    }

    fn wait_until(&mut self, deadline: Instant) {
        self.phase = Phase::Waiting;
        self.retry_at = Some(deadline);
    }
}

// Transport.
impl Session {
    fn on_connected(&mut self, conn: Conn, local: IpAddr, now: Instant) {
        if conn == Conn::Outbound {
            self.dial = Due::No;
        }
        if self.connections[conn as usize].is_some() {
            self.on_closed(conn, now);
        }
        self.outgoing[conn as usize].clear();
        if let Some(cease) = self.refusal(conn, now) {
            self.hang_up(conn, Some(&Notification::cease(cease)));
            self.ensure_progress(now);
            return;
        }
        self.phase = Phase::Trying;
        self.retry_at = None;
        self.connections[conn as usize] = Some(Connection::new(local, now));
        let open = negotiate::offer(&self.config);
        open.encode(&mut self.outgoing[conn as usize].bytes);
        self.counters.messages.sent.open += 1;
    }

    /// Why a connection that just opened is not wanted.
    fn refusal(&self, conn: Conn, now: Instant) -> Option<Cease> {
        let is_refusing = self.refuse_until.is_some_and(|until| now < until);
        if self.established().is_some() {
            Some(Cease::ConnectionCollision)
        } else if self.phase == Phase::Stopped || (conn == Conn::Inbound && is_refusing) {
            Some(Cease::ConnectionRejected)
        } else {
            None
        }
    }

    /// A session that tries has a connection, a dial or a peer to wait for; one that only
    /// accepts is content to wait.
    fn ensure_progress(&mut self, now: Instant) {
        let is_idle = self.phase == Phase::Trying
            && self.connections.iter().all(Option::is_none)
            && self.dial == Due::No;
        if is_idle && self.config.mode == Mode::Active {
            self.retry_later(now);
        }
    }

    fn on_dial_failed(&mut self, now: Instant) {
        if std::mem::take(&mut self.dial) == Due::Yes && self.phase == Phase::Trying {
            self.attempt_ended(DownReason::DialFailed, now);
        }
    }

    fn on_closed(&mut self, conn: Conn, now: Instant) {
        self.outgoing[conn as usize].clear();
        if self.connections[conn as usize].take().is_some() {
            self.attempt_ended(DownReason::ConnectionLost, now);
        }
    }

    fn on_bytes(&mut self, conn: Conn, mut bytes: &[u8], now: Instant) {
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let mut frames = std::mem::take(&mut connection.frames);
        while let Some(frame) = frames.next(&mut bytes) {
            match frame {
                Ok(frame) => self.on_message(conn, frame, now),
                Err(notification) => self.fail(conn, notification, now),
            }
            if self.connections[conn as usize].is_none() {
                return;
            }
        }
        if let Some(connection) = &mut self.connections[conn as usize] {
            connection.frames = frames;
        }
    }

    /// Sends `notification` and ends the connection.
    fn fail(&mut self, conn: Conn, notification: Notification, now: Instant) {
        self.hang_up(conn, Some(&notification));
        self.attempt_ended(DownReason::Sent(notification), now);
    }

    /// Ends the connection after a last message, if there is one.
    fn hang_up(&mut self, conn: Conn, last: Option<&Notification>) {
        self.connections[conn as usize] = None;
        let outgoing = &mut self.outgoing[conn as usize];
        outgoing.keepalive = Due::No;
        outgoing.refresh = Default::default();
        match last {
            Some(notification) => {
                notification.encode(&mut outgoing.bytes);
                self.counters.messages.sent.notification += 1;
            }
            None => outgoing.clear(),
        }
        self.output(Output::Hangup(conn));
    }

    /// A connection or dial has ended. The attempt has too unless the other connection lives.
    fn attempt_ended(&mut self, reason: DownReason, now: Instant) {
        if self.connections.iter().any(Option::is_some) {
            return;
        }
        let broke_protocol =
            matches!(&reason, DownReason::Sent(sent) if matches!(sent.code, 1 | 2 | 3 | 5));
        self.down(reason, now);
        let deadline = self.retry_later(now);
        if broke_protocol {
            self.refuse_until = Some(deadline);
        }
    }

    fn down(&mut self, reason: DownReason, now: Instant) {
        self.outbox.clear();
        self.counters.last_down = Some(reason.clone());
        if let Some(since) = self.established_at {
            let stable = self.config.connect_retry_max;
            if now.saturating_duration_since(since) >= stable {
                self.failures = 0;
            }
        }
        self.output(Output::Down(reason));
    }

    /// Waits before the next attempt, unless a dial is still under way, and tells until when.
    fn retry_later(&mut self, now: Instant) -> Instant {
        let was_established = self.established_at.take().is_some();
        let wait = if was_established && self.failures == 0 {
            self.jitter.scale(self.config.connect_retry, 0.0)
        } else {
            let failures = self.failures + u32::from(!was_established);
            let most = self.config.connect_retry_max;
            let wait = timers::backoff(failures, self.config.connect_retry, most);
            self.jitter.scale(wait, 0.75)
        };
        self.failures = self.failures.saturating_add(1);
        if self.dial == Due::No {
            self.wait_until(now + wait);
        }
        now + wait
    }
}

// Messages.
impl Session {
    fn on_message(&mut self, conn: Conn, frame: Frame<'_>, now: Instant) {
        count(&mut self.counters.messages.received, frame.kind);
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let state = connection.state();
        if state == State::Established {
            connection.restart_hold(now);
        }
        match (state, frame.kind) {
            (_, MessageKind::Notification) => self.on_notification(conn, frame.body, now),
            (State::OpenSent, MessageKind::Open) => self.on_open(conn, frame.body, now),
            (State::OpenConfirm, MessageKind::Keepalive) => self.on_established(conn, now),
            (State::Established, MessageKind::Keepalive) => {}
            (State::Established, MessageKind::Update) => self.on_update(conn, frame.body, now),
            (State::Established, MessageKind::RouteRefresh) => self.on_route_refresh(frame.body),
            (State::OpenSent, _) => self.unexpected(conn, 1, frame.kind, now),
            (State::OpenConfirm, _) => self.unexpected(conn, 2, frame.kind, now),
            (State::Established | State::Idle | State::Connect | State::Active, _) => {
                self.unexpected(conn, 3, frame.kind, now);
            }
        }
    }

    /// RFC 6608: the subcode names the state, the data the type of the message.
    fn unexpected(&mut self, conn: Conn, subcode: u8, kind: MessageKind, now: Instant) {
        let notification = Notification::new(5, subcode, &[kind as u8]);
        self.fail(conn, notification, now);
    }

    fn on_notification(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(notification) = Notification::decode(body) else {
            return;
        };
        self.hang_up(conn, None);
        self.attempt_ended(DownReason::Received(notification), now);
    }

    fn on_open(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let negotiated =
            Open::decode(body).and_then(|open| negotiate::negotiate(&self.config, &open, conn));
        let negotiated = match negotiated {
            Ok(negotiated) => negotiated,
            Err(notification) => return self.fail(conn, notification, now),
        };
        if self.collides(conn, &negotiated) {
            return;
        }
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        connection.stage = Stage::OpenConfirm(Agreement {
            dialect: negotiate::dialect(&self.config, &negotiated),
            negotiated,
        });
        connection.restart_hold(now);
        connection.restart_keepalive(now, &mut self.jitter);
        self.outgoing[conn as usize].keepalive = Due::Yes;
    }

    /// Resolves a collision with the other connection; `true` when it was this one that had to go.
    fn collides(&mut self, conn: Conn, negotiated: &Negotiated) -> bool {
        let other = match conn {
            Conn::Inbound => Conn::Outbound,
            Conn::Outbound => Conn::Inbound,
        };
        let is_confirmed = self.connections[other as usize]
            .as_ref()
            .is_some_and(|connection| connection.state() == State::OpenConfirm);
        if !is_confirmed {
            return false;
        }
        let ours = End {
            router_id: self.config.router_id,
            asn: self.config.local_asn,
        };
        let theirs = End {
            router_id: negotiated.router_id,
            asn: self.config.peer_asn,
        };
        let loser = collision::loser(ours, theirs);
        let cease = Notification::cease(Cease::ConnectionCollision);
        self.hang_up(loser, Some(&cease));
        loser == conn
    }

    fn on_established(&mut self, conn: Conn, now: Instant) {
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let Stage::OpenConfirm(agreement) =
            std::mem::replace(&mut connection.stage, Stage::OpenSent)
        else {
            return;
        };
        let negotiated = agreement.negotiated.clone();
        connection.stage = Stage::Established(agreement);
        connection.restart_hold(now);
        let cease = Notification::cease(Cease::ConnectionCollision);
        for other in [Conn::Inbound, Conn::Outbound] {
            if other != conn && self.connections[other as usize].is_some() {
                self.hang_up(other, Some(&cease));
            }
        }
        self.established_at = Some(now);
        self.refuse_until = None;
        self.counters.established += 1;
        self.output(Output::Up(negotiated));
    }

    fn on_update(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(Connection {
            stage: Stage::Established(agreement),
            ..
        }) = &self.connections[conn as usize]
        else {
            return;
        };
        self.faults.clear();
        let decoded = decode_update(body, &agreement.dialect, &mut self.routes, &mut self.faults);
        self.count_faults();
        match decoded {
            Ok(()) if self.routes.len() >= ROUTES_LIMIT => self.flush_routes(),
            Ok(()) => {}
            Err(notification) => self.fail(conn, notification, now),
        }
    }

    /// An UPDATE counts once, by its worst fault.
    fn count_faults(&mut self) {
        let Some(worst) = self.faults.iter().max_by_key(|fault| fault.severity) else {
            return;
        };
        let errors = &mut self.counters.update_errors;
        match worst.severity {
            Severity::AttributeDiscard => errors.attribute_discard += 1,
            Severity::TreatAsWithdraw => errors.treat_as_withdraw += 1,
            Severity::SessionReset => errors.session_reset += 1,
        }
        self.counters.last_fault = Some(*worst);
    }

    /// Unknown subtypes and families that were not agreed on are ignored (RFC 2918 §4,
    /// RFC 7313 §5).
    fn on_route_refresh(&mut self, body: &[u8]) {
        let family = RouteRefresh::decode(body)
            .filter(|refresh| refresh.subtype == 0)
            .and_then(|refresh| Family::from_afi_safi(refresh.afi, refresh.safi))
            .filter(|family| self.established_with(*family).is_some());
        if let Some(family) = family
            && self.outputs.back() != Some(&Output::Refresh(family))
        {
            self.output(Output::Refresh(family));
        }
    }
}

// Routes and time.
impl Session {
    fn on_advertise(&mut self, deltas: Vec<Delta>) {
        let Some((_, agreement)) = self.established() else {
            return;
        };
        let families = agreement.negotiated.families.clone();
        for delta in deltas {
            if families.contains(&Family::of(&delta.prefix)) {
                self.outbox.push(delta);
            }
        }
    }

    fn on_end_of_rib(&mut self, family: Family) {
        if self.established_with(family).is_some() {
            self.outbox.end_of_rib(family);
        }
    }

    fn on_request_refresh(&mut self, family: Family) {
        if let Some((conn, agreement)) = self.established_with(family)
            && agreement.negotiated.route_refresh
        {
            self.outgoing[conn as usize].refresh[family as usize] = Due::Yes;
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|deadline| deadline <= now) {
            self.attempt();
        }
        for conn in [Conn::Inbound, Conn::Outbound] {
            let Some(connection) = &mut self.connections[conn as usize] else {
                continue;
            };
            if connection.timers.is_due(Timer::Hold, now) {
                self.fail(conn, Notification::HOLD_TIMER_EXPIRED, now);
            } else if connection.timers.is_due(Timer::Keepalive, now) {
                connection.restart_keepalive(now, &mut self.jitter);
                self.outgoing[conn as usize].keepalive = Due::Yes;
            }
        }
    }
}

/// The address of our own end for its family, the configured one for the other.
fn own_nexthops(config: &SessionConfig, local: IpAddr) -> [Option<IpAddr>; 2] {
    let mut nexthops = [
        config.nexthop_v4.map(IpAddr::V4),
        config.nexthop_v6.map(IpAddr::V6),
    ];
    match local.to_canonical() {
        IpAddr::V4(local) => nexthops[Family::Ipv4Unicast as usize] = Some(local.into()),
        IpAddr::V6(local) => nexthops[Family::Ipv6Unicast as usize] = Some(local.into()),
    }
    nexthops
}

fn count(counts: &mut MessageCounts, kind: MessageKind) {
    let count = match kind {
        MessageKind::Open => &mut counts.open,
        MessageKind::Update => &mut counts.update,
        MessageKind::Notification => &mut counts.notification,
        MessageKind::Keepalive => &mut counts.keepalive,
        MessageKind::RouteRefresh => &mut counts.route_refresh,
    };
    *count += 1;
}
