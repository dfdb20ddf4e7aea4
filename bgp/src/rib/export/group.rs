//! Update groups: peers that are told the same in the same words.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::super::attrs::{AttrsId, AttrsTable};
use super::super::bitset::BitSet;
use super::super::interface::{LimitEvent, Output};
use super::super::source::index_of;
use super::super::table::{Slot, Tables};
use super::batch::{Audience, Batch, Change};
use super::log::Log;
use super::member::{CatchUp, Member, Progress, Ready};
use super::policy::{Key, Policy};
use super::several::{PathTable, SentPaths};
use super::{Marks, Retired, Sent, Whose};
use crate::types::{Family, PathId, PeerId, Prefix};

/// Names a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::rib) struct GroupId(usize);

/// Every update group that has members.
#[derive(Debug)]
pub(in crate::rib) struct Groups {
    groups: Vec<Option<Box<Group>>>,
    free: Vec<GroupId>,
    /// How many are told of several paths for a prefix.
    several: usize,
    hasher: FixedState,
}

/// Peers whose export result is identical, and what they were sent.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) policy: Policy,
    pub(super) members: BTreeMap<PeerId, Member>,
    pub(super) tables: [OutTable; Family::ALL.len()],
    pub(super) log: Log,
    /// Members that read the log.
    readers: usize,
    /// Who gains from what is dirty.
    interest: Interest,
    /// Who has been told so.
    woken: Interest,
}

/// One family of an Adj-RIB-Out. Eight bytes a prefix for all members, and a bit.
#[derive(Clone, Debug)]
pub(super) struct OutTable {
    /// By place.
    sent: Vec<Option<Sent>>,
    /// How many there are, and of them how many by whose they are.
    count: usize,
    by_source: HashMap<Whose, usize, FixedState>,
    /// Places that the members may have to be told about.
    pub(super) dirty: BitSet,
    /// Where the next look begins.
    pub(super) position: usize,
    /// In place of `sent` where members are told of several paths.
    pub(super) paths: PathTable,
    /// Places of prefixes beyond the limit of the only member.
    held_back: BitSet,
    /// Whether that has been said.
    held_back_said: bool,
}

/// The places of what a group was sent, and by whose they are those of some members.
struct SentBeside {
    all: BitSet,
    apart: BTreeMap<Whose, Vec<usize>>,
}

/// Who gains from looking at what is dirty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Interest {
    Nobody,
    /// The changes are about paths of this one.
    AllBut(Whose),
    Everybody,
}

impl Interest {
    fn widened(self, but: Option<Whose>) -> Self {
        match (self, but) {
            (Self::Nobody, Some(whose)) => Self::AllBut(whose),
            (Self::AllBut(known), Some(whose)) if known == whose => self,
            _ => Self::Everybody,
        }
    }

    fn includes(self, member: Whose) -> bool {
        match self {
            Self::Nobody => false,
            Self::AllBut(whose) => whose != member,
            Self::Everybody => true,
        }
    }
}

impl OutTable {
    fn new(hasher: FixedState) -> Self {
        Self {
            sent: Vec::new(),
            count: 0,
            by_source: HashMap::with_hasher(hasher.clone()),
            paths: PathTable::with_hasher(hasher),
            dirty: BitSet::default(),
            position: 0,
            held_back: BitSet::default(),
            held_back_said: false,
        }
    }

    pub(super) fn sent(&self, index: usize) -> Option<Sent> {
        self.sent.get(index).copied().flatten()
    }

    pub(super) fn set_sent(&mut self, index: usize, sent: Option<Sent>) {
        if index >= self.sent.len() {
            self.sent.resize(index + 1, None);
        }
        let old = std::mem::replace(&mut self.sent[index], sent);
        if old.map(|old| old.whose) == sent.map(|sent| sent.whose) {
            return;
        }
        if let Some(Sent { whose, .. }) = old {
            self.count -= 1;
            self.uncount(whose);
        }
        if let Some(Sent { whose, .. }) = sent {
            self.count += 1;
            *self.by_source.entry(whose).or_default() += 1;
        }
    }

