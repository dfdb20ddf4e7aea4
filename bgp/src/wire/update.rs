//! Reading an UPDATE (RFC 4271 §4.3, RFC 4760, RFC 6793) with the error handling of RFC 7606.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::as_path::{self, Width};
use super::attribute::{self, Attribute};
use super::nlri::Nlri;
use super::{Dialect, Fault, Notification, Severity, take, take_u8, take_u16};
use crate::attrs::{
    Aggregator, AsPath, Attrs, Community, ExtCommunity, LargeCommunity, Origin, RawAttr, Reflection,
};
use crate::route::RouteEvent;
use crate::types::{Asn, Family, Prefix};

/// Reads what follows the header and appends what it means to `events`, and what is wrong with it
/// to `faults`. A prefix both withdrawn and announced ends up announced (RFC 4271 §4.3).
///
/// # Errors
///
/// The UPDATE Message Error to end the session with, where RFC 7606 leaves no other way; the
/// last of `faults` explains it, and nothing has been appended to `events`.
pub fn decode_update(
    body: &[u8],
    dialect: &Dialect,
    events: &mut Vec<RouteEvent>,
    faults: &mut Vec<Fault>,
) -> Result<(), Notification> {
    let mut decoder = Decoder::new(dialect, faults);
    match decoder.run(body) {
        Ok(()) => {
            decoder.finish(events);
            Ok(())
        }
        Err(reset) => {
            decoder.faults.push(Fault {
                severity: Severity::SessionReset,
                attribute: reset.attribute,
                text: reset.text,
            });
            Err(Notification::update_error(reset.subcode, &reset.data))
        }
    }
}

/// So many faults of one message are told, and one more for each severity beyond.
const FAULTS_LIMIT: usize = 16;

/// A fault that ends the session.
struct Reset {
    subcode: u8,
    attribute: u8,
    text: &'static str,
    data: Vec<u8>,
}

impl Reset {
    fn new(subcode: u8, text: &'static str) -> Self {
        Self {
            subcode,
            attribute: 0,
            text,
            data: Vec::new(),
        }
    }

    fn of(subcode: u8, attribute: &Attribute<'_>, text: &'static str) -> Self {
        Self {
            subcode,
            attribute: attribute.code,
            text,
            data: attribute.whole.to_vec(),
        }
    }
}

/// What is known of one UPDATE while its attributes are read.
struct Decoder<'a> {
    dialect: &'a Dialect,
    faults: &'a mut Vec<Fault>,
    worst: Option<Severity>,
    /// One bit per type code that has occurred.
    seen: [u64; 4],
    /// Attributes other than MP_UNREACH_NLRI have occurred.
    has_path_attributes: bool,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
    nexthop: Option<Ipv4Addr>,
    mp_nexthop: Option<IpAddr>,
    /// Worth something once nothing is known to be worse than an attribute discarded.
    attrs: Attrs,
    /// By family: one may have path identifiers and the other not.
    withdrawn: [Nlri; Family::ALL.len()],
    announced: Nlri,
    mp_family: Family,
    mp_announced: Nlri,
    end_of_rib: Option<Family>,
}

impl<'a> Decoder<'a> {
    fn new(dialect: &'a Dialect, faults: &'a mut Vec<Fault>) -> Self {
        Self {
            dialect,
            faults,
            worst: None,
            seen: [0; 4],
            has_path_attributes: false,
            as4_path: None,
            as4_aggregator: None,
            nexthop: None,
            mp_nexthop: None,
            attrs: Attrs::originated(),
            withdrawn: Default::default(),
            announced: Nlri::default(),
            mp_family: Family::Ipv6Unicast,
            mp_announced: Nlri::default(),
            end_of_rib: None,
        }
    }

