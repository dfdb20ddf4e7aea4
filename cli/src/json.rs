//! The answers for programs: names of fields as in the .proto files, durations in seconds, times
//! in RFC 3339, states as words. Fields are added, never renamed or removed.

use std::collections::BTreeMap;

use api::v1;
use serde::Serialize;

use crate::show::bfd::Watched;
use crate::show::words;
use crate::units::{rfc3339, seconds};

mod drill;
mod peer;

pub(crate) use drill::{DrainEvent, DrillEvent, EndDrill};
pub(crate) use peer::{Peer, Reset};

/// `skybridge status`.
#[derive(Serialize, Debug)]
pub(crate) struct Status {
    router_name: String,
    asn: u32,
    router_id: String,
    version: String,
    started: Option<String>,
    revision: u64,
    groups: Vec<Group>,
    links: Vec<Link>,
    peers: Vec<Peer>,
    fib: Option<Fib>,
    alarms: Vec<Alarm>,
    rib_prefixes: BTreeMap<String, u64>,
}

impl From<&v1::StatusResponse> for Status {
    fn from(message: &v1::StatusResponse) -> Self {
        Self {
            router_name: message.router_name.clone(),
            asn: message.asn,
            router_id: message.router_id.clone(),
            version: message.version.clone(),
            started: rfc3339(message.started.as_ref()),
            revision: message.revision,
            groups: message.groups.iter().map(Group::from).collect(),
            links: message.links.iter().map(Link::from).collect(),
            peers: message.peers.iter().map(Peer::from).collect(),
            fib: message.fib.as_ref().map(Fib::from),
            alarms: message.alarms.iter().map(Alarm::from).collect(),
            rib_prefixes: message
                .rib_prefixes
                .iter()
                .map(|(k, v)| (k.clone(), *v))
                .collect(),
        }
    }
}

/// The kernel's side.
#[derive(Serialize, Debug)]
pub(crate) struct Fib {
    routes: u64,
    nexthop_groups: u64,
    pending: u64,
    last_error: Option<String>,
    installing: bool,
}

impl From<&v1::FibStatus> for Fib {
    fn from(message: &v1::FibStatus) -> Self {
        Self {
            routes: message.routes,
            nexthop_groups: message.nexthop_groups,
            pending: message.pending,
            last_error: filled(&message.last_error),
            installing: message.installing,
        }
    }
}

/// What a human should know.
#[derive(Serialize, Debug)]
pub(crate) struct Alarm {
    severity: &'static str,
    subject: String,
    text: String,
}

impl From<&v1::Alarm> for Alarm {
    fn from(message: &v1::Alarm) -> Self {
        Self {
            severity: words::alarm(message.severity()),
            subject: message.subject.clone(),
            text: message.text.clone(),
        }
    }
}

/// One of `skybridge show links`.
#[derive(Serialize, Debug)]
pub(crate) struct Link {
    name: String,
    group: Option<String>,
    interface: String,
    state: &'static str,
    since: Option<String>,
    reason: Option<String>,
    active: bool,
    rank: u32,
    local: String,
    remote: String,
    kind: String,
    quality: Option<Quality>,
    receive_bytes: u64,
    transmit_bytes: u64,
    mtu: u32,
    path_mtu: Option<u32>,
    path_mtu_note: Option<String>,
    probe_note: Option<String>,
    probe_signed: bool,
    bfd: Option<Bfd>,
    way_back: Option<String>,
    drill_until: Option<String>,
}

