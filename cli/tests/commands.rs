//! The built binary: exit codes, and what it prints when a daemon answers.

#[path = "commands/daemon.rs"]
mod daemon;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use daemon::Daemon;
use serde_json::Value;

const GOOD: &str = include_str!("../../packaging/skybridge.toml");

/// A directory that goes when the test does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("skybridge-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a scratch file can be written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn skybridge(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skybridge"));
    command
        .env_remove("NO_COLOR")
        .env("TZ", "UTC")
        .env("SKYBRIDGE_SOCKET", socket);
    command
}

fn run(socket: &Path, arguments: &[&str]) -> (i32, String, String) {
    finish(
        skybridge(socket)
            .args(arguments)
            .output()
            .expect("the binary runs"),
    )
}

fn finish(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    let code = output.status.code().expect("it was not killed");
    (code, text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

const NOWHERE: &str = "/nonexistent/skybridge.sock";

#[test]
fn check_says_by_its_exit_code_whether_a_file_is_good() {
    let scratch = Scratch::new("check");
    let good = scratch.file("good.toml", GOOD);
    let odd = scratch.file(
        "odd.toml",
        &GOOD.replace("[metrics]", "[metrics]\nlisten = \"0.0.0.0:9179\""),
    );
    let bad = scratch.file("bad.toml", &GOOD.replace("asn  = 65010", "asn  = 0"));
    let check = |file: &Path, more: &[&str]| {
        let file = file.to_str().expect("it is text");
        run(Path::new(NOWHERE), &[&["check", file], more].concat())
    };
    let (code, said, _) = check(&good, &[]);
    assert_eq!(
        (code, said.trim_end().ends_with("good.toml: good")),
        (0, true),
        "{said}"
    );
    let (code, said, _) = check(&odd, &[]);
    assert_eq!(
        (code, said.contains("warning[metrics.public]")),
        (0, true),
        "{said}"
    );
    assert!(said.ends_with("odd.toml: good, with 1 warning\n"), "{said}");
    assert_eq!(check(&odd, &["--strict"]).0, 1);
    let (code, said, _) = check(&bad, &[]);
    assert_eq!(
        (code, said.contains("error[asn.reserved]: AS 0 is reserved")),
        (1, true),
        "{said}"
    );
    assert!(said.ends_with("bad.toml: 1 error\n"), "{said}");
    let (code, said, why) = check(&scratch.0.join("none.toml"), &[]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(
        why.contains("cannot read") && why.contains("No such file"),
        "{why}"
    );
}

#[test]
fn check_for_programs_is_one_object() {
    let scratch = Scratch::new("check-json");
    let bad = scratch.file(
        "bad.toml",
        "[router]\nname = \"r\"\nasn = 0\nid = \"10.0.0.1\"\n",
    );
    let arguments = ["--json", "check", bad.to_str().expect("it is text")];
    let (code, said, _) = run(Path::new(NOWHERE), &arguments);
    let json: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(
        (code, &json["errors"], &json["warnings"]),
        (1, &1.into(), &0.into())
    );
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"]),
        (&"asn.reserved".into(), &"error".into())
    );
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&3.into(), &7.into())
    );
    assert_eq!(finding["text"], "asn = 0");
}

#[test]
fn check_reads_the_standard_input_and_refuses_what_is_no_text() {
    for (input, code, part) in [
        (GOOD.as_bytes(), 0, "<stdin>: good"),
        (b"a = \"\xff\"", 2, "not UTF-8"),
    ] {
        let mut child = skybridge(Path::new(NOWHERE))
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        let (found, said, why) = finish(child.wait_with_output().expect("it ends"));
        assert_eq!(found, code, "{said}{why}");
        assert!(format!("{said}{why}").contains(part), "{said}{why}");
    }
}

