//! Adj-RIB-Out: what each peer is told.
//!
//! Peers with the same export filter, the same [`EgressKey`](super::egress::EgressKey) and the same
//! dialect form an update group. The group owns what was sent: by place in the table, eight bytes
//! for all members together. A change is worked out once, packed into UPDATEs once, and put into
//! the group's log; members only remember how far they have read.
//!
//! ```text
//!   best path changed ─► dirty bit of the group
//!                             │  a member with room asks: poll_export
//!                             ▼
//!   look: export policy, compare with what was sent ─► batch ─► chunk of the log
//!                                                                  │ read by members in step
//!                                                                  ▼
//!                                                        the same bytes to all
//! ```
//!
//! **Nothing goes back to the peer that it came from.** So a change is not the same for all: each
//! run of messages in a chunk says for whom it is ([`Audience`](batch::Audience)). The one whose path is chosen now is
//! told that another one's, which it had been told of, is gone.
//!
//! **A slow reader costs two bits a prefix.** Nothing is worked out before a member has room for
//! it. Where one reads faster than another the log grows, up to a limit; then those who have not
//! read its beginning are left behind: such a member has a bit for each prefix that it was told of
//! and one for each that it has to look at, is told by place, and reads the log again once nothing is
//! left. A session that has just come up is the same with every bit set.
//!
//! **The place of a prefix is kept** until everybody who was told of it has been told that it is
//! gone: [`Entry::told`](super::table::Entry::told) counts groups, chunks of logs and members that
//! catch up.

mod batch;
mod group;
mod log;
mod member;
mod policy;
mod several;

use std::num::NonZeroU32;

use bytes::BytesMut;
use foldhash::fast::FixedState;

use super::Rib;
use super::attrs::AttrsId;
use super::bitset::BitSet;
use super::source::index_of;
use super::table::{Path, Slot};
use crate::route::Updates;
use crate::types::{Family, PathId, PeerId};
use crate::wire::{self, RouteRefresh};
use batch::{Audience, Batch};
use group::{Group, Logged};
use member::{Mark, Progress};
use several::PathTable;

pub(super) use group::{GroupId, Groups};
pub(super) use policy::Key;

/// Whose a path is: a peer's, or our own. As [`Option<PeerId>`], in half the space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Whose(NonZeroU32);

impl Whose {
    const OURSELVES: Self = Self(NonZeroU32::MIN);

    /// The highest three numbers are one to us: whoever names peers counts from 0.
    fn of(peer: Option<PeerId>) -> Self {
        peer.map_or(Self::OURSELVES, |peer| {
            Self(NonZeroU32::MIN.saturating_add(peer.0).saturating_add(1))
        })
    }

    fn peer(self) -> Option<PeerId> {
        self.0.get().checked_sub(2).map(PeerId)
    }
}

/// What members were sent for a prefix: everyone but the one whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    attrs: AttrsId,
    whose: Whose,
}

const _: () = assert!(size_of::<Option<Sent>>() == 8);

impl Sent {
    pub(super) fn attrs(self) -> AttrsId {
        self.attrs
    }
}

/// What is left of groups and members that are gone, given back in bites.
#[derive(Debug)]
pub(super) enum Retired {
    /// What a group was sent.
    Sent(Family, Vec<Option<Sent>>),
    /// The same, where it was told of several paths, from this place on.
    Paths(Family, usize, PathTable),
    /// Places that were kept for a member.
    Kept(Family, BitSet),
}

/// Memory of one [`Rib::poll_export`] for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    log: Batch,
    private: Batch,
    places: Vec<Slot>,
}

impl Scratch {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            log: Batch::new(hasher.clone()),
            private: Batch::new(hasher),
            places: Vec::new(),
        }
    }
}

