//! What goes into a [`Session`](super::Session) and what comes out.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Farewell;
use crate::route::{Retention, RouteEvent, SessionUp, Updates};
use crate::types::{Asn, Family, FamilySet, FirstAs, Role, RouterId};
use crate::wire::{Capability, Dialect, Fault, Notification};

/// What a session is told once, and again when the intent changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// Our AS toward this peer.
    pub local_asn: Asn,
    /// Our identifier.
    pub router_id: RouterId,
    /// The AS the peer must have.
    pub peer_asn: Asn,
    /// What the first AS of a path that it sends must be.
    pub first_as: FirstAs,
    /// Offered in OPEN, whole seconds: 0 or 3 and more (RFC 4271 §4.2).
    pub hold_time_secs: u16,
    /// Wait after the first failed attempt; doubles with each further one, with jitter.
    pub connect_retry: Duration,
    /// The longest that wait becomes.
    pub connect_retry_max: Duration,
    /// Whether we dial.
    pub mode: Mode,
    /// What we offer (RFC 4760 §8), in this order.
    pub families: FamilySet,
    /// Our own nexthop for IPv6 routes when the session runs over IPv4. Without it such routes are
    /// not sent.
    pub nexthop_v6: Option<Ipv6Addr>,
    /// Our own nexthop for IPv4 routes when the session runs over IPv6. Without it such routes are
    /// not sent.
    pub nexthop_v4: Option<std::net::Ipv4Addr>,
    /// Families whose several paths a prefix we take (RFC 7911).
    pub add_path_receive: FamilySet,
    /// Families of which we send several paths a prefix (RFC 7911).
    pub add_path_send: FamilySet,
    /// IPv4 prefixes may have an IPv6 nexthop (RFC 8950).
    pub extended_nexthop: FamilySet,
    /// Messages of up to 65535 octets are offered (RFC 8654).
    pub extended_messages: bool,
    /// A refresh is marked at both ends (RFC 7313).
    pub enhanced_refresh: bool,
    /// What we are to the peer (RFC 9234).
    pub role: Option<SessionRole>,
    /// `None`: graceful restart is not offered, and routes of a session that ends go at once.
    pub graceful_restart: Option<GracefulRestart>,
    /// How long the peer may take nothing of what we send (RFC 9687). `None`: the longer of 8
    /// minutes and twice the hold time.
    pub send_hold_time: Option<Duration>,
}

impl SessionConfig {
    /// A session with everything that RFC 4271 leaves open at its usual value: hold time 90 s,
    /// active, both families, route refresh, nothing else offered.
    #[must_use]
    pub fn new(local_asn: Asn, router_id: RouterId, peer_asn: Asn) -> Self {
        Self {
            local_asn,
            router_id,
            peer_asn,
            first_as: FirstAs::Enforced,
            hold_time_secs: 90,
            connect_retry: Duration::from_secs(5),
            connect_retry_max: Duration::from_secs(120),
            mode: Mode::Active,
            families: FamilySet::ALL,
            nexthop_v6: None,
            nexthop_v4: None,
            add_path_receive: FamilySet::EMPTY,
            add_path_send: FamilySet::EMPTY,
            extended_nexthop: FamilySet::EMPTY,
            extended_messages: false,
            enhanced_refresh: false,
            role: None,
            graceful_restart: None,
            send_hold_time: None,
        }
    }
}

/// The role capability (RFC 9234 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionRole {
    /// What we are.
    pub role: Role,
    /// A peer that names no role is refused.
    pub strict: bool,
}

/// What we offer of graceful restart (RFC 4724 §3, RFC 8538 §2, RFC 9494 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GracefulRestart {
    /// How long the peer keeps our paths when the session ends: at most 4095 s.
    pub restart_secs: u16,
    /// How long after that as paths of last resort: 24 bits. 0: not offered.
    pub long_lived_secs: u32,
    /// This is the first session since we started, and what an earlier run installed forwards.
    pub restarting: bool,
    /// Families whose forwarding went on while we restarted. Said of all families from the second
    /// session of a run on: between the two nothing but a session has ended.
    pub preserved: FamilySet,
}

