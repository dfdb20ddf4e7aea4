//! A channel between two tasks: in order, and as late as the scheduler likes.

use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Channel<T>(VecDeque<(Instant, T)>);

impl<T> Default for Channel<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Channel<T> {
    /// Nothing overtakes: what was sent before arrives before.
    pub(super) fn send(&mut self, message: T, arrives: Instant) {
        let earliest = self.0.back().map_or(arrives, |(last, _)| *last);
        self.0.push_back((arrives.max(earliest), message));
    }

    pub(super) fn receive(&mut self, now: Instant) -> Option<T> {
        let (arrives, _) = self.0.front()?;
        if *arrives > now {
            return None;
        }
        self.0.pop_front().map(|(_, message)| message)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|(arrives, _)| *arrives)
    }
}
