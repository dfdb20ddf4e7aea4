//! `bfd = { … }` of a link.

use std::time::Duration;

use config::model::{Bfd, BfdAuth, BfdAuthKind, SecretSource};
use config::{Change, Config, LinkPart, PeerPart, diff, load};

fn text(bfd: &str) -> String {
    format!(
        "[router]\nname = \"t\"\nasn = 65010\nid = \"192.0.2.1\"\n[link.a]\ninterface = \"eth1\"\n\
         inside = {{ local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }}\n{bfd}\n"
    )
}

fn config(bfd: &str) -> Config {
    load(&text(bfd), "t.toml").expect("legal").config
}

fn bfd(text: &str) -> Option<Bfd> {
    config(text).links["a"].bfd.clone()
}

#[test]
fn a_link_has_bfd_only_when_asked_and_then_three_times_300_ms() {
    assert_eq!(bfd(""), None);
    let usual = Bfd {
        interval: Duration::from_millis(300),
        multiplier: 3,
        strict: false,
        auth: None,
    };
    assert_eq!(bfd("bfd = {}"), Some(usual));
}

#[test]
fn every_key_says_what_it_says() {
    let all = "bfd = { interval = \"50ms\", multiplier = 5, strict = true, \
               auth = { type = \"meticulous-keyed-sha1\", id = 7, key = { file = \"k\" } } }";
    let auth = BfdAuth {
        kind: BfdAuthKind::MeticulousKeyedSha1,
        id: 7,
        key: SecretSource::File("k".into()),
    };
    let expected = Bfd {
        interval: Duration::from_millis(50),
        multiplier: 5,
        strict: true,
        auth: Some(auth),
    };
    assert_eq!(bfd(all), Some(expected));
}

#[test]
fn what_cannot_be_is_named_with_its_place() {
    for (wrong, rule, part) in [
        ("bfd = { interval = \"5ms\" }", "value.range", "10ms"),
        ("bfd = { multiplier = 1 }", "value.range", "2 to 255"),
        ("bfd = { auth = {} }", "key.missing", "no `type`"),
        (
            "bfd = { auth = { type = \"md5\", key = { env = \"K\" } } }",
            "value.unknown",
            "keyed-sha1",
        ),
        (
            "bfd = { auth = { type = \"keyed-sha1\" } }",
            "key.missing",
            "no `key`",
        ),
    ] {
        let report = load(&text(wrong), "t.toml").expect_err(wrong);
        let finding = &report.findings()[0];
        let said = format!("{} {}", finding.message, finding.fix);
        assert_eq!(finding.rule, rule, "{wrong}: {said}");
        assert!(said.contains(part), "{wrong}: {said}");
    }
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    let inline = "bfd = { auth = { type = \"keyed-sha1\", key = \"hunter2\" } }";
    let report = load(&text(inline), "t.toml").expect_err(inline);
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

#[test]
fn a_new_interval_concerns_bfd_and_nothing_else() {
    let changes = diff(
        &config("bfd = {}"),
        &config("bfd = { interval = \"100ms\" }"),
    );
    let [Change::LinkChanged { parts, fields, .. }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(parts.iter().collect::<Vec<_>>(), [&LinkPart::Bfd]);
    assert_eq!(fields[0].to_string(), "bfd.interval 300ms -> 100ms");
}

fn of_peer(keys: &str) -> String {
    format!(
        "[router]\nname = \"t\"\nasn = 65010\nid = \"192.0.2.1\"\n[link.a]\ninterface = \"eth1\"\n\
         inside = {{ local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }}\n[peer.p]\naddress = \"10.9.0.2\"\n{keys}\n"
    )
}

#[test]
fn a_peer_on_no_link_is_as_far_away_for_bfd_as_for_bgp() {
    for (keys, hops) in [
        ("asn = 65020\nbfd = {}", 1),
        (
            "asn = 65020\nttl-security = 2\nlocal-address = \"10.8.0.1\"\nbfd = {}",
            2,
        ),
        (
            "asn = 65020\nmultihop = 5\nlocal-address = \"10.8.0.1\"\nbfd = {}",
            5,
        ),
        ("asn = 65020\nmultihop = 5\nbfd = { hops = 1 }", 1),
        ("asn = 65010\nbfd = {}", 1),
        (
            "asn = 65010\nlocal-address = \"10.8.0.1\"\nbfd = { hops = 255 }",
            255,
        ),
    ] {
        let config = load(&of_peer(keys), "t.toml").expect(keys).config;
        let bfd = config.peers["p"].bfd.as_ref().expect(keys);
        assert_eq!(bfd.hops, hops, "{keys}");
        assert_eq!(bfd.bfd.interval, Duration::from_millis(300));
    }
}

#[test]
fn bfd_of_a_peer_needs_what_it_is_known_by_and_no_link() {
    for (keys, part) in [
        ("asn = 65020\nmultihop = 5\nbfd = {}", "local-address"),
        ("asn = 65020\nlink = \"a\"\nbfd = {}", "[link.a]"),
    ] {
        let report = load(&of_peer(keys), "t.toml").expect_err(keys);
        let mut findings = report.findings().iter();
        let finding = findings.find(|finding| finding.rule == "peer.bfd");
        let finding = finding.expect(keys);
        assert!(finding.fix.contains(part), "{}", finding.fix);
    }
}

#[test]
fn bfd_of_a_peer_changes_under_its_session() {
    let load = |keys: &str| load(&of_peer(keys), "t.toml").expect(keys).config;
    let changes = diff(
        &load("asn = 65020\nbfd = {}"),
        &load("asn = 65020\nbfd = { interval = \"100ms\" }"),
    );
    let [Change::PeerChanged { fields, part, .. }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(*part, PeerPart::Live);
    assert_eq!(fields[0].to_string(), "bfd.interval 300ms -> 100ms");
}
