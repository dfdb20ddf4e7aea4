//! Peers that speak nonsense, against the real daemon, while a good one looks on.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use api::v1::peer::State;
use tests::lab::AWS;
use tests::lab::gateway::{Bird, Role};
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(30);
/// All bad peers share one namespace; each has an address of its own.
const BAD_NETWORK: [u8; 3] = [192, 168, 9];
const BAD_ASN: u16 = 64999;

/// What a peer answers to the daemon's OPEN, and what must come back.
struct Case {
    name: &'static str,
    says: Vec<u8>,
    /// Code and subcode, then data (RFC 4271 §4.5). `None`: nothing need come back.
    notification: Option<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let case = |name, says, notification: &[u8]| Case {
        name,
        says,
        notification: Some(notification.to_vec()),
    };
    let mut bad_marker = message(4, &[]);
    bad_marker[3] = 0;
    let mut too_short = message(4, &[]);
    too_short[17] = 18;
    let too_long = message(2, &[0; 4078]);
    ensure_length(&too_long, 4097);
    let whole = open(4, BAD_ASN, 90);
    vec![
        case(
            "garbage",
            b"GET / HTTP/1.1\r\nHost: router\r\n\r\n".to_vec(),
            &[1, 1],
        ),
        case("bad-marker", bad_marker, &[1, 1]),
        case("too-short", too_short, &[1, 2, 0, 18]),
        case("too-long", too_long, &[1, 2, 0x10, 0x01]),
        case("bad-type", message(9, &[]), &[1, 3, 9]),
        case("old-version", open(3, BAD_ASN, 90), &[2, 1, 0, 4]),
        case("wrong-asn", open(4, 65099, 90), &[2, 2, 0xfe, 0x4b]),
        case("bad-hold-time", open(4, BAD_ASN, 1), &[2, 6]),
        Case {
            name: "truncated",
            says: whole[..25].to_vec(),
            notification: None,
        },
    ]
}

fn ensure_length(message: &[u8], length: usize) {
    assert_eq!(message.len(), length, "the case says what its name says");
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("short");
    let mut message = vec![0xff; 16];
    message.extend(length.to_be_bytes());
    message.push(kind);
    message.extend(body);
    message
}

fn open(version: u8, asn: u16, hold_time: u16) -> Vec<u8> {
    let mut body = vec![version];
    body.extend(asn.to_be_bytes());
    body.extend(hold_time.to_be_bytes());
    body.extend([192, 168, 9, 99, 0]);
    message(1, &body)
}

/// One conversation that a bad peer had.
struct Talk {
    accepted: Instant,
    /// Everything the daemon sent after its OPEN.
    heard: Vec<u8>,
}

/// Accepts `talks` connections of the daemon one after the other and says the same to each.
fn listen(
    namespace: &Namespace,
    address: Ipv4Addr,
    says: &[u8],
    talks: usize,
) -> Result<Vec<Talk>> {
    namespace.enter()?;
    let listener = TcpListener::bind((address, 179))?;
    (0..talks)
        .map(|_| {
            let (stream, _) = listener.accept()?;
            let accepted = Instant::now();
            Ok(Talk {
                accepted,
                heard: talk(stream, says)?,
            })
        })
        .collect()
}

fn talk(mut stream: TcpStream, says: &[u8]) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let opened = read_message(&mut stream).context("the daemon's OPEN")?;
    ensure!(
        opened[18] == 1,
        "the first message is no OPEN: {opened:02x?}"
    );
    let mut heard = Vec::new();
    // The daemon may be done with us before all is said, and may reset instead of closing. What it
    // sent before is heard nevertheless.
    let _ = stream.write_all(says);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut heard);
    Ok(heard)
}

fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut message = vec![0; 19];
    stream.read_exact(&mut message)?;
    let length = usize::from(u16::from_be_bytes([message[16], message[17]]));
    message.resize(length.max(19), 0);
    stream.read_exact(&mut message[19..])?;
    Ok(message)
}

/// The whole message that carries code, subcode and data.
fn notification(content: &[u8]) -> Vec<u8> {
    message(3, content)
}