    /// A peer of which nothing is sent any more leaves nothing behind: peers come and go.
    fn uncount(&mut self, whose: Whose) {
        if let Entry::Occupied(mut count) = self.by_source.entry(whose) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// What was sent, with the paths of these peers apart.
    fn sent_beside(&self, ids: &[PeerId]) -> SentBeside {
        let apart = ids.iter().map(|id| (Whose::of(Some(*id)), Vec::new()));
        let mut beside = SentBeside {
            all: BitSet::default(),
            apart: apart.collect(),
        };
        let places = self.sent.iter().enumerate();
        for (place, whose) in places.filter_map(|(place, sent)| Some((place, (*sent)?.whose))) {
            beside.all.insert(place);
            if let Some(own) = beside.apart.get_mut(&whose) {
                own.push(place);
            }
        }
        beside
    }

    /// How many prefixes a member in step has been told of.
    fn count_for(&self, member: Whose) -> usize {
        self.paths.len() + self.count - self.by_source.get(&member).copied().unwrap_or_default()
    }

    /// The next place to look at, in a circle.
    fn next_dirty(&mut self) -> Option<usize> {
        let found = self.dirty.next_from(self.position);
        let place = found.or_else(|| self.dirty.next_from(0))?;
        self.position = place + 1;
        Some(place)
    }

    pub(super) fn into_retired(self, family: Family) -> [Retired; 2] {
        [
            Retired::Sent(family, self.sent),
            Retired::Paths(family, 0, self.paths),
        ]
    }
}

impl SentBeside {
    /// Places that a member in step has been told of.
    fn to(&self, member: Whose) -> BitSet {
        let mut told = self.all.clone();
        for place in self.apart.get(&member).into_iter().flatten() {
            told.remove(*place);
        }
        told
    }
}

impl Groups {
    pub(in crate::rib) fn new(hasher: FixedState) -> Self {
        Self {
            groups: Vec::new(),
            free: Vec::new(),
            several: 0,
            hasher,
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<GroupId> {
        let same = |group: &Option<Box<Group>>| {
            group
                .as_ref()
                .is_some_and(|group| group.policy.key() == key)
        };
        self.groups.iter().position(same).map(GroupId)
    }

    pub(super) fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id.0)?.as_deref_mut()
    }

    /// Takes a group out, to be put back in its place. It misses what is owed meanwhile.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Box<Group>> {
        self.groups.get_mut(id.0)?.take()
    }

    pub(super) fn put(&mut self, id: GroupId, group: Box<Group>) {
        if let Some(place) = self.groups.get_mut(id.0) {
            *place = Some(group);
        }
    }

    pub(super) fn insert(&mut self, group: Box<Group>) -> GroupId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupId(self.groups.len() - 1)
        });
        self.several += usize::from(group.policy.key().has_several_paths_at_all());
        self.put(id, group);
        id
    }

    /// A group that was taken out does not come back.
    pub(super) fn vacate(&mut self, id: GroupId, group: &Group) {
        self.several -= usize::from(group.policy.key().has_several_paths_at_all());
        self.free.push(id);
    }

    /// Whether anybody is told of several paths for a prefix.
    pub(super) fn has_several_paths(&self) -> bool {
        self.several > 0
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.iter_mut().flatten().map(|group| &mut **group)
    }

    /// Whether no free place is in mind of any group.
    pub(in crate::rib) fn are_quiet(&self) -> bool {
        self.groups.iter().flatten().all(|group| group.is_quiet())
    }

    /// The table has become shorter.
    pub(in crate::rib) fn shrink(&mut self, tables: &Tables) {
        for group in self.iter_mut() {
            for family in Family::ALL {
                let sent = &mut group.table_mut(family).sent;
                sent.truncate(tables.end(family));
                sent.shrink_to_fit();
            }
        }
    }

    /// A group without members that was sent nothing.
    pub(super) fn empty(&self, key: Key) -> Group {
        let table = |_| OutTable::new(self.hasher.clone());
        Group::new(key, self.hasher.clone(), Family::ALL.map(table))
    }

    /// A group without members that was sent the same as another; what it holds of attributes and
    /// places is held anew.
    pub(super) fn branch(
        &self,
        from: &Group,
        key: Key,
        attrs: &mut AttrsTable,
        tables: &mut Tables,
    ) -> Group {
        for (family, table) in Family::ALL.into_iter().zip(&from.tables) {
            for (index, sent) in table.sent.iter().enumerate() {
                if let Some(sent) = sent {
                    attrs.retain(sent.attrs);
                    tables.entry_mut(Slot { family, index }).told += 1;
                }
            }
        }
        Group::new(key, self.hasher.clone(), from.tables.clone())
    }
}

