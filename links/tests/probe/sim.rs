//! A probe against a simulated link and far end: simulated time, exact delays.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use links::stamp::{Mode, NtpTime};
use links::{
    AddressFamily, Arrival, Health, HealthConfig, HealthInput, Input, LastResort, Method, Output,
    Probe, ProbeConfig, Quality, Reflector, ReflectorConfig, Refusal, SessionTcp, State, TcpState,
    Transmit, Via,
};

use super::far::{Far, Reflects, Session, echo_reply};

const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn config(method: Method) -> ProbeConfig {
    ProbeConfig {
        method,
        last_resort: LastResort::None,
        interval: ms(100),
        timeout: ms(1000),
        window: ms(10_000),
        family: AddressFamily::V4,
        identifier: 0x5b01,
        mode: Mode::Unauthenticated,
    }
}

/// Of the far end.
pub(crate) fn reflector(mode: Mode) -> Reflector {
    Reflector::new(ReflectorConfig {
        mode,
        ..ReflectorConfig::unauthenticated(FAR.into())
    })
}

enum Coming {
    Datagram(Via, Vec<u8>),
    Connection(u32),
    Refusal,
}

pub(crate) struct Sim {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) wall: Duration,
    pub(crate) far: Far,
    pub(crate) probe: Probe,
    pub(crate) reflector: Reflector,
    requests: u64,
    replies: u64,
    pub(crate) health: Health,
    wire: BTreeMap<(Instant, u64), Coming>,
    pub(crate) sent: Vec<(Duration, Via, Vec<u8>)>,
    pub(crate) outputs: Vec<(Duration, Output)>,
    pub(crate) changes: Vec<(Duration, State)>,
}

