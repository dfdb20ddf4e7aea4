//! STAMP with keys: two routers of ours on a cable, and somebody beside them who has no key.
//!
//! Needs root, tcpdump, tshark and `cargo build --workspace --bins`.
//!
//! ```text
//! near .1 ── wire ── .2 far                    10.99.0.0/30
//! ```

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use api::v1::{Link, LinkState};
use links::stamp::{self, Key, Keys, Mode, NtpTime, Request};
use tests::lab::capture::Capture;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// What the files of the keys hold.
const KEYS: [(&str, &str); 2] = [
    ("a.key", "the first key of this link"),
    ("b.key", "the second key of this link"),
];
const A: &str = "key = { file = \"a.key\" }";
const B: &str = "key = { file = \"b.key\" }";

struct Pair {
    near: Nva,
    far: Nva,
    scratch: Scratch,
}

impl Pair {
    /// Two routers that are not started yet.
    fn build(test: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let (near, far) = (scratch.namespace("near")?, scratch.namespace("far")?);
        let end = |namespace, address: &'static str| End {
            namespace,
            interface: "wire",
            address,
        };
        cable(end(&near, "10.99.0.1/30"), end(&far, "10.99.0.2/30"))?;
        let router = |name: &str, namespace: &Namespace| -> Result<Nva> {
            let directory = scratch.directory().join(name);
            let router = Nva::new(namespace, &directory, &Binaries::find()?)?;
            for (file, key) in KEYS {
                let file = directory.join(file);
                fs::write(&file, format!("{key}\n"))?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            }
            Ok(router)
        };
        Ok(Self {
            near: router("near", &near)?,
            far: router("far", &far)?,
            scratch,
        })
    }

    /// Both, with what `auth` holds at each.
    fn start(test: &str, auth: [&str; 2]) -> Result<Self> {
        let mut pair = Self::build(test)?;
        configure(&pair.near, [NEAR, FAR], auth[0])?;
        configure(&pair.far, [FAR, NEAR], auth[1])?;
        pair.near.start()?;
        pair.far.start()?;
        Ok(pair)
    }

    fn wait_for_both(&mut self, what: &str, is: impl Fn(&Nva) -> Result<()>) -> Result<()> {
        wait_for(what, PATIENCE, || {
            self.near.check_alive()?;
            self.far.check_alive()?;
            is(&self.near)?;
            is(&self.far)
        })
    }
}

/// - `auth`: what it holds; empty without one
fn configure(router: &Nva, [local, remote]: [Ipv4Addr; 2], auth: &str) -> Result<()> {
    let auth = match auth {
        "" => String::new(),
        auth => format!(", auth = {{ {auth} }}"),
    };
    router.configure(&format!(
        "[router]\nname = \"{local}\"\nasn = 65010\nid = \"{local}\"\n[link.wire]\ninterface = \"wire\"\n\
         inside = {{ local = \"{local}/30\", remote = \"{remote}\" }}\n\
         probe = {{ method = \"stamp\", interval = \"50ms\"{auth} }}\n"
    ))
}

fn link(router: &Nva) -> Result<Link> {
    router.links()?.into_iter().next().context("no link")
}

fn ensure_up(router: &Nva) -> Result<()> {
    let link = link(router)?;
    ensure!(link.state() == LinkState::Up, "{}", link.reason);
    ensure!(link.probe_note.is_empty(), "{}", link.probe_note);
    let quality = link.quality.context("not measured")?;
    ensure!(quality.method == "stamp", "by {:?}", quality.method);
    ensure!(quality.received >= 20, "{} answers", quality.received);
    Ok(())
}

/// A series of the link.
fn count(router: &Nva, name: &str, label: &str) -> Result<u64> {
    let series = format!("skybridge_link_{name}_total{{link=\"wire\"{label}}} ");
    let scrape = router.metrics()?;
    let mut lines = scrape.lines();
    let value = lines.find_map(|line| line.strip_prefix(&series));
    Ok(value
        .with_context(|| format!("no {series}:\n{scrape}"))?
        .parse()?)
}

fn refused(router: &Nva, reason: &str) -> Result<u64> {
    count(router, "probes_refused", &format!(",reason=\"{reason}\""))
}

/// Until something else is known of its link than now.
fn wait_for_news(router: &Nva) -> Result<()> {
    let sent = || -> Result<u64> { Ok(link(router)?.quality.context("not measured")?.sent) };
    let before = sent()?;
    wait_for("news of the link", PATIENCE, || {
        ensure!(sent()? != before, "{before} probes sent");
        Ok(())
    })
}

