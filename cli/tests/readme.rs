//! What README.md tells people to write into the file is checked like any other file.

use std::io::Write;
use std::process::{Command, Stdio};

const README: &str = include_str!("../../README.md");

/// The blocks between "```toml" and "```".
fn toml_blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while lines.any(|line| line == "```toml") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(|line| format!("{line}\n")).collect());
    }
    blocks
}

#[test]
fn the_configuration_in_the_readme_is_good_and_nothing_about_it_is_odd() {
    let blocks = toml_blocks();
    assert_eq!(blocks.len(), 1, "one whole configuration is walked through");
    for block in blocks {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skybridge"))
            .args(["check", "--strict", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin.write_all(block.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stdout).expect("it prints text");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said, "<stdin>: good\n");
    }
}
