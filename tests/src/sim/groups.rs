//! The groups of one router, as the daemon's groups driver has them.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp::PeerId;
use bgp::rib;
use links::{Group, GroupConfig, GroupInput, GroupOutput, LinkId, Member, Policy, Rank, State};

use super::fib;
use super::topology::{LinkSpec, RouterSpec, Timing};

#[derive(Debug)]
pub(super) struct Groups {
    links: BTreeMap<PeerId, LinkSpec>,
    groups: BTreeMap<u32, Group>,
    /// Of the links that have told theirs.
    states: BTreeMap<PeerId, State>,
    ranks: BTreeMap<LinkId, Rank>,
}

impl Groups {
    pub(super) fn new(spec: &RouterSpec, timing: &Timing, now: Instant) -> Self {
        let links: BTreeMap<PeerId, LinkSpec> = (0..)
            .zip(&spec.peers)
            .filter_map(|(number, peer)| Some((PeerId(number), peer.link?)))
            .collect();
        let mut members: BTreeMap<u32, Vec<Member>> = BTreeMap::new();
        for (peer, link) in &links {
            members.entry(link.group).or_default().push(Member {
                link: LinkId(peer.0),
                priority: link.priority,
            });
        }
        let config = GroupConfig {
            policy: Policy::Priority,
            hold_down: timing.group_hold_down,
        };
        let group = |members| Group::new(config.clone(), members, now);
        Self {
            groups: members
                .into_iter()
                .map(|(name, members)| (name, group(members)))
                .collect(),
            links,
            states: BTreeMap::new(),
            ranks: BTreeMap::new(),
        }
    }

    pub(super) fn on_link(&mut self, peer: PeerId, state: State, now: Instant) {
        self.states.insert(peer, state);
        let group = self.links.get(&peer).map(|link| link.group);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            let link = LinkId(peer.0);
            group.handle(GroupInput::Link { link, state }, now);
        }
        self.settle();
    }

    /// Whether something was due.
    pub(super) fn on_timeout(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            for group in self.groups.values_mut() {
                group.handle(GroupInput::Timeout, now);
            }
            self.settle();
        }
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::poll_timeout).min()
    }

    pub(super) fn state(&self, peer: PeerId) -> Option<State> {
        self.states.get(&peer).copied()
    }

    /// For the FIB.
    pub(super) fn links(&self) -> BTreeMap<PeerId, fib::Standing> {
        let standing = |peer: &PeerId, state: &State| match state {
            State::Up | State::Degraded => fib::Standing::Usable {
                rank: self.rank(*peer).unwrap_or(0),
            },
            State::Down => fib::Standing::Dead,
        };
        let known = self.states.iter();
        known
            .map(|(peer, state)| (*peer, standing(peer, state)))
            .collect()
    }

    /// For the RIB.
    pub(super) fn standings(&self) -> Vec<rib::Input> {
        let standing = |peer: &PeerId, state: &State| {
            let group = self.links.get(peer).map(|link| link.group);
            match (state, group, self.rank(*peer)) {
                (State::Down, _, _) => rib::Standing::Unusable,
                (_, Some(group), Some(rank)) => rib::Standing::Ranked { group, rank },
                (_, _, _) => rib::Standing::Unranked,
            }
        };
        let known = self.states.iter();
        known
            .map(|(peer, state)| rib::Input::Standing(*peer, standing(peer, state)))
            .collect()
    }

    fn rank(&self, peer: PeerId) -> Rank {
        self.ranks.get(&LinkId(peer.0)).copied().flatten()
    }

    fn settle(&mut self) {
        for group in self.groups.values_mut() {
            while let Some(output) = group.poll_output() {
                match output {
                    GroupOutput::Ranks(ranks) => self.ranks.extend(ranks),
                    GroupOutput::Moved { .. } => {}
                }
            }
        }
    }
}
