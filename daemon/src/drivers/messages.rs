//! Everything that passes between the tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use bgp::rib::{Input, LimitEvent, Rib, RouteChange};
use bgp::session::{Cease, Farewell, SessionConfig};
use bgp::{Family, PeerId, Prefix, Updates};
use links::{GroupConfig, LinkId, State};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tunnels::spec::TunnelSpec;

use crate::fib::{Carried, LinkStanding};
use crate::sockets::Signing;

/// What a peer task is told.
#[derive(Debug)]
pub(crate) enum ToPeer {
    /// It can be reached: run.
    Start,
    /// It can not: close, and stay closed.
    Stop(Cease),
    /// Close, say so when it is done, and end.
    End(Farewell),
    /// What the file says of `shutdown`.
    ShutDown(Option<String>),
    /// Close in this way, and begin again. Also ends what a prefix limit holds.
    Reset(Farewell),
    /// Ask for all routes again, if the peer can be asked.
    RequestRefresh,
    /// It sends much, or too much, of this family.
    Limit(Family, LimitEvent),
    /// It names an address of this host as nexthop.
    NexthopOurs(IpAddr),
    /// A changed intent.
    Reconfigure(SessionConfig),
    /// Its keys, which connections go on with that were opened with those before.
    Rekey(Option<Signing>),
    /// The peer dialled.
    Inbound(TcpStream),
    /// To be sent; the RIB spent a credit on it. Only for the session that was the
    /// peer's `life`th: a later one is told everything from the start.
    Transmit { updates: Updates, life: u64 },
}

/// What the RIB is told.
pub(crate) enum RibMessage {
    /// For the machine.
    Input(Input),
    /// Where to send the exports of a peer.
    Attach(PeerId, mpsc::Sender<ToPeer>),
    /// The peer has room for so many more batches.
    Credit(PeerId, usize),
    /// A look at the tables.
    Read(Box<dyn FnOnce(&Rib) + Send>),
}

/// What the FIB is told.
#[derive(Debug)]
pub(crate) enum FibMessage {
    /// From the RIB.
    Routes(Vec<RouteChange>),
    /// All routes of an earlier run that are still wanted have been asked for.
    Sweep,
    /// How these prefixes stand in the kernel.
    Read(Vec<Prefix>, oneshot::Sender<Vec<Option<Carried>>>),
}

/// What moves traffic. The FIB hears it before any [`FibMessage`].
#[derive(Debug)]
pub(crate) enum Steering {
    /// Where every link stands, by interface, and when that was found out.
    Links(BTreeMap<String, LinkStanding>, Instant),
    /// Interfaces of the peers that are reached through a link.
    Peers(BTreeMap<PeerId, String>),
}

/// What the groups are told.
pub(crate) enum GroupsMessage {
    /// The links and groups of the intent; replaces what was said before.
    Configure(Topology),
    /// A link entered this state.
    Link {
        name: String,
        state: State,
        found_out: Instant,
    },
}

/// The links and groups of an intent.
#[derive(Default)]
pub(crate) struct Topology {
    pub(crate) links: BTreeMap<String, Place>,
    pub(crate) groups: BTreeMap<String, GroupConfig>,
}

/// A link in its group.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) id: LinkId,
    pub(crate) interface: String,
    pub(crate) group: Option<String>,
    pub(crate) priority: u32,
    /// The peers that are reached through it, and the ways to their tasks.
    pub(crate) peers: Vec<(PeerId, mpsc::Sender<ToPeer>)>,
}

/// A tunnel of the intent; its endpoint may be a name.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) spec: TunnelSpec,
    pub(crate) endpoint: Option<config::model::Endpoint>,
}

/// Links whose tunnel has lost its far end, as whoever keeps the tunnel knows before any probe.
pub(crate) type Severed = BTreeSet<String>;

/// What the tunnels are told.
pub(crate) struct TunnelsMessage {
    /// These, and no others.
    pub(crate) wanted: Vec<Wanted>,
    /// Answered when they have been brought up, or have failed to be for the first time.
    pub(crate) done: oneshot::Sender<()>,
}

/// What the router is told from outside.
pub(crate) enum Command {
    /// Somebody in a listen range has called.
    Call(Call),
    /// Read the file again.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
    /// Begin anew with a peer. The answer says what was done, or is `None` for an unknown peer.
    Reset(Reset, oneshot::Sender<Option<String>>),
}

/// A connection from an address in a listen range, which is no peer yet.
pub(crate) struct Call {
    pub(crate) range: String,
    pub(crate) address: IpAddr,
    pub(crate) stream: TcpStream,
}

/// What somebody wants done with a peer.
pub(crate) struct Reset {
    /// Its name or its address.
    pub(crate) peer: String,
    pub(crate) manner: Manner,
    /// For the operator at the other end (RFC 9003); may be empty.
    pub(crate) message: String,
}

/// The ways of a [`Reset`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// A new session; both ends keep routes meanwhile if they agreed on graceful restart.
    Session,
    /// A new session; routes are dropped.
    Hard,
    /// Its routes pass the import filter again, sent anew if it can be asked for that.
    SoftIn,
    /// It is sent everything again.
    SoftOut,
}

/// What a reload did.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) revision: u64,
    /// One line a change.
    pub(crate) changes: Vec<String>,
}
