//! The benchmark of BGP daemons in small: what it measures ends right. Needs root.

use std::time::Duration;

use tests::bench::daemon::Kind;
use tests::bench::measure::{self, Outcome, Scenario, Terms};
use tests::bench::table::Table;

fn ends_right(kind: Kind, scenarios: &[Scenario]) -> Vec<Scenario> {
    let table = Table::generate(1_000, 1);
    let terms = Terms {
        kind,
        table: &table,
        limit: Duration::from_secs(30),
    };
    let mut seen = Vec::new();
    for &scenario in scenarios {
        let outcomes = measure::run(scenario, terms).expect("this test needs root and BIRD");
        for (scenario, outcome) in outcomes {
            assert!(
                matches!(outcome, Outcome::Right(_)),
                "{scenario}: {outcome:?}"
            );
            seen.push(scenario);
        }
    }
    seen
}

fn every_scenario_ends_right(kind: Kind) {
    let scenarios = [
        Scenario::FullTable,
        Scenario::FanIn,
        Scenario::FanOut,
        Scenario::Failover,
        Scenario::KernelRoutes,
    ];
    let seen = ends_right(kind, &scenarios);
    assert_eq!(seen.len(), 6, "a full table is withdrawn too: {seen:?}");
}

#[test]
fn the_kernel_alone_and_frr_with_zebra_end_right() {
    ends_right(Kind::Kernel, &[Scenario::KernelRoutes]);
    ends_right(Kind::Frr, &[Scenario::KernelRoutes]);
}

#[test]
fn skybridge_ends_right_in_every_scenario() {
    every_scenario_ends_right(Kind::Skybridge);
}

#[test]
fn bird_ends_right_in_every_scenario() {
    every_scenario_ends_right(Kind::Bird);
}
