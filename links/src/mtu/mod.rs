//! What the path of a link takes in one packet: packetization layer path MTU discovery in the spirit of
//! RFC 8899, by probes that may not be fragmented.
//!
//! ```text
//!   Up ──► Searching ── Found ──► Resting ──┬─ every 30 s: does it still hold? ──► Searching
//!              ▲                            ├─ every 600 s: is there more now?
//!              └────────────────────────────┴─ the link came up again, ICMP says "too big"
//! ```
//!
//! An answer means that a packet of that size arrived, and that its answer came back. Our reflector's and
//! everybody's echo reply are as long as the request, and may come in fragments. So what is found is what
//! may be sent, or less where the way back drops fragments: both ends clamp TCP to it in both directions.
//!
//! # One attempt
//!
//! A probe of the size in question and, but for the very first, one of a size that is known to pass, the
//! control. Only a loss beside an answered control says something about the size. Otherwise the link
//! itself has trouble, which the measuring probe sees to. ICMP is believed in nothing: a "fragmentation
//! needed" has the size that is in force tried at once.
//!
//! # What it costs
//!
//! At rest one packet in 30 s, 2,840 octets a minute at an MTU of 1420; every 600 s, if the path takes less
//! than it might, eight more. A search has at most [`MOST_ATTEMPTS`] attempts, and takes about five seconds
//! where the round trip takes 20 ms.

mod packet;
mod search;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::probe::AddressFamily;
use crate::random::Random;
use crate::stamp::{self, NtpTime};
use packet::Packets;
use search::{Finding, Goal, Next, Search};

/// What every path has to take (RFC 8200 §5; RFC 8899 §5.1.2, BASE_PLPMTU).
pub const BASE: u32 = 1280;
/// What every host takes of IPv4 (RFC 791 §3.1).
pub const FLOOR: u32 = 576;
/// The least that echoes are believed in: firewalls that drop long ones begin at 1024 octets of data.
const ECHO_FLOOR: u32 = 1100;
/// The largest size that is tried: our reflector answers no longer ones.
pub const CEILING: u32 = stamp::MAX_LEN as u32 + 28;

/// How long an answer is waited for (RFC 8899 §5.1.1, PROBE_TIMER).
const PATIENCE: Duration = Duration::from_secs(1);
/// When the control is answered, and as long again, but at least this, has passed: the probe is lost.
const REORDERED: Duration = Duration::from_millis(100);
/// Between two attempts at the same size.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at what is in force (RFC 8899 §5.1.1, CONFIRMATION_TIMER).
const CONFIRM: Duration = Duration::from_secs(30);
/// Between two looks for more (RFC 8899 §5.1.1, PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// At the least between two looks for more, however often the link comes and goes.
const RAISE_LEAST: Duration = Duration::from_secs(60);
/// At the least between two looks that ICMP has asked for.
const HINTED: Duration = Duration::from_secs(5);
/// After a search that came to nothing.
const RETRY: Duration = Duration::from_secs(60);
/// How long the interface is waited for, that it takes what is to be tried.
const FOR_ROOM: Duration = Duration::from_secs(5);
/// So many attempts without any answer in a row end a search.
const SILENT: u32 = 5;
/// So many attempts in all end a search.
pub const MOST_ATTEMPTS: u32 = 64;

/// What is asked through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// STAMP if the far end answers it, ICMP echo otherwise.
    Auto,
    /// STAMP only.
    Stamp,
    /// ICMP echo only.
    Icmp,
}

/// The socket that something comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// UDP, connected to the far end's port 862.
    Stamp,
    /// Raw ICMP or ICMPv6.
    Icmp,
}

/// What a [`PathMtu`] is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// What is sent.
    pub method: Method,
    /// Of the link's inside addresses.
    pub family: AddressFamily,
    /// STAMP session identifier; unique among the sessions of both ends of the link.
    pub identifier: u16,
    /// Whether STAMP packets are signed.
    pub mode: stamp::Mode,
}

