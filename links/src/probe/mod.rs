//! Measures one link: when to send, which answer belongs to what, what is lost.
//!
//! # Rounds
//!
//! Once per interval a round is sent: a STAMP packet, an ICMP echo request, or both. The round is
//! answered if either is. With [`Method::Auto`] both are sent until STAMP answers, STAMP alone while
//! it answers, and both again from the first STAMP round that stays unanswered, because a far end
//! that has lost its reflector is not a dead far end.
//!
//! # Two deadlines
//!
//! Waiting for `timeout` (1 s) before believing in a loss would take ten intervals. So a round has
//! two deadlines:
//!
//! - *overdue*: p95 of the recent RTT, plus the larger of half of it and four times the jitter, plus
//!   20 ms; never more than `timeout`. Then [`Output::Lost`] is given. An answer that comes after
//!   all still gives [`Output::Answered`], and is no loss in the statistics.
//! - *lost*: `timeout`. Only here it counts as lost in [`Quality`]; an answer after it changes
//!   nothing.
//!
//! With an interval of 100 ms, an RTT of 5 ms and three losses in a row for "down", a silent cut is
//! known after at most 3 x 100 ms, 10 ms of send jitter and 28 ms; with an RTT of 300 ms within 1.4 s,
//! answers under way and the doubt about the reflector included, and never by mistake while the RTT is
//! stable.
//!
//! The price: an RTT that jumps from 5 ms to more than 200 ms at once looks like a cut until the first
//! slow answer is there.
//!
//! # What lay in the socket
//!
//! Answers come with the time for which they lay there unread, by the kernel's stamp. That is taken off the
//! round-trip time, never added, and only if it is less than the time since the round was sent: a wall clock
//! that was stepped meanwhile is not latency.
//!
//! # When we slept ourselves
//!
//! If a deadline is found to have passed long ago, it was this process that did not run, and the
//! answers may be waiting in the socket. Such rounds get a little more time, once. Missed send times
//! are not made up for.

mod directions;
mod fallback;
mod histogram;
mod history;
mod interface;
mod quality;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::icmp::Echo;
use crate::random::Random;
use crate::stamp::{self, Authenticity, Fault, NtpTime, Timestamps};
use directions::{Directions, SKIPPED};
use fallback::{Fallback, Means, Sight};
pub use fallback::{PATIENCE as LAST_RESORT_AFTER, SessionTcp, TcpState};
use history::{Fact, History, Order};
pub use interface::{AddressFamily, Input, LastResort, Method, Output, ProbeConfig, Transmit, Via};
pub use quality::{Quality, Statistics, WINDOWS};

/// Added to the expected RTT before an answer is overdue: scheduling on both ends.
const MARGIN: Duration = Duration::from_millis(20);
/// A deadline found this late means that we slept.
const OVERSLEPT: Duration = Duration::from_millis(20);
/// What a round gets when we slept: time to read the socket.
const REPRIEVE: Duration = Duration::from_millis(10);
/// The shortest interval that is obeyed.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
/// The longest interval and timeout that are obeyed.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// The most rounds that are awaited at once; the oldest counts as lost beyond it.
const MAX_OUTSTANDING: usize = 4096;
/// After this many rounds that only ICMP answered, STAMP is tried in every tenth only.
const STAMP_PATIENCE: u32 = 50;
/// See [`STAMP_PATIENCE`].
const STAMP_RETRY: u32 = 10;

/// One round that may still be answered.
#[derive(Clone, Debug)]
struct Round {
    sequence: u32,
    sent_at: Instant,
    /// `None`: not sent through it.
    stamp: Option<NtpTime>,
    /// `None`: not sent through it.
    icmp_nonce: Option<u64>,
    purpose: Purpose,
    overdue_at: Instant,
    lost_at: Instant,
    fate: Fate,
    /// The reflector's number of its answer.
    reflected: Option<u32>,
    reprieved: bool,
}

/// What it means if nobody answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Measure,
    /// Nothing: it was a try.
    Scout,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Awaited,
    /// Given as [`Output::Lost`].
    Overdue,
    Answered,
    /// The far end refused STAMP: alive, but nothing was measured.
    Void,
}

impl Round {
    fn is_open(&self) -> bool {
        matches!(self.fate, Fate::Awaited | Fate::Overdue)
    }

