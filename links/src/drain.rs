//! Emptying a link, and filling it again: what is still waited for.
//!
//! The order itself is carried out by the link's [`Health`](crate::Health) and its group at once. What takes
//! time is the far side: it hears of the order through BGP, and until it has turned its traffic away packets
//! come in. A link that is switched off before that loses them.

use std::fmt;
use std::time::{Duration, Instant};

use crate::drill::{Packets, Role, Scene};
use crate::health::{Order, State};

/// So long nothing has to pass before a link counts as empty.
const QUIET: Duration = Duration::from_secs(1);
/// So long a filled link is watched for packets of the far side, where none may come at all.
const ARRIVAL: Duration = Duration::from_secs(5);

/// What is told of a link that is being emptied or filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainInput {
    /// How it stands.
    Scene(Scene),
    /// Packets that have been forwarded over it so far.
    Passed(Packets),
    /// A deadline may have passed.
    Timeout,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// The order reaches the link.
    Order,
    /// Another link of the group becomes usable: until then traffic stays.
    Alternative,
    /// The link becomes usable.
    Usable,
    /// Our own traffic leaves it.
    Transmit,
    /// The far side's traffic leaves it, or arrives on it.
    FarSide,
    /// Nothing passes, and that is to last a moment.
    Quiet,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "the link has not taken the order yet",
            Self::Alternative => "no other link of its group is usable: traffic stays on it",
            Self::Usable => "the link is down",
            Self::Transmit => "packets still go out on it",
            Self::FarSide => "the far side has not followed yet",
            Self::Quiet => "nothing passes any more; making sure",
        })
    }
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainEnd {
    /// Nothing passes over the link, and it can be switched off.
    Empty,
    /// The link carries traffic, in both directions if there is any.
    Carries,
    /// The link could carry traffic; another one is preferred.
    StandsBy,
    /// Waited for long enough; what for is said.
    TimedOut(Waiting),
}

impl fmt::Display for DrainEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty: nothing passes over it any more"),
            Self::Carries => f.write_str("it carries traffic"),
            Self::StandsBy => f.write_str("it stands by: its group prefers another link"),
            Self::TimedOut(waiting) => write!(f, "not yet: {waiting}"),
        }
    }
}

/// The wait for a link to be empty, or to be in use.
///
/// The driver: `handle`, then look at [`Drain::waiting`] and [`Drain::end`], then wait for the next input or
/// [`Drain::poll_timeout`].
#[derive(Debug)]
pub struct Drain {
    order: Order,
    scene: Option<Scene>,
    passed: Option<Packets>,
    /// When the last packet was seen to go out, and to come in; the beginning before that.
    transmit_at: Instant,
    receive_at: Instant,
    received: Received,
    /// Since when the link is as ordered.
    settled_at: Option<Instant>,
    deadline: Instant,
    waiting: Waiting,
    end: Option<DrainEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Received {
    Nothing,
    Something,
}

impl Drain {
    /// Waits for `order` to have had its effect, for `patience` at most.
    pub fn new(order: Order, patience: Duration, now: Instant) -> Self {
        Self {
            order,
            scene: None,
            passed: None,
            transmit_at: now,
            receive_at: now,
            received: Received::Nothing,
            settled_at: None,
            deadline: now + patience,
            waiting: Waiting::Order,
            end: None,
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: DrainInput, now: Instant) {
        match input {
            DrainInput::Scene(scene) => self.scene = Some(scene),
            DrainInput::Passed(packets) => self.on_passed(packets, now),
            DrainInput::Timeout => {}
        }
        if self.end.is_none() {
            self.judge(now);
        }
    }

    /// What is waited for; of no interest after the end.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<DrainEnd> {
        self.end
    }

    /// When [`DrainInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let next = match self.waiting {
            Waiting::Quiet => self.transmit_at.max(self.receive_at) + QUIET,
            Waiting::FarSide => self.settled_at.map_or(self.deadline, |at| at + ARRIVAL),
            Waiting::Order | Waiting::Alternative | Waiting::Usable | Waiting::Transmit => {
                self.deadline
            }
        };
        Some(next.min(self.deadline))
    }

    /// Counters that went back were begun anew: something may have passed.
    fn on_passed(&mut self, packets: Packets, now: Instant) {
        let before = self.passed.replace(packets);
        let Some(before) = before else { return };
        if before.transmit != packets.transmit {
            self.transmit_at = now;
        }
        if before.receive != packets.receive {
            self.receive_at = now;
            self.received = Received::Something;
        }
    }

    fn judge(&mut self, now: Instant) {
        let Some(scene) = self.scene else { return };
        let verdict = match self.order {
            Order::Drain => self.emptied(scene, now),
            Order::Carry => self.filled(scene, now),
        };
        match verdict {
            Ok(end) => self.end = Some(end),
            Err(waiting) => {
                self.waiting = waiting;
                if now >= self.deadline {
                    self.end = Some(DrainEnd::TimedOut(waiting));
                }
            }
        }
    }

    fn emptied(&self, scene: Scene, now: Instant) -> Result<DrainEnd, Waiting> {
        match (scene.state, scene.role) {
            (State::Down, _) => return Ok(DrainEnd::Empty),
            (State::Up | State::Degraded, _) => return Err(Waiting::Order),
            (State::Draining, Role::Active) if scene.others == 0 => {
                return Err(Waiting::Alternative);
            }
            (State::Draining, Role::Active) => return Err(Waiting::Transmit),
            (State::Draining, Role::Idle) => {}
        }
        let has_passed = |at: Instant| now >= at + QUIET;
        match (has_passed(self.transmit_at), has_passed(self.receive_at)) {
            (true, true) if self.passed.is_some() => Ok(DrainEnd::Empty),
            (_, true) if self.passed.is_none() => Err(Waiting::Quiet),
            (_, false) if self.received == Received::Something => Err(Waiting::FarSide),
            (_, _) => Err(Waiting::Quiet),
        }
    }

    fn filled(&mut self, scene: Scene, now: Instant) -> Result<DrainEnd, Waiting> {
        match (scene.state, scene.role) {
            (State::Down, _) => Err(Waiting::Usable),
            (State::Draining, _) => Err(Waiting::Order),
            (State::Up | State::Degraded, Role::Idle) => Ok(DrainEnd::StandsBy),
            (State::Up | State::Degraded, Role::Active) => {
                let since = *self.settled_at.get_or_insert(now);
                match self.received {
                    Received::Something => Ok(DrainEnd::Carries),
                    Received::Nothing if now >= since + ARRIVAL => Ok(DrainEnd::Carries),
                    Received::Nothing => Err(Waiting::FarSide),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
