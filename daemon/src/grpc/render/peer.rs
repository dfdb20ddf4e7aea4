//! Peers in the words of the API.

use api::v1::{self, alarm, peer};
use bgp::Family;
use bgp::rib::{LimitAction, PeerCounts};
use bgp::session::{MessageCounts, Negotiated, SessionStatus, State};

use super::{duration, timestamp};
use crate::board::at;
use crate::convert;
use crate::snapshot::{PeerView, Snapshot};

pub(in super::super) fn peers(snapshot: &Snapshot) -> Vec<v1::Peer> {
    let router_asn = snapshot.config.router.asn;
    snapshot
        .peers
        .iter()
        .map(|peer| render(peer, router_asn))
        .collect()
}

/// What a human should know of a peer.
pub(super) fn alarms(peer: &PeerView) -> Vec<(alarm::Severity, String)> {
    let mut alarms = Vec::new();
    if let Some(held) = &peer.held {
        alarms.push((
            alarm::Severity::Warning,
            format!("no session is tried: {held}"),
        ));
    } else if !peer.is_established() {
        let reason = match last_down(peer) {
            reason if reason.is_empty() => "no attempt has ended yet".to_owned(),
            reason => reason,
        };
        let text = format!("session is not established: {reason}");
        alarms.push((alarm::Severity::Warning, text));
    }
    for (family, counts) in &peer.counts {
        let v1::PeerFamily {
            received,
            receive_limit,
            warn_at,
            discarded,
            held_back,
            send_limit,
            ..
        } = family_of(peer, *family, counts);
        if receive_limit > 0 && received >= u64::from(warn_at) {
            let text = format!("it sends {received} {family} prefixes of {receive_limit}");
            alarms.push((alarm::Severity::Warning, text));
        }
        if discarded > 0 {
            let text = format!(
                "{discarded} {family} paths of it were too many, or too long, and are discarded"
            );
            alarms.push((alarm::Severity::Warning, text));
        }
        if held_back > 0 {
            let text =
                format!("{held_back} {family} prefixes are held back: it takes {send_limit}");
            alarms.push((alarm::Severity::Warning, text));
        }
    }
    alarms
}

/// Why the last attempt ended, or the last session if no attempt did since.
fn last_down(peer: &PeerView) -> String {
    let Some(status) = &peer.status else {
        return String::new();
    };
    let reason = status.last_attempt.as_ref().or(status.last_down.as_ref());
    words(reason)
}

fn words(thing: Option<&impl ToString>) -> String {
    thing.map(ToString::to_string).unwrap_or_default()
}

fn render(peer: &PeerView, router_asn: u32) -> v1::Peer {
    let status = peer.status.as_ref();
    let negotiated = status.and_then(|status| status.negotiated.as_ref());
    let families = peer
        .counts
        .iter()
        .filter(|(family, _)| negotiated.is_none_or(|n| n.families.contains(**family)))
        .map(|(family, counts)| family_of(peer, *family, counts));
    let received = status.map(|status| status.messages.received);
    let sent = status.map(|status| status.messages.sent);
    let config = &peer.config;
    v1::Peer {
        name: peer.name.clone(),
        address: config.address.to_string(),
        asn: config.asn,
        state: status
            .map_or(peer::State::Idle, |status| state(status.state))
            .into(),
        since: status.map(|status| timestamp(at(status.since))),
        link: config.link.clone().unwrap_or_default(),
        last_down: last_down(peer),
        router_id: words(negotiated.map(|n| n.router_id).as_ref()),
        hold_time: negotiated.and_then(|n| n.hold_time).map(duration),
        families: families.collect(),
        established_count: status.map_or(0, |status| status.established_count),
        messages_received: received.map_or(0, sum),
        messages_sent: sent.map_or(0, sum),
        import_filter: config.import.clone().unwrap_or_default(),
        export_filter: config.export.clone().unwrap_or_default(),
        description: config.description.clone().unwrap_or_default(),
        range: config.range.clone().unwrap_or_default(),
        held: words(peer.held.as_ref()),
        last_session_end: words(status.and_then(|status| status.last_down.as_ref())),
        last_attempt: words(status.and_then(|status| status.last_attempt.as_ref())),
        transport: Some(transport(peer)),
        bfd: super::bfd_session(peer.bfd),
        local_asn: config.local_as.map_or(router_asn, |local| local.asn),
        capabilities: status.map(capabilities),
        send_hold_time: status
            .and_then(|status| status.send_hold_time)
            .map(duration),
        send_blocked_since: status
            .and_then(|status| status.send_blocked_since)
            .map(|since| timestamp(at(since))),
        graceful_restart: Some(graceful_restart(config, negotiated)),
        received: received.map(counts),
        sent: sent.map(counts),
        update_errors: status.map(|status| v1::UpdateErrors {
            prefix_discard: status.update_errors.prefix_discard,
            attribute_discard: status.update_errors.attribute_discard,
            treat_as_withdraw: status.update_errors.treat_as_withdraw,
            session_reset: status.update_errors.session_reset,
        }),
        last_fault: words(status.and_then(|status| status.last_fault.as_ref())),
        role: words(config.role.map(convert::role).as_ref()),
        peer_role: words(negotiated.and_then(|n| n.peer_role).as_ref()),
    }
}

