//! When to try, and when to try again: the intent of the operator, the end of an attempt, backoff.

use std::time::Instant;

use super::conn::Due;
use super::{Cease, Conn, DownReason, Farewell, Mode, Output, Phase, Session, SessionConfig};
use super::{offer, timers};
use crate::route::Retention;

impl Session {
    pub(super) fn on_start(&mut self) {
        match self.phase {
            Phase::Stopped => self.failures = 0,
            Phase::Waiting => {}
            Phase::Trying => return,
        }
        self.refuse_until = None;
        self.attempt();
    }

    pub(super) fn on_stop(&mut self, farewell: &Farewell, now: Instant) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.end_attempt(farewell, now);
        self.phase = Phase::Stopped;
        self.retry_at = None;
        self.refuse_until = None;
    }

    pub(super) fn on_reconfigure(&mut self, config: SessionConfig, now: Instant) {
        let old = std::mem::replace(&mut self.config, config);
        let offer = |config: &SessionConfig| {
            let agreed_alone = (config.peer_asn, config.mode, config.first_as, config.role);
            (offer::lasting_offer(config), agreed_alone)
        };
        if self.phase == Phase::Stopped || offer(&old) == offer(&self.config) {
            return;
        }
        self.end_attempt(&Cease::OtherConfigurationChange.into(), now);
        self.failures = 0;
        self.refuse_until = None;
        let wait = self.jitter.scale(self.config.connect_retry, 0.0);
        self.wait_until(now + wait);
    }

    /// Dials, or waits for the peer to.
    pub(super) fn attempt(&mut self) {
        self.phase = Phase::Trying;
        self.retry_at = None;
        if self.config.mode == Mode::Active && self.dial == Due::No {
            self.dial = Due::Yes;
            self.output(Output::Dial);
        }
    }

    fn wait_until(&mut self, deadline: Instant) {
        self.phase = Phase::Waiting;
        self.retry_at = Some(deadline);
    }

    /// Says farewell on every connection and ends it, and the attempt if there is one.
    fn end_attempt(&mut self, farewell: &Farewell, now: Instant) {
        for conn in [Conn::Inbound, Conn::Outbound] {
            if let Some(connection) = &self.connections[conn as usize] {
                let peer = connection.negotiated();
                let peer = peer.and_then(|peer| peer.graceful_restart.as_ref());
                let last = farewell.notification(peer);
                self.hang_up(conn, last.as_ref());
            }
        }
        if !self
            .peer_restart
            .as_ref()
            .is_some_and(|peer| farewell.keeps_routes(peer))
        {
            self.peer_restart = None;
        }
        if self.phase == Phase::Trying {
            self.down(DownReason::Stopped(farewell.cease()), now);
        }
        self.established_at = None;
    }

    /// A connection or dial has ended. The attempt has too unless the other connection lives.
    pub(super) fn attempt_ended(&mut self, reason: DownReason, now: Instant) {
        if self.connections.iter().any(Option::is_some) {
            return;
        }
        let broke_protocol =
            matches!(&reason, DownReason::Sent(sent) if matches!(sent.code, 1 | 2 | 3 | 5));
        self.down(reason, now);
        let deadline = self.retry_later(now);
        if broke_protocol {
            self.refuse_until = Some(deadline);
        }
    }

    /// A session that tries has a connection, a dial or a peer to wait for; one that only
    /// accepts is content to wait.
    pub(super) fn ensure_progress(&mut self, now: Instant) {
        let is_idle = self.phase == Phase::Trying
            && self.connections.iter().all(Option::is_none)
            && self.dial == Due::No;
        if is_idle && self.config.mode == Mode::Active {
            self.retry_later(now);
        }
    }

    fn down(&mut self, reason: DownReason, now: Instant) {
        self.outbox.clear();
        let retention = self.retention(&reason);
        if self.established_at.is_some() {
            self.counters.last_down = Some(reason.clone());
        } else {
            self.counters.last_attempt = Some(reason.clone());
        }
        if let Some(since) = self.established_at {
            let stable = self.config.connect_retry_max;
            if now.saturating_duration_since(since) >= stable {
                self.failures = 0;
            }
        }
        self.output(Output::Down(reason, retention));
    }

    /// What is kept of a session that ends so (RFC 4724 §4.2, RFC 8538 §4). Whether one that we
    /// stopped ourselves keeps anything has been decided by then.
    fn retention(&mut self, reason: &DownReason) -> Retention {
        let Some(peer) = self.peer_restart.take() else {
            return Retention::new();
        };
        let keeps = match reason {
            DownReason::ConnectionLost | DownReason::Stopped(_) => true,
            DownReason::Sent(notification) | DownReason::Received(notification) => {
                peer.notification && !notification.is_hard_reset()
            }
            DownReason::DialFailed => false,
        };
        if keeps {
            peer.retention
        } else {
            Retention::new()
        }
    }

    /// Waits before the next attempt, unless a dial is still under way, and tells until when.
    fn retry_later(&mut self, now: Instant) -> Instant {
        let was_established = self.established_at.take().is_some();
        let wait = if was_established && self.failures == 0 {
            self.jitter.scale(self.config.connect_retry, 0.0)
        } else {
            let failures = self.failures + u32::from(!was_established);
            let most = self.config.connect_retry_max;
            let wait = timers::backoff(failures, self.config.connect_retry, most);
            self.jitter.scale(wait, 0.75)
        };
        self.failures = self.failures.saturating_add(1);
        if self.dial == Due::No {
            self.wait_until(now + wait);
        }
        now + wait
    }
}
