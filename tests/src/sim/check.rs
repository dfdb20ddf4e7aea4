//! What the network should have come to, and what contradicts it.
//!
//! The routes that should be are worked out by path vector over the topology: the shortest AS path, then
//! the preferred link of a group, then the lower identifier, then the lower address. It shares no
//! code with the RIB.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bgp::rib::RouteView;
use bgp::session::State;
use bgp::{Asn, Attrs, Family, PeerId, Prefix};

use super::Network;
use super::topology::PeerSpec;

/// Trouble is over after so long: the sum of all patience that [`Timing`](super::topology::Timing)
/// allows, TCP's included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// What has converged stays so for as long.
const CALM: Duration = Duration::from_secs(2);

/// What a router should do with a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Chosen {
    as_path: Vec<Asn>,
    /// `None`: its own.
    peer: Option<usize>,
}

type Tables = Vec<BTreeMap<Prefix, Chosen>>;

impl Network {
    /// Runs until nothing contradicts what should be, and then for a while that stays so. Tells how
    /// long the first took.
    ///
    /// # Errors
    ///
    /// Everything that is still wrong when patience ends, or that went wrong again.
    pub fn converge(&mut self) -> Result<Duration> {
        self.lose(0);
        let begin = self.elapsed();
        loop {
            let mut found = self.mistakes();
            found.extend(self.unfinished());
            if found.is_empty() {
                break;
            }
            if self.elapsed() - begin > PATIENCE {
                bail!(
                    "not as it should be after {PATIENCE:?}:\n{}",
                    found.join("\n")
                );
            }
            self.run(LOOK);
        }
        let took = self.elapsed() - begin;
        self.run(CALM);
        let found = self.mistakes();
        if !found.is_empty() {
            bail!(
                "wrong again {CALM:?} after it was right:\n{}",
                found.join("\n")
            );
        }
        Ok(took)
    }

    /// Everything that is not as it should be once the network is quiet.
    fn mistakes(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        self.check_sessions(&mut found);
        self.check_routes(&mut found);
        self.check_loc_ribs(&mut found);
        self.check_adjacent_tables(&mut found);
        for (running, spec) in self.routers.iter_mut().zip(&self.topology.routers) {
            let complaints = running.iter_mut().flat_map(super::Router::complaints);
            found.extend(complaints.map(|what| format!("{}: {what}", spec.name)));
        }
        found
    }

    /// Work that is under way. There may be some again later: an answer that waited in TCP for a cable
    /// to come back changes nothing, but is work.
    fn unfinished(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for (running, spec) in self.routers.iter_mut().zip(&self.topology.routers) {
            let unfinished = running
                .iter_mut()
                .flat_map(|running| running.unfinished(self.now));
            found.extend(unfinished.map(|what| format!("{}: {what}", spec.name)));
        }
        found
    }

    /// A cable that carries everything between two routers that run.
    fn is_alive(&self, cable: usize) -> bool {
        let ends = self.cables[cable].ends;
        self.cables[cable].is_up && ends.iter().all(|(router, _)| self.is_running(*router))
    }

    /// Sessions stand over live cables and over no other, are sound, and never wait for nothing.
    fn check_sessions(&self, found: &mut Vec<String>) {
        for (running, spec) in self.routers.iter().zip(&self.topology.routers) {
            let Some(running) = running else { continue };
            for (peer, peer_spec) in running.peers.iter().zip(&spec.peers) {
                let name = &spec.name;
                let cable = peer_spec.cable;
                let alive = self.is_alive(cable);
                let status = peer.session.status();
                if (status.state == State::Established) != alive {
                    let says = if alive { "alive" } else { "dead" };
                    let state = status.state;
                    found.push(format!(
                        "{name}: cable {cable} is {says}, session {state:?}"
                    ));
                }
                let link = running.groups.state(peer.id);
                let link_works = link.is_some_and(|state| state != links::State::Down);
                if peer_spec.link.is_some() && link_works != alive {
                    found.push(format!(
                        "{name}: cable {cable} alive {alive}, link {link:?}"
                    ));
                }
                let stopped = peer_spec.link.is_some() && !link_works;
                let waits = peer.session.poll_timeout().is_some() || peer.awaits_network();
                if !waits && !stopped {
                    found.push(format!("{name}: cable {cable}: waits without a deadline"));
                }
                if let Some(fault) = status.last_fault {
                    found.push(format!("{name}: cable {cable}: {fault:?}"));
                }
                let family = Family::Ipv4Unicast;
                if running.rib.counts(peer.id, family).unsendable > 0 {
                    found.push(format!("{name}: cable {cable}: unsendable routes"));
                }
            }
        }
    }

    /// Every packet goes where it should.
    fn check_routes(&self, found: &mut Vec<String>) {
        let should = self.routes_that_should_be();
        for (router, running) in self.routers.iter().enumerate() {
            let Some(running) = running else { continue };
            let through = |chosen: &Chosen| chosen.peer;
            let wanted: BTreeMap<Prefix, usize> = should[router]
                .iter()
                .filter_map(|(prefix, chosen)| Some((*prefix, through(chosen)?)))
                .collect();
            let actual: BTreeMap<Prefix, usize> = running
                .fib
                .effective()
                .into_iter()
                .map(|(prefix, peer)| (prefix, peer.0 as usize))
                .collect();
            if actual != wanted {
                let name = &self.topology.routers[router].name;
                found.push(format!("{name}: FIB {actual:?}, should be {wanted:?}"));
            }
        }
    }

