//! What becomes of what peers send: kept, limited, refused, marked, chosen.

#![expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from nowhere else"
)]
#![expect(clippy::unwrap_used, reason = "values written here are well formed")]

mod listener;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::filter::Filter;
use bgp::rib::{
    Aggregate, AsOverride, Input, LimitAction, LimitEvent, LocalAs, LocalAsPrepend, MoreSpecifics,
    Multipath, MultipathAs, NexthopMode, NexthopState, Output, PeerOptions, PrefixLimit, PrivateAs,
    ReflectionRole, Rib, RibConfig, RibPeer, RouteHop, Selection, Standing, Step,
};
use bgp::wire::Dialect;
use bgp::{
    AsPath, Asn, Attrs, Community, ExtCommunity, Family, FamilySet, FirstAs, PathId, PeerId,
    Prefix, Reflection, Retained, Retention, Role, RouteEvent, RouterId, SessionUp,
};
use listener::heard;

const US: Asn = Asn(65010);
const OURSELVES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 200));
/// AS 1, 2 and 3.
const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const C: PeerId = PeerId(3);
/// Internal.
const I: PeerId = PeerId(11);
const J: PeerId = PeerId(12);
const V4: Family = Family::Ipv4Unicast;

/// What a peer is told of a prefix; `None` withdraws.
type Told = (Prefix, Option<Attrs>);

struct Router {
    rib: Rib,
    now: Instant,
    fib: BTreeMap<Prefix, Vec<RouteHop>>,
    changes: usize,
    limits: Vec<(PeerId, LimitEvent)>,
    ours: Vec<(PeerId, IpAddr)>,
}

impl Router {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: RibConfig) -> Self {
        let mut router = Self {
            rib: Rib::new(config),
            now: Instant::now(),
            fib: BTreeMap::new(),
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

    fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        self.drain();
        while self.rib.poll_timeout().is_some_and(|at| at <= self.now) {
            self.rib.handle(Input::Timeout, self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    for change in changes {
                        self.changes += 1;
                        self.fib.insert(change.prefix, change.hops.to_vec());
                    }
                }
                Output::ExportReady(_) => {}
                Output::Limit { peer, event, .. } => self.limits.push((peer, event)),
                Output::NexthopOurs { peer, nexthop } => self.ours.push((peer, nexthop)),
            }
        }
    }

    fn configure(&mut self, id: PeerId, options: PeerOptions) {
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

    fn up(&mut self, id: PeerId) {
        self.handle(Input::Up(id, session(id)));
    }

    fn events(&mut self, id: PeerId, events: Vec<RouteEvent>) {
        self.handle(Input::Routes(id, events));
    }

    fn announce(&mut self, id: PeerId, prefixes: &[&str], attrs: Attrs) {
        let prefixes = prefixes.iter().map(|text| net(text)).collect();
        self.events(id, vec![RouteEvent::announce(Arc::new(attrs), prefixes)]);
    }

    fn withdraw(&mut self, id: PeerId, prefix: &str) {
        self.events(id, vec![RouteEvent::withdraw(vec![net(prefix)])]);
    }

    fn numbered(&mut self, id: PeerId, prefix: &str, path_id: u32, attrs: Attrs) {
        let event = RouteEvent::Announce {
            attrs: Arc::new(attrs),
            prefixes: vec![net(prefix)],
            path_ids: vec![PathId(path_id)],
        };
        self.events(id, vec![event]);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Timeout);
    }

    fn told(&mut self, peer: PeerId) -> Vec<Told> {
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
    fn told_attrs(&mut self, peer: PeerId) -> Attrs {
        let told = self.told(peer);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].1.clone().unwrap()
    }

    /// Peer and step of each path, best first.
    fn steps(&self, prefix: &str) -> Vec<(PeerId, Step)> {
        let view = self.rib.route(&net(prefix));
        let paths = view.map(|view| view.paths).unwrap_or_default();
        paths
            .iter()
            .map(|path| (path.peer.unwrap(), path.step))
            .collect()
    }

    fn hops(&self, prefix: &str) -> Vec<RouteHop> {
        self.fib.get(&net(prefix)).cloned().unwrap_or_default()
    }

    fn best(&self, prefix: &str) -> Option<Arc<Attrs>> {
        let view = self.rib.route(&net(prefix))?;
        let best = view.paths.into_iter().find(|path| path.best)?;
        Some(best.attrs)
    }

    fn received(&self, peer: PeerId) -> usize {
        self.rib.counts(peer, V4).received
    }
}

fn config() -> RibConfig {
    RibConfig::new(US, RouterId::new([192, 0, 2, 1].into()).unwrap(), 1)
}

fn asn(id: PeerId) -> Asn {
    if id.0 > 10 { US } else { Asn(id.0) }
}

