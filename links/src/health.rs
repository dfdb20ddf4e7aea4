//! Whether one link is usable, with hysteresis.
//!
//! - **Down** from the start until measured; at once when the interface goes down; after `down_after`
//!   probes in a row without answer.
//! - **Down** at once when BFD says so, and as long as it does: it speaks for the neighbour's forwarding,
//!   which a probe that is answered by something else does not. An operator's "admin down" says nothing.
//! - **Up** for the first time with the first answer: one shows that both ways work.
//! - **Up** again after `up_after` answers in a row, and not before the hold-down has passed. The
//!   first fall has none; each further one doubles it, up to `hold_down_max`; each `forget` that it
//!   then stays usable halves the count. Where no other link of its group is usable, nothing holds it
//!   down: a link that may fall again is better than none.
//! - **Draining** on order, however good it is; one that dies meanwhile is down.
//! - **Degraded** when the median RTT or the loss is over its limit; **Up** again when both have been
//!   well below it for `settle`. One lost probe alone is no loss ratio.

use std::fmt;
use std::time::{Duration, Instant};

use crate::bfd::Diagnostic;
use crate::probe::Quality;
use crate::words::Millis;

/// Falls beyond this many make the hold-down no longer.
const MAX_FALLS: u32 = 16;

/// What a health is told once.
#[derive(Clone, PartialEq, Debug)]
pub struct HealthConfig {
    /// What decides.
    pub measurement: Measurement,
    /// Probes in a row without answer until down; 0 counts as 1.
    pub down_after: u32,
    /// Probes in a row without answer until what an earlier measurement has found is no longer believed; see
    /// [`Health::taking_over`]. 0 counts as 1.
    pub disbelieve_after: u32,
    /// Answers in a row until up again after a fall.
    pub up_after: u32,
    /// A median RTT over this is degraded.
    pub degraded_rtt: Option<Limit<Duration>>,
    /// A loss ratio, 0 to 1, over this is degraded.
    pub degraded_loss: Option<Limit<f64>>,
    /// How long both must be well below their limits before the link is no longer degraded.
    pub settle: Duration,
    /// How long a link stays down after its second fall; doubles with each further one.
    pub hold_down: Duration,
    /// The longest that becomes.
    pub hold_down_max: Duration,
    /// Every time the link stays usable for this long, half of its falls are forgotten.
    pub forget: Duration,
}

impl Default for HealthConfig {
    /// 3 losses, 5 answers, no limits, 5 s to settle, hold-down 1 s to 60 s, forgotten by halves in 60 s.
    fn default() -> Self {
        Self {
            measurement: Measurement::Probe,
            down_after: 3,
            disbelieve_after: 3,
            up_after: 5,
            degraded_rtt: None,
            degraded_loss: None,
            settle: Duration::from_secs(5),
            hold_down: Duration::from_secs(1),
            hold_down_max: Duration::from_secs(60),
            forget: Duration::from_secs(60),
        }
    }
}

/// What is over a threshold stays so until it is well below it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit<T> {
    enter: T,
    leave: T,
}

impl<T: Copy + PartialOrd> Limit<T> {
    /// - `enter`: more than this is over it
    /// - `leave`: no more than this is well below it; what is higher than `enter` counts as that
    pub fn new(enter: T, leave: T) -> Self {
        let leave = if leave < enter { leave } else { enter };
        Self { enter, leave }
    }

    fn at(self, threshold: Threshold) -> T {
        match threshold {
            Threshold::Enter => self.enter,
            Threshold::Leave => self.leave,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Threshold {
    Enter,
    Leave,
}

/// What decides whether a link is usable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measurement {
    /// A probe, and the interface: without word about it, it is taken to be up.
    Probe,
    /// The interface alone, once it is known.
    Interface,
}

/// The only way in.
#[derive(Clone, Copy, Debug)]
pub enum HealthInput<'a> {
    /// The probe was answered.
    Answered,
    /// The probe was not.
    Lost,
    /// What the probe measured; as often as it changes enough to matter, once a second or more.
    Quality(&'a Quality),
    /// The kernel says that the interface works.
    InterfaceUp,
    /// The kernel says that it does not, or that it is gone.
    InterfaceDown,
    /// The interface is there, and leads nowhere: what carries it has lost the far end.
    TunnelDown,
    /// What BFD has to say, each time that it is something else.
    Bfd(BfdWord),
    /// What is wanted of the link, whatever is measured.
    Order(Order),
    /// What there is besides it, each time that it is something else.
    Others(Others),
    /// A deadline may have passed.
    Timeout,
}

/// What an operator, or a drill, wants of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// To carry traffic as it can.
    #[default]
    Carry,
    /// To be emptied: it carries traffic only while there is nothing else.
    Drain,
}

/// The other links of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Others {
    /// One can carry the traffic; or the link is in no group, and nobody knows.
    #[default]
    Usable,
    /// None can.
    None,
}

