//! Peers: how they are reached, what is agreed on with them, what may pass.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Bfd, Family, SecretSource};

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
    /// `bfd = { … }`. Never set for a peer on a link, which is watched with its link.
    pub bfd: Option<PeerBfd>,
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
    pub nexthop: NexthopMode,
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

/// `bfd = { … }` of a peer that is on no link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerBfd {
    /// The keys that links have as well.
    pub bfd: Bfd,
    /// `hops`: at most so far away. 1 is on our own network (RFC 5881), more is behind routers (RFC 5883).
    pub hops: u8,
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
pub enum NexthopMode {
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
