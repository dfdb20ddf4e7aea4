//! A second, naive RIB beside the real one, under the same random input.
//!
//! The model keeps what peers announced in ordered maps and works everything out from scratch. It has
//! no sweeps, groups, dirty sets or counts, so it is right wherever the real one takes a short cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::attrs::{AsPath, Community, Origin};
use crate::filter::{Action, Filter, Match, PrefixPattern, Prepend, Rule, Set, Verdict};
use crate::route::{Delta, Retention, RouteEvent};
use crate::types::{Asn, Hop, RouterId};
use crate::wire::Dialect;

const US: Asn = Asn(65010);
const SEEDS: u64 = 400;
const OPERATIONS: usize = 300;

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
        .map(|text| text.parse().unwrap())
        .collect()
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
        ..Attrs::originated()
    })
}

fn nexthops() -> [IpAddr; 3] {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().unwrap())
}

struct ModelPeer {
    config: RibPeer,
    standing: Standing,
    router_id: Option<RouterId>,
    received: BTreeMap<Prefix, Arc<Attrs>>,
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
    attrs: Arc<Attrs>,
}

#[derive(Default)]
struct Model {
    peers: BTreeMap<PeerId, ModelPeer>,
    unreachable: BTreeSet<IpAddr>,
    originated: BTreeSet<Prefix>,
}

impl Model {
    fn eligible(&self, prefix: &Prefix) -> Vec<ModelPath> {
        let ours = self.originated.contains(prefix).then(|| ModelPath {
            peer: None,
            attrs: Arc::new(Attrs::originated()),
        });
        let theirs = self.peers.values().filter_map(|peer| {
            let received = peer.received.get(prefix)?;
            let usable = peer.standing != Standing::Unusable
                && !self.unreachable.contains(&received.nexthop.unwrap())
                && !received.as_path.iter().any(|asn| asn == US);
            match peer.config.import.evaluate(prefix, received, US) {
                Verdict::Accept(attrs) => usable.then_some(ModelPath {
                    peer: Some(peer.config.id),
                    attrs,
                }),
                Verdict::Reject => None,
            }
        });
        ours.into_iter().chain(theirs).collect()
    }

    fn best(&self, prefix: &Prefix, paths: Vec<ModelPath>) -> Option<ModelPath> {
        self.best_by(prefix, paths, Ranks::Asked)
    }

    fn best_by(
        &self,
        prefix: &Prefix,
        mut paths: Vec<ModelPath>,
        ranks: Ranks,
    ) -> Option<ModelPath> {
        let peer = |path: &ModelPath| path.peer.map(|id| &self.peers[&id]);
        if paths.iter().any(|path| path.peer.is_none()) {
            paths.retain(|path| path.peer.is_none());
        }
        keep_lowest(&mut paths, |path| {
            u32::MAX - path.attrs.local_pref.unwrap_or(100)
        });
        keep_lowest(&mut paths, |path| path.attrs.as_path.length());
        keep_lowest(&mut paths, |path| path.attrs.origin);
        keep_lowest_within(&mut paths, |path| {
            match peer(path).map(|peer| peer.standing) {
                Some(Standing::Ranked { group, rank }) if ranks == Ranks::Asked => {
                    (Some(group), rank)
                }
                _ => (None, 0),
            }
        });
        keep_lowest_within(&mut paths, |path| {
            let first = peer(path).and_then(|peer| peer.received[prefix].as_path.first());
            (first, path.attrs.med.unwrap_or(0))
        });
        keep_lowest(&mut paths, |path| {
            peer(path).is_some_and(|peer| peer.config.asn == US)
        });
        keep_lowest(&mut paths, |path| peer(path).map(|peer| peer.router_id));
        keep_lowest(&mut paths, |path| {
            peer(path).map(|peer| peer.config.address)
        });
        paths.first().cloned()
    }

    fn order(&self, prefix: &Prefix, mut paths: Vec<ModelPath>, ranks: Ranks) -> Vec<ModelPath> {
        let mut order = Vec::new();
        while let Some(best) = self.best_by(prefix, paths.clone(), ranks) {
            paths.retain(|path| path.peer != best.peer);
            order.push(best);
        }
        order
    }

    fn hops(&self, prefix: &Prefix) -> Hops {
        let key = |path: &ModelPath| {
            let attrs = &path.attrs;
            (
                attrs.local_pref.unwrap_or(100),
                attrs.as_path.length(),
                attrs.origin,
            )
        };
        let group = |path: &ModelPath| match self.peers[&path.peer.unwrap()].standing {
            Standing::Ranked { group, .. } => Some(group),
            Standing::Unranked | Standing::Unusable => None,
        };
        let order = self.order(prefix, self.eligible(prefix), Ranks::Asked);
        if order.first().is_some_and(|best| best.peer.is_none()) {
            return Hops::new();
        }
        let (mut hops, mut tier) = (Hops::new(), 0);
        for tied in order.chunk_by(|a, b| key(a) == key(b)) {
            let one_group =
                group(&tied[0]).is_some() && tied.iter().all(|path| group(path) == group(&tied[0]));
            let ordered = if one_group {
                self.order(prefix, tied.to_vec(), Ranks::Ignored)
            } else {
                tied.to_vec()
            };
            for path in ordered {
                let (peer, address) = (path.peer.unwrap(), path.attrs.nexthop.unwrap());
                hops.push(RouteHop {
                    hop: Hop { peer, address },
                    tier,
                });
                tier += u8::from(!one_group);
            }
            tier += 1;
        }
        hops
    }

