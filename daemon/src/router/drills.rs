//! Drills: at most one at a time, for two at once could together be an outage that each alone is not.

use links::{DrillConfig, Fault};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::Router;
use crate::drivers::drill::{Exercise, Running, Said, Scenes, Surroundings};
use crate::drivers::messages::{Denied, Ordered};
use crate::traffic::{self, delay};

/// More than a drill has to say.
const SAYINGS: usize = 16;

/// The drill that is under way, if there is one.
pub(super) struct Drills {
    around: Surroundings,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Drills {
    pub(super) fn new(around: Surroundings) -> Self {
        Self {
            around,
            stop: None,
            task: None,
        }
    }

    /// How every link stands in its group.
    pub(super) fn scenes(&self) -> watch::Receiver<Scenes> {
        self.around.scenes.clone()
    }

    fn is_busy(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Lifts the fault; whether there was one. The report follows.
    pub(super) fn end(&mut self) -> bool {
        self.is_busy() && self.stop.take().is_some_and(|stop| stop.send(()).is_ok())
    }

    /// Lifts the fault now, without a report.
    pub(super) async fn abandon(&mut self) {
        let Some(task) = self.task.take() else { return };
        task.abort();
        let _ = task.await;
        if let Err(error) = traffic::clear().await {
            warn!(%error, "the fault of a drill cannot be lifted; it ends by itself");
        }
    }
}

impl Router {
    /// Begins a drill; what there is to tell of it comes through the channel, and when that is dropped the
    /// drill ends.
    pub(super) fn drill(&mut self, ordered: Ordered) -> Result<mpsc::Receiver<Said>, Denied> {
        let link = self
            .config
            .links
            .get(&ordered.link)
            .ok_or(Denied::Unknown)?;
        if self.drills.is_busy() {
            let busy = "another drill is under way: `skybridge drill stop` ends it";
            return Err(Denied::Refused(busy.to_owned()));
        }
        let group = link.group.as_ref();
        let group = group.and_then(|group| self.config.groups.get(group));
        let exercise = Exercise {
            link: ordered.link,
            interface: link.interface.clone(),
            config: DrillConfig {
                fault: ordered.fault,
                lasts: ordered.lasts,
                objective: group.and_then(|group| group.slo.failover),
            },
        };
        let (said, sayings) = mpsc::channel(SAYINGS);
        let (stop, is_stopped) = oneshot::channel();
        let running = Running::new(exercise, self.drills.around.clone(), said, is_stopped)
            .map_err(|refusal| Denied::Refused(refusal.to_string()))?;
        if let Fault::Delay(_) = ordered.fault {
            let refused = |obstacle: delay::Obstacle| Denied::Refused(obstacle.to_string());
            delay::check(&link.interface).map_err(refused)?;
        }
        self.drills.stop = Some(stop);
        self.drills.task = Some(tokio::spawn(running.run()));
        Ok(sayings)
    }
}
