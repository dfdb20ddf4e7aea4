//! A second, naive RIB beside the real one, under the same random input.
//!
//! The model keeps what peers announced in ordered maps and works everything out from scratch. It has
//! no sweeps, sources, groups, dirty sets or counts, so it is right wherever the real one takes a
//! short cut. What is a pure function of attributes and configuration (`ingress`, `egress`) it uses
//! as it is: those have tables of their own.

mod chance;
mod pair;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::egress::{self, EgressKey, Sender, shown_asn};
use super::source::Kind;
use super::*;
use crate::attrs::{AsPath, Community, ExtCommunity, Origin, Reflection};
use crate::filter::{Action, Filter, Match, PrefixPattern, Prepend, Rule, Set, Verdict};
use crate::route::{Leftover, Retained, RouteEvent, Updates};
use crate::types::{Asn, FamilySet, FirstAs, Hop, PathId, Role, RouterId};
use crate::wire::{Dialect, Frames, MessageKind, UpdateWriter, decode_update};

use chance::prefixes;

const US: Asn = Asn(65010);
/// Our own nexthops, by family.
const OURS: [Option<IpAddr>; Family::ALL.len()] = [
    Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200))),
    Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 200))),
];

struct ModelPeer {
    config: RibPeer,
    standing: Standing,
    preference: Preference,
    network: Option<Prefix>,
    session: Option<ModelSession>,
    received: BTreeMap<(Prefix, Option<PathId>), Held>,
    /// By family, until when what is stale waits, and for what.
    kept: [Option<(Wait, Instant)>; 2],
    /// By family, how many lives of a session there are of what is stale, and when the peer was first back.
    lives: [(usize, Option<Instant>); 2],
    closed: [bool; 2],
    discarded: [u64; 2],
}

struct ModelSession {
    up: SessionUp,
    sends_path_ids: bool,
}

/// What a peer announced, and when.
#[derive(Clone)]
struct Held {
    attrs: Arc<Attrs>,
    router_id: RouterId,
    age: Life,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Session { long_lived: Duration },
    Routes,
    Refresh,
}

impl ModelPeer {
    fn ingress(&self, config: &RibConfig) -> Ingress {
        Ingress::new(config, &self.config)
    }

    fn held(&self, family: Family, age: Life) -> usize {
        let of = |(prefix, _): &&(Prefix, Option<PathId>)| Family::of(prefix) == family;
        let keys = self.received.keys().filter(of);
        keys.filter(|key| self.received[key].age == age).count()
    }

    fn drop_old(&mut self, family: Family) {
        self.kept[index_of(family)] = None;
        self.received
            .retain(|(prefix, _), held| Family::of(prefix) != family || held.age == Life::Alive);
    }

    fn age(&mut self, family: Family, age: Life) {
        for ((prefix, _), held) in &mut self.received {
            if Family::of(prefix) == family && held.age != Life::LongLived {
                held.age = age;
            }
        }
    }

    fn down(&mut self, retention: &Retention, now: Instant) {
        if self.session.take().is_none() {
            return;
        }
        for family in Family::ALL {
            let retained = retention.iter().find(|retained| retained.family == family);
            let (lives, back) = self.lives[index_of(family)];
            let in_time = back.is_some_and(|back| now < back + Duration::from_secs(360));
            let stays = retained.is_some_and(|retained| retained.leftover == Leftover::Stays);
            self.lives[index_of(family)] = match self.kept[index_of(family)] {
                Some((Wait::Refresh, _)) => (2, None),
                Some((Wait::Routes, _)) if stays && in_time && lives < 4 => (lives + 1, back),
                _ => {
                    self.drop_old(family);
                    (1, None)
                }
            };
            self.age(family, Life::Stale);
            match retained {
                Some(retained) => {
                    let long_lived = retained.long_lived;
                    let wait = (Wait::Session { long_lived }, now + retained.restart);
                    self.kept[index_of(family)] = Some(wait);
                }
                None => self.drop_old(family),
            }
        }
    }

    fn up(&mut self, session: ModelSession, now: Instant) {
        for family in Family::ALL {
            let kept = &mut self.kept[index_of(family)];
            match kept {
                Some(kept) if session.up.preserved.contains(family) => {
                    *kept = (Wait::Routes, now + Duration::from_secs(360));
                    self.lives[index_of(family)].1.get_or_insert(now);
                }
                _ => self.drop_old(family),
            }
        }
        self.session = Some(session);
        self.closed = [false; 2];
        self.discarded = [0; 2];
    }