    fn deadline(&self) -> Instant {
        match self.fate {
            Fate::Awaited => self.overdue_at.min(self.lost_at),
            Fate::Overdue | Fate::Answered | Fate::Void => self.lost_at,
        }
    }
}

/// What a round uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asks {
    stamp: bool,
    icmp: bool,
    tcp: bool,
    session: bool,
    purpose: Purpose,
}

/// What [`Method::Auto`] believes about the far end's reflector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reflector {
    Answers,
    /// Rounds with STAMP that ICMP alone has answered, in a row.
    Unknown {
        unanswered: u32,
    },
}

/// For how long a datagram was with those who are not the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Held {
    /// By the reflector: T3 - T2.
    there: Duration,
    /// By our kernel, until it was read.
    here: Duration,
}

/// The measurement of one link.
///
/// The driver, whenever a socket is readable or [`Probe::poll_timeout`] has passed: `handle`, then
/// `poll_output` until `None`, then `poll_transmit` until `None`, then wait. Sockets are read before
/// [`Input::Timeout`] is given.
#[derive(Debug)]
pub struct Probe {
    config: ProbeConfig,
    random: Random,
    /// The next point of the send grid, and the offset from it.
    next_grid: Instant,
    next_send: Instant,
    sequence: u32,
    timestamps: Timestamps,
    outstanding: VecDeque<Round>,
    reflector: Reflector,
    authenticity: Authenticity,
    via: Option<Via>,
    history: History,
    directions: Directions,
    /// Of the latest round that was answered.
    highest: Option<u32>,
    sent: u64,
    received: u64,
    refused: u64,
    fallback: Fallback,
    /// A connection is due: there is no session.
    connects: bool,
    unsent: VecDeque<Transmit>,
    outputs: VecDeque<Output>,
}

impl Probe {
    /// Starts to measure: the first round goes out within one interval.
    pub fn new(config: ProbeConfig, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let config = ProbeConfig {
            interval: config.interval.clamp(MIN_INTERVAL, MAX_WAIT),
            timeout: config.timeout.min(MAX_WAIT),
            ..config
        };
        let fallback = match (config.method, config.last_resort) {
            (Method::Bgp, _) => Fallback::at_once(),
            (Method::Auto, LastResort::Bgp) => Fallback::at_last(),
            (Method::Auto | Method::Stamp | Method::Icmp | Method::Tcp, _) => Fallback::never(),
        };
        let [.., longest] = WINDOWS;
        let longest = config.window.max(longest);
        let first = now + random.below(config.interval);
        Self {
            history: History::new(config.window, now),
            directions: Directions::new(longest, now),
            highest: None,
            config,
            random,
            next_grid: first,
            next_send: first,
            sequence: 0,
            timestamps: Timestamps::default(),
            outstanding: VecDeque::new(),
            reflector: Reflector::Unknown { unanswered: 0 },
            authenticity: Authenticity::default(),
            via: None,
            sent: 0,
            received: 0,
            refused: 0,
            fallback,
            connects: false,
            unsent: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.reprieve(now);
        match input {
            Input::Received { via, bytes, waited } => match via {
                Via::Stamp => self.on_stamp(bytes, waited, now),
                Via::Icmp => self.on_icmp(bytes, waited, now),
                Via::Tcp | Via::Bgp => {}
            },
            Input::Connected { round } => self.on_connected(round, now),
            Input::Session(seen) => self.on_session(seen, now),
            Input::Refused(Via::Stamp) => self.on_refused(now),
            Input::Refused(Via::Icmp | Via::Tcp | Via::Bgp) | Input::Timeout => {}
        }
        self.expire(now);
    }

    /// What was found since the last call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] and [`Probe::poll_transmit`] are due at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self
            .outstanding
            .iter()
            .filter(|round| round.is_open())
            .map(Round::deadline);
        answers.chain([self.next_send]).min()
    }

    /// The next datagram to send at `now`; `wall` is the time of day that STAMP puts on the wire, and
    /// is never used to measure.
    pub fn poll_transmit(&mut self, wall: NtpTime, now: Instant) -> Option<Transmit> {
        if self.unsent.is_empty() && self.connects {
            self.connects = false;
            self.start_round(self.with_connection(), wall, now);
        } else if self.unsent.is_empty() && now >= self.next_send {
            self.schedule(now);
            self.start_round(self.asks(), wall, now);
        }
        self.unsent.pop_front()
    }

