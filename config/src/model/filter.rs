//! `[[filter.NAME]]` and `[prefix-list.NAME]`.

use std::net::{IpAddr, Ipv4Addr};

use aspath::Regex;
use ipnet::IpNet;

/// How many rules a filter may have, those of called filters counted at each call.
pub const MOST_RULES: usize = 16_384;
/// How many all filters of an intent may have together, counted so.
pub const MOST_RULES_IN_ALL: usize = 262_144;
/// How many rules of a filter may set something and go on, counted so too.
pub const MOST_SETTING: usize = 128;
/// How many calls may lie in each other.
pub const MOST_CALLS: usize = 16;

/// One rule of `[[filter.NAME]]`: all conditions given must hold; none given holds always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `name = "bogons"`: what it is called in explanations. No other rule of the filter has it.
    pub name: Option<String>,
    /// What is asked.
    pub conditions: Conditions,
    /// `unless = { … }`: what may not hold as a whole. Never without a condition.
    pub unless: Option<Conditions>,
    /// `action = "accept" | "reject" | "next"`, or `call = "NAME"`.
    pub action: Action,
    /// `set = { … }`; not with `reject`.
    pub set: Set,
}

impl Rule {
    /// The filter that it calls.
    #[must_use]
    pub fn called(&self) -> Option<&str> {
        match &self.action {
            Action::Call(name) => Some(name),
            Action::Accept | Action::Next | Action::Reject => None,
        }
    }

    /// Every prefix list that it names, in the order of the file.
    pub fn prefix_lists(&self) -> impl Iterator<Item = &String> {
        let unless = self.unless.iter().flat_map(|unless| &unless.prefix_list);
        self.conditions.prefix_list.iter().chain(unless)
    }
}

/// What a rule asks. An empty list is not asked; of another, any item has to hold, except where the name
/// says all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conditions {
    /// `family = "ipv4" | "ipv6"`.
    pub family: Option<Family>,
    /// `prefix = ["10.1.0.0/16 le 24"]`.
    pub prefix: Vec<PrefixPattern>,
    /// `prefix-list = "NAME"` or several; they exist.
    pub prefix_list: Vec<String>,
    /// `as-path = ["_65010_"]`.
    pub as_path: Vec<Regex>,
    /// `as-path-contains = [64512, "64600-64700"]`.
    pub as_path_contains: Vec<Span>,
    /// `as-path-length = ">5"`; a set counts as one.
    pub as_path_length: Option<Span>,
    /// `origin-as = [64512]`: where the path began.
    pub origin_as: Vec<Span>,
    /// `neighbor-as = [64512]`: where it comes from.
    pub neighbor_as: Vec<Span>,
    /// `community = ["65010:100", "65010:*"]`.
    pub community: Vec<CommunityPattern>,
    /// `community-all`: each of these.
    pub community_all: Vec<CommunityPattern>,
    /// `ext-community = ["rt:65010:100"]`.
    pub ext_community: Vec<ExtCommunityPattern>,
    /// `ext-community-all`: each of these.
    pub ext_community_all: Vec<ExtCommunityPattern>,
    /// `large-community = ["65010:1:*"]`.
    pub large_community: Vec<LargeCommunityPattern>,
    /// `large-community-all`: each of these.
    pub large_community_all: Vec<LargeCommunityPattern>,
    /// `nexthop = ["10.0.0.0/8"]`.
    pub nexthop: Vec<IpNet>,
    /// `origin = ["igp"]`.
    pub origin: Vec<Origin>,
    /// `med = "<100"`, `"none"`, `"any"`.
    pub med: Option<MedMatch>,
    /// `local-pref = ">=200"`; a path without one has 100.
    pub local_pref: Option<Span>,
}

impl Conditions {
    /// Nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Numbers from `min` to `max`, both included; never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// `ipv4`.
    Ipv4,
    /// `ipv6`.
    Ipv6,
}

/// How a path came into BGP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// `egp`.
    Egp,
    /// `igp`.
    Igp,
    /// `incomplete`.
    Incomplete,
}

/// What is asked of the MED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MedMatch {
    /// `none`: the path has none.
    Absent,
    /// It has one of these; `any` is all of them.
    Within(Span),
}

/// `65010:100`, `65010:*`, `65010:100-199`, `no-export`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommunityPattern {
    /// The first half.
    pub high: Span,
    /// The second half.
    pub low: Span,
}

