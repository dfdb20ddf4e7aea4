//! The peers and links that run, and who is connected to whom.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bgp::rib;
use bgp::session::{Cease, SessionConfig};
use bgp::{PeerId, Retention};
use config::Config;
use links::LinkId;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError};
use tracing::error;

use super::{INBOX, RESTART, Router, RunningLink, RunningPeer};
use crate::convert;
use crate::drivers::link::{self, Link};
use crate::drivers::messages::{GroupsMessage, Place, RibMessage, ToPeer, Topology};
use crate::drivers::peer::{self, Peer};

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
            endpoint: convert::endpoint(&config, peer),
            session,
            rib: self.reader.rib.clone(),
            board: Arc::clone(&self.reader.board),
        };
        let task = self.peer_tasks.spawn(peer::run(task, inbox_seen)).id();
        if peer.link.is_none() {
            // A peer on a link waits for the link.
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

    pub(super) async fn end_peer(&mut self, name: &str, cease: Cease) {
        let Some(running) = self.peers.remove(name) else {
            return;
        };
        self.ids.remove(name);
        let _ = running.inbox.send(ToPeer::End(cease.into())).await;
        let _ = self
            .reader
            .rib
            .send(RibMessage::Input(rib::Input::Remove(running.id)))
            .await;
        self.reader.board.counters.forget_peer(name);
    }

    pub(super) async fn change_peer(&mut self, name: &str, old: &Config) {
        let (Some(new_peer), Some(old_peer)) = (self.config.peers.get(name), old.peers.get(name))
        else {
            return;
        };
        let moved = convert::endpoint(&self.config, new_peer) != convert::endpoint(old, old_peer);
        if moved || new_peer.asn != old_peer.asn {
            self.end_peer(name, Cease::OtherConfigurationChange).await;
            self.start_peer(name).await;
        } else if let Some(session) = self.session(new_peer)
            && let Some(running) = self.peers.get(name)
        {
            let _ = running.inbox.send(ToPeer::Reconfigure(session)).await;
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
            let wanted = convert::link(&config, link, id);
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
            let on_link = |peer: &config::model::Peer| peer.link.as_ref() == Some(name);
            let peer = config.peers.get(name).filter(|peer| on_link(peer));
            let peer = peer.and_then(|_| self.peers.get(name));
            let place = Place {
                id: *ids.get(name)?,
                interface: link.interface.clone(),
                group: link.group.clone(),
                priority: link.priority,
                peer: peer.map(|running| (running.id, running.inbox.clone())),
            };
            Some((name.clone(), place))
        });
        let topology = Topology {
            links: places.collect(),
            groups: convert::groups(&config),
        };
        let _ = self.groups.send(GroupsMessage::Configure(topology)).await;
        for (name, id, wanted) in fresh {
            let link = Link {
                name: name.clone(),
                config: wanted.clone(),
                groups: self.groups.clone(),
                interfaces: self.interfaces.clone(),
                board: Arc::clone(&self.reader.board),
            };
            let task = tokio::spawn(link::run(link));
            let config = wanted;
            self.links.insert(name, RunningLink { id, config, task });
        }
        let doors = self.peers.iter().filter_map(|(name, running)| {
            Some((config.peers.get(name)?.address, running.inbox.clone()))
        });
        let doors: BTreeMap<IpAddr, _> = doors.collect();
        self.doors.send_replace(Arc::new(doors));
    }
}
