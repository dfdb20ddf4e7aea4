//! Userspace WireGuard implementations side by side.
//!
//! ```text
//! 10.99.0.1 iperf3, ping ─ implementation ─ cable 172.31.0.0/24 ─ implementation ─ iperf3 10.99.0.2
//! ```
//!
//! Both ends are of the same kind, and share the machine with what makes the traffic.

pub mod implementation;
pub mod measure;
pub mod memory;
pub mod report;