    /// Whether an answer may still come.
    pub fn is_waiting(&self) -> bool {
        self.outstanding.iter().any(Round::is_open)
    }

    /// How good the link is at `now`.
    pub fn quality(&mut self, now: Instant) -> Quality {
        let (judged, windows) = self.history.statistics(now);
        let directed = |statistics: Statistics| {
            let loss = self.directions.loss(statistics.window, now);
            Statistics {
                loss_out: loss.out,
                loss_in: loss.back,
                ..statistics
            }
        };
        let (judged, windows) = (directed(judged), windows.map(directed));
        Quality {
            via: self.via,
            rtt_last: self.history.last(),
            judged,
            windows,
            sent: self.sent,
            received: self.received,
            refused: self.refused,
        }
    }

    /// What the answers by STAMP say about the far end's key.
    pub fn authenticity(&self) -> Authenticity {
        self.authenticity
    }

    /// Moves to the next point of the grid. Offsets of up to a tenth of the interval keep many links
    /// from beating together, and do not add up; a missed point is skipped.
    fn schedule(&mut self, now: Instant) {
        let interval = self.fallback.pace(self.config.interval);
        self.next_grid += interval;
        if self.next_grid <= now {
            self.next_grid = now + interval;
        }
        self.next_send = self.next_grid + self.random.below(interval / 10);
    }

