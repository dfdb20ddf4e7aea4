//! Wrong files, each with everything that shall be said about it.

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
                "known here: `bfd`, `bgp`, `gre`, `group`, `inside`, `interface`, `ipsec`, `priority`, `probe`, `profile`, `vlan`, `wireguard`",
            )],
        ),
        (
            "[group.g]\npolicy = \"latency\"\n",
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
            &[("value.range", 2, 10, "1 to 4294967295")],
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

#[test]
fn durations_and_percentages_need_their_units() {
    let link = "[link.a]\ninterface = \"eth1\"\ngroup = \"g\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n";
    let cases: [Case; 9] = [
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
            "[group.g]\nhold-down = \"1s5m\"\n",
            &[("value.duration", 6, 13, "1s5m")],
        ),
    ];
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
        for (finding, (.., part)) in found.iter().zip(expected) {
            let said = format!("{} {}", finding.message, finding.fix);
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
    }
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
            "interface = \"eth1\"",
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
fn filters_have_legal_prefixes_lengths_and_communities() {
    let cases = [
        (
            "prefix = [\"10.1.2.3/16\"]",
            "prefix.host-bits",
            11,
            "write \"10.1.0.0/16\"",
        ),
        (
            "prefix = [\"10.1.2.3/16 le 24\"]",
            "prefix.host-bits",
            11,
            "write \"10.1.0.0/16 le 24\"",
        ),
        (
            "prefix = [\"10.1.0.0/16 le 8\"]",
            "prefix.length",
            11,
            "from 16 to 32",
        ),
        (
            "prefix = [\"10.1.0.0/16 ge 24 le 20\"]",
            "prefix.length",
            11,
            "`ge` before `le`",
        ),
        (
            "prefix = [\"10.1.0.0/16 lt 24\"]",
            "prefix.length",
            11,
            "ge 20 le 24",
        ),
        ("prefix = [\"10.1.0.0\"]", "value.prefix", 11, "10.1.0.0/32"),
        ("prefix = 5", "value.type", 10, "an integer, not a prefix"),
        ("prefix = []", "filter.empty", 1, "matches everything"),
        (
            "community = [\"65536:1\"]",
            "value.community",
            14,
            "0 to 65535",
        ),
        (
            "large-community = [\"1:2\"]",
            "value.community",
            20,
            "65010:1:2",
        ),
        (
            "as-path-contains = [\"AS1\"]",
            "value.asn",
            21,
            "64512-65534",
        ),
        ("origin-as = \"5-2\"", "value.asn", 13, "range"),
        ("neighbor-as = []", "filter.empty", 1, "matches everything"),
        (
            "as-path = [\"(1\"]",
            "filter.regex",
            12,
            "character 1: this `(` is not closed",
        ),
        ("as-path = \"65010 a\"", "filter.regex", 11, "no 'a'"),
        ("as-path-length = \"<0\"", "value.comparison", 18, "<=100"),
        (
            "med = \"high\"",
            "value.comparison",
            7,
            "\"none\" or \"any\"",
        ),
        ("family = \"ipv5\"", "value.unknown", 10, "ipv4"),
        (
            "origin = \"ibgp\"",
            "value.unknown",
            10,
            "did you mean \"igp\"?",
        ),
        (
            "community = \"no-exprt\"",
            "value.community",
            13,
            "did you mean \"no-export\"?",
        ),
        (
            "community = \"65010:9-1\"",
            "value.community",
            13,
            "0 to 65535",
        ),
        (
            "community-all = \"65010\"",
            "value.community",
            17,
            "0 to 65535",
        ),
        (
            "ext-community = \"rt:1\"",
            "value.community",
            17,
            "rt:65010:100",
        ),
        (
            "ext-community = \"0x12\"",
            "value.community",
            17,
            "eight octets",
        ),
        ("nexthop = \"10.0.0.1\"", "value.prefix", 11, "10.0.0.1/32"),
        (
            "comunity = \"1:1\"",
            "key.unknown",
            1,
            "did you mean `community`?",
        ),
        ("unless = {}", "filter.empty", 1, "holds always"),
        (
            "unless = { comunity = \"1:1\" }",
            "key.unknown",
            12,
            "did you mean `community`?",
        ),
        (
            "unless = { prefix = [] }",
            "filter.empty",
            12,
            "matches everything",
        ),
        ("name = \"my rule\"", "name.invalid", 8, "a-z"),
        (
            "call = \"f2\"\n[[filter.f2]]\naction = \"reject\"",
            "filter.action",
            1,
            "keep `action` or `call`",
        ),
        (
            "prefix-list = \"nets\"",
            "prefix-list.unknown",
            15,
            "add [prefix-list.nets]",
        ),
        (
            "prefix-list = \"nets\"\n[prefix-list.nets]\nprefixes = []",
            "filter.empty",
            1,
            "matches nothing",
        ),
        (
            "prefix-list = \"nets\"\n[prefix-list.nets]",
            "key.missing",
            14,
            "add prefixes = ",
        ),
        ("set = { prepend = 17 }", "value.range", 19, "1 to 16"),
        (
            "set = { prepend = { as = \"first\" } }",
            "value.unknown",
            26,
            "\"last-as\", \"own\"",
        ),
        (
            "set = { prepend = { as = 0 } }",
            "asn.reserved",
            26,
            "RFC 7607",
        ),
        (
            "set = { prepend = { times = 2 } }",
            "key.missing",
            9,
            "has no `as`",
        ),
        (
            "set = { local-pref = \"10\" }",
            "value.number",
            22,
            "\"+10\"",
        ),
        (
            "set = { med = \"no\" }",
            "value.number",
            15,
            "\"none\" to remove it",
        ),
        (
            "set = { bandwidth = \"1G\" }",
            "value.bandwidth",
            21,
            "2.5Gbit",
        ),
        (
            "set = { add-community = \"65010:*\" }",
            "value.community",
            25,
            "the one community",
        ),
        (
            "set = { add-large-community = \"1:*:2\" }",
            "value.community",
            31,
            "the one community",
        ),
        (
            "set = { add-ext-community = \"link-bandwidth\" }",
            "value.community",
            29,
            "bandwidth = \"1Gbit\"",
        ),
        (
            "set = { add-ext-community = \"rt:65536:65536\" }",
            "value.community",
            29,
            "rt:65010:100",
        ),
        (
            "set = { community = [], add-community = \"1:1\" }",
            "filter.set",
            25,
            "replaces all of them",
        ),
        (
            "set = { nexthop = \"192.0.2.1\" }",
            "filter.nexthop",
            19,
            "family = \"ipv4\"",
        ),
        (
            "set = { nexthop = \"self\" }",
            "filter.nexthop",
            19,
            "used for import",
        ),
        ("set = { weight = 1 }", "key.unknown", 9, "local-pref"),
    ];
    for (rule, name, column, part) in cases {
        let text = format!(
            "{HEAD}[peer.p]\naddress = \"192.0.2.1\"\nasn = 65010\nimport = \"f\"\nexport = \"f\"\n\
             [[filter.f]]\naction = \"accept\"\n{rule}\n"
        );
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{rule}: {found:#?}");
        let said = format!("{} {}", found[0].message, found[0].fix);
        assert_eq!((found[0].rule, found[0].column), (name, column), "{said}");
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
}

/// A router with one external peer, whose filters are `f` and `g`.
const PEER: &str =
    "[peer.p]\naddress = \"192.0.2.1\"\nasn = 64512\nimport = \"f\"\nexport = \"g\"\n";

/// Rule, line after `PEER`, part of message or fix.
fn assert_filters(text: &str, expected: &[(&str, usize, &str)]) {
    let found = findings(&format!("{HEAD}{PEER}{text}"));
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    let places: Vec<_> = found
        .iter()
        .map(|f| (f.rule, f.line.saturating_sub(11)))
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(rule, line, _)| (*rule, *line))
        .collect();
    assert_eq!(places, wanted, "in\n{text}\nfound {shown:#?}");
    for (finding, (_, _, part)) in found.iter().zip(expected) {
        let said = format!("{} {}", finding.message, finding.fix);
        assert!(said.contains(part), "in\n{text}\n{said:?} lacks {part:?}");
    }
}

const G: &str = "[[filter.g]]\nprefix = \"10.10.0.0/16\"\naction = \"accept\"\n";

#[test]
fn calls_lead_to_filters_that_exist_and_never_back() {
    assert_filters(
        &format!("{G}[[filter.f]]\ncall = \"gg\"\n"),
        &[("filter.unknown", 5, "did you mean `g`?")],
    );
    assert_filters(
        &format!("{G}[[filter.f]]\ncall = \"f\"\n"),
        &[("filter.cycle", 5, "`f` calls itself: f -> f")],
    );
    assert_filters(
        &format!(
            "{G}[[filter.f]]\ncall = \"a\"\n[[filter.a]]\ncall = \"b\"\n[[filter.b]]\ncall = \"a\"\n"
        ),
        &[("filter.cycle", 9, "`a` calls itself: a -> b -> a")],
    );
}

#[test]
fn filters_have_bounds_and_the_first_that_breaks_one_is_named() {
    let mut deep = format!("{G}[[filter.f]]\ncall = \"c0\"\n");
    for i in 0..20 {
        deep.push_str(&format!("[[filter.c{i}]]\ncall = \"c{}\"\n", i + 1));
    }
    deep.push_str("[[filter.c20]]\naction = \"reject\"\n");
    assert_filters(&deep, &[("filter.size", 12, "17 deep, 16 is the most")]);
    let mut wide = format!("{G}[[filter.f]]\ncall = \"c0\"\n");
    for i in 0..15 {
        let call = format!("[[filter.c{i}]]\ncall = \"c{}\"\n", i + 1);
        wide.push_str(&call);
        wide.push_str(&call);
    }
    wide.push_str("[[filter.c15]]\naction = \"reject\"\n");
    assert_filters(&wide, &[("filter.size", 14, "24574 rules")]);
    let mut many = format!("{G}[[filter.f]]\ncall = \"a\"\n");
    many.push_str(&"[[filter.a]]\nmed = 1\naction = \"reject\"\n".repeat(4_000));
    for i in 0..70 {
        many.push_str(&format!("[[filter.f]]\ncall = \"b{i:02}\"\nmed = {i}\n"));
        many.push_str(&format!("[[filter.b{i:02}]]\ncall = \"a\"\n"));
    }
    let found = findings(&format!("{HEAD}{PEER}{many}"));
    let rules: Vec<_> = found.iter().map(|f| (f.rule, f.message.as_str())).collect();
    assert_eq!(rules.len(), 2, "{rules:#?}");
    assert!(
        rules
            .iter()
            .any(|(_, said)| said.contains("filter `b64` is one too many")),
        "{rules:#?}"
    );
    assert!(
        rules
            .iter()
            .any(|(_, said)| said.contains("filter `f` has 284141 rules")),
        "{rules:#?}"
    );
    let tagging = |count| {
        let rule = "[[filter.f]]\naction = \"next\"\nset = { med = 1 }\n";
        format!("{G}{}", rule.repeat(count))
    };
    assert_filters(&tagging(128), &[]);
    assert_filters(&tagging(129), &[("filter.size", 4, "129 rules that set")]);
}

#[test]
fn what_nobody_reaches_is_named() {
    let used =
        "[[filter.f]]\nprefix-list = \"nets\"\ncall = \"h\"\n[[filter.h]]\naction = \"reject\"\n";
    let nets = "[prefix-list.nets]\nprefixes = [\"10.0.0.0/8\"]\n";
    assert_filters(&format!("{G}{used}{nets}"), &[]);
    let unused = "[[filter.i]]\ncall = \"j\"\n[[filter.j]]\naction = \"reject\"\n[prefix-list.old]\nprefixes = [\"10.0.0.0/8\"]\n";
    assert_filters(
        &format!("{G}{used}{nets}{unused}"),
        &[
            ("filter.unused", 11, "filter `i`"),
            ("filter.unused", 13, "filter `j`"),
            ("prefix-list.unused", 15, "prefix list `old`"),
        ],
    );
    let all = "[[filter.f]]\naction = \"accept\"\n";
    let rest = "[[filter.f]]\nprefix = \"10.0.0.0/8\"\naction = \"reject\"\n";
    assert_filters(
        &format!("{G}{all}{rest}"),
        &[("filter.shadowed", 6, "rule 1 of `f` decides")],
    );
    let default = "[[filter.f]]\nprefix = \"0.0.0.0/0\"\naction = \"accept\"\n";
    assert_filters(&format!("{G}{all}{default}"), &[]);
    assert_filters(
        &format!("{G}{}{default}", all.replace("accept", "reject")),
        &[("filter.shadowed", 6, "")],
    );
    assert_filters(
        &format!("{G}[[filter.f]]\naction = \"next\"\n"),
        &[("filter.set", 5, "no effect")],
    );
    assert_filters(
        &format!(
            "{G}{}",
            "[[filter.f]]\nname = \"a\"\ncall = \"g\"\n".repeat(2)
        ),
        &[("filter.name", 8, "named `a`")],
    );
}

#[test]
fn a_leak_is_found_behind_a_call() {
    let f = "[[filter.f]]\ncall = \"all\"\n[[filter.all]]\naction = \"accept\"\n";
    assert_filters(
        &format!("{f}[[filter.g]]\ncall = \"all\"\n"),
        &[("leak.transit", 3, "filter `all`")],
    );
    assert_filters(
        &format!("{f}[[filter.g]]\nprefix = \"10.10.0.0/16\"\ncall = \"all\"\n"),
        &[],
    );
    let default = "[prefix-list.d]\nprefixes = [\"::/0\"]\n[[filter.g]]\nprefix-list = \"d\"\naction = \"accept\"\n";
    assert_filters(
        &format!("{f}{default}"),
        &[("leak.default-route", 8, "::/0")],
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn pick<'t>(&mut self, items: &[&'t str]) -> &'t str {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        items[((z ^ (z >> 31)) % items.len() as u64) as usize]
    }
}

