//! One neighbour (RFC 5880 §6.8).

use std::time::{Duration, Instant};

use super::authentication::Authentication;
use super::packet::{self, Diagnostic, MAX_LEN, Packet, State};
use super::timers::{self, SLOW};
use crate::random::Random;

/// What a session is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Sent no more often than this; while the session is not up, once a second at most.
    pub desired_min_tx: Duration,
    /// Heard no more often than this.
    pub required_min_rx: Duration,
    /// So many packets in a row may be missing before the neighbour calls us down; 0 counts as 1.
    pub multiplier: u8,
    /// How far away the neighbour is.
    pub hops: Hops,
    /// `None`: whoever can reach us with the right hop limit is believed.
    pub authentication: Option<Authentication>,
}

impl Config {
    fn multiplier(&self) -> u8 {
        self.multiplier.max(1)
    }

    fn intervals(&self, state: State) -> Intervals {
        let tx = match state {
            State::Up => self.desired_min_tx,
            State::AdminDown | State::Down | State::Init => self.desired_min_tx.max(SLOW),
        };
        Intervals {
            tx,
            rx: self.required_min_rx,
        }
    }
}

/// How far away a neighbour is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hops {
    /// On the same link: packets arrive with hop limit 255, or are dropped (RFC 5881 §5).
    Single,
    /// Behind routers (RFC 5883).
    Multi {
        /// Packets with a lower hop limit are dropped.
        least_hop_limit: u8,
    },
}

impl Hops {
    fn admits(self, hop_limit: u8) -> bool {
        match self {
            Self::Single => hop_limit == 255,
            Self::Multi { least_hop_limit } => hop_limit >= least_hop_limit,
        }
    }
}

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Each end hears the other.
    Up,
    /// It was up, and the path or the neighbour is dead.
    Down(Diagnostic),
    /// It was up, and an operator of the neighbour took it down: that says nothing about the path
    /// (RFC 5882 §3.2).
    NeighborAdminDown,
}

/// Why a datagram was dropped by a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drop {
    /// It has come further than the neighbour is away.
    HopLimit,
    /// Not signed as agreed, or signed where nothing was agreed.
    Authentication,
    /// Signed, but older than what we have heard already.
    Replayed,
}

/// What there is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Ours.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why it last left "up", or was told to stay down.
    pub diagnostic: Diagnostic,
    /// The neighbour's state and diagnostic, if it was heard within the detection time.
    pub remote: Option<(State, Diagnostic)>,
    /// Our name of the session.
    pub local_discriminator: u32,
    /// The neighbour's, 0 if unknown.
    pub remote_discriminator: u32,
    /// Between two packets of ours, without jitter; `None`: none are sent.
    pub transmit_interval: Option<Duration>,
    /// So long a silence means "down"; `None` before anything was heard.
    pub detection_time: Option<Duration>,
    /// Packets.
    pub sent: u64,
    /// Packets that were believed.
    pub received: u64,
    /// Packets that were not.
    pub dropped: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Intervals {
    tx: Duration,
    rx: Duration,
}

/// What the neighbour said last.
#[derive(Clone, Copy, Debug)]
struct Remote {
    packet: Packet,
    /// It is forgotten unless something comes before this.
    until: Instant,
}

/// The session with one neighbour.
///
/// The driver: `received` or `timeout`, then [`Session::poll_transmit`] and [`Session::poll_output`]
/// until they give `None`, then wait for the next datagram or [`Session::poll_timeout`].
#[derive(Debug)]
pub struct Session {
    config: Config,
    random: Random,
    discriminator: u32,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    remote: Option<Remote>,
    /// What our packets say.
    announced: Intervals,
    /// What we act on: behind `announced` until the neighbour has confirmed it (RFC 5880 §6.8.3).
    in_force: Intervals,
    poll: Poll,
    /// The neighbour's poll is to be answered.
    owes_final: bool,
    /// The neighbour does not know yet what we would say now.
    news: bool,
    sent_at: Option<Instant>,
    next_at: Option<Instant>,
    transmit_sequence: u32,
    /// The last one believed, and when it may be anything again (RFC 5880 §6.8.1).
    receive_sequence: Option<(u32, Instant)>,
    output: Option<Change>,
    sent: u64,
    received: u64,
    dropped: u64,
}

