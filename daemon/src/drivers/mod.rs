//! The tasks of the daemon, and everything that passes between them.
//!
//! A driver carries things between a machine and a socket, a kernel or a clock. It decides nothing.
//!
//! ```text
//!            accepted conns                       Routes                 steps
//!  listener ───────────────► peer ─── RibMessage ──────► rib ── FibMessage ──► fib ──► kernel
//!                          (one each) ◄── ToPeer ────────  ▲                   ▲ │
//!                              ▲        (only on credit)   │ Standing          │ │ Interfaces (watch)
//!                  Start, Stop │                           │       Steering    │ ▼
//!                              └────────────────────── groups ─────────────────┘ link ◄─► probes
//!                                                         ▲                    (one each)
//!                                                         └─── GroupsMessage ────┘
//!  probes: a thread that measures all links, each of which orders that and hears what is found
//!  bfd: a thread for the sessions of all links; each link hears its own through a watch. So does `watched`,
//!  one for each peer with BFD and without a link, and tells groups
//!  drill and drain: a task each while somebody waits for one. Watches tell them how links stand (from groups) and
//!  when the kernel has switched (from fib)
//!  tunnels ──► interfaces in the kernel, from there to everyone through fib
//!     ├──► link: whose far end is known to be gone (a watch)
//!     ├◄─► link: what its path takes, and what its interface may (a watch each way)
//!     └──► ipsec, its task at strongSwan's socket, once a link is carried by it
//! ```
//!
//! Every channel is bounded. No cycle of awaited sends: `rib` sends to a peer only against a credit
//! that the peer gave, so that it never waits for one; `groups` awaits `fib`, `rib` and peers, none
//! of which awaits `groups` or a link; interfaces travel through a watch, where a late reader
//! sees the latest.
//!
//! A peer task that panics loses its session and is started again by `router`; a panic of `rib` or
//! `fib` ends the process, whose start-up takes over what is there.

mod bell;
pub(crate) mod bfd;
pub(crate) mod costs;
pub(crate) mod drain;
mod drawn;
pub(crate) mod drill;
pub(crate) mod fib;
pub(crate) mod groups;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod messages;
mod nexthops;
pub(crate) mod peer;
pub(crate) mod permit;
pub(crate) mod probes;
mod read_buffer;
pub(crate) mod rib;
mod settle;
pub(crate) mod symmetry;
pub(crate) mod tunnels;
pub(crate) mod watched;
mod way_back;

use std::time::{Duration, Instant, SystemTime};

use links::stamp::NtpTime;

/// Sleeps until `deadline`, or for ever when there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The earlier of two deadlines, either of which may not be.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// The wall clock as STAMP wants it.
fn wall() -> NtpTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    NtpTime::from_unix(since_epoch.unwrap_or(Duration::ZERO))
}

/// A seed that no one outside can guess.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
