//! What is read at scrape time: one function an area, one call a metric.

use std::fmt::Error;
use std::time::SystemTime;

use bgp::Family;
use links::mtu::Verdict;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tunnels::spec::{BackendKind, WireGuardCounts};

use tunnels::spec::FarEnd;

use crate::convert;
use crate::snapshot::{LinkView, Snapshot};

/// Below this every whole `f64` is exactly an `i64`.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Writes every metric of a snapshot.
pub(super) fn encode(
    snapshot: &Snapshot,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let mut table = Table(encoder);
    links(snapshot, &mut table)?;
    peers(snapshot, &mut table)?;
    tunnels(snapshot, &mut table)?;
    process(snapshot, &mut table)
}

/// Writes families whose series are all known.
struct Table<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Table<'_, '_> {
    fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'static str, String); N], f64)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            let encoder = family.encode_family(&labels)?;
            // Whole numbers without a fraction: flags and counts read better so.
            if value.fract() == 0.0 && value.abs() < WHOLE {
                ConstGauge::new(value as i64).encode(encoder)?;
            } else {
                ConstGauge::new(value).encode(encoder)?;
            }
        }
        Ok(())
    }

    fn amount<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'static str, String); N], f64)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'static str, String); N], u64)>,
    ) -> Result<(), Error> {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn links(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let links = &snapshot.links;
    let named = |link: &LinkView| {
        [
            ("link", link.name.clone()),
            ("group", link.group.clone().unwrap_or_default()),
        ]
    };
    let only = |link: &LinkView| [("link", link.name.clone())];
    table.gauge(
        "link_up",
        "1 while the link can carry traffic",
        links
            .iter()
            .map(|link| (named(link), flag(link.is_usable()))),
    )?;
    let states = links.iter().flat_map(|link| {
        links::State::ALL.map(|state| {
            let labels = [("link", link.name.clone()), ("state", state.to_string())];
            (
                labels,
                flag(link.row.state.unwrap_or(links::State::Down) == state),
            )
        })
    });
    table.gauge("link_state", "1 for the state that the link is in", states)?;
    table.gauge(
        "link_active",
        "1 while the traffic of its group goes over the link",
        links.iter().map(|link| (named(link), flag(link.active))),
    )?;
    let groups = &snapshot.groups;
    let of = |group: &str| [("group", group.to_owned())];
    table.gauge(
        "group_asymmetric",
        "1 while most traffic leaves by one link and comes by another",
        groups
            .iter()
            .map(|(name, row)| (of(name), flag(row.asymmetric.is_some()))),
    )?;
    table.counter(
        "group_asymmetries",
        "How often traffic began to leave by one link and come by another",
        groups.iter().map(|(name, row)| (of(name), row.asymmetries)),
    )?;
    table.gauge(
        "link_drill",
        "1 while the link is failed on purpose",
        links
            .iter()
            .map(|link| (only(link), flag(link.row.drill.is_some()))),
    )?;
    let measured = |read: fn(&links::Quality) -> Option<f64>| {
        links
            .iter()
            .filter_map(move |link| Some((only(link), read(link.row.quality.as_ref()?)?)))
    };
    table.gauge(
        "link_jitter_seconds",
        "Mean difference between consecutive round-trip times in the window",
        measured(|quality| quality.judged.jitter.map(|jitter| jitter.as_secs_f64())),
    )?;
    let lost = links.iter().flat_map(|link| {
        let judged = link.row.quality.map(|quality| quality.judged);
        let ways = [
            ("both", judged.and_then(|judged| judged.loss_ratio())),
            ("out", judged.and_then(|judged| judged.loss_out)),
            ("in", judged.and_then(|judged| judged.loss_in)),
        ];
        let series = move |(direction, ratio): (&str, Option<f64>)| {
            let labels = [
                ("link", link.name.clone()),
                ("direction", direction.to_owned()),
            ];
            Some((labels, ratio?))
        };
        ways.into_iter().filter_map(series)
    });
    table.gauge(
        "link_loss_ratio",
        "Probes of the window that were lost, 0 to 1; each way where the far end's reflector counts",
        lost,
    )?;
    table.gauge(
        "link_reordered_probes",
        "Answers in the last minute that came after the answer to a later probe",
        measured(|quality| Some(quality.windows[1].reordered as f64)),
    )?;
    let refused = |link: &LinkView| link.row.quality.map_or(0, |quality| quality.refused);
    table.counter(
        "link_answers_refused",
        "STAMP packets that were no answers to our probes because they were not authentic",
        links.iter().map(|link| (only(link), refused(link))),
    )?;
    table.counter(
        "link_receive_bytes",
        "Bytes received on the link's interface",
        links.iter().map(|link| (only(link), link.receive_bytes)),
    )?;
    table.counter(
        "link_transmit_bytes",
        "Bytes sent on the link's interface",
        links.iter().map(|link| (only(link), link.transmit_bytes)),
    )?;
    let priced = links.iter().filter(|link| link.cost.is_some());
    table.amount(
        "link_cost_dollars",
        "What the bytes sent on the link's interface have cost, at its price in the file",
        priced.map(|link| (only(link), link.row.dollars)),
    )?;
    table.gauge(
        "link_mtu_bytes",
        "MTU of the link's interface; 0 while it is missing",
        links
            .iter()
            .map(|link| (only(link), f64::from(link.row.mtu))),
    )?;
    let path = |link: &LinkView| link.row.path.and_then(Verdict::mtu).unwrap_or(0);
    table.gauge(
        "link_path_mtu_bytes",
        "What the link's path takes in one packet; 0 while that is not known",
        links.iter().map(|link| (only(link), f64::from(path(link)))),
    )?;
    bfd(snapshot, table)
}

/// Whatever is configured to have a session has its series, whether the session can be or not.
fn bfd(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let sessions = || {
        let links = snapshot.links.iter();
        let links = links.filter_map(|link| Some((("link", &link.name), link.bfd?)));
        let peers = snapshot.peers.iter();
        links.chain(peers.filter_map(|peer| Some((("peer", &peer.name), peer.bfd?))))
    };
    table.gauge(
        "bfd_session_up",
        "1 while the BFD session of the link, or of the peer on none, is up",
        sessions().map(|((kind, name), status)| {
            let is_up = |status: links::bfd::Status| status.state == links::bfd::State::Up;
            ([(kind, name.clone())], flag(status.is_some_and(is_up)))
        }),
    )?;
    let packets = sessions().flat_map(|((kind, name), status)| {
        let count = |direction: &str, read: fn(&links::bfd::Status) -> u64| {
            let labels = [(kind, name.clone()), ("direction", direction.to_owned())];
            (labels, status.as_ref().map_or(0, read))
        };
        [
            count("transmit", |status| status.sent),
            count("receive", |status| status.received),
            count("refused", |status| status.dropped),
        ]
    });
    table.counter(
        "bfd_packets",
        "BFD packets of that session: sent, received, and refused for hop limit, key or sequence",
        packets,
    )
}

fn peers(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let peers = &snapshot.peers;
    table.gauge(
        "bgp_session_up",
        "1 while the session is established",
        peers
            .iter()
            .map(|peer| ([("peer", peer.name.clone())], flag(peer.is_established()))),
    )?;
    let prefixes = peers.iter().flat_map(|peer| {
        peer.counts.iter().flat_map(|(family, counts)| {
            let rows = [
                ("received", counts.received),
                ("accepted", counts.accepted),
                ("best", counts.best),
                ("advertised", counts.advertised),
                ("stale", counts.stale),
                ("held_back", counts.held_back),
            ];
            rows.map(|(rib, count)| {
                let labels = [
                    ("peer", peer.name.clone()),
                    ("family", family.to_string()),
                    ("rib", rib.to_owned()),
                ];
                (labels, count as f64)
            })
        })
    });
    table.gauge("bgp_prefixes", "Prefixes of the peer, by table", prefixes)?;
    let limits = peers.iter().flat_map(|peer| {
        let options = convert::options(&peer.config);
        Family::ALL.into_iter().flat_map(move |family| {
            let inward = options.receive_limit[family as usize].map(|limit| limit.max);
            let outward = options.send_limit[family as usize];
            let rows = [("receive", inward), ("send", outward)];
            let series = rows.into_iter().filter_map(move |(direction, max)| {
                let labels = [
                    ("peer", peer.name.clone()),
                    ("family", family.to_string()),
                    ("direction", direction.to_owned()),
                ];
                Some((labels, f64::from(max?)))
            });
            series.collect::<Vec<_>>()
        })
    });
    table.gauge(
        "bgp_prefix_limit",
        "Prefixes that may pass, where that is limited; alarm when bgp_prefixes comes near",
        limits,
    )?;
    let messages = peers.iter().flat_map(|peer| {
        let messages = peer
            .status
            .as_ref()
            .map(|status| status.messages)
            .unwrap_or_default();
        [("received", messages.received), ("sent", messages.sent)]
            .into_iter()
            .flat_map(|(direction, counts)| {
                let rows = [
                    ("open", counts.open),
                    ("update", counts.update),
                    ("notification", counts.notification),
                    ("keepalive", counts.keepalive),
                    ("route_refresh", counts.route_refresh),
                ];
                rows.map(|(kind, count)| {
                    let labels = [
                        ("peer", peer.name.clone()),
                        ("direction", direction.to_owned()),
                        ("type", kind.to_owned()),
                    ];
                    (labels, count)
                })
            })
    });
    table.counter("bgp_messages", "BGP messages", messages)?;
    let errors = peers.iter().flat_map(|peer| {
        let errors = peer
            .status
            .as_ref()
            .map(|status| status.update_errors)
            .unwrap_or_default();
        let rows = [
            ("prefix_discard", errors.prefix_discard),
            ("attribute_discard", errors.attribute_discard),
            ("treat_as_withdraw", errors.treat_as_withdraw),
            ("session_reset", errors.session_reset),
        ];
        rows.map(|(severity, count)| {
            (
                [
                    ("peer", peer.name.clone()),
                    ("severity", severity.to_owned()),
                ],
                count,
            )
        })
    });
    table.counter(
        "bgp_update_errors",
        "UPDATEs with a fault, by what RFC 7606 has done with them; any is the peer's bug or ours",
        errors,
    )
}

fn tunnels(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let now = SystemTime::now();
    let up = snapshot.tunnels.iter().map(|(spec, status)| {
        let labels = [
            ("tunnel", spec.name.clone()),
            ("kind", spec.kind.name().to_owned()),
        ];
        (labels, flag(status.up && status.is_fresh(now)))
    });
    table.gauge("tunnel_up", "1 while the far end of the tunnel answers", up)?;
    let with_handshakes = snapshot
        .tunnels
        .iter()
        .filter(|(_, status)| status.far_end == FarEnd::ByHandshake);
    let handshakes = with_handshakes.map(|(spec, status)| {
        let at = status
            .last_handshake
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        (
            [("tunnel", spec.name.clone())],
            at.map_or(0.0, |at| at.as_secs_f64()),
        )
    });
    table.gauge(
        "wireguard_last_handshake_seconds",
        "Unix time of the last handshake; 0 before the first",
        handshakes,
    )?;
    wireguard_counts(snapshot, table)
}

/// What only our own data plane counts: the kernel's tunnels have no such series.
fn wireguard_counts(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let ours = |count: fn(&WireGuardCounts) -> u64| {
        let tunnels = snapshot.tunnels.iter();
        tunnels
            .filter(|(_, status)| status.far_end == FarEnd::ByHandshake)
            .filter(|(_, status)| status.backend != Some(BackendKind::Kernel))
            .map(move |(spec, status)| ([("tunnel", spec.name.clone())], count(&status.counts)))
    };
    table.counter(
        "wireguard_handshakes",
        "Sessions made; about 31 an hour are due",
        ours(|counts| counts.handshakes),
    )?;
    table.counter(
        "wireguard_refused",
        "Datagrams to the port that were not the peer's, or not good",
        ours(|counts| counts.refused),
    )?;
    table.counter(
        "wireguard_dropped",
        "Datagrams that the host could not send",
        ours(|counts| counts.dropped),
    )
}

fn process(snapshot: &Snapshot, table: &mut Table<'_, '_>) -> Result<(), Error> {
    let counts = snapshot.fib.counts;
    table.gauge(
        "fib_routes",
        "Routes of ours in the kernel",
        [([], counts.routes as f64)],
    )?;
    table.gauge(
        "fib_nexthop_groups",
        "Nexthop groups of ours in the kernel",
        [([], counts.groups as f64)],
    )?;
    table.gauge(
        "fib_pending_routes",
        "Routes that the kernel does not have as wanted; should return to 0 within seconds",
        [([], counts.pending as f64)],
    )?;
    table.gauge(
        "config_revision",
        "Intents applied since the start",
        [([], snapshot.revision as f64)],
    )?;
    let build = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "commit",
            option_env!("SKYBRIDGE_COMMIT")
                .unwrap_or("unknown")
                .to_owned(),
        ),
    ];
    table.gauge("build_info", "1; the labels say what runs", [(build, 1.0)])
}
