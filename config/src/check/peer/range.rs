//! Listen ranges: whose caller is it?

use crate::check::{overlap, pairs};
use crate::model::Range;
use crate::read::Draft;
use crate::report::{Sink, Wrong};

use super::{documentation_asn, terms};

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, range) in &draft.ranges {
        let path = format!("listen.{name}");
        documentation_asn(range.peer.asn, &format!("{path}.asn"), sink);
        terms::check(&range.peer, &path, draft.router.as_ref(), sink);
        names(name, &path, sink);
        local_address(range, &path, sink);
        everybody(range, &path, sink);
        without_filter(range, &path, sink);
        if draft.peers.contains_key(name) {
            let message = format!("a peer is named `{name}` as well");
            let wrong = Wrong::new("peer.name", message, "rename one of them");
            sink.error(sink.place(&path), wrong);
        }
    }
    let ranges: Vec<(&String, &Range)> = draft.ranges.iter().collect();
    for ((_, (first, a)), (_, (second, b))) in pairs(&ranges) {
        if overlap(&a.network, &b.network) {
            let message = format!("{} overlaps {} of `{first}`", b.network, a.network);
            let fix = "make them apart: a caller could not be told which it belongs to";
            let place = sink.place(&format!("listen.{second}.range"));
            sink.error(place, Wrong::new("listen.overlap", message, fix));
        }
    }
}

/// Its peers are called by this name and their address; a label is not to grow without end.
fn names(name: &str, path: &str, sink: &mut Sink<'_>) {
    const LONGEST: usize = 20;
    if name.len() > LONGEST {
        let message = format!("its peers will be called {name}-ADDRESS, which is long");
        let fix = format!("use at most {LONGEST} characters");
        sink.error(sink.place(path), Wrong::new("name.invalid", message, fix));
    }
}

fn local_address(range: &Range, path: &str, sink: &mut Sink<'_>) {
    let local = range.peer.local_address;
    if local.is_some_and(|local| local.is_ipv4() != range.network.addr().is_ipv4()) {
        let message = format!("this and {} are not of one family", range.network);
        let fix = "write our own address toward these peers";
        let place = sink.place(&format!("{path}.local-address"));
        sink.error(place, Wrong::new("peer.address", message, fix));
    }
}

/// RFC 8212, as for any peer.
fn without_filter(range: &Range, path: &str, sink: &mut Sink<'_>) {
    let filters = [
        ("import", &range.peer.import),
        ("export", &range.peer.export),
    ];
    for (key, _) in filters.into_iter().filter(|(_, filter)| filter.is_none()) {
        let message = format!("without `{key}` nothing passes in that direction (RFC 8212)");
        let fix = format!("name a filter: `{key} = \"…\"`");
        sink.warning(sink.place(path), Wrong::new("filter.missing", message, fix));
    }
}

fn everybody(range: &Range, path: &str, sink: &mut Sink<'_>) {
    if range.network.prefix_len() == 0 && range.peer.signing.is_none() {
        let message = "whoever can reach us may be a peer";
        let fix = "name the network that they are in, or add `tcp-ao` or `md5`";
        let place = sink.place(&format!("{path}.range"));
        sink.warning(place, Wrong::new("listen.everybody", message, fix));
    }
}
