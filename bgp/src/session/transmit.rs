//! What leaves: control messages first, then what the RIB wants the peer to know.

use std::net::IpAddr;

use bytes::BytesMut;

use super::conn::{Connection, Due, Stage};
use super::outbox::Target;
use super::{Conn, Session, SessionConfig};
use crate::route::Delta;
use crate::types::Family;

/// [`Session::poll_transmit`] stops once the buffer holds this much.
const TRANSMIT_LIMIT: usize = 64 * 1024;

impl Session {
    /// Appends bytes to send on `conn` and tells how many; 0 when there is nothing. Stops once
    /// `buf` holds 64 KiB, so a peer that reads slowly leaves the rest in the outbox.
    pub fn poll_transmit(&mut self, conn: Conn, buf: &mut BytesMut) -> usize {
        let before = buf.len();
        let flushed = self.outgoing[conn as usize].flush(buf);
        self.counters.messages.sent.keepalive += flushed.keepalives;
        self.counters.messages.sent.route_refresh += flushed.refreshes;
        if let Some(Connection {
            stage: Stage::Established(agreement),
            local,
            ..
        }) = &self.connections[conn as usize]
        {
            let target = Target {
                dialect: &agreement.dialect,
                nexthops: own_nexthops(&self.config, *local),
            };
            let drained = self.outbox.drain(&target, buf, TRANSMIT_LIMIT);
            self.counters.messages.sent.update += drained.updates;
            self.counters.unsendable += drained.unsendable;
        }
        buf.len() - before
    }

    /// Prefixes in the outbox. Above a threshold of its own the owner stops taking more from the
    /// RIB.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    pub(super) fn on_advertise(&mut self, deltas: Vec<Delta>) {
        let Some((_, agreement)) = self.established() else {
            return;
        };
        let families = agreement.negotiated.families.clone();
        for delta in deltas {
            if families.contains(&Family::of(&delta.prefix)) {
                self.outbox.push(delta);
            }
        }
    }

    pub(super) fn on_end_of_rib(&mut self, family: Family) {
        if self.established_with(family).is_some() {
            self.outbox.end_of_rib(family);
        }
    }

    pub(super) fn on_request_refresh(&mut self, family: Family) {
        if let Some((conn, agreement)) = self.established_with(family)
            && agreement.negotiated.route_refresh
        {
            self.outgoing[conn as usize].refresh[family as usize] = Due::Yes;
        }
    }
}

/// The address of our own end for its family, the configured one for the other.
fn own_nexthops(config: &SessionConfig, local: IpAddr) -> [Option<IpAddr>; 2] {
    let mut nexthops = [
        config.nexthop_v4.map(IpAddr::V4),
        config.nexthop_v6.map(IpAddr::V6),
    ];
    match local.to_canonical() {
        IpAddr::V4(local) => nexthops[Family::Ipv4Unicast as usize] = Some(local.into()),
        IpAddr::V6(local) => nexthops[Family::Ipv6Unicast as usize] = Some(local.into()),
    }
    nexthops
}
