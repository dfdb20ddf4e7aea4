//! How this host gets about without us: connected networks, and the routes of others.
//!
//! A BGP nexthop that lies on no connected network is found through these: a static route to a
//! loopback, or what OSPF says. Never through a route of ours: it could rest on the very nexthop
//! that is looked for. Through a default route only when the intent says so, since that reaches
//! everything, whether or not it is there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp::Prefix;
use smallvec::SmallVec;

use super::{Interfaces, Way};

/// Routes of others that are kept in mind; further ones find no nexthop.
const MOST: usize = 64 * 1024;

/// Whether a nexthop may be found through a default route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ViaDefault {
    /// It counts as unreachable then.
    #[default]
    Never,
    Allowed,
}

/// Where a route of another leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Over these interfaces, to a gateway or straight to the destination.
    Ways(SmallVec<[(Option<IpAddr>, u32); 1]>),
    /// Where these nexthop objects lead.
    Objects(SmallVec<[u32; 2]>),
    /// Nowhere, on purpose: packets are dropped.
    Nowhere,
}

/// A route of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OtherRoute {
    pub(crate) prefix: Prefix,
    /// Lower is preferred.
    pub(crate) metric: u32,
    pub(crate) exit: Exit,
}

/// A change that another made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OtherChange {
    /// A route is there, in place of any of its prefix and metric.
    Replaced(OtherRoute),
    /// A route is there, beside others.
    Came(OtherRoute),
    /// A route has gone.
    Went(OtherRoute),
    /// A nexthop object leads there.
    Object(u32, Exit),
    /// A nexthop object has gone.
    ObjectWent(u32),
}

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Others {
    via_default: ViaDefault,
    /// In the order of their metrics.
    routes: BTreeMap<Prefix, SmallVec<[(u32, Exit); 1]>>,
    objects: BTreeMap<u32, Exit>,
    count: usize,
}

impl Others {
    pub(crate) fn new(via_default: ViaDefault) -> Self {
        Self {
            via_default,
            ..Self::default()
        }
    }

    /// The same host, of which nothing is known but its nexthop objects.
    pub(crate) fn afresh(&self, objects: BTreeMap<u32, Exit>) -> Self {
        Self {
            objects,
            ..Self::new(self.via_default)
        }
    }

    pub(crate) fn apply(&mut self, change: OtherChange) {
        match change {
            OtherChange::Replaced(route) => {
                self.remove(&route.prefix, |(metric, _)| *metric == route.metric);
                self.add(route);
            }
            OtherChange::Came(route) => self.add(route),
            OtherChange::Went(OtherRoute {
                prefix,
                metric,
                exit,
            }) => self.remove(&prefix, |known| *known == (metric, exit.clone())),
            OtherChange::Object(id, exit) => {
                if self.objects.len() < MOST {
                    self.objects.insert(id, exit);
                }
            }
            OtherChange::ObjectWent(id) => {
                self.objects.remove(&id);
            }
        }
    }

    pub(crate) fn add(&mut self, route: OtherRoute) {
        if self.count == MOST {
            return;
        }
        let known = self.routes.entry(route.prefix).or_default();
        let route = (route.metric, route.exit);
        if !known.contains(&route) {
            let at = known.partition_point(|(metric, _)| *metric <= route.0);
            known.insert(at, route);
            self.count += 1;
        }
    }

    fn remove(&mut self, prefix: &Prefix, goes: impl Fn(&(u32, Exit)) -> bool) {
        if let Some(known) = self.routes.get_mut(prefix) {
            let before = known.len();
            known.retain(|route| !goes(route));
            self.count -= before - known.len();
            if known.is_empty() {
                self.routes.remove(prefix);
            }
        }
    }

