//! The table against a model of the kernel.

use std::net::Ipv6Addr;

use bgp::rib::MedPlace;

use super::super::{Exit, FoundRoutes, Interface, Lead, Observed, OtherRoute};
use super::*;

/// A kernel that does as it is told, refuses what a real one would, and counts.
#[derive(Default)]
struct Kernel {
    observed: Observed,
    routes: BTreeMap<Prefix, u32>,
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
        others: Vec::new(),
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

#[test]
fn a_route_learned_over_a_second_link_survives_the_first_for_one_message() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(1000);
    for learned in [&[1][..], &[1, 2]] {
        for prefix in &prefixes {
            table.set(&[*prefix], &hops(learned));
        }
        run(&mut table, &mut kernel, now);
    }
    table.sweep();
    run(&mut table, &mut kernel, now);

    table.set_links(standing([None, Some(0)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    let moved = |prefix| kernel.interface_of(prefix) == Some(2);
    assert!(prefixes.iter().all(moved));
}

#[test]
fn an_interface_that_goes_takes_no_route_along_where_another_way_stands_by() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(1000);
    for prefix in &prefixes {
        table.set(&[*prefix], &hops(&[1, 2]));
    }
    run(&mut table, &mut kernel, now);
    table.sweep();
    run(&mut table, &mut kernel, now);
    kernel.drop_interface(1);
    let moved = |kernel: &Kernel| prefixes.iter().all(|p| kernel.interface_of(p) == Some(2));
    assert!(moved(&kernel), "before anybody has heard of it");
    table.set_interfaces(kernel.observed.interfaces.clone(), now);
    let later = now + DEBOUNCE;
    let told = run(&mut table, &mut kernel, later);
    assert!(
        told <= 2,
        "{told} messages for 1000 routes that lead where they should"
    );
    assert!(moved(&kernel));
}

#[test]
fn a_dead_peer_on_no_link_is_left_for_one_message_and_without_waiting() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    // Nobody says by which link they are reached: their networks do.
    table.set_peers(BTreeMap::new());
    table.set_links(BTreeMap::new());
    let prefixes = prefixes(1000);
    for prefix in &prefixes {
        table.set(&[*prefix], &hops(&[1, 2]));
    }
    run(&mut table, &mut kernel, now);
    table.sweep();
    run(&mut table, &mut kernel, now);
    let lead = |kernel: &Kernel, to| prefixes.iter().all(|p| kernel.interface_of(p) == Some(to));
    assert!(lead(&kernel, 1));

    // Half of its paths are gone before the group has moved.
    table.set_dead([PeerId(1)].into());
    for prefix in &prefixes[..500] {
        table.set(&[*prefix], &hops(&[2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(lead(&kernel, 2));
    for prefix in &prefixes[500..] {
        table.set(&[*prefix], &hops(&[2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 0);

    // Back: nothing moves before the routes are complete.
    table.set_dead(BTreeSet::new());
    assert_eq!(run(&mut table, &mut kernel, now), 0);
    for prefix in &prefixes {
        table.set(&[*prefix], &hops(&[1, 2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(lead(&kernel, 1));
}

#[test]
fn a_way_that_a_live_peer_offers_too_outlives_the_dead_one() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    table.set_peers(BTreeMap::new());
    table.set_links(BTreeMap::new());
    let mut members = hops(&[1, 1, 2]);
    members[1].hop.peer = PeerId(3);
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &members);
    run(&mut table, &mut kernel, now);
    table.set_dead([PeerId(1)].into());
    assert_eq!(run(&mut table, &mut kernel, now), 0);
    assert_eq!(kernel.interface_of(&prefix), Some(1));
    table.set_dead([PeerId(1), PeerId(3)].into());
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.interface_of(&prefix), Some(2));
}

#[test]
fn routes_that_are_withdrawn_before_the_group_has_moved_park_on_it() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(100);
    // The group of the second link alone is in the kernel too.
    table.set(&[prefixes[0]], &hops(&[2]));
    for prefix in &prefixes[1..] {
        table.set(&[*prefix], &hops(&[1, 2]));
    }
    run(&mut table, &mut kernel, now);
    table.set_links(standing([None, Some(0)]));
    for prefix in &prefixes[1..] {
        table.set(&[*prefix], &hops(&[2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    let moved = |prefix| kernel.interface_of(prefix) == Some(2);
    assert!(prefixes.iter().all(moved));
}

#[test]
fn a_dead_link_costs_one_message_and_so_does_its_return() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(1000);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[1, 2])));
    run(&mut table, &mut kernel, now);
    table.sweep();
    run(&mut table, &mut kernel, now);
    assert!(
        prefixes
            .iter()
            .all(|prefix| kernel.interface_of(prefix) == Some(1))
    );

    table.set_links(standing([None, Some(0)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[2])));
    assert_eq!(run(&mut table, &mut kernel, now), 0, "routes park");
    assert!(
        prefixes
            .iter()
            .all(|prefix| kernel.interface_of(prefix) == Some(2))
    );

    table.set_links(standing([Some(0), Some(1)]));
    assert_eq!(
        run(&mut table, &mut kernel, now),
        0,
        "the link has no routes yet"
    );
    for prefix in &prefixes[1..] {
        table.set(&[*prefix], &hops(&[1, 2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 0, "one route is missing");
    table.set(&[prefixes[0]], &hops(&[1, 2]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(
        prefixes
            .iter()
            .all(|prefix| kernel.interface_of(prefix) == Some(1))
    );
    assert_eq!(
        table.counts(),
        Counts {
            routes: 1000,
            groups: 1,
            pending: 0
        }
    );
}

#[test]
fn a_route_that_does_not_come_back_leaves_its_group_before_the_group_moves() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(2);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[1, 2])));
    table.set_links(standing([None, Some(0)]));
    run(&mut table, &mut kernel, now);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[2])));
    table.set_links(standing([Some(0), Some(1)]));
    table.set(&[prefixes[0]], &hops(&[1, 2]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefixes[0]), Some(2), "still waiting");
    let later = table.poll_timeout().unwrap();
    assert!(later <= now + SETTLE);
    run(&mut table, &mut kernel, now + SETTLE);
    assert_eq!(kernel.interface_of(&prefixes[0]), Some(1));
    assert_eq!(kernel.interface_of(&prefixes[1]), Some(2));
}

#[test]
fn a_rank_that_changes_moves_the_group_and_no_route() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    prefixes(100)
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[1, 2])));
    run(&mut table, &mut kernel, now);
    table.set_links(standing([Some(1), Some(0)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.interface_of(&prefixes(1)[0]), Some(2));
}

#[test]
fn churn_elsewhere_does_not_hold_up_a_group_that_moves() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(2 * BATCH as u32);
    table.set(&[prefixes[0]], &hops(&[1, 2]));
    run(&mut table, &mut kernel, now);
    for prefix in &prefixes[1..] {
        table.set(&[*prefix], &hops(&[2]));
    }
    table.set_links(standing([Some(1), Some(0)]));
    let Some(Work::Apply(steps)) = table.poll_work(now) else {
        panic!("there is work");
    };
    assert!(
        matches!(steps[..], [Step::SetGroup { .. }]),
        "the group moves before any route: {steps:?}"
    );
}

#[test]
fn a_tier_outweighs_a_rank_and_death_outweighs_a_tier() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let mut members = hops(&[2, 1]);
    members[1].tier = 1;
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &members);
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(2));
    table.set_links(standing([Some(0), None]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(1));
}

#[test]
fn a_nexthop_beyond_the_next_router_is_followed_wherever_others_lead() {
    let now = Instant::now();
    let mut table = Table::new(ViaDefault::Never, Standby::Possible, now);
    let mut kernel = Kernel::with_interfaces([true, true]);
    let prefix = prefixes(1)[0];
    let mut members = hops(&[7]);
    members[0].hop.address = [192, 0, 2, 1].into();
    table.set(&[prefix], &members);
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), None);
    assert_eq!(table.counts().pending, 1);

    let over = |index: u32| OtherRoute {
        prefix: "192.0.2.1/32".parse().unwrap(),
        metric: 20,
        exit: Exit::Ways(
            [(format!("10.99.{index}.1").parse().ok(), index)]
                .into_iter()
                .collect(),
        ),
    };
    table.other_changed(OtherChange::Came(over(1)), now);
    assert_eq!(run(&mut table, &mut kernel, now), 0, "more may be to come");
    let later = table.poll_timeout().unwrap();
    run(&mut table, &mut kernel, later);
    assert_eq!(kernel.interface_of(&prefix), Some(1));

    table.other_changed(OtherChange::Replaced(over(2)), later);
    let later = table.poll_timeout().unwrap();
    // The nexthop and the group; no route.
    assert_eq!(run(&mut table, &mut kernel, later), 2);
    assert_eq!(kernel.interface_of(&prefix), Some(2));
}

