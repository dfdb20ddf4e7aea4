//! `gre = { … }` and `vlan = { … }` of a link.

use std::net::IpAddr;

use toml::de::DeValue;

use crate::model::{Gre, Vlan};
use crate::report::{Sink, Wrong};

use super::link::{interface_name, mtu};
use super::section::Section;
use super::value;

/// What the internet and most clouds carry without asking.
const USUAL_MTU: u32 = 1500;

pub(super) fn gre(mut table: Section<'_>, sink: &mut Sink<'_>) -> Option<Gre> {
    let local = table.required(sink, "local", "local = \"10.0.0.4\"", value::address);
    let remote = table.required(sink, "remote", "remote = \"10.0.1.9\"", value::address);
    let key = table.optional(sink, "key", value::any_u32);
    let ttl = table.or(sink, "ttl", 64, |v| value::integer(v, 1..=u8::MAX));
    let given = table.optional(sink, "mtu", mtu);
    table.finish(sink);
    let (local, remote) = (local?, remote?);
    Some(Gre {
        local,
        remote,
        key,
        ttl,
        mtu: given.unwrap_or(USUAL_MTU - gre_overhead(local, key)),
    })
}

/// The outer header, GRE's four octets, and four more with a key (RFC 2890 §2).
fn gre_overhead(local: IpAddr, key: Option<u32>) -> u32 {
    let outer = if local.is_ipv4() { 20 } else { 40 };
    outer + 4 + key.map_or(0, |_| 4)
}

pub(super) fn vlan(mut table: Section<'_>, sink: &mut Sink<'_>) -> Option<Vlan> {
    let parent = table.required(sink, "parent", "parent = \"eth0\"", interface_name);
    let id = table.required(sink, "id", "id = 100", vlan_id);
    let mtu = table.or(sink, "mtu", USUAL_MTU, mtu);
    table.finish(sink);
    Some(Vlan {
        parent: parent?,
        id: id?,
        mtu,
    })
}

/// 0 means "no VLAN" and 4095 is reserved (IEEE 802.1Q).
fn vlan_id(value: &DeValue<'_>) -> Result<u16, Wrong> {
    value::integer(value, 1..=4094)
}
