//! What peers and the FIB are told, seen from outside the RIB.

#![expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from nowhere else"
)]
#![expect(clippy::unwrap_used, reason = "values written here are well formed")]

mod listener;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::{
    Action, Filter, Match, MedChange, Nexthop, Number, PrefixPattern, Prepend, Rule, Set,
};
use bgp::rib::{
    ExportBounds, Input, LimitEvent, NexthopState, Output, PeerOptions, Rib, RibConfig, RibPeer,
    RouteChange, Standing, Step,
};
use bgp::wire::Dialect;
use bgp::{
    AsPath, Asn, Attrs, Community, Family, FamilySet, PathId, PeerId, Prefix, RawAttr, Retention,
    RouteEvent, RouterId, SessionUp, Updates,
};
use listener::heard;

const US: Asn = Asn(65010);
const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const C: PeerId = PeerId(3);
/// More than one bite.
const MANY: u32 = 5_000;
const OUR_NEXTHOP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What a peer is told of a prefix; `None` withdraws.
type Change = (Prefix, Option<Arc<Attrs>>);

/// What a peer makes of what it is sent.
#[derive(Default)]
struct Heard {
    changes: Vec<Change>,
    marks: Vec<RouteEvent>,
}

impl Heard {
    fn hear(&mut self, updates: &Updates, dialect: &Dialect) {
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

struct Router {
    rib: Rib,
    now: Instant,
    fib: BTreeMap<Prefix, Vec<PeerId>>,
    ready: Vec<PeerId>,
    limits: Vec<(PeerId, LimitEvent)>,
    dialects: BTreeMap<PeerId, Dialect>,
}

impl Router {
    /// Peers A (AS 1), B (AS 2) and C (AS 3), all up, with filters that pass everything.
    fn new() -> Self {
        Self::with(ExportBounds {
            prefixes: 1_000,
            ..ExportBounds::default()
        })
    }

    fn with(bounds: ExportBounds) -> Self {
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

    fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => {
                    assert!(changes.len() <= 512);
                    for RouteChange { prefix, hops } in changes {
                        self.fib
                            .insert(prefix, hops.iter().map(|hop| hop.hop.peer).collect());
                    }
                }
                Output::ExportReady(peer) => self.ready.push(peer),
                Output::Limit { peer, event, .. } => self.limits.push((peer, event)),
                Output::NexthopOurs { .. } => {}
            }
        }
    }

    fn settle(&mut self) {
        while self.rib.poll_timeout().is_some() {
            self.handle(Input::Timeout);
        }
    }

