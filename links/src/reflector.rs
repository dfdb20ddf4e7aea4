//! The far end of a STAMP measurement: who is answered, and what each sender's packets are counted as.
//!
//! Stateful (RFC 8762 §4.3): each session of the sender has a count of its own, so that the sender can tell
//! requests that were lost from replies that were. A session is a UDP port of the sender and its identifier
//! (RFC 8972 §3).
//!
//! Nobody is sent more than he has sent: one reply for one request, as long as the request. A request that
//! was answered before is not answered again, however often it is played back.
//!
//! # With a key
//!
//! What a signature covers is believed, and nothing else. Ports are not covered, so that a session is an
//! identifier alone. Nor is who has signed it: a request with an identifier of ours is one of ours that somebody
//! sent back. Timestamps are, and ours only go forward: what is older than what was heard was recorded,
//! be it from before the sender started again. A sender whose clock was set back while it started again is believed
//! when nothing else was heard for a while.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::stamp::{Authenticity, Fault, Head, Mode, NtpTime, Unauthentic};

/// Sessions that are told apart; the one that was silent longest makes room.
const MAX_SESSIONS: usize = 8;
/// Requests may overtake each other by fewer than so many.
const REORDER: u32 = u64::BITS;
/// Who was not heard for so long may come back with another clock.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a packet was not reflected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// It is not a request.
    Malformed,
    /// It is not from somebody with our key.
    Unauthentic(Unauthentic),
    /// It is one of ours, which somebody has sent back.
    Mirrored,
    /// It was answered before, or is older than what was.
    Replayed,
    /// It is not from the far end of the link.
    Stranger,
}

impl Refusal {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Unauthentic(Unauthentic::Unsigned),
        Self::Unauthentic(Unauthentic::OtherKey),
        Self::Unauthentic(Unauthentic::Signed),
        Self::Mirrored,
        Self::Replayed,
        Self::Stranger,
    ];

    /// As logs and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthentic(why) => why.name(),
            Self::Mirrored => "mirrored",
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

/// What the order of timestamps is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// Anybody may write them, and a clock may be set back.
    Hint,
    /// They are signed, and go forward.
    Proof,
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
    /// Timestamp of the first request.
    first: NtpTime,
    /// When the last one came.
    heard: Instant,
}

impl Session {
    /// With its first request.
    fn new(port: u16, head: Head<'_>, now: Instant) -> Self {
        Self {
            port,
            identifier: head.session,
            next: 0,
            highest: head.sequence,
            answered: 1,
            latest: head.timestamp,
            first: head.timestamp,
            heard: now,
        }
    }

    /// Whether the request is one that was not answered yet. A sender that started again counts from zero,
    /// with timestamps that go on; an old packet has neither.
    fn admit(&mut self, head: Head<'_>, order: Order, now: Instant) -> bool {
        let is_newer = head.timestamp.is_after(self.latest);
        let ahead = head.sequence.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(head.sequence);
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        let (goes_on, is_of_this_run, has_fallen_silent) = match order {
            Order::Hint => (true, true, false),
            Order::Proof => (
                is_newer,
                !self.first.is_after(head.timestamp),
                now.saturating_duration_since(self.heard) >= SILENCE,
            ),
        };
        if goes_on && (1..=u32::MAX / 2).contains(&ahead) {
            self.answered = self.answered.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = head.sequence;
            self.latest = head.timestamp;
        } else if is_of_this_run && behind < REORDER && self.answered & bit == 0 {
            self.answered |= bit;
        } else if is_newer || has_fallen_silent {
            *self = Self::new(self.port, head, now);
        } else {
            return false;
        }
        self.heard = now;
        true
    }
}

/// The latest last.
#[derive(Clone, Debug, Default)]
struct Sessions(Vec<Session>);

impl Sessions {
    /// The number of the reply; `None` if there is to be none.
    fn count(&mut self, port: u16, head: Head<'_>, order: Order, now: Instant) -> Option<u32> {
        let known = |session: &Session| session.port == port && session.identifier == head.session;
        let mut session = match self.0.iter().position(known) {
            Some(at) => {
                if !self.0[at].admit(head, order, now) {
                    return None;
                }
                self.0.remove(at)
            }
            None => {
                if self.0.len() >= MAX_SESSIONS {
                    self.0.remove(0);
                }
                Session::new(port, head, now)
            }
        };
        let number = session.next;
        session.next = number.wrapping_add(1);
        self.0.push(session);
        Some(number)
    }
}

