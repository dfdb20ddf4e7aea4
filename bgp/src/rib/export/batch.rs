//! Changes packed into UPDATEs: what says the same to the same peers shares messages.

use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::attrs::{AttrsId, AttrsTable};
use super::super::table::Slot;
use super::Whose;
use super::policy::Policy;
use crate::types::{Family, PathId, Prefix};
use crate::wire::{self, HEADER_LEN, UpdateWriter};

/// A batch takes no more once its messages have about this many octets.
const OCTETS: usize = 64 * 1024;

/// For which members of a group a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Audience {
    /// All but the one whose path it is about: nothing goes back to where it came from.
    Except(Whose),
    /// Only for this one.
    Only(Whose),
}

impl Audience {
    /// Every member.
    pub(super) const ALL: Self = Self::Except(Whose::OURSELVES);

    pub(super) fn includes(self, member: Whose) -> bool {
        match self {
            Self::Except(other) => other != member,
            Self::Only(other) => other == member,
        }
    }
}

/// What the messages of a bucket say, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    audience: Audience,
    family: Family,
    /// `None` withdraws.
    attrs: Option<AttrsId>,
}

/// Changes that have not been packed yet. Reused, so that its memory is.
#[derive(Debug)]
pub(super) struct Batch {
    buckets: Vec<Key>,
    index: HashMap<Key, usize, FixedState>,
    /// The bucket used last: neighbours in the table often share one.
    last: Option<(Key, usize)>,
    /// By bucket; those beyond have been used before and may be again.
    writers: Vec<UpdateWriter>,
    items: Vec<Item>,
    octets: usize,
    /// What a log needs to know of the changes.
    pub(super) changes: Vec<Change>,
    /// Places whose prefix is withdrawn, kept until nobody has still to be told.
    pub(super) withdrawn: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    bucket: u32,
    prefix: Prefix,
    /// Where the members are told of several paths.
    path_id: PathId,
}

/// One change of what a group was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) family: Family,
    pub(super) index: u32,
    /// Whose path had been sent before; `None`: none had been.
    pub(super) before: Option<Whose>,
}

const _: () = assert!(size_of::<Change>() == 12);

/// The items of a batch by bucket.
struct Sorted {
    prefixes: Vec<Prefix>,
    path_ids: Vec<PathId>,
}

/// A run of messages for the same members, within the bytes of a [`Packed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) audience: Audience,
    pub(super) end: usize,
    pub(super) updates: u64,
}

/// The messages of a batch.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: Bytes,
    pub(super) segments: Vec<Segment>,
}

