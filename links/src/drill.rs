//! A failover exercise on one link: a fault on purpose, with an end, and what came of it.
//!
//! ```text
//!   new ──► Beginning ── Imposed ──► Faulty ── time, Stop, left alone ──► Lifting ── Lifted ──► Returning ──► Done
//!                 │                                                         ▲          (traffic is back, or
//!                 └──────────────────── Failed ─────────────────────────────┘           RETURN has passed)
//! ```
//!
//! An exercise must not become an outage. So it is refused where the group would be left without a link,
//! and it is over at once when that comes about while it lasts. Whoever imposes the fault sees to it that
//! it ends when nobody is left to lift it.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::health::State;
use crate::words::{Millis, Seconds};

/// How long traffic may take to come back before the exercise ends without it.
const RETURN: Duration = Duration::from_secs(300);

/// What is done to the link.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Nothing passes any more, in either direction, and nobody is told.
    Silence,
    /// Part of what passes is lost, in either direction; 0 to 1.
    Loss(f64),
    /// What its peers announce is held for withdrawn.
    Withdrawal,
    /// What leaves by it takes so much longer.
    Delay(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("everything on it is dropped"),
            Self::Loss(ratio) => write!(f, "{:.2} % of it is dropped", ratio * 100.0),
            Self::Withdrawal => f.write_str("what its peers announce is held for withdrawn"),
            Self::Delay(by) => write!(f, "what leaves by it takes {} longer", Millis(*by)),
        }
    }
}

/// What a drill is told once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DrillConfig {
    /// What is done.
    pub fault: Fault,
    /// How long.
    pub lasts: Duration,
    /// Traffic is to have moved within this; `None`: nothing was promised.
    pub objective: Option<Duration>,
}

impl fmt::Display for DrillConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, for {}", self.fault, Seconds(self.lasts))
    }
}

/// How the link stands in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scene {
    /// What its health says.
    pub state: State,
    /// Whether traffic of the group goes over it.
    pub role: Role,
    /// Other links of the group that are usable.
    pub others: usize,
}

/// What a link has to do with the traffic of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Traffic goes over it.
    Active,
    /// Traffic would go over it if others failed.
    Idle,
}

/// Why there is no drill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrillRefusal {
    /// The group would be left without a link.
    NothingElse,
    /// There is nothing to fail.
    Down,
}

impl fmt::Display for DrillRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingElse => {
                "no other link of its group is usable: traffic would have nowhere to go"
            }
            Self::Down => "the link is down already",
        })
    }
}

/// The only way in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum DrillInput {
    /// The fault is in place.
    Imposed,
    /// It could not be put in place, or could not be kept there.
    Failed,
    /// How the link stands now.
    Scene(Scene),
    /// The kernel forwards elsewhere.
    Switched,
    /// The fault is gone, and has swallowed so many packets of users.
    Lifted(Packets),
    /// Whoever asked for the drill has had enough, or is gone.
    Stop,
    /// A deadline may have passed.
    Timeout,
}

/// Packets that were to be forwarded over a link, and were not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Packets {
    /// On their way out.
    pub transmit: u64,
    /// On their way in.
    pub receive: u64,
}

/// What is to be done, and what has happened, in order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum DrillOutput {
    /// Put the fault in place, and answer with [`DrillInput::Imposed`] or [`DrillInput::Failed`].
    Impose(Fault),
    /// Something worth telling.
    Progress(Progress),
    /// Take the fault away, and answer with [`DrillInput::Lifted`]. Comes once, for whatever reason.
    Lift,
    /// It is over.
    Done(DrillReport),
}

/// What happens in a drill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The fault is in place.
    Begun,
    /// The link's state has changed.
    Detected(State),
    /// The kernel forwards elsewhere.
    Switched,
    /// The fault is gone.
    Lifted(DrillEnd),
    /// The link is as it was before.
    Returned,
}

