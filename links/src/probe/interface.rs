//! What a probe is told, hears, finds and sends.

use std::time::Duration;

use super::SessionTcp;
use crate::stamp::Mode;

/// What a probe is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeConfig {
    /// What is sent.
    pub method: Method,
    /// What there is for [`Method::Auto`] where nothing else answers.
    pub last_resort: LastResort,
    /// Between two rounds; 1 ms to 1 h.
    pub interval: Duration,
    /// An answer that takes longer is a loss; at most 1 h.
    pub timeout: Duration,
    /// Over which the link is judged; at most 32,768 rounds.
    pub window: Duration,
    /// Of the link's inside addresses.
    pub family: AddressFamily,
    /// STAMP session identifier; unique among the sessions of both ends of the link.
    pub identifier: u16,
    /// Whether STAMP packets are signed.
    pub mode: Mode,
}

/// How a link is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// STAMP if the far end answers it, ICMP echo otherwise.
    Auto,
    /// STAMP only.
    Stamp,
    /// ICMP echo only.
    Icmp,
    /// A TCP connection, accepted or refused, only.
    Tcp,
    /// What the link's BGP session tells, and TCP connections to its port while there is none.
    Bgp,
}

/// What is left where neither STAMP nor ICMP was ever answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastResort {
    /// Nothing: the link is down.
    None,
    /// As [`Method::Bgp`].
    Bgp,
}

/// Address family of a link's inside addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The socket that something comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Via {
    /// UDP, connected to the far end's port 862.
    Stamp,
    /// ICMP or ICMPv6 echo.
    Icmp,
    /// TCP connections that are closed as soon as they are there.
    Tcp,
    /// The TCP connection of the link's BGP session.
    Bgp,
}

/// The only way in.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram, from any sender: what does not belong to an outstanding round is ignored.
    Received {
        /// The socket it came from.
        via: Via,
        /// As that socket gave it.
        bytes: &'a [u8],
        /// For how long it lay in the socket, by the kernel's stamp; zero if that is not known.
        waited: Duration,
    },
    /// The far end has accepted or refused the TCP connection of [`Transmit::Connect`].
    Connected {
        /// As given there.
        round: u32,
    },
    /// What [`Transmit::Look`] has seen.
    Session(SessionTcp),
    /// The socket says that nobody listens there (ECONNREFUSED).
    Refused(Via),
    /// A deadline may have passed.
    Timeout,
}

/// What the probe has found, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// A round was answered, maybe after it was given as lost.
    Answered {
        /// Without the time that a STAMP reflector held the packet.
        rtt: Duration,
        /// What answered.
        via: Via,
    },
    /// A round's answer is overdue.
    Lost,
}

/// What to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transmit {
    /// A datagram.
    Datagram {
        /// Through this socket.
        via: Via,
        /// The UDP payload, or the ICMP message.
        bytes: Vec<u8>,
    },
    /// A TCP connection: say [`Input::Connected`], and close it at once.
    Connect {
        /// To be said with it.
        round: u32,
    },
    /// Nothing: look at the BGP session's connection, and say [`Input::Session`].
    Look,
}
