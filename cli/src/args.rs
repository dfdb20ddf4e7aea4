//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// The command line of Skybridge.
#[derive(Parser, Debug)]
#[command(
    name = "skybridge",
    version,
    about = "Shows, reloads and resets a Skybridge router; checks its files",
    after_help = "Words may be shortened: skybridge sh bgp nei. Scripts had better spell them out.\n\
                  Exit codes: 0 done, 1 done and the answer is no, 2 it could not be done.",
    infer_subcommands = true
)]
pub(crate) struct Args {
    /// Print JSON: one object, or one a line for events and routes
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the daemon listens
    #[arg(long, global = true, value_name = "PATH", env = "SKYBRIDGE_SOCKET",
          default_value = api::DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// One screen: groups, links, peers, routes, alarms
    Status,
    /// Links, groups, peers, routes or tunnels, in full
    #[command(subcommand)]
    Show(Show),
    /// Say what is wrong with a configuration file; needs no daemon
    Check {
        /// The file; - is the standard input
        file: PathBuf,
        /// Warnings count as well: exit code 1
        #[arg(long)]
        strict: bool,
    },
    /// Filters of a configuration file
    #[command(subcommand)]
    Filter(Filter),
    /// Events as they happen, until interrupted
    Watch {
        /// Begin with those that the daemon still remembers
        #[arg(long)]
        history: bool,
        /// End after those
        #[arg(long, requires = "history")]
        no_follow: bool,
    },
    /// Have the daemon read its file again; a wrong file changes nothing
    Reload,
    /// Begin anew with a peer: end its session, or exchange routes again without that
    Reset {
        /// Its name or address
        peer: String,
        /// Keep the session: `in` takes its routes again, `out` sends it everything again
        #[arg(long, value_name = "DIRECTION", conflicts_with_all = ["hard", "message"])]
        soft: Option<Soft>,
        /// Have both ends drop routes that graceful restart would keep
        #[arg(long)]
        hard: bool,
        /// What the operator at the other end is told
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Fail a link on purpose and see what happens: detected in, switched in, packets lost
    #[command(
        subcommand,
        after_help = "Refused when no other link of the group is usable. Ctrl-C ends a drill; it also ends by itself,\n\
                      and when the daemon does. Exit codes: 0 done, and within the objective if there is one; 1 not."
    )]
    Drill(Drill),
    /// Empty a link of traffic, and wait until nothing passes over it
    #[command(
        after_help = "It stays so until `undrain`, or until the daemon starts again; `drain = true` in the file lasts.\n\
                      Exit codes: 0 it is empty, 1 not within the time; the order stands all the same."
    )]
    Drain(DrainArgs),
    /// Give a link back to its group
    Undrain(DrainArgs),
    /// The completion script of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct DrainArgs {
    /// Name of the link
    pub(crate) link: String,
    /// How long to wait, up to 1h; 0s: not at all
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = drain_time)]
    pub(crate) timeout: Duration,
}

fn drain_time(text: &str) -> Result<Duration, String> {
    config::parse_duration(text, Duration::ZERO..=Duration::from_secs(3600))
}

#[derive(Subcommand, Debug)]
#[command(infer_subcommands = true)]
pub(crate) enum Drill {
    /// Drop everything on it, in both directions
    Fail {
        #[command(flatten)]
        on: DrillOn,
    },
    /// Drop a part of what passes, in both directions
    Loss {
        #[command(flatten)]
        on: DrillOn,
        /// How much, in percent
        #[arg(long, value_name = "NUMBER")]
        percent: f64,
    },
    /// Delay what leaves by it, where the kernel can (sch_netem)
    Delay {
        #[command(flatten)]
        on: DrillOn,
        /// How much later: 1ms to 10s
        #[arg(long, value_name = "DURATION", value_parser = delay_time)]
        by: Duration,
    },
    /// Take what its peers announce for withdrawn
    Withdraw {
        #[command(flatten)]
        on: DrillOn,
    },
    /// End the drill that is under way
    Stop,
}

#[derive(clap::Args, Debug)]
pub(crate) struct DrillOn {
    /// Name of the link
    pub(crate) link: String,
    /// How long: 1s to 1h
    #[arg(long = "for", value_name = "DURATION", value_parser = drill_time)]
    pub(crate) lasts: Duration,
}

fn delay_time(text: &str) -> Result<Duration, String> {
    config::parse_duration(text, Duration::from_millis(1)..=Duration::from_secs(10))
}

fn drill_time(text: &str) -> Result<Duration, String> {
    config::parse_duration(text, Duration::from_secs(1)..=Duration::from_secs(3600))
}

/// Which routes are exchanged again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Soft {
    /// Those that the peer sends
    In,
    /// Those that it is sent
    Out,
}

