//! Peers for programs.

use api::v1;
use serde::Serialize;

use super::{Bfd, filled};
use crate::show::words;
use crate::units::{rfc3339, seconds};

/// One of `skybridge show peers`.
#[derive(Serialize, Debug)]
pub(crate) struct Peer {
    name: String,
    address: String,
    asn: u32,
    state: &'static str,
    since: Option<String>,
    link: Option<String>,
    last_down: Option<String>,
    router_id: Option<String>,
    hold_time_seconds: Option<f64>,
    families: Vec<Family>,
    established_count: u64,
    messages_received: u64,
    messages_sent: u64,
    import_filter: Option<String>,
    export_filter: Option<String>,
    description: Option<String>,
    range: Option<String>,
    held: Option<String>,
    last_session_end: Option<String>,
    last_attempt: Option<String>,
    transport: Option<Transport>,
    local_asn: u32,
    capabilities: Option<Capabilities>,
    send_hold_time_seconds: Option<f64>,
    send_blocked_since: Option<String>,
    graceful_restart: Option<GracefulRestart>,
    received: Option<MessageCounts>,
    sent: Option<MessageCounts>,
    update_errors: Option<UpdateErrors>,
    last_fault: Option<String>,
    role: Option<String>,
    peer_role: Option<String>,
    bfd: Option<Bfd>,
}

impl From<&v1::Peer> for Peer {
    fn from(message: &v1::Peer) -> Self {
        Self {
            bfd: message.bfd.as_ref().map(Bfd::from),
            name: message.name.clone(),
            address: message.address.clone(),
            asn: message.asn,
            state: words::peer(message.state()),
            since: rfc3339(message.since.as_ref()),
            link: filled(&message.link),
            last_down: filled(&message.last_down),
            router_id: filled(&message.router_id),
            hold_time_seconds: seconds(message.hold_time.as_ref()),
            families: message.families.iter().map(Family::from).collect(),
            established_count: message.established_count,
            messages_received: message.messages_received,
            messages_sent: message.messages_sent,
            import_filter: filled(&message.import_filter),
            export_filter: filled(&message.export_filter),
            description: filled(&message.description),
            range: filled(&message.range),
            held: filled(&message.held),
            last_session_end: filled(&message.last_session_end),
            last_attempt: filled(&message.last_attempt),
            transport: message.transport.as_ref().map(Transport::from),
            local_asn: message.local_asn,
            capabilities: message.capabilities.as_ref().map(Capabilities::from),
            send_hold_time_seconds: seconds(message.send_hold_time.as_ref()),
            send_blocked_since: rfc3339(message.send_blocked_since.as_ref()),
            graceful_restart: message.graceful_restart.as_ref().map(GracefulRestart::from),
            received: message.received.as_ref().map(MessageCounts::from),
            sent: message.sent.as_ref().map(MessageCounts::from),
            update_errors: message.update_errors.as_ref().map(UpdateErrors::from),
            last_fault: filled(&message.last_fault),
            role: filled(&message.role),
            peer_role: filled(&message.peer_role),
        }
    }
}

/// How it is reached.
#[derive(Serialize, Debug)]
pub(crate) struct Transport {
    remote: Option<String>,
    connection_local: Option<String>,
    connection_remote: Option<String>,
    interface: Option<String>,
    ttl: u32,
    min_ttl: u32,
    md5: bool,
    passive: bool,
}

impl From<&v1::PeerTransport> for Transport {
    fn from(message: &v1::PeerTransport) -> Self {
        Self {
            remote: filled(&message.remote),
            connection_local: filled(&message.connection_local),
            connection_remote: filled(&message.connection_remote),
            interface: filled(&message.interface),
            ttl: message.ttl,
            min_ttl: message.min_ttl,
            md5: message.md5,
            passive: message.passive,
        }
    }
}

