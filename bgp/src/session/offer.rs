//! What we say in OPEN (RFC 4271 §4.2, RFC 5492).

use super::{GracefulRestart, SessionConfig};
use crate::types::{Family, FamilySet};
use crate::wire::{
    AddPathFamily, Capability, Direction, LongLivedFamily, NexthopEncoding, Open,
    RestartCapability, RestartFamily,
};

/// Our OPEN.
pub(super) fn offer(config: &SessionConfig) -> Open {
    let mut capabilities: Vec<Capability> = config.families.iter().map(multiprotocol).collect();
    capabilities.push(Capability::RouteRefresh);
    capabilities.extend(extended_nexthop(config));
    if config.extended_messages {
        capabilities.push(Capability::ExtendedMessage);
    }
    if let Some(ours) = config.role.filter(|_| is_external(config)) {
        capabilities.push(Capability::Role(ours.role as u8));
    }
    let restart = config.graceful_restart.as_ref();
    capabilities.extend(restart.map(|restart| graceful_restart(restart, config.families)));
    capabilities.push(Capability::FourOctetAsn(config.local_asn));
    capabilities.extend(add_path(config));
    if config.enhanced_refresh {
        capabilities.push(Capability::EnhancedRefresh);
    }
    let long_lived = restart.filter(|restart| restart.long_lived_secs > 0);
    capabilities.extend(long_lived.map(|restart| long_lived_restart(restart, config.families)));
    Open {
        my_as: config.local_asn.as_two_octets(),
        hold_time_secs: config.hold_time_secs,
        router_id: config.router_id,
        capabilities,
    }
}

/// Our OPEN but for what a restart of ours changes in it: that is news for the next session, and no
/// reason to end this one.
pub(super) fn lasting_offer(config: &SessionConfig) -> Open {
    let mut config = config.clone();
    if let Some(restart) = &mut config.graceful_restart {
        restart.restarting = false;
        restart.preserved = FamilySet::EMPTY;
    }
    offer(&config)
}

pub(super) fn is_external(config: &SessionConfig) -> bool {
    config.local_asn != config.peer_asn
}

fn multiprotocol(family: Family) -> Capability {
    Capability::Multiprotocol {
        afi: family.afi(),
        safi: family.safi(),
    }
}

/// IPv4 prefixes over IPv6 is the only form there is for unicast (RFC 8950 §4).
pub(super) const V4_OVER_V6: NexthopEncoding = NexthopEncoding {
    afi: 1,
    safi: 1,
    nexthop_afi: 2,
};

fn extended_nexthop(config: &SessionConfig) -> Option<Capability> {
    let wanted = config.extended_nexthop.intersection(config.families);
    wanted
        .contains(Family::Ipv4Unicast)
        .then(|| Capability::ExtendedNexthop(vec![V4_OVER_V6]))
}

fn add_path(config: &SessionConfig) -> Option<Capability> {
    let families: Vec<AddPathFamily> = config
        .families
        .iter()
        .filter_map(|family| {
            let receive = config.add_path_receive.contains(family);
            let direction = match (receive, config.add_path_send.contains(family)) {
                (true, true) => Direction::Both,
                (true, false) => Direction::Receive,
                (false, true) => Direction::Send,
                (false, false) => return None,
            };
            Some(AddPathFamily {
                afi: family.afi(),
                safi: family.safi(),
                direction,
            })
        })
        .collect();
    (!families.is_empty()).then_some(Capability::AddPath(families))
}

fn restart_family(restart: &GracefulRestart, family: Family) -> RestartFamily {
    RestartFamily {
        afi: family.afi(),
        safi: family.safi(),
        forwarding: restart.preserved.contains(family),
    }
}

fn graceful_restart(restart: &GracefulRestart, families: FamilySet) -> Capability {
    let families = families.iter();
    Capability::GracefulRestart(RestartCapability {
        restarting: restart.restarting,
        notification: true,
        secs: restart.restart_secs,
        families: families
            .map(|family| restart_family(restart, family))
            .collect(),
    })
}

fn long_lived_restart(restart: &GracefulRestart, families: FamilySet) -> Capability {
    let families = families.iter().map(|family| LongLivedFamily {
        family: restart_family(restart, family),
        secs: restart.long_lived_secs,
    });
    Capability::LongLivedRestart(families.collect())
}
