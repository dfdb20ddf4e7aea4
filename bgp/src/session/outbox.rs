//! What the peer has still to be told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::BytesMut;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::attrs::Attrs;
use crate::route::Delta;
use crate::types::{Family, Prefix};
use crate::wire::{self, Dialect, UpdateWriter};

/// Pending changes: the latest per prefix wins, prefixes with the same attributes leave together.
///
/// Withdrawals leave first, then groups of announcements and End-of-RIB markers in the order in
/// which they came. A marker closes the groups before it, so it leaves after everything that was
/// handed over earlier. Memory is bounded by the number of distinct prefixes pending.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Where the latest change of a prefix waits. Places that do not match are stale.
    places: HashMap<Prefix, Place, FixedState>,
    withdrawn: [Vec<Prefix>; 2],
    queue: BTreeMap<NonZeroU64, Item>,
    /// Groups that still take prefixes, by the address of their attributes, which the group
    /// itself keeps alive.
    open_groups: HashMap<(usize, Family), NonZeroU64, FixedState>,
    next_item: NonZeroU64,
    /// Prefixes in `withdrawn` and `queue`, stale ones included.
    listed: usize,
    writer: UpdateWriter,
    scratch: Vec<Prefix>,
}

/// Where a change waits: among what is withdrawn, or in the item of the queue with this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Withdrawn,
    Group(NonZeroU64),
}

// A full table waiting is a million random visits: two entries share a cache line, and none lies
// across two.
const _: () = assert!(size_of::<(Prefix, Place)>() == 32);

#[derive(Debug)]
enum Item {
    Group {
        attrs: Arc<Attrs>,
        family: Family,
        prefixes: Vec<Prefix>,
    },
    EndOfRib(Family),
}

/// What draining needs to know of the session.
pub(super) struct Target<'a> {
    pub(super) dialect: &'a Dialect,
    /// Our own nexthop, by family.
    pub(super) nexthops: [Option<IpAddr>; 2],
}

/// What one round of draining did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Drained {
    /// UPDATEs written.
    pub(super) updates: u64,
    /// Prefixes that are withdrawn because what was to be announced cannot be sent.
    pub(super) unsendable: u64,
}

/// Lists may hold this many stale prefixes before they are looked through.
const STALE_SLACK: usize = 1024;

impl Outbox {
    /// Nothing waits. Prefixes come from strangers: `seed` keeps them from choosing ones that collide.
    pub(super) fn new(seed: u64) -> Self {
        Self::with_hasher(FixedState::with_seed(seed))
    }

    fn with_hasher(hasher: FixedState) -> Self {
        Self {
            places: HashMap::with_hasher(hasher.clone()),
            withdrawn: Default::default(),
            queue: BTreeMap::new(),
            open_groups: HashMap::with_hasher(hasher),
            next_item: NonZeroU64::MIN,
            listed: 0,
            writer: UpdateWriter::default(),
            scratch: Vec::new(),
        }
    }

