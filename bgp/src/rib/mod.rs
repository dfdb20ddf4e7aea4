//! The routing tables: what every peer told us, what we chose and why, what each peer is told.
//!
//! One [`Rib`] holds the Adj-RIB-In, Loc-RIB and Adj-RIB-Out of RFC 4271 §3.2 in one table per
//! family. A node per prefix has the paths of all peers, so the decision sees them side by side.
//!
//! ```text
//!  Routes ──► import: filter, store the path ──┐
//!  Originate ─► a path of our own ─────────────┤
//!  Down, Standing, Nexthop, Configure ─► sweep ┤   (in bites: `poll_timeout` says when to go on)
//!                                              ▼
//!                              select: eligible paths ─► decision (elimination)
//!                                              │
//!                    hops changed? ────────────┼──────────── best path changed?
//!                          ▼                                        ▼
//!                 Output::Routes (FIB)          one dirty bit per peer, Output::ExportReady
//!                                                                   ▼
//!                                         poll_export: export filter, update group, delta
//! ```
//!
//! **Memory is bounded by the table.** A peer is owed *prefixes*, not updates: one bit each, and what
//! it is told is worked out when it asks. So a peer that never asks costs a bit per prefix, and many
//! changes of one prefix become one delta with the latest state. What a peer was sent is four
//! bytes per prefix: the number of an interned attribute set, which also stops a change that makes
//! no difference to the peer (a failover between two links of the same AS, say) from being sent.
//! A prefix without paths keeps its node until every peer that was told of it has been told otherwise.
//!
//! **Long work is done in bites** of 2,000 prefixes, one for each `handle`. Paths of a peer that
//! went down are not eligible from that moment: each life of a session is a source of its own, and
//! the sweep only collects what is left.
//!
//! **Nothing observable follows the order of a hash table.** Outputs come in order of arrival or of
//! place in the table, reads in order of prefix.

mod attrs;
mod bitset;
mod decision;
mod egress;
mod export;
mod import;
mod interface;
mod intern;
#[cfg(test)]
mod model;
mod select;
mod source;
mod sweep;
mod table;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::attrs::Attrs;
use crate::route::SessionUp;
use crate::types::{Family, PeerId, Prefix};

pub use interface::{
    AsOverride, ExportBatch, Input, LimitAction, LocalAs, LocalAsPrepend, NexthopMode,
    NexthopState, Output, PathView, PeerCounts, PeerOptions, PrefixLimit, PrivateAs,
    ReflectionRole, RibConfig, RibPeer, RouteChange, RouteHop, RouteView, Standing, Step,
};

use attrs::{AttrsId, AttrsTable};
use egress::{EgressKey, shown_asn};
use export::{Groups, Out, Sent};
use intern::Interner;
use source::{Kind, Life, Source, SourceId, Sources};
use sweep::Sweep;
use table::Tables;

/// Ways to a prefix, as [`RouteChange::hops`].
type Hops = SmallVec<[RouteHop; 2]>;

/// How many prefixes one `handle` looks at for work that touches many.
const BITE: usize = 2_000;

/// How many changes one [`Output::Routes`] holds.
const CHANGES: usize = 512;

/// The routing tables of one router: a machine.
///
/// Call [`handle`](Self::handle), then drain [`poll_output`](Self::poll_output) to `None`, then
/// wait, at most until [`poll_timeout`](Self::poll_timeout). [`poll_export`](Self::poll_export)
/// may find routes to give out too: drain `poll_output` after it as well.
#[derive(Debug)]
pub struct Rib {
    config: RibConfig,
    tables: Tables,
    attrs: AttrsTable,
    hops: Interner<Hops>,
    sources: Sources,
    peers: BTreeMap<PeerId, Peer>,
    groups: Groups,
    unreachable: BTreeSet<IpAddr>,
    originated: BTreeSet<Prefix>,
    /// Prefixes whose own path is to be brought in line with `originated`.
    originate_pending: BTreeSet<Prefix>,
    originated_attrs: AttrsId,
    sweep: Sweep,
    /// What peers that went down had been sent, to be released.
    retired: Vec<(Family, Sent)>,
    /// Prefixes with at least one path, by family.
    occupied: [usize; Family::ALL.len()],
    changes: Vec<RouteChange>,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
    /// [`BITE`], except where a test makes the bites small.
    bite: usize,
}

/// A configured peer.
#[derive(Debug)]
struct Peer {
    config: RibPeer,
    standing: Standing,
    /// While its session is established.
    session: Option<Established>,
}

/// What an established session adds to a peer.
#[derive(Debug)]
struct Established {
    source: SourceId,
    up: SessionUp,
    out: Out,
}

