//! What a tunnel should be ([`TunnelSpec`]) and what it is ([`TunnelStatus`]).

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::names::Answers;

mod carrier;
mod ipsec;

pub use carrier::{GreSpec, VlanSpec};
pub use ipsec::{Auth, Hidden, IkeVersion, Initiator, IpsecSpec, NatTraversal, Selectors};

/// WireGuard's REJECT_AFTER_TIME: a session older than this carries nothing.
pub const HANDSHAKE_FRESH: Duration = Duration::from_secs(180);

/// A session is renewed at 120 s, or that has failed for a while.
pub const HANDSHAKE_OVERDUE: Duration = Duration::from_secs(135);

/// A handshake is repeated every 5 s; so long without an answer is no loss by chance.
const UNANSWERED: Duration = Duration::from_secs(8);

/// A tunnel as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelSpec {
    /// Name of the link that it carries.
    pub name: String,
    /// The kernel interface, 1 to 15 bytes.
    pub interface: String,
    /// In bytes, of the packets inside.
    pub mtu: u32,
    /// Our address inside, with host bits, and the length of the connected network.
    pub address: IpNet,
    /// The encapsulation.
    pub kind: Kind,
}

/// The encapsulation of a tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// WireGuard with one peer.
    WireGuard(WireGuardSpec),
    /// GRE.
    Gre(GreSpec),
    /// A VLAN.
    Vlan(VlanSpec),
    /// IPsec, on an XFRM interface.
    Ipsec(Box<IpsecSpec>),
}

impl Kind {
    /// The word for it, as in labels of metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::WireGuard(_) => "wireguard",
            Self::Gre(_) => "gre",
            Self::Vlan(_) => "vlan",
            Self::Ipsec(_) => "ipsec",
        }
    }

    /// As WireGuard, where it is that.
    #[must_use]
    pub fn wireguard(&self) -> Option<&WireGuardSpec> {
        match self {
            Self::WireGuard(wireguard) => Some(wireguard),
            Self::Gre(_) | Self::Vlan(_) | Self::Ipsec(_) => None,
        }
    }
}

/// One end of a WireGuard tunnel. Everything may pass inside: a link is point to point, and what
/// goes through it is decided by routing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireGuardSpec {
    /// Ours.
    pub private_key: Secret,
    /// UDP port that we receive on, on every address of the host.
    pub listen_port: u16,
    /// Which implementation.
    pub backend: BackendChoice,
    /// The far end.
    pub peer: WireGuardPeer,
}

/// The far end of a WireGuard tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireGuardPeer {
    /// Curve25519 public key.
    pub public_key: [u8; 32],
    /// Mixed into the handshake on top of the keys.
    pub preshared_key: Option<Secret>,
    /// Where it is; `None`: wait for it to come.
    pub endpoint: Option<SocketAddr>,
    /// Send something at least this often, in seconds; 1 to 65535.
    pub keepalive_secs: Option<u16>,
}

/// Which implementation of WireGuard is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendChoice {
    /// The one that runs already, else the kernel's where it has one, else ours.
    #[default]
    Auto,
    /// The kernel's.
    Kernel,
    /// Ours.
    Userspace,
}

/// Which implementation makes a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendKind {
    /// A kernel `wireguard` interface.
    Kernel,
    /// A TUN interface and threads of this process.
    Userspace,
}

impl BackendChoice {
    /// Whether a tunnel that `kind` makes is what was asked for.
    #[must_use]
    pub fn accepts(self, kind: BackendKind) -> bool {
        match self {
            Self::Auto => true,
            Self::Kernel => kind == BackendKind::Kernel,
            Self::Userspace => kind == BackendKind::Userspace,
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Userspace => "userspace",
        })
    }
}

/// A tunnel as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct TunnelStatus {
    /// Name of the link that it carries.
    pub name: String,
    /// The kernel interface.
    pub interface: String,
    /// `None` before it is made.
    pub backend: Option<BackendKind>,
    /// The interface is there, admin up, and has our address. Says nothing about the far end.
    pub up: bool,
    /// Where the far end was last heard of, or is looked for.
    pub endpoint: Option<SocketAddr>,
    /// What tells that it is there.
    pub far_end: FarEnd,
    /// `None` before the first handshake.
    pub last_handshake: Option<SystemTime>,
    /// Bytes received since the tunnel was made. With WireGuard those of authentic messages, its
    /// overhead included; in userspace since this process serves it.
    pub rx_bytes: u64,
    /// Bytes of messages sent, counted alike.
    pub tx_bytes: u64,
    /// Sessions made, datagrams refused as not for us or not good, and datagrams that could not be
    /// sent, counted alike. The kernel does not tell.
    pub counts: WireGuardCounts,
    /// Since when a handshake is asked for and not answered, as far as the backend tells.
    pub unanswered_since: Option<SystemTime>,
    /// What keeps it from carrying traffic, and the remedy.
    pub problem: Option<String>,
    /// What there is to say about its encapsulation, such as the cipher agreed on; may be empty.
    pub detail: String,
}

/// What tells that the far end of a tunnel is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FarEnd {
    /// The age of the last handshake.
    ByHandshake,
    /// Security associations with it are in the kernel.
    Associated,
    /// None are.
    NotAssociated,
    /// Nothing can: it counts as there, and the probes of the link find out.
    Unknown,
}

/// What a userspace data plane counts besides bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WireGuardCounts {
    /// Sessions made.
    pub handshakes: u64,
    /// Datagrams that were not for us, or not good.
    pub refused: u64,
    /// Datagrams that could not be sent.
    pub dropped: u64,
}

