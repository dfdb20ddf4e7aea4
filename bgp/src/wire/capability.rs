//! Capabilities (RFC 5492 §4): what a speaker can do, as it says in OPEN.

use std::fmt;

use super::text::Escaped;
use super::{take, take_u8, take_u16, take_u32};
use crate::types::{Asn, Family, Role};

/// One capability. A value that its RFC does not allow makes it [`Capability::Unknown`]: RFC 5492 §3
/// has what is not understood ignored, and only 1, 2 and 65 are old enough to be refused instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Capability {
    /// 1: an address family (RFC 4760 §8).
    Multiprotocol {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
    /// 2 (RFC 2918).
    RouteRefresh,
    /// 5: families whose nexthop may be of another one (RFC 8950 §4).
    ExtendedNexthop(Vec<NexthopEncoding>),
    /// 6: messages of up to 65535 octets are read (RFC 8654 §3).
    ExtendedMessage,
    /// 9, with the value as it came (RFC 9234 §4.1).
    Role(u8),
    /// 64 (RFC 4724 §3).
    GracefulRestart(RestartCapability),
    /// 65, with the real AS number (RFC 6793 §3).
    FourOctetAsn(Asn),
    /// 69: families with several paths a prefix (RFC 7911 §4).
    AddPath(Vec<AddPathFamily>),
    /// 70: a refresh is marked at both ends (RFC 7313 §3.1).
    EnhancedRefresh,
    /// 71 (RFC 9494 §3).
    LongLivedRestart(Vec<LongLivedFamily>),
    /// 73: names to show (draft-walton-bgp-hostname-capability).
    Fqdn {
        /// Of the host.
        host: Vec<u8>,
        /// Of its domain; may be empty.
        domain: Vec<u8>,
    },
    /// One that we do not use, or whose value is not what it has to be.
    Unknown {
        /// Capability code.
        code: u8,
        /// At most 255 octets.
        value: Vec<u8>,
    },
}

/// One entry of the capability of extended nexthops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NexthopEncoding {
    /// AFI of the prefixes.
    pub afi: u16,
    /// SAFI of the prefixes, two octets wide here.
    pub safi: u16,
    /// AFI of their nexthop.
    pub nexthop_afi: u16,
}

/// The value of the capability of graceful restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestartCapability {
    /// R: the speaker has restarted (RFC 4724 §3).
    pub restarting: bool,
    /// N: NOTIFICATIONs end a session gracefully too (RFC 8538 §2).
    pub notification: bool,
    /// How long until it is back: 12 bits, seconds.
    pub secs: u16,
    /// What it keeps.
    pub families: Vec<RestartFamily>,
}

/// One family of graceful restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// F: forwarding went on while the speaker restarted.
    pub forwarding: bool,
}

/// One family of long-lived graceful restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LongLivedFamily {
    /// As in graceful restart.
    pub family: RestartFamily,
    /// How long paths of last resort are kept: 24 bits, seconds.
    pub secs: u32,
}

/// One family of which a speaker sends or takes several paths a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddPathFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// Which way.
    pub direction: Direction,
}

/// The ways of [`AddPathFamily`], as whoever says it sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Direction {
    /// 1: takes them.
    Receive = 1,
    /// 2: sends them.
    Send = 2,
    /// 3: does both.
    Both = 3,
}

impl Direction {
    fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Receive),
            2 => Some(Self::Send),
            3 => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether several paths are taken.
    #[must_use]
    pub fn receives(self) -> bool {
        self != Self::Send
    }

    /// Whether several paths are sent.
    #[must_use]
    pub fn sends(self) -> bool {
        self != Self::Receive
    }
}

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXTHOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const ROLE: u8 = 9;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_ASN: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_REFRESH: u8 = 70;
const LONG_LIVED_RESTART: u8 = 71;
const FQDN: u8 = 73;

/// R and N in front of the restart time.
const RESTARTING: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const RESTART_SECS: u16 = 0x0fff;
/// F of a family.
const FORWARDING: u8 = 0x80;
/// The most seconds of a long-lived restart.
const LONG_LIVED_SECS: u32 = 0x00ff_ffff;

impl Capability {
    /// The capability with this value; `None` when the OPEN that carries it is malformed.
    pub(super) fn decode(code: u8, value: &[u8]) -> Option<Self> {
        match code {
            MULTIPROTOCOL => multiprotocol(value),
            ROUTE_REFRESH => value.is_empty().then_some(Self::RouteRefresh),
            FOUR_OCTET_ASN => Some(Self::FourOctetAsn(Asn(u32::from_be_bytes(
                value.try_into().ok()?,
            )))),
            _ => Some(
                Self::decode_lenient(code, value).unwrap_or_else(|| Self::Unknown {
                    code,
                    value: value.to_vec(),
                }),
            ),
        }
    }

