//! By what links of equal state are ordered, and in which figure that is told.

use std::fmt;
use std::time::Duration;

use crate::probe::Quality;
use crate::words::Millis;

/// A figure from fewer probes than this is not judged by.
const MIN_PROBES: usize = 5;

/// By what links are ordered that are equally up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Policy {
    /// By [`Member::priority`].
    Priority,
    /// By median RTT: one that is shorter by the margin, for `hold_down`.
    Latency(RttMargin),
    /// By loss ratio: one that is lower by this much, 0 to 1, and by more than chance, for `hold_down`.
    Loss(f64),
    /// By [`Member::cost`].
    Cost,
    /// Not at all: all share the traffic, by [`Member::weight`].
    Balance,
}

/// By how much a better RTT has to be better: the larger of the two.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RttMargin {
    /// Of the worse RTT, 0 to 1.
    pub part: f64,
    /// At least this.
    pub least: Duration,
}

impl Default for RttMargin {
    /// 10 %, and at least 2 ms.
    fn default() -> Self {
        Self {
            part: 0.1,
            least: Duration::from_millis(2),
        }
    }
}

/// A link of a group.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Member {
    /// Which.
    pub link: super::LinkId,
    /// Lower is preferred; in policies other than [`Policy::Priority`] only where all else ties.
    pub priority: u32,
    /// Dollars a gigabyte; `None` if it was not said, which is neither cheap nor dear.
    pub cost: Option<f64>,
    /// Its part of the traffic that is shared; 0 counts as 1.
    pub weight: u8,
}

impl Member {
    /// One of priority 100 and weight 1, at an unknown cost.
    pub fn new(link: super::LinkId) -> Self {
        Self {
            link,
            priority: 100,
            cost: None,
            weight: 1,
        }
    }
}

/// What is measured of a link, as far as policies ask for it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Figures {
    /// Median of the window that links are judged by; `None` before enough probes were answered.
    pub rtt: Option<Duration>,
    /// Of a minute, 0 to 1; `None` before the fate of enough probes is known.
    pub loss: Option<f64>,
    /// By how much that ratio may be off by chance: twice its standard error.
    pub loss_error: f64,
}

impl From<&Quality> for Figures {
    fn from(quality: &Quality) -> Self {
        let judged = &quality.judged;
        let answered = judged.known.saturating_sub(judged.lost);
        let [_, minute, _] = &quality.windows;
        let loss = minute.loss_ratio().filter(|_| minute.known >= MIN_PROBES);
        Self {
            rtt: judged.rtt_median.filter(|_| answered >= MIN_PROBES),
            loss,
            loss_error: 2.0 * (loss.unwrap_or(0.0) / minute.known.max(1) as f64).sqrt(),
        }
    }
}

/// What a policy judges a link by, in the unit in which it is told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Figure {
    /// Lower is preferred.
    Priority(u32),
    /// Median.
    Rtt(Duration),
    /// 0 to 1.
    Loss(f64),
    /// Dollars a gigabyte.
    Cost(f64),
    /// Part of the traffic.
    Weight(u8),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Priority(_) => write!(f, "priority {}", Value(*self)),
            Self::Rtt(_) => write!(f, "rtt {}", Value(*self)),
            Self::Loss(_) => write!(f, "loss {}", Value(*self)),
            Self::Cost(_) => write!(f, "cost {}", Value(*self)),
            Self::Weight(_) => write!(f, "weight {}", Value(*self)),
        }
    }
}

/// A figure without its name: the second of two that are compared.
pub(super) struct Value(pub(super) Figure);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Figure::Priority(priority) => write!(f, "{priority}"),
            Figure::Rtt(rtt) => write!(f, "{}", Millis(rtt)),
            Figure::Loss(ratio) => write!(f, "{:.1} %", ratio * 100.0),
            Figure::Cost(dollars) => write!(f, "${dollars}/GB"),
            Figure::Weight(weight) => write!(f, "{weight}"),
        }
    }
}

impl Policy {
    /// What it judges a link by; `None` while that is not known.
    pub(super) fn figure(self, member: &Member, figures: &Figures) -> Option<Figure> {
        match self {
            Self::Priority => Some(Figure::Priority(member.priority)),
            Self::Latency(_) => figures.rtt.map(Figure::Rtt),
            Self::Loss(_) => figures.loss.map(Figure::Loss),
            Self::Cost => member.cost.map(Figure::Cost),
            Self::Balance => Some(Figure::Weight(member.weight.max(1))),
        }
    }

    /// Whether its figures are measured, so that they waver.
    pub(super) fn is_measured(self) -> bool {
        match self {
            Self::Latency(_) | Self::Loss(_) => true,
            Self::Priority | Self::Cost | Self::Balance => false,
        }
    }

    /// Whether `a` is better than `b` at all.
    pub(super) fn is_less(self, a: Figure, b: Figure) -> bool {
        match (a, b) {
            (Figure::Priority(a), Figure::Priority(b)) => a < b,
            (Figure::Rtt(a), Figure::Rtt(b)) => a < b,
            (Figure::Loss(a), Figure::Loss(b)) | (Figure::Cost(a), Figure::Cost(b)) => a < b,
            _ => false,
        }
    }

    /// Whether `a` is better than `b` by more than the margin, and more than chance.
    ///
    /// - `error`: by how much a ratio of loss may be off
    pub(super) fn is_clearly_less(self, a: Figure, b: Figure, error: f64) -> bool {
        match (self, a, b) {
            (Self::Latency(margin), Figure::Rtt(a), Figure::Rtt(b)) => {
                let part = b.mul_f64(margin.part.clamp(0.0, 1.0));
                a.saturating_add(part.max(margin.least)) < b
            }
            (Self::Loss(margin), Figure::Loss(a), Figure::Loss(b)) => a + margin.max(error) < b,
            _ => self.is_less(a, b),
        }
    }
}
