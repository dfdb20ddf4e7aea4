//! Tells the groups where MEDs and AS paths have taken the traffic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bgp::PeerId;
use bgp::rib::Rib;
use tokio::sync::watch;

/// After a change, others are waited for so long.
const PAUSE: Duration = Duration::from_millis(100);
/// Looking takes at most one part of so many of the time.
const PART: u32 = 50;

/// Looks at the RIB now and then while it changes.
pub(super) struct Drawing {
    drawn: watch::Sender<BTreeSet<PeerId>>,
    look_at: Option<Instant>,
    pause: Duration,
}

impl Drawing {
    pub(super) fn new(drawn: watch::Sender<BTreeSet<PeerId>>) -> Self {
        Self {
            drawn,
            look_at: None,
            pause: PAUSE,
        }
    }

    /// Routes or ranks have changed.
    pub(super) fn note(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + self.pause);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn on_timeout(&mut self, rib: &Rib, now: Instant) {
        if self.look_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let drawn = rib.drawn();
        self.pause = PAUSE.max(now.elapsed() * PART);
        self.drawn.send_if_modified(|known| {
            let differs = *known != drawn;
            *known = drawn;
            differs
        });
    }
}
