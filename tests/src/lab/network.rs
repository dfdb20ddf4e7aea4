//! Namespaces and cables of a lab: a kernel's view, without any daemon.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::internet::Internet;
use super::namespace;
use super::netns::{End, Namespace, cable};
use super::site::{AWS, OCI, Site, Way};

/// Makes every node and connects them as the picture in [`super`] shows.
pub(super) fn build(lab: &str) -> Result<[Internet; 2]> {
    let internet = |way: Way| Internet::create(namespace(lab, way.internet()).name());
    let internets = [internet(Way::A)?, internet(Way::B)?];
    for site in [&AWS, &OCI] {
        build_site(lab, site, &internets)?;
    }
    Ok(internets)
}

fn build_site(lab: &str, site: &Site, internets: &[Internet; 2]) -> Result<()> {
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
    for (way, internet) in Way::ALL.into_iter().zip(internets) {
        attach(&router, site, way, internet)?;
    }
    Ok(())
}

/// Each router has the first usable pair of its network of four: internet, then router.
fn attach(router: &Namespace, site: &Site, way: Way, internet: &Internet) -> Result<()> {
    let own = site.outside[way.index()];
    let far = site.other().outside[way.index()];
    let [a, b, c, last] = own.octets();
    let gateway = Ipv4Addr::new(a, b, c, last - 1);
    let interface = way.internet();
    let end = End {
        namespace: router,
        interface,
        address: &format!("{own}/30"),
    };
    internet.attach(end, &format!("{gateway}/30"))?;
    router
        .ip(&format!("route add {far}/32 via {gateway}"))
        .map(drop)
}
