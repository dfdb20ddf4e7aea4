//! What many BFD sessions cost: a router with so many peers on one cable, and BIRD at the other end of it.
//!
//! ```text
//! router under test 10.79.0.1… ── cable ── 10.79.128.1… BIRD
//! ```
//!
//! BGP is configured and silent: the router waits to be called, and BIRD has no BGP. So what is measured is BFD,
//! and the rest of an idle daemon beside it.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::v1::{BfdSession, BfdState};

use super::measure::cpu_time;
use crate::interrupt;
use crate::lab::gateway::Bird;
use crate::lab::netns::{End, Namespace, cable, output};
use crate::lab::nva::{Binaries, Nva};
use crate::lab::process::wait_for;
use crate::lab::scratch::Scratch;

/// How long it may take until all sessions are up.
const PATIENCE: Duration = Duration::from_secs(60);
const TICKS: f64 = 100.0;
const POLL: Duration = Duration::from_millis(100);
/// Sessions that there can be: addresses on one cable.
pub const MOST: u16 = 2_000;

/// What there is to measure.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// So many sessions.
    pub sessions: u16,
    /// Between two packets of each, both ways.
    pub interval: Duration,
    /// So many missing in a row are too many.
    pub multiplier: u8,
    /// How long is measured.
    pub time: Duration,
}

/// What it cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// Processor time of the thread that does BFD, of one processor: 1 is all of it.
    pub thread: f64,
    /// Of the whole router.
    pub router: f64,
    /// Of BIRD, which has the same sessions.
    pub other: f64,
    /// Packets that the router sent and believed in each second.
    pub packets: f64,
    /// Sessions that were down in between, or at the end.
    pub falls: usize,
}

/// Brings all sessions up, lets them be for a time, and tells what they cost.
///
/// # Errors
///
/// When something cannot be started, sessions do not come up, or a signal arrived.
pub fn run(terms: Terms) -> Result<Figures> {
    let mut scratch = Scratch::new("bfd")?;
    let [ours, theirs] = [scratch.namespace("router")?, scratch.namespace("bird")?];
    plug(&ours, &theirs, terms.sessions)?;
    let directory = scratch.directory().to_owned();
    let bird = Bird::launch(&theirs, &directory.join("bird"), &bird_conf(terms))?;
    let mut router = Nva::new(&ours, &directory.join("router"), &Binaries::find()?)?;
    router.configure(&router_conf(terms))?;
    router.start()?;
    let before = wait_for("all sessions up", PATIENCE, || {
        interrupt::check()?;
        router.check_alive()?;
        let sessions = sessions(&router)?;
        let up = sessions.iter().filter(|session| is_up(session)).count();
        ensure!(up == usize::from(terms.sessions), "{up} are up");
        Ok(sessions)
    })?;
    let pid = router.process()?.pid();
    let (began, of_thread) = (Instant::now(), thread_time(pid)?);
    let (of_router, of_bird) = (cpu_time(pid)?, cpu_time(bird.process().pid())?);
    while began.elapsed() < terms.time {
        interrupt::check()?;
        router.check_alive()?;
        thread::sleep(POLL);
    }
    let took = began.elapsed().as_secs_f64();
    let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / took;
    let figures = (
        share(of_thread, thread_time(pid)?),
        share(of_router, cpu_time(pid)?),
        share(of_bird, cpu_time(bird.process().pid())?),
    );
    let after = sessions(&router)?;
    ensure!(after.len() == before.len(), "sessions are missing");
    let pairs = || before.iter().zip(&after);
    // One that fell and rose in between is up since another moment.
    let fell = |(before, after): &(&BfdSession, &BfdSession)| {
        !is_up(after) || seconds_since(before, after) > 1
    };
    let falls = pairs().filter(fell).count();
    let count = |session: &BfdSession| session.sent + session.received;
    let packets: u64 = pairs()
        .map(|(before, after)| count(after) - count(before))
        .sum();
    Ok(Figures {
        thread: figures.0,
        router: figures.1,
        other: figures.2,
        packets: packets as f64 / took,
        falls,
    })
}