/// Why the fault was lifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrillEnd {
    /// Its time was over.
    Elapsed,
    /// Somebody stopped it.
    Stopped,
    /// No other link of the group was usable any more.
    LeftAlone,
    /// The fault could not be put or kept in place.
    Failed,
}

impl fmt::Display for DrillEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elapsed => "its time was over",
            Self::Stopped => "it was stopped",
            Self::LeftAlone => "no other link was usable any more",
            Self::Failed => "the fault could not be kept in place",
        })
    }
}

/// What came of a drill. Times are from the moment at which the fault was in place; those of the return
/// from the moment at which it was lifted. `None`: that did not happen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DrillReport {
    /// Why it ended.
    pub end: DrillEnd,
    /// How long the fault was in place.
    pub lasted: Duration,
    /// What the link was for when it began.
    pub role: Role,
    /// The link's state changed.
    pub detected: Option<Duration>,
    /// The kernel forwarded elsewhere.
    pub switched: Option<Duration>,
    /// The link was as before: usable, and in use if it had been.
    pub returned: Option<Duration>,
    /// Packets that the fault swallowed.
    pub lost: Packets,
    /// What was promised.
    pub objective: Option<Duration>,
}

/// How a drill compares with what was promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Traffic moved in time.
    Met,
    /// It did not.
    Missed,
    /// Nothing was promised, nothing had to move, or the drill ended before it could tell.
    Nothing,
}

impl DrillReport {
    /// How it compares with what was promised.
    pub fn verdict(&self) -> Verdict {
        match (self.objective, self.role, self.switched) {
            (None, _, _) | (_, Role::Idle, _) => Verdict::Nothing,
            (Some(limit), Role::Active, Some(switched)) if switched <= limit => Verdict::Met,
            (Some(_), Role::Active, Some(_)) => Verdict::Missed,
            (Some(limit), Role::Active, None) if self.lasted > limit => Verdict::Missed,
            (Some(_), Role::Active, None) => Verdict::Nothing,
        }
    }
}

impl fmt::Display for DrillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut found = |what: &str, time: Option<Duration>| match time {
            Some(time) => write!(f, "{what} in {}, ", Millis(time)),
            None => write!(f, "not {what}, "),
        };
        found("detected", self.detected)?;
        if self.role == Role::Active {
            found("switched", self.switched)?;
        }
        found("returned", self.returned)?;
        let Packets { transmit, receive } = self.lost;
        write!(
            f,
            "{transmit} packets lost on the way out and {receive} on the way in"
        )?;
        match (self.objective, self.verdict()) {
            (Some(limit), Verdict::Met) => write!(f, "; within {}", Millis(limit)),
            (Some(limit), Verdict::Missed) => write!(f, "; the objective is {}", Millis(limit)),
            (_, _) => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Beginning,
    Faulty,
    Lifting,
    Returning,
    Done,
}

/// One drill.
///
/// The driver: `handle`, then `poll_output` until it gives `None`, then wait for the next input or
/// [`Drill::poll_timeout`].
#[derive(Debug)]
pub struct Drill {
    config: DrillConfig,
    before: Scene,
    scene: Scene,
    phase: Phase,
    imposed_at: Option<Instant>,
    lifted_at: Option<Instant>,
    report: DrillReport,
    outputs: VecDeque<DrillOutput>,
}

