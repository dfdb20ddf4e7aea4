//! BGP daemons side by side: how soon a receiver has what it should, at what cost.
//!
//! ```text
//! peers: senders and receivers, all ours 10.77.1.1… ── cable ── 10.77.0.1 one daemon under test
//! ```
//!
//! Every measurement has a daemon and two namespaces of its own. What a receiver hears is only
//! stored, with the moment of each read; [`replay`] finds afterwards when the receiver had exactly
//! the right set. So what judges costs the daemon no time, and a number is printed for nothing else.
//!
//! Beside it, [`failover`] has routers whose routes are the kernel's, and [`bfd`] what BFD costs.
//!
//! - [`table`]: what is announced. [`peer`]: sessions that send it and hear it.
//! - [`kernel`]: routes that go further, into the kernel; what that says, by [`rtnetlink`]. [`daemon`]: who is measured. [`measure`]: the scenarios. [`report`]: what is printed.

pub mod bfd;
pub mod daemon;
pub mod failover;
pub mod kernel;
pub mod measure;
pub mod peer;
pub mod replay;
pub mod report;
pub mod rtnetlink;
pub mod table;
