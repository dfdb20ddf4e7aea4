//! Which of its hops a route takes.

use super::*;

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
fn a_link_local_nexthop_is_sought_on_the_interface_of_its_peer_and_a_global_one_wherever_it_is() {
    let now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    for interface in &mut kernel.observed.interfaces.0 {
        interface.addresses.push("fe80::1/64".parse().unwrap());
    }
    kernel.observed.interfaces.0[1]
        .addresses
        .push("2001:db8::1/64".parse().unwrap());
    let prefixes = prefixes(2);
    for (prefix, address) in prefixes.iter().zip(["fe80::2", "2001:db8::2"]) {
        let mut hop = hops(&[9]);
        hop[0].hop.address = address.parse().unwrap();
        table.set(&[*prefix], &hop);
    }
    for (interface, index) in [("wg1", 1), ("wg2", 2), ("wg1", 1)] {
        table.set_scopes([(PeerId(9), interface.to_owned())].into());
        run(&mut table, &mut kernel, now);
        assert_eq!(kernel.interface_of(&prefixes[0]), Some(index));
        assert_eq!(kernel.interface_of(&prefixes[1]), Some(2));
    }
}