    fn configure(&mut self, id: PeerId, asn: Asn, import: Filter, export: Filter) {
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

    fn up(&mut self, peer: PeerId) {
        let router_id = RouterId::new([10, 255, 0, peer.0 as u8].into()).unwrap();
        let up = SessionUp {
            nexthops: [Some(OUR_NEXTHOP), None],
            ..SessionUp::new(router_id, self.dialects[&peer].clone())
        };
        self.handle(Input::Up(peer, up));
    }

    fn announce(&mut self, peer: PeerId, prefixes: Vec<Prefix>, attrs: Attrs) {
        let attrs = Arc::new(attrs);
        let event = RouteEvent::announce(attrs, prefixes);
        self.handle(Input::Routes(peer, vec![event]));
    }

    fn withdraw(&mut self, peer: PeerId, prefixes: Vec<Prefix>) {
        self.handle(Input::Routes(peer, vec![RouteEvent::withdraw(prefixes)]));
    }

    /// Everything that a peer is told until nothing is left.
    fn told(&mut self, peer: PeerId) -> Vec<Change> {
        self.listen(peer).changes
    }

    fn listen(&mut self, peer: PeerId) -> Heard {
        let mut heard = Heard::default();
        while let Some(updates) = self.rib.poll_export(peer) {
            heard.hear(&updates, &self.dialects[&peer]);
        }
        self.drain();
        heard
    }

    /// One batch.
    fn told_once(&mut self, peer: PeerId) -> Option<Heard> {
        let updates = self.rib.poll_export(peer)?;
        let mut heard = Heard::default();
        heard.hear(&updates, &self.dialects[&peer]);
        Some(heard)
    }
}

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn nth(i: u32) -> Prefix {
    Prefix::new(Ipv4Addr::from((10 << 24) + (i << 8)).into(), 24).unwrap()
}

fn many() -> Vec<Prefix> {
    (0..MANY).map(nth).collect()
}

fn attrs_of(peer: PeerId, path: &[u32]) -> Attrs {
    let path: Vec<Asn> = path.iter().copied().map(Asn).collect();
    Attrs {
        as_path: AsPath::sequence(&path),
        nexthop: Some([10, 255, 0, peer.0 as u8].into()),
        ..Attrs::originated()
    }
}

#[test]
fn an_external_peer_gets_our_as_in_front_and_none_of_our_preferences() {
    let mut router = Router::new();
    let unknown = Some(Box::new(vec![RawAttr {
        code: 99,
        flags: 0xe0,
        value: Box::new([1, 2]),
    }]));
    let received = Attrs {
        med: Some(5),
        local_pref: Some(300),
        unknown: unknown.clone(),
        ..attrs_of(A, &[1, 7])
    };
    router.announce(A, vec![nth(0)], received);
    let sent = Attrs {
        as_path: AsPath::sequence(&[US, Asn(1), Asn(7)]),
        nexthop: Some(OUR_NEXTHOP),
        unknown,
        ..Attrs::originated()
    };
    assert_eq!(router.told(B), [(nth(0), Some(Arc::new(sent)))]);
    assert_eq!(router.told(A), [], "not back to where it came from");
}

#[test]
fn an_internal_peer_gets_the_path_as_it_is_with_a_local_pref() {
    let mut router = Router::new();
    let prepending = Filter::compile(vec![Rule {
        matches: Match::default(),
        action: Action::Accept,
        set: Set {
            prepend: Some(Prepend::own(3)),
            ..Set::default()
        },
    }]);
    router.configure(C, US, Filter::accept_all(), prepending);
    router.up(C);
    let received = Attrs {
        med: Some(5),
        ..attrs_of(A, &[1, 7])
    };
    router.announce(A, vec![nth(0)], received.clone());
    let sent = Attrs {
        nexthop: Some(OUR_NEXTHOP),
        local_pref: Some(100),
        ..received
    };
    assert_eq!(router.told(C)[0].1.as_deref(), Some(&sent));
}

#[test]
fn what_the_export_filter_sets_is_told_instead_of_our_own() {
    let told = |set: Set| {
        let mut router = Router::new();
        let setting = Filter::compile(vec![Rule {
            matches: Match::default(),
            action: Action::Accept,
            set,
        }]);
        router.configure(B, Asn(2), Filter::accept_all(), setting);
        let received = Attrs {
            med: Some(5),
            ..attrs_of(A, &[1])
        };
        router.announce(A, vec![nth(0)], received);
        let told = router.told(B)[0].1.clone().unwrap();
        (told.nexthop, told.med)
    };
    let nexthop = |nexthop| Set {
        nexthop: Some(nexthop),
        ..Set::default()
    };
    let other = [192, 0, 2, 7].into();
    let ours = Some(OUR_NEXTHOP);
    assert_eq!(told(nexthop(Nexthop::Address(other))), (Some(other), None));
    let theirs = Some([10, 255, 0, 1].into());
    assert_eq!(told(nexthop(Nexthop::Unchanged)), (theirs, None));
    assert_eq!(told(nexthop(Nexthop::Ourselves)), (ours, None));
    let med = |med| Set {
        med: Some(med),
        ..Set::default()
    };
    assert_eq!(told(med(70.into())), (ours, Some(70)));
    let more = MedChange::Number(Number::Add(2));
    assert_eq!(told(med(more)), (ours, Some(7)), "more than it came with");
    assert_eq!(told(med(MedChange::Remove)), (ours, None));
}

#[test]
fn peers_of_a_group_share_the_bytes() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0), nth(1)], attrs_of(A, &[1]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!((to_b.bytes.len(), to_b.count), (1, 1));
    assert_eq!(to_b.bytes[0].as_ptr(), to_c.bytes[0].as_ptr());
    assert_eq!(to_b, to_c);
}

#[test]
fn well_known_communities_keep_a_path_here() {
    let mut router = Router::new();
    router.configure(C, US, Filter::accept_all(), Filter::accept_all());
    router.up(C);
    let table = [
        (Community::NO_ADVERTISE, 0, 0),
        (Community::NO_EXPORT, 0, 1),
        (Community::NO_EXPORT_SUBCONFED, 0, 1),
    ];
    for (i, (community, external, internal)) in (0..).zip(table) {
        let attrs = Attrs {
            communities: [community].into_iter().collect(),
            ..attrs_of(A, &[1])
        };
        router.announce(A, vec![nth(i)], attrs);
        assert_eq!(router.told(B).len(), external, "{community}");
        assert_eq!(router.told(C).len(), internal, "{community}");
    }
}