#[test]
fn hops_with_weights_share_the_traffic_whatever_their_ranks() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &shared(&[(1, 3), (2, 1)]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.spread_of(&prefix), [(1, 3), (2, 1)]);
    let carried = table.route(&prefix).unwrap();
    assert!(carried.as_wanted && carried.ways.len() == 2, "{carried:?}");
    let resolved: Vec<Way> = carried.resolved.into_values().collect();
    assert_eq!(resolved, carried.ways);
    table.set(&[prefix], &shared(&[(1, 3), (2, 0)]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.spread_of(&prefix), [(1, 1)], "weight 0 stands by");
}

/// What a cloud does before it replaces an endpoint: the other one gets the lower MED.
#[test]
fn med_decides_between_links_of_equal_rank_and_the_link_in_use_where_med_ties() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    let with_meds = |meds: [u8; 2]| {
        let mut members = hops(&[1, 2]);
        for (member, place) in members.iter_mut().zip(meds) {
            member.med.place = place;
        }
        members
    };
    let mut leads_to = |meds, standings| {
        table.set(&[prefix], &with_meds(meds));
        table.set_links(links(standings));
        run(&mut table, &mut kernel, now);
        kernel.interface_of(&prefix)
    };
    let equal = [ranked(0, 1, 0), ranked(0, 0, 0)];
    assert_eq!(leads_to([0, 0], equal), Some(2), "in use");
    assert_eq!(leads_to([0, 1], equal), Some(1), "lower MED");
    assert_eq!(leads_to([1, 0], equal), Some(2), "lower MED");
    let first_is_better = [ranked(0, 0, 0), ranked(1, 1, 0)];
    assert_eq!(leads_to([1, 0], first_is_better), Some(1), "rank");
}