#[test]
fn without_a_daemon_the_remedy_is_said() {
    let (code, said, why) = run(Path::new(NOWHERE), &["status"]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(
        why.contains("skybridged is not running, or listens elsewhere"),
        "{why}"
    );
    assert!(why.contains(NOWHERE) && why.contains("--socket"), "{why}");
    let scratch = Scratch::new("stale");
    let stale = scratch.0.join("s");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket can be made"));
    let (code, _, why) = run(&stale, &["show", "links"]);
    assert_eq!(
        (code, why.contains("nobody listens at")),
        (2, true),
        "{why}"
    );
}

#[test]
fn completions_are_a_script_and_need_no_daemon() {
    let (code, said, _) = run(Path::new(NOWHERE), &["completions", "bash"]);
    assert_eq!((code, said.contains("_skybridge()")), (0, true), "{said}");
}

#[test]
fn every_command_prints_what_the_daemon_answers() {
    let scratch = Scratch::new("answers");
    let daemon = Daemon::start(&scratch.0.join("s"));
    for (arguments, part) in [
        (&["status"][..], "nva-test  AS 65010  id 10.0.0.1"),
        (&["show", "links"], "wg-a  up"),
        (&["show", "groups"], "azure  priority  wg-a"),
        (&["show", "peers"], "gw    64512  192.0.2.1  established"),
        (
            &["show", "bgp", "summary"],
            "gw    64512  192.0.2.1  established",
        ),
        (
            &["show", "bgp", "neighbors", "gw"],
            "router id       192.0.2.9",
        ),
        (
            &["show", "bgp", "neighbors", "192.0.2.1"],
            "router id       192.0.2.9",
        ),
        (&["show", "peers", "gw"], "router id       192.0.2.9"),
        (
            &["reset", "gw", "--message", "back at four"],
            "Session back at four\n",
        ),
        (&["reset", "gw", "--hard"], "Hard"),
        (&["reset", "gw", "--soft", "in"], "SoftIn"),
        (
            &["reset", "gw", "--soft", "out", "--json"],
            "\"done\": \"SoftOut \"",
        ),
        (
            &["drill", "fail", "wg-a", "--for", "1m30s"],
            "   90.000 s  Silence 0\n",
        ),
        (
            &["drill", "loss", "wg-a", "--percent", "5", "--for", "2s"],
            "Loss 0.05\n",
        ),
        (
            &["drill", "delay", "wg-a", "--by", "80ms", "--for", "2s"],
            "Delay 0.080s\n",
        ),
        (
            &["drill", "withdraw", "wg-a", "--for", "2s", "--json"],
            "{\"report\":{\"lasted\":null,",
        ),
        (&["drill", "stop"], "the drill is ended"),
        (&["drain", "wg-a"], "wg-a: waiting: Drain\nwg-a: Drain\n"),
        (
            &["undrain", "wg-a", "--timeout", "0s", "--json"],
            "{\"stage\":\"done\",\"text\":\"Carry\"}",
        ),
        (&["show", "tunnels"], "wg-a    up     wireguard  kernel"),
        (
            &["show", "routes"],
            "* 10.20.0.0/16       via 10.99.0.1 link wg-a  AS 65020",
        ),
        (
            &["watch", "--history", "--no-follow"],
            "link-state      wg-a          up: 5 answers",
        ),
        (&["reload"], "revision 2\n  link wg-b: added\n"),
    ] {
        let (code, said, why) = run(&daemon.socket, arguments);
        assert_eq!((code, why.as_str()), (0, ""), "{arguments:?}");
        assert!(said.contains(part), "{arguments:?}:\n{said}");
        assert!(!said.contains('\u{1b}'), "no colours into a pipe: {said:?}");
    }
}

#[test]
fn json_has_the_documented_shape() {
    let scratch = Scratch::new("json");
    let daemon = Daemon::start(&scratch.0.join("s"));
    let object = |arguments: &[&str]| -> Value {
        let (code, said, why) = run(&daemon.socket, arguments);
        assert_eq!(code, 0, "{why}");
        serde_json::from_str(&said).expect("one object")
    };
    assert_eq!(object(&["status", "--json"])["router_name"], "nva-test");
    assert_eq!(
        object(&["show", "links", "--json"])["links"][0]["state"],
        "up"
    );
    assert_eq!(
        object(&["show", "groups", "--json"])["groups"][0]["last_move"],
        Value::Null
    );
    assert_eq!(
        object(&["show", "peers", "--json"])["peers"][0]["hold_time_seconds"],
        90.0
    );
    assert_eq!(
        object(&["show", "tunnels", "--json"])["tunnels"][0]["backend"],
        "kernel"
    );
    assert_eq!(
        object(&["reload", "--json"])["changes"][0],
        "link wg-b: added"
    );
    let (_, routes, _) = run(&daemon.socket, &["show", "routes", "--json"]);
    let routes = lines(&routes);
    assert_eq!(
        (routes.len(), &routes[0]["paths"][0]["best"]),
        (2, &true.into())
    );
    let (_, events, _) = run(
        &daemon.socket,
        &["watch", "--history", "--no-follow", "--json"],
    );
    let events = lines(&events);
    assert_eq!((events.len(), &events[1]["sequence"]), (2, &2.into()));
}

#[test]
fn a_negative_answer_is_1_and_a_failure_is_2() {
    let scratch = Scratch::new("codes");
    let daemon = Daemon::start(&scratch.0.join("s"));
    let (code, said, _) = run(&daemon.socket, &["show", "routes", "192.0.2.0/24"]);
    assert_eq!((code, said.as_str()), (1, "no routes to 192.0.2.0/24\n"));
    let (code, _, why) = run(&daemon.socket, &["show", "routes", "nonsense"]);
    assert_eq!((code, why.contains("not a prefix")), (2, true), "{why}");
    let (code, _, why) = run(&daemon.socket, &["show", "bgp", "neighbors", "nobody"]);
    assert_eq!(
        (
            code,
            why.contains("no peer is called nobody; there are: gw")
        ),
        (2, true),
        "{why}"
    );
    let (code, _, why) = run(&daemon.socket, &["reset", "nobody"]);
    assert_eq!(
        (code, why.contains("no peer is called nobody")),
        (1, true),
        "{why}"
    );
    for wrong in [&["reset"][..], &["reset", "gw", "--soft", "in", "--hard"]] {
        assert_eq!(run(&daemon.socket, wrong).0, 2, "{wrong:?}");
    }
    let (code, _, why) = run(&daemon.socket, &["drill", "fail", "wg-b", "--for", "2s"]);
    assert_eq!((code, why.contains("nowhere to go")), (1, true), "{why}");
    for wrong in ["0s", "2h", "long"] {
        let (code, _, why) = run(&daemon.socket, &["drill", "fail", "wg-a", "--for", wrong]);
        assert_eq!(
            (code, why.contains("from \"1s\" to \"1h\"")),
            (2, true),
            "{why}"
        );
    }
    for wrong in ["0s", "11s", "80"] {
        let words = ["drill", "delay", "wg-a", "--for", "2s", "--by", wrong];
        let (code, _, why) = run(&daemon.socket, &words);
        assert_eq!(
            (code, why.contains("from \"1ms\" to \"10s\"")),
            (2, true),
            "{why}"
        );
    }
    assert_eq!(run(&daemon.socket, &["drain", "wg-b"]).0, 1, "not in time");
    let (code, _, why) = run(&daemon.socket, &["undrain", "nobody"]);
    assert_eq!(
        (code, why.contains("no link is called")),
        (1, true),
        "{why}"
    );
    daemon.refuse_reload();
    let (code, _, why) = run(&daemon.socket, &["reload"]);
    assert_eq!(
        (code, why.contains("nothing changed: t.toml:1:1")),
        (1, true),
        "{why}"
    );
    let (code, ..) = run(&daemon.socket, &["show", "nothing"]);
    assert_eq!(code, 2);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let scratch = Scratch::new("pipe");
    let daemon = Daemon::start(&scratch.0.join("s"));
    let mut child = skybridge(&daemon.socket)
        .args(["watch", "--history"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let (code, _, why) = finish(child.wait_with_output().expect("it ends"));
    assert_eq!((code, why.as_str()), (0, ""));
}