#[test]
fn our_own_prefix_is_announced_but_never_given_to_the_fib() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.handle(Input::Originate(vec![nth(0)]));
    assert_eq!(router.fib[&nth(0)], []);
    let told = router.told(A);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US]));
    router.handle(Input::Originate(Vec::new()));
    assert_eq!(router.fib[&nth(0)], [A]);
    assert_eq!(router.told(A)[0].1, None);
}

#[test]
fn what_was_never_sent_is_never_withdrawn() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    let sent = router.told_once(B).unwrap().changes;
    assert!(sent.len() < many().len(), "a batch is bounded");
    router.withdraw(A, many());
    let told = router.told(B);
    assert!(told.iter().all(|(_, attrs)| attrs.is_none()));
    let sorted = |changes: &[Change]| {
        let mut prefixes: Vec<_> = changes.iter().map(|(prefix, _)| *prefix).collect();
        prefixes.sort_unstable();
        prefixes
    };
    assert_eq!(sorted(&told), sorted(&sent));
}

#[test]
fn a_slow_peer_is_told_the_latest_state_once() {
    let mut router = Router::new();
    for hop in 0..50 {
        router.announce(A, vec![nth(0)], attrs_of(A, &[1, 100 + hop]));
    }
    let told = router.told(B);
    assert_eq!(told.len(), 1);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US, Asn(1), Asn(149)]));
}

#[test]
fn prefixes_that_come_and_go_leave_nothing_behind_for_a_peer_that_never_asks() {
    let mut router = Router::new();
    for round in 0..50 {
        let prefixes: Vec<_> = (0..100).map(|i| nth(round * 100 + i)).collect();
        router.announce(A, prefixes.clone(), attrs_of(A, &[1, round]));
        router.withdraw(A, prefixes);
    }
    assert_eq!(router.rib.attrs_count(), 1, "only that of our own prefixes");
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 0);
    assert_eq!(router.told(B), []);
}

#[test]
fn ready_is_said_once_until_drained() {
    let mut router = Router::new();
    router.ready.clear();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(A, vec![nth(1)], attrs_of(A, &[1]));
    assert_eq!(router.ready, [B, C]);
    router.told(B);
    router.announce(A, vec![nth(2)], attrs_of(A, &[1]));
    assert_eq!(router.ready, [B, C, B]);
}

#[test]
fn a_full_table_ends_with_end_of_rib_and_changes_during_it_are_not_lost() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.up(B);
    let mut held = BTreeMap::new();
    let mut ends = Vec::new();
    for round in 0.. {
        if round == 1 {
            router.withdraw(A, vec![nth(0), nth(MANY - 1)]);
            router.announce(A, vec![nth(MANY)], attrs_of(A, &[1]));
        }
        let Some(batch) = router.told_once(B) else {
            break;
        };
        ends.extend(batch.marks);
        for (prefix, attrs) in batch.changes {
            match attrs {
                Some(attrs) => held.insert(prefix, attrs),
                None => held.remove(&prefix),
            };
        }
    }
    assert_eq!(ends, Family::ALL.map(RouteEvent::EndOfRib));
    let held: Vec<_> = held.into_keys().collect();
    let expected: Vec<_> = (1..MANY - 1).chain([MANY]).map(nth).collect();
    assert_eq!(held, expected);
}

#[test]
fn refresh_sends_everything_again_and_says_where_it_ends() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), many().len());
    assert_eq!(router.told(B), []);
    router.handle(Input::Refresh(B, Family::Ipv4Unicast));
    let heard = router.listen(B);
    let mut prefixes: Vec<_> = heard
        .changes
        .into_iter()
        .map(|(prefix, _)| prefix)
        .collect();
    prefixes.sort_unstable();
    let end = RouteEvent::EndOfRib(Family::Ipv4Unicast);
    assert_eq!((prefixes, heard.marks), (many(), vec![end]));
}

#[test]
fn another_export_filter_withdraws_exactly_what_it_forbids() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    let export = Filter::compile(vec![Rule {
        matches: Match {
            prefixes: vec![PrefixPattern {
                net: net("10.0.0.0/14"),
                min: 24,
                max: 24,
            }],
            ..Match::default()
        },
        action: Action::Accept,
        set: Set::default(),
    }]);
    router.configure(B, Asn(2), Filter::accept_all(), export);
    let told = router.told(B);
    assert!(told.iter().all(|(_, attrs)| attrs.is_none()));
    assert_eq!(told.len(), MANY as usize - 1024);
    assert_eq!(router.rib.counts(B, Family::Ipv4Unicast).advertised, 1024);
    assert_eq!(
        router.told(C).len(),
        MANY as usize,
        "others are not concerned"
    );
}

