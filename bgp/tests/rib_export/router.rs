//! A router with three peers, and what they and its FIB make of what they are told.

use super::*;

pub(crate) const US: Asn = Asn(65010);
pub(crate) const A: PeerId = PeerId(1);
pub(crate) const B: PeerId = PeerId(2);
pub(crate) const C: PeerId = PeerId(3);
/// More than one bite.
pub(crate) const MANY: u32 = 5_000;
pub(crate) const OUR_NEXTHOP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What a peer is told of a prefix; `None` withdraws.
pub(crate) type Change = (Prefix, Option<Arc<Attrs>>);

/// What a peer makes of what it is sent.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) changes: Vec<Change>,
    pub(crate) marks: Vec<RouteEvent>,
}

impl Heard {
    pub(crate) fn hear(&mut self, updates: &Updates, dialect: &Dialect) {
        for event in heard(updates, dialect) {
            match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => {
                    let changes = prefixes.into_iter();
                    let changes = changes.map(|prefix| (prefix, Some(Arc::clone(&attrs))));
                    self.changes.extend(changes);
                }
                RouteEvent::Withdraw { prefixes, .. } => {
                    let changes = prefixes.into_iter().map(|prefix| (prefix, None));
                    self.changes.extend(changes);
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => self.marks.push(event),
            }
        }
    }
}

pub(crate) struct Router {
    pub(crate) rib: Rib,
    pub(crate) now: Instant,
    pub(crate) fib: BTreeMap<Prefix, Vec<PeerId>>,
    pub(crate) ready: Vec<PeerId>,
    pub(crate) limits: Vec<(PeerId, LimitEvent)>,
    pub(crate) dialects: BTreeMap<PeerId, Dialect>,
}

impl Router {
    /// Peers A (AS 1), B (AS 2) and C (AS 3), all up, with filters that pass everything.
    pub(crate) fn new() -> Self {
        Self::with(ExportBounds {
            prefixes: 1_000,
            ..ExportBounds::default()
        })
    }

    pub(crate) fn with(bounds: ExportBounds) -> Self {
        let mut router = Self {
            rib: Rib::new(RibConfig {
                bounds,
                ..RibConfig::new(US, RouterId::new([192, 0, 2, 1].into()).unwrap(), 1)
            }),
            now: Instant::now(),
            fib: BTreeMap::new(),
            ready: Vec::new(),
            limits: Vec::new(),
            dialects: BTreeMap::new(),
        };
        for id in [A, B, C] {
            router.configure(id, Asn(id.0), Filter::accept_all(), Filter::accept_all());
            router.up(id);
            router.told(id);
        }
        router
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    assert!(changes.len() <= 512);
                    for (prefix, to) in changes.iter() {
                        let peers = to.hops().iter().map(|hop| hop.hop.peer);
                        self.fib.insert(prefix, peers.collect());
                    }
                }
                Output::ExportReady(peer) => self.ready.push(peer),
                Output::Limit { peer, event, .. } => self.limits.push((peer, event)),
                Output::NexthopOurs { .. } => {}
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        while self.rib.poll_timeout().is_some() {
            self.handle(Input::Timeout);
        }
    }

    pub(crate) fn configure(&mut self, id: PeerId, asn: Asn, import: Filter, export: Filter) {
        self.dialects.insert(id, Dialect::new(US, asn));
        self.handle(Input::Configure(RibPeer {
            id,
            asn,
            address: [10, 255, 0, id.0 as u8].into(),
            import: Arc::new(import),
            export: Arc::new(export),
            options: PeerOptions::default(),
        }));
    }

    pub(crate) fn up(&mut self, peer: PeerId) {
        let router_id = RouterId::new([10, 255, 0, peer.0 as u8].into()).unwrap();
        let up = SessionUp {
            nexthops: [Some(OUR_NEXTHOP), None],
            ..SessionUp::new(router_id, self.dialects[&peer].clone())
        };
        self.handle(Input::Up(peer, up));
    }

    pub(crate) fn announce(&mut self, peer: PeerId, prefixes: Vec<Prefix>, attrs: Attrs) {
        let attrs = Arc::new(attrs);
        let event = RouteEvent::announce(attrs, prefixes);
        self.handle(Input::Routes(peer, vec![event]));
    }

    pub(crate) fn withdraw(&mut self, peer: PeerId, prefixes: Vec<Prefix>) {
        self.handle(Input::Routes(peer, vec![RouteEvent::withdraw(prefixes)]));
    }

    /// Everything that a peer is told until nothing is left.
    pub(crate) fn told(&mut self, peer: PeerId) -> Vec<Change> {
        self.listen(peer).changes
    }

    pub(crate) fn listen(&mut self, peer: PeerId) -> Heard {
        let mut heard = Heard::default();
        while let Some(updates) = self.rib.poll_export(peer) {
            heard.hear(&updates, &self.dialects[&peer]);
        }
        self.drain();
        heard
    }

    /// One batch.
    pub(crate) fn told_once(&mut self, peer: PeerId) -> Option<Heard> {
        let updates = self.rib.poll_export(peer)?;
        let mut heard = Heard::default();
        heard.hear(&updates, &self.dialects[&peer]);
        Some(heard)
    }
}

pub(crate) fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn nth(i: u32) -> Prefix {
    Prefix::new(Ipv4Addr::from((10 << 24) + (i << 8)).into(), 24).unwrap()
}

pub(crate) fn many() -> Vec<Prefix> {
    (0..MANY).map(nth).collect()
}

pub(crate) fn attrs_of(peer: PeerId, path: &[u32]) -> Attrs {
    let path: Vec<Asn> = path.iter().copied().map(Asn).collect();
    Attrs {
        as_path: AsPath::sequence(&path),
        nexthop: Some([10, 255, 0, peer.0 as u8].into()),
        ..Attrs::originated()
    }
}

pub(crate) fn apply(held: &mut BTreeMap<Prefix, Arc<Attrs>>, changes: Vec<Change>) {
    for (prefix, attrs) in changes {
        match attrs {
            Some(attrs) => {
                held.insert(prefix, attrs);
            }
            None => assert!(held.remove(&prefix).is_some(), "{prefix} was not told"),
        }
    }
}
