//! The groups: link states in, ranks out to the FIB, the RIB and the sessions.
//!
//! The FIB comes first: traffic has moved before anyone else hears of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bgp::PeerId;
use bgp::rib::{Input, Standing};
use bgp::session::Cease;
use links::{
    Figures, Group, GroupInput, GroupOutput, HealthChange, LinkId, MoveReason, Preference, Role,
    Scene, State,
};
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::drill::{self, Scenes};
use super::messages::{
    Alone, GroupsMessage, Hearing, Place, RibMessage, Steering, ToPeer, Topology,
};
use super::way_back::WayBack;
use super::{seed, until};
use crate::board::{Board, MemberRow};
use crate::fib::LinkStanding;
use crate::journal::Severity;

/// Runs until every sender of the inbox is gone.
pub(crate) async fn run(
    inbox: mpsc::Receiver<GroupsMessage>,
    fib: mpsc::Sender<Steering>,
    rib: mpsc::Sender<RibMessage>,
    drawn: watch::Receiver<BTreeSet<PeerId>>,
    scenes: watch::Sender<Scenes>,
    alone: watch::Sender<Alone>,
    board: Arc<Board>,
) {
    let driver = Driver {
        inbox,
        fib,
        rib,
        drawn,
        scenes,
        alone,
        board,
        topology: Topology::default(),
        groups: BTreeMap::new(),
        names: BTreeMap::new(),
        changes: BTreeMap::new(),
        standings: BTreeMap::new(),
        way_back: WayBack::default(),
        deaf: BTreeSet::new(),
        watched: BTreeMap::new(),
    };
    driver.run().await;
}

struct Driver {
    inbox: mpsc::Receiver<GroupsMessage>,
    fib: mpsc::Sender<Steering>,
    rib: mpsc::Sender<RibMessage>,
    /// Peers over which most of the routes lead that links of a group could carry equally well.
    drawn: watch::Receiver<BTreeSet<PeerId>>,
    scenes: watch::Sender<Scenes>,
    alone: watch::Sender<Alone>,
    board: Arc<Board>,
    topology: Topology,
    groups: BTreeMap<String, Group>,
    /// Of the links that have told theirs. A link that has not is left as it is: after a restart it
    /// may well be carrying traffic.
    changes: BTreeMap<String, HealthChange>,
    names: BTreeMap<LinkId, String>,
    standings: BTreeMap<LinkId, links::Standing>,
    way_back: WayBack,
    /// Links whose peers are not believed, for a drill.
    deaf: BTreeSet<String>,
    /// Of the peers on no link that BFD watches, where it has said something.
    watched: BTreeMap<PeerId, State>,
}

