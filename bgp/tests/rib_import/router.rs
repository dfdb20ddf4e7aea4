//! A router with five peers, and what they and its FIB make of what they are told.

use super::*;

pub(crate) const US: Asn = Asn(65010);
pub(crate) const OURSELVES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 200));
/// AS 1, 2 and 3.
pub(crate) const A: PeerId = PeerId(1);
pub(crate) const B: PeerId = PeerId(2);
pub(crate) const C: PeerId = PeerId(3);
/// Internal.
pub(crate) const I: PeerId = PeerId(11);
pub(crate) const J: PeerId = PeerId(12);
pub(crate) const V4: Family = Family::Ipv4Unicast;

/// What a peer is told of a prefix; `None` withdraws.
pub(crate) type Told = (Prefix, Option<Attrs>);

pub(crate) struct Router {
    pub(crate) rib: Rib,
    pub(crate) now: Instant,
    pub(crate) fib: BTreeMap<Prefix, Vec<RouteHop>>,
    pub(crate) discards: BTreeSet<Prefix>,
    pub(crate) changes: usize,
    pub(crate) limits: Vec<(PeerId, LimitEvent)>,
    pub(crate) ours: Vec<(PeerId, IpAddr)>,
}

impl Router {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: RibConfig) -> Self {
        let mut router = Self {
            rib: Rib::new(config),
            now: Instant::now(),
            fib: BTreeMap::new(),
            discards: BTreeSet::new(),
            changes: 0,
            limits: Vec::new(),
            ours: Vec::new(),
        };
        for id in [A, B, C, I, J] {
            router.configure(id, PeerOptions::default());
            router.up(id);
            router.told(id);
        }
        router
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        self.drain();
        while self.rib.poll_timeout().is_some_and(|at| at <= self.now) {
            self.rib.handle(Input::Timeout, self.now);
            self.drain();
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    for (prefix, to) in changes.iter() {
                        self.changes += 1;
                        self.fib.insert(prefix, to.hops().to_vec());
                        match to {
                            RouteTo::Discard => self.discards.insert(prefix),
                            RouteTo::Nothing | RouteTo::Hops(_) => self.discards.remove(&prefix),
                        };
                    }
                }
                Output::ExportReady(_) => {}
                Output::Limit { peer, event, .. } => self.limits.push((peer, event)),
                Output::NexthopOurs { peer, nexthop } => self.ours.push((peer, nexthop)),
            }
        }
    }

    pub(crate) fn configure(&mut self, id: PeerId, options: PeerOptions) {
        let filter = Arc::new(Filter::accept_all());
        self.handle(Input::Configure(RibPeer {
            id,
            asn: asn(id),
            address: address(id),
            import: Arc::clone(&filter),
            export: filter,
            options,
        }));
    }

    pub(crate) fn up(&mut self, id: PeerId) {
        self.handle(Input::Up(id, session(id)));
    }

    pub(crate) fn events(&mut self, id: PeerId, events: Vec<RouteEvent>) {
        self.handle(Input::Routes(id, events));
    }

    pub(crate) fn announce(&mut self, id: PeerId, prefixes: &[&str], attrs: Attrs) {
        let prefixes = prefixes.iter().map(|text| net(text)).collect();
        self.events(id, vec![RouteEvent::announce(Arc::new(attrs), prefixes)]);
    }

    pub(crate) fn withdraw(&mut self, id: PeerId, prefix: &str) {
        self.events(id, vec![RouteEvent::withdraw(vec![net(prefix)])]);
    }

    pub(crate) fn numbered(&mut self, id: PeerId, prefix: &str, path_id: u32, attrs: Attrs) {
        let event = RouteEvent::Announce {
            attrs: Arc::new(attrs),
            prefixes: vec![net(prefix)],
            path_ids: vec![PathId(path_id)],
        };
        self.events(id, vec![event]);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Timeout);
    }

    pub(crate) fn told(&mut self, peer: PeerId) -> Vec<Told> {
        let mut told = Vec::new();
        let dialect = session(peer).dialect;
        while let Some(updates) = self.rib.poll_export(peer) {
            for event in heard(&updates, &dialect) {
                match event {
                    RouteEvent::Announce {
                        attrs, prefixes, ..
                    } => {
                        let attrs = Some(as_ours(&attrs));
                        let all = prefixes.into_iter();
                        told.extend(all.map(|prefix| (prefix, attrs.clone())));
                    }
                    RouteEvent::Withdraw { prefixes, .. } => {
                        told.extend(prefixes.into_iter().map(|prefix| (prefix, None)));
                    }
                    RouteEvent::EndOfRib(_)
                    | RouteEvent::RefreshBegins(_)
                    | RouteEvent::RefreshEnds(_) => {}
                }
            }
        }
        self.drain();
        told
    }

    /// The attributes of the only announcement that the peer is told.
    pub(crate) fn told_attrs(&mut self, peer: PeerId) -> Attrs {
        let told = self.told(peer);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].1.clone().unwrap()
    }

    /// Peer and step of each path, best first.
    pub(crate) fn steps(&self, prefix: &str) -> Vec<(PeerId, Step)> {
        let view = self.rib.route(&net(prefix));
        let paths = view.map(|view| view.paths).unwrap_or_default();
        paths
            .iter()
            .map(|path| (path.peer.unwrap(), path.step))
            .collect()
    }

    pub(crate) fn hops(&self, prefix: &str) -> Vec<RouteHop> {
        self.fib.get(&net(prefix)).cloned().unwrap_or_default()
    }

    pub(crate) fn best(&self, prefix: &str) -> Option<Arc<Attrs>> {
        let view = self.rib.route(&net(prefix))?;
        let best = view.paths.into_iter().find(|path| path.best)?;
        Some(best.attrs)
    }

    pub(crate) fn received(&self, peer: PeerId) -> usize {
        self.rib.counts(peer, V4).received
    }
}

