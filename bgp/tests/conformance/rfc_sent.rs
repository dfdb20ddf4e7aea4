//! What leaves us, octet by octet, and what kinds of peers do to it.

use bgp::rib::{
    AsOverride, DrainNotice, LocalAs, LocalAsPrepend, MultipathAs, NexthopMode, Preference,
    PrivateAs, RibConfig, WayBack,
};
use bgp::{Asn, Community, FamilySet};

use crate::rib::{Setup, among};
use crate::row::{Row, row};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("4271 §4.3", "sent", "An UPDATE has its attributes in the order of their codes, and the prefixes last.", among(&["A path 65002 med 5"]).sends('I', "40 01 01 00 40 02 06 02010000fdea 40 03 04 0a000101 80 04 04 00000005 40 05 04 00000064 | 18cb0071")),
        row("4271 §4.3", "sent-communities", "A community is optional and transitive.", among(&["A path 65002 community 65002:7 large-community 65002:7:8 ext-community 0002fdea00000064"]).sends('B', "40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 c0 08 04 fdea0007 c0 10 08 0002fdea00000064 c0 20 0c 0000fdea0000000700000008 | 18cb0071")),
        row("4456 §8", "sent", "ORIGINATOR_ID and CLUSTER_LIST are optional and stay inside.", among(&["I path 65009"]).configured("I is a client: ", crate::rfc4271_decision::client).sends('J', "40 01 01 00 40 02 06 02010000fdf1 40 03 04 0a000106 40 05 04 00000064 80 09 04 0a000006 80 0a 04 0a000001 | 18cb0071")),
        row("9234 §5", "sent", "Only to Customer is optional and transitive.", among(&["A path 65002 only-to-customer 65002"]).sends('B', "40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 c0 23 04 0000fdea | 18cb0071")),
        row("7911 §3", "sent", "Each path has an identifier of its own in front of the prefix.", among(&["A path 65002 7", "C path 65002"]).configured("B takes several paths: ", several).sends('B', "40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 | 0000000618cb0071 and 40 01 01 00 40 02 0e 02030000fde90000fdea00000007 40 03 04 0a000101 | 0000000218cb0071")),
        row("7911 §3", "sent-limit", "So many of them as are configured, the best ones.", among(&["A path 65002 7", "C path 65002"]).configured("B takes several paths and is sent one: ", one_of_several).sends('B', "40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 | 0000000618cb0071")),
        row("8950 §4", "sent", "Toward an IPv6 session IPv4 prefixes go into MP_REACH_NLRI, with the nexthop that was agreed on.", among(&["A path 65002"]).configured("B takes IPv6 nexthops for IPv4: ", extended).sends('B', "90 0e 0019 0001011020010db80000000000000000000000010018cb0071 40 01 01 00 40 02 0a 02020000fde90000fdea")),
        row("6793 §4.2.2", "sent-path", "To an old speaker a number that does not fit is AS_TRANS, and AS4_PATH has it.", among(&["A path 65002 70000"]).configured("B has 2-octet numbers: ", old).sends('B', "40 01 01 00 40 02 08 0203fde9fdea5ba0 40 03 04 0a000101 c0 11 0e 02030000fde90000fdea00011170 | 18cb0071")),
        row("6793 §4.2.2", "sent-fits", "Where all fit there is no AS4_PATH.", among(&["A path 65002 7"]).configured("B has 2-octet numbers: ", old).sends('B', "40 01 01 00 40 02 08 0203fde9fdea0007 40 03 04 0a000101 | 18cb0071")),
        row("6793 §4.2.2", "sent-aggregator", "AS4_AGGREGATOR does that for AGGREGATOR.", among(&["A path 65002 aggregator 70000"]).configured("B has 2-octet numbers: ", old).sends('B', "40 01 01 00 40 02 06 0202fde9fdea 40 03 04 0a000101 c0 07 06 5ba00a000009 c0 12 08 000111700a000009 | 18cb0071")),
        row("4271 §5.1.3", "third-party", "A neighbour on the network of a peer can be the nexthop.", among(&["A path 65002"]).configured("B is told of third parties: ", third_party).tells('B', "via 10.0.1.2 path 65001 65002")),
        row("4271 §5.1.3", "third-party-leaves", "It is none any more once that network has gone.", among(&["A path 65002", "unplugged B"]).configured("B is told of third parties: ", third_party).tells('B', "via self path 65001 65002")),
        row("4271 §5.1.3", "third-party-elsewhere", "One that is not on it can not.", among(&["A path 65002 via 10.9.9.9"]).configured("B is told of third parties: ", third_party).tells('B', "via self path 65001 65002")),
        row("4271 §5.1.3", "third-party-itself", "Nor can the peer itself.", among(&["A path 65002 via 10.0.1.3"]).configured("B is told of third parties: ", third_party).tells('B', "via self path 65001 65002")),
        row("7705 §3.2", "told", "A peer that knows us by another AS is told that one in front of ours.", among(&["A path 65002"]).configured("to B we are 64600: ", |peer, setup| local_as(peer, setup, LocalAsPrepend::Shown)).tells('B', "via self path 64600 65001 65002")),
        row("7705 §3.2", "replaced", "Or instead of it.", among(&["A path 65002"]).configured("to B we are 64600 alone: ", |peer, setup| local_as(peer, setup, LocalAsPrepend::Hidden)).tells('B', "via self path 64600 65002")),
        row("7705 §3.1", "received", "Its paths get that AS in front", among(&["B path 65003"]).configured("to B we are 64600: ", |peer, setup| local_as(peer, setup, LocalAsPrepend::Shown)).tells('A', "via self path 65001 64600 65003")),
        row("7705 §3.1", "no-prepend", "unless that is turned off.", among(&["B path 65003"]).configured("to B we are 64600 alone: ", |peer, setup| local_as(peer, setup, LocalAsPrepend::Hidden)).tells('A', "via self path 65001 65003")),
        row("4271 §9.1.2", "local-as", "A path from it that has that AS has been here.", among(&["B path 65003 64600"]).configured("to B we are 64600: ", |peer, setup| local_as(peer, setup, LocalAsPrepend::Shown)).best("none: AsLoop")),
        row("4271 §9.1.2", "as-override", "Sites that share an AS are told ours in its place.", among(&["A path 65002 65003 65003"]).configured("as-override for B: ", |peer, setup| if peer == 'B' { setup.options.as_override = AsOverride::On; }).tells('B', "via self path 65001 65002 65001 65001")),
        row("4271 §9.1.2", "allowas-in", "Or they take a path with their own AS as often as is allowed.", among(&["A path 65002 65001"]).configured("our AS once from A: ", own_as_once).best("A by OnlyPath")),
        row("4271 §9.1.2", "allowas-in-more", "More often it is a loop.", among(&["A path 65002 65001 65001"]).configured("our AS once from A: ", own_as_once).best("none: AsLoop")),
        row("6996 §4", "remove-private", "Private numbers can be taken out, of either size,", among(&["A path 65002 64600 4000 4200000001"]).configured("no private numbers for B: ", |peer, setup| private(peer, setup, PrivateAs::Removed)).tells('B', "via self path 65001 4000")),
        row("6996 §4", "replace-private", "or ours stands for each.", among(&["A path 65002 64600 4000"]).configured("ours for private numbers for B: ", |peer, setup| private(peer, setup, PrivateAs::Replaced)).tells('B', "via self path 65001 65001 65001 4000")),
        row("6996 §4", "remove-private-peer", "That of the peer stays, for its loop check.", among(&["A path 65002 65003"]).configured("no private numbers for B: ", |peer, setup| private(peer, setup, PrivateAs::Removed)).tells('B', "via self path 65001 65003")),
        row("4271 §9.2.2.2", "aggregate", "An aggregate says what was left out: ATOMIC_AGGREGATE and AGGREGATOR.", among(&["aggregate 203.0.112.0/22", "A path 65002"]).sends('C', "40 01 01 02 40 02 06 02010000fde9 40 03 04 0a000101 40 06 00 c0 07 08 0000fde90a000001 | 16cb0070 and 40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 | 18cb0071")),
        row("4271 §9.2.2.2", "summary", "What is within it can be told to nobody.", among(&["summary 203.0.112.0/22", "A path 65002"]).sends('C', "40 01 01 02 40 02 06 02010000fde9 40 03 04 0a000101 40 06 00 c0 07 08 0000fde90a000001 | 16cb0070")),
        row("4271 §9.2.2.2", "empty", "It is there only while something within it is.", among(&["aggregate 203.0.112.0/22"]).sends('C', "")),
        row("4632 §5.1", "discard", "A router that aggregates drops packets that match the aggregate and no more specific route,", among(&["aggregate 203.0.112.0/22", "A path 65002"]).forwards("203.0.112.0/22 discard, 203.0.113.0/24 A")),
        row("4632 §5.1", "discard-inactive", "for as long as it announces the aggregate.", among(&["aggregate 203.0.112.0/22"]).forwards("")),
        row("4632 §5.1", "own", "What it originates itself goes where the host sends it.", among(&["aggregate 203.0.112.0/22", "own"]).forwards("203.0.112.0/22 discard")),
        row("4271 §5.1.4", "way-back", "A neighbour that honours MED is asked by it to come back by another link,", among(&["A path 65002 med 7"]).configured("B is on the secondary link, by MED: ", |peer, setup| way_back(peer, setup, WayBack::Med, Preference::Secondary)).tells('B', "via self path 65001 65002 med 100")),
        row("4271 §5.1.4", "way-back-primary", "or by this one.", among(&["A path 65002 med 7"]).configured("B is on the primary link, by MED: ", |peer, setup| way_back(peer, setup, WayBack::Med, Preference::Primary)).tells('B', "via self path 65001 65002 med 0")),
        row("4271 §5.1.2", "way-back", "One that honours the length of paths is asked by that.", among(&["A path 65002"]).configured("B is on the secondary link, by prepending: ", |peer, setup| way_back(peer, setup, WayBack::Prepend, Preference::Secondary)).tells('B', "via self path 65001 65001 65001 65002")),
        row("4271 §5.1.2", "way-back-internal", "A neighbour in our AS is asked nothing.", among(&["A path 65002"]).configured("I is on the secondary link, by prepending: ", |peer, setup| if peer == 'I' { way_back('B', setup, WayBack::Prepend, Preference::Secondary); }).tells('I', "via self path 65002 pref 100")),
        row("1997 §2", "way-back", "One that has communities for it is told the one of this link.", among(&["A path 65002 community 65002:7"]).configured("B is on a further link, by communities: ", |peer, setup| way_back(peer, setup, WayBack::Communities([Community(7224 << 16 | 7300), Community(7224 << 16 | 7200), Community(7224 << 16 | 7100)]), Preference::Further)).tells('B', "via self path 65001 65002 community 7224:7100 community 65002:7")),
        row("8326 §4.2", "sent", "A link that is about to go says so, and is the last that one would choose.", among(&["A path 65002"]).configured("B is on a link that drains, by MED: ", |peer, setup| { setup.options.drain_notice = DrainNotice::GracefulShutdown; way_back(peer, setup, WayBack::Med, Preference::Draining); }).tells('B', "via self path 65001 65002 med 65535 community 65535:0")),
        row("4486 §4", "own-limit", "A peer that takes none is sent none.", among(&["A path 65002"]).configured("B takes no prefixes: ", |peer, setup| if peer == 'B' { setup.options.send_limit = [Some(0); 2]; }).tells('B', "nothing")),
        row("4271 §9.1.2.2", "multipath", "Paths that only the identifier tells apart can share the traffic.", among(&["A path 65002", "C path 65002"]).router("two ways: ", two_ways).leads("A 1, C 1")),
        row("4271 §9.1.2.2", "multipath-neighbour", "They come from one neighbouring AS,", among(&["A path 65002", "B path 65003"]).router("two ways: ", two_ways).leads("A 0, B 0")),
        row("4271 §9.1.2.2", "multipath-relaxed", "unless that is relaxed.", among(&["A path 65002", "B path 65003"]).router("two ways of any AS: ", |config| { two_ways(config); config.multipath.as_paths = MultipathAs::AnyNeighbour; }).leads("A 1, B 1")),
        row("4271 §9.1.2.2", "multipath-length", "A longer path does not share.", among(&["A path 65002", "C path 65002 7"]).router("two ways: ", two_ways).leads("A 0, C 0")),
        row("4271 §9.1.2.2", "multipath-bandwidth", "Bandwidths of links are the weights, where every path says one.", among(&["A path 65002 ext-community 4004fdea4cee6b28", "C path 65002 ext-community 4004fdea4bee6b28"]).router("two ways: ", two_ways).leads("A 255, C 64")),
        row("4271 §9.1.2.2", "multipath-unknown", "Otherwise the parts are equal.", among(&["A path 65002 ext-community 4004fdea4cee6b28", "C path 65002"]).router("two ways: ", two_ways).leads("A 1, C 1")),
    ]
}

