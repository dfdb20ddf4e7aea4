//! The WireGuard data plane: a few threads around boringtun's protocol machine.
//!
//! ```text
//!   kernel ─ TUN queue ─► tx: read, split, encrypt, send (GSO) ─► UDP socket ─► far end
//!   kernel ◄─ TUN queue ─ rx: write, coalesce, decrypt, receive (GRO) ◄─ UDP socket ◄─ far end
//! ```
//!
//! The threads never wait for the control plane: it changes the protocol state under a lock that
//! is held for one batch, reads counters that are atomics, and leaves orders in a mailbox. All
//! buffers are made at start and never grow.

mod checksum;
mod coalesce;
mod counters;
pub mod keeper;
mod noise;
mod pool;
mod rx;
mod split;
mod tun;
mod tunnel;
mod tx;
mod udp;
mod vnet;

pub(crate) use counters::Counters;
pub(crate) use noise::Trouble;
pub(crate) use pool::Pool;
pub(crate) use tun::{Queue, detached_queue};
pub(crate) use tunnel::Tunnel;