#[test]
fn the_same_configuration_again_is_no_work() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    router.ready.clear();
    router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all());
    assert_eq!(router.rib.poll_timeout(), None);
    assert_eq!((router.ready.len(), router.told(B)), (0, vec![]));
}

#[test]
fn a_failover_that_changes_nothing_for_a_peer_is_not_sent() {
    let mut router = Router::new();
    router.configure(B, Asn(1), Filter::accept_all(), Filter::accept_all());
    router.up(B);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[1]));
    assert_eq!(router.told(C).len(), 1);
    router.handle(Input::Standing(A, Standing::Unusable));
    assert_eq!(router.fib[&nth(0)], [B]);
    assert_eq!(router.told(C), []);
}

#[test]
fn a_dead_peers_paths_are_not_announced_before_the_sweep_reaches_them() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.handle(Input::Down(A, Retention::new()));
    assert!(
        router.rib.poll_timeout().is_some(),
        "there is more than one bite"
    );
    assert_eq!(router.told(B), []);
    assert!(router.fib.values().all(Vec::is_empty));
}

#[test]
fn a_peer_that_returns_during_the_sweep_has_its_fresh_paths_only() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    router.handle(Input::Down(A, Retention::new()));
    router.up(A);
    let fresh = [nth(0), nth(MANY - 1)];
    router.announce(A, fresh.to_vec(), attrs_of(A, &[1, 9]));
    assert_eq!(router.rib.counts(A, Family::Ipv4Unicast).received, 2);
    assert_eq!(router.rib.route(&fresh[1]).unwrap().paths.len(), 1);
    router.settle();
    let reached = router.fib.iter().filter(|(_, hops)| !hops.is_empty());
    let reached: Vec<_> = reached.map(|(prefix, _)| *prefix).collect();
    assert_eq!(reached, fresh);
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 2);
}

#[test]
fn a_bite_is_bounded_and_the_rest_follows() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    let nexthop = [10, 255, 0, 1].into();
    assert_eq!(router.rib.nexthops().collect::<Vec<_>>(), [nexthop]);
    router.handle(Input::Nexthop(nexthop, NexthopState::Unreachable));
    let gone = |router: &Router| router.fib.values().filter(|hops| hops.is_empty()).count();
    assert_eq!(
        gone(&router),
        0,
        "others may be heard of in the same breath"
    );
    assert_eq!(router.rib.poll_timeout(), Some(router.now));
    router.handle(Input::Timeout);
    assert_eq!(gone(&router), 2_000);
    let view = router.rib.route(&nth(MANY - 1)).unwrap();
    assert_eq!(
        view.paths[0].step,
        Step::NexthopUnreachable,
        "reads are ahead of the sweep"
    );
    router.settle();
    assert_eq!(gone(&router), MANY as usize);
}

#[test]
fn another_import_filter_needs_nothing_from_the_peer() {
    let mut router = Router::new();
    router.configure(A, Asn(1), Filter::reject_all(), Filter::accept_all());
    router.announce(A, many(), attrs_of(A, &[1]));
    let counts = router.rib.counts(A, Family::Ipv4Unicast);
    assert_eq!((counts.received, counts.accepted), (MANY as usize, 0));
    router.configure(A, Asn(1), Filter::accept_all(), Filter::accept_all());
    router.settle();
    let counts = router.rib.counts(A, Family::Ipv4Unicast);
    assert_eq!(
        (counts.accepted, counts.best),
        (MANY as usize, MANY as usize)
    );
    assert_eq!(router.told(B).len(), MANY as usize);
}

#[test]
fn routes_are_read_in_order_page_by_page() {
    let mut router = Router::new();
    let mut shuffled = many();
    shuffled.sort_unstable_by_key(ToString::to_string);
    router.announce(A, shuffled, attrs_of(A, &[1]));
    let mut seen: Vec<Prefix> = Vec::new();
    loop {
        let after = seen.last().copied();
        let page = router.rib.routes(Family::Ipv4Unicast, after, 700);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 700);
        seen.extend(page.iter().map(|view| view.prefix));
    }
    assert_eq!(seen, many());
    assert_eq!(router.rib.routes(Family::Ipv4Unicast, None, 0), []);
}

#[test]
fn the_longest_match_is_the_one_that_packets_follow() {
    let mut router = Router::new();
    router.announce(A, vec![net("10.0.0.0/8")], attrs_of(A, &[1]));
    router.announce(A, vec![net("10.1.0.0/16")], attrs_of(A, &[1, US.0]));
    let found = |text: &str| {
        let view = router.rib.longest_match(text.parse().unwrap());
        view.map(|view| view.prefix)
    };
    assert_eq!(
        found("10.1.2.3"),
        Some(net("10.0.0.0/8")),
        "the /16 is looped"
    );
    assert_eq!((found("11.1.2.3"), found("::1")), (None, None));
}

