//! The tunnels: specifications in, steps to the kernel, states out.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::tunnels::backend::{Linux, Noticed};
use ::tunnels::names::{self, Names};
use ::tunnels::plan::plan;
use ::tunnels::spec::{FarEnd, Kind, TunnelSpec};
use ::tunnels::supervisor::{Input, Outcome, Output, Supervisor};
use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::messages::{Severed, TunnelsMessage, Wanted};
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
    board: Arc<Board>,
) {
    let supervisor = Supervisor::new(super::seed());
    let driver = Driver {
        backend,
        inbox,
        severed,
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
                    Ok(Noticed::FarEnd) => self.look(),
                    Ok(Noticed::Interfaces) => {
                        self.supervisor.handle(Input::Changed, Instant::now());
                    }
                    Err(error) => {
                        error!(%error, "cannot watch the interfaces");
                        tokio::time::sleep(LOOK).await;
                        self.supervisor.handle(Input::Changed, Instant::now());
                    }
                },
                Some(Ok((link, found))) = self.lookups.join_next() => self.found(&link, found),
                () = until(deadline) => {
                    let now = Instant::now();
                    self.supervisor.handle(Input::Timeout, now);
                    self.names.handle(names::Input::Timeout, now);
                }
                () = until(Some(look_at)) => {
                    self.look();
                    look_at = Instant::now() + LOOK;
                }
            }
        }
    }

    async fn obey(&mut self, TunnelsMessage { wanted, done }: TunnelsMessage) {
        self.wanted = wanted;
        self.look_for_names().await;
        let names: Vec<_> = self
            .wanted
            .iter()
            .map(|wanted| wanted.spec.name.clone())
            .collect();
        self.supervisor
            .handle(Input::Wanted(&names), Instant::now());
        self.drain().await;
        self.look();
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
        let specs: Vec<_> = self
            .wanted
            .iter()
            .map(|wanted| wanted.spec.clone())
            .collect();
        let outcomes = match self.backend.observe().await {
            Ok(observed) => {
                let steps = plan(&specs, &observed);
                let results = self.backend.apply(&steps).await;
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
            Err(error) => {
                let failed = |spec: &TunnelSpec| {
                    (
                        spec.interface.clone(),
                        format!("cannot read the interfaces: {error}"),
                    )
                };
                specs.iter().map(failed).collect()
            }
        };
        self.backend.clamp(&specs).await;
        for spec in &specs {
            let outcome = match outcomes.get(&spec.interface) {
                Some(reason) => Outcome::Failed(reason.clone()),
                None => Outcome::Done,
            };
            self.supervisor
                .handle(Input::Applied(&spec.name, outcome), Instant::now());
        }
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
        for Wanted { spec, endpoint } in &mut self.wanted {
            if let Kind::WireGuard(wireguard) = &mut spec.kind
                && endpoint.is_some()
            {
                wireguard.peer.endpoint = self.names.address(&spec.name);
            }
        }
    }

    fn look(&mut self) {
        let specs: Vec<_> = self
            .wanted
            .iter()
            .map(|wanted| wanted.spec.clone())
            .collect();
        // The kernel may be long in answering while routes come in: other tasks go on elsewhere.
        let statuses = match specs.is_empty() {
            true => Ok(Vec::new()),
            false => block_in_place(|| Handle::current().block_on(self.backend.status(&specs))),
        };
        match statuses {
            Ok(statuses) => {
                // The links first: traffic moves.
                let severed = statuses
                    .iter()
                    .filter(|status| status.far_end == FarEnd::NotAssociated);
                let severed: Severed = severed.map(|status| status.name.clone()).collect();
                self.severed.send_if_modified(|known| {
                    let changed = *known != severed;
                    *known = severed;
                    changed
                });
                let (at, now) = (SystemTime::now(), Instant::now());
                for status in &statuses {
                    self.supervisor.handle(Input::Status(status, at), now);
                    let heard = names::Input::Heard(&status.name, status.answers(at));
                    self.names.handle(heard, now);
                }
                self.board.set_tunnels(specs, statuses);
            }
            Err(error) => warn!(%error, "cannot read the state of the tunnels"),
        }
    }
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
