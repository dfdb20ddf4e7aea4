//! `md5` and `tcp-ao`.

use std::collections::BTreeSet;

use crate::model::{AoAlgorithm, AoKey, Signing, TcpAo};
use crate::read::section::Section;
use crate::read::{secret, value};
use crate::report::{Sink, Wrong};

/// More than a rotation ever needs at once.
const MOST_KEYS: usize = 8;
const EXAMPLE: &str = "tcp-ao = { keys = [{ id = 1, algorithm = \"aes-128-cmac-96\", \
                       key = { file = \"secrets/peer-1.key\" } }] }";

pub(super) fn signing(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Signing> {
    let md5 = secret::source(section, sink, "md5").map(Signing::Md5);
    let ao = tcp_ao(section, sink).map(Signing::Ao);
    if section.has("md5") && section.has("tcp-ao") {
        let wrong = Wrong::new(
            "peer.signing",
            "a session is signed by `md5` or by `tcp-ao`, not by both",
            "keep the one that the peer speaks; `tcp-ao` is the better one",
        );
        sink.error(section.key_span("md5"), wrong);
    }
    ao.or(md5)
}

fn tcp_ao(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<TcpAo> {
    let mut table = section.table(sink, "tcp-ao", EXAMPLE)?;
    let mut keys = Vec::new();
    for key in table.lists(sink, "keys") {
        keys.extend(ao_key(key, sink));
    }
    let include_tcp_options = table.or(sink, "include-tcp-options", true, value::boolean);
    if !table.has("keys") {
        table.missing(sink, "keys", EXAMPLE);
    } else if table.is_empty_list("keys") || keys.len() > MOST_KEYS {
        let message = format!("this has {} keys", keys.len());
        let fix = format!("1 to {MOST_KEYS} keys; without any, leave `tcp-ao` out");
        let place = sink.place(&format!("{}.keys", table.path()));
        sink.error(place, Wrong::new("tcp-ao.keys", message, fix));
    }
    table.finish(sink);
    (!keys.is_empty())
        .then_some(TcpAo {
            keys,
            include_tcp_options,
        })
        .inspect(|ao| told_apart(ao, &format!("{}.tcp-ao.keys", section.path()), sink))
}

fn ao_key(mut section: Section<'_>, sink: &mut Sink<'_>) -> Option<AoKey> {
    let any = || 0..=u8::MAX;
    let id = section.required(sink, "id", "id = 1", |v| value::integer(v, any()));
    let receive_id = section.optional(sink, "receive-id", |v| value::integer(v, any()));
    let example = "algorithm = \"aes-128-cmac-96\"";
    let algorithm = section.required(sink, "algorithm", example, |v| {
        value::word(v, &AoAlgorithm::ALL)
    });
    if !section.has("key") {
        section.missing(sink, "key", "key = { file = \"secrets/peer-1.key\" }");
    }
    let secret = secret::source(&mut section, sink, "key");
    section.finish(sink);
    Some(AoKey {
        id: id?,
        receive_id: receive_id.or(id)?,
        algorithm: algorithm?,
        secret: secret?,
    })
}

/// RFC 5925 §3.1: the IDs of keys for one connection must not overlap.
fn told_apart(ao: &TcpAo, path: &str, sink: &mut Sink<'_>) {
    let (mut ids, mut receive_ids) = (BTreeSet::new(), BTreeSet::new());
    for key in &ao.keys {
        let (word, id) = if !ids.insert(key.id) {
            ("id", key.id)
        } else if !receive_ids.insert(key.receive_id) {
            ("receive-id", key.receive_id)
        } else {
            continue;
        };
        let message = format!("two keys have the {word} {id}");
        let fix = "give each its own: a segment names its key by it (RFC 5925 §3.1)";
        sink.error(sink.place(path), Wrong::new("tcp-ao.id", message, fix));
    }
}
