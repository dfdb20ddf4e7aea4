//! Never without a link while one works, on the real kernel.
//!
//! Needs root, nft and `cargo build --workspace --bins`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use api::v1::LinkState;
use tests::lab::cables::{Cables, Priorities, Silence};

/// The sixth fall within a minute keeps a link down for so long.
const HELD: Duration = Duration::from_secs(16);

#[test]
fn a_link_that_is_held_down_is_used_when_the_other_one_dies() -> Result<()> {
    let probe = "method = \"stamp\", interval = \"50ms\"";
    let mut cables = Cables::start("only", Priorities::InOrder, "hold-down = \"1s\"", probe)?;
    for _ in 0..5 {
        cables.silence("first", Silence::On)?;
        cables.wait_for_state("first", LinkState::Down)?;
        cables.silence("first", Silence::Off)?;
        cables.wait_for_state("first", LinkState::Up)?;
    }
    let before = Instant::now();
    cables.silence("first", Silence::On)?;
    cables.wait_for_state("first", LinkState::Down)?;
    cables.silence("first", Silence::Off)?;
    cables.silence("second", Silence::On)?;
    cables.wait_for_state("first", LinkState::Up)?;
    let took = before.elapsed();
    ensure!(took < HELD, "the only link was held down for {took:?}");
    cables.silence("second", Silence::Off)?;
    cables.wait_for("first")
}
