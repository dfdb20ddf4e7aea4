//! Equal values stored once and named by four bytes.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Names a value of an [`Interner`]. Holders count: every [`Interner::acquire`] and
/// [`Interner::retain`] is answered by one [`Interner::release`].
pub(super) struct Id<T> {
    position: NonZeroU32,
    names: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    fn new(position: u32) -> Self {
        Self {
            position: NonZeroU32::MIN.saturating_add(position),
            names: PhantomData,
        }
    }

    pub(super) fn index(self) -> usize {
        self.position.get() as usize - 1
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position
    }
}

impl<T> Eq for Id<T> {}

impl<T> Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.position.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.position)
    }
}

/// Values that are stored once, counted, and dropped with their last holder.
///
/// Counting is explicit rather than left to `Arc`, because sessions hold clones of the `Arc` for
/// as long as a slow peer takes: only the RIB's own holders say whether a value is in use.
#[derive(Debug)]
pub(super) struct Interner<T> {
    values: Vec<Option<Value<T>>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    /// Acquired last, if it is still there.
    last: u32,
}

#[derive(Debug)]
struct Value<T> {
    shared: Arc<T>,
    /// Half of the hash: enough to find it again, see [`spread`].
    hash: u32,
    /// A holder costs more than an octet, so that 2^32 of them do not fit in memory.
    holders: u32,
}

// There are two for each attribute set: as it came, and as it is told.
const _: () = assert!(size_of::<Option<Value<u64>>>() == 16);

impl<T: Eq + Hash> Interner<T> {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher,
            last: 0,
        }
    }

    /// One more holder of this value; the flag of the answer says whether it is the first.
    pub(super) fn acquire(&mut self, value: &Arc<T>) -> (Id<T>, Holder) {
        let hash = self.hash(value);
        let found = self.index.find(spread(hash), |&position| {
            live(&self.values, position as usize)
                .is_some_and(|known| Arc::ptr_eq(&known.shared, value) || *known.shared == **value)
        });
        match found {
            Some(&position) => (self.hold(position), Holder::Further),
            None => (self.insert(hash, Arc::clone(value)), Holder::First),
        }
    }

    /// As [`Interner::acquire`], for a value that nobody shares yet. One equal to the last is found
    /// at once.
    pub(super) fn acquire_owned(&mut self, value: T) -> Id<T> {
        let is_it = |position: u32| {
            live(&self.values, position as usize).is_some_and(|known| *known.shared == value)
        };
        if is_it(self.last) {
            return self.hold(self.last);
        }
        let hash = self.hash(&value);
        match self.index.find(spread(hash), |&position| is_it(position)) {
            Some(&position) => self.hold(position),
            None => self.insert(hash, Arc::new(value)),
        }
    }

    fn hold(&mut self, position: u32) -> Id<T> {
        self.last = position;
        let id = Id::new(position);
        self.retain(id);
        id
    }

    fn hash(&self, value: &T) -> u32 {
        let hash = self.hasher.hash_one(value);
        (hash ^ hash >> 32) as u32
    }

    fn insert(&mut self, hash: u32, shared: Arc<T>) -> Id<T> {
        let entry = Value {
            shared,
            hash,
            holders: 1,
        };
        let position = match self.free.pop() {
            Some(position) => {
                self.values[position as usize] = Some(entry);
                position
            }
            None => {
                self.values.push(Some(entry));
                u32::try_from(self.values.len() - 1).expect("2^32 values do not fit in memory")
            }
        };
        let values = &self.values;
        self.index.insert_unique(spread(hash), position, |&other| {
            live(values, other as usize).map_or(0, |known| spread(known.hash))
        });
        self.last = position;
        Id::new(position)
    }

    /// One more holder.
    pub(super) fn retain(&mut self, id: Id<T>) {
        if let Some(value) = self.values.get_mut(id.index()).and_then(Option::as_mut) {
            value.holders += 1;
        }
    }

    /// One holder less. Returns the value when this was the last.
    pub(super) fn release(&mut self, id: Id<T>) -> Option<Arc<T>> {
        let value = self.values.get_mut(id.index())?.as_mut()?;
        value.holders -= 1;
        if value.holders > 0 {
            return None;
        }
        let position = u32::try_from(id.index()).ok()?;
        if let Ok(entry) = self
            .index
            .find_entry(spread(value.hash), |&other| other == position)
        {
            entry.remove();
        }
        self.free.push(position);
        self.values[id.index()].take().map(|value| value.shared)
    }

    /// The value.
    pub(super) fn value(&self, id: Id<T>) -> &Arc<T> {
        &live(&self.values, id.index())
            .expect("an id names its value until its last holder releases it")
            .shared
    }

    /// Every value, with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let values = self.values.iter().enumerate();
        values.filter_map(|(index, value)| Some((index, &*value.as_ref()?.shared)))
    }

    /// Every value, and how many hold it.
    pub(super) fn held(&self) -> impl Iterator<Item = (&T, u32)> {
        let values = self.values.iter().flatten();
        values.map(|value| (&*value.shared, value.holders))
    }

    /// How many hold a value.
    pub(super) fn holders(&self, id: Id<T>) -> u32 {
        live(&self.values, id.index()).map_or(0, |value| value.holders)
    }

    /// How many different values are held.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

/// Whether an [`Interner::acquire`] found the value there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// The value was not there.
    First,
    /// It was.
    Further,
}

/// A hash as the table wants it, which looks at the highest and the lowest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn live<T>(values: &[Option<Value<T>>], index: usize) -> Option<&Value<T>> {
    values.get(index).and_then(Option::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_an_id_and_go_with_the_last_holder() {
        let mut interner = Interner::new(FixedState::with_seed(1));
        let (a, first) = interner.acquire(&Arc::new(7));
        let (b, further) = interner.acquire(&Arc::new(7));
        assert_eq!((a, first, further), (b, Holder::First, Holder::Further));
        assert_eq!(interner.release(a), None);
        assert_eq!(interner.len(), 1);
        assert_eq!(interner.release(b), Some(Arc::new(7)));
        assert_eq!(interner.len(), 0);
    }

    #[test]
    fn a_place_is_used_again_and_others_stay() {
        let mut interner = Interner::new(FixedState::with_seed(1));
        let ids: Vec<_> = (0..100).map(|i| interner.acquire(&Arc::new(i)).0).collect();
        for id in ids.iter().step_by(2) {
            interner.release(*id);
        }
        for i in 100..150 {
            interner.acquire(&Arc::new(i));
        }
        assert_eq!(interner.values.len(), 100);
        for (i, id) in ids.iter().enumerate().skip(1).step_by(2) {
            assert_eq!(**interner.value(*id), i);
        }
    }
}