#[derive(Subcommand, Debug)]
#[command(infer_subcommands = true)]
pub(crate) enum Filter {
    /// Say what a filter does with a route, rule by rule; needs no daemon
    #[command(
        after_help = "Exit codes: 0 every route is accepted, 1 one is rejected, 2 something cannot be read."
    )]
    Test(FilterTest),
}

#[derive(clap::Args, Debug)]
pub(crate) struct FilterTest {
    /// The configuration file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) filter: WhichFilter,
    /// Which filter of the peer; with --filter, be sure that a peer uses it so
    #[arg(long)]
    pub(crate) direction: Option<Direction>,
    #[command(flatten)]
    pub(crate) routes: WhichRoutes,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichFilter {
    /// The filter of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,
    /// The filter that this peer has in --direction
    #[arg(long, value_name = "NAME", requires = "direction")]
    pub(crate) peer: Option<String>,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct WhichRoutes {
    /// A route: 'prefix=10.1.0.0/16 as-path="65010 {1,2}" community=65010:100,no-export med=10'; also
    /// nexthop, local-pref, origin, ext-community, large-community
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Vec<String>,
    /// A file with a route in each line; - is the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,
}

/// Which way routes go.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the peer
    Import,
    /// To the peer
    Export,
}

#[derive(Subcommand, Debug)]
#[command(infer_subcommands = true)]
pub(crate) enum Show {
    /// Links: state and quality; one of them in full
    Links {
        /// Its name
        name: Option<String>,
    },
    /// Groups: which link is active, and since when
    Groups,
    /// Peers: state and prefixes; one of them in full
    Peers {
        /// Its name or address
        name: Option<String>,
    },
    /// Routes: every path, best first, and why
    Routes {
        /// Only this prefix; for an address, the longest that holds it
        prefix: Option<String>,
        /// Also everything more specific
        #[arg(long, requires = "prefix")]
        longer: bool,
        /// Stop after so many prefixes; 0 is no limit
        #[arg(long, default_value_t = 0)]
        limit: u32,
        /// Only what concerns this peer, by name or address
        #[arg(long, value_name = "PEER")]
        peer: Option<String>,
        /// What it sent, as it sent it, refused or not
        #[arg(long, requires = "peer", conflicts_with_all = ["accepted", "advertised"])]
        received: bool,
        /// What it sent and the import filter accepted
        #[arg(long, requires = "peer", conflicts_with = "advertised")]
        accepted: bool,
        /// What it was told
        #[arg(long, requires = "peer")]
        advertised: bool,
    },
    /// Tunnels: backend, handshake, traffic
    Tunnels,
    /// BFD sessions: state, intervals, packets
    Bfd,
    /// The same by the names that other routers use
    #[command(subcommand)]
    Bgp(Bgp),
}

#[derive(Subcommand, Debug)]
#[command(infer_subcommands = true)]
pub(crate) enum Bgp {
    /// The same as `show peers`
    Summary,
    /// One peer in detail, or all
    #[command(alias = "neighbours")]
    Neighbors {
        /// Its name or address
        name: Option<String>,
        /// Its routes instead
        routes: Option<Routes>,
    },
}

/// The routes of one peer, by the names that other routers use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Routes {
    /// What it sent and the import filter accepted
    #[value(name = "routes")]
    Accepted,
    /// What it was told
    #[value(name = "advertised-routes")]
    Advertised,
    /// What it sent, as it sent it
    #[value(name = "received-routes")]
    Received,
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../README.md");
    const FILTERS: &str = include_str!("../../docs/filters.md");

    /// Indented lines that begin with our name, up to the explanation beside them.
    fn commands() -> impl Iterator<Item = &'static str> {
        README
            .lines()
            .chain(FILTERS.lines())
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with("skybridge "))
            .map(|line| line.split("  ").next().unwrap_or(line))
    }

    #[test]
    fn every_command_in_the_documentation_can_be_typed() {
        assert!(commands().count() >= 8, "README.md shows the first steps");
        for command in commands() {
            if let Err(error) = Args::try_parse_from(command.split_whitespace()) {
                panic!("{command}: {error}");
            }
        }
    }

    #[test]
    fn words_may_be_shortened_as_on_other_routers() {
        for (short, expected) in [
            ("skybridge sh bgp sum", "Show(Bgp(Summary))"),
            (
                "skybridge show bgp nei wg-a",
                "Show(Bgp(Neighbors { name: Some(\"wg-a\"), routes: None }))",
            ),
            (
                "skybridge sh bgp nei wg-a advertised-routes",
                "Show(Bgp(Neighbors { name: Some(\"wg-a\"), routes: Some(Advertised) }))",
            ),
            ("skybridge sh link", "Show(Links { name: None })"),
        ] {
            let args = Args::try_parse_from(short.split_whitespace());
            let command = args.map(|args| format!("{:?}", args.command));
            assert_eq!(command.ok().as_deref(), Some(expected), "{short}");
        }
    }
}
