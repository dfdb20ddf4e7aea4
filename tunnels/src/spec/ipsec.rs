//! An IPsec tunnel: what strongSwan is told, and what becomes of it.

use std::{fmt, net::IpAddr, num::NonZeroU32, time::Duration};

use zeroize::Zeroizing;

/// One end of an IPsec tunnel on an XFRM interface. What goes through it is decided by routing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpsecSpec {
    /// Ties the interface to its security associations; of this link alone.
    pub if_id: NonZeroU32,
    /// Our outer address; `None`: the kernel's choice.
    pub local: Option<IpAddr>,
    /// The far end's outer address.
    pub remote: IpAddr,
    /// Who we say we are; `None`: our outer address.
    pub local_id: Option<String>,
    /// Who the far end has to be; `None`: its outer address.
    pub remote_id: Option<String>,
    /// How either end proves it.
    pub auth: Auth,
    /// Of IKE.
    pub version: IkeVersion,
    /// Proposals for IKE, best first, in the words of strongSwan: `aes256gcm16-prfsha384-ecp384`.
    pub ike: Vec<String>,
    /// Proposals for ESP, as for IKE: `aes256gcm16-ecp384`.
    pub esp: Vec<String>,
    /// After which an IKE SA is dead; it is replaced at four fifths to nine tenths of it.
    pub ike_lifetime: Duration,
    /// After which a CHILD_SA is dead; it is replaced likewise.
    pub esp_lifetime: Duration,
    /// A silent far end is asked whether it lives after this.
    pub dpd: Duration,
    /// Who calls.
    pub initiator: Initiator,
    /// When ESP travels in UDP.
    pub nat_traversal: NatTraversal,
    /// What may pass inside.
    pub selectors: Selectors,
}

/// How the two ends of an IPsec tunnel prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Auth {
    /// Both know this.
    Psk(Hidden),
    /// X.509.
    Certificate {
        /// Ours, PEM or DER.
        certificate: Vec<u8>,
        /// Ours, PEM or DER, not encrypted.
        key: Hidden,
        /// Who must have signed the far end's, PEM or DER.
        ca: Vec<u8>,
    },
}

/// Of IKE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IkeVersion {
    /// RFC 2409, main mode.
    V1,
    /// RFC 7296.
    V2,
}

/// Which end opens a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Initiator {
    /// We call.
    Us,
    /// We wait to be called.
    Them,
}

/// When ESP travels in UDP (RFC 3948).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NatTraversal {
    /// When there is a NAT in between.
    Auto,
    /// Always.
    Forced,
}

/// What may pass inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selectors {
    /// `0.0.0.0/0`.
    V4,
    /// `::/0`.
    V6,
    /// Both; only with IKEv2.
    Both,
}

impl Selectors {
    /// As prefixes.
    #[must_use]
    pub fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::V4 => &["0.0.0.0/0"],
            Self::V6 => &["::/0"],
            Self::Both => &["0.0.0.0/0", "::/0"],
        }
    }
}

impl IpsecSpec {
    /// Who the far end has to be.
    #[must_use]
    pub fn remote_identity(&self) -> String {
        let id = self.remote_id.clone();
        id.unwrap_or_else(|| self.remote.to_string())
    }

    /// Whether security associations made by `self` are those that `other` wants. A new secret, other
    /// lifetimes and another initiator are for the next ones.
    #[must_use]
    pub fn has_same_associations(&self, other: &Self) -> bool {
        let with = |spec: &Self| Self {
            auth: self.auth.clone(),
            ike_lifetime: self.ike_lifetime,
            esp_lifetime: self.esp_lifetime,
            dpd: self.dpd,
            initiator: self.initiator,
            ..spec.clone()
        };
        *self == with(other)
    }
}

impl fmt::Display for IpsecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            IkeVersion::V1 => 1,
            IkeVersion::V2 => 2,
        };
        write!(f, "IKEv{version} to {}", self.remote)
    }
}

/// A secret of any length. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    /// A secret of these octets.
    #[must_use]
    pub fn new(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    /// The octets, for the code that hands them to strongSwan.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Hidden {
    /// Takes the same time wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(other.0.iter());
        let difference = pairs.fold(0u8, |all, (a, b)| all | (a ^ b));
        self.0.len() == other.0.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Hidden {}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
