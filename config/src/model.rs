//! The intent, typed. Every default of the file is filled in here already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

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
    /// `[[filter.NAME]]`: rules in order; what no rule matches is rejected.
    pub filters: BTreeMap<String, Vec<Rule>>,
    /// `[fib]`.
    pub fib: Fib,
    /// `[api]`.
    pub api: Api,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[log]`.
    pub log: Log,
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
}

/// `[link.NAME]`: one way to reach a remote site.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// The group it belongs to.
    pub group: Option<String>,
    /// Place in a group with policy `priority`; lower is preferred. Default 100.
    pub priority: u32,
    /// The kernel interface: given, or `sb-` and the link's name, at most 15 bytes.
    pub interface: String,
    /// Both ends inside the link.
    pub inside: Inside,
    /// What carries it.
    pub carrier: Carrier,
    /// How it is measured.
    pub probe: Probe,
}

/// `inside = { local = "169.254.21.2/30", remote = "169.254.21.1" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// Our address, with host bits, and its prefix length.
    pub local: IpNet,
    /// The far end: of the same family, inside the same network, another address.
    pub remote: IpAddr,
}

/// What carries a link: exactly one of `wireguard` and `interface`.
#[derive(Clone, PartialEq, Debug)]
pub enum Carrier {
    /// `interface = "eth1"`: a network interface that is already there.
    Interface,
    /// `wireguard = { … }`.
    WireGuard(WireGuard),
}

/// `wireguard = { private-key = …, listen = 51820, backend = …, mtu = …, peer = { public-key = …,
/// preshared-key = …, endpoint = …, keepalive = … } }`.
#[derive(Clone, PartialEq, Debug)]
pub struct WireGuard {
    /// Ours.
    pub private_key: SecretSource,
    /// UDP port that we receive on.
    pub listen: u16,
    /// `backend = "auto" | "kernel" | "userspace"`.
    pub backend: Backend,
    /// `mtu`; default 1420.
    pub mtu: u32,
    /// The peer's public key.
    pub peer_public_key: [u8; 32],
    /// Shared with the peer on top.
    pub preshared_key: Option<SecretSource>,
    /// Where the peer is; without it we wait for it to come.
    pub endpoint: Option<Endpoint>,
    /// `keepalive = "25s"`: whole seconds, 1 to 65535.
    pub keepalive: Option<Duration>,
}

/// Which implementation of WireGuard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The kernel's where it has one, ours otherwise.
    #[default]
    Auto,
    /// The kernel's.
    Kernel,
    /// Ours.
    Userspace,
}

/// `host:port`, `192.0.2.1:51820` or `[2001:db8::1]:51820`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
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
    /// `auto` (default), `stamp`, `icmp` or `off`.
    pub method: ProbeMethod,
    /// Between two probes. Default 100 ms, at least 10 ms.
    pub interval: Duration,
    /// An answer that takes longer is a loss. Default 1 s.
    pub timeout: Duration,
    /// Over which RTT, jitter and loss are computed. Default 10 s.
    pub window: Duration,
    /// `down-after`: consecutive losses until the link is down. Default 3.
    pub down_after: u32,
    /// `up-after`: consecutive answers until it is up again. Default 5.
    pub up_after: u32,
}

/// How a link is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProbeMethod {
    /// STAMP if the far end answers it, ICMP echo otherwise.
    #[default]
    Auto,
    /// STAMP (RFC 8762) only.
    Stamp,
    /// ICMP echo only.
    Icmp,
    /// Not measured: up when its interface is.
    Off,
}

/// `[group.NAME]`: links to the same site.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// `policy`; default `priority`.
    pub policy: Policy,
    /// `slo = { rtt = "40ms", loss = "0.5%" }`; worse than this is degraded.
    pub slo: Slo,
    /// `hold-down`: how long a better link must stay better before traffic moves back.
    /// Default 5 s.
    pub hold_down: Duration,
}

/// How a group chooses among its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// The first that is healthy, in order of `priority`.
    #[default]
    Priority,
}

/// What a link must keep to be called up.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Slo {
    /// Median round-trip time.
    pub rtt: Option<Duration>,
    /// 0 to 1.
    pub loss: Option<f64>,
}

