//! `auth = { … }` of a link's probe.

use config::model::{ProbeAuth, SecretSource};
use config::{Change, Config, LinkPart, diff, load};

fn text(probe: &str) -> String {
    format!(
        "[router]\nname = \"t\"\nasn = 65010\nid = \"192.0.2.1\"\n[link.a]\ninterface = \"eth1\"\n\
         inside = {{ local = \"10.0.0.1/30\", remote = \"10.0.0.2\" }}\nprobe = {{ {probe} }}\n"
    )
}

fn config(probe: &str) -> Config {
    load(&text(probe), "t.toml").expect("legal").config
}

#[test]
fn a_probe_has_a_key_only_when_asked_and_a_second_one_beside_it() {
    let auth = |probe: &str| config(probe).links["a"].probe.auth.clone();
    assert_eq!(auth("method = \"stamp\""), None);
    let one = ProbeAuth {
        key: SecretSource::File("a.key".into()),
        accept_key: None,
    };
    let words = "method = \"stamp\", auth = { key = { file = \"a.key\" } }";
    assert_eq!(auth(words), Some(one.clone()));
    let two = ProbeAuth {
        accept_key: Some(SecretSource::Env("A_NEW".to_owned())),
        ..one
    };
    let words = "method = \"stamp\", auth = { key = { file = \"a.key\" }, accept-key = { env = \"A_NEW\" } }";
    assert_eq!(auth(words), Some(two));
}

#[test]
fn what_cannot_be_is_named_with_its_place() {
    let stamp = "method = \"stamp\",";
    for (wrong, rule, part) in [
        (
            "auth = { key = { env = \"K\" } }".to_owned(),
            "probe.auth",
            "method = \"stamp\"",
        ),
        (
            "method = \"icmp\", auth = { key = { env = \"K\" } }".to_owned(),
            "probe.auth",
            "only probes by `stamp`",
        ),
        (format!("{stamp} auth = {{}}"), "key.missing", "no `key`"),
        (
            format!("{stamp} auth = {{ accept-key = {{ env = \"K\" }} }}"),
            "key.missing",
            "no `key`",
        ),
        (
            format!("{stamp} auth = {{ key = {{ env = \"K\" }}, id = 1 }}"),
            "key.unknown",
            "id",
        ),
        (format!("{stamp} auth = \"x\""), "value.type", "table"),
    ] {
        let report = load(&text(&wrong), "t.toml").expect_err(&wrong);
        let finding = &report.findings()[0];
        let said = format!("{} {}", finding.message, finding.fix);
        assert_eq!(finding.rule, rule, "{wrong}: {said}");
        assert!(said.contains(part), "{wrong}: {said}");
        assert_eq!(finding.line, 8, "{wrong}: {said}");
    }
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    for key in [
        "key = \"hunter2\"",
        "key = { env = \"K\" }, accept-key = \"hunter2\"",
    ] {
        let inline = format!("method = \"stamp\", auth = {{ {key} }}");
        let report = load(&text(&inline), "t.toml").expect_err(&inline);
        assert!(!report.to_string().contains("hunter2"), "{report}");
    }
}

#[test]
fn another_key_is_another_probe_and_shown_by_its_place() {
    let changes = diff(
        &config("method = \"stamp\", auth = { key = { file = \"old\" } }"),
        &config(
            "method = \"stamp\", auth = { key = { file = \"new\" }, accept-key = { file = \"old\" } }",
        ),
    );
    let [Change::LinkChanged { parts, fields, .. }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(parts.iter().collect::<Vec<_>>(), [&LinkPart::Probe]);
    let fields: Vec<_> = fields.iter().map(ToString::to_string).collect();
    let expected = [
        "probe.auth.key file old -> file new",
        "probe.auth.accept-key none -> file old",
    ];
    assert_eq!(fields, expected);
}