/// The router between a bad neighbourhood and a good peer.
struct Bench {
    router: Namespace,
    bad: Namespace,
    good: Namespace,
    scratch: Scratch,
}

impl Bench {
    fn build() -> Result<Self> {
        let mut scratch = Scratch::new("bp")?;
        let (router, bad, good) = (
            scratch.namespace("router")?,
            scratch.namespace("bad")?,
            scratch.namespace("good")?,
        );
        let end = |namespace, interface, address| End {
            namespace,
            interface,
            address,
        };
        cable(
            end(&router, "bad", "192.168.9.1/24"),
            end(&bad, "router", "192.168.9.2/24"),
        )?;
        cable(
            end(&router, "good", "169.254.1.2/30"),
            end(&good, "router", "169.254.1.1/30"),
        )?;
        Ok(Self {
            router,
            bad,
            good,
            scratch,
        })
    }
}

fn address(index: usize) -> Ipv4Addr {
    let [a, b, c] = BAD_NETWORK;
    Ipv4Addr::new(a, b, c, u8::try_from(10 + index).expect("few cases"))
}

fn config(cases: &[Case]) -> String {
    let mut text = String::from(
        "[router]\nname = \"victim\"\nasn = 65010\nid = \"192.168.9.1\"\n
[[filter.all]]\nprefix = [\"10.1.0.0/16 le 24\"]\naction = \"accept\"\n
[peer.good]\naddress = \"169.254.1.1\"\nasn = 64512\nimport = \"all\"\n",
    );
    for (index, case) in cases.iter().enumerate() {
        let (name, address) = (case.name, address(index));
        write!(
            text,
            "\n[peer.{name}]\naddress = \"{address}\"\nasn = {BAD_ASN}\nconnect-retry = \"1s\"\n"
        )
        .expect("a string takes everything");
    }
    text
}

#[test]
fn each_violation_gets_its_notification_and_the_good_session_stays() -> Result<()> {
    let bench = Bench::build()?;
    let cases = cases();
    for index in 0..cases.len() {
        bench
            .bad
            .ip(&format!("addr add {}/24 dev router", address(index)))?;
    }
    let role = Role {
        site: &AWS,
        local: AWS.gateway_address,
        peer: AWS.router_address,
    };
    let bird = Bird::start(&bench.good, &bench.scratch.directory().join("bird"), role)?;
    let mut nva = Nva::new(&bench.router, bench.scratch.directory(), &Binaries::find()?)?;
    nva.configure(&config(&cases))?;
    nva.start()?;
    wait_for("the good session", PATIENCE, || {
        nva.check_alive()?;
        let state = bird.session_state()?;
        ensure!(state == "Established", "BIRD says {state}");
        Ok(())
    })?;

    let talks: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let (bad, says) = (bench.bad.clone(), case.says.clone());
            thread::spawn(move || listen(&bad, address(index), &says, 3))
        })
        .collect();
    for (case, thread) in cases.iter().zip(talks) {
        let talks = thread
            .join()
            .map_err(|_panic| anyhow!("{}: panicked", case.name))?;
        let waits = check(case, &talks.with_context(|| case.name.to_owned())?)?;
        println!("{}: dialled again after {waits:?}", case.name);
    }

    let peers = nva.peers()?;
    let good = peers
        .iter()
        .find(|peer| peer.name == "good")
        .context("no peer `good`")?;
    ensure!(
        good.state() == State::Established && good.established_count == 1,
        "{good:?}"
    );
    ensure!(
        good.families.iter().any(|family| family.accepted == 2),
        "{good:?}"
    );
    for peer in peers.iter().filter(|peer| peer.name != "good") {
        ensure!(peer.state() != State::Established, "{peer:?}");
    }
    Ok(())
}

