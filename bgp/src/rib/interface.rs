//! What goes into a [`Rib`](super::Rib) and what comes out.

use super::changes::RouteChanges;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::preference::{DrainNotice, Preference, WayBack};
use crate::attrs::Attrs;
use crate::filter::Filter;
use crate::route::{Retention, RouteEvent, SessionUp};
use crate::types::{Asn, Family, Hop, PathId, PeerId, Prefix, Role, RouterId};

/// What the RIB is told once.
#[derive(Clone, Debug)]
pub struct RibConfig {
    /// Our AS.
    pub local_asn: Asn,
    /// Our identifier.
    pub router_id: RouterId,
    /// Which cluster we reflect for (RFC 4456 §7). Usually our identifier.
    pub cluster_id: Ipv4Addr,
    /// Whose MEDs are compared.
    pub med: MedComparison,
    /// Over how many paths traffic is spread.
    pub multipath: Multipath,
    /// Where packets are forwarded.
    pub forwarding: Forwarding,
    /// How much is exported at once.
    pub bounds: ExportBounds,
    /// Random: seeds the hash tables, so that nobody outside can choose prefixes that collide.
    pub seed: u64,
}

/// Whose MEDs are compared with each other (RFC 4271 §9.1.2.2 c).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MedComparison {
    /// Those of paths from the same neighbouring AS.
    #[default]
    SameNeighbour,
    /// All (`always-compare-med`).
    Always,
}

/// Where packets are forwarded by what is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Forwarding {
    /// Here: routes are given out with all their hops ([`Output::Routes`]).
    #[default]
    Here,
    /// Elsewhere, as with a route server: nobody asks for hops, and no route is given out.
    Elsewhere,
}

/// Over how many paths that are as good as the best one traffic is spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Multipath {
    /// Where the best path is from an external peer. 0 and 1: traffic is not spread.
    pub external: u8,
    /// Where it is from an internal peer.
    pub internal: u8,
    /// What the AS paths must have in common besides their length.
    pub as_paths: MultipathAs,
}

impl Default for Multipath {
    fn default() -> Self {
        Self {
            external: 1,
            internal: 1,
            as_paths: MultipathAs::default(),
        }
    }
}

/// What AS paths must have in common, besides their length, to share traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MultipathAs {
    /// The neighbouring AS.
    #[default]
    SameNeighbour,
    /// Nothing.
    AnyNeighbour,
}

/// A configured peer as the RIB sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct RibPeer {
    /// Its name within the process.
    pub id: PeerId,
    /// Its AS; ours makes it internal.
    pub asn: Asn,
    /// Its address, the last tie-breaker (RFC 4271 §9.1.2.2 g).
    pub address: IpAddr,
    /// Applied to what it sends.
    pub import: Arc<Filter>,
    /// Applied to what it is sent.
    pub export: Arc<Filter>,
    /// Everything else that makes it different from other peers.
    pub options: PeerOptions,
}

/// What is unusual about a peer. The default is what RFC 4271 says of any peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PeerOptions {
    /// How often our own AS may occur in a path that it sends (`allowas-in`). RFC 4271 §9.1.2: not
    /// at all.
    pub own_as_allowed: u8,
    /// It is a client of ours (RFC 4456): paths of internal peers go to it, and its paths to them.
    pub reflection: ReflectionRole,
    /// What we are to it (RFC 9234 §3); `None`: nothing is checked or marked.
    pub role: Option<Role>,
    /// Which nexthop it is told.
    pub nexthop: NexthopMode,
    /// Another AS that we are to it (`local-as`), and how that shows in paths.
    pub local_as: Option<LocalAs>,
    /// Its AS is replaced by ours in paths that it is sent (`as-override`).
    pub as_override: AsOverride,
    /// Private AS numbers in paths that it is sent.
    pub private_as: PrivateAs,
    /// How many prefixes it may send, by family.
    pub receive_limit: [Option<PrefixLimit>; Family::ALL.len()],
    /// How many prefixes it takes at most, by family: further ones are held back, and said so.
    pub send_limit: [Option<u32>; Family::ALL.len()],
    /// How many paths for a prefix it is sent where the session says that it takes
    /// several. 0: all.
    pub add_path_limit: u8,
    /// How it is asked to prefer one of several links.
    pub way_back: WayBack,
    /// How it is told that its link is about to go, where it is asked anything.
    pub drain_notice: DrainNotice,
}