#[test]
fn meds_of_different_neighbours_are_not_compared() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    let mut members = hops(&[1, 2]);
    (members[0].med.neighbour, members[0].med.place) = (1, 1);
    table.set(&[prefix], &members);
    table.set_links(links([ranked(0, 0, 0), ranked(0, 1, 0)]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(1));
}

#[test]
fn links_of_a_group_that_balances_share_by_weight_and_a_worse_one_leaves_for_one_message() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(500);
    let both = hops(&[1, 2]);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &both));
    table.set_links(links([ranked(0, 0, 3), ranked(0, 1, 1)]));
    run(&mut table, &mut kernel, now);
    let all = |kernel: &Kernel, spread: &[(u32, u8)]| {
        prefixes
            .iter()
            .all(|prefix| kernel.spread_of(prefix) == spread)
    };
    assert!(all(&kernel, &[(1, 3), (2, 1)]));
    table.set_links(links([ranked(1, 0, 3), ranked(0, 0, 1)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(all(&kernel, &[(2, 1)]));
    table.set_links(links([ranked(0, 0, 3), ranked(0, 1, 1)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(all(&kernel, &[(1, 3), (2, 1)]));
}

/// As by a reload: the kernel would refuse to make one kind of group of the other.
#[test]
fn routes_get_a_group_that_shares_when_their_links_begin_to() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(500);
    let both = hops(&[1, 2]);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &both));
    table.set_links(links([ranked(0, 0, 0), ranked(1, 1, 0)]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.spread_of(&prefixes[0]), [(1, 1)]);
    table.set_links(links([ranked(0, 0, 3), ranked(0, 1, 1)]));
    run(&mut table, &mut kernel, now);
    for prefix in &prefixes {
        assert_eq!(kernel.spread_of(prefix), [(1, 3), (2, 1)]);
    }
    table.set_links(links([ranked(0, 0, 3), LinkStanding::Dead]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.spread_of(&prefixes[0]), [(1, 1)]);
}

#[test]
fn a_balanced_link_that_was_dead_returns_when_its_routes_are_complete() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(500);
    let set = |table: &mut Table, some: &[Prefix], links: &[u32]| {
        let members = hops(links);
        some.iter()
            .for_each(|prefix| table.set(&[*prefix], &members));
    };
    let up = [ranked(0, 0, 1), ranked(0, 1, 1)];
    set(&mut table, &prefixes, &[1, 2]);
    table.set_links(links(up));
    run(&mut table, &mut kernel, now);
    table.set_links(links([LinkStanding::Dead, ranked(0, 0, 1)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    set(&mut table, &prefixes, &[2]);
    assert_eq!(run(&mut table, &mut kernel, now), 0, "routes park");

    table.set_links(links(up));
    set(&mut table, &prefixes[..499], &[1, 2]);
    assert_eq!(run(&mut table, &mut kernel, now), 0, "one is missing");
    set(&mut table, &prefixes[499..], &[1, 2]);
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    let spread = kernel.spread_of(&prefixes[0]);
    assert_eq!(spread, [(1, 1), (2, 1)]);
}

#[test]
fn a_dead_member_leaves_its_group_for_one_message_and_returns_for_one() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(500);
    let both = shared(&[(1, 1), (2, 1)]);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &both));
    run(&mut table, &mut kernel, now);
    let all = |kernel: &Kernel, spread: &[(u32, u8)]| {
        prefixes
            .iter()
            .all(|prefix| kernel.spread_of(prefix) == spread)
    };
    table.set_links(standing([None, Some(0)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(all(&kernel, &[(2, 1)]));
    let left = shared(&[(2, 1)]);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &left));
    assert_eq!(run(&mut table, &mut kernel, now), 0, "routes park");

    table.set_links(standing([Some(0), Some(0)]));
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &both));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert!(all(&kernel, &[(1, 1), (2, 1)]));
}

#[test]
fn a_tier_below_takes_over_when_no_member_is_left() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    let mut members = shared(&[(1, 1), (2, 1)]);
    members[1].tier = 1;
    table.set(&[prefix], &members);
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.spread_of(&prefix), [(1, 1)]);
    table.set_links(standing([None, Some(0)]));
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.spread_of(&prefix), [(2, 1)]);
}

