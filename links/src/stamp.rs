//! Simple Two-way Active Measurement Protocol: test packets in unauthenticated mode (RFC 8762).
//!
//! ```text
//!        sender §4.2.1            reflector §4.3.1
//!  0     sequence                 sequence (its own if stateful, the sender's if stateless)
//!  4     timestamp                timestamp T3: when the reply left
//! 12     error estimate           error estimate
//! 14     SSID (RFC 8972 §3)       SSID, copied
//! 16     must be zero             receive timestamp T2
//! 24                              sender's sequence, timestamp, error estimate, copied
//! 40                              sender's TTL as it arrived
//! 44     padding or TLVs          the same, copied
//! ```

use std::time::Duration;

/// The well-known UDP port (RFC 8762 §4.1).
pub const PORT: u16 = 862;

/// Octets of a test packet without padding (RFC 8762 §4.2.1).
pub const LEN: usize = 44;

/// The longest request that is reflected, octets: what fits a jumbo frame.
pub const MAX_LEN: usize = 9_000;

/// Unix time 0 in seconds of NTP time.
const UNIX_EPOCH: u64 = 2_208_988_800;

/// No claim of being synchronised to UTC, NTP format, about 1 ms: 1 x 2^22 x 2^-32 s
/// (RFC 4656 §4.1.2).
const ERROR_ESTIMATE: u16 = 22 << 8 | 1;

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
}

/// A test packet as a sender writes it (RFC 8762 §4.2.1).
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
    pub fn encode(&self) -> [u8; LEN] {
        let mut packet = [0; LEN];
        put(&mut packet, 0, &self.sequence.to_be_bytes());
        put(&mut packet, 4, &self.timestamp.0.to_be_bytes());
        put(&mut packet, 12, &ERROR_ESTIMATE.to_be_bytes());
        put(&mut packet, 14, &self.session.to_be_bytes());
        packet
    }
}

/// What a reflector has to know of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The sender's sequence.
    pub sequence: u32,
    /// When it left, by the sender's clock.
    pub timestamp: NtpTime,
    /// Session identifier; 0 for none.
    pub session: u16,
}

impl Head {
    /// Reads a request; `None` if it is not one: shorter than [`LEN`] or longer than [`MAX_LEN`], or
    /// itself the reply of a reflector. Without that last rule one forged packet would bounce between two
    /// reflectors for ever, so a nonzero field where only a reflector writes its receive timestamp is
    /// refused although RFC 8762 §4.2.1 would have it ignored.
    pub fn decode(request: &[u8]) -> Option<Self> {
        let head = request.first_chunk::<LEN>()?;
        if request.len() > MAX_LEN || take::<8>(head, 16) != [0; 8] {
            return None;
        }
        Some(Self {
            sequence: u32::from_be_bytes(take(head, 0)),
            timestamp: NtpTime(u64::from_be_bytes(take(head, 4))),
            session: u16::from_be_bytes(take(head, 14)),
        })
    }
}

/// A test packet as a reflector writes it (RFC 8762 §4.3.1).
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
    /// Reads a reply; `None` if it is too short. What must be zero is ignored (RFC 8762 §4.3.1).
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let packet = packet.first_chunk::<LEN>()?;
        Some(Self {
            sequence: u32::from_be_bytes(take(packet, 0)),
            sent: NtpTime(u64::from_be_bytes(take(packet, 4))),
            session: u16::from_be_bytes(take(packet, 14)),
            received: NtpTime(u64::from_be_bytes(take(packet, 16))),
            sender_sequence: u32::from_be_bytes(take(packet, 24)),
            sender_timestamp: NtpTime(u64::from_be_bytes(take(packet, 28))),
            sender_ttl: packet[40],
        })
    }

    /// The time that the reflector held the packet, T3 - T2; `None` if its clock went backwards.
    pub fn processing(&self) -> Option<Duration> {
        self.sent.since(self.received)
    }
}

/// The reply to a test packet that arrived at `received` with `ttl` and leaves at `sent`: as long as
/// the request, never longer. `sequence` is the count of a stateful reflector; `None` copies the
/// sender's (RFC 8762 §4.3).
///
/// `None` if it is not a request, see [`Head::decode`].
pub fn reflect(
    request: &[u8],
    ttl: u8,
    received: NtpTime,
    sent: NtpTime,
    sequence: Option<u32>,
) -> Option<Vec<u8>> {
    Head::decode(request)?;
    let head = request.first_chunk::<LEN>()?;
    let sequence = sequence.map_or(take(head, 0), u32::to_be_bytes);
    let mut reply = [0; LEN];
    put(&mut reply, 0, &sequence);
    put(&mut reply, 4, &sent.0.to_be_bytes());
    put(&mut reply, 12, &ERROR_ESTIMATE.to_be_bytes());
    put(&mut reply, 14, &take::<2>(head, 14));
    put(&mut reply, 16, &received.0.to_be_bytes());
    // Sequence, timestamp and error estimate of the sender.
    put(&mut reply, 24, &take::<14>(head, 0));
    reply[40] = ttl;
    let mut packet = reply.to_vec();
    // TLVs go back with the sender's U flag still set: unrecognised (RFC 8972 §4.2).
    packet.extend_from_slice(request.get(LEN..).unwrap_or_default());
    Some(packet)
}