/// Who opens the TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// We dial, and accept.
    Active,
    /// We only accept.
    Passive,
}

/// One of the two TCP connections that a session may hold at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Conn {
    /// The peer dialled.
    Inbound,
    /// We dialled.
    Outbound,
}

/// The only way in.
#[derive(Debug)]
pub enum Input<'a> {
    /// Run: dial or wait (RFC 4271 §8.1.2, events 1, 3 to 7).
    Start,
    /// Close in this way and stay closed until [`Input::Start`].
    Stop(Farewell),
    /// A new configuration. Restarts the session only if what was offered in OPEN changes, and
    /// not for `restarting` and `preserved` of [`GracefulRestart`] alone.
    Reconfigure(SessionConfig),
    /// A connection is there; `local` is the address of our end.
    Connected {
        /// Which one.
        conn: Conn,
        /// The address of our end.
        local: IpAddr,
    },
    /// The dial asked for by [`Output::Dial`] failed.
    DialFailed,
    /// Bytes that arrived.
    Bytes(Conn, &'a [u8]),
    /// The connection is gone, closed by the peer or by an error.
    Closed(Conn),
    /// UPDATEs for the peer, from the RIB. Ignored when not established: they are for this session
    /// and no other.
    Transmit(Updates),
    /// Ask the peer for its routes again (RFC 2918), if it can.
    RequestRefresh(Family),
    /// Whether what the peer sends is read: it is until said otherwise.
    Reading(Reading),
    /// A deadline may have passed.
    Timeout,
}

/// Whether what a peer sends is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Not for now: routes cannot be passed on. Hold timers stand still.
    Pauses,
    /// Again.
    GoesOn,
}

/// What the session wants done, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Open a connection to the peer. Answered by `Connected(Outbound)` or `DialFailed`.
    Dial,
    /// Send what `poll_transmit` still gives for this connection, then close it; or give up the
    /// dial that is under way. No further input about it is needed; bytes and a close that still
    /// arrive are ignored.
    Hangup(Conn),
    /// Established.
    Up(Negotiated),
    /// No longer established, or an attempt ended. Sent once per ended attempt. What the RIB
    /// keeps is only ever something after [`Output::Up`].
    Down(DownReason, Retention),
    /// Routes received.
    Routes(Vec<RouteEvent>),
    /// The peer asks for everything again (RFC 2918).
    Refresh(Family),
}

/// What both ends agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// The connection that survived.
    pub conn: Conn,
    /// The peer's identifier.
    pub router_id: RouterId,
    /// The lower offer; `None` when the session runs without timers.
    pub hold_time: Option<Duration>,
    /// Families both offered. IPv4 unicast alone when the peer offered none (RFC 4760 §8).
    pub families: FamilySet,
    /// How UPDATEs are read and written.
    pub dialect: Dialect,
    /// Our own nexthop by family, where there is one.
    pub nexthops: [Option<IpAddr>; Family::ALL.len()],
    /// The peer understands ROUTE-REFRESH.
    pub route_refresh: bool,
    /// Both mark the ends of a refresh (RFC 7313).
    pub enhanced_refresh: bool,
    /// What the peer said it is (RFC 9234).
    pub peer_role: Option<Role>,
    /// What the peer said of graceful restart; `None`: nothing, or we did not offer it.
    pub graceful_restart: Option<PeerRestart>,
}

impl Negotiated {
    /// What the RIB is told of it.
    #[must_use]
    pub fn session_up(&self) -> SessionUp {
        let preserved = self.graceful_restart.as_ref().map(|peer| peer.preserved);
        let kept = self
            .graceful_restart
            .iter()
            .flat_map(|peer| &peer.retention);
        let tells_end = self.graceful_restart.iter().any(|peer| !peer.restarting);
        SessionUp {
            router_id: self.router_id,
            dialect: self.dialect.clone(),
            nexthops: self.nexthops,
            enhanced_refresh: self.enhanced_refresh,
            preserved: preserved.unwrap_or_default(),
            tells_end: if tells_end {
                self.dialect.families
            } else {
                FamilySet::EMPTY
            },
            long_lived: kept
                .filter(|kept| !kept.long_lived.is_zero())
                .map(|kept| kept.family)
                .collect(),
        }
    }
}

