//! `bfd = { … }` of a link, or of a peer that is on none.

use std::time::Duration;

use crate::model::{Bfd, BfdAuth, BfdAuthKind, Distance, Peer, PeerBfd};
use crate::report::Sink;

use super::section::Section;
use super::{secret, value};

const EXAMPLE: &str = "bfd = { interval = \"300ms\" }";

/// Of a link.
pub(crate) fn of_link(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Bfd> {
    let mut table = section.table(sink, "bfd", EXAMPLE)?;
    let bfd = terms(&mut table, sink);
    table.finish(sink);
    bfd
}

/// Of a peer, whose other keys say how far away it is unless `hops` does.
///
/// - `router_asn`: our own AS, where it is known
pub(crate) fn of_peer(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    peer: &Peer,
    router_asn: Option<u32>,
) -> Option<PeerBfd> {
    let mut table = section.table(sink, "bfd", EXAMPLE)?;
    let bfd = terms(&mut table, sink);
    let usual = match peer.distance {
        Distance::Connected => 1,
        // What is internal may be any number of hops away, and says so nowhere.
        Distance::Multihop(_) if Some(peer.asn) == router_asn => 1,
        Distance::Multihop(hops) | Distance::Secured(hops) => hops,
    };
    let hops = table.or(sink, "hops", usual, |v| value::integer(v, 1..=u8::MAX));
    table.finish(sink);
    Some(PeerBfd { bfd: bfd?, hops })
}

fn terms(table: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Bfd> {
    let interval = table.or(sink, "interval", Duration::from_millis(300), |v| {
        value::duration(v, Duration::from_millis(10)..=Duration::from_secs(60))
    });
    let multiplier = table.or(sink, "multiplier", 3, |v| value::integer(v, 2..=u8::MAX));
    let strict = table.or(sink, "strict", false, value::boolean);
    let auth = table
        .table(
            sink,
            "auth",
            "auth = { type = \"keyed-sha1\", key = { file = \"secrets/bfd.key\" } }",
        )
        .map(|auth| authentication(auth, sink));
    // Without the key that was asked for there is no session, rather than one that believes anybody.
    let auth = match auth {
        Some(Some(auth)) => Some(auth),
        Some(None) => return None,
        None => None,
    };
    Some(Bfd {
        interval,
        multiplier,
        strict,
        auth,
    })
}

fn authentication(mut table: Section<'_>, sink: &mut Sink<'_>) -> Option<BfdAuth> {
    let kinds = [
        ("keyed-sha1", BfdAuthKind::KeyedSha1),
        ("meticulous-keyed-sha1", BfdAuthKind::MeticulousKeyedSha1),
    ];
    let kind = table.required(sink, "type", "type = \"keyed-sha1\"", |v| {
        value::word(v, &kinds)
    });
    let id = table.or(sink, "id", 1, |v| value::integer(v, 0..=u8::MAX));
    if !table.has("key") {
        table.missing(sink, "key", "key = { file = \"secrets/bfd.key\" }");
    }
    let key = secret::source(&mut table, sink, "key");
    table.finish(sink);
    Some(BfdAuth {
        kind: kind?,
        id,
        key: key?,
    })
}