#[test]
fn a_view_says_why_each_path_lost() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    router.announce(C, vec![nth(0)], attrs_of(C, &[3, US.0]));
    let view = router.rib.route(&nth(0)).unwrap();
    let paths = view.paths.iter();
    let told: Vec<_> = paths
        .map(|path| (path.peer, path.best, path.step))
        .collect();
    let expected = [
        (Some(B), true, Step::AsPathLength),
        (Some(A), false, Step::AsPathLength),
        (Some(C), false, Step::AsLoop),
    ];
    assert_eq!(told, expected);
    assert_eq!(router.fib[&nth(0)], [B, A]);
}

#[test]
fn routes_of_an_unknown_or_unestablished_peer_change_nothing() {
    let mut router = Router::new();
    router.handle(Input::Down(A, Retention::new()));
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(PeerId(99), vec![nth(0)], attrs_of(A, &[1]));
    router.handle(Input::Refresh(PeerId(99), Family::Ipv4Unicast));
    assert_eq!(router.rib.poll_export(PeerId(99)), None);
    assert_eq!(router.rib.prefix_count(Family::Ipv4Unicast), 0);
}

#[test]
fn withdraw_of_unknown_prefix_changes_nothing() {
    let mut router = Router::new();
    router.ready.clear();
    router.withdraw(A, vec![nth(0)]);
    assert!(router.fib.is_empty() && router.ready.is_empty());
}

#[test]
fn who_falls_behind_is_told_by_prefix_and_ends_up_with_the_same() {
    let mut router = Router::with(ExportBounds {
        prefixes: 100,
        backlog: 2_000,
    });
    router.announce(A, many(), attrs_of(A, &[1]));
    let mut held: BTreeMap<Prefix, Arc<Attrs>> = BTreeMap::new();
    let first = router.told_once(C).unwrap();
    apply(&mut held, first.changes);
    let all: BTreeMap<Prefix, Arc<Attrs>> = {
        let mut all = BTreeMap::new();
        apply(&mut all, router.told(B));
        router.withdraw(A, (0..1_000).map(nth).collect());
        apply(&mut all, router.told(B));
        router.announce(A, (0..500).map(nth).collect(), attrs_of(A, &[1, 9]));
        apply(&mut all, router.told(B));
        all
    };
    let late = router.told(C);
    assert!(
        late.len() <= many().len(),
        "each prefix once: {}",
        late.len()
    );
    apply(&mut held, late);
    assert_eq!(held, all);
    let advertised = |peer| router.rib.counts(peer, Family::Ipv4Unicast).advertised;
    assert_eq!((advertised(B), advertised(C)), (4_500, 4_500));
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 10]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!(
        to_b.bytes[0].as_ptr(),
        to_c.bytes[0].as_ptr(),
        "it has caught up, and shares again"
    );
}

#[test]
fn a_peer_that_takes_nothing_holds_up_nobody() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    router.announce(B, vec![nth(1)], attrs_of(B, &[2]));
    // C never asks.
    assert_eq!(router.told(A).len(), 1);
    assert_eq!(router.told(B).len(), 1);
}

#[test]
fn the_peer_whose_path_is_chosen_now_is_told_that_the_other_one_is_gone() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    assert_eq!(router.told(B).len(), 1);
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    assert_eq!(router.told(B), [(nth(0), None)]);
    let told = router.told(A);
    let path = &told[0].1.as_ref().unwrap().as_path;
    assert_eq!(*path, AsPath::sequence(&[US, Asn(2)]));
}

#[test]
fn an_enhanced_refresh_is_marked_at_both_ends() {
    let mut router = Router::new();
    let up = SessionUp {
        nexthops: [Some(OUR_NEXTHOP), None],
        enhanced_refresh: true,
        ..SessionUp::new(
            RouterId::new([10, 255, 0, 2].into()).unwrap(),
            router.dialects[&B].clone(),
        )
    };
    router.handle(Input::Up(B, up));
    router.announce(A, many(), attrs_of(A, &[1]));
    router.told(B);
    router.handle(Input::Refresh(B, Family::Ipv4Unicast));
    let mut events = Vec::new();
    while let Some(updates) = router.rib.poll_export(B) {
        events.extend(heard(&updates, &router.dialects[&B]));
    }
    let family = Family::Ipv4Unicast;
    assert_eq!(events.first(), Some(&RouteEvent::RefreshBegins(family)));
    assert_eq!(events.last(), Some(&RouteEvent::RefreshEnds(family)));
    let announced = events.iter().map(|event| match event {
        RouteEvent::Announce { prefixes, .. } => prefixes.len(),
        RouteEvent::Withdraw { .. }
        | RouteEvent::EndOfRib(_)
        | RouteEvent::RefreshBegins(_)
        | RouteEvent::RefreshEnds(_) => 0,
    });
    assert_eq!(announced.sum::<usize>(), many().len());
}

