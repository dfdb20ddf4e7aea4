//! The greatest TCP segment that an interface carries, told to both ends of every connection through it: pure.
//!
//! Clouds drop what is too long and often say nothing about it, so waiting for path MTU discovery is waiting
//! for ever. The kernel's `maxseg` only ever makes the value less.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use crate::spec::{Kind, TunnelSpec};

/// Our table, in the family `inet`.
pub const TABLE: &str = "skybridge";
/// Headers of IPv4 and TCP without options.
const V4: u32 = 40;
/// Headers of IPv6 and TCP without options.
const V6: u32 = 60;

/// Packets of connections through this interface have at most so many octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Clamp {
    /// Ours or another's.
    pub interface: String,
    /// Octets of whole IP packets.
    pub mtu: u32,
}

impl Clamp {
    /// What a tunnel needs by its encapsulation, and an interface by what its path was found to take; `None`
    /// for what takes nothing from a packet.
    ///
    /// - `takes`: what the path takes, where that is less than the interface might
    #[must_use]
    pub fn of(tunnel: &TunnelSpec, takes: Option<u32>) -> Option<Self> {
        let mtu = match tunnel.kind {
            Kind::WireGuard(_) | Kind::Gre(_) | Kind::Ipsec(_) => tunnel.mtu,
            Kind::Vlan(_) => takes?,
        };
        Some(Self {
            interface: tunnel.interface.clone(),
            mtu: takes.map_or(mtu, |takes| takes.min(mtu)),
        })
    }
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.mtu)
    }
}

/// What `nft -f` is given, to have these rules and no others of ours. It replaces the whole table in one
/// transaction; with nothing to clamp there is no table.
#[must_use]
pub fn ruleset(clamps: &[Clamp]) -> String {
    // To delete what is not there is an error, to add what is there is none.
    let mut text = format!("add table inet {TABLE}\ndelete table inet {TABLE}\n");
    let clamped: BTreeSet<&Clamp> = clamps.iter().collect();
    if clamped.is_empty() {
        return text;
    }
    let _ = write!(
        text,
        "table inet {TABLE} {{\n  chain forward {{\n    type filter hook forward priority mangle; policy accept;\n"
    );
    for Clamp { interface, mtu } in clamped {
        for direction in ["iifname", "oifname"] {
            for (family, headers) in [("ipv4", V4), ("ipv6", V6)] {
                let segment = mtu.saturating_sub(headers);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "    {direction} \"{interface}\" meta nfproto {family} tcp flags & (syn | rst) == syn tcp option \
                     maxseg size set {segment}"
                );
            }
        }
    }
    text.push_str("  }\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{GreSpec, VlanSpec};

    fn spec(interface: &str, kind: Kind) -> TunnelSpec {
        TunnelSpec {
            name: "a".to_owned(),
            interface: interface.to_owned(),
            mtu: 1438,
            address: "10.99.0.0/31".parse().expect("a network"),
            kind,
        }
    }

    fn gre() -> Kind {
        Kind::Gre(GreSpec {
            local: "192.0.2.1".parse().expect("an address"),
            remote: "192.0.2.2".parse().expect("an address"),
            key: None,
            ttl: 64,
        })
    }

    fn clamp(interface: &str, mtu: u32) -> Clamp {
        Clamp {
            interface: interface.to_owned(),
            mtu,
        }
    }

    #[test]
    fn both_directions_and_both_families_are_clamped_to_what_is_left_of_the_mtu() {
        let text = ruleset(&[clamp("sb-a", 1438)]);
        for direction in ["iifname", "oifname"] {
            for (family, segment) in [("ipv4", 1398), ("ipv6", 1378)] {
                let rule = format!(
                    "{direction} \"sb-a\" meta nfproto {family} tcp flags & (syn | rst) == syn tcp option maxseg \
                     size set {segment}\n"
                );
                assert!(text.contains(&rule), "{rule} is not in {text}");
            }
        }
    }

    #[test]
    fn a_vlan_is_clamped_only_when_its_path_takes_less_and_without_clamps_there_is_no_table() {
        let vlan = spec(
            "sb-a",
            Kind::Vlan(VlanSpec {
                parent: "eth0".to_owned(),
                id: 5,
            }),
        );
        assert_eq!(Clamp::of(&vlan, None), None);
        assert_eq!(Clamp::of(&vlan, Some(1300)), Some(clamp("sb-a", 1300)));
        let nothing = "add table inet skybridge\ndelete table inet skybridge\n";
        assert_eq!(ruleset(&[]), nothing);
    }

    #[test]
    fn a_tunnel_is_clamped_to_its_mtu_or_to_what_its_path_takes_if_that_is_less() {
        let gre = spec("sb-a", gre());
        for (takes, mtu) in [(None, 1438), (Some(1300), 1300), (Some(1439), 1438)] {
            assert_eq!(Clamp::of(&gre, takes), Some(clamp("sb-a", mtu)));
        }
    }

    #[test]
    fn the_order_of_interfaces_makes_no_difference() {
        let (a, b) = (clamp("sb-a", 1438), clamp("sb-b", 1300));
        assert_eq!(ruleset(&[a.clone(), b.clone()]), ruleset(&[b, a]));
    }
}
