//! What carries the links, each by itself and all together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Carrier, Gre, IkeVersion, Ipsec, Selectors};
use crate::read::value::spell;
use crate::read::{Draft, Sketch};
use crate::report::{Sink, Wrong};

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, sketch) in &draft.sketches {
        match &sketch.carrier {
            Some(Carrier::Gre(gre)) => {
                ends(name, "gre", (Some(gre.local), gre.remote), sketch, sink);
            }
            Some(Carrier::Ipsec(ipsec)) => {
                ends(name, "ipsec", (ipsec.local, ipsec.remote), sketch, sink);
                self::ipsec(name, ipsec, sink);
            }
            Some(Carrier::Interface | Carrier::WireGuard(_) | Carrier::Vlan(_)) | None => {}
        }
    }
    taken(draft, sink);
}

/// The two outer addresses of a tunnel.
fn ends(
    name: &str,
    kind: &str,
    (local, remote): (Option<IpAddr>, IpAddr),
    sketch: &Sketch,
    sink: &mut Sink<'_>,
) {
    let inside = sketch.inside.map(|inside| inside.local);
    let is_inside = inside.is_some_and(|net| net.contains(&remote));
    let (message, fix) = if local == Some(remote) {
        (
            format!("both ends are {remote}"),
            "write the address of the far end's outside",
        )
    } else if let Some(local) = local.filter(|local| local.is_ipv4() != remote.is_ipv4()) {
        (
            format!("{local} and {remote} are not of one family"),
            "write two addresses of one family",
        )
    } else if is_inside {
        (
            format!("{remote} is inside the tunnel that shall lead to it"),
            "write the address that the far end has outside",
        )
    } else {
        return;
    };
    let place = sink.place(&format!("link.{name}.{kind}.remote"));
    sink.error(place, Wrong::new("carrier.remote", message, fix));
}

fn ipsec(name: &str, ipsec: &Ipsec, sink: &mut Sink<'_>) {
    if ipsec.version == IkeVersion::V1 && ipsec.selectors == Selectors::Both {
        let message = "IKEv1 has one traffic selector";
        let wrong = Wrong::new("ipsec.selectors", message, "write \"ipv4\" or \"ipv6\"");
        sink.error(sink.place(&format!("link.{name}.ipsec.selectors")), wrong);
    }
    if ipsec.esp_lifetime > ipsec.ike_lifetime {
        let message = format!(
            "keys of ESP would outlive those of IKE, {}",
            spell(ipsec.ike_lifetime)
        );
        let wrong = Wrong::new(
            "ipsec.lifetime",
            message,
            "make `esp-lifetime` the shorter one",
        );
        let place = sink.place(&format!("link.{name}.ipsec.esp-lifetime"));
        sink.error(place, wrong);
    }
}

/// What the kernel can have only once.
fn taken(draft: &Draft, sink: &mut Sink<'_>) {
    let mut seen: BTreeMap<(IpAddr, IpAddr, Option<u32>), &str> = BTreeMap::new();
    let mut tags: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, sketch) in &draft.sketches {
        let (first, what, key, fix) = match &sketch.carrier {
            Some(Carrier::Gre(gre)) => {
                let Gre {
                    local, remote, key, ..
                } = gre;
                let what = format!("GRE from {local} to {remote} with this key");
                let first = seen.insert((*local, *remote, *key), name);
                (first, what, "gre.remote", "give one of them a `key`")
            }
            Some(Carrier::Vlan(vlan)) => {
                let what = format!("VLAN {} on {}", vlan.id, vlan.parent);
                let first = tags.insert((&vlan.parent, vlan.id), name);
                (first, what, "vlan.id", "give each link a VLAN of its own")
            }
            Some(Carrier::Ipsec(ipsec)) => {
                let what = format!("if-id {}", ipsec.if_id);
                let first = numbers.insert(ipsec.if_id, name);
                (
                    first,
                    what,
                    "ipsec.if-id",
                    "give one of them another `if-id`",
                )
            }
            Some(Carrier::Interface | Carrier::WireGuard(_)) | None => continue,
        };
        if let Some(first) = first {
            let message = format!("link `{first}` has {what} already");
            let place = sink.place(&format!("link.{name}.{key}"));
            sink.error(place, Wrong::new("carrier.taken", message, fix));
        }
    }
}
