//! Our side of IPsec against the real strongSwan: two of them, each in a namespace. Where the kernel has no
//! ESP their own userspace ESP stands in for it, so what is proven here is the control of strongSwan, not the
//! way of packets.

mod common;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::{Netns, cabled, run};
use tunnels::{
    ipsec::{
        driver::{self, Handle},
        machine::State,
        vici::{Client, Message},
    },
    spec::{Auth, Hidden, IkeVersion, Initiator, IpsecSpec, NatTraversal, Selectors},
};

const SOON: Duration = Duration::from_secs(60);
const CHARON: &str = "/usr/lib/ipsec/charon";

/// A strongSwan in a namespace, ended with this value.
struct StrongSwan {
    directory: PathBuf,
    netns: String,
    child: Option<Child>,
}

impl StrongSwan {
    /// `None`, said aloud, where it is not installed.
    fn start(netns: &Netns) -> Self {
        assert!(
            Path::new(CHARON).exists(),
            "{CHARON} is missing: ./dev setup installs it"
        );
        let directory = std::env::temp_dir().join(format!("{}-charon", netns.0));
        fs::create_dir_all(&directory).expect("a directory of our own");
        let kernel = match kernel_has_esp() {
            true => "kernel-netlink",
            false => "kernel-libipsec kernel-netlink",
        };
        // Userspace ESP routes what the first tunnel lets pass into that, which shall not be what is said to others.
        let apart = match kernel_has_esp() {
            true => "",
            false => "socket-default { fwmark = 0x42 }\n kernel-netlink { fwmark = !0x42 }",
        };
        let conf = format!(
            "charon {{\n load_modular = no\n load = random nonce drbg aes sha1 sha2 hmac kdf gmp gcm openssl pem pkcs1 \
             pkcs8 x509 pubkey constraints revocation {kernel} socket-default vici\n \
             retransmit_timeout = 1.0\n retransmit_tries = 2\n install_routes = no\n \
             filelog {{ log {{ path = {}\n flush_line = yes\n default = 1\n }} }}\n \
             plugins {{ vici {{ socket = unix://{} }}\n {apart} }}\n}}\n",
            directory.join("log").display(),
            directory.join("vici").display(),
        );
        fs::write(directory.join("strongswan.conf"), conf).expect("a file of our own");
        let mut this = Self {
            directory,
            netns: netns.0.clone(),
            child: None,
        };
        this.launch();
        this
    }

