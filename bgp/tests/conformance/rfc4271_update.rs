//! RFC 4271 §4.3, §5 and §6.3: UPDATEs, where RFC 7606 says nothing else.

use crate::row::{Row, row};
use crate::update::{
    AS_PATH, Case, GONE, GONE_V6, MP_UNREACH, NEXT_HOP, NLRI, ORIGIN, PLAIN, attributes, body,
    instead, with,
};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let gone = |name, rule, case: Case| row("4271 §6.3", name, rule, case.withdraws(GONE));
    vec![
        row("4271 §4.3", "announce", "Prefixes share the attributes of their UPDATE.", with("").nlri("18 cb0071 08 0a").is("announce 203.0.113.0/24 10.0.0.0/8 via 192.0.2.1 path 65002")),
        row("4271 §4.3", "withdraw", "Prefixes can be withdrawn without attributes.", attributes("").withdrawn("18 cb0071 00").is("withdraw 203.0.113.0/24 0.0.0.0/0")),
        row("4271 §4.3", "both", "One UPDATE can do both.", with("").withdrawn("08 0b").is(&format!("withdraw 11.0.0.0/8, {PLAIN}"))),
        row("4271 §4.3", "trailing-bits", "Bits beyond the length of a prefix count for nothing.", with("").nlri("14 cb007f").is("announce 203.0.112.0/20 via 192.0.2.1 path 65002")),
        row("4271 §4.3", "extended-length", "A short attribute may have a long length.", instead(ORIGIN, "50 01 0001 00").is(PLAIN)),
        row("4271 §4.3", "origin", "ORIGIN has the values 0, 1 and 2.", instead(ORIGIN, "40 01 01 02").is(&format!("{PLAIN} origin incomplete"))),
        row("4271 §4.3", "as-set", "AS_PATH may hold sets.", instead(AS_PATH, "40 02 10 02 01 0000fdea 01 02 00000001 00000002").is("announce 203.0.113.0/24 via 192.0.2.1 path 65002 {1 2}")),
        row("4271 §5", "any-order", "Attributes may come in any order.", attributes(format!("{NEXT_HOP} {AS_PATH} {ORIGIN}")).nlri(NLRI).is(PLAIN)),
        row("4271 §5", "unknown-transitive", "An unknown transitive attribute is kept and marked partial.", with("c0 64 01 02").is(&format!("{PLAIN} unknown e064:02"))),
        row("4271 §5", "unknown-order", "Several are kept in order of their type.", with("c0 64 01 02 c0 63 00").is(&format!("{PLAIN} unknown e063: unknown e064:02"))),
        row("4271 §5", "unknown-non-transitive", "An unknown non-transitive one is left out.", with("80 63 01 00").is(PLAIN)),
        row("4271 §5.1.4", "med", "MULTI_EXIT_DISC is four octets.", with("80 04 04 00000005").is(&format!("{PLAIN} med 5"))),
        row("4271 §5.1.6", "atomic", "ATOMIC_AGGREGATE has no value.", with("40 06 00").is(&format!("{PLAIN} atomic aggregate"))),
        row("4271 §5.1.7", "aggregator", "AGGREGATOR names an AS and a speaker.", with("c0 07 08 0000fdea 0a000001").is(&format!("{PLAIN} aggregator 65002 10.0.0.1"))),
        row("4271 §6.3", "lengths", "Lengths of withdrawn prefixes and attributes fit the message.", body("0005 0000").resets(1, "")),
        row("4271 §6.3", "attributes-length", "So does that of the attributes alone.", body("0000 0005 40").resets(1, "")),
        row("4271 §6.3", "no-lengths", "A body without both lengths is none.", body("0000").resets(1, "")),
        row("4271 §6.3", "unknown-well-known", "A well-known attribute that we do not know ends the session, with the attribute as data.", with("40 63 01 00").resets(2, "40 63 01 00")),
        gone("first-as", "The first AS is that of the external peer.", instead(AS_PATH, "40 02 06 02 01 0000fdeb")),
        gone("empty-path", "A path from an external peer is not empty.", instead(AS_PATH, "40 02 00")),
        gone("first-set", "Nor does it begin with a set.", instead(AS_PATH, "40 02 06 01 01 0000fdea")),
        row("4271 §5.1.2", "internal-empty", "That of an internal one may be.", instead(AS_PATH, "40 02 00").internal().is("announce 203.0.113.0/24 via 192.0.2.1")),
        row("4271 §6.3", "multicast", "A multicast prefix is ignored, others beside it count.", with("").nlri(&format!("18 e80001 {NLRI}")).ignores(PLAIN)),
        row("4271 §6.3", "multicast-alone", "Where it is the only one nothing is left.", with("").nlri("04 e0").ignores("")),
        row("4271 §6.3", "multicast-ipv6", "The same in IPv6.", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 18 0002 01 10 20010db8000000000000000000000001 00 10 ff0e")).ignores("")),
        row("4271 §6.3", "multicast-within", "A prefix that is wider is none.", with("").nlri("03 e0").is("announce 224.0.0.0/3 via 192.0.2.1 path 65002")),
        gone("nexthop-zero", "NEXT_HOP is the address of a host: not 0.0.0.0,", instead(NEXT_HOP, "40 03 04 00000000")),
        gone("nexthop-loopback", "not 127.0.0.1,", instead(NEXT_HOP, "40 03 04 7f000001")),
        gone("nexthop-multicast", "not multicast,", instead(NEXT_HOP, "40 03 04 e0000001")),
        gone("nexthop-class-e", "and not class E.", instead(NEXT_HOP, "40 03 04 f0000001")),
        row("4760 §3", "nexthop", "The nexthop of MP_REACH_NLRI is one of its family.", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8")).is("announce 2001:db8::/32 via 2001:db8::1 path 65002")),
        row("4760 §3", "nexthop-unspecified", "It is not ::", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 1a 0002 01 10 00000000000000000000000000000000 00 20 20010db8")).withdraws(GONE_V6)),
        row("4760 §3", "both-families", "One UPDATE can carry both families.", with("80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8").is(&format!("{PLAIN}, announce 2001:db8::/32 via 2001:db8::1 path 65002"))),
        row("4760 §4", "withdraw", "MP_UNREACH_NLRI withdraws without other attributes.", attributes(MP_UNREACH).is("withdraw 2001:db8::/32")),
        row("4760 §7", "family", "A family that was not agreed on costs only its attribute.", with("80 0f 03 0019 46").discards(PLAIN)),
        row("2545 §3", "link-local", "Of two nexthops the global one counts.", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 2a 0002 01 20 20010db8000000000000000000000001 fe800000000000000000000000000001 00 20 20010db8")).is("announce 2001:db8::/32 via 2001:db8::1 path 65002")),
        row("4724 §2", "end-of-rib", "An UPDATE without anything is the End-of-RIB of IPv4.", body("0000 0000").is("end of ipv4")),
        row("4724 §2", "end-of-rib-mp", "An empty MP_UNREACH_NLRI is that of its family.", attributes("80 0f 03 0002 01").is("end of ipv6")),
    ]
}
