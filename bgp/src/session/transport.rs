//! The connections as TCP gives and takes them, and how one is ended.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::conn::{Connection, Due};
use super::{Cease, Conn, DownReason, Output, Phase, Session, SessionConfig, offer};
use crate::wire::Notification;

/// Two dials of one attempt may cross: a connection that comes so soon after another was
/// established is no sign of a restart.
const CROSSING: Duration = Duration::from_secs(5);

impl Session {
    pub(super) fn on_connected(&mut self, conn: Conn, local: IpAddr, now: Instant) {
        if conn == Conn::Outbound {
            self.dial = Due::No;
        }
        self.make_room(conn, now);
        self.outgoing[conn as usize].clear();
        if let Some(cease) = self.refusal(conn, now) {
            self.hang_up(conn, Some(&Notification::cease(cease)));
            self.ensure_progress(now);
            return;
        }
        self.phase = Phase::Trying;
        self.retry_at = None;
        self.connections[conn as usize] = Some(Connection::new(local, now));
        let open = offer::offer(&self.offering());
        open.encode(&mut self.outgoing[conn as usize].bytes);
        self.counters.offered = open.capabilities.into();
        self.counters.messages.sent.open += 1;
    }

    /// What is offered now. Once a session has been established in this run, what forwards has
    /// gone on doing so, however many sessions have ended since (RFC 4724 §3, F).
    fn offering(&self) -> SessionConfig {
        let mut config = self.config.clone();
        if let Some(restart) = &mut config.graceful_restart
            && self.counters.established > 0
        {
            restart.preserved = config.families;
        }
        config
    }

    /// Whether a connection of this name that opens now takes the place of the established one,
    /// of the same name or the other: the peer has restarted and does not know that one any more
    /// (RFC 4724 §4.2).
    #[must_use]
    pub fn is_replaced_by(&self, conn: Conn, now: Instant) -> bool {
        let is_old = self
            .established_at
            .is_some_and(|since| now.saturating_duration_since(since) >= CROSSING);
        conn == Conn::Inbound && is_old && self.peer_restart.is_some()
    }

    /// Ends what a connection that just opened takes the place of.
    fn make_room(&mut self, conn: Conn, now: Instant) {
        let replaced = self.established().map(|(conn, _)| conn);
        let replaced = replaced.filter(|_| self.is_replaced_by(conn, now));
        if self.connections[conn as usize].is_some() {
            self.on_closed(conn, now);
        } else if let Some(other) = replaced {
            self.hang_up(other, None);
            self.attempt_ended(DownReason::ConnectionLost, now);
        }
    }

    /// Why a connection that just opened is not wanted.
    fn refusal(&self, conn: Conn, now: Instant) -> Option<Cease> {
        let is_refusing = self.refuse_until.is_some_and(|until| now < until);
        if self.established().is_some() {
            Some(Cease::ConnectionCollision)
        } else if self.phase == Phase::Stopped || (conn == Conn::Inbound && is_refusing) {
            Some(Cease::ConnectionRejected)
        } else {
            None
        }
    }

    /// A dial that comes through after all would tell the peer that we have restarted
    /// (RFC 4724 §4.2).
    pub(super) fn give_up_dial(&mut self) {
        if std::mem::take(&mut self.dial) == Due::Yes {
            self.output(Output::Hangup(Conn::Outbound));
        }
    }

    pub(super) fn on_dial_failed(&mut self, now: Instant) {
        if std::mem::take(&mut self.dial) == Due::Yes && self.phase == Phase::Trying {
            self.attempt_ended(DownReason::DialFailed, now);
        }
    }

    pub(super) fn on_closed(&mut self, conn: Conn, now: Instant) {
        self.outgoing[conn as usize].clear();
        if self.connections[conn as usize].take().is_some() {
            self.attempt_ended(DownReason::ConnectionLost, now);
        }
    }

    pub(super) fn on_bytes(&mut self, conn: Conn, mut bytes: &[u8], now: Instant) {
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let mut frames = std::mem::take(&mut connection.frames);
        while let Some(frame) = frames.next(&mut bytes) {
            match frame {
                Ok(frame) => self.on_message(conn, frame, now),
                Err(notification) => self.fail(conn, notification, now),
            }
            let Some(connection) = &self.connections[conn as usize] else {
                return;
            };
            frames.set_lengths(connection.lengths);
        }
        if let Some(connection) = &mut self.connections[conn as usize] {
            connection.frames = frames;
        }
    }

    /// Sends `notification` and ends the connection.
    pub(super) fn fail(&mut self, conn: Conn, notification: Notification, now: Instant) {
        self.hang_up(conn, Some(&notification));
        self.attempt_ended(DownReason::Sent(notification), now);
    }

    /// Ends the connection after a last message, if there is one.
    pub(super) fn hang_up(&mut self, conn: Conn, last: Option<&Notification>) {
        self.connections[conn as usize] = None;
        let outgoing = &mut self.outgoing[conn as usize];
        outgoing.keepalive = Due::No;
        outgoing.refresh = Default::default();
        match last {
            Some(notification) => {
                notification.encode(&mut outgoing.bytes);
                self.counters.messages.sent.notification += 1;
            }
            None => outgoing.clear(),
        }
        self.output(Output::Hangup(conn));
    }
}
