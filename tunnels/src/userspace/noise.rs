//! The WireGuard protocol of one peer: where it is, when to renew the session, and how keys change.
//!
//! The messages are boringtun's, behind [`Protocol`]. What it does not do well is done here:
//!
//! - It panics when an output buffer is too small: [`protocol::Boring`] looks before every call.
//! - It rekeys only when data flows, so a quiet tunnel loses its session at 180 s and both ends
//!   then start handshakes over each other, three hundred in an hour. Here the end with the larger
//!   public key renews at 117 s, whoever started the session, so that the other never does.
//! - It gives up after 90 s without an answer until there is data: here it starts again.
//! - A packet kept for a session makes a responder start a handshake of its own: here kept packets
//!   are only drained into a session.
//! - It stores a session that it answered, but that nobody used yet, over the one in use after
//!   eight of them; a peer whose preshared key differs does that within a minute. Here a second
//!   machine takes over the handshakes before that.
//!
//! Keys change without a gap: the session under the old keys carries traffic until a handshake
//! under the new ones is done, or until it is too old, as WireGuard's own rule is.

mod protocol;

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use protocol::{Attempt, Boring, Heard, Protocol, Refusal};

use super::counters::Counters;
use crate::{
    plan::Life,
    spec::{HANDSHAKE_FRESH, WireGuardSpec},
};

/// Every buffer that a packet is written to has this size: the largest IP packet, and overhead.
pub(super) const BUFFER: usize = 65_535 + OVERHEAD + 1;
/// What a data message adds to the packet inside.
pub(super) const OVERHEAD: usize = 32;
/// When the end with the larger public key renews; before REKEY_AFTER_TIME, so that the other,
/// which may be of another make, has no reason to.
const RENEW_EAGERLY: Duration = Duration::from_secs(117);
/// REKEY_AFTER_TIME, for the one that started the session.
const RENEW: Duration = Duration::from_secs(120);
/// When the one that answered renews, because the other did not; before REJECT_AFTER_TIME.
const RENEW_FOR_THE_OTHER: Duration = Duration::from_secs(150);
/// REKEY_TIMEOUT.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// For so long after the configuration moved the endpoint, the former one does not win it back by
/// what was under way: until the far end has heard of us at the new one, it sends from the former.
const LEAVES_FOR: Duration = RETRY_AFTER;
/// An unknown session's packet may cause one handshake this often.
const HINT_EVERY: Duration = Duration::from_secs(1);
/// Sessions that boringtun keeps; the index modulo this is where.
const SLOTS: u32 = 8;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const COOKIE: u8 = 3;
const DATA: u8 = 4;

/// Where datagrams of the peer come from, and to which address of ours. Answers go back the same
/// way, so that they come from where the peer knows us, whatever the host's routes prefer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Path {
    pub(super) remote: SocketAddr,
    /// `None`: whatever the host's routes say.
    pub(super) local: Option<IpAddr>,
}

impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
        }
    }
}

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
pub(super) struct Noise<P = Boring> {
    spec: WireGuardSpec,
    current: Keyed<P>,
    /// What was `current` before, for the sake of its session.
    retiring: Option<Keyed<P>>,
    path: Option<Path>,
    /// The endpoint that the configuration gave up, and until when it cannot come back.
    left: Option<(SocketAddr, Instant)>,
    attempt_at: Instant,
    /// The latest session, or the beginning.
    alive_at: Instant,
    /// A handshake is wanted although the session is young.
    unproven: bool,
    /// Our public key is the larger one: it is we who renew.
    eager: bool,
    counters: Arc<Counters>,
}

/// A protocol machine and the session that it uses.
struct Keyed<P> {
    machine: P,
    session: Option<Session>,
    /// A session that we answered counts once the peer uses it.
    answered: Option<u32>,
    /// Of the latest handshake message that we sent, or none.
    last_index: u32,
    keeps_packets: bool,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    since: Instant,
    role: Role,
    index: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Initiator,
    Responder,
}

