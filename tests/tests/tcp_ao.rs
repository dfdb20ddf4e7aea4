//! TCP-AO (RFC 5925): two routers that sign, a real one that does, and one that does not.
//!
//! Few kernels have it. On one without, what is tested is that a peer which is to sign is never spoken
//! to unsigned; each test says which it was. `SKYBRIDGE_VM_KERNEL=FILE ./dev vm tcp-ao` runs them on a
//! kernel with it, such as Debian's from 7.3 on, unpacked but not installed:
//! `dpkg-deb -x` of linux-binary, linux-base and linux-modules of one version into a directory.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::Peer;
use api::v1::peer::State;
use api::v1::peer_tcp_ao::Connection;
use tests::lab::capture::Capture;
use tests::lab::netns::{End, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::pair::{FILTERS, Pair, Program, Terms};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

/// An attempt with a key that the other does not have takes 15 s, and a kernel in an emulator its time.
const PATIENCE: Duration = Duration::from_secs(90);
/// Several attempts of both ends.
const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(6);
/// What is said where there is none.
const NONE: &str = "this kernel has no TCP-AO";

/// Asked of the kernel itself, not of the router.
#[expect(clippy::print_stderr, reason = "a test says which of two it was")]
fn kernel_has_it() -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    ensure!(symbols.contains("tcp_v4_rcv"), "the kernel names nothing");
    let has = symbols.contains("tcp_ao_connect_init");
    let what = if has { "signed" } else { "not to be signed" };
    eprintln!("this kernel has TCP-AO: {has}; sessions are {what}");
    Ok(has)
}

/// A key as the file has it. Its secret is kept beside the router's file, under the name that is given.
fn ao_key(router: &Nva, id: u8, algorithm: &str, name: &str, secret: &str) -> Result<String> {
    let path = router.config().with_file_name(name);
    fs::write(&path, format!("{secret}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(format!(
        "{{ id = {id}, algorithm = \"{algorithm}\", key = {{ file = \"{}\" }} }}",
        path.display()
    ))
}

/// - `first`: the secret of the first
fn three_keys(router: &Nva, first: &str) -> Result<[String; 3]> {
    Ok([
        ao_key(router, 1, "hmac-sha-1-96", "key-1", first)?,
        ao_key(router, 2, "aes-128-cmac-96", "key-2", "hunter2 the second")?,
        ao_key(router, 3, "hmac-sha-256-128", "key-3", "hunter2 the third")?,
    ])
}

fn tcp_ao(keys: &[&str]) -> String {
    format!("tcp-ao = {{ keys = [{}] }}\n", keys.join(", "))
}

/// `west` 192.0.2.1 and `east` 192.0.2.2 on a cable, with what passes between them.
struct Two {
    west: Nva,
    east: Nva,
    capture: Capture,
    _scratch: Scratch,
}

impl Two {
    fn build(test: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let namespaces = [scratch.namespace("west")?, scratch.namespace("east")?];
        let end = |side: usize, address| End {
            namespace: &namespaces[side],
            interface: "wire",
            address,
        };
        cable(end(0, "192.0.2.1/24"), end(1, "192.0.2.2/24"))?;
        let directory = scratch.directory();
        let binaries = Binaries::find()?;
        Ok(Self {
            west: Nva::new(&namespaces[0], &directory.join("west"), &binaries)?,
            east: Nva::new(&namespaces[1], &directory.join("east"), &binaries)?,
            capture: Capture::start(&namespaces[0], "wire", directory)?,
            _scratch: scratch,
        })
    }

    fn router(&self, side: usize) -> &Nva {
        [&self.west, &self.east][side]
    }

    fn configure(&self, side: usize, terms: &str) -> Result<()> {
        let (own, other) = (side + 1, 2 - side);
        self.router(side).configure(&format!(
            "[router]\nname = \"r{own}\"\nasn = 6501{own}\nid = \"192.0.2.{own}\"\n\
             [peer.other]\naddress = \"192.0.2.{other}\"\nasn = 6501{other}\nhold-time = \"60s\"\n\
             connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n{terms}{FILTERS}"
        ))
    }

    fn reconfigure(&self, side: usize, terms: &str) -> Result<String> {
        self.configure(side, terms)?;
        self.router(side).cli(&["reload"])
    }

    fn peer(&self, side: usize) -> Result<Peer> {
        let peer = self.router(side).peers()?.pop();
        peer.context("the router has no peer")
    }

    fn wait(&self, what: &str, accept: impl Fn(&Peer) -> bool) -> Result<()> {
        let waited = wait_for(what, PATIENCE, || {
            let peers = [self.peer(0)?, self.peer(1)?];
            ensure!(peers.iter().all(&accept), "{peers:?}");
            Ok(())
        });
        waited.map_err(|error| {
            let logs = [&self.west, &self.east].map(|router| {
                let tail = tests::lab::process::tail(&router.log(), 15);
                format!("{}\n{tail}", router.namespace().name())
            });
            anyhow::anyhow!("{error:#}\n{}", logs.join("\n"))
        })
    }

