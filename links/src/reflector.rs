//! The far end of a STAMP measurement: who is answered, and what each sender's packets are counted as.
//!
//! Stateful (RFC 8762 §4.3): each session of the sender has a count of its own, so that the sender can tell
//! requests that were lost from replies that were. A session is a UDP port of the sender and its identifier
//! (RFC 8972 §3).
//!
//! Nobody is sent more than he has sent: one reply for one request, as long as the request. A request that
//! was answered before is not answered again, however often it is played back.

use std::net::{IpAddr, SocketAddr};

use crate::stamp::{self, NtpTime};

/// Sessions that are told apart; the one that was silent longest makes room.
const MAX_SESSIONS: usize = 8;
/// Requests may overtake each other by fewer than so many.
const REORDER: u32 = u64::BITS;

/// Why a packet was not reflected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// It is not a request.
    Malformed,
    /// It was answered before.
    Replayed,
    /// It is not from the far end of the link.
    Stranger,
}

impl Refusal {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Malformed, Self::Replayed, Self::Stranger];

    /// As logs and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::Stranger => "stranger",
        }
    }
}

/// A packet that came to the reflector's port.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// Its sender.
    pub from: SocketAddr,
    /// TTL or hop limit that it arrived with.
    pub ttl: u8,
    /// When it arrived.
    pub at: NtpTime,
}

/// One sender's sequence, and ours for it.
#[derive(Clone, Copy, Debug)]
struct Session {
    port: u16,
    identifier: u16,
    /// Of the next reply.
    next: u32,
    highest: u32,
    /// Bit n: `highest - n` was answered.
    answered: u64,
    /// Timestamp of the request `highest`.
    latest: NtpTime,
}

impl Session {
    /// With its first request.
    fn new(port: u16, head: stamp::Head) -> Self {
        Self {
            port,
            identifier: head.session,
            next: 0,
            highest: head.sequence,
            answered: 1,
            latest: head.timestamp,
        }
    }

    /// Whether the request is one that was not answered yet. A sender that started again counts from zero,
    /// with timestamps that go on; an old packet has neither.
    fn admit(&mut self, head: stamp::Head) -> bool {
        let ahead = head.sequence.wrapping_sub(self.highest);
        if (1..=u32::MAX / 2).contains(&ahead) {
            self.answered = self.answered.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = head.sequence;
            self.latest = head.timestamp;
            return true;
        }
        let behind = self.highest.wrapping_sub(head.sequence);
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        if behind < REORDER && self.answered & bit == 0 {
            self.answered |= bit;
            return true;
        }
        let is_newer = head.timestamp != self.latest && head.timestamp.since(self.latest).is_some();
        if is_newer {
            *self = Self::new(self.port, head);
        }
        is_newer
    }
}

/// The reflector of one link.
#[derive(Clone, Debug)]
pub struct Reflector {
    remote: IpAddr,
    /// The latest last.
    sessions: Vec<Session>,
}

impl Reflector {
    /// Answers `remote` and nobody else.
    pub fn new(remote: IpAddr) -> Self {
        Self {
            remote,
            sessions: Vec::new(),
        }
    }

    /// The reply to a packet, which leaves at `sent`: as long as the packet.
    ///
    /// # Errors
    /// It is not answered, and changes nothing.
    pub fn reflect(&mut self, arrival: Arrival<'_>, sent: NtpTime) -> Result<Vec<u8>, Refusal> {
        let Arrival {
            bytes,
            from,
            ttl,
            at,
        } = arrival;
        if from.ip().to_canonical() != self.remote {
            return Err(Refusal::Stranger);
        }
        let head = stamp::Head::decode(bytes).ok_or(Refusal::Malformed)?;
        let sequence = self.count(from.port(), head).ok_or(Refusal::Replayed)?;
        stamp::reflect(bytes, ttl, at, sent, Some(sequence)).ok_or(Refusal::Malformed)
    }

    /// The number of the reply.
    fn count(&mut self, port: u16, head: stamp::Head) -> Option<u32> {
        let known = |session: &Session| session.port == port && session.identifier == head.session;
        let mut session = match self.sessions.iter().position(known) {
            Some(at) => {
                if !self.sessions[at].admit(head) {
                    return None;
                }
                self.sessions.remove(at)
            }
            None => {
                if self.sessions.len() >= MAX_SESSIONS {
                    self.sessions.remove(0);
                }
                Session::new(port, head)
            }
        };
        let number = session.next;
        session.next = number.wrapping_add(1);
        self.sessions.push(session);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{LEN, Reply, Request};

    const FAR: [u8; 4] = [192, 0, 2, 1];

    struct Bench {
        reflector: Reflector,
        clock: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                reflector: Reflector::new(FAR.into()),
                clock: 0xee00_0000_0000_0000,
            }
        }

