//! Cases of one event in one state of a session.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp::session::{Conn, Farewell, Input, Mode, Output, Session, SessionConfig, State};
use bgp::wire::encode_end_of_rib;
use bgp::{Asn, Family, Retained, RouterId, Updates};
use bytes::BytesMut;

use crate::describe::{events, messages, octets};
use crate::row::{self, Shown};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// Any wait of a session is shorter.
const LONG: Duration = Duration::from_secs(3600);

/// Longer than two dials of one moment take, shorter than any hold time.
const WHILE: Duration = Duration::from_secs(20);

/// What happens.
#[derive(Clone)]
pub(crate) enum Event {
    Start,
    Stop(Farewell),
    Connected(Conn),
    DialFailed,
    Closed,
    /// The next deadline of the session passes.
    Deadline,
    /// The last of its deadlines passes, and nothing was heard: the hold timer.
    Silence,
    Hears(Vec<u8>),
    /// Something waits to be sent, and nothing of it leaves until a deadline passes.
    Blocked,
    /// This, when the connection has been up for a while.
    Later(Box<Self>),
}

/// One event in one state.
pub(crate) struct Case {
    state: State,
    with: String,
    config: SessionConfig,
    /// The peer's OPEN on the way to the state.
    opened: String,
    event: Event,
    shown: String,
    output: String,
}

/// A session in this state: AS 65001, identifier 10.0.0.1, hold time 90 s, that dials AS 65002.
pub(crate) fn at(state: State) -> Case {
    let router_id = RouterId::new([10, 0, 0, 1].into()).expect("not zero");
    let mut config = SessionConfig::new(Asn(65001), router_id, Asn(65002));
    if state == State::Active {
        config.mode = Mode::Passive;
    }
    Case {
        state,
        with: String::new(),
        config,
        opened: usual_open(),
        event: Event::Deadline,
        shown: String::new(),
        output: String::new(),
    }
}

/// A message with its header.
pub(crate) fn message(kind: u8, body: &str) -> String {
    let length = 19 + octets(body).len();
    format!("{}{length:04x}{kind:02x} {body}", "ff".repeat(16))
}

/// An OPEN of AS 65002, identifier 10.0.0.2, hold time 30 s, with these optional parameters.
pub(crate) fn open(parameters: &str) -> String {
    message(1, &format!("04 fdea 001e 0a000002 {parameters}"))
}

/// The parameter with these capabilities, and its length before it.
pub(crate) fn capabilities(hex: &str) -> String {
    let length = octets(hex).len();
    format!("{:02x} 02 {length:02x} {hex}", length + 2)
}

/// An OPEN like [`open`] with 4-octet numbers and both families.
pub(crate) fn usual_open() -> String {
    open(&capabilities(
        "01 04 0001 00 01 01 04 0002 00 01 02 00 41 04 0000fdea",
    ))
}

pub(crate) fn keepalive() -> String {
    message(4, "")
}

impl Case {
    /// With another configuration.
    pub(crate) fn configured(mut self, with: &str, change: impl Fn(&mut SessionConfig)) -> Self {
        with.clone_into(&mut self.with);
        change(&mut self.config);
        self
    }

    /// With another OPEN of the peer.
    pub(crate) fn after(mut self, open: &str) -> Self {
        open.clone_into(&mut self.opened);
        self
    }

    pub(crate) fn hears(mut self, what: &str, hex: &str) -> Self {
        self.shown = format!("hears {what}");
        self.event = Event::Hears(octets(hex));
        self
    }

    pub(crate) fn given(mut self, what: &str, event: Event) -> Self {
        what.clone_into(&mut self.shown);
        self.event = event;
        self
    }

    /// The state after it, and all that the session says and does, with commas between.
    pub(crate) fn becomes(mut self, state: State, does: &str) -> Self {
        self.output = outcome(state, does);
        self
    }

    pub(crate) fn show(&self) -> Shown {
        Shown {
            input: format!("{}{:?}: {}", self.with, self.state, self.shown),
            output: self.output.clone(),
        }
    }

    pub(crate) fn run(&self) -> String {
        let mut driven = Driven::new(self.config.clone());
        driven.reach(self.state, &self.opened);
        driven.drain();
        let mut done = driven.happen(&self.event);
        for conn in [Conn::Outbound, Conn::Inbound] {
            let said = driven.sent(conn);
            if !said.is_empty() {
                done.push(messages(&said));
            }
        }
        let state = driven.session.status().state;
        let is_stopped = self.state == State::Idle || matches!(self.event, Event::Stop(_));
        if state == State::Idle && !is_stopped && self.with.is_empty() {
            driven.recover();
        }
        outcome(state, &done.join(", "))
    }
}

