//! One run: TCP with one flow and with four, small datagrams, and ping beside TCP.

use std::fmt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::implementation::{End, Kind};
use crate::lab::netns::{self, Namespace, cable};
use crate::lab::nva::KeyPair;
use crate::lab::process::wait_for;
use crate::lab::scratch::Scratch;

const START: Duration = Duration::from_secs(15);
/// What a G.711 call sends: 160 octets of voice under an RTP header.
const SMALL: &str = "172";
/// Where the server is.
const SERVER: &str = "10.99.0.2";

/// What one run found.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Bits per second that arrived, one TCP flow.
    pub one_flow: f64,
    /// The same, four flows.
    pub four_flows: f64,
    /// Segments that TCP sent again, both tests together.
    pub retransmits: f64,
    /// Datagrams of 172 octets per second that arrived.
    pub small: f64,
    /// 99th percentile of the round trip of pings beside one TCP flow, in milliseconds.
    pub ping_p99: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:6.2} Gbit/s, 4 flows {:6.2} Gbit/s, {:6.0} retransmits, {:7.0} small/s, ping p99 {:6.2} ms",
            self.one_flow / 1e9,
            self.four_flows / 1e9,
            self.retransmits,
            self.small,
            self.ping_p99
        )
    }
}

/// Starts two ends of this kind and measures, so long each.
///
/// # Errors
///
/// When an end does not come up or a tool fails.
pub fn run(kind: Kind, time: Duration) -> Result<Figures> {
    let mut scratch = Scratch::new("wg")?;
    let (a, b) = (scratch.namespace("a")?, scratch.namespace("b")?);
    plug(&a, &b)?;
    let keys = |name: &str| KeyPair::generate(&scratch.directory().join(name));
    let (key_a, key_b) = (keys("a")?, keys("b")?);
    let pid = std::process::id();
    let (name_a, name_b) = (format!("wa{pid}"), format!("wb{pid}"));
    let _b = kind.start(&End {
        namespace: &b,
        interface: &name_b,
        address: "10.99.0.2/24",
        key: &key_b,
        peer: &key_a.public,
        remote: "172.31.0.1",
    })?;
    let _a = kind.start(&End {
        namespace: &a,
        interface: &name_a,
        address: "10.99.0.1/24",
        key: &key_a,
        peer: &key_b.public,
        remote: "172.31.0.2",
    })?;
    wait_for("a ping through the tunnel", START, || {
        a.run("ping", &["-n", "-c", "1", "-W", "1", SERVER])
    })?;
    measure(&a, &b, time).with_context(|| format!("measuring {kind}"))
}

/// A cable from 172.31.0.1 to 172.31.0.2.
pub(super) fn plug(a: &Namespace, b: &Namespace) -> Result<()> {
    let end = |namespace, address| netns::End {
        namespace,
        interface: "cable",
        address,
    };
    cable(end(a, "172.31.0.1/24"), end(b, "172.31.0.2/24"))
}

fn measure(a: &Namespace, b: &Namespace, time: Duration) -> Result<Figures> {
    let seconds = time.as_secs().to_string();
    let one = iperf(a, b, &["-t", &seconds])?;
    let four = iperf(a, b, &["-t", &seconds, "-P", "4"])?;
    let small = iperf(a, b, &["-t", &seconds, "-u", "-b", "0", "-l", SMALL])?;
    let figure = |report: &Value, path: &str| {
        let found = report.pointer(path).and_then(Value::as_f64);
        found.with_context(|| format!("iperf3 says no {path}"))
    };
    let retransmits = |report| figure(report, "/end/sum_sent/retransmits");
    let datagrams = |path| figure(&small, path);
    Ok(Figures {
        one_flow: figure(&one, "/end/sum_received/bits_per_second")?,
        four_flows: figure(&four, "/end/sum_received/bits_per_second")?,
        retransmits: retransmits(&one)? + retransmits(&four)?,
        small: (datagrams("/end/sum/packets")? - datagrams("/end/sum/lost_packets")?)
            / datagrams("/end/sum/seconds")?,
        ping_p99: ping_under_load(a, b, time)?,
    })
}

fn iperf(a: &Namespace, b: &Namespace, arguments: &[&str]) -> Result<Value> {
    let mut server = serve(b)?;
    let mut all = vec!["-J", "-c", SERVER];
    all.extend(arguments);
    let said = a.run("iperf3", &all);
    let _ = server.kill();
    server.wait()?;
    Ok(serde_json::from_str(&said?)?)
}

fn serve(b: &Namespace) -> Result<Child> {
    let mut command: Command = b.command("iperf3");
    let server = command
        .args(["-s", "-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for("iperf3 to listen", START, || {
        let sockets = b.run("ss", &["-Hltn", "sport = :5201"])?;
        ensure!(!sockets.is_empty(), "nobody listens");
        Ok(())
    })?;
    Ok(server)
}

fn ping_under_load(a: &Namespace, b: &Namespace, time: Duration) -> Result<f64> {
    let mut server = serve(b)?;
    let seconds = (time + Duration::from_secs(1)).as_secs().to_string();
    let mut load = a
        .command("iperf3")
        .args(["-c", SERVER, "-t", &seconds])
        .stdout(Stdio::null())
        .spawn()?;
    thread::sleep(Duration::from_millis(500));
    let count = (time.as_millis() / 5).to_string();
    let said = a.run(
        "ping",
        &["-n", "-i", "0.005", "-c", &count, "-W", "1", SERVER],
    );
    let _ = load.kill();
    load.wait()?;
    let _ = server.kill();
    server.wait()?;
    percentile_99(&said?)
}

fn percentile_99(said: &str) -> Result<f64> {
    let mut times: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok())
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times
        .get(times.len() * 99 / 100)
        .copied()
        .context("no ping was answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_taken_from_the_times_that_ping_prints() {
        let line = |n: u32| format!("64 bytes from 10.99.0.2: icmp_seq={n} ttl=64 time={n}.5 ms\n");
        let said: String = (0..200).rev().map(line).collect();
        assert_eq!(percentile_99(&said).ok(), Some(198.5));
        assert!(percentile_99("nothing").is_err());
    }
}
