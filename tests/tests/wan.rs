//! The WAN does to real packets what it says. Needs root: makes network namespaces and TUN devices,
//! and fails where it cannot.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails the test"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tests::lab::internet::join;
use tests::lab::netns::{End, Namespace};
use tests::lab::scratch::Scratch;
use tests::wan::{Direction, Shape, Wan};

/// Times are measured, so the tests of this file take turns.
static TURN: Mutex<()> = Mutex::new(());

const LEFT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const RIGHT: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);

/// Two hosts and a WAN between them, named after this process and the test.
struct Lab {
    wan: Wan,
    left: UdpSocket,
    right: UdpSocket,
    _scratch: Scratch,
}

impl Lab {
    fn new(test: &str) -> Self {
        let mut scratch = Scratch::new(test).unwrap();
        let [left, between, right] = ["l", "i", "r"].map(|node| {
            let made = scratch.namespace(node);
            made.expect("this test needs root and network namespaces")
        });
        let end = |namespace, address| End {
            namespace,
            interface: "wan0",
            address,
        };
        let (left_address, right_address) = (format!("{LEFT}/24"), format!("{RIGHT}/24"));
        join(
            &between,
            end(&left, &left_address),
            end(&right, &right_address),
        )
        .unwrap();
        let wan = Wan::new(&between, 42).expect("this test needs /dev/net/tun");
        Self {
            wan,
            left: socket_in(&left, LEFT),
            right: socket_in(&right, RIGHT),
            _scratch: scratch,
        }
    }

    fn shape(&self, shape: Shape) {
        self.wan.shape(Direction::Both, shape);
    }

    /// Sends one datagram left to right; how long it took, or that it did not arrive within 300 ms.
    fn one_way(&self) -> Option<Duration> {
        let sent = Instant::now();
        self.left.send_to(b"x", (RIGHT, PORT)).unwrap();
        self.right.recv(&mut [0; 64]).ok()?;
        Some(sent.elapsed())
    }

    fn round_trip(&self) -> Option<Duration> {
        let sent = Instant::now();
        self.one_way()?;
        self.right.send_to(b"y", (LEFT, PORT)).unwrap();
        self.left.recv(&mut [0; 64]).ok()?;
        Some(sent.elapsed())
    }
}

const PORT: u16 = 9000;

/// A socket that lives in another namespace: sockets stay where they were made.
fn socket_in(namespace: &Namespace, address: Ipv4Addr) -> UdpSocket {
    let namespace = namespace.clone();
    let maker = std::thread::spawn(move || {
        namespace.enter().unwrap();
        UdpSocket::bind(SocketAddr::new(IpAddr::V4(address), PORT)).unwrap()
    });
    let socket = maker.join().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    socket
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn delay_of_20_ms_is_20_to_23_one_way_and_40_to_46_both_ways() {
    let _turn = TURN.lock();
    let lab = Lab::new("delay");
    lab.shape(Shape {
        delay: ms(20),
        ..Shape::default()
    });
    lab.round_trip().expect("the way is open");
    let one_way = median((0..20).map(|_| lab.one_way().unwrap()).collect());
    assert!(one_way >= ms(20) && one_way <= ms(23), "{one_way:?}");
    let both = median((0..20).map(|_| lab.round_trip().unwrap()).collect());
    assert!(both >= ms(40) && both <= ms(46), "{both:?}");
    println!("one way {one_way:?}, both ways {both:?}");
}

#[test]
fn jitter_spreads_but_never_reorders() {
    let _turn = TURN.lock();
    let lab = Lab::new("jitter");
    lab.shape(Shape {
        delay: ms(5),
        jitter: ms(20),
        ..Shape::default()
    });
    lab.round_trip().expect("the way is open");
    let times: Vec<_> = (0..40).map(|_| lab.one_way().unwrap()).collect();
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*least >= ms(5) && *most <= ms(30), "{least:?} to {most:?}");
    assert!(*most - *least > ms(8), "{least:?} to {most:?}");
    for number in 0..100_u8 {
        lab.left.send_to(&[number], (RIGHT, PORT)).unwrap();
    }
    for number in 0..100_u8 {
        let mut received = [0; 64];
        lab.right.recv(&mut received).unwrap();
        assert_eq!(received[0], number, "in order");
    }
}

