//! Adj-RIB-In: what arrives is filtered and stored, as received and as accepted.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::attrs::{AttrsId, Leads};
use super::ingress::Ingress;
use super::interface::{Output, Step};
use super::limit::Room;
use super::source::{Life, SourceId, index_of};
use super::stale::Kept;
use super::table::{AHEAD, Path, Slot};
use super::{Peer, Rib};
use crate::attrs::Attrs;
use crate::filter::{Filter, Outcome};
use crate::route::RouteEvent;
use crate::types::{Family, PathId, PeerId, Prefix};

/// What one UPDATE became under the rule that accepted its last prefix: prefixes of an UPDATE
/// usually share the rule as well.
type Applied = Option<(Outcome, AttrsId)>;

/// Whose paths of a family arrive, and what becomes of them.
struct Intake {
    import: Arc<Filter>,
    ingress: Ingress,
    /// By family, where the session carries it.
    sources: [Option<Arrival>; Family::ALL.len()],
}

/// The sources that a path of one family belongs to.
#[derive(Clone, Copy)]
struct Arrival {
    session: SourceId,
    /// What is kept until it is sent again.
    kept: Option<Kept>,
}

impl Rib {
    pub(super) fn on_routes(&mut self, id: PeerId, events: Vec<RouteEvent>, now: Instant) {
        let mut touched = 0;
        for (number, event) in events.iter().enumerate() {
            if number == touched {
                touched += self.touch_events(&events[number..]);
            }
            // Each event may change what the next belongs to.
            let Some(intake) = self.peers.get(&id).and_then(Peer::intake) else {
                return;
            };
            match event {
                RouteEvent::Announce {
                    attrs,
                    prefixes,
                    path_ids,
                } => self.announce(&intake, attrs, prefixes, path_ids),
                RouteEvent::Withdraw { prefixes, path_ids } => {
                    for (place, prefix, path_id) in numbered(prefixes, path_ids) {
                        self.touch_further(prefixes, place);
                        self.withdraw(&intake, prefix, path_id);
                    }
                }
                RouteEvent::EndOfRib(family) => self.on_end_of_rib(id, *family),
                RouteEvent::RefreshBegins(family) => self.on_refresh_begins(id, *family, now),
                RouteEvent::RefreshEnds(family) => self.on_refresh_ends(id, *family),
            }
        }
    }

    /// Touches what the first of these events begin with, and returns how many.
    fn touch_events(&self, events: &[RouteEvent]) -> usize {
        let mut prefixes = 0;
        let fits = |event: &&RouteEvent| {
            let is_first = prefixes == 0;
            prefixes += event.prefix_count();
            is_first || prefixes <= AHEAD
        };
        let count = events.iter().take_while(fits).count();
        let ahead = events[..count].iter().flat_map(RouteEvent::prefixes);
        self.touch(ahead.take(AHEAD));
        count
    }

    /// Touches the next prefixes of an event that has many of them.
    fn touch_further(&self, prefixes: &[Prefix], place: usize) {
        if place > 0 && place.is_multiple_of(AHEAD) {
            self.touch(prefixes[place..].iter().take(AHEAD));
        }
    }