    fn ensure_apart(&self) -> Result<()> {
        thread::sleep(SEVERAL_ATTEMPTS);
        for side in 0..2 {
            let peer = self.peer(side)?;
            ensure!(peer.state() != State::Established, "{peer:?}");
        }
        Ok(())
    }
}

fn connection(peer: &Peer) -> Option<Connection> {
    peer.transport.as_ref()?.tcp_ao.as_ref()?.connection
}

/// One session, the first one, signed at both ends with this key.
fn is_signed_with(id: u32) -> impl Fn(&Peer) -> bool {
    move |peer| {
        let connection = connection(peer);
        let uses = |connection: Connection| (connection.current_id, connection.next_receive_id);
        peer.state() == State::Established
            && peer.established_count == 1
            && connection.map(uses) == Some((id, id))
    }
}

/// Where the kernel cannot sign, nobody is spoken to, and nothing that works is lost.
fn refused(test: &str) -> Result<()> {
    let mut two = Two::build(test)?;
    let key = ao_key(&two.west, 1, "hmac-sha-1-96", "key", "hunter2")?;
    two.configure(0, &tcp_ao(&[&key]))?;
    two.configure(1, "")?;
    two.west.start()?;
    two.east.start()?;
    wait_for("the reason", PATIENCE, || {
        let peer = two.peer(0)?;
        ensure!(peer.held.starts_with(NONE), "{peer:?}");
        Ok(())
    })?;
    two.ensure_apart()?;
    let shown = two.west.cli(&["show", "peers", "other"])?;
    ensure!(shown.contains(NONE), "{shown}");
    let status = two.west.cli(&["status"])?;
    ensure!(status.contains(NONE), "{status}");
    // Nothing was called, and what was accepted heard nothing.
    let packets = two.capture.so_far();
    let said = packets.matching("ip.src == 192.0.2.1 && tcp.len > 0")?;
    ensure!(said.is_empty(), "{said:?}");
    let called = "ip.src == 192.0.2.1 && tcp.flags.syn == 1 && tcp.flags.ack == 0";
    let called = packets.matching(called)?;
    ensure!(called.is_empty(), "{called:?}");
    // A session that is not to be signed comes up, and outlives a file that asks for too much.
    two.reconfigure(0, "")?;
    two.wait("a session", |peer| peer.state() == State::Established)?;
    let refused = two.reconfigure(0, &tcp_ao(&[&key]));
    let error = refused.err().context("the file was taken")?;
    ensure!(format!("{error:#}").contains(NONE), "{error:#}");
    let peer = two.peer(0)?;
    ensure!(peer.state() == State::Established, "{peer:?}");
    ensure!(peer.established_count == 1, "{peer:?}");
    two.capture.finish().map(drop)
}

#[test]
fn two_routers_sign_and_their_keys_change_under_the_session() -> Result<()> {
    if !kernel_has_it()? {
        return refused("ao");
    }
    let mut two = Two::build("ao")?;
    let west = three_keys(&two.west, "hunter2")?;
    let east = three_keys(&two.east, "another")?;
    two.configure(0, &tcp_ao(&[&west[0]]))?;
    two.configure(1, &tcp_ao(&[&east[0]]))?;
    two.west.start()?;
    two.east.start()?;
    two.ensure_apart()?;
    // What the file names stays, what is in it changes.
    let east = three_keys(&two.east, "hunter2")?;
    two.east.cli(&["reload"])?;
    two.wait("a session with the first key", is_signed_with(1))?;

    // The new key in front of the old one, at one end and then at the other; then the old one goes.
    two.reconfigure(0, &tcp_ao(&[&west[1], &west[0]]))?;
    two.reconfigure(1, &tcp_ao(&[&east[1], &east[0]]))?;
    two.wait("the second key in use", is_signed_with(2))?;
    two.reconfigure(0, &tcp_ao(&[&west[1]]))?;
    two.reconfigure(1, &tcp_ao(&[&east[1]]))?;
    // At once, at one end after the other: nothing is lost that is not sent again.
    two.reconfigure(0, &tcp_ao(&[&west[2]]))?;
    two.reconfigure(1, &tcp_ao(&[&east[2]]))?;
    two.wait("the third key in use", is_signed_with(3))?;
    let before: Vec<u64> = (0..2)
        .map(|side| two.peer(side).map(|peer| peer.messages_received))
        .collect::<Result<_>>()?;
    two.wait("messages under the third key", |peer| {
        is_signed_with(3)(peer) && before.iter().all(|count| peer.messages_received > *count)
    })?;
    for side in 0..2 {
        for words in [
            &["show", "peers", "other"][..],
            &["--json", "show", "peers"],
        ] {
            let shown = two.router(side).cli(words)?;
            ensure!(!shown.contains("hunter2"), "a key is shown: {shown}");
        }
        let log = fs::read_to_string(two.router(side).log())?;
        ensure!(!log.contains("hunter2"), "a key is logged: {log}");
    }

    // One that stops signing is not heard any more.
    two.reconfigure(1, "")?;
    two.wait("the end of the session", |peer| {
        peer.state() != State::Established
    })?;
    two.ensure_apart()?;
    let packets = two.capture.finish()?;
    let signed = packets.matching("tcp.option_kind == 29 && bgp")?;
    ensure!(!signed.is_empty(), "no message was signed");
    let plain = "ip.src == 192.0.2.1 && tcp.flags.reset == 0 && !(tcp.option_kind == 29)";
    let plain = packets.matching(plain)?;
    ensure!(plain.is_empty(), "{plain:?}");
    Ok(())
}

