//! The real RIB and the model side by side, and what may happen to both.

use super::chance::*;
use super::*;

const SEEDS: u64 = 400;
/// Found something once.
const FURTHER_SEED: u64 = 1137;
const OPERATIONS: usize = 300;
const PEERS: u32 = 5;

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
    fib: BTreeMap<Prefix, RouteTo>,
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
                    for (prefix, to) in changes.iter() {
                        let old = self.fib.get(&prefix).unwrap_or(&RouteTo::Nothing);
                        assert_ne!(old, to, "a change that changes nothing: {prefix}");
                        self.fib.insert(prefix, to.clone());
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
            let to = self.fib.get(&prefix).unwrap_or(&RouteTo::Nothing);
            assert_eq!(*to, self.model.route_to(&prefix), "route of {prefix}");
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
                    preference: Preference::default(),
                    network: None,
                    session: None,
                    received: BTreeMap::new(),
                    kept: [None; 2],
                    lives: [(0, None); 2],
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
        match random.below(35) {
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
                    let rest = random.pick(&[Rest::Discarded, Rest::Discarded, Rest::Untouched]);
                    let aggregate = random.maybe(&all).map(|more_specifics| Aggregate {
                        prefix,
                        more_specifics,
                        rest,
                    });
                    some.extend(aggregate);
                }
                let pairs = some.iter().map(|item| (item.prefix, *item));
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
            33 => self.prefer(id, random),
            34 => {
                let network = random.maybe(&["192.0.2.0/31".parse().unwrap()]);
                if let Some(peer) = self.model.peers.get_mut(&id) {
                    peer.network = network;
                }
                self.handle(Input::Network(id, network));
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
                rank: rank as u32 / 2,
                tiebreak: random.below(2) as u32,
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

    fn prefer(&mut self, id: PeerId, random: &mut Random) {
        let preference = random.pick(&[
            Preference::Unsaid,
            Preference::Primary,
            Preference::Secondary,
            Preference::Further,
            Preference::Draining,
        ]);
        if let Some(peer) = self.model.peers.get_mut(&id) {
            peer.preference = preference;
        }
        self.handle(Input::Preference(id, preference));
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
        assert!(self.fib.values().all(|to| *to == RouteTo::Nothing));
        assert_eq!(
            self.rib.attrs.len(),
            1,
            "only the attributes of our own prefixes remain"
        );
        assert_eq!((self.rib.routes.len(), self.rib.nexthops().count()), (0, 0));
        assert_eq!(self.rib.sources.len(), 1, "only we remain");
        for family in Family::ALL {
            assert_eq!(self.rib.prefix_count(family), 0);
            let page = self.rib.prefixes(family, Selection::All, None, usize::MAX);
            assert_eq!(page.prefixes, []);
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

fn ends_session(action: LimitAction) -> bool {
    matches!(action, LimitAction::Restart(_) | LimitAction::Shutdown)
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
