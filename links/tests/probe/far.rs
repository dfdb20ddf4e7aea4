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

/// The reply to an echo request over IPv4.
pub(crate) fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut message = request.to_vec();
    message[0] = 0;
    message
}