    fn refresh_begins(&mut self, family: Family, now: Instant) {
        let until = now + Duration::from_secs(360);
        match &mut self.kept[index_of(family)] {
            Some(kept) => kept.1 = until,
            kept @ None => {
                *kept = Some((Wait::Refresh, until));
                self.age(family, Life::Stale);
            }
        }
    }

    fn ends(&mut self, family: Family, wait: Wait) {
        if self.kept[index_of(family)].is_some_and(|(waits, _)| waits == wait) {
            self.drop_old(family);
        }
    }

    fn expire(&mut self, now: Instant) {
        for family in Family::ALL {
            let Some((wait, _)) = self.kept[index_of(family)].filter(|(_, until)| *until <= now)
            else {
                continue;
            };
            match wait {
                Wait::Session { long_lived } if !long_lived.is_zero() => {
                    let wait = Wait::Session {
                        long_lived: Duration::ZERO,
                    };
                    self.kept[index_of(family)] = Some((wait, now + long_lived));
                    self.age(family, Life::LongLived);
                    self.received.retain(|(prefix, _), held| {
                        let no_llgr = held.attrs.communities.contains(&Community::NO_LLGR);
                        Family::of(prefix) != family || !no_llgr
                    });
                }
                Wait::Session { .. } | Wait::Routes | Wait::Refresh => self.drop_old(family),
            }
        }
    }

