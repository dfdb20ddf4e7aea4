//! What the groups make of their links, as words for the peers at their ends.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp::rib::{self, Input};
use links::{Group, LinkId, Preference, PreferenceInput, Preferences, State, Use, View};

use super::messages::Topology;

/// Carries the groups' rankings to [`Preferences`], and its words to the RIB.
#[derive(Default)]
pub(super) struct WayBack {
    preferences: Preferences,
}

impl WayBack {
    /// When to [hear](Self::hear) again, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.preferences.poll_timeout()
    }

    /// Hears where all links stand, and says of which another word holds now.
    pub(super) fn hear(
        &mut self,
        groups: &BTreeMap<String, Group>,
        now: Instant,
    ) -> Vec<(LinkId, Preference)> {
        let groups = groups.values().map(|group| uses(group, now)).collect();
        let input = PreferenceInput::Groups(groups);
        self.preferences.handle(input, now);
        std::iter::from_fn(|| self.preferences.poll_output()).collect()
    }

    /// The words for all peers of all links. Who has heard the same before is told nothing.
    pub(super) fn inputs(&self, topology: &Topology) -> Vec<Input> {
        let places = topology.links.values();
        let inputs = places.flat_map(|place| {
            let word = word(self.preferences.said(place.member.link));
            let peers = place.peers.iter();
            peers.map(move |(peer, _)| Input::Preference(*peer, word))
        });
        inputs.collect()
    }
}

fn uses(group: &Group, now: Instant) -> Vec<(LinkId, Use)> {
    let use_of = |view: View| {
        let used = match view.state {
            State::Down => Use::Dead,
            State::Draining => Use::Draining,
            State::Up | State::Degraded if group.active().contains(&view.link) => Use::Active,
            State::Up | State::Degraded => Use::Spare,
        };
        (view.link, used)
    };
    group.views(now).into_iter().map(use_of).collect()
}

fn word(preference: Preference) -> rib::Preference {
    match preference {
        Preference::Unsaid => rib::Preference::Unsaid,
        Preference::Primary => rib::Preference::Primary,
        Preference::Secondary => rib::Preference::Secondary,
        Preference::Further => rib::Preference::Further,
        Preference::Draining => rib::Preference::Draining,
    }
}