impl<P: Protocol> Keyed<P> {
    fn new(spec: &WireGuardSpec) -> Self {
        // Random: packets of a session of another machine must not find one of this one.
        let index = (RandomState::new().hash_one(0) & 0x00ff_ffff) as u32;
        Self {
            machine: P::new(spec, index),
            session: None,
            answered: None,
            last_index: index << 8,
            keeps_packets: false,
        }
    }

    /// Whether a message for the session of this index is for this machine.
    fn owns(&self, index: u32) -> bool {
        index >> 8 == self.last_index >> 8
    }

    fn is_live(&self, now: Instant) -> bool {
        self.session
            .is_some_and(|session| session.age(now) < HANDSHAKE_FRESH)
            && self.machine.has_session()
    }

    /// The next session that is answered is stored over the one in use.
    fn would_lose_its_session(&self, now: Instant) -> bool {
        let next = self.last_index.wrapping_add(1);
        self.is_live(now)
            && self
                .session
                .is_some_and(|session| session.index % SLOTS == next % SLOTS)
    }

    /// Remembers the index of a handshake message that is sent.
    fn note_sent(&mut self, message: &[u8]) {
        if let (Some(&(INITIATION | RESPONSE)), Some(index)) =
            (message.first(), little_endian(message, 4))
        {
            self.last_index = index;
        }
    }
}

impl Session {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl<P: Protocol> Noise<P> {
    pub(super) fn new(spec: &WireGuardSpec, counters: Arc<Counters>, now: Instant) -> Self {
        counters.set_endpoint(spec.peer.endpoint);
        counters.set_last_handshake(None);
        counters.set_trouble(None);
        Self {
            spec: spec.clone(),
            current: Keyed::new(spec),
            retiring: None,
            path: spec.peer.endpoint.map(Path::from),
            left: None,
            attempt_at: now,
            alive_at: now,
            unproven: false,
            eager: is_eager(spec),
            counters,
        }
    }

    /// Where packets for the peer go.
    pub(super) fn path(&self) -> Option<Path> {
        self.path
    }

    /// Takes over a changed spec; traffic goes on under the old one until the new one is proven.
    pub(super) fn change(&mut self, spec: &WireGuardSpec, now: Instant) {
        let old = std::mem::replace(&mut self.spec, spec.clone());
        let same_keys = old.private_key == spec.private_key
            && old.peer.public_key == spec.peer.public_key
            && old.peer.preshared_key == spec.peer.preshared_key;
        self.eager = is_eager(spec);
        if !same_keys || old.peer.keepalive_secs != spec.peer.keepalive_secs {
            self.replace_machine(now);
            self.counters.set_trouble(None);
        }
        if let Some(endpoint) = spec.peer.endpoint
            && old.peer.endpoint != spec.peer.endpoint
        {
            let former = self.path.map(|path| path.remote);
            self.left = former
                .filter(|&former| former != endpoint)
                .map(|former| (former, now + LEAVES_FOR));
            self.roam(endpoint.into());
            self.prove(now);
        }
    }

    /// Makes a handshake soon, whatever the session; the far end learns from it where we are.
    pub(super) fn prove(&mut self, now: Instant) {
        self.unproven = true;
        self.attempt_at = now;
    }

    /// Encrypts an IP packet, or starts a handshake when there is no session and keeps the packet.
    ///
    /// Returns how many bytes of `out` to send to the endpoint.
    pub(super) fn encrypt(&mut self, packet: &[u8], out: &mut [u8], now: Instant) -> Option<usize> {
        let keyed = match &mut self.retiring {
            Some(old) if self.current.session.is_none() && old.is_live(now) => old,
            Some(_) | None => &mut self.current,
        };
        let length = keyed.machine.encrypt(packet, out);
        match length.and_then(|length| out.get(..length)) {
            Some(message) if message.first() == Some(&DATA) => {}
            Some(message) => {
                keyed.keeps_packets = true;
                keyed.note_sent(message);
            }
            None => keyed.keeps_packets = true,
        }
        length
    }

