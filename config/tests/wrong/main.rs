//! Wrong files, each with everything that shall be said about it.

mod filters;
mod links;

use config::{Finding, Severity, load};

/// What a file needs so that nothing is said about the rest of it. Six lines.
const HEAD: &str = "\
[router]
name = \"r\"
asn = 65010
id = \"10.0.0.1\"
[originate]
prefixes = [\"10.10.0.0/16\"]
";

const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// A file after `HEAD`, and its findings: rule, line after `HEAD`, column, part of message or fix.
type Case = (
    &'static str,
    &'static [(&'static str, usize, usize, &'static str)],
);

fn findings(text: &str) -> Vec<Finding> {
    match load(text, "t.toml") {
        Ok(loaded) => loaded.warnings.findings().to_vec(),
        Err(report) => report.findings().to_vec(),
    }
}

fn assert_cases(cases: &[Case]) {
    for (body, expected) in cases {
        let body = body.replace("KEY", KEY);
        let found = findings(&format!("{HEAD}{body}"));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "in\n{body}\nfound {shown:#?}");
        for (finding, (rule, line, column, part)) in found.iter().zip(*expected) {
            assert_eq!(finding.rule, *rule, "in\n{body}\nfound {shown:#?}");
            let place = (finding.line.saturating_sub(6), finding.column);
            assert_eq!(place, (*line, *column), "in\n{body}\nfound {shown:#?}");
            let said = format!("{} {}", finding.message, finding.fix);
            assert!(said.contains(part), "in\n{body}\n{said:?} lacks {part:?}");
        }
    }
}

