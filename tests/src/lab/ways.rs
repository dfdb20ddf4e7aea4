//! A router between two clouds, with two links to each gateway: FRR and BIRD.
//!
//! ```text
//!               ┌── aws-1  192.0.2.0/30 ──┐                    ┌── oci-1  198.51.100.0/30 ──┐
//!  FRR, 64512 ──┤                         ├── router, 65010 ───┤                            ├── BIRD, 31898
//!  10.1.0.1     └── aws-2  192.0.2.4/30 ──┘                    └── oci-2  198.51.100.4/30 ──┘    10.2.0.1
//! ```
//!
//! The first address of each network is the router's. Left alone, both gateways send by the first link: of two
//! paths that are alike the one from the lower address wins.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::flow::Flow;
use super::gateway::{Bird, Frr};
use super::netns::{End, Namespace, cable};
use super::nva::{Binaries, Nva};
use super::process::{tail, wait_for};
use super::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(40);
/// What FRR announces, and what BIRD does.
const BEHIND: [&str; 2] = ["10.1.0.0/16", "10.2.0.0/16"];
/// The hosts behind them.
const HOSTS: [&str; 2] = ["10.1.0.1", "10.2.0.1"];

/// One of the two links to each cloud.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// `aws-1` and `oci-1`.
    First,
    /// `aws-2` and `oci-2`.
    Second,
}

impl Way {
    /// The other.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn number(self) -> usize {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// Its link to this cloud.
    pub fn link(self, cloud: &str) -> String {
        format!("{cloud}-{}", self.number())
    }

    fn networks(self) -> [[Ipv4Addr; 2]; 2] {
        let first = match self {
            Self::First => 1,
            Self::Second => 5,
        };
        let ends = |network: [u8; 3]| {
            let [a, b, c] = network;
            [first, first + 1].map(|last| Ipv4Addr::new(a, b, c, last))
        };
        [ends([192, 0, 2]), ends([198, 51, 100])]
    }
}

/// What the router is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish<'a> {
    /// Which links have the better priority.
    pub first: Way,
    /// Which are to be emptied.
    pub drained: Option<Way>,
    /// Further keys of the links to OCI.
    pub to_oci: &'a str,
}

impl Wish<'_> {
    /// This one first, and nothing special.
    pub fn first(way: Way) -> Self {
        Self {
            first: way,
            drained: None,
            to_oci: "",
        }
    }
}

/// Everything. Dropping it removes every trace.
#[derive(Debug)]
pub struct Ways {
    /// The router under test.
    pub router: Nva,
    /// The gateway of AWS.
    pub frr: Frr,
    /// The gateway of OCI.
    pub bird: Bird,
    clouds: [Namespace; 2],
    _scratch: Scratch,
}

