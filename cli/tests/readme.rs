//! What the documentation tells people to write into the file is checked like any other file.

use std::io::Write;
use std::process::{Command, Stdio};

const README: &str = include_str!("../../README.md");
const FILTERS: &str = include_str!("../../docs/filters.md");

/// The blocks between "```toml" and "```".
fn toml_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == "```toml") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(|line| format!("{line}\n")).collect());
    }
    blocks
}

#[test]
fn the_configuration_in_the_readme_is_good_and_nothing_about_it_is_odd() {
    let blocks = toml_blocks(README);
    assert_eq!(blocks.len(), 1, "one whole configuration is walked through");
    for block in blocks {
        let check = [env!("CARGO_BIN_EXE_skybridge"), "check", "--strict", "-"];
        assert_eq!(run(&check, &block), (0, "<stdin>: good\n".to_owned()));
    }
}

/// Exit code and standard output of a command that gets `input`.
fn run(command: &[&str], input: &str) -> (i32, String) {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stdout).expect("it prints text");
    (output.status.code().expect("it was not killed"), said)
}

fn router_with(block: &str) -> String {
    format!("[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n{block}")
}

#[test]
fn what_the_documentation_says_about_filters_is_good() {
    let blocks = toml_blocks(FILTERS);
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let check = [env!("CARGO_BIN_EXE_skybridge"), "check", "-"];
        let (code, said) = run(&check, &router_with(&block));
        assert_eq!(code, 0, "{said}");
        let rest =
            said.matches("warning[").count() - said.matches("warning[filter.unused]").count();
        assert_eq!(rest, 0, "{said}");
    }
}

#[test]
fn the_explanation_in_the_documentation_is_what_is_printed() {
    let mut lines = FILTERS
        .lines()
        .map_while(|line| Some(line.strip_prefix("    ").unwrap_or("")));
    let typed = "$ skybridge filter test skybridge.toml ";
    let rest = lines
        .find_map(|line| line.strip_prefix(typed))
        .expect("it is typed");
    let expected: String = lines
        .take_while(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    let command = format!("{} filter test - {rest}", env!("CARGO_BIN_EXE_skybridge"));
    let block = toml_blocks(FILTERS).remove(0);
    assert_eq!(
        run(&["sh", "-c", &command], &router_with(&block)),
        (0, expected)
    );
}
