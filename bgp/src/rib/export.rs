//! Adj-RIB-Out: what each peer is told.
//!
//! Peers with the same export filter and the same [`EgressKey`] form an update group: what a set
//! of attributes becomes under a rule is worked out once for the group and shared as one `Arc`. Which
//! rule a prefix meets is looked up per peer, since remembering it would cost memory per prefix.
//! Nothing goes back to the peer that it came from.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Rib;
use super::attrs::{AttrsId, AttrsTable};
use super::bitset::BitSet;
use super::egress::{self, EgressKey, Sender};
use super::interface::{ExportBatch, Output};
use super::source::index_of;
use super::table::{Path, Slot};
use crate::attrs::Attrs;
use crate::filter::{Filter, Nexthop, RuleIndex};
use crate::route::Delta;
use crate::types::{Family, PeerId, Prefix};

/// By place in the table, what a peer was last sent.
pub(super) type Sent = Vec<Option<AttrsId>>;

/// How many results a group remembers before it starts over.
const REMEMBERED: usize = 4096;

/// How many places are looked at for each delta that was asked for, at most.
const LOOKS_PER_DELTA: usize = 8;

/// What one established peer was told and is owed.
#[derive(Debug)]
pub(super) struct Out {
    group: GroupId,
    tables: [Option<OutTable>; Family::ALL.len()],
    ready: Ready,
}

/// One family of an [`Out`]. Costs four bytes a prefix that was sent, and a bit a prefix.
#[derive(Debug, Default)]
pub(super) struct OutTable {
    sent: Sent,
    sent_count: usize,
    /// Places that the peer may have to be told about.
    dirty: BitSet,
    /// Places that it is to be told about even if it knows (RFC 2918).
    again: BitSet,
    /// Where the next look begins.
    position: usize,
    /// Where the full table that it is owed ends.
    walk_end: Option<usize>,
}

/// Whether [`Output::ExportReady`] has been said since the peer was last drained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ready {
    NotSaid,
    Said,
}

/// What a look into an [`OutTable`] finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Place(usize),
    EndOfWalk,
}

impl Out {
    /// A peer that is owed everything.
    ///
    /// - `end_of`: the size of the table, for a family that the session carries
    pub(super) fn new(group: GroupId, end_of: impl Fn(Family) -> Option<usize>) -> Self {
        let table = |family| {
            let mut table = OutTable::default();
            table.owe_all(end_of(family)?);
            Some(table)
        };
        Self {
            group,
            tables: Family::ALL.map(table),
            ready: Ready::NotSaid,
        }
    }

    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    pub(super) fn sent_count(&self, family: Family) -> usize {
        self.table(family).map_or(0, |table| table.sent_count)
    }

    /// What has to be released once the session is over.
    pub(super) fn into_sent(self) -> impl Iterator<Item = (Family, Sent)> {
        Family::ALL
            .into_iter()
            .zip(self.tables)
            .filter_map(|(family, table)| Some((family, table?.sent)))
    }

    fn table(&self, family: Family) -> Option<&OutTable> {
        self.tables[index_of(family)].as_ref()
    }

    fn table_mut(&mut self, family: Family) -> Option<&mut OutTable> {
        self.tables[index_of(family)].as_mut()
    }

    fn owes_nothing(&self) -> bool {
        let mut tables = self.tables.iter().flatten();
        tables.all(|table| table.dirty.is_empty() && table.walk_end.is_none())
    }
}

impl OutTable {
    /// The peer gets the whole table, and is told where it ends.
    fn owe_all(&mut self, end: usize) {
        self.dirty.fill(end);
        self.position = 0;
        self.walk_end = Some(end);
    }

    fn sent(&self, index: usize) -> Option<AttrsId> {
        self.sent.get(index).copied().flatten()
    }

    fn set_sent(&mut self, index: usize, attrs: Option<AttrsId>) {
        if index >= self.sent.len() {
            self.sent.resize(index + 1, None);
        }
        let old = std::mem::replace(&mut self.sent[index], attrs);
        self.sent_count += usize::from(attrs.is_some());
        self.sent_count -= usize::from(old.is_some());
    }

    fn look(&mut self) -> Option<Found> {
        loop {
            let found = self.dirty.next_from(self.position);
            let within = found.filter(|&index| self.walk_end.is_none_or(|end| index < end));
            if let Some(index) = within {
                self.dirty.remove(index);
                self.position = index + 1;
                return Some(Found::Place(index));
            }
            if self.walk_end.take().is_some() {
                return Some(Found::EndOfWalk);
            }
            if self.position == 0 || self.dirty.is_empty() {
                return None;
            }
            self.position = 0;
        }
    }
}

