//! Is a link good, and which one: pure.
//!
//! ```text
//! socket ─ bytes ─► Probe ─ Answered, Lost ─► Health ─ up, degraded, … ─────► Group ─► ranks
//!   ▲                 │ ▲                       ▲                              ▲     moves
//!   └─ poll_transmit ─┘ └ quality: RTT, loss ───┴─ interface, BFD, orders      └─ figures
//! ```
//!
//! - [`stamp`]: RFC 8762 test packets, both ends, both modes. [`icmp`]: echo, RFC 792 and RFC 4443.
//! - [`Reflector`]: who is answered, and what each sender's packets are counted as.
//! - [`Probe`]: when to send, which answer belongs to what, and what the answers say.
//! - [`bfd`]: RFC 5880, for neighbours that speak it.
//! - [`mtu`]: what the path takes in one packet, found by probing (RFC 8899).
//! - [`Health`]: whether one link is usable, with hysteresis.
//! - [`Meter`]: what its traffic costs.
//! - [`Group`]: which of several links carries the traffic, without flapping.
//! - [`Preferences`]: which of them the far side is asked to send by.
//! - [`Symmetry`]: whether it does.
//! - [`Drill`]: a failover exercise, with its guards and its report. [`Drain`]: what emptying a link waits for.
//!
//! Every machine has one way in, `handle(input, now)`, and gives back what it wants through
//! `poll_output`, `poll_timeout` and, for the probe, `poll_transmit`. Nothing here reads a clock,
//! opens a socket or draws a random number that was not seeded: same inputs, same outputs.
//!
//! Left out on purpose: STAMP's TLVs (RFC 8972 §4) but for padding; they are reflected as unrecognised.

pub mod bfd;
pub mod icmp;
pub mod mtu;
pub mod stamp;

mod drain;
mod drill;
mod group;
mod health;
mod key;
mod meter;
mod preference;
mod probe;
mod random;
mod reflector;
mod symmetry;
mod words;

pub use drain::{Drain, DrainEnd, DrainInput, Waiting};
pub use drill::{
    Drill, DrillConfig, DrillEnd, DrillInput, DrillOutput, DrillRefusal, DrillReport, Fault,
    Packets, Progress, Role, Scene, Verdict,
};
pub use group::{
    FORGET, Figure, Figures, Group, GroupConfig, GroupInput, GroupOutput, LONGEST, LinkId, Member,
    MoveReason, Policy, Rank, RttMargin, START, Standing, View, Why,
};
pub use health::{
    BfdWord, Health, HealthChange, HealthConfig, HealthInput, Limit, Measurement, Order, Others,
    Reason, State,
};
pub use key::{Key, KeyError};
pub use meter::Meter;
pub use preference::{Preference, PreferenceInput, Preferences, Use};
pub use probe::{
    AddressFamily, Input, LAST_RESORT_AFTER, LastResort, Method, Output, Probe, ProbeConfig,
    Quality, SessionTcp, Statistics, TcpState, Transmit, Via, WINDOWS,
};
pub use reflector::{Arrival, Reflector, ReflectorConfig, Refusal};
pub use symmetry::{Share, Symmetry, SymmetryInput, SymmetryOutput, Traffic};
