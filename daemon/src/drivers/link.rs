//! One link: whether its interface is there, what its measurement means for its health, and who hears of that.

mod connects;
mod mtu;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use links::stamp::Unauthentic;
use links::{
    BfdWord, Figures, Health, HealthChange, HealthConfig, HealthInput, Order, Others, Output,
    ProbeConfig, ReflectorConfig,
};
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, error, info, warn};

use connects::Connects;

use super::messages::{Alone, Bounds, Drained, GroupsMessage, PathMtus, Severed};
use super::probes::{Found, Measuring, Probes, Target};
use super::until;
use crate::board::Board;
use crate::fib::{Interface, Interfaces};
use crate::journal::Severity;
use crate::sockets::Endpoint;

/// Between two attempts to open a socket.
const REOPEN: Duration = Duration::from_secs(1);
/// After a fault of the program.
const RESTART: Duration = Duration::from_secs(1);

/// What a link is by the intent. Another one needs another task.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct LinkConfig {
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// `None`: not probed.
    pub(crate) probe: Option<ProbeConfig>,
    pub(crate) reflector: ReflectorConfig,
    /// Where a probe by TCP connects to.
    pub(crate) connect: Option<Endpoint>,
    pub(crate) health: HealthConfig,
    pub(crate) owner: Owner,
    /// `None`: what the path takes is not looked for.
    pub(crate) path: Option<links::mtu::Config>,
}

/// Whose the interface of a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A tunnel's: its MTU is ours to set.
    Ours,
    Another,
}

/// What a link task is made from.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) config: LinkConfig,
    pub(crate) groups: mpsc::Sender<GroupsMessage>,
    pub(crate) interfaces: watch::Receiver<Arc<Interfaces>>,
    pub(crate) severed: watch::Receiver<Severed>,
    pub(crate) drained: watch::Receiver<Drained>,
    pub(crate) alone: watch::Receiver<Alone>,
    /// What its BFD session says.
    pub(crate) bfd: watch::Receiver<BfdWord>,
    /// What interfaces of ours may take at the most.
    pub(crate) bounds: watch::Receiver<Bounds>,
    /// Where it says what its path takes.
    pub(crate) paths: watch::Sender<PathMtus>,
    pub(crate) probes: Probes,
    pub(crate) board: Arc<Board>,
}

/// Runs until it is aborted. A fault of the program starts it again: a link that nobody measures would
/// stay as it was last seen for ever.
pub(crate) async fn run(link: Link) {
    let span = tracing::info_span!("link", link = %link.name);
    loop {
        let driven = AssertUnwindSafe(drive(link.clone()).instrument(span.clone()));
        if let Ok(Ended::Asked) = driven.catch_unwind().await {
            return;
        }
        error!(
            link = link.name,
            "a fault in the program ended the measurement; starting it again"
        );
        link.board.counters.restart();
        tokio::time::sleep(RESTART).await;
    }
}

/// Why a link is not driven any more.
enum Ended {
    /// Nobody tells where interfaces are.
    Asked,
    /// Nobody measures.
    Fault,
}

async fn drive(link: Link) -> Ended {
    let now = Instant::now();
    link.board.counters.link_starts(&link.name);
    let config = &link.config;
    let target = Target {
        name: link.name.clone(),
        interface: config.interface.clone(),
        local: config.local,
        remote: config.remote,
        probe: config.probe.clone(),
        reflector: config.reflector.clone(),
    };
    let driver = Driver {
        measuring: link.probes.measure(target).await,
        health: match link.board.link_state(&link.name) {
            Some(state) if state.is_usable() => Health::taking_over(config.health.clone(), now),
            Some(_) | None => Health::new(config.health.clone(), now),
        },
        connects: Connects::default(),
        attached: None,
        path: mtu::Prober::start(&link),
        link,
    };
    driver.run().await
}

struct Driver {
    link: Link,
    measuring: Measuring,
    health: Health,
    connects: Connects,
    /// Index of the interface that is measured on.
    attached: Option<u32>,
    /// Looks for what the path takes.
    path: Option<mtu::Prober>,
}

enum Wake {
    Found(Option<Found>),
    Connected(u32),
    Bfd,
    Orders,
    Others,
    Interfaces,
    Ended,
    Timeout,
}