impl Session {
    /// Down, and about to send. `discriminator` is our name of it, not 0 and no other session's.
    pub fn new(config: Config, discriminator: u32, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let intervals = config.intervals(State::Down);
        Self {
            discriminator,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::None,
            remote: None,
            announced: intervals,
            in_force: intervals,
            poll: Poll::Idle,
            owes_final: false,
            news: false,
            sent_at: None,
            next_at: Some(now + random.below(SLOW / 4)),
            // RFC 5880 §6.8.1: random, so that it cannot be guessed.
            transmit_sequence: random.next() as u32,
            receive_sequence: None,
            output: None,
            sent: 0,
            received: 0,
            dropped: 0,
            config,
            random,
        }
    }

    /// Other intervals for a session that goes on; hops and authentication stay as they were made.
    pub fn set_intervals(&mut self, tx: Duration, rx: Duration, multiplier: u8, now: Instant) {
        self.news |= self.config.multiplier != multiplier;
        self.config.desired_min_tx = tx;
        self.config.required_min_rx = rx;
        self.config.multiplier = multiplier;
        self.announce();
        self.reschedule(now);
    }

    /// An operator takes it down; the neighbour is told that the path is not to blame.
    pub fn disable(&mut self, now: Instant) {
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.enter(State::AdminDown, now);
        self.reschedule(now);
    }

