//! What signs the TCP segments of a session.

use super::SecretSource;

/// `md5 = { … }` or `tcp-ao = { … }`; never both, since a connection cannot go from one to the other
/// (RFC 5925 §1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signing {
    /// `md5`: the key of TCP MD5 (RFC 2385).
    Md5(SecretSource),
    /// `tcp-ao` (RFC 5925).
    Ao(TcpAo),
}

impl Signing {
    /// Of TCP-AO, if it is that.
    pub fn ao(&self) -> Option<&TcpAo> {
        match self {
            Self::Ao(ao) => Some(ao),
            Self::Md5(_) => None,
        }
    }

    /// The key of TCP MD5, if it is that.
    pub fn md5(&self) -> Option<&SecretSource> {
        match self {
            Self::Md5(source) => Some(source),
            Self::Ao(_) => None,
        }
    }
}

/// `tcp-ao = { keys = [ … ], include-tcp-options = true }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpAo {
    /// `keys`: 1 to 8, no two with the same `id` or the same `receive-id` (RFC 5925 §3.1). The first
    /// is the one that the peer is asked to use.
    pub keys: Vec<AoKey>,
    /// `include-tcp-options`: whether other options of TCP are signed as well (RFC 5925 §3.1).
    /// Default true.
    pub include_tcp_options: bool,
}

/// A master key tuple (RFC 5925 §3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AoKey {
    /// `id`: the KeyID of what we sign with it.
    pub id: u8,
    /// `receive-id`: the KeyID of what the peer signs with it. Default: `id`.
    pub receive_id: u8,
    /// `algorithm`.
    pub algorithm: AoAlgorithm,
    /// `key`: where the master key is kept.
    pub secret: SecretSource,
}

/// How a segment is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AoAlgorithm {
    /// `hmac-sha-1-96` (RFC 5926 §3.2.1).
    HmacSha1,
    /// `aes-128-cmac-96` (RFC 5926 §3.2.2).
    Aes128Cmac,
    /// `hmac-sha-256-128`: newer than RFC 5926, spoken by today's routers.
    HmacSha256,
}

impl AoAlgorithm {
    /// With its word in the file.
    pub const ALL: [(&'static str, Self); 3] = [
        ("hmac-sha-1-96", Self::HmacSha1),
        ("aes-128-cmac-96", Self::Aes128Cmac),
        ("hmac-sha-256-128", Self::HmacSha256),
    ];

    /// Its word in the file.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, algorithm)| *algorithm == self);
        found.map_or("", |(word, _)| word)
    }
}
