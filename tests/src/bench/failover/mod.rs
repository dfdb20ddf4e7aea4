//! Routers side by side: how long traffic stands still when the better of two links dies.
//!
//! ```text
//!            ┌──────────┐ to-a   ┌─────────┐   ┌────────┐
//!  source ───│ router   │────────│ bridge  │───│ peer a │───┐
//!            │ under    │        └─────────┘   └────────┘   ├── sink
//!            │ test     │ to-b                 ┌────────┐   │
//!            │ AS 64900 │──────────────────────│ peer b │───┘
//!            └──────────┘                      └────────┘
//! ```
//!
//! Both peers are BIRD: they announce the same prefixes, `b` with a longer path, and speak BFD. The link to
//! `a` dies in the bridge, where no carrier tells of it, or with its carrier. A stream of packets goes from the
//! source to hosts all over the prefixes; every address but the routers' own is the sink's. What the kernel of
//! the router does is heard from its notifications, and looked at while it happens; at the end every route
//! is read, and there is a figure only if each leads where it should.
//!
//! - [`topology`]: namespaces and cables. [`routers`]: who is measured, and the peers.
//! - [`watch`], [`look`], [`heard`], [`stream`]: what is seen. [`measure`]: what follows. [`report`]: what is printed.

pub mod heard;
pub mod look;
pub mod measure;
pub mod report;
pub mod routers;
pub mod stream;
pub mod topology;
pub mod watch;

use std::process::Command;

use anyhow::Result;

use crate::lab::netns::output;

/// Has this thread run before all that is measured, and nothing that it starts. Traffic does not wait until a
/// router leaves it a processor, nor may the clock.
fn run_first() -> Result<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut chrt = Command::new("chrt");
    output(chrt.args(["--fifo", "--reset-on-fork", "--pid", "1", &thread])).map(drop)
}
