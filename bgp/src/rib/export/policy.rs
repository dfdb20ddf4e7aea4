//! What a set of attributes becomes toward the peers of a group, worked out once.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::Peer;
use super::super::attrs::{AttrsId, AttrsTable, EXTRA};
use super::super::egress::{self, EgressKey, Sender};
use super::super::interface::RibConfig;
use super::super::preference::Asked;
use super::super::source::index_of;
use crate::attrs::Attrs;
use crate::filter::{Filter, Nexthop, Outcome, Prepared};
use crate::route::SessionUp;
use crate::types::{Asn, Family, FamilySet, FirstAs, PeerId, Prefix};
use crate::wire::{Dialect, UpdateWriter};

/// How many results are remembered before they are forgotten all at once.
const REMEMBERED: usize = 4096;
/// And what they may take beyond what is usual: 1 MiB.
const REMEMBERED_EXTRA: usize = (1 << 20) / EXTRA;

/// Everything that decides what a peer is sent, and in which words. Peers with equal keys form an
/// update group.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::rib) struct Key {
    filter: Arc<Filter>,
    egress: EgressKey,
    /// What matters only for what the peer sends is left out.
    dialect: Dialect,
    nexthops: [Option<IpAddr>; Family::ALL.len()],
    /// The address of the peer, where the filter sets it as nexthop.
    own_nexthop: Option<IpAddr>,
    /// A peer that shares its group with nobody: it takes several paths for a prefix, or only so many
    /// prefixes.
    alone: Option<PeerId>,
    path_limit: u8,
    send_limit: [Option<u32>; Family::ALL.len()],
}

impl Key {
    pub(in crate::rib) fn new(config: &RibConfig, peer: &Peer, up: &SessionUp) -> Self {
        let asked = Asked::new(config, &peer.config, peer.preference);
        let egress = EgressKey::new(config, &peer.config, peer.network, up, asked);
        let peer = &peer.config;
        let dialect = Dialect {
            // Whether it is ours decides about LOCAL_PREF; which one it is does not.
            peer_asn: if up.dialect.is_internal() {
                up.dialect.peer_asn
            } else {
                Asn(0)
            },
            first_as: FirstAs::Free,
            add_path_receive: FamilySet::EMPTY,
            ..up.dialect.clone()
        };
        let is_limited = peer.options.send_limit.iter().any(Option::is_some);
        let is_alone = is_limited || !up.dialect.add_path_send.is_empty();
        Self {
            filter: Arc::clone(&peer.export),
            egress,
            dialect,
            nexthops: up.nexthops,
            own_nexthop: Some(peer.address).filter(|own| peer.export.names_nexthop(*own)),
            alone: is_alone.then_some(peer.id),
            path_limit: peer.options.add_path_limit,
            send_limit: peer.options.send_limit,
        }
    }

    /// Whether several paths of a family are sent (RFC 7911).
    pub(super) fn has_several_paths(&self, family: Family) -> bool {
        self.dialect.add_path_send.contains(family)
    }

    /// The only member there can be.
    pub(super) fn alone(&self) -> Option<PeerId> {
        self.alone
    }

    /// How many paths for a prefix are sent, at most. 0: all.
    pub(super) fn path_limit(&self) -> usize {
        self.path_limit.into()
    }

    /// How many prefixes of a family the only member takes.
    pub(super) fn send_limit(&self, family: Family) -> Option<usize> {
        self.send_limit[index_of(family)].and_then(|limit| usize::try_from(limit).ok())
    }

    /// Whether several paths of some family are sent.
    pub(super) fn has_several_paths_at_all(&self) -> bool {
        !self.dialect.add_path_send.is_empty()
    }

    pub(super) fn families(&self) -> FamilySet {
        self.dialect.families
    }

    pub(super) fn max_message_len(&self) -> usize {
        self.dialect.max_message_len
    }
}

/// The export policy of a group.
#[derive(Debug)]
pub(super) struct Policy {
    key: Key,
    /// Both sets are held for as long as they are remembered. `None`: it cannot be encoded.
    results: HashMap<Question, Option<AttrsId>, FixedState>,
    /// What these sets take beyond what is usual, as [`Facts::extra`](super::super::attrs::Facts).
    extra: usize,
    /// What the filter has left to ask of prefixes with these attributes, which are held.
    prepared: Option<(AttrsId, Prepared)>,
    /// Neighbours in the table often ask the same.
    last: Option<(Question, Option<AttrsId>)>,
    writer: UpdateWriter,
    /// How often a path was kept back because it cannot be encoded.
    pub(super) unsendable: [u64; Family::ALL.len()],
}

type Question = (AttrsId, Outcome, Family, Sender);