/// What has befallen the link since it was up first.
fn ensure_untroubled(router: &Nva) -> Result<()> {
    let events = router.events()?;
    let of_link = events
        .iter()
        .filter(|event| ["link-state", "probe-auth"].contains(&event.kind.as_str()))
        .map(|event| event.text.as_str())
        .skip_while(|text| !text.starts_with("up"));
    let troubles: Vec<_> = of_link.filter(|text| !text.starts_with("up")).collect();
    ensure!(troubles.is_empty(), "{troubles:?}");
    Ok(())
}

#[test]
fn links_are_measured_with_keys_and_these_change_without_taking_one_down() -> Result<()> {
    let mut pair = Pair::start("sk-k", [A, A])?;
    pair.wait_for_both("the link", ensure_up)?;
    let filter = ["udp", "port", "862"];
    let capture = Capture::of(
        pair.near.namespace(),
        "wire",
        pair.scratch.directory(),
        &filter,
    )?;
    let steps = [
        (0, format!("{A}, accept-{B}")),
        (1, format!("{B}, accept-{A}")),
        (0, B.to_owned()),
        (1, B.to_owned()),
    ];
    for (side, auth) in steps {
        let (router, ends) = match side {
            0 => (&pair.near, [NEAR, FAR]),
            _ => (&pair.far, [FAR, NEAR]),
        };
        configure(router, ends, &auth)?;
        let said = router.cli(&["reload"])?;
        ensure!(
            said.contains("probe.auth") && !said.contains("of this link"),
            "{said}"
        );
        // What was shown first may still be of the probe before.
        wait_for_news(router)?;
        wait_for_news(router)?;
        pair.wait_for_both("answers", ensure_up)?;
    }
    for router in [&pair.near, &pair.far] {
        ensure_untroubled(router)?;
        let shown = router.cli(&["show", "links"])?;
        ensure!(shown.contains("stamp, signed"), "{shown}");
        let log = fs::read_to_string(router.log())?;
        ensure!(!log.contains("of this link"), "{log}");
    }
    let packets = capture.finish()?;
    let unsigned = packets.matching("udp.length < 120 || _ws.malformed")?;
    ensure!(unsigned.is_empty(), "{unsigned:?}");
    ensure!(packets.matching("udp.length == 120")?.len() > 100);
    Ok(())
}

#[test]
fn ends_whose_keys_differ_say_so_until_they_do_not() -> Result<()> {
    let mut pair = Pair::start("sk-d", [A, B])?;
    let other = "STAMP packets are not authentic: is its key ours?";
    let noted = |note: &'static str| {
        move |router: &Nva| {
            let link = link(router)?;
            ensure!(link.probe_note.contains(note), "{:?}", link.probe_note);
            ensure!(link.state() != LinkState::Up, "{}", link.reason);
            Ok(())
        }
    };
    pair.wait_for_both("the reason", noted(other))?;
    for router in [&pair.near, &pair.far] {
        ensure!(refused(router, "other_key")? > 0);
        let shown = router.cli(&["show", "links"])?;
        ensure!(shown.contains(other), "{shown}");
        let json = router.cli(&["show", "links", "--json"])?;
        ensure!(json.contains("\"probe_note\": \"the far end's"), "{json}");
        let alarms = router.status()?.alarms;
        ensure!(alarms.iter().any(|alarm| alarm.text.contains(other)));
        let log = fs::read_to_string(router.log())?;
        ensure!(log.contains(other) && !log.contains("key of this"), "{log}");
    }

    configure(&pair.near, [NEAR, FAR], "")?;
    pair.near.cli(&["reload"])?;
    let has_none = noted("are authenticated, and this link has no key");
    wait_for("the reason at the end without a key", PATIENCE, || {
        has_none(&pair.near)
    })?;
    let has_one = noted("are not authenticated: has it been given the key");
    wait_for("the reason at the end with one", PATIENCE, || {
        has_one(&pair.far)
    })?;
    ensure!(refused(&pair.near, "signed")? > 0 && refused(&pair.far, "unsigned")? > 0);

    // What a file of a key holds may change without a word in that which names it.
    configure(&pair.near, [NEAR, FAR], A)?;
    fs::write(pair.near.config().with_file_name("a.key"), KEYS[1].1)?;
    pair.near.cli(&["reload"])?;
    pair.wait_for_both("the link", ensure_up)?;
    fs::write(pair.near.config().with_file_name("a.key"), KEYS[0].1)?;
    pair.near.cli(&["reload"])?;
    pair.wait_for_both("the reason again", noted(other))
}

