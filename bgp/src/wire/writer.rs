//! Writing UPDATEs (RFC 4271 §4.3, RFC 4760, RFC 6793 §4.2.2).

use std::net::{IpAddr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::as_path::{self, Width};
use super::{Dialect, HEADER_LEN, MessageKind, attribute, encode_message, nlri};
use crate::attrs::Attrs;
use crate::types::{Family, PathId, Prefix};

/// Octets of an UPDATE that has neither attributes nor prefixes.
const EMPTY: usize = HEADER_LEN + 4;

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
    /// The nexthop is of another family than the prefix, and the peer has not said that it takes
    /// such (RFC 8950).
    #[error("the nexthop is of another family than the prefix")]
    NexthopFamily,
}

/// Packs prefixes that share attributes into UPDATEs. Holds the encoded attributes, so that they
/// are encoded once for any number of messages; reuse it to keep its buffer.
#[derive(Debug)]
pub struct UpdateWriter {
    block: Vec<u8>,
    family: Family,
    form: Form,
    room: usize,
}

/// Where the prefixes of an UPDATE stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Behind the attributes.
    Plain,
    /// In MP_REACH_NLRI, with this nexthop (RFC 4760 §3, RFC 8950 §3).
    Multiprotocol(Ipv6Addr),
}

impl Default for UpdateWriter {
    fn default() -> Self {
        Self {
            block: Vec::new(),
            family: Family::Ipv4Unicast,
            form: Form::Plain,
            room: 0,
        }
    }
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
        self.room = 0;
        let extended = dialect.extended_nexthop.contains(family);
        let overhead = match (family, nexthop) {
            (Family::Ipv4Unicast, IpAddr::V4(_)) => 0,
            (Family::Ipv4Unicast, IpAddr::V6(_)) if extended => MP_REACH_OVERHEAD,
            (Family::Ipv6Unicast, IpAddr::V6(_)) => MP_REACH_OVERHEAD,
            (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => {
                return Err(Unsendable::NexthopFamily);
            }
        };
        self.block.clear();
        self.family = family;
        let encoder = AttrsEncoder {
            attrs,
            dialect,
            out: &mut self.block,
        };
        encoder.run(nexthop);
        self.form = match nexthop {
            IpAddr::V4(_) => Form::Plain,
            IpAddr::V6(nexthop) => Form::Multiprotocol(nexthop),
        };
        let longest = match family {
            Family::Ipv4Unicast => 4 + 5,
            Family::Ipv6Unicast => 4 + 17,
        };
        self.room = dialect
            .max_message_len
            .checked_sub(EMPTY + self.block.len() + overhead)
            .filter(|room| *room >= longest)
            .ok_or(Unsendable::TooLong)?;
        Ok(())
    }

    /// Octets of an UPDATE with the loaded attributes, without its prefixes.
    #[must_use]
    pub(crate) fn overhead(&self) -> usize {
        match self.form {
            Form::Plain => EMPTY + self.block.len(),
            Form::Multiprotocol(..) => EMPTY + self.block.len() + MP_REACH_OVERHEAD,
        }
    }

    /// Appends one UPDATE with as many of `prefixes` as fit and tells how many; 0 when there is
    /// none, or none of the loaded family.
    ///
    /// - `path_ids`: one for each prefix where they are sent (RFC 7911 §3), otherwise empty
    pub fn write(&self, prefixes: &[Prefix], path_ids: &[PathId], out: &mut BytesMut) -> usize {
        let nlri = Nlri::fitting(prefixes, path_ids, self.family, self.room);
        if nlri.prefixes.is_empty() {
            return 0;
        }
        encode_message(MessageKind::Update, out, |out| {
            out.put_u16(0);
            match self.form {
                Form::Plain => {
                    put_length(self.block.len(), out);
                    out.put_slice(&self.block);
                    nlri.put(out);
                }
                // First of all attributes, so that the prefixes are found whatever is wrong with
                // another one (RFC 7606 §5.1).
                Form::Multiprotocol(nexthop) => {
                    put_length(self.block.len() + MP_REACH_OVERHEAD + nlri.octets, out);
                    let length = MP_REACH_OVERHEAD - 4 + nlri.octets;
                    put_mp_header(attribute::MP_REACH_NLRI, length, self.family, out);
                    out.put_u8(16);
                    out.put_slice(&nexthop.octets());
                    out.put_u8(0);
                    nlri.put(out);
                    out.put_slice(&self.block);
                }
            }
        });
        nlri.prefixes.len()
    }
}

