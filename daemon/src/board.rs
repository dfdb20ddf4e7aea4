//! What the drivers have to show: one row a thing, written by the driver that owns it, read by API
//! and metrics. Locks are held for a copy, and never across an await.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant, SystemTime};

use bgp::session::{SessionStatus, State};
use links::mtu::Verdict;
use links::stamp::Unauthentic;
use links::{MoveReason, Quality, Rank, SessionTcp, bfd};
use tunnels::spec::{TunnelSpec, TunnelStatus};

use crate::counters::{Counters, StepCount};
use crate::drivers::bfd::Watched;
use crate::drivers::permit::Held;
use crate::fib::{Counts, Interface, Interfaces};
use crate::journal::Journal;
use crate::sockets::{Gauge, ao};

/// See the [module](self).
pub(crate) struct Board {
    pub(crate) journal: Journal,
    pub(crate) counters: Counters,
    pub(crate) started: SystemTime,
    rows: Mutex<Rows>,
}

/// A copy of everything that the drivers show.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    pub(crate) peers: BTreeMap<String, PeerRow>,
    pub(crate) links: BTreeMap<String, LinkRow>,
    /// Of peers on no link.
    pub(crate) bfd_of_peers: BTreeMap<String, bfd::Status>,
    pub(crate) groups: BTreeMap<String, GroupRow>,
    pub(crate) tunnels: Vec<(TunnelSpec, TunnelStatus)>,
    pub(crate) fib: FibRow,
    pub(crate) interfaces: Arc<Interfaces>,
    /// Why the file was refused when it was last read, if it was.
    pub(crate) refusal: Option<String>,
}

/// What a peer shows.
#[derive(Clone, Default, Debug)]
pub(crate) struct PeerRow {
    /// `None` until its task has said something.
    pub(crate) session: Option<SessionStatus>,
    /// Why no session is tried.
    pub(crate) held: Option<Held>,
    /// Both ends of its latest connection, ours first.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// What TCP-AO does for its connection, if it is signed by that.
    pub(crate) ao: Option<ao::Status>,
    /// A look at that connection, as long as it lasts.
    pub(crate) gauge: Weak<Gauge>,
}

/// What a link shows.
#[derive(Clone, Debug)]
pub(crate) struct LinkRow {
    /// `None` before the first verdict.
    pub(crate) state: Option<links::State>,
    pub(crate) since: SystemTime,
    pub(crate) reason: String,
    pub(crate) quality: Option<Quality>,
    /// Why what comes by STAMP is not taken for the far end's, if nothing else does.
    pub(crate) doubt: Option<Unauthentic>,
    /// `None` without a session.
    pub(crate) bfd: Option<bfd::Status>,
    /// Bytes; 0 while there is no interface.
    pub(crate) mtu: u32,
    /// What the path takes in one packet; `None` while it has not been looked at.
    pub(crate) path: Option<Verdict>,
    /// What the far side is told for the way back.
    pub(crate) preference: links::Preference,
    /// Until when it is failed on purpose.
    pub(crate) drill: Option<SystemTime>,
    /// What was sent has cost, since the start; 0 without a price.
    pub(crate) dollars: f64,
}

/// What a group shows.
#[derive(Clone, Default, Debug)]
pub(crate) struct GroupRow {
    /// Every link, best first.
    pub(crate) members: Vec<MemberRow>,
    /// Those that carry traffic.
    pub(crate) active: Vec<String>,
    pub(crate) moves: u64,
    pub(crate) last_move: Option<(SystemTime, MoveReason)>,
    /// The links by which most leaves and by which most comes, while these are two.
    pub(crate) asymmetric: Option<(String, String)>,
    /// How often that has begun.
    pub(crate) asymmetries: u64,
}

/// What a group shows of a link.
#[derive(Clone, Debug)]
pub(crate) struct MemberRow {
    pub(crate) link: String,
    pub(crate) state: links::State,
    pub(crate) rank: Rank,
    /// What it is judged by; empty while that is not known.
    pub(crate) figure: String,
    /// Why it carries traffic or does not.
    pub(crate) why: String,
}