impl Ways {
    /// All three are started, with the preference for `way`.
    ///
    /// # Errors
    ///
    /// Without root, or when a program is missing or does not come up.
    pub fn start(test: &str, way: Way) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let middle = scratch.namespace("router")?;
        let clouds = [scratch.namespace("aws")?, scratch.namespace("oci")?];
        for way in [Way::First, Way::Second] {
            plug(&middle, &clouds, way)?;
        }
        for namespace in [&middle, &clouds[0], &clouds[1]] {
            namespace.sysctl("net.ipv4.ip_forward", "1")?;
        }
        for (cloud, host) in clouds.iter().zip(HOSTS) {
            cloud.ip(&format!("addr add {host}/32 dev lo"))?;
        }
        let directory = scratch.directory().to_owned();
        let router = Nva::new(&middle, &directory, &Binaries::find()?)?;
        let frr = start_frr(&clouds[0], &directory.join("frr"))?;
        let bird = Bird::launch(&clouds[1], &directory.join("bird"), &bird_conf())?;
        let mut ways = Self {
            router,
            frr,
            bird,
            clouds,
            _scratch: scratch,
        };
        ways.prefer(way)?;
        ways.router.start()?;
        Ok(ways)
    }

    /// Writes the router's file with this link of each group first.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn prefer(&self, way: Way) -> Result<()> {
        self.configure(Wish::first(way))
    }

    /// Writes the router's file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, wish: Wish<'_>) -> Result<()> {
        let links: String = [wish.first, wish.first.other()]
            .into_iter()
            .zip([10, 20])
            .flat_map(|(way, priority)| links(way, priority, wish))
            .collect();
        self.router.configure(&format!(
            "[router]\nname = \"ways\"\nasn = 65010\nid = \"10.0.0.1\"\n{links}\
             [group.aws]\nhold-down = \"1s\"\n[group.oci]\nhold-down = \"1s\"\n\
             [[filter.all]]\naction = \"accept\"\n"
        ))
    }

    /// Silences a link to AWS in both directions; nobody sees a carrier go.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn cut(&self, way: Way) -> Result<()> {
        self.set_address(way, "del")
    }

    /// Undoes [`Ways::cut`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn restore(&self, way: Way) -> Result<()> {
        self.set_address(way, "add")
    }

    fn set_address(&self, way: Way, verb: &str) -> Result<()> {
        let [[_, theirs], _] = way.networks();
        let link = way.link("aws");
        self.clouds[0].ip(&format!("addr {verb} {theirs}/30 dev {link}"))?;
        Ok(())
    }

    /// By which link FRR sends to what is behind BIRD, and BIRD to what is behind FRR, by their own tables.
    ///
    /// # Errors
    ///
    /// When one does not answer or has no route.
    pub fn ways_back(&self) -> Result<[Way; 2]> {
        let [aws, oci] = [BEHIND[0], BEHIND[1]];
        let said = self
            .frr
            .vtysh(&[&format!("show bgp ipv4 unicast {oci} json")])?;
        let told: Value = serde_json::from_str(&said)?;
        let paths = told["paths"].as_array().context("FRR has no path")?;
        let is_best = |path: &&Value| path["bestpath"]["overall"].as_bool() == Some(true);
        let best = paths.iter().find(is_best).context("FRR has no best path")?;
        let from_frr = best["nexthops"][0]["ip"].as_str().context("a nexthop")?;
        // 10.1.0.0/16  unicast [nva 10:22:46.127] * (100) [AS64512i]
        //      via 198.51.100.1 on oci-1
        let said = self.bird.birdc(&format!("show route for {aws} primary"))?;
        let via = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("via "));
        let from_bird = via
            .and_then(|via| via.split(' ').next())
            .context(said.clone())?;
        let named = |address: &str, cloud: usize| {
            let address: Ipv4Addr = address.parse()?;
            let mut ways = [Way::First, Way::Second].into_iter();
            let found = ways.find(|way| way.networks()[cloud][0] == address);
            found.with_context(|| format!("{address} is on no link"))
        };
        Ok([named(from_frr, 0)?, named(from_bird, 1)?])
    }

    /// Waits until both gateways send by this link, and the router does.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn wait_for(&mut self, way: Way) -> Result<()> {
        self.wait_for_each([way; 2])
    }

    /// As [`Ways::wait_for`], to AWS and to OCI.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn wait_for_each(&mut self, ways: [Way; 2]) -> Result<()> {
        let waited = wait_for(&format!("everything by {ways:?}"), PATIENCE, || {
            self.router.check_alive()?;
            let links = self.router.links()?;
            let is_active = |link: &&api::v1::Link| link.active;
            let names = links.iter().filter(is_active).map(|it| it.name.clone());
            let mut active: Vec<String> = names.collect();
            active.sort();
            let [aws, oci] = ways;
            let wanted = [aws.link("aws"), oci.link("oci")];
            ensure!(active == wanted, "active: {active:?}");
            // The kernel goes back to a link once that one's routes are complete.
            for (host, link) in HOSTS.iter().zip(&wanted) {
                let led = self.router.namespace().run("ip", &["route", "get", host])?;
                ensure!(led.contains(&format!(" dev {link} ")), "{led}");
            }
            let back = self.ways_back()?;
            ensure!(back == ways, "back by {back:?}");
            Ok(())
        });
        waited.map_err(|error| anyhow::anyhow!("{error:#}\n{}", tail(&self.router.log(), 20)))
    }

    /// Waits until the gateways send by these links, whatever the router does.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn wait_for_back(&mut self, ways: [Way; 2]) -> Result<()> {
        wait_for(&format!("back by {ways:?}"), PATIENCE, || {
            self.router.check_alive()?;
            let back = self.ways_back()?;
            ensure!(back == ways, "back by {back:?}");
            Ok(())
        })
    }

    /// Sends `count` pings from behind FRR to behind BIRD; none may be lost.
    ///
    /// # Errors
    ///
    /// When some are, or `ping` is missing.
    pub fn ping(&self, count: u32) -> Result<()> {
        let [from, to] = HOSTS;
        let count = count.to_string();
        let words = ["-q", "-n", "-i", "0.002", "-c", &count, "-I", from, to];
        self.clouds[0].run("ping", &words).map(drop)
    }

    /// A stream from behind FRR to behind BIRD, which comes back the same way.
    ///
    /// # Errors
    ///
    /// See [`Flow::start`].
    pub fn flow(&self, per_second: u32) -> Result<Flow> {
        let [from, to] = HOSTS.map(str::parse);
        let [aws, oci] = &self.clouds;
        Flow::between((aws, from?), (oci, to?), per_second)
    }

    /// The network of this cloud's gateway: 0 is that of AWS.
    pub fn cloud(&self, number: usize) -> &Namespace {
        &self.clouds[number]
    }

    /// Bytes that have come into the router and left it, by interface.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn bytes(&self) -> Result<BTreeMap<String, [u64; 2]>> {
        let links = self.router.links()?.into_iter();
        Ok(links
            .map(|link| (link.name, [link.receive_bytes, link.transmit_bytes]))
            .collect())
    }
}

