//! The routes that wait for a step, and whose turn is next.

use std::cmp::Reverse;

use bgp::Prefix;

use super::BATCH;

/// Goes in rounds: those that wait when one begins, the shortest prefixes first, and those of one
/// length in the order in which they came.
///
/// The kernel's trie takes less rebuilding when what stands near its root comes first; in the
/// order of addresses it takes half as much again, for then it grows at one edge. Rounds, because
/// prefixes that change all the time must not hold up longer ones for ever.
#[derive(Default)]
pub(super) struct Queue {
    /// The next is last.
    round: Vec<Prefix>,
    later: Vec<Prefix>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.round.len() + self.later.len()
    }

    pub(super) fn push(&mut self, prefix: Prefix) {
        self.later.push(prefix);
    }

    /// What [`Queue::pop`] will give, as far as the round goes.
    pub(super) fn upcoming(&mut self) -> impl Iterator<Item = &Prefix> {
        if self.round.is_empty() {
            self.begin();
        }
        self.round.iter().rev()
    }

    pub(super) fn pop(&mut self) -> Option<Prefix> {
        if self.round.is_empty() {
            self.begin();
        }
        self.round.pop()
    }

    fn begin(&mut self) {
        self.round.shrink_to(BATCH);
        self.round.extend(self.later.drain(..).rev());
        self.later.shrink_to(BATCH);
        self.round
            .sort_by_key(|prefix| Reverse(prefix.prefix_len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(prefixes: &[&str]) -> Queue {
        let mut queue = Queue::default();
        push(&mut queue, prefixes);
        queue
    }

    fn push(queue: &mut Queue, prefixes: &[&str]) {
        for prefix in prefixes {
            queue.push(prefix.parse().unwrap());
        }
    }

    fn rest(queue: &mut Queue) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(prefix) = queue.pop() {
            rest.push(prefix.to_string());
        }
        rest
    }

    #[test]
    fn short_prefixes_go_first_and_equal_ones_as_they_came() {
        let mut queue = queue(&["10.2.0.0/24", "10.1.0.0/24", "2001:db8::/32", "10.0.0.0/8"]);
        assert_eq!(queue.len(), 4);
        let upcoming: Vec<_> = queue.upcoming().map(Prefix::to_string).collect();
        let order = ["10.0.0.0/8", "10.2.0.0/24", "10.1.0.0/24", "2001:db8::/32"];
        assert_eq!(upcoming, order);
        assert_eq!(rest(&mut queue), order);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_comes_later_waits_until_the_round_is_over() {
        let mut queue = queue(&["10.1.0.0/24", "10.2.0.0/24"]);
        queue.pop();
        push(&mut queue, &["10.0.0.0/8"]);
        assert_eq!(rest(&mut queue), ["10.2.0.0/24", "10.0.0.0/8"]);
    }

    #[test]
    fn a_queue_that_was_long_takes_no_room_when_it_is_empty() {
        let mut queue = Queue::default();
        for number in 0..100_000u32 {
            queue.push(Prefix::new((number << 8).to_be_bytes().into(), 24).unwrap());
        }
        assert_eq!(rest(&mut queue).len(), 100_000);
        let room = queue.round.capacity() + queue.later.capacity();
        assert!(room <= 2 * BATCH, "{room} entries are still kept");
    }
}
