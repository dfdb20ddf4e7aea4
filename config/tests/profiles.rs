//! What a profile fills in, refuses and warns of; and `docs/providers.md`, which is made of the profiles:
//! `UPDATE_DOCS=1 cargo test -p config --test profiles`.

use std::fmt::Write as _;
use std::time::Duration;

use config::model::{Distance, Family, Knob, Peer};
use config::profile::{
    Caller, Ceiling, Counted, HoldTime, PROFILES, Profile, ProviderAsn, Reach, Restart, Support,
    named,
};
use config::{Config, Severity, load};

const HEAD: &str = "[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n\
                    [[filter.f]]\nprefix = [\"10.0.0.0/8 le 24\"]\naction = \"accept\"\n";

/// A link to a service, carried by the first thing that it may be carried by.
fn link(profile: &str, link: &str, bgp: &str) -> String {
    let carriers = named(profile).expect("a profile").carriers;
    let carrier = match carriers.first() {
        Some(&"ipsec") => "ipsec = { remote = \"198.51.100.1\", psk = { file = \"p\" } }",
        Some(&"gre") => "gre = { local = \"10.0.0.4\", remote = \"10.0.1.9\" }",
        Some(&"vlan") => "vlan = { parent = \"eth1\", id = 100 }",
        _ => "interface = \"eth1\"",
    };
    format!(
        "[link.a]\nprofile = \"{profile}\"\n{carrier}\n{link}\n\
         inside = {{ local = \"169.254.21.2/29\", remote = \"169.254.21.1\" }}\n\
         [link.a.bgp]\nimport = \"f\"\nexport = \"f\"\n{bgp}\n"
    )
}

fn peer(profile: &str, terms: &str) -> String {
    format!(
        "[peer.p]\nprofile = \"{profile}\"\naddress = \"10.9.0.2\"\nimport = \"f\"\nexport = \"f\"\n{terms}\n"
    )
}

/// Rules with whether they are errors, and all that was said.
fn said(body: &str) -> (Vec<(&'static str, bool)>, String) {
    let findings = match load(&format!("{HEAD}{body}"), "t") {
        Ok(loaded) => loaded.warnings.findings().to_vec(),
        Err(report) => report.findings().to_vec(),
    };
    let rules = findings
        .iter()
        .map(|finding| (finding.rule, finding.severity == Severity::Error));
    let text = findings.iter().map(|finding| format!("{finding}\n"));
    (rules.collect(), text.collect())
}

fn legal(body: &str) -> Config {
    let loaded = load(&format!("{HEAD}{body}"), "t");
    loaded.expect("it is legal").config
}

/// What every service needs said that has no default for it.
fn needed(profile: &Profile) -> &'static str {
    match (profile.bgp.asn, profile.bgp.md5) {
        (ProviderAsn::Chosen, _) => "asn = 64512",
        (_, Support::Required) => "md5 = { file = \"k\" }",
        (_, _) => "",
    }
}

#[test]
fn every_service_needs_little_said() {
    for profile in PROFILES {
        let bgp = needed(profile);
        let body = match profile.carriers {
            [] => peer(profile.name, bgp),
            _ => link(profile.name, "", bgp),
        };
        let expected: &[(&str, bool)] = match profile.bgp.sessions {
            1 => &[],
            _ => &[("no-second-neighbour", false)],
        };
        let (rules, text) = said(&body);
        assert_eq!(rules, expected, "{}\n{text}", profile.name);
    }
}

