//! Bidirectional Forwarding Detection (RFC 5880, RFC 5881, RFC 5883): is the path to the neighbour alive, known
//! in a few packets' time.
//!
//! ```text
//! socket ─ datagram ─► Bfd ─ whose is it? ─► Session ─ Up, Down ─► the link's health, the BGP session
//!   ▲                   │                       │
//!   └── poll_transmit ──┴──────── packets ──────┘
//! ```
//!
//! - [`Packet`]: control packets, both ways.
//! - [`Authentication`]: keyed SHA1, plain and meticulous (RFC 5880 §6.7.4).
//! - [`Session`]: one neighbour: the state machine, poll sequences, the timers.
//! - [`Bfd`]: all sessions of a host: which datagram is for whom, and what is due next.
//!
//! Asynchronous mode. Left out on purpose: demand mode on our side and the echo function, which both ends
//! have to want (RFC 5880 §6.6, §6.4): a neighbour in demand mode is obeyed, our echo interval says 0.
//! MD5 and the simple password (RFC 5880 §6.7.2, §6.7.3) protect too little to be worth a key.

mod authentication;
mod packet;
mod session;
mod sessions;
mod timers;

pub use authentication::{Authentication, Key, Kind};
pub use packet::{Diagnostic, Fault, MAX_LEN, Packet, State};
pub use session::{Change, Config, Drop, Hops, Session, Signed, Status};
pub use sessions::{Bfd, Input, Output, Path, Received, SessionId, Transmit};
pub use timers::LEEWAY;

/// UDP port of single-hop sessions (RFC 5881 §4).
pub const PORT: u16 = 3784;
/// UDP port of multihop sessions (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
/// The first source port that may be used (RFC 5881 §4); the last is 65535.
pub const FIRST_SOURCE_PORT: u16 = 49_152;
