//! Our types in the words of the API. Nothing is decided here.

use std::time::{Duration, SystemTime};

use api::v1::{self, alarm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bgp::Hop;
use bgp::rib::{PathView, RouteView, Step};
use links::bfd;
use links::mtu::Verdict;

use crate::board::{Board, GroupRow, MemberRow, at};
use crate::fib::Carried;
use crate::snapshot::{LinkView, Reader, Snapshot};

mod peer;

pub(super) use peer::peers;

pub(super) fn timestamp(at: SystemTime) -> prost_types::Timestamp {
    at.into()
}

/// Longer than the API can say is as long as it can say.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

pub(super) fn status(snapshot: &Snapshot, board: &Board) -> v1::StatusResponse {
    let counts = snapshot.fib.counts;
    let prefixes = snapshot.rib_prefixes.iter();
    v1::StatusResponse {
        router_name: snapshot.config.router.name.clone(),
        asn: snapshot.config.router.asn,
        router_id: snapshot.config.router.id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Some(timestamp(board.started)),
        revision: snapshot.revision,
        groups: groups(snapshot),
        links: links(snapshot),
        peers: peers(snapshot),
        fib: Some(v1::FibStatus {
            routes: counts.routes as u64,
            nexthop_groups: counts.groups as u64,
            pending: counts.pending as u64,
            last_error: snapshot.fib.last_error.clone(),
            installing: snapshot.fib.installing,
        }),
        alarms: alarms(snapshot),
        rib_prefixes: prefixes
            .map(|(family, n)| (family.to_string(), *n as u64))
            .collect(),
    }
}

/// What a human should know, worst first.
fn alarms(snapshot: &Snapshot) -> Vec<v1::Alarm> {
    let mut alarms = Vec::new();
    let mut raise = |severity: alarm::Severity, subject: String, text: String| {
        alarms.push(v1::Alarm {
            severity: severity.into(),
            subject,
            text,
        });
    };
    for (name, group) in &snapshot.groups {
        if group.active.is_empty() {
            let text = "no link is usable: its destinations are cut off".to_owned();
            raise(alarm::Severity::Critical, format!("group {name}"), text);
        }
    }
    for link in &snapshot.links {
        match link.row.state {
            Some(links::State::Up) => {}
            Some(state) => {
                let text = format!("{state}: {}", link.row.reason);
                raise(
                    alarm::Severity::Warning,
                    format!("link {}", link.name),
                    text,
                );
            }
            None => {
                let text = link.row.reason.clone();
                raise(
                    alarm::Severity::Warning,
                    format!("link {}", link.name),
                    text,
                );
            }
        }
    }
    for link in &snapshot.links {
        if let Some(text) = path_mtu_alarm(link) {
            let subject = format!("link {}", link.name);
            raise(alarm::Severity::Warning, subject, text);
        }
    }
    for link in &snapshot.links {
        if let Some(doubt) = link.row.doubt {
            let subject = format!("link {}", link.name);
            raise(alarm::Severity::Warning, subject, doubt.to_string());
        }
    }
    for peer in &snapshot.peers {
        for (severity, text) in peer::alarms(peer) {
            raise(severity, format!("peer {}", peer.name), text);
        }
    }
    for (spec, status) in &snapshot.tunnels {
        if let Some(problem) = &status.problem {
            raise(
                alarm::Severity::Warning,
                format!("tunnel {}", spec.name),
                problem.clone(),
            );
        }
    }
    if !snapshot.fib.last_error.is_empty() {
        let text = snapshot.fib.last_error.clone();
        raise(alarm::Severity::Warning, "fib".to_owned(), text);
    }
    if let Some(refusal) = &snapshot.refusal {
        let text = format!("the file was refused, the last good one is in force: {refusal}");
        raise(alarm::Severity::Warning, "config".to_owned(), text);
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
    alarms
}

/// A path that is narrow is seen to where the interface is ours.
fn path_mtu_alarm(link: &LinkView) -> Option<String> {
    let verdict = link.row.path?;
    match verdict {
        Verdict::TooNarrow { .. } => Some(verdict.to_string()),
        Verdict::Takes { mtu, most } if mtu < most && link.kind == "interface" => Some(format!(
            "{verdict}: TCP is clamped, other packets are lost; set the MTU of {} to {mtu}",
            link.interface
        )),
        Verdict::Takes { .. } | Verdict::Unknown | Verdict::Silent => None,
    }
}

pub(super) fn links(snapshot: &Snapshot) -> Vec<v1::Link> {
    snapshot.links.iter().map(link).collect()
}

fn link(link: &LinkView) -> v1::Link {
    let state = link_state(link.row.state);
    v1::Link {
        name: link.name.clone(),
        group: link.group.clone().unwrap_or_default(),
        interface: link.interface.clone(),
        state: state.into(),
        since: Some(timestamp(link.row.since)),
        reason: link.row.reason.clone(),
        active: link.active,
        rank: if link.is_usable() {
            link.rank.map_or(0, |rank| rank + 1)
        } else {
            0
        },
        local: link.local.clone(),
        remote: link.remote.to_string(),
        kind: link.kind.to_owned(),
        quality: link.row.quality.as_ref().map(quality),
        receive_bytes: link.receive_bytes,
        transmit_bytes: link.transmit_bytes,
        mtu: link.row.mtu,
        path_mtu: link.row.path.and_then(Verdict::mtu).unwrap_or(0),
        path_mtu_note: path_mtu_note(link.row.path),
        probe_signed: link.signed,
        probe_note: link
            .row
            .doubt
            .map(|doubt| doubt.to_string())
            .unwrap_or_default(),
        way_back: way_back(link.row.preference),
        bfd: bfd_session(link.bfd),
        drill_until: link.row.drill.map(timestamp),
    }
}

/// Only what there is to say about it.
fn path_mtu_note(verdict: Option<Verdict>) -> String {
    match verdict {
        Some(Verdict::Takes { mtu, most }) if mtu == most => String::new(),
        Some(verdict) => verdict.to_string(),
        None => String::new(),
    }
}

fn way_back(said: links::Preference) -> String {
    if said == links::Preference::Unsaid {
        return String::new();
    }
    said.to_string()
}

fn link_state(state: Option<links::State>) -> v1::LinkState {
    match state {
        Some(links::State::Up) => v1::LinkState::Up,
        Some(links::State::Degraded) => v1::LinkState::Degraded,
        Some(links::State::Draining) => v1::LinkState::Draining,
        Some(links::State::Down) => v1::LinkState::Down,
        None => v1::LinkState::Unspecified,
    }
}

/// A session that is wanted and cannot be is one of which nothing is known.
fn bfd_session(wanted: Option<Option<bfd::Status>>) -> Option<v1::BfdSession> {
    wanted.map(|status| status.as_ref().map_or_else(v1::BfdSession::default, bfd))
}

fn bfd(status: &bfd::Status) -> v1::BfdSession {
    let (remote_state, remote_diagnostic) = status.remote.unzip();
    v1::BfdSession {
        state: bfd_state(status.state).into(),
        since: Some(timestamp(at(status.since))),
        diagnostic: status.diagnostic.to_string(),
        remote_state: remote_state
            .map_or(v1::BfdState::Unspecified, bfd_state)
            .into(),
        remote_diagnostic: remote_diagnostic
            .map(|diagnostic| diagnostic.to_string())
            .unwrap_or_default(),
        local_discriminator: status.local_discriminator,
        remote_discriminator: status.remote_discriminator,
        transmit_interval: status.transmit_interval.map(duration),
        detection_time: status.detection_time.map(duration),
        sent: status.sent,
        received: status.received,
        dropped: status.dropped,
    }
}

fn bfd_state(state: bfd::State) -> v1::BfdState {
    match state {
        bfd::State::AdminDown => v1::BfdState::AdminDown,
        bfd::State::Down => v1::BfdState::Down,
        bfd::State::Init => v1::BfdState::Init,
        bfd::State::Up => v1::BfdState::Up,
    }
}

fn quality(quality: &links::Quality) -> v1::LinkQuality {
    let method = quality.via.map(|via| match via {
        links::Via::Stamp => "stamp",
        links::Via::Icmp => "icmp",
        links::Via::Tcp => "tcp",
        links::Via::Bgp => "bgp",
    });
    v1::LinkQuality {
        method: method.unwrap_or_default().to_owned(),
        rtt_last: quality.rtt_last.map(duration),
        rtt_median: quality.rtt_median().map(duration),
        rtt_p95: quality.judged.rtt_p95.map(duration),
        jitter: quality.judged.jitter.map(duration),
        loss_ratio: quality.loss_ratio(),
        sent: quality.sent,
        received: quality.received,
        refused: quality.refused,
        window: Some(duration(quality.judged.window)),
        known: quality.judged.known as u64,
        loss_out: quality.judged.loss_out,
        loss_in: quality.judged.loss_in,
        windows: quality.windows.iter().map(statistics).collect(),
    }
}

fn statistics(statistics: &links::Statistics) -> v1::LinkStatistics {
    v1::LinkStatistics {
        window: Some(duration(statistics.window)),
        known: statistics.known as u64,
        lost: statistics.lost as u64,
        rtt_median: statistics.rtt_median.map(duration),
        rtt_p95: statistics.rtt_p95.map(duration),
        rtt_p99: statistics.rtt_p99.map(duration),
        jitter: statistics.jitter.map(duration),
        loss_out: statistics.loss_out,
        loss_in: statistics.loss_in,
        reordered: statistics.reordered as u64,
    }
}

pub(super) fn groups(snapshot: &Snapshot) -> Vec<v1::Group> {
    let group = |(name, row): &(String, GroupRow)| v1::Group {
        asymmetric: row
            .asymmetric
            .as_ref()
            .map(|(sent, received)| v1::Asymmetry {
                sent_by: sent.clone(),
                received_by: received.clone(),
            }),
        name: name.clone(),
        policy: snapshot
            .config
            .groups
            .get(name)
            .map_or_else(String::new, |group| group.policy.name().to_owned()),
        links: row.members.iter().map(|it| it.link.clone()).collect(),
        members: row
            .members
            .iter()
            .map(|row| member(row, snapshot))
            .collect(),
        active: row.active.clone(),
        failovers: row.moves,
        last_move: row.last_move.as_ref().map(|(at, _)| timestamp(*at)),
        last_move_reason: row
            .last_move
            .as_ref()
            .map(|(_, why)| why.label().to_owned())
            .unwrap_or_default(),
        last_move_text: row
            .last_move
            .as_ref()
            .map(|(_, why)| why.to_string())
            .unwrap_or_default(),
    };
    snapshot.groups.iter().map(group).collect()
}

fn member(row: &MemberRow, snapshot: &Snapshot) -> v1::GroupMember {
    let mut links = snapshot.links.iter();
    let link = links.find(|link| link.name == row.link);
    v1::GroupMember {
        link: row.link.clone(),
        state: link_state(Some(row.state)).into(),
        rank: row.rank.map_or(0, |rank| rank + 1),
        figure: row.figure.clone(),
        why: row.why.clone(),
        dollars: link.and_then(|link| link.cost.map(|_| link.row.dollars)),
    }
}

pub(super) fn tunnels(snapshot: &Snapshot) -> Vec<v1::Tunnel> {
    let now = SystemTime::now();
    let tunnel = |(spec, status): &(tunnels::spec::TunnelSpec, tunnels::spec::TunnelStatus)| {
        let mut links = snapshot.links.iter();
        let link = links.find(|link| link.name == spec.name);
        let verdict = link.and_then(|link| link.row.path);
        let wireguard = spec.kind.wireguard();
        let key = |key: [u8; 32]| STANDARD.encode(key);
        v1::Tunnel {
            name: spec.name.clone(),
            interface: spec.interface.clone(),
            kind: spec.kind.name().to_owned(),
            backend: status
                .backend
                .map(|backend| backend.to_string())
                .unwrap_or_default(),
            up: status.up && status.is_fresh(now),
            problem: status.problem.clone().unwrap_or_default(),
            endpoint: status
                .endpoint
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
            listen_port: wireguard.map_or(0, |spec| spec.listen_port.into()),
            public_key: wireguard
                .map_or_else(String::new, |spec| key(spec.private_key.public_key())),
            peer_public_key: wireguard.map_or_else(String::new, |spec| key(spec.peer.public_key)),
            last_handshake: status.last_handshake.map(timestamp),
            receive_bytes: status.rx_bytes,
            transmit_bytes: status.tx_bytes,
            mtu: spec.mtu,
            path_mtu: verdict.and_then(Verdict::mtu).unwrap_or(0),
            path_mtu_note: path_mtu_note(verdict),
            detail: status.detail.clone(),
        }
    };
    snapshot.tunnels.iter().map(tunnel).collect()
}

/// - `kernel`: how each of them stands there
pub(super) fn routes(
    reader: &Reader,
    routes: &[RouteView],
    kernel: &[Option<Carried>],
) -> Vec<v1::Route> {
    let applied = reader.applied();
    let rows = reader.board.rows();
    let name = |peer: bgp::PeerId| applied.peers.get(&peer).cloned().unwrap_or_default();
    let hop = |path: &PathView, kernel: Option<&Carried>| {
        let peer = path.peer.filter(|_| is_eligible(path.step) || path.best)?;
        let address = path.attrs.nexthop?;
        let way = kernel.and_then(|kernel| kernel.resolved.get(&Hop { peer, address }));
        let through = way.and_then(|way| rows.interfaces.indexed(way.interface));
        let link = applied
            .config
            .peers
            .get(&name(peer))
            .and_then(|peer| peer.link.clone());
        let interface = match link
            .as_ref()
            .and_then(|link| applied.config.links.get(link))
        {
            Some(link) => link.interface.clone(),
            None => through
                .or_else(|| rows.interfaces.toward(address))
                .map(|i| i.name.clone())
                .unwrap_or_default(),
        };
        let is_taken = |way| kernel.is_some_and(|kernel| kernel.ways.contains(way));
        let active = way.is_some_and(is_taken);
        let nexthop = address.to_string();
        Some(v1::Hop {
            nexthop,
            interface,
            link: link.unwrap_or_default(),
            active,
        })
    };
    let route = |(route, kernel): (&RouteView, &Option<Carried>)| {
        // A prefix that nothing leads to is as wanted when the kernel does not have it.
        let wanted = route
            .paths
            .iter()
            .any(|path| path.best && path.peer.is_some());
        let kernel = kernel.as_ref();
        let installed = kernel.map_or(!wanted, |kernel| kernel.as_wanted);
        let mut hops: Vec<_> = route
            .paths
            .iter()
            .filter_map(|path| hop(path, kernel))
            .collect();
        hops.sort_by_key(|hop| !hop.active);
        v1::Route {
            prefix: route.prefix.to_string(),
            paths: route.paths.iter().map(|view| path(view, &name)).collect(),
            hops,
            installed,
            discards: kernel.is_some_and(|kernel| kernel.discards),
        }
    };
    routes.iter().zip(kernel).map(route).collect()
}

pub(super) fn is_eligible(step: Step) -> bool {
    !matches!(
        step,
        Step::LinkUnusable
            | Step::NexthopUnreachable
            | Step::NexthopOurs
            | Step::Filtered
            | Step::AsLoop
            | Step::ReflectionLoop
            | Step::RouteLeak
    )
}

fn path(view: &PathView, name: &impl Fn(bgp::PeerId) -> String) -> v1::Path {
    let attrs = &view.attrs;
    v1::Path {
        peer: view.peer.map(name).unwrap_or_default(),
        best: view.best,
        step: step(view.step).to_owned(),
        nexthop: attrs
            .nexthop
            .map(|nexthop| nexthop.to_string())
            .unwrap_or_default(),
        as_path: attrs.as_path.to_string(),
        origin: attrs.origin.to_string(),
        med: attrs.med,
        local_pref: attrs.local_pref,
        communities: attrs.communities.iter().map(ToString::to_string).collect(),
        large_communities: attrs
            .large_communities
            .iter()
            .map(ToString::to_string)
            .collect(),
        ext_communities: attrs
            .ext_communities
            .iter()
            .map(ToString::to_string)
            .collect(),
        path_id: view.path_id.map(|id| id.0),
        stale: view.stale,
    }
}

fn step(step: Step) -> &'static str {
    match step {
        Step::OnlyPath => "only-path",
        Step::LinkUnusable => "link-unusable",
        Step::NexthopUnreachable => "nexthop-unreachable",
        Step::NexthopOurs => "nexthop-ours",
        Step::Filtered => "filtered",
        Step::AsLoop => "as-loop",
        Step::ReflectionLoop => "reflection-loop",
        Step::RouteLeak => "route-leak",
        Step::Originated => "originated",
        Step::LongLivedStale => "long-lived-stale",
        Step::LocalPref => "local-pref",
        Step::AsPathLength => "as-path-length",
        Step::Origin => "origin",
        Step::LinkRank => "link-rank",
        Step::Med => "med",
        Step::LinkInUse => "link-in-use",
        Step::ExternalOverInternal => "external-over-internal",
        Step::NexthopMetric => "nexthop-metric",
        Step::RouterId => "router-id",
        Step::ClusterList => "cluster-list",
        Step::PeerAddress => "peer-address",
        Step::PathId => "path-id",
    }
}