#[test]
fn while_deferred_nobody_is_told_anything_and_then_everything() {
    let mut router = Router::new();
    router.handle(Input::Defer);
    router.up(B);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    assert!(router.rib.poll_export(B).is_none());
    router.ready.clear();
    router.handle(Input::Release);
    assert_eq!(router.ready, [A, B, C]);
    let heard = router.listen(B);
    assert_eq!(heard.changes.len(), 1);
    assert_eq!(heard.marks, Family::ALL.map(RouteEvent::EndOfRib));
}

#[test]
fn what_cannot_be_encoded_is_withdrawn_and_counted() {
    let mut router = Router::new();
    router.announce(A, vec![nth(0)], attrs_of(A, &[1]));
    assert_eq!(router.told(B).len(), 1);
    let long = Attrs {
        communities: (0..1_500).map(Community).collect(),
        ..attrs_of(A, &[1])
    };
    router.announce(A, vec![nth(0)], long);
    assert_eq!(router.told(B), [(nth(0), None)]);
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((counts.advertised, counts.unsendable), (0, 1));
}

#[test]
fn peers_that_change_to_the_same_filter_share_again() {
    let mut router = Router::new();
    router.announce(A, many(), attrs_of(A, &[1]));
    for peer in [B, C] {
        router.told(peer);
    }
    let prepending = || {
        Filter::compile(vec![Rule {
            matches: Match {
                prefixes: vec![PrefixPattern::exact(nth(7))],
                ..Match::default()
            },
            action: Action::Reject,
            set: Set::default(),
        }])
    };
    for peer in [B, C] {
        router.configure(peer, Asn(peer.0), Filter::accept_all(), prepending());
    }
    for peer in [B, C] {
        assert_eq!(router.told(peer).len(), many().len());
    }
    router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all());
    router.configure(C, Asn(3), Filter::accept_all(), Filter::accept_all());
    assert_eq!(router.told(B).len(), many().len());
    assert_eq!(router.told(C).len(), many().len());
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 10]));
    let to_b = router.rib.poll_export(B).unwrap();
    let to_c = router.rib.poll_export(C).unwrap();
    assert_eq!(to_b.bytes[0].as_ptr(), to_c.bytes[0].as_ptr());
}

fn apply(held: &mut BTreeMap<Prefix, Arc<Attrs>>, changes: Vec<Change>) {
    for (prefix, attrs) in changes {
        match attrs {
            Some(attrs) => {
                held.insert(prefix, attrs);
            }
            None => assert!(held.remove(&prefix).is_some(), "{prefix} was not told"),
        }
    }
}

/// What C is told of paths by prefix and identifier.
fn several(router: &mut Router) -> BTreeMap<(Prefix, PathId), AsPath> {
    let mut held = BTreeMap::new();
    collect(router, &mut held);
    held
}

