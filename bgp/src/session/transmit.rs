//! What leaves: control messages first, then what the RIB wants the peer to know.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::conn::{Connection, Due, Stage};
use super::{Conn, Session};
use crate::route::Updates;
use crate::types::Family;

/// UPDATEs that wait to be sent, as the RIB has encoded them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The number of messages is with the last of their bytes.
    queue: VecDeque<(Bytes, u64)>,
    octets: usize,
}

impl Outbox {
    fn push(&mut self, updates: Updates) {
        let last = updates.bytes.len().saturating_sub(1);
        for (index, bytes) in updates.bytes.into_iter().enumerate() {
            self.octets += bytes.len();
            let count = if index == last { updates.count } else { 0 };
            self.queue.push_back((bytes, count));
        }
    }

    fn pop(&mut self) -> Option<(Bytes, u64)> {
        let (bytes, count) = self.queue.pop_front()?;
        self.octets -= bytes.len();
        Some((bytes, count))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Session {
    /// The next bytes to send on `conn`, whole messages; `None` when there are none. Ask when what
    /// was taken before has left: then a KEEPALIVE waits for one batch of UPDATEs at most.
    pub fn poll_transmit(&mut self, conn: Conn) -> Option<Bytes> {
        let bytes = self.next_bytes(conn)?;
        self.sending_goes_on(conn);
        Some(bytes)
    }

    fn next_bytes(&mut self, conn: Conn) -> Option<Bytes> {
        let mut control = BytesMut::new();
        let flushed = self.outgoing[conn as usize].flush(&mut control);
        self.counters.messages.sent.keepalive += flushed.keepalives;
        self.counters.messages.sent.route_refresh += flushed.refreshes;
        if !control.is_empty() {
            return Some(control.freeze());
        }
        let Some(Connection {
            stage: Stage::Established(_),
            ..
        }) = &self.connections[conn as usize]
        else {
            return None;
        };
        let (bytes, count) = self.outbox.pop()?;
        self.counters.messages.sent.update += count;
        Some(bytes)
    }

    /// Octets of UPDATEs that wait to be sent. Above a threshold of its own the owner stops taking
    /// more from the RIB.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbox.octets
    }

    pub(super) fn on_transmit(&mut self, updates: Updates) {
        if self.established().is_some() {
            self.outbox.push(updates);
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