    fn launch(&mut self) {
        // It keeps its pid under /run, where there can be only one.
        let script = format!("mount -t tmpfs tmpfs /run && exec {CHARON}");
        let mut command = std::process::Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                &self.netns,
                "unshare",
                "-m",
                "sh",
                "-c",
                &script,
            ])
            .env("STRONGSWAN_CONF", self.directory.join("strongswan.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("ip is installed"));
        let give_up = Instant::now() + SOON;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(
                Instant::now() < give_up,
                "it does not come up: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("vici")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for StrongSwan {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            show(&format!("{}: {}", self.netns, self.log()));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what strongSwan said is the first thing to look at"
)]
fn show(text: &str) {
    println!("{text}");
}

fn kernel_has_esp() -> bool {
    let netns = Netns::new();
    let made = netns.output(
        "ip",
        &["link", "add", "probe", "type", "xfrm", "if_id", "1"],
    );
    made.status.success()
}

/// Two namespaces with a strongSwan each, and what each end is told.
struct Ends {
    a: StrongSwan,
    b: StrongSwan,
    spec_a: IpsecSpec,
    spec_b: IpsecSpec,
    netns: (Netns, Netns),
}

fn ends() -> Ends {
    let netns = cabled();
    let spec = |local: &str, remote: &str, initiator| IpsecSpec {
        if_id: 7.try_into().expect("not zero"),
        local: Some(address(local)),
        remote: address(remote),
        local_id: None,
        remote_id: None,
        auth: psk("a secret of both"),
        version: IkeVersion::V2,
        ike: vec!["aes256-sha256-modp2048".to_owned()],
        esp: vec!["aes256gcm16-modp2048".to_owned()],
        ike_lifetime: Duration::from_secs(28_800),
        esp_lifetime: Duration::from_secs(3600),
        dpd: Duration::from_secs(10),
        initiator,
        // Userspace ESP knows no other way.
        nat_traversal: NatTraversal::Forced,
        selectors: Selectors::V4,
    };
    Ends {
        a: StrongSwan::start(&netns.0),
        b: StrongSwan::start(&netns.1),
        spec_a: spec("172.31.0.1", "172.31.0.2", Initiator::Us),
        spec_b: spec("172.31.0.2", "172.31.0.1", Initiator::Them),
        netns,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn psk(text: &str) -> Auth {
    Auth::Psk(Hidden::new(text.as_bytes().to_vec().into()))
}

/// The task for one end, with its one link told.
async fn driven(strongswan: &StrongSwan, spec: &IpsecSpec) -> Handle {
    let mut handle = Handle::start(&strongswan.socket(), 1);
    handle.want("t", spec).await;
    handle.complete().await;
    handle
}

fn shown(handle: &Handle) -> String {
    format!("{:?}", handle.standing("t"))
}

async fn until(handle: &mut Handle, what: &str, holds: impl Fn(&State) -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !handle
            .standing("t")
            .is_some_and(|standing| holds(&standing.state))
        {
            handle.changed().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: {}", shown(handle));
}

fn is_up(state: &State) -> bool {
    matches!(state, State::Up(_))
}

async fn until_down_for(handle: &mut Handle, reason: &str) {
    until(
        handle,
        reason,
        |state| matches!(state, State::Down(why) if why.contains(reason)),
    )
    .await;
}

fn child_of(handle: &Handle) -> u32 {
    let child = match handle.standing("t").map(|standing| standing.state) {
        Some(State::Up(child)) => Some(child.id.0),
        Some(State::Down(_)) | None => None,
    };
    child.expect("it is up")
}

async fn vici(strongswan: &StrongSwan, command: &str, message: Message) -> Message {
    let mut client = Client::connect(&strongswan.socket())
        .await
        .expect("it runs");
    client.call(command, &message).await.expect("it does that")
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_tunnel_comes_up_survives_rekeys_and_restarts_and_goes() {
    let mut ends = ends();
    block_on(async {
        let mut b = driven(&ends.b, &ends.spec_b).await;
        let mut a = driven(&ends.a, &ends.spec_a).await;
        until(&mut a, "the caller is up", is_up).await;
        until(&mut b, "the called is up", is_up).await;
        let first = child_of(&a);

        let name = |key| Message::new().with(key, "skybridge-t");
        vici(&ends.a, "rekey", name("child")).await;
        until(
            &mut a,
            "the child is another",
            |state| matches!(state, State::Up(child) if child.id.0 != first),
        )
        .await;
        vici(&ends.a, "rekey", name("ike")).await;
        let ike = |state: &State| matches!(state, State::Up(child) if child.ike.0 > 1);
        until(&mut a, "the IKE SA is another", ike).await;

        // A new secret is taken without ending anything, at either end.
        let before = child_of(&a);
        for (handle, spec) in [(&mut a, &mut ends.spec_a), (&mut b, &mut ends.spec_b)] {
            spec.auth = psk("another secret of both");
            handle.want("t", spec).await;
        }
        assert_eq!(child_of(&a), before);

        // We start again, and what works is left as it is.
        drop(a);
        let mut a = driven(&ends.a, &ends.spec_a).await;
        until(&mut a, "up after our restart", is_up).await;
        assert_eq!(child_of(&a), before, "it was not called again");

        // The far strongSwan starts again: it is noticed and called.
        ends.b.kill();
        ends.b.launch();
        until(&mut a, "down after its restart", |state| !is_up(state)).await;
        until(&mut a, "up after its restart", is_up).await;

        // So does ours.
        ends.a.kill();
        until(&mut a, "up still, as the kernel would be", is_up).await;
        ends.a.launch();
        until(&mut a, "down until it has called", |state| !is_up(state)).await;
        until(&mut a, "up after the restart of ours", is_up).await;

        // A connection of somebody else's is left alone when ours is removed.
        let conn = Message::new().with_list("remote_addrs", ["192.0.2.9"]);
        vici(
            &ends.a,
            "load-conn",
            Message::new().with_section("office", conn),
        )
        .await;
        a.forget("t").await;
        let give_up = Instant::now() + SOON;
        loop {
            let conns = vici(&ends.a, "get-conns", Message::new()).await;
            if conns.list("conns") == ["office"] {
                break;
            }
            assert!(Instant::now() < give_up, "{:?}", conns.list("conns"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(b);
        let removed = driver::flush(&ends.b.socket()).await.expect("it answers");
        assert_eq!(removed, ["skybridge-t"]);
    });
}

#[test]
fn what_is_wrong_is_said_with_its_remedy_and_mended_live() {
    let ends = ends();
    block_on(async {
        let mut wrong = ends.spec_a.clone();
        let mut a = driven(&ends.a, &wrong).await;
        // Nobody there knows us yet: strongSwan refuses whom it does not know.
        until_down_for(&mut a, "no proposal for IKE in common").await;
        let mut b = driven(&ends.b, &ends.spec_b).await;

        wrong.auth = psk("not what the other has");
        a.want("t", &wrong).await;
        until_down_for(&mut a, "compare the pre-shared keys").await;
        until_down_for(&mut b, "the pre-shared keys differ").await;

        wrong = ends.spec_a.clone();
        wrong.ike = vec!["aes128-sha1-modp1024".to_owned()];
        a.want("t", &wrong).await;
        until_down_for(&mut a, "ours: aes128-sha1-modp1024").await;
        // Who is called knows both lists.
        let theirs = "ours: aes256-sha256-modp2048; the far end's: IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024";
        until_down_for(&mut b, theirs).await;

        wrong = ends.spec_a.clone();
        wrong.esp = vec!["aes128-sha1-modp1024".to_owned()];
        a.want("t", &wrong).await;
        until_down_for(&mut a, "no proposal for ESP in common").await;

        wrong = ends.spec_a.clone();
        wrong.selectors = Selectors::V6;
        a.want("t", &wrong).await;
        until_down_for(&mut a, "refuses our traffic selectors ::/0").await;

        wrong = ends.spec_a.clone();
        wrong.remote_id = Some("203.0.113.9".to_owned());
        a.want("t", &wrong).await;
        until_down_for(&mut a, "`remote-id`").await;

        wrong = ends.spec_a.clone();
        wrong.remote = address("172.31.0.77");
        a.want("t", &wrong).await;
        until_down_for(&mut a, "172.31.0.77 does not answer on UDP 500 and 4500").await;

        wrong = ends.spec_a.clone();
        wrong.ike = vec!["rot13".to_owned()];
        a.want("t", &wrong).await;
        until_down_for(&mut a, "does not take the connection").await;

        a.want("t", &ends.spec_a).await;
        until(&mut a, "mended", is_up).await;
        until(&mut b, "mended there as well", is_up).await;
    });
}

/// strongSwan has sixteen threads, and each call keeps one waiting.
#[test]
fn more_tunnels_than_strongswan_has_threads_come_up_at_once() {
    const TUNNELS: u8 = 40;
    let ends = ends();
    let (near, far) = &ends.netns;
    near.ip(&["route", "add", "172.31.1.0/24", "via", "172.31.0.2"]);
    let link = |number: u8| format!("t{number}");
    let specs = (1..=TUNNELS).map(|number| {
        let gateway = address(&format!("172.31.1.{number}"));
        far.ip(&["addr", "add", &gateway.to_string(), "dev", "lo"]);
        let if_id = u32::from(number).try_into().expect("not zero");
        let near = IpsecSpec {
            if_id,
            remote: gateway,
            ..ends.spec_a.clone()
        };
        let far = IpsecSpec {
            if_id,
            local: Some(gateway),
            ..ends.spec_b.clone()
        };
        (number, near, far)
    });
    let specs: Vec<_> = specs.collect();
    block_on(async {
        let mut b = Handle::start(&ends.b.socket(), 1);
        let mut a = Handle::start(&ends.a.socket(), 2);
        for (number, near, far) in &specs {
            b.want(&link(*number), far).await;
            a.want(&link(*number), near).await;
        }
        b.complete().await;
        // Who waits is loaded before who calls.
        let loaded = async || {
            let conns = vici(&ends.b, "get-conns", Message::new()).await;
            conns.list("conns").len() == usize::from(TUNNELS)
        };
        while !loaded().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        a.complete().await;
        let up = |a: &Handle| {
            let standings = specs.iter().map(|(number, ..)| a.standing(&link(*number)));
            standings
                .filter(|standing| {
                    standing
                        .as_ref()
                        .is_some_and(|standing| is_up(&standing.state))
                })
                .count()
        };
        let all = tokio::time::timeout(SOON, async {
            while up(&a) < specs.len() {
                a.changed().await;
            }
        });
        assert!(all.await.is_ok(), "{} of {TUNNELS} are up", up(&a));
    });
}

#[test]
fn ikev1_comes_up_where_a_gateway_needs_it() {
    let mut ends = ends();
    block_on(async {
        for spec in [&mut ends.spec_a, &mut ends.spec_b] {
            spec.version = IkeVersion::V1;
        }
        let mut b = driven(&ends.b, &ends.spec_b).await;
        let mut a = driven(&ends.a, &ends.spec_a).await;
        until(&mut a, "IKEv1", is_up).await;
        until(&mut b, "IKEv1", is_up).await;
    });
}

/// As behind a cloud's NAT: our address is not who we are, and the other end was set up by other means.
#[test]
fn a_gateway_that_somebody_else_has_set_up_knows_us_by_our_identity() {
    let ends = ends();
    let conf = ends.b.directory.join("swanctl.conf");
    let text = "connections { us {
        local_addrs = 172.31.0.2
        remote_addrs = %any
        proposals = aes256gcm16-prfsha384-ecp384
        encap = yes
        local { auth = psk
            id = 172.31.0.2 }
        remote { auth = psk
            id = 203.0.113.10 }
        children { net { local_ts = 0.0.0.0/0
            remote_ts = 0.0.0.0/0
            esp_proposals = aes256gcm16-ecp384 } } } }
        secrets { ike-us { id = 203.0.113.10
            secret = \"a.Secret_of-32 characters # and more\" } }";
    fs::write(&conf, text).expect("a file of our own");
    let uri = format!("unix://{}", ends.b.socket().display());
    let conf = conf.display().to_string();
    run(
        "swanctl",
        &["--load-all", "--noprompt", "--file", &conf, "--uri", &uri],
    );
    let spec = IpsecSpec {
        local: None,
        local_id: Some("203.0.113.10".to_owned()),
        auth: psk("a.Secret_of-32 characters # and more"),
        ike: vec!["aes256gcm16-prfsha384-ecp384".to_owned()],
        esp: vec!["aes256gcm16-ecp384".to_owned()],
        selectors: Selectors::Both,
        ..ends.spec_a.clone()
    };
    block_on(async {
        let mut a = driven(&ends.a, &spec).await;
        until(&mut a, "with an identity of our own", is_up).await;
        // Who we are by our address it does not know.
        let unknown = IpsecSpec {
            local_id: None,
            ..spec.clone()
        };
        a.want("t", &unknown).await;
        until_down_for(&mut a, "refuses our authentication").await;
        // Somebody reloads strongSwan from files that have nothing of ours: it is loaded again with the next call.
        run(
            "swanctl",
            &[
                "--load-conns",
                "--file",
                &conf,
                "--uri",
                &format!("unix://{}", ends.a.socket().display()),
            ],
        );
        a.want("t", &spec).await;
        until(&mut a, "up again", is_up).await;

        // The same while a tunnel is up and nobody calls: it is noticed, and nothing ends.
        let before = child_of(&a);
        let uri = format!("unix://{}", ends.a.socket().display());
        run(
            "swanctl",
            &["--load-all", "--noprompt", "--file", &conf, "--uri", &uri],
        );
        for (command, key) in [("get-conns", "conns"), ("get-shared", "keys")] {
            let loaded = vici(&ends.a, command, Message::new()).await;
            let gone = !loaded.list(key).contains(&"skybridge-t");
            assert!(gone, "{command}: nothing was removed");
        }
        for (command, key) in [("get-conns", "conns"), ("get-shared", "keys")] {
            let give_up = Instant::now() + SOON;
            while !vici(&ends.a, command, Message::new())
                .await
                .list(key)
                .contains(&"skybridge-t")
            {
                assert!(Instant::now() < give_up, "{command}: nobody noticed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(child_of(&a), before);
    });
}

#[test]
fn certificates_prove_who_is_who() {
    let mut ends = ends();
    let directory = ends.a.directory.clone();
    let file = |name: &str| directory.join(name).display().to_string();
    let openssl = |words: &str| {
        let words: Vec<String> = words
            .split_whitespace()
            .map(|word| word.replace('@', &file("")))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run("openssl", &words)
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout @ca.key -out @ca.pem -subj /CN=ca -days 2");
    for (name, address) in [
        ("a", "172.31.0.1"),
        ("a-next", "172.31.0.1"),
        ("b", "172.31.0.2"),
    ] {
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout @{name}.key -out @{name}.csr -subj /CN={name}"
        ));
        fs::write(file("ext"), format!("subjectAltName=IP:{address}\n")).expect("ours");
        openssl(&format!(
            "x509 -req -in @{name}.csr -CA @ca.pem -CAkey @ca.key -CAcreateserial -days 2 -out @{name}.pem -extfile @ext"
        ));
    }
    let read = |name: &str| fs::read(file(name)).expect("openssl made it");
    let auth = |name: &str| Auth::Certificate {
        certificate: read(&format!("{name}.pem")),
        key: Hidden::new(read(&format!("{name}.key")).into()),
        ca: read("ca.pem"),
    };
    (ends.spec_a.auth, ends.spec_b.auth) = (auth("a"), auth("b"));
    block_on(async {
        let mut b = driven(&ends.b, &ends.spec_b).await;
        let mut a = driven(&ends.a, &ends.spec_a).await;
        until(&mut a, "by certificate", is_up).await;
        until(&mut b, "by certificate", is_up).await;

        // Both are replaced: what is up goes on, and who calls next proves it with the next ones.
        let before = child_of(&a);
        ends.spec_a.auth = auth("a-next");
        let last = keys(&ends.a).await;
        a.want("t", &ends.spec_a).await;
        until_another_than(last, &ends.a).await;
        assert_eq!(child_of(&a), before);
        assert!(!ends.b.log().contains("CN=a-next"), "it has called again");
        let name = Message::new().with("ike", "skybridge-t");
        vici(&ends.a, "terminate", name.clone()).await;
        let again = |state: &State| matches!(state, State::Up(child) if child.id.0 != before);
        until(&mut a, "called again", again).await;
        assert!(ends.b.log().contains("CN=a-next"), "{}", ends.b.log());

        // The key alone, which is not the certificate's: said when it is needed, and mended live.
        let Auth::Certificate { key, .. } = auth("b") else {
            return;
        };
        let before = child_of(&a);
        let right = ends.spec_a.auth.clone();
        if let Auth::Certificate { key: ours, .. } = &mut ends.spec_a.auth {
            *ours = key;
        }
        let last = keys(&ends.a).await;
        a.want("t", &ends.spec_a).await;
        until_another_than(last, &ends.a).await;
        assert_eq!(child_of(&a), before);
        vici(&ends.a, "terminate", name).await;
        until_down_for(&mut a, "is `private-key` that of `certificate`?").await;
        ends.spec_a.auth = right;
        a.want("t", &ends.spec_a).await;
        until(&mut a, "mended", is_up).await;
    });
}

/// The private keys that strongSwan has.
async fn keys(strongswan: &StrongSwan) -> Vec<String> {
    let answer = vici(strongswan, "get-keys", Message::new()).await;
    answer.list("keys").into_iter().map(str::to_owned).collect()
}

/// Waits until it has one, and not this one.
async fn until_another_than(before: Vec<String>, strongswan: &StrongSwan) {
    let give_up = Instant::now() + SOON;
    loop {
        let now = keys(strongswan).await;
        if now.len() == 1 && now != before {
            return;
        }
        assert!(Instant::now() < give_up, "{before:?}, then {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn without_strongswan_it_is_said_what_to_install() {
    let nowhere = std::env::temp_dir().join(format!("no-vici-{}", std::process::id()));
    block_on(async {
        let mut handle = Handle::start(&nowhere, 1);
        let spec = IpsecSpec {
            if_id: 7.try_into().expect("not zero"),
            local: None,
            remote: address("192.0.2.1"),
            local_id: None,
            remote_id: None,
            auth: psk("x"),
            version: IkeVersion::V2,
            ike: Vec::new(),
            esp: Vec::new(),
            ike_lifetime: Duration::from_secs(28_800),
            esp_lifetime: Duration::from_secs(3600),
            dpd: Duration::from_secs(10),
            initiator: Initiator::Us,
            nat_traversal: NatTraversal::Auto,
            selectors: Selectors::Both,
        };
        handle.want("t", &spec).await;
        handle.complete().await;
        until_down_for(&mut handle, "strongSwan does not run").await;
        let (odd, unknown_event) = (&[0, 0, 0, 3, 99, 0, 0], &[0, 0, 0, 1, 6]);
        answered_by(odd, "nonsense", &nowhere, &mut handle).await;
        let too_old = "this strongSwan does not know event `ike-updown`; version 5.9 does";
        answered_by(unknown_event, too_old, &nowhere, &mut handle).await;
    });
}

/// Somebody at the socket who has one answer to everything.
async fn answered_by(answer: &'static [u8], expected: &str, socket: &Path, handle: &mut Handle) {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::UnixListener::bind(socket).expect("nobody is there");
    let talker = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("it listens");
            let _ = stream.write_all(answer).await;
            open.push(stream);
        }
    });
    until_down_for(handle, expected).await;
    talker.abort();
    let _ = fs::remove_file(socket);
}
