//! What is kept from a peer, and what attributes become on their way to it.
//!
//! Both depend on the attributes, on who brought the path ([`Sender`]) and on the peer
//! ([`EgressKey`]), and on nothing else, so that results can be shared by all peers with equal
//! keys.
//!
//! | To | nexthop | AS_PATH | LOCAL_PREF | MED |
//! |---|---|---|---|---|
//! | external | ourselves | our AS in front, as often as the way back asks | removed (RFC 4271 §5.1.5) | that of the filter, else of the way back (§5.1.4) |
//! | internal | ourselves | as it is | kept, or 100 | kept |
//! | internal, reflected | as it is (RFC 4456 §10) | as it is | kept, or 100 | kept |
//!
//! A nexthop that the export filter sets is told instead of these.
//!
//! Nexthop self toward internal peers is a choice: routers between clouds rarely share an interior
//! routing protocol that would carry the original nexthop. A reflector is not on the way of the
//! packets, so what it reflects keeps its nexthop. Prepending in a filter is ignored toward
//! internal peers, who would take our AS in the path for a loop.

use std::net::{IpAddr, Ipv4Addr};

use super::interface::{
    AsOverride, LocalAsPrepend, NexthopMode, PrivateAs, ReflectionRole, RibConfig, RibPeer,
};
use super::preference::Asked;
use super::select::DEFAULT_LOCAL_PREF;
use crate::attrs::{AsPath, Attrs, Community, Reflection, SegmentKind};
use crate::route::SessionUp;
use crate::types::{Asn, Family, FamilySet, Prefix, Role};

/// Who brought a path, as far as it matters to those who are told of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Sender {
    /// This router.
    Ourselves,
    /// A peer of another AS.
    External,
    /// A peer of our AS.
    Internal {
        reflection: ReflectionRole,
        /// Becomes the ORIGINATOR_ID of what is reflected without one.
        router_id: Ipv4Addr,
    },
}

/// All that makes a difference to what a peer is told, but for its export filter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct EgressKey {
    side: Side,
    /// Our AS as the peer knows it.
    pub(super) shown: Asn,
    /// Our own AS where it stands behind `shown`.
    behind: Option<Asn>,
    /// The AS of the peer, where that changes what it is told.
    peer_asn: Option<Asn>,
    as_override: AsOverride,
    private_as: PrivateAs,
    nexthop: Nexthop,
    /// Families in which it can be told of paths that are long-lived stale.
    long_lived: FamilySet,
    /// For the way back. Nothing, of an internal peer.
    pub(super) asked: Asked,
}