#[test]
fn a_profile_fills_in_what_the_file_leaves_out() {
    let hold = |peer: &Peer| peer.hold_time.as_secs();
    for (profile, asn, hold_time, distance, limits) in [
        (
            "aws-vpn-vgw",
            64_512,
            30,
            Distance::Connected,
            (Some(100), None),
        ),
        (
            "aws-vpn-tgw",
            64_512,
            30,
            Distance::Connected,
            (Some(1000), Some(1000)),
        ),
        (
            "aws-tgw-connect",
            64_512,
            30,
            Distance::Multihop(2),
            (Some(1000), Some(1000)),
        ),
        (
            "aws-dx",
            64_512,
            90,
            Distance::Connected,
            (Some(100), Some(100)),
        ),
        (
            "oci-vpn",
            31_898,
            30,
            Distance::Connected,
            (Some(2000), Some(2000)),
        ),
        (
            "oci-fastconnect",
            31_898,
            30,
            Distance::Connected,
            (Some(2000), Some(500)),
        ),
        (
            "azure-er-private",
            12_076,
            180,
            Distance::Connected,
            (Some(4000), Some(100)),
        ),
        (
            "azure-vpn",
            65_515,
            180,
            Distance::Connected,
            (Some(4000), Some(4000)),
        ),
        (
            "gcp-ha-vpn",
            64_512,
            60,
            Distance::Connected,
            (Some(5000), Some(5000)),
        ),
        (
            "gcp-interconnect",
            64_512,
            60,
            Distance::Multihop(3),
            (Some(5000), Some(5000)),
        ),
    ] {
        let known = named(profile).expect("a profile");
        let peer = &legal(&link(profile, "", needed(known))).peers["a"];
        assert_eq!((peer.asn, hold(peer)), (asn, hold_time), "{profile}");
        assert_eq!(peer.distance, distance, "{profile}");
        let out = peer.prefix_limit_out;
        assert_eq!((out.ipv4, out.ipv6), limits, "{profile}");
        assert_eq!(peer.profile, Some(profile));
    }
    let server = &legal(&peer("azure-route-server", "")).peers["p"];
    assert_eq!((server.asn, hold(server)), (65_515, 180));
    assert_eq!(server.distance, Distance::Multihop(255));
    assert_eq!(server.prefix_limit_out.ipv4, Some(2000), "it counts twice");
    assert_eq!(server.families, [Family::Ipv4].into());
    let plain = "[peer.p]\naddress = \"10.9.0.2\"\nasn = 64512\n";
    assert_eq!(legal(plain).peers["p"].hold_time, Duration::from_secs(90));
}

#[test]
fn the_file_may_override_what_is_only_a_default() {
    let peer = |profile, terms| legal(&link(profile, "", terms)).peers["a"].clone();
    let vgw = peer(
        "aws-vpn-vgw",
        "asn = 64600\nhold-time = \"9s\"\nprefix-limit-out = { ipv4 = 90 }\ngraceful-restart = false",
    );
    assert_eq!((vgw.asn, vgw.hold_time.as_secs()), (64_600, 9));
    assert_eq!(vgw.prefix_limit_out.ipv4, Some(90));
    assert_eq!(vgw.graceful_restart, None);
    let connect = peer(
        "aws-tgw-connect",
        "prefix-limit-out = { ipv4 = 10 }\nmultihop = 5",
    );
    let out = connect.prefix_limit_out;
    assert_eq!(
        (out.ipv4, out.ipv6),
        (Some(10), Some(1000)),
        "the other family keeps its own"
    );
    assert_eq!(connect.distance, Distance::Multihop(5));
    let google = peer("gcp-interconnect", "asn = 16550\nmultihop = false");
    assert_eq!(google.distance, Distance::Connected);
}

#[test]
fn a_second_peer_of_a_link_is_of_the_same_service() {
    let second =
        "[peer.b]\nlink = \"a\"\naddress = \"169.254.21.3\"\nimport = \"f\"\nexport = \"f\"\n";
    let body = format!("{}{second}", link("aws-tgw-connect", "", ""));
    let config = legal(&body);
    assert_eq!(config.peers["b"].distance, Distance::Multihop(2));
    assert_eq!(config.peers["b"].profile, Some("aws-tgw-connect"));
    assert_eq!(
        said(&body),
        (Vec::new(), String::new()),
        "both neighbours are there"
    );
}

#[test]
fn azure_beyond_the_tunnel_is_several_hops_away_and_calls() {
    let inside = "inside = { local = \"10.1.2.1/30\", remote = \"10.1.2.2\" }";
    let body = link("azure-vpn", "", "passive = true").replace(
        "inside = { local = \"169.254.21.2/29\", remote = \"169.254.21.1\" }",
        inside,
    );
    assert_eq!(legal(&body).peers["a"].distance, Distance::Multihop(255));
    assert_eq!(said(&body).0, []);
}