/// `[peer.NAME]`, or `bgp = { … }` of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The link it is reached through, if any.
    pub link: Option<String>,
    /// The listen range that it called from. Never set in what a file says.
    pub range: Option<String>,
    /// Its address; the link's `inside.remote` for a peer of a link.
    pub address: IpAddr,
    /// `port`; default 179.
    pub port: u16,
    /// Our own address toward it; the link's `inside.local` for a peer of a link.
    pub local_address: Option<IpAddr>,
    /// `interface`: the only one that packets to it leave by and come in by.
    pub interface: Option<String>,
    /// Its AS; not 0, 23456, 65535 or 4294967295.
    pub asn: u32,
    /// Name of the import filter, which exists. Without one nothing is accepted.
    pub import: Option<String>,
    /// Name of the export filter, which exists. Without one nothing is announced.
    pub export: Option<String>,
    /// `description`: for people.
    pub description: Option<String>,
    /// `shutdown`: there is no session, and the peer is told why (RFC 9003). At most 255 bytes,
    /// empty for `true`.
    pub shutdown: Option<String>,
    /// `families = ["ipv4", "ipv6"]`: both by default, never none.
    pub families: BTreeSet<Family>,
    /// `passive = true`: we do not dial.
    pub passive: bool,
    /// `hold-time`: whole seconds, 0 or 3 to 65535. Default 90 s.
    pub hold_time: Duration,
    /// `send-hold-time` (RFC 9687): how long it may take nothing of what we send. Default: the longer
    /// of 8 minutes and twice the hold time.
    pub send_hold_time: Option<Duration>,
    /// `connect-retry`: first wait after a failed attempt. Default 5 s, at most 120 s.
    pub connect_retry: Duration,
    /// `multihop`, `ttl-security`: how far away it is.
    pub distance: Distance,
    /// `md5`: the key of TCP MD5 (RFC 2385).
    pub md5: Option<SecretSource>,
    /// `extended-messages` (RFC 8654). Default true.
    pub extended_messages: bool,
    /// `enhanced-refresh` (RFC 7313). Default true.
    pub enhanced_refresh: bool,
    /// `extended-nexthop`: IPv4 prefixes with an IPv6 nexthop (RFC 8950). Default false.
    pub extended_nexthop: bool,
    /// `add-path` (RFC 7911).
    pub add_path: AddPath,
    /// `add-path-limit`: how many paths for a prefix it is sent. 0: all.
    pub add_path_limit: u8,
    /// `graceful-restart` (RFC 4724). On by default.
    pub graceful_restart: Option<GracefulRestart>,
    /// `role`: what we are to it (RFC 9234).
    pub role: Option<Role>,
    /// `role-strict`: it must say its role too.
    pub role_strict: bool,
    /// `local-as`: another AS that we are to it.
    pub local_as: Option<LocalAs>,
    /// `allowas-in`: how often our own AS may be in a path that it sends. Default 0.
    pub own_as_allowed: u8,
    /// `enforce-first-as`. Default true.
    pub enforce_first_as: bool,
    /// `as-override`: its AS is replaced by ours in what it is sent.
    pub as_override: bool,
    /// `remove-private`: private AS numbers in what it is sent.
    pub private_as: PrivateAs,
    /// `nexthop`: which one it is told.
    pub nexthop: Nexthop,
    /// `route-reflector-client` (RFC 4456).
    pub reflector_client: bool,
    /// `prefix-limit`: how much it may send.
    pub prefix_limit: Option<PrefixLimit>,
    /// `prefix-limit-out`: how much it is sent at most.
    pub prefix_limit_out: Limits,
}

/// `[listen.NAME]`: peers that need no configuration of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// Where they call from. Host bits are zero.
    pub network: IpNet,
    /// `limit`: how many at once. Default 64, at most 4096.
    pub limit: u32,
    /// What they have in common; its address is the first of the network.
    pub peer: Peer,
}

impl Range {
    /// The peer at one address of it.
    pub fn peer(&self, name: &str, address: IpAddr) -> Peer {
        Peer {
            address,
            range: Some(name.to_owned()),
            ..self.peer.clone()
        }
    }
}

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

/// How many hops away a peer is, and how that is made sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distance {
    /// On our own network: packets leave with a TTL of 1. The default for another AS.
    Connected,
    /// `multihop = N`: packets leave with this TTL. 255 is the default for our own AS.
    Multihop(u8),
    /// `ttl-security = N`: at most so many hops away. What comes from farther is dropped (RFC 5082).
    Secured(u8),
}

impl Distance {
    /// The TTL of packets to the peer.
    pub fn ttl(self) -> u8 {
        match self {
            Self::Connected => 1,
            Self::Multihop(ttl) => ttl,
            Self::Secured(_) => u8::MAX,
        }
    }

