//! The tunnels: specifications in, steps to the kernel, states out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::tunnels::backend::{Linux, Noticed};
use ::tunnels::plan::plan;
use ::tunnels::spec::{FarEnd, Kind, TunnelSpec};
use ::tunnels::supervisor::{Input, Outcome, Output, Supervisor};
use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::messages::{Severed, TunnelsMessage, Wanted};
use super::until;
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
    wanted: Vec<Wanted>,
}

impl Driver {
    async fn run(mut self) {
        let mut look_at = Instant::now();
        loop {
            self.drain().await;
            let deadline = self.supervisor.poll_timeout();
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
                () = until(deadline) => self.supervisor.handle(Input::Timeout, Instant::now()),
                () = until(Some(look_at)) => {
                    self.look().await;
                    look_at = Instant::now() + LOOK;
                }
            }
        }
    }

    async fn obey(&mut self, TunnelsMessage { wanted, done }: TunnelsMessage) {
        self.wanted = wanted;
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
        self.resolve().await;
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

    /// Looks up the endpoints that are names; one that is not found keeps what it had.
    async fn resolve(&mut self) {
        for wanted in &mut self.wanted {
            let Some(endpoint) = &wanted.endpoint else {
                continue;
            };
            let Kind::WireGuard(wireguard) = &mut wanted.spec.kind else {
                continue;
            };
            match lookup(&endpoint.host, endpoint.port).await {
                Ok(address) => wireguard.peer.endpoint = Some(address),
                Err(error) => {
                    warn!(link = wanted.spec.name, host = endpoint.host, %error, "cannot resolve the endpoint");
                }
            }
        }
    }

    async fn look(&mut self) {
        let specs: Vec<_> = self
            .wanted
            .iter()
            .map(|wanted| wanted.spec.clone())
            .collect();
        match self.backend.status(&specs).await {
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
                }
                self.board.set_tunnels(specs, statuses);
            }
            Err(error) => warn!(%error, "cannot read the state of the tunnels"),
        }
    }
}

async fn lookup(host: &str, port: u16) -> io::Result<std::net::SocketAddr> {
    let found = timeout(RESOLVE, lookup_host((host, port))).await??.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}