#[test]
fn bfd_takes_the_pace_and_the_place_of_the_service() {
    let config = legal(&link("gcp-interconnect", "bfd = {}", "asn = 64512"));
    let bfd = config.links["a"].bfd.as_ref().expect("bfd");
    assert_eq!((bfd.interval, bfd.multiplier), (Duration::from_secs(1), 5));
    let key = "md5 = { file = \"k\" }";
    let with = |bfd: &str| legal(&link("aws-dx", bfd, key)).peers["a"].graceful_restart;
    assert_eq!(
        with("bfd = {}"),
        None,
        "Direct Connect wants one of the two"
    );
    assert!(with("").is_some());
}

#[test]
fn what_a_service_refuses_is_an_error_and_what_nobody_knows_a_warning() {
    let key = "md5 = { file = \"k\" }\n";
    for (profile, of_link, terms, rule, is_error) in [
        (
            "azure-vpn",
            "",
            "hold-time = \"30s\"".to_owned(),
            "timers.azure-fixed",
            true,
        ),
        (
            "azure-vpn",
            "",
            "hold-time = \"179s\"".to_owned(),
            "timers.azure-fixed",
            true,
        ),
        (
            "oci-fastconnect",
            "",
            "hold-time = \"15s\"".to_owned(),
            "timer.hold",
            true,
        ),
        (
            "aws-dx",
            "",
            format!("{key}multihop = 2"),
            "ttl1.violated",
            true,
        ),
        (
            "aws-dx",
            "",
            format!("{key}ttl-security = true"),
            "ttl1.violated",
            true,
        ),
        ("aws-dx", "", String::new(), "md5.missing", true),
        (
            "aws-dx",
            "bfd = {}",
            format!("{key}graceful-restart = true"),
            "gr.with-bfd",
            false,
        ),
        (
            "aws-dx",
            "bfd = { interval = \"100ms\" }",
            key.to_owned(),
            "bfd.interval",
            false,
        ),
        (
            "aws-dx",
            "",
            format!("{key}prefix-limit-out = {{ ipv4 = 101 }}"),
            "limit.prefixes",
            true,
        ),
        (
            "azure-er-private",
            "",
            "prefix-limit-out = { ipv4 = 9000 }".to_owned(),
            "limit.prefixes",
            false,
        ),
        ("oci-vpn", "", key.to_owned(), "md5.unsupported", true),
        ("aws-vpn-tgw", "", key.to_owned(), "md5.unsupported", false),
        (
            "azure-vpn",
            "bfd = {}",
            String::new(),
            "bfd.unsupported",
            true,
        ),
        (
            "gcp-ha-vpn",
            "bfd = {}",
            "asn = 64512".to_owned(),
            "bfd.unsupported",
            true,
        ),
        (
            "oci-vpn",
            "bfd = {}",
            String::new(),
            "bfd.unsupported",
            false,
        ),
        (
            "azure-vpn",
            "",
            "passive = true".to_owned(),
            "profile.passive",
            true,
        ),
        (
            "aws-vpn-vgw",
            "",
            "families = [\"ipv4\", \"ipv6\"]".to_owned(),
            "families.unsupported",
            true,
        ),
        (
            "oci-vpn",
            "",
            "local-as = 65534".to_owned(),
            "asn.reserved",
            true,
        ),
    ] {
        let (rules, text) = said(&link(profile, of_link, &terms));
        assert_eq!(
            rules,
            [(rule, is_error)],
            "{profile} {of_link} {terms}\n{text}"
        );
    }
    for (profile, terms, expected) in [
        (
            "aws-vpc-route-server",
            "asn = 64512\npassive = true",
            &[("profile.passive", true)][..],
        ),
        (
            "azure-route-server",
            "multihop = false",
            &[("no-second-neighbour", false), ("multihop.missing", true)],
        ),
        (
            "azure-route-server",
            "asn = 64512",
            &[("no-second-neighbour", false), ("asn.provider", true)],
        ),
        (
            "azure-route-server",
            "prefix-limit-out = { ipv4 = 3000 }",
            &[("no-second-neighbour", false), ("limit.prefixes", false)],
        ),
        (
            "azure-route-server",
            "local-as = 4200000000",
            &[("no-second-neighbour", false), ("asn.reserved", true)],
        ),
    ] {
        let (rules, text) = said(&peer(profile, terms));
        assert_eq!(rules, expected, "{profile} {terms}\n{text}");
    }
}