    fn run(&mut self, body: &[u8]) -> Result<(), Reset> {
        let (withdrawn, attributes, announced) =
            split(body).ok_or_else(|| Reset::new(1, "lengths do not add up"))?;
        let family = Family::Ipv4Unicast;
        let v4 = self.dialect.families.contains(family);
        let path_ids = self.dialect.path_ids(family);
        for (bytes, nlri) in [
            (withdrawn, &mut self.withdrawn[family as usize]),
            (announced, &mut self.announced),
        ] {
            nlri.decode(family, path_ids, bytes)
                .map_err(|text| Reset::new(10, text))?;
            if !v4 {
                nlri.clear();
            }
        }
        self.attributes(attributes)?;
        if body == [0; 4] && v4 {
            self.end_of_rib = Some(Family::Ipv4Unicast);
        } else if !withdrawn.is_empty() || !announced.is_empty() || self.has_path_attributes {
            self.end_of_rib = None;
        }
        if self.announces() {
            self.check_mandatory();
            self.check_nexthop();
            self.ignore_multicast();
        } else if self.has_path_attributes
            && announced.is_empty()
            && self.worst >= Some(Severity::TreatAsWithdraw)
        {
            // RFC 7606 §5.2: the prefixes may have been lost with the attribute at fault.
            return Err(Reset::new(
                1,
                "attributes at fault and no prefix to withdraw",
            ));
        }
        Ok(())
    }

    fn announces(&self) -> bool {
        !self.announced.is_empty() || !self.mp_announced.is_empty()
    }

    fn fault(&mut self, severity: Severity, attribute: u8, text: &'static str) {
        let is_worse = self.worst < Some(severity);
        self.worst = self.worst.max(Some(severity));
        // A message can hold ten thousand attributes; a few faults tell enough.
        if self.faults.len() >= FAULTS_LIMIT && !is_worse {
            return;
        }
        self.faults.push(Fault {
            severity,
            attribute,
            text,
        });
    }

    fn discard(&mut self, attribute: u8, text: &'static str) {
        self.fault(Severity::AttributeDiscard, attribute, text);
    }

    fn withdraw(&mut self, attribute: u8, text: &'static str) {
        self.fault(Severity::TreatAsWithdraw, attribute, text);
    }

