//! RFC 4271 §9 and what else says which path is best and who is told of it.

use bgp::Role;
use bgp::filter::{Action, Filter, Match, Nexthop, Rule, Set};
use bgp::rib::ReflectionRole;

use crate::rib::{Setup, among};
use crate::row::{Row, row};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("4271 §9.1.1", "local-pref", "The highest LOCAL_PREF wins.", among(&["I pref 200 path 65009 65010", "J pref 100 path 65009"]).best("I by LocalPref")),
        row("4271 §9.1.1", "default", "Without one it is 100.", among(&["A path 65002", "I pref 101 path 65009 65010"]).best("I by LocalPref")),
        row("4271 §9.1.2", "loop", "A path with our AS in it is not used.", among(&["A path 65002 65001"]).best("none: AsLoop")),
        row("4271 §9.1.2", "loop-in-set", "Nor one that has it in a set.", among(&["A path 65002 as-set 7 65001"]).best("none: AsLoop")),
        row("4271 §9.1.2", "only", "The only path is the best.", among(&["A path 65002"]).best("A by OnlyPath")),
        row("4271 §9.1.2.2", "a-length", "The shortest AS_PATH wins.", among(&["A path 65002 7 8", "B path 65003 7"]).best("B by AsPathLength")),
        row("4271 §9.1.2.2", "a-set", "A set counts as one.", among(&["A path 65002 as-set 7 8 9", "B path 65003 7 8"]).best("A by AsPathLength")),
        row("4271 §9.1.2.2", "b-origin", "The lowest ORIGIN wins: igp before egp", among(&["A path 65002 origin egp", "B path 65003"]).best("B by Origin")),
        row("4271 §9.1.2.2", "b-incomplete", "and egp before incomplete.", among(&["A path 65002 origin incomplete", "B path 65003 origin egp"]).best("B by Origin")),
        row("4271 §9.1.2.2", "c-med", "Of one neighbouring AS the lowest MED wins.", among(&["A path 65002 med 20", "C path 65002 med 10"]).best("C by Med")),
        row("4271 §9.1.2.2", "c-absent", "No MED is the lowest.", among(&["A path 65002 med 1", "C path 65002"]).best("C by Med")),
        row("4271 §9.1.2.2", "c-other-as", "MEDs of different ASes are not compared.", among(&["A path 65002 med 20", "B path 65003 med 10"]).best("A by RouterId")),
        row("4271 §9.1.2.2", "c-group", "A path that loses by MED is out, whatever would have beaten its winner.", among(&["A path 65002 med 20", "B path 65003", "C path 65002 med 10"]).best("B by RouterId")),
        row("4271 §9.1.2.2", "d-external", "External wins over internal.", among(&["A path 65002", "I path 65009"]).best("A by ExternalOverInternal")),
        row("4271 §9.1.2.2", "f-identifier", "The lowest identifier wins.", among(&["C path 65002", "A path 65002"]).best("A by RouterId")),
        row("4271 §9.1.2.2", "g-address", "Then the lowest address.", among(&["D path 65002", "A path 65002"]).best("A by PeerAddress")),
        row("4271 §9.1.2.2", "order", "The order of arrival means nothing.", among(&["C path 65002 med 10", "B path 65003", "A path 65002 med 20"]).best("B by RouterId")),
        row("4271 §9.1.4", "replace", "A path replaces the one that its peer sent before.", among(&["A path 65002", "B path 65003 7", "A path 65002 7 8"]).best("B by AsPathLength")),
        row("4271 §5.1.2", "external", "Our AS is put in front for an external peer.", among(&["A path 65002 7"]).tells('B', "via self path 65001 65002 7")),
        row("4271 §5.1.2", "set-first", "A path that begins with a set gets a sequence in front.", among(&["I as-set 7 8"]).tells('B', "via self path 65001 {7 8}")),
        row("4271 §5.1.2", "internal", "For an internal one it is not.", among(&["A path 65002 7"]).tells('I', "via self path 65002 7 pref 100")),
        row("4271 §5.1.2", "own", "What is ours has an empty path inside", among(&["own"]).tells('I', "via self pref 100")),
        row("4271 §5.1.2", "own-external", "and our AS alone outside.", among(&["own"]).tells('B', "via self path 65001")),
        row("4271 §5.1.3", "our-address", "A path whose nexthop is our own address is not used,", among(&["A path 65002 via 10.0.1.1"]).best("none: NexthopOurs")),
        row("4271 §5.1.3", "our-address-replaces", "and yet takes the place of the one before.", among(&["A path 65002", "A path 65002 via 10.0.1.1"]).best("none: NexthopOurs")),
        row("4271 §5.1.3", "our-address-told", "It is told to nobody.", among(&["A path 65002 via 10.0.1.1"]).tells('B', "nothing")),
        row("4271 §5.1.3", "set-to-peer", "Nor is a peer told its own address where a filter sets it.", among(&["own"]).configured("export sets nexthop 10.0.1.3: ", via_b).tells('B', "via self path 65001")),
        row("4271 §5.1.3", "set-to-other", "Others are.", among(&["own"]).configured("export sets nexthop 10.0.1.3: ", via_b).tells('C', "via 10.0.1.3 path 65001")),
        row("4271 §5.1.4", "external", "A MED of one neighbour is not told to another AS.", among(&["A path 65002 med 5"]).tells('B', "via self path 65001 65002")),
        row("4271 §5.1.4", "internal", "Inside our own it is.", among(&["A path 65002 med 5"]).tells('I', "via self path 65002 med 5 pref 100")),
        row("4271 §5.1.5", "local-pref", "LOCAL_PREF stays inside the AS.", among(&["I pref 200 path 65009"]).tells('B', "via self path 65001 65009")),
        row("4271 §5.1.5", "local-pref-internal", "There it is always sent.", among(&["A path 65002 pref 200"]).tells('I', "via self path 65002 pref 200")),
        row("4271 §9.2", "internal", "What an internal peer sent goes to no other one.", among(&["I path 65009"]).tells('J', "nothing")),
        row("4271 §9.2", "back", "Nothing goes back to where it came from.", among(&["A path 65002"]).tells('A', "nothing")),
        row("4271 §9.2", "best-only", "Only the best path is told.", among(&["A path 65002 7", "B path 65003"]).tells('C', "via self path 65001 65003")),
        row("4271 §9.2", "instead", "Whoever sent the best path hears nothing of the others.", among(&["A path 65002 7", "B path 65003"]).tells('B', "nothing")),
        row("4271 §9.1.3", "unusable", "What cannot be used is not told.", among(&["A path 65002 65001"]).tells('B', "nothing")),
        row("1997 §2", "no-export", "NO_EXPORT does not leave the AS.", among(&["A path 65002 community 65535:65281"]).tells('B', "nothing")),
        row("1997 §2", "no-export-internal", "Inside it does go on.", among(&["A path 65002 community 65535:65281"]).tells('I', "via self path 65002 pref 100 community 65535:65281")),
        row("1997 §2", "no-advertise", "NO_ADVERTISE goes nowhere.", among(&["A path 65002 community 65535:65282"]).tells('I', "nothing")),
        row("1997 §2", "no-export-subconfed", "NO_EXPORT_SUBCONFED does not leave the AS.", among(&["A path 65002 community 65535:65283"]).tells('B', "nothing")),
        row("1997 §3", "passed-on", "Communities are passed on.", among(&["A path 65002 community 65002:7"]).tells('B', "via self path 65001 65002 community 65002:7")),
        row("8092 §3", "passed-on", "So are large ones.", among(&["A path 65002 large-community 65002:7:8"]).tells('B', "via self path 65001 65002 large-community 65002:7:8")),
        row("4360 §6", "transitive", "Transitive extended communities are passed on.", among(&["A path 65002 ext-community 0002fdea00000064"]).tells('B', "via self path 65001 65002 ext-community 0002fdea00000064")),
        row("4360 §6", "non-transitive", "Others stay inside the AS.", among(&["A path 65002 ext-community 4002fdea00000064"]).tells('B', "via self path 65001 65002")),
        row("4456 §6", "client-to-non-client", "What a client sent goes to other internal peers, with who brought it in and our cluster.", among(&["I path 65009"]).configured("I is a client: ", client).tells('J', "via 10.0.1.6 path 65009 pref 100 originator 10.0.0.6 cluster 10.0.0.1")),
        row("4456 §6", "non-client-to-client", "What others sent goes to clients.", among(&["J path 65009"]).configured("I is a client: ", client).tells('I', "via 10.0.1.7 path 65009 pref 100 originator 10.0.0.7 cluster 10.0.0.1")),
        row("4456 §8", "originator-stays", "Whoever brought it in stays so.", among(&["I path 65009 originator 10.0.0.9"]).configured("I is a client: ", client).tells('J', "via 10.0.1.6 path 65009 pref 100 originator 10.0.0.9 cluster 10.0.0.1")),
        row("4456 §8", "cluster-in-front", "Our cluster is put in front of those passed before.", among(&["I path 65009 originator 10.0.0.9 cluster 10.0.0.10"]).configured("I is a client: ", client).tells('J', "via 10.0.1.6 path 65009 pref 100 originator 10.0.0.9 cluster 10.0.0.1 cluster 10.0.0.10")),
        row("4456 §8", "outside", "Nothing of it leaves the AS.", among(&["I path 65009 originator 10.0.0.9 cluster 10.0.0.10"]).configured("I is a client: ", client).tells('B', "via self path 65001 65009")),
        row("4456 §10", "nexthop", "A reflector leaves the nexthop alone.", among(&["I path 65009 via 10.9.9.9"]).configured("I is a client: ", client).tells('J', "via 10.9.9.9 path 65009 pref 100 originator 10.0.0.6 cluster 10.0.0.1")),
        row("9234 §5", "marks-customer", "A path is marked on its way to a customer.", among(&["A path 65002"]).configured("we are provider of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::Provider)).tells('B', "via self path 65001 65002 only-to-customer 65001")),
        row("9234 §5", "marks-peer", "And to a peer.", among(&["A path 65002"]).configured("we are peer of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::Peer)).tells('B', "via self path 65001 65002 only-to-customer 65001")),
        row("9234 §5", "marks-client", "And to a client of our route server.", among(&["A path 65002"]).configured("we are route server of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::RouteServer)).tells('B', "via self path 65001 65002 only-to-customer 65001")),
        row("9234 §5", "stays-marked", "A mark stays as it is.", among(&["A path 65002 only-to-customer 65009"]).configured("we are provider of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::Provider)).tells('B', "via self path 65001 65002 only-to-customer 65009")),
        row("9234 §5", "not-to-provider", "What is marked does not go to a provider", among(&["A path 65002 only-to-customer 65009"]).configured("we are customer of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::Customer)).tells('B', "nothing")),
        row("9234 §5", "not-to-peer", "nor to a peer", among(&["A path 65002 only-to-customer 65009"]).configured("we are peer of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::Peer)).tells('B', "nothing")),
        row("9234 §5", "not-to-route-server", "nor to a route server.", among(&["A path 65002 only-to-customer 65009"]).configured("we are client of B: ", |peer, setup| setup.options.role = (peer == 'B').then_some(Role::RouteServerClient)).tells('B', "nothing")),
        row("9234 §5", "leak-from-customer", "What a customer passes on although it is marked is a leak,", among(&["A path 65002 only-to-customer 65009"]).configured("we are provider of A: ", |peer, setup| setup.options.role = (peer == 'A').then_some(Role::Provider)).best("none: RouteLeak")),
        row("9234 §5", "leak-from-client", "so is what a client of our route server passes on,", among(&["A path 65002 only-to-customer 65009"]).configured("we are route server of A: ", |peer, setup| setup.options.role = (peer == 'A').then_some(Role::RouteServer)).best("none: RouteLeak")),
        row("9234 §5", "leak-from-peer", "and what a peer does, unless it marked it itself.", among(&["A path 65002 only-to-customer 65009"]).configured("we are peer of A: ", |peer, setup| setup.options.role = (peer == 'A').then_some(Role::Peer)).best("none: RouteLeak")),
        row("9234 §5", "from-peer", "What it marked itself is used.", among(&["A path 65002 only-to-customer 65002"]).configured("we are peer of A: ", |peer, setup| setup.options.role = (peer == 'A').then_some(Role::Peer)).best("A by OnlyPath")),
        row("9234 §5", "marks-from-provider", "What a provider did not mark is marked for it.", among(&["A path 65002"]).configured("we are customer of A: ", |peer, setup| setup.options.role = (peer == 'A').then_some(Role::Customer)).tells('B', "via self path 65001 65002 only-to-customer 65002")),
        row("4456 §8", "own-originator", "What we brought in ourselves comes back for nothing.", among(&["I path 65009 originator 10.0.0.1"]).best("none: ReflectionLoop")),
        row("4456 §8", "own-cluster", "So does what has passed our cluster.", among(&["I path 65009 originator 10.0.0.9 cluster 10.0.0.1"]).best("none: ReflectionLoop")),
        row("4456 §9", "originator", "Whoever brought a path in counts instead of who reflected it.", among(&["I path 65009 originator 10.0.0.99", "J path 65009"]).best("J by RouterId")),
        row("4456 §9", "cluster-list", "Then the shorter way through clusters wins.", among(&["I path 65009 originator 10.0.0.9 cluster 10.0.0.10 10.0.0.11", "J path 65009 originator 10.0.0.9 cluster 10.0.0.12"]).best("J by ClusterList")),
        row("8326 §5", "going", "A path that is about to go is the last that is chosen.", among(&["A path 65002 community 65535:0", "B path 65003 7 8 9"]).best("B by LocalPref")),
        row("9494 §4.3", "last-resort", "A path that is stale for long loses to any other.", among(&["A path 65002 community 65535:6", "B path 65003 7 8 9"]).best("B by LongLivedStale")),
        row("9494 §4.3", "better-than-none", "It is better than none.", among(&["A path 65002 community 65535:6"]).best("A by OnlyPath")),
        row("9494 §4.3", "stale", "A path that is stale for long goes only to those who know the word.", among(&["A path 65002 community 65535:6"]).tells('B', "nothing")),
        row("8212 §2.1", "import", "Without an import filter nothing is used.", among(&["A path 65002"]).configured("no import filter: ", |_, setup| setup.import = Filter::reject_all()).best("none: Filtered")),
        row("8212 §2.2", "export", "Without an export filter nothing is told.", among(&["A path 65002"]).configured("no export filter: ", |_, setup| setup.export = Filter::reject_all()).tells('B', "nothing")),
    ]
}

pub(crate) fn client(peer: char, setup: &mut Setup) {
    if peer == 'I' {
        setup.options.reflection = ReflectionRole::Client;
    }
}

fn via_b(_: char, setup: &mut Setup) {
    setup.export = Filter::compile(vec![Rule {
        matches: Match::default(),
        action: Action::Accept,
        set: Set {
            nexthop: Some(Nexthop::Address([10, 0, 1, 3].into())),
            ..Set::default()
        },
    }]);
}
