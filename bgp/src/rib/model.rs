//! A second, naive RIB beside the real one, under the same random input.
//!
//! The model keeps what peers announced in ordered maps and works everything out from scratch. It has
//! no sweeps, sources, groups, dirty sets or counts, so it is right wherever the real one takes a
//! short cut. What is a pure function of attributes and configuration (`ingress`, `egress`) it uses
//! as it is: those have tables of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::egress::{self, EgressKey, Sender, shown_asn};
use super::source::Kind;
use super::*;
use crate::attrs::{AsPath, Community, ExtCommunity, Origin, Reflection};
use crate::filter::{Action, Filter, Match, PrefixPattern, Prepend, Rule, Set, Verdict};
use crate::route::{Retained, RouteEvent, Updates};
use crate::types::{Asn, FamilySet, FirstAs, Hop, PathId, Role, RouterId};
use crate::wire::{Dialect, Frames, MessageKind, UpdateWriter, decode_update};

const US: Asn = Asn(65010);
const SEEDS: u64 = 400;
/// Found something once.
const FURTHER_SEED: u64 = 1137;
const OPERATIONS: usize = 300;
const PEERS: u32 = 5;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn maybe<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        (self.below(2) == 0).then(|| self.pick(items))
    }
}

fn prefixes() -> Vec<Prefix> {
    let v4 = (0..12).map(|i| format!("10.{i}.0.0/16"));
    let v6 = (0..4).map(|i| format!("2001:db8:{i}::/48"));
    let default = ["0.0.0.0/0".to_string()];
    v4.chain(v6)
        .chain(default)
        .chain(aggregates().map(|aggregate| aggregate.to_string()))
        .map(|text| text.parse().unwrap())
        .collect()
}

fn aggregates() -> [Prefix; 3] {
    ["10.0.0.0/8", "10.4.0.0/14", "2001:db8::/32"].map(|text| text.parse().unwrap())
}

fn filters() -> Vec<Arc<Filter>> {
    let rule = |prefixes: &[&str], communities: &[u32], action, set| Rule {
        matches: Match {
            prefixes: prefixes
                .iter()
                .map(|text| PrefixPattern::exact(text.parse().unwrap()))
                .collect(),
            communities: communities.iter().map(|c| Community(*c).into()).collect(),
            ..Match::default()
        },
        action,
        set,
    };
    let preferring = Set {
        local_pref: Some(200.into()),
        add_communities: vec![Community(9)],
        ..Set::default()
    };
    let steering = Set {
        med: Some(50.into()),
        prepend: Some(Prepend::own(2)),
        delete_communities: vec![Community(7).into()],
        ..Set::default()
    };
    let tagging = |community| Set {
        add_communities: vec![Community(community)],
        ..Set::default()
    };
    let called = Filter::compile(vec![
        rule(
            &["10.4.0.0/16", "10.5.0.0/16"],
            &[],
            Action::Next,
            tagging(4),
        ),
        rule(&["10.6.0.0/16"], &[], Action::Accept, tagging(5)),
        rule(&[], &[7], Action::Reject, Set::default()),
    ]);
    [
        Filter::accept_all(),
        Filter::accept_all(),
        Filter::reject_all(),
        Filter::compile(vec![
            rule(&[], &[7], Action::Reject, Set::default()),
            rule(
                &["10.1.0.0/16", "10.2.0.0/16"],
                &[],
                Action::Accept,
                preferring,
            ),
            rule(&["0.0.0.0/0"], &[], Action::Accept, Set::default()),
            rule(&[], &[], Action::Accept, steering.clone()),
        ]),
        Filter::compile(vec![
            rule(
                &["10.3.0.0/16", "10.4.0.0/16"],
                &[],
                Action::Next,
                tagging(3),
            ),
            rule(&[], &[8], Action::Next, steering),
            rule(&["0.0.0.0/0"], &[], Action::Accept, Set::default()),
            rule(&[], &[], Action::Call(Arc::new(called)), Set::default()),
            rule(&[], &[], Action::Accept, Set::default()),
        ]),
    ]
    .map(Arc::new)
    .to_vec()
}