/// `65010:1:*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LargeCommunityPattern {
    /// Each of the three parts.
    pub parts: [Span; 3],
}

/// `rt:65010:*`, `soo:192.0.2.1:7`, `link-bandwidth`, `0x0002fdf200000064`, `*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtCommunityPattern {
    /// Every one.
    Any,
    /// These eight octets.
    Exactly(u64),
    /// The bandwidth of a link.
    LinkBandwidth,
    /// What somebody gave out.
    Of {
        /// What it is for.
        kind: ExtKind,
        /// Who gave it out.
        admin: ExtAdmin,
        /// What they gave out.
        local: Span,
    },
}

/// What an extended community is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtKind {
    /// `soo` or `ro`.
    RouteOrigin,
    /// `rt`.
    RouteTarget,
}

/// Who gave out an extended community.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtAdmin {
    /// An address.
    Address(Ipv4Addr),
    /// An AS of these.
    As(Span),
}

/// An extended community to add.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtCommunity {
    /// `rt:192.0.2.1:7`.
    OfAddress {
        /// What it is for.
        kind: ExtKind,
        /// Who gave it out.
        address: Ipv4Addr,
        /// What they gave out.
        local: u16,
    },
    /// `rt:65010:100`. At most 65535 is given out by an AS above 65535.
    OfAs {
        /// What it is for.
        kind: ExtKind,
        /// Who gave it out.
        asn: u32,
        /// What they gave out.
        local: u32,
    },
    /// `0x0002fdf200000064`: eight octets.
    Raw(u64),
}

/// `10.1.0.0/16`, `10.1.0.0/16 le 24`, `10.1.0.0/16 ge 20 le 24`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixPattern {
    /// Host bits are zero.
    pub net: IpNet,
    /// Shortest length that matches; at least that of `net`.
    pub min: u8,
    /// Longest length that matches; at least `min`.
    pub max: u8,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it through, with what was `set`.
    Accept,
    /// Ask another filter, which exists; go on where it does not decide.
    Call(String),
    /// Go on with the next rule.
    Next,
    /// Do not let it through.
    Reject,
}

/// `set = { local-pref = 200, … }`. Applied in the order of the rules once one accepts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// `local-pref`.
    pub local_pref: Option<Number>,
    /// `med`.
    pub med: Option<MedChange>,
    /// `origin`.
    pub origin: Option<Origin>,
    /// `nexthop`.
    pub nexthop: Option<Nexthop>,
    /// `prepend`.
    pub prepend: Option<Prepend>,
    /// `community`: these in place of all; `None`: as they are.
    pub community: Option<Vec<u32>>,
    /// `add-community`.
    pub add_community: Vec<u32>,
    /// `delete-community`.
    pub delete_community: Vec<CommunityPattern>,
    /// `ext-community`: these in place of all.
    pub ext_community: Option<Vec<ExtCommunity>>,
    /// `add-ext-community`.
    pub add_ext_community: Vec<ExtCommunity>,
    /// `delete-ext-community`.
    pub delete_ext_community: Vec<ExtCommunityPattern>,
    /// `large-community`: these in place of all.
    pub large_community: Option<Vec<(u32, u32, u32)>>,
    /// `add-large-community`.
    pub add_large_community: Vec<(u32, u32, u32)>,
    /// `delete-large-community`.
    pub delete_large_community: Vec<LargeCommunityPattern>,
    /// `bandwidth = "1Gbit"`: a link bandwidth community, in bits per second.
    pub bandwidth: Option<u64>,
}

impl Set {
    /// Nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `200`, `"+10"`, `"-10"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// So much more.
    Add(u32),
    /// So much less.
    Subtract(u32),
    /// This.
    To(u32),
}

/// A new MED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MedChange {
    /// This.
    Number(Number),
    /// `none`.
    Remove,
}

/// A new nexthop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nexthop {
    /// This.
    Address(IpAddr),
    /// `self`: our own end of the session. In export filters only.
    Ourselves,
    /// `unchanged`: what the path came with. In export filters only.
    Unchanged,
}

/// `prepend = 2` or `{ as = 65020, times = 2 }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prepend {
    /// Whose number.
    pub who: Prepended,
    /// 1 to 16.
    pub times: u8,
}

/// Whose number is put in front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepended {
    /// `as = 65020`.
    Asn(u32),
    /// `as = "last-as"`: the one that is in front already.
    LastAs,
    /// `as = "own"`, or a number alone.
    Own,
}