#[test]
fn the_way_back_is_told_by_what_the_service_honours() {
    let grouped = |profile: &str, way_back: &str| {
        let profile = named(profile).expect("a profile");
        let keys = format!("group = \"g\"\n{way_back}");
        let body = link(profile.name, &keys, needed(profile));
        legal(&body).peers["a"].way_back
    };
    let communities = Knob::Communities([(7224, 7300), (7224, 7200), (7224, 7100)]);
    for (profile, way_back, knob) in [
        ("aws-vpn-vgw", "", Some(Knob::Prepend)),
        ("aws-dx", "", Some(communities)),
        ("aws-dx", "way-back = \"prepend\"", Some(Knob::Prepend)),
        ("aws-dx", "way-back = \"communities\"", Some(communities)),
        ("oci-vpn", "", Some(Knob::Prepend)),
        ("azure-vpn", "", Some(Knob::Prepend)),
        ("azure-vpn", "way-back = \"off\"", None),
        ("gcp-ha-vpn", "way-back = \"auto\"", Some(Knob::Med)),
    ] {
        assert_eq!(grouped(profile, way_back), knob, "{profile} {way_back}");
    }
    let plain = "[link.a]\ninterface = \"eth1\"\ninside = { local = \"10.1.0.1/30\", remote = \"10.1.0.2\" }\n\
                 bgp = { asn = 64512 }\n[peer.p]\naddress = \"10.9.0.2\"\nasn = 64513\n";
    let config = legal(plain);
    assert_eq!(config.peers["a"].way_back, Some(Knob::Med));
    assert_eq!(config.peers["p"].way_back, None, "it is on no link");
}

#[test]
fn a_way_back_that_nobody_hears_is_said() {
    for (profile, keys, rule, is_error) in [
        (
            "oci-vpn",
            "group = \"g\"\nway-back = \"communities\"",
            "way-back.communities",
            true,
        ),
        (
            "oci-vpn",
            "group = \"g\"\nway-back = \"med\"",
            "way-back.unheard",
            false,
        ),
        (
            "oci-vpn",
            "way-back = \"prepend\"",
            "way-back.unheard",
            false,
        ),
        (
            "oci-vpn",
            "group = \"g\"\nway-back = \"meds\"",
            "value.unknown",
            true,
        ),
    ] {
        let (rules, text) = said(&link(profile, keys, ""));
        assert_eq!(rules, [(rule, is_error)], "{keys}\n{text}");
    }
}

/// An example that is copied a lot: an AS of Microsoft's own, and timers that flap.
#[test]
fn the_usual_mistakes_toward_azure_are_all_found() {
    let body = link(
        "azure-vpn",
        "",
        "asn = 65540\nhold-time = \"30s\"\nlocal-as = 65550",
    );
    let (rules, text) = said(&body);
    let expected = [
        ("asn.reserved", false),
        ("timers.azure-fixed", true),
        ("asn.reserved", true),
    ];
    assert_eq!(rules, expected, "{text}");
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/providers.md");
const BEGIN: &str =
    "<!-- made from config/src/profile: UPDATE_DOCS=1 cargo test -p config --test profiles -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_document_says_what_the_profiles_say() {
    let found = std::fs::read_to_string(FILE).expect("docs/providers.md");
    let (before, rest) = found.split_once(BEGIN).expect("where the tables begin");
    let (_, after) = rest.split_once(END).expect("where they end");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &wanted).expect("the tree can be written");
    }
    assert!(
        found == wanted,
        "docs/providers.md is not what the profiles say; run UPDATE_DOCS=1 cargo test -p config --test profiles"
    );
}

fn tables() -> String {
    let mut text = String::from("| `profile` | Service | Carried by |\n|---|---|---|\n");
    for profile in PROFILES {
        let own = profile.carriers.iter().map(|key| format!("`{key}`, "));
        let carriers: String = own.collect();
        let by = format!("{carriers}`interface`");
        let _ = writeln!(text, "| `{}` | {} | {by} |", profile.name, profile.service);
    }
    text += "\n| `profile` | Its AS | Not our AS | Keepalive, hold | TTL | Calls | MD5 | BFD | Graceful restart | Families |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|\n";
    for profile in PROFILES {
        let _ = writeln!(
            text,
            "| `{}` | {} |",
            profile.name,
            session(profile).join(" | ")
        );
    }
    text += "\n| `profile` | Takes of IPv4 | of IPv6 | We send at most | More | Way back |\n|---|---|---|---|---|---|\n";
    for profile in PROFILES {
        let _ = writeln!(
            text,
            "| `{}` | {} |",
            profile.name,
            limits(profile).join(" | ")
        );
    }
    text
}

