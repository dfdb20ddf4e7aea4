//! `./dev demo`: two clouds, two routers, two internets on this machine, and what happens when
//! one internet dies.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a demo talks to a person"
)]

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use clap::{Parser, ValueEnum as _};
use tests::interrupt;
use tests::lab::flow::Report;
use tests::lab::{self, AWS, Lab, OCI, Way, WireGuard};

/// Prefix of the demo's namespaces.
const NAME: &str = "sb";
/// What the two internets are like: the preferred one is the shorter one.
const INTERNETS: [(Way, &str); 4] = [
    (Way::A, "delay 8ms"),
    (Way::A, "jitter 500us"),
    (Way::B, "delay 14ms"),
    (Way::B, "jitter 500us"),
];
/// Packets a second while an internet is cut and restored.
const RATE: u32 = 1_000;
/// More than this and the demo says what is wrong instead of waiting.
const PATIENCE: Duration = Duration::from_secs(20);

const PICTURE: &str = "
   AWS                                                                             OCI
   host ─ gateway ─── skybridged ═══ WireGuard over internet A ═══ skybridged ─── gateway ─ host
          FRR 64512   65010      ║        8 ms each way        ║        65020   BIRD 31898
                                 ╚══ WireGuard over internet B ══╝
                                         14 ms each way
";

/// Two clouds, two routers and two internets, in network namespaces of this machine.
#[derive(Parser)]
struct Arguments {
    /// Leave everything running at the end.
    #[arg(long)]
    keep: bool,
    /// Remove what `--keep` left, then stop.
    #[arg(long, conflicts_with = "keep")]
    down: bool,
    /// Change an internet of a kept demo: `cut`, `restore`, `delay 80ms`, `jitter 5ms`, `loss 2%`,
    /// `rate 10mbit`, `stats`; then, if not both ways, `left-to-right` or `right-to-left`.
    #[arg(long, num_args = 2.., value_names = ["a|b", "WORDS"], exclusive = true)]
    internet: Vec<String>,
    /// Use the kernel's WireGuard instead of our own.
    #[arg(long)]
    kernel_wireguard: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.internet.split_first() {
        Some((way, words)) => change_internet(way, words),
        None if arguments.down => take_down(),
        None => show(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The lab went away below us, which is no failure of it; the signal's thread ends us.
        Err(_) if interrupt::arrived() => loop {
            thread::park();
        },
        Err(error) => {
            eprintln!("{} {error:#}", paint("31", "demo failed:"));
            ExitCode::FAILURE
        }
    }
}

fn take_down() -> Result<()> {
    if lab::remains(NAME)?.is_empty() {
        println!("nothing of a demo is here");
        return Ok(());
    }
    lab::remove(NAME)?;
    lab::ensure_gone(NAME)?;
    println!("the demo is removed");
    Ok(())
}

fn change_internet(way: &str, words: &[String]) -> Result<()> {
    let way =
        Way::from_str(way, true).map_err(|_unknown| anyhow!("no internet `{way}`: a or b"))?;
    ensure!(
        lab::stands(NAME),
        "no demo stands; `./dev demo --keep` leaves one running"
    );
    println!("{}", lab::tell_internet(NAME, way, &words.join(" "))?);
    Ok(())
}

fn show(arguments: &Arguments) -> Result<()> {
    if lab::stands(NAME) {
        bail!("a demo stands already; `./dev demo --down` removes it");
    }
    remove_on_signal()?;
    println!("{PICTURE}");
    let backend = if arguments.kernel_wireguard {
        WireGuard::Kernel
    } else {
        WireGuard::Userspace
    };
    let mut lab = timed("8 network namespaces and the cables between them", || {
        Lab::build(NAME, backend)
    })?;
    for (way, line) in INTERNETS {
        lab.internet(way).tell(line)?;
    }
    bring_up(&mut lab)?;
    show_routes(&lab)?;
    show_links(&lab)?;
    fail_over(&mut lab)?;
    restore(&mut lab)?;
    let heading = if arguments.keep {
        "look around"
    } else {
        "to look around, as after ./dev demo --keep"
    };
    println!("\n  {}", paint("1", heading));
    print_questions(&lab);
    if arguments.keep {
        lab.keep()?;
        println!("\n  {}", paint("1", "it is left running"));
        println!("    ./dev internet a cut            then: restore");
        println!("    ./dev internet a delay 80ms     or jitter 20ms, loss 2%, rate 10mbit, stats");
        println!("    ./dev demo --down               removes it");
        return Ok(());
    }
    drop(lab);
    timed("everything removed", || lab::ensure_gone(NAME))
}

fn bring_up(lab: &mut Lab) -> Result<()> {
    timed("FRR and BIRD run as the clouds' gateways", || {
        lab.start_gateways()
    })?;
    let started = Instant::now();
    timed("two skybridged started", || lab.start_routers())?;
    timed(
        "4 BGP sessions established, as skybridged, FRR and BIRD each say",
        || lab.wait_for_sessions(PATIENCE),
    )?;
    timed(
        "the intended routes in all four kernels, the strays in none",
        || {
            lab.wait_for_active(Way::A, PATIENCE)?;
            lab.wait_for_routes(Way::A, PATIENCE)
        },
    )?;
    lab::process::wait_for("ping across", PATIENCE, || lab.ping(&AWS))
        .map_err(|error| lab.diagnose(error))?;
    let since = started.elapsed().as_millis();
    step(
        None,
        &format!(
            "first ping across, {} after the daemons' start",
            paint("1", &format!("{since} ms"))
        ),
    );
    Ok(())
}

fn show_routes(lab: &Lab) -> Result<()> {
    println!("\n  {}", paint("1", "kernel routes of nva-aws"));
    let routes = lab.aws.namespace().ip("route show proto 77")?;
    println!("{}", indent(&routes));
    Ok(())
}

fn show_links(lab: &Lab) -> Result<()> {
    println!("\n  {}", paint("1", "links, as nva-aws measures them"));
    for link in lab.aws.links()? {
        let quality = link.quality.clone().unwrap_or_default();
        let rtt = quality.rtt_median.map_or(f64::NAN, |rtt| {
            rtt.seconds as f64 * 1e3 + f64::from(rtt.nanos) / 1e6
        });
        println!(
            "    {:<6} {:<5} median rtt {rtt:.2} ms, loss {:.1} %, by {}{}",
            link.name,
            paint_state(link.state()),
            quality.loss_ratio * 100.0,
            quality.method,
            if link.active {
                ", carries the traffic"
            } else {
                ""
            },
        );
    }
    Ok(())
}

fn fail_over(lab: &mut Lab) -> Result<()> {
    println!(
        "\n  {}",
        paint(
            "1",
            &format!("internet A is cut silently under {RATE} packets/s")
        )
    );
    println!("{}", indent(&lab.aws.cli(&["status"])?));
    let flow = lab.flow(RATE)?;
    thread::sleep(Duration::from_millis(500));
    let cut = Instant::now();
    lab.internet(Way::A).cut()?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    step(Some(cut.elapsed()), "both routers use internet B");
    thread::sleep(Duration::from_millis(500));
    let report = flow.finish()?;
    tell(&report);
    ensure!(
        report.longest_gap() < PATIENCE && report.lost() < report.sent(),
        "traffic did not come back"
    );
    println!("{}", indent(&lab.aws.cli(&["status"])?));
    Ok(())
}

fn restore(lab: &mut Lab) -> Result<()> {
    println!("\n  {}", paint("1", "internet A is restored"));
    let flow = lab.flow(RATE)?;
    let restored = Instant::now();
    lab.internet(Way::A).restore()?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    step(
        Some(restored.elapsed()),
        "both routers use internet A again, after its hold-down",
    );
    thread::sleep(Duration::from_millis(500));
    tell(&flow.finish()?);
    Ok(())
}

fn tell(report: &Report) {
    let gap = paint("1", &format!("{} ms", report.longest_gap().as_millis()));
    let lost = paint("1", &format!("{} of {}", report.lost(), report.sent()));
    let rtt = report.median_rtt().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "             traffic stood still for {gap}, lost {lost} packets, median rtt {rtt:.2} ms"
    );
}

