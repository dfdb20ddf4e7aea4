//! The composition root: owns the intent, starts the drivers, carries changes of the intent to
//! them, and ends them in order.

mod drains;
mod drills;
mod intent;
mod peers;
mod places;
mod ranges;
mod reload;
mod reset;
mod restart;
mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bgp::rib::{self, Rib};
use bgp::session::{Cease, Farewell};
use bgp::{FamilySet, PeerId};
use config::Config;
use links::LinkId;
use policy::Filters;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{info, warn};

pub(crate) use intent::Intent;
pub(crate) use signals::Signals;

use crate::board::Board;
use crate::convert::{self, Keys, Modes};
use crate::drivers::bfd::Bfd;
use crate::drivers::drill::{Scenes, Surroundings};
use crate::drivers::fib::Installing;
use crate::drivers::link::LinkConfig;
use crate::drivers::listener::{Doors, Gate};
use crate::drivers::messages::{
    Alone, Bounds, Command, Drained, GroupsMessage, PathMtus, RibMessage, Severed, ToPeer,
    TunnelsMessage, Wanted,
};
use crate::drivers::probes::Probes;
use crate::drivers::rib::Telling;
use crate::drivers::{self, fib, groups, listener, seed};
use crate::fib::{Interfaces, Netlink};
use crate::journal::Severity;
use crate::snapshot::{Applied, Reader};
use crate::{grpc, metrics, sockets, traffic};

use drills::Drills;
use places::Places;
use restart::Restart;
use signals::Signal;

/// Messages a task may have waiting.
const INBOX: usize = 64;
/// Of the RIB: a message may hold thousands of routes, and while there is no room for it the peer's
/// socket is not read.
const RIB_INBOX: usize = 8;
/// How long the first look at the tunnels may take before routing starts without them.
const TUNNELS: Duration = Duration::from_secs(5);
/// How long peers may take to hear that we go.
const FAREWELL: Duration = Duration::from_secs(2);
/// After a fault of the program in a peer task.
const RESTART: Duration = Duration::from_secs(1);

struct RunningPeer {
    id: PeerId,
    inbox: mpsc::Sender<ToPeer>,
    task: Id,
}

struct RunningLink {
    id: LinkId,
    config: LinkConfig,
    task: JoinHandle<()>,
}

/// See the [module](self).
pub(crate) struct Router {
    file: PathBuf,
    config: Arc<Config>,
    /// Those of `config`, compiled.
    filters: Filters,
    reader: Reader,
    groups: mpsc::Sender<GroupsMessage>,
    tunnels: mpsc::Sender<TunnelsMessage>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    severed: watch::Receiver<Severed>,
    /// From the tunnels to the links, and back.
    bounds: watch::Receiver<Bounds>,
    paths: watch::Sender<PathMtus>,
    drained: watch::Sender<Drained>,
    /// From the groups to the links.
    alone: watch::Receiver<Alone>,
    /// Those of them that were ordered by command, not by the file.
    ordered: Drained,
    bfd: Bfd,
    probes: Probes,
    doors: watch::Sender<Arc<Doors>>,
    /// What a listener is made from.
    gate: Gate,
    keys: Keys,
    /// Of links whose probes are signed.
    modes: Modes,
    /// When each peer of a listen range was last there.
    callers: BTreeMap<String, Instant>,
    listeners: BTreeMap<SocketAddr, JoinHandle<()>>,
    metrics: Option<(SocketAddr, JoinHandle<()>)>,
    peers: BTreeMap<String, RunningPeer>,
    peer_tasks: JoinSet<()>,
    links: BTreeMap<String, RunningLink>,
    /// Peers on no link that BFD watches.
    watched: BTreeMap<String, (PeerId, JoinHandle<()>)>,
    /// RIB, FIB, groups and tunnels: their end is the end of the process.
    vital: JoinSet<&'static str>,
    /// The peers' names within the process. One that goes and returns is another.
    ids: BTreeMap<String, PeerId>,
    next_id: u32,
    commands: mpsc::Receiver<Command>,
    drills: Drills,
    restart: Restart,
    /// Our claim to the routes, held for the life of the process.
    _routes: Option<std::os::unix::net::UnixListener>,
}

