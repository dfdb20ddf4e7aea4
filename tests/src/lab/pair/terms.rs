//! What both ends of a pair are told, in no program's words.

use std::fmt;
use std::net::IpAddr;

/// Families that a table is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4 unicast.
    V4,
    /// IPv6 unicast.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of a prefix in its usual form.
    pub fn of(prefix: &str) -> Self {
        if prefix.contains(':') {
            Self::V6
        } else {
            Self::V4
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

/// What the TCP connection runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// 192.0.2.1 and .2.
    V4,
    /// `2001:db8:1::1` and `::2`.
    V6,
    /// `fe80::1` and `fe80::2`, on whichever cable.
    LinkLocal,
}

impl Over {
    /// The router's address.
    pub fn ours(self) -> IpAddr {
        self.end(Place::Other, 1)
    }

    /// The other's address.
    pub fn theirs(self) -> IpAddr {
        self.end(Place::Other, 2)
    }

    pub(super) fn end(self, place: Place, host: u8) -> IpAddr {
        match (self, place) {
            (Self::LinkLocal, _) => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host.into()]),
            (Self::V4, Place::Other) => IpAddr::from([192, 0, 2, host]),
            (Self::V4, Place::Third) => IpAddr::from([198, 51, 100, host]),
            (Self::V6, Place::Other) => IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, host.into()]),
            (Self::V4, Place::Segment) => IpAddr::from([192, 0, 2, on_segment(host)]),
            (Self::V6, Place::Segment) => {
                IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, on_segment(host).into()])
            }
            (Self::V6, Place::Third) => IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, host.into()]),
        }
    }
}

/// The router is where it was, and the one that came later is .3.
fn on_segment(host: u8) -> u8 {
    if host == 1 { 1 } else { 3 }
}

/// Which cable of the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// The one that every pair has.
    #[default]
    Other,
    /// Another one, to a third speaker.
    Third,
    /// The first one, made a segment of three.
    Segment,
}

/// Both ends of a session.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The AS of the router under test.
    pub our_asn: u32,
    /// The AS of the other.
    pub their_asn: u32,
    /// What the session runs over.
    pub over: Over,
    /// On which cable.
    pub place: Place,
    /// Both offer this, whole seconds.
    pub hold_secs: u16,
    /// What the other announces from its start.
    pub announced: Vec<Announced>,
    /// Lines that the other's program has in the section of the session.
    pub session_words: String,
    /// Lines that the other's program has for each family of the session.
    pub family_words: String,
    /// Lines that the other's program has outside of all sections.
    pub program_words: String,
}

impl Terms {
    /// Two 2-octet ASes over IPv4 that announce nothing.
    pub fn external() -> Self {
        Self {
            our_asn: 65010,
            their_asn: 65020,
            over: Over::V4,
            place: Place::Other,
            hold_secs: 9,
            announced: Vec::new(),
            session_words: String::new(),
            family_words: String::new(),
            program_words: String::new(),
        }
    }

    /// Both in AS 65010.
    pub fn internal() -> Self {
        Self {
            their_asn: 65010,
            ..Self::external()
        }
    }

    /// The router's address.
    pub fn ours(&self) -> IpAddr {
        self.over.end(self.place, 1)
    }

    /// The other's address.
    pub fn theirs(&self) -> IpAddr {
        self.over.end(self.place, 2)
    }

    /// The other's identifier: its IPv4 address.
    pub fn router_id(&self) -> IpAddr {
        Over::V4.end(self.place, 2)
    }

    /// True inside one AS.
    pub fn is_internal(&self) -> bool {
        self.our_asn == self.their_asn
    }
}

/// A route that the other originates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announced {
    /// In its usual form.
    pub prefix: String,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, for internal sessions.
    pub local_pref: Option<u32>,
    /// Standard communities.
    pub communities: Vec<(u16, u16)>,
    /// Large communities.
    pub large_communities: Vec<(u32, u32, u32)>,
    /// What stands behind the other's own AS.
    pub as_path: Vec<u32>,
    /// A link bandwidth community; not with GoBGP.
    pub bandwidth_mbit: Option<u32>,
}

impl Announced {
    /// Without further attributes.
    pub fn plain(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..Self::default()
        }
    }
}