impl Policy {
    pub(super) fn new(key: Key, hasher: FixedState) -> Self {
        Self {
            key,
            results: HashMap::with_hasher(hasher),
            extra: 0,
            prepared: None,
            last: None,
            writer: UpdateWriter::default(),
            unsendable: [0; Family::ALL.len()],
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn change_key(&mut self, key: Key, attrs: &mut AttrsTable) {
        self.forget(attrs);
        self.key = key;
    }

    /// What members are sent for a best path with these attributes, held once for the caller.
    ///
    /// - `sender`: who brought the path
    pub(super) fn export(
        &mut self,
        best: AttrsId,
        sender: Sender,
        prefix: &Prefix,
        attrs: &mut AttrsTable,
    ) -> Option<AttrsId> {
        let before = attrs.value(best);
        let family = Family::of(prefix);
        if !egress::may_tell(sender, family, before, &self.key.egress) {
            return None;
        }
        let rule = self.accepting_rule(best, prefix, attrs)?;
        let question = (best, rule, family, sender);
        let result = match self.last {
            Some((asked, result)) if asked == question => result,
            _ => self.answer(question, attrs),
        };
        self.last = Some((question, result));
        match result {
            Some(result) => attrs.retain(result),
            None => self.unsendable[index_of(family)] += 1,
        }
        result
    }

    /// As [`Filter::accepting_rule`]. Attributes are asked about once while neighbours in the table
    /// share them.
    fn accepting_rule(
        &mut self,
        best: AttrsId,
        prefix: &Prefix,
        attrs: &mut AttrsTable,
    ) -> Option<Outcome> {
        let known = self.prepared.take_if(|(id, _)| *id == best);
        let prepared = known.unwrap_or_else(|| {
            attrs.retain(best);
            (best, self.key.filter.prepare(attrs.value(best)))
        });
        if let Some((last, _)) = self.prepared.take() {
            attrs.release(last);
        }
        let (_, left) = self.prepared.insert(prepared);
        let filter = &self.key.filter;
        filter.accepting_rule_of(left, prefix, attrs.value(best))
    }

    /// Loads what announces these attributes to the members.
    pub(super) fn load(&self, attrs: &Attrs, family: Family, writer: &mut UpdateWriter) -> bool {
        let nexthop = attrs.nexthop.or(self.key.nexthops[index_of(family)]);
        nexthop.is_some_and(|nexthop| {
            writer
                .load(attrs, nexthop, family, &self.key.dialect)
                .is_ok()
        })
    }

    fn answer(&mut self, question: Question, attrs: &mut AttrsTable) -> Option<AttrsId> {
        if let Some(&known) = self.results.get(&question) {
            return known;
        }
        if self.results.len() >= REMEMBERED || self.extra >= REMEMBERED_EXTRA {
            self.forget(attrs);
        }
        let (best, rule, family, sender) = question;
        let after = self.treat(rule, sender, attrs.value(best));
        let mut writer = std::mem::take(&mut self.writer);
        let can_be_sent = self.load(&after, family, &mut writer);
        self.writer = writer;
        let result = can_be_sent.then(|| attrs.acquire(&Arc::new(after)));
        attrs.retain(best);
        let sets = [Some(best), result].into_iter().flatten();
        let extra = |id| usize::from(attrs.facts(id).extra);
        self.extra += sets.map(extra).sum::<usize>();
        self.results.insert(question, result);
        result
    }

    fn treat(&self, rule: Outcome, sender: Sender, before: &Arc<Attrs>) -> Attrs {
        let Key { filter, egress, .. } = &self.key;
        let filtered = Attrs::clone(&filter.apply(rule, before, egress.shown));
        let med = match filter.sets_med(rule) {
            true => filtered.med,
            false => egress.asked.med(),
        };
        let mut after = egress::treat(egress, sender, before, filtered, med);
        match filter.sets_nexthop(rule) {
            // RFC 4271 §5.1.3: a peer is never told its own address.
            Some(Nexthop::Address(address)) => {
                after.nexthop = Some(address).filter(|_| self.key.own_nexthop != Some(address));
            }
            Some(Nexthop::Ourselves) => after.nexthop = None,
            Some(Nexthop::Unchanged) => after.nexthop = before.nexthop,
            None => {}
        }
        after
    }

    pub(super) fn forget(&mut self, attrs: &mut AttrsTable) {
        self.last = None;
        self.extra = 0;
        if let Some((prepared, _)) = self.prepared.take() {
            attrs.release(prepared);
        }
        for ((best, ..), result) in self.results.drain() {
            attrs.release(best);
            if let Some(result) = result {
                attrs.release(result);
            }
        }
    }
}
