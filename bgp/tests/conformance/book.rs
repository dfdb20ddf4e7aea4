//! `docs/conformance.md`, from the rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::row::{Row, Shown};

pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");

const HEAD: &str = "# Which rules of BGP are kept, and how that is known

Made from the rows of `bgp/tests/conformance`, each of which runs in every test run; do not edit. After a change of
rows: `UPDATE_DOCS=1 cargo test -p bgp --test conformance`.

In sessions we are AS 65001 with identifier 10.0.0.1, and the peer is AS 65002. Attributes and messages are in
hexadecimal. Peers of decisions: A, C and D are in AS 65002 (D has the identifier of A), B in AS 65003, I and J in ours.
";

/// What is not there, and why: RFC, subject, reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "4271 §8.1.1, DelayOpen, DampPeerOscillations",
        "Optional; backoff with jitter does what damping was for.",
    ),
    (
        "4271 §9.1.2.2 e, interior cost",
        "There is no interior routing protocol.",
    ),
    (
        "4271 §9.2.1.1, MinRouteAdvertisementInterval",
        "What a peer is owed is a set of prefixes, so a slow reader gets the latest state once.",
    ),
    (
        "4360 §6, 5668, 7153",
        "Extended communities are carried; what they mean is policy.",
    ),
    (
        "5065, confederations",
        "Their segments are refused as RFC 7606 says of malformed paths.",
    ),
    (
        "5004, an external path that is older stays",
        "The lowest identifier wins at once (row 4271-9.1.2.2-order): what is chosen does not depend on the order of \
         arrival, so routers choose alike, and one does after a restart as before.",
    ),
    ("6811, origin validation", "No RPKI client."),
];

pub(crate) fn write(rows: &[Row]) -> String {
    let mut chapters: BTreeMap<u16, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        chapters.entry(row.place().0).or_default().push(row);
    }
    let mut book = HEAD.to_owned();
    let put = |book: &mut String, line: &str| writeln!(book, "{line}").expect("a string");
    put(&mut book, "\n| RFC | Rows | Sections |\n|---|---|---|");
    for (rfc, rows) in &chapters {
        let mut sections: Vec<&str> = rows.iter().map(|row| row.place().1).collect();
        sections.dedup();
        sections.sort_unstable();
        sections.dedup();
        put(
            &mut book,
            &format!("| {rfc} | {} | {} |", rows.len(), sections.join(", ")),
        );
    }
    put(
        &mut book,
        &format!(
            "\n{} rows. Left out on purpose:\n\n| What | Why |\n|---|---|",
            rows.len()
        ),
    );
    for (what, why) in LEFT_OUT {
        put(&mut book, &format!("| RFC {what} | {why} |"));
    }
    for (rfc, rows) in &chapters {
        put(
            &mut book,
            &format!("\n## RFC {rfc}\n\n| Row | Rule | Input | Outcome |\n|---|---|---|---|"),
        );
        for row in rows {
            put(&mut book, &line(row));
        }
    }
    book
}

fn line(row: &Row) -> String {
    let Shown { input, output } = row.show();
    let (id, rule) = (row.id(), row.rule);
    let [input, output] = [input, output].map(|text| text.replace('|', "\\|"));
    format!("| {id} | {rule} | {input} | {output} |")
}
