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

/// Where routes of an earlier run forward, nobody is told anything for so long at most
/// (Selection_Deferral_Timer, RFC 4724 §4.1). A peer that stays away must not keep the others
/// waiting for long, and theirs is the shorter wait.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(30);

/// Listens to what the RIB is told, until all peers have told everything.
pub(super) struct Settling {
    /// Peers that have not told all yet; `None` for one that is not up.
    awaited: BTreeMap<PeerId, Option<Telling>>,
    /// `None` once it is over.
    ends_at: Option<Instant>,
    /// `None` where nothing is deferred.
    release_at: Option<Instant>,
}

/// A peer that is up.
struct Telling {
    /// Those whose end has not come yet.
    families: FamilySet,
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
            release_at: None,
        }
    }

    /// The same, while nobody is told anything yet.
    pub(super) fn deferring(awaited: impl IntoIterator<Item = PeerId>, now: Instant) -> Self {
        Self {
            release_at: Some(now + LONGEST_DEFERRAL),
            ..Self::new(awaited, now)
        }
    }

    /// Notes what the RIB is about to be told.
    pub(super) fn hear(&mut self, input: &Input, now: Instant) {
        if let Input::Up(peer, session) = input {
            let telling = Telling {
                families: session.dialect.families,
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
        quiet.chain(self.release_at).chain([ends_at]).min()
    }

    /// Whether peers can be told what there is; says so once, before [`Settling::is_over`] does.
    pub(super) fn may_tell(&mut self, decided: Decided, now: Instant) -> bool {
        let Some(release_at) = self.release_at else {
            return false;
        };
        self.forget_quiet(now);
        let is_told = self.awaited.is_empty() && decided == Decided::All;
        if is_told || release_at <= now {
            self.release_at = None;
        }
        self.release_at.is_none()
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

    fn up(peer: PeerId) -> Input {
        let router_id = RouterId::new([192, 0, 2, 1].into()).expect("not 0.0.0.0");
        let dialect = Dialect::new(Asn(65010), Asn(64512));
        Input::Up(peer, SessionUp::new(router_id, dialect))
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

    #[test]
    fn nobody_is_told_anything_until_all_have_told_or_it_takes_too_long() {
        let now = Instant::now();
        let mut settling = Settling::deferring([PEER, MATE], now);
        settling.hear(&up(PEER), now);
        settling.hear(&end(PEER, Family::Ipv4Unicast), now);
        settling.hear(&end(PEER, Family::Ipv6Unicast), now);
        assert!(!settling.may_tell(Decided::All, now), "the other is away");
        assert_eq!(settling.poll_timeout(), Some(now + LONGEST_DEFERRAL));
        assert!(settling.may_tell(Decided::NotYet, now + LONGEST_DEFERRAL));
        assert!(
            !settling.may_tell(Decided::All, now + LONGEST_DEFERRAL),
            "once"
        );
        assert!(!settling.is_over(Decided::All, now + LONGEST_DEFERRAL));

        let mut settling = Settling::deferring([PEER], now);
        settling.hear(&Input::Remove(PEER), now);
        assert!(!settling.may_tell(Decided::NotYet, now));
        assert!(settling.may_tell(Decided::All, now));
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
