//! `skybridge`: the command line. Parses, calls the daemon, prints; decides nothing.

mod args;
mod check;
mod client;
mod filter;
mod json;
mod output;
mod show;
mod units;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use api::v1;
use api::v1::drain_request::Order;
use api::v1::list_routes_request::View;
use api::v1::reset_peer_request::Manner;
use args::{Args, Bgp, Command, Filter, Routes, Show, Soft};
use output::{Output, Printed};

/// How a command ended, as its exit code says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// 0.
    Good,
    /// 1: the command was carried out, and its answer is no.
    Negative,
}

/// Why a command could not be carried out: one sentence, with the remedy. Exit code 2.
type Failure = anyhow::Error;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Err(failure) if is_closed_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(2)
        }
    }
}

/// Whoever read our output, `head` for one, has seen enough.
fn is_closed_pipe(failure: &Failure) -> bool {
    failure
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(args: Args) -> Result<Outcome, Failure> {
    let mut output = Output::stdout(args.json);
    match args.command {
        Command::Check { file, strict } => check::run(&file, strict, &mut output),
        Command::Filter(Filter::Test(asked)) => filter::run(&asked, &mut output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "skybridge", &mut script);
            output.text(&String::from_utf8_lossy(&script))?;
            Ok(Outcome::Good)
        }
        Command::Drain(_)
        | Command::Drill(_)
        | Command::Reload
        | Command::Reset { .. }
        | Command::Show(_)
        | Command::Status
        | Command::Undrain(_)
        | Command::Watch { .. } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(ask(args, &mut output))
        }
    }
}

/// The commands that need the daemon.
async fn ask(args: Args, output: &mut Output) -> Result<Outcome, Failure> {
    let channel = client::connect(&args.socket).await?;
    match args.command {
        Command::Drain(args) => show::drain::run(channel, args, Order::Drain, output).await,
        Command::Undrain(args) => show::drain::run(channel, args, Order::Carry, output).await,
        Command::Drill(drill) => show::drill::run(channel, drill, output).await,
        Command::Reload => show::reload::run(channel, output).await,
        Command::Status => show::status::run(channel, output).await,
        Command::Watch { history, no_follow } => {
            show::events::run(channel, history, no_follow, output).await
        }
        Command::Show(Show::Groups) => show::groups::run(channel, output).await,
        Command::Show(Show::Links { name }) => {
            show::links::run(channel, name.as_deref(), output).await
        }
        Command::Reset {
            peer,
            soft,
            hard,
            message,
        } => show::reset::run(channel, peer, manner(soft, hard), message, output).await,
        Command::Show(Show::Peers { name: None } | Show::Bgp(Bgp::Summary)) => {
            show::peers::run(channel, output).await
        }
        Command::Show(Show::Peers { name }) => {
            show::peers::details(channel, name.as_deref(), output).await
        }
        Command::Show(Show::Bgp(Bgp::Neighbors {
            name: Some(peer),
            routes: Some(routes),
        })) => {
            let request = v1::ListRoutesRequest {
                peer,
                view: view(routes).into(),
                ..v1::ListRoutesRequest::default()
            };
            show::routes::run(channel, request, output).await
        }
        Command::Show(Show::Bgp(Bgp::Neighbors { name, .. })) => {
            show::peers::details(channel, name.as_deref(), output).await
        }
        Command::Show(Show::Routes {
            prefix,
            longer,
            limit,
            peer,
            received,
            accepted,
            advertised,
        }) => {
            let views = [
                (received, View::Received),
                (accepted, View::Accepted),
                (advertised, View::Advertised),
            ];
            let view = views.into_iter().find(|(is, _)| *is);
            let request = v1::ListRoutesRequest {
                prefix: prefix.unwrap_or_default(),
                longer,
                limit,
                peer: peer.unwrap_or_default(),
                view: view.map_or(View::Unspecified, |(_, view)| view).into(),
            };
            show::routes::run(channel, request, output).await
        }
        Command::Show(Show::Bfd) => show::bfd::run(channel, output).await,
        Command::Show(Show::Tunnels) => show::tunnels::run(channel, output).await,
        Command::Check { .. } | Command::Completions { .. } | Command::Filter(_) => {
            Ok(Outcome::Good)
        }
    }
}

fn view(routes: Routes) -> View {
    match routes {
        Routes::Advertised => View::Advertised,
        Routes::Received => View::Received,
        Routes::Accepted => View::Accepted,
    }
}

fn manner(soft: Option<Soft>, hard: bool) -> Manner {
    match (soft, hard) {
        (Some(Soft::In), _) => Manner::SoftIn,
        (Some(Soft::Out), _) => Manner::SoftOut,
        (None, true) => Manner::Hard,
        (None, false) => Manner::Session,
    }
}

/// Prints one answer in the form that was asked for.
fn answer<J: serde::Serialize>(
    output: &mut Output,
    json: impl FnOnce() -> J,
    text: impl FnOnce(&show::Screen) -> String,
) -> Result<Outcome, Failure> {
    match output.printed() {
        Printed::Json => output.json(&json())?,
        Printed::Text => {
            let text = text(&output.screen());
            output.text(&text)?;
        }
    }
    Ok(Outcome::Good)
}
