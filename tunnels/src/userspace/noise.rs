//! The WireGuard protocol of one peer, on boringtun's `Tunn`, with its sharp edges guarded.
//!
//! - `Tunn` panics when an output buffer is too small: [`Noise`] checks before every call.
//! - It rekeys only when data flows, so a quiet tunnel loses its session at 180 s and both ends
//!   then start handshakes over each other: here the initiator rekeys at 120 s in any case.
//! - It gives up after 90 s without an answer until there is data: here it starts again.
//! - A packet queued before a session exists makes a responder start a handshake of its own:
//!   here the queue is only drained into a session.

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use boringtun::{
    noise::{Tunn, TunnResult, errors::WireGuardError},
    x25519::{PublicKey, StaticSecret},
};

use super::counters::Counters;
use crate::spec::{HANDSHAKE_FRESH, WireGuardPeer, WireGuardSpec};

/// Every buffer that a packet is written to has this size: the largest IP packet, and overhead.
pub(super) const BUFFER: usize = 65_535 + OVERHEAD + 1;
/// What a data message adds to the packet inside.
pub(super) const OVERHEAD: usize = 32;
/// REKEY_AFTER_TIME.
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// REKEY_TIMEOUT.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// An unknown session's packet may cause one handshake this often.
const HINT_EVERY: Duration = Duration::from_secs(1);
/// The longest handshake message.
const HANDSHAKE_LENGTH: usize = 148;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 4;

/// What a received datagram asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Received {
    /// Nothing: it was a keepalive, or it was not for us.
    Nothing,
    /// Send so many bytes of the output buffer to where the datagram came from.
    Reply(usize),
    /// So many bytes of the output buffer are an IP packet from inside.
    Packet(usize),
}

/// Why handshakes fail, as far as the messages tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// It was made for another public key than ours.
    MeantForAnother(SocketAddr),
    /// It was made with another key than the configured peer's.
    UnknownPeer(SocketAddr),
    /// It answers our handshake, and does not open: another key or preshared key.
    DoesNotOpen(SocketAddr),
    /// It is as old as one we have seen: a replay, or the peer's clock was set back.
    Old(SocketAddr),
}

/// One peer's protocol state, and where that peer is.
pub(super) struct Noise {
    tunn: Tunn,
    endpoint: Option<SocketAddr>,
    role: Role,
    established: Option<Instant>,
    attempt_at: Instant,
    counters: Arc<Counters>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    Initiator,
    /// Answered a handshake; the session with this index counts once the peer uses it.
    Responding(u32),
    Responder,
}

impl Noise {
    pub(super) fn new(spec: &WireGuardSpec, counters: Arc<Counters>, now: Instant) -> Self {
        counters.set_endpoint(spec.peer.endpoint);
        counters.set_last_handshake(None);
        counters.set_trouble(None);
        Self {
            tunn: machine(spec),
            endpoint: spec.peer.endpoint,
            role: Role::Unknown,
            established: None,
            attempt_at: now,
            counters,
        }
    }

    /// Where packets for the peer go.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Looks for the peer there from now on.
    pub(super) fn set_endpoint(&mut self, endpoint: SocketAddr, now: Instant) {
        self.roam(endpoint);
        self.established = None;
        self.attempt_at = now;
    }

    /// Encrypts an IP packet, or starts a handshake when there is no session and keeps the packet.
    ///
    /// Returns how many bytes of `out` to send to the endpoint.
    pub(super) fn encrypt(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        if out.len() < (packet.len() + OVERHEAD).max(HANDSHAKE_LENGTH) {
            return None;
        }
        written(&self.tunn.encapsulate(packet, out))
    }

    /// Takes a datagram that came from `from`.
    pub(super) fn decrypt(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Received {
        if datagram.is_empty() || out.len() < datagram.len().max(HANDSHAKE_LENGTH) {
            return Received::Nothing;
        }
        let kind = datagram[0];
        let received = match self.tunn.decapsulate(Some(from.ip()), datagram, out) {
            TunnResult::Done => Received::Nothing,
            TunnResult::WriteToNetwork(reply) => Received::Reply(reply.len()),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Received::Packet(packet.len())
            }
            TunnResult::Err(error) => return self.on_error(kind, from, &error, out, now),
        };
        self.on_accepted(kind, from, datagram, (received, out), now);
        received
    }

    /// The next packet that waited for a session, encrypted; drain after each batch received.
    pub(super) fn next_queued(&mut self, out: &mut [u8]) -> Option<usize> {
        // Without a session boringtun would put the packet back and start a handshake.
        if out.len() < BUFFER || self.tunn.time_since_last_handshake().is_none() {
            return None;
        }
        written(&self.tunn.decapsulate(None, &[], out))
    }

