//! The kernel's routes: what we want there, what is there, and the steps between.
//!
//! A route points at a nexthop *group*, never at a gateway. A group stands for one distinct list
//! of hops, and holds in the kernel only the member that carries traffic. So a link that
//! dies costs one message for each group that it carries, however many routes there are; a link
//! that comes back costs the same, once its routes are complete (see [`table`]).
//!
//! Where one hop carries all, the group holds the next best beside it, on [standby](Lead::Alone): when the interface
//! below the first goes, the kernel takes the second by itself, and no route goes with the interface.
//!
//! A route that discards, for an aggregate, has no nexthop. It stands behind every other route for its prefix, so
//! that it never takes packets from one, be that of another program, of the kernel, or of ours.
//!
//! - [`Table`]: \[machine\] the wanted and the believed state, and the steps that close the gap.
//! - [`Fib`]: \[boundary\] observe, apply, watch.
//! - [`Netlink`]: the boundary's only implementation.
//!
//! We own what carries [`PROTOCOL`], and touch nothing else.

mod netlink;
mod nexthop;
mod others;
pub(crate) mod request;
mod route;
mod table;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use bgp::Prefix;
use ipnet::IpNet;
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

pub(crate) use netlink::{Netlink, flush, traffic};
pub(crate) use others::{Exit, OtherChange, OtherRoute, Others, ViaDefault};
pub(crate) use table::{Carried, Counts, LinkStanding, Table, Work};

/// A hash table with a random seed: its keys come from strangers.
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// `rtm_protocol` and `nh_protocol` of everything of ours; named `skybridge` in
/// `/etc/iproute2/rt_protos.d/`.
pub(crate) const PROTOCOL: u8 = 77;

/// Lowest identifier of our nexthop objects. Others usually count from 1, so that the two are
/// unlikely to meet; a clash is reported by the kernel as a failed step.
pub(crate) const FIRST_NEXTHOP_ID: u32 = 0x5b00_0001;

/// One resolved way out: a gateway on an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Way {
    /// The address of the next router.
    pub(crate) gateway: IpAddr,
    /// Kernel interface index.
    pub(crate) interface: u32,
}

/// Ways that share traffic, with weights from 1; in order, without duplicates.
pub(crate) type Spread = SmallVec<[(Way, u8); 1]>;

/// A network interface as far as routing cares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interface {
    /// Kernel index.
    pub(crate) index: u32,
    /// Name.
    pub(crate) name: String,
    /// Administratively up and with carrier. The kernel drops nexthops on it otherwise.
    pub(crate) up: bool,
    /// Maximum transmission unit, bytes.
    pub(crate) mtu: u32,
    /// Addresses with prefix lengths.
    pub(crate) addresses: Vec<IpNet>,
}

/// All interfaces at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Interfaces(pub(crate) Vec<Interface>);

impl Interfaces {
    /// The interface with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.name == name)
    }

    /// The interface with this kernel index.
    pub(crate) fn indexed(&self, index: u32) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.index == index)
    }

    /// Whether the address is one of ours.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let mut all = self.0.iter().flat_map(|interface| &interface.addresses);
        all.any(|net| net.addr() == address)
    }

    /// The interface that is up and whose connected network holds `address`.
    pub(crate) fn toward(&self, address: IpAddr) -> Option<&Interface> {
        self.nearest(address).map(|(interface, _)| interface)
    }

    /// The connected network that holds `address`.
    pub(crate) fn network(&self, address: IpAddr) -> Option<IpNet> {
        self.nearest(address).map(|(_, net)| net.trunc())
    }

    fn nearest(&self, address: IpAddr) -> Option<(&Interface, &IpNet)> {
        self.0
            .iter()
            .filter(|interface| interface.up)
            .flat_map(|interface| interface.addresses.iter().map(move |net| (interface, net)))
            .filter(|(_, net)| net.contains(&address) && net.addr() != address)
            .max_by_key(|(_, net)| net.prefix_len())
    }
}

