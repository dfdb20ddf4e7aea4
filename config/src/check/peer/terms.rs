//! Terms of a session that contradict each other, or the kind of peer.

use crate::model::{Carrier, Distance, LimitAction, Peer, PrivateAs, Router};
use crate::profile::Reach;
use crate::read::Draft;
use crate::report::{Sink, Wrong};

pub(super) fn check(peer: &Peer, path: &str, router: Option<&Router>, sink: &mut Sink<'_>) {
    without_hold_timer(peer, path, sink);
    send_hold(peer, path, sink);
    role(peer, path, sink);
    if let Some(router) = router {
        of_the_wrong_side(peer, path, router.asn, sink);
        local_as(peer, path, router.asn, sink);
    }
    limits(peer, path, sink);
}

fn without_hold_timer(peer: &Peer, path: &str, sink: &mut Sink<'_>) {
    if peer.hold_time.is_zero() {
        let message = "without a hold timer a dead peer is noticed only when TCP gives up";
        let wrong = Wrong::new("timer.hold", message, "\"90s\" is usual");
        sink.warning(sink.place(&format!("{path}.hold-time")), wrong);
    }
}

/// RFC 9687 §3.2: it has to be the longer one.
fn send_hold(peer: &Peer, path: &str, sink: &mut Sink<'_>) {
    if peer
        .send_hold_time
        .is_some_and(|send| send <= peer.hold_time)
    {
        let message = "the send hold time must be longer than the hold time (RFC 9687 §3.2)";
        let wrong = Wrong::new("timer.hold", message, "twice the hold time is usual");
        sink.error(sink.place(&format!("{path}.send-hold-time")), wrong);
    }
}

/// The far end of a link is one hop away, but for what is behind the end of a GRE tunnel: AWS Transit
/// Gateway Connect asks for a TTL of 2.
pub(super) fn distance_of_link(peer: &Peer, path: &str, draft: &Draft, sink: &mut Sink<'_>) {
    let key = format!("{path}.multihop");
    if !path.starts_with("link.")
        || !matches!(peer.distance, Distance::Multihop(_))
        || !sink.knows(&key)
    {
        return;
    }
    let link = peer.link.as_ref().and_then(|link| draft.sketches.get(link));
    let is_gre = link.is_some_and(|link| matches!(link.carrier, Some(Carrier::Gre(_))));
    let profile = link.and_then(|link| link.profile);
    // Where the service says more than that, `check/profile` does.
    if is_gre || profile.is_some_and(|profile| profile.bgp.reach != Reach::OneHop) {
        return;
    }
    let message = "the far end of a link is one hop away";
    let wrong = Wrong::new("peer.ttl", message, "leave `multihop` out");
    sink.error(sink.place(&key), wrong);
}

fn role(peer: &Peer, path: &str, sink: &mut Sink<'_>) {
    if peer.role_strict && peer.role.is_none() {
        let message = "`role-strict` asks for the peer's role, and ours is not said";
        let wrong = Wrong::new("peer.role", message, "add role = \"customer\" or another");
        sink.error(sink.place(&format!("{path}.role-strict")), wrong);
    }
}

/// Keys that mean something for external peers only, or for internal ones only.
fn of_the_wrong_side(peer: &Peer, path: &str, router_asn: u32, sink: &mut Sink<'_>) {
    let is_internal = peer.asn == router_asn;
    let external = [
        ("as-override", peer.as_override),
        ("local-as", peer.local_as.is_some()),
        ("remove-private", peer.private_as != PrivateAs::Keep),
        ("role", peer.role.is_some()),
    ];
    let internal = [("route-reflector-client", peer.reflector_client)];
    let (wrong, side) = if is_internal {
        (&external[..], "peers of another AS")
    } else {
        (&internal[..], "peers of our own AS")
    };
    for (key, _) in wrong.iter().filter(|(_, is_set)| *is_set) {
        let message = format!("`{key}` is for {side}, and this peer is in AS {}", peer.asn);
        let place = sink.place(&format!("{path}.{key}"));
        sink.error(place, Wrong::new("peer.side", message, "leave it out"));
    }
}

fn local_as(peer: &Peer, path: &str, router_asn: u32, sink: &mut Sink<'_>) {
    let Some(local) = peer.local_as else { return };
    let message = if local.asn == router_asn {
        "this is our AS anyway"
    } else if local.asn == peer.asn {
        "this is the AS of the peer: it would refuse us"
    } else {
        return;
    };
    let wrong = Wrong::new(
        "peer.local-as",
        message,
        "write the AS that the peer expects",
    );
    sink.error(sink.place(&format!("{path}.local-as")), wrong);
}

/// A session that restarts at once would be stopped at once.
fn limits(peer: &Peer, path: &str, sink: &mut Sink<'_>) {
    let Some(limit) = peer.prefix_limit else {
        return;
    };
    if limit.warn_percent == 0 {
        let wrong = Wrong::new(
            "limit.prefixes",
            "this warns of every peer that has sent anything",
            "\"80%\" is usual",
        );
        sink.warning(sink.place(&format!("{path}.prefix-limit.warn")), wrong);
    }
    if matches!(limit.action, LimitAction::Restart(after) if after.as_secs() < 10) {
        let wrong = Wrong::new(
            "limit.prefixes",
            "so soon the peer will send as much again",
            "\"15m\" is usual",
        );
        let place = sink.place(&format!("{path}.prefix-limit.restart-after"));
        sink.warning(place, wrong);
    }
}
