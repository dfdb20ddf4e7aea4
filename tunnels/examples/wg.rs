//! A driver in miniature: keeps the tunnels of its specs up, for tests and for trying things out.
//!
//! `wg NAME INTERFACE ADDRESS/LEN MTU PRIVATE LISTEN BACKEND PEER ENDPOINT|- PSK|- KEEPALIVE`
//!
//! The same words once more, and again, make several tunnels.
//!
//! `wg flush` removes every interface of ours in this namespace.
//!
//! A line of the same words on standard input replaces the spec, an empty line wants none. It
//! prints a status line every 50 ms, and ends by itself only when standard input does.

use std::{
    io::{self, BufRead, Write},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::sync::mpsc;
use tunnels::{
    backend::Linux,
    plan::plan,
    spec::{BackendChoice, Kind, Secret, TunnelSpec, TunnelStatus, WireGuardPeer, WireGuardSpec},
    supervisor::{Input, Outcome, Output, Supervisor},
    userspace::keeper,
};

/// Words of one tunnel.
const WORDS: usize = 11;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, interface] = words.as_slice()
        && first == keeper::ARGUMENT
    {
        return keeper::run(interface);
    }
    if words == ["flush"] {
        let removed = runtime()?.block_on(tunnels::backend::flush(std::path::Path::new(
            tunnels::ipsec::driver::SOCKET,
        )))?;
        return writeln!(io::stdout(), "{}", removed.join(" "));
    }
    let specs =
        parse(&words).ok_or_else(|| io::Error::other("see the first lines of the source"))?;
    runtime()?.block_on(run(specs))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn run(mut desired: Vec<TunnelSpec>) -> io::Result<()> {
    let mut backend = Linux::open()?;
    let mut supervisor = Supervisor::new(1);
    let mut lines = stdin_lines();
    let mut every = tokio::time::interval(Duration::from_millis(50));
    want(&mut supervisor, &desired);
    loop {
        while let Some(output) = supervisor.poll_output() {
            if output == Output::Apply {
                apply(&mut backend, &mut supervisor, &desired).await?;
            } else {
                writeln!(io::stdout(), "event {output:?}")?;
            }
        }
        let deadline = supervisor.poll_timeout();
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return Ok(()) };
                let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
                desired = parse(&words).unwrap_or_default();
                want(&mut supervisor, &desired);
            }
            changed = backend.watch() => {
                changed?;
                supervisor.handle(Input::Changed, Instant::now());
            }
            _ = every.tick() => {
                for status in backend.status(&desired).await? {
                    supervisor.handle(Input::Status(&status, SystemTime::now()), Instant::now());
                    print(&status)?;
                }
            }
            () = until(deadline) => supervisor.handle(Input::Timeout, Instant::now()),
        }
    }
}

fn want(supervisor: &mut Supervisor, desired: &[TunnelSpec]) {
    let links: Vec<String> = desired.iter().map(|spec| spec.name.clone()).collect();
    supervisor.handle(Input::Wanted(&links), Instant::now());
}

async fn apply(
    backend: &mut Linux,
    supervisor: &mut Supervisor,
    desired: &[TunnelSpec],
) -> io::Result<()> {
    let steps = plan(desired, &backend.observe().await?);
    let results = backend.apply(&steps).await;
    for (step, result) in steps.iter().zip(&results) {
        writeln!(io::stdout(), "step {} {}", step.interface, result.is_ok())?;
    }
    for spec in desired {
        let failure = steps.iter().zip(&results).find_map(|(step, result)| {
            (step.interface == spec.interface)
                .then_some(result.as_ref().err())
                .flatten()
        });
        let outcome = failure.map_or(Outcome::Done, |error| Outcome::Failed(error.to_string()));
        supervisor.handle(Input::Applied(&spec.name, outcome), Instant::now());
    }
    Ok(())
}

fn print(status: &TunnelStatus) -> io::Result<()> {
    let backend = status
        .backend
        .map_or_else(|| "none".to_owned(), |kind| kind.to_string());
    let endpoint = status
        .endpoint
        .map_or_else(|| "-".to_owned(), |at| at.to_string());
    writeln!(
        io::stdout(),
        "status backend={backend} up={} fresh={} endpoint={endpoint} rx={} tx={} problem={}",
        status.up,
        status.is_fresh(SystemTime::now()),
        status.rx_bytes,
        status.tx_bytes,
        status.problem.as_deref().unwrap_or("-"),
    )
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn parse(words: &[String]) -> Option<Vec<TunnelSpec>> {
    words.chunks(WORDS).map(parse_one).collect()
}

fn parse_one(words: &[String]) -> Option<TunnelSpec> {
    let [
        name,
        interface,
        address,
        mtu,
        private,
        listen,
        backend,
        peer,
        endpoint,
        psk,
        keepalive,
    ] = words
    else {
        return None;
    };
    let public_key: [u8; 32] = BASE64_STANDARD.decode(peer).ok()?.try_into().ok()?;
    Some(TunnelSpec {
        name: name.clone(),
        interface: interface.clone(),
        mtu: mtu.parse().ok()?,
        address: address.parse().ok()?,
        kind: Kind::WireGuard(WireGuardSpec {
            private_key: Secret::from_base64(private).ok()?,
            listen_port: listen.parse().ok()?,
            backend: match backend.as_str() {
                "auto" => BackendChoice::Auto,
                "kernel" => BackendChoice::Kernel,
                "userspace" => BackendChoice::Userspace,
                _ => return None,
            },
            peer: WireGuardPeer {
                public_key,
                preshared_key: Secret::from_base64(psk).ok(),
                endpoint: endpoint.parse().ok(),
                keepalive_secs: keepalive.parse().ok().filter(|secs| *secs != 0),
            },
        }),
    })
}
