//! What a group says of its links to those who ask.

use std::time::Instant;

use super::{Figure, Group, Link, LinkId, Rank, Why};
use crate::health::State;

/// A link of a group, and why it carries traffic or does not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct View {
    /// Which.
    pub link: LinkId,
    /// Its state.
    pub state: State,
    /// Among the others.
    pub rank: Rank,
    /// What the policy judges it by; `None` while that is not known.
    pub figure: Option<Figure>,
    /// Why.
    pub why: Why,
}

impl Group {
    /// All members at `now`, best first.
    pub fn views(&self, now: Instant) -> Vec<View> {
        let members = self.ranking.iter();
        let view = |standing: &super::Standing| {
            let link = self.link(standing.link)?;
            Some(View {
                link: standing.link,
                state: link.state,
                rank: standing.rank,
                figure: self.figure(link),
                why: self.why(link, now),
            })
        };
        members.filter_map(view).collect()
    }

    fn why(&self, link: &Link, now: Instant) -> Why {
        if !link.is_usable() {
            return Why::Down(link.reason);
        }
        if self.active.contains(&link.member.link) {
            return Why::InUse;
        }
        let Some(used) = self.active.first().and_then(|id| self.link(*id)) else {
            return Why::Equal;
        };
        if link.state < link.credit {
            return Why::Held {
                lasted: now.saturating_duration_since(link.since),
                needed: link.wait(self.config.hold_down),
            };
        }
        if link.credit > used.credit {
            return Why::State(link.state);
        }
        match self.drawn.follows_at(link.member.link) {
            Some(at) => Why::Drawn {
                remaining: at.saturating_duration_since(now),
            },
            None => self.compared(link, used, now),
        }
    }

    fn compared(&self, link: &Link, used: &Link, now: Instant) -> Why {
        let Some((figure, against)) = self.figure(link).zip(self.figure(used)) else {
            return Why::Unknown;
        };
        let places = self
            .place(used.member.link)
            .zip(self.place(link.member.link));
        if places.is_some_and(|(used, link)| self.beats(used, link)) {
            return Why::Worse { figure, against };
        }
        let lead = self.lead(link, used);
        lead.map_or(Why::Equal, |lead| Why::NotYet {
            figure,
            against,
            lasted: now.saturating_duration_since(lead.since),
            needed: lead.needed(self.config.hold_down),
        })
    }
}