impl Router {
    /// Starts everything.
    ///
    /// # Errors
    ///
    /// Something that the intent needs cannot be had; nothing has been changed then.
    pub(crate) async fn start(file: PathBuf, intent: Intent) -> anyhow::Result<Self> {
        intent.warn();
        let config = Arc::new(intent.config);
        let places = Places::take(&config).await?;
        if config.fib.install
            && let Err(error) = Netlink::disable_compat_mode()
        {
            warn!(%error, "net.ipv4.nexthop_compat_mode cannot be set to 0: a failover costs one notification a route");
        }
        if let Err(error) = sockets::echo::permit() {
            warn!(%error, "net.ipv4.ping_group_range cannot be set: links may not be probed by ICMP");
        }
        let Some(rib_config) = convert::rib(&config, seed()) else {
            bail!("router.id is 0.0.0.0")
        };

        let kept = match config.fib.install {
            true => places
                .kernel
                .left_over()
                .context("cannot read the kernel's routes")?,
            false => FamilySet::default(),
        };
        let telling = match kept.is_empty() {
            true => Telling::AtOnce,
            false => Telling::WhenTold,
        };
        if telling == Telling::WhenTold {
            info!(
                ?kept,
                "routes of an earlier run forward; telling peers nothing until they have told"
            );
        }
        let (settled, is_settled) = oneshot::channel();

        let board = Arc::new(Board::new());
        let (rib_inbox, fib_inbox) = (mpsc::channel(RIB_INBOX), mpsc::channel(INBOX));
        let steering = mpsc::channel(INBOX);
        let (groups_inbox, tunnels_inbox) = (mpsc::channel(INBOX), mpsc::channel(INBOX));
        let (commands, commanded) = mpsc::channel(INBOX);
        let (interfaces, interfaces_seen) = watch::channel(Arc::default());
        let (others, others_seen) = watch::channel(Arc::default());
        let (doors, doors_seen) = watch::channel(Arc::<Doors>::default());
        let (scenes, scenes_seen) = watch::channel(Scenes::new());
        let (alone, alone_seen) = watch::channel(Alone::new());
        let (switched, switched_seen) = watch::channel(None);

        let installing = if config.fib.install {
            Installing::Yes
        } else {
            Installing::No
        };
        let ids: BTreeMap<_, _> = config
            .peers
            .keys()
            .cloned()
            .zip((1..).map(PeerId))
            .collect();
        let awaited = ids.values().copied().collect();
        let mut vital = JoinSet::new();
        let fib_task = fib::run(
            places.kernel,
            fib_inbox.1,
            steering.1,
            interfaces,
            others,
            installing,
            convert::via_default(&config.fib),
            switched,
            Arc::clone(&board),
        );
        vital.spawn(async move {
            fib_task.await;
            "fib"
        });
        let (drawn, drawn_seen) = watch::channel(BTreeSet::new());
        let rib_task = drivers::rib::run(
            Rib::new(rib_config),
            rib_inbox.1,
            fib_inbox.0.clone(),
            interfaces_seen.clone(),
            others_seen,
            awaited,
            telling,
            settled,
            drawn,
        );
        vital.spawn(async move {
            rib_task.await;
            "rib"
        });
        let groups_task = groups::run(
            groups_inbox.1,
            steering.0,
            rib_inbox.0.clone(),
            drawn_seen,
            scenes,
            alone,
            Arc::clone(&board),
        );
        vital.spawn(async move {
            groups_task.await;
            "groups"
        });
        let (severed, severed_seen) = watch::channel(Severed::new());
        let (paths, paths_seen) = watch::channel(PathMtus::new());
        let (bounds, bounds_seen) = watch::channel(Bounds::new());
        let tunnels_task = drivers::tunnels::run(
            places.tunnels,
            tunnels_inbox.1,
            severed,
            paths_seen,
            bounds,
            Arc::clone(&board),
        );
        vital.spawn(async move {
            tunnels_task.await;
            "tunnels"
        });

        let (bfd, bfd_task) = Bfd::start(interfaces_seen.clone(), Arc::clone(&board))
            .context("cannot start the BFD thread")?;
        vital.spawn(async move {
            bfd_task.await;
            "bfd"
        });
        let (probes, probes_ended) =
            Probes::start(Arc::clone(&board)).context("cannot start the thread that measures")?;
        vital.spawn(async move {
            probes_ended.await;
            "probes"
        });

        let applied = Applied {
            config: Arc::clone(&config),
            peers: BTreeMap::new(),
        };
        let around = Surroundings {
            scenes: scenes_seen,
            switched: switched_seen,
            groups: groups_inbox.0.clone(),
            board: Arc::clone(&board),
        };
        let reader = Reader {
            board,
            rib: rib_inbox.0,
            fib: fib_inbox.0,
            applied: Arc::new(Mutex::new(Arc::new(applied))),
            revision: Arc::new(AtomicU64::new(0)),
        };
        let gate = Gate {
            doors: doors_seen,
            callers: commands.clone(),
            counters: reader.board.counters.clone(),
        };
        tokio::spawn(drivers::costs::run(reader.clone()));
        tokio::spawn(drivers::symmetry::run(reader.clone()));
        tokio::spawn(grpc::serve(places.api, reader.clone(), commands));
        let metrics = places.metrics.map(|(address, listener)| {
            let task = tokio::spawn(metrics::serve(listener, reader.clone()));
            (address, task)
        });
        let accept = |(address, bound)| {
            let task = tokio::spawn(listener::run(bound, gate.clone()));
            (address, task)
        };
        let listeners: BTreeMap<_, _> = places.listeners.into_iter().map(accept).collect();

        let mut router = Self {
            file,
            config: Arc::clone(&config),
            filters: Filters::of(&config),
            reader,
            groups: groups_inbox.0,
            tunnels: tunnels_inbox.0,
            interfaces: interfaces_seen,
            severed: severed_seen,
            bounds: bounds_seen,
            paths,
            drained: watch::Sender::new(Drained::new()),
            alone: alone_seen,
            ordered: Drained::new(),
            bfd,
            probes,
            doors,
            gate,
            keys: intent.keys,
            modes: intent.modes,
            callers: BTreeMap::new(),
            listeners,
            metrics,
            peers: BTreeMap::new(),
            peer_tasks: JoinSet::new(),
            links: BTreeMap::new(),
            watched: BTreeMap::new(),
            vital,
            next_id: u32::try_from(ids.len()).unwrap_or(u32::MAX).wrapping_add(1),
            ids,
            commands: commanded,
            drills: Drills::new(around),
            restart: Restart::new(kept, is_settled),
            _routes: places.routes,
        };
        router.reader.board.retain(&config);
        if let Err(error) = traffic::clear().await {
            warn!(%error, "what an earlier drill left cannot be removed; it ends by itself");
        }
        router.set_tunnels(intent.tunnels).await;
        router.bfd.configure(intent.bfd);
        router.originate(&config).await;
        for name in config.peers.keys() {
            router.start_peer(name).await;
        }
        router.connect().await;
        router.commit("started");
        Ok(router)
    }

