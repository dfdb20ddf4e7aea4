//! Whole networks in simulated time. `SIM_SEED=17 cargo test -p tests --test sim` repeats one run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bgp::Prefix;
use tests::sim::topology::{at, demo, ring};
use tests::sim::{Network, Policy, Random, Stop, Topology, each_seed};

const TO_OCI: &str = "10.10.0.0/16";
const TO_AWS: &str = "10.1.0.0/16";
const SECOND: Duration = Duration::from_secs(1);

/// The demo, up and calm.
fn calm_demo(seed: u64) -> Result<Network> {
    let mut network = Network::started(demo(), seed);
    network.converge().context("at the start")?;
    Ok(network)
}

/// Both routers send what is for the far side over this cable.
fn both_use(network: &Network, cable: usize) -> bool {
    network.way(at::NVA_AWS, TO_OCI) == Some(cable)
        && network.way(at::NVA_OCI, TO_AWS) == Some(cable)
}

#[test]
fn routes_cross_the_preferred_link_from_gateway_to_gateway() -> Result<()> {
    each_seed(20, |seed| {
        let network = calm_demo(seed)?;
        ensure!(both_use(&network, at::PRIMARY), "not over the primary");
        for (gateway, far) in [(at::GATEWAY_AWS, TO_OCI), (at::GATEWAY_OCI, TO_AWS)] {
            ensure!(network.way(gateway, far).is_some(), "no route to {far}");
        }
        Ok(())
    })
}

#[test]
fn both_routers_dialling_at_once_end_with_one_session() -> Result<()> {
    each_seed(100, |seed| {
        let network = calm_demo(seed)?;
        for (number, cable) in network.topology().cables.iter().enumerate() {
            ensure!(
                network.open_streams(number) == 1,
                "{} connections on cable {number}",
                network.open_streams(number)
            );
            for (router, _) in cable.ends {
                let count = network.established_count(router, number);
                ensure!(count == 1, "cable {number}: established {count} times");
            }
        }
        Ok(())
    })
}

#[test]
fn a_silent_cut_moves_traffic_within_half_a_second() -> Result<()> {
    each_seed(50, |seed| {
        let mut network = calm_demo(seed)?;
        let phase = network.random().wait(SECOND);
        network.run(phase);
        network.cut(at::PRIMARY);
        let half = Duration::from_millis(500);
        network
            .run_until(half, |network| both_use(network, at::BACKUP))
            .context("traffic still goes into the cut")?;
        network.converge()?;
        Ok(())
    })
}

#[test]
fn a_restored_link_gets_traffic_back_only_after_its_hold_down() -> Result<()> {
    each_seed(30, |seed| {
        let mut network = calm_demo(seed)?;
        let hold_down = network.topology().timing.group_hold_down;
        network.cut(at::PRIMARY);
        network.converge()?;
        network.mend(at::PRIMARY);
        let held = |network: &Network| {
            network.way(at::NVA_AWS, TO_OCI) == Some(at::BACKUP)
                && network.way(at::NVA_OCI, TO_AWS) == Some(at::BACKUP)
        };
        let left = network
            .run_until(20 * SECOND, |network| !held(network))
            .context("traffic never returned")?;
        ensure!(left >= hold_down, "traffic returned after {left:?}");
        network.converge()?;
        ensure!(both_use(&network, at::PRIMARY), "not over the primary");
        Ok(())
    })
}

#[test]
fn a_link_that_keeps_failing_does_not_take_traffic_back_and_forth() -> Result<()> {
    each_seed(20, |seed| {
        let mut network = calm_demo(seed)?;
        network.cut(at::PRIMARY);
        network
            .run_until(SECOND, |network| both_use(network, at::BACKUP))
            .context("traffic still goes into the cut")?;
        for _ in 0..8 {
            network.mend(at::PRIMARY);
            let shorter = network.random().wait(2 * SECOND);
            let moved = network.run_until(shorter, |network| !both_use(network, at::BACKUP));
            ensure!(
                moved.is_none(),
                "traffic moved {moved:?} after a short life"
            );
            network.cut(at::PRIMARY);
            let moved = network.run_until(SECOND, |network| !both_use(network, at::BACKUP));
            ensure!(moved.is_none(), "traffic moved {moved:?} after a cut");
        }
        network.mend(at::PRIMARY);
        network.converge()?;
        ensure!(both_use(&network, at::PRIMARY), "not over the primary");
        Ok(())
    })
}

#[test]
fn a_restarted_router_learns_everything_again() -> Result<()> {
    each_seed(40, |seed| {
        let mut network = calm_demo(seed)?;
        let router = network.random().below(4);
        let stop = network.random().choose(&[Stop::Killed, Stop::PowerLost]);
        network.stop(router, stop);
        let pause = network.random().wait(12 * SECOND);
        network.run(pause);
        network.start(router);
        network
            .converge()
            .with_context(|| format!("router {router} {stop:?}, back after {pause:?}"))?;
        ensure!(both_use(&network, at::PRIMARY), "not over the primary");
        Ok(())
    })
}

