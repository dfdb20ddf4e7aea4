//! A set of small numbers that grows by itself: one bit a number.

/// Numbers from 0, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct BitSet {
    words: Vec<u64>,
    count: usize,
}

impl BitSet {
    /// Adds `index`; `true` if it was not there.
    pub(super) fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = place(index);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += usize::from(fresh);
        fresh
    }

    /// Takes `index` out; `true` if it was there.
    pub(super) fn remove(&mut self, index: usize) -> bool {
        let present = self.contains(index);
        if present {
            let (word, bit) = place(index);
            self.words[word] &= !bit;
            self.count -= 1;
        }
        present
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        let (word, bit) = place(index);
        self.words.get(word).is_some_and(|held| held & bit != 0)
    }

    /// Adds every number below `end`. Costs `end / 64` steps.
    pub(super) fn fill(&mut self, end: usize) {
        let (word, bit) = place(end);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[..word].fill(u64::MAX);
        self.words[word] |= bit - 1;
        self.count = self
            .words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum();
    }

    /// The lowest number not below `start`.
    pub(super) fn next_from(&self, start: usize) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let (first, bit) = place(start);
        let masked = self.words.get(first)? & !(bit - 1);
        let rest = self.words.get(first + 1..).unwrap_or_default();
        std::iter::once(masked)
            .chain(rest.iter().copied())
            .enumerate()
            .find(|(_, word)| *word != 0)
            .map(|(offset, word)| (first + offset) * 64 + word.trailing_zeros() as usize)
    }

    /// Numbers in both, in ascending order. Costs as many steps as the smaller set has words.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let words = self.words.iter().zip(&other.words).enumerate();
        words.flat_map(|(word, (mine, theirs))| {
            let some = |bits: u64| (bits != 0).then_some(bits);
            std::iter::successors(some(mine & theirs), move |bits| some(bits & (bits - 1)))
                .map(move |bits| word * 64 + bits.trailing_zeros() as usize)
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl FromIterator<usize> for BitSet {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

fn place(index: usize) -> (usize, u64) {
    (index / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_in_order_and_forgets_what_is_removed() {
        let mut set = BitSet::default();
        for index in [200, 0, 63, 64, 200] {
            set.insert(index);
        }
        set.remove(63);
        set.remove(1000);
        let mut seen = Vec::new();
        let mut at = 0;
        while let Some(index) = set.next_from(at) {
            seen.push(index);
            at = index + 1;
        }
        assert_eq!((seen, set.len()), (vec![0, 64, 200], 3));
    }

    #[test]
    fn what_is_common_is_in_both_in_order() {
        let set = |numbers: &[usize]| numbers.iter().copied().collect::<BitSet>();
        let (one, other) = (set(&[0, 3, 63, 64, 127, 300]), set(&[3, 63, 65, 127, 128]));
        let both = [3, 63, 127];
        assert_eq!(one.common(&other).collect::<Vec<_>>(), both);
        assert_eq!(other.common(&one).collect::<Vec<_>>(), both);
        assert_eq!(one.common(&BitSet::default()).count(), 0);
    }

    #[test]
    fn fill_adds_exactly_the_numbers_below_the_end() {
        for end in [0, 1, 63, 64, 65, 128] {
            let mut set = BitSet::default();
            set.fill(end);
            assert_eq!(set.len(), end);
            assert!(!set.contains(end));
        }
    }
}
