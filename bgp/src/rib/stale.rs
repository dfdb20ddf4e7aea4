//! Paths that are kept until they have been sent again.
//!
//! When a session ends, the paths of the families that are to be retained stay as they are
//! (RFC 4724 §4.2, RFC 8538 §4): nothing changes for the FIB or for other peers. The next session is
//! another source. What it announces takes the place of the kept path with the same prefix and path
//! identifier; what is left goes with its End-of-RIB, or after a time.
//!
//! ```text
//!          Down                  restart time over          long-lived time over
//!  alive ───────► Restarting ─────────────────► LongLived ─────────────────► gone
//!                     │     (gone, where not long-lived)│
//!                     └── Up, family preserved ─────────┤
//!  alive ─ RefreshBegins ─► Refreshing                  ▼
//!                     │                              Resending
//!                     └── RefreshEnds, RESEND ► gone ◄──┴── EndOfRib, RESEND
//! ```
//!
//! A session that ends before all has been sent again takes what was kept of the one before it along
//! (RFC 4724 §4.2, "consecutive restarts"), unless both ends told each other that a NOTIFICATION is not
//! the end (RFC 8538 §4.1): then that stays too, until the peer has been back for [`RESEND`] in all. One
//! that ends within a refresh takes nothing along: what it had not sent again yet it had sent, and
//! RFC 4724 keeps all that was received. So several sources may be kept, of which no prefix has two.
//!
//! **Long-lived stale** paths (RFC 9494) get the community LLGR_STALE as they pass the import filter
//! once more, and everything else follows from that: the decision prefers any other path, and only
//! peers that know the community are told.

use std::time::{Duration, Instant};

use super::Rib;
use super::source::{Life, SourceId, index_of};
use crate::route::{Leftover, Retained, Retention};
use crate::types::{Family, FamilySet, PeerId};

/// How long a peer may take to send everything again: what BIRD and FRR wait as well.
const RESEND: Duration = Duration::from_secs(360);

/// The longest time that a peer can ask for: 24 bits (RFC 9494 §3).
const LONGEST: Duration = Duration::from_secs(1 << 24);

/// So many lives of a session are kept at most: a peer that flaps more often loses what is older.
const LIVES: usize = 4;

/// The sources of a family of a peer whose paths are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The latest first.
    lives: [Option<SourceId>; LIVES],
    phase: Phase,
    /// When the peer was first back.
    back_at: Option<Instant>,
    until: Instant,
}