fn random_attrs(random: &mut Random) -> Arc<Attrs> {
    let paths: [&[Asn]; 5] = [
        &[Asn(1)],
        &[Asn(1), Asn(5)],
        &[Asn(2)],
        &[Asn(2), Asn(5)],
        &[Asn(1), US],
    ];
    let mut communities: Vec<Community> = [
        random.maybe(&[Community(7), Community(8)]),
        (random.below(6) == 0).then_some(Community::NO_EXPORT),
        (random.below(9) == 0).then_some(Community::NO_ADVERTISE),
        (random.below(9) == 0).then_some(Community::NO_LLGR),
        (random.below(9) == 0).then_some(Community::LLGR_STALE),
        (random.below(9) == 0).then_some(Community::GRACEFUL_SHUTDOWN),
    ]
    .into_iter()
    .flatten()
    .collect();
    communities.sort_unstable();
    Arc::new(Attrs {
        origin: random.pick(&[Origin::Igp, Origin::Igp, Origin::Incomplete]),
        as_path: AsPath::sequence(random.pick(&paths)),
        nexthop: Some(random.pick(&nexthops())),
        med: random.maybe(&[0, 10, 20]),
        local_pref: random.maybe(&[100, 150]),
        communities: communities.into(),
        ext_communities: random.maybe(&bandwidths()).into_iter().collect(),
        reflection: random_reflection(random),
        only_to_customer: (random.below(4) == 0).then(|| random.pick(&[Asn(1), Asn(5)])),
        ..Attrs::originated()
    })
}

fn bandwidths() -> [ExtCommunity; 2] {
    [1e6_f32, 4e6].map(|rate| ExtCommunity(0x4004 << 48 | u64::from(rate.to_bits())))
}

fn random_reflection(random: &mut Random) -> Option<Box<Reflection>> {
    let ids = [[1, 1, 1, 9], [192, 0, 2, 200], [9, 9, 9, 9]].map(Ipv4Addr::from);
    (random.below(4) == 0).then(|| {
        Box::new(Reflection {
            originator_id: random.maybe(&ids),
            cluster_list: random.maybe(&ids).into_iter().collect(),
        })
    })
}

fn nexthops() -> [IpAddr; 3] {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().unwrap())
}