impl Driver {
    async fn run(mut self) -> Ended {
        self.hear_bfd();
        self.hear_orders();
        self.hear_others();
        self.follow_interface().await;
        loop {
            self.tell_changes().await;
            match self.wait().await {
                Wake::Found(Some(found)) => self.on_found(found).await,
                Wake::Found(None) => return Ended::Fault,
                Wake::Connected(round) => self.measuring.connected(round).await,
                Wake::Bfd => self.hear_bfd(),
                Wake::Orders => self.hear_orders(),
                Wake::Others => self.hear_others(),
                Wake::Interfaces => self.follow_interface().await,
                Wake::Ended => return Ended::Asked,
                Wake::Timeout => self.health.handle(HealthInput::Timeout, Instant::now()),
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        tokio::select! {
            biased;
            Ok(()) = self.link.bfd.changed() => Wake::Bfd,
            found = self.measuring.next() => Wake::Found(found),
            round = self.connects.answered() => Wake::Connected(round),
            Ok(()) = self.link.drained.changed() => Wake::Orders,
            Ok(()) = self.link.alone.changed() => Wake::Others,
            changed = self.link.interfaces.changed() => match changed {
                Ok(()) => Wake::Interfaces,
                Err(_) => Wake::Ended,
            },
            changed = self.link.severed.changed() => match changed {
                Ok(()) => Wake::Interfaces,
                Err(_) => Wake::Ended,
            },
            () = until(self.health.poll_timeout()) => Wake::Timeout,
        }
    }

    async fn on_found(&mut self, found: Found) {
        let now = Instant::now();
        for output in found.outputs {
            match output {
                Output::Answered { rtt, .. } => {
                    self.link.board.rtt(&self.link.name, rtt);
                    self.health.handle(HealthInput::Answered, now);
                }
                Output::Lost => self.health.handle(HealthInput::Lost, now),
            }
        }
        for round in found.connects {
            self.connect(round);
        }
        let Some(quality) = found.quality else { return };
        self.tell_doubt(found.doubt);
        self.health.handle(HealthInput::Quality(&quality), now);
        self.tell_changes().await;
        let message = GroupsMessage::Figures {
            name: self.link.name.clone(),
            figures: Figures::from(&*quality),
        };
        let _ = self.link.groups.send(message).await;
        self.link.board.set_quality(&self.link.name, *quality);
    }

    /// Of those whose packets are refused, only who is alone is worth a word: a loss would have no reason.
    fn tell_doubt(&self, doubt: Option<Unauthentic>) {
        let Link { name, board, .. } = &self.link;
        let before = board.set_doubt(name, doubt);
        let (severity, text) = match doubt {
            _ if before == doubt => return,
            Some(why) => (Severity::Warning, why.to_string()),
            None => {
                let over = "there is no doubt about the far end's STAMP packets any more";
                (Severity::Info, over.to_owned())
            }
        };
        match severity {
            Severity::Info => info!("{text}"),
            Severity::Warning | Severity::Critical => warn!("{text}"),
        }
        board.journal.record(severity, "probe-auth", name, text);
    }

    fn connect(&self, round: u32) {
        let LinkConfig { connect, probe, .. } = &self.link.config;
        let endpoint = connect.as_ref().filter(|_| self.attached.is_some());
        if let Some((endpoint, probe)) = endpoint.zip(probe.as_ref()) {
            self.connects.begin(endpoint.clone(), round, probe.timeout);
        }
    }

    fn hear_bfd(&mut self) {
        let word = *self.link.bfd.borrow_and_update();
        self.health.handle(HealthInput::Bfd(word), Instant::now());
    }

    fn hear_orders(&mut self) {
        let order = match self
            .link
            .drained
            .borrow_and_update()
            .contains(&self.link.name)
        {
            true => Order::Drain,
            false => Order::Carry,
        };
        self.health
            .handle(HealthInput::Order(order), Instant::now());
    }

    fn hear_others(&mut self) {
        let others = match self
            .link
            .alone
            .borrow_and_update()
            .contains(&self.link.name)
        {
            true => Others::None,
            false => Others::Usable,
        };
        self.health
            .handle(HealthInput::Others(others), Instant::now());
    }

    async fn tell_changes(&mut self) {
        while let Some(change) = self.health.poll_output() {
            self.report(change).await;
        }
    }

    async fn report(&mut self, change: HealthChange) {
        let HealthChange { state, reason } = change;
        let found_out = Instant::now();
        let report = GroupsMessage::Link {
            name: self.link.name.clone(),
            change,
            found_out,
        };
        // First move the traffic, then tell people.
        let _ = self.link.groups.send(report).await;
        if let Some(path) = &self.path {
            path.link_is(state);
        }
        let severity = match state {
            links::State::Up | links::State::Draining => {
                info!(%state, %reason, "link");
                Severity::Info
            }
            links::State::Degraded | links::State::Down => {
                warn!(%state, %reason, "link");
                Severity::Warning
            }
        };
        self.link
            .board
            .set_link_state(&self.link.name, state, reason.to_string());
        let text = format!("{state}: {reason}");
        self.link
            .board
            .journal
            .record(severity, "link-state", &self.link.name, text);
    }

    /// Sockets are bound to an interface as it is; one that was made anew needs others.
    async fn follow_interface(&mut self) {
        let interfaces = Arc::clone(&self.link.interfaces.borrow_and_update());
        let interface = interfaces.named(&self.link.config.interface);
        self.link.board.set_interface(&self.link.name, interface);
        let is_severed = self
            .link
            .severed
            .borrow_and_update()
            .contains(&self.link.name);
        let index = interface
            .filter(|interface| !is_severed && self.is_ready(interface))
            .map(|i| i.index);
        let now = Instant::now();
        match index {
            Some(index) if self.attached != Some(index) => {
                self.measuring.attach().await;
                self.attached = Some(index);
                self.health.handle(HealthInput::InterfaceUp, now);
            }
            Some(_) => {}
            None => {
                if self.attached.take().is_some() {
                    self.measuring.detach().await;
                }
                self.connects.clear();
                let input = match is_severed {
                    true => HealthInput::TunnelDown,
                    false => HealthInput::InterfaceDown,
                };
                self.health.handle(input, now);
            }
        }
    }

    fn is_ready(&self, interface: &Interface) -> bool {
        interface.up
            && interface
                .addresses
                .iter()
                .any(|net| net.addr() == self.link.config.local)
    }
}