impl From<&v1::Link> for Link {
    fn from(message: &v1::Link) -> Self {
        Self {
            name: message.name.clone(),
            group: filled(&message.group),
            interface: message.interface.clone(),
            state: words::link(message.state()),
            since: rfc3339(message.since.as_ref()),
            reason: filled(&message.reason),
            active: message.active,
            rank: message.rank,
            local: message.local.clone(),
            remote: message.remote.clone(),
            kind: message.kind.clone(),
            quality: message.quality.as_ref().map(Quality::from),
            receive_bytes: message.receive_bytes,
            transmit_bytes: message.transmit_bytes,
            mtu: message.mtu,
            path_mtu: Some(message.path_mtu).filter(|mtu| *mtu != 0),
            path_mtu_note: filled(&message.path_mtu_note),
            probe_note: filled(&message.probe_note),
            probe_signed: message.probe_signed,
            bfd: message.bfd.as_ref().map(Bfd::from),
            way_back: filled(&message.way_back),
            drill_until: rfc3339(message.drill_until.as_ref()),
        }
    }
}

/// One of `skybridge show bfd`: of a link, or of a peer on none.
#[derive(Serialize, Debug)]
pub(crate) struct BfdRow {
    link: Option<String>,
    peer: Option<String>,
    interface: Option<String>,
    local: Option<String>,
    remote: String,
    session: Bfd,
}

impl From<&Watched> for BfdRow {
    fn from(watched: &Watched) -> Self {
        Self {
            link: filled(&watched.link),
            peer: filled(&watched.peer),
            interface: filled(&watched.interface),
            local: filled(&watched.local),
            remote: watched.remote.clone(),
            session: Bfd::from(&watched.session),
        }
    }
}

/// RFC 5880.
#[derive(Serialize, Debug)]
pub(crate) struct Bfd {
    state: &'static str,
    since: Option<String>,
    diagnostic: Option<String>,
    remote_state: Option<&'static str>,
    remote_diagnostic: Option<String>,
    local_discriminator: u32,
    remote_discriminator: u32,
    transmit_interval: Option<f64>,
    detection_time: Option<f64>,
    sent: u64,
    received: u64,
    dropped: u64,
}

impl From<&v1::BfdSession> for Bfd {
    fn from(message: &v1::BfdSession) -> Self {
        let remote = message.remote_state();
        Self {
            state: words::bfd(message.state()),
            since: rfc3339(message.since.as_ref()),
            diagnostic: filled(&message.diagnostic),
            remote_state: (remote != v1::BfdState::Unspecified).then(|| words::bfd(remote)),
            remote_diagnostic: filled(&message.remote_diagnostic),
            local_discriminator: message.local_discriminator,
            remote_discriminator: message.remote_discriminator,
            transmit_interval: seconds(message.transmit_interval.as_ref()),
            detection_time: seconds(message.detection_time.as_ref()),
            sent: message.sent,
            received: message.received,
            dropped: message.dropped,
        }
    }
}

/// Measured over the window.
#[derive(Serialize, Debug)]
pub(crate) struct Quality {
    method: Option<String>,
    rtt_last_seconds: Option<f64>,
    rtt_median_seconds: Option<f64>,
    rtt_p95_seconds: Option<f64>,
    jitter_seconds: Option<f64>,
    loss_ratio: f64,
    sent: u64,
    received: u64,
    refused: u64,
    window_seconds: Option<f64>,
    known: u64,
    loss_out_ratio: Option<f64>,
    loss_in_ratio: Option<f64>,
    windows: Vec<Statistics>,
}

/// Measured over one of several windows.
#[derive(Serialize, Debug)]
pub(crate) struct Statistics {
    window_seconds: Option<f64>,
    known: u64,
    lost: u64,
    rtt_median_seconds: Option<f64>,
    rtt_p95_seconds: Option<f64>,
    rtt_p99_seconds: Option<f64>,
    jitter_seconds: Option<f64>,
    loss_out_ratio: Option<f64>,
    loss_in_ratio: Option<f64>,
    reordered: u64,
}

impl From<&v1::LinkStatistics> for Statistics {
    fn from(message: &v1::LinkStatistics) -> Self {
        Self {
            window_seconds: seconds(message.window.as_ref()),
            known: message.known,
            lost: message.lost,
            rtt_median_seconds: seconds(message.rtt_median.as_ref()),
            rtt_p95_seconds: seconds(message.rtt_p95.as_ref()),
            rtt_p99_seconds: seconds(message.rtt_p99.as_ref()),
            jitter_seconds: seconds(message.jitter.as_ref()),
            loss_out_ratio: message.loss_out,
            loss_in_ratio: message.loss_in,
            reordered: message.reordered,
        }
    }
}