struct ModelPeer {
    config: RibPeer,
    standing: Standing,
    session: Option<ModelSession>,
    received: BTreeMap<(Prefix, Option<PathId>), Held>,
    /// By family, until when what is stale waits, and for what.
    kept: [Option<(Wait, Instant)>; 2],
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
            if Family::of(prefix) == family {
                held.age = age;
            }
        }
    }

    fn down(&mut self, retention: &Retention, now: Instant) {
        if self.session.take().is_none() {
            return;
        }
        for family in Family::ALL {
            let refreshing = matches!(self.kept[index_of(family)], Some((Wait::Refresh, _)));
            if !refreshing {
                self.drop_old(family);
            }
            self.age(family, Life::Stale);
            let retained = retention.iter().find(|retained| retained.family == family);
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
    aggregates: BTreeMap<Prefix, MoreSpecifics>,
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
        keep_lowest_within(paths, |path| match peer(path).map(|peer| peer.standing) {
            Some(Standing::Ranked { group, rank }) if ranks == Ranks::Asked => (Some(group), rank),
            _ => (None, 0),
        });
        keep_lowest_within(paths, |path| {
            let neighbour = match self.config.med {
                MedComparison::SameNeighbour => path.received.as_path.first(),
                MedComparison::Always => None,
            };
            (neighbour, path.attrs.med.unwrap_or(0))
        });
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

    fn hops(&self, prefix: &Prefix) -> Hops {
        if self.config.forwarding == Forwarding::Elsewhere {
            return Hops::new();
        }
        let group = |path: &ModelPath| match self.peers[&path.peer.unwrap()].standing {
            Standing::Ranked { group, .. } => Some(group),
            Standing::Unranked | Standing::Unusable => None,
        };
        let mut order = self.order(self.eligible(prefix), Ranks::Asked);
        if order.first().is_some_and(|best| best.peer.is_none()) {
            return Hops::new();
        }
        order.truncate(8);
        let shared = self.shared(self.eligible(prefix));
        let is_shared = |path: &ModelPath| {
            let mut shared = shared.iter();
            shared.any(|other| (other.peer, other.path_id) == (path.peer, path.path_id))
        };
        order.retain(|path| !is_shared(path));
        order.truncate(8 - shared.len());
        let weights = multipath::weights(shared.iter().map(|path| &path.attrs));
        let mut hops = Hops::new();
        let mut push = |path: &ModelPath, tier, weight| {
            let (peer, address) = (path.peer.unwrap(), path.attrs.nexthop.unwrap());
            let hop = Hop { peer, address };
            if hops.iter().all(|known| known.hop != hop) {
                hops.push(RouteHop { hop, tier, weight });
            }
        };
        for (path, weight) in shared.iter().zip(weights) {
            push(path, 0, weight);
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
                push(&path, tier, 0);
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
        let key = EgressKey::new(&self.config, &to.config, &to.session.as_ref()?.up);
        let suppresses = |aggregate: &Prefix| {
            aggregate != prefix
                && aggregate.contains(prefix)
                && self.aggregates[aggregate] == MoreSpecifics::Suppressed
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
        let med = med_of_export(to, prefix, &best.attrs);
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

/// What a peer was told: the paths of each prefix.
type Told = BTreeMap<Prefix, BTreeMap<Option<PathId>, Arc<Attrs>>>;

fn count_of(told: &Told, family: Family) -> usize {
    told.keys().filter(|net| Family::of(net) == family).count()
}

/// In no order.
fn is_same(told: &[Attrs], expected: &[Attrs]) -> bool {
    let mut rest = told.to_vec();
    expected.iter().all(|attrs| {
        let found = rest.iter().position(|known| known == attrs);
        found.map(|place| rest.swap_remove(place)).is_some()
    }) && rest.is_empty()
}

/// The real RIB, the model, and what a FIB and the peers have made of the outputs.
struct Pair {
    rib: Rib,
    model: Model,
    fib: BTreeMap<Prefix, Hops>,
    told: BTreeMap<PeerId, Told>,
    ready: BTreeSet<PeerId>,
    now: Instant,
}

impl Pair {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be had from nowhere else"
    )]
    fn new(config: RibConfig, bite: usize) -> Self {
        let mut rib = Rib::new(config.clone());
        rib.bite = bite;
        Self {
            rib,
            model: Model {
                config,
                peers: BTreeMap::new(),
                nexthops: BTreeMap::new(),
                originated: BTreeSet::new(),
                aggregates: BTreeMap::new(),
                active: BTreeSet::new(),
            },
            fib: BTreeMap::new(),
            told: BTreeMap::new(),
            ready: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        for peer in self.model.peers.values_mut() {
            peer.expire(self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    for RouteChange { prefix, hops } in changes {
                        let old = self.fib.get(&prefix).cloned().unwrap_or_default();
                        assert_ne!(old, hops, "a change that changes nothing: {prefix}");
                        self.fib.insert(prefix, hops);
                    }
                }
                Output::ExportReady(peer) => {
                    assert!(self.ready.insert(peer), "ready said twice");
                }
                Output::NexthopOurs { .. } | Output::Limit { .. } => {}
            }
        }
    }

    /// Asks once for UPDATEs, if the RIB said that there is something, and reads them as the peer
    /// does.
    fn export(&mut self, peer: PeerId) {
        if !self.ready.contains(&peer) {
            return;
        }
        match self.rib.poll_export(peer) {
            Some(updates) => {
                let model = &self.model.peers[&peer];
                let limits = model.config.options.send_limit;
                let events = heard(&updates, &model.session.as_ref().unwrap().up.dialect);
                let count = |told: Option<&Told>, family| told.map_or(0, |it| count_of(it, family));
                let before = Family::ALL.map(|family| count(self.told.get(&peer), family));
                for event in events {
                    self.apply(peer, event);
                    for (place, family) in Family::ALL.into_iter().enumerate() {
                        let most = limits[place].map_or(usize::MAX, |limit| limit as usize);
                        let count = count(self.told.get(&peer), family);
                        // A limit that became lower is kept once the rest is withdrawn.
                        assert!(
                            count <= most.max(before[place]),
                            "{peer:?} is told too much"
                        );
                    }
                }
            }
            None => {
                self.ready.remove(&peer);
            }
        }
        self.drain();
    }

    fn apply(&mut self, peer: PeerId, event: RouteEvent) {
        let told = self.told.entry(peer).or_default();
        match event {
            RouteEvent::Announce {
                attrs,
                prefixes,
                path_ids,
            } => {
                for (place, prefix) in prefixes.into_iter().enumerate() {
                    let paths = told.entry(prefix).or_default();
                    paths.insert(path_ids.get(place).copied(), Arc::clone(&attrs));
                }
            }
            RouteEvent::Withdraw { prefixes, path_ids } => {
                for (place, prefix) in prefixes.into_iter().enumerate() {
                    let paths = told.get_mut(&prefix);
                    let gone = paths.and_then(|it| it.remove(&path_ids.get(place).copied()));
                    assert!(gone.is_some(), "withdrew unsent {prefix}");
                    told.retain(|_, paths| !paths.is_empty());
                }
            }
            RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => {
            }
        }
    }

    fn settle(&mut self) {
        while self.rib.poll_timeout().is_some_and(|at| at <= self.now) {
            self.handle(Input::Timeout);
        }
        while let Some(peer) = self.ready.first().copied() {
            self.export(peer);
        }
    }

    fn check(&mut self) {
        self.settle();
        self.model.aggregate();
        for prefix in prefixes() {
            let hops = self.fib.get(&prefix).cloned().unwrap_or_default();
            assert_eq!(hops, self.model.hops(&prefix), "hops of {prefix}");
            let view = self.rib.route(&prefix);
            let best = view.and_then(|view| view.paths.into_iter().find(|path| path.best));
            let expected = self.model.best(self.model.eligible(&prefix));
            let named = expected.map(|path| (path.peer, path.path_id, path.attrs));
            assert_eq!(
                best.map(|path| (path.peer, path.path_id, path.attrs)),
                named,
                "best of {prefix}"
            );
        }
        for (id, peer) in &self.model.peers {
            self.check_peer(*id, peer);
        }
    }

    fn check_peer(&self, id: PeerId, peer: &ModelPeer) {
        let told = self.told.get(&id).cloned().unwrap_or_default();
        let mut held_back = [0; Family::ALL.len()];
        for prefix in prefixes() {
            let expected = self.model.exports(peer, &prefix);
            let paths = told.get(&prefix).into_iter().flat_map(BTreeMap::values);
            let paths: Vec<Attrs> = paths.map(|attrs| Attrs::clone(attrs)).collect();
            let place = index_of(Family::of(&prefix));
            if paths.is_empty() && peer.config.options.send_limit[place].is_some() {
                held_back[place] += usize::from(!expected.is_empty());
                continue;
            }
            let is_right = is_same(&paths, &expected);
            assert!(is_right, "{prefix} to {id:?}: {paths:?}, not {expected:?}");
        }
        for family in Family::ALL {
            let place = index_of(family);
            if let Some(limit) = peer.config.options.send_limit[place]
                && held_back[place] > 0
            {
                assert_eq!(count_of(&told, family), limit as usize, "room for {id:?}");
            }
            let all = prefixes();
            let of = all.iter().filter(|prefix| Family::of(prefix) == family);
            let best = of.clone().filter(|prefix| {
                let best = self.model.best(self.model.eligible(prefix));
                best.is_some_and(|best| best.peer == Some(id))
            });
            let stale = peer.held(family, Life::Stale) + peer.held(family, Life::LongLived);
            let counts = PeerCounts {
                received: peer.held(family, Life::Alive) + stale,
                accepted: of.map(|prefix| self.model.accepted(id, prefix).len()).sum(),
                best: best.count(),
                stale,
                discarded: peer.discarded[index_of(family)],
                advertised: count_of(&told, family),
                unsendable: self.rib.counts(id, family).unsendable,
                held_back: held_back[place],
            };
            assert_eq!(self.rib.counts(id, family), counts, "{id:?} {family}");
        }
    }

    fn configure(&mut self, config: RibPeer) {
        let id = config.id;
        let config_of_rib = self.model.config.clone();
        let ends = match self.model.peers.get_mut(&id) {
            Some(peer) => {
                let kind = peer.ingress(&config_of_rib).kind;
                let old = std::mem::replace(&mut peer.config, config.clone());
                for (place, family) in Family::ALL.into_iter().enumerate() {
                    let limit = config.options.receive_limit[place];
                    if old.options.receive_limit[place] != limit && peer.session.is_some() {
                        let held = peer.held(family, Life::Alive);
                        peer.closed[place] = limit.is_some_and(|limit| {
                            held > limit.max as usize && ends_session(limit.action)
                        });
                    }
                }
                peer.ingress(&config_of_rib).kind != kind
            }
            None => {
                let peer = ModelPeer {
                    config: config.clone(),
                    standing: Standing::Unranked,
                    session: None,
                    received: BTreeMap::new(),
                    kept: [None; 2],
                    closed: [false; 2],
                    discarded: [0; 2],
                };
                self.model.peers.insert(id, peer);
                false
            }
        };
        if ends {
            self.forget_peer(id, &Retention::new());
            if let Some(peer) = self.model.peers.get_mut(&id) {
                Family::ALL
                    .into_iter()
                    .for_each(|family| peer.drop_old(family));
            }
        }
        self.handle(Input::Configure(config));
    }

    /// What a driver does when a session ends: what the peer held and owed is void.
    fn forget_peer(&mut self, id: PeerId, retention: &Retention) {
        self.told.remove(&id);
        self.ready.remove(&id);
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.down(retention, self.now);
            peer.discarded = [0; 2];
        }
    }

    fn step(&mut self, random: &mut Random) {
        let id = PeerId(random.below(PEERS as usize) as u32);
        match random.below(33) {
            0..8 => self.announce(id, random),
            8..11 => self.withdraw(id, random),
            11 | 12 => self.up(id, random),
            13 => {
                let retention = random_retention(random);
                self.forget_peer(id, &retention);
                self.handle(Input::Down(id, retention));
            }
            14 => self.stand(id, random),
            15 => self.nexthop(random),
            16 | 17 => self.configure(random_peer(id, random)),
            18 => {
                let all = prefixes();
                let some: Vec<_> = (0..random.below(4)).map(|_| random.pick(&all)).collect();
                self.model.originated = some.iter().copied().collect();
                self.handle(Input::Originate(some));
            }
            32 => {
                let mut some = Vec::new();
                for prefix in aggregates() {
                    let all = [MoreSpecifics::Told, MoreSpecifics::Suppressed];
                    let aggregate = random.maybe(&all).map(|more_specifics| Aggregate {
                        prefix,
                        more_specifics,
                    });
                    some.extend(aggregate);
                }
                let pairs = some.iter().map(|item| (item.prefix, item.more_specifics));
                self.model.aggregates = pairs.collect();
                self.handle(Input::Aggregate(some));
            }
            19 => {
                self.handle(Input::Refresh(id, random.pick(&Family::ALL)));
            }
            20 if random.below(4) == 0 => {
                self.forget_peer(id, &Retention::new());
                self.model.peers.remove(&id);
                self.handle(Input::Remove(id));
            }
            21..24 => self.mark(id, random),
            24 => {
                self.now += Duration::from_secs(random.pick(&[1, 30, 100, 400]));
                self.handle(Input::Timeout);
            }
            _ => self.export(id),
        }
    }

    fn session(&self, id: PeerId) -> Option<&ModelSession> {
        self.model.peers.get(&id)?.session.as_ref()
    }

    fn up(&mut self, id: PeerId, random: &mut Random) {
        self.forget_peer(id, &Retention::new());
        let router_id = RouterId::new([1, 1, 1, 1 + random.below(2) as u8].into()).unwrap();
        let families = [FamilySet::EMPTY, FamilySet::ALL, FamilySet::ALL];
        let config = self.model.peers.get(&id).map(|peer| &peer.config);
        let shown = config.map_or(US, |peer| shown_asn(&self.model.config, peer));
        let dialect = Dialect {
            // What is configured later may show it another AS of ours.
            first_as: FirstAs::Free,
            extended_nexthop: random.pick(&families),
            add_path_send: random.pick(&[FamilySet::EMPTY, FamilySet::EMPTY, FamilySet::ALL]),
            ..Dialect::new(shown, asn_of(id))
        };
        let up = SessionUp {
            nexthops: OURS,
            enhanced_refresh: random.below(2) == 0,
            preserved: random.pick(&families),
            long_lived: random.pick(&families),
            connected: random.maybe(&["192.0.2.0/31".parse().unwrap()]),
            ..SessionUp::new(router_id, dialect)
        };
        let session = ModelSession {
            up: up.clone(),
            sends_path_ids: random.below(3) == 0,
        };
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.up(session, self.now);
        }
        self.handle(Input::Up(id, up));
    }

    /// The marks between routes.
    fn mark(&mut self, id: PeerId, random: &mut Random) {
        let family = random.pick(&Family::ALL);
        let event = random.pick(&[
            RouteEvent::EndOfRib(family),
            RouteEvent::RefreshBegins(family),
            RouteEvent::RefreshEnds(family),
        ]);
        if let Some(peer) = self.model.peers.get_mut(&id)
            && peer.session.is_some()
        {
            match event {
                RouteEvent::EndOfRib(_) => peer.ends(family, Wait::Routes),
                RouteEvent::RefreshBegins(_) => peer.refresh_begins(family, self.now),
                RouteEvent::RefreshEnds(_)
                | RouteEvent::Announce { .. }
                | RouteEvent::Withdraw { .. } => peer.ends(family, Wait::Refresh),
            }
        }
        self.handle(Input::Routes(id, vec![event]));
    }

    fn some_prefixes(&self, id: PeerId, random: &mut Random) -> (Vec<Prefix>, Vec<PathId>) {
        let all = prefixes();
        let some: Vec<_> = (0..=random.below(5)).map(|_| random.pick(&all)).collect();
        let numbers = self
            .session(id)
            .is_some_and(|session| session.sends_path_ids);
        let path_ids = some.iter().filter(|_| numbers);
        let path_ids = path_ids.map(|_| PathId(random.below(3) as u32)).collect();
        (some, path_ids)
    }

    fn announce(&mut self, id: PeerId, random: &mut Random) {
        let (prefixes, path_ids) = self.some_prefixes(id, random);
        let attrs = random_attrs(random);
        if let Some(peer) = self.model.peers.get_mut(&id)
            && peer.closed == [false; 2]
        {
            for (place, prefix) in prefixes.iter().enumerate() {
                peer.announce(*prefix, path_ids.get(place).copied(), &attrs);
            }
        }
        let event = RouteEvent::Announce {
            attrs,
            prefixes,
            path_ids,
        };
        self.handle(Input::Routes(id, vec![event]));
    }

    fn withdraw(&mut self, id: PeerId, random: &mut Random) {
        let (prefixes, path_ids) = self.some_prefixes(id, random);
        if let Some(peer) = self.model.peers.get_mut(&id)
            && peer.session.is_some()
        {
            for (place, prefix) in prefixes.iter().enumerate() {
                peer.received
                    .remove(&(*prefix, path_ids.get(place).copied()));
            }
        }
        let event = RouteEvent::Withdraw { prefixes, path_ids };
        self.handle(Input::Routes(id, vec![event]));
    }

    fn stand(&mut self, id: PeerId, random: &mut Random) {
        let standing = match random.below(5) {
            0 => Standing::Unranked,
            1 => Standing::Unusable,
            rank => Standing::Ranked {
                group: random.below(2) as u32,
                rank: rank as u32,
            },
        };
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.standing = standing;
        }
        self.handle(Input::Standing(id, standing));
    }

    fn nexthop(&mut self, random: &mut Random) {
        let address = random.pick(&nexthops());
        let state = random.pick(&[
            NexthopState::Reachable { metric: 0 },
            NexthopState::Reachable { metric: 10 },
            NexthopState::Unreachable,
        ]);
        self.model.nexthops.insert(address, state);
        self.handle(Input::Nexthop(address, state));
    }

    /// Takes everything away and looks for what was left behind.
    fn finish(&mut self) {
        for id in (0..PEERS).map(PeerId) {
            self.forget_peer(id, &Retention::new());
            self.handle(Input::Remove(id));
        }
        self.handle(Input::Originate(Vec::new()));
        self.handle(Input::Aggregate(Vec::new()));
        self.settle();
        assert!(self.fib.values().all(|hops| hops.is_empty()));
        assert_eq!(
            self.rib.attrs.len(),
            1,
            "only the attributes of our own prefixes remain"
        );
        assert_eq!((self.rib.hops.len(), self.rib.nexthops().count()), (0, 0));
        assert_eq!(self.rib.sources.len(), 1, "only we remain");
        for family in Family::ALL {
            assert_eq!(self.rib.prefix_count(family), 0);
            assert_eq!(self.rib.routes(family, None, 100), []);
        }
        for prefix in prefixes() {
            assert_eq!(
                self.rib.tables.find(&prefix),
                None,
                "{prefix} kept its node"
            );
        }
    }
}

