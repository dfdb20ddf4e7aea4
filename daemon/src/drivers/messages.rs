//! Everything that passes between the tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp::rib::{Input, LimitEvent, Rib, RouteChanges};
use bgp::session::{Cease, Farewell, SessionConfig};
use bgp::{Family, PeerId, Prefix, Updates};
use links::{Fault, Figures, GroupConfig, HealthChange, Member, Order, State};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tunnels::spec::TunnelSpec;

use super::drain::Told;
use super::drill::Said;
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
    Routes(RouteChanges),
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
    /// Interfaces of the peers at link-local addresses that are on no link.
    Scopes(BTreeMap<PeerId, String>),
    /// The peers on no link that BFD calls dead, and when that was found out.
    Dead(BTreeSet<PeerId>, Instant),
}

/// What the groups are told.
pub(crate) enum GroupsMessage {
    /// The links and groups of the intent; replaces what was said before.
    Configure(Topology),
    /// A link entered this state.
    Link {
        name: String,
        change: HealthChange,
        found_out: Instant,
    },
    /// Whether what the peers of a link announce counts.
    Hear { name: String, hearing: Hearing },
    /// What is measured of a link, once a second.
    Figures { name: String, figures: Figures },
    /// BFD says that a peer on no link is up or down.
    Peer {
        peer: PeerId,
        state: State,
        found_out: Instant,
    },
}

/// The links and groups of an intent.
#[derive(Default)]
pub(crate) struct Topology {
    pub(crate) links: BTreeMap<String, Place>,
    pub(crate) groups: BTreeMap<String, GroupConfig>,
    /// Peers on no link that BFD watches, and the ways to their tasks.
    pub(crate) watched: BTreeMap<PeerId, mpsc::Sender<ToPeer>>,
    /// As in [`Steering::Scopes`].
    pub(crate) scopes: BTreeMap<PeerId, String>,
}

/// A link in its group.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) member: Member,
    pub(crate) interface: String,
    pub(crate) group: Option<String>,
    /// The peers that are reached through it, and the ways to their tasks.
    pub(crate) peers: Vec<(PeerId, mpsc::Sender<ToPeer>)>,
}

/// Whether what the peers of a link announce counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hearing {
    Attentive,
    /// It is held for withdrawn.
    Deaf,
}

/// A tunnel of the intent; its endpoint may be a name.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) spec: TunnelSpec,
    pub(crate) endpoint: Option<config::model::Endpoint>,
    /// The largest MTU that it may have; that in `spec` is the one it has now.
    pub(crate) bound: Bound,
    pub(crate) discovery: Discovery,
}

/// What an MTU is bounded by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// The file, or headers that are always the same.
    Fixed(u32),
    /// The cipher that is agreed on.
    ByCipher(config::model::IpsecMtu),
}

/// Whether a link looks for what its path takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Discovery {
    On,
    /// It takes whatever the interface does.
    Off,
}

/// What a link has found out about its path. Octets of whole IP packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PathMtu {
    pub(crate) interface: String,
    /// What an interface of ours should take for now.
    pub(crate) room: Option<u32>,
    /// What the path takes, where that is less than it might.
    pub(crate) takes: Option<u32>,
}

/// By link.
pub(crate) type PathMtus = BTreeMap<String, PathMtu>;

/// The largest MTU that the interface of each tunnel may have, by link.
pub(crate) type Bounds = BTreeMap<String, u32>;

/// Links whose tunnel has lost its far end, as whoever keeps the tunnel knows before any probe.
pub(crate) type Severed = BTreeSet<String>;

/// Links of groups in which no other link is usable.
pub(crate) type Alone = BTreeSet<String>;

/// Links that are to be emptied.
pub(crate) type Drained = BTreeSet<String>;

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
    /// Fail a link on purpose.
    Drill(
        Ordered,
        oneshot::Sender<Result<mpsc::Receiver<Said>, Denied>>,
    ),
    /// End the drill that is under way; whether there was one.
    EndDrill(oneshot::Sender<bool>),
    /// Empty a link, or fill it again.
    Drain(
        Emptied,
        oneshot::Sender<Result<mpsc::Receiver<Told>, Denied>>,
    ),
}

/// A drill that somebody wants.
pub(crate) struct Ordered {
    pub(crate) link: String,
    pub(crate) fault: Fault,
    pub(crate) lasts: Duration,
}

/// A link that somebody wants emptied or filled.
pub(crate) struct Emptied {
    pub(crate) link: String,
    pub(crate) order: Order,
    /// How long to wait for it to have its effect.
    pub(crate) patience: Duration,
}

/// Why something is not done.
pub(crate) enum Denied {
    /// There is no such link.
    Unknown,
    /// In words.
    Refused(String),
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