fn is_up(session: &BfdSession) -> bool {
    session.state() == BfdState::Up
}

/// Between the moments since which they are in their state, which is told to a fraction of a second.
fn seconds_since(before: &BfdSession, after: &BfdSession) -> i64 {
    let at = |session: &BfdSession| session.since.as_ref().map_or(0, |since| since.seconds);
    at(after) - at(before)
}

fn sessions(router: &Nva) -> Result<Vec<BfdSession>> {
    let peers = router.peers()?;
    Ok(peers.into_iter().filter_map(|peer| peer.bfd).collect())
}

/// Of the thread that is called `bfd`.
fn thread_time(pid: u32) -> Result<Duration> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        let (name, fields) = stat.rsplit_once(')').context("no name in stat")?;
        if !name.ends_with("(bfd") {
            continue;
        }
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
        return Ok(Duration::from_secs_f64(
            f64::from(ticks.iter().sum::<u32>()) / TICKS,
        ));
    }
    anyhow::bail!("the router has no thread `bfd`")
}

fn address(end: u8, number: u16) -> Ipv4Addr {
    let [high, low] = (number + 1).to_be_bytes();
    Ipv4Addr::new(10, 79, end + high, low)
}

fn plug(ours: &Namespace, theirs: &Namespace, sessions: u16) -> Result<()> {
    let (first, other) = (address(0, 0), address(128, 0));
    let end = |namespace, address| End {
        namespace,
        interface: "wire",
        address,
    };
    cable(
        end(ours, &format!("{first}/16")),
        end(theirs, &format!("{other}/16")),
    )?;
    for (namespace, half) in [(ours, 0), (theirs, 128)] {
        // One process for all of them.
        let mut batch = String::new();
        for number in 1..sessions {
            writeln!(batch, "addr add {}/16 dev wire", address(half, number))?;
        }
        let file = std::env::temp_dir().join(format!("{}.batch", namespace.name()));
        fs::write(&file, batch)?;
        let mut ip = std::process::Command::new("ip");
        let done = output(ip.args(["-n", namespace.name(), "-batch"]).arg(&file));
        fs::remove_file(&file)?;
        done?;
    }
    Ok(())
}

fn bird_conf(terms: Terms) -> String {
    let Terms {
        interval,
        multiplier,
        ..
    } = terms;
    let neighbors: String = (0..terms.sessions)
        .map(|number| {
            let (ours, theirs) = (address(0, number), address(128, number));
            format!("  neighbor {ours} dev \"wire\" local {theirs};\n")
        })
        .collect();
    format!(
        "log stderr all;
router id 10.79.128.1;
protocol device {{ }}
protocol bfd {{
  interface \"wire\" {{ interval {} ms; multiplier {multiplier}; }};
{neighbors}}}
# Whoever starts BIRD waits for a protocol of this name.
protocol static nva {{ ipv4; }}
",
        interval.as_millis()
    )
}

fn router_conf(terms: Terms) -> String {
    let mut text =
        "[router]\nname = \"bfd\"\nasn = 65010\nid = \"10.79.0.1\"\n[fib]\ninstall = false\n"
            .to_owned();
    for number in 0..terms.sessions {
        let _ = write!(
            text,
            "[peer.p{number}]\naddress = \"{}\"\nlocal-address = \"{}\"\nasn = 65020\npassive = true\n\
             bfd = {{ interval = \"{}ms\", multiplier = {} }}\n",
            address(128, number),
            address(0, number),
            terms.interval.as_millis(),
            terms.multiplier,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_has_a_pair_of_addresses_of_its_own() {
        let pairs: std::collections::BTreeSet<_> = (0..MOST)
            .map(|number| (address(0, number), address(128, number)))
            .collect();
        assert_eq!(pairs.len(), usize::from(MOST));
        let (last, _) = pairs.last().expect("there are some");
        assert!(last.octets()[2] < 128, "{last}");
    }
}