impl Batch {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            buckets: Vec::new(),
            index: HashMap::with_hasher(hasher),
            last: None,
            writers: Vec::new(),
            items: Vec::new(),
            octets: 0,
            changes: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.octets >= OCTETS
    }

    pub(super) fn announce(
        &mut self,
        audience: Audience,
        (prefix, path_id, id): (Prefix, PathId, AttrsId),
        attrs: &AttrsTable,
        policy: &Policy,
    ) {
        let family = Family::of(&prefix);
        let key = Key {
            audience,
            family,
            attrs: Some(id),
        };
        let (bucket, is_new) = self.bucket(key);
        if is_new && let Some(writer) = self.writers.get_mut(bucket) {
            // The policy has tried it: it can be.
            policy.load(attrs.value(id), family, writer);
            self.octets += writer.overhead();
        }
        self.push(bucket, prefix, path_id);
    }

    pub(super) fn withdraw(&mut self, audience: Audience, prefix: Prefix, path_id: PathId) {
        let key = Key {
            audience,
            family: Family::of(&prefix),
            attrs: None,
        };
        let (bucket, is_new) = self.bucket(key);
        self.octets += if is_new { HEADER_LEN } else { 0 };
        self.push(bucket, prefix, path_id);
    }

    fn bucket(&mut self, key: Key) -> (usize, bool) {
        if let Some((last, bucket)) = self.last
            && last == key
        {
            return (bucket, false);
        }
        let next = self.buckets.len();
        let bucket = *self.index.entry(key).or_insert(next);
        self.last = Some((key, bucket));
        if bucket == next {
            self.buckets.push(key);
            if self.writers.len() < self.buckets.len() {
                self.writers.push(UpdateWriter::default());
            }
        }
        (bucket, bucket == next)
    }

    fn push(&mut self, bucket: usize, prefix: Prefix, path_id: PathId) {
        self.octets += wire::prefix_octets(&prefix);
        self.items.push(Item {
            bucket: u32::try_from(bucket).unwrap_or(u32::MAX),
            prefix,
            path_id,
        });
    }

    /// Packs everything; the batch is as new afterwards, but for `changes` and `withdrawn`.
    pub(super) fn pack(&mut self, policy: &Policy) -> Packed {
        if self.items.is_empty() {
            return Packed::default();
        }
        // Withdrawals go first: a peer that takes only so many prefixes has room before it is told of
        // more. Buckets of one audience lie together, each kind in order of first appearance.
        let mut order: Vec<usize> = (0..self.buckets.len()).collect();
        order.sort_by_key(|&bucket| {
            let Key {
                attrs, audience, ..
            } = self.buckets[bucket];
            (attrs.is_some(), audience)
        });
        let (items, ends) = self.sorted_items();
        let mut out = BytesMut::with_capacity(self.octets + self.octets / 8);
        let mut segments: Vec<Segment> = Vec::new();
        for bucket in order {
            let begin = bucket.checked_sub(1).map_or(0, |before| ends[before]);
            let range = begin..ends[bucket];
            let nlri = (&items.prefixes[range.clone()], &items.path_ids[range]);
            let updates = self.write(bucket, nlri, policy, &mut out);
            let audience = self.buckets[bucket].audience;
            match segments.last_mut() {
                Some(last) if last.audience == audience => {
                    last.end = out.len();
                    last.updates += updates;
                }
                _ => segments.push(Segment {
                    audience,
                    end: out.len(),
                    updates,
                }),
            }
        }
        self.buckets.clear();
        self.index.clear();
        self.last = None;
        self.items.clear();
        self.octets = 0;
        Packed {
            bytes: out.freeze(),
            segments,
        }
    }

    /// By bucket, in the order in which they came, and where each bucket ends.
    fn sorted_items(&self) -> (Sorted, Vec<usize>) {
        let mut ends = vec![0; self.buckets.len()];
        for item in &self.items {
            ends[item.bucket as usize] += 1;
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        let mut sorted = Sorted {
            prefixes: vec![Prefix::default(); self.items.len()],
            path_ids: vec![PathId::default(); self.items.len()],
        };
        for item in &self.items {
            let end = &mut ends[item.bucket as usize];
            sorted.prefixes[*end] = item.prefix;
            sorted.path_ids[*end] = item.path_id;
            *end += 1;
        }
        (sorted, ends)
    }

    fn write(
        &self,
        bucket: usize,
        (mut prefixes, mut path_ids): (&[Prefix], &[PathId]),
        policy: &Policy,
        out: &mut BytesMut,
    ) -> u64 {
        let Key { family, attrs, .. } = self.buckets[bucket];
        if !policy.key().has_several_paths(family) {
            path_ids = &[];
        }
        let longest = policy.key().max_message_len();
        let mut updates = 0;
        while !prefixes.is_empty() {
            let count = match attrs {
                Some(_) => self.writers[bucket].write(prefixes, path_ids, out),
                None => wire::encode_withdraw(prefixes, path_ids, longest, out),
            };
            if count == 0 {
                break;
            }
            prefixes = &prefixes[count..];
            path_ids = path_ids.get(count..).unwrap_or_default();
            updates += 1;
        }
        updates
    }
}
