//! Path attributes as values: what policy, decision and export work on. Their bytes are in
//! [`wire`](crate::wire).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

use crate::types::Asn;

/// The attributes shared by all prefixes of an UPDATE. Compared and hashed by value, so that
/// equal sets can be interned.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Attrs {
    /// RFC 4271 §5.1.1.
    pub origin: Origin,
    /// RFC 4271 §5.1.2.
    pub as_path: AsPath,
    /// RFC 4271 §5.1.3 and RFC 4760 §3. `None` means this speaker itself: a path of our own, or
    /// one exported with our own address; the session writes the address of its own end.
    pub nexthop: Option<IpAddr>,
    /// RFC 4271 §5.1.4.
    pub med: Option<u32>,
    /// RFC 4271 §5.1.5. Received from internal peers only; set by policy otherwise.
    pub local_pref: Option<u32>,
    /// RFC 4271 §5.1.6.
    pub atomic_aggregate: bool,
    /// RFC 4271 §5.1.7.
    pub aggregator: Option<Aggregator>,
    /// RFC 1997. Sorted, without duplicates.
    pub communities: SmallVec<[Community; 4]>,
    /// RFC 8092. Sorted, without duplicates (RFC 8092 §3 asks for that).
    pub large_communities: SmallVec<[LargeCommunity; 1]>,
    /// RFC 4360 and RFC 8097. Sorted, without duplicates.
    pub ext_communities: SmallVec<[ExtCommunity; 1]>,
    /// What route reflectors have added (RFC 4456 §8). Between internal peers only.
    pub reflection: Option<Box<Reflection>>,
    /// Only to Customer (RFC 9234 §5).
    pub only_to_customer: Option<Asn>,
    /// Optional transitive attributes we do not know, to be passed on with the Partial bit
    /// (RFC 4271 §5), in order of type code. Boxed because it is nearly always empty.
    pub unknown: Option<Box<Vec<RawAttr>>>,
}

impl Attrs {
    /// What counts as LOCAL_PREF where a path has none.
    pub const DEFAULT_LOCAL_PREF: u32 = 100;

    /// The attributes of a path that this speaker originates.
    #[must_use]
    pub fn originated() -> Self {
        Self {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            nexthop: None,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: SmallVec::new(),
            large_communities: SmallVec::new(),
            ext_communities: SmallVec::new(),
            reflection: None,
            only_to_customer: None,
            unknown: None,
        }
    }
}

/// How the path came into BGP. Lower is preferred (RFC 4271 §9.1.2.2 b).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// 0.
    Igp,
    /// 1.
    Egp,
    /// 2.
    Incomplete,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

/// The speaker that formed an aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Aggregator {
    /// Its AS.
    pub asn: Asn,
    /// Its identifier.
    pub router_id: Ipv4Addr,
}

/// An AS path: segments from the nearest AS to the origin.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct AsPath {
    /// Never holds an empty segment.
    pub segments: SmallVec<[Segment; 1]>,
}

/// One segment of an [`AsPath`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Segment {
    /// Whether order means something.
    pub kind: SegmentKind,
    /// 1 to 255 numbers on the wire; longer sequences are split when encoded.
    pub asns: SmallVec<[Asn; 6]>,
}

/// The kinds of segment that an external peer may send (RFC 4271 §4.3 b; RFC 5065 for the
/// confederation kinds, which we do not speak).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SegmentKind {
    /// Unordered.
    Set,
    /// Ordered.
    Sequence,
}

impl AsPath {
    /// A path of one sequence; an empty slice gives the empty path.
    #[must_use]
    pub fn sequence(asns: &[Asn]) -> Self {
        let mut path = Self::default();
        if !asns.is_empty() {
            path.segments.push(Segment {
                kind: SegmentKind::Sequence,
                asns: asns.into(),
            });
        }
        path
    }

    /// Length for the decision process: a set counts as one (RFC 4271 §9.1.2.2 a).
    #[must_use]
    pub fn length(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| match segment.kind {
                SegmentKind::Set => 1,
                SegmentKind::Sequence => segment.asns.len(),
            })
            .sum()
    }

    /// The neighbouring AS: the first of a leading sequence (RFC 4271 §9.1.2.2 c).
    #[must_use]
    pub fn first(&self) -> Option<Asn> {
        match self.segments.first() {
            Some(Segment {
                kind: SegmentKind::Sequence,
                asns,
            }) => asns.first().copied(),
            _ => None,
        }
    }

    /// Every AS named anywhere in the path.
    pub fn iter(&self) -> impl Iterator<Item = Asn> + '_ {
        self.segments
            .iter()
            .flat_map(|segment| segment.asns.iter().copied())
    }

    /// The path with `asn` put in front `times` times (RFC 4271 §5.1.2).
    #[must_use]
    pub fn prepended(&self, asn: Asn, times: usize) -> Self {
        let mut path = self.clone();
        if times == 0 {
            return path;
        }
        let front = std::iter::repeat_n(asn, times);
        match path.segments.first_mut() {
            Some(Segment {
                kind: SegmentKind::Sequence,
                asns,
            }) => asns.insert_many(0, front),
            _ => path.segments.insert(
                0,
                Segment {
                    kind: SegmentKind::Sequence,
                    asns: front.collect(),
                },
            ),
        }
        path
    }
}

