//! The BGP speaker of Skybridge, pure: no clock, socket, lock or task.
//!
//! Two machines and one function make the speaker:
//!
//! - [`Session`](session::Session): everything we hold with one peer: both connections, the
//!   state machine, collision, timers, and the outbox that packs pending routes into UPDATEs.
//! - [`Rib`](rib::Rib): what every peer told us, what we chose and why, and what each peer is told.
//! - [`Filter`](filter::Filter): import and export policy, a function over a prefix and [`Attrs`].
//!
//! Time is an argument (`now`), randomness is a seed, bytes go in and out. Same inputs, same
//! outputs, forever.
//!
//! | RFC | Subject | Module |
//! |---|---|---|
//! | 4271 | BGP-4 | [`wire`], [`session`], [`rib`] |
//! | 4760 | multiprotocol extensions | [`wire`] |
//! | 6793 | 4-octet AS numbers | [`wire`] |
//! | 1997, 8092 | communities, large communities | [`attrs`] |
//! | 2918 | route refresh | [`wire`], [`session`] |
//! | 5492 | capabilities | [`wire`] |
//! | 6286 | AS-wide unique BGP identifier | [`session`] |
//! | 7606 | revised error handling | [`wire`] |
//! | 8212 | default deny without policy | [`filter`] |

pub mod attrs;
pub mod filter;
pub mod rib;
pub mod session;
pub mod types;
pub mod wire;

pub use attrs::{
    Aggregator, AsPath, Attrs, Community, LargeCommunity, Origin, RawAttr, Segment, SegmentKind,
};
pub use types::{Asn, Delta, Family, Hop, PeerId, Prefix, RouteEvent, RouterId};