/// B is asked in this way to make so much of its link.
fn way_back(peer: char, setup: &mut Setup, way_back: WayBack, preference: Preference) {
    if peer == 'B' {
        setup.options.way_back = way_back;
        setup.preference = preference;
    }
}

fn several(peer: char, setup: &mut Setup) {
    if peer == 'B' {
        setup.up.dialect.add_path_send = FamilySet::ALL;
    }
}

fn one_of_several(peer: char, setup: &mut Setup) {
    several(peer, setup);
    setup.options.add_path_limit = 1;
}

fn extended(peer: char, setup: &mut Setup) {
    if peer == 'B' {
        setup.up.dialect.extended_nexthop = FamilySet::ALL;
        setup.up.nexthops = [Some("2001:db8::1".parse().expect("an address")), None];
    }
}

fn old(peer: char, setup: &mut Setup) {
    setup.up.dialect.four_octet_asn = peer != 'B';
}

fn third_party(peer: char, setup: &mut Setup) {
    if peer == 'B' {
        setup.options.nexthop = NexthopMode::ThirdParty;
        setup.network = Some("10.0.1.0/24".parse().expect("a network"));
    }
}

/// - `prepend`: both ways
fn local_as(peer: char, setup: &mut Setup, prepend: LocalAsPrepend) {
    let asn = Asn(64600);
    setup.options.local_as = (peer == 'B').then_some(LocalAs {
        asn,
        on_import: prepend,
        on_export: prepend,
    });
    if peer == 'B' {
        setup.up.dialect.local_asn = asn;
    }
}

fn own_as_once(peer: char, setup: &mut Setup) {
    setup.options.own_as_allowed = u8::from(peer == 'A');
}

fn private(peer: char, setup: &mut Setup, private_as: PrivateAs) {
    if peer == 'B' {
        setup.options.private_as = private_as;
    }
}

fn two_ways(config: &mut RibConfig) {
    config.multipath.external = 2;
}
