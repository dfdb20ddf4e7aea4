//! The session with one peer (RFC 4271 §8): both TCP connections, collision, timers, framing, and
//! the outbox.
//!
//! **Incoming.** Bytes of a connection are cut into messages, and each is judged by the state of
//! that connection: OpenSent waits for an OPEN, OpenConfirm for a KEEPALIVE, Established takes
//! everything else. UPDATEs become [`RouteEvent`]s at once; what RFC 7606 does with a fault is
//! counted.
//!
//! **Outgoing.** The RIB encodes UPDATEs once for all peers that are told the same; what is handed
//! over with [`Input::Transmit`] waits in the outbox until [`Session::poll_transmit`] takes it, a
//! run of whole messages at a time. Control messages always leave before it.
//!
//! **Failure.** Whatever ends the last connection ends the attempt: [`Output::Down`], a wait with
//! backoff and jitter, and the next attempt. A session that was established is tried again sooner
//! once. While waiting, a connection that the peer opens is taken, unless the last one broke the
//! protocol: then it is refused until the wait is over.
//!
//! **Collision.** When an OPEN comes while there is another connection, the one that the lower end
//! dialled is closed, whether the other is in OpenConfirm or OpenSent (RFC 4271 §6.8, RFC 6286). A
//! connection that comes while the other is established is refused, even if the peer has restarted and the established one is half open: the hold timer
//! ends that. Where graceful restart was agreed on, a connection that the peer opens takes the place
//! of the established one instead, which counts as lost (RFC 4724 §4.2). There is one connection of
//! each name at a time: the owner of the sockets asks [`Session::is_replaced_by`] before it lets a
//! second one take the place of the first. Should it report one all the same, the older counts as
//! lost.
//!
//! **Routes that outlive a session.** With [`Output::Down`] goes what the RIB keeps of it. That is
//! something only where graceful restart was agreed on, and the session ended because TCP failed,
//! or by a NOTIFICATION of either side if both know that it need not be the end, but not a hard
//! reset (RFC 4724 §4.2, RFC 8538 §4). When we end it ourselves, the [`Farewell`] says; a link that
//! was found dead keeps nothing, since what it leads to cannot be reached.
//!
//! **A peer that takes nothing.** Whoever owns the socket asks for bytes as soon as the last ones
//! have left. If it does not ask while something waits, the peer is stuck, and the send hold timer
//! ends the session (RFC 9687). A KEEPALIVE waits sooner or later, so a hold time of zero is the
//! only case in which that can take longer than the two timers together.

mod attempt;
mod collision;
mod conn;
mod farewell;
mod interface;
mod message;
mod negotiate;
mod offer;
mod reading;
mod reason;
mod send_hold;
mod timers;
mod transmit;
mod transport;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

pub use farewell::Farewell;
pub use interface::{
    Cease, Conn, DownReason, GracefulRestart, Input, MessageCounts, Messages, Mode, Negotiated,
    Output, PeerRestart, Reading, SessionConfig, SessionRole, SessionStatus, State, UpdateErrors,
};

