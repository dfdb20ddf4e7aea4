//! The groups: link states in, ranks out to the FIB, the RIB and the sessions.
//!
//! The FIB comes first: traffic has moved before anyone else hears of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use bgp::PeerId;
use bgp::rib::{Input, Standing};
use bgp::session::Cease;
use links::{Group, GroupInput, GroupOutput, LinkId, Member, Rank, State};
use tokio::sync::mpsc;
use tracing::info;

use super::messages::{GroupsMessage, Place, RibMessage, Steering, ToPeer, Topology};
use super::until;
use crate::board::Board;
use crate::fib::LinkStanding;
use crate::journal::Severity;

/// Runs until every sender of the inbox is gone.
pub(crate) async fn run(
    inbox: mpsc::Receiver<GroupsMessage>,
    fib: mpsc::Sender<Steering>,
    rib: mpsc::Sender<RibMessage>,
    board: Arc<Board>,
) {
    let driver = Driver {
        inbox,
        fib,
        rib,
        board,
        topology: Topology::default(),
        groups: BTreeMap::new(),
        states: BTreeMap::new(),
        ranks: BTreeMap::new(),
        watched: BTreeMap::new(),
    };
    driver.run().await;
}

struct Driver {
    inbox: mpsc::Receiver<GroupsMessage>,
    fib: mpsc::Sender<Steering>,
    rib: mpsc::Sender<RibMessage>,
    board: Arc<Board>,
    topology: Topology,
    groups: BTreeMap<String, Group>,
    /// Of the links that have told theirs. A link that has not is left as it is: after a restart it
    /// may well be carrying traffic.
    states: BTreeMap<String, State>,
    ranks: BTreeMap<LinkId, Rank>,
    /// Of the peers on no link that BFD watches, where it has said something.
    watched: BTreeMap<PeerId, State>,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let deadline = self.groups.values().filter_map(Group::poll_timeout).min();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(GroupsMessage::Configure(topology)) => self.configure(topology).await,
                    Some(GroupsMessage::Link { name, state, found_out }) => {
                        self.on_link(name, state, found_out).await;
                    }
                    Some(GroupsMessage::Peer { peer, state, found_out }) => {
                        self.on_peer(peer, state, found_out).await;
                    }
                    None => return,
                },
                () = until(deadline) => {
                    let now = Instant::now();
                    for group in self.groups.values_mut() {
                        group.handle(GroupInput::Timeout, now);
                    }
                    self.settle(now).await;
                }
            }
        }
    }

    async fn configure(&mut self, topology: Topology) {
        let now = Instant::now();
        self.groups
            .retain(|name, _| topology.groups.contains_key(name));
        for (name, config) in &topology.groups {
            let in_group = |place: &&Place| place.group.as_ref() == Some(name);
            let members: Vec<_> = topology
                .links
                .values()
                .filter(in_group)
                .map(|place| Member {
                    link: place.id,
                    priority: place.priority,
                })
                .collect();
            let group = match self.groups.entry(name.clone()) {
                Entry::Occupied(known) => {
                    let group = known.into_mut();
                    group.handle(GroupInput::Reconfigure(config.clone(), members), now);
                    group
                }
                Entry::Vacant(vacant) => vacant.insert(Group::new(config.clone(), members, now)),
            };
            // To a group that a link joins, the link is down until told.
            for (link, state) in &self.states {
                if let Some(Place { id: link, .. }) = topology.links.get(link) {
                    let (link, state) = (*link, *state);
                    group.handle(GroupInput::Link { link, state }, now);
                }
            }
        }
        self.states
            .retain(|name, _| topology.links.contains_key(name));
        self.topology = topology;
        self.ranks.clear();
        let peers = self.topology.links.values().flat_map(|place| {
            let peers = place.peers.iter();
            peers.map(|(peer, _)| (*peer, place.interface.clone()))
        });
        let _ = self.fib.send(Steering::Peers(peers.collect())).await;
        for group in self.groups.values() {
            self.ranks.extend(group.ranking().iter().copied());
        }
        self.settle(now).await;
        let usable: Vec<_> = self
            .states
            .iter()
            .map(|(name, state)| (name.clone(), *state))
            .collect();
        for (name, state) in usable {
            self.drive_sessions(&name, state).await;
        }
        let known = std::mem::take(&mut self.watched);
        for (peer, state) in known {
            self.on_peer(peer, state, now).await;
        }
    }

    /// As for a link: traffic first, then the paths, then the session.
    async fn on_peer(&mut self, peer: PeerId, state: State, found_out: Instant) {
        let inbox = self.topology.watched.get(&peer).cloned();
        // One that nobody watches any more is as good as any.
        let state = inbox.as_ref().map_or(State::Up, |_| state);
        match inbox {
            Some(_) => self.watched.insert(peer, state),
            None => self.watched.remove(&peer),
        };
        let dead = self
            .watched
            .iter()
            .filter(|(_, state)| **state == State::Down);
        let dead = dead.map(|(peer, _)| *peer).collect();
        let _ = self.fib.send(Steering::Dead(dead, found_out)).await;
        let (standing, order) = match state {
            State::Up | State::Degraded => (Standing::Unranked, ToPeer::Start),
            State::Down => (Standing::Unusable, ToPeer::Stop(Cease::BfdDown)),
        };
        let standing = Input::Standing(peer, standing);
        let _ = self.rib.send(RibMessage::Input(standing)).await;
        if let Some(inbox) = inbox {
            let _ = inbox.send(order).await;
        }
    }

    async fn on_link(&mut self, name: String, state: State, found_out: Instant) {
        let Some(place) = self.topology.links.get(&name) else {
            return;
        };
        let (id, group) = (place.id, place.group.clone());
        self.states.insert(name.clone(), state);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            group.handle(GroupInput::Link { link: id, state }, found_out);
        }
        self.settle(found_out).await;
        self.drive_sessions(&name, state).await;
    }

    /// Sessions over a dead link end at once, and start when the link is back.
    async fn drive_sessions(&self, link: &str, state: State) {
        let place = self.topology.links.get(link);
        for (_, peer) in place.iter().flat_map(|place| &place.peers) {
            let message = match state {
                State::Up | State::Degraded => ToPeer::Start,
                State::Down => ToPeer::Stop(Cease::BfdDown),
            };
            let _ = peer.send(message).await;
        }
    }

    /// Tells everyone where the links stand.
    async fn settle(&mut self, found_out: Instant) {
        let mut moves = Vec::new();
        for (name, group) in &mut self.groups {
            while let Some(output) = group.poll_output() {
                match output {
                    GroupOutput::Ranks(ranks) => self.ranks.extend(ranks),
                    GroupOutput::Moved { from, to, reason } => {
                        moves.push((name.clone(), from, to, reason));
                    }
                }
            }
        }
        let _ = self
            .fib
            .send(Steering::Links(self.standings(), found_out))
            .await;
        for input in self.rib_standings() {
            let _ = self.rib.send(RibMessage::Input(input)).await;
        }
        for (group, from, to, reason) in moves {
            self.tell(&group, from, to, &reason.to_string());
        }
        self.show();
    }

    fn standings(&self) -> BTreeMap<String, LinkStanding> {
        let known = self.states.iter().filter_map(|(name, state)| {
            let place = self.topology.links.get(name)?;
            let rank = self.ranks.get(&place.id).copied().flatten();
            let standing = match state {
                State::Up | State::Degraded => LinkStanding::Usable {
                    rank: rank.unwrap_or(0),
                },
                State::Down => LinkStanding::Dead,
            };
            Some((place.interface.clone(), standing))
        });
        known.collect()
    }

    fn rib_standings(&self) -> Vec<Input> {
        let group_numbers: BTreeMap<_, _> = self.groups.keys().zip(0u32..).collect();
        let places = self.states.iter().filter_map(|(name, state)| {
            let place = self.topology.links.get(name)?;
            let group = place
                .group
                .as_ref()
                .and_then(|group| group_numbers.get(group));
            let rank = self.ranks.get(&place.id).copied().flatten();
            let standing = match (state, group, rank) {
                (State::Down, _, _) => Standing::Unusable,
                (_, Some(group), Some(rank)) => Standing::Ranked {
                    group: *group,
                    rank,
                },
                (_, _, _) => Standing::Unranked,
            };
            Some((place, standing))
        });
        let inputs = places.flat_map(|(place, standing)| {
            let peers = place.peers.iter();
            peers.map(move |(peer, _)| Input::Standing(*peer, standing))
        });
        inputs.collect()
    }

    fn tell(&self, group: &str, from: Option<LinkId>, to: Option<LinkId>, reason: &str) {
        let name = |id: Option<LinkId>| {
            let mut places = self.topology.links.iter();
            let found = places.find(|(_, place)| Some(place.id) == id);
            found.map_or_else(|| "none".to_owned(), |(name, _)| name.clone())
        };
        let was = from;
        let (from, to) = (name(from), name(to));
        info!(group, from, to, reason, "group moved");
        let severity = if to == "none" {
            Severity::Critical
        } else {
            Severity::Info
        };
        let text = format!("traffic moved from {from} to {to} ({reason})");
        self.board
            .journal
            .record(severity, "group-move", group, text);
        if was.is_some() {
            self.board.group_moved(group, reason);
        }
    }

    /// For API and metrics.
    fn show(&self) {
        for (name, group) in &self.groups {
            let find = |id: LinkId| {
                let mut places = self.topology.links.iter();
                places
                    .find(|(_, place)| place.id == id)
                    .map(|(name, _)| name.clone())
            };
            let ranking = group.ranking();
            let order = ranking
                .iter()
                .filter_map(|(id, rank)| Some((find(*id)?, *rank)));
            self.board
                .set_group(name, order.collect(), group.active().and_then(find));
        }
    }
}