    /// Runs the protocol's timers; call every 100 to 250 ms.
    ///
    /// Returns how many bytes of `out` to send to the endpoint.
    pub(super) fn tick(&mut self, out: &mut [u8], now: Instant) -> Option<usize> {
        if out.len() < HANDSHAKE_LENGTH {
            return None;
        }
        if let Some(length) = written(&self.tunn.update_timers(out)) {
            return Some(length);
        }
        if self.endpoint.is_none() || now < self.attempt_at || !self.needs_handshake(now) {
            return None;
        }
        self.attempt_at = now + RETRY_AFTER;
        // Not forced: while one is under way boringtun repeats it by itself.
        written(&self.tunn.format_handshake_initiation(out, false))
    }

    fn needs_handshake(&self, now: Instant) -> bool {
        let Some(established) = self.established else {
            return true;
        };
        let age = now.saturating_duration_since(established);
        age >= HANDSHAKE_FRESH || (self.role == Role::Initiator && age >= REKEY_AFTER)
    }

    fn on_accepted(
        &mut self,
        kind: u8,
        from: SocketAddr,
        datagram: &[u8],
        (received, out): (Received, &[u8]),
        now: Instant,
    ) {
        match (kind, received) {
            // An initiation is authentic when it is answered by a response, not by a cookie.
            (INITIATION, Received::Reply(_)) if out[0] == RESPONSE => {
                if let Some(index) = little_endian(&out[4..]) {
                    self.role = Role::Responding(index);
                }
            }
            (RESPONSE, Received::Reply(_)) if out[0] == DATA => {
                self.role = Role::Initiator;
                self.on_handshake(now);
            }
            (DATA, Received::Nothing | Received::Packet(_)) => {
                self.counters
                    .rx_bytes
                    .fetch_add(datagram.len() as u64, std::sync::atomic::Ordering::Relaxed);
                if let Role::Responding(index) = self.role
                    && little_endian(&datagram[4..]) == Some(index)
                {
                    self.role = Role::Responder;
                    self.on_handshake(now);
                }
            }
            // Cookies, and whatever was answered by one: they prove nothing about the sender.
            _ => return,
        }
        if self.endpoint != Some(from) {
            self.roam(from);
        }
    }

    fn on_handshake(&mut self, now: Instant) {
        self.established = Some(now);
        self.counters.set_last_handshake(Some(SystemTime::now()));
        self.counters.set_trouble(None);
    }

    fn on_error(
        &mut self,
        kind: u8,
        from: SocketAddr,
        error: &WireGuardError,
        out: &mut [u8],
        now: Instant,
    ) -> Received {
        let trouble = match (kind, error) {
            (INITIATION | RESPONSE, WireGuardError::InvalidMac) => Trouble::MeantForAnother(from),
            (INITIATION, WireGuardError::WrongKey) => Trouble::UnknownPeer(from),
            (RESPONSE, WireGuardError::InvalidAeadTag) => Trouble::DoesNotOpen(from),
            (INITIATION, WireGuardError::WrongTai64nTimestamp) => Trouble::Old(from),
            (DATA, WireGuardError::NoCurrentSession | WireGuardError::WrongIndex) => {
                return self.on_unknown_session(out, now);
            }
            _ => return Received::Nothing,
        };
        if self.counters.trouble() != Some(trouble) {
            self.counters.set_trouble(Some(trouble));
        }
        Received::Nothing
    }

    /// A peer without a configured endpoint that talks in a session we do not know: we were
    /// restarted and it has not noticed. It gets a handshake instead of 15 s of silence. The
    /// endpoint stays unknown until something authentic comes back, and a forger gains nothing
    /// by one small datagram a second.
    fn on_unknown_session(&mut self, out: &mut [u8], now: Instant) -> Received {
        if self.endpoint.is_some() || now < self.attempt_at {
            return Received::Nothing;
        }
        self.attempt_at = now + HINT_EVERY;
        let initiation = written(&self.tunn.format_handshake_initiation(out, true));
        initiation.map_or(Received::Nothing, Received::Reply)
    }

    fn roam(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
        self.counters.set_endpoint(Some(endpoint));
    }
}

fn machine(spec: &WireGuardSpec) -> Tunn {
    let WireGuardPeer {
        public_key,
        preshared_key,
        keepalive_secs,
        ..
    } = &spec.peer;
    // A random index: packets of a session from before a restart must not find one of ours.
    let index = (RandomState::new().hash_one(0) & 0x00ff_ffff) as u32;
    // Without a shared rate limiter the machine has one of its own that asks for a cookie from
    // ten handshakes a second on, and resets it with the timers.
    Tunn::new(
        StaticSecret::from(*spec.private_key.expose()),
        PublicKey::from(*public_key),
        preshared_key.as_ref().map(|key| *key.expose()),
        *keepalive_secs,
        index,
        None,
    )
}

fn written(result: &TunnResult<'_>) -> Option<usize> {
    match result {
        TunnResult::WriteToNetwork(message) => Some(message.len()),
        TunnResult::Done
        | TunnResult::Err(_)
        | TunnResult::WriteToTunnelV4(..)
        | TunnResult::WriteToTunnelV6(..) => None,
    }
}

fn little_endian(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
