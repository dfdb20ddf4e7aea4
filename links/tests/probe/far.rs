//! The far end of a link, and what the way to it does to a datagram.

use std::time::Duration;

use super::sim::ms;

/// What the far end and the way to it do to a datagram.
#[derive(Clone)]
pub(crate) struct Far {
    pub(crate) delay: Duration,
    pub(crate) reflects: Reflects,
    pub(crate) echoes: bool,
    /// How long the reflector holds a packet.
    pub(crate) processing: Duration,
    /// The far clock is stepped back while it holds one.
    pub(crate) stepped_back: bool,
    pub(crate) duplicates: bool,
    /// Every n-th round is lost.
    pub(crate) lose_every: Option<u64>,
    /// Every n-th request that the reflector would answer is lost on the way there.
    pub(crate) lose_out: Option<u64>,
    /// Every n-th of its replies is lost.
    pub(crate) lose_back: Option<u64>,
    /// Accepts or refuses TCP connections.
    pub(crate) listens: bool,
    pub(crate) session: Session,
    /// What the session waits for is not acknowledged.
    pub(crate) timeouts: u32,
    /// How long datagrams lie in the socket.
    pub(crate) unread: Duration,
}

/// The BGP session of the link.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Session {
    Absent,
    Forming,
    /// It heard something then.
    Heard(Duration),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reflects {
    Yes,
    Silent,
    Refuses,
}

impl Far {
    pub(crate) fn at(delay: u64) -> Self {
        Self {
            delay: ms(delay),
            reflects: Reflects::Yes,
            echoes: true,
            processing: Duration::ZERO,
            stepped_back: false,
            duplicates: false,
            lose_every: None,
            lose_out: None,
            lose_back: None,
            listens: false,
            session: Session::Absent,
            timeouts: 0,
            unread: Duration::ZERO,
        }
    }

    pub(crate) fn cut(&mut self) {
        self.reflects = Reflects::Silent;
        self.echoes = false;
    }
}

/// An echo reply as a raw IPv4 socket gives it, made from the request with the checksum adjusted.
pub(crate) fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut message = request.to_vec();
    message[0] = 0;
    // The type went from 8 to 0, so the checksum grows by 0x0800, end-around (RFC 1624).
    let sum = u32::from(u16::from_be_bytes([message[2], message[3]])) + 0x0800;
    let sum = (sum & 0xffff) + (sum >> 16);
    message[2..4].copy_from_slice(&(sum as u16).to_be_bytes());
    let header = [
        0x45, 0, 0, 64, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
    ];
    [&header[..], &message].concat()
}
