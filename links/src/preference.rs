//! Which of the links to a site the far side is asked to send by: the way back.
//!
//! The ranks of a group say how we like its links; this makes of them the few words that can be told to
//! somebody else, and sees to it that he is not told too often. Each change of a word is every route over
//! that link told again. So:
//!
//! - a link of a group of one has no word: there is no choice;
//! - which one is the primary follows the group at once, and the group is bounded in how often it moves; so
//!   does an order to drain;
//! - where all other links are dead, that waits for [`PATIENCE`] too: the far side may not know it yet, and would
//!   go where nothing arrives;
//! - who is second and who further, among links that live, changes once it has been so for [`PATIENCE`];
//! - a link that is dead has no one to tell, so its word is right before it comes back.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use crate::group::LinkId;

/// How long the order behind the primary has to stay before it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the far side is told of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Preference {
    /// Nothing: it is the only one.
    #[default]
    Unsaid,
    /// Traffic leaves by it.
    Primary,
    /// It is the next.
    Secondary,
    /// It comes later.
    Further,
    /// It is being emptied.
    Draining,
}

/// What a group makes of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Traffic leaves by it.
    Active,
    /// It could.
    Spare,
    /// It is not to be used if another can.
    Draining,
    /// It cannot be used.
    Dead,
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsaid => "unsaid",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Further => "further",
            Self::Draining => "draining",
        })
    }
}

/// The only way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PreferenceInput {
    /// The links of every group, best first; replaces what was said before. A link in none has no word.
    Groups(Vec<Vec<(LinkId, Use)>>),
    /// A deadline may have passed.
    Timeout,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    said: Preference,
    used: Use,
    /// What is to be said when it has been so for long enough, and since when it has.
    next: Option<(Preference, Instant)>,
}

/// What is to be said of a link.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    word: Preference,
    used: Use,
    hope: Hope,
}

/// What there is for who leaves a link that is to be emptied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hope {
    /// Another link, or the same order for all.
    Some,
    /// Dead links.
    None,
}

/// The words for all links.
///
/// The driver: `handle`, then `poll_output` until it gives `None`, then wait for the next input or
/// [`Preferences::poll_timeout`].
#[derive(Debug, Default)]
pub struct Preferences {
    links: BTreeMap<LinkId, Link>,
    outputs: VecDeque<(LinkId, Preference)>,
}

impl Preferences {
    /// The only way in.
    pub fn handle(&mut self, input: PreferenceInput, now: Instant) {
        if let PreferenceInput::Groups(groups) = input {
            let wanted: BTreeMap<LinkId, Wanted> =
                groups.iter().flat_map(|links| words(links)).collect();
            self.forget(&wanted);
            for (id, wanted) in wanted {
                self.want(id, wanted, now);
            }
        }
        self.say_what_is_due(now);
    }

    /// What is to be said of a link from now on.
    pub fn poll_output(&mut self) -> Option<(LinkId, Preference)> {
        self.outputs.pop_front()
    }

    /// When [`PreferenceInput::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.links.values().filter_map(|link| link.next);
        next.filter_map(|(_, since)| since.checked_add(PATIENCE))
            .min()
    }

    /// What is said of a link now.
    pub fn said(&self, id: LinkId) -> Preference {
        self.links
            .get(&id)
            .map_or_else(Preference::default, |link| link.said)
    }

    /// Links that are in no group any more.
    fn forget(&mut self, wanted: &BTreeMap<LinkId, Wanted>) {
        let outputs = &mut self.outputs;
        self.links.retain(|id, link| {
            let stays = wanted.contains_key(id);
            if !stays && link.said != Preference::Unsaid {
                outputs.push_back((*id, Preference::Unsaid));
            }
            stays
        });
    }

    fn want(&mut self, id: LinkId, wanted: Wanted, now: Instant) {
        let Wanted { word, used, hope } = wanted;
        let unknown = Link {
            said: Preference::Unsaid,
            used: Use::Dead,
            next: None,
        };
        let link = self.links.entry(id).or_insert(unknown);
        let was = std::mem::replace(&mut link.used, used);
        let is_heard = was != Use::Dead && used != Use::Dead;
        let order = [Preference::Secondary, Preference::Further];
        let only_order = order.contains(&word) && order.contains(&link.said);
        // One that has never been usable has no word yet.
        let is_new = used == Use::Dead && link.said == Preference::Unsaid;
        if link.said == word || is_new {
            link.next = None;
        } else if is_heard && (only_order || hope == Hope::None) {
            let same = link.next.filter(|(next, _)| *next == word);
            link.next = same.or(Some((word, now)));
        } else {
            link.said = word;
            link.next = None;
            self.outputs.push_back((id, word));
        }
    }

    fn say_what_is_due(&mut self, now: Instant) {
        for (id, link) in &mut self.links {
            let is_due = |(_, since): &(Preference, Instant)| {
                since.checked_add(PATIENCE).is_some_and(|due| due <= now)
            };
            if let Some((word, _)) = link.next.take_if(|next| is_due(next)) {
                link.said = word;
                self.outputs.push_back((*id, word));
            }
        }
    }
}

