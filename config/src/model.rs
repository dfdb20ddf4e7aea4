//! The intent, typed. Every default of the file is filled in here already.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

mod carrier;
mod filter;
mod peer;
mod signing;
mod way_back;

pub use carrier::*;
pub use filter::*;
pub use peer::*;
pub use signing::*;
pub use way_back::*;

/// A whole intent.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[router]`.
    pub router: Router,
    /// `[originate] prefixes`: all that may ever leave this router as its own. Host bits are zero.
    pub originate: Vec<IpNet>,
    /// `[link.NAME]`.
    pub links: BTreeMap<String, Link>,
    /// `[group.NAME]`, and one with defaults for each group that only a link names.
    pub groups: BTreeMap<String, Group>,
    /// `[peer.NAME]`, and one for each link with `bgp`, under the link's name. No two have the same
    /// address, unless it is link-local and they are on different links.
    pub peers: BTreeMap<String, Peer>,
    /// `[listen.NAME]`: who may call without being configured one by one. No two networks overlap.
    pub ranges: BTreeMap<String, Range>,
    /// `[[aggregate]]`, by prefix.
    pub aggregates: Vec<Aggregate>,
    /// `[[filter.NAME]]`: rules in order; what no rule matches is rejected. No filter calls itself, not
    /// by way of others either, and none is larger than [`MOST_RULES`], [`MOST_SETTING`] and
    /// [`MOST_CALLS`] allow, nor all together than [`MOST_RULES_IN_ALL`].
    pub filters: BTreeMap<String, Vec<Rule>>,
    /// `[prefix-list.NAME] prefixes = ["10.1.0.0/16 le 24"]`. None is empty.
    pub prefix_lists: BTreeMap<String, Vec<PrefixPattern>>,
    /// `[fib]`.
    pub fib: Fib,
    /// `[ipsec]`.
    pub strongswan: StrongSwan,
    /// `[api]`.
    pub api: Api,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[log]`.
    pub log: Log,
}

impl Config {
    /// The name of a peer, by that or by an address that no other peer has.
    pub fn peer_named(&self, words: &str) -> Option<&str> {
        if let Some((name, _)) = self.peers.get_key_value(words) {
            return Some(name);
        }
        let address: IpAddr = words.parse().ok()?;
        let of_address = |(_, peer): &(&String, &Peer)| peer.address == address;
        let mut found = self.peers.iter().filter(of_address);
        let (name, _) = found.next()?;
        found.next().is_none().then_some(name)
    }
}

/// `[router]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Router {
    /// What people call it.
    pub name: String,
    /// Its AS; not 0, 23456, 65535 or 4294967295.
    pub asn: u32,
    /// Its BGP identifier; not zero.
    pub id: Ipv4Addr,
    /// Where BGP connections are accepted. Default `0.0.0.0:179` and `[::]:179`; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// `cluster-id`: of the route reflectors that serve the same clients (RFC 4456). Default: `id`.
    pub cluster_id: Option<Ipv4Addr>,
    /// `multipath = { … }`.
    pub multipath: Multipath,
    /// `always-compare-med`: MED decides between paths of different neighbouring ASes too.
    pub always_compare_med: bool,
}

/// `multipath = { ebgp = 4, ibgp = 4, relax-as-path = true }`: how many equal paths share the
/// traffic to a prefix. 1 to 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Multipath {
    /// Paths of external peers. Default 1.
    pub ebgp: u8,
    /// Paths of internal peers. Default 1.
    pub ibgp: u8,
    /// Paths of one length are equal whatever ASes are in them. Default false.
    pub relax_as_path: bool,
}

impl Default for Multipath {
    fn default() -> Self {
        Self {
            ebgp: 1,
            ibgp: 1,
            relax_as_path: false,
        }
    }
}

/// `[[aggregate]]`: announced while a more specific route is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// Host bits are zero.
    pub prefix: IpNet,
    /// `summary-only`: the more specific ones are not announced.
    pub summary_only: bool,
    /// `discard`: packets to it that no more specific route takes are dropped. By default, unless it
    /// covers what the host may reach by nothing but its default route: what is originated, a peer several
    /// hops away, the far end of a tunnel.
    pub discard: bool,
}

