//! The composition root: owns the intent, starts the drivers, carries changes of the intent to
//! them, and ends them in order.

use std::collections::BTreeMap;
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
use crate::drivers::link::Link;
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
        for finding in loaded.warnings.findings() {
            warn!(
                rule = finding.rule,
                line = finding.line,
                "{}",
                finding.message
            );
        }
        let base = file.parent().unwrap_or(Path::new("."));
        let tunnels = convert::tunnels(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        Ok(Self {
            config: loaded.config,
            tunnels,
        })
    }
}

struct RunningPeer {
    id: PeerId,
    inbox: mpsc::Sender<ToPeer>,
    task: Id,
}

struct RunningLink {
    id: LinkId,
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
    metrics: Option<JoinHandle<()>>,
    peers: BTreeMap<String, RunningPeer>,
    peer_tasks: JoinSet<()>,
    links: BTreeMap<String, RunningLink>,
    /// RIB and FIB: their end is the end of the process.
    vital: JoinSet<&'static str>,
    /// The peers' names within the process. One that goes and returns is another.
    ids: BTreeMap<String, PeerId>,
    next_id: u32,
    commands: mpsc::Receiver<Command>,
}

/// What is taken before anything is changed: if one of these fails, nothing has happened.
struct Places {
    listeners: Vec<(SocketAddr, TcpListener)>,
    metrics: Option<TcpListener>,
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
            Some(address) => Some(metrics::listen(address).await.with_context(|| {
                format!("cannot serve metrics on {address}: set [metrics] listen to a free address, or to \"off\"")
            })?),
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
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another BGP daemon has it: stop it, or set [router] listen to another address"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or from the packaged unit"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "no interface has that address: correct [router] listen"
            }
            _ => "set [router] listen to another address",
        };
        anyhow::anyhow!("cannot accept BGP connections on {address}: {error}; {remedy}")
    })
}

impl Router {
    /// Starts everything.
    ///
    /// # Errors
    ///
    /// Something that the intent needs cannot be had; nothing has been changed then.
    pub(crate) async fn start(file: PathBuf, intent: Intent) -> anyhow::Result<Self> {
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
        tokio::spawn(groups::run(
            groups_inbox.1,
            fib_inbox.0.clone(),
            rib_inbox.0.clone(),
            Arc::clone(&board),
        ));
        tokio::spawn(drivers::tunnels::run(
            places.tunnels,
            tunnels_inbox.1,
            Arc::clone(&board),
        ));

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
        let metrics = places
            .metrics
            .map(|listener| tokio::spawn(metrics::serve(listener, reader.clone())));
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
        let old = std::mem::replace(&mut self.config, Arc::clone(&new));
        self.reader.board.retain(&new);
        self.carry_out(&changes, &old, intent.tunnels).await?;
        for line in &lines {
            info!("{line}");
        }
        self.commit(&lines.join("; "));
        Ok(Reloaded {
            revision: revision + 1,
            changes: lines,
        })
    }

