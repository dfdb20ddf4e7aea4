//! Links and peers that die and return: what it costs, and where routes go.

use super::*;

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
