//! `skybridge filter test`, as the built binary.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

const FILE: &str = r#"
[router]
name = "r"
asn = 65010
id = "10.0.0.1"
[peer.aws]
address = "192.0.2.1"
asn = 64512
import = "from-aws"
[prefix-list.bogons]
prefixes = ["192.168.0.0/16 le 32"]
[[filter.from-aws]]
call = "common"
[[filter.from-aws]]
name = "customers"
prefix = "10.0.0.0/8 le 24"
as-path = "^64512_"
action = "accept"
set = { local-pref = 200, add-community = "65010:100", delete-community = "64512:*" }
[[filter.common]]
prefix-list = "bogons"
action = "reject"
[[filter.common]]
name = "tag"
action = "next"
set = { med = "+5" }
"#;

const ACCEPTED: &str =
    "prefix=10.1.0.0/16 as-path=\"64512 7\" community=64512:1,no-export med=10 nexthop=192.0.2.1";

/// Runs it with `FILE`, which comes over the standard input.
fn test(arguments: &[&str]) -> (i32, String, String) {
    test_with(FILE, &["filter", "test", "-"], arguments)
}

fn test_with(input: &str, command: &[&str], arguments: &[&str]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skybridge"))
        .args(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    // Wrong usage is found before anything is read.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    let code = output.status.code().expect("it was not killed");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn an_accepted_route_is_shown_with_what_each_rule_did_and_what_changed() {
    let (code, said, why) = test(&["--filter", "from-aws", "--route", ACCEPTED]);
    assert_eq!((code, why.as_str()), (0, ""));
    assert_eq!(
        said,
        "\
10.1.0.0/16  as-path 64512 7  nexthop 192.0.2.1  origin igp  med 10  community 64512:1 65535:65281
  from-aws 1            match, asks common
    common 1            no match: prefix-list
    common 2 tag        match, goes on
  from-aws 2 customers  match, accepts
accepted by rule 2 of from-aws
  med              10 -> 15
  local-pref       none -> 200
  community        - 64512:1
  community        + 65010:100
"
    );
}

#[test]
fn a_rejected_route_is_1_and_says_why() {
    let run = |route| test(&["--filter", "from-aws", "--route", route]);
    let (code, said, _) = run("prefix=192.168.1.0/24");
    assert_eq!(code, 1);
    assert!(
        said.ends_with("match, rejects\nrejected by rule 1 of common\n"),
        "{said}"
    );
    let (code, said, _) = run("prefix=10.1.0.0/16 as-path=\"7 64512\"");
    assert_eq!(code, 1);
    assert!(
        said.contains("from-aws 2 customers  no match: as-path\n"),
        "{said}"
    );
    assert!(
        said.ends_with("rejected because no rule decides\n"),
        "{said}"
    );
    let (code, said, _) = run("prefix=0.0.0.0/0");
    assert_eq!(code, 1);
    assert!(said.contains("only where it is named exactly"), "{said}");
}

#[test]
fn one_rejected_route_among_many_is_1_and_each_is_an_object() {
    let arguments = [
        "--json",
        "--peer",
        "aws",
        "--direction",
        "import",
        "--route",
        ACCEPTED,
    ];
    let (code, said, why) = test(&[&arguments[..], &["--route", "prefix=::/0"]].concat());
    assert_eq!((code, why.as_str()), (1, ""));
    let objects: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    assert_eq!(objects.len(), 2);
    let accepted = &objects[0];
    assert_eq!(accepted["verdict"], "accept");
    assert_eq!(accepted["decided_by"]["name"], "customers");
    assert_eq!(accepted["rules"][1]["failed"], "prefix-list");
    assert_eq!(accepted["rules"][1]["depth"], 1);
    assert_eq!(
        (&accepted["before"]["med"], &accepted["after"]["med"]),
        (&10.into(), &15.into())
    );
    assert_eq!(accepted["after"]["community"][0], "65010:100");
    assert_eq!(objects[1]["verdict"], "reject");
    assert_eq!(
        (&objects[1]["decided_by"], &objects[1]["after"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn routes_come_from_a_file_and_its_wrong_lines_are_named() {
    let path = std::env::temp_dir().join(format!("skybridge-cli-filter-{}", std::process::id()));
    std::fs::write(&path, FILE).expect("a scratch file can be written");
    let file = path.to_str().expect("it is text");
    let command = [
        "filter", "test", file, "--filter", "from-aws", "--routes", "-",
    ];
    let routes = format!("# two routes\n{ACCEPTED}\n\n{ACCEPTED}\n");
    let (code, said, _) = test_with(&routes, &command, &[]);
    assert_eq!(
        (code, said.matches("accepted by").count()),
        (0, 2),
        "{said}"
    );
    let (code, _, why) = test_with("# none\nprefix=10.0.0.0/8 medd=1\n", &command, &[]);
    assert_eq!(code, 2);
    assert!(
        why.contains("<stdin>:2: `medd` is not known; did you mean `med`?"),
        "{why}"
    );
    std::fs::remove_file(&path).expect("it was written");
}

#[test]
fn what_cannot_be_read_is_2_with_the_remedy() {
    let route = ["--route", "prefix=10.0.0.0/8"];
    for (arguments, part) in [
        (
            &["--filter", "from-azure"][..],
            "there are: common, from-aws",
        ),
        (
            &["--filter", "common", "--direction", "export"],
            "no peer uses filter common for export",
        ),
        (
            &["--peer", "azure", "--direction", "import"],
            "no peer is called azure; there are: aws",
        ),
        (
            &["--peer", "aws", "--direction", "export"],
            "no export filter",
        ),
        (&["--peer", "aws"], "--direction"),
        (&[], "--filter"),
    ] {
        let (code, said, why) = test(&[arguments, &route].concat());
        assert_eq!((code, said.as_str()), (2, ""), "{arguments:?}");
        assert!(why.contains(part), "{arguments:?}: {why}");
    }
    let (code, _, why) = test(&["--filter", "common"]);
    assert_eq!(code, 2);
    assert!(why.contains("--route"), "{why}");
    let (code, _, why) = test(&["--filter", "common", "--route", "10.0.0.0/8"]);
    assert_eq!(code, 2);
    assert!(why.contains("`10.0.0.0/8` has no value"), "{why}");
    let (code, _, why) = test(&["--filter", "common", "--routes", "-"]);
    assert_eq!(code, 2);
    assert!(why.contains("both"), "{why}");
    let wrong = FILE.replace("\"^64512_\"", "\"(\"");
    let arguments = ["--filter", "common", route[0], route[1]];
    let (code, _, why) = test_with(&wrong, &["filter", "test", "-"], &arguments);
    assert_eq!(code, 2);
    assert!(
        why.contains("<stdin>:17:11:") && why.contains("[filter.regex]"),
        "{why}"
    );
}