/// Our own nexthops, by family.
const OURS: [Option<IpAddr>; Family::ALL.len()] = [
    Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200))),
    Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 200))),
];

/// What a peer makes of the bytes it gets.
fn heard(updates: &Updates, ours: &Dialect) -> Vec<RouteEvent> {
    let dialect = Dialect {
        local_asn: ours.peer_asn,
        peer_asn: ours.local_asn,
        add_path_receive: ours.add_path_send,
        add_path_send: ours.add_path_receive,
        ..ours.clone()
    };
    let (mut frames, mut events, mut faults) = (Frames::default(), Vec::new(), Vec::new());
    let mut count = 0;
    for bytes in &updates.bytes {
        let mut stream = &bytes[..];
        while let Some(frame) = frames.next(&mut stream) {
            let frame = frame.unwrap();
            if frame.kind == MessageKind::Update {
                decode_update(frame.body, &dialect, &mut events, &mut faults).unwrap();
                count += 1;
            }
        }
        assert_eq!(frames.buffered(), 0, "messages are whole");
    }
    assert_eq!((faults, count), (Vec::new(), updates.count));
    events
}

fn asn_of(id: PeerId) -> Asn {
    [Asn(1), Asn(1), Asn(2), US, US][id.0 as usize]
}

fn ends_session(action: LimitAction) -> bool {
    matches!(action, LimitAction::Restart(_) | LimitAction::Shutdown)
}

