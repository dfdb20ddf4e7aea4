//! Namespaces and cables of a lab: a kernel's view, without any daemon.

use std::path::Path;

use anyhow::Result;

use super::internet::Internet;
use super::namespace;
use super::netns::{End, Namespace, cable};
use super::site::{AWS, OCI, Site, Way};

/// Makes every node and connects them as the picture in [`super`] shows.
pub(super) fn build(lab: &str, directory: &Path) -> Result<[Internet; 2]> {
    let aws = build_site(lab, &AWS)?;
    let oci = build_site(lab, &OCI)?;
    let internet = |way: Way| {
        let between = Namespace::create(namespace(lab, way.internet()).name())?;
        let outside = |site: &Site| format!("{}/30", site.outside[way.index()]);
        let end = |namespace, address| End {
            namespace,
            interface: way.internet(),
            address,
        };
        Internet::start(
            &between,
            &directory.join(way.internet()),
            end(&aws, &outside(&AWS)),
            end(&oci, &outside(&OCI)),
        )
    };
    Ok([internet(Way::A)?, internet(Way::B)?])
}

/// Returns the site's router.
fn build_site(lab: &str, site: &Site) -> Result<Namespace> {
    let node =
        |role: &str| Namespace::create(namespace(lab, &format!("{role}-{}", site.name)).name());
    let (host, gateway, router) = (node("host")?, node("gw")?, node("nva")?);
    let (host_address, host_router) = (
        format!("{}/24", site.host),
        format!("{}/24", site.host_router),
    );
    cable(
        End {
            namespace: &host,
            interface: "eth0",
            address: &host_address,
        },
        End {
            namespace: &gateway,
            interface: "to-host",
            address: &host_router,
        },
    )?;
    host.ip(&format!("route add default via {}", site.host_router))?;
    let (inner, outer) = (
        format!("{}/30", site.gateway_address),
        format!("{}/30", site.router_address),
    );
    cable(
        End {
            namespace: &gateway,
            interface: "to-nva",
            address: &inner,
        },
        End {
            namespace: &router,
            interface: "to-gw",
            address: &outer,
        },
    )?;
    for forwarding in [&gateway, &router] {
        forwarding.sysctl("net.ipv4.ip_forward", "1")?;
        // Otherwise a nexthop that moves costs one message for each route on it.
        forwarding.sysctl("net.ipv4.nexthop_compat_mode", "0")?;
    }
    Ok(router)
}