    /// Takes a datagram that came from `from`.
    pub(super) fn decrypt(
        &mut self,
        from: Path,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Received {
        let kind = datagram.first().copied().unwrap_or_default();
        if kind == INITIATION && self.current.would_lose_its_session(now) {
            self.replace_machine(now);
        }
        let keyed = match (&mut self.retiring, receiver(datagram)) {
            (Some(old), Some(index)) if old.owns(index) => old,
            (Some(_) | None, _) => &mut self.current,
        };
        let heard = keyed.machine.decrypt(from.remote.ip(), datagram, out);
        let received = match heard {
            Heard::Nothing => Received::Nothing,
            Heard::Reply(length) => Received::Reply(length),
            Heard::Packet(length) => Received::Packet(length),
            Heard::Refused(refusal) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                return self.on_refused(kind, from.remote, refusal, out, now);
            }
        };
        self.on_accepted(kind, from, datagram, (received, out), now);
        received
    }

    /// Packets that waited for a session can go.
    pub(super) fn has_kept_packets(&self) -> bool {
        self.current.keeps_packets && self.current.machine.has_session()
    }

    /// The next packet that waited for a session, encrypted; drain after each batch received.
    pub(super) fn next_kept(&mut self, out: &mut [u8]) -> Option<usize> {
        let next = self.current.machine.next_kept(out);
        self.current.keeps_packets &= next.is_some();
        next
    }

    /// Runs the protocol's timers; call every 100 to 250 ms.
    ///
    /// Returns how many bytes of `out` to send to the endpoint.
    pub(super) fn tick(&mut self, out: &mut [u8], now: Instant) -> Option<usize> {
        if now.saturating_duration_since(self.alive_at) >= HANDSHAKE_FRESH {
            self.counters.set_life(Life::Over);
        }
        if let Some(length) = self.tick_retiring(out, now) {
            return Some(length);
        }
        let mut length = self.current.machine.tick(out);
        if length.is_some() && out.first() == Some(&INITIATION) {
            // It repeats its own, and keeps an empty packet when a keepalive started it.
            self.attempt_at = now + RETRY_AFTER;
            self.current.keeps_packets = true;
        }
        if length.is_none() && self.path.is_some() && now >= self.attempt_at {
            length = self.renew(out, now);
        }
        let message = out.get(..length?)?;
        self.current.note_sent(message);
        if message.first() == Some(&INITIATION) && self.path.is_some() {
            self.counters.note_asked(SystemTime::now());
        }
        length
    }

    fn renew(&mut self, out: &mut [u8], now: Instant) -> Option<usize> {
        if !self.needs_handshake(now) {
            return None;
        }
        let attempt = if self.unproven {
            Attempt::Now
        } else {
            Attempt::UnlessUnderWay
        };
        self.attempt_at = now + RETRY_AFTER;
        self.current.machine.initiate(attempt, out)
    }

    /// The old keys keep their session alive, and make no new one.
    fn tick_retiring(&mut self, out: &mut [u8], now: Instant) -> Option<usize> {
        let old = self.retiring.as_mut()?;
        let length = old.machine.tick(out);
        if !old.is_live(now) {
            self.retiring = None;
            return None;
        }
        let is_keepalive = length.is_some() && out.first() == Some(&DATA);
        length.filter(|_| is_keepalive && self.current.session.is_none())
    }

    fn needs_handshake(&self, now: Instant) -> bool {
        let Some(session) = self.current.session.filter(|_| !self.unproven) else {
            return true;
        };
        let limit = match session.role {
            _ if self.eager => RENEW_EAGERLY,
            Role::Initiator => RENEW,
            Role::Responder => RENEW_FOR_THE_OTHER,
        };
        session.age(now) >= limit
    }

