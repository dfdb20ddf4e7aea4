//! Authenticated mode (RFC 8762 §4.4): HMAC-SHA-256, cut to 128 bits, says who knows the key.
//!
//! No packet names its key, nor which of the two ends has signed it, nor the link that it is for. What follows
//! from that is for [`Reflector`](crate::Reflector) to see to, and for the operator, who gives each link a key of
//! its own.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{AUTHENTICATED, AUTHENTICATED_LEN, Fault, LEN, Layout, UNAUTHENTICATED};

/// The octets that are signed; the signature follows them (RFC 8762 §4.4).
const SIGNED: usize = 96;
/// Octets of a block of SHA-256: HMAC takes a key as long as it is (RFC 2104 §2).
const BLOCK: usize = 64;
/// Half of what the signature would be worth; shorter ones can be guessed (RFC 2104 §3).
const SHORTEST: usize = 16;

/// A shared secret of 16 to 64 octets. HMAC fills a short one with zeros itself.
///
/// HMAC's own state, which could be kept in its place and is half of the work, could not be wiped.
pub type Key = crate::key::Key<SHORTEST, BLOCK>;

impl Key {
    fn hmac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new(self.octets().into());
        hmac.update(signed);
        hmac
    }

    /// Writes the signature into a packet in authenticated mode.
    pub(super) fn sign(&self, packet: &mut [u8]) {
        if let Some(packet) = packet.first_chunk_mut::<AUTHENTICATED_LEN>() {
            let (signed, signature) = packet.split_at_mut(SIGNED);
            let whole = self.hmac(signed).finalize().into_bytes();
            signature.copy_from_slice(&whole[..AUTHENTICATED_LEN - SIGNED]);
        }
    }

    /// Whether the signature is ours, in a time that says nothing about how much of it is.
    fn has_signed(&self, packet: &[u8; AUTHENTICATED_LEN]) -> bool {
        let (signed, signature) = packet.split_at(SIGNED);
        self.hmac(signed).verify_truncated_left(signature).is_ok()
    }
}

/// What both ends of a link have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// Signs our requests.
    pub key: Key,
    /// Is believed as well, while one end has a new key and the other does not yet.
    pub accept: Option<Key>,
}

impl Keys {
    /// The one that the packet is signed with.
    fn of(&self, packet: &[u8]) -> Result<&Key, Fault> {
        let Some(whole) = packet.first_chunk() else {
            return Err(match packet.len() < LEN {
                true => Fault::Malformed,
                false => Fault::Unauthentic(Unauthentic::Unsigned),
            });
        };
        let mut keys = [Some(&self.key), self.accept.as_ref()]
            .into_iter()
            .flatten();
        keys.find(|key| key.has_signed(whole))
            .ok_or(Fault::Unauthentic(match looks_signed(whole) {
                true => Unauthentic::OtherKey,
                false => Unauthentic::Unsigned,
            }))
    }
}

/// Whether test packets are signed. Both ends have to have the same.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// RFC 8762 §4.2.1 and §4.3.1.
    #[default]
    Unauthenticated,
    /// RFC 8762 §4.2.2 and §4.3.2.
    Authenticated(Keys),
}

impl Mode {
    pub(super) fn layout(&self) -> &'static Layout {
        match self {
            Self::Unauthenticated => &UNAUTHENTICATED,
            Self::Authenticated(_) => &AUTHENTICATED,
        }
    }

    /// Completes a request of ours.
    pub(super) fn sign(&self, packet: &mut [u8]) {
        match self {
            Self::Unauthenticated => {}
            Self::Authenticated(keys) => keys.key.sign(packet),
        }
    }

    /// The key that a packet is signed with, where it has to be.
    pub(super) fn verify(&self, packet: &[u8]) -> Result<Option<&Key>, Fault> {
        match self {
            Self::Unauthenticated if packet.first_chunk().is_some_and(looks_signed) => {
                Err(Fault::Unauthentic(Unauthentic::Signed))
            }
            Self::Unauthenticated => Ok(None),
            Self::Authenticated(keys) => keys.of(packet).map(Some),
        }
    }
}

/// Whether a packet is one of authenticated mode, by what is zero there and the time of day where that is not
/// used. The other mode has its timestamp and an error estimate there, which is never zero (RFC 4656 §4.1.2).
fn looks_signed(packet: &[u8; AUTHENTICATED_LEN]) -> bool {
    let (zero, time) = (
        UNAUTHENTICATED.timestamp..AUTHENTICATED.timestamp,
        AUTHENTICATED.timestamp..AUTHENTICATED.error_estimate,
    );
    packet[zero].iter().all(|octet| *octet == 0) && packet[time].iter().any(|octet| *octet != 0)
}

/// Why a packet is not taken for one of the far end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unauthentic {
    /// There is a key, and it is not signed.
    Unsigned,
    /// It is not signed with a key of ours, or was changed on its way.
    OtherKey,
    /// It is signed, and there is no key.
    Signed,
}

impl Unauthentic {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::OtherKey => "other_key",
            Self::Signed => "signed",
        }
    }
}

/// What to make of it when nothing else comes.
impl fmt::Display for Unauthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => {
                "the far end's STAMP packets are not authenticated: has it been given the key of this link?"
            }
            Self::OtherKey => "the far end's STAMP packets are not authentic: is its key ours?",
            Self::Signed => {
                "the far end's STAMP packets are authenticated, and this link has no key: add `auth` to its probe"
            }
        })
    }
}
