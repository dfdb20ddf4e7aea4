//! What the two ends of a session have agreed on.

use super::as_path::Width;
use super::nlri::PathIds;
use crate::types::{Asn, Family, FamilySet, FirstAs};

/// What UPDATEs of one session depend on: what OPEN agreed on, and who the ends are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialect {
    /// Our AS. The same as the peer's makes the session internal.
    pub local_asn: Asn,
    /// The peer's AS.
    pub peer_asn: Asn,
    /// What the first AS of a path from an external peer must be.
    pub first_as: FirstAs,
    /// AS numbers take four octets in AS_PATH and AGGREGATOR (RFC 6793 §4.1).
    pub four_octet_asn: bool,
    /// Families both ends offered. Others are not looked at.
    pub families: FamilySet,
    /// The peer sends path identifiers (RFC 7911).
    pub add_path_receive: FamilySet,
    /// We send path identifiers (RFC 7911).
    pub add_path_send: FamilySet,
    /// Prefixes of this family may have a nexthop of the other one (RFC 8950). Only IPv4 ever is.
    pub extended_nexthop: FamilySet,
    /// The longest message but OPEN and KEEPALIVE: [`MAX_MESSAGE_LEN`](super::MAX_MESSAGE_LEN),
    /// or 65535 (RFC 8654).
    pub max_message_len: usize,
}

impl Dialect {
    /// What two speakers of this century have in common: both families, 4-octet AS numbers, nothing
    /// else.
    #[must_use]
    pub fn new(local_asn: Asn, peer_asn: Asn) -> Self {
        Self {
            local_asn,
            peer_asn,
            first_as: FirstAs::Enforced,
            four_octet_asn: true,
            families: FamilySet::ALL,
            add_path_receive: FamilySet::EMPTY,
            add_path_send: FamilySet::EMPTY,
            extended_nexthop: FamilySet::EMPTY,
            max_message_len: super::MAX_MESSAGE_LEN,
        }
    }

    /// Both ends are in one AS.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.local_asn == self.peer_asn
    }

    /// Whether a path from the peer may begin with this AS (RFC 4271 §6.3).
    pub(super) fn allows_first(&self, first: Option<Asn>) -> bool {
        self.is_internal()
            || self.first_as == FirstAs::Free
            || first == Some(self.peer_asn)
            || (!self.four_octet_asn
                && first.map(Asn::as_two_octets) == Some(self.peer_asn.as_two_octets()))
    }

    /// Whether prefixes that the peer sends have path identifiers.
    pub(super) fn path_ids(&self, family: Family) -> PathIds {
        if self.add_path_receive.contains(family) {
            PathIds::Present
        } else {
            PathIds::Absent
        }
    }

    pub(super) fn width(&self) -> Width {
        if self.four_octet_asn {
            Width::Four
        } else {
            Width::Two
        }
    }
}
