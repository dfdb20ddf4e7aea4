//! Writing UPDATEs (RFC 4271 §4.3, RFC 4760, RFC 6793 §4.2.2).

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};

use super::as_path::{self, Width};
use super::{Dialect, HEADER_LEN, MAX_MESSAGE_LEN, MessageKind, attribute, encode_message, nlri};
use crate::attrs::Attrs;
use crate::types::{Family, Prefix};

/// Octets left for attributes and prefixes when both length fields are there.
const ROOM: usize = MAX_MESSAGE_LEN - HEADER_LEN - 4;

/// Header of MP_REACH_NLRI with its two octets of length, family, one IPv6 nexthop, reserved octet.
const MP_REACH_OVERHEAD: usize = 4 + 2 + 1 + 1 + 16 + 1;

/// Header of MP_UNREACH_NLRI with its two octets of length, and the family.
const MP_UNREACH_OVERHEAD: usize = 4 + 2 + 1;

/// What internal peers are told when policy has set nothing.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// Why a set of attributes cannot be announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsendable {
    /// It leaves no room for a prefix in the longest message.
    #[error("the attributes do not fit into one message")]
    TooLong,
    /// The nexthop is of another family than the prefix (RFC 8950 is not spoken).
    #[error("the nexthop is of another family than the prefix")]
    NexthopFamily,
}

/// Packs prefixes that share attributes into UPDATEs. Holds the encoded attributes, so that they
/// are encoded once for any number of messages; reuse it to keep its buffer.
#[derive(Debug, Default)]
pub struct UpdateWriter {
    block: Vec<u8>,
    /// Where MP_REACH_NLRI belongs in `block`.
    split: usize,
    nexthop: Option<IpAddr>,
    room: usize,
}

