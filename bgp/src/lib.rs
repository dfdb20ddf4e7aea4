//! The BGP speaker of Skybridge, pure: no clock, socket, lock or task.
//!
//! Two machines and one function make the speaker:
//!
//! - [`Session`](session::Session): everything we hold with one peer: both connections, the
//!   state machine, collision, timers.
//! - [`Rib`](rib::Rib): what every peer told us, what we chose and why, and what each peer is told,
//!   as UPDATEs that peers share.
//! - [`Filter`](filter::Filter): import and export policy, a function over a prefix and [`Attrs`].
//!
//! Time is an argument (`now`), randomness is a seed, bytes go in and out. Same inputs, same
//! outputs, forever.
//!
//! | RFC | Subject | Module |
//! |---|---|---|
//! | 4271 | BGP-4 | [`wire`], [`session`], [`rib`] |
//! | 1997, 8092 | communities, large communities | [`attrs`], [`filter`] |
//! | 2918 | route refresh | [`wire`], [`session`] |
//! | 4360, 5668 | extended communities | [`attrs`], [`filter`] |
//! | draft-ietf-idr-link-bandwidth | link bandwidth community | [`filter`] |
//! | 4456 | route reflection | [`wire`], [`rib`] |
//! | 4486 | subcodes of Cease | [`session`], [`wire`] |
//! | 4632 | an aggregate is a route that discards | [`rib`] |
//! | 4724, 8538 | graceful restart, also after a NOTIFICATION; hard reset | [`session`], [`rib`] |
//! | 4760 | multiprotocol extensions | [`wire`] |
//! | 5492 | capabilities | [`wire`] |
//! | 6286 | AS-wide unique BGP identifier | [`session`] |
//! | 6608 | subcodes of the finite state machine error | [`session`] |
//! | 6793 | 4-octet AS numbers | [`wire`] |
//! | 7606 | revised error handling | [`wire`] |
//! | 7313 | enhanced route refresh | [`wire`], [`session`], [`rib`] |
//! | 7607 | AS 0 is nobody | [`wire`] |
//! | 7911 | several paths a prefix | [`wire`], [`session`], [`rib`] |
//! | 8212 | default deny without policy | [`filter`] |
//! | 8326 | graceful shutdown, heard and said | [`rib`] |
//! | 8654 | extended messages | [`wire`], [`session`] |
//! | 8950 | IPv4 prefixes over an IPv6 nexthop | [`wire`], [`session`] |
//! | 9003 (was 8203) | shutdown communication | [`session`], [`wire`] |
//! | 9072 | extended optional parameters of OPEN | [`wire`] |
//! | 9234 | roles, Only to Customer | [`session`], [`wire`], [`rib`] |
//! | 9384 | Cease subcode for a link found dead below the session | [`session`] |
//! | 9494 | long-lived graceful restart | [`session`], [`rib`] |
//! | 9687 | send hold timer | [`session`] |
//!
//! `docs/conformance.md` says rule by rule what is kept, and is made from the tests that show it.
//!
//! Left out, so that nobody has to look for it:
//!
//! - Paths of a peer behind a link that was found dead: they are not kept by graceful restart. Links
//!   are measured, and what leads over a dead one reaches nobody.
//! - Extended communities are carried, matched and shown; none of the services that are built on them
//!   is there.
//! - The name of our host (draft-walton-bgp-hostname-capability): what the peer says is shown, we
//!   say nothing.
//! - Origin validation (RFC 6811), confederations (RFC 5065), outbound route filters (RFC 5291),
//!   families other than unicast.
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
pub use route::{Leftover, Retained, Retention, RouteEvent, SessionUp, Updates};
pub use types::{Asn, Family, FamilySet, FirstAs, Hop, PathId, PeerId, Prefix, Role, RouterId};