#[test]
fn keys_and_sections_that_are_not_known_are_named_with_the_nearest() {
    assert_cases(&[
        (
            "[fib]\ninstal = true\n",
            &[("key.unknown", 2, 1, "did you mean `install`?")],
        ),
        (
            "[lnk.a]\n",
            &[("key.unknown", 1, 2, "there is no section `lnk`")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\nvxlan = { id = 5 }\ninterface = \"eth1\"\n",
            &[(
                "key.unknown",
                3,
                1,
                "known here: `bfd`, `bgp`, `cost`, `drain`, `gre`, `group`, `inside`, `interface`, `ipsec`, `priority`, `probe`, `profile`, `vlan`, `way-back`, `weight`, `wireguard`",
            )],
        ),
        (
            "[group.g]\npolicy = \"fastest\"\n",
            &[
                ("group.unused", 1, 8, "no link is in group `g`"),
                ("value.unknown", 2, 10, "known: \"priority\""),
            ],
        ),
    ]);
}

#[test]
fn values_of_the_wrong_kind_say_what_they_are_and_what_they_should_be() {
    assert_cases(&[
        (
            "[fib]\ninstall = \"yes\"\n",
            &[("value.type", 2, 11, "a string, not true or false")],
        ),
        ("[fib]\ntable = 255\n", &[("fib.table", 2, 9, "use 254")]),
        (
            "[fib]\ntable = 4294967296\n",
            &[("value.range", 2, 9, "1 to 4294967295")],
        ),
        (
            "[fib]\nmetric = 99999999999999999999999\n",
            &[("value.range", 2, 10, "1 to 4294967294")],
        ),
        ("fib = 5\n", &[("key.unknown", 1, 1, "originate")]),
        (
            "[metrics]\nlisten = \"0.0.0.0:9179\"\n",
            &[("metrics.public", 2, 10, "127.0.0.1:9179")],
        ),
        (
            "[metrics]\nlisten = \"nine\"\n",
            &[("value.socket", 2, 10, "or \"off\"")],
        ),
        (
            "[api]\nsocket = \"s.sock\"\n",
            &[("value.path", 2, 10, "absolute")],
        ),
        (
            "[log]\nlevel = \"verbose\"\n",
            &[("log.level", 2, 9, "info,bgp=debug")],
        ),
        (
            "[log]\nlevel = \"info,bgp=loud\"\nformat = \"jsn\"\n",
            &[
                ("log.level", 2, 9, "bgp=loud"),
                ("value.unknown", 3, 10, "did you mean \"json\"?"),
            ],
        ),
        (
            "[filter.f]\naction = \"accept\"\n",
            &[
                ("value.type", 1, 9, "[[filter.f]]"),
                ("filter.unused", 1, 9, "no peer uses"),
            ],
        ),
    ]);
}

/// What follows `link` in each case is found as it says.
fn assert_found(link: &str, cases: &[Case]) {
    for (body, expected) in cases {
        let found = findings(&format!("{HEAD}{link}{body}"));
        let places: Vec<_> = found
            .iter()
            .map(|f| (f.rule, f.line - 6, f.column))
            .collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|(rule, line, column, _)| (*rule, *line, *column))
            .collect();
        assert_eq!(places, wanted, "in\n{body}\nfound {found:#?}");
        for (finding, (.., part)) in found.iter().zip(*expected) {
            let said = format!("{} {}", finding.message, finding.fix);
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_probe_that_cannot_measure_is_refused() {
    let link = "[link.a]\ninterface = \"eth1\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n";
    let cases: [Case; 5] = [
        (
            "probe = { method = \"tcp\" }\nbgp = { asn = 65020, import = \"f\", export = \"f\" }\n\
             [[filter.f]]\naction = \"accept\"\n",
            &[
                ("probe.port", 4, 20, "say method = \"bgp\""),
                ("leak.transit", 6, 1, "list what may leave"),
            ],
        ),
        (
            "probe = { method = \"tcps\" }\n",
            &[("value.unknown", 4, 20, "did you mean \"tcp\"?")],
        ),
        (
            "probe = { method = \"tcp\", port = 0 }\n",
            &[("value.range", 4, 34, "from 1 to 65535")],
        ),
        (
            "probe = { port = 80 }\n",
            &[("probe.port", 4, 11, "say method = \"tcp\"")],
        ),
        (
            "probe = { method = \"bgp\" }\n",
            &[("probe.method", 4, 20, "add bgp = { … }")],
        ),
    ];
    assert_found(link, &cases);
}

#[test]
fn durations_and_percentages_need_their_units() {
    let link = "[link.a]\ninterface = \"eth1\"\ngroup = \"g\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n";
    let cases: [Case; 10] = [
        (
            "probe.interval = 100\n",
            &[("value.type", 5, 18, "100 of what?")],
        ),
        (
            "probe.interval = \"1x\"\n",
            &[("value.duration", 5, 18, "not a duration")],
        ),
        (
            "probe.interval = \"1ms\"\n",
            &[("value.range", 5, 18, "from 10ms to 1m")],
        ),
        (
            "probe.interval = \"2s\"\n",
            &[("probe.window", 5, 1, "at least 20s")],
        ),
        (
            "probe.interval = \"10ms\"\nprobe.window = \"1h\"\n",
            &[("probe.window", 6, 16, "360000 probes")],
        ),
        (
            "probe.timeout = \"11s\"\n",
            &[("probe.timeout", 5, 17, "at most 10s")],
        ),
        (
            "[group.g]\nslo = { loss = 0.5 }\n",
            &[("value.type", 6, 16, "\"0.5%\"")],
        ),
        (
            "[group.g]\nslo = { rtt = \"1s\", loss = \"101%\" }\n",
            &[
                ("slo.rtt", 6, 15, "never exceed 1s"),
                ("value.percent", 6, 28, "0% to 100%"),
            ],
        ),
        (
            "[group.g]\nslo = { rtt = \"30ms\", rtt-leave = \"31ms\", loss-leave = \"1%\" }\n",
            &[
                ("slo.leave", 6, 35, "no more than `rtt`"),
                ("slo.leave", 6, 56, "of no use without `loss`"),
            ],
        ),
        (
            "[group.g]\nhold-down = \"1s5m\"\n",
            &[("value.duration", 6, 13, "1s5m")],
        ),
    ];
    assert_found(link, &cases);
}

#[test]
fn peers_need_real_as_numbers_addresses_and_filters() {
    let filter = "[[filter.f]]\nprefix = [\"10.10.0.0/16\"]\naction = \"accept\"\n";
    let peer = |extra: &str| {
        format!(
            "{filter}[peer.p]\naddress = \"192.0.2.1\"\nasn = 64512\nimport = \"f\"\nexport = \"f\"\n{extra}"
        )
    };
    let one = |text: String| {
        let found = findings(&format!("{HEAD}{text}"));
        assert_eq!(found.len(), 1, "in\n{text}\nfound {found:#?}");
        (
            found[0].rule,
            found[0].line - 6,
            found[0].column,
            found[0].severity,
        )
    };
    for asn in ["0", "23456", "65535", "4294967295"] {
        let text = peer("").replace("64512", asn);
        assert_eq!(one(text), ("asn.reserved", 6, 7, Severity::Error));
    }
    for asn in ["64496", "64511", "65536", "65551"] {
        let text = peer("").replace("64512", asn);
        assert_eq!(one(text), ("asn.reserved", 6, 7, Severity::Warning));
    }
    assert_eq!(
        one(peer("hold-time = \"2s\"\n")),
        ("timer.hold", 9, 13, Severity::Error)
    );
    assert_eq!(
        one(peer("hold-time = \"0s\"\n")),
        ("timer.hold", 9, 13, Severity::Warning)
    );
    assert_eq!(
        one(peer("local-address = \"::1\"\n")),
        ("peer.address", 9, 17, Severity::Error)
    );
    assert_eq!(
        one(peer("link = \"nope\"\n")),
        ("link.unknown", 9, 8, Severity::Error)
    );
    assert_eq!(
        one(peer("port = 0\n")),
        ("value.range", 9, 8, Severity::Error)
    );
    assert_eq!(
        one(peer("").replace("import = \"f\"\n", "")),
        ("filter.missing", 4, 7, Severity::Warning)
    );
    assert_eq!(
        one(peer("").replace("import = \"f\"", "import = \"ff\"")),
        ("filter.unknown", 7, 10, Severity::Error)
    );
    let second = "[peer.q]\naddress = \"192.0.2.1\"\nasn = 64513\nimport = \"f\"\nexport = \"f\"\n";
    assert_eq!(
        one(peer(second)),
        ("peer.duplicate", 10, 11, Severity::Error)
    );
}

#[test]
fn a_peer_may_not_have_the_name_of_a_link_that_is_a_peer_itself() {
    assert_cases(&[(
        "[link.a]\ninterface = \"eth1\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
         bgp = { asn = 64512, import = \"f\", export = \"f\" }\n\
         [peer.a]\naddress = \"192.0.2.1\"\nasn = 64512\nimport = \"f\"\nexport = \"f\"\n\
         [[filter.f]]\nprefix = [\"10.10.0.0/16\"]\naction = \"accept\"\n",
        &[("peer.name", 5, 7, "link `a` has `bgp`")],
    )]);
}

#[test]
fn originated_prefixes_have_no_host_bits_and_do_not_overlap() {
    let load_prefixes = |prefixes: &str| {
        let text = HEAD.replace("[\"10.10.0.0/16\"]", prefixes);
        findings(&text)
            .iter()
            .map(|f| (f.rule, f.line, f.column, f.fix.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        load_prefixes("[\"10.10.0.1/16\"]"),
        [(
            "prefix.host-bits",
            6,
            13,
            "write \"10.10.0.0/16\"".to_owned()
        )]
    );
    let overlap = load_prefixes("[\"10.10.0.0/16\", \"10.10.5.0/24\"]");
    assert_eq!(
        overlap.iter().map(|f| (f.0, f.1, f.2)).collect::<Vec<_>>(),
        [("originate.overlap", 6, 29)]
    );
}

#[test]
fn an_aggregate_that_covers_a_far_peer_or_the_end_of_a_tunnel_wants_a_decision() {
    let far = "[peer.p]\naddress = \"10.20.0.4\"\nasn = 65020\nmultihop = 2\n";
    let near = "[peer.p]\naddress = \"10.20.0.4\"\nasn = 65020\n";
    let tunnel = "[link.a]\n\
        inside = { local = \"169.254.0.1/30\", remote = \"169.254.0.2\" }\n\
        gre = { local = \"192.0.2.1\", remote = \"10.20.0.9\" }\n";
    for (other, expected) in [
        (far, Some("10.20.0.4, where peer \"p\" is,")),
        (near, None),
        (
            tunnel,
            Some("10.20.0.9, where the far end of link \"a\" is,"),
        ),
    ] {
        let body = format!("{HEAD}{other}[[aggregate]]\nprefix = \"10.20.0.0/16\"\n");
        let found = findings(&body);
        let mut found = found.iter().filter(|it| it.rule == "aggregate.discard");
        let message = found.next().map(|it| it.message.as_str());
        assert_eq!(message.is_some(), expected.is_some(), "in\n{body}");
        let said = message.zip(expected);
        assert!(said.is_none_or(|(message, part)| message.starts_with(part)));
    }
}

#[test]
fn an_aggregate_of_what_is_originated_wants_a_decision() {
    assert_cases(&[
        (
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\n",
            &[(
                "aggregate.discard",
                1,
                1,
                "`discard = true` if more than a default route leads to 10.10.0.0/16",
            )],
        ),
        (
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\ndiscard = true\n",
            &[],
        ),
        (
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\ndiscard = false\n",
            &[],
        ),
        ("[[aggregate]]\nprefix = \"10.10.0.0/16\"\n", &[]),
        ("[[aggregate]]\nprefix = \"10.10.1.0/24\"\n", &[]),
        (
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\n[fib]\ninstall = false\n",
            &[],
        ),
        (
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\ndiscard = 1\n",
            &[("value.type", 3, 11, "true or false")],
        ),
        (
            "[fib]\nmetric = 4294967295\n",
            &[("value.range", 2, 10, "4294967294")],
        ),
    ]);
}

#[test]
fn a_link_local_peer_is_on_an_interface() {
    let peer = "[peer.a]\naddress = \"fe80::2\"\nasn = 64512\n";
    let found = findings(&format!("{HEAD}{peer}"));
    let rules: Vec<_> = found.iter().map(|found| (found.rule, found.line)).collect();
    assert!(rules.contains(&("peer.scope", 8)), "{rules:?}");
    let scoped = findings(&format!("{HEAD}{peer}interface = \"eth1\"\n"));
    assert!(scoped.iter().all(|found| found.rule != "peer.scope"));
}

#[test]
fn an_empty_file_lacks_its_router() {
    let found = findings("");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].rule, found[0].line, found[0].column),
        ("key.missing", 1, 1)
    );
}

#[test]
fn a_syntax_error_does_not_hide_what_is_wrong_elsewhere() {
    assert_cases(&[(
        "[fib]\ntable = = 5\ninstal = true\n[log]\nlevel = \"verbose\"\n",
        &[
            ("toml.syntax", 2, 9, ""),
            ("key.unknown", 3, 1, "did you mean `install`?"),
            ("log.level", 5, 9, ""),
        ],
    )]);
}

#[test]
fn a_link_that_cannot_be_read_whole_is_still_held_against_the_others() {
    assert_cases(&[(
        "[link.a]\ninterface = \"eth1\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.9\" }\n\
         [link.b]\ninside = { local = \"10.0.0.2/30\", remote = \"10.0.0.1\" }\n\
         bgp = { asn = 64512, import = \"f\", export = \"f\" }\n\
         wireguard = { private-key = {}, listen = 5, peer = { public-key = \"x\" } }\n\
         [[filter.f]]\naction = \"accept\"\n",
        &[
            ("inside.remote", 3, 44, "10.0.0.9 is not in"),
            ("cidr.overlap", 5, 20, "link `a` is in 10.0.0.0/30"),
            ("secret.source", 7, 15, "does not say where"),
            ("wireguard.key", 7, 67, "its length is 1, not 44"),
            ("leak.transit", 8, 1, "to another AS"),
        ],
    )]);
}

#[test]
fn ten_different_mistakes_are_ten_findings() {
    let text = "\
[router]
name = \"r\"
asn = 23456
id = \"0.0.0.0\"
lissten = []
[originate]
prefixes = [\"10.10.0.1/16\", 7]
[link.a]
inside = { local = \"10.0.0.1/30\", remote = \"10.0.0.9\" }
interface = \"eth1\"
bgp = { asn = 64512, import = \"from-as\", export = \"from-aws\" }
probe = { interval = 100 }
[[filter.from-aws]]
prefix = [\"10.1.0.0/16 le 40\"]
action = \"acept\"
[fib]
table = 255
";
    let rules: Vec<_> = findings(text).iter().map(|f| (f.rule, f.line)).collect();
    assert_eq!(
        rules,
        [
            ("asn.reserved", 3),
            ("router.id", 4),
            ("key.unknown", 5),
            ("prefix.host-bits", 7),
            ("value.type", 7),
            ("inside.remote", 9),
            ("filter.unknown", 11),
            ("value.type", 12),
            ("prefix.length", 14),
            ("value.unknown", 15),
            ("fib.table", 17),
        ]
    );
}