/// The field at a constant offset.
fn take<const N: usize>(packet: &[u8; LEN], at: usize) -> [u8; N] {
    let field = packet.get(at..).and_then(<[u8]>::first_chunk);
    *field.expect("offset and length are constants within the packet")
}

/// Writes the field at a constant offset.
fn put(packet: &mut [u8; LEN], at: usize, field: &[u8]) {
    packet[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: NtpTime = NtpTime(0xee00_0001_4000_0000);
    const T2: NtpTime = NtpTime(0xee00_0001_5000_0000);
    const T3: NtpTime = NtpTime(0xee00_0001_5010_0000);

    fn request() -> [u8; LEN] {
        Request {
            sequence: 7,
            timestamp: T1,
            session: 0xbeef,
        }
        .encode()
    }

    #[test]
    fn request_has_the_octets_of_rfc_8762() {
        let mut expected = vec![
            0, 0, 0, 7, 0xee, 0, 0, 1, 0x40, 0, 0, 0, 0x16, 0x01, 0xbe, 0xef,
        ];
        expected.resize(LEN, 0);
        assert_eq!(request().to_vec(), expected);
    }

    #[test]
    fn stateless_reply_has_the_octets_of_rfc_8762() {
        let reply = reflect(&request(), 63, T2, T3, None).unwrap();
        let expected = [
            0, 0, 0, 7, 0xee, 0, 0, 1, 0x50, 0x10, 0, 0, 0x16, 0x01, 0xbe, 0xef, // T3
            0xee, 0, 0, 1, 0x50, 0, 0, 0, // T2
            0, 0, 0, 7, 0xee, 0, 0, 1, 0x40, 0, 0, 0, 0x16, 0x01, 0, 0, // the sender's
            63, 0, 0, 0,
        ];
        assert_eq!(reply, expected);
    }

    #[test]
    fn stateful_reply_counts_on_its_own_and_keeps_the_senders_sequence() {
        let packet = reflect(&request(), 255, T2, T3, Some(0x0102_0304)).unwrap();
        let reply = Reply::decode(&packet).unwrap();
        assert_eq!((reply.sequence, reply.sender_sequence), (0x0102_0304, 7));
        assert_eq!(
            (reply.received, reply.sent, reply.sender_timestamp),
            (T2, T3, T1)
        );
        assert_eq!((reply.session, reply.sender_ttl), (0xbeef, 255));
        assert_eq!(reply.processing(), T3.since(T2));
    }

    #[test]
    fn reply_is_exactly_as_long_as_the_request() {
        for length in [LEN, LEN + 1, 100, 1472, MAX_LEN] {
            let mut long = request().to_vec();
            long.resize(length, 0xa5);
            let reply = reflect(&long, 64, T2, T3, None).unwrap();
            assert_eq!(reply.len(), length);
            assert_eq!(reply[LEN..], long[LEN..]);
        }
    }

    #[test]
    fn what_is_not_a_request_is_not_reflected() {
        for length in 0..LEN {
            assert_eq!(reflect(&request()[..length], 64, T2, T3, None), None);
        }
        assert_eq!(reflect(&vec![0; MAX_LEN + 1], 64, T2, T3, None), None);
        let reply = reflect(&request(), 64, T2, T3, None).unwrap();
        assert_eq!(
            reflect(&reply, 64, T2, T3, None),
            None,
            "a reply is not a request"
        );
    }

    #[test]
    fn time_since_crosses_an_era_and_never_goes_negative() {
        let before = NtpTime(u64::MAX);
        assert_eq!(NtpTime(1 << 32).since(before).unwrap().as_secs(), 1);
        assert_eq!(T2.since(T3), None);
        assert_eq!(T2.since(T2), Some(Duration::ZERO));
    }

    #[test]
    fn unix_time_becomes_ntp_time() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0, UNIX_EPOCH << 32);
        let half = NtpTime::from_unix(Duration::from_millis(500));
        assert_eq!(half.0 & 0xffff_ffff, 0x8000_0000);
        NtpTime::from_unix(Duration::MAX);
    }
}
