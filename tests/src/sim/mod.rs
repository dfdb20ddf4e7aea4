//! Many routers in simulated time: no clock, no thread, no socket, and one seed that decides all.
//!
//! ```text
//!  Network ── cables: delay, loss, cuts ── streams (TCP) and datagrams (probes)
//!     │
//!     └─ Router ── Rib, Fib, Groups
//!           └─ Peer ── Session          and, on a link: Link ── Probe, Health
//! ```
//!
//! The machines are the real ones. What carries things between them is written again after the
//! drivers of the daemon: messages between tasks arrive in order but late, the RIB hands out
//! small batches against credits, bytes arrive in pieces of any size.
//!
//! [`Network::converge`] runs until nothing contradicts what the network should have come to,
//! which it works out on its own from the topology, the cables and the policies.

mod channel;
mod check;
mod fib;
mod groups;
mod link;
mod peer;
pub mod random;
mod router;
mod stream;
pub mod topology;
mod wires;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use bgp::{Family, PeerId, Prefix};

use link::Datagram;
use peer::ToPeer;
use router::Router;
use stream::{End, Path, Stream};

pub use random::{Random, each_seed};
pub use topology::{Policy, Topology};

/// Steps at one instant that no honest set of machines needs.
const MOST_STEPS_AT_ONCE: usize = 1_000_000;

/// How a router stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The process is killed; the kernel resets its connections.
    Killed,
    /// The machine loses power: nobody says a word.
    PowerLost,
}

/// A network that lives in simulated time.
#[derive(Debug)]
pub struct Network {
    topology: Topology,
    /// `None` while it is stopped.
    routers: Vec<Option<Router>>,
    /// When each router wants to go on.
    deadlines: Vec<Option<Instant>>,
    cables: Vec<Cable>,
    random: Random,
    epoch: Instant,
    now: Instant,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    streams_opened: u64,
    loss_per_thousand: usize,
}

#[derive(Debug)]
struct Cable {
    ends: [(usize, PeerId); 2],
    delay: Duration,
    is_up: bool,
    /// A datagram that left in an earlier life of the cable does not arrive.
    cuts: u32,
    streams: BTreeMap<u64, Stream>,
}

impl Cable {
    fn path(&self, now: Instant, lost: usize) -> Path {
        Path {
            now,
            delay: self.delay,
            is_up: self.is_up,
            lost,
        }
    }
}

/// One end of a stream, or something on the way to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    cable: usize,
    stream: u64,
    end: usize,
}

#[derive(Debug)]
enum Event {
    Datagram {
        cable: usize,
        end: usize,
        cuts: u32,
        datagram: Datagram,
    },
    /// Something may have arrived on a stream.
    Stream(Place),
    /// The end that dials sends a SYN, and the next one after so long.
    Syn(Place, Duration),
    SynArrives(Place),
    SynAckArrives(Place),
    /// A reset arrives, unless the cable was cut.
    Reset(Place, u32),
    DialTimeout(Place),
    Linger(Place),
}

/// In order of time, and of scheduling where that is the same.
#[derive(Debug)]
struct Scheduled {
    at: Instant,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

// What a test does.
impl Network {
    /// All cables plugged in, all routers stopped.
    pub fn new(topology: Topology, seed: u64) -> Self {
        let epoch = Instant::now();
        let cables = topology.cables.iter().map(|cable| Cable {
            ends: cable.ends.map(|(router, peer)| {
                let number = u32::try_from(peer).expect("few peers");
                (router, PeerId(number))
            }),
            delay: cable.delay,
            is_up: true,
            cuts: 0,
            streams: BTreeMap::new(),
        });
        Self {
            routers: topology.routers.iter().map(|_| None).collect(),
            deadlines: topology.routers.iter().map(|_| None).collect(),
            cables: cables.collect(),
            topology,
            random: Random::new(seed),
            epoch,
            now: epoch,
            events: BinaryHeap::new(),
            scheduled: 0,
            streams_opened: 0,
            loss_per_thousand: 0,
        }
    }

    /// The same network with all routers started at once.
    pub fn started(topology: Topology, seed: u64) -> Self {
        let mut network = Self::new(topology, seed);
        for router in 0..network.routers.len() {
            network.start(router);
        }
        network
    }

    /// The source of all chance.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// As configured.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Starts a router that is stopped, without any memory of an earlier life.
    pub fn start(&mut self, router: usize) {
        if self.routers[router].is_some() {
            return;
        }
        let spec = &self.topology.routers[router];
        let random = Random::new(self.random.seed());
        let timing = &self.topology.timing;
        let started = Router::start(spec, timing, random, self.epoch, self.now);
        self.routers[router] = Some(started);
        self.settle(router);
    }

    /// Stops a router: all its state is lost.
    pub fn stop(&mut self, router: usize, stop: Stop) {
        self.routers[router] = None;
        self.deadlines[router] = None;
        for cable in 0..self.cables.len() {
            for end in 0..2 {
                if self.cables[cable].ends[end].0 == router {
                    self.drop_streams(cable, end, stop);
                }
            }
        }
    }

    /// Whether a router runs.
    pub fn is_running(&self, router: usize) -> bool {
        self.routers[router].is_some()
    }

    /// Cuts a cable. Nobody is told.
    pub fn cut(&mut self, cable: usize) {
        let cable = &mut self.cables[cable];
        cable.is_up = false;
        cable.cuts += 1;
        for stream in cable.streams.values_mut() {
            stream.stall();
        }
    }

