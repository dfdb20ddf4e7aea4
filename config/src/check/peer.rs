//! Peers: names that must exist, addresses that must differ, AS numbers that are not real.

use std::net::IpAddr;

use crate::model::Peer;
use crate::nearest::nearest;
use crate::read::{Draft, Sketch};
use crate::report::{Sink, Wrong};

use super::pairs;

mod range;
mod signing;
mod terms;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    if let Some(router) = &draft.router {
        documentation_asn(router.asn, "router.asn", sink);
    }
    links_exist(draft, sink);
    for (name, peer) in &draft.peers {
        let path = path(name, draft, sink);
        documentation_asn(peer.asn, &format!("{path}.asn"), sink);
        // The two ends of a link have rules of their own.
        if path.starts_with("peer.") {
            addresses(peer, &path, draft, sink);
        }
        terms::check(peer, &path, draft.router.as_ref(), sink);
        terms::distance_of_link(peer, &path, draft, sink);
    }
    range::check(draft, sink);
    signing::check(draft, sink);
    let peers: Vec<(&String, &Peer)> = draft.peers.iter().collect();
    for ((_, (first, a)), (_, (second, b))) in pairs(&peers) {
        if a.address == b.address && !(is_link_local(a.address) && a.link != b.link) {
            let message = format!("peer `{first}` has the address {} already", a.address);
            let fix = "remove one of them: a connection could not be told apart";
            let place = sink.place(&format!("{}.address", path(second, draft, sink)));
            sink.error(place, Wrong::new("peer.duplicate", message, fix));
        }
    }
}

/// Where a peer stands in the file: `peer.aws-gw` or `link.wg-a.bgp`.
pub(in crate::check) fn path(name: &str, draft: &Draft, sink: &Sink<'_>) -> String {
    let own = format!("peer.{name}");
    let is_of_link = draft
        .peers
        .get(name)
        .is_some_and(|peer| peer.link.as_deref() == Some(name));
    if is_of_link && !sink.knows(&format!("{own}.address")) {
        return format!("link.{name}.bgp");
    }
    own
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// RFC 5398.
fn documentation_asn(asn: u32, path: &str, sink: &mut Sink<'_>) {
    if matches!(asn, 64_496..=64_511 | 65_536..=65_551) {
        let message = format!("AS {asn} is for documentation (RFC 5398)");
        let fix = "use your own, or a private one: 64512 to 65534, 4200000000 to 4294967294";
        sink.warning(sink.place(path), Wrong::new("asn.reserved", message, fix));
    }
}

fn links_exist(draft: &Draft, sink: &mut Sink<'_>) {
    for (link, place) in &draft.link_uses {
        if !draft.sketches.contains_key(link) {
            let fix = match nearest(link, draft.sketches.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add [link.{link}], or leave `link` out"),
            };
            let message = format!("no link is named `{link}`");
            sink.error(place.clone(), Wrong::new("link.unknown", message, fix));
        }
    }
}

fn addresses(peer: &Peer, path: &str, draft: &Draft, sink: &mut Sink<'_>) {
    let is_ours = |(_, link): &(&String, &Sketch)| {
        link.inside
            .is_some_and(|inside| inside.local.addr() == peer.address)
    };
    let ours = draft.sketches.iter().find(is_ours);
    if let Some((link, _)) = ours {
        let message = format!("{} is our own end of link `{link}`", peer.address);
        let wrong = Wrong::new("peer.address", message, "write the address of the far end");
        sink.error(sink.place(&format!("{path}.address")), wrong);
    }
    if peer.link.is_some() && peer.interface.is_some() {
        let message = "the link says by which interface this peer is reached";
        let wrong = Wrong::new("peer.interface", message, "leave `interface` out");
        sink.error(sink.place(&format!("{path}.interface")), wrong);
    }
    if is_link_local(peer.address) && peer.link.is_none() && peer.interface.is_none() {
        let message = format!("{} is on every interface", peer.address);
        let fix = "write the `interface` of this peer: nobody is called without it";
        let wrong = Wrong::new("peer.scope", message, fix);
        sink.warning(sink.place(&format!("{path}.address")), wrong);
    }
    watched(peer, path, sink);
    let Some(local) = peer.local_address else {
        return;
    };
    let message = if local.is_ipv4() != peer.address.is_ipv4() {
        format!("{local} and {} are not of one family", peer.address)
    } else if peer.link.is_none() && local == peer.address {
        format!("both ends are {local}")
    } else {
        return;
    };
    let wrong = Wrong::new(
        "peer.address",
        message,
        "write our own address toward this peer",
    );
    sink.error(sink.place(&format!("{path}.local-address")), wrong);
}

/// Who is on a link is watched with it. Behind routers a session is known by both its addresses, of which
/// none is that of an interface to be found.
fn watched(peer: &Peer, path: &str, sink: &mut Sink<'_>) {
    let Some(bfd) = &peer.bfd else { return };
    let (message, fix) = if let Some(link) = &peer.link {
        let fix = format!("write `bfd` in [link.{link}]");
        ("this peer is watched with its link", fix)
    } else if bfd.hops > 1 && peer.local_address.is_none() {
        let fix = "add `local-address`: our own address toward this peer".to_owned();
        ("BFD over several hops needs both addresses", fix)
    } else {
        return;
    };
    let place = sink.place(&format!("{path}.bfd"));
    sink.error(place, Wrong::new("peer.bfd", message, fix));
}