fn address(id: PeerId) -> IpAddr {
    [10, 255, 0, id.0 as u8].into()
}

fn session(id: PeerId) -> SessionUp {
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
fn as_ours(attrs: &Attrs) -> Attrs {
    let mut attrs = attrs.clone();
    attrs.nexthop = attrs.nexthop.filter(|nexthop| *nexthop != OURSELVES);
    attrs
}

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn path(asns: &[u32]) -> AsPath {
    AsPath::sequence(&asns.iter().copied().map(Asn).collect::<Vec<_>>())
}

fn attrs(id: PeerId, asns: &[u32]) -> Attrs {
    Attrs {
        as_path: path(asns),
        nexthop: Some(address(id)),
        ..Attrs::originated()
    }
}

fn communities(communities: &[Community]) -> Attrs {
    Attrs {
        communities: communities.into(),
        ..attrs(A, &[1, 7])
    }
}

fn retention(restart: u64, long_lived: u64) -> Retention {
    let retained = |family| Retained {
        family,
        restart: Duration::from_secs(restart),
        long_lived: Duration::from_secs(long_lived),
    };
    Family::ALL.into_iter().map(retained).collect()
}

fn preserving(id: PeerId) -> SessionUp {
    SessionUp {
        preserved: FamilySet::ALL,
        ..session(id)
    }
}

#[test]
fn a_peer_that_restarts_and_sends_the_same_changes_nothing() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.told(B);
    let changes = router.changes;
    router.handle(Input::Down(A, retention(120, 0)));
    assert!(router.rib.route(&net("10.0.0.0/24")).unwrap().paths[0].stale);
    router.pass(Duration::from_secs(119));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    assert_eq!((router.changes, router.told(B).len()), (changes, 0));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (2, 0, 2));
}

#[test]
fn what_is_not_sent_again_before_end_of_rib_goes() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    assert_eq!(router.fib[&net("10.0.1.0/24")].len(), 1);
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    assert!(router.fib[&net("10.0.1.0/24")].is_empty());
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
}

#[test]
fn a_peer_that_does_not_come_back_loses_what_was_kept() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    let deadline = router.rib.poll_timeout();
    assert_eq!(deadline, Some(router.now + Duration::from_secs(120)));
    router.pass(Duration::from_secs(120));
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
    assert_eq!(router.rib.poll_timeout(), None);
}

#[test]
fn a_peer_that_never_ends_its_table_loses_the_rest_after_six_minutes() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.pass(Duration::from_secs(359));
    assert_eq!(router.received(A), 1);
    router.pass(Duration::from_secs(1));
    assert_eq!(router.received(A), 0);
}

#[test]
fn what_the_peer_did_not_preserve_goes_when_it_is_back() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.up(A);
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn a_second_restart_before_end_of_rib_takes_what_the_first_left() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    assert_eq!(router.steps("10.0.0.0/24"), []);
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::OnlyPath)]);
}

#[test]
fn a_session_that_ends_within_a_refresh_keeps_the_newest_known_of_each() {
    let mut router = Router::new();
    let all = ["10.0.0.0/24", "10.0.1.0/24"];
    router.announce(A, &all, attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.handle(Input::Down(A, retention(120, 0)));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (2, 2, 2));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
    assert_eq!(router.best("10.0.1.0/24").unwrap().as_path, path(&[1]));

    router.handle(Input::Up(A, preserving(A)));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 8]));
    router.withdraw(A, "10.0.0.0/24");
    assert_eq!(router.steps("10.0.0.0/24"), []);
    router.events(A, vec![RouteEvent::EndOfRib(V4)]);
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.stale, counts.best), (1, 0, 1));
}

#[test]
fn what_a_refresh_had_not_brought_goes_when_the_peer_stays_away() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.pass(Duration::from_secs(120));
    assert_eq!(router.received(A), 0);
    assert!(router.fib.values().all(Vec::is_empty));

    router.up(A);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.handle(Input::Down(A, Retention::new()));
    assert_eq!(
        router.received(A),
        0,
        "without graceful restart nothing stays"
    );
}

#[test]
fn a_stale_path_over_a_dead_link_is_not_used() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.handle(Input::Down(A, retention(120, 0)));
    router.handle(Input::Standing(A, Standing::Unusable));
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::LinkUnusable)]);
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn long_lived_stale_paths_are_the_last_resort_and_told_to_those_who_know() {
    let mut router = Router::new();
    let knowing = SessionUp {
        long_lived: FamilySet::ALL,
        ..session(C)
    };
    router.handle(Input::Up(C, knowing));
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    router.announce(B, &["10.0.1.0/24"], attrs(B, &[2, 3, 4, 5]));
    router.told(B);
    router.told(C);
    router.handle(Input::Down(A, retention(120, 1000)));
    router.pass(Duration::from_secs(120));
    let lost = [(B, Step::LongLivedStale), (A, Step::LongLivedStale)];
    assert_eq!(router.steps("10.0.1.0/24"), lost);
    let withdrawn = router.told(B);
    assert!(withdrawn.iter().all(|(_, attrs)| attrs.is_none()));
    let told = router.told(C);
    let alone = told
        .iter()
        .find(|(prefix, _)| *prefix == net("10.0.0.0/24"));
    let attrs = alone.unwrap().1.as_ref().unwrap();
    assert_eq!(attrs.communities[..], [Community::LLGR_STALE]);
    router.pass(Duration::from_secs(1000));
    assert!(router.fib[&net("10.0.0.0/24")].is_empty());
}

