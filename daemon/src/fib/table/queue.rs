//! The routes that wait for a step, and whose turn is next.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::Prefix;

use super::BATCH;

/// With so much waiting there is no room for more, octets: 1 Mi prefixes of IPv4, or a quarter of that of IPv6.
/// The more there is to choose from, the better the order.
const ROOM: usize = 4 << 20;

/// Goes in rounds: those that wait, the shortest prefixes first, and those of one length in the order in which
/// they came.
///
/// The kernel's trie takes less rebuilding when what stands near its root comes first: a full table
/// of the internet takes it three quarters of the time. In the order of addresses it takes half as much again, for
/// then it grows at one edge. A round takes in what comes while it lasts, but ends: prefixes that
/// change all the time must not hold up longer ones for ever.
#[derive(Default)]
pub(super) struct Queue {
    round: Round,
    /// What has joined this round, octets.
    joined: usize,
    later: Round,
}

impl Queue {
    pub(super) fn has_room(&self) -> bool {
        self.round.octets + self.later.octets < ROOM
    }

    pub(super) fn push(&mut self, prefix: Prefix) {
        if self.joined < ROOM {
            self.joined += octets(prefix.addr());
            self.round.push(&prefix);
        } else {
            self.later.push(&prefix);
        }
    }

    /// What [`Queue::pop`] will give, as far as the round goes.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = Prefix> {
        self.round.iter()
    }

    pub(super) fn pop(&mut self) -> Option<Prefix> {
        let next = self.round.pop();
        if self.round.octets == 0 {
            self.round = std::mem::take(&mut self.later);
            self.joined = self.round.octets;
        }
        next
    }
}

/// What an address takes.
fn octets(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => size_of::<Ipv4Addr>(),
        IpAddr::V6(_) => size_of::<Ipv6Addr>(),
    }
}

/// By length of the prefix, so that an entry is an address and no more.
#[derive(Default)]
struct Round {
    v4: Vec<VecDeque<Ipv4Addr>>,
    v6: Vec<VecDeque<Ipv6Addr>>,
    octets: usize,
    /// No shorter prefix waits.
    shortest: u8,
}

impl Round {
    fn push(&mut self, prefix: &Prefix) {
        let length = prefix.prefix_len();
        match prefix.addr() {
            IpAddr::V4(address) => lengthen(&mut self.v4, length).push_back(address),
            IpAddr::V6(address) => lengthen(&mut self.v6, length).push_back(address),
        }
        self.octets += octets(prefix.addr());
        self.shortest = self.shortest.min(length);
    }

    fn pop(&mut self) -> Option<Prefix> {
        while self.octets > 0 {
            let length = self.shortest;
            let v4 = take(&mut self.v4, length).map(IpAddr::V4);
            if let Some(address) = v4.or_else(|| take(&mut self.v6, length).map(IpAddr::V6)) {
                self.octets -= octets(address);
                return Prefix::new(address, length).ok();
            }
            self.shortest += 1;
        }
        self.shortest = 0;
        None
    }

    fn iter(&self) -> impl Iterator<Item = Prefix> {
        (self.shortest..=128).flat_map(|length| {
            let v4 = self.v4.get(usize::from(length)).into_iter().flatten();
            let v6 = self.v6.get(usize::from(length)).into_iter().flatten();
            v4.map(|address| IpAddr::V4(*address))
                .chain(v6.map(|address| IpAddr::V6(*address)))
                .filter_map(move |address| Prefix::new(address, length).ok())
        })
    }
}

fn lengthen<A>(lengths: &mut Vec<VecDeque<A>>, length: u8) -> &mut VecDeque<A> {
    let index = usize::from(length);
    if lengths.len() <= index {
        lengths.resize_with(index + 1, VecDeque::new);
    }
    &mut lengths[index]
}

/// The first of a length, and the room of many with the last.
fn take<A>(lengths: &mut [VecDeque<A>], length: u8) -> Option<A> {
    let same = lengths.get_mut(usize::from(length))?;
    let first = same.pop_front();
    if same.is_empty() {
        same.shrink_to(BATCH);
    }
    first
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
        let upcoming: Vec<_> = queue.upcoming().map(|prefix| prefix.to_string()).collect();
        let order = ["10.0.0.0/8", "10.2.0.0/24", "10.1.0.0/24", "2001:db8::/32"];
        assert_eq!(upcoming, order);
        assert_eq!(rest(&mut queue), order);
    }

    #[test]
    fn a_short_prefix_that_changes_all_the_time_does_not_hold_up_a_long_one_for_ever() {
        let mut queue = queue(&["10.1.0.0/24", "10.2.0.0/24"]);
        let short: Prefix = "10.0.0.0/8".parse().unwrap();
        let mut turns = 0;
        while queue.pop().is_some_and(|next| next == short || turns == 0) {
            queue.push(short);
            turns += 1;
        }
        assert_eq!(turns, ROOM / 4 - 1, "short ones came first for so long");
        assert_eq!(rest(&mut queue), ["10.0.0.0/8"]);
    }

    #[test]
    fn a_queue_that_was_long_takes_no_room_when_it_is_empty() {
        let mut queue = Queue::default();
        for number in 0..100_000u32 {
            queue.push(Prefix::new((number << 8).to_be_bytes().into(), 24).unwrap());
        }
        assert_eq!(rest(&mut queue).len(), 100_000);
        let rooms = queue.round.v4.iter().map(VecDeque::capacity);
        let room: usize = rooms.sum();
        assert!(room <= 2 * BATCH, "{room} entries are still kept");
    }
}