/// What BFD has to say of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BfdWord {
    /// Nothing: there is none, it has not been up yet, or an operator of the neighbour has stopped it.
    #[default]
    Silent,
    /// It has not been up yet, and the link waits for it.
    Awaited,
    /// The neighbour answers.
    Up,
    /// It was up, and no longer is.
    Down(Diagnostic),
}

impl BfdWord {
    /// The state of what is watched by nothing else, and was in another one or in the same. Waiting for a
    /// session forbids a beginning, and ends nothing that runs.
    pub fn state(self, before: State) -> State {
        match self {
            Self::Silent | Self::Up => State::Up,
            Self::Awaited => before,
            Self::Down(_) => State::Down,
        }
    }
}

/// Whether a link is usable. Ordered: better is less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Usable and within limits.
    Up,
    /// Usable, but slower or more lossy than asked for.
    Degraded,
    /// Usable, however good, and to be emptied.
    Draining,
    /// Not usable.
    Down,
}

impl State {
    /// Each of them, the best first.
    pub const ALL: [Self; 4] = [Self::Up, Self::Degraded, Self::Draining, Self::Down];

    /// Whether a link in it can carry traffic.
    pub fn is_usable(self) -> bool {
        self != Self::Down
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Down => "down",
        })
    }
}

/// Why a link is in its state.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reason {
    /// Nothing has answered since the start, or since the interface came up.
    NotMeasured,
    /// So many probes in a row were not answered.
    Unanswered(u32),
    /// The kernel says so.
    InterfaceDown,
    /// Who keeps the tunnel says so.
    TunnelDown,
    /// The kernel says so, and there is no probe.
    InterfaceUp,
    /// The first answers.
    Answers,
    /// Answers after silence.
    AnswersAgain,
    /// The median RTT is too long.
    Rtt {
        /// Measured.
        median: Duration,
        /// Allowed.
        limit: Duration,
    },
    /// Too many are lost.
    Loss {
        /// Measured, 0 to 1.
        ratio: f64,
        /// Allowed, 0 to 1.
        limit: f64,
    },
    /// RTT and loss are well within limits.
    WithinLimits,
    /// An operator, or a drill, has it emptied.
    Drained,
    /// The BFD session went down.
    Bfd(Diagnostic),
    /// The BFD session has not been up yet, and has to be.
    BfdAwaited,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured => f.write_str("not yet measured"),
            Self::Unanswered(1) => f.write_str("1 probe unanswered"),
            Self::Unanswered(count) => write!(f, "{count} probes in a row unanswered"),
            Self::InterfaceDown => f.write_str("interface down"),
            Self::TunnelDown => f.write_str("tunnel down, see `show tunnels`"),
            Self::InterfaceUp => f.write_str("interface up"),
            Self::Answers => f.write_str("answers"),
            Self::AnswersAgain => f.write_str("answers again"),
            Self::Rtt { median, limit } => {
                write!(f, "RTT {} over {}", Millis(*median), Millis(*limit))
            }
            Self::Loss { ratio, limit } => {
                write!(f, "loss {:.1} % over {:.1} %", ratio * 100.0, limit * 100.0)
            }
            Self::WithinLimits => f.write_str("within limits again"),
            Self::Drained => f.write_str("to be emptied"),
            Self::BfdAwaited => f.write_str("waiting for BFD"),
            Self::Bfd(diagnostic) => write!(f, "BFD down: {diagnostic}"),
        }
    }
}

/// A state that was entered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HealthChange {
    /// The one entered.
    pub state: State,
    /// Why.
    pub reason: Reason,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Interface {
    Unknown,
    Up,
    Down,
}

/// What the measured quality says, independent of whether the link is usable.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    Good,
    Bad {
        reason: Reason,
        well_since: Option<Instant>,
    },
}

/// The health of one link.
///
/// The driver: `handle`, then `poll_output` until it gives `None`, then wait for the next input or
/// [`Health::poll_timeout`].
#[derive(Debug)]
pub struct Health {
    config: HealthConfig,
    /// As measured: never draining.
    state: State,
    reason: Reason,
    order: Order,
    others: Others,
    /// As it was last given out.
    shown: HealthChange,
    since: Instant,
    interface: Interface,
    /// In a row; one of the two is 0.
    losses: u32,
    answers: u32,
    was_up: bool,
    /// Others believe that it is usable, and nothing was said about that yet.
    is_believed: bool,
    bfd: BfdWord,
    verdict: Verdict,
    falls: u32,
    rose_at: Instant,
    /// Not up again before this.
    held_until: Option<Instant>,
    output: Option<HealthChange>,
}