/// What a reflector is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReflectorConfig {
    /// Who is answered, and nobody else.
    pub remote: IpAddr,
    /// Whether he has to sign.
    pub mode: Mode,
    /// The identifiers of the sessions in which we ask him; those in which he asks us are others.
    pub ours: [u16; 2],
}

impl ReflectorConfig {
    /// Answers `remote` without asking for a signature.
    pub fn unauthenticated(remote: IpAddr) -> Self {
        Self {
            remote,
            mode: Mode::Unauthenticated,
            ours: [0; 2],
        }
    }
}

/// The reflector of one link.
#[derive(Clone, Debug)]
pub struct Reflector {
    config: ReflectorConfig,
    sessions: Sessions,
    authenticity: Authenticity,
}

impl Reflector {
    /// Has heard nothing yet.
    pub fn new(config: ReflectorConfig) -> Self {
        Self {
            config,
            sessions: Sessions::default(),
            authenticity: Authenticity::default(),
        }
    }

    /// The reply to a packet, which leaves at `sent`: as long as the packet.
    ///
    /// # Errors
    /// It is not answered, and changes nothing but what [`Reflector::authenticity`] says.
    pub fn reflect(
        &mut self,
        arrival: Arrival<'_>,
        sent: NtpTime,
        now: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let Arrival {
            bytes,
            from,
            ttl,
            at,
        } = arrival;
        if from.ip().to_canonical() != self.config.remote {
            return Err(Refusal::Stranger);
        }
        let head = Head::decode(bytes, &self.config.mode).map_err(|fault| match fault {
            Fault::Malformed => Refusal::Malformed,
            Fault::Unauthentic(why) => {
                self.authenticity.refuse(why, now);
                Refusal::Unauthentic(why)
            }
        })?;
        let (port, order) = match self.config.mode {
            Mode::Unauthenticated => (from.port(), Order::Hint),
            Mode::Authenticated(_) if self.config.ours.contains(&head.session) => {
                return Err(Refusal::Mirrored);
            }
            Mode::Authenticated(_) => (0, Order::Proof),
        };
        let number = self.sessions.count(port, head, order, now);
        let number = number.ok_or(Refusal::Replayed)?;
        self.authenticity.accept(now);
        Ok(head.reflect(ttl, at, sent, Some(number)))
    }

