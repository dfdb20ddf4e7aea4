//! Any history of routes, sessions, filters and links at the RIB: what it says of itself, what the
//! FIB was told and what each peer was told agree whenever it is quiet.
//!
//! `cargo bolero test rib_operations` searches for more than the random histories of every run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::Filter;
use bgp::rib::{
    Input, NexthopState, Output, PeerOptions, Rib, RibConfig, RibPeer, RouteView, Selection,
    Standing, Step,
};
use bgp::wire::{Dialect, Frames, decode_update};
use bgp::{
    AsPath, Asn, Attrs, Community, Family, FirstAs, PeerId, Prefix, Retention, RouteEvent,
    RouterId, SessionUp, Updates,
};
use bolero::check;

const PEERS: [u32; 4] = [1, 2, 3, 4];
const US: Asn = Asn(65001);
const PREFIXES: u8 = 12;

#[test]
fn rib_operations() {
    check!().for_each(|script: &[u8]| run(script));
}

/// Longer histories than a few random octets make.
#[test]
fn long_histories_keep_everyone_in_agreement() {
    for seed in 1..300_u64 {
        let mut state = seed;
        let script: Vec<u8> = (0..600)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect();
        let checked = std::panic::catch_unwind(|| run(&script));
        assert!(checked.is_ok(), "seed {seed}");
    }
}

/// What the RIB has told others, as they hold it.
struct World {
    rib: Rib,
    now: Instant,
    fib: BTreeMap<Prefix, usize>,
    told: BTreeMap<PeerId, BTreeMap<Prefix, Arc<Attrs>>>,
    up: BTreeMap<PeerId, bool>,
}

fn run(script: &[u8]) {
    let router_id = RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not zero");
    let mut world = World {
        rib: Rib::new(RibConfig::new(US, router_id, 1)),
        now: Instant::now(),
        fib: BTreeMap::new(),
        told: BTreeMap::new(),
        up: BTreeMap::new(),
    };
    for id in PEERS {
        world.configure(PeerId(id), 0);
        world.up(PeerId(id));
    }
    for operation in script.chunks_exact(3) {
        let [kind, peer, value] = operation else {
            continue;
        };
        world.operate(
            *kind,
            PeerId(PEERS[usize::from(*peer) % PEERS.len()]),
            *value,
        );
    }
    world.check();
    for id in PEERS {
        world.handle(Input::Remove(PeerId(id)));
        world.told.remove(&PeerId(id));
    }
    world.handle(Input::Originate(Vec::new()));
    world.settle();
    assert_eq!(
        Family::ALL.map(|family| world.rib.prefix_count(family)),
        [0, 0]
    );
    assert!(world.fib.values().all(|hops| *hops == 0), "{:?}", world.fib);
}