/// A group's traffic moved.
struct Move {
    group: String,
    from: Vec<LinkId>,
    to: Vec<LinkId>,
    reason: MoveReason,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let deadlines = self.groups.values().filter_map(Group::poll_timeout);
            let deadline = deadlines.chain(self.way_back.deadline()).min();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(GroupsMessage::Configure(topology)) => self.configure(topology).await,
                    Some(GroupsMessage::Link { name, change, found_out }) => {
                        self.on_link(name, change, found_out).await;
                    }
                    Some(GroupsMessage::Figures { name, figures }) => {
                        self.on_figures(&name, figures).await;
                    }
                    Some(GroupsMessage::Hear { name, hearing }) => self.hear(name, hearing).await,
                    Some(GroupsMessage::Peer { peer, state, found_out }) => {
                        self.on_peer(peer, state, found_out).await;
                    }
                    None => return,
                },
                Ok(()) = self.drawn.changed() => self.on_drawn().await,
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
                .map(|place| place.member)
                .collect();
            let group = match self.groups.entry(name.clone()) {
                Entry::Occupied(known) => {
                    let group = known.into_mut();
                    group.handle(GroupInput::Reconfigure(config.clone(), members), now);
                    group
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(Group::new(config.clone(), members, seed(), now))
                }
            };
            // To a group that a link joins, the link is down until told.
            for (link, change) in &self.changes {
                if let Some(Place { member, .. }) = topology.links.get(link) {
                    let (link, change) = (member.link, *change);
                    group.handle(GroupInput::Link { link, change }, now);
                }
            }
        }
        self.changes
            .retain(|name, _| topology.links.contains_key(name));
        let names = topology.links.iter();
        let names = names.map(|(name, place)| (place.member.link, name.clone()));
        self.names = names.collect();
        self.topology = topology;
        self.draw(now);
        self.standings.clear();
        let peers = self.topology.links.values().flat_map(|place| {
            let peers = place.peers.iter();
            peers.map(|(peer, _)| (*peer, place.interface.clone()))
        });
        let _ = self.fib.send(Steering::Peers(peers.collect())).await;
        let scopes = self.topology.scopes.clone();
        let _ = self.fib.send(Steering::Scopes(scopes)).await;
        for group in self.groups.values() {
            let standings = group.ranking().iter();
            self.standings.extend(standings.map(|it| (it.link, *it)));
        }
        self.settle(now).await;
        let known: Vec<_> = self
            .changes
            .iter()
            .map(|(name, change)| (name.clone(), change.state))
            .collect();
        for (name, state) in known {
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
            State::Up | State::Degraded | State::Draining => (Standing::Unranked, ToPeer::Start),
            State::Down => (Standing::Unusable, ToPeer::Stop(Cease::BfdDown)),
        };
        let standing = Input::Standing(peer, standing);
        let _ = self.rib.send(RibMessage::Input(standing)).await;
        if let Some(inbox) = inbox {
            let _ = inbox.send(order).await;
        }
    }

    async fn on_link(&mut self, name: String, change: HealthChange, found_out: Instant) {
        let Some(place) = self.topology.links.get(&name) else {
            return;
        };
        let (link, group) = (place.member.link, place.group.clone());
        self.changes.insert(name.clone(), change);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            group.handle(GroupInput::Link { link, change }, found_out);
        }
        self.settle(found_out).await;
        self.drive_sessions(&name, change.state).await;
    }

    async fn on_figures(&mut self, name: &str, figures: Figures) {
        let Some(place) = self.topology.links.get(name) else {
            return;
        };
        let link = place.member.link;
        let Some(in_group) = place.group.clone() else {
            return;
        };
        let Some(group) = self.groups.get_mut(&in_group) else {
            return;
        };
        let now = Instant::now();
        group.handle(GroupInput::Figures { link, figures }, now);
        match group.has_output() {
            true => self.settle(now).await,
            false => self.show(&in_group),
        }
    }

    async fn on_drawn(&mut self) {
        let now = Instant::now();
        self.draw(now);
        match self.groups.values().any(Group::has_output) {
            true => self.settle(now).await,
            false => self.groups.keys().for_each(|group| self.show(group)),
        }
    }

    /// Tells each group over which of its links the far side has most of the traffic.
    fn draw(&mut self, now: Instant) {
        let drawn = self.drawn.borrow_and_update().clone();
        for (name, group) in &mut self.groups {
            let mut places = self.topology.links.values();
            let place = places.find(|place| {
                let mut peers = place.peers.iter();
                place.group.as_ref() == Some(name) && peers.any(|(peer, _)| drawn.contains(peer))
            });
            let link = place.map(|place| place.member.link);
            group.handle(GroupInput::Drawn(link), now);
        }
    }

    async fn hear(&mut self, name: String, hearing: Hearing) {
        match hearing {
            Hearing::Deaf => self.deaf.insert(name),
            Hearing::Attentive => self.deaf.remove(&name),
        };
        self.settle(Instant::now()).await;
    }

    /// Sessions over a dead link end at once, and start when the link is back.
    async fn drive_sessions(&self, link: &str, state: State) {
        let place = self.topology.links.get(link);
        for (_, peer) in place.iter().flat_map(|place| &place.peers) {
            let message = match state {
                State::Up | State::Degraded | State::Draining => ToPeer::Start,
                State::Down => ToPeer::Stop(Cease::BfdDown),
            };
            let _ = peer.send(message).await;
        }
    }

    /// Tells everyone where the links stand.
    async fn settle(&mut self, found_out: Instant) {
        let moves = self.hear_groups();
        let _ = self
            .fib
            .send(Steering::Links(self.fib_standings(), found_out))
            .await;
        let preferred = self.way_back.hear(&self.groups, found_out);
        let standings = self.rib_standings().into_iter();
        for input in standings.chain(self.way_back.inputs(&self.topology)) {
            let _ = self.rib.send(RibMessage::Input(input)).await;
        }
        for (link, preference) in preferred {
            self.tell_preference(link, preference);
        }
        for moved in moves {
            self.tell(&moved);
        }
        for group in self.groups.keys() {
            self.show(group);
        }
        let stage = self.stage();
        let alone = stage.iter().filter(|(_, scene)| scene.others == 0);
        let alone = alone.map(|(link, _)| link.clone()).collect();
        self.alone.send_if_modified(|told| {
            let differs = *told != alone;
            *told = alone;
            differs
        });
        self.scenes
            .send_if_modified(|scenes| drill::update(scenes, stage, found_out));
    }

    /// How every link of a group stands.
    fn stage(&self) -> BTreeMap<String, Scene> {
        let links = self.topology.links.iter().filter_map(|(name, place)| {
            let group = self.groups.get(place.group.as_ref()?)?;
            let link = place.member.link;
            let change = self.changes.get(name);
            let scene = Scene {
                state: change.map_or(State::Down, |change| change.state),
                role: match group.active().contains(&link) {
                    true => Role::Active,
                    false => Role::Idle,
                },
                others: group.others(link),
            };
            Some((name.clone(), scene))
        });
        links.collect()
    }

    fn hear_groups(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (name, group) in &mut self.groups {
            while let Some(output) = group.poll_output() {
                match output {
                    GroupOutput::Ranks(ranks) => {
                        self.standings.extend(ranks.iter().map(|it| (it.link, *it)));
                    }
                    GroupOutput::Moved { from, to, reason } => moves.push(Move {
                        group: name.clone(),
                        from,
                        to,
                        reason,
                    }),
                }
            }
        }
        moves
    }

    fn fib_standings(&self) -> BTreeMap<String, LinkStanding> {
        let known = self.changes.iter().filter_map(|(name, change)| {
            let place = self.topology.links.get(name)?;
            let ranked = self.standings.get(&place.member.link);
            let standing = match change.state.is_usable() {
                true => LinkStanding::Usable {
                    rank: ranked.and_then(|it| it.rank).unwrap_or(0),
                    tiebreak: ranked.map_or(0, |it| it.tiebreak),
                    weight: ranked.map_or(0, |it| it.weight),
                },
                false => LinkStanding::Dead,
            };
            Some((place.interface.clone(), standing))
        });
        known.collect()
    }

    fn rib_standings(&self) -> Vec<Input> {
        let group_numbers: BTreeMap<_, _> = self.groups.keys().zip(0u32..).collect();
        let places = self.changes.iter().filter_map(|(name, change)| {
            let place = self.topology.links.get(name)?;
            let group = place
                .group
                .as_ref()
                .and_then(|group| group_numbers.get(group));
            let ranked = self.standings.get(&place.member.link);
            let ranked = ranked.and_then(|it| Some((it.rank?, it.tiebreak)));
            let is_heard = change.state.is_usable() && !self.deaf.contains(name);
            let standing = match (is_heard, group, ranked) {
                (false, _, _) => Standing::Unusable,
                (true, Some(group), Some((rank, tiebreak))) => Standing::Ranked {
                    group: *group,
                    rank,
                    tiebreak,
                },
                (true, _, _) => Standing::Unranked,
            };
            Some((place, standing))
        });
        let inputs = places.flat_map(|(place, standing)| {
            let peers = place.peers.iter();
            peers.map(move |(peer, _)| Input::Standing(*peer, standing))
        });
        inputs.collect()
    }

    fn named(&self, links: &[LinkId]) -> Vec<String> {
        let names = links.iter().filter_map(|link| self.names.get(link));
        names.cloned().collect()
    }

    fn tell(&self, moved: &Move) {
        let Move { group, reason, .. } = moved;
        let words = |links: &[LinkId]| match &self.named(links)[..] {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let (from, to) = (words(&moved.from), words(&moved.to));
        info!(group, from, to, %reason, "group moved");
        let severity = match moved.to.is_empty() {
            true => Severity::Critical,
            false => Severity::Info,
        };
        let text = format!("traffic moved from {from} to {to} ({reason})");
        self.board
            .journal
            .record(severity, "group-move", group, text);
        if !moved.from.is_empty() {
            self.board.group_moved(group, *reason);
        }
    }

    fn tell_preference(&self, link: LinkId, preference: Preference) {
        let Some(name) = self.names.get(&link) else {
            return;
        };
        self.board.set_preference(name, preference);
        let text = format!("{preference} for the way back");
        self.board
            .journal
            .record(Severity::Info, "way-back", name, text);
    }

    /// For API and metrics.
    fn show(&self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let views = group.views(Instant::now()).into_iter();
        let members = views.filter_map(|view| {
            Some(MemberRow {
                link: self.names.get(&view.link)?.clone(),
                state: view.state,
                rank: view.rank,
                figure: view.figure.map(|it| it.to_string()).unwrap_or_default(),
                why: view.why.to_string(),
            })
        });
        let active = self.named(group.active());
        self.board.set_group(name, members.collect(), active);
    }
}
