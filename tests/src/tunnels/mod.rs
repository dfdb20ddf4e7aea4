//! Tunnels of each kind between two whole routers: what they weigh, how soon one is there, and what a rekey costs.
//!
//! ```text
//! near 172.31.0.1 ── cable ── 172.31.0.2 far, 172.30.0.0/16 too: an outer address for each tunnel
//! ```
//!
//! Both routers are `skybridged`; for IPsec each drives a strongSwan of its own. What the kernel cannot carry is
//! said and left out, but for IPsec: there strongSwan is driven with ESP of its own, without routers.
//!
//! - [`pair`]: the routers. [`weigh`]: memory. [`rekey`]: one IPsec link. [`control`]: strongSwan alone.

pub mod control;
pub mod pair;
pub mod rekey;
pub mod weigh;

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use crate::lab::netns::Namespace;
use crate::lab::scratch::Scratch;
use crate::lab::strongswan::has_xfrm;

/// What carries a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// WireGuard, ours.
    Userspace,
    /// WireGuard, the kernel's.
    Wireguard,
    /// GRE over IPv4.
    Gre,
    /// 802.1Q.
    Vlan,
    /// ESP, by strongSwan.
    Ipsec,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Userspace,
        Self::Wireguard,
        Self::Gre,
        Self::Vlan,
        Self::Ipsec,
    ];

    /// Whether this kernel has it. Only making one tells.
    ///
    /// # Errors
    ///
    /// When no namespace can be made to try in.
    pub fn is_here(self) -> Result<bool> {
        let mut scratch = Scratch::new("tk")?;
        let inside = scratch.namespace("k")?;
        Ok(match self {
            Self::Userspace => true,
            Self::Wireguard => makes(&inside, "probe type wireguard"),
            Self::Gre => makes(&inside, "probe type gre local 192.0.2.1 remote 192.0.2.2"),
            Self::Vlan => {
                inside.ip("link add wire type veth peer name other")?;
                makes(&inside, "probe link wire type vlan id 1")
            }
            Self::Ipsec => has_xfrm(&inside),
        })
    }
}

fn makes(inside: &Namespace, words: &str) -> bool {
    inside.ip(&format!("link add {words}")).is_ok()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Userspace => "wireguard, userspace",
            Self::Wireguard => "wireguard, kernel",
            Self::Gre => "gre",
            Self::Vlan => "vlan",
            Self::Ipsec => "ipsec",
        })
    }
}
