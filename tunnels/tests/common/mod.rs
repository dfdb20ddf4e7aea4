//! Namespaces, processes and tunnels that clean up after themselves, also when a test panics.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::{
    io::{BufRead, BufReader, Read as _, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tunnels::spec::Secret;

/// A network namespace that this test made.
pub(crate) struct Netns(pub(crate) String);

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Netns {
    pub(crate) fn new() -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let netns = Self(format!("sbtun-{}-{count}", std::process::id()));
        run("ip", &["netns", "add", &netns.0]);
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// Runs `ip` inside, and insists that it works.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", &self.0];
        all.extend(arguments);
        run("ip", &all)
    }

    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0, program])
            .args(arguments);
        command
    }

    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments)
            .output()
            .expect("ip is installed")
    }

    /// Runs `work` on a thread inside this namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let file = std::fs::File::open(format!("/run/netns/{}", self.0)).expect("it exists");
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                use std::os::fd::AsFd;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("tests run as root");
                work()
            });
            inside
                .join()
                .expect("the work inside the namespace did not panic")
        })
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let output = Command::new("ip").args(["netns", "pids", &self.0]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// Pings until one answer comes, for at most `patience`.
    pub(crate) fn reaches(&self, address: &str, patience: Duration) -> bool {
        eventually(patience, || {
            self.output("ping", &["-n", "-c", "1", "-W", "1", address])
                .status
                .success()
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A keeper lives in the namespace as long as its interface does.
        for pid in self.pids() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Two namespaces with a cable between them: 172.31.0.1 and 172.31.0.2.
pub(crate) fn cabled() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    let cable = [
        "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &b.0,
    ];
    a.ip(&cable);
    for (netns, address) in [(&a, "172.31.0.1/24"), (&b, "172.31.0.2/24")] {
        netns.ip(&["addr", "add", address, "dev", "cable"]);
        netns.ip(&["link", "set", "cable", "up"]);
    }
    (a, b)
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("it is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn eventually(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let give_up = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > give_up {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Pings every 2 ms until told to stop.
pub(crate) struct Pings(Child);

impl Pings {
    pub(crate) fn start(from: &Netns, to: &str) -> Self {
        let arguments = ["-n", "-q", "-i", "0.002", "-W", "1", to];
        let child = from
            .command("ping", &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("ping is installed");
        Self(child)
    }

    /// How many were sent, and how many of them were not answered.
    pub(crate) fn stop(mut self) -> (u32, u32) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).expect("text");
        self.0.wait().expect("it ends");
        let line = text.lines().find(|line| line.contains("transmitted"));
        let mut numbers = line.expect("a summary").split_whitespace();
        let sent: u32 = numbers.next().expect("sent").parse().expect("a number");
        let received: u32 = numbers.nth(2).expect("received").parse().expect("a number");
        // The last one may have been under way.
        (sent, sent.saturating_sub(received + 1))
    }
}

/// The words that the example `wg` takes.
#[derive(Clone)]
pub(crate) struct Words {
    pub(crate) interface: String,
    pub(crate) address: String,
    pub(crate) mtu: u32,
    pub(crate) private: [u8; 32],
    pub(crate) listen: u16,
    pub(crate) backend: &'static str,
    pub(crate) peer: [u8; 32],
    pub(crate) endpoint: Option<String>,
    pub(crate) psk: Option<[u8; 32]>,
    pub(crate) keepalive: u16,
}

pub(crate) fn base64(bytes: [u8; 32]) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub(crate) fn public(private: [u8; 32]) -> [u8; 32] {
    Secret::new(private).public_key()
}

impl Words {
    /// An end that listens on 51820, with the peer at `endpoint`.
    pub(crate) fn new(ours: u8, theirs: u8, address: &str, endpoint: Option<&str>) -> Self {
        Self {
            interface: "sb-test".to_owned(),
            address: address.to_owned(),
            mtu: 1420,
            private: [ours; 32],
            listen: 51820,
            backend: "userspace",
            peer: public([theirs; 32]),
            endpoint: endpoint.map(str::to_owned),
            psk: None,
            keepalive: 0,
        }
    }

    pub(crate) fn line(&self) -> String {
        let psk = self.psk.map_or("-".to_owned(), base64);
        format!(
            "{} {} {} {} {} {} {} {} {} {psk} {}",
            self.interface,
            self.interface,
            self.address,
            self.mtu,
            base64(self.private),
            self.listen,
            self.backend,
            base64(self.peer),
            self.endpoint.as_deref().unwrap_or("-"),
            self.keepalive
        )
    }
}

/// A running example `wg`.
pub(crate) struct End {
    child: Child,
    status: Arc<Mutex<String>>,
    steps: Arc<Mutex<Vec<String>>>,
}

impl End {
    pub(crate) fn start(netns: &Netns, words: &Words) -> Self {
        Self::start_all(netns, std::slice::from_ref(words))
    }

    /// One process with several tunnels; its status is that of any of them.
    pub(crate) fn start_all(netns: &Netns, words: &[Words]) -> Self {
        let lines: Vec<String> = words.iter().map(Words::line).collect();
        let line = lines.join(" ");
        let arguments: Vec<&str> = line.split(' ').collect();
        let program = example();
        let mut child = netns
            .command(program.to_str().expect("a path in UTF-8"), &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip is installed");
        let (status, steps) = <(Arc<Mutex<String>>, Arc<Mutex<Vec<String>>>)>::default();
        let stdout = child.stdout.take().expect("piped");
        let (status_in, steps_in) = (status.clone(), steps.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(step) = line.strip_prefix("step ") {
                    steps_in.lock().expect("no panic").push(step.to_owned());
                } else if line.starts_with("status ") {
                    *status_in.lock().expect("no panic") = line;
                }
            }
        });
        Self {
            child,
            status,
            steps,
        }
    }

    pub(crate) fn status(&self) -> String {
        self.status.lock().expect("no panic").clone()
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        self.steps.lock().expect("no panic").clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn says(&self, text: &str, patience: Duration) -> bool {
        eventually(patience, || self.status().contains(text))
    }

    pub(crate) fn reconfigure(&mut self, words: Option<&Words>) {
        let line = words.map(Words::line).unwrap_or_default();
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{line}").expect("it runs");
    }

    /// `kill -9`, and wait until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a line");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example program, which `cargo test` and `cargo nextest` build beside the tests.
pub(crate) fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let debug = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/…/deps/test");
    let program = debug.join("examples/wg");
    assert!(
        program.exists(),
        "{} is missing: cargo build -p tunnels --examples",
        program.display()
    );
    program
}