#[test]
fn somebody_without_the_key_or_with_an_old_packet_is_not_answered() -> Result<()> {
    let mut pair = Pair::start("sk-f", [A, A])?;
    pair.wait_for_both("the link", ensure_up)?;
    let mode = |key: &str| -> Result<Mode> {
        let key = Key::new(key.as_bytes())?;
        Ok(Mode::Authenticated(Keys { key, accept: None }))
    };
    let request = Request {
        sequence: 1,
        timestamp: NtpTime::from_unix(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?),
        session: 1,
    };
    let right = request.encode(&mode(KEYS[0].1)?);
    let cases = [
        ("unsigned", request.encode(&Mode::Unauthenticated)),
        ("other_key", request.encode(&mode(KEYS[1].1)?)),
        ("malformed", vec![1; 20]),
    ];
    let before = refused(&pair.near, "replayed")?;
    let far = pair.far.namespace().clone();
    let socket = thread::spawn(move || -> Result<UdpSocket> {
        far.enter()?;
        Ok(UdpSocket::bind((FAR, 0))?)
    });
    let socket = socket.join().expect("no panic")?;
    socket.set_nonblocking(true)?;
    for _ in 0..5 {
        for (_, packet) in &cases {
            socket.send_to(packet, (NEAR, stamp::PORT))?;
        }
    }
    // The first of these is answered.
    for _ in 0..6 {
        socket.send_to(&right, (NEAR, stamp::PORT))?;
    }
    wait_for("the refusals", PATIENCE, || {
        for (reason, _) in &cases {
            let found = refused(&pair.near, reason)?;
            ensure!(found == 5, "{reason}: {found}");
        }
        let found = refused(&pair.near, "replayed")? - before;
        ensure!(found == 5, "replayed: {found}");
        Ok(())
    })?;
    let mut buffer = [0; 2048];
    let reply = socket.recv(&mut buffer)?;
    ensure!(reply == right.len(), "{reply} octets");
    let more = socket.recv(&mut buffer).map_err(|error| error.kind());
    ensure!(more == Err(io::ErrorKind::WouldBlock), "{more:?}");
    pair.wait_for_both("the link", ensure_up)?;
    ensure_untroubled(&pair.near)?;
    ensure_untroubled(&pair.far)
}

/// Answers each request with itself, as somebody would who cannot sign.
struct Mimic {
    on: Arc<AtomicBool>,
}

impl Mimic {
    fn start(namespace: &Namespace) -> Result<Self> {
        let on = Arc::new(AtomicBool::new(true));
        let (namespace, goes_on) = (namespace.clone(), Arc::clone(&on));
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread::spawn(move || -> Result<()> {
            namespace.enter()?;
            let socket = UdpSocket::bind((IpAddr::from(FAR), stamp::PORT))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            ready.send(())?;
            let mut buffer = [0; 2048];
            while goes_on.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    buffer[length - 1] ^= 1;
                    socket.send_to(&buffer[..length], from)?;
                }
            }
            Ok(())
        });
        is_ready.recv().context("the mimic did not start")?;
        Ok(Self { on })
    }
}

impl Drop for Mimic {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
    }
}

#[test]
fn answers_that_are_not_signed_keep_no_link_up() -> Result<()> {
    let mut pair = Pair::build("sk-m")?;
    let mimic = Mimic::start(pair.far.namespace())?;
    configure(&pair.near, [NEAR, FAR], &format!("{A}, accept-{B}"))?;
    pair.near.start()?;
    wait_for("the reason", PATIENCE, || {
        pair.near.check_alive()?;
        let link = link(&pair.near)?;
        ensure!(link.probe_note.contains("not authentic"), "{link:?}");
        ensure!(link.state() != LinkState::Up, "{}", link.reason);
        let quality = link.quality.context("not measured")?;
        ensure!(quality.refused > 20 && quality.received == 0, "{quality:?}");
        ensure!(count(&pair.near, "answers_refused", "")? > 20);
        Ok(())
    })?;
    drop(mimic);
    Ok(())
}