fn collect(router: &mut Router, held: &mut BTreeMap<(Prefix, PathId), AsPath>) {
    while let Some(updates) = router.rib.poll_export(C) {
        for event in heard(&updates, &router.dialects[&C]) {
            match event {
                RouteEvent::Announce {
                    attrs,
                    prefixes,
                    path_ids,
                } => {
                    assert_eq!(prefixes.len(), path_ids.len());
                    for path in prefixes.into_iter().zip(path_ids) {
                        held.insert(path, attrs.as_path.clone());
                    }
                }
                RouteEvent::Withdraw { prefixes, path_ids } => {
                    assert_eq!(prefixes.len(), path_ids.len());
                    for path in prefixes.into_iter().zip(path_ids) {
                        assert!(held.remove(&path).is_some(), "{path:?} was not told");
                    }
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }
    router.drain();
}

/// C takes so many paths for a prefix.
fn taking_several(limit: u8) -> Router {
    let mut router = Router::new();
    let dialect = Dialect {
        add_path_send: FamilySet::ALL,
        ..Dialect::new(US, Asn(3))
    };
    router.dialects.insert(C, dialect);
    router.handle(Input::Configure(RibPeer {
        id: C,
        asn: Asn(3),
        address: [10, 255, 0, 3].into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(Filter::accept_all()),
        options: PeerOptions {
            add_path_limit: limit,
            ..PeerOptions::default()
        },
    }));
    router.up(C);
    router
}

#[test]
fn a_peer_that_takes_several_paths_is_told_each_under_its_own_identifier() {
    let mut router = taking_several(0);
    let sent = |asns: &[u32]| {
        let asns: Vec<Asn> = asns.iter().copied().map(Asn).collect();
        AsPath::sequence(&asns)
    };
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    router.announce(C, vec![nth(0)], attrs_of(C, &[3]));
    let mut held = several(&mut router);
    let paths: Vec<AsPath> = held.values().cloned().collect();
    assert_eq!(paths, [sent(&[US.0, 1, 7]), sent(&[US.0, 2])]);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 8, 9]));
    collect(&mut router, &mut held);
    let paths: Vec<AsPath> = held.values().cloned().collect();
    assert_eq!(
        paths,
        [sent(&[US.0, 1, 8, 9]), sent(&[US.0, 2])],
        "one that is not the best changed"
    );
    router.handle(Input::Refresh(C, Family::Ipv4Unicast));
    let again = several(&mut router);
    assert_eq!(again, held);
    router.withdraw(B, vec![nth(0)]);
    router.handle(Input::Down(A, Retention::new()));
    router.settle();
    collect(&mut router, &mut held);
    assert!(held.is_empty());
    let counts = router.rib.counts(C, Family::Ipv4Unicast);
    assert_eq!(counts.advertised, 0);
    router.handle(Input::Remove(C));
    router.handle(Input::Remove(B));
    router.settle();
    assert_eq!(router.rib.attrs_count(), 1, "only that of our own prefixes");
}

#[test]
fn a_limit_on_paths_leaves_the_best() {
    let mut router = taking_several(1);
    router.announce(A, vec![nth(0)], attrs_of(A, &[1, 7]));
    router.announce(B, vec![nth(0)], attrs_of(B, &[2]));
    let held = several(&mut router);
    let paths: Vec<&AsPath> = held.values().collect();
    assert_eq!(paths, [&AsPath::sequence(&[US, Asn(2)])]);
}

/// B takes so many IPv4 prefixes.
fn limited(limit: u32) -> RibPeer {
    RibPeer {
        id: B,
        asn: Asn(2),
        address: [10, 255, 0, 2].into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(Filter::accept_all()),
        options: PeerOptions {
            send_limit: [Some(limit), None],
            ..PeerOptions::default()
        },
    }
}

#[test]
fn a_limit_on_prefixes_is_never_crossed_and_room_is_used() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(A, (0..150).map(nth).collect(), attrs_of(A, &[1]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    let counts = |router: &Router| {
        let counts = router.rib.counts(B, Family::Ipv4Unicast);
        (counts.advertised, counts.held_back)
    };
    assert_eq!((held.len(), counts(&router)), (100, (100, 50)));
    let said = |max| (B, LimitEvent::HeldBack { max });
    assert_eq!(router.limits, [said(100)], "once");
    router.withdraw(A, (0..20).chain(145..150).map(nth).collect());
    for change in router.told(B) {
        apply(&mut held, vec![change]);
        assert!(held.len() <= 100);
    }
    assert_eq!((held.len(), counts(&router)), (100, (100, 25)));
    router.handle(Input::Configure(limited(60)));
    apply(&mut held, router.told(B));
    assert_eq!((held.len(), counts(&router)), (60, (60, 65)));
    assert_eq!(router.limits, [said(100), said(60)]);
    router.handle(Input::Configure(limited(1_000)));
    apply(&mut held, router.told(B));
    assert_eq!((held.len(), counts(&router)), (125, (125, 0)));
    assert_eq!(router.told(C).len(), 125, "others are not concerned");
}

#[test]
fn room_is_made_before_it_is_used_whoever_the_paths_are_from() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(C, (0..50).map(nth).collect(), attrs_of(C, &[3]));
    router.announce(A, (50..150).map(nth).collect(), attrs_of(A, &[1]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    assert_eq!(held.len(), 100);
    router.withdraw(C, (0..20).map(nth).collect());
    router.announce(A, (60..70).map(nth).collect(), attrs_of(A, &[1, 7]));
    for change in router.told(B) {
        apply(&mut held, vec![change]);
        assert!(held.len() <= 100);
    }
    assert_eq!(held.len(), 100);
}

#[test]
fn a_prefix_that_waits_and_gets_room_at_once_is_told_in_the_end() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(10)));
    router.announce(C, (0..10).map(nth).collect(), attrs_of(C, &[3]));
    router.announce(A, (0..5).map(nth).collect(), attrs_of(A, &[1, 7]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    router.withdraw(C, (0..10).map(nth).collect());
    router.handle(Input::Configure(limited(5)));
    apply(&mut held, router.told(B));
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((held.len(), counts.advertised), (5, 5));
}

#[test]
fn nothing_is_said_to_be_held_back_once_there_is_no_limit() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(A, (0..150).map(nth).collect(), attrs_of(A, &[1]));
    router.told(B);
    router.configure(B, Asn(2), Filter::accept_all(), Filter::reject_all());
    router.told(B);
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((counts.advertised, counts.held_back), (0, 0));
}

