//! Wrong terms of peers and ranges, each with what is said about it.

use config::{Severity, load, model};

fn file(body: &str) -> String {
    format!(
        "[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n\
         [[filter.f]]\nprefix = [\"10.0.0.0/8 le 24\"]\naction = \"accept\"\n{body}"
    )
}

/// Rules with whether they are errors, and all that was said.
fn said(body: &str) -> (Vec<(&'static str, bool)>, String) {
    let findings = match load(&file(body), "t") {
        Ok(loaded) => loaded.warnings.findings().to_vec(),
        Err(report) => report.findings().to_vec(),
    };
    let rules = findings
        .iter()
        .map(|finding| (finding.rule, finding.severity == Severity::Error));
    let text = findings
        .iter()
        .map(|f| format!("{} {}\n", f.message, f.fix));
    (rules.collect(), text.collect())
}

const DOCUMENT: &str = include_str!("../../docs/peers.md");

const PEER: &str = "[peer.p]\naddress = \"10.9.0.2\"\nimport = \"f\"\nexport = \"f\"\n";

/// The keys that a file is told of after one that is not known.
fn known(section: &str) -> Vec<String> {
    let (_, text) = said(&format!("{section}nonsense-of-mine = 1\n"));
    let list = text.split("known here: ").nth(1).expect("a list of keys");
    let list = list.lines().next().unwrap_or_default();
    list.split(", ")
        .map(|key| key.trim_matches(['`', ' ']).to_owned())
        .collect()
}

/// The keys in the first column of the tables of docs/peers.md.
fn documented() -> Vec<String> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let keys = first.flat_map(|cell| cell.split(", "));
    keys.map(|key| key.trim_matches('`').to_owned())
        .filter(|key| !key.starts_with("skybridge "))
        .collect()
}

#[test]
fn every_key_of_a_peer_is_documented_and_no_other() {
    let mut documented = documented();
    documented.sort();
    let known = known(&format!("{PEER}asn = 64512\n"));
    assert_eq!(documented, known);
}

#[test]
fn the_range_in_the_document_is_legal() {
    let examples = DOCUMENT.split("```toml\n").skip(1);
    let mut examples = examples.filter_map(|rest| rest.split("```").next());
    let range = examples.find(|example| example.contains("[listen."));
    let range = range.expect("an example of a range");
    assert!(load(&file(range), "t").is_ok());
}