#[test]
fn a_path_that_says_no_llgr_is_not_kept_for_long() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], communities(&[Community::NO_LLGR]));
    router.handle(Input::Down(A, retention(120, 1000)));
    assert_eq!(router.received(A), 1);
    router.pass(Duration::from_secs(120));
    assert_eq!(router.received(A), 0);
}

#[test]
fn a_refresh_removes_what_it_did_not_bring_again() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let changes = router.changes;
    router.events(A, vec![RouteEvent::RefreshBegins(V4)]);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    assert_eq!(router.changes, changes);
    router.events(A, vec![RouteEvent::RefreshEnds(V4)]);
    assert_eq!(router.changes, changes + 1);
    assert!(router.fib[&net("10.0.1.0/24")].is_empty());
}

#[test]
fn paths_of_one_peer_are_told_apart_by_their_identifiers() {
    let mut router = Router::new();
    router.numbered(A, "10.0.0.0/24", 7, attrs(A, &[1, 9]));
    router.numbered(A, "10.0.0.0/24", 8, attrs(B, &[1]));
    assert_eq!(router.received(A), 2);
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1]));
    router.numbered(A, "10.0.0.0/24", 8, attrs(B, &[1, 8, 8]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 9]));
    let event = RouteEvent::Withdraw {
        prefixes: vec![net("10.0.0.0/24")],
        path_ids: vec![PathId(7)],
    };
    router.events(A, vec![event]);
    assert_eq!(router.received(A), 1);
    assert_eq!(
        router.rib.route(&net("10.0.0.0/24")).unwrap().paths[0].path_id,
        Some(PathId(8))
    );
}

#[test]
fn a_peer_cannot_pile_up_paths_for_one_prefix() {
    let mut router = Router::new();
    for number in 0..300 {
        router.numbered(A, "10.0.0.0/24", number, attrs(A, &[1]));
    }
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.discarded), (256, 44));
}

fn limited(action: LimitAction) -> (Router, PrefixLimit) {
    let limit = PrefixLimit {
        max: 3,
        warn_at: 2,
        action,
    };
    let mut router = Router::new();
    let options = PeerOptions {
        receive_limit: [Some(limit), None],
        ..PeerOptions::default()
    };
    router.configure(A, options);
    let prefixes = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"];
    for prefix in prefixes {
        router.announce(A, &[prefix], attrs(A, &[1]));
    }
    (router, limit)
}

#[test]
fn a_limit_that_only_warns_warns_once_each_way() {
    let (mut router, limit) = limited(LimitAction::Warn);
    router.announce(A, &["10.0.4.0/24"], attrs(A, &[1]));
    let said = [
        (A, LimitEvent::Near(limit)),
        (A, LimitEvent::Exceeded(limit)),
    ];
    assert_eq!(router.limits, said);
    assert_eq!(router.received(A), 5);
    for third in 1..5 {
        router.withdraw(A, &format!("10.0.{third}.0/24"));
    }
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1]));
    assert_eq!(router.limits[2..], [(A, LimitEvent::Near(limit))]);
}

#[test]
fn a_peer_that_goes_up_and_down_around_its_limit_is_warned_of_once_at_a_time() {
    let (mut router, limit) = limited(LimitAction::Warn);
    router.limits.clear();
    let prefixes = || {
        (1..4)
            .map(|third| net(&format!("10.0.{third}.0/24")))
            .collect()
    };
    let both = || {
        let announced = RouteEvent::announce(Arc::new(attrs(A, &[1])), prefixes());
        [RouteEvent::withdraw(prefixes()), announced]
    };
    router.events(A, (0..100).flat_map(|_| both()).collect());
    let said = [
        (A, LimitEvent::Near(limit)),
        (A, LimitEvent::Exceeded(limit)),
    ];
    assert_eq!(router.limits, said);
}

#[test]
fn what_is_over_the_limit_is_discarded_and_what_is_known_still_changes() {
    let (mut router, _) = limited(LimitAction::Discard);
    router.announce(A, &["10.0.4.0/24", "10.0.0.0/24"], attrs(A, &[1, 7]));
    let counts = router.rib.counts(A, V4);
    assert_eq!((counts.received, counts.discarded), (3, 2));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1, 7]));
    assert_eq!(router.best("10.0.4.0/24"), None);
    router.withdraw(A, "10.0.0.0/24");
    router.announce(A, &["10.0.4.0/24"], attrs(A, &[1]));
    assert!(router.best("10.0.4.0/24").is_some());
}