    fn decode_lenient(code: u8, value: &[u8]) -> Option<Self> {
        Some(match (code, value) {
            (EXTENDED_NEXTHOP, _) => Self::ExtendedNexthop(list(value, nexthop_encoding)?),
            (EXTENDED_MESSAGE, []) => Self::ExtendedMessage,
            (ROLE, [role]) => Self::Role(*role),
            (GRACEFUL_RESTART, _) => Self::GracefulRestart(graceful_restart(value)?),
            (ADD_PATH, _) => Self::AddPath(list(value, add_path)?),
            (ENHANCED_REFRESH, []) => Self::EnhancedRefresh,
            (LONG_LIVED_RESTART, _) => Self::LongLivedRestart(list(value, long_lived)?),
            (FQDN, _) => fqdn(value)?,
            _ => return None,
        })
    }

    /// The octet that says which capability this is.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol { .. } => MULTIPROTOCOL,
            Self::RouteRefresh => ROUTE_REFRESH,
            Self::ExtendedNexthop(_) => EXTENDED_NEXTHOP,
            Self::ExtendedMessage => EXTENDED_MESSAGE,
            Self::Role(_) => ROLE,
            Self::GracefulRestart(_) => GRACEFUL_RESTART,
            Self::FourOctetAsn(_) => FOUR_OCTET_ASN,
            Self::AddPath(_) => ADD_PATH,
            Self::EnhancedRefresh => ENHANCED_REFRESH,
            Self::LongLivedRestart(_) => LONG_LIVED_RESTART,
            Self::Fqdn { .. } => FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Code, length and value.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([self.code(), 0]);
        self.encode_value(out);
        // A value is at most 255 octets: what is longer cannot have been read from a message.
        out.truncate(start + 2 + usize::from(u8::MAX));
        let length = u8::try_from(out.len() - start - 2).unwrap_or(u8::MAX);
        if let Some(field) = out.get_mut(start + 1) {
            *field = length;
        }
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Multiprotocol { afi, safi } => {
                out.extend(afi.to_be_bytes());
                out.extend([0, *safi]);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRefresh => {}
            Self::ExtendedNexthop(encodings) => {
                for encoding in encodings {
                    for part in [encoding.afi, encoding.safi, encoding.nexthop_afi] {
                        out.extend(part.to_be_bytes());
                    }
                }
            }
            Self::Role(role) => out.push(*role),
            Self::GracefulRestart(restart) => restart.encode(out),
            Self::FourOctetAsn(asn) => out.extend(asn.0.to_be_bytes()),
            Self::AddPath(families) => {
                for family in families {
                    out.extend(family.afi.to_be_bytes());
                    out.extend([family.safi, family.direction as u8]);
                }
            }
            Self::LongLivedRestart(families) => {
                for long_lived in families {
                    long_lived.family.encode(out);
                    let [_, secs @ ..] = long_lived.secs.min(LONG_LIVED_SECS).to_be_bytes();
                    out.extend(secs);
                }
            }
            Self::Fqdn { host, domain } => {
                for name in [host, domain] {
                    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    out.extend(name);
                }
            }
            Self::Unknown { value, .. } => out.extend(value),
        }
    }
}

impl RestartCapability {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut word = self.secs.min(RESTART_SECS);
        if self.restarting {
            word |= RESTARTING;
        }
        if self.notification {
            word |= NOTIFICATION;
        }
        out.extend(word.to_be_bytes());
        for family in &self.families {
            family.encode(out);
        }
    }
}

impl RestartFamily {
    fn encode(self, out: &mut Vec<u8>) {
        out.extend(self.afi.to_be_bytes());
        out.extend([self.safi, if self.forwarding { FORWARDING } else { 0 }]);
    }

    /// The family, if it is one that we speak.
    #[must_use]
    pub fn family(self) -> Option<Family> {
        Family::from_afi_safi(self.afi, self.safi)
    }
}

/// Entry after entry until the value is used up; `None` when an entry is cut or wrong.
fn list<T>(mut value: &[u8], entry: fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut entries = Vec::new();
    while !value.is_empty() {
        entries.push(entry(&mut value)?);
    }
    Some(entries)
}

fn multiprotocol(mut value: &[u8]) -> Option<Capability> {
    let afi = take_u16(&mut value)?;
    let _reserved = take_u8(&mut value)?;
    let safi = take_u8(&mut value)?;
    value
        .is_empty()
        .then_some(Capability::Multiprotocol { afi, safi })
}

