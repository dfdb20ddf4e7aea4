//! From where the packets of a session leave, with the interfaces that there are.

use std::net::IpAddr;

use ipnet::IpNet;
use links::bfd::Hops;

use super::Wanted;
use crate::fib::{Interface, Interfaces};

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) local: IpAddr,
    /// The interface that packets are bound to; `None`: whichever leads to the neighbour.
    pub(super) interface: Option<String>,
    /// Its index, for a neighbour that is on it.
    pub(super) index: Option<u32>,
}

/// `None`: the interface is not there or not up, or the address not on it.
pub(super) fn find(wanted: &Wanted, interfaces: &Interfaces) -> Option<Place> {
    match wanted.config.hops {
        Hops::Single => on_link(wanted, interfaces),
        Hops::Multi { .. } => {
            let local = wanted.local.filter(|local| interfaces.has(*local))?;
            Some(Place {
                local,
                interface: wanted.interface.clone(),
                index: None,
            })
        }
    }
}

fn on_link(wanted: &Wanted, interfaces: &Interfaces) -> Option<Place> {
    let interface: &Interface = match &wanted.interface {
        Some(name) => interfaces.named(name).filter(|interface| interface.up)?,
        None => interfaces.toward(wanted.remote)?,
    };
    let is_ours = |net: &&IpNet| match wanted.local {
        Some(local) => net.addr() == local,
        None => net.contains(&wanted.remote),
    };
    let local = interface.addresses.iter().find(is_ours)?.addr();
    Some(Place {
        local,
        interface: Some(interface.name.clone()),
        index: Some(interface.index),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use links::bfd::Config;

    use super::*;

    fn interfaces() -> Interfaces {
        let make = |index, name: &str, up, addresses: &[&str]| Interface {
            index,
            name: name.to_owned(),
            up,
            mtu: 1500,
            addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
        };
        Interfaces(vec![
            make(1, "lo", true, &["10.255.0.1/32"]),
            make(2, "eth0", true, &["10.0.0.1/24", "10.0.1.1/24"]),
            make(3, "eth1", false, &["10.1.0.1/24"]),
        ])
    }

    fn wanted(remote: &str, local: Option<&str>, interface: Option<&str>, hops: Hops) -> Wanted {
        Wanted {
            interface: interface.map(str::to_owned),
            local: local.map(|address| address.parse().unwrap()),
            remote: remote.parse().unwrap(),
            config: Config {
                desired_min_tx: Duration::from_millis(300),
                required_min_rx: Duration::from_millis(300),
                multiplier: 3,
                hops,
                authentication: None,
            },
            strict: false,
        }
    }

    fn found(wanted: &Wanted) -> Option<(String, Option<u32>)> {
        let place = find(wanted, &interfaces())?;
        Some((place.local.to_string(), place.index))
    }

    #[test]
    fn a_neighbour_on_a_network_of_ours_is_spoken_to_from_our_address_in_it() {
        let near =
            |remote, local, interface| found(&wanted(remote, local, interface, Hops::Single));
        let eth0 = |local: &str| Some((local.to_owned(), Some(2)));
        assert_eq!(near("10.0.1.2", None, None), eth0("10.0.1.1"));
        assert_eq!(near("10.0.1.2", Some("10.0.0.1"), None), eth0("10.0.0.1"));
        assert_eq!(
            near("10.0.0.2", Some("10.0.0.1"), Some("eth0")),
            eth0("10.0.0.1")
        );
        // Not ours, not up, not there.
        assert_eq!(near("10.0.0.2", Some("10.0.0.9"), None), None);
        assert_eq!(near("10.1.0.2", None, None), None);
        assert_eq!(near("10.0.0.2", None, Some("eth9")), None);
        assert_eq!(near("192.0.2.1", None, None), None);
    }

    #[test]
    fn one_behind_routers_is_spoken_to_from_an_address_that_is_on_any_interface() {
        let hops = Hops::Multi {
            least_hop_limit: 250,
        };
        let far = |local| found(&wanted("192.0.2.1", Some(local), None, hops));
        assert_eq!(far("10.255.0.1"), Some(("10.255.0.1".to_owned(), None)));
        assert_eq!(far("10.255.0.2"), None);
    }
}
