//! Simple Two-way Active Measurement Protocol: test packets, in both modes (RFC 8762).
//!
//! ```text
//!  unauthenticated      authenticated
//!  sender  reflector    sender  reflector
//!  §4.2.1  §4.3.1       §4.2.2  §4.3.2
//!    0       0            0       0       sequence (of a reflector its own if stateful, the sender's if stateless)
//!    4       4           16      16       timestamp; of a reflector T3, when the reply left
//!   12      12           24      24       error estimate
//!   14      14           26      26       SSID (RFC 8972 §3), which a reflector copies
//!           16                   32       receive timestamp T2
//!           24                   48       sender's sequence, copied
//!           28                   64       sender's timestamp, copied
//!           36                   72       sender's error estimate, copied
//!           40                   80       sender's TTL as it arrived
//!                        96      96       HMAC of all before it (§4.4)
//!   44      44          112     112       padding or TLVs, copied
//! ```
//!
//! What has no name there is zero.

mod authentication;
mod authenticity;

use std::time::Duration;

use crate::random::Random;
pub use authentication::{Key, Keys, Mode, Unauthentic};
pub use authenticity::Authenticity;

/// The well-known UDP port (RFC 8762 §4.1).
pub const PORT: u16 = 862;

/// Octets of a test packet in unauthenticated mode, without padding (RFC 8762 §4.2.1).
pub const LEN: usize = 44;

/// Octets of one in authenticated mode (RFC 8762 §4.2.2).
pub const AUTHENTICATED_LEN: usize = 112;

/// The longest request that is reflected, octets: what fits a jumbo frame.
pub const MAX_LEN: usize = 9_000;

/// Unix time 0 in seconds of NTP time.
const UNIX_EPOCH: u64 = 2_208_988_800;

/// Flags, type and length (RFC 8972 §4).
const TLV_HEADER: usize = 4;
/// The U flag, which a sender sets and a reflector that knows the TLV clears.
const UNRECOGNISED: u8 = 0x80;
/// The one TLV that stands by itself in authenticated mode; all others would need an HMAC TLV behind them
/// (RFC 8972 §4.8).
const EXTRA_PADDING: u8 = 1;

/// No claim of being synchronised to UTC, NTP format, about 1 ms: 1 x 2^22 x 2^-32 s
/// (RFC 4656 §4.1.2).
const ERROR_ESTIMATE: u16 = 22 << 8 | 1;

/// Where the sequence is, in both modes.
const SEQUENCE: usize = 0;

/// Where the other fields are, octets from the start.
#[derive(Debug)]
struct Layout {
    length: usize,
    timestamp: usize,
    error_estimate: usize,
    session: usize,
    received: usize,
    sender_sequence: usize,
    sender_timestamp: usize,
    sender_error_estimate: usize,
    sender_ttl: usize,
}

const UNAUTHENTICATED: Layout = Layout {
    length: LEN,
    timestamp: 4,
    error_estimate: 12,
    session: 14,
    received: 16,
    sender_sequence: 24,
    sender_timestamp: 28,
    sender_error_estimate: 36,
    sender_ttl: 40,
};

const AUTHENTICATED: Layout = Layout {
    length: AUTHENTICATED_LEN,
    timestamp: 16,
    error_estimate: 24,
    session: 26,
    received: 32,
    sender_sequence: 48,
    sender_timestamp: 64,
    sender_error_estimate: 72,
    sender_ttl: 80,
};

/// A 64-bit NTP timestamp: seconds since 1900 in the upper half, fraction in the lower
/// (RFC 8762 §4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the time since 1970-01-01 00:00 UTC. Seconds wrap in 2036, as NTP eras do.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(UNIX_EPOCH);
        let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The time since `earlier`, across an era if need be; `None` if this is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let ticks = self.0.wrapping_sub(earlier.0);
        if ticks > u64::MAX / 2 {
            return None;
        }
        let nanos = ((ticks & 0xffff_ffff) * 1_000_000_000) >> 32;
        Some(Duration::from_secs(ticks >> 32) + Duration::from_nanos(nanos))
    }

    /// Whether this is later than `other`, by whatever little.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self != other && self.since(other).is_some()
    }
}

