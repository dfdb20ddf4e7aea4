//! Patterns over communities of all three kinds, compiled for lookup.

use std::net::Ipv4Addr;

use crate::attrs::{Community, ExtCommunity, LargeCommunity};
use crate::types::Asn;

/// Numbers from `min` to `max`, both included. Empty where `min` is above `max`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The lowest.
    pub min: u32,
    /// The highest.
    pub max: u32,
}

impl Span {
    /// Every number.
    pub const ANY: Self = Self {
        min: 0,
        max: u32::MAX,
    };

    /// This number only.
    #[must_use]
    pub fn exactly(number: u32) -> Self {
        Self {
            min: number,
            max: number,
        }
    }

    /// Whether `number` is one of them.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        (self.min..=self.max).contains(&number)
    }

    fn only(self) -> Option<u32> {
        (self.min == self.max).then_some(self.min)
    }
}

/// `65010:*`: the two halves of a [`Community`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommunityPattern {
    /// The first 16 bits.
    pub high: Span,
    /// The last 16 bits.
    pub low: Span,
}

impl CommunityPattern {
    /// Every community.
    pub const ANY: Self = Self {
        high: Span::ANY,
        low: Span::ANY,
    };
}

impl From<Community> for CommunityPattern {
    fn from(community: Community) -> Self {
        Self {
            high: Span::exactly(community.0 >> 16),
            low: Span::exactly(community.0 & 0xffff),
        }
    }
}

/// `65010:*:7`: the three parts of a [`LargeCommunity`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LargeCommunityPattern {
    /// The global administrator.
    pub global: Span,
    /// The first local part.
    pub first: Span,
    /// The second local part.
    pub second: Span,
}

impl LargeCommunityPattern {
    /// Every large community.
    pub const ANY: Self = Self {
        global: Span::ANY,
        first: Span::ANY,
        second: Span::ANY,
    };
}

impl From<LargeCommunity> for LargeCommunityPattern {
    fn from(LargeCommunity(global, first, second): LargeCommunity) -> Self {
        Self {
            global: Span::exactly(global),
            first: Span::exactly(first),
            second: Span::exactly(second),
        }
    }
}

/// What an extended community of an AS or an address is for: its subtype.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExtKind {
    /// `rt`, 0x02 (RFC 4360 §4).
    RouteTarget,
    /// `soo` or `ro`, 0x03 (RFC 4360 §5).
    RouteOrigin,
}

impl ExtKind {
    fn subtype(self) -> u8 {
        match self {
            Self::RouteTarget => 0x02,
            Self::RouteOrigin => 0x03,
        }
    }
}

/// Who gave out an extended community.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExtAdmin {
    /// An AS, whether it stands in two octets (RFC 4360 §3.1) or in four (RFC 5668).
    As(Span),
    /// An address (RFC 4360 §3.2).
    Address(Ipv4Addr),
}

/// `rt:65010:*`, `soo:192.0.2.1:7`, any link bandwidth, or eight octets as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExtCommunityPattern {
    /// Every extended community.
    Any,
    /// This one.
    Exactly(ExtCommunity),
    /// The bandwidth of a link, transitive or not, of any AS
    /// (draft-ietf-idr-link-bandwidth-07 §2).
    LinkBandwidth,
    /// Transitive, of this kind.
    Of {
        /// What it is for.
        kind: ExtKind,
        /// Who gave it out.
        admin: ExtAdmin,
        /// What they gave out.
        local: Span,
    },
}

/// Subtype of a link bandwidth.
const LINK_BANDWIDTH: u8 = 0x04;
/// A type that does not cross an AS border has this bit (RFC 4360 §2).
const NON_TRANSITIVE: u8 = 0x40;
/// Two octets of AS, four of value.
const OF_AS: u8 = 0x00;
/// Four octets of address, two of value.
const OF_ADDRESS: u8 = 0x01;
/// Four octets of AS, two of value.
const OF_AS4: u8 = 0x02;