impl UpdateWriter {
    /// Takes the attributes that the next prefixes of `family` are announced with. `nexthop`
    /// stands for `attrs.nexthop`.
    ///
    /// # Errors
    ///
    /// When no prefix of this family can ever be announced so.
    pub fn load(
        &mut self,
        attrs: &Attrs,
        nexthop: IpAddr,
        family: Family,
        dialect: &Dialect,
    ) -> Result<(), Unsendable> {
        let (overhead, longest) = match (family, nexthop) {
            (Family::Ipv4Unicast, IpAddr::V4(_)) => (0, 5),
            (Family::Ipv6Unicast, IpAddr::V6(_)) => (MP_REACH_OVERHEAD, 17),
            (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => {
                return Err(Unsendable::NexthopFamily);
            }
        };
        self.block.clear();
        self.nexthop = Some(nexthop);
        let encoder = AttrsEncoder {
            attrs,
            dialect,
            out: &mut self.block,
        };
        self.split = encoder.run(nexthop);
        let used = self.block.len() + overhead;
        self.room = ROOM
            .checked_sub(used)
            .filter(|room| *room >= longest)
            .ok_or(Unsendable::TooLong)?;
        Ok(())
    }

    /// Octets of prefixes that fit into one UPDATE with the loaded attributes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Appends one UPDATE with as many of `prefixes` as fit and tells how many; 0 when there is
    /// none, or none of the loaded family.
    pub fn write(&self, prefixes: &[Prefix], out: &mut BytesMut) -> usize {
        let Some(nexthop) = self.nexthop else {
            return 0;
        };
        let family = match nexthop {
            IpAddr::V4(_) => Family::Ipv4Unicast,
            IpAddr::V6(_) => Family::Ipv6Unicast,
        };
        let (count, length) = fitting(prefixes, family, self.room);
        let Some(prefixes) = prefixes.get(..count).filter(|some| !some.is_empty()) else {
            return 0;
        };
        encode_message(MessageKind::Update, out, |out| {
            out.put_u16(0);
            match nexthop {
                IpAddr::V4(_) => {
                    put_length(self.block.len(), out);
                    out.put_slice(&self.block);
                    put_prefixes(prefixes, out);
                }
                IpAddr::V6(nexthop) => {
                    put_length(self.block.len() + MP_REACH_OVERHEAD + length, out);
                    let (before, after) = self.block.split_at(self.split);
                    out.put_slice(before);
                    put_mp_header(
                        attribute::MP_REACH_NLRI,
                        MP_REACH_OVERHEAD - 4 + length,
                        out,
                    );
                    out.put_u8(16);
                    out.put_slice(&nexthop.octets());
                    out.put_u8(0);
                    put_prefixes(prefixes, out);
                    out.put_slice(after);
                }
            }
        });
        count
    }
}

/// Appends one UPDATE that withdraws as many of `prefixes` as fit, up to the first of another
/// family than the first, and tells how many.
pub fn encode_withdraw(prefixes: &[Prefix], out: &mut BytesMut) -> usize {
    let Some(family) = prefixes.first().map(Family::of) else {
        return 0;
    };
    let (count, length) = fitting(prefixes, family, withdraw_room(family));
    let prefixes = prefixes.get(..count).unwrap_or_default();
    encode_message(MessageKind::Update, out, |out| match family {
        Family::Ipv4Unicast => {
            put_length(length, out);
            put_prefixes(prefixes, out);
            out.put_u16(0);
        }
        Family::Ipv6Unicast => {
            out.put_u16(0);
            put_length(MP_UNREACH_OVERHEAD + length, out);
            put_mp_header(
                attribute::MP_UNREACH_NLRI,
                MP_UNREACH_OVERHEAD - 4 + length,
                out,
            );
            put_prefixes(prefixes, out);
        }
    });
    count
}

/// Octets of prefixes that fit into one UPDATE that withdraws.
pub(crate) fn withdraw_room(family: Family) -> usize {
    match family {
        Family::Ipv4Unicast => ROOM,
        Family::Ipv6Unicast => ROOM - MP_UNREACH_OVERHEAD,
    }
}

/// Appends the End-of-RIB marker of a family (RFC 4724 §2).
pub fn encode_end_of_rib(family: Family, out: &mut BytesMut) {
    encode_message(MessageKind::Update, out, |out| match family {
        Family::Ipv4Unicast => out.put_u32(0),
        Family::Ipv6Unicast => {
            out.put_u16(0);
            out.put_u16(6);
            out.put_slice(&[attribute::OPTIONAL, attribute::MP_UNREACH_NLRI, 3]);
            out.put_u16(family.afi());
            out.put_u8(family.safi());
        }
    });
}

/// How many prefixes of `family` from the front fit into `room`, and their octets.
fn fitting(prefixes: &[Prefix], family: Family, room: usize) -> (usize, usize) {
    let mut length = 0;
    let mut count = 0;
    for prefix in prefixes {
        let longer = length + nlri::encoded_len(prefix);
        if longer > room || Family::of(prefix) != family {
            break;
        }
        length = longer;
        count += 1;
    }
    (count, length)
}

fn put_prefixes(prefixes: &[Prefix], out: &mut BytesMut) {
    for prefix in prefixes {
        nlri::encode(prefix, out);
    }
}

fn put_length(length: usize, out: &mut BytesMut) {
    debug_assert!(length <= ROOM, "fitting() keeps to the room");
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
}

/// Only IPv6 travels in the multiprotocol attributes.
fn put_mp_header(code: u8, length: usize, out: &mut BytesMut) {
    out.put_slice(&[attribute::OPTIONAL | attribute::EXTENDED_LENGTH, code]);
    put_length(length, out);
    out.put_u16(Family::Ipv6Unicast.afi());
    out.put_u8(Family::Ipv6Unicast.safi());
}

/// Writes attributes in ascending order of type code.
struct AttrsEncoder<'a> {
    attrs: &'a Attrs,
    dialect: &'a Dialect,
    out: &'a mut Vec<u8>,
}