/// `[link.NAME]`: one way to reach a remote site.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// The group it belongs to.
    pub group: Option<String>,
    /// Place in a group with policy `priority`; lower is preferred. Default 100.
    pub priority: u32,
    /// What a gigabyte sent over it costs, in dollars.
    pub cost: Option<f64>,
    /// Its part of the traffic of a group with policy `balance`, from 1. Default 1.
    pub weight: u8,
    /// It carries traffic only while there is nothing else. Default false.
    pub drain: bool,
    /// The kernel interface: given, or `sb-` and the link's name, at most 15 bytes.
    pub interface: String,
    /// Both ends inside the link.
    pub inside: Inside,
    /// What carries it.
    pub carrier: Carrier,
    /// `profile`: the provider service at the far end, by the name of a
    /// [`Profile`](crate::profile::Profile).
    pub profile: Option<&'static str>,
    /// How it is measured.
    pub probe: Probe,
    /// `bfd = { … }`.
    pub bfd: Option<Bfd>,
    /// `way-back`: how the far side is asked to prefer one of the links of a group. Default `auto`.
    pub way_back: WayBack,
}

/// `inside = { local = "169.254.21.2/30", remote = "169.254.21.1" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// Our address, with host bits, and its prefix length.
    pub local: IpNet,
    /// The far end: of the same family, inside the same network, another address.
    pub remote: IpAddr,
}

/// Where a secret is kept. Never the secret itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// `{ file = "secrets/wg.key" }`; a relative path is relative to the configuration file.
    File(PathBuf),
    /// `{ env = "WG_KEY" }`.
    Env(String),
    /// `{ credential = "wg-key" }`: a systemd credential.
    Credential(String),
    /// `{ command = ["vault", "read", …] }`: its standard output.
    Command(Vec<String>),
}

/// `probe = { method = "auto", interval = "100ms", … }`.
#[derive(Clone, PartialEq, Debug)]
pub struct Probe {
    /// `auto` (default), `stamp`, `icmp`, `tcp`, `bgp` or `off`.
    pub method: ProbeMethod,
    /// Of `tcp`: where it connects to. Default 179.
    pub port: u16,
    /// Between two probes. Default 100 ms, and 1 s by TCP; at least 10 ms.
    pub interval: Duration,
    /// An answer that takes longer is a loss. Default 1 s.
    pub timeout: Duration,
    /// Over which RTT, jitter and loss are computed. Default 10 s.
    pub window: Duration,
    /// `down-after`: consecutive losses until the link is down. Default 3.
    pub down_after: u32,
    /// `up-after`: consecutive answers until it is up again. Default 5.
    pub up_after: u32,
    /// `mtu`: what the path takes is looked for, and kept to. Default true.
    pub mtu: bool,
    /// `auth = { … }`: of `stamp` only.
    pub auth: Option<ProbeAuth>,
}

/// `auth = { key = { file = "secrets/a.key" }, accept-key = { file = "secrets/a-new.key" } }`: STAMP in
/// authenticated mode (RFC 8762 §4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeAuth {
    /// `key`: what signs our probes, and is believed.
    pub key: SecretSource,
    /// `accept-key`: what is believed as well, while the two ends change their keys.
    pub accept_key: Option<SecretSource>,
}

/// How a link is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProbeMethod {
    /// STAMP if the far end answers it, ICMP echo otherwise, and if neither ever is, as `bgp`.
    #[default]
    Auto,
    /// STAMP (RFC 8762) only.
    Stamp,
    /// ICMP echo only.
    Icmp,
    /// TCP connections to a port, accepted or refused.
    Tcp,
    /// The TCP connection of the link's BGP session, and connections to its port while there is none.
    Bgp,
    /// Not measured: up when its interface is.
    Off,
}

/// `bfd = { interval = "300ms", multiplier = 3, strict = false, auth = { … } }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bfd {
    /// Sent and heard no more often than this, once up. Default 300 ms, at least 10 ms.
    pub interval: Duration,
    /// So many packets missing in a row are too many. 2 to 255, default 3.
    pub multiplier: u8,
    /// `strict`: the link is not up, and so its BGP session is not tried, before BFD is; without a link, the
    /// peer's session is not. Default: it may be, and BFD counts from when it was up first.
    pub strict: bool,
    /// `auth = { … }`.
    pub auth: Option<BfdAuth>,
}

