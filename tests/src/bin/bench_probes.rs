//! `./dev bench probes`: what measuring many links costs the daemon.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tests::interrupt;
use tests::lab::netns::{Namespace, output};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

/// A link that has come up is watched more closely than one that stays up, and its path is searched.
const SETTLE: Duration = Duration::from_secs(20);
/// How long all links may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Processor time and memory of a skybridged that measures links to another one over cables between two
/// namespaces, and answers as many probes as it sends, or none; those by ICMP its kernel answers.
#[derive(Parser)]
struct Arguments {
    /// So many links.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=4000))]
    links: u16,
    /// Probes a second on each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    rate: u64,
    /// By which packets: stamp, icmp.
    #[arg(long, default_value = "stamp", value_parser = ["stamp", "icmp"])]
    method: String,
    /// Only the router that is measured asks; the other one answers.
    #[arg(long)]
    one_way: bool,
    /// How long is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
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
    let mut scratch = Scratch::new("bp")?;
    let ends = [scratch.namespace("near")?, scratch.namespace("far")?];
    plug(&ends, arguments.links, &scratch)?;
    let binaries = Binaries::find()?;
    let mut routers = Vec::new();
    for (side, end) in (0..).zip(&ends) {
        let directory = scratch.directory().join(end.name());
        let mut router = Nva::new(end, &directory, &binaries)?;
        router.configure(&intent(side, arguments))?;
        router.start()?;
        routers.push(router);
    }
    let near = routers.first_mut().context("two routers")?;
    wait_for("all links up", PATIENCE, || {
        interrupt::check()?;
        let links = near.links()?;
        let is_up = |link: &&api::v1::Link| {
            let quality = link.quality.as_ref();
            link.state() == api::v1::LinkState::Up
                && quality.is_some_and(|q| q.method == arguments.method)
        };
        let up = links.iter().filter(is_up).count();
        ensure!(up == usize::from(arguments.links), "{up} are up");
        Ok(())
    })?;
    let pid = near.process()?.pid();
    wait(SETTLE)?;
    let (began, before) = (Instant::now(), processor(pid)?);
    wait(Duration::from_secs(arguments.seconds))?;
    let (took, used) = (began.elapsed(), processor(pid)? - before);
    let lost: f64 = near
        .links()?
        .iter()
        .filter_map(|link| link.quality.as_ref())
        .map(|quality| quality.loss_ratio)
        .sum();
    println!(
        "{} links at {} probes/s each by {}, {}: {:.1} % of one core, {:.0} us a probe; {} of memory; \
         {:.3} % lost",
        arguments.links,
        arguments.rate,
        arguments.method,
        match arguments.one_way {
            true => "none to answer",
            false => "and as many to answer",
        },
        used.as_secs_f64() / took.as_secs_f64() * 100.0,
        used.as_secs_f64() * 1e6
            / (took.as_secs_f64() * f64::from(arguments.links) * arguments.rate as f64),
        memory(pid)?,
        lost / f64::from(arguments.links) * 100.0,
    );
    Ok(())
}

fn wait(time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A cable for each link.
fn plug(ends: &[Namespace; 2], links: u16, scratch: &Scratch) -> Result<()> {
    let [near, far] = ends;
    let mut pairs = String::new();
    for link in 0..links {
        writeln!(
            pairs,
            "link add l{link} netns {} type veth peer name l{link} netns {}",
            near.name(),
            far.name()
        )?;
    }
    let file = scratch.directory().join("batch");
    fs::write(&file, pairs)?;
    output(Command::new("ip").arg("-batch").arg(&file))?;
    for (side, end) in (0..).zip(ends) {
        let mut lines = String::new();
        for link in 0..links {
            writeln!(lines, "addr add {}/31 dev l{link}", address(link, side))?;
            writeln!(lines, "link set l{link} up")?;
        }
        fs::write(&file, lines)?;
        end.run("ip", &["-batch", &file.display().to_string()])?;
    }
    Ok(())
}

/// - `side`: 0 or 1
fn address(link: u16, side: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, 0, 0)) + 2 * u32::from(link) + side)
}

fn intent(side: u32, arguments: &Arguments) -> String {
    let interval = 1000 / arguments.rate;
    let method = match side == 1 && arguments.one_way {
        true => "off",
        false => &arguments.method,
    };
    let mut text = format!(
        "[router]\nname = \"r{side}\"\nasn = 65010\nid = \"10.0.0.{}\"\n",
        side + 1
    );
    text.push_str("listen = []\n[fib]\ninstall = false\n");
    for link in 0..arguments.links {
        let (local, remote) = (address(link, side), address(link, 1 - side));
        text.push_str(&format!(
            "[link.l{link}]\ninterface = \"l{link}\"\nprobe = {{ method = \"{method}\", interval = \"{interval}ms\" }}\n\
             inside = {{ local = \"{local}/31\", remote = \"{remote}\" }}\n"
        ));
    }
    text
}

/// Time that all threads of a process were on a processor, as precisely as the scheduler has it.
fn processor(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let told = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = told.split(' ').next().context("empty")?.parse()?;
        sum += Duration::from_nanos(nanos);
    }
    Ok(sum)
}

/// Resident, as `/proc` words it.
fn memory(pid: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.context("no VmRSS")?.trim().to_owned())
}
