//! The lab's own parts, so that a failing namespace test points at the router and not at them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::lab::flow::Flow;
use tests::lab::gateway::{Bird, Frr, Role};
use tests::lab::internet::Internet;
use tests::lab::kernel::{self, Monitor};
use tests::lab::netns::{End, cable};
use tests::lab::process::{Process, wait_for};
use tests::lab::scratch::Scratch;
use tests::lab::{AWS, OCI, Site};

#[test]
fn cut_internet_stops_traffic_until_it_is_restored() -> Result<()> {
    let mut scratch = Scratch::new("cut")?;
    let (left, right) = (scratch.namespace("left")?, scratch.namespace("right")?);
    let between = scratch.namespace("internet")?;
    let end = |namespace, address| End {
        namespace,
        interface: "eth0",
        address,
    };
    let internet = Internet::start(
        &between,
        scratch.directory(),
        end(&left, "198.51.100.2/30"),
        end(&right, "198.51.100.6/30"),
    )?;
    ensure!(
        internet.tell("explode").is_err(),
        "nonsense was taken for a change"
    );
    internet.tell("delay 20ms")?;
    let flow = Flow::start(&left, &right, Ipv4Addr::new(198, 51, 100, 6), 1_000)?;
    thread::sleep(Duration::from_millis(300));
    internet.cut()?;
    thread::sleep(Duration::from_millis(400));
    internet.restore()?;
    thread::sleep(Duration::from_millis(300));
    let report = flow.finish()?;
    ensure!(
        report.longest_gap() >= Duration::from_millis(390),
        "the cut was seen as {:?}",
        report.longest_gap()
    );
    ensure!(
        report.longest_gap() < Duration::from_millis(900),
        "the cut was seen as {:?}",
        report.longest_gap()
    );
    let rtt = report.median_rtt().context("nothing came back")?;
    ensure!(
        rtt >= Duration::from_millis(40),
        "median rtt {rtt:?} with 20 ms each way"
    );
    ensure!(
        report.lost() > 200 && report.lost() < report.sent() - 200,
        "{} of {}",
        report.lost(),
        report.sent()
    );
    Ok(())
}

#[test]
fn route_over_a_nexthop_group_is_seen_with_its_interface() -> Result<()> {
    let mut scratch = Scratch::new("nh")?;
    let (node, other) = (scratch.namespace("node")?, scratch.namespace("other")?);
    let monitor = Monitor::start(&node, &scratch.directory().join("monitor"))?;
    cable(
        End {
            namespace: &node,
            interface: "eth0",
            address: "10.0.0.0/31",
        },
        End {
            namespace: &other,
            interface: "eth0",
            address: "10.0.0.1/31",
        },
    )?;
    for words in [
        "nexthop add id 7 via 10.0.0.1 dev eth0 proto 77",
        "nexthop add id 8 group 7 proto 77",
        "route add 192.0.2.0/24 nhid 8 proto 77",
        "route add 198.51.100.0/24 via 10.0.0.1 proto static",
    ] {
        node.ip(words)?;
    }
    let wanted = [(
        "192.0.2.0/24".to_owned(),
        BTreeSet::from(["eth0".to_owned()]),
    )]
    .into();
    ensure!(
        kernel::routes(&node, kernel::SKYBRIDGE)? == wanted,
        "{:?}",
        kernel::routes(&node, kernel::SKYBRIDGE)?
    );
    wait_for(
        "two nexthops and one route announced",
        Duration::from_secs(3),
        || {
            let (routes, nexthops) = (monitor.route_messages(), monitor.nexthop_messages());
            ensure!(
                routes.len() == 1 && nexthops.len() == 2,
                "{routes:?} {nexthops:?}"
            );
            Ok(())
        },
    )
}

#[test]
fn removing_a_namespace_ends_what_runs_in_it() -> Result<()> {
    let mut scratch = Scratch::new("rm")?;
    let namespace = scratch.namespace("node")?;
    let mut command = namespace.command("sleep");
    let mut process = Process::spawn("sleep", command.arg("60"), &scratch.directory().join("log"))?;
    wait_for("sleep inside", Duration::from_secs(3), || {
        (namespace.pids()?.len() == 1)
            .then_some(())
            .context("it is not inside")
    })?;
    namespace.remove()?;
    ensure!(!namespace.exists(), "the namespace is still there");
    ensure!(
        process.check_alive().is_err(),
        "the process survived its namespace"
    );
    Ok(())
}

#[test]
fn frr_and_bird_agree_with_the_kernel_about_each_other() -> Result<()> {
    let mut scratch = Scratch::new("gw")?;
    let (left, right) = (scratch.namespace("frr")?, scratch.namespace("bird")?);
    cable(
        End {
            namespace: &left,
            interface: "to-nva",
            address: "169.254.1.1/30",
        },
        End {
            namespace: &right,
            interface: "to-nva",
            address: "169.254.1.2/30",
        },
    )?;
    // Each takes the other for the router that it would have in a lab.
    let (here, there) = (Ipv4Addr::new(169, 254, 1, 1), Ipv4Addr::new(169, 254, 1, 2));
    let aws = Site {
        router_asn: OCI.gateway_asn,
        ..AWS
    };
    let oci = Site {
        router_asn: AWS.gateway_asn,
        ..OCI
    };
    let frr = Frr::start(
        &left,
        &scratch.directory().join("frr"),
        Role {
            site: &aws,
            local: here,
            peer: there,
        },
    )?;
    let bird = Bird::start(
        &right,
        &scratch.directory().join("bird"),
        Role {
            site: &oci,
            local: there,
            peer: here,
        },
    )?;
    wait_for("both established", Duration::from_secs(30), || {
        let states = (frr.session_state()?, bird.session_state()?);
        ensure!(
            states == ("Established".to_owned(), "Established".to_owned()),
            "{states:?}"
        );
        Ok(())
    })?;
    for (namespace, protocol, site) in [(&left, "bgp", &OCI), (&right, "bird", &AWS)] {
        let announced = site.prefixes.iter().chain(site.strays);
        let announced: BTreeSet<String> = announced
            .map(|prefix| prefix.replace("0.0.0.0/0", "default"))
            .collect();
        wait_for(
            "the far routes in the kernel",
            Duration::from_secs(10),
            || {
                let found: BTreeSet<String> =
                    kernel::routes(namespace, protocol)?.into_keys().collect();
                ensure!(
                    found == announced,
                    "{protocol}: {found:?}, should be {announced:?}"
                );
                Ok(())
            },
        )?;
    }
    Ok(())
}
