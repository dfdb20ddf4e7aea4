//! Routes that discard, beside all others.

use super::*;

const AGGREGATE: &str = "10.0.0.0/8";

fn aggregate() -> Prefix {
    AGGREGATE.parse().unwrap()
}

/// A table that has observed a kernel without routes.
fn settled(now: Instant) -> (Table, Kernel) {
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    run(&mut table, &mut kernel, now);
    (table, kernel)
}

fn steps(table: &mut Table, now: Instant) -> Vec<Step> {
    match table.poll_work(now) {
        Some(Work::Apply(steps)) => steps,
        Some(Work::Observe) | None => Vec::new(),
    }
}

#[test]
fn an_aggregate_costs_a_message_as_it_comes_and_one_as_it_goes() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    let prefix = aggregate();
    table.set_to(&[prefix], &RouteTo::Discard);
    table.set_to(&[prefix], &RouteTo::Discard);
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.discards, [prefix].into());
    assert_eq!(table.counts().routes, 1);
    let shown = table.route(&prefix).unwrap();
    assert!(shown.as_wanted && shown.discards && shown.ways.is_empty());
    table.set_to(&[prefix], &RouteTo::Nothing);
    assert_eq!(table.counts().pending, 1);
    assert_eq!(run(&mut table, &mut kernel, now), 1);
    assert_eq!(kernel.discards, [].into());
    assert_eq!(table.counts(), Counts::default());
    assert_eq!(table.route(&prefix), None);
}

#[test]
fn one_that_comes_in_place_of_a_route_is_there_before_that_goes() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    let prefix = aggregate();
    table.set_to(&[prefix], &RouteTo::Hops(hops(&[1])));
    run(&mut table, &mut kernel, now);
    table.set_to(&[prefix], &RouteTo::Discard);
    let order = [Step::SetDiscard { prefix }, Step::RemoveRoute { prefix }];
    assert_eq!(steps(&mut table, now), order);
}

#[test]
fn one_whose_place_a_route_takes_goes_when_that_is_there() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    let prefix = aggregate();
    table.set_to(&[prefix], &RouteTo::Discard);
    run(&mut table, &mut kernel, now);
    table.set_to(&[prefix], &RouteTo::Hops(hops(&[1])));
    let order = steps(&mut table, now);
    let [.., Step::SetRoute { .. }, last] = &order[..] else {
        panic!("{order:?}");
    };
    assert_eq!(*last, Step::RemoveDiscard { prefix });
}

#[test]
fn one_whose_place_a_route_is_to_take_that_has_no_way_goes_at_once() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    let prefix = aggregate();
    table.set_to(&[prefix], &RouteTo::Discard);
    run(&mut table, &mut kernel, now);
    kernel.drop_interface(1);
    table.set_interfaces(kernel.observed.interfaces.clone(), now);
    table.set_to(&[prefix], &RouteTo::Hops(hops(&[1])));
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.discards, [].into());
}

#[test]
fn the_next_run_takes_them_over_and_removes_the_others_after_the_sweep() {
    let now = Instant::now();
    let (mut first, mut kernel) = settled(now);
    let [kept, left] = prefixes(2)[..] else {
        panic!("two prefixes");
    };
    first.set_to(&[kept, left], &RouteTo::Discard);
    run(&mut first, &mut kernel, now);
    let mut second = table(now);
    run(&mut second, &mut kernel, now);
    second.set_to(&[kept], &RouteTo::Discard);
    assert_eq!(run(&mut second, &mut kernel, now), 0);
    assert_eq!(kernel.discards, [kept, left].into());
    second.sweep();
    assert_eq!(run(&mut second, &mut kernel, now), 1);
    assert_eq!(kernel.discards, [kept].into());
}

#[test]
fn one_that_another_removed_or_added_is_put_right() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    table.sweep();
    let [ours, stray] = prefixes(2)[..] else {
        panic!("two prefixes");
    };
    table.set_to(&[ours], &RouteTo::Discard);
    run(&mut table, &mut kernel, now);
    kernel.discards = [stray].into();
    table.disturbed(now);
    run(&mut table, &mut kernel, now + DEBOUNCE);
    assert_eq!(kernel.discards, [ours].into());
}

#[test]
fn what_had_a_step_while_routes_were_read_is_believed_more_than_what_was_read() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    let [removed, fresh] = prefixes(2)[..] else {
        panic!("two prefixes");
    };
    table.sweep();
    table.set_to(&[removed], &RouteTo::Discard);
    run(&mut table, &mut kernel, now);
    table.observe(kernel.observed.clone());
    let read = found_discards(&kernel);
    table.set_to(&[removed], &RouteTo::Nothing);
    table.set_to(&[fresh], &RouteTo::Discard);
    for step in steps(&mut table, now) {
        kernel.apply(step);
    }
    table.observe_routes(read);
    table.observed_all(Duration::ZERO, now);
    run(&mut table, &mut kernel, now);
    assert_eq!(kernel.discards, [fresh].into());
}

#[test]
fn a_table_that_could_not_be_read_takes_none_for_gone() {
    let now = Instant::now();
    let (mut table, mut kernel) = settled(now);
    table.set_to(&[aggregate()], &RouteTo::Discard);
    run(&mut table, &mut kernel, now);
    table.observe(kernel.observed.clone());
    table.broken_off();
    assert_eq!(run(&mut table, &mut kernel, now), 0);
    assert_eq!(table.counts().routes, 1);
}