/// What each can do, and what they do.
#[derive(Serialize, Debug)]
pub(crate) struct Capabilities {
    ours: Vec<String>,
    theirs: Vec<String>,
    agreed: Vec<String>,
}

impl From<&v1::PeerCapabilities> for Capabilities {
    fn from(message: &v1::PeerCapabilities) -> Self {
        Self {
            ours: message.ours.clone(),
            theirs: message.theirs.clone(),
            agreed: message.agreed.clone(),
        }
    }
}

/// What is kept when the session ends.
#[derive(Serialize, Debug)]
pub(crate) struct GracefulRestart {
    ours_seconds: Option<f64>,
    peer_restarting: bool,
    notification: bool,
    kept: Vec<Kept>,
}

impl From<&v1::PeerGracefulRestart> for GracefulRestart {
    fn from(message: &v1::PeerGracefulRestart) -> Self {
        Self {
            ours_seconds: seconds(message.ours.as_ref()),
            peer_restarting: message.peer_restarting,
            notification: message.notification,
            kept: message.kept.iter().map(Kept::from).collect(),
        }
    }
}

/// Of one family.
#[derive(Serialize, Debug)]
pub(crate) struct Kept {
    family: String,
    time_seconds: Option<f64>,
    long_lived_seconds: Option<f64>,
}

impl From<&v1::peer_graceful_restart::Kept> for Kept {
    fn from(message: &v1::peer_graceful_restart::Kept) -> Self {
        Self {
            family: message.family.clone(),
            time_seconds: seconds(message.time.as_ref()),
            long_lived_seconds: seconds(message.long_lived.as_ref()),
        }
    }
}

/// Messages of one direction.
#[derive(Serialize, Debug)]
pub(crate) struct MessageCounts {
    open: u64,
    update: u64,
    notification: u64,
    keepalive: u64,
    route_refresh: u64,
}

impl From<&v1::MessageCounts> for MessageCounts {
    fn from(message: &v1::MessageCounts) -> Self {
        Self {
            open: message.open,
            update: message.update,
            notification: message.notification,
            keepalive: message.keepalive,
            route_refresh: message.route_refresh,
        }
    }
}

/// Faulty UPDATEs.
#[derive(Serialize, Debug)]
pub(crate) struct UpdateErrors {
    prefix_discard: u64,
    attribute_discard: u64,
    treat_as_withdraw: u64,
    session_reset: u64,
}

impl From<&v1::UpdateErrors> for UpdateErrors {
    fn from(message: &v1::UpdateErrors) -> Self {
        Self {
            prefix_discard: message.prefix_discard,
            attribute_discard: message.attribute_discard,
            treat_as_withdraw: message.treat_as_withdraw,
            session_reset: message.session_reset,
        }
    }
}

/// Prefixes of a peer.
#[derive(Serialize, Debug)]
pub(crate) struct Family {
    family: String,
    received: u64,
    accepted: u64,
    best: u64,
    advertised: u64,
    stale: u64,
    discarded: u64,
    receive_limit: u32,
    warn_at: u32,
    limit_action: Option<String>,
    send_limit: u32,
    held_back: u64,
    unsendable: u64,
}

impl From<&v1::PeerFamily> for Family {
    fn from(message: &v1::PeerFamily) -> Self {
        Self {
            family: message.family.clone(),
            received: message.received,
            accepted: message.accepted,
            best: message.best,
            advertised: message.advertised,
            stale: message.stale,
            discarded: message.discarded,
            receive_limit: message.receive_limit,
            warn_at: message.warn_at,
            limit_action: filled(&message.limit_action),
            send_limit: message.send_limit,
            held_back: message.held_back,
            unsendable: message.unsendable,
        }
    }
}

/// `skybridge reset`.
#[derive(Serialize, Debug)]
pub(crate) struct Reset {
    done: String,
}

impl From<&v1::ResetPeerResponse> for Reset {
    fn from(message: &v1::ResetPeerResponse) -> Self {
        Self {
            done: message.done.clone(),
        }
    }
}
