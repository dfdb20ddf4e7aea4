//! The table against a model of the kernel.

mod belief;
mod choice;
mod discards;
mod links;
mod random;
mod sharing;

use bgp::rib::MedPlace;

use super::super::{Exit, FoundRoutes, Interface, Lead, Observed, OtherRoute};
use super::*;

/// A kernel that does as it is told, refuses what a real one would, and counts.
#[derive(Default)]
struct Kernel {
    observed: Observed,
    routes: BTreeMap<Prefix, u32>,
    discards: BTreeSet<Prefix>,
    messages: usize,
}

impl Kernel {
    fn with_interfaces(up: [bool; 2]) -> Self {
        let mut kernel = Self::default();
        for (index, up) in (1..).zip(up) {
            kernel.observed.interfaces.0.push(Interface {
                index,
                name: format!("wg{index}"),
                up,
                mtu: 1420,
                addresses: vec![format!("10.99.{index}.0/31").parse().unwrap()],
            });
        }
        kernel
    }

    fn apply(&mut self, step: Step) {
        self.messages += 1;
        let known = |id: &u32, observed: &Observed| {
            observed.nexthops.contains_key(id) || observed.groups.contains_key(id)
        };
        match step {
            Step::SetNexthop { id, way } => {
                let interfaces = &self.observed.interfaces.0;
                assert!(
                    interfaces
                        .iter()
                        .any(|known| known.index == way.interface && known.up)
                );
                self.observed.nexthops.insert(id, way);
            }
            Step::SetGroup { id, lead } => {
                let members = lead.nexthops();
                assert!(!members.is_empty());
                let nexthops = &self.observed.nexthops;
                assert!(members.iter().all(|id| nexthops.contains_key(id)));
                let is_alone = |lead: &Lead| matches!(lead, Lead::Alone { .. });
                let alone = is_alone(&lead);
                if let Some(before) = self.observed.groups.insert(id, lead) {
                    assert_eq!(is_alone(&before), alone, "a group keeps its kind");
                }
            }
            Step::SetRoute { prefix, nexthop } => {
                assert!(known(&nexthop, &self.observed), "route through nothing");
                self.routes.insert(prefix, nexthop);
            }
            Step::RemoveRoute { prefix } => {
                self.routes.remove(&prefix);
            }
            Step::SetDiscard { prefix } => {
                self.discards.insert(prefix);
            }
            Step::RemoveDiscard { prefix } => {
                self.discards.remove(&prefix);
            }
            Step::RemoveNexthop { id } => {
                let used = self.routes.values().any(|used| *used == id);
                assert!(!used, "removing {id} would take its routes along");
                let member = self
                    .observed
                    .groups
                    .values()
                    .any(|group| group.nexthops().contains(&id));
                assert!(!member, "removing {id} would empty a group");
                self.observed.nexthops.remove(&id);
                self.observed.groups.remove(&id);
            }
        }
    }

    /// As the kernel does when an interface loses its carrier.
    fn drop_interface(&mut self, index: u32) {
        self.observed
            .interfaces
            .0
            .iter_mut()
            .find(|i| i.index == index)
            .unwrap()
            .up = false;
        self.observed
            .nexthops
            .retain(|_, way| way.interface != index);
        let nexthops = &self.observed.nexthops;
        self.observed.groups.retain(|_, lead| prune(lead, nexthops));
        let groups = &self.observed.groups;
        self.routes.retain(|_, id| groups.contains_key(id));
    }

    /// What carries a prefix: interfaces and weights.
    fn spread_of(&self, prefix: &Prefix) -> Vec<(u32, u8)> {
        let group = self.routes.get(prefix);
        let members = match group.and_then(|group| self.observed.groups.get(group)) {
            Some(Lead::Share(members)) => members.clone(),
            Some(Lead::Alone { first, .. }) => vec![(*first, 1)],
            None => Vec::new(),
        };
        let mut spread: Vec<_> = members
            .into_iter()
            .map(|(member, weight)| (self.observed.nexthops[&member].interface, weight))
            .collect();
        spread.sort_unstable();
        spread
    }