/// What a sender's packets say that they left at: each later than the one before, whatever becomes of the
/// wall clock, because that is how a reflector tells a new packet from one that was recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timestamps {
    last: Option<NtpTime>,
}

impl Timestamps {
    /// The lower bits of the fraction are far below any clock's precision: 65,536 of them are
    /// 15 us. Filled at random they make the echoed timestamp hard to guess (RFC 5905 §6).
    pub(crate) fn next(&mut self, wall: NtpTime, random: u64) -> NtpTime {
        const GUESS: u64 = 0xffff;
        let told = NtpTime(wall.0 & !GUESS | random & GUESS);
        let next = match self.last {
            Some(last) if !told.is_after(last) => {
                NtpTime(last.0.wrapping_add(1 + (random & GUESS)))
            }
            Some(_) | None => told,
        };
        self.last = Some(next);
        next
    }
}

/// Why a packet is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is none of STAMP, or no request where one is due.
    Malformed,
    /// It is not from somebody with our key.
    Unauthentic(Unauthentic),
}

/// A test packet as a sender writes it (RFC 8762 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// One more than that of the packet before.
    pub sequence: u32,
    /// When it left.
    pub timestamp: NtpTime,
    /// Session identifier (RFC 8972 §3); 0 for none.
    pub session: u16,
}

impl Request {
    /// The wire form.
    pub fn encode(&self, mode: &Mode) -> Vec<u8> {
        let layout = mode.layout();
        let mut packet = vec![0; layout.length];
        put(&mut packet, SEQUENCE, &self.sequence.to_be_bytes());
        put(
            &mut packet,
            layout.timestamp,
            &self.timestamp.0.to_be_bytes(),
        );
        put(
            &mut packet,
            layout.error_estimate,
            &ERROR_ESTIMATE.to_be_bytes(),
        );
        put(&mut packet, layout.session, &self.session.to_be_bytes());
        mode.sign(&mut packet);
        packet
    }

    /// The wire form, `length` octets long by an Extra Padding TLV (RFC 8972 §4.1). Lengths that leave no
    /// room for one give a packet without.
    ///
    /// - `seed`: of what the padding is filled with, so that no path can compress it
    pub fn encode_padded(&self, mode: &Mode, length: usize, seed: u64) -> Vec<u8> {
        let mut packet = self.encode(mode);
        let value = length
            .checked_sub(packet.len() + TLV_HEADER)
            .and_then(|value| u16::try_from(value).ok());
        if let Some(value) = value {
            packet.extend([UNRECOGNISED, EXTRA_PADDING]);
            packet.extend(value.to_be_bytes());
            packet.extend(Random::new(seed).octets().take(value.into()));
        }
        packet
    }
}

/// A request that has come, and may be answered.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    request: &'a [u8],
    layout: &'static Layout,
    /// What it is signed with, and its reply.
    key: Option<&'a Key>,
    /// The sender's sequence.
    pub sequence: u32,
    /// When it left, by the sender's clock.
    pub timestamp: NtpTime,
    /// Session identifier; 0 for none.
    pub session: u16,
}