fn family_of(peer: &PeerView, family: Family, counts: &PeerCounts) -> v1::PeerFamily {
    let options = convert::options(&peer.config);
    let of_family = |limits: [Option<u32>; 2]| limits[family as usize].unwrap_or(0);
    let limit = options.receive_limit[family as usize];
    v1::PeerFamily {
        family: family.to_string(),
        received: counts.received as u64,
        accepted: counts.accepted as u64,
        best: counts.best as u64,
        advertised: counts.advertised as u64,
        stale: counts.stale as u64,
        discarded: counts.discarded,
        receive_limit: limit.map_or(0, |limit| limit.max),
        warn_at: limit.map_or(0, |limit| limit.warn_at),
        limit_action: limit.map_or("", |limit| action(limit.action)).to_owned(),
        send_limit: of_family(options.send_limit),
        held_back: counts.held_back as u64,
        unsendable: counts.unsendable,
    }
}

fn action(action: LimitAction) -> &'static str {
    match action {
        LimitAction::Discard => "discard",
        LimitAction::Restart(_) => "restart",
        LimitAction::Shutdown => "shutdown",
        LimitAction::Warn => "warn",
    }
}

fn transport(peer: &PeerView) -> v1::PeerTransport {
    let config = &peer.config;
    let remote = std::net::SocketAddr::new(config.address, config.port);
    let (ours, theirs) = peer.ends.unzip();
    v1::PeerTransport {
        remote: if config.passive {
            String::new()
        } else {
            remote.to_string()
        },
        connection_local: words(ours.as_ref()),
        connection_remote: words(theirs.as_ref()),
        interface: peer.interface.clone().unwrap_or_default(),
        ttl: config.distance.ttl().into(),
        min_ttl: config.distance.min_ttl().unwrap_or(0).into(),
        md5: config.md5.is_some(),
        passive: config.passive,
    }
}

fn capabilities(status: &SessionStatus) -> v1::PeerCapabilities {
    let list = |list: &[bgp::wire::Capability]| list.iter().map(ToString::to_string).collect();
    v1::PeerCapabilities {
        ours: list(&status.offered),
        theirs: list(&status.received),
        agreed: status.negotiated.as_ref().map(agreed).unwrap_or_default(),
    }
}

/// What the session runs with, in the words that capabilities have.
fn agreed(negotiated: &Negotiated) -> Vec<String> {
    let dialect = &negotiated.dialect;
    let mut agreed = Vec::new();
    let mut each = |set: bgp::FamilySet, say: &dyn Fn(Family) -> String| {
        agreed.extend(set.iter().map(say));
    };
    each(negotiated.families, &|family| format!("family {family}"));
    each(dialect.extended_nexthop, &|family| {
        format!("extended nexthop {family}")
    });
    each(dialect.add_path_receive, &|family| {
        format!("add-path {family} receive")
    });
    each(dialect.add_path_send, &|family| {
        format!("add-path {family} send")
    });
    let flags = [
        (negotiated.route_refresh, "route refresh"),
        (negotiated.enhanced_refresh, "enhanced refresh"),
        (negotiated.graceful_restart.is_some(), "graceful restart"),
    ];
    let is_set = flags.into_iter().filter(|(is, _)| *is);
    agreed.extend(is_set.map(|(_, word)| word.to_owned()));
    agreed.push(format!("messages of {} octets", dialect.max_message_len));
    agreed
}

fn graceful_restart(
    config: &config::model::Peer,
    negotiated: Option<&Negotiated>,
) -> v1::PeerGracefulRestart {
    let theirs = negotiated.and_then(|n| n.graceful_restart.as_ref());
    let kept = theirs.into_iter().flat_map(|theirs| &theirs.retention);
    v1::PeerGracefulRestart {
        ours: config.graceful_restart.map(|ours| duration(ours.time)),
        peer_restarting: theirs.is_some_and(|theirs| theirs.restarting),
        notification: theirs.is_some_and(|theirs| theirs.notification),
        kept: kept
            .map(|kept| v1::peer_graceful_restart::Kept {
                family: kept.family.to_string(),
                time: Some(duration(kept.restart)),
                long_lived: Some(duration(kept.long_lived)),
            })
            .collect(),
    }
}

fn counts(counts: MessageCounts) -> v1::MessageCounts {
    let MessageCounts {
        open,
        update,
        notification,
        keepalive,
        route_refresh,
    } = counts;
    v1::MessageCounts {
        open,
        update,
        notification,
        keepalive,
        route_refresh,
    }
}

fn sum(counts: MessageCounts) -> u64 {
    let MessageCounts {
        open,
        update,
        notification,
        keepalive,
        route_refresh,
    } = counts;
    open + update + notification + keepalive + route_refresh
}

fn state(state: State) -> peer::State {
    match state {
        State::Idle => peer::State::Idle,
        State::Connect => peer::State::Connect,
        State::Active => peer::State::Active,
        State::OpenSent => peer::State::OpenSent,
        State::OpenConfirm => peer::State::OpenConfirm,
        State::Established => peer::State::Established,
    }
}