impl Rib {
    /// The next changes for this peer, at most `limit` and at least one if that is 0.
    ///
    /// A batch without content means that there was little of interest where this call looked:
    /// go on asking. `None`: nothing is left, or the peer is not up;
    /// [`Output::ExportReady`] says when there is more.
    pub fn poll_export(&mut self, peer: PeerId, limit: usize) -> Option<ExportBatch> {
        let limit = limit.max(1);
        let mut looks = limit.saturating_mul(LOOKS_PER_DELTA);
        let mut batch = ExportBatch::default();
        for family in Family::ALL {
            while looks > 0 && batch.deltas.len() < limit {
                looks -= 1;
                match self.out_table_mut(peer, family).and_then(OutTable::look) {
                    Some(Found::Place(index)) => {
                        batch.deltas.extend(self.tell(peer, Slot { family, index }));
                    }
                    Some(Found::EndOfWalk) => batch.end_of_rib.push(family),
                    None => break,
                }
            }
        }
        self.flush_changes();
        let out = &mut self.peers.get_mut(&peer)?.session.as_mut()?.out;
        if batch == ExportBatch::default() && out.owes_nothing() {
            out.ready = Ready::NotSaid;
            return None;
        }
        Some(batch)
    }

    /// What the peer has to be told about this prefix, noted as told.
    fn tell(&mut self, peer: PeerId, slot: Slot) -> Option<Delta> {
        self.review(slot);
        let wanted = self.exported(peer, slot);
        let prefix = self.tables.prefix(slot);
        let table = self.out_table_mut(peer, slot.family)?;
        // The review may have found that the place is dirty once more; this look covers it.
        table.dirty.remove(slot.index);
        let again = table.again.remove(slot.index);
        let sent = table.sent(slot.index);
        if wanted != sent {
            table.set_sent(slot.index, wanted);
        }
        let delta = (wanted != sent || (again && wanted.is_some())).then(|| Delta {
            prefix,
            attrs: wanted.map(|id| Arc::clone(self.attrs.value(id))),
        });
        if let Some(sent) = sent {
            self.attrs.release(sent);
        }
        match (sent, wanted) {
            (None, Some(_)) => self.tables.entry_mut(slot).told += 1,
            (Some(_), None) => self.untell(slot),
            (None, None) | (Some(_), Some(_)) => {}
        }
        delta
    }

    /// What a peer is to know of this prefix, held once for the caller.
    fn exported(&mut self, id: PeerId, slot: Slot) -> Option<AttrsId> {
        let path = self.tables.entry(slot).chosen()?;
        let best = path.accepted?;
        let source = self.sources.source(path.source);
        if source.peer == Some(id) {
            return None;
        }
        let group = self.peers.get(&id)?.session.as_ref()?.out.group;
        let group = self.groups.group_mut(group)?;
        let prefix = self.tables.prefix(slot);
        group.export(best, source.sender(), &prefix, &mut self.attrs)
    }

    /// Notes that one peer fewer was told of this prefix.
    pub(super) fn untell(&mut self, slot: Slot) {
        self.tables.entry_mut(slot).told -= 1;
        self.free_if_unused(slot);
    }

    /// Owes every established peer a look at this prefix, except those for whom nothing can have
    /// changed.
    ///
    /// - `best`: the path that is chosen now
    pub(super) fn owe(&mut self, slot: Slot, best: Option<Path>) {
        for (id, peer) in &mut self.peers {
            let Some(session) = &mut peer.session else {
                continue;
            };
            let theirs = |best: Path| self.sources.source(best.source).peer == Some(*id);
            let nothing_to_say = best.is_none_or(theirs);
            let Some(table) = session.out.table_mut(slot.family) else {
                continue;
            };
            if nothing_to_say && table.sent(slot.index).is_none() {
                table.dirty.remove(slot.index);
                continue;
            }
            table.dirty.insert(slot.index);
            if session.out.ready == Ready::NotSaid {
                session.out.ready = Ready::Said;
                self.outputs.push_back(Output::ExportReady(*id));
            }
        }
    }

    /// Says that there is something for this peer, unless that was said already.
    pub(super) fn say_ready(&mut self, id: PeerId) {
        let peer = self.peers.get_mut(&id);
        if let Some(session) = peer.and_then(|peer| peer.session.as_mut())
            && session.out.ready == Ready::NotSaid
        {
            session.out.ready = Ready::Said;
            self.outputs.push_back(Output::ExportReady(id));
        }
    }

