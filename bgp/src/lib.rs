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
//! | 1997, 8092 | communities, large communities | [`attrs`] |
//! | 2918 | route refresh | [`wire`], [`session`] |
//! | 4486 | subcodes of Cease | [`session`], [`wire`] |
//! | 4724 | graceful restart: the End-of-RIB marker only (§2) | [`wire`], [`rib`] |
//! | 4760 | multiprotocol extensions | [`wire`] |
//! | 5492 | capabilities | [`wire`] |
//! | 6286 | AS-wide unique BGP identifier | [`session`] |
//! | 6608 | subcodes of the finite state machine error | [`session`] |
//! | 6793 | 4-octet AS numbers | [`wire`] |
//! | 7606 | revised error handling | [`wire`] |
//! | 8212 | default deny without policy | [`filter`] |
//! | 9003 (was 8203) | shutdown communication: what the peer says is shown, we say nothing | [`wire`] |
//! | 9072 | extended optional parameters of OPEN | [`wire`] |
//! | 9384 | Cease subcode for a link found dead below the session | [`session`] |
//!
//! Left out, so that nobody has to look for it:
//!
//! - Graceful restart itself (RFC 4724) and its long-lived form (RFC 9494): routes of a session that
//!   ends go at once. Links are measured, and a dead one must not keep its routes.
//! - Enhanced route refresh (RFC 7313): not offered, and its messages are ignored.
//! - More than one path per prefix to a peer (RFC 7911), and route reflection (RFC 4456): what an
//!   internal peer sent goes to no other internal peer.
//! - Extended communities (RFC 4360) and everything that needs them: carried unread.
//! - Extended messages (RFC 8654): a message has 4096 octets at most.
//! - Roles (RFC 9234), origin validation (RFC 6811), confederations (RFC 5065), families other than
//!   unicast.
//! - Session protection (RFC 2385, RFC 5925, RFC 5082) is the business of whoever owns the sockets.

pub mod attrs;
pub mod filter;
pub mod rib;
pub mod route;
pub mod session;
pub mod types;
pub mod wire;

pub use attrs::{
    Aggregator, AsPath, Attrs, Community, ExtCommunity, LargeCommunity, Origin, RawAttr,
    Reflection, Segment, SegmentKind,
};
pub use route::{Delta, Retained, Retention, RouteEvent, SessionUp};
pub use types::{Asn, Family, FamilySet, FirstAs, Hop, PathId, PeerId, Prefix, Role, RouterId};
