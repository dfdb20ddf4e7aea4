//! What we offer, and what comes of two offers (RFC 4271 §4.2, §6.2).

use std::net::IpAddr;
use std::time::Duration;

use super::{Conn, Negotiated, SessionConfig};
use crate::types::Family;
use crate::wire::{Capability, Dialect, Notification, Open};

/// Our OPEN.
pub(super) fn offer(config: &SessionConfig) -> Open {
    let mut capabilities: Vec<Capability> = config.families.iter().map(multiprotocol).collect();
    capabilities.push(Capability::RouteRefresh);
    capabilities.push(Capability::FourOctetAsn(config.local_asn));
    Open {
        my_as: config.local_asn.as_two_octets(),
        hold_time_secs: config.hold_time_secs,
        router_id: config.router_id,
        capabilities,
    }
}

fn multiprotocol(family: Family) -> Capability {
    Capability::Multiprotocol {
        afi: family.afi(),
        safi: family.safi(),
    }
}

/// What our offer and the peer's agree on, or why they cannot.
pub(super) fn negotiate(
    config: &SessionConfig,
    open: &Open,
    conn: Conn,
    local: IpAddr,
) -> Result<Negotiated, Notification> {
    let asn = open.asn();
    if asn != config.peer_asn {
        return Err(bad_peer_as(asn.0));
    }
    if config.local_asn == config.peer_asn && open.router_id == config.router_id {
        return Err(Notification::open_error(3));
    }
    let offered = Family::ALL
        .into_iter()
        .filter(|family| open.offers(*family));
    let families = config.families.intersection(offered.collect());
    if families.is_empty() {
        return Err(no_common_family(config));
    }
    let secs = config.hold_time_secs.min(open.hold_time_secs);
    let has = |wanted: fn(&Capability) -> bool| open.capabilities.iter().any(wanted);
    Ok(Negotiated {
        conn,
        router_id: open.router_id,
        hold_time: (secs != 0).then(|| Duration::from_secs(secs.into())),
        families,
        dialect: Dialect {
            four_octet_asn: has(|capability| matches!(capability, Capability::FourOctetAsn(_))),
            families,
            ..Dialect::new(config.local_asn, config.peer_asn)
        },
        nexthops: own_nexthops(config, local),
        route_refresh: has(|capability| matches!(capability, Capability::RouteRefresh)),
        enhanced_refresh: false,
        peer_role: None,
        graceful_restart: None,
    })
}

/// The data is the AS number that was not expected, in two octets where it fits.
fn bad_peer_as(asn: u32) -> Notification {
    match u16::try_from(asn) {
        Ok(asn) => Notification::new(2, 2, &asn.to_be_bytes()),
        Err(_) => Notification::new(2, 2, &asn.to_be_bytes()),
    }
}

/// The data lists the capabilities that the peer lacks (RFC 5492 §5).
fn no_common_family(config: &SessionConfig) -> Notification {
    let mut data = Vec::new();
    for family in config.families.iter() {
        data.extend([1, 4]);
        data.extend(family.afi().to_be_bytes());
        data.extend([0, family.safi()]);
    }
    Notification::new(2, 7, &data)
}

/// The address of our own end for its family, the configured one for the other.
fn own_nexthops(config: &SessionConfig, local: IpAddr) -> [Option<IpAddr>; 2] {
    let mut nexthops = [
        config.nexthop_v4.map(IpAddr::V4),
        config.nexthop_v6.map(IpAddr::V6),
    ];
    match local.to_canonical() {
        IpAddr::V4(local) => nexthops[Family::Ipv4Unicast as usize] = Some(local.into()),
        IpAddr::V6(local) => nexthops[Family::Ipv6Unicast as usize] = Some(local.into()),
    }
    nexthops
}