fn session(profile: &Profile) -> Vec<String> {
    let bgp = &profile.bgp;
    let families: Vec<&str> = bgp
        .families
        .iter()
        .map(|family| match family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
        .collect();
    vec![
        match bgp.asn {
            ProviderAsn::Chosen => "as chosen".to_owned(),
            ProviderAsn::Usual(asn) => format!("{asn}"),
            ProviderAsn::Fixed(asn) => format!("{asn}, always"),
        },
        not_ours(bgp.not_ours),
        match bgp.hold_time {
            HoldTime::Unknown => "not known; 30, 90".to_owned(),
            HoldTime::Agreed { usual, least: None } => format!("{}, {usual}", usual / 3),
            HoldTime::Agreed {
                usual,
                least: Some(least),
            } => format!("{}, {usual}; at least {least}", usual / 3),
            HoldTime::Fixed(hold) => format!("{}, {hold}, **fixed**", hold / 3),
        },
        match bgp.reach {
            Reach::OneHop => "1".to_owned(),
            Reach::TtlOfOne => "exactly 1".to_owned(),
            Reach::UsuallyMultihop(ttl) => format!("{ttl}"),
            Reach::Multihop { least, usual } if least == usual => format!("{usual} or more"),
            Reach::Multihop { least, usual } => format!("{usual}, at least {least}"),
            Reach::MultihopUnlessLinkLocal(ttl) => format!("{ttl}; 1 in 169.254.0.0/16"),
        },
        match bgp.caller {
            Caller::Either => "either",
            Caller::We => "we",
            Caller::WeIfLinkLocal => "either; in 169.254.0.0/16 we",
        }
        .to_owned(),
        support(bgp.md5).to_owned(),
        match bgp.bfd.support {
            Support::Optional | Support::Required => {
                let millis = bgp.bfd.interval.as_millis();
                format!("optional, {millis} ms × {}", bgp.bfd.multiplier)
            }
            Support::No | Support::Unknown => support(bgp.bfd.support).to_owned(),
        },
        match bgp.graceful_restart {
            Restart::Unknown => "not known; offered",
            Restart::Yes => "yes",
            Restart::UnlessBfd => "yes, not beside BFD",
        }
        .to_owned(),
        families.join(", "),
    ]
}

fn not_ours(ranges: &[std::ops::RangeInclusive<u32>]) -> String {
    if ranges.is_empty() {
        return "–".to_owned();
    }
    let spell = |range: &std::ops::RangeInclusive<u32>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, &u32::MAX) => format!("{first} and above"),
        (first, last) => format!("{first} to {last}"),
    };
    let spelled: Vec<String> = ranges.iter().map(spell).collect();
    spelled.join(", ")
}

fn support(support: Support) -> &'static str {
    match support {
        Support::Unknown => "not known",
        Support::No => "**no**",
        Support::Optional => "optional",
        Support::Required => "**required**",
    }
}

fn limits(profile: &Profile) -> Vec<String> {
    let accepts = &profile.bgp.accepts;
    let count =
        |count: Option<u32>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let (ipv4, ipv6) = accepts.usual();
    let usual: Vec<String> = [ipv4, ipv6]
        .into_iter()
        .flatten()
        .map(|it| it.to_string())
        .collect();
    let most = match usual.as_slice() {
        [] => "no limit".to_owned(),
        [ipv4, ipv6] if ipv4 == ipv6 => ipv4.clone(),
        some => some.join(" and "),
    };
    let honours: Vec<&str> = profile.bgp.honours.iter().map(|knob| knob.word()).collect();
    let mut notes = vec![accepts.beyond];
    if accepts.ceiling == Ceiling::Raisable && accepts.ipv4.is_some() {
        notes.push("can be raised");
    }
    if accepts.counted == Counted::Again {
        notes.push("what is announced again counts twice");
    }
    vec![
        count(accepts.ipv4),
        count(accepts.ipv6),
        most,
        notes.join("; "),
        honours.join(", "),
    ]
}
