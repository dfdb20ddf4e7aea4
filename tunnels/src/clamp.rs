//! The greatest TCP segment that a tunnel carries, told to both ends of every connection through it: pure.
//!
//! Clouds drop what is too long and often say nothing about it, so waiting for path MTU discovery is waiting
//! for ever. The kernel's `maxseg` only ever makes the value less.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::spec::{Kind, TunnelSpec};

/// Our table, in the family `inet`.
pub const TABLE: &str = "skybridge";
/// Headers of IPv4 and TCP without options.
const V4: u32 = 40;
/// Headers of IPv6 and TCP without options.
const V6: u32 = 60;

/// What `nft -f` is given, to have the rules for these tunnels and no others of ours. It replaces the whole
/// table in one transaction; with no tunnels there is no table.
#[must_use]
pub fn ruleset(tunnels: &[TunnelSpec]) -> String {
    // To delete what is not there is an error, to add what is there is none.
    let mut text = format!("add table inet {TABLE}\ndelete table inet {TABLE}\n");
    let clamped: BTreeSet<(&str, u32)> = tunnels
        .iter()
        .filter(|spec| is_clamped(&spec.kind))
        .map(|spec| (spec.interface.as_str(), spec.mtu))
        .collect();
    if clamped.is_empty() {
        return text;
    }
    let _ = write!(
        text,
        "table inet {TABLE} {{\n  chain forward {{\n    type filter hook forward priority mangle; policy accept;\n"
    );
    for (interface, mtu) in clamped {
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

/// A VLAN takes nothing from a packet.
fn is_clamped(kind: &Kind) -> bool {
    match kind {
        Kind::WireGuard(_) | Kind::Gre(_) | Kind::Ipsec(_) => true,
        Kind::Vlan(_) => false,
    }
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

    #[test]
    fn both_directions_and_both_families_are_clamped_to_what_is_left_of_the_mtu() {
        let text = ruleset(&[spec("sb-a", gre())]);
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
    fn a_vlan_is_not_clamped_and_without_tunnels_there_is_no_table() {
        let vlan = Kind::Vlan(VlanSpec {
            parent: "eth0".to_owned(),
            id: 5,
        });
        let nothing = "add table inet skybridge\ndelete table inet skybridge\n";
        assert_eq!(ruleset(&[spec("sb-a", vlan)]), nothing);
        assert_eq!(ruleset(&[]), nothing);
    }

    #[test]
    fn the_order_of_tunnels_makes_no_difference() {
        let (a, b) = (spec("sb-a", gre()), spec("sb-b", gre()));
        assert_eq!(ruleset(&[a.clone(), b.clone()]), ruleset(&[b, a]));
    }
}