#[test]
fn loss_of_20_percent_loses_about_that_and_counts_it() {
    let _turn = TURN.lock();
    let lab = Lab::new("loss");
    lab.round_trip().expect("the way is open");
    let (before, _) = lab.wan.counters();
    lab.shape(Shape {
        loss: 0.2,
        ..Shape::default()
    });
    let mut arrived = 0_u32;
    for _ in 0..20 {
        for _ in 0..100 {
            lab.left.send_to(b"x", (RIGHT, PORT)).unwrap();
        }
        lab.right.set_read_timeout(Some(ms(100))).unwrap();
        while lab.right.recv(&mut [0; 64]).is_ok() {
            arrived += 1;
        }
    }
    // On a busy machine some may take longer than was waited for.
    let forwarded = || lab.wan.counters().0.forwarded - before.forwarded;
    lab.right.set_read_timeout(Some(ms(2_000))).unwrap();
    while u64::from(arrived) < forwarded() && lab.right.recv(&mut [0; 64]).is_ok() {
        arrived += 1;
    }
    // 2000 packets: the standard deviation is 18, so this is six of them.
    assert!(
        (1490..=1710).contains(&arrived),
        "{arrived} of 2000 arrived"
    );
    let (after, _) = lab.wan.counters();
    assert_eq!(after.forwarded - before.forwarded, u64::from(arrived));
    assert_eq!(after.dropped - before.dropped, u64::from(2000 - arrived));
}

#[test]
fn cut_stops_everything_and_restore_resumes_with_the_same_shape() {
    let _turn = TURN.lock();
    let lab = Lab::new("cut");
    lab.shape(Shape {
        delay: ms(10),
        ..Shape::default()
    });
    assert!(lab.round_trip().is_some());
    lab.wan.cut(Direction::Both);
    assert_eq!((0..3).filter_map(|_| lab.one_way()).count(), 0);
    lab.wan.restore(Direction::Both);
    let again = lab.one_way().expect("restored");
    assert!(again >= ms(10), "{again:?}");
    lab.wan.cut(Direction::RightToLeft);
    assert!(lab.one_way().is_some(), "the other direction is open");
    assert_eq!(lab.round_trip(), None);
}

#[test]
fn bandwidth_limit_holds_within_15_percent() {
    let _turn = TURN.lock();
    let lab = Lab::new("rate");
    lab.round_trip().expect("the way is open");
    lab.shape(Shape {
        bits_per_second: Some(8_000_000),
        ..Shape::default()
    });
    let receiver = lab.right.try_clone().unwrap();
    let counter = std::thread::spawn(move || {
        let (mut bytes, mut first, mut last) = (0, None, Instant::now());
        let mut buffer = [0; 2048];
        while let Ok(length) = receiver.recv(&mut buffer) {
            last = Instant::now();
            // The first packet starts the clock; IP and UDP headers take 28 octets.
            bytes += if first.is_some() { length + 28 } else { 0 };
            first.get_or_insert(last);
        }
        bytes as f64 * 8.0 / (last - first.expect("something arrived")).as_secs_f64()
    });
    // Twice what the line carries, for a second and a half.
    for _ in 0..1500 {
        for _ in 0..2 {
            lab.left.send_to(&[0; 1000], (RIGHT, PORT)).unwrap();
        }
        std::thread::sleep(ms(1));
    }
    let rate = counter.join().unwrap();
    assert!((rate / 8e6 - 1.0).abs() < 0.15, "{rate:.0} bit/s");
    println!("{rate:.0} bit/s of 8000000");
}
