//! What comes of our offer and the peer's (RFC 4271 §4.2, §6.2).

use std::net::IpAddr;
use std::time::Duration;

use super::offer::{V4_OVER_V6, is_external};
use super::{Conn, GracefulRestart, Negotiated, PeerRestart, SessionConfig};
use crate::route::{Leftover, Retained, Retention};
use crate::types::{Family, FamilySet, Role};
use crate::wire::{
    Capability, Dialect, Direction, Lengths, LongLivedFamily, MAX_EXTENDED_LEN, MAX_MESSAGE_LEN,
    Notification, Open, RefreshLength, RestartCapability, RestartFamily,
};

/// What our offer and the peer's agree on, or why they cannot.
pub(super) fn negotiate(
    config: &SessionConfig,
    open: &Open,
    conn: Conn,
    local: IpAddr,
) -> Result<Negotiated, Notification> {
    check_identity(config, open)?;
    let peer_role = agree_role(config, open)?;
    let families = config.families.intersection(offered_families(open));
    if families.is_empty() {
        return Err(no_common_family(config));
    }
    let dialect = agree_dialect(config, open, families);
    let secs = config.hold_time_secs.min(open.hold_time_secs);
    let restart = config.graceful_restart.as_ref();
    Ok(Negotiated {
        conn,
        router_id: open.router_id,
        hold_time: (secs != 0).then(|| Duration::from_secs(secs.into())),
        families,
        nexthops: own_nexthops(config, local, dialect.extended_nexthop),
        route_refresh: open.has(&Capability::RouteRefresh),
        enhanced_refresh: config.enhanced_refresh && open.has(&Capability::EnhancedRefresh),
        peer_role,
        graceful_restart: restart.and_then(|ours| agree_restart(ours, open, families)),
        dialect,
    })
}

/// How long the peer's messages may be from now on. It may use what we offered, whether or not it
/// offers the same (RFC 8654 §3).
pub(super) fn lengths(config: &SessionConfig, negotiated: &Negotiated) -> Lengths {
    Lengths {
        longest: if config.extended_messages {
            MAX_EXTENDED_LEN
        } else {
            MAX_MESSAGE_LEN
        },
        refresh: if negotiated.enhanced_refresh {
            RefreshLength::Any
        } else {
            RefreshLength::Exact
        },
    }
}

fn check_identity(config: &SessionConfig, open: &Open) -> Result<(), Notification> {
    let asn = open.asn();
    if asn != config.peer_asn {
        return Err(bad_peer_as(asn.0));
    }
    if !is_external(config) && open.router_id == config.router_id {
        return Err(Notification::open_error(3));
    }
    Ok(())
}

fn offered_families(open: &Open) -> FamilySet {
    let families = Family::ALL.into_iter();
    families.filter(|family| open.offers(*family)).collect()
}

fn agree_dialect(config: &SessionConfig, open: &Open, families: FamilySet) -> Dialect {
    let both =
        |ours: FamilySet, theirs: FamilySet| families.intersection(ours).intersection(theirs);
    let sends = |family: &Family| add_path_direction(open, *family).is_some_and(Direction::sends);
    let takes =
        |family: &Family| add_path_direction(open, *family).is_some_and(Direction::receives);
    let extended = config.extended_messages && open.has(&Capability::ExtendedMessage);
    Dialect {
        first_as: config.first_as,
        four_octet_asn: open.asn_capability().is_some(),
        families,
        add_path_receive: both(
            config.add_path_receive,
            Family::ALL.into_iter().filter(sends).collect(),
        ),
        add_path_send: both(
            config.add_path_send,
            Family::ALL.into_iter().filter(takes).collect(),
        ),
        extended_nexthop: both(config.extended_nexthop, offered_extended_nexthop(open)),
        max_message_len: if extended {
            MAX_EXTENDED_LEN
        } else {
            MAX_MESSAGE_LEN
        },
        ..Dialect::new(config.local_asn, config.peer_asn)
    }
}

/// Of a family that is named twice, the last counts.
fn add_path_direction(open: &Open, family: Family) -> Option<Direction> {
    let mut last = None;
    for capability in &open.capabilities {
        if let Capability::AddPath(families) = capability {
            let named = families
                .iter()
                .rfind(|entry| Family::from_afi_safi(entry.afi, entry.safi) == Some(family));
            last = named.map(|entry| entry.direction).or(last);
        }
    }
    last
}

