//! What leaves: control messages first, then what the RIB wants the peer to know.

use bytes::BytesMut;

use super::conn::{Connection, Due, Stage};
use super::outbox::Target;
use super::{Conn, Session};
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
            stage: Stage::Established(negotiated),
            ..
        }) = &self.connections[conn as usize]
        {
            let target = Target {
                dialect: &negotiated.dialect,
                nexthops: negotiated.nexthops,
            };
            let drained = self.outbox.drain(&target, buf, TRANSMIT_LIMIT);
            self.counters.messages.sent.update += drained.updates;
            self.counters.unsendable += drained.unsendable;
        }
        let taken = buf.len() - before;
        if taken > 0 {
            self.sending_goes_on(conn);
        }
        taken
    }

    /// Prefixes in the outbox. Above a threshold of its own the owner stops taking more from the
    /// RIB.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    pub(super) fn on_advertise(&mut self, deltas: Vec<Delta>) {
        let Some((_, negotiated)) = self.established() else {
            return;
        };
        let families = negotiated.families;
        for delta in deltas {
            if families.contains(Family::of(&delta.prefix)) {
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
        if let Some((conn, negotiated)) = self.established_with(family)
            && negotiated.route_refresh
        {
            self.outgoing[conn as usize].refresh[family as usize] = Due::Yes;
        }
    }
}