use crate::route::RouteEvent;
use crate::types::Family;
use crate::wire::{Capability, Fault, Notification};
use conn::{Connection, Due, Outgoing, Stage};
use timers::{Jitter, Timer};
use transmit::Outbox;

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
/// # fn send(_: Conn, _: bytes::Bytes) {}
/// # fn wait(_: Option<Instant>) -> Input<'static> { Input::Timeout }
/// # fn run(mut session: Session) {
/// # let mut buf = bytes::BytesMut::new();
/// loop {
///     while let Some(output) = session.poll_output() {
///         perform(output); // dial, hang up, tell the RIB
///     }
///     for conn in [Conn::Inbound, Conn::Outbound] {
///         if let Some(bytes) = session.poll_transmit(conn) {
///             send(conn, bytes); // only when what was taken before has left
///         }
///     }
///     let input = wait(session.poll_timeout());
///     session.handle(input, Instant::now());
/// }
/// # }
/// ```
///
/// `poll_transmit` may be called at any time, as often as there is room; it never changes what
/// `poll_output` gives, and makes nothing due earlier. A timeout that comes early does nothing.
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
    /// Since when what the peer sends is not read.
    paused_at: Option<Instant>,
    /// What the peer of the established session, or of the one that is just ending, said of
    /// graceful restart.
    peer_restart: Option<PeerRestart>,
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
    last_attempt: Option<DownReason>,
    offered: Arc<[Capability]>,
    received: Arc<[Capability]>,
    established: u64,
    messages: Messages,
    update_errors: UpdateErrors,
    last_fault: Option<Fault>,
}

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
            paused_at: None,
            peer_restart: None,
            jitter: Jitter::new(seed),
            outputs: VecDeque::new(),
            routes: Vec::new(),
            faults: Vec::new(),
            counters: Counters {
                state: State::Idle,
                since: now,
                last_down: None,
                last_attempt: None,
                offered: Arc::default(),
                received: Arc::default(),
                established: 0,
                messages: Messages::default(),
                update_errors: UpdateErrors::default(),
                last_fault: None,
            },
        }
    }

    /// The only way in. `now` must not go back.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Start => self.on_start(),
            Input::Stop(farewell) => self.on_stop(&farewell, now),
            Input::Reconfigure(config) => self.on_reconfigure(config, now),
            Input::Connected { conn, local } => self.on_connected(conn, local, now),
            Input::DialFailed => self.on_dial_failed(now),
            Input::Bytes(conn, bytes) => self.on_bytes(conn, bytes, now),
            Input::Closed(conn) => self.on_closed(conn, now),
            Input::Transmit(updates) => self.on_transmit(updates),
            Input::RequestRefresh(family) => self.on_request_refresh(family),
            Input::Reading(reading) => self.on_reading(reading, now),
            Input::Timeout => self.on_timeout(now),
        }
        self.flush_routes();
        self.watch_sending(now);
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

    /// When to send [`Input::Timeout`]; `None` while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connections
            .iter()
            .flatten()
            .filter_map(|connection| match self.paused_at {
                Some(_) => connection.timers.next_but(Timer::Hold),
                None => connection.timers.next(),
            })
            .chain(self.retry_at)
            .min()
    }

    /// A snapshot for API and metrics.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        SessionStatus {
            state: self.counters.state,
            since: self.counters.since,
            negotiated: self.established().map(|(_, negotiated)| negotiated.clone()),
            last_down: self.counters.last_down.clone(),
            last_attempt: self.counters.last_attempt.clone(),
            offered: Arc::clone(&self.counters.offered),
            received: Arc::clone(&self.counters.received),
            send_hold_time: self
                .established()
                .map(|(_, peer)| self.send_hold_time(peer)),
            send_blocked_since: self.send_blocked_since(),
            established_count: self.counters.established,
            messages: self.counters.messages,
            update_errors: self.counters.update_errors,
            last_fault: self.counters.last_fault,
            pending: self.pending(),
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
            let is_read = self.paused_at.is_none();
            if is_read && connection.timers.is_due(Timer::Hold, now) {
                self.fail(conn, Notification::HOLD_TIMER_EXPIRED, now);
            } else if connection.timers.is_due(Timer::SendHold, now) {
                self.fail(conn, Notification::SEND_HOLD_TIMER_EXPIRED, now);
            } else if connection.timers.is_due(Timer::Keepalive, now) {
                connection.restart_keepalive(now, &mut self.jitter);
                self.outgoing[conn as usize].keepalive = Due::Yes;
            }
        }
    }

    fn state(&self) -> State {
        let connected = self.connections.iter().flatten().map(Connection::state);
        connected.max().unwrap_or(match (self.phase, self.dial) {
            (Phase::Stopped | Phase::Waiting, _) => State::Idle,
            (Phase::Trying, Due::Yes) => State::Connect,
            (Phase::Trying, Due::No) => State::Active,
        })
    }

    fn established(&self) -> Option<(Conn, &Negotiated)> {
        [Conn::Inbound, Conn::Outbound]
            .into_iter()
            .find_map(
                |conn| match &self.connections[conn as usize].as_ref()?.stage {
                    Stage::Established(negotiated) => Some((conn, &**negotiated)),
                    Stage::OpenSent | Stage::OpenConfirm(_) => None,
                },
            )
    }

    /// The established session, if `family` is part of it.
    fn established_with(&self, family: Family) -> Option<(Conn, &Negotiated)> {
        self.established()
            .filter(|(_, negotiated)| negotiated.families.contains(family))
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
