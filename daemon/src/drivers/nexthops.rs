//! Which nexthops packets can be sent to, for the RIB, and which peers share a network with us.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::PeerId;
use bgp::rib::{Input, NexthopState, Rib};
use ipnet::IpNet;
use tokio::sync::watch;

use crate::fib::{Interfaces, Others};

/// Nexthops that routes brought are looked at after so long, all at once.
const LOOK: Duration = Duration::from_millis(50);
/// And so much later for each that is known: a peer that names another nexthop for each route must
/// not keep us looking.
const LOOK_EACH: Duration = Duration::from_micros(10);

/// What the RIB takes any nexthop for until it is told otherwise.
const CONNECTED: NexthopState = NexthopState::Reachable { metric: 0 };

/// Which nexthops this host can get to.
pub(super) struct Reach {
    interfaces: watch::Receiver<Arc<Interfaces>>,
    others: watch::Receiver<Arc<Others>>,
    /// Of the nexthops, when last looked at.
    revision: u64,
    known: BTreeMap<IpAddr, NexthopState>,
    /// Addresses of this host.
    own: BTreeSet<IpAddr>,
    /// When it was last said which networks we share with peers.
    seen: Arc<Interfaces>,
    look_at: Option<Instant>,
}

impl Reach {
    pub(super) fn new(
        interfaces: watch::Receiver<Arc<Interfaces>>,
        others: watch::Receiver<Arc<Others>>,
    ) -> Self {
        Self {
            interfaces,
            others,
            revision: 0,
            known: BTreeMap::new(),
            own: BTreeSet::new(),
            seen: Arc::default(),
            look_at: None,
        }
    }

    /// Says which network we share with a peer.
    pub(super) fn look_at_peer(&self, peer: PeerId, rib: &mut Rib, now: Instant) {
        let address = rib.peer_address(peer);
        let network = address.and_then(|address| self.interfaces.borrow().network(address));
        rib.handle(Input::Network(peer, network), now);
    }

    /// Plans a look if routes have brought or taken nexthops.
    pub(super) fn notice(&mut self, rib: &Rib, now: Instant) {
        if self.look_at.is_none() && self.revision != rib.nexthops_revision() {
            let known = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
            self.look_at = Some(now + LOOK + LOOK_EACH * known);
        }
    }

    /// When to call [`Reach::on_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    /// Resolves when there is a reason to [`look`](Self::look). Cancel-safe.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        tokio::select! {
            changed = self.interfaces.changed() => changed,
            changed = self.others.changed() => changed,
        }
    }

    /// Looks if a look is due.
    pub(super) fn on_timeout(&mut self, rib: &mut Rib, now: Instant) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look(rib, now);
        }
    }

    /// A nexthop that nothing leads to is an unreachable one, exactly like an unplugged cable.
    pub(super) fn look(&mut self, rib: &mut Rib, now: Instant) {
        self.look_at = None;
        self.revision = rib.nexthops_revision();
        let interfaces = Arc::clone(&self.interfaces.borrow_and_update());
        let others = Arc::clone(&self.others.borrow_and_update());
        if interfaces.0.is_empty() {
            return;
        }
        let own = own_addresses(&interfaces);
        if self.own != own {
            self.own.clone_from(&own);
            rib.handle(Input::OwnAddresses(own), now);
        }
        if !Arc::ptr_eq(&self.seen, &interfaces) {
            self.seen = Arc::clone(&interfaces);
            for (peer, address) in rib.peer_addresses().collect::<Vec<_>>() {
                rib.handle(Input::Network(peer, interfaces.network(address)), now);
            }
        }
        let state = |address| match others.toward(address, &interfaces) {
            Some((_, metric)) => NexthopState::Reachable { metric },
            None => NexthopState::Unreachable,
        };
        let states: BTreeMap<_, _> = rib
            .nexthops()
            .map(|address| (address, state(address)))
            .collect();
        for (address, state) in &states {
            let known = self.known.get(address).copied();
            if known.unwrap_or(CONNECTED) != *state {
                rib.handle(Input::Nexthop(*address, *state), now);
            }
        }
        // One that nothing uses is forgotten, and usable when it returns.
        for (address, known) in &self.known {
            if *known != CONNECTED && !states.contains_key(address) {
                rib.handle(Input::Nexthop(*address, CONNECTED), now);
            }
        }
        self.known = states;
    }
}

/// Link-local ones are left out: such an address may be ours on one link and another's on the next.
fn own_addresses(interfaces: &Interfaces) -> BTreeSet<IpAddr> {
    let all = interfaces.0.iter().flat_map(|it| &it.addresses);
    all.map(IpNet::addr)
        .filter(|address| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect()
}