    /// The least TTL of packets from it, where that is asked for.
    pub fn min_ttl(self) -> Option<u8> {
        match self {
            Self::Connected | Self::Multihop(_) => None,
            Self::Secured(hops) => Some((u8::MAX - hops).saturating_add(1)),
        }
    }
}

/// Which of the two sends several paths for a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AddPath {
    /// Both.
    Both,
    /// Neither.
    #[default]
    Off,
    /// The peer.
    Receive,
    /// We.
    Send,
}

/// `graceful-restart = { time = "120s", long-lived = "1h" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GracefulRestart {
    /// How long the peer keeps our routes when the session ends: whole seconds, at most 4095.
    /// Default 120 s.
    pub time: Duration,
    /// How long after that, as routes of last resort (RFC 9494). Default 0: not.
    pub long_lived: Duration,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(120),
            long_lived: Duration::ZERO,
        }
    }
}

/// What we are to a peer (RFC 9234 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `customer`: it gives us transit.
    Customer,
    /// `peer`: each sends its own routes and its customers'.
    Peer,
    /// `provider`: we give it transit.
    Provider,
    /// `route-server`.
    RouteServer,
    /// `route-server-client`.
    RouteServerClient,
}

/// `local-as = 64600`, or `{ asn = 64600, no-prepend = true, replace-as = true }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalAs {
    /// What we are to it.
    pub asn: u32,
    /// It is not put in front of paths that the peer sends.
    pub no_prepend: bool,
    /// Paths that the peer is sent have it in place of our own, not in front of it.
    pub replace_as: bool,
}

/// What becomes of private AS numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PrivateAs {
    /// They stay.
    #[default]
    Keep,
    /// `remove-private = true`: they go.
    Remove,
    /// `remove-private = "replace"`: our own AS stands for each.
    Replace,
}

/// Which nexthop a peer is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nexthop {
    /// `self`.
    #[default]
    Ourselves,
    /// `third-party`: that of the path where the peer can reach it directly, ours otherwise.
    ThirdParty,
    /// `unchanged`: that of the path.
    Unchanged,
}

/// A number of prefixes for each family; at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// `ipv4`.
    pub ipv4: Option<u32>,
    /// `ipv6`.
    pub ipv6: Option<u32>,
}

/// `prefix-limit = { ipv4 = 1000, warn = "80%", action = "restart", restart-after = "15m" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixLimit {
    /// At least one of them is set.
    pub max: Limits,
    /// `warn`, in percent. Default 80.
    pub warn_percent: u8,
    /// `action`.
    pub action: LimitAction,
}

/// What happens when a peer sends too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitAction {
    /// `discard`: what is over is not stored.
    Discard,
    /// `restart`: the session ends, and begins again `restart-after` later. The default, with 15 m.
    Restart(Duration),
    /// `shutdown`: the session ends, until `skybridge reset`.
    Shutdown,
    /// `warn`: it is said.
    Warn,
}

/// One rule of `[[filter.NAME]]`: all conditions given must hold; none given holds always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `prefix = ["10.1.0.0/16 le 24"]`: any of these. Empty: any prefix.
    pub prefix: Vec<PrefixPattern>,
    /// `community = ["65010:100"]`: any of these. Empty: not asked.
    pub community: Vec<u32>,
    /// `large-community = ["65010:1:2"]`: any of these. Empty: not asked.
    pub large_community: Vec<(u32, u32, u32)>,
    /// `as-path-contains = [64512]`: any of these is in the path. Empty: not asked.
    pub as_path_contains: Vec<u32>,
    /// `action = "accept" | "reject"`.
    pub action: Action,
    /// `set = { … }`; only with `accept`.
    pub set: Set,
}

/// `10.1.0.0/16`, `10.1.0.0/16 le 24`, `10.1.0.0/16 ge 20 le 24`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixPattern {
    /// Host bits are zero.
    pub net: IpNet,
    /// Shortest length that matches; at least that of `net`.
    pub min: u8,
    /// Longest length that matches; at least `min`.
    pub max: u8,
}

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it through, with `set` applied.
    Accept,
    /// Do not.
    Reject,
}

/// `set = { local-pref = 200, … }`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// `local-pref`.
    pub local_pref: Option<u32>,
    /// `med`.
    pub med: Option<u32>,
    /// `prepend`: our own AS so many more times. 0 to 16.
    pub prepend: u8,
    /// `add-community`.
    pub add_community: Vec<u32>,
    /// `delete-community`.
    pub delete_community: Vec<u32>,
    /// `add-large-community`.
    pub add_large_community: Vec<(u32, u32, u32)>,
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