impl TunnelStatus {
    /// Whether the far end answers handshakes.
    ///
    /// Who does not tell since when it asks should have a session younger than
    /// [`HANDSHAKE_OVERDUE`], unless it has nothing to send.
    #[must_use]
    pub fn answers(&self, now: SystemTime) -> Answers {
        let for_longer_than =
            |limit, since: SystemTime| now.duration_since(since).is_ok_and(|waited| waited > limit);
        let is_silent = match (self.unanswered_since, self.last_handshake) {
            (Some(since), _) => for_longer_than(UNANSWERED, since),
            (None, Some(at)) => for_longer_than(HANDSHAKE_OVERDUE, at),
            (None, None) => true,
        };
        if is_silent { Answers::No } else { Answers::Yes }
    }

    /// Whether the far end is there as far as the encapsulation can tell. With WireGuard: the last
    /// handshake is at most [`HANDSHAKE_FRESH`] old.
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        match self.far_end {
            FarEnd::ByHandshake => self.has_fresh_handshake(now),
            FarEnd::Associated | FarEnd::Unknown => true,
            FarEnd::NotAssociated => false,
        }
    }

    fn has_fresh_handshake(&self, now: SystemTime) -> bool {
        self.last_handshake
            .is_some_and(|at| is_fresh_handshake(at, now))
    }
}

/// Whether a session of a handshake at this moment may still carry packets.
#[must_use]
pub fn is_fresh_handshake(at: SystemTime, now: SystemTime) -> bool {
    // A handshake "in the future" means the clock stepped back, not that it is stale.
    now.duration_since(at)
        .is_ok_and(|age| age <= HANDSHAKE_FRESH)
        || at > now
}

/// A private or preshared key. Wiped from memory when dropped; never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

/// Why a text is not a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretError {
    /// Not base64.
    #[error("a key is 44 characters of base64, as `wg genkey` prints it; this is not base64")]
    NotBase64,
    /// Base64 of another number of bytes.
    #[error("a key is 32 bytes, as `wg genkey` prints it in base64; this is {0} bytes")]
    Length(usize),
}

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses what `wg genkey` and `wg genpsk` print; white space around it is ignored.
    ///
    /// # Errors
    /// The text is not base64 of 32 bytes. The error never quotes it.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        // Decoded into a fixed buffer that is wiped, because a Vec would leave a copy behind.
        let mut bytes = zeroize::Zeroizing::new([0u8; 64]);
        let length = BASE64_STANDARD
            .decode_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|error| match error {
                base64::DecodeSliceError::DecodeError(_) => SecretError::NotBase64,
                base64::DecodeSliceError::OutputSliceTooSmall => {
                    SecretError::Length(text.trim().len() / 4 * 3)
                }
            })?;
        match bytes.first_chunk::<32>() {
            Some(key) if length == 32 => Ok(Self(*key)),
            Some(_) | None => Err(SecretError::Length(length)),
        }
    }

    /// The bytes, for the code that hands them to a cipher or to the kernel.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same private key.
    ///
    /// Five bits of a Curve25519 private key mean nothing (RFC 7748 §5); the kernel returns them
    /// set as its arithmetic wants them, whatever was given to it.
    #[must_use]
    pub fn is_same_private_key(&self, other: &Self) -> bool {
        self.clamped() == other.clamped()
    }

    fn clamped(&self) -> Self {
        let mut key = self.clone();
        key.0[0] &= 0b1111_1000;
        key.0[31] &= 0b0111_1111;
        key.0[31] |= 0b0100_0000;
        key
    }

    /// The public key that belongs to this private key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        let private = boringtun::x25519::StaticSecret::from(self.0);
        *boringtun::x25519::PublicKey::from(&private).as_bytes()
    }
}

impl PartialEq for Secret {
    /// Takes the same time wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From RFC 7748 §6.1 (Alice).
    const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

    #[test]
    fn a_private_key_gives_the_public_key_of_the_rfc() {
        let secret = Secret::from_base64(PRIVATE).expect("a key");
        assert_eq!(BASE64_STANDARD.encode(secret.public_key()), PUBLIC);
    }

    #[test]
    fn a_newline_after_a_key_is_ignored() {
        let line = format!("{PRIVATE}\n");
        assert_eq!(Secret::from_base64(&line), Secret::from_base64(PRIVATE));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_quoting_it() {
        assert_eq!(
            Secret::from_base64("not a key!"),
            Err(SecretError::NotBase64)
        );
        assert_eq!(Secret::from_base64("AAAA"), Err(SecretError::Length(3)));
        assert_eq!(Secret::from_base64(""), Err(SecretError::Length(0)));
        let long = BASE64_STANDARD.encode([7u8; 300]);
        assert!(matches!(
            Secret::from_base64(&long),
            Err(SecretError::Length(300))
        ));
    }

    #[test]
    fn debug_output_never_shows_a_secret() {
        let secret = Secret::from_base64(PRIVATE).expect("a key");
        assert_eq!(format!("{:?}", Some(secret)), "Some(***)");
    }

    #[test]
    fn a_private_key_is_the_same_with_and_without_its_meaningless_bits() {
        let (given, other) = (Secret::new([1; 32]), Secret::new([9; 32]));
        let read_back = given.clamped();
        assert_ne!(given, read_back);
        assert!(given.is_same_private_key(&read_back));
        assert_eq!(given.public_key(), read_back.public_key());
        assert!(!given.is_same_private_key(&other));
    }

    #[test]
    fn keys_that_differ_in_the_last_bit_are_not_equal() {
        let mut other = [7u8; 32];
        other[31] ^= 1;
        assert_ne!(Secret::new([7; 32]), Secret::new(other));
        assert_eq!(Secret::new(other), Secret::new(other));
    }
}