#[test]
fn any_filter_text_is_read_or_refused() {
    let seed = 17;
    println!("seed {seed}");
    let mut random = Random(seed);
    let keys = [
        "prefix",
        "prefix-list",
        "as-path",
        "as-path-contains",
        "as-path-length",
        "origin-as",
        "neighbor-as",
        "community",
        "community-all",
        "ext-community",
        "large-community",
        "nexthop",
        "origin",
        "med",
        "local-pref",
        "family",
        "name",
        "action",
        "call",
        "unless",
        "set",
        "prepend",
        "bandwidth",
        "add-community",
        "delete-ext-community",
        "as",
        "times",
        "x",
    ];
    let values = [
        "\"10.0.0.0/8 le 24\"",
        "\"0.0.0.0/0\"",
        "\"n\"",
        "\"_1_\"",
        "\"(((\"",
        "\"1{255}{2}\"",
        "5",
        "-1",
        "\"<5\"",
        "\">4294967295\"",
        "\"1:1\"",
        "\"*:*\"",
        "\"1:2:3\"",
        "\"rt:1:*\"",
        "\"0x0000000000000000\"",
        "\"self\"",
        "\"10.0.0.1\"",
        "\"accept\"",
        "\"next\"",
        "\"f\"",
        "\"g\"",
        "\"1Gbit\"",
        "\"é:é\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "1.5",
        "\"4294967296\"",
        "\"+\"",
        "\"-4294967296\"",
        "\"0-4294967295\"",
        "\":\"",
        "\"::\"",
        "\"rt::\"",
        "\"1e9Gbit\"",
    ];
    let mut good = 0;
    for _ in 0..5_000 {
        let mut text = format!("{HEAD}{PEER}[prefix-list.n]\nprefixes = [\"10.0.0.0/8\"]\n");
        for filter in ["f", "g", "f"] {
            text.push_str(&format!("[[filter.{filter}]]\n"));
            if random.pick(&["good", "good", "any"]) == "good" {
                text.push_str("prefix-list = \"n\"\naction = \"accept\"\n");
                continue;
            }
            let mut used: Vec<&str> = Vec::new();
            for _ in 0..3 {
                let key = random.pick(&keys);
                if used.contains(&key) {
                    continue;
                }
                used.push(key);
                let (a, b) = (random.pick(&values), random.pick(&values));
                let inner = random.pick(&keys);
                let value = match random.pick(&["one", "one", "list", "table"]) {
                    "list" => format!("[{a}, {b}]"),
                    "table" => format!("{{ {inner} = {a} }}"),
                    _ => a.to_owned(),
                };
                text.push_str(&format!("{key} = {value}\n"));
            }
            if !used.contains(&"action") && !used.contains(&"call") {
                text.push_str("action = \"accept\"\n");
            }
        }
        good += usize::from(load(&text, "t.toml").is_ok());
    }
    assert!((500..4_500).contains(&good), "{good} of 5000 were legal");
}

#[test]
fn export_filters_that_let_too_much_out_are_warned_of() {
    let with = |asn: u32, rule: &str| {
        let text = format!(
            "{HEAD}[peer.p]\naddress = \"192.0.2.1\"\nasn = {asn}\nimport = \"f\"\nexport = \"f\"\n\
             [[filter.f]]\naction = \"accept\"\n{rule}\n"
        );
        findings(&text).iter().map(|f| f.rule).collect::<Vec<_>>()
    };
    assert_eq!(with(64512, ""), ["leak.transit"]);
    assert_eq!(
        with(64512, "prefix = [\"0.0.0.0/0 le 32\"]"),
        ["leak.transit"]
    );
    assert_eq!(
        with(64512, "prefix = [\"0.0.0.0/0\"]"),
        ["leak.default-route"]
    );
    assert_eq!(with(64512, "community = [\"65010:1\"]"), [""; 0]);
    assert_eq!(
        with(65010, ""),
        [""; 0],
        "an iBGP peer is to know everything"
    );
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