impl Group {
    fn new(key: Key, hasher: FixedState, tables: [OutTable; Family::ALL.len()]) -> Self {
        Self {
            policy: Policy::new(key, hasher),
            members: BTreeMap::new(),
            tables,
            log: Log::default(),
            readers: 0,
            interest: Interest::Nobody,
            woken: Interest::Nobody,
        }
    }

    pub(super) fn table(&self, family: Family) -> &OutTable {
        &self.tables[index_of(family)]
    }

    pub(super) fn table_mut(&mut self, family: Family) -> &mut OutTable {
        &mut self.tables[index_of(family)]
    }

    pub(super) fn carries(&self, family: Family) -> bool {
        self.policy.key().families().contains(family)
    }

    pub(super) fn has_several_paths(&self, family: Family) -> bool {
        self.policy.key().has_several_paths(family)
    }

    /// Whether this member gains nothing from what is dirty.
    pub(super) fn is_complete_for(&self, member: Whose, family: Family) -> bool {
        self.table(family).dirty.is_empty() || !self.interest.includes(member)
    }

    /// Whether no free place is in mind of it or its members.
    fn is_quiet(&self) -> bool {
        self.tables.iter().all(|table| table.dirty.is_empty())
            && self.log.spent.is_empty()
            && self.members.values().all(Member::is_quiet)
    }

    fn is_member(&self, whose: Whose) -> bool {
        whose
            .peer()
            .is_some_and(|id| self.members.contains_key(&id))
    }

    /// Everything is to be looked at, by everybody.
    pub(super) fn owe_all(&mut self, tables: &Tables) {
        for family in self.policy.key().families().iter() {
            self.table_mut(family).dirty.fill(tables.end(family));
        }
        self.interest = Interest::Everybody;
    }

    /// The members are told by other rules. What waits for room is judged anew.
    pub(super) fn change_key(&mut self, key: Key, attrs: &mut AttrsTable, tables: &Tables) {
        self.policy.change_key(key, attrs);
        for table in &mut self.tables {
            table.held_back = BitSet::default();
            table.held_back_said = false;
        }
        self.owe_all(tables);
    }

    /// Adds a member that has been told nothing.
    pub(super) fn join(&mut self, id: PeerId, marks: Marks, tables: &Tables) {
        let families = self.policy.key().families();
        let progress = if self.members.is_empty() {
            self.owe_all(tables);
            self.readers += 1;
            Progress::InStep(self.log.end())
        } else {
            let catch_up = |family| match families.contains(family) {
                true => CatchUp::from_nothing(tables.end(family)),
                false => CatchUp::default(),
            };
            Progress::CatchingUp(Box::new(Family::ALL.map(catch_up)))
        };
        self.members
            .insert(id, Member::new(progress, families, marks));
    }

    /// Notes that a prefix may have to be told about.
    ///
    /// - `best`: whose path is chosen now
    pub(super) fn owe(&mut self, slot: Slot, best: Option<Whose>, outputs: &mut VecDeque<Output>) {
        if !self.carries(slot.family) {
            return;
        }
        if self.has_several_paths(slot.family) {
            self.table_mut(slot.family).dirty.insert(slot.index);
            self.interest = Interest::Everybody;
            if self.interest != self.woken {
                self.wake(outputs);
            }
            return;
        }
        let alone = self.policy.key().alone();
        let table = self.table_mut(slot.family);
        let sent = table.sent(slot.index).map(|sent| sent.whose);
        // The only member has no interest in its own path, so it will not look at this one again.
        if alone.is_some_and(|member| best == Some(Whose::of(Some(member)))) {
            table.held_back.remove(slot.index);
        }
        if best.is_none() && sent.is_none() {
            table.held_back.remove(slot.index);
            if table.dirty.remove(slot.index) {
                // It may have been about to take room that another one waits for.
                self.release_held_back(slot.family);
                if self.interest != self.woken {
                    self.wake(outputs);
                }
            }
            return;
        }
        table.dirty.insert(slot.index);
        let but = match (best, sent) {
            (Some(best), Some(sent)) => (best == sent).then_some(best),
            (one, other) => one.or(other),
        };
        self.interest = self.interest.widened(but);
        if self.interest != self.woken {
            self.wake(outputs);
        }
    }