impl From<Case> for row::Case {
    fn from(case: Case) -> Self {
        Self::Session(case)
    }
}

fn outcome(state: State, does: &str) -> String {
    if does.is_empty() {
        format!("{state:?}")
    } else {
        format!("{state:?}: {does}")
    }
}

struct Driven {
    session: Session,
    now: Instant,
    conn: Conn,
}

impl Driven {
    #[expect(clippy::disallowed_methods, reason = "where simulated time starts")]
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        let conn = match config.mode {
            Mode::Active => Conn::Outbound,
            Mode::Passive => Conn::Inbound,
        };
        Self {
            session: Session::new(config, 7, now),
            now,
            conn,
        }
    }

    fn reach(&mut self, state: State, opened: &str) {
        if state == State::Idle {
            return;
        }
        self.happen(&Event::Start);
        if state >= State::OpenSent {
            self.happen(&Event::Connected(self.conn));
        }
        if state >= State::OpenConfirm {
            self.happen(&Event::Hears(octets(opened)));
        }
        if state >= State::Established {
            self.happen(&Event::Hears(octets(&keepalive())));
        }
        assert_eq!(self.session.status().state, state, "the way there");
    }

    /// Whatever ended the attempt, the next one succeeds.
    fn recover(&mut self) {
        self.happen(&Event::Deadline);
        self.happen(&Event::Connected(self.conn));
        self.happen(&Event::Hears(octets(&usual_open())));
        self.happen(&Event::Hears(octets(&keepalive())));
        assert_eq!(
            self.session.status().state,
            State::Established,
            "the next attempt"
        );
    }

    /// Forgets all that was said and done so far.
    fn drain(&mut self) {
        while self.session.poll_output().is_some() {}
        for conn in [Conn::Inbound, Conn::Outbound] {
            self.sent(conn);
        }
    }

    fn happen(&mut self, event: &Event) -> Vec<String> {
        let input = match event {
            Event::Start => Input::Start,
            Event::Stop(farewell) => Input::Stop(farewell.clone()),
            Event::Connected(conn) => Input::Connected {
                conn: *conn,
                local: LOCAL,
            },
            Event::DialFailed => Input::DialFailed,
            Event::Closed => Input::Closed(self.conn),
            Event::Hears(bytes) => Input::Bytes(self.conn, bytes),
            Event::Deadline => {
                self.now = self.session.poll_timeout().unwrap_or(self.now + LONG);
                Input::Timeout
            }
            Event::Silence => {
                self.now += LONG;
                Input::Timeout
            }
            Event::Blocked => {
                let mut bytes = BytesMut::new();
                encode_end_of_rib(Family::Ipv4Unicast, &mut bytes);
                let updates = Updates {
                    bytes: [bytes.freeze()].into_iter().collect(),
                    count: 1,
                };
                self.session.handle(Input::Transmit(updates), self.now);
                self.now += LONG;
                Input::Timeout
            }
            Event::Later(event) => {
                self.now += WHILE;
                return self.happen(event);
            }
        };
        self.session.handle(input, self.now);
        std::iter::from_fn(|| self.session.poll_output())
            .map(|output| describe(&output))
            .collect()
    }

    fn sent(&mut self, conn: Conn) -> BytesMut {
        let mut buf = BytesMut::new();
        while let Some(bytes) = self.session.poll_transmit(conn) {
            buf.extend_from_slice(&bytes);
        }
        buf
    }
}

fn describe(output: &Output) -> String {
    match output {
        Output::Dial => "dial".to_owned(),
        Output::Hangup(_) => "hang up".to_owned(),
        Output::Up(_) => "up".to_owned(),
        Output::Down(_, retention) => {
            let kept: Vec<String> = retention.iter().map(keeps).collect();
            std::iter::once("down".to_owned())
                .chain(kept)
                .collect::<Vec<_>>()
                .join(", ")
        }
        Output::Routes(routes) => events(routes),
        Output::Refresh(family) => format!("send {family} again"),
    }
}

fn keeps(kept: &Retained) -> String {
    let (family, restart) = (kept.family, kept.restart.as_secs());
    match kept.long_lived.as_secs() {
        0 => format!("keeps {family} {restart} s"),
        long_lived => format!("keeps {family} {restart} s and {long_lived} s"),
    }
}
