//! A drill: the [`Drill`] machine, the fault in the kernel, and whoever asked for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use links::{
    Drill, DrillConfig, DrillInput, DrillOutput, DrillRefusal, DrillReport, Fault, Packets,
    Progress, Scene, Verdict,
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::messages::{GroupsMessage, Hearing};
use super::until;
use crate::board::Board;
use crate::journal::Severity;
use crate::traffic::{Hold, RENEWAL, Tap};

/// How every link stands in its group, and since when.
pub(crate) type Scenes = BTreeMap<String, (Scene, Instant)>;

/// Takes over what is new, with the time since when it is so; whether there was anything.
pub(crate) fn update(scenes: &mut Scenes, stage: BTreeMap<String, Scene>, since: Instant) -> bool {
    let before = std::mem::take(scenes);
    *scenes = stage
        .into_iter()
        .map(|(link, scene)| match before.get(&link) {
            Some(known) if known.0 == scene => (link, *known),
            _ => (link, (scene, since)),
        })
        .collect();
    *scenes != before
}

/// Whatever a drill has to do with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) scenes: watch::Receiver<Scenes>,
    /// When the kernel last was made to forward elsewhere.
    pub(crate) switched: watch::Receiver<Option<Instant>>,
    pub(crate) groups: mpsc::Sender<GroupsMessage>,
    pub(crate) board: Arc<Board>,
}

/// What somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Exercise {
    pub(crate) link: String,
    pub(crate) interface: String,
    pub(crate) config: DrillConfig,
}

/// What there is to tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// So long after the fault was in place.
    Progress(Progress, Duration),
    Report(DrillReport),
}

/// A drill that is under way.
pub(crate) struct Running {
    exercise: Exercise,
    drill: Drill,
    around: Surroundings,
    /// Tells nobody any more when the one who asked has gone.
    said: mpsc::Sender<Said>,
    stop: Option<oneshot::Receiver<()>>,
    tap: Option<Tap>,
    begun: Instant,
}

impl Running {
    /// Nothing has happened yet.
    ///
    /// # Errors
    ///
    /// The link has no scene, since its group has not been told of it, or [`Drill::new`] refuses.
    pub(crate) fn new(
        exercise: Exercise,
        around: Surroundings,
        said: mpsc::Sender<Said>,
        stop: oneshot::Receiver<()>,
    ) -> Result<Self, DrillRefusal> {
        let scene = around.scenes.borrow().get(&exercise.link).copied();
        let (scene, _) = scene.ok_or(DrillRefusal::NothingElse)?;
        Ok(Self {
            drill: Drill::new(exercise.config, scene)?,
            exercise,
            around,
            said,
            stop: Some(stop),
            tap: None,
            begun: Instant::now(),
        })
    }

    /// Until the report.
    pub(crate) async fn run(mut self) {
        self.around.scenes.mark_unchanged();
        self.around.switched.mark_unchanged();
        let mut renewal = tokio::time::interval(RENEWAL);
        loop {
            while let Some(output) = self.drill.poll_output() {
                let is_over = matches!(output, DrillOutput::Done(_));
                self.obey(output).await;
                if is_over {
                    return;
                }
            }
            tokio::select! {
                Ok(()) = self.around.scenes.changed() => self.look(),
                Ok(()) = self.around.switched.changed() => {
                    if let Some(at) = *self.around.switched.borrow_and_update() {
                        self.drill.handle(DrillInput::Switched, at);
                    }
                }
                _ = renewal.tick() => self.renew().await,
                () = stopped(&mut self.stop, &self.said) => {
                    self.stop = None;
                    self.drill.handle(DrillInput::Stop, Instant::now());
                }
                () = until(self.drill.poll_timeout()) => {
                    self.drill.handle(DrillInput::Timeout, Instant::now());
                }
            }
        }
    }

    fn look(&mut self) {
        let scenes = self.around.scenes.borrow_and_update();
        if let Some((scene, since)) = scenes.get(&self.exercise.link) {
            self.drill.handle(DrillInput::Scene(*scene), *since);
        }
    }