    /// Says that there is something for the members who gain from it.
    pub(super) fn wake(&mut self, outputs: &mut VecDeque<Output>) {
        self.woken = self.interest;
        for (id, member) in &mut self.members {
            if self.interest.includes(Whose::of(Some(*id))) {
                say_ready(*id, member, outputs);
            }
        }
    }

    /// Says that there is something for every member, whatever was said before.
    pub(super) fn wake_all(&mut self, outputs: &mut VecDeque<Output>) {
        for (id, member) in &mut self.members {
            member.ready = Ready::NotSaid;
            say_ready(*id, member, outputs);
        }
    }

    /// Says that there is something for this member.
    pub(super) fn wake_one(&mut self, id: PeerId, outputs: &mut VecDeque<Output>) {
        if let Some(member) = self.members.get_mut(&id) {
            say_ready(id, member, outputs);
        }
    }

    /// The member has been told everything.
    pub(super) fn rest(&mut self, id: PeerId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.ready = Ready::NotSaid;
        }
        self.woken = Interest::Nobody;
    }

    /// The next place that this member gains from looking at.
    pub(super) fn next_dirty(&mut self, member: Whose) -> Option<Slot> {
        if !self.interest.includes(member) {
            return None;
        }
        let found = Family::ALL.into_iter().find_map(|family| {
            let index = self.table_mut(family).next_dirty()?;
            Some(Slot { family, index })
        });
        if found.is_none() {
            self.interest = Interest::Nobody;
            self.woken = Interest::Nobody;
        }
        found
    }

    /// Puts a change of what was sent where every member finds it. Returns whether it is logged.
    pub(super) fn pass_on(
        &mut self,
        (slot, prefix): (Slot, Prefix),
        (old, new): (Option<Sent>, Option<Sent>),
        batch: &mut Batch,
        attrs: &AttrsTable,
        tables: &mut Tables,
    ) -> Logged {
        if self.readers < self.members.len() {
            self.mark(slot, tables);
        }
        if self.readers == 0 {
            return Logged::No;
        }
        let policy = &self.policy;
        let none = PathId::default();
        let mut announce = |audience, id| {
            batch.announce(audience, (prefix, none, id), attrs, policy);
        };
        match (old, new) {
            (Some(old), Some(new)) if old.attrs == new.attrs => {
                if self.is_member(old.whose) {
                    announce(Audience::Only(old.whose), new.attrs);
                }
            }
            (_, Some(new)) => announce(Audience::Except(new.whose), new.attrs),
            (Some(old), None) => batch.withdraw(Audience::Except(old.whose), prefix, none),
            (None, None) => {}
        }
        if let (Some(old), Some(new)) = (old, new)
            && old.whose != new.whose
            && self.is_member(new.whose)
        {
            batch.withdraw(Audience::Only(new.whose), prefix, none);
        }
        batch.changes.push(Change {
            family: slot.family,
            index: u32::try_from(slot.index).unwrap_or(u32::MAX),
            before: old.map(|old| old.whose),
        });
        Logged::Yes
    }

    /// Members that catch up have another look.
    fn mark(&mut self, slot: Slot, tables: &mut Tables) {
        for member in self.members.values_mut() {
            if let Some(catch_up) = member.catch_up_mut(slot.family)
                && catch_up.dirty.insert(slot.index)
                && catch_up.told.contains(slot.index)
            {
                tables.entry_mut(slot).told += 1;
            }
        }
    }

    /// Appends to the log what is in the batch, and leaves behind who has not read its beginning
    /// when it gets too long.
    pub(super) fn append(
        &mut self,
        batch: &mut Batch,
        limit: usize,
        tables: &mut Tables,
        outputs: &mut VecDeque<Output>,
    ) {
        if batch.changes.is_empty() {
            return;
        }
        let packed = batch.pack(&self.policy);
        let end = self.log.end();
        let mut readers = 0;
        for (id, member) in &mut self.members {
            let Progress::InStep(cursor) = &mut member.progress else {
                continue;
            };
            let concerned = packed.concerns(Whose::of(Some(*id)));
            if *cursor == end && !concerned {
                *cursor += 1;
            } else {
                readers += 1;
                say_ready(*id, member, outputs);
            }
        }
        self.log.append(packed, batch, readers);
        while self.log.is_longer_than(limit) {
            self.leave_behind(tables);
        }
    }

    fn leave_behind(&mut self, tables: &mut Tables) {
        let log = &self.log;
        let is_last = |member: &Member| match member.progress {
            Progress::InStep(cursor) => log.is_first(cursor),
            Progress::CatchingUp(_) => false,
        };
        let members = self.members.iter();
        let last: Vec<PeerId> = members
            .filter_map(|(id, member)| is_last(member).then_some(*id))
            .collect();
        self.detach_all(&last, tables);
    }

    /// From now on these members are told by place. What was sent is looked at once for all of them.
    pub(super) fn detach_all(&mut self, ids: &[PeerId], tables: &mut Tables) {
        let sent = self.tables.each_ref().map(|table| table.sent_beside(ids));
        for id in ids {
            self.detach(*id, sent.each_ref(), tables);
        }
    }

    fn detach(&mut self, id: PeerId, sent: [&SentBeside; Family::ALL.len()], tables: &mut Tables) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let Progress::InStep(cursor) = member.progress else {
            return;
        };
        let me = Whose::of(Some(id));
        let mut families = sent.map(|sent| CatchUp {
            told: sent.to(me),
            ..CatchUp::default()
        });
        for change in self.log.unread(cursor) {
            let catch_up = &mut families[index_of(change.family)];
            let place = change.index as usize;
            catch_up.set_told(place, change.before.is_some_and(|whose| whose != me));
            catch_up.dirty.insert(place);
        }
        pin(&families, tables);
        member.progress = Progress::CatchingUp(Box::new(families));
        self.readers -= 1;
        self.log.leave(cursor);
    }

    /// A member that has caught up reads the log again.
    pub(super) fn rejoin(&mut self, id: PeerId) {
        if let Some(member) = self.members.get_mut(&id)
            && let Progress::CatchingUp(_) = member.progress
        {
            member.progress = Progress::InStep(self.log.end());
            self.readers += 1;
        }
    }

    /// Takes a member out. What it pins stays pinned.
    pub(super) fn leave(&mut self, id: PeerId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Progress::InStep(cursor) = member.progress {
            self.readers -= 1;
            self.log.leave(cursor);
        }
        Some(member)
    }

    /// How many prefixes a member has been told of, or will have been once it has read the log.
    pub(super) fn count_for(&self, id: PeerId, family: Family) -> usize {
        match self.members.get(&id).map(|member| &member.progress) {
            Some(Progress::InStep(_)) => self.table(family).count_for(Whose::of(Some(id))),
            Some(Progress::CatchingUp(families)) => families[index_of(family)].told.len(),
            None => 0,
        }
    }

    /// Puts a member that catches up beside the others, whatever it was told elsewhere: where `same` does
    /// not hold it has another look.
    pub(super) fn adopt(
        &mut self,
        id: PeerId,
        mut member: Member,
        same: impl Fn(Slot, Option<AttrsId>) -> bool,
        tables: &mut Tables,
    ) {
        let me = Whose::of(Some(id));
        for family in Family::ALL {
            let table = self.table(family);
            let Some(catch_up) = member.catch_up_mut(family) else {
                continue;
            };
            for index in 0..tables.end(family) {
                let sent = table.sent(index).filter(|sent| sent.whose != me);
                if !same(Slot { family, index }, sent.map(|sent| sent.attrs)) {
                    catch_up.dirty.insert(index);
                }
            }
        }
        if let Progress::CatchingUp(families) = &member.progress {
            pin(families, tables);
        }
        self.members.insert(id, member);
    }

    /// What a member was last sent, as far as it was handed over.
    pub(super) fn known_to(&self, id: PeerId, slot: Slot) -> Option<AttrsId> {
        if let Progress::CatchingUp(families) = &self.members.get(&id)?.progress
            && !families[index_of(slot.family)].told.contains(slot.index)
        {
            return None;
        }
        self.sent_to(Whose::of(Some(id)), slot)
    }

    /// Whether the only member is told of something that is sent.
    pub(super) fn is_told(&self, sent: Option<Sent>) -> bool {
        let alone = Whose::of(self.policy.key().alone());
        sent.is_some_and(|sent| sent.whose != alone)
    }

    /// Whether a prefix has to wait: the only member takes no more.
    ///
    /// - `before` and `after`: whether it is told of this prefix now, and is to be
    pub(super) fn holds_back(
        &mut self,
        slot: Slot,
        (before, after): (bool, bool),
        outputs: &mut VecDeque<Output>,
    ) -> bool {
        let key = self.policy.key();
        let (Some(limit), Some(member)) = (key.send_limit(slot.family), key.alone()) else {
            return false;
        };
        let table = self.table_mut(slot.family);
        let others = table.count_for(Whose::of(Some(member))) - usize::from(before);
        table.held_back.remove(slot.index);
        if after && others >= limit {
            table.held_back.insert(slot.index);
            if !std::mem::replace(&mut table.held_back_said, true) {
                outputs.push_back(Output::Limit {
                    peer: member,
                    family: slot.family,
                    event: LimitEvent::HeldBack { max: limit },
                });
            }
        }
        let waits = table.held_back.contains(slot.index);
        // Also when this one was to have the room, and is no longer wanted.
        if others + usize::from(after && !waits) < limit {
            self.release_held_back(slot.family);
        }
        waits
    }

    /// There is room for one more: the first that waits is looked at again.
    fn release_held_back(&mut self, family: Family) {
        let table = self.table_mut(family);
        if let Some(first) = table.held_back.next_from(0) {
            table.held_back.remove(first);
            table.dirty.insert(first);
            self.interest = Interest::Everybody;
        }
    }

    /// How many prefixes wait because the member takes no more.
    pub(super) fn held_back_count(&self, family: Family) -> usize {
        self.table(family).held_back.len()
    }

    /// The paths that a member was sent for a prefix: one, except where it takes several.
    pub(super) fn paths_to(&self, member: Whose, slot: Slot) -> SentPaths {
        let several = self.table(slot.family).paths.get(&slot.index);
        several.cloned().unwrap_or_else(|| {
            let sent = self.sent_to(member, slot).into_iter();
            sent.map(|attrs| (PathId::default(), attrs)).collect()
        })
    }

    /// As [`OutTable::sent`] for one member.
    pub(super) fn sent_to(&self, member: Whose, slot: Slot) -> Option<AttrsId> {
        let table = self.table(slot.family);
        if let Some(paths) = table.paths.get(&slot.index) {
            return paths.first().map(|(_, attrs)| *attrs);
        }
        let sent = table.sent(slot.index)?;
        (sent.whose != member).then_some(sent.attrs)
    }
}

/// Whether a change is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Logged {
    Yes,
    /// Nobody reads it.
    No,
}

/// Keeps the places that a member may have to be told otherwise about.
fn pin(families: &[CatchUp; Family::ALL.len()], tables: &mut Tables) {
    for (family, catch_up) in Family::ALL.into_iter().zip(families) {
        for index in catch_up.pinned() {
            tables.entry_mut(Slot { family, index }).told += 1;
        }
    }
}

fn say_ready(id: PeerId, member: &mut Member, outputs: &mut VecDeque<Output>) {
    if member.ready == Ready::NotSaid {
        member.ready = Ready::Said;
        outputs.push_back(Output::ExportReady(id));
    }
}
