//! Which link's measured figure is better than which other's, and for how long.

use std::time::{Duration, Instant};

use super::longer;

/// A link whose figure is better than that of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    pub(super) since: Instant,
    /// Of the better link, when it began.
    pub(super) falls: u32,
    /// It has lasted.
    pub(super) counts: bool,
}

impl Lead {
    /// How long it has to last.
    pub(super) fn needed(&self, hold_down: Duration) -> Duration {
        longer(hold_down, self.falls)
    }

    /// When it will have lasted; `None` if it has.
    pub(super) fn counts_at(&self, hold_down: Duration) -> Option<Instant> {
        (!self.counts).then(|| self.since + self.needed(hold_down))
    }
}

/// The leads of links over each other, by their places.
#[derive(Clone, Default, Debug)]
pub(super) struct Leads {
    size: usize,
    /// Rows of the better ones.
    cells: Vec<Option<Lead>>,
}

impl Leads {
    pub(super) fn get(&self, a: usize, b: usize) -> Option<Lead> {
        *self.cells.get(a * self.size + b)?
    }

    pub(super) fn set(&mut self, a: usize, b: usize, lead: Option<Lead>) {
        if let Some(cell) = self.cells.get_mut(a * self.size + b) {
            *cell = lead;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lead> {
        self.cells.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lead> {
        self.cells.iter_mut().flatten()
    }

    /// Ends all leads of a link and over it.
    pub(super) fn forget(&mut self, place: usize) {
        for other in 0..self.size {
            self.set(place, other, None);
            self.set(other, place, None);
        }
    }

    pub(super) fn clear(&mut self) {
        self.cells.fill(None);
    }

    /// The same leads where links have other places.
    ///
    /// - `was`: for each new place the old one
    pub(super) fn moved(&self, was: Vec<Option<usize>>) -> Self {
        let pairs = was.iter().flat_map(|a| was.iter().map(move |b| (*a, *b)));
        let cell = |(a, b): (Option<usize>, Option<usize>)| self.get(a?, b?);
        Self {
            cells: pairs.map(cell).collect(),
            size: was.len(),
        }
    }
}