impl World {
    fn operate(&mut self, kind: u8, peer: PeerId, value: u8) {
        match kind % 16 {
            0..=4 => self.announce(peer, kind, value),
            5 | 6 => self.routes(peer, RouteEvent::withdraw(vec![prefix(value)])),
            7 => self.configure(peer, value),
            8 => self.up(peer),
            9 => {
                self.handle(Input::Down(peer, Retention::new()));
                self.told.remove(&peer);
                self.up.insert(peer, false);
            }
            10 => self.handle(Input::Refresh(peer, Family::Ipv4Unicast)),
            11 => self.handle(Input::Standing(peer, standing(value))),
            12 => self.handle(Input::Nexthop(nexthop(peer).into(), state(value))),
            13 => self.handle(Input::Originate((0..value % 4).map(prefix).collect())),
            // Part of what a peer is owed, so that the rest meets later changes.
            14 => drop(self.tell(peer)),
            _ => self.check(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.rib.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            if let Output::Routes(changes) = output {
                for (prefix, to) in changes.iter() {
                    self.fib.insert(prefix, to.hops().len());
                }
            }
        }
    }

    fn configure(&mut self, id: PeerId, value: u8) {
        let filter = |bit: u8| {
            Arc::new(if value & bit == 0 {
                Filter::accept_all()
            } else {
                Filter::reject_all()
            })
        };
        self.handle(Input::Configure(RibPeer {
            id,
            asn: asn(id),
            address: nexthop(id).into(),
            import: filter(1),
            export: filter(2),
            options: PeerOptions::default(),
        }));
    }

    fn up(&mut self, id: PeerId) {
        let router_id = RouterId::new(nexthop(id)).expect("not zero");
        let up = SessionUp {
            nexthops: [Some(Ipv4Addr::new(192, 0, 2, 200).into()), None],
            ..SessionUp::new(router_id, dialect(asn(id)))
        };
        self.told.remove(&id);
        self.up.insert(id, true);
        self.handle(Input::Up(id, up));
    }

    fn announce(&mut self, peer: PeerId, kind: u8, value: u8) {
        let mut asns = vec![Asn(65002); usize::from(value >> 6) + 1];
        if kind == 4 && value & 0x30 == 0 {
            asns.push(US);
        }
        let mut attrs = Attrs {
            as_path: AsPath::sequence(&asns),
            nexthop: Some(nexthop(peer).into()),
            med: (kind == 1).then_some(u32::from(value >> 4)),
            local_pref: (kind == 2).then_some(u32::from(value >> 4) + 95),
            ..Attrs::originated()
        };
        if kind == 3 {
            attrs
                .communities
                .push([Community::NO_EXPORT, Community::NO_ADVERTISE][usize::from(value >> 7)]);
        }
        let prefixes = vec![prefix(value), prefix(value.wrapping_add(1))];
        self.routes(peer, RouteEvent::announce(Arc::new(attrs), prefixes));
    }

    fn routes(&mut self, peer: PeerId, event: RouteEvent) {
        self.handle(Input::Routes(peer, vec![event]));
    }

    /// Part of what a peer is owed; `false` when there was nothing.
    fn tell(&mut self, peer: PeerId) -> bool {
        let Some(updates) = self.rib.poll_export(peer) else {
            return false;
        };
        let told = self.told.entry(peer).or_default();
        for event in heard(&updates, &dialect(asn(peer))) {
            match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => told.extend(prefixes.into_iter().map(|p| (p, Arc::clone(&attrs)))),
                RouteEvent::Withdraw { prefixes, .. } => {
                    for prefix in prefixes {
                        assert!(told.remove(&prefix).is_some(), "{prefix} was never told");
                    }
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
        self.drain();
        true
    }

    /// Lets all work be done and everybody be told.
    fn settle(&mut self) {
        while self.rib.poll_timeout().is_some() {
            self.handle(Input::Timeout);
        }
        for id in PEERS {
            let batches = (0..1_000).take_while(|_| self.tell(PeerId(id)));
            assert!(batches.count() < 1_000, "it never ends");
        }
        self.drain();
    }

    fn check(&mut self) {
        self.settle();
        let all = Selection::All;
        let page = self
            .rib
            .prefixes(Family::Ipv4Unicast, all, None, usize::MAX);
        let views = self.rib.views(&page.prefixes);
        for view in &views {
            self.check_view(view);
        }
        for (prefix, hops) in &self.fib {
            assert!(
                *hops == 0 || views.iter().any(|view| view.prefix == *prefix),
                "{prefix}"
            );
        }
        for id in PEERS.map(PeerId) {
            let counts = self.rib.counts(id, Family::Ipv4Unicast);
            let told = self.told.get(&id).map_or(0, BTreeMap::len);
            assert!(counts.received >= counts.accepted && counts.accepted >= counts.best);
            assert_eq!(counts.advertised, told, "{id:?}");
            assert!(
                self.up[&id] || (counts.received, told) == (0, 0),
                "{id:?} is down"
            );
        }
    }

    fn check_view(&self, view: &RouteView) {
        let best: Vec<_> = view.paths.iter().filter(|path| path.best).collect();
        assert!(best.len() <= 1, "{view:?}");
        assert_eq!(
            best.len(),
            usize::from(view.paths.first().is_some_and(|path| path.best))
        );
        let hops = self.fib.get(&view.prefix).copied().unwrap_or(0);
        let ours = best.first().is_some_and(|path| path.peer.is_none());
        let usable = view
            .paths
            .iter()
            .filter(|path| path.peer.is_some() && is_eligible(path.step));
        assert!(
            ours || (hops > 0) == (usable.count() > 0),
            "{hops} hops: {view:?}"
        );
        for id in PEERS.map(PeerId) {
            let told = self.told.get(&id).and_then(|told| told.get(&view.prefix));
            let may = best.first().is_some_and(|path| path.peer != Some(id));
            assert!(
                told.is_none() || may,
                "{id:?} was told {told:?} of {view:?}"
            );
        }
    }
}

/// Two external peers of one AS, one of another, and an internal one.
fn asn(peer: PeerId) -> Asn {
    [Asn(65002), Asn(65002), Asn(65003), US][peer.0 as usize - 1]
}

/// The same for both ends, but for who is who.
fn dialect(peer: Asn) -> Dialect {
    Dialect {
        first_as: FirstAs::Free,
        ..Dialect::new(US, peer)
    }
}

/// What the peer understands.
fn heard(updates: &Updates, dialect: &Dialect) -> Vec<RouteEvent> {
    let bytes = updates.bytes.concat();
    let (mut frames, mut stream) = (Frames::default(), &bytes[..]);
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.next(&mut stream) {
        let body = frame.expect("we write valid headers").body;
        decode_update(body, dialect, &mut events, &mut faults).expect("we write valid UPDATEs");
    }
    assert!(faults.is_empty() && frames.buffered() == 0, "{faults:?}");
    events
}

fn is_eligible(step: Step) -> bool {
    !matches!(
        step,
        Step::LinkUnusable | Step::NexthopUnreachable | Step::Filtered | Step::AsLoop
    )
}

fn prefix(value: u8) -> Prefix {
    Prefix::new(Ipv4Addr::new(10, value % PREFIXES, 0, 0).into(), 16).expect("legal")
}

fn nexthop(peer: PeerId) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, peer.0 as u8)
}

fn state(value: u8) -> NexthopState {
    if value & 1 == 0 {
        NexthopState::Reachable { metric: 0 }
    } else {
        NexthopState::Unreachable
    }
}

fn standing(value: u8) -> Standing {
    match value % 4 {
        0 => Standing::Unranked,
        1 => Standing::Unusable,
        _ => Standing::Ranked {
            group: u32::from(value >> 7),
            rank: u32::from(value >> 5 & 3),
            tiebreak: u32::from(value >> 4 & 1),
        },
    }
}
