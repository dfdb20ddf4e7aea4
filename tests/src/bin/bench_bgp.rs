//! `./dev bench bgp`: BGP daemons side by side, each alone on a cable with peers of ours.
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
use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use tests::bench::daemon::{Installing, Kind};
use tests::bench::measure::{self, Outcome, Scenario, Terms};
use tests::bench::report::{self, Cell};
use tests::bench::table::Table;
use tests::interrupt;

/// A run that took longer is not repeated: its figure does not depend on chance.
const ONCE: Duration = Duration::from_secs(5);

/// Time, processor time and memory of BGP daemons, one after another. Routes go to the kernel only where that is
/// what is measured; there the kernel alone, without a daemon, is beside them.
#[derive(Parser)]
struct Arguments {
    /// Prefixes of a full table; fan-in and fan-out have a fifth of them, failover has half.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(10..=4_000_000))]
    prefixes: u32,
    /// Each figure is the median of so many runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Instead of all that: the memory of each daemon with one, a tenth of and all of so many peers
    /// that are up and say nothing.
    #[arg(long, value_parser = clap::value_parser!(u16).range(10..=10_000))]
    peers: Option<u16>,
    /// Only these daemons.
    #[arg(long, value_delimiter = ',')]
    daemons: Vec<Kind>,
    /// Seconds after which a run is given up.
    #[arg(long, default_value_t = 20)]
    timeout: u64,
    /// What the table is made from.
    #[arg(long, default_value_t = 4271)]
    seed: u64,
    /// Also writes every run to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    interrupt::exit_code(&compare(&Arguments::parse()))
}

fn compare(arguments: &Arguments) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    interrupt::watch(|| ())?;
    let versions = installed(&arguments.daemons);
    ensure!(!versions.is_empty(), "none of them is installed");
    if let Some(peers) = arguments.peers {
        return compare_idle(peers.into(), arguments, &versions);
    }
    println!(
        "seed {}, {} runs, at most {} s each; table made up\n",
        arguments.seed, arguments.runs, arguments.timeout
    );
    warn_of_others()?;
    let mut cells = Vec::new();
    let full = usize::try_from(arguments.prefixes)?;
    for (scenario, prefixes) in [
        (Scenario::FullTable, full),
        (Scenario::FanIn, full / 5),
        (Scenario::FanOut, full / 5),
        (Scenario::Failover, full / 2),
        (Scenario::KernelRoutes, full),
    ] {
        let table = Table::generate(prefixes, arguments.seed);
        cells.extend(side_by_side(scenario, &table, arguments, &versions)?);
    }
    println!("{}", report::table(&cells));
    if let Some(file) = &arguments.json {
        let json = report::json(&cells, arguments.seed, &versions);
        fs::write(file, format!("{json:#}\n"))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// What a peer costs that does nothing.
fn compare_idle(peers: usize, arguments: &Arguments, versions: &[(Kind, String)]) -> Result<()> {
    open_many_files()?;
    let table = Table::generate(10, arguments.seed);
    println!(
        "\n{:<10} {:>6} {:>9} {:>15}",
        "daemon", "peers", "MiB", "KiB a peer more"
    );
    for (kind, _) in versions {
        if !kind.can(Installing::No) {
            continue;
        }
        let terms = Terms {
            kind: *kind,
            table: &table,
            limit: Duration::from_secs(arguments.timeout),
        };
        let mut last: Option<(usize, u64)> = None;
        for peers in [1, peers / 10, peers] {
            progress(&format!("{peers} peers: {kind} "));
            let octets =
                measure::idle(terms, peers).with_context(|| format!("{peers} of {kind}"))?;
            progress("");
            let more = last.filter(|last| last.0 < peers).map(|(fewer, before)| {
                let each = (octets as f64 - before as f64) / (peers - fewer) as f64;
                format!("{:.1}", each / 1024.0)
            });
            let mib = octets as f64 / f64::from(1 << 20);
            println!(
                "{:<10} {peers:>6} {mib:>9.1} {:>15}",
                kind,
                more.unwrap_or_default()
            );
            last = Some((peers, octets));
        }
    }
    Ok(())
}

/// A connection for each peer at both ends: daemons inherit what we may open.
fn open_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the number of open files")
}

/// Times on a machine that others use say little; ratios still say something.
fn warn_of_others() -> Result<()> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let last_minute = load.split_whitespace().next().unwrap_or_default();
    if last_minute.parse::<f64>().is_ok_and(|load| load > 0.5) {
        println!("others use this machine (load {last_minute}): trust ratios more than times\n");
    }
    Ok(())
}

/// Those that are there, with their versions; names the others.
fn installed(wanted: &[Kind]) -> Vec<(Kind, String)> {
    let mut versions = Vec::new();
    for kind in Kind::ALL {
        if !wanted.is_empty() && !wanted.contains(&kind) {
            continue;
        }
        match kind.version() {
            Ok(version) => {
                println!("{kind:<10} {version}");
                versions.push((kind, version));
            }
            Err(error) => println!("{kind:<10} left out: {error:#}"),
        }
    }
    versions
}

/// Daemons take turns, so that what else the machine does strikes all alike.
fn side_by_side(
    scenario: Scenario,
    table: &Table,
    arguments: &Arguments,
    versions: &[(Kind, String)],
) -> Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut finished = Vec::new();
    for round in 1..=arguments.runs {
        for (kind, _) in versions {
            if finished.contains(kind) || !kind.can(scenario.installing()) {
                continue;
            }
            progress(&format!("{scenario}, run {round}: {kind} "));
            let terms = Terms {
                kind: *kind,
                table,
                limit: Duration::from_secs(arguments.timeout),
            };
            let outcomes =
                measure::run(scenario, terms).with_context(|| format!("{scenario} with {kind}"))?;
            if outcomes
                .iter()
                .any(|(_, outcome)| !is_worth_repeating(outcome))
            {
                finished.push(*kind);
            }
            for (scenario, outcome) in outcomes {
                let prefixes = table.prefixes().len();
                add(&mut cells, scenario, *kind, prefixes, outcome);
            }
        }
    }
    progress("");
    // Full table and withdrawal come from the same runs; they are told one after the other.
    cells.sort_by_key(|cell| cell.scenario == Scenario::Withdraw);
    Ok(cells)
}

/// Replaces the last line of a terminal.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

fn is_worth_repeating(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Right(figures) => figures.time < ONCE,
        Outcome::Timeout(_) | Outcome::Wrong(_) => false,
    }
}

fn add(cells: &mut Vec<Cell>, scenario: Scenario, kind: Kind, prefixes: usize, outcome: Outcome) {
    let known = cells
        .iter_mut()
        .find(|cell| cell.scenario == scenario && cell.kind == kind);
    match known {
        Some(cell) => cell.outcomes.push(outcome),
        None => cells.push(Cell {
            scenario,
            kind,
            prefixes,
            outcomes: vec![outcome],
        }),
    }
}
