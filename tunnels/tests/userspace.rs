//! The userspace data plane in namespaces: needs root, `ip`, `ping` and `iperf3`.

mod common;

use std::{net::UdpSocket, time::Duration};

use common::{End, Netns, Words, cabled, eventually, run};

const SOON: Duration = Duration::from_secs(10);
/// What an end says that waits to be called.
const LISTENS: &str = "waiting for the peer to reach UDP port 51820";

/// A knows where B is, B waits for A.
fn words() -> (Words, Words) {
    let a = Words::new(1, 2, "10.99.0.1/24", Some("172.31.0.2:51820"));
    let b = Words::new(2, 1, "10.99.0.2/24", None);
    (a, b)
}

fn connected() -> (Netns, Netns, End, End) {
    let (a, b) = cabled();
    let (words_a, words_b) = words();
    let end_b = End::start(&b, &words_b);
    assert!(end_b.says(LISTENS, SOON), "{}", end_b.status());
    let end_a = End::start(&a, &words_a);
    assert!(
        a.reaches("10.99.0.2", SOON),
        "{} / {}",
        end_a.status(),
        end_b.status()
    );
    (a, b, end_a, end_b)
}

#[test]
fn two_ends_carry_small_packets_full_packets_and_bulk() {
    let (a, b, end_a, end_b) = connected();
    assert!(
        end_a.says("up=true fresh=true endpoint=172.31.0.2:51820", SOON),
        "{}",
        end_a.status()
    );
    assert!(
        end_b.says("fresh=true endpoint=172.31.0.1:51820", SOON),
        "{}",
        end_b.status()
    );
    // 1392 bytes of payload make a packet of 1420; a byte more does not fit.
    let full = [
        "-n",
        "-c",
        "3",
        "-i",
        "0.2",
        "-M",
        "do",
        "-s",
        "1392",
        "10.99.0.2",
    ];
    assert!(a.output("ping", &full).status.success());
    let too_big = [
        "-n",
        "-c",
        "1",
        "-W",
        "1",
        "-M",
        "do",
        "-s",
        "1393",
        "10.99.0.2",
    ];
    assert!(!a.output("ping", &too_big).status.success());

    let mut server = b
        .command("iperf3", &["-s", "-1"])
        .spawn()
        .expect("iperf3 is installed");
    std::thread::sleep(Duration::from_millis(500));
    let sent = a.output("iperf3", &["-c", "10.99.0.2", "-n", "50M"]);
    server.kill().ok();
    server.wait().expect("it ends");
    println!("{}", String::from_utf8_lossy(&sent.stdout));
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stdout)
    );
}

#[test]
fn an_outer_path_with_a_smaller_mtu_fragments_and_works() {
    let (a, b, end_a, _end_b) = connected();
    for netns in [&a, &b] {
        netns.ip(&["link", "set", "cable", "mtu", "1300"]);
    }
    let full = [
        "-n",
        "-c",
        "3",
        "-i",
        "0.2",
        "-W",
        "2",
        "-s",
        "1392",
        "10.99.0.2",
    ];
    assert!(
        a.output("ping", &full).status.success(),
        "{}",
        end_a.status()
    );
    let mut server = b
        .command("iperf3", &["-s", "-1"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("iperf3 is installed");
    std::thread::sleep(Duration::from_millis(500));
    let sent = a.output("iperf3", &["-c", "10.99.0.2", "-n", "5M"]);
    server.kill().ok();
    server.wait().expect("it ends");
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stdout)
    );
}