/// The only way in.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The link can carry traffic.
    Up,
    /// It cannot: nothing is sent, and what was found stays.
    Down,
    /// The interface takes `now` octets, and may be had to take `most`.
    Room {
        /// Its MTU.
        now: u32,
        /// What its encapsulation leaves, or the operator says; `now` where it is not ours to change.
        most: u32,
    },
    /// A datagram; what answers no probe is ignored.
    Received {
        /// The socket it came from.
        via: Via,
        /// As that socket gave it: ICMP over IPv4 with the IP header in front.
        bytes: &'a [u8],
    },
    /// ICMP says that a packet was too big for somebody: a hint.
    TooBig,
    /// The moment of [`PathMtu::poll_timeout`] may have come.
    Timeout,
}

/// What it wants, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// The interface should take as much; not more than needed, so that traffic that the path does not take
    /// is refused where its sender hears of it.
    Room(u32),
    /// The verdict is another.
    Found(Verdict),
}

/// What is known about the path. Octets of whole IP packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verdict {
    /// Nothing yet.
    #[default]
    Unknown,
    /// The far end answers no probe of ours.
    Silent,
    /// It takes so much.
    Takes {
        /// So much.
        mtu: u32,
        /// What the interface might take; not less than `mtu`.
        most: u32,
    },
    /// Small packets pass, and none of `least` octets; or the far end answers none as long.
    TooNarrow {
        /// The least that was tried.
        least: u32,
    },
}

impl Verdict {
    /// What the path takes, if that is known.
    pub fn mtu(self) -> Option<u32> {
        match self {
            Self::Takes { mtu, .. } => Some(mtu),
            Self::Unknown | Self::Silent | Self::TooNarrow { .. } => None,
        }
    }

    /// What the path takes, if that is less than it might be.
    pub fn less(self) -> Option<u32> {
        match self {
            Self::Takes { mtu, most } if mtu < most => Some(mtu),
            Self::Takes { .. } | Self::Unknown | Self::Silent | Self::TooNarrow { .. } => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known yet"),
            Self::Silent => {
                f.write_str("what the path takes is not known: the far end answers no probe")
            }
            Self::Takes { mtu, most } if mtu < most => {
                write!(f, "the path takes {mtu} of {most}")
            }
            Self::Takes { mtu, .. } => write!(f, "the path takes {mtu}"),
            Self::TooNarrow { least } => write!(
                f,
                "the path takes no {least}, or the far end answers no probe as long"
            ),
        }
    }
}

/// A datagram to send, not to be fragmented.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Through this socket.
    pub via: Via,
    /// The UDP payload, or the ICMP message.
    pub bytes: Vec<u8>,
}

/// What the interface takes, and may be had to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Room {
    now: u32,
    most: u32,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The link is down, or its interface is not known.
    Off,
    Searching(Searching),
    Resting {
        confirm_at: Instant,
    },
}

#[derive(Clone, Debug)]
struct Searching {
    search: Search,
    /// Made so far.
    attempts: u32,
    /// Attempts in a row that nobody has answered.
    unanswered: u32,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The interface does not take this size yet.
    ForRoom { size: u32, until: Instant },
    /// To be sent at this moment.
    At { size: u32, at: Instant },
    /// Sent.
    Awaiting(Attempt),
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    size: u32,
    /// `None`: there is none. 0: the smallest there is.
    control: Option<u32>,
    began: Instant,
    control_answered: Option<Instant>,
}

impl Attempt {
    fn deadline(&self) -> Instant {
        let last = self.began + PATIENCE;
        match self.control_answered {
            Some(at) => {
                let took = at.saturating_duration_since(self.began);
                last.min(at + took.max(REORDERED))
            }
            None => last,
        }
    }
}

