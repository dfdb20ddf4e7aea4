//! The table against a model of the kernel.

use super::super::{Interface, Observed};
use super::*;

/// A kernel that does as it is told, refuses what a real one would, and counts.
#[derive(Default)]
struct Kernel {
    observed: Observed,
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
            Step::SetGroup { id, members } => {
                assert!(!members.is_empty());
                assert!(
                    members
                        .iter()
                        .all(|id| self.observed.nexthops.contains_key(id))
                );
                self.observed.groups.insert(id, members);
            }
            Step::SetRoute { prefix, nexthop } => {
                assert!(known(&nexthop, &self.observed), "route through nothing");
                self.observed.routes.insert(prefix, Some(nexthop));
            }
            Step::RemoveRoute { prefix } => {
                self.observed.routes.remove(&prefix);
            }
            Step::RemoveNexthop { id } => {
                let used = self.observed.routes.values().any(|used| *used == Some(id));
                assert!(!used, "removing {id} would take its routes along");
                let member = self
                    .observed
                    .groups
                    .values()
                    .any(|group| group.contains(&id));
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
        for members in self.observed.groups.values_mut() {
            members.retain(|member| nexthops.contains_key(member));
        }
        self.observed
            .groups
            .retain(|_, members| !members.is_empty());
        let groups = &self.observed.groups;
        self.observed
            .routes
            .retain(|_, id| id.is_some_and(|id| groups.contains_key(&id)));
    }

    fn interface_of(&self, prefix: &Prefix) -> Option<u32> {
        let group = self.observed.routes.get(prefix)?.as_ref()?;
        let nexthop = self.observed.groups.get(group)?.first()?;
        Some(self.observed.nexthops.get(nexthop)?.interface)
    }
}

fn run(table: &mut Table, kernel: &mut Kernel, now: Instant) -> usize {
    let before = kernel.messages;
    while let Some(work) = table.poll_work(now) {
        match work {
            Work::Observe => table.observe(kernel.observed.clone(), now),
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
            weight: 0,
        })
        .collect()
}

fn standing(ranks: [Option<u32>; 2]) -> BTreeMap<String, LinkStanding> {
    (1..)
        .zip(ranks)
        .map(|(index, rank): (u32, _)| {
            let standing = rank.map_or(LinkStanding::Dead, |rank| LinkStanding::Usable { rank });
            (format!("wg{index}"), standing)
        })
        .collect()
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
    let mut table = Table::new(now);
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
            table.set(*prefix, &hops(learned));
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
fn routes_that_are_withdrawn_before_the_group_has_moved_park_on_it() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(100);
    // The group of the second link alone is in the kernel too.
    table.set(prefixes[0], &hops(&[2]));
    for prefix in &prefixes[1..] {
        table.set(*prefix, &hops(&[1, 2]));
    }
    run(&mut table, &mut kernel, now);
    table.set_links(standing([None, Some(0)]));
    for prefix in &prefixes[1..] {
        table.set(*prefix, &hops(&[2]));
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
        .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
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
        .for_each(|prefix| table.set(*prefix, &hops(&[2])));
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
        table.set(*prefix, &hops(&[1, 2]));
    }
    assert_eq!(run(&mut table, &mut kernel, now), 0, "one route is missing");
    table.set(prefixes[0], &hops(&[1, 2]));
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
        .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
    table.set_links(standing([None, Some(0)]));
    run(&mut table, &mut kernel, now);
    prefixes
        .iter()
        .for_each(|prefix| table.set(*prefix, &hops(&[2])));
    table.set_links(standing([Some(0), Some(1)]));
    table.set(prefixes[0], &hops(&[1, 2]));
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
        .for_each(|prefix| table.set(*prefix, &hops(&[1, 2])));
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
    table.set(prefixes[0], &hops(&[1, 2]));
    run(&mut table, &mut kernel, now);
    for prefix in &prefixes[1..] {
        table.set(*prefix, &hops(&[2]));
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
    table.set(prefix, &members);
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(2));
    table.set_links(standing([Some(0), None]));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.interface_of(&prefix), Some(1));
}

#[test]
fn the_next_run_takes_everything_over_without_a_message() {
    let now = Instant::now();
    let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(50);
    prefixes
        .iter()
        .for_each(|prefix| first.set(*prefix, &hops(&[1, 2])));
    run(&mut first, &mut kernel, now);
    let leftover = kernel.observed.clone();

    let mut second = table(now);
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    prefixes
        .iter()
        .for_each(|prefix| second.set(*prefix, &hops(&[1, 2])));
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    second.sweep();
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    assert_eq!(kernel.observed, leftover);
}

#[test]
fn what_nobody_wants_goes_only_after_the_sweep() {
    let now = Instant::now();
    let (mut first, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(5);
    prefixes
        .iter()
        .for_each(|prefix| first.set(*prefix, &hops(&[1, 2])));
    run(&mut first, &mut kernel, now);

    let mut second = table(now);
    second.set(prefixes[0], &hops(&[2]));
    run(&mut second, &mut kernel, now);
    assert_eq!(kernel.observed.routes.len(), 5);
    assert_eq!(kernel.interface_of(&prefixes[0]), Some(2));
    second.sweep();
    run(&mut second, &mut kernel, now);
    assert_eq!(kernel.observed.routes.len(), 1);
    assert_eq!(kernel.observed.groups.len(), 1);
    assert_eq!(kernel.observed.nexthops.len(), 1);
}

#[test]
fn what_was_wanted_and_no_longer_is_goes_at_once() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefix = prefixes(1)[0];
    table.set(prefix, &hops(&[1]));
    run(&mut table, &mut kernel, now);
    table.set(prefix, &hops(&[]));
    run(&mut table, &mut kernel, now);
    assert!(
        kernel.observed.routes.is_empty(),
        "the sweep is for leftovers only"
    );
}

#[test]
fn an_interface_that_dies_and_returns_gets_its_routes_again() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, false]));
    let prefix = prefixes(1)[0];
    table.set(prefix, &hops(&[1, 2]));
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
    let lists: [&[u32]; 5] = [&[], &[1], &[2], &[1, 2], &[2, 1]];
    let mut wanted = BTreeMap::new();
    let mut links = [Some(0), Some(1)];
    for _ in 0..120 {
        now += Duration::from_millis(draw(400));
        match draw(10) {
            0..=5 => {
                let prefix = prefixes[draw(6) as usize];
                let list = lists[draw(5) as usize];
                wanted.insert(prefix, list);
                table.set(prefix, &hops(list));
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
                kernel.observed.routes.remove(&prefixes[draw(6) as usize]);
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
        let up = |link: &&u32| kernel.observed.interfaces.0[**link as usize - 1].up;
        let best = list.iter().filter(up).min_by_key(|link| {
            let rank = links[**link as usize - 1];
            (rank.is_none(), rank)
        });
        let state = format!("{list:?} over {links:?}, {:?}", kernel.observed.interfaces);
        assert_eq!(
            kernel.interface_of(prefix),
            best.copied(),
            "seed {seed}: {prefix} {state}"
        );
    }
    let used = kernel
        .observed
        .routes
        .values()
        .flatten()
        .collect::<BTreeSet<_>>()
        .len();
    assert_eq!(
        kernel.observed.groups.len(),
        used,
        "seed {seed}: idle groups remain"
    );
}
