//! The routing tables: what every peer told us, what we chose and why, what each peer is told.
//!
//! One [`Rib`] holds the Adj-RIB-In, Loc-RIB and Adj-RIB-Out of RFC 4271 §3.2 in one table per
//! family. A node per prefix has the paths of all peers, so the decision sees them side by side.
//!
//! ```text
//!  Routes ──► import: filter, store the path ──┐
//!  Originate, Aggregate ─► a path of our own ──┤
//!  Down, Standing, Nexthop, Configure ─► sweep ┤   (in bites: `poll_timeout` says when to go on)
//!                                              ▼
//!                              select: eligible paths ─► decision (elimination)
//!                                              │
//!                    hops changed? ────────────┼──────────── best path changed?
//!                          ▼                                        ▼
//!                 Output::Routes (FIB)          one dirty bit a group, Output::ExportReady
//!                                                                   ▼
//!                                         poll_export: export filter, update group, UPDATEs
//! ```
//!
//! **Memory is bounded by the table.** A group of peers is owed *prefixes*, not updates: one bit
//! each, and what they are told is worked out when one of them has room for it. So a peer that never
//! asks costs two bits a prefix, and many changes of one prefix become one with the latest state.
//! What a group was sent is eight bytes a prefix, which also stops a change that makes no difference
//! to its members (a failover between two links of the same AS, say) from being sent. A prefix without
//! paths keeps its node until every peer that was told of it has been told otherwise.
//!
//! **Long work is done in bites** of 2,000 prefixes, one for each `handle`, and larger ones while many
//! prefixes arrive. Paths of a peer that
//! went down are not eligible from that moment, unless they are kept: each life of a session is a
//! source of its own, and the sweep only collects what is left (`source`, `stale`).
//!
//! **What a peer can make us hold is bounded** by its limit (`limit`), where it has one, and by a
//! number of paths for each prefix.
//!
//! **Nothing observable follows the order of a hash table.** Outputs come in order of arrival or of
//! place in the table, reads in order of prefix.

mod aggregate;
mod attrs;
mod bitset;
mod changes;
mod decision;
mod drawn;
mod egress;
mod export;
mod import;
mod ingress;
mod interface;
mod intern;
mod limit;
#[cfg(test)]
mod model;
mod multipath;
mod preference;
mod select;
mod source;
mod stale;
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
use crate::route::{Retention, RouteEvent, SessionUp};
use crate::types::{Family, PeerId, Prefix};

pub use interface::{
    Aggregate, AsOverride, ExportBounds, Forwarding, Input, LimitAction, LimitEvent, LocalAs,
    LocalAsPrepend, MedComparison, MedPlace, MoreSpecifics, Multipath, MultipathAs, NexthopMode,
    NexthopState, Output, PathView, PeerCounts, PeerOptions, Place, PrefixLimit, PrefixPage,
    PrivateAs, ReflectionRole, RibConfig, RibPeer, RouteHop, RouteView, Selection, Standing, Step,
};

pub use changes::RouteChanges;
pub use preference::{Asked, DrainNotice, Preference, WayBack};

use aggregate::{Aggregates, Counting};
use attrs::{AttrsId, AttrsTable};
use export::{Exports, GroupId, Groups, Key, Marks, Retired, Scratch};
use ingress::Ingress;
use intern::Interner;
use limit::Fill;
use source::{Life, Source, SourceCounts, SourceId, Sources, index_of};
use stale::Kept;
use sweep::Sweep;
use table::Tables;

/// Ways to a prefix, as in [`RouteChanges::runs`].
type Hops = SmallVec<[RouteHop; 2]>;

/// How many prefixes one `handle` looks at for work that touches many.
const BITE: usize = 2_000;

/// How many prefixes more one `handle` looks at for each that arrives. A peer that begins anew over
/// and over would otherwise bring more than is swept away behind it, whatever its limit.
const PACE: usize = 4;

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
    exports: Exports,
    scratch: Scratch,
    /// Those that are not simply reachable at no cost.
    nexthops: BTreeMap<IpAddr, NexthopState>,
    originated: BTreeSet<Prefix>,
    /// Prefixes whose own path is to be brought in line with `originated` and `aggregates`.
    originate_pending: BTreeSet<Prefix>,
    originated_attrs: AttrsId,
    aggregates: Aggregates,
    counting: Option<Counting>,
    aggregated_attrs: Arc<Attrs>,
    sweep: Sweep,
    retired: Vec<Retired>,
    /// Prefixes with at least one path, by family.
    occupied: [usize; Family::ALL.len()],
    changes: RouteChanges,
    outputs: VecDeque<Output>,
    /// When the first of what is kept has been kept long enough, or earlier.
    expiry: Option<Instant>,
    deadline: Option<Instant>,
    /// When the last input came: work that comes up later is due from then on.
    heard_at: Option<Instant>,
    /// [`BITE`], except where a test makes the bites small.
    bite: usize,
}

