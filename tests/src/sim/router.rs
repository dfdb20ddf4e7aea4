//! One router: the machines of the daemon, and what its tasks do between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::rib::{
    ExportBounds, Input, Output, PeerOptions, Rib, RibConfig, RibPeer, RouteView, Selection,
};
use bgp::session::Cease;
use bgp::wire::{Dialect, Frames, MessageKind, decode_update};
use bgp::{Attrs, Family, PeerId, Prefix, RouteEvent, Updates};
use links::{LinkId, State};

use super::channel::Channel;
use super::fib::Fib;
use super::groups::Groups;
use super::link::{Datagram, Link};
use super::peer::{Peer, ToPeer, Wish};
use super::random::Random;
use super::topology::{PeerSpec, Policy, RouterSpec, Timing};

/// Few, so that every simulation needs several batches and has peers that fall behind.
const BOUNDS: ExportBounds = ExportBounds {
    prefixes: 3,
    backlog: 300,
};
/// Batches a peer may hold before it gives credit back.
const CREDITS: usize = 2;
/// How late a message between two tasks is: usually, and when the reader is busy.
const LATE: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(250));

/// What the RIB task is told.
#[derive(Debug)]
pub(super) enum RibMessage {
    Input(Input),
    Credit(PeerId, usize),
}

/// What a router wants of the network, and for which of its peers.
#[derive(Debug)]
pub(super) enum Effect {
    Wish(PeerId, Wish),
    Datagram(PeerId, Datagram),
}

/// What the RIB knows about the way to a peer.
#[derive(Debug, Default)]
struct Outlet {
    credits: usize,
    is_ready: bool,
    /// Of this life of the session.
    dialect: Option<Dialect>,
    /// What the RIB has handed over in it.
    adj_rib_out: BTreeMap<Prefix, Arc<Attrs>>,
}