/// What the FIB shows.
#[derive(Clone, Default, Debug)]
pub(crate) struct FibRow {
    pub(crate) counts: Counts,
    /// Empty when the last step worked.
    pub(crate) last_error: String,
    pub(crate) installing: bool,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            journal: Journal::new(),
            counters: Counters::default(),
            started: SystemTime::now(),
            rows: Mutex::default(),
        }
    }

    /// A copy of all rows.
    pub(crate) fn rows(&self) -> Rows {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps rows and series of what is configured, and of nothing else.
    pub(crate) fn retain(&self, config: &config::Config) {
        let mut rows = self.lock();
        rows.peers.retain(|name, _| config.peers.contains_key(name));
        rows.links.retain(|name, _| config.links.contains_key(name));
        rows.bfd_of_peers
            .retain(|name, _| config.peers.contains_key(name));
        rows.groups
            .retain(|name, _| config.groups.contains_key(name));
        for name in config.peers.keys() {
            rows.peers.entry(name.clone()).or_default();
        }
        for name in config.links.keys() {
            rows.links
                .entry(name.clone())
                .or_insert_with(LinkRow::unknown);
        }
        for name in config.groups.keys() {
            rows.groups.entry(name.clone()).or_default();
        }
    }

    pub(crate) fn peer_state(&self, peer: &str) -> Option<State> {
        self.lock()
            .peers
            .get(peer)?
            .session
            .as_ref()
            .map(|status| status.state)
    }

    /// What a peer shows, if it is configured.
    pub(crate) fn peer(&self, peer: &str) -> Option<PeerRow> {
        self.lock().peers.get(peer).cloned()
    }

    /// What there is of the session of a peer, and how its TCP connection stands.
    pub(crate) fn session_tcp(&self, peer: &str) -> SessionTcp {
        let row = self.peer(peer).unwrap_or_default();
        match row.session.map_or(State::Idle, |status| status.state) {
            State::Idle | State::Connect | State::Active => SessionTcp::Absent,
            State::OpenSent | State::OpenConfirm | State::Established => {
                let read = row.gauge.upgrade().and_then(|gauge| gauge.read());
                read.map_or(SessionTcp::Forming, SessionTcp::Established)
            }
        }
    }

    pub(crate) fn set_peer(&self, peer: &str, shown: PeerRow) {
        if let Some(row) = self.lock().peers.get_mut(peer) {
            *row = shown;
        }
    }

    /// Counts it, unless the peer is no longer configured: its task outlives it by its last words.
    pub(crate) fn peer_changed(&self, peer: &str, to: &'static str) {
        if self.lock().peers.contains_key(peer) {
            self.counters.transition(peer, to);
        }
    }

    fn with_link(&self, link: &str, change: impl FnOnce(&mut LinkRow)) {
        if let Some(row) = self.lock().links.get_mut(link) {
            change(row);
        }
    }

    pub(crate) fn set_link_state(&self, link: &str, state: links::State, reason: String) {
        self.with_link(link, |row| {
            if row.state != Some(state) {
                row.since = SystemTime::now();
            }
            row.state = Some(state);
            row.reason = reason;
        });
    }

    pub(crate) fn link_state(&self, link: &str) -> Option<links::State> {
        self.lock().links.get(link)?.state
    }

    pub(crate) fn set_preference(&self, link: &str, preference: links::Preference) {
        self.with_link(link, |row| row.preference = preference);
    }

    pub(crate) fn set_quality(&self, link: &str, quality: Quality) {
        self.with_link(link, |row| row.quality = Some(quality));
    }

    /// What it has to say about the far end's key, and what it had.
    pub(crate) fn set_doubt(&self, link: &str, doubt: Option<Unauthentic>) -> Option<Unauthentic> {
        let mut rows = self.lock();
        let row = rows.links.get_mut(link)?;
        std::mem::replace(&mut row.doubt, doubt)
    }

    pub(crate) fn set_bfd(&self, watched: &Watched, status: Option<bfd::Status>) {
        self.lock().set_bfd(watched, status);
    }

    /// The same of all sessions, unless somebody is looking just then: neighbours do not wait for that.
    pub(crate) fn try_set_bfd<'a>(
        &self,
        all: impl Iterator<Item = (&'a Watched, Option<bfd::Status>)>,
    ) {
        let mut rows = match self.rows.try_lock() {
            Ok(rows) => rows,
            Err(TryLockError::Poisoned(rows)) => rows.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        all.for_each(|(watched, status)| rows.set_bfd(watched, status));
    }

    pub(crate) fn set_interface(&self, link: &str, interface: Option<&Interface>) {
        self.with_link(link, |row| {
            row.mtu = interface.map_or(0, |interface| interface.mtu)
        });
    }

    /// What a link has found out about its path, and what was known before.
    pub(crate) fn set_path(&self, link: &str, verdict: Verdict) -> Option<Verdict> {
        let mut rows = self.lock();
        let row = rows.links.get_mut(link)?;
        row.path.replace(verdict)
    }

    /// What its path takes is not known any more.
    pub(crate) fn forget_path(&self, link: &str) {
        self.with_link(link, |row| row.path = None);
    }

    pub(crate) fn set_drill(&self, link: &str, until: Option<SystemTime>) {
        self.with_link(link, |row| row.drill = until);
    }

    pub(crate) fn set_dollars(&self, link: &str, dollars: f64) {
        self.with_link(link, |row| row.dollars = dollars);
    }

    pub(crate) fn rtt(&self, link: &str, rtt: Duration) {
        self.counters.rtt(link, rtt);
    }

    pub(crate) fn set_group(&self, group: &str, members: Vec<MemberRow>, active: Vec<String>) {
        if let Some(row) = self.lock().groups.get_mut(group) {
            row.members = members;
            row.active = active;
        }
    }

    pub(crate) fn group_moved(&self, group: &str, reason: MoveReason) {
        self.counters.group_moved(group, reason.label());
        if let Some(row) = self.lock().groups.get_mut(group) {
            row.moves += 1;
            row.last_move = Some((SystemTime::now(), reason));
        }
    }

    /// - `links`: by which most leaves, and by which most comes
    pub(crate) fn set_asymmetric(&self, group: &str, links: Option<(String, String)>) {
        if let Some(row) = self.lock().groups.get_mut(group) {
            row.asymmetries += u64::from(links.is_some());
            row.asymmetric = links;
        }
    }

    pub(crate) fn set_tunnels(&self, specs: Vec<TunnelSpec>, statuses: Vec<TunnelStatus>) {
        self.lock().tunnels = specs.into_iter().zip(statuses).collect();
    }

    pub(crate) fn set_fib(&self, row: FibRow) {
        self.lock().fib = row;
    }

    pub(crate) fn set_interfaces(&self, interfaces: Arc<Interfaces>) {
        self.lock().interfaces = interfaces;
    }

    pub(crate) fn set_refusal(&self, refusal: Option<String>) {
        self.lock().refusal = refusal;
    }

    pub(crate) fn fib_steps(&self, kind: &'static str, count: StepCount) {
        self.counters.fib_steps(kind, count);
    }

    pub(crate) fn failover(&self, took: Duration) {
        self.counters.failover(took);
    }
}

impl Rows {
    fn set_bfd(&mut self, watched: &Watched, status: Option<bfd::Status>) {
        match (watched, status) {
            (Watched::Link(link), status) => {
                if let Some(row) = self.links.get_mut(link) {
                    row.bfd = status;
                }
            }
            (Watched::Peer(peer), None) => {
                self.bfd_of_peers.remove(peer);
            }
            (Watched::Peer(peer), Some(status)) => {
                if self.peers.contains_key(peer) {
                    self.bfd_of_peers.insert(peer.clone(), status);
                }
            }
        }
    }
}

impl LinkRow {
    fn unknown() -> Self {
        Self {
            state: None,
            since: SystemTime::now(),
            reason: "not measured yet".to_owned(),
            quality: None,
            doubt: None,
            bfd: None,
            mtu: 0,
            path: None,
            preference: links::Preference::default(),
            drill: None,
            dollars: 0.0,
        }
    }
}

/// The wall-clock time of a monotonic one.
pub(crate) fn at(instant: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(instant.elapsed()).unwrap_or(now)
}
