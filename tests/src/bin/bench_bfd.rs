//! `./dev bench bfd`: what many BFD sessions cost.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use tests::bench::bfd::{self, MOST, Terms};
use tests::interrupt;

/// Processor time of many BFD sessions with BIRD, and whether any of them fell.
#[derive(Parser)]
struct Arguments {
    /// So many sessions.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    sessions: u16,
    /// Milliseconds between two packets of each session, both ways.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    interval: u64,
    /// So many missing in a row are too many.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    multiplier: u8,
    /// How long is measured, seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

fn main() -> ExitCode {
    interrupt::exit_code(&measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    interrupt::watch(|| ())?;
    let figures = bfd::run(Terms {
        sessions: arguments.sessions,
        interval: Duration::from_millis(arguments.interval),
        multiplier: arguments.multiplier,
        time: Duration::from_secs(arguments.seconds),
    })?;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    println!(
        "{} sessions with BIRD, every {} ms x {}, for {} s: {} fell",
        arguments.sessions,
        arguments.interval,
        arguments.multiplier,
        arguments.seconds,
        figures.falls
    );
    println!(
        "packets a second, sent and received  {:>8.0}",
        figures.packets
    );
    println!(
        "of one processor: the BFD thread     {:>8}",
        percent(figures.thread)
    );
    println!(
        "                  all of skybridged  {:>8}",
        percent(figures.router)
    );
    println!(
        "                  BIRD               {:>8}",
        percent(figures.other)
    );
    ensure!(figures.falls == 0, "sessions fell while the path was whole");
    Ok(())
}