impl<'a> Head<'a> {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// It is not authentic; or it is no request: shorter than a test packet is or longer than [`MAX_LEN`], or
    /// itself the reply of a reflector. Without that last rule one forged or recorded packet would bounce
    /// between two reflectors for ever, so a nonzero field where only a reflector writes its receive
    /// timestamp is refused although RFC 8762 §4.2 would have it ignored.
    pub fn decode(request: &'a [u8], mode: &'a Mode) -> Result<Self, Fault> {
        if request.len() > MAX_LEN {
            return Err(Fault::Malformed);
        }
        let key = mode.verify(request)?;
        let layout = mode.layout();
        let base = request.get(..layout.length).ok_or(Fault::Malformed)?;
        if take::<8>(base, layout.received) != [0; 8] {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            request,
            layout,
            key,
            sequence: u32::from_be_bytes(take(base, SEQUENCE)),
            timestamp: NtpTime(u64::from_be_bytes(take(base, layout.timestamp))),
            session: u16::from_be_bytes(take(base, layout.session)),
        })
    }

    /// The reply to a request that arrived at `received` with `ttl`, which leaves at `sent`: as long as
    /// the request, never longer, and signed with the same key. `sequence` is the count of a stateful
    /// reflector; `None` copies the sender's (RFC 8762 §4.3).
    pub fn reflect(
        &self,
        ttl: u8,
        received: NtpTime,
        sent: NtpTime,
        sequence: Option<u32>,
    ) -> Vec<u8> {
        let Self {
            request, layout, ..
        } = self;
        let mut reply = Vec::with_capacity(request.len());
        reply.resize(layout.length, 0);
        let mut field = |at, octets: &[u8]| put(&mut reply, at, octets);
        field(SEQUENCE, &sequence.unwrap_or(self.sequence).to_be_bytes());
        field(layout.timestamp, &sent.0.to_be_bytes());
        field(layout.error_estimate, &ERROR_ESTIMATE.to_be_bytes());
        field(layout.session, &self.session.to_be_bytes());
        field(layout.received, &received.0.to_be_bytes());
        field(layout.sender_sequence, &self.sequence.to_be_bytes());
        field(layout.sender_timestamp, &self.timestamp.0.to_be_bytes());
        let estimate = take::<2>(request, layout.error_estimate);
        field(layout.sender_error_estimate, &estimate);
        field(layout.sender_ttl, &[ttl]);
        if let Some(key) = self.key {
            key.sign(&mut reply);
        }
        // TLVs go back with the sender's U flag still set: unrecognised (RFC 8972 §4.2).
        reply.extend_from_slice(request.get(layout.length..).unwrap_or_default());
        reply
    }
}

/// A test packet as a reflector writes it (RFC 8762 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The reflector's own count if it is stateful, else the sender's sequence.
    pub sequence: u32,
    /// T3: when the reply left.
    pub sent: NtpTime,
    /// Session identifier; 0 from a reflector that does not know RFC 8972.
    pub session: u16,
    /// T2: when the request arrived.
    pub received: NtpTime,
    /// The sequence of the request.
    pub sender_sequence: u32,
    /// The timestamp of the request, T1.
    pub sender_timestamp: NtpTime,
    /// TTL or hop limit of the request as it arrived.
    pub sender_ttl: u8,
}

impl Reply {
    /// Reads a reply. What must be zero is ignored (RFC 8762 §4.3).
    ///
    /// # Errors
    ///
    /// It is not authentic, or too short.
    pub fn decode(packet: &[u8], mode: &Mode) -> Result<Self, Fault> {
        mode.verify(packet)?;
        let layout = mode.layout();
        let packet = packet.get(..layout.length).ok_or(Fault::Malformed)?;
        let time = |at| NtpTime(u64::from_be_bytes(take(packet, at)));
        Ok(Self {
            sequence: u32::from_be_bytes(take(packet, SEQUENCE)),
            sent: time(layout.timestamp),
            session: u16::from_be_bytes(take(packet, layout.session)),
            received: time(layout.received),
            sender_sequence: u32::from_be_bytes(take(packet, layout.sender_sequence)),
            sender_timestamp: time(layout.sender_timestamp),
            sender_ttl: packet[layout.sender_ttl],
        })
    }

    /// The time that the reflector held the packet, T3 - T2; `None` if its clock went backwards.
    pub fn processing(&self) -> Option<Duration> {
        self.sent.since(self.received)
    }
}

/// The field at an offset of the layout that the packet is as long as.
fn take<const N: usize>(packet: &[u8], at: usize) -> [u8; N] {
    let field = packet.get(at..).and_then(<[u8]>::first_chunk);
    *field.expect("fields are within their layout")
}

/// Writes the field at such an offset.
fn put(packet: &mut [u8], at: usize, field: &[u8]) {
    packet[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests;
