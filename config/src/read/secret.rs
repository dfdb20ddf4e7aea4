//! Where a secret is kept. The secret itself has no place in the file, nor in a finding.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::model::SecretSource;
use crate::report::{Sink, Wrong};

use super::section::Section;
use super::value;

const FORMS: &str = "say where it is kept: { file = \"secrets/wg.key\" }, { env = \"WG_KEY\" }, \
                     { credential = \"wg-key\" } or { command = [\"vault\", \"read\", \"…\"] }";

/// The source under `key`; `None` is noted unless the key is absent.
pub(crate) fn source(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    key: &'static str,
) -> Option<SecretSource> {
    if section.kind_of(key).is_some_and(|kind| kind != "a table") {
        // Asked for its place only: whatever it is, it is not repeated.
        let inline = |_: &DeValue<'_>| {
            Err(Wrong::new(
                "secret.inline",
                "a secret does not stand in this file",
                FORMS,
            ))
        };
        return section.optional(sink, key, inline);
    }
    let mut table = section.table(sink, key, FORMS)?;
    let sources: Vec<SecretSource> = [
        table
            .optional(sink, "file", value::text)
            .map(|path| SecretSource::File(PathBuf::from(path))),
        table
            .optional(sink, "env", value::text)
            .map(SecretSource::Env),
        table
            .optional(sink, "credential", value::text)
            .map(SecretSource::Credential),
        command(&mut table, sink),
    ]
    .into_iter()
    .flatten()
    .collect();
    let given = ["file", "env", "credential", "command"]
        .iter()
        .filter(|key| table.has(key))
        .count();
    if given != 1 {
        let message = if given == 0 {
            "this does not say where the secret is"
        } else {
            "this names more than one place for the secret"
        };
        sink.error(table.span(), Wrong::new("secret.source", message, FORMS));
    }
    table.finish(sink);
    sources.into_iter().next().filter(|_| given == 1)
}

fn command(table: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<SecretSource> {
    if !table.has("command") {
        return None;
    }
    let example = "[\"vault\", \"read\", \"…\"]";
    let words = table.list(sink, "command", example, value::text);
    if words.is_empty() && table.kind_of("command") == Some("a list") {
        let wrong = Wrong::new(
            "value.empty",
            "this command has no program",
            format!("write {example}"),
        );
        sink.error(sink.place(&format!("{}.command", table.path())), wrong);
    }
    (!words.is_empty()).then_some(SecretSource::Command(words))
}