    fn interface_of(&self, prefix: &Prefix) -> Option<u32> {
        self.spread_of(prefix)
            .first()
            .map(|(interface, _)| *interface)
    }
}

/// What the kernel does to a group that has lost nexthops. `false`: nothing is left of it.
fn prune(lead: &mut Lead, nexthops: &BTreeMap<u32, Way>) -> bool {
    match lead {
        Lead::Share(members) => {
            members.retain(|(member, _)| nexthops.contains_key(member));
            !members.is_empty()
        }
        Lead::Alone { first, standby } => {
            *standby = standby.filter(|standby| nexthops.contains_key(standby));
            if !nexthops.contains_key(first) {
                let Some(next) = standby.take() else {
                    return false;
                };
                *first = next;
            }
            true
        }
    }
}

fn found(ours: &[(Prefix, Option<u32>)]) -> FoundRoutes {
    FoundRoutes {
        ours: ours.to_vec(),
        ..FoundRoutes::default()
    }
}

fn found_discards(kernel: &Kernel) -> FoundRoutes {
    FoundRoutes {
        discards: kernel.discards.iter().copied().collect(),
        ..FoundRoutes::default()
    }
}

fn run(table: &mut Table, kernel: &mut Kernel, now: Instant) -> usize {
    let before = kernel.messages;
    while let Some(work) = table.poll_work(now) {
        match work {
            Work::Observe => {
                table.observe(kernel.observed.clone());
                // Routes come in pieces, with work between them.
                let routes: Vec<_> = kernel
                    .routes
                    .iter()
                    .map(|(p, id)| (*p, Some(*id)))
                    .collect();
                for part in routes.chunks(2) {
                    if let Some(Work::Apply(steps)) = table.poll_work(now) {
                        steps.into_iter().for_each(|step| kernel.apply(step));
                    }
                    table.observe_routes(found(part));
                }
                table.observe_routes(found_discards(kernel));
                table.observed_all(Duration::from_millis(1), now);
            }
            Work::Apply(steps) => steps.into_iter().for_each(|step| kernel.apply(step)),
        }
    }
    kernel.messages - before
}

fn hops(links: &[u32]) -> Members {
    links
        .iter()
        .map(|link| RouteHop {
            hop: Hop {
                peer: PeerId(*link),
                address: format!("10.99.{link}.1").parse().unwrap(),
            },
            tier: 0,
            med: MedPlace::default(),
            weight: 0,
        })
        .collect()
}

/// Hops that share the traffic.
fn shared(links: &[(u32, u8)]) -> Members {
    let mut members = hops(&links.iter().map(|(link, _)| *link).collect::<Vec<_>>());
    for (member, (_, weight)) in members.iter_mut().zip(links) {
        member.weight = *weight;
    }
    members
}

fn standing(ranks: [Option<u32>; 2]) -> BTreeMap<String, LinkStanding> {
    (1..)
        .zip(ranks)
        .map(|(index, rank): (u32, _)| {
            let standing = rank.map_or(LinkStanding::Dead, |rank| ranked(rank, 0, 0));
            (format!("wg{index}"), standing)
        })
        .collect()
}

fn ranked(rank: u32, tiebreak: u32, weight: u8) -> LinkStanding {
    LinkStanding::Usable {
        rank,
        tiebreak,
        weight,
    }
}

fn links(standings: [LinkStanding; 2]) -> BTreeMap<String, LinkStanding> {
    let names = ["wg1", "wg2"].map(str::to_owned);
    names.into_iter().zip(standings).collect()
}

fn prefixes(count: u32) -> Vec<Prefix> {
    (0..count)
        .map(|i| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + (i << 8));
            Prefix::new(address.into(), 24).unwrap()
        })
        .collect()
}

fn table(now: Instant) -> Table {
    let mut table = Table::new(ViaDefault::Never, Standby::Possible, now);
    table.set_peers([1, 2].map(|i| (PeerId(i), format!("wg{i}"))).into());
    table.set_links(standing([Some(0), Some(1)]));
    table
}
