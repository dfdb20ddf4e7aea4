//! One prefix in place of many (RFC 4271 §9.2.2.2).
//!
//! An aggregate is a path of our own that is there while at least one more specific prefix has a
//! route. Which of the configured aggregates cover a prefix is asked once for each length that is
//! configured, and each counts its contributors, so a change costs the same however many there are.
//!
//! Its AS_PATH is empty, and there is no AS_SET (RFC 9774 does away with it): ATOMIC_AGGREGATE and
//! AGGREGATOR say what was left out. Its ORIGIN is INCOMPLETE: it must be as soon as that of one
//! contributor is, and they are not asked.
//!
//! Its route is to discard (RFC 4632 §5.1): packets for what it covers come here, and those that no more
//! specific route takes would follow a shorter one, often back to where they came from. That holds beside a
//! path of a peer for the same prefix, which loses to ours as it does to any prefix of our own: two routers
//! that aggregate alike and tell each other would otherwise send them to and fro.
//!
//! A more specific prefix that is suppressed is told to nobody while the aggregate is there. That
//! needs no second look at prefixes as an aggregate comes or goes: with its first contributor it
//! comes, before that is told to anybody, and with its last it goes.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Rib;
use super::interface::{Aggregate, MoreSpecifics, Rest, RibConfig};
use super::source::{SourceId, index_of};
use super::table::{Path, Slot};
use crate::attrs::{Aggregator, Attrs, Origin};
use crate::types::{Family, Prefix};

/// The configured aggregates.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    by_prefix: BTreeMap<Prefix, State>,
    /// By family, the lengths that occur.
    lengths: [Vec<u8>; Family::ALL.len()],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    more_specifics: MoreSpecifics,
    rest: Rest,
    /// How many more specific prefixes have a route.
    contributors: usize,
}

impl Aggregates {
    fn new(aggregates: &[Aggregate]) -> Self {
        let mut all = Self::default();
        for aggregate in aggregates {
            let state = State {
                more_specifics: aggregate.more_specifics,
                rest: aggregate.rest,
                contributors: 0,
            };
            let prefix = aggregate.prefix.trunc();
            all.by_prefix.insert(prefix, state);
            all.lengths[index_of(Family::of(&prefix))].push(prefix.prefix_len());
        }
        for lengths in &mut all.lengths {
            lengths.sort_unstable();
            lengths.dedup();
        }
        all
    }

    /// Whether this aggregate has contributors.
    pub(super) fn is_active(&self, prefix: &Prefix) -> bool {
        let state = self.by_prefix.get(prefix);
        state.is_some_and(|state| state.contributors > 0)
    }

    fn discards(&self, prefix: &Prefix) -> bool {
        let state = self.by_prefix.get(prefix);
        state.is_some_and(|state| state.rest == Rest::Discarded)
    }

    /// Whether this prefix is told to nobody.
    pub(super) fn suppresses(&self, prefix: &Prefix) -> bool {
        let mut covering = self.covering(prefix);
        covering.any(|aggregate| {
            let state = self.by_prefix.get(&aggregate);
            state.is_some_and(|state| {
                state.more_specifics == MoreSpecifics::Suppressed && state.contributors > 0
            })
        })
    }

    /// Notes what happened to a prefix.
    ///
    /// - `turned`: told of each aggregate that became active, or is no more
    fn count(&mut self, prefix: &Prefix, presence: Presence, mut turned: impl FnMut(Prefix)) {
        let covering: SmallVec<[Prefix; 4]> = self.covering(prefix).collect();
        for aggregate in covering {
            let Some(state) = self.by_prefix.get_mut(&aggregate) else {
                continue;
            };
            let before = state.contributors;
            match presence {
                Presence::Comes => state.contributors += 1,
                Presence::Goes => state.contributors -= 1,
            }
            if (before == 0) != (state.contributors == 0) {
                turned(aggregate);
            }
        }
    }

    /// Where an aggregate for this prefix would be, if there is one.
    fn covering(&self, prefix: &Prefix) -> impl Iterator<Item = Prefix> + use<'_> {
        let (address, length) = (prefix.addr(), prefix.prefix_len());
        let lengths = self.lengths[index_of(Family::of(prefix))].iter();
        lengths
            .take_while(move |shorter| **shorter < length)
            .filter_map(move |shorter| Prefix::new(address, *shorter).ok())
            .map(|prefix| prefix.trunc())
    }
}

/// Aggregates that are to take the place of others once what contributes to them has been counted, in
/// bites.
#[derive(Debug)]
pub(super) struct Counting {
    aggregates: Aggregates,
    /// Of the prefixes at places before it the changes count; the others are still to be looked at.
    at: Slot,
}

impl Rib {
    /// Replaces the aggregates, once the table has been counted: until then those before are in force, so
    /// that nothing comes, goes or leaks meanwhile that does not have to.
    pub(super) fn on_aggregate(&mut self, aggregates: &[Aggregate]) {
        self.counting = Some(Counting {
            aggregates: Aggregates::new(aggregates),
            at: Slot {
                family: Family::ALL[0],
                index: 0,
            },
        });
    }

    pub(super) fn work_on_aggregates(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(counting) = &mut self.counting
        {
            let Some(slot) = self.tables.at_or_after(counting.at) else {
                return self.aggregates_counted();
            };
            *budget -= 1;
            counting.at = Slot {
                index: slot.index + 1,
                ..slot
            };
            if self.tables.entry(slot).chosen().is_some() {
                let prefix = self.tables.prefix(slot);
                counting.aggregates.count(&prefix, Presence::Comes, |_| ());
            }
        }
    }

    fn aggregates_counted(&mut self) {
        let Some(counting) = self.counting.take() else {
            return;
        };
        let old = std::mem::replace(&mut self.aggregates, counting.aggregates);
        let both = old.by_prefix.keys().chain(self.aggregates.by_prefix.keys());
        self.originate_pending.extend(both.copied());
        self.owe_everything();
    }

    /// Whether a path is an aggregate whose route is to discard.
    pub(super) fn discards(&self, slot: Slot, path: &Path) -> bool {
        let is_aggregate = || {
            let attrs = path.accepted.map(|id| self.attrs.value(id));
            attrs.is_some_and(|attrs| attrs.atomic_aggregate)
        };
        path.source == SourceId::OURSELVES
            && is_aggregate()
            && self.aggregates.discards(&self.tables.prefix(slot))
    }

    /// A prefix got a route, or has none any more.
    pub(super) fn count_contributor(&mut self, slot: Slot, presence: Presence) {
        if self.aggregates.by_prefix.is_empty() && self.counting.is_none() {
            return;
        }
        let prefix = self.tables.prefix(slot);
        let pending = &mut self.originate_pending;
        self.aggregates.count(&prefix, presence, |aggregate| {
            pending.insert(aggregate);
        });
        if let Some(counting) = &mut self.counting
            && slot < counting.at
        {
            counting.aggregates.count(&prefix, presence, |_| ());
        }
    }
}

/// What happened to the route of a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Comes,
    Goes,
}

/// What an aggregate is announced with.
pub(super) fn attrs(config: &RibConfig) -> Attrs {
    Attrs {
        origin: Origin::Incomplete,
        atomic_aggregate: true,
        aggregator: Some(Aggregator {
            asn: config.local_asn,
            router_id: config.router_id.address(),
        }),
        ..Attrs::originated()
    }
}
