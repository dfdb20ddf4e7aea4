//! When the peers of an earlier run have told again what they have, so that the leftovers of that
//! run can go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bgp::rib::Input;
use bgp::{FamilySet, PeerId, RouteEvent};

/// A peer that has been silent for so long has sent what it has, whether it says so (RFC 4724 §2)
/// or not.
const QUIET: Duration = Duration::from_secs(10);
/// After the start, leftovers of an earlier run are kept for so long at most.
const LONGEST_START: Duration = Duration::from_secs(90);

/// Where routes of an earlier run forward, nobody is told anything before a peer that is not up
/// has had so long to come up. Not longer: those that keep no routes of ours wait for them.
const ABSENCE: Duration = Duration::from_secs(10);

/// Listens to what the RIB is told, until all peers have told everything.
pub(super) struct Settling {
    /// Peers that have not told all yet; `None` for one that is not up.
    awaited: BTreeMap<PeerId, Option<Telling>>,
    /// `None` once it is over.
    ends_at: Option<Instant>,
    /// `None` where nothing is deferred.
    deferral: Option<Deferral>,
}

/// What is waited for before anybody is told anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deferral {
    /// Peers that are not up, until then, and the ends of those that are.
    Absent(Instant),
    /// Ends.
    Ends,
}

/// A peer that is up.
struct Telling {
    /// Those whose end has not come yet.
    families: FamilySet,
    /// Of those, the ones whose end will come.
    ends: FamilySet,
    quiet_at: Instant,
}

/// Whether the RIB has drawn all conclusions from what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decided {
    All,
    NotYet,
}

impl Settling {
    pub(super) fn new(awaited: impl IntoIterator<Item = PeerId>, now: Instant) -> Self {
        Self {
            awaited: awaited.into_iter().map(|peer| (peer, None)).collect(),
            ends_at: Some(now + LONGEST_START),
            deferral: None,
        }
    }

    /// The same, while nobody is told anything yet.
    pub(super) fn deferring(awaited: impl IntoIterator<Item = PeerId>, now: Instant) -> Self {
        Self {
            deferral: Some(Deferral::Absent(now + ABSENCE)),
            ..Self::new(awaited, now)
        }
    }

    /// Notes what the RIB is about to be told.
    pub(super) fn hear(&mut self, input: &Input, now: Instant) {
        if let Input::Up(peer, session) = input {
            let telling = Telling {
                families: session.dialect.families,
                ends: session.tells_end,
                quiet_at: now + QUIET,
            };
            if let Some(awaited) = self.awaited.get_mut(peer) {
                *awaited = Some(telling);
            }
        } else if let Input::Down(peer, _) = input {
            if let Some(awaited) = self.awaited.get_mut(peer) {
                *awaited = None;
            }
        } else if let Input::Remove(peer) = input {
            self.awaited.remove(peer);
        } else if let Input::Routes(peer, events) = input {
            self.hear_routes(*peer, events, now);
        }
    }

    fn hear_routes(&mut self, peer: PeerId, events: &[RouteEvent], now: Instant) {
        let Some(Some(telling)) = self.awaited.get_mut(&peer) else {
            return;
        };
        telling.quiet_at = now + QUIET;
        for event in events {
            if let RouteEvent::EndOfRib(family) = event {
                telling.families.remove(*family);
                telling.ends.remove(*family);
            }
        }
        if telling.families.is_empty() {
            self.awaited.remove(&peer);
        }
    }