impl Health {
    /// Down: nothing is measured yet.
    pub fn new(config: HealthConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::Down,
            reason: Reason::NotMeasured,
            order: Order::Carry,
            others: Others::Usable,
            shown: HealthChange {
                state: State::Down,
                reason: Reason::NotMeasured,
            },
            since: now,
            interface: Interface::Unknown,
            losses: 0,
            answers: 0,
            was_up: false,
            is_believed: false,
            bfd: BfdWord::Silent,
            verdict: Verdict::Good,
            falls: 0,
            rose_at: now,
            held_until: None,
            output: None,
        }
    }

    /// The same, of a link that an earlier measurement has found usable, as others go on to believe: where this one
    /// hears nothing, it says so.
    pub fn taking_over(config: HealthConfig, now: Instant) -> Self {
        Self {
            is_believed: true,
            ..Self::new(config, now)
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: HealthInput<'_>, now: Instant) {
        match input {
            HealthInput::Answered => self.on_answered(),
            HealthInput::Lost => self.on_lost(now),
            HealthInput::Quality(quality) => self.on_quality(quality, now),
            HealthInput::InterfaceUp => self.on_interface_up(),
            HealthInput::InterfaceDown => self.on_interface_down(Reason::InterfaceDown, now),
            HealthInput::TunnelDown => self.on_interface_down(Reason::TunnelDown, now),
            HealthInput::Bfd(word) => self.on_bfd(word, now),
            HealthInput::Order(order) => {
                self.order = order;
                self.show(now);
            }
            HealthInput::Others(others) => self.others = others,
            HealthInput::Timeout => {}
        }
        self.settle(now);
        self.rise(now);
    }

    /// The state entered last, if it was not told yet. One that was left before anybody asked is not
    /// told.
    pub fn poll_output(&mut self) -> Option<HealthChange> {
        self.output.take()
    }

    /// When [`HealthInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Down => self.held_until.filter(|_| self.has_proof()),
            State::Degraded => self.settled_at(),
            State::Up | State::Draining => None,
        }
    }

    /// Whether nothing but its falls keeps it down.
    pub fn is_held_down(&self, now: Instant) -> bool {
        let is_held = self.held_until.is_some_and(|until| now < until);
        self.state == State::Down && is_held && self.has_proof()
    }

    /// Whether the link is usable.
    pub fn state(&self) -> State {
        self.outward().state
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.outward().reason
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    fn on_answered(&mut self) {
        self.losses = 0;
        if self.interface != Interface::Down {
            self.answers = self.answers.saturating_add(1);
        }
    }

    fn on_lost(&mut self, now: Instant) {
        self.answers = 0;
        self.losses = self.losses.saturating_add(1);
        let enough = match self.is_believed {
            true => self.config.disbelieve_after,
            false => self.config.down_after,
        };
        let probed = self.config.measurement == Measurement::Probe;
        if probed && self.is_usable_to_others() && self.losses >= enough.max(1) {
            self.fall(Reason::Unanswered(self.losses), now);
        }
    }

    /// As far as they were told, by us or by who measured before us.
    fn is_usable_to_others(&self) -> bool {
        self.state != State::Down || self.is_believed
    }

    fn on_interface_up(&mut self) {
        if self.interface == Interface::Down {
            self.reason = Reason::NotMeasured;
        }
        self.interface = Interface::Up;
    }

    fn on_interface_down(&mut self, reason: Reason, now: Instant) {
        self.interface = Interface::Down;
        self.answers = 0;
        if self.is_usable_to_others() {
            self.fall(reason, now);
        } else {
            self.reason = reason;
        }
    }

    fn on_bfd(&mut self, word: BfdWord, now: Instant) {
        self.bfd = word;
        match word {
            BfdWord::Down(diagnostic) if self.is_usable_to_others() => {
                self.answers = 0;
                self.fall(Reason::Bfd(diagnostic), now);
            }
            // What a link waits for should be seen.
            BfdWord::Awaited if self.state == State::Down && self.reason != Reason::BfdAwaited => {
                self.enter(State::Down, Reason::BfdAwaited, now);
            }
            BfdWord::Silent | BfdWord::Awaited | BfdWord::Up | BfdWord::Down(_) => {}
        }
    }

    fn on_quality(&mut self, quality: &Quality, now: Instant) {
        let over = self.over(quality, Threshold::Enter);
        let near = self.over(quality, Threshold::Leave);
        self.verdict = match (self.verdict, over, near) {
            (_, Some(reason), _) => Verdict::Bad {
                reason,
                well_since: None,
            },
            (Verdict::Good, None, _) => Verdict::Good,
            (Verdict::Bad { reason, .. }, None, Some(_)) => Verdict::Bad {
                reason,
                well_since: None,
            },
            (Verdict::Bad { reason, well_since }, None, None) => Verdict::Bad {
                reason,
                well_since: well_since.or(Some(now)),
            },
        };
        if let (State::Up, Verdict::Bad { reason, .. }) = (self.state, self.verdict) {
            self.enter(State::Degraded, reason, now);
        }
    }

    /// What is over its threshold.
    fn over(&self, quality: &Quality, threshold: Threshold) -> Option<Reason> {
        let rtt = self
            .config
            .degraded_rtt
            .zip(quality.rtt_median())
            .and_then(|(limit, median)| {
                let limit = limit.at(threshold);
                (median > limit).then_some(Reason::Rtt { median, limit })
            });
        let loss = self.config.degraded_loss.and_then(|limit| {
            let (ratio, limit) = (quality.loss_ratio(), limit.at(threshold));
            let over = quality.lost() > 1 && ratio > limit;
            over.then_some(Reason::Loss { ratio, limit })
        });
        rtt.or(loss)
    }

    fn settled_at(&self) -> Option<Instant> {
        match self.verdict {
            Verdict::Bad {
                well_since: Some(since),
                ..
            } => since.checked_add(self.config.settle),
            Verdict::Bad {
                well_since: None, ..
            }
            | Verdict::Good => None,
        }
    }

    fn settle(&mut self, now: Instant) {
        if self.settled_at().is_none_or(|at| now < at) {
            return;
        }
        self.verdict = Verdict::Good;
        if self.state == State::Degraded {
            self.enter(State::Up, Reason::WithinLimits, now);
        }
    }

    /// Whether, but for the hold-down, the link is usable.
    fn has_proof(&self) -> bool {
        if let BfdWord::Awaited | BfdWord::Down(_) = self.bfd {
            return false;
        }
        match (self.config.measurement, self.interface) {
            (_, Interface::Down) | (Measurement::Interface, Interface::Unknown) => false,
            (Measurement::Interface, Interface::Up) => true,
            (Measurement::Probe, Interface::Unknown | Interface::Up) => {
                // Before the first rise nothing speaks against the link.
                let needed = if self.was_up { self.config.up_after } else { 1 };
                self.answers >= needed.max(1)
            }
        }
    }

    fn rise(&mut self, now: Instant) {
        let is_held = self.others == Others::Usable && self.is_held_down(now);
        if self.state != State::Down || is_held || !self.has_proof() {
            return;
        }
        let reason = match (self.config.measurement, self.was_up) {
            (Measurement::Interface, _) => Reason::InterfaceUp,
            (Measurement::Probe, false) => Reason::Answers,
            (Measurement::Probe, true) => Reason::AnswersAgain,
        };
        self.was_up = true;
        self.is_believed = false;
        self.rose_at = now;
        self.held_until = None;
        match self.verdict {
            Verdict::Good => self.enter(State::Up, reason, now),
            Verdict::Bad { reason, .. } => self.enter(State::Degraded, reason, now),
        }
    }

    fn fall(&mut self, reason: Reason, now: Instant) {
        let quiet = now.saturating_duration_since(self.rose_at).as_nanos();
        let halvings = quiet
            .checked_div(self.config.forget.as_nanos())
            .unwrap_or(0);
        let kept = self
            .falls
            .checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX))
            .unwrap_or(0);
        self.falls = (kept + 1).min(MAX_FALLS);
        self.was_up = true;
        self.is_believed = false;
        self.held_until = now.checked_add(self.hold_down());
        self.enter(State::Down, reason, now);
    }

    fn hold_down(&self) -> Duration {
        match self.falls.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => {
                let held = self.config.hold_down.saturating_mul(1 << doublings);
                held.min(self.config.hold_down_max)
            }
        }
    }

    fn enter(&mut self, state: State, reason: Reason, now: Instant) {
        self.state = state;
        self.reason = reason;
        self.show(now);
    }

    /// What is measured, under the order there is.
    fn outward(&self) -> HealthChange {
        let Self { state, reason, .. } = *self;
        match (self.order, state) {
            (Order::Drain, State::Up | State::Degraded) => HealthChange {
                state: State::Draining,
                reason: Reason::Drained,
            },
            (Order::Carry | Order::Drain, _) => HealthChange { state, reason },
        }
    }

    fn show(&mut self, now: Instant) {
        let outward = self.outward();
        if self.shown != outward {
            self.shown = outward;
            self.since = now;
            self.output = Some(outward);
        }
    }
}

#[cfg(test)]
mod tests;
