//! What happened lately, for `skybridge watch`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;

/// Events kept for those who ask later.
const KEPT: usize = 1000;
/// Events a slow watcher may lag behind before it loses some.
const LAG: usize = 256;

/// How much an event matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Severity {
    Info,
    Warning,
    Critical,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Grows by one with each event.
    pub(crate) sequence: u64,
    pub(crate) at: SystemTime,
    pub(crate) severity: Severity,
    /// As listed in `events.proto`.
    pub(crate) kind: &'static str,
    /// Name of the link, group, peer or tunnel.
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// See the [module](self).
pub(crate) struct Journal {
    kept: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            live: broadcast::channel(LAG).0,
        }
    }

    pub(crate) fn record(
        &self,
        severity: Severity,
        kind: &'static str,
        subject: &str,
        text: String,
    ) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = kept.back().map_or(1, |last| last.sequence + 1);
        let (at, subject) = (SystemTime::now(), subject.to_owned());
        let event = Event {
            sequence,
            at,
            severity,
            kind,
            subject,
            text,
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody may be watching. Sent under the lock, so that nothing falls between the two halves
        // of `since`.
        let _ = self.live.send(event);
    }

    /// What is kept of the events after `sequence`, and everything from here on.
    pub(crate) fn since(&self, sequence: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let after = kept
            .iter()
            .filter(|event| event.sequence > sequence)
            .cloned()
            .collect();
        (after, self.live.subscribe())
    }

    /// The number of the latest event, 0 before the first.
    pub(crate) fn latest(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.back().map_or(0, |event| event.sequence)
    }
}
