//! Wrong files, each with everything that shall be said about it.

mod filters;

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
fn both_ends_of_a_link_are_different_hosts_of_one_network() {
    let cases = [
        (
            "10.0.0.1/30",
            "10.0.0.6",
            "inside.remote",
            "10.0.0.6 is not in 10.0.0.0/30",
        ),
        (
            "10.0.0.1/30",
            "10.0.0.1",
            "inside.remote",
            "the other end of 10.0.0.1/30 is \"10.0.0.2\"",
        ),
        (
            "10.0.0.1/30",
            "10.0.0.0",
            "inside.remote",
            "network address",
        ),
        (
            "10.0.0.1/30",
            "10.0.0.3",
            "inside.remote",
            "broadcast address",
        ),
        (
            "10.0.0.3/30",
            "10.0.0.1",
            "inside.local",
            "broadcast address",
        ),
        (
            "10.0.0.0/31",
            "10.0.0.2",
            "inside.remote",
            "is \"10.0.0.1\"",
        ),
        (
            "10.0.0.1/32",
            "10.0.0.2",
            "inside.remote",
            "use a network of two, a /31",
        ),
        (
            "10.0.0.1/30",
            "fe80::1",
            "inside.remote",
            "not of one family",
        ),
        (
            "2001:db8::/127",
            "2001:db8::2",
            "inside.remote",
            "is \"2001:db8::1\"",
        ),
        ("10.0.0.1", "10.0.0.2", "value.prefix", "10.0.0.1/30"),
        (
            "10.0.0.1/30",
            "10.0.0.2/30",
            "value.address",
            "without the prefix length",
        ),
        ("10.0.0.1/30", "0.0.0.0", "value.address", "one host"),
    ];
    for (local, remote, rule, part) in cases {
        let text = format!(
            "{HEAD}[link.a]\ninterface = \"eth1\"\ninside = {{ local = \"{local}\", remote = \"{remote}\" }}\n"
        );
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{local} {remote}: {found:#?}");
        let said = format!("{} {}", found[0].message, found[0].fix);
        assert_eq!(found[0].rule, rule, "{local} {remote}: {said}");
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
}

#[test]
fn the_ends_of_a_slash_31_and_127_are_all_usable() {
    for (local, remote) in [
        ("10.0.0.0/31", "10.0.0.1"),
        ("10.0.0.1/31", "10.0.0.0"),
        ("2001:db8::/127", "2001:db8::1"),
    ] {
        let text = format!(
            "{HEAD}[link.a]\ninterface = \"eth1\"\ninside = {{ local = \"{local}\", remote = \"{remote}\" }}\n"
        );
        assert_eq!(findings(&text), []);
    }
}

#[test]
fn links_share_neither_networks_nor_interfaces_nor_ports() {
    let wireguard = |name: &str, net: u8, port: u16| {
        format!(
            "[link.{name}]\ninside = {{ local = \"10.0.{net}.1/30\", remote = \"10.0.{net}.2\" }}\n\
             wireguard = {{ private-key = {{ env = \"K\" }}, listen = {port}, peer = {{ public-key = \"{KEY}\" }} }}\n"
        )
    };
    let text = format!(
        "{HEAD}{}{}{}",
        wireguard("azure-west-1", 1, 51820),
        wireguard("azure-west-12", 2, 51820),
        wireguard("azure-west-13", 2, 51821),
    );
    let rules: Vec<_> = findings(&text)
        .iter()
        .map(|f| (f.rule, f.line - 6, f.column))
        .collect();
    assert_eq!(
        rules,
        [
            ("interface.taken", 4, 7),
            ("listen.taken", 6, 53),
            ("interface.taken", 7, 7),
            ("cidr.overlap", 8, 20),
        ]
    );
}

#[test]
fn a_link_is_carried_by_exactly_one_thing() {
    assert_cases(&[
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n",
            &[("link.carrier", 1, 7, "nothing carries this link")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\ninterface = \"eth1\"\n\
             wireguard = { private-key = { env = \"K\" }, listen = 1, peer = { public-key = \"KEY\" } }\n",
            &[("link.carrier", 3, 1, "carried twice")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\ninterface = \"a-very-long-name\"\n",
            &[("interface.name", 3, 13, "at most 15 bytes, this one 16")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\ninterface = \"eth/1\"\n",
            &[("interface.name", 3, 13, "'/'")],
        ),
        (
            "[link.A_b]\ninterface = \"eth1\"\n",
            &[
                ("key.missing", 1, 7, "inside = {"),
                ("name.invalid", 1, 7, "a-z, 0-9 and -"),
            ],
        ),
    ]);
}

#[test]
fn gre_and_vlan_say_what_is_wrong_with_ends_and_tags() {
    assert_cases(&[
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\ngre = { local = \"192.0.2.1\" }\n",
            &[("key.missing", 3, 1, "add remote = ")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"192.0.2.1\", ttl = 0 }\n",
            &[
                ("carrier.remote", 3, 39, "both ends are 192.0.2.1"),
                ("value.range", 3, 58, "from 1 to 255"),
            ],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"2001:db8::1\" }\n",
            &[("carrier.remote", 3, 39, "not of one family")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"10.0.0.2\" }\n",
            &[("carrier.remote", 3, 39, "inside the tunnel")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"192.0.2.2\", key = 1 }\n\
             [link.b]\ninside = { local = \"10.0.1.1/30\", remote = \"10.0.1.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"192.0.2.2\", key = 1 }\n\
             [link.c]\ninside = { local = \"10.0.2.1/30\", remote = \"10.0.2.2\" }\n\
             gre = { local = \"192.0.2.1\", remote = \"192.0.2.2\", key = 2 }\n",
            &[(
                "carrier.taken",
                6,
                39,
                "link `a` has GRE from 192.0.2.1 to 192.0.2.2",
            )],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\nvlan = { parent = \"eth0\", id = 4095 }\n",
            &[("value.range", 3, 32, "from 1 to 4094")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\nvlan = { parent = \"eth0\", id = 5 }\n\
             [link.b]\ninside = { local = \"10.0.1.1/30\", remote = \"10.0.1.2\" }\nvlan = { parent = \"eth0\", id = 5 }\n\
             [link.c]\ninside = { local = \"10.0.2.1/30\", remote = \"10.0.2.2\" }\nvlan = { parent = \"eth1\", id = 5 }\n",
            &[("carrier.taken", 6, 32, "link `a` has VLAN 5 on eth0")],
        ),
        (
            "[link.a]\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n\
             vlan = { parent = \"eth0\", id = 5 }\ngre = { local = \"192.0.2.1\", remote = \"192.0.2.2\" }\n",
            &[("link.carrier", 3, 1, "carried twice")],
        ),
    ]);
}

#[test]
fn ipsec_says_what_is_wrong_with_ends_proofs_and_terms() {
    let link = |ipsec: &str| {
        format!(
            "{HEAD}[link.a]\ninside = {{ local = \"169.254.21.2/30\", remote = \"169.254.21.1\" }}\n\
             [link.a.ipsec]\n{ipsec}\n"
        )
    };
    let psk = "psk = { file = \"p\" }";
    let remote = "remote = \"198.51.100.1\"";
    for (ipsec, rule, part) in [
        (psk.to_owned(), "key.missing", "add remote = "),
        (remote.to_owned(), "key.missing", "add psk = "),
        (
            format!("{remote}\npsk = \"hunter2\""),
            "secret.inline",
            "does not stand in this file",
        ),
        (
            format!("{remote}\n{psk}\nca = \"ca.pem\""),
            "ipsec.auth",
            "keep one of them",
        ),
        (
            format!("{remote}\nca = \"ca\"\nprivate-key = {{ file = \"k\" }}"),
            "key.missing",
            "add certificate = ",
        ),
        (
            format!("{remote}\n{psk}\nversion = 3"),
            "value.range",
            "from 1 to 2",
        ),
        (
            format!("{remote}\n{psk}\nike = \"AES 256\""),
            "ipsec.proposal",
            "aes256-sha256-modp2048",
        ),
        (
            format!("{remote}\n{psk}\nesp = [\"aes256--sha1\"]"),
            "ipsec.proposal",
            "aes256-sha256-modp2048",
        ),
        (
            format!("{remote}\n{psk}\nremote-id = \"%any\""),
            "ipsec.identity",
            "cannot be an identity",
        ),
        (
            format!("{remote}\n{psk}\nversion = 1\nselectors = \"both\""),
            "ipsec.selectors",
            "\"ipv4\" or \"ipv6\"",
        ),
        (
            format!("{remote}\n{psk}\nesp-lifetime = \"9h\""),
            "ipsec.lifetime",
            "the shorter one",
        ),
        (
            format!("{remote}\n{psk}\nif-id = 0"),
            "value.range",
            "from 1 to",
        ),
        (
            format!("remote = \"169.254.21.1\"\n{psk}"),
            "carrier.remote",
            "inside the tunnel",
        ),
        (
            format!("{remote}\nlocal = \"198.51.100.1\"\n{psk}"),
            "carrier.remote",
            "both ends",
        ),
    ] {
        let found = findings(&link(&ipsec));
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{ipsec}\n{said:#?}");
        assert_eq!(found[0].rule, rule, "{ipsec}\n{said:#?}");
        let text = format!("{} {}", found[0].message, found[0].fix);
        assert!(text.contains(part), "{ipsec}\n{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_profile_refuses_what_its_provider_refuses() {
    let file = |profile: &str, inside: &str, carrier: &str| {
        format!(
            "{HEAD}[link.a]\nprofile = \"{profile}\"\ninside = {{ local = \"{inside}.2/30\", remote = \"{inside}.1\" }}\n{carrier}\n"
        )
    };
    let psk = "ipsec = { remote = \"198.51.100.1\", psk = { file = \"p\" } }";
    let certificate = "ipsec = { remote = \"198.51.100.1\", certificate = \"c\", ca = \"a\", private-key = { file = \"k\" } }";
    for (profile, inside, carrier, rule) in [
        ("aws-vpn", "169.254.21", psk, "value.unknown"),
        ("aws-vpn-vgw", "169.254.1", psk, "inside.reserved"),
        ("oci-vpn", "169.254.19", psk, "inside.reserved"),
        ("oci-vpn", "169.254.109", psk, "inside.reserved"),
        ("oci-vpn", "169.254.201", psk, "inside.reserved"),
        ("azure-vpn", "169.254.20", psk, "inside.reserved"),
        ("oci-vpn", "169.254.21", certificate, "profile.auth"),
        (
            "aws-vpn-tgw",
            "169.254.21",
            "gre = { local = \"10.0.0.4\", remote = \"10.0.1.9\" }",
            "profile.carrier",
        ),
    ] {
        let found = findings(&file(profile, inside, carrier));
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{profile} {inside}\n{said:#?}");
        assert_eq!(found[0].rule, rule, "{said:#?}");
    }
    for (profile, inside, carrier) in [
        ("aws-vpn-vgw", "169.254.21", psk),
        ("aws-vpn-tgw", "169.254.6", certificate),
        ("oci-vpn", "169.254.20", psk),
        ("azure-vpn", "169.254.22", psk),
        ("azure-vpn", "10.1.2", psk),
        ("aws-vpn-tgw", "169.254.21", "interface = \"eth1\""),
        ("gcp-ha-vpn", "169.254.20", psk),
    ] {
        let found = findings(&file(profile, inside, carrier));
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{profile} {inside}\n{said:#?}");
    }
}

#[test]
fn two_links_with_one_number_are_told_to_choose() {
    let link = |name: &str, net: u8, more: &str| {
        format!(
            "[link.{name}]\ninside = {{ local = \"10.0.{net}.1/30\", remote = \"10.0.{net}.2\" }}\n\
             ipsec = {{ remote = \"198.51.100.{net}\", psk = {{ file = \"p\" }}{more} }}\n"
        )
    };
    let same = ", if-id = 7";
    let found = findings(&format!(
        "{HEAD}{}{}",
        link("a", 1, same),
        link("b", 2, same)
    ));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rule, "carrier.taken");
    let found = findings(&format!("{HEAD}{}{}", link("a", 1, ""), link("b", 2, "")));
    assert!(
        found.is_empty(),
        "{:?}",
        found.first().map(ToString::to_string)
    );
}

#[test]
fn wireguard_says_what_is_wrong_with_keys_ports_and_endpoints() {
    let cases = [
        ("listen = 0", "", "value.range", "1 to 65535"),
        ("listen = 1, mtu = 1279", "", "value.range", "1280 to 9000"),
        (
            "listen = 1, backend = \"user\"",
            "",
            "value.unknown",
            "\"auto\", \"kernel\", \"userspace\"",
        ),
        (
            "listen = 1",
            "endpoint = \"nva.example.net\"",
            "value.endpoint",
            "nva.example.net:51820",
        ),
        (
            "listen = 1",
            "endpoint = \"2001:db8::1\"",
            "value.endpoint",
            "[2001:db8::1]:51820",
        ),
        (
            "listen = 1",
            "endpoint = \"192.0.2.256:1\"",
            "value.endpoint",
            "not a host and a port",
        ),
        (
            "listen = 1",
            "endpoint = \"a:0\"",
            "value.endpoint",
            "not a host and a port",
        ),
        (
            "listen = 1",
            "keepalive = \"1500ms\"",
            "value.duration",
            "whole seconds",
        ),
    ];
    for (options, peer, rule, part) in cases {
        let text = format!(
            "{HEAD}[link.a]\ninside = {{ local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }}\n[link.a.wireguard]\n\
             private-key = {{ file = \"k\" }}\n{}\n[link.a.wireguard.peer]\npublic-key = \"{KEY}\"\n{peer}\n",
            options.replace(", ", "\n")
        );
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{options} {peer}: {found:#?}");
        let said = format!("{} {}", found[0].message, found[0].fix);
        assert_eq!(found[0].rule, rule, "{said}");
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
}

#[test]
fn public_keys_have_32_bytes_of_base64() {
    let cases = [
        (KEY.replace('=', ""), "its length is 43, not 44"),
        (KEY.replace('5', "!"), "no '!'"),
        ("AAAA".to_owned(), "32 bytes, this one 3"),
    ];
    for (key, part) in cases {
        let text = format!(
            "{HEAD}[link.a]\ninside = {{ local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }}\n\
             wireguard = {{ private-key = {{ file = \"k\" }}, listen = 1, peer = {{ public-key = \"{key}\" }} }}\n"
        );
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].rule, "wireguard.key");
        assert!(found[0].message.contains(part), "{}", found[0].message);
    }
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
