//! The peers and links that run, and who is connected to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp::rib;
use bgp::session::{Cease, Farewell, SessionConfig};
use bgp::{PeerId, Retention};
use config::Config;
use ipnet::IpNet;
use links::LinkId;
use links::stamp::Mode;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError};
use tracing::error;

use super::{INBOX, RESTART, Router, RunningLink, RunningPeer};
use crate::convert::{self, Keys};
use crate::drivers::bfd::Watched;
use crate::drivers::link::{self, Link};
use crate::drivers::listener::{Door, Doors};
use crate::drivers::messages::{GroupsMessage, Place, RibMessage, ToPeer, Topology};
use crate::drivers::peer::{self, Peer};
use crate::drivers::watched;
use crate::sockets::{Endpoint, Signing};

impl Router {
    fn next_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    pub(super) async fn start_peer(&mut self, name: &str) {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => PeerId(self.next_id()),
        };
        self.ids.insert(name.to_owned(), id);
        let config = Arc::clone(&self.config);
        let Some(peer) = config.peers.get(name) else {
            return;
        };
        let Some(session) = self.session(peer) else {
            return;
        };
        let (inbox, inbox_seen) = mpsc::channel(INBOX);
        let rib_peer = convert::rib_peer(&self.filters, peer, id);
        let configure = RibMessage::Input(rib::Input::Configure(rib_peer));
        let _ = self.reader.rib.send(configure).await;
        let _ = self
            .reader
            .rib
            .send(RibMessage::Attach(id, inbox.clone()))
            .await;
        let task = Peer {
            id,
            name: name.to_owned(),
            endpoint: convert::endpoint(&config, peer, self.keys_of(name, peer)),
            session,
            rib: self.reader.rib.clone(),
            board: Arc::clone(&self.reader.board),
        };
        let task = self.peer_tasks.spawn(peer::run(task, inbox_seen)).id();
        if peer.shutdown.is_some() {
            let _ = inbox.send(ToPeer::ShutDown(peer.shutdown.clone())).await;
        }
        if peer.link.is_none() && peer.bfd.is_none() {
            // A peer on a link waits for the link, and one that is watched for what BFD says.
            let _ = inbox.send(ToPeer::Start).await;
        }
        self.peers
            .insert(name.to_owned(), RunningPeer { id, inbox, task });
    }

    /// What the session of a peer is told, as things stand.
    pub(super) fn session(&self, peer: &config::model::Peer) -> Option<SessionConfig> {
        let session = convert::session(&self.config, peer)?;
        Some(self.restart.said_by(session))
    }

    pub(super) async fn end_peer(&mut self, name: &str, farewell: impl Into<Farewell>) {
        let Some(running) = self.peers.remove(name) else {
            return;
        };
        self.ids.remove(name);
        let _ = running.inbox.send(ToPeer::End(farewell.into())).await;
        let _ = self
            .reader
            .rib
            .send(RibMessage::Input(rib::Input::Remove(running.id)))
            .await;
        self.reader.board.counters.forget_peer(name);
    }

    /// The keys of a peer: its own, or those of its range.
    pub(super) fn keys_of(&self, name: &str, peer: &config::model::Peer) -> Option<Signing> {
        let keeper = peer.range.as_deref().unwrap_or(name);
        self.keys.get(keeper).cloned()
    }

    /// Peers whose keys are not what they were, although the file may name the same places for them.
    pub(super) fn with_other_keys(&self, old: &Keys) -> BTreeSet<String> {
        let changed = |(name, peer): (&String, &config::model::Peer)| {
            let keeper = peer.range.as_deref().unwrap_or(name);
            (self.keys.get(keeper) != old.get(keeper)).then(|| name.clone())
        };
        self.config.peers.iter().filter_map(changed).collect()
    }

    /// - `old`: the intent and the keys that were in force
    pub(super) async fn change_peer(&mut self, name: &str, old: (&Config, &Keys)) {
        let (old, old_keys) = old;
        let (Some(new_peer), Some(old_peer)) = (self.config.peers.get(name), old.peers.get(name))
        else {
            return;
        };
        let keeper = new_peer.range.as_deref().unwrap_or(name);
        let new_endpoint = convert::endpoint(&self.config, new_peer, self.keys_of(name, new_peer));
        let old_endpoint = convert::endpoint(old, old_peer, old_keys.get(keeper).cloned());
        if is_moved(&new_endpoint, &old_endpoint) || new_peer.asn != old_peer.asn {
            self.end_peer(name, Cease::OtherConfigurationChange).await;
            self.start_peer(name).await;
        } else if let Some(session) = self.session(new_peer)
            && let Some(running) = self.peers.get(name)
        {
            let _ = running
                .inbox
                .send(ToPeer::Rekey(new_endpoint.signing))
                .await;
            let _ = running.inbox.send(ToPeer::Reconfigure(session)).await;
            let shut_down = new_peer.shutdown.clone();
            let _ = running.inbox.send(ToPeer::ShutDown(shut_down)).await;
        }
    }

    /// A task that ended by itself has panicked; one that was told to is no longer listed.
    pub(super) async fn on_peer_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((name, running)) = self.peers.iter().find(|(_, running)| running.task == id)
        else {
            return;
        };
        let name = name.clone();
        error!(
            peer = name,
            "a fault in the program ended the session; starting it again"
        );
        self.reader.board.counters.restart();
        let down = RibMessage::Input(rib::Input::Down(running.id, Retention::new()));
        let _ = self.reader.rib.send(down).await;
        tokio::time::sleep(RESTART).await;
        self.start_peer(&name).await;
        self.connect().await;
    }

    /// Its sockets are free when this returns.
    pub(super) async fn end_link(&mut self, name: &str) {
        if let Some(running) = self.links.remove(name) {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    /// Starts the links that are not running as they should, and tells everyone who is connected
    /// to whom. A link that is measured in another way keeps its identity, and with it its state
    /// until it is known anew.
    pub(super) async fn connect(&mut self) {
        let config = Arc::clone(&self.config);
        let mut ids = BTreeMap::new();
        let mut fresh = Vec::new();
        for (name, link) in &config.links {
            let running = self.links.get(name).map(|running| running.id);
            let id = running.unwrap_or_else(|| LinkId(self.next_id()));
            ids.insert(name, id);
            let peer = config.peers.get(name);
            let bgp = peer.filter(|peer| peer.link.as_ref() == Some(name));
            let bgp = bgp.map(|peer| convert::endpoint(&config, peer, self.keys_of(name, peer)));
            let mode = self.modes.get(name).unwrap_or(&Mode::Unauthenticated);
            let wanted = convert::link(&config, link, id, mode, bgp);
            if self
                .links
                .get(name)
                .is_none_or(|running| running.config != wanted)
            {
                self.end_link(name).await;
                fresh.push((name.clone(), id, wanted));
            }
        }
        let places = config.links.iter().filter_map(|(name, link)| {
            let on_link =
                |(_, peer): &(&String, &config::model::Peer)| peer.link.as_ref() == Some(name);
            let peers = config.peers.iter().filter(on_link);
            let running = peers.filter_map(|(peer, _)| self.peers.get(peer));
            let place = Place {
                member: convert::member(link, *ids.get(name)?),
                interface: link.interface.clone(),
                group: link.group.clone(),
                peers: running
                    .map(|running| (running.id, running.inbox.clone()))
                    .collect(),
            };
            Some((name.clone(), place))
        });
        let is_watched = |name: &String| {
            let peer = config.peers.get(name);
            peer.is_some_and(|peer| peer.bfd.is_some())
        };
        let watched = self.peers.iter().filter(|(name, _)| is_watched(name));
        let scopes = self.peers.iter().filter_map(|(name, running)| {
            let peer = config.peers.get(name).filter(|peer| peer.link.is_none())?;
            let is_scoped = matches!(peer.address, IpAddr::V6(it) if it.is_unicast_link_local());
            let interface = peer.interface.clone().filter(|_| is_scoped)?;
            Some((running.id, interface))
        });
        let topology = Topology {
            links: places.collect(),
            groups: convert::groups(&config),
            watched: watched
                .map(|(_, running)| (running.id, running.inbox.clone()))
                .collect(),
            scopes: scopes.collect(),
        };
        let _ = self.groups.send(GroupsMessage::Configure(topology)).await;
        self.order_drains();
        for (name, id, wanted) in fresh {
            let link = Link {
                name: name.clone(),
                config: wanted.clone(),
                groups: self.groups.clone(),
                interfaces: self.interfaces.clone(),
                severed: self.severed.clone(),
                bounds: self.bounds.clone(),
                paths: self.paths.clone(),
                drained: self.drained.subscribe(),
                alone: self.alone.clone(),
                bfd: self.bfd.word(&Watched::Link(name.clone())),
                probes: self.probes.clone(),
                board: Arc::clone(&self.reader.board),
            };
            let task = tokio::spawn(link::run(link));
            let config = wanted;
            self.links.insert(name, RunningLink { id, config, task });
        }
        self.watch_peers(&config).await;
        self.doors.send_replace(Arc::new(self.who_may_come_in()));
    }

    /// Carries what BFD says of each peer that it watches to the groups, which have been told of the peer.
    async fn watch_peers(&mut self, config: &Config) {
        for (name, running) in &self.peers {
            let is_watched = config
                .peers
                .get(name)
                .is_some_and(|peer| peer.bfd.is_some());
            let watched = Watched::Peer(name.clone());
            if !is_watched {
                if let Some((_, task)) = self.watched.remove(name) {
                    task.abort();
                    let _ = running.inbox.send(ToPeer::Start).await;
                }
            } else if self
                .watched
                .get(name)
                .is_none_or(|(id, _)| *id != running.id)
            {
                let word = self.bfd.word(&watched);
                let task = watched::run(running.id, word, self.groups.clone());
                let task = tokio::spawn(task);
                if let Some((_, old)) = self.watched.insert(name.clone(), (running.id, task)) {
                    old.abort();
                }
            }
        }
        let peers = &self.peers;
        self.watched.retain(|name, (_, task)| {
            let is_there = peers.contains_key(name);
            if !is_there {
                task.abort();
            }
            is_there
        });
    }

    fn who_may_come_in(&self) -> Doors {
        let config = &self.config;
        let door = |(name, running): (&String, &RunningPeer)| {
            let peer = config.peers.get(name)?;
            let endpoint = convert::endpoint(config, peer, self.keys_of(name, peer));
            let inbox = running.inbox.clone();
            Some((peer.address, Door { inbox, endpoint }))
        };
        let peers: BTreeMap<IpAddr, Door> = self.peers.iter().filter_map(door).collect();
        let ranges = config.ranges.iter();
        let of_ranges = ranges.clone().filter_map(|(name, range)| {
            let keys = self.keys.get(name)?;
            Some((range.network, keys.clone()))
        });
        // The kernel takes the key of the longest prefix, so that a peer's own goes before that of
        // a range around it.
        let of_peers = peers.iter().filter_map(|(address, door)| {
            let keys = door.endpoint.signing.clone()?;
            Some((IpNet::from(*address), keys))
        });
        let in_ranges = ranges.clone().map(|(_, range)| range.peer.distance);
        let in_peers = config.peers.values().map(|peer| peer.distance);
        let least = in_ranges
            .chain(in_peers)
            .map(|distance| distance.min_ttl().unwrap_or(0));
        Doors {
            keys: of_ranges.chain(of_peers).collect(),
            ranges: ranges
                .map(|(name, range)| (range.network, name.clone()))
                .collect(),
            min_ttl: least.min().unwrap_or(0),
            peers,
        }
    }
}

/// Whether a session with the one cannot go on with the other.
fn is_moved(new: &Endpoint, old: &Endpoint) -> bool {
    let can_go_on = match (&new.signing, &old.signing) {
        (Some(new), Some(old)) => new.can_follow(old),
        (new, old) => new == old,
    };
    let unsigned = |endpoint: &Endpoint| Endpoint {
        signing: None,
        ..endpoint.clone()
    };
    !can_go_on || unsigned(new) != unsigned(old)
}