    fn exports(&self, to: &ModelPeer, prefix: &Prefix) -> Option<Attrs> {
        let best = self.best(prefix, self.eligible(prefix))?;
        let from_internal = best.peer.is_some_and(|id| self.peers[&id].config.asn == US);
        let internal = to.config.asn == US;
        let has = |community| best.attrs.communities.contains(&community);
        if best.peer == Some(to.config.id)
            || (internal && from_internal)
            || has(Community::NO_ADVERTISE)
            || (!internal && has(Community::NO_EXPORT))
        {
            return None;
        }
        let Verdict::Accept(attrs) = to.config.export.evaluate(prefix, &best.attrs, US) else {
            return None;
        };
        let mut attrs = Attrs::clone(&attrs);
        attrs.nexthop = None;
        if internal {
            attrs.as_path = best.attrs.as_path.clone();
            attrs.local_pref = attrs.local_pref.or(Some(100));
        } else {
            attrs.med = med_of_export(to, prefix, &best.attrs);
            attrs.as_path = attrs.as_path.prepended(US, 1);
            attrs.local_pref = None;
        }
        Some(attrs)
    }
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

/// The real RIB, the model, and what a FIB and the peers have made of the outputs.
struct Pair {
    rib: Rib,
    model: Model,
    fib: BTreeMap<Prefix, Hops>,
    told: BTreeMap<PeerId, BTreeMap<Prefix, Arc<Attrs>>>,
    refreshed: BTreeSet<PeerId>,
    ready: BTreeSet<PeerId>,
    now: Instant,
}

impl Pair {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be had from nowhere else"
    )]
    fn new(seed: u64, bite: usize) -> Self {
        let mut rib = Rib::new(RibConfig::new(
            US,
            RouterId::new([192, 0, 2, 200].into()).unwrap(),
            seed,
        ));
        rib.bite = bite;
        Self {
            rib,
            model: Model::default(),
            fib: BTreeMap::new(),
            told: BTreeMap::new(),
            refreshed: BTreeSet::new(),
            ready: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
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
            }
        }
    }

    /// Asks once for a batch, if the RIB said that there is something.
    fn export(&mut self, peer: PeerId, limit: usize) {
        if !self.ready.contains(&peer) {
            return;
        }
        match self.rib.poll_export(peer, limit) {
            Some(batch) => {
                assert!(batch.deltas.len() <= limit);
                for delta in batch.deltas {
                    self.apply(peer, delta);
                }
            }
            None => {
                self.ready.remove(&peer);
                self.refreshed.remove(&peer);
            }
        }
        self.drain();
    }

    fn apply(&mut self, peer: PeerId, Delta { prefix, attrs }: Delta) {
        let told = self.told.entry(peer).or_default();
        match attrs {
            Some(attrs) => {
                let old = told.insert(prefix, Arc::clone(&attrs));
                let repeated = old.as_ref() == Some(&attrs);
                assert!(
                    !repeated || self.refreshed.contains(&peer),
                    "repeated {prefix}"
                );
            }
            None => assert!(told.remove(&prefix).is_some(), "withdrew unsent {prefix}"),
        }
    }

    fn settle(&mut self) {
        while self.rib.poll_timeout().is_some() {
            self.handle(Input::Timeout);
        }
        while let Some(peer) = self.ready.first().copied() {
            self.export(peer, 5);
        }
    }

    fn check(&mut self) {
        self.settle();
        for prefix in prefixes() {
            let hops = self.fib.get(&prefix).cloned().unwrap_or_default();
            assert_eq!(hops, self.model.hops(&prefix), "hops of {prefix}");
            let view = self.rib.route(&prefix);
            let best = view.and_then(|view| view.paths.into_iter().find(|path| path.best));
            let expected = self.model.best(&prefix, self.model.eligible(&prefix));
            let named = expected.map(|path| (path.peer, path.attrs));
            assert_eq!(
                best.map(|path| (path.peer, path.attrs)),
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
        let up = peer.router_id.is_some();
        for prefix in prefixes() {
            let expected = up.then(|| self.model.exports(peer, &prefix)).flatten();
            assert_eq!(
                told.get(&prefix).map(|attrs| &**attrs),
                expected.as_ref(),
                "{prefix} to {id:?}"
            );
        }
        for family in Family::ALL {
            let of = |prefix: &&Prefix| Family::of(prefix) == family;
            let received = peer.received.iter().filter(|(prefix, _)| of(prefix));
            let accepted = received.clone().filter(|(prefix, attrs)| {
                !attrs.as_path.iter().any(|asn| asn == US)
                    && peer.config.import.evaluate(prefix, attrs, US) != Verdict::Reject
            });
            let best = peer.received.keys().filter(of).filter(|prefix| {
                let best = self.model.best(prefix, self.model.eligible(prefix));
                best.is_some_and(|best| best.peer == Some(id))
            });
            let counts = PeerCounts {
                received: received.count(),
                accepted: accepted.count(),
                best: best.count(),
                advertised: told.keys().filter(of).count(),
            };
            assert_eq!(self.rib.counts(id, family), counts, "{id:?} {family}");
        }
    }

    fn configure(&mut self, config: RibPeer) {
        let id = config.id;
        match self.model.peers.get_mut(&id) {
            Some(peer) => peer.config = config.clone(),
            None => {
                let peer = ModelPeer {
                    config: config.clone(),
                    standing: Standing::Unranked,
                    router_id: None,
                    received: BTreeMap::new(),
                };
                self.model.peers.insert(id, peer);
            }
        }
        self.handle(Input::Configure(config));
    }

    /// What a driver does when a session ends: what the peer held and owed is void.
    fn forget_peer(&mut self, id: PeerId) {
        self.told.remove(&id);
        self.ready.remove(&id);
        self.refreshed.remove(&id);
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.received.clear();
            peer.router_id = None;
        }
    }

    fn step(&mut self, random: &mut Random) {
        let id = PeerId(random.below(4) as u32);
        match random.below(24) {
            0..8 => self.announce(id, random),
            8..11 => self.withdraw(id, random),
            11 | 12 => {
                self.forget_peer(id);
                let router_id = RouterId::new([1, 1, 1, 1 + random.below(2) as u8].into()).unwrap();
                if let Some(peer) = self.model.peers.get_mut(&id) {
                    peer.router_id = Some(router_id);
                }
                let dialect = Dialect::new(US, asn_of(id));
                self.handle(Input::Up(id, SessionUp::new(router_id, dialect)));
            }
            13 => {
                self.forget_peer(id);
                self.handle(Input::Down(id, Retention::new()));
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
            19 => {
                if self
                    .model
                    .peers
                    .get(&id)
                    .is_some_and(|peer| peer.router_id.is_some())
                {
                    self.refreshed.insert(id);
                }
                self.handle(Input::Refresh(id, random.pick(&Family::ALL)));
            }
            20 if random.below(4) == 0 => {
                self.forget_peer(id);
                self.model.peers.remove(&id);
                self.handle(Input::Remove(id));
            }
            _ => self.export(id, 1 + random.below(4)),
        }
    }

    fn announce(&mut self, id: PeerId, random: &mut Random) {
        let all = prefixes();
        let some: Vec<_> = (0..=random.below(4)).map(|_| random.pick(&all)).collect();
        let attrs = random_attrs(random);
        if let Some(peer) = self.model.peers.get_mut(&id)
            && peer.router_id.is_some()
        {
            peer.received
                .extend(some.iter().map(|prefix| (*prefix, Arc::clone(&attrs))));
        }
        let event = RouteEvent::announce(attrs, some);
        self.handle(Input::Routes(id, vec![event]));
    }

    fn withdraw(&mut self, id: PeerId, random: &mut Random) {
        let all = prefixes();
        let some: Vec<_> = (0..=random.below(6)).map(|_| random.pick(&all)).collect();
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.received.retain(|prefix, _| !some.contains(prefix));
        }
        let event = RouteEvent::withdraw(some);
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
        let state = random.pick(&[NexthopState::Reachable, NexthopState::Unreachable]);
        match state {
            NexthopState::Reachable => self.model.unreachable.remove(&address),
            NexthopState::Unreachable => self.model.unreachable.insert(address),
        };
        self.handle(Input::Nexthop(address, state));
    }

    /// Takes everything away and looks for what was left behind.
    fn finish(&mut self) {
        for id in (0..4).map(PeerId) {
            self.forget_peer(id);
            self.handle(Input::Remove(id));
        }
        self.handle(Input::Originate(Vec::new()));
        self.settle();
        assert!(self.fib.values().all(|hops| hops.is_empty()));
        assert_eq!(
            self.rib.attrs.len(),
            1,
            "only the attributes of our own prefixes remain"
        );
        assert_eq!((self.rib.hops.len(), self.rib.nexthops().count()), (0, 0));
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

fn asn_of(id: PeerId) -> Asn {
    [Asn(1), Asn(1), Asn(2), US][id.0 as usize]
}

fn random_peer(id: PeerId, random: &mut Random) -> RibPeer {
    RibPeer {
        id,
        asn: asn_of(id),
        address: IpAddr::from([10, 255, 0, 10 - id.0 as u8]),
        import: random.pick(&filters()),
        export: random.pick(&filters()),
        options: PeerOptions::default(),
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let mut pair = Pair::new(seed, 1 + random.below(6));
    for id in (0..4).map(PeerId) {
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
    let mut pair = Pair::new(1, 0);
    let mut random = Random(1);
    let id = PeerId(0);
    pair.configure(random_peer(id, &mut random));
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
    for seed in 0..SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