impl Rib {
    /// The next UPDATEs for this peer.
    ///
    /// Without any: there was nothing of interest where this call looked, go on asking. `None`:
    /// nothing is left, or the peer is not up; [`Output::ExportReady`](super::Output::ExportReady)
    /// says when there is more.
    pub fn poll_export(&mut self, peer: PeerId) -> Option<Updates> {
        if self.exports == Exports::Deferred {
            return None;
        }
        let id = self.peers.get(&peer)?.session.as_ref()?.group;
        let mut group = self.groups.take(id)?;
        let updates = self.serve(&mut group, peer);
        if updates.is_none() {
            group.rest(peer);
        }
        self.release_spent(&mut group);
        self.groups.put(id, group);
        self.flush_changes();
        if updates.is_none() && self.can_shrink() {
            self.deadline = self.heard_at;
        }
        updates
    }

    fn serve(&mut self, group: &mut Group, id: PeerId) -> Option<Updates> {
        let me = Whose::of(Some(id));
        let member = group.members.get_mut(&id)?;
        let Progress::InStep(cursor) = &mut member.progress else {
            return Some(self.catch_up(group, id));
        };
        if let Some(updates) = group.log.read(cursor, me) {
            return Some(updates);
        }
        if self.produce(group, me) {
            let member = group.members.get_mut(&id)?;
            let updates = match &mut member.progress {
                Progress::InStep(cursor) => group.log.read(cursor, me),
                Progress::CatchingUp(_) => None,
            };
            return Some(updates.unwrap_or_default());
        }
        self.resend(group, id).or_else(|| end(group, id))
    }

    /// Brings the group up to date with some of what is dirty; `false` when this member gains
    /// nothing from that.
    fn produce(&mut self, group: &mut Group, member: Whose) -> bool {
        let mut looks = 0;
        while looks < self.config.bounds.prefixes
            && !self.scratch.log.is_full()
            && let Some(slot) = group.next_dirty(member)
        {
            self.look(group, slot);
            looks += 1;
        }
        self.append(group);
        looks > 0
    }

    fn append(&mut self, group: &mut Group) {
        let (batch, limit) = (&mut self.scratch.log, self.config.bounds.backlog);
        group.append(batch, limit, &mut self.tables, &mut self.outputs);
    }

    /// Works out what members are to be told about a place, and puts it where they find it.
    fn look(&mut self, group: &mut Group, slot: Slot) {
        if group.has_several_paths(slot.family) {
            return self.look_at_paths(group, slot);
        }
        self.review(slot);
        group.table_mut(slot.family).dirty.remove(slot.index);
        let mut new = self.wanted(group, slot);
        let old = group.table(slot.family).sent(slot.index);
        let told = [old, new].map(|sent| group.is_told(sent));
        if group.holds_back(slot, told.into(), &mut self.outputs)
            && let Some(held_back) = new.take()
        {
            self.attrs.release(held_back.attrs);
        }
        let table = group.table_mut(slot.family);
        if old == new {
            if let Some(new) = new {
                self.attrs.release(new.attrs);
            }
            return;
        }
        table.set_sent(slot.index, new);
        if old.is_none() {
            self.tables.entry_mut(slot).told += 1;
        }
        let prefix = self.tables.prefix(slot);
        let batch = &mut self.scratch.log;
        let tables = &mut self.tables;
        let logged = group.pass_on((slot, prefix), (old, new), batch, &self.attrs, tables);
        if new.is_none() {
            match logged {
                Logged::Yes => batch.withdrawn.push(slot),
                Logged::No => self.untell(slot),
            }
        }
        if let Some(old) = old {
            self.attrs.release(old.attrs);
        }
    }

    /// What members are to know of a place, held once for the caller.
    fn wanted(&mut self, group: &mut Group, slot: Slot) -> Option<Sent> {
        let path = self.tables.entry(slot).chosen()?;
        let best = path.accepted?;
        let source = self.sources.source(path.source);
        let whose = Whose::of(source.peer);
        let prefix = self.tables.prefix(slot);
        if self.aggregates.suppresses(&prefix) {
            return None;
        }
        let policy = &mut group.policy;
        let attrs = policy.export(best, source.sender(), &prefix, &mut self.attrs)?;
        Some(Sent { attrs, whose })
    }