/// Attributes of so many octets more than usual, about.
fn long(id: PeerId, octets: u32) -> Attrs {
    let communities = 0..64 + octets.div_ceil(4);
    Attrs {
        communities: communities.map(Community).collect(),
        ..attrs(id, &[1])
    }
}

#[test]
fn a_peer_cannot_fill_the_memory_with_long_attributes() {
    let mut router = Router::new();
    let nets = |from: u32, count: u32| -> Vec<Prefix> {
        let nets = (from..from + count).map(|net| Ipv4Addr::from(net << 8));
        nets.map(|net| Prefix::new(net.into(), 24).unwrap())
            .collect()
    };
    let send = |router: &mut Router, attrs: &Attrs, prefixes: Vec<Prefix>| {
        let event = RouteEvent::announce(Arc::new(attrs.clone()), prefixes);
        router.events(A, vec![event]);
    };
    let (usual, four) = (attrs(A, &[1]), long(A, 4096));
    let room = 256 << 10 >> 2;
    send(&mut router, &four, nets(0, room + 5_000));
    let bulky = LimitEvent::Bulky { octets: 256 << 20 };
    assert_eq!(router.limits, [(A, bulky)], "said once");
    let counts = router.rib.counts(A, V4);
    assert!(
        (60_000..=room as usize).contains(&counts.received),
        "{counts:?}"
    );
    assert!(counts.discarded >= 5_000, "{counts:?}");
    let full = counts.received;

    // Usual ones are taken all the same, and do not become long ones behind our back.
    send(&mut router, &usual, nets(1 << 20, 1));
    assert_eq!(router.received(A), full + 1);
    let last = nets(1 << 20, 1);
    send(&mut router, &four, last.clone());
    assert_eq!(router.received(A), full);
    assert!(
        router.fib[&last[0]].is_empty(),
        "what it said before is over"
    );

    // What goes makes room; what grows needs some.
    router.events(A, vec![RouteEvent::withdraw(nets(0, 2))]);
    send(&mut router, &four, last.clone());
    assert_eq!(router.received(A), full - 1);
    send(&mut router, &long(A, 8 << 10), last.clone());
    assert_eq!(router.received(A), full - 1);
    send(&mut router, &long(A, 16 << 10), last);
    assert_eq!(router.received(A), full - 2);
    assert_eq!(router.limits.len(), 1);
}

#[test]
fn a_session_that_is_to_end_for_its_limit_brings_nothing_more() {
    let (mut router, limit) = limited(LimitAction::Shutdown);
    assert_eq!(router.limits[1..], [(A, LimitEvent::Exceeded(limit))]);
    router.announce(A, &["10.0.0.0/24", "2001:db8::/48"], attrs(A, &[1, 7]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[1]));
    assert_eq!(router.best("2001:db8::/48"), None);
    router.handle(Input::Down(A, Retention::new()));
    router.up(A);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    assert_eq!(router.received(A), 1);
}

#[test]
fn a_limit_lowered_below_what_is_there_is_passed_at_once() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let limit = PrefixLimit {
        max: 1,
        warn_at: 1,
        action: LimitAction::Restart(Duration::from_secs(60)),
    };
    let options = PeerOptions {
        receive_limit: [Some(limit), None],
        ..PeerOptions::default()
    };
    router.configure(A, options);
    assert_eq!(router.limits, [(A, LimitEvent::Exceeded(limit))]);
}

#[test]
fn own_as_in_a_path_is_a_loop_as_often_as_it_is_not_allowed() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 65010]));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 65010, 65010]));
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::AsLoop)]);
    let options = PeerOptions {
        own_as_allowed: 1,
        ..PeerOptions::default()
    };
    router.configure(A, options);
    assert_eq!(router.steps("10.0.0.0/24"), [(A, Step::OnlyPath)]);
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::AsLoop)]);
}

#[test]
fn paths_of_internal_peers_are_reflected_where_one_is_a_client() {
    let mut router = Router::new();
    router.announce(I, &["10.0.0.0/24"], attrs(I, &[9]));
    assert_eq!(router.told(J), []);
    let options = PeerOptions {
        reflection: ReflectionRole::Client,
        ..PeerOptions::default()
    };
    router.configure(I, options);
    let told = router.told_attrs(J);
    assert_eq!(told.nexthop, Some(address(I)), "RFC 4456 §10");
    let reflection = Reflection {
        originator_id: Some([10, 255, 0, 11].into()),
        cluster_list: vec![[192, 0, 2, 1].into()],
    };
    assert_eq!(told.reflection.as_deref(), Some(&reflection));
    let outside = router.told_attrs(A);
    assert_eq!((outside.nexthop, outside.reflection), (None, None));
}

