//! What carries a link, as fields.

use crate::model::{Carrier, Gre, Ipsec, IpsecAuth, IpsecMtu, Vlan, WireGuard};

use super::super::LinkPart;
use super::{Field, base64, endpoint, exact, field, source, word};

/// Every key of every carrier: two links are compared field by field, and one that is carried otherwise
/// now has lost some keys and got others.
const KEYS: [&str; 34] = [
    "mtu",
    "private-key",
    "listen",
    "backend",
    "peer.public-key",
    "peer.preshared-key",
    "peer.endpoint",
    "peer.keepalive",
    "gre.local",
    "gre.remote",
    "gre.key",
    "gre.ttl",
    "vlan.parent",
    "vlan.id",
    "ipsec.local",
    "ipsec.remote",
    "ipsec.local-id",
    "ipsec.remote-id",
    "ipsec.psk",
    "ipsec.certificate",
    "ipsec.private-key",
    "ipsec.ca",
    "ipsec.version",
    "ipsec.ike",
    "ipsec.esp",
    "ipsec.ike-lifetime",
    "ipsec.esp-lifetime",
    "ipsec.dpd",
    "ipsec.initiate",
    "ipsec.nat-traversal",
    "ipsec.selectors",
    "ipsec.if-id",
    "carrier",
    "profile",
];

pub(super) fn fields(carrier: &Carrier, profile: Option<&str>) -> Vec<Field<LinkPart>> {
    let mut given = match carrier {
        Carrier::Interface => Vec::new(),
        Carrier::WireGuard(wireguard) => of_wireguard(wireguard),
        Carrier::Gre(gre) => of_gre(gre),
        Carrier::Vlan(vlan) => of_vlan(vlan),
        Carrier::Ipsec(ipsec) => of_ipsec(ipsec),
    };
    given.push(("profile", profile.map(str::to_owned)));
    given.push(("carrier", Some(carrier.kind().to_owned())));
    let value = |key: &str| {
        let found = given.iter().find(|(name, _)| *name == key);
        let value = found.and_then(|(_, value)| value.clone());
        value.unwrap_or_else(|| "none".to_owned())
    };
    KEYS.into_iter()
        .map(|key| field(LinkPart::Tunnel, key, value(key)))
        .collect()
}

type Given = Vec<(&'static str, Option<String>)>;

fn of_wireguard(wireguard: &WireGuard) -> Given {
    let WireGuard {
        private_key,
        listen,
        backend,
        mtu,
        peer_public_key,
        preshared_key,
        endpoint: far_end,
        keepalive,
    } = wireguard;
    vec![
        ("private-key", Some(source(private_key))),
        ("listen", Some(listen.to_string())),
        ("backend", Some(word(backend))),
        ("mtu", Some(mtu.to_string())),
        ("peer.public-key", Some(base64(peer_public_key))),
        ("peer.preshared-key", preshared_key.as_ref().map(source)),
        ("peer.endpoint", far_end.as_ref().map(endpoint)),
        ("peer.keepalive", keepalive.map(exact)),
    ]
}

fn of_gre(gre: &Gre) -> Given {
    let Gre {
        local,
        remote,
        key,
        ttl,
        mtu,
    } = gre;
    vec![
        ("gre.local", Some(local.to_string())),
        ("gre.remote", Some(remote.to_string())),
        ("gre.key", key.map(|key| key.to_string())),
        ("gre.ttl", Some(ttl.to_string())),
        ("mtu", Some(mtu.to_string())),
    ]
}

fn of_vlan(vlan: &Vlan) -> Given {
    let Vlan { parent, id, mtu } = vlan;
    vec![
        ("vlan.parent", Some(parent.clone())),
        ("vlan.id", Some(id.to_string())),
        ("mtu", Some(mtu.to_string())),
    ]
}

fn of_ipsec(ipsec: &Ipsec) -> Given {
    let Ipsec {
        local,
        remote,
        local_id,
        remote_id,
        auth,
        version,
        ike,
        esp,
        ike_lifetime,
        esp_lifetime,
        dpd,
        initiate,
        nat_traversal,
        selectors,
        if_id,
        mtu,
    } = ipsec;
    let mut given = vec![
        ("ipsec.local", local.map(|local| local.to_string())),
        ("ipsec.remote", Some(remote.to_string())),
        ("ipsec.local-id", local_id.clone()),
        ("ipsec.remote-id", remote_id.clone()),
        ("ipsec.version", Some(word(version))),
        ("ipsec.ike", Some(ike.join(", "))),
        ("ipsec.esp", Some(esp.join(", "))),
        ("ipsec.ike-lifetime", Some(exact(*ike_lifetime))),
        ("ipsec.esp-lifetime", Some(exact(*esp_lifetime))),
        ("ipsec.dpd", Some(exact(*dpd))),
        ("ipsec.initiate", Some(initiate.to_string())),
        ("ipsec.nat-traversal", Some(word(nat_traversal))),
        ("ipsec.selectors", Some(word(selectors))),
        ("ipsec.if-id", Some(if_id.to_string())),
        ("mtu", Some(ipsec_mtu(*mtu))),
    ];
    match auth {
        IpsecAuth::Psk(psk) => given.push(("ipsec.psk", Some(source(psk)))),
        IpsecAuth::Certificate {
            certificate,
            private_key,
            ca,
        } => given.extend([
            ("ipsec.certificate", Some(certificate.display().to_string())),
            ("ipsec.private-key", Some(source(private_key))),
            ("ipsec.ca", Some(ca.display().to_string())),
        ]),
    }
    given
}

/// What is given stands whatever cipher is agreed on.
fn ipsec_mtu(mtu: IpsecMtu) -> String {
    match mtu {
        IpsecMtu::Given(mtu) => mtu.to_string(),
        IpsecMtu::Computed { offered, .. } => format!("{offered} or more, by the cipher"),
    }
}