    /// The next UPDATEs for a member that has been told only part of what the group was sent.
    fn catch_up(&mut self, group: &mut Group, id: PeerId) -> Updates {
        let mut places = std::mem::take(&mut self.scratch.places);
        for family in Family::ALL {
            let Some(catch_up) = group
                .members
                .get_mut(&id)
                .and_then(|member| member.catch_up_mut(family))
            else {
                continue;
            };
            catch_up.next_places(family, self.config.bounds.prefixes, &mut places);
        }
        let is_done = places.is_empty();
        let mut looked = 0;
        for slot in &places {
            if self.scratch.private.is_full() {
                break;
            }
            looked += 1;
            self.look_again(group, *slot);
            self.tell(group, id, *slot);
        }
        self.append(group);
        if let (Some(first), Some(member)) = (places.get(looked), group.members.get_mut(&id))
            && let Some(catch_up) = member.catch_up_mut(first.family)
        {
            catch_up.position = first.index;
        }
        places.clear();
        self.scratch.places = places;
        if is_done {
            group.rejoin(id);
        }
        self.scratch
            .private
            .pack(&group.policy)
            .share(Whose::of(Some(id)))
    }

    /// The group may have something to look at there, too.
    fn look_again(&mut self, group: &mut Group, slot: Slot) {
        let is_dirty = group.table(slot.family).dirty.contains(slot.index);
        if is_dirty || self.sweep.is_pending() {
            self.look(group, slot);
        }
    }

    /// Tells one member what the group was sent for a place.
    fn tell(&mut self, group: &mut Group, id: PeerId, slot: Slot) {
        let wanted = group.sent_to(Whose::of(Some(id)), slot);
        let limit = group.policy.key().send_limit(slot.family);
        let Some(catch_up) = group
            .members
            .get_mut(&id)
            .and_then(|member| member.catch_up_mut(slot.family))
        else {
            return;
        };
        let was_told = catch_up.told.contains(slot.index);
        if wanted.is_some() && !was_told && limit.is_some_and(|most| catch_up.told.len() >= most) {
            // The group stays within the limit, so something else is to be withdrawn first.
            return;
        }
        let was_dirty = catch_up.dirty.remove(slot.index);
        catch_up.set_told(slot.index, wanted.is_some());
        let prefix = self.tables.prefix(slot);
        let batch = &mut self.scratch.private;
        match wanted {
            Some(attrs) => {
                let path = (prefix, PathId::default(), attrs);
                batch.announce(Audience::ALL, path, &self.attrs, &group.policy);
            }
            None if was_told => batch.withdraw(Audience::ALL, prefix, PathId::default()),
            None => {}
        }
        if was_dirty && was_told {
            self.untell(slot);
        }
    }

    /// The next UPDATEs for a member that has asked for everything again: what the group was sent.
    fn resend(&mut self, group: &mut Group, id: PeerId) -> Option<Updates> {
        let me = Whose::of(Some(id));
        if let Some(mark) = group.members.get_mut(&id)?.begin_again() {
            return Some(marked(mark));
        }
        let mut looks = 0;
        while looks < self.config.bounds.prefixes
            && !self.scratch.private.is_full()
            && let Some((family, index)) = group.members.get_mut(&id)?.next_again()
        {
            looks += 1;
            let slot = Slot { family, index };
            let prefix = self.tables.prefix(slot);
            let batch = &mut self.scratch.private;
            for (id, attrs) in group.paths_to(me, slot) {
                let path = (prefix, id, attrs);
                batch.announce(Audience::ALL, path, &self.attrs, &group.policy);
            }
        }
        (looks > 0).then(|| self.scratch.private.pack(&group.policy).share(me))
    }