fn offered_extended_nexthop(open: &Open) -> FamilySet {
    let offers = open.capabilities.iter().any(|capability| {
        matches!(capability, Capability::ExtendedNexthop(encodings) if encodings.contains(&V4_OVER_V6))
    });
    let v4 = offers.then_some(Family::Ipv4Unicast);
    v4.into_iter().collect()
}

/// RFC 9234 §4.2. Between internal peers roles mean nothing (§4).
fn agree_role(config: &SessionConfig, open: &Open) -> Result<Option<Role>, Notification> {
    let mismatch = || Notification::open_error(11);
    if !is_external(config) {
        return Ok(None);
    }
    let mut values = open.capabilities.iter().filter_map(|capability| {
        if let Capability::Role(value) = capability {
            Some(*value)
        } else {
            None
        }
    });
    let first = values.next();
    if values.any(|value| Some(value) != first) {
        return Err(mismatch());
    }
    let theirs = first.and_then(Role::from_octet);
    match (config.role, first) {
        (Some(ours), Some(_)) if theirs != Some(ours.role.counterpart()) => Err(mismatch()),
        (Some(ours), None) if ours.strict => Err(mismatch()),
        _ => Ok(theirs),
    }
}

/// What the peer says of graceful restart; `None` when it says nothing.
fn agree_restart(ours: &GracefulRestart, open: &Open, families: FamilySet) -> Option<PeerRestart> {
    let (restart, mut long_lived) = restart_capabilities(open)?;
    if ours.long_lived_secs == 0 {
        long_lived = &[];
    }
    let mut retention = Retention::new();
    let mut preserved = FamilySet::EMPTY;
    for family in families.iter() {
        let is_it = |entry: &RestartFamily| entry.family() == Some(family);
        let short = restart.families.iter().rfind(|entry| is_it(entry));
        let long = long_lived.iter().rfind(|entry| is_it(&entry.family));
        let long_lived_secs = long.map_or(0, |entry| entry.secs);
        // What is kept for long is not dropped because its peer starts twice (RFC 9494 §4.2).
        let leftover = match restart.notification || long_lived_secs > 0 {
            true => Leftover::Stays,
            false => Leftover::Goes,
        };
        let retained = Retained {
            family,
            restart: Duration::from_secs(short.map_or(0, |_| restart.secs).into()),
            long_lived: Duration::from_secs(long_lived_secs.into()),
            leftover,
        };
        if retained.restart + retained.long_lived > Duration::ZERO {
            retention.push(retained);
        }
        let said = short.or(long.map(|entry| &entry.family));
        if said.is_some_and(|entry| entry.forwarding) {
            preserved.insert(family);
        }
    }
    Some(PeerRestart {
        restarting: restart.restarting,
        notification: restart.notification,
        retention,
        preserved,
    })
}

/// Of several capabilities the last counts (RFC 4724 §3); the long-lived one means nothing without
/// the other (RFC 9494 §3).
fn restart_capabilities(open: &Open) -> Option<(&RestartCapability, &[LongLivedFamily])> {
    let mut restart = None;
    let mut long_lived: &[LongLivedFamily] = &[];
    for capability in &open.capabilities {
        if let Capability::GracefulRestart(capability) = capability {
            restart = Some(capability);
        } else if let Capability::LongLivedRestart(families) = capability {
            long_lived = families;
        }
    }
    Some((restart?, long_lived))
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

/// The address of our own end for its family, the configured one for the other; for IPv4 prefixes
/// over an IPv6 nexthop our IPv6 address where there is no other.
fn own_nexthops(
    config: &SessionConfig,
    local: IpAddr,
    extended: FamilySet,
) -> [Option<IpAddr>; Family::ALL.len()] {
    let mut nexthops = [
        config.nexthop_v4.map(IpAddr::V4),
        config.nexthop_v6.map(IpAddr::V6),
    ];
    match local.to_canonical() {
        IpAddr::V4(local) => nexthops[Family::Ipv4Unicast as usize] = Some(local.into()),
        IpAddr::V6(local) => nexthops[Family::Ipv6Unicast as usize] = Some(local.into()),
    }
    if extended.contains(Family::Ipv4Unicast) {
        let v6 = nexthops[Family::Ipv6Unicast as usize];
        let v4 = &mut nexthops[Family::Ipv4Unicast as usize];
        *v4 = v4.or(v6);
    }
    nexthops
}