#[test]
fn what_we_or_our_cluster_reflected_before_is_refused() {
    let mut router = Router::new();
    let reflected = |originator: [u8; 4], cluster: [u8; 4]| Attrs {
        reflection: Some(Box::new(Reflection {
            originator_id: Some(originator.into()),
            cluster_list: vec![cluster.into()],
        })),
        ..attrs(I, &[9])
    };
    let us = [192, 0, 2, 1];
    router.announce(I, &["10.0.0.0/24"], reflected(us, [1, 1, 1, 1]));
    router.announce(I, &["10.0.1.0/24"], reflected([1, 1, 1, 1], us));
    router.announce(I, &["10.0.2.0/24"], reflected([1, 1, 1, 1], [1, 1, 1, 1]));
    assert_eq!(router.steps("10.0.0.0/24"), [(I, Step::ReflectionLoop)]);
    assert_eq!(router.steps("10.0.1.0/24"), [(I, Step::ReflectionLoop)]);
    assert_eq!(router.steps("10.0.2.0/24"), [(I, Step::OnlyPath)]);
}

#[test]
fn a_path_that_is_about_to_go_is_preferred_least() {
    let mut router = Router::new();
    let going = communities(&[Community::GRACEFUL_SHUTDOWN]);
    router.announce(A, &["10.0.0.0/24"], going);
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 3, 4, 5]));
    let lost = [(B, Step::LocalPref), (A, Step::LocalPref)];
    assert_eq!(router.steps("10.0.0.0/24"), lost);
}

#[test]
fn a_path_to_ourselves_is_not_used_while_the_address_is_ours_and_said_once() {
    let mut router = Router::new();
    let ours: IpAddr = [192, 0, 2, 7].into();
    let to_us = Attrs {
        nexthop: Some(ours),
        ..attrs(A, &[1])
    };
    router.announce(B, &["10.0.0.0/16"], attrs(B, &[2, 9]));
    router.announce(A, &["10.0.0.0/16"], to_us.clone());
    assert_eq!(router.hops("10.0.0.0/16")[0].hop.peer, A);
    router.handle(Input::OwnAddresses([ours].into()));
    assert_eq!(
        router.steps("10.0.0.0/16"),
        [(B, Step::OnlyPath), (A, Step::NexthopOurs)]
    );
    assert_eq!(router.hops("10.0.0.0/16").len(), 1, "{:?}", router.fib);
    router.announce(A, &["10.1.0.0/16"], to_us.clone());
    router.announce(A, &["10.2.0.0/16"], to_us);
    assert_eq!(router.hops("10.1.0.0/16"), [], "not even for a moment");
    assert_eq!(router.ours, [(A, ours)]);
    router.handle(Input::OwnAddresses([[192, 0, 2, 8].into()].into()));
    assert_eq!(router.hops("10.1.0.0/16").len(), 1, "it has moved away");
}

fn role(role: Role) -> PeerOptions {
    PeerOptions {
        role: Some(role),
        ..PeerOptions::default()
    }
}

/// RFC 9234 §5, ingress: what we are to A, the OTC that it sends, and what becomes of it.
#[test]
fn leaks_are_refused_and_paths_from_above_marked() {
    let table = [
        (Role::Provider, None, Ok(None)),
        (Role::Provider, Some(Asn(1)), Err(Step::RouteLeak)),
        (Role::RouteServer, Some(Asn(1)), Err(Step::RouteLeak)),
        (Role::Peer, Some(Asn(1)), Ok(Some(Asn(1)))),
        (Role::Peer, Some(Asn(9)), Err(Step::RouteLeak)),
        (Role::Peer, None, Ok(Some(Asn(1)))),
        (Role::Customer, None, Ok(Some(Asn(1)))),
        (Role::Customer, Some(Asn(9)), Ok(Some(Asn(9)))),
        (Role::RouteServerClient, None, Ok(Some(Asn(1)))),
    ];
    for (ours, only_to_customer, expected) in table {
        let mut router = Router::new();
        router.configure(A, role(ours));
        let attrs = Attrs {
            only_to_customer,
            ..attrs(A, &[1])
        };
        router.announce(A, &["10.0.0.0/24"], attrs);
        let got = match router.best("10.0.0.0/24") {
            Some(best) => Ok(best.only_to_customer),
            None => Err(router.steps("10.0.0.0/24")[0].1),
        };
        assert_eq!(got, expected, "{ours:?} {only_to_customer:?}");
    }
}