    /// Notes that a holder of the place of this prefix needs it no more.
    pub(super) fn untell(&mut self, slot: Slot) {
        self.tables.entry_mut(slot).told -= 1;
        self.free_if_unused(slot);
    }

    fn release_spent(&mut self, group: &mut Group) {
        for slot in std::mem::take(&mut group.log.spent) {
            self.untell(slot);
        }
    }

    /// Owes every group a look at this prefix, except those for which nothing can have changed.
    ///
    /// - `best`: the path that is chosen now
    pub(super) fn owe(&mut self, slot: Slot, best: Option<Path>) {
        let best = best.map(|best| Whose::of(self.sources.source(best.source).peer));
        for group in self.groups.iter_mut() {
            group.owe(slot, best, &mut self.outputs);
        }
    }

    /// Owes every group a look at everything.
    pub(super) fn owe_everything(&mut self) {
        for group in self.groups.iter_mut() {
            group.owe_all(&self.tables);
            group.wake(&mut self.outputs);
        }
    }

    /// Puts a peer into its group.
    pub(super) fn join(&mut self, id: PeerId, key: Key, marks: Marks) -> GroupId {
        let group = match self.groups.find(&key) {
            Some(group) => group,
            None => {
                let group = self.groups.empty(key);
                self.groups.insert(Box::new(group))
            }
        };
        if let Some(group) = self.groups.get_mut(group) {
            group.join(id, marks, &self.tables);
            group.wake_one(id, &mut self.outputs);
        }
        group
    }

    /// Takes a peer out of its group. What was sent and what was kept for it is given back in bites.
    pub(super) fn leave(&mut self, id: PeerId, group: GroupId) {
        let Some(mut left) = self.groups.take(group) else {
            return;
        };
        if let Some(member) = left.leave(id) {
            self.retired.extend(member.kept());
        }
        self.release_spent(&mut left);
        self.put_back(group, left);
    }

    fn put_back(&mut self, id: GroupId, mut group: Box<Group>) {
        if !group.members.is_empty() {
            return self.groups.put(id, group);
        }
        group.policy.forget(&mut self.attrs);
        self.groups.vacate(id, &group);
        for (family, table) in Family::ALL.into_iter().zip(group.tables) {
            self.retired.extend(table.into_retired(family));
        }
    }

    /// The peer asked for everything again (RFC 2918).
    pub(super) fn on_refresh(&mut self, id: PeerId, family: Family) {
        let Some(group) = self.group_of(id) else {
            return;
        };
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        if !group.carries(family) {
            return;
        }
        let mut places = BitSet::default();
        places.fill(self.tables.end(family));
        if let Some(member) = group.members.get_mut(&id) {
            member.ask_again(family, places);
        }
        group.wake_one(id, &mut self.outputs);
    }

    /// The peer is told by other rules: everything that it was sent, or was not, is looked at.
    pub(super) fn on_export_changed(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let Some(session) = &peer.session else {
            return;
        };
        let old_id = session.group;
        let key = Key::new(&self.config, peer, &session.up);
        let new_id = self.groups.find(&key);
        if new_id == Some(old_id) {
            return;
        }
        let Some(mut old) = self.groups.take(old_id) else {
            return;
        };
        let id_now = match new_id {
            Some(new_id) => {
                self.move_over(id, &mut old, new_id);
                new_id
            }
            None if old.members.len() == 1 => {
                old.change_key(key, &mut self.attrs, &self.tables);
                old_id
            }
            None => self.branch_off(id, &mut old, key),
        };
        self.release_spent(&mut old);
        self.put_back(old_id, old);
        if let Some(peer) = self.peers.get_mut(&id)
            && let Some(session) = &mut peer.session
        {
            session.group = id_now;
        }
        if let Some(group) = self.groups.get_mut(id_now) {
            group.wake_one(id, &mut self.outputs);
        }
    }