    async fn carry_out(
        &mut self,
        changes: &[Change],
        old: &Config,
        tunnels: Vec<Wanted>,
    ) -> Result<(), String> {
        let mut trouble = Vec::new();
        self.set_tunnels(tunnels).await;
        for change in changes {
            match change {
                Change::PeerAdded(name) => self.start_peer(name).await,
                Change::PeerRemoved(name) => self.end_peer(name, Cease::PeerDeconfigured).await,
                Change::PeerChanged { name, .. } => self.change_peer(name, old).await,
                Change::LinkRemoved(name) => self.end_link(name),
                Change::LinkChanged { name, .. } => {
                    // Its task is made anew by `connect`; the peer may be reached differently.
                    self.end_link(name);
                    self.change_peer(name, old).await;
                }
                Change::ListenChanged(_) => trouble.extend(self.change_listeners()),
                Change::MetricsChanged(_) => trouble.extend(self.change_metrics().await),
                Change::OriginateChanged { .. } => {
                    let config = Arc::clone(&self.config);
                    self.originate(&config).await;
                }
                // Filters reach the RIB with the peers that use them, below.
                Change::FilterAdded(_) | Change::FilterChanged(_) | Change::FilterRemoved(_) => {}
                Change::LinkAdded(_)
                | Change::GroupAdded(_)
                | Change::GroupChanged { .. }
                | Change::GroupRemoved(_) => {}
                Change::LogChanged(_) => {
                    let log = &self.config.log;
                    trouble.extend(crate::log::change(log).err().map(|error| error.to_string()));
                }
                Change::ApiChanged(_) | Change::FibChanged(_) | Change::RouterChanged { .. } => {}
            }
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
        if trouble.is_empty() {
            Ok(())
        } else {
            Err(trouble.join("\n"))
        }
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

    fn end_link(&mut self, name: &str) {
        if let Some(running) = self.links.remove(name) {
            running.task.abort();
            self.reader.board.counters.forget_link(name);
        }
    }

    /// Starts the links that are not running, and tells everyone who is connected to whom.
    async fn connect(&mut self) {
        let config = Arc::clone(&self.config);
        let missing: Vec<_> = config
            .links
            .keys()
            .filter(|name| !self.links.contains_key(*name))
            .cloned()
            .collect();
        let fresh: Vec<_> = missing
            .into_iter()
            .map(|name| (name, LinkId(self.next_id())))
            .collect();
        let places = config.links.iter().filter_map(|(name, link)| {
            let running = self.links.get(name).map(|running| running.id);
            let id =
                running.or_else(|| fresh.iter().find(|(n, _)| n == name).map(|(_, id)| *id))?;
            let on_link = |peer: &config::model::Peer| peer.link.as_ref() == Some(name);
            let peer = config.peers.get(name).filter(|peer| on_link(peer));
            let peer = peer.and_then(|_| self.peers.get(name));
            let place = Place {
                id,
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
        for (name, id) in fresh {
            if let Some(link) = config.links.get(&name) {
                let task = Link {
                    name: name.clone(),
                    interface: link.interface.clone(),
                    local: link.inside.local.addr(),
                    remote: link.inside.remote,
                    probe: convert::probe(link, id),
                    health: convert::health(&config, link),
                    groups: self.groups.clone(),
                    interfaces: self.interfaces.clone(),
                    board: Arc::clone(&self.reader.board),
                };
                self.links.insert(
                    name,
                    RunningLink {
                        id,
                        task: tokio::spawn(link::run(task)),
                    },
                );
            }
        }
        let doors = self.peers.iter().filter_map(|(name, running)| {
            Some((config.peers.get(name)?.address, running.inbox.clone()))
        });
        let doors: BTreeMap<IpAddr, _> = doors.collect();
        self.doors.send_replace(Arc::new(doors));
    }

    fn change_listeners(&mut self) -> Vec<String> {
        let wanted = &self.config.router.listen;
        self.listeners.retain(|address, task| {
            let stays = wanted.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        let mut trouble = Vec::new();
        for address in wanted {
            if self.listeners.contains_key(address) {
                continue;
            }
            match listen(*address) {
                Ok(listener) => {
                    let task = tokio::spawn(listener::run(listener, self.doors.subscribe()));
                    self.listeners.insert(*address, task);
                }
                Err(error) => trouble.push(error.to_string()),
            }
        }
        trouble
    }

    async fn change_metrics(&mut self) -> Option<String> {
        if let Some(task) = self.metrics.take() {
            task.abort();
            // The address is free only when the task has ended.
            let _ = task.await;
        }
        let address = self.config.metrics.listen?;
        match metrics::listen(address).await {
            Ok(listener) => {
                self.metrics = Some(tokio::spawn(metrics::serve(listener, self.reader.clone())));
                None
            }
            Err(error) => Some(format!("cannot serve metrics on {address}: {error}")),
        }
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