#[test]
fn a_spread_that_someone_else_changed_is_put_right() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &shared(&[(1, 3), (2, 1)]));
    run(&mut table, &mut kernel, now);
    for lead in kernel.observed.groups.values_mut() {
        if let Lead::Share(members) = lead {
            members.pop();
        }
    }
    table.disturbed(now);
    run(&mut table, &mut kernel, now + DEBOUNCE);
    assert_eq!(kernel.spread_of(&prefix), [(1, 3), (2, 1)]);
}

#[test]
fn the_next_run_takes_a_spread_over_without_a_message() {
    let now = Instant::now();
    let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    first.set(&[prefix], &shared(&[(1, 3), (2, 1)]));
    run(&mut first, &mut kernel, now);
    let mut second = table(now);
    run(&mut second, &mut kernel, now);
    second.set(&[prefix], &shared(&[(1, 3), (2, 1)]));
    second.sweep();
    assert_eq!(run(&mut second, &mut kernel, now), 0);
}

#[test]
fn a_route_that_had_a_step_while_routes_were_read_is_believed_more_than_what_was_read() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let [moved, removed, fresh] = prefixes(3)[..] else {
        panic!("three prefixes");
    };
    table.set(&[moved], &hops(&[1]));
    table.set(&[removed], &hops(&[1]));
    run(&mut table, &mut kernel, now);
    let read: Vec<_> = kernel
        .routes
        .iter()
        .map(|(prefix, id)| (*prefix, Some(*id)))
        .collect();

    table.observe(kernel.observed.clone());
    table.set(&[moved], &hops(&[2]));
    table.set(&[removed], &hops(&[]));
    table.set(&[fresh], &hops(&[2]));
    let Some(Work::Apply(steps)) = table.poll_work(now) else {
        panic!("there is work");
    };
    steps.into_iter().for_each(|step| kernel.apply(step));
    table.set(&[removed], &hops(&[2]));
    table.observe_routes(found(&read));
    table.observed_all(Duration::ZERO, now);
    run(&mut table, &mut kernel, now);
    for prefix in [moved, removed, fresh] {
        assert_eq!(kernel.interface_of(&prefix), Some(2), "{prefix}");
    }
}