impl Drill {
    /// Asks for the fault, unless that would be an outage.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn new(config: DrillConfig, scene: Scene) -> Result<Self, DrillRefusal> {
        match scene {
            Scene {
                state: State::Down, ..
            } => return Err(DrillRefusal::Down),
            Scene { others: 0, .. } => return Err(DrillRefusal::NothingElse),
            Scene { .. } => {}
        }
        let report = DrillReport {
            end: DrillEnd::Elapsed,
            lasted: Duration::ZERO,
            role: scene.role,
            detected: None,
            switched: None,
            returned: None,
            lost: Packets::default(),
            objective: config.objective,
        };
        Ok(Self {
            config,
            before: scene,
            scene,
            phase: Phase::Beginning,
            imposed_at: None,
            lifted_at: None,
            report,
            outputs: VecDeque::from([DrillOutput::Impose(config.fault)]),
        })
    }

    /// The only way in. `now` is when it happened.
    pub fn handle(&mut self, input: DrillInput, now: Instant) {
        match input {
            DrillInput::Imposed => self.on_imposed(now),
            DrillInput::Failed => self.lift(DrillEnd::Failed, now),
            DrillInput::Scene(scene) => self.on_scene(scene, now),
            DrillInput::Switched => self.on_switched(now),
            DrillInput::Lifted(lost) => self.on_lifted(lost, now),
            DrillInput::Stop => self.lift(DrillEnd::Stopped, now),
            DrillInput::Timeout => {}
        }
        self.look_at_clock(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<DrillOutput> {
        self.outputs.pop_front()
    }

    /// When [`DrillInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Faulty => self.imposed_at?.checked_add(self.config.lasts),
            Phase::Returning => self.lifted_at?.checked_add(RETURN),
            Phase::Beginning | Phase::Lifting | Phase::Done => None,
        }
    }

    fn on_imposed(&mut self, now: Instant) {
        if self.phase == Phase::Beginning {
            self.phase = Phase::Faulty;
            self.imposed_at = Some(now);
            self.tell(Progress::Begun);
        }
    }

    fn on_scene(&mut self, scene: Scene, now: Instant) {
        self.scene = scene;
        match self.phase {
            Phase::Faulty => {
                if scene.state != self.before.state && self.report.detected.is_none() {
                    self.report.detected = self.since_imposed(now);
                    self.tell(Progress::Detected(scene.state));
                }
                if scene.others == 0 {
                    self.lift(DrillEnd::LeftAlone, now);
                }
            }
            Phase::Beginning if scene.others == 0 => self.lift(DrillEnd::LeftAlone, now),
            Phase::Returning => self.look_for_return(now),
            Phase::Beginning | Phase::Lifting | Phase::Done => {}
        }
    }

    /// Only the first move is the one away from the fault.
    fn on_switched(&mut self, now: Instant) {
        if self.phase == Phase::Faulty
            && self.before.role == Role::Active
            && self.report.switched.is_none()
        {
            self.report.switched = self.since_imposed(now);
            self.tell(Progress::Switched);
        }
    }

    fn lift(&mut self, end: DrillEnd, now: Instant) {
        if !matches!(self.phase, Phase::Beginning | Phase::Faulty) {
            return;
        }
        self.report.end = end;
        self.report.lasted = self.since_imposed(now).unwrap_or_default();
        self.phase = Phase::Lifting;
        self.outputs.push_back(DrillOutput::Lift);
    }

    fn on_lifted(&mut self, lost: Packets, now: Instant) {
        if self.phase == Phase::Lifting {
            self.phase = Phase::Returning;
            self.lifted_at = Some(now);
            self.report.lost = lost;
            self.tell(Progress::Lifted(self.report.end));
            self.look_for_return(now);
        }
    }

    fn look_for_return(&mut self, now: Instant) {
        let is_back = match self.before.role {
            Role::Active => self.scene.role == Role::Active,
            Role::Idle => true,
        };
        if is_back && self.scene.state <= self.before.state {
            let lifted = self.lifted_at.unwrap_or(now);
            self.report.returned = Some(now.saturating_duration_since(lifted));
            self.tell(Progress::Returned);
            self.finish();
        }
    }

    fn look_at_clock(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match self.phase {
            Phase::Faulty => self.lift(DrillEnd::Elapsed, now),
            Phase::Returning => self.finish(),
            Phase::Beginning | Phase::Lifting | Phase::Done => {}
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Done;
        self.outputs.push_back(DrillOutput::Done(self.report));
    }

    fn tell(&mut self, progress: Progress) {
        self.outputs.push_back(DrillOutput::Progress(progress));
    }

    fn since_imposed(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.imposed_at?))
    }
}

#[cfg(test)]
mod tests;