    fn touch<'a>(&self, prefixes: impl Iterator<Item = &'a Prefix>) {
        self.attrs.touch(&self.tables.touch(prefixes));
    }

    fn announce(
        &mut self,
        intake: &Intake,
        attrs: &Arc<Attrs>,
        prefixes: &[Prefix],
        path_ids: &[PathId],
    ) {
        let mut sessions = intake.sources.iter().flatten();
        if sessions.any(|arrival| self.sources.source(arrival.session).is_closed()) {
            return;
        }
        let received = self.attrs.acquire(attrs);
        let refusal = intake.ingress.refusal(attrs, self.attrs.facts(received));
        if self.attrs.facts(received).nexthop == Leads::ToUs {
            self.say_nexthop_ours(intake, attrs, prefixes);
        }
        let import = Arc::clone(&intake.import);
        let prepared = import.prepare(attrs);
        let mut applied = None;
        for (place, prefix, path_id) in numbered(prefixes, path_ids) {
            self.touch_further(prefixes, place);
            let Some(arrival) = intake.arrival(prefix) else {
                continue;
            };
            let accepted = match refusal {
                Some(_) => None,
                None => {
                    let rule = import.accepting_rule_of(&prepared, prefix, attrs);
                    self.import(intake, rule, received, Life::Alive, &mut applied)
                }
            };
            self.attrs.retain(received);
            let path = Path {
                source: self.sources.find_or_insert(arrival.session, path_id),
                received,
                accepted,
            };
            let kept = arrival.kept.iter().flat_map(Kept::sources);
            let kept = kept.filter_map(|kept| self.sources.find(kept, path_id));
            let kept: SmallVec<[SourceId; 2]> = kept.collect();
            self.set_path(prefix, path, &kept);
        }
        self.release_applied(applied);
        self.attrs.release(received);
    }

    fn say_nexthop_ours(&mut self, intake: &Intake, attrs: &Attrs, prefixes: &[Prefix]) {
        let arrival = prefixes.first().and_then(|prefix| intake.arrival(prefix));
        let (Some(arrival), Some(nexthop)) = (arrival, attrs.nexthop) else {
            return;
        };
        let source = self.sources.source_mut(arrival.session);
        let was_said = std::mem::replace(&mut source.nexthop_said, true);
        if let (false, Some(peer)) = (was_said, source.peer) {
            self.outputs
                .push_back(Output::NexthopOurs { peer, nexthop });
        }
    }

    /// The attributes after the import filter, held once for the caller.
    fn import(
        &mut self,
        intake: &Intake,
        rule: Option<Outcome>,
        received: AttrsId,
        life: Life,
        applied: &mut Applied,
    ) -> Option<AttrsId> {
        let import = &intake.import;
        let rule = rule?;
        if let Some((last, accepted)) = *applied
            && last == rule
        {
            self.attrs.retain(accepted);
            return Some(accepted);
        }
        let attrs = import.apply(rule, self.attrs.value(received), self.config.local_asn);
        let attrs = intake.ingress.treat(attrs, life);
        let accepted = self.attrs.acquire(&attrs);
        self.attrs.retain(accepted);
        self.release_applied(applied.replace((rule, accepted)));
        Some(accepted)
    }

    fn release_applied(&mut self, applied: Applied) {
        if let Some((_, accepted)) = applied {
            self.attrs.release(accepted);
        }
    }

    fn withdraw(&mut self, intake: &Intake, prefix: &Prefix, path_id: Option<PathId>) {
        let (Some(arrival), Some(slot)) = (intake.arrival(prefix), self.tables.find(prefix)) else {
            return;
        };
        let kept = arrival.kept.iter().flat_map(Kept::sources);
        for session in std::iter::once(arrival.session).chain(kept) {
            if let Some(source) = self.sources.find(session, path_id)
                && self.remove_path(slot, source) == Removal::Done
            {
                return;
            }
        }
    }

    /// Stores a path in place of the one its source had, and chooses again.
    ///
    /// - `kept`: sources of an earlier session whose path this one takes the place of
    pub(super) fn set_path(&mut self, prefix: &Prefix, path: Path, kept: &[SourceId]) {
        self.review_prefix(prefix);
        let slot = self.tables.find_or_insert(prefix);
        let entry = self.tables.entry(slot);
        let before = entry.chosen();
        let is_known = |known: &Path| known.source == path.source || kept.contains(&known.source);
        let place = entry.paths.as_slice().iter().position(is_known);
        let known = place.map(|place| entry.paths.as_slice()[place]);
        if known == Some(path) {
            self.release_path(&path);
            return;
        }
        if self.room_for_octets(&path, known) == Room::None {
            self.release_path(&path);
            self.say_bulky(path.source, slot.family);
            self.sources.free_if_gone(path.source);
            // What the peer said before holds no longer.
            return match place {
                Some(place) => {
                    self.take_path(slot, place);
                    self.choose(slot, before);
                }
                None => self.free_if_unused(slot),
            };
        }
        let is_new = known.is_none_or(|known| known.source != path.source);
        if is_new && self.room_for(path.source, slot) == Room::None {
            self.release_path(&path);
            self.sources.free_if_gone(path.source);
            self.free_if_unused(slot);
            return;
        }
        let stays = before.is_some_and(|best| self.leaves_best(best, known, path));
        if is_new {
            self.sources.count_received(path.source);
        }
        self.count_path(&path);
        let entry = self.tables.entry_mut(slot);
        match (place, known) {
            (Some(place), Some(old)) => {
                entry.paths.as_mut_slice()[place] = path;
                self.uncount_path(&old);
                if is_new {
                    self.sources.uncount_received(old.source);
                }
                self.release_path(&old);
            }
            _ => {
                let first = entry.paths.as_slice().is_empty();
                self.occupied[index_of(slot.family)] += usize::from(first);
                entry.paths.push(path);
            }
        }
        if stays {
            self.owe_paths(slot);
        } else {
            self.choose(slot, before);
        }
    }

    /// Removes the path of a source, if it has one, and chooses again.
    pub(super) fn remove_path(&mut self, slot: Slot, source: SourceId) -> Removal {
        let entry = self.tables.entry(slot);
        let before = entry.chosen();
        let paths = entry.paths.as_slice();
        let Some(index) = paths.iter().position(|path| path.source == source) else {
            return Removal::NotThere;
        };
        self.take_path(slot, index);
        self.choose(slot, before);
        Removal::Done
    }

    /// Takes a path out of the table. The caller chooses again.
    pub(super) fn take_path(&mut self, slot: Slot, index: usize) {
        let paths = &mut self.tables.entry_mut(slot).paths;
        let Some(path) = paths.as_slice().get(index).copied() else {
            return;
        };
        paths.remove(index);
        self.occupied[index_of(slot.family)] -= usize::from(paths.as_slice().is_empty());
        self.uncount_path(&path);
        self.sources.uncount_received(path.source);
        self.release_path(&path);
    }

    /// Runs the path at `index` through the import filter again. The caller chooses again.
    pub(super) fn refilter_path(&mut self, slot: Slot, index: usize) {
        let Some(old) = self.tables.entry(slot).paths.as_slice().get(index).copied() else {
            return;
        };
        let source = self.sources.source(old.source);
        let life = source.life;
        let peer = source.peer.and_then(|id| self.peers.get(&id));
        let Some(intake) = peer.map(Peer::filtering) else {
            return;
        };
        let prefix = self.tables.prefix(slot);
        let mut applied = None;
        let accepted = match self.refusal(&intake.ingress, old.received) {
            Some(_) => None,
            None => {
                let rule = intake
                    .import
                    .accepting_rule(&prefix, self.attrs.value(old.received));
                self.import(&intake, rule, old.received, life, &mut applied)
            }
        };
        self.release_applied(applied);
        self.attrs.retain(old.received);
        let path = Path { accepted, ..old };
        self.uncount_path(&old);
        self.count_path(&path);
        let paths = self.tables.entry_mut(slot).paths.as_mut_slice();
        paths[index] = path;
        self.release_path(&old);
    }

    /// Why a path was refused whatever the filter says, if it was.
    pub(super) fn refusal(&self, ingress: &Ingress, received: AttrsId) -> Option<Step> {
        ingress.refusal(self.attrs.value(received), self.attrs.facts(received))
    }

    fn release_path(&mut self, path: &Path) {
        self.attrs.release(path.received);
        if let Some(accepted) = path.accepted {
            self.attrs.release(accepted);
        }
    }

    fn count_path(&mut self, path: &Path) {
        let counts = &mut self.sources.source_mut(path.source).counts;
        counts.accepted += usize::from(path.accepted.is_some());
        counts.extra += usize::from(self.attrs.facts(path.received).extra);
    }

    fn uncount_path(&mut self, path: &Path) {
        let counts = &mut self.sources.source_mut(path.source).counts;
        counts.accepted -= usize::from(path.accepted.is_some());
        // Hardly any peer has any: its sets are not looked at.
        if counts.extra > 0 {
            counts.extra -= usize::from(self.attrs.facts(path.received).extra);
        }
    }
}

/// Whether there was a path to remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removal {
    Done,
    NotThere,
}

impl Peer {
    /// What becomes of paths from it; `None` while its session is not established.
    fn intake(&self) -> Option<Intake> {
        let session = self.session.as_ref()?;
        let arrival = |index: usize| {
            Some(Arrival {
                session: session.sources[index]?,
                kept: self.kept[index],
            })
        };
        Some(Intake {
            sources: std::array::from_fn(arrival),
            ..self.filtering()
        })
    }

    fn filtering(&self) -> Intake {
        Intake {
            import: Arc::clone(&self.config.import),
            ingress: self.ingress,
            sources: Default::default(),
        }
    }
}

impl Intake {
    fn arrival(&self, prefix: &Prefix) -> Option<Arrival> {
        self.sources[index_of(Family::of(prefix))]
    }
}

/// Each prefix with its place in the event, and its path identifier where there is one.
fn numbered<'a>(
    prefixes: &'a [Prefix],
    path_ids: &'a [PathId],
) -> impl Iterator<Item = (usize, &'a Prefix, Option<PathId>)> {
    let path_id = |place| path_ids.get(place).copied();
    let places = prefixes.iter().enumerate();
    places.map(move |(place, prefix)| (place, prefix, path_id(place)))
}