    fn attributes(&mut self, mut block: &[u8]) -> Result<(), Reset> {
        while !block.is_empty() {
            match attribute::next(&mut block) {
                Ok(attribute) => self.attribute(&attribute)?,
                Err(code) => {
                    // RFC 7606 §4: what follows cannot be told apart, the NLRI field still can.
                    self.has_path_attributes = true;
                    self.withdraw(code, "runs past the end of the attributes");
                    break;
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &Attribute<'_>) -> Result<(), Reset> {
        let code = attribute.code;
        if code != attribute::MP_UNREACH_NLRI {
            self.has_path_attributes = true;
        }
        if self.is_duplicate(code) {
            if matches!(code, attribute::MP_REACH_NLRI | attribute::MP_UNREACH_NLRI) {
                return Err(Reset::of(1, attribute, "occurs twice"));
            }
            self.discard(code, "occurs twice, the first counts");
            return Ok(());
        }
        let Some(category) = attribute::category(code) else {
            return self.unknown(attribute);
        };
        let mask = attribute::OPTIONAL | attribute::TRANSITIVE;
        let flags_are_right = attribute.flags & mask == category;
        if !flags_are_right {
            self.withdraw(code, "Optional or Transitive flag is wrong");
        }
        match code {
            attribute::MP_REACH_NLRI => self.mp_reach(attribute),
            attribute::MP_UNREACH_NLRI => self.mp_unreach(attribute),
            _ if flags_are_right => {
                self.known(code, attribute.value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_duplicate(&mut self, code: u8) -> bool {
        let bit = 1_u64 << (code % 64);
        let Some(word) = self.seen.get_mut(usize::from(code / 64)) else {
            return false;
        };
        let seen = *word & bit != 0;
        *word |= bit;
        seen
    }

    fn unknown(&mut self, attribute: &Attribute<'_>) -> Result<(), Reset> {
        if attribute.flags & attribute::OPTIONAL == 0 {
            return Err(Reset::of(2, attribute, "well-known, and not known to us"));
        }
        if attribute.flags & attribute::TRANSITIVE != 0 {
            self.attrs.unknown.get_or_insert_default().push(RawAttr {
                code: attribute.code,
                flags: attribute::OPTIONAL | attribute::TRANSITIVE | attribute::PARTIAL,
                value: attribute.value.into(),
            });
        }
        Ok(())
    }

    fn known(&mut self, code: u8, value: &[u8]) {
        match code {
            attribute::ORIGIN => self.origin(value),
            attribute::AS_PATH => self.as_path(value),
            attribute::NEXT_HOP => match <[u8; 4]>::try_from(value) {
                Ok(octets) => self.nexthop = Some(octets.into()),
                Err(_) => self.withdraw(code, "length is not 4"),
            },
            attribute::MULTI_EXIT_DISC => match number(value) {
                Some(med) => self.attrs.med = Some(med),
                None => self.withdraw(code, "length is not 4"),
            },
            attribute::LOCAL_PREF => self.local_pref(value),
            attribute::ATOMIC_AGGREGATE if value.is_empty() => self.attrs.atomic_aggregate = true,
            attribute::ATOMIC_AGGREGATE => self.discard(code, "length is not 0"),
            attribute::AGGREGATOR => match aggregator(value, self.dialect.width()) {
                Some(aggregator) => self.attrs.aggregator = Some(aggregator),
                None => self.discard(code, "not an AS number above 0 and an address"),
            },
            attribute::COMMUNITIES => self.communities(value),
            attribute::LARGE_COMMUNITY => self.large_communities(value),
            attribute::EXTENDED_COMMUNITIES => self.extended_communities(value),
            attribute::ORIGINATOR_ID | attribute::CLUSTER_LIST => self.reflection(code, value),
            attribute::ONLY_TO_CUSTOMER => match number(value) {
                Some(asn) => self.attrs.only_to_customer = Some(Asn(asn)),
                None => self.withdraw(code, "length is not 4"),
            },
            // RFC 6793 §4.1: not from a speaker that has four octets elsewhere.
            attribute::AS4_PATH | attribute::AS4_AGGREGATOR if self.dialect.four_octet_asn => {
                self.discard(code, "from a speaker of 4-octet AS numbers");
            }
            attribute::AS4_PATH => {
                let mut path = AsPath::default();
                match as_path::decode(value, Width::Four, &mut path) {
                    Ok(()) => self.as4_path = Some(path),
                    Err(text) => self.discard(code, text),
                }
            }
            attribute::AS4_AGGREGATOR => match aggregator(value, Width::Four) {
                Some(aggregator) => self.as4_aggregator = Some(aggregator),
                None => self.discard(code, "length is not 8"),
            },
            _ => {}
        }
    }

    fn origin(&mut self, value: &[u8]) {
        self.attrs.origin = match value {
            [0] => Origin::Igp,
            [1] => Origin::Egp,
            [2] => Origin::Incomplete,
            [_] => return self.withdraw(attribute::ORIGIN, "value is not 0, 1 or 2"),
            _ => return self.withdraw(attribute::ORIGIN, "length is not 1"),
        };
    }

    fn as_path(&mut self, value: &[u8]) {
        let path = &mut self.attrs.as_path;
        if let Err(text) = as_path::decode(value, self.dialect.width(), path) {
            return self.withdraw(attribute::AS_PATH, text);
        }
        if !self.dialect.allows_first(self.attrs.as_path.first()) {
            self.withdraw(attribute::AS_PATH, "does not start with the AS of the peer");
        }
    }

    fn local_pref(&mut self, value: &[u8]) {
        if !self.dialect.is_internal() {
            return self.discard(attribute::LOCAL_PREF, "from an external peer");
        }
        match number(value) {
            Some(preference) => self.attrs.local_pref = Some(preference),
            None => self.withdraw(attribute::LOCAL_PREF, "length is not 4"),
        }
    }

    fn communities(&mut self, value: &[u8]) {
        let (communities, rest) = value.as_chunks::<4>();
        if communities.is_empty() || !rest.is_empty() {
            let text = "length is not a multiple of 4 above 0";
            return self.withdraw(attribute::COMMUNITIES, text);
        }
        let communities = communities
            .iter()
            .map(|octets| Community(u32::from_be_bytes(*octets)));
        self.attrs.communities.extend(communities);
        self.attrs.communities.sort_unstable();
        self.attrs.communities.dedup();
    }

    fn large_communities(&mut self, value: &[u8]) {
        let (communities, rest) = value.as_chunks::<12>();
        if communities.is_empty() || !rest.is_empty() {
            let text = "length is not a multiple of 12 above 0";
            return self.withdraw(attribute::LARGE_COMMUNITY, text);
        }
        for [a, b, c, d, e, f, g, h, i, j, k, l] in communities {
            self.attrs.large_communities.push(LargeCommunity(
                u32::from_be_bytes([*a, *b, *c, *d]),
                u32::from_be_bytes([*e, *f, *g, *h]),
                u32::from_be_bytes([*i, *j, *k, *l]),
            ));
        }
        self.attrs.large_communities.sort_unstable();
        self.attrs.large_communities.dedup();
    }

    /// RFC 7606 §7.14.
    fn extended_communities(&mut self, value: &[u8]) {
        let (communities, rest) = value.as_chunks::<8>();
        if communities.is_empty() || !rest.is_empty() {
            let text = "length is not a multiple of 8 above 0";
            return self.withdraw(attribute::EXTENDED_COMMUNITIES, text);
        }
        let communities = communities
            .iter()
            .map(|octets| ExtCommunity(u64::from_be_bytes(*octets)));
        self.attrs.ext_communities.extend(communities);
        self.attrs.ext_communities.sort_unstable();
        self.attrs.ext_communities.dedup();
    }

    /// RFC 7606 §7.9, §7.10.
    fn reflection(&mut self, code: u8, value: &[u8]) {
        if !self.dialect.is_internal() {
            return self.discard(code, "from an external peer");
        }
        let (ids, rest) = value.as_chunks::<4>();
        let mut ids = ids.iter().map(|octets| Ipv4Addr::from(*octets));
        if code == attribute::CLUSTER_LIST {
            if value.is_empty() || !rest.is_empty() {
                return self.withdraw(code, "length is not a multiple of 4 above 0");
            }
            self.reflected().cluster_list.extend(ids);
        } else if value.len() == 4 {
            self.reflected().originator_id = ids.next();
        } else {
            self.withdraw(code, "length is not 4");
        }
    }

    fn reflected(&mut self) -> &mut Reflection {
        self.attrs.reflection.get_or_insert_with(|| {
            Box::new(Reflection {
                originator_id: None,
                cluster_list: Vec::new(),
            })
        })
    }

    /// RFC 4760 §3. Where the prefixes cannot be found the session has to end (RFC 7606 §3 j).
    fn mp_reach(&mut self, attribute: &Attribute<'_>) -> Result<(), Reset> {
        let cut = || Reset::of(9, attribute, "is cut");
        let mut rest = attribute.value;
        let afi = take_u16(&mut rest).ok_or_else(cut)?;
        let safi = take_u8(&mut rest).ok_or_else(cut)?;
        let nexthop_len = usize::from(take_u8(&mut rest).ok_or_else(cut)?);
        let nexthop = take(&mut rest, nexthop_len).ok_or_else(cut)?;
        take_u8(&mut rest).ok_or_else(cut)?;
        let Some(family) = self.family(attribute.code, afi, safi) else {
            return Ok(());
        };
        self.mp_nexthop =
            Some(mp_nexthop(family, nexthop, self.dialect).ok_or_else(|| {
                Reset::of(9, attribute, "nexthop length does not fit the family")
            })?);
        self.mp_family = family;
        self.mp_announced
            .decode(family, self.dialect.path_ids(family), rest)
            .map_err(|text| Reset::of(10, attribute, text))
    }

    /// RFC 4760 §4.
    fn mp_unreach(&mut self, attribute: &Attribute<'_>) -> Result<(), Reset> {
        let cut = || Reset::of(9, attribute, "is cut");
        let mut rest = attribute.value;
        let afi = take_u16(&mut rest).ok_or_else(cut)?;
        let safi = take_u8(&mut rest).ok_or_else(cut)?;
        let Some(family) = self.family(attribute.code, afi, safi) else {
            return Ok(());
        };
        if rest.is_empty() {
            self.end_of_rib = Some(family);
        }
        self.withdrawn[family as usize]
            .decode(family, self.dialect.path_ids(family), rest)
            .map_err(|text| Reset::of(10, attribute, text))
    }

    /// `None` for a family that was not agreed on: RFC 4760 §6 lets us ignore it.
    fn family(&mut self, code: u8, afi: u16, safi: u8) -> Option<Family> {
        let family = Family::from_afi_safi(afi, safi)
            .filter(|family| self.dialect.families.contains(*family));
        if family.is_none() {
            self.discard(code, "of a family that was not agreed on");
        }
        family
    }

    /// RFC 7606 §3 d.
    fn check_mandatory(&mut self) {
        let absent = |code: u8| {
            let word = self.seen.get(usize::from(code / 64)).copied();
            word.unwrap_or(0) & (1 << (code % 64)) == 0
        };
        let needs_nexthop = !self.announced.is_empty();
        for (code, is_missing) in [
            (attribute::ORIGIN, absent(attribute::ORIGIN)),
            (attribute::AS_PATH, absent(attribute::AS_PATH)),
            (
                attribute::NEXT_HOP,
                needs_nexthop && absent(attribute::NEXT_HOP),
            ),
        ] {
            if is_missing {
                self.withdraw(code, "mandatory, and missing");
            }
        }
    }

    fn check_nexthop(&mut self) {
        let classic = self.nexthop.filter(|_| !self.announced.is_empty());
        if classic.is_some_and(|address| !is_host_v4(address)) {
            self.withdraw(attribute::NEXT_HOP, "not the address of a host");
        }
        let multiprotocol = self.mp_nexthop.filter(|_| !self.mp_announced.is_empty());
        if multiprotocol.is_some_and(|address| !is_host(address)) {
            self.withdraw(
                attribute::MP_REACH_NLRI,
                "nexthop is not the address of a host",
            );
        }
    }

    /// RFC 4271 §6.3: a multicast address among unicast prefixes means nothing.
    fn ignore_multicast(&mut self) {
        let fields = [&mut self.announced, &mut self.mp_announced];
        let mut found = false;
        for nlri in fields {
            if nlri.prefixes.iter().any(is_multicast) {
                found = true;
                nlri.remove(is_multicast);
            }
        }
        if found {
            self.fault(Severity::PrefixDiscard, 0, "a multicast prefix");
        }
    }

    fn finish(&mut self, events: &mut Vec<RouteEvent>) {
        let is_usable = self.worst < Some(Severity::TreatAsWithdraw);
        if !is_usable {
            self.withdrawn[Family::Ipv4Unicast as usize].append(&mut self.announced);
            self.withdrawn[self.mp_family as usize].append(&mut self.mp_announced);
        }
        for nlri in &mut self.withdrawn {
            if !nlri.is_empty() {
                let Nlri { prefixes, path_ids } = std::mem::take(nlri);
                events.push(RouteEvent::Withdraw { prefixes, path_ids });
            }
        }
        if self.announces() {
            self.announce(events);
        }
        events.extend(self.end_of_rib.map(RouteEvent::EndOfRib));
    }

    /// One event for each nexthop that has prefixes.
    fn announce(&mut self, events: &mut Vec<RouteEvent>) {
        self.restore_four_octets();
        if let Some(unknown) = self.attrs.unknown.as_mut() {
            unknown.sort_by_key(|attribute| attribute.code);
        }
        let classic = std::mem::take(&mut self.announced);
        let multiprotocol = std::mem::take(&mut self.mp_announced);
        if !classic.is_empty() {
            self.attrs.nexthop = self.nexthop.map(IpAddr::V4);
            let attrs = if multiprotocol.is_empty() {
                self.take_attrs()
            } else {
                Arc::new(self.attrs.clone())
            };
            events.push(announcement(attrs, classic));
        }
        if !multiprotocol.is_empty() {
            self.attrs.nexthop = self.mp_nexthop;
            events.push(announcement(self.take_attrs(), multiprotocol));
        }
    }

    fn take_attrs(&mut self) -> Arc<Attrs> {
        Arc::new(std::mem::replace(&mut self.attrs, Attrs::originated()))
    }

    /// RFC 6793 §4.2.3.
    fn restore_four_octets(&mut self) {
        if let Some(aggregator) = self.attrs.aggregator
            && let Some(as4_aggregator) = self.as4_aggregator
        {
            if aggregator.asn != Asn::TRANS {
                return;
            }
            self.attrs.aggregator = Some(as4_aggregator);
        }
        if let Some(as4_path) = self.as4_path.take() {
            let path = std::mem::take(&mut self.attrs.as_path);
            self.attrs.as_path = as_path::merge(path, as4_path);
        }
    }
}

fn announcement(attrs: Arc<Attrs>, nlri: Nlri) -> RouteEvent {
    RouteEvent::Announce {
        attrs,
        prefixes: nlri.prefixes,
        path_ids: nlri.path_ids,
    }
}

/// Withdrawn routes, attributes and NLRI (RFC 4271 §4.3).
fn split(mut body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = take_u16(&mut body)?;
    let withdrawn = take(&mut body, usize::from(length))?;
    let length = take_u16(&mut body)?;
    let attributes = take(&mut body, usize::from(length))?;
    Some((withdrawn, attributes, body))
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// `None` for another length, and for AS 0 (RFC 7607 §2).
fn aggregator(value: &[u8], width: Width) -> Option<Aggregator> {
    let (asn, router_id) = match (width, value) {
        (Width::Two, [a, b, id @ ..]) => (u32::from(u16::from_be_bytes([*a, *b])), id),
        (Width::Four, [a, b, c, d, id @ ..]) => (u32::from_be_bytes([*a, *b, *c, *d]), id),
        (Width::Two | Width::Four, _) => return None,
    };
    if asn == 0 {
        return None;
    }
    Some(Aggregator {
        asn: Asn(asn),
        router_id: <[u8; 4]>::try_from(router_id).ok()?.into(),
    })
}

/// The nexthop of MP_REACH_NLRI: an address of the family, or an IPv6 one for IPv4 prefixes where
/// that was agreed on (RFC 8950 §3).
fn mp_nexthop(family: Family, octets: &[u8], dialect: &Dialect) -> Option<IpAddr> {
    match (family, octets.len()) {
        (Family::Ipv4Unicast, 4) => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
        (Family::Ipv4Unicast, 16 | 32) if dialect.extended_nexthop.contains(family) => {
            nexthop_v6(octets)
        }
        (Family::Ipv6Unicast, 16 | 32) => nexthop_v6(octets),
        (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => None,
    }
}

/// Of two IPv6 addresses the global one, which comes first (RFC 2545 §3); the link-local one
/// behind it where the sender has no other and leaves the first unspecified.
fn nexthop_v6(octets: &[u8]) -> Option<IpAddr> {
    let (first, rest) = octets.split_first_chunk::<16>()?;
    let first = Ipv6Addr::from(*first);
    match <[u8; 16]>::try_from(rest) {
        Ok(link_local) if first.is_unspecified() => Some(link_local.into()),
        _ => Some(first.into()),
    }
}

/// Within 224.0.0.0/4 or ff00::/8.
fn is_multicast(prefix: &Prefix) -> bool {
    match prefix {
        Prefix::V4(net) => net.addr().is_multicast() && net.prefix_len() >= 4,
        Prefix::V6(net) => net.addr().is_multicast() && net.prefix_len() >= 8,
    }
}

fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_host_v4(address),
        IpAddr::V6(address) => {
            !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
        }
    }
}

/// Outside 0/8, 127/8, multicast and class E (RFC 4271 §6.3, "syntactically correct").
fn is_host_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !matches!(first, 0 | 127 | 224..)
}
