//! RFCs that add to UPDATEs.

use bgp::FamilySet;

use crate::row::{Row, row};
use crate::update::{AS_PATH, GONE, NEXT_HOP, NLRI, ORIGIN, PLAIN, attributes, instead, with};

/// AS_PATH 65002 23456 23456 in 2-octet numbers.
const OLD_PATH: &str = "40 02 08 02 03 fdea 5ba0 5ba0";
/// AS4_PATH 70000 80000.
const AS4_PATH: &str = "c0 11 0a 02 02 00011170 00013880";

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let old = |extra: &str| attributes(format!("{ORIGIN} {OLD_PATH} {NEXT_HOP} {extra}")).nlri(NLRI).old();
    let via = "announce 203.0.113.0/24 via 192.0.2.1 path";
    vec![
        row("1997 §3", "communities", "Communities are four octets each; their order means nothing.", with("c0 08 08 fde90064 fde90001").is(&format!("{PLAIN} community 65001:1 community 65001:100"))),
        row("1997 §3", "duplicates", "One that occurs twice is one.", with("c0 08 08 fde90064 fde90064").is(&format!("{PLAIN} community 65001:100"))),
        row("8092 §3", "communities", "Large communities are twelve octets each.", with("c0 20 0c 0000fde9 00000001 00000002").is(&format!("{PLAIN} large-community 65001:1:2"))),
        row("8092 §3", "duplicates", "One that occurs twice is one.", with("c0 20 18 0000fde90000000100000002 0000fde90000000100000002").is(&format!("{PLAIN} large-community 65001:1:2"))),
        row("8092 §6", "length-13", "The length of LARGE_COMMUNITY is a multiple of twelve.", with("c0 20 0d 00000000000000000000000000").withdraws(GONE)),
        row("8092 §6", "length-0", "LARGE_COMMUNITY without any is a fault.", with("c0 20 00").withdraws(GONE)),
        row("4360 §2", "communities", "Extended communities are eight octets each.", with("c0 10 08 0002fdea00000064").is(&format!("{PLAIN} ext-community 0002fdea00000064"))),
        row("7606 §7.14", "length-7", "The length of EXTENDED_COMMUNITIES is a multiple of eight.", with("c0 10 07 00000000000000").withdraws(GONE)),
        row("7606 §7.14", "length-0", "EXTENDED_COMMUNITIES without any are a fault.", with("c0 10 00").withdraws(GONE)),
        row("4456 §8", "received", "Internal peers say who brought a path in, and which clusters it has passed.", with("80 09 04 0a000009 80 0a 08 0a00000a 0a00000b").internal().is(&format!("{PLAIN} originator 10.0.0.9 cluster 10.0.0.10 cluster 10.0.0.11"))),
        row("7606 §7.9", "external", "An ORIGINATOR_ID from an external peer counts for nothing.", with("80 09 04 0a000009").discards(PLAIN)),
        row("7606 §7.9", "length", "From an internal one it is four octets long.", with("80 09 03 0a0000").internal().withdraws(GONE)),
        row("7606 §7.10", "external", "A CLUSTER_LIST from an external peer counts for nothing.", with("80 0a 04 0a00000a").discards(PLAIN)),
        row("7606 §7.10", "length-6", "From an internal one its length is a multiple of four.", with("80 0a 06 0a00000a0a00").internal().withdraws(GONE)),
        row("7606 §7.10", "length-0", "And it is not empty.", with("80 0a 00").internal().withdraws(GONE)),
        row("9234 §5", "received", "Only to Customer names an AS.", with("c0 23 04 0000fdea").is(&format!("{PLAIN} only-to-customer 65002"))),
        row("9234 §5", "length", "One that is not four octets long is a fault.", with("c0 23 03 00fdea").withdraws(GONE)),
        row("7911 §3", "path-ids", "A prefix stands behind the identifier of its path.", with("").nlri("00000007 18 cb0071").agreed("path identifiers: ", |dialect| dialect.add_path_receive = FamilySet::ALL).is(&format!("announce 203.0.113.0/24#7 {}", PLAIN.trim_start_matches("announce 203.0.113.0/24 ")))),
        row("7911 §3", "withdrawn", "One that is withdrawn does too.", attributes("").withdrawn("00000007 18 cb0071 00000008 18 cb0071").agreed("path identifiers: ", |dialect| dialect.add_path_receive = FamilySet::ALL).is("withdraw 203.0.113.0/24#7 203.0.113.0/24#8")),
        row("7911 §3", "mp", "So it is for IPv6.", attributes("80 0f 0c 0002 01 00000007 20 20010db8").agreed("path identifiers: ", |dialect| dialect.add_path_receive = FamilySet::ALL).is("withdraw 2001:db8::/32#7")),
        row("7911 §3", "cut", "An identifier that is cut ends the session.", with("").nlri("000007").agreed("path identifiers: ", |dialect| dialect.add_path_receive = FamilySet::ALL).resets(10, "")),
        row("8950 §3", "nexthop", "Where it was agreed on, IPv4 prefixes may have an IPv6 nexthop.", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 cb0071")).agreed("extended nexthop: ", |dialect| dialect.extended_nexthop = FamilySet::ALL).is("announce 203.0.113.0/24 via 2001:db8::1 path 65002")),
        row("8950 §3", "not-agreed", "Where it was not, its length is wrong.", attributes(format!("{ORIGIN} {AS_PATH} 80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 cb0071")).resets(9, "80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 cb0071")),
        row("7947 §2.2.2.1", "first-as", "The first AS of a path from a route server is another.", instead(AS_PATH, "40 02 06 02 01 0000fdeb").agreed("route server: ", |dialect| dialect.first_as = bgp::FirstAs::Free).is("announce 203.0.113.0/24 via 192.0.2.1 path 65003")),
        row("5065 §5", "segment", "Segments of a confederation are refused: we are in none.", instead(AS_PATH, "40 02 06 03 01 0000fdea").withdraws(GONE)),
        row("6793 §4.1", "as4-path-from-new", "AS4_PATH counts for nothing from a speaker of 4-octet numbers.", with("c0 11 06 02 01 0000fdea").discards(PLAIN)),
        row("6793 §4.1", "as4-aggregator-from-new", "Nor does AS4_AGGREGATOR.", with("c0 12 08 0000fdea 0a000001").discards(PLAIN)),
        row("6793 §4.2.3", "path", "AS4_PATH gives the numbers back that did not fit.", old(AS4_PATH).is(&format!("{via} 65002 70000 80000"))),
        row("6793 §4.2.3", "aggregator", "AS4_AGGREGATOR does that for AGGREGATOR.", old(&format!("{AS4_PATH} c0 07 06 5ba0 0a000001 c0 12 08 00011170 0a000001")).is(&format!("{via} 65002 70000 80000 aggregator 70000 10.0.0.1"))),
        row("6793 §4.2.3", "aggregated-since", "An AGGREGATOR other than AS_TRANS means that an old speaker aggregated: both AS4 attributes are out of date.", old(&format!("{AS4_PATH} c0 07 06 fdea 0a000001 c0 12 08 00011170 0a000001")).is(&format!("{via} 65002 23456 23456 aggregator 65002 10.0.0.1"))),
        row("6793 §4.2.3", "shorter", "A path shorter than AS4_PATH is taken as it is.", attributes(format!("{ORIGIN} 40 02 04 02 01 fdea {NEXT_HOP} {AS4_PATH}")).nlri(NLRI).old().is(&format!("{via} 65002"))),
        row("6793 §6", "as4-path", "A malformed AS4_PATH costs only itself.", old("c0 11 05 02 01 000111").discards(&format!("{via} 65002 23456 23456"))),
        row("6793 §6", "as4-aggregator", "A malformed AS4_AGGREGATOR costs only itself.", old("c0 12 07 00011170 0a0000").discards(&format!("{via} 65002 23456 23456"))),
        row("7607 §2", "path", "AS 0 is in no AS_PATH.", instead(AS_PATH, "40 02 0a 02 02 0000fdea 00000000").withdraws(GONE)),
        row("7607 §2", "as4-path", "Nor in an AS4_PATH.", old("c0 11 06 02 01 00000000").discards(&format!("{via} 65002 23456 23456"))),
        row("7607 §2", "aggregator", "Nor in an AGGREGATOR.", with("c0 07 08 00000000 0a000001").discards(PLAIN)),
        row("7607 §2", "as4-aggregator", "Nor in an AS4_AGGREGATOR.", old("c0 12 08 00000000 0a000001").discards(&format!("{via} 65002 23456 23456"))),
    ]
}
