//! What passes through userspace tunnels while things happen: needs root, `ip` and `ping`.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use common::{End, Netns, Pings, Words, cabled};

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// A and B know where the other is.
fn words() -> (Words, Words) {
    let a = Words::new(1, 2, "10.99.0.1/24", Some("172.31.0.2:51820"));
    let b = Words::new(2, 1, "10.99.0.2/24", Some("172.31.0.1:51820"));
    (a, b)
}

fn connected() -> (Netns, Netns, End, End) {
    let (a, b) = cabled();
    let (words_a, words_b) = words();
    let (end_a, end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    assert!(
        a.reaches("10.99.0.2", SOON),
        "{} / {}",
        end_a.status(),
        end_b.status()
    );
    (a, b, end_a, end_b)
}

/// Bytes that depend on a seed and their place (SplitMix64).
struct Stream(u64);

impl Stream {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Sends so many bytes of a stream from one namespace to an address of the other, and insists
/// that they arrive as they were.
fn transfer(from: &Netns, to: &Netns, address: &str, bytes: usize, seed: u64) {
    let at: SocketAddr = address.parse().expect("an address");
    let listener = to.inside(|| TcpListener::bind(at).expect("a free port"));
    let at = listener.local_addr().expect("bound");
    let mut sender = from.inside(|| TcpStream::connect(at).expect("a connection"));
    let (mut receiver, _) = listener.accept().expect("a connection");
    receiver.set_read_timeout(Some(SOON)).expect("a timeout");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = Stream(seed);
            let mut block = [0; 64 * 1024];
            for _ in 0..bytes / block.len() {
                stream.fill(&mut block);
                sender.write_all(&block).expect("sent");
            }
        });
        let mut stream = Stream(seed);
        let (mut expected, mut block) = ([0; 64 * 1024], [0; 64 * 1024]);
        for number in 0..bytes / block.len() {
            stream.fill(&mut expected);
            receiver.read_exact(&mut block).expect("received");
            assert!(block == expected, "block {number} of seed {seed} differs");
        }
    });
}

#[test]
fn streams_in_both_directions_arrive_as_they_were_sent() {
    let (a, b, _end_a, _end_b) = connected();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (a, b) = (&a, &b);
            scope.spawn(move || transfer(a, b, "10.99.0.2:0", 32 * MIB, seed));
            scope.spawn(move || transfer(b, a, "10.99.0.1:0", 32 * MIB, seed + 100));
        }
    });
}