    /// The way to an address, and what it costs: nothing on a connected network, the metric of the
    /// route elsewhere. `None` when it cannot be reached.
    pub(crate) fn toward(&self, address: IpAddr, interfaces: &Interfaces) -> Option<(Way, u32)> {
        if let Some(interface) = interfaces.toward(address) {
            let way = Way {
                gateway: address,
                interface: interface.index,
            };
            return Some((way, 0));
        }
        if interfaces.has(address) {
            return None;
        }
        let shortest = match self.via_default {
            ViaDefault::Never => 1,
            ViaDefault::Allowed => 0,
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        for length in (shortest..=longest).rev() {
            let prefix = Prefix::new(address, length).ok()?.trunc();
            for (metric, exit) in self.routes.get(&prefix).into_iter().flatten() {
                if self.drops(exit) {
                    return None;
                }
                if let Some(way) = self.way(exit, address, interfaces) {
                    return Some((way, *metric));
                }
            }
        }
        None
    }

    /// Whether packets are dropped on purpose.
    fn drops(&self, exit: &Exit) -> bool {
        match exit {
            Exit::Nowhere => true,
            Exit::Objects(ids) => self.nexthops(ids).any(|exit| *exit == Exit::Nowhere),
            Exit::Ways(_) => false,
        }
    }

    /// Where nexthop objects lead that are no groups, and the members of those that are.
    fn nexthops(&self, ids: &[u32]) -> impl Iterator<Item = &Exit> {
        // A group names nexthops, and no other group.
        let members = ids.iter().flat_map(|id| match self.objects.get(id) {
            Some(Exit::Objects(members)) => members.clone(),
            Some(Exit::Ways(_) | Exit::Nowhere) | None => SmallVec::from_slice(&[*id]),
        });
        members.filter_map(|id| self.objects.get(&id))
    }

    /// The first way out that is there. A route whose interfaces are down is none.
    fn way(&self, exit: &Exit, address: IpAddr, interfaces: &Interfaces) -> Option<Way> {
        let first = |ways: &[(Option<IpAddr>, u32)]| {
            let is_up = |index| interfaces.indexed(index).is_some_and(|it| it.up);
            let mut up = ways.iter().filter(|(_, index)| is_up(*index));
            up.next().map(|(gateway, interface)| Way {
                gateway: gateway.unwrap_or(address),
                interface: *interface,
            })
        };
        match exit {
            Exit::Ways(ways) => first(ways),
            Exit::Objects(ids) => self.nexthops(ids).find_map(|exit| match exit {
                Exit::Ways(ways) => first(ways),
                Exit::Objects(_) | Exit::Nowhere => None,
            }),
            Exit::Nowhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::super::Interface;
    use super::*;

    fn interfaces(up: [bool; 2]) -> Interfaces {
        let interface = |(index, up): (u32, bool)| Interface {
            index,
            name: format!("eth{index}"),
            up,
            mtu: 1500,
            addresses: vec![format!("10.0.{index}.1/24").parse().unwrap()],
        };
        Interfaces((1..).zip(up).map(interface).collect())
    }

    fn via(prefix: &str, metric: u32, gateway: &str, interface: u32) -> OtherRoute {
        OtherRoute {
            prefix: prefix.parse().unwrap(),
            metric,
            exit: Exit::Ways(smallvec![(Some(gateway.parse().unwrap()), interface)]),
        }
    }

    fn others(routes: &[OtherRoute]) -> Others {
        let mut others = Others::default();
        routes.iter().for_each(|route| others.add(route.clone()));
        others
    }

    fn found(others: &Others, address: &str, up: [bool; 2]) -> Option<(String, u32, u32)> {
        let (way, metric) = others.toward(address.parse().unwrap(), &interfaces(up))?;
        Some((way.gateway.to_string(), way.interface, metric))
    }

    fn some(gateway: &str, interface: u32, metric: u32) -> Option<(String, u32, u32)> {
        Some((gateway.to_owned(), interface, metric))
    }

    #[test]
    fn a_connected_network_costs_nothing_and_comes_first() {
        let others = others(&[via("10.0.1.7/32", 5, "10.0.2.2", 2)]);
        assert_eq!(
            found(&others, "10.0.1.7", [true; 2]),
            some("10.0.1.7", 1, 0)
        );
        assert_eq!(
            found(&others, "10.0.1.7", [false, true]),
            some("10.0.2.2", 2, 5)
        );
    }

    #[test]
    fn our_own_address_is_no_nexthop() {
        let others = others(&[via("10.0.1.0/24", 0, "10.0.2.2", 2)]);
        assert_eq!(found(&others, "10.0.1.1", [true; 2]), None);
    }

    #[test]
    fn the_longest_match_with_the_lowest_metric_that_is_up_leads() {
        let others = others(&[
            via("192.0.2.0/24", 9, "10.0.1.9", 1),
            via("192.0.2.1/32", 30, "10.0.1.3", 1),
            via("192.0.2.1/32", 20, "10.0.2.2", 2),
        ]);
        assert_eq!(
            found(&others, "192.0.2.1", [true; 2]),
            some("10.0.2.2", 2, 20)
        );
        assert_eq!(
            found(&others, "192.0.2.1", [true, false]),
            some("10.0.1.3", 1, 30)
        );
        assert_eq!(
            found(&others, "192.0.2.2", [true; 2]),
            some("10.0.1.9", 1, 9)
        );
        assert_eq!(found(&others, "192.0.3.1", [true; 2]), None);
    }

    #[test]
    fn a_default_route_leads_only_when_it_may() {
        let default = via("0.0.0.0/0", 0, "10.0.1.254", 1);
        assert_eq!(
            found(
                &others(std::slice::from_ref(&default)),
                "192.0.2.1",
                [true; 2]
            ),
            None
        );
        let mut allowed = Others::new(ViaDefault::Allowed);
        allowed.add(default);
        assert_eq!(
            found(&allowed, "192.0.2.1", [true; 2]),
            some("10.0.1.254", 1, 0)
        );
    }

    #[test]
    fn what_is_dropped_on_purpose_is_not_reached_through_less() {
        let mut others = others(&[via("192.0.2.0/24", 9, "10.0.1.9", 1)]);
        others.add(OtherRoute {
            prefix: "192.0.2.1/32".parse().unwrap(),
            metric: 0,
            exit: Exit::Nowhere,
        });
        assert_eq!(found(&others, "192.0.2.1", [true; 2]), None);
    }

    #[test]
    fn a_route_follows_its_nexthop_object_and_group() {
        let mut others = others(&[OtherRoute {
            prefix: "192.0.2.1/32".parse().unwrap(),
            metric: 20,
            exit: Exit::Objects(smallvec![9]),
        }]);
        let leads = |others: &Others| found(others, "192.0.2.1", [true; 2]);
        assert_eq!(leads(&others), None, "no such object");
        let exit = via("::/0", 0, "fe80::1", 2).exit;
        others.apply(OtherChange::Object(7, exit));
        others.apply(OtherChange::Object(9, Exit::Objects(smallvec![6, 7])));
        assert_eq!(leads(&others), some("fe80::1", 2, 20), "IPv4 over IPv6");
        others.apply(OtherChange::ObjectWent(7));
        assert_eq!(leads(&others), None);
    }

    #[test]
    fn a_nexthop_object_that_drops_is_no_way_and_hides_shorter_ones() {
        let mut others = others(&[via("192.0.2.0/24", 9, "10.0.1.9", 1)]);
        others.add(OtherRoute {
            prefix: "192.0.2.1/32".parse().unwrap(),
            metric: 0,
            exit: Exit::Objects(smallvec![9]),
        });
        others.apply(OtherChange::Object(9, Exit::Objects(smallvec![7])));
        others.apply(OtherChange::Object(7, Exit::Nowhere));
        assert_eq!(found(&others, "192.0.2.1", [true; 2]), None);
        others.apply(OtherChange::Object(7, Exit::Ways(smallvec![(None, 2)])));
        let straight = some("192.0.2.1", 2, 0);
        assert_eq!(found(&others, "192.0.2.1", [true; 2]), straight);
    }

    #[test]
    fn changes_come_and_go() {
        let mut others = Others::default();
        let (one, two) = (
            via("192.0.2.1/32", 5, "10.0.1.9", 1),
            via("192.0.2.1/32", 5, "10.0.2.9", 2),
        );
        others.apply(OtherChange::Came(one.clone()));
        others.apply(OtherChange::Replaced(two.clone()));
        assert_eq!(
            found(&others, "192.0.2.1", [true; 2]),
            some("10.0.2.9", 2, 5)
        );
        others.apply(OtherChange::Went(one));
        assert_eq!(others.count, 1, "it was replaced before");
        others.apply(OtherChange::Went(two));
        assert_eq!(others, Others::default());
    }

    #[test]
    fn more_routes_than_fit_are_not_kept() {
        let mut others = Others::default();
        for i in 0..MOST as u32 + 10 {
            let prefix = format!("{}/32", std::net::Ipv4Addr::from(i));
            others.add(via(&prefix, 0, "10.0.1.9", 1));
        }
        assert_eq!(others.routes.len(), MOST);
    }
}