/// A transitive extended community; an AS that fits stands in two octets.
///
/// `None` if `local` does not fit beside the AS or address: 16 bits are left beside four octets.
#[must_use]
pub fn ext_community(kind: ExtKind, admin: ExtGiver, local: u32) -> Option<ExtCommunity> {
    let (type_code, value) = match admin {
        ExtGiver::As(asn) => match u16::try_from(asn.0) {
            Ok(short) => (OF_AS, u64::from(short) << 32 | u64::from(local)),
            Err(_) => (OF_AS4, beside_four(asn.0, local)?),
        },
        ExtGiver::Address(address) => (OF_ADDRESS, beside_four(address.into(), local)?),
    };
    Some(assembled(type_code, kind.subtype(), value))
}

/// Who gives out an extended community.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtGiver {
    /// An AS.
    As(Asn),
    /// An address.
    Address(Ipv4Addr),
}

fn beside_four(global: u32, local: u32) -> Option<u64> {
    let local = u16::try_from(local).ok()?;
    Some(u64::from(global) << 16 | u64::from(local))
}

fn assembled(type_code: u8, subtype: u8, value: u64) -> ExtCommunity {
    ExtCommunity(u64::from(type_code) << 56 | u64::from(subtype) << 48 | value)
}

/// The non-transitive community that says how much a link carries, in the bytes per second as a float that
/// draft-ietf-idr-link-bandwidth-07 §2 asks for.
///
/// - `bits_per_second`: as links are sold
pub(super) fn link_bandwidth(asn: Asn, bits_per_second: u64) -> ExtCommunity {
    let bytes = (bits_per_second as f64 / 8.0) as f32;
    let value = u64::from(asn.as_two_octets()) << 32 | u64::from(bytes.to_bits());
    assembled(OF_AS | NON_TRANSITIVE, LINK_BANDWIDTH, value)
}

/// A kind of community that patterns are written for.
pub(super) trait Patterned: Copy + Ord {
    type Pattern: Copy + Ord;

    fn fits(self, pattern: &Self::Pattern) -> bool;

    /// The only community that fits, if there is only one.
    fn only(pattern: &Self::Pattern) -> Option<Self>;
}

impl Patterned for Community {
    type Pattern = CommunityPattern;

    fn fits(self, pattern: &CommunityPattern) -> bool {
        pattern.high.contains(self.0 >> 16) && pattern.low.contains(self.0 & 0xffff)
    }

    fn only(pattern: &CommunityPattern) -> Option<Self> {
        let (high, low) = (pattern.high.only()?, pattern.low.only()?);
        (high <= 0xffff && low <= 0xffff).then_some(Self(high << 16 | low))
    }
}

impl Patterned for LargeCommunity {
    type Pattern = LargeCommunityPattern;

    fn fits(self, pattern: &LargeCommunityPattern) -> bool {
        let Self(global, first, second) = self;
        pattern.global.contains(global)
            && pattern.first.contains(first)
            && pattern.second.contains(second)
    }

    fn only(pattern: &LargeCommunityPattern) -> Option<Self> {
        Some(Self(
            pattern.global.only()?,
            pattern.first.only()?,
            pattern.second.only()?,
        ))
    }
}

impl Patterned for ExtCommunity {
    type Pattern = ExtCommunityPattern;

    fn fits(self, pattern: &ExtCommunityPattern) -> bool {
        let [type_code, subtype, ..] = self.0.to_be_bytes();
        match *pattern {
            ExtCommunityPattern::Any => true,
            ExtCommunityPattern::Exactly(community) => self == community,
            ExtCommunityPattern::LinkBandwidth => {
                type_code & !NON_TRANSITIVE == OF_AS && subtype == LINK_BANDWIDTH
            }
            ExtCommunityPattern::Of { kind, admin, local } => {
                subtype == kind.subtype() && is_of(self, admin, local)
            }
        }
    }

    fn only(pattern: &ExtCommunityPattern) -> Option<Self> {
        match pattern {
            ExtCommunityPattern::Exactly(community) => Some(*community),
            ExtCommunityPattern::Any
            | ExtCommunityPattern::LinkBandwidth
            | ExtCommunityPattern::Of { .. } => None,
        }
    }
}

