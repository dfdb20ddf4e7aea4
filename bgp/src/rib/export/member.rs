//! One peer of a group: how far it has been told what the group was sent.

use super::super::bitset::BitSet;
use super::super::source::index_of;
use super::super::table::Slot;
use super::{Marks, Retired};
use crate::types::{Family, FamilySet};

/// One established peer.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) progress: Progress,
    /// Families that it has asked for again (RFC 2918).
    again: [Option<Again>; Family::ALL.len()],
    /// Families whose full table it is owed and has not been told the end of.
    owed: FamilySet,
    marks: Marks,
    pub(super) ready: Ready,
}

/// How a member is told of changes.
#[derive(Debug)]
pub(super) enum Progress {
    /// It reads the log, from here.
    InStep(u64),
    /// It is told by place, until nothing is left.
    CatchingUp(Box<[CatchUp; Family::ALL.len()]>),
}

/// One family of a member that catches up: two bits a prefix.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// Places that it has been told of.
    pub(super) told: BitSet,
    /// Places where that may differ from what the group was sent.
    pub(super) dirty: BitSet,
    /// Where the next look begins.
    pub(super) position: usize,
}

/// What is sent again, changed or not.
#[derive(Debug)]
struct Again {
    places: BitSet,
    begin: Begin,
}

/// Whether the mark at the beginning of a refresh has been sent (RFC 7313 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begin {
    Due,
    Marked,
}

/// A mark between UPDATEs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// A refresh begins (RFC 7313 §4, BoRR).
    RefreshBegins(Family),
    /// A refresh is complete (RFC 7313 §4, EoRR).
    RefreshEnds(Family),
    /// Everything has been sent (RFC 4724 §2).
    EndOfRib(Family),
}

/// Whether [`Output::ExportReady`](super::super::Output::ExportReady) has been said since the
/// member was last told everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ready {
    NotSaid,
    Said,
}

impl Member {
    /// A member that has been told nothing and is owed everything.
    pub(super) fn new(progress: Progress, families: FamilySet, marks: Marks) -> Self {
        Self {
            progress,
            again: Default::default(),
            owed: families,
            marks,
            ready: Ready::NotSaid,
        }
    }

    /// It wants everything of a family again.
    pub(super) fn ask_again(&mut self, family: Family, places: BitSet) {
        let begin = match self.marks {
            Marks::Enhanced => Begin::Due,
            Marks::EndOfRib => Begin::Marked,
        };
        self.again[index_of(family)] = Some(Again { places, begin });
    }

    /// The mark that is to be sent before anything is sent again.
    pub(super) fn begin_again(&mut self) -> Option<Mark> {
        let mut asked = Family::ALL.into_iter().zip(&mut self.again);
        let (family, again) = asked.find_map(|(family, again)| {
            let due = again.as_mut().filter(|again| again.begin == Begin::Due)?;
            Some((family, due))
        })?;
        again.begin = Begin::Marked;
        Some(Mark::RefreshBegins(family))
    }

    /// The next place whose prefix is sent again.
    pub(super) fn next_again(&mut self) -> Option<(Family, usize)> {
        Family::ALL.into_iter().find_map(|family| {
            let places = &mut self.again[index_of(family)].as_mut()?.places;
            let place = places.next_from(0)?;
            places.remove(place);
            Some((family, place))
        })
    }

    /// What says that everything owed has been sent; called when it has.
    ///
    /// - `is_complete`: whether the group has been sent everything of a family
    pub(super) fn next_end(&mut self, is_complete: impl Fn(Family) -> bool) -> Option<Mark> {
        for family in Family::ALL {
            if self.again[index_of(family)].take().is_some() {
                return Some(match self.marks {
                    Marks::Enhanced => Mark::RefreshEnds(family),
                    Marks::EndOfRib => Mark::EndOfRib(family),
                });
            }
        }
        let mut owed = self.owed.iter();
        let family = owed.find(|family| is_complete(*family))?;
        self.owed.remove(family);
        Some(Mark::EndOfRib(family))
    }

    /// Whether it has no place in mind.
    pub(super) fn is_quiet(&self) -> bool {
        let is_in_step = matches!(self.progress, Progress::InStep(_));
        is_in_step && self.again.iter().all(Option::is_none)
    }

    pub(super) fn catch_up_mut(&mut self, family: Family) -> Option<&mut CatchUp> {
        match &mut self.progress {
            Progress::InStep(_) => None,
            Progress::CatchingUp(families) => Some(&mut families[index_of(family)]),
        }
    }
}

impl Member {
    /// The places that are kept for it, when it is gone.
    pub(super) fn kept(&self) -> impl Iterator<Item = Retired> + use<> {
        let families = match &self.progress {
            Progress::InStep(_) => None,
            Progress::CatchingUp(families) => Some(families),
        };
        let kept = families.map(|families| {
            Family::ALL.map(|family| {
                let places = families[index_of(family)].pinned().collect();
                Retired::Kept(family, places)
            })
        });
        kept.into_iter().flatten()
    }
}

impl CatchUp {
    /// It holds nothing, and all places below `end` are to be looked at.
    pub(super) fn from_nothing(end: usize) -> Self {
        let mut dirty = BitSet::default();
        dirty.fill(end);
        Self {
            told: BitSet::default(),
            dirty,
            position: 0,
        }
    }

    /// Places that are kept for this member: it has been told of a prefix there and may have to be
    /// told otherwise.
    pub(super) fn pinned(&self) -> impl Iterator<Item = usize> + '_ {
        // One that has just come up is to look at everything and has been told nothing.
        self.dirty.common(&self.told)
    }

    /// Appends places to look at until there are `limit` in all, in a circle.
    pub(super) fn next_places(&mut self, family: Family, limit: usize, out: &mut Vec<Slot>) {
        if self.dirty.next_from(self.position).is_none() {
            self.position = 0;
        }
        while out.len() < limit
            && let Some(index) = self.dirty.next_from(self.position)
        {
            out.push(Slot { family, index });
            self.position = index + 1;
        }
    }

    pub(super) fn set_told(&mut self, place: usize, told: bool) {
        if told {
            self.told.insert(place);
        } else {
            self.told.remove(place);
        }
    }
}