#[test]
fn streams_over_ipv6_arrive_as_they_were_sent() {
    let (a, b) = cabled();
    let (mut words_a, mut words_b) = words();
    words_a.address = "fd00:99::1/64".to_owned();
    words_b.address = "fd00:99::2/64".to_owned();
    let (_end_a, _end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    assert!(a.reaches("fd00:99::2", SOON));
    transfer(&a, &b, "[fd00:99::2]:0", 16 * MIB, 1);
    transfer(&b, &a, "[fd00:99::1]:0", 16 * MIB, 2);
}

#[test]
fn streams_over_a_path_that_loses_arrive_as_they_were_sent() {
    let (a, b, _end_a, _end_b) = connected();
    for netns in [&a, &b] {
        // Every 50th datagram, of trains that are taken apart for it.
        let taken_apart = ["-K", "cable", "tx-udp-segmentation", "off"];
        let _ = netns.output("ethtool", &taken_apart);
        let loss = [
            "qdisc", "add", "dev", "cable", "root", "netem", "loss", "2%",
        ];
        if !netns.output("tc", &loss).status.success() {
            println!("left out: this kernel has no netem");
            return;
        }
    }
    transfer(&a, &b, "10.99.0.2:0", 4 * MIB, 1);
}

#[test]
fn keys_and_endpoints_change_under_traffic_without_losing_a_packet() {
    let (a, b, mut end_a, mut end_b) = connected();
    let (mut words_a, mut words_b) = words();
    b.ip(&["addr", "add", "172.31.0.3/24", "dev", "cable"]);
    let pings = Pings::start(&a, "10.99.0.2");
    let pause = || std::thread::sleep(Duration::from_millis(700));
    pause();
    // Another preshared key, at one end a while before the other.
    (words_a.psk, words_b.psk) = (Some([9; 32]), Some([9; 32]));
    end_a.reconfigure(Some(&words_a));
    pause();
    end_b.reconfigure(Some(&words_b));
    pause();
    // Another private key, the far end first.
    (words_a.private, words_b.peer) = ([5; 32], common::public([5; 32]));
    end_b.reconfigure(Some(&words_b));
    pause();
    end_a.reconfigure(Some(&words_a));
    pause();
    // Another address of the far end.
    words_a.endpoint = Some("172.31.0.3:51820".to_owned());
    end_a.reconfigure(Some(&words_a));
    pause();
    let (sent, lost) = pings.stop();
    println!("{sent} pings, {lost} lost");
    assert!(sent > 500, "{sent}");
    assert_eq!(lost, 0, "of {sent}");
    assert!(
        end_a.says("endpoint=172.31.0.3:51820", SOON),
        "{}",
        end_a.status()
    );
}

#[test]
fn another_port_is_in_use_at_once_and_nobody_needs_to_be_told() {
    let (_a, b, end_a, mut end_b) = connected();
    let (_, mut words_b) = words();
    // From the end that moves: what the other sends to the old port before it has heard is nobody's.
    let pings = Pings::start(&b, "10.99.0.1");
    let pause = || std::thread::sleep(Duration::from_millis(700));
    for port in [4500, 4501] {
        pause();
        words_b.listen = port;
        end_b.reconfigure(Some(&words_b));
        assert!(
            end_a.says(&format!("endpoint=172.31.0.2:{port}"), SOON),
            "{}",
            end_a.status()
        );
    }
    pause();
    let (sent, lost) = pings.stop();
    println!("{sent} pings, {lost} lost");
    assert!(sent > 20, "{sent}");
    assert_eq!(lost, 0, "of {sent}");
}

/// Two tunnels of one process, to two others; one of them is flooded.
struct Flooded {
    a: Netns,
    b: Netns,
    end_b: End,
    end_a: End,
}

fn two_tunnels() -> Flooded {
    let (a, b) = cabled();
    let pairs = [(1, 2, 51820, 51820), (3, 4, 51821, 51821)].map(|(ours, theirs, ours_at, at)| {
        let net = ours;
        let mut one = Words::new(
            ours,
            theirs,
            &format!("10.{net}.0.1/24"),
            Some(&format!("172.31.0.2:{at}")),
        );
        let mut other = Words::new(theirs, ours, &format!("10.{net}.0.2/24"), None);
        (one.listen, other.listen) = (ours_at, at);
        (one.interface, other.interface) = (format!("sb-{ours}"), format!("sb-{ours}"));
        (one, other)
    });
    let end_b = End::start_all(&b, &pairs.each_ref().map(|pair| pair.1.clone()));
    let end_a = End::start_all(&a, &pairs.each_ref().map(|pair| pair.0.clone()));
    for address in ["10.1.0.2", "10.3.0.2"] {
        assert!(a.reaches(address, SOON), "{}", end_b.status());
    }
    Flooded { a, b, end_b, end_a }
}

impl Flooded {
    /// Streams over the second tunnel while `datagram` makes a flood for the first's port.
    fn streams_under(&self, datagram: impl Fn(u64, &mut [u8]) -> usize + Sync) -> u64 {
        let (a, b) = (&self.a, &self.b);
        let socket = a.inside(|| UdpSocket::bind("172.31.0.1:0").expect("a socket"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut buffer = [0; 1500];
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let length = datagram(count, &mut buffer);
                    let _ = socket.send_to(&buffer[..length], "172.31.0.2:51820");
                    count += 1;
                }
                count
            });
            transfer(a, b, "10.3.0.2:0", 16 * MIB, 7);
            transfer(b, a, "10.3.0.1:0", 16 * MIB, 8);
            stop.store(true, Ordering::Relaxed);
            flood.join().expect("no panic")
        })
    }

    fn assert_unharmed(&self, before: u64, count: u64) {
        let after = self.end_b.memory();
        assert!(count > 10_000, "{count}: this was no flood");
        // The threads' buffers, a few MiB, are touched for the first time.
        assert!(after < before + 12 * 1024, "{before} KiB, then {after} KiB");
        assert!(
            self.a.reaches("10.1.0.2", SOON),
            "the flooded tunnel: {} / {}",
            self.end_a.status(),
            self.end_b.status()
        );
    }
}

#[test]
fn a_flood_of_garbage_costs_no_memory_and_no_other_tunnel() {
    let flooded = two_tunnels();
    let before = flooded.end_b.memory();
    let count = flooded.streams_under(|count, buffer| {
        Stream(count).fill(&mut buffer[..64]);
        buffer[..4].copy_from_slice(&[(count % 5) as u8, 0, 0, 0]);
        [148, 148, 92, 64, 1200][(count % 5) as usize]
    });
    flooded.assert_unharmed(before, count);
}

#[test]
fn a_flood_of_replayed_handshakes_is_asked_for_cookies_and_costs_no_other_tunnel() {
    // An initiation that is good but old: what A sends while nobody but us listens.
    let (a, b) = cabled();
    let (words_a, _) = words();
    let sink = b.inside(|| UdpSocket::bind("172.31.0.2:51820").expect("a socket"));
    sink.set_read_timeout(Some(SOON)).expect("a timeout");
    let end = End::start(&a, &words_a);
    let mut initiation = [0; 148];
    assert_eq!(sink.recv(&mut initiation).expect("an initiation"), 148);
    drop((end, sink, a, b));

    let flooded = two_tunnels();
    let before = flooded.end_b.memory();
    let count = flooded.streams_under(|_, buffer| {
        buffer[..148].copy_from_slice(&initiation);
        148
    });
    flooded.assert_unharmed(before, count);
}
