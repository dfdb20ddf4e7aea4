//! What carries a link.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::SecretSource;
use crate::esp;

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
    /// `ipsec = { … }`.
    Ipsec(Box<Ipsec>),
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
            Self::Ipsec(_) => "ipsec",
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

/// `ipsec = { remote = "198.51.100.1", psk = { file = … }, … }`, by strongSwan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipsec {
    /// Our outer address. Default: the kernel's choice.
    pub local: Option<IpAddr>,
    /// The gateway's.
    pub remote: IpAddr,
    /// `local-id`: who we say we are. Default: our outer address.
    pub local_id: Option<String>,
    /// `remote-id`: who the gateway has to be. Default: its address.
    pub remote_id: Option<String>,
    /// How either end proves it.
    pub auth: IpsecAuth,
    /// `version`: 2 (default) or 1.
    pub version: IkeVersion,
    /// `ike`: proposals, best first. Default: the profile's.
    pub ike: Vec<String>,
    /// `esp`: proposals, best first. Default: the profile's.
    pub esp: Vec<String>,
    /// `ike-lifetime`. Default: the profile's, else 8 h.
    pub ike_lifetime: Duration,
    /// `esp-lifetime`. Default: the profile's, else 1 h.
    pub esp_lifetime: Duration,
    /// `dpd`: a silent gateway is asked whether it lives after this. Default: the profile's, else 10 s.
    pub dpd: Duration,
    /// `initiate`: we call. Default true.
    pub initiate: bool,
    /// `nat-traversal`: `auto` (default) or `force`.
    pub nat_traversal: NatTraversal,
    /// `selectors`: `ipv4`, `ipv6` or `both`. Default: the profile's, else both; with IKEv1 the family of the
    /// addresses inside.
    pub selectors: Selectors,
    /// `if-id`: ties interface and keys together in the kernel; not 0. Default: made of the link's name.
    pub if_id: u32,
    /// `mtu`, in bytes.
    pub mtu: IpsecMtu,
}

/// The MTU of an IPsec link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpsecMtu {
    /// `mtu = 1400`.
    Given(u32),
    /// The file leaves it to us.
    Computed {
        /// What the proposal that takes most leaves of 1500, should there be a NAT; at most the profile's.
        offered: u32,
        /// The profile's.
        most: Option<u32>,
    },
}

impl IpsecMtu {
    /// The MTU as long as nobody has agreed on a cipher.
    #[must_use]
    pub fn offered(self) -> u32 {
        match self {
            Self::Given(mtu) => mtu,
            Self::Computed { offered, .. } => offered,
        }
    }

    /// The MTU with the cipher that was agreed on.
    ///
    /// - `cipher`: in strongSwan's words: `AES_GCM_16-256`, `AES_CBC-256/HMAC_SHA2_256_128`
    /// - `transport`: how ESP travels
    /// - `remote`: the gateway's address
    #[must_use]
    pub fn agreed(self, cipher: &str, transport: EspTransport, remote: IpAddr) -> u32 {
        match self {
            Self::Given(mtu) => mtu,
            Self::Computed { most, .. } => {
                let left = esp::agreed_mtu(cipher, transport, remote);
                most.map_or(left, |most| most.min(left))
            }
        }
    }
}

/// How ESP travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EspTransport {
    /// By itself.
    Ip,
    /// In UDP (RFC 3948).
    Udp,
}

/// How the two ends prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IpsecAuth {
    /// `psk = { file = … }`.
    Psk(SecretSource),
    /// `certificate = "ours.pem"`, `private-key = { file = … }`, `ca = "ca.pem"`.
    Certificate {
        /// Ours; a relative path is relative to the configuration file.
        certificate: PathBuf,
        /// Ours.
        private_key: SecretSource,
        /// Who must have signed the gateway's.
        ca: PathBuf,
    },
}

/// Of IKE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IkeVersion {
    /// RFC 2409.
    V1,
    /// RFC 7296.
    V2,
}

/// When ESP travels in UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NatTraversal {
    /// When there is a NAT in between.
    #[default]
    Auto,
    /// Always.
    Force,
}

/// What may pass inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selectors {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Both.
    Both,
}
