//! Links whose ends, carriers or terms are wrong.

use super::*;

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
