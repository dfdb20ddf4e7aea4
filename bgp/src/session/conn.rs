//! One TCP connection: its state, its receive buffer, and what waits to be sent on it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::timers::{Jitter, Timer, Timers};
use super::{Negotiated, State};
use crate::types::Family;
use crate::wire::{self, Frames, Lengths, RouteRefresh};

/// RFC 4271 §8.2.2, "a HoldTimer value of 4 minutes is suggested".
const OPEN_SENT_HOLD: Duration = Duration::from_secs(240);

/// RFC 4271 §4.4: KEEPALIVEs are not sent more often.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    pub(super) local: IpAddr,
    pub(super) frames: Frames,
    /// How long the peer's messages may be.
    pub(super) lengths: Lengths,
    pub(super) timers: Timers,
}

/// How far a connection has come (RFC 4271 §8.2.2).
#[derive(Debug)]
pub(super) enum Stage {
    OpenSent,
    OpenConfirm(Box<Negotiated>),
    Established(Box<Negotiated>),
}

impl Connection {
    /// A connection on which our OPEN is sent.
    pub(super) fn new(local: IpAddr, now: Instant) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Hold, Some(now + OPEN_SENT_HOLD));
        Self {
            stage: Stage::OpenSent,
            local,
            frames: Frames::default(),
            lengths: Lengths::default(),
            timers,
        }
    }

    pub(super) fn state(&self) -> State {
        match self.stage {
            Stage::OpenSent => State::OpenSent,
            Stage::OpenConfirm(_) => State::OpenConfirm,
            Stage::Established(_) => State::Established,
        }
    }

    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.stage {
            Stage::OpenSent => None,
            Stage::OpenConfirm(negotiated) | Stage::Established(negotiated) => Some(negotiated),
        }
    }

    pub(super) fn hold_time(&self) -> Option<Duration> {
        self.negotiated()?.hold_time
    }

    pub(super) fn restart_hold(&mut self, now: Instant) {
        let deadline = self.hold_time().map(|hold| now + hold);
        self.timers.set(Timer::Hold, deadline);
    }

    /// A third of the hold time, less up to a quarter (RFC 4271 §4.4, §10).
    pub(super) fn restart_keepalive(&mut self, now: Instant, jitter: &mut Jitter) {
        let deadline = self
            .hold_time()
            .map(|hold| now + jitter.scale(hold / 3, 0.75).max(SHORTEST_KEEPALIVE));
        self.timers.set(Timer::Keepalive, deadline);
    }
}

/// What waits to be sent on a connection apart from routes. It outlives the connection until the
/// next one of the same name, so that a NOTIFICATION still gets out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// OPEN and NOTIFICATION: at most one each per connection.
    pub(super) bytes: BytesMut,
    pub(super) keepalive: Due,
    pub(super) refresh: [Due; Family::ALL.len()],
}

/// Whether a message that need not be sent twice waits to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Due {
    #[default]
    No,
    Yes,
}

/// Messages that [`Outgoing::flush`] wrote, for the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Flushed {
    pub(super) keepalives: u64,
    pub(super) refreshes: u64,
}

impl Outgoing {
    pub(super) fn flush(&mut self, buf: &mut BytesMut) -> Flushed {
        let mut flushed = Flushed::default();
        buf.extend_from_slice(&self.bytes);
        self.bytes.clear();
        if std::mem::take(&mut self.keepalive) == Due::Yes {
            wire::encode_keepalive(buf);
            flushed.keepalives += 1;
        }
        for family in Family::ALL {
            if std::mem::take(&mut self.refresh[family as usize]) == Due::Yes {
                RouteRefresh::request(family).encode(buf);
                flushed.refreshes += 1;
            }
        }
        flushed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.keepalive == Due::No && self.refresh == [Due::No; 2]
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