    /// Runs until told to stop by a signal, or until something vital ends.
    ///
    /// # Errors
    ///
    /// Something vital ended.
    pub(crate) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(ranges::LOOK);
        let farewell = loop {
            tokio::select! {
                _ = look.tick() => self.look_after_callers().await,
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        // What went wrong is in the log and the journal.
                        let _ = self.reload().await;
                    }
                    Signal::Stop => break Farewell::restart(),
                    Signal::Leave => break Farewell::from(Cease::AdministrativeShutdown).hard(),
                },
                Some(command) = self.commands.recv() => match command {
                    Command::Call(call) => self.on_call(call).await,
                    Command::Reset(reset, answer) => {
                        let done = self.reset(&reset).await;
                        let _ = answer.send(done);
                    }
                    Command::Drill(ordered, answer) => {
                        // The one who asked may be gone; then the drill ends.
                        let _ = answer.send(self.drill(ordered));
                    }
                    Command::Drain(emptied, answer) => {
                        let _ = answer.send(self.drain(emptied));
                    }
                    Command::EndDrill(answer) => {
                        let _ = answer.send(self.drills.end());
                    }
                    Command::Reload(answer) => {
                        let result = self.reload().await;
                        // The one who asked may be gone.
                        let _ = answer.send(result);
                    }
                },
                () = self.restart.over() => self.resume().await,
                Some(ended) = self.peer_tasks.join_next_with_id() => self.on_peer_end(ended).await,
                Some(ended) = self.vital.join_next() => match ended {
                    Ok(name) => bail!("the {name} task ended"),
                    Err(error) => bail!("a vital task failed: {error}"),
                },
            }
        };
        self.stop(&farewell).await;
        Ok(())
    }

    /// The restart is over: sessions from here on are ordinary ones.
    async fn resume(&self) {
        for (name, running) in &self.peers {
            let peer = self.config.peers.get(name);
            if let Some(session) = peer.and_then(|peer| self.session(peer)) {
                let _ = running.inbox.send(ToPeer::Reconfigure(session)).await;
            }
        }
    }

    /// Says goodbye to peers. Routes, nexthops and interfaces stay for the next start; traffic flows
    /// on where the kernel carries it.
    async fn stop(mut self, farewell: &Farewell) {
        info!("stopping; routes and tunnel interfaces stay in place");
        for task in self.listeners.values() {
            task.abort();
        }
        for link in self.links.values() {
            link.task.abort();
        }
        self.drills.abandon().await;
        // Sessions that end withdraw their routes: nobody may be left who would take them out of the
        // kernel.
        self.vital.shutdown().await;
        for peer in self.peers.values() {
            let _ = peer.inbox.send(ToPeer::End(farewell.clone())).await;
        }
        let goodbye = async { while self.peer_tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, goodbye).await.is_err() {
            warn!("not every peer could be told that we go");
        }
        // The last words of closing connections.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Makes the intent known, with the peers that have called.
    fn publish(&self) {
        let peers = self
            .peers
            .iter()
            .map(|(name, peer)| (peer.id, name.clone()))
            .collect();
        let applied = Applied {
            config: Arc::clone(&self.config),
            peers,
        };
        *self
            .reader
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(applied);
    }

    /// Numbers the intent and makes it known.
    fn commit(&self, what: &str) {
        self.publish();
        let revision = self.reader.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("revision {revision}: {what}");
        self.reader
            .board
            .journal
            .record(Severity::Info, "config-applied", "config", text);
    }

    async fn set_tunnels(&self, wanted: Vec<Wanted>) {
        let (done, is_done) = oneshot::channel();
        let sent = self.tunnels.send(TunnelsMessage { wanted, done }).await;
        if sent.is_ok() && timeout(TUNNELS, is_done).await.is_err() {
            warn!("the tunnels take long to come up; going on without them");
        }
    }

    async fn originate(&self, config: &Config) {
        let prefixes = config.originate.clone();
        let _ = self
            .reader
            .rib
            .send(RibMessage::Input(rib::Input::Originate(prefixes)))
            .await;
        let aggregates = RibMessage::Input(rib::Input::Aggregate(convert::aggregates(config)));
        let _ = self.reader.rib.send(aggregates).await;
    }
}