/// RFC 9234 §5, egress: what we are to B, the OTC of the path, and what B is told.
#[test]
fn marked_paths_only_go_down_and_get_their_mark_there() {
    let table = [
        (Role::Provider, None, Some(Some(US))),
        (Role::Provider, Some(Asn(9)), Some(Some(Asn(9)))),
        (Role::RouteServer, None, Some(Some(US))),
        (Role::Peer, None, Some(Some(US))),
        (Role::Peer, Some(Asn(9)), None),
        (Role::Customer, None, Some(None)),
        (Role::Customer, Some(Asn(9)), None),
        (Role::RouteServerClient, Some(Asn(9)), None),
    ];
    for (ours, only_to_customer, expected) in table {
        let mut router = Router::new();
        router.configure(B, role(ours));
        let attrs = Attrs {
            only_to_customer,
            ..attrs(A, &[1])
        };
        router.announce(A, &["10.0.0.0/24"], attrs);
        let told = router.told(B);
        let told = told
            .first()
            .map(|(_, attrs)| attrs.clone().unwrap().only_to_customer);
        assert_eq!(told, expected, "{ours:?} {only_to_customer:?}");
    }
}

/// What is special about B, the path that A sends, and the path that B is told.
#[test]
fn the_path_that_a_peer_is_told_follows_its_options() {
    let local_as = |on_export| {
        Some(LocalAs {
            asn: Asn(70),
            on_import: LocalAsPrepend::Hidden,
            on_export,
        })
    };
    let plain = PeerOptions::default;
    let table: [(PeerOptions, &[u32], &[u32]); 7] = [
        (plain(), &[1, 64512, 2], &[65010, 1, 64512, 2]),
        (
            PeerOptions {
                as_override: AsOverride::On,
                ..plain()
            },
            &[1, 2, 2, 3],
            &[65010, 1, 65010, 65010, 3],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Removed,
                ..plain()
            },
            &[1, 64512, 4_200_000_000, 65535, 2],
            &[65010, 1, 65535, 2],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Replaced,
                ..plain()
            },
            &[1, 64512, 2],
            &[65010, 1, 65010, 2],
        ),
        (
            PeerOptions {
                private_as: PrivateAs::Removed,
                ..plain()
            },
            &[64512],
            &[65010],
        ),
        (
            PeerOptions {
                local_as: local_as(LocalAsPrepend::Shown),
                ..plain()
            },
            &[1],
            &[70, 65010, 1],
        ),
        (
            PeerOptions {
                local_as: local_as(LocalAsPrepend::Hidden),
                ..plain()
            },
            &[1],
            &[70, 1],
        ),
    ];
    for (options, sent, told) in table {
        let mut router = Router::new();
        router.configure(B, options.clone());
        router.announce(A, &["10.0.0.0/24"], attrs(A, sent));
        let got = router.told_attrs(B).as_path;
        assert_eq!(got, path(told), "{options:?}");
    }
}

#[test]
fn another_local_as_is_put_in_front_and_looked_for_on_import() {
    let mut router = Router::new();
    let options = PeerOptions {
        local_as: Some(LocalAs {
            asn: Asn(70),
            on_import: LocalAsPrepend::Shown,
            on_export: LocalAsPrepend::Shown,
        }),
        ..PeerOptions::default()
    };
    router.configure(A, options);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.announce(A, &["10.0.1.0/24"], attrs(A, &[1, 70]));
    assert_eq!(router.best("10.0.0.0/24").unwrap().as_path, path(&[70, 1]));
    assert_eq!(router.steps("10.0.1.0/24"), [(A, Step::AsLoop)]);
}

#[test]
fn the_nexthop_that_a_peer_is_told_follows_its_options() {
    let third_party = PeerOptions {
        nexthop: NexthopMode::ThirdParty,
        ..PeerOptions::default()
    };
    let unchanged = PeerOptions {
        nexthop: NexthopMode::Unchanged,
        ..PeerOptions::default()
    };
    let shared = Some(net("10.255.0.0/24"));
    let table = [
        (PeerOptions::default(), shared, None),
        (unchanged, None, Some(address(A))),
        (third_party.clone(), shared, Some(address(A))),
        (third_party.clone(), Some(net("10.254.0.0/24")), None),
        (third_party, None, None),
    ];
    for (options, connected, expected) in table {
        let mut router = Router::new();
        router.configure(B, options.clone());
        let up = SessionUp {
            connected,
            ..session(B)
        };
        router.handle(Input::Up(B, up));
        router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
        assert_eq!(router.told_attrs(B).nexthop, expected, "{options:?}");
    }
}

#[test]
fn a_community_that_is_not_transitive_stays_in_the_as() {
    let mut router = Router::new();
    let bandwidth = ExtCommunity(0x4004 << 48);
    let target = ExtCommunity(0x0002 << 48);
    let attrs = Attrs {
        ext_communities: [target, bandwidth].into_iter().collect(),
        ..attrs(A, &[1])
    };
    router.announce(A, &["10.0.0.0/24"], attrs);
    assert_eq!(router.told_attrs(B).ext_communities[..], [target]);
    assert_eq!(
        router.told_attrs(I).ext_communities[..],
        [target, bandwidth]
    );
}

