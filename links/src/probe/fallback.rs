//! A far end that answers neither STAMP nor ICMP: what the BGP session itself tells.
//!
//! A gateway may drop everything but its BGP. Once nothing else has answered for a while, and only if nothing
//! else ever has, the link is measured by that:
//!
//! - While there is no session, a TCP connection to the port of BGP once a second. Its answer, be it a refusal,
//!   proves that both ways work, which is what a session waits for. Never beside a session that forms or is
//!   there: a speaker that agreed on graceful restart takes a new connection for our restart, and drops the
//!   old one (RFC 4724 §5).
//! - While there is one, its TCP connection is looked at each round. Something heard since the last look is an
//!   answer; data that stays unacknowledged over two retransmission timeouts is a loss. In between nothing is
//!   known: an idle session says nothing, so a cut is found only when one end has something to say,
//!   which is within a keepalive interval.
//!
//! STAMP and ICMP are still tried now and then, and take over for good with their first answer.

use std::time::{Duration, Instant};

/// So many rounds that nothing answered, from the start, before the last resort.
pub const PATIENCE: u32 = 20;
/// While the session is looked at, STAMP and ICMP are tried in every such round.
const SCOUT: u32 = 100;
/// So many retransmission timeouts in a row mean that data is lost, and not late (RFC 6298 §5).
const TIMEOUTS: u32 = 2;

/// Between two TCP connections, unless the configured interval is longer.
const CONNECT: Duration = Duration::from_secs(1);

/// A TCP connection as the kernel sees it, `TCP_INFO`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpState {
    /// Smoothed (RFC 6298 §2); `None` before the first measurement.
    pub rtt: Option<Duration>,
    /// Since the far end was last heard.
    pub silence: Duration,
    /// Retransmission timeouts in a row without an acknowledgement.
    pub timeouts: u32,
}

/// What there is of the link's BGP session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionTcp {
    /// No connection.
    Absent,
    /// A connection that cannot be looked at: it is being made, or it closes.
    Forming,
    /// A connection that is there, of a session that is or will be.
    Established(TcpState),
}

/// When it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Session {
    Absent,
    Forming,
    /// Last then.
    Established(Instant),
}

/// What a look at the session says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// There is none: a connection tells.
    Absent,
    Heard(Option<Duration>),
    Lost,
    Nothing,
}

/// How a round is carried out while fallen back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Means {
    /// A look at the session.
    Look,
    /// A look, and STAMP and ICMP, whose silence says nothing.
    LookAndScout,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Never: something else has answered, or there is no session to fall back on.
    Ruled,
    /// Rounds unanswered from the start.
    Waiting(u32),
    Fallen(Session),
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fallback(Stage);

impl Fallback {
    pub(super) fn never() -> Self {
        Self(Stage::Ruled)
    }

    /// When nothing else answers.
    pub(super) fn at_last() -> Self {
        Self(Stage::Waiting(0))
    }

    /// From the start.
    pub(super) fn at_once() -> Self {
        Self(Stage::Fallen(Session::Absent))
    }

    /// How a round is carried out; `None` if not fallen back.
    pub(super) fn means(&self, sequence: u32) -> Option<Means> {
        match self.0 {
            Stage::Ruled | Stage::Waiting(_) => None,
            Stage::Fallen(Session::Established(_)) if sequence.is_multiple_of(SCOUT) => {
                Some(Means::LookAndScout)
            }
            Stage::Fallen(_) => Some(Means::Look),
        }
    }

    /// Between two rounds, given what is configured.
    pub(super) fn pace(&self, interval: Duration) -> Duration {
        match self.0 {
            Stage::Fallen(Session::Absent) => interval.max(CONNECT),
            Stage::Fallen(_) | Stage::Ruled | Stage::Waiting(_) => interval,
        }
    }

    /// STAMP or ICMP has answered.
    pub(super) fn rule_out(&mut self) {
        self.0 = Stage::Ruled;
    }

    /// A round was not answered. True if that was one too many.
    pub(super) fn is_reached(&mut self) -> bool {
        let Stage::Waiting(unanswered) = &mut self.0 else {
            return false;
        };
        *unanswered += 1;
        let reached = *unanswered >= PATIENCE;
        if reached {
            self.0 = Stage::Fallen(Session::Absent);
        }
        reached
    }

    /// The session was looked at.
    pub(super) fn see(&mut self, seen: SessionTcp, now: Instant) -> Sight {
        let Stage::Fallen(session) = &mut self.0 else {
            return Sight::Nothing;
        };
        match seen {
            SessionTcp::Absent => {
                *session = Session::Absent;
                Sight::Absent
            }
            SessionTcp::Forming => {
                *session = Session::Forming;
                Sight::Nothing
            }
            SessionTcp::Established(state) => {
                let before = std::mem::replace(session, Session::Established(now));
                judge(state, before, now)
            }
        }
    }
}

fn judge(state: TcpState, before: Session, now: Instant) -> Sight {
    let is_news = match before {
        // It came up since.
        Session::Absent | Session::Forming => true,
        Session::Established(at) => state.silence < now.saturating_duration_since(at),
    };
    if state.timeouts >= TIMEOUTS {
        Sight::Lost
    } else if is_news {
        Sight::Heard(state.rtt)
    } else {
        Sight::Nothing
    }
}
