//! The tunnels: specifications in, steps to the kernel, states out.

mod mtu;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::tunnels::backend::{Linux, Noticed};
use ::tunnels::names::{self, Names};
use ::tunnels::plan::{Step, plan};
use ::tunnels::spec::{Kind, TunnelSpec, TunnelStatus};
use ::tunnels::supervisor::{Input, Outcome, Output, Supervisor};
use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::messages::{Bounds, PathMtus, Severed, TunnelsMessage, Wanted};
use super::{earlier, until};
use crate::board::Board;
use crate::journal::Severity;

/// Between two looks at the tunnels.
const LOOK: Duration = Duration::from_secs(1);
/// A name that is not resolved by then stays unresolved until the next attempt.
const RESOLVE: Duration = Duration::from_secs(3);

/// Runs until every sender of the inbox is gone.
pub(crate) async fn run(
    backend: Linux,
    inbox: mpsc::Receiver<TunnelsMessage>,
    severed: watch::Sender<Severed>,
    paths: watch::Receiver<PathMtus>,
    bounds: watch::Sender<Bounds>,
    board: Arc<Board>,
) {
    let supervisor = Supervisor::new(super::seed());
    let driver = Driver {
        backend,
        inbox,
        severed,
        paths,
        bounds,
        agreed: mtu::Agreed::default(),
        board,
        supervisor,
        names: Names::default(),
        lookups: JoinSet::new(),
        wanted: Vec::new(),
    };
    driver.run().await;
}

struct Driver {
    backend: Linux,
    inbox: mpsc::Receiver<TunnelsMessage>,
    severed: watch::Sender<Severed>,
    /// What links have found out about their paths.
    paths: watch::Receiver<PathMtus>,
    bounds: watch::Sender<Bounds>,
    agreed: mtu::Agreed,
    board: Arc<Board>,
    supervisor: Supervisor,
    names: Names,
    /// Names that are being looked up, each without waiting for the others.
    lookups: JoinSet<(String, io::Result<Vec<SocketAddr>>)>,
    wanted: Vec<Wanted>,
}