    async fn renew(&mut self) {
        let Some(tap) = &self.tap else { return };
        if let Err(error) = tap.renew().await {
            warn!(%error, "a drill cannot be kept up");
            self.drill.handle(DrillInput::Failed, Instant::now());
        }
    }

    async fn obey(&mut self, output: DrillOutput) {
        match output {
            DrillOutput::Impose(fault) => {
                let answer = self.impose(fault).await;
                self.begun = Instant::now();
                self.drill.handle(answer, self.begun);
            }
            DrillOutput::Lift => {
                let lost = self.lift().await;
                self.drill.handle(DrillInput::Lifted(lost), Instant::now());
            }
            DrillOutput::Progress(progress) => self.tell(progress).await,
            DrillOutput::Done(report) => self.conclude(report),
        }
    }

    async fn impose(&mut self, fault: Fault) -> DrillInput {
        let hold = match fault {
            Fault::Silence => Hold::All,
            Fault::Loss(ratio) => Hold::Part(ratio),
            Fault::Delay(by) => Hold::Late(by),
            Fault::Withdrawal => {
                self.hear(Hearing::Deaf).await;
                return DrillInput::Imposed;
            }
        };
        let tap = Tap::new(&self.exercise.interface, hold);
        match tap.set().await {
            Ok(()) => {
                self.tap = Some(tap);
                DrillInput::Imposed
            }
            Err(error) => {
                warn!(%error, "a drill cannot begin; is the package nftables installed?");
                DrillInput::Failed
            }
        }
    }

    async fn lift(&mut self) -> Packets {
        if self.exercise.config.fault == Fault::Withdrawal {
            self.hear(Hearing::Attentive).await;
        }
        let Some(tap) = self.tap.take() else {
            return Packets::default();
        };
        tap.remove().await.unwrap_or_else(|error| {
            warn!(%error, "what a drill has dropped cannot be counted");
            Packets::default()
        })
    }

    async fn hear(&self, hearing: Hearing) {
        let message = GroupsMessage::Hear {
            name: self.exercise.link.clone(),
            hearing,
        };
        let _ = self.around.groups.send(message).await;
    }

    async fn tell(&self, progress: Progress) {
        let link = &self.exercise.link;
        info!(link, ?progress, "drill");
        // What the link and its group do about it, they say themselves.
        match progress {
            Progress::Begun => {
                let config = self.exercise.config;
                self.around
                    .board
                    .set_drill(link, Some(SystemTime::now() + config.lasts));
                self.record(Severity::Info, config.to_string());
            }
            Progress::Lifted(end) => {
                self.around.board.set_drill(link, None);
                self.record(Severity::Info, format!("the fault is lifted: {end}"));
            }
            Progress::Detected(_) | Progress::Switched | Progress::Returned => {}
        }
        let _ = self
            .said
            .send(Said::Progress(progress, self.begun.elapsed()))
            .await;
    }

    fn record(&self, severity: Severity, text: String) {
        let journal = &self.around.board.journal;
        journal.record(severity, "drill", &self.exercise.link, text);
    }

    fn conclude(&self, report: DrillReport) {
        let link = &self.exercise.link;
        info!(link, ?report, "drill is over");
        let severity = match report.verdict() {
            Verdict::Missed => Severity::Warning,
            Verdict::Met | Verdict::Nothing => Severity::Info,
        };
        let board = &self.around.board;
        board.set_drill(link, None);
        board
            .counters
            .drill(self.exercise.config.fault, report.verdict());
        self.record(severity, report.to_string());
        // Nobody may be listening any more.
        let _ = self.said.try_send(Said::Report(report));
    }
}

/// When somebody says so, or the one who asked is gone.
async fn stopped(stop: &mut Option<oneshot::Receiver<()>>, said: &mpsc::Sender<Said>) {
    match stop {
        Some(stop) => tokio::select! {
            _ = stop => {}
            () = said.closed() => {}
        },
        None => std::future::pending().await,
    }
}