/// What the peer said of graceful restart in its OPEN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerRestart {
    /// It has restarted (RFC 4724 §3, R).
    pub restarting: bool,
    /// A NOTIFICATION other than a hard reset ends the session gracefully too (RFC 8538 §2, N), by
    /// both.
    pub notification: bool,
    /// What is kept when the session ends.
    pub retention: Retention,
    /// Families whose forwarding it kept (F).
    pub preserved: FamilySet,
}

/// Why a session, or an attempt at one, ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// We stopped it.
    Stopped(Cease),
    /// We found a fault and told the peer.
    Sent(Notification),
    /// The peer told us.
    Received(Notification),
    /// TCP ended without a NOTIFICATION.
    ConnectionLost,
    /// TCP could not be opened.
    DialFailed,
}

/// Cease subcodes (RFC 4486 §4, RFC 8538 §3, RFC 9384 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Cease {
    /// 1.
    MaximumPrefixes = 1,
    /// 2.
    AdministrativeShutdown = 2,
    /// 3.
    PeerDeconfigured = 3,
    /// 4.
    AdministrativeReset = 4,
    /// 5.
    ConnectionRejected = 5,
    /// 6.
    OtherConfigurationChange = 6,
    /// 7.
    ConnectionCollision = 7,
    /// 8.
    OutOfResources = 8,
    /// 10. Sent when the link below the session is found dead.
    BfdDown = 10,
}

/// The state of a session as operators know it: that of its most advanced connection
/// (RFC 4271 §8.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Not trying: stopped, or waiting to try again.
    Idle,
    /// A dial is under way.
    Connect,
    /// Waiting for a connection.
    Active,
    /// OPEN sent.
    OpenSent,
    /// OPEN received and answered.
    OpenConfirm,
    /// Routes flow.
    Established,
}

/// A snapshot for API and metrics.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionStatus {
    /// The state now.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// What was agreed on, when established.
    pub negotiated: Option<Negotiated>,
    /// Why the last established session ended.
    pub last_down: Option<DownReason>,
    /// Why the last attempt to establish one failed; `None` once one has succeeded.
    pub last_attempt: Option<DownReason>,
    /// The capabilities of our last OPEN.
    pub offered: Arc<[Capability]>,
    /// Those of the peer's last OPEN, even if it was refused.
    pub received: Arc<[Capability]>,
    /// How long the peer may take nothing (RFC 9687); when established.
    pub send_hold_time: Option<Duration>,
    /// Since when something waits that the peer does not take.
    pub send_blocked_since: Option<Instant>,
    /// How often it was established.
    pub established_count: u64,
    /// Messages by type and direction.
    pub messages: Messages,
    /// UPDATEs with a fault, by what RFC 7606 did with them.
    pub update_errors: UpdateErrors,
    /// The latest fault of an UPDATE, for the log.
    pub last_fault: Option<Fault>,
    /// Octets of UPDATEs waiting to be sent.
    pub pending: usize,
}

/// Counters of messages, one field a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageCounts {
    /// Type 1.
    pub open: u64,
    /// Type 2.
    pub update: u64,
    /// Type 3.
    pub notification: u64,
    /// Type 4.
    pub keepalive: u64,
    /// Type 5.
    pub route_refresh: u64,
}

/// Both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Messages {
    /// From the peer.
    pub received: MessageCounts,
    /// To the peer.
    pub sent: MessageCounts,
}

/// UPDATEs with a fault, by their severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UpdateErrors {
    /// A prefix that means nothing was ignored.
    pub prefix_discard: u64,
    /// An attribute was dropped.
    pub attribute_discard: u64,
    /// The prefixes were treated as withdrawn.
    pub treat_as_withdraw: u64,
    /// The session was reset.
    pub session_reset: u64,
}