/// One change of the kernel's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Create or replace a nexthop.
    SetNexthop { id: u32, way: Way },
    /// Create or replace a group. One that is there keeps its kind.
    SetGroup { id: u32, lead: Lead },
    /// Create or replace a route through a nexthop or group.
    SetRoute { prefix: Prefix, nexthop: u32 },
    /// Remove a route of ours. One that is not there counts as done.
    RemoveRoute { prefix: Prefix },
    /// Create a route that discards, behind all others for the prefix.
    SetDiscard { prefix: Prefix },
    /// Remove a route of ours that discards. One that is not there counts as done.
    RemoveDiscard { prefix: Prefix },
    /// Remove a nexthop or group of ours that nothing uses. One that is not there counts as done.
    RemoveNexthop { id: u32 },
}

/// Where a group in the kernel leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Lead {
    /// To all of these nexthops, by weight; never none.
    Share(Vec<(u32, u8)>),
    /// To the first. The other one takes over when the first is removed, as the kernel does with nexthops on
    /// an interface that goes down, or loses its carrier.
    Alone { first: u32, standby: Option<u32> },
}

impl Lead {
    /// Every nexthop in it.
    #[cfg(test)]
    pub(crate) fn nexthops(&self) -> Vec<u32> {
        match self {
            Self::Share(members) => members.iter().map(|(id, _)| *id).collect(),
            Self::Alone { first, standby } => std::iter::once(*first).chain(*standby).collect(),
        }
    }
}

/// Whether the kernel can hold a nexthop on standby.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standby {
    Possible,
    /// It is older than Linux 5.13.
    Impossible,
}

impl Step {
    /// The name of its kind, for metrics and logs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::SetNexthop { .. } => "set_nexthop",
            Self::SetGroup { .. } => "set_group",
            Self::SetRoute { .. } => "set_route",
            Self::RemoveRoute { .. } => "remove_route",
            Self::SetDiscard { .. } => "set_discard",
            Self::RemoveDiscard { .. } => "remove_discard",
            Self::RemoveNexthop { .. } => "remove_nexthop",
        }
    }
}

/// Everything in the kernel that concerns us but routes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) interfaces: Interfaces,
    pub(crate) nexthops: BTreeMap<u32, Way>,
    pub(crate) groups: BTreeMap<u32, Lead>,
    /// Nexthop objects of others.
    pub(crate) others: BTreeMap<u32, Exit>,
}

/// A piece of the kernel's routes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FoundRoutes {
    /// With the nexthop object each uses; `None` for one without.
    pub(crate) ours: Vec<(Prefix, Option<u32>)>,
    /// Of ours, those that discard.
    pub(crate) discards: Vec<Prefix>,
    pub(crate) others: Vec<OtherRoute>,
}

/// Steps that the kernel has been through.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) steps: Vec<Step>,
    /// Those that did not work, by their place in `steps`.
    pub(crate) failures: Vec<(usize, io::Error)>,
}

/// What happened behind our back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// An interface or an address.
    Interfaces,
    /// A nexthop or route of ours, or we cannot tell because the kernel dropped notifications.
    Ours,
    /// A nexthop or route of another.
    Other(OtherChange),
}

/// The kernel's routing tables.
pub(crate) trait Fib: Send {
    /// Reads interfaces and nexthop objects.
    fn observe(&mut self) -> io::Result<Observed>;

    /// Begins to read the routes. They come piece by piece; the end of the channel without an
    /// error before it is the end of the routes.
    fn observe_routes(&mut self) -> mpsc::Receiver<io::Result<FoundRoutes>>;

    /// Reads the interfaces only.
    fn interfaces(&mut self) -> io::Result<Interfaces>;

    /// Applies `steps` in order, after those handed over before. One failure does not keep the
    /// rest from being tried.
    fn apply(&mut self, steps: Vec<Step>) -> oneshot::Receiver<Applied>;

    /// Resolves when something changed that we did not do ourselves. Cancel-safe.
    fn watch(&mut self) -> impl Future<Output = io::Result<Change>> + Send;
}