    /// What a RIB has chosen is what its FIB does.
    fn check_loc_ribs(&self, found: &mut Vec<String>) {
        for (running, spec) in self.routers.iter().zip(&self.topology.routers) {
            let Some(running) = running else { continue };
            let chosen = |route: RouteView| {
                let best = route.paths.into_iter().find(|path| path.best)?;
                Some((route.prefix, best.peer?))
            };
            let chosen: BTreeMap<_, _> = running.routes().into_iter().filter_map(chosen).collect();
            let actual = running.fib.effective();
            if actual != chosen {
                let name = &spec.name;
                found.push(format!("{name}: FIB {actual:?}, its RIB chose {chosen:?}"));
            }
        }
    }

    /// What a RIB handed over for a peer is what that peer holds.
    fn check_adjacent_tables(&self, found: &mut Vec<String>) {
        for (number, cable) in self.cables.iter().enumerate() {
            if !self.is_alive(number) {
                continue;
            }
            let [a, b] = cable.ends;
            for (from, to) in [(a, b), (b, a)] {
                let (told, held) = (self.told(from), self.held(to));
                if told != held {
                    let name = &self.topology.routers[from.0].name;
                    found.push(format!(
                        "cable {number}: {name} told {told:?}, the other end holds {held:?}"
                    ));
                }
            }
        }
    }

    /// As it looks at the other end: with our own address for a nexthop.
    fn told(&self, (router, peer): (usize, PeerId)) -> BTreeMap<Prefix, Attrs> {
        let local: IpAddr = self.topology.routers[router].peers[peer.0 as usize].local;
        let running = self.routers[router].iter();
        let told = running.flat_map(|running| running.adj_rib_out(peer));
        told.map(|(prefix, attrs)| {
            let mut attrs = Attrs::clone(attrs);
            attrs.nexthop.get_or_insert(local);
            (*prefix, attrs)
        })
        .collect()
    }

    fn held(&self, (router, peer): (usize, PeerId)) -> BTreeMap<Prefix, Attrs> {
        let running = self.routers[router].iter();
        let routes = running.flat_map(super::Router::routes);
        routes
            .flat_map(|route| {
                let prefix = route.prefix;
                let paths = route.paths.into_iter();
                paths
                    .filter(move |path| path.peer == Some(peer))
                    .map(move |path| (prefix, Arc::unwrap_or_clone(path.attrs)))
            })
            .collect()
    }

    /// Lets every router choose from what its neighbours chose, until nobody changes their mind.
    fn routes_that_should_be(&self) -> Tables {
        let mut tables: Tables = self.routers.iter().map(|_| BTreeMap::new()).collect();
        loop {
            let next: Tables = (0..tables.len())
                .map(|router| self.choose_all(router, &tables))
                .collect();
            if next == tables {
                return tables;
            }
            tables = next;
        }
    }

    fn choose_all(&self, router: usize, tables: &Tables) -> BTreeMap<Prefix, Chosen> {
        let spec = &self.topology.routers[router];
        if !self.is_running(router) {
            return BTreeMap::new();
        }
        let mut offers: BTreeMap<Prefix, Vec<Chosen>> = BTreeMap::new();
        for (number, peer) in spec.peers.iter().enumerate() {
            if !self.is_alive(peer.cable) {
                continue;
            }
            let (far, far_peer) = self.far_end(router, number);
            let far_spec = &self.topology.routers[far];
            let export = far_spec.peers[far_peer].export;
            for (prefix, chosen) in &tables[far] {
                let mut as_path = vec![far_spec.asn];
                as_path.extend(&chosen.as_path);
                let crosses = export.passes(prefix) && peer.import.passes(prefix);
                if crosses && chosen.peer != Some(far_peer) && !as_path.contains(&spec.asn) {
                    let peer = Some(number);
                    let offer = Chosen { as_path, peer };
                    offers.entry(*prefix).or_default().push(offer);
                }
            }
        }
        let mut chosen: BTreeMap<Prefix, Chosen> = offers
            .into_iter()
            .filter_map(|(prefix, offers)| Some((prefix, self.choose(&spec.peers, offers)?)))
            .collect();
        for prefix in &spec.originate {
            let own = Chosen {
                as_path: Vec::new(),
                peer: None,
            };
            chosen.insert(*prefix, own);
        }
        chosen
    }

    fn choose(&self, peers: &[PeerSpec], mut offers: Vec<Chosen>) -> Option<Chosen> {
        let shortest = offers.iter().map(|offer| offer.as_path.len()).min()?;
        offers.retain(|offer| offer.as_path.len() == shortest);
        let peer = |offer: &Chosen| offer.peer.map(|peer| &peers[peer]);
        let links: Vec<_> = offers
            .iter()
            .filter_map(|offer| peer(offer)?.link)
            .collect();
        let beaten = |offer: &Chosen| {
            let own = peer(offer).and_then(|peer| peer.link);
            own.is_some_and(|own| {
                let rivals = links.iter().filter(|link| link.group == own.group);
                rivals.map(|link| link.priority).min() < Some(own.priority)
            })
        };
        offers.retain(|offer| !beaten(offer));
        offers.into_iter().min_by_key(|offer| {
            let peer = peer(offer);
            let router = peer.and_then(|peer| {
                let mut routers = self.topology.routers.iter();
                routers.find(|router| router.asn == peer.asn)
            });
            let id = router.map(|router| router.router_id);
            (id, peer.map(|peer| peer.remote))
        })
    }

    fn far_end(&self, router: usize, peer: usize) -> (usize, usize) {
        let cable = self.topology.routers[router].peers[peer].cable;
        let [a, b] = self.topology.cables[cable].ends;
        if a == (router, peer) { b } else { a }
    }
}