    /// What its packets say about the far end's key.
    pub fn authenticity(&self) -> Authenticity {
        self.authenticity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{Key, Keys, LEN, Reply, Request};

    const FAR: [u8; 4] = [192, 0, 2, 1];
    /// The far end's session, and ours.
    const SESSION: u16 = 7;
    const OURS: [u16; 2] = [8, 9];

    struct Bench {
        reflector: Reflector,
        mode: Mode,
        clock: u64,
        now: Instant,
    }

    fn signed(octet: u8) -> Mode {
        let key = Key::new(&[octet; 32]).unwrap();
        Mode::Authenticated(Keys { key, accept: None })
    }

    impl Bench {
        fn new() -> Self {
            Self::of(Mode::Unauthenticated)
        }

        #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
        fn of(mode: Mode) -> Self {
            let config = ReflectorConfig {
                remote: FAR.into(),
                mode: mode.clone(),
                ours: OURS,
            };
            Self {
                reflector: Reflector::new(config),
                mode,
                clock: 0xee00_0000_0000_0000,
                now: Instant::now(),
            }
        }

        fn request(&mut self, sequence: u32) -> Vec<u8> {
            self.request_of(SESSION, sequence)
        }

        fn request_of(&mut self, session: u16, sequence: u32) -> Vec<u8> {
            self.clock += 1 << 30;
            self.now += Duration::from_millis(250);
            let request = Request {
                sequence,
                timestamp: NtpTime(self.clock),
                session,
            };
            request.encode(&self.mode)
        }

        fn give(&mut self, bytes: &[u8], port: u16) -> Result<u32, Refusal> {
            let arrival = Arrival {
                bytes,
                from: SocketAddr::from((FAR, port)),
                ttl: 64,
                at: NtpTime(self.clock),
            };
            let sent = NtpTime(self.clock);
            let reply = self.reflector.reflect(arrival, sent, self.now)?;
            assert_eq!(reply.len(), bytes.len(), "never longer than the request");
            Ok(Reply::decode(&reply, &self.mode).unwrap().sequence)
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
            let refused = bench.reflector.reflect(arrival, NtpTime(0), bench.now);
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
        assert_eq!(bench.reflector.sessions.0.len(), MAX_SESSIONS);
        assert_eq!(bench.ask(8000), Ok(1000));
    }

    #[test]
    fn with_a_key_what_is_played_again_from_any_port_changes_nothing() {
        let mut bench = Bench::of(signed(1));
        let requests: Vec<_> = (0..200).map(|sequence| bench.request(sequence)).collect();
        for (count, request) in (0..).zip(&requests) {
            assert_eq!(bench.give(request, 5000), Ok(count));
        }
        for (port, request) in (5000..).zip(&requests) {
            assert_eq!(bench.give(request, port), Err(Refusal::Replayed));
        }
        assert_eq!(bench.reflector.sessions.0.len(), 1);
        assert_eq!(bench.ask(200), Ok(200), "the count has not moved");
    }

    #[test]
    fn with_a_key_what_was_recorded_before_the_sender_started_again_changes_nothing() {
        let mut bench = Bench::of(signed(1));
        let recorded: Vec<_> = (0..500).map(|sequence| bench.request(sequence)).collect();
        for request in &recorded[..400] {
            bench.give(request, 5000).unwrap();
        }
        for (count, sequence) in (0..100).zip(0..) {
            assert_eq!(bench.ask(sequence), Ok(count));
            for request in &recorded {
                // Those that were never answered too.
                assert_eq!(bench.give(request, 5000), Err(Refusal::Replayed));
            }
        }
    }

    #[test]
    fn with_a_key_requests_out_of_order_are_each_answered_once() {
        let mut bench = Bench::of(signed(1));
        let requests: Vec<_> = (0..10).map(|sequence| bench.request(sequence)).collect();
        for (count, at) in [0, 4, 1, 3, 2, 9, 7, 8, 5, 6].into_iter().enumerate() {
            assert_eq!(bench.give(&requests[at], 5000), Ok(count as u32));
            assert_eq!(bench.give(&requests[at], 5000), Err(Refusal::Replayed));
        }
    }

    #[test]
    fn with_a_key_our_own_requests_sent_back_are_not_answered() {
        let mut bench = Bench::of(signed(1));
        for session in OURS {
            let request = bench.request_of(session, 0);
            assert_eq!(bench.give(&request, 5000), Err(Refusal::Mirrored));
        }
        assert_eq!(bench.ask(0), Ok(0));
        assert_eq!(bench.reflector.sessions.0.len(), 1);
    }

    #[test]
    fn sender_whose_clock_was_set_back_is_believed_after_a_silence() {
        let mut bench = Bench::of(signed(1));
        for sequence in 0..100 {
            bench.ask(sequence).unwrap();
        }
        bench.clock -= 3600 << 32;
        let mut refused = 0;
        while let Err(refusal) = bench.ask(refused) {
            assert_eq!(refusal, Refusal::Replayed);
            refused += 1;
            assert!(refused < 100);
        }
        assert_eq!(refused, 39, "at four a second");
        assert_eq!(bench.ask(refused + 1), Ok(1));
    }

    #[test]
    fn forged_requests_change_nothing_and_raise_no_doubt_beside_authentic_ones() {
        let mut bench = Bench::of(signed(1));
        let mut forger = Bench::of(signed(2));
        let mut naive = Bench::new();
        for count in 0..100 {
            assert_eq!(bench.ask(count), Ok(count));
            let (forged, unsigned) = (forger.request(count + 1), naive.request(count + 1));
            let other = Refusal::Unauthentic(Unauthentic::OtherKey);
            assert_eq!(bench.give(&forged, 5000), Err(other));
            let unsigned = bench.give(&unsigned, 5000);
            assert_eq!(unsigned, Err(Refusal::Unauthentic(Unauthentic::Unsigned)));
            assert_eq!(bench.reflector.authenticity().doubt(bench.now), None);
        }
        for count in 100..200 {
            bench.now += Duration::from_millis(250);
            let forged = forger.request(count);
            bench.give(&forged, 5000).unwrap_err();
        }
        let doubt = bench.reflector.authenticity().doubt(bench.now);
        assert_eq!(doubt, Some(Unauthentic::OtherKey));
    }
}
