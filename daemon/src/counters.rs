//! What is counted as it happens, for [`metrics`](crate::metrics).

use std::time::Duration;

use links::{Fault, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds: half a millisecond to two seconds, the range of links between clouds.
const RTT: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
];
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
struct ProbeRefusalLabels {
    link: String,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct MoveLabels {
    group: String,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TransitionLabels {
    peer: String,
    to: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct DrillLabels {
    fault: &'static str,
    objective: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Why a BGP connection was closed before a byte of it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It came to another address than the one that is ours toward its peer.
    Address,
    /// Its peer has more to do than it can.
    Busy,
    /// The listen range that it came from has all the peers that it may have.
    Limit,
    /// No peer has its address.
    Stranger,
    /// The kernel did not take the keys that it has to sign with.
    Unsigned,
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::Address,
        Self::Busy,
        Self::Limit,
        Self::Stranger,
        Self::Unsigned,
    ];

    fn labels(self) -> RefusalLabels {
        let reason = match self {
            Self::Address => "address",
            Self::Busy => "busy",
            Self::Limit => "limit",
            Self::Stranger => "stranger",
            Self::Unsigned => "unsigned",
        };
        RefusalLabels { reason }
    }
}

/// See the [module](self); everything else is read from a snapshot at scrape time.
#[derive(Clone)]
pub(crate) struct Counters {
    fib_steps: Family<StepLabels, Counter>,
    failover: Histogram,
    rtt: Family<LinkLabels, Histogram, fn() -> Histogram>,
    probe_refusals: Family<ProbeRefusalLabels, Counter>,
    moves: Family<MoveLabels, Counter>,
    transitions: Family<TransitionLabels, Counter>,
    restarts: Counter,
    refusals: Family<RefusalLabels, Counter>,
    drills: Family<DrillLabels, Counter>,
}

/// Steps of one kind that the kernel has been through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct StepCount {
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            fib_steps: Family::default(),
            failover: Histogram::new(FAILOVER),
            rtt: Family::new_with_constructor(|| Histogram::new(RTT)),
            probe_refusals: Family::default(),
            moves: Family::default(),
            transitions: Family::default(),
            restarts: Counter::default(),
            refusals: refusals(),
            drills: drills(),
        }
    }
}

fn labels(link: &str, refusal: links::Refusal) -> ProbeRefusalLabels {
    ProbeRefusalLabels {
        link: link.to_owned(),
        reason: refusal.name(),
    }
}

/// As the command line names them.
const FAULTS: [&str; 4] = ["fail", "loss", "withdraw", "delay"];
/// What became of a group's objective; none had to be kept.
const OBJECTIVES: [&str; 3] = ["met", "missed", "none"];

/// With all its series, as those of refusals.
fn drills() -> Family<DrillLabels, Counter> {
    let drills = Family::<DrillLabels, Counter>::default();
    for fault in FAULTS {
        for objective in OBJECTIVES {
            let _ = drills.get_or_create(&DrillLabels { fault, objective });
        }
    }
    drills
}

/// With all its series, so that the first refusal is a rise.
fn refusals() -> Family<RefusalLabels, Counter> {
    let refusals = Family::<RefusalLabels, Counter>::default();
    for why in Refusal::ALL {
        let _ = refusals.get_or_create(&why.labels());
    }
    refusals
}

impl Counters {
    pub(crate) fn refused(&self, why: Refusal) {
        self.refusals.get_or_create(&why.labels()).inc();
    }

    pub(crate) fn drill(&self, fault: Fault, verdict: Verdict) {
        let fault = match fault {
            Fault::Silence => FAULTS[0],
            Fault::Loss(_) => FAULTS[1],
            Fault::Withdrawal => FAULTS[2],
            Fault::Delay(_) => FAULTS[3],
        };
        let objective = match verdict {
            Verdict::Met => OBJECTIVES[0],
            Verdict::Missed => OBJECTIVES[1],
            Verdict::Nothing => OBJECTIVES[2],
        };
        self.drills
            .get_or_create(&DrillLabels { fault, objective })
            .inc();
    }

    pub(crate) fn fib_steps(&self, step: &'static str, count: StepCount) {
        for (result, count) in [("ok", count.done), ("error", count.failed)] {
            if count > 0 {
                self.fib_steps
                    .get_or_create(&StepLabels { step, result })
                    .inc_by(count);
            }
        }
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

    /// With all its series, so that the first refusal is a rise.
    pub(crate) fn link_starts(&self, link: &str) {
        for refusal in links::Refusal::ALL {
            let _ = self.probe_refusals.get_or_create(&labels(link, refusal));
        }
    }

    pub(crate) fn probe_refused(&self, link: &str, refusal: links::Refusal) {
        self.probe_refusals
            .get_or_create(&labels(link, refusal))
            .inc();
    }

    pub(crate) fn group_moved(&self, group: &str, reason: &'static str) {
        let labels = MoveLabels {
            group: group.to_owned(),
            reason,
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
        for refusal in links::Refusal::ALL {
            self.probe_refusals.remove(&labels(link, refusal));
        }
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

    pub(crate) fn register(&self, registry: &mut Registry) {
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
            "link_probes_refused",
            "Packets to the reflector that were not answered: strangers and replays are somebody playing, \
             keys that differ one end's file",
            self.probe_refusals.clone(),
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
            "bgp_connections_refused",
            "BGP connections closed before a byte was read; strangers are scanners or a peer missing in the file",
            self.refusals.clone(),
        );
        registry.register(
            "link_drills",
            "Failover exercises that ended; objective: met, missed, none",
            self.drills.clone(),
        );
        registry.register(
            "task_restarts",
            "Peer tasks started again after a fault of the program; each deserves a report",
            self.restarts.clone(),
        );
    }
}
