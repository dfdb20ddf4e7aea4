//! The composition root: owns the intent, starts the drivers, carries changes of the intent to
//! them, and ends them in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bgp::PeerId;
use bgp::rib::{self, Rib};
use bgp::session::Cease;
use config::{Change, Config, RouterField};
use links::LinkId;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{error, info, warn};
use tunnels::backend::Linux;

use crate::board::Board;
use crate::convert;
use crate::drivers::fib::Installing;
use crate::drivers::groups::{GroupsMessage, Place, Topology};
use crate::drivers::link::{Link, LinkConfig};
use crate::drivers::listener::Doors;
use crate::drivers::peer::{Peer, ToPeer};
use crate::drivers::rib::RibMessage;
use crate::drivers::tunnels::{TunnelsMessage, Wanted};
use crate::drivers::{self, fib, groups, link, listener, peer, seed};
use crate::fib::{Interfaces, Netlink};
use crate::journal::Severity;
use crate::snapshot::{Applied, Reader};
use crate::{grpc, metrics, sockets};

/// Messages a task may have waiting.
const INBOX: usize = 64;
/// How long the first look at the tunnels may take before routing starts without them.
const TUNNELS: Duration = Duration::from_secs(5);
/// How long peers may take to hear that we go.
const FAREWELL: Duration = Duration::from_secs(2);
/// After a fault of the program in a peer task.
const RESTART: Duration = Duration::from_secs(1);

/// What the router is told from outside.
pub(crate) enum Command {
    /// Read the file again.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
}

/// What a reload did.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) revision: u64,
    /// One line a change.
    pub(crate) changes: Vec<String>,
}

/// An intent with everything that had to be read from elsewhere for it.
pub(crate) struct Intent {
    pub(crate) config: Config,
    tunnels: Vec<Wanted>,
    warnings: config::Report,
}

impl Intent {
    /// Reads and checks a file, and the secrets that it names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, ready to be shown.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let loaded = config::load(&text, &file.display().to_string())
            .map_err(|report| report.to_string())?;
        let base = file.parent().unwrap_or(Path::new("."));
        let tunnels = convert::tunnels(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        Ok(Self {
            config: loaded.config,
            tunnels,
            warnings: loaded.warnings,
        })
    }

    /// Says what is allowed and yet doubtful. The file has to be read before there is a log.
    fn warn(&self) {
        for finding in self.warnings.findings() {
            warn!(
                rule = finding.rule,
                line = finding.line,
                "{}",
                finding.message
            );
        }
    }
}

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
    reader: Reader,
    groups: mpsc::Sender<GroupsMessage>,
    tunnels: mpsc::Sender<TunnelsMessage>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    doors: watch::Sender<Doors>,
    listeners: BTreeMap<SocketAddr, JoinHandle<()>>,
    metrics: Option<(SocketAddr, JoinHandle<()>)>,
    peers: BTreeMap<String, RunningPeer>,
    peer_tasks: JoinSet<()>,
    links: BTreeMap<String, RunningLink>,
    /// RIB, FIB, groups and tunnels: their end is the end of the process.
    vital: JoinSet<&'static str>,
    /// The peers' names within the process. One that goes and returns is another.
    ids: BTreeMap<String, PeerId>,
    next_id: u32,
    commands: mpsc::Receiver<Command>,
}

/// What is taken before anything is changed: if one of these fails, nothing has happened.
struct Places {
    listeners: Vec<(SocketAddr, TcpListener)>,
    metrics: Option<(SocketAddr, TcpListener)>,
    api: tokio::net::UnixListener,
    kernel: Netlink,
    tunnels: Linux,
}

impl Places {
    async fn take(config: &Config) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for address in &config.router.listen {
            listeners.push((*address, listen(*address)?));
        }
        let metrics = match config.metrics.listen {
            Some(address) => Some((address, listen_for_scrapes(address).await?)),
            None => None,
        };
        let api = grpc::listen(&config.api.socket).await?;
        let kernel = Netlink::open(config.fib.table, config.fib.metric)
            .context("cannot open a netlink socket to the kernel's routing tables")?;
        let tunnels = Linux::open().context("cannot open a netlink socket for tunnels")?;
        Ok(Self {
            listeners,
            metrics,
            api,
            kernel,
            tunnels,
        })
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    sockets::listen(address).map_err(|error| {
        let kind = error.kind();
        let remedy = if kind == std::io::ErrorKind::AddrInUse {
            "another BGP daemon has it: stop it, or set [router] listen to another address"
        } else if kind == std::io::ErrorKind::PermissionDenied {
            "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or from the packaged unit"
        } else if kind == std::io::ErrorKind::AddrNotAvailable {
            "no interface has that address: correct [router] listen"
        } else {
            "set [router] listen to another address"
        };
        anyhow::anyhow!("cannot accept BGP connections on {address}: {error}; {remedy}")
    })
}

