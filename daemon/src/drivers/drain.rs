//! Waiting for a link to be empty, or to be in use again: the [`Drain`] machine, the counters of the kernel,
//! and whoever asked.

use std::time::{Duration, Instant};

use links::{Drain, DrainEnd, DrainInput, Order, Waiting};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::drill::Scenes;
use super::until;
use crate::traffic::Meter;

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_millis(250);

/// What somebody waits for.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) link: String,
    pub(crate) interface: String,
    /// Unlike that of any other errand at the same time.
    pub(crate) number: u32,
    pub(crate) order: Order,
    pub(crate) patience: Duration,
}

/// What there is to tell of it.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Waiting(Waiting),
    End(DrainEnd),
    /// Packets cannot be counted: why.
    Blind(String),
}

/// Until the end, or until nobody wants to hear of it. What was ordered stays ordered.
pub(crate) async fn run(errand: Errand, scenes: watch::Receiver<Scenes>, told: mpsc::Sender<Told>) {
    let meter = match Meter::start(&errand.interface, errand.number).await {
        Ok(meter) => meter,
        Err(error) => {
            warn!(link = errand.link, %error, "cannot count packets; is the package nftables installed?");
            let _ = told.send(Told::Blind(error.to_string())).await;
            return;
        }
    };
    tokio::select! {
        () = wait(&errand, &meter, scenes, &told) => {}
        () = told.closed() => {}
    }
    if let Err(error) = meter.stop().await {
        debug!(%error, "meter");
    }
}

async fn wait(
    errand: &Errand,
    meter: &Meter,
    mut scenes: watch::Receiver<Scenes>,
    told: &mpsc::Sender<Told>,
) {
    let mut drain = Drain::new(errand.order, errand.patience, Instant::now());
    let mut look = tokio::time::interval(LOOK);
    let mut said = None;
    scenes.mark_changed();
    loop {
        if let Some(end) = drain.end() {
            let _ = told.send(Told::End(end)).await;
            return;
        }
        if said != Some(drain.waiting()) {
            said = Some(drain.waiting());
            let _ = told.send(Told::Waiting(drain.waiting())).await;
        }
        let input = tokio::select! {
            changed = scenes.changed() => match changed {
                Ok(()) => scene(&mut scenes, &errand.link),
                Err(_) => return,
            },
            _ = look.tick() => count(meter).await,
            () = until(drain.poll_timeout()) => DrainInput::Timeout,
        };
        drain.handle(input, Instant::now());
    }
}

fn scene(scenes: &mut watch::Receiver<Scenes>, link: &str) -> DrainInput {
    let scenes = scenes.borrow_and_update();
    let scene = scenes.get(link);
    scene.map_or(DrainInput::Timeout, |(scene, _)| DrainInput::Scene(*scene))
}

async fn count(meter: &Meter) -> DrainInput {
    match meter.read().await {
        Ok(packets) => DrainInput::Passed(packets),
        Err(error) => {
            debug!(%error, "meter");
            DrainInput::Timeout
        }
    }
}