/// What a peer holds that hears a batch now and then.
#[derive(Default)]
struct Reader {
    held: BTreeMap<Prefix, Arc<Attrs>>,
    /// How many it may hold; `None`: any number.
    limit: Option<usize>,
    /// While it still has more than that from before.
    excess: usize,
}

impl Reader {
    /// Hears one batch if there is one that it was told of; `false` when there is none.
    fn hear(&mut self, router: &mut Router, id: PeerId) -> bool {
        router.drain();
        if !router.ready.contains(&id) {
            return false;
        }
        let Some(heard) = router.told_once(id) else {
            router.ready.retain(|ready| *ready != id);
            return false;
        };
        for change in heard.changes {
            apply(&mut self.held, vec![change]);
            let most = self
                .limit
                .map_or(usize::MAX, |limit| limit.max(self.excess));
            assert!(self.held.len() <= most, "{} of {most}", self.held.len());
            self.excess = self.excess.min(self.held.len());
        }
        true
    }
}

/// xorshift64.
fn below(random: &mut u64, end: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 16) % end
}

#[test]
fn whatever_happens_a_limited_peer_holds_as_many_as_it_takes_of_what_is_current() {
    const D: PeerId = PeerId(4);
    for seed in 1..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut router = Router::with(ExportBounds {
            prefixes: 3,
            backlog: 300,
        });
        router.configure(D, Asn(4), Filter::accept_all(), Filter::accept_all());
        router.up(D);
        let mut readers: BTreeMap<PeerId, Reader> =
            [A, B, C, D].map(|id| (id, Reader::default())).into();
        router.ready = vec![A, B, C, D];
        for _ in 0..400 {
            let from = [A, C][below(&mut random, 2) as usize];
            let nets: Vec<Prefix> = (0..=below(&mut random, 3))
                .map(|_| nth(below(&mut random, 12) as u32))
                .collect();
            match below(&mut random, 12) {
                0..4 => {
                    let path = [from.0, 100 + below(&mut random, 3) as u32];
                    router.announce(from, nets, attrs_of(from, &path));
                }
                4..6 => router.withdraw(from, nets),
                6 => {
                    let limit = [Some(2), Some(5), Some(9), None][below(&mut random, 4) as usize];
                    let reader = readers.get_mut(&B).unwrap();
                    let before = reader.limit.replace(limit.unwrap_or(usize::MAX));
                    if before != reader.limit {
                        reader.excess = usize::MAX;
                    }
                    match limit {
                        Some(limit) => router.handle(Input::Configure(limited(limit as u32))),
                        None => {
                            router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all())
                        }
                    }
                }
                7 if below(&mut random, 8) == 0 => {
                    router.handle(Input::Down(B, Retention::new()));
                    router.ready.retain(|ready| *ready != B);
                    let reader = readers.get_mut(&B).unwrap();
                    reader.held.clear();
                    reader.excess = 0;
                    router.up(B);
                }
                8 => router.handle(Input::Refresh(B, Family::Ipv4Unicast)),
                _ => {
                    let id = [A, B, C, D][below(&mut random, 4) as usize];
                    readers.get_mut(&id).unwrap().hear(&mut router, id);
                }
            }
            if below(&mut random, 25) > 0 {
                continue;
            }
            router.settle();
            for (id, reader) in &mut readers {
                while reader.hear(&mut router, *id) {}
                reader.excess = 0;
            }
            let all = &readers[&D].held;
            let of_b = &readers[&B];
            let most = of_b.limit.unwrap_or(usize::MAX);
            assert_eq!(of_b.held.len(), all.len().min(most), "seed {seed}");
            for (prefix, attrs) in &of_b.held {
                assert_eq!(all.get(prefix), Some(attrs), "seed {seed}: {prefix}");
            }
            let counts = router.rib.counts(B, Family::Ipv4Unicast);
            let numbers = (counts.advertised, counts.held_back);
            let expected = (of_b.held.len(), all.len() - of_b.held.len());
            assert_eq!(numbers, expected, "seed {seed}");
        }
    }
}