/// A configured peer.
#[derive(Debug)]
struct Peer {
    config: RibPeer,
    standing: Standing,
    preference: Preference,
    ingress: Ingress,
    /// While its session is established.
    session: Option<Established>,
    /// By family, what is kept until it is sent again.
    kept: [Option<Kept>; Family::ALL.len()],
}

/// What an established session adds to a peer.
#[derive(Debug)]
struct Established {
    /// By family, where it carries that.
    sources: [Option<SourceId>; Family::ALL.len()],
    up: SessionUp,
    group: GroupId,
}

impl Rib {
    /// Empty tables.
    #[must_use]
    pub fn new(config: RibConfig) -> Self {
        let hasher = FixedState::with_seed(config.seed);
        let mut attrs = AttrsTable::new(&config, hasher.clone());
        let originated_attrs = attrs.acquire(&Arc::new(Attrs::originated()));
        let aggregated_attrs = Arc::new(aggregate::attrs(&config));
        Self {
            aggregates: Aggregates::default(),
            counting: None,
            aggregated_attrs,
            tables: Tables::new(hasher.clone()),
            hops: Interner::new(hasher.clone()),
            sources: Sources::new(Source::ourselves(config.router_id), hasher.clone()),
            peers: BTreeMap::new(),
            groups: Groups::new(hasher.clone()),
            exports: Exports::Released,
            scratch: Scratch::new(hasher),
            nexthops: BTreeMap::new(),
            originated: BTreeSet::new(),
            originate_pending: BTreeSet::new(),
            originated_attrs,
            sweep: Sweep::default(),
            retired: Vec::new(),
            occupied: [0; Family::ALL.len()],
            changes: RouteChanges::default(),
            outputs: VecDeque::new(),
            expiry: None,
            deadline: None,
            heard_at: None,
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
        let budget = self.budget(&input);
        self.heard_at = Some(now);
        match input {
            Input::Configure(peer) => self.on_configure(peer, now),
            Input::Remove(peer) => {
                self.on_down(peer, &Retention::new(), now);
                self.end_all_kept(peer);
                self.peers.remove(&peer);
            }
            Input::Up(peer, session) => {
                self.on_down(peer, &Retention::new(), now);
                self.on_up(peer, session, now);
            }
            Input::Down(peer, retention) => self.on_down(peer, &retention, now),
            Input::Routes(peer, events) => self.on_routes(peer, events, now),
            Input::Refresh(peer, family) => self.on_refresh(peer, family),
            Input::Standing(peer, standing) => self.on_standing(peer, standing),
            Input::Preference(peer, preference) => self.on_preference(peer, preference),
            Input::Nexthop(address, state) => self.on_nexthop(address, state),
            Input::OwnAddresses(addresses) => self.on_own_addresses(addresses),
            Input::Originate(prefixes) => self.on_originate(prefixes),
            Input::Defer => self.on_defer(),
            Input::Release => self.on_release(),
            Input::Aggregate(aggregates) => self.on_aggregate(&aggregates),
            Input::Timeout => {}
        }
        self.expire(now);
        let left = self.work(budget);
        self.deadline = left.map_or(self.expiry, |_| Some(now));
        self.flush_changes();
    }

    /// How many prefixes are looked at with an input. What is heard of nexthops comes for many at a
    /// time, and is looked at once all of it has been heard.
    fn budget(&self, input: &Input) -> usize {
        match input {
            Input::Routes(_, events) => {
                let arriving: usize = events.iter().map(RouteEvent::prefix_count).sum();
                self.bite + PACE * arriving
            }
            Input::Nexthop(..) => 0,
            Input::Configure(_)
            | Input::Remove(_)
            | Input::Up(..)
            | Input::Down(..)
            | Input::Refresh(..)
            | Input::Standing(..)
            | Input::Preference(..)
            | Input::OwnAddresses(_)
            | Input::Originate(_)
            | Input::Defer
            | Input::Release
            | Input::Aggregate(_)
            | Input::Timeout => self.bite,
        }
    }

    /// What is to be done, in order; drain to `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`]: at once while work is left, otherwise when something has been
    /// kept long enough.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// A different AS or address ends what the session brought: it has to be established anew.
    fn on_configure(&mut self, config: RibPeer, now: Instant) {
        let id = config.id;
        let ingress = Ingress::new(&self.config, &config);
        let Some(peer) = self.peers.get_mut(&id) else {
            let peer = Peer {
                config,
                standing: Standing::Unranked,
                preference: Preference::default(),
                ingress,
                session: None,
                kept: Default::default(),
            };
            self.peers.insert(id, peer);
            return;
        };
        let old = std::mem::replace(&mut peer.config, config.clone());
        let same_import = old.import == config.import && peer.ingress == ingress;
        let same_session = (old.asn, old.address) == (config.asn, config.address)
            && peer.ingress.kind == ingress.kind;
        peer.ingress = ingress;
        if !same_session {
            self.on_down(id, &Retention::new(), now);
            self.end_all_kept(id);
            return;
        }
        if !same_import {
            for source in self.sources_of(id) {
                self.sweep.refilter(source);
            }
        }
        self.on_export_changed(id);
        if old.options.reflection != config.options.reflection {
            self.on_reflection(id, config.options.reflection);
        }
        self.limit_session(id);
    }

    /// What others are told of its paths depends on it.
    fn on_reflection(&mut self, id: PeerId, reflection: ReflectionRole) {
        for source in self.sources_of(id) {
            self.sources.source_mut(source).reflection = reflection;
        }
        self.owe_everything();
    }

    fn limit_session(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let limits = peer.config.options.receive_limit;
        let session = peer.session.as_ref();
        let sources = session.map_or_else(Default::default, |session| session.sources);
        for family in Family::ALL {
            if let Some(source) = sources[index_of(family)] {
                self.set_limit(source, family, limits[index_of(family)]);
            }
        }
    }

    fn on_up(&mut self, id: PeerId, up: SessionUp, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let families = up.dialect.families;
        let options = &peer.config.options;
        let sources = Family::ALL.map(|family| {
            families.contains(family).then(|| {
                self.sources.insert(Source {
                    peer: Some(id),
                    kind: peer.ingress.kind,
                    router_id: up.router_id.address(),
                    address: peer.config.address,
                    standing: peer.standing,
                    reflection: options.reflection,
                    life: Life::Alive,
                    counts: SourceCounts::default(),
                    limit: options.receive_limit[index_of(family)],
                    fill: Fill::Low,
                    nexthop_said: false,
                    bulky_said: false,
                })
            })
        });
        let key = Key::new(&self.config, &peer.config, &up, peer.preference);
        let marks = match up.enhanced_refresh {
            true => Marks::Enhanced,
            false => Marks::EndOfRib,
        };
        let group = self.join(id, key, marks);
        let preserved = up.preserved.intersection(families);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.session = Some(Established { sources, up, group });
        }
        self.await_resending(id, preserved, now);
    }

