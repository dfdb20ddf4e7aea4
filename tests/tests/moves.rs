//! No packet of 10,000 a second is lost when traffic moves though its link works: both ways, through the kernels of
//! the router and of FRR and BIRD.
//!
//! Needs root, FRR, BIRD, nft and `cargo build --workspace --bins`.
#![expect(clippy::print_stdout, reason = "what was lost is told for each move")]

use std::net::{IpAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use links::stamp::{self, NtpTime};
use links::{Arrival, Reflector, ReflectorConfig};
use tests::lab::flow::Report;
use tests::lab::ways::{Way, Ways, Wish};

const RATE: u32 = 10_000;
/// Before and after a move.
const AROUND: Duration = Duration::from_millis(300);

/// Everything goes to `way`, both ways, once `cause` has happened.
fn moves_to(
    ways: &mut Ways,
    way: Way,
    what: &str,
    cause: impl FnOnce(&mut Ways) -> Result<()>,
) -> Result<()> {
    let flow = ways.flow(RATE)?;
    thread::sleep(AROUND);
    cause(ways)?;
    ways.wait_for(way)?;
    thread::sleep(AROUND);
    judge(what, &flow.finish()?)
}

fn judge(what: &str, report: &Report) -> Result<()> {
    let (lost, sent) = (report.lost(), report.sent());
    println!(
        "{what}: {lost} of {sent} lost, at most {} ms between two",
        report.longest_gap().as_millis()
    );
    ensure!(lost == 0, "{what}: {lost} of {sent} lost");
    Ok(())
}

fn reload(ways: &Ways) -> Result<()> {
    ways.router.cli(&["reload"]).map(drop)
}

fn for_both_clouds(ways: &Ways, words: &[&str], way: Way) -> Result<()> {
    for cloud in ["aws", "oci"] {
        let link = way.link(cloud);
        ways.router.cli(&[words, &[&link]].concat())?;
    }
    Ok(())
}

/// With `key = value` for the links of both clouds, and `policy` for their groups.
fn choose_by(ways: &Ways, policy: &str, keys: [&str; 2]) -> Result<()> {
    let file = std::fs::read_to_string(ways.router.config())?;
    let file = file.replace(
        "hold-down = \"1s\"\n",
        &format!("{policy}\nhold-down = \"1s\"\n"),
    );
    let file = [Way::First, Way::Second]
        .iter()
        .zip(keys)
        .flat_map(|(way, key)| ["aws", "oci"].map(|cloud| (way.link(cloud), key)))
        .fold(file, |file, (link, key)| {
            file.replacen(
                &format!("[link.{link}]\n"),
                &format!("[link.{link}]\n{key}\n"),
                1,
            )
        });
    std::fs::write(ways.router.config(), file)?;
    reload(ways)
}

fn drill(ways: &Ways, words: &[&str]) -> Result<Child> {
    let question = ways.router.question();
    let mut question = question.split(' ');
    let program = question.next().context("a program")?;
    Ok(Command::new(program)
        .args(question)
        .arg("drill")
        .args(words)
        .stdout(Stdio::null())
        .spawn()?)
}

#[test]
fn nothing_is_lost_by_another_order_by_drains_or_by_their_end() -> Result<()> {
    let mut ways = Ways::start("moves-o", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::Second, "another priority", |ways| {
        ways.prefer(Way::Second)?;
        reload(ways)
    })?;
    moves_to(&mut ways, Way::First, "drain", |ways| {
        for_both_clouds(ways, &["drain"], Way::Second)
    })?;
    moves_to(&mut ways, Way::Second, "undrain", |ways| {
        for_both_clouds(ways, &["undrain"], Way::Second)
    })?;
    moves_to(&mut ways, Way::First, "drain in the file", |ways| {
        ways.configure(Wish {
            drained: Some(Way::Second),
            ..Wish::first(Way::Second)
        })?;
        reload(ways)
    })?;
    moves_to(&mut ways, Way::Second, "and its end", |ways| {
        ways.prefer(Way::Second)?;
        reload(ways)
    })
}

#[test]
fn nothing_is_lost_by_moves_for_cost_and_for_loss() -> Result<()> {
    let mut ways = Ways::start("moves-p", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::Second, "cost", |ways| {
        choose_by(ways, "policy = \"cost\"", ["cost = 0.09", "cost = 0.02"])
    })?;
    ways.prefer(Way::First)?;
    choose_by(&ways, "policy = \"loss\"\nmargin = \"1%\"", ["", ""])?;
    moves_to(&mut ways, Way::First, "loss", |ways| {
        // Of probes alone: what users would lose is not what a move costs.
        for cloud in 0..2 {
            let link = Way::Second.link(["aws", "oci"][cloud]);
            let rule = format!(
                "table inet lossy {{ chain in {{ type filter hook input priority 0; \
                 iifname \"{link}\" icmp type echo-request numgen random mod 100 < 20 drop; }}; }}"
            );
            ways.cloud(cloud).run("nft", &[&rule])?;
        }
        Ok(())
    })
}

/// Answers the router's STAMP probes from both gateways, each link's as late as is said.
struct Reflectors {
    /// Milliseconds, by link.
    late: Arc<[AtomicU64; 2]>,
    on: Arc<AtomicBool>,
}

impl Reflectors {
    fn start(ways: &Ways) -> Result<Self> {
        let reflectors = Self {
            late: Arc::default(),
            on: Arc::new(AtomicBool::new(true)),
        };
        for (cloud, network) in ["192.0.2", "198.51.100"].into_iter().enumerate() {
            for (link, [near, far]) in [[1, 2], [5, 6]].into_iter().enumerate() {
                let near: IpAddr = format!("{network}.{near}").parse()?;
                let far: IpAddr = format!("{network}.{far}").parse()?;
                let namespace = ways.cloud(cloud).clone();
                let (late, on) = (reflectors.late.clone(), reflectors.on.clone());
                thread::spawn(move || -> Result<()> {
                    namespace.enter()?;
                    let socket = UdpSocket::bind((far, stamp::PORT))?;
                    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
                    let mut reflector = Reflector::new(ReflectorConfig::unauthenticated(near));
                    while on.load(Ordering::Relaxed) {
                        let late = Duration::from_millis(late[link].load(Ordering::Relaxed));
                        // A read that timed out, or a reply that does not leave, is a probe without an answer.
                        drop(answer(&socket, &mut reflector, late));
                    }
                    Ok(())
                });
            }
        }
        Ok(reflectors)
    }
}

impl Drop for Reflectors {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
    }
}