/// What an internal peer is to us (RFC 4456 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ReflectionRole {
    /// An ordinary internal peer.
    #[default]
    NonClient,
    /// A client of ours.
    Client,
}

/// Which nexthop a peer is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum NexthopMode {
    /// Our own address.
    #[default]
    Ourselves,
    /// The one that came with the path.
    Unchanged,
    /// The one that came with the path where the peer shares its network (RFC 4271 §5.1.3, "third
    /// party"), our own address otherwise.
    ThirdParty,
}

/// `local-as`: to this peer we are another AS than our own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocalAs {
    /// Which.
    pub asn: Asn,
    /// Whether paths from it get this AS in front.
    pub on_import: LocalAsPrepend,
    /// Whether paths to it have our own AS behind this one.
    pub on_export: LocalAsPrepend,
}

/// Whether a second AS of ours shows in a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LocalAsPrepend {
    /// It does.
    Shown,
    /// It does not.
    Hidden,
}

/// `as-override`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AsOverride {
    /// Paths keep the AS of the peer.
    #[default]
    Off,
    /// It is replaced by ours.
    On,
}

/// `remove-private`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PrivateAs {
    /// They stay.
    #[default]
    Kept,
    /// They are taken out.
    Removed,
    /// Each is replaced by our own AS.
    Replaced,
}

/// How many prefixes of a family a peer may send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PrefixLimit {
    /// More than so many are too many.
    pub max: u32,
    /// From so many on it is said, once until there are fewer again.
    pub warn_at: u32,
    /// What is done about too many.
    pub action: LimitAction,
}

/// What is done about a peer that sends too many prefixes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitAction {
    /// It is said.
    Warn,
    /// What is over the limit is not stored.
    Discard,
    /// The session ends, and is tried again after this time.
    Restart(Duration),
    /// The session ends, until somebody resets it.
    Shutdown,
}

/// The only way in.
#[derive(Debug)]
pub enum Input {
    /// A peer is configured, or configured differently: its stored routes pass the new import
    /// filter, and what it was sent is brought in line with the new export filter.
    Configure(RibPeer),
    /// A peer is no longer configured: everything of it goes.
    Remove(PeerId),
    /// Its session is established.
    Up(PeerId, SessionUp),
    /// Its session ended. Its paths go, but for those that are retained.
    Down(PeerId, Retention),
    /// Routes its session received.
    Routes(PeerId, Vec<RouteEvent>),
    /// The peer wants everything of this family again.
    Refresh(PeerId, Family),
    /// Where the link of this peer stands. [`Standing::Unranked`] until said otherwise.
    Standing(PeerId, Standing),
    /// How much this peer is to like its link, for packets that come back by it. [`Preference::Unsaid`] until
    /// said otherwise. What it was told is brought in line.
    Preference(PeerId, Preference),
    /// The network that we share with this peer, where there is one: a third party on it can be its nexthop
    /// (RFC 4271 §5.1.3). None until said otherwise. What it was told is brought in line.
    Network(PeerId, Option<Prefix>),
    /// Whether a nexthop can be used. Usable until said otherwise. What depends on it follows with
    /// the next [`Input::Timeout`], so that many can be told one after the other.
    Nexthop(IpAddr, NexthopState),
    /// Every address of this host; replaces what was said before. No route leads to one of them
    /// (RFC 4271 §5.1.3).
    OwnAddresses(BTreeSet<IpAddr>),
    /// All prefixes that this router originates; replaces what was said before.
    Originate(Vec<Prefix>),
    /// Tell nobody anything, the end of the table least of all, until [`Input::Release`]: paths
    /// are still coming in that a restart has interrupted (RFC 4724 §4.1).
    Defer,
    /// The end of [`Input::Defer`].
    Release,
    /// All aggregates; replaces what was said before.
    Aggregate(Vec<Aggregate>),
    /// Carry on with work that was left for later.
    Timeout,
}

impl RibConfig {
    /// A router with its usual ways.
    #[must_use]
    pub fn new(local_asn: Asn, router_id: RouterId, seed: u64) -> Self {
        Self {
            local_asn,
            router_id,
            cluster_id: router_id.address(),
            med: MedComparison::default(),
            multipath: Multipath::default(),
            forwarding: Forwarding::default(),
            bounds: ExportBounds::default(),
            seed,
        }
    }
}

