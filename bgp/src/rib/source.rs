//! Where paths come from: one life of a peer's session in one family, or this router itself.
//!
//! A peer that goes down and comes back is another source. So the paths of its earlier life are
//! never eligible again, however long the sweep takes to reach them, and need no mark of their own.
//! A source that is kept while its peer restarts, or sends everything again, is told apart from
//! the one that follows in the same way.
//!
//! A peer that sends several paths for a prefix (RFC 7911) has a source for each path identifier
//! as well, made when it first occurs and gone with its last path. Such a source has nothing of its
//! own but that number: all else is asked of the source of the session.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::egress::Sender;
use super::interface::{PrefixLimit, ReflectionRole, Standing};
use super::limit::Fill;
use crate::types::{Family, PathId, PeerId, RouterId};

/// Names a source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SourceId(NonZeroU32);

impl SourceId {
    /// This router.
    pub(super) const OURSELVES: Self = Self(NonZeroU32::MIN);

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// What tells its path for a prefix from those of others (RFC 7911 §3).
    pub(super) fn path_id(self) -> PathId {
        PathId(self.0.get())
    }

    fn at(index: usize) -> Self {
        let number = u32::try_from(index).expect("2^32 sources do not fit in memory");
        Self(NonZeroU32::MIN.saturating_add(number))
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

/// Numbers of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SourceCounts {
    pub(super) received: usize,
    pub(super) accepted: usize,
    pub(super) best: usize,
    /// Paths that were too many, and not stored.
    pub(super) discarded: u64,
    /// What the attributes of those received take beyond what is usual, as if each path had its own,
    /// in units of [`EXTRA`](super::attrs::EXTRA) octets.
    pub(super) extra: usize,
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
    pub(super) counts: SourceCounts,
    pub(super) limit: Option<PrefixLimit>,
    pub(super) fill: Fill,
    /// Whether [`Output::NexthopOurs`](super::Output::NexthopOurs) has been said.
    pub(super) nexthop_said: bool,
    /// Whether [`LimitEvent::Bulky`](super::LimitEvent::Bulky) has been said.
    pub(super) bulky_said: bool,
}

/// Whether the session that brought the paths still stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// It does.
    Alive,
    /// Its paths are kept until they have been sent again, or a time has passed.
    Stale,
    /// The same, but they are now used only where there is nothing else (RFC 9494 §4.2).
    LongLived,
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
            counts: SourceCounts::default(),
            limit: None,
            fill: Fill::Low,
            nexthop_said: false,
            bulky_said: false,
        }
    }

    /// A source like this one that has brought nothing yet.
    pub(super) fn anew(&self) -> Self {
        Self {
            life: Life::Alive,
            counts: SourceCounts {
                discarded: self.counts.discarded,
                ..SourceCounts::default()
            },
            ..self.clone()
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

    fn is_gone(&self) -> bool {
        self.life == Life::Ended && self.counts.received == 0 && self.counts.best == 0
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
    nodes: Vec<Node>,
    free: Vec<SourceId>,
    numbered: HashMap<(SourceId, PathId), SourceId, FixedState>,
}

#[derive(Debug)]
enum Node {
    Free,
    Session(Box<Source>),
    Numbered(Numbered),
}

/// The paths with one identifier of a session.
#[derive(Debug)]
struct Numbered {
    session: SourceId,
    path_id: PathId,
    paths: u32,
    /// For how many prefixes its path is the chosen one: outlives the path until another is.
    best: u32,
}

impl Sources {
    pub(super) fn new(ourselves: Source, hasher: FixedState) -> Self {
        Self {
            nodes: vec![Node::Session(Box::new(ourselves))],
            free: Vec::new(),
            numbered: HashMap::with_hasher(hasher),
        }
    }

    pub(super) fn insert(&mut self, source: Source) -> SourceId {
        self.place(Node::Session(Box::new(source)))
    }

    fn place(&mut self, node: Node) -> SourceId {
        match self.free.pop() {
            Some(id) => {
                self.nodes[id.index()] = node;
                id
            }
            None => {
                self.nodes.push(node);
                SourceId::at(self.nodes.len() - 1)
            }
        }
    }

    /// The source of the paths with this identifier, if there are any.
    pub(super) fn find(&self, session: SourceId, path_id: Option<PathId>) -> Option<SourceId> {
        match path_id {
            Some(path_id) => self.numbered.get(&(session, path_id)).copied(),
            None => Some(session),
        }
    }

    /// The source of the paths with this identifier. [`Sources::free_if_gone`] has to follow if it
    /// gets no path.
    pub(super) fn find_or_insert(
        &mut self,
        session: SourceId,
        path_id: Option<PathId>,
    ) -> SourceId {
        if let Some(known) = self.find(session, path_id) {
            return known;
        }
        let path_id = path_id.unwrap_or_default();
        let id = self.place(Node::Numbered(Numbered {
            session,
            path_id,
            paths: 0,
            best: 0,
        }));
        self.numbered.insert((session, path_id), id);
        id
    }

    /// The source of the session that this one belongs to.
    pub(super) fn session_of(&self, id: SourceId) -> SourceId {
        match &self.nodes[id.index()] {
            Node::Numbered(numbered) => numbered.session,
            Node::Session(_) | Node::Free => id,
        }
    }

    /// By what the peer tells its paths for a prefix apart.
    pub(super) fn path_id(&self, id: SourceId) -> Option<PathId> {
        match &self.nodes[id.index()] {
            Node::Numbered(numbered) => Some(numbered.path_id),
            Node::Session(_) | Node::Free => None,
        }
    }

    pub(super) fn source(&self, id: SourceId) -> &Source {
        match &self.nodes[self.session_of(id).index()] {
            Node::Session(source) => Some(source),
            Node::Numbered(_) | Node::Free => None,
        }
        .expect("a source stays until its last path is gone")
    }

    pub(super) fn source_mut(&mut self, id: SourceId) -> &mut Source {
        let session = self.session_of(id);
        match &mut self.nodes[session.index()] {
            Node::Session(source) => Some(source),
            Node::Numbered(_) | Node::Free => None,
        }
        .expect("a source stays until its last path is gone")
    }

    /// Counts a path that is stored.
    pub(super) fn count_received(&mut self, id: SourceId) {
        self.source_mut(id).counts.received += 1;
        if let Node::Numbered(numbered) = &mut self.nodes[id.index()] {
            numbered.paths += 1;
        }
    }

    /// Counts a path that is no longer stored. The source may be gone afterwards.
    pub(super) fn uncount_received(&mut self, id: SourceId) {
        let source = self.source_mut(id);
        source.counts.received -= 1;
        source.note_fewer();
        if let Node::Numbered(numbered) = &mut self.nodes[id.index()] {
            numbered.paths -= 1;
        }
        self.free_if_gone(id);
    }

    /// Counts a path that is chosen.
    pub(super) fn count_best(&mut self, id: SourceId) {
        self.source_mut(id).counts.best += 1;
        if let Node::Numbered(numbered) = &mut self.nodes[id.index()] {
            numbered.best += 1;
        }
    }

    /// Counts a path that is no longer chosen. The source may be gone afterwards.
    pub(super) fn uncount_best(&mut self, id: SourceId) {
        self.source_mut(id).counts.best -= 1;
        if let Node::Numbered(numbered) = &mut self.nodes[id.index()] {
            numbered.best -= 1;
        }
        self.free_if_gone(id);
    }

    /// Ends a source; it goes for good with its last path.
    pub(super) fn end(&mut self, id: SourceId) {
        self.source_mut(id).life = Life::Ended;
        self.free_if_gone(id);
    }

    pub(super) fn free_if_gone(&mut self, id: SourceId) {
        let session = self.session_of(id);
        if let Node::Numbered(numbered) = &self.nodes[id.index()]
            && numbered.paths == 0
            && numbered.best == 0
        {
            self.numbered.remove(&(session, numbered.path_id));
            self.free(id);
        }
        if let Node::Session(source) = &self.nodes[session.index()]
            && source.is_gone()
        {
            self.free(session);
        }
    }

    fn free(&mut self, id: SourceId) {
        self.nodes[id.index()] = Node::Free;
        self.free.push(id);
    }

    /// How many there are, with this router.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}