fn random_peer(id: PeerId, random: &mut Random) -> RibPeer {
    RibPeer {
        id,
        asn: asn_of(id),
        address: IpAddr::from([10, 255, 0, 10 - id.0 as u8]),
        import: random.pick(&filters()),
        export: random.pick(&filters()),
        options: random_options(random),
    }
}

fn random_options(random: &mut Random) -> PeerOptions {
    let limit = |random: &mut Random| {
        (random.below(4) == 0).then(|| PrefixLimit {
            max: 3,
            warn_at: 2,
            action: random.pick(&[
                LimitAction::Warn,
                LimitAction::Discard,
                LimitAction::Discard,
                LimitAction::Shutdown,
            ]),
        })
    };
    let modes = [
        NexthopMode::Ourselves,
        NexthopMode::Unchanged,
        NexthopMode::ThirdParty,
    ];
    let roles = [Role::Provider, Role::Customer, Role::Peer];
    let local_as = LocalAs {
        asn: Asn(65020),
        on_import: random.pick(&[LocalAsPrepend::Shown, LocalAsPrepend::Hidden]),
        on_export: random.pick(&[LocalAsPrepend::Shown, LocalAsPrepend::Hidden]),
    };
    PeerOptions {
        own_as_allowed: random.pick(&[0, 0, 1]),
        reflection: random.pick(&[ReflectionRole::NonClient, ReflectionRole::Client]),
        role: (random.below(3) == 0).then(|| random.pick(&roles)),
        nexthop: random.pick(&modes),
        local_as: (random.below(8) == 0).then_some(local_as),
        as_override: random.pick(&[AsOverride::Off, AsOverride::Off, AsOverride::On]),
        private_as: random.pick(&[PrivateAs::Kept, PrivateAs::Removed, PrivateAs::Replaced]),
        receive_limit: [limit(random), limit(random)],
        send_limit: [0; 2].map(|_: u8| (random.below(5) == 0).then(|| random.pick(&[0, 2, 5]))),
        add_path_limit: random.pick(&[0, 0, 1, 2]),
    }
}

