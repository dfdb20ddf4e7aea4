//! Links to one site in simulated time: real probes, healths and a group, over ways whose weather a
//! script decides.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use links::stamp::{Mode, NtpTime};
use links::{
    AddressFamily, Figures, Group, GroupConfig, GroupInput, GroupOutput, Health, HealthConfig,
    HealthInput, Input, LastResort, LinkId, Member, Method, MoveReason, Others, Output, Probe,
    ProbeConfig, State, Transmit, Via,
};

/// RFC 4443 §4.2.
const ECHO_REPLY_V6: u8 = 129;
/// As often as the daemon looks at the quality of a link.
const LOOK: Duration = Duration::from_millis(500);

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From `least` up to `most`, which is not reached.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least)
    }
}

/// What a way does to packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weather {
    /// There and back, milliseconds.
    pub(crate) rtt: u64,
    /// A packet takes up to so much longer, milliseconds.
    pub(crate) spread: u64,
    /// Of a thousand packets.
    pub(crate) lost: u64,
}

impl Weather {
    pub(crate) const CUT: Self = Self {
        rtt: 1,
        spread: 0,
        lost: 1000,
    };

    pub(crate) fn fair(rtt: u64) -> Self {
        Self {
            rtt,
            spread: 1,
            lost: 0,
        }
    }
}

/// Traffic moved.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Moved {
    pub(crate) at: Instant,
    pub(crate) from: Vec<LinkId>,
    pub(crate) to: Vec<LinkId>,
    pub(crate) reason: MoveReason,
}

impl Moved {
    /// Whether nothing but a wish for better made it so.
    pub(crate) fn is_free(&self) -> bool {
        matches!(
            self.reason,
            MoveReason::Better { .. } | MoveReason::Recovered { .. } | MoveReason::Joined { .. }
        )
    }
}

struct Way {
    probe: Probe,
    health: Health,
    weather: Weather,
    /// Since when nothing passes, or something does.
    turned: Instant,
    looked: Instant,
}

impl Way {
    fn is_cut(&self) -> bool {
        self.weather.lost == 1000
    }
}

/// What the script has for a way, in order of time.
pub(crate) type Script = VecDeque<(Duration, usize, Weather)>;

/// When it arrives, its number, on which way, and what.
type Answer = (Instant, u64, usize, Vec<u8>);

/// See the [module](self).
pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) group: Group,
    pub(crate) moves: Vec<Moved>,
    pub(crate) random: Random,
    ways: Vec<Way>,
    answers: BinaryHeap<Reverse<Answer>>,
    sent: u64,
    script: Script,
    interval: Duration,
}

impl World {
    /// With one way for each member, over which the first weather is fair at this RTT.
    pub(crate) fn new(
        config: GroupConfig,
        members: &[(Member, u64)],
        interval: Duration,
        health: &HealthConfig,
        seed: u64,
    ) -> Self {
        let now = start();
        let mut random = Random::new(seed);
        let ways = members.iter().zip(1..).map(|((_, rtt), identifier)| {
            let probe = ProbeConfig {
                method: Method::Icmp,
                last_resort: LastResort::None,
                interval,
                timeout: Duration::from_secs(1),
                window: Duration::from_secs(10).max(interval * 10),
                // Its echo has no checksum of ours.
                family: AddressFamily::V6,
                identifier,
                mode: Mode::Unauthenticated,
            };
            Way {
                probe: Probe::new(probe, random.next(), now),
                health: Health::new(health.clone(), now),
                weather: Weather::fair(*rtt),
                turned: now,
                looked: now,
            }
        });
        let ways = ways.collect();
        let members = members.iter().map(|(member, _)| *member).collect();
        Self {
            start: now,
            now,
            group: Group::new(config, members, seed, now),
            moves: Vec::new(),
            random,
            ways,
            answers: BinaryHeap::new(),
            sent: 0,
            script: Script::new(),
            interval,
        }
    }

    /// What happens from here on.
    pub(crate) fn follow(&mut self, script: Script) {
        let now = self.now - self.start;
        let script = script.into_iter();
        self.script = script
            .map(|(at, way, weather)| (now + at, way, weather))
            .collect();
    }

    pub(crate) fn set(&mut self, way: usize, weather: Weather) {
        let way = &mut self.ways[way];
        let was_cut = way.is_cut();
        way.weather = weather;
        if way.is_cut() != was_cut {
            way.turned = self.now;
        }
    }

    pub(crate) fn state(&self, way: usize) -> State {
        self.ways[way].health.state()
    }

    /// Longest time from a cut to its finding: the losses that it takes, the wait for the last of
    /// them, and how far sends stray.
    pub(crate) fn detection(&self) -> Duration {
        self.interval * 4 + Duration::from_secs(1)
    }

