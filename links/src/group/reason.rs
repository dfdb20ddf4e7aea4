//! Why traffic moved, and why a link does not carry it, in numbers.

use std::fmt;
use std::time::Duration;

use super::policy::{Figure, Value};
use crate::health::{Reason, State};
use crate::words::Seconds;

/// Why traffic moved. Displayed in words; [`MoveReason::label`] is fit for a metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MoveReason {
    /// There was no usable link, and then there was.
    FirstUsable,
    /// The link in use is down.
    Down(Reason),
    /// The link in use is degraded.
    Degraded(Reason),
    /// The link in use is to be emptied.
    Draining,
    /// Another link is up again, and has been for long enough.
    Recovered {
        /// Its state.
        state: State,
        /// That of the link in use.
        against: State,
        /// How long it has been in its state.
        lasted: Duration,
    },
    /// Another link is better by the policy's figure, and has been for long enough.
    Better {
        /// Its figure.
        figure: Figure,
        /// That of the link in use.
        against: Figure,
        /// How long it has been better.
        lasted: Duration,
    },
    /// Most routes lead over another link already, which is as good: the far side prefers it, or a filter.
    Drawn,
    /// Another link shares the traffic from now on.
    Joined {
        /// How long it has been up.
        lasted: Duration,
    },
    /// The link in use is no longer a member.
    Removed,
    /// The file says otherwise.
    Reconfigured,
}

impl MoveReason {
    /// One word for a metric, of a set that does not grow.
    pub fn label(&self) -> &'static str {
        match self {
            Self::FirstUsable => "first_usable",
            Self::Down(_) => "down",
            Self::Degraded(_) => "degraded",
            Self::Draining => "draining",
            Self::Recovered { .. } => "recovered",
            Self::Better { figure, .. } => match figure {
                Figure::Priority(_) => "priority",
                Figure::Rtt(_) => "latency",
                Figure::Loss(_) => "loss",
                Figure::Cost(_) => "cost",
                Figure::Weight(_) => "balance",
            },
            Self::Drawn => "routes",
            Self::Joined { .. } => "joined",
            Self::Removed => "removed",
            Self::Reconfigured => "reconfigured",
        }
    }
}

impl fmt::Display for MoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstUsable => f.write_str("the first that is usable"),
            Self::Down(reason) => write!(f, "down: {reason}"),
            Self::Degraded(reason) => write!(f, "degraded: {reason}"),
            Self::Draining => f.write_str("draining"),
            Self::Recovered {
                state,
                against,
                lasted,
            } => write!(f, "{state} against {against} for {}", Seconds(*lasted)),
            Self::Better {
                figure,
                against,
                lasted,
            } => write!(
                f,
                "{figure} against {} for {}",
                Value(*against),
                Seconds(*lasted)
            ),
            Self::Drawn => f.write_str("most routes lead over it already"),
            Self::Joined { lasted } => write!(f, "up for {}", Seconds(*lasted)),
            Self::Removed => f.write_str("removed from the group"),
            Self::Reconfigured => f.write_str("another configuration"),
        }
    }
}

/// Why a link carries traffic, or not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why {
    /// It does.
    InUse,
    /// It is down.
    Down(Reason),
    /// It has to prove itself after a fall.
    Held {
        /// How long it has been as it is.
        lasted: Duration,
        /// How long it has to be.
        needed: Duration,
    },
    /// Its state is worse than that of the link in use.
    State(State),
    /// Its figure is worse than that of the link in use.
    Worse {
        /// Its own.
        figure: Figure,
        /// That of the link in use.
        against: Figure,
    },
    /// Its figure is better, but has not been for long enough.
    NotYet {
        /// Its own.
        figure: Figure,
        /// That of the link in use.
        against: Figure,
        /// How long it has been better.
        lasted: Duration,
        /// How long it has to be.
        needed: Duration,
    },
    /// It is as good as the link in use, which is no reason to move; a lower MED is.
    Equal,
    /// It is as good as the link in use, and most routes lead over it already.
    Drawn {
        /// How long until it is called the one in use.
        remaining: Duration,
    },
    /// It cannot be compared: nothing is measured yet, or its cost is not known.
    Unknown,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("in use"),
            Self::Down(reason) => write!(f, "{reason}"),
            Self::Held { lasted, needed } => {
                write!(f, "well for {} of {}", Seconds(*lasted), Seconds(*needed))
            }
            Self::State(state) => write!(f, "{state}"),
            Self::Worse { figure, against } => write!(f, "{figure} against {}", Value(*against)),
            Self::NotYet {
                figure,
                against,
                lasted,
                needed,
            } => write!(
                f,
                "{figure} against {} for {} of {}",
                Value(*against),
                Seconds(*lasted),
                Seconds(*needed)
            ),
            Self::Equal => f.write_str("as good as the link in use"),
            Self::Drawn { remaining } => {
                let left = Seconds(*remaining);
                write!(f, "most routes lead over it: in use in {left}")
            }
            Self::Unknown => f.write_str("not known yet"),
        }
    }
}
