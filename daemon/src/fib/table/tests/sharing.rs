//! Links that share the traffic.

use super::*;

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
