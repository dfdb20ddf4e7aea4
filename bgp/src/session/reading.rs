//! While nobody reads what the peer sends, its silence means nothing.
//!
//! Whoever carries our bytes stops reading while routes cannot be passed on: TCP then slows the
//! peer. Its KEEPALIVEs wait behind its UPDATEs, unread, so the hold timers stand still. BIRD
//! and FRR look into the socket when the timer expires, to the same end.

use std::time::{Duration, Instant};

use super::timers::Timer;
use super::{Reading, Session};

/// What is left of a hold time once reading goes on, at least: enough to read what has waited.
const SHORTEST: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn on_reading(&mut self, reading: Reading, now: Instant) {
        match (self.paused_at, reading) {
            (None, Reading::Pauses) => self.paused_at = Some(now),
            (Some(since), Reading::GoesOn) => {
                self.paused_at = None;
                for connection in self.connections.iter_mut().flatten() {
                    let deadline = connection.timers.get(Timer::Hold);
                    let left = deadline.map(|deadline| {
                        let left = deadline.saturating_duration_since(since);
                        let most = connection.hold_time().unwrap_or(SHORTEST);
                        now + left.max(SHORTEST.min(most))
                    });
                    connection.timers.set(Timer::Hold, left.max(deadline));
                }
            }
            (None, Reading::GoesOn) | (Some(_), Reading::Pauses) => {}
        }
    }
}
