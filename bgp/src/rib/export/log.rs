//! What a group was sent lately, encoded once for all members that keep up.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::super::table::Slot;
use super::Whose;
use super::batch::{Batch, Change, Packed, Segment};
use crate::route::Updates;

/// Messages by number, from the oldest that a member has still to read.
#[derive(Debug, Default)]
pub(super) struct Log {
    first: u64,
    chunks: VecDeque<Chunk>,
    octets: usize,
    /// Places of prefixes whose withdrawal every reader has.
    pub(super) spent: Vec<Slot>,
}

#[derive(Debug)]
struct Chunk {
    packed: Packed,
    changes: Vec<Change>,
    withdrawn: Vec<Slot>,
    /// Members that have still to read it.
    readers: usize,
}

impl Chunk {
    fn size(&self) -> usize {
        self.packed.bytes.len() + size_of_val(&self.changes[..]) + size_of_val(&self.withdrawn[..])
    }
}

impl Packed {
    /// What is for this member.
    pub(super) fn share(&self, member: Whose) -> Updates {
        let mut runs: SmallVec<[(usize, usize); 2]> = SmallVec::new();
        let mut begin = 0;
        let mut count = 0;
        for Segment {
            audience,
            end,
            updates,
        } in &self.segments
        {
            if audience.includes(member) {
                count += updates;
                match runs.last_mut() {
                    Some((_, last)) if *last == begin => *last = *end,
                    _ => runs.push((begin, *end)),
                }
            }
            begin = *end;
        }
        let slice = |(begin, end): (usize, usize)| self.bytes.slice(begin..end);
        Updates {
            bytes: runs.into_iter().map(slice).collect(),
            count,
        }
    }

    /// Whether anything is for this member.
    pub(super) fn concerns(&self, member: Whose) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| segment.audience.includes(member))
    }
}

impl Log {
    /// The number that the next chunk gets.
    pub(super) fn end(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// Whether there is so much that whoever has not read the first chunk is to be left behind.
    pub(super) fn is_longer_than(&self, limit: usize) -> bool {
        self.octets > limit && self.chunks.len() > 1
    }

    /// Whether a reader at this place is at the beginning.
    pub(super) fn is_first(&self, cursor: u64) -> bool {
        cursor == self.first
    }

    /// Appends what is in the batch for so many readers, none at all included.
    pub(super) fn append(&mut self, packed: Packed, batch: &mut Batch, readers: usize) {
        let chunk = Chunk {
            packed,
            changes: batch.changes.as_slice().into(),
            withdrawn: std::mem::take(&mut batch.withdrawn),
            readers,
        };
        batch.changes.clear();
        self.octets += chunk.size();
        self.chunks.push_back(chunk);
        self.drop_read();
    }

    /// What comes next for this member.
    pub(super) fn read(&mut self, cursor: &mut u64, member: Whose) -> Option<Updates> {
        while let Some(chunk) = self.chunk_mut(*cursor) {
            let share = chunk.packed.share(member);
            chunk.readers -= 1;
            *cursor += 1;
            self.drop_read();
            if !share.bytes.is_empty() {
                return Some(share);
            }
        }
        None
    }

    /// A reader at this place reads no more.
    pub(super) fn leave(&mut self, cursor: u64) {
        for chunk in self.chunks_from(cursor) {
            chunk.readers -= 1;
        }
        self.drop_read();
    }

    /// Changes that a reader at this place has not read, the latest first.
    pub(super) fn unread(&self, cursor: u64) -> impl Iterator<Item = &Change> {
        let skip = self.skip(cursor);
        let chunks = self.chunks.iter().skip(skip).rev();
        chunks.flat_map(|chunk| chunk.changes.iter().rev())
    }

    fn chunk_mut(&mut self, number: u64) -> Option<&mut Chunk> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.chunks.get_mut(index)
    }

    fn chunks_from(&mut self, cursor: u64) -> impl Iterator<Item = &mut Chunk> {
        let skip = self.skip(cursor);
        self.chunks.iter_mut().skip(skip)
    }

    fn skip(&self, cursor: u64) -> usize {
        usize::try_from(cursor.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    fn drop_read(&mut self) {
        while self.chunks.front().is_some_and(|chunk| chunk.readers == 0) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.octets -= chunk.size();
                self.first += 1;
                self.spent.extend(chunk.withdrawn);
            }
        }
    }
}
