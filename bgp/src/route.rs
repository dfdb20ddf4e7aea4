//! What passes between a session and the RIB.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::attrs::Attrs;
use crate::types::{Family, FamilySet, PathId, Prefix, RouterId};
use crate::wire::Dialect;

/// What one received UPDATE means, after RFC 7606 has been applied. Goes from a session to the RIB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteEvent {
    /// These prefixes are reachable with these attributes.
    Announce {
        /// Shared by all prefixes of the UPDATE. `nexthop` is always `Some` here.
        attrs: Arc<Attrs>,
        /// Never empty.
        prefixes: Vec<Prefix>,
        /// One for each prefix where the peer sends more than one path a prefix (RFC 7911), in the
        /// same order; otherwise empty.
        path_ids: Vec<PathId>,
    },
    /// These prefixes are gone: withdrawn, or announced with a fault that RFC 7606 treats so.
    Withdraw {
        /// Never empty.
        prefixes: Vec<Prefix>,
        /// As in [`RouteEvent::Announce`].
        path_ids: Vec<PathId>,
    },
    /// The peer has sent all it has for this family (RFC 4724 §2).
    EndOfRib(Family),
    /// The peer begins to send all it has for this family again (RFC 7313 §4, BoRR).
    RefreshBegins(Family),
    /// It has: what it did not send again is gone (RFC 7313 §4, EoRR).
    RefreshEnds(Family),
}

impl RouteEvent {
    /// Prefixes with one path each.
    #[must_use]
    pub fn announce(attrs: Arc<Attrs>, prefixes: Vec<Prefix>) -> Self {
        Self::Announce {
            attrs,
            prefixes,
            path_ids: Vec::new(),
        }
    }

    /// The prefixes that it names.
    pub(crate) fn prefixes(&self) -> &[Prefix] {
        match self {
            Self::Announce { prefixes, .. } | Self::Withdraw { prefixes, .. } => prefixes,
            Self::EndOfRib(_) | Self::RefreshBegins(_) | Self::RefreshEnds(_) => &[],
        }
    }

    /// How many prefixes it names.
    pub(crate) fn prefix_count(&self) -> usize {
        self.prefixes().len()
    }

    /// Prefixes that had one path each.
    #[must_use]
    pub fn withdraw(prefixes: Vec<Prefix>) -> Self {
        Self::Withdraw {
            prefixes,
            path_ids: Vec::new(),
        }
    }
}

/// What of a session that ended is kept for a while, because the peer is likely to restart without
/// having stopped forwarding (RFC 4724 §4.2, RFC 8538 §4, RFC 9494 §4.2). Empty: nothing.
pub type Retention = SmallVec<[Retained; 2]>;

/// One family of a [`Retention`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retained {
    /// Which.
    pub family: Family,
    /// How long the peer has to be back: its restart time.
    pub restart: Duration,
    /// How long after that its paths are kept as those of last resort. Zero: not at all.
    pub long_lived: Duration,
    /// What becomes of those that an earlier session left and this one had not sent again.
    pub leftover: Leftover,
}

/// What a second restart does to paths that are kept since the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leftover {
    /// They go (RFC 4724 §4.2).
    Goes,
    /// They stay: the peer can tell a restart from an end for good (RFC 8538 §4.1), or they are kept for long
    /// anyway (RFC 9494 §4.2).
    Stays,
}

/// A session that is established, as the RIB sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionUp {
    /// The identifier in the peer's OPEN.
    pub router_id: RouterId,
    /// How its UPDATEs are read and written.
    pub dialect: Dialect,
    /// Our own nexthop toward it by family, where we have one. In place of
    /// [`Attrs::nexthop`] `None`.
    pub nexthops: [Option<IpAddr>; Family::ALL.len()],
    /// Both mark the ends of a refresh (RFC 7313).
    pub enhanced_refresh: bool,
    /// Families whose forwarding the peer kept while it restarted (RFC 4724 §4.2): paths retained
    /// from the session before stay until it has sent all it has. Those of other families go now.
    pub preserved: FamilySet,
    /// Families for which the peer says when it has told all it has, to one that restarts: it agreed
    /// on graceful restart and does not restart itself (RFC 4724 §4.1).
    pub tells_end: FamilySet,
    /// Families in which the peer knows what a path means that is long-lived stale (RFC 9494 §4.3).
    pub long_lived: FamilySet,
}

impl SessionUp {
    /// A session without anything that has to be agreed on.
    #[must_use]
    pub fn new(router_id: RouterId, dialect: Dialect) -> Self {
        Self {
            router_id,
            dialect,
            nexthops: [None; Family::ALL.len()],
            enhanced_refresh: false,
            preserved: FamilySet::EMPTY,
            tells_end: FamilySet::EMPTY,
            long_lived: FamilySet::EMPTY,
        }
    }
}

/// UPDATEs on their way to a peer, as bytes. Go from the RIB to a session, which sends them as they
/// are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Updates {
    /// Whole messages, in this order. Shared with every other peer that is told the same.
    pub bytes: SmallVec<[Bytes; 2]>,
    /// How many there are.
    pub count: u64,
}