#[test]
fn a_peer_that_does_not_sign_is_not_heard() -> Result<()> {
    let has = kernel_has_it()?;
    let mut pair = Pair::build(Program::Bird, "aop", Terms::external())?;
    let key = ao_key(&pair.router, 1, "aes-128-cmac-96", "key", "hunter2")?;
    pair.configure(&tcp_ao(&[&key]), FILTERS)?;
    pair.router.start()?;
    thread::sleep(SEVERAL_ATTEMPTS);
    let peer = pair.peer()?;
    ensure!(peer.state() != State::Established, "{peer:?}");
    ensure!(peer.held.is_empty() == has, "{peer:?}");
    pair.reconfigure("", FILTERS)?;
    pair.wait_for_session()?;
    pair.packets().map(drop)
}

/// BIRD has it since 2.17.
#[expect(clippy::print_stderr, reason = "a test says which of two it was")]
fn bird_has_it() -> Result<bool> {
    let said = Command::new("bird").arg("--version").output()?;
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let version = said.split_whitespace().last().context("no version")?;
    let mut parts = version.split('.').map(str::parse::<u32>);
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    let has = (next(), next()) >= (2, 17);
    eprintln!("BIRD {version} has TCP-AO: {has}");
    Ok(has)
}

#[test]
fn a_session_is_signed_with_bird_and_goes_on_with_other_keys() -> Result<()> {
    if !kernel_has_it()? || !bird_has_it()? {
        return if kernel_has_it()? {
            Ok(())
        } else {
            refused("aob")
        };
    }
    let words = "authentication ao;
  keys {
    key { id 1; secret \"hunter2\"; algorithm cmac aes128; preferred; };
    key { send id 3; recv id 2; secret \"hunter2 the second\"; algorithm hmac sha1; };
  };";
    let terms = Terms {
        session_words: words.to_owned(),
        ..Terms::external()
    };
    let mut pair = Pair::build(Program::Bird, "aob", terms)?;
    let first = ao_key(&pair.router, 1, "aes-128-cmac-96", "key-1", "hunter2")?;
    let second = ao_key(
        &pair.router,
        2,
        "hmac-sha-1-96",
        "key-2",
        "hunter2 the second",
    )?
    .replace("id = 2", "id = 2, receive-id = 3");
    pair.configure(&tcp_ao(&[&first]), FILTERS)?;
    pair.router.start()?;
    let uses = |current, next| {
        move |peer: &Peer| {
            let connection = connection(peer);
            let uses = |connection: Connection| {
                let Connection {
                    current_id,
                    next_receive_id,
                    ..
                } = connection;
                (current_id, next_receive_id)
            };
            peer.state() == State::Established && connection.map(uses) == Some((current, next))
        }
    };
    pair.wait_for_session()?;
    let sessions = pair
        .wait_for_peer("the first key", uses(1, 1))?
        .established_count;
    // We ask for the second; BIRD goes on asking for the first.
    pair.reconfigure(&tcp_ao(&[&second, &first]), FILTERS)?;
    pair.wait_for_peer("another key asked for", uses(1, 3))?;
    // Without the first, what we send is signed with the second whatever BIRD asks for.
    pair.reconfigure(&tcp_ao(&[&second]), FILTERS)?;
    let peer = pair.wait_for_peer("the second key", uses(2, 3))?;
    let heard = peer.messages_received;
    let peer = pair.wait_for_peer("messages under it", |peer| {
        uses(2, 3)(peer) && peer.messages_received > heard
    })?;
    ensure!(peer.established_count == sessions, "{peer:?}");
    // Called by BIRD, the keys of the listening socket are the ones that count.
    let passive = format!("passive = true\n{}", tcp_ao(&[&first, &second]));
    pair.reconfigure(&passive, FILTERS)?;
    pair.router.cli(&["reset", "other"])?;
    pair.wait_for_peer("a session that BIRD opened", |peer| {
        peer.state() == State::Established && peer.established_count > sessions
    })?;
    let packets = pair.packets()?;
    let plain = packets.matching("bgp && !(tcp.option_kind == 29)")?;
    ensure!(plain.is_empty(), "{plain:?}");
    Ok(())
}