async fn listen_for_scrapes(address: SocketAddr) -> anyhow::Result<TcpListener> {
    metrics::listen(address).await.with_context(|| {
        format!("cannot serve metrics on {address}: set [metrics] listen to a free address, or to \"off\"")
    })
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
        let Some(rib_config) = convert::rib(&config, seed()) else {
            bail!("router.id is 0.0.0.0")
        };

        let board = Arc::new(Board::new());
        let (rib_inbox, fib_inbox) = (mpsc::channel(INBOX), mpsc::channel(INBOX));
        let (groups_inbox, tunnels_inbox) = (mpsc::channel(INBOX), mpsc::channel(INBOX));
        let (commands, commanded) = mpsc::channel(INBOX);
        let (interfaces, interfaces_seen) = watch::channel(Arc::default());
        let (doors, doors_seen) = watch::channel(Doors::default());

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
            interfaces,
            installing,
            Arc::clone(&board),
        );
        vital.spawn(async move {
            fib_task.await;
            "fib"
        });
        let rib_task = drivers::rib::run(
            Rib::new(rib_config),
            rib_inbox.1,
            fib_inbox.0.clone(),
            interfaces_seen.clone(),
            awaited,
        );
        vital.spawn(async move {
            rib_task.await;
            "rib"
        });
        let groups_task = groups::run(
            groups_inbox.1,
            fib_inbox.0.clone(),
            rib_inbox.0.clone(),
            Arc::clone(&board),
        );
        vital.spawn(async move {
            groups_task.await;
            "groups"
        });
        let tunnels_task =
            drivers::tunnels::run(places.tunnels, tunnels_inbox.1, Arc::clone(&board));
        vital.spawn(async move {
            tunnels_task.await;
            "tunnels"
        });

        let applied = Applied {
            config: Arc::clone(&config),
            peers: BTreeMap::new(),
        };
        let reader = Reader {
            board,
            rib: rib_inbox.0,
            fib: fib_inbox.0,
            applied: Arc::new(Mutex::new(Arc::new(applied))),
            revision: Arc::new(AtomicU64::new(0)),
        };
        tokio::spawn(grpc::serve(places.api, reader.clone(), commands));
        let metrics = places.metrics.map(|(address, listener)| {
            let task = tokio::spawn(metrics::serve(listener, reader.clone()));
            (address, task)
        });
        let accept = |(address, listener)| {
            (
                address,
                tokio::spawn(listener::run(listener, doors_seen.clone())),
            )
        };
        let listeners = places.listeners.into_iter().map(accept).collect();

        let mut router = Self {
            file,
            config: Arc::clone(&config),
            reader,
            groups: groups_inbox.0,
            tunnels: tunnels_inbox.0,
            interfaces: interfaces_seen,
            doors,
            listeners,
            metrics,
            peers: BTreeMap::new(),
            peer_tasks: JoinSet::new(),
            links: BTreeMap::new(),
            vital,
            next_id: u32::try_from(ids.len()).unwrap_or(u32::MAX).wrapping_add(1),
            ids,
            commands: commanded,
        };
        router.reader.board.retain(&config);
        router.set_tunnels(intent.tunnels).await;
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
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        // What went wrong is in the log and the journal.
                        let _ = self.reload().await;
                    }
                    Signal::Stop => break,
                },
                Some(command) = self.commands.recv() => match command {
                    Command::Reload(answer) => {
                        let result = self.reload().await;
                        // The one who asked may be gone.
                        let _ = answer.send(result);
                    }
                },
                Some(ended) = self.peer_tasks.join_next_with_id() => self.on_peer_end(ended).await,
                Some(ended) = self.vital.join_next() => match ended {
                    Ok(name) => bail!("the {name} task ended"),
                    Err(error) => bail!("a vital task failed: {error}"),
                },
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Says goodbye to peers. Routes, nexthops and interfaces stay for the next start; traffic flows
    /// on where the kernel carries it.
    async fn stop(mut self) {
        info!("stopping; routes and tunnel interfaces stay in place");
        for task in self.listeners.values() {
            task.abort();
        }
        for link in self.links.values() {
            link.task.abort();
        }
        // Sessions that end withdraw their routes: nobody may be left who would take them out of the
        // kernel.
        self.vital.shutdown().await;
        for peer in self.peers.values() {
            let _ = peer
                .inbox
                .send(ToPeer::End(Cease::AdministrativeShutdown))
                .await;
        }
        let farewell = async { while self.peer_tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            warn!("not every peer could be told that we go");
        }
        // The last words of closing connections.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Reads the file again and carries out what differs. A wrong file changes nothing.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        let result = match Intent::read(&self.file) {
            Ok(intent) => self.apply(intent).await,
            Err(errors) => Err(errors),
        };
        let first = |errors: &String| errors.lines().next().unwrap_or_default().to_owned();
        self.reader
            .board
            .set_refusal(result.as_ref().err().map(first));
        match &result {
            Ok(reloaded) if reloaded.changes.is_empty() => info!("reloaded: nothing changed"),
            Ok(_) => {}
            Err(errors) => {
                error!("the file is refused, nothing changed:\n{errors}");
                let journal = &self.reader.board.journal;
                journal.record(Severity::Warning, "config-refused", "config", first(errors));
            }
        }
        result
    }

    async fn apply(&mut self, intent: Intent) -> Result<Reloaded, String> {
        intent.warn();
        let new = Arc::new(intent.config);
        let changes = config::diff(&self.config, &new);
        let refused: Vec<_> = changes
            .iter()
            .filter(|change| needs_restart(change))
            .map(ToString::to_string)
            .collect();
        if !refused.is_empty() {
            return Err(format!(
                "these changes need a restart of skybridged:\n  {}",
                refused.join("\n  ")
            ));
        }
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        let revision = self.reader.revision.load(Ordering::Relaxed);
        if lines.is_empty() {
            return Ok(Reloaded {
                revision,
                changes: lines,
            });
        }
        self.take_places(&new).await?;
        let old = std::mem::replace(&mut self.config, Arc::clone(&new));
        self.reader.board.retain(&new);
        self.carry_out(&changes, &old, intent.tunnels).await;
        for line in &lines {
            info!("{line}");
        }
        self.commit(&lines.join("; "));
        Ok(Reloaded {
            revision: revision + 1,
            changes: lines,
        })
    }

    /// Takes what may not be had, before anything else changes; gives back what was taken if
    /// something cannot.
    async fn take_places(&mut self, new: &Config) -> Result<(), String> {
        let taken = self.try_places(new).await;
        if taken.is_err() {
            let old = Arc::clone(&self.config);
            if let Err(error) = self.try_places(&old).await {
                error!(error, "cannot go back to what was");
            }
        }
        taken
    }

    async fn try_places(&mut self, config: &Config) -> Result<(), String> {
        crate::log::change(&config.log).map_err(|error| error.to_string())?;
        self.set_listeners(&config.router.listen).await?;
        self.set_metrics(config.metrics.listen).await
    }

    async fn carry_out(&mut self, changes: &[Change], old: &Config, tunnels: Vec<Wanted>) {
        // Whoever leaves says so while there is still a tunnel to say it through.
        for change in changes {
            if let Change::PeerRemoved(name) = change {
                self.end_peer(name, Cease::PeerDeconfigured).await;
            } else if let Change::LinkRemoved(name) = change {
                self.end_link(name).await;
                self.reader.board.counters.forget_link(name);
            }
        }
        self.set_tunnels(tunnels).await;
        let mut changed = BTreeSet::new();
        for change in changes {
            match change {
                Change::PeerAdded(name) => self.start_peer(name).await,
                // A peer may be reached differently when its link has changed.
                Change::PeerChanged { name, .. } | Change::LinkChanged { name, .. } => {
                    changed.insert(name.as_str());
                }
                Change::OriginateChanged { .. } => {
                    let config = Arc::clone(&self.config);
                    self.originate(&config).await;
                }
                // Filters reach the RIB with the peers that use them, links and groups all at once,
                // below; the others have been seen to.
                Change::FilterAdded(_)
                | Change::FilterChanged(_)
                | Change::FilterRemoved(_)
                | Change::LinkAdded(_)
                | Change::LinkRemoved(_)
                | Change::PeerRemoved(_)
                | Change::GroupAdded(_)
                | Change::GroupChanged { .. }
                | Change::GroupRemoved(_)
                | Change::ListenChanged(_)
                | Change::LogChanged(_)
                | Change::MetricsChanged(_)
                | Change::ApiChanged(_)
                | Change::FibChanged(_)
                | Change::RouterChanged { .. } => {}
            }
        }
        for name in changed {
            self.change_peer(name, old).await;
        }
        // Cheap for the RIB where nothing changed.
        for (name, running) in &self.peers {
            if let Some(peer) = self.config.peers.get(name) {
                let peer = convert::rib_peer(&self.config, peer, running.id);
                let _ = self
                    .reader
                    .rib
                    .send(RibMessage::Input(rib::Input::Configure(peer)))
                    .await;
            }
        }
        self.connect().await;
    }

    /// Numbers the intent and makes it known.
    fn commit(&self, what: &str) {
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
        let revision = self.reader.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("revision {revision}: {what}");
        self.reader
            .board
            .journal
            .record(Severity::Info, "config-applied", "config", text);
    }

    fn next_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
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
    }

    async fn start_peer(&mut self, name: &str) {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => PeerId(self.next_id()),
        };
        self.ids.insert(name.to_owned(), id);
        let config = Arc::clone(&self.config);
        let Some(peer) = config.peers.get(name) else {
            return;
        };
        let Some(session) = convert::session(&config, peer) else {
            return;
        };
        let (inbox, inbox_seen) = mpsc::channel(INBOX);
        let rib_peer = convert::rib_peer(&config, peer, id);
        let configure = RibMessage::Input(rib::Input::Configure(rib_peer));
        let _ = self.reader.rib.send(configure).await;
        let _ = self
            .reader
            .rib
            .send(RibMessage::Attach(id, inbox.clone()))
            .await;
        let task = Peer {
            id,
            name: name.to_owned(),
            endpoint: convert::endpoint(&config, peer),
            session,
            rib: self.reader.rib.clone(),
            board: Arc::clone(&self.reader.board),
        };
        let task = self.peer_tasks.spawn(peer::run(task, inbox_seen)).id();
        if peer.link.is_none() {
            // A peer on a link waits for the link.
            let _ = inbox.send(ToPeer::Start).await;
        }
        self.peers
            .insert(name.to_owned(), RunningPeer { id, inbox, task });
    }

    async fn end_peer(&mut self, name: &str, cease: Cease) {
        let Some(running) = self.peers.remove(name) else {
            return;
        };
        self.ids.remove(name);
        let _ = running.inbox.send(ToPeer::End(cease)).await;
        let _ = self
            .reader
            .rib
            .send(RibMessage::Input(rib::Input::Remove(running.id)))
            .await;
        self.reader.board.counters.forget_peer(name);
    }

    async fn change_peer(&mut self, name: &str, old: &Config) {
        let (Some(new_peer), Some(old_peer)) = (self.config.peers.get(name), old.peers.get(name))
        else {
            return;
        };
        let moved = convert::endpoint(&self.config, new_peer) != convert::endpoint(old, old_peer);
        if moved || new_peer.asn != old_peer.asn {
            self.end_peer(name, Cease::OtherConfigurationChange).await;
            self.start_peer(name).await;
        } else if let Some(session) = convert::session(&self.config, new_peer)
            && let Some(running) = self.peers.get(name)
        {
            let _ = running.inbox.send(ToPeer::Reconfigure(session)).await;
        }
    }

    /// A task that ended by itself has panicked; one that was told to is no longer listed.
    async fn on_peer_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((name, running)) = self.peers.iter().find(|(_, running)| running.task == id)
        else {
            return;
        };
        let name = name.clone();
        error!(
            peer = name,
            "a fault in the program ended the session; starting it again"
        );
        self.reader.board.counters.restart();
        let down = RibMessage::Input(rib::Input::Down(running.id));
        let _ = self.reader.rib.send(down).await;
        tokio::time::sleep(RESTART).await;
        self.start_peer(&name).await;
        self.connect().await;
    }

    /// Its sockets are free when this returns.
    async fn end_link(&mut self, name: &str) {
        if let Some(running) = self.links.remove(name) {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    /// Starts the links that are not running as they should, and tells everyone who is connected
    /// to whom. A link that is measured in another way keeps its identity, and with it its state
    /// until it is known anew.
    async fn connect(&mut self) {
        let config = Arc::clone(&self.config);
        let mut ids = BTreeMap::new();
        let mut fresh = Vec::new();
        for (name, link) in &config.links {
            let running = self.links.get(name).map(|running| running.id);
            let id = running.unwrap_or_else(|| LinkId(self.next_id()));
            ids.insert(name, id);
            let wanted = convert::link(&config, link, id);
            if self
                .links
                .get(name)
                .is_none_or(|running| running.config != wanted)
            {
                self.end_link(name).await;
                fresh.push((name.clone(), id, wanted));
            }
        }
        let places = config.links.iter().filter_map(|(name, link)| {
            let on_link = |peer: &config::model::Peer| peer.link.as_ref() == Some(name);
            let peer = config.peers.get(name).filter(|peer| on_link(peer));
            let peer = peer.and_then(|_| self.peers.get(name));
            let place = Place {
                id: *ids.get(name)?,
                interface: link.interface.clone(),
                group: link.group.clone(),
                priority: link.priority,
                peer: peer.map(|running| (running.id, running.inbox.clone())),
            };
            Some((name.clone(), place))
        });
        let topology = Topology {
            links: places.collect(),
            groups: convert::groups(&config),
        };
        let _ = self.groups.send(GroupsMessage::Configure(topology)).await;
        for (name, id, wanted) in fresh {
            let link = Link {
                name: name.clone(),
                config: wanted.clone(),
                groups: self.groups.clone(),
                interfaces: self.interfaces.clone(),
                board: Arc::clone(&self.reader.board),
            };
            let task = tokio::spawn(link::run(link));
            let config = wanted;
            self.links.insert(name, RunningLink { id, config, task });
        }
        let doors = self.peers.iter().filter_map(|(name, running)| {
            Some((config.peers.get(name)?.address, running.inbox.clone()))
        });
        let doors: BTreeMap<IpAddr, _> = doors.collect();
        self.doors.send_replace(Arc::new(doors));
    }

    /// Listens on these, and on no others. An address is free only when the task that listened there
    /// has ended.
    async fn set_listeners(&mut self, wanted: &[SocketAddr]) -> Result<(), String> {
        let known: Vec<_> = self.listeners.keys().copied().collect();
        for address in known.iter().filter(|address| !wanted.contains(address)) {
            if let Some(task) = self.listeners.remove(address) {
                task.abort();
                let _ = task.await;
            }
        }
        for address in wanted {
            if !self.listeners.contains_key(address) {
                let listener = listen(*address).map_err(|error| error.to_string())?;
                let task = tokio::spawn(listener::run(listener, self.doors.subscribe()));
                self.listeners.insert(*address, task);
            }
        }
        Ok(())
    }

    async fn set_metrics(&mut self, wanted: Option<SocketAddr>) -> Result<(), String> {
        if self.metrics.as_ref().map(|(address, _)| *address) == wanted {
            return Ok(());
        }
        if let Some((_, task)) = self.metrics.take() {
            task.abort();
            let _ = task.await;
        }
        if let Some(address) = wanted {
            let listener = listen_for_scrapes(address)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let task = tokio::spawn(metrics::serve(listener, self.reader.clone()));
            self.metrics = Some((address, task));
        }
        Ok(())
    }
}

fn needs_restart(change: &Change) -> bool {
    match change {
        Change::RouterChanged { field, .. } => RouterField::needs_restart(*field),
        Change::FibChanged(_) | Change::ApiChanged(_) => true,
        Change::FilterAdded(_)
        | Change::FilterChanged(_)
        | Change::FilterRemoved(_)
        | Change::GroupAdded(_)
        | Change::GroupChanged { .. }
        | Change::GroupRemoved(_)
        | Change::LinkAdded(_)
        | Change::LinkChanged { .. }
        | Change::LinkRemoved(_)
        | Change::ListenChanged(_)
        | Change::LogChanged(_)
        | Change::MetricsChanged(_)
        | Change::OriginateChanged { .. }
        | Change::PeerAdded(_)
        | Change::PeerChanged { .. }
        | Change::PeerRemoved(_) => false,
    }
}

/// What the process is asked by signals.
pub(crate) struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

enum Signal {
    Reload,
    Stop,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn catch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
        }
    }
}
