//! Which routers there are and what connects them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp::filter::{Action, Filter, Match, PrefixPattern, Rule, Set};
use bgp::session::GracefulRestart;
use bgp::{Asn, FamilySet, Prefix, RouterId};

use super::random::Random;

/// A network to simulate.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Named by their place.
    pub routers: Vec<RouterSpec>,
    /// Named by their place.
    pub cables: Vec<CableSpec>,
    /// The same for all.
    pub timing: Timing,
}

/// A router as it is configured.
#[derive(Clone, Debug)]
pub struct RouterSpec {
    /// For messages.
    pub name: String,
    /// Different for each.
    pub asn: Asn,
    /// Different for each.
    pub router_id: RouterId,
    /// What it offers of graceful restart.
    pub graceful_restart: Option<GracefulRestart>,
    /// What it originates.
    pub originate: Vec<Prefix>,
    /// Named by their place, which is their `PeerId`.
    pub peers: Vec<PeerSpec>,
}

/// A peer as it is configured, on a cable of its own.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// The cable to it.
    pub cable: usize,
    /// Its AS.
    pub asn: Asn,
    /// Our address on the cable.
    pub local: IpAddr,
    /// Its address on the cable.
    pub remote: IpAddr,
    /// A cable without is not measured.
    pub link: Option<LinkSpec>,
    /// What is taken from it.
    pub import: Policy,
    /// What it is told.
    pub export: Policy,
}

/// The same at both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// Compared within one router.
    pub group: u32,
    /// Lower is preferred.
    pub priority: u32,
}

/// A cable: both ends, as router and place among its peers.
#[derive(Clone, Copy, Debug)]
pub struct CableSpec {
    /// Router and peer at either end.
    pub ends: [(usize, usize); 2],
    /// One way.
    pub delay: Duration,
}

/// How patient everybody is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Of the sessions, seconds.
    pub hold_time_secs: u16,
    /// The first wait after a failed attempt.
    pub connect_retry: Duration,
    /// The longest.
    pub connect_retry_max: Duration,
    /// Between two probes.
    pub probe_interval: Duration,
    /// Before traffic returns to a better link.
    pub group_hold_down: Duration,
    /// The longest that a link which keeps falling is held.
    pub link_hold_down_max: Duration,
}

impl Default for Timing {
    /// Short enough that trouble is over within a simulated minute.
    fn default() -> Self {
        Self {
            hold_time_secs: 9,
            connect_retry: Duration::from_secs(1),
            connect_retry_max: Duration::from_secs(4),
            probe_interval: Duration::from_millis(100),
            group_hold_down: Duration::from_secs(3),
            link_hold_down_max: Duration::from_secs(4),
        }
    }
}

/// Which prefixes pass a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// All.
    Everything,
    /// None.
    Nothing,
    /// Those of 16 bits and fewer.
    Short,
}

impl Policy {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Everything, Self::Nothing, Self::Short];

    /// Whether a prefix passes, said without a filter.
    pub fn passes(self, prefix: &Prefix) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Short => prefix.prefix_len() <= 16,
        }
    }

    /// The filter that does so.
    pub fn filter(self) -> Filter {
        match self {
            Self::Everything => Filter::accept_all(),
            Self::Nothing => Filter::reject_all(),
            Self::Short => Filter::compile(vec![Rule {
                matches: Match {
                    prefixes: vec![PrefixPattern {
                        net: Prefix::from(ipnet::Ipv4Net::default()),
                        min: 1,
                        max: 16,
                    }],
                    ..Match::default()
                },
                action: Action::Accept,
                set: Set::default(),
            }]),
        }
    }
}

/// A place in [`demo`].
pub mod at {
    /// AS 64512, originates 10.1.0.0/16.
    pub const GATEWAY_AWS: usize = 0;
    /// AS 65010.
    pub const NVA_AWS: usize = 1;
    /// AS 65020.
    pub const NVA_OCI: usize = 2;
    /// AS 31898, originates 10.10.0.0/16.
    pub const GATEWAY_OCI: usize = 3;
    /// Between the two routers, preferred.
    pub const PRIMARY: usize = 2;
    /// Between the two routers.
    pub const BACKUP: usize = 3;
}

