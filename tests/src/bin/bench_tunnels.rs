//! `./dev bench tunnels`: memory of idle tunnels, and how soon an IPsec link is there and what its rekeys cost.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use tests::interrupt;
use tests::tunnels::rekey::{self, Rekey};
use tests::tunnels::weigh::{HEADER, Row, weigh};
use tests::tunnels::{Kind, control};

/// Memory of idle tunnels, time to an established IPsec link, packets lost by rekeys; two routers on a cable.
#[derive(Parser)]
struct Arguments {
    /// So many tunnels at once.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 500], value_parser = clap::value_parser!(u16).range(1..=4094))]
    tunnels: Vec<u16>,
    /// Only these kinds.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Times are medians of so many runs, losses the sum over so many rekeys.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// This processor is emulated: its times are printed, and mean nothing.
    #[arg(long)]
    emulated: bool,
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
    let wanted = |kind: &Kind| arguments.kinds.is_empty() || arguments.kinds.contains(kind);
    let (here, missing): (Vec<_>, Vec<_>) = Kind::ALL
        .into_iter()
        .filter(wanted)
        .map(|kind| Ok((kind, kind.is_here()?)))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .partition(|(_, is_here)| *is_here);
    println!("{HEADER}");
    for (kind, _) in &here {
        weigh_kind(*kind, &arguments.tunnels)?;
    }
    for (kind, _) in &missing {
        println!(
            "{kind}: left out, this kernel has it not; ./dev bench tunnels boots one that has"
        );
    }
    if here.iter().any(|(kind, _)| *kind == Kind::Ipsec) {
        return ipsec(arguments);
    }
    if missing.iter().any(|(kind, _)| *kind == Kind::Ipsec) {
        for tunnels in [&[1], arguments.tunnels.as_slice()].concat() {
            interrupt::check()?;
            println!("{}", control::run(tunnels)?);
        }
    }
    Ok(())
}

fn weigh_kind(kind: Kind, counts: &[u16]) -> Result<()> {
    let empty = weigh(kind, 0)?;
    for tunnels in counts {
        interrupt::check()?;
        let full = weigh(kind, *tunnels)?;
        let row = Row {
            kind,
            tunnels: *tunnels,
            empty,
            full,
        };
        println!("{row}");
    }
    Ok(())
}

fn ipsec(arguments: &Arguments) -> Result<()> {
    let emulated = match arguments.emulated {
        true => " (an emulated processor: for behaviour only)",
        false => "",
    };
    let median = |times: &[Duration]| {
        let middle = times.get(times.len() / 2).copied();
        let millis = middle.unwrap_or(Duration::MAX).as_secs_f64() * 1e3;
        format!("median {millis:.1} ms of {}{emulated}", times.len())
    };
    let times = rekey::times(arguments.runs)?;
    println!("ipsec: reload to established link: {}", median(&times));
    let times = rekey::ends(arguments.runs)?;
    println!(
        "ipsec: strongSwan told to end a tunnel to its link down: {}",
        median(&times)
    );
    for (rekey, what) in [(Rekey::Child, "child"), (Rekey::Ike, "IKE")] {
        let loss = rekey::losses(rekey, arguments.runs)?;
        println!(
            "ipsec: {} packets, 10 ms apart, over {} {what} rekeys: {} lost",
            loss.sent, arguments.runs, loss.lost
        );
    }
    Ok(())
}
