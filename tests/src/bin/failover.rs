//! `./dev bench failover`: how long traffic stands still when a link dies, with whole routers side by side.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its result"
)]

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bgp::Family;
use clap::{Parser, ValueEnum};
use tests::bench::daemon::Kind;
use tests::bench::failover::measure::{self, Terms};
use tests::bench::failover::report::{self, Cell};
use tests::bench::failover::topology::{self, Death};
use tests::{interrupt, lab};

/// Two peers announce the same prefixes; the link to the better one dies, and comes back.
#[derive(Parser)]
struct Arguments {
    /// Only these routers: skybridge, frr, bird.
    #[arg(long, value_delimiter = ',', default_value = "skybridge,frr,bird")]
    daemons: Vec<Kind>,
    /// Prefixes that both peers announce, one table after another.
    #[arg(long, value_delimiter = ',', default_value = "1000,200000,500000",
          value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    routes: Vec<u32>,
    /// Whose routes.
    #[arg(long, value_delimiter = ',', default_value = "ipv4")]
    family: Vec<Addresses>,
    /// How the link dies: without a sign, or with its carrier.
    #[arg(long, value_delimiter = ',', default_value = "silent,carrier")]
    cut: Vec<Death>,
    /// Each figure is the median of so many rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Seconds that each step of a round may take.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// What the table is made from.
    #[arg(long, default_value_t = 4271)]
    seed: u64,
    /// Also writes every round to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Instead of all that: two clouds, two routers and two userspace WireGuard tunnels, one of which
    /// is cut, with probes and without BFD.
    #[arg(long)]
    lab: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Addresses {
    Ipv4,
    Ipv6,
}

impl From<Addresses> for Family {
    fn from(addresses: Addresses) -> Self {
        match addresses {
            Addresses::Ipv4 => Self::Ipv4Unicast,
            Addresses::Ipv6 => Self::Ipv6Unicast,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.lab {
        true => lab::failover::measure(),
        false => compare(&arguments),
    };
    interrupt::exit_code(&result)
}

fn compare(arguments: &Arguments) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    interrupt::watch(|| ())?;
    let versions = installed(&arguments.daemons);
    ensure!(!versions.is_empty(), "none of them is installed");
    println!(
        "\nseed {}, {} rounds; BFD every {} ms, down after {} missing; every router with its defaults\n",
        arguments.seed,
        arguments.rounds,
        tests::bench::failover::routers::INTERVAL,
        tests::bench::failover::routers::MULTIPLIER,
    );
    let mut cells = Vec::new();
    let measured = measure_all(arguments, &versions, &mut cells);
    progress("");
    // What was measured before something failed is shown all the same.
    println!("{}\n{}", report::table(&cells), report::LEGEND);
    if let Some(file) = &arguments.json {
        let json = report::json(&cells, arguments.seed, &versions);
        fs::write(file, format!("{json:#}\n"))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    measured
}

fn measure_all(
    arguments: &Arguments,
    versions: &[(Kind, String)],
    cells: &mut Vec<Cell>,
) -> Result<()> {
    for death in &arguments.cut {
        for family in &arguments.family {
            for routes in &arguments.routes {
                let family = Family::from(*family);
                side_by_side(arguments, *death, family, *routes, versions, cells)?;
            }
        }
    }
    Ok(())
}

fn side_by_side(
    arguments: &Arguments,
    death: Death,
    family: Family,
    routes: u32,
    versions: &[(Kind, String)],
    cells: &mut Vec<Cell>,
) -> Result<()> {
    let routes = usize::try_from(routes)?;
    let prefixes = topology::prefixes(family, routes, arguments.seed)?;
    for (kind, _) in versions {
        progress(&format!("{death:?}, {routes} routes: {kind} "));
        let terms = Terms {
            kind: *kind,
            family,
            prefixes: &prefixes,
            death,
            rounds: arguments.rounds.into(),
            limit: Duration::from_secs(arguments.timeout),
        };
        let outcomes = measure::run(terms).with_context(|| format!("{routes} with {kind}"))?;
        cells.push(Cell {
            death,
            family,
            routes,
            kind: *kind,
            outcomes,
        });
    }
    Ok(())
}

/// Those that are there, with their versions; names the others.
fn installed(wanted: &[Kind]) -> Vec<(Kind, String)> {
    let mut versions = Vec::new();
    for kind in wanted {
        match kind.version() {
            Ok(version) => {
                println!("{kind:<10} {version}");
                versions.push((*kind, version));
            }
            Err(error) => println!("{kind:<10} left out: {error:#}"),
        }
    }
    versions
}

/// Replaces the last line of a terminal.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