impl Kept {
    fn new(source: SourceId, phase: Phase, until: Instant) -> Self {
        let mut lives = [None; LIVES];
        lives[0] = Some(source);
        Self {
            lives,
            phase,
            back_at: None,
            until,
        }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = SourceId> + Clone + use<> {
        self.lives.into_iter().flatten()
    }

    /// Whether it stays when the session ends that was to send it again.
    fn outlives(&self, retained: &Retained, now: Instant) -> bool {
        match self.phase {
            Phase::Refreshing => true,
            Phase::Resending => {
                let is_due = self.back_at.is_some_and(|back| now >= back + RESEND);
                retained.leftover == Leftover::Stays && !is_due && self.lives[LIVES - 1].is_none()
            }
            Phase::Restarting { .. } | Phase::LongLived => false,
        }
    }

    /// The same with those of an earlier life behind. There is room for them.
    fn followed_by(mut self, earlier: &Self) -> Self {
        let places = self.lives.iter_mut().skip(1);
        for (place, source) in places.zip(earlier.sources()) {
            *place = Some(source);
        }
        self.back_at = earlier.back_at;
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The session has ended and may come back.
    Restarting {
        /// How long its paths stay after that.
        long_lived: Duration,
    },
    /// It has not come back for long.
    LongLived,
    /// It is back.
    Resending,
    /// It goes on, and was asked for everything.
    Refreshing,
}

impl Rib {
    /// Keeps the source of a session that ended, or ends it.
    pub(super) fn retain_or_end(
        &mut self,
        id: PeerId,
        family: Family,
        source: SourceId,
        retention: &Retention,
        now: Instant,
    ) {
        let retained = retention.iter().find(|retained| retained.family == family);
        let stays = |kept: &Kept| retained.is_some_and(|retained| kept.outlives(retained, now));
        let earlier = self.kept(id, family).filter(stays);
        if earlier.is_none() {
            self.end_kept(id, family);
        }
        let Some(Retained {
            restart,
            long_lived,
            ..
        }) = retained
        else {
            return self.end_source(source);
        };
        self.sources.source_mut(source).life = Life::Stale;
        let phase = Phase::Restarting {
            long_lived: *long_lived,
        };
        let kept = Kept::new(source, phase, now);
        let kept = earlier.map_or(kept, |earlier| kept.followed_by(&earlier));
        self.keep(id, family, kept, phase, now, *restart);
    }

    /// The peer is back: what it did not preserve goes at once (RFC 4724 §4.2).
    pub(super) fn await_resending(&mut self, id: PeerId, preserved: FamilySet, now: Instant) {
        for family in Family::ALL {
            match self.kept(id, family) {
                Some(kept) if preserved.contains(family) => {
                    let back_at = kept.back_at.or(Some(now));
                    let kept = Kept { back_at, ..kept };
                    self.keep(id, family, kept, Phase::Resending, now, RESEND);
                }
                Some(_) => self.end_kept(id, family),
                None => {}
            }
        }
    }

    pub(super) fn on_end_of_rib(&mut self, id: PeerId, family: Family) {
        self.end_kept_in(id, family, Phase::Resending);
    }

    /// RFC 7313 §4: what the session has sent so far goes unless it is sent again. A refresh within
    /// a refresh only gets more time.
    pub(super) fn on_refresh_begins(&mut self, id: PeerId, family: Family, now: Instant) {
        if let Some(kept) = self.kept(id, family) {
            self.keep(id, family, kept, kept.phase, now, RESEND);
            return;
        }
        let session = self.peers.get(&id).and_then(|peer| peer.session.as_ref());
        let Some(old) = session.and_then(|session| session.sources[index_of(family)]) else {
            return;
        };
        let anew = self.sources.source(old).anew();
        let fresh = self.sources.insert(anew);
        if let Some(session) = self
            .peers
            .get_mut(&id)
            .and_then(|peer| peer.session.as_mut())
        {
            session.sources[index_of(family)] = Some(fresh);
        }
        self.sources.source_mut(old).life = Life::Stale;
        let kept = Kept::new(old, Phase::Refreshing, now);
        self.keep(id, family, kept, Phase::Refreshing, now, RESEND);
    }

    pub(super) fn on_refresh_ends(&mut self, id: PeerId, family: Family) {
        self.end_kept_in(id, family, Phase::Refreshing);
    }

    /// Carries on with what has been kept long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.expiry.is_some_and(|expiry| expiry <= now) {
            let due: Vec<(PeerId, Family, Kept)> = self
                .each_kept()
                .filter(|(_, _, kept)| kept.until <= now)
                .collect();
            for (id, family, kept) in due {
                match kept.phase {
                    Phase::Restarting { long_lived } if !long_lived.is_zero() => {
                        for source in kept.sources() {
                            self.sources.source_mut(source).life = Life::LongLived;
                            self.sweep.refilter(source);
                        }
                        self.keep(id, family, kept, Phase::LongLived, now, long_lived);
                    }
                    Phase::Restarting { .. }
                    | Phase::LongLived
                    | Phase::Resending
                    | Phase::Refreshing => self.end_kept(id, family),
                }
            }
            self.expiry = self.each_kept().map(|(_, _, kept)| kept.until).min();
        }
    }

    /// What is kept of a peer goes.
    pub(super) fn end_all_kept(&mut self, id: PeerId) {
        for family in Family::ALL {
            self.end_kept(id, family);
        }
    }

    pub(super) fn kept(&self, id: PeerId, family: Family) -> Option<Kept> {
        self.peers.get(&id)?.kept[index_of(family)]
    }

    pub(super) fn end_source(&mut self, source: SourceId) {
        self.sweep.recheck(source);
        self.sources.end(source);
    }

    /// Keeps it in this phase for so long.
    fn keep(
        &mut self,
        id: PeerId,
        family: Family,
        kept: Kept,
        phase: Phase,
        now: Instant,
        time: Duration,
    ) {
        let until = now + time.min(LONGEST);
        if let Some(peer) = self.peers.get_mut(&id) {
            let kept = Kept {
                phase,
                until,
                ..kept
            };
            peer.kept[index_of(family)] = Some(kept);
            self.expiry = Some(self.expiry.map_or(until, |expiry| expiry.min(until)));
        }
    }

    fn end_kept(&mut self, id: PeerId, family: Family) {
        let peer = self.peers.get_mut(&id);
        if let Some(kept) = peer.and_then(|peer| peer.kept[index_of(family)].take()) {
            for source in kept.sources() {
                self.end_source(source);
            }
        }
    }

    fn end_kept_in(&mut self, id: PeerId, family: Family, phase: Phase) {
        if self
            .kept(id, family)
            .is_some_and(|kept| kept.phase == phase)
        {
            self.end_kept(id, family);
        }
    }

    fn each_kept(&self) -> impl Iterator<Item = (PeerId, Family, Kept)> + '_ {
        self.peers.iter().flat_map(|(id, peer)| {
            Family::ALL
                .into_iter()
                .filter_map(|family| Some((*id, family, peer.kept[index_of(family)]?)))
        })
    }
}
