//! What the kernel is found with, and what is believed of it.

use std::net::Ipv6Addr;

use super::*;

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
