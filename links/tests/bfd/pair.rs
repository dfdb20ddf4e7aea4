//! Two hosts with one session, and a way between them that delays, loses and is cut.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use links::bfd::{
    Bfd, Change, Config, Hops, Input, Packet, Path, Received, SessionId, State, Status, Transmit,
};

pub(crate) const ID: SessionId = SessionId(7);
const INTERFACE: u32 = 3;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// 50 ms x 3, one hop.
pub(crate) fn config() -> Config {
    every(50)
}

pub(crate) fn every(interval: u64) -> Config {
    Config {
        desired_min_tx: ms(interval),
        required_min_rx: ms(interval),
        multiplier: 3,
        hops: Hops::Single,
        authentication: None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    A,
    B,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) fn address(self) -> IpAddr {
        let last = match self {
            Self::A => 1,
            Self::B => 2,
        };
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    /// As this end sees it.
    pub(crate) fn path(self) -> Path {
        Path {
            local: self.address(),
            remote: self.other().address(),
            interface: Some(INTERFACE),
        }
    }
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: End,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn packet(&self) -> Packet {
        Packet::decode(&self.bytes).expect("ours is legal").0
    }
}

type Passes = Box<dyn FnMut(&Sent) -> bool>;

/// Two hosts.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    a: Bfd,
    b: Bfd,
    delay: Duration,
    /// So much later than it should either end does anything.
    late: Duration,
    /// Whether a packet arrives.
    passes: Passes,
    under_way: Vec<Sent>,
    /// Every packet that was sent.
    pub(crate) log: Vec<Sent>,
    /// Every change, with its time.
    pub(crate) changes: Vec<(Instant, End, Change)>,
    hop_limit: u8,
}

impl Pair {
    /// Both configured, 5 ms apart, nothing lost.
    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    pub(crate) fn new(a: Config, b: Config) -> Self {
        let mut pair = Self {
            now: Instant::now(),
            a: Bfd::new(1),
            b: Bfd::new(2),
            delay: ms(5),
            late: Duration::ZERO,
            passes: Box::new(|_| true),
            under_way: Vec::new(),
            log: Vec::new(),
            changes: Vec::new(),
            hop_limit: 255,
        };
        pair.set(End::A, a);
        pair.set(End::B, b);
        pair
    }

    /// The same, and both are up.
    pub(crate) fn up(a: Config, b: Config) -> Self {
        let mut pair = Self::new(a, b);
        pair.run(ms(6000));
        assert_eq!(pair.states(), (State::Up, State::Up));
        pair.forget();
        pair
    }

    pub(crate) fn forget(&mut self) {
        self.log.clear();
        self.changes.clear();
    }

    pub(crate) fn passes(&mut self, passes: impl FnMut(&Sent) -> bool + 'static) {
        self.passes = Box::new(passes);
    }

    pub(crate) fn late(&mut self, late: Duration) {
        self.late = late;
    }

    pub(crate) fn cut(&mut self) {
        self.passes(|_| false);
    }

    pub(crate) fn hop_limit(&mut self, hop_limit: u8) {
        self.hop_limit = hop_limit;
    }

    pub(crate) fn end(&mut self, end: End) -> &mut Bfd {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    pub(crate) fn status(&mut self, end: End) -> Status {
        self.end(end).status(ID).expect("configured")
    }

    pub(crate) fn states(&mut self) -> (State, State) {
        (self.status(End::A).state, self.status(End::B).state)
    }

    pub(crate) fn set(&mut self, end: End, config: Config) {
        let path = end.path();
        self.tell(
            end,
            Input::Set {
                id: ID,
                path,
                config,
            },
        );
    }

    pub(crate) fn tell(&mut self, end: End, input: Input<'_>) {
        let now = self.now;
        self.end(end).handle(input, now);
        self.drain(end);
    }

    /// The end loses all it knows, and starts again.
    pub(crate) fn restart(&mut self, end: End, config: Config, seed: u64) {
        *self.end(end) = Bfd::new(seed);
        self.set(end, config);
    }

    /// Hands in a datagram as if the neighbour of `to` had sent it.
    pub(crate) fn inject(&mut self, to: End, bytes: &[u8], hop_limit: u8) {
        let path = to.path();
        self.inject_on(to, path, bytes, hop_limit);
    }

    pub(crate) fn inject_on(&mut self, to: End, path: Path, bytes: &[u8], hop_limit: u8) {
        let received = Received {
            path,
            hop_limit,
            bytes,
        };
        self.tell(to, Input::Received(received));
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            let now = self.now.max(next + self.late);
            self.now = now;
            self.deliver();
            for end in [End::A, End::B] {
                if self.end(end).poll_timeout().is_some_and(|at| at <= now) {
                    self.tell(end, Input::Timeout);
                }
            }
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let arrivals = self.under_way.iter().map(|sent| sent.at + self.delay);
        let timers = [self.a.poll_timeout(), self.b.poll_timeout()];
        arrivals.chain(timers.into_iter().flatten()).min()
    }

    fn deliver(&mut self) {
        let (delay, now) = (self.delay, self.now);
        let arrived = |sent: &mut Sent| sent.at + delay <= now;
        let arrived: Vec<Sent> = self.under_way.extract_if(.., arrived).collect();
        for sent in arrived {
            self.inject(sent.from.other(), &sent.bytes, self.hop_limit);
        }
    }

    fn drain(&mut self, end: End) {
        let now = self.now;
        while let Some(Transmit { packet, path, .. }) = self.end(end).poll_transmit(now) {
            assert_eq!(path, end.path());
            let sent = Sent {
                at: now,
                from: end,
                bytes: packet.as_ref().to_vec(),
            };
            self.log.push(sent.clone());
            if (self.passes)(&sent) {
                self.under_way.push(sent);
            }
        }
        while let Some(output) = self.end(end).poll_output() {
            assert_eq!(output.id, ID);
            self.changes.push((now, end, output.change));
        }
    }
}