fn nexthop_encoding(value: &mut &[u8]) -> Option<NexthopEncoding> {
    Some(NexthopEncoding {
        afi: take_u16(value)?,
        safi: take_u16(value)?,
        nexthop_afi: take_u16(value)?,
    })
}

fn graceful_restart(mut value: &[u8]) -> Option<RestartCapability> {
    let word = take_u16(&mut value)?;
    Some(RestartCapability {
        restarting: word & RESTARTING != 0,
        notification: word & NOTIFICATION != 0,
        secs: word & RESTART_SECS,
        families: list(value, restart_family)?,
    })
}

fn restart_family(value: &mut &[u8]) -> Option<RestartFamily> {
    Some(RestartFamily {
        afi: take_u16(value)?,
        safi: take_u8(value)?,
        forwarding: take_u8(value)? & FORWARDING != 0,
    })
}

fn long_lived(value: &mut &[u8]) -> Option<LongLivedFamily> {
    let family = restart_family(value)?;
    let high = u32::from(take_u8(value)?);
    let low = u32::from(take_u16(value)?);
    let secs = high << 16 | low;
    Some(LongLivedFamily { family, secs })
}

/// RFC 7911 §4: a direction that does not exist makes the whole capability one not understood.
fn add_path(value: &mut &[u8]) -> Option<AddPathFamily> {
    let family = take_u32(value)?;
    let [high, low, safi, direction] = family.to_be_bytes();
    Some(AddPathFamily {
        afi: u16::from_be_bytes([high, low]),
        safi,
        direction: Direction::from_octet(direction)?,
    })
}

fn fqdn(mut value: &[u8]) -> Option<Capability> {
    let length = take_u8(&mut value)?;
    let host = take(&mut value, usize::from(length))?.to_vec();
    let length = take_u8(&mut value)?;
    let domain = take(&mut value, usize::from(length))?.to_vec();
    value
        .is_empty()
        .then_some(Capability::Fqdn { host, domain })
}

/// `add-path ipv4 both, ipv6 send`, for the CLI.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol { afi, safi } => write!(f, "family {}", Name(*afi, *safi)),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNexthop(encodings) => {
                f.write_str("extended nexthop")?;
                each(f, encodings, |f, encoding| {
                    let safi = u8::try_from(encoding.safi).unwrap_or(u8::MAX);
                    let prefixes = Name(encoding.afi, safi);
                    write!(f, "{prefixes} over {}", Name(encoding.nexthop_afi, 1))
                })
            }
            Self::ExtendedMessage => f.write_str("extended messages"),
            Self::Role(value) => match Role::from_octet(*value) {
                Some(role) => write!(f, "role {role}"),
                None => write!(f, "role {value}"),
            },
            Self::GracefulRestart(restart) => restart.fmt(f),
            Self::FourOctetAsn(asn) => write!(f, "4-octet AS {asn}"),
            Self::AddPath(families) => {
                f.write_str("add-path")?;
                each(f, families, |f, family| {
                    let name = Name(family.afi, family.safi);
                    write!(f, "{name} {}", family.direction)
                })
            }
            Self::EnhancedRefresh => f.write_str("enhanced route refresh"),
            Self::LongLivedRestart(families) => {
                f.write_str("long-lived graceful restart")?;
                each(f, families, |f, long_lived| {
                    write!(f, "{} {} s", long_lived.family, long_lived.secs)
                })
            }
            Self::Fqdn { host, domain } => {
                write!(f, "name {}", Escaped(host))?;
                if !domain.is_empty() {
                    write!(f, ".{}", Escaped(domain))?;
                }
                Ok(())
            }
            Self::Unknown { code, value } => {
                write!(f, "capability {code} of {} octets", value.len())
            }
        }
    }
}

impl fmt::Display for RestartCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graceful restart {} s", self.secs)?;
        for (flag, text) in [
            (self.restarting, ", restarted"),
            (self.notification, ", with notification"),
        ] {
            f.write_str(if flag { text } else { "" })?;
        }
        each(f, &self.families, |f, family| family.fmt(f))
    }
}

impl fmt::Display for RestartFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forwarding = if self.forwarding { " forwarding" } else { "" };
        write!(f, "{}{forwarding}", Name(self.afi, self.safi))
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Both => "both",
        })
    }
}

/// A family by its numbers, with its name if we speak it.
struct Name(u16, u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Family::from_afi_safi(self.0, self.1) {
            Some(family) => family.fmt(f),
            None => write!(f, "{}/{}", self.0, self.1),
        }
    }
}

/// ` a, b, c`.
fn each<T>(
    f: &mut fmt::Formatter<'_>,
    entries: &[T],
    show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, entry) in entries.iter().enumerate() {
        f.write_str(if index == 0 { " " } else { ", " })?;
        show(f, entry)?;
    }
    Ok(())
}
