//! Two sessions, two wires and one clock.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp::session::{Conn, Input, Output, Session, SessionConfig, State};
use bgp::{Asn, RouterId};

pub(crate) fn config(local: u32, peer: u32) -> SessionConfig {
    SessionConfig {
        connect_retry_max: Duration::from_secs(60),
        ..SessionConfig::new(
            Asn(local),
            RouterId::new(Ipv4Addr::from(local)).expect("not zero"),
            Asn(peer),
        )
    }
}

/// xorshift64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % limit
    }
}

/// One TCP connection; bytes and the end of the stream in each direction. Side 0 or 1 dialled.
struct Wire {
    dialled_by: usize,
    /// What each side has been told of the connection.
    open: [bool; 2],
    /// On the way to each side.
    bytes: [VecDeque<u8>; 2],
    /// The other side has closed.
    ended: [bool; 2],
}

impl Wire {
    fn conn(&self, side: usize) -> Conn {
        if self.dialled_by == side {
            Conn::Outbound
        } else {
            Conn::Inbound
        }
    }
}

pub(crate) struct Pair {
    pub(crate) sessions: [Session; 2],
    pub(crate) seen: [Vec<Output>; 2],
    pub(crate) now: Instant,
    /// Dials and bytes get through.
    pub(crate) link_up: bool,
    wires: Vec<Wire>,
    dials: [usize; 2],
    random: Random,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "where simulated time starts")]
    pub(crate) fn new(configs: [SessionConfig; 2], seed: u64) -> Self {
        let now = Instant::now();
        let [first, second] = configs;
        Self {
            sessions: [
                Session::new(first, seed, now),
                Session::new(second, !seed, now),
            ],
            seen: [Vec::new(), Vec::new()],
            now,
            link_up: true,
            wires: Vec::new(),
            dials: [0, 0],
            random: Random::new(seed),
        }
    }

    pub(crate) fn start(&mut self) {
        for side in 0..2 {
            self.handle(side, Input::Start);
        }
    }

    pub(crate) fn handle(&mut self, side: usize, input: Input<'_>) {
        self.sessions[side].handle(input, self.now);
        while let Some(output) = self.sessions[side].poll_output() {
            match &output {
                Output::Dial => self.dials[side] += 1,
                Output::Hangup(conn) => self.hang_up(side, *conn),
                Output::Up(_) | Output::Down(_, _) | Output::Routes(_) | Output::Refresh(_) => {}
            }
            self.seen[side].push(output);
        }
        self.transmit(side);
    }

    /// One side forgets everything and starts anew; the other is told nothing.
    pub(crate) fn crash(&mut self, side: usize, config: SessionConfig) {
        self.sessions[side] = Session::new(config, 11, self.now);
        self.dials[side] = 0;
        for wire in &mut self.wires {
            wire.open[side] = false;
            wire.ended[side] = true;
            wire.bytes = Default::default();
        }
        self.handle(side, Input::Start);
    }

    pub(crate) fn states(&self) -> [State; 2] {
        [0, 1].map(|side| self.sessions[side].status().state)
    }

    pub(crate) fn are_established(&self) -> bool {
        self.states() == [State::Established; 2]
    }

    /// Delivers in random order and random pieces until nothing is on the way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200_000 {
            if !self.step() {
                return;
            }
        }
        unreachable!("two sessions never stop talking at one instant");
    }

    /// Jumps to the next deadline and lets everything settle; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let deadlines = self.sessions.iter().filter_map(Session::poll_timeout);
        let Some(next) = deadlines.min() else {
            return false;
        };
        self.now = self.now.max(next);
        for side in 0..2 {
            self.handle(side, Input::Timeout);
        }
        self.settle();
        true
    }

    /// Jumps from deadline to deadline until both are established.
    pub(crate) fn establish(&mut self) {
        for _ in 0..100 {
            if self.are_established() {
                return;
            }
            assert!(self.advance(), "a session waits without a deadline");
        }
        unreachable!("not established after 100 deadlines: {:?}", self.states());
    }

    pub(crate) fn open_wires(&self) -> usize {
        self.wires
            .iter()
            .filter(|wire| wire.open == [true; 2])
            .count()
    }

    fn hang_up(&mut self, side: usize, conn: Conn) {
        if conn == Conn::Outbound {
            self.dials[side] = 0;
        }
        self.send(side, conn);
        for wire in &mut self.wires {
            if wire.conn(side) == conn && wire.open[side] {
                wire.open[side] = false;
                wire.bytes[side].clear();
                wire.ended[1 - side] = true;
            }
        }
    }

    fn transmit(&mut self, side: usize) {
        for conn in [Conn::Inbound, Conn::Outbound] {
            self.send(side, conn);
        }
    }

    fn send(&mut self, side: usize, conn: Conn) {
        let mut wires = self.wires.iter_mut();
        let Some(wire) = wires.find(|wire| wire.open[side] && wire.conn(side) == conn) else {
            return;
        };
        while let Some(bytes) = self.sessions[side].poll_transmit(conn) {
            if self.link_up && !wire.ended[1 - side] {
                wire.bytes[1 - side].extend(&bytes);
            }
        }
    }

    /// One random thing that can happen at this instant.
    fn step(&mut self) -> bool {
        let mut choices: Vec<(usize, usize)> = Vec::new();
        for side in 0..2 {
            if self.dials[side] > 0 {
                choices.push((usize::MAX, side));
            }
            for (index, wire) in self.wires.iter().enumerate() {
                let has_bytes = !wire.bytes[side].is_empty();
                // A dialled side learns of the wire by its first bytes.
                let is_dialled = wire.dialled_by != side && has_bytes;
                let can_happen = if wire.open[side] {
                    has_bytes || wire.ended[side]
                } else {
                    is_dialled && !wire.ended[side]
                };
                if can_happen {
                    choices.push((index, side));
                }
            }
        }
        if choices.is_empty() {
            return false;
        }
        let (index, side) = choices[self.random.below(choices.len())];
        if index == usize::MAX {
            self.dial(side);
        } else {
            self.deliver(index, side);
        }
        true
    }

    fn dial(&mut self, side: usize) {
        self.dials[side] -= 1;
        if !self.link_up {
            return self.handle(side, Input::DialFailed);
        }
        let mut open = [false; 2];
        open[side] = true;
        self.wires.push(Wire {
            dialled_by: side,
            open,
            bytes: Default::default(),
            ended: [false; 2],
        });
        let local = local(side);
        self.handle(
            side,
            Input::Connected {
                conn: Conn::Outbound,
                local,
            },
        );
    }

    fn deliver(&mut self, index: usize, side: usize) {
        let busy = self
            .wires
            .iter()
            .position(|wire| wire.open[side] && wire.conn(side) == Conn::Inbound);
        let is_replaced = self.sessions[side].is_replaced_by(Conn::Inbound, self.now);
        let wire = &mut self.wires[index];
        let conn = wire.conn(side);
        if !wire.open[side] {
            if busy.is_some() && !is_replaced {
                wire.bytes[side].clear();
                wire.ended[1 - side] = true;
                wire.ended[side] = true;
                return;
            }
            wire.open[side] = true;
            if let Some(replaced) = busy {
                self.wires[replaced].open[side] = false;
                self.wires[replaced].ended[1 - side] = true;
            }
            let local = local(side);
            return self.handle(side, Input::Connected { conn, local });
        }
        if wire.bytes[side].is_empty() {
            wire.open[side] = false;
            return self.handle(side, Input::Closed(conn));
        }
        let most = wire.bytes[side].len();
        let count = 1 + self.random.below(most.min(40));
        let piece: Vec<u8> = wire.bytes[side].drain(..count).collect();
        self.handle(side, Input::Bytes(conn, &piece));
    }
}

fn local(side: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, [1, 2][side]])
}
