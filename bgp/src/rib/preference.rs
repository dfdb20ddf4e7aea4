//! The way back: how the far side is asked to prefer one of several links, or to leave one alone.
//!
//! What we choose says which way packets leave. Which way they come is the far side's choice, and it
//! honours what it likes: an AS path that is longer, a MED, a community of its own. So the place of a
//! link among those to its site ([`Preference`]) is put into words ([`WayBack`]) on every path that the
//! peer at its end is told of ([`Asked`]).
//!
//! It is applied after the export filter, and yields to it: where the filter has put an AS in front, set
//! a MED, or added a community of the same set, that stands. Peers that are asked the same are told the
//! same bytes; one that is asked something else is told again, like after a change of its filter. Internal
//! peers are asked nothing: LOCAL_PREF is the word between them, and it means as much to paths that have
//! nothing to do with these links.

use std::fmt;

use super::egress::shown_asn;
use super::interface::{RibConfig, RibPeer};
use crate::attrs::{Attrs, Community};

/// Prepended for each step that a link is less wanted. One would tie where a service adds one of its own
/// to some ways and not to others, as OCI does to its VPN.
const PREPENDS: u8 = 2;
/// Between the MEDs of two neighbouring steps: room for the far side to put something in between.
const MED: u32 = 100;
/// The MED of a way that is about to go. What clouds take as a MED ends at 16 bits.
const WORST_MED: u32 = 65_535;

/// Where the link of a peer stands among those to the same site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Preference {
    /// There is no choice, or nobody has said.
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

/// What a peer honours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum WayBack {
    /// Nothing is asked of it.
    #[default]
    Off,
    /// The lower MED (RFC 4271 §5.1.4).
    Med,
    /// The shorter AS path.
    Prepend,
    /// One of these communities: for the primary, the secondary, and any other link.
    Communities([Community; 3]),
}

/// Who is told that a way is about to go, in so many words (RFC 8326).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DrainNotice {
    /// Nobody: the service does not know them.
    #[default]
    None,
    /// The peer, by GRACEFUL_SHUTDOWN.
    GracefulShutdown,
}

/// What is asked of a peer with every path that it is told of. Displayed in a few words, empty for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Asked {
    by: Word,
    notice: DrainNotice,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Word {
    #[default]
    Nothing,
    Med(u32),
    Prepends(u8),
    Community {
        said: Community,
        /// Of these a path has one.
        of: [Community; 3],
    },
}

impl Asked {
    pub(super) fn new(config: &RibConfig, peer: &RibPeer, preference: Preference) -> Self {
        let way_back = peer.options.way_back;
        let steps = match preference {
            _ if !is_asked(config, peer) => return Self::default(),
            Preference::Unsaid => return Self::default(),
            Preference::Primary => 0,
            Preference::Secondary => 1,
            Preference::Further => 2,
            Preference::Draining => 3,
        };
        let is_leaving = preference == Preference::Draining;
        let by = match way_back {
            WayBack::Off => Word::Nothing,
            WayBack::Med if is_leaving => Word::Med(WORST_MED),
            WayBack::Med => Word::Med(MED * u32::from(steps)),
            WayBack::Prepend if steps == 0 => Word::Nothing,
            WayBack::Prepend => Word::Prepends(PREPENDS * steps),
            WayBack::Communities(of) => Word::Community {
                said: of[usize::from(steps.min(2))],
                of,
            },
        };
        let notice = match is_leaving {
            true => peer.options.drain_notice,
            false => DrainNotice::None,
        };
        Self { by, notice }
    }

    /// How often our AS is put in front of a path that the filter has put nothing in front of.
    pub(super) fn prepends(self) -> usize {
        match self.by {
            Word::Prepends(times) => times.into(),
            Word::Nothing | Word::Med(_) | Word::Community { .. } => 0,
        }
    }

    /// What a path has that the filter gives no MED.
    pub(super) fn med(self) -> Option<u32> {
        match self.by {
            Word::Med(med) => Some(med),
            Word::Nothing | Word::Prepends(_) | Word::Community { .. } => None,
        }
    }

    /// Adds what is said in communities.
    pub(super) fn mark(self, attrs: &mut Attrs) {
        if let Word::Community { said, of } = self.by
            && !of.iter().any(|known| has(attrs, *known))
        {
            add(attrs, said);
        }
        if self.notice == DrainNotice::GracefulShutdown {
            add(attrs, Community::GRACEFUL_SHUTDOWN);
        }
    }
}

/// Whether anything is ever asked of a peer.
pub(super) fn is_asked(config: &RibConfig, peer: &RibPeer) -> bool {
    peer.options.way_back != WayBack::Off && peer.asn != shown_asn(config, peer)
}

fn has(attrs: &Attrs, community: Community) -> bool {
    attrs.communities.binary_search(&community).is_ok()
}

fn add(attrs: &mut Attrs, community: Community) {
    if let Err(place) = attrs.communities.binary_search(&community) {
        attrs.communities.insert(place, community);
    }
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

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Word::Nothing => {}
            Word::Med(med) => write!(f, "MED {med}")?,
            Word::Prepends(times) => write!(f, "prepends {times}")?,
            Word::Community { said, .. } => write!(f, "community {said}")?,
        }
        match (self.notice, self.by) {
            (DrainNotice::None, _) => Ok(()),
            (DrainNotice::GracefulShutdown, Word::Nothing) => f.write_str("GRACEFUL_SHUTDOWN"),
            (DrainNotice::GracefulShutdown, _) => f.write_str(", GRACEFUL_SHUTDOWN"),
        }
    }
}