    /// The machine of now retires with its session, if it has one that is worth it.
    fn replace_machine(&mut self, now: Instant) {
        let old = std::mem::replace(&mut self.current, Keyed::new(&self.spec));
        if old.is_live(now) {
            self.retiring = Some(old);
        }
        self.attempt_at = now;
    }

    fn on_accepted(
        &mut self,
        kind: u8,
        from: Path,
        datagram: &[u8],
        (received, out): (Received, &[u8]),
        now: Instant,
    ) {
        match (kind, received) {
            // An initiation is authentic when it is answered by a response, not by a cookie.
            (INITIATION, Received::Reply(_)) if out[0] == RESPONSE => {
                self.current.note_sent(out);
                self.current.answered = little_endian(out, 4);
                // A machine that is new does not know a replay. What an authentic sender says next,
                // in the session that it asked for, moves the path.
                if self.path.is_some() {
                    return;
                }
            }
            (RESPONSE, Received::Reply(_)) if out[0] == DATA => {
                self.on_session(Role::Initiator, receiver(datagram), now);
            }
            (DATA, Received::Nothing | Received::Packet(_)) => {
                self.counters
                    .rx_bytes
                    .fetch_add(datagram.len() as u64, Ordering::Relaxed);
                let index = receiver(datagram);
                if index.is_some() && index == self.current.answered {
                    self.on_session(Role::Responder, index, now);
                }
            }
            // Cookies, and whatever was answered by one: they prove nothing about the sender.
            _ => return,
        }
        if self.path != Some(from) && !self.has_left(from.remote, now) {
            self.roam(from);
        }
    }

    fn has_left(&self, endpoint: SocketAddr, now: Instant) -> bool {
        self.left
            .is_some_and(|(left, until)| left == endpoint && now < until)
    }

    fn on_session(&mut self, role: Role, index: Option<u32>, now: Instant) {
        self.current.answered = None;
        self.current.session = index.map(|index| Session {
            since: now,
            role,
            index,
        });
        self.unproven = false;
        self.alive_at = now;
        self.counters.set_life(Life::Possible);
        self.counters.handshakes.fetch_add(1, Ordering::Relaxed);
        self.counters.set_last_handshake(Some(SystemTime::now()));
        self.counters.set_trouble(None);
    }

    fn on_refused(
        &mut self,
        kind: u8,
        from: SocketAddr,
        refusal: Refusal,
        out: &mut [u8],
        now: Instant,
    ) -> Received {
        let trouble = match (kind, refusal) {
            (INITIATION | RESPONSE, Refusal::Checksum) => Trouble::MeantForAnother(from),
            (INITIATION, Refusal::Key) => Trouble::UnknownPeer(from),
            (RESPONSE, Refusal::Seal) => Trouble::DoesNotOpen(from),
            (INITIATION, Refusal::Time) => Trouble::Old(from),
            (DATA, Refusal::Session) => return self.on_unknown_session(out, now),
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
        if self.path.is_some() || now < self.attempt_at {
            return Received::Nothing;
        }
        self.attempt_at = now + HINT_EVERY;
        let initiation = self.current.machine.initiate(Attempt::Now, out);
        if let Some(message) = initiation.and_then(|length| out.get(..length)) {
            self.current.note_sent(message);
        }
        initiation.map_or(Received::Nothing, Received::Reply)
    }

    fn roam(&mut self, path: Path) {
        self.path = Some(path);
        self.counters.set_endpoint(Some(path.remote));
    }
}

/// Of two ends one is, and both know which.
fn is_eager(spec: &WireGuardSpec) -> bool {
    spec.private_key.public_key() > spec.peer.public_key
}

/// The index of ours that a message is for; an initiation has none.
fn receiver(datagram: &[u8]) -> Option<u32> {
    match *datagram.first()? {
        RESPONSE => little_endian(datagram, 8),
        COOKIE | DATA => little_endian(datagram, 4),
        _ => None,
    }
}

fn little_endian(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