/// On which side of the AS border a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Side {
    Internal {
        reflection: ReflectionRole,
        cluster_id: Ipv4Addr,
    },
    /// With what we are to it (RFC 9234: external peers only).
    External(Option<Role>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Nexthop {
    Ourselves,
    Unchanged,
    /// Unchanged within this network, unless it is the peer itself (RFC 4271 §5.1.3).
    Within(Prefix, IpAddr),
}

impl EgressKey {
    /// - `network`: that we share with the peer
    pub(super) fn new(
        config: &RibConfig,
        peer: &RibPeer,
        network: Option<Prefix>,
        up: &SessionUp,
        asked: Asked,
    ) -> Self {
        let options = &peer.options;
        let shown = shown_asn(config, peer);
        let side = if peer.asn == shown {
            Side::Internal {
                reflection: options.reflection,
                cluster_id: config.cluster_id,
            }
        } else {
            Side::External(options.role)
        };
        let behind = options
            .local_as
            .filter(|local| local.on_export == LocalAsPrepend::Shown)
            .map(|_| config.local_asn)
            .filter(|own| *own != shown);
        let looks_for_asns =
            options.as_override == AsOverride::On || options.private_as != PrivateAs::Kept;
        Self {
            side,
            shown,
            behind,
            peer_asn: looks_for_asns.then_some(peer.asn),
            as_override: options.as_override,
            private_as: options.private_as,
            nexthop: match (options.nexthop, network) {
                (NexthopMode::Ourselves, _) | (NexthopMode::ThirdParty, None) => Nexthop::Ourselves,
                (NexthopMode::Unchanged, _) => Nexthop::Unchanged,
                (NexthopMode::ThirdParty, Some(network)) => Nexthop::Within(network, peer.address),
            },
            long_lived: up.long_lived,
            asked,
        }
    }
}

/// Our AS as this peer knows it.
pub(super) fn shown_asn(config: &RibConfig, peer: &RibPeer) -> Asn {
    peer.options
        .local_as
        .map_or(config.local_asn, |local| local.asn)
}

/// Whether such a path may be told to such a peer. Asked before the export filter.
pub(super) fn may_tell(sender: Sender, family: Family, attrs: &Attrs, to: &EgressKey) -> bool {
    let has = |community| attrs.communities.binary_search(&community).is_ok();
    if has(Community::NO_ADVERTISE)
        // RFC 9494 §4.3: only to those who know that it is stale.
        || (has(Community::LLGR_STALE) && !to.long_lived.contains(family))
    {
        return false;
    }
    match to.side {
        Side::Internal { reflection, .. } => crosses_inside(sender, reflection),
        Side::External(role) => {
            // RFC 9234 §5: a path that has gone down does not go up or sideways again.
            let upward = matches!(
                role,
                Some(Role::Customer | Role::Peer | Role::RouteServerClient)
            );
            let stays = has(Community::NO_EXPORT) || has(Community::NO_EXPORT_SUBCONFED);
            !stays && (!upward || attrs.only_to_customer.is_none())
        }
    }
}

/// Between internal peers only what one of the two is a client for (RFC 4271 §9.2, RFC 4456 §6).
fn crosses_inside(sender: Sender, to: ReflectionRole) -> bool {
    match sender {
        Sender::Ourselves | Sender::External => true,
        Sender::Internal { reflection, .. } => {
            reflection == ReflectionRole::Client || to == ReflectionRole::Client
        }
    }
}

/// What the peer is told.
///
/// - `before`: the path as accepted
/// - `filtered`: what the export filter has made of it
/// - `med`: the MED that the filter sets, or that is asked for the way back
pub(super) fn treat(
    to: &EgressKey,
    sender: Sender,
    before: &Attrs,
    filtered: Attrs,
    med: Option<u32>,
) -> Attrs {
    let mut after = filtered;
    match to.side {
        Side::Internal { cluster_id, .. } => {
            after.as_path = before.as_path.clone();
            after.local_pref = Some(after.local_pref.unwrap_or(DEFAULT_LOCAL_PREF));
            after.nexthop = to.nexthop(sender, after.nexthop);
            after.reflection = reflected(sender, before, cluster_id);
        }
        Side::External(role) => {
            after.as_path = to.as_path(&before.as_path, &after.as_path);
            after.local_pref = None;
            after.med = med;
            to.asked.mark(&mut after);
            after.nexthop = to.nexthop(sender, after.nexthop);
            after.reflection = None;
            after
                .ext_communities
                .retain(|community| community.is_transitive());
            // RFC 9234 §5: to a customer, a peer or a client of our route server.
            if let Some(Role::Provider | Role::Peer | Role::RouteServer) = role {
                after.only_to_customer = after.only_to_customer.or(Some(to.shown));
            }
        }
    }
    after
}

/// RFC 4456 §8: whoever brought the path into the AS is named, and our cluster put in front.
fn reflected(sender: Sender, before: &Attrs, cluster_id: Ipv4Addr) -> Option<Box<Reflection>> {
    let Sender::Internal { router_id, .. } = sender else {
        return None;
    };
    let known = before.reflection.as_deref();
    let passed = known.map_or(&[][..], |known| &known.cluster_list);
    Some(Box::new(Reflection {
        originator_id: known
            .and_then(|known| known.originator_id)
            .or(Some(router_id)),
        cluster_list: std::iter::once(cluster_id)
            .chain(passed.iter().copied())
            .collect(),
    }))
}

impl EgressKey {
    fn nexthop(&self, sender: Sender, known: Option<IpAddr>) -> Option<IpAddr> {
        let inside = matches!(self.side, Side::Internal { .. });
        if inside && matches!(sender, Sender::Internal { .. }) {
            return known;
        }
        known.filter(|address| match self.nexthop {
            Nexthop::Ourselves => false,
            Nexthop::Unchanged => true,
            Nexthop::Within(network, peer) => network.contains(address) && *address != peer,
        })
    }

    /// What the filter has put in front stays as it is, whatever is taken out behind it.
    fn as_path(&self, before: &AsPath, filtered: &AsPath) -> AsPath {
        let front = prepended(before, filtered);
        let mut path = before.clone();
        if let Some(peer) = self.peer_asn {
            self.replace_asns(&mut path, peer);
        }
        for asn in front.iter().rev() {
            path = path.prepended(*asn, 1);
        }
        if let Some(own) = self.behind {
            path = path.prepended(own, 1);
        }
        let asked = match front {
            [] => self.asked.prepends(),
            _ => 0,
        };
        path.prepended(self.shown, 1 + asked)
    }

    /// `as-override` and `remove-private`. The peer's own AS stays for its loop check, even if it
    /// is private.
    fn replace_asns(&self, path: &mut AsPath, peer: Asn) {
        let is_out = |asn: Asn| asn.is_private() && asn != peer;
        for segment in &mut path.segments {
            match self.private_as {
                PrivateAs::Kept => {}
                PrivateAs::Removed => segment.asns.retain(|asn| !is_out(*asn)),
                PrivateAs::Replaced => segment
                    .asns
                    .iter_mut()
                    .filter(|asn| is_out(**asn))
                    .for_each(|asn| *asn = self.shown),
            }
            if self.as_override == AsOverride::On {
                let of_peer = segment.asns.iter_mut().filter(|asn| **asn == peer);
                of_peer.for_each(|asn| *asn = self.shown);
            }
        }
        path.segments.retain(|segment| !segment.asns.is_empty());
    }
}

/// What `after` has in front of `before`.
fn prepended<'a>(before: &AsPath, after: &'a AsPath) -> &'a [Asn] {
    let sequence = |path: &'a AsPath| match path.segments.first() {
        Some(first) if first.kind == SegmentKind::Sequence => &first.asns[..],
        _ => &[],
    };
    let added = after.iter().count().saturating_sub(before.iter().count());
    sequence(after).get(..added).unwrap_or_default()
}