    fn start_round(&mut self, asks: Asks, wall: NtpTime, now: Instant) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(if sequence == SKIPPED - 1 { 2 } else { 1 });
        let timestamp = self.timestamps.next(wall, self.random.next());
        let nonce = self.random.next();
        let session = self.config.identifier;
        if asks.stamp {
            let request = stamp::Request {
                sequence,
                timestamp,
                session,
            };
            self.unsent.push_back(Transmit::Datagram {
                via: Via::Stamp,
                bytes: request.encode(&self.config.mode),
            });
        }
        if asks.icmp {
            let echo = Echo {
                sequence: sequence as u16,
                nonce,
            };
            self.unsent.push_back(Transmit::Datagram {
                via: Via::Icmp,
                bytes: echo.encode_request(self.config.family).to_vec(),
            });
        }
        if asks.tcp {
            self.unsent.push_back(Transmit::Connect { round: sequence });
        }
        if asks.session {
            self.unsent.push_back(Transmit::Look);
        }
        if !(asks.stamp || asks.icmp || asks.tcp) {
            return;
        }
        self.sent += 1;
        let round = Round {
            sequence,
            sent_at: now,
            stamp: asks.stamp.then_some(timestamp),
            icmp_nonce: asks.icmp.then_some(nonce),
            purpose: asks.purpose,
            overdue_at: now + self.patience(now),
            lost_at: now + self.config.timeout,
            fate: Fate::Awaited,
            reflected: None,
            reprieved: false,
        };
        self.await_answer(round, now);
    }

    /// What the next round uses.
    fn asks(&self) -> Asks {
        let is_auto = self.config.method == Method::Auto;
        let datagrams = |stamp, icmp| Asks {
            stamp,
            icmp,
            tcp: false,
            session: false,
            purpose: Purpose::Measure,
        };
        match (self.config.method, self.fallback.means(self.sequence)) {
            (_, Some(Means::Look)) => Asks {
                session: true,
                ..datagrams(false, false)
            },
            (_, Some(Means::LookAndScout)) => Asks {
                session: true,
                purpose: Purpose::Scout,
                ..datagrams(is_auto, is_auto)
            },
            (Method::Stamp, None) => datagrams(true, false),
            (Method::Icmp, None) => datagrams(false, true),
            (Method::Tcp, None) => Asks {
                tcp: true,
                ..datagrams(false, false)
            },
            (Method::Auto | Method::Bgp, None) => match self.reflector {
                Reflector::Answers => datagrams(true, false),
                Reflector::Unknown { unanswered } => {
                    let is_tried =
                        unanswered < STAMP_PATIENCE || self.sequence.is_multiple_of(STAMP_RETRY);
                    datagrams(is_tried, true)
                }
            },
        }
    }

    /// What a round uses when there is no session to look at.
    fn with_connection(&self) -> Asks {
        let is_auto = self.config.method == Method::Auto;
        Asks {
            stamp: is_auto,
            icmp: is_auto,
            tcp: true,
            session: false,
            purpose: Purpose::Measure,
        }
    }

    /// How long an answer may take before it is overdue.
    fn patience(&mut self, now: Instant) -> Duration {
        let Some(expected) = self.history.expectation(now) else {
            return self.config.timeout;
        };
        let spread = (expected.rtt / 2).max(expected.jitter * 4);
        (expected.rtt + spread + MARGIN).min(self.config.timeout)
    }

    fn await_answer(&mut self, round: Round, now: Instant) {
        if self.outstanding.len() >= MAX_OUTSTANDING
            && let Some(oldest) = self.outstanding.pop_front()
        {
            self.close(&oldest, now);
        }
        self.outstanding.push_back(round);
    }

    fn on_stamp(&mut self, bytes: &[u8], waited: Duration, now: Instant) {
        let reply = match stamp::Reply::decode(bytes, &self.config.mode) {
            Ok(reply) => reply,
            Err(Fault::Malformed) => return,
            Err(Fault::Unauthentic(why)) => {
                self.refused += 1;
                self.authenticity.refuse(why, now);
                return;
            }
        };
        let ours = [0, self.config.identifier].contains(&reply.session);
        let asked = |round: &Round| {
            round.sequence == reply.sender_sequence && round.stamp == Some(reply.sender_timestamp)
        };
        let Some(at) = self.outstanding.iter().position(asked).filter(|_| ours) else {
            return;
        };
        if self.outstanding[at].lost_at < now {
            return;
        }
        self.outstanding[at].reflected = Some(reply.sequence);
        self.authenticity.accept(now);
        self.reflector = Reflector::Answers;
        self.via = Some(Via::Stamp);
        self.fallback.rule_out();
        let held = Held {
            there: reply.processing().unwrap_or_default(),
            here: waited,
        };
        self.answer(at, held, Via::Stamp, now);
    }

    fn on_icmp(&mut self, bytes: &[u8], waited: Duration, now: Instant) {
        let Some(reply) = Echo::decode_reply(bytes, self.config.family) else {
            return;
        };
        let asked = |round: &Round| {
            round.sequence as u16 == reply.sequence && round.icmp_nonce == Some(reply.nonce)
        };
        let Some(at) = self.outstanding.iter().position(asked) else {
            return;
        };
        if self.outstanding[at].lost_at < now || !self.outstanding[at].is_open() {
            return;
        }
        self.on_echo_alone(self.outstanding[at].stamp.is_some());
        self.via = Some(Via::Icmp);
        self.fallback.rule_out();
        let held = Held {
            here: waited,
            ..Held::default()
        };
        self.answer(at, held, Via::Icmp, now);
    }

    fn on_connected(&mut self, sequence: u32, now: Instant) {
        let asked = |round: &Round| round.sequence == sequence && round.lost_at >= now;
        let Some(at) = self.outstanding.iter().position(asked) else {
            return;
        };
        self.via = Some(Via::Tcp);
        self.answer(at, Held::default(), Via::Tcp, now);
    }

    fn on_session(&mut self, seen: SessionTcp, now: Instant) {
        match self.fallback.see(seen, now) {
            Sight::Nothing => {}
            Sight::Absent => self.connects = true,
            Sight::Lost => self.outputs.push_back(Output::Lost),
            Sight::Heard(rtt) => {
                self.via = Some(Via::Bgp);
                let rtt = rtt.unwrap_or_default();
                if rtt > Duration::ZERO {
                    self.history.push(Fact::Heard { rtt }, now);
                }
                let via = Via::Bgp;
                self.outputs.push_back(Output::Answered { rtt, via });
            }
        }
    }

    /// Nothing that was asked so far can answer: what is still open would be held against the link.
    fn fall_back(&mut self, now: Instant) {
        for round in self.outstanding.iter_mut().filter(|round| round.is_open()) {
            round.fate = Fate::Void;
        }
        self.next_send = self.next_send.min(now);
        self.next_grid = self.next_grid.min(now);
    }

    /// ICMP was first. If the reflector is in doubt, this clears the link: rounds that only the
    /// reflector could have answered, and that are not overdue yet, prove nothing.
    fn on_echo_alone(&mut self, stamp_sent: bool) {
        let Reflector::Unknown { unanswered } = &mut self.reflector else {
            return;
        };
        *unanswered = unanswered.saturating_add(u32::from(stamp_sent));
        for round in &mut self.outstanding {
            if round.fate == Fate::Awaited && round.icmp_nonce.is_none() {
                round.fate = Fate::Void;
            }
        }
    }

    fn answer(&mut self, at: usize, held: Held, via: Via, now: Instant) {
        let round = &mut self.outstanding[at];
        if !round.is_open() {
            return;
        }
        round.fate = Fate::Answered;
        let sequence = round.sequence;
        let elapsed = now.saturating_duration_since(round.sent_at);
        // More than there is left: a clock was stepped while it was held.
        let arrived = elapsed.checked_sub(held.here).unwrap_or(elapsed);
        let rtt = arrived.checked_sub(held.there).unwrap_or(arrived);
        let order = self.order(sequence);
        self.received += 1;
        self.history.push(Fact::Answered { rtt, order }, now);
        self.outputs.push_back(Output::Answered { rtt, via });
    }

    /// Whether the answer to this round came before those to all later ones. Sequences wrap.
    fn order(&mut self, sequence: u32) -> Order {
        let ahead = self.highest.map(|highest| sequence.wrapping_sub(highest));
        if ahead.is_some_and(|ahead| ahead > u32::MAX / 2) {
            return Order::Late;
        }
        self.highest = Some(sequence);
        Order::InTurn
    }

    /// The far end is there, but its reflector is not: its host says so itself. What was sent to it
    /// measures nothing, and ICMP takes over at once.
    fn on_refused(&mut self, now: Instant) {
        if self.config.method != Method::Auto || self.reflector != Reflector::Answers {
            return;
        }
        self.reflector = Reflector::Unknown { unanswered: 0 };
        for round in self.outstanding.iter_mut().filter(|round| round.is_open()) {
            round.fate = Fate::Void;
        }
        self.next_send = self.next_send.min(now);
        self.next_grid = self.next_grid.min(now);
    }

    /// A reflector that answered has not: it, or the link, is gone. Until ICMP had the time to tell
    /// which, the other rounds that only STAMP could answer prove nothing.
    fn doubt_reflector(&mut self, now: Instant) {
        if self.config.method != Method::Auto || self.reflector != Reflector::Answers {
            return;
        }
        self.reflector = Reflector::Unknown { unanswered: 0 };
        let told_at = self.next_send.max(now) + self.patience(now);
        for round in self
            .outstanding
            .iter_mut()
            .filter(|round| round.fate == Fate::Awaited)
        {
            round.overdue_at = round.overdue_at.max(told_at).min(round.lost_at);
        }
    }

    fn reprieve(&mut self, now: Instant) {
        let latest = now + REPRIEVE;
        for round in self.outstanding.iter_mut().filter(|round| round.is_open()) {
            if !round.reprieved && now.saturating_duration_since(round.deadline()) > OVERSLEPT {
                round.reprieved = true;
                round.overdue_at = round.overdue_at.max(latest);
                round.lost_at = round.lost_at.max(latest);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let mut unanswered_stamp = false;
        let mut falls_back = false;
        for round in &mut self.outstanding {
            if round.fate == Fate::Awaited && round.deadline() <= now {
                round.fate = Fate::Overdue;
                if round.purpose == Purpose::Scout {
                    continue;
                }
                unanswered_stamp |= round.stamp.is_some();
                self.outputs.push_back(Output::Lost);
                falls_back |= self.fallback.is_reached();
            }
        }
        if unanswered_stamp {
            self.doubt_reflector(now);
        }
        if falls_back {
            self.fall_back(now);
        }
        while let Some(round) = self
            .outstanding
            .pop_front_if(|oldest| oldest.lost_at <= now)
        {
            self.close(&round, now);
        }
    }

    fn close(&mut self, round: &Round, now: Instant) {
        let is_lost = round.is_open() && round.purpose == Purpose::Measure;
        if is_lost && round.fate == Fate::Awaited {
            self.outputs.push_back(Output::Lost);
        }
        if is_lost {
            self.history.push(Fact::Lost, now);
        }
        self.tell_direction(round, now);
    }

    fn tell_direction(&mut self, round: &Round, now: Instant) {
        if round.stamp.is_none() {
            return;
        }
        match (round.reflected, round.fate) {
            (Some(reflected), _) => self.directions.returned(round.sequence, reflected, now),
            (None, Fate::Awaited | Fate::Overdue) => self.directions.missed(),
            // The path works: it is the reflector that does not.
            (None, Fate::Answered | Fate::Void) => self.directions.forgive(),
        }
    }
}