    /// Moves a member to a group that was sent something else.
    fn move_over(&mut self, id: PeerId, old: &mut Group, new: GroupId) {
        old.detach_all(&[id], &mut self.tables);
        let Some(member) = old.leave(id) else {
            return;
        };
        let me = Whose::of(Some(id));
        let same = |slot: Slot, sent| old.sent_to(me, slot) == sent;
        let kept: Vec<_> = member.kept().collect();
        if let Some(group) = self.groups.get_mut(new) {
            group.adopt(id, member, same, &mut self.tables);
        }
        self.retired.extend(kept);
    }

    /// Moves a member to a new group that was sent the same until now.
    fn branch_off(&mut self, id: PeerId, old: &mut Group, key: Key) -> GroupId {
        old.detach_all(&[id], &mut self.tables);
        let member = old.leave(id);
        let mut group = self
            .groups
            .branch(old, key, &mut self.attrs, &mut self.tables);
        group.owe_all(&self.tables);
        group.members.extend(member.map(|member| (id, member)));
        self.groups.insert(Box::new(group))
    }

    fn group_of(&self, id: PeerId) -> Option<GroupId> {
        Some(self.peers.get(&id)?.session.as_ref()?.group)
    }

    /// How many prefixes a peer was sent, as far as they have been handed over.
    pub(super) fn sent_count(&self, id: PeerId, family: Family) -> usize {
        let group = self.group_of(id).and_then(|group| self.groups.get(group));
        group.map_or(0, |group| group.count_for(id, family))
    }

    /// What a peer was last sent of a prefix.
    pub(super) fn sent(&self, id: PeerId, slot: Slot) -> Option<AttrsId> {
        let group = self.groups.get(self.group_of(id)?)?;
        group.known_to(id, slot)
    }

    /// How often something was kept from the group of a peer because it cannot be encoded.
    pub(super) fn unsendable_count(&self, id: PeerId, family: Family) -> u64 {
        let group = self.group_of(id).and_then(|group| self.groups.get(group));
        group.map_or(0, |group| group.policy.unsendable[index_of(family)])
    }

    /// How many prefixes a peer is not told of because it takes no more.
    pub(super) fn held_back_count(&self, id: PeerId, family: Family) -> usize {
        let group = self.group_of(id).and_then(|group| self.groups.get(group));
        group.map_or(0, |group| group.held_back_count(family))
    }

    /// Nothing is exported until [`Rib::on_release`].
    pub(super) fn on_defer(&mut self) {
        self.exports = Exports::Deferred;
    }

    pub(super) fn on_release(&mut self) {
        self.exports = Exports::Released;
        for group in self.groups.iter_mut() {
            group.wake_all(&mut self.outputs);
        }
    }
}

/// Whether anything is told to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exports {
    /// Not yet: paths are still coming in that a restart has interrupted (RFC 4724 §4.1).
    Deferred,
    Released,
}

/// How the ends of a refresh are marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Marks {
    /// By an End-of-RIB marker.
    EndOfRib,
    /// At both ends (RFC 7313).
    Enhanced,
}

/// What says that everything has been sent, if that has not been said.
fn end(group: &mut Group, id: PeerId) -> Option<Updates> {
    let me = Whose::of(Some(id));
    let is_complete = Family::ALL.map(|family| group.is_complete_for(me, family));
    let member = group.members.get_mut(&id)?;
    member
        .next_end(|family| is_complete[index_of(family)])
        .map(marked)
}

fn marked(mark: Mark) -> Updates {
    let mut out = BytesMut::new();
    let count = match mark {
        Mark::RefreshBegins(family) => {
            RouteRefresh::new(family, RouteRefresh::BEGINS).encode(&mut out);
            0
        }
        Mark::RefreshEnds(family) => {
            RouteRefresh::new(family, RouteRefresh::ENDS).encode(&mut out);
            0
        }
        Mark::EndOfRib(family) => {
            wire::encode_end_of_rib(family, &mut out);
            1
        }
    };
    Updates {
        bytes: [out.freeze()].into_iter().collect(),
        count,
    }
}