    fn announce(&mut self, prefix: Prefix, path_id: Option<PathId>, attrs: &Arc<Attrs>) {
        let Some(session) = &self.session else {
            return;
        };
        let router_id = session.up.router_id;
        let (family, place) = (Family::of(&prefix), index_of(Family::of(&prefix)));
        let known = self.received.get(&(prefix, path_id));
        let is_new = known.is_none_or(|known| known.age != Life::Alive);
        let held = self.held(family, Life::Alive);
        if let Some(limit) = self.config.options.receive_limit[place]
            && is_new
            && held >= limit.max as usize
        {
            match limit.action {
                LimitAction::Warn => {}
                LimitAction::Discard => {
                    self.discarded[place] += 1;
                    return;
                }
                LimitAction::Restart(_) | LimitAction::Shutdown => {
                    self.discarded[place] += 1;
                    self.closed[place] = true;
                    return;
                }
            }
        }
        let held = Held {
            attrs: Arc::clone(attrs),
            router_id,
            age: Life::Alive,
        };
        self.received.insert((prefix, path_id), held);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ranks {
    Asked,
    Ignored,
}

/// A path of the model: from whom, and its attributes after the import filter.
#[derive(Clone)]
struct ModelPath {
    peer: Option<PeerId>,
    path_id: Option<PathId>,
    router_id: Option<RouterId>,
    attrs: Arc<Attrs>,
    received: Arc<Attrs>,
}

struct Model {
    config: RibConfig,
    peers: BTreeMap<PeerId, ModelPeer>,
    nexthops: BTreeMap<IpAddr, NexthopState>,
    originated: BTreeSet<Prefix>,
    aggregates: BTreeMap<Prefix, Aggregate>,
    /// Aggregates with contributors, as of the last [`Model::aggregate`].
    active: BTreeSet<Prefix>,
}

impl Model {
    /// The longest first: they contribute to shorter ones.
    fn aggregate(&mut self) {
        self.active.clear();
        let mut aggregates: Vec<Prefix> = self.aggregates.keys().copied().collect();
        aggregates.sort_by_key(|aggregate| std::cmp::Reverse(aggregate.prefix_len()));
        for aggregate in aggregates {
            let within = |prefix: &Prefix| *prefix != aggregate && aggregate.contains(prefix);
            if prefixes()
                .iter()
                .any(|prefix| within(prefix) && self.best(self.eligible(prefix)).is_some())
            {
                self.active.insert(aggregate);
            }
        }
    }

    /// Every path that the import filter and the checks before it accept.
    fn accepted(&self, id: PeerId, prefix: &Prefix) -> Vec<ModelPath> {
        let peer = &self.peers[&id];
        let ingress = peer.ingress(&self.config);
        let of = peer.received.iter().filter(|((of, _), _)| of == prefix);
        of.filter_map(|((_, path_id), held)| {
            let table = AttrsTable::new(&self.config, FixedState::with_seed(0));
            if ingress
                .refusal(&held.attrs, &table.facts_of(&held.attrs))
                .is_some()
            {
                return None;
            }
            match peer.config.import.evaluate(prefix, &held.attrs, US) {
                Verdict::Accept(attrs) => Some(ModelPath {
                    peer: Some(id),
                    path_id: *path_id,
                    router_id: Some(held.router_id),
                    attrs: ingress.treat(attrs, held.age),
                    received: Arc::clone(&held.attrs),
                }),
                Verdict::Reject => None,
            }
        })
        .collect()
    }

    fn eligible(&self, prefix: &Prefix) -> Vec<ModelPath> {
        let ours = if self.originated.contains(prefix) {
            Some(Attrs::originated())
        } else {
            let active = self.active.contains(prefix);
            active.then(|| aggregate::attrs(&self.config))
        };
        let ours = ours.map(Arc::new).map(|attrs| ModelPath {
            peer: None,
            path_id: None,
            router_id: None,
            attrs: Arc::clone(&attrs),
            received: attrs,
        });
        let usable = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.standing != Standing::Unusable);
        let theirs = usable
            .flat_map(|(id, _)| self.accepted(*id, prefix))
            .filter(|path| self.metric(path).is_some());
        ours.into_iter().chain(theirs).collect()
    }

    fn metric(&self, path: &ModelPath) -> Option<u32> {
        match self.nexthops.get(&path.attrs.nexthop?) {
            Some(NexthopState::Reachable { metric }) => Some(*metric),
            Some(NexthopState::Unreachable) => None,
            None => Some(0),
        }
    }

    fn kind(&self, path: &ModelPath) -> Kind {
        let peer = path.peer.map(|id| &self.peers[&id]);
        peer.map_or(Kind::Originated, |peer| peer.ingress(&self.config).kind)
    }

    fn best(&self, paths: Vec<ModelPath>) -> Option<ModelPath> {
        self.best_by(paths, Ranks::Asked)
    }

    fn best_by(&self, mut paths: Vec<ModelPath>, ranks: Ranks) -> Option<ModelPath> {
        self.keep_equal(&mut paths, ranks);
        let peer = |path: &ModelPath| path.peer.map(|id| &self.peers[&id]);
        keep_lowest(&mut paths, |path| {
            let reflection = path.attrs.reflection.as_ref();
            let originator = reflection.and_then(|reflection| reflection.originator_id);
            originator.or(path.router_id.map(RouterId::address))
        });
        keep_lowest(&mut paths, |path| {
            let reflection = path.attrs.reflection.as_ref();
            reflection.map_or(0, |reflection| reflection.cluster_list.len())
        });
        keep_lowest(&mut paths, |path| {
            peer(path).map(|peer| peer.config.address)
        });
        keep_lowest(&mut paths, |path| path.path_id);
        paths.first().cloned()
    }

    /// Keeps what no pass before that of the identifier tells apart.
    fn keep_equal(&self, paths: &mut Vec<ModelPath>, ranks: Ranks) {
        let peer = |path: &ModelPath| path.peer.map(|id| &self.peers[&id]);
        keep_lowest(paths, class);
        let link = |path: &ModelPath| match peer(path).map(|peer| peer.standing) {
            Some(Standing::Ranked {
                group,
                rank,
                tiebreak,
            }) if ranks == Ranks::Asked => (Some(group), rank, tiebreak),
            _ => (None, 0, 0),
        };
        keep_lowest_within(paths, |path| (link(path).0, link(path).1));
        keep_lowest_within(paths, |path| {
            let neighbour = match self.config.med {
                MedComparison::SameNeighbour => path.received.as_path.first(),
                MedComparison::Always => None,
            };
            (neighbour, path.attrs.med.unwrap_or(0))
        });
        keep_lowest_within(paths, |path| (link(path).0, link(path).2));
        keep_lowest(paths, |path| self.kind(path));
        keep_lowest(paths, |path| self.metric(path));
    }

    fn order(&self, mut paths: Vec<ModelPath>, ranks: Ranks) -> Vec<ModelPath> {
        let mut order = Vec::new();
        while let Some(best) = self.best_by(paths.clone(), ranks) {
            paths.retain(|path| (path.peer, path.path_id) != (best.peer, best.path_id));
            order.push(best);
        }
        order
    }

    /// The paths that share traffic.
    fn shared(&self, mut paths: Vec<ModelPath>) -> Vec<ModelPath> {
        self.keep_equal(&mut paths, Ranks::Asked);
        let mut shared = self.order(paths, Ranks::Asked);
        let multipath = &self.config.multipath;
        let Some(best) = shared.first().cloned() else {
            return shared;
        };
        if multipath.as_paths == MultipathAs::SameNeighbour {
            shared.retain(|path| path.received.as_path.first() == best.received.as_path.first());
        }
        shared.truncate(match self.kind(&best) {
            Kind::Originated => 0,
            Kind::External => multipath.external.into(),
            Kind::Internal => multipath.internal.into(),
        });
        if shared.len() < 2 {
            shared.clear();
        }
        shared
    }

    fn med_place(&self, path: &ModelPath, tied: &[ModelPath]) -> MedPlace {
        let of = |path: &ModelPath| {
            let neighbour = match self.config.med {
                MedComparison::SameNeighbour => path.received.as_path.first(),
                MedComparison::Always => None,
            };
            (neighbour, path.attrs.med.unwrap_or(0))
        };
        let own = of(path);
        let all = tied.iter().map(of);
        let lower = all.filter(|other| *other < own);
        let (same, others): (Vec<_>, Vec<_>) = lower.partition(|other| other.0 == own.0);
        MedPlace {
            neighbour: others.len() as u8,
            place: same.len() as u8,
        }
    }

    fn route_to(&self, prefix: &Prefix) -> RouteTo {
        let order = self.order(self.eligible(prefix), Ranks::Asked);
        let Some(best) = order
            .first()
            .filter(|_| self.config.forwarding == Forwarding::Here)
        else {
            return RouteTo::Nothing;
        };
        let aggregate = self.aggregates.get(prefix);
        let rest = aggregate
            .filter(|_| !self.originated.contains(prefix))
            .map(|aggregate| aggregate.rest);
        match (best.peer, rest) {
            (Some(_), _) => RouteTo::Hops(self.hops(prefix, order)),
            (None, Some(Rest::Discarded)) => RouteTo::Discard,
            (None, Some(Rest::Untouched) | None) => RouteTo::Nothing,
        }
    }

    /// - `order`: of the paths of the prefix, of which the first is of a peer
    fn hops(&self, prefix: &Prefix, mut order: Vec<ModelPath>) -> SmallVec<[RouteHop; 2]> {
        let group = |path: &ModelPath| match self.peers[&path.peer.unwrap()].standing {
            Standing::Ranked { group, .. } => Some(group),
            Standing::Unranked | Standing::Unusable => None,
        };
        order.truncate(8);
        let shared = self.shared(self.eligible(prefix));
        let is_shared = |path: &ModelPath| {
            let mut shared = shared.iter();
            shared.any(|other| (other.peer, other.path_id) == (path.peer, path.path_id))
        };
        order.retain(|path| !is_shared(path));
        order.truncate(8 - shared.len());
        let weights = multipath::weights(shared.iter().map(|path| &path.attrs));
        let mut hops = SmallVec::<[RouteHop; 2]>::new();
        let mut push = |path: &ModelPath, tier, med, weight| {
            let (peer, address) = (path.peer.unwrap(), path.attrs.nexthop.unwrap());
            let hop = Hop { peer, address };
            if hops.iter().all(|known| known.hop != hop) {
                hops.push(RouteHop {
                    hop,
                    tier,
                    med,
                    weight,
                });
            }
        };
        for (path, weight) in shared.iter().zip(weights) {
            push(path, 0, MedPlace::default(), weight);
        }
        let mut tier = u8::from(!shared.is_empty());
        for tied in order.chunk_by(|a, b| class(a) == class(b)) {
            let one_group =
                group(&tied[0]).is_some() && tied.iter().all(|path| group(path) == group(&tied[0]));
            let ordered = if one_group {
                self.order(tied.to_vec(), Ranks::Ignored)
            } else {
                tied.to_vec()
            };
            for path in ordered {
                let med = match one_group {
                    true => self.med_place(&path, tied),
                    false => MedPlace::default(),
                };
                push(&path, tier, med, 0);
                tier += u8::from(!one_group);
            }
            tier += 1;
        }
        hops
    }

    /// Everything that a peer without a limit is told of a prefix.
    fn exports(&self, to: &ModelPeer, prefix: &Prefix) -> Vec<Attrs> {
        let Some(session) = &to.session else {
            return Vec::new();
        };
        let mut paths = self.eligible(prefix);
        let family = Family::of(prefix);
        let chosen = if session.up.dialect.add_path_send.contains(family) {
            paths.retain(|path| path.peer != Some(to.config.id));
            let mut ranked = self.order(paths, Ranks::Asked);
            match to.config.options.add_path_limit {
                0 => {}
                limit => ranked.truncate(limit.into()),
            }
            ranked
        } else {
            self.best(paths).into_iter().collect()
        };
        let told = chosen.iter();
        told.filter_map(|path| self.export(to, prefix, path))
            .collect()
    }

    fn export(&self, to: &ModelPeer, prefix: &Prefix, best: &ModelPath) -> Option<Attrs> {
        let sender = match self.kind(best) {
            Kind::Originated => Sender::Ourselves,
            Kind::External => Sender::External,
            Kind::Internal => Sender::Internal {
                reflection: self.peers[&best.peer?].config.options.reflection,
                router_id: best.router_id?.address(),
            },
        };
        let asked = Asked::new(&self.config, &to.config, to.preference);
        let session = to.session.as_ref()?;
        let key = EgressKey::new(&self.config, &to.config, to.network, &session.up, asked);
        let suppresses = |aggregate: &Prefix| {
            aggregate != prefix
                && aggregate.contains(prefix)
                && self.aggregates[aggregate].more_specifics == MoreSpecifics::Suppressed
        };
        if self.active.iter().any(suppresses) {
            return None;
        }
        if best.peer == Some(to.config.id)
            || !egress::may_tell(sender, Family::of(prefix), &best.attrs, &key)
        {
            return None;
        }
        let filtered = to.config.export.evaluate(prefix, &best.attrs, key.shown);
        let Verdict::Accept(attrs) = filtered else {
            return None;
        };
        let med = med_of_export(to, prefix, &best.attrs).or(asked.med());
        let attrs = Attrs::clone(&attrs);
        let mut attrs = egress::treat(&key, sender, &best.attrs, attrs, med);
        let family = Family::of(prefix);
        let nexthop = attrs.nexthop.or(OURS[index_of(family)])?;
        attrs.nexthop = Some(nexthop);
        let dialect = &to.session.as_ref()?.up.dialect;
        let loaded = UpdateWriter::default().load(&attrs, nexthop, family, dialect);
        loaded.is_ok().then_some(attrs)
    }
}

/// What the passes before that of the link ranks compare.
fn class(path: &ModelPath) -> impl Ord + use<> {
    let attrs = &path.attrs;
    (
        path.peer.is_some(),
        attrs.communities.contains(&Community::LLGR_STALE),
        u32::MAX - attrs.local_pref.unwrap_or(100),
        attrs.as_path.length(),
        attrs.origin,
    )
}

/// The MED that the export filter gives to a path, whatever it came with.
fn med_of_export(to: &ModelPeer, prefix: &Prefix, attrs: &Attrs) -> Option<u32> {
    let without = Arc::new(Attrs {
        med: None,
        ..attrs.clone()
    });
    match to.config.export.evaluate(prefix, &without, US) {
        Verdict::Accept(attrs) => attrs.med,
        Verdict::Reject => None,
    }
}

fn keep_lowest<K: Ord>(paths: &mut Vec<ModelPath>, key: impl Fn(&ModelPath) -> K) {
    if let Some(lowest) = paths.iter().map(&key).min() {
        paths.retain(|path| key(path) == lowest);
    }
}

/// Keeps the lowest of each group. Paths that belong together have the same first half of the key.
fn keep_lowest_within<G: Ord, K: Ord>(
    paths: &mut Vec<ModelPath>,
    key: impl Fn(&ModelPath) -> (G, K),
) {
    let all = paths.clone();
    paths.retain(|path| {
        let (group, own) = key(path);
        !all.iter()
            .map(&key)
            .any(|(other, lower)| other == group && lower < own)
    });
}