#[test]
fn a_killed_daemon_leaves_routes_and_the_next_one_takes_over_without_a_flap() {
    let (a, b, end_a, _end_b) = connected();
    a.ip(&[
        "nexthop",
        "add",
        "id",
        "7",
        "via",
        "10.99.0.2",
        "dev",
        "sb-test",
    ]);
    a.ip(&["route", "add", "192.0.2.0/24", "nhid", "7"]);
    b.ip(&["addr", "add", "192.0.2.1/32", "dev", "lo"]);
    assert!(a.reaches("192.0.2.1", SOON));
    let before = interface(&a);
    end_a.kill();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(
        a.ip(&["route", "show", "192.0.2.0/24"]).contains("nhid 7"),
        "the route is gone"
    );

    let (words_a, _) = words();
    let restarted = End::start(&a, &words_a);
    assert!(
        a.reaches("192.0.2.1", Duration::from_secs(2)),
        "{}",
        restarted.status()
    );
    assert_eq!(
        interface(&a),
        before,
        "index, flags, carrier changes and addresses"
    );
    assert_eq!(
        restarted.steps(),
        ["sb-test true"],
        "configured, and nothing else"
    );
    assert_eq!(
        keepers(&a).len(),
        1,
        "the keeper of the first run still serves"
    );
}

/// Everything about the interface that a flap would change.
fn interface(netns: &Netns) -> (String, String) {
    let changes = netns.output("cat", &["/sys/class/net/sb-test/carrier_changes"]);
    assert!(changes.status.success());
    let index_and_addresses = netns.ip(&["-o", "addr", "show", "sb-test"]);
    (
        index_and_addresses,
        String::from_utf8_lossy(&changes.stdout).into_owned(),
    )
}

fn keepers(netns: &Netns) -> Vec<i32> {
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    netns
        .pids()
        .into_iter()
        .filter(|pid| name(*pid).trim() == "skybridge-keep")
        .collect()
}

#[test]
fn traffic_resumes_within_half_a_second_of_a_restart() {
    for restart_waiting_end in [false, true] {
        let (a, b, end_a, end_b) = connected();
        let mut ping = a
            .command(
                "ping",
                &["-n", "-i", "0.002", "-c", "1500", "-W", "1", "10.99.0.2"],
            )
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("ping is installed");
        std::thread::sleep(Duration::from_millis(500));
        let (words_a, words_b) = words();
        let _ends = if restart_waiting_end {
            end_b.kill();
            (end_a, End::start(&b, &words_b))
        } else {
            end_a.kill();
            (End::start(&a, &words_a), end_b)
        };
        let output = ping.finished_output();
        let received = received(&output);
        println!(
            "waiting end restarted: {restart_waiting_end}; {received} of 1500 pings, 2 ms apart"
        );
        assert!(received >= 1250, "{output}");
    }
}

trait FinishedOutput {
    fn finished_output(&mut self) -> String;
}

impl FinishedOutput for std::process::Child {
    fn finished_output(&mut self) -> String {
        use std::io::Read;
        let mut text = String::new();
        self.stdout
            .take()
            .expect("piped")
            .read_to_string(&mut text)
            .expect("text");
        self.wait().expect("it ends");
        text
    }
}

fn received(ping: &str) -> u32 {
    let line = ping
        .lines()
        .find(|line| line.contains("received"))
        .expect("a summary");
    let word = line
        .split(", ")
        .nth(1)
        .and_then(|part| part.split(' ').next());
    word.and_then(|count| count.parse().ok()).expect("a count")
}

#[test]
fn a_keeper_holds_one_queue_and_no_privileges_and_ends_with_its_interface() {
    let (a, _b) = cabled();
    let (words_a, _) = words();
    let mut end = End::start(&a, &words_a);
    assert!(end.says("no handshake yet", SOON), "{}", end.status());
    assert!(eventually(SOON, || keepers(&a).len() == 1));
    let keeper = keepers(&a)[0];
    let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).expect("it runs");
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let fds = std::fs::read_dir(format!("/proc/{keeper}/fd")).expect("it runs");
    let targets: Vec<String> = fds
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let queues = targets
        .iter()
        .filter(|target| *target == "/dev/net/tun")
        .count();
    assert_eq!((queues, targets.len()), (1, 3), "{targets:?}");

    end.reconfigure(None);
    assert!(
        eventually(SOON, || keepers(&a).is_empty()),
        "the keeper did not end"
    );
    assert!(
        !a.output("ip", &["link", "show", "sb-test"])
            .status
            .success(),
        "still there"
    );
}