    /// Undoes [`Session::disable`].
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.diagnostic = Diagnostic::None;
            self.enter(State::Down, now);
            self.reschedule(now);
        }
    }

    /// A datagram that is for this session, decoded. `datagram` is all of it, `section` its
    /// authentication.
    ///
    /// # Errors
    /// Why it was dropped: then nothing but the count has changed.
    pub fn received(
        &mut self,
        packet: &Packet,
        section: &[u8],
        datagram: &[u8],
        hop_limit: u8,
        now: Instant,
    ) -> Result<(), Drop> {
        let admitted = self.admit(packet, section, datagram, hop_limit, now);
        if let Err(drop) = admitted {
            self.dropped += 1;
            return Err(drop);
        }
        self.received += 1;
        if packet.is_final {
            self.on_final();
        }
        let until = now + self.detection_time(packet);
        self.remote = Some(Remote {
            packet: *packet,
            until,
        });
        if self.state != State::AdminDown {
            self.follow(packet.state, now);
            self.owes_final |= packet.poll;
        }
        self.reschedule(now);
        Ok(())
    }

    /// A deadline may have passed. The driver has read all of its sockets before it says so.
    pub fn timeout(&mut self, now: Instant) {
        if self.remote.is_none_or(|remote| now < remote.until) {
            return;
        }
        // RFC 5880 §6.8.1: who is silent for the detection time has no discriminator any more.
        self.remote = None;
        match self.state {
            State::Init | State::Up => {
                self.diagnostic = Diagnostic::DetectionTimeExpired;
                self.leave_up(Change::Down(self.diagnostic));
                self.enter(State::Down, now);
            }
            State::AdminDown | State::Down => {}
        }
        self.reschedule(now);
    }

    /// The next packet that is due by `now`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Signed> {
        if self.owes_final {
            self.owes_final = false;
            return Some(self.packet(Bits::Final, now));
        }
        let is_due = self.next_at.is_some_and(|at| at <= now);
        let is_news = self.news && self.interval().is_some();
        if !is_due && !is_news {
            return None;
        }
        let packet = self.packet(self.poll.bits(), now);
        self.sent_at = Some(now);
        self.next_at = self.interval().map(|interval| self.after(interval, now));
        Some(packet)
    }

    /// The last change that was not told yet.
    pub fn poll_output(&mut self) -> Option<Change> {
        self.output.take()
    }

    /// When to call [`Session::timeout`] and [`Session::poll_transmit`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silent = self.remote.map(|remote| remote.until);
        self.next_at.into_iter().chain(silent).min()
    }

    /// What there is to show.
    pub fn status(&self) -> Status {
        let packet = self.remote.map(|remote| remote.packet);
        Status {
            state: self.state,
            since: self.since,
            diagnostic: self.diagnostic,
            remote: packet.map(|packet| (packet.state, packet.diagnostic)),
            local_discriminator: self.discriminator,
            remote_discriminator: packet.map_or(0, |packet| packet.my_discriminator),
            transmit_interval: self.interval(),
            detection_time: packet.map(|packet| self.detection_time(&packet)),
            sent: self.sent,
            received: self.received,
            dropped: self.dropped,
        }
    }

    /// Hop limit, then key, then age: what is cheap to find out first (RFC 5880 §6.7, §6.8.6).
    fn admit(
        &mut self,
        packet: &Packet,
        section: &[u8],
        datagram: &[u8],
        hop_limit: u8,
        now: Instant,
    ) -> Result<(), Drop> {
        if !self.config.hops.admits(hop_limit) {
            return Err(Drop::HopLimit);
        }
        let Some(authentication) = &self.config.authentication else {
            return if packet.authenticated {
                Err(Drop::Authentication)
            } else {
                Ok(())
            };
        };
        let sequence = authentication
            .verify(datagram, section)
            .filter(|_| packet.authenticated)
            .ok_or(Drop::Authentication)?;
        let last = self.receive_sequence.filter(|(_, until)| now < *until);
        if let Some((last, _)) = last
            && !authentication.may_follow(last, sequence, packet.multiplier)
        {
            return Err(Drop::Replayed);
        }
        let until = now + self.detection_time(packet) * 2;
        self.receive_sequence = Some((sequence, until));
        Ok(())
    }

    /// The state machine (RFC 5880 §6.2, §6.8.6).
    fn follow(&mut self, remote: State, now: Instant) {
        let next = match (self.state, remote) {
            (State::Down, State::Down) => State::Init,
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => State::Up,
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => State::Down,
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => return,
        };
        match next {
            State::Up => self.output = Some(Change::Up),
            State::Down => {
                self.diagnostic = Diagnostic::NeighborDown;
                self.leave_up(if remote == State::AdminDown {
                    Change::NeighborAdminDown
                } else {
                    Change::Down(self.diagnostic)
                });
            }
            State::AdminDown | State::Init => {}
        }
        self.enter(next, now);
    }

    /// What did not come up does not go down: nobody was told of it.
    fn leave_up(&mut self, change: Change) {
        if self.state == State::Up {
            self.output = Some(change);
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        if self.state != state {
            self.state = state;
            self.since = now;
            self.news = true;
        }
        self.announce();
    }

    /// Says new intervals, and acts at once only on what cannot surprise a neighbour that has not heard
    /// of them (RFC 5880 §6.8.3).
    fn announce(&mut self) {
        let wanted = self.config.intervals(self.state);
        if wanted != self.announced {
            self.announced = wanted;
            self.poll = self.poll.begin();
            self.news = true;
        }
        self.in_force = match self.state {
            State::Up if self.poll != Poll::Idle => Intervals {
                tx: self.in_force.tx.min(wanted.tx),
                rx: self.in_force.rx.max(wanted.rx),
            },
            State::Up | State::AdminDown | State::Down | State::Init => wanted,
        };
    }

    /// The neighbour has heard what it was asked to confirm. If that changed meanwhile, it is asked again.
    fn on_final(&mut self) {
        match self.poll {
            Poll::Idle => {}
            Poll::Runs => {
                self.poll = Poll::Idle;
                self.in_force = self.announced;
            }
            Poll::RunsAgain => self.poll = Poll::Runs,
        }
    }

    /// RFC 5880 §6.8.4.
    fn detection_time(&self, packet: &Packet) -> Duration {
        let interval = self
            .in_force
            .rx
            .max(timers::from_micros(packet.desired_min_tx));
        interval * u32::from(packet.multiplier)
    }

    /// Between two packets of ours, without jitter; `None`: the neighbour wants none
    /// (RFC 5880 §6.8.7).
    fn interval(&self) -> Option<Duration> {
        let Some(Remote { packet, .. }) = self.remote else {
            return Some(self.in_force.tx);
        };
        let both_up = self.state == State::Up && packet.state == State::Up;
        let quiet = packet.demand && both_up && self.poll == Poll::Idle;
        if packet.required_min_rx == 0 || quiet {
            return None;
        }
        Some(
            self.in_force
                .tx
                .max(timers::from_micros(packet.required_min_rx)),
        )
    }

    fn after(&mut self, interval: Duration, from: Instant) -> Instant {
        from + timers::jittered(interval, self.config.multiplier(), &mut self.random)
    }

    /// A shorter interval holds for the packet that is waited for, too (RFC 5880 §6.8.3).
    fn reschedule(&mut self, now: Instant) {
        let base = self.sent_at.unwrap_or(now);
        self.next_at = match (self.interval(), self.next_at) {
            (None, _) => None,
            (Some(interval), Some(at)) => Some(at.min(base + interval)),
            (Some(interval), None) => Some(self.after(interval, base)),
        };
    }

    fn packet(&mut self, bits: Bits, now: Instant) -> Signed {
        let sequence = self.sequence();
        self.news = false;
        self.sent += 1;
        let remote = self.remote.filter(|remote| now < remote.until);
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: bits == Bits::Poll,
            is_final: bits == Bits::Final,
            control_plane_independent: false,
            authenticated: self.config.authentication.is_some(),
            demand: false,
            multiplier: self.config.multiplier(),
            my_discriminator: self.discriminator,
            your_discriminator: remote.map_or(0, |remote| remote.packet.my_discriminator),
            desired_min_tx: timers::micros(self.announced.tx),
            required_min_rx: timers::micros(self.announced.rx),
            required_min_echo_rx: 0,
        };
        Signed::new(&packet, self.config.authentication.as_ref(), sequence)
    }

    /// RFC 5880 §6.7.4: the plain kind counts what it says, the meticulous one every packet.
    fn sequence(&mut self) -> u32 {
        let counts = match &self.config.authentication {
            Some(authentication) => authentication.counts(self.news),
            None => false,
        };
        self.transmit_sequence = self.transmit_sequence.wrapping_add(u32::from(counts));
        self.transmit_sequence
    }
}