#[test]
fn an_observation_that_is_broken_off_counts_for_nothing() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(4);
    prefixes
        .iter()
        .for_each(|prefix| table.set(&[*prefix], &hops(&[1])));
    run(&mut table, &mut kernel, now);
    table.observe(kernel.observed.clone());
    let group = kernel.routes[&prefixes[0]];
    table.observe_routes(found(&[(prefixes[0], Some(group))]));
    table.broken_off();
    kernel.routes.clear();
    table.failed(now);
    run(&mut table, &mut kernel, now + RETRY.0);
    assert_eq!(kernel.routes.len(), 4);
}

#[test]
fn with_a_queue_that_is_long_there_is_no_room() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    assert!(!table.has_room(), "nothing has been observed yet");
    run(&mut table, &mut kernel, now);
    assert!(table.has_room());
    let first = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
    for i in 0..1 << 18 {
        let address = Ipv6Addr::from(first + (i << 64));
        table.set(&[Prefix::new(address.into(), 64).unwrap()], &hops(&[1]));
    }
    assert!(!table.has_room());
    run(&mut table, &mut kernel, now);
    assert!(table.has_room());
}

#[test]
fn the_next_run_takes_everything_over_without_a_message() {
    let now = Instant::now();
    let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(50);
    prefixes
        .iter()
        .for_each(|prefix| first.set(&[*prefix], &hops(&[1, 2])));
    run(&mut first, &mut kernel, now);
    let leftover = (kernel.observed.clone(), kernel.routes.clone());

    let mut second = table(now);
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    prefixes
        .iter()
        .for_each(|prefix| second.set(&[*prefix], &hops(&[1, 2])));
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    second.sweep();
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    assert_eq!((kernel.observed, kernel.routes), leftover);
}

#[test]
fn what_nobody_wants_goes_only_after_the_sweep() {
    let now = Instant::now();
    let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(5);
    prefixes
        .iter()
        .for_each(|prefix| first.set(&[*prefix], &hops(&[1, 2])));
    run(&mut first, &mut kernel, now);

    let mut second = table(now);
    second.set(&[prefixes[0]], &hops(&[2]));
    run(&mut second, &mut kernel, now);
    assert_eq!(kernel.routes.len(), 5);
    assert_eq!(kernel.interface_of(&prefixes[0]), Some(2));
    second.sweep();
    run(&mut second, &mut kernel, now);
    assert_eq!(kernel.routes.len(), 1);
    assert_eq!(kernel.observed.groups.len(), 1);
    assert_eq!(kernel.observed.nexthops.len(), 1);
}

#[test]
fn what_was_wanted_and_no_longer_is_goes_at_once() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &hops(&[1]));
    run(&mut table, &mut kernel, now);
    table.set(&[prefix], &hops(&[]));
    run(&mut table, &mut kernel, now);
    assert!(kernel.routes.is_empty(), "the sweep is for leftovers only");
}