#[test]
fn a_flush_removes_what_a_killed_daemon_left_and_nothing_else() {
    let (a, _b, end_a, _end_b) = connected();
    end_a.kill();
    let program = common::example();
    let flushed = a.output(program.to_str().expect("a path in UTF-8"), &["flush"]);
    assert_eq!(String::from_utf8_lossy(&flushed.stdout), "sb-test\n");
    assert!(
        !a.output("ip", &["link", "show", "sb-test"])
            .status
            .success(),
        "still there"
    );
    assert!(
        eventually(SOON, || keepers(&a).is_empty()),
        "the keeper did not end"
    );
    a.ip(&["link", "show", "cable"]);
}

#[test]
fn a_killed_keeper_is_replaced() {
    let (a, _b) = cabled();
    let (words_a, _) = words();
    let end = End::start(&a, &words_a);
    assert!(end.says("no handshake yet", SOON) && eventually(SOON, || keepers(&a).len() == 1));
    let old = keepers(&a)[0];
    run("kill", &["-9", &old.to_string()]);
    assert!(eventually(SOON, || keepers(&a)
        .iter()
        .any(|pid| *pid != old)));
}

#[test]
fn an_interface_deleted_by_hand_comes_back() {
    let (a, _b, end_a, _end_b) = connected();
    a.ip(&["link", "del", "sb-test"]);
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    a.ip(&["link", "set", "sb-test", "down"]);
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    assert!(
        eventually(SOON, || keepers(&a).len() == 1),
        "{:?}",
        keepers(&a)
    );
}

#[test]
fn the_endpoint_follows_a_peer_whose_address_changes() {
    let (a, _b, _end_a, end_b) = connected();
    a.ip(&["addr", "add", "172.31.0.77/24", "dev", "cable"]);
    a.ip(&["addr", "del", "172.31.0.1/24", "dev", "cable"]);
    // The deletion took the secondary address with it where promote_secondaries is off.
    let _ = a.output("ip", &["addr", "replace", "172.31.0.77/24", "dev", "cable"]);
    assert!(a.reaches("10.99.0.2", SOON));
    assert!(
        end_b.says("endpoint=172.31.0.77:51820", SOON),
        "{}",
        end_b.status()
    );
}

#[test]
fn a_change_of_keys_endpoint_port_and_mtu_keeps_the_interface() {
    let (a, b, mut end_a, mut end_b) = connected();
    let before = a.ip(&["-o", "addr", "show", "sb-test"]);
    let (mut words_a, mut words_b) = words();
    (words_a.psk, words_b.psk) = (Some([9; 32]), Some([9; 32]));
    (words_b.listen, words_a.endpoint) = (51999, Some("172.31.0.2:51999".to_owned()));
    end_a.reconfigure(Some(&words_a));
    end_b.reconfigure(Some(&words_b));
    assert!(end_b.says("fresh=true", SOON));
    assert!(
        a.reaches("10.99.0.2", SOON),
        "{} / {}",
        end_a.status(),
        end_b.status()
    );
    assert_eq!(a.ip(&["-o", "addr", "show", "sb-test"]), before);
    words_a.mtu = 1380;
    end_a.reconfigure(Some(&words_a));
    assert!(eventually(SOON, || a
        .ip(&["link", "show", "sb-test"])
        .contains("mtu 1380")));
    assert!(b.reaches("10.99.0.1", SOON));
}

#[test]
fn a_flood_of_garbage_costs_no_memory_and_no_tunnel() {
    let (a, b, _end_a, end_b) = connected();
    let before = end_b.memory();
    a.inside(|| {
        let socket = UdpSocket::bind("172.31.0.1:0").expect("a socket");
        let mut seed = 1u64;
        let mut datagram = [0u8; 1200];
        for count in 0..200_000usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length = 1 + (seed >> 33) as usize % 1199;
            datagram[..8].copy_from_slice(&seed.to_le_bytes());
            datagram[..4].copy_from_slice(&(count as u32 % 5).to_le_bytes());
            let length = if count % 5 == 1 { 148 } else { length };
            let _ = socket.send_to(&datagram[..length], "172.31.0.2:51820");
        }
    });
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_b.status());
    let processed = udp_received(&b);
    assert!(
        processed > 20_000,
        "only {processed} arrived: this was no flood"
    );
    let after = end_b.memory();
    println!("{processed} datagrams; memory before {before} KiB, after {after} KiB");
    // The receive buffers, 6 MiB of them, are touched for the first time by the flood.
    assert!(
        after < before + 12 * 1024,
        "before {before} KiB, after {after} KiB"
    );
    assert!(
        end_b.status().contains("endpoint=172.31.0.1:51820"),
        "{}",
        end_b.status()
    );
}

