//! Against `wireguard-go` and `wg`: needs root and Debian's `wireguard-go` and `wireguard-tools`.

mod common;

use std::{process::Stdio, time::Duration};

use common::{End, Netns, Pings, Words, base64, cabled, public};

const SOON: Duration = Duration::from_secs(20);

/// A `wireguard-go` with its control socket in its namespace's own name.
struct WireguardGo(std::process::Child);

impl WireguardGo {
    fn start(netns: &Netns, ours: u8, theirs: u8, endpoint: Option<&str>) -> Self {
        // Interface names are unique because the control sockets share /var/run/wireguard.
        let name = format!("wg{}", netns.0.trim_start_matches("sbtun-"));
        let child = netns
            .command("wireguard-go", &["-f", &name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("wireguard-go is installed");
        let go = Self(child);
        let made = common::eventually(SOON, || {
            netns.output("wg", &["show", &name]).status.success()
        });
        assert!(made, "wireguard-go made no interface");
        let key = format!("/tmp/{}.key", netns.0);
        std::fs::write(&key, base64([ours; 32])).expect("written");
        let peer = base64(public([theirs; 32]));
        let mut arguments = vec!["set", &name, "private-key", &key, "listen-port", "51820"];
        arguments.extend(["peer", &peer, "allowed-ips", "0.0.0.0/0"]);
        arguments.extend(
            endpoint
                .into_iter()
                .flat_map(|endpoint| ["endpoint", endpoint]),
        );
        let set = netns.output("wg", &arguments);
        std::fs::remove_file(&key).expect("removed");
        assert!(
            set.status.success(),
            "{}",
            String::from_utf8_lossy(&set.stderr)
        );
        netns.ip(&["addr", "add", "10.99.0.2/24", "dev", &name]);
        netns.ip(&["link", "set", &name, "mtu", "1420", "up"]);
        go
    }
}

impl Drop for WireguardGo {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // Not KILL: it removes its control socket.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn bulk(from: &Netns, to: &Netns, address: &str) {
    let mut server = to
        .command("iperf3", &["-s", "-1"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    std::thread::sleep(Duration::from_millis(500));
    let sent = from.output("iperf3", &["-c", address, "-n", "20M"]);
    server.kill().ok();
    server.wait().expect("it ends");
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stdout)
    );
}

#[test]
fn we_call_wireguard_go() {
    let (a, b) = cabled();
    let _go = WireguardGo::start(&b, 2, 1, None);
    let end = End::start(
        &a,
        &Words::new(1, 2, "10.99.0.1/24", Some("172.31.0.2:51820")),
    );
    assert!(end.says("fresh=true", SOON), "{}", end.status());
    assert!(a.reaches("10.99.0.2", SOON), "{}", end.status());
    bulk(&a, &b, "10.99.0.2");
    bulk(&b, &a, "10.99.0.1");
}

#[test]
fn wireguard_go_calls_us() {
    let (a, b) = cabled();
    let end = End::start(&a, &Words::new(1, 2, "10.99.0.1/24", None));
    let listens = "waiting for the peer to reach UDP port 51820";
    assert!(end.says(listens, SOON), "{}", end.status());
    let _go = WireguardGo::start(&b, 2, 1, Some("172.31.0.1:51820"));
    assert!(b.reaches("10.99.0.1", SOON), "{}", end.status());
    assert!(
        end.says("fresh=true endpoint=172.31.0.2:51820", SOON),
        "{}",
        end.status()
    );
}

#[test]
fn each_follows_the_other_when_it_moves() {
    let (a, b) = cabled();
    let end = End::start(&a, &Words::new(1, 2, "10.99.0.1/24", None));
    let _go = WireguardGo::start(&b, 2, 1, Some("172.31.0.1:51820"));
    assert!(b.reaches("10.99.0.1", SOON), "{}", end.status());
    let moves = |netns: &Netns, from: &str, to: &str| {
        netns.ip(&["addr", "add", to, "dev", "cable"]);
        netns.ip(&["addr", "del", from, "dev", "cable"]);
        // The deletion took the secondary address with it where promote_secondaries is off.
        netns.ip(&["addr", "replace", to, "dev", "cable"]);
    };
    moves(&b, "172.31.0.2/24", "172.31.0.22/24");
    assert!(b.reaches("10.99.0.1", SOON));
    let moved = "endpoint=172.31.0.22:51820";
    assert!(end.says(moved, SOON), "{}", end.status());
    moves(&a, "172.31.0.1/24", "172.31.0.11/24");
    assert!(a.reaches("10.99.0.2", SOON), "{}", end.status());
    let name = format!("wg{}", b.0.trim_start_matches("sbtun-"));
    let followed = || {
        let shown = b.output("wg", &["show", &name, "endpoints"]).stdout;
        String::from_utf8_lossy(&shown).contains("172.31.0.11:51820")
    };
    assert!(common::eventually(SOON, followed));
}

#[test]
fn a_preshared_key_changes_at_both_without_losing_a_packet() {
    let (a, b) = cabled();
    let mut words = Words::new(1, 2, "10.99.0.1/24", Some("172.31.0.2:51820"));
    let mut end = End::start(&a, &words);
    let _go = WireguardGo::start(&b, 2, 1, Some("172.31.0.1:51820"));
    assert!(a.reaches("10.99.0.2", SOON), "{}", end.status());
    let pings = Pings::start(&a, "10.99.0.2");
    let pause = || std::thread::sleep(Duration::from_millis(700));
    pause();
    let name = format!("wg{}", b.0.trim_start_matches("sbtun-"));
    let (file, peer) = (format!("/tmp/{}.psk", b.0), base64(public([1; 32])));
    std::fs::write(&file, base64([9; 32])).expect("written");
    let set = b.output("wg", &["set", &name, "peer", &peer, "preshared-key", &file]);
    std::fs::remove_file(&file).expect("removed");
    assert!(set.status.success());
    pause();
    words.psk = Some([9; 32]);
    end.reconfigure(Some(&words));
    // Long enough for a handshake that failed to be begun again.
    std::thread::sleep(Duration::from_secs(7));
    let (sent, lost) = pings.stop();
    assert!(sent > 500, "{sent}");
    assert_eq!(lost, 0, "of {sent}: {}", end.status());
    let shown = b.output("wg", &["show", &name, "latest-handshakes"]).stdout;
    let at = String::from_utf8_lossy(&shown)
        .split_whitespace()
        .nth(1)
        .map(str::to_owned);
    let at: u64 = at.and_then(|at| at.parse().ok()).expect("a time");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.expect("after 1970").as_secs().saturating_sub(at);
    assert!(
        age <= 9,
        "no handshake under the new key: the last was {age} s ago"
    );
}
