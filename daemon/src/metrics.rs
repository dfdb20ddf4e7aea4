//! Every metric in one table, and the HTTP endpoint that serves them.
//!
//! Labels are names of configured things and words from fixed lists; never a prefix, an AS path or
//! an error text. A configured thing that is down still has its series.

use std::fmt::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::snapshot::{Reader, Snapshot};

/// Upper bounds in seconds: half a millisecond to two seconds, the range of links between clouds.
const RTT: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
];
/// Below this every whole `f64` is exactly an `i64`.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Upper bounds in seconds, from the finding to the kernel's acknowledgement.
const FAILOVER: [f64; 10] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinkLabels {
    link: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct MoveLabels {
    group: String,
    reason: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TransitionLabels {
    peer: String,
    to: &'static str,
}

/// What is counted as it happens; everything else is read from the [`Snapshot`] at scrape time.
#[derive(Clone)]
pub(crate) struct Counters {
    fib_steps: Family<StepLabels, Counter>,
    failover: Histogram,
    rtt: Family<LinkLabels, Histogram, fn() -> Histogram>,
    moves: Family<MoveLabels, Counter>,
    transitions: Family<TransitionLabels, Counter>,
    restarts: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            fib_steps: Family::default(),
            failover: Histogram::new(FAILOVER),
            rtt: Family::new_with_constructor(|| Histogram::new(RTT)),
            moves: Family::default(),
            transitions: Family::default(),
            restarts: Counter::default(),
        }
    }
}

impl Counters {
    pub(crate) fn fib_step(&self, step: &'static str, done: bool) {
        let result = if done { "ok" } else { "error" };
        self.fib_steps
            .get_or_create(&StepLabels { step, result })
            .inc();
    }

    pub(crate) fn failover(&self, took: Duration) {
        self.failover.observe(took.as_secs_f64());
    }

    pub(crate) fn rtt(&self, link: &str, rtt: Duration) {
        self.rtt
            .get_or_create(&LinkLabels {
                link: link.to_owned(),
            })
            .observe(rtt.as_secs_f64());
    }

    pub(crate) fn group_moved(&self, group: &str, reason: &str) {
        let labels = MoveLabels {
            group: group.to_owned(),
            reason: reason.to_owned(),
        };
        self.moves.get_or_create(&labels).inc();
    }

    pub(crate) fn transition(&self, peer: &str, to: &'static str) {
        self.transitions
            .get_or_create(&TransitionLabels {
                peer: peer.to_owned(),
                to,
            })
            .inc();
    }

    pub(crate) fn restart(&self) {
        self.restarts.inc();
    }

    /// Series of a link or peer that is no longer configured do not linger.
    pub(crate) fn forget_link(&self, link: &str) {
        self.rtt.remove(&LinkLabels {
            link: link.to_owned(),
        });
    }

    /// As [`Counters::forget_link`].
    pub(crate) fn forget_peer(&self, peer: &str) {
        for to in ["established", "down"] {
            self.transitions.remove(&TransitionLabels {
                peer: peer.to_owned(),
                to,
            });
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "fib_steps",
            "Changes of the kernel's routing tables; errors are retried",
            self.fib_steps.clone(),
        );
        registry.register(
            "failover_seconds",
            "From finding a link changed to the kernel's acknowledgement of the moved groups",
            self.failover.clone(),
        );
        registry.register(
            "link_rtt_seconds",
            "Round-trip times of probes",
            self.rtt.clone(),
        );
        registry.register(
            "group_failovers",
            "Moves of a group's traffic from one link to another",
            self.moves.clone(),
        );
        registry.register(
            "bgp_session_transitions",
            "How often a session came up or went down; rising fast means that it flaps",
            self.transitions.clone(),
        );
        registry.register(
            "task_restarts",
            "Peer tasks started again after a fault of the program; each deserves a report",
            self.restarts.clone(),
        );
    }
}

/// What is read at scrape time. The handler fills it, the registry's collector encodes it.
#[derive(Default, Debug)]
struct Latest(Mutex<Option<Arc<Snapshot>>>);

#[derive(Debug)]
struct Gauges(Arc<Latest>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let snapshot = self
            .0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        let mut table = Table(&mut encoder);
        links(&snapshot, &mut table)?;
        peers(&snapshot, &mut table)?;
        tunnels(&snapshot, &mut table)?;
        process(&snapshot, &mut table)
    }
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
    let named = |link: &crate::snapshot::LinkView| {
        [
            ("link", link.name.clone()),
            ("group", link.group.clone().unwrap_or_default()),
        ]
    };
    let only = |link: &crate::snapshot::LinkView| [("link", link.name.clone())];
    table.gauge(
        "link_up",
        "1 while the link can carry traffic",
        links
            .iter()
            .map(|link| (named(link), flag(link.is_usable()))),
    )?;
    let states = links.iter().flat_map(|link| {
        [links::State::Up, links::State::Degraded, links::State::Down].map(|state| {
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
    let measured = |read: fn(&links::Quality) -> Option<f64>| {
        links
            .iter()
            .filter_map(move |link| Some((only(link), read(link.row.quality.as_ref()?)?)))
    };
    table.gauge(
        "link_jitter_seconds",
        "Mean difference between consecutive round-trip times in the window",
        measured(|quality| quality.jitter.map(|jitter| jitter.as_secs_f64())),
    )?;
    table.gauge(
        "link_loss_ratio",
        "Probes of the window that were not answered, 0 to 1",
        measured(|quality| Some(quality.loss_ratio)),
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
    table.gauge(
        "link_mtu_bytes",
        "MTU of the link's interface; 0 while it is missing",
        links
            .iter()
            .map(|link| (only(link), f64::from(link.row.mtu))),
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
            ("kind", "wireguard".to_owned()),
        ];
        (labels, flag(status.up && status.is_fresh(now)))
    });
    table.gauge("tunnel_up", "1 while the far end of the tunnel answers", up)?;
    let handshakes = snapshot.tunnels.iter().map(|(spec, status)| {
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

/// Listens for scrapes.
///
/// # Errors
///
/// The address is taken or not ours.
pub(crate) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `/metrics` until it is aborted.
pub(crate) async fn serve(listener: TcpListener, reader: Reader) {
    let latest = Arc::new(Latest::default());
    let mut registry = Registry::with_prefix("skybridge");
    reader.board.counters.register(&mut registry);
    registry.register_collector(Box::new(Gauges(Arc::clone(&latest))));
    let registry = Arc::new(registry);
    let scrape = move || {
        let (reader, latest, registry) =
            (reader.clone(), Arc::clone(&latest), Arc::clone(&registry));
        async move {
            let snapshot = reader.snapshot().await;
            *latest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
            let mut text = String::new();
            match encode(&mut text, &registry) {
                Ok(()) => {
                    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    ([(header::CONTENT_TYPE, TYPE)], text).into_response()
                }
                Err(Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    };
    let app = Router::new().route("/metrics", get(scrape));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the metrics endpoint ended");
    }
}