#[test]
fn a_nearer_nexthop_wins_where_only_identifiers_would_decide() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2]));
    assert_eq!(router.steps("10.0.0.0/24")[0], (A, Step::RouterId));
    let far = NexthopState::Reachable { metric: 10 };
    router.handle(Input::Nexthop(address(A), far));
    assert_eq!(router.steps("10.0.0.0/24")[0], (B, Step::NexthopMetric));
    let near = NexthopState::Reachable { metric: 0 };
    router.handle(Input::Nexthop(address(A), near));
    assert_eq!(router.steps("10.0.0.0/24")[0], (A, Step::RouterId));
}

fn spreading(as_paths: MultipathAs) -> Router {
    Router::with(RibConfig {
        multipath: Multipath {
            external: 8,
            internal: 8,
            as_paths,
        },
        ..config()
    })
}

fn weights(router: &Router, prefix: &str) -> Vec<(PeerId, u8, u8)> {
    let hops = router.fib[&net(prefix)].iter();
    hops.map(|hop| (hop.hop.peer, hop.tier, hop.weight))
        .collect()
}

#[test]
fn equal_paths_share_traffic_and_others_wait_behind_them() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 7]));
    router.announce(C, &["10.0.0.0/24"], attrs(C, &[3, 7, 7]));
    let expected = [(A, 0, 1), (B, 0, 1), (C, 1, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn paths_of_different_neighbours_share_only_where_that_is_relaxed() {
    let mut router = spreading(MultipathAs::SameNeighbour);
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1, 7]));
    router.announce(B, &["10.0.0.0/24"], attrs(B, &[2, 7]));
    let expected = [(A, 0, 0), (B, 1, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn links_that_a_group_ranks_do_not_share() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    for (peer, rank) in [(A, 2), (B, 1)] {
        router.handle(Input::Standing(peer, Standing::Ranked { group: 1, rank }));
        router.announce(peer, &["10.0.0.0/24"], attrs(peer, &[peer.0, 7]));
    }
    let expected = [(A, 0, 0), (B, 0, 0)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
    router.handle(Input::Standing(A, Standing::Ranked { group: 1, rank: 1 }));
    let expected = [(A, 0, 1), (B, 0, 1)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

#[test]
fn traffic_is_shared_by_the_bandwidth_of_links_where_all_say_it() {
    let mut router = spreading(MultipathAs::AnyNeighbour);
    let with = |peer: PeerId, rate: f32| Attrs {
        ext_communities: [ExtCommunity(0x4004 << 48 | u64::from(rate.to_bits()))]
            .into_iter()
            .collect(),
        ..attrs(peer, &[peer.0, 7])
    };
    router.announce(A, &["10.0.0.0/24"], with(A, 1e9));
    router.announce(B, &["10.0.0.0/24"], with(B, 5e8));
    let expected = [(A, 0, 255), (B, 0, 128)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
    router.announce(C, &["10.0.0.0/24"], with(C, f32::NAN));
    let expected = [(A, 0, 1), (B, 0, 1), (C, 0, 1)];
    assert_eq!(weights(&router, "10.0.0.0/24"), expected);
}

fn aggregating(more_specifics: MoreSpecifics) -> Router {
    let mut router = Router::new();
    let aggregate = Aggregate {
        prefix: net("10.0.0.0/8"),
        more_specifics,
    };
    router.handle(Input::Aggregate(vec![aggregate]));
    router
}

#[test]
fn an_aggregate_comes_with_its_first_contributor_and_goes_with_its_last() {
    let mut router = aggregating(MoreSpecifics::Told);
    assert_eq!(router.best("10.0.0.0/8"), None);
    router.announce(A, &["10.0.0.0/24", "10.0.1.0/24"], attrs(A, &[1]));
    let told = router.told(B);
    let prefixes: Vec<Prefix> = told.iter().map(|(prefix, _)| *prefix).collect();
    assert_eq!(prefixes.len(), 3, "{prefixes:?}");
    let aggregate = router.best("10.0.0.0/8").unwrap();
    assert!(aggregate.atomic_aggregate);
    assert_eq!(aggregate.aggregator.unwrap().asn, US);
    router.withdraw(A, "10.0.0.0/24");
    assert!(router.best("10.0.0.0/8").is_some());
    router.withdraw(A, "10.0.1.0/24");
    assert_eq!(router.best("10.0.0.0/8"), None);
}

#[test]
fn suppressed_prefixes_are_told_to_nobody_while_their_aggregate_is() {
    let mut router = aggregating(MoreSpecifics::Suppressed);
    router.announce(A, &["10.0.0.0/24", "11.0.0.0/24"], attrs(A, &[1]));
    let told: Vec<Prefix> = router.told(B).iter().map(|(prefix, _)| *prefix).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(!told.contains(&net("10.0.0.0/24")));
    router.handle(Input::Aggregate(Vec::new()));
    let mut told = router.told(B);
    told.sort_by_key(|(prefix, _)| *prefix);
    let told: Vec<_> = told
        .iter()
        .map(|(prefix, attrs)| (*prefix, attrs.is_some()))
        .collect();
    assert_eq!(
        told,
        [(net("10.0.0.0/8"), false), (net("10.0.0.0/24"), true)]
    );
}

#[test]
fn an_aggregate_counts_what_was_there_before_it_was_configured() {
    let mut router = Router::new();
    router.announce(A, &["10.0.0.0/24"], attrs(A, &[1]));
    let aggregate = Aggregate {
        prefix: net("10.0.0.0/8"),
        more_specifics: MoreSpecifics::Told,
    };
    router.handle(Input::Aggregate(vec![aggregate]));
    assert!(router.best("10.0.0.0/8").is_some());
}

/// All prefixes that are selected, in order, collected two places at a time.
#[test]
fn aggregates_are_counted_in_bites_and_those_before_stay_in_force_meanwhile() {
    let mut router = aggregating(MoreSpecifics::Suppressed);
    let nets: Vec<Prefix> = (0..20_000_u32)
        .map(|net| Prefix::new(Ipv4Addr::from((10 << 24) | (net << 8)).into(), 24).unwrap())
        .filter(|net| net.addr() < Ipv4Addr::new(10, 70, 0, 0))
        .collect();
    let event = RouteEvent::announce(Arc::new(attrs(A, &[1])), nets.clone());
    router.events(A, vec![event]);
    router.told(B);
    let other = Aggregate {
        prefix: net("10.0.0.0/9"),
        more_specifics: MoreSpecifics::Suppressed,
    };
    let now = router.now;
    router.rib.handle(Input::Aggregate(vec![other]), now);
    assert_eq!(
        router.rib.poll_timeout(),
        Some(now),
        "one bite is not enough"
    );
    assert_eq!(router.told(B), [], "nothing leaks");
    // What changes meanwhile counts once, before and behind the place that has been reached.
    for net in [nets[0], nets[nets.len() - 1]] {
        let gone = vec![RouteEvent::withdraw(vec![net])];
        router.rib.handle(Input::Routes(A, gone), now);
        let back = RouteEvent::announce(Arc::new(attrs(A, &[1])), vec![net]);
        router.rib.handle(Input::Routes(A, vec![back]), now);
    }
    router.handle(Input::Timeout);
    let told = router.told(B);
    let announced = told.iter().filter(|(_, attrs)| attrs.is_some());
    let announced: Vec<Prefix> = announced.map(|(prefix, _)| *prefix).collect();
    assert_eq!(announced, [net("10.0.0.0/9")]);
    router.events(A, vec![RouteEvent::withdraw(nets)]);
    assert_eq!(router.told(B), [(net("10.0.0.0/9"), None)]);
}

fn selected(router: &Router, selection: Selection) -> Vec<Prefix> {
    let (mut prefixes, mut from) = (Vec::new(), None);
    loop {
        let page = router.rib.prefixes(V4, selection, from, 2);
        prefixes.extend(page.prefixes);
        from = page.next;
        if from.is_none() {
            prefixes.sort();
            return prefixes;
        }
    }
}

#[test]
fn readers_find_what_was_received_and_what_was_told() {
    let mut router = Router::new();
    let of_a = ["10.0.0.0/24", "10.0.1.0/24", "11.0.0.0/24"];
    router.announce(A, &of_a, attrs(A, &[1]));
    router.announce(B, &["10.0.0.0/24"], communities(&[Community::NO_ADVERTISE]));
    router.told(C);
    let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect::<Vec<_>>();
    assert_eq!(selected(&router, Selection::All), nets(&of_a));
    assert_eq!(
        selected(&router, Selection::ReceivedFrom(B)),
        nets(&of_a[..1])
    );
    assert_eq!(selected(&router, Selection::AdvertisedTo(C)), nets(&of_a));
    assert_eq!(selected(&router, Selection::AdvertisedTo(A)), []);
    assert_eq!(
        selected(&router, Selection::Within(net("10.0.0.0/8"))),
        nets(&of_a[..2])
    );
    let told = router.rib.advertised(C, &net("11.0.0.0/24")).unwrap();
    assert_eq!(told.as_path, path(&[65010, 1]));
    let views = router.rib.views(&nets(&["11.0.0.0/24", "12.0.0.0/24"]));
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].paths[0].received.as_path, path(&[1]));
}