    /// Mends a cable. Nobody is told.
    pub fn mend(&mut self, number: usize) {
        let (now, random) = (self.now, &mut self.random);
        let cable = &mut self.cables[number];
        if std::mem::replace(&mut cable.is_up, true) {
            return;
        }
        for stream in cable.streams.values_mut() {
            stream.resume(now, cable.delay, random);
        }
        let streams: Vec<u64> = cable.streams.keys().copied().collect();
        for stream in streams {
            for end in 0..2 {
                let cable = number;
                self.expect_arrival(Place { cable, stream, end });
            }
        }
    }

    /// Whether a cable carries anything.
    pub fn is_up(&self, cable: usize) -> bool {
        self.cables[cable].is_up
    }

    /// From here on so many packets of a thousand are lost on every cable. TCP sends its own again.
    pub fn lose(&mut self, per_thousand: usize) {
        self.loss_per_thousand = per_thousand;
    }

    /// Gives a peer of a router other filters.
    pub fn set_policies(&mut self, router: usize, peer: usize, import: Policy, export: Policy) {
        let spec = &mut self.topology.routers[router].peers[peer];
        (spec.import, spec.export) = (import, export);
        if let Some(running) = &mut self.routers[router] {
            let id = self.cables[spec.cable].ends.iter();
            let (_, id) = id
                .copied()
                .find(|(end, id)| *end == router && id.0 as usize == peer)
                .expect("the cable of the peer ends here");
            running.configure(id, spec, self.now);
            self.settle(router);
        }
    }

    /// Makes a router originate exactly these.
    pub fn originate(&mut self, router: usize, prefixes: Vec<Prefix>) {
        self.topology.routers[router]
            .originate
            .clone_from(&prefixes);
        if let Some(running) = &mut self.routers[router] {
            running.originate(prefixes, self.now);
            self.settle(router);
        }
    }

    /// Has a router ask all its peers for their routes again.
    pub fn request_refresh(&mut self, router: usize) {
        if let Some(running) = &mut self.routers[router] {
            for peer in 0..running.peers.len() {
                let id = running.peers[peer].id;
                running.tell(id, ToPeer::RequestRefresh(Family::Ipv4Unicast), self.now);
            }
            self.settle(router);
        }
    }

    /// The cable that packets for this destination leave on.
    pub fn way(&self, router: usize, destination: &str) -> Option<usize> {
        let prefix: Prefix = destination.parse().expect("a prefix");
        let running = self.routers[router].as_ref()?;
        let peer = *running.fib.effective().get(&prefix)?;
        let spec = &self.topology.routers[router];
        Some(spec.peers[peer.0 as usize].cable)
    }

    /// How often the session of a router on this cable was established since the router started.
    pub fn established_count(&self, router: usize, cable: usize) -> u64 {
        let peers = self.topology.routers[router].peers.iter();
        let running = self.routers[router].iter();
        let mut sessions = running.flat_map(|running| &running.peers).zip(peers);
        sessions
            .find(|(_, spec)| spec.cable == cable)
            .map_or(0, |(peer, _)| peer.session.status().established_count)
    }

    /// TCP connections that are open at either end of a cable.
    pub fn open_streams(&self, cable: usize) -> usize {
        let streams = self.cables[cable].streams.values();
        streams
            .filter(|stream| stream.ends.contains(&End::Open))
            .count()
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps_at_once = 0;
        while let Some(next) = self.next_deadline().filter(|next| *next <= until) {
            steps_at_once = if next > self.now {
                0
            } else {
                steps_at_once + 1
            };
            assert!(
                steps_at_once < MOST_STEPS_AT_ONCE,
                "the machines never stop at one instant"
            );
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    /// Runs until `reached`, and tells after how long; `None` if it does not come within `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        reached: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let begin = self.now;
        while !reached(self) {
            if self.now - begin >= limit {
                return None;
            }
            self.run(Duration::from_millis(1));
        }
        Some(self.now - begin)
    }
}

// Time.
impl Network {
    fn next_deadline(&self) -> Option<Instant> {
        let event = self.events.peek().map(|Reverse(scheduled)| scheduled.at);
        self.deadlines.iter().copied().flatten().chain(event).min()
    }

    fn step(&mut self) {
        let due = |scheduled: &Reverse<Scheduled>| scheduled.0.at <= self.now;
        if self.events.peek().is_some_and(due)
            && let Some(Reverse(scheduled)) = self.events.pop()
        {
            return self.on_event(scheduled.event);
        }
        for router in 0..self.routers.len() {
            if let Some(running) = &mut self.routers[router]
                && self.deadlines[router].is_some_and(|at| at <= self.now)
            {
                running.on_timeout(self.now);
                self.settle(router);
            }
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    fn schedule_at(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.events.push(Reverse(Scheduled { at, number, event }));
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Datagram {
                cable,
                end,
                cuts,
                datagram,
            } => {
                let on = &self.cables[cable];
                let (router, peer) = on.ends[end];
                let arrives = on.is_up && on.cuts == cuts;
                if let Some(running) = self.routers[router].as_mut().filter(|_| arrives) {
                    running.on_datagram(peer, datagram, self.now);
                    self.settle(router);
                }
            }
            Event::Stream(place) => self.on_arrival(place),
            Event::Syn(place, wait) => self.on_syn(place, wait),
            Event::SynArrives(place) => self.on_syn_arrival(place),
            Event::SynAckArrives(place) => self.on_syn_ack(place),
            Event::Reset(place, cuts) => {
                if self.cables[place.cable].cuts == cuts {
                    self.on_reset(place);
                }
            }
            Event::DialTimeout(place) => {
                if self.end_of(place) == Some(End::Opening) {
                    self.fail_dial(place);
                }
            }
            Event::Linger(place) => {
                if self.end_of(place) == Some(End::Lingering) {
                    self.abandon(place);
                }
            }
        }
    }
}
