//! The rules across items: each has a name, and says what would be right.

mod link;
mod peer;
mod policy;
mod profile;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::read::Draft;
use crate::report::{Sink, Wrong};

/// Notes everything that is wrong with the items of the draft together.
pub(crate) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    originate(draft, sink);
    listen(draft, sink);
    link::check(draft, sink);
    peer::check(draft, sink);
    profile::check(draft, sink);
    policy::check(draft, sink);
    metrics(draft, sink);
}

/// Every pair of neighbours in the order of the list, each once, with their positions.
fn pairs<T>(items: &[T]) -> impl Iterator<Item = ((usize, &T), (usize, &T))> {
    items.iter().enumerate().flat_map(|(i, a)| {
        let later = items.iter().enumerate().skip(i + 1);
        later.map(move |(j, b)| ((i, a), (j, b)))
    })
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn originate(draft: &Draft, sink: &mut Sink<'_>) {
    for ((_, a), (j, b)) in pairs(&draft.originate) {
        if overlap(a, b) {
            let message = format!("{b} and {a} overlap");
            let wrong = Wrong::new("originate.overlap", message, "the wider one announces both");
            sink.warning(sink.place(&format!("originate.prefixes[{j}]")), wrong);
        }
    }
    for (i, prefix) in draft.originate.iter().enumerate() {
        if prefix.prefix_len() == 0 {
            let wrong = Wrong::new(
                "leak.default-route",
                format!("{prefix} makes this router everybody's way to everything"),
                "list the prefixes that are really behind this router",
            );
            sink.warning(sink.place(&format!("originate.prefixes[{i}]")), wrong);
        }
    }
}

fn listen(draft: &Draft, sink: &mut Sink<'_>) {
    let Some(router) = &draft.router else { return };
    for ((_, a), (j, b)) in pairs(&router.listen) {
        if a == b {
            let wrong = Wrong::new(
                "listen.taken",
                format!("{b} is listed twice"),
                "keep one of them",
            );
            sink.error(sink.place(&format!("router.listen[{j}]")), wrong);
        }
    }
}

fn metrics(draft: &Draft, sink: &mut Sink<'_>) {
    let Some(listen) = draft
        .metrics
        .listen
        .filter(|listen| !is_loopback(listen.ip()))
    else {
        return;
    };
    let wrong = Wrong::new(
        "metrics.public",
        format!("whoever reaches {listen} can read the metrics: they are not authenticated"),
        format!(
            "listen on \"127.0.0.1:{}\", or let a firewall guard it",
            listen.port()
        ),
    );
    sink.warning(sink.place("metrics.listen"), wrong);
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