    /// Prefixes waiting.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::with_hasher(self.places.hasher().clone());
    }

    pub(super) fn push(&mut self, delta: Delta) {
        let family = Family::of(&delta.prefix);
        let place = match delta.attrs {
            None => Place::Withdrawn,
            Some(attrs) => Place::Group(self.group(attrs, family)),
        };
        if self.places.insert(delta.prefix, place) == Some(place) {
            return;
        }
        self.list(place, family, delta.prefix);
        if self.listed > 2 * self.places.len() + STALE_SLACK {
            self.compact();
        }
    }

    pub(super) fn end_of_rib(&mut self, family: Family) {
        let last = self.queue.values().next_back();
        if matches!(last, Some(Item::EndOfRib(queued)) if *queued == family) {
            return;
        }
        self.open_groups.clear();
        self.enqueue(Item::EndOfRib(family));
    }

    /// Appends UPDATEs until `buf` holds `limit` octets or nothing is left.
    pub(super) fn drain(
        &mut self,
        target: &Target<'_>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> Drained {
        let mut drained = Drained::default();
        while buf.len() < limit {
            if self.drain_withdrawn(buf) {
                drained.updates += 1;
            } else if !self.drain_item(target, buf, limit, &mut drained) {
                break;
            }
        }
        drained
    }

    /// The group for these attributes, made if there is none that is open.
    fn group(&mut self, attrs: Arc<Attrs>, family: Family) -> NonZeroU64 {
        let key = (Arc::as_ptr(&attrs).addr(), family);
        if let Some(group) = self.open_groups.get(&key) {
            return *group;
        }
        let group = self.enqueue(Item::Group {
            attrs,
            family,
            prefixes: Vec::new(),
        });
        self.open_groups.insert(key, group);
        group
    }

    fn enqueue(&mut self, item: Item) -> NonZeroU64 {
        let number = self.next_item;
        self.next_item = number.saturating_add(1);
        self.queue.insert(number, item);
        number
    }

    fn list(&mut self, place: Place, family: Family, prefix: Prefix) {
        self.listed += 1;
        match place {
            Place::Withdrawn => self.withdrawn[family as usize].push(prefix),
            Place::Group(group) => {
                if let Some(Item::Group { prefixes, .. }) = self.queue.get_mut(&group) {
                    prefixes.push(prefix);
                }
            }
        }
    }

    /// Drops what is stale. A prefix that came back to a place may be listed there twice; only
    /// one of them stays.
    fn compact(&mut self) {
        let places = &self.places;
        let mut listed = 0;
        let mut keep = |place: Place, prefixes: &mut Vec<Prefix>| {
            prefixes.retain(|prefix| places.get(prefix) == Some(&place));
            prefixes.sort_unstable();
            prefixes.dedup();
            listed += prefixes.len();
        };
        for prefixes in &mut self.withdrawn {
            keep(Place::Withdrawn, prefixes);
        }
        self.queue.retain(|number, item| match item {
            Item::EndOfRib(_) => true,
            Item::Group { prefixes, .. } => {
                keep(Place::Group(*number), prefixes);
                !prefixes.is_empty()
            }
        });
        let queue = &self.queue;
        self.open_groups
            .retain(|_, group| queue.contains_key(group));
        self.listed = listed;
    }

    fn drain_withdrawn(&mut self, buf: &mut BytesMut) -> bool {
        for family in Family::ALL {
            let mut prefixes = std::mem::take(&mut self.withdrawn[family as usize]);
            self.collect(Place::Withdrawn, &mut prefixes, wire::withdraw_room(family));
            self.withdrawn[family as usize] = prefixes;
            if !self.scratch.is_empty() {
                wire::encode_withdraw(&self.scratch, buf);
                return true;
            }
        }
        false
    }

    /// Moves prefixes whose latest change waits at `place` into `scratch`, as many as fit.
    fn collect(&mut self, place: Place, prefixes: &mut Vec<Prefix>, mut room: usize) {
        self.scratch.clear();
        while let Some(prefix) = prefixes.last().copied() {
            let octets = wire::prefix_octets(&prefix);
            let is_current = self.places.get(&prefix) == Some(&place);
            if is_current && octets > room {
                break;
            }
            prefixes.pop();
            self.listed -= 1;
            if is_current {
                room -= octets;
                self.places.remove(&prefix);
                self.scratch.push(prefix);
            }
        }
    }

    /// Works on the first item of the queue; `false` when there is none.
    fn drain_item(
        &mut self,
        target: &Target<'_>,
        buf: &mut BytesMut,
        limit: usize,
        drained: &mut Drained,
    ) -> bool {
        let Some((number, item)) = self.queue.pop_first() else {
            return false;
        };
        match item {
            Item::EndOfRib(family) => {
                wire::encode_end_of_rib(family, buf);
                drained.updates += 1;
            }
            Item::Group {
                attrs,
                family,
                mut prefixes,
            } => {
                let place = Place::Group(number);
                if self.load(&attrs, family, target) {
                    drained.updates += self.write(place, &mut prefixes, buf, limit);
                } else {
                    drained.unsendable += self.withdraw_all(place, &mut prefixes, family);
                }
                if prefixes.is_empty() {
                    let key = (Arc::as_ptr(&attrs).addr(), family);
                    if self.open_groups.get(&key) == Some(&number) {
                        self.open_groups.remove(&key);
                    }
                } else {
                    let rest = Item::Group {
                        attrs,
                        family,
                        prefixes,
                    };
                    self.queue.insert(number, rest);
                }
            }
        }
        true
    }

    fn load(&mut self, attrs: &Attrs, family: Family, target: &Target<'_>) -> bool {
        let nexthop = attrs.nexthop.or(target.nexthops[family as usize]);
        nexthop.is_some_and(|nexthop| {
            self.writer
                .load(attrs, nexthop, family, target.dialect)
                .is_ok()
        })
    }

    fn write(
        &mut self,
        place: Place,
        prefixes: &mut Vec<Prefix>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> u64 {
        let mut updates = 0;
        while !prefixes.is_empty() && buf.len() < limit {
            self.collect(place, prefixes, self.writer.room());
            if !self.scratch.is_empty() {
                self.writer.write(&self.scratch, buf);
                updates += 1;
            }
        }
        updates
    }

    /// The peer must not keep an older path for a prefix whose latest one cannot be sent.
    fn withdraw_all(&mut self, place: Place, prefixes: &mut Vec<Prefix>, family: Family) -> u64 {
        self.collect(place, prefixes, usize::MAX);
        let unsendable = std::mem::take(&mut self.scratch);
        for prefix in &unsendable {
            self.places.insert(*prefix, Place::Withdrawn);
            self.list(Place::Withdrawn, family, *prefix);
        }
        u64::try_from(unsendable.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RouteEvent;
    use crate::types::Asn;
    use crate::wire::{Frames, decode_update};
    use crate::{AsPath, Community, RawAttr};

    fn dialect() -> Dialect {
        Dialect::new(Asn(65001), Asn(65002))
    }

    fn attrs(med: u32) -> Arc<Attrs> {
        let mut attrs = Attrs::originated();
        attrs.med = Some(med);
        attrs.as_path = AsPath::sequence(&[Asn(65001)]);
        Arc::new(attrs)
    }

    fn v4(number: u32) -> Prefix {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 | number << 8);
        Prefix::V4(ipnet::Ipv4Net::new(address, 24).expect("legal"))
    }

    fn announce(number: u32, attrs: &Arc<Attrs>) -> Delta {
        Delta {
            prefix: v4(number),
            attrs: Some(Arc::clone(attrs)),
        }
    }

    fn withdraw(number: u32) -> Delta {
        Delta {
            prefix: v4(number),
            attrs: None,
        }
    }

    fn drain(outbox: &mut Outbox) -> (Vec<RouteEvent>, Drained) {
        let mut seen_by_peer = dialect();
        std::mem::swap(&mut seen_by_peer.local_asn, &mut seen_by_peer.peer_asn);
        let target = Target {
            dialect: &dialect(),
            nexthops: [Some(IpAddr::from([192, 0, 2, 1])), None],
        };
        let mut buf = BytesMut::new();
        let drained = outbox.drain(&target, &mut buf, usize::MAX);
        let (mut frames, mut events, mut faults) = (Frames::default(), vec![], vec![]);
        let mut input = &buf[..];
        while let Some(frame) = frames.next(&mut input) {
            let body = frame.expect("a valid header").body;
            decode_update(body, &seen_by_peer, &mut events, &mut faults).expect("valid");
        }
        assert_eq!(faults, []);
        assert_eq!((outbox.len(), outbox.listed), (0, 0));
        (events, drained)
    }

    #[test]
    fn the_latest_change_of_a_prefix_wins() {
        let (a, b) = (attrs(1), attrs(2));
        let mut outbox = Outbox::new(7);
        for delta in [
            announce(1, &a),
            announce(1, &b),
            announce(1, &a),
            announce(2, &a),
            withdraw(2),
            withdraw(3),
            announce(3, &b),
        ] {
            outbox.push(delta);
        }
        assert_eq!(outbox.len(), 3);
        let (events, _) = drain(&mut outbox);
        let said: Vec<(Option<u32>, Vec<Prefix>)> = events
            .into_iter()
            .map(|event| match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => (attrs.med, prefixes),
                RouteEvent::Withdraw { prefixes, .. } => (None, prefixes),
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => unreachable!("none was pushed"),
            })
            .collect();
        assert_eq!(
            said,
            [
                (None, vec![v4(2)]),
                (Some(1), vec![v4(1)]),
                (Some(2), vec![v4(3)])
            ]
        );
    }

    #[test]
    fn end_of_rib_leaves_after_all_that_came_before_it() {
        let a = attrs(1);
        let mut outbox = Outbox::new(7);
        outbox.push(announce(1, &a));
        outbox.end_of_rib(Family::Ipv4Unicast);
        outbox.end_of_rib(Family::Ipv4Unicast);
        outbox.push(announce(2, &a));
        let (events, drained) = drain(&mut outbox);
        assert_eq!(drained.updates, 3);
        assert!(
            matches!(&events[0], RouteEvent::Announce { prefixes, .. } if *prefixes == [v4(1)])
        );
        assert_eq!(events[1], RouteEvent::EndOfRib(Family::Ipv4Unicast));
        assert!(
            matches!(&events[2], RouteEvent::Announce { prefixes, .. } if *prefixes == [v4(2)])
        );
    }

    #[test]
    fn prefixes_with_the_same_attributes_share_messages() {
        let a = attrs(1);
        let mut outbox = Outbox::new(7);
        for number in 0..10_000 {
            outbox.push(announce(number, &a));
        }
        let (events, drained) = drain(&mut outbox);
        // About a thousand prefixes of four octets fit into one message.
        assert_eq!(drained.updates, 10);
        let sent: usize = events
            .iter()
            .map(|event| match event {
                RouteEvent::Announce { prefixes, .. } => prefixes.len(),
                RouteEvent::Withdraw { .. }
                | RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => 0,
            })
            .sum();
        assert_eq!(sent, 10_000);
    }

    #[test]
    fn a_prefix_that_flaps_while_the_peer_is_slow_takes_bounded_memory() {
        let mut outbox = Outbox::new(7);
        for round in 0..100_000 {
            outbox.push(announce(round % 3, &attrs(round)));
            outbox.push(withdraw(round % 3));
            assert!(outbox.listed <= 2 * 3 + STALE_SLACK + 1);
            assert!(outbox.queue.len() <= 2 * 3 + STALE_SLACK + 1);
        }
        let (events, _) = drain(&mut outbox);
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn what_cannot_be_sent_is_withdrawn() {
        let mut too_long = Attrs::originated();
        too_long.as_path = AsPath::sequence(&[Asn(65001)]);
        too_long.communities = (0..1100).map(Community).collect();
        let mut huge = Attrs::clone(&attrs(1));
        huge.unknown = Some(Box::new(vec![RawAttr {
            code: 99,
            flags: 0xe0,
            value: vec![0; 4060].into(),
        }]));
        let mut foreign = Attrs::clone(&attrs(1));
        foreign.nexthop = Some(IpAddr::from([0x2001, 0, 0, 0, 0, 0, 0, 1]));
        for attrs in [too_long, huge, foreign] {
            let mut outbox = Outbox::new(7);
            outbox.push(announce(1, &Arc::new(attrs)));
            let (events, drained) = drain(&mut outbox);
            assert_eq!(drained.unsendable, 1);
            assert_eq!(events, [RouteEvent::withdraw(vec![v4(1)])]);
        }
    }
}
