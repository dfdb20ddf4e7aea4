//! What is refused from a peer whatever its filter says, and what its paths get on the way in.
//!
//! Refused are paths that have been here before: our own AS in the path (RFC 4271 §9.1.2), our own
//! ORIGINATOR_ID or our cluster in CLUSTER_LIST (RFC 4456 §8), and paths that a customer or a
//! peer should not have passed on (RFC 9234 §5). They are stored, not eligible, and shown with the
//! reason.
//!
//! After the import filter a path gets, where it is so configured or agreed:
//!
//! - LOCAL_PREF 0 for GRACEFUL_SHUTDOWN from an external peer (RFC 8326 §5), unless the
//!   filter takes the community away or sets LOCAL_PREF itself. The RFC leaves this to policy; it
//!   is ours without being asked for, since a peer that sends the community wants nothing else;
//! - the AS that we are to the peer in front (`local-as`);
//! - the mark that it may only go down to customers from here (RFC 9234 §5);
//! - LLGR_STALE, once it is kept for long after its session (RFC 9494 §4.2).

use std::sync::Arc;

use super::attrs::Facts;
use super::egress::shown_asn;
use super::interface::{LocalAsPrepend, RibConfig, RibPeer, Step};
use super::source::{Kind, Life};
use crate::attrs::{Attrs, Community};
use crate::types::{Asn, Role};

/// All about a peer that matters to what it sends, but for its filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ingress {
    pub(super) kind: Kind,
    /// The AS that we are to it, where that is not our own.
    other_asn: Option<Asn>,
    prepended: Option<Asn>,
    own_as_allowed: usize,
    peer_asn: Asn,
    /// What we are to it; external peers only.
    role: Option<Role>,
}

impl Ingress {
    pub(super) fn new(config: &RibConfig, peer: &RibPeer) -> Self {
        let options = &peer.options;
        let shown = shown_asn(config, peer);
        let kind = if peer.asn == shown {
            Kind::Internal
        } else {
            Kind::External
        };
        let prepends = options
            .local_as
            .is_some_and(|local| local.on_import == LocalAsPrepend::Shown);
        Self {
            kind,
            other_asn: Some(shown).filter(|shown| *shown != config.local_asn),
            prepended: (prepends && kind == Kind::External).then_some(shown),
            own_as_allowed: options.own_as_allowed.into(),
            peer_asn: peer.asn,
            role: options.role.filter(|_| kind == Kind::External),
        }
    }

    /// Why a path is out of the question before the filter is asked, if it is.
    pub(super) fn refusal(&self, received: &Attrs, facts: &Facts) -> Option<Step> {
        let as_other = self.other_asn.map_or(0, |other| {
            received.as_path.iter().filter(|asn| *asn == other).count()
        });
        if usize::from(facts.own_asns) + as_other > self.own_as_allowed {
            return Some(Step::AsLoop);
        }
        if self.kind == Kind::Internal && facts.has_been_here {
            return Some(Step::ReflectionLoop);
        }
        self.is_leak(received.only_to_customer)
            .then_some(Step::RouteLeak)
    }

    /// RFC 9234 §5: from below, or from the side but not from that peer itself.
    fn is_leak(&self, only_to_customer: Option<Asn>) -> bool {
        match (self.role, only_to_customer) {
            (Some(Role::Provider | Role::RouteServer), Some(_)) => true,
            (Some(Role::Peer), Some(asn)) => asn != self.peer_asn,
            (Some(Role::Customer | Role::RouteServerClient) | None, _) | (_, None) => false,
        }
    }

    /// What the filter has accepted, with what is ours to add.
    pub(super) fn treat(&self, accepted: Arc<Attrs>, life: Life) -> Arc<Attrs> {
        let has = |community| accepted.communities.binary_search(&community).is_ok();
        let going = self.kind == Kind::External
            && accepted.local_pref.is_none()
            && has(Community::GRACEFUL_SHUTDOWN);
        let stale = life == Life::LongLived && !has(Community::LLGR_STALE);
        let marked = self.mark(accepted.only_to_customer);
        if !going && !stale && self.prepended.is_none() && marked == accepted.only_to_customer {
            return accepted;
        }
        let mut treated = Attrs::clone(&accepted);
        treated.only_to_customer = marked;
        if going {
            treated.local_pref = Some(0);
        }
        if stale {
            treated.communities.push(Community::LLGR_STALE);
            treated.communities.sort_unstable();
        }
        if let Some(asn) = self.prepended {
            treated.as_path = treated.as_path.prepended(asn, 1);
        }
        Arc::new(treated)
    }

    fn mark(&self, only_to_customer: Option<Asn>) -> Option<Asn> {
        match self.role {
            Some(Role::Customer | Role::Peer | Role::RouteServerClient) => {
                only_to_customer.or(Some(self.peer_asn))
            }
            Some(Role::Provider | Role::RouteServer) | None => only_to_customer,
        }
    }
}