fn random_retention(random: &mut Random) -> Retention {
    let families = random.pick(&[FamilySet::EMPTY, FamilySet::ALL, FamilySet::ALL]);
    let retained = |family| Retained {
        family,
        restart: Duration::from_secs(50),
        long_lived: Duration::from_secs(random.pick(&[0, 300])),
    };
    families.iter().map(retained).collect()
}

fn random_config(seed: u64, random: &mut Random) -> RibConfig {
    RibConfig {
        med: random.pick(&[MedComparison::SameNeighbour, MedComparison::Always]),
        multipath: Multipath {
            external: random.pick(&[1, 1, 2, 8]),
            internal: random.pick(&[1, 3]),
            as_paths: random.pick(&[MultipathAs::SameNeighbour, MultipathAs::AnyNeighbour]),
        },
        forwarding: random.pick(&[Forwarding::Here, Forwarding::Here, Forwarding::Elsewhere]),
        bounds: ExportBounds {
            prefixes: 1 + random.below(6),
            backlog: random.below(400),
        },
        ..RibConfig::new(US, RouterId::new([192, 0, 2, 200].into()).unwrap(), seed)
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let config = random_config(seed, &mut random);
    let mut pair = Pair::new(config, 1 + random.below(6));
    for id in (0..PEERS).map(PeerId) {
        let peer = random_peer(id, &mut random);
        pair.configure(peer);
    }
    for operation in 0..OPERATIONS {
        pair.step(&mut random);
        if operation % 23 == 0 {
            pair.check();
        }
    }
    pair.check();
    pair.finish();
}

#[test]
fn a_peer_that_flaps_faster_than_the_sweep_leaves_one_path() {
    let mut random = Random(1);
    let config = RibConfig::new(US, RouterId::new([192, 0, 2, 200].into()).unwrap(), 1);
    let mut pair = Pair::new(config, 0);
    let id = PeerId(0);
    pair.configure(RibPeer {
        options: PeerOptions::default(),
        ..random_peer(id, &mut random)
    });
    let prefix = prefixes()[0];
    for _ in 0..50 {
        let router_id = RouterId::new([1, 1, 1, 1].into()).unwrap();
        let dialect = Dialect::new(US, Asn(1));
        let up = SessionUp::new(router_id, dialect);
        pair.rib.handle(Input::Up(id, up), pair.now);
        let prefixes = vec![prefix];
        let attrs = random_attrs(&mut random);
        let event = RouteEvent::announce(attrs, prefixes);
        pair.rib.handle(Input::Routes(id, vec![event]), pair.now);
    }
    let slot = pair.rib.tables.find(&prefix).unwrap();
    assert_eq!(pair.rib.tables.entry(slot).paths.as_slice().len(), 1);
}

#[test]
fn the_rib_agrees_with_a_naive_model_under_random_operations() {
    for seed in (0..SEEDS).chain([FURTHER_SEED]) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
