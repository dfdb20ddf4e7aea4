//! The groups of one router, as the daemon's groups driver has them.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp::PeerId;
use bgp::rib;
use links::{
    Group, GroupConfig, GroupInput, GroupOutput, HealthChange, LinkId, Member, Policy, Standing,
    State,
};

use super::fib;
use super::topology::{LinkSpec, RouterSpec, Timing};

#[derive(Debug)]
pub(super) struct Groups {
    links: BTreeMap<PeerId, LinkSpec>,
    groups: BTreeMap<u32, Group>,
    /// Of the links that have told theirs.
    states: BTreeMap<PeerId, State>,
    standings: BTreeMap<LinkId, Standing>,
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
                priority: link.priority,
                ..Member::new(LinkId(peer.0))
            });
        }
        let config = GroupConfig {
            policy: Policy::Priority,
            hold_down: timing.group_hold_down,
        };
        let group = |members| Group::new(config.clone(), members, 0, now);
        Self {
            groups: members
                .into_iter()
                .map(|(name, members)| (name, group(members)))
                .collect(),
            links,
            states: BTreeMap::new(),
            standings: BTreeMap::new(),
        }
    }

    pub(super) fn on_link(&mut self, peer: PeerId, change: HealthChange, now: Instant) {
        self.states.insert(peer, change.state);
        let group = self.links.get(&peer).map(|link| link.group);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            let link = LinkId(peer.0);
            group.handle(GroupInput::Link { link, change }, now);
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
        let standing = |peer: &PeerId, state: &State| match (state, self.standing(*peer)) {
            (State::Down, _) => fib::Standing::Dead,
            (_, Some((rank, tiebreak))) => fib::Standing::Usable { rank, tiebreak },
            (_, None) => fib::Standing::Usable {
                rank: 0,
                tiebreak: 0,
            },
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
            match (state, group, self.standing(*peer)) {
                (State::Down, _, _) => rib::Standing::Unusable,
                (_, Some(group), Some((rank, tiebreak))) => rib::Standing::Ranked {
                    group,
                    rank,
                    tiebreak,
                },
                (_, _, _) => rib::Standing::Unranked,
            }
        };
        let known = self.states.iter();
        known
            .map(|(peer, state)| rib::Input::Standing(*peer, standing(peer, state)))
            .collect()
    }

    /// Rank and tiebreak.
    fn standing(&self, peer: PeerId) -> Option<(u32, u32)> {
        let standing = self.standings.get(&LinkId(peer.0))?;
        Some((standing.rank?, standing.tiebreak))
    }

    fn settle(&mut self) {
        for group in self.groups.values_mut() {
            while let Some(output) = group.poll_output() {
                match output {
                    GroupOutput::Ranks(ranks) => {
                        self.standings.extend(ranks.iter().map(|it| (it.link, *it)));
                    }
                    GroupOutput::Moved { .. } => {}
                }
            }
        }
    }
}