/// It says that it came when it is answered, so that waiting counts as round-trip time.
fn answer(socket: &UdpSocket, reflector: &mut Reflector, late: Duration) -> Result<()> {
    let mut bytes = [0; 2048];
    let (length, from) = socket.recv_from(&mut bytes)?;
    thread::sleep(late);
    let at = NtpTime::from_unix(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?);
    let bytes = &bytes[..length];
    let arrival = Arrival {
        bytes,
        from,
        ttl: 255,
        at,
    };
    if let Ok(reply) = reflector.reflect(arrival, at, Instant::now()) {
        socket.send_to(&reply, from)?;
    }
    Ok(())
}

#[test]
fn nothing_is_lost_by_a_move_for_latency() -> Result<()> {
    let mut ways = Ways::start("moves-l", Way::First)?;
    ways.wait_for(Way::First)?;
    let reflectors = Reflectors::start(&ways)?;
    let file = std::fs::read_to_string(ways.router.config())?;
    let stamp = "method = \"stamp\", window = \"2s\"";
    std::fs::write(
        ways.router.config(),
        file.replace("method = \"icmp\"", stamp),
    )?;
    choose_by(&ways, "policy = \"latency\"\nmargin = \"10ms\"", ["", ""])?;
    ways.wait_for(Way::First)?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::Second, "latency", |_| {
        reflectors.late[0].store(30, Ordering::Relaxed);
        Ok(())
    })
}

#[test]
fn nothing_is_lost_by_the_return_to_a_link_that_had_failed() -> Result<()> {
    let mut ways = Ways::start("moves-r", Way::First)?;
    ways.wait_for(Way::First)?;
    ways.cut(Way::First)?;
    ways.wait_for_each([Way::Second, Way::First])?;
    ways.ping(10)?;
    moves_to(&mut ways, Way::First, "the return", |ways| {
        ways.restore(Way::First)
    })?;
    // The other cloud's group has no reason to move.
    let mut child = drill(&ways, &["withdraw", "aws-1", "--for", "3s"])?;
    let flow = ways.flow(RATE)?;
    ways.wait_for_back([Way::First, Way::First])?;
    ensure!(child.wait()?.success(), "the drill");
    ways.wait_for(Way::First)?;
    thread::sleep(AROUND);
    let report = flow.finish()?;
    judge("a drill that withdraws", &report)
}
