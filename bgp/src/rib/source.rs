//! Where paths come from: one life of a peer's session, or this router itself.
//!
//! A peer that goes down and comes back is another source. So the paths of its earlier life are
//! never eligible again, however long the sweep takes to reach them, and need no mark of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use super::egress::Sender;
use super::interface::{ReflectionRole, Standing};
use crate::types::{Family, PeerId, RouterId};

/// Names a source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SourceId(NonZeroU32);

impl SourceId {
    /// This router.
    pub(super) const OURSELVES: Self = Self(NonZeroU32::MIN);

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Which side of the AS border a path comes from. Declared in order of preference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    /// This router itself.
    Originated,
    /// A peer of another AS.
    External,
    /// A peer of our AS.
    Internal,
}

/// Numbers of one source and family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SourceCounts {
    pub(super) received: usize,
    pub(super) accepted: usize,
    pub(super) best: usize,
}

/// What the decision needs to know about where a path comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `None`: this router itself.
    pub(super) peer: Option<PeerId>,
    pub(super) kind: Kind,
    pub(super) router_id: Ipv4Addr,
    pub(super) address: IpAddr,
    pub(super) standing: Standing,
    pub(super) reflection: ReflectionRole,
    pub(super) life: Life,
    pub(super) counts: [SourceCounts; Family::ALL.len()],
}

/// Whether the session that brought the paths still stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// It does.
    Alive,
    /// It ended: its paths are not eligible and are being swept away.
    Ended,
}

impl Source {
    pub(super) fn ourselves(router_id: RouterId) -> Self {
        Self {
            peer: None,
            kind: Kind::Originated,
            router_id: router_id.address(),
            address: router_id.address().into(),
            standing: Standing::Unranked,
            reflection: ReflectionRole::NonClient,
            life: Life::Alive,
            counts: Default::default(),
        }
    }

    /// What those who are told of its paths have to know of it.
    pub(super) fn sender(&self) -> Sender {
        match self.kind {
            Kind::Originated => Sender::Ourselves,
            Kind::External => Sender::External,
            Kind::Internal => Sender::Internal {
                reflection: self.reflection,
                router_id: self.router_id,
            },
        }
    }

    pub(super) fn counts(&self, family: Family) -> &SourceCounts {
        &self.counts[index_of(family)]
    }

    pub(super) fn counts_mut(&mut self, family: Family) -> &mut SourceCounts {
        &mut self.counts[index_of(family)]
    }

    fn is_gone(&self) -> bool {
        let unused = |counts: &SourceCounts| counts.received == 0 && counts.best == 0;
        self.life == Life::Ended && self.counts.iter().all(unused)
    }
}

/// The place of a family in arrays of one item each.
pub(super) fn index_of(family: Family) -> usize {
    match family {
        Family::Ipv4Unicast => 0,
        Family::Ipv6Unicast => 1,
    }
}

/// Every source that has paths or may get some.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Option<Source>>,
}

impl Sources {
    pub(super) fn new(ourselves: Source) -> Self {
        Self {
            sources: vec![Some(ourselves)],
        }
    }

    /// Looks for a free place from the front: there are as many as there are peers, and a few
    /// that are being swept.
    pub(super) fn insert(&mut self, source: Source) -> SourceId {
        let index = match self.sources.iter().position(Option::is_none) {
            Some(index) => {
                self.sources[index] = Some(source);
                index
            }
            None => {
                self.sources.push(Some(source));
                self.sources.len() - 1
            }
        };
        let number = u32::try_from(index).expect("2^32 sources do not fit in memory");
        SourceId(NonZeroU32::MIN.saturating_add(number))
    }

    pub(super) fn source(&self, id: SourceId) -> &Source {
        self.sources[id.index()]
            .as_ref()
            .expect("a source stays until its last path is gone")
    }

    pub(super) fn source_mut(&mut self, id: SourceId) -> &mut Source {
        self.sources[id.index()]
            .as_mut()
            .expect("a source stays until its last path is gone")
    }

    /// Ends a source; it goes for good with its last path.
    pub(super) fn end(&mut self, id: SourceId) {
        self.source_mut(id).life = Life::Ended;
        self.free_if_gone(id);
    }

    pub(super) fn free_if_gone(&mut self, id: SourceId) {
        if self.sources[id.index()]
            .as_ref()
            .is_some_and(Source::is_gone)
        {
            self.sources[id.index()] = None;
        }
    }
}
