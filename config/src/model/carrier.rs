//! What carries a link.

use std::net::IpAddr;
use std::time::Duration;

use super::SecretSource;

/// What carries a link: exactly one of these.
#[derive(Clone, PartialEq, Debug)]
pub enum Carrier {
    /// `interface = "eth1"`: a network interface that is already there.
    Interface,
    /// `wireguard = { … }`.
    WireGuard(WireGuard),
    /// `gre = { … }`.
    Gre(Gre),
    /// `vlan = { … }`.
    Vlan(Vlan),
}

impl Carrier {
    /// The key of the file that says it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::WireGuard(_) => "wireguard",
            Self::Gre(_) => "gre",
            Self::Vlan(_) => "vlan",
        }
    }
}

/// `gre = { local = "10.0.0.4", remote = "10.0.1.9", key = 7, ttl = 64, mtu = 1476 }` (RFC 2784, 2890).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gre {
    /// Our outer address.
    pub local: IpAddr,
    /// The far end's: of the same family, another address.
    pub remote: IpAddr,
    /// The same at both ends; tells tunnels between the same two addresses apart.
    pub key: Option<u32>,
    /// Of the outer packets. Default 64.
    pub ttl: u8,
    /// In bytes. Default: what 1500 leaves.
    pub mtu: u32,
}

/// `vlan = { parent = "eth0", id = 100, mtu = 1500 }` (802.1Q).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vlan {
    /// The interface that carries the tagged frames.
    pub parent: String,
    /// 1 to 4094.
    pub id: u16,
    /// In bytes; at most the parent's. Default 1500.
    pub mtu: u32,
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
