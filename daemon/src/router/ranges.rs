//! Peers that are made when they call, and go when they have been away for a while.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::session::{Cease, State};
use config::Config;
use config::model::Peer;
use tracing::debug;

use super::Router;
use crate::counters::Refusal;
use crate::drivers::messages::{Call, ToPeer};
use crate::sockets;

/// Between two looks at who is still there.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// A peer that is down is kept at least so long: it may call again.
const LEAST: Duration = Duration::from_secs(30);

/// How long a peer that is down stays one: its hold time, and as long as its routes may be kept.
fn patience(peer: &Peer) -> Duration {
    let restart = peer.graceful_restart.map(|restart| restart.time);
    peer.hold_time.max(LEAST) + restart.unwrap_or_default()
}

/// How a peer of a range is called.
fn name(range: &str, address: IpAddr) -> String {
    format!("{range}-{address}")
}

/// The intent with those peers of ranges whose range is still there and has their address, on its
/// terms of now.
pub(super) fn with_callers(mut new: Config, old: &Config) -> Config {
    let callers = old.peers.iter().filter_map(|(name, peer)| {
        let range = peer.range.as_ref()?;
        let now = new.ranges.get(range)?;
        let is_taken = new.peers.values().any(|own| own.address == peer.address);
        let stays = now.network.contains(&peer.address) && !is_taken;
        stays.then(|| (name.clone(), now.peer(range, peer.address)))
    });
    let callers: Vec<_> = callers.collect();
    new.peers.extend(callers);
    new
}

impl Router {
    /// Makes the peer that has called, unless there are too many of its range, and hands it its
    /// connection.
    pub(super) async fn on_call(&mut self, call: Call) {
        let Call {
            range: range_name,
            address,
            stream,
        } = call;
        // The file may have changed since.
        let Some(range) = self.config.ranges.get(&range_name) else {
            return;
        };
        let name = name(&range_name, address);
        if !self.config.peers.contains_key(&name) {
            let of_range = |peer: &&Peer| peer.range.as_ref() == Some(&range_name);
            let there = self.config.peers.values().filter(of_range).count();
            if there >= range.limit as usize {
                self.reader.board.counters.refused(Refusal::Limit);
                debug!(%address, range = range_name, "the range is full");
                return;
            }
            let peer = range.peer(&range_name, address);
            let mut config = Config::clone(&self.config);
            config.peers.insert(name.clone(), peer);
            self.replace(config);
            self.callers.insert(name.clone(), Instant::now());
            self.start_peer(&name).await;
            self.connect().await;
            self.publish();
        }
        self.hand_over(&name, stream);
    }

    /// A peer of a range whose session has been down for long enough is none any more.
    pub(super) async fn look_after_callers(&mut self) {
        let now = Instant::now();
        let config = Arc::clone(&self.config);
        let of_ranges = config.peers.iter().filter(|(_, peer)| peer.range.is_some());
        let mut gone = Vec::new();
        for (name, peer) in of_ranges {
            let seen = self.callers.entry(name.clone()).or_insert(now);
            if self.reader.board.peer_state(name) == Some(State::Established) {
                *seen = now;
            } else if now.duration_since(*seen) > patience(peer) {
                gone.push(name);
            }
        }
        for name in &gone {
            self.end_peer(name, Cease::PeerDeconfigured).await;
        }
        if !gone.is_empty() {
            let mut left = Config::clone(&config);
            left.peers.retain(|name, _| !gone.contains(&name));
            self.replace(left);
            self.connect().await;
            self.publish();
        }
        self.callers
            .retain(|name, _| self.config.peers.contains_key(name));
    }

    fn replace(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.reader.board.retain(&self.config);
    }

    fn hand_over(&self, name: &str, stream: tokio::net::TcpStream) {
        let (Some(peer), Some(running)) = (self.config.peers.get(name), self.peers.get(name))
        else {
            return;
        };
        let endpoint = crate::convert::endpoint(&self.config, peer, self.keys_of(name, peer));
        if !endpoint.is_called_by(&stream) {
            self.reader.board.counters.refused(Refusal::Address);
        } else if let Err(error) = sockets::admit(&stream, &endpoint) {
            debug!(name, %error, "connection lost at once");
        } else if running.inbox.try_send(ToPeer::Inbound(stream)).is_err() {
            self.reader.board.counters.refused(Refusal::Busy);
        }
    }
}
