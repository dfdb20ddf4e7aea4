//! How long traffic between the clouds of the lab stands still when an internet is cut.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{AWS, Lab, Way, WireGuard};

const NAME: &str = "sbbench";
const ROUNDS: usize = 3;
const RATE: u32 = 10_000;
/// Each fall doubles the time until a link has traffic again.
const PATIENCE: Duration = Duration::from_secs(90);

/// Builds the lab, cuts three times, and prints the median.
///
/// # Errors
///
/// When something cannot be started, or traffic does not move.
pub fn measure() -> Result<()> {
    let mut lab = Lab::build(NAME, WireGuard::Userspace)?;
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    lab.wait_for_routes(Way::A, PATIENCE)?;
    super::process::wait_for("ping across", PATIENCE, || lab.ping(&AWS))?;
    println!("probes every 100 ms, down after 3 losses; {RATE} packets/s there and back");
    let mut gaps = Vec::new();
    for round in 1..=ROUNDS {
        gaps.push(fail_once(&mut lab, round)?);
    }
    gaps.sort_unstable();
    let at = |index: usize| gaps.get(index).map_or(0, Duration::as_millis);
    println!(
        "still for: min {} ms, median {} ms, max {} ms",
        at(0),
        at(ROUNDS / 2),
        at(ROUNDS - 1)
    );
    drop(lab);
    super::ensure_gone(NAME)
}

fn fail_once(lab: &mut Lab, round: usize) -> Result<Duration> {
    let flow = lab.flow(RATE)?;
    thread::sleep(Duration::from_millis(500));
    lab.internet(Way::A).cut()?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    thread::sleep(Duration::from_millis(500));
    let cut = flow.finish()?;
    let flow = lab.flow(RATE)?;
    lab.internet(Way::A).restore()?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    thread::sleep(Duration::from_millis(500));
    let back = flow.finish()?;
    println!(
        "  {round}: {} ms, lost {} of {}; on the way back lost {} of {}",
        cut.longest_gap().as_millis(),
        cut.lost(),
        cut.sent(),
        back.lost(),
        back.sent()
    );
    // The next cut shall hit sessions that are up on both links.
    lab.wait_for_sessions(PATIENCE)?;
    Ok(cut.longest_gap())
}