impl From<&v1::LinkQuality> for Quality {
    fn from(message: &v1::LinkQuality) -> Self {
        Self {
            method: filled(&message.method),
            rtt_last_seconds: seconds(message.rtt_last.as_ref()),
            rtt_median_seconds: seconds(message.rtt_median.as_ref()),
            rtt_p95_seconds: seconds(message.rtt_p95.as_ref()),
            jitter_seconds: seconds(message.jitter.as_ref()),
            loss_ratio: message.loss_ratio,
            sent: message.sent,
            received: message.received,
            refused: message.refused,
            window_seconds: seconds(message.window.as_ref()),
            known: message.known,
            loss_out_ratio: message.loss_out,
            loss_in_ratio: message.loss_in,
            windows: message.windows.iter().map(Statistics::from).collect(),
        }
    }
}

/// One of `skybridge show groups`.
#[derive(Serialize, Debug)]
pub(crate) struct Group {
    name: String,
    policy: String,
    links: Vec<String>,
    active: Vec<String>,
    failovers: u64,
    last_move: Option<String>,
    last_move_reason: Option<String>,
    last_move_text: Option<String>,
    members: Vec<GroupMember>,
    asymmetric: Option<Asymmetry>,
}

/// Two links of a group: by which most leaves, and by which most comes.
#[derive(Serialize, Debug)]
struct Asymmetry {
    sent_by: String,
    received_by: String,
}

/// A link of a group.
#[derive(Serialize, Debug)]
struct GroupMember {
    link: String,
    state: &'static str,
    rank: u32,
    figure: Option<String>,
    why: String,
    dollars: Option<f64>,
}

impl From<&v1::GroupMember> for GroupMember {
    fn from(message: &v1::GroupMember) -> Self {
        Self {
            link: message.link.clone(),
            state: words::link(message.state()),
            rank: message.rank,
            figure: filled(&message.figure),
            why: message.why.clone(),
            dollars: message.dollars,
        }
    }
}

impl From<&v1::Group> for Group {
    fn from(message: &v1::Group) -> Self {
        Self {
            name: message.name.clone(),
            policy: message.policy.clone(),
            links: message.links.clone(),
            active: message.active.clone(),
            failovers: message.failovers,
            last_move: rfc3339(message.last_move.as_ref()),
            last_move_reason: filled(&message.last_move_reason),
            last_move_text: filled(&message.last_move_text),
            members: message.members.iter().map(GroupMember::from).collect(),
            asymmetric: message.asymmetric.as_ref().map(|asymmetry| Asymmetry {
                sent_by: asymmetry.sent_by.clone(),
                received_by: asymmetry.received_by.clone(),
            }),
        }
    }
}

/// One of `skybridge show tunnels`.
#[derive(Serialize, Debug)]
pub(crate) struct Tunnel {
    name: String,
    interface: String,
    kind: String,
    backend: Option<String>,
    up: bool,
    problem: Option<String>,
    endpoint: Option<String>,
    listen_port: Option<u32>,
    public_key: Option<String>,
    peer_public_key: Option<String>,
    last_handshake: Option<String>,
    receive_bytes: u64,
    transmit_bytes: u64,
    mtu: u32,
    path_mtu: Option<u32>,
    path_mtu_note: Option<String>,
    detail: Option<String>,
}