    /// When to ask [`Settling::is_over`] again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ends_at = self.ends_at?;
        let quiet = self.awaited.values().flatten().map(|it| it.quiet_at);
        let absent = match self.deferral {
            Some(Deferral::Absent(until)) => Some(until),
            Some(Deferral::Ends) | None => None,
        };
        quiet.chain(absent).chain([ends_at]).min()
    }

    /// Whether peers can be told what there is; says so once, and no later than
    /// [`Settling::is_over`]. Waits for the ends of those that agreed on graceful restart
    /// (RFC 4724 §4.1).
    pub(super) fn may_tell(&mut self, decided: Decided, now: Instant) -> bool {
        match self.deferral {
            Some(Deferral::Absent(until)) if until <= now => self.deferral = Some(Deferral::Ends),
            Some(_) => {}
            None => return false,
        }
        self.forget_quiet(now);
        let waits_for_absent = self.deferral != Some(Deferral::Ends);
        let mut awaited = self.awaited.values();
        let is_waiting = awaited.any(|telling| match telling {
            Some(telling) => !telling.ends.is_empty(),
            None => waits_for_absent,
        });
        let is_late = self.ends_at.is_none_or(|at| at <= now);
        if (!is_waiting && decided == Decided::All) || is_late {
            self.deferral = None;
        }
        self.deferral.is_none()
    }

    fn forget_quiet(&mut self, now: Instant) {
        self.awaited
            .retain(|_, telling| telling.as_ref().is_none_or(|it| it.quiet_at > now));
    }

    /// Whether leftovers can go; says so once. Never while the RIB has routes in hand that it has not
    /// passed on: those would look like leftovers.
    pub(super) fn is_over(&mut self, decided: Decided, now: Instant) -> bool {
        let Some(ends_at) = self.ends_at else {
            return false;
        };
        self.forget_quiet(now);
        let is_over = ends_at <= now || self.awaited.is_empty();
        if is_over && decided == Decided::All {
            self.ends_at = None;
        }
        self.ends_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use bgp::wire::Dialect;
    use bgp::{Asn, Family, Retention, RouterId, SessionUp};

    use super::*;

    const PEER: PeerId = PeerId(1);
    const MATE: PeerId = PeerId(2);

    fn session() -> SessionUp {
        let router_id = RouterId::new([192, 0, 2, 1].into()).expect("not 0.0.0.0");
        SessionUp::new(router_id, Dialect::new(Asn(65010), Asn(64512)))
    }

    fn up(peer: PeerId) -> Input {
        Input::Up(peer, session())
    }

    fn end(peer: PeerId, family: Family) -> Input {
        Input::Routes(peer, vec![RouteEvent::EndOfRib(family)])
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn without_peers_there_is_nothing_to_wait_for() {
        let now = Instant::now();
        assert!(Settling::new([], now).is_over(Decided::All, now));
    }

    #[test]
    fn a_peer_has_told_all_when_every_family_has_ended() {
        let now = Instant::now();
        let mut settling = Settling::new([PEER], now);
        settling.hear(&up(PEER), now);
        settling.hear(&end(PEER, Family::Ipv4Unicast), now);
        assert!(!settling.is_over(Decided::All, now), "IPv6 has not ended");
        settling.hear(&end(PEER, Family::Ipv6Unicast), now);
        assert!(settling.is_over(Decided::All, now));
    }

    #[test]
    fn it_is_said_once() {
        let now = Instant::now();
        let mut settling = Settling::new([], now);
        assert!(settling.is_over(Decided::All, now));
        assert!(!settling.is_over(Decided::All, now + LONGEST_START * 2));
        assert_eq!(settling.poll_timeout(), None);
    }

    #[test]
    fn a_peer_that_never_says_end_counts_when_it_has_been_quiet() {
        let start = Instant::now();
        let mut settling = Settling::new([PEER], start);
        settling.hear(&up(PEER), start);
        let routes = Input::Routes(PEER, Vec::new());
        settling.hear(&routes, start + seconds(9));
        assert!(!settling.is_over(Decided::All, start + seconds(11)));
        assert_eq!(settling.poll_timeout(), Some(start + seconds(19)));
        assert!(settling.is_over(Decided::All, start + seconds(19)));
    }

    #[test]
    fn a_session_that_falls_is_waited_for_again() {
        let now = Instant::now();
        let mut settling = Settling::new([PEER], now);
        settling.hear(&up(PEER), now);
        settling.hear(&Input::Down(PEER, Retention::new()), now);
        assert!(!settling.is_over(Decided::All, now + QUIET * 2));
    }

    #[test]
    fn a_removed_peer_is_not_waited_for() {
        let now = Instant::now();
        let mut settling = Settling::new([PEER, MATE], now);
        settling.hear(&Input::Remove(PEER), now);
        assert!(!settling.is_over(Decided::All, now));
        settling.hear(&Input::Remove(MATE), now);
        assert!(settling.is_over(Decided::All, now));
    }

    #[test]
    fn a_peer_that_stays_away_holds_leftovers_for_a_bounded_time() {
        let now = Instant::now();
        let mut settling = Settling::new([PEER], now);
        assert_eq!(settling.poll_timeout(), Some(now + LONGEST_START));
        assert!(settling.is_over(Decided::All, now + LONGEST_START));
    }

    #[test]
    fn routes_that_the_rib_has_not_passed_on_are_no_leftovers() {
        let now = Instant::now();
        let mut settling = Settling::new([], now);
        assert!(!settling.is_over(Decided::NotYet, now + LONGEST_START));
        assert!(settling.is_over(Decided::All, now + LONGEST_START));
    }

    fn up_with_graceful_restart(peer: PeerId) -> Input {
        let tells_end = Family::ALL.into_iter().collect();
        Input::Up(
            peer,
            SessionUp {
                tells_end,
                ..session()
            },
        )
    }

    #[test]
    fn nobody_is_told_anything_until_those_that_say_so_have_told_all() {
        let now = Instant::now();
        let mut settling = Settling::deferring([PEER, MATE], now);
        settling.hear(&up_with_graceful_restart(PEER), now);
        settling.hear(&up(MATE), now);
        settling.hear(&end(PEER, Family::Ipv4Unicast), now);
        assert!(!settling.may_tell(Decided::All, now));
        settling.hear(&end(PEER, Family::Ipv6Unicast), now);
        assert!(!settling.may_tell(Decided::NotYet, now));
        assert!(
            settling.may_tell(Decided::All, now),
            "the other says nothing"
        );
        assert!(!settling.may_tell(Decided::All, now), "once");
        assert!(!settling.is_over(Decided::All, now), "leftovers stay");
    }

    #[test]
    fn a_peer_that_stays_away_keeps_the_others_waiting_for_a_short_time() {
        let now = Instant::now();
        let mut settling = Settling::deferring([PEER, MATE], now);
        settling.hear(&up(PEER), now);
        assert!(!settling.may_tell(Decided::All, now));
        assert_eq!(settling.poll_timeout(), Some(now + ABSENCE));
        assert!(settling.may_tell(Decided::All, now + ABSENCE));
        assert!(!settling.is_over(Decided::All, now + ABSENCE));

        let mut settling = Settling::deferring([PEER, MATE], now);
        settling.hear(&up_with_graceful_restart(PEER), now);
        let later = now + ABSENCE - seconds(1);
        settling.hear(&Input::Routes(PEER, Vec::new()), later);
        assert!(!settling.may_tell(Decided::All, now + ABSENCE));
        assert_eq!(
            settling.poll_timeout(),
            Some(later + QUIET),
            "absence is over"
        );
    }

    #[test]
    fn waiting_ends_in_the_end() {
        let now = Instant::now();
        let mut settling = Settling::deferring([PEER], now);
        assert!(settling.may_tell(Decided::NotYet, now + LONGEST_START));
    }

    #[test]
    fn where_nothing_is_deferred_nothing_is_released() {
        let now = Instant::now();
        assert!(!Settling::new([], now).may_tell(Decided::All, now));
    }

    #[test]
    fn strangers_are_not_waited_for() {
        let now = Instant::now();
        let mut settling = Settling::new([PEER], now);
        settling.hear(&up(MATE), now);
        settling.hear(&Input::Remove(PEER), now);
        assert!(settling.is_over(Decided::All, now));
    }
}