#[test]
fn an_interface_that_dies_and_returns_gets_its_routes_again() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, false]));
    let prefix = prefixes(1)[0];
    table.set(&[prefix], &hops(&[1, 2]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(1));
    kernel.drop_interface(1);
    table.set_interfaces(kernel.observed.interfaces.clone(), now);
    run(&mut table, &mut kernel, now + DEBOUNCE);
    assert_eq!(kernel.interface_of(&prefix), None);
    assert_eq!(table.counts().pending, 1);
    kernel.observed.interfaces.0[1].up = true;
    table.set_interfaces(kernel.observed.interfaces.clone(), now);
    run(&mut table, &mut kernel, now + DEBOUNCE);
    assert_eq!(kernel.interface_of(&prefix), Some(2));
    assert_eq!(table.counts().pending, 0);
}

#[test]
fn whatever_happens_the_kernel_ends_as_wanted() {
    for seed in 1..300u64 {
        random_run(seed);
    }
}

fn random_run(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(6);
    let lists: [&[(u32, u8)]; 8] = [
        &[],
        &[(1, 0)],
        &[(2, 0)],
        &[(1, 0), (2, 0)],
        &[(2, 0), (1, 0)],
        &[(1, 2), (2, 1)],
        &[(2, 1)],
        &[(1, 1), (2, 0)],
    ];
    let mut wanted = BTreeMap::new();
    let mut links = [Some(0), Some(1)];
    for _ in 0..120 {
        now += Duration::from_millis(draw(400));
        match draw(10) {
            0..=5 => {
                let prefix = prefixes[draw(6) as usize];
                let list = lists[draw(lists.len() as u64) as usize];
                wanted.insert(prefix, list);
                table.set(&[prefix], &shared(list));
            }
            6 => {
                let link = draw(2) as usize;
                links[link] = if links[link].is_some() {
                    None
                } else {
                    Some(draw(3) as u32)
                };
                table.set_links(standing(links));
            }
            7 => {
                let link = draw(2) as usize;
                if kernel.observed.interfaces.0[link].up {
                    kernel.drop_interface(link as u32 + 1);
                } else {
                    kernel.observed.interfaces.0[link].up = true;
                }
                table.set_interfaces(kernel.observed.interfaces.clone(), now);
            }
            8 => {
                kernel.routes.remove(&prefixes[draw(6) as usize]);
                table.disturbed(now);
            }
            _ => table.sweep(),
        }
        // A step that meets an interface gone since fails in a real kernel; here everything
        // is told at once, so that no step may fail.
        table.set_interfaces(kernel.observed.interfaces.clone(), now);
        now += DEBOUNCE;
        run(&mut table, &mut kernel, now);
    }
    table.sweep();
    for _ in 0..4 {
        now += RESYNC;
        run(&mut table, &mut kernel, now);
    }
    for (prefix, list) in &wanted {
        let state = format!("{list:?} over {links:?}, {:?}", kernel.observed.interfaces);
        assert_eq!(
            kernel.spread_of(prefix),
            expected(list, &links, &kernel),
            "seed {seed}: {prefix} {state}"
        );
    }
    let used = kernel.routes.values().collect::<BTreeSet<_>>().len();
    assert_eq!(
        kernel.observed.groups.len(),
        used,
        "seed {seed}: idle groups remain"
    );
}

/// Where a list leads: of the ways that are up, those over live links; of these, those that share,
/// and otherwise the one of the best rank.
fn expected(list: &[(u32, u8)], links: &[Option<u32>; 2], kernel: &Kernel) -> Vec<(u32, u8)> {
    let rank = |link: u32| links[link as usize - 1];
    let up = |link: u32| kernel.observed.interfaces.0[link as usize - 1].up;
    let mut left: Vec<_> = list.iter().copied().filter(|it| up(it.0)).collect();
    if left.iter().any(|it| rank(it.0).is_some()) {
        left.retain(|it| rank(it.0).is_some());
    }
    let mut sharing: Vec<_> = left.iter().copied().filter(|it| it.1 > 0).collect();
    sharing.sort_unstable();
    match &sharing[..] {
        [] => {
            let best = left.iter().min_by_key(|it| rank(it.0));
            best.map(|it| (it.0, 1)).into_iter().collect()
        }
        [alone] => vec![(alone.0, 1)],
        _ => sharing,
    }
}