/// A poll sequence (RFC 5880 §6.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Poll {
    Idle,
    Runs,
    /// What is to be confirmed changed while it ran: another follows.
    RunsAgain,
}

impl Poll {
    fn begin(self) -> Self {
        match self {
            Self::Idle => Self::Runs,
            Self::Runs | Self::RunsAgain => Self::RunsAgain,
        }
    }

    fn bits(self) -> Bits {
        match self {
            Self::Idle => Bits::None,
            Self::Runs | Self::RunsAgain => Bits::Poll,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    None,
    Poll,
    Final,
}

/// A packet as it goes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signed {
    octets: [u8; MAX_LEN],
    length: u8,
}

impl Signed {
    fn new(packet: &Packet, authentication: Option<&Authentication>, sequence: u32) -> Self {
        match authentication {
            Some(authentication) => {
                let length = MAX_LEN as u8;
                let header = packet.encode(length);
                Self {
                    octets: authentication.sign(header, sequence),
                    length,
                }
            }
            None => {
                let length = packet::LEN as u8;
                let mut octets = [0; MAX_LEN];
                octets[..packet::LEN].copy_from_slice(&packet.encode(length));
                Self { octets, length }
            }
        }
    }
}

impl AsRef<[u8]> for Signed {
    fn as_ref(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}