/// The discovery of one link's path MTU.
///
/// The driver, whenever a socket is readable or [`PathMtu::poll_timeout`] has passed: `handle`, then
/// `poll_output` until `None`, then `poll_transmit` until `None`, then wait. Sockets are read before
/// [`Input::Timeout`] is given.
#[derive(Clone, Debug)]
pub struct PathMtu {
    config: Config,
    packets: Packets,
    random: Random,
    usable: bool,
    room: Option<Room>,
    verdict: Verdict,
    /// What answered last.
    answers: Option<Via>,
    phase: Phase,
    /// Not looked for more before.
    raise_at: Option<Instant>,
    raise_least: Option<Instant>,
    /// Hints before that are not heard.
    deaf_until: Option<Instant>,
    wanted: Option<u32>,
    unsent: VecDeque<(Via, u32)>,
    outputs: VecDeque<Output>,
}

impl PathMtu {
    /// Knows nothing, and begins when the link is up and its interface known.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            packets: Packets::default(),
            random: Random::new(seed),
            usable: false,
            room: None,
            verdict: Verdict::Unknown,
            answers: None,
            phase: Phase::Off,
            raise_at: None,
            raise_least: None,
            deaf_until: None,
            wanted: None,
            unsent: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Up => self.on_up(now),
            Input::Down => self.on_down(),
            Input::Room { now: takes, most } => self.on_room(takes, most, now),
            Input::Received { via, bytes } => self.on_received(via, bytes, now),
            Input::TooBig => self.on_hint(now),
            Input::Timeout => {}
        }
        self.on_time(now);
    }

    /// Drain after every [`PathMtu::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Off => None,
            Phase::Resting { confirm_at } => {
                let raise = self.raise_at.filter(|_| self.verdict.less().is_some());
                raise.into_iter().chain([*confirm_at]).min()
            }
            Phase::Searching(searching) => Some(match &searching.step {
                Step::ForRoom { until, .. } => *until,
                Step::At { at, .. } => *at,
                Step::Awaiting(attempt) => attempt.deadline(),
            }),
        }
    }

    /// The next datagram to send; `wall` is the time of day that STAMP puts on the wire.
    pub fn poll_transmit(&mut self, wall: NtpTime) -> Option<Transmit> {
        let (via, size) = self.unsent.pop_front()?;
        let random = self.random.next();
        Some(self.packets.probe(&self.config, via, size, wall, random))
    }

    /// What is known about the path.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn on_up(&mut self, now: Instant) {
        if !self.usable {
            self.usable = true;
            self.begin(now);
        }
    }

    fn on_down(&mut self) {
        self.usable = false;
        self.phase = Phase::Off;
        self.unsent.clear();
        self.packets.forget();
    }

    fn on_room(&mut self, takes: u32, most: u32, now: Instant) {
        let room = Room {
            now: takes.min(CEILING),
            most: most.min(CEILING),
        };
        let before = self.room.replace(room);
        if before.map(|before| before.most) != Some(room.most) {
            self.on_most(room, now);
        } else if let Phase::Searching(searching) = &mut self.phase
            && let Step::ForRoom { size, .. } = searching.step
            && room.now >= size
        {
            searching.step = Step::At { size, at: now };
        }
    }

    /// Another bound: what was found under the old one is where to begin.
    fn on_most(&mut self, room: Room, now: Instant) {
        if let Verdict::Takes { mtu, .. } = self.verdict
            && mtu >= room.most
        {
            self.conclude(Verdict::Takes {
                mtu: room.most,
                most: room.most,
            });
        }
        self.raise_least = None;
        self.phase = Phase::Off;
        if self.usable {
            self.begin(now);
        }
    }

    /// Looks at the path anew, and for more unless that was done just now.
    fn begin(&mut self, now: Instant) {
        let is_raised = self.raise_least.is_some_and(|least| now < least);
        let goal = match is_raised {
            true => Goal::Confirm,
            false => Goal::Raise,
        };
        self.search(goal, now);
    }

    fn search(&mut self, goal: Goal, now: Instant) {
        let Some(room) = self.room else { return };
        if goal == Goal::Raise {
            self.raise_at = Some(now + RAISE);
            self.raise_least = Some(now + RAISE_LEAST);
        }
        // An interface of ours that takes less than it might was made so by an earlier run.
        let guess = self.verdict.mtu().unwrap_or(room.now.max(FLOOR));
        self.packets.forget();
        self.unsent.clear();
        let searching = Searching {
            search: Search::new(goal, guess, room.most),
            attempts: 0,
            unanswered: 0,
            step: Step::At {
                size: guess,
                at: now,
            },
        };
        self.go_on(searching, now);
    }

    fn on_received(&mut self, via: Via, bytes: &[u8], now: Instant) {
        let Some(size) = self.packets.answered(&self.config, via, bytes) else {
            return;
        };
        // STAMP before ICMP: nobody rations it, and nobody filters it by size.
        if self.answers != Some(Via::Stamp) {
            self.answers = Some(via);
        }
        let mut searching = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Searching(searching) => searching,
            // The same size was asked for in two ways.
            other @ (Phase::Off | Phase::Resting { .. }) => {
                self.phase = other;
                return;
            }
        };
        searching.unanswered = 0;
        if size > 0 {
            searching.search.pass(size);
        }
        match &mut searching.step {
            Step::Awaiting(attempt) if size >= attempt.size => return self.go_on(searching, now),
            Step::Awaiting(attempt) if attempt.control == Some(size) => {
                attempt.control_answered.get_or_insert(now);
            }
            Step::Awaiting(_) | Step::At { .. } | Step::ForRoom { .. } => {}
        }
        self.phase = Phase::Searching(searching);
    }

    fn on_hint(&mut self, now: Instant) {
        let is_deaf = self.deaf_until.is_some_and(|until| now < until);
        if let Phase::Resting { .. } = self.phase
            && !is_deaf
        {
            self.deaf_until = Some(now + HINTED);
            self.search(Goal::Confirm, now);
        }
    }

    fn on_time(&mut self, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Off => {}
            Phase::Resting { confirm_at } => {
                let may_grow = self.verdict.less().is_some();
                self.phase = Phase::Resting { confirm_at };
                if may_grow && self.raise_at.is_some_and(|at| at <= now) {
                    self.search(Goal::Raise, now);
                } else if confirm_at <= now {
                    self.search(Goal::Confirm, now);
                }
            }
            Phase::Searching(searching) => match searching.step {
                Step::ForRoom { until, .. } if until <= now => self.rest(RETRY, now),
                Step::At { size, at } if at <= now => self.send(searching, size, now),
                Step::Awaiting(attempt) if attempt.deadline() <= now => {
                    self.on_lost(searching, attempt, now);
                }
                Step::ForRoom { .. } | Step::At { .. } | Step::Awaiting(_) => {
                    self.phase = Phase::Searching(searching);
                }
            },
        }
    }

    fn send(&mut self, mut searching: Searching, size: u32, now: Instant) {
        // The ordinary case is one probe and its answer.
        let control = (searching.attempts > 0).then(|| searching.search.passed().unwrap_or(0));
        searching.attempts += 1;
        searching.step = Step::Awaiting(Attempt {
            size,
            control,
            began: now,
            control_answered: None,
        });
        // The control first: what leaves together, one length after the other and the last one shorter, a tunnel may
        // hand over as one, which is lost as one where the longer does not fit.
        for size in control.into_iter().chain([size]) {
            let probes = self.vias().iter().map(|via| (*via, size));
            self.unsent.extend(probes);
        }
        self.phase = Phase::Searching(searching);
    }

    /// What to ask through: all that there is until somebody answers.
    fn vias(&self) -> &'static [Via] {
        match (self.config.method, self.answers) {
            (Method::Stamp, _) | (Method::Auto, Some(Via::Stamp)) => &[Via::Stamp],
            (Method::Icmp, _) | (Method::Auto, Some(Via::Icmp)) => &[Via::Icmp],
            (Method::Auto, None) => &[Via::Stamp, Via::Icmp],
        }
    }

    fn on_lost(&mut self, mut searching: Searching, attempt: Attempt, now: Instant) {
        match (attempt.control, attempt.control_answered) {
            (Some(_), Some(_)) => searching.search.fail(attempt.size),
            (Some(_), None) => {
                searching.search.void();
                searching.unanswered += 1;
                // Whoever answered before may be gone, and another be there.
                self.answers = None;
            }
            // Nothing was sent beside it: it says nothing.
            (None, _) => {}
        }
        self.go_on(searching, now);
    }

    /// The next attempt, or the end of the search.
    fn go_on(&mut self, mut searching: Searching, now: Instant) {
        if searching.unanswered >= SILENT && self.verdict == Verdict::Unknown {
            self.conclude(Verdict::Silent);
        }
        if searching.unanswered >= SILENT || searching.attempts >= MOST_ATTEMPTS {
            return self.rest(RETRY, now);
        }
        match searching.search.next(self.floor()) {
            Next::Try(size) => {
                let at = match searching.step {
                    Step::Awaiting(attempt) if attempt.size == size => attempt.began + AGAIN,
                    Step::Awaiting(_) | Step::At { .. } | Step::ForRoom { .. } => now,
                };
                self.want(Some(size));
                let fits = self.room.is_some_and(|room| size <= room.now);
                searching.step = match fits {
                    true => Step::At { size, at },
                    false => Step::ForRoom {
                        size,
                        until: now + FOR_ROOM,
                    },
                };
                self.phase = Phase::Searching(searching);
            }
            Next::Done(finding) => {
                let most = self.room.map_or(0, |room| room.most);
                self.conclude(match finding {
                    Finding::Passes(mtu) => Verdict::Takes { mtu, most },
                    Finding::TooNarrow(least) => Verdict::TooNarrow { least },
                });
                self.rest(CONFIRM, now);
            }
        }
    }

    /// The least that may be believed.
    fn floor(&self) -> u32 {
        match (self.config.family, self.answers) {
            (AddressFamily::V4, Some(Via::Stamp)) => FLOOR,
            (AddressFamily::V4, Some(Via::Icmp) | None) => ECHO_FLOOR,
            (AddressFamily::V6, _) => BASE,
        }
    }

    fn rest(&mut self, pause: Duration, now: Instant) {
        self.want(None);
        // Spread, so that hundreds of links do not ask at once.
        let earlier = self.random.below(pause / 10);
        self.phase = Phase::Resting {
            confirm_at: now + pause - earlier,
        };
    }

    fn conclude(&mut self, verdict: Verdict) {
        if self.verdict != verdict {
            self.verdict = verdict;
            self.outputs.push_back(Output::Found(verdict));
        }
    }

    /// Asks for an interface that takes what is known to pass, and what is to be tried.
    fn want(&mut self, trying: Option<u32>) {
        let Some(room) = self.room else { return };
        let known = match self.verdict {
            Verdict::Takes { mtu, .. } => mtu,
            // As an earlier run has left it.
            Verdict::Unknown => room.now,
            Verdict::Silent | Verdict::TooNarrow { .. } => room.most,
        };
        let least = match self.config.family {
            AddressFamily::V4 => FLOOR,
            // Below that an interface has no IPv6.
            AddressFamily::V6 => BASE,
        };
        let wanted = known.max(trying.unwrap_or(0)).max(least).min(room.most);
        if self.wanted != Some(wanted) {
            self.wanted = Some(wanted);
            self.outputs.push_back(Output::Room(wanted));
        }
    }
}
