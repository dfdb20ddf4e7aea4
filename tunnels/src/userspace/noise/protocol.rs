//! What we need of an implementation of the WireGuard protocol, and boringtun's.

use std::net::IpAddr;

use boringtun::{
    noise::{Tunn, TunnResult, errors::WireGuardError},
    x25519::{PublicKey, StaticSecret},
};

use crate::spec::WireGuardSpec;

/// The longest handshake message.
pub(in crate::userspace) const HANDSHAKE_LENGTH: usize = 148;

/// The protocol of one peer under one set of keys. Any input in any state has a defined outcome.
pub(in crate::userspace) trait Protocol {
    /// Knows no session yet. The indices of its sessions are `index` with eight bits of its own.
    fn new(spec: &WireGuardSpec, index: u32) -> Self;

    /// Encrypts a packet; without a session keeps it, and may start a handshake.
    ///
    /// Like all others that return a length: so many bytes of `out` are to be sent. `None` when
    /// there is nothing to send, or no room.
    fn encrypt(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize>;

    /// Takes a datagram.
    fn decrypt(&mut self, from: IpAddr, datagram: &[u8], out: &mut [u8]) -> Heard;

    /// The next packet that was kept, encrypted.
    fn next_kept(&mut self, out: &mut [u8]) -> Option<usize>;

    /// Runs its timers; to be called several times a second.
    fn tick(&mut self, out: &mut [u8]) -> Option<usize>;

    /// Starts a handshake.
    fn initiate(&mut self, attempt: Attempt, out: &mut [u8]) -> Option<usize>;

    /// Whether a packet would be encrypted and not kept.
    fn has_session(&self) -> bool;
}

/// Whether a handshake that is under way is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::userspace) enum Attempt {
    UnlessUnderWay,
    Now,
}

/// What a datagram was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::userspace) enum Heard {
    /// A keepalive, or a cookie.
    Nothing,
    /// A handshake message: so many bytes of the output are the answer.
    Reply(usize),
    /// So many bytes of the output are an IP packet.
    Packet(usize),
    /// Nothing for us, or nothing good.
    Refused(Refusal),
}

/// Why a datagram was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::userspace) enum Refusal {
    /// Its first checksum is made with another public key than ours.
    Checksum,
    /// The static key inside is not the peer's.
    Key,
    /// It does not open.
    Seal,
    /// Its time is not after that of the one before.
    Time,
    /// It is of a session that we do not have.
    Session,
    /// Anything else.
    Malformed,
}

/// boringtun's machine; every call is made with the room that it insists on.
pub(in crate::userspace) struct Boring(Tunn);

impl Protocol for Boring {
    fn new(spec: &WireGuardSpec, index: u32) -> Self {
        let peer = &spec.peer;
        // Without a shared rate limiter it has one of its own that asks for a cookie from ten
        // handshakes a second on, and resets it with the timers.
        Self(Tunn::new(
            StaticSecret::from(*spec.private_key.expose()),
            PublicKey::from(peer.public_key),
            peer.preshared_key.as_ref().map(|key| *key.expose()),
            peer.keepalive_secs,
            index,
            None,
        ))
    }

    fn encrypt(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let room = (packet.len() + super::OVERHEAD).max(HANDSHAKE_LENGTH);
        (out.len() >= room).then(|| written(&self.0.encapsulate(packet, out)))?
    }

    fn decrypt(&mut self, from: IpAddr, datagram: &[u8], out: &mut [u8]) -> Heard {
        // An empty datagram would ask for a kept packet.
        if datagram.is_empty() || out.len() < datagram.len().max(HANDSHAKE_LENGTH) {
            return Heard::Refused(Refusal::Malformed);
        }
        match self.0.decapsulate(Some(from), datagram, out) {
            TunnResult::Done => Heard::Nothing,
            TunnResult::WriteToNetwork(reply) => Heard::Reply(reply.len()),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Heard::Packet(packet.len())
            }
            TunnResult::Err(error) => Heard::Refused(refusal(&error)),
        }
    }

    fn next_kept(&mut self, out: &mut [u8]) -> Option<usize> {
        // Without a session it would put the packet back and start a handshake.
        if out.len() < super::BUFFER || !self.has_session() {
            return None;
        }
        written(&self.0.decapsulate(None, &[], out))
    }

    fn tick(&mut self, out: &mut [u8]) -> Option<usize> {
        (out.len() >= HANDSHAKE_LENGTH).then(|| written(&self.0.update_timers(out)))?
    }

    fn initiate(&mut self, attempt: Attempt, out: &mut [u8]) -> Option<usize> {
        let again = attempt == Attempt::Now;
        (out.len() >= HANDSHAKE_LENGTH)
            .then(|| written(&self.0.format_handshake_initiation(out, again)))?
    }

    fn has_session(&self) -> bool {
        self.0.time_since_last_handshake().is_some()
    }
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

fn refusal(error: &WireGuardError) -> Refusal {
    match error {
        WireGuardError::InvalidMac => Refusal::Checksum,
        WireGuardError::WrongKey => Refusal::Key,
        WireGuardError::InvalidAeadTag => Refusal::Seal,
        WireGuardError::WrongTai64nTimestamp => Refusal::Time,
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => Refusal::Session,
        WireGuardError::DestinationBufferTooSmall
        | WireGuardError::IncorrectPacketLength
        | WireGuardError::UnexpectedPacket
        | WireGuardError::WrongPacketType
        | WireGuardError::InvalidTai64nTimestamp
        | WireGuardError::InvalidCounter
        | WireGuardError::DuplicateCounter
        | WireGuardError::InvalidPacket
        | WireGuardError::LockFailed
        | WireGuardError::ConnectionExpired
        | WireGuardError::UnderLoad => Refusal::Malformed,
    }
}