pub(crate) fn config() -> RibConfig {
    RibConfig::new(US, RouterId::new([192, 0, 2, 1].into()).unwrap(), 1)
}

pub(crate) fn asn(id: PeerId) -> Asn {
    if id.0 > 10 { US } else { Asn(id.0) }
}

pub(crate) fn address(id: PeerId) -> IpAddr {
    [10, 255, 0, id.0 as u8].into()
}

pub(crate) fn session(id: PeerId) -> SessionUp {
    let router_id = RouterId::new([10, 255, 0, id.0 as u8].into()).unwrap();
    let dialect = Dialect {
        // What is configured may show the peer another AS of ours.
        first_as: FirstAs::Free,
        ..Dialect::new(US, asn(id))
    };
    SessionUp {
        nexthops: [Some(OURSELVES), None],
        ..SessionUp::new(router_id, dialect)
    }
}

/// With our own address as it is before it is encoded.
pub(crate) fn as_ours(attrs: &Attrs) -> Attrs {
    let mut attrs = attrs.clone();
    attrs.nexthop = attrs.nexthop.filter(|nexthop| *nexthop != OURSELVES);
    attrs
}

pub(crate) fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn path(asns: &[u32]) -> AsPath {
    AsPath::sequence(&asns.iter().copied().map(Asn).collect::<Vec<_>>())
}

pub(crate) fn attrs(id: PeerId, asns: &[u32]) -> Attrs {
    Attrs {
        as_path: path(asns),
        nexthop: Some(address(id)),
        ..Attrs::originated()
    }
}

pub(crate) fn communities(communities: &[Community]) -> Attrs {
    Attrs {
        communities: communities.into(),
        ..attrs(A, &[1, 7])
    }
}

pub(crate) fn retention(restart: u64, long_lived: u64) -> Retention {
    let retained = |family| Retained {
        family,
        restart: Duration::from_secs(restart),
        long_lived: Duration::from_secs(long_lived),
        leftover: Leftover::Goes,
    };
    Family::ALL.into_iter().map(retained).collect()
}

pub(crate) fn preserving(id: PeerId) -> SessionUp {
    SessionUp {
        preserved: FamilySet::ALL,
        ..session(id)
    }
}