#[test]
fn terms_that_contradict_each_other_are_named() {
    for (terms, rule, part) in [
        (
            "asn = 64512\nmultihop = 3\nttl-security = 2",
            "peer.ttl",
            "at most N hops",
        ),
        ("asn = 64512\nmultihop = 1", "value.range", "2 to 255"),
        (
            "asn = 64512\nttl-security = 255",
            "value.range",
            "how many hops away",
        ),
        (
            "asn = 64512\nttl-security = \"yes\"",
            "value.type",
            "write `true`",
        ),
        (
            "asn = 64512\nfamilies = []",
            "value.empty",
            "carries no routes",
        ),
        (
            "asn = 64512\nfamilies = [\"ip4\"]",
            "value.unknown",
            "did you mean \"ipv4\"",
        ),
        (
            "asn = 64512\nmd5 = \"hunter2\"",
            "secret.inline",
            "say where it is kept",
        ),
        (
            "asn = 64512\ntcp-ao = \"hunter2\"",
            "value.type",
            "keys = [{ id = 1",
        ),
        (
            "asn = 64512\ntcp-ao = { keys = [{ id = 1, algorithm = \"aes-128-cmac-96\", key = { env = \"K\" } }], file = \"k\" }",
            "key.unknown",
            "known here: `include-tcp-options`, `keys`",
        ),
        (
            "asn = 64512\ntcp-ao = {}",
            "key.missing",
            "algorithm = \"aes-128-cmac-96\"",
        ),
        (
            "asn = 64512\ntcp-ao = { keys = [] }",
            "tcp-ao.keys",
            "1 to 8 keys",
        ),
        (
            "asn = 64512\ntcp-ao = { keys = [{ id = 256, algorithm = \"aes-128-cmac-96\", key = { env = \"K\" } }] }",
            "value.range",
            "from 0 to 255",
        ),
        (
            "asn = 64512\ntcp-ao = { keys = [{ id = 1, algorithm = \"aes-128-cmac\", key = { env = \"K\" } }] }",
            "value.unknown",
            "did you mean \"aes-128-cmac-96\"",
        ),
        (
            "asn = 64512\ntcp-ao = { keys = [{ id = 1, algorithm = \"aes-128-cmac-96\", key = \"hunter2\" }] }",
            "secret.inline",
            "say where it is kept",
        ),
        (
            "asn = 64512\n[[peer.p.tcp-ao.keys]]\nid = 1\nalgorithm = \"aes-128-cmac-96\"\nkey = { env = \"K\" }\n\
             [[peer.p.tcp-ao.keys]]\nid = 2\nreceive-id = 1\nalgorithm = \"aes-128-cmac-96\"\nkey = { env = \"K\" }",
            "tcp-ao.id",
            "give each its own",
        ),
        (
            "asn = 64512\nmd5 = { env = \"K\" }\ntcp-ao = { keys = [{ id = 1, algorithm = \"aes-128-cmac-96\", key = { env = \"K\" } }] }",
            "peer.signing",
            "keep the one that the peer speaks",
        ),
        (
            "asn = 64512\nsend-hold-time = \"90s\"",
            "timer.hold",
            "longer than the hold time",
        ),
        (
            "asn = 64512\nrole-strict = true",
            "peer.role",
            "ours is not said",
        ),
        (
            "asn = 64512\nroute-reflector-client = true",
            "peer.side",
            "our own AS",
        ),
        ("asn = 65010\nas-override = true", "peer.side", "another AS"),
        ("asn = 65010\nrole = \"peer\"", "peer.side", "another AS"),
        (
            "asn = 65010\nremove-private = true",
            "peer.side",
            "another AS",
        ),
        (
            "asn = 64512\nlocal-as = 65010",
            "peer.local-as",
            "our AS anyway",
        ),
        (
            "asn = 64512\nlocal-as = 64512",
            "peer.local-as",
            "refuse us",
        ),
        (
            "asn = 64512\nlocal-as = { no-prepend = true }",
            "key.missing",
            "asn = 64600",
        ),
        (
            "asn = 64512\nremove-private = \"all\"",
            "value.unknown",
            "\"replace\"",
        ),
        (
            "asn = 64512\nnexthop = \"same\"",
            "value.unknown",
            "third-party",
        ),
        ("asn = 64512\nadd-path = true", "value.type", "\"receive\""),
        (
            "asn = 64512\ngraceful-restart = { time = \"2h\" }",
            "value.range",
            "4095s",
        ),
        (
            "asn = 64512\nprefix-limit = {}",
            "limit.prefixes",
            "limits no family",
        ),
        (
            "asn = 64512\nprefix-limit = { ipv4 = 0 }",
            "value.range",
            "1 to",
        ),
        (
            "asn = 64512\nprefix-limit = { ipv4 = 1, action = \"warn\", restart-after = \"1m\" }",
            "limit.prefixes",
            "leave it out",
        ),
    ] {
        let (rules, text) = said(&format!("{PEER}{terms}\n"));
        assert_eq!(rules, [(rule, true)], "{terms}\n{text}");
        assert!(text.contains(part), "{terms}\n{text:?} lacks {part:?}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_range_is_checked_like_a_peer_and_against_the_others() {
    let range = |name: &str, network: &str, terms: &str| {
        format!("[listen.{name}]\nrange = \"{network}\"\nimport = \"f\"\nexport = \"f\"\n{terms}\n")
    };
    let dc = range("dc", "10.5.0.0/24", "asn = 64512");
    assert_eq!(said(&dc), (vec![], String::new()));
    for (other, rule, is_error) in [
        (
            range("other", "10.5.0.128/25", "asn = 64512"),
            "listen.overlap",
            true,
        ),
        (
            range("other", "10.6.0.0/24", "asn = 64512\nlimit = 0"),
            "value.range",
            true,
        ),
        (range("other", "10.6.0.0/24", ""), "key.missing", true),
        (
            range("other", "0::/0", "asn = 64512"),
            "listen.everybody",
            false,
        ),
        (
            range("other", "10.6.0.0/24", "asn = 64512\nhold-time = \"0s\""),
            "timer.hold",
            false,
        ),
        (
            range("other", "10.6.0.0/24", "asn = 64512").replace("import = \"f\"\n", ""),
            "filter.missing",
            false,
        ),
        (
            range("a-very-long-name-of-a-range", "10.6.0.0/24", "asn = 64512"),
            "name.invalid",
            true,
        ),
        (
            range(
                "other",
                "10.6.0.0/24",
                "asn = 64512\nlocal-address = \"2001:db8::1\"",
            ),
            "peer.address",
            true,
        ),
        (
            format!(
                "{}{PEER}asn = 64512\n",
                range("p", "10.6.0.0/24", "asn = 64512")
            ),
            "peer.name",
            true,
        ),
    ] {
        let (rules, text) = said(&format!("{dc}{other}"));
        assert_eq!(rules, [(rule, is_error)], "{other}\n{text}");
    }
}

#[test]
fn keys_that_the_kernel_could_not_tell_apart_are_refused() {
    let ao = |id: u8| {
        format!(
            "tcp-ao = {{ keys = [{{ id = {id}, algorithm = \"hmac-sha-1-96\", key = {{ env = \"K\" }} }}] }}\n"
        )
    };
    let md5 = "md5 = { env = \"K\" }\n".to_owned();
    let range =
        "[listen.dc]\nrange = \"10.9.0.0/24\"\nasn = 64512\nimport = \"f\"\nexport = \"f\"\n";
    for (of_range, of_peer, is_refused) in [
        (ao(1), ao(1), true),
        (ao(1), ao(2), false),
        (ao(1), md5.clone(), true),
        (ao(1), String::new(), true),
        (md5.clone(), ao(1), true),
        (md5.clone(), String::new(), false),
        (String::new(), ao(1), false),
    ] {
        let (rules, text) = said(&format!("{range}{of_range}{PEER}asn = 64512\n{of_peer}"));
        let expected: &[_] = match is_refused {
            true => &[("tcp-ao.overlap", true)],
            false => &[],
        };
        assert_eq!(rules, expected, "{of_range}{of_peer}{text}");
    }
}

#[test]
fn the_far_end_of_a_link_is_not_many_hops_away() {
    let link = "[link.a]\ninterface = \"eth1\"\ninside = { local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }\n";
    let bgp = "bgp = { asn = 64512, import = \"f\", export = \"f\", multihop = 3 }\n";
    let (rules, text) = said(&format!("{link}{bgp}"));
    assert!(rules.contains(&("peer.ttl", true)), "{text}");
    let (rules, _) = said(&format!(
        "{link}{}",
        bgp.replace("multihop = 3", "ttl-security = true")
    ));
    assert!(!rules.contains(&("peer.ttl", true)));
    // AWS Transit Gateway Connect asks for it.
    let gre = "gre = { local = \"192.0.2.1\", remote = \"192.0.2.2\" }";
    let (rules, text) = said(&format!(
        "{}{bgp}",
        link.replace("interface = \"eth1\"", gre)
    ));
    assert!(!rules.contains(&("peer.ttl", true)), "{text}");
}

#[test]
fn packets_to_another_as_do_not_travel_and_those_to_our_own_do() {
    let distance = |terms: &str| {
        let text = file(&format!("{PEER}{terms}\n"));
        let config = load(&text, "t")
            .unwrap_or_else(|report| panic!("{report}"))
            .config;
        let distance = config.peers["p"].distance;
        (distance.ttl(), distance.min_ttl())
    };
    assert_eq!(distance("asn = 64512"), (1, None));
    assert_eq!(distance("asn = 65010"), (255, None));
    assert_eq!(distance("asn = 64512\nmultihop = 5"), (5, None));
    assert_eq!(
        distance("asn = 64512\nttl-security = true"),
        (255, Some(255))
    );
    assert_eq!(distance("asn = 65010\nttl-security = 254"), (255, Some(2)));
}

#[test]
fn a_peer_of_a_range_has_its_terms_and_its_own_address() {
    let body = "[listen.dc]\nrange = \"10.5.0.0/24\"\nasn = 64512\nhold-time = \"9s\"\n";
    let config = load(&file(body), "t").expect("it is legal").config;
    let address = "10.5.0.7".parse().expect("an address");
    let peer = config.ranges["dc"].peer("dc", address);
    let expected = model::Peer {
        address,
        range: Some("dc".to_owned()),
        ..config.ranges["dc"].peer.clone()
    };
    assert_eq!(peer, expected);
    assert!(peer.passive);
}