impl Outlet {
    /// Reads UPDATEs as the peer does.
    fn note(&mut self, updates: &Updates) {
        let Some(dialect) = &self.dialect else { return };
        let theirs = Dialect {
            local_asn: dialect.peer_asn,
            peer_asn: dialect.local_asn,
            ..dialect.clone()
        };
        let (mut frames, mut events, mut faults) = (Frames::default(), vec![], vec![]);
        for bytes in &updates.bytes {
            let mut stream = &bytes[..];
            while let Some(frame) = frames.next(&mut stream) {
                let frame = frame.expect("a valid header");
                if frame.kind == MessageKind::Update {
                    decode_update(frame.body, &theirs, &mut events, &mut faults).expect("valid");
                }
            }
        }
        assert_eq!(faults, []);
        for event in events {
            match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => {
                    let told = prefixes.into_iter();
                    let told = told.map(|prefix| (prefix, Arc::clone(&attrs)));
                    self.adj_rib_out.extend(told);
                }
                RouteEvent::Withdraw { prefixes, .. } => {
                    self.adj_rib_out
                        .retain(|prefix, _| !prefixes.contains(prefix));
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Router {
    pub(super) rib: Rib,
    pub(super) peers: Vec<Peer>,
    pub(super) fib: Fib,
    pub(super) groups: Groups,
    links: BTreeMap<PeerId, Link>,
    inbox: Channel<RibMessage>,
    outlets: Vec<Outlet>,
    random: Random,
    effects: Vec<Effect>,
}

impl Router {
    /// A router whose daemon has just started.
    pub(super) fn start(
        spec: &RouterSpec,
        timing: &Timing,
        mut random: Random,
        epoch: Instant,
        now: Instant,
    ) -> Self {
        let rib = Rib::new(RibConfig {
            bounds: BOUNDS,
            ..RibConfig::new(spec.asn, spec.router_id, random.seed())
        });
        let peers = (0..).zip(&spec.peers);
        let peer = |(number, peer): (u32, &PeerSpec)| {
            Peer::new(PeerId(number), spec, peer, timing, random.seed(), now)
        };
        let mut router = Self {
            rib,
            peers: peers.clone().map(peer).collect(),
            fib: Fib::default(),
            groups: Groups::new(spec, timing, now),
            links: BTreeMap::new(),
            inbox: Channel::default(),
            outlets: Vec::new(),
            random,
            effects: Vec::new(),
        };
        for (number, peer) in peers {
            let id = PeerId(number);
            router.configure(id, peer, now);
            router.outlets.push(Outlet {
                credits: CREDITS,
                is_ready: true,
                ..Outlet::default()
            });
            if peer.link.is_some() {
                let seed = router.random.seed();
                let link = Link::new(LinkId(number), timing, seed, epoch, now);
                router.links.insert(id, link);
            } else {
                // A peer on a link waits for the link.
                router.tell(id, ToPeer::Start, now);
            }
        }
        router.originate(spec.originate.clone(), now);
        router.settle(now);
        router
    }

    pub(super) fn configure(&mut self, id: PeerId, spec: &PeerSpec, now: Instant) {
        let filter = |policy: Policy| Arc::new(policy.filter());
        let peer = RibPeer {
            id,
            asn: spec.asn,
            address: spec.remote,
            import: filter(spec.import),
            export: filter(spec.export),
            options: PeerOptions::default(),
        };
        self.tell_rib(RibMessage::Input(Input::Configure(peer)), now);
    }

    pub(super) fn originate(&mut self, prefixes: Vec<Prefix>, now: Instant) {
        self.tell_rib(RibMessage::Input(Input::Originate(prefixes)), now);
    }

    pub(super) fn tell(&mut self, peer: PeerId, message: ToPeer, now: Instant) {
        let arrives = now + self.lateness();
        self.peer(peer).inbox.send(message, arrives);
    }

    pub(super) fn peer(&mut self, id: PeerId) -> &mut Peer {
        &mut self.peers[id.0 as usize]
    }

    pub(super) fn on_datagram(&mut self, peer: PeerId, datagram: Datagram, now: Instant) {
        let link = self.links.get_mut(&peer);
        let answer = link.and_then(|link| link.receive(datagram, now));
        self.effects
            .extend(answer.map(|answer| Effect::Datagram(peer, answer)));
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let peers = self.peers.iter().filter_map(Peer::poll_timeout);
        let links = self.links.values().filter_map(Link::poll_timeout);
        let tasks = [
            self.inbox.poll_timeout(),
            self.rib.poll_timeout(),
            self.groups.poll_timeout(),
        ];
        peers.chain(links).chain(tasks.into_iter().flatten()).min()
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        for peer in &mut self.peers {
            peer.on_timeout(now);
        }
        for link in self.links.values_mut() {
            link.on_timeout(now);
        }
        if self.rib.poll_timeout().is_some_and(|at| at <= now) {
            self.rib.handle(Input::Timeout, now);
        }
        if self.groups.on_timeout(now) {
            self.tell_standings(now);
        }
    }

    /// Does all that can be done at this instant, and tells what the network is to do.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<Effect> {
        self.settle_links(now);
        self.settle_rib(now);
        self.settle_peers(now);
        std::mem::take(&mut self.effects)
    }

    /// What the RIB has handed over for this peer, as long as its session lives.
    pub(super) fn adj_rib_out(&self, peer: PeerId) -> &BTreeMap<Prefix, Arc<Attrs>> {
        &self.outlets[peer.0 as usize].adj_rib_out
    }

    /// Every destination that the RIB has a path to.
    pub(super) fn routes(&self) -> Vec<RouteView> {
        let all = Selection::All;
        let page = self
            .rib
            .prefixes(Family::Ipv4Unicast, all, None, usize::MAX);
        self.rib.views(&page.prefixes)
    }

    /// What a correct speaker never says to another was said.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let peers = self.peers.iter_mut();
        peers.flat_map(|peer| peer.complaints.drain(..)).collect()
    }

    /// What stands in the way of calling this router quiet.
    pub(super) fn unfinished(&mut self, now: Instant) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let is_due = self.rib.poll_timeout().is_some_and(|at| at <= now);
        if self.rib.poll_output().is_some() || is_due {
            found.push("its RIB is not done".to_owned());
        }
        if self.inbox.poll_timeout().is_some() {
            found.push("its RIB has messages to read".to_owned());
        }
        for (peer, outlet) in self.peers.iter_mut().zip(&self.outlets) {
            let id = peer.id;
            if !peer.is_drained() || outlet.credits != CREDITS {
                found.push(format!("{id:?} has something to send"));
            }
            // Asking takes it away, so only where there must be nothing.
            if found.is_empty() && self.rib.poll_export(id).is_some() {
                found.push(format!("the RIB has something for {id:?} and nobody asks"));
            }
        }
        found
    }

    fn settle_links(&mut self, now: Instant) {
        let mut changes = Vec::new();
        for (id, link) in &mut self.links {
            while let Some(datagram) = link.poll_transmit(now) {
                self.effects.push(Effect::Datagram(*id, datagram));
            }
            while let Some(change) = link.poll_output(now) {
                changes.push((*id, change));
            }
        }
        for (id, change) in changes {
            self.groups.on_link(id, change, now);
            self.tell_standings(now);
            let message = match change.state {
                State::Up | State::Degraded | State::Draining => ToPeer::Start,
                State::Down => ToPeer::Stop(Cease::BfdDown),
            };
            self.tell(id, message, now);
        }
    }

    /// Traffic moves first.
    fn tell_standings(&mut self, now: Instant) {
        self.fib.set_links(self.groups.links());
        for standing in self.groups.standings() {
            self.tell_rib(RibMessage::Input(standing), now);
        }
    }

    fn settle_rib(&mut self, now: Instant) {
        while let Some(message) = self.inbox.receive(now) {
            match message {
                RibMessage::Input(input) => {
                    if let Input::Up(peer, _) | Input::Down(peer, _) = &input {
                        self.outlets[peer.0 as usize].adj_rib_out.clear();
                    }
                    if let Input::Up(peer, up) = &input {
                        self.outlets[peer.0 as usize].dialect = Some(up.dialect.clone());
                    }
                    self.rib.handle(input, now);
                }
                RibMessage::Credit(peer, credits) => {
                    let outlet = &mut self.outlets[peer.0 as usize];
                    outlet.credits = (outlet.credits + credits).min(CREDITS);
                }
            }
        }
        loop {
            self.drain_rib();
            if !self.export(now) {
                return;
            }
        }
    }

    fn drain_rib(&mut self) {
        while let Some(output) = self.rib.poll_output() {
            match output {
                Output::Routes(changes) => self.fib.apply(&changes),
                Output::ExportReady(peer) => self.outlets[peer.0 as usize].is_ready = true,
                Output::NexthopOurs { .. } | Output::Limit { .. } => {}
            }
        }
    }

    fn export(&mut self, now: Instant) -> bool {
        let mut exported = false;
        for number in 0..self.outlets.len() {
            let id = self.peers[number].id;
            while self.outlets[number].is_ready && self.outlets[number].credits > 0 {
                let outlet = &mut self.outlets[number];
                let Some(updates) = self.rib.poll_export(id) else {
                    outlet.is_ready = false;
                    break;
                };
                exported = true;
                if updates.bytes.is_empty() {
                    continue;
                }
                outlet.credits -= 1;
                outlet.note(&updates);
                self.tell(id, ToPeer::Transmit(updates), now);
            }
        }
        exported
    }

    fn settle_peers(&mut self, now: Instant) {
        let (mut wishes, mut to_rib) = (Vec::new(), Vec::new());
        for peer in &mut self.peers {
            peer.drain(&mut wishes, &mut to_rib);
            while let Some(message) = peer.inbox.receive(now) {
                peer.obey(message, now);
                peer.drain(&mut wishes, &mut to_rib);
            }
            let id = peer.id;
            self.effects
                .extend(wishes.drain(..).map(|wish| Effect::Wish(id, wish)));
        }
        for message in to_rib {
            self.tell_rib(message, now);
        }
    }

    fn tell_rib(&mut self, message: RibMessage, now: Instant) {
        let arrives = now + self.lateness();
        self.inbox.send(message, arrives);
    }

    fn lateness(&mut self) -> Duration {
        let (usual, busy) = LATE;
        let limit = if self.random.happens(20) { busy } else { usual };
        self.random.wait(limit)
    }
}
