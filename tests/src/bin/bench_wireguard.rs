//! `./dev bench wireguard`: userspace WireGuard implementations side by side.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use tests::interrupt;
use tests::wireguard::implementation::Kind;
use tests::wireguard::measure::{self, Figures};
use tests::wireguard::{memory, report};

/// Throughput, small packets and delay under load of userspace WireGuard, two namespaces on a cable.
#[derive(Parser)]
struct Arguments {
    /// Each figure is the median of so many runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// How long each of the four measurements of a run takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Only these.
    #[arg(long, value_delimiter = ',')]
    implementations: Vec<Kind>,
    /// Instead: the memory of so many idle tunnels.
    #[arg(long, value_delimiter = ',', value_name = "TUNNELS")]
    idle: Vec<u16>,
}

fn main() -> ExitCode {
    interrupt::exit_code(&run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    interrupt::watch(|| ())?;
    if arguments.idle.is_empty() {
        compare(arguments)
    } else {
        weigh(&arguments.idle)
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let kinds = installed(&arguments.implementations);
    ensure!(!kinds.is_empty(), "none of them is installed");
    let mut runs: Vec<(Kind, Figures)> = Vec::new();
    // They take turns, so that what else the machine does strikes all alike.
    for round in 1..=arguments.runs {
        for kind in &kinds {
            interrupt::check()?;
            let figures = measure::run(*kind, Duration::from_secs(arguments.seconds))?;
            println!("run {round}: {kind:<14} {figures}");
            runs.push((*kind, figures));
        }
    }
    println!("\n{}", report::table(&kinds, &runs));
    Ok(())
}

/// Those that are there; names the others.
fn installed(wanted: &[Kind]) -> Vec<Kind> {
    let wanted = Kind::ALL
        .into_iter()
        .filter(|kind| wanted.is_empty() || wanted.contains(kind));
    wanted
        .filter(|kind| match kind.program() {
            Ok(_) => true,
            Err(error) => {
                println!("{kind} left out: {error:#}");
                false
            }
        })
        .collect()
}

fn weigh(counts: &[u16]) -> Result<()> {
    for count in counts {
        interrupt::check()?;
        println!("{}", memory::idle(*count)?);
    }
    Ok(())
}