/// Bounds of [`Rib::poll_export`](super::Rib::poll_export).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExportBounds {
    /// Prefixes that one call looks at.
    pub prefixes: usize,
    /// Octets kept for peers that read slower than others that are told the same. Who falls further
    /// behind is told prefix by prefix.
    pub backlog: usize,
}

impl Default for ExportBounds {
    /// 8192 prefixes, 4 MiB.
    fn default() -> Self {
        Self {
            prefixes: 8192,
            backlog: 4 * 1024 * 1024,
        }
    }
}

/// A prefix that is announced while a more specific one has a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// What is announced.
    pub prefix: Prefix,
    /// What becomes of the prefixes within it.
    pub more_specifics: MoreSpecifics,
    /// What becomes of packets that no more specific route takes.
    pub rest: Rest,
}

/// What becomes of prefixes for which there is an [`Aggregate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MoreSpecifics {
    /// They are told as well.
    #[default]
    Told,
    /// They are told to nobody (`summary-only`).
    Suppressed,
}

/// What becomes of packets to the part of an [`Aggregate`] that no more specific route covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rest {
    /// They are dropped ([`RouteTo::Discard`](super::RouteTo::Discard)): whoever follows the aggregate sends them here, and a
    /// less specific route would often send them back (RFC 4632 §5.1).
    #[default]
    Discarded,
    /// The aggregate is no route, as other prefixes of our own are none: what else the host has decides.
    Untouched,
}

/// Where the link that a peer is reached through stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The peer is on no ranked link.
    Unranked,
    /// Its link has this rank in this group; lower is better. Compared only within a group.
    Ranked {
        /// Which group.
        group: u32,
        /// Lower is better. Links that are equally good have the same.
        rank: u32,
        /// Lower is taken where ranks and MED tie: 0 for the link that the group uses.
        tiebreak: u32,
    },
    /// Its link is dead: no path of this peer is eligible.
    Unusable,
}

/// Whether a nexthop can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NexthopState {
    /// Packets can be sent there.
    Reachable {
        /// What it costs (RFC 4271 §9.1.2.2 e); lower is better. 0 until said otherwise.
        metric: u32,
    },
    /// They can not.
    Unreachable,
}

/// What the RIB wants done, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// These routes changed, for the FIB.
    Routes(RouteChanges),
    /// There is something for [`Rib::poll_export`](super::Rib::poll_export) for this peer.
    /// Said once until it has been drained.
    ExportReady(PeerId),
    /// A peer has sent a path whose nexthop is an address of this host. The path is not used, and
    /// the session goes on (RFC 4271 §6.3). Said once a session and family.
    NexthopOurs {
        /// Which.
        peer: PeerId,
        /// Which address.
        nexthop: IpAddr,
    },
    /// A peer sends much, or too much. Said once until it sends clearly less.
    Limit {
        /// Which.
        peer: PeerId,
        /// In which family.
        family: Family,
        /// How much.
        event: LimitEvent,
    },
}

/// How a peer stands to its [`PrefixLimit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitEvent {
    /// `warn_at` is reached.
    Near(PrefixLimit),
    /// `max` is passed. Where the action is to end the session, nothing more is taken from it, and
    /// the owner ends it (Cease 6/1, RFC 4486 §4, with family and `max`).
    Exceeded(PrefixLimit),
    /// The attributes of its paths take more than this beyond what is usual. No path with long ones is
    /// stored any more, and one that is there goes if it is to get them; others are. Said once a
    /// session.
    Bulky {
        /// In memory.
        octets: usize,
    },
    /// It takes no more than this ([`PeerOptions::send_limit`]), and there is more for it. Said once
    /// a session.
    HeldBack {
        /// How many prefixes it takes.
        max: usize,
    },
}

/// One hop of a route, as in [`RouteChanges`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RouteHop {
    /// Through which peer, at which address.
    pub hop: Hop,
    /// Lower tiers come first, whatever the links say. Within a tier the better link of a group
    /// wins: these paths tie until [`Step::LinkRank`].
    pub tier: u8,
    /// Among the links of a tier that have the lowest rank, the lower MED wins.
    pub med: MedPlace,
    /// 0: one hop of the tier takes all traffic. From 1 on: the usable hops of the tier that have a
    /// weight share it in these parts.
    pub weight: u8,
}