#[test]
fn when_every_link_is_cut_the_gateways_are_told() -> Result<()> {
    each_seed(20, |seed| {
        let mut network = calm_demo(seed)?;
        network.cut(at::PRIMARY);
        network.cut(at::BACKUP);
        network
            .run_until(2 * SECOND, |network| {
                network.way(at::GATEWAY_AWS, TO_OCI).is_none()
                    && network.way(at::GATEWAY_OCI, TO_AWS).is_none()
            })
            .context("a gateway still sends to a site that nobody reaches")?;
        network.converge()?;
        Ok(())
    })
}

#[test]
fn an_export_filter_that_closes_takes_back_what_it_let_through() -> Result<()> {
    each_seed(20, |seed| {
        let mut network = calm_demo(seed)?;
        let toward_gateway = 0;
        for (export, is_told) in [(Policy::Nothing, false), (Policy::Short, true)] {
            network.set_policies(at::NVA_AWS, toward_gateway, Policy::Everything, export);
            network.converge()?;
            let way = network.way(at::GATEWAY_AWS, TO_OCI);
            ensure!(way.is_some() == is_told, "{export:?}: {way:?}");
        }
        Ok(())
    })
}

/// Something that may happen to a network.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cut,
    Mend,
    Restart,
    Policies,
    Originate,
    Refresh,
    Loss,
}

const TROUBLES: [Trouble; 10] = [
    Trouble::Cut,
    Trouble::Cut,
    Trouble::Mend,
    Trouble::Mend,
    Trouble::Mend,
    Trouble::Restart,
    Trouble::Policies,
    Trouble::Originate,
    Trouble::Refresh,
    Trouble::Loss,
];

fn make_trouble(network: &mut Network, trouble: Trouble) {
    let routers = network.topology().routers.len();
    let cables = network.topology().cables.len();
    let router = network.random().below(routers);
    let cable = network.random().below(cables);
    match trouble {
        Trouble::Cut => network.cut(cable),
        Trouble::Mend => network.mend(cable),
        Trouble::Restart => {
            let stop = network.random().choose(&[Stop::Killed, Stop::PowerLost]);
            network.stop(router, stop);
            let pause = network.random().wait(5 * SECOND);
            network.run(pause);
            network.start(router);
        }
        Trouble::Policies => {
            let peers = network.topology().routers[router].peers.len();
            let peer = network.random().below(peers);
            let import = network.random().choose(&Policy::ALL);
            let export = network.random().choose(&Policy::ALL);
            network.set_policies(router, peer, import, export);
        }
        Trouble::Originate => {
            let count = network.random().below(12);
            let third = 32 * network.random().below(8);
            let prefix = |number| format!("10.{}.{}.0/24", 100 + router, third + number);
            let own = network.topology().routers[router].originate.first();
            let own = own.copied().into_iter();
            let more = (0..count).map(|number| prefix(number).parse::<Prefix>().expect("a prefix"));
            let all = own.chain(more).collect();
            network.originate(router, all);
        }
        Trouble::Refresh => network.request_refresh(router),
        Trouble::Loss => network.lose(20),
    }
}

/// Starts the routers in random order, makes trouble, and waits for calm; three times.
fn live_through_trouble(mut topology: Topology, seed: u64) -> Result<()> {
    // Most of the work is probing. Here it only has to notice.
    topology.timing.probe_interval = Duration::from_millis(250);
    let mut network = Network::new(topology, seed);
    let routers = network.topology().routers.len();
    let first = network.random().below(routers);
    for router in 0..routers {
        network.start((first + router) % routers);
        let pause = network.random().wait(SECOND);
        network.run(pause);
    }
    let mut story = Vec::new();
    for _ in 0..3 {
        for _ in 0..1 + network.random().below(5) {
            let trouble = network.random().choose(&TROUBLES);
            story.push((network.elapsed(), trouble));
            make_trouble(&mut network, trouble);
            let longest = network.random().choose(&[20, 500, 4000]);
            let pause = network.random().wait(Duration::from_millis(longest));
            network.run(pause);
        }
        network.converge().with_context(|| format!("{story:?}"))?;
    }
    Ok(())
}

#[test]
fn the_demo_comes_to_rest_after_any_trouble() -> Result<()> {
    each_seed(200, |seed| live_through_trouble(demo(), seed))
}

#[test]
fn ten_routers_come_to_rest_after_any_trouble() -> Result<()> {
    each_seed(15, |seed| {
        live_through_trouble(ring(10, &mut Random::new(seed)), seed)
    })
}