impl AttrsEncoder<'_> {
    /// Returns where MP_REACH_NLRI belongs.
    fn run(mut self, nexthop: IpAddr) -> usize {
        let well_known = attribute::TRANSITIVE;
        self.unknown(0, attribute::ORIGIN);
        self.put(well_known, attribute::ORIGIN, &[self.attrs.origin as u8]);
        self.as_path();
        if let IpAddr::V4(nexthop) = nexthop {
            self.put(well_known, attribute::NEXT_HOP, &nexthop.octets());
        }
        if let Some(med) = self.attrs.med {
            let code = attribute::MULTI_EXIT_DISC;
            self.put(attribute::OPTIONAL, code, &med.to_be_bytes());
        }
        if self.dialect.is_internal() {
            let preference = self.attrs.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
            self.put(well_known, attribute::LOCAL_PREF, &preference.to_be_bytes());
        }
        if self.attrs.atomic_aggregate {
            self.put(well_known, attribute::ATOMIC_AGGREGATE, &[]);
        }
        self.aggregator();
        self.communities();
        self.reflection();
        self.unknown(attribute::COMMUNITIES + 1, attribute::MP_REACH_NLRI);
        let split = self.out.len();
        self.extended_communities();
        self.four_octets();
        self.unknown(attribute::MP_REACH_NLRI, attribute::LARGE_COMMUNITY);
        self.large_communities();
        self.unknown(attribute::LARGE_COMMUNITY, attribute::ONLY_TO_CUSTOMER);
        if let Some(asn) = self.attrs.only_to_customer {
            let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
            let code = attribute::ONLY_TO_CUSTOMER;
            self.put(flags, code, &asn.0.to_be_bytes());
        }
        self.unknown(attribute::ONLY_TO_CUSTOMER, u8::MAX);
        split
    }

    /// ORIGINATOR_ID and CLUSTER_LIST, which mean nothing outside the AS (RFC 4456 §8).
    fn reflection(&mut self) {
        let reflection = self.attrs.reflection.as_deref();
        let Some(reflection) = reflection.filter(|_| self.dialect.is_internal()) else {
            return;
        };
        if let Some(originator) = reflection.originator_id {
            let code = attribute::ORIGINATOR_ID;
            self.put(attribute::OPTIONAL, code, &originator.octets());
        }
        if !reflection.cluster_list.is_empty() {
            let length = 4 * reflection.cluster_list.len();
            let code = attribute::CLUSTER_LIST;
            attribute::encode_header(attribute::OPTIONAL, code, length, self.out);
            for cluster in &reflection.cluster_list {
                self.out.extend(cluster.octets());
            }
        }
    }

    /// As they are: what may not leave the AS (RFC 4360 §6) is the business of export.
    fn extended_communities(&mut self) {
        let communities = &self.attrs.ext_communities;
        if communities.is_empty() {
            return;
        }
        let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
        let length = 8 * communities.len();
        attribute::encode_header(flags, attribute::EXTENDED_COMMUNITIES, length, self.out);
        for community in communities {
            self.out.extend(community.0.to_be_bytes());
        }
    }

    fn put(&mut self, flags: u8, code: u8, value: &[u8]) {
        attribute::encode_header(flags, code, value.len(), self.out);
        self.out.extend_from_slice(value);
    }

    fn as_path(&mut self) {
        let width = self.dialect.width();
        let length = as_path::encoded_len(&self.attrs.as_path, width);
        let code = attribute::AS_PATH;
        attribute::encode_header(attribute::TRANSITIVE, code, length, self.out);
        as_path::encode(&self.attrs.as_path, width, self.out);
    }

    fn aggregator(&mut self) {
        let Some(aggregator) = self.attrs.aggregator else {
            return;
        };
        let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
        let length = self.dialect.width() as usize + 4;
        attribute::encode_header(flags, attribute::AGGREGATOR, length, self.out);
        match self.dialect.width() {
            Width::Two => self
                .out
                .extend(aggregator.asn.as_two_octets().to_be_bytes()),
            Width::Four => self.out.extend(aggregator.asn.0.to_be_bytes()),
        }
        self.out.extend(aggregator.router_id.octets());
    }

    fn communities(&mut self) {
        let communities = &self.attrs.communities;
        if communities.is_empty() {
            return;
        }
        let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
        let length = 4 * communities.len();
        attribute::encode_header(flags, attribute::COMMUNITIES, length, self.out);
        for community in communities {
            self.out.extend(community.0.to_be_bytes());
        }
    }

    /// AS4_PATH and AS4_AGGREGATOR, for a 2-octet peer and only where they say more
    /// (RFC 6793 §4.2.2).
    fn four_octets(&mut self) {
        if self.dialect.four_octet_asn {
            return;
        }
        let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
        if as_path::is_wide(&self.attrs.as_path) {
            let length = as_path::encoded_len(&self.attrs.as_path, Width::Four);
            attribute::encode_header(flags, attribute::AS4_PATH, length, self.out);
            as_path::encode(&self.attrs.as_path, Width::Four, self.out);
        }
        if let Some(aggregator) = self.attrs.aggregator
            && u32::from(aggregator.asn.as_two_octets()) != aggregator.asn.0
        {
            attribute::encode_header(flags, attribute::AS4_AGGREGATOR, 8, self.out);
            self.out.extend(aggregator.asn.0.to_be_bytes());
            self.out.extend(aggregator.router_id.octets());
        }
    }

    fn large_communities(&mut self) {
        let communities = &self.attrs.large_communities;
        if communities.is_empty() {
            return;
        }
        let flags = attribute::OPTIONAL | attribute::TRANSITIVE;
        let length = 12 * communities.len();
        attribute::encode_header(flags, attribute::LARGE_COMMUNITY, length, self.out);
        for community in communities {
            for part in [community.0, community.1, community.2] {
                self.out.extend(part.to_be_bytes());
            }
        }
    }

    /// The unknown ones with codes in a range, its end included. Codes that we know cannot be
    /// among them.
    fn unknown(&mut self, from: u8, to: u8) {
        for raw in self.attrs.unknown.iter().flat_map(|unknown| unknown.iter()) {
            if (from..=to).contains(&raw.code) && attribute::category(raw.code).is_none() {
                attribute::encode_header(raw.flags, raw.code, raw.value.len(), self.out);
                self.out.extend_from_slice(&raw.value);
            }
        }
    }
}