/// What the far side says of a hop, as far as it is compared with others of its tier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MedPlace {
    /// Only hops with the same are compared.
    pub neighbour: u8,
    /// How many of these have a lower MED.
    pub place: u8,
}

impl MedPlace {
    /// Whether a hop loses to another that has this.
    #[must_use]
    pub fn loses_to(self, other: Self) -> bool {
        other.neighbour == self.neighbour && other.place < self.place
    }
}

/// The step of the decision that chose, or that a path lost at (RFC 4271 §9.1.2.2, with ours).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// There was no other eligible path.
    OnlyPath,
    /// Not eligible: its link is dead.
    LinkUnusable,
    /// Not eligible: its nexthop is unreachable.
    NexthopUnreachable,
    /// Not eligible: its nexthop is an address of this host (RFC 4271 §5.1.3, §6.3).
    NexthopOurs,
    /// Not eligible: the import filter refused it.
    Filtered,
    /// Not eligible: our own AS is in the path (RFC 4271 §9.1.2).
    AsLoop,
    /// Not eligible: we, or our cluster, have reflected it before (RFC 4456 §8).
    ReflectionLoop,
    /// Not eligible: the peer should not have passed it on to us (RFC 9234 §5).
    RouteLeak,
    /// Our own prefix wins.
    Originated,
    /// Not kept for long after the session that brought it (RFC 9494 §4.3).
    LongLivedStale,
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Shorter AS_PATH.
    AsPathLength,
    /// Lower ORIGIN.
    Origin,
    /// Better link of the same group.
    LinkRank,
    /// Lower MED, usually from the same neighbouring AS.
    Med,
    /// The link that its group uses, among those of equal rank.
    LinkInUse,
    /// External over internal.
    ExternalOverInternal,
    /// Nexthop nearer by metric.
    NexthopMetric,
    /// Lower ORIGINATOR_ID or BGP identifier.
    RouterId,
    /// Shorter CLUSTER_LIST (RFC 4456 §9).
    ClusterList,
    /// Lower peer address.
    PeerAddress,
    /// Lower path identifier from the same peer.
    PathId,
}

/// A destination and all we know about it, for API and CLI.
#[derive(Clone, PartialEq, Debug)]
pub struct RouteView {
    /// The destination.
    pub prefix: Prefix,
    /// Every path, best first, those not eligible last.
    pub paths: Vec<PathView>,
}

/// One path of a [`RouteView`].
#[derive(Clone, PartialEq, Debug)]
pub struct PathView {
    /// From whom; `None` for our own.
    pub peer: Option<PeerId>,
    /// By what the peer tells its paths for this prefix apart (RFC 7911).
    pub path_id: Option<PathId>,
    /// Kept from an earlier session, or not yet sent again in a refresh.
    pub stale: bool,
    /// After the import filter; as received where that refused it.
    pub attrs: Arc<Attrs>,
    /// As received.
    pub received: Arc<Attrs>,
    /// This is the one.
    pub best: bool,
    /// For the best path the step that decided, for the others the step they lost at.
    pub step: Step,
}

/// Which prefixes a reader wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// Those with a path.
    All,
    /// Those that this peer sent, accepted or not.
    ReceivedFrom(PeerId),
    /// Those that this peer was told.
    AdvertisedTo(PeerId),
    /// This one and those within it.
    Within(Prefix),
}

/// Where a page of prefixes ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(pub(super) usize);

/// A part of the prefixes of a family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrefixPage {
    /// In no order.
    pub prefixes: Vec<Prefix>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Place>,
}

/// Prefixes of one peer and family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerCounts {
    /// In its Adj-RIB-In: paths, where it sends several for a prefix. What is kept of an earlier
    /// session is among them.
    pub received: usize,
    /// Of those, accepted by the import filter and the checks before it.
    pub accepted: usize,
    /// Of those, chosen as best.
    pub best: usize,
    /// Of those received, kept until they are sent again.
    pub stale: usize,
    /// Over a limit since the session began, and not stored.
    pub discarded: u64,
    /// Sent to it, as far as the RIB has handed over.
    pub advertised: usize,
    /// How often a path was kept from it, and from the peers that are told the same, because it
    /// cannot be encoded: the attributes are too long, or there is no nexthop of the family.
    pub unsendable: u64,
    /// Not sent to it because it takes no more ([`PeerOptions::send_limit`]).
    pub held_back: usize,
}
