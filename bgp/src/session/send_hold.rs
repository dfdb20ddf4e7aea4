//! The send hold timer (RFC 9687): a peer that takes nothing of what we send is gone, even if it
//! still talks.

use std::time::{Duration, Instant};

use super::conn::Stage;
use super::timers::Timer;
use super::{Conn, Negotiated, Session};

/// RFC 9687 §4.4, "the greater of 8 minutes or 2 times the negotiated HoldTime".
const SHORTEST: Duration = Duration::from_secs(8 * 60);

impl Session {
    pub(super) fn send_hold_time(&self, negotiated: &Negotiated) -> Duration {
        let usual = || (negotiated.hold_time.unwrap_or_default() * 2).max(SHORTEST);
        self.config.send_hold_time.unwrap_or_else(usual)
    }

    /// Starts the timer when something begins to wait.
    pub(super) fn watch_sending(&mut self, now: Instant) {
        let Some((conn, negotiated)) = self.established() else {
            return;
        };
        let deadline = now + self.send_hold_time(negotiated);
        let waits = !self.outgoing[conn as usize].is_empty() || self.pending() > 0;
        if let Some(connection) = &mut self.connections[conn as usize]
            && waits
            && connection.timers.get(Timer::SendHold).is_none()
        {
            connection.timers.set(Timer::SendHold, Some(deadline));
        }
    }

    /// What was asked for before has left, and more with it.
    pub(super) fn sending_goes_on(&mut self, conn: Conn) {
        if let Some(connection) = &mut self.connections[conn as usize]
            && matches!(connection.stage, Stage::Established(_))
        {
            connection.timers.set(Timer::SendHold, None);
        }
    }

    pub(super) fn send_blocked_since(&self) -> Option<Instant> {
        let (conn, negotiated) = self.established()?;
        let connection = self.connections[conn as usize].as_ref()?;
        let deadline = connection.timers.get(Timer::SendHold)?;
        deadline.checked_sub(self.send_hold_time(negotiated))
    }
}