/// Datagrams that sockets of this namespace have taken.
fn udp_received(netns: &Netns) -> u64 {
    let text = netns.output("cat", &["/proc/net/snmp"]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text
        .lines()
        .filter(|line| line.starts_with("Udp:"))
        .nth(1)
        .expect("counters");
    line.split_whitespace()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

#[test]
fn a_wrong_key_makes_no_handshake_and_both_ends_say_why() {
    let (a, b) = cabled();
    let (words_a, mut words_b) = words();
    words_b.peer = common::public([33; 32]);
    let (end_a, end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    let wrong = "172.31.0.1:51820 uses another key than the configured peer's";
    assert!(end_b.says(wrong, SOON), "{}", end_b.status());
    assert!(
        end_b.status().contains("up=false fresh=false"),
        "{}",
        end_b.status()
    );
    assert!(
        end_a.says("172.31.0.2:51820 does not answer", SOON),
        "{}",
        end_a.status()
    );
}

#[test]
fn what_cannot_be_made_is_said_with_its_remedy() {
    let (a, _b) = cabled();
    a.ip(&[
        "link", "add", "sb-test", "type", "veth", "peer", "name", "other",
    ]);
    let (mut words_a, _) = words();
    let mut end = End::start(&a, &words_a);
    assert!(
        end.says("interface sb-test exists and is not ours", SOON),
        "{}",
        end.status()
    );
    assert!(
        a.ip(&["-d", "link", "show", "sb-test"]).contains("veth"),
        "it was touched"
    );

    let _taken = a.inside(|| UdpSocket::bind("0.0.0.0:4000").expect("a socket"));
    words_a.interface = "sb-two".to_owned();
    words_a.listen = 4000;
    end.reconfigure(Some(&words_a));
    assert!(
        end.says("UDP port 4000 is in use", SOON),
        "{}",
        end.status()
    );
    drop(_taken);
    assert!(
        end.says("no handshake yet", SOON),
        "a retry did not bring it up: {}",
        end.status()
    );
}

fn is_up(netns: &Netns) -> bool {
    let flags = netns.ip(&["link", "show", "sb-test"]);
    flags.contains(",UP")
}

#[test]
fn an_interface_is_down_until_its_tunnel_leads_somewhere() {
    let (a, b) = cabled();
    let (words_a, words_b) = words();
    let end_a = End::start(&a, &words_a);
    assert!(end_a.says("no handshake yet", SOON), "{}", end_a.status());
    assert!(
        end_a.status().contains("up=false fresh=false"),
        "{}",
        end_a.status()
    );
    assert!(!is_up(&a), "nobody has answered");
    let end_b = End::start(&b, &words_b);
    assert!(
        end_a.says("up=true fresh=true", SOON) && end_b.says("up=true fresh=true", SOON),
        "{} / {}",
        end_a.status(),
        end_b.status()
    );
    assert!(is_up(&a) && a.reaches("10.99.0.2", SOON));
}

/// Waits for WireGuard's own 180 s.
#[test]
fn an_interface_goes_down_with_its_tunnel_and_comes_up_with_the_next_session() {
    let (a, b, end_a, end_b) = connected();
    end_b.kill();
    let silent = std::time::Instant::now();
    let went = eventually(Duration::from_secs(230), || !is_up(&a));
    assert!(went, "still up: {}", end_a.status());
    // The last handshake was at most a moment before the far end fell silent.
    let after = silent.elapsed();
    assert!(after > Duration::from_secs(150), "already after {after:?}");
    assert!(
        end_a.says("no handshake for 180 seconds", SOON),
        "{}",
        end_a.status()
    );
    let (_, words_b) = words();
    let _end_b = End::start(&b, &words_b);
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    assert!(is_up(&a));
}
