//! Everything there is to show, taken at one moment: what API and metrics render.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bgp::rib::{Asked, PeerCounts, Preference};
use bgp::session::{SessionStatus, State};
use bgp::{Family, PeerId};
use config::Config;
use links::bfd;
use tokio::sync::mpsc;
use tunnels::spec::{TunnelSpec, TunnelStatus};

use crate::board::{Board, FibRow, GroupRow, LinkRow};
use crate::drivers::messages::{FibMessage, RibMessage};
use crate::drivers::permit::Held;
use crate::drivers::rib;
use crate::fib;
use crate::sockets::ao;

/// The intent as last applied, and the names given to its peers.
pub(crate) struct Applied {
    pub(crate) config: Arc<Config>,
    pub(crate) peers: BTreeMap<PeerId, String>,
}

/// Reads whatever there is to show.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) board: Arc<Board>,
    pub(crate) rib: mpsc::Sender<RibMessage>,
    pub(crate) fib: mpsc::Sender<FibMessage>,
    pub(crate) applied: Arc<Mutex<Arc<Applied>>>,
    pub(crate) revision: Arc<AtomicU64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    pub(crate) revision: u64,
    pub(crate) links: Vec<LinkView>,
    pub(crate) groups: Vec<(String, GroupRow)>,
    pub(crate) peers: Vec<PeerView>,
    pub(crate) tunnels: Vec<(TunnelSpec, TunnelStatus)>,
    pub(crate) fib: FibRow,
    pub(crate) rib_prefixes: BTreeMap<Family, usize>,
    /// Why the file was refused when it was last read, if it was.
    pub(crate) refusal: Option<String>,
}

/// A link.
#[derive(Debug)]
pub(crate) struct LinkView {
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    pub(crate) interface: String,
    pub(crate) kind: &'static str,
    pub(crate) local: String,
    pub(crate) remote: IpAddr,
    pub(crate) row: LinkRow,
    pub(crate) active: bool,
    /// Its probes are signed.
    pub(crate) signed: bool,
    /// Dollars a gigabyte sent.
    pub(crate) cost: Option<f64>,
    /// 0 is best.
    pub(crate) rank: Option<u32>,
    pub(crate) receive_bytes: u64,
    pub(crate) transmit_bytes: u64,
    /// `None`: it is to have no session; `Some(None)`: it cannot have one yet.
    pub(crate) bfd: Option<Option<bfd::Status>>,
}

impl LinkView {
    /// Whether it can carry traffic.
    pub(crate) fn is_usable(&self) -> bool {
        self.row.state.is_some_and(links::State::is_usable)
    }
}

/// A peer.
#[derive(Debug)]
pub(crate) struct PeerView {
    pub(crate) name: String,
    pub(crate) config: config::model::Peer,
    pub(crate) status: Option<SessionStatus>,
    /// Why no session is tried.
    pub(crate) held: Option<Held>,
    /// Both ends of its latest connection, ours first.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// What TCP-AO does for its connection, if it is signed by that.
    pub(crate) ao: Option<ao::Status>,
    /// How it is reached; without its key.
    pub(crate) interface: Option<String>,
    pub(crate) counts: BTreeMap<Family, PeerCounts>,
    /// What it is asked for the way back, and why.
    pub(crate) asked: Option<(Preference, Asked)>,
    /// `None`: it is to have no session of its own; `Some(None)`: it cannot have one yet.
    pub(crate) bfd: Option<Option<bfd::Status>>,
}

impl PeerView {
    /// Whether routes flow.
    pub(crate) fn is_established(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.state == State::Established)
    }
}

impl Reader {
    /// The intent as last applied.
    pub(crate) fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.applied.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A peer by its name, or by an address that only one peer has.
    pub(crate) fn peer(&self, words: &str) -> Option<PeerId> {
        let applied = self.applied();
        let name = applied.config.peer_named(words)?;
        let known = applied.peers.iter().find(|(_, known)| *known == name);
        known.map(|(id, _)| *id)
    }

    /// Everything there is to show.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let applied = self.applied();
        let ids: Vec<PeerId> = applied.peers.keys().copied().collect();
        let read = rib::read(&self.rib, move |rib| {
            let peers = ids.iter().map(|peer| {
                let counts = Family::ALL.map(|family| (family, rib.counts(*peer, family)));
                (*peer, (counts, rib.asked(*peer)))
            });
            let peers: BTreeMap<_, _> = peers.collect();
            (
                peers,
                Family::ALL.map(|family| (family, rib.prefix_count(family))),
            )
        });
        let (of_rib, rib_prefixes) = read.await.unzip();
        let of_rib = of_rib.unwrap_or_default();
        let rows = self.board.rows();
        let traffic = fib::traffic().unwrap_or_default();
        let config = Arc::clone(&applied.config);
        let links = config.links.iter().filter_map(|(name, link)| {
            let row = rows.links.get(name)?.clone();
            let group = link.group.as_ref().and_then(|group| rows.groups.get(group));
            let members = group.into_iter().flat_map(|group| &group.members);
            let place = members.clone().find(|member| member.link == *name);
            let bytes = traffic.get(&link.interface).copied().unwrap_or_default();
            Some(LinkView {
                name: name.clone(),
                group: link.group.clone(),
                interface: link.interface.clone(),
                kind: link.carrier.kind(),
                local: link.inside.local.to_string(),
                remote: link.inside.remote,
                bfd: link.bfd.as_ref().map(|_| row.bfd),
                signed: link.probe.auth.is_some(),
                cost: link.cost,
                row,
                active: group.is_some_and(|group| group.active.contains(name)),
                rank: place.and_then(|member| member.rank),
                receive_bytes: bytes.received,
                transmit_bytes: bytes.sent,
            })
        });
        let links = links.collect();
        let by_name: BTreeMap<_, _> = applied.peers.iter().map(|(id, name)| (name, id)).collect();
        let peer_view = |(name, peer): (&String, &config::model::Peer)| {
            let row = rows.peers.get(name).cloned().unwrap_or_default();
            let link = peer.link.as_ref().and_then(|link| config.links.get(link));
            let interface = link.map(|link| &link.interface);
            let of_rib = by_name.get(name).and_then(|id| of_rib.get(id));
            PeerView {
                bfd: peer
                    .bfd
                    .as_ref()
                    .map(|_| rows.bfd_of_peers.get(name).copied()),
                name: name.clone(),
                config: peer.clone(),
                status: row.session,
                held: row.held,
                ends: row.ends,
                ao: row.ao,
                interface: interface.or(peer.interface.as_ref()).cloned(),
                counts: of_rib
                    .map(|(counts, _)| counts.iter().copied().collect())
                    .unwrap_or_default(),
                asked: of_rib.and_then(|(_, asked)| *asked),
            }
        };
        let peers = config.peers.iter().map(peer_view).collect();
        Snapshot {
            revision: self.revision.load(Ordering::Relaxed),
            links,
            groups: rows.groups.into_iter().collect(),
            peers,
            tunnels: rows.tunnels,
            fib: rows.fib,
            refusal: rows.refusal,
            rib_prefixes: rib_prefixes.into_iter().flatten().collect(),
            config,
        }
    }
}