impl From<&v1::Tunnel> for Tunnel {
    fn from(message: &v1::Tunnel) -> Self {
        Self {
            name: message.name.clone(),
            interface: message.interface.clone(),
            kind: message.kind.clone(),
            backend: filled(&message.backend),
            up: message.up,
            problem: filled(&message.problem),
            endpoint: filled(&message.endpoint),
            listen_port: Some(message.listen_port).filter(|port| *port != 0),
            public_key: filled(&message.public_key),
            peer_public_key: filled(&message.peer_public_key),
            last_handshake: rfc3339(message.last_handshake.as_ref()),
            receive_bytes: message.receive_bytes,
            transmit_bytes: message.transmit_bytes,
            mtu: message.mtu,
            path_mtu: Some(message.path_mtu).filter(|mtu| *mtu != 0),
            path_mtu_note: filled(&message.path_mtu_note),
            detail: filled(&message.detail),
        }
    }
}

/// One line of `skybridge show routes`.
#[derive(Serialize, Debug)]
pub(crate) struct Route {
    prefix: String,
    paths: Vec<Path>,
    hops: Vec<Hop>,
    installed: bool,
    discards: bool,
}

impl From<&v1::Route> for Route {
    fn from(message: &v1::Route) -> Self {
        Self {
            prefix: message.prefix.clone(),
            paths: message.paths.iter().map(Path::from).collect(),
            hops: message.hops.iter().map(Hop::from).collect(),
            installed: message.installed,
            discards: message.discards,
        }
    }
}

/// One candidate.
#[derive(Serialize, Debug)]
pub(crate) struct Path {
    peer: Option<String>,
    best: bool,
    step: String,
    nexthop: Option<String>,
    as_path: String,
    origin: String,
    med: Option<u32>,
    local_pref: Option<u32>,
    communities: Vec<String>,
    large_communities: Vec<String>,
    ext_communities: Vec<String>,
    path_id: Option<u32>,
    stale: bool,
}

impl From<&v1::Path> for Path {
    fn from(message: &v1::Path) -> Self {
        Self {
            peer: filled(&message.peer),
            best: message.best,
            step: message.step.clone(),
            nexthop: filled(&message.nexthop),
            as_path: message.as_path.clone(),
            origin: message.origin.clone(),
            med: message.med,
            local_pref: message.local_pref,
            communities: message.communities.clone(),
            large_communities: message.large_communities.clone(),
            ext_communities: message.ext_communities.clone(),
            path_id: message.path_id,
            stale: message.stale,
        }
    }
}

/// A way as given to the kernel.
#[derive(Serialize, Debug)]
pub(crate) struct Hop {
    nexthop: String,
    interface: String,
    link: Option<String>,
    active: bool,
}

impl From<&v1::Hop> for Hop {
    fn from(message: &v1::Hop) -> Self {
        Self {
            nexthop: message.nexthop.clone(),
            interface: message.interface.clone(),
            link: filled(&message.link),
            active: message.active,
        }
    }
}

/// One line of `skybridge watch`.
#[derive(Serialize, Debug)]
pub(crate) struct Event {
    sequence: u64,
    at: Option<String>,
    severity: &'static str,
    kind: String,
    subject: String,
    text: String,
}

impl From<&v1::Event> for Event {
    fn from(message: &v1::Event) -> Self {
        Self {
            sequence: message.sequence,
            at: rfc3339(message.at.as_ref()),
            severity: words::event(message.severity()),
            kind: message.kind.clone(),
            subject: message.subject.clone(),
            text: message.text.clone(),
        }
    }
}

/// `skybridge reload`.
#[derive(Serialize, Debug)]
pub(crate) struct Reload {
    revision: u64,
    changes: Vec<String>,
}

impl From<&v1::ReloadResponse> for Reload {
    fn from(message: &v1::ReloadResponse) -> Self {
        Self {
            revision: message.revision,
            changes: message.changes.clone(),
        }
    }
}

/// A list under its name: `{ "links": [ … ] }`.
pub(crate) fn list<'m, M: 'm, J: From<&'m M>>(
    name: &'static str,
    messages: &'m [M],
) -> BTreeMap<&'static str, Vec<J>> {
    BTreeMap::from([(name, messages.iter().map(J::from).collect())])
}

/// The contract writes "none" as an empty string.
fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