/// Appends one UPDATE that withdraws as many of `prefixes` as fit, up to the first of another
/// family than the first, and tells how many.
///
/// - `path_ids`: one for each prefix where they are sent (RFC 7911 §3), otherwise empty
/// - `max_message_len`: as [`Dialect::max_message_len`]
pub fn encode_withdraw(
    prefixes: &[Prefix],
    path_ids: &[PathId],
    max_message_len: usize,
    out: &mut BytesMut,
) -> usize {
    let Some(family) = prefixes.first().map(Family::of) else {
        return 0;
    };
    let overhead = match family {
        Family::Ipv4Unicast => EMPTY,
        Family::Ipv6Unicast => EMPTY + MP_UNREACH_OVERHEAD,
    };
    let room = max_message_len.saturating_sub(overhead);
    let nlri = Nlri::fitting(prefixes, path_ids, family, room);
    encode_message(MessageKind::Update, out, |out| match family {
        Family::Ipv4Unicast => {
            put_length(nlri.octets, out);
            nlri.put(out);
            out.put_u16(0);
        }
        Family::Ipv6Unicast => {
            out.put_u16(0);
            put_length(MP_UNREACH_OVERHEAD + nlri.octets, out);
            let length = MP_UNREACH_OVERHEAD - 4 + nlri.octets;
            put_mp_header(attribute::MP_UNREACH_NLRI, length, family, out);
            nlri.put(out);
        }
    });
    nlri.prefixes.len()
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

/// Prefixes that fit into one message.
struct Nlri<'a> {
    prefixes: &'a [Prefix],
    path_ids: &'a [PathId],
    octets: usize,
}

impl<'a> Nlri<'a> {
    /// As many from the front as are of this family and fit into `room`.
    fn fitting(
        prefixes: &'a [Prefix],
        path_ids: &'a [PathId],
        family: Family,
        room: usize,
    ) -> Self {
        let id = if path_ids.is_empty() { 0 } else { 4 };
        let mut octets = 0;
        let mut count = 0;
        for prefix in prefixes {
            let longer = octets + id + nlri::encoded_len(prefix);
            if longer > room || Family::of(prefix) != family {
                break;
            }
            octets = longer;
            count += 1;
        }
        Self {
            prefixes: prefixes.get(..count).unwrap_or_default(),
            path_ids: path_ids.get(..count).unwrap_or_default(),
            octets,
        }
    }

    fn put(&self, out: &mut BytesMut) {
        if self.path_ids.is_empty() {
            for prefix in self.prefixes {
                nlri::encode(prefix, out);
            }
        }
        for (id, prefix) in self.path_ids.iter().zip(self.prefixes) {
            out.put_u32(id.0);
            nlri::encode(prefix, out);
        }
    }
}

fn put_length(length: usize, out: &mut BytesMut) {
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
}

fn put_mp_header(code: u8, length: usize, family: Family, out: &mut BytesMut) {
    out.put_slice(&[attribute::OPTIONAL | attribute::EXTENDED_LENGTH, code]);
    put_length(length, out);
    out.put_u16(family.afi());
    out.put_u8(family.safi());
}

/// Writes attributes in ascending order of type code.
struct AttrsEncoder<'a> {
    attrs: &'a Attrs,
    dialect: &'a Dialect,
    out: &'a mut Vec<u8>,
}

impl AttrsEncoder<'_> {
    /// All but MP_REACH_NLRI, in the order of their codes.
    fn run(mut self, nexthop: IpAddr) {
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