/// Returns how long the daemon waited before each further attempt.
fn check(case: &Case, talks: &[Talk]) -> Result<Vec<Duration>> {
    let name = case.name;
    for talk in talks {
        if let Some(content) = &case.notification {
            let (heard, wanted) = (&talk.heard, notification(content));
            ensure!(
                *heard == wanted,
                "{name}: heard {heard:02x?}, should be {wanted:02x?}"
            );
        }
    }
    let waits: Vec<Duration> = talks
        .windows(2)
        .map(|pair| pair[1].accepted.duration_since(pair[0].accepted))
        .collect();
    ensure!(
        waits[0] > Duration::from_millis(500),
        "{name}: dialled again after {waits:?}"
    );
    ensure!(waits[1] > waits[0], "{name}: no backoff: {waits:?}");
    Ok(waits)
}

/// How many UPDATEs the flood has, each with one prefix and 4 KB of communities of its own: 290 MB.
const FLOOD: u32 = 72_000;
/// What the daemon may take by then: 256 MiB of attributes, and what else it takes.
const MOST_RESIDENT: u64 = 400 << 20;

/// An UPDATE for a prefix within 16.0.0.0/4.
fn bulky_update(number: u32) -> Vec<u8> {
    let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 4, 2, 1];
    attributes.extend(BAD_ASN.to_be_bytes());
    attributes.extend([0x40, 3, 4, 192, 168, 9, 10, 0xd0, 8]);
    attributes.extend(4000_u16.to_be_bytes());
    let communities = (0..1000).map(|community| number << 10 | community);
    attributes.extend(communities.flat_map(u32::to_be_bytes));
    let mut body = vec![0, 0];
    body.extend(
        u16::try_from(attributes.len())
            .expect("short")
            .to_be_bytes(),
    );
    body.extend(attributes);
    body.push(24);
    body.extend(&(16 << 24 | number << 8).to_be_bytes()[..3]);
    message(2, &body)
}

/// Speaks as far as it must, says all it has and reads nothing. The connection stays open.
fn flood(namespace: &Namespace) -> Result<TcpStream> {
    namespace.enter()?;
    let listener = TcpListener::bind((address(0), 179))?;
    let (mut stream, _) = listener.accept()?;
    read_message(&mut stream).context("the daemon's OPEN")?;
    stream.write_all(&open(4, BAD_ASN, 0))?;
    stream.write_all(&message(4, &[]))?;
    for number in 0..FLOOD {
        stream.write_all(&bulky_update(number))?;
    }
    Ok(stream)
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse::<u64>()? << 10)
}

#[test]
fn a_peer_that_floods_with_long_attributes_fills_a_bounded_part_of_the_memory() -> Result<()> {
    let bench = Bench::build()?;
    bench
        .bad
        .ip(&format!("addr add {}/24 dev router", address(0)))?;
    let mut nva = Nva::new(&bench.router, bench.scratch.directory(), &Binaries::find()?)?;
    nva.configure(&format!(
        "[router]\nname = \"victim\"\nasn = 65010\nid = \"192.168.9.1\"\n
[fib]\ninstall = false\n
[[filter.any]]\nprefix = [\"16.0.0.0/4 le 32\"]\naction = \"accept\"\n
[peer.flood]\naddress = \"{}\"\nasn = {BAD_ASN}\nimport = \"any\"\nhold-time = \"0s\"\n",
        address(0)
    ))?;
    nva.start()?;
    let bad = bench.bad.clone();
    let flood = thread::spawn(move || flood(&bad)).join();
    let _open = flood.map_err(|_panic| anyhow!("the flood panicked"))??;
    let family = wait_for("all to be read", PATIENCE, || {
        let peers = nva.peers()?;
        let flood = peers.first().context("no peer")?;
        ensure!(flood.state() == State::Established, "{flood:?}");
        let ipv4 = flood.families.iter().find(|family| family.family == "ipv4");
        let ipv4 = ipv4.context("no ipv4")?;
        let read = ipv4.received + ipv4.discarded;
        ensure!(read == u64::from(FLOOD), "{read} read");
        Ok(ipv4.clone())
    })?;
    ensure!(family.discarded > 0, "{family:?}");
    let resident = resident(nva.process()?.pid())?;
    println!(
        "{resident} octets resident at most, {} paths kept",
        family.received
    );
    ensure!(resident < MOST_RESIDENT, "{resident}");
    Ok(())
}
