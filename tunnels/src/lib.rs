//! Tunnels: what carries a link when no cable does.
//!
//! The core is pure: [`spec`] says what a tunnel should be, [`plan`] how to get there from what is,
//! [`supervisor`] when to try again and what counts as up, and [`names`] where a far end is. Input and output live under
//! [`backend`] (netlink: interfaces, addresses, kernel WireGuard) and [`userspace`] (the WireGuard
//! data plane for kernels without it).
//!
//! The driver's loop: `observe`, [`plan::plan`], `apply`, tell the [`supervisor`]; once a second
//! `status`; a `watch` wakes it.

mod backoff;

pub mod backend;
pub mod clamp;
pub mod ipsec;
pub mod names;
pub mod plan;
pub mod spec;
pub mod supervisor;
pub mod userspace;
