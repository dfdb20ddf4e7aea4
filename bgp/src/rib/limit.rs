//! How much a peer may send.
//!
//! Counted is what its present session has sent in a family and not withdrawn: paths, where it sends
//! several for a prefix. What is kept of an earlier session, or of before a refresh, does not count:
//! until it is sent again or gone, up to three times the limit may be held. What was discarded is not
//! asked for again when there is room: a refresh brings it.

use super::Rib;
use super::attrs::EXTRA;
use super::interface::{LimitAction, LimitEvent, Output, PrefixLimit};
use super::source::{Source, SourceId};
use super::table::{Path, Slot};
use crate::types::Family;

/// How many paths for one prefix are taken from one session. Choosing looks at all paths of a
/// prefix, so without a bound a peer could make each of its paths cost more than the one before.
const PATHS_PER_PREFIX: usize = 256;

/// What the attributes of all paths of a session and family may take beyond what is usual, in units
/// of [`EXTRA`] octets: 256 MiB. A full table of today needs a tenth of that; a peer that sends other
/// 4 KiB with each prefix is stopped at 70,000.
const MOST_EXTRA: usize = (256 << 20) / EXTRA;

/// What has been said about how much a peer has sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fill {
    /// Nothing.
    Low,
    /// That it nears its limit.
    Near,
    /// That it passed it.
    Over,
    /// The same, and its session is to end: nothing more is taken from it.
    Closed,
}

/// Whether one more path is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Left,
    None,
}

impl Rib {
    /// Whether one more path of this source is taken; says so where that comes near the limit or
    /// passes it.
    pub(super) fn room_for(&mut self, id: SourceId, slot: Slot) -> Room {
        if self.is_crowded(id, slot) {
            self.sources.source_mut(id).counts.discarded += 1;
            return Room::None;
        }
        let source = self.sources.source_mut(id);
        let Some(limit) = source.limit else {
            return Room::Left;
        };
        let event = note_fill(source, &limit, source.counts.received + 1);
        let room = match limit.action {
            _ if source.counts.received < limit.max as usize => Room::Left,
            LimitAction::Warn => Room::Left,
            LimitAction::Discard | LimitAction::Restart(_) | LimitAction::Shutdown => Room::None,
        };
        source.counts.discarded += u64::from(room == Room::None);
        self.say_limit(id, slot.family, event);
        room
    }

    /// Whether the attributes of this path are taken, in place of those of `known`; says so the first
    /// time that they are not. Each path is counted as if it had its own: who else holds them may
    /// change at any time.
    pub(super) fn room_for_octets(&mut self, path: &Path, known: Option<Path>) -> Room {
        let extra = usize::from(self.attrs.facts(path.received).extra);
        let freed = known.filter(|known| known.source == path.source);
        let freed = freed.map_or(0, |known| self.attrs.facts(known.received).extra.into());
        let source = self.sources.source_mut(path.source);
        if extra <= freed || source.counts.extra - freed + extra <= MOST_EXTRA {
            return Room::Left;
        }
        source.counts.discarded += 1;
        Room::None
    }

    /// Says the first time that attributes are not taken.
    pub(super) fn say_bulky(&mut self, id: SourceId, family: Family) {
        let source = self.sources.source_mut(id);
        let was_said = std::mem::replace(&mut source.bulky_said, true);
        let event = LimitEvent::Bulky {
            octets: MOST_EXTRA * EXTRA,
        };
        self.say_limit(id, family, (!was_said).then_some(event));
    }

    /// A peer has another limit, or none: what it has sent already counts.
    pub(super) fn set_limit(&mut self, id: SourceId, family: Family, limit: Option<PrefixLimit>) {
        let source = self.sources.source_mut(id);
        if source.limit == limit {
            return;
        }
        source.limit = limit;
        source.fill = Fill::Low;
        let received = source.counts.received;
        let event = limit.and_then(|limit| note_fill(source, &limit, received));
        self.say_limit(id, family, event);
    }

    fn is_crowded(&self, id: SourceId, slot: Slot) -> bool {
        let paths = self.tables.entry(slot).paths.as_slice();
        let session = self.sources.session_of(id);
        let of_session = |path: &&Path| self.sources.session_of(path.source) == session;
        session != id
            && paths.len() >= PATHS_PER_PREFIX
            && paths.iter().filter(of_session).count() >= PATHS_PER_PREFIX
    }

    /// What is still to be heard is not said twice: a peer may go up and down around its limit a
    /// thousand times in what it sends at once.
    fn say_limit(&mut self, id: SourceId, family: Family, event: Option<LimitEvent>) {
        let (Some(event), Some(peer)) = (event, self.sources.source(id).peer) else {
            return;
        };
        let said = Output::Limit {
            peer,
            family,
            event,
        };
        if !self.outputs.contains(&said) {
            self.outputs.push_back(said);
        }
    }
}

impl Source {
    /// Whether its session is to end because it sent too much.
    pub(super) fn is_closed(&self) -> bool {
        self.fill == Fill::Closed
    }

    /// Fewer paths may mean that nearing the limit is worth saying again. Only a tenth below: a
    /// peer that goes up and down around a number is not.
    pub(super) fn note_fewer(&mut self) {
        let Some(limit) = self.limit else {
            return;
        };
        let quiet = limit.warn_at - limit.warn_at / 10;
        if self.fill < Fill::Closed && self.counts.received < quiet as usize {
            self.fill = Fill::Low;
        }
    }
}

/// What there is to say of so many paths that has not been said yet.
fn note_fill(source: &mut Source, limit: &PrefixLimit, received: usize) -> Option<LimitEvent> {
    let (fill, event) = if received > limit.max as usize {
        let fill = match limit.action {
            LimitAction::Warn | LimitAction::Discard => Fill::Over,
            LimitAction::Restart(_) | LimitAction::Shutdown => Fill::Closed,
        };
        (fill, LimitEvent::Exceeded(*limit))
    } else if received >= limit.warn_at as usize {
        (Fill::Near, LimitEvent::Near(*limit))
    } else {
        return None;
    };
    let news = source.fill < fill;
    if news {
        source.fill = fill;
    }
    news.then_some(event)
}
