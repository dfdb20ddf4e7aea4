//! The WireGuard data plane: two threads per tunnel around boringtun's protocol machine.
//!
//! ```text
//!   kernel ─ TUN queue ─► tx: read (TSO), encrypt, send (GSO) ─► UDP socket ─► far end
//!   kernel ◄─ TUN queue ─ rx: write (GRO), decrypt, receive (GRO) ◄─ UDP socket ◄─ far end
//! ```
//!
//! The threads never wait for the control plane: it replaces the protocol state under a lock
//! that is held for one batch, reads counters that are atomics, and ends the threads by an
//! eventfd. All buffers are made at start and never grow.

mod counters;
pub mod keeper;
mod noise;
mod rx;
mod tun;
mod tunnel;
mod tx;
mod udp;

pub(crate) use counters::Counters;
pub(crate) use noise::Trouble;
pub(crate) use tun::{attach, detached_queue};
pub(crate) use tunnel::Tunnel;