    /// The peer asked for everything again (RFC 2918).
    pub(super) fn on_refresh(&mut self, id: PeerId, family: Family) {
        let end = self.tables.end(family);
        if let Some(table) = self.out_table_mut(id, family) {
            table.owe_all(end);
            table.again.fill(end);
            self.say_ready(id);
        }
    }

    /// The peer has another export filter: everything it was sent, or was not, is looked at.
    pub(super) fn on_export_changed(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(session) = &mut peer.session else {
            return;
        };
        let key = EgressKey::new(&self.config, &peer.config, &session.up);
        let old = session.out.group;
        session.out.group = self.groups.join(&peer.config.export, key);
        self.groups.leave(old, &mut self.attrs);
        for family in Family::ALL {
            if let Some(table) = session.out.table_mut(family) {
                table.dirty.fill(self.tables.end(family));
            }
        }
        self.say_ready(id);
    }

    fn out_table_mut(&mut self, peer: PeerId, family: Family) -> Option<&mut OutTable> {
        let session = self.peers.get_mut(&peer)?.session.as_mut()?;
        session.out.table_mut(family)
    }
}

/// Names a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GroupId(usize);

/// Every update group that has members.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    hasher: FixedState,
}

/// Peers whose export result is identical.
#[derive(Debug)]
struct Group {
    filter: Arc<Filter>,
    key: EgressKey,
    members: usize,
    /// Both sets are held for as long as they are remembered.
    results: HashMap<(AttrsId, RuleIndex, Sender), AttrsId, FixedState>,
}

impl Groups {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            groups: Vec::new(),
            hasher,
        }
    }

    pub(super) fn join(&mut self, filter: &Arc<Filter>, key: EgressKey) -> GroupId {
        let same = |group: &Group| group.key == key && group.filter == *filter;
        let known = self
            .groups
            .iter_mut()
            .enumerate()
            .find_map(|(index, group)| Some((index, group.as_mut().filter(|group| same(group))?)));
        if let Some((index, group)) = known {
            group.members += 1;
            return GroupId(index);
        }
        let group = Some(Group {
            filter: Arc::clone(filter),
            key,
            members: 1,
            results: HashMap::with_hasher(self.hasher.clone()),
        });
        match self.groups.iter().position(Option::is_none) {
            Some(index) => {
                self.groups[index] = group;
                GroupId(index)
            }
            None => {
                self.groups.push(group);
                GroupId(self.groups.len() - 1)
            }
        }
    }

    pub(super) fn leave(&mut self, id: GroupId, attrs: &mut AttrsTable) {
        let Some(group) = self.group_mut(id) else {
            return;
        };
        group.members -= 1;
        if group.members == 0 {
            group.forget(attrs);
            self.groups[id.0] = None;
        }
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id.0)?.as_mut()
    }
}

impl Group {
    /// What members are sent for a best path with these attributes, held once for the caller.
    fn export(
        &mut self,
        best: AttrsId,
        sender: Sender,
        prefix: &Prefix,
        attrs: &mut AttrsTable,
    ) -> Option<AttrsId> {
        let before = attrs.value(best);
        if !egress::may_tell(sender, Family::of(prefix), before, &self.key) {
            return None;
        }
        let rule = self.filter.accepting_rule(prefix, before)?;
        if let Some(&result) = self.results.get(&(best, rule, sender)) {
            attrs.retain(result);
            return Some(result);
        }
        let after = self.treat(rule, sender, before);
        let result = attrs.acquire(&Arc::new(after));
        if self.results.len() >= REMEMBERED {
            self.forget(attrs);
        }
        attrs.retain(result);
        attrs.retain(best);
        self.results.insert((best, rule, sender), result);
        Some(result)
    }

    fn treat(&self, rule: RuleIndex, sender: Sender, before: &Arc<Attrs>) -> Attrs {
        let filtered = Attrs::clone(&self.filter.apply(rule, before, self.key.shown));
        let med = filtered.med.filter(|_| self.filter.sets_med(rule));
        let mut after = egress::treat(&self.key, sender, before, filtered, med);
        match self.filter.sets_nexthop(rule) {
            Some(Nexthop::Address(address)) => after.nexthop = Some(address),
            Some(Nexthop::Ourselves) => after.nexthop = None,
            Some(Nexthop::Unchanged) => after.nexthop = before.nexthop,
            None => {}
        }
        after
    }

    fn forget(&mut self, attrs: &mut AttrsTable) {
        for ((best, _, _), result) in self.results.drain() {
            attrs.release(best);
            attrs.release(result);
        }
    }
}