/// The word for each link of a group.
fn words(links: &[(LinkId, Use)]) -> impl Iterator<Item = (LinkId, Wanted)> {
    let has_choice = links.len() > 1;
    let second = links.iter().find(|(_, used)| *used == Use::Spare);
    let alive = links.iter().filter(|(_, used)| *used != Use::Dead).count();
    links.iter().map(move |(id, used)| {
        let is_second = second.is_some_and(|(second, _)| second == id);
        let word = match used {
            _ if !has_choice => Preference::Unsaid,
            Use::Active => Preference::Primary,
            Use::Spare if is_second => Preference::Secondary,
            Use::Spare | Use::Dead => Preference::Further,
            Use::Draining => Preference::Draining,
        };
        let hope = match used {
            Use::Draining if alive == 1 => Hope::None,
            Use::Active | Use::Spare | Use::Draining | Use::Dead => Hope::Some,
        };
        let used = *used;
        (*id, Wanted { word, used, hope })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);
    const C: LinkId = LinkId(3);

    struct Bench {
        preferences: Preferences,
        now: Instant,
    }

    impl Bench {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant can be had from nowhere else"
        )]
        fn new() -> Self {
            Self {
                preferences: Preferences::default(),
                now: Instant::now(),
            }
        }

        fn rank(&mut self, links: &[(LinkId, Use)]) -> Vec<(LinkId, Preference)> {
            let input = PreferenceInput::Groups(vec![links.to_vec()]);
            self.preferences.handle(input, self.now);
            self.outputs()
        }

        fn wait(&mut self, seconds: u64) -> Vec<(LinkId, Preference)> {
            self.now += Duration::from_secs(seconds);
            self.preferences.handle(PreferenceInput::Timeout, self.now);
            self.outputs()
        }

        fn outputs(&mut self) -> Vec<(LinkId, Preference)> {
            std::iter::from_fn(|| self.preferences.poll_output()).collect()
        }
    }

    use Preference::{Further, Primary, Secondary, Unsaid};
    use Use::{Active, Dead, Spare};

    #[test]
    fn who_drains_is_not_left_for_a_link_that_has_just_died() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
        bench.rank(&[(A, Active), (B, Dead), (C, Dead)]);
        let alone = [(A, Use::Draining), (B, Dead), (C, Dead)];
        assert_eq!(bench.rank(&alone), []);
        assert_eq!(bench.preferences.said(A), Primary);
        assert_eq!(bench.wait(PATIENCE.as_secs() - 1), []);
        assert_eq!(
            bench.wait(1),
            [(A, Preference::Draining)],
            "by now it is known"
        );
    }

    #[test]
    fn who_drains_is_left_at_once_for_a_link_that_lives_and_when_all_drain() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Dead)]);
        bench.rank(&[(B, Active), (A, Use::Draining), (C, Dead)]);
        let said = |bench: &Bench| [A, B].map(|link| bench.preferences.said(link));
        assert_eq!(said(&bench), [Preference::Draining, Primary]);
        bench.rank(&[(B, Use::Draining), (A, Use::Draining), (C, Dead)]);
        assert_eq!(said(&bench), [Preference::Draining; 2]);
    }

    #[test]
    fn the_only_link_of_a_group_has_no_word() {
        let mut bench = Bench::new();
        assert_eq!(bench.rank(&[(A, Active)]), []);
        assert_eq!(bench.preferences.said(A), Unsaid);
    }

    #[test]
    fn a_link_that_has_never_been_up_has_no_word() {
        let mut bench = Bench::new();
        assert_eq!(bench.rank(&[(A, Dead), (B, Dead)]), []);
        assert_eq!(bench.rank(&[(B, Active), (A, Dead)]), [(B, Primary)]);
        assert_eq!(bench.rank(&[(B, Active), (A, Spare)]), [(A, Secondary)]);
    }

    #[test]
    fn ranks_become_words_and_the_same_ranks_nothing_new() {
        let mut bench = Bench::new();
        let ranks = [(B, Active), (C, Spare), (A, Spare)];
        assert_eq!(
            bench.rank(&ranks),
            [(A, Further), (B, Primary), (C, Secondary)]
        );
        assert_eq!(bench.rank(&ranks), []);
        assert_eq!(bench.preferences.poll_timeout(), None);
    }

    #[test]
    fn links_that_share_the_traffic_are_all_primary() {
        let mut bench = Bench::new();
        let said = bench.rank(&[(A, Active), (B, Active), (C, Spare)]);
        assert_eq!(said, [(A, Primary), (B, Primary), (C, Secondary)]);
    }

    #[test]
    fn a_move_is_told_at_once_of_both_links() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare)]);
        let said = bench.rank(&[(B, Active), (A, Spare)]);
        assert_eq!(said, [(A, Secondary), (B, Primary)]);
        let dead = bench.rank(&[(A, Active), (B, Dead)]);
        assert_eq!(dead, [(A, Primary), (B, Further)]);
    }

    #[test]
    fn the_order_behind_the_primary_is_told_when_it_stays() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
        assert_eq!(bench.rank(&[(A, Active), (C, Spare), (B, Spare)]), []);
        assert_eq!(bench.preferences.poll_timeout(), Some(bench.now + PATIENCE));
        assert_eq!(bench.wait(9), []);
        assert_eq!(bench.wait(1), [(B, Further), (C, Secondary)]);
        assert_eq!(bench.preferences.poll_timeout(), None);
    }

    #[test]
    fn order_that_flutters_is_never_told() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
        for _ in 0..300 {
            assert_eq!(bench.rank(&[(A, Active), (C, Spare), (B, Spare)]), []);
            assert_eq!(bench.wait(2), []);
            assert_eq!(bench.rank(&[(A, Active), (B, Spare), (C, Spare)]), []);
            assert_eq!(bench.wait(2), []);
        }
    }

    #[test]
    fn a_third_link_is_not_told_of_a_second_that_comes_and_goes() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
        for _ in 0..300 {
            assert_eq!(
                bench.rank(&[(A, Active), (C, Spare), (B, Dead)]),
                [(B, Further)]
            );
            bench.wait(2);
            let back = bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
            assert_eq!(back, [(B, Secondary)], "before its session is up");
            bench.wait(2);
        }
    }

    #[test]
    fn an_order_to_drain_is_told_at_once_and_so_is_its_end() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare), (C, Spare)]);
        let said = bench.rank(&[(B, Active), (C, Spare), (A, Use::Draining)]);
        let drained = [(A, Preference::Draining), (B, Primary)];
        assert_eq!(said, drained, "the third has to wait before it is second");
        assert_eq!(bench.wait(10), [(C, Secondary)]);
        let said = bench.rank(&[(B, Active), (A, Spare), (C, Spare)]);
        assert_eq!(said, [(A, Secondary)]);
    }

    #[test]
    fn a_link_that_leaves_its_group_has_no_word_any_more() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare)]);
        assert_eq!(bench.rank(&[(A, Active)]), [(B, Unsaid), (A, Unsaid)]);
    }

    #[test]
    fn without_a_usable_link_nobody_is_primary() {
        let mut bench = Bench::new();
        bench.rank(&[(A, Active), (B, Spare)]);
        assert_eq!(
            bench.rank(&[(A, Dead), (B, Dead)]),
            [(A, Further), (B, Further)]
        );
        assert_eq!(bench.rank(&[(B, Active), (A, Dead)]), [(B, Primary)]);
    }
}
