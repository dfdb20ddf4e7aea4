//! One session, AS 65001, against the bytes of AS 65002, in simulated time.

#![expect(
    dead_code,
    reason = "each test file that shares this uses another part of it"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp::session::{
    Conn, DownReason, Input, Mode, Negotiated, Output, Session, SessionConfig, State,
};
use bgp::wire::{Capability, Frames, MessageKind, Notification, Open, encode_keepalive};
use bgp::{Asn, Retention, RouterId};
use bytes::{BufMut, BytesMut};

pub(crate) struct Single {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    pub(crate) outputs: Vec<Output>,
}

/// What a peer that only waits is told.
pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        mode: Mode::Passive,
        ..SessionConfig::new(Asn(65001), id(1), Asn(65002))
    }
}

fn id(last: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, last)).expect("not zero")
}

/// An OPEN of AS 65002 with both families, 4-octet numbers and these capabilities.
pub(crate) fn open(capabilities: &[Capability]) -> BytesMut {
    let mut all = vec![
        Capability::Multiprotocol { afi: 1, safi: 1 },
        Capability::Multiprotocol { afi: 2, safi: 1 },
        Capability::RouteRefresh,
        Capability::FourOctetAsn(Asn(65002)),
    ];
    all.extend_from_slice(capabilities);
    let open = Open {
        my_as: 65002,
        hold_time_secs: 90,
        router_id: id(2),
        capabilities: all,
    };
    let mut bytes = BytesMut::new();
    open.encode(&mut bytes);
    bytes
}

pub(crate) fn keepalive() -> BytesMut {
    let mut bytes = BytesMut::new();
    encode_keepalive(&mut bytes);
    bytes
}

pub(crate) fn message(kind: u8, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::from(&[0xff; 16][..]);
    bytes.put_u16(u16::try_from(19 + body.len()).expect("it fits"));
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes
}

pub(crate) fn notification(notification: &Notification) -> BytesMut {
    let mut bytes = BytesMut::new();
    notification.encode(&mut bytes);
    bytes
}

impl Single {
    #[expect(clippy::disallowed_methods, reason = "where simulated time starts")]
    pub(crate) fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        let mut single = Self {
            session: Session::new(config, 7, now),
            now,
            outputs: Vec::new(),
        };
        single.input(Input::Start);
        single
    }

    /// Established with a peer that has these capabilities.
    pub(crate) fn established(config: SessionConfig, capabilities: &[Capability]) -> Self {
        let mut single = Self::new(config);
        single.connect(Conn::Inbound);
        single.finish(Conn::Inbound, capabilities);
        single
    }

    pub(crate) fn establish(&mut self) {
        self.connect(Conn::Inbound);
        self.finish(Conn::Inbound, &[]);
    }

    /// The peer says OPEN and KEEPALIVE.
    pub(crate) fn finish(&mut self, conn: Conn, capabilities: &[Capability]) {
        self.hear(conn, &open(capabilities));
        self.hear(conn, &keepalive());
        assert_eq!(self.state(), State::Established, "{:?}", self.outputs);
        self.sent(Conn::Inbound);
        self.sent(Conn::Outbound);
        self.outputs.clear();
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.session.handle(input, self.now);
        while let Some(output) = self.session.poll_output() {
            self.outputs.push(output);
        }
    }

    pub(crate) fn connect(&mut self, conn: Conn) {
        let local = IpAddr::from([192, 0, 2, 1]);
        self.input(Input::Connected { conn, local });
    }

    pub(crate) fn hear(&mut self, conn: Conn, bytes: &[u8]) {
        self.input(Input::Bytes(conn, bytes));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Timeout);
    }

    pub(crate) fn state(&self) -> State {
        self.session.status().state
    }

    pub(crate) fn negotiated(&self) -> Negotiated {
        self.session.status().negotiated.expect("established")
    }

    pub(crate) fn sent(&mut self, conn: Conn) -> BytesMut {
        let mut buf = BytesMut::new();
        while let Some(bytes) = self.session.poll_transmit(conn) {
            buf.extend_from_slice(&bytes);
        }
        buf
    }

    /// The NOTIFICATION among what is sent.
    pub(crate) fn notification(&mut self, conn: Conn) -> Option<Notification> {
        let sent = self.sent(conn);
        let mut frames = Frames::default();
        let mut input = &sent[..];
        let mut last = None;
        while let Some(frame) = frames.next(&mut input) {
            let frame = frame.expect("we send valid headers");
            if frame.kind == MessageKind::Notification {
                last = Notification::decode(frame.body);
            }
        }
        last
    }

    /// Code and subcode of it.
    pub(crate) fn refusal(&mut self, conn: Conn) -> Option<(u8, u8)> {
        let told = self.notification(conn)?;
        Some((told.code, told.subcode))
    }

    /// What the session said last of why it ended.
    pub(crate) fn down(&self) -> Option<(DownReason, Retention)> {
        self.outputs.iter().rev().find_map(|output| {
            if let Output::Down(reason, retention) = output {
                Some((reason.clone(), retention.clone()))
            } else {
                None
            }
        })
    }
}