impl Sim {
    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    pub(crate) fn new(config: ProbeConfig, seed: u64, far: Far) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            wall: Duration::from_secs(1_800_000_000),
            far,
            reflector: reflector(config.mode.clone()),
            probe: Probe::new(config, seed, now),
            requests: 0,
            replies: 0,
            health: Health::new(HealthConfig::default(), now),
            wire: BTreeMap::new(),
            sent: Vec::new(),
            outputs: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let due = [
                arrival,
                self.probe.poll_timeout(),
                self.health.poll_timeout(),
            ];
            let next = due
                .into_iter()
                .flatten()
                .min()
                .expect("a probe always has a deadline");
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.deliver();
            self.probe.handle(Input::Timeout, self.now);
            self.drain();
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        while let Some(entry) = self
            .wire
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            match entry.remove() {
                Coming::Datagram(via, bytes) => self.receive(via, &bytes),
                Coming::Connection(round) => {
                    self.probe.handle(Input::Connected { round }, self.now);
                }
                Coming::Refusal => self.probe.handle(Input::Refused(Via::Stamp), self.now),
            }
        }
    }

    pub(crate) fn receive(&mut self, via: Via, bytes: &[u8]) {
        self.probe.handle(
            Input::Received {
                via,
                bytes,
                waited: self.far.unread,
            },
            self.now,
        );
    }

    pub(crate) fn drain(&mut self) {
        let wall = NtpTime::from_unix(self.wall + self.elapsed());
        while let Some(transmit) = self.probe.poll_transmit(wall, self.now) {
            match transmit {
                Transmit::Datagram { via, bytes } => {
                    self.sent.push((self.elapsed(), via, bytes.clone()));
                    self.carry(via, &bytes);
                }
                Transmit::Connect { round } => self.connect(round),
                Transmit::Look => {
                    let state = |heard| TcpState {
                        rtt: Some(self.far.delay),
                        silence: self.elapsed().saturating_sub(heard),
                        timeouts: self.far.timeouts,
                    };
                    let seen = match self.far.session {
                        Session::Absent => SessionTcp::Absent,
                        Session::Forming => SessionTcp::Forming,
                        Session::Heard(at) => SessionTcp::Established(state(at)),
                    };
                    self.probe.handle(Input::Session(seen), self.now);
                }
            }
        }
        while let Some(output) = self.probe.poll_output() {
            self.outputs.push((self.elapsed(), output));
            let input = match output {
                Output::Answered { .. } => HealthInput::Answered,
                Output::Lost => HealthInput::Lost,
            };
            self.health.handle(input, self.now);
        }
        self.health.handle(HealthInput::Timeout, self.now);
        if let Some(change) = self.health.poll_output() {
            self.changes.push((self.elapsed(), change.state));
        }
    }

    fn connect(&mut self, round: u32) {
        self.sent.push((self.elapsed(), Via::Tcp, vec![]));
        if self.far.listens {
            let at = self.now + self.far.delay;
            let count = self.sent.len() as u64;
            self.wire.insert((at, count), Coming::Connection(round));
        }
    }

    fn carry(&mut self, via: Via, bytes: &[u8]) {
        let count = self.sent.len() as u64;
        if self
            .far
            .lose_every
            .is_some_and(|every| count.is_multiple_of(every))
        {
            return;
        }
        let arrival = match (via, self.far.reflects, self.far.echoes) {
            (Via::Stamp, Reflects::Yes, _) => match self.reflected(bytes) {
                Some(reply) => Coming::Datagram(via, reply),
                None => return,
            },
            (Via::Stamp, Reflects::Refuses, _) => Coming::Refusal,
            (Via::Icmp, _, true) => Coming::Datagram(via, echo_reply(bytes)),
            (Via::Stamp | Via::Icmp | Via::Tcp | Via::Bgp, _, _) => return,
        };
        let held = if via == Via::Stamp {
            self.far.processing
        } else {
            Duration::ZERO
        };
        let at = self.now + self.far.delay + held;
        if let (true, Coming::Datagram(via, bytes)) = (self.far.duplicates, &arrival) {
            let copy = Coming::Datagram(*via, bytes.clone());
            self.wire.insert((at + ms(1), count), copy);
        }
        self.wire.insert((at, count), arrival);
    }

    /// The reply as far as it comes.
    fn reflected(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let is_lost =
            |every: Option<u64>, count: u64| every.is_some_and(|every| count.is_multiple_of(every));
        self.requests += 1;
        if is_lost(self.far.lose_out, self.requests) {
            return None;
        }
        let reply = self.reflect(request).ok()?;
        self.replies += 1;
        (!is_lost(self.far.lose_back, self.replies)).then_some(reply)
    }

    pub(crate) fn reflect(&mut self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        // The far clock is half an hour off: only differences may matter.
        let received = self.wall + self.elapsed() + Duration::from_secs(1800);
        let sent = if self.far.stepped_back {
            received - Duration::from_secs(900)
        } else {
            received + self.far.processing
        };
        let arrival = Arrival {
            bytes: request,
            from: (FAR, 5000).into(),
            ttl: 64,
            at: NtpTime::from_unix(received),
        };
        let sent = NtpTime::from_unix(sent);
        self.reflector.reflect(arrival, sent, self.now)
    }

    pub(crate) fn quality(&mut self) -> Quality {
        self.probe.quality(self.now)
    }

    pub(crate) fn lost(&self) -> usize {
        self.outputs
            .iter()
            .filter(|(_, output)| *output == Output::Lost)
            .count()
    }

    pub(crate) fn sent_via(&self, via: Via, from: Duration) -> usize {
        self.sent
            .iter()
            .filter(|(at, sent, _)| *at >= from && *sent == via)
            .count()
    }
}

/// For each of a few seeds: a link up for 20 s.
pub(crate) fn each_seed(method: Method, far: &Far, check: impl Fn(u64, Sim)) {
    for seed in 0..20 {
        let mut sim = Sim::new(config(method), seed, far.clone());
        sim.run(ms(20_000));
        check(seed, sim);
    }
}
