//! Secrets that stand in a file where only their source may stand: they never reach a finding.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::nearest::distance;

/// Keys of a secret's table whose values say where it is, not what it is.
const SOURCES: [&str; 4] = ["file", "env", "credential", "command"];
const SECRET_WORDS: [&str; 8] = [
    "md5",
    "passw",
    "preshared",
    "private",
    "psk",
    "secret",
    "tcp-ao",
    "token",
];
/// Speaks of private AS numbers.
const NOT_SECRET: &str = "remove-private";

/// The text with every secret replaced by as many bytes of `*`: all offsets stay true.
///
/// `broken`: the tree is a guess after a syntax error, so the lines are searched as well.
pub(crate) fn mask(text: &str, tree: &DeTable<'_>, broken: bool) -> String {
    let mut ranges = Vec::new();
    in_table(tree, &mut ranges);
    key_like(text, &mut ranges);
    if broken {
        in_lines(text, &mut ranges);
    }
    let mut bytes = text.as_bytes().to_vec();
    for at in ranges.into_iter().flatten() {
        if let Some(byte) = bytes.get_mut(at).filter(|byte| !byte.is_ascii_whitespace()) {
            *byte = b'*';
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The same for a sentence of ours, which may quote a value.
pub(crate) fn mask_sentence(text: &str) -> String {
    let mut ranges = Vec::new();
    key_like(text, &mut ranges);
    let mut masked = text.to_owned();
    for range in ranges {
        let stars = "*".repeat(range.len());
        masked.replace_range(range, &stars);
    }
    masked
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let has = |word: &&str| key.contains(*word);
    (key != NOT_SECRET && SECRET_WORDS.iter().any(has))
        || key == "key"
        || ["private-key", "preshared-key", "accept-key"]
            .iter()
            .any(|known| key.len() < 32 && distance(&key, known) <= 3)
}

fn in_table(table: &DeTable<'_>, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        match value.get_ref() {
            // Its keys are tables of their own.
            DeValue::Table(inner) if key.get_ref() == "tcp-ao" => in_table(inner, ranges),
            DeValue::Table(inner) if is_secret(key.get_ref()) => in_secret(inner, ranges),
            _ if is_secret(key.get_ref()) => ranges.push(value.span()),
            DeValue::Table(inner) => in_table(inner, ranges),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        in_table(inner, ranges);
                    }
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

fn in_secret(table: &DeTable<'_>, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        if !SOURCES.contains(&key.get_ref().as_ref()) {
            ranges.push(value.span());
        }
    }
}

/// Whatever looks like a WireGuard key, 43 letters of Base64 and `=`, and is not called public.
fn key_like(text: &str, ranges: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') {
            continue;
        }
        if *byte == b'=' && at >= start + 43 {
            let range = at - 43..at + 1;
            if !is_public(bytes.get(..range.start).unwrap_or_default()) {
                ranges.push(range);
            }
        }
        start = at + 1;
    }
}

fn is_public(before: &[u8]) -> bool {
    let end = before
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'='))
        .map_or(0, |at| at + 1);
    before
        .get(..end)
        .is_some_and(|before| before.ends_with(b"public-key"))
}

/// After `private-key =` and the like: the rest of the line, and of a string of several lines.
fn in_lines(text: &str, ranges: &mut Vec<Range<usize>>) {
    for word in [
        "accept-key",
        "md5",
        "passw",
        "preshared",
        "private",
        "psk",
        "tcp-ao",
    ] {
        for (at, _) in text.match_indices(word) {
            let rest = text.get(at..).unwrap_or_default();
            let line = rest.lines().next().unwrap_or_default();
            let Some(equals) = line.find('=') else {
                continue;
            };
            let value = rest.get(equals + 1..).unwrap_or_default();
            let skipped = value.len() - value.trim_start_matches([' ', '\t']).len();
            let value = value.get(skipped..).unwrap_or_default();
            if names_a_source(value) {
                continue;
            }
            let start = at + equals + 1 + skipped;
            ranges.push(start..start + secret_length(value));
        }
    }
}

fn names_a_source(value: &str) -> bool {
    value.strip_prefix('{').is_some_and(|inside| {
        let inside = inside.trim_start();
        SOURCES.iter().any(|source| inside.starts_with(source))
    })
}

fn secret_length(value: &str) -> usize {
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inside) = value.strip_prefix(quotes) {
            return inside.find(quotes).map_or(value.len(), |end| end + 6);
        }
    }
    value.find('\n').unwrap_or(value.len())
}
