//! RFC 7606: what becomes of an UPDATE with a fault.

use crate::row::{Row, row};
use crate::update::{
    AS_PATH, Case, GONE, GONE_V6, MP_REACH, MP_UNREACH, NEXT_HOP, ORIGIN, PLAIN, attributes,
    instead, with,
};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let gone = |source, name, rule, case: Case| row(source, name, rule, case.withdraws(GONE));
    let kept = |source, name, rule, case: Case| row(source, name, rule, case.discards(PLAIN));
    let reach = |attributes: &str| self::attributes(format!("{ORIGIN} {AS_PATH} {attributes}"));
    vec![
        gone("7606 §7.1", "length-2", "An ORIGIN that is not one octet long is a fault.", instead(ORIGIN, "40 01 02 0000")),
        gone("7606 §7.1", "length-0", "So is one without any.", instead(ORIGIN, "40 01 00")),
        gone("7606 §7.1", "value", "ORIGIN has three values.", instead(ORIGIN, "40 01 01 03")),
        gone("7606 §7.2", "overrun", "A segment of AS_PATH ends within it.", instead(AS_PATH, "40 02 06 02 02 0000fdea")),
        gone("7606 §7.2", "underrun", "A single octet is no segment.", instead(AS_PATH, "40 02 07 02 01 0000fdea 02")),
        gone("7606 §7.2", "segment-type", "A segment has a known type.", instead(AS_PATH, "40 02 06 05 01 0000fdea")),
        gone("7606 §7.2", "empty-segment", "A segment holds at least one AS.", instead(AS_PATH, "40 02 08 02 01 0000fdea 02 00")),
        gone("7606 §7.3", "length", "A NEXT_HOP that is not four octets long is a fault.", instead(NEXT_HOP, "40 03 05 c000020100")),
        gone("7606 §7.4", "length", "A MULTI_EXIT_DISC that is not four octets long is a fault.", with("80 04 03 000001")),
        kept("7606 §7.5", "external", "A LOCAL_PREF from an external peer counts for nothing.", with("40 05 04 00000064")),
        gone("7606 §7.5", "length", "From an internal one it is four octets long.", with("40 05 03 000000").internal()),
        row("7606 §7.5", "internal", "From an internal peer LOCAL_PREF is kept.", with("40 05 04 000000c8").internal().is(&format!("{PLAIN} pref 200"))),
        kept("7606 §7.6", "length", "An ATOMIC_AGGREGATE with a value is left out.", with("40 06 01 00")),
        kept("7606 §7.7", "length-7", "An AGGREGATOR that is not eight octets long is left out.", with("c0 07 07 00000000000000")),
        kept("7606 §7.7", "length-6", "Six octets are right only without 4-octet numbers.", with("c0 07 06 fdea0a000001")),
        gone("7606 §7.8", "length-6", "The length of COMMUNITIES is a multiple of four.", with("c0 08 06 000000000000")),
        gone("7606 §7.8", "length-0", "COMMUNITIES without any are a fault.", with("c0 08 00")),
        row("7606 §7.11", "nexthop-length", "A nexthop of MP_REACH_NLRI that is too short leaves the prefixes unknown.", reach("80 0e 14 0002 01 0f 20010db80000000000000000000000 00").resets(9, "80 0e 14 0002 01 0f 20010db80000000000000000000000 00")),
        row("7606 §7.11", "cut", "So does one that ends too early.", reach("80 0e 02 0002").resets(9, "80 0e 02 0002")),
        gone("7606 §3", "c-optional", "A well-known attribute that is marked optional is a fault.", instead(ORIGIN, "c0 01 01 00")),
        gone("7606 §3", "c-well-known", "So is an optional one that is marked well-known.", with("40 08 04 00000001")),
        gone("7606 §3", "c-transitive", "So is a non-transitive one that is marked transitive.", with("c0 04 04 00000001")),
        row("7606 §3", "c-mp-reach", "The prefixes of an MP_REACH_NLRI with wrong flags are known.", reach(&MP_REACH.replacen("80", "c0", 1)).withdraws(GONE_V6)),
        gone("7606 §3", "d-origin", "ORIGIN is mandatory.", instead(ORIGIN, "")),
        gone("7606 §3", "d-as-path", "AS_PATH is mandatory.", instead(AS_PATH, "")),
        gone("7606 §3", "d-next-hop", "NEXT_HOP is mandatory for prefixes outside MP_REACH_NLRI.", instead(NEXT_HOP, "")),
        row("7606 §3", "d-mp-reach", "MP_REACH_NLRI brings its own nexthop.", reach(MP_REACH).is("announce 2001:db8::/32 via 2001:db8::1 path 65002")),
        row("7606 §3", "g-first", "Of an attribute that occurs twice the first counts.", with("80 04 04 00000001 80 04 04 00000002").discards(&format!("{PLAIN} med 1"))),
        row("7606 §3", "g-mp-reach", "MP_REACH_NLRI twice ends the session.", reach(&format!("{MP_REACH} {MP_REACH}")).resets(1, MP_REACH)),
        row("7606 §3", "g-mp-unreach", "MP_UNREACH_NLRI twice ends the session.", attributes(format!("{MP_UNREACH} {MP_UNREACH}")).resets(1, MP_UNREACH)),
        gone("7606 §3", "h-strongest", "Of several faults the strongest counts.", with("40 06 01 00 80 04 03 000001")),
        row("7606 §3", "j-nlri", "Prefixes that cannot be read end the session.", with("").nlri("21 cb00710000").resets(10, "")),
        gone("7606 §4", "overrun", "An attribute that runs past the others costs the prefixes.", with("80 04 09 00000001")),
        gone("7606 §4", "one-octet", "So does half a header.", with("80")),
        gone("7606 §4", "extended", "So does half a length.", with("90 04 00")),
        row("7606 §5.2", "no-prefix", "A fault that would cost the prefixes ends the session where there are none.", with("80 04 03 000001").nlri("").resets(1, "")),
        row("7606 §5.2", "discard-no-prefix", "One that costs only the attribute does not.", with("40 06 01 00").nlri("").discards("")),
        row("7606 §5.3", "nlri-length", "An IPv4 prefix is at most 32 bits long.", with("").nlri("21 cb00710000").resets(10, "")),
        row("7606 §5.3", "nlri-cut", "A prefix has all its octets.", with("").nlri("18 cb00").resets(10, "")),
        row("7606 §5.3", "withdrawn-length", "That goes for prefixes that are withdrawn too.", attributes("").withdrawn("21 cb00710000").resets(10, "")),
        row("7606 §5.3", "mp-reach-length", "An IPv6 prefix is at most 128 bits long.", reach("80 0e 16 0002 01 10 20010db8000000000000000000000001 00 81").resets(10, "80 0e 16 0002 01 10 20010db8000000000000000000000001 00 81")),
        row("7606 §5.3", "mp-unreach-length", "That goes for MP_UNREACH_NLRI too.", attributes("80 0f 04 0002 01 81").resets(10, "80 0f 04 0002 01 81")),
        row("7606 §5.4", "unknown-family", "An attribute of a family that was not agreed on costs only itself.", with("80 0f 03 0019 46").discards(PLAIN)),
        row("7606 §2", "withdrawn-survive", "Prefixes withdrawn beside a fault are withdrawn.", instead(NEXT_HOP, "40 03 01 00").withdrawn("10 0a01").withdraws("withdraw 10.1.0.0/16 203.0.113.0/24")),
    ]
}