fn is_of(community: ExtCommunity, admin: ExtAdmin, local: Span) -> bool {
    let [type_code, _, a, b, c, d, e, f] = community.0.to_be_bytes();
    let short = (
        u32::from(u16::from_be_bytes([a, b])),
        u32::from_be_bytes([c, d, e, f]),
    );
    let long = (
        u32::from_be_bytes([a, b, c, d]),
        u32::from(u16::from_be_bytes([e, f])),
    );
    let (global, found) = match (type_code, admin) {
        (OF_AS, ExtAdmin::As(_)) => short,
        (OF_AS4, ExtAdmin::As(_)) | (OF_ADDRESS, ExtAdmin::Address(_)) => long,
        _ => return false,
    };
    let given = match admin {
        ExtAdmin::As(asns) => asns.contains(global),
        ExtAdmin::Address(address) => address == Ipv4Addr::from(global),
    };
    given && local.contains(found)
}

/// Patterns of which one has to fit. Those that fit one community only are looked up by binary search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AnyOf<T: Patterned> {
    exact: Box<[T]>,
    patterns: Box<[T::Pattern]>,
}

impl<T: Patterned> AnyOf<T> {
    pub(super) fn compile(patterns: &[T::Pattern]) -> Self {
        let is_wide = |pattern: &&T::Pattern| T::only(pattern).is_none();
        Self {
            exact: sorted(patterns.iter().filter_map(T::only)),
            patterns: sorted(patterns.iter().filter(is_wide).copied()),
        }
    }

    pub(super) fn fits(&self, item: T) -> bool {
        self.exact.binary_search(&item).is_ok() || self.patterns.iter().any(|p| item.fits(p))
    }

    pub(super) fn fits_one(&self, present: &[T]) -> bool {
        present.iter().any(|item| self.fits(*item))
    }
}

/// Patterns each of which has to fit.
pub(super) fn fit_all<T: Patterned>(patterns: &[T::Pattern], present: &[T]) -> bool {
    let carried = |pattern: &T::Pattern| match T::only(pattern) {
        Some(item) => present.binary_search(&item).is_ok(),
        None => present.iter().any(|item| item.fits(pattern)),
    };
    patterns.iter().all(carried)
}

pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Box<[T]> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort_unstable();
    items.dedup();
    items.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_bandwidth_is_bytes_per_second_beside_the_as() {
        assert_eq!(
            link_bandwidth(Asn(65010), 1_000_000_000),
            ExtCommunity(0x4004_fdf2_4cee_6b28),
            "125000000 as a float"
        );
        let of_long = link_bandwidth(Asn(4_200_000_000), 8);
        assert_eq!(
            of_long,
            ExtCommunity(0x4004_5ba0_3f80_0000),
            "AS_TRANS, 1.0"
        );
        assert!(of_long.fits(&ExtCommunityPattern::LinkBandwidth));
        assert!(ExtCommunity(0x0004_5ba0_3f80_0000).fits(&ExtCommunityPattern::LinkBandwidth));
        assert!(!ExtCommunity(0x0002_5ba0_3f80_0000).fits(&ExtCommunityPattern::LinkBandwidth));
    }

    #[test]
    fn extended_communities_of_an_as_fit_in_two_octets_or_four() {
        let of = |admin, local| ExtCommunityPattern::Of {
            kind: ExtKind::RouteTarget,
            admin,
            local,
        };
        let short = ext_community(ExtKind::RouteTarget, ExtGiver::As(Asn(65010)), 70_000);
        assert_eq!(short, Some(ExtCommunity(0x0002_fdf2_0001_1170)));
        let long = ext_community(ExtKind::RouteTarget, ExtGiver::As(Asn(65_536)), 7);
        assert_eq!(long, Some(ExtCommunity(0x0202_0001_0000_0007)));
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let by_address = ext_community(ExtKind::RouteOrigin, ExtGiver::Address(address), 7);
        assert_eq!(by_address, Some(ExtCommunity(0x0103_c000_0201_0007)));
        assert_eq!(
            ext_community(ExtKind::RouteTarget, ExtGiver::As(Asn(65_536)), 70_000),
            None
        );
        let any_as = of(ExtAdmin::As(Span::ANY), Span::ANY);
        assert!(short.unwrap().fits(&any_as) && long.unwrap().fits(&any_as));
        assert!(!by_address.unwrap().fits(&any_as));
        // The same AS in four octets is the same AS.
        let spelled_long = ExtCommunity(0x0202_0000_fdf2_0007);
        assert!(spelled_long.fits(&of(ExtAdmin::As(Span::exactly(65010)), Span::exactly(7))));
    }
}
