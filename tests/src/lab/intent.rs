//! What the routers of a lab are told.

use super::WireGuard;
use super::nva::KeyPair;
use super::site::{AWS, Site, Way};

/// Keys of each site, AWS first, and of each way.
pub(super) type Keys = [[KeyPair; 2]; 2];

/// The configuration of one router, without the sections that [`super::nva`] adds.
///
/// - `refused`: prefixes of the other site that it shall not let in, on top of its filters
pub(super) fn render(site: &Site, keys: &Keys, backend: WireGuard, refused: &[&str]) -> String {
    let far = site.other();
    let mut body = format!(
        r#"[router]
name = "nva-{name}"
asn = {asn}
id = "{id}"

[peer.{gateway}]
address = "{gateway_address}"
asn = {gateway_asn}
import = "from-{name}"
export = "from-{far}"
hold-time = "9s"
connect-retry = "1s"

[group.{far}]
policy = "priority"
slo = {{ rtt = "100ms" }}
hold-down = "2s"

[[filter.from-{name}]]
prefix = ["{pattern}"]
action = "accept"
"#,
        name = site.name,
        asn = site.router_asn,
        id = site.router_address,
        gateway = site.gateway,
        gateway_address = site.gateway_address,
        gateway_asn = site.gateway_asn,
        far = far.name,
        pattern = site.pattern,
    );
    for prefix in refused {
        body.push_str(&filter_rule(far, prefix, "reject"));
    }
    body.push_str(&filter_rule(far, far.pattern, "accept"));
    for way in Way::ALL {
        body.push_str(&link_section(site, way, keys, backend));
    }
    body
}

fn link_section(site: &Site, way: Way, keys: &Keys, backend: WireGuard) -> String {
    let far = site.other();
    let index = way.index();
    let [aws, oci] = keys;
    let (own, peer) = if site.name == AWS.name {
        (aws, oci)
    } else {
        (oci, aws)
    };
    format!(
        r#"
[link.{link}]
group = "{far}"
priority = {priority}
inside = {{ local = "{local}/31", remote = "{remote}" }}
bgp = {{ asn = {asn}, import = "from-{far}", export = "from-{name}", hold-time = "9s", connect-retry = "1s" }}
[link.{link}.wireguard]
private-key = {{ file = "{key}" }}
listen = {port}
backend = "{backend}"
peer = {{ public-key = "{public}", endpoint = "{endpoint}:{port}" }}
"#,
        link = way.link(),
        far = far.name,
        name = site.name,
        priority = (index + 1) * 10,
        local = site.inside[index],
        remote = far.inside[index],
        asn = far.router_asn,
        key = own[index].private.display(),
        port = 51820 + index,
        backend = match backend {
            WireGuard::Kernel => "kernel",
            WireGuard::Userspace => "userspace",
        },
        public = peer[index].public,
        endpoint = far.outside[index],
    )
}

fn filter_rule(from: &Site, prefix: &str, action: &str) -> String {
    format!(
        "\n[[filter.from-{}]]\nprefix = [\"{prefix}\"]\naction = \"{action}\"\n",
        from.name
    )
}
