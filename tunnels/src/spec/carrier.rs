//! Encapsulations that the kernel does alone: nothing in them tells whether the far end is there.

use std::{fmt, net::IpAddr};

/// A GRE tunnel (RFC 2784), with a key if both ends have one (RFC 2890).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GreSpec {
    /// Our outer address.
    pub local: IpAddr,
    /// The far end's, of the same family.
    pub remote: IpAddr,
    /// Sent, and asked of what comes in.
    pub key: Option<u32>,
    /// Of the outer packets; not 0.
    pub ttl: u8,
}

/// A VLAN of an interface (IEEE 802.1Q).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VlanSpec {
    /// The interface that carries the tagged frames.
    pub parent: String,
    /// 1 to 4094.
    pub id: u16,
}

impl fmt::Display for GreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GRE from {} to {}", self.local, self.remote)?;
        match self.key {
            Some(key) => write!(f, " with key {key}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for VlanSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VLAN {} on {}", self.id, self.parent)
    }
}
