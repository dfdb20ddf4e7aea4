//! What passes between a session and the RIB.

use std::sync::Arc;

use crate::attrs::Attrs;
use crate::types::{Family, Prefix};

/// What one received UPDATE means, after RFC 7606 has been applied. Goes from a session to the RIB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteEvent {
    /// These prefixes are reachable with these attributes.
    Announce {
        /// Shared by all prefixes of the UPDATE. `nexthop` is always `Some` here.
        attrs: Arc<Attrs>,
        /// Never empty.
        prefixes: Vec<Prefix>,
    },
    /// These prefixes are gone: withdrawn, or announced with a fault that RFC 7606 treats so.
    Withdraw {
        /// Never empty.
        prefixes: Vec<Prefix>,
    },
    /// The peer has sent all it has for this family (RFC 4724 §2).
    EndOfRib(Family),
}

/// One change for one prefix on its way to a peer. Goes from the RIB to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The destination.
    pub prefix: Prefix,
    /// What to announce, after export policy; `None` withdraws. A `nexthop` of `None` inside
    /// means ourselves: the session writes the address of its own end.
    pub attrs: Option<Arc<Attrs>>,
}