    /// Nothing happens for so long, and nobody measures.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Runs for so long, checking after each step.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.step();
            self.check();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let ways = self.ways.iter().flat_map(|way| {
            let look = Some(way.looked + LOOK);
            [way.probe.poll_timeout(), way.health.poll_timeout(), look]
        });
        let answer = self.answers.peek().map(|Reverse((at, ..))| *at);
        let weather = self.script.front().map(|(at, ..)| self.start + *at);
        let others = [answer, weather, self.group.poll_timeout()];
        ways.chain(others).flatten().min()
    }

    fn step(&mut self) {
        while let Some((_, way, weather)) = self
            .script
            .pop_front_if(|(at, ..)| self.start + *at <= self.now)
        {
            self.set(way, weather);
        }
        while let Some(Reverse((at, ..))) = self.answers.peek()
            && *at <= self.now
            && let Some(Reverse((_, _, way, bytes))) = self.answers.pop()
        {
            let input = Input::Received {
                via: Via::Icmp,
                bytes: &bytes,
                waited: Duration::ZERO,
            };
            self.ways[way].probe.handle(input, self.now);
        }
        for at in 0..self.ways.len() {
            self.drive(at);
        }
        self.group.handle(GroupInput::Timeout, self.now);
        self.hear_group();
        self.tell_others();
    }

    /// Until nobody has anything to say: a link that comes up for want of others is another one to the rest.
    fn tell_others(&mut self) {
        for (way, link) in self.ways.iter_mut().zip((0..).map(LinkId)) {
            let others = match self.group.others(link) {
                0 => Others::None,
                _ => Others::Usable,
            };
            way.health.handle(HealthInput::Others(others), self.now);
            if let Some(change) = way.health.poll_output() {
                let input = GroupInput::Link { link, change };
                self.group.handle(input, self.now);
            }
        }
        self.hear_group();
    }

    fn drive(&mut self, at: usize) {
        let (now, link) = (self.now, LinkId(at as u32));
        let way = &mut self.ways[at];
        way.probe.handle(Input::Timeout, now);
        way.health.handle(HealthInput::Timeout, now);
        if now >= way.looked + LOOK {
            way.looked = now;
            let quality = way.probe.quality(now);
            way.health.handle(HealthInput::Quality(&quality), now);
            let figures = Figures::from(&quality);
            self.group
                .handle(GroupInput::Figures { link, figures }, now);
        }
        let wall = NtpTime::from_unix(Duration::from_secs(1_800_000_000) + (now - self.start));
        while let Some(transmit) = way.probe.poll_transmit(wall, now) {
            let Transmit::Datagram { bytes, .. } = transmit else {
                continue;
            };
            let Weather { rtt, spread, lost } = way.weather;
            if self.random.within(0, 1000) >= lost {
                let mut bytes = bytes;
                bytes[0] = ECHO_REPLY_V6;
                let rtt = rtt * 1000 + self.random.within(0, spread * 1000 + 1);
                self.sent += 1;
                let arrives = now + Duration::from_micros(rtt);
                self.answers.push(Reverse((arrives, self.sent, at, bytes)));
            }
        }
        while let Some(output) = way.probe.poll_output() {
            let input = match output {
                Output::Answered { .. } => HealthInput::Answered,
                Output::Lost => HealthInput::Lost,
            };
            way.health.handle(input, now);
        }
        if let Some(change) = way.health.poll_output() {
            self.group.handle(GroupInput::Link { link, change }, now);
        }
    }

    fn hear_group(&mut self) {
        while let Some(output) = self.group.poll_output() {
            if let GroupOutput::Moved { from, to, reason } = output {
                let at = self.now;
                self.moves.push(Moved {
                    at,
                    from,
                    to,
                    reason,
                });
            }
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        let active = self.group.active();
        let is_usable = |way: &Way| way.health.state() != State::Down;
        let usable = self.ways.iter().filter(|way| is_usable(way)).count();
        assert_eq!(active.is_empty(), usable == 0, "a usable link is used");
        let is_held = |way: &Way| way.health.is_held_down(self.now);
        assert!(
            usable > 0 || !self.ways.iter().any(is_held),
            "no link is held down that could be the only one"
        );
        let is_found = |way: &Way| way.is_cut() && self.now > way.turned + self.detection();
        for LinkId(at) in active {
            let way = &self.ways[*at as usize];
            assert!(is_usable(way), "never a link that is known to be dead");
            assert!(
                !is_found(way),
                "never a dead link, once there was time to see"
            );
        }
        // As the kernel chooses: the lowest rank, and of these what breaks the tie.
        let ranking = self.group.ranking().iter();
        let usable = ranking.filter(|standing| standing.rank.is_some());
        let first = usable.min_by_key(|standing| (standing.rank, standing.tiebreak));
        let first = first.map(|standing| standing.link);
        assert_eq!(first.as_ref(), active.first(), "ranks say what is in use");
    }

    /// The most moves of `which` within any such time.
    pub(crate) fn most_within(&self, time: Duration, which: impl Fn(&Moved) -> bool) -> usize {
        let moves: Vec<Instant> = self
            .moves
            .iter()
            .filter(|m| which(m))
            .map(|m| m.at)
            .collect();
        let count = |(first, at): (usize, &Instant)| {
            let within = moves[first..].iter().take_while(|m| **m - *at <= time);
            within.count()
        };
        moves.iter().enumerate().map(count).max().unwrap_or(0)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}
