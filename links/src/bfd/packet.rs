//! Control packets (RFC 5880 §4.1).
//!
//! ```text
//!  0   version 3 bits = 1, diagnostic 5 bits
//!  1   state 2 bits, P F C A D M
//!  2   detection multiplier
//!  3   length, authentication included
//!  4   my discriminator
//!  8   your discriminator
//! 12   desired min TX interval, microseconds
//! 16   required min RX interval, microseconds
//! 20   required min echo RX interval, microseconds
//! 24   authentication: type, length, ...
//! ```

use std::fmt;

/// Octets without authentication.
pub(super) const LEN: usize = 24;
/// Octets of the longest packet that we send: with a SHA1 digest.
pub const MAX_LEN: usize = LEN + super::authentication::LEN;

const VERSION: u8 = 1;
const POLL: u8 = 1 << 5;
const FINAL: u8 = 1 << 4;
const CONTROL_PLANE_INDEPENDENT: u8 = 1 << 3;
const AUTHENTICATED: u8 = 1 << 2;
const DEMAND: u8 = 1 << 1;
const MULTIPOINT: u8 = 1;

/// State of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Kept down by an operator.
    AdminDown,
    /// Nothing has been heard, or no longer.
    Down,
    /// We hear the neighbour, and do not know yet whether it hears us.
    Init,
    /// Each end hears the other.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        })
    }
}

/// Why the sender's session last left "up" (RFC 5880 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Diagnostic {
    /// 0.
    None,
    /// 1: nothing came for the detection time.
    DetectionTimeExpired,
    /// 2.
    EchoFailed,
    /// 3: the neighbour said that its session is down.
    NeighborDown,
    /// 4.
    ForwardingPlaneReset,
    /// 5.
    PathDown,
    /// 6.
    ConcatenatedPathDown,
    /// 7: an operator keeps it down.
    AdministrativelyDown,
    /// 8.
    ReverseConcatenatedPathDown,
    /// 9 to 31: none that RFC 5880 names.
    Other(u8),
}

impl Diagnostic {
    fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Other(bits) => bits & 0x1f,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::DetectionTimeExpired => "control detection time expired",
            Self::EchoFailed => "echo function failed",
            Self::NeighborDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Other(bits) => return write!(f, "diagnostic {bits}"),
        })
    }
}

/// A control packet without its authentication. Intervals are in microseconds, as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Why the session last went down.
    pub diagnostic: Diagnostic,
    /// Of the sender.
    pub state: State,
    /// Please confirm the parameters (RFC 5880 §6.5).
    pub poll: bool,
    /// They are confirmed.
    pub is_final: bool,
    /// BFD at the sender outlives its control plane.
    pub control_plane_independent: bool,
    /// An authentication section follows.
    pub authenticated: bool,
    /// The sender wants to hear nothing periodic.
    pub demand: bool,
    /// Packets that may be lost in a row, one more is too many; not 0.
    pub multiplier: u8,
    /// The sender's name of the session; not 0.
    pub my_discriminator: u32,
    /// The receiver's, or 0 if the sender does not know it yet.
    pub your_discriminator: u32,
    /// The sender would like to send this often.
    pub desired_min_tx: u32,
    /// The sender can hear this often; 0: nothing periodic, please.
    pub required_min_rx: u32,
    /// The same for echoes; 0: none.
    pub required_min_echo_rx: u32,
}

/// Why a packet is dropped unread (RFC 5880 §6.8.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Shorter than a packet, or than it says.
    Truncated,
    /// The length field says less than a header.
    Length,
    /// Not version 1.
    Version,
    /// The detection multiplier is 0.
    Multiplier,
    /// The multipoint bit is set.
    Multipoint,
    /// My discriminator is 0.
    Discriminator,
    /// Your discriminator is 0 in a state where the sender must know it.
    NoYourDiscriminator,
}

impl Packet {
    /// Reads a datagram. Gives the packet, and the octets of its authentication section, which are
    /// empty without one. What follows the length is no part of it.
    ///
    /// # Errors
    /// The first rule of RFC 5880 §6.8.6 that it breaks.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), Fault> {
        let header: &[u8; LEN] = datagram.first_chunk().ok_or(Fault::Truncated)?;
        if header[0] >> 5 != VERSION {
            return Err(Fault::Version);
        }
        let authenticated = header[1] & AUTHENTICATED != 0;
        let length = usize::from(header[3]);
        // With authentication there are at least its type and length.
        if length < LEN + if authenticated { 2 } else { 0 } {
            return Err(Fault::Length);
        }
        let section = datagram.get(LEN..length).ok_or(Fault::Truncated)?;
        let packet = Self {
            diagnostic: Diagnostic::from_bits(header[0]),
            state: State::from_bits(header[1] >> 6),
            poll: header[1] & POLL != 0,
            is_final: header[1] & FINAL != 0,
            control_plane_independent: header[1] & CONTROL_PLANE_INDEPENDENT != 0,
            authenticated,
            demand: header[1] & DEMAND != 0,
            multiplier: header[2],
            my_discriminator: word(header, 4),
            your_discriminator: word(header, 8),
            desired_min_tx: word(header, 12),
            required_min_rx: word(header, 16),
            required_min_echo_rx: word(header, 20),
        };
        packet.check(header[1] & MULTIPOINT != 0)?;
        Ok((packet, section))
    }

    fn check(&self, multipoint: bool) -> Result<(), Fault> {
        if self.multiplier == 0 {
            return Err(Fault::Multiplier);
        }
        if multipoint {
            return Err(Fault::Multipoint);
        }
        if self.my_discriminator == 0 {
            return Err(Fault::Discriminator);
        }
        let knows_us = self.your_discriminator != 0;
        match self.state {
            State::Init | State::Up if !knows_us => Err(Fault::NoYourDiscriminator),
            State::Init | State::Up | State::Down | State::AdminDown => Ok(()),
        }
    }

    /// The header, for a packet of `length` octets in all.
    pub(super) fn encode(&self, length: u8) -> [u8; LEN] {
        let flag = |set, bit| if set { bit } else { 0 };
        let mut header = [0; LEN];
        header[0] = VERSION << 5 | self.diagnostic.bits();
        header[1] = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.authenticated, AUTHENTICATED)
            | flag(self.demand, DEMAND);
        header[2] = self.multiplier;
        header[3] = length;
        header[4..8].copy_from_slice(&self.my_discriminator.to_be_bytes());
        header[8..12].copy_from_slice(&self.your_discriminator.to_be_bytes());
        header[12..16].copy_from_slice(&self.desired_min_tx.to_be_bytes());
        header[16..20].copy_from_slice(&self.required_min_rx.to_be_bytes());
        header[20..24].copy_from_slice(&self.required_min_echo_rx.to_be_bytes());
        header
    }
}

fn word(header: &[u8; LEN], at: usize) -> u32 {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(octets)
}
