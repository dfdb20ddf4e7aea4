//! What a file says of groups and of what counts in them.

use std::time::Duration;

use config::model::{Policy, RttMargin};
use config::{Config, Severity, load};

/// A file of two links in one group, each with keys of its own, and the keys of the group.
fn file(links: [&str; 2], group: &str) -> String {
    let link = |number: usize, keys: &str| {
        format!(
            "[link.l{number}]\ngroup = \"g\"\ninterface = \"eth{number}\"\n\
             inside = {{ local = \"10.0.{number}.1/30\", remote = \"10.0.{number}.2\" }}\n{keys}\n"
        )
    };
    let links = [link(0, links[0]), link(1, links[1])].concat();
    format!("[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n{links}[group.g]\n{group}\n")
}

fn config(links: [&str; 2], group: &str) -> Config {
    let loaded = load(&file(links, group), "t.toml").expect("legal");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config
}

/// Rule, and message with fix, of the only finding.
fn finding(links: [&str; 2], group: &str) -> (&'static str, Severity, String) {
    let findings = match load(&file(links, group), "t.toml") {
        Ok(loaded) => loaded.warnings.findings().to_vec(),
        Err(report) => report.findings().to_vec(),
    };
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = &findings[0];
    let said = format!("{}: {}", finding.message, finding.fix);
    (finding.rule, finding.severity, said)
}

#[test]
fn policies_have_margins_and_hold_downs_of_their_own() {
    let seconds = Duration::from_secs;
    let part = |part| Policy::Latency(RttMargin::Part(part));
    let time = |time| Policy::Latency(RttMargin::Time(time));
    let cases = [
        ("", Policy::Priority, 5),
        ("policy = \"latency\"", part(0.1), 30),
        ("policy = \"latency\"\nmargin = \"20%\"", part(0.2), 30),
        (
            "policy = \"latency\"\nmargin = \"5ms\"\nhold-down = \"9s\"",
            time(Duration::from_millis(5)),
            9,
        ),
        ("policy = \"loss\"", Policy::Loss { margin: 0.005 }, 30),
        (
            "policy = \"loss\"\nmargin = \"1%\"",
            Policy::Loss { margin: 0.01 },
            30,
        ),
        ("policy = \"balance\"", Policy::Balance, 5),
    ];
    for (keys, policy, hold_down) in cases {
        let group = &config(["", ""], keys).groups["g"];
        assert_eq!(group.policy, policy, "{keys}");
        assert_eq!(group.hold_down, seconds(hold_down), "{keys}");
    }
}

#[test]
fn links_have_a_cost_and_a_weight_and_may_be_drained() {
    let config = config(
        ["cost = 0.02\ndrain = true", "cost = 1\nweight = 255"],
        "policy = \"cost\"",
    );
    let [first, second] = [&config.links["l0"], &config.links["l1"]];
    assert_eq!(
        (first.cost, first.weight, first.drain),
        (Some(0.02), 1, true)
    );
    assert_eq!(
        (second.cost, second.weight, second.drain),
        (Some(1.0), 255, false)
    );
}

#[test]
fn what_is_wrong_with_a_group_is_said_with_its_remedy() {
    let cases = [
        ("policy = \"fastest\"", "value.unknown", "latency"),
        (
            "margin = \"5ms\"",
            "group.margin",
            "policy `priority` has no margin",
        ),
        (
            "policy = \"latency\"\nmargin = \"5\"",
            "value.duration",
            "\"5s\"",
        ),
        (
            "policy = \"loss\"\nmargin = \"5ms\"",
            "value.percent",
            "0.5%",
        ),
    ];
    for (keys, rule, part) in cases {
        let (found, severity, said) = finding(["", ""], keys);
        assert_eq!((found, severity), (rule, Severity::Error), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_link_for_its_group_is_said_with_its_remedy() {
    let cases = [
        ("cost = \"0.02\"", "", "value.type", "in dollars"),
        ("cost = -1", "", "value.range", "0 to 1000"),
        ("weight = 0", "", "value.range", "255"),
        (
            "cost = 0.02",
            "policy = \"cost\"",
            "group.cost",
            "`l1` has none",
        ),
    ];
    for (keys, group, rule, part) in cases {
        let (found, severity, said) = finding([keys, ""], group);
        assert_eq!((found, severity), (rule, Severity::Error), "{said}");
        assert!(said.contains(part), "{said}");
    }
    let unmeasured = "probe = { method = \"off\" }";
    let (rule, severity, said) = finding([unmeasured, ""], "policy = \"loss\"");
    assert_eq!((rule, severity), ("group.unmeasured", Severity::Warning));
    assert!(said.contains("`l0` is not measured"), "{said}");
}