    fn on_down(&mut self, id: PeerId, retention: &Retention, now: Instant) {
        let session = self.peers.get_mut(&id).and_then(|peer| peer.session.take());
        let Some(session) = session else {
            return;
        };
        for (family, source) in Family::ALL.into_iter().zip(session.sources) {
            if let Some(source) = source {
                self.retain_or_end(id, family, source, retention, now);
            }
        }
        self.leave(id, session.group);
    }

    /// The sources of a peer: of its session, and what is kept.
    fn sources_of(&self, id: PeerId) -> SmallVec<[SourceId; 4]> {
        let Some(peer) = self.peers.get(&id) else {
            return SmallVec::new();
        };
        let session = peer.session.iter().flat_map(|session| session.sources);
        let kept = peer.kept.iter().flatten().flat_map(Kept::sources);
        session.flatten().chain(kept).collect()
    }

    fn on_standing(&mut self, id: PeerId, standing: Standing) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.standing == standing {
            return;
        }
        peer.standing = standing;
        for source in self.sources_of(id) {
            self.sources.source_mut(source).standing = standing;
            self.sweep.recheck(source);
        }
    }

    fn on_preference(&mut self, id: PeerId, preference: Preference) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut peer.preference, preference) != preference {
            self.on_export_changed(id);
        }
    }

    fn on_nexthop(&mut self, address: IpAddr, state: NexthopState) {
        let usual = NexthopState::Reachable { metric: 0 };
        let before = if state == usual {
            self.nexthops.remove(&address)
        } else {
            self.nexthops.insert(address, state)
        };
        if before.unwrap_or(usual) != state {
            self.sweep.recheck_everything();
        }
    }

    fn on_own_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        if self.attrs.set_own_addresses(addresses) {
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
