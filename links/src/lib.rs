//! Is a link good, and which one: pure.
//!
//! ```text
//! socket ─ bytes ─► Probe ─ Answered, Lost ─► Health ─ Up, Degraded, Down ─► Group ─► ranks
//!   ▲                 │ ▲                       ▲                              moves
//!   └─ poll_transmit ─┘ └ quality: RTT, loss ───┘ interface up, down
//! ```
//!
//! - [`stamp`]: RFC 8762 test packets, both ends. [`icmp`]: echo, RFC 792 and RFC 4443.
//! - [`Probe`]: when to send, which answer belongs to what, and what the answers say.
//! - [`bfd`]: RFC 5880, for neighbours that speak it.
//! - [`mtu`]: what the path takes in one packet, found by probing (RFC 8899).
//! - [`Health`]: whether one link is usable, with hysteresis.
//! - [`Group`]: which of several links carries the traffic, without flapping.
//!
//! Every machine has one way in, `handle(input, now)`, and gives back what it wants through
//! `poll_output`, `poll_timeout` and, for the probe, `poll_transmit`. Nothing here reads a clock,
//! opens a socket or draws a random number that was not seeded: same inputs, same outputs.
//!
//! Left out on purpose: STAMP's authenticated mode (RFC 8762 §4.2.2; links between routers are
//! encrypted already) and its TLVs (RFC 8972 §4) but for padding; they are reflected as unrecognised.

pub mod bfd;
pub mod icmp;
pub mod mtu;
pub mod stamp;

mod group;
mod health;
mod probe;
mod random;

pub use group::{
    Group, GroupConfig, GroupInput, GroupOutput, LinkId, Member, MoveReason, Policy, Rank,
};
pub use health::{
    BfdWord, Health, HealthChange, HealthConfig, HealthInput, Measurement, Reason, State,
};
pub use probe::{AddressFamily, Input, Method, Output, Probe, ProbeConfig, Quality, Transmit, Via};