impl Rib {
    /// Empty tables.
    #[must_use]
    pub fn new(config: RibConfig) -> Self {
        let hasher = FixedState::with_seed(config.seed);
        let mut attrs = AttrsTable::new(hasher.clone());
        let originated_attrs = attrs.acquire(&Arc::new(Attrs::originated()));
        Self {
            tables: Tables::new(hasher.clone()),
            hops: Interner::new(hasher.clone()),
            sources: Sources::new(Source::ourselves(config.router_id)),
            peers: BTreeMap::new(),
            groups: Groups::new(hasher),
            unreachable: BTreeSet::new(),
            originated: BTreeSet::new(),
            originate_pending: BTreeSet::new(),
            originated_attrs,
            sweep: Sweep::default(),
            retired: Vec::new(),
            occupied: [0; Family::ALL.len()],
            changes: Vec::new(),
            outputs: VecDeque::new(),
            deadline: None,
            bite: BITE,
            attrs,
            config,
        }
    }

    /// The only way in.
    ///
    /// Input about a peer that is not configured is ignored, as are routes of one whose session is
    /// not established and prefixes of a family that the session does not carry.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Configure(peer) => self.on_configure(peer),
            Input::Remove(peer) => {
                self.on_down(peer);
                self.peers.remove(&peer);
            }
            Input::Up(peer, session) => {
                self.on_down(peer);
                self.on_up(peer, session);
            }
            Input::Down(peer, _) => self.on_down(peer),
            Input::Routes(peer, events) => self.on_routes(peer, events),
            Input::Refresh(peer, family) => self.on_refresh(peer, family),
            Input::Standing(peer, standing) => self.on_standing(peer, standing),
            Input::Nexthop(address, state) => self.on_nexthop(address, state),
            Input::Originate(prefixes) => self.on_originate(prefixes),
            Input::Timeout => {}
        }
        let left = self.work(self.bite);
        self.deadline = left.is_some().then_some(now);
        self.flush_changes();
    }

    /// What is to be done, in order; drain to `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`]: at once while work is left, otherwise never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// A different AS or address ends what the session brought: it has to be established anew.
    fn on_configure(&mut self, config: RibPeer) {
        let id = config.id;
        let Some(peer) = self.peers.get_mut(&id) else {
            let peer = Peer {
                config,
                standing: Standing::Unranked,
                session: None,
            };
            self.peers.insert(id, peer);
            return;
        };
        let same_session = (peer.config.asn, peer.config.address) == (config.asn, config.address);
        let same_import = peer.config.import == config.import;
        let same_export = peer.config.export == config.export;
        peer.config = config;
        if !same_session {
            self.on_down(id);
            return;
        }
        if let (false, Some(session)) = (same_import, &peer.session) {
            self.sweep.refilter(session.source);
        }
        if !same_export {
            self.on_export_changed(id);
        }
    }

    fn on_up(&mut self, id: PeerId, up: SessionUp) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let kind = if peer.config.asn == shown_asn(&self.config, &peer.config) {
            Kind::Internal
        } else {
            Kind::External
        };
        let source = self.sources.insert(Source {
            peer: Some(id),
            kind,
            router_id: up.router_id.address(),
            address: peer.config.address,
            standing: peer.standing,
            reflection: peer.config.options.reflection,
            life: Life::Alive,
            counts: Default::default(),
        });
        let key = EgressKey::new(&self.config, &peer.config, &up);
        let group = self.groups.join(&peer.config.export, key);
        let ends = |family| {
            up.dialect
                .families
                .contains(family)
                .then(|| self.tables.end(family))
        };
        let out = Out::new(group, ends);
        peer.session = Some(Established { source, up, out });
        self.say_ready(id);
    }

    fn on_down(&mut self, id: PeerId) {
        let session = self.peers.get_mut(&id).and_then(|peer| peer.session.take());
        let Some(session) = session else {
            return;
        };
        self.sweep.recheck(session.source);
        self.sources.end(session.source);
        self.groups.leave(session.out.group(), &mut self.attrs);
        self.retired.extend(session.out.into_sent());
    }

    fn on_standing(&mut self, id: PeerId, standing: Standing) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.standing == standing {
            return;
        }
        peer.standing = standing;
        if let Some(session) = &peer.session {
            self.sources.source_mut(session.source).standing = standing;
            self.sweep.recheck(session.source);
        }
    }

    fn on_nexthop(&mut self, address: IpAddr, state: NexthopState) {
        let changed = match state {
            NexthopState::Reachable => self.unreachable.remove(&address),
            NexthopState::Unreachable => self.unreachable.insert(address),
        };
        if changed {
            self.sweep.recheck_everything();
        }
    }

    fn on_originate(&mut self, prefixes: Vec<Prefix>) {
        let wanted: BTreeSet<Prefix> = prefixes.iter().map(Prefix::trunc).collect();
        self.originate_pending
            .extend(wanted.symmetric_difference(&self.originated));
        self.originated = wanted;
    }
}
