//! `skybridged`, the daemon of Skybridge: everything with a file descriptor.
//!
//! [`router`] is the composition root; [`drivers`] are its tasks, with the map of all channels;
//! [`fib`] is the boundary to the kernel's routes; [`grpc`] and [`metrics`] show what [`board`]
//! and the tables hold, through [`snapshot`].

mod board;
mod convert;
mod counters;
mod drivers;
mod fib;
mod grpc;
mod journal;
mod log;
mod metrics;
mod priority;
mod router;
mod secrets;
mod snapshot;
mod sockets;
mod traffic;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::fs::Mode;
use rustix::process::DumpableBehavior;
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

use crate::router::{Intent, Router, Signals};

/// The Skybridge daemon: BGP, tunnels and measured links for a router VM between clouds.
#[derive(Parser)]
#[command(name = "skybridged", version, about)]
struct Arguments {
    /// The configuration file.
    #[arg(long, short, default_value = "/etc/skybridge/skybridge.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Remove every route, nexthop and tunnel interface of ours from the kernel, and exit.
    Flush,
    /// Hold the queue of a TUN open while the daemon restarts. Started by the daemon itself.
    #[command(hide = true)]
    KeepTun {
        /// The interface.
        interface: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::KeepTun { interface }) => {
            outcome(tunnels::userspace::keeper::run(&interface).context("cannot keep the TUN open"))
        }
        Some(Command::Flush) => outcome(flush(&arguments.config)),
        None => run(arguments.config),
    }
}

fn run(file: PathBuf) -> ExitCode {
    // Keys are in memory: no core dump, and no other process of our user may look.
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        complain(&format!("core dumps cannot be forbidden: {error}"));
        return ExitCode::from(1);
    }
    // Whatever we make is ours alone until we say otherwise.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let intent = match Intent::read(&file) {
        Ok(intent) => intent,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(1);
        }
    };
    if let Err(error) = log::start(&intent.config.log) {
        complain(&error.to_string());
        return ExitCode::from(1);
    }
    outcome(
        check_privileges()
            .and_then(|()| Ok(Runtime::new()?))
            .and_then(|runtime| {
                let result = runtime.block_on(serve(file, intent));
                // A task that waits for the kernel must not keep the process from ending.
                runtime.shutdown_background();
                result
            }),
    )
}

async fn serve(file: PathBuf, intent: Intent) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    let name = intent.config.router.name.clone();
    let router = Router::start(file, intent).await?;
    info!(name, version = env!("CARGO_PKG_VERSION"), "started");
    notify(&[sd_notify::NotifyState::Ready]);
    let result = router.run(signals).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    result
}

/// Tells systemd, where there is one.
pub(crate) fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told about our state");
    }
}

fn check_privileges() -> anyhow::Result<()> {
    let held = caps::read(None, caps::CapSet::Effective).context("cannot read our capabilities")?;
    let needed = [
        (
            caps::Capability::CAP_NET_ADMIN,
            "to change routes and interfaces",
        ),
        (
            caps::Capability::CAP_NET_RAW,
            "to send probes bound to an interface",
        ),
    ];
    let missing: Vec<_> = needed
        .iter()
        .filter(|(capability, _)| !held.contains(capability))
        .map(|(capability, why)| format!("{capability} ({why})"))
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "skybridged lacks {}: run it as root, or from the packaged systemd unit",
        missing.join(" and ")
    );
    Ok(())
}

/// Where strongSwan listens by the file, if there is one that can be read; else where it usually does.
fn vici(file: &Path) -> PathBuf {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let loaded = config::load(&text, &file.display().to_string());
    loaded.map_or_else(
        |_| PathBuf::from(tunnels::ipsec::driver::SOCKET),
        |loaded| loaded.config.strongswan.socket,
    )
}

fn flush(file: &Path) -> anyhow::Result<()> {
    check_privileges()?;
    let removed = fib::flush().context("cannot read the kernel's routes")?;
    let runtime = Runtime::new()?;
    runtime
        .block_on(traffic::clear())
        .context("cannot remove the rules of a drill")?;
    let interfaces = runtime
        .block_on(tunnels::backend::flush(&vici(file)))
        .context("cannot remove the tunnel interfaces")?;
    let (mut routes, mut objects) = (0, 0);
    let mut failures = Vec::new();
    for (step, result) in removed {
        match (result, step) {
            (Ok(()), fib::Step::RemoveRoute { .. }) => routes += 1,
            (Ok(()), _) => objects += 1,
            (Err(error), step) => failures.push(format!("{step:?}: {error}")),
        }
    }
    say(&format!(
        "removed {routes} routes, {objects} nexthop objects and {} tunnel interfaces",
        interfaces.len()
    ));
    anyhow::ensure!(
        failures.is_empty(),
        "could not remove:\n{}",
        failures.join("\n")
    );
    Ok(())
}

fn outcome(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if tracing::dispatcher::has_been_set() {
                error!("{failure:#}");
            } else {
                complain(&format!("{failure:#}"));
            }
            ExitCode::from(1)
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "before the log is set up there is nothing else to say it to"
)]
fn complain(text: &str) {
    let name = if std::io::stderr().is_terminal() {
        "\u{1b}[1mskybridged\u{1b}[0m"
    } else {
        "skybridged"
    };
    eprintln!("{name}: {text}");
}

#[expect(clippy::print_stdout, reason = "the answer to a command")]
fn say(text: &str) {
    println!("{text}");
}