fn print_questions(lab: &Lab) {
    let nva = lab.aws.namespace().name();
    println!("    {} status", lab.aws.question());
    println!("    ip netns exec {nva} curl -s http://127.0.0.1:9179/metrics");
    println!("    ip -n {nva} route show proto 77; ip -n {nva} nexthop");
    for question in [
        lab.frr.as_ref().map(|frr| frr.question()),
        lab.bird.as_ref().map(|bird| bird.question()),
    ] {
        println!("    {}", question.unwrap_or_default());
    }
    println!(
        "    ip netns exec {} ping {}",
        lab.host(&AWS).name(),
        OCI.host
    );
    println!("    logs: {}", lab.directory().display());
}

/// Does it, then prints how long it took.
fn timed<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = act()?;
    step(Some(start.elapsed()), what);
    Ok(done)
}

fn step(took: Option<Duration>, what: &str) {
    let took = took.map_or(String::new(), |took| format!("{} ms", took.as_millis()));
    println!("  {} {took:>9}  {what}", paint("32", "✓"));
}

fn indent(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn paint_state(state: api::v1::LinkState) -> String {
    use api::v1::LinkState;
    match state {
        LinkState::Up => paint("32", "up"),
        LinkState::Degraded => paint("33", "degraded"),
        LinkState::Draining => paint("33", "draining"),
        LinkState::Down => paint("31", "down"),
        LinkState::Unspecified => "unknown".to_owned(),
    }
}

fn paint(colour: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Ctrl-C and friends remove the lab too: no destructor runs then.
fn remove_on_signal() -> Result<()> {
    interrupt::watch(|| {
        eprintln!("\ninterrupted: removing the demo");
        if let Err(error) = lab::remove(NAME) {
            eprintln!("{error:#}; `./dev demo --down` tries again");
        }
        std::process::exit(130);
    })
}