fn plug(middle: &Namespace, clouds: &[Namespace; 2], way: Way) -> Result<()> {
    for ((cloud, name), ends) in clouds.iter().zip(["aws", "oci"]).zip(way.networks()) {
        let interface = way.link(name);
        let [ours, theirs] = ends.map(|end| format!("{end}/30"));
        let end = |namespace, address| End {
            namespace,
            interface: &interface,
            address,
        };
        cable(end(middle, &ours), end(cloud, &theirs))?;
    }
    Ok(())
}

/// AWS is told by prepending, as its profile says, and OCI here by MED.
fn links(way: Way, priority: u32, wish: Wish<'_>) -> [String; 2] {
    let to_oci = wish.to_oci;
    let drain = wish.drained == Some(way);
    let [aws, oci] = way.networks();
    let link = |cloud, [ours, theirs]: [Ipv4Addr; 2], more: &str| {
        let name = way.link(cloud);
        format!(
            "[link.{name}]\ngroup = \"{cloud}\"\npriority = {priority}\ndrain = {drain}\ninterface = \"{name}\"\n{more}\n\
             inside = {{ local = \"{ours}/30\", remote = \"{theirs}\" }}\nprobe = {{ method = \"icmp\" }}\n"
        )
    };
    let bgp = "import = \"all\", export = \"all\", connect-retry = \"1s\"";
    [
        link(
            "aws",
            aws,
            &format!("profile = \"aws-vpn-tgw\"\nbgp = {{ {bgp} }}"),
        ),
        link(
            "oci",
            oci,
            &format!("bgp = {{ asn = 31898, {bgp} }}\n{to_oci}"),
        ),
    ]
}

fn start_frr(namespace: &Namespace, directory: &Path) -> Result<Frr> {
    let [first, second] = [Way::First, Way::Second].map(|way| way.networks()[0][0]);
    let neighbour = |address: Ipv4Addr| {
        format!(
            " neighbor {address} remote-as 65010\n neighbor {address} timers connect 1\n neighbor {address} timers 3 9\n"
        )
    };
    let bgpd = format!(
        "hostname aws
router bgp 64512
 bgp router-id 10.1.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
{}{} address-family ipv4 unicast
  network {}
 exit-address-family
",
        neighbour(first),
        neighbour(second),
        BEHIND[0],
    );
    Frr::launch(namespace, directory, first.into(), &bgpd)
}

fn bird_conf() -> String {
    let session = |name: &str, way: Way| {
        let [_, [ours, theirs]] = way.networks();
        format!(
            "protocol bgp {name} {{
  local {theirs} as 31898;
  neighbor {ours} as 65010;
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 {{ import all; export all; }};
}}
"
        )
    };
    format!(
        "log stderr all;
router id 10.2.0.1;
protocol device {{ scan time 10; }}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
protocol static {{ ipv4; route {} blackhole; }}
{}{}",
        BEHIND[1],
        session("nva", Way::First),
        session("second", Way::Second),
    )
}