/// A gateway, a router, two links in one group, a router, a gateway.
pub fn demo() -> Topology {
    let mut topology = Topology::empty();
    topology.router("gateway-aws", 64512, &["10.1.0.0/16"]);
    topology.router("nva-aws", 65010, &[]);
    topology.router("nva-oci", 65020, &[]);
    topology.router("gateway-oci", 31898, &["10.10.0.0/16"]);
    let within = Duration::from_micros(300);
    let between = Duration::from_millis(5);
    topology.cable(at::GATEWAY_AWS, at::NVA_AWS, within, None);
    topology.cable(at::NVA_OCI, at::GATEWAY_OCI, within, None);
    for priority in [10, 20] {
        let link = LinkSpec { group: 0, priority };
        topology.cable(at::NVA_AWS, at::NVA_OCI, between, Some(link));
    }
    topology
}

/// So many routers in a ring with a few chords; neighbours share one cable, one link or two. Half of the
/// routers offer graceful restart, some of them the long-lived one as well.
pub fn ring(routers: usize, random: &mut Random) -> Topology {
    let mut topology = Topology::empty();
    for router in 0..routers {
        let own = format!("10.{}.0.0/16", router + 1);
        let asn = u32::try_from(65001 + router).expect("few routers");
        topology.router(&format!("router-{router}"), asn, &[&own]);
        topology.routers[router].graceful_restart =
            random.choose(&[None, None, Some(0), Some(9)]).map(graceful);
    }
    let around = (0..routers).map(|router| (router, (router + 1) % routers));
    let chord = |random: &mut Random| {
        let from = random.below(routers);
        (from, (from + 2 + random.below(routers - 3)) % routers)
    };
    let chords = [chord(random), chord(random)];
    for (group, (a, b)) in (0..).zip(around.chain(chords)) {
        let delay = Duration::from_micros(200) + random.wait(Duration::from_millis(60));
        let links: &[Option<u32>] = random.choose(&[&[None][..], &[Some(1)], &[Some(1), Some(2)]]);
        for priority in links {
            let link = priority.map(|priority| LinkSpec { group, priority });
            topology.cable(a, b, delay, link);
        }
    }
    topology
}

/// Short enough that stale routes are gone within a simulated minute.
fn graceful(long_lived_secs: u32) -> GracefulRestart {
    GracefulRestart {
        restart_secs: 6,
        long_lived_secs,
        restarting: false,
        preserved: FamilySet::ALL,
    }
}

impl Topology {
    fn empty() -> Self {
        Self {
            routers: Vec::new(),
            cables: Vec::new(),
            timing: Timing::default(),
        }
    }

    fn router(&mut self, name: &str, asn: u32, originate: &[&str]) {
        let number = u8::try_from(self.routers.len() + 1).expect("few routers");
        let id = Ipv4Addr::new(192, 0, 2, number);
        self.routers.push(RouterSpec {
            name: name.to_owned(),
            asn: Asn(asn),
            router_id: RouterId::new(id).expect("not zero"),
            graceful_restart: None,
            originate: originate
                .iter()
                .map(|text| text.parse().expect("a prefix"))
                .collect(),
            peers: Vec::new(),
        });
    }

    fn cable(&mut self, a: usize, b: usize, delay: Duration, link: Option<LinkSpec>) {
        let cable = self.cables.len();
        let number = u8::try_from(cable).expect("few cables");
        let address = |end| IpAddr::from([169, 254, number, end]);
        let asns = [self.routers[a].asn, self.routers[b].asn];
        let peer = |asn, local, remote| PeerSpec {
            cable,
            asn,
            local: address(local),
            remote: address(remote),
            link,
            import: Policy::Everything,
            export: Policy::Everything,
        };
        self.routers[a].peers.push(peer(asns[1], 1, 2));
        self.routers[b].peers.push(peer(asns[0], 2, 1));
        let ends = [a, b].map(|router| (router, self.routers[router].peers.len() - 1));
        self.cables.push(CableSpec { ends, delay });
    }
}