        fn request(&mut self, sequence: u32) -> Vec<u8> {
            self.clock += 1 << 30;
            let request = Request {
                sequence,
                timestamp: NtpTime(self.clock),
                session: 7,
            };
            request.encode().to_vec()
        }

        fn give(&mut self, bytes: &[u8], port: u16) -> Result<u32, Refusal> {
            let arrival = Arrival {
                bytes,
                from: SocketAddr::from((FAR, port)),
                ttl: 64,
                at: NtpTime(self.clock),
            };
            let reply = self.reflector.reflect(arrival, NtpTime(self.clock))?;
            assert_eq!(reply.len(), bytes.len(), "never longer than the request");
            Ok(Reply::decode(&reply).unwrap().sequence)
        }

        fn ask(&mut self, sequence: u32) -> Result<u32, Refusal> {
            let request = self.request(sequence);
            self.give(&request, 5000)
        }
    }

    #[test]
    fn each_session_has_a_count_of_its_own() {
        let mut bench = Bench::new();
        let counts: Vec<_> = [0, 2, 3, 7].map(|sequence| bench.ask(sequence)).into();
        assert_eq!(counts, [Ok(0), Ok(1), Ok(2), Ok(3)]);
        let request = bench.request(8);
        assert_eq!(bench.give(&request, 5001), Ok(0));
        assert_eq!(bench.ask(8), Ok(4));
    }

    #[test]
    fn only_the_far_end_is_answered() {
        let mut bench = Bench::new();
        let request = bench.request(0);
        for from in ["192.0.2.2:5000", "[2001:db8::1]:5000"] {
            let arrival = Arrival {
                bytes: &request,
                from: from.parse().unwrap(),
                ttl: 64,
                at: NtpTime(0),
            };
            let refused = bench.reflector.reflect(arrival, NtpTime(0));
            assert_eq!(refused, Err(Refusal::Stranger), "{from}");
        }
        assert_eq!(bench.give(&request, 5000), Ok(0));
    }

    #[test]
    fn what_is_played_again_changes_nothing() {
        let mut bench = Bench::new();
        let requests: Vec<_> = (0..200).map(|sequence| bench.request(sequence)).collect();
        for (count, request) in (0..).zip(&requests) {
            assert_eq!(bench.give(request, 5000), Ok(count));
        }
        for request in &requests {
            assert_eq!(bench.give(request, 5000), Err(Refusal::Replayed));
        }
        assert_eq!(bench.ask(200), Ok(200), "the count has not moved");
    }

    #[test]
    fn requests_out_of_order_are_each_answered_once() {
        let mut bench = Bench::new();
        let requests: Vec<_> = (0..10).map(|sequence| bench.request(sequence)).collect();
        for (count, at) in [4, 1, 0, 3, 2, 9, 7, 8, 5, 6].into_iter().enumerate() {
            assert_eq!(bench.give(&requests[at], 5000), Ok(count as u32));
            assert_eq!(bench.give(&requests[at], 5000), Err(Refusal::Replayed));
        }
    }

    #[test]
    fn sender_that_starts_again_is_counted_anew() {
        let mut bench = Bench::new();
        for sequence in 0..500 {
            bench.ask(sequence).unwrap();
        }
        let counts: Vec<_> = [0, 2, 3].map(|sequence| bench.ask(sequence)).into();
        assert_eq!(counts, [Ok(0), Ok(1), Ok(2)]);
    }

    #[test]
    fn sequence_that_wraps_goes_on() {
        let mut bench = Bench::new();
        for (count, sequence) in (0..).zip((u32::MAX - 3..=u32::MAX).chain(0..5)) {
            assert_eq!(bench.ask(sequence), Ok(count));
        }
    }

    #[test]
    fn what_is_no_request_is_malformed() {
        let mut bench = Bench::new();
        let request = bench.request(0);
        assert_eq!(
            bench.give(&request[..LEN - 1], 5000),
            Err(Refusal::Malformed)
        );
        assert_eq!(bench.give(&vec![0; 9001], 5000), Err(Refusal::Malformed));
        let mut reply = request.clone();
        reply[16] = 1;
        assert_eq!(bench.give(&reply, 5000), Err(Refusal::Malformed));
        assert_eq!(bench.give(&request, 5000), Ok(0), "and has counted nowhere");
    }

    #[test]
    fn sessions_are_bounded_and_the_busy_one_stays() {
        let mut bench = Bench::new();
        for port in 6000..7000 {
            bench.ask(u32::from(port)).unwrap();
            let request = bench.request(0);
            bench.give(&request, port).unwrap();
        }
        assert_eq!(bench.reflector.sessions.len(), MAX_SESSIONS);
        assert_eq!(bench.ask(8000), Ok(1000));
    }
}