/// `auth = { type = "keyed-sha1", id = 1, key = { file = "secrets/bfd.key" } }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BfdAuth {
    /// `keyed-sha1` or `meticulous-keyed-sha1`.
    pub kind: BfdAuthKind,
    /// Both ends must have the same. Default 1.
    pub id: u8,
    /// 1 to 20 octets.
    pub key: SecretSource,
}

/// RFC 5880 §6.7.4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BfdAuthKind {
    /// The sequence number grows when there is something new.
    KeyedSha1,
    /// The sequence number grows with each packet.
    MeticulousKeyedSha1,
}

/// `[group.NAME]`: links to the same site.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// `policy`, with its `margin`; default `priority`.
    pub policy: Policy,
    /// `slo = { rtt = "40ms", loss = "0.5%" }`; worse than this is degraded.
    pub slo: Slo,
    /// `hold-down`: how long a better link must stay better before traffic moves to it. Default
    /// 30 s with `latency` and `loss`, otherwise 5 s.
    pub hold_down: Duration,
}

/// How a group chooses among its links.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Policy {
    /// The first that is healthy, in order of `priority`.
    #[default]
    Priority,
    /// The one with the shortest RTT.
    Latency(RttMargin),
    /// The one that loses least.
    Loss {
        /// 0 to 1; default 0.005.
        margin: f64,
    },
    /// The cheapest within the group's `slo`.
    Cost,
    /// All that are up, by `weight`.
    Balance,
}

impl Policy {
    /// As the file names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Latency(_) => "latency",
            Self::Loss { .. } => "loss",
            Self::Cost => "cost",
            Self::Balance => "balance",
        }
    }
}

/// By how much a shorter RTT has to be shorter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RttMargin {
    /// `margin = "5ms"`.
    Time(Duration),
    /// `margin = "10%"`: of the longer one, 0 to 1, and 2 ms at least. The default.
    Part(f64),
}

/// What is over a threshold stays so until it is below another one, which is never the higher of the two.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit<T> {
    enter: T,
    leave: T,
}

impl<T: Copy + PartialOrd> Limit<T> {
    /// `None` when `leave` is the higher one.
    pub fn new(enter: T, leave: T) -> Option<Self> {
        (leave <= enter).then_some(Self { enter, leave })
    }

    /// More than this is over it.
    pub fn enter(self) -> T {
        self.enter
    }

    /// No more than this is below it again.
    pub fn leave(self) -> T {
        self.leave
    }
}

impl From<Duration> for Limit<Duration> {
    /// Left at 80 %.
    fn from(enter: Duration) -> Self {
        let leave = enter / 5 * 4;
        Self { enter, leave }
    }
}

impl From<f64> for Limit<f64> {
    /// Left at 80 %.
    fn from(enter: f64) -> Self {
        let leave = enter * 0.8;
        Self { enter, leave }
    }
}

/// What a link must keep to be called up.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Slo {
    /// Median round-trip time.
    pub rtt: Option<Limit<Duration>>,
    /// 0 to 1.
    pub loss: Option<Limit<f64>>,
    /// From a fault to the kernel forwarding over another link: what drills are judged by.
    pub failover: Option<Duration>,
}

/// `[fib]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fib {
    /// Give routes to the kernel. Default true.
    pub install: bool,
    /// Kernel table. Default 254 (main).
    pub table: u32,
    /// Metric of our routes. Default 20.
    pub metric: u32,
    /// A BGP nexthop that only a default route leads to counts as reachable. Default false.
    pub resolve_via_default: bool,
}

/// `[ipsec]`: the strongSwan of this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StrongSwan {
    /// `socket`: where it listens (VICI). Default `/run/charon.vici`.
    pub socket: PathBuf,
}

/// `[api]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Api {
    /// Default `/run/skybridge/skybridge.sock`.
    pub socket: PathBuf,
}

/// `[metrics]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Default `127.0.0.1:9179`; `listen = "off"`: none.
    pub listen: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info` (default), `debug` or `trace`; or directives such as `info,bgp=debug`.
    pub level: String,
    /// `text` (default) or `json`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}
