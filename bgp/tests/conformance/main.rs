//! Each rule that we keep is a row: where it stands, what it says in our words, what goes in, and
//! what has to come out. One runner drives the real session, decoder and RIB with all of them.
//!
//! `docs/conformance.md` is made from the rows:
//!
//! ```text
//! UPDATE_DOCS=1 cargo test -p bgp --test conformance
//! ```

mod book;
mod describe;
#[path = "../listener/mod.rs"]
mod listener;
mod rib;
mod row;
mod session;
mod update;

mod rfc4271_decision;
mod rfc4271_messages;
mod rfc4271_states;
mod rfc4271_update;
mod rfc7606;
mod rfc_attributes;
mod rfc_kept;
mod rfc_sent;
mod rfc_sessions;

use std::collections::BTreeSet;

use row::Row;

fn rows() -> Vec<Row> {
    [
        rfc4271_messages::rows(),
        rfc4271_update::rows(),
        rfc4271_states::rows(),
        rfc4271_decision::rows(),
        rfc7606::rows(),
        rfc_attributes::rows(),
        rfc_sent::rows(),
        rfc_sessions::rows(),
        rfc_kept::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_row_holds() {
    let rows = rows();
    let wrong: Vec<String> = rows.iter().filter_map(Row::judge).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        assert!(seen.insert(row.id()), "two rows are called {}", row.id());
    }
}

#[test]
fn the_document_says_what_the_rows_say() {
    let wanted = book::write(&rows());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(book::FILE, &wanted).expect("the tree can be written");
    }
    let found = std::fs::read_to_string(book::FILE).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/conformance.md is not what the rows say; run UPDATE_DOCS=1 cargo test -p bgp --test \
         conformance"
    );
}
