//! How often something has happened lately.

use std::time::Instant;

use super::{FORGET, MAX_FALLS};

/// A count of which half is forgotten in each [`FORGET`] without another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Falls {
    count: u32,
    latest: Instant,
}

impl Falls {
    pub(super) fn none(now: Instant) -> Self {
        Self {
            count: 0,
            latest: now,
        }
    }

    /// Whether there ever was one, forgotten or not.
    pub(super) fn has_any(self) -> bool {
        self.count > 0
    }

    pub(super) fn at(self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.latest).as_nanos();
        let halvings = quiet.checked_div(FORGET.as_nanos()).unwrap_or(0);
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        self.count.checked_shr(halvings).unwrap_or(0)
    }

    pub(super) fn add(&mut self, now: Instant) {
        self.count = (self.at(now) + 1).min(MAX_FALLS);
        self.latest = now;
    }
}