impl Driver {
    async fn run(mut self) {
        let mut look_at = Instant::now();
        loop {
            self.drain().await;
            let deadline = earlier(self.supervisor.poll_timeout(), self.names.poll_timeout());
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.obey(message).await,
                    None => return,
                },
                noticed = self.backend.watch() => match noticed {
                    Ok(Noticed::FarEnd) => self.look().await,
                    Ok(Noticed::Interfaces) => {
                        self.supervisor.handle(Input::Changed, Instant::now());
                    }
                    Err(error) => {
                        error!(%error, "cannot watch the interfaces");
                        tokio::time::sleep(LOOK).await;
                        self.supervisor.handle(Input::Changed, Instant::now());
                    }
                },
                Ok(()) = self.paths.changed() => {
                    self.supervisor.handle(Input::Changed, Instant::now());
                }
                Some(Ok((link, found))) = self.lookups.join_next() => self.found(&link, found),
                () = until(deadline) => {
                    let now = Instant::now();
                    self.supervisor.handle(Input::Timeout, now);
                    self.names.handle(names::Input::Timeout, now);
                }
                () = until(Some(look_at)) => {
                    self.look().await;
                    look_at = Instant::now() + LOOK;
                }
            }
        }
    }

    async fn obey(&mut self, TunnelsMessage { wanted, done }: TunnelsMessage) {
        self.wanted = wanted;
        self.agreed.retain(&self.wanted);
        self.tell_bounds();
        self.look_for_names().await;
        let names: Vec<_> = self
            .wanted
            .iter()
            .map(|wanted| wanted.spec.name.clone())
            .collect();
        self.supervisor
            .handle(Input::Wanted(&names), Instant::now());
        self.drain().await;
        self.look().await;
        // The one who waits may have given up.
        let _ = done.send(());
    }

    async fn drain(&mut self) {
        self.drain_names();
        while let Some(output) = self.supervisor.poll_output() {
            match output {
                Output::Apply => self.apply().await,
                Output::Up(link) => {
                    info!(link, "tunnel up");
                    self.note(Severity::Info, &link, "up".to_owned());
                }
                Output::Down(link, reason) => {
                    warn!(link, reason, "tunnel down");
                    self.note(Severity::Warning, &link, format!("down: {reason}"));
                }
            }
        }
    }

    fn note(&self, severity: Severity, link: &str, text: String) {
        self.board
            .journal
            .record(severity, "tunnel-state", link, text);
    }

    async fn apply(&mut self) {
        let paths = self.paths.borrow_and_update().clone();
        let outcomes = beside(self.bring_about(&paths)).await;
        for Wanted { spec, .. } in &self.wanted {
            let outcome = match outcomes.get(&spec.interface) {
                Some(reason) => Outcome::Failed(reason.clone()),
                None => Outcome::Done,
            };
            self.supervisor
                .handle(Input::Applied(&spec.name, outcome), Instant::now());
        }
    }

    /// Has the kernel be as wanted. Returns why not, by interface.
    async fn bring_about(&mut self, paths: &PathMtus) -> BTreeMap<String, String> {
        let observed = self.backend.observe().await;
        if let Ok(observed) = &observed {
            self.agreed.settle(&mut self.wanted, paths, observed);
        }
        let specs = self.specs();
        let outcomes = match observed {
            Ok(observed) => self.follow(&plan(&specs, &observed)).await,
            Err(error) => {
                let reason = format!("cannot read the interfaces: {error}");
                let failed = |spec: &TunnelSpec| (spec.interface.clone(), reason.clone());
                specs.iter().map(failed).collect()
            }
        };
        self.backend.clamp(&mtu::clamps(&specs, paths)).await;
        outcomes
    }

    /// Does the steps of a plan. Returns what failed, by interface.
    async fn follow(&mut self, steps: &[Step]) -> BTreeMap<String, String> {
        let results = self.backend.apply(steps).await;
        let mut failures = BTreeMap::new();
        for (step, result) in steps.iter().zip(results) {
            debug!(
                interface = step.interface,
                ok = result.is_ok(),
                "tunnel step"
            );
            if let Err(error) = result {
                // The first failure is the cause of those that follow it.
                failures
                    .entry(step.interface.clone())
                    .or_insert(error.to_string());
            }
        }
        failures
    }

    /// Begins to look up names that are new, and gives them a moment, so that a tunnel is made with
    /// its endpoint rather than without.
    async fn look_for_names(&mut self) {
        let named = |wanted: &Wanted| {
            let endpoint = wanted.endpoint.as_ref()?;
            Some((
                wanted.spec.name.clone(),
                endpoint.host.clone(),
                endpoint.port,
            ))
        };
        let names: Vec<_> = self.wanted.iter().filter_map(named).collect();
        self.names
            .handle(names::Input::Wanted(&names), Instant::now());
        self.drain_names();
        self.fill_in();
        let gather = async {
            while let Some(done) = self.lookups.join_next().await {
                if let Ok((link, found)) = done {
                    self.found(&link, found);
                }
            }
        };
        // Whoever takes longer is waited for while everything else goes on.
        let _ = timeout(RESOLVE, gather).await;
    }

    fn found(&mut self, link: &str, found: io::Result<Vec<SocketAddr>>) {
        let addresses = found.unwrap_or_else(|error| {
            warn!(link, %error, "cannot resolve the endpoint");
            Vec::new()
        });
        let found = names::Input::Found(link, &addresses);
        self.names.handle(found, Instant::now());
        self.drain_names();
    }

    fn drain_names(&mut self) {
        while let Some(output) = self.names.poll_output() {
            match output {
                names::Output::LookUp { link, host, port } => {
                    self.lookups
                        .spawn(async move { (link, lookup(&host, port).await) });
                }
                names::Output::Endpoint(link, address) => {
                    info!(link, %address, "the endpoint's name has this address");
                    self.fill_in();
                    self.supervisor.handle(Input::Changed, Instant::now());
                }
            }
        }
    }

    /// Gives specifications the addresses of their names, as far as known.
    fn fill_in(&mut self) {
        for Wanted { spec, endpoint, .. } in &mut self.wanted {
            if let Kind::WireGuard(wireguard) = &mut spec.kind
                && endpoint.is_some()
            {
                wireguard.peer.endpoint = self.names.address(&spec.name);
            }
        }
    }

    fn specs(&self) -> Vec<TunnelSpec> {
        let specs = self.wanted.iter().map(|wanted| wanted.spec.clone());
        specs.collect()
    }

    /// Links that look for what their paths take, look no further.
    fn tell_bounds(&self) {
        let now = self.agreed.bounds(&self.wanted);
        self.bounds.send_if_modified(|bounds| {
            let changed = *bounds != now;
            *bounds = now;
            changed
        });
    }

    /// Links that have lost their tunnel hear it before the kernel is asked for anything, which may take it long.
    fn tell_severed(&self, specs: &[TunnelSpec]) {
        let severed: Severed = self.backend.severed(specs).map(str::to_owned).collect();
        self.severed.send_if_modified(|known| {
            let changed = *known != severed;
            *known = severed;
            changed
        });
    }

    /// The cipher that was agreed on has a say in the MTU.
    fn hear_ciphers(&mut self, statuses: &[TunnelStatus]) {
        let mut news = false;
        for (wanted, status) in self.wanted.iter().zip(statuses) {
            news |= self.agreed.hear(wanted, status.esp.as_ref()) == mtu::Heard::News;
        }
        if news {
            self.tell_bounds();
            self.supervisor.handle(Input::Changed, Instant::now());
        }
    }

    async fn look(&mut self) {
        let specs = self.specs();
        self.tell_severed(&specs);
        let statuses = match specs.is_empty() {
            true => Ok(Vec::new()),
            false => beside(self.backend.status(&specs)).await,
        };
        match statuses {
            Ok(mut statuses) => {
                for status in &mut statuses {
                    self.names.explain(status);
                }
                let (at, now) = (SystemTime::now(), Instant::now());
                for status in &statuses {
                    self.supervisor.handle(Input::Status(status, at), now);
                    let heard = names::Input::Heard(&status.name, status.answers(at));
                    self.names.handle(heard, now);
                }
                self.hear_ciphers(&statuses);
                self.board.set_tunnels(specs, statuses);
            }
            Err(error) => warn!(%error, "cannot read the state of the tunnels"),
        }
    }
}

/// Lets other tasks of this thread go on elsewhere: the kernel lists and changes interfaces only when it has its lock,
/// and one route that makes a large trie grow holds that for 200 ms and more. What the work waits for otherwise holds
/// up no thread.
async fn beside<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| block_in_place(|| work.as_mut().poll(context))).await
}

/// Every address of a name, as the host's own configuration resolves it.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = timeout(RESOLVE, lookup_host((host, port)))
        .await??
        .collect();
    if found.is_empty() {
        let error = format!("{host} has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, error));
    }
    Ok(found)
}