impl fmt::Display for AsPath {
    /// `65010 64512 {1 2}`, as operators read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            let (open, close) = match segment.kind {
                SegmentKind::Set => ("{", "}"),
                SegmentKind::Sequence => ("", ""),
            };
            f.write_str(open)?;
            for (j, asn) in segment.asns.iter().enumerate() {
                if j > 0 {
                    f.write_str(" ")?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

/// A standard community (RFC 1997): two 16-bit halves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Community(pub u32);

impl Community {
    /// Not to be advertised to any peer (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// Not to be advertised to an external peer (RFC 1997; we are no confederation).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// The path is about to go: least preferred (RFC 8326 §5).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// Kept for a session that ended long ago: least preferred (RFC 9494 §4.2).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// Not to be kept for long after its session has ended (RFC 9494 §4.3).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// As [`Community::NO_EXPORT`] outside a confederation (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A large community (RFC 8092): global administrator and two local parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0, self.1, self.2)
    }
}

/// An extended community (RFC 4360): type, subtype and six octets of value, in network order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExtCommunity(pub u64);

impl ExtCommunity {
    /// Whether it goes to other ASes (RFC 4360 §2, bit T of the type: 0 says that it does).
    #[must_use]
    pub fn is_transitive(self) -> bool {
        self.0 & 1 << 62 == 0
    }

    /// Bytes a second, if that is what it says (draft-ietf-idr-link-bandwidth §2: type 0x40 or
    /// 0x00, subtype 0x04, an AS number, an IEEE 754 number).
    #[must_use]
    pub fn link_bandwidth(self) -> Option<f32> {
        let is_bandwidth = matches!(self.0 >> 48, 0x4004 | 0x0004);
        is_bandwidth.then(|| f32::from_bits((self.0 & 0xffff_ffff) as u32))
    }
}

/// As filters write it: `rt:65010:100`, `link-bandwidth:65010:1Gbit`, or the octets.
impl fmt::Display for ExtCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [type_code, subtype, a, b, c, d, e, last] = self.0.to_be_bytes();
        let short = u16::from_be_bytes([a, b]);
        let kind = match subtype {
            0x02 => "rt",
            0x03 => "soo",
            0x04 => "link-bandwidth",
            _ => return write!(f, "{:#018x}", self.0),
        };
        if let Some(bandwidth) = self.link_bandwidth() {
            return write!(f, "{kind}:{short}:{}", Bits(bandwidth));
        }
        let local = u16::from_be_bytes([e, last]);
        match (type_code, subtype) {
            (0x00, 0x02 | 0x03) => {
                let value = u32::from_be_bytes([c, d, e, last]);
                write!(f, "{kind}:{short}:{value}")
            }
            (0x01, 0x02 | 0x03) => write!(f, "{kind}:{a}.{b}.{c}.{d}:{local}"),
            (0x02, 0x02 | 0x03) => {
                write!(f, "{kind}:{}:{local}", u32::from_be_bytes([a, b, c, d]))
            }
            _ => write!(f, "{:#018x}", self.0),
        }
    }
}

/// A bandwidth in bytes a second, shown in bits with a unit.
struct Bits(f32);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = f64::from(self.0) * 8.0;
        let units = [("Tbit", 1e12), ("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)];
        match units.into_iter().find(|(_, factor)| bits >= *factor) {
            Some((unit, factor)) => {
                write!(f, "{}{unit}", (bits / factor * 1000.0).round() / 1000.0)
            }
            None => write!(f, "{bits}bit"),
        }
    }
}

/// ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 §8).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reflection {
    /// The speaker in this AS that brought the path in.
    pub originator_id: Option<Ipv4Addr>,
    /// The clusters that the path has passed, the latest first.
    pub cluster_list: Vec<Ipv4Addr>,
}

/// An attribute we carry without understanding it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RawAttr {
    /// Type code.
    pub code: u8,
    /// Flags as they go out: optional, transitive, partial.
    pub flags: u8,
    /// The value.
    pub value: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_communities_are_shown_as_the_file_has_them() {
        for (octets, text) in [
            (0x0002_fdf2_0000_0064, "rt:65010:100"),
            (0x0103_c000_0201_0007, "soo:192.0.2.1:7"),
            (0x0202_0001_0000_0007, "rt:65536:7"),
            (0x4004_fdf2_4cee_6b28, "link-bandwidth:65010:1Gbit"),
            (0x4302_0000_0000_0001, "0x4302000000000001"),
            (0x0204_0000_0000_0001, "0x0204000000000001"),
        ] {
            assert_eq!(ExtCommunity(octets).to_string(), text);
        }
    }
}
